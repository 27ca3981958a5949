# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Functions of single values that the graph has, told by what they give.

Exporters write GELU, hard swish and others as chains of simple operators.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from axynq.emulator.file_formats.onnx_file import Array
from axynq.emulator.file_formats.onnx_formulas import gelu, gelu_by_tanh, hard_swish, logistic
from axynq.emulator.model import graph

_FAR = np.geomspace(9, 1e30, 600)
GRID = np.concatenate([-_FAR[::-1], np.linspace(-9, 9, 1441), _FAR])
"""Where functions are compared: closely around 0, and far out, where limits may be."""


_KNOWN: tuple[tuple[graph.LookupKind, float, Callable[[Array], Array]], ...] = (
    ("relu", 0.0, lambda x: np.maximum(x, 0)),
    ("relu6", 0.0, lambda x: np.clip(x, 0, 6)),
    ("relu_n1_to_1", 0.0, lambda x: np.clip(x, -1, 1)),
    ("relu_0_to_1", 0.0, lambda x: np.clip(x, 0, 1)),
    ("hard_swish", 0.0, hard_swish),
    ("logistic", 0.0, logistic),
    ("tanh", 0.0, np.tanh),
    ("absolute", 0.0, np.abs),
    ("exponential", 0.0, np.exp),
    ("gelu", 0.0, gelu),
    ("gelu", 1.0, gelu_by_tanh),
)
"""Functions that the graph has, with their ``alpha``."""

with np.errstate(over="ignore"):
    _SAMPLED = [(kind, alpha, function(GRID)) for kind, alpha, function in _KNOWN]


def known_function(samples: Array) -> tuple[graph.LookupKind, float] | None:
    """Kind and ``alpha`` of a function that the graph has a name for."""
    # What is computed by way of infinities, as exp(x) / (1 + exp(x)) far out, says nothing there.
    told = ~np.isnan(samples)
    for kind, alpha, known in _SAMPLED:
        if np.allclose(samples[told], known[told], rtol=1e-5, atol=1e-5):
            return kind, alpha
    return None
