"""gpu_check without a GPU: the program says what is missing; the script survives parts that crash, hang or fail."""
import importlib.util
import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).absolute().parents[3]
TOOL = ROOT / 'tools' / 'gpu_check'


def load(name):
    spec = importlib.util.spec_from_file_location(name, TOOL / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Program(unittest.TestCase):
    def run_it(self, *arguments):
        return subprocess.run([str(TOOL / 'gpu_check'), *arguments], capture_output=True, text=True, timeout=60)

    def test_without_a_gpu_it_says_why_and_exits_with_three(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'report.json'
            done = self.run_it('--part=kernels', f'--json={path}')
            if done.returncode in (0, 1):
                self.skipTest('there is a GPU here')
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            self.assertIn('no CUDA device: ', done.stdout)
            report = json.loads(path.read_text(encoding='utf-8'))
        self.assertEqual((report['part'], report['cases'], report['figures']), ('kernels', [], []))
        self.assertIn('no CUDA device: ', report['trouble'])

    def test_a_wrong_command_line_exits_with_two(self):
        for arguments in ([], ['--part=everything'], ['--part=kernels', '--speed=high']):
            done = self.run_it(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn('gpu_check: there is no', done.stderr)


# Stands for the program: does what the part is set to in BEHAVIOUR.
FAKE = '''#!/usr/bin/env python3
import json, os, sys, time
flags = dict(flag[2:].split('=', 1) for flag in sys.argv[1:])
mode = json.loads(os.environ['BEHAVIOUR']).get(flags['part'], 'passed')
if mode == 'crash': os.abort()
if mode == 'hang': time.sleep(600)
case = {'suite': 'Suite', 'name': 'Case', 'result': 'failed' if mode == 'failed' else 'passed', 'why': '', 'seconds': 0}
trouble = 'no CUDA device: none' if mode == 'none' else ''
if flags['part'] == 'processes':
    case['name'] = os.environ['MILLRACE_GPU_CHECK_RANK'] + os.environ['NCCL_HOSTID']
json.dump({'part': flags['part'], 'gpu': '' if trouble else 'GPU', 'libraries': 'CUDA', 'trouble': trouble,
           'cases': [] if trouble else [case], 'figures': []}, open(flags['json'], 'w'))
sys.exit({'failed': 1, 'none': 3}.get(mode, 0))
'''


class Script(unittest.TestCase):
    def check(self, parts, limit=60, **behaviour):
        """Runs run.py over the fake; returns its exit code and what it wrote."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / 'gpu_check'
            copy.mkdir()
            script = (TOOL / 'run.py').read_text(encoding='utf-8')
            (copy / 'run.py').write_text(script.replace("'kernels': 240", f"'kernels': {limit}"), encoding='utf-8')
            program = copy / 'gpu_check'
            program.write_text(FAKE, encoding='utf-8')
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            env = dict(os.environ, BEHAVIOUR=json.dumps(behaviour))
            done = subprocess.run([sys.executable, str(copy / 'run.py'), f'--out={folder}/out', f'--parts={parts}'],
                                  capture_output=True, text=True, env=env, timeout=120)
            results = Path(folder) / 'out' / 'gpu_check.json'
            return done.returncode, json.loads(results.read_text(encoding='utf-8'))

    def test_all_parts_pass(self):
        code, whole = self.check('kernels,communicators,two-ranks,figures')
        self.assertEqual(code, 0)
        self.assertEqual(whole['counts'], {'passed': 5, 'failed': 0, 'skipped': 0})
        names = [case['name'] for report in whole['reports'] for case in report['cases']]
        self.assertIn('0gpu-check-0', names)  # each process is told who it is, and has a host's name of its own
        self.assertIn('1gpu-check-1', names)

    def test_a_failure_a_crash_and_a_hang_are_failures_of_their_part_alone(self):
        for mode in ('failed', 'crash', 'hang'):
            code, whole = self.check('kernels,figures', limit=2, kernels=mode)
            self.assertEqual(code, 1, mode)
            self.assertEqual(whole['counts'], {'passed': 1, 'failed': 1, 'skipped': 0}, mode)

    def test_without_a_device_the_first_part_says_all(self):
        code, whole = self.check('kernels,figures', kernels='none')
        self.assertEqual(code, 3)
        self.assertEqual(len(whole['reports']), 1)


class Markdown(unittest.TestCase):
    WHOLE = {'date': '2027-01-02', 'version': 'abc', 'gpu': 'H200', 'driver': '580', 'libraries': 'CUDA 13.0',
             'reports': [{'part': 'kernels',
                          'cases': [{'suite': 'Cuda', 'name': 'a', 'result': 'passed', 'why': ''},
                                    {'suite': 'Cuda', 'name': 'b', 'result': 'skipped', 'why': 'no | such\ntype'}],
                          'figures': [{'name': 'Add', 'value': 3000, 'unit': 'GB/s', 'roof': 4000, 'why': ''},
                                      {'name': 'Mul', 'value': 0, 'unit': 'GB/s', 'roof': 4000, 'why': 'lacking'}]}]}

    def test_the_table_takes_the_place_between_the_marks(self):
        tool = load('to_markdown')
        page = f'before\n{tool.BEGIN}\nold\n{tool.END}\nafter\n'
        text = tool.placed(page, tool.markdown(self.WHOLE))
        self.assertNotIn('old', text)
        self.assertTrue(text.startswith('before\n') and text.endswith('after\n'))
        for line in ('| kernels | Cuda | 1 | 0 | 1 |', '- kernels, Cuda: no / such type', '| Add | 3000.0 GB/s | 75 % |',
                     '| Mul | not measured: lacking |  |'):
            self.assertIn(line, text.split('\n'))
        self.assertIn('2027-01-02, H200, driver 580, CUDA 13.0, Millrace abc', text)

    def test_a_page_without_marks_is_refused(self):
        with self.assertRaises(SystemExit):
            load('to_markdown').placed('a page', 'a table')

    def test_the_real_page_has_the_marks(self):
        tool = load('to_markdown')
        page = (ROOT / 'docs' / 'gpu_verified.md').read_text(encoding='utf-8')
        self.assertIn('a table', tool.placed(page, 'a table'))


if __name__ == '__main__':
    sys.path.insert(0, str(ROOT / 'tests' / 'house'))
    import xml_runner
    xml_runner.main()
