"""Model graphs that must be refused: text and binary form."""
import os
import random
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.getcwd(), 'tests', 'tools', 'bad_input'), os.path.dirname(os.path.realpath(__file__))]
import wire
from battery import BAD, MISSING, USAGE, Battery, case, main, refusals


def partition(path):
    return ['partition', path, '--micro-batch=2', '--micro-batches=2', '--out=' + path + '.plan']


def swap(old, new, count=1):
    """The MLP with one piece of text changed."""
    def make(self):
        text = self.read('mlp.textproto').decode()
        assert old in text, old
        return text.replace(old, new, count)
    return make


def add(text):
    return lambda self: self.read('mlp.textproto').decode() + text


def node(name, op, inputs, outputs, attributes=''):
    lines = [f'name: "{name}" op: "{op}"'] + [f'inputs: "{i}"' for i in inputs] + [f'outputs: "{o}"' for o in outputs]
    return 'nodes { ' + ' '.join(lines) + ' ' + attributes + ' }\n'


def binary(change, path=()):
    return lambda self: wire.edit(self.read('mlp.pb'), path, change)


NODES, INPUTS, PARAMETERS = 5, 3, 4
HEAD = 'inputs: "layers.0.act"\n  inputs: "head.weight"'


class TextModels(Battery):
    @classmethod
    def prepare(cls):
        cls.models()


refusals(TextModels, partition, [
    ('empty', '', 'empty'),
    ('blank', '\n\n', 'schema_version'),
    ('prose', 'Hello, this is no model at all.\n', ':1:'),
    ('json', '{"schema_version": 1}\n', ':1:'),
    ('yaml', 'schema_version: 1\n- a\n', ':2:'),
    ('nul_bytes', b'\0' * 100, ':1:'),
    ('no_version', swap('schema_version: 1\n', ''), 'schema_version'),
    ('newer_version', swap('schema_version: 1', 'schema_version: 2'), 'schema_version 2', 'newer millrace'),
    ('huge_version', swap('schema_version: 1', 'schema_version: 4294967295'), 'schema_version'),
    ('negative_version', swap('schema_version: 1', 'schema_version: -1'), ':1:'),
    ('unknown_field', add('colour: "red"\n'), 'colour', ':111:'),
    ('unknown_enum', swap('dtype: F32', 'dtype: F31'), 'F31'),
    ('scalar_twice', add('name: "again"\n'), 'name'),
    ('unclosed_message', add('nodes { name: "x"\n'), ':'),
    ('unclosed_string', add('logits: "x\n'), ':'),
    ('wrong_type', swap('op: "MatMul"', 'op: 7'), ':'),
    ('number_overflows', swap('dims: 8', 'dims: 99999999999999999999'), ':'),
    ('only_a_version', 'schema_version: 1\n', 'no nodes'),
    ('no_nodes', lambda self: self.read('mlp.textproto').decode().split('nodes {')[0], 'no nodes'),
    ('no_loss', lambda self: self.read('mlp.textproto').decode().split('loss {\n')[0], 'loss'),
    ('cycle', lambda self: swap('inputs: "features"', 'inputs: "head.add"')(self), 'cycle'),
    ('self_loop', swap(HEAD, 'inputs: "head"\n  inputs: "head.weight"'), '"head"', 'own output'),
    ('dangling_input', swap(HEAD, 'inputs: "nowhere"\n  inputs: "head.weight"'), '"nowhere"', '"head"'),
    ('missing_input', swap(HEAD, 'inputs: "layers.0.act"'), '"head"', 'input'),
    ('absent_required_input', swap(HEAD, 'inputs: ""\n  inputs: "head.weight"'), '"head"', 'input 0'),
    ('too_many_inputs', swap(HEAD, HEAD + '\n  inputs: "features"'), '"head"', 'at most'),
    ('no_outputs', swap('outputs: "head"\n', ''), '"head"', 'output'),
    ('node_without_name', swap('name: "head"\n', ''), 'name'),
    ('node_name_twice', swap('name: "head.add"', 'name: "head"'), '"head"', 'unique'),
    ('output_name_twice', swap('outputs: "head.add"', 'outputs: "head"'), 'unique'),
    ('output_named_like_input', swap('outputs: "head.add"', 'outputs: "features"'), 'unique'),
    ('parameter_name_twice', swap('name: "head.bias"', 'name: "head.weight"'), 'unique'),
    ('control_character_in_name', swap('name: "head.add"', 'name: "head\\nadd"'), 'control'),
    ('name_too_long', swap('name: "head.add"', f'name: "{"x" * 100000}"'), 'longer'),
    ('name_of_a_gradient', swap('outputs: "head.add"', 'outputs: "d/head"'), 'd/'),
    ('not_utf8_name', lambda self: swap('name: "head.add"', 'name: "\\377\\376"')(self), 'UTF-8'),
    ('unknown_op', swap('op: "Relu"', 'op: "Rely"'), 'Rely', 'did you mean Relu'),
    ('internal_op', swap('op: "Relu"', 'op: "FusedMatMul"'), 'FusedMatMul'),
    ('no_op', swap('op: "Relu"', 'op: ""'), 'operator'),
    ('rank_bomb', swap('dims: 4\n', 'dims: 1\n' * 1000000), 'dimensions'),
    ('rank_nine', swap('dims: 4\n', 'dims: 1\n' * 9), 'dimensions'),
    ('shape_overflows', swap('dims: 4\n    dims: 8', 'dims: 4611686018427387904\n    dims: 4'), '2^40'),
    ('shape_of_max_int', swap('dims: 4\n    dims: 8', 'dims: 9223372036854775807\n    dims: 9223372036854775807'), '2^40'),
    ('zero_size', swap('dims: 4\n    dims: 8', 'dims: 0\n    dims: 8'), 'positive'),
    ('negative_size', swap('dims: 4\n    dims: 8', 'dims: -4\n    dims: 8'), 'positive'),
    ('symbolic_parameter', swap('dims: 4\n    dims: 8', 'dims: -1\n    dims: 8'), '-1'),
    ('shapes_do_not_fit', swap('dims: 4\n    dims: 8', 'dims: 5\n    dims: 8'), '"layers.0"'),
    ('bias_does_not_fit', swap('F32\n    dims: 3\n', 'F32\n    dims: 7\n'), 'head'),
    ('types_do_not_fit', swap('name: "head.weight"\n  type {\n    dtype: F32', 'name: "head.weight"\n  type {\n    dtype: F64'),
     'head'),
    ('no_dtype', swap('dtype: F32', 'dtype: DATA_TYPE_UNSPECIFIED'), 'type'),
    ('bool_parameter', swap('name: "head.bias"\n  type {\n    dtype: F32', 'name: "head.bias"\n  type {\n    dtype: BOOL'),
     'head.bias'),
    ('integer_parameter_trained', swap('name: "head.bias"\n  type {\n    dtype: F32',
                                       'name: "head.bias"\n  type {\n    dtype: I64'), 'head.bias'),
    ('labels_as_floats', swap('dtype: I64', 'dtype: F32'), 'labels'),
    ('features_as_integers', swap('dtype: F32', 'dtype: I64'), 'features'),
    ('initializer_missing', swap('kind: ZEROS', 'kind: KIND_UNSPECIFIED'), 'initializer'),
    ('initializer_nan', swap('scale: 0.5', 'scale: nan'), 'finite'),
    ('initializer_inf', swap('scale: 0.5', 'scale: inf'), 'finite'),
    ('initializer_negative', swap('scale: 0.5', 'scale: -1'), 'negative'),
    ('initializer_data_short', swap('kind: ZEROS', 'kind: DATA data: "abc"'), '3 bytes'),
    ('initializer_rotary_1d', swap('kind: ZEROS', 'kind: ROTARY_COS value: 10000'), 'rotary'),
    ('unread_parameter', add('parameters { name: "extra" type { dtype: F32 dims: 2 } initializer { kind: ZEROS } }\n'),
     'extra', 'no node reads'),
    ('constant_and_trainable', swap('name: "head.bias"', 'name: "head.bias" constant: true trainable: true'), 'constant'),
    ('attribute_unknown', swap('op: "Relu"', 'op: "Relu" attributes { name: "slope" f: 0.1 }'), 'slope'),
    ('attribute_twice', swap('op: "SoftmaxCrossEntropyLoss"',
                             'op: "SoftmaxCrossEntropyLoss" ' + 'attributes { name: "ignore_index" i: 1 } ' * 2), 'twice'),
    ('attribute_of_wrong_kind', swap('op: "SoftmaxCrossEntropyLoss"',
                                     'op: "SoftmaxCrossEntropyLoss" attributes { name: "ignore_index" s: "a" }'),
     'ignore_index', 'integer'),
    ('attribute_without_value', swap('op: "SoftmaxCrossEntropyLoss"',
                                     'op: "SoftmaxCrossEntropyLoss" attributes { name: "ignore_index" }'), 'ignore_index'),
    ('loss_unknown', swap('value: "loss.0"', 'value: "lossy"'), 'lossy'),
    ('loss_is_not_a_loss', swap('value: "loss.0"', 'value: "head"'), 'loss'),
    ('loss_and_count_swapped', swap('value: "loss.0"\n  count: "loss.1"', 'value: "loss.1"\n  count: "loss.0"'), 'loss'),
    ('loss_used_again', add(node('more', 'Relu', ['loss.0'], ['more'])), 'loss'),
    ('logits_unknown', swap('logits: "head.add"', 'logits: "nothing"'), 'nothing'),
    ('logits_is_a_parameter', swap('logits: "head.add"', 'logits: "head.weight"'), 'head.weight'),
    ('reshape_to_overflow', add(node('r', 'Reshape', ['head.add'], ['r'],
                                     'attributes { name: "shape" ints { values: 4294967296 values: 4294967296 } }')), '"r"'),
    ('reshape_two_unknowns', add(node('r', 'Reshape', ['head.add'], ['r'],
                                      'attributes { name: "shape" ints { values: -1 values: -1 } }')), '"r"'),
    ('reshape_wrong_size', add(node('r', 'Reshape', ['head.add'], ['r'],
                                    'attributes { name: "shape" ints { values: 5 values: 7 } }')), '"r"'),
    ('transpose_perm_repeats', add(node('t', 'Transpose', ['head.add'], ['t'],
                                        'attributes { name: "perm" ints { values: 0 values: 0 } }')), '"t"'),
    ('transpose_perm_outside', add(node('t', 'Transpose', ['head.add'], ['t'],
                                        'attributes { name: "perm" ints { values: 0 values: 99 } }')), '"t"'),
    ('split_uneven', add(node('s', 'Split', ['head.add'], ['s0', 's1'], 'attributes { name: "axis" i: 1 } '
                              'attributes { name: "split" ints { values: 1 values: 9 } }')), '"s"'),
    ('split_negative', add(node('s', 'Split', ['head.add'], ['s0', 's1'], 'attributes { name: "axis" i: 1 } '
                                'attributes { name: "split" ints { values: -1 values: 4 } }')), '"s"'),
    ('concat_axis_outside', add(node('c', 'Concat', ['head.add', 'head.add'], ['c'],
                                     'attributes { name: "axis" i: 9 }')), '"c"'),
    ('expand_shape_bomb', add(node('e', 'Expand', ['head.add'], ['e'], 'attributes { name: "shape" ints { '
                                   'values: 1099511627776 values: 2 values: 3 } }')), '"e"'),
    ('reduce_axis_outside', add(node('q', 'ReduceSum', ['head.add'], ['q'],
                                     'attributes { name: "axes" ints { values: 7 } }')), '"q"'),
    ('dropout_ratio_over_one', add(node('p', 'Dropout', ['head.add'], ['p'],
                                        'attributes { name: "ratio" f: 1.5 }')), '"p"'),
    ('dropout_ratio_nan', add(node('p', 'Dropout', ['head.add'], ['p'], 'attributes { name: "ratio" f: nan }')), '"p"'),
])


def nested(levels):
    return 'schema_version: 1\nnodes { attributes { ints { ' + 'values { ' * levels


for levels in (100, 2187, 100000):
    refusals(TextModels, partition, [
        (f'nested_{levels}', nested(levels), ':2:'),
        (f'nested_unknown_{levels}', 'schema_version: 1\n' + 'x { ' * levels, ':2:'),
        (f'nested_lists_{levels}', 'schema_version: 1\nname: ' + '[' * levels, ':2:'),
    ])


class BinaryModels(Battery):
    @classmethod
    def prepare(cls):
        cls.models()
        cls.done('model', 'mlp', '--layers=1', '--features=4', '--width=8', '--classes=3', '--out=mlp.pb')


refusals(BinaryModels, partition, [
    ('one_byte', b'\x08', 'bytes'),
    ('only_a_version', b'\x08\x01', 'no nodes'),
    ('cut_in_half', lambda self: self.read('mlp.pb')[:len(self.read('mlp.pb')) // 2], 'bytes'),
    ('last_byte_gone', lambda self: self.read('mlp.pb')[:-1], 'bytes'),
    ('one_byte_more', lambda self: self.read('mlp.pb') + b'\x07', 'bytes'),
    ('zeros_after', lambda self: self.read('mlp.pb') + b'\0' * 64, 'bytes'),
    ('twice', lambda self: self.read('mlp.pb') * 2, 'unique'),
    ('length_beyond_the_end', b'\x08\x01\x2a\xff\xff\xff\xff\x07', 'bytes'),
    ('length_of_64_bits', b'\x08\x01\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x7f', 'bytes'),
    ('endless_varint', b'\x08' + b'\xff' * 50, 'bytes'),
    ('group_wire_type', b'\x08\x01' + b'\x2b' * 1000, 'bytes'),
    ('groups_nested', b'\x08\x01' + b'\xfb\x01' * 100000, 'bytes'),
    ('field_zero', b'\x08\x01\x00\x01', 'bytes'),
    ('unknown_field', binary(put_unknown := wire.put(99, 1)), 'fields', 'newer'),
    ('unknown_field_inside', binary(put_unknown, ((NODES, 0),)), 'fields'),
    ('newer_version', binary(wire.put(1, 2)), 'schema_version 2'),
    ('version_of_40_bits', binary(wire.put(1, 1 << 40 | 2)), 'schema_version'),
    ('dims_not_packed_whole', binary(wire.put(2, b'\x80', wire.BYTES), ((PARAMETERS, 0), (2, 0))), 'bytes'),
    ('dims_bomb', binary(wire.put(2, b'\x01' * 5000000, wire.BYTES), ((PARAMETERS, 0), (2, 0))), 'dimensions'),
    ('name_not_utf8', binary(wire.put(1, b'\xff\xfe', wire.BYTES), ((NODES, 0),)), 'bytes'),
    ('enum_unknown', binary(wire.put(1, 77), ((PARAMETERS, 0), (2, 0))), 'type'),
    ('initializer_kind_unknown', binary(wire.put(1, 77), ((PARAMETERS, 0), (3, 0))), 'initializer'),
    ('scale_nan', binary(wire.put(3, wire.real(float('nan')), wire.FIXED64), ((PARAMETERS, 0), (3, 0))), 'finite'),
    ('no_nodes', binary(wire.drop(NODES)), 'no nodes'),
    ('no_inputs', binary(wire.drop(INPUTS)), 'features'),
    ('safetensors_instead', (16).to_bytes(8, 'little') + b'{"a": 1}        ', ''),
    ('gzip_instead', b'\x1f\x8b\x08\0' + b'\0' * 30, ''),
    ('elf_instead', b'\x7fELF' + bytes(range(200)), ''),
])


def flips(seed):
    def run(self):
        base = self.read('mlp.pb')
        rng = random.Random(seed)
        for i in range(12):
            data = bytearray(base)
            for _ in range(rng.choice((1, 1, 2, 8, 64))):
                data[rng.randrange(len(data))] = rng.randrange(256)
            self.refused_or_done(partition(self.write(f'flip{seed}-{i}.in', bytes(data))))
    return run


def truncations(first):
    def run(self):
        base = self.read('mlp.pb')
        for size in range(first, len(base), 61):
            # A piece that ends between two fields is a smaller message; it lacks its loss at least.
            self.refused(BAD, partition(self.write(f'cut{size}.in', base[:size])))
    return run


for seed in range(8):
    case(BinaryModels, f'random_bytes_{seed}', flips(seed))
    case(BinaryModels, f'cut_at_every_61st_from_{seed * 7}', truncations(seed * 7))


def two_million_nodes(self):
    data = b'\x08\x01' + b'\x2a\x00' * 2000000
    self.refused(BAD, partition(self.write('many.in', data)), 'nodes')


case(BinaryModels, 'two_million_nodes', two_million_nodes)


class ModelPlaces(Battery):
    """Where there should be a file."""

    @classmethod
    def prepare(cls):
        cls.models()
        os.mkdir(cls.at('folder'))
        os.mkfifo(cls.at('pipe'))
        os.symlink('nowhere', cls.at('dangling'))
        os.symlink('loop', cls.at('loop'))

    def test_missing(self):
        self.refused(MISSING, partition(self.at('absent')), 'absent')

    def test_in_a_missing_folder(self):
        self.refused(MISSING, partition(self.at('absent', 'absent')), 'absent')

    def test_below_a_file(self):
        self.refused(MISSING, partition(self.at('mlp.textproto', 'm')), 'mlp.textproto')

    def test_folder(self):
        self.refused((BAD, MISSING), partition(self.at('folder')), 'folder')

    def test_pipe(self):
        self.refused((BAD, MISSING), partition(self.at('pipe')), 'not a regular file')

    def test_device(self):
        self.refused((BAD, MISSING), partition('/dev/zero')[:-1] + ['--out=x.plan'], 'not a regular file')

    def test_dangling_link(self):
        self.refused(MISSING, partition(self.at('dangling')), 'dangling')

    def test_looping_link(self):
        self.refused(MISSING, partition(self.at('loop')), 'loop')

    def test_name_too_long(self):
        self.refused(MISSING, partition('x' * 300)[:-1] + ['--out=x.plan'])

    def test_empty_name(self):
        self.refused((USAGE, MISSING), ['partition', '', '--out=x.plan'])

    def test_unreadable(self):
        path = self.write('secret', 'schema_version: 1')
        os.chmod(path, 0)
        if os.access(path, os.R_OK):
            self.skipTest('this user may read every file')
        self.refused(MISSING, partition(path), 'secret')

    def test_too_large(self):
        path = self.write('large', b'')
        os.truncate(path, 3 << 30)
        self.refused(BAD, partition(path), 'limit')


def model_flags(name, *flags):
    def run(self):
        self.refused(USAGE, ['model', *flags, '--out=made.pb'])
        self.assertFalse(os.path.exists(self.at('made.pb')))
    case(ModelPlaces, 'model_' + name, run)


model_flags('without_family')
model_flags('of_unknown_family', 'gpt3')
model_flags('of_two_families', 'gpt2', 'mlp')
model_flags('heads_do_not_divide', 'gpt2', '--width=10', '--heads=3')
model_flags('no_heads', 'gpt2', '--heads=0')
model_flags('negative_layers', 'gpt2', '--layers=-1')
model_flags('no_vocabulary', 'gpt2', '--vocab=0')
model_flags('huge_width', 'gpt2', '--width=9223372036854775807', '--heads=1')
model_flags('huge_layers', 'gpt2', '--layers=9223372036854775807')
model_flags('layers_as_a_word', 'gpt2', '--layers=two')
model_flags('layers_as_a_fraction', 'gpt2', '--layers=1.5')
model_flags('dropout_of_one', 'gpt2', '--dropout=1')
model_flags('dropout_nan', 'gpt2', '--dropout=nan')
model_flags('epsilon_negative', 'gpt2', '--epsilon=-1')
model_flags('activation_unknown', 'gpt2', '--activation=swish7')
model_flags('sequence_over_context', 'gpt2', '--context=8', '--sequence=9')
model_flags('kv_heads_do_not_divide', 'llama', '--heads=4', '--kv-heads=3')
model_flags('huge_llama_width', 'llama', '--width=9223372036854775807')
model_flags('rope_theta_zero', 'llama', '--rope-theta=0')
model_flags('one_class', 'mlp', '--classes=0')
model_flags('foreign_flag', 'mlp', '--heads=2')
model_flags('init_negative', 'mlp', '--init=-1')

if __name__ == '__main__':
    sys.exit(main())
