"""Clusters, cost tables, job files and flags that must be refused."""
import os
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.getcwd(), 'tests', 'tools', 'bad_input'), os.path.dirname(os.path.realpath(__file__))]
from battery import BAD, CANNOT_CREATE, CONFIG, MISSING, USAGE, Battery, case, main, millrace, refusals

CLUSTER = 'schema_version: 1\ndevices { name: "a" kind: "cpu" }\ndevices { name: "b" kind: "cpu" }\n'
COSTS = 'schema_version: 1\ndevice_kind: "cpu"\n'


class Settings(Battery):
    @classmethod
    def prepare(cls):
        cls.models()
        cls.done('partition', 'mlp.textproto', '--pp=2', '--out=plan.pb')
        cls.write('text.txt', 'To be, or not to be, that is the question.\n' * 50)
        cls.write('good.cluster', CLUSTER)
        os.mkdir(cls.at('folder'))
        os.mkfifo(cls.at('pipe'))


class Clusters(Settings):
    pass


class CostTables(Settings):
    pass


class Jobs(Settings):
    pass


class Flags(Settings):
    pass


def on_cluster(path):
    return ['partition', 'mlp.textproto', '--pp=2', '--cluster=' + path, '--out=c.plan']


def with_costs(path):
    return ['partition', 'mlp.textproto', '--pp=2', '--costs=' + path, '--out=c.plan']


def with_job(path):
    return ['train', '--plan=plan.pb', '--job=' + path, '--out=run-of-a-bad-job', '--quiet']


def device(text):
    return CLUSTER.replace('name: "b" kind: "cpu"', 'name: "b" kind: "cpu" ' + text)


refusals(Clusters, on_cluster, [
    ('empty', '', 'empty'),
    ('prose', 'two machines, please', ':1:'),
    ('no_version', CLUSTER.replace('schema_version: 1', ''), 'schema_version'),
    ('newer_version', CLUSTER.replace('schema_version: 1', 'schema_version: 9'), 'schema_version 9'),
    ('model_instead', lambda self: self.read('mlp.textproto'), 'Cluster'),
    ('no_devices', 'schema_version: 1\n', 'no devices'),
    ('unknown_field', device('cores: 4'), 'cores'),
    ('nan_flops', device('flops_per_second: nan'), "'b'", 'flops_per_second'),
    ('infinite_flops', device('flops_per_second: inf'), "'b'", 'flops_per_second'),
    ('negative_flops', device('flops_per_second: -1'), "'b'", 'flops_per_second'),
    ('nan_bytes', device('bytes_per_second: nan'), "'b'", 'bytes_per_second'),
    ('negative_memory', device('memory_bytes: -1'), ':3:'),
    ('memory_over_64_bits', device('memory_bytes: 18446744073709551616'), ':3:'),
    ('too_many_threads', device('threads: 4000000000'), "'b'", 'threads'),
    ('name_twice', CLUSTER.replace('"b"', '"a"'), 'unique'),
    ('no_name', CLUSTER.replace('name: "b" ', ''), 'name'),
    ('star_name', CLUSTER.replace('"b"', '"*"'), 'link'),
    ('no_kind', CLUSTER.replace('name: "b" kind: "cpu"', 'name: "b"'), 'kind'),
    ('link_nan', CLUSTER + 'links { from: "a" to: "b" latency_seconds: nan }', 'latency_seconds'),
    ('link_negative', CLUSTER + 'links { from: "a" to: "b" bytes_per_second: -5 }', 'bytes_per_second'),
    ('link_infinite', CLUSTER + 'links { from: "*" to: "*" latency_seconds: inf }', 'latency_seconds'),
    ('link_to_nowhere', CLUSTER + 'links { from: "a" to: "c" }', "'c'"),
    ('link_from_nothing', CLUSTER + 'links { to: "b" }', "there is no device ''"),
    ('nested', 'schema_version: 1\n' + 'devices { ' * 5000, ':2:'),
    ('binary_cut', b'\x08\x01\x1a\x50', 'bytes'),
])
refusals(Clusters, on_cluster, [
    ('two_kinds', CLUSTER.replace('"b" kind: "cpu"', '"b" kind: "reference"'), 'reference'),
    ('kind_not_linked', CLUSTER.replace('"cpu"', '"abacus"'), 'abacus'),
    ('too_little_memory', device('memory_bytes: 1000'), "'b'", '1000'),
    ('fewer_devices_than_stages', 'schema_version: 1\ndevices { name: "a" kind: "cpu" }\n', 'pp'),
], CONFIG)

KERNEL = 'kernels { key: "k" seconds: 1 }\n'
refusals(CostTables, with_costs, [
    ('empty', '', 'empty'),
    ('prose', 'cheap', ':1:'),
    ('no_version', 'device_kind: "cpu"\n', 'schema_version'),
    ('newer_version', COSTS.replace('1', '3'), 'schema_version 3'),
    ('cluster_instead', CLUSTER, 'CostTable'),
    ('unknown_field', COSTS + 'price: 3', 'price'),
    ('nan_seconds', COSTS + KERNEL.replace('1', 'nan'), "'k'", 'seconds'),
    ('infinite_seconds', COSTS + KERNEL.replace('1', 'inf'), "'k'", 'seconds'),
    ('negative_seconds', COSTS + KERNEL.replace('1', '-1'), "'k'", 'seconds'),
    ('nan_shared', COSTS + KERNEL.replace('1', '1 seconds_shared: nan'), "'k'", 'seconds_shared'),
    ('negative_flops', COSTS + KERNEL.replace('1', '1 flops: -2'), "'k'", 'flops'),
    ('no_key', COSTS + 'kernels { seconds: 1 }', 'key'),
    ('key_twice', COSTS + KERNEL * 2, "'k'"),
    ('nan_link', COSTS + 'links { from: "*" to: "*" latency_seconds: nan }', 'latency_seconds'),
    ('negative_link', COSTS + 'links { from: "*" to: "*" bytes_per_second: -1 }', 'bytes_per_second'),
    ('nan_instruction', COSTS + 'instruction_seconds: nan', 'instruction_seconds'),
    ('negative_instruction', COSTS + 'instruction_seconds: -1', 'instruction_seconds'),
    ('binary_cut', b'\x08\x01\x2a\x50', 'bytes'),
    ('nested', 'schema_version: 1\n' + 'kernels { ' * 5000, ':2:'),
])

JOB = 'schema_version: 1\nsteps: 2\ndata { format: "synthetic" }\n'
refusals(Jobs, with_job, [
    ('empty', '', 'empty'),
    ('prose', 'train well', ':1:'),
    ('no_version', 'steps: 2\n', 'schema_version'),
    ('newer_version', JOB.replace(': 1', ': 2'), 'schema_version 2'),
    ('unknown_field', JOB + 'epochs: 3', 'epochs'),
    ('model_instead', lambda self: self.read('mlp.textproto'), 'JobConfig'),
    ('steps_negative', JOB.replace('2', '-2'), ':2:'),
    ('steps_as_a_word', JOB.replace('2', 'two'), ':2:'),
    ('prompt_not_utf8', JOB + 'sample_prompt: "\\377"', 'UTF-8'),
    ('binary_cut', b'\x08\x01\x22\x50', 'bytes'),
    ('nested', 'schema_version: 1\n' + 'data { ' * 5000, ':2:'),
])
refusals(Jobs, with_job, [
    ('format_unknown', JOB.replace('synthetic', 'parquet'), 'parquet'),
], (BAD, CONFIG))
refusals(Jobs, with_job, [
    ('rate_nan', JOB + 'learning_rate { peak: nan }', 'nan'),
    ('rate_negative', JOB + 'learning_rate { peak: -1 }', '-1'),
    ('rate_infinite', JOB + 'learning_rate { peak: inf }', 'inf'),
    ('schedule_unknown', JOB + 'learning_rate { schedule: "magic" }', 'magic'),
    ('beta1_of_one', JOB + 'optimizer { beta1: 1 }', 'beta1'),
    ('beta2_nan', JOB + 'optimizer { beta2: nan }', 'beta2'),
    ('epsilon_negative', JOB + 'optimizer { epsilon: -1 }', 'epsilon'),
    ('decay_nan', JOB + 'optimizer { weight_decay: nan }', 'weight-decay'),
    ('decay_negative', JOB + 'optimizer { weight_decay: -1 }', 'weight-decay'),
    ('clip_nan', JOB + 'optimizer { clip_norm: nan }', 'clip-norm'),
    ('temperature_nan', JOB + 'sample_temperature: nan', 'temperature'),
    ('temperature_negative', JOB + 'sample_temperature: -1', 'temperature'),
    ('too_many_threads', JOB + 'threads: 4000000000', 'threads'),
], CONFIG)

for file, code in (('absent', MISSING), ('folder', (BAD, MISSING)), ('pipe', (BAD, MISSING))):
    for cls, command in ((Clusters, on_cluster), (CostTables, with_costs), (Jobs, with_job)):
        case(cls, 'place_' + file, lambda self, command=command, file=file, code=code: self.refused(code, command(file), file))

P = ['partition', 'mlp.textproto']
T = ['train', '--plan=plan.pb', '--data=synthetic', '--out=flags-run', '--quiet']
OUT = ['--out=f.plan']
for name, code, args, *words in [
    ('unknown_command', USAGE, ['frobnicate'], 'frobnicate'),
    ('misspelt_command', USAGE, ['partitoin'], "did you mean 'partition'"),
    ('flag_as_command', USAGE, ['--verbose'], '--verbose'),
    ('empty_command', USAGE, ['']),
    ('unknown_flag', USAGE, P + ['--colour=red'] + OUT, '--colour'),
    ('misspelt_flag', USAGE, P + ['--micro-bach=2'] + OUT, 'did you mean --micro-batch'),
    ('one_dash', USAGE, P + ['-pp=2'] + OUT, 'two dashes'),
    ('flag_without_value', USAGE, P + ['--out'], '--out needs a value'),
    ('no_arguments', USAGE, ['partition'], 'model graph'),
    ('two_arguments', USAGE, P + ['mlp.textproto'] + OUT, 'only one'),
    ('no_output', USAGE, P, '--out'),
    ('empty_output', USAGE, P + ['--out='], '--out'),
    ('pp_a_word', USAGE, P + ['--pp=two'] + OUT, '--pp=two'),
    ('pp_a_fraction', USAGE, P + ['--pp=1.5'] + OUT, '--pp=1.5'),
    ('pp_empty', USAGE, P + ['--pp='] + OUT, '--pp='),
    ('pp_negative', USAGE, P + ['--pp=-1'] + OUT, '--pp=-1'),
    ('pp_over_64_bits', USAGE, P + ['--pp=99999999999999999999'] + OUT, '--pp='),
    ('pp_over_units', CONFIG, P + ['--pp=100'] + OUT, 'pp = 100'),
    ('pp_over_devices', CONFIG, P + ['--pp=3', '--devices=cpu:2'] + OUT, '--pp=3'),
    ('micro_batch_zero', USAGE, P + ['--micro-batch=0'] + OUT, '--micro-batch=0'),
    ('micro_batches_zero', USAGE, P + ['--micro-batches=0'] + OUT, '--micro-batches=0'),
    ('micro_batches_huge', USAGE, P + ['--micro-batches=1000000000'] + OUT, '--micro-batches='),
    ('micro_batch_huge', USAGE, P + ['--micro-batch=9223372036854775807'] + OUT, '--micro-batch='),
    ('schedule_unknown', USAGE, P + ['--schedule=1f2b'] + OUT, 'did you mean 1f1b'),
    ('cut_unknown', USAGE, P + ['--cut=evn'] + OUT, 'did you mean even'),
    ('optimizer_unknown', USAGE, P + ['--optimizer=adam'] + OUT, 'did you mean adamw'),
    ('cut_by_hand_without_nodes', USAGE, P + ['--pp=2', '--cut=by-hand'] + OUT, '--cut-after'),
    ('cut_after_unknown_node', CONFIG, P + ['--pp=2', '--cut-after=nowhere'] + OUT, 'nowhere'),
    ('cut_after_too_many', CONFIG, P + ['--pp=2', '--cut-after=layers.0,head'] + OUT, '2'),
    ('cut_after_backwards', CONFIG, P + ['--pp=3', '--cut-after=head,layers.0'] + OUT, 'layers.0'),
    ('devices_without_count', USAGE, P + ['--devices=cpu'] + OUT, 'cpu:4'),
    ('devices_zero', USAGE, P + ['--devices=cpu:0'] + OUT, '--devices=0'),
    ('devices_too_many', USAGE, P + ['--devices=cpu:1000000000'] + OUT, '--devices='),
    ('devices_not_linked', CONFIG, P + ['--devices=abacus:2'] + OUT, 'abacus'),
    ('devices_and_cluster', USAGE, P + ['--devices=cpu:2', '--cluster=good.cluster'] + OUT, '--cluster'),
    ('dump_unknown', USAGE, P + ['--dump=after:lunch'], 'lunch'),
    ('output_in_missing_folder', CANNOT_CREATE, P + ['--out=absent/f.plan'], 'absent/f.plan'),
    ('output_is_a_folder', CANNOT_CREATE, P + ['--out=folder'], 'folder'),
    ('output_below_a_file', CANNOT_CREATE, P + ['--out=mlp.textproto/f'], 'mlp.textproto/f'),
    ('model_output_in_missing_folder', CANNOT_CREATE, ['model', 'mlp', '--out=absent/m'], 'absent/m'),
    ('trace_output_in_missing_folder', CANNOT_CREATE, ['simulate', 'plan.pb', '--out=absent/t'], 'absent/t'),
    ('explain_width', USAGE, ['explain', 'plan.pb', '--width=-1'], '--width'),
    ('bool_of_neither', USAGE, ['explain', 'plan.pb', '--json=maybe'], 'true or false'),
    ('no_of_a_number', USAGE, P + ['--no-pp'] + OUT, '--no-pp'),
    ('train_nothing', USAGE, ['train', '--data=synthetic', '--out=r'], '--plan'),
    ('train_argument', USAGE, T + ['extra'], 'extra'),
    ('train_without_out', USAGE, ['train', '--plan=plan.pb', '--data=synthetic', '--quiet'], '--out'),
    ('train_pp_beside_plan', USAGE, T + ['--pp=2'], '--pp'),
    ('train_dump', USAGE, ['train', '--model=mlp.textproto', '--dump=after:cut', '--out=r'], '--dump'),
    ('train_log_level', USAGE, T + ['--log-level=loud'], 'loud'),
    ('train_no_steps', USAGE, T + ['--steps=0'], '--steps'),
    ('train_negative_steps', USAGE, T + ['--steps=-5'], '--steps'),
    ('train_rate_nan', USAGE, T + ['--learning-rate=nan'], 'finite'),
    ('train_rate_negative', USAGE, T + ['--learning-rate=-1'], '-1'),
    ('train_schedule', USAGE, T + ['--learning-rate-schedule=zigzag'], 'zigzag'),
    ('train_beta', USAGE, T + ['--beta1=1'], '--beta1'),
    ('train_clip', USAGE, T + ['--clip-norm=-1'], '--clip-norm'),
    ('train_threads', USAGE, T + ['--threads=4000000000'], '--threads'),
    ('train_kept_too_large', USAGE, T + ['--checkpoints-kept=99999999999'], '--checkpoints-kept'),
    ('train_vocabulary_too_large', USAGE, T + ['--vocabulary=99999999999'], '--vocabulary'),
    ('train_format_unknown', (BAD, CONFIG, USAGE), T + ['--data-format=parquet'], 'parquet'),
    ('train_fraction', (BAD, CONFIG, USAGE), T + ['--validation-fraction=1'], '--validation-fraction'),
    ('train_out_below_a_file', CANNOT_CREATE, T + ['--out=mlp.textproto/r'], 'mlp.textproto/r'),
    ('train_out_is_a_file', CANNOT_CREATE, T + ['--out=mlp.textproto'], 'mlp.textproto'),
    ('train_out_in_proc', CANNOT_CREATE, T + ['--out=/proc/r'], '/proc/r'),
    ('train_resume_missing', MISSING, T + ['--resume=absent'], 'absent'),
    ('train_resume_file', (BAD, MISSING), T + ['--resume=mlp.textproto'], 'mlp.textproto'),
]:
    case(Flags, name, lambda self, code=code, args=args, words=words: self.refused(code, args, *words))



def no_command(self):
    """The overview, for who asked nothing."""
    result = millrace()
    self.assertEqual(result.returncode, USAGE)
    self.assertIn(b'usage: millrace COMMAND', result.stderr)
    self.assertEqual(result.stdout, b'')


case(Flags, 'no_command', no_command)

if __name__ == '__main__':
    sys.exit(main())
