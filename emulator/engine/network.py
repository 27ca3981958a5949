# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A network under a plan, on the native kernel."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Union

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.engine import operators
from axynq.emulator.engine.abi import BLOCK, OPERATOR, TENSOR, Memory
from axynq.emulator.engine.blocks import Blocks
from axynq.emulator.engine.calibration import measured_costs
from axynq.emulator.engine.exchange import ExchangeableLayer
from axynq.emulator.engine.kernel import Kernel
from axynq.emulator.engine.layouts import images_in_blocks, useful_threads, work_of_one
from axynq.emulator.engine.packing import costs_of, pack_layer
from axynq.emulator.engine.parts import Part, parts, without_paddings
from axynq.emulator.engine.pool import ArrayPool
from axynq.emulator.engine.recipe import layer_recipe
from axynq.emulator.engine.records import describe, planar_constants, read_as_tensors
from axynq.emulator.engine.starts import Start
from axynq.emulator.model import graph
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, rows_columns_channels
from axynq.emulator.model.lifetimes import Lifetime, first_fit
from axynq.emulator.multipliers import multiplier
from axynq.emulator.plan import SKIP, LayerCodes, Plan

CHUNK_BLOCKS = 8
"""Blocks of images for each thread that go through a network of several parts together."""

Sums = dict[str, tuple[graph.Int32Array, graph.Int32Array]]
"""Approximate and exact accumulators by layer, [channels, rows, columns, images]."""

Values = Union[graph.Int8Array, Blocks]
"""A batch of a tensor, [images, *shape] or in blocks."""


class _PackedLayer(NamedTuple):
    """A layer as the kernel reads it."""

    address: int
    """Of its convolutions, one after another."""
    convolutions: int
    scratch_bytes: tuple[int, int]
    """What the largest of them needs, for a block and for one image."""


class NativeNetwork:
    """Runs a network in blocks of 64 images, a thread a block, or in single images where there are
    few (module ``layouts``); numpy does what the kernel has not (module ``parts``)."""

    def __init__(
        self, model: graph.Model, codes: Mapping[str, LayerCodes], kernel: Kernel, threads: int
    ) -> None:
        self.model = model
        computed, self._left_out = without_paddings(model)
        self._parts: list[graph.Operator | NativePart] = []
        for part in parts(computed):
            if part.native:
                self._parts.append(NativePart(computed, part, codes, kernel, threads))
            else:
                self._parts.extend(part.operators)
        self._chunk = CHUNK_BLOCKS * BLOCK * threads

    def exchange_weights(self, model: graph.Model, codes: Mapping[str, LayerCodes]) -> None:
        """Go on with the weights and biases of ``model``, the same network otherwise."""
        self.model = model
        for part in self._parts:
            if isinstance(part, NativePart):
                part.exchange_weights(model, codes)

    def run(self, x: Sequence[graph.Int8Array]) -> tuple[graph.Int8Array, ...]:
        """The network's outputs [images, *shape] for its inputs."""
        chunks = [
            self._computed(dict(zip(self.model.inputs, chunk)), len(chunk[0]), False)
            for chunk in self._chunks(x)
        ]
        outputs = []
        for index in self.model.outputs:
            made = [_ordered(self.model, index, values[index]) for values in chunks]
            outputs.append(made[0] if len(made) == 1 else np.concatenate(made))
        return tuple(outputs)

    def run_blocks(self, x: Blocks) -> Blocks:
        """The only output for the only input, in the engine's own order."""
        values = self._computed({self.model.input_index: x}, x.images, True)
        y = values[self.model.output_index]
        return y if isinstance(y, Blocks) else Blocks.of(y)

    def tensors(self, x: Sequence[graph.Int8Array]) -> dict[int, graph.Int8Array]:
        """Every tensor that is given or computed, by its index, [images, *shape]."""
        given: dict[int, Values] = dict(zip(self.model.inputs, x))
        values = self._computed(given, len(x[0]), False, every=True)
        for op in self._left_out:
            source = _ordered(self.model, op.inputs[0], values[op.inputs[0]])
            padded = operators.compute(self.model, op, [source])
            values[op.output] = np.broadcast_to(padded, (len(x[0]), *padded.shape[1:]))
        return {
            index: _ordered(self.model, index, value)
            for index, value in values.items()
            if index not in self.model.constants
        }

    def accumulators(
        self, x: Sequence[graph.Int8Array]
    ) -> dict[str, tuple[graph.Int32Array, graph.Int32Array]]:
        """Approximate and exact accumulators by layer, int32 [images, rows, columns, filters]: both
        of the layer's input in the approximate network.

        They are views of arrays in which the images of a neuron are contiguous; where the layer's
        multipliers are exact, both are the same array.
        """
        sums: Sums = {}
        self._computed(dict(zip(self.model.inputs, x)), len(x[0]), False, sums=sums)
        ordered = {layer.name: sums[layer.name] for layer in self.model.layers}
        return {
            name: (approximate.transpose(3, 1, 2, 0), exact.transpose(3, 1, 2, 0))
            for name, (approximate, exact) in ordered.items()
        }

    def _computed(
        self,
        given: dict[int, Values],
        images: int,
        blocked: bool,
        every: bool = False,
        sums: Sums | None = None,
    ) -> dict[int, Values]:
        """Inputs, constants, and what is computed of them: the tensors between parts and the
        outputs, or every tensor. What the kernel computes is in
        blocks where ``blocked``."""
        values: dict[int, Values] = dict(given)
        values |= {index: value[None] for index, value in self.model.constants.items()}
        for part in self._parts:
            if isinstance(part, NativePart):
                values |= part.run(values, images, blocked, every, sums)
                continue
            inputs = [_ordered(self.model, index, values[index]) for index in part.inputs]
            inputs = [np.broadcast_to(x, (images, *x.shape[1:])) for x in inputs]
            values[part.output] = operators.compute(self.model, part, inputs)
        for index in self.model.outputs:
            if index in self.model.constants:
                shape = (images, *self.model.tensors[index].shape)
                values[index] = np.broadcast_to(self.model.constants[index], shape).copy()
            elif index in given and not blocked:  # the caller's own array
                values[index] = _ordered(self.model, index, given[index]).copy()
        return values

    def _chunks(self, x: Sequence[graph.Int8Array]) -> Iterator[Sequence[graph.Int8Array]]:
        """What numpy computes, and what lies between parts, must not grow with the batch."""
        if all(isinstance(part, NativePart) for part in self._parts) or len(x[0]) == 0:
            yield x
            return
        for start in range(0, len(x[0]), self._chunk):
            yield [array[start : start + self._chunk] for array in x]


class NativePart:
    """A stretch of a network that the kernel computes."""

    def __init__(
        self,
        model: graph.Model,
        part: Part,
        codes: Mapping[str, LayerCodes],
        kernel: Kernel,
        threads: int,
    ) -> None:
        self.model = model
        self.part = part
        self.kernel = kernel
        self._codes = dict(codes)
        self._memory = Memory()
        self._lock = threading.Lock()
        self._pool = ArrayPool()
        self._exchangeable: dict[str, ExchangeableLayer] = {}
        self._layers = self._pack(self._codes)
        self._exact: dict[str, _PackedLayer] | None = None
        self._operator_records = self._describe_operators()
        self._tensor_records, self._arena_bytes = self._describe_tensors()
        self.threads = affordable(threads, self._arena_bytes * BLOCK)
        self._work = work_of_one(model, part.operators)
        self._starts: list[Start] = []  # that no thread is using

    def exchange_weights(self, model: graph.Model, codes: Mapping[str, LayerCodes]) -> None:
        """As :meth:`NativeNetwork.exchange_weights`."""
        self.model = replace(self.model, operators=_exchanged(self.model.operators, model))
        self.part = replace(self.part, operators=_exchanged(self.part.operators, model))
        self._codes, self._exact = dict(codes), None
        self._starts = []  # which are about the weights before
        for record, op in zip(self._operator_records, self.part.operators):
            if not isinstance(op, graph.WeightedLayer):
                continue
            mine = self._exchangeable.get(op.name)
            if mine is None or not mine.fits(codes[op.name]):
                costs = costs_of(self.model, op, measured_costs(self.kernel))
                library = self.kernel.library
                mine = ExchangeableLayer(self.model, op, codes[op.name], costs, library)
                self._exchangeable[op.name] = mine
            layer = self._packed(mine.pack(op))
            self._layers[op.name] = layer
            record["convolutions"], record["convolution"] = layer.convolutions, layer.address

    def run(
        self,
        values: Mapping[int, Values],
        images: int,
        blocked: bool,
        every: bool,
        sums: Sums | None,
    ) -> dict[int, Values]:
        """The part's outputs, or every tensor that it computes, and its sums into ``sums``."""
        wanted = [op.output for op in self.part.operators] if every else self.part.outputs
        made: dict[int, Values] = {}
        for index in wanted:
            if blocked:
                shape = (-(-images // BLOCK), *self._planar(index), BLOCK)
                made[index] = Blocks(np.empty(shape, np.int8), images)
            else:
                made[index] = np.empty((images, *self.model.tensors[index].shape), np.int8)
        mine = {} if sums is None else self._new_sums(images)
        if sums is not None:
            sums |= mine
        if images:
            given = {index: _contiguous(values[index]) for index in self.part.inputs}
            taken = {index: _contiguous(value) for index, value in made.items()}
            in_blocks = images
            if not blocked:
                in_blocks = images_in_blocks(images, self.threads, self._work.share)
            threads = useful_threads(self.threads, images, in_blocks, self._work)
            start = self._new_start(mine) if mine else self._free_start()
            start.run(self.kernel, given, taken, images, in_blocks, threads)
            if not mine:
                self._starts.append(start)
        return made

    def _free_start(self) -> Start:
        with self._lock:
            if self._starts:
                return self._starts.pop()
        return self._new_start({})

    def _new_sums(self, images: int) -> Sums:
        sums = {}
        for op in self.part.operators:
            if isinstance(op, graph.WeightedLayer):
                shape = (*self._planar(op.output), images)
                approximate = self._pool.take(shape, np.int32)
                exactly = approximate if self._is_exact(op) else self._pool.take(shape, np.int32)
                sums[op.name] = approximate, exactly
        return sums

    # --- packing ---------------------------------------------------------------------------------

    def _pack(self, codes: Mapping[str, LayerCodes]) -> dict[str, _PackedLayer]:
        """Every weighted layer by name."""
        packed = {}
        for op in self.part.operators:
            if isinstance(op, graph.WeightedLayer):
                zero_point = self.model.tensors[op.inputs[0]].zero_point
                costs = costs_of(self.model, op, measured_costs(self.kernel))
                recipe = layer_recipe(op, zero_point, codes[op.name], costs)
                library = self.kernel.library
                records = pack_layer(self.model, op, recipe, costs, library, self._memory)
                self._memory.pointer(records)
                packed[op.name] = self._packed(records)
        return packed

    def _packed(self, records: npt.NDArray[Any]) -> _PackedLayer:
        """A layer whose records are kept elsewhere."""
        address, count = records.ctypes.data, len(records)
        block, single = (
            self.kernel.library.axynq_scratch_bytes(address, count, which) for which in (0, 1)
        )
        return _PackedLayer(address, count, (block, single))

    def _is_exact(self, layer: graph.WeightedLayer) -> bool:
        codes = self._codes[layer.name]
        return codes.multipliers == (multiplier("exact"),) and bool((codes.codes != SKIP).all())

    def _exact_layers(self) -> dict[str, _PackedLayer]:
        with self._lock:
            if self._exact is None:
                self._exact = self._pack(Plan.uniform("exact").expand(self.model))
            return self._exact

    def _planar(self, index: int) -> tuple[int, int, int]:
        rows, columns, channels = rows_columns_channels(self.model.tensors[index].shape)
        return channels, rows, columns

    # --- running ---------------------------------------------------------------------------------

    def _new_start(self, sums: Sums) -> Start:
        records, scratch = self._operators(sums)
        sizes = {
            "arena_bytes": self._arena_bytes,
            "scratch_bytes": scratch[0],
            "single_scratch_bytes": scratch[1],
        }
        return Start(self._tensor_records, records, self.part.inputs, sizes)

    def _operators(self, sums: Sums) -> tuple[npt.NDArray[Any], tuple[int, int]]:
        """Records that put sums where they are wanted, and the scratch memory they need."""
        records = self._operator_records.copy()
        layers = list(self._layers.values())
        for record, op in zip(records, self.part.operators) if sums else ():
            if op.name in sums:
                approximate, exact = sums[op.name]
                record["accumulators"] = approximate.ctypes.data
                if exact is not approximate:
                    layers.append(self._exact_layers()[op.name])
                    record["exact"] = layers[-1].address
                    record["exact_accumulators"] = exact.ctypes.data
        block, single = (
            max([64, *(layer.scratch_bytes[which] for layer in layers)]) for which in (0, 1)
        )
        return records, (block, single)

    def _describe_tensors(self) -> tuple[npt.NDArray[Any], int]:
        """Shapes of all tensors, and their places in a thread's arena."""
        tensors = np.zeros(len(self.model.tensors), TENSOR)
        for record, tensor in zip(tensors, self.model.tensors):
            record["rows"], record["columns"], record["channels"] = rows_columns_channels(
                tensor.shape
            )
        born = dict.fromkeys(self.part.inputs, -1)
        dies = dict(born)
        for time, op in enumerate(self.part.operators):
            born[op.output] = time
            for index in (*op.inputs, op.output):
                dies[index] = time
        # One image's tensors have bytes behind them (native/abi.hpp).
        sizes = {
            i: (math.prod(self.model.tensors[i].shape) + 2 * BLOCK - 1) // BLOCK * BLOCK
            for i in born
        }
        offsets, total = first_fit({i: Lifetime(born[i], dies[i], sizes[i]) for i in born})
        for index, offset in offsets.items():
            tensors[index]["offset"] = offset
        read = {i for op in self.part.operators for i in read_as_tensors(self.model, op)}
        constants = planar_constants(
            self.model, read & set(self.model.constants), BLOCK, self._memory
        )
        for index, addresses in constants.items():
            tensors[index]["constant"], tensors[index]["single_constant"] = addresses
        return tensors, total

    def _describe_operators(self) -> npt.NDArray[Any]:
        records = np.zeros(len(self.part.operators), OPERATOR)
        tensors = self.model.tensors
        for record, op in zip(records, self.part.operators):
            fields = {
                "input": op.inputs[0],
                "second": op.inputs[1] if len(op.inputs) > 1 else op.inputs[0],
                "output": op.output,
                "clamp_low": INT8_MIN,
                "clamp_high": INT8_MAX,
                "output_zero_point": tensors[op.output].zero_point,
                **describe(self.model, op, self._memory),
            }
            fields["input_zero_point"] = tensors[fields["input"]].zero_point
            fields["second_zero_point"] = tensors[fields["second"]].zero_point
            if op.name in self._layers:
                layer = self._layers[op.name]
                fields |= {"convolutions": layer.convolutions, "convolution": layer.address}
            for name, value in fields.items():
                record[name] = value
        return records


def _exchanged(
    operators: Sequence[graph.Operator], model: graph.Model
) -> tuple[graph.Operator, ...]:
    """The operators with weights and biases of the layers of the same names in ``model``."""
    layers = {layer.name: layer for layer in model.layers}
    return tuple(
        replace(op, weights=layers[op.name].weights, bias=layers[op.name].bias)
        if isinstance(op, graph.WeightedLayer)
        else op
        for op in operators
    )


def affordable(threads: int, bytes_each: int) -> int:
    """As many threads as half of the machine's memory has room for, at least one."""
    return max(1, min(threads, files.memory() // 2 // max(bytes_each, 1)))


def _contiguous(values: Values) -> tuple[graph.Int8Array, bool]:
    """The array, and whether it is in blocks."""
    if isinstance(values, Blocks):
        return np.ascontiguousarray(values.values), True
    return np.ascontiguousarray(values), False


def _ordered(model: graph.Model, index: int, values: Values) -> graph.Int8Array:
    return values.in_order(model.tensors[index].shape) if isinstance(values, Blocks) else values
