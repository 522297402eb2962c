"""`millrace doctor` and what a failed `millrace train` leaves for its launcher, in exact environments."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
BINARY = os.environ.get('MILLRACE_BINARY') or os.path.join(os.getcwd(), 'tools', 'millrace')
TORCHRUN = {'TORCHELASTIC_RUN_ID': 'none', 'RANK': '1', 'WORLD_SIZE': '2', 'LOCAL_RANK': '1', 'LOCAL_WORLD_SIZE': '2',
            'GROUP_RANK': '0', 'GROUP_WORLD_SIZE': '1', 'MASTER_ADDR': 'localhost', 'MASTER_PORT': '29500'}


def millrace(*args, **variables):
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env={'PATH': '/usr/bin:/bin', **variables}, check=False)


class Doctor(unittest.TestCase):
    def report(self, *args, **variables):
        result = millrace('doctor', '--json', *args, **variables)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_without_a_launcher(self):
        report = self.report()
        launch = report['launch']
        self.assertEqual((launch['source'], launch['rank'], launch['size']), ('single', 0, 1))
        self.assertEqual([s['source'] for s in launch['looked_for']],
                         ['flags', 'millrace', 'torchrun', 'pet', 'mpi', 'slurm', 'horovod', 'sagemaker', 'kubernetes',
                          'tf_config', 'tpu'])
        self.assertFalse(any(s['speaks'] for s in launch['looked_for']))
        self.assertEqual(report['cores']['affinity'], len(os.sched_getaffinity(0)))
        self.assertLessEqual(report['cores']['allowed'], report['cores']['affinity'])
        self.assertIn('reference', [d['kind'] for d in report['devices'] if d['usable']])
        self.assertIn('in_process', [t['name'] for t in report['transports']])

    def test_affinity_counts(self):
        one = {min(os.sched_getaffinity(0))}
        result = subprocess.run([BINARY, 'doctor', '--json'], capture_output=True, text=True, timeout=60, check=True,
                                env={}, preexec_fn=lambda: os.sched_setaffinity(0, one))
        self.assertEqual(json.loads(result.stdout)['cores']['allowed'], 1)

    def test_torchrun(self):
        launch = self.report(**TORCHRUN)['launch']
        self.assertEqual((launch['source'], launch['rank'], launch['size'], launch['local_rank'], launch['coordinator']),
                         ('torchrun', 1, 2, 1, 'localhost:29500'))
        self.assertIn('rank 1: RANK=1 (torchrun or env://)', launch['evidence'])

    def test_text_says_what_and_why(self):
        text = millrace('doctor', **TORCHRUN).stdout
        for words in ('rank 1 of 2', 'RANK=1', 'coordinator localhost:29500', 'HOROVOD_RANK', 'affinity', 'in_process',
                      'millrace 0.'):
            self.assertIn(words, text)

    def test_a_disagreement_is_shown_and_ends_with_78(self):
        both = {**TORCHRUN, 'OMPI_COMM_WORLD_RANK': '0', 'OMPI_COMM_WORLD_SIZE': '2', 'OMPI_COMM_WORLD_LOCAL_SIZE': '2'}
        for args in ([], ['--json']):
            result = millrace('doctor', *args, **both)
            self.assertEqual(result.returncode, 78)
            for words in ('RANK=1', 'OMPI_COMM_WORLD_RANK=0', 'MILLRACE_LAUNCH=torchrun'):
                self.assertIn(words, result.stderr)
                self.assertIn(words, result.stdout)
        self.assertEqual(millrace('doctor', MILLRACE_LAUNCH='mpi', **both).returncode, 0)

    def test_hostile_values_end_with_78_and_stay_in_one_line(self):
        result = millrace('doctor', RANK='1\n2', WORLD_SIZE='4')
        self.assertEqual(result.returncode, 78)
        self.assertEqual(result.stderr.count('\n'), 1)
        self.assertIn("RANK='1\\n2'", result.stderr)

    def test_flags_are_tried(self):
        launch = self.report('--rank=1', '--size=4', '--coordinator=node1:4000')['launch']
        self.assertEqual((launch['rank'], launch['size'], launch['coordinator']), (1, 4, 'node1:4000'))


@unittest.skipIf(shutil.which('mpirun') is None, 'mpirun is not installed')
class UnderMpirun(unittest.TestCase):
    """The real one, in place of variables that we believe it sets."""

    def run_ranks(self, command):
        root = ['--allow-run-as-root'] if os.geteuid() == 0 else []
        return subprocess.run(['mpirun', '--oversubscribe', *root, '-np', '3', 'sh', '-c', command], capture_output=True,
                              text=True, timeout=120, stdin=subprocess.DEVNULL, check=False,
                              env={'PATH': '/usr/bin:/bin', 'HOME': '/tmp'})

    def test_every_rank_knows_its_place(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_ranks(f'{BINARY} doctor --json > {folder}/$OMPI_COMM_WORLD_RANK')
            self.assertEqual(done.returncode, 0, done.stderr)
            launches = []
            for rank in range(3):
                with open(os.path.join(folder, str(rank)), encoding='utf-8') as file:
                    launches.append(json.load(file)['launch'])
        self.assertEqual([(one['source'], one['rank'], one['size'], one['local_rank'], one['local_size'], one['nodes'])
                          for one in launches], [('mpi', rank, 3, rank, 3, 1) for rank in range(3)])
        self.assertEqual(len({one['coordinator'] for one in launches}), 1)
        self.assertTrue(launches[0]['coordinator'].startswith('127.0.0.1:'))

    def test_the_exit_code_of_a_refusal_comes_through(self):
        self.assertEqual(self.run_ranks(f'RANK=7 WORLD_SIZE=9 exec {BINARY} doctor').returncode, 78)


class Failures(unittest.TestCase):
    def test_torchruns_error_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'error.json')
            result = millrace('train', '--plan=' + os.path.join(folder, 'absent'), '--data=synthetic',
                              TORCHELASTIC_ERROR_FILE=path, **TORCHRUN)
            self.assertEqual(result.returncode, 66)
            with open(path, encoding='utf-8') as file:
                message = json.load(file)['message']
            self.assertIn('absent', message['message'])
            self.assertEqual(message['errorCode'], 66)
            self.assertGreater(int(message['extraInfo']['timestamp']), 1600000000)

    def test_sagemakers_failure_file(self):
        with tempfile.TemporaryDirectory() as folder:
            for part in ('input/config', 'output'):
                os.makedirs(os.path.join(folder, part))
            with open(os.path.join(folder, 'input/config/resourceconfig.json'), 'w', encoding='utf-8') as file:
                json.dump({'current_host': 'algo-1', 'hosts': ['algo-1']}, file)
            with open(os.path.join(folder, 'input/config/hyperparameters.json'), 'w', encoding='utf-8') as file:
                json.dump({'plan': '"/absent.plan"', 'data': 'synthetic'}, file)
            result = millrace('sagemaker', 'train', SAGEMAKER_BASE_DIR=folder)
            self.assertEqual(result.returncode, 66, result.stderr)
            with open(os.path.join(folder, 'output/failure'), encoding='utf-8') as file:
                text = file.read()
            self.assertIn('/absent.plan', text)
            self.assertLessEqual(len(text), 1024)

    def test_other_commands_have_no_launcher(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'error.json')
            self.assertEqual(millrace('inspect', '/absent', TORCHELASTIC_ERROR_FILE=path).returncode, 66)
            self.assertFalse(os.path.exists(path))


class SageMaker(unittest.TestCase):
    """The contract's files from end to end, in one process."""

    def test_trains_and_leaves_a_model(self):
        with tempfile.TemporaryDirectory() as folder:
            for part in ('input/config', 'input/data/plan', 'output'):
                os.makedirs(os.path.join(folder, part))
            model, plan = os.path.join(folder, 'mlp.pb'), os.path.join(folder, 'input/data/plan/mlp.plan')
            self.assertEqual(millrace('model', 'mlp', '--layers=1', '--features=4', '--width=8', '--classes=3',
                                      '--out=' + model).returncode, 0)
            self.assertEqual(millrace('partition', model, '--pp=2', '--micro-batch=2', '--micro-batches=2',
                                      '--out=' + plan).returncode, 0)
            with open(os.path.join(folder, 'input/config/resourceconfig.json'), 'w', encoding='utf-8') as file:
                json.dump({'current_host': 'algo-1', 'hosts': ['algo-1']}, file)
            hyperparameters = {'steps': '"2"', 'data': 'synthetic', 'quiet': True, 'learning-rate': '0.001'}
            for steps in ('"2"', '4'):  # the second start goes on from the checkpoint of the first
                hyperparameters['steps'] = steps
                with open(os.path.join(folder, 'input/config/hyperparameters.json'), 'w', encoding='utf-8') as file:
                    json.dump(hyperparameters, file)
                result = millrace('sagemaker', 'train', SAGEMAKER_BASE_DIR=folder)
                self.assertEqual(result.returncode, 0, result.stderr)
                with open(os.path.join(folder, 'model/weights.safetensors'), 'rb') as kept:
                    with open(os.path.join(folder, 'checkpoints/weights.safetensors'), 'rb') as trained:
                        self.assertEqual(kept.read(), trained.read())
            self.assertFalse(os.path.exists(os.path.join(folder, 'output/failure')))


def may_mount():
    return subprocess.run(['unshare', '-m', 'mount', '-t', 'tmpfs', 'none', '/opt'], capture_output=True,
                          check=False).returncode == 0


@unittest.skipUnless(shutil.which('unshare') and may_mount(), 'this process may make no mount namespace')
class SageMakersOwnPaths(unittest.TestCase):
    """The tree where SageMaker has it, /opt/ml, in a mount namespace that ends with the command."""

    RESOURCES = '{"current_host": "algo-1", "hosts": ["algo-2", "algo-1"], "network_interface_name": "eth0"}'

    def in_container(self, script):
        """A shell script in which /opt/ml is a new tree; "keep" is a folder outside of it."""
        with tempfile.TemporaryDirectory() as keep:
            setup = f'''set -eu
mount -t tmpfs none /opt
mkdir -p /opt/ml/input/config /opt/ml/input/data/plan /opt/ml/output /opt/ml/checkpoints
echo '{self.RESOURCES}' > /opt/ml/input/config/resourceconfig.json
keep={keep} millrace={BINARY}
set +e
'''
            done = subprocess.run(['unshare', '-m', 'sh', '-c', setup + script], capture_output=True, text=True,
                                  timeout=120, stdin=subprocess.DEVNULL, check=False, env={'PATH': '/usr/bin:/bin:/sbin'})
            kept = {}
            for name in os.listdir(keep):
                with open(os.path.join(keep, name), encoding='utf-8') as file:
                    kept[name] = file.read()
            return done, kept

    def test_each_host_knows_its_place(self):
        done, kept = self.in_container('''
$millrace doctor --json > $keep/file
SM_CURRENT_HOST=algo-2 $millrace doctor --json > $keep/variable
''')
        self.assertEqual(done.returncode, 0, done.stderr)
        for name, rank in (('file', 0), ('variable', 1)):
            launch = json.loads(kept[name])['launch']
            self.assertEqual((launch['source'], launch['rank'], launch['size'], launch['coordinator']),
                             ('sagemaker', rank, 2, 'algo-1:7777'))

    def test_a_full_disk_fails_the_job_and_says_why(self):
        done, kept = self.in_container('''
echo '{"current_host": "algo-1", "hosts": ["algo-1"]}' > /opt/ml/input/config/resourceconfig.json
mount -t tmpfs -o size=64k none /opt/ml/checkpoints
$millrace model mlp --layers=4 --features=64 --width=256 --classes=8 --out=/opt/mlp.pb
$millrace partition /opt/mlp.pb --pp=1 --micro-batch=2 --micro-batches=2 --out=/opt/ml/input/data/plan/mlp.plan
echo '{"steps": "2", "data": "synthetic", "quiet": "true"}' > /opt/ml/input/config/hyperparameters.json
$millrace sagemaker train
code=$?
cp /opt/ml/output/failure $keep/failure
exit $code
''')
        self.assertEqual(done.returncode, 74, done.stderr)
        self.assertIn('/opt/ml/checkpoints', kept['failure'])
        self.assertLessEqual(len(kept['failure']), 1024)


if __name__ == '__main__':
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', 'house'))
    import xml_runner
    xml_runner.main()
