"""A sample of the product of layouts and transports; with --whole, all of it (product.py)."""
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/end_to_end'))
import product  # noqa: E402
import xml_runner  # noqa: E402

WHOLE = '--whole' in sys.argv
if WHOLE:
    sys.argv.remove('--whole')


class Products(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=os.environ.get('TEST_TMPDIR'))
        self.addCleanup(shutil.rmtree, self.folder)
        self.product = product.Product(self.folder)

    def check(self, layouts, transports):
        count, wrong, missing = product.compare(self.product, layouts, transports)
        print(f'{count} runs over {", ".join(transports)}; not in this version: {", ".join(missing) or "nothing"}')
        self.assertEqual(wrong, [])
        return count

    @unittest.skipIf(WHOLE, 'the whole product is tried')
    def test_sample(self):
        layouts = list(product.all_layouts(shapes=((1, 1), (1, 2), (2, 2), product.STAGE_REPLICAS)))
        self.assertGreaterEqual(self.check(layouts, ['in_process', 'gloo']), 9)
        if 'mpi' in self.product.transports:
            self.check(list(product.all_layouts(shapes=((2, 2),))), ['in_process', 'mpi'])

    @unittest.skipUnless(WHOLE, 'takes minutes: product_whole_test')
    def test_everything(self):
        self.assertGreaterEqual(self.check(list(product.all_layouts()), self.product.transports), 20)


if __name__ == '__main__':
    xml_runner.main()
