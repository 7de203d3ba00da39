"""``folksong train``: from shards to a tagger."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from folksong.cli.common import FolksongCommand, ManyValues, log_to_stderr, seed_option, wants_progress
from folksong.cli.learning_options import changed_settings, learning_options

FRONT_ENDS = ("waveform", "log-mel-spectrogram")


@click.command(cls=FolksongCommand)
@click.argument("frontend", type=click.Choice(FRONT_ENDS), required=False)
@click.option(
    "--tfrecords-dir",
    "shards_dir",
    type=click.Path(),
    help="Folder of shards, as `folksong shards write` makes it.",
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
    help="Label space, a *.labels.json file.  [default: as the tags section of the settings says]",
)
@click.option(
    "--dictionary-dir",
    "dictionary",
    type=click.Path(),
    metavar="PATH",
    help="Labels of the earlier project: a tags_dict_*.pkl, or a folder with exactly one .pkl.",
)
@click.option(
    "--genre-path",
    "genres",
    type=click.Path(),
    metavar="FILE",
    help="With --dictionary-dir: a genres.txt; only its clusters stay, and its pairs are merged.",
)
@click.option(
    "--split",
    type=click.Path(),
    help="The parts, a *.split.json file.  [default: made by the split of the settings and the seed]",
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
    default=0,
    show_default=True,
    metavar="I",
    help="Which of them to use, counted from 0.",
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
    "--save-PR", "save_pr", type=click.Path(), metavar="DIR", help="Write DIR/pr_auc.npy, of the test part."
)
@click.option("--save-ROC", "save_roc", type=click.Path(), metavar="DIR", help="Write DIR/roc_auc.npy.")
@click.option(
    "--save-confusion-matrix",
    "save_confusion",
    type=click.Path(),
    metavar="DIR",
    help="Write DIR/confusion_matrix.npy: (n_labels, 2, 2), each [[TN, FP], [FN, TP]] at 0.5.",
)
@click.option(
    "--save-tags-path",
    "save_tags",
    type=click.Path(),
    metavar="DIR",
    help="Write DIR/tags.npy: the labels, in the order of the other arrays.",
)
@click.option(
    "--save-cooccurrence-matrix-path",
    "--save-coocurrence-matrix-path",
    "save_cooccurrence",
    type=click.Path(),
    metavar="DIR",
    help="Write DIR/cooccurrence_matrix.npy: (n_labels, n_labels), how many tracks of the test part carry both.",
)
@click.option(
    "--multi-tag",
    is_flag=True,
    help="Macro PR-AUC leads: in progress, early stopping and summary. Without it, micro. Both are always stored.",
)
@click.option(
    "--keep-unlabelled",
    is_flag=True,
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
    default=10,
    show_default=True,
    help="Steps between two updates of the training loss, in TensorBoard and the progress bar.",
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
    "n_processes",
    type=click.IntRange(1),
    metavar="N",
    help="Processes that share the CPU, each with batches of its own.  [default: 1]",
)
@click.option(
    "--num-nodes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Machines on which this command runs, with MASTER_ADDR, MASTER_PORT and NODE_RANK set. Not with torchrun.",
)
@click.option(
    "--built-in", is_flag=True, help="Accepted for old scripts: training always uses the built-in loop."
)
@click.option(
    "-v", "--verbose", type=click.IntRange(0, 3), default=1, show_default=True,
    help="0: warnings only. 1: progress and summary. 2: also the settings and the network. 3: everything.",
)  # fmt: skip
@click.option("--resume", "resumed", type=click.Path(), metavar="RUN", help="Go on with a run, exactly.")
@seed_option("Of everything that is random.")
@click.option(
    "--workers", type=click.IntRange(0), default=1, show_default=True, help="Threads that make batches ahead."
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "32", "bf16", "16", "64"]),
    default="auto",
    show_default=True,
    help="Numbers that the network computes with; auto takes bf16 where the hardware has it, else 32.",
)
@learning_options
@click.option(
    "--loss",
    type=click.Choice(["bce", "semantic", "asymmetric"]),
    help="What is minimised.  [default: bce; semantic with --custom-loss-embeddings-path]",
)
@click.option(
    "--custom-loss-embeddings-path",
    "loss_embeddings",
    type=click.Path(),
    metavar="VECTORS",
    help="Word vectors (GloVe, word2vec, fastText, ...) for the semantic loss, which it implies.",
)
@click.option(
    "--gamma",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Semantic loss: weight of the distance in meaning; 0 is plain cross-entropy.",
)
@click.option(
    "--weights",
    type=click.Choice(["ignore", "soft", "sample"]),
    default="ignore",
    show_default=True,
    help="The tags' weights (0 to 100) as soft targets, or as the weight of each label that is there.",
)
@click.option(
    "--absent-weight",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="How much an absent label counts; below 1, absent means perhaps unknown.",
)
@click.option(
    "--label-smoothing",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Move targets this far towards one half.",
)
@click.option(
    "--positive-focus", type=click.FloatRange(0), default=0.0, show_default=True, help="Asymmetric loss: γ₊."
)
@click.option(
    "--negative-focus", type=click.FloatRange(0), default=4.0, show_default=True, help="Asymmetric loss: γ₋."
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.05,
    show_default=True,
    help="Asymmetric loss: negatives below this probability add nothing.",
)
@click.pass_context
def train(ctx: click.Context, /, verbose: int, resumed: str | None, built_in: bool, **options: Any) -> None:
    """Train a tagger with FRONTEND and leave a run: weights, labels, split, metrics, TensorBoard, model card.

    Ctrl-C saves the running step; --resume goes on from there and ends as if nothing had happened.

    \b
    Example:
      folksong train log-mel-spectrogram --tfrecords-dir shards/mel --labels top50.labels.json --out runs/mel
      folksong train waveform --tfrecords-dir shards/wave --lastfm lastfm_tags.db --config . --multi-tag
      folksong train --resume runs/mel
    """
    import logging

    from folksong.training.interruption import TrainingInterrupted
    from folksong.training.joining import speaks

    log_to_stderr({0: logging.WARNING, 3: logging.DEBUG}.get(verbose, logging.INFO))
    if built_in and verbose:
        click.echo("--built-in: training always uses the built-in loop", err=True)
    shown = {"progress": verbose > 0 and wants_progress(), "details": verbose > 1}
    try:
        run = _resume(ctx, resumed, options, shown) if resumed else _train(options, shown)
    except TrainingInterrupted as interrupted:
        click.echo(str(interrupted), err=True)
        ctx.exit(130)
    if verbose and speaks(options["num_nodes"]):
        _summarise(run)


def _train(options: dict[str, Any], shown: dict[str, bool]) -> Any:
    from folksong.errors import FolksongError
    from folksong.shards.manifest import Manifest
    from folksong.training.config import Config
    from folksong.training.data import LegacyLabels, tags_to_remove
    from folksong.training.loop import train as train_tagger

    front_end, shards_dir = options["frontend"], options["shards_dir"]
    if front_end is None or shards_dir is None:
        raise click.UsageError("give FRONTEND and --tfrecords-dir, or --resume RUN")
    if options["lastfm"] and options["tags"]:
        raise click.UsageError("--lastfm and --tags name the same thing; give one")
    n_databases = Manifest.read(shards_dir).n_tag_databases
    if options["multi_db"] not in (None, n_databases):
        raise FolksongError(
            f"{shards_dir}: the records hold {n_databases} tag databases, not {options['multi_db']}"
        )
    if options["labels"] and options["dictionary"]:
        raise click.UsageError("--labels and --dictionary-dir name the same thing; give one")
    if options["genres"] and not options["dictionary"]:
        raise click.UsageError("--genre-path numbers the clusters of a dictionary; give --dictionary-dir too")
    filtered = options["filtered"] or options["filter_path"] is not None
    dictionary = options["dictionary"]
    settings = Config() if options["config"] is None else Config.read(options["config"])
    changes = changed_settings(options)
    return train_tagger(
        front_end,
        shards_dir,
        out=options["out"],
        config=settings.with_training(changes) if changes else settings,
        labels=LegacyLabels(dictionary, options["genres"]) if dictionary else options["labels"],
        tags=options["lastfm"] or options["tags"],
        split=options["split"],
        remove=tags_to_remove(options["filter_path"]) if filtered else (),
        database=options["database"],
        min_weight=options["min_weight"],
        keep_unlabelled=options["keep_unlabelled"],
        epochs=options["epochs"],
        steps_per_epoch=options["steps_per_epoch"],
        shuffle=False if options["no_shuffle"] else None,
        update_freq=options["update_freq"],
        save_every=options["save_every"],
        multi_tag=options["multi_tag"],
        cuda=options["cuda"] or None,
        n_processes=options["n_processes"],
        num_nodes=options["num_nodes"],
        precision=options["precision"],
        loss=_loss(options),
        loss_embeddings=options["loss_embeddings"],
        workers=options["workers"],
        seed=options["seed"],
        arrays=_folders(options),
        **shown,
    )


def _loss(options: dict[str, Any]) -> Any:
    from folksong.training.loss_options import LossOptions

    implied = "bce" if options["loss_embeddings"] is None else "semantic"
    names = (
        "gamma",
        "weights",
        "absent_weight",
        "label_smoothing",
        "positive_focus",
        "negative_focus",
        "margin",
    )
    return LossOptions(options["loss"] or implied, **{name: options[name] for name in names})


# What may be said anew of a run that goes on; everything else is kept in it.
RESUMABLE = {
    "shards_dir", "epochs", "cuda", "n_processes", "num_nodes", "workers",
    "save_pr", "save_roc", "save_confusion", "save_tags", "save_cooccurrence",
}  # fmt: skip


def _resume(ctx: click.Context, run: str, options: dict[str, Any], shown: dict[str, bool]) -> Any:
    from folksong.training.loop import resume

    given = {name for name in options if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    fixed = sorted(given - RESUMABLE - {"frontend"})
    if fixed:
        names = {param.name: param.opts[0] for param in ctx.command.params}
        raise click.UsageError(
            f"a resumed run keeps its settings; leave out {', '.join(names[name] for name in fixed)}"
        )
    return resume(
        run,
        shards_dir=options["shards_dir"],
        epochs=options["epochs"],
        cuda=options["cuda"] or None,
        n_processes=options["n_processes"],
        num_nodes=options["num_nodes"],
        workers=options["workers"],
        arrays=_folders(options),
        **shown,
    )


def _folders(options: dict[str, Any]) -> Any:
    from folksong.training.label_arrays import ArrayFolders

    return ArrayFolders(
        pr_auc=options["save_pr"],
        roc_auc=options["save_roc"],
        confusion=options["save_confusion"],
        tags=options["save_tags"],
        cooccurrence=options["save_cooccurrence"],
    )


def _summarise(run: Any) -> None:
    """Print the best epoch's figures, the leading average first."""
    from folksong.runs import Run

    run = Run.open(run.path)
    best = run.best_row()
    averages = ("macro", "micro") if run.config["options"]["multi_tag"] else ("micro", "macro")
    figures = [
        f"{average} {name} {best[key]:.4f}" if best.get(key) is not None else f"{average} {name} undefined"
        for average in averages
        for name, key in (("PR-AUC", f"pr_auc_{average}"), ("ROC-AUC", f"roc_auc_{average}"))
    ]
    click.echo(f"{run.path}: best epoch {best['epoch']}, validation {', '.join(figures)}")
