# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The typed graph that every other part works on: int8 tensors and the operators between them.

Conventions: activations are int8, NHWC, batch first. Shapes are given without the batch. Weights of
every weighted layer are also available in one common shape, ``[filters, rows, columns, channels]``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.model.fixed_point import fixed_point, rescaled

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

    @property
    def amounts(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Before and after each axis of [rows, columns, channels], as numpy pads."""
        return (self.top, self.bottom), (self.left, self.right), (0, 0)

    def around(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """The shape of a map [rows, columns, channels] with it."""
        rows, columns, channels = shape
        return (rows + self.top + self.bottom, columns + self.left + self.right, channels)


@dataclass(frozen=True)
class Interface:
    """The tensor that a file has as input or output in place of an int8 one, with a QUANTIZE or
    DEQUANTIZE between the two."""

    name: str
    type: Literal["float32", "uint8"]
    scale: float = 1.0
    """Scale of uint8 values, as for :class:`Tensor`; float32 values are real numbers."""
    zero_point: int = 0


class Quantisation(NamedTuple):
    """The real numbers that int8 values stand for: ``real = scale * (value - zero_point)``."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Tensor:
    """An int8 activation tensor: ``real = scale * (value - zero_point)``."""

    name: str
    shape: tuple[int, ...]
    """Shape without the batch dimension."""
    scale: float
    zero_point: int
    interface: Interface | None = None
    """What the file has in place of this input or output; None: the tensor itself."""

    @property
    def takes_uint8(self) -> bool:
        """Whether the file has a uint8 tensor in place of it."""
        return self.interface is not None and self.interface.type == "uint8"

    @cached_property
    def int8_of_uint8(self) -> Int8Array:
        """int8 [256]: the int8 value for each uint8 value of the file, as TFLite's QUANTIZE
        rescales them. With equal scales, only the difference of the zero points is added."""
        assert self.interface is not None
        factor = fixed_point(self.interface.scale / self.scale)
        values = np.arange(256, dtype=np.int64) - self.interface.zero_point
        y = rescaled(values, factor) + self.zero_point
        return np.clip(y, INT8_MIN, INT8_MAX).astype(np.int8)

    def quantise(self, real: npt.ArrayLike) -> Int8Array:
        """The nearest int8 values of real numbers, as TFLite's QUANTIZE computes them: divided by
        the scale in float32, rounded with halves away from zero, saturated."""
        with np.errstate(over="ignore"):
            scaled = np.asarray(real).astype(np.float32) / np.float32(self.scale)
        # What lies further out saturates whatever the zero point is.
        scaled = np.clip(scaled, np.float32(-1024), np.float32(1024))
        whole = np.trunc(scaled)
        away = np.abs(scaled - whole) >= np.float32(0.5)  # adding a half first could round up
        rounded = whole + np.copysign(away.astype(np.float32), scaled) + self.zero_point
        return np.clip(rounded, INT8_MIN, INT8_MAX).astype(np.int8)

    def batch(self, x: npt.ArrayLike) -> Int8Array:
        """An int8 batch ``[images, *shape]`` for this tensor.

        Args:
            x: a batch of that shape: int8, which is returned as it is; floats, which are quantised;
                or uint8 if the file takes uint8, mapped as the file's QUANTIZE maps it.

        Raises:
            DataError: ``x`` has a wrong shape or type, or has values that are not finite.
        """
        try:
            values = np.asarray(x)
        except (TypeError, ValueError, RuntimeError) as error:  # of tensors of other packages too
            raise DataError(f"the input is no array: {error}") from error
        if values.ndim != len(self.shape) + 1 or values.shape[1:] != self.shape:
            raise DataError(
                f"the input has shape {list(values.shape)} where "
                f"[images, {', '.join(map(str, self.shape))}] is expected{self._hint(values.shape)}"
            )
        if values.dtype == np.int8:
            return values
        if values.dtype == np.uint8 and self.takes_uint8:
            return self.int8_of_uint8[values]
        if values.dtype.kind != "f":
            raise DataError(
                f"the input must be int8 (quantised) or float (real numbers), not {values.dtype}"
                + ("; datasets.quantise_examples takes images" if values.dtype == np.uint8 else "")
            )
        if not np.isfinite(values).all():
            raise DataError("the input holds values that are not finite")
        return self.quantise(values)

    def _hint(self, shape: tuple[int, ...]) -> str:
        """What probably is amiss with a batch of another shape."""
        if shape == self.shape:
            return ": a single input is a batch of one, x[None]"
        if self.shape[-1:] == (1,) and shape[1:] == self.shape[:-1]:
            return ": add the axis of channels, x[..., None]"
        if len(self.shape) == 3 and shape[1:] == (self.shape[2], *self.shape[:2]):
            return ": channels come last, x.transpose(0, 2, 3, 1)"
        if shape[1:-1] == self.shape[:-1]:
            if (shape[-1:], self.shape[-1:]) == ((1,), (3,)):
                return ": the images are grey, the network takes colours: x.repeat(3, axis=-1)"
            if (shape[-1:], self.shape[-1:]) == ((3,), (1,)):
                return ": the images have colours, the network takes grey ones: convert them"
        return ""

    def dequantise(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Real numbers that int8 values stand for."""
        return self.scale * (np.asarray(values, np.float64) - self.zero_point)

    def __str__(self) -> str:
        return f"{self.name} {list(self.shape)}"


@dataclass(frozen=True, eq=False)
class Operator:
    """One node. ``inputs`` and ``output`` are indices into :attr:`Model.tensors`."""

    name: str
    """Short unique name such as ``conv_0``: the kind and the operator's place in the network. A
    QUANTIZE or DEQUANTIZE at a file's input or output is not counted."""
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
    float32_scales: bool = field(default=False, kw_only=True)
    """Whether input and weight scale are multiplied in float32, as FULLY_CONNECTED does, and not in
    double. Scales per filter are always multiplied in double."""

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
    """Flattens its input (all but the batch) first. One that is applied at every position of a map
    or sequence is a :class:`Convolution` of one tap."""

    float32_scales: bool = field(default=True, kw_only=True)

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
class LogSoftmax(Operator):
    """Logarithm of the softmax over the last dimension."""


@dataclass(frozen=True, eq=False)
class L2Normalisation(Operator):
    """The last dimension divided by its Euclidean length."""


# --- values by themselves and in pairs -----------------------------------------------------------


LookupKind = Literal[
    "relu", "relu6", "relu_n1_to_1", "relu_0_to_1", "leaky_relu", "gelu", "logistic", "tanh",
    "hard_swish", "absolute", "exponential", "reciprocal_square_root", "quantise", "table",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Lookup(Operator):
    """Every value becomes another, whatever the others are: one of 256 for each of 256."""

    kind: LookupKind
    """``quantise``: the same real number in another quantisation. ``table``: a function that has no
    name, :attr:`table`."""
    alpha: float = 0.0
    """Of ``leaky_relu``: what negative numbers are multiplied by. Of ``gelu``: 1 for the
    approximation by tanh."""
    table: Int8Array | None = None
    """Of ``table``: the result for each value, [256], by ``value + 128``."""


ElementwiseKind = Literal["add", "subtract", "multiply", "maximum", "minimum", "prelu"]


@dataclass(frozen=True, eq=False)
class Elementwise(Operator):
    """Values in pairs, of two computed tensors or of one and a constant; numpy's broadcasting, the
    images apart. The sum of two computed tensors of one shape is an :class:`Add`.

    ``prelu``: where the first is negative, it is multiplied by the second.
    """

    kind: ElementwiseKind
    activation: Activation = "none"


@dataclass(frozen=True, eq=False)
class Reduce(Operator):
    """Mean or sum over axes, counted from 0 without the images. The mean over rows and columns is a
    :class:`Mean`."""

    kind: Literal["mean", "sum"]
    axes: tuple[int, ...]
    keep_dims: bool


@dataclass(frozen=True, eq=False)
class ResizeBilinear(Operator):
    """Rows and columns become those of the output, values between neighbours."""

    align_corners: bool
    half_pixel_centers: bool


# --- values that move ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Movement(Operator):
    """Every value of the output is one of an input, or the zero point. Inputs and output have one
    quantisation. Axes are counted from 0 without the images."""


@dataclass(frozen=True, eq=False)
class Concatenation(Movement):
    """Inputs one after another along an axis."""

    axis: int


@dataclass(frozen=True, eq=False)
class Slice(Movement):
    """Along each axis, from ``begin`` as many values as the output has, ``stride`` apart; strides
    may be negative."""

    begin: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Transpose(Movement):
    """Axis ``k`` of the output is axis ``permutation[k]`` of the input."""

    permutation: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Surround(Movement):
    """Values before and after along any axis. Zeros around rows and columns are a :class:`Pad`."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int | None = None
    """int8; None: the zero point."""


@dataclass(frozen=True, eq=False)
class Spread(Movement):
    """Zeros (the zero point) between rows and columns: ``stride - 1`` between neighbours, and
    ``padding`` around. A transposed convolution is a convolution of what this gives."""

    stride: tuple[int, int]
    padding: Padding


@dataclass(frozen=True, eq=False)
class ResizeNearest(Movement):
    """Rows and columns become those of the output, each value that of the nearest place."""

    align_corners: bool
    half_pixel_centers: bool


@dataclass(frozen=True, eq=False)
class DepthToSpace(Movement):
    """Blocks of ``block * block`` channels become squares of pixels."""

    block: int


@dataclass(frozen=True, eq=False)
class SpaceToDepth(Movement):
    """Squares of ``block * block`` pixels become blocks of channels."""

    block: int


@dataclass(frozen=True, eq=False)
class Model:
    """An int8 network: tensors, and operators between them.

    Tensors are referred to by their index in :attr:`tensors`.
    """

    name: str
    """Name of the network."""
    tensors: tuple[Tensor, ...]
    """All tensors."""
    operators: tuple[Operator, ...]
    """All operators, in order of execution."""
    inputs: tuple[int, ...]
    """Indices of the input tensors, in the file's order."""
    outputs: tuple[int, ...]
    """Indices of the output tensors, in the file's order."""
    constants: Mapping[int, Int8Array] = field(default_factory=dict)
    """Values, in the tensor's shape, of tensors that are neither inputs nor computed."""
    notes: tuple[str, ...] = ()
    """What a user should know about how the file was read, such as operators that were left out;
    one sentence each."""

    @property
    def input_index(self) -> int:
        """Index of the only input.

        Raises:
            ModelError: there are several inputs.
        """
        return self._only(self.inputs, "input")

    @property
    def output_index(self) -> int:
        """Index of the only output.

        Raises:
            ModelError: there are several outputs.
        """
        return self._only(self.outputs, "output")

    def _only(self, indices: tuple[int, ...], what: str) -> int:
        if len(indices) != 1:
            names = ", ".join(self.tensors[index].name for index in indices)
            raise ModelError(
                f"model '{self.name}' has {len(indices)} {what}s ({names}), where only one makes "
                "sense"
            )
        return indices[0]

    @property
    def input(self) -> Tensor:
        """The only input tensor.

        Raises:
            ModelError: there are several inputs.
        """
        return self.tensors[self.input_index]

    @property
    def output(self) -> Tensor:
        """The only output tensor.

        Raises:
            ModelError: there are several outputs.
        """
        return self.tensors[self.output_index]

    @property
    def layers(self) -> tuple[WeightedLayer, ...]:
        """The weighted layers, in order: the operators that a plan has multipliers for."""
        return tuple(op for op in self.operators if isinstance(op, WeightedLayer))

    def layer(self, name: str) -> WeightedLayer:
        """The weighted layer of that name.

        Raises:
            ModelError: there is no such layer. The message lists all layers.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ModelError(f"model '{self.name}' has no layer '{name}'; its layers are: {names}")

    def multiplications(self, layer: WeightedLayer) -> int:
        """Number of multiplications of a layer for one image, including padded taps."""
        positions = math.prod(self.tensors[layer.output].shape[:-1])
        return positions * layer.kernel.size

    def maker(self, tensor: int) -> Operator | None:
        """The operator that computes a tensor; None for inputs and constants."""
        return next((op for op in self.operators if op.output == tensor), None)

    def consumers(self, tensor: int) -> Iterator[Operator]:
        """The operators that read a tensor."""
        return (op for op in self.operators if tensor in op.inputs)


def rows_columns_channels(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Any shape as that of a feature map with the values in the same order."""
    padded = (1, 1, *shape)
    return math.prod(padded[:-2]), padded[-2], padded[-1]


def activation_bounds(activation: Activation, tensor: Tensor) -> tuple[int, int]:
    """Smallest and largest int8 value of ``tensor`` that the fused activation lets through."""

    def quantised(real: float) -> int:
        # TFLite divides in float32 and rounds halves away from zero.
        with np.errstate(over="ignore"):  # to infinity
            scaled = float(np.float32(real) / np.float32(tensor.scale))
        steps = min(np.floor(abs(scaled) + 0.5), 256)  # more leave int8 as well
        return tensor.zero_point + int(np.copysign(steps, scaled))

    low, high = INT8_MIN, INT8_MAX
    if activation in ("relu", "relu6"):
        low = max(low, quantised(0.0))
    if activation == "relu6":
        high = min(high, quantised(6.0))
    if activation == "relu_n1_to_1":
        low, high = max(low, quantised(-1.0)), min(high, quantised(1.0))
    return low, high
