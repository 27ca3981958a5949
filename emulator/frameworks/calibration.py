# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Calibration inputs as people have them: arrays, tensors, loaders of batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    if isinstance(given, (Mapping, str)):
        raise DataError(
            f"calibration inputs are a list, in the order in which the network takes them, not a "
            f"{type(given).__name__}"
        )
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
        raise DataError(
            "the inputs have different numbers of examples: "
            + ", ".join(str(len(x)) for x in inputs)
        )
    return inputs


def _of_batches(batches: Iterable[Any]) -> FloatArray:
    parts: list[FloatArray] = []
    for batch in batches:
        first = batch[0] if isinstance(batch, (tuple, list)) and len(batch) else batch
        if not hasattr(first, "shape"):
            raise DataError(
                "calibration batches are tensors, or tuples of them whose first is the input, not "
                f"{_kind(batch)}: give a tensor [examples, ...], or a list of one for each input"
            )
        parts.append(_array(first))
        if parts[-1].shape[1:] != parts[0].shape[1:] or not parts[-1].ndim:
            raise DataError(
                f"calibration batches have shapes {list(parts[0].shape)} and "
                f"{list(parts[-1].shape)}, which differ in more than the examples"
            )
        if sum(map(len, parts)) >= MOST_EXAMPLES:
            break
    if not parts:
        raise DataError("there are no calibration inputs")
    return np.concatenate(parts)[:MOST_EXAMPLES]


def _kind(value: Any) -> str:
    """What an item of calibration is called."""
    if isinstance(value, (tuple, list)):
        inner = {_kind(part) for part in value[:4]}
        return f"a {type(value).__name__} of {inner.pop()}" if len(inner) == 1 else "a mixture"
    return f"a {type(value).__name__}"


def _array(x: Any) -> FloatArray:
    if hasattr(x, "detach"):
        x = x.detach().cpu().float().numpy()
    try:
        return np.asarray(x, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"calibration inputs are no numbers: {error}") from error


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
