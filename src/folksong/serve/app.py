"""``folksong serve``: a recording is sent, and the labels that a tagger gives it come back as JSON.

The interface is described by ``page/openapi.json``. What is sent lies in a file of a scratch folder while it is worked
on. A request has three limits: bytes, seconds of sound, and seconds of waiting, of which the sender has as many as the
tagger. There is no password: who reaches the server may ask it. `folksong.web` says what it keeps out.
"""

import asyncio
import json
import logging
import math
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from folksong import __version__
from folksong.audio.decode import MAX_SECONDS
from folksong.errors import AudioError, FolksongError, NoRecordingError, nearest
from folksong.files import described
from folksong.prediction import LoadedTagger, Prediction, load_tagger
from folksong.prediction.predictor import SILENCE_PEAK
from folksong.serve.hearing import Hearing
from folksong.web import Guard, Hosts, answer_fault, answer_http_error, run_app, scratch_folder

logger = logging.getLogger(__name__)

PAGE = Path(str(files("folksong.serve") / "page"))
MOST_WAITING = 64
"""Recordings that wait at once; the senders of more are told to come again."""
MOST_SENDING = 256
MOST_CONNECTIONS = 512
RETRY_SECONDS = 2
LONGEST_NAME = 200  # characters
FRAME_BYTES = 1 << 16  # of a form around its recording
PARAMETERS = ("top", "threshold", "name")


@dataclass(frozen=True)
class Limits:
    """What a request may take: bytes of a file, seconds of its sound, and seconds to send it and until its answer."""

    bytes: int
    audio_seconds: float
    seconds: float


@dataclass(frozen=True)
class Wish:
    """What of the labels is wanted: of those from `threshold` on (one for all, or (n_labels,)), the `top` best."""

    top: int | None = None
    threshold: float | npt.NDArray[np.float64] | None = None
    name: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str], thresholds: npt.NDArray[np.float64] | None) -> "Wish":
        """Read a request's parameters.

        Raises:
            HTTPException: 400, with what is wrong of which.
        """
        for key in query:
            if key not in PARAMETERS:
                known = ", ".join(PARAMETERS)
                raise HTTPException(400, f"no parameter {key!r}; there are {known}{nearest(key, PARAMETERS)}")
        top, threshold, name = (query.get(key, "") for key in PARAMETERS)
        if top and not (top.isascii() and top.isdecimal() and int(top[:9]) > 0):
            raise HTTPException(400, f"top={top!r} is no whole number from 1 on")
        limit: float | npt.NDArray[np.float64] | None = None
        if threshold == "tuned":
            if thresholds is None:
                raise HTTPException(400, "this tagger has no tuned thresholds; give a score from 0 to 1")
            limit = thresholds
        elif threshold:
            try:
                limit = float(threshold)
            except ValueError:
                limit = math.nan
            if not 0 <= limit <= 1:
                raise HTTPException(400, f"threshold={threshold!r} is neither from 0 to 1 nor 'tuned'")
        return cls(int(top[:9]) if top else None, limit, name)


class Service:
    """The addresses of the app; what is sent goes into the folder `scratch`."""

    def __init__(
        self, tagger: LoadedTagger, model: str, limits: Limits, hearing: Hearing, scratch: str
    ) -> None:
        self.tagger, self.model, self.limits, self.hearing, self.scratch = (
            tagger, model, limits, hearing, scratch,
        )  # fmt: skip
        self.sending, self.waiting = _Places(MOST_SENDING), _Places(MOST_WAITING)
        self.pages = Environment(loader=FileSystemLoader(PAGE), autoescape=True)

    def app(self, hosts: Hosts) -> ASGIApp:
        """Return the app behind its guard."""
        app = Starlette(
            routes=[
                Route("/", self.show),
                Route("/tag", self.tag, methods=["POST"]),
                Route("/labels", self.labels),
                Route("/health", self.health),
                Route("/openapi.json", self.openapi),
                Mount("/page", StaticFiles(directory=PAGE, packages=[("folksong.web", "page")])),
            ],
            exception_handlers={HTTPException: answer_http_error, Exception: answer_fault},
        )
        return Guard(app, "", hosts, {"/tag": self.limits.bytes + FRAME_BYTES}, content_types=None)

    def show(self, request: Request) -> Response:
        """The page for people."""
        page = self.pages.get_template("index.html")
        shown = {"model": self.model, "labels": self.tagger.labels, "limits": self.limits}
        return HTMLResponse(page.render(shown, base=str(request.base_url).rstrip("/")))

    def openapi(self, request: Request) -> Response:
        """The interface, as OpenAPI 3.1."""
        description = json.loads((PAGE / "openapi.json").read_text("utf-8"))
        description["info"]["version"] = __version__
        return JSONResponse(description)

    def health(self, request: Request) -> Response:
        """Whether recordings are heard."""
        status = "ok" if self.hearing.is_alive else "failing"
        content = {
            "status": status,
            "model": self.model,
            "version": __version__,
            "waiting": self.waiting.taken,
        }
        return JSONResponse(content, 200 if self.hearing.is_alive else 503)

    def labels(self, request: Request) -> Response:
        """The labels, in order, and from which score on each is decided for."""
        names, limits = self.tagger.labels, self.tagger.limits
        return JSONResponse(
            {
                "model": self.model,
                "tuned": self.tagger.thresholds is not None,
                "labels": [
                    {"label": name, "threshold": round(float(limit), 6)}
                    for name, limit in zip(names, limits, strict=True)
                ],
            }
        )

    async def tag(self, request: Request) -> Response:
        """The labels of the recording that is sent."""
        wish = Wish.read(request.query_params, self.tagger.thresholds)
        path = Path(self.scratch, secrets.token_hex(12))
        try:
            with self.sending:
                name = await self._received(request, path) or wish.name
            shown = "".join(one if one.isprintable() else "\ufffd" for one in name)[-LONGEST_NAME:]
            with self.waiting:
                return JSONResponse(
                    await self._heard(request, path, replace(wish, name=shown or "recording"))
                )
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        finally:
            path.unlink(missing_ok=True)

    async def _received(self, request: Request, path: Path) -> str:
        """Write what is sent into a file; return its name, where it has one."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "send the recording as it is, without a Content-Encoding")
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await _write(request, path)
        except TimeoutError:
            raise HTTPException(
                408, f"the recording was not sent within {self.limits.seconds:g} s", {"Connection": "close"}
            ) from None
        except FolksongError as error:  # the disk is full
            logger.error("%s", error)
            raise _busy("there is no place for the recording") from error

    async def _heard(self, request: Request, path: Path, wish: Wish) -> dict[str, Any]:
        """Return the answer, unless it takes too long or nobody waits for it any more."""
        work = asyncio.ensure_future(self.hearing.hear(os.fspath(path)))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({work, gone}, timeout=self.limits.seconds, return_when="FIRST_COMPLETED")
            if not work.done():
                raise (
                    ClientDisconnect if gone.done() else _busy(f"no answer within {self.limits.seconds:g} s")
                )
            sound, scores = work.result()
        except AudioError as error:
            message = str(error).replace(os.fspath(path), wish.name)
            raise HTTPException(415 if isinstance(error, NoRecordingError) else 422, message) from error
        except FolksongError as error:  # the workers do not work
            logger.error("%s", error)
            raise _busy("recordings cannot be decoded now") from error
        finally:
            work.cancel()
            gone.cancel()
        silent = sound.peak < SILENCE_PEAK
        found = Prediction(wish.name, sound.seconds, self.tagger.labels, scores, silent)
        limit = dict(zip(found.labels, self.tagger.limits.astype(np.float32).tolist(), strict=True))
        return {
            "file": wish.name,
            "seconds": round(sound.seconds, 3),
            "silent": silent,
            "damage": sound.damage,
            "labels": [
                {
                    "label": label,
                    "score": round(score, 6),
                    "threshold": round(limit[label], 6),
                    "above": score >= limit[label],
                }
                for label, score in found.ranked(wish.top, wish.threshold)
            ],
        }


class _Places:
    """So many may be inside at once; for the next it raises a 503."""

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0

    def __enter__(self) -> None:
        if self.taken == self.most:
            raise _busy(f"{self.most} recordings come before this one")
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


def _busy(why: str) -> HTTPException:
    return HTTPException(503, f"{why}; try again later", {"Retry-After": str(RETRY_SECONDS)})


async def _write(request: Request, path: Path) -> str:
    """Write the body, or the file in a form, to `path`; return the form's name of it."""
    with described(path), path.open("xb") as stream:
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            async for block in request.stream():
                stream.write(block)
            return ""
        async with request.form(max_files=1, max_fields=10) as form:
            sent = next((part for part in form.values() if isinstance(part, UploadFile)), None)
            if sent is None:
                raise HTTPException(400, "the form holds no file; send one as `file`")
            await run_in_threadpool(shutil.copyfileobj, sent.file, stream)
            return sent.filename or ""


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def serve(
    run: str,
    *,
    port: int = 8000,
    listen: str = "127.0.0.1",
    known_as: tuple[str, ...] = (),
    max_mb: float = 100.0,
    max_minutes: float = 20.0,
    timeout_seconds: float = 60.0,
    **settings: Any,
) -> None:
    """Answer requests to tag recordings until Ctrl-C.

    Args:
        run: what `load_tagger` takes, which gets the `settings` too.
        port: of the address; 0 takes a free one.
        listen (ADDRESS): Be reachable from other machines at this address, too; there is no password, and what is sent
            is not encrypted.
        known_as (NAME...): Further names under which it is asked, of a proxy or a container: host, or host:port.
        max_mb: Megabytes that a recording's file may have.
        max_minutes: Minutes that a recording may last.
        timeout_seconds (--timeout): Seconds in which a recording must be sent, and as many in which it is answered.
        **settings: of `load_tagger`.

    Raises:
        FolksongError: no tagger, or the address cannot be bound to.
    """
    if not 0 < max_minutes * 60 <= MAX_SECONDS:
        raise FolksongError(
            f"recordings of at most {MAX_SECONDS / 60:g} minutes are decoded, not of {max_minutes:g}"
        )
    limits = Limits(int(max_mb * 1e6), max_minutes * 60, timeout_seconds)
    tagger = load_tagger(run, **settings)
    model = Path(run).name if Path(run).exists() else run
    with scratch_folder() as scratch, Hearing(tagger, limits.audio_seconds) as hearing:
        service = Service(tagger, model, limits, hearing, scratch)
        run_app(
            service.app, address=listen, port=port, known_as=known_as,
            on_ready=partial(logger.info, "%s/  (Ctrl-C ends it)"),
            connections=MOST_CONNECTIONS, grace=math.ceil(limits.seconds),
        )  # fmt: skip
