# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Every operator of quantised ONNX networks against onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from axynq.emulator import reference
from axynq.emulator.file_formats.onnx_reader import parse_onnx_model
from axynq.emulator.frameworks.onnx_float import parse_float_onnx
from axynq.emulator.model import graph
from axynq.emulator.quantisation import forward
from tests.emulator.onnx_networks import (
    Array,
    Network,
    as_int8,
    channels_last,
    make,
    run,
)

RNG = np.random.default_rng(0)
MAP = (1, 6, 9, 8)
SEQUENCE = (1, 6, 20)
NO_ROI = np.array([], np.float32)


def reals(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def whole(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


class Case(NamedTuple):
    """A network of one operator or few."""

    name: str
    build: Callable[[Network], Any]
    shapes: Sequence[Sequence[int]] = (MAP,)
    most: int = 0
    """By how much values may differ: 0 where the contract computes what onnxruntime does, 1 where
    it rounds differently, 2 where it rounds twice."""
    opset: int = 17
    float_too: bool = True
    """Whether float networks may have it."""


def one(kind: str, *more: Any, **attributes: Any) -> Callable[[Network], Any]:
    return lambda net: net.add(kind, "x0", *more, **attributes)


def chain(*steps: Callable[[Network], Any]) -> Callable[[Network], Any]:
    def build(net: Network) -> None:
        for step in steps:
            step(net)

    return build


def then(kind: str, *more: Any, **attributes: Any) -> Callable[[Network], Any]:
    return lambda net: net.add(kind, net.last, *more, **attributes)


def constant(values: Array, scale: Any, *zero_point: Any, **attributes: Any) -> Any:
    """A constant behind its DequantizeLinear."""
    given = np.asarray(scale, np.float32), *map(np.asarray, zero_point)
    return lambda net: net.add("DequantizeLinear", values, *given, **attributes)


def x_and_last(kind: str, **attributes: Any) -> Any:
    """An operator on the input and the last value."""
    return lambda net: net.add(kind, "x0", net.last, **attributes)


def whole_8(*shape: int) -> Array:
    return RNG.integers(-128, 128, shape).astype(np.int8)


def resize(mode: str, coordinates: str, rounding: str = "floor") -> Callable[[Network], Any]:
    scales = np.array([1, 1, 2, 3 if mode == "nearest" else 2], np.float32)
    return one("Resize", NO_ROI, scales, mode=mode, nearest_mode=rounding,
               coordinate_transformation_mode=coordinates)  # fmt: skip


LAYERS = [
    Case("conv", one("Conv", reals(5, 6, 3, 3), reals(5), pads=[1] * 4, strides=[2, 1]), most=1),
    Case("conv same upper", one("Conv", reals(5, 6, 3, 3), reals(5), auto_pad="SAME_UPPER",
                                strides=[2, 2]), most=1),
    Case("conv same lower", one("Conv", reals(5, 6, 2, 2), reals(5), auto_pad="SAME_LOWER",
                                strides=[1, 2]), most=1),
    Case("conv dilated", one("Conv", reals(5, 6, 3, 3), pads=[2, 1, 0, 2], dilations=[2, 1]),
         most=1),
    Case("conv relu", chain(one("Conv", reals(5, 6, 3, 3), reals(5)), then("Relu")), most=1),
    Case("depthwise", one("Conv", reals(12, 1, 3, 3), reals(12), group=6), most=1),
    Case("grouped", one("Conv", reals(9, 2, 3, 3), reals(9), group=3, pads=[1] * 4), most=1),
    Case("conv of a sequence", one("Conv", reals(5, 6, 3), reals(5), pads=[1, 1], strides=[2]),
         (SEQUENCE,), 1),
    Case("transposed", one("ConvTranspose", reals(6, 5, 3, 3), reals(5), strides=[2, 2],
                           pads=[1] * 4, output_padding=[1, 0]), most=1),
    Case("transposed, grouped", one("ConvTranspose", reals(6, 2, 3, 2), reals(6), strides=[2, 3],
                                    group=3, dilations=[2, 1]), most=1),
    Case("transposed same", one("ConvTranspose", reals(6, 5, 3, 3), reals(5), strides=[2, 2],
                                auto_pad="SAME_UPPER"), most=1),
    Case("transposed same lower", one("ConvTranspose", reals(6, 5, 3, 3), reals(5),
                                      strides=[2, 2], auto_pad="SAME_LOWER"), most=1),
    Case("transposed to a shape", one("ConvTranspose", reals(6, 5, 3, 3), reals(5),
                                      strides=[2, 2], output_shape=[18, 16]), most=1),
    Case("transposed, much padding", one("ConvTranspose", reals(6, 5, 3, 3), strides=[2, 2],
                                         pads=[3, 3, 2, 4]), most=1),
    Case("gemm", one("Gemm", reals(5, 17), reals(5), transB=1), ((1, 17),), 1),
    Case("gemm, weights turned", one("Gemm", reals(17, 5), reals(5)), ((1, 17),), 1),
    Case("matmul", one("MatMul", reals(17, 5)), ((1, 17),), 1),
    Case("matmul of a sequence", one("MatMul", reals(17, 5)), ((1, 7, 17),), 1),
    Case("matmul of a map", one("MatMul", reals(17, 5)), ((1, 3, 7, 17),), 1),
    Case("flatten, gemm", chain(one("Flatten"), then("Gemm", reals(4, 432), reals(4), transB=1)),
         most=1),
    Case("reshape, gemm", chain(one("Reshape", whole(0, -1)), then("Gemm", reals(432, 4))), most=1),
    Case("matmul of a map of one channel", one("MatMul", reals(8, 5)), ((1, 1, 9, 8),), 1),
]  # fmt: skip

PAIRS = [
    Case("add", one("Add", "x1"), (MAP, MAP), 1),
    Case("sum", one("Sum", "x1"), (MAP, MAP), 1),
    Case("sub", one("Sub", "x1"), (MAP, MAP), 1),
    Case("mul", one("Mul", "x1"), (MAP, MAP), 1),
    Case("max", one("Max", "x1"), (MAP, MAP)),
    Case("min", one("Min", "x1"), (MAP, MAP)),
    Case("mul of a scale for each channel", one("Mul", "x1"), (MAP, (1, 6, 1, 1)), 1),
    Case("add of fewer axes", one("Add", "x1"), (MAP, (1, 8)), 1),
    Case("sub from fewer axes", one("Sub", "x1"), ((1, 8), MAP), 1),
    Case("mul by constants", one("Mul", reals(6, 1, 1)), most=1),
    Case("add of constants", one("Add", reals(1, 6, 1, 1)), most=1),
    Case("constants less x", lambda net: net.add("Sub", reals(6, 1, 1), "x0"), most=1),
    Case("max with constants", one("Max", reals(6, 1, 1))),
    Case("prelu of channels", one("PRelu", reals(6, 1, 1)), most=1),
    Case("x + x", one("Add", "x0")),
    Case("concat", one("Concat", "x1", axis=1), (MAP, MAP)),
    Case("concat of columns", one("Concat", "x1", axis=-1), (MAP, MAP)),
    Case("concat with constants", one("Concat", reals(1, 2, 9, 8), axis=1), float_too=False),
    Case("prelu of two tensors", one("PRelu", "x1"), (MAP, MAP), 1, float_too=False),
    Case("div by one magnitude", one("Div", np.float32([2, -2] * 3).reshape(6, 1, 1)), most=1),
    Case("sum with zeros", one("Sum", np.zeros((6, 1, 1), np.float32)), most=1, float_too=False),
    Case("add in an inner batch",
         chain(one("Reshape", whole(6, 9, 8)), then("Add", reals(6, 1, 1))),
         most=1, float_too=False),
    Case("add of what is turned", chain(one("Transpose", perm=[0, 2, 1, 3]), then("Add", "x1")),
         ((1, 1, 1, 8), (1, 1, 1, 8)), 1),
]  # fmt: skip

FUNCTIONS = [
    Case("mul by a number", one("Mul", np.float32(0.3))),
    Case("add of a number", one("Add", np.float32(3))),
    Case("div by a number", one("Div", np.float32(3))),
    Case("square", one("Pow", np.float32(2))),
    Case("prelu", one("PRelu", np.array([0.2], np.float32))),
    Case("leaky relu", one("LeakyRelu", alpha=0.1)),
    Case("relu6", one("Clip", np.float32(0), np.float32(6))),
    Case("clip", one("Clip", np.float32(-0.5), np.float32(0.7))),
    Case("sqrt", chain(one("Abs"), then("Sqrt")), float_too=False),
    *[Case(kind, one(kind)) for kind in ("Relu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish",
                                         "Elu", "Abs", "Neg", "Exp")],
    *[Case(kind, one(kind), float_too=False, opset=18)
      for kind in ("Selu", "Celu", "Softplus", "Softsign", "Erf", "Floor", "Ceil", "Round", "Sign",
                   "Sin", "Cos", "Mish", "ThresholdedRelu")],
    Case("Gelu", one("Gelu"), opset=20),
    Case("Gelu by tanh", one("Gelu", approximate="tanh"), opset=20),
]  # fmt: skip

POOLS = [
    Case("max pool", one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)),
    Case("max pool, ceil", one("MaxPool", kernel_shape=[2, 3], strides=[2, 3], ceil_mode=1)),
    Case("max pool of a sequence", one("MaxPool", kernel_shape=[3], strides=[2]), (SEQUENCE,)),
    Case("average pool", one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
         most=1),
    Case("average with padding", one("AveragePool", kernel_shape=[3, 3], pads=[1] * 4,
                                     count_include_pad=1), most=1),
    Case("average pool, ceil", one("AveragePool", kernel_shape=[2, 3], strides=[2, 3],
                                   ceil_mode=1), most=1),
    Case("global average", one("GlobalAveragePool"), most=1),
    Case("global maximum", one("GlobalMaxPool")),
    Case("global average of a sequence", one("GlobalAveragePool"), (SEQUENCE,), 1),
    Case("mean of a map", one("ReduceMean", axes=[2, 3], keepdims=0), most=1),
    Case("mean of channels", one("ReduceMean", axes=[1]), most=1),
    Case("mean of columns", one("ReduceMean", axes=[-1], keepdims=0), most=1),
    Case("sum", one("ReduceSum", whole(1, 2), keepdims=0), most=1),
    Case("maximum of a map", one("ReduceMax", axes=[2, 3], keepdims=0)),
    Case("softmax", one("Softmax"), ((1, 12),), 2),
    Case("softmax of channels", one("Softmax", axis=1), most=2),
    Case("log softmax", one("LogSoftmax"), ((1, 12),), 2),
    Case("length 1", one("LpNormalization"), ((1, 12),), 2),
    Case("max pool, ceil beyond the map", one("MaxPool", kernel_shape=[1, 2], strides=[1, 3],
                                              pads=[0, 0, 0, 1], ceil_mode=1)),
    Case("maximum of a map that stays one", one("ReduceMax", axes=[2, 3])),
    Case("mean of all", one("ReduceMean"), most=1, float_too=False),
    Case("mean of nothing", chain(one("ReduceMean", noop_with_empty_axes=1), then("Relu")),
         opset=18, float_too=False),
    Case("softmax before opset 13", one("Softmax", axis=3), most=2, opset=11),
    *[Case(f"linear, {mode}", resize("linear", mode), most=1)
      for mode in ("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners")],
]  # fmt: skip

MOVEMENTS = [
    Case("slice", one("Slice", whole(1, 7), whole(5, 0), whole(1, 3), whole(2, -3))),
    Case("slice to the start", one("Slice", whole(-1), whole(-100), whole(2), whole(-1))),
    Case("split", one("Split", whole(1, 3, 2), axis=1, outputs=3)),
    Case("split evenly", one("Split", axis=1, outputs=2), opset=13),
    Case("transpose", one("Transpose", perm=[0, 2, 1, 3])),
    Case("reshape", one("Reshape", whole(1, 3, 2, -1))),
    Case("squeeze", one("Squeeze", whole(2)), ((1, 6, 1, 8),)),
    Case("unsqueeze", one("Unsqueeze", whole(2, -1)), ((1, 6, 8),)),
    Case("flatten", one("Flatten")),
    Case("channel shuffle", chain(one("Reshape", whole(0, 2, 3, 9, 8)),
                                  then("Transpose", perm=[0, 2, 1, 3, 4]),
                                  then("Reshape", whole(0, 6, 9, 8)))),
    Case("pad", one("Pad", whole(0, 0, 1, 2, 0, 0, 3, 0))),
    Case("pad channels", one("Pad", whole(0, 2, 1, 0, 0, 0, 0, 1), np.float32(0.5))),
    Case("pad and crop", one("Pad", whole(0, 0, -1, 2, 0, 0, 3, -2))),
    Case("gather", one("Gather", whole(1, 3, 5), axis=1)),
    Case("gather one", one("Gather", np.array(2, np.int64), axis=2)),
    Case("depth to space", one("DepthToSpace", blocksize=2), ((1, 12, 4, 5),)),
    Case("depth to space, CRD", one("DepthToSpace", blocksize=2, mode="CRD"), ((1, 12, 4, 5),)),
    Case("space to depth", one("SpaceToDepth", blocksize=2), ((1, 3, 4, 6),)),
    Case("nearest, asymmetric", resize("nearest", "asymmetric")),
    Case("nearest, half pixel", resize("nearest", "half_pixel", "round_prefer_floor")),
    Case("nearest, corners", resize("nearest", "align_corners", "round_prefer_ceil")),
    Case("nearest, pytorch", resize("nearest", "pytorch_half_pixel", "round_prefer_floor")),
    Case("nearest, every second", one("Resize", NO_ROI, np.float32([1, 1, 1 / 3, 0.5]),
                                      mode="nearest", nearest_mode="ceil",
                                      coordinate_transformation_mode="asymmetric")),
    Case("nearest, sizes", one("Resize", "", "", whole(1, 6, 18, 16), nearest_mode="floor",
                               coordinate_transformation_mode="asymmetric")),
    Case("nearest, opset 10", one("Resize", np.float32([1, 1, 2, 3])), opset=10),
    Case("nearest, the same size", chain(one("Resize", NO_ROI, np.float32([1, 1, 1, 1])),
                                         then("Relu"))),
    Case("pad by nothing", chain(one("Pad", whole(*[0] * 8)), then("Relu"))),
    Case("squeeze of all ones", one("Squeeze"), ((1, 6, 1, 8),), float_too=False),
    Case("transpose of one channel and one image", one("Transpose", perm=[1, 0, 2, 3]),
         ((1, 1, 9, 8),), float_too=False),
    Case("one of an inner batch", chain(one("Reshape", whole(6, 9, 8)),
                                        then("Gather", np.array(2), axis=0)), float_too=False),
    Case("cast", chain(one("Cast", to=1), then("Relu"))),
    Case("dropout", chain(one("Dropout"), then("Relu"))),
    Case("identity", chain(one("Identity"), then("Relu"))),
]  # fmt: skip

OLD = [
    Case("upsample", one("Upsample", scales=[1.0, 1.0, 2.0, 3.0]), opset=8),
    Case("upsample, scales as an input", one("Upsample", np.float32([1, 1, 2, 3])), opset=9),
    Case("upsample, linear", one("Upsample", np.float32([1, 1, 2, 2]), mode="linear"), opset=9),
]
"""What ONNX had before QuantizeLinear."""

CASES = [*LAYERS, *PAIRS, *FUNCTIONS, *POOLS, *MOVEMENTS]


def normalised(channels: int) -> tuple[Array, ...]:
    """Scale, bias, mean and variance."""
    variance = np.abs(reals(channels)) + np.float32(0.1)
    return *(reals(channels) for _ in range(3)), variance


def by_its_shape(net: Network) -> None:
    """A flattening as PyTorch writes it for any number of images."""
    images = net.add("Gather", net.add("Shape", "x0"), whole(0), axis=0)
    net.add("Reshape", "x0", net.add("Concat", images, whole(-1), axis=0))
    net.add("MatMul", net.last, reals(432, 5))


def by_constants_of_nodes(net: Network) -> None:
    values = numpy_helper.from_array(reals(6, 1, 1))
    factors = net.add("Sum", net.add("Constant", value=values), reals(1, 6, 1, 1))
    net.add("Mul", "x0", net.add("Sum", factors, np.float32(2)))


def channels_turned(net: Network) -> None:
    """A map with channels last, as Keras' networks have it."""
    net.add("Transpose", "x0", perm=[0, 3, 1, 2])
    net.add("Conv", net.last, reals(5, 6, 3, 3), reals(5))
    net.add("Transpose", net.last, perm=[0, 2, 3, 1])


REALS = [
    Case("matmul and bias", chain(one("MatMul", reals(17, 5)), then("Add", reals(5))),
         ((1, 7, 17),)),
    Case("matmul and a bias before", lambda net: net.add(
        "Add", reals(5), net.add("MatMul", "x0", reals(17, 5))), ((1, 17),)),
    Case("matmul and a bias of all", chain(one("MatMul", reals(17, 5)), then("Add", reals(1))),
         ((1, 17),)),
    Case("matmul and numbers of positions",
         chain(one("MatMul", reals(17, 5)), then("Add", reals(7, 1))), ((1, 7, 17),)),
    Case("matmul twice", chain(one("MatMul", reals(17, 5)), lambda net: then("Add", net.last)(net)),
         ((1, 17),)),
    Case("normalisation", one("BatchNormalization", *normalised(6), epsilon=1e-3)),
    Case("normalisation of values", one("BatchNormalization", *normalised(17)), ((1, 17),)),
    Case("normalised convolution", chain(one("Conv", reals(5, 6, 3, 3)),
                                         then("BatchNormalization", *normalised(5)))),
    Case("reshape, zeros as they are", one("Reshape", whole(1, 48, 9), allowzero=1)),
    Case("slice of all", chain(one("Slice", whole(0), whole(6), whole(1)), then("Relu"))),
    Case("slice of images", one("Slice", whole(0, 1), whole(1, 5), whole(0, 1))),
    Case("a shape computed", by_its_shape),
    Case("constants computed", by_constants_of_nodes),
    Case("cast", chain(one("Cast", to=TensorProto.FLOAT), then("Relu"))),
    Case("an input that nothing reads", one("Relu"), (MAP, MAP)),
    Case("third power", one("Pow", np.array([3], np.float32))),
    Case("softmax before opset 13", one("Softmax"), ((1, 12),), opset=12),
]  # fmt: skip
"""What float networks have, and quantised ones do not, or in another form."""


def network(case: Case) -> tuple[Network, list[str]]:
    net = Network(*case.shapes, opset=case.opset)
    case.build(net)
    return net, [name for name in net.nodes[-1].output if name]


def computed(model: graph.Model, inputs: Sequence[Array]) -> list[Array]:
    """The oracle's outputs for real inputs in ONNX's order of axes."""
    given = [model.tensors[i].batch(channels_last(x)) for i, x in zip(model.inputs, inputs)]
    values = reference.run(model, given)
    return [values[index] for index in model.outputs]


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_qdq(case: Case, unsigned: bool) -> None:
    net, outputs = network(case)
    proto = net.quantised(*outputs, unsigned=unsigned)
    model = parse_onnx_model(proto.SerializeToString())
    samples = net.samples(4, seed=9)
    ours = computed(model, list(samples.values()))
    for index, mine, theirs in zip(model.outputs, ours, run(proto, samples)):
        difference = np.abs(mine - as_int8(model.tensors[index], theirs))
        assert difference.max() <= case.most
        # Roundings that differ are rare but where few values are summed.
        assert (difference > 0).mean() <= (0 if case.most == 0 else 1 if case.most == 2 else 0.5)


@pytest.mark.parametrize("terms", [("c0", "c0"), ("c0", "c0", "c0")])
def test_a_sum_of_constants_is_one(terms: tuple[str, ...]) -> None:
    net = Network(MAP)
    net.add("Mul", "x0", np.float32(0.15))
    proto = net.quantised()
    (mul,) = (node for node in proto.graph.node if node.op_type == "Mul")
    mul.input[1] = "sum"
    proto.graph.node.insert(0, helper.make_node("Sum", terms, ["sum"]))
    samples = net.samples(4, seed=9)
    model = parse_onnx_model(proto.SerializeToString())
    (mine,), (theirs,) = computed(model, list(samples.values())), run(proto, samples)
    np.testing.assert_array_equal(mine, as_int8(model.output, theirs))


@pytest.mark.parametrize(
    "case", [*OLD, *(c for c in CASES if c.float_too), *REALS], ids=lambda case: case.name
)
def test_float(case: Case) -> None:
    net, outputs = network(case)
    proto = net.proto(*outputs)
    read = parse_float_onnx(proto.SerializeToString())
    samples = net.samples(4, seed=9)
    inputs = {i: channels_last(x) for i, x in zip(read.inputs, samples.values())}
    values = forward.run(read, inputs)
    for index, theirs in zip(read.outputs, run(proto, samples)):
        mine = values[index]
        expected = channels_last(theirs).reshape(mine.shape)
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-4)


LOOSE = [
    Case("limits of a sum", chain(one("Add", "x1"), then("Clip", np.float32(-1), np.float32(2.5))),
         (MAP, MAP), 1),
    Case("conv, maximum with a number", chain(one("Conv", reals(5, 6, 1, 1)),
                                              then("Max", np.float32(-0.5))), most=1),
    Case("number, minimum with conv", chain(one("Conv", reals(5, 6, 1, 1)),
                                            lambda net: net.add("Min", np.float32(1.5), net.last)),
         most=1),
    Case("conv, transpose", chain(one("Conv", reals(5, 6, 1, 1)),
                                  then("Transpose", perm=[0, 1, 3, 2])), most=1),
    Case("add, max pool", chain(one("Add", "x1"), then("MaxPool", kernel_shape=[2, 2])),
         (MAP, MAP), 1),
    Case("function, transpose", chain(one("LeakyRelu"), then("Transpose", perm=[0, 2, 1, 3]))),
    Case("function, padding", chain(one("LeakyRelu"), then("Pad", whole(*[0, 0, 1, 1] * 2))),
         most=2),
    Case("rising function, max pool", chain(one("Sigmoid"), then("MaxPool", kernel_shape=[2, 2]))),
    Case("falling function, max pool", chain(one("Neg"), then("MaxPool", kernel_shape=[2, 2])),
         most=2),
    Case("maximum of one quantisation", one("Max", "x1"), (MAP, MAP)),
    Case("one column, transpose, max pool", chain(one("Transpose", perm=[0, 2, 1, 3]),
                                                  then("MaxPool", kernel_shape=[1, 1])),
         ((1, 1, 1, 8),)),
    Case("function, cast", chain(one("Tanh"), then("Cast", to=1))),
    Case("uint8 without a zero point", chain(one("QuantizeLinear", np.float32(0.02)),
                                             then("DequantizeLinear", np.float32(0.02)),
                                             then("Relu"))),
    Case("clip by a quantised limit", chain(constant(np.int8(40), 0.05),
                                            lambda net: net.add("Clip", "x0", "", net.last))),
    Case("weights, transpose", chain(constant(whole_8(5, 8), 0.02),
                                     then("Transpose", perm=[1, 0]), x_and_last("MatMul")),
         most=1),
    Case("weights with scales, reshape",
         chain(constant(whole_8(8, 1, 5), [0.01, 0.02, 0.01, 0.03, 0.01], axis=2),
               then("Reshape", whole(8, 5)), x_and_last("MatMul")), most=1),
    Case("conv, add of a quantised constant",
         chain(constant(whole_8(5, 1, 1), 0.02), lambda net: net.add("Identity", net.last),
               lambda net: net.add("Add", net.add("Conv", "x0", reals(5, 6, 1, 1)), "y1")),
         most=1),
    Case("constant, quantised", chain(lambda net: net.add("QuantizeLinear", np.abs(reals(6, 1, 1)),
                                                          np.float32(0.02)),
                                      then("DequantizeLinear", np.float32(0.02)),
                                      x_and_last("Mul")), most=1),
    Case("constant, quantised again",
         chain(constant(whole_8(6, 1, 1), 0.02),
               then("QuantizeLinear", np.float32(0.03), np.int8(2)),
               then("DequantizeLinear", np.float32(0.03), np.int8(2)), x_and_last("Mul")), most=1),
    Case("concat with a constant of several scales",
         chain(constant(whole_8(1, 2, 9, 8), [0.01, 0.03], axis=1), x_and_last("Concat", axis=1))),
    Case("reshape to a number of values", chain(one("Size"), lambda net: net.add(
        "Concat", whole(1), net.add("Reshape", net.last, whole(1)), axis=0),
                                                  x_and_last("Reshape"))),
    Case("functions, concat", chain(one("Tanh"), then("Concat", "x0", axis=1))),
    Case("function of a flattened map", chain(one("Flatten"), then("Sigmoid"))),
]  # fmt: skip
"""Between inputs and outputs nothing is quantised."""


@pytest.mark.parametrize("case", LOOSE, ids=lambda case: case.name)
def test_what_is_quantised_at_the_end_alone(case: Case) -> None:
    net, outputs = network(case)
    proto = net.assumed(*outputs, loose=True)
    model = parse_onnx_model(proto.SerializeToString())
    samples = net.samples(4, seed=9)
    (mine,) = computed(model, list(samples.values()))
    (theirs,) = run(proto, samples)
    assert np.abs(mine - as_int8(model.output, theirs)).max() <= case.most


def test_outputs_without_names() -> None:
    """onnxruntime's Split needs them all."""
    net = Network(MAP)
    net.add("Split", "x0", whole(1, 3, 2), axis=1, outputs=3)
    proto = net.assumed("y0_2", loose=True)
    samples = net.samples(2)
    (theirs,) = run(proto, samples)
    (split,) = [node for node in proto.graph.node if node.op_type == "Split"]
    split.output[:2] = ["", ""]
    model = parse_onnx_model(proto.SerializeToString())
    (mine,) = computed(model, list(samples.values()))
    np.testing.assert_array_equal(mine, as_int8(model.output, theirs))


def test_a_part_that_is_left_out() -> None:
    """onnxruntime ends the process where an output of Split is left out: it gets all."""
    net = Network(MAP)
    net.add("Split", "x0", axis=1, outputs=2)
    net.add("Relu", net.nodes[0].output[1])
    samples = net.samples(4)
    (expected,) = run(net.proto(), samples)
    net.nodes[0].output[0] = ""
    read = parse_float_onnx(net.proto().SerializeToString())
    found = forward.run(read, channels_last(samples["x0"]))[read.outputs[0]]
    np.testing.assert_array_equal(found, channels_last(expected))


def test_float_maps_that_have_channels_last_keep_them_there() -> None:
    net = Network((1, 9, 8, 6))
    channels_turned(net)
    read = parse_float_onnx(net.proto().SerializeToString())
    assert not any(isinstance(op, graph.Transpose) for op in read.operators)
    x = net.samples(4)["x0"]
    (expected,) = run(net.proto(), {"x0": x})
    np.testing.assert_allclose(
        forward.run(read, x)[read.outputs[0]], expected, rtol=1e-4, atol=1e-4
    )


# --- QOperator -----------------------------------------------------------------------------------


class Integers:
    """A network on integers, of one input."""

    def __init__(self, shape: Sequence[int], type_: type = np.int8) -> None:
        self.shape, self.type, self.rng = shape, type_, np.random.default_rng(1)
        self.constants: dict[str, Array] = {}
        self.nodes: list[Any] = []

    def quantisation(self, name: str, scale: float, zero: int) -> list[str]:
        shift = 128 if self.type is np.uint8 else 0
        self.constants[f"{name}_s"] = np.asarray(scale, np.float32)
        self.constants[f"{name}_z"] = np.asarray(zero + shift, self.type)
        return [f"{name}_s", f"{name}_z"]

    def weights(self, name: str, *shape: int, filters: int = 0) -> list[str]:
        low, high, dtype = (1, 256, np.uint8) if self.type is np.uint8 else (-127, 128, np.int8)
        self.constants[name] = self.rng.integers(low, high, shape).astype(dtype)
        scales = (self.rng.random(filters) * 0.01 + 0.001) if filters else np.asarray(0.004)
        zero = np.full(scales.shape, 128 if dtype is np.uint8 else 0, dtype)
        self.constants[f"{name}_s"], self.constants[f"{name}_z"] = scales.astype(np.float32), zero
        return [name, f"{name}_s", f"{name}_z"]

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(kind, list(inputs), [f"y{len(self.nodes)}"], domain=domain,
                             **attributes)
        )  # fmt: skip
        return f"y{len(self.nodes) - 1}"

    def proto(self, output: str) -> Any:
        type_ = TensorProto.UINT8 if self.type is np.uint8 else TensorProto.INT8
        return make(self.nodes, ["x"], [self.shape], [output], self.constants, 17, type_, type_)

    def inputs(self) -> dict[str, Array]:
        low = 0 if self.type is np.uint8 else -128
        values = self.rng.integers(low, low + 256, (8, *self.shape[1:]))
        return {"x": values.astype(self.type)}


def qlinear(kind: str, **attributes: Any) -> Callable[[Integers], str]:
    def build(net: Integers) -> str:
        x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.06, -4)
        return net.add(kind, "x", *x, *y, domain="com.microsoft", **attributes)

    return build


def qlinear_pair(kind: str) -> Callable[[Integers], str]:
    def build(net: Integers) -> str:
        x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.3, -4)
        turned = net.add("Transpose", "x", perm=[0, 1, 3, 2])
        return net.add(kind, "x", *x, turned, *x, *y, domain="com.microsoft")

    return build


def qlinear_conv(net: Integers) -> str:
    x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.3, -4)
    net.constants["b"] = net.rng.integers(-2000, 2000, 5).astype(np.int32)
    filters = 0 if net.type is np.uint8 else 5
    w = net.weights("w", 5, 6, 3, 3, filters=filters)
    return net.add("QLinearConv", "x", *x, *w, *y, "b", pads=[1, 1, 1, 1])


def qlinear_matmul(net: Integers) -> str:
    x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.3, -4)
    return net.add("QLinearMatMul", "x", *x, *net.weights("w", 8, 5), *y)


def qgemm(net: Integers) -> str:
    x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.3, -4)
    net.constants["b"] = net.rng.integers(-2000, 2000, 5).astype(np.int32)
    flat = net.add("Flatten", "x")
    return net.add("QGemm", flat, *x, *net.weights("w", 5, 384), "b", *y, domain="com.microsoft",
                   transB=1)  # fmt: skip


def qlinear_matmul_of_filters(net: Integers) -> str:
    x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.3, -4)
    return net.add("QLinearMatMul", "x", *x, *net.weights("w", 8, 5, filters=5), *y)


def qgemm_of_filters(net: Integers) -> str:
    x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.3, -4)
    net.constants["b"] = net.rng.integers(-2000, 2000, 5).astype(np.int32)
    weights = net.weights("w", 384, 5, filters=5)
    return net.add("QGemm", net.add("Flatten", "x"), *x, *weights, "b", *y, domain="com.microsoft")


def qlinear_concat(net: Integers) -> str:
    x, y = net.quantisation("x", 0.05, 3), net.quantisation("y", 0.07, -4)
    pooled = net.add("MaxPool", "x", kernel_shape=[1, 1])
    return net.add("QLinearConcat", *y, "x", *x, pooled, *x, domain="com.microsoft", axis=1)


def concat_of_integers(net: Integers) -> str:
    net.quantisation("x", 0.05, 3)
    pooled = net.add("MaxPool", "x", kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1])
    joined = net.add("Concat", "x", pooled, axis=1)
    real = net.add("DequantizeLinear", joined, "x_s", "x_z")
    return net.add("QuantizeLinear", real, *net.quantisation("y", 0.07, -4))


def pad_of_integers(net: Integers) -> str:
    net.quantisation("x", 0.05, 3)
    net.constants["pads"], net.constants["seven"] = whole(0, 0, 1, 0, 0, 0, 0, 2), net.type(7)
    padded = net.add("Pad", "x", "pads", "seven")
    real = net.add("DequantizeLinear", padded, "x_s", "x_z")
    return net.add("QuantizeLinear", real, *net.quantisation("y", 0.07, -4))


def convs_of_one_result(net: Integers) -> str:
    """A result that is quantised twice alike is computed once."""
    real = net.add("DequantizeLinear", "x", *net.quantisation("x", 0.05, 3))
    weights = net.add("DequantizeLinear", *net.weights("w", 5, 6, 1, 1))
    result, y = net.add("Conv", real, weights), net.quantisation("y", 0.3, -4)
    first, second = (net.add("QuantizeLinear", result, *y) for _ in range(2))
    return net.add("QLinearAdd", first, *y, second, *y, *y, domain="com.microsoft")


QOPERATORS: dict[str, tuple[Callable[[Integers], str], int]] = {
    "QLinearConv": (qlinear_conv, 1),
    "QLinearMatMul": (qlinear_matmul, 1),
    "QGemm": (qgemm, 1),
    "QLinearMatMul, scales of filters": (qlinear_matmul_of_filters, 1),
    "QGemm, scales of filters": (qgemm_of_filters, 1),
    "QLinearAdd": (qlinear_pair("QLinearAdd"), 1),
    "QLinearMul": (qlinear_pair("QLinearMul"), 1),
    "QLinearSigmoid": (qlinear("QLinearSigmoid"), 0),
    "QLinearLeakyRelu": (qlinear("QLinearLeakyRelu", alpha=0.1), 0),
    "QLinearAveragePool": (
        qlinear("QLinearAveragePool", kernel_shape=[2, 2], strides=[2, 2]), 1,
    ),
    "QLinearGlobalAveragePool": (qlinear("QLinearGlobalAveragePool"), 1),
    "QLinearSoftmax": (qlinear("QLinearSoftmax", axis=-1, opset=13), 2),
    "QLinearConcat": (qlinear_concat, 0),
    "Concat": (concat_of_integers, 0),
    "Pad": (pad_of_integers, 0),
    "one result twice": (convs_of_one_result, 2),
}  # fmt: skip


@pytest.mark.parametrize("type_", [np.int8, np.uint8])
@pytest.mark.parametrize("kind", QOPERATORS)
def test_qoperator(kind: str, type_: type) -> None:
    build, most = QOPERATORS[kind]
    net = Integers((1, 6, 8, 8), type_)
    proto = net.proto(build(net))
    model = parse_onnx_model(proto.SerializeToString())
    inputs = net.inputs()
    (theirs,) = run(proto, inputs)
    (mine,) = computed(model, [inputs["x"]])
    shift = 128 if type_ is np.uint8 else 0
    expected = channels_last(theirs).astype(np.int64).reshape(mine.shape) - shift
    assert np.abs(mine - expected).max() <= most


@pytest.mark.parametrize("keep", [0, 1])
def test_means_of_integers(keep: int) -> None:
    """onnxruntime's CPU has no QLinearReduceMean; it has what that is defined by."""
    net, defined = Integers((1, 6, 8, 8)), Integers((1, 6, 8, 8))
    axes = {"axes": [2, 3], "keepdims": keep}
    model = parse_onnx_model(
        net.proto(qlinear("QLinearReduceMean", **axes)(net)).SerializeToString()
    )
    x, y = defined.quantisation("x", 0.05, 3), defined.quantisation("y", 0.06, -4)
    mean = defined.add("ReduceMean", defined.add("DequantizeLinear", "x", *x), **axes)
    inputs = defined.inputs()
    (theirs,) = run(defined.proto(defined.add("QuantizeLinear", mean, *y)), inputs)
    (mine,) = computed(model, [inputs["x"]])
    assert np.abs(mine.astype(np.int64) - channels_last(theirs).reshape(mine.shape)).max() <= 1


def test_an_input_that_is_quantised_twice_alike_is_one_tensor() -> None:
    rng = np.random.default_rng(0)
    constants = {
        "s": np.float32(0.02), "z": np.int8(3), "w": rng.integers(-99, 99, (6, 5)).astype(np.int8),
        "ws": np.float32(0.01), "wz": np.int8(0),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("QuantizeLinear", ["t", "s", "z"], ["u"]),
        helper.make_node("QLinearMatMul", ["u", "s", "z", "w", "ws", "wz", "s", "z"], ["v"]),
        helper.make_node("QLinearMatMul", ["q", "s", "z", "w2", "ws", "wz", "s", "z"], ["o"]),
    ]
    constants["w2"] = rng.integers(-99, 99, (4, 5)).astype(np.int8)
    proto = make(nodes, ["x"], [(1, 6, 4)], ["v", "o"], constants, 17, 1, TensorProto.INT8)
    model = parse_onnx_model(proto.SerializeToString())
    assert len(model.inputs) == 1
    x = rng.normal(size=(8, 6, 4)).astype(np.float32)
    for mine, theirs in zip(computed(model, [x]), run(proto, {"x": x})):
        assert np.abs(mine.astype(np.int64) - theirs).max() <= 1
