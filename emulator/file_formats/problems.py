# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What keeps a file from being read, all of it in one message, whatever its format is."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from axynq.emulator import files
from axynq.emulator.errors import ModelError

SHOWN = 8
"""Problems, and operators that have one, which a message lists."""

# What to say of kinds of operators that no format's networks may have.
RECURRENT = "recurrent networks are not supported: every result here depends on one input alone"
BRANCHES = "networks with branches, loops or memory are not supported"
STATISTICS = "its statistics depend on each input: train with batch normalisation"
COMPUTED_PRODUCT = (
    "products of two computed tensors are not supported: only layers with constant weights "
    "multiply matrices"
)
CHOICE = "end the network before it, and do it in Python"


_NONSENSE = (struct.error, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
             AssertionError, MemoryError, RecursionError)  # fmt: skip
"""What reading a damaged file ends in: neither ``flatbuffers`` nor ``onnx`` verifies offsets, types
or shapes."""


class DamagedError(ModelError):
    """The file contradicts itself: no other complaint about it means anything."""


def content_of(path: Path) -> bytes:
    """A network's file.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return files.read_bytes(path)
    except OSError as error:
        raise ModelError(f"model '{path}' cannot be read: {error.strerror}") from error


@contextmanager
def errors_named(name: str) -> Iterator[None]:
    """All that goes wrong while a network is read, as one error that names the network.

    Raises:
        ModelError: something went wrong.
    """
    try:
        yield
    except ModelError as error:
        raise ModelError(f"'{name}': {error}") from error.__cause__
    except _NONSENSE as error:
        kind = type(error).__name__
        raise ModelError(f"'{name}' is damaged or truncated ({kind}: {error})") from error


class AnyNode(Protocol):
    """An operator of a file of any format."""

    @property
    def place(self) -> int:
        """Its index among all operators of the file."""

    @property
    def kind(self) -> str:
        """Its name."""


def unknown_operators(
    unknown: Sequence[AnyNode], hints: Callable[[Iterable[str]], list[str]]
) -> list[str]:
    """All operators that are not supported as one problem, with what ``hints`` has to say of their
    names; empty where there are none."""
    if not unknown:
        return []
    counts = Counter(node.kind for node in unknown)
    said = "".join(f" ({text})" for text in hints(list(counts)))
    if len(unknown) == 1:
        return [f"operator {unknown[0].place} is {unknown[0].kind}, which is not supported{said}"]
    listed = ", ".join(f"{kind} ({count})" for kind, count in sorted(counts.items()))
    return [f"has operators that are not supported: {listed}{said}"]


def together(unknown: Sequence[str], problems: Sequence[str], names: Iterable[str]) -> ModelError:
    """One error of operators that are not known and of other problems; ``names`` are those of the
    operators that are supported."""
    shown = list(problems)
    if len(shown) > SHOWN:
        shown = [*shown[:SHOWN], f"and {len(shown) - SHOWN} more"]
    text = "; ".join([*unknown, *shown])
    if unknown:
        text += f". Supported: {', '.join(sorted(names))}"
    return ModelError(text)


def by_operator(complaints: Mapping[str, Sequence[AnyNode]]) -> list[str]:
    """Each complaint with the operators that give rise to it."""
    problems = []
    for text, offenders in complaints.items():
        several = "s" if len(offenders) > 1 else ""
        places = ", ".join(str(n.place) for n in offenders[:SHOWN]) + (
            ", …" if len(offenders) > SHOWN else ""
        )
        kinds = ", ".join(dict.fromkeys(n.kind for n in offenders))
        problems.append(f"operator{several} {places} ({kinds}): {text}")
    return problems
