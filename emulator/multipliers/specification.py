# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Texts that name multipliers: where one ends and the next begins, and the parts of ``table:``.

Paths may hold the characters that separate specifications. They separate only where a known word
follows; what is still ambiguous goes in double quotes: ``table:"odd|+#name.npz"#table``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from axynq.emulator import files
from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers.base import FAMILIES

Argument = Literal["first", "second"]

TABLE_SUFFIXES = (".npz", ".npy", ".c", ".v")

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PROTECTED = re.compile(rf"(?:table:|#)\s*{_QUOTED}", re.DOTALL)
_QUOTED_FILE = re.compile(rf"({_QUOTED})(?:#(.*))?", re.DOTALL)
_QUOTED_NAME = re.compile(rf"(.*?)#({_QUOTED})", re.DOTALL)
_OPTION = re.compile(r"(.*),\s*(?:(signed|unsigned)|activation\s*=\s*(first|second))\s*", re.DOTALL)
_NEEDS_QUOTES = re.compile(r'["#|+,]|^\s|\s$')


def without_quoted(text: str) -> str:
    """The text with what is quoted blanked out, of the same length: to look for separators."""
    return _PROTECTED.sub(lambda match: "\0" * len(match[0]), text)


def split_multipliers(text: str) -> list[str]:
    """The specifications in ``M1|M2|…``.

    A ``|`` in a table's path or name separates only where a specification follows it.
    """
    blanked = without_quoted(text)
    pieces, start = [], 0
    for bar in (k for k, character in enumerate(blanked) if character == "|"):
        in_table = text[start:].lstrip().startswith("table:")
        if not in_table or _begins(text[bar + 1 :]):
            pieces.append(text[start:bar].strip())
            start = bar + 1
    return [*pieces, text[start:].strip()]


def _begins(text: str) -> bool:
    """Whether a text begins with a specification."""
    match = re.match(r"\s*(\w+)(:|\s*[|+]|\s*$)", text)
    return match is not None and match[1] in FAMILIES and (match[1] == "exact") == (match[2] != ":")


@dataclass(frozen=True)
class TableReference:
    """The parts of ``table:FILE#NAME,OPTION…``."""

    file: str
    name: str = ""
    """Empty where the file holds one table only."""
    signed: bool | None = None
    """Whether bytes are two's complement, or None: found out from the table."""
    activation: Argument | None = None
    """Which argument, or index, is the activation, or None: by the names of the arguments."""

    @classmethod
    def parse(cls, arguments: str, folder: str | Path = ".") -> TableReference:
        """The parts of what follows ``table:``.

        A ``#`` may be part of the path: the longest one that is a file counts, relative paths being
        looked up in ``folder``.

        Raises:
            MultiplierError: an option is given twice.
        """
        signed: bool | None = None
        activation: Argument | None = None
        rest = arguments.strip()
        while (option := _OPTION.fullmatch(rest)) is not None:
            if (signed if option[2] else activation) is not None:
                raise MultiplierError(f"'table:{arguments}' gives an option twice")
            rest = option[1]
            if option[2]:
                signed = option[2] == "signed"
            else:
                activation = "first" if option[3] == "first" else "second"
        quoted = _QUOTED_FILE.fullmatch(rest)
        if quoted is not None:
            file, name = _unquoted(quoted[1]), quoted[2] or ""
        elif (quoted := _QUOTED_NAME.fullmatch(rest)) is not None:
            file, name = quoted[1], quoted[2]
        else:
            file, name = _longest_file(rest, Path(folder))
        return cls(file, _unquoted(name), signed, activation)

    def path(self, folder: str | Path = ".") -> Path:
        """Where the file is; ``~`` is the home folder, and ``folder`` that of relative paths."""
        try:
            return Path(folder) / Path(self.file).expanduser()
        except (RuntimeError, ValueError):  # ~ of somebody unknown, or no name at all
            return Path(folder) / self.file

    @property
    def spec(self) -> str:
        """The specification; parsing it gives the same parts."""
        parts = ["table:", _quoted(self.file)]
        if self.name:
            parts += ["#", _quoted(self.name)]
        if self.signed is not None:
            parts += [",signed" if self.signed else ",unsigned"]
        if self.activation is not None:
            parts += [f",activation={self.activation}"]
        return "".join(parts)


def seen_from(spec: str, folder: Path) -> str:
    """A specification written in a file of ``folder``, as the working directory sees it.

    The relative path of a table is looked up in the folder first. Where nothing is there, it stays
    as it is: relative to the working directory.
    """
    reference = _relative(spec, folder)
    if reference is None:
        return spec
    beside = reference.path(folder)
    if not files.is_file(beside) or _same(beside, reference.path()):
        return spec
    return replace(reference, file=str(beside)).spec


def written_in(spec: str, folder: Path) -> str:
    """A specification for a file of ``folder``, from which :func:`seen_from` finds the same table.

    It stays as it is, unless another file of that relative path is in the folder.
    """
    reference = _relative(spec, Path())
    if reference is None:
        return spec
    beside, meant = reference.path(folder), reference.path()
    if not files.is_file(beside) or _same(beside, meant):
        return spec
    return replace(reference, file=str(meant.absolute())).spec


def absolute(spec: str) -> str:
    """A specification that means the same in every folder."""
    reference = _relative(spec, Path())
    if reference is None:
        return spec
    return replace(reference, file=str(reference.path().absolute())).spec


def _relative(spec: str, folder: Path) -> TableReference | None:
    """The parts of a table's specification whose path is relative."""
    family, _, arguments = spec.strip().partition(":")
    if family != "table":
        return None
    reference = TableReference.parse(arguments, folder)
    return None if reference.path().is_absolute() else reference


def _same(one: Path, other: Path) -> bool:
    return files.is_file(other) and one.samefile(other)


def _longest_file(text: str, folder: Path) -> tuple[str, str]:
    """``FILE#NAME`` apart, where either may hold a ``#``."""
    splits = [(text, "")]
    splits += [(text[:k], text[k + 1 :]) for k in range(len(text) - 1, -1, -1) if text[k] == "#"]
    likely = [split for split in splits if split[0].lower().endswith(TABLE_SUFFIXES)]
    for file, name in likely:
        if files.is_file(TableReference(file).path(folder)):
            return file, name
    return likely[0] if likely else (splits[1] if len(splits) > 1 else splits[0])


def _quoted(text: str) -> str:
    if not _NEEDS_QUOTES.search(text):
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _unquoted(text: str) -> str:
    if re.fullmatch(_QUOTED, text, re.DOTALL) is None:
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
