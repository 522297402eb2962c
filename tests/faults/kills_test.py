"""A rank is killed or stopped at ten points of a step: the others end in time, name it, and leave nothing behind.

Each point and signal once; tests/faults/battery.py repeats them, and docs/faults.md has its last result.
"""
import concurrent.futures
import os
import shutil
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/faults'))
import jobs  # noqa: E402
import strikes  # noqa: E402
import xml_runner  # noqa: E402


class Kills(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = jobs.Work()

    @classmethod
    def tearDownClass(cls):
        cls.work.remove()

    def strike_all(self, launcher, signal, points=strikes.POINTS, at_once=2):
        """Each point once, every rank in turn."""
        def one(numbered):
            number, point = numbered
            rank = point.ranks[number % len(point.ranks)]
            outcome = strikes.strike(self.work, launcher, signal, point, rank)
            if outcome.problems():  # a busy machine may have been late; a defect is there again
                outcome = strikes.strike(self.work, launcher, signal, point, rank)
            return outcome
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            for outcome in pool.map(one, enumerate(points)):
                print(f'{launcher} {signal} {outcome.point}: rank {outcome.rank}, {outcome.seconds:.2f} s')
                with self.subTest(point=outcome.point, rank=outcome.rank):
                    self.assertEqual(outcome.problems(), [], outcome.said)
                    self.assertEqual(outcome.silent, (), outcome.said)

    def test_killed_under_our_supervisor(self):
        self.strike_all('local', 'kill')

    def test_stopped_under_our_supervisor(self):
        self.strike_all('local', 'stop')

    def test_killed_under_a_launcher_that_only_starts(self):
        self.strike_all('env', 'kill')

    def test_stopped_under_a_launcher_that_only_starts(self):
        self.strike_all('env', 'stop', strikes.POINTS[1::3])

    @unittest.skipUnless(shutil.which('mpirun'), 'mpirun is not installed')
    def test_under_mpirun(self):
        self.strike_all('mpirun', 'kill', strikes.POINTS[0::3])
        self.strike_all('mpirun', 'stop', strikes.POINTS[5:7])


if __name__ == '__main__':
    xml_runner.main()
