"""Runs `millrace` on bad input and says what must be true of every refusal.

A refusal is one clear message on stderr and an exit code with a meaning: never a crash, a signal, a hang, exit 1 or 70,
or silence. MILLRACE_BINARY names another binary to point the battery at, for example one built with a sanitizer.
"""
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

USAGE, BAD, MISSING, CANNOT_CREATE, CONFIG = 2, 65, 66, 73, 78
REFUSALS = {USAGE, BAD, MISSING, CANNOT_CREATE, CONFIG}
SECONDS = 120  # a hang, not a speed limit
BYTES = 6 << 30  # what a refusal may at most ask of memory; a claimed size must not be believed

BINARY = os.environ.get('MILLRACE_BINARY') or os.path.join(os.getcwd(), 'tools', 'millrace')
SANITIZED = bool(os.environ.get('MILLRACE_BINARY'))  # a sanitizer reserves terabytes of addresses


def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, resource.RLIM_INFINITY))
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def millrace(*args, cwd=None):
    return subprocess.run([BINARY, *map(str, args)], capture_output=True, timeout=SECONDS, cwd=cwd, preexec_fn=limits,
                          stdin=subprocess.DEVNULL, env={**os.environ, 'NO_COLOR': '1'})


class Battery(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix='millrace-bad-')
        cls.prepare()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    @classmethod
    def prepare(cls):
        """Good files that the cases start from."""

    @classmethod
    def at(cls, *names):
        return os.path.join(cls.folder, *names)

    @classmethod
    def write(cls, name, content):
        path = cls.at(name)
        with open(path, 'wb') as out:
            out.write(content if isinstance(content, bytes) else content.encode())
        return path

    @classmethod
    def read(cls, name):
        with open(cls.at(name), 'rb') as file:
            return file.read()

    @classmethod
    def done(cls, *args):
        """Runs what must succeed; its stdout."""
        result = millrace(*args, cwd=cls.folder)
        if result.returncode != 0:
            raise AssertionError(f'millrace {args}: exit {result.returncode}\n{result.stderr.decode("utf-8", "replace")}')
        return result.stdout.decode('utf-8', 'replace')

    @classmethod
    def models(cls):
        """mlp.textproto and gpt.textproto: the smallest of their families."""
        cls.done('model', 'mlp', '--layers=1', '--features=4', '--width=8', '--classes=3', '--out=mlp.textproto')
        cls.done('model', 'gpt2', '--layers=1', '--heads=1', '--width=8', '--vocab=256', '--context=8',
                 '--out=gpt.textproto')

    def check_text(self, result, lines=6):
        text = result.stderr.decode('utf-8', 'replace')
        shown = f'exit {result.returncode}\n{text[:3000]}'
        self.assertTrue(text.strip(), f'no message\n{shown}')
        self.assertTrue(text.startswith('millrace'), shown)
        message = text.split(': ', 1)
        self.assertTrue(len(message) == 2 and len(message[1].strip()) > 8, shown)
        self.assertLessEqual(len(text.strip().split('\n')), lines, shown)
        self.assertLessEqual(len(text), 2000, shown)
        for word in ('Sanitizer', 'Assertion', 'terminate called', 'core dumped', 'std::', 'libprotobuf'):
            self.assertNotIn(word, text, shown)
        return text

    def refused(self, code, args, *words, lines=6):
        """The command ends with `code` and a message in which every one of `words` stands."""
        result = millrace(*args, cwd=self.folder)
        shown = f'{args}: exit {result.returncode}\n{result.stderr.decode("utf-8", "replace")[:3000]}'
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(result.returncode, codes, shown)
        text = self.check_text(result, lines)
        for word in words:
            self.assertIn(word, text, shown)
        return text

    def refused_or_done(self, args, lines=6):
        """Random damage may do no harm: then the command succeeds; otherwise it refuses as it should."""
        result = millrace(*args, cwd=self.folder)
        shown = f'{args}: exit {result.returncode}\n{result.stderr.decode("utf-8", "replace")[:3000]}'
        self.assertIn(result.returncode, REFUSALS | {0}, shown)
        if result.returncode != 0:
            self.check_text(result, lines)
        return result.returncode


def case(cls, name, run):
    """A test method of its own for each row of a table, so that each counts and fails alone."""
    method = 'test_' + name
    assert not hasattr(cls, method), method
    setattr(cls, method, run)


def refusals(cls, command, cases, code=BAD):
    """`cases` are rows (name, content, word, ...); `command` is a function from the file's path to arguments."""
    for name, content, *words in cases:
        def run(self, name=name, content=content, words=words):
            data = content(self) if callable(content) else content
            path = self.write(name + '.in', data)
            self.refused(code, command(path), *words)
        case(cls, name, run)


def main():
    for house in (os.path.join(os.getcwd(), 'tests', 'house'),
                  os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', '..', 'house')):
        sys.path.insert(0, house)
    import xml_runner
    return xml_runner.main()
