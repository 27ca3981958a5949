# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""From a float network to an int8 one: post-training quantisation to the TFLite contract.

Weights are quantised symmetrically, per filter (fully connected: per tensor), activations per
tensor from the ranges that calibration inputs reach. Tensors for which an operator needs a common
quantisation get one, or a look-up table between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Quantisation
from axynq.emulator.model.quantisation import ADD_LEFT_SHIFT, FIXED_OUTPUTS, is_sum
from axynq.emulator.quantisation.equalisation import equalised
from axynq.emulator.quantisation.float_network import (
    Affine,
    Filled,
    FloatArray,
    FloatLayer,
    FloatNetwork,
)
from axynq.emulator.quantisation.folding import folded
from axynq.emulator.quantisation.forward import convolved
from axynq.emulator.quantisation.ranges import (
    Range,
    RangeRule,
    Statistics,
    collected,
    quantisation,
)
from axynq.emulator.softmax import SMALLEST_STEP

LARGEST_BIAS = 2**30
"""Half of what 32 bits hold: the sum of products needs the rest."""

SMALLEST_LIMITED_SCALE = 1e-8
"""Of an output with an upper limit: 6 has to be fewer than 2**31 steps away."""

SIMILAR = 1.25
"""Ranges that differ by no more than this factor become one at no loss to speak of."""


@dataclass(frozen=True)
class Options:
    """How to quantise.

    Raises:
        DataError: an option has an invalid value.
    """

    ranges: RangeRule = "min-max"
    """What the range of a tensor covers: ``min-max`` all values seen in calibration,
    ``percentile`` a share of them, ``least-error`` what minimises the mean squared error of
    rounding and saturation together."""
    percentile: float = 99.99
    """With ``percentile``: the share of the values of each tensor, in percent, that its range
    covers; the others saturate."""
    equalise: bool = False
    """Equalise the weights of neighbouring layers first (Nagel et al., 2019)."""
    correct_bias: bool = False
    """Subtract the mean error that rounded weights cause from each filter's bias."""
    input_range: Range | None = None
    """Lowest and highest real input; None: those of the calibration inputs."""
    images: int = 16
    """Calibration inputs processed at a time; limits the memory needed."""

    def __post_init__(self) -> None:
        if self.ranges not in get_args(RangeRule):
            raise DataError(f"ranges '{self.ranges}' are none of {', '.join(get_args(RangeRule))}")
        if not 50 <= self.percentile <= 100:
            raise DataError(f"a percentile of {self.percentile} is not within 50 to 100")
        if self.images < 1:
            raise DataError(f"calibration takes at least 1 image at a time, not {self.images}")
        if self.input_range is not None and not (
            np.isfinite(self.input_range).all() and self.input_range[0] < self.input_range[1]
        ):
            raise DataError(f"{self.input_range} is no range of inputs: the lower end comes first")


class Quantised(NamedTuple):
    """An int8 network, and the float network that it stands for."""

    model: graph.Model
    """The int8 network."""
    network: FloatNetwork
    """The float network: folded, and equalised if that was asked for. Its tensors have the same
    indices as those of the model, which may have more."""


def quantise(
    network: FloatNetwork,
    calibration: npt.ArrayLike | Sequence[npt.ArrayLike] | Mapping[int, npt.ArrayLike] | None,
    options: Options | None = None,
    advance: Callable[[int], None] = lambda images: None,
) -> Quantised:
    """Quantise a float network to int8, without training.

    Args:
        network: a float network with its batch normalisations folded, such as
            :func:`load_float_network` returns.
        calibration: real inputs ``[examples, *input shape]``, channels last. For several inputs, a
            list of arrays in the order of ``network.inputs``, or a dictionary by tensor index. None
            if the network has the quantisation of all its tensors already.
        options: how to quantise; None: the defaults.
        advance: called with the number of inputs processed, after each part of the calibration.

    Returns:
        The int8 network (``.model``), and the float network that it stands for (``.network``).

    Raises:
        ModelError: calibration inputs are needed and missing, an operator is not available in int8,
            or an output depends on constants only.
        DataError: the calibration inputs do not fit, or lead to values that are not finite.

    Examples:
        >>> model = quantise(network, x, Options(ranges="least-error")).model
    """
    options = options or Options()
    for op in network.operators:
        if isinstance(op, Affine):
            raise ModelError(f"the normalisation '{op.name}' has to be folded first: simplify")
    whole, network = network, folded(network)
    if calibration is not None and network is not whole:  # whose tensors have other numbers
        given = whole.batch(calibration)
        calibration = dict(zip(network.inputs, (given[index] for index in whole.inputs)))
    if options.equalise:
        if calibration is None:
            raise ModelError("equalisation needs calibration inputs")
        highest = collected(
            network, calibration, "min-max", 100, frozenset(), options.images, advance
        )
        network = equalised(network, highest.ranges)
    statistics = Statistics()
    if calibration is not None:
        means = frozenset(layer.inputs[0] for layer in network.layers)
        statistics = collected(
            network, calibration, options.ranges, options.percentile,
            means if options.correct_bias else frozenset(), options.images, advance,
        )  # fmt: skip
        if options.input_range is not None:
            statistics.ranges.update(dict.fromkeys(network.inputs, options.input_range))
    return Quantised(_Quantiser(network, statistics).model(), network)


_OVER_LAST_AXIS: dict[type[graph.Operator], str] = {
    graph.Softmax: "softmax",
    graph.LogSoftmax: "log_softmax",
    graph.L2Normalisation: "l2_normalisation",
}


def fixed_quantisation(op: graph.Operator) -> Quantisation | None:
    """What the contract says of an operator's output; None: nothing."""
    kind = op.kind if isinstance(op, graph.Lookup) else _OVER_LAST_AXIS.get(type(op), "")
    return FIXED_OUTPUTS.get(kind)


def _of_one_quantisation(op: graph.Operator) -> bool:
    """Whether the contract wants inputs and output of an operator alike."""
    alike = (graph.Movement, graph.Pool, graph.Reshape, graph.Pad, Filled, graph.ResizeBilinear)
    larger = isinstance(op, graph.Elementwise) and op.kind in ("maximum", "minimum")
    return isinstance(op, alike) or larger


class _Quantiser:
    """Decides on the quantisation of every tensor, then makes the operators."""

    def __init__(self, network: FloatNetwork, statistics: Statistics) -> None:
        self.network = network
        self.statistics = statistics
        self.parent = list(range(len(network.tensors)))
        self.fixed: dict[int, Quantisation] = {
            index: tensor.quantisation
            for index, tensor in enumerate(network.tensors)
            if tensor.quantisation is not None
        }
        self.apart: set[tuple[str, int]] = set()
        """Inputs of operators, by name and number, that go through a table first."""
        self.tensors: list[graph.Tensor] = []
        self.operators: list[graph.Operator] = []
        self.constants: dict[int, graph.Int8Array] = {}

    def model(self) -> graph.Model:
        network = self.network
        for op in network.operators:
            fixed = fixed_quantisation(op)
            if fixed is not None:
                self._fix(op, fixed)
            if _of_one_quantisation(op):
                self._tie(op)
        chosen = self._chosen()
        self.tensors = [
            graph.Tensor(tensor.name, tensor.shape, *chosen[index])
            for index, tensor in enumerate(network.tensors)
        ]
        for index, values in network.constants.items():
            self.constants[index] = _rounded(values, chosen[index])
        for op in network.operators:
            inputs = tuple(
                self._requantised(op, index) if (op.name, index) in self.apart else index
                for index in op.inputs
            )
            self.operators.append(self._operator(replace(op, inputs=inputs)))
        outputs = self._outputs()
        return graph.Model(
            network.name, tuple(self.tensors), tuple(self.operators), network.inputs,
            outputs, self.constants,
        )  # fmt: skip

    def _outputs(self) -> tuple[int, ...]:
        """A tensor for each output: what is an input as well, or given twice, is given as another
        of the same values, as files and boards have them apart."""
        taken, outputs = set(self.network.inputs), []
        for index in self.network.outputs:
            if index in taken:
                name = f"output_{len(self.tensors)}"
                self.tensors.append(replace(self.tensors[index], name=name))
                self.operators.append(graph.Reshape(name, (index,), len(self.tensors) - 1))
                index = len(self.tensors) - 1
            taken.add(index)
            outputs.append(index)
        return tuple(outputs)

    # --- one quantisation ------------------------------------------------------------------------

    def _root(self, index: int) -> int:
        while self.parent[index] != index:
            index = self.parent[index]
        return index

    def _fix(self, op: graph.Operator, fixed: Quantisation) -> None:
        known = self.fixed.setdefault(op.output, fixed)
        if known != fixed and not np.isclose(known.scale, fixed.scale, rtol=1e-6):
            # What the source says is given to what reads it, in as many steps as the contract has.
            self.fixed[op.output] = fixed

    def _tie(self, op: graph.Operator) -> None:
        for index in op.inputs:
            if index in self.network.constants:
                if isinstance(op, graph.Movement):  # its values are among the output's
                    values = self.network.constants[index]
                    self.statistics.ranges[index] = (float(values.min()), float(values.max()))
                if self._root(index) != self._root(op.output):
                    self.parent[self._root(index)] = self._root(op.output)
            elif self._together(op, index):
                self._join(index, op.output)
            else:
                self.apart.add((op.name, index))

    def _join(self, first: int, second: int) -> None:
        first, second = self._root(first), self._root(second)
        if first == second:
            return
        known = self.fixed.get(first) or self.fixed.get(second)
        self.parent[first] = second
        if known is not None:
            self.fixed[second] = known

    def _together(self, op: graph.Operator, index: int) -> bool:
        """Whether an input gets the quantisation of the output, and not a table in between."""
        source, target = self._root(index), self._root(op.output)
        first, second = self.fixed.get(source), self.fixed.get(target)
        if first is not None and second is not None:
            return first == second
        others = [i for i in op.inputs if i not in self.network.constants]
        known = {self.fixed.get(self._root(i)) for i in others}
        if len(others) == 1 or (second is None and None not in known and len(known) == 1):
            return True
        if first is not None or index in self.network.inputs:
            return False
        if self.network.only_consumer(index) is op:
            return True
        ranges = self.statistics.ranges
        if index not in ranges or op.output not in ranges:
            return True
        widths = [max(high, 0) - min(low, 0) for low, high in (ranges[index], ranges[op.output])]
        return max(widths) <= SIMILAR * min(widths)

    def _chosen(self) -> list[Quantisation]:
        """For every tensor."""
        groups: dict[int, list[int]] = {}
        for index in range(len(self.network.tensors)):
            groups.setdefault(self._root(index), []).append(index)
        chosen: dict[int, Quantisation] = {}
        for root, members in groups.items():
            if root in self.fixed:
                found = self.fixed[root]
            elif all(index in self.network.constants for index in members):
                found = _constant_quantisation(self.network.constants[root])
            else:
                found = self._calibrated(members)
            chosen.update(dict.fromkeys(members, found))
        for op in self.network.operators:
            index, least = _least_scale(op, chosen)
            root = self._root(index)
            if chosen[index].scale < least and root not in self.fixed:
                coarser = chosen[index]._replace(scale=float(np.float32(least)))
                chosen.update(dict.fromkeys(groups[root], coarser))
        return [chosen[index] for index in range(len(chosen))]

    def _calibrated(self, members: list[int]) -> Quantisation:
        ranges = [
            self.statistics.ranges[index] for index in members if index in self.statistics.ranges
        ]
        if not ranges:
            name = self.network.tensors[members[0]].name
            raise ModelError(
                f"nothing says what range tensor '{name}' has: give calibration inputs"
            )
        return quantisation(min(low for low, _ in ranges), max(high for _, high in ranges))

    def _requantised(self, op: graph.Operator, index: int) -> int:
        """An input of ``op`` in the quantisation of its output: a tensor made by a table."""
        source, target = self.tensors[index], self.tensors[op.output]
        if (source.scale, source.zero_point) == (target.scale, target.zero_point):
            return index
        name = f"{op.name}_requantised_{len(self.tensors)}"
        self.tensors.append(replace(target, name=name, shape=source.shape))
        made = len(self.tensors) - 1
        self.operators.append(graph.Lookup(name, (index,), made, "quantise"))
        return made

    # --- operators -------------------------------------------------------------------------------

    def _operator(self, op: graph.Operator) -> graph.Operator:
        op = self._without_far_limits(op)
        if isinstance(op, FloatLayer):
            return self._layer(op)
        if isinstance(op, Filled):
            tensor = self.tensors[op.output]
            known = Quantisation(tensor.scale, tensor.zero_point)
            value = int(_rounded(np.float32(op.value), known))
            return graph.Surround(op.name, op.inputs, op.output, op.before, op.after, value)
        return op

    def _without_far_limits(self, op: graph.Operator) -> graph.Operator:
        """Limits that are so many steps away that TFLite refuses to count them are no limits."""
        activation = getattr(op, "activation", "none")
        without = {"relu6": "relu", "relu_n1_to_1": "none"}.get(activation)
        if without is None or self.tensors[op.output].scale > SMALLEST_LIMITED_SCALE:
            return op
        holder: Any = op
        return replace(holder, activation=without)

    def _layer(self, layer: FloatLayer) -> graph.WeightedLayer:
        weights = np.asarray(layer.weights, np.float64)
        per_channel = layer.kind != "fully_connected"
        input_scale = self.tensors[layer.inputs[0]].scale
        bias: npt.NDArray[np.float64] = np.asarray(layer.bias, np.float64)
        if layer.weight_scales is None:
            axes = tuple(range(1, weights.ndim)) if per_channel else None
            largest: Any = np.maximum(np.abs(weights).max(axis=axes, initial=0), 1e-8) / 127
            # Of weights far smaller than the bias: steps that let the bias fit.
            fits = np.abs(bias) / (input_scale * LARGEST_BIAS)
            largest = np.maximum(largest, fits if per_channel else fits.max(initial=0))
            scales = np.broadcast_to(largest.astype(np.float32), len(weights)).copy()
            lowest = -127
        else:
            scales, lowest = np.asarray(layer.weight_scales, np.float32), INT8_MIN
            per_channel = per_channel or len(np.unique(scales)) > 1
        steps = scales.astype(np.float64)
        integers = np.clip(np.round(weights / steps[:, None, None, None]), lowest, 127)
        mean = self.statistics.means.get(layer.inputs[0])
        if mean is not None:
            error = (integers * steps[:, None, None, None] - weights).astype(np.float32)
            without = replace(layer, weights=error, bias=np.zeros_like(layer.bias))
            bias = bias - convolved(without, mean).mean(axis=(0, 1, 2), dtype=np.float64)
        bias = np.rint(bias / (input_scale * steps))
        if np.abs(bias).max(initial=0) >= 2**31:
            raise ModelError(f"a bias of '{layer.name}' does not fit 32 bits at its scale")
        kernel = integers.astype(np.int8)
        return _weighted(layer, kernel, bias.astype(np.int32), scales, per_channel)


def _weighted(
    layer: FloatLayer,
    kernel: graph.Int8Array,
    bias: graph.Int32Array,
    scales: FloatArray,
    per_channel: bool,
) -> graph.WeightedLayer:
    common: dict[str, Any] = {
        "name": layer.name, "inputs": layer.inputs, "output": layer.output, "bias": bias,
        "weight_scales": scales, "activation": layer.activation, "per_channel": per_channel,
    }  # fmt: skip
    if layer.kind == "fully_connected":
        return graph.FullyConnected(weights=kernel.reshape(len(kernel), -1), **common)
    window: dict[str, Any] = {
        "stride": layer.stride, "dilation": layer.dilation, "padding": layer.padding,
    }  # fmt: skip
    if layer.kind == "depthwise":
        weights = np.ascontiguousarray(kernel[..., 0].transpose(1, 2, 0))
        return graph.DepthwiseConvolution(weights=weights, **window, **common)
    return graph.Convolution(weights=np.ascontiguousarray(kernel), **window, **common)


def _least_scale(op: graph.Operator, chosen: Mapping[int, Quantisation]) -> tuple[int, float]:
    """A tensor, and the scale below which TFLite's kernel of ``op`` ends the process: logits that
    differ by nothing, and sums far larger than the activation behind them lets through."""
    if isinstance(op, (graph.Softmax, graph.LogSoftmax)):
        return op.inputs[0], 2 * SMALLEST_STEP / getattr(op, "beta", 1.0)
    if is_sum(op):
        larger = max(chosen[index].scale for index in op.inputs)
        return op.output, 4 * larger / 2**ADD_LEFT_SHIFT
    return op.output, 0.0


def _rounded(values: npt.ArrayLike, chosen: Quantisation) -> graph.Int8Array:
    steps = np.round(np.asarray(values, np.float64) / chosen.scale) + chosen.zero_point
    return np.clip(steps, INT8_MIN, INT8_MAX).astype(np.int8)


def _constant_quantisation(values: FloatArray) -> Quantisation:
    """One number is met exactly, several as activations are."""
    low, high = float(values.min()), float(values.max())
    if low == high and low != 0:
        return Quantisation(float(np.float32(abs(low) / 127)), 0)
    return quantisation(low, high)
