# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""On-chip memories, channels and ports: what accesses reach, and in which bank."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from axynq.host.synthesis.addresses import (
    Address,
    Array,
    addresses,
    array_at,
    arrays,
    is_channel,
)
from axynq.host.synthesis.compilation import Compiled
from axynq.host.synthesis.ir import Function, Instruction, width_of
from axynq.host.synthesis.pragmas import Pragma, Variable
from axynq.host.synthesis.registers import is_register, variable_of
from axynq.host.synthesis.widths import Widths

ACCESSES = frozenset(["load", "store"])


@dataclass(eq=False)
class Memory:
    """Something that is read and written.

    Attributes:
        name: as in the sources, with the member's.
        function: where it is declared, as the linker calls it.
        kind: ``memory``, ``registers``, ``scalar``, ``channel`` or ``port``.
        array: how it is laid out.
        partitioned: dimensions of which every index is a bank of its own, from 1.
        reshaped: dimensions whose elements lie side by side in one word.
        storage: ``ram_s2p bram`` or the like, as bound; empty where a tool chooses.
        width: bits of an element.
        users: functions that access it.
    """

    name: str
    function: str
    kind: str
    array: Array
    partitioned: frozenset[int]
    reshaped: frozenset[int]
    storage: str
    width: int
    users: set[str] = field(default_factory=set)

    @property
    def banks(self) -> int:
        return self._product(self.partitioned)

    @property
    def word(self) -> int:
        """Bits of a word of a bank."""
        return self.width * self._product(self.reshaped)

    @property
    def depth(self) -> int:
        """Words of a bank."""
        return self.array.elements // self.banks // self._product(self.reshaped)

    def _product(self, dimensions: frozenset[int]) -> int:
        total = 1
        for k, (length, _) in enumerate(self.array.dimensions, 1):
            total *= length if k in dimensions else 1
        return total

    def cycles(self, reads: int, writes: int) -> int:
        """Clock cycles that so many accesses of one bank take."""
        if self.kind in ("registers", "scalar"):
            return 1
        if self.kind in ("channel", "port") or "s2p" in self.storage:
            return max(reads, writes, 1)
        ports = 1 if "1p" in self.storage else 2
        return max(-(-(reads + writes) // ports), 1)


@dataclass(frozen=True)
class Place:
    """Where in a memory an access goes.

    Attributes:
        memory: which.
        bank: an index for each dimension that is partitioned; None where a variable chooses it.
        address: what else tells one word from another, variables that choose the bank among it.
    """

    memory: Memory
    bank: tuple[int | None, ...]
    address: tuple[object, ...]

    @property
    def variable(self) -> bool:
        """Whether a variable chooses the bank, so that every bank is accessed."""
        return None in self.bank


Root = tuple[str, str]
"""A function and the ``alloca``, the parameter or the global that memory begins with."""


class Memories:
    """The memories of a compiled source."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._module = compiled.module
        self._memories: dict[tuple[Root, int], Memory] = {}
        self._places: dict[Instruction, list[Place]] = {}
        self._rooted: dict[tuple[str, str], list[tuple[Root, int]]] = {}
        self._laid_out: dict[Root, list[Array]] = {}
        self.widths = {name: Widths(f) for name, f in self._module.functions.items()}
        for function in self._module.functions.values():
            for i in function.instructions():
                if i.opcode in ACCESSES:
                    for place in self.places(function, i):
                        place.memory.users.add(function.name)
        self._measure()

    def __iter__(self) -> Iterator[Memory]:
        return iter(self._memories.values())

    def places(self, function: Function, i: Instruction) -> list[Place]:
        """Where a ``load`` or ``store`` may go."""
        if i not in self._places:
            self._places[i] = self._found(function, i)
        return self._places[i]

    def _found(self, function: Function, i: Instruction) -> list[Place]:
        found: list[Place] = []
        for address in addresses(self._module, function, i.operands[-1]):
            for (owner, base), offset in self.roots(function, address.base):
                terms = self._bare(function, address).terms
                at = Address(base, address.offset + offset, terms)
                place = self._place(owner, at)
                if place not in found:
                    found.append(place)
        return found

    def roots(self, function: Function, base: str) -> list[tuple[Root, int]]:
        """What a base is where it was declared, and the offset from there."""
        key = (function.name, base)
        if key not in self._rooted:
            self._rooted[key] = self._roots(function.name, base, frozenset())
        return self._rooted[key]

    def memory(self, function: Function, base: str, offset: int = 0) -> Memory | None:
        """The memory at an offset from a base, the first if functions are given different ones."""
        roots = self.roots(function, base)
        if not roots:
            return None
        (owner, start), further = roots[0]
        return self._place(owner, Address(start, offset + further)).memory

    def _roots(self, function: str, base: str, seen: frozenset[Root]) -> list[tuple[Root, int]]:
        key = (function, base)
        callers = self._calls.get(function, ())
        arguments = self._module.functions[function].arguments
        if base not in arguments or not callers or key in seen:
            return [(key, 0)]
        index = list(arguments).index(base)
        found: dict[tuple[Root, int], None] = {}
        for caller, call in callers:
            for address in addresses(self._module, caller, call.operands[index]):
                for root, offset in self._roots(caller.name, address.base, seen | {key}):
                    found[root, offset + address.offset] = None
        return list(found)

    @cached_property
    def _calls(self) -> dict[str, list[tuple[Function, Instruction]]]:
        found: dict[str, list[tuple[Function, Instruction]]] = defaultdict(list)
        for function in self._module.functions.values():
            for i in function.instructions():
                if i.opcode == "call" and i.detail in self._module.functions:
                    found[i.detail].append((function, i))
        return found

    def _place(self, owner: str, address: Address) -> Place:
        function = self._module.functions[owner]
        variable = variable_of(function, self._compiled.sources, address.base)
        root = (owner, address.base)
        if root not in self._laid_out:
            self._laid_out[root] = self._arrays(function, address.base, variable)
        inside = self._laid_out[root]
        array = array_at(inside, address.offset) or inside[0]
        key = ((owner, address.base), array.start)
        if key not in self._memories:
            self._memories[key] = self._described(function, address.base, variable, array)
        memory = self._memories[key]
        return _located(memory, address)

    def _bare(self, function: Function, address: Address) -> Address:
        """The address with values before they were widened, so that equal ones look equal."""
        terms = []
        for value, factor in address.terms:
            i = function.values.get(value)
            while i is not None and i.opcode in ("zext", "sext") and isinstance(i.operands[0], str):
                value = i.operands[0]
                i = function.values.get(value)
            terms.append((value, factor))
        return Address(address.base, address.offset, tuple(terms))

    def _arrays(self, function: Function, base: str, variable: Variable | None) -> list[Array]:
        i = function.values.get(base)
        type_ = i.detail if i is not None and i.opcode == "alloca" else ""
        if not type_ and variable is not None and variable.type != "ptr":
            type_ = variable.type
        if not type_:
            return [Array(0, (), (), "i8", 1 << 62)]
        return arrays(self._module, self._compiled.sources.members, type_)

    def _described(
        self, function: Function, base: str, variable: Variable | None, array: Array
    ) -> Memory:
        source = self._compiled.sources.functions.get(function.name)
        name = variable.name if variable is not None else base.lstrip("%@").strip('"')
        pragmas = [
            pragma
            for path, pragma in (variable.pragmas if variable is not None else [])
            if path == array.path[: len(path)]
        ]
        partitioned = _dimensions(pragmas, "ARRAY_PARTITION", array)
        reshaped = _dimensions(pragmas, "ARRAY_RESHAPE", array)
        bound = [p.settings for p in pragmas if p.kind == "BIND_STORAGE"]
        storage = " ".join(bound[0].get(word, "") for word in ("type", "impl")) if bound else ""
        kind = "memory"
        if base in function.arguments:
            ports = {p.settings.get("port"): p for p in source.pragmas} if source else {}
            interface = ports.get(name)
            master = interface is not None and interface.settings.get("mode") == "m_axi"
            kind = "port" if master else "scalar"
        elif is_channel(array.element):
            kind = "channel"
        elif not array.dimensions:
            kind = "scalar"
        elif is_register(array, variable.pragmas if variable is not None else []):
            kind = "registers"
        full = ".".join((name, *array.path))
        width = width_of(array.element) or 8 * array.size if array.size < 1 << 32 else 0
        return Memory(
            full, function.name, kind, array, partitioned, reshaped, storage.strip(), width
        )

    def _measure(self) -> None:
        """Elements are as wide as what is written to them."""
        written: dict[Memory, int] = defaultdict(int)
        for function in self._module.functions.values():
            widths = self.widths[function.name]
            for i in function.instructions():
                if i.opcode in ACCESSES:
                    for place in self.places(function, i):
                        if place.memory.kind == "port":
                            place.memory.width = max(place.memory.width, i.width)
                        elif i.opcode == "store" and i.width:
                            memory = place.memory
                            need = widths.need(i.operands[0], i.width)
                            written[memory] = max(written[memory], min(need.width, i.width))
        for memory, width in written.items():
            memory.width = min(width, memory.width or width)


def _dimensions(pragmas: list[Pragma], kind: str, array: Array) -> frozenset[int]:
    every = frozenset(range(1, len(array.dimensions) + 1))
    found = {
        p.dimension
        for p in pragmas
        if p.kind == kind and p.settings.get("type", "complete").lower() == "complete"
    }
    return every if 0 in found else frozenset(found) & every


def _located(memory: Memory, address: Address) -> Place:
    """The bank and word of an address: each term counts in the dimension whose step divides it."""
    dimensions = memory.array.dimensions
    rest = address.offset - memory.array.start
    indices = []
    for _, stride in dimensions:
        indices.append(rest // stride)
        rest %= stride
    variables: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for value, factor in address.terms:
        dimension = next(
            (k for k, (_, stride) in enumerate(dimensions, 1) if factor % stride == 0), 0
        )
        variables[dimension].append((value, factor))
    bank = tuple(None if k in variables else indices[k - 1] for k in sorted(memory.partitioned))
    left = [
        k
        for k in range(len(dimensions) + 1)
        if (k not in memory.partitioned or k in variables) and k not in memory.reshaped
    ]
    if not dimensions and memory.kind == "port":
        return Place(memory, (), (address.offset, tuple(sorted(address.terms))))
    word = tuple((indices[k - 1] if k else 0, tuple(sorted(variables[k]))) for k in left)
    return Place(memory, bank, word)


def plain_name(function: str) -> str:
    """A function's name without what C++ adds to it: the last part of a name with several."""
    nested = re.match(r"_ZL?N", function) is not None
    rest = re.sub(r"^_ZL?N?K?", "", function)
    parts: list[str] = []
    while (found := re.match(r"L?(\d+)", rest)) is not None:
        length = int(found[1])
        start = found.end()
        parts.append(rest[start : start + length])
        rest = rest[start + length :]
        arguments = re.match(r"I((?:L[a-z]\d+E)+)E", rest)
        if arguments is not None:
            values = re.findall(r"L[a-z](\d+)E", arguments[1])
            parts[-1] += f"<{', '.join(values)}>"
            rest = rest[arguments.end() :]
        if not nested:  # what follows are its parameters
            break
    return parts[-1] if parts else function
