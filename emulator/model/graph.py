"""The typed graph every other part works on: int8 tensors and the operators between them.

Conventions: activations are int8, NHWC, batch first; shapes are given without the batch. Weights of
every weighted layer are also seen in one common shape, ``[filters, rows, columns, channels]``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DataError, ModelError

Int8Array = npt.NDArray[np.int8]
Int32Array = npt.NDArray[np.int32]
Float32Array = npt.NDArray[np.float32]

Activation = Literal["none", "relu", "relu6", "relu_n1_to_1"]

INT8_MIN, INT8_MAX = -128, 127


class Padding(NamedTuple):
    """Rows and columns added around a feature map."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


@dataclass(frozen=True)
class Tensor:
    """An int8 activation tensor: ``real = scale * (value - zero_point)``."""

    name: str
    shape: tuple[int, ...]
    """Shape without the batch dimension."""
    scale: float
    zero_point: int

    def quantise(self, real: npt.ArrayLike) -> Int8Array:
        """Nearest int8 values (halves away from zero, as TFLite) of real numbers."""
        scaled = np.asarray(real, np.float64) / self.scale
        rounded = np.trunc(scaled + np.copysign(0.5, scaled)) + self.zero_point
        return np.clip(rounded, INT8_MIN, INT8_MAX).astype(np.int8)

    def batch(self, x: npt.ArrayLike) -> Int8Array:
        """A batch [images, *shape] for this tensor: int8 as it is, floats quantised.

        Raises:
            DataError: ``x`` has another shape or type, or holds values that are not finite.
        """
        values = np.asarray(x)
        if values.ndim != len(self.shape) + 1 or values.shape[1:] != self.shape:
            raise DataError(
                f"the input has shape {list(values.shape)} where "
                f"[images, {', '.join(map(str, self.shape))}] is expected"
            )
        if values.dtype == np.int8:
            return values
        if values.dtype.kind != "f":
            raise DataError(
                f"the input must be int8 (quantised) or float (real numbers), not {values.dtype}"
            )
        if not np.isfinite(values).all():
            raise DataError("the input holds values that are not finite")
        return self.quantise(values)

    def dequantise(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Real numbers that int8 values stand for."""
        return self.scale * (np.asarray(values, np.float64) - self.zero_point)

    def __str__(self) -> str:
        return f"{self.name} {list(self.shape)}"


@dataclass(frozen=True, eq=False)
class Operator:
    """One node. ``inputs`` and ``output`` are indices into :attr:`Model.tensors`."""

    name: str
    """Short unique name such as ``conv_0``: the kind and the operator's place in the file."""
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True, eq=False)
class WeightedLayer(Operator):
    """An operator whose multiplications a plan assigns multipliers to."""

    weights: Int8Array
    """Convolution [filters, rows, columns, channels]; depthwise [rows, columns, filters];
    fully connected [filters, inputs]."""
    bias: Int32Array
    """[filters]."""
    weight_scales: Float32Array
    """[filters]; a per-tensor scale is repeated."""
    activation: Activation = "none"
    per_channel: bool = field(default=True, kw_only=True)
    """Whether the file holds a scale per filter (True) or one for the tensor."""

    @cached_property
    def kernel(self) -> Int8Array:
        """Weights as ``[filters, rows, columns, channels of one filter]``."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Convolution(WeightedLayer):
    """Every filter sees every input channel."""

    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: Padding = Padding()

    @cached_property
    def kernel(self) -> Int8Array:
        return self.weights


@dataclass(frozen=True, eq=False)
class DepthwiseConvolution(WeightedLayer):
    """Filter ``f`` sees input channel ``f // (filters / input channels)`` only."""

    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: Padding = Padding()

    @cached_property
    def kernel(self) -> Int8Array:
        return np.ascontiguousarray(self.weights.transpose(2, 0, 1)[..., None])


@dataclass(frozen=True, eq=False)
class FullyConnected(WeightedLayer):
    """Flattens its input (all but the batch) first."""

    @cached_property
    def kernel(self) -> Int8Array:
        return self.weights[:, None, None, :]


@dataclass(frozen=True, eq=False)
class Add(Operator):
    """Elementwise sum of two tensors of one shape."""

    activation: Activation = "none"


@dataclass(frozen=True, eq=False)
class Pool(Operator):
    """Average pooling (over the positions inside the map) or maximum pooling."""

    kind: Literal["average", "max"]
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding = Padding()
    activation: Activation = "none"


@dataclass(frozen=True, eq=False)
class Mean(Operator):
    """Mean over rows and columns."""

    keep_dims: bool


@dataclass(frozen=True, eq=False)
class Reshape(Operator):
    """Same values, the output tensor's shape."""


@dataclass(frozen=True, eq=False)
class Pad(Operator):
    """Surrounds the feature map with zeros (the zero point)."""

    padding: Padding


@dataclass(frozen=True, eq=False)
class Softmax(Operator):
    """Softmax over the last dimension."""

    beta: float


@dataclass(frozen=True, eq=False)
class Model:
    """An int8 network with one input and one output. Operators are in execution order."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    input_index: int
    output_index: int

    @property
    def input(self) -> Tensor:
        return self.tensors[self.input_index]

    @property
    def output(self) -> Tensor:
        return self.tensors[self.output_index]

    @property
    def layers(self) -> tuple[WeightedLayer, ...]:
        """The operators that multiply, in order."""
        return tuple(op for op in self.operators if isinstance(op, WeightedLayer))

    def layer(self, name: str) -> WeightedLayer:
        """The weighted layer of that name.

        Raises:
            ModelError: there is none; the message lists those there are.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ModelError(f"model '{self.name}' has no layer '{name}'; its layers are: {names}")

    def multiplications(self, layer: WeightedLayer) -> int:
        """Multiplications of one layer for one image, padded taps included."""
        positions = math.prod(self.tensors[layer.output].shape[:-1])
        return positions * layer.kernel.size

    def consumers(self, tensor: int) -> Iterator[Operator]:
        """The operators that read a tensor."""
        return (op for op in self.operators if tensor in op.inputs)


def activation_bounds(activation: Activation, tensor: Tensor) -> tuple[int, int]:
    """Smallest and largest int8 value of ``tensor`` that the fused activation lets through."""

    def quantised(real: float) -> int:
        # TFLite divides in float32 and rounds halves away from zero.
        scaled = float(np.float32(real) / np.float32(tensor.scale))
        return tensor.zero_point + int(np.floor(abs(scaled) + 0.5) * np.sign(scaled))

    low, high = INT8_MIN, INT8_MAX
    if activation in ("relu", "relu6"):
        low = max(low, quantised(0.0))
    if activation == "relu6":
        high = min(high, quantised(6.0))
    if activation == "relu_n1_to_1":
        low, high = max(low, quantised(-1.0)), min(high, quantised(1.0))
    return low, high
