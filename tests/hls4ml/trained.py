# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Small trained classifiers of scikit-learn's digits, as hls4ml designs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator import multiplier
from axynq.emulator.datasets import handwritten_digits

Reals = npt.NDArray[np.float64]

DATA = {"result": "ap_ufixed<8,1>"}
RELU = {"result": "ap_ufixed<8,4,AP_RND,AP_SAT>"}
WEIGHTS = {"weight": "ap_fixed<8,2,AP_RND,AP_SAT>", "bias": "ap_fixed<16,6>",
           "accum": "ap_fixed<32,16>", "result": "ap_fixed<20,10>"}  # fmt: skip


@functools.cache
def digits(split: Any = "test") -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Images [examples, 8, 8, 1] in 0..1, and labels."""
    data = handwritten_digits(split)
    return np.asarray(data.x, np.float32) / 16, data.y


@functools.cache
def perceptron() -> list[dict[str, Any]]:
    """Dense layers of 16 and 10 values."""
    from sklearn.neural_network import MLPClassifier

    x, y = digits("train")
    net = MLPClassifier((16,), max_iter=400, random_state=0, tol=1e-3, learning_rate_init=0.01)
    net.fit(x.reshape(len(x), -1), y)
    first, second = zip(net.coefs_, net.intercepts_)
    return [
        {"name": "image", "class_name": "Input", "input_shape": [64]},
        dense("hidden", *first),
        relu("hidden_relu", 16),
        dense("classes", *second),
    ]


@functools.cache
def convolutional() -> list[dict[str, Any]]:
    """A convolution of 3x3 with 8 filters, and dense layers of 16 and 10 values."""
    import torch

    torch.manual_seed(0)
    x, y = digits("train")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, 2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(72, 16),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 10),
    )
    train(net, x.transpose(0, 3, 1, 2), y)
    conv, hidden, classes = (net[k] for k in (0, 3, 5))
    kernel, *others = (
        np.asarray(p.detach(), np.float64)
        for p in (conv.weight, conv.bias, hidden.weight, hidden.bias, classes.weight, classes.bias)
    )
    # hls4ml flattens rows, columns, channels.
    first = others[1].reshape(16, 8, 3, 3).transpose(0, 2, 3, 1).reshape(16, 72)
    return [
        {"name": "image", "class_name": "Input", "input_shape": [8, 8, 1]},
        {"name": "conv", "class_name": "Conv2D", "weight_data": kernel.transpose(2, 3, 1, 0),
         "bias_data": others[0], "use_bias": True, "data_format": "channels_last",
         "in_height": 8, "in_width": 8, "out_height": 3, "out_width": 3, "n_chan": 1, "n_filt": 8,
         "filt_height": 3, "filt_width": 3, "stride_height": 2, "stride_width": 2,
         "dilation_height": 1, "dilation_width": 1, "padding": "valid",
         "pad_top": 0, "pad_bottom": 0, "pad_left": 0, "pad_right": 0,
         "weight_quantizer": None, "bias_quantizer": None},
        {"name": "conv_relu", "class_name": "Activation", "activation": "relu", "n_in": 72},
        {"name": "flat", "class_name": "Reshape", "target_shape": [72]},
        dense("hidden", first.T, others[2]),
        relu("hidden_relu", 16),
        dense("classes", others[3].T, others[4]),
    ]  # fmt: skip


def train(net: Any, x: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> None:
    """Train a torch module for a second or two."""
    import torch

    images, labels = torch.from_numpy(x.copy()), torch.from_numpy(y)
    optimiser = torch.optim.AdamW(net.parameters(), 0.01, weight_decay=0.2)
    for _ in range(150):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        optimiser.step()


def perceptron_outputs(x: npt.NDArray[np.float32], specs: Sequence[str]) -> Reals:
    """What the perceptron's design gives with a multiplier for each of its two layers."""
    _, hidden, _, classes = perceptron()
    # In units of the last bit, with 7 bits behind the point, then 7 + 6, 10, 4, 4 + 6.
    a = np.floor(x.reshape(len(x), 64) * 2**7).astype(np.int64)
    sums = _sums(a, hidden, specs[0], 7) >> 3
    a = np.clip((sums + 2**5) >> 6, 0, 255)
    return _sums(a, classes, specs[1], 4) / 2**10


def _sums(a: Any, layer: Mapping[str, Any], spec: str, fraction: int) -> npt.NDArray[np.int64]:
    weights = np.clip(np.floor(layer["weight_data"] * 2**6 + 0.5), -128, 127).astype(np.int64)
    bias = np.floor(layer["bias_data"] * 2**10).astype(np.int64) << (fraction + 6 - 10)
    table = multiplier(spec).table
    return bias + table[a[:, :, None] + 255, weights + 128].sum(axis=1, dtype=np.int64)


def dense(name: str, weights: Reals, bias: Reals) -> dict[str, Any]:
    """A layer with weights [inputs, outputs]."""
    return {"name": name, "class_name": "Dense", "n_in": len(weights), "n_out": len(bias),
            "weight_data": weights, "bias_data": bias, "use_bias": True}  # fmt: skip


def relu(name: str, values: int) -> dict[str, Any]:
    return {"name": name, "class_name": "Activation", "activation": "relu", "n_in": values}


def configuration(layers: list[dict[str, Any]], **model: Any) -> dict[str, Any]:
    """hls4ml's configuration of a network: 8 bits wherever multipliers are."""
    precisions = {"Input": DATA, "Activation": RELU}
    names = {
        layer["name"]: {"Precision": precisions.get(layer["class_name"], WEIGHTS)}
        for layer in layers
        if layer["class_name"] != "Reshape"
    }
    whole = {"Precision": "ap_fixed<20,10>", "ReuseFactor": 1, "Strategy": "Latency"}
    return {"Model": whole | model, "LayerName": names}


def converted(
    layers: list[dict[str, Any]],
    hls_config: Mapping[str, Any],
    folder: Path,
    io: str = "io_parallel",
) -> Any:
    """A design of a network."""
    from hls4ml.model.graph import ModelGraph
    from hls4ml.utils.config import create_config

    config = create_config(output_dir=str(folder), backend="Vitis", io_type=io)
    config["HLSConfig"] = dict(hls_config)
    first, last = layers[0]["name"], layers[-1]["name"]
    own = [dict(layer) for layer in layers]
    return ModelGraph.from_layer_list(config, own, inputs=[first], outputs=[last])
