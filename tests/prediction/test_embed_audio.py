"""Recordings into embeddings: whole, in order, resumed, with broken files named."""

from __future__ import annotations

import logging
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from folksong.audio.catalogue import scan_folder
from folksong.cli import main
from folksong.embeddings.store import read_embeddings
from folksong.errors import FolksongError
from folksong.models.pretrained.extractors import get_extractor
from folksong.prediction import embed_audio as module
from folksong.prediction.embed_audio import embed_audio
from folksong.stores import open_store


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(0)
    for name in ("b", "a", "d"):
        soundfile.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(16_000), 16_000)
    (folder / "c.mp3").write_bytes(b"no sound at all")
    return folder


@pytest.fixture(scope="module")
def whole(music, tmp_path_factory):
    return embed_audio(music, tmp_path_factory.mktemp("whole") / "out", "statistics", jobs=2)


def test_rows_are_what_the_extractor_gives(music, whole):
    found = whole
    assert found.track_ids == ("a", "b", "d")
    extractor = get_extractor("statistics")
    assert found.space == extractor.space
    for track_id in found.track_ids:
        samples, _ = soundfile.read(music / f"{track_id}.wav", dtype="float32")
        np.testing.assert_array_equal(found.vectors([track_id])[0], extractor(samples))
    (skipped,) = found.provenance["skipped"]
    assert skipped["track_id"] == "c"
    assert "c.mp3: not a recording" in skipped["reason"]


def test_recordings_in_a_store_are_heard_like_those_on_disk(music, whole, tmp_path, s3):
    store = open_store(f"{s3.address}/music")
    for path in music.iterdir():
        store.put(path.name, path.read_bytes())
    found = embed_audio(f"{s3.address}/music", tmp_path / "out", "statistics", jobs=1)
    np.testing.assert_array_equal(found.values, whole.values)
    (skipped,) = found.provenance["skipped"]
    assert skipped["reason"].startswith(f"{s3.address}/music/c.mp3: not a recording")


def test_any_number_of_processes_gives_the_same_files(music, whole, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        embed_audio(music, tmp_path / "out", "statistics", jobs=1)
    assert "c.mp3" in caplog.text
    assert "1 of 4 recordings have no embedding" in caplog.text
    assert files_of(tmp_path / "out") == files_of(whole.source)


@pytest.fixture
def asked(monkeypatch):
    """The names of the recordings that are heard."""
    names: list[str] = []
    run_guarded = module.run_guarded

    def noted(function, batches, **options):
        def note():
            for batch in batches:
                names.extend(Path(path).stem for path in batch)
                yield batch

        return run_guarded(function, note(), **options)

    monkeypatch.setattr(module, "run_guarded", noted)
    return names


def test_it_goes_on_where_it_was_stopped(music, whole, tmp_path, monkeypatch, asked):
    noted = module.run_guarded

    def stopped(*given, **options):
        with closing(noted(*given, **options)) as outcomes:
            yield next(outcomes)
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_guarded", stopped)
    with pytest.raises(KeyboardInterrupt):
        embed_audio(music, tmp_path / "out", "statistics", jobs=1)
    first, *_ = asked
    asked.clear()
    with pytest.raises(FolksongError, match="not finished"):
        read_embeddings(tmp_path / "out")
    monkeypatch.setattr(module, "run_guarded", noted)
    found = embed_audio(music, tmp_path / "out", "statistics", jobs=1)
    assert sorted([first, *asked]) == ["a", "b", "c", "d"]
    assert files_of(tmp_path / "out") == files_of(whole.source)
    assert embed_audio(music, tmp_path / "out", "statistics", jobs=1).sha256 == found.sha256
    assert len(asked) == 3  # nothing was done again


def test_a_grown_library_is_heard_where_it_is_new_or_changed(music, tmp_path, asked, caplog):
    library, out = tmp_path / "music", tmp_path / "out"
    shutil.copytree(music, library)
    embed_audio(library, out, "statistics", jobs=1)
    asked.clear()
    (library / "b.wav").unlink()
    shutil.copy(library / "d.wav", library / "a.wav")
    samples, rate = soundfile.read(library / "d.wav")
    soundfile.write(library / "bb.wav", samples[::-1], rate)
    with caplog.at_level(logging.INFO):
        grown = embed_audio(library, out, "statistics", jobs=1)
    assert sorted(asked) == ["a", "bb"]
    assert "1 recording new, 1 changed, 1 vanished; 2 are there" in caplog.text
    assert grown.track_ids == ("a", "bb", "d")
    np.testing.assert_array_equal(*grown.vectors(["a", "d"]))
    embed_audio(library, tmp_path / "at once", "statistics", jobs=1)
    assert files_of(out) == files_of(tmp_path / "at once")


def files_of(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_tracks_that_cannot_be(music, tmp_path):
    with pytest.raises(FolksongError, match="there are no tracks to embed"):
        embed_audio([], tmp_path / "none", "statistics")
    track = scan_folder(music)[0]
    with pytest.raises(FolksongError, match="occurs twice"):
        embed_audio([track, track], tmp_path / "none", "statistics")


def test_recordings_of_two_ids_are_heard(music, tmp_path):
    track = next(track for track in scan_folder(music) if track.track_id == "a")
    found = embed_audio([track, replace(track, track_id="z")], tmp_path / "out", "statistics", jobs=1)
    np.testing.assert_array_equal(*found.vectors(["a", "z"]))


def test_nothing_decodes(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "music/a.mp3").write_bytes(b"junk")
    with pytest.raises(FolksongError, match="there is no embedding to write"):
        embed_audio(tmp_path / "music", tmp_path / "out", "statistics", jobs=1)


def test_the_command(music, whole, tmp_path):
    command = [
        "embeddings",
        "extract",
        str(music),
        str(tmp_path / "out"),
        "--model",
        "statistics",
        "--jobs",
        "1",
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "3 embeddings of statistics" in result.output
    assert "c.mp3: not a recording" in result.output
    assert read_embeddings(tmp_path / "out").sha256 == whole.sha256


def test_a_finished_folder_is_not_said_to_be_written_anew(music, tmp_path):
    words = ["embeddings", "extract", str(music), str(tmp_path / "out"), "--model", "statistics"]
    first, again = (CliRunner().invoke(main, words) for _ in range(2))
    assert f"{tmp_path / 'out'}: 3 embeddings of statistics" in first.output
    assert "nothing to do" in again.output
    assert "wrote" not in again.output
