"""Label spaces, which a classifier predicts, and the builders that make them from tag tables."""

from folksong.labels.analysis.cooccurrence import LabelCooccurrence, cooccurrence, doubtful
from folksong.labels.analysis.diff import diff
from folksong.labels.analysis.explain import explain
from folksong.labels.analysis.map import write_map
from folksong.labels.analysis.pairs import (
    Pair,
    PairControls,
    PairScores,
    control_scores,
    read_pairs,
    score_pairs,
)
from folksong.labels.analysis.stability import stability
from folksong.labels.curation import Action, CurationLog, apply_actions, apply_logs, read_log
from folksong.labels.genres import (
    GenreChoice,
    keep_genres,
    propose_genres,
    propose_tags,
    read_genres,
    write_genres,
)
from folksong.labels.hybrid import hybrid
from folksong.labels.kmeans import kmeans
from folksong.labels.lastgenre import lastgenre
from folksong.labels.npmi import npmi
from folksong.labels.skipgram import skipgram
from folksong.labels.space import Coverage, Label, LabelSpace
from folksong.labels.spherical_kmeans import SphericalKMeans
from folksong.labels.top import SUBJECTIVE_TAGS, all_tags, drop, main_tags, top

__all__ = [
    "SUBJECTIVE_TAGS",
    "Action",
    "Coverage",
    "CurationLog",
    "GenreChoice",
    "Label",
    "LabelCooccurrence",
    "LabelSpace",
    "Pair",
    "PairControls",
    "PairScores",
    "SphericalKMeans",
    "all_tags",
    "apply_actions",
    "apply_logs",
    "control_scores",
    "cooccurrence",
    "diff",
    "doubtful",
    "drop",
    "explain",
    "hybrid",
    "keep_genres",
    "kmeans",
    "lastgenre",
    "main_tags",
    "npmi",
    "propose_genres",
    "propose_tags",
    "read_genres",
    "read_log",
    "read_pairs",
    "score_pairs",
    "skipgram",
    "stability",
    "top",
    "write_genres",
    "write_map",
]
