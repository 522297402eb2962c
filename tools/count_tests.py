#!/usr/bin/env python3
"""Counts test cases from the XML files that the tests of the last `bazel test` wrote, and prints the closing line.

Usage: count_tests.py TESTLOGS BUILD_STATUS TEST_STATUS [FILTER]

A target that ended without an XML file of its own (a crash, a build failure) counts as one failure, by its name.
"""
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def query(expression):
    out = subprocess.run(['bazel', 'query', expression], capture_output=True, text=True, check=True).stdout
    return [line.strip() for line in out.splitlines() if line.startswith('//')]


def tagged(tag):
    return f'attr(tags, "[\\[ ]{tag}[,\\]]", //tests/...)'


def targets(filters):
    """The targets that `bazel test` was to run, and those that nobody runs unless they are named."""
    left_out = f' except {tagged("long")}' if filters else ''
    return query(f'tests(//tests/...) except {tagged("manual")}{left_out}'), query(f'tests({tagged("manual")})')


def count(path):
    """(passed, failures, skips) of one test target's XML."""
    passed, failed, skipped = 0, [], []
    for case in ElementTree.parse(path).getroot().iter('testcase'):
        name = f"{case.get('classname')}.{case.get('name')}"
        if case.find('failure') is not None or case.find('error') is not None:
            failed.append(name)
        elif case.get('status') == 'notrun':
            continue
        elif case.get('result') == 'skipped' or case.find('skipped') is not None:
            skipped.append(name)
        else:
            passed += 1
    return passed, failed, skipped


def main():
    logs, built, tested = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    run, manual = targets(sys.argv[4:])
    passed, failed, skipped = 0, [], [f'{target} (runs only where it is named)' for target in manual]
    for target in run:
        package, name = target[2:].split(':')
        xml = logs / package / name / 'test.xml'
        try:
            p, f, s = count(xml)
        except (OSError, ElementTree.ParseError):
            p, f, s = 0, [], []
        if p == 0 and not f and not s:
            f = [f'{target} (no test case reported)']
        passed += p
        failed += f
        skipped += s
    if built != 0:
        failed.append('the build of //...')
    if tested != 0 and not failed:
        failed.append(f'bazel test (exit {tested})')
    for name in skipped:
        print(f'skipped: {name}')
    for name in failed:
        print(f'FAILED: {name}')
    print(f'{passed} passed, {len(failed)} failed, {len(skipped)} skipped')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
