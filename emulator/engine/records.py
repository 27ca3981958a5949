# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators without weights as the native kernel reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine import operators
from axynq.emulator.engine.abi import BETWEEN, KINDS, Memory
from axynq.emulator.engine.linear_sums import LinearSum, linear_sum
from axynq.emulator.engine.positions import by_position, map_runs, movement_runs, pairings, terms
from axynq.emulator.model import graph
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, activation_bounds
from axynq.emulator.model.lookups import lookup_table
from axynq.emulator.model.movement import BETWEEN_ONE, between, filling
from axynq.emulator.model.quantisation import (
    add_factors,
    identity_factor,
    product_factor,
    reduced_axes,
)
from axynq.emulator.softmax import exponentials

FEW_TERMS = 128
"""A sum of so many has a table of all results, which a processor's nearest cache holds."""

Fields = dict[str, Any]
"""Fields of an operator's record."""


def describe(model: graph.Model, op: graph.Operator, memory: Memory) -> Fields:
    """The fields that say what an operator does, beside its tensors and zero points."""
    if isinstance(op, graph.WeightedLayer):
        return {"kind": _kind("CONVOLUTION")}
    if isinstance(op, (graph.Add, graph.Elementwise)):
        return _pair(model, op, memory)
    if isinstance(op, graph.Lookup):
        table = lookup_table(model, op)
        every = np.zeros(model.tensors[op.output].shape, np.int64)
        return _map(model, op, op.inputs[0], table[None], every, memory)
    if isinstance(op, (graph.Movement, graph.Pad, graph.Reshape)):
        runs = movement_runs(model, op)
        fields = {"kind": _kind("MOVE"), "output_zero_point": filling(model, op)}
        return {**fields, "runs": len(runs), "run": memory.pointer(runs)}
    if isinstance(op, graph.Pool):
        return _pool(model, op)
    if isinstance(op, (graph.Mean, graph.Reduce)):
        return _reduce(model, op, memory)
    if isinstance(op, graph.Softmax):
        step = op.beta * model.tensors[op.inputs[0]].scale
        address = memory.pointer(exponentials(step).astype(np.int32))
        return {"kind": _kind("SOFTMAX"), "exponentials": address}
    assert isinstance(op, graph.ResizeBilinear), op
    return _resize(model, op, memory)


def read_as_tensors(model: graph.Model, op: graph.Operator) -> tuple[int, ...]:
    """The inputs that the kernel reads: without a constant that tables take the place of."""
    constant = _constant(model, op)
    return op.inputs if constant is None else (op.inputs[1 - constant],)


def _kind(name: str) -> int:
    return KINDS.index(name)


def _constant(model: graph.Model, op: graph.Operator) -> int | None:
    """Which operand of a pair is a constant that tables take the place of."""
    if not isinstance(op, (graph.Add, graph.Elementwise)):
        return None
    constant = [index in model.constants for index in op.inputs]
    return constant.index(True) if constant.count(True) == 1 else None


def _pair(model: graph.Model, op: graph.Add | graph.Elementwise, memory: Memory) -> Fields:
    constant = _constant(model, op)
    if constant is not None:
        target = model.tensors[op.output].shape
        values = model.constants[op.inputs[constant]].astype(np.int64) - INT8_MIN
        used, number = np.unique(values, return_inverse=True)
        tables = operators.paired_tables(model, op, constant)[used]
        every = np.broadcast_to(number.reshape(values.shape), target)
        return _map(model, op, op.inputs[1 - constant], tables, every, memory)
    kind = op.kind if isinstance(op, graph.Elementwise) else "add"
    low, high = activation_bounds(op.activation, model.tensors[op.output])
    pairs = pairings(model, op)
    factors = []
    if kind in ("add", "subtract"):
        factors = [*add_factors(model, op)]
    elif isinstance(op, graph.Elementwise) and kind == "multiply":
        factors = [product_factor(model, op)]
    elif isinstance(op, graph.Elementwise) and kind == "prelu":
        factors = [identity_factor(model, op), product_factor(model, op)]
    padded = [*factors, *[(0, 0)] * (3 - len(factors))]
    linear = None
    if kind in ("add", "subtract"):
        first, second, output = (
            graph.Quantisation(t.scale, t.zero_point)
            for t in (model.tensors[index] for index in (*op.inputs, op.output))
        )
        sign = 1 if kind == "add" else -1
        linear = _linear((first, second, output), sign, (low, high))
    return {
        **(
            {}
            if linear is None
            else {
                "linear": [*linear.high, *linear.low],
                "linear_constant": [linear.constant, linear.low_constant],
                "linear_shift": linear.shift,
            }
        ),
        "kind": _kind(kind.upper()),
        "clamp_low": low,
        "clamp_high": high,
        "multiplier": [multiplier for multiplier, _ in padded],
        "shift": [shift for _, shift in padded],
        "runs": len(pairs),
        "pairing": memory.pointer(pairs),
    }


@lru_cache(maxsize=256)
def _linear(
    quantisations: tuple[graph.Quantisation, graph.Quantisation, graph.Quantisation],
    sign: int,
    bounds: tuple[int, int],
) -> LinearSum | None:
    """A sum, or with a sign of -1 a difference, as one linear function, if there is such. Searches
    make engines of the same networks thousands of times, and it takes milliseconds to find.

    ``quantisations`` are those of the first operand, the second and the result.
    """
    first, second, output = quantisations
    tensors = tuple(graph.Tensor("", (1,), *each) for each in quantisations)
    op: graph.Operator = graph.Add("", (0, 1), 2)
    if sign < 0:
        op = graph.Elementwise("", (0, 1), 2, "subtract")
    model = graph.Model("", tensors, (op,), (0, 1), (2,))
    table = np.clip(operators.paired_tables(model, op, 0), *bounds)
    a, b = first.scale / output.scale, sign * second.scale / output.scale
    offset = output.zero_point - a * first.zero_point - b * second.zero_point
    return linear_sum(table, (a, b), offset, bounds)


def _map(
    model: graph.Model,
    op: graph.Operator,
    source: int,
    tables: graph.Int8Array,
    every: npt.NDArray[np.int64],
    memory: Memory,
) -> Fields:
    """Tables [tables, 256] by ``value + 128``, and the number of that of each value."""
    runs = map_runs(model, source, op, every)
    by_byte = np.roll(tables, 128, axis=1)
    return {
        "kind": _kind("MAP"),
        "input": source,
        "runs": len(runs),
        "run": memory.pointer(runs),
        "tables": memory.pointer(by_byte),
    }


def _pool(model: graph.Model, op: graph.Pool) -> Fields:
    low, high = activation_bounds(op.activation, model.tensors[op.output])
    return {
        "kind": _kind("MAX_POOL" if op.kind == "max" else "AVERAGE_POOL"),
        "window_rows": op.window[0],
        "window_columns": op.window[1],
        "stride_rows": op.stride[0],
        "stride_columns": op.stride[1],
        "padding_top": op.padding.top,
        "padding_left": op.padding.left,
        "clamp_low": low,
        "clamp_high": high,
    }


def _reduce(model: graph.Model, op: graph.Mean | graph.Reduce, memory: Memory) -> Fields:
    shape = model.tensors[op.inputs[0]].shape
    first, term = terms(shape, reduced_axes(op))
    fields: Fields = {
        "kind": _kind("REDUCE"),
        "terms": len(term),
        "first": memory.pointer(by_position(first, model.tensors[op.output].shape)),
        "term": memory.pointer(term),
    }
    if len(term) > FEW_TERMS:
        return {**fields, "thresholds": memory.pointer(_thresholds(model, op, len(term)))}
    every = np.arange(INT8_MIN * len(term), INT8_MAX * len(term) + 1, dtype=np.int64)
    return {**fields, "tables": memory.pointer(operators.reduced(model, op)(every))}


def _thresholds(
    model: graph.Model, op: graph.Mean | graph.Reduce, count: int
) -> npt.NDArray[np.int32]:
    """The smallest sums of ``count`` values that become -127 .. 127, by bisection."""
    made = operators.reduced(model, op)
    wanted = np.arange(INT8_MIN + 1, INT8_MAX + 1, dtype=np.int64)
    low = np.full(len(wanted), INT8_MIN * count, np.int64)
    high = np.full(len(wanted), INT8_MAX * count + 1, np.int64)  # never reached
    for _ in range(math.ceil(math.log2(256 * count)) + 1):
        middle = (low + high) // 2
        enough = made(middle) >= wanted
        high = np.where(enough, middle, high)
        low = np.where(enough, low, np.minimum(middle + 1, high))
    return high.astype(np.int32)


def _resize(model: graph.Model, op: graph.ResizeBilinear, memory: Memory) -> Fields:
    source, target = (model.tensors[index].shape for index in (op.inputs[0], op.output))
    fields: Fields = {"kind": _kind("RESIZE_BILINEAR")}
    for name, axis in (("row", 0), ("column", 1)):
        lower, upper, share = between(
            source[axis], target[axis], op.align_corners, op.half_pixel_centers
        )
        records = np.zeros(target[axis], BETWEEN)
        for field, values in {
            "lower": lower,
            "upper": upper,
            "lower_weight": BETWEEN_ONE - share,
            "upper_weight": share,
        }.items():
            records[field] = values
        fields[name] = memory.pointer(records)
    return fields


def planar_constants(
    model: graph.Model, indices: set[int], block: int, memory: Memory
) -> Mapping[int, tuple[int, int]]:
    """Where constants lie as planar tensors: each value repeated for all images of a block; and for
    one image, with as many bytes behind them."""
    planar = {
        index: by_position(model.constants[index], model.constants[index].shape)
        for index in indices
    }
    return {
        index: (
            memory.pointer(np.repeat(values, block)),
            memory.pointer(np.append(values, np.zeros(block, np.int8))),
        )
        for index, values in planar.items()
    }
