# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A network under a plan on one device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from axynq.emulator.engine.blocks import Blocks
from axynq.emulator.engine.gpu.device import kernels_for
from axynq.emulator.engine.gpu.operators import Computation, prepared
from axynq.emulator.engine.gpu.packed import PackedLayer
from axynq.emulator.model import graph
from axynq.emulator.plan import LayerCodes, Plan

CHUNK_BYTES = {"cuda": 1 << 31, "cpu": 1 << 26}
"""Working memory that decides how many images are computed at once; on a GPU at most half of what
is free."""

MOST_ELEMENTS = 2**31 - 2**16
"""Of a tensor: its places have 32 bits in the kernels."""


class DeviceBlocks(Blocks):
    """A batch of one tensor that stays on the device, as a tensor [images, *shape]."""

    def in_order(self, shape: tuple[int, ...]) -> graph.Int8Array:
        """The batch as an array [images, *shape]."""
        values: Tensor = self.on_device
        ordered: graph.Int8Array = values.reshape(-1, *shape).cpu().numpy()
        return ordered

    @property
    def on_device(self) -> Tensor:
        """The batch itself."""
        return cast(Any, self.values)


class DeviceNetwork:
    """Runs a network operator by operator, whole batches on the device.

    Args:
        model: an int8 network.
        codes: the multipliers of each layer.
        device: where to compute.
    """

    def __init__(
        self, model: graph.Model, codes: Mapping[str, LayerCodes], device: torch.device
    ) -> None:
        self.model = model
        self.device = device
        self._kernels = kernels_for(device)
        self._layers = self._packed(codes)
        self._exact: dict[str, PackedLayer] | None = None
        self._others: dict[str, Computation] = {
            op.name: prepared(model, op, device, self._kernels)
            for op in model.operators
            if not isinstance(op, graph.WeightedLayer)
        }
        self._constants = {
            index: torch.from_numpy(values.copy()).to(device)[None]
            for index, values in model.constants.items()
        }

    # --- what every engine does ------------------------------------------------------------------

    def run(self, x: Sequence[graph.Int8Array]) -> tuple[graph.Int8Array, ...]:
        """The network's outputs [images, *shape] for its inputs."""
        images, on_gpu = len(x[0]), self.device.type == "cuda"
        outputs = [
            torch.empty(
                (images, *self.model.tensors[index].shape), dtype=torch.int8, pin_memory=on_gpu
            )
            for index in self.model.outputs
        ]
        for chunk in self._chunks(images):
            values = self._computed(self._given(x, chunk), keep=False)
            for output, index in zip(outputs, self.model.outputs):
                output[chunk].copy_(values[index], non_blocking=on_gpu)
        if on_gpu:
            torch.cuda.synchronize(self.device)
        return tuple(output.numpy() for output in outputs)

    def run_blocks(self, x: Blocks) -> DeviceBlocks:
        """The only output for the only input, which stays on the device."""
        if isinstance(x, DeviceBlocks):
            given = x.on_device
        else:
            given = self._on_device(x.in_order(self.model.input.shape))
        parts = [
            self._computed([given[chunk]], keep=False)[self.model.output_index]
            for chunk in self._chunks(x.images)
        ]
        together = parts[0] if len(parts) == 1 else torch.cat(parts)
        return DeviceBlocks(cast(Any, together), x.images)

    def tensors(self, x: Sequence[graph.Int8Array]) -> dict[int, graph.Int8Array]:
        """Every tensor that is given or computed, by its index, [images, *shape]."""
        chunks = [
            {
                index: value.cpu().numpy()
                for index, value in self._computed(self._given(x, chunk), keep=True).items()
                if index not in self.model.constants
            }
            for chunk in self._chunks(len(x[0]))
        ]
        return {index: _together([values[index] for values in chunks]) for index in chunks[0]}

    def accumulators(
        self, x: Sequence[graph.Int8Array]
    ) -> dict[str, tuple[graph.Int32Array, graph.Int32Array]]:
        """Approximate and exact accumulators by layer, int32 [images, rows, columns, filters]: both
        of the layer's input in the approximate network."""
        if self._exact is None:
            self._exact = self._packed(Plan.uniform("exact").expand(self.model))
        found: dict[str, tuple[list[graph.Int32Array], list[graph.Int32Array]]] = {
            layer.name: ([], []) for layer in self.model.layers
        }
        for chunk in self._chunks(len(x[0])):
            sums: dict[str, Tensor] = {}
            values = self._computed(self._given(x, chunk), keep=True, sums=sums)
            for layer in self.model.layers:
                source, exactly = values[layer.inputs[0]], self._exact[layer.name]
                exact = self._kernels.layer_output(exactly, source, True)[1]
                assert exact is not None
                found[layer.name][0].append(sums[layer.name].cpu().numpy())
                found[layer.name][1].append(exact.cpu().numpy())
        return {name: (_together(a), _together(b)) for name, (a, b) in found.items()}

    # --- what training does ----------------------------------------------------------------------

    def load(self, layers: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Take other weights, int8 [filters, rows, columns, channels], and biases, int32
        [filters], of layers by name."""
        for name, (kernel, bias) in layers.items():
            self._layers[name].load(kernel, bias)

    def tensors_on_device(self, x: Sequence[Tensor]) -> dict[int, Tensor]:
        """As :meth:`tensors`, for and of tensors on the device, all images at once."""
        values = self._computed(list(x), keep=True)
        return {k: value for k, value in values.items() if k not in self.model.constants}

    # --- running ---------------------------------------------------------------------------------

    def _computed(
        self, x: Sequence[Tensor], keep: bool, sums: dict[str, Tensor] | None = None
    ) -> dict[int, Tensor]:
        """Tensors by index: all of them, or, unless ``keep``, those that are given out."""
        try:
            return self._all_or_given_out(x, keep, sums)
        except torch.OutOfMemoryError as error:
            raise MemoryError(f"the GPU does not have enough of it: {error}") from error

    def _all_or_given_out(
        self, x: Sequence[Tensor], keep: bool, sums: dict[str, Tensor] | None
    ) -> dict[int, Tensor]:
        model, images = self.model, len(x[0])
        values = {k: v.expand(images, *v.shape[1:]) for k, v in self._constants.items()}
        values |= dict(zip(model.inputs, x))
        last = {index: time for time, op in enumerate(model.operators) for index in op.inputs}
        for time, op in enumerate(model.operators):
            inputs = [values[index] for index in op.inputs]
            if op.name in self._layers:
                packed = self._layers[op.name]
                y, found = self._kernels.layer_output(packed, inputs[0], sums is not None)
                values[op.output] = y
                if sums is not None and found is not None:
                    sums[op.name] = found
            else:
                values[op.output] = self._others[op.name](inputs)
            del inputs
            for index in () if keep else set(op.inputs):
                if last[index] == time and index not in model.outputs:
                    del values[index]
        return values

    def _packed(self, codes: Mapping[str, LayerCodes]) -> dict[str, PackedLayer]:
        return {
            layer.name: PackedLayer(self.model, layer, codes[layer.name], self.device)
            for layer in self.model.layers
        }

    def _given(self, x: Sequence[graph.Int8Array], chunk: slice) -> list[Tensor]:
        return [self._on_device(part[chunk]) for part in x]

    def _on_device(self, x: graph.Int8Array) -> Tensor:
        owned = np.ascontiguousarray(x)
        return torch.from_numpy(owned if owned.flags.writeable else owned.copy()).to(self.device)

    def _chunks(self, images: int) -> Iterator[slice]:
        """All images, some at a time; at least one slice."""
        size = self._chunk_size()
        for start in range(0, max(images, 1), size):
            yield slice(start, min(start + size, images))

    def _chunk_size(self) -> int:
        sizes = [math.prod(tensor.shape) for tensor in self.model.tensors]
        needed = max(sizes, default=1) * 4
        for layer in self.model.layers:
            packed, source = self._layers[layer.name], sizes[layer.inputs[0]]
            taps = packed.geometry.taps * packed.geometry.positions
            patches = 16 * taps if self.device.type == "cpu" else 0
            needed = max(needed, source * (len(packed.tables) + 2) + patches)
        memory = CHUNK_BYTES[self.device.type]
        if self.device.type == "cuda":
            memory = min(memory, torch.cuda.mem_get_info(self.device)[0] // 2)
        return max(1, min(memory // needed, MOST_ELEMENTS // max(sizes, default=1)))


Integer = TypeVar("Integer", bound=np.integer[Any])


def _together(parts: list[npt.NDArray[Integer]]) -> npt.NDArray[Integer]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
