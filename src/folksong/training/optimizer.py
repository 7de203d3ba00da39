"""Optimizers of torch.optim by name, with their arguments checked before any work is done."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from folksong.errors import nearest

OURS = ("params", "lr")  # arguments that folksong gives itself

IMPLEMENTATIONS = {"fused", "foreach", "capturable", "differentiable"}  # at most one of them can be chosen

# The names that Keras has for the same things, which settings of the earlier project use.
KERAS_NAMES = {"epsilon": "eps", "rho": "alpha"}


def optimizer_names() -> list[str]:
    """Return the names of the optimizers that can be chosen."""
    return sorted(
        name
        for name, value in vars(torch.optim).items()
        if inspect.isclass(value)
        and issubclass(value, torch.optim.Optimizer)
        and name not in ("Optimizer", "LBFGS")
    )


def check_optimizer(name: str, arguments: Mapping[str, Any]) -> None:
    """Check that torch.optim has such an optimizer and that it takes these arguments and values.

    Raises:
        ValueError: it does not; the message names the nearest known word.
    """
    known = optimizer_names()
    if name not in known:
        hint = nearest(name, known) or f"; there are {', '.join(known)}"
        raise ValueError(f"torch.optim has no optimizer {name!r}{hint}")
    translated = _translate(name, arguments)
    parameters = [key for key in inspect.signature(getattr(torch.optim, name)).parameters if key not in OURS]
    for key in translated:
        if key not in parameters:
            hint = "; it is called 'learning_rate' here" if key == "lr" else nearest(key, parameters)
            raise ValueError(f"the optimizer {name} has no argument {key!r}{hint}")
    try:
        getattr(torch.optim, name)([Parameter(torch.zeros(1))], **translated)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"the optimizer {name} does not take {dict(arguments)}: {error}") from error


def build_optimizer(
    parameters: Iterable[Parameter],
    name: str,
    learning_rate: float,
    arguments: Mapping[str, Any],
    *,
    fused: bool = True,
) -> torch.optim.Optimizer:
    """Return the optimizer, for arguments that `check_optimizer` accepts.

    With `fused` it is the implementation that goes through memory once, where there is one.
    """
    kind = getattr(torch.optim, name)
    known = inspect.signature(kind).parameters
    translated = _translate(name, arguments)
    if fused and "fused" in known and not translated.keys() & IMPLEMENTATIONS:
        translated["fused"] = True
    groups: Any = list(parameters)
    default = known["weight_decay"].default if "weight_decay" in known else 0
    if translated.get("weight_decay", default):
        groups = _decayed_and_not(groups)
    optimizer: torch.optim.Optimizer = kind(groups, lr=learning_rate, **translated)
    return optimizer


def _decayed_and_not(parameters: list[Parameter]) -> list[dict[str, Any]]:
    """Return two groups: weights, which decay, and biases and what batch norm has learned, which have no need to."""
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def _translate(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments under torch's names; lists become tuples (betas)."""
    known = inspect.signature(getattr(torch.optim, name)).parameters
    translated: dict[str, Any] = {}
    betas = [arguments.get("beta_1"), arguments.get("beta_2")]
    for key, value in arguments.items():
        if key in ("beta_1", "beta_2") and "betas" in known:
            default = known["betas"].default
            translated["betas"] = tuple(d if b is None else b for b, d in zip(betas, default, strict=True))
        else:
            translated[key if key in known else KERAS_NAMES.get(key, key)] = (
                tuple(value) if isinstance(value, list) else value
            )
    return translated


def minimise(objective: Callable[[], Tensor], variables: Sequence[Tensor], **options: Any) -> None:
    """Move the variables by L-BFGS to where the objective is least; options are those of `torch.optim.LBFGS`."""
    optimizer = torch.optim.LBFGS(list(variables), line_search_fn="strong_wolfe", **options)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = objective()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
