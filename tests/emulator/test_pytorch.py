# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""PyTorch modules as int8 networks: the same function, to what 8 bits allow, and back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan
from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.file_formats.tflite_reader import parse_model
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from axynq.emulator.model.segments import fingerprint
from axynq.emulator.quantisation import forward
from axynq.emulator.quantisation.quantise import Options, Quantised, quantise
from axynq.emulator.quantisation.report import decibels, layer_losses
from tests.emulator import runtime

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn import functional

from axynq.emulator.frameworks.float_files import load_float_network
from axynq.emulator.frameworks.pytorch import (
    float_network,
    from_torch,
    quantised_module,
    to_torch,
    write_back,
)


class Function(nn.Module):
    """A module that is a function of its input, with a layer before so that maps are computed."""

    def __init__(self, function: Callable[[Any], Any], channels: int = 4) -> None:
        super().__init__()
        self.function = function
        self.first = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Any) -> Any:
        return self.function(self.first(x))


def with_statistics(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with random normalisations, ready to be evaluated."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            for values, low, high in (
                (part.running_mean, -0.5, 0.5), (part.running_var, 0.5, 2),
                (part.weight, 0.5, 1.5), (part.bias, -0.5, 0.5),
            ):  # fmt: skip
                if values is not None:
                    values.data.uniform_(low, high, generator=generator)
    return module.eval()


def examples(shape: tuple[int, ...], count: int = 24) -> Any:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


def turned(x: Any) -> np.ndarray:
    array = np.asarray(x.detach().numpy())
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def check(
    module: nn.Module, shape: tuple[int, ...], bound: float = 30.0, runtime_too: bool = True
) -> Quantised:
    """Float network and module agree to rounding, the int8 network to ``bound`` dB; what is written
    to a file is what TFLite's reference kernels compute."""
    torch.manual_seed(0)
    module, x = with_statistics(module), examples(shape)
    quantised = quantised_module(module, x)
    with torch.no_grad():
        expected = module(x)
    given = turned(x)
    target = quantised.network.outputs[0]
    real = forward.run(quantised.network, given, quantised.network.outputs)[target]
    wanted = turned(expected) if real.shape != tuple(expected.shape) else expected.numpy()
    np.testing.assert_allclose(real, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    model = quantised.model
    y = Emulator(model).run(given)
    found = model.output.dequantise(y)
    noise = float(np.square(found - wanted).sum())
    assert decibels(float(np.square(wanted).sum()), noise) > bound
    if runtime_too:
        content = serialise_model(model)
        given8 = model.input.batch(given[:3])
        np.testing.assert_array_equal(runtime.run("tflite_runtime", content, given8), y[:3])
        np.testing.assert_array_equal(Emulator(parse_model(content)).run(given8), y[:3])
    return quantised


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "relu": functional.relu,
    "relu6": lambda x: functional.relu6(4 * x),
    "hard_swish": functional.hardswish,
    "hard_sigmoid": lambda x: functional.hardsigmoid(3 * x),
    "silu": functional.silu,
    "leaky_relu": functional.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "elu": functional.elu,
    "clamp": lambda x: x.clamp(-0.5, 0.7),
    "hard_tanh": functional.hardtanh,
    "exp": torch.exp,
    "abs": torch.abs,
    "neg": torch.neg,
    "square": lambda x: x * x,
    "scale": lambda x: (x * 3 + 1) / 2 - 0.25,
    "from_one": lambda x: 1 - torch.sigmoid(x),
    "max_pool": lambda x: functional.max_pool2d(x, 3, 2, 1),
    "max_pool_up": lambda x: functional.max_pool2d(x, 3, 2, ceil_mode=True),
    "avg_pool": lambda x: functional.avg_pool2d(x, 2),
    "avg_pool_padded": lambda x: functional.avg_pool2d(x, 3, 2, 1),
    "adaptive": lambda x: functional.adaptive_avg_pool2d(x, (3, 2)),
    "adaptive_max": lambda x: functional.adaptive_max_pool2d(x, (6, 2)),
    "adaptive_one": lambda x: functional.adaptive_avg_pool2d(x, 1).flatten(1),
    "mean": lambda x: x.mean(dim=(2, 3)),
    "mean_rows": lambda x: x.mean(dim=2),
    "mean_channels": lambda x: x.mean(dim=1, keepdim=True),
    "sum": lambda x: x.sum(dim=(-2, -1)),
    "amax": lambda x: x.amax(dim=(2, 3)),
    "cat": lambda x: torch.cat([x, functional.relu(x)], 1),
    "cat_rows": lambda x: torch.cat([x, 0.5 * x], 2),
    "stack": lambda x: torch.stack([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], 1).flatten(1),
    "chunk": lambda x: x.chunk(2, 1)[0] * torch.sigmoid(x.chunk(2, 1)[1]),
    "split": lambda x: torch.add(*x.split([2, 2], dim=1)),
    "slice": lambda x: x[:, 1:3, ::2, 1:-1],
    "select": lambda x: x[:, :, 0].flatten(1),
    "flip": lambda x: x.flip(3),
    "permute": lambda x: x.permute(0, 2, 3, 1).reshape(len(x), -1),
    "transpose": lambda x: x.transpose(2, 3),
    "view": lambda x: x.view(x.size(0), 2, -1),
    "shuffle": lambda x: functional.channel_shuffle(x, 2),
    "pixel_shuffle": lambda x: functional.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda x: functional.pixel_unshuffle(x, 2),
    "nearest": lambda x: functional.interpolate(x, scale_factor=2),
    "bilinear": lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"),
    "aligned": lambda x: functional.interpolate(
        x, size=(16, 9), mode="bilinear", align_corners=True
    ),
    "softmax": lambda x: torch.softmax(x.flatten(1)[:, :10], 1),
    "softmax_channels": lambda x: torch.softmax(x, 1),
    "log_softmax": lambda x: torch.log_softmax(x.flatten(1)[:, :10], -1),
    "pad": lambda x: functional.pad(x, (1, 2, 0, 1)),
    "pad_value": lambda x: functional.pad(x, (1, 1), value=0.5),
    "reflected": lambda x: functional.pad(x, (2, 1, 0, 3), mode="reflect"),
    "replicated": lambda x: functional.pad(x, (1, 2, 2, 0), mode="replicate"),
    "circular": lambda x: functional.pad(x, (1, 2, 2, 0), mode="circular"),
    "cropped": lambda x: functional.pad(x, (-1, -1, 0, 0)),
    "squeeze_excite": lambda x: x * torch.sigmoid(x.mean(dim=(2, 3), keepdim=True)),
    "maximum": lambda x: torch.maximum(x, 0.5 * x),
    "minimum": lambda x: torch.minimum(x, -x),
    "subtract": lambda x: x - functional.relu(x),
    "add_alpha": lambda x: torch.add(x, x.flip(2), alpha=0.5),
    "dropout": lambda x: functional.dropout(x, 0.5, training=False),
    "power": lambda x: x**2,
    "first_power": lambda x: x**1,
    "of_channels": lambda x: x * NUMBERS + NUMBERS.sign(),
    "add_alpha_of_channels": lambda x: torch.add(x, NUMBERS, alpha=0.5),
    "of_a_part": lambda x: x * torch.cat([NUMBERS, 2 * NUMBERS]).split(4)[1],
    "of_a_number": lambda x: x * NUMBERS.sum().item(),
    "clamp_number": lambda x: x.clamp(min=NUMBERS[1, 0, 0]),
    "converted": lambda x: x.double().float().clone().contiguous(),
    "expand": lambda x: x.expand(-1, -1, 12, -1) + x,
    "all_images": lambda x: x[:, 1:] - x[0:, :3],
    "unbind": lambda x: torch.sub(*x[:, :2].unbind(1)),
    "flip_nothing": lambda x: x.flip(()) * 2,
    "numbers_first": lambda x: NUMBERS * x + torch.maximum(NUMBERS, x),
    "softmax_rows": lambda x: torch.softmax(x, 2),
    "adaptive_up": lambda x: functional.adaptive_avg_pool2d(x, (24, 12)),
    "viewed": lambda x: x.reshape(x.shape) + 1,
    "pad_values": lambda x: functional.pad(x.flatten(1), (1, 2)),
    "replicated_far": lambda x: functional.pad(x, (8, 7, 0, 0), mode="replicate"),
    "max_pool_beyond": lambda x: functional.max_pool2d(x, 2, 4, 1, ceil_mode=True),
    "avg_pool_beyond": lambda x: functional.avg_pool2d(x, 2, 4, 1, ceil_mode=True),
    "max_pool_of_sigmoid": lambda x: functional.max_pool2d(torch.sigmoid(x), 3, 1, (1, 0)),
    "max_pool_of_tanh": lambda x: functional.max_pool2d(torch.tanh(x), 3, 1, (1, 0)),
    "flip_both": lambda x: x.flip((-1, 2)),
    "matmul": lambda x: x @ torch.cat([NUMBERS, NUMBERS]).reshape(2, 4)[:, :3].repeat(3, 1),
}

NUMBERS = torch.tensor([1.5, -0.5, 0.75, 1]).reshape(4, 1, 1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    low = {"softmax": 22, "softmax_channels": 25, "exp": 28, "elu": 28, "log_softmax": 28}
    check(Function(FUNCTIONS[name]), (4, 12, 6), low.get(name, 30), name != "sum")


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv": (lambda: nn.Conv2d(3, 5, 3), (3, 9, 8)),
    "conv_stride": (lambda: nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=1), (3, 8, 8)),
    "conv_same": (lambda: nn.Conv2d(3, 5, 4, padding="same"), (3, 8, 8)),
    "conv_dilated": (lambda: nn.Conv2d(3, 5, 3, dilation=2, padding=2), (3, 8, 8)),
    "conv_valid": (lambda: nn.Conv2d(3, 5, 3, padding="valid", dilation=2), (3, 8, 8)),
    "grouped": (lambda: nn.Conv2d(6, 9, 3, groups=3, padding=1), (6, 6, 6)),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1, stride=2), (4, 12, 10)),
    "multiplied": (lambda: nn.Conv2d(4, 12, 3, groups=4), (4, 6, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), (4, 5, 5)),
    "transposed_odd": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), (4, 5, 5),
    ),
    "transposed_valid": (lambda: nn.ConvTranspose2d(4, 6, 2, stride=2), (4, 5, 5)),
    "conv1d": (lambda: nn.Conv1d(3, 5, 3, padding=1), (3, 12)),
    "transposed1d": (lambda: nn.ConvTranspose1d(3, 5, 4, stride=2, padding=1), (3, 7)),
    "max_pool1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 2), nn.MaxPool1d(3, 2)), (3, 12)),
    "avg_pool1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 2), nn.AvgPool1d(2)), (3, 12)),
    "adaptive1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.AdaptiveAvgPool1d(5)), (3, 12)),
    "linear": (lambda: nn.Linear(20, 7), (20,)),
    "linear_of_positions": (lambda: nn.Linear(6, 7), (5, 6)),
    "flatten": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)),
        (3, 8, 8),
    ),
    "flatten_relu": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.ReLU(), nn.Linear(144, 5)),
        (3, 8, 8),
    ),
    "norm": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU6()),
        (3, 8, 8),
    ),
    "padded": (
        lambda: nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3), nn.ReLU()), (3, 8, 8),
    ),
    "norm_plain": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), (3, 8, 8),
    ),
    "norm_first": (
        lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1)),
        (3, 8, 8),
    ),
    "norm_linear": (
        lambda: nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)),
        (8,),
    ),
    "prelu": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4)), (3, 8, 8)),
    "prelu_one": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU()), (3, 8, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    check(make(), shape, 30)


# --- networks ------------------------------------------------------------------------------------


def unit(inputs: int, filters: int, *more: int, act: Any = nn.ReLU6, **options: Any) -> list[Any]:
    conv = nn.Conv2d(inputs, filters, *more, bias=False, **options)
    return [conv, nn.BatchNorm2d(filters), *([act()] if act else [])]


class Inverted(nn.Module):
    """MobileNetV2's block."""

    def __init__(self, inputs: int, filters: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.same = stride == 1 and inputs == filters
        self.conv = nn.Sequential(
            *(unit(inputs, hidden, 1) if expansion > 1 else []),
            *unit(hidden, hidden, 3, stride, 1, groups=hidden),
            *unit(hidden, filters, 1, act=None),
        )

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.same else self.conv(x)


def mobilenet_v2() -> nn.Module:
    """As torchvision has it."""
    parts, inputs = unit(3, 32, 3, 2, 1), 32
    for expansion, filters, repeats, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            parts.append(Inverted(inputs, filters, 1 if repeat else stride, expansion))
            inputs = filters
    parts += unit(inputs, 1280, 1)
    parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 1000)]
    return nn.Sequential(*parts)


class Basic(nn.Module):
    """ResNet's block."""

    def __init__(self, inputs: int, filters: int, stride: int) -> None:
        super().__init__()
        first = unit(inputs, filters, 3, stride, 1, act=nn.ReLU)
        self.conv = nn.Sequential(*first, *unit(filters, filters, 3, 1, 1, act=None))
        self.downsample = (
            nn.Sequential(*unit(inputs, filters, 1, stride, act=None)) if stride > 1 else None
        )

    def forward(self, x: Any) -> Any:
        return torch.relu(self.conv(x) + (self.downsample(x) if self.downsample else x))


def resnet18() -> nn.Module:
    """As torchvision has it."""
    parts = [*unit(3, 64, 7, 2, 3, act=nn.ReLU), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        parts += [Basic(inputs, filters, stride), Basic(filters, filters, 1)]
        inputs = filters
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


class Fire(nn.Module):
    """SqueezeNet's block."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.one = nn.Conv2d(squeeze, expand, 1)
        self.three = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.one(x)), torch.relu(self.three(x))], 1)


def squeezenet() -> nn.Module:
    """As torchvision has it, version 1.1."""
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool, Fire(64, 16, 64), Fire(128, 16, 64), pool,
        Fire(128, 32, 128), Fire(256, 32, 128), pool, Fire(256, 48, 192), Fire(384, 48, 192),
        Fire(384, 64, 256), Fire(512, 64, 256), nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "bound", "layers"),
    [
        (mobilenet_v2, 22, 53),
        pytest.param(resnet18, 26, 21, marks=pytest.mark.thorough),
        pytest.param(squeezenet, 27, 26, marks=pytest.mark.thorough),
    ],
)
def test_known_architectures(make: Callable[[], nn.Module], bound: float, layers: int) -> None:
    """With random weights, as torchvision begins with, on small images."""
    torch.manual_seed(0)
    module = make().eval()
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
    x = torch.randn(8, 3, 32, 32)
    quantised = quantised_module(module, x)
    assert len(quantised.model.layers) == layers
    with torch.no_grad():
        expected = module(x).numpy()
    given = turned(x)
    output = quantised.network.outputs[0]
    real = forward.run(quantised.network, given, [output])[output]
    np.testing.assert_allclose(real, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    model = quantised.model
    y = Emulator(model).run(given)
    noise = np.square(model.output.dequantise(y) - expected).sum()
    assert decibels(float(np.square(expected).sum()), float(noise)) > bound
    for loss in layer_losses(quantised, given):
        assert loss.own > 33, loss
    given8 = model.input.batch(given[:1])
    for engine in ("portable", "auto"):
        np.testing.assert_array_equal(Emulator(model, engine=engine).run(given8), y[:1])
    found = runtime.run("tflite_runtime", serialise_model(model), given8)
    np.testing.assert_array_equal(found, y[:1])


class Detector(nn.Module):
    """Classes and boxes at two scales, in one list."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*unit(3, 8, 3, 2, 1), *unit(8, 16, 3, 2, 1))
        self.classes = nn.ModuleList(nn.Conv2d(16, 6, 3, s, 1) for s in (1, 2))
        self.boxes = nn.ModuleList(nn.Conv2d(16, 8, 3, s, 1) for s in (1, 2))

    def forward(self, x: Any) -> Any:
        x = self.body(x)

        def listed(heads: Any, values: int) -> Any:
            maps = [head(x).permute(0, 2, 3, 1) for head in heads]
            return torch.cat([y.reshape(len(y), -1, values) for y in maps], 1)

        return listed(self.classes, 3).softmax(-1), listed(self.boxes, 4)


def test_a_detector() -> None:
    module, x = with_statistics(Detector()), examples((3, 32, 24))
    model = from_torch(module, x)
    # Channels last, nothing has to be turned.
    assert not any(isinstance(op, graph.Transpose) for op in model.operators)
    y = Emulator(model).run(turned(x))
    with torch.no_grad():
        expected = module(x)
    for integers, wanted, index in zip(y, expected, model.outputs):
        difference = model.tensors[index].dequantise(integers) - wanted.numpy()
        signal = float(wanted.square().sum())
        assert decibels(signal, float(np.square(difference).sum())) > 30
    given8 = model.input.batch(turned(x[:2]))
    found = runtime.run_all("tflite_runtime", serialise_model(model), [given8])
    for integers, other in zip(y, found):
        np.testing.assert_array_equal(integers[:2], other)


# --- quantised already ---------------------------------------------------------------------------


INT8 = (-128, 127, torch.int8)


def decomposed() -> Any:
    """What PT2E quantises with."""
    import torch.ao.quantization.fx._decomposed

    return torch.ops.quantized_decomposed


def through(x: Any, scale: float, zero: int) -> Any:
    """Through int8 and back."""
    q = decomposed().quantize_per_tensor(x, scale, zero, *INT8)
    return decomposed().dequantize_per_tensor(q, scale, zero, *INT8)


class Quantised8(nn.Module):
    """What PT2E makes of a convolution, a ReLU, a pooling and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        integers = torch.randint(-127, 128, (4, 3, 3, 3), generator=generator)
        self.register_buffer("conv", integers.to(torch.int8))
        self.register_buffer("scales", torch.tensor([0.01, 0.02, 0.005, 0.03]))
        self.register_buffer("zeros", torch.zeros(4, dtype=torch.int64))
        self.register_buffer("bias", torch.randn(4, generator=generator))
        integers = torch.randint(-127, 128, (3, 4), generator=generator)
        self.register_buffer("linear", integers.to(torch.int8))

    def forward(self, x: Any) -> Any:
        ops = decomposed()
        x = through(x, 0.03, 5)
        weights = ops.dequantize_per_channel(
            self.conv, self.scales, self.zeros, 0, -127, 127, torch.int8
        )
        x = through(torch.relu(functional.conv2d(x, weights, self.bias)), 0.05, -128)
        x = through(functional.adaptive_avg_pool2d(x, 1).flatten(1), 0.04, -100)
        weights = ops.dequantize_per_tensor(self.linear, 0.02, 0, -127, 127, torch.int8)
        return through(functional.linear(x, weights), 0.07, 3)


def test_quantised_modules_keep_their_scales() -> None:
    module, x = Quantised8(), examples((3, 6, 6))
    model = from_torch(module, x[:1])
    scales = {round(tensor.scale, 6): tensor.zero_point for tensor in model.tensors}
    assert scales == {0.03: 5, 0.05: -128, 0.04: -100, 0.07: 3}
    np.testing.assert_array_equal(model.layers[0].kernel.transpose(0, 3, 1, 2), module.conv.numpy())
    np.testing.assert_allclose(model.layers[0].weight_scales, module.scales.numpy())
    expected = module(x).numpy() / 0.07 + 3
    found = Emulator(model).run(turned(x))
    # PyTorch rounds once, the contract twice.
    assert np.abs(found - np.rint(expected)).max() <= 1
    assert (found == np.rint(expected)).mean() > 0.9


class FakeQuantised(nn.Module):
    """What training for quantisation leaves: real numbers on a grid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("scales", torch.tensor([0.005, 0.01, 0.02, 0.004]))
        self.register_buffer("zeros", torch.zeros(4, dtype=torch.int32))

    def forward(self, x: Any) -> Any:
        x = torch.fake_quantize_per_tensor_affine(x, 0.03, 5, -128, 127)
        weights = torch.fake_quantize_per_channel_affine(
            self.conv.weight, self.scales, self.zeros, 0, -127, 127
        )
        y = torch.relu(functional.conv2d(x, weights, self.conv.bias))
        return torch.fake_quantize_per_tensor_affine(y, 0.02, 0, 0, 255)


def test_modules_trained_for_quantisation_keep_their_scales() -> None:
    torch.manual_seed(0)
    module, x = FakeQuantised(), examples((3, 6, 6))
    model = from_torch(module, x[:1])
    assert [t.zero_point for t in model.tensors] == [5, -128]
    np.testing.assert_array_equal(model.layers[0].weight_scales, module.scales.numpy())
    expected = np.rint(turned(module(x)) / 0.02) - 128
    found = Emulator(model).run(turned(x))
    assert np.abs(found - expected).max() <= 1
    assert (found == expected).mean() > 0.95


class Of(nn.Module):
    """A function of its inputs alone."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Any) -> Any:
        return self.function(*x)


def test_tensors_that_are_quantised_again() -> None:
    """In the same way nothing happens; in another way there is a table."""
    module = Of(lambda x: through(through(through(x, 0.03, 5), 0.03, 5), 0.05, -3))
    x = examples((3, 6, 6))
    model = from_torch(module, x)
    assert [(t.scale, t.zero_point) for t in model.tensors] == [
        (pytest.approx(0.03), 5), (pytest.approx(0.05), -3),
    ]  # fmt: skip
    assert [op.kind for op in model.operators if isinstance(op, graph.Lookup)] == ["quantise"]
    expected = np.rint(turned(module(x)) / 0.05) - 3
    found = Emulator(model).run(turned(x))
    assert np.abs(found - expected).max() <= 1  # a tie is rounded otherwise
    assert (found == expected).mean() > 0.95


@pytest.mark.parametrize("known", [False, True])
def test_zeros_around_a_map_are_a_layers_own(known: bool) -> None:
    """But where they are said to have a quantisation of their own."""
    torch.manual_seed(0)
    conv, x = nn.Conv2d(3, 4, 3), examples((3, 6, 6))

    def function(x: Any) -> Any:
        x = functional.pad(through(x, 0.03, 5), (1, 1, 1, 1))
        return conv(through(x, 0.03, 5) if known else x)

    module = Of(function)
    module.conv = conv
    model = from_torch(module, x)
    kinds = [type(op) for op in model.operators]
    assert kinds == ([graph.Pad, graph.Convolution] if known else [graph.Convolution])
    found = model.output.dequantise(Emulator(model).run(turned(x)))
    expected = turned(module(x))
    assert decibels(float(np.square(expected).sum()), float(np.square(found - expected).sum())) > 35


@pytest.mark.parametrize(("dtype", "zero"), [(torch.quint8, 133), (torch.qint8, 5)])
def test_pytorchs_own_quantised_tensors(dtype: Any, zero: int) -> None:
    """What has its limits in its type, uint8 shifted to int8."""
    x = examples((3, 6, 6))
    module = Of(lambda x: torch.relu(torch.quantize_per_tensor(x, 0.03, zero, dtype).dequantize()))
    model = from_torch(module, x)
    assert (model.input.scale, model.input.zero_point) == (pytest.approx(0.03), 5)
    steps = np.clip(np.rint(turned(x) / np.float32(0.03)) + 5, -128, 127)
    np.testing.assert_array_equal(model.input.quantise(turned(x)), steps)


class OneScale(FakeQuantised):
    """Weights on a grid of one scale and zero point."""

    def __init__(self, zero: int) -> None:
        super().__init__()
        self.zero = zero

    def forward(self, x: Any) -> Any:
        weights = torch.fake_quantize_per_tensor_affine(
            self.conv.weight, 0.01, self.zero, -128, 127
        )
        return functional.conv2d(x, weights, self.conv.bias)


@pytest.mark.parametrize("zero", [0, 4])
def test_weights_on_a_grid_of_one_scale(zero: int) -> None:
    torch.manual_seed(0)
    module, x = OneScale(zero), examples((3, 6, 6))
    network = float_network(module, x)
    found = forward.run(network, turned(x))[network.outputs[0]]
    np.testing.assert_allclose(found, turned(module(x)), atol=1e-5)
    kept = network.layers[0].weight_scales
    assert (kept is None) == (zero != 0)  # int8 weights here have no zero point
    if kept is not None:
        np.testing.assert_array_equal(kept, np.full(4, 0.01, np.float32))


def exported(function: Callable[..., Any], *given: Any, **options: Any) -> Any:
    return torch.export.export(Of(function), given, **options)


def test_programs_of_one_image() -> None:
    """Axes that are all named, or none, are those of the image."""
    x = examples((4, 6, 6))
    for function in (
        lambda x: x.mean(dim=None, keepdim=True),
        lambda x: x.sum(dim=(), keepdim=True),
    ):
        network = float_network(exported(function, x[:1]), x)
        found = forward.run(network, turned(x))[network.outputs[0]]
        expected = torch.cat([function(image[None]) for image in x])
        np.testing.assert_allclose(found, turned(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: decomposed().quantize_per_tensor.tensor(
            x, x.mean((1, 2, 3)), torch.tensor(0), *INT8
        ),
        lambda x: (
            x
            * decomposed().dequantize_per_tensor.tensor(
                torch.ones(4, 1, 1, dtype=torch.int8), x.mean((1, 2, 3)), torch.tensor(0), *INT8
            )
        ),
    ],
)
def test_scales_that_are_computed_are_refused(function: Callable[[Any], Any]) -> None:
    x = examples((4, 6, 6))
    with pytest.raises(ModelError, match="a scale that is computed from inputs: quantise statical"):
        float_network(exported(function, x[:1]), x)


IMAGES = {"x": ({0: torch.export.Dim("images", min=2, max=64)},)}


def test_programs_of_any_number_of_images() -> None:
    """Shapes may be of that number."""
    x = examples((4, 6, 6))
    program = exported(lambda x: x.view(x.size(0), -1) * 2, x[:3], dynamic_shapes=IMAGES)
    network = float_network(program, x)
    found = forward.run(network, turned(x))[network.outputs[0]]
    np.testing.assert_array_equal(found, 2 * x.flatten(1).numpy())
    mixed = exported(lambda x: x.view(x.size(0) * 4, -1), x[:3], dynamic_shapes=IMAGES)
    with pytest.raises(ModelError, match="mixes the images of a batch"):
        float_network(mixed, x)


def test_programs_of_any_size_are_refused() -> None:
    x = examples((4, 6, 6))
    rows = {"x": ({2: torch.export.Dim("rows", min=2, max=64)},)}
    with pytest.raises(
        ModelError, match=r"sizes that are not fixed, \[3, 4, s\d+, 6\]: export the"
    ):
        float_network(exported(torch.relu, x[:3], dynamic_shapes=rows), x)


def test_inputs_that_are_no_tensors_are_refused() -> None:
    x = examples((4,))
    with pytest.raises(ModelError, match="input 'x_1' is no tensor: networks take tensors only"):
        float_network(exported(lambda x, n: x * n, x[:3], 3), x)
    program = exported(torch.add, x[:3], x[:3])
    with pytest.raises(DataError, match="the network has 2 inputs, and 1 are given"):
        from_torch(program, x)


def test_what_cannot_be_read_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"net.pt2' cannot be read: No such file"):
        load_float_network(tmp_path / "net.pt2")


def test_modules_of_which_nothing_comes_are_refused() -> None:
    x = examples((4, 6, 6))
    with pytest.raises(ModelError, match="'of' gives nothing that is computed from its inputs"):
        from_torch(Of(lambda x: torch.ones(2, 3)), x)
    with pytest.raises(
        ModelError, match=r"cannot be traced for inputs of shape \[\[7, 4, 6, 6\]\]: "
    ):
        from_torch(nn.Conv2d(3, 4, 1), x)
    with pytest.raises(ModelError, match="own statistics: call eval"):
        from_torch(nn.BatchNorm2d(4, track_running_stats=False), x)


@pytest.mark.filterwarnings("ignore:.*quantiz")
def test_modules_that_are_quantised_in_eager_mode_are_refused() -> None:
    module = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 2)))
    with pytest.raises(ModelError, match="'0' was quantised in PyTorch's eager or FX mode"):
        from_torch(module, examples((4,)))


def test_programs_are_read(tmp_path: Path) -> None:
    module, x = with_statistics(LAYERS["norm"][0]()), examples((3, 8, 8))
    path = tmp_path / "net.pt2"
    dynamic = {"input": {0: torch.export.Dim("images", min=2, max=64)}}
    torch.export.save(torch.export.export(module, (x[:3],), dynamic_shapes=dynamic), path)
    network = load_float_network(path)
    assert network.name == "net"
    real = forward.run(network, turned(x))[network.outputs[0]]
    with torch.no_grad():
        np.testing.assert_allclose(real, turned(module(x)), atol=1e-5)
    path.write_bytes(b"no program at all, but a text")
    with pytest.raises(ModelError, match=r"no program that torch.export.save"):
        load_float_network(path)
    with pytest.raises(ModelError, match="from_torch"):
        load_float_network(tmp_path / "net.pth")


def test_what_cannot_be_exported_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = with_statistics(Small()), examples((2, 6, 6))
    with monkeypatch.context() as patched:
        patched.delattr(torch.export, "export")
        network = float_network(module, x)
    with torch.no_grad():
        expected = module(x)
    found = forward.run(network, turned(x))[network.outputs[0]]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Small(),
        lambda: nn.Sequential(
            nn.ConstantPad2d((1, 2, 0, 1), 0.5), nn.ConvTranspose2d(2, 3, 4, 2, 1),
            nn.MaxPool2d(2), nn.ELU(), nn.Dropout(), nn.Softmax(1), nn.Flatten(),
        ),
    ],
)  # fmt: skip
def test_decomposed_programs_are_read(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    """In PyTorch's core operators, of which others are made."""
    torch.manual_seed(0)
    module, x = with_statistics(make()), examples((2, 6, 6))
    path = tmp_path / "core.pt2"
    torch.export.save(torch.export.export(module, (x[:1],)).run_decompositions(), path)
    network = load_float_network(path)
    with torch.no_grad():
        expected = module(x)
    found = forward.run(network, turned(x))[network.outputs[0]]
    np.testing.assert_allclose(found, turned(expected), atol=1e-5)


# --- what is refused -----------------------------------------------------------------------------


@torch.library.custom_op("tests_pytorch::doubled", mutates_args=())
def doubled(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


@doubled.register_fake
def doubled_shape(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def test_all_that_is_unknown_is_named() -> None:
    def function(x: Any) -> Any:
        y = functional.layer_norm(x, x.shape[1:])
        y = y + functional.softplus(x) + functional.group_norm(x, 2)
        return y.flatten(1) @ y.flatten(1).T

    with pytest.raises(ModelError) as error:
        from_torch(Function(function), examples((4, 6, 6)))
    for words in (
        "layer_norm",
        "softplus",
        "use relu",
        "group_norm",
        "train with batch normalisation",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.reshape(-1, 6), "mixes the images"),
        (lambda x: x.permute(1, 0, 2, 3), "moves the images"),
        (lambda x: x.mean(), "images"),
        (lambda x: x / x.sigmoid(), "division by computed"),
        (lambda x: functional.adaptive_avg_pool2d(x, 5), "windows of different sizes"),
        (lambda x: functional.max_pool2d(x, 3, dilation=2), "dilation"),
        (lambda x: torch.bmm(x.flatten(2), x.flatten(2).transpose(1, 2)), "two computed tensors"),
        (lambda x: x.amax(1), "the maximum over axes other than all rows and columns"),
        (lambda x: x[:, 2:2], "a slice of no values"),
        (lambda x: x + x.mean(1), r"'add' of tensors .*, of which one has fewer axes"),
        (lambda x: x + torch.zeros(2, 4, 6, 6), r"numbers \[2, 4, 6, 6\] that differ between im"),
        (
            lambda x: functional.pixel_unshuffle(x[:, None], 2),
            r"a pixel unshuffle of a tensor \[images, 1, 4, 6, 6\]",
        ),
        (
            lambda x: functional.pad(x, (-1, 1, 0, 0), mode="replicate"),
            "padding an axis of 6 by -1 and 1 in mode 'replicate'",
        ),
        (lambda x: x @ x.transpose(2, 3), "two computed tensors"),
        (lambda x: functional.conv2d(x, x[:, :, :1, :1]), "weights of a convolution are computed"),
        (lambda x: x.clamp(min=NUMBERS), "limits that are tensors"),
        (lambda x: functional.elu(x, 0.5), "an ELU with an alpha"),
        (lambda x: x**3, "powers other than squares"),
        (lambda x: 2**x, "powers other than squares"),
        (lambda x: functional.dropout(x, 0.5, training=True), "a dropout that is at work"),
        (lambda x: x.int(), r"network: to \('to'\): values of type int32"),
        (lambda x: functional.avg_pool2d(x, 2, divisor_override=3), "another divisor"),
        (lambda x: x.mean((2, 3), keepdim=True).expand_as(x), "values that are repeated"),
        (lambda x: torch.cat([x, torch.zeros(2, 4, 6, 6)], 1), "concatenation of computed values"),
        (lambda x: torch.stack([x, torch.zeros(2, 4, 6, 6)], 1), "a stack of computed values and"),
        (lambda x: x[:2], r"slice \('slice_1'\): it mixes the images"),
        (lambda x: x[:1], r"slice \('slice_1'\): it mixes the images"),
        (lambda x: functional.pad(x, (0,) * 6 + (1, 0)), "along the images"),
        (lambda x: torch.softmax(x, 0), "along the images"),
        (lambda x: functional.interpolate(x, scale_factor=1.3), "resized by 1.3, which is no whol"),
        (
            lambda x: torch.fake_quantize_per_tensor_affine(x, 0.03, 5, 0, 15),
            "integers from 0 to 1",
        ),
        (
            lambda x: torch.fake_quantize_per_channel_affine(
                x, NUMBERS.abs().flatten(), torch.zeros(4, dtype=torch.int32), 1, -128, 127
            ),
            "activations with a scale for each channel",
        ),
        (
            lambda x: decomposed().dequantize_per_channel(
                decomposed().quantize_per_tensor(x, 0.03, 5, *INT8),
                NUMBERS.abs().flatten(),
                None,
                1,
                *INT8,
            ),
            "activations with a scale for each channel",
        ),
        (
            lambda x: torch.ops.tests_pytorch.doubled(x),
            r"tests_pytorch.doubled.default \('doubled'",
        ),
    ],
)
def test_what_cannot_be_said_is_refused(function: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        from_torch(Function(function), examples((4, 6, 6)))


def test_calibration_inputs_are_checked() -> None:
    module = with_statistics(LAYERS["conv"][0]())
    with pytest.raises(DataError, match="no calibration inputs"):
        from_torch(module, [])
    with pytest.raises(DataError, match="not a float"):
        from_torch(module, 0.5)
    with pytest.raises(DataError, match="not finite"):
        from_torch(module, torch.full((2, 3, 9, 8), torch.nan))
    for nothing in (np.float32(1), np.zeros((0, 3, 9, 8), np.float32)):
        with pytest.raises(DataError, match="there are no calibration inputs"):
            from_torch(module, nothing)


def test_no_more_is_drawn_of_a_loader_than_is_used() -> None:
    module, drawn = with_statistics(LAYERS["linear"][0]()), []

    def batches() -> Any:
        for seed in range(5):
            drawn.append(examples((20,), 300) * (seed + 1))
            yield drawn[-1]

    model = from_torch(module, batches())
    assert len(drawn) == 2
    assert same(model, from_torch(module, torch.cat(drawn)[:512]))


def test_loaders_calibrate() -> None:
    x = examples((3, 9, 8), 20)
    module = with_statistics(LAYERS["conv"][0]())
    data = torch.utils.data.TensorDataset(x, torch.zeros(20))
    loader = torch.utils.data.DataLoader(data, batch_size=6)
    assert same(from_torch(module, loader), from_torch(module, x))


def same(one: graph.Model, other: graph.Model) -> bool:
    return one.tensors == other.tensors and all(
        np.array_equal(a.weights, b.weights) and np.array_equal(a.bias, b.bias)
        for a, b in zip(one.layers, other.layers)
    )


def test_modules_stay_as_they_are() -> None:
    module = LAYERS["norm"][0]().train()
    before = copy.deepcopy(module.state_dict())
    from_torch(module, examples((3, 8, 8)))
    assert module.training
    assert module[1].training
    for name, values in module.state_dict().items():
        assert torch.equal(values, before[name])


# --- there and back ------------------------------------------------------------------------------


class Small(nn.Module):
    """Something of everything that has weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(*unit(2, 6, 3, padding=1))
        self.depthwise = nn.Sequential(*unit(6, 6, 3, padding=1, groups=6, act=nn.ReLU))
        self.grouped = nn.Conv2d(6, 4, 1, groups=2)
        self.classes = nn.Linear(4 * 9, 5)

    def forward(self, x: Any) -> Any:
        x = functional.max_pool2d(self.depthwise(self.first(x)), 2)
        return self.classes(torch.relu(self.grouped(x)).flatten(1))


def test_a_module_computes_what_the_emulator_does() -> None:
    module, x = with_statistics(Small()), examples((2, 6, 6))
    model = from_torch(module, x)
    plan = Plan.parse(model, "roup:1,4")
    approximate = to_torch(model, plan)
    expected = model.output.dequantise(Emulator(model, plan).run(turned(x)))
    found = approximate(x)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-6, atol=1e-7)
    functional.cross_entropy(found, torch.zeros(len(x), dtype=torch.int64)).backward()
    for name, parameter in approximate.named_parameters():
        assert parameter.grad is not None, name
    with pytest.raises(DataError, match="takes inputs"):
        approximate(x[:, :1])
    integers = torch.from_numpy(model.input.quantise(x.numpy()))
    assert torch.equal(approximate(integers), found)


def test_normalisations_alone_go_back() -> None:
    module = with_statistics(LAYERS["norm_first"][0]())
    x = examples((3, 8, 8))
    model, other = from_torch(module, x), with_statistics(LAYERS["norm_first"][0](), seed=3)
    write_back(model, other)
    with torch.no_grad():
        expected, found = module(x).numpy(), other(x).numpy()
    assert decibels(np.square(expected).sum(), np.square(expected - found).sum()) > 35


class Gated(nn.Module):
    """Two inputs, a map and values, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Hardswish())
        self.gate = nn.Linear(3, 4)
        self.up = nn.ConvTranspose2d(8, 2, 2, stride=2)
        self.classes = nn.Linear(8, 3)

    def forward(self, x: Any, y: Any) -> Any:
        x = self.conv(x)
        gated = x * torch.sigmoid(self.gate(y))[:, :, None, None]
        both = torch.cat([gated, x], 1)
        return self.up(both), self.classes(both.mean(dim=(2, 3)))


def test_several_inputs_and_outputs() -> None:
    torch.manual_seed(0)
    module, x, y = Gated().eval(), examples((2, 6, 4)), examples((3,))
    model = from_torch(module, [x, y])
    approximate = to_torch(model, "roup:1,4")
    expected = Emulator(model, "roup:1,4").run([turned(x), y.numpy()])
    x.requires_grad_()
    found = approximate(x, y)
    assert [tuple(values.shape) for values in found] == [(24, 2, 12, 8), (24, 3)]
    for values, integers, index in zip(found, expected, model.outputs):
        real = model.tensors[index].dequantise(integers)
        np.testing.assert_allclose(turned(values), real, rtol=1e-6, atol=1e-7)
    sum(values.square().sum() for values in found).backward()
    assert x.grad.abs().max() > 0
    for name, parameter in approximate.named_parameters():
        assert parameter.grad is not None, name
    write_back(approximate, module)
    approximate.plan = "exact"
    for values, real in zip(approximate(x, y), module(x, y)):
        noise = (values - real).square().sum()
        assert decibels(float(real.detach().square().sum()), float(noise.detach())) > 30
    with pytest.raises(DataError, match="2 inputs, and 1"):
        approximate(x)


def test_a_module_is_trained_and_exported() -> None:
    module, x = with_statistics(Small()), examples((2, 6, 6))
    model = from_torch(module, x)
    approximate = to_torch(model, "smapprox:3333")
    wanted = module(x).detach()
    optimiser = torch.optim.Adam(approximate.parameters(), lr=2e-3)
    losses = []
    for _ in range(15):
        loss = functional.mse_loss(approximate(x), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    trained = approximate.export()
    assert trained.tensors == model.tensors
    expected = trained.output.dequantise(Emulator(trained, "smapprox:3333").run(turned(x)))
    np.testing.assert_allclose(approximate(x).detach().numpy(), expected, rtol=1e-6, atol=1e-7)


def test_weights_go_back() -> None:
    module, x = with_statistics(Small()), examples((2, 6, 6))
    model = from_torch(module, x)
    other = with_statistics(Small(), seed=5)
    write_back(to_torch(model), other)
    with torch.no_grad():
        expected, found = module(x).numpy(), other(x).numpy()
    assert decibels(np.square(expected).sum(), np.square(expected - found).sum()) > 35
    # What was quantised once is on the grid: the same network comes of it.
    again = from_torch(other, x)
    for layer, first in zip(again.layers, model.layers):
        if layer.per_channel:
            assert np.abs(layer.kernel.astype(int) - first.kernel).max() <= 1
    with pytest.raises(ModelError, match="not made of this module"):
        write_back(model, nn.Sequential(nn.Conv2d(2, 3, 1)))


def test_biases_that_have_no_place_are_refused() -> None:
    module, x = nn.Conv2d(2, 3, 1, bias=False), examples((2, 6, 6))
    model = from_torch(module, x, Options(correct_bias=False))
    before = module.weight.detach().clone()
    write_back(model, module)
    assert (module.weight - before).abs().max() <= model.layers[0].weight_scales.max() / 2
    layer = replace(model.layers[0], bias=np.ones(3, np.int32))
    biased = replace(model, operators=(layer, *model.operators[1:]))
    with pytest.raises(
        ModelError, match="'conv_0' was trained to have a bias, and 'weight' is wit"
    ):
        write_back(biased, module)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.Sequential(nn.BatchNorm2d(2, affine=False)),
            "a normalisation has no factors and numbers",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, affine=False)),
            "the normalisation after '0.weight' has no bias to be written to",
        ),
        (
            lambda: Of(lambda x: functional.conv2d(x, torch.ones(3, 2, 1, 1) * 2)),
            "weights of conv_0 are computed in the module",
        ),
    ],
)
def test_weights_that_have_no_place_are_refused(
    make: Callable[[], nn.Module], message: str
) -> None:
    module, x = with_statistics(make()), examples((2, 6, 6))
    with pytest.raises(ModelError, match=message):
        write_back(from_torch(module, x), module)


# --- random networks -----------------------------------------------------------------------------


@st.composite
def modules(draw: Any) -> nn.Module:
    """A few layers in a row, with branches."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    parts: list[nn.Module] = []
    channels, size = 3, 8
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "depthwise", "pool", "residual", "act"]))
        if kind == "conv":
            filters = draw(st.sampled_from([2, 4, 8]))
            kernel = draw(st.sampled_from([1, 2, 3]))
            padding = draw(st.sampled_from([0, kernel // 2]))
            if size + 2 * padding < kernel:
                continue
            parts.append(nn.Conv2d(channels, filters, kernel, padding=padding))
            channels, size = filters, size + 2 * padding - kernel + 1
            parts.append(nn.BatchNorm2d(channels))
        elif kind == "depthwise":
            parts += unit(channels, channels, 3, 1, 1, groups=channels, act=nn.ReLU)
        elif kind == "pool" and size >= 4:
            parts.append(draw(st.sampled_from([nn.MaxPool2d(2), nn.AvgPool2d(2)])))
            size //= 2
        elif kind == "residual":
            parts.append(Inverted(channels, channels, 1, 2))
        else:
            parts.append(draw(st.sampled_from([nn.ReLU(), nn.Hardswish(), nn.LeakyReLU(0.1)])))
    parts += [nn.Flatten(), nn.Linear(channels * size * size, 4)]
    return nn.Sequential(*parts)


@settings(max_examples=12, deadline=None)
@given(modules())
def test_random_modules(module: nn.Module) -> None:
    module = with_statistics(module)
    x = examples((3, 8, 8), 32)
    quantised = quantised_module(module, x)
    with torch.no_grad():
        expected = module(x).numpy()
    output = quantised.network.outputs[0]
    real = forward.run(quantised.network, turned(x))[output]
    np.testing.assert_allclose(real, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    model = quantised.model
    y = Emulator(model).run(turned(x))
    noise = float(np.square(model.output.dequantise(y) - expected).sum())
    assert decibels(float(np.square(expected).sum()), noise) > 20
    content = serialise_model(model)
    given8 = model.input.batch(turned(x[:2]))
    np.testing.assert_array_equal(runtime.run("tflite_runtime", content, given8), y[:2])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_what_is_on_the_grid_stays_exact(seed: int, equalise: bool, correct: bool) -> None:
    """Weights that are whole multiples of a power of two, inputs likewise: nothing is lost."""
    rng = np.random.default_rng(seed)
    layer = nn.Conv2d(2, 3, 3)
    weights = rng.integers(-126, 127, (3, 2, 3, 3))
    weights[:, 0, 0, 0] = 127
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights / 64))
        layer.bias.copy_(torch.from_numpy(rng.integers(-50, 50, 3) / 16))
    x = rng.integers(-128, 128, (4, 2, 5, 5)) / 16
    x[0, 0, 0, :2] = -8, 127 / 16
    network = float_network(layer, x)
    options = Options(equalise=equalise, correct_bias=correct)
    model = quantise(network, turned(torch.from_numpy(x)), options).model
    assert (model.input.scale, model.input.zero_point) == (1 / 16, 0)
    np.testing.assert_array_equal(model.layers[0].kernel.transpose(0, 3, 1, 2), weights)
    np.testing.assert_array_equal(model.layers[0].bias * model.layers[0].weight_scales / 16,
                                  layer.bias.detach().numpy())  # fmt: skip


# --- what is given in another form --------------------------------------------------------------


def small() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": torch.rand(4, 3, 4)}, "in the order in which the network takes them, not a dict"),
        ([{"x": torch.rand(4, 3, 4)}], "not a dict: give a tensor"),
        ([1.0, 2.0], "not a float: give a tensor"),
        (torch.rand(1, 3, 4).tolist(), "a list of a list of a float: give a tensor"),
        (iter([torch.rand(4, 3, 4), torch.rand(4, 4, 3)]), "differ in more than the examples"),
        (np.array(["a", "b"]), "no numbers"),
        ((torch.rand(4, 3, 4), torch.rand(3, 3, 4)), "different numbers of examples: 4, 3"),
        (None, "not a NoneType"),
    ],
)
def test_calibration_in_a_form_that_is_not_known_is_refused(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_torch(small(), given)


@pytest.mark.parametrize(
    "options",
    [{"ranges": "all"}, {"percentile": 10.0}, {"images": 0}, {"input_range": (1.0, -1.0)}],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        Options(**options)


def test_a_class_or_a_network_is_no_module() -> None:
    with pytest.raises(ModelError, match="such as Net.., not Net"):
        from_torch(nn.Linear, torch.rand(4, 3, 4))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="Linear is no trained network"):
        write_back(nn.Linear(2, 2), small())  # type: ignore[arg-type]


def test_an_exported_program_is_the_network_of_its_module() -> None:
    module, x = small().eval(), torch.rand(8, 3, 4)
    exported = torch.export.export(module, (x[:2],))
    assert serialise_model(from_torch(exported, x, name="net")) == serialise_model(
        from_torch(module, x, name="net")
    )


class Given(nn.Module):
    """Gives its input, and the same result twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        return x, y, y


def test_outputs_that_are_inputs_or_given_twice_are_tensors_of_their_own() -> None:
    x = torch.rand(8, 4)
    model = from_torch(Given(), x)
    assert len({*model.inputs, *model.outputs}) == 4
    given, first, second = Emulator(parse_model(serialise_model(model), "net")).run(x.numpy())
    np.testing.assert_array_equal(given, model.input.quantise(x.numpy()))
    np.testing.assert_array_equal(first, second)


def test_sequences_are_added_to_what_is_computed_of_them() -> None:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: Any) -> Any:
            return x + self.layer(x.transpose(1, 2)).transpose(1, 2)

    x = torch.rand(8, 6, 5)
    model = from_torch(Mixer(), x)
    y = to_torch(model, "roup:1,4")(x.requires_grad_())
    whole = Emulator(model, "roup:1,4").run(x.detach().numpy())
    expected = model.tensors[model.outputs[0]].dequantise(whole)
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-6)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


def test_training_inputs_that_are_not_finite_are_refused() -> None:
    approximate = to_torch(from_torch(small(), torch.rand(8, 3, 4)))
    with pytest.raises(DataError, match="not finite"):
        approximate(torch.full((1, 3, 4), torch.nan))


def test_several_inputs_are_given_in_their_order() -> None:
    class Difference(nn.Module):
        def forward(self, a: Any, b: Any) -> Any:
            return a - b

    a, b = torch.rand(8, 4), torch.rand(8, 4) * 3
    network = float_network(Difference(), [a, b])
    (first, second) = network.inputs
    by_tensor = quantise(network, {first: a.numpy(), second: b.numpy()}).model
    in_order = quantise(network, [a.numpy(), b.numpy()]).model
    assert serialise_model(in_order) == serialise_model(by_tensor)
    with pytest.raises(DataError, match="2 inputs .a, b.: give a list"):
        quantise(network, a.numpy())
    with pytest.raises(DataError, match="different numbers of examples"):
        quantise(network, [a.numpy(), b.numpy()[:3]])
    with pytest.raises(ModelError, match="has 2 inputs, and none is given for 'b'"):
        quantise(network, {first: a.numpy()})


def test_calibration_is_gone_through_once() -> None:
    """A generator gives its batches once."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    batches = [torch.randn(4, 1, 8, 8) for _ in range(3)]
    first = from_torch(module, (batch for batch in batches))
    second = from_torch(module, torch.cat(batches))
    assert fingerprint(first) == fingerprint(second)
