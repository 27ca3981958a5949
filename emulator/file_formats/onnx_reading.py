# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The state of reading an int8 ONNX network, and what the operators' readers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_drawing import Drawing, Flat, Held, default_order
from axynq.emulator.file_formats.onnx_file import Array, Node, OnnxFile
from axynq.emulator.file_formats.onnx_inputs import NodeInputs
from axynq.emulator.file_formats.onnx_values import (
    OPERANDS,
    Curve,
    Fixed,
    Pending,
    Value,
    covering,
    quantisation_of,
    quantised,
    reals_of,
)
from axynq.emulator.model import graph
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Activation, Int8Array, Quantisation
from axynq.emulator.model.lookups import lookup_table
from axynq.emulator.model.quantisation import FIXED_OUTPUTS

_ACTIVATIONS: tuple[Activation, ...] = ("none", "relu", "relu6", "relu_n1_to_1")
_NAMED: tuple[graph.LookupKind, ...] = (
    *("quantise", "relu", "relu6", "relu_n1_to_1", "relu_0_to_1"),
    *("absolute", "logistic", "tanh", "hard_swish", "exponential"),
)
"""Functions that the graph has a name for."""

_INTEGERS = {"int8": 8, "uint8": 8, "int32": 32}


@dataclass
class Reading(NodeInputs[Value]):
    """A file, the network drawn so far, and what each of ONNX's names stands for."""

    file: OnnxFile
    drawing: Drawing = field(default_factory=Drawing)
    values: dict[str, Value] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What a user should know."""
    _drawn: dict[tuple[int, Quantisation], tuple[Value, Held | Flat]] = field(default_factory=dict)

    # --- what a node has -------------------------------------------------------------------------

    def numbers_in(self, value: Value) -> Array | None:
        if isinstance(value, Fixed):
            return value.reals
        return value if isinstance(value, np.ndarray) else None

    # --- real values -----------------------------------------------------------------------------

    def held(self, value: Value) -> Held:
        """Real numbers as an int8 tensor holds them."""
        return self.drawing.settled(self.movable(value, integers=False))

    def movable(self, value: Value, integers: bool = True) -> Held | Flat:
        """As :meth:`held`; ``integers``: or ONNX's integers. A flattened map stays as it is."""
        if isinstance(value, Curve):
            value = self._tensor_of(value)
        if isinstance(value, Pending):
            raise ModelError(
                f"takes the result of operator {value.node.place} ({value.node.kind}) before it is "
                "quantised: a QuantizeLinear and DequantizeLinear between them are missing (does "
                "the quantiser know operators of this kind?)"
            )
        if not isinstance(value, (Held, Flat)):
            raise ModelError("takes a constant where only a computed tensor is supported")
        base = value.base if isinstance(value, Flat) else value
        if not base.real and not integers:
            raise ModelError("takes integers where a DequantizeLinear should come before")
        return value

    def curve(self, value: Value) -> Curve | None:
        """Real numbers as a function of int8 values; None where they are none."""
        if isinstance(value, Curve):
            return value
        if isinstance(value, (Held, Flat)):
            base = self.drawing.settled(value)
            return Curve(base, reals_of(self.quantisation(base))) if base.real else None
        return None

    def quantisation(self, value: Held | Flat) -> Quantisation:
        """What an int8 tensor's values stand for."""
        base = value.base if isinstance(value, Flat) else value
        found = self.drawing.tensors[base.tensor].quantisation
        assert found is not None
        return found

    def holds(self, curve: Curve) -> bool:
        """Whether the quantisation of the int8 values that a function takes holds its results
        without rounding."""
        quantisation = self.quantisation(curve.base)
        table = quantised(curve.reals, quantisation)
        again = reals_of(quantisation)[table.astype(np.int64) - INT8_MIN]
        return bool(np.array_equal(again, curve.reals))

    def _tensor_of(self, curve: Curve) -> Held:
        """A function of int8 values as a tensor: in their own quantisation where that holds it
        without rounding, else in one of the function's range."""
        quantisation = self.quantisation(curve.base)
        if not self.holds(curve):
            quantisation = covering(curve.reals)
            name = self.drawing.tensors[curve.base.tensor].name
            self.notes.append(
                f"A function of '{name}' is not quantised in the file; here it has scale "
                f"{quantisation.scale:.4g} and zero point {quantisation.zero_point}."
            )
        return self.looked_up(curve.base, quantised(curve.reals, quantisation), quantisation)

    # --- quantisation ----------------------------------------------------------------------------

    def scale_of(
        self, node: Node, scale: int, zero_point: int, unsigned: bool = True
    ) -> tuple[Quantisation, bool]:
        """An activation's quantisation from two inputs, and whether ONNX has it as uint8;
        ``unsigned``: what is meant where there is no zero point."""
        zero = None
        if self.optional(node, zero_point) is not None:
            zero = self.constant(node, zero_point, "zero point")
            if zero.dtype not in (np.uint8, np.int8):
                raise ModelError(f"quantises activations to {zero.dtype}; int8 and uint8 are known")
            unsigned = zero.dtype == np.uint8
        return quantisation_of(self.constant(node, scale, "scale"), zero, unsigned), unsigned

    def dequantised(
        self, node: Node, value: int, scale: int, zero_point: int, axis: int = 0
    ) -> Value:
        """The real numbers behind an input and the two that say what it stands for; ``axis``:
        along which a constant has several scales."""
        given = self.operand(node, value)
        if isinstance(given, np.ndarray):
            return self._fixed(node, given, scale, zero_point, axis)
        if not isinstance(given, (Held, Flat)):
            raise ModelError("takes real numbers where quantised ones should be")
        base = given.base if isinstance(given, Flat) else given
        if base.real:
            raise ModelError("takes real numbers where quantised ones should be")
        quantisation, unsigned = self.scale_of(node, scale, zero_point, base.unsigned)
        if (quantisation, unsigned) != (self.quantisation(base), base.unsigned):
            raise ModelError("reads a tensor with another scale or zero point than it was given")
        return _with_base(given, real=True)

    def _fixed(self, node: Node, given: Array, scale: int, zero_point: int, axis: int) -> Fixed:
        kind = str(given.dtype)
        if kind not in _INTEGERS:
            raise ModelError(f"has constants of {kind}; 8-bit ones and int32 are known")
        if node.attribute("block_size", 0):
            raise ModelError("has constants with a scale for each block, not for each filter")
        scales = self.constant(node, scale, "scale").astype(np.float32).reshape(-1)
        # Less a zero point they fit 16 bits, those of 8 bits; large networks have many.
        values = given.astype(np.int64 if _INTEGERS[kind] == 32 else np.int16)
        axis = axis + values.ndim if axis < 0 else axis
        zero = np.zeros(1, np.int64)
        if self.optional(node, zero_point) is not None:
            zero = self.constant(node, zero_point, "zero point").astype(np.int64).reshape(-1)
        if scales.size > 1 and (axis >= values.ndim or values.shape[axis] != scales.size):
            raise ModelError(
                f"has {scales.size} scales for a constant of shape {list(values.shape)}"
            )
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise ModelError("has a scale that is negative or not finite")
        spread = zero
        if zero.size > 1:
            if zero.size != scales.size:
                raise ModelError(f"has {zero.size} zero points for {scales.size} scales")
            spread = zero.reshape([-1 if k == axis else 1 for k in range(values.ndim)])
        known = int(zero[0]) - (128 if kind == "uint8" else 0) if zero.size == 1 else 0
        return Fixed(values - spread.astype(values.dtype), scales, axis, _INTEGERS[kind], known)

    def quantise(self, value: Value, quantisation: Quantisation, unsigned: bool) -> Held | Flat:
        """The int8 tensor of real numbers in a quantisation."""
        if isinstance(value, Pending):
            result = self._settled(value, quantisation)
        else:
            movable = value if isinstance(value, (Held, Flat)) else None
            if movable is not None and self.quantisation(movable) == quantisation:
                result = self.movable(movable, integers=False)
            else:
                curve = self.curve(value)
                if curve is None:
                    raise ModelError("quantises what is no real number")
                table = quantised(curve.reals, quantisation)
                result = self.looked_up(curve.base, table, quantisation)
        return _with_base(result, real=False, unsigned=unsigned)

    def _settled(self, pending: Pending, quantisation: Quantisation) -> Held | Flat:
        known = self._drawn.get((id(pending), quantisation))
        if known is not None:
            return known[1]
        zero = graph.Tensor("", (), *quantisation)
        low, high = (int(n) for n in quantised(np.array([pending.low, pending.high]), quantisation))
        fits = next(
            (a for a in _ACTIVATIONS if graph.activation_bounds(a, zero) == (low, high)), None
        )
        if pending.fuses and fits is not None:
            result = pending.emit(quantisation, fits)
        else:
            result = pending.emit(quantisation, "none")
            table = np.clip(OPERANDS, low, high).astype(np.int8)
            result = self.looked_up(result, table, quantisation)
        settled: Held | Flat = result
        for move in pending.after:
            settled = move(settled)
        self._drawn[id(pending), quantisation] = (pending, settled)  # keeps the id taken
        return settled

    # --- drawing ---------------------------------------------------------------------------------

    def tensor(self, name: str, shape: Sequence[int], quantisation: Quantisation) -> int:
        """A new int8 tensor."""
        return self.drawing.tensor(name, shape, quantisation)

    def looked_up(self, base: Held, table: Int8Array, quantisation: Quantisation) -> Held:
        """Each value by way of a table, to ``quantisation``."""
        source = self.quantisation(base)
        if source == quantisation and np.array_equal(table, OPERANDS):
            return base
        kind, prefix = self._name_of(table, source, quantisation), "lookup"
        if kind != "table":
            prefix = kind
        name = f"{self.drawing.tensors[base.tensor].name}/{prefix}"
        output = self.tensor(name, base.stored, quantisation)
        more: dict[str, Any] = {"table": table} if kind == "table" else {}
        self.drawing.append(graph.Lookup, prefix, [base.tensor], output, kind, **more)
        return replace(base, tensor=output)

    def _name_of(
        self, table: Int8Array, source: Quantisation, target: Quantisation
    ) -> graph.LookupKind:
        tensors = (graph.Tensor("x", (1,), *source), graph.Tensor("y", (1,), *target))
        for kind in _NAMED:
            if FIXED_OUTPUTS.get(kind, target) != target:  # that needs a table
                continue
            op = graph.Lookup(kind, (0,), 1, kind)
            model = graph.Model("", tensors, (op,), (0,), (1,))
            try:
                if np.array_equal(lookup_table(model, op), table):
                    return kind
            except (ValueError, ModelError):
                continue
        return "table"

    def requantised(self, value: Held, quantisation: Quantisation) -> Held:
        """The same real numbers in another quantisation."""
        table = quantised(reals_of(self.quantisation(value)), quantisation)
        return self.looked_up(value, table, quantisation)

    def tried(
        self, move: Callable[[Held | Flat], Held | Flat], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        """What shape a movement gives of a value of ``shape``; what it draws is taken back.

        Raises:
            ModelError: it cannot be done.
        """
        mark = self.drawing.mark()
        order = default_order(shape)
        stored = [shape[axis] for axis in order]
        try:
            trial = Held(self.tensor("", stored, Quantisation(1.0, 0)), shape, order)
            return move(trial).shape
        finally:
            self.drawing.take_back(mark)


def _with_base(value: Held | Flat, **fields: Any) -> Held | Flat:
    if isinstance(value, Flat):
        return replace(value, base=replace(value.base, **fields))
    return replace(value, **fields)


def within_int8(values: Array) -> bool:
    """Whether all whole numbers fit int8."""
    return bool(values.size == 0 or (values.min() >= INT8_MIN and values.max() <= INT8_MAX))
