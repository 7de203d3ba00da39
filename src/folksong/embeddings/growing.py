"""A folder of embeddings that follows its recordings: only new and changed ones are heard, by any number of processes.

The folder's provenance says of which state of its recording (bytes, time of change) each row is, or the reason why
there is none. What is to be heard is shared out in parts by claims (`folksong.claims`), and each part's rows are put
whole into ``.writing/``: a writing that was stopped goes on with the same command, and the same command given several
times shares the work. When all rows are there, one process writes the folder: as if made at once, in the order of the
recordings.
"""

import io
import json
import logging
import math
import os
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from folksong.claims import Claims, in_turn
from folksong.embeddings.store import (
    DESCRIPTION_NAME,
    WRITING_NAME,
    Embeddings,
    EmbeddingSpace,
    read_embeddings,
    refuse_foreign,
    settle,
    write_embeddings,
)
from folksong.errors import FolksongError, counted
from folksong.files import sha256_json
from folksong.stores import Store, state_of

logger = logging.getLogger(__name__)

Row = npt.NDArray[np.float32] | str
"""An embedding, (dimensions,), or the reason why a recording has none."""
Hear = Callable[[Iterator[Sequence[str]]], Iterator[Mapping[str, Row]]]

MOST_OF_A_PART, LEAST_PARTS = 20, 64
PARTS_AT_HAND = 4
SECONDS_BETWEEN_LOOKS = 1.0  # at what other processes do
LOOKED_AT_ONCE = 16
ENDING = ".npz"
FINISH = "finish"  # the claim of whoever writes the folder


def states_of(places: Mapping[str, str | os.PathLike[str]]) -> dict[str, str]:
    """Return track id -> bytes and time of change (ns) of its recording, or no text where it cannot be looked at."""

    def state(place: str | os.PathLike[str]) -> str:
        try:
            return " ".join(map(str, state_of(place)))
        except OSError:
            return ""

    with ThreadPoolExecutor(LOOKED_AT_ONCE) as lookers:  # of an object store each look is a request
        return dict(zip(places, lookers.map(state, places.values()), strict=True))


def grow_embeddings(
    folder: str | os.PathLike[str],
    space: EmbeddingSpace,
    states: Mapping[str, str],
    hear: Hear,
    *,
    provenance: Mapping[str, Any] | None = None,
    progress: bool = False,
    told: int = logging.INFO,
) -> Embeddings:
    """Bring a folder to the state of its recordings: hear what is new or changed, keep the rest, drop what is gone.

    Args:
        folder: of embeddings that this function made, begun, or is to make.
        space: what makes them.
        states: of the recordings, see `states_of`, in the order of the rows.
        hear: takes lists of track ids, and yields of each list, one before the other or not, the rows of its tracks.
        provenance: JSON values that are kept beside ``files`` (the states) and ``skipped`` (track ids and reasons).
        progress: show a bar.
        told: the level of the message that says what is new, changed and gone.

    Raises:
        FolksongError: the folder holds something else or embeddings of another space, or no recording has any.
    """
    growth = _Growth(Path(folder), space, dict(states), dict(provenance or {}))
    if (done := growth.look()) is not None:
        logger.log(told, "%s: these embeddings are written already; nothing to do", folder)
        return done
    if growth.old is not None or growth.n_unknown() < len(states):
        logger.log(told, "%s: %s", folder, growth.difference())
    with (
        Claims(growth.store, WRITING_NAME) as claims,
        tqdm(total=growth.n_unknown(), unit="track", leave=False, disable=not progress) as bar,
    ):
        while True:
            todo = growth.todo()
            task_of = {part[0]: task for task, part in todo.items()}
            n_heard = 0
            for rows in hear(growth.claimed(todo, claims)) if todo else ():
                growth.put(rows)
                claims.release(task_of[next(iter(rows))])
                bar.update(len(rows))
                n_heard += len(rows)
            if not todo and claims.take(FINISH):
                try:
                    return growth.look() or growth.finish(claims)
                finally:
                    claims.release(FINISH)
            if not n_heard:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            if (done := growth.look()) is not None:
                return done


@dataclass(frozen=True, eq=False)
class _Known:
    """Rows that are there, in the folder or in a part: ``files`` as in the provenance, and which rows lie where."""

    files: Mapping[str, str]
    reasons: Mapping[str, str]
    row_of: Mapping[str, int]
    values: Callable[[], npt.NDArray[np.floating]]


class _Growth:
    """What is known of the recordings of a folder, and what is not yet."""

    def __init__(
        self, place: Path, space: EmbeddingSpace, files: dict[str, str], provenance: dict[str, Any]
    ) -> None:
        self.place, self.space, self.files, self.provenance = place, space, files, provenance
        self.store = Store(place)
        self.old: _Known | None = None
        self._stamp: tuple[int, int] | None = None  # of the description that was read
        self._parts: dict[str, _Known] = {}
        self._where: dict[str, _Known] = {}
        self._part_values = lru_cache(PARTS_AT_HAND)(self._read_values)

    def look(self) -> Embeddings | None:
        """See what is there now; return the embeddings if they are those that are wanted."""
        settle(self.place)
        refuse_foreign(self.place)
        description = self.place / DESCRIPTION_NAME
        if description.exists() and self._stamp != (stamp := state_of(description)):
            old = read_embeddings(self.place)
            self.space.require(old.space, self.place, "this writing")
            if not isinstance(files := old.provenance.get("files"), dict):
                raise FolksongError(f"{self.place}: holds embeddings already; choose another folder")
            reasons = {one["track_id"]: one["reason"] for one in old.provenance["skipped"]}
            if list(files.items()) == list(self.files.items()) and old.provenance == self._described(reasons):
                return old
            rows = {track_id: row for row, track_id in enumerate(old.track_ids)}
            self.old, self._stamp = _Known(files, reasons, rows, lambda: old.values), stamp
        names = [name for name in self.store.sizes(WRITING_NAME) if name.endswith(ENDING)]
        found = {name: self._parts.get(name) or self._read_part(name) for name in names}
        self._parts = {name: part for name, part in found.items() if part is not None}
        self._where = {
            track_id: known
            for known in (*([self.old] if self.old else []), *self._parts.values())
            for track_id, state in known.files.items()
            if self.files.get(track_id) == state
        }
        return None

    def _described(self, reasons: Mapping[str, str]) -> dict[str, Any]:
        skipped = [
            {"track_id": track_id, "reason": reasons[track_id]}
            for track_id in self.files
            if track_id in reasons
        ]
        return {**self.provenance, "files": self.files, "skipped": skipped}

    def _read_part(self, name: str) -> _Known | None:
        """Return what a part holds; None if it is gone, or not whole."""
        try:
            with np.load(self.store.folder / WRITING_NAME / name, allow_pickle=False) as arrays:
                content = json.loads(arrays["content"].tobytes())
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            self.store.delete(f"{WRITING_NAME}/{name}")
            return None
        self.space.require(EmbeddingSpace(**content["space"]), f"{self.place} (not finished)", "this writing")
        files, reasons = content["files"], content["reasons"]
        rows = {track_id: row for row, track_id in enumerate(name for name in files if name not in reasons)}
        return _Known(files, reasons, rows, lambda: self._part_values(name))

    def _read_values(self, name: str) -> npt.NDArray[np.float32]:
        with np.load(self.store.folder / WRITING_NAME / name, allow_pickle=False) as arrays:
            values: npt.NDArray[np.float32] = arrays["values"]
            return values

    def difference(self) -> str:
        """Say what is new, changed and gone."""
        before = {} if self.old is None else self.old.files
        changed = sum(before.get(track_id, state) != state for track_id, state in self.files.items())
        n_new, n_gone = len(self.files.keys() - before.keys()), len(before.keys() - self.files.keys())
        return f"{counted(n_new, 'recording')} new, {changed} changed, {n_gone} vanished; {len(self._where)} are there"

    def n_unknown(self) -> int:
        """Return how many recordings are to be heard."""
        return len(self.files) - len(self._where)

    def todo(self) -> dict[str, list[str]]:
        """Return the parts that are to be heard: name of the task -> its track ids.

        All processes that are given the same recordings divide them alike, whatever is known to each.
        """
        track_ids = list(self.files)
        size = min(MOST_OF_A_PART, math.ceil(len(track_ids) / LEAST_PARTS))
        parts = (track_ids[first : first + size] for first in range(0, len(track_ids), size))
        left = ((part, [track_id for track_id in part if track_id not in self._where]) for part in parts)
        return {self._name(part): unknown for part, unknown in left if unknown}

    def _name(self, track_ids: Iterable[str]) -> str:
        files = [[track_id, self.files[track_id]] for track_id in track_ids]
        return sha256_json([asdict(self.space), files])[:24]

    def claimed(self, todo: Mapping[str, list[str]], claims: Claims) -> Iterator[list[str]]:
        """Claim one part after the other, and yield its track ids."""
        for task in claims.each(in_turn(list(todo)), lambda task: self._is_put(todo[task])):
            yield todo[task]

    def _is_put(self, part: Sequence[str]) -> bool:
        return self.store.size(f"{WRITING_NAME}/{self._name(part)}{ENDING}") is not None

    def put(self, rows: Mapping[str, Row]) -> None:
        """Keep the rows of a part."""
        reasons = {track_id: row for track_id, row in rows.items() if isinstance(row, str)}
        vectors = [row for row in rows.values() if not isinstance(row, str)]
        files = {track_id: self.files[track_id] for track_id in rows}
        content = {"space": asdict(self.space), "files": files, "reasons": reasons}
        stream = io.BytesIO()
        np.savez(
            stream,
            values=np.array(vectors, np.float32).reshape(-1, self.space.dimensions),
            content=np.frombuffer(json.dumps(content).encode(), np.uint8),
        )
        self.store.put(f"{WRITING_NAME}/{self._name(rows)}{ENDING}", stream.getvalue())

    def finish(self, claims: Claims) -> Embeddings:
        """Write the folder, all rows being there, and remove the parts that it was made of."""
        reasons = {
            track_id: known.reasons[track_id]
            for track_id, known in self._where.items()
            if track_id in known.reasons
        }
        if reasons:
            logger.warning("%d of %d recordings have no embedding", len(reasons), len(self.files))
        if len(reasons) == len(self.files):  # the next try hears them again
            self._forget_parts()
        with write_embeddings(self.place, self.space, replace=True) as writer:
            for track_id in self.files:
                known = self._where[track_id]
                if track_id not in reasons:
                    writer.add(track_id, known.values()[known.row_of[track_id]])
            written = writer.finish(self._described(reasons))
        self._forget_parts()
        claims.remove_dead()
        return written

    def _forget_parts(self) -> None:
        for name in self._parts:
            self.store.delete(f"{WRITING_NAME}/{name}")
