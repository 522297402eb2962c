"""Runs the communicator's conformance suite under mpirun, every rank a process. Skipped by name without MPI."""
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).absolute().parent
BINARY = HERE / 'mpi_ranks'


def mpirun(processes, *arguments):
    command = ['mpirun', '-np', str(processes), '--oversubscribe', '--allow-run-as-root', '--timeout', '200',
               '--mca', 'btl', 'self,vader,tcp', str(BINARY), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=260)


class Mpi(unittest.TestCase):
    def setUp(self):
        if subprocess.run([str(BINARY), '--is-mpi-linked']).returncode != 0:
            self.skipTest('built without MPI')
        if shutil.which('mpirun') is None:
            self.skipTest('no mpirun on this machine')

    def conform(self, processes):
        done = mpirun(processes)
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-6000:])
        self.assertEqual(done.stdout.count('  PASSED  ]'), processes, done.stdout[-3000:])

    def test_conformance_of_two_ranks(self):
        self.conform(2)

    def test_conformance_of_three_ranks(self):
        self.conform(3)

    def test_conformance_of_four_ranks(self):
        self.conform(4)


if __name__ == '__main__':
    sys.path.insert(0, str(HERE.parents[2] / 'tests' / 'house'))
    import xml_runner
    xml_runner.main()
