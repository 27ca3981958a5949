# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""ONNX networks for tests: built of operators, quantised, and run by onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from axynq.emulator.model import graph

Array = npt.NDArray[Any]

KEEP_QUANTISATION = {
    *("DepthToSpace", "Flatten", "Gather", "MaxPool", "Pad", "Reshape", "Slice", "SpaceToDepth"),
    *("Split", "Squeeze", "Transpose", "Unsqueeze", "Identity", "GlobalMaxPool", "ReduceMax"),
    *("AveragePool", "Resize", "Upsample", "Dropout"),
}
FILTER_AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}


class Network:
    """A float network that grows; :meth:`quantised` puts QuantizeLinear everywhere."""

    def __init__(self, *shapes: Sequence[int], opset: int = 17) -> None:
        self.opset = opset
        self.inputs = [f"x{k}" for k in range(len(shapes))]
        self.shapes = [tuple(shape) for shape in shapes]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.last = self.inputs[0]

    def add(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> str:
        """An operator on the last value and more: names or constants."""
        names = []
        for value in inputs or (self.last,):
            if not isinstance(value, str):
                name = f"c{len(self.constants)}"
                self.constants[name] = np.asarray(value)
                value = name
            names.append(value)
        made = [f"y{len(self.nodes)}" + ("" if k == 0 else f"_{k}") for k in range(outputs)]
        domain = "com.microsoft" if kind in ("QuickGelu",) else ""
        self.nodes.append(helper.make_node(kind, names, made, domain=domain, **attributes))
        self.last = made[0]
        return self.last

    def proto(self, *outputs: str) -> onnx.ModelProto:
        """The network in real numbers."""
        return make(self.nodes, self.inputs, self.shapes, outputs or (self.last,), self.constants,
                    self.opset)  # fmt: skip

    def samples(self, count: int, seed: int = 0) -> dict[str, Array]:
        """Random inputs."""
        rng = np.random.default_rng(seed)
        return {
            name: rng.normal(size=(count, *shape[1:])).astype(np.float32)
            for name, shape in zip(self.inputs, self.shapes)
        }

    def quantised(
        self,
        *outputs: str,
        unsigned: bool = False,
        powers_of_two: bool = False,
        per_channel: bool = True,
        seed: int = 0,
    ) -> onnx.ModelProto:
        """With QuantizeLinear and DequantizeLinear after every operator, from the ranges that
        random inputs reach."""
        every = [name for node in self.nodes for name in node.output if name]
        given = self.samples(8, seed)
        values = dict(zip(every, run(self.proto(*every), given))) | given
        writer = _Writer(self, unsigned, powers_of_two, per_channel)
        for name in self.inputs:
            writer.activation(name, values[name])
        for node in self.nodes:
            writer.node(node, values)
        return writer.file(outputs or (self.last,))

    def assumed(
        self, *outputs: str, loose: bool = False, unsigned: bool = False
    ) -> onnx.ModelProto:
        """As :meth:`quantised`, with one range for all, so that onnxruntime need not be able to run
        it. ``loose``: nothing between inputs and outputs is quantised."""
        wanted = outputs or (self.last,)
        writer = _Writer(self, unsigned, powers_of_two=False, per_channel=True)
        around = np.array([-3.5, 4.0], np.float32)
        for name in self.inputs:
            writer.activation(name, around)
        every = [name for node in self.nodes for name in node.output if name]
        ends = dict.fromkeys(wanted if loose else [*every, *wanted], around)
        for node in self.nodes:
            writer.node(node, ends)
        return writer.file(wanted)


class _Writer:
    def __init__(
        self, network: Network, unsigned: bool, powers_of_two: bool, per_channel: bool
    ) -> None:
        self.network = network
        self.type = np.uint8 if unsigned else np.int8
        self.powers_of_two, self.per_channel = powers_of_two, per_channel
        self.floats = network.constants
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.scale: dict[str, tuple[Array, Array]] = {}

    def activation(self, name: str, values: Array, like: str | None = None) -> None:
        if like is not None:
            scale, zero = self.scale[like]
        else:
            low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
            scale = self._scale((high - low) / 255 or 1.0)
            zero = np.asarray(round(-low / float(scale)) - (0 if self.type is np.uint8 else 128))
            limits = np.iinfo(self.type)
            zero = np.clip(zero, limits.min, limits.max).astype(self.type)
        self.scale[name] = scale, zero
        self.constants |= {f"{name}_scale": scale, f"{name}_zero": zero}
        more = [f"{name}_scale", f"{name}_zero"]
        self.nodes.append(helper.make_node("QuantizeLinear", [name, *more], [f"{name}_q"]))
        self.nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}_q", *more], [f"{name}_dq"])
        )

    def _scale(self, number: float) -> Array:
        if self.powers_of_two:
            number = 2.0 ** math.ceil(math.log2(number))
        return np.asarray(number, np.float32)

    def node(self, node: onnx.NodeProto, values: Mapping[str, Array]) -> None:
        inputs = []
        for position, name in enumerate(node.input):
            if name not in self.floats:
                inputs.append(f"{name}_dq" if name in self.scale else name)
            else:
                inputs.append(self._constant(node, position, name))
        self.nodes.append(
            helper.make_node(node.op_type, inputs, list(node.output), domain=node.domain)
        )
        self.nodes[-1].attribute.extend(node.attribute)
        like = node.input[0] if node.op_type in KEEP_QUANTISATION else None
        for name in node.output:
            if name in values:
                self.activation(name, values[name], like if like in self.scale else None)

    def file(self, outputs: Sequence[str]) -> onnx.ModelProto:
        """The file, its outputs behind their DequantizeLinear."""
        net = self.network
        ends = [f"{name}_dq" for name in outputs]
        return make(self.nodes, net.inputs, net.shapes, ends, self.constants, net.opset)

    def _constant(self, node: onnx.NodeProto, position: int, name: str) -> str:
        values = self.floats[name]
        layer = node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")
        paired = ("Add", "Sub", "Mul", "Max", "Min", "PRelu")
        if not layer and (node.op_type not in paired or values.size == 1):
            self.constants[name] = values
            return name
        if layer and position == 2:
            source = float(self.scale[node.input[0]][0]) if node.input[0] in self.scale else 1.0
            scale = (source * self.constants[f"{node.input[1]}_scale"]).astype(np.float32)
            integers = np.rint(values / scale).astype(np.int32)
            return self._fixed(name, integers, scale, 0)
        axis = FILTER_AXIS.get(node.op_type, 1)
        if node.op_type == "Gemm":
            axis = 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
        others = tuple(k for k in range(values.ndim) if k != axis)
        one = not layer or not self.per_channel or (
            node.op_type == "ConvTranspose" and any(a.name == "group" for a in node.attribute)
        )  # fmt: skip
        largest = np.abs(values).max(axis=None if one else others)
        scale = np.maximum(largest / 127, 1e-6).astype(np.float32)
        if self.powers_of_two:
            scale = (2.0 ** np.ceil(np.log2(scale))).astype(np.float32)
        spread = scale.reshape([-1 if k == axis else 1 for k in range(values.ndim)])
        integers = np.clip(np.rint(values / (scale if one else spread)), -127, 127).astype(np.int8)
        return self._fixed(name, integers, scale, axis)

    def _fixed(self, name: str, integers: Array, scale: Array, axis: int) -> str:
        zero = np.zeros(scale.shape, integers.dtype)
        self.constants |= {
            f"{name}_q": integers, f"{name}_scale": scale, f"{name}_zero": zero,
        }  # fmt: skip
        inputs = [f"{name}_q", f"{name}_scale", f"{name}_zero"]
        more = {"axis": axis} if scale.ndim else {}
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"], **more))
        return f"{name}_dq"


def make(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[str],
    shapes: Sequence[Sequence[Any]],
    outputs: Sequence[str],
    constants: Mapping[str, Array],
    opset: int = 17,
    input_type: int = TensorProto.FLOAT,
    output_type: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A file of any number of images."""
    network = helper.make_graph(
        list(nodes),
        "network",
        [
            helper.make_tensor_value_info(name, input_type, ["images", *shape[1:]])
            for name, shape in zip(inputs, shapes)
        ],
        [helper.make_tensor_value_info(name, output_type, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(network, opset_imports=opsets, ir_version=8)


def run(
    model: onnx.ModelProto, inputs: Mapping[str, Array], optimised: bool = False
) -> list[Array]:
    """What onnxruntime's CPU computes, image by image where it must; without optimisation QDQ runs
    in real numbers."""
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    )
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    count = len(next(iter(inputs.values())))
    results = [
        session.run(None, {name: value[k : k + 1] for name, value in inputs.items()})
        for k in range(count)
    ]
    return [np.concatenate(each) for each in zip(*results)]


def channels_last(values: Array) -> Array:
    """Maps as the graph has them."""
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def as_int8(tensor: graph.Tensor, reals: Array) -> npt.NDArray[np.int64]:
    """The int8 values that real numbers of onnxruntime stand for, [images, *shape]."""
    steps = np.rint(reals / np.float32(tensor.scale)).astype(np.int64) + tensor.zero_point
    return np.clip(channels_last(steps), -128, 127).reshape(-1, *tensor.shape)
