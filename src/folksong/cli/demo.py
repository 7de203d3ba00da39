"""``folksong demo``: the whole path on the embedded corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import FolksongCommand, echo_table, seed_option, wants_progress

if TYPE_CHECKING:
    from folksong.demo.pipeline import DemoResult, Stage

INTERRUPTED = 130
UNDEFINED = (0, float("nan"))
CANNOT_TEACH = """
What this corpus cannot teach: a place is drawn for each artist and not played, so nothing in the sound tells it;
an era is a trace of tape and hiss, a mood a shade of tempo and brightness that the crowd often misses; and with three
or four artists a subgenre, a subgenre of few tracks is learned as the sound of its artists."""


@click.command(cls=FolksongCommand)
@click.argument("out", type=click.Path(file_okay=False), default="folksong-demo", required=False)
@click.option(
    "--corpus-only", is_flag=True, help="Only write the corpus: OUT then holds it, ready for other commands."
)
@seed_option("Of everything that is drawn.")
@click.option(
    "--pieces",
    "per_subgenre",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    help="Pieces of each of the 40 subgenres.",
)
@click.option(
    "--seconds", type=click.FloatRange(1, 600), default=6.0, show_default=True, help="Length of a piece."
)
@click.option("--jobs", type=int, default=-1, show_default=True, help="Processes; -1 uses all cores.")
def demo(out: str, corpus_only: bool, seed: int, per_subgenre: int, seconds: float, jobs: int) -> None:
    """Make a small synthetic folksonomy with audio in OUT, and take it from tags to trained, measured taggers.

    The corpus is synthetic: pieces in 5 genres of 8 subgenres, computed from recipes and written as mp3 files, and
    tags of simulated listeners in last.fm's SQLite schema, with the hidden truth beside them. The demo cleans the tags,
    splits the tracks by artist, builds the popular labels (Model 1), the filtered ones (Model 2) and the hybrid's
    genres, trains a head on the embeddings of a pretrained network (see `folksong models fetch`; without, on
    statistics of spectrograms) and a network on spectrograms, tunes thresholds, measures both and lets them hear clips
    by artists they never heard. It takes a few minutes; after an interruption the same command goes on where it ended.

    \b
    Example:
      folksong demo
      folksong demo my-demo --seed 1
      folksong demo corpus --corpus-only --pieces 24
    """  # fmt: skip
    from folksong.demo.corpus import CorpusSettings, write_corpus
    from folksong.demo.pipeline import DemoSettings, run_demo
    from folksong.training.loop import TrainingInterrupted

    settings = CorpusSettings(seed=seed, per_subgenre=per_subgenre, seconds=seconds)
    try:
        if corpus_only:
            _print_corpus(write_corpus(out, settings, jobs=jobs, progress=wants_progress()))
            return
        result = run_demo(
            out, DemoSettings(settings), jobs=jobs, progress=wants_progress(), on_stage=_print_stage
        )
    except (KeyboardInterrupt, TrainingInterrupted):
        click.echo("Interrupted; the same command goes on where this one ended.", err=True)
        raise SystemExit(INTERRUPTED) from None
    _print_result(result)


def _print_corpus(corpus: Any) -> None:
    click.echo(
        f"{corpus.root}: {len(corpus.read_truth())} synthetic pieces, their tags and the truth about them"
    )
    click.echo(f"\nNext:\n  folksong tags stats {corpus.tags_path}")


def _print_stage(stage: Stage) -> None:
    time = "done before" if stage.skipped else f"{stage.seconds:.1f} s"
    click.echo(f"{stage.name:<30} {time:>11}  {stage.detail}")


def _print_result(result: DemoResult) -> None:
    click.echo("\nHow much of the crowd's cleaned tags the labels keep; the taggers learn the last ones")
    echo_table(
        [(kept.model, kept.n_labels, f"{kept.counts:.1%}", f"{kept.tracks:.1%}") for kept in result.kept],
        ("labels", "number", "counts kept", "tracks kept"),
    )
    click.echo(f"\nTest tracks ({result.scores[0].n_tracks}, by artists not trained on), macro means")
    echo_table(
        [
            (
                score.front_end,
                _interval(score.macro_roc_auc),
                _interval(score.macro_pr_auc),
                score.chance,
                score.lift,
                score.seconds,
            )
            for score in result.scores
        ],
        ("front-end", "ROC-AUC [95%]", "PR-AUC [95%]", "chance", "lift", "training s"),
        floats=".3g",
    )
    click.echo("\nROC-AUC by what a label means")
    kinds = dict.fromkeys(kind for score in result.scores for kind in sorted(score.by_kind))
    echo_table(
        [
            (
                kind,
                max(score.by_kind.get(kind, UNDEFINED)[0] for score in result.scores),
                *(score.by_kind.get(kind, UNDEFINED)[1] for score in result.scores),
            )
            for kind in kinds
        ],
        ("meaning", "labels", *(score.front_end for score in result.scores)),
        floats=".3f",
    )
    click.echo(CANNOT_TEACH)
    click.echo("\nClips by artists that are not in the corpus: labels that reach their tuned thresholds")
    for heard in result.heard:
        click.echo(f"{heard.file.name}: {heard.truth}")
        for front_end, labels in heard.labels.items():
            click.echo(f"  {front_end:<20} " + ", ".join(f"{label} {score:.2f}" for label, score in labels))
    for score in result.scores:
        right = sum(heard.genres[score.front_end] == heard.genre for heard in result.heard)
        click.echo(f"{score.front_end}: the genre is right for {right} of {len(result.heard)} clips")
    _print_next(result)


def _interval(figures: tuple[float, float, float]) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(*figures)


def _print_next(result: DemoResult) -> None:
    folder, seconds = Path(result.folder), sum(stage.seconds for stage in result.stages)
    run, clip = result.scores[0].run, result.heard[0].file if result.heard else "FILE"
    click.echo(
        f"\n{seconds:.0f} s in all. The corpus is synthetic: these figures say nothing about real music.\n\nNext:\n"
        f"  folksong predict {run} {clip} --threshold tuned\n"
        f"  folksong evaluate {run}\n"
        f"  folksong tags stats {folder / 'corpus' / 'lastfm_tags.db'}\n"
        f"  folksong labels show {folder / 'learned.labels.json'}\n"
        f"  tensorboard --logdir {folder / 'runs'}"
    )
