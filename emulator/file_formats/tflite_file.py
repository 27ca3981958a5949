# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The tables of a ``.tflite`` file as they are, checked for what no sound file has."""

from __future__ import annotations

from typing import Any, NamedTuple

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.foreign import foreign_file
from axynq.emulator.file_formats.problems import DamagedError as DamagedError

_BUILTIN_NAMES: dict[int, str] = {
    code: name
    for name, code in vars(tflite.BuiltinOperator).items()
    if isinstance(code, int) and not name.startswith("_")
}
_TYPE_NAMES: dict[int, str] = {
    code: name.lower() for name, code in vars(tflite.TensorType).items() if isinstance(code, int)
}
_NUMPY_TYPES: dict[int, type[np.generic]] = {
    tflite.TensorType.INT8: np.int8,
    tflite.TensorType.UINT8: np.uint8,
    tflite.TensorType.INT32: np.int32,
    tflite.TensorType.INT64: np.int64,
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.BOOL: np.bool_,
}


_CALLERS = {
    tflite.BuiltinOperator.IF,
    tflite.BuiltinOperator.WHILE,
    tflite.BuiltinOperator.CALL,
    tflite.BuiltinOperator.CALL_ONCE,
    tflite.BuiltinOperator.STABLEHLO_WHILE,
    tflite.BuiltinOperator.STABLEHLO_REDUCE_WINDOW,
}
"""Operators that run subgraphs of their own."""


def require_identifier(content: bytes, name: str) -> None:
    """Raises:
    ModelError: a file is of another format; ``name`` is used in the message.
    """
    if len(content) < 16:
        raise ModelError(f"'{name}' is not a TFLite model: it has only {len(content)} bytes")
    if content[4:8] != b"TFL3":
        kind = foreign_file(content)
        known = f". It is {kind}" if kind else ""
        raise ModelError(f"'{name}' is not a TFLite model: it lacks the identifier 'TFL3'{known}")


class RawTensor(NamedTuple):
    """A tensor as the file has it."""

    name: str
    shape: tuple[int, ...]
    type: int
    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]
    constant: bool
    data: npt.NDArray[Any] | None
    scale_axis: int = 0
    """Along which there are several scales."""


class Node(NamedTuple):
    """An operator as the file has it."""

    number: int
    """Its index among the operators that are left, for names."""
    place: int
    """Its index among all operators of the file, for messages."""
    code: int
    custom: str
    """The name of a custom operator."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any
    options_type: int

    @property
    def kind(self) -> str:
        """The operator's name."""
        if self.code == tflite.BuiltinOperator.CUSTOM:
            return f"CUSTOM '{self.custom}'"
        return operator_name(self.code)


class TFLiteFile:
    """A file's tensors and operators, and which tensors are its inputs and outputs.

    Raises:
        ModelError: the file has several subgraphs, or contradicts itself.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._model = tflite.Model.GetRootAsModel(content, 0)
        if self._model.SubgraphsLength() != 1:
            raise ModelError(self._several_subgraphs())
        self._subgraph = self._model.Subgraphs(0)
        self.description = (self._model.Description() or b"").decode("utf-8", "replace")
        tensors, operators = self._subgraph.TensorsLength(), self._subgraph.OperatorsLength()
        if max(tensors, operators) > len(content):
            raise DamagedError("is damaged: it claims more tensors than the file has bytes")
        self.tensors = [self._tensor(index) for index in range(tensors)]
        self.nodes = [self._node(index) for index in range(operators)]
        self.inputs = self._ends("Inputs")
        self.outputs = self._ends("Outputs")

    def _several_subgraphs(self) -> str:
        """What a file with another number of subgraphs than one has them for."""
        codes = [
            operator_code(self._model.OperatorCodes(k))
            for k in range(min(self._model.OperatorCodesLength(), 256))
        ]
        used = sorted({operator_name(code) for code in codes if code in _CALLERS})
        reason = f" for {', '.join(used)} (branches, loops or memory)" if used else ""
        return f"has {self._model.SubgraphsLength()} subgraphs{reason}; only one is supported"

    def _tensor(self, index: int) -> RawTensor:
        tensor = self._subgraph.Tensors(index)
        shape = tuple(int(d) for d in _vector(tensor, "Shape"))
        if any(d < 0 for d in shape):
            raise DamagedError(
                f"is damaged: tensor {index} has a negative dimension: {list(shape)}"
            )
        quantisation = tensor.Quantization()
        scales, zero_points, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
        if quantisation is not None:
            scales = np.array(_vector(quantisation, "Scale"), np.float32)
            zero_points = np.array(_vector(quantisation, "ZeroPoint"), np.int64)
            axis = int(quantisation.QuantizedDimension())
        name = (tensor.Name() or b"").decode("utf-8", "replace")
        data = None
        content = self._buffer(tensor.Buffer())
        constant = len(content) > 0
        if constant and tensor.Sparsity() is None and tensor.Type() in _NUMPY_TYPES:
            dtype = np.dtype(_NUMPY_TYPES[tensor.Type()]).newbyteorder("<")
            if len(content) != dtype.itemsize * int(np.prod(shape, dtype=object)):
                raise DamagedError(
                    f"is damaged: constant '{name}' holds {len(content)} bytes for {list(shape)}"
                )
            data = np.frombuffer(content, dtype).astype(dtype.newbyteorder("=")).reshape(shape)
        return RawTensor(name, shape, tensor.Type(), scales, zero_points, constant, data, axis)

    def _buffer(self, index: int) -> bytes:
        """A buffer's content; large files have it behind the tables."""
        buffer = self._model.Buffers(index)
        if buffer is None:
            return b""
        if buffer.DataLength():
            return bytes(buffer.DataAsNumpy())
        if buffer.Offset() <= 1:  # what TFLite's converter puts there before it knows
            return b""
        content = self.content[buffer.Offset() : buffer.Offset() + buffer.Size()]
        if len(content) != buffer.Size():
            raise DamagedError(f"is damaged or truncated: it lacks the end of buffer {index}")
        return content

    def _node(self, index: int) -> Node:
        operator = self._subgraph.Operators(index)
        if not 0 <= operator.OpcodeIndex() < self._model.OperatorCodesLength():
            raise DamagedError(f"is damaged: operator {index} has no operator code")
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        inputs = tuple(int(i) for i in _vector(operator, "Inputs"))
        outputs = tuple(int(i) for i in _vector(operator, "Outputs"))
        if any(not -1 <= i < len(self.tensors) for i in inputs + outputs):
            raise DamagedError(f"is damaged: operator {index} names a tensor that does not exist")
        return Node(
            index,
            index,
            operator_code(code),
            (code.CustomCode() or b"").decode("utf-8", "replace"),
            inputs,
            outputs,
            operator.BuiltinOptions(),
            operator.BuiltinOptionsType(),
        )

    def _ends(self, field: str) -> list[int]:
        """The file's tensors that are inputs or outputs."""
        indices = [int(i) for i in _vector(self._subgraph, field)]
        if any(not 0 <= i < len(self.tensors) for i in indices):
            raise DamagedError(f"is damaged: one of its {field.lower()} does not exist")
        return indices


def _vector(table: Any, field: str) -> npt.NDArray[Any]:
    """A vector of numbers; absent and empty vectors alike are empty."""
    if getattr(table, f"{field}Length")() == 0:
        return np.zeros(0, np.int64)
    return np.asarray(getattr(table, f"{field}AsNumpy")())


def options_of(node: Node, kind: type[Any]) -> Any:
    """An operator's table of options.

    Raises:
        ModelError: it has none, or that of another operator.
    """
    if node.options is None:
        raise ModelError("lacks its options")
    if node.options_type != getattr(tflite.BuiltinOptions, kind.__name__):
        raise ModelError("has the options of another operator")
    options = kind()
    options.Init(node.options.Bytes, node.options.Pos)
    return options


def numpy_type(code: int) -> np.dtype[Any] | None:
    """numpy's type for a tensor's; None: it is none that is read."""
    return np.dtype(_NUMPY_TYPES[code]) if code in _NUMPY_TYPES else None


def operator_code(code: Any) -> int:
    """The builtin operator of an ``OperatorCode`` table, as TFLite finds it: the larger one of the
    field that files have today and of the deprecated one.

    The ``tflite`` package's ``BuiltinCode()`` takes codes below 127 from the deprecated field
    alone, which a file may leave out.
    """
    table = code._tab
    offset = table.Offset(10)
    numbers = flatbuffers.number_types
    today = table.Get(numbers.Int32Flags, offset + table.Pos) if offset else 0
    return max(int(today), int(code.DeprecatedBuiltinCode()))


def type_name(code: int) -> str:
    """A tensor's type."""
    return _TYPE_NAMES.get(code, f"of type {code}")


def operator_name(code: int) -> str:
    """A builtin operator."""
    return _BUILTIN_NAMES.get(code, f"operator code {code}")
