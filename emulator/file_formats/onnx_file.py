# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""An ONNX file's nodes, constants and ends, checked for what no sound file has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ModelError, ToolError
from axynq.emulator.file_formats.problems import DamagedError

Array = npt.NDArray[Any]

OLDEST_OPSET = 7
"""Before it, broadcasting was written otherwise."""

_STANDARD_DOMAINS = ("", "ai.onnx", "com.microsoft")


class Node(NamedTuple):
    """An operator as the file has it."""

    place: int
    """Its index among all operators of the file, for messages."""
    kind: str
    """The operator's name, with its domain where that is neither ONNX's nor Microsoft's."""
    inputs: tuple[str, ...]
    """Names; those that are left out are empty."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: Any
    """The ``NodeProto``."""

    def attribute(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)


class End(NamedTuple):
    """A network's input or output."""

    name: str
    type: str
    """numpy's name of the type."""
    shape: tuple[int | str, ...]
    """Names stand for dimensions that the file leaves open; ``?`` has no name."""


@dataclass(frozen=True)
class OnnxFile:
    """A file's graph, functions opened."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    opset: int
    opsets: Mapping[str, int] = field(default_factory=dict)


def package() -> Any:
    """The ``onnx`` package.

    Raises:
        ToolError: it is not installed.
    """
    try:
        import onnx
        import onnx.inliner
        import onnx.numpy_helper
        import onnx.reference
    except ModuleNotFoundError as error:
        raise ToolError(
            "reading ONNX networks needs the package onnx: pip install 'axynq[onnx]'"
        ) from error
    return onnx


def parse(content: bytes, folder: Path | None) -> OnnxFile:
    """Read a file's content; ``folder`` is where its external data lies.

    Raises:
        ModelError: the file is damaged or truncated, lacks its external data, or is of a version
            that is not supported.
        ToolError: the package ``onnx`` is not installed.
    """
    onnx = package()
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf has its own kinds of error
        raise ModelError("is damaged or truncated: it is no protobuf message of ONNX") from error
    if not model.graph.node:
        raise ModelError("has no operators" if model.graph.ByteSize() else "is damaged: no graph")
    _read_external(onnx, model, folder)
    opsets = {_text(each.domain): int(each.version) for each in model.opset_import}
    opset = opsets.get("", opsets.get("ai.onnx", 0))
    if opset < OLDEST_OPSET:
        raise ModelError(
            f"has opset {opset}; {OLDEST_OPSET} is the oldest that is supported: convert it with "
            "onnx.version_converter, or export it again"
        )
    if model.functions:
        _refuse_recursion(model.functions)
        try:
            model = onnx.inliner.inline_local_functions(model)
        except Exception as error:  # the inliner is C++ and ends in any error
            raise DamagedError(
                f"has functions that cannot be opened ({_first_line(error)})"
            ) from error
    graph = model.graph
    if graph.sparse_initializer:
        raise ModelError("has sparse constants, which are not supported")
    constants = {_text(each.name): _array(onnx, each) for each in graph.initializer}
    inputs = tuple(_end(onnx, each) for each in graph.input if _text(each.name) not in constants)
    outputs = tuple(_end(onnx, each) for each in graph.output)
    nodes = tuple(_node(onnx, place, each) for place, each in enumerate(graph.node))
    return OnnxFile(nodes, constants, inputs, outputs, opset, opsets)


def _refuse_recursion(functions: Sequence[Any]) -> None:
    """Raises:
    DamagedError: a function calls itself, which the inliner would follow until the process dies.
    """
    calls = {
        (each.domain, each.name, getattr(each, "overload", "")): {
            (node.domain, node.op_type, getattr(node, "overload", ""))
            for node in _all_nodes(each.node)
        }
        for each in functions  # onnx before 1.16 knows no overloads
    }
    try:
        TopologicalSorter(calls).prepare()
    except CycleError as error:
        raise DamagedError("has functions that call themselves") from error


def _all_nodes(nodes: Sequence[Any]) -> Iterator[Any]:
    """Operators and those of their branches."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_nodes(inner.node)


def _read_external(onnx: Any, model: Any, folder: Path | None) -> None:
    tensors = [
        each for each in model.graph.initializer if each.data_location == onnx.TensorProto.EXTERNAL
    ]
    if not tensors:
        return
    files = sorted({e.value for t in tensors for e in t.external_data if e.key == "location"})
    if folder is None:
        raise ModelError(f"has its constants in another file ({', '.join(files)})")
    try:
        onnx.load_external_data_for_model(model, str(folder))
    except Exception as error:  # whatever onnx's checks and the file system raise
        raise ModelError(
            f"has its constants in {', '.join(files)}, which cannot be read: it belongs beside "
            f"the .onnx file ({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _array(onnx: Any, tensor: Any) -> Array:
    """A constant.

    Raises:
        DamagedError: it holds another number of bytes than its shape needs.
    """
    if any(d < 0 for d in tensor.dims):
        raise DamagedError(f"is damaged: constant '{tensor.name}' has a negative dimension")
    try:
        array = np.asarray(onnx.numpy_helper.to_array(tensor))
        if tensor.data_type == onnx.TensorProto.INT4:
            return array.astype(np.int8)
        if tensor.data_type == onnx.TensorProto.UINT4:
            return array.astype(np.uint8)
        return array
    except Exception as error:  # to_array verifies nothing and ends in any error
        raise DamagedError(
            f"is damaged: constant '{tensor.name}' cannot be read ({_first_line(error)})"
        ) from error


def _node(onnx: Any, place: int, proto: Any) -> Node:
    kind = _text(proto.op_type)
    if _text(proto.domain) not in _STANDARD_DOMAINS:
        kind = f"{_text(proto.domain)}.{kind}"
    attributes: dict[str, Any] = {}
    for each in proto.attribute:
        if each.type == onnx.AttributeProto.TENSOR:
            attributes[_text(each.name)] = _array(onnx, each.t)
        elif each.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            attributes[_text(each.name)] = None
        else:
            try:
                value = onnx.helper.get_attribute_value(each)
            except ValueError as error:
                raise DamagedError(
                    f"is damaged: operator {place} ({_first_line(error)})"
                ) from error
            attributes[_text(each.name)] = _text(value) if isinstance(value, bytes) else value
    inputs, outputs = (tuple(map(_text, names)) for names in (proto.input, proto.output))
    return Node(place, kind, inputs, outputs, attributes, proto)


def _text(value: str | bytes) -> str:
    """Text of a file, which is bytes where it is no UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _end(onnx: Any, value: Any) -> End:
    tensor = value.type.tensor_type
    if value.type.WhichOneof("value") != "tensor_type":
        raise ModelError(f"'{_text(value.name)}' is no tensor, which is not supported")
    known = onnx.TensorProto.DataType.values()
    if tensor.elem_type not in known or tensor.elem_type == 0:
        type_ = f"of type {tensor.elem_type}"
    else:
        type_ = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        type_ = {"float": "float32", "double": "float64"}.get(type_, type_)
    shape = tuple(
        int(d.dim_value) if d.WhichOneof("value") == "dim_value" else (_text(d.dim_param) or "?")
        for d in tensor.shape.dim
    )
    if not tensor.HasField("shape"):
        shape = ()
    return End(_text(value.name), type_, shape)
