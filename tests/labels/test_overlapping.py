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
    return TagGroups(names, counts, points, {})


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
                if number and gains[best] <= 0:
                    break
                reached |= {other for other in range(n) if best in labels[other]}
                labels[tag].add(best)
            changed += labels[tag] != before
        if changed <= 0.005 * n:
            break
    return labels


@pytest.mark.parametrize("most", [1, 2, 4])
def test_the_search_equals_plain_loops(ring, division, most):
    units = ring.points / np.linalg.norm(ring.points, axis=1, keepdims=True)
    near = near_cosine(units.astype(np.float32), np.sqrt(ring.counts).astype(np.float32))
    assert near == pytest.approx(threshold_reference(ring), abs=0.002)
    found = share_labels(ring, division, 8, most)
    expected = search_reference(ring, division, 8, most, near)
    assert [set(labels) for labels in found] == expected
    assert max(map(len, found)) == min(most, max(map(len, expected)))


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


def test_the_first_label_is_the_nearest_and_every_label_is_somebody_s_first(ring, division):
    found = share_labels(ring, division, 8, 4)
    assert {labels[0] for labels in found} == {label for labels in found for label in labels}
    sums = np.zeros((8, 3))
    for labels, count, point in zip(found, ring.counts, ring.points, strict=True):
        sums[list(labels)] += math.sqrt(count) * point / np.linalg.norm(point)
    nearest = [
        max(labels, key=lambda label: cosine(sums[label], point))
        for labels, point in zip(found, ring.points, strict=True)
    ]
    assert np.mean([labels[0] == best for labels, best in zip(found, nearest, strict=True)]) > 0.95


def test_contrasts_share_no_label_however_near(ring, division):
    names = [f"{'male' if number % 2 else 'female'} voice {name}" for number, name in enumerate(ring.names)]
    opposed = TagGroups(tuple(names), ring.counts, ring.points, {})
    found = [set(labels) for labels in share_labels(opposed, division, 16, 4)]
    shared = [bool(found[i] & found[j]) for i in range(60) for j in range(i) if (i - j) % 2]
    assert np.mean(shared) < 0.03
    plain = [set(labels) for labels in share_labels(ring, division, 16, 4)]
    assert np.mean([bool(plain[i] & plain[j]) for i in range(60) for j in range(i) if (i - j) % 2]) > 0.1


def test_what_must_be_apart_is_apart(ring, division):
    apart = {0: {59, 20}, 59: {0}, 20: {0}}
    groups = TagGroups(ring.names, ring.counts, ring.points, apart)
    found = [set(labels) for labels in share_labels(groups, division, 8, 6)]
    assert found[0].isdisjoint(found[59] | found[20])
    free = [set(labels) for labels in share_labels(ring, division, 8, 6)]
    assert free[0] & free[59]  # neighbours on the ring
    everyone = TagGroups(ring.names, ring.counts, ring.points, {0: set(range(1, 60))})
    with pytest.raises(FolksongError, match="'tag a0' must be apart from tags in every label"):
        share_labels(everyone, division, 8, 2)


def test_rare_tags_beyond_the_judges_follow_them(ring, division, monkeypatch):
    whole = [set(labels) for labels in share_labels(ring, division, 8, 4)]
    monkeypatch.setattr(overlapping, "MAX_JUDGES", 40)
    monkeypatch.setattr(overlapping, "BLOCK_TAGS", 7)
    found = [set(labels) for labels in share_labels(ring, division, 8, 4)]
    assert all(1 <= len(labels) <= 4 for labels in found)
    together = [
        (bool(a[i] & a[j]), bool(b[i] & b[j]))
        for a, b in [(whole, found)]
        for i in range(60)
        for j in range(i)
    ]
    assert np.mean([one == other for one, other in together]) > 0.85


def test_points_that_say_nothing_do_not_fail():
    same = TagGroups(("a", "b", "c"), np.array([3, 2, 1]), np.ones((3, 2)), {})
    assert share_labels(same, np.array([0, 0, 1]), 2, 2)[0] in {(0,), (1,), (0, 1), (1, 0)}
    alone = TagGroups(("a",), np.array([3]), np.ones((1, 2)), {})
    assert share_labels(alone, np.array([0]), 1, 3) == [(0,)]
