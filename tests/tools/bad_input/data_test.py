"""Training data that must be refused: text, nanoGPT and llm.c files, and folders of them."""
import os
import struct
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.getcwd(), 'tests', 'tools', 'bad_input'), os.path.dirname(os.path.realpath(__file__))]
from battery import BAD, CONFIG, MISSING, USAGE, Battery, case, main

GPT2, LLAMA3 = 20240520, 20240801
FINE = struct.pack('<400H', *range(200), *range(200))


def llmc(magic=GPT2, version=1, count=400, tokens=FINE):
    return struct.pack('<256i', magic, version, count, *[0] * 253) + tokens


class Files(Battery):
    @classmethod
    def prepare(cls):
        cls.models()
        cls.done('partition', 'gpt.textproto', '--out=gpt.plan')
        cls.done('partition', 'mlp.textproto', '--out=mlp.plan')
        cls.write('good.txt', 'All happy families are alike. ' * 40)
        cls.write('good.bin', FINE)
        os.mkfifo(cls.at('pipe.bin'))
        os.mkdir(cls.at('nothing'))

    def train(self, *flags, plan='gpt.plan'):
        return ['train', '--plan=' + plan, '--steps=1', '--out=' + self.id().rpartition('.')[2], '--quiet', *flags]

    def no_run(self):
        """Data is looked at before anything is made."""
        self.assertFalse(os.path.exists(self.at(self.id().rpartition('.')[2])))


for name, file, content, *words in [
    ('text_empty', 'e.txt', b'', 'empty'),
    ('text_one_byte', 'o.txt', b'a', 'too short'),
    ('text_shorter_than_a_window', 's.txt', b'0123456', 'too short'),
    ('text_of_one_window', 'w.txt', b'012345678', 'too short'),
    ('text_not_utf8', 'u.txt', b'\xff\xfe\xfd' * 50, '--data-format'),
    ('text_of_zeros', 'z.txt', bytes(100), '--data-format'),
    ('text_utf16', 'w16.txt', 'some text\n'.encode('utf-16') * 20, '--data-format'),
    ('text_latin1', 'l.txt', 'dæmons gå på jord '.encode('latin-1') * 20, '--data-format'),
    ('text_overlong', 'ov.txt', b'abc \xc0\xaf ' * 50, '--data-format'),
    ('gzip', 'g.txt', b'\x1f\x8b\x08\x00' + b'\0' * 100, '--data-format'),
    ('nanogpt_empty', 'e.bin', b'', 'empty'),
    ('nanogpt_odd', 'odd.bin', FINE + b'\x01', '801 bytes', 'odd', 'nanogpt'),
    ('nanogpt_one_byte', 'one.bin', b'\x01', 'odd'),
    ('nanogpt_one_token', 'tok.bin', b'\x01\x00', 'too short'),
    ('nanogpt_token_over_vocabulary', 'big.bin', struct.pack('<H', 256) + FINE, 'token 0 is 256', 'nanogpt'),
    ('nanogpt_last_token_over', 'last.bin', FINE + b'\xff\xff', 'token 400 is 65535', 'vocabulary'),
    ('nanogpt_text_inside', 'text.bin', b'Hello, world! ' * 60, 'vocabulary'),
    ('llmc_header_cut', 'h.bin', llmc()[:1000], '1000 bytes', 'llm.c'),
    ('llmc_only_magic', 'm.bin', struct.pack('<i', GPT2), '4 bytes', '1024'),
    ('llmc_header_only', 'ho.bin', llmc(count=0, tokens=b''), '0 tokens'),
    ('llmc_count_too_large', 'cl.bin', llmc(count=401), 'cut off'),
    ('llmc_count_too_small', 'cs.bin', llmc(count=399), 'cut off'),
    ('llmc_count_negative', 'cn.bin', llmc(count=-1), '-1 tokens'),
    ('llmc_count_of_31_bits', 'cm.bin', llmc(count=2147483647), '2147483647'),
    ('llmc_version_unknown', 'v.bin', llmc(version=2), 'version 2'),
    ('llmc_version_negative', 'vn.bin', llmc(version=-7), 'version -7'),
    ('llmc_llama_version', 'lv.bin', llmc(LLAMA3, 1, 200), 'version 1'),
    ('llmc_llama_width', 'lw.bin', llmc(LLAMA3, 7, 400), 'cut off'),
    ('llmc_token_over_vocabulary', 't.bin', llmc(count=401, tokens=FINE + b'\x00\x01'), 'token 400 is 256', 'llmc'),
    ('llmc_llama_token_of_32_bits', 'l32.bin', llmc(LLAMA3, 7, 200, struct.pack('<200I', *range(199), 0xFFFFFFFF)), '4294967295'),
    ('llmc_odd_tail', 'odd2.bin', llmc() + b'\0', 'cut off'),
    ('llmc_shorter_than_a_window', 'sw.bin', llmc(count=4, tokens=FINE[:8]), 'too short'),
]:
    def run(self, file=file, content=content, words=words):
        path = self.write(file, content)
        self.refused(BAD, self.train('--data=' + path), *words)
        self.no_run()
    case(Files, name, run)

for name, file, content, form, *words in [
    ('text_read_as_llmc', 'a.txt', b'Hello, world! ' * 100, 'llmc', 'magic'),
    ('nanogpt_read_as_llmc', 'b.bin', FINE * 4, 'llmc', 'magic'),
    ('big_endian_llmc', 'c.bin', struct.pack('>256i', GPT2, 1, 400, *[0] * 253) + FINE, 'llmc', 'magic'),
    ('odd_text_read_as_nanogpt', 'd.txt', b'abc' * 101, 'nanogpt', 'odd'),
    ('unknown_format', 'e2.txt', b'abc' * 100, 'csv', 'csv'),
    ('synthetic_with_a_file', 'f.txt', b'abc' * 100, 'synthetic', 'leave one out'),
]:
    def run(self, file=file, content=content, form=form, words=words):
        path = self.write(file, content)
        self.refused((BAD, CONFIG, USAGE), self.train('--data=' + path, '--data-format=' + form), *words)
        self.no_run()
    case(Files, name, run)


class Places(Files):
    """Where data should be."""

    def shards(self, **shards):
        path = self.at(self.id().rpartition('.')[2] + '.d')
        os.mkdir(path)
        for name, content in shards.items():
            self.write(os.path.join(path, name + '.bin'), content)
        return path

    def test_missing(self):
        self.refused(MISSING, self.train('--data=absent.txt'), 'absent.txt')

    def test_pipe(self):
        self.refused((BAD, MISSING), self.train('--data=pipe.bin'), 'not a regular file')

    def test_device(self):
        self.refused((BAD, MISSING), self.train('--data=/dev/zero'), 'not a regular file')

    def test_below_a_file(self):
        self.refused(MISSING, self.train('--data=good.txt/part'), 'good.txt/part')

    def test_empty_folder(self):
        self.refused(BAD, self.train('--data=nothing'), '.bin')

    def test_folder_with_an_empty_shard(self):
        self.refused(BAD, self.train('--data=' + self.shards(a=FINE, b=b'')), 'empty')

    def test_folder_of_two_kinds(self):
        self.refused(BAD, self.train('--data=' + self.shards(a=FINE, b=llmc())), 'one kind')

    def test_folder_of_two_widths(self):
        path = self.shards(a=llmc(), b=llmc(LLAMA3, 7, 200))
        self.refused(BAD, self.train('--data=' + path), 'one kind')

    def test_folder_with_a_folder_named_like_a_shard(self):
        path = self.shards(a=FINE)
        os.mkdir(os.path.join(path, 'b.bin'))
        self.refused(BAD, self.train('--data=' + path), 'folder')

    def test_folder_with_a_dangling_link(self):
        path = self.shards(a=FINE)
        os.symlink('nowhere', os.path.join(path, 'b.bin'))
        self.refused(MISSING, self.train('--data=' + path), 'b.bin')

    def test_validation_missing(self):
        self.refused(MISSING, self.train('--data=good.txt', '--validation=absent.txt'), 'absent.txt')

    def test_validation_empty(self):
        path = self.write('v.txt', '')
        self.refused(BAD, self.train('--data=good.txt', '--validation=' + path), 'empty')

    def test_validation_too_short(self):
        path = self.write('v2.txt', 'ab')
        self.refused(BAD, self.train('--data=good.txt', '--validation=' + path), 'v2.txt')

    def test_validation_over_the_vocabulary(self):
        path = self.write('v.bin', FINE + b'\xff\xff')
        self.refused(BAD, self.train('--data=good.bin', '--validation=' + path), '65535')

    def test_vocabulary_over_the_models(self):
        self.refused((BAD, CONFIG, USAGE), self.train('--data=good.txt', '--vocabulary=257'), '--vocabulary=257')

    def test_vocabulary_too_small_for_the_text(self):
        self.refused(BAD, self.train('--data=good.txt', '--vocabulary=60'), 'vocabulary')

    def test_text_for_a_model_of_features(self):
        self.refused((BAD, CONFIG), self.train('--data=good.txt', plan='mlp.plan'), 'features')

    def test_huge_sparse_file(self):
        path = self.write('huge.bin', b'')
        os.truncate(path, 1 << 42)
        self.refused((BAD, 74), self.train('--data=' + path), 'limit')


for inherited in [n for n in dir(Files) if n.startswith('test_')]:
    setattr(Places, inherited, None)  # counted once, there

if __name__ == '__main__':
    sys.exit(main())
