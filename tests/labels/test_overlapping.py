"""Overlapping labels against plain loops; what must be apart, contrasts, and tables beyond the judges."""

import math

import numpy as np
import pytest

from folksong.errors import FolksongError
from folksong.labels import overlapping
from folksong.labels.overlapping import TagGroups, near_cosine, share_labels


@pytest.fixture(scope="module")
def ring():
    """60 points around a circle, a little off it: neighbours are near, the far side is not."""
    rng = np.random.default_rng(3)
    angles = np.sort(rng.uniform(0, 2 * math.pi, 60))
    points = np.stack([np.cos(angles), np.sin(angles), 0.2 * rng.normal(size=60)], axis=1)
    counts = np.sort(rng.integers(3, 400, 60))[::-1].copy()
    names = tuple(f"tag {chr(97 + number % 26)}{number}" for number in range(60))
    return TagGroups(names, names, counts, points, {})


@pytest.fixture(scope="module")
def division():
    return np.arange(60) * 8 // 60


def cosine(one, other):
    return float(one @ other) / math.sqrt(float(one @ one) * float(other @ other))


def threshold_reference(groups):
    pairs = sorted(
        (cosine(groups.points[i], groups.points[j]), math.sqrt(groups.counts[i] * groups.counts[j]))
        for i in range(len(groups.names))
        for j in range(i)
    )
    total, reached = sum(weight for _, weight in pairs), 0.0
    for value, weight in reversed(pairs):
        reached += weight
        if reached >= total / 6:
            return value
    raise AssertionError


def search_reference(groups, division, n_labels, most, threshold):
    """The same search in plain loops: sets of labels, and sums over the pairs that share none yet."""
    n = len(groups.names)
    labels = [{int(label)} for label in division]

    def worth(one, other):
        value = cosine(groups.points[one], groups.points[other]) - threshold
        return math.sqrt(groups.counts[other]) * value if one != other else 0.0

    for _ in range(12):
        changed = 0
        for tag in range(n):
            before, labels[tag], reached = labels[tag], set(), set()
            for number in range(most):
                gains = {
                    label: sum(
                        worth(tag, other)
                        for other in range(n)
                        if label in labels[other] and other not in reached
                    )
                    for label in range(n_labels)
                    if label not in labels[tag]
                }
                best = max(gains, key=lambda label: (gains[label], -label))
                if not number and gains[best] <= 0:
                    sizes = {
                        k: sum(math.sqrt(groups.counts[o]) for o in range(n) if k in labels[o]) for k in gains
                    }
                    best = max(gains, key=lambda k: (gains[k] / sizes[k] if sizes[k] else 0, -k))
                elif gains[best] <= 1e-9:
                    break
                reached |= {other for other in range(n) if best in labels[other]}
                labels[tag].add(best)
            changed += labels[tag] != before
        if changed <= 0.005 * n:
            break
    return labels


@pytest.mark.parametrize("most", [1, 2, 4])
def test_the_search_equals_plain_loops(ring, division, most):
    check(ring, division, 8, most)


@pytest.mark.parametrize("seed", range(6))
def test_the_search_equals_plain_loops_where_nothing_fits_well(seed):
    rng = np.random.default_rng(seed)
    names = tuple(f"word{number}" for number in range(40))
    groups = TagGroups(names, names, np.sort(rng.integers(1, 60, 40))[::-1], rng.normal(size=(40, 5)), {})
    check(groups, rng.integers(0, 12, 40), 12, 3)


def test_a_label_that_reaches_nobody_new_is_not_taken():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        once = (rng.random((200, 6)) < 0.3).astype(np.float32)
        worth, weights = rng.normal(0.1, 1, 200).astype(np.float32), np.ones(200, np.float32)
        chosen = overlapping._choose(worth, weights, np.hstack([once, once]), np.zeros(12, bool), 12)
        assert len({label % 6 for label in chosen}) == len(chosen)
        assert chosen == overlapping._choose(worth, weights, once, np.zeros(6, bool), 12)


def check(groups, division, n_labels, most):
    units = groups.points / np.linalg.norm(groups.points, axis=1, keepdims=True)
    near = near_cosine(units.astype(np.float32), np.sqrt(groups.counts).astype(np.float32))
    assert near == pytest.approx(threshold_reference(groups), abs=0.0021)
    found = share_labels(groups, division, n_labels, most)
    expected = search_reference(groups, division, n_labels, most, near)
    assert [set(labels) for labels in found] == expected
    assert all(1 <= len(labels) <= most for labels in found)
    sums = [
        sum(units[row] * math.sqrt(groups.counts[row]) for row in range(len(units)) if label in expected[row])
        for label in range(n_labels)
    ]
    for labels, point in zip(found, units, strict=True):
        nearest = max(labels, key=lambda label: cosine(sums[label], point))
        assert labels[0] == nearest or not any(
            other[0] == labels[0] for other in found if other is not labels
        )


def test_near_tags_share_a_label_and_far_ones_none(ring, division):
    found = [set(labels) for labels in share_labels(ring, division, 8, 4)]
    right = {True: [], False: []}
    for i in range(60):
        for j in range(i):
            value = cosine(ring.points[i], ring.points[j])
            if abs(value - 0.85) > 0.12:
                right[value > 0.85].append(bool(found[i] & found[j]) == (value > 0.85))
    assert np.mean(right[True]) > 0.9
    assert np.mean(right[False]) > 0.97


@pytest.mark.parametrize("n_labels", [8, 50])
def test_the_first_label_is_the_nearest_and_every_label_is_somebody_s_first(ring, n_labels):
    found = share_labels(ring, np.arange(60) * n_labels // 60, n_labels, 4)
    assert {labels[0] for labels in found} == {label for labels in found for label in labels}
    sums = np.zeros((n_labels, 3))
    for labels, count, point in zip(found, ring.counts, ring.points, strict=True):
        sums[list(labels)] += math.sqrt(count) * point / np.linalg.norm(point)
    nearest = [
        max(labels, key=lambda label: cosine(sums[label], point))
        for labels, point in zip(found, ring.points, strict=True)
    ]
    moved = [row for row in range(60) if found[row][0] != nearest[row]]
    without = {label for labels in found for label in labels} - set(nearest)
    assert bool(without) == (n_labels == 50)
    if n_labels == 8:
        assert not moved
    for label in without:  # its main tag is its nearest member, of those that could be spared
        members = [row for row in range(60) if label in found[row]]
        (main,) = (row for row in range(60) if found[row][0] == label)
        near = cosine(sums[label], ring.points[main])
        nearer = [row for row in members if cosine(sums[label], ring.points[row]) > near]
        assert all(row in moved or nearest.count(nearest[row]) == 1 for row in nearer)


def test_labels_that_nobody_needs_are_left_out_with_a_warning(ring, caplog):
    two = TagGroups(("a", "b"), ("a", "b"), np.array([5, 4]), np.array([[1.0, 0.0], [-0.9, 0.1]]), {})
    assert share_labels(two, np.array([0, 1]), 2, 2) == [(0,), (1,)]  # nothing is near that points away
    assert not caplog.records
    share_labels(ring, np.arange(60) % 30, 40, 4)
    (record,) = caplog.records
    assert " of 40 labels are left out" in record.message


def test_contrasts_share_no_label_however_near(ring, division):
    names = [f"{'male' if number % 2 else 'female'} voice {name}" for number, name in enumerate(ring.names)]
    opposed = TagGroups(ring.names, tuple(names), ring.counts, ring.points, {})
    found = [set(labels) for labels in share_labels(opposed, division, 16, 4)]
    shared = [bool(found[i] & found[j]) for i in range(60) for j in range(i) if (i - j) % 2]
    assert np.mean(shared) < 0.03
    plain = [set(labels) for labels in share_labels(ring, division, 16, 4)]
    assert np.mean([bool(plain[i] & plain[j]) for i in range(60) for j in range(i) if (i - j) % 2]) > 0.1


def test_what_must_be_apart_is_apart(ring, division):
    free = [set(labels) for labels in share_labels(ring, division, 8, 6)]
    one, other = next(
        (i, j) for i in range(60) for j in range(i, 60) if division[i] != division[j] and free[i] & free[j]
    )
    groups = TagGroups(ring.names, ring.names, ring.counts, ring.points, {one: {other}, other: {one}})
    found = [set(labels) for labels in share_labels(groups, division, 8, 6)]
    assert found[one].isdisjoint(found[other])
    together = TagGroups(ring.names, ring.names, ring.counts, ring.points, {0: {1}, 1: {0}})
    with pytest.raises(
        FolksongError, match="the division puts 'tag a0' with tags that it must be apart from"
    ):
        share_labels(together, division, 8, 2)


def test_rare_tags_beyond_the_judges_choose_among_their_labels(ring, division, monkeypatch):
    mixed = np.argsort(np.random.default_rng(0).permutation(60))  # rare tags from all around the ring
    groups = TagGroups(
        ring.names, ring.names, ring.counts, ring.points[mixed], {31: {45, 0}, 45: {31}, 0: {31}}
    )
    start = division[mixed].copy()
    start[50:53] = 8  # a label of rare tags alone
    with monkeypatch.context() as patched:
        patched.setattr(overlapping, "MAX_JUDGES", 30)
        patched.setattr(overlapping, "JUDGES_PER_LABEL", 2)
        patched.setattr(overlapping, "BLOCK_TAGS", 7)
        found = [set(labels) for labels in share_labels(groups, start, 10, 4)]
    judges = [row for row in range(60) if row < 30 or row in (50, 51) or sum(start[:row] == start[row]) < 2]
    assert 30 < len(judges) < 45
    alone = TagGroups(
        [groups.names[row] for row in judges], [groups.names[row] for row in judges],
        groups.counts[judges], groups.points[judges],
        {judges.index(31): {judges.index(0)}, judges.index(0): {judges.index(31)}} if 31 in judges else {},
    )  # fmt: skip
    assert [found[row] for row in judges] == [
        set(labels) for labels in share_labels(alone, start[judges], 10, 4)
    ]
    units = groups.points / np.linalg.norm(groups.points, axis=1, keepdims=True)
    near = near_cosine(units[judges].astype(np.float32), np.sqrt(groups.counts[judges]).astype(np.float32))
    assert found[31].isdisjoint(found[45] | found[0])
    for row in set(range(60)) - set(judges) - {31, 45}:
        worth = {j: math.sqrt(groups.counts[j]) * (units[row] @ units[j] - near) for j in judges}
        gains = {label: sum(worth[j] for j in judges if label in found[j]) for label in range(10)}
        best = max(gains, key=lambda label: gains[label])
        assert best in found[row] or gains[best] <= 0
        assert all(any(label in found[j] for j in judges) for label in found[row])


def test_points_that_say_nothing_do_not_fail():
    same = TagGroups("abc", "abc", np.array([3, 2, 1]), np.ones((3, 2)), {})
    assert share_labels(same, np.array([0, 0, 1]), 2, 2) == [(1,), (1,), (1,)]
    alone = TagGroups("a", "a", np.array([3]), np.ones((1, 2)), {})
    assert share_labels(alone, np.array([0]), 1, 3) == [(0,)]
