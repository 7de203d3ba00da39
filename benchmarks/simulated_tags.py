"""Tags of a real folksonomy for recordings that have none: a SIMULATED pairing, for trying whole experiments.

Usage: python benchmarks/simulated_tags.py FOLDER TAGS OUT.csv [--seed 0] [--wrong 0.1] [--word CLASS=TAG ...]

FOLDER holds one folder of recordings a class; TAGS is a tag table of any kind (HetRec 2011's artists, say). Every
class stands for a word of the crowd: each of its clips borrows all tags of one real artist who carries that word and
none of the other classes' words, so that misspelt, subjective and rare tags come along as they co-occur.
A share of the clips (--wrong) borrows from another class, as crowds err. No clip was ever tagged so by a listener: what
is real are the sounds, the tags and which tags go together, not which clip has which.
"""

import argparse
from pathlib import Path

import numpy as np

import folksong as fs
from folksong.audio.catalogue import scan_folder
from folksong.errors import FolksongError
from folksong.tags.sources.read_tags import write_tags

WORDS = {
    "Acoustic_guitar": "singer-songwriter",
    "Bass_drum": "techno",
    "Cello": "post-rock",
    "Clarinet": "jazz",
    "Double_bass": "trip-hop",
    "Flute": "folk",
    "Hi_hat": "hip-hop",
    "Saxophone": "soul",
    "Snare_drum": "punk",
    "Violin_or_fiddle": "classical",
}


def simulate(folder, table, words, *, wrong=0.1, seed=0):
    """Return a tag table of the clips below `folder`.

    Args:
        folder: one folder of recordings a class.
        table: a real tag table, whose tracks (artists) lend their tags.
        words: class -> the word of the crowd that it stands for.
        wrong: share of the clips that borrow from another class.
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    tracks = sorted(track.track_id for track in scan_folder(folder))
    classes = {track_id: track_id.split("/")[0] for track_id in tracks}
    missing = sorted({*classes.values()} - set(words))
    if missing:
        raise FolksongError(
            f"{folder}: no word for {', '.join(missing)}; give one by --word {missing[0]}=TAG"
        )
    names = sorted({*classes.values()})
    lenders = {name: lenders_of(table, words, name) for name in names}
    lent = {name: iter([]) for name in names}
    pairs = []
    for track_id in tracks:
        name = classes[track_id]
        if rng.random() < wrong:
            name = names[(names.index(name) + 1 + int(rng.integers(len(names) - 1))) % len(names)]
        row = next(lent[name], None)
        if row is None:  # every lender once, then all of them again in another order
            lent[name] = iter(rng.permutation(lenders[name]).tolist())
            row = next(lent[name])
        row = table.weights[row]
        pairs += [
            (track_id, table.tags[place], weight) for place, weight in zip(row.indices, row.data, strict=True)
        ]
    return fs.TagTable.from_pairs(*zip(*pairs, strict=True))


def lenders_of(table, words, name):
    """Return the rows of the artists who carry the class's word and no other class's."""
    for word in words.values():
        if word not in table.tag_index:
            raise FolksongError(f"the tag table has no tag {word!r}; choose another word by --word CLASS=TAG")
    presence = table.presence.tocsc()

    def carriers(word):
        column = table.tag_index[word]
        return set(presence.indices[presence.indptr[column] : presence.indptr[column + 1]].tolist())

    others = set().union(*(carriers(word) for other, word in words.items() if other != name))
    found = sorted(carriers(words[name]) - others)
    if not found:
        raise FolksongError(
            f"nobody carries {words[name]!r} and none of the other words; choose another word"
        )
    return np.array(found)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("tags")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--wrong", type=float, default=0.1, help="share of the clips that borrow from another class"
    )
    parser.add_argument(
        "--word", action="append", default=[], metavar="CLASS=TAG", help="what a class stands for"
    )
    given = parser.parse_args()
    words = {**WORDS, **dict(text.split("=", 1) for text in given.word)}
    present = {path.name for path in given.folder.iterdir() if path.is_dir()}
    words = {name: word for name, word in words.items() if name in present}
    table = simulate(given.folder, fs.read_tags(given.tags), words, wrong=given.wrong, seed=given.seed)
    write_tags(table, given.out)
    print(f"{given.out}: {table}; the pairing of recordings and tags is simulated")
    for name, word in words.items():
        print(f"  {name}: artists tagged {word!r}")


if __name__ == "__main__":
    main()
