"""The label board: labels as cards in the columns of their facets, changed by actions that a log keeps.

The server holds the one state: windows send actions with the version that they saw, and ask what changed since. An
action is in the log, on disk, before it is answered; one against a label that changed meanwhile is refused.
"""

import atexit
import contextlib
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from folksong.curate.app import ConflictError, Session, View, page, sent_json
from folksong.curate.figures import SpaceFigures
from folksong.errors import FolksongError
from folksong.files import check_output, json_value, locked, remember_output
from folksong.labels.analysis.map import vectors_of_space, write_map
from folksong.labels.curation import Action, Curation, log_actions, propose_split, start_log
from folksong.labels.space import LabelSpace
from folksong.tags.facet_lists import FACETS
from folksong.tags.table import TagTable

SHOWN = 12
"""Members that a card shows at first."""
MOST_FOUND = 40
MOST_LABELS = 2000
MOST_MEMBERS = 200
MOST_ACTIONS = 1000
MAKER = "folksong curate"
"""Who wrote the labels, for `folksong.files.check_output`: what another wrote, or a person changed, stays."""
MAP_HEADERS = {
    "Content-Security-Policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data: blob:; frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}
"""A map holds its scripts in itself: it runs shut off from the app, and can load nothing."""


class Board:
    """The state of a board, which orders what windows do.

    It begins with the `space` and the actions in the `log`; `who` is written beside each further one.
    """

    def __init__(self, space: LabelSpace, table: TagTable, log: Path, who: str) -> None:
        if len(space) > MOST_LABELS:
            raise FolksongError(
                f"the board shows {MOST_LABELS:,} labels at most, and the space has {len(space):,}"
            )
        self.table, self.log, self.who = table, log, who
        self.curation = Curation(space)
        actions = start_log(log, space)
        for line, action in enumerate(actions, 2):
            try:
                self.curation.apply(action)
            except FolksongError as error:
                raise FolksongError(f"{log}: line {line}, {action}: {error}") from error
        self.version, self.last = len(actions), ""
        self.figures = SpaceFigures(table, space)
        self.figures.follow(self.curation.labels)
        self.changed_at = {label.name: self.version for label in self.curation.labels}
        self.lock = threading.RLock()
        self._log_bytes = self.log.stat().st_size

    def act(self, actions: Sequence[Action], seen: int) -> None:
        """Do actions of somebody who saw version `seen`, all or none, and keep them in the log.

        Raises:
            ConflictError: a label that they touch changed since.
            FolksongError: one does not apply, or the log cannot be written.
        """
        with self.lock:
            self._check(actions, seen)
            trial = Curation(self.curation.base)
            trial.labels = self.curation.labels
            undoes = any(action.kind in ("undo", "redo") for action in actions)
            if undoes and len(actions) > 1:
                raise FolksongError("undo and redo go alone")
            if not undoes:
                for action in actions:
                    trial.apply(action)
            elif not (self.curation.next_undo if actions[0].kind == "undo" else self.curation.next_redo):
                raise FolksongError(f"there is nothing to {actions[0].kind}")
            self.check_log()
            log_actions(self.log, actions, self.who)
            self._log_bytes = self.log.stat().st_size
            self.last = self._said(actions)
            for action in actions:
                self.curation.apply(action)
            self.version += len(actions)
            for name in self.figures.follow(self.curation.labels):
                self.changed_at[name] = self.version

    def check_log(self) -> None:
        """Refuse to go on where something else wrote into the log.

        Raises:
            FolksongError: it is no longer what this app left.
        """
        if not self.log.is_file() or self.log.stat().st_size != self._log_bytes:
            raise FolksongError(
                f"{self.log}: something else changed it meanwhile; start the app again, to go on from what it says now"
            )

    def _check(self, actions: Sequence[Action], seen: int) -> None:
        for action in actions:
            if action.kind in ("undo", "redo"):
                if seen != self.version:
                    raise ConflictError(
                        f"another window did something meanwhile ({self.last}); look, then again",
                        self.state(seen),
                    )
                continue
            for name in (action.label, action.to):
                if name and self.changed_at.get(name, 0) > seen:
                    raise ConflictError(
                        f"{name!r} was changed in another window; look at it again", self.state(seen)
                    )

    def _said(self, actions: Sequence[Action]) -> str:
        match actions[0].kind:
            case "undo":
                return f"undone: {self.curation.next_undo}"
            case "redo":
                return f"done again: {self.curation.next_redo}"
        return str(actions[0]) if len(actions) == 1 else f"{len(actions)} actions, the last: {actions[-1]}"

    def state(self, since: int = -1) -> dict[str, Any]:
        """Return what a window needs that saw version `since`; -1 is all."""
        with self.lock:
            return {
                "version": self.version,
                "last": self.last,
                "undo": str(self.curation.next_undo or ""),
                "redo": str(self.curation.next_redo or ""),
                "n_actions": len(self.curation.done),
                "order": [[label.name, label.facet] for label in self.curation.labels],
                "cards": [
                    self._card(label.name) for label in self.curation.labels if self.changed_at[label.name] > since
                ],
                "warnings": {
                    label.name: lines
                    for label in self.curation.labels
                    if (lines := self.figures.warnings(label.name))
                },
                "overall": json_value(self.figures.overall()),
                "pool": self.pool(0, SHOWN) if since != self.version else None,
            }  # fmt: skip

    def _card(self, name: str) -> dict[str, Any]:
        figures = self.figures.of[name]
        return {
            "name": name,
            "n_tags": len(figures.label.members),
            "tracks": len(figures.rows),
            "own": json_value(figures.own_share),
            "members": self.members(name, 0, SHOWN),
        }

    def members(self, name: str, start: int, number: int) -> list[tuple[str, int, bool]]:
        """Return tags of a label with their tracks and whether they are its own: those first, most frequent first."""
        with self.lock:
            label = self.curation.label(name)
            counted = [
                (tag, self.figures.count(tag), own)
                for own, tags in ((True, label.tags), (False, label.also))
                for tag in tags
            ]
        counted.sort(key=lambda member: (not member[2], -member[1], member[0]))
        return counted[start : start + number]

    def pool(self, start: int, number: int) -> dict[str, Any]:
        """Return tags of no label, most popular first, and how many there are."""
        with self.lock:
            columns = self.figures.without_label()
        some = columns[start : start + number].tolist()
        return {
            "n_tags": len(columns),
            "members": [(self.table.tags[column], int(self.table.counts[column]), True) for column in some],
        }

    @cached_property
    def _folded(self) -> list[tuple[str, str]]:
        spellings = dict.fromkeys([*self.table.tags[self.table.popularity_order], *self.curation.base.tags])
        return [(tag, tag.casefold()) for tag in spellings]

    def search(self, text: str) -> list[dict[str, Any]]:
        """Return tags that hold a text, those that begin with it first, each with its tracks and labels."""
        wanted = " ".join(text.casefold().split())
        if not wanted:
            return []
        found = [tag for tag, folded in self._folded if wanted in folded]
        found.sort(key=lambda tag: not tag.casefold().startswith(wanted))  # stable: most popular first
        with self.lock:
            labels_of: dict[str, list[str]] = {tag: [] for tag in found[:MOST_FOUND]}
            for label in self.curation.labels:
                for tag in label.members:
                    if tag in labels_of:
                        labels_of[tag].append(label.name)
            return [
                {"tag": tag, "count": self.figures.count(tag), "labels": labels}
                for tag, labels in labels_of.items()
            ]

    def split(self, name: str) -> dict[str, Any]:
        """Return two halves of a label that the data propose, each most frequent first, with counts."""
        with self.lock:
            label = self.curation.label(name)
        halves = propose_split(label, self.table)
        return {
            part: [(tag, self.figures.count(tag)) for tag in half]
            for part, half in zip(("first", "second"), halves, strict=True)
        }

    def map(self) -> bytes:
        """Return the page of the map of the labels as they are now."""
        with self.lock:
            space = self.curation.space
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "map.html")
            vectors = vectors_of_space(space, self.table)
            write_map(space, self.table, vectors, path, method="pca", title="Label map")
            return path.read_bytes()


def view(session: Session) -> View:
    """Return the view; it needs a label space and its tags."""
    needs = {"--labels": session.labels, "--tags": session.tags}
    missing = " and ".join(option for option, given in needs.items() if given is None)
    if missing and session.labels is not None:
        LabelSpace.read(session.labels)  # a wrong name is told now
    if missing or session.labels is None or session.table is None:
        return View("board", "Labels", missing=missing)
    log = session.log or beside(session.labels, ".curation.jsonl")
    out = session.out or beside(session.labels, ".curated.labels.json")
    lock = contextlib.ExitStack()
    held = log.with_name(f".{log.name}.app.lock")
    lock.enter_context(locked(held, f"another app works with {log.name}; use its page, or name another log"))
    atexit.register(lock.close)
    board = Board(LabelSpace.read(session.labels), session.table, log, session.who)
    return View("board", "Labels", _routes(board, session.labels, out))


def beside(labels: Path, ending: str) -> Path:
    """Return where a file lies that belongs to ``NAME.labels.json``: beside it, as NAME and the ending."""
    return labels.with_name(labels.name.removesuffix(".json").removesuffix(".labels") + ending)


def _routes(board: Board, given: Path, out: Path) -> list[Route]:
    def show(request: Request) -> Response:
        return page(request, "board.html", facets=FACETS, log=board.log, out=out)

    def state(request: Request) -> Response:
        return JSONResponse(board.state(_number(request, "since", -1)))

    def members(request: Request) -> Response:
        start, number = _number(request, "start", 0), min(_number(request, "number", SHOWN), MOST_MEMBERS)
        name = request.query_params.get("label", "")
        return JSONResponse(
            {"members": board.members(name, start, number)} if name else board.pool(start, number)
        )

    def search(request: Request) -> Response:
        return JSONResponse({"found": board.search(request.query_params.get("q", "")[:200])})

    def split(request: Request) -> Response:
        return JSONResponse(board.split(request.query_params.get("label", "")))

    def draw(request: Request) -> Response:
        return HTMLResponse(board.map(), headers=MAP_HEADERS)

    async def act(request: Request) -> Response:
        sent = await sent_json(request)
        actions, seen = sent.get("actions"), sent.get("version")
        if not isinstance(actions, list) or not 0 < len(actions) <= MOST_ACTIONS or not isinstance(seen, int):
            raise FolksongError(
                f"'actions' (1 to {MOST_ACTIONS:,}) and the 'version' that was seen are wanted"
            )
        if not all(isinstance(action, dict) for action in actions):
            raise FolksongError("an action is a JSON object")
        parsed = [Action.from_dict(action) for action in actions]
        await run_in_threadpool(board.act, parsed, seen)
        return JSONResponse(await run_in_threadpool(board.state, seen))

    def write(request: Request) -> Response:
        with board.lock:
            board.check_log()
            check_output(out, MAKER, [given])
            board.curation.space.write(out)
            remember_output(out, MAKER)
        return JSONResponse({"written": str(out), "n_actions": len(board.curation.done)})

    asked: list[tuple[str, Callable[..., Any]]] = [
        ("/", show), ("/state", state), ("/members", members), ("/search", search), ("/split", split), ("/map", draw),
    ]  # fmt: skip
    return [
        *(Route(path, function) for path, function in asked),
        Route("/act", act, methods=["POST"]),
        Route("/write", write, methods=["POST"]),
    ]


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 10 else default
