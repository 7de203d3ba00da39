"""Recordings that are dropped on the page: what the tagger says of them, and a copy with the labels in its tags.

A recording is kept for as long as the app runs, the last `MOST_KEPT` of them; one's own file, of which the browser
gives only the content, is never touched.
"""

import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from folksong.curate.app import Session, View, page, sent_json
from folksong.errors import FolksongError
from folksong.files import described
from folksong.prediction import LoadedTagger
from folksong.tags.file_tags import FIELDS, write_labels
from folksong.web import scratch_folder

MOST_BYTES = 500 << 20
MOST_KEPT = 20
LONGEST_NAME = 120  # characters


class Dropped:
    """Recordings by a name that cannot be guessed, heard by a tagger."""

    def __init__(self, tagger: LoadedTagger) -> None:
        self.tagger = tagger
        self.folder = scratch_folder()
        self.heard: dict[str, dict[str, Any]] = {}
        self.files: OrderedDict[str, tuple[Path, str]] = OrderedDict()
        self.lock = threading.Lock()

    def place(self, name: str) -> tuple[str, Path]:
        """Return a new key, and where the recording of this name goes: by itself in a folder."""
        shown = re.sub(r"[/\\\x00-\x1f\x7f]", "_", name)[-LONGEST_NAME:].lstrip(".") or "recording"
        key = secrets.token_urlsafe(12)
        ending = Path(shown).suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", Path(shown).suffix) else ""
        path = Path(self.folder.name, f"{secrets.token_hex(8)}{ending}")
        with self.lock:
            self.files[key] = (path, shown)
            while len(self.files) > MOST_KEPT:
                _, (old, _) = self.files.popitem(last=False)
                old.unlink(missing_ok=True)
        return key, path

    def forget(self, key: str) -> None:
        """Delete a recording."""
        with self.lock:
            path, _ = self.files.pop(key, (None, ""))
        if path is not None:
            path.unlink(missing_ok=True)

    def find(self, key: str) -> tuple[Path, str]:
        """Return a recording's file, and the name it came with.

        Raises:
            FolksongError: it is no longer kept.
        """
        found = self.files.get(key)
        if found is None:
            raise FolksongError(f"the recording is no longer kept (the last {MOST_KEPT} are); drop it again")
        return found

    def hear(self, key: str) -> dict[str, Any]:
        """Return length and labels of a recording, best first, each with its score and threshold."""
        path, name = self.find(key)
        try:
            found = self.tagger.predict(path)
        except FolksongError as error:
            raise FolksongError(str(error).replace(str(path), name)) from error
        threshold = dict(zip(self.tagger.labels, self.tagger.limits.tolist(), strict=True))
        self.heard[key] = {
            "key": key,
            "name": name,
            "seconds": round(found.seconds, 1),
            "silent": found.silent,
            "labels": [
                [label, round(score, 4), round(threshold[label], 4)] for label, score in found.ranked()
            ],
        }
        return self.heard[key]

    def kept(self) -> list[dict[str, Any]]:
        """Return what `hear` said of the recordings that are kept, the first dropped first."""
        return [self.heard[key] for key in list(self.files) if key in self.heard]

    def write(self, key: str, labels: Sequence[str], field: str) -> list[str]:
        """Write labels into a field of the kept copy, after what it says; return what it says then."""
        path, name = self.find(key)
        if field not in FIELDS:
            raise FolksongError(f"no field is called {field!r}; there are {', '.join(FIELDS)}")
        known = set(self.tagger.labels)
        if not labels or not all(isinstance(label, str) and label in known for label in labels):
            raise FolksongError("which labels? choose some of the tagger's")
        try:
            return list(write_labels(path, labels, field=field, existing="append").after)
        except FolksongError as error:
            raise FolksongError(str(error).replace(str(path), name)) from error


def view(session: Session) -> View:
    """Return the view; it needs a tagger."""
    if session.tagger is None:
        return View("drop", "Drop", missing="--run")
    return View("drop", "Drop", _routes(Dropped(session.tagger)), uploads={"/take": MOST_BYTES})


def _routes(dropped: Dropped) -> list[Route]:
    def show(request: Request) -> Response:
        return page(request, "drop.html", fields=FIELDS, most_mb=MOST_BYTES >> 20)

    async def take(request: Request) -> Response:
        key, path = dropped.place(unquote(request.headers.get("x-name", "")))
        try:
            with described(path), path.open("xb") as stream:
                async for block in request.stream():
                    stream.write(block)
            return JSONResponse(await run_in_threadpool(dropped.hear, key))
        except ClientDisconnect:
            dropped.forget(key)
            return Response(status_code=400)  # to nobody
        except BaseException:  # also of a reader who went away
            dropped.forget(key)
            raise

    async def write(request: Request) -> Response:
        sent = await sent_json(request)
        labels = sent.get("labels")
        chosen = labels if isinstance(labels, list) else []
        after = await run_in_threadpool(dropped.write, str(sent.get("key")), chosen, str(sent.get("field")))
        return JSONResponse({"after": after})

    def kept(request: Request) -> Response:
        return JSONResponse({"kept": dropped.kept()})

    def written(request: Request) -> Response:
        path, name = dropped.find(request.query_params.get("key", ""))
        return FileResponse(path, filename=name)

    return [
        Route("/", show),
        Route("/take", take, methods=["POST"]),
        Route("/write", write, methods=["POST"]),
        Route("/written", written),
        Route("/kept", kept),
    ]
