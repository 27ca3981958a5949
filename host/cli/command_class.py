# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What all commands have in common: shared options, help in sections, former names of options."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from axynq.host.cli import output, written

SECTIONS_FROM = 18
"""Commands with at least so many options have them in sections."""

LONGEST_CHOICE = 30
"""Choices longer than this stand in an option's text, not beside its name."""

SHARED = "Options of all commands"
"""Title of the section of shared options."""

LAST = ("Results", SHARED)
"""Sections that stand at the end."""

_NUMBERS = {
    re.compile(r"<int(?: range)?>|INTEGER(?: RANGE)?"): "N",
    re.compile(r"<float(?: range)?>|FLOAT(?: RANGE)?"): "NUMBER",
}
"""What typer calls numbers, and what the help does."""


def _quiet(wanted: bool) -> None:
    if wanted:
        output.be_quiet()


def _verbose(wanted: bool) -> None:
    if wanted:
        output.be_verbose()


def _no_color(wanted: bool) -> None:
    if wanted:
        output.without_colours()


def _shared(
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=_quiet,
            is_eager=True,
            expose_value=False,
            help="Print results, warnings and errors alone: no notes, no progress.",
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            callback=_verbose,
            is_eager=True,
            expose_value=False,
            help="Also print each step and how long it took, what tools print, and where an error "
            "arose.",
        ),
    ] = False,
    no_color: Annotated[
        bool,
        typer.Option(
            "--no-color",
            callback=_no_color,
            is_eager=True,
            expose_value=False,
            help="Print without colours, as with the environment variable NO_COLOR.",
        ),
    ] = False,
) -> None:
    """Options that stand before or after the name of any command."""


def shared_options() -> list[Any]:
    """Parameters for each command, and for the group in front of its name."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(_shared)
    return list(typer.main.get_command(app).params)


class WithExamples:
    """Ends a help text with examples, which no narrow terminal wraps."""

    examples: tuple[str, ...] = ()

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write them as they are."""
        with formatter.section("Examples"):
            for line in "\n".join(self.examples).split("\n"):
                formatter.write(f"  {line}\n")


class Command(WithExamples, TyperCommand):
    """A command with the shared options."""

    renamed: Mapping[str, str] = {}
    """New names of options, by former names, which still work."""

    def __init__(self, *args: Any, params: list[Any] | None = None, **options: Any) -> None:
        self.shared = shared_options()
        super().__init__(*args, params=[*(params or ()), *self.shared], **options)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            args = list(self._with_new_names(args))
        return super().parse_args(ctx, args)

    def _with_new_names(self, args: list[str]) -> Iterator[str]:
        for position, word in enumerate(args):
            if word == "--":
                yield from args[position:]
                return
            name, *value = word.split("=", 1)
            if name in self.renamed:
                output.console.warn(
                    f"{name} is called {self.renamed[name]} now; the former name goes with "
                    "version 0.3"
                )
                word = "=".join([self.renamed[name], *value])
            yield word

    def invoke(self, ctx: Any) -> Any:
        written.check_written(self.params, ctx.params)
        return super().invoke(ctx)

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        arguments = [p for p in self.params if p.param_type_name == "argument"]
        names = [p.metavar or p.name.upper() for p in arguments]
        words = [w if p.required else f"[{w}]" for w, p in zip(names, arguments)]
        required = [
            f"{p.opts[0]} {p.metavar or 'N'}"
            for p in self.params
            if p.param_type_name == "option" and p.required
        ]
        formatter.write_usage(ctx.command_path, " ".join([*words, *required, "[OPTIONS]"]))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, records in self.sections(ctx).items():
            with formatter.section(title):
                formatter.write_dl(records)

    def sections(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """Names and texts of arguments and options by title: options in sections if there are
        many, and the shared ones at the end."""
        sections: dict[str, list[tuple[str, str]]] = {}
        shown = [param for param in self.get_params(ctx) if not getattr(param, "hidden", False)]
        own = [p for p in shown if p.param_type_name == "option" and p not in self.shared]
        for param in shown:
            record = param.get_help_record(ctx)
            if record is None:
                continue
            if param.param_type_name == "argument":
                title = "Arguments"
            elif param in self.shared or param.name == "help":
                title = SHARED
            else:
                panel = getattr(param, "rich_help_panel", None)
                title = panel if panel and len(own) >= SECTIONS_FROM else "Options"
            sections.setdefault(title, []).append(_record(param, *record))
        for title in LAST:
            if title in sections:
                sections[title] = sections.pop(title)
        return sections


def _record(param: Any, name: str, text: str) -> tuple[str, str]:
    """Name and text of a parameter in the words of this command line."""
    if param.param_type_name == "argument":
        return name.partition(" <")[0], text
    for typed, ours in _NUMBERS.items():
        name = typed.sub(ours, name)
    option, _, words = name.rpartition(" ")
    words = words.strip("<>[]")
    if "|" in words and option:
        if len(words) <= LONGEST_CHOICE or param.metavar is not None:
            name = f"{option} {words}"
        else:
            name = f"{option} {param.name.rstrip('_').upper().replace('_', '-')}"
            choices = words.split("|")
            if not all(re.search(rf"\b{re.escape(word)}\b", text) for word in choices):
                text = _before_brackets(text, f" One of {', '.join(choices)}.")
    return name, text


def _before_brackets(text: str, words: str) -> str:
    """The text with words at its end, before typer's default and range."""
    start = text.rfind("  [")
    return text + words if start < 0 else text[:start] + words + text[start:]


@dataclass(frozen=True)
class Entry:
    """A command that is loaded when it is called."""

    place: str
    """``module:function``, the module in :mod:`axynq.host.cli`."""
    summary: str
    """The first line of its help, which the list of commands shows."""
    examples: tuple[str, ...]
    """Command lines; long ones have ``\\`` and a line break."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """New names of options, by former names."""

    def function(self) -> Callable[..., None]:
        """What the command calls."""
        module, _, name = self.place.partition(":")
        function: Callable[..., None] = getattr(import_module(f"axynq.host.cli.{module}"), name)
        return function

    def command(self, name: str) -> Command:
        """The command."""
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=Command)(self.function())
        made = typer.main.get_command(app)
        assert isinstance(made, Command)
        made.examples, made.renamed = self.examples, self.renamed
        return made


class _Loaded(Mapping[str, Command]):
    """Commands, each loaded when it is asked for."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._made: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._made:
            self._made[name] = self._entries[name].command(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class Commands(WithExamples, TyperGroup):
    """A group that loads a command when it is called, not to list it."""

    entries: Mapping[str, Entry] = {}
    """The commands by their names."""

    def __init__(self, *args: Any, params: list[Any] | None = None, **options: Any) -> None:
        super().__init__(*args, params=[*(params or ()), *shared_options()], **options)
        self.commands = _Loaded(self.entries)  # type: ignore[assignment]
        self._listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._listing:
            return TyperCommand(cmd_name, help=self.entries[cmd_name].summary)
        return self.commands.get(cmd_name)

    @contextmanager
    def _summaries(self) -> Iterator[None]:
        """Inside, commands are their names and summaries."""
        self._listing = True
        try:
            yield
        finally:
            self._listing = False

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with self._summaries():
            super().format_commands(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        with self._summaries():
            return list(super().shell_complete(ctx, incomplete))
