# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reads an int8 ``.tflite`` file into the typed graph. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import tflite

from axynq.emulator import files
from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats import tflite_static
from axynq.emulator.file_formats.foreign import foreign_folder
from axynq.emulator.file_formats.problems import by_operator, content_of, errors_named
from axynq.emulator.file_formats.tflite_dilation import without_batches
from axynq.emulator.file_formats.tflite_ends import Ends, find_ends
from axynq.emulator.file_formats.tflite_file import (
    DamagedError,
    Node,
    TFLiteFile,
    require_identifier,
)
from axynq.emulator.file_formats.tflite_layers import LAYERS
from axynq.emulator.file_formats.tflite_movements import MOVEMENTS
from axynq.emulator.file_formats.tflite_problems import (
    all_together,
    not_int8,
    not_supported,
    refuse_compiled,
)
from axynq.emulator.file_formats.tflite_reading import Reading
from axynq.emulator.file_formats.tflite_values import VALUES
from axynq.emulator.model import graph

HANDLERS: dict[int, Callable[[Reading, Node], None]] = {**LAYERS, **VALUES, **MOVEMENTS}
"""What reads each operator."""


def load_model(path: str | Path) -> graph.Model:
    """Read an int8 ``.tflite`` network.

    QUANTIZE and DEQUANTIZE operators at inputs and outputs are left out: the model's inputs and
    outputs are the int8 tensors behind them, and remember what the file has there. What is not
    int8 at the end of a file is left out as well, and :attr:`~axynq.emulator.model.graph.Model`'s
    ``notes`` say so.

    Raises:
        ModelError: the file does not exist, is damaged, is not an int8 model, or uses operators
            or options that are not supported. The message names all offences of a kind.
    """
    path = Path(path)
    if files.is_folder(path):
        raise ModelError(f"model '{path}' is {foreign_folder(path)}")
    return parse_model(content_of(path), path.name)


def parse_model(data: bytes, name: str = "model") -> graph.Model:
    """As :func:`load_model`, from the file's content; ``name`` is used in messages."""
    require_identifier(data, name)
    with errors_named(name):
        return _Reader(data, name).read()


class _Reader:
    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self.file = TFLiteFile(data)
        self.reading = Reading(self.file)
        self.unread: set[int] = set()  # outputs of operators that cannot be read

    def read(self) -> graph.Model:
        if not self.file.nodes:
            raise ModelError("has no operators")
        refuse_compiled(self.file.nodes)
        ends = find_ends(self.file)
        problems = [
            f"has no {what}"
            for found, what in ((ends.sources, "input"), (ends.targets, "output"))
            if not found
        ]
        problems += not_int8(self.file, ends.nodes)
        if problems:
            raise all_together(not_supported(ends.nodes, self._known()), problems, HANDLERS)
        self._operators(ends)
        return self._model(ends)

    def _model(self, ends: Ends) -> graph.Model:
        reading = self.reading
        for end in ends.targets:
            if reading.is_static(end.tensor):
                name = self.file.tensors[end.tensor].name
                raise ModelError(f"its output '{name}' follows from constants and shapes alone")
            if end.tensor not in reading.index_of:
                raise DamagedError("is damaged: no operator computes the output")
        sources = tuple(reading.index_of[end.tensor] for end in ends.sources)
        targets = tuple(reading.index_of[end.tensor] for end in ends.targets)
        if set(sources) & set(targets):
            raise ModelError("has an input that is its output as well: leave that output out")
        if reading.doubled:
            count = len(reading.doubled)
            ends.notes.append(
                f"In {count} layer{'s' if count > 1 else ''} int8 does not hold all weights less "
                "their zero point. Such a layer sees inputs twice, the second time with the rest "
                "of the weights, and multiplies more often."
            )
        for index, end in zip((*sources, *targets), (*ends.sources, *ends.targets)):
            reading.tensors[index] = replace(reading.tensors[index], interface=end.interface)
        return graph.Model(
            Path(self.name).stem,
            tuple(reading.tensors),
            tuple(reading.operators),
            sources,
            targets,
            reading.constants,
            tuple(ends.notes),
        )

    def _operators(self, ends: Ends) -> None:
        """All operators, or one error that says what is wrong with the inputs and each of them."""
        reading = self.reading
        reading.real = ends.real
        nodes, reading.dilations = without_batches(self.file, ends.nodes)
        problems: list[str] = []
        complaints: dict[str, list[Node]] = {}
        for end in ends.sources:
            try:
                reading.activation(end.tensor)
            except ModelError as error:
                problems.append(str(error))
                self.unread.add(end.tensor)
        unknown: list[Node] = []
        number = 0
        for node in nodes:
            try:
                if self._fold(node):
                    continue
                if node.code not in HANDLERS:
                    unknown.append(node)
                    self._skip(node)
                    continue
                if any(i in self.unread for i in node.inputs):
                    self._skip(node)  # a complaint would only repeat the one that is known
                    continue
                self._check_new(node)
                before = len(reading.operators)
                HANDLERS[node.code](reading, node._replace(number=number))
                number += len(reading.operators) > before
            except DamagedError as error:
                raise DamagedError(f"operator {node.place} ({node.kind}): {error}") from error
            except ModelError as error:
                complaints.setdefault(str(error), []).append(node)
                self._skip(node)
        problems += by_operator(complaints)
        listed = not_supported(unknown, HANDLERS)
        if listed or problems:
            raise all_together(listed, problems, HANDLERS)

    def _fold(self, node: Node) -> bool:
        """Compute what follows from constants and shapes; whether that is all of an operator."""
        reading = self.reading
        if node.code not in tflite_static.OPERATORS or len(node.outputs) != 1:
            return False
        (target,) = node.outputs
        raw = self.file.tensors[target] if target >= 0 else None
        if raw is None or len(raw.scales):
            return False
        if node.code == tflite.BuiltinOperator.SHAPE:
            if node.inputs and node.inputs[0] in reading.index_of:
                reading.static[target] = tflite_static.shape_of(self.file, node, raw.type)
                return True
            return False
        if not node.inputs or any(i < 0 or not reading.is_static(i) for i in node.inputs):
            return False
        values = [reading.values(i) for i in node.inputs]
        known = [value for value in values if value is not None]
        if len(known) != len(values):
            return False
        reading.static[target] = tflite_static.folded(node, known, raw.type, raw.shape)
        return True

    def _known(self) -> Sequence[int]:
        """Operators that need no complaint."""
        return (*HANDLERS, *tflite_static.OPERATORS)

    def _check_new(self, node: Node) -> None:
        if any(i in self.reading.index_of for i in node.outputs):
            raise DamagedError("is damaged: it computes a tensor that is there already")

    def _skip(self, node: Node) -> None:
        """Enter the outputs of an operator that cannot be read, so that those after it can."""
        for index in node.outputs:
            if index >= 0 and index not in self.reading.index_of:
                try:
                    self.reading.activation(index)
                except ModelError:
                    self.unread.add(index)
