# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What operators of ``.tflite`` files may not say: the message, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.tflite_assembly import FileTensor
from axynq.emulator.file_formats.tflite_reader import parse_model
from tests.emulator.test_tflite_operators import weights
from tests.emulator.tflite_drawing import FLOAT32, INT8, INT32, PLAIN, UINT8, Drawing, Quantisation

Build = Callable[[Drawing], int | Sequence[int]]
"""Draws operators, and gives the file's outputs."""

Given = int | list[Any] | Callable[[Drawing], int]
"""An operator's input: a tensor's number, whole numbers, or what draws a tensor."""

MAP = (1, 4, 4, 2)
X = 0
LEFT_OUT = -1


def one(
    code: str, *inputs: Given, shape: tuple[int, ...] = MAP, to: tuple[int, ...] = MAP,
    given: int = INT8, quantisation: Quantisation | None = PLAIN, outputs: int = 1,
    kind: str | None = None, **options: Any,
) -> Build:  # fmt: skip
    """An operator on the input, tensor :data:`X`, and more."""

    def build(d: Drawing) -> Sequence[int]:
        d.given(shape, quantisation, given)
        numbers = [
            value if isinstance(value, int) else value(d) if callable(value) else d.constant(value)
            for value in inputs
        ]
        targets = [d.tensor(to, quantisation, given) for _ in range(outputs)]
        d.operator(code, numbers, *targets, kind=kind, **options)
        return targets

    return build


def beside(build: Build) -> Build:
    """With another operator that reads the input."""

    def both(d: Drawing) -> Sequence[int]:
        targets = build(d)
        assert not isinstance(targets, int)
        return [*targets, d.operator("ABS", [X], d.tensor(MAP))]

    return both


def held(
    values: Any, scales: Sequence[float] = (0.01,), zero_points: Sequence[int] | None = None,
    dtype: Any = np.int8,
) -> Callable[[Drawing], int]:  # fmt: skip
    """A constant with a quantisation."""
    return lambda d: d.constant(values, scales, zero_points, dtype)


def computed(shape: tuple[int, ...], kind: int = INT8) -> Callable[[Drawing], int]:
    """One more input."""
    return lambda d: d.given(shape, PLAIN if kind in (INT8, UINT8) else None, kind)


def nowhere(d: Drawing) -> int:
    """A tensor that nothing computes."""
    return d.tensor(MAP)


def of_16_bits(d: Drawing) -> int:
    """A constant of a type that networks of int8 do not have."""
    data = np.arange(32, dtype="<i2").tobytes()
    d.tensors.append(FileTensor("c16", MAP, tflite.TensorType.INT16, data))
    return len(d.tensors) - 1


CONV: dict[str, Any] = {"kind": "Conv2DOptions", "StrideH": 1, "StrideW": 1}
DEPTHWISE: dict[str, Any] = {
    "kind": "DepthwiseConv2DOptions", "StrideH": 1, "StrideW": 1, "DepthMultiplier": 1,
}  # fmt: skip
DENSE: dict[str, Any] = {"kind": "FullyConnectedOptions"}
MATMUL: dict[str, Any] = {"kind": "BatchMatMulOptions"}
JOINED: dict[str, Any] = {"kind": "ConcatenationOptions", "Axis": 1}
REDUCED: dict[str, Any] = {"kind": "ReducerOptions"}
FILTERS = held(weights(2, 3, 3, 2))

LAYERS = [
    (one("CONV_2D", X, **CONV), "has 1 inputs and 1 outputs"),
    (one("CONV_2D", X, FILTERS), "lacks its options"),
    (one("CONV_2D", X, FILTERS, kind="Pool2DOptions"), "has the options of another operator"),
    (one("CONV_2D", X, LEFT_OUT, **CONV), "lacks its weights"),
    (one("CONV_2D", X, computed((2, 3, 3, 2)), **CONV), "its weights are computed, not constant"),
    (one("CONV_2D", X, [[[[1]]]], **CONV), "has weights of int32, not int8"),
    (
        one("CONV_2D", X, held(np.ones((2, 3, 3, 2)), zero_points=[0], dtype=np.uint8), **CONV),
        "weights and output are not of one type",
    ),
    (one("CONV_2D", X, held(weights(2, 3, 2)), **CONV), "weights have shape [2, 3, 2]"),
    (one("CONV_2D", X, held(weights(2, 3, 3, 2), [1, 1, 1]), **CONV), "have 3 scales for 2 filt"),
    (one("CONV_2D", X, held(weights(2, 3, 3, 2), zero_points=[1]), **CONV), "have a zero point"),
    (one("CONV_2D", X, FILTERS, [1, 2, 3], **CONV), "has 3 biases for 2 filters"),
    (one("CONV_2D", X, FILTERS, shape=(1, 4, 8), **CONV), "input has shape [1, 4, 8], not [1, row"),
    (one("DEPTHWISE_CONV_2D", X, held(weights(1, 3, 3, 3)), **DEPTHWISE), "weights have shape [1"),
    (
        one("DEPTHWISE_CONV_2D", X,
            held(np.full((1, 3, 3, 2), 255), zero_points=[0], dtype=np.uint8),
            given=UINT8, DilationHFactor=2, **DEPTHWISE),
        "weights less their zero point leave int8 in a dilated depthwise layer",
    ),
    (
        one("FULLY_CONNECTED", X, held(weights(3, 32)), WeightsFormat=1, to=(1, 3), **DENSE),
        "shuffled weights are not supported",
    ),
    (
        one("FULLY_CONNECTED", X, held(weights(3, 5)), to=(1, 3), **DENSE),
        "weights expect 5 inputs, not [4, 4, 2]",
    ),
    (one("BATCH_MATMUL", X, computed((1, 2, 4)), shape=(1, 3, 2), **MATMUL), "multiplies two comp"),
    (
        one("BATCH_MATMUL", X, held(weights(2, 4)), shape=(1, 2, 3), AdjX=True, **MATMUL),
        "an input that is transposed first is not supported",
    ),
    (one("BATCH_MATMUL", X, held(weights(2)), shape=(1, 3, 2), **MATMUL), "fewer than two dimens"),
    (
        one("BATCH_MATMUL", X, held(weights(2, 2, 4)), shape=(2, 3, 2), **MATMUL),
        "weights have shape [2, 2, 4]: one matrix is supported",
    ),
    (
        one("BATCH_MATMUL", X, held(weights(2, 4), [0.1] * 4), shape=(1, 3, 2), **MATMUL),
        "weights have a scale per filter, which TFLite has not",
    ),
    (
        one("TRANSPOSE_CONV", [1, 8, 8, 3], FILTERS, X, kind="TransposeConvOptions",
            StrideH=2, StrideW=2),
        "weights [2, 3, 3, 2] do not turn 2 channels into [1, 8, 8, 3]",
    ),
]  # fmt: skip

MOVEMENTS = [
    (one("RESHAPE", X, [1, 5], to=(1, 5)), "cannot turn [4, 4, 2] into [5]"),
    (one("CONCATENATION", X, computed((1, 4, 8)), **JOINED), "joins inputs of [4, 3] dimensions"),
    (one("CONCATENATION", X, X, kind="ConcatenationOptions", Axis=4), "dimensions along axis 4"),
    (
        one("CONCATENATION", X, X, FusedActivationFunction=1, **JOINED),
        "a fused activation is not supported here",
    ),
    (one("CONCATENATION", X, [[[[1, 2]]]], **JOINED), "has a constant operand that is not int8"),
    (one("CONCATENATION", X, of_16_bits, **JOINED), "has a constant operand that is not int8"),
    (
        one("CONCATENATION", X, computed((1, 4, 3, 2)), **JOINED),
        "joins [4, 4, 2] and [4, 3, 2] along axis 1",
    ),
    (
        one("PACK", X, computed((1, 4, 4, 3)), kind="PackOptions", ValuesCount=2),
        "packs inputs of different shapes",
    ),
    (
        one("STRIDED_SLICE", X, [0, 2], [1, 2], [1, 1], kind="StridedSliceOptions"),
        "gives nothing",
    ),
    (
        one("STRIDED_SLICE", X, [0, 2], [1], [1, 1], kind="StridedSliceOptions"),
        "beginnings, ends and strides do not fit",
    ),
    (
        one("STRIDED_SLICE", X, [0, 2], [1, 3], [1, 0], kind="StridedSliceOptions"),
        "beginnings, ends and strides do not fit",
    ),
    (
        one("STRIDED_SLICE", X, [0, 9], [1, 3], [1, 1], kind="StridedSliceOptions",
            ShrinkAxisMask=2),
        "takes place 9 of 4",
    ),
    (
        one("STRIDED_SLICE", X, [0] * 5, [1] * 5, [1] * 5, kind="StridedSliceOptions"),
        "slices 5 axes of 4",
    ),
    (
        one("STRIDED_SLICE", X, [0], [1], [1], kind="StridedSliceOptions", Offset=True),
        "ends that count from the beginnings are not supported",
    ),
    (one("SLICE", X, [0, 0], [1, 1, 1, 1]), "beginnings and sizes do not fit"),
    (one("SLICE", X, [0, 2, 0, 0], [1, 3, 4, 2]), "takes 3 places from 2 of 4"),
    (one("SLICE", X, [0, -1, 0, 0], [1, 1, 4, 2]), "takes 1 places from -1 of 4"),
    (beside(one("SPLIT", [0], kind="SplitOptions")), "has 1 inputs"),
    (one("SPLIT", [7], X, kind="SplitOptions"), "splits axis 7 of 4"),
    (one("SPLIT", [1], X, outputs=3, kind="SplitOptions"), "splits 4 places into [1, 1, 1]"),
    (
        one("SPLIT_V", X, [1, 2], [1], outputs=2, kind="SplitVOptions"),
        "splits 4 places into [1, 2]",
    ),
    (one("UNPACK", X, X, kind="UnpackOptions", Num=4, Axis=1), "has 2 inputs"),
    (
        one("UNPACK", X, outputs=3, kind="UnpackOptions", Num=3, Axis=1),
        "splits [1, 4, 4, 2] into 3",
    ),
    (one("TILE", X, [1, 2]), "[1, 2] copies for 4 dimensions"),
    (one("TILE", X, [1, 2, 0, 1]), "[1, 2, 0, 1] copies for 4 dimensions"),
    (
        one("MIRROR_PAD", X, [[0, 0]], kind="MirrorPadOptions"),
        "paddings [[0, 0]] for 4 dimensions",
    ),
    (
        one("MIRROR_PAD", X, [[0, 0], [4, 0], [0, 0], [0, 0]], kind="MirrorPadOptions"),
        "are wider than the input, [1, 4, 4, 2]",
    ),
    (one("TRANSPOSE", X, [0, 1, 1, 2]), "order [0, 1, 1, 2] is none of 4 axes"),
    (one("TRANSPOSE", X, LEFT_OUT), "lacks its order"),
    (one("TRANSPOSE", X, computed((4,))), "order is not a constant"),
    (one("TRANSPOSE", X, held([0, 1], (), dtype=np.float32)), "order is float32, not int32"),
    (one("PAD", X, [[0, 0], [1, 1]]), "paddings [[0, 0], [1, 1]] for 4 dimensions"),
    (one("PAD", X, [[0, 0], [-1, 1], [0, 0], [0, 0]]), "[-1, 1], [0, 0], [0, 0]] for 4 dimensions"),
    (one("PADV2", X, [[0, 0]] * 4, LEFT_OUT), "the value around is not an int8 constant"),
    (one("PADV2", X, [[0, 0]] * 4, [1]), "the value around is not an int8 constant"),
    (
        one("PADV2", X, [[0, 0]] * 4, held([1], [0.5])),
        "input and value around must have the same quantisation",
    ),
    (
        one("RESIZE_NEAREST_NEIGHBOR", X, [0, 4], kind="ResizeNearestNeighborOptions"),
        "size [0, 4] is not rows and columns",
    ),
    (
        one("DEPTH_TO_SPACE", X, kind="DepthToSpaceOptions", BlockSize=2),
        "makes blocks of 2 of 2 channels",
    ),
    (
        one("SPACE_TO_DEPTH", X, kind="SpaceToDepthOptions", BlockSize=3),
        "makes blocks of 3 of 4 x 4 places",
    ),
    (beside(one("RELU", held(weights(*MAP)))), "a constant operand is not supported here"),
    (one("RELU", X, to=(1, 4, 4, 3)), "output has shape [4, 4, 3] where [4, 4, 2] follows"),
    (one("RELU", X, shape=(1, 0, 2), to=(1, 0, 2)), "has shape [1, 0, 2]: it holds nothing"),
    (beside(one("RELU", nowhere)), "is damaged: it reads a tensor that nothing computed"),
]  # fmt: skip

VALUES = [
    (
        beside(one("ADD", held(weights(*MAP)), held(weights(*MAP)), kind="AddOptions")),
        "has two constant operands; that is not supported",
    ),
    (one("ADD", X, computed((1, 4, 3, 2)), kind="AddOptions"), "of shapes [4, 4, 2] and [4, 3, 2]"),
    (one("ADD", X, [[[[1, 2]]]], kind="AddOptions"), "is int32; only models quantised to int8"),
    (one("ADD", X, of_16_bits, kind="AddOptions"), "'c16' is int16; only models quantised to int8"),
    (one("PRELU", held(weights(*MAP)), X), "a constant operand is not supported here"),
    (one("LEAKY_RELU", X, kind="LeakyReluOptions", Alpha=np.inf), "has a slope of inf"),
    (one("ABS", X, given=UINT8), "is not the same in uint8 as in int8"),
    (one("LOG_SOFTMAX", X, given=UINT8), "is not the same in uint8 as in int8"),
    (one("L2_NORMALIZATION", X, given=UINT8), "is not the same in uint8 as in int8"),
    (one("SUM", X, [1], given=UINT8, to=(1, 4, 2), **REDUCED), "is not the same in uint8 as in"),
    (
        one("RESIZE_BILINEAR", X, [8, 8], given=UINT8, kind="ResizeBilinearOptions"),
        "is not the same in uint8 as in int8",
    ),
    (one("MEAN", X, [7], **REDUCED), "axes [7] of 4 dimensions"),
    (one("REDUCE_MAX", X, [0], shape=(), to=(), **REDUCED), "takes the maximum of a number"),
    (
        one("RESIZE_BILINEAR", X, [8], kind="ResizeBilinearOptions"),
        "size [8] is not rows and columns",
    ),
    (
        one("RESIZE_BILINEAR", X, [8, 8], kind="ResizeBilinearOptions", AlignCorners=True,
            HalfPixelCenters=True),
        "aligned corners and half-pixel centres exclude each other",
    ),
    (one("L2_NORMALIZATION", X), "output must have scale 1/128 and zero point 0"),
    (
        one("AVERAGE_POOL_2D", X, given=UINT8, to=(1, 1, 1, 2), kind="Pool2DOptions", StrideH=1,
            StrideW=1, FilterHeight=4, FilterWidth=4, Padding=1),
        "averages over an even number of uint8 values round halves up",
    ),
]  # fmt: skip


def scales_far_apart(d: Drawing) -> int:
    sums = d.tensor((1, 4, 2), (1e-9, 0))
    return d.operator("SUM", [d.given(MAP), d.constant([1])], sums, kind="ReducerOptions")


def output_without_a_writer(d: Drawing) -> list[int]:
    return [d.operator("RELU", [d.given(MAP)], d.tensor(MAP)), d.tensor(MAP)]


def output_that_is_an_input(d: Drawing) -> list[int]:
    x = d.given(MAP)
    return [x, d.operator("RELU", [x], d.tensor(MAP))]


def no_operators_but_quantise(d: Drawing) -> int:
    q = d.operator("QUANTIZE", [d.given((1, 4), None, FLOAT32)], d.tensor((1, 4)))
    return d.operator("DEQUANTIZE", [q], d.tensor((1, 4), None, FLOAT32))


def left_out_output(d: Drawing) -> int:
    y = d.operator("RELU", [d.given(MAP)], d.tensor(MAP))
    d.operators[-1].outputs[:] = [LEFT_OUT]
    return y


def large_tensor(d: Drawing) -> int:
    return d.operator("RELU", [d.given((1, 2**15, 2**14))], d.tensor((1, 2**15, 2**14)))


def shape_of_reals(d: Drawing) -> int:
    x = d.given(MAP, None, FLOAT32)
    d.operator("SHAPE", [x], d.tensor((4,), None, INT32), kind="ShapeOptions", OutType=2)
    return d.operator("QUANTIZE", [x], d.tensor(MAP))


def pixels_cast(second: str, kind: int) -> Build:
    def build(d: Drawing) -> int:
        x = d.given((1, 4), None, UINT8)
        real = d.operator("CAST", [x], d.tensor((1, 4), None, FLOAT32), kind="CastOptions")
        quantisation = (0.5, 0) if kind != FLOAT32 else None
        y = d.operator(second, [real], d.tensor((1, 4), quantisation, kind))
        return d.operator("RELU", [y], d.tensor((1, 4)))

    return build


def constants_of_another_type(d: Drawing) -> list[int]:
    y = d.operator("RELU", [d.given(MAP)], d.tensor(MAP))
    shaped = d.tensor((1, 32), None, tflite.TensorType.INT16)
    return [y, d.operator("RESHAPE", [of_16_bits(d), d.constant([1, 32])], shaped)]


def shape_of_another_type(d: Drawing) -> list[int]:
    x = d.given(MAP)
    shaped = d.tensor((1, 32), None, INT32)
    return [
        d.operator("RELU", [x], d.tensor(MAP)),
        d.operator("RESHAPE", [x, d.constant([1, 32])], shaped),
    ]


def ten_shapes(d: Drawing) -> list[int]:
    x = d.given(MAP)
    return [d.operator("RESHAPE", [x], d.tensor((1, n))) for n in range(1, 11)]


WHOLE = [
    (constants_of_another_type, "operator 1 (RESHAPE): a constant operand is not supported here"),
    (shape_of_another_type, "operator 1 (RESHAPE): tensor 't1' is int32; only models quantised to"),
    (ten_shapes, "(RESHAPE): cannot turn [4, 4, 2] into [8]; and 2 more"),
    (scales_far_apart, "a step of the input is 5e+07 of the output's"),
    (output_without_a_writer, "is damaged: no operator computes the output"),
    (output_that_is_an_input, "has an input that is its output as well"),
    (no_operators_but_quantise, "has no operators but QUANTIZE and DEQUANTIZE"),
    (left_out_output, "is damaged: a tensor is left out where one is needed"),
    (large_tensor, "has shape [1, 32768, 16384]; 268435456 values at most are supported"),
    (shape_of_reals, "operator 0 is SHAPE, which is not supported"),
    (
        pixels_cast("ABS", FLOAT32),
        "its input 't0' is uint8 without a scale: only CAST and QUANTIZE",
    ),
    (pixels_cast("QUANTIZE", UINT8), "its input 't0' is uint8 without a scale: only CAST and QUA"),
]


@pytest.mark.parametrize(
    ("build", "message"), [*LAYERS, *MOVEMENTS, *VALUES, *WHOLE],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_refused(build: Build, message: str) -> None:
    d = Drawing()
    outputs = build(d)
    with pytest.raises(ModelError) as caught:
        parse_model(d.content(*([outputs] if isinstance(outputs, int) else outputs)))
    assert message in str(caught.value)
