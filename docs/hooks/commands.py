# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The reference of the command line, made from the commands themselves.

``<!-- commands -->`` on a page becomes a section for each command: what it does, its arguments and
options with defaults and ranges, examples.
"""

from __future__ import annotations

import html
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from axynq.host.cli.command_class import SHARED, Command
from axynq.host.cli.commands import ENTRIES

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the reference where a page asks for it."""
    return markdown.replace(MARK, reference()) if MARK in markdown else markdown


def reference() -> str:
    """Markdown for all commands, in the order of ``axynq --help``."""
    return "\n".join(section(name, entry.command(name)) for name, entry in ENTRIES.items())


def section(name: str, command: Command) -> str:
    """Markdown for one command; options of all commands are on another page."""
    context = command.make_context(f"axynq {name}", [], resilient_parsing=True)
    parts = [
        f"## {name}\n",
        escaped(command.help or "") + "\n",
        f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n",
    ]
    for title, records in command.sections(context).items():
        if title != SHARED:
            parts += [f"**{title}**\n", *(entry(*record) for record in records)]
    examples = "\n".join(command.examples)
    return "\n".join([*parts, "**Examples**\n", f"```sh\n{examples}\n```\n"])


def entry(names: str, help_: str) -> str:
    """An argument or option as an entry of a list of definitions."""
    text, _, facts = help_.rpartition("  [") if help_.endswith("]") else (help_, "", "")
    facts = facts.rstrip("]").replace("<=", " ≤ ").replace(">=", " ≥ ")
    facts = f" *({escaped(facts)})*" if facts else ""
    return f"`` {names} ``\n:   {escaped(text)}{facts}\n"


def escaped(text: str) -> str:
    """Plain text as Markdown; what stands in backticks stays code."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([\\*_\[\]#])", r"\\\1", html.escape(part))
        for part in parts
    )
