"""A head as scikit-learn's estimators are: ``fs.Probe().fit(X, Y).predict_proba(X)``.

With scikit-learn installed it works in its pipelines, searches and cross-validations; without it, as it is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from folksong.errors import FolksongError
from folksong.models.heads import EmbeddingHead
from folksong.training.config import LossSettings
from folksong.training.fit_head import Examples, fit_head
from folksong.training.losses import TaggingLoss, is_exclusive

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

    HAS_SKLEARN = True
except ImportError:
    HAS_SKLEARN = False

    class BaseEstimator:  # type: ignore[no-redef]
        """What scikit-learn's does of parameters."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            return {name: getattr(self, name) for name in ("n_hidden", "n_members", "random_state", "parts")}

        def set_params(self, **params: Any) -> "BaseEstimator":
            for name, value in params.items():
                if name not in self.get_params():
                    raise ValueError(f"a Probe has no parameter {name!r}")
                setattr(self, name, value)
            return self

    class ClassifierMixin:  # type: ignore[no-redef]
        """Nothing."""


Features = npt.NDArray[np.floating]


class Probe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A linear or shallow classifier of embeddings that chooses its own regularisation, and is calibrated.

    Args:
        n_hidden: units of a hidden layer; 0 for a linear one.
        n_members: with a hidden layer: how many networks, from other first weights, are averaged.
        random_state: seed of folds, first weights and batches: a whole number; None is 0.
        parts: features of each of several extractors side by side; see `fit_head`.

    Attributes:
        classes_: the classes, or the numbers of the labels.
        head_: the `EmbeddingHead`.
        penalty_: the λ that was chosen.
        held_out_loss_: mean log-loss of clips that were held out in the choice, by which embeddings can be chosen.

    >>> X = np.random.default_rng(0).normal(size=(60, 8))
    >>> Y = np.stack([X[:, 0] > 0, X[:, 1] > 1], axis=1)
    >>> Probe().fit(X, Y).predict_proba(X[:2]).shape
    (2, 2)
    """

    def __init__(
        self,
        n_hidden: int = 0,
        n_members: int = 5,
        random_state: int | None = 0,
        parts: Sequence[int] = (),
    ) -> None:
        self.n_hidden = n_hidden
        self.n_members = n_members
        self.random_state = random_state
        self.parts = parts

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> "Probe":  # noqa: N803 (scikit-learn's names)
        """Learn from embeddings (n, n_features) and their classes (n,), or labels (n, n_labels) of 0 and 1.

        Raises:
            ValueError: shapes do not match, or numbers are not finite.
        """
        x, labels = self._validated(X, y)
        if labels.ndim == 1:
            self.classes_, numbers = np.unique(labels, return_inverse=True)
            targets = np.eye(len(self.classes_), dtype=np.float32)[numbers]
        else:
            self.classes_ = np.arange(labels.shape[1])
            targets = labels.astype(np.float32)
            if not np.isin(targets, (0, 1)).all():
                raise ValueError("labels (n, n_labels) must be 0 or 1")
        self._is_multilabel = labels.ndim == 2
        head = EmbeddingHead(
            x.shape[1],
            targets.shape[1],
            n_hidden=self.n_hidden,
            n_members=self.n_members if self.n_hidden else 1,
            exclusive=is_exclusive(targets),
        )
        wanted = torch.from_numpy(targets)
        fitted = fit_head(
            head,
            Examples(torch.from_numpy(x), wanted, wanted),
            None,
            TaggingLoss(LossSettings()),
            parts=self.parts,
            seed=_seed(self.random_state),
        )
        self.head_, self.penalty_, self.held_out_loss_ = fitted.head, fitted.penalty, fitted.held_out_loss
        return self

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return the probability of each class or label: (n, n_classes) or (n, n_labels)."""
        if HAS_SKLEARN:
            check_is_fitted(self, "head_")
            x = validate_data(self, X, dtype=np.float32, reset=False)
        elif not hasattr(self, "head_"):
            raise FolksongError("this Probe is not fitted yet")
        else:
            x = np.asarray(X, np.float32)
        with torch.inference_mode():
            logits = self.head_(torch.from_numpy(np.ascontiguousarray(x))).double()
        scores = torch.sigmoid(logits)
        if not self._is_multilabel:
            scores = scores / scores.sum(dim=1, keepdim=True)
        found: npt.NDArray[np.float64] = scores.numpy()
        return found

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:  # noqa: N803
        """Return the likeliest class (n,), or the labels whose probability is at least one half (n, n_labels)."""
        scores = self.predict_proba(X)
        found: npt.NDArray[Any] = (
            (scores >= 0.5).astype(int) if self._is_multilabel else self.classes_[scores.argmax(axis=1)]
        )
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _validated(
        self,
        X: npt.ArrayLike,  # noqa: N803
        y: npt.ArrayLike,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        if not HAS_SKLEARN:
            x, labels = np.ascontiguousarray(X, np.float32), np.asarray(y)
            if x.ndim != 2 or labels.ndim not in (1, 2) or len(x) != len(labels) or not len(x):
                raise FolksongError(
                    f"embeddings of shape {x.shape} do not fit labels of shape {labels.shape}"
                )
            if not np.isfinite(x).all():
                raise FolksongError("some embeddings are no finite numbers")
            return x, labels
        x, labels = validate_data(self, X, y, dtype=np.float32, multi_output=True)
        check_classification_targets(labels)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = column_or_1d(labels, warn=True)
        return np.ascontiguousarray(x), labels


def _seed(random_state: Any) -> int:
    """Return a seed; a generator of NumPy's is drawn from, as scikit-learn's estimators do."""
    if random_state is None:
        return 0
    return int(random_state.randint(2**31)) if hasattr(random_state, "randint") else int(random_state)
