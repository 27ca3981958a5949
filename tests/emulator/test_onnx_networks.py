# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Whole ONNX networks: random ones operator by operator, and those that onnxruntime quantises."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from axynq.emulator import Emulator, load_model, reference
from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_reader import parse_onnx_model
from axynq.emulator.frameworks.onnx_float import parse_float_onnx
from axynq.emulator.model import graph
from axynq.emulator.quantisation import forward
from axynq.emulator.studies.sensitivity.estimate import estimate
from tests.emulator.onnx_networks import Array, Network, as_int8, channels_last, make, run


def worst_difference(model: graph.Model, proto: Any, inputs: Mapping[str, Array]) -> int:
    """The largest difference of one operator's outputs, each from onnxruntime's own inputs."""
    traced = onnx.ModelProto()
    traced.CopyFrom(proto)
    del traced.graph.output[:]
    names = [f"{t.name}_q" for t in model.tensors]
    made = {name for node in traced.graph.node for name in node.output}
    names = [name for name in names if name in made]
    traced.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    # Other axes than those of maps may lie in another order.
    theirs = {
        name: value for name, value in zip(names, run(traced, inputs)) if value.ndim in (2, 4)
    }
    values: dict[int, Array] = {}
    worst = 0
    for index, tensor in enumerate(model.tensors):
        if index in model.constants:
            constant = model.constants[index]
            values[index] = np.broadcast_to(constant, (len(next(iter(inputs.values()))),
                                                       *constant.shape))  # fmt: skip
        elif f"{tensor.name}_q" in theirs:
            found = theirs[f"{tensor.name}_q"]
            shift = 128 if found.dtype == np.uint8 else 0
            last = channels_last(found).astype(np.int64) - shift
            values[index] = last.reshape(len(found), *tensor.shape).astype(np.int8)
    for op in model.operators:
        given = [np.asarray(values[i]) for i in op.inputs]
        mine = reference.evaluate(model, op, given, reference.exact_products)
        expected = values.setdefault(op.output, mine)
        worst = max(worst, int(np.abs(mine.astype(np.int64) - expected).max()))
    return worst


STEPS = ["Conv", "Depthwise", "Grouped", "Relu", "HardSwish", "LeakyRelu", "MaxPool", "AveragePool",
         "Add", "Concat", "Mul", "Slice", "Resize", "Pad", "ConvTranspose", "Gate", "Shuffle",
         "Sub", "Max", "DepthToSpace"]  # fmt: skip


def random_network(steps: list[str], seed: int) -> Network:
    rng = np.random.default_rng(seed)
    shape = (1, int(rng.integers(1, 4)) * 2, int(rng.integers(4, 9)), int(rng.integers(4, 9)))
    net = Network(shape)

    def reals(*sizes: int) -> Array:
        return rng.normal(size=sizes).astype(np.float32)

    kept: dict[tuple[int, ...], list[str]] = {shape: [net.last]}
    for step in steps:
        _, channels, rows, columns = shape
        other = str(rng.choice(kept[shape]))
        if step == "Conv":
            filters = int(rng.integers(1, 4)) * 2
            net.add("Conv", net.last, reals(filters, channels, 3, 3), reals(filters), pads=[1] * 4)
            shape = (1, filters, rows, columns)
        elif step == "ConvTranspose" and rows < 12:
            net.add("ConvTranspose", net.last, reals(channels, 4, 2, 2), reals(4), strides=[2, 1])
            shape = (1, 4, rows * 2, columns + 1)
        elif step == "Depthwise":
            net.add("Conv", net.last, reals(channels, 1, 3, 3), group=channels, pads=[0, 1, 2, 1])
        elif step == "Grouped":
            net.add("Conv", net.last, reals(4, channels // 2, 1, 1), reals(4), group=2)
            shape = (1, 4, rows, columns)
        elif step in ("Relu", "HardSwish", "LeakyRelu"):
            net.add(step, net.last)
        elif step in ("MaxPool", "AveragePool") and min(rows, columns) > 1:
            net.add(step, net.last, kernel_shape=[2, 2], strides=[2, 2])
            shape = (1, channels, rows // 2, columns // 2)
        elif step in ("Add", "Mul", "Sub", "Max"):
            net.add(step, net.last, other)
        elif step == "Concat":
            net.add("Concat", net.last, other, axis=1)
            shape = (1, channels * 2, rows, columns)
        elif step == "Slice" and rows > 1:
            net.add("Slice", net.last, *(np.array([n]) for n in (1, 100, 2)))
            shape = (1, channels, rows - 1, columns)
        elif step == "Resize" and rows < 12:
            scales = np.array([1, 1, 2, 2], np.float32)
            net.add("Resize", net.last, np.array([], np.float32), scales, mode="nearest",
                    coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
            shape = (1, channels, rows * 2, columns * 2)
        elif step == "Pad":
            net.add("Pad", net.last, np.array([0, 0, 1, 0, 0, 0, 0, 1]))
            shape = (1, channels, rows + 1, columns + 1)
        elif step == "Gate":
            x = net.last
            net.add("GlobalAveragePool", x)
            net.add("Sigmoid", net.last)
            net.add("Mul", x, net.last)
        elif step == "Shuffle":
            net.add("Reshape", net.last, np.array([0, 2, channels // 2, rows, columns]))
            net.add("Transpose", net.last, perm=[0, 2, 1, 3, 4])
            net.add("Reshape", net.last, np.array([0, channels, rows, columns]))
        elif step == "DepthToSpace" and channels % 8 == 0:
            net.add("DepthToSpace", net.last, blocksize=2, mode="CRD")
            shape = (1, channels // 4, rows * 2, columns * 2)
        kept.setdefault(shape, []).append(net.last)
    net.add("Flatten", net.last)
    net.add("Gemm", net.last, reals(3, int(np.prod(shape))), reals(3), transB=1)
    return net


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(STEPS), min_size=1, max_size=8),
    st.integers(0, 2**16),
    st.booleans(),
    st.booleans(),
)
def test_random_networks(steps: list[str], seed: int, unsigned: bool, per_channel: bool) -> None:
    net = random_network(steps, seed)
    proto = net.quantised(unsigned=unsigned, per_channel=per_channel)
    model = parse_onnx_model(proto.SerializeToString())
    samples = net.samples(3, seed=9)
    assert worst_difference(model, proto, samples) <= 1
    x = model.input.batch(channels_last(samples["x0"]))
    expected = reference.run(model, x)[model.output_index]
    np.testing.assert_array_equal(Emulator(model, threads=1).run(x), expected)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=8), st.integers(0, 2**16))
def test_random_float_networks(steps: list[str], seed: int) -> None:
    net = random_network(steps, seed)
    proto = net.proto()
    read = parse_float_onnx(proto.SerializeToString())
    samples = net.samples(2, seed=9)
    mine = forward.run(read, channels_last(samples["x0"]))[read.outputs[0]]
    (theirs,) = run(proto, samples)
    np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


# --- what onnxruntime quantises ------------------------------------------------------------------


def small_network(path: Path) -> None:
    """A residual network with a gate, as PyTorch exports one, in real numbers."""
    rng = np.random.default_rng(5)

    def reals(*sizes: int) -> Array:
        fan = max(int(np.prod(sizes[1:])), 1)
        return (rng.normal(size=sizes) * (2 / fan) ** 0.5).astype(np.float32)

    net = Network((1, 3, 16, 16))
    x = net.add("Conv", "x0", reals(8, 3, 3, 3), reals(8), pads=[1] * 4)
    x = net.add("Relu", x)
    y = net.add("Conv", x, reals(8, 8, 3, 3), reals(8), pads=[1] * 4)
    y = net.add("Add", x, y)
    y = net.add("Relu", y)
    y = net.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = net.add("Conv", y, reals(16, 8, 1, 1), reals(16))
    y = net.add("Mul", y, net.add("Sigmoid", y))
    y = net.add("GlobalAveragePool", y)
    y = net.add("Flatten", y)
    net.add("Softmax", net.add("Gemm", y, reals(10, 16), reals(10), transB=1), axis=-1)
    onnx.save(net.proto(), path)


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_networks_that_onnxruntime_quantises(tmp_path: Path, form: str, unsigned: bool) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.batches = iter(rng.normal(size=(16, 1, 3, 16, 16)).astype(np.float32))

        def get_next(self) -> dict[str, Array] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"x0": batch}

    small_network(tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx", tmp_path / "int8.onnx", Reader(), per_channel=True,
        quant_format=QuantFormat[form], weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8,
    )  # fmt: skip
    model = load_model(tmp_path / "int8.onnx")
    assert model.input.shape == (16, 16, 3)
    x = np.random.default_rng(1).normal(size=(32, 3, 16, 16)).astype(np.float32)
    (theirs,) = run(onnx.load(tmp_path / "int8.onnx"), {"x0": x}, optimised=True)
    mine = Emulator(model).run(channels_last(x))
    difference = np.abs(mine - as_int8(model.output, theirs))
    assert difference.max() <= 8  # of 256; a softmax magnifies what logits differ by
    assert difference.mean() < 0.5
    assert (mine.argmax(axis=1) == theirs.argmax(axis=1)).mean() >= 0.9


# --- what files can look like --------------------------------------------------------------------


def conv_network(**more: Any) -> Network:
    rng = np.random.default_rng(2)
    net = Network((1, 2, 5, 4), **more)
    net.add("Conv", "x0", rng.normal(size=(3, 2, 3, 3)).astype(np.float32), pads=[1] * 4)
    return net


def test_several_inputs_and_outputs() -> None:
    net = Network((1, 2, 5, 4), (1, 2, 5, 4))
    first = net.add("Add", "x0", "x1")
    second = net.add("Relu", first)
    proto = net.quantised(second, first)
    model = parse_onnx_model(proto.SerializeToString())
    assert [model.tensors[i].name for i in model.inputs] == ["x0", "x1"]
    samples = net.samples(3)
    values = reference.run(model, [
        model.tensors[i].batch(channels_last(x)) for i, x in zip(model.inputs, samples.values())
    ])  # fmt: skip
    for index, theirs in zip(model.outputs, run(proto, samples)):
        np.testing.assert_array_equal(values[index], as_int8(model.tensors[index], theirs))


@pytest.mark.parametrize("images", [1, "images", "", -1])
def test_one_image_or_any_number(images: int | str) -> None:
    proto = conv_network().quantised()
    dimension = proto.graph.input[0].type.tensor_type.shape.dim[0]
    dimension.Clear()
    if isinstance(images, int):
        dimension.dim_value = images
    elif images:
        dimension.dim_param = images
    assert parse_onnx_model(proto.SerializeToString()).input.shape == (5, 4, 2)


def test_shapes_that_are_computed() -> None:
    """Flatten as PyTorch's ``x.view(x.shape[0], -1)`` exports it."""
    net = conv_network()
    proto = net.quantised()
    shape = net.add("Shape", net.last)
    first = net.add("Gather", shape, np.array(0, np.int64), axis=0)
    first = net.add("Unsqueeze", first, np.array([0]))
    target = net.add("Concat", first, np.array([-1]), axis=0)
    proto.graph.node.extend([
        *net.nodes[1:5],
        helper.make_node("Reshape", ["y0_dq", target], ["flat"]),
    ])  # fmt: skip
    for name, value in net.constants.items():
        if value.dtype == np.int64:
            proto.graph.initializer.append(numpy_helper.from_array(value, name))
    for node in proto.graph.node:
        if node.op_type == "Shape":
            node.input[0] = "y0_dq"
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, None))
    model = parse_onnx_model(proto.SerializeToString())
    assert model.output.shape == (60,)
    x = net.samples(2)["x0"]
    values = reference.run(model, model.input.batch(channels_last(x)))
    straight = reference.run(model, model.input.batch(channels_last(x)))[1]
    np.testing.assert_array_equal(
        values[model.output_index], straight.transpose(0, 3, 1, 2).reshape(2, -1)
    )


def test_channels_last_as_tf2onnx_writes_them() -> None:
    rng = np.random.default_rng(3)
    net = Network((1, 5, 4, 2))
    net.add("Transpose", "x0", perm=[0, 3, 1, 2])
    net.add("Conv", net.last, rng.normal(size=(3, 2, 3, 3)).astype(np.float32))
    net.add("Transpose", net.last, perm=[0, 2, 3, 1])
    proto = net.quantised()
    model = parse_onnx_model(proto.SerializeToString())
    assert [op.name for op in model.operators] == ["conv_0"]
    x = net.samples(3)["x0"]
    (theirs,) = run(proto, {"x0": x})
    mine = reference.run(model, model.input.batch(x))[model.output_index]
    steps = np.rint(theirs / np.float32(model.output.scale)) + model.output.zero_point
    assert np.abs(mine - steps).max() <= 1


@pytest.mark.parametrize("opset", [10, 11, 12, 13, 15, 17, 21])
def test_versions(opset: int) -> None:
    proto = conv_network(opset=opset).quantised(per_channel=opset >= 13)
    if opset >= 21:
        proto.ir_version = 10
    assert parse_onnx_model(proto.SerializeToString()).layers[0].name == "conv_0"


def test_constants_in_another_file(tmp_path: Path) -> None:
    proto = conv_network().quantised()
    expected = parse_onnx_model(proto.SerializeToString()).layers[0].weights
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin",
              size_threshold=0)  # fmt: skip
    np.testing.assert_array_equal(load_model(tmp_path / "m.onnx").layers[0].weights, expected)


def test_a_float_bias_is_rounded_to_the_accumulator() -> None:
    net = Network((1, 4))
    net.add("MatMul", "x0", np.eye(4, dtype=np.float32))
    proto = net.quantised()
    bias = numpy_helper.from_array(np.array([0.5, -0.25, 0, 1], np.float32), "bias")
    proto.graph.initializer.append(bias)
    nodes = list(proto.graph.node)
    place = next(k for k, node in enumerate(nodes) if node.op_type == "MatMul")
    added = helper.make_node("Add", ["y0", "bias"], ["sum"])
    nodes[place + 1].input[0] = "sum"
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes[: place + 1], added, *nodes[place + 1 :]])
    model = parse_onnx_model(proto.SerializeToString())
    (layer,) = model.layers
    unit = model.input.scale * layer.weight_scales.astype(np.float64)
    np.testing.assert_array_equal(layer.bias, np.rint(np.array([0.5, -0.25, 0, 1]) / unit))


def test_a_function_that_is_not_quantised() -> None:
    """What depends on one value alone has a range that is known."""
    net = Network((1, 3, 5, 4))
    net.add("HardSwish", "x0")
    net.add("GlobalAveragePool", net.last)
    proto = net.quantised()
    for node in proto.graph.node:
        if node.op_type == "GlobalAveragePool":
            node.input[0] = "y0"
    model = parse_onnx_model(proto.SerializeToString())
    (note,) = model.notes
    assert note.startswith("A function of 'x0' is not quantised in the file; here it has scale ")
    samples = net.samples(4, seed=9)
    values = reference.run(model, model.input.batch(channels_last(samples["x0"])))
    theirs = as_int8(model.output, run(proto, samples)[0])
    assert np.abs(values[model.output_index] - theirs).max() <= 2


def test_quantised_functions() -> None:
    """Local functions, as PyTorch's newer exporter writes them, are opened."""
    proto = conv_network().quantised()
    body = [helper.make_node("Relu", ["a"], ["b"])]
    opsets = [helper.make_opsetid("", 17)]
    proto.functions.append(helper.make_function("own", "Act", ["a"], ["b"], body, opsets))
    proto.opset_import.append(helper.make_opsetid("own", 1))
    proto.graph.node.append(helper.make_node("Act", ["y0_dq"], ["z"], domain="own"))
    more = ["z_q", "y0_scale", "y0_zero"]
    proto.graph.node.append(helper.make_node("QuantizeLinear", ["z", *more[1:]], ["z_q"]))
    proto.graph.node.append(helper.make_node("DequantizeLinear", more, ["z_dq"]))
    proto.graph.output[0].name = "z_dq"
    model = parse_onnx_model(proto.SerializeToString())
    assert model.operators[-1].name == "relu_1"


def with_constants_as_operators(proto: Any) -> Any:
    """As exporters write them that have no initialisers."""
    nodes = []
    for tensor in proto.graph.initializer:
        value, attribute = numpy_helper.to_array(tensor), {"value": tensor}
        if value.dtype == np.float32:
            attribute = {"value_floats": value.reshape(-1).tolist()}
            if not value.ndim:
                attribute = {"value_float": float(value)}
        elif value.dtype == np.int64:
            attribute = {"value_ints": value.tolist()} if value.ndim else {"value_int": int(value)}
        nodes.append(helper.make_node("Constant", [], [tensor.name], **attribute))
    nodes += proto.graph.node
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.extend(nodes)
    return proto


def test_constants_as_operators() -> None:
    net = conv_network()
    net.add("Gather", net.last, np.array(1), axis=1)
    net.add("Reshape", net.last, np.array([0, -1]))
    proto = net.quantised()
    expected = parse_onnx_model(proto.SerializeToString())
    again = parse_onnx_model(with_constants_as_operators(proto).SerializeToString())
    x = expected.input.batch(channels_last(net.samples(2)["x0"]))
    np.testing.assert_array_equal(
        reference.run(again, x)[again.output_index],
        reference.run(expected, x)[expected.output_index],
    )


def test_what_integers_mean_may_be_said_by_operators_on_constants() -> None:
    net = Network((1, 6))
    net.constants |= {"s": np.float32(0.5), "z": np.int8(3)}
    net.add("DequantizeLinear", "x0", "s", "z")
    net.add("QuantizeLinear", net.add("Relu", net.last), "s", "z")
    types = TensorProto.INT8, TensorProto.INT8
    proto = make(net.nodes, ["x0"], [(1, 6)], [net.last], net.constants, 17, *types)
    model = parse_onnx_model(with_constants_as_operators(proto).SerializeToString())
    assert (model.input.scale, model.input.zero_point) == (0.5, 3)


def test_a_change_of_quantisation_alone() -> None:
    constants = {"s": np.float32(0.1), "t": np.float32(0.3), "z": np.int8(5)}
    nodes = [
        helper.make_node(kind, [source, scale, "z"], [target])
        for kind, source, scale, target in (
            ("QuantizeLinear", "x", "s", "a"), ("DequantizeLinear", "a", "s", "b"),
            ("QuantizeLinear", "b", "t", "c"), ("DequantizeLinear", "c", "t", "y"),
        )
    ]  # fmt: skip
    proto = make(nodes, ["x"], [(1, 99)], ["y"], constants)
    model = parse_onnx_model(proto.SerializeToString())
    assert [type(op) for op in model.operators] == [graph.Lookup]
    x = np.linspace(-15, 15, 99, dtype=np.float32)[None]
    mine = reference.run(model, model.input.batch(x))[model.output_index]
    np.testing.assert_array_equal(mine, as_int8(model.output, run(proto, {"x": x})[0]))


def test_inputs_that_nothing_reads() -> None:
    proto = conv_network().quantised()
    proto.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1, 4]))
    model = parse_onnx_model(proto.SerializeToString())
    assert model.notes == ("Input 'more' is left out, as no operator reads it.",)
    assert [model.tensors[k].name for k in model.inputs] == ["x0"]


def test_an_end_that_forks_and_joins_is_left_out() -> None:
    net = Network((1, 7))
    net.add("Relu", "x0")
    proto = net.quantised()
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(2), "two"))
    proto.graph.node.extend(
        helper.make_node(kind, inputs, [output])
        for kind, inputs, output in (
            ("Softmax", ["y0_dq"], "a"), ("Log", ["a"], "b"), ("Mul", ["a", "two"], "c"),
            ("Add", ["b", "c"], "end"),
        )
    )  # fmt: skip
    proto.graph.output[0].name = "end"
    model = parse_onnx_model(proto.SerializeToString())
    assert model.notes == (
        "The end of the file is not int8 and is left out: Add (1), Log (1), Mul (1), Softmax (1). "
        "The outputs are those int8 tensors that it begins from: 'y0_dq'.",
    )


def test_as_numpy_made_networks_are_built() -> None:
    nodes = [helper.make_node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"])]
    constants = {
        "s": np.float32(0.5), "z": np.int8(0), "w": np.ones((1, 1, 1, 1), np.int8),
    }  # fmt: skip
    proto = make(nodes, ["x"], [(1, 1, 2, 2)], ["y"], constants, 17, 3, 3)
    model = parse_onnx_model(proto.SerializeToString())
    assert model.input.interface is None
    assert model.output.interface is None


def dequantised_by(nodes: list[Any], constants: Mapping[str, Array], weights: str) -> Any:
    """A Gemm whose weights other operators give."""
    net = Network((1, 4))
    net.add("Gemm", "x0", np.ones((3, 4), np.float32), transB=1)
    proto = net.quantised()
    kept = [node for node in proto.graph.node if node.output[0] != "c0_dq"]
    gemm = next(node for node in kept if node.op_type == "Gemm")
    gemm.input[1] = weights
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *kept])
    for name, value in constants.items():
        proto.graph.initializer.append(numpy_helper.from_array(value, name))
    return proto


def test_weights_that_the_file_quantises() -> None:
    """As training frameworks write them: real weights, QuantizeLinear, DequantizeLinear."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 4)).astype(np.float32)
    scales = (np.abs(weights).max(axis=1) / 127).astype(np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["wq"], axis=0),
        helper.make_node("DequantizeLinear", ["wq", "s", "z"], ["wd"], axis=0),
    ]
    constants = {"w": weights, "s": scales, "z": np.zeros(3, np.int8)}
    model = parse_onnx_model(dequantised_by(nodes, constants, "wd").SerializeToString())
    (layer,) = model.layers
    np.testing.assert_array_equal(layer.weights, np.rint(weights / scales[:, None]))
    np.testing.assert_array_equal(layer.weight_scales, scales)
    assert layer.per_channel


def test_weights_that_are_turned_behind_their_quantisation() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (4, 3)).astype(np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wd"], axis=1),
        helper.make_node("Transpose", ["wd"], ["wt"], perm=[1, 0]),
        helper.make_node("Reshape", ["wt", "shape"], ["wr"]),
    ]
    constants = {
        "w": weights, "s": np.array([0.1, 0.2, 0.3], np.float32), "z": np.zeros(3, np.int8),
        "shape": np.array([3, 4], np.int64),
    }  # fmt: skip
    proto = dequantised_by(nodes, constants, "wr")
    model = parse_onnx_model(proto.SerializeToString())
    (layer,) = model.layers
    np.testing.assert_array_equal(layer.weights, weights.T)
    np.testing.assert_array_equal(layer.weight_scales, constants["s"])
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    mine = reference.run(model, model.input.batch(x))[model.output_index]
    assert np.abs(mine - as_int8(model.output, run(proto, {"x0": x})[0])).max() <= 1


@pytest.mark.parametrize("unsigned", [False, True])
def test_weights_of_4_bits(unsigned: bool) -> None:
    weights = np.array([[-8, 7, 1, 0], [3, -2, 5, -7], [0, 0, 1, -1]], np.int8)
    type_, moved = (TensorProto.UINT4, 8) if unsigned else (TensorProto.INT4, 0)
    net_type = helper.make_tensor("w", type_, weights.shape, (weights + moved).reshape(-1))
    nodes = [helper.make_node("DequantizeLinear", ["w", "s", *(["z"] if moved else [])], ["wd"])]
    constants = {"s": np.asarray(0.5, np.float32)}
    proto = dequantised_by(nodes, constants, "wd")
    if moved:
        proto.graph.initializer.append(helper.make_tensor("z", type_, (), [moved]))
    proto.graph.initializer.append(net_type)
    proto.opset_import[0].version = 21
    proto.ir_version = 10
    model = parse_onnx_model(proto.SerializeToString())
    np.testing.assert_array_equal(model.layers[0].weights, weights)


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 1, 1), (1,), ()])
def test_numbers_added_to_a_convolution_are_its_bias(shape: tuple[int, ...]) -> None:
    model = parse_onnx_model(with_added(shape).SerializeToString())
    (layer,) = model.operators
    assert isinstance(layer, graph.Convolution)
    assert layer.bias.any()


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 3), (1, 1, 3, 1)])
def test_numbers_that_differ_between_columns_are_none(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="before it is quantised"):
        parse_onnx_model(with_added(shape).SerializeToString())


def with_added(shape: tuple[int, ...]) -> Any:
    """A convolution with three filters, of a map of three columns, plus numbers."""
    net = Network((1, 2, 3, 3))
    net.add("Conv", "x0", np.ones((3, 2, 1, 1), np.float32))
    proto = net.quantised()
    terms = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(terms, "terms"))
    place = next(k for k, node in enumerate(proto.graph.node) if node.op_type == "Conv")
    proto.graph.node[place + 1].input[0] = "sum"
    proto.graph.node.insert(place + 1, helper.make_node("Add", ["terms", "y0"], ["sum"]))
    return proto


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("Relu", None, 20.0), ("Identity", 0.0, 20.0), ("Identity", 0.0, 9.5),
     ("Identity", -50.0, 1e6),
     ("Abs", 0.0, 15.0), ("Sigmoid", 0.1, 0.9), ("HardSwish", None, 20.0), ("Tanh", None, 1.0),
     ("Identity", 0.0, 6.0), ("Identity", 0.0, 1e5)],
)  # fmt: skip
def test_limits_far_from_zero_are_kept(kind: str, low: float | None, high: float | None) -> None:
    """A function is only taken for one of the graph's where both agree everywhere."""
    limits = {name: np.float32(n) for name, n in (("low", low), ("high", high)) if n is not None}
    nodes = [
        helper.make_node(kind, ["x"], ["f"]),
        helper.make_node(
            "Clip", ["f", *(n if n in limits else "" for n in ("low", "high"))], ["y"]
        ),
    ]
    proto = make(nodes, ["x"], [(1, 12)], ["y"], limits, 17)
    x = np.float32([[-1e7, -300, -60, -12, -9.4, -3, 0.5, 8, 9.7, 12, 60, 1e7]])
    network = parse_float_onnx(proto.SerializeToString())
    found = forward.run(network, x)[network.outputs[0]]
    np.testing.assert_allclose(found, run(proto, {"x": x})[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [("Gelu", {}), ("Gelu", {"approximate": "tanh"}), ("Elu", {}), ("HardSigmoid", {"alpha": 0.1}),
     ("HardSwish", {}), ("LeakyRelu", {"alpha": 0.3}), ("Relu", {}), ("Sigmoid", {}), ("Tanh", {}),
     ("Abs", {}), ("Exp", {}), ("Neg", {})],
)  # fmt: skip
def test_functions_of_functions(kind: str, attributes: dict[str, object]) -> None:
    """Each is of what comes before it, not of the tensor that the chain begins with."""
    nodes = [
        helper.make_node("Neg", ["x"], ["n"]), helper.make_node(kind, ["n"], ["y"], **attributes),
    ]  # fmt: skip
    proto = make(nodes, ["x"], [(1, 9)], ["y"], {}, 20)
    x = np.linspace(-4, 4, 9, dtype=np.float32)[None]
    network = parse_float_onnx(proto.SerializeToString())
    found = forward.run(network, x)[network.outputs[0]]
    np.testing.assert_allclose(found, run(proto, {"x": x})[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("size", [5, 6])
@pytest.mark.parametrize("ceil", [0, 1])
def test_pooling_that_is_padded_by_name(kind: str, size: int, ceil: int) -> None:
    """``ceil_mode`` takes none of the padding away."""
    node = helper.make_node(
        kind, ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER",
        ceil_mode=ceil,
    )  # fmt: skip
    proto = make([node], ["x"], [(1, 1, size, size)], ["y"], {}, 13)
    x = np.random.default_rng(0).normal(size=(1, 1, size, size)).astype(np.float32)
    network = parse_float_onnx(proto.SerializeToString())
    found = forward.run(network, x.transpose(0, 2, 3, 1))[network.outputs[0]]
    expected = run(proto, {"x": x})[0].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_studies_of_a_function_without_a_name() -> None:
    """ONNX has more functions than TFLite: they are tables, with gradients of their own."""
    torch = pytest.importorskip("torch")
    from axynq.emulator.frameworks.pytorch import to_torch

    rng = np.random.default_rng(0)
    net = Network((1, 4, 6, 6))
    net.add("Conv", "x0", rng.normal(size=(4, 4, 3, 3)).astype(np.float32) / 4, pads=[1] * 4)
    net.add("Softplus", net.last)
    net.add("Flatten", net.last)
    net.add("Gemm", net.last, rng.normal(size=(3, 144)).astype(np.float32), transB=1)
    model = parse_onnx_model(net.quantised().SerializeToString())
    assert [op.kind for op in model.operators if isinstance(op, graph.Lookup)] == ["table"]
    x = net.samples(20)["x0"]
    approximate = to_torch(model, "roup:1,4")
    found = approximate(torch.from_numpy(x))
    expected = model.output.dequantise(Emulator(model, "roup:1,4").run(channels_last(x)))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-6, atol=1e-6)
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in approximate.parameters())
    given8 = model.input.batch(channels_last(x))
    increase = estimate(model, given8, expected.argmax(axis=1), ["roup:2,6"])
    assert all(values.any() for values in increase.values())


def test_operators_that_lead_round_in_a_circle() -> None:
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in (("x", "b"), ("b", "x"))]
    proto = make(nodes, ["x"], [(1, 3, 4, 4)], ["b"], {}, 13)
    with pytest.raises(ModelError, match="there already"):
        parse_float_onnx(proto.SerializeToString())


@pytest.mark.parametrize("left_out", [[], [""]])
def test_outputs_that_are_left_out_stop_nothing(left_out: list[str]) -> None:
    """An operator that cannot be read leaves one out, and another leaves out an input."""
    numbers = {"s": np.float32(0.1), "z": np.int8(0), "most": np.float32(3)}
    ends = [
        helper.make_node(kind, [name, "s", "z"], [to])
        for source, held in (("x", "a"), ("f", "r"), ("c", "y"))
        for kind, name, to in (
            ("QuantizeLinear", source, f"{held}q"), ("DequantizeLinear", f"{held}q", held),
        )
    ]  # fmt: skip
    nodes = [
        *ends[:2],
        helper.make_node("Relu", ["a"], ["f"]),
        *ends[2:4],
        helper.make_node("Unknown", ["r"], ["t", *left_out]),
        helper.make_node("Clip", ["a", "", "most"], ["c"]),
        *ends[4:],
    ]
    model = parse_onnx_model(make(nodes, ["x"], [(1, 4)], ["t", "y"], numbers).SerializeToString())
    assert len(model.outputs) == 2
    assert "Unknown" in model.notes[0]
