# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reading and writing ``.tflite`` files."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import fields
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq import emulator
from axynq.emulator import load_model, reference, save_model
from axynq.emulator.errors import ModelError, ToolError
from axynq.emulator.file_formats.tflite_reader import parse_model
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from tests.emulator import runtime
from tests.networks import other_models, tensor, weighted_models


def assert_same_graph(first: graph.Model, second: graph.Model) -> None:
    assert first.tensors == second.tensors
    assert (first.input_index, first.output_index) == (second.input_index, second.output_index)
    assert len(first.operators) == len(second.operators)
    for a, b in zip(first.operators, second.operators):
        assert type(a) is type(b)
        for field in fields(a):
            if field.name == "name":
                continue
            if field.name == "per_channel" and len(a.bias) == 1:  # the file cannot tell
                continue
            left, right = getattr(a, field.name), getattr(b, field.name)
            assert np.array_equal(left, right), (a.name, field.name)


@settings(max_examples=80)
@given(st.one_of(weighted_models(), other_models()))
def test_what_is_written_reads_back(model: graph.Model) -> None:
    assert_same_graph(parse_model(serialise_model(model)), model)


def test_mlperf_models_read(resnet8: graph.Model, keyword: graph.Model) -> None:
    kinds = [type(op).__name__ for op in resnet8.operators]
    assert kinds.count("Convolution") == 9
    assert kinds.count("Add") == 3
    assert kinds[-4:] == ["Pool", "Reshape", "FullyConnected", "Softmax"]
    assert resnet8.input == graph.Tensor("input_1_int8", (32, 32, 3), 1.0, -128)
    assert sum(resnet8.multiplications(layer) for layer in resnet8.layers) == 12_501_632
    assert [type(op).__name__ for op in keyword.operators].count("DepthwiseConvolution") == 4
    assert keyword.input.zero_point == 83


def test_mlperf_models_survive_writing(resnet8: graph.Model, keyword: graph.Model) -> None:
    for model in (resnet8, keyword):
        assert_same_graph(parse_model(serialise_model(model)), model)


def test_layer_by_name(digits: graph.Model) -> None:
    assert digits.layer("conv_0").kernel.shape == (16, 3, 3, 1)
    with pytest.raises(ModelError, match=r"no layer 'conv_9'; its layers are: conv_0, depthwise_1"):
        digits.layer("conv_9")


# --- files that are not int8 networks ------------------------------------------------------------


def test_missing_file() -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        load_model("nowhere.tflite")


def test_wrong_magic(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"this is no TFLite model at all")
    with pytest.raises(ModelError, match=r"m\.tflite.*identifier 'TFL3'"):
        load_model(path)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"")
    with pytest.raises(ModelError, match="only 0 bytes"):
        load_model(tmp_path / "m.tflite")


@pytest.mark.parametrize("share", np.linspace(0.01, 0.99, 40))
def test_truncated_file(digits_path: Path, share: float) -> None:
    content = digits_path.read_bytes()
    with pytest.raises(ModelError):
        parse_model(content[: int(share * len(content))])


@settings(max_examples=300)
@given(st.data())
def test_damaged_file_is_a_model_error_or_a_model(digits_path: Path, data: st.DataObject) -> None:
    content = bytearray(digits_path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of the structure lies in the last few kilobytes.
        low = data.draw(st.sampled_from([8, len(content) - 6000]))
        content[data.draw(st.integers(low, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ModelError):
        parse_model(bytes(content))


def one_operator_file(
    kind: int, type_: int, options_kind: str | None = None, outputs: int = 1
) -> bytes:
    """A file with one operator between two tensors of a type."""
    b = flatbuffers.Builder(1024)

    def vector(start, offsets):  # type: ignore[no-untyped-def]
        start(b, len(offsets))
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return b.EndVector()

    tensors = []
    for name in ("x", "y"):
        text = b.CreateString(name)
        shape = b.CreateNumpyVector(np.array([1, 4], np.int32))
        tflite.TensorStart(b)
        tflite.TensorAddName(b, text)
        tflite.TensorAddShape(b, shape)
        tflite.TensorAddType(b, type_)
        tensors.append(tflite.TensorEnd(b))
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(kind, 127))
    tflite.OperatorCodeAddBuiltinCode(b, kind)
    codes = vector(tflite.ModelStartOperatorCodesVector, [tflite.OperatorCodeEnd(b)])
    inputs = b.CreateNumpyVector(np.array([0], np.int32))
    output = b.CreateNumpyVector(np.array([1], np.int32))
    tflite.OperatorStart(b)
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, output)
    operators = vector(tflite.SubGraphStartOperatorsVector, [tflite.OperatorEnd(b)])
    tensor_vector = vector(tflite.SubGraphStartTensorsVector, tensors)
    graph_outputs = b.CreateNumpyVector(np.array([1] * outputs, np.int32))
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, tensor_vector)
    tflite.SubGraphAddInputs(b, inputs)
    tflite.SubGraphAddOutputs(b, graph_outputs)
    tflite.SubGraphAddOperators(b, operators)
    subgraphs = vector(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(b)])
    tflite.BufferStart(b)
    buffers = vector(tflite.ModelStartBuffersVector, [tflite.BufferEnd(b)])
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, codes)
    tflite.ModelAddSubgraphs(b, subgraphs)
    tflite.ModelAddBuffers(b, buffers)
    b.Finish(tflite.ModelEnd(b), b"TFL3")
    return bytes(b.Output())


def test_float_model() -> None:
    content = one_operator_file(tflite.BuiltinOperator.SOFTMAX, tflite.TensorType.FLOAT32)
    with pytest.raises(ModelError, match=r"tensor 'x' is float32; only models quantised to int8"):
        parse_model(content)


def test_unsupported_operator_is_named() -> None:
    content = one_operator_file(tflite.BuiltinOperator.ELU, tflite.TensorType.INT8)
    with pytest.raises(ModelError, match="one scale"):
        parse_model(content)  # the tensors come first
    model = graph.Model(
        "m",
        (tensor("x", (4,), 0.1, 0), tensor("y", (4,), 1 / 256, -128)),
        (graph.Softmax("softmax_0", (0,), 1, 1.0),),
        (0,),
        (1,),
    )
    changed = serialise_model(model).replace(
        bytes([tflite.BuiltinOperator.SOFTMAX]), bytes([tflite.BuiltinOperator.ELU])
    )
    with pytest.raises(ModelError, match="operator 0 is ELU, which is not supported"):
        parse_model(changed)


@pytest.mark.parametrize(
    ("scale", "beta", "classes", "reason"),
    [
        (2.0**-26, 1.0, 4, r"beta 1.0 times input scale 1.49\S*e-08 must be above 1.5e-08"),
        (0.1, 0.0, 4, "beta 0.0 times input scale 0.1"),
        (0.1, float("nan"), 4, "beta nan times input scale 0.1"),
        (0.1, 1.0, 4096, "over 4096 values; 4095 at most are supported"),
    ],
)
def test_softmax_that_tflite_cannot_compute(
    scale: float, beta: float, classes: int, reason: str
) -> None:
    tensors = tensor("x", (classes,), scale, 0), tensor("y", (classes,), 1 / 256, -128)
    model = graph.Model("m", tensors, (graph.Softmax("softmax_0", (0,), 1, beta),), (0,), (1,))
    with pytest.raises(ModelError, match=reason):
        parse_model(serialise_model(model))


def test_windows_whose_sum_leaves_32_bits() -> None:
    source = tensor("x", (2896, 2897, 1), 0.1, 0)
    mean = graph.Mean("mean_0", (0,), 1, False)
    average = graph.Pool("average_pool_0", (0,), 1, "average", (2896, 2897), (1, 1))
    for op, shape in ((mean, (1,)), (average, (1, 1, 1))):
        model = graph.Model("m", (source, tensor("y", shape, 0.1, 0)), (op,), (0,), (1,))
        with pytest.raises(ModelError, match="the sum of 8389712 positions may leave 32 bits"):
            parse_model(serialise_model(model))


def odd_padding(kind: str, stride: int = 1) -> graph.Model:
    """A window with more padding than SAME has."""
    rng = np.random.default_rng(3)
    source, size = tensor("x", (4, 4, 2), 0.1, 5), (8 - 3) // stride + 1
    around = graph.Padding(2, 2, 2, 2)
    op: graph.Operator
    if kind == "conv":
        target = tensor("y", (size, size, 3), 0.3, 0)
        op = graph.Convolution(
            "conv_0", (0,), 1, rng.integers(-127, 128, (3, 3, 3, 2)).astype(np.int8),
            np.zeros(3, np.int32), np.full(3, 0.01, np.float32), stride=(stride, stride),
            padding=around,
        )  # fmt: skip
    else:
        target = tensor("y", (size, size, 2), 0.1, 5)
        pool = "max" if kind == "max" else "average"
        op = graph.Pool(
            f"{kind}_pool_0", (0,), 1, pool, (3, 3), (stride, stride), around, "relu"
        )  # fmt: skip
    return graph.Model("m", (source, target), (op,), (0,), (1,))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", ["conv", "max"])
def test_padding_that_needs_an_operator_of_its_own(kind: str, stride: int) -> None:
    model = odd_padding(kind, stride)
    x = np.random.default_rng(0).integers(-128, 128, (3, 4, 4, 2)).astype(np.int8)
    content = serialise_model(model)
    expected = reference.run(model, x)[1]
    assert np.array_equal(runtime.run("tflite_runtime", content, x), expected)
    again = parse_model(content)
    assert np.array_equal(reference.run(again, x)[again.output_index], expected)


def test_padding_that_tflite_cannot_express(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not SAME or VALID"):
        save_model(odd_padding("average"), tmp_path / "m.tflite")


def test_without_the_package(digits: graph.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on boards, which run programs alone; what else is missing is no such case."""
    writer = "axynq.emulator.file_formats.tflite_writer"
    monkeypatch.delitem(sys.modules, writer)
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(ToolError, match="needs the package tflite: pip install tflite"):
        emulator.save_model(digits, "net.tflite")
    monkeypatch.setitem(sys.modules, writer, None)
    with pytest.raises(ModuleNotFoundError, match="tflite_writer"):
        emulator.save_model(digits, "net.tflite")


def test_unwritable_path(digits: graph.Model) -> None:
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(digits, "/nowhere/m.tflite")
