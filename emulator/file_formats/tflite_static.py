# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Values of a ``.tflite`` file that follow from its constants and shapes, such as the shape that a
RESHAPE is given by SHAPE, STRIDED_SLICE and PACK."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.tflite_file import (
    Node,
    TFLiteFile,
    numpy_type,
    options_of,
)

Values = npt.NDArray[Any]

MOST_FOLDED = 2**24
"""Values of a result: what is static is small."""


def strided_slice_index(
    node: Node, rank: int, begin: Values, end: Values, strides: Values
) -> tuple[Any, ...]:
    """What numpy's indexing needs to do what a STRIDED_SLICE does.

    Raises:
        ModelError: it cannot be.
    """
    options = options_of(node, tflite.StridedSliceOptions)
    if getattr(options, "Offset", lambda: False)():
        raise ModelError("ends that count from the beginnings are not supported")
    masks = {
        name: int(getattr(options, f"{name}Mask")())
        for name in ("Begin", "End", "Ellipsis", "NewAxis", "ShrinkAxis")
    }
    index: list[Any] = []
    for k in range(len(begin)):
        if masks["Ellipsis"] >> k & 1:
            index.append(Ellipsis)
        elif masks["NewAxis"] >> k & 1:
            index.append(None)
        elif masks["ShrinkAxis"] >> k & 1:
            index.append(int(begin[k]))
        else:
            first = None if masks["Begin"] >> k & 1 else int(begin[k])
            last = None if masks["End"] >> k & 1 else int(end[k])
            index.append(slice(first, last, int(strides[k])))
    if sum(entry is not None and entry is not Ellipsis for entry in index) > rank:
        raise ModelError(f"slices {len(index)} axes of {rank}")
    return tuple(index)


def _strided_slice(node: Node, x: Values, begin: Values, end: Values, strides: Values) -> Values:
    return np.asarray(x[strided_slice_index(node, x.ndim, begin, end, strides)])


def _slice(node: Node, x: Values, begin: Values, size: Values) -> Values:
    sizes = [n - b if s < 0 else s for n, b, s in zip(x.shape, begin, size)]
    return np.asarray(x[tuple(slice(int(b), int(b + s)) for b, s in zip(begin, sizes))])


def _pack(node: Node, *values: Values) -> Values:
    return np.stack(values, axis=options_of(node, tflite.PackOptions).Axis())


def _concatenate(node: Node, *values: Values) -> Values:
    return np.concatenate(values, axis=options_of(node, tflite.ConcatenationOptions).Axis())


def _gather(node: Node, x: Values, indices: Values) -> Values:
    return x.take(indices, axis=options_of(node, tflite.GatherOptions).Axis())


def _fill(node: Node, shape: Values, value: Values) -> Values:
    if math.prod(shape.tolist()) > MOST_FOLDED:
        raise ModelError(f"fills {shape.tolist()} values, too many for a constant")
    return np.full(shape.tolist(), value.reshape(()))


def _broadcast_args(node: Node, first: Values, second: Values) -> Values:
    shape = np.broadcast_shapes(tuple(first.tolist()), tuple(second.tolist()))
    return np.array(shape, first.dtype)


def _range(node: Node, start: Values, limit: Values, step: Values) -> Values:
    ends = (start.reshape(()), limit.reshape(()), step.reshape(()))
    if not ends[2] or abs((int(ends[1]) - int(ends[0])) / int(ends[2])) > MOST_FOLDED:
        raise ModelError("has too many values for a constant")
    return np.arange(*(int(n) for n in ends), dtype=start.dtype)


def _pairwise(function: Any) -> Callable[..., Values]:
    return lambda node, first, second: np.asarray(function(first, second))


def _reduce_product(node: Node, x: Values, axes: Values) -> Values:
    keep = bool(options_of(node, tflite.ReducerOptions).KeepDims())
    return np.asarray(x.prod(axis=tuple(axes.reshape(-1).tolist()), keepdims=keep, dtype=x.dtype))


_CODES = tflite.BuiltinOperator

_FOLDED: dict[int, Callable[..., Values]] = {
    _CODES.STRIDED_SLICE: _strided_slice,
    _CODES.SLICE: _slice,
    _CODES.PACK: _pack,
    _CODES.CONCATENATION: _concatenate,
    _CODES.GATHER: _gather,
    _CODES.FILL: _fill,
    _CODES.BROADCAST_ARGS: _broadcast_args,
    _CODES.RANGE: _range,
    _CODES.CAST: lambda node, x: x,
    _CODES.RESHAPE: lambda node, x, *shape: x,
    _CODES.SQUEEZE: lambda node, x: x,
    _CODES.EXPAND_DIMS: lambda node, x, axis: x,
    _CODES.ADD: _pairwise(np.add),
    _CODES.SUB: _pairwise(np.subtract),
    _CODES.MUL: _pairwise(np.multiply),
    _CODES.MAXIMUM: _pairwise(np.maximum),
    _CODES.MINIMUM: _pairwise(np.minimum),
    _CODES.FLOOR_DIV: _pairwise(np.floor_divide),
    _CODES.REDUCE_PROD: _reduce_product,
}

OPERATORS = (*_FOLDED, _CODES.SHAPE)


def shape_of(file: TFLiteFile, node: Node, type_: int) -> Values:
    """What SHAPE gives."""
    dtype = numpy_type(type_)
    return np.array(file.tensors[node.inputs[0]].shape, np.int32 if dtype is None else dtype)


def folded(node: Node, values: Sequence[Values], type_: int, shape: tuple[int, ...]) -> Values:
    """The result of an operator all of whose inputs are known.

    Args:
        node: one of :data:`OPERATORS`, but SHAPE.
        values: of its inputs.
        type_: the file's type of the output.
        shape: the file's shape of the output, which decides where values are only arranged.

    Raises:
        ModelError: the operator contradicts itself.
    """
    dtype = numpy_type(type_)
    if dtype is None:
        raise ModelError("gives constants of a type that is not known")
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(_FOLDED[node.code](node, *values)).astype(dtype)
        if node.code in (_CODES.RESHAPE, _CODES.SQUEEZE, _CODES.EXPAND_DIMS):
            result = result.reshape(shape)
    except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        raise ModelError(f"cannot be computed from its constants: {error}") from error
    return result
