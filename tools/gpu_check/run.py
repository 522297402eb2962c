#!/usr/bin/env python3
"""Runs gpu_check on this machine, part by part, and writes gpu_check.json and a table.

  python3 run.py [--out=FOLDER] [--parts=kernels,training,communicators,two-ranks,figures,speed,pytorch]

Needs a GPU, CUDA's libraries and Python; nothing else. Exit code 0: all that could run passed; 1: something failed;
3: there is no CUDA device. A part that does not end in its time is a failure, and its processes are removed.
"""
import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NO_DEVICE = 3
# Seconds that a part may take.
PARTS = {'kernels': 240, 'training': 120, 'communicators': 120, 'two-ranks': 120, 'figures': 180, 'speed': 240,
         'pytorch': 240}


def environment(**more):
    """Ours, with the folders where CUDA's libraries may be."""
    env = dict(os.environ, **more)
    folders = [env.get('LD_LIBRARY_PATH'), '/usr/local/cuda/lib64', *python_library_folders()]
    env['LD_LIBRARY_PATH'] = ':'.join(f for f in folders if f)
    return env


def python_library_folders():
    """PyTorch brings its own cuDNN and NCCL: used where the machine has no others."""
    return sorted({str(lib) for path in sys.path for lib in Path(path).glob('nvidia/*/lib') if lib.is_dir()})


def end(processes):
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(commands, seconds, envs):
    """Runs the commands at once; returns their exit codes and what they printed, None for those that had to be ended."""
    outputs = [tempfile.TemporaryFile(mode='w+') for _ in commands]
    processes = [subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env, start_new_session=True)
                 for command, output, env in zip(commands, outputs, envs)]
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
    codes = []
    for process in processes:
        left = (deadline - datetime.datetime.now()).total_seconds()
        try:
            codes.append(process.wait(timeout=max(left, 0.1)))
        except subprocess.TimeoutExpired:
            codes.append(None)
    end(processes)
    texts = []
    for output in outputs:
        output.seek(0)
        texts.append(output.read())
    return codes, texts


def report_of(path, part, code, text):
    """What a process wrote; where it wrote nothing, or ended badly, a failed case says so."""
    report = {'part': part, 'gpu': '', 'libraries': '', 'trouble': '', 'cases': [], 'figures': []}
    if path.exists():
        report.update(json.loads(path.read_text(encoding='utf-8')))
        report['part'] = part
    wrong = any(case['result'] == 'failed' for case in report['cases'])
    if code == 0 or code == NO_DEVICE or (code == 1 and wrong):
        return report
    why = 'it did not end in its time' if code is None else f'it ended with code {code}'
    report['cases'].append({'suite': part, 'name': 'the whole part', 'result': 'failed', 'seconds': 0,
                            'why': f'{why}: ...{text[-400:]}'})
    return report


def run_part(part, out):
    if part == 'pytorch':
        command = [sys.executable, str(HERE / 'pytorch_gpt2.py'), f'--json={out / "pytorch.json"}']
        codes, texts = run([command], PARTS[part], [dict(os.environ)])
        print(texts[0], end='')
        return [report_of(out / 'pytorch.json', part, codes[0], texts[0])]
    ranks = 2 if part == 'two-ranks' else 1
    paths = [out / f'{part}-{rank}.json' for rank in range(ranks)]
    commands = [[str(HERE / 'gpu_check'), f'--part={"processes" if ranks > 1 else part}', f'--json={path}']
                for path in paths]
    with tempfile.TemporaryDirectory(prefix='gpu_check_') as folder:
        envs = [environment() for _ in range(ranks)]
        for rank in range(ranks) if ranks > 1 else ():
            # NCCL refuses two ranks on one GPU of one host; with two names of hosts it takes them for two machines.
            # Said here, for everybody to read: this is a check, not how a job runs.
            envs[rank] = environment(MILLRACE_GPU_CHECK_RANK=str(rank), MILLRACE_GPU_CHECK_RANKS=str(ranks),
                                     MILLRACE_GPU_CHECK_FOLDER=folder, NCCL_HOSTID=f'gpu-check-{rank}')
        codes, texts = run(commands, PARTS[part], envs)
    for text in texts:
        print(text, end='')
    return [report_of(path, f'{part}' if ranks == 1 else f'{part}, rank {rank}', codes[rank], texts[rank])
            for rank, path in enumerate(paths)]


def driver():
    query = ['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader']
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.split('\n')[0].strip()
    except (OSError, subprocess.TimeoutExpired):
        return ''


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', default='gpu_check_results')
    parser.add_argument('--parts', default=','.join(PARTS))
    flags = parser.parse_args()
    parts = flags.parts.split(',')
    for part in parts:
        if part not in PARTS:
            parser.error(f'there is no part {part}; there are {", ".join(PARTS)}')
    out = Path(flags.out)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob('*.json'):
        old.unlink()
    reports = []
    for part in parts:
        reports += run_part(part, out)
        if reports[-1]['trouble']:
            break  # no device: the others would say the same
    cases = [case for report in reports for case in report['cases']]
    counts = {result: sum(case['result'] == result for case in cases) for result in ('passed', 'failed', 'skipped')}
    version = HERE / 'VERSION'
    whole = {'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
             'version': version.read_text(encoding='utf-8').strip() if version.exists() else '',
             'gpu': next((report['gpu'] for report in reports if report['gpu']), ''),
             'driver': driver(),
             'libraries': next((report['libraries'] for report in reports if report['libraries']), ''),
             'counts': counts, 'reports': reports}
    (out / 'gpu_check.json').write_text(json.dumps(whole, indent=1), encoding='utf-8')
    print(f'{counts["passed"]} passed, {counts["failed"]} failed, {counts["skipped"]} skipped; '
          f'{out / "gpu_check.json"} holds all')
    if reports[-1]['trouble']:
        return NO_DEVICE
    return 1 if counts['failed'] else 0


if __name__ == '__main__':
    sys.exit(main())
