"""The examples of the documentation run, and learn."""
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/end_to_end'))
import runs  # noqa: E402
import xml_runner  # noqa: E402


class Examples(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir=os.environ.get('TEST_TMPDIR'))
        self.addCleanup(self.folder.cleanup)
        self.text = self.at('words.txt')
        runs.write_text(self.text, lines=1000)

    def at(self, name):
        return os.path.join(self.folder.name, name)

    def assert_learned(self, out, nats):
        losses = [float(row[1]) for row in runs.curve(self.at(out))]
        self.assertAlmostEqual(losses[0], 5.55, delta=0.1)  # ln 256: nothing is known at first
        self.assertLess(losses[-1], losses[0] - nats)

    def test_first_model(self):
        program = os.path.abspath('docs/examples/first_model')
        done = subprocess.run([program, self.text, self.at('run')], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('step 60/60', done.stderr)
        self.assertIn(runs.weights_digest(self.at('run')), done.stdout)
        self.assert_learned('run', 1)
        # What it leaves is an ordinary run, and it is not overwritten.
        for command in ('report', 'inspect'):
            self.assertEqual(runs.millrace(command, self.at('run')).returncode, 0)
        done = subprocess.run([program, self.text, self.at('run')], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('already holds a run', done.stderr)

    def test_by_hand(self):
        graph, plan = 'docs/examples/by_hand.textproto', self.at('by_hand.plan')
        done = runs.millrace('partition', graph, '--pp=2', '--micro-batch=4', '--micro-batches=4', f'--out={plan}')
        self.assertEqual(done.returncode, 0, done.stderr)
        verified = runs.millrace('verify', plan, f'--model={graph}', '--parity')
        self.assertEqual(verified.returncode, 0, verified.stderr)
        self.assertIn('bit for bit', verified.stdout)
        done = runs.millrace('train', f'--plan={plan}', f'--data={self.text}', '--steps=60', '--learning-rate=5e-3',
                             f'--out={self.at("run")}')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_learned('run', 1)
        self.assertIn('sample of text', done.stdout)  # it names its logits


if __name__ == '__main__':
    xml_runner.main()
