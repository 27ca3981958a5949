# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the operators of a function take, by where in the sources they stand.

Operators are counted in LLVM's representation and weighed by what each takes alone
(:mod:`axynq.host.synthesis.costs`). Rules say what a synthesis tool then joins. A LUT has six
inputs, so that it holds two choices in a row, a choice in front of an adder's bit, or an addition
of three; it can also hold two functions of the same five inputs. Values that never have a one in
the same place are wires.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from axynq.host.overlay.naming import BLACKBOX_PREFIX
from axynq.host.synthesis import delays
from axynq.host.synthesis.bits import PossibleOnes
from axynq.host.synthesis.compilation import Compiled
from axynq.host.synthesis.costs import Cost, multiply_cost, operator_cost
from axynq.host.synthesis.dependences import LoopGraph, loop_graph
from axynq.host.synthesis.ir import Function, Instruction, Loop
from axynq.host.synthesis.memories import Memories
from axynq.host.synthesis.operators import Operator, operator
from axynq.host.synthesis.places import Places
from axynq.host.synthesis.pragmas import loop_number
from axynq.host.synthesis.stages import Stages, stages

GATE = 0.4
"""LUTs of a gate with two inputs of one bit: a LUT of six inputs holds up to five."""
PAIRED = 0.75
"""LUTs of a bit that a LUT could compute two of, where some find no partner."""
STATE = Cost(1, 1)
"""A state of a state machine, one flip-flop for each."""
CONTROL = Cost(8, 4)
"""Start, done, idle and ready of a function."""
DSP_FROM = 10
"""Bits of a product's narrower factor from which it goes to a DSP block."""
LOGIC_UP_TO = 16
"""Bits of its wider factor up to which it may not."""

LONGEST_INTERVAL = 64


@dataclass
class Logic:
    """What a function takes, apart from functions that it calls.

    Attributes:
        operators: LUTs and DSP blocks by place in the sources, ``FILE:LINE``, and kind of
            operator.
        registers: between stages and states, in loops, and of the state machine.
        netlists: how often each multiplier's netlist is called.
    """

    operators: dict[tuple[str, str], Cost] = field(default_factory=lambda: defaultdict(Cost))
    registers: dict[str, Cost] = field(default_factory=lambda: defaultdict(Cost))
    netlists: Counter[str] = field(default_factory=Counter)

    def total(self) -> Cost:
        return sum([*self.operators.values(), *self.registers.values()], Cost())


def logic_of(
    compiled: Compiled,
    memories: Memories,
    places: Places,
    function: Function,
    budget: float,
    loop: Loop | None = None,
) -> Logic:
    """The logic of a function.

    Args:
        compiled: the sources.
        memories: of them.
        places: of them.
        function: one of them.
        budget: ns of a clock cycle that operators may fill.
        loop: a pipelined loop of it, of which alone to tell; default: all of the function.
    """
    counting = _Counting(compiled, memories, places, function, budget)
    return counting.counted(loop.blocks if loop is not None else None)


def pipelines(
    compiled: Compiled, memories: Memories, function: Function, budget: float
) -> Iterator[tuple[Loop, LoopGraph, Stages]]:
    """The pipelined loops of a function, what waits for what in them, and their stages at the
    shortest interval."""
    for loop in function.loops:
        source = compiled.sources.loops.get(loop_number(compiled.module, loop.metadata))
        inner = any(other.parent is loop for other in function.loops)
        if source is None or not source.has("PIPELINE") or inner:
            continue
        graph = loop_graph(compiled, memories, function, loop, source)
        tried = (
            stages(graph, memories.widths[function.name], budget, ii)
            for ii in range(1, LONGEST_INTERVAL)
        )
        made = next((found for found in tried if found is not None), None)
        if made is not None:
            yield loop, graph, made


class _Counting:
    def __init__(
        self,
        compiled: Compiled,
        memories: Memories,
        places: Places,
        function: Function,
        budget: float,
    ) -> None:
        self.compiled, self.memories, self.places = compiled, memories, places
        self.function, self.budget = function, budget
        self.widths = memories.widths[function.name]
        self.ones = PossibleOnes(function, self.widths)
        self.made = Logic()
        self.header: dict[str, str] = {}
        for loop in function.loops:
            self.header |= dict.fromkeys(loop.blocks, loop.header)
        self.users: dict[str, list[Instruction]] = defaultdict(list)
        for name in function.order:
            for i in function.blocks[name].instructions:
                for operand in i.operands:
                    if isinstance(operand, str):
                        self.users[operand].append(i)
        self.stage: dict[str, object] = {}
        self.inside: set[Instruction] = set()
        """What another operator's LUTs hold."""
        self.holding: set[Instruction] = set()
        """What holds another already."""

    def counted(self, blocks: set[str] | None = None) -> Logic:
        pipelined = self._pipelines(blocks)
        for name in self.function.order:
            for i in self.function.blocks[name].instructions:
                self.stage.setdefault(i.name, name)
        for name in self.function.order:
            for i in self.function.blocks[name].instructions:
                self._join(i)
        for name in self.function.order:
            if blocks is None or name in blocks:
                for i in self.function.blocks[name].instructions:
                    self._count(i)
        if blocks is None:
            self._states(pipelined)
        return self.made

    # --- registers ---

    def _pipelines(self, blocks: set[str] | None) -> set[str]:
        """Counts the registers of pipelined loops. Returns their blocks."""
        found: set[str] = set()
        for loop, _, made in pipelines(self.compiled, self.memories, self.function, self.budget):
            found |= loop.blocks
            if blocks is None or loop.header in blocks:
                self.made.registers["stages"] += made.cost
            self.stage |= made.cycle
        return found

    def _states(self, pipelined: set[str]) -> None:
        """Values that live from one state to another, and the state machine."""
        states = 1
        for name in self.function.order:
            if name in pipelined:
                continue
            states += 1
            for i in self.function.blocks[name].instructions:
                if not i.name or not i.width:
                    continue
                made = operator(
                    self.memories, self.function, self.widths, i, self.header.get(name, "")
                )
                kind = made.kind if made is not None else ""
                states += kind == "mul"
                if (made is None and i.opcode != "load") or kind == "register":
                    continue
                if any(user.block != name for user in self.users[i.name]):
                    bits = 1 if i.opcode == "icmp" else self.widths.result(i)
                    self.made.registers["states"] += Cost(0, bits)
        self.made.registers["control"] += CONTROL + STATE * states

    # --- what shares LUTs ---

    def _alone(self, operand: object, by: Instruction) -> Instruction | None:
        """The instruction that an operand comes from, through wires, if it has no other use and
        is of the same clock cycle."""
        i = self.function.values.get(operand) if isinstance(operand, str) else None
        while (
            i is not None
            and i.opcode in ("zext", "sext", "trunc", "freeze")
            and len(self.users[i.name]) == 1
        ):
            i = self.function.values.get(str(i.operands[0]))
        if i is None or len(self.users[i.name]) != 1 or i in self.inside:
            return None
        return i if self.stage.get(i.name) == self.stage.get(by.name) else None

    def _join(self, i: Instruction) -> None:
        if i.opcode in ("add", "sub"):
            inner = [self._alone(operand, i) for operand in i.operands]
            for kinds in (("add", "sub"), ("select",)):
                for other in inner:
                    if other is None or other.opcode not in kinds or other in self.holding:
                        continue
                    self.inside.add(other)
                    self.holding.add(i)
                    return
        if i.opcode == "select":
            for other in (self._alone(operand, i) for operand in i.operands[1:]):
                if other is not None and other.opcode == "select" and other not in self.holding:
                    self.inside.add(other)
                    self.holding.add(i)
                    return

    # --- operators ---

    def _count(self, i: Instruction) -> None:
        header = self.header.get(i.block, "")
        made = operator(self.memories, self.function, self.widths, i, header)
        if made is None:
            return
        if made.kind == "call":
            if made.name not in self.compiled.module.functions and BLACKBOX_PREFIX in made.name:
                self.made.netlists[made.name] += 1
            return
        if made.kind == "register":
            cost = self._kept(i, made)
            self.made.registers["loops"] += cost
            return
        if i in self.inside:
            return
        kind, cost = self._cost(i, made)
        if cost != Cost():
            self.made.operators[self.places.of(i), kind] += cost

    def _kept(self, i: Instruction, made: Operator) -> Cost:
        """What keeps a value for the next iteration, with the choice of its first."""
        users = self.users[i.name]
        if all(
            user.opcode == "phi" and self.header.get(user.block) == user.block for user in users
        ):
            return Cost()  # the same register as that of a loop inside, which begins with it
        outside = [
            value
            for value, block in zip(i.operands, i.targets)
            if self.header.get(block) != i.block and not self._in_loop(block, i.block)
        ]
        first = all(isinstance(value, int) for value in outside)
        return Cost(0 if first else made.width * PAIRED, made.width)

    def _in_loop(self, block: str, header: str) -> bool:
        return any(loop.header == header and block in loop.blocks for loop in self.function.loops)

    def _cost(self, i: Instruction, made: Operator) -> tuple[str, Cost]:
        width = made.width
        if made.kind in ("and", "or", "xor"):
            a, b = (self.ones.mask(operand, i.width) for operand in i.operands)
            bits = (a & b).bit_count() if not made.constant else 0
            return "gates", Cost(min(bits, width) * (GATE if width == 1 else PAIRED))
        if made.kind in ("add", "sub"):
            return "additions", self._addition(i, made)
        if made.kind == "icmp":
            kind = "less_constant" if made.constant else "less"
            # Two bits for each LUT in front of a carry chain, where that is less.
            return "comparisons", Cost(min(operator_cost(kind, width).lut, -(-width // 2)))
        if made.kind == "equal":
            return "comparisons", self._equality(i, made)
        if made.kind == "select":
            return "choices", self._choice(i, made)
        if made.kind == "mux":
            inputs = len(made.operands)
            return "choices", Cost(width * (inputs - 1) / 2 if inputs > 2 else width * PAIRED)
        if made.kind == "shift":
            return "shifts", self._shift(i, made)
        if made.kind == "mul":
            return "products", self._product(made)
        if made.kind == "div":
            return "divisions", operator_cost("divide_sequential", max(made.operands))
        if made.kind == "extreme":
            compared = operator_cost("less_constant" if made.constant else "less", width).lut
            kept = min(self.widths.need(i.name, i.width).bits, width)
            return "choices", Cost(min(compared, -(-width // 2)) + kept * PAIRED)
        return made.kind, Cost()

    def _addition(self, i: Instruction, made: Operator) -> Cost:
        masks = [self.ones.mask(operand, i.width) for operand in i.operands]
        low = max(_trailing_zeros(mask, i.width) for mask in masks) if i.opcode == "add" else 0
        bits = max(made.width - low, 0)
        if made.constant:
            return Cost(bits * 0.5)  # of each bit but the carry, which another function may share
        return Cost(bits)

    def _equality(self, i: Instruction, made: Operator) -> Cost:
        if i.opcode == "switch":
            return Cost(len(i.cases) * GATE)
        if made.width <= 1:
            return Cost(GATE)
        if made.constant:
            return Cost(operator_cost("equal_constant", made.width).lut)
        # Three bits of each for a LUT in front of a carry chain.
        return Cost(min(operator_cost("equal", made.width).lut, -(-made.width // 3) + 1))

    def _choice(self, i: Instruction, made: Operator) -> Cost:
        if made.width == 1:
            return Cost(GATE)
        values = i.operands[1:] if i.opcode == "select" else i.operands
        register = self._register(i)
        if register is not None and (register.name in values or 0 in values):
            return Cost(GATE)  # it is not clocked, or reset
        bits = 0
        for value in values:
            bits |= self.ones.mask(value, i.width)
        count = min(bits.bit_count(), made.width)
        return Cost(count * (1 if i in self.holding else PAIRED))

    def _register(self, i: Instruction) -> Instruction | None:
        """The register of a loop that a value goes to, if it goes nowhere else."""
        users = self.users[i.name]
        kept = len(users) == 1 and users[0].opcode == "phi"
        return users[0] if kept and self.header.get(users[0].block) == users[0].block else None

    def _shift(self, i: Instruction, made: Operator) -> Cost:
        if isinstance(i.operands[0], int):  # each bit depends on the amount alone
            return Cost(made.width * 0.5)
        kind = {"shl": "shift_left", "ashr": "shift_right_signed"}.get(i.opcode, "shift_right")
        whole = operator_cost(kind, made.width).lut
        if i.opcode == "shl":  # the value becomes wider with each bit of the amount
            value = min(self.widths.need(i.operands[0], i.width).bits, made.width)
            whole *= (made.width + value) / (2 * made.width)
        amount = self.widths.width(i.operands[1], i.width)
        return Cost(min(whole, made.width * -(-amount // 2)))

    def _product(self, made: Operator) -> Cost:
        wide, narrow = sorted(made.operands, reverse=True)[:2]
        if made.constant:
            return Cost(made.width * 1.5)  # two or three additions of shifted values
        dsp = narrow >= DSP_FROM or wide > LOGIC_UP_TO
        cost = multiply_cost(min(wide, 64), min(narrow, 64), made.width, dsp)
        return Cost(cost.lut, cost.flip_flop, delays.dsps(made) if dsp else 0)


def _trailing_zeros(mask: int, width: int) -> int:
    return (mask & -mask).bit_length() - 1 if mask else width
