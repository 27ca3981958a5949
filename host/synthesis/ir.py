# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reads LLVM's intermediate representation from its text: functions, blocks, instructions, loops.

Only what C++ without exceptions and floating point compiles to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property

Operand = int | str
"""A constant, ``%name`` of an instruction or argument, ``@name`` of a global, or another constant
as its text (``poison``, ``null``, an expression)."""


@dataclass(eq=False, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        name: ``%name``; empty where it has no result.
        opcode: ``add``, ``load``, ``call``, …
        type: of the result; of the value stored for a ``store``; of the operands for an ``icmp``.
        operands: in order. A ``phi``'s are its values; a ``call``'s its arguments; a ``br``'s or
            ``switch``'s what it decides by.
        block: name of the block that it is in.
        detail: a comparison's predicate, a cast's source type, ``disjoint`` of an ``or`` that only
            joins bits, what a ``getelementptr``'s indices count or an ``alloca`` holds, the
            function that a ``call`` calls.
        types: of the operands, where they differ from ``type``.
        targets: blocks that a ``phi``'s values come from, or that a branch goes to.
        cases: the values of a ``switch``, in the order of ``targets[1:]``.
        volatile: whether it is an access that must stay as it is.
        place: number of the metadata that says where in the sources it comes from; 0: unknown.
        loop: number of the metadata of the loop that a branch closes; 0: none.
        width: bits of an integer type; 0 for others.
    """

    name: str
    opcode: str
    type: str
    operands: list[Operand]
    block: str
    detail: str = ""
    types: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    cases: list[int] = field(default_factory=list)
    volatile: bool = False
    place: int = 0
    loop: int = 0
    width: int = 0


@cache
def width_of(type_: str) -> int:
    """Bits of an integer type; 0 for others."""
    return int(type_[1:]) if type_[:1] == "i" and type_[1:].isdigit() else 0


@dataclass(eq=False)
class Block:
    """Instructions without a branch among them but the last."""

    name: str
    instructions: list[Instruction] = field(default_factory=list)

    @property
    def end(self) -> Instruction:
        return self.instructions[-1]

    @property
    def successors(self) -> list[str]:
        return list(dict.fromkeys(self.end.targets))


@dataclass(eq=False)
class Loop:
    """A natural loop.

    Attributes:
        header: the block through which it is entered.
        blocks: all of its blocks, those of loops inside it too.
        latches: blocks that go back to the header.
        parent: the loop around it.
        metadata: number of its metadata; 0: none.
    """

    header: str
    blocks: set[str]
    latches: list[str]
    parent: Loop | None = None
    metadata: int = 0


@dataclass(eq=False)
class Function:
    """A function with a body.

    Attributes:
        name: without ``@``.
        arguments: ``%name`` to type, in order.
        passed: arguments that are structures in memory to the caller: ``%name`` to their type,
            for those passed by value or returned.
        blocks: by name, the entry first.
    """

    name: str
    arguments: dict[str, str]
    passed: dict[str, str]
    blocks: dict[str, Block]

    @cached_property
    def values(self) -> dict[str, Instruction]:
        """Instructions with a result, by ``%name``."""
        return {i.name: i for i in self.instructions() if i.name}

    def instructions(self) -> Iterator[Instruction]:
        for block in self.blocks.values():
            yield from block.instructions

    @cached_property
    def entry(self) -> str:
        return next(iter(self.blocks))

    @cached_property
    def predecessors(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {name: [] for name in self.blocks}
        for name, block in self.blocks.items():
            for target in block.successors:
                found[target].append(name)
        return found

    @cached_property
    def order(self) -> list[str]:
        """Reachable blocks, each after those that go to it, but for the closing of loops."""
        done: list[str] = []
        seen = {self.entry}
        stack = [(self.entry, iter(self.blocks[self.entry].successors))]
        while stack:
            name, targets = stack[-1]
            for target in targets:
                if target not in seen:
                    seen.add(target)
                    stack.append((target, iter(self.blocks[target].successors)))
                    break
            else:
                done.append(name)
                stack.pop()
        return done[::-1]

    @cached_property
    def dominators(self) -> dict[str, str]:
        """The block that each block is entered through, directly above it; of the entry itself."""
        order = self.order
        number = {name: k for k, name in enumerate(order)}
        above = {self.entry: self.entry}
        changed = True
        while changed:
            changed = False
            for name in order[1:]:
                known = [p for p in self.predecessors[name] if p in above]
                new = known[0]
                for other in known[1:]:
                    a, b = other, new
                    while a != b:
                        while number[a] > number[b]:
                            a = above[a]
                        while number[b] > number[a]:
                            b = above[b]
                    new = a
                if above.get(name) != new:
                    above[name] = new
                    changed = True
        return above

    def dominates(self, a: str, b: str) -> bool:
        """Whether every way to block ``b`` leads through ``a``."""
        while b != a and b != self.entry:
            b = self.dominators[b]
        return a == b

    @cached_property
    def loops(self) -> list[Loop]:
        """Its loops, each before those inside it."""
        found: dict[str, Loop] = {}
        for name in self.order:
            for target in self.blocks[name].successors:
                if not self.dominates(target, name):
                    continue
                loop = found.setdefault(target, Loop(target, {target}, []))
                loop.latches.append(name)
                loop.metadata = loop.metadata or self.blocks[name].end.loop
                waiting = [name]
                while waiting:
                    block = waiting.pop()
                    if block not in loop.blocks:
                        loop.blocks.add(block)
                        waiting += [p for p in self.predecessors[block] if p in self.dominators]
        loops = sorted(found.values(), key=lambda loop: -len(loop.blocks))
        for k, loop in enumerate(loops):
            around = [other for other in loops[:k] if loop.header in other.blocks]
            loop.parent = around[-1] if around else None
        return loops


@dataclass(eq=False)
class Module:
    """A compiled source.

    Attributes:
        functions: those with a body, by name.
        types: of named structures: the types of their members.
        packed: named structures without gaps between members.
        metadata: text of each numbered entry.
        strings: constant strings, by ``@name``.
    """

    functions: dict[str, Function]
    types: dict[str, list[str]]
    packed: set[str]
    metadata: dict[int, str]
    strings: dict[str, str]
    _layouts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def size(self, type_: str) -> int:
        """Bytes that a type takes in an array, with what aligns it."""
        if type_ not in self._layouts:
            self._layouts[type_] = self._layout(type_)
        return self._layouts[type_][0]

    def members(self, type_: str) -> list[tuple[int, str]]:
        """Offset in bytes and type of each member of a structure."""
        offset, found = 0, []
        for member in self.types[type_] if type_ in self.types else split(type_[1:-1]):
            size, alignment = self._layout(member)
            if type_ in self.packed:
                alignment = 1
            offset = -(-offset // alignment) * alignment
            found.append((offset, member))
            offset += size
        return found

    def _layout(self, type_: str) -> tuple[int, int]:
        """Bytes and alignment."""
        if type_ == "ptr":
            return 8, 8
        if width := width_of(type_):
            size = 1
            while 8 * size < width and size < 8:
                size *= 2
            return -(-width // (8 * size)) * size, size
        if (array := array_of(type_)) is not None:
            size, alignment = self._layout(array[1])
            return array[0] * size, alignment
        members = self.members(type_)
        if not members:
            return 0, 1
        packed = type_ in self.packed
        alignment = 1 if packed else max(self._layout(member)[1] for _, member in members)
        end = members[-1][0] + self._layout(members[-1][1])[0]
        return -(-end // alignment) * alignment, alignment


def array_of(type_: str) -> tuple[int, str] | None:
    """Length and element type of an array."""
    found = re.fullmatch(r"\[(\d+) x (.*)\]", type_)
    return (int(found[1]), found[2]) if found else None


def split(text: str) -> list[str]:
    """Parts between commas that stand in no brackets or quotes."""
    if not any(c in text for c in '([{<"'):
        return [part.strip() for part in text.split(",")] if text.strip() else []
    parts, depth, start, quoted = [], 0, 0, False
    for k, c in enumerate(text):
        if c == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif c in "([{<":
            depth += 1
        elif c in ")]}>":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[start:k].strip())
            start = k + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


NAME = r'(?:"[^"]*"|[-\w$.]+)'
_LABEL = re.compile(rf"({NAME}):")
_DEFINE = re.compile(rf"define .*?@({NAME})\((.*)\)([^()]*)\{{$")
_METADATA = re.compile(r", !([\w.]+) !(\d+)")
_RESULT = re.compile(rf"(%{NAME}) = ")
_TYPE = re.compile(
    r'(?:ptr|void|i\d+|%"[^"]*"|%[-\w$.]+|\[.*?\]+|\{.*?\}|<.*?>|label|metadata)(?= |$|,)'
)
_FLAGS = frozenset(
    [
        *("nuw", "nsw", "exact", "disjoint", "nneg", "samesign", "inbounds", "nusw"),
        *("tail", "notail", "noundef", "signext", "zeroext", "volatile", "inreg"),
    ]
)
"""Words between an opcode or a type and what follows it."""
_CASTS = frozenset(["zext", "sext", "trunc", "bitcast", "ptrtoint", "inttoptr", "ptrtoaddr"])


def read_module(text: str) -> Module:
    """The module of LLVM's text."""
    module = Module({}, {}, set(), {}, {})
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("define "):
            function = _read_function(line, lines)
            module.functions[function.name] = function
        elif line.startswith("%"):
            name, _, body = line.partition(" = type ")
            inside = body.strip().removeprefix("<").removesuffix(">")
            module.types[name] = split(inside[1:-1]) if inside.startswith("{") else []
            if body.startswith("<"):
                module.packed.add(name)
        elif line.startswith("!") and line[1].isdigit():
            number, _, body = line.partition(" = ")
            module.metadata[int(number[1:])] = body
        elif line.startswith("@") and ' c"' in line:
            name, _, body = line.partition(" = ")
            string = body[body.index(' c"') + 3 : body.rindex('"')]
            module.strings[name] = string.removesuffix("\\00").replace("\\22", '"')
    return module


def _read_function(line: str, lines: Iterator[str]) -> Function:
    found = _DEFINE.match(line)
    assert found is not None, line
    arguments, passed = {}, {}
    for part in split(found[2]):
        name = part[part.rindex("%") :]
        arguments[name] = _type_at(part)
        structure = re.search(r"(?:byval|sret)\((.*?)\)(?= |$)", part)
        if structure is not None:
            passed[name] = structure[1]
    blocks: dict[str, Block] = {}
    block: Block | None = None
    for text in lines:
        if text == "}":
            break
        if not text or text.startswith("  #"):
            continue
        if text[0] != " ":
            label = _LABEL.match(text)
            assert label is not None, text
            block = blocks[label[1]] = Block(label[1])
            continue
        if block is None:
            block = blocks["0"] = Block("0")
        text = text.strip()
        if text.startswith("switch "):
            while not text.endswith("]") and "]," not in text:
                text += " " + next(lines).strip()
        block.instructions.append(read_instruction(text, block.name))
    return Function(found[1].strip('"'), arguments, passed, blocks)


def _type_at(text: str) -> str:
    """The type at the start of a text."""
    if text[0] in "[{<":
        depth = 0
        for k, c in enumerate(text):
            depth += c in "[{<"
            depth -= c in "]}>"
            if depth == 0:
                return text[: k + 1]
    if text.startswith('%"'):
        return text[: text.index('"', 2) + 1]
    return re.split(r"[ ,(]", text, maxsplit=1)[0]


def _typed(text: str) -> tuple[str, Operand]:
    """Type and value of ``TYPE ATTRIBUTES VALUE``."""
    type_ = _type_at(text)
    return type_, _value(text[len(type_) :])


def _value(text: str) -> Operand:
    """The value of ``ATTRIBUTES VALUE``."""
    text = text.strip()
    if " " in text:
        # An expression stays whole; of attributes and a value the value comes last.
        expression = re.search(r"(getelementptr|ptrtoint|inttoptr|trunc|bitcast) .*\(.*\)$", text)
        text = expression[0] if expression is not None else text.rsplit(" ", 1)[1]
    if text.lstrip("-").isdigit():
        return int(text)
    return int(text == "true") if text in ("true", "false") else text


def read_instruction(text: str, block: str) -> Instruction:
    """The instruction of one line."""
    place = loop = 0
    if ", !" in text:
        for kind, number in _METADATA.findall(text):
            if kind == "dbg":
                place = int(number)
            elif kind == "llvm.loop":
                loop = int(number)
        text = text[: text.index(", !")]
    name = ""
    if text[0] == "%":
        found = _RESULT.match(text)
        assert found is not None, text
        name, text = found[1], text[found.end() :]
    opcode, _, rest = text.partition(" ")
    volatile = disjoint = False
    while opcode in _FLAGS:
        opcode, _, rest = rest.partition(" ")
    while (head := rest.partition(" "))[0] in _FLAGS:
        volatile |= head[0] == "volatile"
        disjoint |= head[0] == "disjoint"
        rest = head[2]
    made = Instruction(name, opcode, "", [], block, volatile=volatile, place=place, loop=loop)
    reader = _READERS.get(opcode, _read_cast if opcode in _CASTS else _read_binary)
    reader(made, rest)
    made.width = width_of(made.type)
    if disjoint:
        made.detail = "disjoint"
    return made


def _read_binary(made: Instruction, rest: str) -> None:
    first, second = split(rest)[:2]
    made.type, a = _typed(first)
    made.operands = [a, _value(second)]


def _read_icmp(made: Instruction, rest: str) -> None:
    made.detail, _, rest = rest.partition(" ")
    if made.detail == "samesign":
        made.detail, _, rest = rest.partition(" ")
    _read_binary(made, rest)


def _read_cast(made: Instruction, rest: str) -> None:
    value, _, made.type = rest.rpartition(" to ")
    made.detail, operand = _typed(value)
    made.operands = [operand]


def _read_unary(made: Instruction, rest: str) -> None:
    made.type, operand = _typed(rest)
    made.operands = [operand]


def _read_select(made: Instruction, rest: str) -> None:
    parts = [_typed(part) for part in split(rest)]
    made.type = parts[1][0]
    made.operands = [value for _, value in parts]


def _read_phi(made: Instruction, rest: str) -> None:
    made.type = _type_at(rest)
    for part in split(rest[len(made.type) :]):
        value, source = part.strip("[] ").rsplit(", ", 1)
        made.operands.append(_value(value))
        made.targets.append(source[1:])


def _read_load(made: Instruction, rest: str) -> None:
    parts = split(rest)
    made.type = parts[0]
    made.operands = [_typed(parts[1])[1]]


def _read_store(made: Instruction, rest: str) -> None:
    parts = split(rest)
    made.type, value = _typed(parts[0])
    made.operands = [value, _typed(parts[1])[1]]


def _read_getelementptr(made: Instruction, rest: str) -> None:
    rest = re.sub(r"^(nuw|nusw|inbounds|inrange\([^)]*\)) ", "", rest)
    parts = split(rest)
    made.type, made.detail = "ptr", parts[0]
    typed = [_typed(part) for part in parts[1:]]
    made.types = [type_ for type_, _ in typed]
    made.operands = [value for _, value in typed]


def _read_alloca(made: Instruction, rest: str) -> None:
    made.type, made.detail = "ptr", split(rest)[0]


def _read_call(made: Instruction, rest: str) -> None:
    opened = re.search(rf"(@{NAME}|%{NAME})\(", rest)
    assert opened is not None, rest
    made.type = next(
        (t for t in (_type_at(w) for w in _words(rest[: opened.start()])) if _is_type(t)), "void"
    )
    made.detail = opened[1].lstrip("@").strip('"')
    depth, k = 1, opened.end()
    while depth:
        depth += {"(": 1, ")": -1}.get(rest[k], 0)
        k += 1
    typed = [_typed(part) for part in split(rest[opened.end() : k - 1])]
    made.types = [type_ for type_, _ in typed]
    made.operands = [value for _, value in typed]


def _words(text: str) -> list[str]:
    """The places at which a type may begin."""
    return [text[m.start() :] for m in re.finditer(r"(?:^|(?<= ))[^ ]", text)]


def _is_type(text: str) -> bool:
    return text in ("void", "ptr") or bool(width_of(text)) or text[0] in "[{%"


def _read_br(made: Instruction, rest: str) -> None:
    parts = split(rest)
    made.targets = [part.removeprefix("label %") for part in parts if part.startswith("label")]
    made.operands = [_typed(part)[1] for part in parts if not part.startswith("label")]


def _read_switch(made: Instruction, rest: str) -> None:
    head, _, cases = rest.partition("[")
    value, default = split(head)
    made.type, operand = _typed(value)
    made.operands = [operand]
    made.targets = [default.removeprefix("label %")]
    for case, target in re.findall(rf"i\d+ (-?\w+), label %({NAME})", cases):
        made.cases.append(int(_value(case)))
        made.targets.append(target)


def _read_ret(made: Instruction, rest: str) -> None:
    if rest and rest != "void":
        made.type, operand = _typed(rest)
        made.operands = [operand]


def _read_extractvalue(made: Instruction, rest: str) -> None:
    parts = split(rest)
    made.detail, operand = _typed(parts[0])
    made.operands = [operand]
    made.type = made.detail


def _read_nothing(made: Instruction, rest: str) -> None:
    made.detail = rest


_READERS = {
    "icmp": _read_icmp,
    "select": _read_select,
    "phi": _read_phi,
    "load": _read_load,
    "store": _read_store,
    "getelementptr": _read_getelementptr,
    "alloca": _read_alloca,
    "call": _read_call,
    "br": _read_br,
    "switch": _read_switch,
    "ret": _read_ret,
    "freeze": _read_unary,
    "extractvalue": _read_extractvalue,
    "insertvalue": _read_extractvalue,
    "unreachable": _read_nothing,
}
