#!/usr/bin/env python3
"""How fast PyTorch trains GPT-2 on this machine: the figure to stand beside ours.

  python3 pytorch_gpt2.py [--model=124M] [--sequences=64] [--length=1024] [--steps=20] [--json=FILE]

bfloat16 autocast, torch.compile, fused AdamW, scaled_dot_product_attention (flash), random tokens; tied output matrix.
Model FLOPs utilisation counts 6 N + 12 layers x length x width per token, N without the position table, as for ours.
"""
import argparse
import json
import sys
import time

# layers, heads, width
MODELS = {'124M': (12, 12, 768), '350M': (24, 16, 1024), '774M': (36, 20, 1280), '1.5B': (48, 25, 1600)}
VOCABULARY = 50304  # a multiple of 64, as both sides use
PEAK_TFLOPS = 989   # dense bfloat16 of an H100 or H200


def report(flags, gpu, version, figures=(), trouble=''):
    whole = {'part': 'pytorch', 'gpu': gpu, 'libraries': version, 'trouble': '', 'cases': [], 'figures': list(figures)}
    if trouble:
        whole['cases'].append({'suite': 'PyTorch', 'name': 'GPT-2', 'result': 'skipped', 'seconds': 0, 'why': trouble})
        print(f'skipped  PyTorch.GPT-2: {trouble}')
    for figure in figures:
        print(f'{figure["name"]:52} {figure["value"]:10.1f} {figure["unit"]}')
    if flags.json:
        with open(flags.json, 'w', encoding='utf-8') as out:
            json.dump(whole, out, indent=1)


def model_of(torch, layers, heads, width, length):
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            batch, tokens, _ = x.shape
            parts = self.qkv(self.norm1(x)).split(width, dim=2)
            q, k, v = (part.view(batch, tokens, heads, -1).transpose(1, 2) for part in parts)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))
            return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate='tanh'))

    class Gpt2(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(VOCABULARY, width), nn.Embedding(length, width)
            self.blocks = nn.ModuleList(Block() for _ in range(layers))
            self.norm = nn.LayerNorm(width)

        def forward(self, x, labels):
            h = self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device))
            for block in self.blocks:
                h = block(h)
            scores = self.norm(h) @ self.tokens.weight.t()
            return functional.cross_entropy(scores.flatten(0, 1), labels.flatten())

    return Gpt2()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--model', default='124M', choices=MODELS)
    parser.add_argument('--sequences', type=int, default=64)
    parser.add_argument('--length', type=int, default=1024)
    parser.add_argument('--steps', type=int, default=20)
    parser.add_argument('--json', default='')
    flags = parser.parse_args()
    try:
        import torch
    except ImportError as error:
        return report(flags, '', '', trouble=f'no PyTorch: {error}')
    version = f'PyTorch {torch.__version__}'
    if not torch.cuda.is_available():
        return report(flags, '', version, trouble='PyTorch sees no CUDA device')
    layers, heads, width = MODELS[flags.model]
    torch.manual_seed(1)
    torch.set_float32_matmul_precision('high')
    model = model_of(torch, layers, heads, width, flags.length).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    step_model = torch.compile(model)
    tokens = torch.randint(0, VOCABULARY, (flags.sequences, flags.length + 1), device='cuda')

    def step():
        with torch.autocast('cuda', dtype=torch.bfloat16):
            loss = step_model(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(3):
        step()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(flags.steps):
        step()
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / flags.steps
    per_step = flags.sequences * flags.length
    parameters = sum(p.numel() for p in model.parameters()) - flags.length * width
    flops = (6 * parameters + 12 * layers * flags.length * width) * per_step
    name = f'PyTorch GPT-2 {flags.model}, {flags.sequences} x {flags.length} tokens a step'
    figures = [{'name': f'{name}: speed', 'value': per_step / seconds / 1000, 'unit': 'ktokens/s', 'roof': 0, 'why': ''},
               {'name': f'{name}: products', 'value': flops / seconds / 1e12, 'unit': 'TFLOP/s', 'roof': PEAK_TFLOPS,
                'why': ''},
               {'name': f'{name}: memory', 'value': torch.cuda.max_memory_allocated() / 2**30, 'unit': 'GiB', 'roof': 0,
                'why': ''}]
    report(flags, torch.cuda.get_device_name(), version, figures)


if __name__ == '__main__':
    sys.exit(main())
