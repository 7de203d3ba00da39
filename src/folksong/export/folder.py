"""A tagger as a folder in Hugging Face's layout: ``model.safetensors``, ``config.json`` and a card, ``README.md``.

``config.json`` holds the labels with their tags, thresholds where they were tuned, the network's sizes, the audio's
sample rate, window and feature preset or the space of a head's embeddings, and the hashes of what the tagger was made
from, of the weights and of all this itself: labels in another order would give confident wrong names.

Such folders go to the Hugging Face Hub and come from it by huggingface_hub: its token, cache, mirrors and offline mode
hold here.
"""

import os
import re
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from folksong.audio.log_mel import FeaturePreset
from folksong.embeddings.store import EmbeddingSpace
from folksong.errors import FileFormatError, FolksongError, first_line, needs_extra
from folksong.files import (
    atomic_path,
    atomic_write,
    check_signature,
    read_document,
    read_json,
    reading,
    sha256_file,
    write_signed,
)
from folksong.labels.space import LabelSpace, read_label, write_label
from folksong.models.checkpoint import load_head, load_model, tagger_from_settings
from folksong.models.heads import EmbeddingHead
from folksong.models.tagger import Tagger
from folksong.prediction.windows import AudioInput
from folksong.runs import Run, Scoring, decided_by

FORMAT, VERSION = "folksong.model", 1
DESCRIPTION_NAME = "config.json"  # as in models that Hugging Face keeps
WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"
CARD_HEAD = """---
library_name: folksong
pipeline_tag: audio-classification
tags:
- music
- music-tagging
---

"""
CARD_BODY = """# A music tagger

`fs.load_tagger(folder)` and `folksong predict FOLDER song.mp3` use it; its labels are in config.json.
"""


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """What an exported folder holds; thresholds (n_labels,) if they were tuned, on scores made as `scoring` says.

    `made_from` are hashes of labels, split, tags and shards, and versions; a head has the space of its embeddings, and
    the name of the extractor that makes them.
    """

    tagger: Tagger | EmbeddingHead
    labels: LabelSpace
    audio: AudioInput
    thresholds: npt.NDArray[np.float64] | None
    scoring: Scoring
    made_from: dict[str, Any]
    space: EmbeddingSpace | None
    extractor: str | None


def export_folder(run: Run, folder: str | os.PathLike[str]) -> Path:
    """Write a run's best tagger as safetensors, its card and JSON; the JSON last."""
    thresholds, scoring = decided_by(run)
    made_from = {
        "folksong": run.config["folksong"],
        "labels_sha256": run.labels.sha256(),
        "split_sha256": run.split.sha256(),
        "tags_sha256": run.config["tags"]["table_sha256"],
        "shards_sha256": run.config["shards"]["manifest_sha256"],
        "checkpoint_sha256": sha256_file(run.best_checkpoint) if run.best_checkpoint.exists() else None,
    }
    on_embeddings = run.space is not None
    return write_folder(
        folder,
        load_head(run) if on_embeddings else load_model(run),
        AudioInput(run.sample_rate, run.window_seconds, None if on_embeddings else run.preset),
        thresholds=thresholds,
        scoring=scoring,
        made_from=made_from,
        space=run.space,
        extractor=str(run.config["embeddings"]["extractor"]) if on_embeddings else None,
        card=run.model_card_path.read_text(encoding="utf-8") if run.model_card_path.is_file() else CARD_BODY,
    )


def write_folder(
    folder: str | os.PathLike[str],
    tagger: Tagger | EmbeddingHead,
    audio: AudioInput,
    *,
    card: str = CARD_BODY,
    thresholds: npt.NDArray[np.float64] | None = None,
    scoring: Scoring | None = None,
    **more: Any,
) -> Path:
    """Write a tagger that has a label space, with thresholds (n_labels,), and what more an `ExportedModel` has."""
    safetensors = _safetensors()
    if tagger.labels is None:
        raise FolksongError("a tagger without a label space cannot be exported")
    path = Path(folder)
    _check_ours(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tagger.state_dict().items()}
    with atomic_path(path / WEIGHTS_NAME) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata={"format": "pt"})
    with atomic_write(path / CARD_NAME, "w") as stream:
        stream.write(CARD_HEAD + card)
    space = more.get("space")
    values = [None] * len(tagger.labels) if thresholds is None else np.asarray(thresholds).tolist()
    description = {
        "format": FORMAT,
        "version": VERSION,
        "tagger": tagger.settings,
        "audio": {
            "sample_rate": audio.sample_rate,
            "window_seconds": audio.window_seconds,
            "preset": None if audio.preset is None else audio.preset.to_dict(),
        },
        "scoring": asdict(Scoring() if scoring is None else scoring),
        "labels": [
            {**write_label(label), "threshold": value}
            for label, value in zip(tagger.labels.labels, values, strict=True)
        ],
        "aliases": dict(tagger.labels.aliases),
        "made_from": more.get("made_from") or {},
        **({} if space is None else {"embeddings": {"space": asdict(space), "extractor": more["extractor"]}}),
        "weights_sha256": sha256_file(path / WEIGHTS_NAME),
    }
    write_signed(path / DESCRIPTION_NAME, description)
    return path


def is_exported(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds an exported model."""
    try:
        return bool(read_json(Path(folder) / DESCRIPTION_NAME).get("format") == FORMAT)
    except (FolksongError, AttributeError):
        return False


def _check_ours(path: Path) -> None:
    """Refuse a folder whose files of these names are not an exported model."""
    for name in (DESCRIPTION_NAME, WEIGHTS_NAME, CARD_NAME):
        if (path / name).exists() and not is_exported(path):
            raise FolksongError(
                f"{path / name}: is there already and no exported model; choose another folder"
            )


def read_folder(folder: str | os.PathLike[str]) -> ExportedModel:
    """Read what `export_folder` wrote."""
    path = Path(folder)
    if not (path / DESCRIPTION_NAME).is_file():
        raise FolksongError(f"{path}: no exported model here (it has no {DESCRIPTION_NAME})")
    content = read_document(
        path / DESCRIPTION_NAME,
        FORMAT,
        VERSION,
        "the description of an exported model",
        "export the run again",
    )
    check_signature(path / DESCRIPTION_NAME, content, "export the run again")
    with reading(path / DESCRIPTION_NAME, "export the run again"):
        labels = LabelSpace(
            tuple(read_label(entry, number) for number, entry in enumerate(content["labels"])),
            content["aliases"],
        )
        values = [entry["threshold"] for entry in content["labels"]]
        thresholds = None if None in values else np.array(values, np.float64)
        made_of, extractor, space = content.get("embeddings"), None, None
        tagger: Tagger | EmbeddingHead
        if made_of is None:
            tagger = tagger_from_settings(content["tagger"], labels)
        else:
            tagger, extractor = EmbeddingHead.from_settings(content["tagger"], labels), made_of["extractor"]
            space = EmbeddingSpace(**{**made_of["space"], "parts": tuple(made_of["space"]["parts"])})
        heard = content["audio"]
        preset = None if heard["preset"] is None else FeaturePreset.from_dict(heard["preset"])
        audio = AudioInput(int(heard["sample_rate"]), float(heard["window_seconds"]), preset)
        scoring = Scoring(**content["scoring"])
        wanted, made_from = content["weights_sha256"], content["made_from"]
    _load_weights(tagger, path / WEIGHTS_NAME, wanted)
    return ExportedModel(tagger.eval(), labels, audio, thresholds, scoring, made_from, space, extractor)


def _load_weights(tagger: nn.Module, path: Path, sha256: str) -> None:
    if not path.is_file():
        raise FolksongError(f"{path}: no such file; it belongs beside {DESCRIPTION_NAME}")
    if sha256_file(path) != sha256:
        raise FileFormatError(
            f"{path}: not the weights that {DESCRIPTION_NAME} describes; export the model again"
        )
    try:
        tagger.load_state_dict(_safetensors().torch.load_file(path))
    except (RuntimeError, ValueError, _safetensors().SafetensorError) as error:
        raise FileFormatError(
            f"{path}: not weights of the network that {DESCRIPTION_NAME} describes"
        ) from error


def _safetensors() -> Any:
    with needs_extra("an exported model", "export"):
        import safetensors
        import safetensors.torch
    return safetensors


SCHEME = "hf://"
HUB_NAME = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
FILES = (DESCRIPTION_NAME, WEIGHTS_NAME, CARD_NAME)


def fetch_model(name: str) -> Path:
    """Return the folder in the Hub's cache of an exported model, ``hf://user/name`` or ``hf://user/name@revision``.

    Fetched are the three files of an exported model and no others; nothing of them is run.

    Raises:
        FolksongError: there is none, the Hub cannot be reached, or huggingface_hub is not installed.
    """
    found = HUB_NAME.fullmatch(name)
    if found is None:
        raise FolksongError(f"{name}: a model of the Hub is called hf://user/name or hf://user/name@revision")
    hub = _huggingface_hub()
    try:
        place = hub.snapshot_download(found["repo"], revision=found["revision"], allow_patterns=list(FILES))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise FolksongError(f"{name}: cannot be fetched ({first_line(error)})") from error
    return Path(place)


def push_to_hub(
    model: Run | str | os.PathLike[str], name: str, *, private: bool = False, dry_run: bool = False
) -> list[tuple[str, int]]:
    """Upload a run's best tagger, or an exported folder, and return the files with their sizes in bytes.

    Args:
        model: the run, or its folder, or an exported one.
        name: ``hf://user/name``; the repository is made if there is none.
        private: a repository that is made is only its owner's.
        dry_run: upload nothing, ask nobody.

    Raises:
        FolksongError: the Hub refuses it, or cannot be reached.
    """
    found = HUB_NAME.fullmatch(name)
    if found is None or found["revision"]:
        raise FolksongError(f"{name}: say where it goes as hf://user/name")
    with ExitStack() as stack:
        if is_exported(model):
            folder = Path(model)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            export_folder(Run.open(model), folder)
        listed = [(file, (folder / file).stat().st_size) for file in FILES]
        if not dry_run:
            hub = _huggingface_hub()
            try:
                api = hub.HfApi()
                api.create_repo(found["repo"], private=private, exist_ok=True)
                api.upload_folder(repo_id=found["repo"], folder_path=folder, allow_patterns=list(FILES))
            except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
                raise FolksongError(f"{name}: cannot be uploaded ({first_line(error)})") from error
    return listed


def _huggingface_hub() -> Any:
    with needs_extra("a model of the Hub", "hub"):
        import huggingface_hub
    return huggingface_hub
