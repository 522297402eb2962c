"""Plans that must be refused: damaged, changed, and changed and sealed again with a right hash."""
import os
import random
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.getcwd(), 'tests', 'tools', 'bad_input'), os.path.dirname(os.path.realpath(__file__))]
import wire
from battery import BAD, CONFIG, MISSING, USAGE, Battery, case, main, refusals
from wire import BYTES, FIXED64, drop, put, real, zigzag

# Field numbers of ExecutionPlan and what it is made of.
PP, DP, RANK, PARAMETER, BUCKET, PROGRAM, OPTIMIZER = 5, 6, 7, 8, 9, 10, 11
STAGE, EDGE, LIST = 4, 5, 6                    # of a program
VALUE, PHASE, PREPARE = 2, 3, 5                # of a stage
CALL = 2                                       # of a phase
POOL, INSTRUCTION, SCRATCH_OFFSET, SCRATCH_BYTES = 3, 4, 5, 6  # of a rank's list
REGION = 7                                     # of a rank
HUGE = 1 << 62
MOST = (1 << 64) - 1

TRAIN = (PROGRAM, 0)
STAGE0, STAGE1 = (TRAIN, (STAGE, 0)), (TRAIN, (STAGE, 1))
LIST0, LIST1 = (TRAIN, (LIST, 0)), (TRAIN, (LIST, 1))
EDGE0 = (TRAIN, (EDGE, 0))
CALL0 = STAGE0 + ((PHASE, 0), (CALL, 0))


def verify(path):
    return ['verify', path]


def changed(path, *changes):
    """The plan with changes in the message at `path`, sealed again."""
    def make(self):
        plan = self.read('plan.pb')
        for change in changes:
            plan = wire.edit(plan, path, change)
        assert plan != self.read('plan.pb')
        return wire.seal(plan)
    return make


def move(number, begin, end):
    """A change: the occurrence `begin` of a repeated field goes where `end` is."""
    def change(fields):
        places = [i for i, f in enumerate(fields) if f[0] == number]
        field = fields.pop(places[begin])
        fields.insert(places[end], field)
    return change


def again(number, index=0):
    """A change: one occurrence of a repeated field stands there twice."""
    def change(fields):
        places = [i for i, f in enumerate(fields) if f[0] == number]
        fields.insert(places[index], list(fields[places[index]]))
    return change


class Plans(Battery):
    @classmethod
    def prepare(cls):
        cls.models()
        for out in ('plan.pb', 'plan.textproto'):
            cls.done('partition', 'mlp.textproto', '--pp=2', '--micro-batch=2', '--micro-batches=3', '--out=' + out)


def swap(old, new):
    def make(self):
        text = self.read('plan.textproto').decode()
        assert old in text, old
        return text.replace(old, new, 1)
    return make


refusals(Plans, verify, [
    ('empty', '', 'empty'),
    ('prose', 'once upon a time', ':1:'),
    ('only_a_version', 'schema_version: 1\n', 'hash'),
    ('model_instead', lambda self: self.read('mlp.textproto'), 'ExecutionPlan'),
    ('cut_text', lambda self: self.read('plan.textproto')[:9000], ':'),
    ('cut_binary', lambda self: self.read('plan.pb')[:1000], 'bytes'),
    ('last_byte_gone', lambda self: self.read('plan.pb')[:-1], 'bytes'),
    ('trailing_byte', lambda self: self.read('plan.pb') + b'\0', 'bytes'),
    ('text_changed_without_sealing', swap('micro_batches: 3', 'micro_batches: 4'), 'hash', 'partition the model again'),
    ('hash_changed', swap('hash: "', 'hash: "0'), 'hash'),
    ('text_unknown_field', swap('pp: 2', 'pp: 2 tp: 2'), 'tp'),
    ('text_nested_groups', lambda self: 'schema_version: 1 programs { ranks { instructions { ' + 'group { ' * 50000, ':1:'),
    ('binary_nested_groups', lambda self: b'\x08\x01' + nested_groups(2000), 'bytes'),
    ('newer_version', changed((), put(1, 2)), 'schema_version 2'),
    ('unknown_field', changed((), put(90, 1)), 'fields'),
    ('name_not_utf8', changed((), put(3, b'\xff', BYTES)), 'bytes'),
])


def nested_groups(levels):
    data = b'\x08\x05'
    for _ in range(levels):
        data = b'\x08\x05' + b'\x52' + wire.varint(len(data)) + data
    data = b'\x22' + wire.varint(len(data)) + data
    data = b'\x32' + wire.varint(len(data)) + data
    return b'\x52' + wire.varint(len(data)) + data


# Sealed again with a right hash: only the rules stand between these and a machine that runs them.
refusals(Plans, verify, [
    ('pp_zero', changed((), put(PP, 0)), 'rule'),
    ('pp_too_large', changed((), put(PP, 7)), 'rule'),
    ('pp_of_32_bits', changed((), put(PP, 0xFFFFFFFF)), 'rule'),
    ('dp_times_pp_is_not_the_ranks', changed((), put(DP, 2)), 'rule'),
    ('dp_zero', changed((), put(DP, 0)), 'rule'),
    ('no_ranks', changed((), drop(RANK)), 'rule'),
    ('one_rank_gone', changed((), drop(RANK, 1)), 'rule'),
    ('rank_twice', changed((), again(RANK)), 'rule'),
    ('ranks_swapped', changed((), move(RANK, 0, 1)), 'rule'),
    ('optimizer_unknown', changed((), put(OPTIMIZER, b'adagrad', BYTES)), 'adagrad'),
    ('no_programs', changed((), drop(PROGRAM)), 'rule'),
    ('program_twice', changed((), again(PROGRAM)), 'rule'),
    ('sum_order_unknown', changed((), put(12, 9)), 'rule'),
    ('norm_block_zero', changed((), put(18, 0)), 'rule'),
    ('device_kind_unknown', changed((), put(13, b'', BYTES)), 'rule'),
    ('peak_flops_nan', changed((), put(16, real(float('nan')), FIXED64)), 'rule'),
    ('arena_too_small', changed(((RANK, 0),), put(5, 256)), 'rule'),
    ('arena_empty', changed(((RANK, 0),), put(5, 0)), 'rule'),
    ('arena_of_64_bits', changed(((RANK, 0),), put(5, MOST)), 'rule'),
    ('arena_of_petabytes', changed(((RANK, 0),), put(5, 1 << 50)), 'rule'),
    ('arena_over_the_limit', changed(((RANK, 0),), put(6, 100)), 'rule'),
    ('region_outside', changed(((RANK, 0), (REGION, 0)), put(2, HUGE)), 'rule'),
    ('region_wraps', changed(((RANK, 0), (REGION, 0)), put(2, MOST - 255), put(3, 512)), 'rule'),
    ('region_unaligned', changed(((RANK, 0), (REGION, 0)), put(2, 8)), 'rule'),
    ('region_twice', changed(((RANK, 0),), again(REGION)), 'rule'),
    ('parameter_rank_unknown', changed(((PARAMETER, 0), (7, 0)), put(1, 9)), 'rule'),
    ('parameter_without_place', changed(((PARAMETER, 0),), drop(7)), 'rule'),
    ('parameter_outside', changed(((PARAMETER, 0), (7, 0)), put(2, HUGE)), 'rule'),
    ('parameter_unaligned', changed(((PARAMETER, 0), (7, 0)), put(2, 4)), 'rule'),
    ('parameter_twice', changed((), again(PARAMETER)), 'rule'),
    ('parameter_without_name', changed(((PARAMETER, 0),), put(1, b'', BYTES)), 'rule'),
    ('parameter_shape_overflows', changed(((PARAMETER, 0), (2, 0)), put(2, wire.varint(HUGE) * 4, BYTES)), 'rule'),
    ('parameter_shape_negative', changed(((PARAMETER, 0), (2, 0)), put(2, wire.varint(MOST) * 2, BYTES)), 'rule'),
    ('parameter_rank_bomb', changed(((PARAMETER, 0), (2, 0)), put(2, b'\x01' * 100000, BYTES)), 'rule'),
    ('parameter_dtype_unknown', changed(((PARAMETER, 0), (2, 0)), put(1, 99)), 'rule'),
    ('parameter_initializer_unknown', changed(((PARAMETER, 0), (3, 0)), put(1, 99)), 'rule'),
    ('gradient_place_outside', changed(((PARAMETER, 0), (7, 0), (3, 0)), put(2, HUGE)), 'rule'),
    ('gradient_order_repeats', changed(((PARAMETER, 0), (7, 0)), again(3)), 'rule'),
    ('bucket_owner_unknown', changed(((BUCKET, 0),), put(1, 99)), 'rule'),
    ('bucket_without_parameters', changed(((BUCKET, 0),), drop(2)), 'rule'),
    ('bucket_parameter_unknown', changed(((BUCKET, 0),), put(2, wire.varint(1000), BYTES)), 'rule'),
    ('bucket_group_unknown', changed(((BUCKET, 0),), put(3, wire.varint(1000), BYTES)), 'rule'),
    ('bucket_twice', changed((), again(BUCKET)), 'rule'),
    ('bucket_gone', changed((), drop(BUCKET, 0)), 'rule'),
    ('state_outside', changed(((BUCKET, 0), (4, 0)), put(1, wire.varint(HUGE) * 2, BYTES)), 'rule'),
    ('state_missing', changed(((BUCKET, 0), (4, 0)), drop(1)), 'rule'),
    ('micro_batch_size_zero', changed((TRAIN,), put(2, 0)), 'rule'),
    ('micro_batches_zero', changed((TRAIN,), put(3, 0)), 'rule'),
    ('micro_batches_more', changed((TRAIN,), put(3, 4)), 'rule'),
    ('micro_batches_of_32_bits', changed((TRAIN,), put(3, 0xFFFFFFFF)), 'rule'),
    ('stage_gap', changed(STAGE1, put(1, 2)), 'rule'),
    ('stage_gone', changed((TRAIN,), drop(STAGE, 1)), 'rule'),
    ('stage_twice', changed((TRAIN,), again(STAGE)), 'rule'),
    ('stages_swapped', changed((TRAIN,), move(STAGE, 0, 1)), 'rule'),
    ('stage_without_phases', changed(STAGE0, drop(PHASE)), 'rule'),
    ('stage_without_values', changed(STAGE0, drop(VALUE)), 'rule'),
    ('stage_on_two_ranks', changed(LIST0, put(2, b'\x00\x01', BYTES)), 'rule'),
    ('stage_on_no_rank', changed(LIST1, put(2, b'', BYTES)), 'rule'),
    ('stage_of_another_rank', changed(LIST0, put(2, b'\x07', BYTES)), 'rule'),
    ('edge_backwards', changed(EDGE0, put(2, 1), put(3, 0)), 'rule'),
    ('edge_to_itself', changed(EDGE0, put(3, 0)), 'rule'),
    ('edge_to_nowhere', changed(EDGE0, put(3, 99)), 'rule'),
    ('edge_value_unknown', changed(EDGE0, put(5, 1000)), 'rule'),
    ('edge_value_of_32_bits', changed(EDGE0, put(6, 0xFFFFFFFF)), 'rule'),
    ('edge_bytes_differ', changed(EDGE0, put(7, 3)), 'rule'),
    ('edge_gone', changed((TRAIN,), drop(EDGE, 0)), 'rule'),
    ('value_outside', changed(STAGE0 + ((VALUE, 0),), put(5, HUGE)), 'rule'),
    ('value_bytes_of_64_bits', changed(STAGE0 + ((VALUE, 0),), put(6, MOST)), 'rule'),
    ('value_bytes_zero', changed(STAGE0 + ((VALUE, 0),), put(6, 0)), 'rule'),
    ('value_pool_unknown', changed(STAGE0 + ((VALUE, 0),), put(4, zigzag(1000))), 'rule'),
    ('value_pool_negative', changed(STAGE0 + ((VALUE, 0),), put(4, zigzag(-2))), 'rule'),
    ('value_life_unknown', changed(STAGE0 + ((VALUE, 0),), put(3, 99)), 'rule'),
    ('value_without_type', changed(STAGE0 + ((VALUE, 0),), drop(2)), 'rule'),
    ('value_shape_grows', changed(STAGE0 + ((VALUE, 0), (2, 0)), put(2, wire.varint(1000) * 2, BYTES)), 'rule'),
    ('call_op_unknown', changed(CALL0, put(2, b'Frobnicate', BYTES)), 'rule'),
    ('call_input_unknown', changed(CALL0, put(3, wire.varint(zigzag(1000)), BYTES)), 'rule'),
    ('call_input_negative', changed(CALL0, put(3, wire.varint(zigzag(-9)), BYTES)), 'rule'),
    ('call_output_unknown', changed(CALL0, put(4, wire.varint(zigzag(1000)), BYTES)), 'rule'),
    ('call_without_inputs', changed(CALL0, drop(3)), 'rule'),
    ('call_without_outputs', changed(CALL0, drop(4)), 'rule'),
    ('call_scratch_outside', changed(CALL0, put(6, HUGE), put(7, 512)), 'rule'),
    ('call_scratch_of_64_bits', changed(CALL0, put(7, MOST)), 'rule'),
    ('call_packed_outside', changed(CALL0, put(8, HUGE), put(9, 512)), 'rule'),
    ('call_seconds_nan', changed(CALL0, put(10, real(float('nan')), FIXED64)), 'rule'),
    ('call_gone', changed(STAGE0 + ((PHASE, 0),), drop(CALL, 0)), 'rule'),
    ('phase_unknown', changed(STAGE0 + ((PHASE, 0),), put(1, 77)), 'rule'),
    ('phase_twice', changed(STAGE0, again(PHASE)), 'rule'),
    ('phase_pool_unknown', changed(STAGE0 + ((PHASE, 0),), put(3, wire.varint(5000), BYTES)), 'rule'),
    ('pool_outside', changed(LIST0 + ((POOL, 0),), put(3, HUGE)), 'rule'),
    ('pool_stride_zero', changed(LIST0 + ((POOL, 0),), put(4, 0)), 'rule'),
    ('pool_stride_huge', changed(LIST0 + ((POOL, 0),), put(4, HUGE)), 'rule'),
    ('pool_slots_zero', changed(LIST0 + ((POOL, 0),), put(5, 0)), 'rule'),
    ('pool_slots_of_32_bits', changed(LIST0 + ((POOL, 0),), put(5, 0xFFFFFFFF)), 'rule'),
    ('pools_gone', changed(LIST0, drop(POOL)), 'rule'),
    ('scratch_outside', changed(LIST0, put(SCRATCH_OFFSET, HUGE), put(SCRATCH_BYTES, 512)), 'rule'),
    ('list_empty', changed(LIST0, drop(INSTRUCTION)), 'rule', ),
    ('list_gone', changed((TRAIN,), drop(LIST, 1)), 'rule'),
    ('first_instruction_gone', changed(LIST0, drop(INSTRUCTION, 0)), 'rule'),
    ('first_instruction_twice', changed(LIST0, again(INSTRUCTION)), 'rule'),
    ('instruction_kind_unknown', changed(LIST0 + ((INSTRUCTION, 0),), put(1, 99)), 'rule'),
    ('instruction_stage_unknown', changed(LIST0 + ((INSTRUCTION, 0),), put(2, 99)), 'rule'),
    ('instruction_phase_unknown', changed(LIST0 + ((INSTRUCTION, 0),), put(1, 2), put(3, 99)), 'rule'),
    ('instruction_micro_batch_unknown', changed(LIST0 + ((INSTRUCTION, 0),), put(4, 99)), 'rule'),
    ('instruction_after_itself', changed(LIST0 + ((INSTRUCTION, 0),), put(9, b'\x00', BYTES)), 'rule'),
    ('instruction_after_the_end', changed(LIST0 + ((INSTRUCTION, 0),), put(9, wire.varint(100000), BYTES)), 'rule'),
    ('instruction_channel_huge', changed(LIST0 + ((INSTRUCTION, 0),), put(8, 0xFFFFFFFF)), 'rule'),
    ('instruction_edge_unknown', changed(LIST0 + ((INSTRUCTION, 0),), put(1, 3), put(6, 1000)), 'rule'),
    ('instruction_bucket_unknown', changed(LIST0 + ((INSTRUCTION, 0),), put(1, 8), put(7, 1000)), 'rule'),
    ('group_in_group', changed(LIST0 + ((INSTRUCTION, 0),), put(1, 5), put(10, b'\x08\x05', BYTES)), 'rule'),
    ('empty_group', changed(LIST0 + ((INSTRUCTION, 0),), put(1, 5)), 'rule'),
    ('seconds_nan', changed(LIST0 + ((INSTRUCTION, 0),), put(11, real(float('nan')), FIXED64)), 'rule'),
    ('seconds_negative', changed(LIST0 + ((INSTRUCTION, 0),), put(11, real(-1.0), FIXED64)), 'rule'),
])


def reversed_list(self):
    """Everything at the wrong time: the first thing wrong is named, and a deadlock may draw where everyone stands."""
    def change(fields):
        instructions = [f for f in fields if f[0] == INSTRUCTION]
        values = [f[2] for f in instructions]
        for field, value in zip(instructions, reversed(values)):
            field[2] = value
    path = self.write('reversed.in', changed(LIST0, change)(self))
    self.refused(BAD, verify(path), 'rule', lines=60)


case(Plans, 'list_reversed', reversed_list)


def every_instruction_moved(rank):
    def run(self):
        base = self.read('plan.pb')
        path = TRAIN, (LIST, rank)
        fields = wire.decode(base)
        count = sum(1 for f in wire.decode([f for f in wire.decode([g for g in fields if g[0] == PROGRAM][0][2])
                                            if f[0] == LIST][rank][2]) if f[0] == INSTRUCTION)
        for i in range(count):
            name = self.write(f'moved{rank}-{i}.in', wire.seal(wire.edit(base, path, move(INSTRUCTION, i, (i + 5) % count))))
            self.refused_or_done(verify(name), lines=60)
    return run


case(Plans, 'every_instruction_of_rank_0_moved', every_instruction_moved(0))
case(Plans, 'every_instruction_of_rank_1_moved', every_instruction_moved(1))

INTERESTING = (0, 1, 2, 3, 7, 255, 256, 4096, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, HUGE, (1 << 63) - 1, MOST)


def damage(rng, data, depth=0):
    """One field of one message somewhere inside, changed."""
    try:
        fields = wire.decode(data) if depth < 8 and all(f[0] > 0 for f in wire.decode(data)) else []
    except (ValueError, IndexError):
        fields = []
    if not fields:
        return bytes(rng.randrange(256) if rng.random() < 0.2 else b for b in data)
    field = rng.choice(fields)
    if field[1] == wire.VARINT:
        field[2] = rng.choice(INTERESTING) if rng.random() < 0.6 else field[2] + rng.choice((-256, -1, 1, 256))
    elif field[1] == FIXED64:
        field[2] = rng.choice((0, MOST, real(float('nan')), real(float('inf')), real(-1.0), real(1e308)))
    elif field[1] == wire.FIXED32:
        field[2] ^= 1 << rng.randrange(32)
    elif rng.random() < 0.08:
        fields.remove(field)
    elif rng.random() < 0.08:
        fields.append(list(field))
    else:
        field[2] = damage(rng, field[2], depth + 1)
    return wire.encode(fields)


def sealed_damage(seed):
    """What verifies must then be able to run: `explain` and `simulate` read it too, and the worker trains it."""
    def run(self):
        base = self.read('plan.pb')
        rng = random.Random(seed)
        for i in range(16):
            plan = base
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                plan = damage(rng, plan)
            name = self.write(f'damaged{seed}-{i}.in', wire.seal(plan))
            if self.refused_or_done(verify(name), lines=60) == 0 and i % 4 == 0:
                self.refused_or_done(['explain', name])
                self.refused_or_done(['simulate', name])
                self.refused_or_done(['train', '--plan=' + name, '--data=synthetic', '--steps=1', '--quiet',
                                      f'--out={name}.run', '--eval-micro-batches=1'])
    return run


def raw_damage(seed):
    def run(self):
        base = self.read('plan.pb')
        rng = random.Random(seed)
        for i in range(10):
            data = bytearray(base)
            for _ in range(rng.choice((1, 1, 4, 64))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            self.refused(BAD, verify(self.write(f'raw{seed}-{i}.in', bytes(data))))
    return run


for seed in range(24):
    case(Plans, f'random_change_sealed_{seed}', sealed_damage(seed))
for seed in range(4):
    case(Plans, f'random_bits_{seed}', raw_damage(seed))


class PlanCommands(Battery):
    """Every command that reads a plan refuses a bad one alike."""

    @classmethod
    def prepare(cls):
        cls.models()
        cls.done('partition', 'mlp.textproto', '--pp=2', '--out=plan.pb')
        cls.done('partition', 'gpt.textproto', '--pp=1', '--out=gpt.pb')
        cls.write('bad.pb', cls.read('plan.pb')[:500])
        cls.write('unsealed.pb', wire.edit(cls.read('plan.pb'), (), put(PP, 1)))
        cls.write('unruly.pb', wire.seal(wire.edit(cls.read('plan.pb'), (), put(PP, 1))))
        os.mkdir(cls.at('folder'))

    def test_model_of_another_plan(self):
        self.refused(CONFIG, ['verify', 'gpt.pb', '--model=mlp.textproto'], 'made for model')

    def test_parity_without_model(self):
        self.refused(USAGE, ['verify', 'gpt.pb', '--parity'], '--model')

    def test_parity_without_steps(self):
        self.refused(USAGE, ['verify', 'gpt.pb', '--parity', '--model=gpt.textproto', '--steps=0'], '--steps')

    def test_model_missing(self):
        self.refused(MISSING, ['verify', 'gpt.pb', '--model=absent'], 'absent')

    def test_unknown_program(self):
        self.refused(USAGE, ['simulate', 'gpt.pb', '--program=test'], 'test')

    def test_train_with_plan_of_another_model(self):
        self.refused(CONFIG, ['train', '--plan=gpt.pb', '--model=mlp.textproto', '--data=synthetic', '--out=r', '--quiet'],
                     'made for model')

    def test_plan_without_inputs(self):
        self.write('fed.pb', wire.seal(wire.edit(self.read('plan.pb'), (), drop(15))))
        self.refused((BAD, CONFIG), ['train', '--plan=fed.pb', '--data=synthetic', '--out=fed', '--quiet'], 'input')

    def test_partition_a_plan(self):
        self.refused(BAD, ['partition', 'plan.pb', '--out=x.pb'], 'Model')


READERS = {
    'verify': lambda f: ['verify', f],
    'explain': lambda f: ['explain', f],
    'explain_json': lambda f: ['explain', f, '--json'],
    'simulate': lambda f: ['simulate', f],
    'inspect': lambda f: ['inspect', f],
    'train': lambda f: ['train', '--plan=' + f, '--data=synthetic', '--out=r', '--quiet'],
}
for reader, args in READERS.items():
    for file, code in (('absent.pb', MISSING), ('folder', (BAD, MISSING)), ('bad.pb', BAD), ('unsealed.pb', BAD),
                       ('unruly.pb', BAD)):
        case(PlanCommands, f'{reader}_of_{file[:-3] if "." in file else file}',
             lambda self, args=args, file=file, code=code: self.refused(code, args(file)))

if __name__ == '__main__':
    sys.exit(main())
