# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Trains a CIFAR-10 network and exports it as an int8 `.tflite` file.

    pip install axynq[train,images]
    python examples/training/cifar10.py resnet8 --data cifar10-jpeg.tar.xz

`--data` is CIFAR-10 as `axynq evaluate` takes it: class-named image folders, an archive of them, or
the original batches. A GPU is used where one is present. Every epoch ends with a checkpoint:
rerun the command to resume from the last one. At the end the network is quantised, written by
axynq's own TFLite writer, and its accuracy on all test images is measured bit-exactly.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from images import load_images
from networks import NETWORKS, quantise
from torch import nn

from axynq.emulator import Emulator, files, save_model
from axynq.emulator.datasets import quantise_examples

EPOCHS = {"resnet8": "100", "resnet14": "100", "allcnn": "40"}
"""On a processor, ALL-CNN takes hours: train it on small images first (`8@16 4@24 4@32`)."""

SIZE = 32


class Stage(NamedTuple):
    """So many epochs on images of so many rows and columns."""

    epochs: int
    size: int

    @classmethod
    def parse(cls, text: str) -> Stage:
        """``9@16``: nine epochs at 16 x 16; ``100``: a hundred at full size."""
        epochs, _, size = text.partition("@")
        return cls(int(epochs), int(size or SIZE))


def resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 [images, 3, rows, columns], smaller."""
    if size == images.shape[2]:
        return images
    parts = [
        nn.functional.interpolate(
            part.float(), (size, size), mode="bilinear", antialias=True, align_corners=False
        )
        for part in images.split(1000)
    ]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random shifts by up to an eighth of the image, and random mirror images."""
    count, size = len(images), images.shape[2]
    shift = size // 8
    padded = nn.functional.pad(images, (shift, shift, shift, shift))
    offsets = torch.randint(0, 2 * shift + 1, (2, count), generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    rows = (offsets[0][:, None] + torch.arange(size)).to(images.device)
    columns = offsets[1][:, None] + torch.arange(size)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns).to(images.device)
    each = torch.arange(count, device=images.device)[:, None, None]
    picked = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def as_input(images: torch.Tensor) -> torch.Tensor:
    """uint8 [images, 3, rows, columns] to 0..1."""
    return images.float().div_(255).contiguous(memory_format=torch.channels_last)


def one_epoch(
    network: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
    arguments: argparse.Namespace,
) -> tuple[float, float]:
    """All images once, in random order: the mean loss, and the share that was right."""
    batch, device, seen = arguments.batch, x.device, 0
    # Summed where they are: to read a number off a GPU is to wait for it.
    total, right = torch.zeros((), device=device), torch.zeros((), device=device)
    network.train()
    order = torch.randperm(len(x), generator=generator)
    for start in range(0, len(x) - batch + 1, batch):
        chosen = order[start : start + batch].to(device)
        images = as_input(augment(x[chosen], generator))
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bfloat16):
            scores = network(images)
        loss = nn.functional.cross_entropy(scores.float(), y[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        total += loss.detach() * batch
        right += (scores.argmax(1) == y[chosen]).sum()
        seen += batch
    return float(total) / seen, float(right) / seen


def train(name: str, data: dict[str, np.ndarray], arguments: argparse.Namespace) -> nn.Module:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    network = NETWORKS[name]().to(device, memory_format=torch.channels_last)
    if arguments.initial is not None:
        begun = torch.load(arguments.initial, map_location=device, weights_only=True)
        network.load_state_dict(begun["network"])
    x = torch.from_numpy(data["x_train"].transpose(0, 3, 1, 2).copy()).to(device)
    y = torch.from_numpy(data["y_train"]).to(device)
    stages = [Stage.parse(text) for text in arguments.epochs or EPOCHS[name].split()]
    sizes = [stage.size for stage in stages for _ in range(stage.epochs)]
    epochs = len(sizes)
    small = x
    decayed = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    optimiser = torch.optim.SGD(
        [{"params": decayed, "weight_decay": arguments.decay}, {"params": others}],
        lr=arguments.rate, momentum=0.9, nesterov=True,
    )  # fmt: skip
    steps = epochs * (len(x) // arguments.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, arguments.rate, total_steps=steps, pct_start=0.15, cycle_momentum=False
    )
    checkpoint = arguments.checkpoints / f"{name}.pt"
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"].cpu())
        first = state["epoch"]
        print(f"resuming after epoch {first}")
    for epoch in range(first, epochs):
        started = time.perf_counter()
        if small.shape[2] != sizes[epoch]:
            small = resized(x, sizes[epoch])
        loss, accuracy = one_epoch(network, small, y, optimiser, schedule, generator, arguments)
        state = {
            "epoch": epoch + 1,
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "generator": generator.get_state(),
        }
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(checkpoint) as temporary:
            torch.save(state, temporary)
        every = epoch % 5 == 4 or epoch + 1 == epochs
        test = f", test {float_accuracy(network, data, device):.2%}" if every else ""
        print(
            f"epoch {epoch + 1}/{epochs}: loss {loss:.4f}, train {accuracy:.2%}{test}, "
            f"{time.perf_counter() - started:.0f} s",
            flush=True,
        )
    return network


def float_accuracy(network: nn.Module, data: dict[str, np.ndarray], device: torch.device) -> float:
    network.eval()
    x = torch.from_numpy(data["x_test"].transpose(0, 3, 1, 2).copy())
    right = 0
    with torch.inference_mode():
        for start in range(0, len(x), 500):
            scores = network(as_input(x[start : start + 500].to(device)))
            labels = torch.from_numpy(data["y_test"][start : start + 500]).to(device)
            right += int((scores.argmax(1) == labels).sum())
    return right / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoints", type=Path, default=Path("build/training"))
    parser.add_argument(
        "--output", type=Path, default=None, help="default: models/NAME_int8.tflite"
    )
    parser.add_argument(
        "--initial", type=Path, default=None,
        help="begin with the weights of this checkpoint: another cycle of learning rates",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", nargs="+", default=None, metavar="N[@SIZE]",
        help="epochs, and the size of images in them where it is not 32; several are stages of one "
        f"cycle of learning rates; default: {EPOCHS}",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--decay", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bfloat16", action="store_true", help="mixed precision")
    arguments = parser.parse_args()
    data = load_images(arguments.data, arguments.checkpoints / "cifar10.npz")
    network = train(arguments.network, data, arguments).float()
    exact = float_accuracy(network.cpu(), data, torch.device("cpu"))
    rng = np.random.default_rng(arguments.seed)
    calibration = data["x_train"][rng.choice(len(data["x_train"]), 512, replace=False)]
    model = quantise(arguments.network, network, calibration)
    output = arguments.output or Path("models") / f"{arguments.network}_int8.tflite"
    save_model(model, output)
    x = quantise_examples(model.input, data["x_test"])
    int8 = Emulator(model).accuracy(x, data["y_test"])
    print(json.dumps({"network": arguments.network, "float": exact, "int8": int8}))


if __name__ == "__main__":
    main()
