# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The benchmarked networks, with random weights: speed does not depend on what they learned."""

from __future__ import annotations

import numpy as np

from axynq.emulator.model.graph import Model
from axynq.emulator.quantisation.builder import NetworkBuilder, Node


class RandomNetwork:
    """A builder that makes up its weights."""

    def __init__(self, name: str, shape: tuple[int, int, int]) -> None:
        self.rng = np.random.default_rng(0)
        self.builder = NetworkBuilder(name, shape)
        self.shape = shape

    def conv(self, x: Node, filters: int, kernel=(3, 3), stride=1, activation="relu") -> Node:
        weights = self._weights((filters, *kernel, x.shape[2]))
        return self.builder.convolution(
            x, weights, self._biases(filters), (stride, stride), activation=activation
        )

    def bottleneck(self, x: Node, filters: int, stride: int, expansion: int) -> Node:
        y = self.conv(x, x.shape[2] * expansion, (1, 1)) if expansion > 1 else x
        y = self.conv(self.depthwise(y, stride=stride), filters, (1, 1), activation="none")
        return self.builder.add(x, y) if stride == 1 and x.shape[2] == filters else y

    def depthwise(self, x: Node, kernel=(3, 3), stride=1) -> Node:
        channels = x.shape[2]
        weights = self._weights((channels, *kernel, 1))
        return self.builder.depthwise(
            x, weights, self._biases(channels), (stride, stride), activation="relu"
        )

    def residual(self, x: Node, filters: int, stride: int) -> Node:
        y = self.conv(self.conv(x, filters, stride=stride), filters, activation="none")
        if stride != 1 or x.shape[2] != filters:
            x = self.conv(x, filters, (1, 1), stride, "none")
        return self.builder.add(x, y, "relu")

    def classify(self, x: Node, classes: int) -> Model:
        x = self.builder.flatten(self.builder.pool(x, "average", (x.shape[0], x.shape[1])))
        weights = self._weights((classes, x.shape[0]))
        x = self.builder.fully_connected(x, weights, self._biases(classes))
        self.builder.softmax(x)
        images = self.rng.uniform(0, 1, (2, *self.shape)).astype(np.float32)
        return self.builder.quantise(images, input_range=(0.0, 1.0))

    def _weights(self, shape: tuple[int, ...]) -> np.ndarray:
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        return self.rng.normal(0, deviation, shape).astype(np.float32)

    def _biases(self, filters: int) -> np.ndarray:
        return self.rng.normal(0, 0.05, filters).astype(np.float32)


def resnet8() -> Model:
    """MLPerf Tiny's ResNet-8: 12.5 million multiplications."""
    network = RandomNetwork("resnet8", (32, 32, 3))
    x = network.conv(network.builder.input, 16)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        x = network.residual(x, filters, stride)
    return network.classify(x, 10)


def resnet14() -> Model:
    """ResNet-14 of the two papers: 26.6 million multiplications."""
    network = RandomNetwork("resnet14", (32, 32, 3))
    x = network.conv(network.builder.input, 16)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        x = network.residual(network.residual(x, filters, stride), filters, 1)
    return network.classify(x, 10)


def allcnn() -> Model:
    """ALL-CNN-C: 281 million multiplications."""
    network = RandomNetwork("allcnn", (32, 32, 3))
    x = network.builder.input
    for filters, stride in ((96, 1), (96, 1), (96, 2), (192, 1), (192, 1), (192, 2)):
        x = network.conv(x, filters, stride=stride)
    for filters, kernel in ((192, (3, 3)), (192, (1, 1)), (10, (1, 1))):
        x = network.conv(x, filters, kernel)
    return network.classify(x, 10)


def keyword() -> Model:
    """MLPerf Tiny's keyword network (DS-CNN): 2.7 million multiplications."""
    network = RandomNetwork("keyword", (49, 10, 1))
    x = network.conv(network.builder.input, 64, (10, 4), 2)
    for _ in range(4):
        x = network.conv(network.depthwise(x), 64, (1, 1))
    return network.classify(x, 12)


def resnet18() -> Model:
    """ResNet-18 for 224 x 224 images: 1.8 billion multiplications."""
    network = RandomNetwork("resnet18", (224, 224, 3))
    x = network.conv(network.builder.input, 64, (7, 7), 2)
    x = network.builder.pool(x, "max", (2, 2))
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        x = network.residual(network.residual(x, filters, stride), filters, 1)
    return network.classify(x, 1000)


def mobilenetv2() -> Model:
    """MobileNetV2 for 224 x 224 images: 300 million multiplications in 53 layers."""
    network = RandomNetwork("mobilenetv2", (224, 224, 3))
    x = network.conv(network.builder.input, 32, stride=2)
    for expansion, filters, repeats, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            x = network.bottleneck(x, filters, stride if repeat == 0 else 1, expansion)
    return network.classify(network.conv(x, 1280, (1, 1)), 1000)


def hundred() -> Model:
    """A hundred small layers."""
    network = RandomNetwork("hundred", (8, 8, 3))
    x = network.builder.input
    for _ in range(99):
        x = network.conv(x, 8)
    return network.classify(x, 10)


def single(channels: int, size: int) -> Model:
    """Three equal convolutions, for growth with the number of multiplications."""
    network = RandomNetwork(f"single{channels}", (size, size, channels))
    x = network.builder.input
    for _ in range(3):
        x = network.conv(x, channels)
    return network.classify(x, 10)
