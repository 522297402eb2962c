"""README and docs say what is so: files shown are the files, links lead somewhere, commands and flags exist."""
import functools
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
import xml_runner  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.path.abspath('tools/millrace')
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('**/*.md'))]
FENCE = re.compile(r'^```[^\n]*\n(.*?)^```$', re.M | re.S)
# Folders of somebody's machine.
MACHINE_PATH = re.compile(r'(?<![\w.~/])/(?:work|home|root|tmp|mnt|Users|private|data)/')


def blocks(text):
    return FENCE.findall(text)


def commands(text):
    """Every `millrace ...` of the code blocks and inline code, with continued lines joined."""
    found = []
    for code in blocks(text):
        for line in code.replace('\\\n', ' ').split('\n'):
            match = re.match(r'\s*(?:\$ ?)?(?:\$?millrace|\S*/millrace) (.*)', line)
            if match:
                found.append(match.group(1).partition(' #')[0])
    prose = FENCE.sub('', text)
    for code in re.findall(r'`([^`\n]+)`', prose):
        if code.startswith('millrace '):
            found.append(code[len('millrace '):])
    return found


@functools.cache
def help_of(*words):
    done = subprocess.run([PROGRAM, *words, '--help'], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode == 0 else None


def flags_of(command):
    return set(re.findall(r'^  --([\w-]+)', help_of(command) or '', re.M)) | {'help'}


def what_is_wrong(command):
    """Why the command line cannot be typed, or None. Words in capitals stand for something else."""
    words = command.replace('\\|', '|').split()
    if words[0] in ('--version', '--help') or words[0].isupper():
        return None
    if help_of(words[0]) is None:
        return f'there is no command {words[0]!r}'
    for word in words[1:]:
        match = re.match(r'\[?--([\w-]+)', word)
        if match and match.group(1) not in flags_of(words[0]) and match.group(1).removeprefix('no-') not in flags_of(
                words[0]):
            return f'{words[0]} has no flag --{match.group(1)}'
    return None


class Docs(unittest.TestCase):
    def test_there_are_pages(self):
        self.assertGreater(len(PAGES), 8)

    def test_files_shown_are_the_files(self):
        for page, file in (('docs/cpp.md', 'docs/examples/first_model.cc'),
                           ('docs/model.md', 'docs/examples/by_hand.textproto')):
            self.assertIn((ROOT / file).read_text(), blocks((ROOT / page).read_text()), f'{page} does not show {file}')

    def test_links_lead_somewhere(self):
        checked, broken = 0, []
        for page in PAGES:
            for target in re.findall(r'\]\(([^)\s]+)\)', page.read_text()):
                if re.match(r'\w+://|mailto:', target):
                    continue
                path, _, anchor = target.partition('#')
                there = (page.parent / path).resolve() if path else page
                checked += 1
                if not there.exists():
                    broken.append(f'{page.relative_to(ROOT)}: {target}')
                elif anchor and anchor not in anchors(there.read_text()):
                    broken.append(f'{page.relative_to(ROOT)}: {target}: no such heading')
        self.assertEqual(broken, [])
        self.assertGreater(checked, 10)

    def test_files_named_in_code_exist(self):
        # `runtime/plan/verify.h` and the like; a name with capitals, stars or angles stands for something else.
        missing = []
        for page in PAGES:
            for name in re.findall(r'`((?:proto|kernels|partitioner|runtime|tools|tests|docs)/[\w/.-]+\.\w+)`',
                                   page.read_text()):
                if not (ROOT / name).exists():
                    missing.append(f'{page.relative_to(ROOT)}: {name}')
        self.assertEqual(missing, [])

    def test_commands_and_flags_exist(self):
        checked, wrong = 0, []
        for page in PAGES:
            for command in commands(page.read_text()):
                checked += 1
                why = what_is_wrong(command)
                if why:
                    wrong.append(f'{page.relative_to(ROOT)}: millrace {command}: {why}')
        self.assertEqual(wrong, [])
        self.assertGreater(checked, 10)

    def test_no_path_of_a_machine(self):
        found = [f'{page.relative_to(ROOT)}:{number}: {line}' for page in PAGES
                 for number, line in enumerate(page.read_text().split('\n'), 1) if MACHINE_PATH.search(line)]
        self.assertEqual(found, [])


class Checks(unittest.TestCase):
    """The checks above can fail."""

    def test_commands(self):
        self.assertEqual(commands('a `millrace x --y` b\n```\n$ millrace z \\\n  --w=1   # note\nother\n```\n'),
                         ['z    --w=1  ', 'x --y'])
        self.assertEqual(what_is_wrong('trian --plan=x'), "there is no command 'trian'")
        self.assertEqual(what_is_wrong('train --plam=x'), 'train has no flag --plam')
        self.assertIsNone(what_is_wrong('train --plan=x --no-shuffle'))
        self.assertIsNone(what_is_wrong('COMMAND [FLAGS]'))
        self.assertIsNone(what_is_wrong('model gpt2\\|llama ... --out=FILE'))

    def test_paths_and_anchors(self):
        self.assertTrue(MACHINE_PATH.search('see /home/ann/README.md'))
        self.assertFalse(MACHINE_PATH.search('see tests/tmp/x and https://a.b/home/x'))
        self.assertEqual(anchors('# A b\n## What `is` proven?\n'), {'a-b', 'what-is-proven'})


def anchors(text):
    """Names that a heading can be linked by."""
    return {re.sub(r'[^\w -]', '', heading.lower()).strip().replace(' ', '-')
            for heading in re.findall(r'^#+ (.*)$', FENCE.sub('', text), re.M)}


if __name__ == '__main__':
    xml_runner.main()
