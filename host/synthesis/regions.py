"""DATAFLOW regions: processes, the channels and memories between them, and what they share."""

from __future__ import annotations

import re
from dataclasses import dataclass

from axynq.host.synthesis.addresses import addresses, arrays
from axynq.host.synthesis.compilation import Compiled
from axynq.host.synthesis.ir import Function, Instruction, array_of, width_of
from axynq.host.synthesis.memories import ACCESSES, Memories, plain_name
from axynq.host.synthesis.pragmas import loop_number


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
        unstable: arguments that are not stable, as processes join for them at the start.
        problems: what keeps runs of it from overlapping, told.
    """

    function: str
    loop: str
    processes: tuple[Process, ...]
    channels: tuple[Channel, ...]
    unstable: tuple[str, ...]
    problems: tuple[str, ...]


def dataflow_regions(compiled: Compiled, memories: Memories) -> list[DataflowRegion]:
    """All regions of the sources."""
    found = []
    for function in compiled.module.functions.values():
        source = compiled.sources.functions.get(function.name)
        if source is not None and source.region:
            every = set(function.blocks)
            found.append(_region(compiled, memories, function, every, "", source.variables("STABLE")))
        for loop in function.loops:
            inner = compiled.sources.loops.get(loop_number(compiled.module, loop.metadata))
            if inner is not None and inner.has("DATAFLOW"):
                stable = source.variables("STABLE") if source is not None else set()
                stable |= {p.settings.get("variable", "") for p in inner.pragmas if p.kind == "STABLE"}
                found.append(
                    _region(compiled, memories, function, loop.blocks, inner.label, stable)
                )
    return found


def _region(
    compiled: Compiled,
    memories: Memories,
    function: Function,
    blocks: set[str],
    loop: str,
    stable: set[str],
) -> DataflowRegion:
    calls = [
        i
        for name in function.order
        if name in blocks
        for i in function.blocks[name].instructions
        if i.opcode == "call" and i.detail in compiled.module.functions
    ]
    outside = {name for name in function.arguments if plain(name) not in stable}
    if loop:
        own = _own_variables(function, blocks)
        outside |= {i.name for i in function.values.values() if i.block not in blocks} - own
        outside |= {i.name for i in function.values.values() if i.opcode == "phi"}
    processes, used = [], []
    for call in calls:
        scalars: list[tuple[str, int]] = []
        for argument, operand in zip(
            compiled.module.functions[call.detail].arguments.items(), call.operands
        ):
            scalars += _scalars(compiled, memories, function, call, argument, operand, outside, stable, used)
        processes.append(Process(plain_name(call.detail), tuple(dict.fromkeys(scalars))))
    channels = _channels(compiled, memories, function, calls, blocks)
    unstable = tuple(dict.fromkeys(used))
    problems = []
    if unstable:
        problems.append(
            f"{len(unstable)} arguments of the region are not stable: {', '.join(unstable)}"
        )
    problems += [
        f"{c.name} has {len(c.writers)} writers and {len(c.readers)} readers"
        for c in channels
        if len(c.writers) != 1 or len(c.readers) != 1
    ]
    fifos = sum(len(p.scalars) for p in processes)
    if fifos:
        problems.append(f"{fifos} scalars cross to processes through FIFOs")
    return DataflowRegion(
        plain_name(function.name), loop, tuple(processes), tuple(channels), unstable, tuple(problems)
    )


def _own_variables(function: Function, blocks: set[str]) -> set[str]:
    """Variables that nothing outside of blocks uses."""
    found = {i.name for i in function.values.values() if i.opcode == "alloca"}
    for i in function.instructions():
        if i.block not in blocks:
            found -= {o for o in i.operands if isinstance(o, str)}
    return found


def plain(name: str) -> str:
    """A value's name as the sources have it."""
    return re.sub(r"!\d+.*", "", name.lstrip("%").strip('"'))


def _scalars(
    compiled: Compiled,
    memories: Memories,
    function: Function,
    call: Instruction,
    argument: tuple[str, str],
    operand: object,
    outside: set[str],
    stable: set[str],
    used: list[str],
) -> list[tuple[str, int]]:
    """What of the region's arguments a process takes through one of its own: values that cross
    through FIFOs. What it uses is added to ``used``."""
    name, type_ = argument
    if not isinstance(operand, str) or not operand.startswith("%"):
        return []
    callee = compiled.module.functions[call.detail]
    if type_ != "ptr":
        source = _origin(function, operand)
        if source not in outside:
            return []
        used.append(plain(source))
        return [(plain(source), width_of(type_))]
    found: list[tuple[str, int]] = []
    for address in addresses(compiled.module, function, operand):
        if address.base not in outside:
            continue
        used.append(plain(address.base))
        memory = memories.memory(function, address.base, address.offset)
        if memory is None or memory.kind in ("port", "memory", "channel") and memory.array.dimensions:
            continue
        for member, bits in _read_members(compiled, memories, callee, name, set()):
            found.append((f"{plain(address.base)}.{member}" if member else plain(address.base), bits))
    return found


def _origin(function: Function, operand: str) -> str:
    """The argument that a value is, or is cast from."""
    i = function.values.get(operand)
    while i is not None and i.opcode in ("zext", "sext", "trunc", "freeze"):
        operand = str(i.operands[0])
        i = function.values.get(operand)
    return operand


def _read_members(
    compiled: Compiled,
    memories: Memories,
    function: Function,
    parameter: str,
    seen: set[tuple[str, str]],
) -> list[tuple[str, int]]:
    """Scalars that a function, and those it calls, read of a structure it is given: their names
    and bits."""
    if (function.name, parameter) in seen:
        return []
    seen.add((function.name, parameter))
    found: dict[str, int] = {}
    for i in function.instructions():
        if i.opcode in ACCESSES:
            if all(a.base != parameter for a in addresses(compiled.module, function, i.operands[-1])):
                continue
            for place in memories.places(function, i):
                if place.memory.kind == "scalar":
                    found[".".join(place.memory.array.path)] = i.width
        elif i.opcode == "call" and i.detail in compiled.module.functions:
            callee = compiled.module.functions[i.detail]
            for name, operand in zip(callee.arguments, i.operands):
                if any(
                    a.base == parameter for a in addresses(compiled.module, function, operand)
                ):
                    found |= dict(_read_members(compiled, memories, callee, name, seen))
    return list(found.items())


def _channels(
    compiled: Compiled,
    memories: Memories,
    function: Function,
    calls: list[Instruction],
    blocks: set[str],
) -> list[Channel]:
    """Channels and memories of the region, with the processes that write and read them."""
    found = []
    for i in function.values.values():
        if i.opcode != "alloca":
            continue
        sides: dict[str, list[str]] = {"store": [], "load": []}
        for call in calls:
            callee = compiled.module.functions[call.detail]
            for name, operand in zip(callee.arguments, call.operands):
                if any(a.base == i.name for a in addresses(compiled.module, function, operand)):
                    for opcode in _uses(compiled, callee, name, set()):
                        sides[opcode].append(plain_name(call.detail))
        if not any(sides.values()):
            continue
        inside = arrays(compiled.module, compiled.sources.members, i.detail)
        kind = "channel" if "hls::stream" in i.detail else "memory"
        if kind == "memory" and not any(a.dimensions for a in inside) and array_of(i.detail) is None:
            continue
        found.append(
            Channel(
                plain(i.name),
                kind,
                tuple(dict.fromkeys(sides["store"])),
                tuple(dict.fromkeys(sides["load"])),
            )
        )
    return found


def _uses(
    compiled: Compiled, function: Function, parameter: str, seen: set[tuple[str, str]]
) -> set[str]:
    """Whether a function, or one it calls, loads and stores through a pointer it is given."""
    if (function.name, parameter) in seen:
        return set()
    seen.add((function.name, parameter))
    found: set[str] = set()
    for i in function.instructions():
        if i.opcode in ACCESSES:
            if any(a.base == parameter for a in addresses(compiled.module, function, i.operands[-1])):
                found.add(i.opcode)
        elif i.opcode == "call" and i.detail in compiled.module.functions:
            callee = compiled.module.functions[i.detail]
            for name, operand in zip(callee.arguments, i.operands):
                if any(a.base == parameter for a in addresses(compiled.module, function, operand)):
                    found |= _uses(compiled, callee, name, seen)
    return found
