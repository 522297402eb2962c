#!/usr/bin/env python3
"""Writes the golden files of tests/golden from Hugging Face's own GPT-2 and Llama.

One file is one batch: every parameter, the token ids, the labels, the mean loss and the gradient of every parameter of that
loss, as an independent implementation computes them in float64 and rounds them to float32.

Usage: make_golden.py OUT_FOLDER        (needs torch and transformers; nothing else in Millrace does)

The files are safetensors with the metadata {"millrace.golden": "1", "kind": ..., "config": JSON of the numbers below}.
Tensors: "tokens" and "labels" I64 [batch, sequence]; "loss" F32 []; "param/NAME" and "grad/NAME" F32.
"""
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

BATCH, SEQUENCE = 3, 23

GPT2 = dict(layers=2, heads=4, width=32, vocab=101, context=32)
LLAMA = dict(layers=2, heads=4, kv_heads=2, width=32, hidden=88, vocab=97, context=32, theta=10000.0, epsilon=1e-5)


def gpt2():
    c = transformers.GPT2Config(n_layer=GPT2['layers'], n_head=GPT2['heads'], n_embd=GPT2['width'],
                                vocab_size=GPT2['vocab'], n_positions=GPT2['context'], resid_pdrop=0.0, embd_pdrop=0.0,
                                attn_pdrop=0.0, attn_implementation='eager')
    return 'gpt2', GPT2, transformers.GPT2LMHeadModel(c), lambda name: name.removeprefix('transformer.')


def llama():
    c = transformers.LlamaConfig(num_hidden_layers=LLAMA['layers'], num_attention_heads=LLAMA['heads'],
                                 num_key_value_heads=LLAMA['kv_heads'], hidden_size=LLAMA['width'],
                                 intermediate_size=LLAMA['hidden'], vocab_size=LLAMA['vocab'],
                                 max_position_embeddings=LLAMA['context'], rope_theta=LLAMA['theta'],
                                 rms_norm_eps=LLAMA['epsilon'], tie_word_embeddings=False, attn_implementation='eager')
    return 'llama', LLAMA, transformers.LlamaForCausalLM(c), lambda name: name


def golden(kind, config, model, rename):
    generator = torch.Generator().manual_seed(20240327)
    model = model.float()
    with torch.no_grad():  # larger than the usual initial values, so that every part of the model matters
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    stored = {rename(n): p.detach().clone() for n, p in model.named_parameters()}

    model = model.double().eval()
    tokens = torch.randint(0, config['vocab'], (BATCH, SEQUENCE), generator=generator)
    labels = torch.randint(0, config['vocab'], (BATCH, SEQUENCE), generator=generator)
    labels[0, 3] = labels[2, SEQUENCE - 1] = -100  # ignored
    logits = model(input_ids=tokens).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, config['vocab']), labels.reshape(-1), ignore_index=-100)
    loss.backward()

    tensors = {'tokens': tokens, 'labels': labels, 'loss': loss.detach().float()}
    for name, parameter in model.named_parameters():
        tensors['param/' + rename(name)] = stored[rename(name)].contiguous()
        tensors['grad/' + rename(name)] = parameter.grad.float().contiguous()
    metadata = {'millrace.golden': '1', 'kind': kind, 'config': json.dumps(config, sort_keys=True),
                'torch': torch.__version__, 'transformers': transformers.__version__}
    return tensors, metadata, loss.item()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    torch.manual_seed(1)
    for make in (gpt2, llama):
        kind, config, model, rename = make()
        tensors, metadata, loss = golden(kind, config, model, rename)
        path = out / f'{kind}.safetensors'
        save_file(tensors, path, metadata)
        print(f'{path}: loss {loss:.9f}, {len(tensors)} tensors, {path.stat().st_size} bytes')


if __name__ == '__main__':
    main()
