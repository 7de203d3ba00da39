"""A tagger by the name of its run, its exported folder, or a network that others trained."""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from folksong.errors import FolksongError, nearest
from folksong.files import reading
from folksong.models.checkpoint import load_model
from folksong.models.hardware import keep_memory
from folksong.models.heads import EmbeddingHead
from folksong.models.pretrained.extractors import NETWORKS, trained_on
from folksong.models.pretrained.musicnn import (
    PRESET,
    WINDOW_SECONDS,
    PretrainedTagger,
    read_network,
    read_tags_of,
)
from folksong.models.tagger import Tagger
from folksong.prediction.asked_tags import ask_for
from folksong.prediction.head_tagger import HeadTagger, OnnxTagger, find_extractor
from folksong.prediction.predictor import BATCH_SIZE, LoadedTagger, find_device, settled
from folksong.prediction.windows import AudioInput
from folksong.runs import CONFIG_NAME, Run, Scoring, decided_by

logger = logging.getLogger(__name__)

FEW_STEPS = 1000  # of one epoch: so many may be a training
OTHER_SCORING = (
    "its thresholds were tuned on windows and precision other than those wanted, and are not used; "
    "tune them on these"
)


def load_tagger(
    run: Run | str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    hop_seconds: float | None = None,
    batch_size: int = BATCH_SIZE,
    precision: str | None = None,
    tags: tuple[str, ...] = (),
    scoring: Scoring | None = None,
) -> LoadedTagger:
    """Load a run's best network, or an exported model, for prediction.

    Args:
        run: the run, or its folder, or a folder or an ``.onnx`` file that `folksong export` wrote, or such a folder on
            the Hugging Face Hub, ``hf://user/name[@revision]``; or a pretrained network by its name: ``musicnn-msd``,
            ``musicnn-mtt``, ``vgg-msd``, ``vgg-mtt`` (50 tags each).
        device: ``"cpu"``, ``"cuda"``, …; a GPU where there is one if None.
        hop_seconds: from the beginning of one window to the next, in the place of the stored definition's.
        batch_size: windows scored at once.
        precision: ``"auto"``, ``"32"``, ``"bf16"`` or ``"16"`` (see `LoadedTagger`), likewise.
        tags: of a run in the joint space: what to score instead of its labels, any words.
        scoring: how tracks are scored, and thresholds are left out; None takes the definition of the thresholds, which
            are used with it only, else the run's.

    Raises:
        FolksongError: the folder is no run, or the run has no checkpoint yet.
    """
    from folksong.export.folder import SCHEME, fetch_model, is_exported  # which imports this package

    chosen, tags = find_device(device), tuple(tags)
    if str(run).startswith(SCHEME):
        run = fetch_model(str(run))
    folder = is_exported(run)
    if tags and (folder or not (Path(run) / CONFIG_NAME).is_file()):
        raise FolksongError(f"{run}: no run in the joint space, which any tag can be asked of")
    if chosen.type == "cpu":
        keep_memory()  # doubles the speed of the waveform network
    if str(run).endswith(".onnx") and Path(str(run)).is_file():
        return OnnxTagger(str(run))
    if str(run) in NETWORKS and not Path(str(run)).exists():
        found, precision = _pretrained(str(run), precision), "32"
    else:
        read = _exported(str(run)) if folder else _of_run(run, tags, decides=scoring is None)
        if isinstance(read, HeadTagger):
            return read
        found = read
    wanted = found.scoring.replaced(None, hop_seconds, precision) if scoring is None else scoring
    wanted, thresholds = settled(wanted, chosen), None if scoring is not None else found.thresholds
    if thresholds is not None and wanted != found.scoring:
        thresholds = None
        logger.warning("%s: %s", os.fspath(run), OTHER_SCORING)
    with reading(run):
        return LoadedTagger(
            found.model, found.names, found.audio, hop_seconds=wanted.hop_seconds, device=chosen,
            batch_size=batch_size, precision=wanted.precision, thresholds=thresholds,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Network:
    """A network, the names of its outputs, what it hears, its thresholds, and how tracks are scored by it."""

    model: Tagger
    names: tuple[str, ...]
    audio: AudioInput
    thresholds: npt.NDArray[np.float64] | None = None
    scoring: Scoring = field(default_factory=Scoring)


def _pretrained(name: str, precision: str | None) -> _Network:
    if precision not in (None, "auto", "32"):
        raise FolksongError(f"{name} computes in 32 bits only, not in {precision}")
    network, _ = read_network(name)
    logger.info("%s: trained on %s (Pons & Serra 2019)", name, trained_on(name))
    tagger = cast(Tagger, PretrainedTagger(network))  # all of it that is called here
    return _Network(tagger, read_tags_of(name), AudioInput(PRESET.sample_rate, WINDOW_SECONDS, PRESET))


def _exported(folder: str) -> _Network | HeadTagger:
    from folksong.export.folder import read_folder

    found = read_folder(folder)
    names, thresholds = found.labels.names, found.thresholds
    if found.space is None:
        return _Network(cast(Tagger, found.tagger), names, found.audio, thresholds, found.scoring)
    extractor = find_extractor(found.space, str(found.extractor), folder)
    head = cast(EmbeddingHead, found.tagger)
    return HeadTagger(head, names, extractor, thresholds, found.audio.window_seconds)


def _of_run(
    run: Run | str | os.PathLike[str], tags: tuple[str, ...], *, decides: bool
) -> _Network | HeadTagger:
    if not Path(run).exists() and (hint := nearest(str(run), (*NETWORKS,))):
        raise FolksongError(f"{run}: no such folder, nor a pretrained network{hint}")
    opened = Run.open(run)
    if opened.space is not None:
        return HeadTagger.of_run(opened, tags)
    model = load_model(opened)
    if tags:
        ask_for(model, opened, tags)
    _hint_at_little_training(opened)
    decided = decided_by(opened) if decides and not tags else (None, opened.scoring)
    with reading(opened.config_path):
        audio = AudioInput(opened.sample_rate, opened.window_seconds, opened.preset)
    return _Network(model, tags or opened.labels.names, audio, *decided)


def _hint_at_little_training(run: Run) -> None:
    epochs = run.history()
    if len(epochs) == 1 and int(epochs[0].get("step", 0)) < FEW_STEPS:
        logger.warning(
            "%s: this network was trained for one epoch of %s steps; its scores mean little yet",
            run.path,
            epochs[0].get("step"),
        )
