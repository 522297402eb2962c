"""The link between two hosts of a training job goes down: the ranks of both sides notice, end, and say who is gone."""
import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/faults'))
import jobs  # noqa: E402
import links  # noqa: E402
import xml_runner  # noqa: E402


class LinkDown(unittest.TestCase):
    def test_both_sides_end_and_accuse_the_other(self):
        reason = links.why_not()
        if reason:
            self.skipTest(reason)
        work = jobs.Work()
        self.addCleanup(work.remove)
        outcome = links.take_down(work, seed=1)
        if outcome.problems():  # a busy machine may have been late; a defect is there again
            outcome = links.take_down(work, seed=1)
        print(f'all ended {outcome.seconds:.2f} s after the link went down')
        self.assertEqual(outcome.problems(), [], outcome.said)


if __name__ == '__main__':
    xml_runner.main()
