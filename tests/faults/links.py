"""Two hosts on this machine: network namespaces with a link between them that can be taken down."""
import os
import random
import secrets
import shutil
import subprocess
import time

import jobs
import strikes

PORT = 29500


def ip(*arguments):
    return subprocess.run(['ip', *arguments], capture_output=True, text=True, check=True)


def why_not():
    """Why there can be no namespaces here, or None."""
    if os.geteuid() != 0:
        return 'making network namespaces needs root'
    name = f'mr-try-{os.getpid()}'
    try:
        ip('netns', 'add', name)
        ip('netns', 'delete', name)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        return f'ip netns does not work here: {error}'
    return None


class TwoHosts:
    """Use as a context. Host 0 has the address 10.77.0.1, host 1 10.77.0.2."""

    def __init__(self):
        tag = secrets.token_hex(3)
        self.spaces = [f'mr-{tag}-{side}' for side in range(2)]
        self.veths = [f'v{tag}{side}' for side in range(2)]

    def __enter__(self):
        for space in self.spaces:
            ip('netns', 'add', space)
        ip('link', 'add', self.veths[0], 'netns', self.spaces[0], 'type', 'veth',
           'peer', 'name', self.veths[1], 'netns', self.spaces[1])
        for side, (space, veth) in enumerate(zip(self.spaces, self.veths)):
            ip('-n', space, 'address', 'add', f'{self.address(side)}/24', 'dev', veth)
            ip('-n', space, 'link', 'set', veth, 'up')
            ip('-n', space, 'link', 'set', 'lo', 'up')
        return self

    def __exit__(self, *_):
        for space in self.spaces:
            ip('netns', 'delete', space)
            shutil.rmtree(self._files(space), ignore_errors=True)

    @staticmethod
    def address(side):
        return f'10.77.0.{side + 1}'

    def command(self, side, command):
        return ['ip', 'netns', 'exec', self.spaces[side], *command]

    def named_command(self, side, host_name, command, mounts=()):
        """With a host name, and folders in their places, of its own: pairs of a place and a folder."""
        steps = [f'hostname {host_name}']
        for place, folder in mounts:
            steps.append(f'mkdir -p {place} && mount --bind {folder} {place}')
        return self.command(side, ['unshare', '--mount', '--uts', 'sh', '-c', ' && '.join([*steps, 'exec "$@"']), 'sh',
                                   *command])

    def add_names(self, side, lines):
        """To /etc/hosts of that host: `ip netns exec` shows its processes this file in the place."""
        os.makedirs(self._files(self.spaces[side]), exist_ok=True)
        with open(f'{self._files(self.spaces[side])}/hosts', 'a', encoding='ascii') as file:  # in place: it is mounted
            file.write(''.join(f'{line}\n' for line in ('127.0.0.1 localhost', *lines)))

    def forget_names(self, side):
        """Those of all other hosts; before anything is started there."""
        with open(f'{self._files(self.spaces[side])}/hosts', 'w', encoding='ascii') as file:
            file.write('127.0.0.1 localhost\n')

    @staticmethod
    def _files(space):
        return f'/etc/netns/{space}'

    def take_down(self):
        ip('-n', self.spaces[0], 'link', 'set', self.veths[0], 'down')


class JobOnTwoHosts(jobs.Job):
    """Ranks 0 and 1 on host 0, 2 and 3 on host 1, as torchrun's environment says it."""

    def __init__(self, work, hosts, flags=(), **more):
        self.hosts = hosts
        super().__init__(work, 'hosts', flags=flags, **more)

    def _start(self, train):
        token = os.path.join(self.folder, 'token')
        with open(os.open(token, os.O_CREAT | os.O_WRONLY, 0o600), 'w', encoding='ascii') as file:
            file.write(secrets.token_hex(32))
        for rank in range(jobs.RANKS):
            side, local = divmod(rank, 2)
            self._spawn(f'rank{rank}', self.hosts.command(side, [*train, '--insecure', f'--token-file={token}']),
                        RANK=str(rank), WORLD_SIZE=str(jobs.RANKS), LOCAL_RANK=str(local), LOCAL_WORLD_SIZE='2',
                        GROUP_RANK=str(side), GROUP_WORLD_SIZE='2', MASTER_ADDR=self.hosts.address(0),
                        MASTER_PORT=str(PORT))
            self.rank_pids[rank] = self.started[-1].pid  # `ip netns exec` becomes the program


def take_down(work, seed, patience=60):
    """The link goes down at some moment of training. Host 0 must accuse a rank of host 1; host 1 rank 0, or the
    network between."""
    outcome = strikes.Outcome('env', 'stop', 'link down', 0)  # the limit is that of a rank that falls silent
    with TwoHosts() as hosts, JobOnTwoHosts(work, hosts, [f'--heartbeat-timeout={strikes.HEARTBEAT}']) as job:
        job.wait_for(r'\bstep (?!1/)\d+/')
        time.sleep(random.Random(seed).uniform(0, 0.3))
        hosts.take_down()
        down = time.monotonic()
        outcome.struck = True
        ends = job.end_times(list(job.rank_pids.values()), patience)
        if len(ends) == jobs.RANKS:
            outcome.seconds = max(ends.values()) - down
        outcome.exit_code = max(abs(process.wait(timeout=patience)) for process in job.started)
        near = jobs.accused(job.said('rank0')) | jobs.accused(job.said('rank1'))
        far = jobs.accused(job.said('rank2')) | jobs.accused(job.said('rank3'))
        outcome.accused = (0,) if near and near <= {2, 3} and far == {0} else tuple(sorted(near | far))
        orphans, files = job.left_behind()
        outcome.orphans, outcome.files = len(orphans), tuple(strikes.forgive(files, outcome))
        outcome.said = job.said()
    return outcome
