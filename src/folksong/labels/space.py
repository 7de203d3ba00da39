"""The label space: the ordered labels that a classifier predicts, each with its member tags.

Stored as ``*.labels.json``, which a person can read and edit; the order of labels is part of the file.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from folksong.embeddings.tags import TagVectors
from folksong.embeddings.words import WordVectors
from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.files import json_value, read_document, write_json
from folksong.tags.sources.read_tags import Tags, as_table
from folksong.tags.table import TagTable, csr_of_largest

FORMAT = "folksong.labels"
VERSION = 1


@dataclass(frozen=True)
class Label:
    """One label: a name and the tags it stands for.

    Args:
        name: unique in its space.
        tags: its tags; where tags belong to one label each, all of them.
        also: further tags that mean it too, but whose main label is another.
        facet: what its tags say something of (`folksong.tags.facets`); empty where nobody asked.
    """

    name: str
    tags: tuple[str, ...]
    also: tuple[str, ...] = ()
    facet: str = ""

    @property
    def members(self) -> tuple[str, ...]:
        """All tags that mean it: its own, then the others."""
        return (*self.tags, *self.also)


@dataclass(frozen=True)
class Coverage:
    """What a label space keeps of a tag table.

    Args:
        counts: share of all (track, tag) counts whose tag belongs to some label; NaN for a table without counts.
        tracks: share of all tracks that have at least one label; NaN for a table without tracks.
        n_counts: number of counts kept.
        n_tracks: number of tracks with at least one label.
        all_counts: number of counts in the table.
        all_tracks: number of tracks in the table, tagged or not.
        absent_labels: names of the labels that no track of the table has.
    """

    counts: float
    tracks: float
    n_counts: int
    n_tracks: int
    all_counts: int
    all_tracks: int
    absent_labels: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values; an undefined share is null."""
        cleaned: dict[str, Any] = json_value(asdict(self))
        return cleaned


@dataclass(frozen=True)
class LabelSpace:
    """Ordered labels, aliases and provenance.

    Args:
        labels: in the order of the classifier's outputs; names are unique, each label has at least one tag. A tag
            may belong to several labels.
        aliases: raw tag -> member tag, so that a source's raw spelling still finds its label.
        provenance: builder, parameters, seed and SHA-256 of what the space was learned from; JSON values only.

    Raises:
        FolksongError: a name twice, a label without tags, an alias that leads to no member tag.
    """

    labels: tuple[Label, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names: set[str] = set()
        for label in self.labels:
            if label.name in names:
                raise FolksongError(f"the label {label.name!r} occurs twice; names must be unique")
            if not label.tags:
                raise FolksongError(f"the label {label.name!r} has no tags")
            if len(set(label.members)) != len(label.members):
                raise FolksongError(f"the label {label.name!r} lists a tag twice")
            names.add(label.name)
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "aliases", MappingProxyType(dict(self.aliases)))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))
        for raw, member in self.aliases.items():
            if member not in self._labels_of_member:
                raise FolksongError(f"the alias {raw!r} leads to {member!r}, which no label holds")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"LabelSpace({len(self)} labels, {len(self._labels_of_member)} tags)"

    def __getstate__(self) -> dict[str, Any]:
        return {"labels": self.labels, "aliases": dict(self.aliases), "provenance": dict(self.provenance)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value if name == "labels" else MappingProxyType(value))

    @property
    def names(self) -> tuple[str, ...]:
        """The labels' names, in order."""
        return tuple(label.name for label in self.labels)

    @property
    def spellings(self) -> tuple[str, ...]:
        """All tags that belong to a label, and their raw spellings."""
        return (*self._labels_of_member, *self.aliases)

    @cached_property
    def _labels_of_member(self) -> dict[str, tuple[int, ...]]:
        members: dict[str, tuple[int, ...]] = {}
        for tags in ("tags", "also"):
            for number, label in enumerate(self.labels):
                for tag in getattr(label, tags):
                    members[tag] = (*members.get(tag, ()), number)
        return members

    def labels_of(self, tag: str) -> tuple[int, ...]:
        """Return the numbers of the labels that a raw tag belongs to, by itself or through its alias.

        The labels that hold it as one of their own come first.
        """
        found = self._labels_of_member.get(tag)
        if found is None:
            found = self._labels_of_member.get(self.aliases.get(tag, ""), ())
        return found

    def index(self, name: str) -> int:
        """Return the number of the label with this name.

        Raises:
            FolksongError: there is none; the message gives the nearest name.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise FolksongError(f"no label is called {name!r}{nearest(name, self.names)}") from None

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags that belong to a label, each once, in the order of the labels."""
        return tuple(dict.fromkeys(tag for label in self.labels for tag in label.members))

    def encode(self, tags: Tags, *, weights: bool = False) -> sp.csr_matrix:
        """Return each track's labels as CSR float32 (n_tracks, n_labels).

        Binary; with ``weights=True`` the largest weight of the track's member tags (a stored 0 stays stored).
        """
        table = as_table(tags)
        number_of_labels = [self.labels_of(tag) for tag in table.tags]
        lengths = np.array([len(numbers) for numbers in number_of_labels], np.int64)
        flat = np.array([n for numbers in number_of_labels for n in numbers], np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        entries = table.weights.tocoo()
        repeats = lengths[entries.col]
        rows = np.repeat(entries.row.astype(np.int64), repeats)
        within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        columns = flat[np.repeat(starts[entries.col], repeats) + within]
        values = np.repeat(entries.data, repeats) if weights else np.ones(len(rows), np.float32)
        return csr_of_largest(rows, columns, values, (table.n_tracks, len(self)))

    def encode_tags(
        self, tags: Iterable[str], weights: Sequence[float] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the labels of one track's raw tags: (n_labels,) float32, 1 where a tag belongs to the label.

        With `weights` (parallel to `tags`) the largest weight of the member tags instead of 1.
        """
        row = np.zeros(len(self), np.float32)
        for position, tag in enumerate(tags):
            value = 1.0 if weights is None else weights[position]
            for number in self.labels_of(tag):
                row[number] = max(row[number], value)
        return row

    def coverage(self, tags: Tags) -> Coverage:
        """Return the shares of the counts and tracks of `tags` that this space keeps, aliases included."""
        table = as_table(tags)
        numbers = [self.labels_of(tag) for tag in table.tags]
        belongs = np.array([bool(labels) for labels in numbers], dtype=bool)
        kept = belongs[table.weights.indices]
        rows = np.repeat(np.arange(table.n_tracks), np.diff(table.weights.indptr))
        n_counts, n_tracks = int(kept.sum()), int(np.unique(rows[kept]).size)
        used = {label for tag, labels in enumerate(numbers) if table.counts[tag] for label in labels}
        return Coverage(
            counts=n_counts / table.n_counts if table.n_counts else float("nan"),
            tracks=n_tracks / table.n_tracks if table.n_tracks else float("nan"),
            n_counts=n_counts,
            n_tracks=n_tracks,
            all_counts=table.n_counts,
            all_tracks=table.n_tracks,
            absent_labels=tuple(name for number, name in enumerate(self.names) if number not in used),
        )

    def mean_imbalance_ratio(self, tags: Tags) -> float:
        """Return the mean over labels of the tracks of the largest label over the label's own (Charte et al. 2015).

        1 where all labels are on equally many tracks; labels on no track are passed over, NaN without any other.
        """
        n_tracks = self.encode(tags).getnnz(axis=0)
        used = n_tracks[n_tracks > 0]
        return float(np.mean(used.max() / used)) if len(used) else float("nan")

    def sha256(self) -> str:
        """Return a hash of labels and aliases (not of the provenance)."""
        content = {
            "labels": [
                [label.name, label.tags, *([label.also] if label.also else [])] for label in self.labels
            ],
            "aliases": sorted(self.aliases.items()),
        }
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()

    @classmethod
    def built(
        cls,
        labels: Iterable[Label],
        aliases: Mapping[str, str],
        settings: Mapping[str, Any],
        table: TagTable,
        further: Mapping[str, Any] | None = None,
        vectors: WordVectors | TagVectors | None = None,
    ) -> "LabelSpace":
        """Return what a builder with these settings made of a table; aliases that lead to no member are left out.

        The provenance says all of it: the settings, the table, the vectors, and what is `further` known.
        """
        made = tuple(labels)
        learned = {"n_tracks": table.n_tracks, "table_sha256": table.sha256()}
        if vectors is not None:
            learned |= {"vectors": vectors.source, "vectors_sha256": vectors.sha256}
        return cls(made, _leading(aliases, made), {**settings, **learned, **(further or {})})

    def with_labels(self, labels: Iterable[Label], provenance: Mapping[str, Any]) -> "LabelSpace":
        """Return a space of other labels; aliases that lead to no member are left out."""
        made = tuple(labels)
        return LabelSpace(made, _leading(self.aliases, made), provenance)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the space as ``*.labels.json``."""
        write_json(
            path,
            {
                "format": FORMAT,
                "version": VERSION,
                "labels": [write_label(label) for label in self.labels],
                "aliases": dict(self.aliases),
                "provenance": dict(self.provenance),
            },
        )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "LabelSpace":
        """Read a ``*.labels.json`` file.

        Raises:
            FileFormatError: it is not one; the message names the file and the entry at fault.
        """
        content = read_document(path, FORMAT, VERSION, "a label space", "`folksong labels` writes them")
        labels = content.get("labels")
        if not isinstance(labels, list):
            raise FileFormatError(f"{path}: 'labels' must be a list")
        try:
            aliases = _mapping(content, "aliases")
            if not all(isinstance(member, str) for member in aliases.values()):
                raise FolksongError("'aliases' must lead from text to text")
            read = tuple(read_label(entry, number) for number, entry in enumerate(labels))
            space = cls(read, aliases, _mapping(content, "provenance"))
            "".join((*space.names, *space.spellings)).encode("utf-8")
        except UnicodeEncodeError as error:
            raise FileFormatError(f"{path}: holds a lone surrogate, which is no character") from error
        except FolksongError as error:
            raise FileFormatError(f"{path}: {error}") from error
        return space


def _leading(aliases: Mapping[str, str], labels: Sequence[Label]) -> dict[str, str]:
    """Return the aliases that lead to a member of the labels."""
    members = {tag for label in labels for tag in label.members}
    return {raw: member for raw, member in aliases.items() if member in members}


def write_label(label: Label) -> dict[str, Any]:
    """Return a label as JSON values; `also` and `facet` only where there are such."""
    entry: dict[str, Any] = {"facet": label.facet} if label.facet else {}
    entry |= {"name": label.name, "tags": list(label.tags)}
    return {**entry, "also": list(label.also)} if label.also else entry


def read_label(entry: object, number: int) -> Label:
    """Return the label that `write_label` wrote as entry `number` of a list."""
    match entry:
        case {"name": str(name), "tags": list(tags), "also": list(also)}:
            pass
        case {"name": str(name), "tags": list(tags), **more} if "also" not in more:
            also = []
        case _:
            tags, also = [None], []
    facet = entry.get("facet", "") if isinstance(entry, dict) else ""
    if not all(isinstance(tag, str) for tag in (*tags, *also, facet)):
        raise FolksongError(
            f'labels[{number}] must be {{"facet": text, "name": text, "tags": [texts], "also": [texts]}} ("facet" and '
            f'"also" may be left out), not {str(entry)[:80]}'
        )
    return Label(name, tuple(tags), tuple(also), facet)


def _mapping(content: dict[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key, {})
    if not isinstance(value, dict):
        raise FolksongError(f"{key!r} must be an object")
    return value
