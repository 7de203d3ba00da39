"""``folksong predict``, ``search`` and ``export``: a trained tagger in use, here and elsewhere.

Args:
    files (FILE...):
    tags (TAG...): Of a run in the joint space (head joint): score these instead of its labels, any words.
    top (N): The N best labels of each file.  [default: 5; all with --threshold, --json or --csv]
    threshold (T|tuned): Only labels with a score of at least T, or of their own thresholds (`folksong evaluate
        --tune` finds them).
    json: Print one JSON document: file, seconds, labels with scores.
    csv: Print CSV: file, label, score; one line a label.
    hop_seconds (--hop SECONDS): From the beginning of one window to the next.
        [default: as evaluated, or as thresholds were tuned]
    precision: bf16 and 16 are faster where the hardware multiplies in them, and move scores by up to about 0.01;
        auto takes bf16 where it does.  [default: as evaluated, or as thresholds were tuned]
    over_time (OUT): Of one recording: the scores of each window, as CSV, and as a picture in OUT.png.
    write_tags: Write the labels into the files' own tags: those with --threshold, or the --top N. Needs mutagen.
    field: With --write-tags: into which field.
    append: With --write-tags: add to what the field says. Without this and --replace, files whose field says
        something are left alone, and named.
    replace: With --write-tags: replace what the field says.
    record (FILE): With --write-tags: add what the field said to this file, from which "folksong tags restore" puts it
        back.  [default: a new written-tags-DATE-TIME.jsonl here]
    dry_run: With --write-tags: only say what would be written.
"""

import math
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import click

import folksong as fs
from folksong.cli.command import (
    Count,
    Failures,
    File,
    Folder,
    FolksongCommand,
    FolksongGroup,
    Form,
    Output,
    OutputFile,
    echo_csv,
    echo_json,
    echo_table,
    note,
    shown,
    wants_progress,
)
from folksong.cli.parameters import FLAGS
from folksong.errors import FolksongError, counted, nearest, printable
from folksong.journal import lock_of
from folksong.recordings import walk_recordings

DEFAULT_TOP = 5
TUNED = "tuned"


class Threshold(click.ParamType[float | str]):
    """A score from 0 to 1, or the word ``tuned``."""

    name = "threshold"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == TUNED:
            return TUNED
        try:
            score = float(value)
        except ValueError:
            score = math.nan
        if math.isnan(score):
            hint = nearest(value, [TUNED])
            self.fail(f"{value!r} is neither a score from 0 to 1 nor the word {TUNED!r}{hint}", param, ctx)
        return float(click.FloatRange(0, 1)(score, param, ctx))


Pictured = Annotated[str | None, OutputFile(".png")]
Limit = Annotated[float | str | None, Threshold()]
Existing = Annotated[Literal["append", "replace"] | None, FLAGS]


@click.command(cls=FolksongCommand, of="prediction.load_tagger:load_tagger")
def predict(
    run: File, files: tuple[File, ...], *, top: Count | None = None, threshold: Limit = None, form: Form = None,
    device: str | None = None, over_time: Pictured = None, write_tags: bool = False,
    field: Literal["genre", "grouping", "mood"] = "grouping", existing: Existing = None,
    record: File | None = None, dry_run: bool = False, **settings: Any,
) -> None:  # fmt: skip
    """Print the labels that the tagger of RUN gives to recordings, with scores from 0 to 1.

    Each FILE is a recording (mp3, ogg, flac, wav, m4a, …; the content decides) or a folder of recordings. A whole
    track is heard in windows as long as those of the training, whose scores are averaged. A file that cannot be read
    is named on stderr and passed over; the exit code is then 1.

    Example:
      folksong predict runs/log-mel song.mp3 --top 3
      folksong predict runs/joint song.mp3 --tags "slow sad piano" "desert blues"
      folksong predict runs/log-mel music/ --csv > tags.csv
      folksong predict runs/log-mel song.mp3 --over-time song.csv
      folksong predict runs/log-mel music/ --write-tags --threshold tuned --dry-run
    """
    from tqdm import tqdm

    from folksong.tags.file_tags import write_labels

    if write_tags:
        _check_writing(top is not None or threshold is not None, record)
    elif existing or record or dry_run:
        raise click.UsageError("--append, --replace, --record and --dry-run are for --write-tags")
    tagger = fs.load_tagger(run, device=device, **settings)
    if threshold == TUNED and tagger.thresholds is None:
        raise FolksongError(f"{run}: has no tuned thresholds; `folksong evaluate {run} --tune` finds them")
    limit = tagger.thresholds if isinstance(threshold, str) else threshold
    if over_time is not None:
        if write_tags or form or len(files) != 1 or Path(files[0]).is_dir():
            raise click.UsageError("--over-time is of one recording, without --write-tags, --json and --csv")
        _write_over_time(tagger.over_time(files[0]), over_time)
        return
    failed = Failures()
    paths = list(_recordings(files, failed))
    n_files = len(paths) + failed.number
    found = tagger.predict_files(paths, on_error=failed)
    writing = None
    if write_tags:
        kept = record or f"written-tags-{datetime.now():%Y-%m-%d-%H%M%S}.jsonl"
        write = partial(write_labels, field=field, existing=existing or "keep", record=kept, dry_run=dry_run)
        writing = _Writing(write, lambda one: [label for label, _ in one.ranked(top, limit)], failed)
        found = writing.over(found)
    bar = tqdm(found, total=len(paths), unit="file", leave=False, disable=not wants_progress())
    try:
        with bar as predictions:
            _PRINTERS[form](predictions, top, limit)
    finally:  # after Ctrl-C too
        if writing is not None:
            writing.sum_up(n_files)
    failed.end(f"of {n_files} could not be tagged{' and written' if write_tags else ''}")


def _check_writing(chosen: bool, record: str | None) -> None:
    from folksong.tags.file_tags import check_mutagen, read_record

    check_mutagen()
    if not chosen:
        raise click.UsageError("--write-tags: which labels? give --threshold or --top")
    if record is not None and Path(record).exists():
        read_record(record)  # never add to a file of another kind


def _write_over_time(found: Any, path: str) -> None:
    found.write(path)
    found.draw(f"{path}.png")
    note(f"wrote {path} and {path}.png: {len(found.starts)} windows")


@dataclass
class _Writing:
    """Labels on their way into files' own tags, and what became of them."""

    write: partial[Any]
    labels_of: Callable[[Any], list[str]]
    report: Failures
    n_changed: int = 0
    n_kept: int = 0

    def over(self, predictions: Iterator[Any]) -> Iterator[Any]:
        """Yield the predictions after their labels were written into the files; say what changed."""
        field, verb = self.write.keywords["field"], "would be" if self.write.keywords["dry_run"] else "is now"
        for prediction in predictions:
            labels = self.labels_of(prediction)
            try:
                change = self.write(prediction.file, labels)
            except FolksongError as error:
                self.report(prediction.file, error)
            else:
                before, after = ("; ".join(values) or "empty" for values in (change.before, change.after))
                if change.after != change.before:
                    self.n_changed += 1
                    note(f"{prediction.file}: {field} {verb} {after} (was {before})")
                else:
                    self.n_kept += bool(change.before and labels)
                    note(f"{prediction.file}: {field} stays {before}")
            yield prediction

    def sum_up(self, n_files: int) -> None:
        """Say how many files were written, which were left alone, and how to put back what was there."""
        field, existing, record, dry_run = (
            self.write.keywords[name] for name in ("field", "existing", "record", "dry_run")
        )
        done = (
            f"dry run: nothing was written; {field} would change in"
            if dry_run
            else f"{field} was written into"
        )
        note(f"{done} {self.n_changed} of {counted(n_files, 'file')}")
        if existing == "keep" and self.n_kept:
            note(
                f"{self.n_kept} left alone: {field} says something; --append adds to that, --replace replaces it"
            )
        if self.n_changed and not dry_run:
            lock_of(record).unlink(missing_ok=True)
            note(f"{record}: what {field} said; `folksong tags restore {shlex.quote(record)}` puts it back")


def _recordings(files: tuple[str, ...], report: Failures) -> Iterator[str]:
    """Yield each file, and each folder's recordings; a folder without any is reported."""
    for file in files:
        if not Path(file).is_dir():
            yield file
            continue
        inside = [str(Path(file) / name) for name in walk_recordings(file)]
        if not inside:
            report(file, FolksongError(f"{file}: holds no recording"))
        yield from inside


def _print_table(predictions: Iterator[Any], top: int | None, threshold: Any) -> None:
    from tqdm import tqdm

    limit = DEFAULT_TOP if top is None and threshold is None else top
    for prediction in predictions:
        pairs = prediction.ranked(limit, threshold)
        names = [shown(label).replace("\n", "\\n") for label, _ in pairs]
        width = max(map(len, names), default=0)
        lines = [f"  {name:<{width}}  {score:.3f}" for name, (_, score) in zip(names, pairs, strict=True)]
        if not pairs:
            silent, quiet = "silence: there is nothing to hear", "no label reaches its threshold"
            lines = [f"  {silent if prediction.silent else quiet}"]
        with tqdm.external_write_mode():
            click.echo("\n".join([f"{printable(prediction.file)} ({prediction.seconds:.1f} s)", *lines]))


def _print_csv(predictions: Iterator[Any], top: int | None, threshold: Any) -> None:
    rows = (
        (printable(prediction.file), label, f"{score:.6f}")
        for prediction in predictions
        for label, score in prediction.ranked(top, threshold)
    )
    echo_csv(rows, ("file", "label", "score"))


def _print_json(predictions: Iterator[Any], top: int | None, threshold: Any) -> None:
    echo_json([
        {
            "file": printable(one.file),
            "seconds": round(one.seconds, 3),
            **({"silent": True} if one.silent else {}),
            "labels": [{"label": name, "score": round(score, 6)} for name, score in one.ranked(top, threshold)],
        }
        for one in predictions
    ])  # fmt: skip


_PRINTERS = {None: _print_table, "csv": _print_csv, "json": _print_json}


@click.command(cls=FolksongCommand, of="prediction.search:search", without=("on_error",))
def search(
    run: File, folder: Folder, query: str, *, top: Count = 10, csv: bool = False, **settings: Any
) -> None:  # fmt: skip
    """Print the recordings of FOLDER that sound most like QUERY, words of any kind, by a RUN in the joint space.

    Recordings are heard once; where they lie is kept in the run. Cosines from -1 to 1 are printed, best first.

    Example:
      folksong search runs/any music/ "desert blues"

    Args:
        top: So many.
        csv: Print CSV: file, score.
    """
    failed = Failures()
    rows = [
        (printable(name), score)
        for name, score in fs.search(run, folder, query, top=top, on_error=failed, **settings)
    ]
    if csv:
        echo_csv(((name, f"{score:.6f}") for name, score in rows), ("file", "score"))
    else:
        echo_table(rows, ("recording", "cosine"), floats=".3f")
    failed.end("could not be heard")


@click.group(cls=FolksongGroup)
def export() -> None:
    """A trained tagger for use elsewhere: safetensors and JSON, ONNX, or from a Keras model."""


@export.command
def safetensors(run: File, folder: Folder) -> None:
    """Write RUN's best tagger into FOLDER: safetensors, a card, and JSON (labels, thresholds, preset).

    Example:
      folksong export safetensors runs/mel models/mel
    """
    from folksong.export.folder import export_folder

    click.echo(f"wrote {export_folder(fs.Run.open(run), folder)}")


@export.command(of="export.folder:push_to_hub")
def hub(model: File, name: str, **settings: Any) -> None:
    """Upload MODEL, a run or an exported folder, to the Hugging Face Hub as NAME, hf://user/name.

    Example:
      folksong export hub runs/mel hf://me/mel --dry-run

    Args:
        private: A repository that is made is only its owner's.
        dry_run: Only print what would be uploaded.
    """
    from folksong.export.folder import push_to_hub

    listed = push_to_hub(model, name, **settings)
    echo_table(listed, ("file", "bytes"))
    click.echo(
        f"{'would upload' if settings.get('dry_run') else 'uploaded'} {counted(len(listed), 'file')} to {name}"
    )


@export.command
def onnx(run: File, path: Output) -> None:
    """Write RUN's best tagger to PATH as one ONNX graph: waveform in, label scores out, log-mel included.

    Example:
      folksong export onnx runs/mel mel.onnx
    """
    from folksong.export.onnx import export_onnx

    click.echo(f"wrote {export_onnx(fs.Run.open(run), path)}")


@export.command(of="export.keras_file:import_keras")
def keras(model: File, folder: Folder, *, labels: File, **settings: Any) -> None:
    """Turn MODEL of the earlier project, a Keras HDF5 file or a TensorFlow checkpoint's index, into an exported folder.

    Example:
      folksong export keras mymodel.h5 models/old --labels top50.labels.json
      folksong export keras epoch3-1.index models/old --labels top50.labels.json

    Args:
        labels: Its outputs, in order: a *.labels.json file.
        preset: Features of a log-mel model.
        window_seconds (--window): Its window in seconds.
    """
    from folksong.export.keras_file import import_keras

    click.echo(f"wrote {import_keras(model, folder, fs.LabelSpace.read(labels), **settings)}")
