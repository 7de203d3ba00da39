"""Does the fast training learn as plain PyTorch does? Training loss of both, on the same batches from the same weights.

    python benchmarks/loss_curves.py SHARDS --labels SPACE.labels.json [--front-end waveform] [--steps 60] [--seeds 2]

Plain is `plain_networks.py` in float32 with the optimizer's defaults, folksong's network trains as `folksong train`
does by default (bfloat16 where the processor multiplies it). Seeds differ in dropout alone, so that the spread over
seeds is the noise that a difference between the two has to be held against. The records must hold their tags.
"""

from __future__ import annotations

import argparse
from itertools import islice

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn
from torch.nn import functional

from folksong.labels import LabelSpace
from folksong.models.hardware import choose_precision, keep_memory
from folksong.models.tagger import Tagger
from folksong.shards.loader import WindowDataset, WindowLoader
from folksong.shards.reader import ShardReader
from folksong.training.optimizer import build_optimizer
from plain_networks import PlainTagger

BATCH, LEARNING_RATE, PARTS = 16, 1e-3, 4


def copy_weights(source: Tagger, target: PlainTagger) -> None:
    """Give the plain network the same weights; its layers come in the same order, with an axis less in some."""
    pairs = zip(layers(source), layers(target), strict=True)
    with torch.no_grad():
        for ours, theirs in pairs:
            theirs.weight.copy_(ours.weight.reshape(theirs.weight.shape))
            theirs.bias.copy_(ours.bias)


def layers(network: nn.Module) -> list[nn.Module]:
    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear)
    return [layer for layer in network.modules() if isinstance(layer, kinds)]


def losses(which: str, given: argparse.Namespace, dataset: WindowDataset, seed: int) -> list[float]:
    """Return the training loss of each step."""
    torch.manual_seed(0)
    tagger = Tagger(given.front_end, dataset.n_labels)
    model: nn.Module = tagger
    if which == "plain":
        model = PlainTagger(given.front_end, dataset.n_labels)
        copy_weights(tagger, model)
        optimizer: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    else:
        optimizer = build_optimizer(model.parameters(), "Adam", LEARNING_RATE, {})
    half = which == "folksong" and choose_precision("auto", gpu=False) == "bf16"
    loader = WindowLoader(dataset, BATCH, shuffle=True, drop_last=True)
    batches = (batch for _ in range(given.steps) for batch in loader)
    torch.manual_seed(seed)
    found = []
    for batch in islice(batches, given.steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(batch["x"])
        loss = functional.binary_cross_entropy_with_logits(logits.float(), batch["y"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards")
    parser.add_argument("--labels", required=True)
    parser.add_argument("--front-end", choices=["waveform", "log-mel-spectrogram"], default="waveform")
    parser.add_argument("--window", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    keep_memory()
    reader = ShardReader(given.shards)
    targets = LabelSpace.read(given.labels).encode(reader.tag_table()).astype(np.float32)
    labelled = np.flatnonzero(np.diff(targets.indptr))
    window_steps = reader.manifest.steps(given.window)
    dataset = WindowDataset(reader, labelled, sp.csr_matrix(targets[labelled]), window_steps, random=True)
    print(f"{given.front_end}, {given.steps} steps of {BATCH} windows of {given.window:g} s: mean loss")
    for which in ("plain", "folksong"):
        for seed in range(given.seeds):
            curve = losses(which, given, dataset, seed)
            parts = "  ".join(f"{part.mean():.4f}" for part in np.array_split(curve, PARTS))
            print(f"{which:>8}, seed {seed}: first {curve[0]:.4f}; quarters {parts}", flush=True)


if __name__ == "__main__":
    main()
