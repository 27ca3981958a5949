# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Writes a typed graph as an int8 ``.tflite`` file that TFLite and LiteRT run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from axynq.emulator import files
from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.tflite_assembly import (
    FileOperator,
    FileTensor,
    assemble,
    constant_tensor,
)
from axynq.emulator.model import graph
from axynq.emulator.model.quantisation import ADD_LEFT_SHIFT, is_sum, layer_factors, reduced_axes
from axynq.emulator.model.windows import same_or_valid, transposed_geometry

CODES = tflite.BuiltinOperator

_FUSED = {
    "none": tflite.ActivationFunctionType.NONE,
    "relu": tflite.ActivationFunctionType.RELU,
    "relu6": tflite.ActivationFunctionType.RELU6,
    "relu_n1_to_1": tflite.ActivationFunctionType.RELU_N1_TO_1,
}

_LOOKUPS: dict[str, tuple[int, str | None]] = {
    "relu": (CODES.RELU, None),
    "relu6": (CODES.RELU6, None),
    "relu_n1_to_1": (CODES.RELU_N1_TO_1, None),
    "relu_0_to_1": (CODES.RELU_0_TO_1, None),
    "leaky_relu": (CODES.LEAKY_RELU, "LeakyReluOptions"),
    "gelu": (CODES.GELU, "GeluOptions"),
    "logistic": (CODES.LOGISTIC, None),
    "tanh": (CODES.TANH, None),
    "hard_swish": (CODES.HARD_SWISH, "HardSwishOptions"),
    "absolute": (CODES.ABS, "AbsOptions"),
    "exponential": (CODES.EXP, "ExpOptions"),
    "reciprocal_square_root": (CODES.RSQRT, None),
    "quantise": (CODES.QUANTIZE, "QuantizeOptions"),
}

_ELEMENTWISE: dict[graph.ElementwiseKind, tuple[int, str | None]] = {
    "add": (CODES.ADD, "AddOptions"),
    "subtract": (CODES.SUB, "SubOptions"),
    "multiply": (CODES.MUL, "MulOptions"),
    "maximum": (CODES.MAXIMUM, "MaximumMinimumOptions"),
    "minimum": (CODES.MINIMUM, "MaximumMinimumOptions"),
    "prelu": (CODES.PRELU, None),
}


def save_model(model: graph.Model, path: str | Path) -> None:
    """Write a network to a ``.tflite`` file.

    :func:`load_model` reads an equal network from it, or one that computes the same with other
    operators, where TFLite lacks an operator. Inputs and outputs have the types (int8, uint8 or
    float32) of the file that the network was read from.

    Args:
        model: the network.
        path: the file to write. An existing file is replaced once the new one is complete.

    Raises:
        ModelError: a ``.tflite`` file cannot express the network (for example an average pooling
            whose padding is neither SAME nor VALID), or the file cannot be written.
        ToolError: the package ``tflite`` is not installed.
    """
    content = serialise_model(model)
    try:
        files.write_bytes(path, content)
    except OSError as error:
        raise ModelError(f"model '{path}' cannot be written: {error.strerror}") from error


def serialise_model(model: graph.Model) -> bytes:
    """The content of the ``.tflite`` file for ``model``."""
    return _Writer(model).write()


class _Writer:
    def __init__(self, model: graph.Model) -> None:
        self.model = model
        self.tensors = [
            FileTensor(
                t.name, (1, *t.shape), tflite.TensorType.INT8, b"", [t.scale], [t.zero_point]
            )
            for t in model.tensors
        ]  # activations keep their indices, constants follow
        for index, values in model.constants.items():
            self.tensors[index].data = values.tobytes()
        self.operators: list[FileOperator] = []
        self.written: set[str] = set()
        """Names of operators that have become part of those before them."""

    def write(self) -> bytes:
        sources = [self._interface(index) for index in self.model.inputs]
        for outer, inner in zip(sources, self.model.inputs):
            if outer != inner:
                self._enter(CODES.QUANTIZE, [outer], inner, "QuantizeOptions")
        for op in self.model.operators:
            if op.name not in self.written:
                self._operator(op)
        targets = [self._interface(index) for index in self.model.outputs]
        for outer, inner in zip(targets, self.model.outputs):
            if outer != inner:
                # TFLite's DEQUANTIZE makes floats, its QUANTIZE anything else.
                if self.tensors[outer].type == tflite.TensorType.FLOAT32:
                    self._enter(CODES.DEQUANTIZE, [inner], outer, "DequantizeOptions")
                else:
                    self._enter(CODES.QUANTIZE, [inner], outer, "QuantizeOptions")
        return assemble(self.tensors, self.operators, sources, targets)

    # --- what operators use ----------------------------------------------------------------------

    def _enter(
        self, code: int, inputs: list[int], output: int, kind: str | None = None, **options: Any
    ) -> None:
        self.operators.append(FileOperator(code, inputs, [output], kind, options))

    def _interface(self, index: int) -> int:
        """The tensor that the file has in place of an int8 input or output, entered if need be."""
        tensor = self.model.tensors[index]
        interface = tensor.interface
        if interface is None:
            return index
        shape = (1, *tensor.shape)
        if interface.type == "float32":
            return self._new(FileTensor(interface.name, shape, tflite.TensorType.FLOAT32))
        scales, zero_points = [interface.scale], [interface.zero_point]
        return self._new(
            FileTensor(interface.name, shape, tflite.TensorType.UINT8, b"", scales, zero_points)
        )

    def _new(self, tensor: FileTensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _integers(self, name: str, values: Any) -> int:
        """A constant of int32."""
        return self._new(constant_tensor(name, np.array(values, np.int32)))

    def _between(self, name: str, like: int, shape: tuple[int, ...]) -> int:
        """A tensor between two operators of the file that are one of the graph, quantised as that
        of index ``like``; ``shape`` leaves out the images."""
        original = self.tensors[like]
        return self._new(replace(original, name=name, shape=(1, *shape), data=b""))

    def _reshape(self, name: str, source: int, target: int) -> None:
        shape = np.array((-1, *self.tensors[target].shape[1:]), np.int32)
        constant = self._integers(f"{name}/shape", shape)
        self._enter(CODES.RESHAPE, [source, constant], target, "ReshapeOptions", NewShape=shape)

    def _pad(
        self, name: str, source: int, target: int, amounts: Any, value: int | None = None
    ) -> None:
        """``amounts`` before and after each axis, the images left out."""
        inputs = [source, self._integers(f"{name}/paddings", [(0, 0), *amounts])]
        if value is None:
            self._enter(CODES.PAD, inputs, target, "PadOptions")
            return
        like = self.tensors[source]
        filling = np.array([value], np.int8)
        inputs.append(
            self._new(constant_tensor(f"{name}/value", filling, like.scales, like.zero_points))
        )
        self._enter(CODES.PADV2, inputs, target, "PadV2Options")

    def _padded(
        self, name: str, source: int, padding: graph.Padding, value: int | None = None
    ) -> int:
        """A map in a padding that its operator cannot have in the file."""
        shape = padding.around(self.model.tensors[source].shape)
        target = self._between(f"{name}/padded", source, shape)
        self._pad(name, source, target, padding.amounts, value)
        return target

    def _slice(
        self,
        name: str,
        source: int,
        target: int,
        begin: tuple[int, ...],
        stride: tuple[int, ...],
    ) -> None:
        end, end_mask = [1], 0
        shape = self.tensors[target].shape[1:]
        for axis, (first, step, count) in enumerate(zip(begin, stride, shape), start=1):
            last = first + step * (count - 1)
            end.append(last + (1 if step > 0 else -1))
            if end[-1] < 0:  # TFLite counts it from the end
                end_mask |= 1 << axis
        inputs = [
            source,
            self._integers(f"{name}/begin", (0, *begin)),
            self._integers(f"{name}/end", end),
            self._integers(f"{name}/strides", (1, *stride)),
        ]
        self._enter(CODES.STRIDED_SLICE, inputs, target, "StridedSliceOptions", EndMask=end_mask)

    def _operator(self, op: graph.Operator) -> None:
        _WRITERS[type(op)](self, op)

    # --- operators that multiply -----------------------------------------------------------------

    def convolution(self, op: graph.Convolution | graph.DepthwiseConvolution) -> None:
        depthwise = isinstance(op, graph.DepthwiseConvolution)
        if op.float32_scales and not self._same_factors(op):
            if depthwise or op.kernel.shape[1:3] != (1, 1) or op.stride != (1, 1):
                raise ModelError(
                    f"operator '{op.name}' multiplies scales in float32, which TFLite's int8 "
                    "convolutions do not"
                )
            self._dense(op, op.weights[:, 0, 0], keep=True)
            return
        rows, columns = op.kernel.shape[1:3]
        source = op.inputs[0]
        code = self._padding(op, (rows, columns), op.stride, op.dilation, op.padding)
        if code is None:
            source, code = self._padded(op.name, source, op.padding), tflite.Padding.VALID
        options = {
            "Padding": code,
            "StrideH": op.stride[0],
            "StrideW": op.stride[1],
            "DilationHFactor": op.dilation[0],
            "DilationWFactor": op.dilation[1],
            "FusedActivationFunction": _FUSED[op.activation],
        }
        if depthwise:
            channels = self.model.tensors[op.inputs[0]].shape[-1]
            options["DepthMultiplier"] = op.kernel.shape[0] // channels
            inputs = [source, *self._parameters(op, op.weights[None], 3)]
            kind, number = "DepthwiseConv2DOptions", CODES.DEPTHWISE_CONV_2D
        else:
            inputs = [source, *self._parameters(op, op.weights, 0)]
            kind, number = "Conv2DOptions", CODES.CONV_2D
        self._enter(number, inputs, op.output, kind, **options)

    def _same_factors(self, layer: graph.WeightedLayer) -> bool:
        """Whether it makes no difference in what precision the scales are multiplied."""
        other = replace(layer, float32_scales=not layer.float32_scales)
        return layer_factors(self.model, layer) == layer_factors(self.model, other)

    def fully_connected(self, op: graph.FullyConnected) -> None:
        if op.float32_scales or self._same_factors(op):
            self._dense(op, op.weights, keep=False)
            return
        source, target = op.inputs[0], op.output
        inputs, filters = op.weights.shape[1], op.weights.shape[0]
        flat = self._between(f"{op.name}/flat", source, (1, 1, inputs))
        spread = self._between(f"{op.name}/wide", target, (1, 1, filters))
        self._reshape(f"{op.name}/before", source, flat)
        parameters = self._parameters(op, op.weights[:, None, None], 0)
        self._enter(
            CODES.CONV_2D, [flat, *parameters], spread, "Conv2DOptions",
            Padding=tflite.Padding.VALID, StrideH=1, StrideW=1,
            FusedActivationFunction=_FUSED[op.activation],
        )  # fmt: skip
        self._reshape(f"{op.name}/after", spread, target)

    def _dense(self, op: graph.WeightedLayer, weights: graph.Int8Array, keep: bool) -> None:
        tensors = self.model.tensors
        product = tensors[op.inputs[0]].scale * float(op.weight_scales[0])
        rounded_off = abs(product - float(np.float32(product)))
        if not op.per_channel and rounded_off > 0.02 * tensors[op.output].scale:
            raise ModelError(
                f"operator '{op.name}': its output's scale {tensors[op.output].scale:.3g} is so "
                f"much finer than its accumulator's {product:.3g} that TFLite refuses it: give "
                "it a coarser one"
            )
        self._enter(
            CODES.FULLY_CONNECTED, [op.inputs[0], *self._parameters(op, weights, 0)], op.output,
            "FullyConnectedOptions",
            FusedActivationFunction=_FUSED[op.activation], KeepNumDims=keep,
        )  # fmt: skip

    def _parameters(
        self, layer: graph.WeightedLayer, weights: graph.Int8Array, filter_axis: int
    ) -> list[int]:
        """Weights and bias as constants."""
        used = layer.weight_scales if layer.per_channel else layer.weight_scales[:1]
        input_scale = np.float32(self.model.tensors[layer.inputs[0]].scale)
        axis = filter_axis if layer.per_channel else 0
        scales = [float(s) for s in used]
        biases = [float(s) for s in used * input_scale]
        return [
            self._new(constant_tensor(f"{layer.name}/weights", weights, scales, axis=axis)),
            self._new(constant_tensor(f"{layer.name}/bias", layer.bias, biases)),
        ]

    def _padding(
        self,
        op: graph.Operator,
        window: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
        padding: graph.Padding,
    ) -> int | None:
        """TFLite's code for a padding given in numbers, or None where it has none."""
        rows, columns = self.model.tensors[op.inputs[0]].shape[:2]
        size = self.model.tensors[op.output].shape[:2]
        same = same_or_valid((rows, columns), window, stride, dilation, size, padding)
        if same is None:
            return None
        return int(tflite.Padding.SAME if same else tflite.Padding.VALID)

    def spread(self, op: graph.Spread) -> None:
        """With the convolution of it as a transposed one; by itself as that of 1, and zeros."""
        readers = list(self.model.consumers(op.output))
        layer = readers[0] if len(readers) == 1 else None
        if isinstance(layer, graph.Convolution) and op.output not in self.model.outputs:
            same = self._transposed_padding(op, layer)
            if same is not None:
                self._transposed_convolution(op, layer, same)
                return
        source = op.inputs[0]
        rows, columns, channels = self.model.tensors[source].shape
        size = ((rows - 1) * op.stride[0] + 1, (columns - 1) * op.stride[1] + 1, channels)
        wide = self._between(f"{op.name}/wide", source, size)
        ones = np.eye(channels, dtype=np.int8)[:, None, None]
        inputs = [
            self._integers(f"{op.name}/size", (1, *size)),
            self._new(constant_tensor(f"{op.name}/ones", ones, [1.0])),
            source,
        ]
        options = {"StrideH": op.stride[0], "StrideW": op.stride[1]}
        self._enter(
            CODES.TRANSPOSE_CONV, inputs, wide, "TransposeConvOptions",
            Padding=tflite.Padding.VALID, **options,
        )  # fmt: skip
        amounts = op.padding.amounts
        begin = tuple(max(-before, 0) for before, _ in amounts)
        cut = tuple(
            n - max(-before, 0) - max(-after, 0) for n, (before, after) in zip(size, amounts)
        )
        if cut != size:
            inside = self._between(f"{op.name}/cut", source, cut)
            self._slice(f"{op.name}/cut", wide, inside, begin, (1, 1, 1))
            wide = inside
        positive = [(max(before, 0), max(after, 0)) for before, after in amounts]
        self._pad(op.name, wide, op.output, positive)

    def _transposed_padding(self, op: graph.Spread, layer: graph.Convolution) -> bool | None:
        """Whether a transposed convolution pads as SAME or VALID; None: as neither."""
        window = (layer.kernel.shape[1], layer.kernel.shape[2])
        plain = (layer.stride, layer.dilation, layer.padding) == ((1, 1), (1, 1), graph.Padding())
        if not plain or (layer.float32_scales and not self._same_factors(layer)):
            return None
        source = self.model.tensors[op.inputs[0]].shape[:2]
        size = self.model.tensors[layer.output].shape[:2]
        for same in (False, True):
            try:
                padding = transposed_geometry(
                    (source[0], source[1]), (size[0], size[1]), window, op.stride, same
                )
            except ModelError:
                continue  # the window does not fit without padding
            if padding == op.padding:
                return same
        return None

    def _transposed_convolution(
        self, op: graph.Spread, layer: graph.Convolution, same: bool
    ) -> None:
        self.written.add(layer.name)
        turned = np.ascontiguousarray(layer.weights[:, ::-1, ::-1])
        weights, bias = self._parameters(layer, turned, 0)
        target = self.model.tensors[layer.output]
        size = self._integers(f"{layer.name}/size", (1, *target.shape))
        output = layer.output
        if layer.activation != "none":
            output = self._between(f"{layer.name}/sum", layer.output, target.shape)
        self._enter(
            CODES.TRANSPOSE_CONV, [size, weights, op.inputs[0], bias], output,
            "TransposeConvOptions",
            Padding=tflite.Padding.SAME if same else tflite.Padding.VALID,
            StrideH=op.stride[0], StrideW=op.stride[1],
        )  # fmt: skip
        if layer.activation != "none":
            self._enter(_LOOKUPS[layer.activation][0], [output], layer.output)

    # --- the other operators ---------------------------------------------------------------------

    def add(self, op: graph.Add) -> None:
        self._require_sum(op)
        self._enter(
            CODES.ADD, list(op.inputs), op.output, "AddOptions",
            FusedActivationFunction=_FUSED[op.activation],
        )  # fmt: skip

    def _require_sum(self, op: graph.Operator) -> None:
        larger = max(self.model.tensors[index].scale for index in op.inputs)
        scale = self.model.tensors[op.output].scale
        if 2 * larger / 2**ADD_LEFT_SHIFT >= scale:
            raise ModelError(
                f"operator '{op.name}': its output's scale {scale:.3g} is so much finer than its "
                f"inputs' {larger:.3g} that TFLite's kernel ends the process: give it a coarser one"
            )
        if scale * 2**ADD_LEFT_SHIFT > np.finfo(np.float32).max:
            raise ModelError(
                f"operator '{op.name}': its output's scale {scale:.3g} is so large that TFLite's "
                "kernel ends the process: divide the inputs"
            )

    def elementwise(self, op: graph.Elementwise) -> None:
        code, kind = _ELEMENTWISE[op.kind]
        options = {}
        if is_sum(op):
            self._require_sum(op)
        if op.kind in ("add", "subtract", "multiply"):
            options = {"FusedActivationFunction": _FUSED[op.activation]}
        elif op.activation != "none":
            raise ModelError(
                f"operator '{op.name}': a fused activation cannot be written to a .tflite file"
            )
        self._enter(code, list(op.inputs), op.output, kind, **options)

    def lookup(self, op: graph.Lookup) -> None:
        if op.kind == "table":
            raise ModelError(
                f"operator '{op.name}' is a table of its own, which a .tflite file cannot hold: "
                "`axynq quantise` makes a network without one of the float network"
            )
        code, kind = _LOOKUPS[op.kind]
        options: dict[str, Any] = {}
        if op.kind == "leaky_relu":
            options = {"Alpha": op.alpha}
        elif op.kind == "gelu":
            options = {"Approximate": bool(op.alpha)}
        self._enter(code, list(op.inputs), op.output, kind, **options)

    def pool(self, op: graph.Pool) -> None:
        source = op.inputs[0]
        code = self._padding(op, op.window, op.stride, (1, 1), op.padding)
        if code is None:
            if op.kind == "average":
                raise ModelError(
                    f"operator '{op.name}': padding {tuple(op.padding)} is not SAME or VALID"
                )
            source = self._padded(op.name, source, op.padding, graph.INT8_MIN)
            code = tflite.Padding.VALID
        self._enter(
            CODES.AVERAGE_POOL_2D if op.kind == "average" else CODES.MAX_POOL_2D,
            [source], op.output, "Pool2DOptions",
            Padding=code, StrideH=op.stride[0], StrideW=op.stride[1],
            FilterHeight=op.window[0], FilterWidth=op.window[1],
            FusedActivationFunction=_FUSED[op.activation],
        )  # fmt: skip

    def reduce(self, op: graph.Mean | graph.Reduce) -> None:
        total = isinstance(op, graph.Reduce) and op.kind == "sum"
        axes = self._integers(f"{op.name}/axes", [axis + 1 for axis in reduced_axes(op)])
        self._enter(
            CODES.SUM if total else CODES.MEAN, [op.inputs[0], axes], op.output,
            "ReducerOptions", KeepDims=op.keep_dims,
        )  # fmt: skip

    def reshape(self, op: graph.Reshape) -> None:
        self._reshape(op.name, op.inputs[0], op.output)

    def pad(self, op: graph.Pad) -> None:
        self._pad(op.name, op.inputs[0], op.output, op.padding.amounts)

    def surround(self, op: graph.Surround) -> None:
        self._pad(op.name, op.inputs[0], op.output, list(zip(op.before, op.after)), op.value)

    def softmax(self, op: graph.Softmax) -> None:
        self._enter(CODES.SOFTMAX, list(op.inputs), op.output, "SoftmaxOptions", Beta=op.beta)

    def log_softmax(self, op: graph.LogSoftmax) -> None:
        self._enter(CODES.LOG_SOFTMAX, list(op.inputs), op.output, "LogSoftmaxOptions")

    def l2_normalisation(self, op: graph.L2Normalisation) -> None:
        self._enter(CODES.L2_NORMALIZATION, list(op.inputs), op.output, "L2NormOptions")

    def concatenation(self, op: graph.Concatenation) -> None:
        self._enter(
            CODES.CONCATENATION, list(op.inputs), op.output, "ConcatenationOptions",
            Axis=op.axis + 1,
        )  # fmt: skip

    def slice(self, op: graph.Slice) -> None:
        self._slice(op.name, op.inputs[0], op.output, op.begin, op.stride)

    def transpose(self, op: graph.Transpose) -> None:
        order = self._integers(f"{op.name}/order", [0, *(axis + 1 for axis in op.permutation)])
        self._enter(CODES.TRANSPOSE, [op.inputs[0], order], op.output, "TransposeOptions")

    def resize(self, op: graph.ResizeBilinear | graph.ResizeNearest) -> None:
        size = self._integers(f"{op.name}/size", self.model.tensors[op.output].shape[:2])
        bilinear = isinstance(op, graph.ResizeBilinear)
        self._enter(
            CODES.RESIZE_BILINEAR if bilinear else CODES.RESIZE_NEAREST_NEIGHBOR,
            [op.inputs[0], size], op.output,
            "ResizeBilinearOptions" if bilinear else "ResizeNearestNeighborOptions",
            AlignCorners=op.align_corners, HalfPixelCenters=op.half_pixel_centers,
        )  # fmt: skip

    def depth_to_space(self, op: graph.DepthToSpace) -> None:
        self._enter(
            CODES.DEPTH_TO_SPACE, list(op.inputs), op.output, "DepthToSpaceOptions",
            BlockSize=op.block,
        )  # fmt: skip

    def space_to_depth(self, op: graph.SpaceToDepth) -> None:
        self._enter(
            CODES.SPACE_TO_DEPTH, list(op.inputs), op.output, "SpaceToDepthOptions",
            BlockSize=op.block,
        )  # fmt: skip


_WRITERS: dict[type[graph.Operator], Callable[[_Writer, Any], None]] = {
    graph.Convolution: _Writer.convolution,
    graph.DepthwiseConvolution: _Writer.convolution,
    graph.FullyConnected: _Writer.fully_connected,
    graph.Add: _Writer.add,
    graph.Elementwise: _Writer.elementwise,
    graph.Lookup: _Writer.lookup,
    graph.Pool: _Writer.pool,
    graph.Mean: _Writer.reduce,
    graph.Reduce: _Writer.reduce,
    graph.Reshape: _Writer.reshape,
    graph.Pad: _Writer.pad,
    graph.Surround: _Writer.surround,
    graph.Softmax: _Writer.softmax,
    graph.LogSoftmax: _Writer.log_softmax,
    graph.L2Normalisation: _Writer.l2_normalisation,
    graph.Concatenation: _Writer.concatenation,
    graph.Slice: _Writer.slice,
    graph.Transpose: _Writer.transpose,
    graph.Spread: _Writer.spread,
    graph.ResizeNearest: _Writer.resize,
    graph.ResizeBilinear: _Writer.resize,
    graph.DepthToSpace: _Writer.depth_to_space,
    graph.SpaceToDepth: _Writer.space_to_depth,
}
