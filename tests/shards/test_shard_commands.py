from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from folksong.audio.catalogue import Track
from folksong.cli import main
from folksong.shards.index import Manifest
from folksong.shards.reader import ShardReader
from folksong.tags.sources.lastfm import write_lastfm
from folksong.tags.table import TagTable

GOLDEN = Path(__file__).parent / "golden"
MakeTracks = Callable[[int], list[Track]]


def shards(*words: object) -> Result:
    return CliRunner().invoke(main, ["shards", *map(str, words)])


@pytest.fixture
def catalogue(make_tracks: MakeTracks, tmp_path: Path) -> Path:
    """A catalogue of 5 tracks in the shape of the earlier project's, with paths relative to `audio`."""
    tracks = make_tracks(5)
    path = tmp_path / "ultimate.csv"
    lines = [
        "# made by hand",
        "track_id,mp3_path,file_size",
        *(f"{t.track_id},{t.path.name},7" for t in tracks),
    ]
    path.write_text("\n".join(lines))
    return path


def test_write_show_verify(catalogue: Path, tags: TagTable, tmp_path: Path) -> None:
    write_lastfm(tags, tmp_path / "tags.db")
    out = tmp_path / "out"
    words = [
        "write",
        catalogue,
        out,
        "--root",
        tmp_path / "audio",
        "--tags",
        tmp_path / "tags.db",
        "--jobs",
        1,
    ]
    done = shards(*words, "--num-files", 2, "--min-weight", 0)
    assert done.exit_code == 0, done.output
    assert "out: 5 tracks in 2 files, " in done.output
    assert "skipped.csv" not in done.output
    reader = ShardReader(out)
    assert reader.tags(reader.track_ids.index("TR001"))[0] == [], "its only tag has weight 0"
    shown = shards("show", out, "--tracks", 2)
    assert "waveform" in shown.output
    assert reader.track_ids[1] in shown.output
    facts = json.loads(shards("show", out, "--tracks", 5, "--json").output)
    assert facts["n_tracks"] == len(facts["records"]) == 5
    assert {"track_id", "seconds", "tags"} == set(facts["records"][0])
    assert facts["hours"] == pytest.approx(sum(2000 + 100 * n for n in range(5)) / 16000 / 3600, abs=1e-4)
    verified = shards("verify", out)
    assert (verified.exit_code, verified.output) == (0, f"{out}: sound; 5 records in 2 files\n")


def test_spectrograms_of_a_folder_with_every_option(make_tracks: MakeTracks, tmp_path: Path) -> None:
    make_tracks(4)
    out = tmp_path / "out"
    for part in ((1, 1), (2, 2)):
        done = shards(
            *(
                "write",
                tmp_path / "audio",
                out,
                "--format",
                "log-mel-spectrogram",
                "--sr",
                8000,
                "--mels",
                20,
            ),
            *(
                "--preset",
                "pons2018",
                "--num-files",
                2,
                "--seed",
                3,
                "--start-stop",
                *part,
                "--no-disk-check",
            ),
            *("--storage", "int16", "--jobs", 1),
        )
        assert done.exit_code == 0, done.output
    manifest = Manifest.read(out)
    assert manifest.preset is not None
    assert (manifest.preset.hop_length, manifest.preset.n_mels, manifest.sample_rate) == (256, 20, 8000)
    assert (manifest.storage, manifest.provenance["seed"], manifest.n_tracks) == ("int16", 3, 4)
    again = shards("write", tmp_path / "audio", out)
    assert (again.exit_code, "holds shards of other tracks" in again.output) == (1, True)
    assert shards("write", tmp_path / "audio", out, "--overwrite", "--jobs", 1).exit_code == 0
    assert Manifest.read(out).audio_format == "waveform"


def test_several_tag_sources(catalogue: Path, tags: TagTable, tmp_path: Path) -> None:
    write_lastfm(tags, tmp_path / "a.db")
    (tmp_path / "b.csv").write_text("track,tag\nTR000,calm\n")
    done = shards(
        *("write", catalogue, tmp_path / "out", "--root", tmp_path / "audio", "--jobs", 1),
        *("--tags", tmp_path / "a.db", "--tags", tmp_path / "b.csv"),
    )
    assert done.exit_code == 0, done.output
    reader = ShardReader(tmp_path / "out")
    assert reader.manifest.n_tag_databases == 2
    assert reader.tags(reader.track_ids.index("TR000"), 1)[0] == ["calm"]


def test_skipped_tracks_are_told(catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "audio" / "002.wav").write_text("no sound")
    done = shards("write", catalogue, tmp_path / "out", "--root", tmp_path / "audio", "--jobs", 1)
    assert done.exit_code == 0, done.output
    assert "4 tracks in 5 files" in done.output
    assert "1 left out (see skipped.csv)" in done.output


def test_damage_is_named_repaired_and_gone(catalogue: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shards("write", catalogue, out, "--root", tmp_path / "audio", "--jobs", 1, "--num-files", 2)
    shard = out / "waveform_2.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-10])
    done = shards("verify", out)
    assert done.exit_code == 1
    assert "waveform_2.tfrecord: record 1 at byte" in done.output
    assert "`folksong shards repair" in done.output
    shown = shards("show", out)
    assert (shown.exit_code, "it was cut or overwritten" in shown.output) == (1, True)
    repaired = shards("repair", out)
    assert repaired.exit_code == 0, repaired.output
    assert "waveform_2.tfrecord: 1 whole records kept; lost: TR00" in repaired.output
    assert "4 records in 2 files, of which 1 were damaged" in repaired.output
    assert shards("verify", out).exit_code == 0


def test_files_of_the_earlier_project_are_taken_in(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(GOLDEN / "one_hot.tfrecord", old / "train.tfrecord")
    (tmp_path / "tags.txt").write_text("a\nb\nc\nd\n")
    done = shards("repair", old, "--format", "waveform", "--one-hot-tags", tmp_path / "tags.txt")
    assert done.exit_code == 0, done.output
    facts = json.loads(shards("show", old, "--tracks", 3, "--json").output)
    assert [record["tags"] for record in facts["records"]] == [["b", "c"], ["a"], ["d"]]


def test_merge_into_another_number_of_files(catalogue: Path, tmp_path: Path) -> None:
    shards("write", catalogue, tmp_path / "a", "--root", tmp_path / "audio", "--jobs", 1, "--num-files", 2)
    done = shards("merge", tmp_path / "a", tmp_path / "b", "--num-files", 3)
    assert done.output == f"{tmp_path / 'b'}: 5 tracks in 3 files\n"
    done = shards("merge", tmp_path / "a", tmp_path / "b", tmp_path / "c", "--seed", 1)
    assert (
        done.output
        == f"{tmp_path / 'c'}: 5 tracks in 5 files; 5 records of track ids already there left out\n"
    )


@pytest.mark.parametrize("command", ["verify", "show"])
def test_a_folder_that_is_none_is_an_error(command: str, tmp_path: Path) -> None:
    done = shards(command, tmp_path / "none")
    assert (done.exit_code, done.output) == (1, f"Error: {tmp_path / 'none'}: no such folder of shards\n")
