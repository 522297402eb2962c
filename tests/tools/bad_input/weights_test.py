"""Weights (safetensors) that must be refused, and the StepTraces that a report must not believe."""
import json
import os
import random
import struct
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.getcwd(), 'tests', 'tools', 'bad_input'), os.path.dirname(os.path.realpath(__file__))]
import wire
from battery import BAD, MISSING, Battery, case, main, refusals
from wire import BYTES, FIXED64, drop, put, real


def inspect(path):
    return ['inspect', path]


def safetensors(header, data=b'', size=None):
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack('<Q', len(text) if size is None else size) + text + data


def tensor(shape=(2, 2), begin=0, end=16, dtype='F32'):
    return {'dtype': dtype, 'shape': list(shape), 'data_offsets': [begin, end]}


ONE = '{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'
FOUR = bytes(16)


class Weights(Battery):
    @classmethod
    def write(cls, name, content):
        return super().write(name.replace('.in', '.safetensors'), content)

    def test_the_good_one_is_good(self):
        self.done('inspect', self.write('good.in', safetensors(ONE, FOUR)))

    def test_leading_whitespace_is_good(self):
        self.done('inspect', self.write('space.in', safetensors('  ' + ONE + '   ', FOUR)))

    def test_nothing_in_it_is_good(self):
        self.done('inspect', self.write('nothing.in', safetensors('{}')))

    def test_missing(self):
        self.refused(MISSING, inspect('absent.safetensors'), 'absent')

    def test_folder(self):
        os.mkdir(self.at('folder.safetensors'))
        self.refused((BAD, MISSING), inspect('folder.safetensors'))

    def test_pipe(self):
        os.mkfifo(self.at('pipe.safetensors'))
        self.refused((BAD, MISSING), inspect('pipe.safetensors'), 'not a regular file')


refusals(Weights, inspect, [
    ('empty', b'', '0 bytes'),
    ('seven_bytes', b'\x01' * 7, '7 bytes'),
    ('header_of_64_bits', safetensors(ONE, FOUR, (1 << 64) - 1), 'limit'),
    ('header_wraps', safetensors(ONE, FOUR, (1 << 64) - 8), 'limit'),
    ('header_over_100_million', safetensors(ONE, FOUR, 100_000_001), 'limit'),
    ('header_beyond_the_file', safetensors(ONE, FOUR, 4096), '4096'),
    ('header_not_utf8', safetensors(b'{"\xff\xfe":1}', FOUR), 'JSON'),
    ('header_not_json', safetensors('hello there', FOUR), 'JSON'),
    ('header_empty', safetensors('', FOUR), 'JSON'),
    ('header_a_list', safetensors('[]'), 'header'),
    ('header_a_string', safetensors('"a"'), 'header'),
    ('header_null', safetensors('null'), 'header'),
    ('header_cut', safetensors(ONE[:-3], FOUR), 'JSON'),
    ('header_and_more', safetensors(ONE + ONE, FOUR), 'JSON'),
    ('header_with_nul', safetensors(ONE + '\0', FOUR), 'zero'),
    ('header_nested_lists', safetensors('[' * 1_000_000), 'header'),
    ('header_nested_objects', safetensors('{"a":' * 1_000_000), 'header'),
    ('name_twice', safetensors('{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},'
                               '"a":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}', bytes(8)), 'twice'),
    ('field_twice', safetensors('{"a":{"dtype":"F32","dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}', FOUR), 'twice'),
    ('unknown_field', safetensors('{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16],"colour":"red"}}', FOUR), 'colour'),
    ('metadata_a_number', safetensors('{"__metadata__":{"format":1}}'), '__metadata__'),
    ('metadata_nested', safetensors('{"__metadata__":{"format":{}}}'), '__metadata__'),
    ('metadata_a_list', safetensors('{"__metadata__":[]}'), '__metadata__'),
    ('metadata_over_1_mib', safetensors({'__metadata__': {'k': 'x' * (1 << 21)}}), '1 MiB'),
    ('metadata_key_twice', safetensors('{"__metadata__":{"a":"1","a":"2"}}'), 'twice'),
    ('tensor_a_number', safetensors('{"a":1}'), "'a'"),
    ('tensor_without_dtype', safetensors('{"a":{"shape":[2,2],"data_offsets":[0,16]}}', FOUR), 'dtype'),
    ('tensor_without_shape', safetensors('{"a":{"dtype":"F32","data_offsets":[0,16]}}', FOUR), 'shape'),
    ('tensor_without_offsets', safetensors('{"a":{"dtype":"F32","shape":[2,2]}}', FOUR), 'data_offsets'),
    ('tensor_empty', safetensors('{"a":{}}'), 'lacks'),
    ('dtype_unknown', safetensors({'a': tensor(dtype='F8')}, FOUR), 'F8'),
    ('dtype_lower_case', safetensors({'a': tensor(dtype='f32')}, FOUR), 'f32'),
    ('dtype_a_number', safetensors(ONE.replace('"F32"', '32'), FOUR), "'a'"),
    ('shape_negative', safetensors({'a': tensor((-2, -2))}, FOUR), 'negative'),
    ('shape_a_fraction', safetensors({'a': tensor((1.9, 2))}, FOUR), '1.9'),
    ('shape_an_exponent', safetensors(ONE.replace('[2,2]', '[1e1]'), FOUR), '1e1'),
    ('shape_a_string', safetensors(ONE.replace('[2,2]', '["2"]'), FOUR), "'a'"),
    ('shape_nested', safetensors(ONE.replace('[2,2]', '[[2,2]]'), FOUR), "'a'"),
    ('shape_null', safetensors(ONE.replace('[2,2]', 'null'), FOUR), "'a'"),
    ('shape_over_64_bits', safetensors(ONE.replace('[2,2]', '[18446744073709551616]'), FOUR), '18446744073709551616'),
    ('shape_overflows_2_times_2_64', safetensors({'a': tensor((2, (1 << 64) - 2))}, FOUR), "'a'"),
    ('shape_overflows_2_times_2_63', safetensors({'a': tensor((2, (1 << 63) - 1))}, FOUR), "'a'"),
    ('shape_overflows_to_fit', safetensors({'a': tensor((1 << 32, 1 << 32, 4), 0, 0)}), "'a'"),
    ('rank_bomb', safetensors({'a': tensor([1] * 100_000, 0, 4)}, bytes(4)), 'too many'),
    ('offsets_backwards', safetensors({'a': tensor(begin=16, end=0)}, FOUR), 'data_offsets'),
    ('offsets_too_small', safetensors({'a': tensor(end=12)}, FOUR), 'data_offsets'),
    ('offsets_too_large', safetensors({'a': tensor(end=20)}, bytes(20)), 'data_offsets'),
    ('offsets_of_one', safetensors(ONE.replace('[0,16]', '[0]'), FOUR), 'data_offsets'),
    ('offsets_of_three', safetensors(ONE.replace('[0,16]', '[0,16,32]'), FOUR), 'data_offsets'),
    ('offsets_negative', safetensors(ONE.replace('[0,16]', '[-16,0]'), FOUR), 'negative'),
    ('offsets_wrap', safetensors(ONE.replace('[0,16]', '[18446744073709551608,8]'), FOUR), 'data_offsets'),
    ('hole_before', safetensors({'a': tensor(begin=8, end=24)}, bytes(24)), 'hole'),
    ('hole_between', safetensors({'a': tensor(), 'b': tensor(begin=24, end=40)}, bytes(40)), 'hole'),
    ('overlap', safetensors({'a': tensor(), 'b': tensor(begin=8, end=24)}, bytes(24)), 'overlap'),
    ('same_bytes_twice', safetensors({'a': tensor(), 'b': tensor()}, FOUR), 'overlap'),
    ('data_cut', safetensors(ONE, FOUR[:-2]), '14'),
    ('data_missing', safetensors(ONE), '0'),
    ('data_longer', safetensors(ONE, FOUR + b'x'), '17'),
    ('polyglot_zip_after', safetensors(ONE, FOUR + b'PK\x05\x06' + bytes(18)), '38'),
    ('name_too_long', safetensors({'x' * 5000: tensor()}, FOUR), 'too long'),
    ('name_with_control', safetensors({'a\nb': tensor()}, FOUR), 'control'),
    ('pickle_instead', b'\x80\x04\x95' + bytes(60)),
])


def flips(seed):
    def run(self):
        base = safetensors({'a': tensor(), 'b': tensor((0,), 16, 16), 'c': tensor((3,), 16, 40, 'F64'),
                            '__metadata__': {'format': 'pt'}}, bytes(40))
        rng = random.Random(seed)
        for i in range(15):
            data = bytearray(base)
            for _ in range(rng.choice((1, 1, 3))):
                data[rng.randrange(len(data) - 40)] = rng.randrange(256)
            self.refused_or_done(inspect(self.write(f'flip{seed}-{i}.in', bytes(data))))
    return run


for seed in range(6):
    case(Weights, f'random_bytes_{seed}', flips(seed))

SPAN = 6


class Traces(Battery):
    """A run's folder whose measured trace is replaced."""

    @classmethod
    def prepare(cls):
        cls.models()
        cls.done('partition', 'mlp.textproto', '--pp=2', '--micro-batches=2', '--out=plan.pb')
        cls.done('train', '--plan=plan.pb', '--data=synthetic', '--steps=2', '--out=run', '--quiet')
        cls.done('report', 'run')
        cls.good = cls.read(os.path.join('run', 'trace-step-00000002.pb'))

    def report(self, content, *words):
        self.write(os.path.join('run', 'trace-step-00000002.pb'), content)
        try:
            self.refused(BAD, ['report', 'run'], *words)
        finally:
            self.write(os.path.join('run', 'trace-step-00000002.pb'), self.good)

    def test_span_order_changed_is_good(self):
        fields = wire.decode(self.good)
        spans = [f for f in fields if f[0] == SPAN]
        others = [f for f in fields if f[0] != SPAN]
        self.write(os.path.join('run', 'trace-step-00000002.pb'), wire.encode(others[:-1] + spans[::-1] + others[-1:]))
        self.done('report', 'run')


def edited(change, *path):
    return lambda self: wire.edit(self.good, path, change)


NAN, INF = real(float('nan')), real(float('inf'))
for name, content, *words in [
    ('empty', lambda self: b'', 'empty'),
    ('prose', lambda self: b'it took long', ':1:'),
    ('cut', lambda self: self.good[:-5], 'bytes'),
    ('only_a_version', lambda self: b'\x08\x01', 'trace'),
    ('newer_version', edited(put(1, 2)), 'schema_version 2'),
    ('of_another_plan', edited(put(2, b'0' * 64, BYTES)), 'trace'),
    ('of_no_plan', edited(drop(2)), 'trace'),
    ('of_another_program', edited(put(3, b'eval', BYTES)), 'eval'),
    ('of_no_program', edited(drop(3)), 'trace'),
    ('unknown_field', edited(put(70, 1)), 'fields'),
    ('rank_unknown', edited(put(1, 9), (SPAN, 0)), 'rank 9'),
    ('rank_of_32_bits', edited(put(1, 0xFFFFFFFF), (SPAN, 0)), 'rank'),
    ('instruction_unknown', edited(put(2, 5000), (SPAN, 0)), '5000'),
    ('start_nan', edited(put(3, NAN, FIXED64), (SPAN, 0)), 'trace'),
    ('end_infinite', edited(put(4, INF, FIXED64), (SPAN, 0)), 'trace'),
    ('wait_negative', edited(put(5, real(-1.0), FIXED64), (SPAN, 0)), 'trace'),
    ('ends_before_it_starts', edited(put(3, real(1e9), FIXED64), (SPAN, 0)), 'trace'),
    ('plan_instead', lambda self: self.read('plan.pb'), 'StepTrace'),
]:
    case(Traces, name, lambda self, content=content, words=words: self.report(content(self), *words))

if __name__ == '__main__':
    sys.exit(main())
