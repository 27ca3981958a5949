# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How to retrain."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from typing import Any, Literal, get_args

from axynq.emulator.errors import DataError

MethodName = Literal[
    "behavioural",
    "multiplier-aware",
    "lut-1d",
    "lut-2d",
    "error-model",
    "weight-noise",
    "gaussian",
    "plain",
]

OptimiserName = Literal["sgd", "adam"]
OPTIMISERS: tuple[OptimiserName, ...] = ("sgd", "adam")

Keep = Literal["best", "last"]
KEEP: tuple[Keep, ...] = ("best", "last")

SMOOTHING = 32

_RANGES = {
    "epochs": (0, inf),
    "batch": (1, inf),
    "rate": (0, inf),
    "warmup": (0, 1),
    "momentum": (0, 1),
    "decay": (0, inf),
    "clip": (0, inf),
    "distillation": (0, 1),
    "temperature": (1e-3, inf),
    "samples": (1, inf),
    "validation": (0, inf),
    "patience": (1, inf),
    "seed": (0, 2**63 - 1),
}
"""Lowest and highest values of the numbers."""


@dataclass(frozen=True)
class RetrainOptions:
    """The recipe. Two runs with the same recipe on the same processor give the same network."""

    method: MethodName = "behavioural"
    fitted: bool = False
    """The network's weights are chosen for the plan's multipliers already, as `axynq tune` does:
    multiplier-aware training goes on from what they amount to. Other methods need not know."""
    smoothing: int = SMOOTHING
    """Operands on either side over which products are averaged before their slope is taken, 0 to
    126, for the methods by slopes."""
    epochs: int = 5
    batch: int = 128
    rate: float = 1e-3
    """Learning rate at the start; it falls to nothing along a cosine."""
    warmup: float = 0.0
    """Share of the steps, 0 to 1, in which the rate first rises from nothing: under large errors
    the first steps at a high rate can ruin a network."""
    optimiser: OptimiserName = "sgd"
    """Stochastic gradient descent with Nesterov momentum; or Adam, whose steps are as long
    in a layer of small gradients as in others: shorter schedules at a lower rate."""
    momentum: float = 0.9
    """Of ``sgd``."""
    decay: float = 0.0
    """Weight decay."""
    clip: float | None = None
    """Gradients longer than this (of all weights together) are cut to it."""
    distillation: float = 0.0
    """Share of the loss that is the distance to the exact network's outputs, 0 to 1."""
    temperature: float = 4.0
    """Of the distillation's softmax."""
    augment: bool = False
    """Shift images by up to four pixels and mirror them at random."""
    samples: int = 1024
    """Samples from which errors are measured, for the methods that need statistics."""
    remeasure: bool = True
    """Measure errors again before each epoch, for the methods that need statistics: they depend on
    the weights. The paper measures once."""
    validation: int = 2000
    """Training examples held out, evenly spread, on which every epoch is measured."""
    keep: Keep = "best"
    """The epoch that is kept: the best on the examples held out, or the last. Where the network was
    first trained on those examples too, they favour early epochs, which still remember them."""
    patience: int | None = None
    """Stop after so many epochs without a better one."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises:
        DataError: a word is unknown, or a number is out of range.
        """
        known = {"method": get_args(MethodName), "optimiser": OPTIMISERS, "keep": KEEP}
        for name, words in known.items():
            if (word := getattr(self, name)) not in words:
                raise DataError(f"unknown {name} '{word}' of retraining; known: {', '.join(words)}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                range_ = f"at least {low:g}" if high == inf else f"{low:g} to {high:g}"
                raise DataError(f"{name} of retraining is {range_}, not {value}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
