"""Shards in an object store: written by several, whatever the network does, and read bit for bit like those on disk."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from folksong.audio.catalogue import Track
from folksong.errors import FileFormatError, FolksongError
from folksong.shards.index import Manifest
from folksong.shards.loader import WindowDataset, WindowLoader
from folksong.shards.reader import ShardReader
from folksong.shards.verify import describe_shards
from folksong.shards.writer import write_shards
from folksong.stores import open_store
from folksong.tags.table import TagTable
from object_store import Proxy

MakeTracks = Callable[[int], list[Track]]
ENTRY = "import sys; from folksong.cli import main; main(sys.argv[1:])"


def local_content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".checked.json"}


def stored_content(address: str) -> dict[str, bytes]:
    store = open_store(address)
    assert store.sizes(".writing") == {}
    return {name: store.local(name).read_bytes() for name in store.sizes("")}


def uploads(s3: Proxy) -> Counter[str]:
    """How often each shard was put, as the server saw it."""
    return Counter(
        path.partition("?")[0].rpartition("/")[2]
        for method, path, status in s3.seen
        if status in (200, 201)
        and path.partition("?")[0].endswith(".tfrecord")
        and ((method == "PUT" and "partNumber" not in path) or (method == "POST" and "uploadId" in path))
    )


def test_a_writing_into_a_store_is_that_on_disk(
    make_tracks: MakeTracks, tags: TagTable, tmp_path: Path, far: Proxy
) -> None:
    tracks, address = make_tracks(9), f"{far.address}/shards"
    expected = write_shards(tracks, tmp_path / "disk", tags, n_files=4, jobs=1)
    assert write_shards(tracks, address, tags, n_files=4, jobs=2) == expected
    assert stored_content(address) == local_content(tmp_path / "disk")
    assert set(uploads(far).values()) == {1}
    before = len(far.seen)
    assert write_shards(tracks, address, tags, n_files=4, jobs=1) == expected
    assert {method for method, _, _ in far.seen[before:]} <= {"GET", "HEAD"}, "all is there already"
    with pytest.raises(FolksongError, match=r"holds shards of other tracks, tags or settings.*overwrite"):
        write_shards(tracks[:5], address, tags, jobs=1)
    write_shards(tracks[:5], address, tags, jobs=1, overwrite=True)
    write_shards(tracks[:5], tmp_path / "five", tags, jobs=1)
    assert stored_content(address) == local_content(tmp_path / "five")
    open_store(f"{far.address}/other").put("notes.txt", b"mine")
    with pytest.raises(FolksongError, match=r"other: holds files of something else \(notes.txt\)"):
        write_shards(tracks, f"{far.address}/other", jobs=1)
    with pytest.raises(FolksongError, match=r"notes.txt: is a file; shards need a folder of their own"):
        write_shards(tracks, f"{far.address}/other/notes.txt", jobs=1)
    with pytest.raises(
        FolksongError, match=rf"^{far.address}: holds files of something else \(other, shards\)"
    ):
        write_shards(tracks, far.address, jobs=1)
    with pytest.raises(FolksongError, match="empty: no shards there"):
        ShardReader(f"{far.address}/empty")


def test_a_bucket_of_their_own_takes_shards(make_tracks: MakeTracks, far: Proxy) -> None:
    manifest = write_shards(make_tracks(4), far.address, n_files=2, jobs=1)
    assert Manifest.read(far.address) == manifest
    assert describe_shards(ShardReader(far.address))["folder"] == far.address
    assert write_shards(make_tracks(4), far.address, n_files=2, jobs=1) == manifest


def test_a_folder_that_the_store_s_page_made_is_empty(make_tracks: MakeTracks, s3: Proxy) -> None:
    address = f"http://127.0.0.1:{s3.behind}/{s3.bucket}/shards/"
    with urllib.request.urlopen(urllib.request.Request(address, data=b"", method="PUT")):
        pass
    assert write_shards(make_tracks(2), f"{s3.address}/shards", n_files=1, jobs=1).n_tracks == 2


def test_killed_workers_and_a_failing_store_lose_nothing(
    make_tracks: MakeTracks, tmp_path: Path, far: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, address = make_tracks(60), f"{far.address}/shards"
    write_shards(tracks, tmp_path / "disk", n_files=10, jobs=1)
    catalogue = tmp_path / "tracks.csv"
    lines = [f"{track.track_id},{track.path}" for track in tracks]
    catalogue.write_text("\n".join(["track_id,mp3_path", *lines]))
    chance = random.Random(0)
    far.fault = lambda method, path, number: chance.choice(["503", "cut", "lost", *[""] * 20])
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))

    def start() -> subprocess.Popen[str]:
        words = ["shards", "write", str(catalogue), address, "--num-files", "10", "--jobs", "1"]
        return subprocess.Popen([sys.executable, "-c", ENTRY, *words], stderr=subprocess.PIPE, text=True)

    processes = [start() for _ in range(3)]
    for number in range(4):
        time.sleep(chance.uniform(0.3, 0.8))
        processes[number % 3].kill()
        processes[number % 3].communicate()
        processes[number % 3] = start()
    for process in processes:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    far.fault = lambda method, path, number: ""
    assert stored_content(address) == local_content(tmp_path / "disk")


def epochs(reader: ShardReader, n: int) -> list[bytes]:
    """The batches of `n` epochs."""
    targets = sp.csr_matrix((len(reader), 1), dtype=np.float32)
    dataset = WindowDataset(reader, np.arange(len(reader)), targets, 700, random=True, seed=3)
    loader = WindowLoader(dataset, 4, shuffle=True, workers=2)
    return [batch["x"].numpy().tobytes() for _ in range(n) for batch in loader]


@pytest.mark.parametrize("storage", ["float32", "int16"])
@pytest.mark.parametrize("audio_format", ["waveform", "log-mel-spectrogram"])
def test_windows_from_disk_copies_and_store_are_the_same_bits(
    make_tracks: MakeTracks, tags: TagTable, tmp_path: Path, s3: Proxy, storage: str, audio_format: str
) -> None:
    address = f"s3://{s3.bucket}/shards"
    for place in (tmp_path / "disk", address):
        write_shards(
            make_tracks(9), place, tags, audio_format=audio_format, storage=storage, n_files=3, jobs=1, n_mels=8
        )  # fmt: skip
    disk, store = ShardReader(tmp_path / "disk"), ShardReader(address, cache_bytes=0)
    length = 700 if audio_format == "waveform" else 3
    assert (disk.track_ids, disk.n_steps.tolist()) == (store.track_ids, store.n_steps.tolist())
    assert disk.tags(2) == store.tags(2)
    assert bytes(disk.payload(8)) == bytes(store.payload(8))
    for i in range(9):
        np.testing.assert_array_equal(disk.window(i, 1, length), store.window(i, 1, length))
    if audio_format != "waveform":
        return
    expected = epochs(disk, 3)
    assert epochs(store, 3) == expected
    assert not list((tmp_path / "cache").rglob("*.tfrecord")), "no room was given"
    assert epochs(ShardReader(address), 3) == expected, "copies are made meanwhile"
    copied = ShardReader(address)
    assert all(copied._cache.copy(file) for file in range(3))  # type: ignore[union-attr]
    n_requests = len(s3.seen)
    assert epochs(copied, 2) == expected[:6]
    assert len(s3.seen) == n_requests, "nothing is asked of the store"


def test_copies_are_bounded_and_checked(
    make_tracks: MakeTracks, tmp_path: Path, s3: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = f"s3://{s3.bucket}/old", f"s3://{s3.bucket}/new"
    manifest = write_shards(make_tracks(9), old, n_files=3, jobs=1)
    write_shards(make_tracks(9), new, n_files=3, jobs=1, seed=1)
    sizes = [file.n_bytes for file in manifest.files]
    first = ShardReader(old, cache_bytes=sum(sizes))._cache
    assert first is not None
    assert [first.copy(file) for file in range(3)] == [True] * 3
    second = ShardReader(new, cache_bytes=sum(sizes[:2]))._cache
    assert second is not None
    assert [second.copy(file) for file in range(3)] == [True, True, False], (
        "the older folder's copies made room"
    )
    copies = list((tmp_path / "cache").rglob("*.tfrecord"))
    assert sum(path.stat().st_size for path in copies) <= sum(sizes[:2])
    name = manifest.files[1].name
    open_store(old).put(name, bytes(sizes[1]))
    reader = ShardReader(old)
    with pytest.raises(FileFormatError, match=rf"old/{name}: not the file that the manifest lists"):
        reader._cache.copy(1)  # type: ignore[union-attr]
    assert not list((tmp_path / "cache").rglob(f"*old*/{name}"))


def test_reading_through_a_failing_network_gives_the_same_or_an_error(
    make_tracks: MakeTracks, tmp_path: Path, s3: Proxy
) -> None:
    address = f"s3://{s3.bucket}/shards"
    for place in (tmp_path / "disk", address):
        write_shards(make_tracks(9), place, n_files=3, jobs=1)
    expected = epochs(ShardReader(tmp_path / "disk"), 2)
    chance = random.Random(1)
    s3.fault = lambda method, path, number: chance.choice(["503", "cut", "half", *[""] * 6])
    assert epochs(ShardReader(address, cache_bytes=0), 2) == expected
    assert epochs(ShardReader(address), 2) == expected
    for path in (tmp_path / "cache").rglob("*.tfrecord"):
        path.unlink()
    reader = ShardReader(address, cache_bytes=0)
    s3.fault = lambda method, path, number: "403"
    with pytest.raises(FolksongError, match=r"shards/waveform_\d.tfrecord: access was refused"):
        epochs(reader, 1)
    with pytest.raises(FolksongError, match="access was refused"):
        Manifest.read(address)


def test_recordings_catalogues_and_tags_in_a_store(
    make_tracks: MakeTracks, tags: TagTable, tmp_path: Path, s3: Proxy
) -> None:
    from click.testing import CliRunner

    from folksong.cli import main
    from folksong.tags.sources.lastfm import write_lastfm

    def command(*words: object) -> str:
        done = CliRunner().invoke(
            main, ["shards", "write", *map(str, words), "--jobs", "1", "--num-files", "2"]
        )
        return done.output if done.exit_code == 0 else f"FAILED {done.output}"

    make_tracks(5)
    (tmp_path / "audio" / "2.wav").write_bytes(b"no sound")
    write_lastfm(tags, tmp_path / "tags.db")
    lines = [f"TR{number:03d},{number:03d}.wav" for number in range(5)]
    catalogue = "\n".join(["track_id,mp3_path", *lines, "TRbad,2.wav"])
    (tmp_path / "audio" / "tracks.csv").write_text(catalogue)
    address = f"s3://{s3.bucket}/music"
    store = open_store(address)
    for path in (*(tmp_path / "audio").iterdir(), tmp_path / "tags.db"):
        store.put(path.name, path.read_bytes())
    assert "5 tracks" in command(
        tmp_path / "audio" / "tracks.csv", tmp_path / "disk", "--tags", tmp_path / "tags.db"
    )
    said = command(
        *(f"{address}/tracks.csv", tmp_path / "far", "--root", address, "--tags", f"{address}/tags.db")
    )
    assert "1 left out" in said
    disk, far = local_content(tmp_path / "disk"), local_content(tmp_path / "far")
    assert f"{address}/2.wav" in far.pop("skipped.csv").decode()
    del disk["skipped.csv"]
    assert far == disk
    assert "nothing to do" in command(
        *(f"{address}/tracks.csv", tmp_path / "far", "--root", address, "--tags", f"{address}/tags.db")
    )
    assert "5 tracks" in command(address, f"s3://{s3.bucket}/out")
    assert sorted(ShardReader(f"s3://{s3.bucket}/out").track_ids) == [f"{number:03d}" for number in range(5)]
    s3.fault = lambda method, path, number: "403" if ".wav" in path and "GET" in method else ""
    said = command(f"{address}/tracks.csv", tmp_path / "denied", "--root", address, "--no-disk-check")
    assert "access was refused" in said, "a store that refuses is no reason to leave recordings out"
    assert not (tmp_path / "denied" / "manifest.json").exists()


def test_only_shards_are_written_into_stores(s3: Proxy, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from folksong.cli import main

    done = CliRunner().invoke(main, ["labels", "top", "x.csv", "s3://b/top.labels.json"])
    assert "only shards are written into object stores" in done.output
    done = CliRunner().invoke(main, ["tags", "popular", f"s3://{s3.bucket}/none.csv"])
    assert f"s3://{s3.bucket}/none.csv: no such object or folder" in done.output
