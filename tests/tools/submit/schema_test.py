"""The fixture for manifests refuses what the APIs refuse: shown by spoiling every place of good objects, one at a time."""
import copy
import json
import os
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
import schema  # noqa: E402
import submission  # noqa: E402

# Maps whose keys are the user's.
FREE = {'labels', 'selector', 'binaryData', 'stringData', 'HyperParameters', 'Environment'}
MANIFESTS = (
    ('kubernetes', '--insecure', '--volume=runs'),
    ('kubernetes', '--ranks-per-node=2', '--tls-secret=cert'),
    ('kubeflow', '--insecure', '--ranks-per-node=2'),
    ('kubeflow', '--insecure', '--kind=PyTorchJob'),
    ('kubeflow', '--insecure', '--kind=MPIJob', '--ranks-per-node=2'),
)


def places(value, path=()):
    """Every place in it, outermost first: paths of keys and indices."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from places(child, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def another_type(value):
    """Something that no API takes in the place of this: a text that is no number for numbers, a number for texts."""
    return 7 if isinstance(value, (str, list, dict)) else 'seven'


@unittest.skipIf(schema.WHY_NOT, schema.WHY_NOT)
class Schema(submission.SubmitCase):
    @classmethod
    def setUpClass(cls):
        """`good`: pairs of a kind and an object, as `submit` writes them."""
        super().setUpClass()
        cls.good = []
        for arguments in MANIFESTS:
            cls.good.extend(schema.objects_of(cls.submit(*arguments)).items())
        script = cls.submit('sagemaker', '--insecure', '--role=arn:aws:iam::123456789012:role/train', '--name=gpt',
                            '--bucket=s3://mine/runs')
        job = script.partition("<<'MILLRACE_JOB'\n")[2].partition('\nMILLRACE_JOB')[0]
        cls.good.append(('CreateTrainingJob', json.loads(job)))

    def refused(self, kind, item, path, change):
        """The change is made in a copy, at the path, and must be noticed."""
        spoilt = copy.deepcopy(item)
        change(spoilt)
        self.assertTrue(schema.faults(kind, spoilt), f'{kind}: {path} is not checked')

    def test_all_that_is_written_is_good(self):
        kinds = set()
        for kind, item in self.good:
            self.assertEqual(schema.faults(kind, item), [])
            kinds.add(kind)
        self.assertEqual(kinds, {'ConfigMap', 'Secret', 'Service', 'Job', 'TrainingRuntime', 'TrainJob', 'PyTorchJob',
                                 'MPIJob', 'CreateTrainingJob'})

    def test_unknown_fields_are_refused_at_every_depth(self):
        for kind, item in self.good:
            for path in places(item):
                if isinstance(at(item, path), dict) and not FREE.intersection(path[-1:]):
                    self.refused(kind, item, path, lambda spoilt, path=path: at(spoilt, path).update(unheardOf='x'))

    def test_misspelt_fields_are_refused(self):
        def misspell(spoilt, path):
            parent = at(spoilt, path[:-1])
            parent[path[-1].swapcase()] = parent.pop(path[-1])
        for kind, item in self.good:
            for path in places(item):
                if path and isinstance(path[-1], str) and not FREE.intersection(path[-2:-1]):
                    self.refused(kind, item, path, lambda spoilt, path=path: misspell(spoilt, path))

    def test_values_of_another_type_are_refused(self):
        def spoil(spoilt, path):
            at(spoilt, path[:-1])[path[-1]] = another_type(at(spoilt, path))
        for kind, item in self.good:
            for path in places(item):
                if path:
                    self.refused(kind, item, path, lambda spoilt, path=path: spoil(spoilt, path))

    def test_what_must_be_there(self):
        needed = {'Job': [('spec', 'template', 'spec', 'containers'), ('spec', 'template'), ('metadata', 'name')],
                  'Service': [('spec', 'selector')], 'TrainJob': [('spec', 'runtimeRef'), ('spec', 'runtimeRef', 'name')],
                  'TrainingRuntime': [('spec', 'template')], 'PyTorchJob': [('spec', 'pytorchReplicaSpecs', 'Master')],
                  'MPIJob': [('spec', 'mpiReplicaSpecs', 'Worker'), ('spec', 'mpiReplicaSpecs', 'Launcher')],
                  'ConfigMap': [('metadata',)], 'Secret': [('apiVersion',)],
                  'CreateTrainingJob': [('RoleArn',), ('ResourceConfig', 'InstanceCount'), ('StoppingCondition',)]}
        for kind, item in self.good:
            for path in needed[kind]:
                self.refused(kind, item, path, lambda spoilt, path=path: at(spoilt, path[:-1]).pop(path[-1]))

    def test_values_out_of_range_are_refused(self):
        wrong = {
            'Job': [(('metadata', 'name'), 'a' * 64), (('metadata', 'name'), 'Big'), (('spec', 'completions'), 0),
                    (('spec', 'backoffLimit'), -1), (('spec', 'template', 'spec', 'restartPolicy'), 'Always'),
                    (('spec', 'podFailurePolicy', 'rules', 0, 'onExitCodes', 'values'), [0]),
                    (('spec', 'podFailurePolicy', 'rules', 0, 'onExitCodes', 'values'), [2, 2]),
                    (('spec', 'template', 'spec', 'containers', 0, 'ports', 0, 'containerPort'), 65536),
                    (('spec', 'template', 'spec', 'containers', 0, 'ports', 0, 'name'), 'sixteen-letters-'),
                    (('spec', 'template', 'spec', 'containers', 0, 'env', 0, 'name'), 'A-B C'),
                    (('spec', 'template', 'spec', 'containers', 0, 'resources', 'limits', 'memory'), '1GB'),
                    (('spec', 'template', 'spec', 'volumes', 0, 'secret'), {'secretName': 'two sources'})],
            'Service': [(('spec', 'clusterIP'), '10.0.0.1'), (('spec', 'ports', 0, 'port'), 0)],
            'ConfigMap': [(('apiVersion',), 'v2'), (('binaryData', 'plan.pb'), 'not base64!'),
                          (('binaryData', 'a/b'), 'AAAA')],
            'Secret': [(('kind',), 'ConfigMap'), (('stringData', 'a b'), 'x')],
            'TrainJob': [(('apiVersion',), 'kubeflow.org/v1'), (('spec', 'runtimeRef', 'kind'), 'Runtime'),
                         (('spec', 'trainer', 'numNodes'), 0)],
            'TrainingRuntime': [(('spec', 'template', 'spec', 'replicatedJobs'), [])],
            'PyTorchJob': [(('spec', 'nprocPerNode'), 2), (('spec', 'runPolicy', 'cleanPodPolicy'), 'Some')],
            'MPIJob': [(('apiVersion',), 'kubeflow.org/v1'), (('spec', 'slotsPerWorker'), '2')],
            'CreateTrainingJob': [(('TrainingJobName',), 'a_b'), (('RoleArn',), 'train'),
                                  (('OutputDataConfig', 'S3OutputPath'), 'https://mine'),
                                  (('StoppingCondition', 'MaxRuntimeInSeconds'), 2419201),
                                  (('RetryStrategy', 'MaximumRetryAttempts'), 31),
                                  (('Environment', 'MILLRACE_TOKEN'), 'x' * 513)]}
        for kind, item in self.good:
            for path, value in wrong[kind]:
                self.refused(kind, item, (path, value),
                             lambda spoilt, path=path, value=value: at(spoilt, path[:-1]).update({path[-1]: value}))

    def test_kinds_without_a_fixture_are_refused(self):
        self.assertTrue(schema.faults('RayJob', {'kind': 'RayJob'}))


if __name__ == '__main__':
    sys.path.insert(0, os.path.join(HERE, '..', '..', 'house'))
    import xml_runner
    xml_runner.main()
