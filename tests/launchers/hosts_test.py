"""Two hosts on this machine, as clusters make them: pods of a Kubernetes Indexed Job whose names resolve late, and
SageMaker containers with their /opt/ml. Needs root and iproute2; skipped by name without."""
import json
import os
import secrets
import shutil
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/launchers'))
import launched  # noqa: E402
import links  # noqa: E402
import xml_runner  # noqa: E402
from launched import runs  # noqa: E402

LATE = 5  # seconds after which the names resolve


class Hosts(launched.LaunchCase):
    def setUp(self):
        reason = links.why_not()
        if reason:
            self.skipTest(reason)
        self.hosts = self.enterContext(links.TwoHosts())
        self.token = self.at('token')
        with open(os.open(self.token, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), 'w', encoding='ascii') as file:
            file.write(secrets.token_hex(32))

    def enterContext(self, context):  # unittest has it from Python 3.11 on
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def on_host(self, side, host_name, command, environment, mounts=()):
        return self.start(self.hosts.named_command(side, host_name, command, mounts), environment)

    def test_kubernetes_names_that_resolve_late(self):
        begun = time.monotonic()
        processes = []
        for side in (1, 0):
            # What the kubelet writes: the pod's own name.
            self.hosts.add_names(side, [f'{self.hosts.address(side)} job-{side}.mill.ml.svc.cluster.local job-{side}'])
            processes.append(self.on_host(side, f'job-{side}', [
                runs.PROGRAM, *self.train('kubernetes', 2, '--insecure', f'--token-file={self.token}')],
                {'JOB_COMPLETION_INDEX': str(side), 'KUBERNETES_SERVICE_HOST': '10.96.0.1', 'WORLD_SIZE': '2'}))
        time.sleep(LATE)
        self.assertFalse(os.path.exists(self.at('kubernetes')))
        self.hosts.add_names(1, [f'{self.hosts.address(0)} job-0.mill.ml.svc.cluster.local'])
        self.finish(processes)
        self.assertGreater(time.monotonic() - begun, LATE)
        self.assert_same_run('kubernetes', 2)

    def opt_ml(self, side, shared):
        """The tree that SageMaker gives a container, on this host."""
        root = self.at(f'{self._testMethodName}-ml{side}')
        for name in ('input/config', 'input/data/train', 'input/data/plan', 'model', 'output/data'):
            os.makedirs(f'{root}/{name}')
        configurations = {
            'resourceconfig': {'current_host': f'algo-{side + 1}', 'hosts': ['algo-2', 'algo-1'],
                               'network_interface_name': 'eth0', 'current_instance_type': 'ml.c5.xlarge',
                               'current_group_name': 'homogeneousCluster',
                               'instance_groups': [{'instance_group_name': 'homogeneousCluster',
                                                    'instance_type': 'ml.c5.xlarge',
                                                    'hosts': ['algo-2', 'algo-1']}]},
            # Every value is a string; some are JSON in it.
            'hyperparameters': {'steps': str(launched.STEPS), 'threads': '"1"', 'eval-micro-batches': '2',
                                'sample-bytes': '"0"', 'insecure': 'true', 'out': shared,
                                'sagemaker_program': '"train.py"'},
            'inputdataconfig': {'train': {'TrainingInputMode': 'File'}, 'plan': {'TrainingInputMode': 'File'}}}
        for name, value in configurations.items():
            with open(f'{root}/input/config/{name}.json', 'w', encoding='utf-8') as file:
                json.dump(value, file)
        shutil.copy(self.text, f'{root}/input/data/train/words.txt')
        shutil.copy(self.at('2.plan'), f'{root}/input/data/plan/2.plan')
        return root

    def test_sagemaker_with_two_hosts(self):
        # A folder that both hosts see, as FSx is mounted.
        shared = self.at('sagemaker')
        secret = secrets.token_hex(32)
        processes, temporary = [], []
        for side in (1, 0):
            self.hosts.add_names(side, [f'{self.hosts.address(0)} algo-1', f'{self.hosts.address(1)} algo-2'])
            temporary.append(self.at(f'tmp{side}'))
            os.mkdir(temporary[-1])
            processes.append(self.on_host(side, f'algo-{side + 1}', [runs.PROGRAM, 'sagemaker', 'train'],
                                          {'MILLRACE_TOKEN': secret, 'TMPDIR': temporary[-1]},
                                          [('/opt/ml', self.opt_ml(side, shared))]))
        self.finish(processes)
        self.assert_same_run('sagemaker', 2)
        self.assertTrue(os.path.exists(self.at(f'{self._testMethodName}-ml0/model/weights.safetensors')))
        self.assertFalse(os.path.exists(self.at(f'{self._testMethodName}-ml1/model/weights.safetensors')))
        for folder in temporary:
            self.assertEqual(os.listdir(folder), [])  # the token is nowhere on a disk

    def test_sagemaker_failure_is_told(self):
        root = self.opt_ml(0, self.at('never'))
        with open(f'{root}/input/config/hyperparameters.json', 'w', encoding='utf-8') as file:
            json.dump({'steps': '"many"'}, file)
        process = self.on_host(0, 'algo-1', [runs.PROGRAM, 'sagemaker', 'train'], {}, [('/opt/ml', root)])
        said, _ = process.communicate(timeout=60)
        self.assertNotEqual(process.returncode, 0)
        with open(f'{root}/output/failure', encoding='utf-8') as file:
            failure = file.read()
        self.assertIn('steps', failure, said)
        self.assertLessEqual(len(failure), 1024)


if __name__ == '__main__':
    xml_runner.main()
