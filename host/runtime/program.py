# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Compiled programs: all that a board needs to run a network under a plan on an overlay.

This module needs numpy only. A program file (``.axp``) consists of ``AXYNQ\\0`` and a format
number, the SHA-256 of the rest, the length of a JSON description, the description, the memory image
that the core reads, and the arrays of the operators that the host computes.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.errors import ModelError, ProgramError
from axynq.emulator.model import graph
from axynq.host.runtime.serialised import (
    Arrays,
    Assigned,
    decode_model,
    decode_tensor,
    encode_model,
)

_MAGIC = b"AXYNQ\0"
_FORMAT = 3
_PREFIX = struct.Struct("<6sH32sI")

_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError,
             MemoryError, RecursionError, ModelError)  # fmt: skip
"""What decoding JSON of any other form ends in."""

Int8 = npt.NDArray[np.int8]


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor is in the memory that host and accelerator share."""

    tensor: graph.Tensor
    pixels: int
    channels: int
    offset: int
    """Words before it, for each image of the batch."""
    image_words: int
    """Words that it takes per image."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape, without the batch."""
        return self.tensor.shape

    def pack(self, values: Int8, word_bytes: int) -> Int8:
        """A batch ``[images, *shape]`` in the accelerator's layout, [images, bytes per image]."""
        packed = np.zeros((len(values), self.image_words * word_bytes), np.int8)
        pixels = packed.reshape(len(values), self.pixels, -1)
        pixels[:, :, : self.channels] = values.reshape(len(values), self.pixels, self.channels)
        return packed

    def unpack(self, raw: Int8) -> Int8:
        """The inverse of :meth:`pack`: ``[images, *shape]`` from [images, bytes per image]."""
        pixels = raw.reshape(len(raw), self.pixels, -1)
        return np.ascontiguousarray(pixels[:, :, : self.channels]).reshape(len(raw), *self.shape)


@dataclass(frozen=True)
class CoreStage:
    """A stage on the accelerator: one start of the core."""

    commands: int
    """Offset of its commands in the memory image, in bytes."""
    first_layer: int
    """Index of its first layer in :attr:`Program.layers`."""
    layers: int
    """Number of its layers."""
    packs: tuple[int, ...]
    """Tensors of the host that are written to memory first."""


@dataclass(frozen=True)
class HostStage:
    """A stage on the host: consecutive operators of :attr:`Program.host_operators`."""

    first_operator: int
    """Index of the first one."""
    operators: int
    """Number of them."""


Stage = Union[CoreStage, HostStage]


@dataclass(frozen=True)
class Program:
    """A network under a plan, compiled for an overlay.

    :func:`compile_program` makes it, and :meth:`Accelerator.run` runs it. A saved program
    (``.axp``) needs neither the network's file nor the plan.

    Examples:
        >>> compile_program(model, "roup:1,4", "z2-roup16").save("model.axp")
        >>> program = Program.load("model.axp")
        >>> [operator.name for operator in program.host_operators]
        ['softmax_10']
    """

    model: str
    """Name of the network."""
    overlay: str
    """Name of the overlay."""
    overlay_hash: str
    """Hash of the overlay, in hex, which the accelerator compares with its own."""
    word_bytes: int
    """Bytes of a memory word."""
    arena_words: int
    """Words that the feature maps of one image take in the arena."""
    stages: tuple[Stage, ...]
    """The stages of core and host, in order of execution."""
    network: graph.Model
    """The host's view of the network: all tensors, and the operators that the host computes."""
    home: dict[int, int]
    """For tensors that share the memory of another one (same values, same order), that tensor."""
    places: dict[int, TensorPlace]
    """Where the tensors are that the accelerator reads or writes, by their homes."""
    layers: tuple[str, ...]
    """Names of the layers that the accelerator runs, in order."""
    plan: dict[str, Any]
    """Number of weights by multiplier, for each layer."""
    memory: npt.NDArray[np.uint8] = field(repr=False)
    """The core's memory image, in bytes."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why operators run on the host, by their names."""
    assigned: dict[str, Assigned] = field(default_factory=dict, repr=False)
    """The multipliers of layers that the host computes, by layer name."""

    @property
    def input(self) -> graph.Tensor:
        """The network's only input.

        Raises:
            ModelError: there are several inputs.
        """
        return self.network.input

    @property
    def output(self) -> graph.Tensor:
        """The network's only output.

        Raises:
            ModelError: there are several outputs.
        """
        return self.network.output

    @property
    def inputs(self) -> tuple[graph.Tensor, ...]:
        """The network's inputs, in order."""
        return tuple(self.network.tensors[index] for index in self.network.inputs)

    @property
    def outputs(self) -> tuple[graph.Tensor, ...]:
        """The network's outputs, in order."""
        return tuple(self.network.tensors[index] for index in self.network.outputs)

    @property
    def core_stages(self) -> tuple[CoreStage, ...]:
        """The stages that run on the accelerator: one start of the core each."""
        return tuple(stage for stage in self.stages if isinstance(stage, CoreStage))

    @property
    def host_operators(self) -> tuple[graph.Operator, ...]:
        """The operators that the host computes, in order."""
        return self.network.operators

    @property
    def host_bytes(self) -> int:
        """Bytes per image of the largest tensor that a host operator reads or writes."""
        tensors = {index for op in self.network.operators for index in (*op.inputs, op.output)}
        return max((math.prod(self.network.tensors[i].shape) for i in tensors), default=0)

    def operators_of(self, stage: HostStage) -> tuple[graph.Operator, ...]:
        """The operators of a host stage."""
        first = stage.first_operator
        return self.network.operators[first : first + stage.operators]

    def layers_of(self, stage: CoreStage) -> tuple[str, ...]:
        """The names of the layers of an accelerator stage."""
        return self.layers[stage.first_layer : stage.first_layer + stage.layers]

    def home_of(self, index: int) -> int:
        """The tensor whose memory a tensor shares, or the tensor itself."""
        return self.home.get(index, index)

    def place_of(self, index: int) -> TensorPlace:
        """A tensor's place in memory, with that tensor's shape."""
        return replace(self.places[self.home_of(index)], tensor=self.network.tensors[index])

    def save(self, path: str | Path) -> None:
        """Write the program to a file (``.axp``). An existing file is replaced once the new one is
        complete.

        Raises:
            ProgramError: the file cannot be written.
        """
        arrays = Arrays()
        text = json.dumps(self._description(arrays)).encode()
        body = text + self.memory.tobytes() + arrays.content()
        digest = hashlib.sha256(struct.pack("<I", len(text)) + body).digest()
        try:
            files.write_bytes(path, _PREFIX.pack(_MAGIC, _FORMAT, digest, len(text)) + body)
        except OSError as error:
            raise ProgramError(f"program '{path}' cannot be written: {error.strerror}") from error

    def _description(self, arrays: Arrays) -> dict[str, Any]:
        names = ("model", "overlay", "overlay_hash", "word_bytes", "arena_words", "layers", "plan",
                 "reasons")  # fmt: skip
        return {
            **{name: getattr(self, name) for name in names},
            "stages": [asdict(stage) for stage in self.stages],
            "network": encode_model(self.network, arrays),
            "home": list(self.home.items()),
            "places": [[index, asdict(place)] for index, place in self.places.items()],
            "assigned": {
                name: {"multipliers": each.multipliers, "codes": arrays.add(each.codes)}
                for name, each in self.assigned.items()
            },
            "memory_bytes": len(self.memory),
            "arrays": arrays.describe(),
        }

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read a program file (``.axp``).

        Raises:
            ProgramError: the file cannot be read, is not a program, has the format of another
                version, or is damaged.
        """
        try:
            content = files.read_bytes(path)
        except OSError as error:
            raise ProgramError(f"program '{path}' cannot be read: {error.strerror}") from error
        if len(content) < _PREFIX.size or content[:6] != _MAGIC:
            raise ProgramError(
                f"'{path}' is not a compiled program (.axp): `axynq compile` makes one of a network"
            )
        _, version, digest, length = _PREFIX.unpack_from(content)
        if version != _FORMAT:
            raise ProgramError(
                f"program '{path}' has format {version}, this version of axynq reads {_FORMAT}: "
                "compile it again"
            )
        body = content[_PREFIX.size :]
        if hashlib.sha256(struct.pack("<I", length) + body).digest() != digest:
            raise ProgramError(
                f"program '{path}' is damaged: its checksum does not match. Compile or copy it "
                "again"
            )
        try:
            return cls._decoded(body, length)
        except _NONSENSE as error:
            # The checksum is right: whoever wrote this was not axynq.
            raise ProgramError(
                f"program '{path}' is not as `axynq compile` writes it ({type(error).__name__}: "
                f"{error}): compile it again"
            ) from error

    @classmethod
    def _decoded(cls, body: bytes, length: int) -> Program:
        """The program of a file's content behind its prefix; ``length`` is that of the JSON."""
        values = json.loads(body[:length])
        end = length + values.pop("memory_bytes")
        arrays = Arrays.read(values.pop("arrays"), body[end:])
        values |= {
            "stages": tuple(_stage(stage) for stage in values["stages"]),
            "network": decode_model(values["network"], arrays),
            "home": dict(values["home"]),
            "places": {
                index: TensorPlace(**{**place, "tensor": decode_tensor(place["tensor"])})
                for index, place in values["places"]
            },
            "layers": tuple(values["layers"]),
            "assigned": {
                name: Assigned(tuple(each["multipliers"]), arrays.values[each["codes"]["array"]])
                for name, each in values["assigned"].items()
            },
        }
        return cls(**values, memory=np.frombuffer(body[length:end], np.uint8).copy())


def _stage(values: dict[str, Any]) -> Stage:
    if "commands" in values:
        return CoreStage(**{**values, "packs": tuple(values["packs"])})
    return HostStage(**values)
