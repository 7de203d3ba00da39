"""How well a run in the joint space (Model 6) scores tags that its training never had, beside what would do as well.

The labels are divided into seen and unseen ones, by bands of counts and several times; each time the run's training is
repeated on the seen ones alone, as if nobody had ever used the others, which are then asked for by their words. Tracks
are those of the run's split. What else could score an unseen tag:

- random vectors: the same training with a random vector for each tag;
- the nearest seen tag by the vectors, as the joint space scores it, and as a classifier of all seen tags does;
- the hybrid label that holds it, by a classifier of the hybrid labels, which are made with all tags.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from folksong.embeddings.read_vectors import read_vectors
from folksong.embeddings.tags import embed_tags
from folksong.errors import FolksongError
from folksong.evaluation.compare import Difference, difference
from folksong.evaluation.figures import Average, Measured, averages, measure_tracks
from folksong.evaluation.scores import ScoredTracks, open_run_records, score_part, score_records
from folksong.files import write_json
from folksong.labels.hybrid import hybrid
from folksong.labels.space import LabelSpace
from folksong.models.checkpoint import load_head, load_model
from folksong.models.heads import joint_output
from folksong.prediction.asked_tags import ask_for
from folksong.runs import CONFIG_NAME, Run
from folksong.training.config import Config
from folksong.training.data import read_run_data, read_run_tags
from folksong.training.distributed import silent
from folksong.training.resume import resume
from folksong.training.train import train

Scores = npt.NDArray[np.float32]

BANDS = {"1 to 4": (1, 5), "5 to 19": (5, 20), "20 or more": (20, None)}
"""Counts in the training part."""
JOINT = "joint space"
FIGURES = ("macro_roc_auc", "macro_pr_auc")


@dataclass(frozen=True)
class UnseenRow:
    """One system on one group of tags, in the mean over the repeats.

    Args:
        group: ``seen``, ``unseen``, ``all``, or those of a band.
        system: what scores them.
        n_tags: tags that a track of the part carries, in the mean over the repeats.
        figures: `FIGURES`.
        joint_more: how much more the joint space reaches; none for itself.
    """

    group: str
    system: str
    n_tags: float
    figures: Mapping[str, Average]
    joint_more: Mapping[str, Difference]


@dataclass(frozen=True)
class UnseenEvaluation:
    """What `evaluate_unseen` found."""

    run: str
    part: str
    n_tracks: int
    repeats: int
    rows: tuple[UnseenRow, ...]
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            **{name: getattr(self, name) for name in ("run", "part", "n_tracks", "repeats", "level")},
            "rows": [
                {
                    "group": row.group, "system": row.system, "tags": row.n_tags,
                    **{name: figure.to_dict() for name, figure in row.figures.items()},
                    "joint_more": {name: found.to_dict() for name, found in row.joint_more.items()},
                }
                for row in self.rows
            ],
        }  # fmt: skip


def evaluate_unseen(
    run: Run | str | os.PathLike[str],
    *,
    part: str = "test",
    repeats: int = 5,
    share: float = 0.2,
    n_resamples: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> UnseenEvaluation:
    """Measure a run in the joint space on tags that it never had, and write ``evaluation/unseen-PART.json`` into it.

    The trainings are kept in the run as ``unseen/``; interrupted, the same call goes on.

    Args:
        run: the run, or its folder.
        part: whose tracks are scored.
        repeats: divisions of the labels, each with a training of its own.
        share: of each band's labels that are unseen.
        n_resamples: of the bootstrap over tracks.
        seed: of divisions, trainings and bootstrap.
        progress: show a bar.

    Raises:
        FolksongError: the run has no joint space or no word vectors, or too few labels have a known word.
    """
    if not 0 < share < 1:
        raise FolksongError(f"the share of unseen labels must be above 0 and below 1, not {share}")
    opened, config = _open_joint(run)
    counts = np.array(read_run_data(opened, None, config).label_counts())
    whole = score_part(opened, part, opened.scoring)
    worded = set(embed_tags(opened.labels.names, read_vectors(str(config.loss.vectors))).tags)
    measured: dict[tuple[str, str], dict[int, Measured]] = {}
    sizes: dict[str, list[int]] = {}
    trainer = _Trainer(opened, config, part, whole)
    for number in tqdm(range(repeats), desc="divisions", unit="division", disable=not progress):
        unseen = _draw(opened.labels.names, counts, worded, share, np.random.default_rng([seed, number]))
        with silent() if number else nullcontext():  # of the same tracks and settings the same is said again
            systems = trainer.systems(f"{seed}-{share:g}-{number + 1}", unseen, seed + number)
        for group, inside in _groups(counts, unseen).items():
            carried = np.flatnonzero(inside & whole.targets.any(axis=0))
            sizes.setdefault(group, []).append(len(carried))
            for system, scores in systems.items():
                if not len(carried) or (system.startswith("nearest") and group.startswith("seen")):
                    continue
                tracks = ScoredTracks(
                    whole.track_ids, tuple(opened.labels.names[row] for row in carried),
                    whole.targets[:, carried], scores[:, carried], np.ones(len(whole), bool),
                )  # fmt: skip
                measured.setdefault((group, system), {})[number] = measure_tracks(
                    tracks, n_resamples, seed=seed, micro=False
                )
    rows = _rows(measured, sizes)
    result = UnseenEvaluation(os.fspath(opened.path), part, len(whole), repeats, rows, 0.95)
    write_json(opened.evaluation_dir / f"unseen-{part}.json", result.to_dict())
    return result


def _open_joint(run: Run | str | os.PathLike[str]) -> tuple[Run, Config]:
    """Return a run in the joint space that word vectors belong to, and its settings; refuse any other."""
    opened = Run.open(run)
    config = Config.from_dict(opened.config["settings"])
    if config.model.head != "joint":
        raise FolksongError(f"{opened.path}: only a run with the head joint scores tags that it never had")
    if config.loss.vectors is None:
        raise FolksongError(
            f"{opened.path}: was trained without word vectors, so that no new tag can be asked for"
        )
    return opened, config


def _rows(
    measured: Mapping[tuple[str, str], Mapping[int, Measured]], sizes: Mapping[str, Sequence[int]]
) -> tuple[UnseenRow, ...]:
    rows = []
    for (group, system), found in measured.items():
        first = measured[group, JOINT]
        more = {} if system == JOINT else {name: difference(first, found, name) for name in FIGURES}
        figures = averages(list(found.values()))
        kept = {name: figures[name] for name in FIGURES}
        rows.append(UnseenRow(group, system, float(np.mean(sizes[group])), kept, more))
    return tuple(rows)


def _draw(
    names: Sequence[str],
    counts: npt.NDArray[np.int64],
    worded: set[str],
    share: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Return which labels are unseen: a share of each band's, of those that have a known word."""
    has_word = np.array([name in worded for name in names], bool)
    unseen = np.zeros(len(names), bool)
    for low, high in BANDS.values():
        rows = np.flatnonzero(has_word & (counts >= low) & (counts < (high or np.inf)))
        unseen[rng.permutation(rows)[: round(share * len(rows))]] = True
    if not unseen.any() or len(names) - unseen.sum() < 2:
        raise FolksongError(f"{len(names)} labels are too few to leave some of them out")
    return unseen


def _groups(counts: npt.NDArray[np.int64], unseen: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.bool_]]:
    groups = {"seen": ~unseen, "unseen": unseen, "all": np.ones(len(unseen), bool)}
    for band, (low, high) in BANDS.items():
        inside = (counts >= low) & (counts < (high or np.inf))
        groups |= {f"seen, {band} counts": inside & ~unseen, f"unseen, {band} counts": inside & unseen}
    return groups


class _Trainer:
    """The trainings of an evaluation, in the run's folder, and the scores that they give to all its labels."""

    def __init__(self, run: Run, config: Config, part: str, whole: ScoredTracks) -> None:
        self.run, self.config, self.part, self.names = run, config, part, run.labels.names
        self.reader = open_run_records(run)
        record_of = {track: number for number, track in enumerate(self.reader.track_ids)}
        self.records = np.array([record_of[track] for track in whole.track_ids], np.int64)
        self.plain = {"model": {"head": "linear"}, "loss": {"kind": "bce", "vectors": None}}

    def systems(self, name: str, unseen: npt.NDArray[np.bool_], seed: int) -> dict[str, Scores]:
        """Return what each system scores on a division, (n_tracks, n_labels)."""
        kept = (label for label, left_out in zip(self.run.labels.labels, unseen, strict=True) if not left_out)
        space = self.run.labels.with_labels(kept, {"split_sha256": self.run.split.sha256()})
        joint = self._trained(f"{name}/joint", lambda: space, {"seed": seed})
        control = self._trained(f"{name}/random", lambda: space, {"seed": seed, "tag_side": "random"})
        classifier = self._trained(f"{name}/classifier", lambda: space, {"seed": seed, **self.plain})
        by_hybrid = self._trained("hybrid", self._hybrid, {"seed": seed, **self.plain})
        scores = self._asked(joint)
        nearest = self._nearest(joint, unseen)
        of_joint = {
            JOINT: scores,
            "random vectors": self._asked(control),
            "nearest seen tag": scores[:, nearest],
        }
        of_classifier = np.zeros_like(scores)
        of_classifier[:, ~unseen] = self._own(classifier)
        of_labels, labels = self._own(by_hybrid), by_hybrid.labels
        held = [labels.labels_of(tag) for tag in self.names]
        through = [
            of_labels[:, list(of)].max(axis=1) if of else np.zeros(len(scores), np.float32) for of in held
        ]
        return of_joint | {
            "classifier, nearest seen tag": of_classifier[:, nearest],
            "hybrid label": np.stack(through, axis=1),
        }

    def _trained(self, name: str, space: Callable[[], LabelSpace], changes: Mapping[str, Any]) -> Run:
        folder = self.run.path / "unseen" / name
        if (folder / CONFIG_NAME).exists():
            return resume(folder)
        config = self.config.with_changes(**changes)
        return train(
            self.run.front_end,
            self.run.shards_dir,
            out=folder,
            labels=space(),
            split=self.run.split,
            config=config,
        )

    def _hybrid(self) -> LabelSpace:
        table = read_run_tags(self.run, self.reader).select_tracks(self.run.split.training)
        vectors = read_vectors(str(self.config.loss.vectors))
        split = {"split_sha256": self.run.split.sha256()}
        return hybrid(table, vectors, provenance=split)

    def _own(self, run: Run) -> Scores:
        return score_records(run, self.reader, self.records, run.scoring)

    def _asked(self, run: Run) -> Scores:
        return score_records(run, self.reader, self.records, run.scoring, tags=self.names)

    def _nearest(self, run: Run, unseen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return, for each label, the seen label whose score it gets: its own, or the nearest by the tags' vectors."""
        network = load_model(run) if run.space is None else load_head(run)
        ask_for(network, run, self.names)
        layer = joint_output(network)
        assert layer is not None
        vectors = layer.tag_vectors.numpy()
        units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        seen, found = np.flatnonzero(~unseen), np.arange(len(unseen))
        found[unseen] = seen[(units[unseen] @ units[seen].T).argmax(axis=1)]
        return found
