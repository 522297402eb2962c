"""millrace partition --cost-graph: the three formats told apart, printed, and refused with one clear message."""
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
import xml_runner  # noqa: E402

BINARY = os.environ.get('MILLRACE_BINARY') or os.path.join(os.getcwd(), 'tools', 'millrace')
USAGE, BAD, MISSING, CONFIG = 2, 65, 66, 78

PLACEMENT = {
    'maxSizePerFPGA': 100, 'maxFPGAs': 2, 'maxCPUs': 1,
    'nodes': [{'id': n, 'supportedOnFpga': 1, 'cpuLatency': 40, 'fpgaLatency': 4 + n % 2, 'isBackwardNode': 0,
               'size': 10} for n in range(6)],
    'edges': [{'sourceId': n, 'destId': n + 1, 'cost': 1} for n in range(5)],
}
PROFILE = ''.join(
    f'node{n} -- Op({n}, 2) -- forward_compute_time=2.000, backward_compute_time=4.000, activation_size=1000.0, '
    f'parameter_size={4e6 if n == 4 else 0}\n' for n in range(1, 5)) + ''.join(
    f'\tnode{n} -- node{n + 1}\n' for n in range(1, 4))
LAYERS = {
    'maxDevices': 4, 'maxMemoryPerDevice': 2 ** 31, 'bandwidth': 2 ** 30, 'mbsInBatch': 8,
    'nodes': [{'id': n, 'name': 'layer', 'TMPCs': {'1': [
        {'id': 'vanilla', 'timePerSample': 1.0, 'parameterSize': 0, 'memoryUsageA': 2 ** 28, 'memoryUsageB': 0,
         'syncTimeFw': {str(n - 1): 0.0} if n else {}, 'syncTimeBw': {str(n + 1): 0.0} if n < 3 else {}}]}}
        for n in range(4)],
    'edges': [{'sourceId': n, 'destId': n + 1, 'communicationCost': 0} for n in range(3)],
}


class CostGraphCommand(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='millrace-cost-')

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def file(self, content, name='graph'):
        path = os.path.join(self.folder, name)
        with open(path, 'wb') as out:
            if isinstance(content, bytes):
                out.write(content)
            else:
                out.write((content if isinstance(content, str) else json.dumps(content)).encode())
        return path

    def run_on(self, content, *flags):
        return subprocess.run([BINARY, 'partition', '--cost-graph=' + self.file(content), *flags], capture_output=True,
                              timeout=120, text=True, stdin=subprocess.DEVNULL)

    def planned(self, content, *flags):
        done = self.run_on(content, '--json', *flags)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return json.loads(done.stdout)

    def refused(self, code, part, content, *flags):
        done = self.run_on(content, *flags)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(part, done.stderr)
        self.assertEqual(done.stdout, '')
        self.assertLessEqual(done.stderr.count('\n'), 2, done.stderr)

    def test_device_placement(self):
        plan = self.planned(PLACEMENT)
        self.assertEqual((plan['kind'], plan['accelerators'], plan['hosts']), ('dnn-partitioning', 2, 1))
        self.assertEqual(plan['objective'], max(piece['load'] for piece in plan['pieces']))
        self.assertEqual(plan['objective'], 15)  # 4+5+4 and 5+4+5, each and one transfer: 14 and 15
        self.assertEqual(sorted(n for piece in plan['pieces'] for n in piece['nodes']), list(range(6)))
        for piece in plan['pieces']:
            self.assertEqual(piece['load'], piece['compute'] + piece['communication'])
        self.assertEqual(self.planned(PLACEMENT, '--devices=1', '--host-devices=0')['objective'], 27)
        self.assertEqual(self.planned(PLACEMENT, '--cut=exact')['objective'], plan['objective'])
        self.assertIn('accelerator', self.run_on(PLACEMENT).stdout)

    def test_flags_are_zero_or_one_or_words(self):
        words = copy.deepcopy(PLACEMENT)
        for node in words['nodes']:
            node['supportedOnFpga'], node['isBackwardNode'] = True, False
        self.assertEqual(self.planned(words)['objective'], self.planned(PLACEMENT)['objective'])

    def test_profile(self):
        plan = self.planned(PROFILE, '--devices=4')
        self.assertEqual((plan['kind'], plan['workers'], plan['replication']), ('pipedream', 4, '3-1'))
        self.assertAlmostEqual(plan['objective'], 0.006)
        self.assertAlmostEqual(plan['data_parallel_seconds'], (0.024 + 4 * 3 * 4e6 / 1e9 / 4) / 4)
        self.assertAlmostEqual(plan['speed_up'], plan['data_parallel_seconds'] / plan['objective'])
        levels = self.planned(PROFILE, '--levels=2x2', '--bandwidth=1e9,1e8')
        self.assertEqual([level['bandwidth'] for level in levels['levels']], [1e9, 1e8])
        self.assertIn('replication', self.run_on(PROFILE, '--devices=2').stdout)

    def test_piper(self):
        plan = self.planned(LAYERS)
        self.assertEqual((plan['kind'], plan['objective'], plan['devices_used']), ('piper', 1.0, 4))
        self.assertEqual(self.planned(LAYERS, '--devices=2', '--memory-limit=1', '--micro-batches=2')['objective'], 2.0)
        self.assertIn('tensor', self.run_on(LAYERS).stdout)

    def test_same_plan_every_time(self):
        for content in (PLACEMENT, PROFILE, LAYERS):
            one, two = (self.planned(content, '--devices=3') for _ in range(2))
            one['search_seconds'] = two['search_seconds'] = 0
            self.assertEqual(one, two)

    def test_content_that_is_bad(self):
        broken = {
            'is JSON, but has neither': {'nodes': []},
            'no JSON object': '{"maxFPGAs": 1, ',
            'the file is empty': ' \n',
            'neither JSON nor a PipeDream profile': b'\x7fELF\x00\x01',
            "'nodes' must be a list": {'maxFPGAs': 1, 'maxCPUs': 0, 'maxSizePerFPGA': 1, 'nodes': 3, 'edges': []},
            'line 1': 'node1 -- x -- forward_compute_time=nan\n',
        }
        for part, content in broken.items():
            self.refused(BAD, part, content, '--devices=2')
        # NaN is no JSON, and a number beyond all doubles is none either.
        for number in ('NaN', '1e999', '-1', 'null', '"4"', '[4]'):
            text = json.dumps(PLACEMENT).replace('"cpuLatency": 40', '"cpuLatency": ' + number, 1)
            self.refused(BAD, 'cost graph:', text)
        deep = '{"maxFPGAs": ' + '[' * 200000 + ']' * 200000 + '}'
        self.refused(BAD, 'cost graph:', deep)

    def test_cycles(self):
        self.refused(BAD, 'cycle', PROFILE + '\tnode4 -- node1\n', '--devices=2')
        layers = copy.deepcopy(LAYERS)
        layers['edges'].append({'sourceId': 3, 'destId': 0, 'communicationCost': 0})
        self.refused(BAD, 'cycle', layers)
        # Of the device-placement rules, units on a cycle are one unit.
        placement = copy.deepcopy(PLACEMENT)
        placement['edges'].append({'sourceId': 5, 'destId': 0, 'cost': 1})
        self.assertEqual(self.planned(placement)['units'], 1)

    def test_memory_that_is_missing(self):
        small = dict(PLACEMENT, maxSizePerFPGA=25, maxCPUs=0)
        self.refused(CONFIG, '60 bytes, 10 more than all 2 accelerators have together', small)
        self.refused(CONFIG, 'one unit alone takes 10 bytes, 6 more than a device has',
                     dict(PLACEMENT, maxSizePerFPGA=4, maxCPUs=0))
        self.refused(CONFIG, 'more than a device has', LAYERS, '--memory-limit=0.1')

    def test_flags_that_are_wrong(self):
        self.refused(USAGE, '--devices=0', PLACEMENT, '--devices=0')
        self.refused(USAGE, '--devices=cpu:4', PLACEMENT, '--devices=cpu:4')
        self.refused(USAGE, '--devices=N is missing', PROFILE)
        self.refused(USAGE, '--levels says nothing', PLACEMENT, '--levels=2x2')
        self.refused(USAGE, '--levels=2xq', PROFILE, '--levels=2xq')
        self.refused(USAGE, '--levels=9999999999x9999999999', PROFILE, '--levels=9999999999x9999999999')
        self.refused(USAGE, 'are 4 workers, but --devices=5', PROFILE, '--levels=2x2', '--devices=5')
        self.refused(USAGE, '1 numbers for 2 levels', PROFILE, '--levels=2x2', '--bandwidth=1e9')
        self.refused(USAGE, "'x' is no number", PROFILE, '--devices=2', '--bandwidth=x')
        self.refused(USAGE, '--schedule says nothing', PROFILE, '--devices=2', '--schedule=1f1b')
        self.refused(USAGE, '--cut=even', PLACEMENT, '--cut=even')
        self.refused(USAGE, '--memory-limit=-1', PLACEMENT, '--memory-limit=-1')
        self.refused(USAGE, '--host-devices=-1', PLACEMENT, '--host-devices=-1')
        self.refused(USAGE, 'also', PLACEMENT, 'another')

    def test_too_many_down_sets(self):
        lanes = {'maxSizePerFPGA': 1e9, 'maxFPGAs': 3, 'maxCPUs': 0, 'edges': [], 'nodes': [
            {'id': n, 'supportedOnFpga': 1, 'cpuLatency': 9, 'fpgaLatency': 1 + n % 7, 'isBackwardNode': 0, 'size': 1}
            for n in range(40)]}
        self.refused(CONFIG, 'down-sets', lanes, '--cut=exact')
        self.assertFalse(self.planned(lanes)['exact'])

    def test_a_file_that_is_missing(self):
        done = subprocess.run([BINARY, 'partition', '--cost-graph=' + os.path.join(self.folder, 'none')],
                              capture_output=True, timeout=60, text=True)
        self.assertEqual(done.returncode, MISSING)


if __name__ == '__main__':
    xml_runner.main()
