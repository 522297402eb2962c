"""Runs of the real program in a test: starting, stopping, and reading what they leave behind."""
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile

PROGRAM = os.path.abspath('tools/millrace')
# What must be the same text when a run is repeated; the others are times.
REPEATABLE = ('step', 'loss', 'grad_norm', 'learning_rate', 'tokens', 'skipped')


def millrace(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, errors='replace', check=False)


def write_text(path, seed=1, lines=400):
    """Words in an order that a linear congruential generator draws."""
    words = 'the mill turns when water falls and stones grind corn to flour by day or night'.split()
    state, text = seed, []
    for _ in range(lines):
        line = []
        for _ in range(9):
            state = (1103515245 * state + 12345) % 2**31
            line.append(words[(state >> 16) % len(words)])
        text.append(' '.join(line))
    with open(path, 'w', encoding='utf-8') as out:
        out.write('\n'.join(text) + '\n')


def curve(folder):
    with open(os.path.join(folder, 'metrics.csv'), encoding='utf-8') as table:
        return [tuple(row[name] for name in REPEATABLE) for row in csv.DictReader(table)]


def weights_digest(folder):
    done = millrace('inspect', '--json', os.path.join(folder, 'weights.safetensors'))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)['sha256']


def independent_digest(path):
    """SHA-256 over all parameters in name order, by a reader that shares no code with the program."""
    with open(path, 'rb') as file:
        size, = struct.unpack('<Q', file.read(8))
        tensors = json.loads(file.read(size))
        body = file.read()
    digest = hashlib.sha256()
    for name in sorted(name for name in tensors if name != '__metadata__'):
        begin, end = tensors[name]['data_offsets']
        digest.update(body[begin:end])
    return digest.hexdigest()


def everything_in(folder):
    """Every file's name, bytes and time of change."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(root, name)
            content = open(path, 'rb').read() if os.path.isfile(path) else None
            found[os.path.relpath(path, folder)] = (content, os.stat(path).st_mtime_ns)
    return found


class Started:
    """A run in the background whose progress is followed on its stderr."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, errors='replace')
        self.seen = ''

    def wait_for(self, pattern):
        for line in self.process.stderr:
            self.seen += line
            match = re.search(pattern, line)
            if match:
                return match
        raise AssertionError(f'the run ended before it said {pattern!r}:\n{self.seen}')

    def wait_for_step(self, step):
        while int(self.wait_for(r'^step (\d+)/').group(1)) < step:
            pass

    def end_with(self, number):
        """Sends the signal once the run has been followed this far; the exit code, negative for a fatal signal."""
        self.process.send_signal(number)
        return self.finish()

    def finish(self):
        self.seen += self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait()


def stop_after(step, number, folder, *arguments):
    """Runs until the step is reported, sends the signal, and gives the exit code and what was said. A run that was done
    before the signal came (a busy machine) is put back to where it began and tried again."""
    for _ in range(5):
        with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as kept:
            if os.path.exists(folder):
                shutil.copytree(folder, os.path.join(kept, 'run'))
            run = Started(*arguments)
            run.wait_for_step(step)
            code = run.end_with(number)
            if code != 0:
                return code, run.seen
            shutil.rmtree(folder)
            if os.path.exists(os.path.join(kept, 'run')):
                shutil.move(os.path.join(kept, 'run'), folder)
    raise AssertionError(f'five runs were done before a signal after step {step} reached them:\n{run.seen}')


SIGINT, SIGKILL, SIGTERM = signal.SIGINT, signal.SIGKILL, signal.SIGTERM
