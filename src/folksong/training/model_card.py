"""The model card: what a run is, for whoever finds its folder."""

from __future__ import annotations

import html
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from folksong.files import atomic_write
from folksong.runs import Run
from folksong.splits import PARTS

N_SHOWN = 20
COMMANDS = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]")
"""Characters that a terminal obeys: escapes, bidirectional marks."""
PACKAGES = ("folksong", "torch", "numpy")


def write_model_card(run: Run, history: Sequence[Mapping[str, Any]], outcome: str) -> None:
    """Write ``model_card.md`` of a run, its history (a row an epoch), and why the training ended."""
    sections = [
        f"# Model card: {run.path.name}",
        f"A {run.front_end} tagger of {len(run.labels)} labels, by folksong {run.config['folksong']}. {outcome}",
        "## Data\n\n" + _data(run),
        "## Labels\n\n" + _labels(run),
        "## Settings\n\n" + _settings(run),
        "## Results\n\n" + _results(run, history),
        "## Versions\n\n"
        + "".join(f"- {name} {version(name)}\n" for name in PACKAGES)
        + f"- Python {platform.python_version()} on {platform.system()} {platform.machine()}\n",
    ]
    text = "\n\n".join(section.rstrip() for section in sections) + "\n"
    with atomic_write(run.model_card_path, "w") as stream:
        stream.write(html.escape(COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text), quote=False))


def _data(run: Run) -> str:
    shards, tags, audio = run.config["shards"], run.config["tags"], run.config["audio"]
    source = tags["path"] or f"the records' own tags (database {tags['database']})"
    rows = [
        f"- records: `{shards['folder']}`, {shards['n_tracks']} tracks, SHA-256 {shards['manifest_sha256'][:16]}",
        f"- tags: {source}, SHA-256 {tags['table_sha256'][:16]}",
        f"- audio: {audio['audio_format']} at {audio['sample_rate']} Hz, windows of {audio['window_seconds']:g} s"
        + (f", features {audio['preset']['name']}" if audio["preset"] else ""),
        f"- split: SHA-256 {run.split.sha256()[:16]}, {'by artist' if run.split.by_artist else 'not by artist'}",
        "",
        "| part | tracks used | without a label | labels without an example |",
        "|---|---|---|---|",
    ]
    for part in PARTS:
        counts = run.config["parts"][part]
        absent = _names(counts["absent_labels"]) or "none"
        rows.append(f"| {part} | {counts['tracks']} | {counts['unlabelled']} | {absent} |")
    return "\n".join(rows)


def _labels(run: Run) -> str:
    names = run.labels.names
    more = f", … ({len(names)} in all; see labels.json)" if len(names) > N_SHOWN else ""
    provenance = run.labels.provenance
    return (
        f"{_names(names)}{more}\n\n- builder: {provenance.get('builder', 'unknown')}\n"
        f"- SHA-256 {run.labels.sha256()[:16]}"
    )


def _names(names: Sequence[str]) -> str:
    """Return the first names as one line without links, pictures or ends of a table's cell."""
    text = ", ".join(" ".join(name.split()) for name in names[:N_SHOWN])
    return re.sub(r"[\[\]|`]", r"\\\g<0>", text)


def _settings(run: Run) -> str:
    return "\n".join(
        f"- {name}: {value}"
        for section in run.config["settings"].values()
        for name, value in section.items()
        if value is not None and name != "tags"
    )


def _results(run: Run, history: Sequence[Mapping[str, Any]]) -> str:
    if not history:
        return "No epoch was finished."
    best = [row for row in history if row["best"]][-1]
    names = ("macro_pr_auc", "micro_pr_auc", "macro_roc_auc", "micro_roc_auc", "validation_loss")
    rows = [
        f"{len(history)} epochs; best epoch {best['epoch']}, on centred windows of the validation part:",
        "",
    ]
    rows += ["| figure | value |", "|---|---|"]
    rows += [f"| {name} | {_figure(best.get(name))} |" for name in names]
    rows += [
        "",
        "The parts' own figures, with intervals and label by label, are in evaluation/ once it is evaluated.",
    ]
    return "\n".join(rows)


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
