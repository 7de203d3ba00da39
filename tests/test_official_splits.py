"""The files are in the formats that the data sets publish, cut to a few tracks."""

import json
import pickle

import numpy as np
import pytest
from click.testing import CliRunner

import folksong as fs
from folksong.cli import main
from folksong.errors import FileFormatError, FolksongError

JAMENDO = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
PARTS = {"train": range(5), "valid": range(5, 7), "test": range(7, 10)}


def table_of(*tracks: str) -> fs.TagTable:
    return fs.TagTable.from_pairs(list(tracks), ["rock"] * len(tracks))


def sizes(split: fs.Split) -> list[int]:
    return [len(split.training), len(split.validation), len(split.test)]


@pytest.mark.parametrize("form", ["track_{0:07d}", "{0:02d}/{0}", "{0:02d}/{0}.mp3"])
def test_jamendo_by_id_or_by_path(tmp_path, form):
    for part, tracks in {"train": range(5), "validation": range(5, 7), "test": range(7, 11)}.items():
        rows = [
            f"track_{n:07d}\tartist_0\talbum_0\t{n:02d}/{n}.mp3\t60.0\tgenre---rock\tgenre---pop\n"
            for n in tracks
        ]
        (tmp_path / f"autotagging_genre-{part}.tsv").write_text(JAMENDO + "".join(rows))
    found = fs.read_official_split(table_of(*map(form.format, range(10))), tmp_path)
    assert sizes(found) == [5, 2, 3]
    assert found.validation == (form.format(5), form.format(6))
    assert len(found.provenance["official"]) == 3


def test_magnatagatune_by_folders(tmp_path):
    file = tmp_path / "annotations_final.csv"
    folders = "0123456789abcdef"
    rows = [
        f'"{n}"\t"0"\t"1"\t"{folder}/artist-album-01-title-0-29.mp3"\n' for n, folder in enumerate(folders, 2)
    ]
    file.write_text('"clip_id"\t"no voice"\t"singer"\t"mp3_path"\n' + "".join(rows))
    assert sizes(fs.read_official_split(table_of(*map(str, range(2, 18))), file)) == [12, 1, 3]
    by_path = fs.read_official_split(
        table_of(*(f"{folder}/artist-album-01-title-0-29" for folder in folders)), file
    )
    assert [track[0] for track in by_path.test] == ["d", "e", "f"]


def write_lists(folder, write):
    for part, tracks in PARTS.items():
        write(folder, part, [f"c/song {n}-0-29.npy" for n in tracks])


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5, "python 2"])
def test_pickled_lists(tmp_path, protocol):
    def write(folder, part, names):
        content = (
            "(lp1\n" + "".join(f"S'{name}'\np{n}\na" for n, name in enumerate(names, 2)) + "."
            if protocol == "python 2"
            else pickle.dumps(names, protocol=protocol)
        )
        (folder / f"{part}_list_pub.cP").write_bytes(
            content.encode() if isinstance(content, str) else content
        )

    write_lists(tmp_path, write)
    assert sizes(
        fs.read_official_split(table_of(*(f"c/song {n}-0-29.mp3" for n in range(10))), tmp_path)
    ) == [5, 2, 3]


def test_arrays_with_row_numbers_and_plain_text(tmp_path):
    table = table_of(*(f"c/song {n}-0-29" for n in range(10)))
    write_lists(tmp_path, lambda folder, part, names: np.save(
        folder / f"{part}.npy", np.array([f"{row}\t{name}" for row, name in enumerate(names)])))  # fmt: skip
    assert sizes(fs.read_official_split(table, tmp_path)) == [5, 2, 3]
    write_lists(
        tmp_path, lambda folder, part, names: (folder / f"{part}_filtered.txt").write_text("\n".join(names))
    )
    texts = [tmp_path / f"{part}_filtered.txt" for part in PARTS]
    assert sizes(fs.read_official_split(table, *texts)) == [5, 2, 3]
    with pytest.raises(FolksongError, match="are both for"):
        fs.read_official_split(table, tmp_path)


def test_million_song_dataset_trains_on_the_first_of_its_list(tmp_path):
    (tmp_path / "filtered_list_train.cP").write_bytes(pickle.dumps([f"TR{n:06d}" for n in range(213_454)]))
    (tmp_path / "filtered_list_test.cP").write_bytes(pickle.dumps(["TRTEST"]))
    found = fs.read_official_split(table_of("TR000000", "TR201679", "TR201680", "TRTEST"), tmp_path)
    assert (found.training, found.validation) == (("TR000000", "TR201679"), ("TR201680",))


def test_one_json_of_all_parts(tmp_path, caplog):
    file = tmp_path / "ecals_track_split.json"
    file.write_text(
        json.dumps({"train_track": ["a", "b"], "valid_track": ["c"], "test_track": ["d", "gone"], "note": 1})
    )
    found = fs.read_official_split(table_of("a", "b", "c", "d", "more"), file)
    assert sizes(found) == [2, 1, 1]
    assert "1 of the 5 listed tracks are not in the tag source" in caplog.text
    assert "1 of 5 tracks are in no part" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.cP", pickle.dumps([1, "a"]), "refused, more than a list of texts"),
        ("train.cP", b"cos\nsystem\n(S'true'\ntR.", "refused, more than a list of texts"),
        ("train.cP", pickle.dumps(["a" * 50])[:20], "damaged"),
        ("train.npy", b"\x93NUMPY", "no array of texts"),
        ("train.npy", np.lib.format.magic(1, 0) + b"", "no array of texts"),
    ],
)
def test_bad_lists_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "test.txt").write_text("a\n")
    with pytest.raises(FileFormatError, match=f"{name}: {message}"):
        fs.read_official_split(table_of("a"), tmp_path)


def test_what_does_not_fit_is_an_error(tmp_path):
    (tmp_path / "train.txt").write_text("a\nb\n")
    (tmp_path / "valid.txt").write_text("")
    with pytest.raises(FolksongError, match="are both for training"):
        fs.read_official_split(table_of("a"), tmp_path / "train.txt", tmp_path / "train.txt")
    with pytest.raises(FolksongError, match="no file for test"):
        fs.read_official_split(table_of("a"), *(tmp_path / "train.txt", tmp_path / "valid.txt"))
    (tmp_path / "test.txt").write_text("c\n")
    with pytest.raises(FolksongError, match="none of its 3 tracks is in the tag source; the file says 'a'"):
        fs.read_official_split(table_of("x"), tmp_path)
    with pytest.raises(FileFormatError, match="holds no training and test part"):
        fs.read_official_split(table_of("a"), tmp_path / "train.txt")
    with pytest.raises(FolksongError, match="must say train, valid or test"):
        fs.read_official_split(table_of("a"), tmp_path / "train.txt", tmp_path / "other.txt")


def test_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for part, tracks in PARTS.items():
        (tmp_path / f"{part}.txt").write_text("".join(f"{n}\n" for n in tracks))
    (tmp_path / "tags.csv").write_text("track,tag\n" + "".join(f"{n},rock\n" for n in range(10)))
    words = ["split", "tags.csv", "parts.split.json", "--official", "train.txt", "valid.txt", "test.txt"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert sizes(fs.Split.read("parts.split.json")) == [5, 2, 3]
    refused = CliRunner().invoke(main, [*words, "--seed", "3"])
    assert refused.exit_code == 2
    assert "leave --seed out" in refused.output
