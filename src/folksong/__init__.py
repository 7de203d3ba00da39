"""folksong: learn to hear what listeners write.

Label spaces from crowd-sourced music tags, convolutional taggers trained on them, and a measure of how much of the
crowd's information each choice keeps. ``import folksong as fs`` is cheap: every name below is loaded on first use,
and nothing about tags and labels loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULE_OF = {
    "Config": "folksong.training.config",
    "FolksongError": "folksong.errors",
    "LabelSpace": "folksong.labels.space",
    "Probe": "folksong.training.probe",
    "Run": "folksong.runs",
    "Split": "folksong.splits",
    "TagTable": "folksong.tags.table",
    "Tagger": "folksong.models.tagger",
    "WordVectors": "folksong.embeddings.words",
    "clean": "folksong.tags.cleaning.clean",
    "compare": "folksong.evaluation.compare",
    "cross_validate": "folksong.evaluation.cross_validate",
    "embed_audio": "folksong.prediction.embed_audio",
    "embed_tags": "folksong.embeddings.tags",
    "evaluate": "folksong.evaluation.evaluate",
    "evaluate_unseen": "folksong.evaluation.unseen",
    "import_embeddings": "folksong.embeddings.import_embeddings",
    "load_tagger": "folksong.prediction.load_tagger",
    "read_catalogue": "folksong.audio.catalogue",
    "read_tags": "folksong.tags.sources.read_tags",
    "read_vectors": "folksong.embeddings.read_vectors",
    "scan_folder": "folksong.audio.catalogue",
    "search": "folksong.prediction.search",
    "resume": "folksong.training.resume",
    "run_experiment": "folksong.experiment.run_experiment",
    "train": "folksong.training.train",
    "tune_thresholds": "folksong.evaluation.tune_thresholds",
    "write_shards": "folksong.shards.writer",
}
_MODULES = {
    "cooccurrence": "folksong.tags.cooccurrence",
    "labels": "folksong.labels",
    "losses": "folksong.training.losses",
    "metrics": "folksong.metrics",
    "splits": "folksong.splits",
    "tags": "folksong.tags",
}

__all__ = [
    "Config",
    "FolksongError",
    "LabelSpace",
    "Probe",
    "Run",
    "Split",
    "TagTable",
    "Tagger",
    "WordVectors",
    "clean",
    "compare",
    "cooccurrence",
    "cross_validate",
    "embed_audio",
    "embed_tags",
    "evaluate",
    "evaluate_unseen",
    "import_embeddings",
    "labels",
    "load_tagger",
    "losses",
    "metrics",
    "read_catalogue",
    "read_tags",
    "read_vectors",
    "resume",
    "run_experiment",
    "scan_folder",
    "search",
    "splits",
    "tags",
    "train",
    "tune_thresholds",
    "write_shards",
]

if TYPE_CHECKING:
    from folksong import labels, metrics, splits, tags
    from folksong.audio.catalogue import read_catalogue, scan_folder
    from folksong.embeddings.import_embeddings import import_embeddings
    from folksong.embeddings.read_vectors import read_vectors
    from folksong.embeddings.tags import embed_tags
    from folksong.embeddings.words import WordVectors
    from folksong.errors import FolksongError
    from folksong.evaluation.compare import compare
    from folksong.evaluation.cross_validate import cross_validate
    from folksong.evaluation.evaluate import evaluate
    from folksong.evaluation.tune_thresholds import tune_thresholds
    from folksong.evaluation.unseen import evaluate_unseen
    from folksong.experiment.run_experiment import run_experiment
    from folksong.labels.space import LabelSpace
    from folksong.models.tagger import Tagger
    from folksong.prediction.embed_audio import embed_audio
    from folksong.prediction.load_tagger import load_tagger
    from folksong.prediction.search import search
    from folksong.runs import Run
    from folksong.shards.writer import write_shards
    from folksong.splits import Split
    from folksong.tags import cooccurrence
    from folksong.tags.cleaning.clean import clean
    from folksong.tags.sources.read_tags import read_tags
    from folksong.tags.table import TagTable
    from folksong.training import losses
    from folksong.training.config import Config
    from folksong.training.probe import Probe
    from folksong.training.resume import resume
    from folksong.training.train import train


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(_MODULES[name])
    elif name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module 'folksong' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
