"""``folksong experiment``: a plan of many runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import FolksongCommand, OutputFile, echo_table, wants_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from folksong.experiment import CellResult, Plan

INTERRUPTED = 130
OPTION_OF = {"data.tags: the plan names no": "--tags", "data.shards: none": "--audio"}
"""How a message of the library that begins so can be answered on the command line."""


@click.command(cls=FolksongCommand)
@click.argument("plan", required=False)
@click.option("--list", "show_list", is_flag=True, help="List the plans that ship with folksong.")
@click.option(
    "--write-plan",
    type=OutputFile(),
    metavar="FILE",
    help="Write a copy of the shipped PLAN to edit, and stop.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="The experiment's folder.  [default: the plan's name without its ending]",
)
@click.option("--tags", type=click.Path(), metavar="SOURCE", help="The tags (data.tags), of any kind.")
@click.option(
    "--audio",
    type=click.Path(),
    metavar="PATH",
    help="A track catalogue or a folder of recordings (data.audio); shards are written from it into DIR.",
)
@click.option("--shards", multiple=True, metavar="FRONT-END=DIR", help="Shards that are there (data.shards).")
@click.option("--artists", type=click.Path(), metavar="CSV", help="For a split by artist (data.artists).")
@click.option("--split", type=click.Path(), metavar="FILE", help="A split that is there (data.split).")
@click.option("--vectors", metavar="SOURCE", help="Word vectors (data.vectors).")
@click.option(
    "--truth", type=click.Path(), metavar="CSV", help="What each tag means: tag and concept (data.truth)."
)
@click.option(
    "--demo",
    type=click.Path(file_okay=False),
    metavar="FOLDER",
    help="Take all of these from the synthetic corpus in FOLDER, as `folksong demo` makes it; make it if need be.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any other setting of the plan, for example --set spaces.hybrid.n_clusters=60.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes; the processor's cores are shared out among them.",
)
@click.option(
    "--report/--no-report", "with_report", default=True, show_default=True, help="Write DIR/report.html."
)
def experiment(plan: str | None, show_list: bool, write_plan: str | None, **given: Any) -> None:
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
    """  # fmt: skip
    from folksong.experiment import shipped_plan, shipped_plans
    from folksong.files import atomic_write

    if show_list:
        plans = shipped_plans()
        echo_table(
            [(name, plans[name].partition("\n")[0].lstrip("# ")) for name in plans], ("plan", "what it is")
        )
    elif plan is None:
        raise click.UsageError("Missing argument 'PLAN'; --list shows the plans that ship with folksong.")
    elif write_plan is not None:
        with atomic_write(write_plan, "w") as stream:
            stream.write(shipped_plan(plan))
        click.echo(write_plan)
    else:
        _read_and_run(plan, **given)


def _read_and_run(plan: str, out: str | None, jobs: int, with_report: bool, **given: Any) -> None:
    from folksong.errors import FolksongError
    from folksong.experiment import read_plan

    folder = Path(out or plan.removesuffix(".toml"))
    opened = read_plan(plan, _changes(**given))
    try:
        run = _run if opened.search is None else _search
        run(opened, folder, jobs, with_report, Path(plan).stem)
    except KeyboardInterrupt:
        click.echo("Interrupted; the same command goes on where this one ended.", err=True)
        raise SystemExit(INTERRUPTED) from None
    except FolksongError as error:
        option = next((text for key, text in OPTION_OF.items() if str(error).startswith(key)), None)
        raise FolksongError(f"{error}, or by {option}" if option else str(error)) from error


def _run(plan: Plan, folder: Path, jobs: int, with_report: bool, title: str) -> None:
    from folksong.experiment import run_experiment

    results = run_experiment(plan, folder, jobs=jobs, progress=wants_progress())
    _echo_cells(results)
    finished = [found.run for found in results if found.status != "failed"]
    if with_report and finished:
        from folksong.evaluation.report import write_report
        from folksong.experiment.published import published_section

        truth = None if plan.data.truth is None else plan.place(plan.data.truth)
        more = [] if plan.published is None else [published_section(plan, results)]
        page = write_report(finished, folder / "report.html", title=title, truth=truth, more=more)
        click.echo(f"\n{page}")
    failed = [found for found in results if found.status == "failed"]
    for found in failed:
        click.echo(f"{found.cell.name}: {found.error}", err=True)
    if failed:
        raise SystemExit(1)


def _search(plan: Plan, folder: Path, jobs: int, with_report: bool, title: str) -> None:
    from folksong.experiment import run_search

    found = run_search(plan, folder, jobs=jobs, progress=wants_progress())
    keys = list(plan.search.parameters) if plan.search is not None else []
    where = "its own labels" if found.on is None else f"the tags of {found.on}"
    click.echo(f"{found.figure} of the validation part, on {where}, best first")
    echo_table(
        [
            (
                *(trial.parameters.get(key, "") for key in keys),
                "failed" if trial.value is None else trial.value,
            )
            for trial in found.trials
        ],
        (*keys, found.figure),
    )
    if with_report and found.best is not None:
        from folksong.evaluation.report import write_report

        runs = dict.fromkeys(folder / run for trial in found.trials if not trial.error for run in trial.runs)
        click.echo(f"\n{write_report(list(runs), folder / 'report.html', title=title)}")
    failed = [trial for trial in found.trials if trial.error is not None]
    for trial in failed:
        click.echo(f"{dict(trial.parameters)}: {trial.error}", err=True)
    if failed:
        raise SystemExit(1)


def _echo_cells(results: Sequence[CellResult]) -> None:
    echo_table(
        [
            (
                found.cell.space,
                found.cell.front_end,
                found.cell.loss,
                found.cell.seed,
                found.status,
                f"{found.seconds:.0f}",
            )
            for found in results
        ],
        ("label space", "front-end", "loss", "seed", "status", "seconds"),
    )


def _changes(
    demo: str | None, shards: Sequence[str], changes: Sequence[str], vectors: str | None, **paths: str | None
) -> dict[str, Any]:
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
        click.echo(f"{place}: writing the synthetic corpus of `folksong demo`", err=True)
        write_corpus(place, corpus.settings, progress=wants_progress())
    return {
        "tags": str(corpus.tags_path),
        "audio": str(corpus.tracks_csv),
        "artists": str(corpus.tracks_csv),
        "truth": str(corpus.root / "truth" / "tags.csv"),
        "shards": {
            path.parent.name: str(path.parent)
            for path in place.absolute().parent.glob("shards/*/manifest.json")
        }
        if place != folder
        else {},
    }
