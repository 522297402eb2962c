"""A rank waits for ever: the report says where every rank stands, and one line names the cause. Real processes."""
import json
import os
import re
import shutil
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/faults'))
import jobs  # noqa: E402
import xml_runner  # noqa: E402

FLAGS = ['--warn-after=2', '--wait-limit=4']
FORWARD = 'h.0.mlp.residual'  # what the first stage sends to the second


class Hangs(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.work = jobs.Work()

    @classmethod
    def tearDownClass(cls):
        cls.work.remove()

    def report_of(self, launcher, fault):
        """What a job with this fault says, once it has given up."""
        with jobs.Job(self.work, launcher, fault, FLAGS) as job:
            for process in job.started:
                self.assertNotEqual(process.wait(timeout=120), 0)
            orphans, files = job.left_behind()
            self.assertEqual((orphans, files), ([], []))
            return job.said()

    def check(self, fault, cause, stands, launchers=('local',)):
        """`cause` is the line that names it; `stands` are lines of the report, by rank."""
        for launcher in launchers:
            with self.subTest(launcher=launcher):
                said = self.report_of(launcher, fault)
                self.assertRegex(said, cause)
                for rank in range(jobs.RANKS):
                    self.assertRegex(said, rf'\n.*  rank {rank} ({stands.get(rank, "stands at ")}|stands at .*)')
                for rank, line in stands.items():
                    self.assertRegex(said, rf'  rank {rank} {line}')

    def with_mpi(self):
        doctor = json.loads(jobs.runs.millrace('doctor', '--json').stdout)
        linked = 'mpi' in [transport['name'] for transport in doctor['transports']]
        return ('local', 'mpirun') if linked and shutil.which('mpirun') else ('local',)

    def test_a_lost_activation(self):
        self.check('drop:rank=0:send:peer=1:nth=2',
                   rf'rank [01] waits for edge {re.escape(FORWARD)} of micro-batch \d+ from rank [01], .* lost',
                   {1: rf'stands at instruction \d+, RECV edge {re.escape(FORWARD)} of micro-batch \d+ for .*, '
                       r'waiting for rank 0 at its instruction \d+'},
                   self.with_mpi())

    def test_a_lost_gradient_between_replicas(self):
        self.check('drop:rank=0:send:peer=2:nth=1',
                   r'rank [02] waits at instruction \d+, REDUCE bucket \d+ for rank [02], .* lost',
                   {2: r'stands at instruction \d+, REDUCE bucket \d+ for .*, waiting for rank 0 at its instruction'},
                   self.with_mpi())

    def test_a_rank_that_never_comes_to_the_norm(self):
        # It spins: its heartbeats go on, and only the others' waits tell.
        self.check('spin:rank=3:at=NORM:step=3',
                   r'rank \d waits at instruction \d+, NORM for rank 3, which stands at instruction \d+, NORM for .* '
                   r'and waits for nobody, so rank 3 keeps the others waiting',
                   {0: r'stands at instruction \d+, NORM for .*, waiting for all ranks'},
                   self.with_mpi())

    def test_a_rank_that_keeps_its_weights(self):
        self.check('spin:rank=1:at=GATHER:step=2',
                   r'rank \d waits at instruction \d+, GATHER bucket \d+ for rank 1, which stands at .*GATHER.* '
                   r'so rank 1 keeps the others waiting',
                   {3: r'stands at instruction \d+, GATHER bucket \d+ for .*, waiting for rank 1'})


if __name__ == '__main__':
    xml_runner.main()
