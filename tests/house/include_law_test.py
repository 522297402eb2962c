"""Reads every #include line of the tree and fails on one that runs against the law of includes.

  proto <- kernels <- runtime/plan <- {partitioner, rest of runtime} <- tools;  tests see everything.
"""
import os
import re
import sys
import unittest
from pathlib import Path

INCLUDE = re.compile(r'^\s*#include\s+"([^"]+)"')
ROOMS = ('proto', 'kernels', 'runtime', 'partitioner', 'tools', 'tests')


def room(path):
    """The room a file belongs to, as the law names them."""
    parts = path.split('/')
    if parts[0] == 'runtime':
        return 'runtime/plan' if parts[1] == 'plan' else 'runtime'
    return parts[0]


ALLOWED = {
    'proto': {'proto'},
    'kernels': {'proto', 'kernels'},
    'runtime/plan': {'proto', 'kernels', 'runtime/plan'},
    'partitioner': {'proto', 'kernels', 'runtime/plan', 'partitioner'},
    'runtime': {'proto', 'kernels', 'runtime/plan', 'runtime'},
    'tools': {'proto', 'kernels', 'runtime/plan', 'partitioner', 'runtime', 'tools'},
    'tests': {'proto', 'kernels', 'runtime/plan', 'partitioner', 'runtime', 'tools', 'tests'},
}


def breach(source, included):
    """Why `source` may not include `included`, or None."""
    if included.split('/')[0] not in ROOMS:
        return None  # a system header
    here, there = room(source), room(included)
    if there not in ALLOWED[here]:
        return f'{source} includes {included}: {here} may not see {there}'
    if source.startswith('runtime/worker/') and re.match(r'kernels/\w+/', included):
        return f'{source} includes {included}: the worker sees kernels/*.h, never a backend'
    if here != 'tests' and not source.startswith('kernels/') and re.match(r'kernels/(cpu|reference|cuda)/', included):
        return f'{source} includes {included}: backends are opened through kernels/backends.h'
    return None


def sources(root):
    for top in ROOMS:
        for folder, _, names in os.walk(root / top):
            for name in names:
                if name.endswith(('.h', '.cc', '.cu', '.cuh')) and not name.endswith(('.pb.h', '.pb.cc')):
                    yield Path(folder, name)


class IncludeLaw(unittest.TestCase):
    root = Path(__file__).resolve().parents[2]

    def test_the_tree_keeps_the_law(self):
        checked, breaches = 0, []
        for path in sources(self.root):
            source = path.relative_to(self.root).as_posix()
            for line in path.read_text(encoding='utf-8').splitlines():
                match = INCLUDE.match(line)
                if match:
                    checked += 1
                    why = breach(source, match.group(1))
                    if why:
                        breaches.append(why)
        self.assertGreater(checked, 100, f'found almost no include lines under {self.root}')
        self.assertEqual(breaches, [])

    def test_a_breach_is_seen(self):
        self.assertIsNotNone(breach('runtime/plan/verify.cc', 'runtime/worker/worker.h'))
        self.assertIsNotNone(breach('partitioner/cut/even.cc', 'runtime/job/trainer.h'))
        self.assertIsNotNone(breach('runtime/job/trainer.cc', 'partitioner/partition.h'))
        self.assertIsNotNone(breach('kernels/device.h', 'runtime/plan/plan.h'))
        self.assertIsNotNone(breach('runtime/worker/worker.cc', 'kernels/cpu/cpu.h'))
        self.assertIsNone(breach('partitioner/cut/even.cc', 'runtime/plan/action.h'))
        self.assertIsNone(breach('runtime/worker/worker.cc', 'absl/status/status.h'))

    def test_files_stay_small(self):
        large = [f'{path.relative_to(self.root)}: {lines} lines' for path in sources(self.root)
                 if (lines := len(path.read_text(encoding='utf-8').splitlines())) > 400]
        self.assertEqual(large, [], 'a file over 400 lines is two ideas')


if __name__ == '__main__':
    # The tree is read where it stands: Bazel's copy of this file is a link to it.
    IncludeLaw.root = Path(os.path.realpath(__file__)).parents[2]
    sys.path.insert(0, str(IncludeLaw.root / 'tests' / 'house'))
    import xml_runner
    xml_runner.main()
