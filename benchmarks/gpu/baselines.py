# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What emulation on a GPU is compared with: exact inference in PyTorch, and a kernel that looks
every product up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from axynq.emulator.model import graph

Run = Callable[[], Tensor]
"""Runs a network on images that lie on the device."""


def exact_inference(
    model: graph.Model, images: int, device: torch.device, matrix: bool
) -> Run | None:
    """The network with exact multipliers in PyTorch, layer by layer.

    Args:
        model: of convolutions, sums, average pools and a fully connected layer.
        images: in a batch.
        device: where.
        matrix: int8 matrix products (``torch._int_mm``, which PyTorch has for exact sums) of
            patches, rounded by floats; otherwise fp16 convolutions (bfloat16 on processors),
            channels last. None: PyTorch has no int8 depthwise convolution.
    """
    if matrix and any(isinstance(op, graph.DepthwiseConvolution) for op in model.operators):
        return None
    dtype = torch.float16 if device.type == "cuda" else torch.bfloat16
    shape = (images, *model.input.shape)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(-128, 128, shape).astype(np.int8)).to(device)
    first = x if matrix else x.to(dtype)
    layers = {
        layer.name: (_int8_layer(layer, device) if matrix else _float_layer(layer, device, dtype))
        for layer in model.layers
    }

    @torch.inference_mode()
    def run() -> Tensor:
        values = {model.input_index: first}
        for op in model.operators:
            inputs = [values[index] for index in op.inputs]
            computed = layers.get(op.name)
            values[op.output] = computed(inputs[0]) if computed else _other(model, op, inputs)
        return values[model.output_index]

    return run


def _float_layer(
    layer: graph.WeightedLayer, device: torch.device, dtype: torch.dtype
) -> Callable[[Tensor], Tensor]:
    kernel = torch.from_numpy(layer.kernel.copy()).to(device, dtype)
    bias = torch.from_numpy(layer.bias.copy()).to(device, dtype)
    if isinstance(layer, graph.FullyConnected):
        return lambda x: functional.linear(x.flatten(1), kernel.flatten(1), bias)
    assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
    weights = kernel.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    depthwise = isinstance(layer, graph.DepthwiseConvolution)
    p, groups = layer.padding, len(kernel) if depthwise else 1
    symmetric = (p.top, p.left) == (p.bottom, p.right)

    def convolved(x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        if not symmetric:
            x = functional.pad(x, (p.left, p.right, p.top, p.bottom))
        padding = (p.top, p.left) if symmetric else (0, 0)
        y = functional.conv2d(x, weights, bias, layer.stride, padding, groups=groups)
        return (torch.relu_(y) if layer.activation == "relu" else y).permute(0, 2, 3, 1)

    return convolved


def _int8_layer(layer: graph.WeightedLayer, device: torch.device) -> Callable[[Tensor], Tensor]:
    flat = torch.from_numpy(layer.kernel.reshape(len(layer.kernel), -1).T.copy())
    taps, filters = flat.shape
    # torch._int_mm wants multiples of 8.
    weights = functional.pad(flat, (0, -filters % 8, 0, -taps % 8)).to(device)
    bias = torch.from_numpy(layer.bias.copy()).to(device)
    factor = 1 / (73 * 73 * taps**0.5)

    def requantised(patches: Tensor) -> Tensor:
        padded = functional.pad(patches, (0, -taps % 8, 0, max(0, 17 - len(patches))))
        sums = torch._int_mm(padded, weights)[: len(patches), :filters] + bias
        return (sums * factor).round_().clamp_(-128, 127).to(torch.int8)

    if isinstance(layer, graph.FullyConnected):
        return lambda x: requantised(x.flatten(1))
    assert isinstance(layer, graph.Convolution)
    p, stride = layer.padding, layer.stride
    rows, columns = layer.kernel.shape[1:3]

    def convolved(x: Tensor) -> Tensor:
        if any(p):
            x = functional.pad(x, (0, 0, p.left, p.right, p.top, p.bottom))
        windows = x.unfold(1, rows, stride[0]).unfold(2, columns, stride[1])
        patches = windows.permute(0, 1, 2, 4, 5, 3)
        return requantised(patches.reshape(-1, taps)).reshape(*patches.shape[:3], filters)

    return convolved


def _other(model: graph.Model, op: graph.Operator, inputs: list[Tensor]) -> Tensor:
    x, shape = inputs[0], model.tensors[op.output].shape
    if isinstance(op, graph.Add):
        # int8 values are halved first, as their sum would not fit.
        return (x >> 1) + (inputs[1] >> 1) if x.dtype == torch.int8 else torch.relu(x + inputs[1])
    if isinstance(op, graph.Pool):
        windows = x.unfold(1, op.window[0], op.stride[0]).unfold(2, op.window[1], op.stride[1])
        if op.kind == "max":
            return windows.amax(dim=(-2, -1))
        return windows.to(torch.float32).mean(dim=(-2, -1)).to(x.dtype)
    if isinstance(op, graph.Softmax):
        return torch.softmax(x.float(), dim=-1)
    return x.reshape(len(x), *shape)


# --- every product looked up ---------------------------------------------------------------------


def lut_gather(
    model: graph.Model, table: np.ndarray, images: int, device: torch.device, triton: bool
) -> Run:
    """The network's convolutions as other emulators compute them: a thread an output, a look-up a
    product, in a table [256, 256] by weight and activation of 16 bits; int32 sums.

    Args:
        model: of whose layers, without the fully connected and depthwise ones, this is.
        table: int16, by ``w + 128`` and the activation's byte.
        images: in a batch.
        device: where.
        triton: with a kernel in Triton; otherwise as PyTorch's indexing.
    """
    lut = torch.from_numpy(table).to(device)
    rng = np.random.default_rng(0)
    work = []
    for layer in model.layers:
        if not isinstance(layer, graph.Convolution):
            continue
        shape = model.tensors[layer.inputs[0]].shape
        p = layer.padding.around(shape)
        x = torch.from_numpy(rng.integers(-128, 128, (images, *p)).astype(np.int8)).to(device)
        # Neighbouring threads compute neighbouring filters.
        weights = torch.from_numpy(layer.kernel.transpose(1, 2, 3, 0).copy()).to(device)
        rows, columns, filters = model.tensors[layer.output].shape
        y = torch.empty((images, rows, columns, filters), dtype=torch.int32, device=device)
        work.append((x, weights, y, layer.stride))
    if triton:
        from lut_kernel import gathered
    else:
        gathered = _gathered

    def run() -> Tensor:
        for x, weights, y, stride in work:
            gathered(x, weights, lut, y, stride)
        return work[-1][2]

    return run


def _gathered(x: Tensor, weights: Tensor, lut: Tensor, y: Tensor, stride: tuple[int, int]) -> None:
    rows, columns, channels, _ = weights.shape
    y.zero_()
    for i in range(rows):
        for j in range(columns):
            bottom, right = i + y.shape[1] * stride[0], j + y.shape[2] * stride[1]
            seen = x[:, i : bottom : stride[0], j : right : stride[1]].to(torch.int64) & 255
            for c in range(channels):
                own = weights[i, j, c].to(torch.int64) + 128
                y += lut[own, seen[..., c, None]]
