"""The demo: it takes the whole path, goes on where it ended, and says how to start over."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from folksong.cli import main
from folksong.demo import pipeline as demo_pipeline
from folksong.demo.corpus import CorpusSettings
from folksong.demo.pipeline import DemoResult, DemoSettings, Stage, _Journal, run_demo
from folksong.errors import FolksongError
from folksong.files import write_csv
from folksong.models.pretrained.weights import MissingWeightsError
from folksong.prediction import load_tagger
from folksong.splits import Split

SETTINGS = DemoSettings(
    CorpusSettings(seed=2, per_subgenre=2, seconds=2.5, genres=("rock",)),
    n_labels=12,
    window_seconds=2.5,
    epochs=1,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoResult, list[Stage]]:
    stages: list[Stage] = []
    folder = tmp_path_factory.mktemp("demo") / "out"
    return run_demo(folder, SETTINGS, jobs=1, on_stage=stages.append), stages


def test_every_stage_is_reported_with_its_time(finished: tuple[DemoResult, list[Stage]]) -> None:
    result, stages = finished
    assert tuple(stages) == result.stages
    assert [stage.name for stage in stages] == [
        *("corpus", "labels"),
        *("embeddings", "embeddings training", "embeddings evaluation"),
        *("shards", "log-mel-spectrogram training", "log-mel-spectrogram evaluation"),
        "prediction",
    ]
    assert not any(stage.skipped for stage in stages)
    assert all(stage.seconds > 0 and stage.detail for stage in stages)


def test_it_leaves_what_the_commands_take(finished: tuple[DemoResult, list[Stage]]) -> None:
    result, _ = finished
    folder = result.folder
    for front_end, score in result.scores.items():
        tagger = load_tagger(result.run(front_end))
        assert len(tagger.tag(folder / "corpus" / "unseen" / next(iter(result.heard)), top=3)) == 3
        value, low, high = score["macro_roc_auc"]
        assert 0 <= low <= value + 1e-9
        assert value - 1e-9 <= high <= 1
        assert score["lift"] == pytest.approx(score["macro_pr_auc"][0] / score["chance"])
        assert sum(number for number, _ in score["by_kind"].values()) <= 12
    popular, filtered, learned = result.kept  # of so few tracks no hybrid can be made
    assert learned[1:3] == filtered[1:3]
    assert popular[1] == 12 > filtered[1]
    assert popular[2] > filtered[2] > 0
    for command in (["labels", "show", "filtered.labels.json"], ["config", "init", "new.json"]):
        path = str(folder / command.pop())
        assert CliRunner().invoke(main, [*command, path]).exit_code == 0


def test_16_a5_the_learned_labels_know_each_genre_once(tmp_path: Path) -> None:
    """One label a genre, with its spellings and near synonyms, named after it; learned from the training part."""
    from folksong.demo.corpus import build_folksonomy
    from folksong.demo.recipes import plan_pieces, read_recipes
    from folksong.labels import LabelSpace
    from folksong.tags.sources.lastfm import write_lastfm

    recipes, settings = read_recipes(), DemoSettings()
    pieces = plan_pieces(recipes)
    crowd = build_folksonomy(recipes, pieces)
    demo = demo_pipeline._Demo(tmp_path, settings, 1, False)
    write_lastfm(crowd.table, demo.corpus.tags_path)
    rows = [(piece.track_id, piece.file_name, piece.artist.name, piece.title) for piece in pieces]
    write_csv(demo.corpus.tracks_csv, ("track_id", "mp3_path", "artist", "title"), rows)
    truth = [(entry.tag, entry.kind, entry.concept, entry.genre) for entry in crowd.tag_truth]
    write_csv(demo.corpus.root / "truth" / "tags.csv", ("tag", "kind", "concept", "genre"), truth)
    meanings = demo.make_labels()["meanings"]
    space = LabelSpace.read(tmp_path / "learned.labels.json")
    genres = [name for name in space.names if meanings[name][0] == "genre"]
    assert sorted(genres) == ["electronic", "folk", "hip hop", "jazz", "rock"]
    for spelling in ("hip hop", "hip-hop", "Hip-Hop", "hiphop", "rap"):
        assert spelling in crowd.table.tags
        assert [space.names[number] for number in space.labels_of(spelling)] == ["hip hop"]
    present = space.encode(crowd.table).toarray() > 0
    for name in genres:
        found = present[:, space.names.index(name)]
        true = [piece.artist.genre == name.replace(" ", "_") for piece in pieces]
        assert found[true].mean() > 0.85
        assert found[[not value for value in true]].mean() < 0.1


def test_no_artist_is_in_two_parts(finished: tuple[DemoResult, list[Stage]]) -> None:
    folder = finished[0].folder
    split = Split.read(folder / "split.json")
    artist = {
        row["track_id"]: row["artist"]
        for row in demo_pipeline.Corpus(folder / "corpus", SETTINGS.corpus).read_truth()
    }
    parts = [{artist[track] for track in part} for part in (split.training, split.validation, split.test)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts))


def test_a_second_call_skips_all_and_finds_the_same(
    finished: tuple[DemoResult, list[Stage]], tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(finished[0].folder, moved)
    again = run_demo(moved, SETTINGS, jobs=1)
    assert all(stage.skipped for stage in again.stages)
    assert again.kept == finished[0].kept
    assert again.scores == finished[0].scores
    assert again.heard == finished[0].heard


def test_other_settings_are_refused_and_nothing_is_touched(finished: tuple[DemoResult, list[Stage]]) -> None:
    folder = finished[0].folder
    before = (folder / "demo.json").read_bytes()
    with pytest.raises(
        FolksongError, match=r"other settings.*to start over, delete that folder or choose another"
    ):
        run_demo(folder, seed=9)
    assert (folder / "demo.json").read_bytes() == before


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter 1")
    outcome = CliRunner().invoke(main, ["demo", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "not an empty folder and no demo; choose another folder" in outcome.output


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_labels": 0}, "at least 1 label"),
        ({"window_seconds": 9.0}, "window of 9 s is longer than the pieces of 6 s"),
    ],
)
def test_wrong_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(FolksongError, match=message):
        DemoSettings(**settings)  # type: ignore[arg-type]


def test_the_time_of_an_interrupted_stage_is_kept(tmp_path: Path) -> None:
    def interrupted() -> dict[str, object]:
        raise KeyboardInterrupt

    settings = {"seed": 1}
    journal = _Journal(tmp_path / "demo", settings)
    with pytest.raises(KeyboardInterrupt):
        journal.run("corpus", interrupted)
    again = _Journal(tmp_path / "demo", settings)
    assert again.run("corpus", lambda: {"detail": "3 pieces", "n": 3}) == {"n": 3}
    content = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert content["stages"]["corpus"]["found"] == {"n": 3}
    later = _Journal(tmp_path / "demo", settings)
    assert later.run("corpus", interrupted) == {"n": 3}
    assert later.stages[0].skipped


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_pipeline, "run_demo", interrupted)
    outcome = CliRunner().invoke(main, ["demo", str(tmp_path / "demo")])
    assert outcome.exit_code == 130
    assert "run the same command again to continue" in outcome.output


def test_an_interrupted_training_goes_on(
    finished: tuple[DemoResult, list[Stage]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(finished[0].folder, folder)
    content = json.loads((folder / "demo.json").read_text())
    for name in ("log-mel-spectrogram training", "log-mel-spectrogram evaluation", "prediction"):
        del content["stages"][name]
    (folder / "demo.json").write_text(json.dumps(content))
    resumed = run_demo(folder, SETTINGS, jobs=1)
    assert [stage.name for stage in resumed.stages if not stage.skipped] == [
        "log-mel-spectrogram training",
        "log-mel-spectrogram evaluation",
        "prediction",
    ]
    roc_auc = [found.scores["log-mel-spectrogram"]["macro_roc_auc"] for found in (resumed, finished[0])]
    assert roc_auc[0] == roc_auc[1]


def test_corpus_only(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(
        main, ["demo", "--corpus-only", "--pieces", "1", "--seconds", "1", "--jobs", "2", str(tmp_path / "c")]
    )
    assert outcome.exit_code == 0, outcome.output
    assert "40 synthetic pieces" in outcome.output
    assert len(list((tmp_path / "c" / "audio").rglob("*.mp3"))) == 40
    shown = CliRunner().invoke(main, ["tags", "stats", str(tmp_path / "c" / "lastfm_tags.db")])
    assert shown.exit_code == 0


def test_without_pretrained_weights_it_hears_with_statistics(
    finished: tuple[DemoResult, list[Stage]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def missing(name: str) -> None:
        raise MissingWeightsError(f"the weights of {name} are not here")

    monkeypatch.setattr(demo_pipeline, "get_extractor", missing)
    demo = demo_pipeline._Demo(tmp_path, SETTINGS, 1, False)
    shutil.copytree(finished[0].folder / "corpus", tmp_path / "corpus")
    assert "recordings by statistics" in demo.embed()["detail"]
    assert "are not here; the demo hears with statistics" in caplog.text
