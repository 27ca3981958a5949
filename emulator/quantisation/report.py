"""What quantisation costs: how far each int8 tensor is from the real one, and the accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """An operator's int8 output against that of the float network."""

    name: str
    operator: str
    shape: tuple[int, ...]
    scale: float
    signal_to_noise: float
    """In dB, of everything up to here: the power of the real values over that of the difference.
    Infinite where there is none."""
    saturated: float
    """Share, 0 to 1, of the real values that are beyond what int8 represents there."""


def layer_losses(
    quantised: Quantised,
    x: npt.ArrayLike | Mapping[int, npt.ArrayLike],
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
    signal = np.zeros(len(network.tensors))
    noise = np.zeros(len(network.tensors))
    beyond = np.zeros(len(network.tensors))
    count = np.zeros(len(network.tensors))
    emulator = Emulator(model)
    for part in batches(network, x, images):
        given = [quantise_input(model, index, part[index]) for index in model.inputs]
        values = emulator.tensors(given[0] if len(given) == 1 else given)

        def compare(
            index: int, real: FloatArray, values: dict[int, graph.Int8Array] = values
        ) -> None:
            if index not in values:
                return
            tensor = model.tensors[index]
            finite = np.where(np.isfinite(real), real, 0).astype(np.float64)
            difference = finite - tensor.dequantise(values[index])
            signal[index] += np.square(finite).sum()
            noise[index] += np.square(np.where(np.isfinite(real), difference, 0)).sum()
            low, high = (tensor.scale * (end - tensor.zero_point) for end in (-128.5, 127.5))
            beyond[index] += np.count_nonzero((finite < low) | (finite > high))
            count[index] += real.size

        forward.run(network, part, network.outputs, compare)
        advance(len(given[0]))
    return [
        LayerLoss(
            op.name,
            _kind(op),
            network.tensors[op.output].shape,
            model.tensors[op.output].scale,
            decibels(float(signal[op.output]), float(noise[op.output])),
            float(beyond[op.output] / max(count[op.output], 1)),
        )
        for op in network.operators
    ]


def decibels(signal: float, noise: float) -> float:
    """A ratio of powers in dB; infinite without noise."""
    if noise <= 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")


def quantise_input(model: graph.Model, index: int, x: FloatArray) -> graph.Int8Array:
    """A batch of real inputs as the int8 network takes them."""
    return model.tensors[index].quantise(x)


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
