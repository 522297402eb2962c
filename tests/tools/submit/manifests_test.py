"""Manifests for Kubernetes and Kubeflow: fields that exist, parts that fit together, text that comes through whole."""
import base64
import os
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
import schema  # noqa: E402
import submission  # noqa: E402


@unittest.skipIf(schema.WHY_NOT, schema.WHY_NOT)
class Manifests(submission.SubmitCase):
    def objects(self, launcher, *args):
        """The objects of the manifest, by kind, each valid."""
        found = schema.objects_of(self.submit(launcher, *args))
        for kind, item in found.items():
            self.assertEqual(schema.faults(kind, item), [])
        return found

    def check_pod(self, pod, objects):
        """Volumes are there, mounts name them, and what they come from is in the manifest."""
        volumes = {volume['name']: volume for volume in pod['volumes']}
        for container in pod['containers']:
            mounts = {mount['name']: mount['mountPath'] for mount in container['volumeMounts']}
            self.assertEqual(set(mounts), set(volumes))
            variables = {v['name']: v.get('value') for v in container['env']}
            self.assertEqual(len(variables), len(container['env']), 'a variable twice')
            self.assertTrue(variables['MILLRACE_TOKEN_FILE'].startswith(mounts['token'] + '/'))
        if 'plan' in volumes:
            self.assertEqual(volumes['plan']['configMap']['name'], objects['ConfigMap']['metadata']['name'])
        self.assertEqual(volumes['token']['secret']['secretName'], objects['Secret']['metadata']['name'])

    def check_plan(self, objects, command):
        with open(self.path('mlp.plan'), 'rb') as file:
            plan = file.read()
        files = objects['ConfigMap']['binaryData']
        self.assertEqual(base64.b64decode(files['plan.pb']), plan)
        self.assertEqual(base64.b64decode(files['job.textproto']).decode(), self.read('job.textproto'))
        self.assertIn('--plan=/millrace/config/plan.pb', command)
        self.assertIn('--job=/millrace/config/job.textproto', command)

    def test_kubernetes(self):
        objects = self.objects('kubernetes', '--insecure', '--name=gpt', '--namespace=ml', '--volume=runs')
        job = objects['Job']['spec']
        self.assertEqual((job['completions'], job['parallelism'], job['completionMode']), (4, 4, 'Indexed'))
        pod = job['template']['spec']
        self.check_pod(pod, objects)
        command = pod['containers'][0]['command']
        self.assertEqual(command[:2], ['millrace', 'train'])
        self.check_plan(objects, command)
        self.assertIn('--insecure', command)
        self.assertIn('--out=/data/gpt', command)
        labels = job['template']['metadata']['labels']
        selector = objects['Service']['spec']['selector']
        self.assertEqual({key: labels.get(key) for key in selector}, selector)
        self.assertEqual(pod['subdomain'], objects['Service']['metadata']['name'])
        variables = {v['name']: v for v in pod['containers'][0]['env']}
        self.assertEqual(variables['MILLRACE_COORDINATOR']['value'], 'gpt-0.gpt.ml.svc:29500')
        self.assertEqual(variables['MILLRACE_SIZE']['value'], '4')
        self.assertIn('job-completion-index', variables['MILLRACE_RANK']['valueFrom']['fieldRef']['fieldPath'])
        rules = job['podFailurePolicy']['rules']
        self.assertEqual(rules[0]['onExitCodes']['values'], [2, 65, 66, 78, 93])
        self.assertEqual(rules[0]['onExitCodes']['containerName'], pod['containers'][0]['name'])
        self.assertEqual(rules[1]['onPodConditions'][0]['type'], 'DisruptionTarget')
        self.assertGreaterEqual(pod['terminationGracePeriodSeconds'], 30)
        self.assertTrue(pod['containers'][0]['securityContext']['readOnlyRootFilesystem'])

    def test_kubernetes_with_several_ranks_a_pod(self):
        objects = self.objects('kubernetes', '--insecure', '--ranks-per-node=2')
        self.assertEqual(objects['Job']['spec']['completions'], 2)
        variables = {v['name']: v.get('value') for v in objects['Job']['spec']['template']['spec']['containers'][0]['env']}
        self.assertEqual((variables['PET_NNODES'], variables['PET_NPROC_PER_NODE']), ('2', '2'))
        self.assertIn('PET_NODE_RANK', variables)

    def test_one_pod_needs_no_word_about_encryption(self):
        self.assertEqual(self.objects('kubernetes', '--ranks-per-node=4')['Job']['spec']['completions'], 1)

    def test_certificates_take_the_place_of_insecure(self):
        objects = self.objects('kubernetes', '--tls-secret=cert')
        pod = objects['Job']['spec']['template']['spec']
        self.assertNotIn('--insecure', pod['containers'][0]['command'])
        self.assertIn('--tls-certificate=/millrace/tls/tls.crt', pod['containers'][0]['command'])
        self.assertIn('cert', [v.get('secret', {}).get('secretName') for v in pod['volumes']])

    def test_plan_on_a_volume(self):
        objects = self.objects('kubernetes', '--insecure', '--volume=runs', '--plan-at=/data/big.plan')
        self.assertNotIn('plan.pb', objects['ConfigMap']['binaryData'])
        self.assertIn('--plan=/data/big.plan', objects['Job']['spec']['template']['spec']['containers'][0]['command'])

    def test_text_comes_through_whole(self):
        objects = self.objects('kubernetes', '--insecure', '--', submission.NASTY, '--data=null', '--name=no')
        command = objects['Job']['spec']['template']['spec']['containers'][0]['command']
        self.assertEqual(command[-3:], [submission.NASTY, '--data=null', '--name=no'])

    def test_trainjob(self):
        objects = self.objects('kubeflow', '--insecure', '--ranks-per-node=2')
        runtime, job = objects['TrainingRuntime'], objects['TrainJob']
        self.assertEqual(job['spec']['runtimeRef']['name'], runtime['metadata']['name'])
        self.assertEqual(job['spec']['trainer'], {'numNodes': 2, 'numProcPerNode': 2})
        replicated, = runtime['spec']['template']['spec']['replicatedJobs']
        self.assertEqual(replicated['name'], 'node')
        self.assertEqual(replicated['template']['metadata']['labels'],
                         {'trainer.kubeflow.org/trainjob-ancestor-step': 'trainer'})
        pod = replicated['template']['spec']['template']['spec']
        self.assertEqual(pod['containers'][0]['name'], 'node')
        self.check_pod(pod, objects)
        self.check_plan(objects, pod['containers'][0]['command'])

    def test_pytorchjob(self):
        objects = self.objects('kubeflow', '--insecure', '--kind=PyTorchJob')
        specs = objects['PyTorchJob']['spec']['pytorchReplicaSpecs']
        self.assertEqual((specs['Master']['replicas'], specs['Worker']['replicas']), (1, 3))
        for replica in specs.values():
            self.assertEqual(replica['template']['spec']['containers'][0]['name'], 'pytorch')
            self.check_pod(replica['template']['spec'], objects)

    def test_mpijob(self):
        self.assertIn('--insecure', self.refused(2, 'kubeflow', '--kind=MPIJob', '--comm=mpi', '--ranks-per-node=2'))
        objects = self.objects('kubeflow', '--kind=MPIJob', '--comm=mpi', '--ranks-per-node=2', '--insecure')
        spec = objects['MPIJob']['spec']
        self.assertEqual((spec['slotsPerWorker'], spec['mpiReplicaSpecs']['Worker']['replicas']), (2, 2))
        command = spec['mpiReplicaSpecs']['Launcher']['template']['spec']['containers'][0]['command']
        self.assertEqual(command[:5], ['mpirun', '-np', '4', 'millrace', 'train'])
        self.assertIn('--comm=mpi', command)
        self.assertIn('--insecure', command)
        for replica in spec['mpiReplicaSpecs'].values():
            self.check_pod(replica['template']['spec'], objects)

    def test_secrets_are_of_this_job_alone(self):
        tokens = {self.objects('kubernetes', '--insecure')['Secret']['stringData']['token'] for _ in range(2)}
        self.assertEqual(len(tokens), 2)
        for token in tokens:
            self.assertRegex(token, '^[0-9a-f]{64}$')

    def test_file_and_the_one_command(self):
        self.assertEqual(self.submit('kubernetes', '--insecure', '--out=job.yaml'), 'kubectl apply -f job.yaml\n')
        self.assertEqual(os.stat(self.path('job.yaml')).st_mode & 0o777, 0o600)
        self.assertEqual(len(schema.objects_of(self.read('job.yaml'))), 4)

    def test_names_that_are_none_are_refused(self):
        for flag in ('--name=Big', '--name=a_b', '--name=-a', '--name=' + 'a' * 51, '--name=a\nb', '--namespace=A',
                     '--image=a b', '--image=', '--volume=a/b', '--mount=data', '--mount=/', '--mount=/a/../b',
                     '--plan-at=plan', '--cpus=two', '--cpus=', '--memory=1GB', '--ranks-per-node=3', '--port=80',
                     '--grace=0', '--max-restarts=-1', '--comm=nccl', '--tls-secret=a b'):
            self.assertIn(flag.split('=')[0], self.refused(2, 'kubernetes', '--insecure', flag))

    def test_several_machines_without_encryption_must_be_said(self):
        self.assertIn('--insecure', self.refused(2, 'kubernetes'))

    def test_a_plan_too_large_for_a_config_map(self):
        with open(self.path('big.textproto'), 'w', encoding='utf-8') as file:
            file.write('#' * (800 << 10) + '\nschema_version: 1\n')
        self.assertIn('--plan-at', self.refused(2, 'kubernetes', '--insecure', '--job=big.textproto'))

    def test_kinds(self):
        self.assertIn('TrainJob', self.refused(2, 'kubeflow', '--insecure', '--kind=TFJob'))


if __name__ == '__main__':
    sys.path.insert(0, os.path.join(HERE, '..', '..', 'house'))
    import xml_runner
    xml_runner.main()
