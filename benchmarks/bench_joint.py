"""The joint space (Model 6): what its training costs beside classifying, and what scoring 10,000 tags costs a track.

    python benchmarks/bench_joint.py [--labels 1000] [--tags 10000] [--steps 6]

Training: steps of the log-mel and the waveform network (batches of 16 windows of 15 s of noise, 1,000 labels, 10 a
window): forward, loss, backward and Adam, the two taking turns, median. Heads: 2,000 tracks of 1,506 simulated numbers,
1,000 labels, in whole. Scoring: from the last hidden layer (500 numbers) or an embedding (1,506) to the scores of the
tags, one track.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from folksong.models.front_ends import FRONT_ENDS, LOG_MEL
from folksong.models.heads import EmbeddingHead, JointOutput
from folksong.models.tagger import Tagger
from folksong.training.config import LossSettings
from folksong.training.fit_head import Examples, fit_head
from folksong.training.losses import TaggingLoss
from folksong.training.train_head import fit_joint

JOINT = {"n_tag_numbers": 110}


def losses(n_labels: int, counts: torch.Tensor) -> tuple[TaggingLoss, TaggingLoss]:
    vectors = torch.randn(n_labels, JOINT["n_tag_numbers"])
    joint = LossSettings(kind="contrastive")
    return TaggingLoss(LossSettings(kind="bce")), TaggingLoss(joint, vectors, counts)


def a_step(tagger: Tagger, loss: TaggingLoss, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(tagger.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss(tagger(x), y).backward()
        optimizer.step()

    return step


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def networks(n_labels: int, n_steps: int) -> None:
    y = (torch.rand(16, n_labels) < 10 / n_labels).float()
    for front_end in FRONT_ENDS:
        x = torch.randn(16, 96, 469) if front_end == LOG_MEL else torch.randn(16, 240_000)
        two = [
            a_step(Tagger(front_end, n_labels, joint=joint), loss, x, y)
            for joint, loss in zip((None, JOINT), losses(n_labels, y.sum(dim=0) + 1), strict=True)
        ]
        taken: list[list[float]] = [[], []]
        for _ in range(n_steps):
            for number, step in enumerate(two):
                taken[number].append(seconds(step))
        plain, joint = (statistics.median(times[1:]) for times in taken)
        print(
            f"{front_end}, {n_labels} labels: {plain:.3f} s a step, joint {joint:.3f} s: {joint / plain:.2f} times"
        )


def heads(n_labels: int) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(2000, 50)
    x = hidden @ torch.randn(50, 1506) + torch.randn(2000, 1506)
    y = (hidden @ torch.randn(50, n_labels) + torch.randn(2000, n_labels) > 17).float()
    examples = Examples(x, y, y)
    plain_loss, joint_loss = losses(n_labels, y.sum(dim=0))
    plain = seconds(lambda: fit_head(EmbeddingHead(1506, n_labels), examples, None, plain_loss))
    joint = seconds(lambda: fit_joint(EmbeddingHead(1506, n_labels, joint=JOINT), examples, None, joint_loss))
    print(f"heads, {n_labels} labels: {plain:.1f} s, joint {joint:.1f} s: {joint / plain:.2f} times")


def scoring(n_tags: int, n_features: int) -> None:
    layer, x = JointOutput(n_features, n_tags, **JOINT).eval(), torch.randn(1, n_features)
    layer.tag_vectors = torch.randn(n_tags, JOINT["n_tag_numbers"])
    with torch.inference_mode():
        taken = [1000 * seconds(lambda: torch.sigmoid(layer(x))) for _ in range(51)]
    each = statistics.median(taken[1:])
    print(f"{n_tags} tags from {n_features} numbers: {each:.2f} ms a track; the first one {taken[0]:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--tags", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=6)
    given = parser.parse_args()
    for n_features in (500, 1506):
        scoring(given.tags, n_features)
    networks(given.labels, given.steps)
    heads(given.labels)


if __name__ == "__main__":
    main()
