"""Curation of a label space by a person: actions, the log that keeps them, and their replay.

An action names labels and tags by their text, so that a log can be read, merged with another and replayed without the
app that wrote it. A log is a `folksong.journal`: its first line says of which space it is (by its SHA-256), each
further line is one action, with who did it and when. What was undone stays in the log and takes no part.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from folksong import journal
from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.labels.space import Label, LabelSpace
from folksong.tags.table import TagTable

Item = TypeVar("Item")

FORMAT = "folksong.curation"
VERSION = 1
FIELDS = {
    "move": ("tag", "label", "to"),
    "merge": ("label", "to"),
    "split": ("label", "to", "tags"),
    "rename": ("label", "to"),
    "drop": ("label", "tag"),
    "facet": ("label", "to"),
    "undo": (),
    "redo": (),
}
"""What an action of each kind says."""
MAY_BE_EMPTY = {("move", "label"), ("split", "label"), ("drop", "tag"), ("facet", "to")}
LONGEST_NAME = 200
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
MOST_CUT = 1500
"""Of a label to split, so many of its most frequent tags are clustered; the others follow the nearer half."""


@dataclass(frozen=True)
class Action:
    """One decision of a person about a label space.

    Args:
        kind: ``move`` a tag from the label to the label `to` as one of its own tags; ``merge`` the label into `to`;
            ``split`` `tags` off the label, as the new label `to`; ``rename`` the label to `to`; ``drop`` the label, or
            only its `tag`; set its ``facet`` to `to`; ``undo`` the last action, ``redo`` what was undone last.
        label: by its name; empty where a tag of no label is moved, or where tags of none become a new label.
        tag: the tag that is moved or dropped.
        to: a label's name, or a facet.
        tags: of a split.

    Raises:
        FolksongError: an unknown kind, a part that is missing or that this kind has no use for.
    """

    kind: str
    label: str = ""
    tag: str = ""
    to: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(self.tags))
        if self.kind not in FIELDS:
            raise FolksongError(f"no action is called {self.kind!r}{nearest(str(self.kind), tuple(FIELDS))}")
        for name in ("label", "tag", "to", "tags"):
            value = getattr(self, name)
            texts = value if name == "tags" else (value,)
            if not all(isinstance(text, str) and _is_text(text) for text in texts):
                raise FolksongError(f"{name!r} of the action {self.kind!r} is no text")
            if name not in FIELDS[self.kind] and value:
                raise FolksongError(f"the action {self.kind!r} has no {name!r}")
            if name in FIELDS[self.kind] and not value and (self.kind, name) not in MAY_BE_EMPTY:
                raise FolksongError(f"the action {self.kind!r} lacks {name!r}")
        if self.kind in ("split", "rename", "facet"):
            _check_new_name(self.to)
        if len(set(self.tags)) != len(self.tags):
            raise FolksongError("a tag is listed twice")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Action":
        """Return the action that `to_dict` wrote.

        Raises:
            FolksongError: it is none; the message says what is wrong.
        """
        kind = content.get("kind")
        if not isinstance(kind, str):
            raise FolksongError("an action says its 'kind'")
        tags = content.get("tags", [])
        if not isinstance(tags, list):
            raise FolksongError("'tags' must be a list")
        unknown = next((name for name in content if name not in (*cls.__match_args__, "who", "when")), None)
        if unknown is not None:
            raise FolksongError(f"an action has no {unknown!r}{nearest(unknown, cls.__match_args__)}")
        texts = {name: content.get(name, "") for name in ("label", "tag", "to")}
        return cls(kind, **texts, tags=tuple(tags))

    def to_dict(self) -> dict[str, Any]:
        """Return the action as JSON values; of a kind only what it says."""
        parts = {name: getattr(self, name) for name in FIELDS[self.kind]}
        parts = {
            name: value for name, value in parts.items() if value or (self.kind, name) not in MAY_BE_EMPTY
        }
        return {"kind": self.kind} | {
            name: list(value) if name == "tags" else value for name, value in parts.items()
        }

    def __str__(self) -> str:
        match self.kind:
            case "move":
                return (
                    f"move {self.tag!r} "
                    + (f"from {self.label!r} " if self.label else "")
                    + f"to {self.to!r}"
                )
            case "split":
                source = f" of {self.label!r}" if self.label else ""
                return f"make {self.to!r} of {len(self.tags)} tags{source}"
            case "merge" | "rename":
                return f"{self.kind} {self.label!r} {'into' if self.kind == 'merge' else 'to'} {self.to!r}"
            case "drop":
                return (
                    f"drop {self.tag!r} from {self.label!r}" if self.tag else f"drop the label {self.label!r}"
                )
            case "facet":
                return f"set the facet of {self.label!r} to {self.to or 'none'!r}"
        return self.kind


Step = tuple[Action, tuple[Label, ...], tuple[Label, ...]]
"""An action, and the labels before and after it."""


def _move(kind: str, done: list[Item], undone: list[Item]) -> Item:
    """Undo or redo: move the last of one list to the other, and return it."""
    source, target = (done, undone) if kind == "undo" else (undone, done)
    if not source:
        raise FolksongError(f"there is nothing to {kind}")
    target.append(source.pop())
    return target[-1]


class Curation:
    """A label space as actions leave it, with what undo and redo need."""

    def __init__(self, space: LabelSpace) -> None:
        self.base = space
        self.labels = space.labels
        self._past: list[Step] = []
        self._future: list[Step] = []

    @property
    def done(self) -> tuple[Action, ...]:
        """The actions that count, in order: neither undone ones nor undo and redo."""
        return tuple(action for action, *_ in self._past)

    @property
    def next_undo(self) -> Action | None:
        """The action that undo would undo."""
        return self._past[-1][0] if self._past else None

    @property
    def next_redo(self) -> Action | None:
        """The action that redo would do again."""
        return self._future[-1][0] if self._future else None

    def apply(self, action: Action) -> None:
        """Do one action; where it does not apply nothing changes.

        Raises:
            FolksongError: it does not apply; the message says why.
        """
        if action.kind in ("undo", "redo"):
            _, before, after = _move(action.kind, self._past, self._future)
            self.labels = before if action.kind == "undo" else after
            return
        labels = _apply(self.labels, action)
        self._past.append((action, self.labels, labels))
        self._future.clear()
        self.labels = labels

    def label(self, name: str) -> Label:
        """Return the label of this name.

        Raises:
            FolksongError: there is none.
        """
        return self.labels[_place(self.labels, name)]

    @property
    def space(self) -> LabelSpace:
        """The label space as it is now; its provenance says from which one it comes, by how many actions."""
        if not self._past:
            return self.base
        before = self.base.provenance.get("curation", [])
        step = {"space_sha256": self.base.sha256(), "n_actions": len(self._past)}
        return self.base.with_labels(self.labels, {**self.base.provenance, "curation": [*before, step]})


def apply_actions(space: LabelSpace, actions: Iterable[Action]) -> LabelSpace:
    """Return a label space after these actions.

    Raises:
        FolksongError: one does not apply; the message gives its number, from 1.
    """
    curation = Curation(space)
    for number, action in enumerate(actions, 1):
        try:
            curation.apply(action)
        except FolksongError as error:
            raise FolksongError(f"action {number}, {action}: {error}") from error
    return curation.space


def _apply(labels: tuple[Label, ...], action: Action) -> tuple[Label, ...]:
    changed = list(labels)
    place = _place(labels, action.label) if action.label else -1
    match action.kind:
        case "move":
            target = _place(labels, action.to)
            if target == place:
                raise FolksongError(f"{action.tag!r} is in {action.to!r} already")
            if place >= 0:
                changed[place] = _without(labels[place], [action.tag])
            elif any(action.tag in label.members for label in labels):
                raise FolksongError(f"{action.tag!r} is in a label; say in which")
            changed[target] = _with(labels[target], [action.tag], [])
        case "merge":
            target = _place(labels, action.to)
            if target == place:
                raise FolksongError("a label cannot be merged into itself")
            changed[target] = _with(labels[target], labels[place].tags, labels[place].also)
            del changed[place]
        case "split":
            _check_is_new(labels, action.to)
            if place >= 0:
                changed[place] = _without(labels[place], action.tags)
                new = _only(labels[place], action.tags, action.to)
            elif taken := next(
                (tag for label in labels for tag in label.members if tag in action.tags), None
            ):
                raise FolksongError(f"{taken!r} is in a label; say in which")
            else:
                new = Label(action.to, action.tags)
            changed.insert(place + 1 if place >= 0 else len(changed), new)
        case "rename":
            if action.to != action.label:
                _check_is_new(labels, action.to)
            changed[place] = replace(labels[place], name=action.to)
        case "facet":
            changed[place] = replace(labels[place], facet=action.to)
        case "drop" if action.tag:
            changed[place] = _without(labels[place], [action.tag])
        case "drop":
            del changed[place]
    if not changed:
        raise FolksongError("a label space keeps at least one label")
    return tuple(changed)


def _place(labels: tuple[Label, ...], name: str) -> int:
    for place, label in enumerate(labels):
        if label.name == name:
            return place
    raise FolksongError(f"no label is called {name!r}{nearest(name, tuple(label.name for label in labels))}")


def _with(label: Label, tags: Iterable[str], also: Iterable[str]) -> Label:
    """Return the label with further tags; what becomes its own is no more only `also` in it."""
    own = tuple(dict.fromkeys((*label.tags, *tags)))
    taken = set(own)
    return replace(
        label, tags=own, also=tuple(tag for tag in dict.fromkeys((*label.also, *also)) if tag not in taken)
    )


def _without(label: Label, tags: Iterable[str]) -> Label:
    gone = set(tags)
    missing = gone - set(label.members)
    if missing:
        raise FolksongError(f"{min(missing)!r} is not in {label.name!r}")
    own = tuple(tag for tag in label.tags if tag not in gone)
    if not own:
        raise FolksongError(f"{label.name!r} would have no tag of its own; merge it with another, or drop it")
    return replace(label, tags=own, also=tuple(tag for tag in label.also if tag not in gone))


def _only(label: Label, tags: Iterable[str], name: str) -> Label:
    kept = set(tags)
    own, also = (tuple(tag for tag in part if tag in kept) for part in (label.tags, label.also))
    return Label(name, own or also, also if own else (), label.facet)


def _check_is_new(labels: tuple[Label, ...], name: str) -> None:
    if any(label.name == name for label in labels):
        raise FolksongError(f"there is a label {name!r} already")


def _check_new_name(name: str) -> None:
    if CONTROLS.search(name) or name != name.strip() or len(name) > LONGEST_NAME:
        raise FolksongError(
            f"{name[:60]!r} is no name: at most {LONGEST_NAME} characters on one line, no blank at either end"
        )


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a character
        return False
    return True


def start_log(path: str | os.PathLike[str], space: LabelSpace) -> tuple[Action, ...]:
    """Return the actions in a log, undone ones too; a log that is not there begins with this space.

    Raises:
        FolksongError: the log belongs to another space.
    """
    if not Path(path).exists() or not journal.read(path):
        journal.append(path, [{"format": FORMAT, "version": VERSION, "space_sha256": space.sha256()}])
        return ()
    log = read_log(path)
    if log.space_sha256 != space.sha256():
        raise FolksongError(f"{log.of_another(space)}, or name another log")
    return log.actions


def log_actions(path: str | os.PathLike[str], actions: Iterable[Action], who: str) -> None:
    """Append actions to a log, with who did them and the time; they are on disk when this returns."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    journal.append(path, [{**action.to_dict(), "who": who, "when": when} for action in actions])


@dataclass(frozen=True)
class CurationLog:
    """A log of actions: the space that it begins with, and all its actions in order."""

    path: Path
    space_sha256: str
    actions: tuple[Action, ...]

    def of_another(self, space: LabelSpace) -> str:
        """Return a message that says that the log did not begin with this space."""
        return (
            f"{self.path}: a log of another label space (SHA-256 {self.space_sha256[:12]}…, not "
            f"{space.sha256()[:12]}…); give the space that it began with"
        )

    @property
    def effective(self) -> tuple[tuple[int, Action], ...]:
        """The actions that count, each with its line: what was undone and not redone takes no part."""
        done: list[tuple[int, Action]] = []
        undone: list[tuple[int, Action]] = []
        for line, action in enumerate(self.actions, 2):
            if action.kind in ("undo", "redo"):
                try:
                    _move(action.kind, done, undone)
                except FolksongError as error:
                    raise FileFormatError(f"{self.path}: line {line}: {error}") from error
            else:
                done.append((line, action))
                undone.clear()
        return tuple(done)


def read_log(path: str | os.PathLike[str]) -> CurationLog:
    """Read a log of actions.

    Raises:
        FileFormatError: it is none, or a line is no action; the message gives the line.
    """
    first, *lines = journal.read(path) or [{}]
    if first.get("format") != FORMAT or first.get("version") != VERSION:
        raise FileFormatError(f'{path}: no log of curation (its first line has no "format": "{FORMAT}")')
    actions = []
    for number, line in enumerate(lines, 2):
        try:
            actions.append(Action.from_dict(line))
        except FolksongError as error:
            raise FileFormatError(f"{path}: line {number}: {error}") from error
    return CurationLog(Path(path), str(first.get("space_sha256")), tuple(actions))


@dataclass(frozen=True)
class Replay:
    """What logs make of a label space.

    Attributes:
        space: after all actions that apply.
        n_actions: how many did.
        n_agreed: actions of a later log that an earlier one had done already.
        conflicts: a line for each action that does not apply after those of the logs before.
    """

    space: LabelSpace
    n_actions: int
    n_agreed: int
    conflicts: tuple[str, ...]


def apply_logs(
    space: LabelSpace, logs: Sequence[str | os.PathLike[str]], *, skip_conflicts: bool = False
) -> Replay:
    """Replay logs of one or several people on a label space, one after another, as the app would have written it.

    Each log begins with the space itself, as another person's does, or with what the logs before it made. With
    `skip_conflicts`, actions that do not apply after the earlier logs are left out.

    Raises:
        FolksongError: a log of another space, or actions that do not apply; the message names each with its line.
    """
    curation, conflicts, n_actions, n_agreed = Curation(space), [], 0, 0
    for log in map(read_log, logs):
        now = curation.space
        if log.space_sha256 not in (space.sha256(), now.sha256()):
            raise FolksongError(log.of_another(space))
        if log.space_sha256 != curation.base.sha256():
            curation = Curation(now)
        before = set(curation.done)
        for line, action in log.effective:
            try:
                curation.apply(action)
                n_actions += 1
            except FolksongError as error:
                if action in before:
                    n_agreed += 1
                else:
                    conflicts.append(f"{log.path}: line {line}, {action}: {error}")
    if conflicts and not skip_conflicts:
        more = f"\nand {len(conflicts) - 10:,} more" if len(conflicts) > 10 else ""
        raise FolksongError(f"{len(conflicts):,} actions do not apply:\n" + "\n".join(conflicts[:10]) + more)
    return Replay(curation.space, n_actions, n_agreed, tuple(conflicts))


def propose_split(label: Label, table: TagTable) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cut a label's tags in two by their company: spherical 2-means of co-occurrence vectors, most frequent first.

    Tags that co-occur with nothing stay in the first half, which is that of the most frequent tag.

    Raises:
        FolksongError: fewer than two of its tags have company, or the table is too small for co-occurrence.
    """
    from folksong.embeddings.ppmi import ppmi_vectors
    from folksong.labels.spherical_kmeans import SphericalKMeans

    tags = table.by_popularity(label.members)
    known = [tag for tag in tags if table.counts_by_tag.get(tag)]
    vectors = ppmi_vectors(table, known) if known else np.zeros((0, 1), np.float32)
    placed = np.flatnonzero(vectors.any(axis=1))
    if len(placed) < 2:
        raise FolksongError(f"{label.name!r}: fewer than two of its tags share tracks with others")
    means = SphericalKMeans(2, n_threads=1).fit(vectors[placed[:MOST_CUT]])
    half = dict(zip([known[row] for row in placed], means.predict(vectors[placed]).tolist(), strict=True))
    first = half[known[placed[0]]]
    parts = (
        [tag for tag in tags if half.get(tag, first) == first],
        [tag for tag in tags if half.get(tag, first) != first],
    )
    return tuple(parts[0]), tuple(parts[1])
