"""The embedded corpus on disk: mp3 files, a track list, a last.fm tag database, and the hidden truth beside them.

```
corpus.json          settings that made it, and their fingerprint
README.txt           says that all of it is synthetic
tracks.csv           track_id, mp3_path, artist, title
lastfm_tags.db       the crowd's tags, in last.fm's SQLite schema
audio/A/B/TRAB….mp3  the pieces
unseen/*.mp3         pieces by artists that are not in the corpus, for prediction; unseen/truth.csv
truth/tracks.csv     track_id, artist, genre, subgenre, moods, era, voice, instruments, place
truth/tags.csv       tag, kind, concept, genre: what each tag means, so that a label space can be compared with it
truth/entries.csv    track_id, tag, verdict (right, wrong, opinion) of every entry of the tag database
```

A track draws some number of listeners (a long tail), each gives a few words. A listener thinks of one of the track's
concepts, more readily of its genre than of its instruments, or of something personal, and writes it in one of its
spellings. The crowd as a whole misses some concepts and believes some wrong ones; now and then a listener slips.
Weights are counts scaled so that a track's top tag has 100, as last.fm's are.
"""

import csv
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from folksong.demo.piece import write_piece
from folksong.demo.recipes import Piece, Recipes, plan_pieces, read_data, read_recipes
from folksong.errors import FolksongError
from folksong.files import atomic_write, described, read_json, write_csv, write_json
from folksong.tags.sources.lastfm import write_lastfm
from folksong.tags.table import TagTable

FORMAT = "folksong.corpus"
SYNTHESIS_VERSION = 1
"""Raised whenever the same recipes and seed would sound or be tagged otherwise than before."""
UNSEEN_GROUP = "unseen"
README = """This corpus is synthetic: every piece, artist, title and tag was made by `folksong demo`.

The music is computed from recipes, the tags are written by simulated listeners, and the folder truth/ holds what is
really played. Use it to try things out and to test; it says nothing about real music. No rights are reserved (CC0).
"""


@dataclass(frozen=True)
class CorpusSettings:
    """What decides every byte of a corpus.

    Attributes:
        seed: of everything drawn.
        per_subgenre: pieces of each subgenre.
        unseen_per_genre: further pieces a genre, by artists of their own.
        seconds: length of a piece.
        genres: names of the genres; empty takes all that the recipes have.
    """

    seed: int = 0
    per_subgenre: int = 12
    unseen_per_genre: int = 1
    seconds: float = 6.0
    genres: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1.0 <= self.seconds <= 600.0:
            raise FolksongError(f"a piece must last from 1 to 600 seconds, not {self.seconds:g}")
        if self.seed < 0:
            raise FolksongError(f"the seed must not be negative, but is {self.seed}")
        if self.unseen_per_genre < 0:
            raise FolksongError("the number of unseen pieces must not be negative")
        object.__setattr__(self, "genres", tuple(self.genres))

    def fingerprint(self) -> str:
        """Return a hash of the settings, the recipes and the version of the synthesis."""
        digest = hashlib.sha256(repr((SYNTHESIS_VERSION, sorted(asdict(self).items()))).encode())
        folder = resources.files("folksong.demo").joinpath("data")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".toml"):
                digest.update(entry.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Corpus:
    """A corpus on disk."""

    root: Path
    settings: CorpusSettings

    @property
    def tracks_csv(self) -> Path:
        """The track list."""
        return self.root / "tracks.csv"

    @property
    def tags_path(self) -> Path:
        """The last.fm tag database."""
        return self.root / "lastfm_tags.db"

    @property
    def unseen(self) -> list[Path]:
        """Pieces by artists that are not in the corpus."""
        return sorted((self.root / "unseen").glob("*.mp3"))

    def read_truth(self, name: str = "truth/tracks.csv") -> list[dict[str, str]]:
        """Return the rows of a file of the hidden truth."""
        with described(self.root / name), (self.root / name).open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))


def write_corpus(
    out_dir: str | os.PathLike[str],
    settings: CorpusSettings | None = None,
    *,
    jobs: int = -1,
    progress: bool = False,
) -> Corpus:
    """Write a corpus into a new or empty folder, or what is still missing of it.

    The same settings give the same bytes on one machine, whatever the number of jobs. (Another processor or version
    of NumPy may differ in a sample's last bit, another libsndfile in the encoding.)
    """
    settings = settings or CorpusSettings()
    recipes = read_recipes()
    pieces, unseen = _planned(recipes, settings)
    corpus = Corpus(Path(out_dir), settings)
    new = {
        "format": FORMAT,
        "synthetic": True,
        **asdict(settings),
        "fingerprint": settings.fingerprint(),
    }
    claim_folder(corpus.root, "corpus.json", new, ("a corpus", "fingerprint"))
    with atomic_write(corpus.root / "README.txt", "w") as stream:
        stream.write(README)
    folksonomy = build_folksonomy(recipes, pieces, settings.seed)
    wanted = [(piece, corpus.root / piece.file_name) for piece in pieces]
    wanted += [(piece, corpus.root / name) for name, piece in unseen.items()]
    missing = [(piece, path) for piece, path in wanted if not path.exists()]
    _render(recipes, missing, settings.seconds, jobs, progress)
    tracks = [(piece.track_id, piece.file_name, piece.artist.name, piece.title) for piece in pieces]
    write_csv(corpus.tracks_csv, ("track_id", "mp3_path", "artist", "title"), tracks)
    facts = ("artist", "genre", "subgenre", "moods", "era", "voice", "instruments", "place")
    rows = [(piece.track_id, *_truth_row(recipes, piece)) for piece in pieces]
    write_csv(corpus.root / "truth" / "tracks.csv", ("track_id", *facts), rows)
    rows = [(Path(name).name, *_truth_row(recipes, piece)) for name, piece in unseen.items()]
    write_csv(corpus.root / "unseen" / "truth.csv", ("file", *facts), rows)
    meanings = [astuple(entry) for entry in folksonomy.tag_truth]
    write_csv(corpus.root / "truth" / "tags.csv", ("tag", "kind", "concept", "genre"), meanings)
    entries = [(track_id, tag, verdict) for (track_id, tag), verdict in folksonomy.verdicts.items()]
    write_csv(corpus.root / "truth" / "entries.csv", ("track_id", "tag", "verdict"), entries)
    if not corpus.tags_path.exists():
        write_lastfm(folksonomy.table, corpus.tags_path)
    return corpus


def _planned(recipes: Recipes, settings: CorpusSettings) -> tuple[list[Piece], dict[str, Piece]]:
    """Return the pieces of the corpus and, by file name, those of artists outside it."""
    genres = settings.genres or None
    pieces = plan_pieces(recipes, seed=settings.seed, per_subgenre=settings.per_subgenre, genres=genres)
    others = plan_pieces(recipes, seed=settings.seed, per_subgenre=1, genres=genres, group=UNSEEN_GROUP)
    unseen: dict[str, Piece] = {}
    for genre in dict.fromkeys(piece.artist.genre for piece in others):
        of_genre = [piece for piece in others if piece.artist.genre == genre]
        spread = of_genre[settings.seed % len(of_genre) :] + of_genre[: settings.seed % len(of_genre)]
        for piece in spread[: settings.unseen_per_genre]:
            unseen[f"unseen/{genre}_{piece.artist.subgenre}.mp3"] = piece
    return pieces, unseen


def claim_folder(folder: Path, name: str, new: dict[str, Any], what: tuple[str, str]) -> dict[str, Any]:
    """Return what the JSON file `name` of a folder says; in an empty or new folder it is written, as `new`.

    A folder that holds something else is refused; `what` is to be in it, and the key that must be as in `new`.
    """
    if (folder / name).exists():
        found = read_json(folder / name)
        if not isinstance(found, dict) or found.get(what[1]) != new[what[1]]:
            raise FolksongError(
                f"{folder}: holds {what[0]} made with other settings, or by another version; to start over, delete "
                "that folder or choose another one"
            )
        return found
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolksongError(
            f"{folder}: is not an empty folder and no {what[0].split()[1]}; choose another folder"
        )
    write_json(folder / name, new)
    return new


def _render(
    recipes: Recipes, missing: list[tuple[Piece, Path]], seconds: float, jobs: int, progress: bool
) -> None:
    from joblib import Parallel, delayed
    from tqdm import tqdm

    tasks = (delayed(write_piece)(recipes, piece, seconds, path) for piece, path in missing)
    done = Parallel(n_jobs=min(jobs, len(missing)) or 1, return_as="generator_unordered")(tasks)
    for _ in tqdm(done, total=len(missing), desc="pieces", unit="piece", disable=not progress):
        pass


def _truth_row(recipes: Recipes, piece: Piece) -> tuple[str, ...]:
    """Return artist, genre, subgenre, moods, era, voice, instruments and place; several are joined by ``;``."""
    facts: dict[str, list[str]] = {}
    for kind, concept in true_concepts(recipes, piece):
        facts.setdefault(kind, []).append(concept)
    return (piece.artist.name, *(";".join(facts.get(kind, [])) for kind in TRUE_KINDS))


TRUE_KINDS = ("genre", "subgenre", "mood", "era", "voice", "instrument", "place")
"""Kinds of concepts that a track either has or not; the others are matters of opinion."""


@dataclass(frozen=True)
class TagTruth:
    """What a tag means: kind and concept, and the genre it belongs to (empty where it cuts across genres)."""

    tag: str
    kind: str
    concept: str
    genre: str


@dataclass(frozen=True)
class Vocabulary:
    """All tags of a folksonomy, with how often each is chosen when its concept comes to mind.

    Row i of `choices`, (n_concepts, n_tags) float64, is the distribution of the tags of the (kind, concept) i.
    """

    concepts: tuple[tuple[str, str], ...]
    truth: tuple[TagTruth, ...]
    choices: npt.NDArray[np.float64]

    @cached_property
    def concept_index(self) -> dict[tuple[str, str], int]:
        """(kind, concept) -> row of `choices`."""
        return {concept: row for row, concept in enumerate(self.concepts)}


def build_vocabulary(seed: int, artists: list[str]) -> Vocabulary:
    """Return the words that ship with the package, the artists' names, and personal tags drawn from the seed."""
    forms: dict[tuple[str, str], dict[str, float]] = {
        (kind, concept): dict(words)
        for kind, concepts in read_data("vocabulary.toml").items()
        for concept, words in concepts.items()
    }
    taken = {tag for words in forms.values() for tag in words}
    forms[("personal", "personal")] = _personal_tags(seed, taken)
    taken |= set(forms[("personal", "personal")])
    for artist in artists:
        if artist not in taken:
            forms[("artist", artist)] = {artist: 1.0}
    genre_of = {
        subgenre: genre for genre, recipe in read_recipes().genres.items() for subgenre in recipe.subgenres
    }
    truth = tuple(
        TagTruth(tag, kind, concept, concept if kind == "genre" else genre_of.get(concept, ""))
        for (kind, concept), words in forms.items()
        for tag in words
    )
    following = read_data("listeners.toml")["listeners"]["following"]
    choices = np.zeros((len(forms), len(truth)))
    column = 0
    for row, ((kind, _), words) in enumerate(forms.items()):
        shares = np.array(list(words.values()), np.float64) ** (1.0 if kind == "personal" else following)
        choices[row, column : column + len(words)] = shares / shares.sum()
        column += len(words)
    return Vocabulary(tuple(forms), truth, choices)


def _personal_tags(seed: int, taken: set[str]) -> dict[str, float]:
    """Return the personal tags in an order drawn from the seed, the first ones the most popular (Zipf)."""
    settings: dict[str, Any] = read_data("listeners.toml")["personal"]
    tags = list(settings["symbols"])
    for pattern in settings["patterns"]:
        fields = re.findall(r"\{(\w+)\}", pattern)
        fillings = product(*(settings[field] for field in fields))
        tags += [pattern.format(**dict(zip(fields, words, strict=True))) for words in fillings]
    tags = [tag for tag in dict.fromkeys(tags) if tag not in taken]
    order = np.random.default_rng((seed, 5)).permutation(len(tags))
    return {tags[place]: (rank + 1.0) ** -settings["zipf"] for rank, place in enumerate(order)}


@dataclass(frozen=True)
class Folksonomy:
    """The crowd's tags (weights 0 to 100), and what each means in the order of the table's columns.

    `verdicts` says of every entry, (track id, tag), whether it is "right", "wrong" or an "opinion".
    """

    table: TagTable
    tag_truth: tuple[TagTruth, ...]
    verdicts: dict[tuple[str, str], str]


def true_concepts(recipes: Recipes, piece: Piece) -> list[tuple[str, str]]:
    """Return what is true of a piece, as (kind, concept) pairs."""
    artist = piece.artist
    recipe = recipes.genres[artist.genre].subgenres[artist.subgenre]
    instruments = {tag for sound in artist.sounds for tag in recipes.timbres[sound].tags}
    if recipe.kit:
        instruments.add("drums")
    return [
        ("genre", artist.genre),
        ("subgenre", artist.subgenre),
        *(("mood", mood) for mood in piece.moods),
        ("era", artist.era),
        ("voice", artist.sex or "none"),
        *(("instrument", instrument) for instrument in sorted(instruments)),
        ("place", artist.place),
    ]


def build_folksonomy(recipes: Recipes, pieces: Sequence[Piece], seed: int = 0) -> Folksonomy:
    """Let the crowd tag the pieces. The same pieces and seed give the same tags."""
    vocabulary = build_vocabulary(seed, list(dict.fromkeys(piece.artist.name for piece in pieces)))
    settings = read_data("listeners.toml")
    counts = np.zeros((len(pieces), len(vocabulary.truth)), np.int64)
    for row, piece in enumerate(pieces):
        counts[row] = _counts(recipes, vocabulary, settings, piece)
    used = np.flatnonzero(counts.any(axis=0)).tolist()
    used.sort(key=lambda column: vocabulary.truth[column].tag)
    counts, truth = counts[:, used], [vocabulary.truth[column] for column in used]
    rows, columns = np.nonzero(counts)
    weights = np.floor(100.0 * counts[rows, columns] / counts.max(axis=1)[rows]).astype(np.float32)
    table = TagTable.from_codes(
        [piece.track_id for piece in pieces], [entry.tag for entry in truth], rows, columns, weights
    )
    facts = [set(true_concepts(recipes, piece)) for piece in pieces]
    verdicts = {}
    for row, entry in zip(rows.tolist(), [truth[column] for column in columns.tolist()], strict=True):
        right = "right" if (entry.kind, entry.concept) in facts[row] else "wrong"
        verdicts[pieces[row].track_id, entry.tag] = right if entry.kind in TRUE_KINDS else "opinion"
    return Folksonomy(table, tuple(truth), verdicts)


def _counts(
    recipes: Recipes, vocabulary: Vocabulary, settings: dict[str, Any], piece: Piece
) -> npt.NDArray[np.int64]:
    """Return how many listeners gave each tag to a piece, (n_tags,); at most the 100 most frequent are kept."""
    rng = np.random.default_rng((*piece.seed, 4))
    crowd = settings["listeners"]
    n_tags = len(vocabulary.truth)
    listeners = crowd["median"] * piece.artist.reach * rng.lognormal(0.0, crowd["spread"])
    n_words = rng.poisson(crowd["tags_each"] * (1.0 + listeners))
    if rng.random() < crowd["untagged"]:
        return np.zeros(n_tags, np.int64)
    readiness = np.zeros(len(vocabulary.concepts))
    for kind, concept in _believed(recipes, vocabulary, settings, piece, rng):
        row = vocabulary.concept_index.get((kind, concept))
        if row is not None:
            readiness[row] += settings["salience"][kind]
    shares = (readiness / readiness.sum()) @ vocabulary.choices
    shares = (1.0 - crowd["slip"]) * shares + crowd["slip"] / n_tags
    counts = rng.multinomial(n_words, shares / shares.sum()).astype(np.int64)
    rarest_first = np.argsort(counts, kind="stable")
    counts[rarest_first[: n_tags - crowd["most"]]] = 0
    return counts


def _believed(
    recipes: Recipes, vocabulary: Vocabulary, settings: dict[str, Any], piece: Piece, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Return what the crowd believes of a piece: the truth less what it misses, some of it replaced."""
    believed = [("subjective", "liking"), ("personal", "personal"), ("artist", piece.artist.name)]
    for kind, concept in true_concepts(recipes, piece):
        if rng.random() < settings["missing"][kind]:
            continue
        if rng.random() < settings["wrong"].get(kind, 0.0):
            others = _alternatives(recipes, vocabulary, kind, concept, piece)
            concept = others[rng.integers(len(others))]
        believed.append((kind, concept))
    return believed


def _alternatives(
    recipes: Recipes, vocabulary: Vocabulary, kind: str, concept: str, piece: Piece
) -> list[str]:
    """Return what a concept may be mistaken for."""
    if kind == "subgenre":
        known = list(recipes.genres[piece.artist.genre].subgenres)
    elif kind == "era":
        eras = list(recipes.eras)
        place = eras.index(concept)
        known = eras[max(place - 1, 0) : place + 2]
    else:
        known = [name for found, name in vocabulary.concepts if found == kind]
    return [name for name in known if name != concept]
