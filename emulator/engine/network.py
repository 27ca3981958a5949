"""A network under a plan, on the native kernel."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import (
    ADD_KIND,
    AVERAGE_POOL_KIND,
    BLOCK,
    CONVOLUTION_KIND,
    MAX_POOL_KIND,
    MEAN_KIND,
    NETWORK,
    OPERATOR,
    PAD_KIND,
    POINTER,
    RESHAPE_KIND,
    TENSOR,
    Memory,
)
from axynq.emulator.engine.blocks import Blocks
from axynq.emulator.engine.kernel import Kernel
from axynq.emulator.engine.packing import pack_layer
from axynq.emulator.engine.pool import ArrayPool
from axynq.emulator.engine.recipe import layer_recipe
from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import FixedPoint
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, activation_bounds, rows_columns_channels
from axynq.emulator.model.lifetimes import Lifetime, first_fit
from axynq.emulator.model.quantisation import add_factors, mean_factor
from axynq.emulator.multipliers import multiplier
from axynq.emulator.plan import SKIP, LayerCodes, Plan
from axynq.emulator.softmax import softmax


class UnsupportedNetworkError(Exception):
    """The native kernel cannot run this network; the portable engine can."""


class _PackedLayer(NamedTuple):
    """A layer as the kernel reads it."""

    address: int
    """Of its convolutions, one after another."""
    convolutions: int
    scratch_bytes: int
    """What the largest of them needs."""


class NativeNetwork:
    """Runs a network in blocks of 64 images, a thread a block.

    Raises:
        UnsupportedNetworkError: a softmax is followed by something else.
    """

    def __init__(
        self, model: graph.Model, codes: Mapping[str, LayerCodes], kernel: Kernel, threads: int
    ) -> None:
        self.model = model
        self.kernel = kernel
        self.threads = threads
        self._codes = dict(codes)
        # Softmax is a handful of values an image: numpy does it.
        self._tail = [op for op in model.operators if isinstance(op, graph.Softmax)]
        first = len(model.operators) - len(self._tail)
        if any(not isinstance(op, graph.Softmax) for op in model.operators[first:]):
            raise UnsupportedNetworkError("a softmax is not at the end of the network")
        self._operators = model.operators[:first]
        self._memory = Memory()
        self._lock = threading.Lock()
        self._pool = ArrayPool()
        self._layers = self._pack(self._codes)
        self._exact: dict[str, _PackedLayer] | None = None
        self._operator_records = self._describe_operators()
        self._tensor_records, self._arena_bytes = self._describe_tensors()

    def run(self, x: graph.Int8Array) -> graph.Int8Array:
        """The network's output [images, *shape]."""
        return self._finish(self._run(x, {}, {}))

    def run_blocks(self, x: Blocks) -> Blocks:
        """As :meth:`run`, on activations in the engine's own order."""
        target = self._target()
        channels, rows, columns = self._planar(target)
        y = np.empty((len(x.values), channels, rows, columns, BLOCK), np.int8)
        self._start(np.ascontiguousarray(x.values), x.images, y, {}, {}, blocked=True)
        if not self._tail:
            return Blocks(y, x.images)
        last = Blocks(y, x.images).in_order(self.model.tensors[target].shape)
        return Blocks.of(self._finish(last))

    def tensors(self, x: graph.Int8Array) -> dict[int, graph.Int8Array]:
        """Every tensor by its index, [images, *shape]."""
        values = {
            index: np.empty((len(x), *self.model.tensors[index].shape), np.int8)
            for index in {self.model.input_index, *(op.output for op in self._operators)}
        }
        self._run(x, values, {})
        for op in self._tail:
            values[op.output] = _softmax(self.model, op, values[op.inputs[0]])
        return values

    def accumulators(
        self, x: graph.Int8Array
    ) -> dict[str, tuple[graph.Int32Array, graph.Int32Array]]:
        """Approximate and exact accumulators by layer, int32 [images, rows, columns, filters]: both
        of the layer's input in the approximate network.

        They are views of arrays in which the images of a neuron are contiguous; where the layer's
        multipliers are exact, both are the same array.
        """
        sums = {}
        for op in self._operators:
            if isinstance(op, graph.WeightedLayer):
                shape = (*self._planar(op.output), len(x))
                approximate = self._pool.take(shape, np.int32)
                exactly = approximate if self._is_exact(op) else self._pool.take(shape, np.int32)
                sums[op.name] = approximate, exactly
        self._run(x, {}, sums)
        return {
            name: (approximate.transpose(3, 1, 2, 0), exact.transpose(3, 1, 2, 0))
            for name, (approximate, exact) in sums.items()
        }

    # --- packing ---------------------------------------------------------------------------------

    def _pack(self, codes: Mapping[str, LayerCodes]) -> dict[str, _PackedLayer]:
        """Every weighted layer by name."""
        packed = {}
        for op in self._operators:
            if isinstance(op, graph.WeightedLayer):
                zero_point = self.model.tensors[op.inputs[0]].zero_point
                costs = self.kernel.variant.costs
                recipe = layer_recipe(op, zero_point, codes[op.name], costs)
                library = self.kernel.library
                records = pack_layer(self.model, op, recipe, library, self._memory)
                scratch = max(
                    library.axynq_scratch_bytes(address)
                    for address in range(
                        records.ctypes.data, records.ctypes.data + records.nbytes, records.itemsize
                    )
                )
                packed[op.name] = _PackedLayer(self._memory.pointer(records), len(records), scratch)
        return packed

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

    def _finish(self, y: graph.Int8Array) -> graph.Int8Array:
        for op in self._tail:
            y = _softmax(self.model, op, y)
        return y

    # --- running ---------------------------------------------------------------------------------

    def _run(
        self,
        x: graph.Int8Array,
        captures: dict[int, graph.Int8Array],
        sums: dict[str, tuple[graph.Int32Array, graph.Int32Array]],
    ) -> graph.Int8Array:
        x = np.ascontiguousarray(x)
        y = np.empty((len(x), *self.model.tensors[self._target()].shape), np.int8)
        if len(x):
            self._start(x, len(x), y, captures, sums, blocked=False)
        return y

    def _start(
        self,
        x: graph.Int8Array,
        images: int,
        y: graph.Int8Array,
        captures: dict[int, graph.Int8Array],
        sums: dict[str, tuple[graph.Int32Array, graph.Int32Array]],
        blocked: bool,
    ) -> None:
        memory = Memory()
        network = self._network(memory, captures, sums)
        network["blocked"] = blocked
        failed = self.kernel.library.axynq_run_network(
            network.ctypes.data, x.ctypes.data, images, y.ctypes.data, self.threads
        )
        if failed:
            raise MemoryError(f"{self.threads} threads do not have enough memory for the network")

    def _target(self) -> int:
        """The tensor behind everything but softmax."""
        return self._tail[0].inputs[0] if self._tail else self.model.output_index

    def _network(
        self,
        memory: Memory,
        captures: dict[int, graph.Int8Array],
        sums: dict[str, tuple[graph.Int32Array, graph.Int32Array]],
    ) -> npt.NDArray[Any]:
        operators = self._operator_records.copy()
        layers = list(self._layers.values())
        for record, op in zip(operators, self._operators) if sums else ():
            if op.name in sums:
                approximate, exact = sums[op.name]
                record["accumulators"] = approximate.ctypes.data
                if exact is not approximate:
                    layers.append(self._exact_layers()[op.name])
                    record["exact"] = layers[-1].address
                    record["exact_accumulators"] = exact.ctypes.data
        capture = np.zeros(len(self._tensor_records), POINTER)
        for index, array in captures.items():
            capture[index] = array.ctypes.data
        network = np.zeros(1, NETWORK)
        for name, value in {
            "tensors": len(self._tensor_records),
            "operators": len(operators),
            "input": self.model.input_index,
            "output": self._target(),
            "arena_bytes": self._arena_bytes,
            "scratch_bytes": max([64, *(layer.scratch_bytes for layer in layers)]),
            "tensor": self._tensor_records.ctypes.data,
            "op": memory.pointer(operators),
            "capture": memory.pointer(capture),
        }.items():
            network[name] = value
        return network

    def _describe_tensors(self) -> tuple[npt.NDArray[Any], int]:
        """Shapes of all tensors, and their places in a thread's arena."""
        target = self._target()
        tensors = np.zeros(len(self.model.tensors), TENSOR)
        for record, tensor in zip(tensors, self.model.tensors):
            record["rows"], record["columns"], record["channels"] = rows_columns_channels(
                tensor.shape
            )
        born = {self.model.input_index: -1}
        dies = {self.model.input_index: -1, target: len(self._operators)}
        for time, op in enumerate(self._operators):
            born.setdefault(op.output, time)
            for index in (*op.inputs, op.output):
                dies[index] = max(dies.get(index, time), time)
        sizes = {i: math.prod(self.model.tensors[i].shape) * BLOCK for i in born}
        offsets, total = first_fit({i: Lifetime(born[i], dies[i], sizes[i]) for i in born})
        for index, offset in offsets.items():
            tensors[index]["offset"] = offset
        return tensors, total

    def _describe_operators(self) -> npt.NDArray[Any]:
        operators = np.zeros(len(self._operators), OPERATOR)
        for record, op in zip(operators, self._operators):
            self._describe(record, op)
            if op.name in self._layers:
                layer = self._layers[op.name]
                record["convolutions"], record["convolution"] = layer.convolutions, layer.address
        return operators

    def _describe(self, record: Any, op: graph.Operator) -> None:
        tensors = self.model.tensors
        source, target = tensors[op.inputs[0]], tensors[op.output]
        low, high = INT8_MIN, INT8_MAX
        factors: list[FixedPoint] = [FixedPoint(0, 0)] * 3
        window, stride, padding = (1, 1), (1, 1), graph.Padding()
        residual = op.inputs[0]
        if isinstance(op, graph.WeightedLayer):
            kind = CONVOLUTION_KIND
        elif isinstance(op, graph.Add):
            kind, residual = ADD_KIND, op.inputs[1]
            low, high = activation_bounds(op.activation, target)
            factors = list(add_factors(self.model, op))
        elif isinstance(op, graph.Pool):
            kind = MAX_POOL_KIND if op.kind == "max" else AVERAGE_POOL_KIND
            window, stride, padding = op.window, op.stride, op.padding
            low, high = activation_bounds(op.activation, target)
        elif isinstance(op, graph.Mean):
            kind, window = MEAN_KIND, (source.shape[0], source.shape[1])
            factors[2] = mean_factor(self.model, op)
        elif isinstance(op, graph.Pad):
            kind, padding = PAD_KIND, op.padding
        else:
            assert isinstance(op, graph.Reshape)
            kind = RESHAPE_KIND
        values: dict[str, Any] = {
            "kind": kind,
            "input": op.inputs[0],
            "residual": residual,
            "output": op.output,
            "window_rows": window[0],
            "window_columns": window[1],
            "stride_rows": stride[0],
            "stride_columns": stride[1],
            "padding_top": padding.top,
            "padding_left": padding.left,
            "clamp_low": low,
            "clamp_high": high,
            "input_zero_point": source.zero_point,
            "residual_zero_point": tensors[residual].zero_point,
            "output_zero_point": target.zero_point,
            "multiplier": [f.multiplier for f in factors],
            "shift": [f.shift for f in factors],
        }
        for name, value in values.items():
            record[name] = value


def _softmax(model: graph.Model, op: graph.Softmax, x: graph.Int8Array) -> graph.Int8Array:
    return softmax(model.tensors[op.inputs[0]].scale, op.beta, x)
