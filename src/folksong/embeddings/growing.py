"""A folder of embeddings that follows its recordings: only new and changed ones are heard, by any number of processes.

The folder's provenance says of which state of its recording (bytes, time of change) each row is, or the reason why
there is none; a reason that may pass is tried again. What is to be heard is shared out in parts by claims
(`folksong.claims`), and each part's rows are put whole into ``.writing/``: a writing that was stopped goes on with the
same command, and the same command given several times shares the work. When all rows are there, one process writes the
folder: as if made at once, in the order of the recordings.
"""

import io
import json
import logging
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from folksong.claims import FINISH, SECONDS_BETWEEN_LOOKS, Claims, Parts
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
from folksong.errors import PASSING, FolksongError, counted
from folksong.stores import Store, state_of

logger = logging.getLogger(__name__)

Row = npt.NDArray[np.float32] | str
"""An embedding, (dimensions,), or the reason why a recording has none."""
Hear = Callable[[Iterator[Sequence[str]]], Iterator[Mapping[str, Row]]]

PARTS_AT_HAND = 4
LOOKED_AT_ONCE = 16
ENDING = ".npz"


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
            todo = growth.shared.cut(growth.files, growth.where)
            n_heard = 0
            for rows in growth.shared.share(claims, todo, hear, growth.content, growth.is_over):
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
        self.shared = Parts(self.store, WRITING_NAME, ENDING, asdict(space))
        self.old: _Known | None = None
        self._stamp: tuple[int, int] | None = None  # of the description that was read
        self._has_looked = False
        self._parts: dict[str, _Known] = {}
        self.where: dict[str, _Known] = {}
        self._part_values = lru_cache(PARTS_AT_HAND)(self._read_values)

    def is_over(self) -> bool:
        """Say whether another process has written the folder since this one looked."""
        description = self.place / DESCRIPTION_NAME
        return description.exists() and state_of(description) != self._stamp

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
            again = set() if self._has_looked else {one for one, why in reasons.items() if PASSING in why}
            same = list(files.items()) == list(self.files.items())
            if same and not again and old.provenance == self._described(reasons):
                return old
            files = {track_id: state for track_id, state in files.items() if track_id not in again}
            rows = {track_id: row for row, track_id in enumerate(old.track_ids)}
            self.old, self._stamp = _Known(files, reasons, rows, lambda: old.values), stamp
        self._has_looked = True
        found = {name: self._parts.get(name) or self._read_part(name) for name in self.shared.names()}
        self._parts = {name: part for name, part in found.items() if part is not None}
        self.where = {
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
            self.shared.delete([name])
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
        return f"{counted(n_new, 'recording')} new, {changed} changed, {n_gone} vanished; {len(self.where)} are there"

    def n_unknown(self) -> int:
        """Return how many recordings are to be heard."""
        return len(self.files) - len(self.where)

    def content(self, rows: Mapping[str, Row]) -> bytes:
        """Return the file that keeps the rows of a part."""
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
        return stream.getvalue()

    def finish(self, claims: Claims) -> Embeddings:
        """Write the folder, all rows being there, and remove the parts that it was made of."""
        reasons = {
            track_id: known.reasons[track_id]
            for track_id, known in self.where.items()
            if track_id in known.reasons
        }
        if reasons:
            logger.warning("%d of %d recordings have no embedding", len(reasons), len(self.files))
        if len(reasons) == len(self.files):  # the next try hears them again
            self.shared.delete(self._parts)
        with write_embeddings(self.place, self.space, replace=True) as writer:
            for track_id in self.files:
                known = self.where[track_id]
                if track_id not in reasons:
                    writer.add(track_id, known.values()[known.row_of[track_id]])
            written = writer.finish(self._described(reasons))
        self.shared.delete(self._parts)
        claims.remove_dead()
        return written
