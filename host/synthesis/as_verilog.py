# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A pipelined loop as Verilog, with registers where its schedule has stages.

What a scheduler would make of it, to be measured as a whole: operators share and join LUTs as they
would there. Memories, channels and the multipliers' netlists are outside: what is read of them are
inputs, addresses and what is written are outputs.
"""

from __future__ import annotations

from collections.abc import Callable

from axynq.host.synthesis.addresses import addresses
from axynq.host.synthesis.compilation import Compiled
from axynq.host.synthesis.dependences import LoopGraph, postdominators
from axynq.host.synthesis.ir import Function, Instruction, Loop, Operand, width_of
from axynq.host.synthesis.memories import ACCESSES
from axynq.host.synthesis.registers import MULTIPLEXER
from axynq.host.synthesis.stages import Stages
from axynq.host.synthesis.widths import Widths

BINARY = {
    **{"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|", "xor": "^"},
    **{"shl": "<<", "lshr": ">>", "udiv": "/", "urem": "%"},
}
COMPARISONS = {
    **{"eq": "==", "ne": "!=", "ugt": ">", "uge": ">=", "ult": "<", "ule": "<="},
    **{"sgt": ">", "sge": ">=", "slt": "<", "sle": "<="},
}
EXTREMES = {"smax": ">", "smin": "<", "umax": ">", "umin": "<"}


def loop_verilog(
    compiled: Compiled,
    function: Function,
    loop: Loop,
    graph: LoopGraph,
    made: Stages,
    widths: Widths,
    name: str,
) -> str:
    """The Verilog of a loop.

    Args:
        compiled: the sources.
        function: of them.
        loop: of the function, without loops inside.
        graph: its dependences.
        made: its stages.
        widths: of the function's values.
        name: of the module.
    """
    return _Writer(compiled, function, loop, graph, made, widths).text(name)


class _Writer:
    def __init__(
        self,
        compiled: Compiled,
        function: Function,
        loop: Loop,
        graph: LoopGraph,
        made: Stages,
        widths: Widths,
    ) -> None:
        self.compiled, self.function, self.loop, self.made = compiled, function, loop, made
        self.widths = widths
        self.order = [block for block in function.order if block in loop.blocks]
        self.after = postdominators(function, self.order, loop)
        self.scheduled = {n.instruction for n in graph.nodes if n.instruction is not None}
        self.lines: list[str] = []
        self.clocked: list[str] = []
        self.inputs: dict[str, int] = {}
        self.outputs: dict[str, int] = {}
        self.width: dict[str, int] = {}
        self.cycle: dict[str, int] = {}
        self.delays: set[tuple[str, int]] = set()
        self.names: dict[str, str] = {}
        self.conditions: dict[tuple[str, str], str] = {}

    def text(self, name: str) -> str:
        for block in self.order:
            for i in self.function.blocks[block].instructions:
                if i in self.scheduled:
                    self._declare(i)
        for block in self.order:
            for i in self.function.blocks[block].instructions:
                if i in self.scheduled:
                    self._write(i)
        self._leave()
        ports = ["input wire clk, ce, start"]
        ports += [f"input wire [{w - 1}:0] {n}" for n, w in self.inputs.items()]
        ports += [f"output wire [{w - 1}:0] {n}" for n, w in self.outputs.items()]
        head = f"module {name} (\n  " + ",\n  ".join(ports) + "\n);"
        body = ["  always @(posedge clk) if (ce) begin", *self.clocked, "  end"]
        return "\n".join([head, *self.lines, *body, "endmodule", ""])

    def _leave(self) -> None:
        """Values that are used behind the loop leave the module."""
        for block in self.function.order:
            if block not in self.loop.blocks:
                for i in self.function.blocks[block].instructions:
                    for operand in i.operands:
                        plain = self.names.get(str(operand))
                        if plain is not None:
                            self._output(plain, self.width[plain])

    # --- values ---

    def _declare(self, i: Instruction) -> None:
        if i.name and (1 if i.opcode == "icmp" else i.width):
            plain = f"v{len(self.names)}"
            self.names[i.name] = plain
            self.width[plain] = 1 if i.opcode == "icmp" else i.width
            self.cycle[plain] = self.made.cycle[i.name]

    def _new(self, expression: str, width: int, cycle: int) -> str:
        plain = f"c{len(self.width)}"
        self.width[plain], self.cycle[plain] = width, cycle
        self.lines.append(f"  wire [{width - 1}:0] {plain} = {expression};")
        return plain

    def _at(self, plain: str, cycle: int) -> str:
        """A value in a later cycle."""
        made, kept = self.cycle[plain], plain
        for at in range(made + 1, cycle + 1):
            later = f"{plain}_{at}"
            if (plain, at) not in self.delays:
                self.delays.add((plain, at))
                self.lines.append(f"  reg [{self.width[plain] - 1}:0] {later};")
                self.clocked.append(f"    {later} <= {kept};")
            kept = later
        return kept

    def _of(self, operand: Operand, width: int, cycle: int) -> str:
        if isinstance(operand, int):
            return f"{width}'d{operand & ((1 << width) - 1)}"
        if operand in self.names:
            return self._at(self.names[operand], cycle)
        if not operand.startswith(("%", "@")):
            return f"{width}'d0"
        plain = "i_" + "".join(c if c.isalnum() else "_" for c in operand[1:])
        self.inputs[plain] = max(width, self.inputs.get(plain, 0))
        return plain

    def _output(self, value: str, width: int) -> None:
        if not value[:1].isdigit():
            name = f"o{len(self.outputs)}"
            self.outputs[name] = width
            self.lines.append(f"  assign {name} = {value};")

    # --- conditions ---

    def _cycle_of(self, *names: str) -> int:
        return max((self.cycle[n] for n in names), default=0)

    def _condition(self, above: str, block: str) -> str:
        """Whether a block runs, given that ``above`` does; empty: it does."""
        key = (above, block)
        if key not in self.conditions:
            self.conditions[key] = self._conditioned(above, block)
        return self.conditions[key]

    def _conditioned(self, above: str, block: str) -> str:
        if block == above:
            return ""
        before = self.function.dominators[block]
        if block in self.after.get(before, set()):
            return self._condition(above, before)
        ways = []
        for source in self.function.predecessors[block]:
            if source in self.loop.blocks and self.function.dominates(above, source):
                way = self._edge(above, source, block)
                if not way:
                    return ""
                ways.append(way)
        return self._joined(ways, "|")

    def _edge(self, above: str, source: str, target: str) -> str:
        """Whether the way from a block to another is taken; empty: always."""
        parts = [part for part in (self._condition(above, source),) if part]
        end = self.function.blocks[source].end
        if len(set(end.targets)) > 1:
            decided = end.operands[0]
            width = self.width[self.names[decided]] if decided in self.names else (end.width or 1)
            cycle = self.cycle[self.names[decided]] if decided in self.names else 0
            value = self._of(decided, width, cycle)
            if end.opcode == "switch":
                cases = [c for c, t in zip(end.cases, end.targets[1:]) if t == target]
                others = [c for c, t in zip(end.cases, end.targets[1:]) if t != target]
                mask = (1 << width) - 1
                if end.targets[0] == target:
                    tests = [f"{value} != {width}'d{c & mask}" for c in others]
                    expression = " & ".join(f"({t})" for t in tests) or "1'd1"
                else:
                    expression = " | ".join(f"({value} == {width}'d{c & mask})" for c in cases)
            else:
                expression = value if end.targets[0] == target else f"~{value}"
            parts.append(self._new(expression, 1, cycle))
        return self._joined(parts, "&")

    def _joined(self, parts: list[str], operator: str) -> str:
        if len(parts) <= 1:
            return parts[0] if parts else ""
        cycle = self._cycle_of(*parts)
        return self._new(f" {operator} ".join(self._at(p, cycle) for p in parts), 1, cycle)

    # --- instructions ---

    def _write(self, i: Instruction) -> None:
        if i.opcode == "phi":
            self._phi(i)
        elif i.opcode in ACCESSES:
            self._access(i)
        elif i.name in self.names:
            plain = self.names[i.name]
            cycle = self.cycle[plain]
            latency = self.made.latency.get(i.name, 0)
            expression = self._expression(i, cycle - latency)
            if expression is None:
                self.inputs[plain] = self.width[plain]
                return
            for stage in range(latency):
                self.lines.append(f"  reg [{self.width[plain] - 1}:0] {plain}_r{stage};")
                self.clocked.append(f"    {plain}_r{stage} <= {expression};")
                expression = f"{plain}_r{stage}"
            self._wire(i, plain, expression)

    def _wire(self, i: Instruction, plain: str, expression: str) -> None:
        """A value, with what fills it up beyond the bits that it can have."""
        width, need = self.width[plain], self.widths.need(i.name, self.width[plain])
        if i.opcode == "icmp" or need.width >= width:
            self.lines.append(f"  wire [{width - 1}:0] {plain} = {expression};")
            return
        fill = "1'd0" if need.natural else f"{plain}_n[{need.width - 1}]"
        self.lines.append(f"  wire [{need.width - 1}:0] {plain}_n = {expression};")
        filled = f"{{{{{width - need.width}{{{fill}}}}}, {plain}_n}}"
        self.lines.append(f"  wire [{width - 1}:0] {plain} = {filled};")

    def _phi(self, i: Instruction) -> None:
        plain = self.names[i.name]
        cycle, width = self.cycle[plain], self.width[plain]
        if i.block != self.loop.header:
            above = self.function.dominators[i.block]
            expression = ""
            ways = list(zip(i.operands, i.targets))
            for value, block in ways[:-1]:
                condition = self._edge(above, block, i.block)
                chosen = self._at(condition, cycle) if condition else "1'd1"
                expression += f"{chosen} ? {self._of(value, width, cycle)} : "
            expression += self._of(ways[-1][0], width, cycle)
            self._wire(i, plain, expression)
            return
        first, following = f"{width}'d0", ""
        for value, block in zip(i.operands, i.targets):
            if block in self.loop.blocks:
                following = self._of(value, width, cycle + self.made.ii - 1)
            else:
                first = self._of(value, width, cycle)
        self.lines.append(f"  reg [{width - 1}:0] {plain};")
        self.clocked.append(f"    {plain} <= start ? {first} : {following};")

    def _access(self, i: Instruction) -> None:
        cycle = self.made.starts[i]
        for address in addresses(self.compiled.module, self.function, i.operands[-1]):
            for value, _ in address.terms:
                if value in self.names:
                    self._output(self._at(self.names[value], cycle), self.width[self.names[value]])
        if i.opcode == "load":
            if i.name in self.names:
                self.inputs[self.names[i.name]] = i.width
            return
        self._output(self._of(i.operands[0], i.width, cycle), i.width)
        condition = self._condition(self.loop.header, i.block)
        if condition:
            self._output(self._at(condition, cycle), 1)

    def _expression(self, i: Instruction, cycle: int) -> str | None:
        def of(k: int, width: int = i.width) -> str:
            return self._of(i.operands[k], width, cycle)

        def signed(k: int) -> str:
            return f"$signed({of(k)})"

        inner = width_of(i.detail)
        if i.opcode in BINARY:
            return f"{of(0)} {BINARY[i.opcode]} {of(1)}"
        if i.opcode == "ashr":
            return f"{signed(0)} >>> {of(1)}"
        if i.opcode == "icmp":
            one = signed if i.detail.startswith("s") else of
            width = self._compared(i)
            a, b = (self._of(o, width, cycle) for o in i.operands)
            if one is signed:
                a, b = f"$signed({a})", f"$signed({b})"
            return f"{a} {COMPARISONS[i.detail]} {b}"
        if i.opcode == "select":
            return f"{self._of(i.operands[0], 1, cycle)} ? {of(1)} : {of(2)}"
        if i.opcode in ("zext", "trunc", "freeze"):
            return of(0, inner or i.width)
        if i.opcode == "sext":
            value = of(0, inner)
            if not value[:1].isdigit():
                return f"{{{{{i.width - inner}{{{value}[{inner - 1}]}}}}, {value}}}"
            return value
        if i.opcode == "call":
            return self._call(i, cycle, of, signed)
        return None

    def _compared(self, i: Instruction) -> int:
        """Bits of what is compared."""
        for operand in i.operands:
            if operand in self.names:
                return self.width[self.names[str(operand)]]
        return width_of(i.type) or i.width

    def _call(
        self, i: Instruction, cycle: int, of: Callable[[int], str], signed: Callable[[int], str]
    ) -> str | None:
        kind = i.detail.split(".")[1] if i.detail.startswith("llvm.") else ""
        if kind in EXTREMES:
            a, b = (signed(0), signed(1)) if kind[0] == "s" else (of(0), of(1))
            return f"{a} {EXTREMES[kind]} {b} ? {of(0)} : {of(1)}"
        if kind == "abs":
            return f"{signed(0)} < 0 ? -{of(0)} : {of(0)}"
        if kind in ("fshl", "fshr") and isinstance(i.operands[2], int):
            turn = i.operands[2] if kind == "fshl" else i.width - i.operands[2]
            return f"({of(0)} << {turn}) | ({of(1)} >> {i.width - turn})"
        if i.detail.startswith(MULTIPLEXER):
            index = i.operands[0]
            width = self.width[self.names[index]] if index in self.names else 32
            at = self._of(index, width, cycle)
            expression = "".join(
                f"{at} == {width}'d{k} ? {of(k + 1)} : " for k in range(len(i.operands) - 2)
            )
            return expression + of(len(i.operands) - 1)
        if i.detail.startswith("llvm."):
            return None
        for operand in i.operands:  # of a netlist outside
            if operand in self.names:
                plain = self.names[str(operand)]
                self._output(self._at(plain, cycle), self.width[plain])
        return None
