"""The command line where everything is right: help, versions, JSON, both forms of every file, every dump, every kind."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
BINARY = os.environ.get('MILLRACE_BINARY') or os.path.join(os.getcwd(), 'tools', 'millrace')
COMMANDS = ['model', 'partition', 'explain', 'verify', 'simulate', 'profile', 'train', 'report', 'inspect']
PASSES = {'check': 'layers.0', 'rewrite': 'FusedMatMul', 'differentiate': 'MatMulWeightGrad', 'cost': 'head',
          'cut': 'last node', 'schedule': '0F0', 'lower': 'stage'}


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix='millrace-cli-')
        mlp = ['model', 'mlp', '--layers=1', '--features=4', '--width=8', '--classes=3']
        cls.done(*mlp, '--out=mlp.textproto')
        cls.done(*mlp, '--out=mlp.pb')
        cls.done('model', 'gpt2', '--layers=1', '--heads=1', '--width=8', '--vocab=256', '--context=8', '--out=gpt.pb')
        for model, plan in (('mlp.textproto', 'plan.pb'), ('mlp.pb', 'plan.textproto')):
            cls.done('partition', model, '--pp=2', '--micro-batch=2', '--micro-batches=3', '--out=' + plan)
        cls.done('train', '--plan=plan.pb', '--data=synthetic', '--steps=2', '--out=run', '--quiet')

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    @classmethod
    def done(cls, *args):
        """stdout of a command that must succeed."""
        result = subprocess.run([BINARY, *args], cwd=cls.folder, capture_output=True, timeout=120,
                                stdin=subprocess.DEVNULL, env={**os.environ, 'NO_COLOR': '1'})
        text = result.stdout.decode('utf-8', 'replace')
        if result.returncode != 0:
            raise AssertionError(f'millrace {args}: exit {result.returncode}\n{result.stderr.decode("utf-8", "replace")}')
        return text

    def read(self, name):
        with open(os.path.join(self.folder, name), 'rb') as file:
            return file.read()

    def write(self, name, text):
        with open(os.path.join(self.folder, name), 'w', encoding='utf-8') as file:
            file.write(text)
        return name

    def test_version(self):
        for word in ('--version', 'version'):
            text = self.done(word)
            self.assertRegex(text, r'^millrace \d+\.\d+\.\d+ \(schema 1; backends: .*reference')

    def test_overview(self):
        for word in ('--help', '-h', 'help'):
            text = self.done(word)
            for command in COMMANDS:
                self.assertIn(f'\n  {command} ', text)
            self.assertGreaterEqual(text.split('examples:')[1].count('\n  millrace '), 2)

    def test_text_and_binary_models_make_one_plan(self):
        text, binary = (self.done('inspect', plan) for plan in ('plan.textproto', 'plan.pb'))
        self.assertEqual(text.split('\n')[1:], binary.split('\n')[1:])
        self.assertIn('hash', text)

    def test_text_and_binary_models_are_the_same(self):
        self.assertEqual(*(json.loads(self.done('inspect', m, '--json')) for m in ('mlp.textproto', 'mlp.pb')))

    def test_plans_do_not_depend_on_the_run(self):
        self.done('partition', 'mlp.pb', '--pp=2', '--micro-batch=2', '--micro-batches=3', '--out=again.pb')
        self.assertEqual(self.read('again.pb'), self.read('plan.pb'))

    def test_text_and_binary_plans_train_to_the_same_bytes(self):
        self.done('train', '--plan=plan.textproto', '--data=synthetic', '--steps=2', '--out=run-of-text', '--quiet')
        self.assertEqual(self.read('run-of-text/weights.safetensors'), self.read('run/weights.safetensors'))

    def test_model_trained_at_once_is_the_plan_trained(self):
        self.done('train', '--model=mlp.pb', '--pp=2', '--micro-batch=2', '--micro-batches=3', '--data=synthetic',
                  '--steps=2', '--out=at-once', '--quiet')
        self.assertEqual(self.read('at-once/weights.safetensors'), self.read('run/weights.safetensors'))

    def test_flags_in_every_spelling(self):
        self.done('partition', '--micro_batch', '2', 'mlp.pb', '--micro_batches=3', '--pp', '2', '--out', 'spelt.pb')
        self.assertEqual(self.read('spelt.pb'), self.read('plan.pb'))

    def test_results_go_to_stdout_and_nothing_else(self):
        for args in (['inspect', 'plan.pb'], ['verify', 'plan.pb'], ['report', 'run']):
            result = subprocess.run([BINARY, *args], cwd=self.folder, capture_output=True, timeout=120)
            self.assertEqual(result.returncode, 0)
            self.assertTrue(result.stdout)
            self.assertEqual(result.stderr, b'')

    def test_verify_says_what_it_proved(self):
        text = self.done('verify', 'plan.pb', '--model=mlp.textproto', '--parity')
        self.assertIn('cannot deadlock', text)
        self.assertIn('rank 1 needs', text)
        self.assertIn('bit for bit', text)

    def test_train_json(self):
        results = json.loads(self.done('train', '--plan=plan.pb', '--data=synthetic', '--steps=1', '--out=run-json',
                                       '--quiet', '--json'))
        self.assertTrue(any('sha256' in key for key in results), results.keys())

    def test_simulated_trace_is_of_the_plan(self):
        self.done('simulate', 'plan.pb', '--out=trace.textproto')
        found = json.loads(self.done('inspect', 'trace.textproto', '--json'))
        self.assertEqual((found['kind'], found['times']), ('trace', 'predicted'))
        self.assertIn(found['plan'], self.done('inspect', 'plan.pb'))

    def test_inspect_trace_in_binary_form(self):
        self.assertIn('measured', self.done('inspect', 'run/trace-step-00000002.pb'))

    def test_weights_have_one_digest_everywhere(self):
        weights = json.loads(self.done('inspect', 'run/weights.safetensors', '--json'))
        run = json.loads(self.done('inspect', 'run', '--json'))
        self.assertEqual(weights['sha256'], run['weights sha256'])
        self.assertEqual(len(weights['sha256']), 64)


def each(name, check):
    assert not hasattr(CommandLine, 'test_' + name), name
    setattr(CommandLine, 'test_' + name, check)


for command in COMMANDS:
    def help_of(self, command=command):
        for flag in ('--help', '-h'):
            text = self.done(command, flag)
            self.assertIn(f'usage: millrace {command}', text)
            self.assertGreaterEqual(text.split('examples:')[1].count(f'millrace {command} '), 2, text)
            self.assertIn('\n  --', text)
    each('help_of_' + command, help_of)

for pass_name, word in PASSES.items():
    def dump(self, pass_name=pass_name, word=word):
        text = self.done('partition', 'mlp.pb', '--pp=2', '--micro-batches=2', '--dump=after:' + pass_name)
        self.assertIn(word, text)
        self.assertEqual(text, self.done('partition', 'mlp.pb', '--pp=2', '--micro-batches=2', '--dump=' + pass_name))
    each('dump_after_' + pass_name, dump)

for name, args in {
    'partition': ['partition', 'mlp.pb', '--out=json.pb'],
    'explain': ['explain', 'plan.pb'],
    'simulate': ['simulate', 'plan.pb'],
    'simulate_eval': ['simulate', 'plan.pb', '--program=eval'],
    'report': ['report', 'run'],
    'inspect_run': ['inspect', 'run'],
    'inspect_plan': ['inspect', 'plan.textproto'],
}.items():
    def parses(self, args=args):
        self.assertIsInstance(json.loads(self.done(*args, '--json')), dict)
    each('json_of_' + name, parses)

CLUSTER = 'schema_version: 1\nname: "two"\ndevices { name: "a" kind: "cpu" }\ndevices { name: "b" kind: "cpu" }\n'
COSTS = 'schema_version: 1\ndevice_kind: "cpu"\nkernels { key: "k" seconds: 1e-6 }\n'
for name, kind, file, text in [
    ('model', 'model', 'gpt.pb', None),
    ('plan', 'plan', 'plan.pb', None),
    ('trace', 'trace', 'run/predicted.pb', None),
    ('job', 'job', 'run/job.pb', None),
    ('weights', 'weights', 'run/weights.safetensors', None),
    ('checkpoint', 'checkpoint', 'run/checkpoint/step-00000002', None),
    ('run', 'run', 'run', None),
    ('cluster', 'cluster', 'c.textproto', CLUSTER),
    ('cost_table', 'cost table', 'k.textproto', COSTS),
    ('job_text', 'job', 'j.textproto', 'schema_version: 1\nsteps: 3\ndata { path: "book.txt" }\n'),
]:
    def inspected(self, kind=kind, file=file, text=text):
        if text is not None:
            self.write(file, text)
        first = self.done('inspect', file).split('\n')[0]
        self.assertTrue(first.endswith(f': a {kind}'), first)
        json.loads(self.done('inspect', file, '--json'))
    each('inspect_' + name, inspected)


def cluster_file(self):
    self.write('two.textproto', CLUSTER)
    self.write('costs.textproto', COSTS)
    self.done('partition', 'mlp.pb', '--pp=2', '--cluster=two.textproto', '--costs=costs.textproto', '--out=clustered.pb')
    self.assertIn(' b', self.done('verify', 'clustered.pb'))


def job_file(self):
    self.write('job.textproto', 'schema_version: 1\nsteps: 1\ndata { format: "synthetic" }\nquiet: true\n')
    self.done('train', '--plan=plan.pb', '--job=job.textproto', '--out=run-of-job')
    self.assertIn('step-00000001', self.done('inspect', 'run-of-job'))


def pinned_nodes(self):
    rows = self.done('partition', 'gpt.pb', '--pp=2', '--dump=after:cut').split('\n')
    first, last = (row.split()[-1] for row in rows[1:3])
    self.write('pins', f'# the first stage ends elsewhere\n{first} 1\n{last} 1\n')
    for cut in ('balanced', 'exact', 'file'):
        text = self.done('partition', 'gpt.pb', '--pp=2', '--cut-file=pins', '--cut=' + cut, '--dump=after:cut')
        self.assertNotIn(f'  {first}\n', text)
        self.assertIn(f'  {last}\n', text)
    self.done('partition', 'gpt.pb', '--pp=2', '--cut=exact', '--cut-file=pins', '--out=pinned.pb')
    self.assertIn('some nodes pinned', self.done('explain', 'pinned.pb'))
    self.done('verify', 'pinned.pb', '--model=gpt.pb', '--parity')
    self.write('wrong', f'{last} 0\n{first} 1\n')
    for flags, code, part in ((['--cut-file=wrong'], 78, f"'{last}' to stage 0 and '{first}' to stage 1"),
                              (['--cut-file=pins', '--cut=even'], 2, '--cut-file goes with'),
                              (['--cut=file'], 2, '--cut=file needs --cut-file'),
                              (['--cut-file=none'], 66, 'none')):
        done = subprocess.run([BINARY, 'partition', 'gpt.pb', '--pp=2', '--out=not.pb', *flags], cwd=self.folder,
                              capture_output=True, timeout=60, text=True)
        self.assertEqual((done.returncode, done.stderr.count('\n') <= 2), (code, True), done.stderr)
        self.assertIn(part, done.stderr)


def sixteen_bits(self):
    for dtype in ('bf16', 'f16'):
        self.done('model', 'gpt2', '--layers=2', '--heads=2', '--width=16', '--vocab=64', '--context=8',
                  '--dtype=' + dtype, '--out=half.pb')
        self.done('partition', 'half.pb', '--devices=reference:4', '--pp=2', '--dp=2', '--shard-optimizer=1',
                  '--micro-batches=2', '--out=half.plan')
        self.done('verify', 'half.plan', '--model=half.pb', '--parity')
        train = ['train', '--plan=half.plan', '--data=synthetic', '--quiet', '--json']
        whole = json.loads(self.done(*train, '--steps=4', '--out=half-' + dtype))
        self.done(*train, '--steps=2', '--out=half-cut-' + dtype)
        resumed = json.loads(self.done(*train, '--steps=4', '--resume=auto', '--out=half-cut-' + dtype))
        self.assertEqual(resumed['weights_sha256'], whole['weights_sha256'])
        # Weights and two moments, and a master of each.
        self.assertIn('tensors            112', self.done('inspect', 'half-' + dtype + '/checkpoint/step-00000004'))
    for command, part in ((['model', 'gpt2', '--dtype=f8', '--out=x.pb'], '--dtype=f8'),
                          (['partition', 'half.pb', '--devices=cpu:1', '--tf32', '--out=x.plan'], '--tf32')):
        done = subprocess.run([BINARY, *command], cwd=self.folder, capture_output=True, timeout=60, text=True)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(part, done.stderr)


def replicas(self):
    shape = ['gpt.pb', '--pp=2', '--dp=2', '--micro-batches=2']
    for level in ('0', '1', '2', '3'):
        self.done('partition', *shape, '--shard-optimizer=' + level, '--bucket-mb=0.01', '--out=dp.pb')
        self.assertIn('in each of 2 replicas', self.done('explain', 'dp.pb'))
        self.done('verify', 'dp.pb', '--model=gpt.pb', '--parity')
        out = 'run-of-replicas-' + level
        compare = '--check-replicas-every=' + ('1' if level < '3' else '0')  # at level 3 no two hold the same
        train = ['train', '--plan=dp.pb', '--data=synthetic', compare, '--out=' + out, '--quiet', '--json']
        whole = json.loads(self.done(*train, '--steps=3'))
        self.assertEqual(whole['ranks'], 4)
        self.done('report', out)
        # Stopped after a step and resumed: the same weights.
        self.done(*train[:-3], '--out=' + out + '-cut', '--quiet', '--steps=1')
        resumed = json.loads(self.done(*train[:-3], '--out=' + out + '-cut', '--quiet', '--json', '--steps=3',
                                       '--resume=auto'))
        self.assertEqual(resumed['weights_sha256'], whole['weights_sha256'])
    # Stages with replicas of their own have no one-stage plan of the same bits. The token table is on both.
    self.done('partition', 'gpt.pb', '--stage-replicas=2,1', '--micro-batches=2', '--out=unequal.pb')
    self.assertIn('replicas of the stages 2-1', self.done('explain', 'unequal.pb'))
    self.done('train', '--plan=unequal.pb', '--data=synthetic', '--out=run-unequal', '--quiet', '--steps=2')
    done = subprocess.run([BINARY, 'verify', 'unequal.pb', '--model=gpt.pb', '--parity'], cwd=self.folder,
                          capture_output=True, timeout=60, text=True)
    self.assertEqual(done.returncode, 78, done.stderr)
    self.assertIn('compare the losses', done.stderr)
    for flags, code, part in ((['--shard-optimizer=1'], 78, 'nobody to share with'), (['--dp=0'], 2, '--dp=0'),
                              (['--pp=2', '--dp=2', '--devices=cpu:3'], 78, 'needs 4 devices'),
                              (['--dp=2', '--shard-optimizer=4'], 2, '--shard-optimizer=4'),
                              (['--dp=2', '--shard-optimizer=2', '--sum-order=micro-batch-first'], 78, 'use level 1'),
                              (['--dp=2', '--sum-order=any'], 2, 'micro-batch-first, replica-first'),
                              (['--stage-replicas=3,x'], 2, 'a number is needed for each stage'),
                              (['--stage-replicas=3,1', '--micro-batches=4'], 78, 'micro-batches evenly'),
                              (['--dp=2', '--bucket-mb=-2'], 2, '--bucket-mb=-2')):
        done = subprocess.run([BINARY, 'partition', 'gpt.pb', '--out=not.pb', *flags], cwd=self.folder,
                              capture_output=True, timeout=60, text=True)
        self.assertEqual((done.returncode, done.stderr.count('\n') <= 2), (code, True), done.stderr)
        self.assertIn(part, done.stderr)


each('pinned_nodes', pinned_nodes)
each('replicas', replicas)
each('sixteen_bits', sixteen_bits)
each('cluster_and_costs_from_files', cluster_file)
each('job_from_a_file', job_file)

if __name__ == '__main__':
    for house in (os.path.join(os.getcwd(), 'tests', 'house'),
                  os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', 'house')):
        sys.path.insert(0, house)
    import xml_runner
    xml_runner.main()
