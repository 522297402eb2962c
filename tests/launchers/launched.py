"""One small run, and what every launcher must reproduce of it: the curve and the weights, to the bit."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), 'tests/end_to_end'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/faults'))
import jobs  # noqa: E402
import runs  # noqa: E402

STEPS = 6


class LaunchCase(unittest.TestCase):
    """`one2` and `one4` are runs of one process: two stages, and two replicas of two stages."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(dir=os.environ.get('TEST_TMPDIR'))
        cls.text = cls.at('words.txt')
        runs.write_text(cls.text)
        cls.make('model', 'gpt2', '--layers=2', '--heads=2', '--width=32', '--vocab=256', '--context=32',
                 f'--out={cls.at("gpt.textproto")}')
        for ranks, more in ((2, ()), (4, ('--dp=2', '--shard-optimizer=1'))):
            cls.make('partition', cls.at('gpt.textproto'), '--pp=2', *more, '--micro-batch=1', '--micro-batches=4',
                     f'--out={cls.at(f"{ranks}.plan")}')
            cls.make(*cls.train(f'one{ranks}', ranks))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def at(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def make(cls, *arguments):
        done = subprocess.run([runs.PROGRAM, *arguments], capture_output=True, text=True, errors='replace', check=False,
                              env=jobs.clean_environment())
        assert done.returncode == 0, done.stderr

    @classmethod
    def train(cls, out, ranks, *more):
        return ['train', f'--plan={cls.at(f"{ranks}.plan")}', f'--data={cls.text}', f'--steps={STEPS}', '--threads=1',
                '--eval-micro-batches=2', '--sample-bytes=0', f'--out={cls.at(out)}', *more]

    def start(self, command, environment):
        """A process of the job. Its standard error is what is shown when something goes wrong."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, errors='replace',
                                   env=jobs.clean_environment(**{'TMPDIR': self.folder, **environment}))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def finish(self, processes, patience=300):
        """What they said, once all have ended well."""
        said = [process.communicate(timeout=patience)[0] for process in processes]
        for number, process in enumerate(processes):
            self.assertEqual(process.returncode, 0, f'process {number}:\n' + '\n'.join(said))
        return said

    def assert_same_run(self, out, ranks):
        one = self.at(f'one{ranks}')
        self.assertEqual(len(runs.curve(self.at(out))), STEPS)
        self.assertEqual(runs.curve(self.at(out)), runs.curve(one))
        self.assertEqual(runs.weights_digest(self.at(out)), runs.weights_digest(one))
