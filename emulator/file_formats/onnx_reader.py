# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reads a quantised ONNX network, QDQ or QOperator, into the typed graph."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats import onnx_file
from axynq.emulator.file_formats.onnx_drawing import (
    Drawing,
    Flat,
    Held,
    default_order,
    straight_order,
)
from axynq.emulator.file_formats.onnx_file import Array, End, Node, OnnxFile
from axynq.emulator.file_formats.onnx_folding import FOLDED, constant_of, fold_fixed
from axynq.emulator.file_formats.onnx_hints import hints
from axynq.emulator.file_formats.onnx_operators import HANDLERS
from axynq.emulator.file_formats.onnx_quantised import QOPERATORS, input_quantisation
from axynq.emulator.file_formats.onnx_reading import Reading
from axynq.emulator.file_formats.onnx_values import Curve, Fixed, Pending, Value
from axynq.emulator.file_formats.onnx_walk import walked
from axynq.emulator.file_formats.problems import (
    DamagedError,
    by_operator,
    content_of,
    errors_named,
    together,
    unknown_operators,
)
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Activation, Quantisation

QUANTISE = "quantise it with `axynq quantise MODEL --data DATA --output OUT.tflite`"

_DYNAMIC = ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul",
            "DynamicQuantizeLSTM", "MatMulIntegerToFloat")  # fmt: skip


def load_onnx_model(path: str | Path) -> graph.Model:
    """Read a quantised ONNX network.

    Raises:
        ModelError: the file cannot be read, is damaged, is not quantised to 8 bits, or uses
            operators or options that are not supported. The message names all offences of a kind.
        ToolError: the package ``onnx`` is not installed.
    """
    path = Path(path)
    return parse_onnx_model(content_of(path), path.name, path.parent)


def parse_onnx_model(
    content: bytes, name: str = "model", folder: Path | None = None
) -> graph.Model:
    """As :func:`load_onnx_model`, from the file's content; ``name`` is used in messages, and
    ``folder`` is where constants in other files lie."""
    with errors_named(name):
        return _Reader(onnx_file.parse(content, folder), Path(name).stem).read()


def is_quantised(file: OnnxFile) -> bool:
    """Whether a network has anything quantised."""
    return any(
        node.kind in ("QuantizeLinear", "DequantizeLinear") or node.kind in QOPERATORS
        for node in file.nodes
    )


class _Reader:
    def __init__(self, file: OnnxFile, name: str) -> None:
        self.name = name
        self.file = file
        self.reading = Reading(file)
        self.unread: set[str] = set()
        self.inputs: dict[str, int] = {}
        self.interfaces: dict[int, graph.Interface] = {}

    def read(self) -> graph.Model:
        self._refuse_other_kinds()
        self.reading.values.update(self.file.constants)
        problems = self._inputs()
        unknown, complaints = walked(self.file, self._known, self._node, self.unread)
        outputs, left_out = self._ends()
        unknown = [node for node in unknown if node not in left_out]
        for text, nodes in complaints.items():
            complaints[text] = [node for node in nodes if node not in left_out]
        problems += by_operator({text: nodes for text, nodes in complaints.items() if nodes})
        if unknown or problems:
            raise together(unknown_operators(unknown, hints), problems, HANDLERS)
        if left_out:
            self.reading.notes.append(_said(left_out, outputs))
        return self._model(outputs)

    def _refuse_other_kinds(self) -> None:
        dynamic = sorted({node.kind for node in self.file.nodes if node.kind in _DYNAMIC})
        if dynamic:
            raise ModelError(
                f"is quantised dynamically ({', '.join(dynamic)}): its scales are computed for "
                "each input, which no integer network does. Quantise it statically "
                f"(quantize_static of onnxruntime), or give the float network and {QUANTISE}"
            )
        if not is_quantised(self.file):
            raise ModelError(f"is a float network: {QUANTISE}")

    def _known(self, node: Node) -> bool:
        constant = all(
            isinstance(self.reading.values.get(name), (np.ndarray, Fixed))
            for name in node.inputs
            if name
        )
        return (
            node.kind in HANDLERS
            or node.kind in ("Constant", "Shape", "Size")
            or (constant and node.kind in FOLDED)
        )

    # --- inputs ----------------------------------------------------------------------------------

    def _inputs(self) -> list[str]:
        """Enter all inputs; what is wrong with them."""
        problems = []
        read = {name for node in self.file.nodes for name in node.inputs}
        for end in self.file.inputs:
            if end.name in read:
                try:
                    self.reading.values[end.name] = self._input(end)
                except ModelError as error:
                    problems.append(str(error))
                    self.unread.add(end.name)
        problems += [
            f"has no {what}"
            for ends, what in ((self.file.inputs, "inputs"), (self.file.outputs, "outputs"))
            if not ends
        ]
        return problems

    def _input(self, end: End) -> Value:
        shape = input_shape(end)
        order = input_order(self.file, end.name, shape)
        stored = tuple(shape[axis] for axis in order)
        if end.type in ("int8", "uint8"):
            unsigned = end.type == "uint8"
            quantisation = input_quantisation(self.reading, end.name, unsigned)
            if quantisation is None:
                raise ModelError(f"does not say what the integers of its input '{end.name}' mean")
            tensor = self.reading.tensor(end.name, stored, quantisation)
            self.inputs[end.name] = tensor
            if unsigned:
                self.interfaces[tensor] = graph.Interface(
                    end.name, "uint8", quantisation.scale, quantisation.zero_point + 128
                )
            return Held(tensor, shape, order, False, unsigned)
        if end.type != "float32":
            raise ModelError(
                f"its input '{end.name}' is {end.type}; float32, int8 and uint8 are supported"
            )

        def emit(quantisation: Quantisation, activation: Activation) -> Held:
            if end.name in self.inputs:
                known = self.reading.drawing.tensors[self.inputs[end.name]].quantisation
                if known == quantisation:
                    return Held(self.inputs[end.name], shape, order)
                raise ModelError(
                    f"quantises the input '{end.name}' in another way than before ({known} and "
                    f"{quantisation})"
                )
            tensor = self.reading.tensor(end.name, stored, quantisation)
            self.inputs[end.name] = tensor
            self.interfaces[tensor] = graph.Interface(end.name, "float32")
            return Held(tensor, shape, order)

        node = Node(-1, "input", (), (end.name,), {}, None)
        return Pending(node, shape, emit)

    # --- operators -------------------------------------------------------------------------------

    def _node(self, node: Node) -> None:
        if any(name and name in self.reading.values for name in node.outputs):
            raise DamagedError("is damaged: it computes a tensor that is there already")
        values = self._values(node)
        wanted = list(node.outputs)
        if len(values) < len([name for name in wanted if name]):
            raise ModelError(f"has {len(wanted)} outputs")
        for name, value in zip(wanted, values):
            if name:
                self.reading.values[name] = value

    def _values(self, node: Node) -> list[Value]:
        reading = self.reading
        inputs = [reading.optional(node, k) for k in range(len(node.inputs))]
        if node.kind == "Constant":
            return [constant_of(node)]
        if node.kind in ("Shape", "Size") and inputs and inputs[0] is not None:
            return [shape_of(node, inputs[0].shape)]
        constants = [v for v in inputs if v is None or isinstance(v, (np.ndarray, Fixed))]
        if len(constants) == len(inputs) and node.kind in FOLDED:
            return list(fold_fixed(node, constants, self.file.opsets))
        with np.errstate(over="ignore"):
            result = HANDLERS[node.kind](reading, node)
        return result if isinstance(result, list) else [result]

    # --- outputs ---------------------------------------------------------------------------------

    def _ends(self) -> tuple[list[str], list[Node]]:
        """Names of the outputs, with what is still quantised in place of what is not, and the
        operators after that."""
        values, names, left_out = self.reading.values, [], []
        for end in self.file.outputs:
            value = values.get(end.name)
            if isinstance(value, Curve) and self.reading.holds(value):
                values[end.name] = value = self.reading.held(value)
            known = isinstance(value, (Held, Flat, np.ndarray, Fixed))
            before = None if known else self._quantised_before(end.name)
            if before is None:
                names.append(end.name)
            else:
                names += before[0]
                left_out += [node for node in before[1] if node not in left_out]
        return list(dict.fromkeys(names)), left_out

    def _quantised_before(self, output: str) -> tuple[list[str], list[Node]] | None:
        """The quantised tensors that an output is computed from, and the operators between; None
        where there are none, or layers are among the operators."""
        writers = {name: node for node in self.file.nodes for name in node.outputs}
        names: list[str] = []
        between: list[Node] = []
        waiting = [output]
        while waiting:
            node = writers.get(waiting.pop(0))
            if node is None or node.kind in _KEPT or node.kind in QOPERATORS:
                return None
            if node in between:
                continue
            between.append(node)
            for name in filter(None, node.inputs):
                value = self.reading.values.get(name)
                if isinstance(value, (Held, Flat)):
                    names.append(name)
                elif not isinstance(value, (np.ndarray, Fixed)):
                    waiting.append(name)
        return (names, between) if names else None

    def _model(self, outputs: list[str]) -> graph.Model:
        reading, targets = self.reading, []
        for name in outputs:
            if name not in reading.values:
                raise DamagedError(f"is damaged: no operator computes the output '{name}'")
            value = self._output(name, reading.values[name])
            value = reading.drawing.in_order(value, output_order(self.file, name, value.shape))
            if value.tensor in self.inputs.values():
                raise ModelError("has an input that is its output as well: leave that output out")
            if value.real:
                self.interfaces[value.tensor] = graph.Interface(name, "float32")
            elif value.unsigned:
                scale, zero_point = reading.quantisation(value)
                self.interfaces[value.tensor] = graph.Interface(
                    name, "uint8", scale, zero_point + 128
                )
            targets.append(value.tensor)
        for end in self.file.inputs:
            if end.name not in self.inputs:
                self.reading.notes.append(
                    f"Input '{end.name}' is left out, as no operator reads it."
                )
        sources = [self.inputs[end.name] for end in self.file.inputs if end.name in self.inputs]
        model = finished(self.name, reading.drawing, sources, targets, self.interfaces)
        return replace(model, notes=tuple(self.reading.notes))

    def _output(self, name: str, value: Value) -> Held:
        """The int8 tensor behind an output."""
        if isinstance(value, Pending) and value.node.place < 0:
            raise ModelError(
                f"its output '{name}' is an input that nothing quantises: leave that output out"
            )
        if isinstance(value, Pending):
            raise ModelError(
                f"its output '{name}' is the result of operator {value.node.place} "
                f"({value.node.kind}), which is not quantised: a QuantizeLinear after it is missing"
            )
        if not isinstance(value, (Held, Flat)):
            raise ModelError(f"its output '{name}' is a constant")
        return self.reading.drawing.settled(value)


_KEPT = ("Conv", "ConvTranspose", "Gemm", "MatMul", "QuantizeLinear", "DequantizeLinear")
"""Operators that are never left out at the end: layers, and those that show that a network goes on
in int8."""


def _said(left_out: list[Node], outputs: list[str]) -> str:
    """What a user should know of an end that is left out."""
    counts = Counter(node.kind for node in left_out)
    kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(counts.items()))
    names = ", ".join(f"'{name}'" for name in outputs)
    return (
        f"The end of the file is not int8 and is left out: {kinds}. The outputs are those int8 "
        f"tensors that it begins from: {names}."
    )


def shape_of(node: Node, shape: tuple[int, ...]) -> Array:
    """What Shape or Size gives of a shape."""
    if node.kind == "Size":
        return np.asarray(math.prod(shape), np.int64)
    start, end = node.attribute("start", 0), node.attribute("end", len(shape))
    return np.asarray(shape[int(start) : int(end)], np.int64)


def input_shape(end: End) -> tuple[int, ...]:
    """An input's shape for one image.

    Raises:
        ModelError: another dimension than the first is left open, or there are several images.
    """
    sizes = [size if isinstance(size, int) else None for size in end.shape]
    if sizes and (sizes[0] is None or sizes[0] < 1):
        sizes[0] = 1
    if not sizes or any(size is None or size < 1 for size in sizes):
        raise ModelError(
            f"its input '{end.name}' has shape [{', '.join(map(str, end.shape))}]; all but the "
            "first dimension need a fixed size (python -m "
            "onnxruntime.tools.make_dynamic_shape_fixed gives them one)"
        )
    if sizes[0] != 1:
        raise ModelError(
            f"its input '{end.name}' has {sizes[0]} images; export the network for 1 or any number"
        )
    return tuple(size for size in sizes if size is not None)


_PASSED = ("QuantizeLinear", "DequantizeLinear", "Identity", "Cast")
"""Operators that leave the order of axes as it is."""


def input_order(file: OnnxFile, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Maps have channels last; those that the file has so already are left alone."""
    readers = [node for node in file.nodes if name in node.inputs]
    for _ in file.nodes:  # a damaged file may lead round in a circle
        if len(readers) != 1 or readers[0].kind not in _PASSED:
            break
        (output,) = readers[0].outputs[:1]
        readers = [node for node in file.nodes if output in node.inputs]
    channels_last = any(
        node.kind == "Transpose" and list(node.attribute("perm", [])) == [0, 3, 1, 2]
        for node in readers
    )
    return straight_order(shape) if channels_last else default_order(shape)


def output_order(file: OnnxFile, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """As :func:`input_order`, of an output."""
    writer = None
    for _ in file.nodes:
        writer = next((node for node in file.nodes if name in node.outputs), None)
        if writer is None or writer.kind not in _PASSED:
            break
        name = writer.inputs[0]
    turned = (
        writer is not None
        and writer.kind == "Transpose"
        and list(writer.attribute("perm", [])) == [0, 2, 3, 1]
    )
    return straight_order(shape) if turned else default_order(shape)


# --- the graph -----------------------------------------------------------------------------------


def finished(
    name: str,
    drawing: Drawing,
    inputs: list[int],
    outputs: list[int],
    interfaces: dict[int, graph.Interface],
) -> graph.Model:
    """The drawing as a graph, without what no output needs."""
    operators, number = needed(drawing, inputs, outputs)
    tensors = []
    for index in sorted(number):
        sketch = drawing.tensors[index]
        assert sketch.quantisation is not None
        scale, zero_point = sketch.quantisation
        tensors.append(
            graph.Tensor(sketch.name, sketch.shape, scale, zero_point, interfaces.get(index))
        )
    return graph.Model(
        name,
        tuple(tensors),
        tuple(operators),
        tuple(number[i] for i in inputs),
        tuple(number[i] for i in outputs),
        {number[i]: values for i, values in drawing.constants.items() if i in number},
    )


def needed(
    drawing: Drawing, inputs: list[int], outputs: list[int]
) -> tuple[list[graph.Operator], dict[int, int]]:
    """The operators that outputs need, named anew after their places, and the new index of each
    tensor."""
    wanted, kept = set(outputs), []
    for op in reversed(drawing.operators):
        if op.output in wanted:
            wanted.update(op.inputs)
            kept.append(op)
    kept.reverse()
    number = {old: new for new, old in enumerate(sorted(wanted | set(inputs)))}
    renamed: dict[str, int] = {}
    operators = []
    for place, op in enumerate(kept):
        prefix, old, suffix = _parts(op.name)
        if suffix:  # a group's layers share the number of the first
            place = renamed.setdefault(f"{prefix}_{old}", place)
        operators.append(
            replace(
                op,
                name=f"{prefix}_{place}{suffix}",
                inputs=tuple(number[i] for i in op.inputs),
                output=number[op.output],
            )
        )
    return operators, number


_NAME = re.compile(r"(.+?)_(\d+)(_group_\d+)?$")


def _parts(name: str) -> tuple[str, int, str]:
    match = _NAME.fullmatch(name)
    assert match is not None, name
    return match[1], int(match[2]), match[3] or ""
