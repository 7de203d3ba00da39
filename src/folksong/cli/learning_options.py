"""Options of ``folksong train`` that stand for keys of the settings: how to step, and what to change in windows."""

from __future__ import annotations

from typing import Any

import click

from folksong.cli.common import Command

# The option's parameter -> the key in the model-training section, and the section within it.
KEYS = {
    "accumulate": ("accumulate_batches", None),
    "clip_norm": ("clip_gradient_norm", None),
    "weight_decay": ("weight_decay", "optimizer"),
    "schedule": ("schedule", None),
    "warmup_steps": ("warmup_steps", None),
    "frequency_masks": ("frequency_masks", "augmentation"),
    "time_masks": ("time_masks", "augmentation"),
    "gain": ("gain_db", "augmentation"),
}

OPTIONS = (
    click.option(
        "--accumulate",
        type=click.IntRange(1),
        metavar="K",
        help="Add up the gradients of K batches for each step.  [default: 1; this and the next: or as in --config]",
    ),
    click.option(
        "--clip-norm",
        type=click.FloatRange(0, min_open=True),
        metavar="NORM",
        help="Scale gradients down to this norm where theirs is larger.  [default: leave them]",
    ),
    click.option(
        "--weight-decay",
        type=click.FloatRange(0),
        metavar="W",
        help="The optimizer's weight decay, of all weights but biases and batch norm.  [default: the optimizer's own]",
    ),
    click.option(
        "--schedule",
        type=click.Choice(["plateau", "cosine", "one-cycle", "constant"]),
        help="How the learning rate moves.  [default: plateau]",
    ),
    click.option(
        "--warmup-steps",
        type=click.IntRange(0),
        metavar="N",
        help="Let the learning rate rise over the first N steps.  [default: 0]",
    ),
    click.option(
        "--frequency-masks",
        type=click.IntRange(0),
        metavar="N",
        help="SpecAugment: cover N ranges of mel bands of each training window.  [default: 0]",
    ),
    click.option(
        "--time-masks",
        type=click.IntRange(0),
        metavar="N",
        help="SpecAugment: cover N stretches of each training window.  [default: 0]",
    ),
    click.option(
        "--gain",
        type=click.FloatRange(0),
        metavar="DB",
        help="Waveforms: make each training window up to DB louder or softer, cut off at full scale.  [default: 0]",
    ),
)


def learning_options(command: Command) -> Command:
    """Add the options to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def changed_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return what was given as keys of the ``model-training`` section."""
    changes: dict[str, Any] = {}
    for name, (key, section) in KEYS.items():
        if options[name] is not None:
            place = changes if section is None else changes.setdefault(section, {})
            place[key] = options[name]
    return changes
