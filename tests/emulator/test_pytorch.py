"""PyTorch modules as int8 networks: the same function, to what 8 bits allow, and back."""

from __future__ import annotations

import copy
from collections.abc import Callable
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
from axynq.emulator.quantisation import forward
from axynq.emulator.quantisation.quantise import Options, Quantised, quantise
from axynq.emulator.quantisation.report import decibels
from tests.emulator import runtime

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from axynq.emulator.frameworks.float_files import load_float_network  # noqa: E402
from axynq.emulator.frameworks.pytorch import (  # noqa: E402
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
                (part.weight.data, 0.5, 1.5), (part.bias.data, -0.5, 0.5),
            ):  # fmt: skip
                values.uniform_(low, high, generator=generator)
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
    "cropped": lambda x: functional.pad(x, (-1, -1, 0, 0)),
    "squeeze_excite": lambda x: x * torch.sigmoid(x.mean(dim=(2, 3), keepdim=True)),
    "maximum": lambda x: torch.maximum(x, 0.5 * x),
    "minimum": lambda x: torch.minimum(x, -x),
    "subtract": lambda x: x - functional.relu(x),
    "add_alpha": lambda x: torch.add(x, x.flip(2), alpha=0.5),
    "dropout": lambda x: functional.dropout(x, 0.5, training=False),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    low = {"softmax": 22, "softmax_channels": 25, "exp": 28, "elu": 28, "log_softmax": 28}
    check(Function(FUNCTIONS[name]), (4, 12, 6), low.get(name, 30))


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv": (lambda: nn.Conv2d(3, 5, 3), (3, 9, 8)),
    "conv_stride": (lambda: nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=1), (3, 8, 8)),
    "conv_same": (lambda: nn.Conv2d(3, 5, 4, padding="same"), (3, 8, 8)),
    "conv_dilated": (lambda: nn.Conv2d(3, 5, 3, dilation=2, padding=2), (3, 8, 8)),
    "grouped": (lambda: nn.Conv2d(6, 9, 3, groups=3, padding=1), (6, 6, 6)),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1, stride=2), (4, 12, 10)),
    "multiplied": (lambda: nn.Conv2d(4, 12, 3, groups=4), (4, 6, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), (4, 5, 5)),
    "transposed_odd": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), (4, 5, 5),
    ),
    "transposed_valid": (lambda: nn.ConvTranspose2d(4, 6, 2, stride=2), (4, 5, 5)),
    "conv1d": (lambda: nn.Conv1d(3, 5, 3, padding=1), (3, 12)),
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
