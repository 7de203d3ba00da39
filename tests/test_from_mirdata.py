"""Data sets of the real package mirdata, with an index and files in its shape made here: nothing is downloaded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import folksong as fs
from folksong.errors import FolksongError

mirdata = pytest.importorskip("mirdata", reason="mirdata (the extra 'mirdata') is not installed")


def opened(name: str, folder: Path, tracks: dict[str, dict[str, str | None]]) -> Any:
    """Return mirdata's loader of a data set, its index a file in the folder and in its format."""
    dataset = mirdata.initialize(name, data_home=str(folder))
    index = {key: {kind: [path, None] for kind, path in files.items()} for key, files in tracks.items()}
    (folder / "index.json").write_text(json.dumps({"version": "1.0", "tracks": index}))
    dataset.index_path = str(folder / "index.json")
    return dataset


def tags_of(table: fs.TagTable) -> dict[str, list[str]]:
    return {track: sorted(tag for tag, _ in table.tags_of(track)) for track in table.track_ids}


def test_gtzan_has_genres_and_recordings_that_can_be_embedded(tmp_path: Path) -> None:
    files = {}
    for track in ("blues.00000", "hiphop.00001"):
        audio = tmp_path / "gtzan_genre" / "genres" / track.split(".")[0] / f"{track}.wav"
        audio.parent.mkdir(parents=True)
        soundfile.write(audio, np.random.default_rng(0).normal(scale=0.1, size=22050), 22050)
        files[track] = {"audio": str(audio.relative_to(tmp_path)), "beats": None, "tempo": None}
    found = fs.from_mirdata(opened("gtzan_genre", tmp_path, files))
    assert tags_of(found.table) == {"blues.00000": ["blues"], "hiphop.00001": ["hip-hop"]}
    assert found.split is None
    assert [track.track_id for track in found.tracks] == ["blues.00000", "hiphop.00001"]
    embeddings = fs.embed_audio(found.tracks, tmp_path / "embeddings", "statistics", jobs=1)
    assert embeddings.track_ids == ("blues.00000", "hiphop.00001")


def test_mtg_jamendo_has_tags_artists_and_its_split(tmp_path: Path) -> None:
    header = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
    lines = {
        "track_0000948": "track_0000948\tartist_000087\talbum_000149\t48/948.mp3\t212.7\tmood/theme---background\n",
        "track_0000950": "track_0000950\tartist_000087\talbum_000149\t50/950.mp3\t248.6"
        "\tmood/theme---film\tmood/theme---sad\n",
        "track_0000951": "track_0000951\tartist_000088\talbum_000150\t51/951.mp3\t200.9\tmood/theme---sad\n",
    }  # fmt: skip
    splits = tmp_path / "data" / "splits"
    for number in range(5):
        (splits / f"split-{number}").mkdir(parents=True)
        for part, line in zip(("train", "validation", "test"), lines.values(), strict=True):
            (splits / f"split-{number}" / f"autotagging_moodtheme-{part}.tsv").write_text(header + line)
    (tmp_path / "data" / "autotagging_moodtheme.tsv").write_text(header + "".join(lines.values()))
    files = {track: {"audio": f"audios/{track[-2:]}/{int(track[6:])}.mp3"} for track in lines}
    found = fs.from_mirdata(opened("mtg_jamendo_autotagging_moodtheme", tmp_path, files))
    assert tags_of(found.table) == {
        "track_0000948": ["background"], "track_0000950": ["film", "sad"], "track_0000951": ["sad"],
    }  # fmt: skip
    assert [track.artist for track in found.tracks] == ["artist_000087", "artist_000087", "artist_000088"]
    assert found.tracks[0].path == tmp_path / "audios" / "48" / "948.mp3"
    split = found.split
    assert split is not None
    assert (split.training, split.validation, split.test) == tuple((track,) for track in lines)


def test_medley_solos_db_names_its_parts_by_subset(tmp_path: Path) -> None:
    (tmp_path / "annotation").mkdir()
    rows = [f"{part},{name},{n},{n},{n}" for n, (part, name) in enumerate(
        [("training", "clarinet"), ("validation", "piano"), ("test", "violin")]
    )]  # fmt: skip
    text = "subset,instrument,instrument_id,song_id,uuid4\n" + "\n".join(rows) + "\n"
    (tmp_path / "annotation" / "Medley-solos-DB_metadata.csv").write_text(text)
    found = fs.from_mirdata(
        opened("medley_solos_db", tmp_path, {str(n): {"audio": f"{n}.wav"} for n in range(3)})
    )
    assert tags_of(found.table) == {"0": ["clarinet"], "1": ["piano"], "2": ["violin"]}
    assert found.split is not None
    assert (found.split.training, found.split.validation, found.split.test) == (("0",), ("1",), ("2",))


def test_acousticbrainz_genre_and_irmas_have_several_tags_a_track(tmp_path: Path) -> None:
    ids = ["tagtraum#train#a#b#rock#rock---indie##", "tagtraum#validation#c#d#jazz###"]
    found = fs.from_mirdata(
        opened("acousticbrainz_genre", tmp_path, {one: {"data": f"{one[-3]}.json"} for one in ids})
    )
    assert tags_of(found.table) == {ids[0]: ["rock", "rock---indie"], ids[1]: ["jazz"]}
    assert found.tracks == []
    assert found.split is None  # it has no test part
    (tmp_path / "1.txt").write_text("gac\nvoi\n")
    files = {
        "1__1": {"audio": "cel/[cel][cla]0001__1.wav", "annotation": "cel/[cel][cla]0001__1.wav"},
        "(02)": {"audio": "x/(02).wav", "annotation": "1.txt"},
    }
    dataset = opened("irmas", tmp_path, files)
    assert tags_of(fs.from_mirdata(dataset).table) == {"(02)": ["gac", "voi"], "1__1": ["cel", "cla"]}
    assert tags_of(fs.from_mirdata(dataset, fields=["instrument"]).table)["1__1"] == ["cel"]


def test_confidences_count_from_a_half(tmp_path: Path) -> None:
    from folksong.from_mirdata import _names

    assert list(_names({"banjo": 0.9, "cello": 0.4, "genres": ["folk ", ""]})) == ["banjo", "folk"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FolksongError, match=r"medley_solos_db: .*dataset\.download\(\)"):
        fs.from_mirdata(opened("medley_solos_db", tmp_path, {"0": {"audio": "0.wav"}}))
    with pytest.raises(
        FolksongError, match=r"gtzan_genre: .*index must be downloaded.*dataset\.download\(\)"
    ):
        fs.from_mirdata(mirdata.initialize("gtzan_genre", data_home=str(tmp_path)))
    files = {"blues.00000": {"audio": "blues.wav", "beats": None, "tempo": None}}
    with pytest.raises(FolksongError, match=r"gtzan_genre has no tags in loudness; name the attributes"):
        fs.from_mirdata(opened("gtzan_genre", tmp_path, files), fields=["loudness"])
