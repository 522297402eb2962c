"""Jobs of four small ranks under several launchers: started with a fault, watched to their end, looked after for what
they leave behind."""
import glob
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.getcwd(), 'tests/end_to_end'))
import runs  # noqa: E402

RANKS = 4  # two replicas of two stages
LAUNCHERS = re.compile(r'MILLRACE_|RANK|WORLD_SIZE|LOCAL_|MASTER_|GROUP_|OMPI_|PMI|PET_|SLURM_|TORCHELASTIC_')
# What says whose end it was, in every way the program, the supervisor and mpirun say it.
ACCUSED = re.compile(r'\brank (\d+)(?:, whose process is the coordinator at [^,]*,)? (?:died|hung|was killed by)')
ACCUSED_BY_MPIRUN = re.compile(r'process rank (\d+) with PID \d+ on node \S+ exited on signal')


def clean_environment(**more):
    """This process's own, without what a launcher around the test may have left in it."""
    kept = {name: value for name, value in os.environ.items() if not LAUNCHERS.match(name)}
    return {**kept, **more}


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Work:
    """The plan and data of all jobs, made once."""

    def __init__(self, shard_optimizer=1):
        self.folder = tempfile.mkdtemp(dir=os.environ.get('TEST_TMPDIR'))
        self.text = self.at('words.txt')
        self.plan = self.at('pp2dp2.plan')
        runs.write_text(self.text)
        self.make('model', 'gpt2', '--layers=2', '--heads=2', '--width=32', '--vocab=256', '--context=32',
                  f'--out={self.at("gpt.textproto")}')
        self.make('partition', self.at('gpt.textproto'), '--pp=2', '--dp=2', f'--shard-optimizer={shard_optimizer}',
                  '--micro-batch=1', '--micro-batches=3', f'--out={self.plan}')

    def at(self, name):
        return os.path.join(self.folder, name)

    def make(self, *arguments):
        done = subprocess.run([runs.PROGRAM, *arguments], capture_output=True, text=True, errors='replace',
                              check=False, env=clean_environment())
        assert done.returncode == 0, done.stderr

    def train(self, out, *more, steps=100000):
        return [runs.PROGRAM, 'train', f'--plan={self.plan}', f'--data={self.text}', f'--steps={steps}', '--threads=1',
                '--eval-micro-batches=0', '--sample-bytes=0', '--checkpoint-every=4', f'--out={out}', *more]

    def remove(self):
        shutil.rmtree(self.folder)


class Job:
    """One start of all ranks. Use as a context: nothing of it lives on."""

    def __init__(self, work, launcher, fault='', flags=(), environment=None, steps=100000):
        self.work, self.launcher = work, launcher
        self.folder = tempfile.mkdtemp(dir=work.folder)
        self.temporary = os.path.join(self.folder, 'tmp')
        os.mkdir(self.temporary)
        self.out = os.path.join(self.folder, 'run')
        self.environment = clean_environment(TMPDIR=self.temporary, PMIX_SERVER_TMPDIR=self.temporary,
                                             MILLRACE_FAULT=fault, **(environment or {}))
        self.started = []  # processes of ours: the launcher, or the ranks themselves
        self.rank_pids = {}
        self.files = []
        self._start(work.train(self.out, *flags, steps=steps))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in self.started:
            process.wait()
        for file in self.files:
            file.close()
        shutil.rmtree(self.folder)

    def _spawn(self, name, command, **more):
        file = open(os.path.join(self.folder, name), 'w+', encoding='utf-8', errors='replace')
        self.files.append(file)
        self.started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                             env={**self.environment, **more}))

    def _start(self, train):
        if self.launcher == 'local':
            self._spawn('launcher', [*train, '--comm=gloo'])
        elif self.launcher == 'mpirun':
            self._spawn('launcher', ['mpirun', '-np', str(RANKS), '--oversubscribe', '--allow-run-as-root',
                                     *train, '--comm=mpi'])
        elif self.launcher == 'env':
            port = str(free_port())
            for rank in range(RANKS):
                self._spawn(f'rank{rank}', train, RANK=str(rank), WORLD_SIZE=str(RANKS), LOCAL_RANK=str(rank),
                            LOCAL_WORLD_SIZE=str(RANKS), MASTER_ADDR='localhost', MASTER_PORT=port)
                self.rank_pids[rank] = self.started[-1].pid
        else:
            raise ValueError(self.launcher)

    def said(self, name=None):
        text = ''
        for path in sorted(glob.glob(os.path.join(self.folder, name or '*'))):
            if os.path.isfile(path):
                with open(path, encoding='utf-8', errors='replace') as file:
                    text += file.read()
        return text

    def running(self):
        return any(process.poll() is None for process in self.started)

    def processes(self):
        """Every process of this job: their command lines name its folder."""
        found = []
        for entry in os.listdir('/proc'):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open(f'/proc/{entry}/cmdline', 'rb') as file:
                    if self.folder.encode() in file.read():
                        found.append(int(entry))
            except OSError:
                continue
        return found

    def descendants(self):
        """Those of what was started here, which is quicker to find than all processes of the job."""
        found, new = [], [process.pid for process in self.started]
        while new:
            found += new
            pids, new = new, []
            for pid in pids:
                try:
                    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
                        new += [int(child) for child in file.read().split()]
                except OSError:
                    continue
        return found

    def find_ranks(self, patience=60):
        """The process of each rank, once all have been started. None when the job ends before."""
        names = {'local': 'MILLRACE_RANK', 'mpirun': 'OMPI_COMM_WORLD_RANK', 'env': 'RANK'}
        until = time.monotonic() + patience
        while len(self.rank_pids) < RANKS:
            if not self.running() or time.monotonic() > until:
                return None
            for pid in self.descendants():
                try:
                    with open(f'/proc/{pid}/environ', 'rb') as file:
                        pairs = dict(pair.split(b'=', 1) for pair in file.read().split(b'\0') if b'=' in pair)
                except OSError:
                    continue
                rank = pairs.get(names[self.launcher].encode())
                if rank is not None:
                    self.rank_pids[int(rank)] = pid
            time.sleep(0.02)
        return self.rank_pids

    def wait_for(self, pattern, patience=120):
        until = time.monotonic() + patience
        while time.monotonic() < until:
            text = self.said()
            if re.search(pattern, text):
                return text
            if not self.running():
                break
            time.sleep(0.05)
        raise AssertionError(f'{pattern!r} was not said:\n{self.said()}')

    def end_times(self, pids, patience):
        """When each of these processes ended; those that did not are left out."""
        ends, open_fds = {}, {}
        for pid in pids:
            try:
                open_fds[os.pidfd_open(pid)] = pid
            except ProcessLookupError:
                ends[pid] = time.monotonic()
        return self._drain(open_fds, ends, time.monotonic() + patience)

    @staticmethod
    def _drain(open_fds, ends, until):
        poll = select.poll()
        for fd in open_fds:
            poll.register(fd, select.POLLIN)
        while open_fds and time.monotonic() < until:
            for fd, _ in poll.poll(50):
                ends[open_fds.pop(fd)] = time.monotonic()
                poll.unregister(fd)
                os.close(fd)
        for fd in open_fds:
            os.close(fd)
        return ends

    def left_behind(self, patience=1.0):
        """Processes, and files in the folder for temporary ones, that are still there a moment after the end."""
        until = time.monotonic() + patience
        while True:
            orphans = self.processes()
            if not orphans or time.monotonic() > until:
                break
            time.sleep(0.02)
        files = [os.path.relpath(path, self.folder) for path in glob.glob(self.temporary + '/**', recursive=True)
                 if not os.path.isdir(path)]
        files += glob.glob(self.out + '/checkpoint/*.tmp.*')
        return orphans, files


def state_of(pid):
    """'R', 'S', 'T' ...; '' when the process is gone."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
            return file.read().rsplit(')', 1)[1].split()[0]
    except OSError:
        return ''


def accused(text):
    """The ranks that are said to have died, hung or been killed."""
    return {int(rank) for pattern in (ACCUSED, ACCUSED_BY_MPIRUN) for rank in pattern.findall(text)}
