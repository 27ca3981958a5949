# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How far int8 networks that onnxruntime quantised agree with onnxruntime itself. One command:

    python benchmarks/onnx/run.py --data cifar10-jpeg.tar.xz

Trains three small CIFAR-10 networks in PyTorch for a few epochs, exports them to ONNX, quantises
them with onnxruntime (QDQ and QOperator, int8 and uint8 activations), and computes test images with
both. Also quantises the float ONNX file with axynq. Needs the extra `onnx`, onnxruntime and torch.
Writes results.json beside this file (or to --output).
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, save

from axynq.emulator import Emulator, load_model
from axynq.emulator.datasets import load_dataset
from axynq.emulator.frameworks.float_files import load_float_network
from axynq.emulator.quantisation.quantise import quantise

HERE = Path(__file__).parent

CALIBRATION = 256


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[Any]:
    padding = kernel // 2
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv(inputs, outputs, 3, stride), nn.ReLU(), *conv(outputs, outputs)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv(inputs, outputs, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class Inverted(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = inputs * 4
        self.body = nn.Sequential(
            *conv(inputs, wide, 1), nn.ReLU6(), *conv(wide, wide, 3, stride, wide), nn.ReLU6(),
            *conv(wide, outputs, 1),
        )  # fmt: skip
        self.same = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.same else self.body(x)


class Fire(nn.Module):
    def __init__(self, inputs: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(*conv(inputs, narrow, 1), nn.ReLU())
        self.left = nn.Sequential(*conv(narrow, wide, 1), nn.ReLU())
        self.right = nn.Sequential(*conv(narrow, wide, 3), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x)
        return torch.cat([self.left(x), self.right(x)], 1)


def ending(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


NETWORKS = {
    "ResNet-8": lambda: nn.Sequential(
        *conv(3, 16), nn.ReLU(), Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2),
        *ending(64),
    ),
    "MobileNet": lambda: nn.Sequential(
        *conv(3, 16, 3, 2), nn.Hardswish(), Inverted(16, 16, 1), Inverted(16, 24, 2),
        Inverted(24, 24, 1), Inverted(24, 32, 2), *conv(32, 96, 1), nn.Hardswish(), *ending(96),
    ),
    "SqueezeNet": lambda: nn.Sequential(
        *conv(3, 32, 3, 2), nn.ReLU(), Fire(32, 12, 24), Fire(48, 12, 24),
        nn.MaxPool2d(3, 2, ceil_mode=True), Fire(48, 16, 48), nn.Dropout(0.1), nn.Conv2d(96, 10, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ),
}  # fmt: skip


def reals(images: np.ndarray) -> np.ndarray:
    """uint8 images [images, rows, columns, 3] as the networks take them, channels first."""
    return np.ascontiguousarray((images.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2))


def trained(name: str, x: np.ndarray, y: np.ndarray, epochs: int) -> nn.Module:
    torch.manual_seed(0)
    module = NETWORKS[name]()
    batch = 128
    steps = epochs * (len(x) // batch)
    optimiser = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.2, total_steps=steps + 1)
    images, labels = torch.from_numpy(x), torch.from_numpy(y)
    module.train()
    for epoch in range(epochs):
        order, total = torch.randperm(len(images)), 0.0
        for start in range(0, len(images) - batch + 1, batch):
            chosen = order[start : start + batch]
            part = images[chosen]
            part = part.flip(3) if start // batch % 2 else part
            loss = nn.functional.cross_entropy(module(part), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss)
        print(f"{name}: epoch {epoch + 1}, loss {total / (len(images) // batch):.3f}", flush=True)
    return module.eval()


def quantised(source: Path, target: Path, x: np.ndarray, form: str, unsigned: bool) -> None:
    """By onnxruntime, per channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(x)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.images, None)
            return None if image is None else {"x": image[None]}

    static(
        source, target, Reader(), quant_format=QuantFormat[form], per_channel=True,
        activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )  # fmt: skip


def of_onnxruntime(path: Path, x: np.ndarray, optimised: bool) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"x": part})[0] for part in np.array_split(x, len(x) // 100)]
    return np.concatenate(parts)


def compared(path: Path, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Our outputs and onnxruntime's."""
    model = load_model(path)
    tensor = model.output
    mine = Emulator(model).run(x.transpose(0, 2, 3, 1)).astype(np.int64)
    figures: dict[str, Any] = {"accuracy": float((mine.argmax(axis=1) == y).mean())}
    for optimised in (False, True):
        real = of_onnxruntime(path, x, optimised)
        steps = np.rint(real / np.float32(tensor.scale)).astype(np.int64) + tensor.zero_point
        difference = np.abs(mine - np.clip(steps, -128, 127))
        figures["optimised" if optimised else "as written"] = {
            "accuracy": float((real.argmax(axis=1) == y).mean()),
            "outputs_that_differ": float((difference > 0).mean()),
            "largest_difference": int(difference.max()),
            "classes_that_agree": float((mine.argmax(axis=1) == real.argmax(axis=1)).mean()),
        }
    return figures


def measure(name: str, module: nn.Module, train: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any:
    figures: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        source = Path(folder) / "float.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, which says that there is a newer one
            torch.onnx.export(
                module, (torch.from_numpy(x[:1]),), source, input_names=["x"], output_names=["y"],
                dynamic_axes={"x": {0: "images"}, "y": {0: "images"}}, dynamo=False,
                opset_version=17,
            )  # fmt: skip
        real = of_onnxruntime(source, x, True)
        figures["float_accuracy"] = float((real.argmax(axis=1) == y).mean())
        for form in ("QDQ", "QOperator"):
            for unsigned in (False, True):
                key = f"{form} {'uint8' if unsigned else 'int8'}"
                target = Path(folder) / f"{key}.onnx"
                quantised(source, target, train[:CALIBRATION], form, unsigned)
                figures[key] = compared(target, x, y)
                print(name, key, figures[key], flush=True)
        network = load_float_network(source)
        last = train[:CALIBRATION].transpose(0, 2, 3, 1)
        own = Emulator(quantise(network, last).model)
        figures["quantised by axynq"] = {"accuracy": own.accuracy(x.transpose(0, 2, 3, 1), y)}
        print(name, figures["float_accuracy"], figures["quantised by axynq"], flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="CIFAR-10, as axynq evaluate takes"
    )
    parser.add_argument("--epochs", type=int, default=4, help="of training")
    parser.add_argument("--examples", type=int, default=50_000, help="trained on")
    parser.add_argument("--images", type=int, default=10_000, help="compared")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    train = load_dataset(options.data, "train").evenly(options.examples)
    test = load_dataset(options.data, "test").evenly(options.images)
    order = np.random.default_rng(0).permutation(len(train.x))
    x_train, y_train = reals(train.x[order]), train.y[order].astype(np.int64)
    x_test, y_test = reals(test.x), test.y.astype(np.int64)
    figures = {}
    for name in NETWORKS:
        module = trained(name, x_train, y_train, options.epochs)
        figures[name] = measure(name, module, x_train, x_test, y_test)
    from importlib.metadata import version

    versions = {package: version(package) for package in ("onnx", "onnxruntime")}
    content = {
        "machine": machine(), "versions": versions, "epochs": options.epochs,
        "examples": len(x_train), "images": len(x_test), "calibration_images": CALIBRATION,
        "networks": figures,
    }  # fmt: skip
    save(options.output, content)


if __name__ == "__main__":
    main()
