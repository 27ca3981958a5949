# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""An int8 network as a PyTorch module: real weights, quantised on the way forward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import activation_bounds
from axynq.emulator.model.movement import places
from axynq.emulator.model.quantisation import accumulator_scales
from axynq.emulator.studies.retraining.operators import (
    channels_first,
    channels_last,
    computed,
    moved,
    needs_places,
    pooled,
)
from axynq.emulator.studies.retraining.product_gradients import (
    Geometry,
    ProductGradients,
    convolution_gradients,
)
from axynq.emulator.studies.retraining.weight_quantiser import WeightQuantiser

WEIGHT_LIMIT = 127
"""Weights are symmetric, but for layers that come with -128."""


UNLIMITED = 1 << 20
"""More steps than a tensor can be away from its zero point."""


class Range(NamedTuple):
    """From, to, of each of a layer's weights, in the shape that PyTorch has them in."""

    low: Tensor
    high: Tensor


class Disturbance(Protocol):
    """What a retraining method does to a layer on the way forward."""

    def weights(self, layer: str, weights: Tensor) -> Tensor:
        """Weights to compute with, from the quantised ones."""

    def output(self, layer: str, output: Tensor) -> Tensor:
        """Real outputs before the activation, [images, filters, rows, columns]."""


def real_values(tensor: graph.Tensor, integers: Tensor) -> Tensor:
    """The real numbers, float32, that integers of a quantised tensor stand for."""
    return (integers.float() - tensor.zero_point) * tensor.scale


class TrainableNetwork(nn.Module):
    """The network in real numbers on the grid of its quantisation.

    Weights are quantised with the scales they have, outputs with theirs; gradients pass straight
    through the rounding and are zero where a value is clipped. Feature maps are [images, channels,
    rows, columns], tensors of any other shape [images, values]. The softmax at the end is left out.

    Args:
        model: the int8 network it begins as, and whose quantisation it has.
        quantisers: by layer name, what multipliers make of weights. Trained weights are then what
            is wanted of them, and :meth:`quantised` has the integers that come nearest to it.
        fitted: the integers of the model are chosen for those multipliers already: what is wanted
            is what they amount to, not they themselves.
        gradients: by layer name, gradients for outputs that are given to :meth:`forward`; default:
            straight through, as if products were exact.

    Raises:
        ModelError: a filter's weights have a scale of 0.
    """

    def __init__(
        self,
        model: graph.Model,
        quantisers: Mapping[str, WeightQuantiser] | None = None,
        fitted: bool = False,
        gradients: Mapping[str, ProductGradients] | None = None,
    ) -> None:
        super().__init__()
        self.model = without_softmax(model)
        self._original = model
        self.weight = nn.ParameterDict()
        self.bias = nn.ParameterDict()
        self.quantisers = nn.ModuleDict(quantisers or {})
        self.gradients = nn.ModuleDict(gradients or {})
        for layer in self.model.layers:
            if not layer.weight_scales.all():
                raise ModelError(
                    f"layer '{layer.name}' has filters whose weights have a scale of 0: such a "
                    "network runs, but there is nothing in them to retrain"
                )
            kernel = layer.kernel.astype(np.float32) * layer.weight_scales[:, None, None, None]
            if isinstance(layer, graph.FullyConnected):
                kernel = _channels_first(kernel, self.model.tensors[layer.inputs[0]].shape)
            else:
                kernel = kernel.transpose(0, 3, 1, 2)
            scales = accumulator_scales(model, layer)
            weight = torch.from_numpy(kernel.copy()).contiguous(memory_format=torch.channels_last)
            self.weight[layer.name] = nn.Parameter(weight)
            self.bias[layer.name] = nn.Parameter(
                torch.from_numpy((layer.bias * scales).astype(np.float32))
            )
            self.register_buffer(
                f"scale_{layer.name}", torch.from_numpy(layer.weight_scales.astype(np.float32))
            )
            self.register_buffer(
                f"zero_{layer.name}", torch.zeros(len(layer.bias), dtype=torch.int32)
            )
            self.register_buffer(f"unit_{layer.name}", torch.from_numpy(scales), persistent=False)
            if fitted and layer.name in self.quantisers:
                self._want_what_is(layer)
        for index, constant in self.model.constants.items():
            real = self.model.tensors[index].dequantise(constant).astype(np.float32)
            self.register_buffer(
                f"constant_{index}", channels_first(torch.from_numpy(real)[None]), persistent=False
            )
        for op in self.model.operators:
            if isinstance(op, graph.Movement) and needs_places(op):
                where = torch.from_numpy(places(self.model, op).reshape(-1).copy())
                self.register_buffer(f"places_{op.name}", where, persistent=False)

    def forward(
        self,
        x: Tensor | Sequence[Tensor],
        disturbance: Disturbance | None = None,
        values: Mapping[int, Tensor] | None = None,
    ) -> Any:
        """Real outputs before the softmax, [images, values], for int8 inputs: a tuple of several,
        in the order of the network's outputs.

        Args:
            x: int8 [images, channels, rows, columns], or [images, ...] of no map; a sequence of
                them for a network with several inputs.
            disturbance: what a method does to layers.
            values: real tensors by index, as the approximate network has them. Then nothing is
                convolved: these are the values, and only gradients are computed (paper, eq. 13).
                They are not written to.
        """
        model = self.model
        real: dict[int, Tensor] = {
            index: self.get_buffer(f"constant_{index}") for index in model.constants
        }
        given = [x] if isinstance(x, Tensor) else x
        for index, integers in zip(model.inputs, given):
            source = model.tensors[index]
            held = integers if integers.dim() == 4 else integers.flatten(1)
            real[index] = real_values(source, held)
        for op in model.operators:
            inputs = [real[index] for index in op.inputs]
            known = values[op.output] if values is not None else None
            if isinstance(op, graph.WeightedLayer):
                real[op.output] = self._layer(op, inputs[0], disturbance, known)
            else:
                where = self.get_buffer(f"places_{op.name}") if needs_places(op) else None
                real[op.output] = _operator(model, op, inputs, known, where)
        outputs = tuple(real[index].flatten(1) for index in model.outputs)
        return outputs if len(outputs) > 1 else outputs[0]

    def _layer(
        self,
        layer: graph.WeightedLayer,
        x: Tensor,
        disturbance: Disturbance | None,
        given: Tensor | None,
    ) -> Tensor:
        target = self.model.tensors[layer.output]
        grid = _Grid.of(target, layer.activation)
        weights = self._quantised_weights(layer)
        if disturbance is not None:
            weights = disturbance.weights(layer.name, weights)
        bias = self.bias[layer.name]
        x, geometry = _prepared(layer, x)
        if given is not None:
            given = given if given.dim() == 4 else given[:, :, None, None]
            y = _given_output(x, weights, bias, given, grid, geometry, self._through(layer))
            return _shaped(y, target)
        y = functional.conv2d(x, weights, bias, *geometry)
        if disturbance is not None:
            y = disturbance.output(layer.name, y)
        return _shaped(_on_grid(y, grid, None), target)

    def _quantised_weights(self, layer: graph.WeightedLayer) -> Tensor:
        """Real weights that integers amount to, with gradients straight through."""
        weights = self.weight[layer.name]
        scales = self.get_buffer(f"scale_{layer.name}")
        if layer.name in self.quantisers:
            quantiser = self._quantiser(layer)
            with torch.no_grad():
                integers = quantiser.integers(self._steps(layer))
                values = weights_first(quantiser.values(integers), weights.shape)
                moved = values * scales[:, None, None, None] - weights
            return weights + moved
        return torch.fake_quantize_per_channel_affine(
            weights, scales, self.get_buffer(f"zero_{layer.name}"), 0, _lowest(layer), WEIGHT_LIMIT
        )

    @torch.no_grad()
    def _want_what_is(self, layer: graph.WeightedLayer) -> None:
        """What the layer's integers amount to becomes what is wanted of them; what they add besides
        is in the bias already, and stays."""
        quantiser = self._quantiser(layer)
        integers = torch.from_numpy(layer.kernel.astype(np.int64))
        wanted = quantiser.values(integers)
        weight, bias = self.weight[layer.name], self.bias[layer.name]
        scales = self.get_buffer(f"scale_{layer.name}")[:, None, None, None]
        weight.copy_(weights_first(wanted, weight.shape) * scales)
        units = self.get_buffer(f"unit_{layer.name}")
        bias.add_((quantiser.mean_errors(integers, wanted) * units).float())

    @torch.no_grad()
    def limit(self) -> None:
        """Bring weights back to what their multipliers offer. To be called after each step."""
        for layer in self.model.layers:
            if layer.name in self.quantisers:
                weight = self.weight[layer.name]
                wanted = self._quantiser(layer).limited(self._steps(layer))
                scales = self.get_buffer(f"scale_{layer.name}")[:, None, None, None]
                weight.copy_(weights_first(wanted, weight.shape) * scales)

    @torch.no_grad()
    def offered(self) -> dict[str, Range]:
        """By layer name the real weights that its multipliers offer, for layers with quantisers."""
        found = {}
        for layer in self.model.layers:
            if layer.name in self.quantisers:
                shape = self.weight[layer.name].shape
                scales = self.get_buffer(f"scale_{layer.name}")[:, None, None, None]
                low, high = (
                    weights_first(end, shape) * scales for end in self._quantiser(layer).range()
                )
                found[layer.name] = Range(low, high)
        return found

    def _quantiser(self, layer: graph.WeightedLayer) -> WeightQuantiser:
        quantiser = self.quantisers[layer.name]
        assert isinstance(quantiser, WeightQuantiser)
        return quantiser

    def _through(self, layer: graph.WeightedLayer) -> ProductGradients | None:
        if layer.name not in self.gradients:
            return None
        gradients = self.gradients[layer.name]
        assert isinstance(gradients, ProductGradients)
        return gradients

    def _steps(self, layer: graph.WeightedLayer) -> Tensor:
        """Weights in integer steps, [filters, rows, columns, channels] as the layer's kernel."""
        weights = (
            self.weight[layer.name] / self.get_buffer(f"scale_{layer.name}")[:, None, None, None]
        )
        return weights.permute(0, 2, 3, 1).reshape(layer.kernel.shape)

    def quantised(self) -> graph.Model:
        """The network in integers, of the quantisation it came with."""
        operators: list[graph.Operator] = []
        for op in self._original.operators:
            if isinstance(op, graph.WeightedLayer):
                op = self._quantised_layer(op)
            operators.append(op)
        return replace(self._original, operators=tuple(operators))

    def _quantised_layer(self, layer: graph.WeightedLayer) -> graph.WeightedLayer:
        kernel, bias = (values.cpu().numpy() for values in self._integers(layer))
        if isinstance(layer, graph.DepthwiseConvolution):
            kernel = kernel[..., 0].transpose(1, 2, 0)
        weights = np.ascontiguousarray(kernel.reshape(layer.weights.shape))
        return replace(layer, weights=weights, bias=bias)

    def integers(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Weights, int8 [filters, rows, columns, channels], and biases, int32 [filters], of the
        layers of :meth:`quantised`, on the network's device."""
        return {layer.name: self._integers(layer) for layer in self.model.layers}

    @torch.no_grad()
    def _integers(self, layer: graph.WeightedLayer) -> tuple[Tensor, Tensor]:
        steps = self._steps(layer)
        bias = self.bias[layer.name].double() / self.get_buffer(f"unit_{layer.name}")
        if layer.name in self.quantisers:
            quantiser = self._quantiser(layer)
            kernel = quantiser.integers(steps)
            bias = bias - quantiser.mean_errors(kernel, steps)
        else:
            kernel = torch.round(steps).clamp_(_lowest(layer), WEIGHT_LIMIT)
        limits = torch.iinfo(torch.int32)
        whole = torch.round(bias).clamp(limits.min, limits.max)
        return kernel.to(torch.int8), whole.to(torch.int32)


class _Grid(NamedTuple):
    """The values a quantised tensor can have: ``scale`` times the integers from low to high."""

    scale: float
    zero_point: int
    low: int
    """The lowest integer, zero point taken off."""
    high: int

    @classmethod
    def of(cls, tensor: graph.Tensor, activation: graph.Activation) -> _Grid:
        low, high = activation_bounds(activation, tensor)
        zero_point = tensor.zero_point
        return cls(tensor.scale, zero_point, low - zero_point, high - zero_point)

    def passed(self, gradient: Tensor, y: Tensor) -> Tensor:
        """The gradient where ``y``, which is on the grid, was not clipped."""
        low, high = (self.low + 0.5) * self.scale, (self.high - 0.5) * self.scale
        passed: Tensor = torch.ops.aten.hardtanh_backward(gradient, y, low, high)
        return passed


class _OnGrid(torch.autograd.Function):
    """Values rounded to a grid, or those of it that are ``given`` in their place; both in place.
    Gradients straight through but where it clips.

    PyTorch's own ``fake_quantize_per_tensor_affine`` takes three times as long.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, grid: _Grid, given: Tensor | None) -> Tensor:
        if given is None:
            y.mul_(1 / grid.scale).round_().clamp_(grid.low, grid.high).mul_(grid.scale)
        else:
            y.copy_(given)
        ctx.mark_dirty(y)
        ctx.save_for_backward(y)
        ctx.grid = grid
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return ctx.grid.passed(gradients[0], y), None, None


_on_grid: Callable[..., Tensor] = _OnGrid.apply


class _GivenOutput(torch.autograd.Function):
    """A convolution whose quantised output is known; only its gradients are computed: straight
    through, or through the slopes of approximate products."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: Tensor, bias: Tensor, given: Tensor, grid: _Grid,
        geometry: Geometry, through: ProductGradients | None,
    ) -> Tensor:  # fmt: skip
        y = given.detach()
        ctx.save_for_backward(x, weights, y)
        ctx.grid, ctx.geometry, ctx.through = grid, geometry, through
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weights, y = ctx.saved_tensors
        gradient = ctx.grid.passed(gradients[0], y)
        needed = ctx.needs_input_grad[:3]
        if ctx.through is None:
            backward = convolution_gradients(gradient, x, weights, ctx.geometry, needed)
        else:
            backward = ctx.through(gradient, x, weights, ctx.geometry, needed)
        return (*backward, None, None, None, None)


_given_output: Callable[..., Tensor] = _GivenOutput.apply


class _GivenSum(torch.autograd.Function):
    """A sum whose quantised output is known; its gradient is that of both operands."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, given: Tensor, grid: _Grid) -> Tensor:
        y = given.detach()
        ctx.save_for_backward(y)
        ctx.grid = grid
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        passed = ctx.grid.passed(gradients[0], y)
        return passed, passed, None, None


_given_sum: Callable[..., Tensor] = _GivenSum.apply


def without_softmax(model: graph.Model) -> graph.Model:
    """The network up to the scores that the softmax at an end takes."""
    operators, outputs = list(model.operators), []
    for index in model.outputs:
        made = model.maker(index)
        if isinstance(made, (graph.Softmax, graph.LogSoftmax)) and not any(model.consumers(index)):
            operators = [op for op in operators if op is not made]
            index = made.inputs[0]
        outputs.append(index)
    return replace(model, operators=tuple(operators), outputs=tuple(outputs))


def _lowest(layer: graph.WeightedLayer) -> int:
    return min(-WEIGHT_LIMIT, int(layer.weights.min()))


def weights_first(kernel: Tensor, shape: torch.Size) -> Tensor:
    """A kernel [filters, rows, columns, channels] as PyTorch's weights of that shape."""
    filters, channels, rows, columns = shape
    return kernel.reshape(filters, rows, columns, channels).permute(0, 3, 1, 2)


def _channels_first(kernel: Any, shape: tuple[int, ...]) -> Any:
    """A fully connected kernel [filters, 1, 1, inputs] as a convolution as large as its input."""
    rows, columns, channels = shape if len(shape) == 3 else (1, 1, kernel.shape[-1])
    return kernel.reshape(len(kernel), rows, columns, channels).transpose(0, 3, 1, 2)


def _prepared(layer: graph.WeightedLayer, x: Tensor) -> tuple[Tensor, Geometry]:
    """Input, perhaps padded, and the convolution to make of it."""
    if isinstance(layer, graph.FullyConnected):
        return (x if x.dim() == 4 else x[:, :, None, None]), Geometry((1, 1), (0, 0), (1, 1), 1)
    assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
    p = layer.padding
    padding = (p.top, p.left)
    if padding != (p.bottom, p.right):
        # PyTorch's convolution pads both sides alike.
        x, padding = functional.pad(x, (p.left, p.right, p.top, p.bottom)), (0, 0)
    groups = x.shape[1] if isinstance(layer, graph.DepthwiseConvolution) else 1
    return x, Geometry(layer.stride, padding, layer.dilation, groups)


def _shaped(y: Tensor, target: graph.Tensor) -> Tensor:
    return y if len(target.shape) == 3 else y.flatten(1)


def _operator(
    model: graph.Model,
    op: graph.Operator,
    inputs: list[Tensor],
    given: Tensor | None,
    places: Tensor | None,
) -> Tensor:
    """Operators without weights, quantised to their output's grid."""
    target = model.tensors[op.output]
    if isinstance(op, (graph.Reshape, graph.Pad, graph.Movement)):
        return moved(model, op, inputs, places)
    activation: graph.Activation = getattr(op, "activation", "none")
    grid = _Grid.of(target, activation)
    if isinstance(op, graph.Add) and given is not None and len(inputs[0]) == len(inputs[1]):
        return _given_sum(*inputs, given, grid)
    if isinstance(op, (graph.Add, graph.Pool)):
        y = pooled(op, inputs[0]) if isinstance(op, graph.Pool) else inputs[0] + inputs[1]
        return _on_grid(y, grid, given)
    y = computed(model, op, inputs)
    if isinstance(op, graph.ResizeBilinear):
        # Between values that the grid has: nothing is clipped, even at its ends.
        grid = grid._replace(low=-UNLIMITED, high=UNLIMITED)
    if given is not None:
        given = channels_last(given, target.shape)
        y = y.expand(len(given), *target.shape).clone() if len(y) < len(given) else y
    return channels_first(_on_grid(y, grid, given))
