"""Review of proposed merges: one after another, a key each, written at once into a file that ``tags clean`` takes.

The reviewed file lies beside the proposals, which stay as they are. It holds them all: accepted, rejected, and those
that are still open as comments; so it is what a review goes on from, too.
"""

import threading
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from folksong.curate.app import ConflictError, Session, View, page, sent_json
from folksong.errors import FolksongError
from folksong.files import sha256_file
from folksong.tags.cleaning.merges import merges_listed, write_reviewed
from folksong.tags.cleaning.spelling import Merge
from folksong.tags.table import TagTable

EXAMPLES = 4
EXAMPLE_TAGS = 8


class Review:
    """Merges and what was decided of each.

    Args:
        proposals: the file of `propose_merges`; it is read only.
        reviewed: where decisions are written; one that is there is gone on with.
        table: the tags, for counts and examples; None has none.

    Raises:
        FolksongError: a file cannot be read.
    """

    def __init__(self, proposals: Path, reviewed: Path, table: TagTable | None) -> None:
        self.reviewed, self.table = reviewed, table
        self.merges: list[Merge] = []
        self.decisions: list[bool | None] = []
        self._rows: dict[str, int] = {}
        self._past: list[tuple[int, Merge, bool | None]] = []
        for merge, is_rejected in merges_listed(proposals):
            self._add(merge, False if is_rejected else None)
        for merge, is_rejected in merges_listed(reviewed) if reviewed.is_file() else ():
            self._add(merge, not is_rejected)
        self._written = sha256_file(reviewed) if reviewed.is_file() else None
        self.lock = threading.Lock()

    def _add(self, merge: Merge, decision: bool | None) -> None:
        row = self._rows.setdefault(merge.source, len(self.merges))
        if row == len(self.merges):
            self.merges.append(merge)
            self.decisions.append(decision)
        elif decision is not None:
            self.merges[row], self.decisions[row] = replace(self.merges[row], target=merge.target), decision

    def state(self) -> dict[str, Any]:
        """Return all merges with their decisions."""
        with self.lock:
            return {"rows": [self.row(row) for row in range(len(self.merges))], "can_undo": self.can_undo}

    @property
    def can_undo(self) -> bool:
        """Whether a decision was made since the app was started, and not taken back."""
        return bool(self._past)

    def row(self, number: int) -> dict[str, Any]:
        """Return a merge with its decision."""
        merge, decision = self.merges[number], self.decisions[number]
        counts = (merge.source_count, merge.target_count)
        if self.table is not None:
            known = self.table.counts_by_tag
            counts = (known.get(merge.source, 0), known.get(merge.target, 0))
        return {
            "source": merge.source, "target": merge.target, "counts": counts, "why": merge.reason, "decision": decision,
        }  # fmt: skip

    def decide(self, source: str, target: str, decision: bool | None, seen: bool | None) -> int:
        """Decide of one merge, of which the person saw `seen` as decided so far, and write all; returns its row.

        Raises:
            ConflictError: it was decided meanwhile.
            FolksongError: no such merge, or the file changed under the app.
        """
        with self.lock:
            row = self._rows.get(source)
            if row is None:
                raise FolksongError(f"no merge of {source!r} is proposed")
            if self.decisions[row] != seen:
                raise ConflictError(f"{source!r} was decided in another window; look at it again")
            if not target or (target == source and decision):
                raise FolksongError(f"{source!r} must become another tag")
            before = (row, self.merges[row], self.decisions[row])
            self._set(row, replace(self.merges[row], target=target), decision)
            self._past.append(before)
            return row

    def undo(self) -> int:
        """Take the last decision back, and return its row.

        Raises:
            FolksongError: there is none since the app was started.
        """
        with self.lock:
            if not self._past:
                raise FolksongError("there is nothing to undo")
            row, merge, decision = self._past[-1]
            self._set(row, merge, decision)
            self._past.pop()
            return row

    def _set(self, row: int, merge: Merge, decision: bool | None) -> None:
        there = sha256_file(self.reviewed) if self.reviewed.is_file() else None
        if there != self._written:
            raise FolksongError(
                f"{self.reviewed}: was changed by something else, and nothing was written; start the app anew "
                "to go on with it"
            )
        kept = self.merges[row], self.decisions[row]
        self.merges[row], self.decisions[row] = merge, decision
        try:
            write_reviewed(zip(self.merges, self.decisions, strict=True), self.reviewed)
        except Exception:
            self.merges[row], self.decisions[row] = kept
            raise
        self._written = sha256_file(self.reviewed)

    def examples(self, source: str, target: str) -> dict[str, Any]:
        """Return tracks of both tags with their other tags, and on how many tracks both stand."""
        table = self.table
        if table is None:
            return {"shared": None, "tracks": {}}
        rows = {tag: self._rows_of(tag) for tag in (source, target)}
        tracks = {}
        for tag, some in rows.items():
            chosen = np.linspace(0, len(some) - 1, min(len(some), EXAMPLES)).astype(int)
            tracks[tag] = [self._track(row) for row in some[chosen].tolist()]
        return {"shared": len(np.intersect1d(rows[source], rows[target])), "tracks": tracks}

    @cached_property
    def _by_tag(self) -> sp.csc_matrix:
        assert self.table is not None
        return self.table.presence.tocsc()

    def _rows_of(self, tag: str) -> npt.NDArray[np.integer]:
        assert self.table is not None
        column = self.table.tag_index.get(tag)
        starts = self._by_tag.indptr
        rows = self._by_tag.indices
        return np.asarray(rows[:0] if column is None else rows[starts[column] : starts[column + 1]])

    def _track(self, row: int) -> dict[str, Any]:
        assert self.table is not None
        track = str(self.table.track_ids[row])
        return {"track": track, "tags": [tag for tag, _ in self.table.tags_of(track)[:EXAMPLE_TAGS]]}


def view(session: Session) -> View:
    """Return the view; it needs proposed merges."""
    if session.proposals is None:
        return View("merges", "Merges", missing="--proposals")
    reviewed = session.proposals.with_name(session.proposals.stem + ".reviewed.tsv")
    return View("merges", "Merges", _routes(Review(session.proposals, reviewed, session.table)))


def _routes(review: Review) -> list[Route]:
    def show(request: Request) -> Response:
        return page(request, "merges.html", reviewed=review.reviewed)

    def state(request: Request) -> Response:
        return JSONResponse(review.state())

    def examples(request: Request) -> Response:
        given = request.query_params
        return JSONResponse(review.examples(given.get("source", ""), given.get("target", "")))

    async def decide(request: Request) -> Response:
        sent = await sent_json(request)
        source, target = sent.get("source"), sent.get("target")
        decision, seen = sent.get("decision"), sent.get("seen")
        if not isinstance(source, str) or not isinstance(target, str):
            raise FolksongError("'source' and 'target' are texts")
        if not all(value is None or isinstance(value, bool) for value in (decision, seen)):
            raise FolksongError("'decision' and 'seen' are true, false or null")
        row = await run_in_threadpool(review.decide, source, target, decision, seen)
        return _answer(review, row)

    def undo(request: Request) -> Response:
        return _answer(review, review.undo())

    return [
        Route("/", show), Route("/state", state), Route("/examples", examples),
        Route("/decide", decide, methods=["POST"]), Route("/undo", undo, methods=["POST"]),
    ]  # fmt: skip


def _answer(review: Review, row: int) -> Response:
    return JSONResponse({"number": row, "row": review.row(row), "can_undo": review.can_undo})
