"""Names, and connections on which nothing begins; the guard itself is tried in tests/curate/test_app.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("uvicorn")

import folksong.web as web
from folksong.web import Hosts


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("tagger.example", True),
        ("Tagger.Example:8443", True),
        ("other.example:81", True),
        ("other.example:82", False),
        ("other.example", False),
        ("evil.tagger.example", False),
        ("tagger.example.evil", False),
        ("tagger.example:81:82", False),
        ("", False),
    ],
)
def test_further_names(host, known):
    hosts = Hosts("127.0.0.1", 8000, frozenset({"tagger.example", "other.example:81"}))
    assert (host in hosts) == known


def test_connections_on_which_no_request_begins_are_closed():
    closed = []

    def connection(name: str, cycle: object) -> SimpleNamespace:
        transport = SimpleNamespace(abort=lambda: closed.append(name))
        return type("Connection", (SimpleNamespace,), {"__hash__": object.__hash__})(
            cycle=cycle, transport=transport
        )

    answered = SimpleNamespace(response_complete=True)
    silent, kept = connection("silent", None), connection("kept", answered)
    in_work = connection("in work", SimpleNamespace(response_complete=False))
    busy = connection("busy", answered)
    server = object.__new__(web._Server)
    server.idle = {}
    server.server_state = SimpleNamespace(connections={silent, kept, in_work, busy})
    for now in range(int(web.SECONDS_TO_BEGIN) + 1):
        busy.cycle = SimpleNamespace(response_complete=True)  # a new request each second, already answered
        server._hang_up(float(now))
    assert not closed
    server._hang_up(web.SECONDS_TO_BEGIN + 1)
    assert sorted(closed) == ["kept", "silent"]
