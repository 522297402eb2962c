"""Runs unittest's tests of __main__ and writes the XML file that Bazel asks for, a test case per method."""
import os
import sys
import unittest
from xml.sax.saxutils import quoteattr


class Recorded(unittest.TextTestResult):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.cases = []

    def _record(self, test, child=''):
        kind, _, name = test.id().rpartition('.')
        self.cases.append(f'<testcase classname={quoteattr(kind)} name={quoteattr(name)} status="run">{child}</testcase>')

    def addSuccess(self, test):
        super().addSuccess(test)
        self._record(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._record(test, f'<failure message={quoteattr(str(err[1])[:2000])}/>')

    def addError(self, test, err):
        super().addError(test, err)
        self._record(test, f'<error message={quoteattr(str(err[1])[:2000])}/>')

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._record(test, f'<skipped message={quoteattr(reason)}/>')


def main():
    """Ends the process, so that no caller can lose a failure: 0 when every test passed, else 1."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules['__main__'])
    result = unittest.TextTestRunner(resultclass=Recorded, verbosity=2).run(suite)
    path = os.environ.get('XML_OUTPUT_FILE')
    if path:
        with open(path, 'w', encoding='utf-8') as out:
            out.write('<testsuites><testsuite name="python">' + ''.join(result.cases) + '</testsuite></testsuites>\n')
    sys.exit(0 if result.wasSuccessful() else 1)
