# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What operators of quantised ONNX networks may not say: the message, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.emulator.onnx_networks import Array, Network
from tests.emulator.test_onnx import (
    MAP,
    NO_ROI,
    SEQUENCE,
    Integers,
    chain,
    constant,
    one,
    qlinear,
    reals,
    then,
    whole,
    x_and_last,
)
from tests.emulator.test_onnx_refused import refused

Build = Callable[[Network], Any]


class Refused(NamedTuple):
    """A network of one operator or few that is refused."""

    build: Build
    message: str
    shapes: Sequence[Sequence[int]] = (MAP,)
    opset: int = 17
    loose: bool = False
    """Whether nothing between the ends is quantised."""


def resize(*scales: float, opset: int = 17, **attributes: Any) -> Build:
    more = (NO_ROI, np.float32(scales)) if opset > 10 else (np.float32(scales),)
    return one("Resize", *more, **attributes)


def plain(values: Array) -> Build:
    """A constant that is not quantised."""
    return lambda net: net.add("Identity", values)


def conv_with(bias: Array, scale: Any) -> Build:
    """A Conv whose bias is behind a DequantizeLinear."""
    return chain(
        constant(bias, scale), lambda net: net.add("Conv", "x0", reals(6, 6, 1, 1), net.last)
    )


CONV = one("Conv", reals(6, 6, 1, 1))
FILTERS = np.ones((6, 6, 1, 1), np.int8)

MOVEMENTS = [
    Refused(one("Reshape"), "lacks its shape"),
    Refused(one("Reshape", whole(0, -1, -1)), "has shape [1, -1, -1]"),
    Refused(one("Reshape", whole(0, -2)), "has shape [1, -2]"),
    Refused(one("Reshape", whole(0, 5, -1)), "cannot turn [1, 6, 9, 8] into [1, 5, -1]"),
    Refused(one("Reshape", whole(1, 431)), "cannot turn [1, 6, 9, 8] into [1, 431]"),
    Refused(one("Reshape", "x1"), "needs its shape stored in the file", (MAP, MAP)),
    Refused(one("Squeeze", whole(1)), "leaves out axes [1] of [1, 6, 9, 8]"),
    Refused(one("Squeeze", whole(9)), "leaves out axes [9] of [1, 6, 9, 8]"),
    Refused(one("Unsqueeze"), "lacks its axes"),
    Refused(one("Unsqueeze", whole(5)), "puts in axes [5] among 4"),
    Refused(one("Unsqueeze", whole(2, -4)), "puts in axes [2, -4] among 4"),
    Refused(one("Flatten", axis=5), "has axis 5 for 4 axes"),
    Refused(one("Transpose", perm=[0, 1, 2]), "has perm [0, 1, 2] for 4 axes"),
    Refused(one("Transpose", perm=[1, 0, 2, 3]), "moves the axis of images"),
    Refused(one("Transpose", perm=[1, 0, 3, 2]), "moves the axis of images", ((1, 1, 9, 8),)),
    Refused(
        chain(one("Reshape", whole(6, 1, 72)), then("Transpose", perm=[1, 0, 2])),
        "moves the axis of images",
    ),
    Refused(one("Slice", "", whole(5)), "lacks its starts or ends"),
    Refused(one("Slice", whole(1, 2), whole(5)), "lacks its starts or ends"),
    Refused(one("Slice", whole(0), whole(5), whole(7)), "has axes [7] and steps [1] for 4 axes"),
    Refused(
        one("Slice", whole(0), whole(5), whole(1), whole(0)), "has axes [1] and steps [0] for 4"
    ),
    Refused(one("Slice", whole(5), whole(5), whole(1)), "leaves no values of [1, 6, 9, 8]"),
    Refused(one("Split", axis=7, outputs=2), "has axis 7 for 4 axes"),
    Refused(
        one("Split", whole(1, 3, 3), axis=1, outputs=3),
        "has parts of [1, 3, 3] for 6 values and 3 outputs",
    ),
    Refused(one("Gather", whole(1), axis=9), "has indices of shape [1]"),
    Refused(one("Gather", np.array([[1, 2]]), axis=1), "has indices of shape [1, 2]"),
    Refused(one("Gather", whole(1, 2, 5), axis=1), "do not lie at equal distances"),
    Refused(one("Gather", whole(1, 1), axis=1), "do not lie at equal distances"),
    Refused(one("Gather", whole(4, 6), axis=1), "do not lie at equal distances"),
    Refused(one("Pad", whole(*[0, 0, 1, 1] * 2), mode="reflect"), "pads in mode 'reflect'"),
    Refused(one("Pad"), "lacks its amounts"),
    Refused(one("Pad", whole(1, 2, 3)), "has amounts [1, 2, 3] for 4 axes"),
    Refused(one("Pad", whole(1, *[0] * 7)), "pads images, which is not supported"),
    Refused(one("Pad", whole(0, 0, 40_000, 40_000, 0, 0, 0, 0)), "would have shape [40009, 40008"),
    Refused(one("DepthToSpace", blocksize=4), "has blocks of 4 for 6 channels"),
    Refused(
        one("DepthToSpace", blocksize=2, mode="RCD"), "has mode 'RCD'", ((1, 8, 3, 3),)
    ),
    Refused(one("SpaceToDepth", blocksize=2), "has blocks of 2 for a map of 9 x 8"),
    Refused(
        one("Resize", "", "", whole(1, 6, 18, 16), keep_aspect_ratio_policy="not_larger"),
        "keeps the aspect ratio", opset=18,
    ),
    Refused(resize(1, 2, 2), "has 3 scales for 4 axes"),
    Refused(resize(1, 2, 1, 1), "resizes more than rows and columns"),
    Refused(resize(1, 2, 1, 1, mode="linear"), "resizes more than rows and columns"),
    Refused(
        resize(1, 1, 2, 2, coordinate_transformation_mode="tf_crop_and_resize"),
        "has coordinates 'tf_crop_and_resize'",
    ),
    Refused(
        resize(1, 1, 2, 2, mode="linear", coordinate_transformation_mode="tf_crop_and_resize"),
        "has coordinates 'tf_crop_and_resize'",
    ),
    Refused(
        resize(1, 1, 2, 2, mode="linear", antialias=1), "has antialias, which is not", opset=18
    ),
    Refused(resize(1, 1, 2, 2, nearest_mode="odd"), "has nearest_mode 'odd'"),
    Refused(
        resize(1, 1, 2, 2, nearest_mode="ceil", coordinate_transformation_mode="asymmetric"),
        "(coordinates 'asymmetric', nearest_mode 'ceil', [9, 8] to [18, 16]): export with",
    ),
    Refused(one("Dropout", outputs=2), "gives its mask"),
    Refused(one("Cast", to=6), "casts computed numbers to another type than float32"),
    Refused(one("Concat", "x0", axis=7), "joins what has different axes"),
    Refused(one("Concat", "x1", axis=1), "joins what has different axes", (MAP, SEQUENCE)),
    Refused(one("Concat", "x1", axis=1), "joins [1, 6, 9, 8] and [1, 6, 9, 7]",
            (MAP, (1, 6, 9, 7))),
    Refused(one("Concat", "x0", axis=0), "joins images, which is not supported"),
]  # fmt: skip

LAYERS = [
    Refused(one("Conv"), "lacks input 1"),
    Refused(one("Conv", "x1"), "its weights are computed; only constant ones",
            (MAP, (6, 6, 1, 1))),
    Refused(one("Conv", reals(6, 5, 1, 1)), "has 6 filters of 5 channels in 1 groups for an input "
            "of 6 channels"),
    Refused(one("Conv", reals(6, 3, 1, 1), group=0), "in 0 groups"),
    Refused(one("Conv", reals(6, 6)), "has weights of shape [6, 6]; maps have rows and columns"),
    Refused(one("Conv", reals(6, 6, 1, 1), "x1"), "its bias is computed", (MAP, (6,))),
    Refused(conv_with(np.ones((2, 3), np.int32), 1), "has a bias of shape [2, 3] for 6 filters",
            loose=True),
    Refused(conv_with(np.int32([2**30] * 6), 1), "does not fit 32 bits in units of its accumulator",
            loose=True),
    Refused(one("Conv", reals(6, 6, 3, 3), kernel_shape=[2, 2]), "has kernel_shape [2, 2] and a"),
    Refused(one("Conv", reals(6, 6, 3, 3), strides=[0, 1]), "stride and dilation must be positive"),
    Refused(one("Conv", reals(6, 6, 3, 3), auto_pad="SAME"), "has auto_pad SAME"),
    Refused(one("Conv", reals(6, 6, 3, 3), pads=[0, -1, 0, 0]), "of which some are negative"),
    Refused(one("Conv", reals(6, 6, 3, 9)), "a window of 9 does not fit a map of 8"),
    Refused(one("Conv", reals(6, 6, 3, 3), pads=[1] * 6), "has pads [1, 1, 1, 1, 1, 1]; maps have"),
    Refused(one("Conv", reals(6, 6, 3, 3), strides=[1, 1, 1]), "has strides [1, 1, 1]; maps have"),
    Refused(one("ConvTranspose", reals(6, 5, 1, 1), pads=[9, 0, 0, 0]), "has no values"),
    Refused(one("ConvTranspose", reals(5, 5, 1, 1)), "of 5 channels in 1 groups for an input of 6"),
    Refused(one("ConvTranspose", reals(6, 5, 1, 1), group=4), "has 6 channels in 4 groups"),
    Refused(one("ConvTranspose", "x1"), "its weights are computed", (MAP, (6, 5, 1, 1))),
    Refused(one("Gemm", reals(17, 5), alpha=0.5), "has alpha 0.5", ((1, 17),)),
    Refused(one("Gemm", reals(17, 5), transA=1), "has transA 1", ((1, 17),)),
    Refused(one("Gemm", reals(16, 5)), "its weights expect 16 inputs, not [1, 17]", ((1, 17),)),
    Refused(one("MatMul", "x1"), "multiplies two computed matrices", ((1, 3, 4), (1, 4, 5))),
    Refused(one("MatMul", reals(1, 8, 5)), "has weights of shape [1, 8, 5]; two dimensions"),
    Refused(lambda net: net.add("MatMul", reals(5, 9), "x0"), "multiplies a constant by a "
            "computed", ((9, 8),)),
]  # fmt: skip

PAIRS = [
    Refused(one("Add", "x1"), "do not fit each other", (MAP, (1, 6, 9, 7))),
    Refused(one("Div", "x1"), "divides by", (MAP, MAP)),
    Refused(one("Div", reals(6, 1, 1)), "has a constant operand that is not quantised"),
    Refused(one("Div", np.zeros((6, 1, 1), np.float32)), "constant operand that is not quantised"),
    Refused(one("Pow", "x1"), "has an exponent that is no constant number", (MAP, MAP)),
    Refused(chain(one("Reshape", whole(6, 1, 9, 8)), then("Add", "x1")),
            "repeats one image for several", (MAP, MAP)),
    Refused(chain(CONV, then("Mul", np.float32(2))), "before it is quantised", loose=True),
    Refused(
        chain(CONV, then("Pad", whole(*[0, 0, 1, 1] * 2)), then("Relu")),
        "limits padding that is not quantised", loose=True,
    ),
    Refused(
        chain(one("Reciprocal"), then("Concat", "x0", axis=1), then("MaxPool", kernel_shape=[1, 1]),
              then("Conv", reals(6, 12, 1, 1))),
        "before it is quantised", loose=True,
    ),
    Refused(chain(one("Reciprocal"), then("GlobalAveragePool")), "has results that are not finite",
            loose=True),
]  # fmt: skip

CONSTANTS = [
    Refused(chain(plain(reals(6, 6, 1, 1)), x_and_last("Conv")), "its weights are not quantised: a",
            loose=True),
    Refused(chain(plain(reals(6, 6, 1, 1)), x_and_last("ConvTranspose")),
            "its weights are not quantised: a DequantizeLinear", loose=True),
    Refused(chain(constant(FILTERS, [1] * 6, axis=1), x_and_last("Conv")),
            "its weights have scales along another axis than their filters'", loose=True),
    Refused(chain(constant(FILTERS, [1] * 6, axis=0), x_and_last("ConvTranspose")),
            "its weights have scales along another axis than their filters'", loose=True),
    Refused(chain(constant(np.ones((2, 3, 6), np.int8), [1] * 3, axis=1),
                  then("Reshape", whole(6, 6)), x_and_last("MatMul")),
            "its weights are not quantised", ((1, 6),), loose=True),
    Refused(chain(constant(FILTERS[..., 0, 0], [1] * 6, axis=0), x_and_last("MatMul")),
            "its weights have scales along another axis", ((1, 6),), loose=True),
    Refused(chain(constant(FILTERS[0], [1] * 6, axis=0), x_and_last("Mul")),
            "has a constant operand with a scale for each channel", loose=True),
    Refused(chain(constant(np.ones((6, 1, 1), np.int32), 1), x_and_last("Mul")),
            "has a constant operand that does not fit int8", loose=True),
    Refused(chain(constant(FILTERS[0], 1), x_and_last("Div")), "divides by", loose=True),
    Refused(one("DequantizeLinear", np.float32(1)), "takes real numbers where quantised ones",
            loose=True),
    Refused(chain(one("Tanh"), then("DequantizeLinear", np.float32(1))),
            "takes real numbers where quantised ones", loose=True),
    Refused(chain(constant(FILTERS.astype(np.float16), 1), x_and_last("Mul")),
            "has constants of float16; 8-bit ones and int32 are known", loose=True),
    Refused(chain(constant(FILTERS, [[[[1]]]], block_size=6), x_and_last("Mul")),
            "a scale for each block", loose=True),
    Refused(chain(constant(FILTERS, [1] * 5, axis=0), x_and_last("Conv")),
            "has 5 scales for a constant of shape [6, 6, 1, 1]", loose=True),
    Refused(chain(constant(FILTERS, [-1] * 6, axis=0), x_and_last("Conv")),
            "has a scale that is negative or not finite", loose=True),
    Refused(chain(constant(FILTERS, np.nan), x_and_last("Conv")),
            "has a scale that is negative or not finite", loose=True),
    Refused(chain(constant(FILTERS, [1] * 6, np.zeros(5, np.int8), axis=0), x_and_last("Conv")),
            "has 5 zero points for 6 scales", loose=True),
    Refused(lambda net: net.add("LeakyRelu", reals(1, 6, 1, 1)), "takes a constant where only a",
            loose=True),
    Refused(one("QuantizeLinear", np.float32(1), np.int16(0)), "quantises activations to int16"),
    Refused(one("QuantizeLinear", np.float32(1), output_dtype=5),
            "quantises to another type than int8 and uint8", opset=21),
    Refused(lambda net: net.add("QuantizeLinear", reals(6), np.float32(1), np.int16(0)),
            "quantises constants to int16; int8, uint8 and int32 are known", loose=True),
    Refused(lambda net: net.add("QuantizeLinear", reals(6), np.float32(0), np.int8(0)),
            "quantises a constant by a scale of 0", loose=True),
    Refused(chain(one("QuantizeLinear", np.float32(1), np.int8(0)),
                  then("QuantizeLinear", np.float32(2), np.int8(0))),
            "quantises what is no real number", loose=True),
    Refused(chain(one("QuantizeLinear", np.float32(1), np.int8(0)),
                  then("DequantizeLinear", np.float32(1), np.int8(1))),
            "reads a tensor with another scale or zero point than it was given", loose=True),
    Refused(chain(lambda net: net.add("Reshape", reals(6), whole(5)), x_and_last("Mul")),
            "cannot be computed from its constants (", loose=True),
    *[
        Refused(chain(lambda net, given=given: net.add(*given), x_and_last("Mul")),
                f"makes a constant of {values} values; 67108864 are the most", loose=True)
        for values, *given in (
            (10**9, "Expand", np.float32(1), whole(10**9)),
            (3 * 10**8, "Tile", reals(3), whole(10**8)),
            (10**8 + 1, "Pad", reals(1), whole(10**8, 0)),
            (10**9, "Range", np.int64(0), np.int64(10**9), np.int64(1)),
            (2**26 + 1, "Range", np.int64(0), np.int64(5), np.int64(0)),
        )
    ],
]  # fmt: skip

POOLS = [
    Refused(one("MaxPool", kernel_shape=[2, 2], outputs=2), "gives the places of its maxima"),
    Refused(one("MaxPool", kernel_shape=[2]), "input has shape [1, 12], not [1, channels, rows",
            ((1, 12),)),
    Refused(
        one("AveragePool", kernel_shape=[2, 2], pads=[1] * 4, ceil_mode=1, count_include_pad=1),
        "counts padding and has ceil_mode",
    ),
    Refused(one("ReduceMean", keepdims=0), "leaves out the axis of images"),
    Refused(one("ReduceMean", axes=[4]), "has axes [4] for 4 axes"),
    Refused(one("ReduceMax", axes=[1]), "is supported over rows and columns of a map alone"),
    Refused(one("Softmax", axis=4), "has axis 4 for 4 axes"),
    Refused(one("Softmax", axis=0), "is over the axis of images"),
    Refused(one("Softmax", axis=1), "is over several axes, as before opset 13", opset=11),
    Refused(one("LpNormalization", axis=1, p=1), "is supported for p = 2 alone"),
    Refused(one("LpNormalization", axis=0, p=2), "is over the axis of images"),
    Refused(one("LpNormalization", axis=9, p=2), "is over the axis of images"),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", [*MOVEMENTS, *LAYERS, *PAIRS, *CONSTANTS, *POOLS], ids=lambda c: c.message
)
def test_refused(case: Refused) -> None:
    net = Network(*case.shapes, opset=case.opset)
    case.build(net)
    outputs = [name for name in net.nodes[-1].output if name]
    assert case.message in refused(net.assumed(*outputs, loose=case.loose))


# --- QOperator -----------------------------------------------------------------------------------


def conv(**attributes: Any) -> Callable[[Integers], str]:
    def build(net: Integers) -> str:
        x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.3, -4)
        return net.add("QLinearConv", "x", *x, *net.weights("w", 5, 6, 1, 1), *y, **attributes)

    return build


def conv_with_a_bias_that_is_computed(net: Integers) -> str:
    x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.3, -4)
    bias = net.add("ReduceMax", "x", axes=[2, 3], keepdims=0)
    return net.add("QLinearConv", "x", *x, *net.weights("w", 5, 6, 1, 1), *y, bias)


def gemm(*, real: bool = False, **attributes: Any) -> Callable[[Integers], str]:
    def build(net: Integers) -> str:
        x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.3, -4)
        inputs = [net.add("Flatten", "x"), *x, *net.weights("w", 384, 5), "", *([] if real else y)]
        return net.add("QGemm", *inputs, domain="com.microsoft", **attributes)

    return build


def concat_of_two_quantisations(net: Integers) -> str:
    x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.3, -4)
    real = net.add("DequantizeLinear", "x", *x)
    joined = net.add("Concat", "x", net.add("QuantizeLinear", real, *y), axis=1)
    return net.add("DequantizeLinear", joined, *y)


def of_nothing_known(net: Integers) -> str:
    return net.add("Relu", "x")


def of_a_scale_that_is_computed(net: Integers) -> str:
    scale, zero_point = net.quantisation("x", 0.05, 3)
    return net.add("DequantizeLinear", "x", net.add("Identity", scale), zero_point)


WITH_INTEGERS: list[tuple[Callable[[Integers], str], str]] = [
    (conv(channels_last=1), "has channels last, which is not supported"),
    (conv_with_a_bias_that_is_computed, "its bias is computed; only a constant one"),
    (gemm(transA=1), "has transA or alpha"),
    (gemm(alpha=0.5), "has transA or alpha"),
    (gemm(real=True), "gives real numbers; one that gives integers is supported"),
    (qlinear("QLinearAveragePool", kernel_shape=[2, 2], channels_last=1), "has channels last"),
    (qlinear("QLinearGlobalAveragePool", channels_last=1), "has channels last"),
    (qlinear("QLinearReduceMean", keepdims=1), "lacks its axes"),
    (concat_of_two_quantisations, "joins integers that stand for different numbers"),
    (of_a_scale_that_is_computed, "does not say what the integers of its input 'x' mean"),
    (of_nothing_known, "does not say what the integers of its input 'x' mean"),
]


@pytest.mark.parametrize(
    ("build", "message"), WITH_INTEGERS, ids=lambda value: getattr(value, "__name__", value)
)
def test_refused_on_integers(build: Callable[[Integers], str], message: str) -> None:
    net = Integers((1, 6, 8, 8))
    assert message in refused(as_quantised(net.proto(build(net))))


def as_quantised(proto: Any) -> Any:
    """With an operator on constants that says that a network is quantised."""
    constants = {"one": np.float32([1]), "s": np.float32(1), "z": np.int8(0)}
    proto.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in constants.items())
    proto.graph.node.append(helper.make_node("QuantizeLinear", ["one", "s", "z"], ["unused"]))
    return proto
