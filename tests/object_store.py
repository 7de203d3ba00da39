"""Real servers of S3 (moto's) and of Azure (Azurite) on the loopback address, and a proxy before them that fails.

It fails as networks and stores do.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def s3_server() -> Iterator[int]:
    """The port of a server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def environment(port: int) -> dict[str, str]:
    """What S3's own tools are told of a server."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
    }


def make_bucket(port: int, name: str) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{name}", method="PUT")
    with urllib.request.urlopen(request):
        pass


AZURITE = shutil.which("azurite-blob")
ACCOUNT, ACCOUNT_KEY = "folksong", secrets.token_bytes(64)


@contextlib.contextmanager
def azure_server() -> Iterator[int]:
    """The port of an Azurite in a process of its own, that forgets all in the end; `AZURITE` must be there."""
    assert AZURITE is not None
    process = subprocess.Popen(
        [AZURITE, "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry"],
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{base64.b64encode(ACCOUNT_KEY).decode()}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = next(line for line in process.stdout if "successfully listens" in line)
        threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would stop it
        yield int(re.findall(r":(\d+)", said)[-1])
    finally:
        process.kill()
        process.wait()


def azure_environment(port: int) -> dict[str, str]:
    """What Azure's own tools are told of a server."""
    return {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(ACCOUNT_KEY).decode(),
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}",
    }


def make_container(port: int, name: str) -> None:
    """Make what Azure calls a bucket; the request is signed as its documentation of "Shared Key" says."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    lines = ["PUT", *[""] * 11, *(f"{key}:{value}" for key, value in headers.items())]
    signed = "\n".join([*lines, f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"])
    digest = hmac.new(ACCOUNT_KEY, signed.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    address = f"http://127.0.0.1:{port}/{ACCOUNT}/{name}?restype=container"
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers, method="PUT")):
        pass


Fault = Callable[[str, str, int], str]
"""Of (method, path with query, how many requests came before): "" to go on, or what goes wrong."""


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, but for those that its `fault` names.

    ``503``, ``403``, ``507`` are answers instead; ``cut`` closes the connection without one, ``lost`` does so after the
    request came through, ``half`` delivers half of the answer's body. `seen` lists (method, path, status) of all.
    """

    daemon_threads = True

    def __init__(self, port: int, fault: Fault = lambda *_: "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.fault, self.seen = port, fault, list[tuple[str, str, int]]()
        self.lock = threading.Lock()
        self.number, self.bucket, self.address = 0, "", ""  # bucket and address are what a test is given
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def handle_error(self, *_: object) -> None:
        """Connections that are cut are the purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *_: object) -> None: ...

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            number, self.server.number = self.server.number, self.server.number + 1
        fault = self.server.fault(self.command, self.path, number)
        if fault == "cut":
            self.close_connection = True
            return
        if fault.isdigit():
            codes = {"403": "AccessDenied", "503": "SlowDown", "507": "InsufficientStorage"}
            self._answer(int(fault), [], f"<Error><Code>{codes[fault]}</Code></Error>".encode(), 1.0)
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        with self.server.lock:
            self.server.seen.append((self.command, self.path, answer.status))
        if fault == "lost":
            self.close_connection = True
            return
        self._answer(answer.status, answer.getheaders(), content, 0.5 if fault == "half" else 1.0)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, share: float) -> None:
        self.send_response(status)
        length = len(content)
        for name, value in headers:
            if name.lower() == "content-length":
                length = int(value)  # of HEAD: of what would come
            elif name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content[: int(len(content) * share)])
        if share < 1:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815


@contextlib.contextmanager
def proxy(port: int, settings: Callable[[int], dict[str, str]] = environment) -> Iterator[Proxy]:
    """A proxy before the server of a port, to which the environment points meanwhile."""
    server = Proxy(port)
    before = dict(os.environ)
    os.environ.update(settings(server.port))
    try:
        yield server
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.shutdown()
        server.server_close()
