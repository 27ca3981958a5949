# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Markdown as Git hosts read it, for the site to read it likewise.

Lists within lists are indented by two or three spaces there, by four here. In a table a bar within
code is written ``\\|`` there, ``|`` here.
"""

from __future__ import annotations

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
INNER_ITEM = re.compile(r"^ {2,3}(?=(?:[-*]|\d+\.) )", re.MULTILINE)
ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Translate everything but fenced blocks."""
    parts = FENCE.split(markdown)
    parts[::2] = map(translated, parts[::2])
    return "".join(parts)


def translated(text: str) -> str:
    """A text without fenced blocks."""
    return ROW.sub(row, INNER_ITEM.sub("    ", text))


def row(match: re.Match[str]) -> str:
    """A row of a table."""
    return CODE.sub(lambda code: code[0].replace(r"\|", "|"), match[0])
