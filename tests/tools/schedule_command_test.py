"""millrace schedule: figures, pictures, both CSV dialects, and what it refuses."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
import xml_runner  # noqa: E402


def schedule(*arguments):
    return subprocess.run(['tools/millrace', 'schedule', *arguments], capture_output=True, text=True)


def figures(*arguments):
    done = schedule(*arguments, '--json')
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class ScheduleTest(unittest.TestCase):
    def write(self, text):
        file = tempfile.NamedTemporaryFile('w', suffix='.csv', dir=os.environ.get('TEST_TMPDIR'), delete=False)
        self.addCleanup(os.unlink, file.name)
        with file:
            file.write(text)
        return file.name

    def test_figures_of_1f1b(self):
        found = figures('1f1b', '--stages=4', '--micro-batches=8')
        self.assertIs(found['valid'], True)
        self.assertEqual(found['makespan'], 33)
        self.assertAlmostEqual(found['bubble_rate'], 3 / 11)
        self.assertAlmostEqual(found['bubble_over_ideal'], 3 / 8)
        self.assertEqual(found['peak_in_flight'], [4, 3, 2, 1])
        self.assertEqual(found['peak_memory'], [4, 3, 2, 1])

    def test_a_published_row(self):
        times = ['--forward=18.522', '--backward-input=18.086', '--backward-weight=9.337', '--communication=0.601']
        for kind, rate in {'1f1b': 0.2431, 'zb-h1': 0.1585, 'zb-h2': 0.1083}.items():
            found = figures(kind, '--stages=8', '--micro-batches=24', *times)
            self.assertAlmostEqual(found['bubble_rate'], rate, delta=6e-5, msg=kind)

    def test_chunks_divide_a_devices_time(self):
        found = figures('interleaved', '--stages=4', '--micro-batches=8', '--chunks=3')
        self.assertAlmostEqual(found['longest_span'], 24 + 9 / 3)

    def test_times_per_stage(self):
        found = figures('gpipe', '--stages=2', '--micro-batches=1', '--forward=1,2', '--backward-input=4',
                        '--backward-weight=8', '--communication=16,0')
        self.assertEqual(found['makespan'], 1 + 16 + 2 + 12 + 16 + 12)

    def test_figures_say_why_ranks_wait(self):
        found = figures('gpipe', '--stages=2', '--micro-batches=2', '--backward-weight=0', '--bandwidth=2',
                        '--transfer-bytes=6', '--send-slots=1')
        # F0 0-1, on the wire 1-4; F1 waits for the slot until 4, is on the wire 5-8; rank 1 runs BW0 9-10, BW1 10-11;
        # the gradients are on the wire 10-13 and, BW1 having waited for the slot until 13, 14-17.
        self.assertEqual(found['makespan'], 18)
        self.assertEqual(found['idle'][0], {'before_first': 0, 'data': 5, 'link': 6, 'slot': 3, 'after_last': 0})
        self.assertEqual(found['idle'][1]['slot'], 3)
        for busy, idle in zip(found['busy'], found['idle']):
            self.assertEqual(busy + sum(idle.values()), found['makespan'])
        self.assertEqual(found['transfers'][0], ['0SEND_F0', 0, 1, 1, 1, 1, 4, 4])
        self.assertEqual(found['memory'][0][0], [0, 1])
        self.assertEqual(found['critical_path'][0][1], 0)
        for before, after in zip(found['critical_path'], found['critical_path'][1:]):
            self.assertEqual(before[2], after[1])
        self.assertEqual(set(found['conventions']), {'bubble_rate', 'bubble_over_ideal'})

    def test_links_that_share_a_wire(self):
        times = ['--stages=3', '--micro-batches=6', '--bandwidth=1', '--transfer-bytes=1,1,1']
        spans = [figures('1f1b', *times, f'--wire={wire}')['makespan']
                 for wire in ('direction', 'pair', 'a,b,c', 'shared', 'a,a,b')]
        self.assertEqual(spans[1], spans[2])
        self.assertEqual(spans[3], spans[4])
        self.assertLess(spans[0], spans[3])
        self.assertEqual(figures('1f1b', *times[:2], '--bandwidth=inf', '--transfer-bytes=9', '--wire=shared')['makespan'],
                         figures('1f1b', *times[:2])['makespan'])

    def test_too_few_slots_are_a_deadlock(self):
        done = schedule('gpipe', '--stages=2', '--micro-batches=3', '--stash-slots=2', '--json')
        self.assertEqual(done.returncode, 65)
        self.assertIs(json.loads(done.stdout)['valid'], False)
        self.assertIn('to free one of the 2 stash slots of stage 0', done.stderr)
        self.assertEqual(schedule('1f1b', '--stages=2', '--micro-batches=3', '--stash-slots=2,1').returncode, 0)

    def test_recompute(self):
        base = ['1f1b', '--stages=4', '--micro-batches=8']
        self.assertEqual(figures(*base, '--recompute=inside')['longest_span'], 44)
        self.assertEqual(figures(*base, '--recompute=placed')['longest_span'], 41)
        self.assertEqual(figures(*base, '--recompute=inside', '--recompute-time=0.5')['longest_span'], 33 + 11 / 2)
        self.assertIn('33 without, 44 inside B, 41 placed; placing hides 27.3 %',
                      schedule(*base, '--recompute=placed').stdout)
        text = schedule(*base, '--recompute=placed', '--format=csv').stdout
        self.assertEqual(text.count('R'), 4 * 8)
        path = self.write(text)
        self.assertEqual(figures('file', f'--file={path}')['longest_span'], 41)
        for arguments, word in [(['--recompute=outside'], 'inside'), (['--recompute-time=1'], '--recompute='),
                                (['--recompute=placed', '--recompute-time=1,2'], 'recompute-time'),
                                (['--recompute=placed', '--recompute-time=-1'], 'not a time')]:
            done = schedule(*base, *arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(word, done.stderr)
        self.assertIn('of its own', schedule('file', f'--file={path}', '--recompute=placed').stderr)

    def test_svg_is_xml_with_every_action(self):
        done = schedule('zb-h1', '--stages=3', '--micro-batches=5', '--format=svg')
        rects = xml.dom.minidom.parseString(done.stdout).getElementsByTagName('rect')
        self.assertEqual(len(rects), 3 * 5 * 3)

    def test_svg_escapes_the_file_name(self):
        folder = tempfile.mkdtemp(dir=os.environ.get('TEST_TMPDIR'))
        path = os.path.join(folder, '<b>&"\'.csv')
        with open(path, 'w', encoding='ascii') as out:
            out.write('0F0,0BW0\n')
        self.addCleanup(lambda: (os.unlink(path), os.rmdir(folder)))
        xml.dom.minidom.parseString(schedule('file', f'--file={path}', '--format=svg').stdout)

    def test_grid_fits(self):
        for width in (40, 80, 120):
            done = schedule('1f1b', '--stages=8', '--micro-batches=40', f'--width={width}')
            rows = [line for line in done.stdout.splitlines() if line.startswith('rank')]
            self.assertEqual(len(rows), 8)
            self.assertLessEqual(max(map(len, rows)), width)

    def test_csv_there_and_back(self):
        for dialect in ('millrace', 'pytorch'):
            text = schedule('zb-h1', '--stages=3', '--micro-batches=4', '--format=csv', f'--csv={dialect}').stdout
            self.assertEqual('0I0' in text, dialect == 'pytorch')
            found = figures('file', f'--file={self.write(text)}', f'--csv={dialect}')
            self.assertEqual(found['makespan'], figures('zb-h1', '--stages=3', '--micro-batches=4')['makespan'])

    def test_pytorchs_b_is_the_full_backward(self):
        done = schedule('file', '--file=' + self.write('0F0,,0B0\n,1F0,1B0\n'), '--csv=pytorch', '--format=csv')
        self.assertEqual(done.stdout, '0F0,0BW0\n1F0,1BW0\n')

    def test_lowered_pytorch_schedules_are_refused(self):
        done = schedule('file', '--file=' + self.write('0UNSHARD,0F0,0SEND_F0,0B0\n'), '--csv=pytorch')
        self.assertEqual(done.returncode, 65)
        self.assertIn('line 1 (rank 0), cell 1', done.stderr)
        self.assertIn('lowered schedule', done.stderr)

    def test_a_deadlock_is_told(self):
        path = self.write('0F0,0BW0,0F1,0BW1\n1F0,1F1,1BW0,1BW1\n')
        done = schedule('file', f'--file={path}', '--json')
        self.assertEqual(done.returncode, 65)
        self.assertIs(json.loads(done.stdout)['valid'], False)
        self.assertIn('rank 0 waits at 0BW0 for 1BW0', done.stderr)
        self.assertIn('! rank 1 | 1F0 [1F1] 1BW0 1BW1 |', done.stderr)

    def test_refusals(self):
        fine = ['--stages=2', '--micro-batches=2']
        for arguments, code, word in [
                (['1f2b', *fine], 2, '1f1b'),
                (['1f1b', '--micro-batches=2'], 2, '--stages'),
                (['1f1b', '--stages=2'], 2, '--micro-batches'),
                (['1f1b', '--stages=0', '--micro-batches=2'], 2, 'at least 1'),
                (['1f1b', '--stages=-1', '--micro-batches=2'], 2, 'counts'),
                (['1f1b', *fine, '--forward=1,2,3'], 2, 'forward'),
                (['1f1b', *fine, '--forward=x'], 2, 'not a time'),
                (['1f1b', *fine, '--forward=nan'], 2, 'not a time'),
                (['1f1b', *fine, '--forward=-1'], 2, 'not a time'),
                (['1f1b', *fine, '--bandwidth=1'], 2, 'go together'),
                (['1f1b', *fine, '--transfer-bytes=1'], 2, 'go together'),
                (['1f1b', *fine, '--wire=pair'], 2, '--wire needs'),
                (['1f1b', *fine, '--bandwidth=0', '--transfer-bytes=1'], 2, 'not a rate'),
                (['1f1b', *fine, '--bandwidth=nan', '--transfer-bytes=1'], 2, 'not a rate'),
                (['1f1b', *fine, '--bandwidth=-1', '--transfer-bytes=1'], 2, 'not a rate'),
                (['1f1b', *fine, '--bandwidth=1', '--transfer-bytes=inf'], 2, 'not a size'),
                (['1f1b', *fine, '--bandwidth=1,2,3', '--transfer-bytes=1'], 2, '3 values for 2 devices'),
                (['1f1b', *fine, '--bandwidth=1', '--transfer-bytes=1', '--wire=prot'], 2, 'did you mean port'),
                (['1f1b', *fine, '--stash-slots=0'], 2, 'number of slots'),
                (['1f1b', *fine, '--stash-slots=1.5'], 2, 'number of slots'),
                (['1f1b', *fine, '--receive-slots=99999999999'], 2, 'number of slots'),
                (['1f1b', *fine, '--send-slots=1,1,1'], 2, '3 values for 2 devices'),
                (['1f1b', *fine, '--forward=1e308'], 65, 'larger unit'),
                (['1f1b', *fine, '--memory-limit=2'], 2, 'memory limit'),
                (['1f1b', *fine, '--format=png'], 2, 'svg'),
                (['1f1b', *fine, '--format=svg', '--json'], 2, 'different'),
                (['1f1b', *fine, '--file=x'], 2, 'kind file'),
                (['file'], 2, '--file'),
                (['file', '--file=none.csv'], 66, 'none.csv'),
                (['file', '--file=' + self.write('0F0,0X0\n')], 65, 'cell 2'),
                (['file', '--file=' + self.write('0F0,0BW0\n'), '--stages=2'], 2, '1 lines'),
        ]:
            done = schedule(*arguments)
            self.assertEqual(done.returncode, code, (arguments, done.stderr))
            self.assertIn(word, done.stderr, arguments)


if __name__ == '__main__':
    xml_runner.main()
