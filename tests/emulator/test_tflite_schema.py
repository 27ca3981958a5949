# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Files changed through TFLite's own schema: what the reader makes of each field."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator
from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.tflite_file import operator_code
from axynq.emulator.file_formats.tflite_reader import parse_model
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from tests.conftest import data_file
from tests.emulator.runtime import run
from tests.emulator.test_interfaces import FLOAT, with_interfaces
from tests.emulator.test_tflite import assert_same_graph
from tests.emulator.tflite_drawing import Drawing
from tests.networks import convolution, random_input, tensor

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
CODES, TYPES = schema.BuiltinOperator, schema.TensorType


def changed(content: bytes, change: Callable[[Any], None]) -> bytes:
    """A file after a change to its schema's objects."""
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(content), 0))
    change(file)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def small() -> bytes:
    return serialise_model(convolution(5, 5, 4, 4, 3, 0))


def several() -> graph.Model:
    """A chain of seven operators."""
    maps = [tensor(f"t{k}", (4, 4, 2), 0.1, 3) for k in range(8)]
    pools = [
        graph.Pool(f"max_pool_{k}", (k,), k + 1, "max", (1, 1), (1, 1)) for k in range(7)
    ]  # fmt: skip
    return graph.Model("several", tuple(maps), tuple(pools), (0,), (7,))


def set_codes(*codes: int | tuple[int, str]) -> Callable[[Any], None]:
    """Give the operators these codes, or custom names."""

    def change(file: Any) -> None:
        file.operatorCodes = []
        for number, code in enumerate(codes):
            made = schema.OperatorCodeT()
            code, made.customCode = code if isinstance(code, tuple) else (code, None)
            made.builtinCode, made.deprecatedBuiltinCode = code, min(code, 127)
            file.operatorCodes.append(made)
            file.subgraphs[0].operators[number].opcodeIndex = number

    return change


# --- operator codes ------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["builtinCode", "deprecatedBuiltinCode"])
def test_a_file_may_have_one_of_both_fields_of_a_code(digits: graph.Model, field: str) -> None:
    def one_field(file: Any) -> None:
        for code in file.operatorCodes:
            setattr(code, field, 0)

    assert_same_graph(parse_model(changed(serialise_model(digits), one_field)), digits)


def test_an_operator_is_never_taken_for_an_addition(digits: graph.Model) -> None:
    def divide(file: Any) -> None:
        for code in file.operatorCodes:
            if code.builtinCode == CODES.ADD:
                code.builtinCode = CODES.DIV

    with pytest.raises(ModelError, match=r"is DIV, which is not supported"):
        parse_model(changed(serialise_model(digits), divide))


def all_files() -> list[Path]:
    folder = data_file("models")
    shipped = Path(__file__).parents[2] / "models"
    return [*sorted(folder.rglob("*.tflite")), *sorted(shipped.glob("*.tflite"))]


OPTIONS = ("Conv2DOptions", "DepthwiseConv2DOptions", "FullyConnectedOptions", "AddOptions",
           "Pool2DOptions", "ReducerOptions", "SoftmaxOptions")  # fmt: skip
FIELDS = {
    "Model": ("SubgraphsLength", "OperatorCodesLength"),
    "SubGraph": ("InputsAsNumpy", "OutputsAsNumpy", "TensorsLength", "OperatorsLength"),
    "Tensor": ("Name", "ShapeAsNumpy", "Type", "Buffer"),
    "QuantizationParameters": ("ScaleLength", "ScaleAsNumpy", "ZeroPointLength",
                               "ZeroPointAsNumpy"),
    "Operator": ("OpcodeIndex", "InputsAsNumpy", "OutputsAsNumpy", "BuiltinOptionsType"),
    "OperatorCode": ("DeprecatedBuiltinCode", "CustomCode"),
    "Buffer": ("DataLength", "DataAsNumpy"),
    "Conv2DOptions": ("StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "Padding",
                      "FusedActivationFunction"),
    "DepthwiseConv2DOptions": ("StrideH", "StrideW", "DilationHFactor", "DilationWFactor",
                               "Padding", "FusedActivationFunction"),
    "FullyConnectedOptions": ("WeightsFormat", "FusedActivationFunction"),
    "AddOptions": ("FusedActivationFunction",),
    "Pool2DOptions": ("FilterHeight", "FilterWidth", "StrideH", "StrideW", "Padding",
                      "FusedActivationFunction"),
    "ReducerOptions": ("KeepDims",),
    "SoftmaxOptions": ("Beta",),
}  # fmt: skip
"""Everything that the reader reads, by table."""


def assert_same_fields(kind: str, mine: Any, theirs: Any) -> None:
    for name in FIELDS[kind]:
        first, second = getattr(mine, name)(), getattr(theirs, name)()
        assert np.array_equal(first, second), (kind, name, first, second)


def test_every_field_is_read_as_tflite_reads_it() -> None:
    for path in all_files():
        content = path.read_bytes()
        mine, theirs = tflite.Model.GetRootAsModel(content, 0), schema.Model.GetRootAs(content, 0)
        assert_same_fields("Model", mine, theirs)
        for k in range(mine.OperatorCodesLength()):
            first, second = mine.OperatorCodes(k), theirs.OperatorCodes(k)
            assert_same_fields("OperatorCode", first, second)
            expected = max(second.BuiltinCode(), second.DeprecatedBuiltinCode())
            assert operator_code(first) == expected
        left, right = mine.Subgraphs(0), theirs.Subgraphs(0)
        assert_same_fields("SubGraph", left, right)
        for k in range(left.TensorsLength()):
            first, second = left.Tensors(k), right.Tensors(k)
            assert_same_fields("Tensor", first, second)
            if first.Quantization() is not None:
                quantisations = first.Quantization(), second.Quantization()
                assert_same_fields("QuantizationParameters", *quantisations)
            buffers = mine.Buffers(first.Buffer()), theirs.Buffers(second.Buffer())
            assert_same_fields("Buffer", *buffers)
        for k in range(left.OperatorsLength()):
            first, second = left.Operators(k), right.Operators(k)
            assert_same_fields("Operator", first, second)
            names = [n for n, v in vars(schema.BuiltinOptions).items()
                     if v == first.BuiltinOptionsType() and n in OPTIONS]  # fmt: skip
            for name in names:
                tables = getattr(tflite, name)(), getattr(schema, name)()
                for table, operator in zip(tables, (first, second)):
                    table.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
                assert_same_fields(name, *tables)


def test_constants_behind_the_tables(digits: graph.Model) -> None:
    model = replace(digits, operators=digits.operators[:1], outputs=(1,))
    model = replace(model, tensors=model.tensors[:2])
    held: list[bytes] = []

    def move_out(base: int) -> Callable[[Any], None]:
        def change(file: Any) -> None:
            held.clear()
            for buffer in file.buffers:
                if buffer.data is not None and len(buffer.data):
                    # The same size of the tables, wherever the constants lie.
                    buffer.offset = base + sum(map(len, held))
                    buffer.size = len(buffer.data)
                    held.append(bytes(buffer.data) + bytes(-len(buffer.data) % 16))
                    buffer.data = None

        return change

    content = serialise_model(model)
    base = -(-len(changed(content, move_out(1 << 20))) // 16) * 16
    content = changed(content, move_out(base)).ljust(base, b"\0") + b"".join(held)
    assert_same_graph(parse_model(content), model)
    x = random_input(model, 3, 0)
    assert np.array_equal(run("ai_edge_litert", content, x), Emulator(model).run(x))
    with pytest.raises(ModelError, match="lacks the end of buffer"):
        parse_model(content[:-32])


# --- scales of zero ------------------------------------------------------------------------------


def test_filters_that_are_pruned_away(digits: graph.Model) -> None:
    operators: list[graph.Operator] = []
    for op in digits.operators:
        if isinstance(op, graph.WeightedLayer):
            scales = op.weight_scales.copy()
            scales[:: 2 if op.per_channel else 1] = 0
            op = replace(op, weight_scales=scales)
        operators.append(op)
    end = operators[5].output
    model = replace(
        digits, tensors=digits.tensors[: end + 1], operators=tuple(operators[:6]), outputs=(end,)
    )
    content = serialise_model(model)
    again = parse_model(content)
    assert_same_graph(again, model)
    x = random_input(model, 5, 0)
    expected = run("tflite_runtime", content, x)
    for engine in ("auto", "portable"):
        assert np.array_equal(Emulator(again, engine=engine).run(x), expected)


def test_scales_of_tensors_that_nothing_uses() -> None:
    def add_unused(file: Any) -> None:
        for scale in (0.0, -1.0, float("nan")):
            unused = schema.TensorT()
            unused.shape, unused.type, unused.name = [1, 4], TYPES.INT8, "unused"
            unused.quantization = schema.QuantizationParametersT()
            unused.quantization.scale, unused.quantization.zeroPoint = [scale], [0]
            file.subgraphs[0].tensors.append(unused)

    assert_same_graph(parse_model(changed(small(), add_unused)), parse_model(small()))


@pytest.mark.parametrize("scale", [0.0, -0.5, float("nan"), float("inf")])
def test_scales_of_tensors_that_are_used(scale: float) -> None:
    def change(file: Any) -> None:
        file.subgraphs[0].tensors[1].quantization.scale = [scale]

    with pytest.raises(ModelError, match=r"tensor 'y' has a scale of .*, not a positive number"):
        parse_model(changed(small(), change))

    def weights(file: Any) -> None:
        file.subgraphs[0].tensors[2].quantization.scale = np.array([scale] * 4, np.float32)

    if scale != 0:
        with pytest.raises(ModelError, match="weights have a scale that is negative or not finite"):
            parse_model(changed(small(), weights))


# --- everything that is not supported, at once ---------------------------------------------------


def test_all_kinds_of_unsupported_operators_are_listed() -> None:
    custom = (CODES.CUSTOM, b"TFLite_Detection_PostProcess")
    codes = set_codes(
        CODES.ELU, CODES.MAX_POOL_2D, custom, CODES.ELU, (CODES.CUSTOM, b"FlexErf"),
        CODES.SVDF, CODES.MAX_POOL_2D,
    )  # fmt: skip
    with pytest.raises(ModelError) as caught:
        parse_model(changed(serialise_model(several()), codes))
    assert (
        "has operators that are not supported: CUSTOM 'FlexErf' (1), "
        "CUSTOM 'TFLite_Detection_PostProcess' (1), ELU (2), SVDF (1) (recurrent networks are not "
    ) in str(caught.value)
    assert "convert the network again without SELECT_TF_OPS" in str(caught.value)
    assert "what a custom operator does is known to the program" in str(caught.value)
    assert ". Supported: ABS, ADD, " in str(caught.value)


def test_networks_with_loops() -> None:
    def change(file: Any) -> None:
        set_codes(CODES.WHILE)(file)
        file.subgraphs.append(file.subgraphs[0])

    with pytest.raises(ModelError, match=r"2 subgraphs for WHILE \(branches, loops or memory\); o"):
        parse_model(changed(small(), change))


def test_wrong_options_of_several_operators_are_listed() -> None:
    def change(file: Any) -> None:
        operators = file.subgraphs[0].operators
        for number in (1, 4):
            operators[number].builtinOptions.fusedActivationFunction = 5
        operators[2].builtinOptions.strideH = 0
        operators[6].builtinOptionsType = schema.BuiltinOptions.AddOptions
        operators[6].builtinOptions = schema.AddOptionsT()

    with pytest.raises(ModelError) as caught:
        parse_model(changed(serialise_model(several()), change))
    assert str(caught.value) == (
        "'model': operators 1, 4 (MAX_POOL_2D): fused activation number 5 is not supported; "
        "operator 2 (MAX_POOL_2D): window, stride and dilation must be positive; "
        "operator 6 (MAX_POOL_2D): has the options of another operator"
    )


def test_wrong_types_of_several_tensors_are_listed() -> None:
    def change(file: Any) -> None:
        for number in (2, 5):
            file.subgraphs[0].tensors[number].type = TYPES.INT16

    with pytest.raises(ModelError) as caught:
        parse_model(changed(serialise_model(several()), change))
    assert "operator 1 (MAX_POOL_2D): tensor 't2' is int16; only models" in str(caught.value)
    assert "operator 4 (MAX_POOL_2D): tensor 't5' is int16; only models" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "weights", "text"),
    [
        ("FLOAT32", "FLOAT32", "This one is a float network: quantise it with `axynq"),
        ("FLOAT32", "FLOAT16", "This one is a float network with float16 weights: convert"),
        ("FLOAT32", "INT8", "of which only the weights are int8 (dynamic range quantisation)"),
        ("INT16", "INT8", "This one is quantised with int16 activations"),
    ],
)
def test_networks_that_are_not_int8(kind: str, weights: str, text: str) -> None:
    def change(file: Any) -> None:
        tensors = file.subgraphs[0].tensors
        tensors[0].type = tensors[1].type = getattr(TYPES, kind)
        tensors[2].type = getattr(TYPES, weights)
        buffer = file.buffers[tensors[2].buffer]
        size = {"FLOAT32": 4, "FLOAT16": 2, "INT8": 1}[weights]
        buffer.data = np.zeros(size * len(buffer.data), np.uint8)

    with pytest.raises(ModelError) as caught:
        parse_model(changed(small(), change))
    assert text in str(caught.value)
    assert f"tensor 'x' is {kind.lower()}; only models quantised to int8" in str(caught.value)


@pytest.mark.parametrize(
    ("custom", "chip"), [(b"edgetpu-custom-op", "the Edge TPU"), (b"ethos-u", r"an Ethos-U \(Vela")]
)
def test_networks_compiled_for_another_chip(custom: bytes, chip: str) -> None:
    with pytest.raises(ModelError, match=f"is compiled for {chip}.*that it was compiled from"):
        parse_model(changed(small(), set_codes((CODES.CUSTOM, custom))))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("shape", [1, -4, 5, 4], "tensor 0 has a negative dimension: [1, -4, 5, 4]"),
     ("opcodeIndex", 7, "operator 0 has no operator code"),
     ("inputs", [99], "operator 0 names a tensor that does not exist")],
)  # fmt: skip
def test_files_that_contradict_themselves(field: str, value: Any, message: str) -> None:
    def change(file: Any) -> None:
        graph_ = file.subgraphs[0]
        setattr(graph_.tensors[0] if field == "shape" else graph_.operators[0], field, value)

    with pytest.raises(ModelError) as caught:
        parse_model(changed(small(), change))
    assert f"is damaged: {message}" in str(caught.value)


def test_files_without_operators() -> None:
    def change(file: Any) -> None:
        file.subgraphs[0].operators = []

    with pytest.raises(ModelError, match="has no operators"):
        parse_model(changed(small(), change))


def test_files_without_constants_need_no_buffers() -> None:
    def change(file: Any) -> None:
        file.buffers = None

    assert_same_graph(parse_model(changed(serialise_model(several()), change)), several())


@pytest.mark.parametrize(
    ("code", "message"),
    [("CONV_2D", r"\(CONV_2D\): its weights are sparse, not constant"),
     ("ADD", r"\(ADD\): has a sparse operand")],
)  # fmt: skip
def test_sparse_constants(code: str, message: str) -> None:
    d = Drawing()
    x = d.given((1, 1, 1, 4))
    c = d.constant(np.ones((4, 1, 1, 4) if code == "CONV_2D" else (4,)), [0.1], dtype=np.int8)
    kind = {"CONV_2D": "Conv2DOptions", "ADD": "AddOptions"}[code]
    y = d.operator(code, [x, c], d.tensor((1, 1, 1, 4)), kind=kind)

    def change(file: Any) -> None:
        file.subgraphs[0].tensors[c].sparsity = schema.SparsityParametersT()

    with pytest.raises(ModelError, match=message):
        parse_model(changed(d.content(y), change))


def test_padding_that_no_memory_holds() -> None:
    def dilated(file: Any) -> None:
        options = file.subgraphs[0].operators[0].builtinOptions
        options.padding, options.dilationHFactor = schema.Padding.SAME, 2**28

    def pooled(file: Any) -> None:
        options = file.subgraphs[0].operators[0].builtinOptions
        options.padding = schema.Padding.SAME
        options.filterHeight = options.filterWidth = 2**20

    for content, change in ((small(), dilated), (serialise_model(several()), pooled)):
        with pytest.raises(ModelError, match=r"with its padding the input has .* values"):
            parse_model(changed(content, change))


def test_groups_of_channels_that_do_not_fit() -> None:
    def change(file: Any) -> None:
        weights = file.subgraphs[0].tensors[2]
        weights.shape = [4, 3, 3, 3]
        buffer = file.buffers[weights.buffer]
        buffer.data = buffer.data[: 4 * 3 * 3 * 3]

    with pytest.raises(ModelError, match="weights have 3 channels for an input of 4"):
        parse_model(changed(small(), change))


# --- damage --------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_small_file_is_a_model_error_or_a_model(data: st.DataObject) -> None:
    content = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ModelError):
        parse_model(bytes(content))


SMALL = serialise_model(with_interfaces(convolution(4, 4, 1, 1, 1, 0), FLOAT, FLOAT))


def test_two_operators_cannot_compute_one_tensor() -> None:
    def change(file: Any) -> None:
        file.subgraphs[0].operators[3].outputs = [2]

    with pytest.raises(ModelError, match="operator 3 .*is damaged: it computes a tensor that is"):
        parse_model(changed(serialise_model(several()), change))


def test_the_input_and_operators_are_complained_of_together() -> None:
    def change(file: Any) -> None:
        file.subgraphs[0].tensors[0].type = TYPES.FLOAT32  # nothing quantises it
        set_codes(*[CODES.MAX_POOL_2D] * 3, CODES.ELU, *[CODES.MAX_POOL_2D] * 3)(file)

    with pytest.raises(ModelError) as caught:
        parse_model(changed(serialise_model(several()), change))
    assert "operator 3 is ELU, which is not supported (TFLite's" in str(caught.value)
    assert "; tensor 't0' is float32" in str(caught.value)
