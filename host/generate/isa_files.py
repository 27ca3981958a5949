# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What follows from the instruction set alone: C++ headers, and the page that explains it."""

from __future__ import annotations

from dataclasses import fields
from importlib import resources
from typing import NamedTuple

from axynq.host import isa
from axynq.host.counters import Counts
from axynq.host.generate.template import render


class _Item(NamedTuple):
    """A field of the descriptor."""

    name: str
    note: str
    unit: str
    low: int
    high: int

    @property
    def type(self) -> str:
        """The narrowest C++ type that holds the range."""
        if self.low < 0:
            bits = max(self.high.bit_length(), (-self.low - 1).bit_length()) + 1
            return f"ap_int<{bits}>"
        return f"ap_uint<{self.high.bit_length()}>"

    @property
    def declaration(self) -> str:
        """Of the C++ structure's member."""
        return f"{self.type} {self.name};"

    @property
    def range(self) -> str:
        """From the least to the most."""
        return f"{self.low} to {'2³¹ - 1' if self.high == isa.MAX_INTEGER else self.high}"


def _descriptor() -> list[_Item]:
    return [_Item(item.name, **item.metadata) for item in fields(isa.Descriptor)]


def isa_files() -> dict[str, str]:
    """The generated files: content by the path from the root of the source tree."""
    return {
        "hls/include/axynq/isa.hpp": isa_header(),
        "hls/include/axynq/counters.hpp": counters_header(),
        "docs/descriptor.md": descriptor_page(),
    }


def isa_header() -> str:
    """The C++ constants and the layer descriptor."""
    descriptor = _descriptor()
    kinds = (isa.Header, isa.Opcode, isa.Constant, isa.Status)
    return render(
        "isa.hpp.j2",
        isa=isa,
        enums=[(kind, kind.__name__.upper()) for kind in kinds],
        descriptor=descriptor,
        pad=max(len(item.declaration) for item in descriptor),
    )


def counters_header() -> str:
    """The C++ names of the simulation's counters."""
    return render("counters.hpp.j2", counters=fields(Counts))


def descriptor_page() -> str:
    """The reference of what a program computes."""
    sources = resources.files("axynq.host")
    return render(
        "descriptor.md.j2",
        isa=isa,
        enums=(
            (isa.Header, "Header: integer", {}),
            (isa.Opcode, "Opcode", {}),
            (isa.Constant, "Constants: integer for each lane of a group", {}),
            (isa.Status, "Status that the core ends with", isa.STATUS_TEXT),
        ),
        descriptor=_descriptor(),
        model=_from_docstring((sources / "isa_model.py").read_text(encoding="utf-8")),
        derived=_from_docstring((sources / "isa_derived.py").read_text(encoding="utf-8")),
    )


def _from_docstring(source: str) -> str:
    """A module without the comments above its docstring, such as its licence."""
    return source[source.index('"""') :]
