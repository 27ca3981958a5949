"""Calibration inputs as people have them: arrays, tensors, loaders of batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DataError
from axynq.emulator.quantisation.float_network import FloatArray, FloatNetwork

MOST_EXAMPLES = 512
"""Of a loader: more change ranges little."""


def calibration_inputs(given: Any) -> list[FloatArray]:
    """For each input of a network an array [examples, ...], in the framework's order of axes.

    Args:
        given: an array or tensor [examples, ...]; a tuple or list of them, one for each input; or
            anything that gives batches, such as a ``DataLoader``, of which the first part is taken
            where batches are tuples of inputs and labels.

    Raises:
        DataError: it is none of these, or has no examples.
    """
    if hasattr(given, "shape"):
        inputs = [_array(given)]
    elif isinstance(given, Sequence) and given and all(hasattr(part, "shape") for part in given):
        inputs = [_array(part) for part in given]
    elif isinstance(given, Iterable):
        inputs = [_of_batches(given)]
    else:
        raise DataError(
            f"calibration inputs are an array, a tensor, or batches of them, not a "
            f"{type(given).__name__}"
        )
    if any(x.ndim == 0 or len(x) == 0 for x in inputs):
        raise DataError("there are no calibration inputs")
    if len({len(x) for x in inputs}) > 1:
        raise DataError("the inputs of the network have different numbers of examples")
    return inputs


def _of_batches(batches: Iterable[Any]) -> FloatArray:
    parts: list[FloatArray] = []
    for batch in batches:
        x = batch if hasattr(batch, "shape") else batch[0]
        parts.append(_array(x))
        if sum(map(len, parts)) >= MOST_EXAMPLES:
            break
    if not parts:
        raise DataError("there are no calibration inputs")
    return np.concatenate(parts)[:MOST_EXAMPLES]


def _array(x: Any) -> FloatArray:
    if hasattr(x, "detach"):
        x = x.detach().cpu().float().numpy()
    return np.asarray(x, np.float32)


def channels_last(x: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Maps [images, channels, rows, columns] channels last; others as they are."""
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def by_tensor(network: FloatNetwork, inputs: Sequence[FloatArray]) -> dict[int, FloatArray]:
    """Inputs in the framework's order of axes as a float network takes them.

    Raises:
        DataError: they are too few or too many.
    """
    if len(inputs) != len(network.inputs):
        raise DataError(
            f"the network has {len(network.inputs)} inputs, and {len(inputs)} are given"
        )
    return {
        index: np.ascontiguousarray(channels_last(x)) for index, x in zip(network.inputs, inputs)
    }
