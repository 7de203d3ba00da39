import logging
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import folksong as fs
from folksong.errors import FileFormatError, FolksongError
from folksong.splits import PARTS, Split, make_folds, make_split
from folksong.tags.table import TagTable

ids_of = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=40, unique=True)


def labels_of(n_tracks: int, n_labels: int, seed: int) -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    share = 0.5 / np.arange(1, n_labels + 1)
    return sp.csr_matrix((rng.random((n_tracks, n_labels)) < share).astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(ids_of, st.integers(0, 5), st.randoms(), st.booleans())
def test_parts_hold_each_track_once_in_any_row_order(
    names: list, seed: int, random: object, by_artist: bool
) -> None:
    targets = labels_of(len(names), 5, seed)
    artists = {name: name[0] for name in names} if by_artist else None
    split = make_split(targets, names, artists=artists, seed=seed)
    assert sorted([*split.training, *split.validation, *split.test]) == sorted(names)
    order = list(range(len(names)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = make_split(targets[order], [names[row] for row in order], artists=artists, seed=seed)
    assert again == split
    if artists:
        owners = [{artists[track] for track in split.part(name)} for name in PARTS]
        assert sum(map(len, owners)) == len(set().union(*owners))


def test_single_labels_are_dealt_exactly() -> None:
    names = [f"{n % 10}/{n:03d}" for n in range(300)]
    table = fs.TagTable.from_pairs(names, [name[0] for name in names])
    split = make_split(table, fractions=(60, 20, 20))
    for name, each in zip(PARTS, (18, 6, 6), strict=True):
        assert table.select_tracks(split.part(name)).counts.tolist() == [each] * 10


@pytest.mark.parametrize("by_artist", [False, True])
def test_many_labels_keep_their_shares(by_artist: bool) -> None:
    targets = labels_of(4000, 30, 1)
    names = [f"t{n}" for n in range(4000)]
    artists = {name: f"artist {hash_of % 400}" for hash_of, name in enumerate(names)} if by_artist else None
    split = make_split(targets, names, artists=artists)
    row_of = {name: row for row, name in enumerate(names)}
    totals = np.asarray(targets.sum(axis=0)).ravel()
    for name, share in zip(PARTS, (0.8, 0.1, 0.1), strict=True):
        rows = [row_of[track] for track in split.part(name)]
        found = np.asarray(targets[rows].sum(axis=0)).ravel()
        # drawn at random, tracks would be 10% off on average in the small parts
        assert np.abs(found / (share * totals) - 1).mean() < (0.08 if by_artist else 0.02)
        assert len(rows) == pytest.approx(share * 4000, rel=0.03)


def test_stratification_is_as_good_as_the_iterative_stratification_package() -> None:
    package = pytest.importorskip(
        "iterstrat.ml_stratifiers", reason="iterative-stratification is not installed"
    )
    targets = labels_of(2000, 40, 3)
    dense = targets.toarray().astype(int)
    names = np.array([f"t{n:04d}" for n in range(2000)])
    folds = [
        test
        for _, test in package.MultilabelStratifiedKFold(10, shuffle=True, random_state=0).split(dense, dense)
    ]
    split = make_split(targets, names)
    row_of = {name: row for row, name in enumerate(names)}

    def difference(rows: list) -> float:
        return float(np.abs(dense[rows].sum(axis=0) / (0.1 * dense.sum(axis=0)) - 1).mean())

    ours = [difference([row_of[track] for track in split.part(name)]) for name in PARTS[1:]]
    assert np.mean(ours) <= 1.05 * np.mean([difference(fold) for fold in folds])


def test_another_seed_deals_otherwise_and_the_same_seed_alike() -> None:
    targets, names = labels_of(200, 4, 0), [f"t{n}" for n in range(200)]
    assert make_split(targets, names, seed=1) == make_split(targets, names, seed=1)
    assert make_split(targets, names, seed=1).sha256() != make_split(targets, names, seed=2).sha256()


def test_a_part_may_be_empty_and_tracks_without_labels_are_dealt_too() -> None:
    split = make_split(sp.csr_matrix((100, 0)), [f"t{n}" for n in range(100)], fractions=(0.9, 0.1, 0))
    assert [len(split.part(name)) for name in PARTS] == [90, 10, 0]


def test_no_part_stays_empty_where_each_label_is_on_one_track_alone() -> None:
    names, targets = [f"t{row}" for row in range(8)], sp.identity(8, dtype=int, format="csr")
    split = make_split(targets, names, fractions=(80, 10, 10))
    assert [len(split.part(part)) for part in ("training", "validation", "test")] == [6, 1, 1]
    with_singles = sp.hstack([targets, np.ones((8, 1), int)]).tocsr()
    assert len(make_split(with_singles, names, fractions=(80, 20, 0)).validation) >= 1


def test_labels_of_a_space_are_balanced() -> None:
    table = fs.TagTable.from_pairs([f"t{n}" for n in range(40)], ["x" if n < 20 else "y" for n in range(40)])
    space = fs.labels.top(table, 1)
    split = make_split(table, space=space, fractions=(0.5, 0.25, 0.25))
    assert table.select_tracks(split.training).counts.tolist()[0] == 10
    assert split.provenance["labels_sha256"] == space.sha256()


def test_written_and_read_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "my.split.json"
    split = make_split(
        labels_of(30, 3, 0), [f"t\n{n} 🎸" for n in range(30)], artists={"t\n1 🎸": "x"}, seed=7
    )
    split.write(path)
    assert Split.read(path) == split
    assert Split.read(path).by_artist
    first = path.read_bytes()
    split.write(path)
    assert path.read_bytes() == first


def test_unknown_artists_and_absent_labels_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        make_split(
            sp.csr_matrix([[1, n == 3] for n in range(20)]), [f"t{n}" for n in range(20)], artists={"t1": "x"}
        )
    assert "19 of 20 tracks have no known artist" in caplog.text
    assert "the test part has no example of 1 of the 2 labels: too few artists have them" in caplog.text
    with caplog.at_level(logging.WARNING):
        make_split(sp.csr_matrix([[1]]), ["a"])
    assert "part is empty" in caplog.text


@pytest.mark.parametrize(
    ("fractions", "names", "message"),
    [
        ((1, 1), ["a", "b"], "three numbers"),
        ((80, 10, 20), ["a", "b"], "add up to 110"),  # B4
        ((1, -1, 0), ["a", "b"], "three numbers"),
        ((0, 0, 0), ["a", "b"], "three numbers"),
        ((1, 1, float("nan")), ["a", "b"], "three numbers"),
        ((80, 10, 10), ["a", "a"], "a track id occurs twice"),
        ((80, 10, 10), ["a"], "give as many track_ids"),
        ((80, 10, 10), None, "give as many track_ids"),
    ],
)
def test_what_cannot_be_split_is_an_error(fractions: tuple, names: list | None, message: str) -> None:
    with pytest.raises(FolksongError, match=message):
        make_split(sp.csr_matrix([[1], [0]]), names, fractions=fractions)


def test_no_tracks_is_an_error() -> None:
    with pytest.raises(FolksongError, match="no tracks to split"):
        make_split(fs.TagTable.from_pairs([], []))
    with pytest.raises(FolksongError, match=r"no part is called 'train'; did you mean 'training'\?"):
        Split((), (), ()).part("train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "not a split"),
        ('{"format": "folksong.split", "version": 9}', "version 9"),
        (
            '{"format": "folksong.split", "version": 1, "training": [1], "validation": [], "test": []}',
            "'training' must be",
        ),
        (
            '{"format": "folksong.split", "version": 1, "training": ["a"], "validation": ["a"], "test": []}',
            "the track 'a' is in training and again in validation",
        ),
        ("{", "not valid JSON"),
    ],
)
def test_bad_split_files_have_errors_that_name_them(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.split.json"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=rf"bad\.split\.json: .*{message}"):
        Split.read(path)


def test_folds_test_every_track_once_keep_artists_together_and_are_stratified():
    rng = np.random.default_rng(5)
    labels = sp.csr_matrix((rng.random((200, 6)) < 0.2).astype(int))
    names = [f"t{number:03d}" for number in range(200)]
    artists = {name: f"artist {int(name[1:]) // 4}" for name in names}
    folds = make_folds(labels, names, n_folds=5, artists=artists, seed=1)
    assert sorted(track for fold in folds for track in fold.test) == names
    for fold in folds:
        of = [{artists[track] for track in fold.part(part)} for part in ("training", "validation", "test")]
        assert not of[0] & of[1]
        assert not of[2] & (of[0] | of[1])
        rows = [names.index(track) for track in fold.test]
        share = labels[rows].sum(axis=0) / labels.sum(axis=0)
        assert np.abs(share - 0.2).max() < 0.08
    assert folds == make_folds(labels, names, n_folds=5, artists=artists, seed=1)
    assert folds != make_folds(labels, names, n_folds=5, artists=artists, seed=2)


def test_16_shares_that_were_missed_are_said(caplog: pytest.LogCaptureFixture) -> None:
    names = [f"t{n}" for n in range(40)]
    with caplog.at_level(logging.WARNING):
        make_split(labels_of(40, 1, 0), names, fractions=(80, 10, 10))
    assert "asked for" not in caplog.text
    artists = {name: "band" if n < 20 else name for n, name in enumerate(names)}
    with caplog.at_level(logging.WARNING):
        split = make_split(labels_of(40, 1, 0), names, artists=artists, fractions=(20, 40, 40))
    dealt = " / ".join(f"{len(split.part(part)) / 40:.1%}" for part in ("training", "validation", "test"))
    assert f"asked for 20.0% / 40.0% / 40.0% of the tracks, dealt {dealt}: an artist's tracks" in caplog.text
    with caplog.at_level(logging.WARNING):  # of few tracks with a label each, and nothing said of artists
        make_split(np.ones((10, 1)), names[:10], fractions=(34, 33, 33))
        make_split(np.eye(12), names[:12], fractions=(50, 25, 25))
    assert "%: labels are evened out before sizes" in caplog.text


def test_labels_that_a_part_is_too_small_for_are_named_with_the_cure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten genres of 25 tracks by 6 players each: one player of each genre in each part would be 40 of 250 tracks."""
    players = [(genre, n % 6) for genre in range(10) for n in range(25)]
    names = [f"g{genre}p{player}n{n:03}" for n, (genre, player) in enumerate(players)]
    table = TagTable.from_codes(
        names, [f"g{genre}" for genre in range(10)], np.arange(250), np.array(players)[:, 0], np.ones(250)
    )
    artists = {name: name[:4] for name in names}
    with caplog.at_level(logging.WARNING):
        split = make_split(table, artists=artists)
    there = {name[:2] for name in split.test}
    missing = sorted({f"g{genre}" for genre in range(10)} - there)
    said = next(text for text in caplog.messages if "the test part has no example" in text)
    assert 0 < len(missing) < 6
    assert all(label in said for label in missing)
    assert not any(label in said for label in there)
    assert "its share of them is too small; larger parts, such as 70/15/15, hold more" in said
    assert "its share of every label" not in caplog.text
    caplog.clear()
    make_split(table, artists=artists, fractions=(70, 15, 15))
    assert "no example" not in caplog.text


def test_parts_that_lack_a_label_get_an_artist_of_it_where_sizes_allow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Rock has artists of 8, 5 and 2 tracks among 300 others: its shares of 1.5 tracks would leave a part without."""
    sizes = {"rock": (8, 5, 2), "pop": (3,) * 100}
    rows = [
        (genre, f"{genre}{n}")
        for genre, every in sizes.items()
        for n, size in enumerate(every)
        for _ in range(size)
    ]
    names = [f"t{n:03}" for n in range(len(rows))]
    labels = sp.csr_matrix([[genre == "rock", genre == "pop"] for genre, _ in rows], dtype=np.int64)
    artists = dict(zip(names, (artist for _, artist in rows), strict=True))
    genre_of = dict(zip(names, (genre for genre, _ in rows), strict=True))
    for seed in range(5):
        with caplog.at_level(logging.WARNING):
            split = make_split(labels, names, artists=artists, seed=seed)
        for part, share in zip(PARTS, (0.8, 0.1, 0.1), strict=True):
            assert {genre_of[track] for track in split.part(part)} == {"rock", "pop"}
            assert abs(len(split.part(part)) / len(names) - share) <= 0.02
        assert not {artists[track] for track in split.training} & {artists[track] for track in split.test}
    assert not caplog.text


def test_labels_are_read_only_for_a_split() -> None:
    labels = sp.csr_matrix(([1, 0, 1], [0, 1, 1], [0, 2, 3]), (2, 2))
    for array in (labels.data, labels.indices, labels.indptr):
        array.flags.writeable = False
    make_split(labels, ["a", "b"])
    assert labels.indices.tolist() == [0, 1, 1]
