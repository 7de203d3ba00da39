"""The Hugging Face Hub: huggingface_hub itself against a server on the loopback address that keeps one model."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from folksong.errors import FolksongError
from folksong.export.folder import export_folder, fetch_model, push_to_hub
from folksong.prediction import load_tagger
from folksong.runs import Run

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """One repository of models, me/tagger; what is committed is kept in `files`."""

    files: dict[str, bytes]

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def tell(self, content: object) -> None:
        self.answer(json.dumps(content).encode(), Content_Type="application/json")

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/api/models/me/tagger/tree"):
            self.tell([
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in self.files.items()
            ])  # fmt: skip
        elif path.startswith("/api/models/me/tagger"):
            self.tell(
                {"id": "me/tagger", "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}
            )
        elif path.startswith("/me/tagger/resolve/") and path.rsplit("/", 1)[1] in self.files:
            content = self.files[path.rsplit("/", 1)[1]]
            self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')
        else:
            self.answer(b"{}", 404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/api/repos/create"):
            self.tell({"url": f"http://{self.headers['Host']}/me/tagger"})
        elif self.path == "/api/validate-yaml":
            self.tell({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            listed = json.loads(body)["files"]
            self.tell(
                {
                    "files": [
                        {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for one in listed
                    ]
                }
            )
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            host = self.headers["Host"]
            self.tell({"commitUrl": f"http://{host}/me/tagger/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self.answer(b"{}", 404)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return what the environment says of the server; `Hub.files` is what it keeps."""
    Hub.files = {"evil.py": b"raise SystemExit('was run')"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": "hf_x",
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    server.shutdown()
    server.server_close()


def folksong(environment: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    """Run folksong in a process of its own: huggingface_hub reads its environment when it is imported."""
    return subprocess.run(
        [sys.executable, "-m", "folksong", *map(str, words)], capture_output=True, text=True, check=False,
        env={**os.environ, **environment}, timeout=300,
    )  # fmt: skip


def test_a_run_goes_to_the_hub_and_comes_back(hub, tiny_run, sound, tmp_path):
    import soundfile

    run, file = Run.open(tiny_run.folder), tmp_path / "song.wav"
    soundfile.write(file, sound("noise", 0, 3.0), 16_000)
    tried = folksong(hub, "export", "hub", run.path, "hf://me/tagger", "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert "would upload 3 files" in tried.stdout
    assert set(Hub.files) == {"evil.py"}

    sent = folksong(hub, "export", "hub", run.path, "hf://me/tagger")
    assert sent.returncode == 0, sent.stderr
    assert set(Hub.files) == {"evil.py", "config.json", "model.safetensors", "README.md"}
    assert Hub.files["README.md"].startswith(b"---\nlibrary_name: folksong\n")

    heard = folksong(hub, "predict", "hf://me/tagger", file, "--json")
    assert heard.returncode == 0, heard.stderr
    scores = {one["label"]: one["score"] for one in json.loads(heard.stdout)[0]["labels"]}
    here = load_tagger(run, device="cpu").predict(file).scores
    assert [scores[name] for name in run.labels.names] == pytest.approx(here.tolist(), abs=1e-6)
    assert not list((tmp_path / "cache").rglob("evil.py"))

    Hub.files.clear()
    offline = folksong({**hub, "HF_HUB_OFFLINE": "1"}, "predict", "hf://me/tagger", file, "--json")
    assert (offline.returncode, offline.stdout) == (0, heard.stdout)
    gone = folksong(hub, "predict", "hf://me/other", file)
    assert gone.returncode == 1
    assert "Error: hf://me/other: cannot be fetched (" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_names_and_folders(tiny_run, tmp_path):
    folder = export_folder(Run.open(tiny_run.folder), tmp_path / "out")
    assert [name for name, _ in push_to_hub(folder, "hf://me/tagger", dry_run=True)] == [
        "config.json", "model.safetensors", "README.md"
    ]  # fmt: skip
    for name in ("me/tagger", "hf://me", "hf://me/tagger@v1"):
        with pytest.raises(FolksongError, match=r"say where it goes as hf://user/name"):
            push_to_hub(folder, name)
    with pytest.raises(FolksongError, match=r"hf://me/tagger/more: a model of the Hub is called"):
        fetch_model("hf://me/tagger/more")
