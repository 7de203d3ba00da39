"""The skip-gram: its loss and gradient over the counts equal those over all samples, made one by one in torch."""

import time

import numpy as np
import pytest
import torch

from folksong.embeddings import skipgram
from folksong.embeddings.skipgram import initial_weights, loss_and_gradient, sum_samples, train_skipgram
from folksong.errors import FolksongError
from folksong.tags.table import TagTable

TAGS = [f"tag {letter}" for letter in "abcdef"]


def make_table(n_tracks=60, tags=TAGS, share=0.4, seed=0):
    rng = np.random.default_rng(seed)
    present = rng.random((n_tracks, len(tags))) < share
    tracks, columns = np.nonzero(present)
    return TagTable.from_pairs([f"t{track}" for track in tracks], [tags[column] for column in columns])


def samples_of(table, tags):
    """Return (input, target) of every sample, as the definition says."""
    samples = []
    for track in table.track_ids:
        carried = {tag for tag, _ in table.tags_of(track)} & set(tags)
        if len(carried) < 2:
            continue
        samples += [(tags.index(t), [float(o in carried and o != t) for o in tags]) for t in sorted(carried)]
    return samples


def test_the_samples_of_the_worked_example():
    table = TagTable.from_pairs(["t"] * 3 + ["u"], ["b", "c", "d", "a"])
    assert samples_of(table, ["a", "b", "c", "d"]) == [
        (1, [0, 0, 1, 1]),
        (2, [0, 1, 0, 1]),
        (3, [0, 1, 1, 0]),
    ]
    counts = sum_samples(skipgram._presence(table, ["a", "b", "c", "d"]))
    assert counts.inputs.tolist() == [0, 1, 1, 1]
    assert counts.pairs.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]]


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("scale", [1, 30])
def test_loss_and_gradient_equal_those_over_all_samples(output, scale):
    table = make_table()
    weights = initial_weights(len(TAGS), 2, np.random.default_rng(3))
    weights.bias[:] = np.linspace(-1, 1, len(TAGS))
    weights.hidden[:] *= scale  # 30: some shares run into the clamp
    loss, gradient = loss_and_gradient(weights, sum_samples(skipgram._presence(table, TAGS)), output)
    hidden, out, bias = (torch.tensor(array, requires_grad=True) for array in weights)
    losses = []
    for tag, target in samples_of(table, TAGS):
        logits = hidden[tag] @ out + bias
        if output == "softmax":
            shares = torch.softmax(logits, 0).clamp(1e-7, 1 - 1e-7)
            losses.append(
                torch.nn.functional.binary_cross_entropy(shares, torch.tensor(target, dtype=torch.double))
            )
        else:
            wanted = torch.tensor(target, dtype=torch.double)
            losses.append(torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted))
    mean = torch.stack(losses).mean()
    mean.backward()
    assert loss == pytest.approx(float(mean.detach()), rel=1e-10)
    for mine, theirs in zip(gradient, (hidden, out, bias), strict=True):
        np.testing.assert_allclose(mine, theirs.grad.numpy(), rtol=1e-7, atol=1e-14)


def test_mini_batches_hold_each_sample_once():
    table = make_table()
    presence = skipgram._presence(table, TAGS)
    whole = sum_samples(presence)
    inputs, pairs = np.zeros(len(TAGS)), np.zeros((len(TAGS), len(TAGS)))
    sizes = []
    for batch in skipgram._batches(presence, 10, np.random.default_rng(0)):
        sizes.append(batch.inputs.sum())
        np.add.at(inputs, batch.rows, batch.inputs)
        np.add.at(pairs, batch.rows, batch.pairs)
    np.testing.assert_array_equal(inputs, whole.inputs)
    np.testing.assert_array_equal(pairs, whole.pairs)
    assert set(sizes[:-1]) == {10}


def grouped_table():
    """Two groups of three tags that never meet."""
    rng = np.random.default_rng(0)
    pairs = [(f"t{t}", TAGS[3 * (t % 2) + c]) for t in range(200) for c in rng.choice(3, 2, replace=False)]
    return TagTable.from_pairs(*zip(*pairs, strict=True))


@pytest.mark.parametrize(("output", "batch_size"), [("softmax", None), ("sigmoid", None), ("softmax", 10)])
def test_tags_that_co_occur_with_the_same_end_up_near(output, batch_size):
    learned = train_skipgram(
        grouped_table(), TAGS, output=output, batch_size=batch_size, learning_rate=0.05, seed=2
    )
    assert learned.vectors.shape == (6, 2)
    np.testing.assert_allclose(np.linalg.norm(learned.vectors, axis=1), 1, atol=1e-6)
    cosines = learned.vectors @ learned.vectors.T
    same = np.kron(np.eye(2), np.ones((3, 3))) > 0
    if batch_size is None:
        assert cosines[same].min() > cosines[~same].max()
    assert cosines[same].mean() > cosines[~same].mean() + 0.5
    assert learned.losses[-1] < learned.losses[0]


def test_deterministic_and_seeded():
    table = grouped_table()
    first, again, other = (train_skipgram(table, TAGS, seed=seed).vectors.tobytes() for seed in (0, 0, 1))
    assert first == again != other


def test_stops_after_five_epochs_without_progress(monkeypatch):
    monkeypatch.setattr(skipgram, "loss_and_gradient", lambda weights, counts, output: (1.0, weights))
    assert len(train_skipgram(grouped_table(), TAGS).losses) == 6
    monkeypatch.setattr(skipgram, "loss_and_gradient", lambda weights, counts, output: (np.nan, weights))
    with pytest.raises(FolksongError, match="no longer finite"):
        train_skipgram(grouped_table(), TAGS)


def test_wrong_input():
    table = grouped_table()
    with pytest.raises(FolksongError, match="at least 2 tags, not 1"):
        train_skipgram(table, TAGS[:1])
    with pytest.raises(FolksongError, match="'other' is not in the table"):
        train_skipgram(table, ["other", *TAGS])


def test_a_large_genre_takes_seconds_not_minutes():
    tags = [f"tag {number}" for number in range(300)]
    table = make_table(5000, tags, share=0.015)
    start = time.process_time()
    learned = train_skipgram(table, tags, epochs=5)
    assert learned.vectors.shape == (300, 17)
    assert (
        time.process_time() - start < 60
    )  # no stopwatch: it guards against a step that grows with the tracks
