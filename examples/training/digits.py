# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Trains the small CNN that `axynq demo` runs, on scikit-learn's handwritten digits.

    pip install axynq[train,tflite]
    python examples/training/digits.py --output models/digits_int8.tflite

Takes about a minute on a CPU. The network is trained in floating point, quantised to int8 with the
training images as calibration, and written as a `.tflite` file by axynq's own writer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from axynq.emulator import Emulator, save_model
from axynq.emulator.datasets import handwritten_digits
from axynq.emulator.model.graph import Model
from axynq.emulator.quantisation.builder import NetworkBuilder


class DigitsNet(nn.Module):
    """Convolutions, a depthwise stage, a residual addition, pooling: a little of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.pointwise = nn.Conv2d(16, 32, 1)
        self.inner = nn.Conv2d(32, 32, 3, padding=1)
        self.outer = nn.Conv2d(32, 32, 3, padding=1)
        self.classes = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.depthwise(x))
        x = torch.relu(self.pointwise(x))
        x = nn.functional.max_pool2d(x, 2)
        x = torch.relu(x + self.outer(torch.relu(self.inner(x))))
        x = nn.functional.avg_pool2d(x, 4)
        return self.classes(x.flatten(1))


def train(epochs: int, seed: int) -> DigitsNet:
    torch.manual_seed(seed)
    data = handwritten_digits("train")
    x = torch.from_numpy(data.x.transpose(0, 3, 1, 2).copy())
    y = torch.from_numpy(data.y)
    network = DigitsNet()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    batches = -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * batches)
    shifts = np.random.default_rng(seed)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(64):
            # Shifts by up to a pixel stand in for more writers.
            dy, dx = shifts.integers(-1, 2, 2)
            images = torch.roll(x[chosen], (int(dy), int(dx)), (2, 3))
            loss = nn.functional.cross_entropy(network(images), y[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network


def quantise(network: DigitsNet) -> Model:
    """The int8 network, calibrated on the training images."""

    def parameters(layer: nn.Conv2d | nn.Linear) -> tuple[np.ndarray, np.ndarray]:
        weights = layer.weight.detach().numpy()
        if weights.ndim == 4:
            weights = weights.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(weights), layer.bias.detach().numpy()

    builder = NetworkBuilder("digits", (8, 8, 1))
    x = builder.convolution(builder.input, *parameters(network.first), activation="relu")
    x = builder.depthwise(x, *parameters(network.depthwise), activation="relu")
    x = builder.convolution(x, *parameters(network.pointwise), activation="relu")
    x = builder.pool(x, "max", (2, 2))
    y = builder.convolution(x, *parameters(network.inner), activation="relu")
    y = builder.convolution(y, *parameters(network.outer))
    x = builder.add(x, y, activation="relu")
    x = builder.pool(x, "average", (4, 4))
    x = builder.fully_connected(builder.flatten(x), *parameters(network.classes))
    builder.softmax(x)
    return builder.quantise(handwritten_digits("train").x, input_range=(0.0, 16.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("models/digits_int8.tflite"))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    network = train(arguments.epochs, arguments.seed)
    test = handwritten_digits("test")
    with torch.no_grad():
        scores = network(torch.from_numpy(test.x.transpose(0, 3, 1, 2).copy())).numpy()
    model = quantise(network)
    save_model(model, arguments.output)
    int8 = Emulator(model).run(test.x).argmax(axis=1)
    print(f"float {np.mean(scores.argmax(1) == test.y):.2%}, int8 {np.mean(int8 == test.y):.2%}")
    print(f"of {len(test)} held-out digits; wrote {arguments.output}")


if __name__ == "__main__":
    main()
