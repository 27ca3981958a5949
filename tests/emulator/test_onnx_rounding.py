# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where the contract and onnxruntime round differently, and by how much (docs/onnx.md)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from axynq.emulator import reference
from axynq.emulator.file_formats.onnx_reader import parse_onnx_model
from axynq.emulator.model.quantisation import layer_factors
from tests.emulator.onnx_networks import Array, channels_last, make, run

FILTERS, CHANNELS = 6, 5


class Scales(NamedTuple):
    """Of a convolution's input, weights (for each filter) and output."""

    x: float
    w: Array
    y: float

    @property
    def multipliers(self) -> Array:
        """As onnxruntime has them, in float32."""
        return np.float32(self.x) * self.w / np.float32(self.y)


class Compared(NamedTuple):
    """A QLinearConv's results, [images, rows, columns, filters]."""

    theirs: Array
    qdq: Array
    """Of the same network in QDQ, optimised."""
    ours: Array
    accumulators: Array
    zero_point: int
    right: Array
    """[filters]: bits that the contract shifts to the right behind the multiplication."""


def compared(scales: Scales, seed: int) -> Compared:
    rng = np.random.default_rng(seed)
    constants: dict[str, Array] = {
        "xs": np.asarray(scales.x, np.float32), "xz": np.int8(rng.integers(-128, 128)),
        "ws": scales.w, "wz": np.zeros(FILTERS, np.int8),
        "ys": np.asarray(scales.y, np.float32), "yz": np.int8(rng.integers(-20, 20)),
        "w": rng.integers(-127, 128, (FILTERS, CHANNELS, 2, 2)).astype(np.int8),
        "b": rng.integers(-3000, 3000, FILTERS).astype(np.int32),
        "bs": np.float32(scales.x) * scales.w, "bz": np.zeros(FILTERS, np.int32),
    }  # fmt: skip
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
    integers = [helper.make_node("QLinearConv", names, ["y"])]
    dequantise = [
        helper.make_node("DequantizeLinear", [name, f"{name[0]}s", f"{name[0]}z"], [f"{name}f"],
                         **({"axis": 0} if name != "x" else {}))
        for name in ("x", "w", "b")
    ]  # fmt: skip
    reals = [*dequantise, helper.make_node("Conv", ["xf", "wf", "bf"], ["yf"]),
           helper.make_node("QuantizeLinear", ["yf", "ys", "yz"], ["y"])]  # fmt: skip
    x = rng.integers(-128, 128, (4, CHANNELS, 9, 9)).astype(np.int8)

    def of(nodes: list[Any], optimised: bool) -> Array:
        proto = make(nodes, ["x"], [x.shape], ["y"], constants, 17, 3, 3)
        return channels_last(run(proto, {"x": x}, optimised)[0]).astype(np.int64)

    proto = make(integers, ["x"], [x.shape], ["y"], constants, 17, 3, 3)
    model = parse_onnx_model(proto.SerializeToString())
    (layer,) = model.layers
    given_x = channels_last(x)
    return Compared(
        of(integers, False),
        of(reals, True),
        reference.run(model, given_x)[model.output_index].astype(np.int64),
        reference.accumulators(model, layer, given_x),
        int(constants["yz"]),
        np.array([max(-factor.shift, 0) for factor in layer_factors(model, layer)], np.int64),
    )


scales_of_any_size = st.builds(
    lambda x, w, y: Scales(x, np.array(w, np.float32), y),
    st.floats(0.001, 0.1),
    st.lists(st.floats(0.0005, 0.02), min_size=FILTERS, max_size=FILTERS),
    st.floats(0.01, 1.0),
)


@settings(max_examples=30, deadline=None)
@given(scales_of_any_size, st.integers(0, 2**16))
def test_what_differs_lies_near_a_half(scales: Scales, seed: int) -> None:
    found = compared(scales, seed)
    # onnxruntime: one multiplication in float32, halves to even.
    scaled = found.accumulators.astype(np.float32) * scales.multipliers
    expected = np.clip(np.rint(scaled) + found.zero_point, -128, 127)
    np.testing.assert_array_equal(found.theirs, expected)
    # QDQ: of integers or of real numbers, as the processor has it.
    assert np.abs(found.qdq - expected).max() <= 1
    # The contract: to 1 / 2**right, then to whole numbers.
    difference = np.abs(found.ours - found.theirs)
    assert difference.max() <= 1
    exact = found.accumulators * scales.multipliers.astype(np.float64)
    from_half = np.abs(np.abs(exact - np.floor(exact)) - 0.5)
    reach = 0.5 ** (found.right + 1.0) + np.abs(exact) * 2.0**-22
    assert (from_half <= reach)[difference > 0].all()


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=FILTERS, max_size=FILTERS), st.integers(0, 2**16))
def test_nothing_differs_where_nothing_is_rounded(powers: list[int], seed: int) -> None:
    """Accumulators times 1, 2 or 4."""
    found = compared(Scales(2.0**-4, 2.0 ** (np.array(powers, np.float32) - 10), 2.0**-14), seed)
    np.testing.assert_array_equal(found.ours, found.theirs)
    np.testing.assert_array_equal(found.ours, found.qdq)


@pytest.mark.parametrize("right", [7, 8, 9, 10])
def test_how_often_values_differ(right: int) -> None:
    """About 1 in 2**(right + 1), the share of values that the first rounding brings to a half and
    over it."""
    shares = []
    for seed in range(6):
        multiplier = 0.75 * 2.0**-right
        scales = Scales(0.25, np.full(FILTERS, multiplier * 4 * 0.5, np.float32), 0.5)
        found = compared(scales, seed)
        assert (found.right == right).all()
        inside = np.abs(found.theirs - found.zero_point) < 100
        shares.append((found.ours != found.theirs)[inside].mean())
    assert math.isclose(float(np.mean(shares)), 0.5 ** (right + 1), rel_tol=0.9)
