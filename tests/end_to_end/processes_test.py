"""One plan in one process and in several, however they are started: the same losses, the same weights."""
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/end_to_end'))
import runs  # noqa: E402
import xml_runner  # noqa: E402

STEPS = 20
LAUNCHERS = re.compile(r'MILLRACE_|RANK|WORLD_SIZE|LOCAL_|MASTER_|GROUP_|OMPI_|PMI|PET_|SLURM_|TORCHELASTIC_')


def clean_environment(**more):
    """This process's own, without what a launcher around the test may have left in it."""
    kept = {name: value for name, value in os.environ.items() if not LAUNCHERS.match(name)}
    return {**kept, **more}


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def wait_for(process, pattern):
    """Reads its stderr up to a line like this, and returns what was read."""
    seen = ''
    for line in process.stderr:
        seen += line
        if re.search(pattern, line):
            return seen
    raise AssertionError(f'the run ended before it said {pattern!r}:\n{seen}')


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
        return [int(child) for child in file.read().split()]


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(dir=os.environ.get('TEST_TMPDIR'))
        cls.text = cls.at('words.txt')
        runs.write_text(cls.text)
        cls.make('model', 'gpt2', '--layers=2', '--heads=2', '--width=32', '--vocab=256', '--context=32',
                 '--dropout=0.1', f'--out={cls.at("gpt.textproto")}')
        for pp in (2, 4):
            cls.make('partition', cls.at('gpt.textproto'), f'--pp={pp}', '--micro-batch=2', '--micro-batches=6',
                     f'--out={cls.at(f"pp{pp}.plan")}')
            cls.make(*cls.train_flags(f'one{pp}', pp))
        # Two pipelines of two stages that divide the optimizer state, so checkpoints hold parts of tensors.
        cls.make('partition', cls.at('gpt.textproto'), '--pp=2', '--dp=2', '--shard-optimizer=1', '--bucket-mb=0.01',
                 '--micro-batch=2', '--micro-batches=3', f'--out={cls.at("pp2x2.plan")}')
        cls.make(*cls.train_flags('one2x2', '2x2', '--check-replicas-every=4'))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def at(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def make(cls, *arguments):
        done = subprocess.run([runs.PROGRAM, *arguments], capture_output=True, text=True, errors='replace', check=False,
                              env=clean_environment())
        assert done.returncode == 0, done.stderr

    @classmethod
    def train_flags(cls, out, pp=2, *more, steps=STEPS):
        return ['train', f'--plan={cls.at(f"pp{pp}.plan")}', f'--data={cls.text}', f'--steps={steps}',
                f'--decay-steps={STEPS}', '--threads=1', '--learning-rate=3e-3', '--eval-micro-batches=4',
                '--sample-bytes=8', '--checkpoint-every=5', f'--out={cls.at(out)}', *more]

    def start(self, command, **environment):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   errors='replace', env=clean_environment(**environment))
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def torchrun(self, count, flags, **more):
        """The processes that torchrun would start, with its environment."""
        port = str(free_port())
        return [self.start([runs.PROGRAM, *flags], RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank),
                           LOCAL_WORLD_SIZE=str(count), MASTER_ADDR='localhost', MASTER_PORT=port,
                           TMPDIR=self.folder, **more)
                for rank in range(count)]

    def finish(self, processes, codes=None):
        said = [process.communicate(timeout=240) for process in processes]
        for rank, process in enumerate(processes):
            expected = 0 if codes is None else codes[rank]
            self.assertEqual(process.returncode, expected, f'rank {rank}:\n{said[rank][0]}\n{said[rank][1]}')
        return said

    def assert_same_run(self, out, pp=2):
        one = self.at(f'one{pp}')
        self.assertEqual(len(runs.curve(self.at(out))), STEPS)
        self.assertEqual(runs.curve(self.at(out)), runs.curve(one))
        self.assertEqual(runs.weights_digest(self.at(out)), runs.weights_digest(one))
        for name in ('held_out.csv', 'sample.txt', 'weights.safetensors'):
            with open(self.at(f'{out}/{name}'), 'rb') as mine, open(f'{one}/{name}', 'rb') as other:
                self.assertEqual(mine.read(), other.read(), name)
        for path in glob.glob(f'{one}/checkpoint/*/rank-*.bin'):
            with open(path, 'rb') as file, open(self.at(out) + path[len(one):], 'rb') as mine:
                self.assertEqual(mine.read(), file.read(), path)


class Gloo(Case):
    def test_our_own_supervisor(self):
        for pp in (2, 4, '2x2'):
            out = f'supervised{pp}'
            (text, said), = self.finish([self.start([runs.PROGRAM, *self.train_flags(out, pp, '--comm=gloo')])])
            self.assertIn('[rank 0] trained', text)
            self.assertIn(f'[rank 0] step {STEPS}/{STEPS}', said)
            self.assert_same_run(out, pp)

    def test_torchrun(self):
        said = self.finish(self.torchrun(2, self.train_flags('torchrun')))
        self.assertIn('trained', said[0][0])
        self.assertEqual(said[1][0], '')
        self.assert_same_run('torchrun')
        self.assertEqual(glob.glob(self.at('*.token')), [])

    def test_a_stop_of_one_stops_all_and_one_process_resumes(self):
        flags = self.train_flags('stopped', 2, steps=2000)
        processes = self.torchrun(2, flags)
        wait_for(processes[0], '^step ')
        processes[1].send_signal(signal.SIGTERM)
        said = self.finish(processes, codes=[75, 75])
        for _, err in said:
            self.assertIn('stopped after step', err)
        newest = max(os.listdir(self.at('stopped/checkpoint')))
        done = len(runs.curve(self.at('stopped')))
        self.assertEqual(newest, f'step-{done:08d}')
        self.finish([self.start([runs.PROGRAM, *self.train_flags('stopped', 2, '--resume=auto', steps=done + 5)])])
        self.make(*self.train_flags('unstopped', 2, steps=done + 5))
        self.assertEqual(runs.curve(self.at('stopped')), runs.curve(self.at('unstopped')))
        self.assertEqual(runs.weights_digest(self.at('stopped')), runs.weights_digest(self.at('unstopped')))

    def test_a_killed_process_ends_all_and_is_named(self):
        # Rank 0's process is also the coordinator's.
        for killed in (1, 0):
            processes = self.torchrun(2, self.train_flags(f'killed{killed}', 2, steps=2000))
            wait_for(processes[0], '^step ')
            processes[killed].kill()
            begun = time.monotonic()
            out, err = processes[1 - killed].communicate(timeout=60)
            took = time.monotonic() - begun
            print(f'ended {took:.2f} s after rank {killed} was killed: {err.strip().splitlines()[-1:]}')
            self.assertEqual(processes[1 - killed].returncode, 75, out + err)
            self.assertIn(f'rank {killed}', err)
            self.assertLess(took, 5)

    def test_the_supervisor_removes_the_rest_and_names_the_culprit(self):
        run = self.start([runs.PROGRAM, *self.train_flags('alone', 2, '--comm=gloo', steps=2000)])
        seen = wait_for(run, r'\] step ')
        children = children_of(run.pid)
        self.assertEqual(len(children), 2, seen)
        os.kill(children[1], signal.SIGKILL)
        begun = time.monotonic()
        _, err = run.communicate(timeout=60)
        took = time.monotonic() - begun
        print(f'the supervisor ended {took:.2f} s after rank 1 was killed: {err.strip().splitlines()[-1:]}')
        self.assertEqual(run.returncode, 128 + signal.SIGKILL, seen + err)
        self.assertRegex(err, 'rank 1 .*killed by SIGKILL')
        self.assertLess(took, 5)
        for child in children:
            self.assertFalse(os.path.exists(f'/proc/{child}'))

    def test_ctrl_c_at_the_supervisor_saves(self):
        run = self.start([runs.PROGRAM, *self.train_flags('interrupted', 2, '--comm=gloo', steps=2000)])
        seen = wait_for(run, r'\] step ')
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, 130, seen + err)
        self.assertIn('stopped after step', err)
        newest = max(os.listdir(self.at('interrupted/checkpoint')))
        self.assertEqual(newest, f'step-{len(runs.curve(self.at("interrupted"))):08d}')

    def test_the_supervisor_starts_again_after_a_kill(self):
        run = self.start([runs.PROGRAM, *self.train_flags('restarted', 2, '--comm=gloo', '--max-restarts=2')])
        seen = wait_for(run, r'step [7-9]/')
        children = children_of(run.pid)
        self.assertEqual(len(children), 2, seen)
        os.kill(children[1], signal.SIGKILL)
        _, err = run.communicate(timeout=240)
        self.assertEqual(run.returncode, 0, seen + err)
        self.assertIn('resumed after step', err)
        self.assert_same_run('restarted')

    def test_refusals(self):
        for codes, count, more, words in (
                ([78], 1, {'WORLD_SIZE': '3'}, ['2 ranks', 'rank 0 of 3']),
                ([78], 1, {'MASTER_ADDR': ''}, ['MASTER_ADDR'])):
            environment = {'RANK': '0', 'WORLD_SIZE': '2', 'LOCAL_WORLD_SIZE': '2', 'LOCAL_RANK': '0',
                           'MASTER_ADDR': 'localhost', 'MASTER_PORT': str(free_port()), **more}
            (_, err), = self.finish([self.start([runs.PROGRAM, *self.train_flags('refused')], **environment)], codes)
            for word in words:
                self.assertIn(word, err)
        (_, err), = self.finish([self.start([runs.PROGRAM, *self.train_flags('refused', 2, '--comm=mpi')])], [78])
        self.assertIn('mpirun', err)
        (_, err), = self.finish([self.start([runs.PROGRAM, *self.train_flags('refused', 2, '--comm=glue')])], [2])
        self.assertIn('gloo', err)
        self.assertFalse(os.path.exists(self.at('refused')))


@unittest.skipUnless(shutil.which('mpirun'), 'mpirun is not installed')
class Mpirun(Case):
    def mpirun(self, count, flags):
        return self.start(['mpirun', '-np', str(count), '--oversubscribe', '--allow-run-as-root', runs.PROGRAM, *flags],
                          PMIX_SERVER_TMPDIR=self.folder, TMPDIR=self.folder)

    def test_over_mpi(self):
        doctor = json.loads(runs.millrace('doctor', '--json').stdout)
        if 'mpi' not in [transport['name'] for transport in doctor['transports']]:
            self.skipTest('this build has no MPI')
        for pp, count in ((2, 2), (4, 4), ('2x2', 4)):
            out = f'mpi{pp}'
            self.finish([self.mpirun(count, self.train_flags(out, pp, '--comm=mpi'))])
            self.assert_same_run(out, pp)

    def test_over_gloo(self):
        self.finish([self.mpirun(2, self.train_flags('mpi-gloo', 2, '--comm=gloo'))])
        self.assert_same_run('mpi-gloo')


if __name__ == '__main__':
    xml_runner.main()
