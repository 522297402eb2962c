"""One fault at one point of a job, and what came of it."""
import dataclasses
import time

import jobs

HEARTBEAT = 2  # seconds, of jobs whose rank is stopped: a busy machine may keep a process waiting for one


@dataclasses.dataclass(frozen=True)
class Point:
    """Where a rank is struck: an instruction, and whether it is before it or while it waits there for others."""
    name: str
    fault: str
    ranks: tuple = (0, 1, 2, 3)


# Ten points of a step, in their order. What waits strikes whenever the rank has to wait there for the third time.
POINTS = (
    Point('LOAD', 'at=LOAD:step=3'),
    Point('RUN F', 'at=RUN_F:step=3:nth=2'),
    Point('SEND', 'at=SEND:step=3'),
    Point('RECV, waiting', 'at=RECV:when=waiting:nth=7'),
    Point('RUN B', 'at=RUN_BW:step=3:nth=2'),
    Point('REDUCE, waiting', 'at=REDUCE:when=waiting:nth=3'),
    Point('NORM, waiting', 'at=NORM:when=waiting:nth=3'),
    Point('STEP', 'at=STEP:step=3'),
    Point('GATHER, waiting', 'at=GATHER:when=waiting:nth=3'),
    Point('checkpoint written', 'at=CHECKPOINT'),
)
# How long the others may take, beyond the heartbeat timeout for a rank that only stops.
LIMIT = {'local': 1.0, 'env': 1.0, 'mpirun': 3.0}


@dataclasses.dataclass
class Outcome:
    launcher: str
    signal: str
    point: str
    rank: int
    struck: bool = False
    seconds: float = -1  # from the strike to the end of the last other process; -1: they did not end
    exit_code: int = 0
    accused: tuple = ()
    silent: tuple = ()    # ranks that ended without naming anybody
    orphans: int = 0
    files: tuple = ()
    said: str = ''

    def limit(self):
        return LIMIT[self.launcher] + (HEARTBEAT if self.signal == 'stop' else 0)

    def right_culprit(self):
        return self.accused == (self.rank,)

    def problems(self, in_time=True):
        found = []
        if not self.struck:
            return ['the fault did not strike']
        if self.seconds < 0:
            found.append('the others did not end')
        if in_time and self.seconds > self.limit():
            found.append(f'it took {self.seconds:.2f} s, more than {self.limit():.1f}')
        if not self.right_culprit():
            found.append(f'accused are {list(self.accused)}')
        if self.exit_code == 0:
            found.append('the exit code is 0')
        if self.orphans:
            found.append(f'{self.orphans} processes are left')
        if self.files:
            found.append(f'left behind: {list(self.files)}')
        return found


def strike(work, launcher, signal, point, rank, patience=60):
    """Starts a job whose rank `rank` is killed ('kill') or stopped ('stop') at the point, and watches its end."""
    outcome = Outcome(launcher, signal, point.name, rank)
    fault = f'{signal}:rank={rank}:{point.fault}'
    flags = [f'--heartbeat-timeout={HEARTBEAT}'] if signal == 'stop' else []
    with jobs.Job(work, launcher, fault, flags) as job:
        pids = job.find_ranks()
        if pids is None:
            outcome.said = job.said()
            return outcome
        others = [pid for number, pid in pids.items() if number != rank]
        others += [process.pid for process in job.started if process.pid not in pids.values()]
        struck = await_strike(job, pids[rank], signal, patience)
        if struck is None:
            outcome.said = job.said()
            return outcome
        outcome.struck = True
        ends = job.end_times(others, patience)
        if len(ends) < len(others):
            outcome.said = f'{len(others) - len(ends)} processes did not end\n{job.said()}'
            return outcome
        outcome.seconds = max(ends.values()) - struck
        if launcher == 'env' and signal == 'stop':
            job.started[rank].kill()  # nobody else is there to remove it
        for process in job.started:
            if launcher != 'env' or process.pid != pids[rank]:
                outcome.exit_code = max(outcome.exit_code, abs(process.wait(timeout=patience)))
            else:
                process.wait(timeout=patience)
        orphans, files = job.left_behind()
        outcome.orphans, outcome.files = len(orphans), tuple(forgive(files, outcome))
        outcome.said = job.said()
        outcome.accused = tuple(sorted(jobs.accused(outcome.said)))
        outcome.silent = tuple(silent_ranks(job, outcome))
    return outcome


def await_strike(job, pid, signal, patience):
    """When the process was struck, by this clock; None when the job ended without."""
    if signal == 'kill':
        ends = job.end_times([pid], patience)
        return ends.get(pid)
    until = time.monotonic() + patience
    while time.monotonic() < until:
        state = jobs.state_of(pid)
        if state == 'T':
            return time.monotonic()
        if state in ('', 'Z'):
            return None
        time.sleep(0.005)
    return None


def forgive(files, outcome):
    """Without our supervisor nobody is left to remove a checkpoint that rank 0 was writing: the next save does."""
    return [file for file in files if outcome.launcher == 'local' or '.tmp.' not in file]


def silent_ranks(job, outcome):
    if outcome.launcher != 'env':
        return []
    return [rank for rank in range(jobs.RANKS)
            if rank != outcome.rank and outcome.rank not in jobs.accused(job.said(f'rank{rank}'))]
