"""Which loss a training minimises, and what it makes of weights and of absent labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from folksong.errors import FolksongError, nearest

KINDS = ("bce", "semantic", "asymmetric")
WEIGHTS = ("ignore", "soft", "sample")


@dataclass(frozen=True)
class LossOptions:
    """A loss and its numbers.

    Args:
        kind: ``bce``, ``semantic`` (needs label vectors) or ``asymmetric``.
        gamma: semantic: weight of the distance in meaning; 0 is plain binary cross-entropy.
        weights: what the tags' weights (0 to 100) are for: ``ignore``; ``soft``: targets of weight / 100; ``sample``:
            the weight / 100 multiplies the loss of a label that is there.
        absent_weight: how much an absent label counts; below 1, absent means perhaps unknown.
        label_smoothing: ε: targets t (1 − ε) + ε / 2.
        positive_focus: asymmetric: γ₊.
        negative_focus: asymmetric: γ₋.
        margin: asymmetric: negatives below this probability add nothing.

    Raises:
        FolksongError: an unknown word, or a number out of range.
    """

    kind: str = "bce"
    gamma: float = 1.0
    weights: str = "ignore"
    absent_weight: float = 1.0
    label_smoothing: float = 0.0
    positive_focus: float = 0.0
    negative_focus: float = 4.0
    margin: float = 0.05

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("weights", WEIGHTS)):
            value = getattr(self, name)
            if value not in known:
                raise FolksongError(
                    f"loss: {name} {value!r}{nearest(value, known)}; one of {', '.join(known)}"
                )
        limits = {
            "gamma": (0, float("inf")),
            "absent_weight": (0, 1),
            "label_smoothing": (0, 0.999),
            "positive_focus": (0, 100),
            "negative_focus": (0, 100),
            "margin": (0, 0.999),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise FolksongError(f"loss: {name} must lie in {least} to {most}, not {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> LossOptions:
        """Read what `to_dict` returned."""
        return cls(**content)
