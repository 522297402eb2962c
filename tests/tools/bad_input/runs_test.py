"""Checkpoints and run folders that must be refused: every byte of a checkpoint counts."""
import hashlib
import os
import random
import shutil
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.getcwd(), 'tests', 'tools', 'bad_input'), os.path.dirname(os.path.realpath(__file__))]
import wire
from battery import BAD, CANNOT_CREATE, CONFIG, MISSING, Battery, case, main
from wire import BYTES, drop, put

FILE, PIECE, DIGEST = 9, 10, 12
STEP = os.path.join('checkpoint', 'step-00000003')


def sealed(manifest):
    """The manifest with the digest that its other bytes give."""
    fields = [f for f in wire.decode(manifest) if f[0] != DIGEST]
    fields.append([DIGEST, BYTES, hashlib.sha256(wire.encode(fields)).digest()])
    return wire.encode(fields)


class Runs(Battery):
    @classmethod
    def prepare(cls):
        cls.models()
        cls.done('partition', 'mlp.textproto', '--pp=2', '--micro-batches=2', '--out=plan.pb')
        cls.done('partition', 'mlp.textproto', '--pp=1', '--micro-batches=2', '--out=other.pb')
        cls.done('train', '--plan=plan.pb', '--data=synthetic', '--steps=3', '--out=good', '--quiet')

    def setUp(self):
        self.run_folder = self.id().rpartition('.')[2]
        shutil.copytree(self.at('good'), self.at(self.run_folder))

    def tearDown(self):
        shutil.rmtree(self.at(self.run_folder), ignore_errors=True)

    def inside(self, *names):
        return os.path.join(self.run_folder, *names)

    def resume(self, plan='plan.pb', *flags):
        return ['train', '--plan=' + plan, '--data=synthetic', '--steps=5', '--out=' + self.run_folder, '--resume=auto',
                '--quiet', *flags]

    def both_refuse(self, *words, lines=6):
        """The only checkpoint is bad: neither `inspect` nor a resume takes it."""
        self.refused((BAD, MISSING), ['inspect', self.inside(STEP)], *words, lines=lines)
        self.refused((BAD, MISSING), self.resume(), lines=lines)

    def test_the_good_one_is_good(self):
        self.done('inspect', self.inside(STEP))
        self.done(*self.resume())
        self.done('report', self.run_folder)

    def test_existing_run_is_not_overwritten(self):
        before = self.read(self.inside('weights.safetensors'))
        self.refused(CANNOT_CREATE, self.resume()[:-2] + ['--quiet'], 'never overwritten', '--resume')
        self.assertEqual(self.read(self.inside('weights.safetensors')), before)

    def test_resume_with_another_plan(self):
        self.refused(CONFIG, self.resume('other.pb'), 'plan')

    def test_resume_with_another_seed(self):
        self.refused(CONFIG, self.resume('plan.pb', '--seed=7'), '--seed=7')

    def test_resume_with_other_data(self):
        self.done('model', 'gpt2', '--layers=1', '--heads=1', '--width=8', '--vocab=256', '--context=8', '--out=g.pb')
        text = self.write('t.txt', 'some text to read, and then some more. ' * 20)
        self.done('train', '--model=g.pb', '--data=' + text, '--steps=1', '--out=' + self.inside('t'), '--quiet')
        self.refused(CONFIG, ['train', '--model=g.pb', '--data=synthetic', '--steps=2', '--out=' + self.inside('t'),
                              '--resume=auto', '--quiet'], 'data')

    def test_run_without_plan(self):
        os.remove(self.at(self.inside('plan.pb')))
        self.refused(BAD, ['inspect', self.run_folder], 'neither a run')
        self.refused(MISSING, ['report', self.run_folder], 'plan.pb')

    def test_run_with_a_bad_plan(self):
        self.write(self.inside('plan.pb'), self.read('plan.pb')[:99])
        self.refused(BAD, ['inspect', self.run_folder], 'plan.pb')
        self.refused(BAD, ['report', self.run_folder], 'plan.pb')

    def test_run_with_bad_weights(self):
        self.write(self.inside('weights.safetensors'), self.read(self.inside('weights.safetensors'))[:-1])
        self.refused(BAD, ['inspect', self.run_folder], 'weights.safetensors')

    def test_run_without_prediction(self):
        os.remove(self.at(self.inside('predicted.pb')))
        self.refused(MISSING, ['report', self.run_folder], 'predicted.pb')

    def test_run_without_trace(self):
        os.remove(self.at(self.inside('trace-step-00000003.pb')))
        self.refused(MISSING, ['report', self.run_folder], 'trace')

    def test_run_of_which_the_step_was_not_kept(self):
        self.refused(MISSING, ['report', self.run_folder, '--step=2'], 'step 2')

    def test_run_with_a_plan_folder(self):
        os.remove(self.at(self.inside('plan.pb')))
        os.mkdir(self.at(self.inside('plan.pb')))
        self.refused((BAD, MISSING), ['report', self.run_folder], 'plan.pb')

    def test_run_with_foreign_metrics(self):
        self.write(self.inside('metrics.csv'), 'a,b\n1,2\n')
        self.refused((BAD, CONFIG), self.resume(), 'metrics.csv')

    def test_run_with_the_plan_of_another(self):
        shutil.copy(self.at('other.pb'), self.at(self.inside('plan.pb')))
        self.refused((BAD, CONFIG), self.resume(), 'plan')

    def test_report_of_a_file(self):
        self.refused((BAD, MISSING), ['report', 'plan.pb'], 'plan.pb')

    def test_report_of_nothing(self):
        self.refused(MISSING, ['report', 'absent'], 'absent')

    def test_checkpoint_without_manifest(self):
        os.remove(self.at(self.inside(STEP, 'manifest.pb')))
        self.both_refuse()

    def test_checkpoint_without_a_rank(self):
        os.remove(self.at(self.inside(STEP, 'rank-0001.bin')))
        self.both_refuse('rank-0001.bin')

    def test_checkpoint_with_a_stranger(self):
        self.write(self.inside(STEP, 'extra.bin'), b'x')
        self.both_refuse('extra.bin')

    def test_checkpoint_with_a_link_for_a_rank(self):
        shutil.move(self.at(self.inside(STEP, 'rank-0001.bin')), self.at(self.inside('moved')))
        os.symlink(self.at(self.inside('moved')), self.at(self.inside(STEP, 'rank-0001.bin')))
        self.both_refuse('rank-0001.bin')

    def test_checkpoint_with_a_folder_for_a_rank(self):
        os.remove(self.at(self.inside(STEP, 'rank-0000.bin')))
        os.mkdir(self.at(self.inside(STEP, 'rank-0000.bin')))
        self.both_refuse('rank-0000.bin')

    def test_checkpoint_with_a_pipe_for_a_rank(self):
        os.remove(self.at(self.inside(STEP, 'rank-0000.bin')))
        os.mkfifo(self.at(self.inside(STEP, 'rank-0000.bin')))
        self.both_refuse('rank-0000.bin')

    def test_checkpoint_with_ranks_swapped(self):
        a, b = (self.at(self.inside(STEP, f'rank-000{i}.bin')) for i in (0, 1))
        os.rename(a, a + 'x')
        os.rename(b, a)
        os.rename(a + 'x', b)
        self.both_refuse('rank-000')

    def test_checkpoint_under_another_step(self):
        os.rename(self.at(self.inside(STEP)), self.at(self.inside('checkpoint', 'step-00000009')))
        self.refused((BAD, CONFIG), self.resume(), 'step')

    def test_checkpoint_root_is_a_file(self):
        shutil.rmtree(self.at(self.inside('checkpoint')))
        self.write(self.inside('checkpoint'), 'x')
        self.refused((BAD, MISSING, CANNOT_CREATE, CONFIG), self.resume(), 'checkpoint')


def rank_file(name, change):
    def run(self):
        path = self.inside(STEP, 'rank-0000.bin')
        self.write(path, change(self.read(path)))
        self.both_refuse('rank-0000.bin')
    case(Runs, 'rank_file_' + name, run)


rank_file('empty', lambda data: b'')
rank_file('one_byte_less', lambda data: data[:-1])
rank_file('one_byte_more', lambda data: data + b'\0')
rank_file('of_zeros', lambda data: bytes(len(data)))
rank_file('first_bit', lambda data: bytes([data[0] ^ 1]) + data[1:])
rank_file('last_bit', lambda data: data[:-1] + bytes([data[-1] ^ 0x80]))


def rank_bits(seed):
    def change(data):
        rng = random.Random(seed)
        at = rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
    return change


for seed in range(6):
    rank_file(f'bit_{seed}', rank_bits(seed))


def manifest(name, change, *words):
    def run(self):
        path = self.inside(STEP, 'manifest.pb')
        self.write(path, change(self.read(path)))
        self.both_refuse('manifest.pb', *words)
    case(Runs, 'manifest_' + name, run)


def edited(change, *path):
    return lambda data: sealed(wire.edit(data, path, change))


manifest('empty', lambda data: b'', 'empty')
manifest('prose', lambda data: b'all is well')
manifest('cut', lambda data: data[:-9])
manifest('longer', lambda data: data + b'\x10\x01')
manifest('changed_without_sealing', lambda data: wire.edit(data, (), put(4, 9)), 'digest')
manifest('without_digest', lambda data: wire.edit(data, (), drop(DIGEST)), 'digest')
manifest('of_a_newer_version', edited(put(1, 2)), 'schema_version 2')
manifest('with_an_unknown_field', edited(put(88, 1)))
manifest('with_a_path_upwards', edited(put(1, b'../rank-0000.bin', BYTES), (FILE, 0)))
manifest('with_an_absolute_path', edited(put(1, b'/etc/passwd', BYTES), (FILE, 0)))
manifest('with_an_empty_path', edited(put(1, b'', BYTES), (FILE, 0)))
manifest('with_a_nul_in_a_path', edited(put(1, b'rank\0.bin', BYTES), (FILE, 0)))
manifest('with_a_file_twice', edited(lambda f: f.insert([x[0] for x in f].index(FILE), [FILE, BYTES, [x[2] for x in f if x[0] == FILE][0]])))
manifest('without_files', edited(drop(FILE)))
manifest('with_a_huge_file', edited(put(2, 1 << 62), (FILE, 0)))
manifest('with_a_piece_outside', edited(put(6, 1 << 62), (PIECE, 0)))
manifest('with_a_huge_piece', edited(put(7, (1 << 64) - 1), (PIECE, 0)))
manifest('with_a_piece_backwards', edited(put(3, 5), (PIECE, 0)))
manifest('with_a_piece_in_no_file', edited(put(5, b'other.bin', BYTES), (PIECE, 0)))
manifest('with_a_shape_that_overflows', edited(put(2, wire.varint(1 << 62) * 4, BYTES), (PIECE, 0), (2, 0)))
manifest('with_a_negative_shape', edited(put(2, wire.varint((1 << 64) - 1), BYTES), (PIECE, 0), (2, 0)))
manifest('with_an_unknown_dtype', edited(put(1, 99), (PIECE, 0), (2, 0)))
manifest('with_a_piece_gone', edited(drop(PIECE, 0)))

for name, change, code, *words in [
    ('of_another_plan', put(2, b'0' * 64, BYTES), CONFIG, 'plan'),
    ('at_another_sample', put(6, 1), BAD, 'samples'),
    ('with_more_optimizer_steps_than_steps', put(5, 9), BAD, 'optimizer steps'),
    ('of_other_data', put(8, b'a book', BYTES), CONFIG, 'a book'),
    ('of_another_seed', put(7, 99), CONFIG, 'seed'),
]:
    def run(self, change=change, code=code, words=words):
        path = self.inside(STEP, 'manifest.pb')
        self.write(path, sealed(wire.edit(self.read(path), (), change)))
        self.refused(code, self.resume(), *words)
    case(Runs, 'resume_' + name, run)

if __name__ == '__main__':
    sys.exit(main())
