# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How much of a device an overlay needs: the whole block design, part by part.

Each part says on what its figures rest. None was placed: what is likely aims at Vivado's figures
after implementation.

``python -m axynq.host.synthesis.estimate`` in the source tree writes the shipped file anew.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from axynq.emulator import files
from axynq.host.generate.overlay_files import Blackbox, overlay_blackboxes
from axynq.host.netlists.blackbox import flip_flops
from axynq.host.netlists.designs import configurable_netlist, netlist, registers_inside
from axynq.host.netlists.dsp_pair import RESOURCES as DSP_PAIR
from axynq.host.overlay import Overlay
from axynq.host.overlay.description import overlay_names
from axynq.host.overlay.memory_access import OUTSTANDING_BURSTS
from axynq.host.synthesis import delays
from axynq.host.synthesis.block_design import block_design
from axynq.host.synthesis.compilation import Compiled, compile_overlay
from axynq.host.synthesis.costs import Cost
from axynq.host.synthesis.interfaces import memory_port, registers
from axynq.host.synthesis.logic import CONTROL, Logic, logic_of
from axynq.host.synthesis.memories import Memories, Memory, plain_name
from axynq.host.synthesis.parts import BOUNDS, COUNTED, FACTORS, MAPPED, MEASURED, RULE, Part
from axynq.host.synthesis.places import Places
from axynq.host.synthesis.state import state_of
from axynq.host.synthesis.storage import Storage, block_memory, channel, lut_memory

PORT_WAYS = ("read", "read", "write")
"""What ``commands``, ``source`` and ``destination`` do."""
CHANNEL_WORDS = 32
ARGUMENT_BITS = 3 * 64 + 3 * 32
"""Of the registers: three addresses, three numbers."""


@dataclass(frozen=True)
class Estimate:
    """Resources of an overlay and what its board's device has."""

    overlay: str
    board: str
    parts: tuple[Part, ...]
    available: dict[str, int]

    def total(self, resource: str, bound: str = "likely") -> float:
        """``lut``, ``flip_flop``, ``block_ram_36k`` or ``dsp`` of all parts; ``low``, ``likely`` or
        ``high``."""
        return sum(part.amount(resource, bound) for part in self.parts)


def estimate(overlay: Overlay, compiled: Compiled | None = None) -> Estimate:
    """The resources of an overlay.

    Args:
        overlay: what to estimate.
        compiled: its sources, where they are compiled already.

    Raises:
        ToolError: clang or LLVM is not installed.
    """
    compiled = compiled or compile_overlay(overlay)
    memories = Memories(compiled)
    pace = delays.PACE[overlay.board_description.family]
    budget = delays.budget(1000 / overlay.clock_mhz) / pace
    parts = [*_functions(overlay, compiled, memories, budget), *_storage(memories)]
    parts += [*_interfaces(overlay), *block_design(overlay)]
    board = overlay.board_description
    return Estimate(overlay.name, board.name, tuple(parts), board.resources.model_dump())


def instances(compiled: Compiled) -> Counter[str]:
    """How often each function is built. Calls in one function share an instance, as they never run
    at the same time; those in several functions have one each."""
    callers: dict[str, set[str]] = defaultdict(set)
    for function in compiled.module.functions.values():
        for i in function.instructions():
            if i.opcode == "call" and i.detail in compiled.module.functions:
                callers[i.detail].add(function.name)
    found: Counter[str] = Counter({compiled.top: 1})
    waiting = set(compiled.module.functions) - {compiled.top}
    while waiting:
        ready = {name for name in waiting if callers[name] <= set(found)}
        for name in ready:
            found[name] = sum(found[caller] for caller in callers[name])
        waiting -= ready
    return found


def _functions(
    overlay: Overlay, compiled: Compiled, memories: Memories, budget: float
) -> Iterator[Part]:
    places = Places(compiled.module)
    counts = instances(compiled)
    state = state_of(compiled, memories)
    netlists: Counter[str] = Counter()
    for function in compiled.module.functions.values():
        count = counts[function.name]
        logic = logic_of(compiled, memories, places, function, budget)
        for name, calls in logic.netlists.items():
            netlists[name] += calls * count
        yield from _logic(plain_name(function.name), count, logic)
        if function.name in state:
            name = f"{plain_name(function.name)}: variables"
            yield Part.of(name, COUNTED, count, state[function.name] * count)
    for blackbox in overlay_blackboxes(overlay):
        calls = sum(n for name, n in netlists.items() if plain_name(name) == blackbox.function)
        # Netlists of tables are Yosys' work, the others the project's.
        basis = MEASURED if blackbox.specs[0].startswith("table:") else MAPPED
        yield Part.of(blackbox.function, basis, calls, blackbox_cost(blackbox) * calls)


def blackbox_cost(blackbox: Blackbox) -> Cost:
    """Of one instance. Flip-flops inside a DSP block are none of the device's."""
    if blackbox.pair:
        return Cost(DSP_PAIR["LUT"], DSP_PAIR["FF"], DSP_PAIR["DSP"])
    specs = blackbox.specs
    made = configurable_netlist(specs) if len(specs) > 1 else netlist(specs[0])
    inside = 0 if len(specs) > 1 else registers_inside(specs[0])
    return Cost(made.resources()["LUT"], flip_flops(made) + inside)


def _logic(function: str, count: int, logic: Logic) -> Iterator[Part]:
    by_file: dict[str, Cost] = defaultdict(Cost)
    for (place, _), cost in logic.operators.items():
        by_file[place.split(":")[0] or "conditions"] += cost
    for file, cost in sorted(by_file.items(), key=lambda item: -item[1].lut):
        yield Part.of(f"{function}: {file}", COUNTED, count, cost * count)
    registers_ = Cost()
    for kind, cost in logic.registers.items():
        if kind == "stages":
            yield Part.of(f"{function}: {kind}", COUNTED, count, cost * count)
        else:
            registers_ += cost
    if registers_ != Cost():
        yield Part.of(f"{function}: control and registers", COUNTED, count, registers_ * count)


def _storage(memories: Memories) -> Iterator[Part]:
    for memory in memories:
        if memory.kind == "memory":
            made = _bank(memory)
            yield Part.stored(memory.name, RULE, memory.banks, made)
        elif memory.kind == "channel":
            made = channel(memory.word, CHANNEL_WORDS, memory.storage.split(" ")[-1])
            yield Part.stored(memory.name, MEASURED, memory.banks, made)


def _bank(memory: Memory) -> Storage:
    if "lutram" in memory.storage:
        return lut_memory(memory.word, memory.depth)
    return block_memory(memory.word, memory.depth)


def _interfaces(overlay: Overlay) -> Iterator[Part]:
    for way in ("read", "write"):
        made = memory_port(way, overlay.port_bits, OUTSTANDING_BURSTS)
        yield Part.stored(f"memory ports, {way}", MEASURED, PORT_WAYS.count(way), made)
    yield Part.stored("registers", MEASURED, 1, registers(ARGUMENT_BITS))
    yield Part.of("start and end of processes", RULE, 4, CONTROL * 4)


def content_of(made: Estimate) -> dict[str, Any]:
    """An estimate with its totals, as it is written."""
    totals = {
        resource: {bound: round(made.total(resource, bound), 1) for bound in BOUNDS}
        for resource in made.available
    }
    return {**asdict(made), "totals": totals}


def write_shipped(root: Path) -> None:
    """Write the estimates of all overlays of the source tree."""
    content = {
        "description": "Estimated resources of the overlays, the whole block designs. LUTs of "
        "parts are as counted, measured or published; totals contain the factors of their basis. "
        "Nothing was placed.",
        "script": "python -m axynq.host.synthesis.estimate",
        "date": datetime.date.today().isoformat(),
        "factors": FACTORS,
        "overlays": {name: content_of(estimate(Overlay.load(name))) for name in overlay_names()},
    }
    text = json.dumps(content, indent=1) + "\n"
    files.write_text(root / "benchmarks" / "resources" / "results.json", text)


if __name__ == "__main__":
    write_shipped(Path())
