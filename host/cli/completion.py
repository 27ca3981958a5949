# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the shell offers when Tab is pressed: values of options, and bash's way of asking.

typer completes commands, options and their choices, and has the scripts for bash, zsh and fish
(``axynq --install-completion``). What is in files and tables is found here when it is asked for.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ASKED = "_AXYNQ_COMPLETE"
"""Environment variable by which a shell's script asks."""

SHORTHANDS = ("llam", "flam", "klam-channel", "klam-row", "klam-column")

_BREAKS = re.compile(r"[:=]+")
"""Characters at which bash divides words, and that specifications of multipliers contain."""


def overlays(incomplete: str) -> list[str]:
    """Names of overlays; the shell adds files where none fits."""
    from axynq.host.overlay import overlay_names

    return _beginning(overlay_names(), incomplete)


def boards(incomplete: str) -> list[str]:
    """Names of boards."""
    from axynq.host.overlay.board import board_names

    return _beginning(board_names(), incomplete)


def multipliers(incomplete: str) -> list[str]:
    """Multipliers that axynq has figures of; in a list the last one is completed."""
    return _last(incomplete, "|", _known_multipliers())


def plans(incomplete: str) -> list[str]:
    """Multipliers, shorthands with multipliers, and plan files."""
    head, separator, _ = incomplete.partition("=")
    if separator and head in SHORTHANDS:
        return _last(incomplete, "|", _known_multipliers(), start=len(head) + 1)
    known = _known_multipliers()
    texts = [*known, *(f"{name}={spec}" for name in SHORTHANDS for spec in known)]
    return [*_beginning(texts, incomplete), *_files(incomplete, (".json",))]


def levels(incomplete: str) -> list[str]:
    """Levels of a search, of which the last of a list is completed."""
    from axynq.emulator.studies.search.space import LEVELS

    return _last(incomplete, ",", LEVELS)


def energies(incomplete: str) -> list[str]:
    """Sources of energy figures, and JSON files."""
    from axynq.emulator.energy import SHIPPED

    return [*_beginning(SHIPPED, incomplete), *_files(incomplete, (".json",))]


def models(incomplete: str) -> list[str]:
    """Networks in the folder, and those that ship with axynq by their paths."""
    from importlib import resources

    shipped = sorted(str(p) for p in _paths(Path(str(resources.files("axynq.models")))))
    return [*_files(incomplete, (".tflite", ".onnx", ".pt2")), *_beginning(shipped, incomplete)]


def sensors(incomplete: str) -> list[str]:
    """Kinds of power sensors."""
    return _beginning(("hwmon", "pynq", "serial:", "none", "estimate"), incomplete)


def torch_devices(incomplete: str) -> list[str]:
    """PyTorch's usual devices."""
    return _beginning(("cpu", "cuda"), incomplete)


def _known_multipliers() -> list[str]:
    from axynq.emulator.multipliers import SMAPPROX_TABLE_2

    roup = ("0,4", "0,6", "0,8", "1,4", "1,6", "1,8", "2,6", "2,8", "3,6")
    return ["exact", *(f"roup:{s}" for s in roup), *(f"smapprox:{s}" for s in SMAPPROX_TABLE_2)]


def _paths(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix == ".tflite"]


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _last(incomplete: str, separator: str, words: Sequence[str], start: int = 0) -> list[str]:
    """Words for the last part of a list that begins at ``start``."""
    start = max(start, incomplete.rfind(separator) + 1)
    return [incomplete[:start] + word for word in _beginning(words, incomplete[start:])]


def _files(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    """Files with one of the endings, and folders, as the user writes their paths."""
    folder, _, name = incomplete.rpartition("/")
    place = folder + "/" if "/" in incomplete else ""
    found = []
    with contextlib.suppress(OSError):
        for entry in sorted(Path(place or ".").iterdir()):
            if not entry.name.startswith(name) or (entry.name.startswith(".") and not name):
                continue
            if entry.is_dir():
                found.append(f"{place}{entry.name}/")
            elif entry.suffix in endings:
                found.append(place + entry.name)
    return found


# --- bash ----------------------------------------------------------------------------------------


def answer(command: Any) -> None:
    """Print what a shell's script asks for, and exit.

    Args:
        command: the group of all commands, as typer makes it.

    Raises:
        SystemExit: always.
    """
    prefix = _join_words() if os.environ[ASKED] == "complete_bash" else ""
    printed, code = io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(printed):
            command.main(args=[], prog_name="axynq", complete_var=ASKED)
    except SystemExit as stop:
        code = int(stop.code or 0)
    for line in filter(None, printed.getvalue().splitlines()):
        print(line.removeprefix(prefix))
    sys.exit(code)


def _join_words() -> str:
    """Put words together that bash has divided at ``:`` and ``=``.

    Returns:
        What bash has of the word that is completed already, and must not be given again.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    position = int(os.environ.get("COMP_CWORD", "0"))
    joined, place = divided(words, position)
    os.environ["COMP_WORDS"] = "\n".join(joined)
    os.environ["COMP_CWORD"] = str(place)
    word = joined[place] if place < len(joined) else ""
    if word[:1] in ("'", '"'):  # bash divides no quoted words
        return ""
    if word.startswith("--"):
        word = word.partition("=")[2]
    ends = [found.end() for found in _BREAKS.finditer(word)]
    return word[: ends[-1]] if ends else ""


def divided(words: Sequence[str], position: int) -> tuple[list[str], int]:
    """Words as the user typed them, and which of them is completed.

    >>> divided(["axynq", "rtl", "roup", ":", "1,"], 4)
    (['axynq', 'rtl', 'roup:1,'], 2)
    """
    joined: list[str] = []
    place = 0
    glue = False
    for number, word in enumerate(words):
        separator = _BREAKS.fullmatch(word) is not None
        if joined and (separator or glue) and number > 1:
            joined[-1] += word
        else:
            joined.append(word)
        glue = separator
        if number == position:
            place = len(joined) - 1
    return joined, place if position < len(words) else len(joined)
