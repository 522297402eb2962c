"""pp x dp x sharding level x transport: equal weights, to the bit, wherever the design promises them, and equal losses
everywhere.

A class is what decides the bits: which replica takes which micro-batch (dp), and the order of the sum. Everything in
one class must leave the same weights file and the same curve; across classes losses agree within 1e-6.
"""
import dataclasses
import os
import re
import shutil
import subprocess

import runs

STEPS = 20
MICRO_BATCHES = 12  # of a step, over all replicas
STAGE_REPLICAS = '3-1'  # replicas of each of two stages: as many ranks as 2 x 2
SHAPES = ((1, 1), (2, 1), (1, 2), (4, 1), (2, 2), (1, 4), (2, 3), STAGE_REPLICAS)
LEVELS = (0, 1, 2, 3)
TRANSPORTS = ('in_process', 'gloo', 'mpi')
MICRO_BATCH_FIRST, REPLICA_FIRST = 'micro-batch-first', 'replica-first'
LAUNCHERS = re.compile(r'MILLRACE_|RANK|WORLD_SIZE|LOCAL_|MASTER_|GROUP_|OMPI_|PMI|PET_|SLURM_|TORCHELASTIC_')


@dataclasses.dataclass(frozen=True)
class Layout:
    """A plan of the product. `more` are further flags of `millrace partition`."""
    pp: int
    dp: int
    level: int
    sum_order: str = MICRO_BATCH_FIRST
    more: tuple = ()

    @property
    def identity(self):
        # One replica adds in one order, whatever it is called.
        return (self.dp, self.more, self.sum_order if self.dp > 1 else '')

    def flags(self):
        replicas = self.dp if not self.more else 1
        asked = (f'--sum-order={self.sum_order}',) if self.level == 0 and self.sum_order == REPLICA_FIRST else ()
        return (f'--pp={self.pp}', f'--shard-optimizer={self.level}', '--bucket-mb=0.02', '--micro-batch=1',
                f'--micro-batches={MICRO_BATCHES // replicas}',
                *((f'--dp={self.dp}',) if not self.more else ()), *asked, *self.more)

    def __str__(self):
        order = ' replicas first' if self.sum_order == REPLICA_FIRST else ''
        return f'{self.pp}x{self.dp} level {self.level}{order}{"".join(" " + flag for flag in self.more)}'


def all_layouts(shapes=SHAPES, levels=LEVELS):
    for pp, dp in (shape for shape in shapes if shape != STAGE_REPLICAS):
        for level in levels:
            if dp == 1 and level > 0:
                continue  # there is nobody to share with
            yield Layout(pp, dp, level, REPLICA_FIRST if level >= 2 else MICRO_BATCH_FIRST)
        if dp > 1:
            yield Layout(pp, dp, 0, REPLICA_FIRST)  # the bridge between the orders
    if STAGE_REPLICAS in shapes:
        more = ('--stage-replicas=3,1',)
        for level in levels:
            yield Layout(2, 2, level, REPLICA_FIRST if level >= 2 else MICRO_BATCH_FIRST, more)
        yield Layout(2, 2, 0, REPLICA_FIRST, more)


class Product:
    """Plans and runs in one folder. `transports` are those that this machine has."""

    def __init__(self, folder):
        self.folder = folder
        self.text = os.path.join(folder, 'words.txt')
        self.graph = os.path.join(folder, 'gpt.textproto')
        self.environment = {name: value for name, value in os.environ.items() if not LAUNCHERS.match(name)}
        self.environment.update(TMPDIR=folder, PMIX_SERVER_TMPDIR=folder)
        runs.write_text(self.text)
        self.call('model', 'gpt2', '--layers=4', '--heads=2', '--width=32', '--vocab=256', '--context=32',
                  '--dropout=0.1', f'--out={self.graph}', check=True)
        self.plans = {}
        doctor = self.call('doctor', '--json', check=True).stdout
        self.transports = [name for name in TRANSPORTS
                           if name != 'mpi' or ('"mpi"' in doctor and shutil.which('mpirun'))]

    def call(self, *arguments, check=False):
        done = subprocess.run([runs.PROGRAM, *arguments], capture_output=True, text=True, errors='replace', check=False,
                              env=self.environment)
        assert not check or done.returncode == 0, done.stderr
        return done

    def plan(self, layout):
        """The plan's path; None when this version has no such level or order yet (and says so)."""
        if layout not in self.plans:
            path = os.path.join(self.folder, re.sub(r'\W+', '-', str(layout)) + '.plan')
            done = self.call('partition', self.graph, *layout.flags(), f'--out={path}')
            if done.returncode != 0:
                unknown = done.returncode == 2 and re.search(r'shard-optimizer|sum-order|replicas', done.stderr)
                assert unknown, f'{layout}: {done.stderr}'
                path = None
            self.plans[layout] = path
        return self.plans[layout]

    def run(self, layout, transport):
        """Trains, and gives the digest of the weights and the curve."""
        plan = self.plan(layout)
        out = plan[:-len('.plan')] + '-' + transport
        train = [runs.PROGRAM, 'train', f'--plan={plan}', f'--data={self.text}', f'--steps={STEPS}', '--threads=1',
                 '--learning-rate=3e-3', '--eval-micro-batches=0', '--sample-bytes=0', f'--comm={transport}',
                 f'--out={out}']
        ranks = layout.pp * layout.dp
        alone = transport != 'in_process' and ranks == 1
        if alone:
            train[-2] = '--comm=in_process'
        elif transport == 'mpi':
            train = ['mpirun', '-np', str(ranks), '--oversubscribe', '--allow-run-as-root', *train]
        done = subprocess.run(train, capture_output=True, text=True, errors='replace', check=False,
                              env=self.environment, timeout=600)
        assert done.returncode == 0, f'{layout} over {transport}:\n{done.stderr}'
        result = runs.weights_digest(out), runs.curve(out)
        shutil.rmtree(out)
        return result


def compare(product, layouts, transports):
    """Trains every layout over every transport. Returns how many runs there were, and what is wrong, in words."""
    first, wrong, count, missing = {}, [], 0, set()
    for layout in layouts:
        if product.plan(layout) is None:
            missing.add(f'level {layout.level}, {layout.sum_order}')
            continue
        for transport in transports:
            if layout.pp * layout.dp == 1 and transport != 'in_process':
                continue
            digest, curve = product.run(layout, transport)
            count += 1
            name = f'{layout} over {transport}'
            of, other_digest, other_curve = first.setdefault(layout.identity, (name, digest, curve))
            if digest != other_digest:
                wrong.append(f'{name} and {of} leave different weights')
            if curve != other_curve:
                wrong.append(f'{name} and {of} have different curves')
    if first:
        reference, _, reference_curve = next(iter(first.values()))
        losses = [float(row[1]) for row in reference_curve]
        for name, _, curve in first.values():
            worst = max(abs(float(row[1]) - loss) / abs(loss) for row, loss in zip(curve, losses))
            if len(curve) != STEPS or worst > 1e-6:
                wrong.append(f'losses of {name} and {reference} differ by {worst:.2g}')
    return count, wrong, sorted(missing)
