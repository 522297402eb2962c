#!/usr/bin/env python3
"""The long form of kills_test and link_down_test: every point and signal many times.

  bazel build //tools:millrace && cd bazel-bin && python3 ../tests/faults/battery.py --runs=100 --json=kills.json

Prints a line for each launcher, signal and point, and writes the figures that docs/faults.md shows. The exit code is 1
when a culprit was wrong, something was left behind, or a job did not end.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, '../end_to_end'))
import jobs  # noqa: E402
import links  # noqa: E402
import strikes  # noqa: E402


def figures(outcomes):
    """What is kept of the runs at one point."""
    never = [outcome for outcome in outcomes if not outcome.struck]  # a machine so busy that the job did not get there
    outcomes = [outcome for outcome in outcomes if outcome.struck]
    times = sorted(outcome.seconds for outcome in outcomes if outcome.seconds >= 0)
    limit = outcomes[0].limit() if outcomes else 0
    return {'runs': len(outcomes), 'never_struck': len(never), 'limit': limit,
            'median': round(times[len(times) // 2], 3) if times else None,
            'worst': round(times[-1], 3) if times else None,
            'late': sum(seconds > limit for seconds in times),
            'wrong_culprits': sum(not outcome.right_culprit() for outcome in outcomes),
            'hangs': len(outcomes) - len(times),
            'orphans': sum(outcome.orphans for outcome in outcomes),
            'files_left': sum(len(outcome.files) for outcome in outcomes)}


def report(results, options, seconds):
    """The table, which is also written to the file that was asked for."""
    table = [{'launcher': launcher, 'signal': signal, 'point': point, **figures(outcomes)}
             for (launcher, signal, point), outcomes in sorted(results.items())]
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump({'heartbeat_timeout': strikes.HEARTBEAT, 'ranks': jobs.RANKS, 'cores': os.cpu_count(),
                       'at_once': options.at_once, 'seconds': round(seconds), 'load': round(os.getloadavg()[2], 1),
                       'points': table}, file, indent=1)
            file.write('\n')
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=100, help='of each point and signal')
    parser.add_argument('--at-once', type=int, default=2)
    parser.add_argument('--launchers', default='local,env,mpirun,link')
    parser.add_argument('--signals', default='kill,stop')
    parser.add_argument('--seconds', type=float, default=1e9, help='begin no further run after so long')
    parser.add_argument('--json', help='the file for the figures')
    parser.add_argument('--failures', help='a folder for what was said in runs that went wrong')
    options = parser.parse_args()
    work = jobs.Work()
    begun = time.monotonic()
    results = collections.defaultdict(list)

    def one(task):
        launcher, signal, point, number = task
        if time.monotonic() - begun > options.seconds:
            return
        if launcher == 'link':
            outcome = links.take_down(work, number)
        else:
            turn = (number + strikes.POINTS.index(point)) % len(point.ranks)
            outcome = strikes.strike(work, launcher, signal, point, point.ranks[turn])
        results[launcher, signal, outcome.point].append(outcome)
        if len(results[launcher, signal, outcome.point]) % 5 == 0:
            report(dict(results), options, time.monotonic() - begun)
        if outcome.problems() and options.failures:
            os.makedirs(options.failures, exist_ok=True)
            name = f'{launcher}-{signal}-{outcome.point}-{number}.txt'.replace(' ', '_')
            with open(os.path.join(options.failures, name), 'w', encoding='utf-8') as file:
                file.write(f'{outcome.problems()}\n{outcome.said}')

    # Round by round, so that a battery that is cut short has tried everything equally often.
    tasks = [(launcher, signal, point, number) for number in range(options.runs)
             for launcher in options.launchers.split(',') if launcher != 'link'
             for signal in options.signals.split(',') for point in strikes.POINTS]
    if 'link' in options.launchers.split(','):
        tasks += [('link', 'down', None, number) for number in range(options.runs)]
    with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
        for done in pool.map(one, tasks):
            del done
    work.remove()
    table = report(results, options, time.monotonic() - begun)
    for row in table:
        print(' '.join(f'{name}={value}' for name, value in row.items()))
    bad = sum(row['wrong_culprits'] + row['hangs'] + row['orphans'] + row['files_left'] for row in table)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
