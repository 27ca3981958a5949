# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The operators that the host computes, as data: a program's file holds them as JSON and arrays, so
that a board needs no file of the network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.model import graph

KINDS = {
    kind.__name__: kind
    for kind in vars(graph).values()
    if isinstance(kind, type) and issubclass(kind, graph.Operator)
}
"""Every operator of the graph by its name in files."""

Array = npt.NDArray[Any]


class Arrays:
    """Arrays that JSON refers to by number."""

    def __init__(self) -> None:
        self.values: list[Array] = []

    def add(self, values: Array) -> dict[str, int]:
        """What stands for an array in JSON."""
        self.values.append(np.ascontiguousarray(values))
        return {"array": len(self.values) - 1}

    def describe(self) -> list[dict[str, Any]]:
        """Types and shapes, in order."""
        return [
            {"type": a.dtype.newbyteorder("<").str, "shape": list(a.shape)} for a in self.values
        ]

    def content(self) -> bytes:
        """All values, one array behind the other, little-endian."""
        return b"".join(
            a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes() for a in self.values
        )

    @classmethod
    def read(cls, descriptions: list[dict[str, Any]], content: bytes) -> Arrays:
        """The arrays that :meth:`describe` and :meth:`content` gave."""
        arrays, start = cls(), 0
        for each in descriptions:
            kind = np.dtype(each["type"])
            count = int(np.prod(each["shape"], dtype=np.int64))
            values = np.frombuffer(content, kind, count, start)
            arrays.values.append(values.astype(kind.newbyteorder("=")).reshape(each["shape"]))
            start += values.nbytes
        return arrays


@dataclass(frozen=True)
class Assigned:
    """Which multiplier a layer's weights have, for a layer that the host computes."""

    multipliers: tuple[str, ...]
    """Their specifications."""
    codes: npt.NDArray[np.uint8]
    """As :class:`axynq.emulator.plan.LayerCodes` holds them."""


def encode_model(model: graph.Model, arrays: Arrays) -> dict[str, Any]:
    """A network as JSON."""
    return {
        "name": model.name,
        "tensors": [asdict(tensor) for tensor in model.tensors],
        "operators": [_operator(op, arrays) for op in model.operators],
        "inputs": model.inputs,
        "outputs": model.outputs,
        "constants": [[index, arrays.add(values)] for index, values in model.constants.items()],
    }


def decode_model(content: dict[str, Any], arrays: Arrays) -> graph.Model:
    """The network that :func:`encode_model` made JSON of."""
    return graph.Model(
        content["name"],
        tuple(decode_tensor(tensor) for tensor in content["tensors"]),
        tuple(_decoded(op, arrays) for op in content["operators"]),
        tuple(content["inputs"]),
        tuple(content["outputs"]),
        {index: arrays.values[held["array"]] for index, held in content["constants"]},
    )


def decode_tensor(content: dict[str, Any]) -> graph.Tensor:
    """A tensor of JSON."""
    held = content["interface"]
    interface = None if held is None else graph.Interface(**held)
    return graph.Tensor(**{**content, "shape": tuple(content["shape"]), "interface": interface})


def _operator(op: graph.Operator, arrays: Arrays) -> dict[str, Any]:
    content: dict[str, Any] = {"operator": type(op).__name__}
    for item in fields(op):
        value = getattr(op, item.name)
        if isinstance(value, np.ndarray):
            value = arrays.add(value)
        elif isinstance(value, graph.Padding):
            value = {"padding": value}
        content[item.name] = value
    return content


def _decoded(content: dict[str, Any], arrays: Arrays) -> graph.Operator:
    kind = KINDS[content["operator"]]
    values: dict[str, Any] = {}
    for item in fields(kind):
        value = content[item.name]
        if isinstance(value, list):
            value = tuple(value)
        elif isinstance(value, dict) and "padding" in value:
            value = graph.Padding(*value["padding"])
        elif isinstance(value, dict):
            value = arrays.values[value["array"]]
        values[item.name] = value
    return kind(**values)
