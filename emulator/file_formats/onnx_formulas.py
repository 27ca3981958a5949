# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""ONNX's functions of single values, in double: [values] to [values]."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from axynq.emulator.file_formats.onnx_file import Array, Node


def logistic(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    return 1.0 / (1.0 + np.exp(-x))


def error_function(x: Array) -> Array:
    """The error function of each value."""
    return np.array([math.erf(value) for value in x])


def hard_swish(x: Array) -> Array:
    """``x`` times a line from 0 at -3 to 1 at 3."""
    return x * np.clip(x / 6 + 0.5, 0, 1)


def gelu(x: Array) -> Array:
    """``x`` times the normal distribution's function."""
    return 0.5 * x * (1 + error_function(x / math.sqrt(2)))


def gelu_by_tanh(x: Array) -> Array:
    """:func:`gelu`, approximated."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _gelu(x: Array, node: Node) -> Array:
    return gelu_by_tanh(x) if node.attribute("approximate", "none") == "tanh" else gelu(x)


def _softplus(x: Array, node: Node) -> Array:
    return np.logaddexp(x, 0.0)


def _hard_sigmoid(x: Array, node: Node) -> Array:
    return np.clip(node.attribute("alpha", 0.2) * x + node.attribute("beta", 0.5), 0, 1)


def _elu(x: Array, node: Node) -> Array:
    return np.where(x < 0, node.attribute("alpha", 1.0) * np.expm1(x), x)


def _selu(x: Array, node: Node) -> Array:
    alpha = node.attribute("alpha", 1.67326319217681884765625)
    gamma = node.attribute("gamma", 1.05070102214813232421875)
    return gamma * np.where(x < 0, alpha * np.expm1(x), x)


def _thresholded(x: Array, node: Node) -> Array:
    return np.where(x > node.attribute("alpha", 1.0), x, 0.0)


UNARY: dict[str, Callable[[Array, Node], Array]] = {
    "Relu": lambda x, node: np.maximum(x, 0),
    "Sigmoid": lambda x, node: logistic(x),
    "Tanh": lambda x, node: np.tanh(x),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda x, node: hard_swish(x),
    "QuickGelu": lambda x, node: x * logistic(node.attribute("alpha", 1.702) * x),
    "Gelu": _gelu,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": lambda x, node: (
        np.maximum(x, 0)
        + np.minimum(0, node.attribute("alpha", 1.0) * np.expm1(x / node.attribute("alpha", 1.0)))
    ),
    "Softplus": _softplus,
    "Softsign": lambda x, node: x / (1 + np.abs(x)),
    "Mish": lambda x, node: x * np.tanh(_softplus(x, node)),
    "ThresholdedRelu": _thresholded,
    "Abs": lambda x, node: np.abs(x),
    "Neg": lambda x, node: -x,
    "Exp": lambda x, node: np.exp(x),
    "Erf": lambda x, node: error_function(x),
    "Sqrt": lambda x, node: np.sqrt(x),
    "Reciprocal": lambda x, node: 1 / x,
    "Floor": lambda x, node: np.floor(x),
    "Ceil": lambda x, node: np.ceil(x),
    "Round": lambda x, node: np.rint(x),
    "Sign": lambda x, node: np.sign(x),
    "Sin": lambda x, node: np.sin(x),
    "Cos": lambda x, node: np.cos(x),
}
"""Functions of single values, in double."""
