# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Trains a PyTorch network for approximate multipliers, in a training loop of one's own.

    pip install axynq[torch,demo]
    python examples/pytorch/approximate_training.py --plan smapprox:2222

A small network learns scikit-learn's handwritten digits in floating point. It becomes an int8
network, which the plan's multipliers spoil; trained on through them, it recovers. The int8 network
is written as a `.tflite` file, and its weights go back into the PyTorch module.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from axynq.emulator import Emulator, from_torch, save_model, to_torch, write_back
from axynq.emulator.datasets import Dataset, handwritten_digits


def network() -> nn.Module:
    """Takes [images, 1, 8, 8]."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 4 * 4, 10),
    )  # fmt: skip


def train(module: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int, rate: float) -> None:
    """An ordinary loop: that the multipliers are approximate, it does not know."""
    optimiser = torch.optim.Adam(module.parameters(), lr=rate)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(64):
            loss = functional.cross_entropy(module(x[chosen]), y[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def tensors(data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(data.x).permute(0, 3, 1, 2)
    return x.float().contiguous(), torch.from_numpy(data.y)


def accuracy(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return float((module(x).argmax(1) == y).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", default="smapprox:2222")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--output", type=Path, default=Path("digits.tflite"))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    (x, y), (x_test, y_test) = (tensors(handwritten_digits(part)) for part in ("train", "test"))

    module = network()
    train(module, x, y, arguments.epochs, 3e-3)
    module.eval()
    print(f"floating point: {accuracy(module, x_test, y_test):.2%}")

    model = from_torch(module, x[:256], name="digits")
    inputs = x_test.permute(0, 2, 3, 1).numpy()
    print(f"int8: {Emulator(model).accuracy(inputs, y_test.numpy()):.2%}")

    approximate = to_torch(model, arguments.plan)
    print(f"under {arguments.plan}: {accuracy(approximate, x_test, y_test):.2%}")
    train(approximate, x, y, max(arguments.epochs // 2, 1), 1e-3)
    print(f"trained for it: {accuracy(approximate, x_test, y_test):.2%}")

    trained = approximate.export()
    found = Emulator(trained, arguments.plan).accuracy(inputs, y_test.numpy())
    print(f"the same by the emulator: {found:.2%}")
    save_model(trained, arguments.output)
    write_back(approximate, module)
    print(f"its weights in floating point: {accuracy(module, x_test, y_test):.2%}")


if __name__ == "__main__":
    main()
