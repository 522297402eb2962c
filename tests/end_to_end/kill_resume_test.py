"""Killed, stopped, resumed, recut: the losses and the weights of a run are the same to the last digit."""
import glob
import hashlib
import os
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/end_to_end'))
import runs  # noqa: E402
import xml_runner  # noqa: E402

STEPS = 50
MODELS = {
    'gpt2': ['--layers=3', '--heads=2', '--width=32', '--vocab=256', '--context=32', '--dropout=0.1'],
    'llama': ['--layers=3', '--heads=4', '--kv-heads=2', '--width=32', '--vocab=256', '--context=32'],
}


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(dir=os.environ.get('TEST_TMPDIR'))
        cls.text = cls.at('words.txt')
        runs.write_text(cls.text)
        for family, flags in MODELS.items():
            done = runs.millrace('model', family, *flags, f'--out={cls.at(family)}.textproto')
            assert done.returncode == 0, done.stderr

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def at(cls, name):
        return os.path.join(cls.folder, name)

    def train_flags(self, out, *more, family='gpt2', pp=2, micro_batch=8, micro_batches=8,
                    checkpoint_every=10):
        # Steps of some milliseconds, so that a signal meets the run in the middle.
        return ['train', f'--model={self.at(family)}.textproto', f'--pp={pp}', f'--micro-batch={micro_batch}',
                f'--micro-batches={micro_batches}', f'--data={self.text}', f'--steps={STEPS}', '--threads=1',
                '--learning-rate=3e-3', '--eval-micro-batches=4', '--sample-bytes=0',
                f'--checkpoint-every={checkpoint_every}', f'--out={self.at(out)}', *more]

    def train(self, out, *more, **settings):
        done = runs.millrace(*self.train_flags(out, *more, **settings))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def assert_same_run(self, out, expected):
        self.assertEqual(len(runs.curve(self.at(expected))), STEPS)
        self.assertEqual(runs.curve(self.at(out)), runs.curve(self.at(expected)), out)
        self.assertEqual(runs.weights_digest(self.at(out)), runs.weights_digest(self.at(expected)), out)


class Interrupted(Case):
    def interrupt(self, family, number, expected_code):
        out = f'{family}-{int(number)}'
        code, said = runs.stop_after(23, number, self.at(out), *self.train_flags(out, family=family))
        self.assertEqual(code, expected_code, said)
        done_before = len(runs.curve(self.at(out)))
        self.assertTrue(23 <= done_before < STEPS, done_before)
        if expected_code >= 0:
            self.assertIn('--resume=auto', said)
            newest = max(os.listdir(self.at(out + '/checkpoint')))
            self.assertEqual(newest, f'step-{done_before:08d}')
        self.assertFalse(os.path.exists(self.at(out + '/weights.safetensors')))
        resumed = self.train(out, '--resume=auto', family=family)
        point = int(re.search(r'resumed after step (\d+) ', resumed.stderr).group(1))
        if expected_code < 0:  # the last checkpoint that the schedule asked for
            self.assertIn(point, range(20, done_before + 1, 10))
        else:
            self.assertEqual(point, done_before)
        self.assert_same_run(out, family + '-whole')

    def test_gpt2(self):
        self.train('gpt2-whole')
        self.interrupt('gpt2', runs.SIGKILL, -runs.SIGKILL)
        self.interrupt('gpt2', runs.SIGINT, 130)
        self.interrupt('gpt2', runs.SIGTERM, 75)

    def test_llama(self):
        self.train('llama-whole', family='llama')
        self.interrupt('llama', runs.SIGKILL, -runs.SIGKILL)
        self.interrupt('llama', runs.SIGINT, 130)
        self.interrupt('llama', runs.SIGTERM, 75)

    def test_killed_again_and_again(self):
        self.train('whole')
        for step in (11, 14, 27, 41):
            code, said = runs.stop_after(step, runs.SIGKILL, self.at('often'),
                                         *self.train_flags('often', '--resume=auto'))
            self.assertEqual(code, -runs.SIGKILL, said)
        self.train('often', '--resume=auto')
        self.assert_same_run('often', 'whole')

    def test_second_signal_ends_at_once(self):
        # A step of seconds: the clean stop would take its time.
        run = runs.Started(*self.train_flags('slow', '--eval-micro-batches=0', micro_batch=32, micro_batches=800))
        run.wait_for('^step 1/')
        run.process.send_signal(runs.SIGINT)
        run.wait_for('once more to stop at once')
        code = run.end_with(runs.SIGINT)
        self.assertEqual(code, 130, run.seen)
        self.assertNotIn('stopped after step', run.seen)
        self.assertEqual(glob.glob(self.at('slow/checkpoint/*')), [])
        self.assertEqual(len(runs.curve(self.at('slow'))), 1)


class Recut(Case):
    def everywhere_the_same(self, family):
        small = {'family': family, 'micro_batch': 2, 'micro_batches': 5, 'checkpoint_every': 0}
        self.train('one', pp=1, **small)
        self.train('again', pp=1, **small)
        self.assert_same_run('again', 'one')
        for pp in (1, 2, 3, 4):
            for schedule in ('gpipe', '1f1b'):
                out = f'{schedule}-{pp}'
                self.train(out, f'--schedule={schedule}', pp=pp, **small)
                self.assert_same_run(out, 'one')
        for threads in (2, 4):
            for pp in (1, 2):
                out = f'threads-{threads}-{pp}'
                self.train(out, f'--threads={threads}', pp=pp, **small)
                self.assert_same_run(out, 'one')
        self.assertLess(float(runs.curve(self.at('one'))[-1][1]), float(runs.curve(self.at('one'))[0][1]) - 1)

    def tearDown(self):
        for out in ['one', 'again', *glob.glob(self.at('threads-*')), *glob.glob(self.at('*-[1234]'))]:
            shutil.rmtree(self.at(out), ignore_errors=True)

    def test_gpt2(self):
        self.everywhere_the_same('gpt2')

    def test_llama(self):
        self.everywhere_the_same('llama')

    def test_another_seed_is_another_run(self):
        self.train('one', pp=1)
        self.train('again', '--seed=2', pp=1)
        self.assertNotEqual(runs.weights_digest(self.at('again')), runs.weights_digest(self.at('one')))


class Folder(Case):
    def setUp(self):
        self.run = 'run-' + self.id().rpartition('.')[2]

    def refused(self, code, words, *arguments):
        before = runs.everything_in(self.at(self.run))
        done = runs.millrace(*arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(runs.everything_in(self.at(self.run)), before)
        return done

    def test_another_plan_is_refused(self):
        self.train(self.run)
        self.refused(78, ['plan'], *self.train_flags(self.run, '--resume=auto', pp=3))
        self.refused(78, ['plan'], *self.train_flags('elsewhere', '--resume=' + self.at(self.run), pp=3))

    def test_other_data_are_refused(self):
        self.train(self.run)
        other = self.at('other.txt')
        runs.write_text(other, seed=7)
        done = self.refused(78, ['was made with the data', 'but this run has', 'resume with the same --data'],
                            *self.train_flags(self.run, '--resume=auto', f'--data={other}'))
        for path in (self.text, other):
            self.assertIn('sha256=' + hashlib.sha256(open(path, 'rb').read()).hexdigest(), done.stderr)

    def test_a_changed_file_is_other_data(self):
        self.train(self.run)
        original = open(self.text, encoding='utf-8').read()
        try:
            with open(self.text, 'w', encoding='utf-8') as file:
                file.write(original.replace('mill', 'hill', 1))
            self.refused(78, ['was made with the data'], *self.train_flags(self.run, '--resume=auto'))
        finally:
            with open(self.text, 'w', encoding='utf-8') as file:
                file.write(original)

    def test_another_seed_is_refused(self):
        self.train(self.run)
        self.refused(78, ['--seed=1', '--seed=2'], *self.train_flags(self.run, '--resume=auto', '--seed=2'))

    def test_a_truncated_checkpoint_is_passed_over(self):
        self.train('whole')
        code, said = runs.stop_after(33, runs.SIGKILL, self.at(self.run), *self.train_flags(self.run))
        self.assertEqual(code, -runs.SIGKILL, said)
        newest = max(glob.glob(self.at(self.run + '/checkpoint/step-*')))
        piece = os.path.join(newest, 'rank-0001.bin')
        os.truncate(piece, os.path.getsize(piece) // 2)
        resumed = self.train(self.run, '--resume=auto')
        self.assertIn('warning', resumed.stderr)
        self.assertIn(os.path.basename(newest), resumed.stderr)
        self.assertIn(f'resumed after step {int(newest[-8:]) - 10} ', resumed.stderr)
        self.assert_same_run(self.run, 'whole')

    def test_where_every_checkpoint_is_broken_nothing_is_begun_anew(self):
        self.train(self.run)
        for manifest in glob.glob(self.at(self.run + '/checkpoint/*/manifest.pb')):
            os.truncate(manifest, os.path.getsize(manifest) - 1)
        self.refused(65, ['none of the checkpoints is whole', 'step-00000050', 'step-00000040'],
                     *self.train_flags(self.run, '--resume=auto'))

    def test_one_process_at_a_time(self):
        flags = self.train_flags(self.run, '--eval-micro-batches=0', '--resume=auto', micro_batch=32,
                                 micro_batches=800)
        first = runs.Started(*flags)
        first.wait_for('^step 1/')
        second = runs.millrace(*flags)
        code = first.end_with(runs.SIGKILL)
        self.assertEqual(second.returncode, 75, second.stderr)
        self.assertIn('another process', second.stderr)
        self.assertEqual(code, -runs.SIGKILL)

    def test_a_run_is_never_overwritten(self):
        self.train(self.run)
        self.refused(73, [self.run, '--resume=auto'], *self.train_flags(self.run))
        self.refused(73, [self.run, '--resume=auto'], *self.train_flags(self.run, '--seed=3', pp=1))

    def test_an_independent_reader_finds_the_same_weights(self):
        for family in MODELS:
            out = f'{self.run}-{family}'
            self.train(out, family=family)
            path = self.at(out + '/weights.safetensors')
            self.assertEqual(runs.independent_digest(path), runs.weights_digest(self.at(out)))
            with open(path, 'r+b') as file:
                file.seek(-1, os.SEEK_END)
                last = file.read(1)
                file.seek(-1, os.SEEK_END)
                file.write(bytes([last[0] ^ 1]))
            self.assertEqual(runs.independent_digest(path), runs.weights_digest(self.at(out)))


if __name__ == '__main__':
    xml_runner.main()
