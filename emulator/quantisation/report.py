# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What quantisation costs: how far each int8 tensor is from the real one, and the accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.emulation import Emulator
from axynq.emulator.errors import DataError
from axynq.emulator.model import graph
from axynq.emulator.quantisation import forward
from axynq.emulator.quantisation.float_network import FloatArray, FloatLayer, FloatNetwork
from axynq.emulator.quantisation.quantise import Quantised
from axynq.emulator.quantisation.ranges import batches


class LayerLoss(NamedTuple):
    """An operator's int8 output against real numbers. Ratios are in dB, of the power of the real
    values over that of the difference; infinite where there is none."""

    name: str
    operator: str
    shape: tuple[int, ...]
    scale: float
    own: float
    """Against what the float operator makes of the same int8 inputs: what it loses itself."""
    total: float
    """Against the float network: what everything up to here has lost."""
    saturated: float
    """Share, 0 to 1, of the float network's values that int8 does not reach there."""


def layer_losses(
    quantised: Quantised,
    x: npt.ArrayLike | Sequence[npt.ArrayLike] | Mapping[int, npt.ArrayLike],
    images: int = 16,
    advance: Callable[[int], None] = lambda images: None,
) -> list[LayerLoss]:
    """The loss of every operator of the float network, in order.

    Args:
        quantised: both networks.
        x: real inputs [examples, *input shape], of several inputs by tensor.
        images: so many at a time.
        advance: called with a number of inputs after each part.

    Raises:
        DataError: there are no inputs.
    """
    model, network = quantised
    totals = {op.output: _Loss() for op in network.operators}
    own = {op.output: _Loss() for op in network.operators}
    emulator = Emulator(model)
    for part in batches(network, x, images):
        given = [model.tensors[index].quantise(part[index]) for index in model.inputs]
        values = emulator.tensors(given[0] if len(given) == 1 else given)

        def compare(
            index: int, real: FloatArray, values: Mapping[int, graph.Int8Array] = values
        ) -> None:
            if index in totals:
                totals[index].add(real, values[index], model.tensors[index])

        forward.run(network, part, network.outputs, compare)
        for op in network.operators:
            inputs = [
                network.constants[index][None]
                if index in network.constants
                else model.tensors[index].dequantise(values[index]).astype(np.float32)
                for index in op.inputs
            ]
            real = forward.evaluate(network, op, inputs)
            own[op.output].add(real, values[op.output], model.tensors[op.output])
        advance(len(given[0]))
    return [
        LayerLoss(
            op.name,
            _kind(op),
            network.tensors[op.output].shape,
            model.tensors[op.output].scale,
            own[op.output].ratio,
            totals[op.output].ratio,
            totals[op.output].beyond / max(totals[op.output].count, 1),
        )
        for op in network.operators
    ]


class _Loss:
    """Sums over the values of a tensor."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0
        self.beyond = self.count = 0

    def add(self, real: FloatArray, values: graph.Int8Array, tensor: graph.Tensor) -> None:
        finite = np.isfinite(real)  # the smallest number around a maximum pooling is not
        difference = np.where(finite, real - tensor.dequantise(values), 0)
        self.signal += float(np.square(np.where(finite, real, 0), dtype=np.float64).sum())
        self.noise += float(np.square(difference).sum())
        low, high = (tensor.scale * (end - tensor.zero_point) for end in (-128.5, 127.5))
        self.beyond += int(np.count_nonzero(finite & ((real < low) | (real > high))))
        self.count += real.size

    @property
    def ratio(self) -> float:
        return decibels(self.signal, self.noise)


def decibels(signal: float, noise: float) -> float:
    """A ratio of powers in dB; infinite without noise."""
    if noise <= 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")


def float_accuracy(
    network: FloatNetwork,
    x: npt.ArrayLike,
    y: npt.NDArray[np.int64],
    images: int = 16,
    advance: Callable[[int], None] = lambda images: None,
) -> float:
    """Share, 0 to 1, of the inputs whose largest output is that of their class number.

    Raises:
        DataError: there are no inputs, or not as many labels.
    """
    labels, right, seen = np.asarray(y), 0, 0
    for part in batches(network, x, images):
        output = forward.run(network, part, network.outputs)[network.outputs[0]]
        classes = output.reshape(len(output), -1).argmax(axis=1)
        if seen + len(classes) > len(labels):
            raise DataError(f"more inputs than labels: {len(labels)}")
        right += int((classes == labels[seen : seen + len(classes)]).sum())
        seen += len(classes)
        advance(len(classes))
    return right / seen


def _kind(op: graph.Operator) -> str:
    if isinstance(op, FloatLayer):
        return op.kind.replace("_", " ")
    kind = getattr(op, "kind", None)
    name = "".join(" " + c.lower() if c.isupper() else c for c in type(op).__name__).strip()
    return name if kind is None or isinstance(op, graph.Pool) else str(kind).replace("_", " ")
