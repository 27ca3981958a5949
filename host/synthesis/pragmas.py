# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The pragmas of compiled sources: read, taken out, and kept where later passes find them.

Under ``AXYNQ_ANALYSIS`` each HLS pragma is a call that passes its text. This module reads those
calls in LLVM's text as the front end wrote it. What belongs to a loop becomes metadata of the loop,
what belongs to a function its attributes; variables are renamed to ``NAME!NUMBER``, because a name
is what survives inlining.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from axynq.host.synthesis.ir import NAME, Function, Instruction, Module, read_module

MARKER = "axynq_pragma"
LOOP = "axynq.loop"
"""Metadata that numbers a loop."""


@dataclass(frozen=True)
class Pragma:
    """One pragma.

    Attributes:
        kind: its words before the first setting, such as ``ARRAY_PARTITION``.
        settings: such as ``{"dim": "1"}``; names in lower case.
    """

    kind: str
    settings: dict[str, str]

    @classmethod
    def read(cls, text: str) -> Pragma:
        """The pragma of a text such as ``HLS ARRAY_PARTITION variable=a dim=1``."""
        words = text.split()[1:]
        settings = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        kind = [plain[0].upper(), *(w.lower() for w in plain[1:])]
        return cls(" ".join(kind), {k.lower(): v for k, v in settings.items()})

    @property
    def dimension(self) -> int:
        """Of an array; 0 is all of them."""
        return int(self.settings.get("dim", "0"))


@dataclass(eq=False)
class SourceLoop:
    """A loop as the sources have it.

    Attributes:
        number: under which its metadata names it.
        function: the function that it stands in.
        label: its label; empty where it has none.
        pragmas: those inside it and in no loop inside it.
    """

    number: int
    function: str
    label: str
    pragmas: list[Pragma] = field(default_factory=list)

    def has(self, kind: str) -> bool:
        return any(pragma.kind == kind for pragma in self.pragmas)

    def variables(self, kind: str) -> set[str]:
        """Variables that its pragmas of a kind name."""
        return _named(self.pragmas, kind)

    @property
    def independent(self) -> set[str]:
        """Variables whose accesses in different iterations are said not to depend on each other."""
        return {
            p.settings.get("variable", "")
            for p in self.pragmas
            if p.kind.startswith("DEPENDENCE") and "false" in p.kind
        }


@dataclass(eq=False)
class Variable:
    """A variable or an array that a parameter of a function names.

    Attributes:
        number: what its name ends in; 0 for a parameter.
        function: where it is declared.
        name: as in the sources.
        type: LLVM's.
        pragmas: each with the path of the member that it names, empty for the whole.
    """

    number: int
    function: str
    name: str
    type: str
    pragmas: list[tuple[tuple[str, ...], Pragma]] = field(default_factory=list)


@dataclass(eq=False)
class SourceFunction:
    """A function as the sources have it.

    Attributes:
        pragmas: those outside its loops.
        region: whether its body is a DATAFLOW region.
        inlined: whether it becomes part of its callers.
    """

    name: str
    pragmas: list[Pragma] = field(default_factory=list)
    region: bool = False
    inlined: bool = True

    def variables(self, kind: str) -> set[str]:
        """Variables that its pragmas of a kind name."""
        return _named(self.pragmas, kind)


def _named(pragmas: Iterable[Pragma], kind: str) -> set[str]:
    return {p.settings.get("variable", "") for p in pragmas if p.kind == kind} - {""}


@dataclass(eq=False)
class Sources:
    """What the sources say beside their code."""

    functions: dict[str, SourceFunction] = field(default_factory=dict)
    loops: dict[int, SourceLoop] = field(default_factory=dict)
    variables: dict[int, Variable] = field(default_factory=dict)
    parameters: dict[tuple[str, str], Variable] = field(default_factory=dict)
    """By function and name."""
    members: dict[tuple[str, int], str] = field(default_factory=dict)
    """Names of members, by LLVM's type of the structure and their place in it."""


def read_pragmas(text: str, top: str) -> tuple[str, Sources]:
    """The text without calls of the marker, annotated, and what they said.

    Args:
        text: LLVM's, before any pass.
        top: the function that becomes hardware, as C++ calls it.
    """
    module = read_module(text)
    sources = Sources()
    _name_members(module, sources)
    for function in module.functions.values():
        _read_function(module, function, sources)
    _decide_inlining(module, sources, top)
    return _annotate(text, module, sources), sources


def _name_members(module: Module, sources: Sources) -> None:
    for function in module.functions.values():
        for i in function.instructions():
            if i.opcode == "getelementptr" and i.detail in module.types and len(i.operands) == 3:
                name = re.sub(r"\d+$", "", _plain(i.name))
                if isinstance(i.operands[2], int) and name:
                    sources.members.setdefault((i.detail, i.operands[2]), name)


def declared_name(name: str) -> str:
    """The name that an argument was declared by: clang passes a small structure as an integer that
    it calls ``NAME.coerce``."""
    return re.sub(r"\.coerce\d*$", "", name)


def _plain(name: str) -> str:
    return name[1:].strip('"')


def _read_function(module: Module, function: Function, sources: Sources) -> None:
    made = sources.functions[function.name] = SourceFunction(function.name)
    declared: dict[str, Variable] = {}
    """Variables so far, by name in the sources."""
    for name, type_ in function.arguments.items():
        told = declared_name(_plain(name))
        variable = Variable(0, function.name, told, function.passed.get(name, type_))
        sources.parameters[function.name, variable.name] = declared[variable.name] = variable
    allocated = {i.name: i for i in function.instructions() if i.opcode == "alloca"}
    numbers: dict[str, Variable] = {}
    for name, i in allocated.items():
        plain = _plain(name)
        if plain.endswith(".addr") or "." in plain:
            continue
        number = len(sources.variables) + 1
        variable = Variable(number, function.name, re.sub(r"\d+$", "", plain), i.detail)
        sources.variables[number] = numbers[name] = variable
        declared.setdefault(plain, variable)
    loops = _source_loops(function, sources)
    innermost: dict[str, SourceLoop] = {}
    for loop, source in loops:
        innermost |= dict.fromkeys(loop, source)
    for block, text in _walk(module, function, numbers, declared):
        pragma = Pragma.read(text)
        place = innermost.get(block)
        variable_name, *path = pragma.settings.get("variable", "").split(".")
        if pragma.kind in ("ARRAY_PARTITION", "ARRAY_RESHAPE", "BIND_STORAGE", "STREAM"):
            if variable_name in declared:
                declared[variable_name].pragmas.append((tuple(path), pragma))
        elif place is not None and pragma.kind != "INLINE":
            place.pragmas.append(pragma)
        else:
            made.pragmas.append(pragma)
    made.region = any(p.kind == "DATAFLOW" for p in made.pragmas)


def _walk(
    module: Module,
    function: Function,
    numbers: dict[str, Variable],
    declared: dict[str, Variable],
) -> Iterator[tuple[str, str]]:
    """Block and text of each pragma; ``declared`` follows the declarations passed."""
    for block in function.blocks.values():
        for i in block.instructions:
            if i.opcode != "call":
                continue
            operand = i.operands[0] if i.operands else ""
            if i.detail.startswith("llvm.lifetime.start") and i.operands[-1] in numbers:
                variable = numbers[str(i.operands[-1])]
                declared[variable.name] = variable
            elif i.detail == MARKER:
                yield block.name, module.strings[str(operand)]


def _source_loops(function: Function, sources: Sources) -> list[tuple[set[str], SourceLoop]]:
    """Blocks of each loop and what is known of it, outer loops first."""
    found = []
    for loop in function.loops:
        number = len(sources.loops) + 1
        label = _label(function, loop.header, loop.blocks)
        source = sources.loops[number] = SourceLoop(number, function.name, label)
        found.append((loop.blocks, source))
    return found


def _label(function: Function, header: str, blocks: set[str]) -> str:
    """The label that stands before a loop: clang names a block after it."""
    before = [p for p in function.predecessors[header] if p not in blocks]
    if len(before) == 1 and re.fullmatch(r"[A-Z][A-Z0-9_]*", before[0]):
        return before[0]
    return ""


def _decide_inlining(module: Module, sources: Sources, top: str) -> None:
    """What Vitis HLS would keep as modules: functions marked so, regions and their processes."""
    for source in sources.functions.values():
        off = any(p.kind == "INLINE off" for p in source.pragmas)
        is_top = re.match(rf"(_Z{len(top)})?{top}(?![a-z_])", source.name) is not None
        source.inlined = not (off or is_top or source.region)
    for function in module.functions.values():
        for i in _calls_in_regions(function, sources):
            callee = sources.functions.get(i.detail)
            if callee is not None and _is_process(callee, i):
                callee.inlined = False


def _calls_in_regions(function: Function, sources: Sources) -> Iterator[Instruction]:
    source = sources.functions[function.name]
    regions: set[str] = set(function.blocks) if source.region else set()
    numbers = [n for n, loop in sources.loops.items() if loop.function == function.name]
    for loop, number in zip(function.loops, numbers):
        if sources.loops[number].has("DATAFLOW"):
            regions |= loop.blocks
    for name in function.blocks:
        if name in regions:
            yield from (i for i in function.blocks[name].instructions if i.opcode == "call")


def _is_process(callee: SourceFunction, call: Instruction) -> bool:
    """What is marked for inlining is none; nor are constructors."""
    marked = any(p.kind == "INLINE" for p in callee.pragmas)
    return call.type == "void" and not marked and not re.match(r"_ZN.*C[12]E", call.detail)


def _annotate(text: str, module: Module, sources: Sources) -> str:
    """The text with loops numbered, functions marked and variables renamed."""
    last = max(module.metadata, default=0)
    added: list[str] = []
    loops_of: dict[int, list[int]] = defaultdict(list)
    for function in module.functions.values():
        numbers = [n for n, loop in sources.loops.items() if loop.function == function.name]
        for loop, number in zip(function.loops, numbers):
            last += 1
            added.append(f'!{last} = !{{!"{LOOP}", i32 {number}}}')
            loops_of[loop.metadata].append(last)
    lines = []
    current: Function | None = None
    renamed: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("define "):
            found = re.search(rf"@({NAME})\(", line)
            assert found is not None
            current = module.functions[found[1].strip('"')]
            renamed = _renamed(current, sources)
            line = _mark(line, sources.functions[current.name])
        elif f"@{MARKER}(" in line:
            continue
        elif line.startswith("!") and (entry := line[1:].partition(" ")[0]).isdigit():
            for extra in loops_of.get(int(entry), ()):
                line = line.removesuffix("}") + f", !{extra}}}"
        elif current is not None and line.startswith("  "):
            line = _rename(line, renamed)
        elif line.startswith("target datalayout"):
            # No width is native: arithmetic becomes as narrow as its values allow.
            line = re.sub(r"-n\d+(:\d+)*", "", line)
        lines.append(line)
    return "\n".join([*lines, *added, ""])


def _rename(line: str, renamed: dict[str, str]) -> str:
    return re.sub(rf"%{NAME}", lambda m: renamed.get(m[0], m[0]), line)


def _renamed(function: Function, sources: Sources) -> dict[str, str]:
    found = {}
    mine = [v for v in sources.variables.values() if v.function == function.name]
    names = [
        i.name
        for i in function.instructions()
        if i.opcode == "alloca" and "." not in _plain(i.name)
    ]
    for name, variable in zip(names, mine):
        found[name] = f'%"{_plain(name)}!{variable.number}"'
    return found


def _mark(line: str, source: SourceFunction) -> str:
    word = "alwaysinline" if source.inlined else "noinline"
    return re.sub(r"\) (?=[^()]*\{$)(.*?)(#\d+)", rf") \1\2 {word}", line, count=1)


def loop_number(module: Module, metadata: int) -> int:
    """The number of a loop with this metadata; 0: it is none of the sources'."""
    for reference in re.findall(r"!(\d+)", module.metadata.get(metadata, "")):
        found = re.match(rf'!\{{!"{LOOP}", i32 (\d+)\}}', module.metadata.get(int(reference), ""))
        if found is not None:
            return int(found[1])
    return 0


def set_unrolling(text: str, sources: Sources) -> str:
    """The text with each loop marked as one to unroll or one to leave.

    A loop is unrolled where its pragma says so or where a loop around it is pipelined.
    """
    module = read_module(text)
    last = max(module.metadata, default=0)
    full, none, rolled = last + 1, last + 2, last + 3
    chosen: dict[int, str] = {}
    for function in module.functions.values():
        unrolled: dict[str, bool] = {}
        for loop in function.loops:
            source = sources.loops.get(loop_number(module, loop.metadata))
            pipelined = source is not None and source.has("PIPELINE")
            inside = loop.parent is not None and unrolled[loop.parent.header]
            asked = source is not None and source.has("UNROLL")
            unrolled[loop.header] = inside or pipelined
            # One whose length is not known stays whole, instead of being unrolled in part.
            chosen[loop.metadata] = f"!{full}, !{rolled}" if asked or inside else f"!{none}"
    lines = []
    for line in text.splitlines():
        number = line[1:].partition(" ")[0]
        if line.startswith("!") and number.isdigit() and int(number) in chosen:
            line = line.removesuffix("}") + f", {chosen[int(number)]}}}"
        lines.append(line)
    lines += [f'!{full} = !{{!"llvm.loop.unroll.full"}}']
    lines += [f'!{none} = !{{!"llvm.loop.unroll.disable"}}']
    lines += [f'!{rolled} = !{{!"llvm.loop.unroll.runtime.disable"}}', ""]
    return "\n".join(lines)
