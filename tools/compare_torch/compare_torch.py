#!/usr/bin/env python3
"""Times the same GPT training step in PyTorch and in Millrace on this machine, in turns, and prints medians.

  compare_torch.py [--millrace PATH] [--rounds 3] [--layers 12 --heads 12 --width 768 --vocab 50257 --context 256]
                   [--micro-batch 4] [--micro-batches 4]

Four contenders, float32, AdamW, the same number of tokens a step:
  torch            one process, all cores, gradient accumulation over the micro-batches
  torch-pipeline   torch.distributed.pipelining, Schedule1F1B, two processes over gloo, one core each
  millrace-pp1     one rank, all cores
  millrace-pp2     1F1B, two ranks, one core each
Each runs once per round for a few steps; the first step of a run is not counted. A contender that cannot run here is
named with the reason. Needs torch and numpy; nothing else in Millrace does.
"""
import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--millrace', default='bazel-bin/tools/millrace')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=3, help='counted steps of a run')
    for name, value in dict(layers=12, heads=12, width=768, vocab=50257, context=256).items():
        parser.add_argument('--' + name, type=int, default=value)
    parser.add_argument('--micro-batch', type=int, default=4)
    parser.add_argument('--micro-batches', type=int, default=4)
    parser.add_argument('--only', default='torch,torch-pipeline,millrace-pp1,millrace-pp2')
    parser.add_argument('--role', default='', help=argparse.SUPPRESS)
    return parser.parse_args()


# ----------------------------------------------------------------------------------------------------------------------
# The model in PyTorch: the blocks of GPT-2, fused attention, tied embeddings in one process.


def torch_model(a):
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(a.width), nn.LayerNorm(a.width)
            self.c_attn, self.c_proj = nn.Linear(a.width, 3 * a.width), nn.Linear(a.width, a.width)
            self.c_fc, self.mlp_proj = nn.Linear(a.width, 4 * a.width), nn.Linear(4 * a.width, a.width)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (z.view(b, t, a.heads, c // a.heads).transpose(1, 2) for z in self.c_attn(self.ln_1(x)).split(c, 2))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.c_proj(y.transpose(1, 2).reshape(b, t, c))
            return x + self.mlp_proj(functional.gelu(self.c_fc(self.ln_2(x)), approximate='tanh'))

    class Part(nn.Module):
        """Blocks [first, last), with the embedding before the first block and the head after the last."""

        def __init__(self, first, last):
            super().__init__()
            if first == 0:
                self.wte, self.wpe = nn.Embedding(a.vocab, a.width), nn.Embedding(a.context, a.width)
            self.blocks = nn.ModuleList(Block() for _ in range(first, last))
            if last == a.layers:
                self.ln_f, self.head = nn.LayerNorm(a.width), nn.Linear(a.width, a.vocab, bias=False)
                if first == 0:
                    self.head.weight = self.wte.weight
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.normal_(p, std=0.02)

        def forward(self, x):
            if hasattr(self, 'wte'):
                x = self.wte(x) + self.wpe(torch.arange(a.context))
            for block in self.blocks:
                x = block(x)
            return self.head(self.ln_f(x)) if hasattr(self, 'head') else x

    return Part


def torch_loss(logits, labels):
    from torch.nn import functional
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))


def run_torch(a):
    import torch
    torch.manual_seed(0)
    model = torch_model(a)(0, a.layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    for step in range(a.steps + 1):
        tokens = torch.randint(0, a.vocab, (a.micro_batches, a.micro_batch, a.context + 1))
        start = time.perf_counter()
        for batch in tokens:
            (torch_loss(model(batch[:, :-1]), batch[:, 1:]) / a.micro_batches).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        print(f'STEP {time.perf_counter() - start:.6f}', flush=True)


def run_torch_pipeline(a):
    import torch
    import torch.distributed as dist
    from torch.distributed.pipelining import PipelineStage, Schedule1F1B
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    # The head costs as much as about four and a half blocks: the cut that balances the two stages.
    head = a.vocab / (12.0 * a.width)
    cut = min(a.layers - 1, max(1, round((a.layers + head) / 2)))
    part = torch_model(a)(0, cut) if rank == 0 else torch_model(a)(cut, a.layers)
    example = (torch.zeros(a.micro_batch, a.context, dtype=torch.long) if rank == 0
               else torch.zeros(a.micro_batch, a.context, a.width))
    stage = PipelineStage(part, rank, 2, torch.device('cpu'), input_args=(example,))
    schedule = Schedule1F1B(stage, a.micro_batches, loss_fn=torch_loss)
    optimizer = torch.optim.AdamW(part.parameters(), lr=3e-4)
    for step in range(a.steps + 1):
        tokens = torch.randint(0, a.vocab, (a.micro_batches * a.micro_batch, a.context + 1))
        dist.barrier()
        start = time.perf_counter()
        if rank == 0:
            schedule.step(tokens[:, :-1].contiguous())
        else:
            schedule.step(target=tokens[:, 1:].contiguous(), losses=[])
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        dist.barrier()
        if rank == 0:
            print(f'STEP {time.perf_counter() - start:.6f}', flush=True)
    dist.destroy_process_group()


# ----------------------------------------------------------------------------------------------------------------------


def shape_flags(a):
    return [f'--layers={a.layers}', f'--heads={a.heads}', f'--width={a.width}', f'--vocab={a.vocab}',
            f'--context={a.context}']


def seconds_of_torch(a, role):
    own = [sys.executable, os.path.abspath(__file__), f'--role={role}', f'--steps={a.steps}', *shape_flags(a),
           f'--micro-batch={a.micro_batch}', f'--micro-batches={a.micro_batches}']
    if role == 'torch':
        return steps_printed([subprocess.Popen(own, stdout=subprocess.PIPE, text=True)])
    processes = []
    for rank in range(2):
        env = dict(os.environ, RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT='29533',
                   OMP_NUM_THREADS='1')
        processes.append(subprocess.Popen(own, stdout=subprocess.PIPE, text=True, env=env))
    return steps_printed(processes)


def steps_printed(processes):
    outputs = [p.communicate()[0] for p in processes]
    if any(p.returncode for p in processes):
        raise RuntimeError('the process failed (see above)')
    return [float(line.split()[1]) for line in outputs[0].splitlines() if line.startswith('STEP')][1:]


def seconds_of_millrace(a, pp):
    with tempfile.TemporaryDirectory() as folder:
        model, out = Path(folder, 'gpt2.pb'), Path(folder, 'run')
        subprocess.run([a.millrace, 'model', 'gpt2', *shape_flags(a), f'--out={model}'], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([a.millrace, 'train', f'--model={model}', f'--pp={pp}', f'--micro-batch={a.micro_batch}',
                        f'--micro-batches={a.micro_batches}', '--schedule=1f1b', f'--steps={a.steps + 1}',
                        '--data=synthetic', '--clip-norm=1', '--eval-micro-batches=0', '--sample-bytes=0', '--quiet',
                        f'--threads={max(1, (os.cpu_count() or 1) // pp)}', f'--out={out}'], check=True, stdout=subprocess.DEVNULL)
        with open(out / 'metrics.csv', encoding='utf-8') as file:
            return [float(row['step_seconds']) for row in csv.DictReader(file)][1:]


def main():
    a = arguments()
    if a.role == 'torch':
        return run_torch(a)
    if a.role == 'torch-pipeline':
        return run_torch_pipeline(a)
    contenders = {
        'torch': lambda: seconds_of_torch(a, 'torch'),
        'torch-pipeline': lambda: seconds_of_torch(a, 'torch-pipeline'),
        'millrace-pp1': lambda: seconds_of_millrace(a, 1),
        'millrace-pp2': lambda: seconds_of_millrace(a, 2),
    }
    names = [name for name in a.only.split(',') if name in contenders]
    seconds, failed = {name: [] for name in names}, {}
    for _ in range(a.rounds):
        for name in names:
            if name in failed:
                continue
            try:
                seconds[name] += contenders[name]()
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                failed[name] = error
    tokens = a.micro_batch * a.micro_batches * a.context
    print(f'{"contender":16} {"steps":>5} {"median s":>9} {"min s":>8} {"max s":>8} {"tokens/s":>9}')
    for name in names:
        if name in failed:
            print(f'{name:16} could not run: {failed[name]}')
            continue
        s = seconds[name]
        print(f'{name:16} {len(s):5} {statistics.median(s):9.3f} {min(s):8.3f} {max(s):8.3f} '
              f'{tokens / statistics.median(s):9.1f}')


if __name__ == '__main__':
    main()
