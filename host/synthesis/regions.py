# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""DATAFLOW regions: processes, the channels and memories between them, and what they share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from axynq.host.synthesis.addresses import addresses, arrays, is_channel
from axynq.host.synthesis.compilation import Compiled
from axynq.host.synthesis.ir import Function, Instruction, Operand, array_of, width_of
from axynq.host.synthesis.memories import ACCESSES, Memories, plain_name
from axynq.host.synthesis.pragmas import declared_name, loop_number


@dataclass(frozen=True)
class Channel:
    """A channel, or a memory that processes hand over.

    Attributes:
        name: as in the sources.
        kind: ``channel`` or ``memory``.
        writers: processes.
        readers: processes.
    """

    name: str
    kind: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]


@dataclass(frozen=True)
class Process:
    """A call in a region.

    Attributes:
        name: of the function.
        scalars: arguments of the region that it uses and that are not stable: each crosses to it
            through a FIFO. With their bits.
    """

    name: str
    scalars: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class DataflowRegion:
    """A region whose processes run at the same time.

    Attributes:
        function: where it stands.
        loop: the label of the loop that it is the body of; empty: it is a function's body.
        processes: in the order of their calls.
        channels: between them.
        unstable: arguments that are not stable, for which processes wait for each other.
    """

    function: str
    loop: str
    processes: tuple[Process, ...]
    channels: tuple[Channel, ...]
    unstable: tuple[str, ...]


def dataflow_regions(compiled: Compiled, memories: Memories) -> list[DataflowRegion]:
    """All regions of the sources."""
    found = []
    for function in compiled.module.functions.values():
        source = compiled.sources.functions.get(function.name)
        stable = source.variables("STABLE") if source is not None else set()
        if source is not None and source.region:
            every = set(function.blocks)
            found.append(_Region(compiled, memories, function, every, stable).read(""))
        for loop in function.loops:
            inner = compiled.sources.loops.get(loop_number(compiled.module, loop.metadata))
            if inner is not None and inner.has("DATAFLOW"):
                own = stable | inner.variables("STABLE")
                region = _Region(compiled, memories, function, loop.blocks, own)
                found.append(region.read(inner.label))
    return found


class _Region:
    def __init__(
        self,
        compiled: Compiled,
        memories: Memories,
        function: Function,
        blocks: set[str],
        stable: set[str],
    ) -> None:
        self.compiled = compiled
        self.memories = memories
        self.function = function
        self.blocks = blocks
        self.calls = [
            i
            for i in function.instructions()
            if i.block in blocks and i.opcode == "call" and i.detail in compiled.module.functions
        ]
        self.outside = {name for name in self._outside() if source_name(name) not in stable}

    def read(self, loop: str) -> DataflowRegion:
        used: dict[str, None] = {}
        processes = []
        for call in self.calls:
            scalars: dict[tuple[str, int], None] = {}
            for name, operand in self._arguments(call):
                for argument in self._from_outside(operand):
                    used[source_name(argument)] = None
                scalars |= dict.fromkeys(self._scalars(call, name, operand))
            processes.append(Process(plain_name(call.detail), tuple(scalars)))
        return DataflowRegion(
            plain_name(self.function.name),
            loop,
            tuple(processes),
            tuple(self._channels()),
            tuple(used),
        )

    def _outside(self) -> Iterator[str]:
        """What is given to the region: the function's arguments, and for a loop what comes from
        outside it or changes with it."""
        yield from self.function.arguments
        if self.blocks == set(self.function.blocks):
            return
        own = {i.name for i in self.function.values.values() if i.opcode == "alloca"}
        for i in self.function.instructions():
            if i.block not in self.blocks:
                own -= {operand for operand in i.operands if isinstance(operand, str)}
        for i in self.function.values.values():
            if (i.block not in self.blocks or i.opcode == "phi") and i.name not in own:
                yield i.name

    def _arguments(self, call: Instruction) -> list[tuple[str, Operand]]:
        """Arguments of a call, with the names that the callee has for them."""
        return list(zip(self._callee(call).arguments, call.operands))

    def _callee(self, call: Instruction) -> Function:
        return self.compiled.module.functions[call.detail]

    def _from_outside(self, operand: Operand) -> list[str]:
        """The region's arguments that an argument of a process comes from."""
        if not isinstance(operand, str) or not operand.startswith("%"):
            return []
        i = self.function.values.get(operand)
        while i is not None and i.opcode in ("zext", "sext", "trunc", "freeze"):
            operand = str(i.operands[0])
            i = self.function.values.get(operand)
        if operand in self.outside:
            return [operand]
        bases = (a.base for a in addresses(self.compiled.module, self.function, operand))
        return [base for base in bases if base in self.outside]

    def _scalars(self, call: Instruction, name: str, operand: Operand) -> Iterator[tuple[str, int]]:
        """Values that cross to a process through FIFOs by one of its arguments."""
        type_ = self._callee(call).arguments[name]
        for argument in self._from_outside(operand):
            told = source_name(argument)
            if type_ != "ptr":
                yield told, width_of(type_)
                continue
            memory = self.memories.memory(self.function, argument)
            if memory is None or memory.kind != "scalar":
                continue
            for member, bits in self._members(self._callee(call), name, set()).items():
                yield f"{told}.{member}" if member else told, bits

    def _members(
        self, function: Function, parameter: str, seen: set[tuple[str, str]]
    ) -> dict[str, int]:
        """Scalars that a function, and those it calls, read of a structure: names and bits."""
        found: dict[str, int] = {}
        for user, i in _users(self.compiled, function, parameter, seen):
            for place in self.memories.places(user, i):
                if place.memory.kind == "scalar" and i.opcode == "load":
                    found[".".join(place.memory.array.path)] = i.width
        return found

    def _channels(self) -> Iterator[Channel]:
        """Channels and memories of the region, with the processes that write and read them."""
        for i in self.function.values.values():
            if i.opcode != "alloca":
                continue
            sides: dict[str, dict[str, None]] = {"store": {}, "load": {}}
            for call in self.calls:
                for name, operand in self._arguments(call):
                    to = addresses(self.compiled.module, self.function, operand)
                    if any(address.base == i.name for address in to):
                        for _, use in _users(self.compiled, self._callee(call), name, set()):
                            sides[use.opcode][plain_name(call.detail)] = None
            if not sides["store"] and not sides["load"]:
                continue
            inside = arrays(self.compiled.module, self.compiled.sources.members, i.detail)
            channel = all(is_channel(array.element) for array in inside)
            if channel or any(a.dimensions for a in inside) or array_of(i.detail) is not None:
                kind = "channel" if channel else "memory"
                yield Channel(
                    source_name(i.name), kind, tuple(sides["store"]), tuple(sides["load"])
                )


def source_name(name: str) -> str:
    """A value's name as the sources have it."""
    return declared_name(re.sub(r"!\d+.*", "", name.lstrip("%").strip('"')))


def _users(
    compiled: Compiled, function: Function, parameter: str, seen: set[tuple[str, str]]
) -> Iterator[tuple[Function, Instruction]]:
    """Accesses through a pointer that a function is given, in it and in those it calls."""
    if (function.name, parameter) in seen:
        return
    seen.add((function.name, parameter))
    for i in function.instructions():
        if i.opcode in ACCESSES:
            to = addresses(compiled.module, function, i.operands[-1])
            if any(address.base == parameter for address in to):
                yield function, i
        elif i.opcode == "call" and i.detail in compiled.module.functions:
            callee = compiled.module.functions[i.detail]
            for name, operand in zip(callee.arguments, i.operands):
                to = addresses(compiled.module, function, operand)
                if any(address.base == parameter for address in to):
                    yield from _users(compiled, callee, name, seen)
