"""millrace profile: costs of every call, the cache, how plans use them, and what is refused."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
import xml_runner  # noqa: E402

BINARY = os.path.abspath('tools/millrace')


class ProfileTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix='millrace-profile-', dir=os.environ.get('TEST_TMPDIR'))
        cls.run_('model', 'mlp', '--layers=2', '--features=8', '--width=16', '--classes=4', '--out=mlp.pb')
        cls.run_('profile', 'mlp.pb', '--pp=2', '--micro-batch=4', '--out=costs.textproto', '--budget=0.05')

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    @classmethod
    def run_(cls, *words, exit=0):
        done = subprocess.run([BINARY, *words], cwd=cls.folder, capture_output=True, text=True, timeout=300,
                              env={**os.environ, 'XDG_CACHE_HOME': os.path.join(cls.folder, 'cache')})
        if done.returncode != exit:
            raise AssertionError(f'{words}: exit {done.returncode}, not {exit}\n{done.stdout}{done.stderr}')
        return done.stdout if exit == 0 else done.stderr

    def test_a_plan_of_measured_costs_has_nothing_modelled(self):
        self.run_('partition', 'mlp.pb', '--pp=2', '--micro-batch=4', '--costs=costs.textproto', '--out=plan.pb')
        found = json.loads(self.run_('explain', 'plan.pb', '--json'))
        self.assertTrue(found['costs']['measured'])
        self.assertGreater(found['costs']['calls_measured'], 5)
        self.assertEqual(found['costs']['calls_modelled'], 0)
        self.assertEqual(len(found['costs']['hash']), 64)
        self.assertIn('kinds of kernel calls measured on', self.run_('explain', 'plan.pb'))
        simulated = json.loads(self.run_('simulate', 'plan.pb', '--json'))
        self.assertGreater(simulated['seconds'], simulated['pipeline_seconds'])
        self.assertGreater(simulated['norm_seconds'], 0)
        self.assertEqual(simulated['critical_path'][0]['begin'], 0)
        self.assertAlmostEqual(simulated['critical_path'][-1]['end'], simulated['seconds'])
        self.assertEqual(len(simulated['ranks']), 2)
        self.assertGreater(len(simulated['ranks'][0]['memory']), 4)

    def test_other_shapes_are_modelled_from_what_was_measured(self):
        self.run_('partition', 'mlp.pb', '--pp=2', '--micro-batch=5', '--costs=costs.textproto', '--out=other.pb')
        found = json.loads(self.run_('explain', 'other.pb', '--json'))
        self.assertGreater(found['costs']['calls_modelled'], 0)

    def test_the_cache_measures_nothing_twice(self):
        again = json.loads(self.run_('profile', 'mlp.pb', '--pp=2', '--micro-batch=4', '--out=again.pb', '--json'))
        self.assertEqual(again['measured'], 0)
        self.assertGreater(again['from_cache'], 5)
        anew = json.loads(self.run_('profile', 'mlp.pb', '--pp=2', '--micro-batch=4', '--out=anew.pb', '--json',
                                    '--no-cache', '--budget=0.05'))
        self.assertEqual(anew['from_cache'], 0)
        self.assertEqual(anew['measured'], again['from_cache'])

    def test_a_plan_may_be_given(self):
        self.run_('partition', 'mlp.pb', '--pp=2', '--micro-batch=4', '--out=modelled.pb')
        self.run_('profile', 'modelled.pb', '--out=of-plan.pb')
        self.assertIn('is decided in the plan',
                      self.run_('profile', 'modelled.pb', '--pp=2', '--out=of-plan.pb', exit=2))

    def test_refused(self):
        self.assertIn('--out', self.run_('profile', 'mlp.pb', exit=2))
        for budget in ('0', '-1', 'nan'):
            self.run_('profile', 'mlp.pb', '--out=x.pb', f'--budget={budget}', exit=2)
        self.assertIn('abacus', self.run_('profile', 'mlp.pb', '--devices=abacus:2', '--out=x.pb', exit=78))
        self.run_('profile', 'nothing.pb', '--out=x.pb', exit=66)
        with open(os.path.join(self.folder, 'costs.textproto'), encoding='utf-8') as file:
            good = file.read()
        for name, text, code, words in (
                ('kind', good.replace('device_kind: "cpu"', 'device_kind: "cuda"'), 78, "of device kind 'cuda'"),
                ('nan', good.replace('seconds: ', 'seconds: nan #', 1), 65, 'seconds is nan'),
                ('schema', good.replace('schema_version: 1', 'schema_version: 9'), 65, 'schema'),
                ('threads', good.replace('threads: ', 'threads: 99999 #', 1), 65, 'threads')):
            self.assertNotEqual(text, good, name)
            path = f'bad-{name}.textproto'
            with open(os.path.join(self.folder, path), 'w', encoding='utf-8') as file:
                file.write(text)
            message = self.run_('partition', 'mlp.pb', '--pp=2', '--micro-batch=4', f'--costs={path}', '--out=y.pb',
                                exit=code)
            self.assertIn(words, message)


if __name__ == '__main__':
    xml_runner.main()
