# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Docstrings as Markdown: names in reStructuredText roles become code, examples fenced blocks."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]+)`")
EXAMPLE = re.compile(r"(?:^(?:>>>|\.\.\.)(?: .*)?(?:\n|\Z))+", re.MULTILINE)
PROMPT = re.compile(r"^(?:>>>|\.\.\.) ?", re.MULTILINE)


class Roles(griffe.Extension):
    """Rewrites docstrings as they are read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """The text of a docstring as Markdown. Two backticks on either side mean code in both."""
    return EXAMPLE.sub(fenced, ROLE.sub(r"`\1`", text))


def fenced(example: re.Match[str]) -> str:
    """Lines of an interactive session, which show no results, as a block to copy."""
    return f"```python\n{PROMPT.sub('', example[0]).rstrip()}\n```\n"
