"""Apps that are served to browsers and programs: the guard in front of them, their answers to errors, how they end.

`Guard` refuses what a page of another origin could send, a foreign ``Host`` (a name that was bound to the loopback
address after the page was loaded), and bodies beyond a limit, while they are being read. Nothing of a page is fetched
from anywhere else, and its policy forbids it.
"""

import asyncio
import hmac
import ipaddress
import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvicorn
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from folksong.claims import is_running
from folksong.errors import FolksongError

logger = logging.getLogger(__name__)

PAGE = Path(str(files("folksong.web") / "page"))
"""What pages of all apps are made of."""
BODY_BYTES = 1 << 20
"""Most that a request may hold, but for those addresses that take more."""
MOST_CONNECTIONS = 64
SECONDS_TO_BEGIN = 10.0
"""So long a connection may stay without a whole head of a request."""
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


SCRATCH = re.compile(r"folksong-web-(\d+)-\w+")


def scratch_folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a new folder that goes with the process; those of processes that were killed go now."""
    for entry in os.scandir(tempfile.gettempdir()):
        found = SCRATCH.fullmatch(entry.name)
        if found and entry.is_dir(follow_symlinks=False) and not is_running(int(found[1])):
            shutil.rmtree(entry, ignore_errors=True)  # those of others stay, by their permissions
    return tempfile.TemporaryDirectory(prefix=f"folksong-web-{os.getpid()}-")


@dataclass(frozen=True)
class Hosts:
    """The names under which an app may be asked, by the address and port that it is bound to.

    An app that is bound to all addresses takes any address written in digits, which no name server can move.

    Args:
        address: that the app is bound to.
        port: likewise.
        known_as: further names in lower case, ``host`` (at any port) or ``host:port``: of a proxy, or of a container.
    """

    address: str
    port: int
    known_as: frozenset[str] = frozenset()

    @cached_property
    def names(self) -> frozenset[str]:
        """``host:port`` in lower case."""
        hosts = {"127.0.0.1", "localhost", "[::1]", _bracketed(self.address), socket.gethostname()}
        named = {f"{host.lower()}:{self.port}" for host in hosts}
        return frozenset(named | ({host.lower() for host in hosts} if self.port == 80 else set()))

    @property
    def url(self) -> str:
        """The address that a browser on this machine is given, without a token."""
        everywhere = self.address in ("0.0.0.0", "::", "")
        return f"http://{'127.0.0.1' if everywhere else _bracketed(self.address)}:{self.port}"

    def __contains__(self, host: str) -> bool:
        if host.lower() in self.names or not self.known_as.isdisjoint(
            (host.lower(), re.sub(r":\d+$", "", host.lower()))
        ):
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
        token: the first part of every address, compared in constant time; "" is none.
        hosts: under which names it may be asked.
        uploads: address -> most bytes that may be sent there, where that is more than `BODY_BYTES`.
        content_types: of what may be sent; None is of any.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        hosts: Hosts,
        uploads: Mapping[str, int],
        content_types: Collection[str] | None = CONTENT_TYPES,
    ) -> None:
        self.app, self.token, self.hosts, self.uploads = app, token, hosts, uploads
        self.content_types = content_types

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
        root = f"/{self.token}" if self.token else ""
        inner = {**scope, "root_path": root, "app_root": root}
        most = self.uploads.get(scope["path"].removeprefix(root), BODY_BYTES)
        if not _is_within(Headers(scope=scope).get("content-length", "0"), most):
            await _answer(413, _too_large(most))(scope, receive, send_guarded)
            return
        await self.app(inner, _limited(receive, most), send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return _answer(400, "the server is not known under this Host")
        given = scope["path"].partition("/")[2].partition("/")[0]
        if self.token and not hmac.compare_digest(
            given.encode("utf-8", "surrogatepass"), self.token.encode()
        ):
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
        return None if self.content_types is None or kind in self.content_types else _answer(415)


def _answer(status: int, error: str | None = None) -> Response:
    return JSONResponse({"error": error or HTTPStatus(status).phrase}, status)


def _too_large(most: int) -> str:
    return f"at most {most / 1e6:.0f} MB are taken"


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
            raise HTTPException(413, _too_large(most))
        return message

    return receive_limited


def answer_http_error(request: Request, error: Exception) -> Response:
    """Answer an `HTTPException` in JSON."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def answer_fault(request: Request, error: Exception) -> Response:
    """Answer what is a bug; the server's log has its traceback."""
    return JSONResponse({"error": "this is a fault of the app; its terminal says more"}, 500)


class _Server(uvicorn.Server):
    """Closes connections that do not begin a request in time, which would keep others out."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.idle: dict[Any, tuple[object, float]] = {}
        """Connection -> its last request, and when it was first seen to have no other."""

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self._hang_up(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _hang_up(self, now: float) -> None:
        before, self.idle = self.idle, {}
        for one in list[Any](self.server_state.connections):
            if one.cycle is not None and not one.cycle.response_complete:
                continue
            request, since = before.get(one, (None, now))
            self.idle[one] = (one.cycle, since if request is one.cycle else now)
            if now - self.idle[one][1] > SECONDS_TO_BEGIN:
                one.transport.abort()


def run_app(
    build: Callable[[Hosts], ASGIApp],
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    known_as: Collection[str] = (),
    on_ready: Callable[[str], None] = logger.info,
    connections: int = MOST_CONNECTIONS,
    grace: int = 2,
) -> None:
    """Serve an app until Ctrl-C.

    Args:
        build: called once the port is ours.
        address: to be bound to; any but the loopback address lets other machines in.
        port: 0 takes one that is free.
        known_as: see `Hosts`.
        on_ready: called with the address to open.
        connections: at once, at most.
        grace: seconds for requests in work when it ends.

    Raises:
        FolksongError: the address cannot be bound to.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        bound = socket.create_server((address, port), family=family)
    except OSError as error:
        raise FolksongError(
            f"{_bracketed(address)}:{port}: cannot be bound to ({error.strerror or error}); choose another port"
        ) from error
    with bound:
        hosts = Hosts(address, bound.getsockname()[1], frozenset(name.lower() for name in known_as))
        config = uvicorn.Config(
            build(hosts), log_level="error", access_log=False, http="h11", ws="none", lifespan="off",
            server_header=False, limit_concurrency=connections, timeout_graceful_shutdown=grace,
        )  # fmt: skip
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, lambda number, frame: sys.exit(128 + number))  # after tidying up
        on_ready(hosts.url)
        try:
            _Server(config).run(sockets=[bound])
        except KeyboardInterrupt:
            logger.info("stopped")
