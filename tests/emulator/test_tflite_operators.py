# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks of all operators: the oracle against TFLite's reference kernels, the writer and the
reader against each other, and files as other programs write them."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
import tflite
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from axynq.emulator import reference
from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats import tflite_static
from axynq.emulator.file_formats.tflite_assembly import FileTensor, assemble
from axynq.emulator.file_formats.tflite_file import TFLiteFile, operator_name
from axynq.emulator.file_formats.tflite_reader import HANDLERS, parse_model
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from axynq.emulator.model.quantisation import layer_factors
from tests.any_network import KINDS, RandomNetwork, any_models, random_inputs
from tests.emulator import runtime
from tests.emulator.tflite_drawing import FLOAT32, INT8, INT32, PLAIN, UINT8, Drawing
from tests.networks import tensor

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=150)
@given(any_models(tflite=True), SEEDS)
def test_networks_of_all_operators_equal_tflite(model: graph.Model, seed: int) -> None:
    inputs = random_inputs(model, 2, seed)
    values = reference.run(model, inputs)
    outputs = runtime.run_all("tflite_runtime", serialise_model(model), inputs)
    for index, output in zip(model.outputs, outputs):
        assert np.array_equal(values[index], output), model.tensors[index]


@settings(max_examples=100)
@given(any_models(), SEEDS)
def test_what_is_written_computes_the_same_when_read(model: graph.Model, seed: int) -> None:
    again = parse_model(serialise_model(model))
    inputs = random_inputs(model, 2, seed)
    before, after = reference.run(model, inputs), reference.run(again, inputs)
    for first, second in zip(model.outputs, again.outputs):
        assert np.array_equal(before[first], after[second])
    names = [layer.name for layer in model.layers]
    assert [layer.name for layer in again.layers if layer.name in names] == names


KEPT = tuple(kind for kind in KINDS if kind not in ("spread", "transposed_convolution"))


def test_transposed_convolutions_come_back() -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        network = RandomNetwork(rng, tflite=True)
        network.given((int(rng.integers(1, 6)), int(rng.integers(1, 6)), 3))
        network.transposed_convolution()
        model = network.model()
        again = parse_model(serialise_model(model))
        assert [type(op) for op in again.operators] == [graph.Spread, graph.Convolution]
        first, second = model.operators[0], again.operators[0]
        assert isinstance(first, graph.Spread)
        assert isinstance(second, graph.Spread)
        assert (first.stride, first.padding) == (second.stride, second.padding)
        assert np.array_equal(model.layers[0].weights, again.layers[0].weights)


@settings(max_examples=80)
@given(any_models(kinds=KEPT, tflite=True))
def test_the_same_operators_come_back(model: graph.Model) -> None:
    again = parse_model(serialise_model(model))
    kinds = [[type(op) for op in m.operators] for m in (model, again)]
    surrounds = [type(op) is graph.Surround for op in model.operators]
    for first, second, surround in zip(*kinds, surrounds):
        assert first is second or (surround and second is graph.Pad)
    assert len(kinds[0]) == len(kinds[1])
    assert [layer.name for layer in model.layers] == [layer.name for layer in again.layers]
    assert [again.tensors[k].name for k in again.outputs] == [
        model.tensors[k].name for k in model.outputs
    ]


@given(st.integers(1, 6), st.integers(1, 6), SEEDS)
def test_sums_equal_tflites_default_kernel(rows: int, columns: int, seed: int) -> None:
    """TFLite's reference kernel of SUM reads int8 as uint8."""
    rng = np.random.default_rng(seed)
    source = tensor("x", (rows, columns, 3), rng.uniform(0.01, 0.1), int(rng.integers(-128, 128)))
    target = tensor("y", (columns, 3), rng.uniform(0.01, 0.4), int(rng.integers(-128, 128)))
    op = graph.Reduce("sum_0", (0,), 1, "sum", (0,), False)
    model = graph.Model("m", (source, target), (op,), (0,), (1,))
    x = rng.integers(-128, 128, (4, *source.shape)).astype(np.int8)
    made = runtime.interpreter("tflite_runtime", serialise_model(model), kernels="default")
    assert np.array_equal(reference.run(model, x)[1], runtime.batch(made, [x])[0])


@settings(max_examples=150)
@given(any_models(), st.data())
def test_damaged_files_are_model_errors_or_models(model: graph.Model, data: st.DataObject) -> None:
    content = bytearray(serialise_model(model))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(8, len(content) - 1))
        content[place] = data.draw(st.sampled_from([0, 1, 2, 127, 128, 255]))
    with contextlib.suppress(ModelError):
        parse_model(bytes(content))


# --- files as other programs write them ----------------------------------------------------------


def check(drawing: Drawing, *outputs: int, seed: int = 0) -> graph.Model:
    """Read a file, and compare the oracle with TFLite at its outputs."""
    content = drawing.content(*outputs)
    model = parse_model(content)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        given_ = [
            rng.integers(-128, 128, drawing.tensors[k].shape).astype(np.int8)
            for k in drawing.inputs
        ]
        legacy = [drawing.tensors[k].type == UINT8 for k in drawing.inputs]
        made = runtime.interpreter("tflite_runtime", content)
        for detail, x, moved in zip(made.get_input_details(), given_, legacy):
            made.set_tensor(
                detail["index"], (x.astype(np.int16) + 128).astype(np.uint8) if moved else x
            )
        made.invoke()
        inputs = [x.reshape(1, *model.tensors[k].shape) for x, k in zip(given_, model.inputs)]
        values = reference.run(model, inputs)
        for detail, index in zip(made.get_output_details(), model.outputs):
            y = made.get_tensor(detail["index"])
            if y.dtype == np.uint8:
                y = (y.astype(np.int16) - 128).astype(np.int8)
            assert np.array_equal(values[index].reshape(-1), y.reshape(-1))
    return model


def kinds(model: graph.Model) -> list[str]:
    return [type(op).__name__ for op in model.operators]


def weights(*shape: int, seed: int = 1) -> graph.Int8Array:
    return np.random.default_rng(seed).integers(-127, 128, shape).astype(np.int8)


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_grouped_convolutions(groups: int) -> None:
    d = Drawing()
    x = d.given((1, 5, 4, 6))
    w = d.constant(weights(6, 3, 3, 6 // groups), [0.01] * 6, dtype=np.int8)
    b = d.constant(np.arange(6) * 100)
    y = d.tensor((1, 5, 4, 6), (0.2, -4))
    d.operator("CONV_2D", [x, w, b], y, kind="Conv2DOptions", StrideH=1, StrideW=1)
    model = check(d, y)
    if groups == 6:
        assert kinds(model) == ["DepthwiseConvolution"]
    else:
        assert kinds(model) == ["Slice", "Convolution"] * groups + ["Concatenation"]
        assert [layer.name for layer in model.layers] == [
            f"conv_0_group_{k}" for k in range(groups)
        ]


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(
    ("rows", "paddings", "crops"),
    [(7, [[2, 3], [2, 2]], [[0, 1], [0, 0]]), (8, [[0, 0], [1, 1]], [[0, 0], [0, 0]])],
)
def test_dilated_convolutions_of_old_converters(
    rows: int, paddings: list[list[int]], crops: list[list[int]], depthwise: bool
) -> None:
    d = Drawing()
    x = d.given((1, rows, 4, 3))
    blocks = [d.constant([2, 2]) for _ in range(2)]
    inner = (rows + sum(paddings[0])) // 2, (4 + sum(paddings[1])) // 2
    apart = d.tensor((4, *inner, 3))
    d.operator("SPACE_TO_BATCH_ND", [x, blocks[0], d.constant(paddings)], apart)
    shape = (1, 3, 2, 3) if depthwise else (3, 3, 2, 3)
    w = d.constant(weights(*shape), [0.01], dtype=np.int8)
    result = d.tensor((4, inner[0] - 2, inner[1] - 1, 3), (0.2, 5))
    code, kind = ("DEPTHWISE_CONV_2D", "DepthwiseConv2D") if depthwise else ("CONV_2D", "Conv2D")
    options = {"DepthMultiplier": 1} if depthwise else {}
    bias = d.constant([100, -100, 0])
    d.operator(
        code, [apart, w, bias], result, kind=f"{kind}Options", Padding=1, StrideH=1, StrideW=1,
        **options,
    )  # fmt: skip
    size = [2 * (inner[0] - 2) - sum(crops[0]), 2 * (inner[1] - 1) - sum(crops[1])]
    y = d.tensor((1, *size, 3), (0.2, 5))
    d.operator("BATCH_TO_SPACE_ND", [result, blocks[1], d.constant(crops)], y)
    (layer,) = check(d, y).layers
    assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
    assert layer.dilation == (2, 2)


CONV: dict[str, Any] = {"kind": "Conv2DOptions", "Padding": 1, "StrideH": 1, "StrideW": 1}
UNLIKE_A_DILATION: dict[str, dict[str, Any]] = {
    "no layer between": {"layer": "RELU"},
    "a layer that two read": {"more": "layer"},
    "batches that two read": {"more": "batches"},
    "no end": {"end": False},
    "batches that are an output": {"outputs": [3]},
    "a layer that is an output": {"outputs": [4]},
    "too few inputs": {"given": 2},
    "blocks that are computed": {"blocks": None},
    "another number of axes": {"shape": (1, 8, 6)},
    "blocks of one axis": {"blocks": [2]},
    "other blocks at the end": {"same_blocks": [2, 1]},
}


@pytest.mark.parametrize("what", UNLIKE_A_DILATION)
def test_batches_that_are_no_dilated_convolution(what: str) -> None:
    changes: dict[str, Any] = {
        "layer": "CONV_2D", "more": "", "end": True, "outputs": [], "given": 3, "blocks": [2, 2],
        "same_blocks": [2, 2], "shape": (1, 8, 6, 3),
    } | UNLIKE_A_DILATION[what]  # fmt: skip
    d = Drawing()
    x = d.given(changes["shape"])
    nothing = d.constant([[0, 0], [0, 0]])
    blocks = d.given((2,)) if changes["blocks"] is None else d.constant(changes["blocks"])
    apart, result = d.tensor((4, 4, 3, 3)), d.tensor((4, 4, 3, 3))
    d.operator("SPACE_TO_BATCH_ND", [x, blocks, nothing][: changes["given"]], apart)
    inputs = [apart, d.constant(weights(3, 1, 1, 3), [0.01], dtype=np.int8)]
    if changes["layer"] == "RELU":
        d.operator("RELU", [apart], result)
    else:
        d.operator("CONV_2D", inputs, result, **CONV)
    outputs = [*changes["outputs"], result]
    if changes["more"]:
        source = {"layer": result, "batches": apart}[changes["more"]]
        outputs.append(d.operator("RELU", [source], d.tensor((4, 4, 3, 3))))
    if changes["end"]:
        y = d.tensor((1, 8, 6, 3))
        d.operator("BATCH_TO_SPACE_ND", [result, d.constant(changes["same_blocks"]), nothing], y)
        outputs[-1 if not changes["more"] else -2] = y
    with pytest.raises(ModelError) as caught:
        parse_model(d.content(*outputs))
    assert "SPACE_TO_BATCH_ND" in str(caught.value)
    assert "for a dilated convolution TensorFlow 2.4 and newer need neither" in str(caught.value)


def test_a_dilated_convolution_that_pads_as_well() -> None:
    d = Drawing()
    blocks, nothing = d.constant([2, 2]), d.constant([[0, 0], [0, 0]])
    apart, result = d.tensor((4, 4, 3, 3)), d.tensor((4, 4, 3, 3))
    d.operator("SPACE_TO_BATCH_ND", [d.given((1, 8, 6, 3)), blocks, nothing], apart)
    w = d.constant(weights(3, 3, 3, 3), [0.01], dtype=np.int8)
    d.operator("CONV_2D", [apart, w, -1], result, **CONV | {"Padding": 0})
    y = d.operator("BATCH_TO_SPACE_ND", [result, blocks, nothing], d.tensor((1, 8, 6, 3)))
    with pytest.raises(
        ModelError, match=r"CONV_2D\): between SPACE_TO_BATCH_ND and BATCH_TO_SPACE"
    ):
        parse_model(d.content(y))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (1, 7, 5), (6, 5), (2, 3, 5)])
def test_dense_layers_over_positions(shape: tuple[int, ...], keep: bool) -> None:
    d = Drawing()
    x = d.given(shape)
    w = d.constant(weights(4, 5), [0.013], [2], dtype=np.int8)
    target = (*shape[:-1], 4) if keep else (int(np.prod(shape[:-1])), 4)
    y = d.tensor(target, (0.21, 7))
    d.operator("FULLY_CONNECTED", [x, w, -1], y, kind="FullyConnectedOptions", KeepNumDims=keep)
    model = check(d, y)
    (layer,) = model.layers
    assert isinstance(layer, graph.Convolution)
    assert layer.float32_scales


@cache
def between_precisions() -> tuple[tuple[float, float, float], npt.NDArray[np.int64]]:
    """Scales of input, weights and output, and accumulators whose results differ where the first
    two are multiplied in float32."""
    rng = np.random.default_rng(0)
    while True:
        source, weight = (float(np.float32(rng.uniform(0.005, 0.1))) for _ in range(2))
        target = float(np.float32(source * weight * 2**22 / 100 * rng.uniform(1, 2)))
        tensors = tensor("x", (1,), source, 0), tensor("y", (1,), target, 0)
        results, sums = [], np.arange(-(2**22), 2**22, dtype=np.int64)
        for precise in (True, False):
            layer = graph.FullyConnected(
                "fully_connected_0", (0,), 1, np.zeros((1, 1), np.int8), np.zeros(1, np.int32),
                np.array([weight], np.float32), float32_scales=not precise,
            )  # fmt: skip
            model = graph.Model("m", tensors, (layer,), (0,), (1,))
            results.append(reference.rescale(sums, *layer_factors(model, layer)[0]))
        different = sums[results[0] != results[1]][:32]
        if len(different) > 3:
            return (source, weight, target), different


LAYERS = [
    (code, several, legacy)
    for code in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
    for several in (False, True)
    for legacy in (False, True)
    if not (legacy and (several or code == "TRANSPOSE_CONV"))
]


@pytest.mark.parametrize(("code", "several", "legacy"), LAYERS)
def test_the_precision_of_factors(code: str, several: bool, legacy: bool) -> None:
    """Biases alone, which differ in the results."""
    (source, weight, target), sums = between_precisions()
    filters, moved = len(sums), 128 if legacy else 0
    kind, dtype = (UINT8, np.uint8) if legacy else (INT8, np.int8)
    d = Drawing()
    shape: tuple[int, ...] = (1, 2) if code == "FULLY_CONNECTED" else (1, 1, 1, 2)
    if code == "DEPTHWISE_CONV_2D":
        shape = (1, 1, 1, filters)
    x = d.given(shape, (source, moved), kind)
    scales = [weight] * (filters if several else 1)
    form = {"FULLY_CONNECTED": (filters, 2), "DEPTHWISE_CONV_2D": (1, 1, 1, filters)}.get(
        code, (filters, 1, 1, 2)
    )
    w = d.constant(np.full(form, moved), scales, [moved] * len(scales), dtype=dtype)
    if code == "DEPTHWISE_CONV_2D":
        d.tensors[w].axis = 3 if several else 0
    bias = d.constant(sums, [source * weight] * len(scales))
    y = d.tensor((*shape[:-1], filters), (target, moved), kind)
    inputs, options = [x, w, bias], {"Padding": 1, "StrideH": 1, "StrideW": 1}
    names = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D"}
    if code == "DEPTHWISE_CONV_2D":
        options["DepthMultiplier"] = 1
    if code == "FULLY_CONNECTED":
        options = {}
    if code == "TRANSPOSE_CONV":
        inputs = [d.constant([1, 1, 1, filters]), w, x, bias]
    name = names.get(code, code.title().replace("_", ""))
    d.operator(code, inputs, y, kind=f"{name}Options", **options)
    check(d, y)


def layer_of(kind: str, **fields: Any) -> graph.Model:
    """A layer whose results depend on the precision in which its scales are multiplied."""
    (source, weight, target), sums = between_precisions()
    filters = len(sums)
    shape = (2,) if kind == "FullyConnected" else (1, 1, filters if "Depth" in kind else 2)
    tensors = tensor("x", shape, source, 0), tensor("y", (*shape[:-1], filters), target, 0)
    form = {"FullyConnected": (filters, 2), "Convolution": (filters, 1, 1, 2)}
    layer = getattr(graph, kind)(
        "layer_0", (0,), 1, np.zeros(form.get(kind, (1, 1, filters)), np.int8),
        sums.astype(np.int32), np.full(filters, weight, np.float32), per_channel=False, **fields,
    )  # fmt: skip
    return graph.Model("m", tensors, (layer,), (0,), (1,))


@pytest.mark.parametrize(
    ("kind", "float32", "written"),
    [("FullyConnected", True, [9]), ("FullyConnected", False, [22, 3, 22]),
     ("Convolution", False, [3]), ("Convolution", True, [9])],
)  # fmt: skip
def test_layers_are_written_as_those_that_multiply_scales_alike(
    kind: str, float32: bool, written: list[int]
) -> None:
    model = layer_of(kind, float32_scales=float32)
    content = serialise_model(model)
    assert [node.code for node in TFLiteFile(content).nodes] == written
    x = random_inputs(model, 2, 0)
    assert np.array_equal(
        reference.run(model, x)[1], runtime.run_all("tflite_runtime", content, x)[0]
    )


@pytest.mark.parametrize("kind", ["Convolution", "DepthwiseConvolution"])
def test_layers_that_no_operator_multiplies_alike_are_not_written(kind: str) -> None:
    more = {"stride": (2, 2)} if kind == "Convolution" else {}
    with pytest.raises(ModelError, match="'layer_0' multiplies scales in float32, which TFLite's"):
        serialise_model(layer_of(kind, float32_scales=True, **more))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 5), (1, 1, 5), (2, 3, 5)])
def test_batch_matmul_by_constants(shape: tuple[int, ...], transposed: bool) -> None:
    d = Drawing()
    x = d.given(shape)
    w = d.constant(weights(1, *((4, 5) if transposed else (5, 4))), [0.02], [0], dtype=np.int8)
    y = d.tensor((*shape[:-1], 4), (0.3, 7))
    d.operator("BATCH_MATMUL", [x, w], y, kind="BatchMatMulOptions", AdjY=transposed)
    assert check(d, y).layers[0].name == "batch_matmul_0"


def test_a_shape_that_follows_from_another() -> None:
    """RESHAPE to what SHAPE, STRIDED_SLICE and PACK give, as Keras' Flatten does."""
    d = Drawing()
    x = d.given((1, 3, 4, 2))
    shape = d.operator("SHAPE", [x], d.tensor((4,), None, INT32), kind="ShapeOptions", OutType=2)
    ends = [d.constant([n]) for n in (0, 1, 1)]
    first = d.tensor((), None, INT32)
    d.operator("STRIDED_SLICE", [shape, *ends], first, kind="StridedSliceOptions", ShrinkAxisMask=1)
    packed = d.tensor((2,), None, INT32)
    d.operator("PACK", [first, d.constant(24)], packed, kind="PackOptions", ValuesCount=2)
    y = d.operator("RESHAPE", [x, packed], d.tensor((1, 24)))
    assert kinds(check(d, y)) == ["Reshape"]


def numbers(d: Drawing, code: str, inputs: list[Any], count: int, **options: Any) -> int:
    """An operator on whole numbers that gives so many of them."""
    given = [value if isinstance(value, int) else d.constant(value[0]) for value in inputs]
    shape = (count,) if count else ()
    return d.operator(code, given, d.tensor(shape, None, INT32), **options)


STATIC: dict[str, Any] = {
    "SLICE": lambda d: numbers(d, "SLICE", [[[9, 1, 4, 6]], [[1]], [[-1]]], 3),
    "CONCATENATION": lambda d: numbers(
        d, "CONCATENATION", [[[1, 4]], [[6]]], 3, kind="ConcatenationOptions"
    ),
    "GATHER": lambda d: numbers(
        d, "GATHER", [[[6, 4, 1]], [[2, 1, 0]]], 3, kind="GatherOptions", Axis=0
    ),
    "BROADCAST_ARGS": lambda d: numbers(d, "BROADCAST_ARGS", [[[1, 1, 6]], [[4, 1]]], 3),
    "FILL": lambda d: numbers(
        d, "ADD", [[[0, 3, 5]], numbers(d, "FILL", [[[3]], [1]], 3)], 3, kind="AddOptions"
    ),
    "RANGE": lambda d: numbers(
        d, "ADD", [[[0, 1, 1]], numbers(d, "RANGE", [[1], [7], [2]], 3)], 3, kind="AddOptions"
    ),
    "REDUCE_PROD": lambda d: numbers(
        d, "PACK",
        [[1], numbers(d, "REDUCE_PROD", [[[2, 2]], [[0]]], 0, kind="ReducerOptions"), [6]],
        3, kind="PackOptions", ValuesCount=3,
    ),
    "RESHAPE": lambda d: numbers(d, "RESHAPE", [[[[1, 4, 6]]], [[3]]], 3),
    "CAST": lambda d: numbers(d, "CAST", [[[1, 4, 6]]], 3, kind="CastOptions"),
}  # fmt: skip


@pytest.mark.parametrize("code", STATIC)
def test_a_shape_that_is_computed_of_constants(code: str) -> None:
    d = Drawing()
    x = d.given((1, 3, 4, 2))
    y = d.operator("RESHAPE", [x, STATIC[code](d)], d.tensor((1, 4, 6)))
    assert kinds(check(d, y)) == ["Reshape"]


@pytest.mark.parametrize(
    ("code", "inputs", "message"),
    [
        ("FILL", [[[2**13, 2**13]], [1]], "fills [8192, 8192] values, too many for a constant"),
        ("RANGE", [[0], [2**30], [1]], "has too many values for a constant"),
        ("RANGE", [[0], [5], [0]], "has too many values for a constant"),
        ("RESHAPE", [[[1, 2, 3]], [[2]]], "cannot be computed from its constants: cannot reshape"),
        ("BROADCAST_ARGS", [[[2]], [[3]]], "cannot be computed from its constants: "),
        ("SHAPE OF INT16", [], "gives constants of a type that is not known"),
    ],
)
def test_shapes_that_cannot_be_computed(code: str, inputs: list[Any], message: str) -> None:
    d = Drawing()
    x = d.given((1, 3, 4, 2))
    if inputs:
        shape = numbers(d, code, inputs, 2)
    else:
        int16 = d.tensor((2,), None, tflite.TensorType.INT16)
        shape = d.operator("CAST", [d.constant([1, 24])], int16, kind="CastOptions")
    with pytest.raises(ModelError, match=re.escape(message)):
        parse_model(d.content(d.operator("RESHAPE", [x, shape], d.tensor((1, 24)))))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_packed_and_unpacked(axis: int) -> None:
    d = Drawing()
    a, b = d.given((1, 3, 4)), d.given((1, 3, 4))
    shape = [1, 3, 4]
    shape.insert(axis % 4, 2)
    packed = d.tensor(tuple(shape))
    d.operator("PACK", [a, b], packed, kind="PackOptions", ValuesCount=2, Axis=axis)
    parts = [d.tensor((1, 3, 4)) for _ in range(2)]
    d.operator("UNPACK", [packed], *parts, kind="UnpackOptions", Num=2, Axis=axis)
    check(d, packed, parts[1], parts[0])


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_split(axis: int, whole: bool) -> None:
    d = Drawing()
    x = d.given((1, 4, 6, 8))
    shape = [1, 4, 6, 8]
    shape[axis] //= 2
    halves = [d.tensor(tuple(shape)) for _ in range(2)]
    d.operator("SPLIT", [d.constant(axis), x], *halves, kind="SplitOptions", NumSplits=2)
    rest = [1, 4, 6, 8]
    parts = []
    ends = [1, rest[axis] - 1 if whole else -1]
    for size in (1, rest[axis] - 1):
        rest[axis] = size
        parts.append(d.tensor(tuple(rest)))
    sizes = d.constant(ends)
    d.operator("SPLIT_V", [x, sizes, d.constant(axis)], *parts, kind="SplitVOptions", NumSplits=2)
    assert kinds(check(d, *halves, *parts)) == ["Slice"] * 4


@pytest.mark.parametrize(
    ("begin", "end", "strides", "masks", "shape"),
    [
        ([0, 1, 0, 0], [0, 4, 3, 0], [1, 2, 1, 1], {"BeginMask": 1, "EndMask": 9}, (1, 2, 3, 2)),
        ([0, -1, 0, 1], [1, 0, 4, 2], [1, -1, 2, 1], {"ShrinkAxisMask": 8}, (1, 4, 2)),
        ([0, 2], [1, 3], [1, 1], {"ShrinkAxisMask": 3}, (4, 2)),
        ([0, 1], [0, 2], [1, 1], {"EllipsisMask": 1}, (1, 5, 4, 1)),
        ([0, 0, 1], [0, 1, 3], [1, 1, 1], {"NewAxisMask": 1}, (1, 1, 2, 4, 2)),
    ],
)
def test_strided_slices(
    begin: list[int], end: list[int], strides: list[int], masks: dict[str, int],
    shape: tuple[int, ...],
) -> None:  # fmt: skip
    d = Drawing()
    x = d.given((1, 5, 4, 2))
    y = d.tensor(shape)
    constants = [d.constant(n) for n in (begin, end, strides)]
    d.operator("STRIDED_SLICE", [x, *constants], y, kind="StridedSliceOptions", **masks)
    check(d, y)


def test_a_part_of_a_number() -> None:
    d = Drawing()
    inputs = [d.given(()), *(d.constant([n]) for n in (0, 1, 1))]
    y = d.tensor(())
    check(d, d.operator("STRIDED_SLICE", inputs, y, kind="StridedSliceOptions", EllipsisMask=1))


@pytest.mark.parametrize(
    ("begin", "size", "shape"),
    [([0, 1, 0, 1], [1, 3, -1, 1], (1, 3, 4, 1)), ([0, 0, 3, 0], [-1, 5, 1, 2], (1, 5, 1, 2))],
)
def test_slices(begin: list[int], size: list[int], shape: tuple[int, ...]) -> None:
    d = Drawing()
    inputs = [d.given((1, 5, 4, 2)), d.constant(begin), d.constant(size)]
    check(d, d.operator("SLICE", inputs, d.tensor(shape), kind="SliceOptions"))


@pytest.mark.parametrize(
    ("shape", "order"),
    [((1, 2, 3, 4), (0, 3, 1, 2)), ((1, 2, 3, 4), (2, 0, 1, 3)), ((2, 3, 4), (1, 0, 2))],
)
def test_transposes(shape: tuple[int, ...], order: tuple[int, ...]) -> None:
    d = Drawing()
    y = d.tensor(tuple(shape[k] for k in order))
    d.operator("TRANSPOSE", [d.given(shape), d.constant(order)], y)
    check(d, y)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [[1, 2], [-1], [0], [0, 1], [1, 2, 3], [0, 1, 2, 3], [2]])
@pytest.mark.parametrize("images", [1, 2])
def test_means_over_any_axes(axes: list[int], keep: bool, images: int) -> None:
    shape = (images, 3, 4, 2)
    over = {axis % 4 for axis in axes}
    target = tuple(1 if k in over else n for k, n in enumerate(shape) if keep or k not in over)
    d = Drawing()
    y = d.tensor(target, (0.03, -9))
    d.operator("MEAN", [d.given(shape), d.constant(axes)], y, kind="ReducerOptions", KeepDims=keep)
    check(d, y)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 4, 2), (2, 3, 4, 2), (1, 5, 3)])
@pytest.mark.parametrize("axes", [[1, 2], [-1], [0], [1], [0, 2]])
def test_largest_values_over_any_axes(shape: tuple[int, ...], axes: list[int], keep: bool) -> None:
    over = {axis % len(shape) for axis in axes}
    target = tuple(1 if k in over else n for k, n in enumerate(shape) if keep or k not in over)
    d = Drawing()
    y = d.tensor(target)
    inputs = [d.given(shape), d.constant(axes)]
    d.operator("REDUCE_MAX", inputs, y, kind="ReducerOptions", KeepDims=keep)
    check(d, y)


@pytest.mark.parametrize("copies", [[1, 2, 1, 3], [1, 1, 1, 1], [2, 1, 2, 1]])
def test_copies(copies: list[int]) -> None:
    d = Drawing()
    y = d.tensor(tuple(n * k for n, k in zip((1, 3, 4, 2), copies)))
    d.operator("TILE", [d.given((1, 3, 4, 2)), d.constant(copies)], y)
    check(d, y)


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("columns", [[0, 0], [2, 1], [0, 2]])
def test_mirrored_paddings(columns: list[int], mode: int) -> None:
    amounts = [[0, 0], [1, 2], columns, [0, 0]]
    d = Drawing()
    y = d.tensor(tuple(n + sum(around) for n, around in zip((1, 3, 4, 2), amounts)))
    inputs = [d.given((1, 3, 4, 2)), d.constant(amounts)]
    d.operator("MIRROR_PAD", inputs, y, kind="MirrorPadOptions", Mode=mode)
    check(d, y)


def test_mirrored_paddings_of_nothing() -> None:
    d = Drawing()
    inputs = [d.given((1, 3, 4, 2)), d.constant([[0, 0]] * 4)]
    d.operator("MIRROR_PAD", inputs, d.tensor((1, 3, 4, 2)), kind="MirrorPadOptions")
    assert kinds(check(d, d.operators[-1].outputs[0])) == ["Reshape"]


@pytest.mark.parametrize("axis", [1, -1])
def test_reversed_axes(axis: int) -> None:
    d = Drawing()
    y = d.operator("REVERSE_V2", [d.given((1, 3, 4)), d.constant([axis])], d.tensor((1, 3, 4)))
    assert kinds(check(d, y)) == ["Slice"]


@pytest.mark.parametrize(
    ("amounts", "code"),
    [
        ([[0, 0], [1, 2], [0, 1], [0, 0]], "PAD"),
        ([[0, 0], [1, 2], [0, 1], [1, 3]], "PAD"),
        ([[1, 0], [0, 2], [0, 0], [0, 0]], "PAD"),
        ([[0, 0], [1, 2], [0, 1], [0, 0]], "PADV2"),
    ],
)
def test_pads(amounts: list[list[int]], code: str) -> None:
    d = Drawing()
    inputs = [d.given((1, 3, 4, 2)), d.constant(amounts)]
    if code == "PADV2":
        inputs.append(d.constant([-77], [PLAIN[0]], [PLAIN[1]], dtype=np.int8))
    shape = tuple(n + sum(around) for n, around in zip((1, 3, 4, 2), amounts))
    y = d.operator(code, inputs, d.tensor(shape), kind=f"{code.title()}Options".replace("v2", "V2"))
    check(d, y)


def test_constants_and_inner_batches_broadcast() -> None:
    d = Drawing()
    x = d.given((3, 1, 4))
    c = d.constant(weights(1, 5, 1), [0.03], [-7], dtype=np.int8)
    y = d.tensor((3, 5, 4), (0.004, 11))
    d.operator("MUL", [c, x], y, kind="MulOptions")
    other = d.constant(weights(4), [0.02], [1], dtype=np.int8)
    z = d.operator("SUB", [y, other], d.tensor((3, 5, 4), (0.05, 0)), kind="SubOptions")
    assert kinds(check(d, z)) == ["Elementwise", "Elementwise"]


def test_a_constant_that_is_used_twice_is_one_tensor() -> None:
    d = Drawing()
    c = d.constant(weights(1, 4), [0.03], [-7], dtype=np.int8)
    y = d.operator("MUL", [d.given((1, 4)), c], d.tensor((1, 4)), kind="MulOptions")
    z = d.operator("SUB", [c, y], d.tensor((1, 4)), kind="SubOptions")
    assert len(check(d, z).constants) == 1


def test_vectors_of_length_1_without_options() -> None:
    d = Drawing()
    y = d.operator("L2_NORMALIZATION", [d.given((1, 3, 9))], d.tensor((1, 3, 9), (1 / 128, 0)))
    check(d, y)


def test_inputs_and_outputs_of_all_types() -> None:
    d = Drawing()
    reals, bytes_ = d.given((1, 4), None, FLOAT32), d.given((1, 4), (0.1, 100), UINT8)
    a = d.operator("QUANTIZE", [reals], d.tensor((1, 4)), kind="QuantizeOptions")
    b = d.operator("QUANTIZE", [bytes_], d.tensor((1, 4)), kind="QuantizeOptions")
    total = d.operator("ADD", [a, b], d.tensor((1, 4), (0.1, 0)), kind="AddOptions")
    out = d.tensor((1, 4), None, FLOAT32)
    d.operator("DEQUANTIZE", [total], out, kind="DequantizeOptions")
    moved = d.operator("QUANTIZE", [a], d.tensor((1, 4), (0.2, 9)), kind="QuantizeOptions")
    model = parse_model(d.content(out, moved))
    assert [model.tensors[k].interface for k in model.inputs] == [
        graph.Interface("t0", "float32"),
        graph.Interface("t1", "uint8", float(np.float32(0.1)), 100),
    ]
    first, second = (model.tensors[k] for k in model.outputs)
    assert first.interface == graph.Interface("t5", "float32")
    assert second.interface is None
    assert model.notes == ()
    again = parse_model(serialise_model(model))
    assert [t.interface for t in again.tensors if t.interface] == [
        t.interface for t in model.tensors if t.interface
    ]


@pytest.mark.parametrize("scale", [1.0, 0.7321, 2.0, 0.0078, 2 / 3])
def test_pixels_that_are_cast(scale: float) -> None:
    d = Drawing()
    x = d.given((1, 256), None, UINT8)
    real = d.operator("CAST", [x], d.tensor((1, 256), None, FLOAT32), kind="CastOptions")
    q = d.operator("QUANTIZE", [real], d.tensor((1, 256), (scale, -128)), kind="QuantizeOptions")
    y = d.operator("RELU", [q], d.tensor((1, 256), (scale, -128)))
    content = d.content(y)
    model = parse_model(content)
    pixels = np.arange(256).astype(np.uint8)[None]
    given_ = pixels if model.input.takes_uint8 else pixels.astype(np.float32)
    made = runtime.interpreter("tflite_runtime", content)
    expected = runtime.batch(made, [pixels])[0]
    inputs = model.input.batch(given_)
    assert np.array_equal(reference.run(model, inputs)[model.output_index], expected)
    assert bool(model.notes) == (not model.input.takes_uint8)


def test_float_ends_are_left_out_and_said() -> None:
    d = Drawing()
    x = d.given((1, 4))
    y = d.operator("TANH", [x], d.tensor((1, 4), (1 / 128, 0)))
    real = d.operator("DEQUANTIZE", [y], d.tensor((1, 4), None, FLOAT32), kind="DequantizeOptions")
    two = d.constant(2.0, dtype=np.float32)
    scaled = d.operator("MUL", [real, two], d.tensor((1, 4), None, FLOAT32), kind="MulOptions")
    best = d.tensor((1,), None, INT32)
    d.operator("ARG_MAX", [y, d.constant(1)], best, kind="ArgMaxOptions", OutputType=2)
    model = parse_model(d.content(scaled, best))
    assert [model.tensors[k].name for k in model.outputs] == ["t1"]
    assert model.output.interface == graph.Interface("t2", "float32")
    assert model.notes == (
        "The end of the file is not int8 and is left out: ARG_MAX (1), MUL (1). The outputs are "
        "those int8 tensors that it begins from: 't1'.",
    )


def test_an_end_that_forks_and_joins_is_left_out() -> None:
    d = Drawing()
    y = d.operator("TANH", [d.given((1, 4))], d.tensor((1, 4), (1 / 128, 0)))
    real = d.operator("DEQUANTIZE", [y], d.tensor((1, 4), None, FLOAT32), kind="DequantizeOptions")
    filled = d.tensor((1, 4), None, FLOAT32)
    d.operator("FILL", [d.constant([1, 4]), d.constant(2.0, dtype=np.float32)], filled)
    d.operator("MUL", [real, filled], scaled := d.tensor((1, 4), None, FLOAT32), kind="MulOptions")
    root = d.operator("SQRT", [real], d.tensor((1, 4), None, FLOAT32))
    end = d.tensor((1, 4), None, FLOAT32)
    d.operator("ADD", [scaled, root], end, kind="AddOptions")
    model = parse_model(d.content(end))
    assert [model.tensors[k].name for k in model.outputs] == ["t1"]
    assert "left out: ADD (1), FILL (1), MUL (1), SQRT (1). The" in model.notes[0]


def test_boxes_of_a_detector_are_left_out() -> None:
    """TFLite_Detection_PostProcess, which takes int8 as it is."""
    d = Drawing()
    boxes = d.operator("RELU", [d.given((1, 6, 4))], d.tensor((1, 6, 4)))
    classes = d.operator("LOGISTIC", [d.given((1, 6, 3))], d.tensor((1, 6, 3), (1 / 256, -128)))
    anchors = d.constant(weights(6, 4), [0.1], dtype=np.int8)
    found = [d.tensor(shape, None, FLOAT32) for shape in ((1, 9, 4), (1, 9), (1, 9), (1,))]
    d.operator("CUSTOM", [boxes, classes, anchors], *found)
    content = d.content(*found, custom="TFLite_Detection_PostProcess")
    model = parse_model(content)
    assert [model.tensors[k].name for k in model.outputs] == ["t1", "t3"]
    assert "left out: CUSTOM 'TFLite_Detection_PostProcess' (1). The outputs" in model.notes[0]


def test_a_tensor_that_is_given_twice_is_one_output() -> None:
    d = Drawing()
    y = d.operator("RELU", [d.given((1, 4))], d.tensor((1, 4)))
    real = d.operator("DEQUANTIZE", [y], d.tensor((1, 4), None, FLOAT32), kind="DequantizeOptions")
    model = parse_model(d.content(real, y, y))
    assert model.output.interface == graph.Interface("t2", "float32")


def test_outputs_that_no_input_decides() -> None:
    d = Drawing()
    x = d.given((1, 4))
    y = d.operator("RELU", [x], d.tensor((1, 4)))
    shape = d.operator("SHAPE", [y], d.tensor((2,), None, INT32), kind="ShapeOptions", OutType=2)
    with pytest.raises(ModelError, match="output 't2' follows from constants and shapes alone"):
        parse_model(d.content(y, shape))


def test_reals_may_not_come_back() -> None:
    d = Drawing()
    x = d.given((1, 4))
    real = d.operator("DEQUANTIZE", [x], d.tensor((1, 4), None, FLOAT32), kind="DequantizeOptions")
    back = d.operator("QUANTIZE", [real], d.tensor((1, 4)), kind="QuantizeOptions")
    y = d.operator("RELU", [back], d.tensor((1, 4)))
    with pytest.raises(ModelError, match=r"QUANTIZE\): takes 't1', which is float32: what is not"):
        parse_model(d.content(y))


def test_inputs_that_nothing_reads() -> None:
    d = Drawing()
    d.given((1, 9), None, FLOAT32)
    y = d.operator("RELU", [d.given((1, 4))], d.tensor((1, 4)))
    model = parse_model(d.content(y))
    assert model.notes == ("Input 't0' is left out, as no operator reads it.",)


# --- uint8 ---------------------------------------------------------------------------------------


def as_uint8(model: graph.Model) -> bytes:
    """The file of a network with everything moved to uint8, scales per tensor."""

    def moved(tensor: FileTensor) -> FileTensor:
        one = replace(tensor, scales=tensor.scales[:1], zero_points=tensor.zero_points[:1], axis=0)
        if tensor.type != INT8:
            return one
        data = bytes((byte + 128) % 256 for byte in tensor.data)
        zero_points = [n + 128 for n in one.zero_points]
        return replace(one, type=UINT8, data=data, zero_points=zero_points)

    def assemble_uint8(tensors: list[FileTensor], *others: Any) -> bytes:
        return assemble([moved(entry) for entry in tensors], *others)

    with patch("axynq.emulator.file_formats.tflite_writer.assemble", assemble_uint8):
        return serialise_model(model)


@settings(max_examples=120)
@given(any_models(most=2, tflite=True), SEEDS)
def test_uint8_networks_equal_tflite_or_are_refused(model: graph.Model, seed: int) -> None:
    content = as_uint8(model)
    try:
        again = parse_model(content)
    except ModelError:
        reject()  # where all were refused, hypothesis would complain
    inputs = random_inputs(again, 2, seed)
    pixels = [(x.astype(np.int16) + 128).astype(np.uint8) for x in inputs]
    try:
        outputs = runtime.run_all("tflite_runtime", content, pixels)
    except (RuntimeError, ValueError):  # TFLite has no such operator in uint8
        reject()
    values = reference.run(again, inputs)
    for index, output in zip(again.outputs, outputs):
        assert np.array_equal(values[index], (output.astype(np.int16) - 128).astype(np.int8))


def legacy_layer(zero_point: int) -> Drawing:
    d = Drawing()
    x = d.given((1, 5, 5, 3), (0.05, 117), UINT8)
    values = (weights(4, 3, 3, 3).astype(np.int16) // 2 + 128).astype(np.uint8)
    w = d.constant(values, [0.013], [zero_point], dtype=np.uint8)
    b = d.constant([100, -200, 300, 0], [0.05 * 0.013])
    y = d.tensor((1, 5, 5, 4), (0.31, 120), UINT8)
    d.operator("CONV_2D", [x, w, b], y, kind="Conv2DOptions", StrideH=1, StrideW=1)
    return d


@pytest.mark.parametrize("zero_point", [120, 128, 131])
def test_uint8_networks(zero_point: int) -> None:
    d = legacy_layer(zero_point)
    pooled = d.tensor((1, 1, 1, 4), (0.31, 120), UINT8)
    d.operator(
        "AVERAGE_POOL_2D", [3], pooled, kind="Pool2DOptions",
        Padding=1, StrideH=5, StrideW=5, FilterHeight=5, FilterWidth=5,
    )  # fmt: skip
    shape = d.constant([1, 4])
    flat = d.operator("RESHAPE", [pooled, shape], d.tensor((1, 4), (0.31, 120), UINT8))
    y = d.operator(
        "SOFTMAX", [flat], d.tensor((1, 4), (1 / 256, 0), UINT8), kind="SoftmaxOptions", Beta=1.0
    )
    model = check(d, y)
    assert model.input.takes_uint8
    assert model.output.takes_uint8


@pytest.mark.parametrize("zero_point", [0, 30, 255])
def test_uint8_weights_that_int8_does_not_hold(zero_point: int) -> None:
    model = check(legacy_layer(zero_point), 3)
    assert kinds(model)[-2:] == ["Concatenation", "Convolution"]
    assert model.notes[0].startswith("In 1 layer int8 does not hold all weights")


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("stride", [1, 2])
def test_uint8_depthwise_weights_that_int8_does_not_hold(stride: int, padding: int) -> None:
    d = Drawing()
    x = d.given((1, 7, 6, 2), (0.05, 100), UINT8)
    values = np.random.default_rng(3).integers(0, 256, (1, 3, 2, 4)).astype(np.uint8)
    w = d.constant(values, [0.013], [90], dtype=np.uint8)
    b = d.constant([100, -200, 300, 0], [0.05 * 0.013])
    size = [-(-n // stride) if padding == 0 else (n - k) // stride + 1 for n, k in ((7, 3), (6, 2))]
    y = d.tensor((1, *size, 4), (0.11, 120), UINT8)
    d.operator(
        "DEPTHWISE_CONV_2D", [x, w, b], y, kind="DepthwiseConv2DOptions",
        Padding=padding, StrideH=stride, StrideW=stride, DepthMultiplier=2,
    )  # fmt: skip
    assert kinds(check(d, y)) == ["ResizeNearest", "DepthwiseConvolution"]


@pytest.mark.parametrize("shape", [(1, 8), (1, 2, 4), (3, 8)])
def test_uint8_dense_weights_that_int8_does_not_hold(shape: tuple[int, ...]) -> None:
    d = Drawing()
    x = d.given(shape, (0.05, 100), UINT8)
    values = np.random.default_rng(3).integers(60, 220, (3, 8)).astype(np.uint8)
    values[1, 5] = 250
    w = d.constant(values, [0.013], [100], dtype=np.uint8)
    y = d.tensor((shape[0], 3), (0.21, 120), UINT8)
    b = d.constant([100, -200, 300], [0.05 * 0.013])
    d.operator("FULLY_CONNECTED", [x, w, b], y, kind="FullyConnectedOptions")
    assert check(d, y).layers[0].kernel.shape[-1] == 9


@pytest.mark.parametrize("shape", [(4, 4), (6, 6), (2, 3), (8, 8), (6, 5)])
def test_uint8_averages_of_whole_maps(shape: tuple[int, int]) -> None:
    d = Drawing()
    quantisation = (0.0235, 0)
    x = d.given((1, *shape, 40), quantisation, UINT8)
    y = d.tensor((1, 1, 1, 40), quantisation, UINT8)
    d.operator(
        "AVERAGE_POOL_2D", [x], y, kind="Pool2DOptions", Padding=1, StrideH=2, StrideW=2,
        FilterHeight=shape[0], FilterWidth=shape[1],
    )  # fmt: skip
    for seed in range(5):
        assert kinds(check(d, y, seed=seed)) == ["Reduce", "Lookup"]


def test_uint8_concatenations_of_several_quantisations() -> None:
    rng = np.random.default_rng(2)
    for seed in range(20):
        d = Drawing()
        inputs = [
            d.given((1, 2, 64), (rng.uniform(0.01, 0.1), int(rng.integers(256))), UINT8)
            for _ in range(3)
        ]
        y = d.tensor((1, 6, 64), (rng.uniform(0.01, 0.1), int(rng.integers(256))), UINT8)
        d.operator("CONCATENATION", inputs, y, kind="ConcatenationOptions", Axis=1)
        assert kinds(check(d, y, seed=seed)) == ["Lookup"] * 3 + ["Concatenation"]


@pytest.mark.parametrize("quantisation", [(0.05, 5), (3e38, 0)])
def test_uint8_averages_of_whole_maps_that_are_no_sums(quantisation: tuple[float, int]) -> None:
    """Sums may be negative, or have no scale."""
    d = Drawing()
    x = d.given((1, 4, 4, 3), quantisation, UINT8)
    y = d.tensor((1, 1, 1, 3), quantisation, UINT8)
    d.operator(
        "AVERAGE_POOL_2D", [x], y, kind="Pool2DOptions", Padding=1, StrideH=1, StrideW=1,
        FilterHeight=4, FilterWidth=4,
    )  # fmt: skip
    with pytest.raises(ModelError, match="even number of uint8 values round halves up"):
        parse_model(d.content(y))


def test_uint8_operators_that_round_otherwise() -> None:
    d = legacy_layer(128)
    pooled = d.tensor((1, 4, 4, 4), (0.31, 120), UINT8)
    d.operator(
        "AVERAGE_POOL_2D", [3], pooled, kind="Pool2DOptions",
        Padding=1, StrideH=1, StrideW=1, FilterHeight=2, FilterWidth=2,
    )  # fmt: skip
    with pytest.raises(ModelError, match="even number of uint8 values round halves up"):
        parse_model(d.content(pooled))


# --- what is supported, and what is refused ------------------------------------------------------


def test_everything_that_is_wrong_in_one_message() -> None:
    d = Drawing()
    x = d.given((2, 4, 4, 2))
    w = d.constant(weights(2, 3, 3, 2), [0.01], dtype=np.int8)
    y = d.operator(
        "CONV_2D", [x, w, -1], d.tensor((2, 4, 4, 2)), kind="Conv2DOptions", StrideH=1, StrideW=1
    )
    z = d.operator("ELU", [y], d.tensor((2, 4, 4, 2)))
    hidden = d.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", [z], d.tensor((2, 4, 4, 2)))
    with pytest.raises(ModelError) as caught:
        parse_model(d.content(hidden))
    message = str(caught.value)
    assert "ELU (1), UNIDIRECTIONAL_SEQUENCE_LSTM (1)" in message
    assert "operator 0 (CONV_2D): input 't0' has a batch of 2: convert the network with" in message
    assert "recurrent" in message


def test_concatenations_need_one_quantisation() -> None:
    d = Drawing()
    a, b = d.given((1, 4)), d.given((1, 4), (0.3, 0))
    y = d.tensor((1, 8))
    d.operator("CONCATENATION", [a, b], y, kind="ConcatenationOptions", Axis=1)
    with pytest.raises(ModelError, match="must have the same quantisation"):
        parse_model(d.content(y))


def spread(padding: graph.Padding, *layer: graph.Operator) -> graph.Model:
    """A map of 3 x 2 with zeros between, and what comes behind it."""
    rows, columns = 5 + padding.top + padding.bottom, 4 + padding.left + padding.right
    tensors = [tensor("x", (3, 2, 2), 0.1, 5), tensor("wide", (rows, columns, 2), 0.1, 5)]
    for op in layer:
        assert isinstance(op, graph.Convolution)
        rows, columns, _ = op.padding.around((rows, columns, 2))
        tensors.append(tensor("y", (rows - 2, columns - 1, 2), 0.3, -7))
    operators = (graph.Spread("spread_0", (0,), 1, (2, 3), padding), *layer)
    return graph.Model("m", tuple(tensors), operators, (0,), (len(tensors) - 1,))


CONVOLVED = graph.Convolution(
    "conv_1", (1,), 2, weights(2, 3, 2, 2), np.array([100, -100], np.int32),
    np.full(2, 0.01, np.float32), per_channel=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("padding", "layer", "written"),
    [
        (graph.Padding(0, 1, 2, 0), (), ["TRANSPOSE_CONV", "PAD"]),
        (graph.Padding(-1, 1, 0, -2), (), ["TRANSPOSE_CONV", "STRIDED_SLICE", "PAD"]),
        (graph.Padding(2, 2, 1, 1), (CONVOLVED,), ["TRANSPOSE_CONV"]),
        (graph.Padding(2, 2, 1, 1), (replace(CONVOLVED, activation="relu"),),
         ["TRANSPOSE_CONV", "RELU"]),
        (graph.Padding(2, 2, 1, 1), (replace(CONVOLVED, padding=graph.Padding(1, 0, 1, 0)),),
         ["TRANSPOSE_CONV", "PAD", "PAD", "CONV_2D"]),
        (graph.Padding(4, 0, 0, 3), (CONVOLVED,), ["TRANSPOSE_CONV", "PAD", "CONV_2D"]),
        (graph.Padding(-2, 0, 0, -2), (CONVOLVED,),
         ["TRANSPOSE_CONV", "STRIDED_SLICE", "PAD", "CONV_2D"]),
    ],
)  # fmt: skip
def test_zeros_between_are_written(
    padding: graph.Padding, layer: tuple[graph.Operator, ...], written: list[str]
) -> None:
    model = spread(padding, *layer)
    content = serialise_model(model)
    assert [node.kind for node in TFLiteFile(content).nodes] == written
    x = random_inputs(model, 3, 0)
    (found,) = runtime.run_all("tflite_runtime", content, x)
    assert np.array_equal(reference.run(model, x)[model.output_index], found)


@pytest.mark.parametrize(
    ("scale", "message"),
    [(1e-9, "output's scale 1e-09 is so much finer than its inputs' 0.1 that TFLite's kernel ends"),
     (1e33, "output's scale 1e+33 is so large that TFLite's kernel ends the process")],
)  # fmt: skip
def test_sums_that_end_tflites_process_are_not_written(scale: float, message: str) -> None:
    tensors = *(tensor(name, (4,), 0.1, 0) for name in "xy"), tensor("z", (4,), scale, 0)
    with pytest.raises(ModelError, match=re.escape(message)):
        serialise_model(graph.Model("m", tensors, (graph.Add("add_0", (0, 1), 2),), (0, 1), (2,)))


def test_layers_whose_output_is_too_fine_are_not_written() -> None:
    layer = graph.FullyConnected(
        "dense_0", (0,), 1, weights(3, 4), np.zeros(3, np.int32), np.full(3, 0.3, np.float32),
        per_channel=False,
    )  # fmt: skip
    tensors = tensor("x", (4,), 0.1, 0), tensor("y", (3,), 1e-12, 0)
    with pytest.raises(ModelError, match="1e-12 is so much finer than its accumulator's 0.03 that"):
        serialise_model(graph.Model("m", tensors, (layer,), (0,), (1,)))


def test_activations_that_tflites_operator_lacks_are_not_written() -> None:
    maps = [tensor(name, (4,), 0.1, 0) for name in "xyz"]
    op = graph.Elementwise("maximum_0", (0, 1), 2, "maximum", "relu")
    with pytest.raises(ModelError, match="'maximum_0': a fused activation cannot be written"):
        serialise_model(graph.Model("m", tuple(maps), (op,), (0, 1), (2,)))


def test_tables_without_an_operator_are_not_written() -> None:
    table = np.arange(-128, 128).astype(np.int8)
    op = graph.Lookup("table_0", (0,), 1, "table", table=table)
    tensors = tensor("x", (4,), 0.1, 0), tensor("y", (4,), 0.1, 0)
    with pytest.raises(ModelError, match="'table_0' is a table of its own"):
        serialise_model(graph.Model("m", tensors, (op,), (0,), (1,)))


def test_the_document_names_every_operator() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tflite.md").read_text("utf-8")
    names = set(re.findall(r"[A-Z][A-Z0-9_]+", text))
    supported = {operator_name(code) for code in (*HANDLERS, *tflite_static.OPERATORS)}
    assert supported <= names
