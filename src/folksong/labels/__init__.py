"""What is classified: label spaces and the builders that make them from tag tables."""

from __future__ import annotations

from folksong.labels.coverage import Coverage, coverage
from folksong.labels.popular import SUBJECTIVE_TAGS, drop, top
from folksong.labels.space import Label, LabelSpace

__all__ = ["SUBJECTIVE_TAGS", "Coverage", "Label", "LabelSpace", "coverage", "drop", "top"]
