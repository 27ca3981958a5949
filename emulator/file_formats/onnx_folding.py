# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators of ONNX that hold constants or whose inputs are constants: computed while reading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_file import Array, Node, package
from axynq.emulator.file_formats.onnx_values import Fixed

MOST_FOLDED = 2**26
"""Of a constant that is computed."""

FOLDED = frozenset(
    {
        *("Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape"),
        *("Cos", "Div", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor", "Gather", "Gemm"),
        *("Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log", "MatMul", "Max"),
        *("Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad", "Pow", "Range", "Reciprocal"),
        *("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Relu", "Reshape"),
        *("Round", "Shape", "Sigmoid", "Sign", "Sin", "Size", "Slice", "Split", "Sqrt"),
        *("Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where"),
    }
)
"""Operators that are computed where their inputs are constants."""

_MOVED = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Those through which a quantised constant stays one."""


def constant_of(node: Node) -> Array:
    """What a Constant holds.

    Raises:
        ModelError: text, or a tensor that is sparse.
    """
    for name, type_ in (
        ("value", None),
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if name in node.attributes:
            return np.asarray(node.attributes[name], type_)
    raise ModelError("is no tensor of numbers")


def fold(node: Node, inputs: Sequence[Array | None], opsets: Mapping[str, int]) -> list[Array]:
    """The outputs of an operator of constants.

    Raises:
        ModelError: it cannot be computed.
    """
    onnx = package()
    _check_size(node, inputs)
    helper, proto = onnx.helper, onnx.TensorProto
    names = [name for name in node.inputs if name]
    given = {name: value for name, value in zip(node.inputs, inputs) if name}
    try:
        graph = helper.make_graph(
            [node.proto],
            "constant",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(np.asarray(given[name]).dtype), None
                )
                for name in dict.fromkeys(names)
            ],
            [helper.make_tensor_value_info(name, proto.UNDEFINED, None) for name in node.outputs],
        )
        imports = [helper.make_opsetid(domain, number) for domain, number in opsets.items()]
        model = helper.make_model(graph, opset_imports=imports)
        with np.errstate(all="ignore"):
            results = onnx.reference.ReferenceEvaluator(model).run(None, given)
    except MemoryError as error:
        raise ModelError("has constants that do not fit in memory") from error
    except Exception as error:  # the evaluator checks little and ends in any error
        text = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(f"cannot be computed from its constants ({text})") from error
    return [np.asarray(result) for result in results]


def _check_size(node: Node, inputs: Sequence[Array | None]) -> None:
    """Refuse what a damaged file could make of a few bytes."""
    sizes = [value.size for value in inputs if value is not None]
    wanted = sum(sizes)
    shape = (
        inputs[{"ConstantOfShape": 0}.get(node.kind, 1)]
        if len(inputs) > 1 or (node.kind == "ConstantOfShape" and inputs)
        else None
    )
    if shape is not None and shape.dtype.kind in "iu":
        if node.kind in ("ConstantOfShape", "Expand"):
            wanted = math.prod(int(n) for n in shape.reshape(-1))
        elif node.kind == "Tile":
            wanted = sizes[0] * math.prod(int(n) for n in shape.reshape(-1))
        elif node.kind == "Pad":
            wanted = math.prod(int(n) + 1 for n in np.abs(shape.reshape(-1)))
    if node.kind == "Range" and None not in inputs:
        start, stop, step = (float(np.asarray(value).reshape(-1)[0]) for value in inputs[:3])
        wanted = int(abs((stop - start) / step)) if step else MOST_FOLDED + 1
    if wanted > MOST_FOLDED and node.kind != "MatMul":
        raise ModelError(f"makes a constant of {wanted} values; {MOST_FOLDED} are the most")


def fold_fixed(
    node: Node, inputs: Sequence[Array | Fixed | None], opsets: Mapping[str, int]
) -> list[Array | Fixed]:
    """As :func:`fold`, where some inputs are quantised constants, which stay so where they only
    move."""
    first = inputs[0] if inputs else None
    if node.kind in _MOVED and isinstance(first, Fixed):
        (values,) = fold(node, [first.values, *_plain(inputs[1:])], opsets)
        if first.scales.size == 1:
            return [replace(first, values=values)]
        axis = _new_axis(node, first, values.shape)
        if axis is not None:
            return [replace(first, values=values, axis=axis)]
    return list(fold(node, _plain(inputs), opsets))


def _plain(inputs: Sequence[Array | Fixed | None]) -> list[Array | None]:
    return [value.reals if isinstance(value, Fixed) else value for value in inputs]


def _new_axis(node: Node, fixed: Fixed, shape: tuple[int, ...]) -> int | None:
    """Where the axis of the scales is afterwards; None: nowhere."""
    if node.kind == "Transpose":
        rank = len(fixed.shape)
        given = node.attribute("perm", None)
        permutation = [int(n) for n in given] if given else list(range(rank))[::-1]
        return permutation.index(fixed.axis)
    before = math.prod(fixed.shape[: fixed.axis])
    for axis, size in enumerate(shape):
        if size == fixed.shape[fixed.axis] and math.prod(shape[:axis]) == before:
            return axis
    return None
