"""``folksong train``: from shards to a tagger.

An option that is called after a key of the settings changes that key for one training; see `folksong.training.config`.
"""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from folksong.cli.common import FolksongCommand, ManyValues, log_to_stderr, wants_progress

FRONT_ENDS = ("waveform", "log-mel-spectrogram", "embeddings")
ARRAYS = ("pr_auc", "roc_auc", "confusion", "tags", "cooccurrence")
RESUMABLE = {"shards", "epochs", "workers", "cuda", "processes", "num_nodes"}
"""What may be said anew of a run that goes on, besides the arrays; everything else is kept in it."""


@click.command(cls=FolksongCommand)
@click.argument("frontend", type=click.Choice(FRONT_ENDS), required=False)
@click.argument("folder", type=click.Path(), required=False, metavar="[FOLDER]")
@click.option(
    "--tfrecords-dir",
    "shards",
    type=click.Path(),
    help="Folder of shards, as `folksong shards write` makes it; it may also be given as FOLDER.",
)
@click.option(
    "--config",
    type=click.Path(),
    help="Settings: a JSON file, or a folder with config.json; `folksong config init` writes a template.  "
    "[default: the template's values]",
)
@click.option("--lastfm", type=click.Path(), help="Tag database.  [default: the records' own tags]")
@click.option("--tags", type=click.Path(), help="As --lastfm, for a tag source of any kind.")
@click.option(
    "--min-weight",
    type=float,
    metavar="T",
    help="Keep the tags with a weight greater than T.  [default: all]",
)
@click.option(
    "--labels",
    type=click.Path(),
    help="Label space, a *.labels.json file.  [default: as the settings say]",
)
@click.option(
    "--dictionary-dir",
    "dictionary",
    type=click.Path(),
    metavar="PATH",
    help="Labels of the earlier project: a tags_dict_*.pkl, or a folder that holds one.",
)
@click.option(
    "--genre-path",
    "genres",
    type=click.Path(),
    metavar="PATH",
    help="With --dictionary-dir: a genres.txt; only its clusters stay, and its pairs are merged.",
)
@click.option(
    "--split",
    type=click.Path(),
    help="The parts, a *.split.json file.  [default: made by the fractions of the settings and the seed]",
)
@click.option(
    "--folds",
    "n_folds",
    type=click.IntRange(2),
    metavar="K",
    help="Cross-validation for small collections: train K runs below --out, test each on tracks that the others "
    "learned from, and pool the scores.",
)
@click.option(
    "--artists",
    type=click.Path(),
    metavar="FILE",
    help="With --folds: CSV with a track and an artist column; all tracks of an artist are in one fold.",
)
@click.option(
    "--out", type=click.Path(), help="The run's folder.  [default: a new one in the log_dir of the settings]"
)
@click.option(
    "--multi-db",
    type=click.IntRange(1),
    metavar="N",
    help="How many tag databases the records hold.  [default: as their manifest says]",
)
@click.option(
    "--multi-db-default",
    "database",
    type=click.IntRange(0),
    metavar="I",
    help="Which of them to use, counted from 0.  [default: 0]",
)
@click.option(
    "--filter",
    "filtered",
    is_flag=True,
    help="Take the subjective tags out of the labels. With --dictionary-dir: keep the clusters that hold at least one "
    "of the 100 most popular tags besides the subjective ones.",
)
@click.option(
    "--filter-path",
    type=click.Path(),
    metavar="DIR",
    help="Take out the tags that DIR/tags_remove.txt lists; implies --filter.  [default: the shipped list of 20]",
)
@click.option(
    "--save-PR", "pr_auc", type=click.Path(), metavar="DIR", help="Write DIR/pr_auc.npy, of the test part, "
    "measured as `folksong evaluate` does."
)  # fmt: skip
@click.option("--save-ROC", "roc_auc", type=click.Path(), metavar="DIR", help="Write DIR/roc_auc.npy.")
@click.option(
    "--save-confusion-matrix",
    "confusion",
    type=click.Path(),
    metavar="DIR",
    help="Write DIR/confusion_matrix.npy: (n_labels, 2, 2), each [[TN, FP], [FN, TP]] at 0.5.",
)
@click.option(
    "--save-tags-path",
    "tag_names",
    type=click.Path(),
    metavar="DIR",
    help="Write DIR/tags.npy: the labels, in the order of the other arrays.",
)
@click.option(
    "--save-cooccurrence-matrix-path",
    "--save-coocurrence-matrix-path",
    "cooccurrence",
    type=click.Path(),
    metavar="DIR",
    help="Write DIR/cooccurrence_matrix.npy: (n_labels, n_labels), how many tracks of the test part carry both.",
)
@click.option(
    "--multi-tag",
    is_flag=True,
    default=None,
    help="Macro PR-AUC leads: in progress, early stopping and summary. Without it, micro. Both are always stored.",
)
@click.option(
    "--keep-unlabelled",
    is_flag=True,
    default=None,
    help="Use tracks without a label too, as negative examples of every label.",
)
@click.option(
    "--epochs", type=click.IntRange(1), help="End after so many, if early stopping does not.  [default: 100]"
)
@click.option(
    "--steps-per-epoch",
    type=click.IntRange(1),
    help="Steps an epoch; passes over the data go on across epochs.  [default: one pass]",
)
@click.option("--no-shuffle", is_flag=True, help="Keep the records' order.")
@click.option(
    "--update-freq",
    type=click.IntRange(1),
    help="Steps between two updates of the training loss, in TensorBoard and the progress bar.  [default: 10]",
)
@click.option(
    "--save-every",
    type=click.IntRange(1),
    metavar="STEPS",
    help="Save for --resume so often within an epoch.  [default: every five minutes; always after an epoch]",
)
@click.option(
    "--cuda",
    cls=ManyValues,
    multiple=True,
    type=click.IntRange(0),
    metavar="I...",
    help="Which GPUs. With none on the machine, the CPU.  [default: the first, if there is one]",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    metavar="N",
    help="Processes that share the CPU, each with batches of its own.  [default: 1]",
)
@click.option(
    "--num-nodes",
    type=click.IntRange(1),
    metavar="N",
    help="Machines on which this command runs, with MASTER_ADDR, MASTER_PORT and NODE_RANK set. Not with torchrun.  "
    "[default: 1]",
)
@click.option(
    "--built-in", is_flag=True, help="Accepted for old scripts: training always uses the built-in loop."
)
@click.option(
    "-v", "--verbose", type=click.IntRange(0, 3), default=1, show_default=True,
    help="0: warnings only. 1: progress and summary. 2: also the settings and the network. 3: everything.",
)  # fmt: skip
@click.option("--resume", "resumed", type=click.Path(), metavar="RUN", help="Go on with a run, exactly.")
@click.option("--seed", type=click.IntRange(0), help="Of everything that is random.  [default: 0]")
@click.option("--workers", type=click.IntRange(0), help="Threads that make batches ahead.  [default: 1]")
@click.option(
    "--precision",
    type=click.Choice(["auto", "32", "bf16", "16", "64"]),
    help="Numbers that the network computes with; auto takes bf16 where the hardware has it, else 32.  "
    "[default: auto]",
)
@click.option(
    "--accumulate",
    "accumulate_batches",
    type=click.IntRange(1),
    metavar="K",
    help="Add up the gradients of K batches for each step.  [default: 1]",
)
@click.option(
    "--clip-norm",
    "clip_gradient_norm",
    type=click.FloatRange(0, min_open=True),
    metavar="NORM",
    help="Scale gradients down to this norm where theirs is larger.  [default: leave them]",
)
@click.option(
    "--weight-decay",
    type=click.FloatRange(0),
    metavar="W",
    help="The optimizer's weight decay, of all weights but biases and batch norm.  [default: the optimizer's own]",
)
@click.option(
    "--schedule",
    type=click.Choice(["plateau", "cosine", "one-cycle", "cyclic", "constant"]),
    help="How the learning rate moves.  [default: plateau]",
)
@click.option(
    "--warmup-steps",
    type=click.IntRange(0),
    metavar="N",
    help="Let the learning rate rise over the first N steps.  [default: 0]",
)
@click.option(
    "--frequency-masks",
    type=click.IntRange(0),
    metavar="N",
    help="SpecAugment: cover N ranges of mel bands of each training window.  [default: 0]",
)
@click.option(
    "--time-masks",
    type=click.IntRange(0),
    metavar="N",
    help="SpecAugment: cover N stretches of each training window.  [default: 0]",
)
@click.option(
    "--gain",
    "gain_db",
    type=click.FloatRange(0),
    metavar="DB",
    help="Waveforms: make each training window up to DB louder or softer, cut off at full scale.  [default: 0]",
)
@click.option(
    "--loss",
    type=click.Choice(["bce", "semantic", "asymmetric"]),
    help="What is minimised.  [default: bce; semantic with --custom-loss-embeddings-path]",
)
@click.option(
    "--custom-loss-embeddings-path",
    "vectors",
    type=click.Path(),
    metavar="VECTORS",
    help="Word vectors (GloVe, word2vec, fastText, ...) for the semantic loss, which it implies.",
)
@click.option(
    "--gamma",
    type=click.FloatRange(0),
    help="Semantic loss: weight of the distance in meaning; 0 is plain cross-entropy.  [default: 1]",
)
@click.option(
    "--weights",
    type=click.Choice(["ignore", "soft", "sample"]),
    help="The tags' weights (0 to 100) as soft targets, or as the weight of each label that is there.  "
    "[default: ignore]",
)
@click.option(
    "--absent-weight",
    type=click.FloatRange(0, 1),
    help="How much an absent label counts; below 1, absent means perhaps unknown.  [default: 1]",
)
@click.option(
    "--label-smoothing",
    type=click.FloatRange(0, 1, max_open=True),
    help="Move targets this far towards one half.  [default: 0]",
)
@click.option("--positive-focus", type=click.FloatRange(0), help="Asymmetric loss: γ₊.  [default: 0]")
@click.option("--negative-focus", type=click.FloatRange(0), help="Asymmetric loss: γ₋.  [default: 4]")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, max_open=True),
    help="Asymmetric loss: negatives below this probability add nothing.  [default: 0.05]",
)
@click.pass_context
def train(ctx: click.Context, /, verbose: int, resumed: str | None, built_in: bool, **options: Any) -> None:
    """Train a tagger with FRONTEND and leave a run: weights, labels, split, metrics, TensorBoard, model card.

    FOLDER holds the shards that FRONTEND hears; of embeddings (`folksong embeddings`) a head learns within seconds.
    Ctrl-C saves the running step; --resume goes on from there and ends as if nothing had happened.

    \b
    Example:
      folksong train embeddings features/msd --tags lastfm_tags.db --labels top50.labels.json --out runs/msd
      folksong train log-mel-spectrogram --tfrecords-dir shards/mel --labels top50.labels.json --out runs/mel
      folksong train waveform --tfrecords-dir shards/wave --lastfm lastfm_tags.db --config . --multi-tag
      folksong train --resume runs/mel
    """
    import logging

    from folksong.training.distributed import speaks
    from folksong.training.loop import TrainingInterrupted

    log_to_stderr({0: logging.WARNING, 3: logging.DEBUG}.get(verbose, logging.INFO))
    logging.getLogger("folksong.training.loop.details").setLevel(
        logging.DEBUG if verbose > 1 else logging.INFO
    )
    if built_in and verbose:
        click.echo("--built-in: training always uses the built-in loop", err=True)
    progress = verbose > 0 and wants_progress()
    folders = {name: options.pop(name) for name in ARRAYS if name != "tags"}
    folders["tags"] = options.pop("tag_names")
    wanted = {name: folder for name, folder in folders.items() if folder is not None}
    options["cuda"] = options["cuda"] or None
    n_folds = options["n_folds"]
    if n_folds and wanted:
        raise click.UsageError(
            "--folds leaves the arrays of each fold in its run; leave the --save options out"
        )
    try:
        run = _resume(ctx, resumed, options, progress) if resumed else _train(options, progress)
    except TrainingInterrupted as interrupted:
        if n_folds:
            click.echo(f"{interrupted}; the same command goes on", err=True)
            ctx.exit(130)
        click.echo(f"{interrupted}: folksong train --resume {interrupted.run.path}", err=True)
        ctx.exit(130)
    if not speaks(options["num_nodes"] or 1):
        return
    if n_folds and not resumed:
        from folksong.cli.evaluate import echo_evaluation

        echo_evaluation(run)
        return
    if wanted:
        from folksong.evaluation.evaluate import write_label_arrays

        for path in write_label_arrays(run, wanted):
            logging.getLogger("folksong").info("wrote %s", path)
    if verbose:
        _summarise(run)


def _train(options: dict[str, Any], progress: bool) -> Any:
    from folksong.errors import FolksongError
    from folksong.shards.manifest import Manifest
    from folksong.training.data import LegacyLabels, tags_to_remove
    from folksong.training.train import train as train_tagger

    front_end, shards, folder = (options.pop(name) for name in ("frontend", "shards", "folder"))
    if folder and shards:
        raise click.UsageError("FOLDER and --tfrecords-dir name the same thing; give one")
    shards = folder or shards
    if front_end is None or shards is None:
        raise click.UsageError("give FRONTEND and FOLDER, or --resume RUN")
    lastfm, dictionary, genres = (options.pop(name) for name in ("lastfm", "dictionary", "genres"))
    if lastfm and options["tags"]:
        raise click.UsageError("--lastfm and --tags name the same thing; give one")
    if options["labels"] and dictionary:
        raise click.UsageError("--labels and --dictionary-dir name the same thing; give one")
    if genres and not dictionary:
        raise click.UsageError("--genre-path numbers the clusters of a dictionary; give --dictionary-dir too")
    if options["loss"] == "semantic" and not options["vectors"] and not options["config"]:
        raise click.UsageError(
            "the semantic loss needs word vectors: name them with --custom-loss-embeddings-path"
        )
    stated = options.pop("multi_db")
    n_databases = 0 if front_end == "embeddings" else Manifest.read(shards).n_tag_databases
    if stated not in (None, n_databases):
        raise FolksongError(f"{shards}: the records hold {n_databases} tag databases, not {stated}")
    filter_path = options.pop("filter_path")
    if options.pop("filtered") or filter_path is not None:
        options["remove"] = tags_to_remove(filter_path)
    if options.pop("no_shuffle"):
        options["shuffle"] = False
    options["labels"] = LegacyLabels(dictionary, genres) if dictionary else options["labels"]
    options["tags"] = lastfm or options["tags"]
    n_folds, artists = options.pop("n_folds"), options.pop("artists")
    if n_folds:
        return _cross_validate(front_end, shards, n_folds, artists, options, progress)
    if artists:
        raise click.UsageError(
            "--artists belongs to --folds; without, `folksong split` makes parts by artist"
        )
    return train_tagger(front_end, shards, progress=progress, **options)


def _cross_validate(
    front_end: str, shards: str, n_folds: int, artists: str | None, options: dict[str, Any], progress: bool
) -> Any:
    from folksong.evaluation.cross_validate import cross_validate
    from folksong.tags.sources.delimited import read_artists

    if options.pop("split"):
        raise click.UsageError("--folds makes the parts itself; leave --split out")
    if not options["out"]:
        raise click.UsageError("--folds needs --out, the folder for its runs")
    # Of the options, those that were given: the others are the settings' own.
    given = {name: value for name, value in options.items() if value is not None}
    return cross_validate(
        front_end, shards, n_folds=n_folds, progress=progress, **given,
        artists=read_artists(artists) if artists else None,
    )  # fmt: skip


def _resume(ctx: click.Context, run: str, options: dict[str, Any], progress: bool) -> Any:
    from folksong.training.resume import resume

    given = {name for name in options if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    fixed = sorted(given - RESUMABLE - {"frontend"})
    if fixed:
        names = {param.name: param.opts[0] for param in ctx.command.params}
        raise click.UsageError(
            f"a resumed run keeps its settings; leave out {', '.join(names[name] for name in fixed)}"
        )
    return resume(run, progress=progress, **{name: options[name] for name in RESUMABLE})


def _summarise(run: Any) -> None:
    """Print the best epoch's figures, the leading average first."""
    best = run.best_row()
    averages = ("macro", "micro") if run.config["settings"]["schedule"]["multi_tag"] else ("micro", "macro")
    figures = [
        f"{average} {name} {best[key]:.4f}" if best.get(key) is not None else f"{average} {name} undefined"
        for average in averages
        for name, key in (("PR-AUC", f"{average}_pr_auc"), ("ROC-AUC", f"{average}_roc_auc"))
    ]
    click.echo(f"{run.path}: best epoch {best['epoch']}, validation {', '.join(figures)}")
