#!/usr/bin/env python3
"""Predicted against measured: profiles, partitions and trains, each in a process of its own, and prints Markdown tables.

  tools/measure_prediction.py [--binary=bazel-bin/tools/millrace] [--only=schedules|graphs] [--steps=12] [--json=FILE]

Costs and prediction are stored in the plan before the run; the plan's hash stands in each row. The measured step is the
median of the run's steps without the first, which touches memory for the first time; a rank's busy time is that of its
RUNs in the traces of the same steps. Memory: what the plan counts on (arenas and the memory outside) against the
peak resident set that the system saw. Run it on a machine that does nothing else.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

SCHEDULES = ['gpipe', '1f1b', 'zb-h1', 'interleaved']
GPT = ['gpt2', '--layers=6', '--heads=6', '--width=384', '--vocab=256', '--context=256']
# name, model, pp, micro-batch, micro-batches, schedule, more flags of partition
GRAPHS = [
    ('GPT 10.8 M', GPT, 2, 4, 4, '1f1b', []),
    ('GPT 10.8 M, even cut', GPT, 2, 4, 8, 'gpipe', ['--cut=even']),
    ('GPT 10.8 M, pp 3', GPT, 3, 4, 6, '1f1b', []),
    ('GPT 10.8 M, recompute', GPT, 2, 4, 4, '1f1b', ['--recompute=all']),
    ('GPT 1.6 M, pp 4', ['gpt2', '--layers=8', '--heads=4', '--width=128', '--vocab=256', '--context=128'], 4, 4, 8, '1f1b',
     []),
    ('GPT, 8192 words', ['gpt2', '--layers=4', '--heads=4', '--width=256', '--vocab=8192', '--context=128'], 2, 4, 4, '1f1b',
     []),
    ('Llama, width 256', ['llama', '--layers=4', '--heads=4', '--width=256', '--vocab=1024', '--context=128'], 2, 4, 4,
     'zb-h1', []),
    ('Llama, width 384, pp 4', ['llama', '--layers=8', '--heads=6', '--width=384', '--vocab=256', '--context=128'], 4, 2, 8,
     'gpipe', []),
    ('MLP, width 1024', ['mlp', '--layers=6', '--features=512', '--width=1024', '--classes=100'], 2, 256, 4, '1f1b', []),
    ('MLP, width 512, pp 3', ['mlp', '--layers=9', '--features=256', '--width=512', '--classes=10'], 3, 512, 6, 'zb-h1',
     []),
]


def run(binary, folder, *words):
    """stdout and the process's peak resident bytes; exits with the message of a command that failed."""
    out, err = os.path.join(folder, 'stdout'), os.path.join(folder, 'stderr')
    with open(out, 'wb') as stdout, open(err, 'wb') as stderr:
        process = subprocess.Popen([binary, *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        with open(err, encoding='utf-8', errors='replace') as file:
            sys.exit(f'millrace {" ".join(words)}: exit {process.returncode}\n{file.read()}')
    with open(out, encoding='utf-8') as file:
        return file.read(), usage.ru_maxrss * 1024


def measure(binary, folder, name, model, pp, micro_batch, micro_batches, schedule, more, args):
    """One row: predicted and measured step, busy time of every rank, memory."""
    run(binary, folder, 'model', *model, '--out=model.pb')
    shape = [f'--devices=cpu:{pp}', f'--micro-batch={micro_batch}', f'--micro-batches={micro_batches}',
             f'--schedule={schedule}', *more]
    run(binary, folder, 'profile', 'model.pb', *shape, f'--budget={args.budget}', '--out=costs.pb')
    run(binary, folder, 'partition', 'model.pb', *shape, '--costs=costs.pb', '--out=plan.pb')
    plan = json.loads(run(binary, folder, 'explain', 'plan.pb', '--json')[0])
    shutil.rmtree(os.path.join(folder, 'run'), ignore_errors=True)
    _, peak = run(binary, folder, 'train', '--plan=plan.pb', '--data=synthetic', f'--steps={args.steps}', '--out=run',
                  '--quiet', '--trace-every=1')
    reports = [json.loads(run(binary, folder, 'report', 'run', f'--step={step}', '--json')[0])
               for step in range(2, args.steps + 1)]
    predicted = plan['predicted_seconds']
    measured = statistics.median(report['measured_seconds'] for report in reports)
    stages = []
    for rank, row in enumerate(reports[0]['ranks']):
        busy = statistics.median(report['ranks'][rank]['measured']['busy_seconds'] for report in reports)
        stages.append((row['predicted']['busy_seconds'], busy))
    arenas = sum({stage['rank']: stage['arena_bytes'] for stage in plan['stages']}.values())
    return {'name': name, 'pp': pp, 'micro_batches': micro_batches, 'schedule': schedule, 'hash': plan['hash'],
            'calls_measured': plan['costs']['calls_measured'], 'calls_modelled': plan['costs']['calls_modelled'],
            'predicted': predicted, 'measured': measured, 'stages': stages, 'arenas': arenas, 'peak': peak}


def percent(predicted, measured):
    return f'{100 * (predicted / measured - 1):+.1f} %'


def table(title, rows):
    print(f'\n### {title}\n')
    print('| what | pp | schedule | plan | predicted step ms | measured ms | off | busy of each rank off | '
          'arenas MB | peak MB |')
    print('|---|---|---|---|---|---|---|---|---|---|')
    for row in rows:
        stages = ', '.join(percent(*stage) for stage in row['stages'])
        print(f"| {row['name']} | {row['pp']} | {row['schedule']} | `{row['hash'][:12]}` | {1e3 * row['predicted']:.1f} | "
              f"{1e3 * row['measured']:.1f} | {percent(row['predicted'], row['measured'])} | {stages} | "
              f"{row['arenas'] / 1e6:.0f} | {row['peak'] / 1e6:.0f} |")
    step = [abs(row['predicted'] / row['measured'] - 1) for row in rows]
    stage = [abs(p / m - 1) for row in rows for p, m in row['stages']]
    memory = [abs(row['arenas'] - row['peak']) <= 0.03 * row['peak'] + 64e6 for row in rows]
    print(f'\nStep: off by {100 * statistics.median(step):.1f} % in the median, {100 * max(step):.1f} % at most; ranks: '
          f'{100 * statistics.median(stage):.1f} % in the median, {100 * max(stage):.1f} % at most. Memory within 3 % + '
          f'64 MB: {sum(memory)} of {len(memory)}. Load of the machine at the end: {os.getloadavg()[0]:.1f}.')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--binary', default='bazel-bin/tools/millrace')
    parser.add_argument('--only', choices=['schedules', 'graphs'])
    parser.add_argument('--steps', type=int, default=12, help='of each run, the first of which does not count')
    parser.add_argument('--budget', type=float, default=10, help='seconds of each profile')
    parser.add_argument('--json', help='write the rows here, too')
    args = parser.parse_args()
    binary = os.path.abspath(args.binary)
    rows = {}
    with tempfile.TemporaryDirectory(prefix='millrace-prediction-') as folder:
        # Measured anew: not what another day's machine left behind.
        os.environ['XDG_CACHE_HOME'] = os.path.join(folder, 'cache')
        if args.only != 'graphs':
            rows['schedules'] = [measure(binary, folder, 'GPT 10.8 M', GPT, 2, 4, 4, schedule, [], args)
                                 for schedule in SCHEDULES]
            table('Four schedules, GPT of 10.8 M parameters, pp 2, 4 micro-batches', rows['schedules'])
        if args.only != 'schedules':
            rows['graphs'] = [measure(binary, folder, *graph, args) for graph in GRAPHS]
            table('Ten graphs and cuts', rows['graphs'])
    if args.json:
        with open(args.json, 'w', encoding='utf-8') as file:
            json.dump(rows, file, indent=2)


if __name__ == '__main__':
    main()
