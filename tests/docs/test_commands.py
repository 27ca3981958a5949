# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Commands in the documents, as far as the command line reads them."""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import Any

import pytest
import typer

from axynq.host.cli.commands import app
from tests.docs.documents import DOCUMENTS, ROOT, Document

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)

OTHERS = {"--help", "--no-deps", "--sources"}
"""Options of other programs."""


@cache
def commands() -> dict[str, Any]:
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def parse(line: str) -> None:
    """Read a command line as ``axynq`` would: its command, options and number of arguments.

    Raises:
        Exception: there is no such command or option, or something is missing.
    """
    _, name, *arguments = shlex.split(line)
    if name not in commands():
        raise LookupError(f"there is no command {name}")
    command = commands()[name]
    parser = command.make_parser(type(command).context_class(command))
    values, left, _ = parser.parse_args(arguments)
    if left:
        raise ValueError(f"{left} is too much")
    missing = [p.name for p in command.params if p.required and not values.get(p.name)]
    if missing:
        raise ValueError(f"{missing} is missing")


@every_document
def test_command_lines_parse(document: Document) -> None:
    for line in document.commands("axynq"):
        try:
            parse(line)
        except Exception as error:
            pytest.fail(f"{document.name}: {line}: {error}")


@pytest.mark.parametrize(
    "line",
    ["axynq frobnicate", "axynq inspect m.tflite --frobnicate", "axynq inspect", "axynq run a b"],
)
def test_wrong_command_lines_are_found(line: str) -> None:
    with pytest.raises(Exception, match=r"no command|No such option|missing|too much"):
        parse(line)


@every_document
def test_commands_and_options_in_prose_exist(document: Document) -> None:
    known = {o for c in commands().values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    for code in document.code():
        words = code.split()
        if words[0] == "axynq" and len(words) > 1 and words[1].isalpha() and words[1].islower():
            assert words[1] in commands(), f"{document.name}: {code}"
            own = {o for p in commands()[words[1]].params for o in (*p.opts, *p.secondary_opts)}
            options = [w for w in words if re.fullmatch(r"--[a-z-]+", w)]
            assert set(options) <= own | {"--help"}, f"{document.name}: {code}"
        elif re.match(r"--[a-z]", code):
            assert words[0] in known | OTHERS, f"{document.name}: {code}"


@every_document
def test_scripts_are_there(document: Document) -> None:
    """``python PATH`` and ``python -m MODULE`` name what exists."""
    import importlib.util

    for line in (*document.commands("python"), *document.code()):
        words = line.split()
        if words[0] != "python" or len(words) < 2:
            continue
        if words[1] == "-m":
            assert importlib.util.find_spec(words[2]), f"{document.name}: {line}"
        else:
            assert (ROOT / words[1]).is_file(), f"{document.name}: {line}"
