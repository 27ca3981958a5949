"""The one description of an overlay, from which everything that depends on it is generated.

A TOML file in ``hls/overlays`` says how large the array is, which multipliers each lane holds, and
how large the on-chip buffers are. The C++ header, the Tcl constants, the register map and the
hardware hand-off of the software board come from it (:mod:`axynq.host.generate`), and its hash
names the bitstream.
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
    """Lanes: filters computed at a time."""
    inputs: PositiveInt
    """Multipliers per lane: input channels multiplied at a time, and bytes in a memory word."""
    requantisers: PositiveInt
    """Lanes whose outputs are finished at a time; an output takes ``filters / requantisers`` steps
    at least."""
    adders: PositiveInt | None = None
    """Lanes to whose outputs a second map is added at a time; such an output takes ``filters /
    adders`` steps at least. Default: as many as requantisers."""
    window_lanes: PositiveInt | None = None
    """Lanes, the first ones, that can take in a channel of their own: for depthwise layers, pools,
    sums and means, whose outputs the others leave to them. Default: as many as there are bytes in
    a word."""
    copies: Annotated[PositiveInt, Field(le=MAX_COPIES)] = 1
    """Copies of the lanes with their requantisers and feature maps. Each computes an image of its
    own, with the weights of all."""

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
    """Multiplier specifications. Code k selects the k-th, from 0; a bank of one needs no codes."""
    cell: Literal["separate", "configurable", "dsp pair"] = "separate"
    """Whether each multiplier of the bank is a circuit of its own; or all are settings of one
    Booth array (``exact`` and ``roup`` only); or each DSP block multiplies for two neighbouring
    lanes (``exact`` only)."""


class Buffers(_Strict):
    """On-chip memory, in words of ``inputs`` bytes unless stated otherwise."""

    map_words: Annotated[PositiveInt, Field(le=65536)]
    """Feature maps: words of each of the three memories that hold them. A power of two."""
    weight_vectors: PositiveInt
    """Weights of all lanes for one step: a vector is ``filters x inputs`` weights with codes. A
    phase takes half of them at most, so that the next phase's come in meanwhile."""
    groups: PositiveInt
    """Filter groups of a phase. Their constants are held twice, so that the next phase's come in
    meanwhile."""
    partial_sums: PositiveInt
    """Sums of each lane that wait while the weights of further taps come in."""
    codes_in: Literal["block RAM", "LUTs"] = "block RAM"
    """What holds the codes of weights: LUTs leave block RAM to feature maps."""
    sums_in: Literal["block RAM", "LUTs"] = "block RAM"
    """What holds the partial sums; LUTs suit a few of them."""

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
    """What a table in a bank multiplies: its file may change, or be elsewhere."""

    spec: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of all its products."""


class Overlay(_Strict):
    """An accelerator that can be built for a board."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    board: str
    clock_mhz: Annotated[float, Field(gt=0)]
    array: Array
    lanes: tuple[LaneGroup, ...]
    buffers: Buffers
    tables: tuple[TableContent, ...] = ()
    """Of the tables in banks, in their order. Default: what their files hold. Where it is given, as
    beside a bitstream, the files are needed only to compile programs."""

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
        """The overlay of that name, or described by the TOML file of that path.

        Raises:
            OverlayError: there is none, or its description is invalid.
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
            if not entry.is_file():
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
        """An overlay from the tables of its description; ``text`` names it in errors.

        Raises:
            OverlayError: the description is invalid.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise OverlayError(f"overlay '{text}' is not valid: {complaint(error)}") from error

    def to_toml(self) -> str:
        """The description as a file's text. Paths of tables are absolute in it, and what they hold
        is there, so that hardware and programs are compared without the files."""
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
        return load_board(self.board)

    @property
    def port_bits(self) -> int:
        """Width of the core's memory ports: a word's, or what the board's ports can take; a wider
        word crosses in several beats."""
        return min(8 * self.array.inputs, self.board_description.memory_port_bits)

    @cached_property
    def banks(self) -> tuple[tuple[Multiplier, ...], ...]:
        """The multipliers of each lane.

        Raises:
            OverlayError: a table's file is gone, or holds something else than :attr:`tables` says.
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
        """Bits a code takes in memory: 1, 2 or 4, as the largest bank needs, or none."""
        bits = (max(len(group.bank) for group in self.lanes) - 1).bit_length()
        return 1 << (bits - 1).bit_length() if bits else 0

    @property
    def vector_words(self) -> int:
        """Memory words of one weight vector: a word of weights per lane, then all codes."""
        codes = -(-self.array.filters * self.stored_code_bits // 8)
        return self.array.filters + codes

    @property
    def beats(self) -> int:
        """Transfers of a memory port that make up a word."""
        return 8 * self.array.inputs // self.port_bits

    @property
    def straight(self) -> bool:
        """Whether filters may go to any lane, so that lane ``n`` always writes byte ``n % inputs``
        of a word and nothing crosses between lanes and bytes."""
        inputs = self.array.inputs
        return (
            self.array.filters % inputs == 0
            and self.window_lanes == inputs
            and len(set(self.banks)) == 1
            and not any(self.paired)
        )

    @property
    def window_lanes(self) -> int:
        """Lanes that can take in a channel of their own, the first ones."""
        return self.array.window_lanes or min(self.array.filters, self.array.inputs)

    @cached_property
    def paired(self) -> tuple[bool, ...]:
        """For each lane whether its multipliers are halves of DSP pairs: the two lanes of a pair
        multiply the same activations."""
        return tuple(group.cell == "dsp pair" for group in self.lanes for _ in range(group.count))

    def takes_windows(self, lane: int) -> bool:
        """Whether a lane can multiply a depthwise channel of its own. Of a DSP pair the first lane
        can."""
        return lane < self.window_lanes and not (self.paired[lane] and lane % 2)

    @property
    def rounds(self) -> int:
        """How often the outputs of a group go through all bytes of a word."""
        return -(-self.array.filters // self.array.inputs)

    @property
    def window_taps(self) -> int:
        """Taps of a depthwise window that a lane multiplies at a time."""
        return min(self.array.inputs, isa.MAX_WINDOW_TAPS)

    @property
    def adders(self) -> int:
        """Lanes to whose outputs a second map is added at a time."""
        return self.array.adders or self.array.requantisers

    def finish_steps(self, adds: bool) -> int:
        """Steps in which the outputs of all lanes are finished, a second map added or not."""
        return self.array.filters // (self.adders if adds else self.array.requantisers)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what the hardware depends on, in hex."""
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
        """The first 32 bits of the hash: what programs and hardware compare."""
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
