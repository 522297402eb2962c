"""A Slurm of one machine, started by the test: srun starts the ranks. Needs root, slurm-wlm and munge."""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/launchers'))
import launched  # noqa: E402
import xml_runner  # noqa: E402
from launched import jobs, runs  # noqa: E402

CONFIGURATION = '''
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SelectType=select/cons_tres
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP OverSubscribe=FORCE:4
'''


def why_not():
    if os.geteuid() != 0:
        return 'starting a Slurm needs root'
    for program in ('slurmctld', 'slurmd', 'srun', 'munged'):
        if not shutil.which(program, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin'):
            return f'{program} is not installed: apt-get install slurm-wlm munge'
    return None


class Slurm(launched.LaunchCase):
    @classmethod
    def setUpClass(cls):
        reason = why_not()
        if reason:
            raise unittest.SkipTest(reason)
        super().setUpClass()
        cls.daemons = []
        try:
            cls.start_slurm()
        except BaseException:
            cls.end_slurm()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.end_slurm()
        super().tearDownClass()

    @classmethod
    def start_slurm(cls):
        cls.slurm = tempfile.mkdtemp(prefix='slurm-', dir='/tmp')  # munge's socket: a short path, open to its user
        os.chmod(cls.slurm, 0o755)
        for name in ('spool', 'state'):
            os.mkdir(f'{cls.slurm}/{name}')
        munge = pwd.getpwnam('munge')
        own = f'{cls.slurm}/munge'
        os.mkdir(own, 0o711)
        with open(os.open(f'{own}/key', os.O_CREAT | os.O_WRONLY, 0o400), 'wb') as key:
            key.write(os.urandom(1024))
        for path in (own, f'{own}/key'):
            os.chown(path, munge.pw_uid, munge.pw_gid)
        cls.daemon(['/usr/sbin/munged', '--foreground', '--force', f'--key-file={own}/key',
                    f'--socket={own}/socket', f'--pid-file={own}/pid', f'--log-file={own}/log',
                    f'--seed-file={own}/seed'], user='munge', group='munge')
        configuration = CONFIGURATION.format(host=socket.gethostname().split('.')[0], folder=cls.slurm,
                                             controller=jobs.free_port(), daemon=jobs.free_port(),
                                             cores=os.cpu_count())
        configuration = configuration.replace('munge.socket', 'munge/socket')
        with open(f'{cls.slurm}/slurm.conf', 'w', encoding='ascii') as file:
            file.write(configuration)
        cls.environment = {'SLURM_CONF': f'{cls.slurm}/slurm.conf'}
        cls.await_file(f'{own}/socket')
        cls.daemon(['/usr/sbin/slurmctld', '-D'])
        cls.daemon(['/usr/sbin/slurmd', '-D'])
        until = time.monotonic() + 60
        while True:
            state = subprocess.run(['sinfo', '-h', '-o', '%T'], capture_output=True, text=True, check=False,
                                   env={**os.environ, **cls.environment}).stdout.strip()
            if state in ('idle', 'mixed'):
                return
            if time.monotonic() > until:
                raise unittest.SkipTest(f'Slurm does not come up here: the node is {state!r}')
            time.sleep(0.2)

    @classmethod
    def daemon(cls, command, **more):
        log = open(f'{cls.slurm}/{os.path.basename(command[0])}.out', 'w', encoding='utf-8')
        environment = {**os.environ, **getattr(cls, 'environment', {})}
        cls.daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                                            start_new_session=True, **more))
        log.close()

    @staticmethod
    def await_file(path):
        until = time.monotonic() + 20
        while not os.path.exists(path):
            if time.monotonic() > until:
                raise unittest.SkipTest(f'munged does not run here: no {path}')
            time.sleep(0.05)

    @classmethod
    def end_slurm(cls):
        for daemon in reversed(cls.daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(cls.slurm, ignore_errors=True)

    def srun(self, ranks, *train):
        return ['srun', '-n', str(ranks), '--overcommit', '--oversubscribe', runs.PROGRAM, *train]

    def test_srun(self):
        for ranks in (2, 4):
            out = f'srun{ranks}'
            self.finish([self.start(self.srun(ranks, *self.train(out, ranks)), self.environment)])
            self.assert_same_run(out, ranks)

    def test_a_killed_rank_ends_the_step(self):
        command = self.srun(2, *self.train('killed', 2))
        process = self.start(command, {**self.environment, 'MILLRACE_FAULT': 'kill:rank=1:at=LOAD:step=3'})
        said, _ = process.communicate(timeout=120)
        self.assertNotEqual(process.returncode, 0, said)
        self.assertRegex(said, r'rank 1 died')

    def test_sbatch_from_submit(self):
        script = self.at('job.sbatch')
        self.make('submit', self.at('2.plan'), '--launcher=slurm', '--dry-run', f'--out={script}', '--name=test', '--',
                  *self.train('sbatch', 2)[2:])
        with open(script, encoding='utf-8') as file:
            self.assertIn('srun', file.read())


if __name__ == '__main__':
    xml_runner.main()
