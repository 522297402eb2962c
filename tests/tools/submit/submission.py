"""A folder with a plan of four ranks and a job, programs that stand for launchers, and `millrace submit` run in it."""
import json
import os
import shutil
import stat
import subprocess
import tempfile
import unittest

BINARY = os.environ.get('MILLRACE_BINARY') or os.path.join(os.getcwd(), 'tools', 'millrace')
# What a careless writer of shell or YAML gets wrong.
NASTY = "--sample-prompt=it's: \"#1\" $(id) `x`\\n\n- yes: no\t{a} & é"

# Notes how it was called; "code" beside it says how it ends.
RECORDER = '''#!/usr/bin/env python3
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
name = os.path.basename(__file__)
token = os.environ.get('MILLRACE_TOKEN_FILE', '')
seen = {'argv': sys.argv[1:], 'token_file': token, 'stdin': ''}
if token:
    seen['token'] = open(token).read()
    seen['token_mode'] = os.stat(token).st_mode & 0o777
if not sys.stdin.isatty():
    seen['stdin'] = sys.stdin.read()
with open(os.path.join(here, name + '.calls'), 'a') as out:
    out.write(json.dumps(seen) + '\\n')
try:
    sys.exit(int(open(os.path.join(here, name + '.code')).read()))
except FileNotFoundError:
    pass
'''


class SubmitCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix='millrace-submit-')
        cls.programs = os.path.join(cls.folder, 'bin')
        os.mkdir(cls.programs)
        cls.ok('model', 'mlp', '--layers=4', '--features=4', '--width=8', '--classes=3', '--out=mlp.pb')
        cls.ok('partition', 'mlp.pb', '--pp=4', '--micro-batch=2', '--micro-batches=4', '--out=mlp.plan')
        with open(os.path.join(cls.folder, 'job.textproto'), 'w', encoding='utf-8') as file:
            file.write('schema_version: 1\nsteps: 2\ndata { format: "synthetic" }\n')

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def setUp(self):
        for name in os.listdir(self.programs):
            os.remove(os.path.join(self.programs, name))

    @classmethod
    def run_millrace(cls, *args, **variables):
        environment = {'PATH': cls.programs + ':/usr/bin:/bin', 'HOME': cls.folder, 'TMPDIR': cls.folder, **variables}
        return subprocess.run([BINARY, *args], cwd=cls.folder, capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, env=environment, check=False)

    @classmethod
    def ok(cls, *args, **variables):
        result = cls.run_millrace(*args, **variables)
        if result.returncode != 0:
            raise AssertionError(f'millrace {args}: exit {result.returncode}\n{result.stderr}')
        return result.stdout

    @classmethod
    def submit(cls, launcher, *args, **variables):
        return cls.ok('submit', 'mlp.plan', '--job=job.textproto', f'--launcher={launcher}', *args, **variables)

    def refused(self, code, launcher, *args):
        result = self.run_millrace('submit', 'mlp.plan', f'--launcher={launcher}', *args)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stderr

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), encoding='utf-8') as file:
            return file.read()

    def stand_in(self, name, code=None):
        """A program of that name that notes its calls."""
        path = os.path.join(self.programs, name)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(RECORDER)
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        if code is not None:
            with open(path + '.code', 'w', encoding='utf-8') as file:
                file.write(str(code))

    def calls(self, name):
        path = os.path.join(self.programs, name + '.calls')
        if not os.path.exists(path):
            return []
        with open(path, encoding='utf-8') as file:
            return [json.loads(line) for line in file]

    def left_behind(self):
        return [name for name in os.listdir(self.folder) if 'token' in name]
