# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The description of an overlay, from which everything that depends on it is generated.

A TOML file in ``hls/overlays`` gives the size of the array, the multipliers of each lane, and the
sizes of the on-chip buffers. The C++ header, the Tcl constants, the register map and the hardware
hand-off of the software board are generated from it (:mod:`axynq.host.generate`), and its hash
identifies the bitstream.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from axynq.emulator import files
from axynq.emulator.errors import MultiplierError, OverlayError, ToolError, nearest
from axynq.emulator.multipliers import Exact, Multiplier, Roup, Table, multiplier
from axynq.emulator.multipliers.specification import absolute, seen_from
from axynq.emulator.validation import complaint
from axynq.host import isa
from axynq.host.overlay.board import Board, load_board
from axynq.host.overlay.circuits import check_hardware
from axynq.host.overlay.toml import parse_toml

MAX_BANK = 16
"""Codes are stored in at most four bits."""


MAX_GROUPS = 128
"""Descriptors count groups in eight bits."""


MAX_COPIES = 16


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Array(_Strict):
    """The multiplier array."""

    filters: Annotated[PositiveInt, Field(le=isa.MAX_LANES)]
    """Number of lanes: filters computed at the same time."""
    inputs: PositiveInt
    """Multipliers per lane: input channels multiplied per step, and bytes of a memory word."""
    requantisers: PositiveInt
    """Lanes whose outputs are requantised per step. An output takes at least ``filters /
    requantisers`` steps."""
    adders: PositiveInt | None = None
    """Lanes per step to whose outputs a second map is added. Such an output takes at least
    ``filters / adders`` steps. Default: as many as requantisers."""
    window_lanes: PositiveInt | None = None
    """Number of lanes, counted from the first, that can read a channel of their own. Only these
    compute depthwise layers, pooling, sums and means. Default: as many as bytes in a word."""
    copies: Annotated[PositiveInt, Field(le=MAX_COPIES)] = 1
    """Copies of the lanes with their requantisers and feature maps. Each computes an image of its
    own, with the same weights."""

    @model_validator(mode="after")
    def _consistent(self) -> Array:
        if self.inputs & (self.inputs - 1) or not 4 <= self.inputs <= 64:
            raise ValueError("inputs must be a power of two from 4 to 64 (bytes of a memory word)")
        if self.filters % self.requantisers:
            raise ValueError(
                f"{self.requantisers} requantisers cannot finish {self.filters} filters in equal "
                "parts: requantisers must divide filters"
            )
        if self.filters > self.inputs and self.inputs % self.requantisers:
            raise ValueError(
                f"{self.requantisers} requantisers would finish outputs that fall on the same byte "
                "of a word in one step: where there are more filters than inputs, requantisers "
                "must divide inputs"
            )
        if self.requantisers % (self.adders or 1):
            raise ValueError(
                f"{self.adders} adders cannot take the outputs of {self.requantisers} "
                "requantisers in equal parts: adders must divide requantisers"
            )
        word_filters = self.inputs // (4 * isa.CONSTANT_INTEGERS)
        if word_filters and self.requantisers % word_filters:
            raise ValueError(
                f"a word of {self.inputs} bytes has the constants of {word_filters} filters: "
                f"requantisers must be a multiple of {word_filters}"
            )
        most = min(self.filters, self.inputs)
        if (self.window_lanes or 1) > most:
            raise ValueError(
                f"window_lanes must be at most {most}: as many as there are filters, and bytes in "
                "a word"
            )
        return self


class LaneGroup(_Strict):
    """Neighbouring lanes with the same bank."""

    count: PositiveInt
    bank: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_BANK)]
    """Multiplier specifications. Code k selects the k-th, counted from 0. A bank of one needs no
    codes."""
    cell: Literal["separate", "configurable", "dsp pair"] = "separate"
    """How the bank is built. ``separate``: a circuit for each multiplier. ``configurable``: all are
    settings of one Booth array (``exact`` and ``roup`` only). ``dsp pair``: each DSP block
    multiplies for two neighbouring lanes (``exact`` only)."""


class Buffers(_Strict):
    """Sizes of the on-chip memories. All must be powers of two."""

    map_words: Annotated[PositiveInt, Field(le=65536)]
    """Words of ``inputs`` bytes in each of the three memories for feature maps."""
    weight_vectors: PositiveInt
    """Vectors of ``filters x inputs`` weights with codes: the weights of all lanes for a step. A
    phase uses at most half of them, so that the next phase's can be loaded meanwhile."""
    groups: PositiveInt
    """Filter groups of a phase. Their constants are double-buffered, so that the next phase's can
    be loaded meanwhile."""
    partial_sums: PositiveInt
    """Partial sums per lane, kept while the weights of further taps are loaded."""
    codes_in: Literal["block RAM", "LUTs"] = "block RAM"
    """Memory for the codes of weights. LUTs leave block RAM to feature maps."""
    sums_in: Literal["block RAM", "LUTs"] = "block RAM"
    """Memory for the partial sums. LUTs suit small numbers of them."""

    @model_validator(mode="after")
    def _consistent(self) -> Buffers:
        for name in ("map_words", "weight_vectors", "groups", "partial_sums"):
            size = getattr(self, name)
            if size < 2 or size & (size - 1):
                raise ValueError(f"{name} must be a power of two from 2, not {size}")
        if self.groups > MAX_GROUPS:
            raise ValueError(f"groups must be at most {MAX_GROUPS}")
        return self


class TableContent(_Strict):
    """The content of a product table in a bank, whose file may change or be elsewhere."""

    spec: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of all its products."""


class Overlay(_Strict):
    """The description of an accelerator for a board.

    Everything else follows from it: the generated sources, the programs compiled for it, and its
    hash, which programs and bitstreams are compared by. ``docs/accelerator.md`` explains the parts.

    Raises:
        pydantic.ValidationError: the parts do not fit together. :meth:`load` and
            :meth:`from_values` raise ``OverlayError`` instead.

    Examples:
        >>> overlay = Overlay.load("z2-mixed16")
        >>> overlay.array.filters, overlay.array.inputs, overlay.clock_mhz
        (16, 16, 100.0)
        >>> [m.spec for m in overlay.banks[0]]
        ['exact', 'roup:1,4']
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]
    board: str
    clock_mhz: Annotated[float, Field(gt=0)]
    array: Array
    lanes: tuple[LaneGroup, ...]
    buffers: Buffers
    tables: tuple[TableContent, ...] = ()
    """The content of the product tables in banks, in their order. By default it is read from their
    files. If it is given, as beside a bitstream, the files are needed only to compile programs."""

    @model_validator(mode="after")
    def _consistent(self) -> Overlay:
        lanes = sum(group.count for group in self.lanes)
        if lanes != self.array.filters:
            raise ValueError(f"the lanes add up to {lanes}, the array has {self.array.filters}")
        if min(self.buffers.groups, self.buffers.weight_vectors // 2) < self.array.inputs:
            raise ValueError(
                "groups and half of weight_vectors must be at least inputs: all filters of a word "
                "may need the same lane"
            )
        object.__setattr__(self, "tables", _checked_banks(self.lanes, self.tables))
        first_lane = 0
        for group in self.lanes:
            if group.cell == "dsp pair" and (first_lane % 2 or group.count % 2):
                raise ValueError(
                    "lanes of DSP pairs come two by two: their count must be even, and so must the "
                    "number of lanes before them"
                )
            first_lane += group.count
        try:
            load_board(self.board)
        except OverlayError as error:
            raise ValueError(str(error)) from error
        return self

    @classmethod
    def load(cls, name: str | Path) -> Overlay:
        """Load an overlay description.

        Args:
            name: the name of an overlay that ships with axynq, such as ``z2-mixed16``, or the path
                of a ``.toml`` file. Relative paths of tables are looked up beside that file first.

        Raises:
            OverlayError: there is no such overlay, or its description is not valid.
        """
        text = str(name)
        if text.endswith(".toml"):
            path = Path(text)
            folder = path.parent
            try:
                content = files.read_text(path)
            except OSError as error:
                raise OverlayError(f"overlay '{text}' cannot be read: {error.strerror}") from error
            except UnicodeDecodeError as error:
                raise OverlayError(f"overlay '{text}' is not text in UTF-8: {error}") from error
        else:
            entry = _folder() / f"{text}.toml"
            if text not in overlay_names():
                raise OverlayError(
                    f"unknown overlay '{text}'; known are: {', '.join(overlay_names())}."
                    f"{nearest(text, overlay_names())} A description of your own is given by "
                    "the path of its .toml file"
                )
            content = entry.read_text(encoding="utf-8")
            folder = Path()
        return cls.from_values(_seen_from(folder, parse_toml(content, text)), text)

    @classmethod
    def from_values(cls, values: dict[str, Any], text: str) -> Overlay:
        """An overlay from the values of its TOML description.

        Args:
            values: the tables and keys of the description.
            text: what to call the overlay in errors.

        Raises:
            OverlayError: the description is not valid.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise OverlayError(f"overlay '{text}' is not valid: {complaint(error)}") from error

    def to_toml(self) -> str:
        """The description as TOML text. Paths of tables are absolute, and hashes of their content
        are included, so that hardware and programs can be compared without the files."""
        lines = [
            f'name = "{self.name}"',
            f'board = "{self.board}"',
            f"clock_mhz = {self.clock_mhz}",
        ]
        for table in ("array", "buffers"):
            values = getattr(self, table).model_dump(exclude_none=True)
            lines += [
                "",
                f"[{table}]",
                *(f"{key} = {json.dumps(value)}" for key, value in values.items()),
            ]
        for group in self.lanes:
            lines += ["", "[[lanes]]", f"count = {group.count}"]
            bank = [absolute(spec) for spec in group.bank]
            lines += [f"bank = {json.dumps(bank)}", f'cell = "{group.cell}"']
        for held in self.tables:
            lines += ["", "[[tables]]", f"spec = {json.dumps(absolute(held.spec))}"]
            lines += [f'sha256 = "{held.sha256}"']
        return "\n".join(lines) + "\n"

    @cached_property
    def board_description(self) -> Board:
        """The description of the board: part, resources, memory ports."""
        return load_board(self.board)

    @property
    def port_bits(self) -> int:
        """Width of the core's memory ports in bits: that of a word, or less if the board's ports
        are narrower. A wider word is transferred in several beats."""
        return min(8 * self.array.inputs, self.board_description.memory_port_bits)

    @cached_property
    def banks(self) -> tuple[tuple[Multiplier, ...], ...]:
        """The multipliers of each lane, in the order of their codes.

        Raises:
            OverlayError: a table's file is missing, or its content is not that of :attr:`tables`.
        """
        contents = {table.spec: table.sha256 for table in self.tables}
        made = {spec: _design(spec, contents) for group in self.lanes for spec in group.bank}
        return tuple(
            tuple(made[spec] for spec in group.bank)
            for group in self.lanes
            for _ in range(group.count)
        )

    @cached_property
    def stored_code_bits(self) -> int:
        """Bits of a code in memory: 1, 2 or 4, as the largest bank needs; 0 if all banks have one
        multiplier."""
        bits = (max(len(group.bank) for group in self.lanes) - 1).bit_length()
        return 1 << (bits - 1).bit_length() if bits else 0

    @property
    def vector_words(self) -> int:
        """Memory words of a weight vector: a word of weights per lane, then all codes."""
        codes = -(-self.array.filters * self.stored_code_bits // 8)
        return self.array.filters + codes

    @property
    def beats(self) -> int:
        """Transfers of a memory port per word."""
        return 8 * self.array.inputs // self.port_bits

    @property
    def straight(self) -> bool:
        """Whether every lane can compute every filter. Then lane ``n`` always writes byte
        ``n % inputs`` of a word, and no multiplexers between lanes and bytes are needed."""
        inputs = self.array.inputs
        return (
            self.array.filters % inputs == 0
            and self.window_lanes == inputs
            and len(set(self.banks)) == 1
            and not any(self.paired)
        )

    @property
    def window_lanes(self) -> int:
        """Number of lanes, counted from the first, that can read a channel of their own."""
        return self.array.window_lanes or min(self.array.filters, self.array.inputs)

    @cached_property
    def paired(self) -> tuple[bool, ...]:
        """For each lane, whether it shares DSP blocks with its neighbour. The two lanes of a pair
        multiply the same activations."""
        return tuple(group.cell == "dsp pair" for group in self.lanes for _ in range(group.count))

    def takes_windows(self, lane: int) -> bool:
        """Whether a lane can multiply a depthwise channel of its own. In a DSP pair, only the first
        lane can."""
        return lane < self.window_lanes and not (self.paired[lane] and lane % 2)

    @property
    def rounds(self) -> int:
        """How often the outputs of a group pass through all bytes of a word."""
        return -(-self.array.filters // self.array.inputs)

    @property
    def window_taps(self) -> int:
        """Taps of a depthwise window that a lane multiplies per step."""
        return min(self.array.inputs, isa.MAX_WINDOW_TAPS)

    @property
    def adders(self) -> int:
        """Number of lanes per step whose outputs get a second map added."""
        return self.array.adders or self.array.requantisers

    def finish_steps(self, adds: bool) -> int:
        """Steps until the outputs of all lanes are finished, with a second map added or not."""
        return self.array.filters // (self.adders if adds else self.array.requantisers)

    @cached_property
    def hash(self) -> str:
        """SHA-256, in hex, of everything that the hardware depends on."""
        content = self.model_dump(mode="json")
        content["isa"] = isa.VERSION
        del content["tables"]
        tables = {table.spec: f"table:{table.sha256}" for table in self.tables}
        content["lanes"] = [
            [group.cell, *(tables.get(spec) or multiplier(spec).spec for spec in group.bank)]
            for group in self.lanes
            for _ in range(group.count)
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def identifier(self) -> int:
        """The first 32 bits of the hash, which hardware and programs compare."""
        return int(self.hash[:8], 16)


def _checked_banks(
    lanes: tuple[LaneGroup, ...], given: tuple[TableContent, ...]
) -> tuple[TableContent, ...]:
    """What the tables of banks hold, as given, or found out."""
    tables = {table.spec: table for table in given}
    for group in lanes:
        for spec in group.bank:
            _check_design(group, spec, tables)
    used = dict.fromkeys(spec for group in lanes for spec in group.bank)
    return tuple(tables[spec] for spec in used if spec in tables)


def _check_design(group: LaneGroup, spec: str, tables: dict[str, TableContent]) -> None:
    """Whether a group's lanes can have a multiplier; adds what it holds to ``tables``, unless it is
    there: then its file is left alone."""
    m: Multiplier | None = None
    if spec not in tables:
        try:
            m = multiplier(spec)
            if isinstance(m, Table):
                check_hardware(m)
                tables[spec] = TableContent(spec=spec, sha256=m.content)
        except ToolError as error:
            built = "or give the .toml that `axynq build` wrote, which needs no files"
            raise ValueError(f"'{spec}': {error}; {built}") from error
        except MultiplierError as error:
            raise ValueError(str(error)) from error
    if group.cell == "configurable" and not isinstance(m, (Exact, Roup)):
        raise ValueError(f"'{spec}': a configurable cell is exact or ROUP")
    if group.cell == "dsp pair" and (len(group.bank) > 1 or not isinstance(m, Exact)):
        raise ValueError("the bank of a DSP pair is exact alone: DSP blocks approximate nothing")


def _design(spec: str, contents: dict[str, str]) -> Multiplier:
    try:
        m = multiplier(spec)
        if isinstance(m, Table):
            check_hardware(m)
    except MultiplierError as error:
        raise OverlayError(str(error)) from error
    if isinstance(m, Table) and m.content != contents[spec]:
        raise OverlayError(
            f"'{spec}' is not what it was when the overlay was described (or built): its products "
            "have changed. Load the description again, or restore the file"
        )
    return m


def _seen_from(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    """A description with the tables of its banks as the working directory sees them: their relative
    paths are looked up in ``folder`` first."""

    def seen(spec: Any) -> Any:
        return seen_from(spec, folder) if isinstance(spec, str) else spec

    def of(entry: Any, key: str) -> Any:
        if not isinstance(entry, dict) or key not in entry:
            return entry
        value = entry[key]
        return {**entry, key: list(map(seen, value)) if isinstance(value, list) else seen(value)}

    made = dict(values)
    for name, key in (("lanes", "bank"), ("tables", "spec")):
        if isinstance(made.get(name), list):
            made[name] = [of(entry, key) for entry in made[name]]
    return made


def overlay_names() -> list[str]:
    """Names of the overlays that are described in ``hls/overlays``."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in _folder().iterdir() if ".toml" in entry.name
    )


def _folder() -> resources.abc.Traversable:
    return resources.files("axynq.hls") / "overlays"
