# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Batches of a network's inputs, in whatever form they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union, cast

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.model.graph import Int8Array, Model, Tensor

Selection = Union[slice, npt.NDArray[np.int64]]


class Batch:
    """As many images for every input of a network.

    Args:
        arrays: int8 [images, *shape] of each input, in the order of :attr:`Model.inputs`.
    """

    def __init__(self, arrays: Sequence[Int8Array]) -> None:
        self.arrays = tuple(arrays)

    def __len__(self) -> int:
        """Images."""
        return len(self.arrays[0])

    def __getitem__(self, images: Selection) -> Batch:
        """Some of the images."""
        return Batch([array[images] for array in self.arrays])


Given = Union[npt.ArrayLike, Sequence[npt.ArrayLike], Mapping[str, npt.ArrayLike], Batch]
"""One array, of a network with one input; else an array per input, in the order of the network's
inputs or by their names."""


def batch_of(model: Model, x: Given) -> Batch:
    """What ``x`` gives for each input of ``model``, as :meth:`Tensor.batch` takes it.

    Raises:
        DataError: an input is missing or is too many, an array has another shape or type, or their
            numbers of images differ.
    """
    if isinstance(x, Batch):
        given: Sequence[npt.ArrayLike] = x.arrays
    elif isinstance(x, Mapping):
        given = _by_name(model, x)
    elif len(model.inputs) == 1:
        return Batch([model.input.batch(_only(model, cast(npt.ArrayLike, x)))])
    else:
        given = _in_order(model, x)
    arrays = []
    for index, values in zip(model.inputs, given):
        try:
            arrays.append(model.tensors[index].batch(values))
        except DataError as error:
            if len(model.inputs) == 1:
                raise
            raise DataError(f"input '{model.tensors[index].name}': {error}") from error
    counts = {len(array) for array in arrays}
    if len(counts) > 1:
        raise DataError(
            f"the inputs of '{model.name}' need as many images each, not "
            + ", ".join(str(len(array)) for array in arrays)
        )
    return Batch(arrays)


def _only(model: Model, x: npt.ArrayLike) -> npt.ArrayLike:
    """The batch of the only input, which may be in a list."""
    if isinstance(x, (list, tuple)) and len(x) == 1 and isinstance(x[0], np.ndarray):
        # An array of as many axes as a batch has; a list of one image has an axis less.
        return x[0] if x[0].ndim == len(model.input.shape) + 1 else x
    return x


def _in_order(model: Model, x: npt.ArrayLike | Sequence[npt.ArrayLike]) -> list[npt.ArrayLike]:
    if isinstance(x, np.ndarray) or not isinstance(x, Sequence) or len(x) != len(model.inputs):
        raise DataError(
            f"'{model.name}' has {len(model.inputs)} inputs ({_names(model)}): give a list of as "
            "many arrays in this order, or a dictionary of arrays by name"
        )
    return list(x)


def _by_name(model: Model, x: Mapping[str, npt.ArrayLike]) -> list[npt.ArrayLike]:
    given = dict(x)
    arrays = []
    for index in model.inputs:
        found = next((name for name in _called(model.tensors[index]) if name in given), None)
        if found is None:
            raise DataError(
                f"input '{model.tensors[index].name}' is missing; the inputs of '{model.name}' are "
                f"{_names(model)}"
            )
        arrays.append(given.pop(found))
    if given:
        raise DataError(
            f"'{model.name}' has no input '{next(iter(given))}'; its inputs are {_names(model)}"
        )
    return arrays


def _called(tensor: Tensor) -> list[str]:
    """The names of an input, its own and that of the file's tensor in its place."""
    return [tensor.name] + ([tensor.interface.name] if tensor.interface else [])


def _names(model: Model) -> str:
    return ", ".join(model.tensors[index].name for index in model.inputs)


def arranged(x: npt.NDArray[np.generic], shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """Examples whose maps are channels first, or lack the axis of an only channel, as a network has
    them that takes ``shape``; others as they are."""
    given = tuple(x.shape[1:])
    if given != shape and len(shape) == 3 and given == (shape[2], *shape[:2]):
        return x.transpose(0, 2, 3, 1)
    return x[..., None] if (*given, 1) == shape else x


def check_classifier(model: Model) -> None:
    """Raises:
    ModelError: the network has several outputs, none of which are classes for sure, or one with
        scores for each of many places.
    """
    if len(model.outputs) > 1:
        names = ", ".join(model.tensors[index].name for index in model.outputs)
        raise ModelError(
            f"'{model.name}' has {len(model.outputs)} outputs ({names}), so that there is no "
            "accuracy of its classes; Emulator.run gives all of them"
        )
    if has_places(model.output.shape):
        raise ModelError(
            f"'{model.name}' gives an output of shape {list(model.output.shape)}, scores for each "
            "of many places, so that there is no accuracy; Emulator.run gives them"
        )


def has_places(shape: tuple[int, ...]) -> bool:
    """Whether an output of a shape, without the images, has scores for each of many places, as of
    a segmentation."""
    return sum(length > 1 for length in shape) > 1
