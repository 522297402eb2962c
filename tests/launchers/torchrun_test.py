"""torchrun itself starts the ranks: Debian's python3-torch, where it is installed (it is heavy: setup.sh leaves it out)."""
import json
import os
import secrets
import shutil
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/launchers'))
import launched  # noqa: E402
import links  # noqa: E402
import xml_runner  # noqa: E402
from launched import runs  # noqa: E402

FAULT = 'kill:rank=1:at=LOAD:step=4'


@unittest.skipUnless(shutil.which('torchrun'), 'torchrun is not installed: apt-get install python3-torch')
class Torchrun(launched.LaunchCase):
    def torchrun(self, train, *flags):
        # Without -r and -t torch 1.13 fails by itself under Python 3.11, before it starts anything.
        return ['torchrun', '-r', '1', '-t', '1', *(flags or ['--standalone', '--nproc_per_node=2']), '--no_python',
                runs.PROGRAM, *train]

    def started(self, command, **variables):
        # Where torchrun keeps its logs is the test's own folder.
        return self.start(command, {'TMPDIR': self.folder, **variables})

    def test_trains(self):
        for ranks in (2, 4):
            out = f'torchrun{ranks}'
            command = self.torchrun(self.train(out, ranks), '--standalone', f'--nproc_per_node={ranks}')
            self.finish([self.started(command)])
            self.assert_same_run(out, ranks)

    def test_submit_runs_it(self):
        command = [runs.PROGRAM, 'submit', self.at('2.plan'), '--launcher=torchrun', f'--program={runs.PROGRAM}', '--',
                   *self.train('submitted', 2)[2:]]
        said, = self.finish([self.started(command)])
        self.assertIn('running torchrun', said)
        self.assert_same_run('submitted', 2)

    def test_two_machines(self):
        reason = links.why_not()
        if reason:
            self.skipTest(reason)
        token = self.at('token')
        with open(os.open(token, os.O_CREAT | os.O_WRONLY, 0o600), 'w', encoding='ascii') as file:
            file.write(secrets.token_hex(32))
        train = self.train('machines', 4, '--insecure', f'--token-file={token}')
        with links.TwoHosts() as hosts:
            # The second machine is first there.
            self.finish([self.started(hosts.command(side, self.torchrun(
                train, '--nnodes=2', f'--node_rank={side}', f'--master_addr={hosts.address(0)}', '--master_port=29500',
                '--nproc_per_node=2'))) for side in (1, 0)])
        self.assert_same_run('machines', 4)

    def test_a_failure_is_told_as_the_root_cause(self):
        # torchrun shows what the rank left in its error file, and hands the file on to whoever started it.
        handed_on = self.at('error.json')
        process = self.started(self.torchrun(self.train('refused', 4)), TORCHELASTIC_ERROR_FILE=handed_on)
        said, _ = process.communicate(timeout=120)
        self.assertNotEqual(process.returncode, 0)
        cause = said.partition('Root Cause')[2]
        self.assertRegex(cause, r'exitcode\s*: 78')
        self.assertRegex(cause, 'traceback.*the plan has 4 ranks, but torchrun')
        with open(handed_on, encoding='utf-8') as file:
            self.assertIn('the plan has 4 ranks', json.dumps(json.load(file)))

    def test_a_rank_that_dies_is_named(self):
        process = self.started(self.torchrun(self.train('died', 2)), MILLRACE_FAULT=FAULT)
        said, _ = process.communicate(timeout=120)
        self.assertNotEqual(process.returncode, 0)
        self.assertIn('millrace train: rank 1 died', said)

    def test_restarts_resume(self):
        # The first start loses rank 1 after a checkpoint; torchrun starts all again, and they go on.
        command = self.torchrun(self.train('restarted', 2, '--checkpoint-every=2'), '--standalone', '--nproc_per_node=2',
                                '--max_restarts=1')
        said, = self.finish([self.started(command, MILLRACE_FAULT=FAULT)])
        self.assertIn('resumed after step 2', said)
        self.assert_same_run('restarted', 2)


if __name__ == '__main__':
    xml_runner.main()
