# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks in real numbers, as data: operators of the graph's vocabulary, channels last.

What any source gives (PyTorch, ONNX, a float ``.tflite`` file, a builder) becomes this, and this is
what is quantised. Operators that hold no numbers are the graph's own (:mod:`model.graph`); layers
hold real weights. Shapes leave out the images; axes are counted without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Activation, Padding, Quantisation

FloatArray = npt.NDArray[np.float32]

LayerKind = Literal["convolution", "depthwise", "fully_connected"]


@dataclass(frozen=True)
class FloatTensor:
    """A tensor of a float network."""

    name: str
    shape: tuple[int, ...]
    """Without the images."""
    quantisation: Quantisation | None = None
    """Where the source says it; None: to be found by calibration."""


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a layer's weights come from, so that they can go back."""

    weights: str | None
    """Name of the parameter in the source; None: the layer is a normalisation alone."""
    places: npt.NDArray[np.int64]
    """For each weight, [filters, rows, columns, channels], its place in the parameter, flat."""
    factors: FloatArray
    """[filters]: what the parameter was multiplied by, of a batch normalisation."""
    filters: tuple[int, int]
    """The first of the source's filters that are this layer's, and one after the last."""
    bias: str | None = None
    """Name of the parameter that was added; None: none was."""
    normalisation: str | None = None
    """Name of the batch normalisation that was folded in; None: none was."""


@dataclass(frozen=True, eq=False)
class FloatLayer(graph.Operator):
    """A convolution or fully connected layer with real weights."""

    kind: LayerKind
    weights: FloatArray
    """[filters, rows, columns, channels of one filter]; fully connected: one row and column."""
    bias: FloatArray
    """[filters]."""
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = "none"
    weight_scales: FloatArray | None = None
    """[filters], where the source says them: weights are whole multiples of them."""
    origin: Origin | None = None


@dataclass(frozen=True, eq=False)
class Affine(graph.Operator):
    """Every channel (last axis) times a factor plus a number: a batch normalisation, until it is
    folded into a layer or becomes one."""

    factors: FloatArray
    """[channels]."""
    terms: FloatArray
    """[channels]."""
    source: str | None = None
    """Name of the batch normalisation; None: it is none."""


@dataclass(frozen=True, eq=False)
class Filled(graph.Operator):
    """Numbers before and after along any axis. With zeros that is a Pad or Surround."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: float


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """A network in real numbers. Operators are in execution order, each with one output."""

    name: str
    tensors: tuple[FloatTensor, ...]
    operators: tuple[graph.Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: Mapping[int, FloatArray] = field(default_factory=dict)
    """The values, [*shape], of tensors that are neither given nor computed."""

    @property
    def layers(self) -> tuple[FloatLayer, ...]:
        """The operators that multiply, in order."""
        return tuple(op for op in self.operators if isinstance(op, FloatLayer))

    def consumers(self, tensor: int) -> Iterator[graph.Operator]:
        """The operators that read a tensor."""
        return (op for op in self.operators if tensor in op.inputs)

    def only_consumer(self, tensor: int) -> graph.Operator | None:
        """The operator that reads a tensor, if it alone does and the tensor is no output."""
        found = list(self.consumers(tensor))
        alone = len(found) == 1 and found[0].inputs.count(tensor) == 1
        return found[0] if alone and tensor not in self.outputs else None

    def batch(
        self, x: npt.ArrayLike | Sequence[npt.ArrayLike] | Mapping[int, npt.ArrayLike]
    ) -> dict[int, FloatArray]:
        """Inputs [images, *shape] by tensor, of an only input or of several by tensor, or in a list
        in the order of the network's inputs.

        Raises:
            ModelError: there are inputs without values, or their shape is another.
            DataError: they are no numbers, or of different numbers of images.
        """
        given: dict[int, Any]
        if isinstance(x, Mapping):
            given = dict(x)
        elif len(self.inputs) == 1:
            given = {self.inputs[0]: x}
        elif isinstance(x, (list, tuple)) and len(x) == len(self.inputs):
            given = dict(zip(self.inputs, x))
        else:
            names = ", ".join(self.tensors[index].name for index in self.inputs)
            raise DataError(
                f"network '{self.name}' has {len(self.inputs)} inputs ({names}): give a list of as "
                "many arrays in this order"
            )
        values: dict[int, FloatArray]
        try:
            values = {index: np.asarray(value, np.float32) for index, value in given.items()}
        except (TypeError, ValueError) as error:
            raise DataError(f"the inputs are no arrays of numbers: {error}") from error
        if len({len(value) if value.ndim else 0 for value in values.values()}) > 1:
            raise DataError("the inputs have different numbers of examples")
        for index in self.inputs:
            tensor = self.tensors[index]
            if index not in values:
                raise ModelError(
                    f"network '{self.name}' has {len(self.inputs)} inputs, and none is given for "
                    f"'{tensor.name}'"
                )
            if values[index].shape[1:] != tensor.shape:
                raise ModelError(
                    f"'{tensor.name}' takes inputs [images, {', '.join(map(str, tensor.shape))}], "
                    f"not {list(values[index].shape)}"
                )
        return values


def compacted(network: FloatNetwork) -> FloatNetwork:
    """The same without tensors that nothing uses, and without operators whose outputs nothing
    reads."""
    needed, kept = set(network.outputs), []
    for op in reversed(network.operators):
        if op.output in needed:
            needed.update(op.inputs)
            kept.append(op)
    kept.reverse()
    used = sorted(needed | set(network.inputs))
    number = {old: new for new, old in enumerate(used)}
    return replace(
        network,
        tensors=tuple(network.tensors[index] for index in used),
        operators=tuple(
            replace(op, inputs=tuple(number[i] for i in op.inputs), output=number[op.output])
            for op in kept
        ),
        inputs=tuple(number[i] for i in network.inputs),
        outputs=tuple(number[i] for i in network.outputs),
        constants={number[i]: value for i, value in network.constants.items() if i in number},
    )
