"""The server in a process of its own, asked by clients that keep to the interface and by those that do not."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from click.testing import CliRunner

import folksong as fs
from folksong.cli import main
from folksong.export.folder import export_folder

httpx = pytest.importorskip("httpx2")
pytest.importorskip("python_multipart")
pytest.importorskip("uvicorn")

RATE = 16_000
LIMITS = ("--max-mb", "0.5", "--max-minutes", "0.5", "--timeout", "120")


MANY = httpx.Limits(max_connections=None, max_keepalive_connections=20)


@dataclass
class Server:
    """``folksong serve`` at work."""

    process: subprocess.Popen[str]
    client: httpx.Client
    said: list[str]

    def tag(self, path: Path, **parameters) -> httpx.Response:
        return self.client.post("/tag", content=path.read_bytes(), params=parameters)

    def scratch(self) -> list[Path]:
        folders = list(Path(os.environ.get("TMPDIR", "/tmp")).glob(f"folksong-web-{self.process.pid}-*"))
        return [entry for folder in folders for entry in folder.iterdir()]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        self.said += self.process.communicate(timeout=60)[0].splitlines()
        return self.process.returncode


def start(run: object, *options: str) -> Server:
    command = [sys.executable, "-m", "folksong", "serve", str(run), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.match(r"(http://\S+)/  ", line):
            return Server(process, httpx.Client(base_url=found[1], timeout=150, limits=MANY), said)
    raise AssertionError("".join(said))


@pytest.fixture(scope="module")
def server(tiny_run) -> Iterator[Server]:
    """One with low limits."""
    started = start(tiny_run.folder, *LIMITS)
    yield started
    started.end(signal.SIGINT)
    assert "Traceback" not in "".join(started.said)


@pytest.fixture(scope="module")
def song(tmp_path_factory, sound) -> Path:
    path = tmp_path_factory.mktemp("songs") / "sóng.ogg"
    soundfile.write(path, np.concatenate([sound("chirp", 1), sound("noise", 2)]), RATE)
    return path


def predicted(run: object, path: Path, *options: str) -> list[dict]:
    done = CliRunner().invoke(main, ["predict", str(run), str(path), "--json", *options])
    return json.loads(done.stdout)[0]["labels"]


def close(answer: httpx.Response, expected: list[dict]) -> bool:
    labels = answer.json()["labels"]
    assert [one["label"] for one in labels] == [one["label"] for one in expected]
    return all(abs(a["score"] - b["score"]) < 1.5e-6 for a, b in zip(labels, expected, strict=True))


@pytest.mark.parametrize("ending", ["ogg", "mp3", "flac", "wav"])
def test_scores_are_those_of_predict(server, tiny_run, tmp_path, sound, ending):
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.stack([sound("tone", 3), sound("clicks", 4)], 1), RATE)
    expected = predicted(tiny_run.folder, path)
    answer = server.tag(path, name="a")
    assert answer.status_code == 200
    assert close(answer, expected)
    assert close(server.client.post("/tag", files={"file": (path.name, path.read_bytes())}), expected)
    assert answer.json()["seconds"] == pytest.approx(2.0, abs=0.1)
    assert close(server.tag(path, top=2), expected[:2])
    limit = expected[1]["score"] - 1e-4
    above = predicted(tiny_run.folder, path, "--threshold", str(limit))
    assert close(server.tag(path, threshold=limit), above)


def test_an_exported_folder_with_thresholds(tiny_run, tmp_path, song):
    run = tmp_path / "run"
    shutil.copytree(tiny_run.folder, run)
    fs.tune_thresholds(run, shards=tiny_run.shards)
    export_folder(fs.Run.open(run), tmp_path / "exported")
    served = start(tmp_path / "exported", "--listen", "0.0.0.0", "--known-as", "tagger.example")
    try:
        labels = served.client.get("/labels").json()
        tuned = fs.load_tagger(run).thresholds
        assert [one["threshold"] for one in labels["labels"]] == pytest.approx(tuned.tolist(), abs=1e-6)
        assert labels["tuned"]
        answer = served.tag(song, threshold="tuned")
        assert close(answer, predicted(run, song, "--threshold", "tuned"))
        found = answer.json()["labels"]
        everything = served.tag(song).json()["labels"]
        assert [one["above"] for one in everything] == [one in found for one in everything]
        assert "can send recordings here; there is no password" in "".join(served.said)
        for host, status in (("tagger.example:81", 200), ("evil.example", 400)):
            assert served.client.get("/health", headers={"Host": host}).status_code == status
    finally:
        assert served.end(signal.SIGTERM) == 143


def test_many_at_once_get_what_each_gets_alone(server, tmp_path, sound):
    paths = [tmp_path / f"{number}.flac" for number in range(24)]
    for number, path in enumerate(paths):
        kind = ("tone", "chirp", "noise", "clicks")[number % 4]
        soundfile.write(path, sound(kind, number, 0.5 + number / 4), RATE)
    alone = [server.tag(path).json()["labels"] for path in paths]
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(server.tag, paths))
    assert {answer.status_code for answer in answers} == {200}
    assert len({str(labels) for labels in alone}) > 12
    assert all(close(answer, labels) for answer, labels in zip(answers, alone, strict=True))


def test_the_interface_is_as_described(server, song, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    validator = pytest.importorskip("openapi_spec_validator")
    described = server.client.get("/openapi.json").json()
    validator.validate(described, cls=validator.OpenAPIV31SpecValidator)
    assert described["info"]["version"] == fs.__version__
    text = tmp_path / "text"
    text.write_text("no recording at all")
    for method, path, answer in (
        ("post", "/tag", server.tag(song, top=3)),
        ("post", "/tag", server.tag(text)),
        ("post", "/tag", server.tag(song, top=0)),
        ("post", "/tag", server.client.post("/tag", content=bytes(600_000))),
        ("get", "/labels", server.client.get("/labels")),
        ("get", "/health", server.client.get("/health")),
    ):
        told = described["paths"][path][method]["responses"][str(answer.status_code)]
        schema = told["content"]["application/json"]["schema"]
        whole = {**schema, "components": described["components"]}
        jsonschema.Draft202012Validator(whole).validate(answer.json())


def cut(path: Path) -> bytes:
    return path.read_bytes()[: path.stat().st_size // 2]


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 422, "an empty file"),
        (b"no recording at all", 415, "not a recording that folksong knows"),
        (b"fLaC" + bytes(1000), 422, "damaged"),
        (b"RIFF" + bytes(1000), 422, ""),
        (bytes(500_001 + (1 << 16)), 413, "at most 1 MB are taken"),
    ],
)
def test_what_cannot_be_heard_is_told_without_our_paths(server, content, status, reason):
    answer = server.client.post("/tag", content=content, params={"name": "../x\x1b[2J.mp3"})
    assert answer.status_code == status
    assert reason in answer.json()["error"]
    assert "folksong-web" not in answer.text
    assert "\x1b" not in answer.json()["error"]
    assert not server.scratch()


def test_damage_is_told_and_the_rest_is_heard(server, song):
    answer = server.client.post("/tag", content=cut(song)).json()
    assert answer["damage"]
    assert answer["labels"]


def test_silence_and_what_is_too_long(server, tmp_path):
    soundfile.write(tmp_path / "silence.flac", np.zeros(RATE), RATE)
    found = server.tag(tmp_path / "silence.flac").json()
    assert (found["silent"], found["labels"]) == (True, [])
    soundfile.write(tmp_path / "long.flac", np.zeros(RATE * 31), RATE)
    answer = server.tag(tmp_path / "long.flac", name="long.flac")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("long.flac: longer than 0.5 minutes")


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        ({"params": {"top": "0"}}, 400, "top='0'"),
        ({"params": {"top": "many"}}, 400, "top='many'"),
        ({"params": {"threshold": "nan"}}, 400, "threshold='nan'"),
        ({"params": {"threshold": "2"}}, 400, "threshold='2'"),
        ({"params": {"threshold": "tuned"}}, 400, "has no tuned thresholds"),
        ({"params": {"treshold": "0.1"}}, 400, "did you mean 'threshold'?"),
        ({"headers": {"Content-Encoding": "gzip"}}, 415, "Content-Encoding"),
        ({"headers": {"Content-Type": "multipart/form-data"}}, 400, "boundary"),
        ({"headers": {"Origin": "http://evil.example"}}, 403, "Forbidden"),
        ({"headers": {"Host": "evil.example"}}, 400, "not known under this Host"),
    ],
)
def test_requests_that_are_wrong(server, song, options, status, reason):
    answer = server.client.post("/tag", content=song.read_bytes(), **options)
    assert answer.status_code == status
    assert reason in answer.json()["error"]


def test_forms_that_are_wrong(server, song):
    assert "holds no file" in server.client.post("/tag", files={"a": (None, "text")}).json()["error"]
    two = [("file", song.read_bytes()), ("file", song.read_bytes())]
    assert server.client.post("/tag", files=two).status_code == 400
    assert server.client.get("/tag").status_code == 405
    assert server.client.get("/page/../app.py").status_code == 404


def test_any_content_type_and_a_length_that_is_not_told(server, song):
    for kind in ("audio/ogg", "application/x-www-form-urlencoded", "text/html", ""):
        answer = server.client.post("/tag", content=song.read_bytes(), headers={"Content-Type": kind})
        assert answer.status_code == 200

    def blocks(n: int) -> Iterator[bytes]:
        yield from (bytes(10_000) for _ in range(n))

    assert server.client.post("/tag", content=blocks(10)).status_code == 415
    assert server.client.post("/tag", content=blocks(60)).status_code == 413


def connect(server: Server, head: str) -> socket.socket:
    url = server.client.base_url
    connection = socket.create_connection((url.host, url.port), timeout=60)
    connection.sendall(f"POST /tag HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n{head}\r\n".encode())
    return connection


def eventually(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def test_who_sends_too_slowly_is_told_so(tiny_run):
    served = start(tiny_run.folder, "--timeout", "2")
    try:
        with connect(served, "Content-Length: 1000\r\n") as slow:
            slow.sendall(b"x")
            answer = http.client.HTTPResponse(slow)
            answer.begin()
            assert answer.status == 408
            assert "within 2 s" in json.load(answer)["error"]
        assert eventually(lambda: not served.scratch())
    finally:
        served.end(signal.SIGTERM)


def test_who_hangs_up_leaves_nothing_behind(server, song):
    content = song.read_bytes()
    for sent in (content[:100], content):
        for _ in range(20):
            with connect(server, f"Content-Length: {len(content)}\r\n") as connection:
                connection.sendall(sent)
    assert eventually(lambda: server.client.get("/health").json()["waiting"] == 0 and not server.scratch())
    assert server.tag(song).status_code == 200


def test_hundreds_at_once_get_an_answer_each(server, song):
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: server.tag(song), range(200)))
    statuses = {answer.status_code for answer in answers}
    assert 200 in statuses
    assert statuses <= {200, 503}
    assert all(answer.headers["Retry-After"] == "2" for answer in answers if answer.status_code == 503)
    assert server.tag(song).status_code == 200


def test_a_worker_that_is_killed_is_followed_by_another(server, song):
    for worker in psutil.Process(server.process.pid).children():
        worker.kill()
    assert server.tag(song).status_code == 200


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_ends_cleanly(tiny_run, song, number, code):
    served = start(tiny_run.folder)
    assert served.tag(song).status_code == 200
    workers = psutil.Process(served.process.pid).children()
    assert workers
    assert served.end(number) == code
    assert eventually(lambda: not any(worker.is_running() for worker in workers))
    assert not list(Path("/tmp").glob(f"folksong-web-{served.process.pid}-*"))
    assert "Traceback" not in "".join(served.said)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_what_is_heard(server, song, tmp_path, open_page, width):
    page = open_page(f"{server.client.base_url}/", width=width)
    strange = tmp_path / "<b>no.mp3"
    strange.write_text("no recording")
    page.set_input_files("#choose", [str(song), str(strange)])
    heard = page.locator("article", has_text="sóng.ogg")
    best = server.tag(song, top=1).json()["labels"][0]
    assert best["label"] in heard.locator("li").first.inner_text()
    page.get_by_text("not a recording that folksong knows").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_model_that_is_not_there_and_limits_that_cannot_be(tiny_run):
    for words, reason in (
        (["musicn-msd"], "did you mean 'musicnn-msd'?"),
        ([str(tiny_run.folder), "--max-minutes", "999"], "at most 180 minutes"),
    ):
        done = CliRunner().invoke(main, ["serve", *words])
        assert done.exit_code == 1
        assert reason in done.output
