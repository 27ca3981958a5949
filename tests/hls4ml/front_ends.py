# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A small network for handwritten digits, as Keras, PyTorch and QONNX models for hls4ml.

All have weights of 8 bits, ``ap_fixed<8, 2>``, trained for a few seconds, the same in the Keras and
in the QONNX model. Layers with weights: ``conv1`` (3 x 3), ``conv2`` (3 x 3 and depthwise; plain in
the PyTorch model, since hls4ml reads no groups from PyTorch), ``conv3`` (1 x 1), ``dense``. A layer
of a PyTorch model must not have the name of a tensor of weights, as ``depthwise``: hls4ml takes its
output for that tensor then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.datasets import handwritten_digits

Floats = npt.NDArray[np.float32]

LAYERS = ("conv1", "conv2", "conv3", "dense")
"""As they are called in the Keras and PyTorch models."""
QONNX_LAYERS = ("Conv_0", "Conv_1", "Conv_2", "MatMul_0")
"""As qonnx calls them when it cleans up. hls4ml's configuration takes these names; the layers of
its design are called ``Conv2D_Conv_0``, ``DepthwiseConv2D_Conv_1`` and so on."""

WEIGHT, BIAS, DATA = "ap_fixed<8,2>", "ap_fixed<8,2>", "ap_ufixed<8,4,AP_RND,AP_SAT>"
SUM = "ap_fixed<24,8>"
STEP = 2.0**-6
"""Of weights and biases."""
DATA_STEP = 2.0**-4
"""Of what goes from layer to layer."""

EPOCHS, FILTERS, OUT_FILTERS, SIZE = 30, 6, 8, 4
"""``SIZE``: rows and columns of the last map."""


@dataclass(frozen=True)
class FrontEnd:
    """A model of one framework, with what it is compared on."""

    model: Any
    x: Floats
    """Held-out digits, 0 to 1 in steps of 1/16: [examples, 8, 8, 1]."""
    y: npt.NDArray[np.int64]
    """Their classes."""
    outputs: Floats
    """What the framework itself computes: [examples, 10]."""
    quantised: Floats
    """The same with maps in steps of ``DATA_STEP``: what hls4ml's own design computes."""
    layers: tuple[str, ...]
    """Names of the layers with weights in the configuration."""
    config: Callable[[str], dict[str, Any]]
    """hls4ml's configuration, layer by layer, for a backend."""
    convert: Callable[..., Any]
    """hls4ml's converter: ``hls_config``, ``backend``, ``io_type``, ``output_dir``."""

    def hls_config(self, backend: str) -> dict[str, Any]:
        """The configuration with the precisions above."""
        config = self.config(backend)
        layers = config["LayerName"]
        # A QONNX model says these itself.
        for name, settings in layers.items():
            if name in LAYERS:
                settings["Precision"] = {"weight": WEIGHT, "bias": BIAS, "accum": SUM,
                                         "result": SUM}  # fmt: skip
            elif "relu" in name or name == "x":
                settings["Precision"] = {"result": DATA}
        return config

    def design(self, folder: Path, backend: str = "Vitis", io_type: str = "io_parallel") -> Any:
        """hls4ml's model, not yet compiled."""
        return self.convert(
            self.model, hls_config=self.hls_config(backend), backend=backend, io_type=io_type,
            output_dir=str(folder),
        )  # fmt: skip


# --- training -------------------------------------------------------------------------------------


def _examples(split: Any) -> tuple[Floats, npt.NDArray[np.int64]]:
    data = handwritten_digits(split)
    return (data.x / 16).astype(np.float32), data.y


def _module(groups: int) -> Any:
    """The network in PyTorch, untrained."""
    from torch import nn

    class Digits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, FILTERS, 3)
            self.conv1_relu = nn.ReLU()
            self.conv2 = nn.Conv2d(FILTERS, FILTERS, 3, groups=groups)
            self.conv2_relu = nn.ReLU()
            self.conv3 = nn.Conv2d(FILTERS, OUT_FILTERS, 1)
            self.conv3_relu = nn.ReLU()
            self.flatten = nn.Flatten()
            self.dense = nn.Linear(OUT_FILTERS * SIZE * SIZE, 10)

        def forward(self, x: Any) -> Any:
            x = self.conv1_relu(self.conv1(x))
            x = self.conv2_relu(self.conv2(x))
            x = self.conv3_relu(self.conv3(x))
            return self.dense(self.flatten(x))

    return Digits()


@cache
def _trained(groups: int) -> Any:
    """The network with trained weights and biases in steps of ``STEP``."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # too small for more
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _module(groups)
        x, y = _examples("train")
        images, classes = torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(y)
        optimiser = torch.optim.Adam(network.parameters(), 0.01, weight_decay=1e-3)
        for _ in range(EPOCHS):
            for part in torch.randperm(len(images)).split(128):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(network(images[part]), classes[part]).backward()
                optimiser.step()
    torch.set_num_threads(threads)
    with torch.no_grad():
        for values in network.parameters():
            values.copy_((values / STEP).round().clamp(-128, 127) * STEP)
    return network.eval()


def _outputs(network: Any, quantised: bool = False) -> Floats:
    """Of the held-out digits; sums have fewer bits than float64, so that they are exact."""
    import torch

    at = torch.tensor(_examples("test")[0].transpose(0, 3, 1, 2)).double()
    with torch.no_grad():
        for name, part in network.named_children():
            at = part.double()(at)
            if quantised and name.endswith("relu"):  # AP_RND, AP_SAT
                at = (at / DATA_STEP + 0.5).floor().clamp(0, 255) * DATA_STEP
            part.float()
    return at.numpy().astype(np.float32)


def _weights() -> dict[str, npt.NDArray[np.float32]]:
    """Of the network with a depthwise layer, in PyTorch's order of axes."""
    return {name: v.detach().numpy() for name, v in _trained(FILTERS).state_dict().items()}


def _dense_weights() -> npt.NDArray[np.float32]:
    """[inputs, 10], inputs in the order of rows, columns, channels."""
    by_channel = _weights()["dense.weight"].reshape(10, OUT_FILTERS, SIZE, SIZE)
    return by_channel.transpose(2, 3, 1, 0).reshape(-1, 10)


# --- the models -----------------------------------------------------------------------------------


@cache
def torch_digits() -> FrontEnd:
    """A ``torch.nn.Module``."""
    from hls4ml.converters import convert_from_pytorch_model
    from hls4ml.utils import config_from_pytorch_model

    network = _trained(1)
    x, y = _examples("test")

    def config(backend: str) -> dict[str, Any]:
        return config_from_pytorch_model(
            network, (1, 8, 8), granularity="name", backend=backend, default_precision=SUM
        )

    return FrontEnd(network, x, y, _outputs(network), _outputs(network, True), LAYERS, config,
                    convert_from_pytorch_model)  # fmt: skip


@cache
def keras_digits() -> FrontEnd:
    """A functional model of Keras 3, on PyTorch."""
    import keras
    from hls4ml.converters import convert_from_keras_model
    from hls4ml.utils import config_from_keras_model
    from keras import layers

    start = keras.Input((8, 8, 1), name="x")
    at = layers.Conv2D(FILTERS, 3, activation="relu", name="conv1")(start)
    at = layers.DepthwiseConv2D(3, activation="relu", name="conv2")(at)
    at = layers.Conv2D(OUT_FILTERS, 1, activation="relu", name="conv3")(at)
    at = layers.Dense(10, name="dense")(layers.Flatten(name="flatten")(at))
    network = keras.Model(start, at)
    weights = _weights()
    for name in LAYERS[:-1]:
        axes = (2, 3, 0, 1) if name == "conv2" else (2, 3, 1, 0)
        kernel = weights[f"{name}.weight"].transpose(axes)
        network.get_layer(name).set_weights([kernel, weights[f"{name}.bias"]])
    network.get_layer("dense").set_weights([_dense_weights(), weights["dense.bias"]])
    x, y = _examples("test")

    def config(backend: str) -> dict[str, Any]:
        return config_from_keras_model(
            network, granularity="name", backend=backend, default_precision=SUM
        )

    outputs = np.asarray(network.predict(x, verbose=0))
    return FrontEnd(network, x, y, outputs, _outputs(_trained(FILTERS), True), LAYERS, config,
                    convert_from_keras_model)  # fmt: skip


@cache
def qonnx_digits() -> FrontEnd:
    """A quantised ONNX model with Quant nodes, cleaned up and in channels-last order."""
    from hls4ml.converters import convert_from_onnx_model
    from hls4ml.utils import config_from_onnx_model
    from qonnx.core.onnx_exec import execute_onnx

    network = _cleaned(_qonnx())
    x, y = _examples("test")
    x, y = x[::6], y[::6]  # ONNX node by node takes its time
    (name,) = (value.name for value in network.graph.input)
    (end,) = (value.name for value in network.graph.output)
    outputs = np.concatenate([execute_onnx(network, {name: image[None]})[end] for image in x])

    def config(backend: str) -> dict[str, Any]:
        return config_from_onnx_model(
            network, granularity="name", backend=backend, default_precision=SUM
        )

    return FrontEnd(network, x, y, outputs, outputs, QONNX_LAYERS, config,
                    convert_from_onnx_model)  # fmt: skip


def _qonnx() -> Any:
    """The model as exporters write it: channels first, weights behind Quant nodes."""
    from onnx import TensorProto, helper, numpy_helper

    weights = _weights()
    constants: dict[str, npt.NDArray[np.float32]] = {}
    nodes: list[Any] = []

    def constant(name: str, value: Any) -> str:
        constants[name] = np.asarray(value, np.float32)
        return name

    def node(kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def quant(of: str, name: str, step: float, signed: int) -> str:
        parameters = [
            constant(f"{name}_{kind}", value)
            for kind, value in (("scale", step), ("zero", 0), ("bits", 8))
        ]
        return node("Quant", [of, *parameters], name, domain="qonnx.custom_op.general",
                    signed=signed, narrow=0, rounding_mode="ROUND")  # fmt: skip

    def weight(name: str, value: Any) -> str:
        return quant(constant(name, value), f"{name}_quant", STEP, 1)

    at = quant("x", "x_quant", DATA_STEP, 0)
    for name in LAYERS[:-1]:
        groups = FILTERS if name == "conv2" else 1
        parts = [weight(f"{name}_{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias")]
        window = list(weights[f"{name}.weight"].shape[2:])
        at = node("Conv", [at, *parts], name, group=groups, kernel_shape=window,
                  strides=[1, 1], dilations=[1, 1], pads=[0, 0, 0, 0])  # fmt: skip
        at = quant(node("Relu", [at], f"{name}_relu"), f"{name}_quant", DATA_STEP, 0)
    at = node("Transpose", [at], "transpose", perm=[0, 2, 3, 1])
    shape = numpy_helper.from_array(np.array([1, OUT_FILTERS * SIZE * SIZE]), "shape")
    at = node("Reshape", [at, "shape"], "flatten")
    at = node("MatMul", [at, weight("dense_weight", _dense_weights())], "dense")
    at = node("Add", [at, weight("dense_bias", weights["dense.bias"])], "dense_add")
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info(at, TensorProto.FLOAT, [1, 10])],
        [shape, *(numpy_helper.from_array(value, name) for name, value in constants.items())],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _cleaned(model: Any) -> Any:
    """In the form that hls4ml reads."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
    from qonnx.util.cleanup import cleanup_model

    wrapped = cleanup_model(ModelWrapper(model))
    return cleanup_model(wrapped.transform(ConvertToChannelsLastAndClean(True)))
