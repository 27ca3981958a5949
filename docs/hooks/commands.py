"""The reference of the command line, made from the commands themselves.

``<!-- commands -->`` on a page becomes a section for each command: what it does, its arguments and
options with defaults and ranges, an example.
"""

from __future__ import annotations

import html
import re
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from axynq.host.cli.commands import app

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the reference where a page asks for it."""
    return markdown.replace(MARK, reference()) if MARK in markdown else markdown


def reference() -> str:
    """Markdown for all commands, in the order of ``axynq --help``."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return "\n".join(section(name, command) for name, command in commands.items())


def section(name: str, command: Any) -> str:
    """Markdown for one command."""
    context = command.make_context(f"axynq {name}", [], resilient_parsing=True)
    records = [parameter.get_help_record(context) for parameter in command.params]
    parts = [
        f"## {name}\n",
        escaped(command.help) + "\n",
        f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n",
        *(entry(*record) for record in records if record is not None),
        f"```sh\n{command.epilog.partition('Example:')[2].strip()}\n```\n",
    ]
    return "\n".join(parts)


def entry(names: str, help_: str) -> str:
    """An argument or option as an entry of a list of definitions."""
    text, _, facts = help_.rpartition("  [") if help_.endswith("]") else (help_, "", "")
    facts = facts.rstrip("]").replace("<=", " ≤ ").replace(">=", " ≥ ")
    facts = f" *({escaped(facts)})*" if facts else ""
    names = names.replace(" range>", ">").replace("<list[Path]>", "<path>")
    names = names.replace("<list[str]>", "<str>")
    return f"`` {names} ``\n:   {escaped(text)}{facts}\n"


def escaped(text: str) -> str:
    """Plain text as Markdown; what stands in backticks stays code."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([\\*_\[\]#])", r"\\\1", html.escape(part))
        for part in parts
    )
