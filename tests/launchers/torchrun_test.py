"""torchrun itself starts the ranks: Debian's python3-torch, where it is installed (it is heavy: setup.sh leaves it out)."""
import os
import shutil
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/launchers'))
import launched  # noqa: E402
import xml_runner  # noqa: E402
from launched import runs  # noqa: E402


@unittest.skipUnless(shutil.which('torchrun'), 'torchrun is not installed: apt-get install python3-torch')
class Torchrun(launched.LaunchCase):
    def torchrun(self, ranks, *train):
        # Without -r and -t torch 1.13 fails by itself under Python 3.11, before it starts anything.
        return ['torchrun', '-r', '1', '-t', '1', '--standalone', f'--nproc_per_node={ranks}', '--no_python',
                runs.PROGRAM, *train]

    def test_trains(self):
        for ranks in (2, 4):
            out = f'torchrun{ranks}'
            self.finish([self.start(self.torchrun(ranks, *self.train(out, ranks)), {})])
            self.assert_same_run(out, ranks)

    def test_a_failure_is_left_where_torchrun_looks(self):
        failed = self.at('error.json')
        process = self.start(self.torchrun(2, *self.train('refused', 4)), {'TORCHELASTIC_ERROR_FILE': failed})
        said, _ = process.communicate(timeout=120)
        self.assertNotEqual(process.returncode, 0)
        self.assertIn('the plan has 4 ranks', said)

    def test_restarts_resume(self):
        # The first start loses rank 1 after a checkpoint; torchrun starts all again, and they go on.
        train = self.train('restarted', 2, '--checkpoint-every=2')
        command = self.torchrun(2, *train)
        command.insert(1, '--max_restarts=1')
        said, = self.finish([self.start(command, {'MILLRACE_FAULT': 'kill:rank=1:at=LOAD:step=4'})])
        self.assertIn('resumed after step 2', said)
        self.assert_same_run('restarted', 2)


if __name__ == '__main__':
    xml_runner.main()
