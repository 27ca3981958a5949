# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What PyTorch's operators are imported from and to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from axynq.emulator.errors import ModelError
from axynq.emulator.quantisation.channels_first import ChannelsFirst, Value
from axynq.emulator.quantisation.float_network import FloatArray


class Failed:
    """The output of an operator that cannot be imported."""


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers that do not depend on inputs."""

    tensor: Any
    name: str = ""
    """In the module's state, where it is a parameter or buffer as it was."""
    scales: FloatArray | None = None
    """Of weights that were quantised, one for each filter."""

    def array(self) -> FloatArray:
        """The numbers as floats."""
        return np.asarray(self.tensor.detach().to(torch.float32).cpu().numpy(), np.float32)


@dataclass(frozen=True)
class Images:
    """How many images a tensor has: a number, or a name for any."""

    count: str

    @classmethod
    def of(cls, node: Any) -> Images:
        """Of a node's first axis."""
        return cls(str(node.meta["val"].shape[0]))


@dataclass
class Importer:
    """A module on its way to a float network."""

    first: ChannelsFirst
    values: dict[Any, Any] = field(default_factory=dict)
    """By node: :class:`Value`, :class:`Constant`, :class:`Failed`, lists of them, or others."""
    problems: list[str] = field(default_factory=list)
    images: Images = Images("1")
    """As the inputs have them."""

    def resolved(self, argument: Any) -> Any:
        """An argument of a node with values in place of nodes."""
        if isinstance(argument, (list, tuple)):
            return [self.resolved(part) for part in argument]
        if isinstance(argument, dict):
            return {key: self.resolved(part) for key, part in argument.items()}
        if type(argument).__name__ == "Node":
            return self.values[argument]
        return argument

    def shape(self, node: Any) -> tuple[int, ...] | None:
        """The shape of a node's tensor without the images; None: it is no tensor.

        Raises:
            ModelError: a size is not a number.
        """
        value = node.meta.get("val", node.meta.get("tensor_meta"))
        if value is None or not hasattr(value, "shape") or len(value.shape) == 0:
            return None
        try:
            # A symbol that stands for any size refuses to be a number here.
            return tuple(_number(size) for size in value.shape[1:])
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"'{node.name}' has sizes that are not fixed, {list(value.shape)}: export the "
                "module with fixed sizes but for the number of images"
            ) from error

    def kept_images(self, node: Any) -> tuple[int, ...]:
        """The shape of a node's tensor without the images.

        Raises:
            ModelError: its first axis is no longer the images.
        """
        shape = self.shape(node)
        if shape is None or Images.of(node) != self.images:
            raise ModelError(
                "it mixes the images of a batch with other axes, or leaves them: the first axis "
                "must be the images throughout"
            )
        return shape


def _number(size: Any) -> int:
    if isinstance(size, int):
        return size
    raise ValueError(f"{size} is no number")


def axis_of(dimension: int, x: Value, added: int = 0) -> int:
    """An axis without the images, of PyTorch's dimension.

    Raises:
        ModelError: it is that of the images.
    """
    rank = len(x.shape) + 1 + added
    axis = dimension + rank if dimension < 0 else dimension
    if axis == 0:
        raise ModelError("it works along the images of a batch")
    return axis - 1


def axes_of(dimensions: Any, x: Value) -> list[int]:
    """Axes without the images; all of them for None."""
    if dimensions is None or dimensions == []:
        return list(range(len(x.shape)))
    listed = [dimensions] if isinstance(dimensions, int) else dimensions
    return [axis_of(dimension, x) for dimension in listed]


def pair(value: Any, otherwise: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """Rows and columns of an argument that may be one number for both, or nothing."""
    if value is None or value == []:
        return otherwise
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[-1]))


def number(value: Any) -> float | None:
    """A Python number, or a constant of one; None: it is neither."""
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, Constant) and value.tensor.numel() == 1:
        return float(value.tensor)
    return None


def array_of(value: Any) -> npt.NDArray[Any] | Value:
    """A value as it is, numbers as an array."""
    if isinstance(value, Constant):
        return value.array()
    if isinstance(value, Value):
        return value
    return np.asarray(value, np.float32)
