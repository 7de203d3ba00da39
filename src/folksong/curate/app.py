"""The app of ``folksong curate``: views that share one session, pages of our own, and the guard in front of them.

Every address begins with a random token, so that neither another user of the machine nor a page in the browser can
call one. `Guard` refuses what a page of another origin could send, a foreign ``Host`` (a name that was bound to the
loopback address after the page was loaded), and bodies beyond a limit, while they are being read. Nothing of a page is
fetched from anywhere else, and its policy forbids it.
"""

import hmac
import ipaddress
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from folksong.errors import FolksongError
from folksong.tags.table import TagTable

if TYPE_CHECKING:
    from folksong.prediction import LoadedTagger

logger = logging.getLogger(__name__)

PAGE = Path(str(files("folksong.curate") / "page"))
TOKEN_BYTES = 24
BODY_BYTES = 1 << 20
"""Most that a request may hold, but for those addresses that a view names in `View.uploads`."""
MOST_CONNECTIONS = 64
CONTENT_TYPES = ("application/json", "application/octet-stream")
"""Of what is sent to us: a page of another origin cannot send these without asking first, and no one answers."""
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer; one that says otherwise of itself is believed (a map, which is a page with scripts in it)."""


@dataclass(frozen=True, eq=False)
class Session:
    """What an app was started with; views find what they need here, and say what is missing.

    Args:
        labels: the label space to curate, ``*.labels.json``; it is read, never written.
        out: where the curated label space is written.
        log: the log of the board's actions.
        tags: the tag source.
        run: a run, an exported folder or the name of pretrained weights: the tagger.
        audio: the folder of recordings.
        decisions: the table of what was decided while listening.
        proposals: the file of proposed merges.
        who: written beside each action and decision.
    """

    labels: Path | None = None
    out: Path | None = None
    log: Path | None = None
    tags: str | None = None
    run: str | None = None
    audio: Path | None = None
    decisions: Path | None = None
    proposals: Path | None = None
    who: str = ""

    @cached_property
    def table(self) -> TagTable | None:
        """The tag table, read once; None without a tag source."""
        from folksong.tags.sources.read_tags import read_tags

        return None if self.tags is None else read_tags(self.tags)

    @cached_property
    def tagger(self) -> "LoadedTagger | None":
        """The tagger, loaded once; None without a run."""
        from folksong.prediction import load_tagger

        return None if self.run is None else load_tagger(self.run)


class ConflictError(FolksongError):
    """Something against what another window did meanwhile."""


SCRATCH = re.compile(r"folksong-curate-(\d+)-\w+")


def scratch_folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a new folder that goes with the process; those of processes that were killed go now."""
    for entry in os.scandir(tempfile.gettempdir()):
        found = SCRATCH.fullmatch(entry.name)
        if found and entry.is_dir(follow_symlinks=False) and not _is_running(int(found[1])):
            shutil.rmtree(entry, ignore_errors=True)  # those of others stay, by their permissions
    return tempfile.TemporaryDirectory(prefix=f"folksong-curate-{os.getpid()}-")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


@dataclass(frozen=True)
class View:
    """One view of the app.

    Args:
        name: its address below the token.
        title: in the navigation.
        routes: its addresses below its own; the page itself is at ``/``.
        missing: the options that it needs and that were not given; it is then shown with that said, without routes.
        uploads: address below its own -> most bytes that may be sent there.
    """

    name: str
    title: str
    routes: Sequence[BaseRoute] = ()
    missing: str = ""
    uploads: Mapping[str, int] = field(default_factory=dict)


def build_app(views: Sequence[View], token: str, hosts: "Hosts") -> ASGIApp:
    """Return the app of these views behind its guard; the first view is where the bare address leads.

    Args:
        views: in the order of the navigation.
        token: the first part of every address.
        hosts: under which names it may be asked.
    """
    first = next((view for view in views if not view.missing), views[0])

    def home(request: Request) -> Response:
        return RedirectResponse(f"{request.scope['root_path']}/{first.name}/")

    routes: list[BaseRoute] = [Route("/", home), Mount("/page", StaticFiles(directory=PAGE), name="page")]
    for view in views:
        shown = view.routes if not view.missing else [Route("/", _missing)]
        routes.append(Mount(f"/{view.name}", routes=list(shown)))
    app = Starlette(
        routes=routes,
        exception_handlers={FolksongError: _refused, HTTPException: _http_error, Exception: _failed},
    )
    app.state.views = views
    app.state.pages = Environment(loader=FileSystemLoader(PAGE), autoescape=True)
    uploads = {f"/{view.name}{path}": most for view in views for path, most in view.uploads.items()}
    return Guard(app, token, hosts, uploads)


def page(request: Request, template: str, **parts: Any) -> HTMLResponse:
    """Return a page of the app: a template of the folder ``page``, which knows `root`, `views` and `view`."""
    state, root = request.app.state, request.scope["app_root"]
    name = request.url.path.removeprefix(root).split("/")[1]
    view = next(view for view in state.views if view.name == name)
    parts |= {"root": root, "views": state.views, "view": view}
    return HTMLResponse(state.pages.get_template(template).render(parts))


async def sent_json(request: Request) -> dict[str, Any]:
    """Return the JSON object that was sent.

    Raises:
        FolksongError: it is none.
    """
    try:
        content = json.loads(await request.body())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise FolksongError("a JSON object was expected")
    return content


def _missing(request: Request) -> Response:
    return page(request, "missing.html")


def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(error.status_code)


def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "this is a fault of the app; its terminal says more"}, 500)


@dataclass(frozen=True)
class Hosts:
    """The names under which an app may be asked, by the address and port that it is bound to.

    An app that is bound to all addresses takes any address written in digits, which no name server can move.
    """

    address: str
    port: int

    @cached_property
    def names(self) -> frozenset[str]:
        """``host:port`` in lower case."""
        hosts = {"127.0.0.1", "localhost", "[::1]", _bracketed(self.address), socket.gethostname()}
        named = {f"{host.lower()}:{self.port}" for host in hosts}
        return frozenset(named | ({host.lower() for host in hosts} if self.port == 80 else set()))

    @property
    def url(self) -> str:
        """The address that a browser on this machine is given, without the token."""
        everywhere = self.address in ("0.0.0.0", "::", "")
        return f"http://{'127.0.0.1' if everywhere else _bracketed(self.address)}:{self.port}"

    def __contains__(self, host: str) -> bool:
        if host.lower() in self.names:
            return True
        name, _, port = host.rpartition(":")
        if self.address not in ("0.0.0.0", "::", "") or port != str(self.port):
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


class Guard:
    """Let through what our own pages ask for, and answer everything else in the same way whatever it was.

    Args:
        app: behind it; its `root_path` is the token.
        token: the first part of every address, compared in constant time.
        hosts: under which names it may be asked.
        uploads: address -> most bytes that may be sent there, where that is more than `BODY_BYTES`.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Hosts, uploads: Mapping[str, int]) -> None:
        self.app, self.token, self.hosts, self.uploads = app, token, hosts, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        root = f"/{self.token}"
        inner = {**scope, "root_path": root, "app_root": root}
        most = self.uploads.get(scope["path"].removeprefix(root), BODY_BYTES)
        if not _is_within(Headers(scope=scope).get("content-length", "0"), most):
            await _answer(413)(scope, receive, send_guarded)
            return
        await self.app(inner, _limited(receive, most), send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return _answer(400)
        given = scope["path"].partition("/")[2].partition("/")[0]
        if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.token.encode()):
            return _answer(404)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        foreign = origin is not None and origin not in (f"http://{hosts[0]}", f"https://{hosts[0]}")
        if foreign or (site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate"):
            return _answer(403)
        if scope["method"] in ("GET", "HEAD"):
            return None
        if scope["method"] != "POST":
            return _answer(405)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        return None if kind in CONTENT_TYPES else _answer(415)


def _answer(status: int) -> Response:
    return JSONResponse({"error": HTTPStatus(status).phrase}, status)


def _is_within(length: str, most: int) -> bool:
    return length.isdecimal() and len(length) < 20 and int(length) <= most


def _limited(receive: Receive, most: int) -> Receive:
    """Return `receive` that stops where the body goes beyond `most` bytes."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(413)
        return message

    return receive_limited


def serve(
    build_views: Callable[[], Sequence[View]],
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[str], None] = logger.info,
) -> None:
    """Serve views until Ctrl-C.

    Args:
        build_views: called once the port is ours.
        address: to be bound to; any but the loopback address lets other machines in that know the token.
        port: 0 takes one that is free.
        on_ready: called with the address to open, token included.

    Raises:
        FolksongError: the address cannot be bound to.
    """
    import uvicorn

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        bound = socket.create_server((address, port), family=family)
    except OSError as error:
        raise FolksongError(
            f"{_bracketed(address)}:{port}: cannot be bound to ({error.strerror or error}); choose another port"
        ) from error
    with bound:
        hosts = Hosts(address, bound.getsockname()[1])
        token = secrets.token_urlsafe(TOKEN_BYTES)
        config = uvicorn.Config(
            build_app(build_views(), token, hosts), log_level="error", access_log=False, ws="none",
            lifespan="off", server_header=False, limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=2,
        )  # fmt: skip
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(
                number, lambda number, frame: sys.exit(128 + number)
            )  # what is left is then tidied up
        on_ready(f"{hosts.url}/{token}/")
        try:
            uvicorn.Server(config).run(sockets=[bound])
        except KeyboardInterrupt:
            logger.info("stopped")
