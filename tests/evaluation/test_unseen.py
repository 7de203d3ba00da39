"""Runs in the joint space: trained, asked for tags that nobody used, searched, and measured on unseen tags."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import folksong as fs
from folksong.cli import main
from folksong.embeddings.store import EmbeddingSpace, write_embeddings
from folksong.errors import FolksongError
from folksong.evaluation.unseen import JOINT, evaluate_unseen
from folksong.models.checkpoint import load_head
from folksong.models.heads import joint_output
from folksong.prediction.asked_tags import ask_for
from folksong.prediction.search import search

SPACE = EmbeddingSpace("made-up", "1", "last", "mean", 16000, 3.0, "CC0", "", 20)
N_TRACKS, N_TOPICS, N_WORDS = 300, 5, 8


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """What can be heard here is learned soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("folksong.training.train_head.LEAST_STEPS", 100)
        yield


def invoke(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Embeddings in which five topics can be heard, tags of eight words each, and what the words mean."""
    place, rng = tmp_path_factory.mktemp("joint"), np.random.default_rng(0)
    topics = rng.normal(size=(N_TRACKS, N_TOPICS))
    values = topics @ rng.normal(size=(N_TOPICS, 20)) + 0.3 * rng.normal(size=(N_TRACKS, 20))
    with write_embeddings(place / "features", SPACE) as writer:
        for number, row in enumerate(values):
            writer.add(f"t{number}", row)
        writer.finish({})
    words, vectors, lines = [], [], ["track_id,tag,weight"]
    for topic in range(N_TOPICS):
        for number in range(N_WORDS):
            word = f"{'abcde'[topic]}word{'fghijklm'[number]}"
            words.append(word)
            vectors.append(np.eye(N_TOPICS)[topic] + 0.1 * rng.normal(size=N_TOPICS))
            threshold = 0.8 + 0.15 * number
            lines += [f"t{row},{word},100" for row in np.flatnonzero(topics[:, topic] > threshold)]
    lines += [f"t{row},aword-f,100" for row in np.flatnonzero(topics[:, 0] > 1.5)]
    (place / "tags.csv").write_text("\n".join(lines) + "\n")
    (place / "words.txt").write_text(
        "".join(
            f"{word} {' '.join(f'{v:.4f}' for v in row)}\n" for word, row in zip(words, vectors, strict=True)
        )
    )
    return place


@pytest.fixture(scope="module")
def run(place):
    return fs.train(
        "embeddings",
        place / "features",
        tags=place / "tags.csv",
        vectors=place / "words.txt",
        head="joint",
        fractions=(60, 10, 30),
        out=place / "run",
    )


def test_all_tags_are_labels_and_are_heard(run):
    assert len(run.labels) == N_TOPICS * N_WORDS
    assert run.config["settings"]["loss"]["kind"] == "contrastive"
    assert run.labels.labels_of("aword-f") == run.labels.labels_of("awordf")  # a spelling of the same tag
    found = fs.evaluate(run, n_resamples=50)
    assert found.macro_roc_auc.value > 0.85
    assert found.calibration.pooled().error[0] < 0.1


@pytest.mark.parametrize("changes", [{"loss": "hinge"}, {"loss": "ridge"}, {"tag_side": "ppmi"}])
def test_other_losses_and_sides_are_heard_too(place, run, tmp_path, changes):
    other = fs.train(
        "embeddings", place / "features", tags=place / "tags.csv", vectors=place / "words.txt", head="joint",
        split=run.split, out=tmp_path / "run", **changes,
    )  # fmt: skip
    assert fs.evaluate(other, n_resamples=20).macro_roc_auc.value > 0.8
    head = load_head(other)
    ask_for(head, other, ["bwordf", "C-wordh"])
    assert joint_output(head).tag_vectors.shape == (2, joint_output(load_head(other)).tag_vectors.shape[1])
    if "tag_side" in changes:
        with pytest.raises(
            FolksongError, match="knows tags by co-occurrence only, and 'dwordg cwordh' is none"
        ):
            ask_for(load_head(other), other, ["dwordg cwordh"])


def test_a_tag_that_is_known_keeps_its_vector_in_any_spelling(run):
    head = load_head(run)
    learned = joint_output(head).tag_vectors.clone()
    ask_for(head, run, ["A-word F", "bwordg", "cwordf dwordf"])
    asked = joint_output(head).tag_vectors
    assert (asked[0] == learned[run.labels.labels_of("awordf")[0]]).all()
    assert (asked[1] == learned[run.labels.labels_of("bwordg")[0]]).all()
    assert not any((asked[2] == row).all() for row in learned)


def test_bad_questions_are_answered_by_name(place, run, tmp_path, caplog):
    head = load_head(run)
    with pytest.raises(FolksongError, match=r"none of the words of 'zither solo' is known to words\.txt"):
        ask_for(head, run, ["awordf", "zither solo"])
    with caplog.at_level(logging.WARNING):
        ask_for(load_head(run), run, ["no bwordf", "awordf zither"])
    assert "'no bwordf': negations are not understood" in caplog.text
    assert "'awordf zither': unknown to words.txt and passed over: zither" in caplog.text
    plain = fs.train("embeddings", place / "features", tags=place / "tags.csv", out=tmp_path / "plain", top=3)
    result = invoke("predict", plain.path, place / "none.wav", "--tags", "awordf")
    assert result.exit_code == 1
    assert "scores its own 3 labels only" in result.output
    with pytest.raises(FolksongError, match="only a run with the head joint"):
        evaluate_unseen(plain)
    with pytest.raises(FolksongError, match="the head hidden does not learn by"):
        fs.Config().with_changes(head="hidden", loss="hinge")


def test_tags_that_nothing_tells_apart_are_told(place, tmp_path, caplog):
    def train(name, tags, **changes):
        (tmp_path / "tags.csv").write_text("track_id,tag,weight\n" + tags)
        return fs.train(
            "embeddings", place / "features", tags=tmp_path / "tags.csv", vectors=place / "words.txt",
            head="joint", tag_side="words", out=tmp_path / name, **changes,
        )  # fmt: skip

    one = "".join(f"t{row},awordf,100\n" for row in range(100))
    with pytest.raises(FolksongError, match="the joint space needs 2 labels or more"):
        train("one", one)
    turned = "".join(f"t{row},{t},100\n" for row in range(100) for t in ("awordf bwordf", "bwordf awordf"))
    with pytest.raises(FolksongError, match="all labels have the same vector"):
        train("same", turned)
    more = turned + "".join(f"t{row},cwordf,100\nt{row},zither,100\n" for row in range(50, 300))
    with caplog.at_level(logging.WARNING):
        run = train("more", more)
    assert "1 labels have the vector of another and score as it does" in caplog.text
    assert "1 of 4 labels have no vector and are left out: 'zither'" in caplog.text
    assert "zither" not in run.labels.names


def test_unseen_tags_are_heard_by_their_words_and_not_by_chance(run):
    found = evaluate_unseen(run, repeats=2, n_resamples=50)
    rows = {(row.group, row.system): row for row in found.rows}
    unseen = rows["unseen", JOINT]
    assert 6 <= unseen.n_tags <= 8  # a fifth, of which not all are carried in the test part
    assert unseen.figures["macro_roc_auc"].low > 0.8
    assert rows["unseen", "random vectors"].joint_more["macro_roc_auc"].low > 0
    assert ("seen", "nearest seen tag") not in rows
    assert set(rows["all", "hybrid label"].figures) == {"macro_roc_auc", "macro_pr_auc"}
    written = json.loads((run.evaluation_dir / "unseen-test.json").read_text())
    assert written["repeats"] == 2
    assert len(written["rows"]) == len(found.rows)
    result = invoke("evaluate", run.path, "--unseen", "--repeats", "2", "--resamples", "50")
    assert result.exit_code == 0, result.output
    assert "classifier, nearest seen tag" in result.output


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Noise and tones, and a run that knows them by two words."""
    place, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    (place / "music").mkdir()
    lines = ["track_id,tag,weight"]
    for number in range(24):
        time = np.arange(16000) / 16000
        noisy = number % 2
        sound = rng.normal(size=16000) if noisy else np.sin(2 * np.pi * (200 + 40 * number) * time)
        soundfile.write(place / "music" / f"{number:02d}.wav", 0.2 * sound, 16000)
        lines += [
            f"{number:02d}.wav,{tag},100" for tag in (("noise", "rain") if noisy else ("tone", "flute"))
        ]
    (place / "tags.csv").write_text("\n".join(lines) + "\n")
    (place / "words.txt").write_text(
        "noise 1 0.1\nrain 0.9 0\nstorm 1 -0.1\ntone 0 1\nflute 0.1 0.9\nwhistle -0.1 1\n"
    )
    fs.embed_audio(place / "music", place / "features", "statistics", jobs=1)
    ids = {Path(track).stem: track for track in json_lines(place / "features" / "track_ids.jsonl")}
    text = "\n".join([lines[0], *(ids[line[:2]] + line[6:] for line in lines[1:])])
    (place / "tags.csv").write_text(text + "\n")
    fs.train(
        "embeddings", place / "features", tags=place / "tags.csv", vectors=place / "words.txt", head="joint",
        out=place / "run",
    )  # fmt: skip
    return place


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_new_tag_is_known_by_the_co_occurrence_that_its_words_predict(recordings):
    run = fs.Run.open(recordings / "run")
    head = load_head(run)
    ask_for(head, run, ["storm", "noise", "tone"])
    storm, noise, tone = (row[2:].numpy() for row in joint_output(head).tag_vectors)
    assert abs(storm @ storm - 1) < 1e-5
    assert storm @ noise > storm @ tone + 0.2


def test_a_folder_is_searched_and_heard_once(recordings, monkeypatch):
    run, folder = fs.Run.open(recordings / "run"), recordings / "music"
    best = [name for name, _ in search(run, folder, "storm", top=12)]
    assert all(int(Path(name).stem) % 2 for name in best)
    best = [name for name, _ in search(run, folder, "whistle", top=12)]
    assert not any(int(Path(name).stem) % 2 for name in best)
    heard = []
    monkeypatch.setattr(
        "folksong.prediction.predictor.decode",
        lambda path, rate: heard.append(path) or np.ones(16000, np.float32),
    )
    search(run, folder, "storm")
    assert not heard
    soundfile.write(folder / "new.wav", np.zeros(8000), 16000)
    assert len(search(run, folder, "storm", top=100)) == 25
    assert [Path(path).name for path in heard] == ["new.wav"]
    (folder / "new.wav").unlink()
    assert len(search(run, folder, "storm", top=100)) == 24


def test_predict_and_search_on_the_command_line(recordings):
    song = recordings / "music" / "03.wav"
    result = invoke("predict", recordings / "run", song, "--tags", "storm", "whistle", "--csv")
    assert result.exit_code == 0, result.output
    labels = [line.split(",")[1] for line in result.output.splitlines()[1:]]
    assert labels == ["storm", "whistle"]
    result = invoke("search", recordings / "run", recordings / "music", "storm", "--top", "2", "--csv")
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) == 3
    result = invoke("search", recordings / "run", recordings / "music", "zither")
    assert result.exit_code == 1
    assert "none of the words of 'zither'" in result.output
