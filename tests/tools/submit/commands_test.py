"""Launchers that are commands, and scripts for the others: run against programs that stand for the real ones."""
import json
import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
import schema  # noqa: E402
import submission  # noqa: E402

# A cluster of one machine: what the script uses of Ray, run in this process.
RAY = '''
import sys
class _Call:
    def __init__(self, function): self.remote = lambda *a: function(*a)
class _Actor:
    def __init__(self, thing):
        self._thing = thing
    def __getattr__(self, name):
        return _Call(getattr(self._thing, name))
def remote(**options):
    def decorate(kind):
        class Made:
            @staticmethod
            def options(**options):
                return _Call(lambda: _Actor(kind()))
        return Made
    return decorate
def init(): pass
def get(what): return what
def kill(actor): pass
class _Namespace: pass
def get_runtime_context():
    context = _Namespace()
    context.get_node_id = lambda: 'node'
    return context
util = _Namespace()
util.get_node_ip_address = lambda: '127.0.0.1'
class _Group:
    def ready(self): return None
util.placement_group = lambda bundles, strategy: _Group()
util.remove_placement_group = lambda group: None
util.scheduling_strategies = _Namespace()
util.scheduling_strategies.PlacementGroupSchedulingStrategy = lambda placement_group: None
'''


class Commands(submission.SubmitCase):
    def run_script(self, name, *program, **variables):
        environment = {'PATH': self.programs + ':/usr/bin:/bin', 'HOME': self.folder, **variables}
        return subprocess.run([*program, name], cwd=self.folder, env=environment, capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL, check=False)

    def local(self, code, *args):
        """The ranks of a job of stand-ins that end with `code`, in order, and how the job ended."""
        self.stand_in('rank', code)
        result = self.run_millrace('submit', 'mlp.plan', '--job=job.textproto', '--launcher=local',
                                   '--program=' + os.path.join(self.programs, 'rank'), *args)
        return self.calls('rank'), result

    def test_local_ranks_are_processes_of_this_machine(self):
        calls, result = self.local(0, '--', submission.NASTY)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(calls), 4)
        for call in calls:
            self.assertEqual(call['argv'], ['train', '--plan=mlp.plan', '--job=job.textproto', '--comm=gloo',
                                            '--resume=auto', submission.NASTY])
            self.assertNotEqual(call['token_file'], '')
        self.assertEqual(self.left_behind(), [])

    def test_a_local_job_ends_with_the_code_of_the_rank_to_blame(self):
        calls, result = self.local(65)
        self.assertEqual(result.returncode, 65)
        self.assertLessEqual(len(calls), 4, 'bad input is not tried again')
        self.assertIn('rank ', result.stderr)

    def test_a_local_job_is_started_again(self):
        calls, result = self.local(75, '--max-restarts=1')
        self.assertEqual(result.returncode, 75, result.stderr)
        self.assertGreaterEqual(len(calls), 2)

    def test_local_dry_run(self):
        text = self.submit('local', '--dry-run')
        self.assertEqual(text.split()[1:], ['train', '--plan=mlp.plan', '--job=job.textproto', '--comm=gloo',
                                            '--resume=auto'])
        self.assertTrue(os.path.samefile(text.split()[0], submission.BINARY))

    def test_mpirun_is_run(self):
        self.stand_in('mpirun')
        self.submit('mpirun', '--', submission.NASTY)
        call, = self.calls('mpirun')
        self.assertEqual(call['argv'][:2], ['-np', '4'])
        train = call['argv'][call['argv'].index('millrace'):]
        self.assertEqual(train, ['millrace', 'train', '--plan=mlp.plan', '--job=job.textproto', '--comm=mpi',
                                 '--resume=auto', submission.NASTY])
        self.assertEqual('--allow-run-as-root' in call['argv'], os.geteuid() == 0)
        self.assertRegex(call['token'], '^[0-9a-f]{64}$')
        self.assertEqual(call['token_mode'], 0o600)
        self.assertEqual(self.left_behind(), [])

    def test_the_launchers_exit_code_is_ours(self):
        self.stand_in('mpirun', 75)
        result = self.run_millrace('submit', 'mlp.plan', '--launcher=mpirun')
        self.assertEqual(result.returncode, 75)
        self.assertIn('mpirun ended with code 75', result.stderr)
        self.assertEqual(self.left_behind(), [])

    def test_a_dry_run_prints_and_runs_nothing(self):
        self.stand_in('mpirun')
        text = self.submit('mpirun', '--dry-run', '--hostfile=hosts file', '--ranks-per-node=2', '--insecure')
        self.assertIn("--hostfile 'hosts file' --map-by ppr:2:node", text)
        self.assertEqual(self.calls('mpirun'), [])

    def test_mpirun_over_machines_is_encrypted_or_said_not_to_be(self):
        for comm in ('mpi', 'gloo'):
            self.assertIn('--insecure', self.refused(2, 'mpirun', '--ranks-per-node=2', f'--comm={comm}'))
        text = self.submit('mpirun', '--dry-run', '--ranks-per-node=2', '--', '--tls-certificate=c', '--tls-key=k',
                           '--tls-authority=a')
        self.assertNotIn('--insecure', text)
        self.assertIn('--tls-certificate=c --tls-key=k --tls-authority=a', text)

    def test_a_launcher_that_is_not_there(self):
        result = self.run_millrace('submit', 'mlp.plan', '--launcher=torchrun', PATH=self.programs)
        self.assertEqual(result.returncode, 69)
        self.assertIn('torchrun is not installed here', result.stderr)
        self.assertIn('--nproc_per_node=4', result.stdout)

    def test_torchrun_is_run(self):
        self.stand_in('torchrun')
        self.submit('torchrun', '--max-restarts=2')
        call, = self.calls('torchrun')
        self.assertEqual(call['argv'][:8], ['-r', '1', '-t', '1', '--standalone', '--nproc_per_node=4', '--max_restarts=2',
                                            '--no_python'])
        self.assertIn('--comm=gloo', call['argv'])

    def test_torchrun_over_machines(self):
        self.assertIn('--coordinator', self.refused(2, 'torchrun', '--ranks-per-node=2', '--insecure'))
        text = self.submit('torchrun', '--ranks-per-node=2', '--insecure', '--coordinator=node1:29500')
        self.assertIn('--nnodes=2 --node_rank=NODE --master_addr=node1 --master_port=29500 --nproc_per_node=2', text)

    def slurm(self, *args):
        self.submit('slurm', '--name=gpt', '--out=gpt.sbatch', *args)
        return self.read('gpt.sbatch')

    def test_slurm_hands_the_script_in(self):
        self.stand_in('sbatch')
        script = self.slurm('--insecure', '--ranks-per-node=2', '--partition=cpu', '--grace=90', '--cpus=2')
        self.assertEqual(self.calls('sbatch')[0]['argv'], ['gpt.sbatch'])
        for line in ('--nodes=2', '--ntasks=4', '--ntasks-per-node=2', '--cpus-per-task=2', '--signal=TERM@90',
                     '--partition=cpu', '--requeue', '--job-name=gpt'):
            self.assertIn(f'\n#SBATCH {line}\n', script)

    def test_slurm_script_runs_and_leaves_no_token(self):
        self.slurm('--dry-run', '--', submission.NASTY)
        for code, restarts, again in ((0, '0', False), (75, '0', True), (75, '3', False), (65, '0', False)):
            self.setUp()
            self.stand_in('srun', code)
            self.stand_in('scontrol')
            result = self.run_script('gpt.sbatch', 'sh', SLURM_JOB_ID='12', SLURM_SUBMIT_DIR=self.folder,
                                     SLURM_RESTART_COUNT=restarts)
            self.assertEqual(result.returncode, code, result.stderr)
            call, = self.calls('srun')
            self.assertEqual(call['argv'][-1], submission.NASTY)
            self.assertIn('--kill-on-bad-exit=1', call['argv'])
            self.assertRegex(call['token'], '^[0-9a-f]{64}$')
            self.assertEqual(call['token_mode'], 0o600)
            self.assertEqual([c['argv'] for c in self.calls('scontrol')], [['requeue', '12']] if again else [])
            self.assertEqual(self.left_behind(), [])

    def test_slurm_values_stay_in_their_line(self):
        for flag in ('--partition=a b', '--partition=a\n#SBATCH --uid=0', '--time=1;id', '--cpus=500m', '--name=a;b'):
            self.assertIn(flag.split('=')[0], self.refused(2, 'slurm', '--insecure', flag))

    def test_sagemaker(self):
        self.assertIn('--role', self.refused(2, 'sagemaker', '--insecure'))
        self.submit('sagemaker', '--insecure', '--role=arn:aws:iam::123456789012:role/train', '--bucket=s3://mine/runs',
                    '--name=gpt', '--time=02:30:00', '--out=gpt.sh', '--image=1.dkr.ecr.eu-west-1.amazonaws.com/m:1',
                    '--', submission.NASTY, '--steps=5', '--shuffle')
        self.assertEqual(os.stat(self.path('gpt.sh')).st_mode & 0o777, 0o600)
        self.stand_in('aws')
        result = self.run_script('gpt.sh', 'sh')
        self.assertEqual(result.returncode, 0, result.stderr)
        plan, job, create = self.calls('aws')
        self.assertEqual(plan['argv'], ['s3', 'cp', 'mlp.plan', 's3://mine/runs/gpt/plan/'])
        self.assertEqual(job['argv'], ['s3', 'cp', 'job.textproto', 's3://mine/runs/gpt/job/'])
        self.assertEqual(create['argv'][:2], ['sagemaker', 'create-training-job'])
        made = json.loads(create['stdin'])
        name, value = submission.NASTY[2:].split('=', 1)
        self.assertEqual(made['HyperParameters'][name], value)
        self.assertEqual((made['HyperParameters']['steps'], made['HyperParameters']['shuffle']), ('5', 'true'))
        self.assertEqual(made['StoppingCondition']['MaxRuntimeInSeconds'], 9000)
        self.assertEqual(made['ResourceConfig']['InstanceCount'], 4)
        if schema.WHY_NOT:
            self.skipTest(f'the job is not checked against its schema: {schema.WHY_NOT}')
        self.assertEqual(schema.faults('CreateTrainingJob', made), [])

    def test_ray_script_starts_every_rank(self):
        self.submit('ray', '--insecure', '--name=gpt', '--out=gpt.py', '--max-restarts=2', '--', submission.NASTY)
        os.makedirs(self.path('stub'), exist_ok=True)
        with open(self.path('stub/ray.py'), 'w', encoding='utf-8') as file:
            file.write(RAY)
        for code, ends, attempts in ((0, 0, 1), (75, 75, 3), (65, 65, 1)):
            self.setUp()
            self.rank_recorder(code)
            result = self.run_script('gpt.py', sys.executable, PYTHONPATH=self.path('stub'))
            self.assertEqual(result.returncode, ends, result.stderr)
            ranks = self.ranks_seen()
            self.assertEqual([r['RANK'] for r in ranks], ['0', '1', '2', '3'] * attempts)
            self.assertEqual(ranks[3]['LOCAL_RANK'], '3')
            self.assertEqual({r['WORLD_SIZE'] for r in ranks}, {'4'})
            self.assertEqual(len({(r['MASTER_ADDR'], r['MASTER_PORT']) for r in ranks}), attempts)
            self.assertEqual({r['last'] for r in ranks}, {submission.NASTY})
            self.assertEqual({r['plan'] for r in ranks}, {'same'})

    def rank_recorder(self, code):
        """A `millrace` that notes its variables and whether its plan is the one that was submitted."""
        path = os.path.join(self.programs, 'millrace')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'''#!{sys.executable}
import json, os, sys
plan = next(a for a in sys.argv if a.startswith('--plan=')).split('=', 1)[1]
same = open(plan, 'rb').read() == open({self.path('mlp.plan')!r}, 'rb').read()
assert os.stat(os.environ['MILLRACE_TOKEN_FILE']).st_mode & 0o777 == 0o600
seen = dict(os.environ, last=sys.argv[-1], plan='same' if same else 'another')
open(__file__ + '.calls', 'a').write(json.dumps(seen) + chr(10))
sys.exit({code})
''')
        os.chmod(path, 0o755)

    def ranks_seen(self):
        return self.calls('millrace')

    def test_what_is_missing_or_unknown(self):
        self.assertIn('kubernetes', self.refused(2, 'kubernetis'))
        self.assertEqual(self.run_millrace('submit', 'mlp.plan').returncode, 2)
        self.assertEqual(self.run_millrace('submit', '--launcher=mpirun').returncode, 2)
        self.assertEqual(self.run_millrace('submit', 'absent.plan', '--launcher=mpirun').returncode, 66)
        self.assertEqual(self.run_millrace('submit', 'job.textproto', '--launcher=mpirun').returncode, 65)
        self.assertIn('only flags', self.refused(2, 'mpirun', 'second.plan'))


if __name__ == '__main__':
    sys.path.insert(0, os.path.join(HERE, '..', '..', 'house'))
    import xml_runner
    xml_runner.main()
