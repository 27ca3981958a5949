# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reading a file's operators one after another, going on behind those that cannot be read."""

from __future__ import annotations

from collections.abc import Callable

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_file import Node, OnnxFile
from axynq.emulator.file_formats.problems import DamagedError


def walked(
    file: OnnxFile,
    known: Callable[[Node], bool],
    read: Callable[[Node], None],
    unread: set[str],
) -> tuple[list[Node], dict[str, list[Node]]]:
    """Read all operators.

    Args:
        file: the file.
        known: whether there is a reader for an operator.
        read: reads one.
        unread: names that stand for nothing; those of the outputs of operators that cannot be read
            are added. What reads them is passed over: a complaint would repeat what is known.

    Returns:
        Operators that are not known, and those with whom something else is wrong, by what it is.

    Raises:
        DamagedError: the file contradicts itself.
    """
    complaints: dict[str, list[Node]] = {}
    unknown = []
    for node in file.nodes:
        if any(name in unread for name in node.inputs):
            unread.update(_named(node))
            continue
        if not known(node):
            unknown.append(node)
            unread.update(_named(node))
            continue
        try:
            read(node)
        except DamagedError as error:
            raise DamagedError(f"operator {node.place} ({node.kind}): {error}") from error
        except ModelError as error:
            complaints.setdefault(str(error), []).append(node)
            unread.update(_named(node))
    return unknown, complaints


def _named(node: Node) -> list[str]:
    """The outputs of an operator but for those that are left out, which have the empty name."""
    return [name for name in node.outputs if name]
