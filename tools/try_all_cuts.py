#!/usr/bin/env python3
"""Tries every cut of a model into two stages on this machine and prints what each one measured.

  tools/try_all_cuts.py [--steps=6] [--rounds=3] [--every=1] [FLAGS OF millrace partition ...]

Without flags: GPT of 4 layers, width 256, vocabulary 50,257, context 1,024, two stages, 8 micro-batches of 1. For each place
where the model can be cut, in an order drawn anew each round, the plan is trained for a few steps; the median step of all
rounds counts (the first step of a run does not). The even cut, the balanced one and what `millrace report` proposes after
the even run stand in the same table. Figures taken while the machine does something else are worth nothing.
"""
import argparse
import csv
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MILLRACE = os.environ.get('MILLRACE_BINARY') or os.path.join(ROOT, 'bazel-bin/tools/millrace')
MODEL = ['gpt2', '--layers=4', '--heads=8', '--width=256', '--vocab=50257', '--context=1024']
PLAN = ['--devices=cpu:2', '--pp=2', '--micro-batch=1', '--micro-batches=8', '--schedule=1f1b']


def millrace(*arguments):
    done = subprocess.run([MILLRACE, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f'try_all_cuts: millrace {" ".join(arguments)}: exit {done.returncode}\n{done.stderr}')
    return done.stdout


def all_cuts(model, flags):
    """The last node of every unit but the last, in the order of the model: where a stage can end."""
    last = {}
    for unit, name in re.findall(r'^F u(\d+) (\S+): ', millrace('partition', model, *flags, '--dump=after:rewrite'), re.M):
        last[unit] = name
    return list(last.values())[:-1]


def end_of_first_stage(plan, model):
    return json.loads(millrace('explain', plan, '--model=' + model, '--json'))['boundaries'][0]['ends_after']


def step_seconds(folder, plan, steps, model=None):
    """Seconds of every step of a run but the first."""
    run = os.path.join(folder, 'run')
    shutil.rmtree(run, ignore_errors=True)
    millrace('train', '--plan=' + plan, '--data=synthetic', f'--steps={steps}', '--eval-micro-batches=1', '--out=' + run,
             '--quiet', *(['--model=' + model] if model else []))
    with open(os.path.join(run, 'metrics.csv'), encoding='utf-8') as table:
        rows = list(csv.DictReader(table))
    return [float(row['step_seconds']) for row in rows[1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=6)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--every', type=int, default=1, help='only every so many cuts, for a quick look')
    parser.add_argument('--seed', type=int, default=1, help='of the order in which cuts are tried')
    options, flags = parser.parse_known_args()
    flags = flags or PLAN
    with tempfile.TemporaryDirectory(prefix='millrace-cuts-') as folder:
        model = os.path.join(folder, 'model.pb')
        millrace('model', *MODEL, '--out=' + model)
        plans = {}
        for kind in ('even', 'balanced'):
            plans[kind] = os.path.join(folder, kind + '.plan')
            millrace('partition', model, *flags, '--cut=' + kind, '--out=' + plans[kind])
        step_seconds(folder, plans['even'], options.steps, model)
        proposal = json.loads(millrace('report', os.path.join(folder, 'run'), '--json'))['better_cut']
        proposed = proposal['best']['cut_after'][0]
        ends = {kind: end_of_first_stage(plans[kind], model) for kind in ('even', 'balanced')}
        kept = {proposed, *ends.values()}
        cuts = [name for i, name in enumerate(all_cuts(model, flags)) if i % options.every == 0 or name in kept]
        for name in cuts:
            plans[name] = os.path.join(folder, f'{cuts.index(name)}.plan')
            millrace('partition', model, *flags, '--cut-after=' + name, '--out=' + plans[name])
        measured = {name: [] for name in cuts}
        order = random.Random(options.seed)
        for turn in range(options.rounds):
            for name in order.sample(cuts, len(cuts)):
                measured[name] += step_seconds(folder, plans[name], options.steps)
                print(f'round {turn + 1} of {options.rounds}: {name} {1e3 * statistics.median(measured[name]):.1f} ms',
                      file=sys.stderr)
        medians = {name: statistics.median(times) for name, times in measured.items()}
        best = min(medians, key=medians.get)
        print(f'{"cut after":28} {"median ms":>10} {"of the best":>12}')
        for name in cuts:
            marks = [kind for kind, node in ends.items() if node == name]
            marks += ['proposed after the even run'] * (name == proposed) + ['best'] * (name == best)
            print(f'{name:28} {1e3 * medians[name]:10.1f} {medians[name] / medians[best]:12.3f}  {", ".join(marks)}')
        even, balanced, chosen = (medians[n] for n in (ends['even'], ends['balanced'], proposed))
        print(f'\nthe balanced cut takes {100 * (1 - balanced / even):.1f} % less than the even one; '
              f'the proposal {100 * (chosen / medians[best] - 1):.1f} % more than the best\n'
              f'gain of the proposal over the even cut: {100 * proposal["gain"]:.1f} % expected, '
              f'{100 * (1 - chosen / even):.1f} % measured')


if __name__ == '__main__':
    main()
