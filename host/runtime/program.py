"""Compiled programs: what a board needs to run one network under one plan on one overlay.

Needs numpy only. A program file (``.axp``) is ``AXYNQ\\0`` and a format number, the SHA-256 of the
rest, the length of a JSON description, the description, and the program's memory image.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.errors import ProgramError
from axynq.emulator.model.graph import Interface, Tensor
from axynq.emulator.softmax import softmax

_MAGIC = b"AXYNQ\0"
_FORMAT = 2
_PREFIX = struct.Struct("<6sH32sI")


@dataclass(frozen=True)
class TensorPlace:
    """A tensor at the accelerator's boundary."""

    name: str
    shape: tuple[int, ...]
    """Shape the user sees, without the batch."""
    scale: float
    zero_point: int
    pixels: int
    channels: int
    offset: int
    """Words before it for each image of the batch."""
    image_words: int
    interface: Interface | None = None
    """What the network's file has in the tensor's place."""

    @property
    def tensor(self) -> Tensor:
        """The tensor as the user sees it."""
        return Tensor(self.name, self.shape, self.scale, self.zero_point, self.interface)


@dataclass(frozen=True)
class HostStep:
    """An operator the host computes on the accelerator's output."""

    kind: str
    """Only ``softmax`` so far."""
    scale: float
    beta: float


@dataclass(frozen=True)
class Program:
    """A network and a plan, compiled for an overlay."""

    model: str
    overlay: str
    overlay_hash: str
    word_bytes: int
    arena_words: int
    """Words of feature maps for each image of a batch."""
    input: TensorPlace
    output: TensorPlace
    host_steps: tuple[HostStep, ...]
    layers: tuple[str, ...]
    """Names of the layers the accelerator runs, in order."""
    plan: dict[str, Any]
    """Weights by multiplier, for each layer."""
    memory: npt.NDArray[np.uint8] = field(repr=False)
    """The program's memory image, in bytes."""

    def save(self, path: str | Path) -> None:
        """Write the program file.

        Raises:
            ProgramError: the file cannot be written.
        """
        description = asdict(self)
        del description["memory"]
        text = json.dumps(description).encode()
        body = text + self.memory.tobytes()
        digest = hashlib.sha256(struct.pack("<I", len(text)) + body).digest()
        try:
            files.write_bytes(path, _PREFIX.pack(_MAGIC, _FORMAT, digest, len(text)) + body)
        except OSError as error:
            raise ProgramError(f"program '{path}' cannot be written: {error.strerror}") from error

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
            raise ProgramError(f"'{path}' is not a compiled program (.axp)")
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
        values["input"] = _place(values["input"])
        values["output"] = _place(values["output"])
        values["host_steps"] = tuple(HostStep(**step) for step in values["host_steps"])
        values["layers"] = tuple(values["layers"])
        return cls(**values, memory=np.frombuffer(body[length:], np.uint8).copy())

    def pack_input(self, x: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """A batch in the accelerator's layout: int8 [images, bytes per image].

        ``x`` is int8 [images, *shape], floats, which are quantised, or uint8 where the network's
        file takes uint8.

        Raises:
            DataError: ``x`` has another shape or type.
        """
        place = self.input
        batch = place.tensor.batch(x)
        packed = np.zeros((len(batch), place.image_words * self.word_bytes), np.int8)
        pixels = packed.reshape(len(batch), place.pixels, self._pixel_bytes(place))
        pixels[:, :, : place.channels] = batch.reshape(len(batch), place.pixels, place.channels)
        return packed

    def unpack_output(self, raw: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """The network's output [images, *shape] from int8 [images, bytes per image]."""
        place = self.output
        pixels = raw.reshape(len(raw), place.pixels, self._pixel_bytes(place))
        y = pixels[:, :, : place.channels].reshape(len(raw), *place.shape)
        for step in self.host_steps:
            y = softmax(step.scale, step.beta, y)
        return np.ascontiguousarray(y)

    def _pixel_bytes(self, place: TensorPlace) -> int:
        return place.image_words // place.pixels * self.word_bytes


def _place(values: dict[str, Any]) -> TensorPlace:
    held = values.get("interface")
    interface = None if held is None else Interface(**held)
    return TensorPlace(**{**values, "shape": tuple(values["shape"]), "interface": interface})
