#!/usr/bin/env python3
"""Puts the results of a gpu_check into docs/gpu_verified.md, between its two marks.

  python3 tools/gpu_check/to_markdown.py gpu_check_results/gpu_check.json docs/gpu_verified.md
"""
import json
import sys
from pathlib import Path

BEGIN, END = '<!-- results: begin -->', '<!-- results: end -->'


def cell(text):
    return ' '.join(str(text).replace('|', '/').split())


def suites_of(report):
    """Per suite: how many of each result."""
    counts = {}
    for case in report['cases']:
        suite = counts.setdefault(case['suite'], {'passed': 0, 'failed': 0, 'skipped': 0})
        suite[case['result']] += 1
    return counts


def markdown(whole):
    lines = [f'Last run: {whole["date"]}, {whole["gpu"] or "no GPU"}, driver {whole["driver"] or "none"}, '
             f'{whole["libraries"] or "no CUDA libraries"}, Millrace {whole["version"] or "of no known version"}.', '',
             '| part | suite | passed | failed | skipped |', '|---|---|---|---|---|']
    for report in whole['reports']:
        for suite, count in sorted(suites_of(report).items()):
            lines.append(f'| {cell(report["part"])} | {cell(suite)} | {count["passed"]} | {count["failed"]} | '
                         f'{count["skipped"]} |')
    for result in ('failed', 'skipped'):
        named = sorted({(report['part'], case['suite'], cell(case['why'])[:200])
                        for report in whole['reports'] for case in report['cases'] if case['result'] == result})
        if named:
            lines += ['', f'{result.capitalize()}:', '']
            lines += [f'- {part}, {suite}: {why}' for part, suite, why in named]
    figures = [figure for report in whole['reports'] for figure in report['figures']]
    if figures:
        lines += ['', '| figure | measured | of the roof |', '|---|---|---|']
    for figure in figures:
        value = f'not measured: {cell(figure["why"])[:160]}' if figure['why'] else f'{figure["value"]:.1f} {figure["unit"]}'
        share = f'{100 * figure["value"] / figure["roof"]:.0f} %' if figure.get('roof') and not figure['why'] else ''
        lines.append(f'| {cell(figure["name"])} | {value} | {share} |')
    return '\n'.join(lines)


def placed(page, table):
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f'the page lacks {BEGIN} or {END}')
    return f'{before}{BEGIN}\n{table}\n{END}{after}'


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    page = Path(sys.argv[2])
    whole = json.loads(Path(sys.argv[1]).read_text(encoding='utf-8'))
    page.write_text(placed(page.read_text(encoding='utf-8'), markdown(whole)), encoding='utf-8')


if __name__ == '__main__':
    main()
