"""Compiled programs: what a board needs to run one network under one plan on one overlay.

Needs numpy only. A program file (``.axp``) is ``AXYNQ\\0`` and a format number, the SHA-256 of the
rest, the length of a JSON description, the description, the memory image that the core reads, and
the arrays of the operators that the host computes.
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
from axynq.emulator.errors import ProgramError
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

Int8 = npt.NDArray[np.int8]


@dataclass(frozen=True)
class TensorPlace:
    """A tensor in the memory that host and accelerator share."""

    tensor: graph.Tensor
    pixels: int
    channels: int
    offset: int
    """Words before it for each image of the batch."""
    image_words: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's, without the batch."""
        return self.tensor.shape

    def pack(self, values: Int8, word_bytes: int) -> Int8:
        """A batch [images, *shape] in the accelerator's layout, [images, bytes per image]."""
        packed = np.zeros((len(values), self.image_words * word_bytes), np.int8)
        pixels = packed.reshape(len(values), self.pixels, -1)
        pixels[:, :, : self.channels] = values.reshape(len(values), self.pixels, self.channels)
        return packed

    def unpack(self, raw: Int8) -> Int8:
        """The batch that lies there: [images, *shape] from [images, bytes per image]."""
        pixels = raw.reshape(len(raw), self.pixels, -1)
        return np.ascontiguousarray(pixels[:, :, : self.channels]).reshape(len(raw), *self.shape)


@dataclass(frozen=True)
class CoreStage:
    """A start of the core."""

    commands: int
    """Bytes of the memory image before its commands."""
    first_layer: int
    layers: int
    """How many there are, from the first one on."""
    packs: tuple[int, ...]
    """Tensors of the host that are written to memory before."""


@dataclass(frozen=True)
class HostStage:
    """Operators that the host computes: so many of the network's, from one on."""

    first_operator: int
    operators: int


Stage = Union[CoreStage, HostStage]


@dataclass(frozen=True)
class Program:
    """A network and a plan, compiled for an overlay."""

    model: str
    overlay: str
    overlay_hash: str
    word_bytes: int
    arena_words: int
    """Words of feature maps for each image of a batch."""
    stages: tuple[Stage, ...]
    """What core and host do, in order."""
    network: graph.Model
    """What the host knows of the network: all tensors, and the operators that it computes."""
    home: dict[int, int]
    """Tensors that have the values of another one in the same order, as that one."""
    places: dict[int, TensorPlace]
    """Where tensors lie that the accelerator reads or writes; by their homes."""
    layers: tuple[str, ...]
    """Names of the layers the accelerator runs, in order."""
    plan: dict[str, Any]
    """Weights by multiplier, for each layer."""
    memory: npt.NDArray[np.uint8] = field(repr=False)
    """The core's memory image, in bytes."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why the host computes what it does, by the operators' names."""
    assigned: dict[str, Assigned] = field(default_factory=dict, repr=False)
    """The multipliers of layers that the host computes."""

    @property
    def input(self) -> graph.Tensor:
        """What a user gives, where that is one.

        Raises:
            ModelError: there are several inputs.
        """
        return self.network.input

    @property
    def output(self) -> graph.Tensor:
        """What a user gets, where that is one.

        Raises:
            ModelError: there are several outputs.
        """
        return self.network.output

    @property
    def inputs(self) -> tuple[graph.Tensor, ...]:
        """What a user gives."""
        return tuple(self.network.tensors[index] for index in self.network.inputs)

    @property
    def outputs(self) -> tuple[graph.Tensor, ...]:
        """What a user gets."""
        return tuple(self.network.tensors[index] for index in self.network.outputs)

    @property
    def core_stages(self) -> tuple[CoreStage, ...]:
        """The starts of the core."""
        return tuple(stage for stage in self.stages if isinstance(stage, CoreStage))

    @property
    def host_operators(self) -> tuple[graph.Operator, ...]:
        """What the host computes, in order."""
        return self.network.operators

    @property
    def host_bytes(self) -> int:
        """Of the largest tensor that a host operator takes or makes, for an image."""
        tensors = {index for op in self.network.operators for index in (*op.inputs, op.output)}
        return max((math.prod(self.network.tensors[i].shape) for i in tensors), default=0)

    def operators_of(self, stage: HostStage) -> tuple[graph.Operator, ...]:
        """The operators of a stage of the host."""
        first = stage.first_operator
        return self.network.operators[first : first + stage.operators]

    def layers_of(self, stage: CoreStage) -> tuple[str, ...]:
        """The layers of a start of the core."""
        return self.layers[stage.first_layer : stage.first_layer + stage.layers]

    def home_of(self, index: int) -> int:
        """The tensor that one lies in."""
        return self.home.get(index, index)

    def place_of(self, index: int) -> TensorPlace:
        """A tensor's place, in that tensor's shape."""
        return replace(self.places[self.home_of(index)], tensor=self.network.tensors[index])

    def save(self, path: str | Path) -> None:
        """Write the program file.

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
        """Read a program file.

        Raises:
            ProgramError: the file cannot be read, is no program, has another format, or is damaged.
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
