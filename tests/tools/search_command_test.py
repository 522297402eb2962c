"""millrace partition --global-batch: what is chosen, what is written, what is refused with one clear message."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
import xml_runner  # noqa: E402

BINARY = os.environ.get('MILLRACE_BINARY') or os.path.join(os.getcwd(), 'tools', 'millrace')
USAGE, BAD, CONFIG = 2, 65, 78
LARGE = os.path.abspath('docs/examples/a100_3072.textproto')
HOSTS = os.path.abspath('docs/examples/a100_hosts.textproto')
# A kind that no build has, so that the answers are the same with and without GPUs.
NOWHERE = ('schema_version: 1 devices_per_host: 8 devices { name: "x" kind: "elsewhere" count: 64 '
           'peak_flops_per_second: 312e12 flops_per_second: 221e12 multiprocessors: 108 %s }')


class SearchCommand(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.mkdtemp(prefix='millrace-search-')
        cls.small = cls.make('small', '--layers=4', '--heads=4', '--width=64', '--vocab=256', '--context=32')
        cls.trillion = cls.make('trillion', '--layers=128', '--heads=160', '--width=25600', '--vocab=51200',
                                '--context=2048')

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared, ignore_errors=True)

    @classmethod
    def make(cls, name, *flags, family='gpt2'):
        path = os.path.join(cls.shared, name + '.pb')
        subprocess.run([BINARY, 'model', family, *flags, f'--out={path}'], check=True, capture_output=True)
        return path

    def file(self, text):
        path = os.path.join(self.shared, 'cluster.textproto')
        with open(path, 'w', encoding='utf-8') as out:
            out.write(text)
        return path

    def search(self, graph, *flags):
        return subprocess.run([BINARY, 'partition', graph, *flags], capture_output=True, text=True, check=False)

    def found(self, graph, *flags):
        done = self.search(graph, *flags, '--json')
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def assert_refused(self, code, words, graph, *flags):
        done = self.search(graph, *flags)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(words, done.stderr)
        # One message; a wrong call is shown the way to the help besides.
        self.assertEqual(len(done.stderr.strip().split('\n')), 2 if code == USAGE else 1, done.stderr)

    def test_one_trillion_on_3072(self):
        plan = os.path.join(self.shared, 'trillion.plan')
        flags = [f'--cluster={LARGE}', '--global-batch=3072']
        start = time.time()
        found = self.found(self.trillion, *flags, f'--out={plan}')
        print(f'searched, planned, verified, simulated in {time.time() - start:.1f} s', file=sys.stderr)
        answer = found['paper']['answer']
        self.assertLessEqual(answer['memory_bytes'], 77e9)
        self.assertLessEqual(answer['tensor_parallel'] * answer['pipeline'] * answer['replicas'], 3072)
        self.assertEqual(answer['replicas'] * answer['micro_batch'] * answer['micro_batches'], 3072)
        self.assertTrue(answer['simulated'])
        self.assertTrue(found['paper']['proven'])
        self.assertGreater(len(found['paper']['runners_up']), 3)
        for loser in found['paper']['runners_up']:
            self.assertGreaterEqual(loser['seconds'], answer['seconds'])
            self.assertIn('slower', loser['lost'])
        for loser in found['paper']['too_large']:
            self.assertIn('more than there is', loser['lost'])
        # The plan says one replica and says so; it is small and verifies.
        if 'written' in found['plan']:
            self.assertLess(os.path.getsize(plan), 20e6)
            self.assertEqual(found['plan']['written']['replicas'], answer['replicas'])
            done = subprocess.run([BINARY, 'verify', plan], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
        text = self.search(self.trillion, *flags).stdout
        self.assertEqual(text, self.search(self.trillion, *flags).stdout)
        self.assertIn("on paper: this build's runtime has no tensor parallelism", text)
        self.assertIn('links: tensor-parallel inside hosts', text)

    def test_a_plan_to_run(self):
        plan = os.path.join(self.shared, 'small.plan')
        found = self.found(self.small, '--devices=cpu:2', '--global-batch=8', f'--out={plan}')
        answer = found['plan']['answer']
        self.assertEqual(answer['replicas'] * answer['micro_batch'] * answer['micro_batches'], 8)
        self.assertGreater(len(found['plan']['runners_up']), 2)
        tried = [answer, *found['plan']['runners_up']]
        self.assertLessEqual({other['replicas'] for other in tried}, {1, 2})
        two = self.found(self.small, '--devices=cpu:2', '--global-batch=8', '--replicas=2', '--sharding=1', f'--out={plan}')
        self.assertEqual((two['plan']['answer']['replicas'], two['plan']['answer']['shard_optimizer']), (2, 1))
        self.assertFalse(found['paper']['runs_in_this_build'])
        done = subprocess.run([BINARY, 'verify', plan, f'--model={self.small}', '--parity'], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_what_is_fixed_stays(self):
        found = self.found(self.small, '--devices=cpu:4', '--global-batch=8', '--pp=2', '--micro-batch=2',
                           '--schedule=zb-h1', '--tensor-parallel=2', '--replicas=1')
        self.assertEqual(found['paper']['answer']['tensor_parallel'], 2)
        for part in (found['plan']['answer'], *found['plan']['runners_up']):
            self.assertEqual((part['pp'], part['micro_batch'], part['schedule']), (2, 2, 'zb-h1'))

    def test_other_models_are_planned_without_tensor_parallelism(self):
        graph = self.make('mlp', family='mlp')
        text = self.search(graph, '--devices=cpu:2', '--global-batch=8').stdout
        self.assertIn('t 1 only, by the costs of the graph\'s own nodes: ', text)
        self.assertIn('there is no Attention', text)
        self.assertIn('Best plan that this build can run', text)
        # Without a backend, on paper alone.
        flags = [f'--cluster={self.file(NOWHERE % "")}', '--global-batch=64']
        found = self.found(graph, *flags)
        answer = found['paper']['answer']
        self.assertEqual(answer['tensor_parallel'], 1)
        self.assertEqual(answer['micro_batch'] * answer['micro_batches'], 64)
        self.assertIn("no device kind 'elsewhere'", found['plan']['none'])
        self.assertEqual(found, self.found(graph, *flags))
        self.assert_refused(USAGE, 'nobody says how to divide', graph, *flags, '--tensor-parallel=2')
        self.assert_refused(USAGE, 'has the schedule 1f1b', graph, *flags, '--schedule=zb-h1')
        self.assert_refused(CONFIG, '60 stages for', graph, *flags, '--pp=60')

    def test_replicas_of_each_stage(self):
        graph = self.make('wide', '--layers=3', '--features=64', '--width=64', family='mlp')
        flags = [f'--cluster={self.file(NOWHERE % "")}', '--global-batch=64']
        found = self.found(graph, *flags, '--replicas=3-1')
        self.assertEqual(found['paper']['answer']['replicas_of_stage'], [3, 1])
        self.assertEqual([stage['replicas'] for stage in found['paper']['answer']['stages']], [3, 1])
        text = self.search(graph, *flags, '--replicas=3-1').stdout
        self.assertIn('replicas 3-1, micro-batch', text)
        self.assertIn('dealt round', text)
        # A transformer, where it is asked, and as what equal replicas must bear to be compared with.
        found = self.found(self.small, *flags, '--replicas=2-1-1', '--tensor-parallel=2')
        self.assertEqual(found['paper']['answer']['replicas_of_stage'], [2, 1, 1])
        self.assertEqual(found['paper']['answer']['tensor_parallel'], 2)
        found = self.found(self.small, *flags)
        unequal = found['paper']['unequal_replicas']
        if 'answer' in unequal:
            self.assertLess(unequal['answer']['seconds'], found['paper']['answer']['seconds'])
        self.assert_refused(CONFIG, 'nothing was written', graph, *flags, '--replicas=3-1',
                            f'--out={os.path.join(self.shared, "none.plan")}')
        self.assert_refused(CONFIG, '65 replicas of stages on 64 devices', graph, *flags, '--replicas=64-1')
        for words, value in (('at least 1 is needed', '3-0'), ('at least 1 is needed', '3--1'),
                             ('at least 1 is needed', 'nan'), ('at least 1 is needed', '99999999999999999999')):
            self.assert_refused(USAGE, words, graph, *flags, f'--replicas={value}')

    def test_a_llama(self):
        graph = self.make('llama', '--layers=4', '--heads=8', '--kv-heads=2', '--width=256', '--hidden=704',
                          '--vocab=1024', '--context=128', family='llama')
        found = self.found(graph, f'--cluster={self.file(NOWHERE % "")}', '--global-batch=64', '--tensor-parallel=4')
        self.assertEqual(found['paper']['answer']['tensor_parallel'], 4)
        text = self.search(graph, f'--cluster={self.file(NOWHERE % "")}', '--global-batch=64').stdout
        self.assertIn('a Llama: 4 layers, hidden 256', text)

    def test_what_is_missing_is_told(self):
        small = self.file(NOWHERE % 'memory_bytes: 4000000000')
        self.assert_refused(CONFIG, 'GB are missing', self.trillion, f'--cluster={small}', '--global-batch=64')
        tight = self.file(NOWHERE % 'memory_bytes: 30000000000')
        graph = self.make('39b', '--layers=48', '--heads=64', '--width=8192', '--vocab=51200', '--context=2048')
        flags = [f'--cluster={tight}', '--global-batch=64', '--tensor-parallel=1']
        for words in ('It fits with', 'sharding free: t 1, p 4', 's a step'):
            self.assert_refused(CONFIG, words, graph, *flags, '--pp=4', '--sharding=0')

    def test_calls_that_make_no_sense(self):
        devices = '--devices=cpu:2'
        for words, flags in (('at least 1 sample', [devices, '--global-batch=0']),
                             ('give --cluster=FILE or --devices', ['--global-batch=4']),
                             ('has no meaning with --global-batch', [devices, '--global-batch=4', '--micro-batches=2']),
                             ('there are levels 0 to 3', [devices, '--global-batch=4', '--sharding=4']),
                             ('at least 1 is needed', [devices, '--global-batch=4', '--pp=-1']),
                             ('give --global-batch too', [devices, '--sharding=1', '--out=x']),
                             ('the search on paper knows', [devices, '--global-batch=4', '--schedule=zb-v']),
                             ('there are none and all', [devices, '--global-batch=4', '--recompute=0'])):
            self.assert_refused(USAGE, words, self.small, *flags)
        for words, text in (('has no devices', 'schema_version: 1'),
                            ('flops_per_second is nan', NOWHERE % 'bytes_per_second: 1' + ' devices { name: "y" kind: "z" '
                             'flops_per_second: nan }'),
                            ('count of 4000000000', 'schema_version: 1 devices { name: "a" kind: "b" count: 4000000000 }'),
                            ('has no kind', 'schema_version: 1 devices { name: "a" }'),
                            ('has no name', 'schema_version: 1 devices { kind: "a" }'),
                            ('latency_seconds is -1', NOWHERE % '' + ' between_hosts { latency_seconds: -1 }'),
                            ('bytes_per_second is inf', NOWHERE % '' + ' inside_host { bytes_per_second: inf }'),
                            ('latency_seconds is nan', NOWHERE % '' + ' links { from: "*" to: "*" '
                             'latency_seconds: nan }'),
                            ('peak_flops_per_second is nan', 'schema_version: 1 devices { name: "x" kind: "elsewhere" '
                             'peak_flops_per_second: nan }'),
                            ('above its peak', 'schema_version: 1 devices { name: "x" kind: "elsewhere" '
                             'peak_flops_per_second: 1 flops_per_second: 2 }'),
                            ('there is no device', NOWHERE % '' + ' links { from: "q" to: "*" latency_seconds: 1 }'),
                            ('devices_per_host is 4000000000', 'schema_version: 1 devices_per_host: 4000000000 '
                             'devices { name: "x" kind: "elsewhere" }'),
                            ('another device has the name', 'schema_version: 1 devices { name: "x" kind: "e" } '
                             'devices { name: "x" kind: "e" }'),
                            ('check flops_per_second', 'schema_version: 1 devices { name: "x" kind: "elsewhere" '
                             'count: 2 peak_flops_per_second: 1e-300 }'),
                            ("kinds 'a' and 'b'", 'schema_version: 1 devices { name: "x" kind: "a" } '
                             'devices { name: "y" kind: "b" }')):
            done = self.search(self.small, f'--cluster={self.file(text)}', '--global-batch=4')
            self.assertIn(done.returncode, (BAD, CONFIG), done.stderr)
            self.assertIn(words, done.stderr)
            self.assertEqual(len(done.stderr.strip().split('\n')), 1, done.stderr)
        nowhere = f'--cluster={self.file(NOWHERE % "")}'
        self.assert_refused(CONFIG, 'no configuration of 64 devices, 4 layers', self.small, nowhere,
                            '--global-batch=64', '--pp=60')
        self.assert_refused(CONFIG, 'the global batch is', self.small, nowhere, '--global-batch=1000000000000')

    def test_examples_are_read(self):
        found = self.found(self.make('gpt', '--layers=24', '--heads=16', '--width=2048', '--vocab=51200',
                                     '--context=2048'), f'--cluster={HOSTS}', '--global-batch=512')
        self.assertGreater(found['paper']['mfu'], 0.3)


if __name__ == '__main__':
    xml_runner.main()
