import errno
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from folksong.audio.catalogue import read_catalogue
from folksong.errors import FileFormatError, FolksongError, nearest
from folksong.files import (
    atomic_path,
    atomic_write,
    check_output,
    describe_os_error,
    is_locked,
    locked,
    open_regular,
    parse_toml,
    read_json,
    reading,
    remove_leftovers,
    sha256_file,
    write_json,
    written_by,
)
from folksong.labels.space import LabelSpace
from folksong.runs import Run
from folksong.shards.reader import ShardReader
from folksong.splits import Split
from folksong.tags.cleaning.recipe import read_recipe
from folksong.tags.file_tags import read_record
from folksong.tags.sources.read_tags import read_tags
from folksong.tags.tag_lists import read_remove_list
from folksong.training.config import Config


def test_a_failed_write_leaves_the_old_content_and_no_debris(tmp_path: Path) -> None:
    target = tmp_path / "labels.json"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="midway"), atomic_write(target, "w") as stream:
        stream.write("half of the new")
        raise RuntimeError("midway")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["labels.json"]


def test_an_interrupted_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a" / "x.db") as path:
        path.write_bytes(b"123")
        raise KeyboardInterrupt
    assert list((tmp_path / "a").iterdir()) == []


def test_written_files_get_the_usual_mode(tmp_path: Path) -> None:
    write_json(tmp_path / "new.json", {})
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "new.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


FILL = """
import resource, sys
from folksong.files import write_json
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
write_json(sys.argv[1], ["x" * 100] * 1000)
"""


def test_a_write_that_the_system_cuts_short_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "big.json"
    target.write_text("[]")
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(target)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "FolksongError" in done.stderr
    assert str(target) in done.stderr
    assert target.read_text() == "[]"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_named_with_the_remedy(tmp_path: Path) -> None:
    text = describe_os_error(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "x.tfrecord")
    assert "x.tfrecord" in text
    assert "disk is full" in text
    assert "free some space" in text


def test_a_read_only_file_system_is_told_from_a_missing_permission(tmp_path: Path) -> None:
    for code, said in (
        (errno.EROFS, "read-only; choose another folder"),
        (errno.EACCES, "no permission; check"),
    ):
        assert said in describe_os_error(OSError(code, "x"), tmp_path / "x.csv")


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_16_c6_errors_of_other_libraries_that_the_system_made_are_named(
    tmp_path: Path, kind: type[Exception]
) -> None:
    target = tmp_path / "x.safetensors"
    with pytest.raises(FolksongError, match=r"x\.safetensors: the disk is full"), atomic_path(target):
        raise kind("I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError, match="of its own"), atomic_path(target):
        raise RuntimeError("of its own")
    assert not list(tmp_path.iterdir())


def test_a_real_full_disk(tmp_path: Path) -> None:
    disk = Path("/dev/full")
    if not disk.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="space") as caught, disk.open("wb", buffering=0) as stream:
        stream.write(b"x")
    assert "the disk is full" in describe_os_error(caught.value, disk)


def test_json_errors_name_file_and_place(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text('{"seed": 1,\n "test": [}')
    with pytest.raises(FileFormatError, match=r"split\.json: not valid JSON \(line 2"):
        read_json(path)
    path.write_bytes(b'"caf\xe9"')
    with pytest.raises(FileFormatError, match="not UTF-8"):
        read_json(path)
    path.write_bytes('{"tag": "música"}'.encode("utf-16"))
    assert read_json(path) == {"tag": "música"}
    with pytest.raises(FolksongError, match="no such file"):
        read_json(tmp_path / "absent.json")


def test_json_keeps_text_readable_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"tag": "música 🎵\n"})
    assert "música 🎵" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a.json").read_text()) == {"tag": "música 🎵\n"}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == {"tag": "música 🎵\n"}


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "abc") == expected


@pytest.mark.skipif(os.name == "nt", reason="pipes with names")
@pytest.mark.parametrize("read", [open_regular, read_json, sha256_file])
def test_c2_only_regular_files_are_opened(tmp_path: Path, read) -> None:
    os.mkfifo(tmp_path / "labels.json")
    with pytest.raises(FolksongError, match=r"labels.json: is a pipe, socket or device, not a file"):
        read(tmp_path / "labels.json")
    with pytest.raises(FolksongError, match="is a folder, not a file"):
        read(tmp_path)
    with pytest.raises(FolksongError, match="is a pipe, socket or device"):
        read("/dev/zero")


def test_nearest_word() -> None:
    assert nearest("bach_size", ["batch_size", "top"]) == "; did you mean 'batch_size'?"
    assert nearest("zzz", ["batch_size"]) == ""


def test_b3_a_lock_that_a_process_holds_is_refused_with_a_word_and_free_when_it_was_killed(tmp_path):
    code = (
        "import sys, time; from folksong.files import locked\n"
        "with locked(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert is_locked(tmp_path / "lock")
        with (
            pytest.raises(FolksongError, match="lock: another training"),
            locked(tmp_path / "lock", "another training"),
        ):
            pass
        holder.kill()
    assert not is_locked(tmp_path / "lock")
    with locked(tmp_path / "lock", "in use"):
        pass


def test_b1_an_output_is_no_pipe_and_no_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (("pipe", "a pipe, socket or device"), (".", "a folder")):
        with pytest.raises(FolksongError, match=f"is {kind}, where a file is to be written"):
            check_output(tmp_path / name, "maker", force=True)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 10_000, "{"], ids=["deep", "long", "cut"])
def test_16_c6_json_and_toml_that_no_one_writes_are_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(FileFormatError, match=r"x\.json: not valid JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(FileFormatError, match=r"x\.toml: not valid TOML"):
        parse_toml(f"value = {text}", tmp_path / "x.toml")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_16_c9_an_output_is_its_makers_whenever_that_is_stopped(
    tmp_path: Path, monkeypatch, moment: str
) -> None:
    target = tmp_path / "x.csv"
    for content in ("first", "second"):
        with written_by("tags clean", [target]), atomic_write(target, "w") as stream:
            stream.write(content)
        check_output(target, "tags clean")

    replace = Path.replace

    def stopped(self: Path, other: Path) -> None:
        if moment == "after" or other != target:
            replace(self, other)
        if other == target:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stopped)
    with (
        pytest.raises(KeyboardInterrupt),
        written_by("tags clean", [target]),
        atomic_write(target, "w") as stream,
    ):
        stream.write("third")
    monkeypatch.undo()
    assert target.read_text() == ("second" if moment == "before" else "third")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
    check_output(target, "tags clean")
    with pytest.raises(FolksongError, match="tags propose did not write it"):
        check_output(target, "tags propose")
    target.write_text("by hand")
    with pytest.raises(FolksongError, match="did not write it"):
        check_output(target, "tags clean")


@pytest.mark.skipif(os.name == "nt", reason="files that are open cannot be removed there")
def test_16_c9_what_killed_writers_left_goes_with_the_next_writing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from folksong.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path: path.write_bytes(b'half'); print('begun', flush=True); time.sleep(60)"
    )
    writers = {}
    for name in ("killed.json", "alive.json"):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        writers[name] = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert writers[name].stdout.readline() == b"begun\n"
    writers["killed.json"].kill()
    writers["killed.json"].wait()
    (tmp_path / ".mine.part").write_text("no file of ours")
    write_json(tmp_path / "x.json", {})
    left = sorted(path.name.split(".")[1] for path in tmp_path.iterdir() if path.name.endswith(".part"))
    writers["alive.json"].kill()
    writers["alive.json"].wait()
    assert left == ["alive", "mine"]


@pytest.mark.skipif(os.name == "nt", reason="files that are open cannot be removed there")
def test_16_c9_writing_goes_on_beside_one_that_removes_leftovers(tmp_path: Path) -> None:
    over = threading.Event()

    def remove() -> None:
        while not over.is_set():
            remove_leftovers(tmp_path)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(remove)
        try:
            for number in range(300):
                write_json(tmp_path / "x.json", number)
                assert read_json(tmp_path / "x.json") == number
        finally:
            over.set()


@pytest.mark.parametrize(
    "failure",
    [lambda: {}["x"], lambda: 1 / 0, lambda: None.name, lambda: [][3], lambda: 3 + "x", lambda: float("x"),
     lambda: Path("/none").read_bytes()],
    ids=["key", "zero", "name", "index", "kind", "number", "file"],
)  # fmt: skip
def test_16_c6_what_a_file_holds_is_named_with_the_file(failure):
    with (
        pytest.raises(
            FileFormatError, match=r"(a\.json: damaged \(\w+: .*\)|/none: no such file).*; make it anew$"
        ),
        reading("a.json", "make it anew"),
    ):
        failure()


def test_16_c6_a_message_that_names_its_file_stays():
    for message, shown in (("b.json: cut", "b.json: cut"), ("odd", "a.json: odd")):
        kind = FileFormatError if "cut" in message else FolksongError
        with pytest.raises(FileFormatError, match=f"^{shown}$"), reading("a.json"):
            raise kind(message)


@pytest.mark.parametrize(
    ("reader", "name", "content", "message"),
    [
        (LabelSpace.read, "tags.db", b"SQLite format 3\0" + bytes(range(128, 200)), "but an SQLite database, as"),
        (LabelSpace.read, "s.json", b'{\n "format": "folksong.split"}', "not a label space, but a split, as `folksong"),
        (LabelSpace.read, "tags.csv", b"track,tag\na,rock\n", "but a table"),
        (Split.read, "x.labels.json", b'{"format": "folksong.labels"}', "not a split, but a label space"),
        (read_tags, "x.labels.json", b'{"format": "folksong.labels"}', "not a table of tags, but a label space"),
        (read_tags, "song.csv", b"ID3\4\0\0\0", "not a table of tags, but a recording"),
        (read_recipe, "x.json", b'{"format": "folksong.changes"}', "but the log of a cleaning, as"),
        (read_recipe, "runs/config.json", b'{"format": "folksong.run"}', "is a run, as .*, not a file"),
        (read_remove_list, "x.json", b'{"format": "folksong.split"}', "but a split"),
        (Config.read, "x.json", b'{"format": "folksong.model"}', "but an exported model, as `folksong predict`"),
        (Run.open, "x/manifest.json", b'{"format": "folksong.shards"}', "but a folder of shards"),
        (Run.open, "tags.db", b"SQLite format 3\0", "an SQLite database.*; a run is the folder"),
        (ShardReader, "x/config.json", b'{"format": "folksong.run"}', "no shards here .* but a run"),
        (ShardReader, "x.mp3", b"\xff\xfb\x90\x64", "no folder of shards, but a recording"),
        (read_catalogue, "x.csv", b"SQLite format 3\0\xff", "not a CSV file in UTF-8, but an SQLite database"),
        (read_record, "x.json", b'{"epochs": 3}', "not a record of written tags"),
    ],
)  # fmt: skip
def test_16_b4_a_file_of_another_kind_is_called_what_it_is(tmp_path, reader, name, content, message):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(FolksongError, match=message):
        reader(file if "/" not in name else file.parent)
