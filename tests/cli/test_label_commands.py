"""The commands about label spaces, from a tag file to maps."""

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from folksong.cli import main
from folksong.embeddings.glove import read_text_vectors
from folksong.labels.space import LabelSpace
from folksong.splits import Split
from folksong.tags.sources.read_tags import read_tags

GENRES = {
    "metal": ["metal", "death", "black", "thrash", "doom", "power", "sludge", "grind"],
    "techno": ["techno", "house", "trance", "ambient", "dub", "glitch", "electro", "rave"],
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with Path("tags.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["track_id", "tag"])
        for track in range(200):
            members = GENRES[("metal", "techno")[track % 2]]
            for tag in {members[0], *rng.choice(members, 3)}:
                writer.writerow([f"t{track}", tag])
    with Path("vectors.txt").open("w") as stream:
        for number, members in enumerate(GENRES.values()):
            for word in members:
                row = rng.normal(size=4) * 0.2
                row[number] += 2
                stream.write(" ".join([word, *map(str, row.round(4))]) + "\n")
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_the_whole_path(files):
    code, output = run("labels", "kmeans", "tags.csv", "m3.labels.json", "--vectors", "vectors.txt", "--threshold", 5,
                       "--n-clusters", 2)  # fmt: skip
    assert code == 0, output
    assert "m3.labels.json: 2 labels" in output
    assert "(100.0000%)" in output
    space = LabelSpace.read("m3.labels.json")
    assert set(space.names) == {"metal", "techno"}
    assert space.provenance["vectors_sha256"] == read_text_vectors("vectors.txt").sha256
    assert (
        run("labels", "genres", "m3.labels.json", "tags.csv", "--propose", "genres.txt", "--min-share", 0.1)[
            0
        ]
        == 0
    )
    code, output = run(
        "labels", "genres", "m3.labels.json", "tags.csv", "g.labels.json", "--genre-path", "genres.txt"
    )
    assert code == 0, output
    code, output = run(
        "labels", "npmi", "g.labels.json", "tags.csv", "m41.labels.json", "--compare", "--plots", "plots"
    )
    assert code == 0, output
    assert "single" in output
    assert len(list((files / "plots").iterdir())) == 6
    code, output = run("labels", "skipgram", "g.labels.json", "tags.csv", "m42.labels.json", "--epochs", 5)
    assert code == 0, output
    code, output = run(
        "labels",
        "hybrid",
        "tags.csv",
        "h.labels.json",
        "--n-clusters",
        2,
        "--across-facets",
        "--vectors",
        "vectors.txt",
    )
    assert code == 0, output
    (files / "pairs.tsv").write_text("same\tmetal\tdoom\napart\tmetal\tdub\nsame\tmetal\tunheard\n")
    code, output = run("labels", "pairs", "pairs.tsv", "h.labels.json", "--tags", "tags.csv", "--show-wrong")
    assert code == 0, output
    assert "same 'metal' 'unheard' (a tag is in no label)" in output
    assert "0.75" in output
    code, output = run("labels", "diff", "m3.labels.json", "h.labels.json")
    assert code == 0, output
    assert "adjusted Rand index 1.0000" in output
    code, output = run(
        "labels", "explain", "h.labels.json", "doom", "--tags", "tags.csv", "--vectors", "vectors.txt"
    )
    assert code == 0, output
    assert "label 'metal'" in output
    code, output = run("labels", "map", "h.labels.json", "map.html", "--tags", "tags.csv", "--method", "pca")
    assert code == 0, output
    code, output = run("labels", "map", "h.labels.json", "--tags", "tags.csv", "--projector", "projector")
    assert code == 0, output
    assert run("labels", "map", "h.labels.json", "--tags", "tags.csv")[0] == 2
    assert (files / "projector" / "projector_config.pbtxt").exists()


def test_cooccurrence_of_labels(files):
    assert run("labels", "top", "tags.csv", "top.labels.json", "-n", 16)[0] == 0
    code, output = run("labels", "cooccurrence", "top.labels.json", "--tags", "tags.csv", "--csv", "n.csv", "--plot",
                       "n.png")  # fmt: skip
    assert code == 0, output
    assert "labels on 200 tracks are 1.5-correlated" in output
    assert (files / "n.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.reader((files / "n.csv").open()))
    space, table = LabelSpace.read("top.labels.json"), read_tags("tags.csv")
    present = space.encode(table).toarray()
    assert rows[0] == ["", *space.names]
    assert [list(map(int, row[1:])) for row in rows[1:]] == (present.T @ present).astype(int).tolist()
    assert run("split", "tags.csv", "my.split.json")[0] == 0
    _, part = run(
        "labels", "cooccurrence", "top.labels.json", "--tags", "tags.csv", "--split", "my.split.json"
    )
    assert "labels on 20 tracks are" in part


def test_stability_of_each_setting(files):
    code, output = run("labels", "stability", "tags.csv", "--vectors", "vectors.txt", "--threshold", 5, 10,
                       "--n-clusters", 2, 300, "--seeds", 2, "--bootstrap", 1)  # fmt: skip
    assert code == 0, output
    rows = [line.split() for line in output.splitlines() if line.startswith("vectors.txt")]
    assert [row[1:3] for row in rows] == [["5", "2"], ["5", "300"], ["10", "2"], ["10", "300"]]
    assert rows[0][3:6] == ["2", "1.000", "1.000"]
    assert rows[0][9] == "1.000"  # both seeds agree
    assert "300 clusters were asked for" in output
    assert run("labels", "stability", "tags.csv")[0] == 2
    assert (
        run("labels", "stability", "tags.csv", "--builder", "hybrid", "--n-clusters", 2, "--seeds", 1)[0] == 0
    )


def test_same_file_twice_and_learning_from_a_split(files):
    assert run("split", "tags.csv", "my.split.json")[0] == 0
    for name in ("a", "b"):
        code, output = run("labels", "hybrid", "tags.csv", f"{name}.labels.json", "--n-clusters", 3, "--split",
                           "my.split.json")  # fmt: skip
        assert code == 0, output
    assert (files / "a.labels.json").read_bytes() == (files / "b.labels.json").read_bytes()
    provenance = LabelSpace.read("a.labels.json").provenance
    assert provenance["split_sha256"]
    assert provenance["n_tracks"] < 200
    Split(("other 1", "other 2"), (), ()).write("other.split.json")
    code, output = run("labels", "top", "tags.csv", "other.labels.json", "--split", "other.split.json")
    assert code == 1
    assert "other.split.json: none of its training tracks has a tag in tags.csv" in output


def test_facets_are_written_edited_and_left_out(files):
    code, output = run("tags", "facets", "tags.csv", "facets.tsv")
    assert code == 0, output
    assert "genre" in output
    written = (files / "facets.tsv").read_text()
    assert written.startswith("tag\tfacet\tconfidence\treason\tcount\n")
    (files / "mine.tsv").write_text("metal\topinion\n")
    code, output = run("labels", "hybrid", "tags.csv", "f.labels.json", "--facets", "mine.tsv", "--without",
                       "opinion,name")  # fmt: skip
    assert code == 0, output
    assert "left out of opinion" in output
    assert not LabelSpace.read("f.labels.json").labels_of("metal")
    code, output = run("labels", "show", "f.labels.json", "--by-facet", "--tags", "tags.csv")
    assert code == 0, output
    assert "facet" in output.splitlines()[0]
    (files / "mine.tsv").write_text("metal\tgenres\n")
    code, output = run("tags", "facets", "tags.csv", "again.tsv", "--facets", "mine.tsv")
    assert code == 1
    assert "mine.tsv, line 1: needs a tag and a facet" in output


@pytest.mark.parametrize("command", ["hybrid", "top"])
def test_a_file_that_holds_something_else_is_left_as_it_is(files, command):
    before = (files / "tags.csv").read_bytes()
    number = "--n-clusters" if command == "hybrid" else "--number"
    code, output = run("labels", command, "tags.csv", "tags.csv", number, 2)
    assert code == 1
    assert "tags.csv: both an input and the output" in output
    assert (files / "tags.csv").read_bytes() == before
    for _ in range(2):  # what the command wrote may be written again
        code, output = run("labels", command, "tags.csv", "again.labels.json", number, 2)
        assert code == 0, output
    (files / "again.labels.json").write_text(edited := (files / "again.labels.json").read_text() + "\n")
    code, output = run("labels", command, "tags.csv", "again.labels.json", number, 2)
    assert code == 1
    assert "did not write it (or it was changed since); it stays as it is; --force replaces it" in output
    assert (files / "again.labels.json").read_text() == edited
    assert run("labels", command, "tags.csv", "again.labels.json", number, 2, "--force")[0] == 0


def test_pairs_that_cannot_be_kept_say_why(files):
    (files / "pairs.tsv").write_text("same\tMetal\tdoom\n")
    code, output = run(
        "labels", "hybrid", "tags.csv", "h.labels.json", "--n-clusters", 2, "--pairs", "pairs.tsv"
    )
    assert code == 0
    assert (
        "the pair 'Metal' and 'doom' is passed over: 'Metal', spelt so, is no tag with enough counts"
        in output
    )
    (files / "pairs.tsv").write_text("same\tmetal\tdoom\napart\tdoom\tmetal\n")
    code, output = run(
        "labels", "hybrid", "tags.csv", "h.labels.json", "--n-clusters", 2, "--pairs", "pairs.tsv"
    )
    assert code == 1
    assert "must be apart, but other pairs" in output
    assert "leave spellings unmerged and stems unlinked" in output
    code, output = run("labels", "explain", "h.labels.json", "METAL", "--tags", "tags.csv")
    assert "did you mean 'metal'?" in output


def test_errors_are_one_line(files):
    code, output = run("labels", "kmeans", "tags.csv", "x.json", "--vectors", "absent.txt")
    assert code == 1
    assert output.startswith("Error: absent.txt: no such file or folder")
    code, output = run("labels", "kmeans", "tags.csv", "x.json", "--vectors", "vectors.txt", "--threshold", 1,
                       "--n-clusters", 500)  # fmt: skip
    assert code == 1
    assert "500 clusters were asked for" in output
    assert run("labels", "genres", "x.json", "tags.csv")[0] == 2
    assert not (files / "x.json").exists()


def test_the_earlier_projects_dictionary(files):
    numbers = {tag: np.int64(number) for number, members in enumerate(GENRES.values()) for tag in members}
    (files / "tags_dict_2.pkl").write_bytes(pickle.dumps(numbers))
    code, output = run("labels", "dictionary", files, "tags.csv", "d.labels.json", "--filter")
    assert code == 0, output
    assert LabelSpace.read("d.labels.json").names == ("metal", "techno")
    (files / "genres.txt").write_text("[0, 1]\n[[0, 1]]\n")
    code, output = run(
        "labels", "dictionary", "tags_dict_2.pkl", "tags.csv", "d.labels.json", "--genre-path", "."
    )
    assert code == 0, output
    assert len(LabelSpace.read("d.labels.json")) == 1
    code, output = run("labels", "dictionary", "d.labels.json", "--write", "back/tags_dict_1.pkl")
    assert (code, output) == (0, "back/tags_dict_1.pkl: 16 tags, 1 number\n")
    code, output = run(
        "labels", "dictionary", "back", "tags.csv", "e.labels.json", "--filter-path", "remove.txt"
    )
    assert code == 1
    assert "remove.txt: no such file" in output
    (files / "remove.txt").write_text("metal\n")
    code, output = run(
        "labels", "dictionary", "back", "tags.csv", "e.labels.json", "--filter-path", "remove.txt"
    )
    assert code == 0, output
    assert run("labels", "dictionary", "back")[0] == 2
    (files / "tags_dict_2.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    code, output = run("labels", "dictionary", "tags_dict_2.pkl", "tags.csv", "d.labels.json")
    assert code == 1
    assert "refused, it asks for os.system" in output
