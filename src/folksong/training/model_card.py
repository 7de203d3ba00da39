"""The model card: what a run is, for whoever finds its folder; ``model_card.md`` of the package holds its words."""

from __future__ import annotations

import html
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from folksong.drawing import fill_template
from folksong.files import atomic_write
from folksong.runs import Run

N_SHOWN = 20
COMMANDS = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]")
"""Characters that a terminal obeys: escapes, bidirectional marks."""
PACKAGES = ("folksong", "torch", "numpy")


def write_model_card(run: Run, history: Sequence[Mapping[str, Any]], outcome: str) -> None:
    """Write ``model_card.md`` of a run, its history (a row an epoch), and why the training ended."""
    text = fill_template(
        files("folksong.training") / "model_card.md",
        run=run,
        outcome=outcome,
        history=history,
        best=next((row for row in reversed(history) if row["best"]), {}),
        names=_names,
        n_shown=N_SHOWN,
        versions={name: version(name) for name in PACKAGES},
        platform=platform,
    )
    with atomic_write(run.model_card_path, "w") as stream:
        stream.write(html.escape(COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text), quote=False))


def _names(names: Sequence[str]) -> str:
    """Return the first names as one line without links, pictures or ends of a table's cell."""
    text = ", ".join(" ".join(name.split()) for name in names[:N_SHOWN])
    return re.sub(r"[\[\]|`]", r"\\\g<0>", text)
