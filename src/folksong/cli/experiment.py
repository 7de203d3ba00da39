"""``folksong experiment``: a plan of many runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from folksong.cli.command import Count, File, Folder, FolksongCommand, Output
from folksong.cli.common import echo_table, note, wants_progress


@click.command(cls=FolksongCommand, resumable=True)
def experiment(
    plan: str | None = None, *, show_list: bool = False, write_plan: Output | None = None, out: Folder | None = None,
    tags: File | None = None, audio: File | None = None, shards: Sequence[str] = (), artists: File | None = None,
    split: File | None = None, vectors: str | None = None, truth: File | None = None, demo: Folder | None = None,
    changes: Sequence[str] = (), jobs: Count = 1, with_report: bool = True,
) -> None:  # fmt: skip
    """Train and evaluate every cell of PLAN: label spaces x front-ends x losses x seeds.

    PLAN is a file, or the name of a plan that ships with folksong (--list). A cell's folder is named by a hash of all
    that goes into it: the same command goes on where it was stopped, and a changed plan trains only what has changed.
    A cell that fails is named, and the others go on; the exit code is then 1.

    A plan with a [search] section tries settings in the place of its own: all combinations, drawn ones, or those that
    Optuna chooses (pip install 'folksong[search]'). The same command given again, also at the same time, goes on with
    the same search.

    \b
    Example:
      folksong experiment all-models-small --demo demo
      folksong experiment all-models --tags lastfm_tags.db --audio tracks.csv --artists tracks.csv \\
          --vectors glove.6B.200d.txt --out answer
    \b
    Example of a plan:
      [data]
      tags = "lastfm_tags.db"
      shards = { "log-mel-spectrogram" = "shards/mel", "waveform" = "shards/wave" }
      [spaces]
      top = { builder = "top", n = 100 }
      filtered = { builder = "drop", of = "top" }
      [[grid]]
      spaces = ["top", "filtered"]
      front_ends = ["log-mel-spectrogram"]
      seeds = [0, 1, 2]
    \b
    Example of a search, added to a plan:
      [search]
      sampler = "tpe"
      trials = 30
      figure = "macro_pr_auc"
      [search.parameters]
      "spaces.top.n" = [50, 100, 200]
      "settings.model-training.optimizer.learning_rate" = { low = 1e-4, high = 1e-2, log = true }

    Args:
        show_list (--list): List the plans that ship with folksong.
        write_plan (FILE): Write a copy of the shipped PLAN to edit, and stop.
        out (-o, --out DIR): The experiment's folder.  [default: the plan's name without its ending]
        tags (SOURCE): The tags (data.tags), of any kind.
        audio: A track catalogue or a folder of recordings (data.audio); shards are written from it into DIR.
        shards (FRONT-END=DIR): Shards that are there (data.shards).
        artists (CSV): For a split by artist (data.artists).
        split (FILE): A split that is there (data.split).
        vectors (SOURCE): Word vectors (data.vectors).
        truth (CSV): What each tag means: tag and concept (data.truth).
        demo (FOLDER): Take all of these from the synthetic corpus in FOLDER, as `folksong demo` makes it; make it if
            need be.
        changes (--set KEY=VALUE): Any other setting of the plan, for example --set spaces.hybrid.n_clusters=60.
        jobs (-j, --jobs): Processes; the processor's cores are shared out among them.
        with_report (--report/--no-report): Write DIR/report.html.
    """
    from folksong.experiment import read_plan, run_experiment, run_search, shipped_plan, shipped_plans
    from folksong.files import atomic_write

    if show_list:
        rows = [(name, text.partition("\n")[0].lstrip("# ")) for name, text in shipped_plans().items()]
        echo_table(rows, ("plan", "what it is"))
        return
    if plan is None:
        raise click.UsageError("Missing argument 'PLAN'; --list shows the plans that ship with folksong.")
    if write_plan is not None:
        with atomic_write(write_plan, "w") as stream:
            stream.write(shipped_plan(plan))
        click.echo(write_plan)
        return
    paths = {"tags": tags, "audio": audio, "artists": artists, "split": split, "truth": truth}
    opened = read_plan(plan, _changes(demo, shards, changes, vectors, paths))
    folder, options = Path(out or plan.removesuffix(".toml")), {"jobs": jobs, "progress": wants_progress()}
    if opened.search is None:
        failed = _echo_cells(
            opened, run_experiment(opened, folder, **options), folder, with_report, Path(plan).stem
        )
    else:
        failed = _echo_search(
            opened, run_search(opened, folder, **options), folder, with_report, Path(plan).stem
        )
    for name, error in failed:
        note(f"{name}: {error}")
    if failed:
        raise click.exceptions.Exit(1)


def _echo_cells(
    plan: Any, results: Any, folder: Path, with_report: bool, title: str
) -> list[tuple[Any, Any]]:
    """Print what became of the cells, write the report, and return those that failed."""
    from folksong.evaluation.report import write_report
    from folksong.experiment.published import published_section

    rows = [
        (*(found.cell.space, found.cell.front_end, found.cell.loss, found.cell.seed, found.status),
         f"{found.seconds:.0f}")
        for found in results
    ]  # fmt: skip
    echo_table(rows, ("label space", "front-end", "loss", "seed", "status", "seconds"))
    finished = [found.run for found in results if found.status != "failed"]
    if with_report and finished:
        truth = None if plan.data.truth is None else plan.place(plan.data.truth)
        more = [] if plan.published is None else [published_section(plan, results)]
        page = write_report(finished, folder / "report.html", title=title, truth=truth, more=more)
        click.echo(f"\n{page}")
    return [(found.cell.name, found.error) for found in results if found.status == "failed"]


def _echo_search(plan: Any, found: Any, folder: Path, with_report: bool, title: str) -> list[tuple[Any, Any]]:
    """Print what became of the trials, write the report, and return those that failed."""
    from folksong.evaluation.report import write_report

    keys = list(plan.search.parameters)
    where = "its own labels" if found.on is None else f"the tags of {found.on}"
    click.echo(f"{found.figure} of the validation part, on {where}, best first")
    rows = [
        (*(trial.parameters.get(key, "") for key in keys), "failed" if trial.value is None else trial.value)
        for trial in found.trials
    ]
    echo_table(rows, (*keys, found.figure))
    if with_report and found.best is not None:
        runs = dict.fromkeys(folder / run for trial in found.trials if not trial.error for run in trial.runs)
        click.echo(f"\n{write_report(list(runs), folder / 'report.html', title=title)}")
    return [(dict(trial.parameters), trial.error) for trial in found.trials if trial.error is not None]


def _changes(
    demo: str | None, shards: Sequence[str], changes: Sequence[str], vectors: str | None, paths: dict[str, str | None]
) -> dict[str, Any]:  # fmt: skip
    """Return the options as tables to lay over the plan; paths are relative to where the command was given."""
    from folksong.experiment.read_plan import lay_over, read_settings

    data: dict[str, Any] = {} if demo is None else _demo_data(Path(demo))
    data |= {name: str(Path(path).absolute()) for name, path in paths.items() if path is not None}
    if vectors is not None:
        data["vectors"] = str(Path(vectors).absolute()) if Path(vectors).exists() else vectors
    for text in shards:
        front_end, equals, folder = text.partition("=")
        if not equals:
            raise click.BadParameter(
                f"{text!r} is not FRONT-END=DIR, for example waveform=shards/wave", param_hint="--shards"
            )
        data.setdefault("shards", {})[front_end] = str(Path(folder).absolute())
    return lay_over({"data": data}, read_settings(changes))


def _demo_data(folder: Path) -> dict[str, Any]:
    """Return the data of a demo's corpus; write one into `folder` if there is none."""
    from folksong.demo.corpus import Corpus, CorpusSettings, write_corpus

    place = folder / "corpus" if (folder / "corpus" / "corpus.json").exists() else folder
    corpus = Corpus(place.absolute(), CorpusSettings())
    if not corpus.tags_path.exists():
        note(f"{place}: writing the synthetic corpus of `folksong demo`")
        write_corpus(place, corpus.settings, progress=wants_progress())
    written = place.absolute().parent.glob("shards/*/manifest.json") if place != folder else ()
    return {
        "tags": str(corpus.tags_path),
        "audio": str(corpus.tracks_csv),
        "artists": str(corpus.tracks_csv),
        "truth": str(corpus.truth_dir / "tags.csv"),
        "shards": {path.parent.name: str(path.parent) for path in written},
    }
