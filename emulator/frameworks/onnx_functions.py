"""Functions of single values that the graph has, told by what they give.

Exporters write GELU, hard swish and others as chains of simple operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from axynq.emulator.file_formats.onnx_file import Array
from axynq.emulator.model import graph

_FAR = np.geomspace(9, 1e30, 600)
GRID = np.concatenate([-_FAR[::-1], np.linspace(-9, 9, 1441), _FAR])
"""Where functions are compared: closely around 0, and far out, where limits may be."""


def error_function(x: Array) -> Array:
    """The error function of each value, [values]."""
    return np.array([math.erf(value) for value in x])


_KNOWN: tuple[tuple[graph.LookupKind, float, Callable[[Array], Array]], ...] = (
    ("relu", 0.0, lambda x: np.maximum(x, 0)),
    ("relu6", 0.0, lambda x: np.clip(x, 0, 6)),
    ("relu_n1_to_1", 0.0, lambda x: np.clip(x, -1, 1)),
    ("relu_0_to_1", 0.0, lambda x: np.clip(x, 0, 1)),
    ("hard_swish", 0.0, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ("logistic", 0.0, lambda x: 1 / (1 + np.exp(-x))),
    ("tanh", 0.0, np.tanh),
    ("absolute", 0.0, np.abs),
    ("exponential", 0.0, np.exp),
    ("gelu", 0.0, lambda x: 0.5 * x * (1 + error_function(x / math.sqrt(2)))),
    (
        "gelu", 1.0,
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
)  # fmt: skip
"""Functions that the graph has, with their ``alpha``."""

with np.errstate(over="ignore"):
    SAMPLED = [(kind, alpha, function(GRID)) for kind, alpha, function in _KNOWN]


def known_function(samples: Array) -> tuple[graph.LookupKind, float] | None:
    """Kind and ``alpha`` of a function that the graph has a name for."""
    # What is computed by way of infinities, as exp(x) / (1 + exp(x)) far out, says nothing there.
    told = ~np.isnan(samples)
    for kind, alpha, known in SAMPLED:
        if np.allclose(samples[told], known[told], rtol=1e-5, atol=1e-5):
            return kind, alpha
    return None
