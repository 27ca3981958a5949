# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operand pairs as the multipliers of the array see them, recorded from a network."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from axynq.emulator import Emulator
from axynq.emulator.errors import DataError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import ACTIVATION_MAX, ACTIVATION_MIN, WEIGHT_MAX, WEIGHT_MIN

IntArray = npt.NDArray[np.int64]

FILTERS = INPUTS = 16
"""The array that the operands are recorded for: a lane takes in 16 channels at a time, and has
every 16th filter."""

STREAMS, LENGTH = 256, 33
SEED = 20240607


@dataclass(frozen=True)
class Operands:
    """What multipliers see cycle by cycle.

    Attributes:
        a: activation operands [streams, length], -255..255.
        w: weight operands [streams, length], -128..127.
        description: where they are from, for records of results.
    """

    a: IntArray
    w: IntArray
    description: str

    def ports(self) -> dict[str, IntArray]:
        """By input port of a netlist: a new pair every cycle."""
        return {"a": self.a, "w": self.w}

    def stationary(self) -> Operands:
        """The same activations; every stream keeps its first weight."""
        held = np.repeat(self.w[:, :1], self.w.shape[1], axis=1)
        return Operands(self.a, held, f"{self.description}; each stream keeps its first weight")


def uniform_operands(streams: int = STREAMS, length: int = LENGTH, seed: int = SEED) -> Operands:
    """Independent operands, all equally probable."""
    rng = np.random.default_rng(seed)
    return Operands(
        rng.integers(ACTIVATION_MIN, ACTIVATION_MAX + 1, (streams, length)),
        rng.integers(WEIGHT_MIN, WEIGHT_MAX + 1, (streams, length)),
        f"uniform and independent, {streams} streams of {length} pairs, seed {seed}",
    )


def recorded_operands(
    model: graph.Model,
    x: npt.ArrayLike,
    source: str,
    streams: int = STREAMS,
    length: int = LENGTH,
    seed: int = SEED,
) -> Operands:
    """Operands of convolutions and fully connected layers, each as often as it multiplies.

    A stream is what one multiplier of one lane sees: the taps of an output in the order kernel
    rows, kernel columns, channel words; then the lane's next filter; then the next column.

    Args:
        model: the network, all multipliers exact.
        x: images as :meth:`Emulator.run` takes them.
        source: the images' name, for the description.
        streams: how many sequences.
        length: pairs in each.
        seed: of the choice of layers, images, places and lanes.

    Raises:
        DataError: the network has no such layer.
    """
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, (graph.Convolution, graph.FullyConnected))
    ]
    if not layers:
        raise DataError(f"'{model.name}' has neither convolution nor fully connected layers")
    rng = np.random.default_rng(seed)
    tensors = Emulator(model).tensors(x)
    counts = np.array([model.multiplications(layer) for layer in layers], float)
    chosen = rng.choice(len(layers), streams, p=counts / counts.sum())
    a = np.zeros((streams, length), np.int64)
    w = np.zeros((streams, length), np.int64)
    for stream, number in enumerate(chosen):
        layer = layers[number]
        values = tensors[layer.inputs[0]]
        image = values[rng.integers(len(values))].astype(np.int64)
        zero_point = model.tensors[layer.inputs[0]].zero_point
        a[stream], w[stream] = _stream(layer, image - zero_point, length, rng)
    return Operands(
        a,
        w,
        f"{model.name} on {source}, all multipliers exact: {streams} streams of {length} pairs in "
        f"the order of the array's taps, layers as often as they multiply, seed {seed}",
    )


def shipped_operands() -> Operands:
    """The sample that the shipped energy figures are for."""
    with (resources.files("axynq.host.netlists") / "operands.npz").open("rb") as file:
        content = np.load(file)
        return Operands(
            content["a"].astype(np.int64),
            content["w"].astype(np.int64),
            str(content["description"]),
        )


def _stream(
    layer: graph.WeightedLayer, a: IntArray, length: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """The pairs of one multiplier from a random output on; ``a`` is an image of operands."""
    stride, dilation = (1, 1), (1, 1)
    if isinstance(layer, graph.Convolution):
        stride, dilation = layer.stride, layer.dilation
        a = np.pad(a, layer.padding.amounts)
    else:
        a = a.reshape(1, 1, -1)
    kernel = layer.kernel.astype(np.int64)
    filters, k_rows, k_columns, channels = kernel.shape
    rows = (a.shape[0] - (k_rows - 1) * dilation[0] - 1) // stride[0] + 1
    columns = (a.shape[1] - (k_columns - 1) * dilation[1] - 1) // stride[1] + 1
    lane, place = rng.integers(min(FILTERS, filters)), rng.integers(min(INPUTS, channels))
    row, column = rng.integers(rows), rng.integers(columns)
    pairs: list[tuple[int, int]] = []
    while len(pairs) < length:
        for number in range(lane, filters, FILTERS):
            for k_row in range(k_rows):
                for k_column in range(k_columns):
                    pixel = a[
                        row * stride[0] + k_row * dilation[0],
                        column * stride[1] + k_column * dilation[1],
                    ]
                    weights = kernel[number, k_row, k_column]
                    pairs += zip(pixel[place::INPUTS], weights[place::INPUTS])
        column = (column + 1) % columns
        row = (row + (column == 0)) % rows
    sequence = np.array(pairs[:length], np.int64)
    return sequence[:, 0], sequence[:, 1]
