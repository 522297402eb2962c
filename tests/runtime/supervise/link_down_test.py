"""Two ranks in two network namespaces; the link between them goes down. Both must notice and name it.

Needs root and iproute2; skipped by name without.
"""
import os
import secrets
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / 'tests' / 'house'))
import xml_runner

PROGRAM = 'tests/runtime/supervise/rank_program'
SILENCE = 1.0  # of the coordinator that rank_program hosts
PORT = 29411


def ip(*arguments):
    return subprocess.run(['ip', *arguments], capture_output=True, text=True, check=True)


def why_not():
    """Why the namespaces cannot be made, or None."""
    if os.geteuid() != 0:
        return 'making network namespaces needs root'
    name = f'mr-try-{os.getpid()}'
    try:
        ip('netns', 'add', name)
        ip('netns', 'delete', name)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        return f'ip netns does not work here: {error}'
    return None


class LinkDown(unittest.TestCase):
    def setUp(self):
        reason = why_not()
        if reason:
            self.skipTest(reason)
        self.spaces = [f'mr-{os.getpid()}-{side}' for side in range(2)]
        for space in self.spaces:
            ip('netns', 'add', space)
            self.addCleanup(ip, 'netns', 'delete', space)
        veths = [f'v{os.getpid() % 100000}-{side}' for side in range(2)]
        ip('link', 'add', veths[0], 'netns', self.spaces[0], 'type', 'veth',
           'peer', 'name', veths[1], 'netns', self.spaces[1])
        self.veths = veths
        for side, (space, veth) in enumerate(zip(self.spaces, veths)):
            ip('-n', space, 'address', 'add', f'10.77.0.{side + 1}/24', 'dev', veth)
            ip('-n', space, 'link', 'set', veth, 'up')
            ip('-n', space, 'link', 'set', 'lo', 'up')
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.token = Path(self.folder.name, 'token')
        self.token.touch(0o600)
        self.token.write_text(secrets.token_hex(32), encoding='ascii')
        self.ranks = []

    def start(self, rank):
        environment = dict(os.environ, MILLRACE_RANK=str(rank), MILLRACE_SIZE='2', MILLRACE_JOB='link',
                           MILLRACE_COORDINATOR=f'10.77.0.1:{PORT}', MILLRACE_TOKEN_FILE=str(self.token),
                           TEST_ROUNDS='100000')
        host = ['--host', f'10.77.0.1:{PORT}'] if rank == 0 else []
        process = subprocess.Popen(['ip', 'netns', 'exec', self.spaces[rank], PROGRAM, *host], env=environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.ranks.append(process)

    def await_line(self, process, start):
        for line in process.stdout:
            if line.startswith(start):
                return
        self.fail(f'no line begins with {start!r}')

    def test_both_sides_notice(self):
        self.start(1)  # before its coordinator
        time.sleep(0.3)
        self.start(0)
        for process in self.ranks:
            self.await_line(process, 'joined')
        time.sleep(0.3)
        ip('-n', self.spaces[0], 'link', 'set', self.veths[0], 'down')
        down = time.monotonic()
        outputs = []
        for process in self.ranks:
            outputs.append(process.communicate(timeout=30)[0])
            print(f'noticed within {time.monotonic() - down:.2f} s (silence {SILENCE} s): {outputs[-1].strip()}')
            self.assertLess(time.monotonic() - down, SILENCE + 4)
            self.assertNotEqual(process.returncode, 0)
        far, near = outputs
        self.assertIn('rank 0, whose process is the coordinator', far)
        self.assertIn('the network between is down', far)
        self.assertIn('rank 1 hung', near)


if __name__ == '__main__':
    xml_runner.main()
