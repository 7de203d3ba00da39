"""The corpus on disk: the same bytes for a seed, valid files that the rest of folksong reads, refusals."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from folksong.audio.catalogue import read_catalogue
from folksong.audio.decode import decode
from folksong.demo.corpus import Corpus, CorpusSettings, write_corpus
from folksong.errors import FolksongError
from folksong.tags.sources.read_tags import read_tags

from .conftest import TINY


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes_whatever_the_number_of_jobs(tiny: Corpus, tmp_path: Path) -> None:
    again = write_corpus(tmp_path / "again", TINY, jobs=2)
    assert contents(again.root) == contents(tiny.root)


def test_another_seed_other_bytes(tiny: Corpus, tmp_path: Path) -> None:
    settings = dataclasses.replace(TINY, seed=4, genres=("folk",), per_subgenre=1)
    other = write_corpus(tmp_path / "other", settings, jobs=1)
    mine, others = contents(tiny.root), contents(other.root)
    assert not set(mine) & {name for name in others if name.startswith("audio/")}
    assert mine["lastfm_tags.db"] != others["lastfm_tags.db"]


def test_a_corpus_of_one_genre_holds_the_same_pieces(tiny: Corpus, tmp_path: Path) -> None:
    folk = write_corpus(tmp_path / "folk", dataclasses.replace(TINY, genres=("folk",)), jobs=1)
    whole = contents(tiny.root)
    pieces = {name: data for name, data in contents(folk.root).items() if name.startswith("audio/")}
    assert len(pieces) == 16
    assert all(whole[name] == data for name, data in pieces.items())


def test_files_are_mp3_of_mixed_kinds_and_all_sound(tiny: Corpus) -> None:
    tracks = read_catalogue(tiny.tracks_csv)
    assert len(tracks) == 32
    infos = [soundfile.info(track.path) for track in tracks]
    assert {info.format for info in infos} == {"MP3"}
    assert {info.samplerate for info in infos} == {22050, 44100}
    assert {info.channels for info in infos} == {1, 2}
    for track, info in zip(tracks, infos, strict=True):
        assert info.frames / info.samplerate == pytest.approx(TINY.seconds, abs=1e-3)
        samples = decode(track.path)
        assert np.abs(samples).max() > 0.2
        assert np.sqrt((samples**2).mean()) > 0.01


def test_catalogue_database_and_truth_speak_of_the_same_tracks(tiny: Corpus) -> None:
    tracks = read_catalogue(tiny.tracks_csv)
    truth = {row["track_id"]: row for row in tiny.read_truth()}
    table = read_tags(tiny.tags_path)
    assert set(table.track_ids) == set(truth) == {track.track_id for track in tracks}
    assert {track.track_id: track.artist for track in tracks} == {
        name: row["artist"] for name, row in truth.items()
    }
    assert {row["tag"] for row in tiny.read_truth("truth/tags.csv")} == set(table.tags)


def test_unseen_clips_are_by_artists_outside_the_corpus(tiny: Corpus) -> None:
    assert [path.name.split("_")[0] for path in tiny.unseen] == ["folk", "rock"]
    inside = {row["artist"] for row in tiny.read_truth()}
    for row in tiny.read_truth("unseen/truth.csv"):
        assert (tiny.root / "unseen" / row["file"]).is_file()
        assert row["artist"] not in inside


def test_what_is_missing_is_written_and_what_is_there_stays(tmp_path: Path) -> None:
    settings = CorpusSettings(per_subgenre=1, unseen_per_genre=0, seconds=1.0, genres=("jazz",))
    corpus = write_corpus(tmp_path / "c", settings, jobs=1)
    before = contents(corpus.root)
    first, second = sorted((corpus.root / "audio").rglob("*.mp3"))[:2]
    first.unlink()
    stamp = second.stat().st_mtime_ns
    write_corpus(tmp_path / "c", settings, jobs=1)
    assert contents(corpus.root) == before
    assert second.stat().st_mtime_ns == stamp


def test_a_folder_with_another_corpus_is_refused(tiny: Corpus) -> None:
    with pytest.raises(
        FolksongError, match=r"made with other settings.*delete that folder or choose another"
    ):
        write_corpus(tiny.root, dataclasses.replace(TINY, seed=8), jobs=1)


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(FolksongError, match="not an empty folder and no corpus"):
        write_corpus(tmp_path, TINY, jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": 0.2}, "from 1 to 600 seconds, not 0.2"),
        ({"seed": -1}, "seed must not be negative"),
        ({"unseen_per_genre": -1}, "must not be negative"),
    ],
)
def test_wrong_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(FolksongError, match=message):
        CorpusSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (CorpusSettings(genres=("hiphop",)), "no genre is called 'hiphop'; did you mean 'hip_hop'"),
        (CorpusSettings(per_subgenre=0), "at least 1 piece"),
    ],
)
def test_wrong_plans(settings: CorpusSettings, message: str, tmp_path: Path) -> None:
    with pytest.raises(FolksongError, match=message):
        write_corpus(tmp_path / "c", settings)
    assert not (tmp_path / "c").exists()
