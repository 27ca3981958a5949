# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Tables of operators that turn each value into another, against TFLite, for all 256 values."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.tflite_reader import parse_model
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import inverse_square_root
from axynq.emulator.model.lookups import lookup_table
from tests.any_network import FIXED
from tests.emulator import runtime
from tests.networks import tensor

ALL = np.arange(-128, 128).astype(np.int8)
KINDS = [kind for kind in get_args(graph.LookupKind) if kind != "table"]


def one_lookup(
    kind: graph.LookupKind,
    source: tuple[float, int],
    target: tuple[float, int],
    alpha: float = 0.0,
) -> graph.Model:
    tensors = tensor("x", (256,), *source), tensor("y", (256,), *target)
    op = graph.Lookup(f"{kind}_0", (0,), 1, kind, alpha)
    return graph.Model("lookup", tensors, (op,), (0,), (1,))


def random_lookup(kind: graph.LookupKind, rng: np.random.Generator) -> graph.Model:
    def scale() -> float:
        return float(np.exp(rng.uniform(np.log(0.002), np.log(0.5))))

    source, target = (
        (scale(), int(rng.integers(-128, 128))),
        (scale(), int(rng.integers(-128, 128))),
    )
    alpha = 0.0
    if kind == "logistic":
        target = FIXED[kind]
    elif kind == "reciprocal_square_root":
        source = (source[0], -128)
    elif kind == "hard_swish":
        target = (max(target[0], source[0] / 100), target[1])
    elif kind == "leaky_relu":
        alpha = float(np.float32(rng.uniform(-0.5, 1.5)))
    elif kind == "gelu":
        alpha = float(rng.integers(2))
    elif kind == "exponential":
        source = (source[0] / 10, source[1])
    return one_lookup(kind, source, target, alpha)


@pytest.mark.parametrize("kind", KINDS)
def test_tables_equal_tflite(kind: graph.LookupKind) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(40):
        model = random_lookup(kind, rng)
        expected = runtime.run("tflite_runtime", serialise_model(model), ALL[None])[0]
        assert np.array_equal(lookup_table(model, model.operators[0]), expected), model.tensors


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "absolute", "quantise"])
@pytest.mark.parametrize("zero_point", [-128, 127])
def test_results_near_halves(kind: graph.LookupKind, zero_point: int) -> None:
    """Where it shows whether scales are divided in float32 or in double."""
    rng = np.random.default_rng(5)
    for _ in range(60):
        scale = np.float32(rng.uniform(0.01, 0.1))
        largest, half = int(rng.integers(64, 256)), int(rng.integers(20, 120)) + 0.5
        near = np.float32(float(scale) * largest / half)
        target = float(np.nextafter(near, np.float32(rng.integers(2))))
        model = one_lookup(kind, (float(scale), zero_point), (target, 0), 1.0)
        expected = runtime.run("tflite_runtime", serialise_model(model), ALL[None])[0]
        assert np.array_equal(lookup_table(model, model.operators[0]), expected)


@pytest.mark.parametrize("zero_point", [-128, 0, 40])
@pytest.mark.parametrize("near", [2**-18, 2**-20, -(2**-22)])
def test_hard_swish_of_factors_just_below_a_power_of_two(near: float, zero_point: int) -> None:
    """In 16 bits they would round up to one that does not fit."""
    source = float(np.float32(0.01))
    target = float(np.float32(source * (1 + near)))
    model = one_lookup("hard_swish", (source, zero_point), (target, 3))
    expected = runtime.run("tflite_runtime", serialise_model(model), ALL[None])[0]
    assert np.array_equal(lookup_table(model, model.operators[0]), expected)


def test_exponentials_beyond_32_bits_saturate() -> None:
    model = one_lookup("exponential", (0.5, -128), (0.001, 0))
    table = lookup_table(model, model.operators[0])
    assert (np.diff(table.astype(np.int64)) >= 0).all()
    assert table[-1] == 127


def test_inverse_square_roots_are_near() -> None:
    for value in [*range(1, 3000), 2**29 - 1, 2**29, 2**31 - 1]:
        multiplier, shift = inverse_square_root(value)
        assert 0 < multiplier < 2**31
        assert abs(multiplier / 2**31 * 2.0**shift * value**0.5 - 1) < 2e-6


@pytest.mark.parametrize(
    ("kind", "source", "target", "reason"),
    [
        ("logistic", (0.1, 0), (0.01, 0), "output must have scale 1/256 and zero point -128"),
        ("hard_swish", (0.1, 0), (0.0001, 0), "below 1/128 of the input's"),
        ("reciprocal_square_root", (0.1, 0), (0.1, 0), "the input may be negative"),
    ],
)
def test_what_tflite_refuses(
    kind: graph.LookupKind, source: tuple[float, int], target: tuple[float, int], reason: str
) -> None:
    content = serialise_model(one_lookup(kind, source, target))
    with pytest.raises(ModelError, match=reason):
        parse_model(content)
    with pytest.raises((RuntimeError, ValueError)):
        runtime.run("tflite_runtime", content, ALL[None])
