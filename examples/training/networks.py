# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The CIFAR-10 networks of the two papers, in PyTorch, and how they become int8 networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from axynq.emulator.model.graph import Model
from axynq.emulator.quantisation.builder import NetworkBuilder, Node


class ConvUnit(nn.Module):
    """Convolution with TFLite's SAME padding, batch normalisation, optional ReLU."""

    def __init__(
        self, inputs: int, filters: int, kernel: int, stride: int = 1, relu: bool = True,
        same: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stride, self.relu, self.same = stride, relu, same
        self.conv = nn.Conv2d(inputs, filters, kernel, stride, bias=False)
        self.norm = nn.BatchNorm2d(filters)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.same:
            x = nn.functional.pad(x, same_padding(x.shape[2:], self.conv.kernel_size, self.stride))
        x = self.norm(self.conv(x))
        return torch.relu(x) if self.relu else x

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights [filters, rows, columns, channels] and bias with the normalisation in them."""
        norm = self.norm
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weights = self.conv.weight * factor[:, None, None, None]
        bias = norm.bias - norm.running_mean * factor
        return (
            weights.detach().double().permute(0, 2, 3, 1).float().contiguous().numpy(),
            bias.detach().numpy(),
        )

    def build(self, builder: NetworkBuilder, x: Node) -> Node:
        weights, bias = self.folded()
        stride = (self.stride, self.stride)
        activation = "relu" if self.relu else "none"
        return builder.convolution(x, weights, bias, stride, self.same, activation)


def same_padding(
    size: torch.Size, kernel: tuple[int, ...], stride: int
) -> tuple[int, int, int, int]:
    """TFLite's: as even as possible, the odd one at the bottom and right."""
    pads: list[int] = []
    for length, k in zip(reversed(size), reversed(kernel)):
        total = max((-(-length // stride) - 1) * stride + k - length, 0)
        pads += [total // 2, total - total // 2]
    return pads[0], pads[1], pads[2], pads[3]


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = ConvUnit(inputs, filters, 3, stride)
        self.second = ConvUnit(filters, filters, 3, relu=False)
        self.shortcut = (
            None
            if stride == 1 and inputs == filters
            else ConvUnit(inputs, filters, 1, stride, relu=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.first(x))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    def build(self, builder: NetworkBuilder, x: Node) -> Node:
        y = self.second.build(builder, self.first.build(builder, x))
        if self.shortcut is not None:
            x = self.shortcut.build(builder, x)
        return builder.add(x, y, "relu")


class ResNet(nn.Module):
    """ResNet for 32 x 32 images: a convolution, three stages of residual blocks, a classifier.

    One block a stage is ResNet-8 (12.5 million multiplications), two are ResNet-14 (26.6 million).
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = ConvUnit(3, 16, 3)
        units: list[nn.Module] = []
        inputs = 16
        for filters, stride in ((16, 1), (32, 2), (64, 2)):
            for block in range(blocks):
                units.append(Residual(inputs, filters, stride if block == 0 else 1))
                inputs = filters
        self.blocks = nn.Sequential(*units)
        self.classes = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(x))
        return self.classes(x.mean(dim=(2, 3)))

    def build(self, builder: NetworkBuilder) -> None:
        x = self.stem.build(builder, builder.input)
        for block in self.blocks:
            x = block.build(builder, x)
        x = builder.flatten(builder.pool(x, "average", (8, 8)))
        weights, bias = self.classes.weight.detach().numpy(), self.classes.bias.detach().numpy()
        builder.softmax(builder.fully_connected(x, weights, bias))


class AllConvolutional(nn.Module):
    """ALL-CNN-C (Springenberg et al., 2015): 281 million multiplications."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Sequential(
            ConvUnit(3, 96, 3), ConvUnit(96, 96, 3), ConvUnit(96, 96, 3, 2),
            ConvUnit(96, 192, 3), ConvUnit(192, 192, 3), ConvUnit(192, 192, 3, 2),
            ConvUnit(192, 192, 3, same=False), ConvUnit(192, 192, 1),
            ConvUnit(192, 10, 1, relu=False),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.units(x).mean(dim=(2, 3))

    def build(self, builder: NetworkBuilder) -> None:
        x = builder.input
        for unit in self.units:
            x = unit.build(builder, x)
        builder.softmax(builder.flatten(builder.pool(x, "average", (x.shape[0], x.shape[1]))))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet8": lambda: ResNet(1),
    "resnet14": lambda: ResNet(2),
    "allcnn": AllConvolutional,
}


def quantise(name: str, network: nn.Module, images: np.ndarray) -> Model:
    """The int8 network. ``images`` are calibration images, uint8 [images, 32, 32, 3]."""
    network = network.cpu().eval()
    builder = NetworkBuilder(name, (32, 32, 3))
    network.build(builder)
    real = images.astype(np.float32) / 255
    return builder.quantise(real, input_range=(0.0, 1.0), percentile=99.99)
