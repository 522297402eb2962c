"""millrace report and millrace explain on real runs: every form tells the same, the page is safe and whole, the trace nests,
the command for the better cut works."""
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections import defaultdict

sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
import xml_runner  # noqa: E402

BINARY = os.path.join(os.getcwd(), 'tools', 'millrace')
RTL = '\u202e'
# What a model file may call its nodes. None of it may come out as anything but text.
NASTY = {
    'script': '<script>alert(1)</script>',
    'attribute': '" onmouseover="alert(1)',
    'apostrophe': "it's $(touch pwned) `touch pwned` \\",
    'ampersand': '&lt;b&gt; & &#60;i&#62;',
    'newline': 'two\nlines\r\tand a tab',
    'direction': f'abc{RTL}fdp.exe',
    'comment': '--><!-- ]]></title></style>',
    'long': 'x' * 400,
    'terminal': '\x1b[31mred\x07',
    'formula': '=cmd()',
}


def text_proto_string(text):
    return ''.join(c if 32 <= ord(c) < 127 and c not in '"\\' else ''.join(f'\\{b:03o}' for b in c.encode('utf-8'))
                   for c in text)


class ReportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix='millrace-report-', dir=os.environ.get('TEST_TMPDIR'))
        # The output layer outweighs the blocks, so the even cut is bad and a better one is found.
        cls.done('model', 'gpt2', '--layers=3', '--heads=2', '--width=32', '--vocab=3000', '--context=32', '--out=gpt.pb')
        cls.done('partition', 'gpt.pb', '--pp=2', '--micro-batch=2', '--micro-batches=4', '--cut=even', '--out=even.plan')
        cls.done('train', '--plan=even.plan', '--model=gpt.pb', '--data=synthetic', '--steps=3', '--out=even', '--quiet')
        cls.done('report', 'even', '--out=forms')
        cls.report = json.loads(cls.read('forms/report.json'))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    @classmethod
    def run_it(cls, *args):
        return subprocess.run([BINARY, *args], cwd=cls.folder, capture_output=True, timeout=300,
                              stdin=subprocess.DEVNULL, env={**os.environ, 'NO_COLOR': '1'})

    @classmethod
    def done(cls, *args):
        result = cls.run_it(*args)
        if result.returncode != 0:
            raise AssertionError(f'millrace {args}: exit {result.returncode}\n{result.stderr.decode("utf-8", "replace")}')
        return result.stdout.decode('utf-8')

    @classmethod
    def read(cls, name):
        with open(os.path.join(cls.folder, name), encoding='utf-8', newline='') as file:
            return file.read()

    def check_page(self, name):
        page = self.read(name)
        self.assertLess(len(page.encode('utf-8')), 2_000_000)
        self.assertRegex(page, r'http-equiv="Content-Security-Policy"\s+content="default-src \'none\'; style-src \'unsafe-inline\'')
        self.assertNotIn('script-src', page)
        self.assertIsNone(re.search(r'https?://|//[a-z]|@import|url\(', page, re.I), 'the page points outside itself')
        self.assertIsNone(re.search(r'<(script|iframe|object|embed|link|base|form|img)\b|\son\w+=', re.sub(
            r'&quot;[^<]*', '', page), re.I))
        self.assertIn('prefers-color-scheme:dark', page)
        self.assertIn('@media print', page)
        if shutil.which('tidy'):
            tidy = subprocess.run(['tidy', '-q', '-e', os.path.join(self.folder, name)], capture_output=True, text=True)
            self.assertLess(tidy.returncode, 2, tidy.stderr)
            self.assertNotIn('Error:', tidy.stderr)
        return page

    # --- the forms ---------------------------------------------------------------------------------------------------

    def test_the_text_fits_a_terminal(self):
        text = self.done('report', 'even', '--no-recut')
        for heading in ('Time of a step by stage', "Where each rank's", 'Memory of each rank', 'Worst foreseen', 'Better cut'):
            self.assertIn(heading, text)
        self.assertEqual([line for line in text.split('\n') if len(line) > 100], [])

    def test_every_rank_adds_up_to_the_step(self):
        for which in ('predicted', 'measured'):
            whole = self.report[which + '_seconds']
            for rank in self.report['ranks']:
                parts = list(rank[which]['work'].values()) + list(rank[which]['wait'].values())
                self.assertAlmostEqual(sum(parts), whole, delta=1e-9 * whole)
            parts = self.report['step_parts'][which].values()
            self.assertAlmostEqual(sum(parts), whole, delta=1e-9)

    def test_imbalance_is_told_as_it_is(self):
        busy = [rank['measured']['busy_seconds'] for rank in self.report['ranks']]
        mean = sum(busy) / len(busy)
        self.assertAlmostEqual(self.report['measured_imbalance'], (max(busy) - mean) / mean)

    def test_csv_of_instructions(self):
        rows = list(csv.DictReader(self.read('forms/instructions.csv').splitlines()))
        self.assertTrue(self.read('forms/instructions.csv').endswith('\r\n'))
        runs = [row for row in rows if row['kind'] == 'RUN']
        self.assertEqual(len(runs), 2 * 4 * 2)
        for rank in self.report['ranks']:
            for which in ('predicted', 'measured'):
                mine = sum(float(row[which + '_work_seconds']) for row in runs if row['rank'] == str(rank['rank']))
                self.assertAlmostEqual(mine, rank[which]['busy_seconds'], delta=1e-7)
        self.assertIn('0SEND_F1', [row['name'] for row in rows])
        self.assertIn('1RECV_F1', [row['name'] for row in rows])

    def test_csv_of_stages(self):
        rows = list(csv.DictReader(self.read('forms/stages.csv').splitlines()))
        self.assertEqual([row['stage'] for row in rows], ['0', '1'])
        for row, stage in zip(rows, self.report['stages']):
            self.assertAlmostEqual(float(row['measured_forward_seconds']), stage['measured']['work']['forward_seconds'],
                                   delta=1e-8)
            self.assertAlmostEqual(float(row['measured_wait_data_seconds']), stage['measured']['wait']['data_seconds'],
                                   delta=1e-8)

    def test_the_page(self):
        page = self.check_page('forms/report.html')
        for heading in ('What a step is made of', 'Better cut', 'Timeline', 'Stages', "Where each rank's time went", 'Memory'):
            self.assertIn(f'<h2>{heading}', page)
        self.assertIn('--cut-after=' + self.report['better_cut']['best']['cut_after'][0], page)
        # A cell for every forward and backward, predicted and measured.
        for style in ('f', 'bw'):
            self.assertEqual(len(re.findall(f'<rect class="{style}( e)?"', page)), 2 * 2 * 4, style)

    def test_the_page_in_a_browser(self):
        if not shutil.which('chromium'):
            self.skipTest('chromium is not installed')
        with tempfile.TemporaryDirectory() as home:
            result = subprocess.run(
                ['chromium', '--headless', '--no-sandbox', '--disable-gpu', '--user-data-dir=' + home, '--dump-dom',
                 'file://' + os.path.join(self.folder, 'forms/report.html')],
                capture_output=True, text=True, timeout=120, env={**os.environ, 'HOME': home})
        self.assertIn('<svg', result.stdout)
        self.assertIn('Limited by', result.stdout)
        self.assertNotIn('Content Security Policy', result.stderr)

    def test_the_trace_nests_and_its_flows_are_bound(self):
        trace = json.loads(self.read('forms/trace.json'))
        self.assertEqual(trace['displayTimeUnit'], 'ms')
        tracks, names, flows = defaultdict(list), set(), defaultdict(dict)
        for event in trace['traceEvents']:
            where = (event['pid'], event.get('tid'))
            if event['ph'] == 'X':
                self.assertGreater(event['dur'], 0)
                tracks[where].append((event['ts'], event['ts'] + event['dur'], event['name'], event['cat']))
            elif event['ph'] == 'M':
                names.add((event['name'], *where))
            else:
                self.assertIn(event['ph'], ('s', 'f'))
                self.assertNotIn(event['ph'], flows[event['id']], 'an id is used for two flows')
                flows[event['id']][event['ph']] = event
        for where, slices in tracks.items():
            self.assertIn(('thread_name', *where), names)
            slices.sort()
            for (_, end, name, _), (begin, _, following, _) in zip(slices, slices[1:]):
                self.assertGreaterEqual(begin, end - 1e-3, f'{name} and {following} overlap on track {where}')
        self.assertGreater(len(flows), 8)
        for flow in flows.values():
            self.assertEqual(set(flow), {'s', 'f'})
            self.assertLessEqual(flow['s']['ts'], flow['f']['ts'])
            self.assertEqual(flow['f']['bp'], 'e')
            for phase, word in (('s', 'SEND'), ('f', 'RECV')):
                event = flow[phase]
                bound = [s for s in tracks[event['pid'], event['tid']] if s[0] - 1e-3 <= event['ts'] < s[1] and s[3] == 'transfer']
                self.assertTrue(any(word in s[2] for s in bound), f'{event} lies in no {word}')

    # --- the better cut ----------------------------------------------------------------------------------------------

    def test_the_command_makes_the_better_plan(self):
        better = self.report['better_cut']
        self.assertTrue(better['improves'], better)
        self.assertTrue(better['all_tried'])
        with tempfile.TemporaryDirectory() as tools:
            os.symlink(BINARY, os.path.join(tools, 'millrace'))
            subprocess.run(better['command'], shell=True, cwd=self.folder, check=True, capture_output=True,
                           env={**os.environ, 'PATH': tools + ':' + os.environ.get('PATH', '')})
        plan = json.loads(self.done('explain', 'even/recut.plan.pb', '--json'))
        self.assertEqual(plan['boundaries'][0]['ends_after'], better['best']['cut_after'][0])
        self.assertEqual(plan['cut'], 'by hand')
        # The plan trains, to the same weights as the one that was measured.
        self.done('train', '--plan=even/recut.plan.pb', '--data=synthetic', '--steps=3', '--out=again', '--quiet')
        digests = [json.loads(self.done('inspect', run, '--json'))['weights sha256'] for run in ('even', 'again')]
        self.assertEqual(*digests)

    def test_costs_written_predict_what_was_measured(self):
        self.done('report', 'even', '--costs=costs.pb')
        self.done('partition', 'gpt.pb', '--pp=2', '--micro-batch=2', '--micro-batches=4', '--cut=even',
                  '--costs=costs.pb', '--out=priced.plan')
        kernels = sum(rank['measured']['busy_seconds'] for rank in self.report['ranks'])
        stages = json.loads(self.done('explain', 'priced.plan', '--json'))['stages']
        priced = 4 * sum(s['forward_seconds'] + s['backward_seconds'] for s in stages)
        # Medians over the micro-batches against their sum: alike, but for what the machine did meanwhile.
        self.assertLess(abs(priced / kernels - 1), 0.8)
        self.assertGreater(priced, 0)

    def test_without_a_model_it_says_so(self):
        shutil.copytree(os.path.join(self.folder, 'even'), os.path.join(self.folder, 'bare'))
        os.remove(os.path.join(self.folder, 'bare/model.pb'))
        self.assertIn('--model=GRAPH', json.loads(self.done('report', 'bare', '--json'))['better_cut']['not_looked_for'])
        self.assertIn('command', json.loads(self.done('report', 'bare', '--model=gpt.pb', '--json'))['better_cut'])

    # --- hostile names and files -------------------------------------------------------------------------------------

    def test_names_stay_text(self):
        self.done('model', 'mlp', '--layers=3', '--features=4', '--width=8', '--classes=3', '--out=mlp.textproto')
        plain = self.read('mlp.textproto')
        for kind, name in NASTY.items():
            with self.subTest(kind):
                nasty = plain.replace('"layers.', '"' + text_proto_string(name))
                nasty = nasty.replace('name: "mlp"', f'name: "{text_proto_string(name)}"')
                with open(os.path.join(self.folder, 'nasty.textproto'), 'w', encoding='utf-8') as file:
                    file.write(nasty)
                shutil.rmtree(os.path.join(self.folder, 'nasty'), ignore_errors=True)
                if any(ord(c) < 32 for c in name):
                    refused = self.run_it('partition', 'nasty.textproto', '--pp=2', '--out=nasty.plan')
                    self.assertEqual(refused.returncode, 65)
                    self.assertIn(b'control character', refused.stderr)
                    continue
                self.done('partition', 'nasty.textproto', '--pp=2', '--micro-batch=2', '--micro-batches=3', '--cut=even',
                          '--out=nasty.plan')
                self.done('train', '--plan=nasty.plan', '--model=nasty.textproto', '--data=synthetic', '--steps=1',
                          '--out=nasty', '--quiet')
                text = self.done('report', 'nasty', '--out=nasty/forms')
                explained = self.done('explain', 'nasty.plan', '--model=nasty.textproto', '--html=nasty/plan.html')
                for page in (self.check_page('nasty/forms/report.html'), self.check_page('nasty/plan.html')):
                    for bad in ('<script>alert', ' onmouseover="alert', RTL, '\x1b', '--><!--', '</title></style>'):
                        self.assertNotIn(bad, page)
                    self.assertEqual(page.count('</title>') - page.count('</title></rect>'), 1)
                self.assertNotIn('\x1b', explained)
                json.loads(self.read('nasty/forms/report.json'))
                json.loads(self.read('nasty/forms/trace.json'))
                rows = list(csv.reader(self.read('nasty/forms/instructions.csv').splitlines(keepends=True)))
                self.assertEqual({len(row) for row in rows}, {len(rows[0])})
                # The command is one line for a shell, whatever the names.
                found = json.loads(self.read('nasty/forms/report.json'))['better_cut']
                if 'command' in found:
                    words = subprocess.run(['sh', '-c', found['command'].replace('millrace', 'printf "%s\\0"', 1)],
                                           cwd=self.folder, capture_output=True, check=True).stdout.decode().split('\0')
                    self.assertIn('--cut-after=' + found['best']['cut_after'][0], words)
                    self.assertFalse(os.path.exists(os.path.join(self.folder, 'pwned')))
                self.assertIn('Better cut', text)

    def test_bad_folders(self):
        self.assertEqual(self.run_it('report', 'nowhere').returncode, 66)
        self.assertEqual(self.run_it('report').returncode, 2)
        result = self.run_it('report', 'even', '--step=77')
        self.assertEqual(result.returncode, 66)
        self.assertIn(b'no trace of step 77', result.stderr)
        shutil.copytree(os.path.join(self.folder, 'even'), os.path.join(self.folder, 'mixed'))
        self.done('partition', 'gpt.pb', '--pp=2', '--micro-batch=2', '--micro-batches=2', '--out=mixed/plan.pb')
        self.assertEqual(self.run_it('report', 'mixed').returncode, 65)
        for name in ('plan.pb', 'predicted.pb', 'model.pb'):
            shutil.rmtree(os.path.join(self.folder, 'broken'), ignore_errors=True)
            shutil.copytree(os.path.join(self.folder, 'even'), os.path.join(self.folder, 'broken'))
            with open(os.path.join(self.folder, 'broken', name), 'wb') as file:
                file.write(b'\x12\xff\xff\xff\xff\x0f')
            # A broken model costs the better cut, not the report.
            self.assertEqual(self.run_it('report', 'broken').returncode, 0 if name == 'model.pb' else 65, name)
        self.assertEqual(self.run_it('report', 'even', '--html=no/such/folder/x.html').returncode, 73)

    # --- explain -----------------------------------------------------------------------------------------------------

    def test_explain_moves_boundaries(self):
        explained = json.loads(self.done('explain', 'even.plan', '--model=gpt.pb', '--json'))
        boundary = explained['boundaries'][0]
        crossing = sum(edge['bytes'] for edge in explained['edges'])
        self.assertEqual(boundary['forward_bytes'] + boundary['backward_bytes'], crossing)
        # Moved by hand to where it says, the plan is what it says.
        self.done('partition', 'gpt.pb', '--pp=2', '--micro-batch=2', '--micro-batches=4',
                  '--cut-after=' + boundary['later']['ends_after'], '--out=later.plan')
        later = json.loads(self.done('explain', 'later.plan', '--json'))
        self.assertAlmostEqual(later['predicted_seconds'] - explained['predicted_seconds'],
                               boundary['later']['step_change_seconds'], delta=1e-9)
        self.assertEqual(sum(edge['bytes'] for edge in later['edges']) - crossing,
                         boundary['later']['crossing_change_bytes'])
        self.assertTrue(explained['limited_by'])
        self.assertEqual(explained['stages'][1]['largest'][0]['node'], 'lm_head')

    def test_explain_in_text_and_page(self):
        text = self.done('explain', 'even.plan', '--model=gpt.pb', '--html=plan.html')
        self.assertIn('a unit later: step -', text)
        self.assertRegex(text, 'limited by (imbalance|the end of the step)')
        self.assertIn('stage 1 takes longest', text)
        self.assertEqual([line for line in text.split('\n') if len(line) > 110], [])
        page = self.check_page('plan.html')
        for heading in ('What fills each stage', 'What crosses each boundary', 'Predicted step', 'Memory'):
            self.assertIn(f'<h2>{heading}', page)
        self.assertIn('--model=GRAPH', self.done('explain', 'even.plan'))
        self.assertEqual(self.run_it('explain', 'even.plan', '--model=even.plan').returncode, 65)


if __name__ == '__main__':
    xml_runner.main()
