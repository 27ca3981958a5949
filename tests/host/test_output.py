# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Tables at any width, and what is said where there is no terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from axynq.emulator.plan import Plan
from axynq.emulator.studies.search.front import Candidate
from axynq.host.cli import explore, output, progress
from axynq.host.cli.output import facts, points_interval, table

PLAN = "flam=exact|roup:1,4|smapprox:3330|roup:2,6+klms=3"
PATH = "/a/long/path/to/a/folder/of/networks/allcnn_int8_tuned_for_roup.tflite"


def printed(renderable: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    console.print(renderable)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    return text


@pytest.mark.parametrize("width", [30, 44, 60, 80, 120, 200])
@pytest.mark.parametrize("first", ["p1", PLAN, PATH])
def test_intervals_and_units_stay_whole(width: int, first: str) -> None:
    made = table("plan", "energy saved", "accuracy", "loss", "95 % interval", "power", "shape")
    cells = (
        "81.3 %",
        "97.50 %",
        "1.50",
        points_interval((-0.065, 0.1288)),
        "0.81 ± 0.02 W",
        "8×8×1",
    )
    made.add_row(first, *cells)
    text = printed(made, width)
    assert "…" not in text
    for cell in ("81.3 %", "97.50 %", "-6.50 to 12.88", "0.81 ± 0.02 W", "8×8×1"):
        assert cell in text
    assert first in re.sub(r"\s+", "", text) or width >= len(first)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "conv_0", PLAN, PATH, "one two three"]),
            st.sampled_from(["1.5 %", "-6.50 to 12.88", "-", "", "17"]),
            st.sampled_from(
                ["exact 50 %, roup:1,4 50 %", "some longer words that explain it", PATH]
            ),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(40, 220),
)
def test_nothing_is_lost_at_any_width(rows: list[tuple[str, str, str]], width: int) -> None:
    made = table("name", "figure", "why", title="A title of several words")
    for row in rows:
        made.add_row(*row)
    text = printed(made, width)
    assert "…" not in text
    letters = sorted(re.sub(r"\s|─", "", "".join("".join(row) for row in rows)))
    left = list(re.sub(r"\s|─", "", text))
    for letter in letters:
        left.remove(letter)  # every character is there as often as in the cells
    for _, figure, _ in rows:
        assert figure in text


def test_columns_of_words_are_on_the_left_and_figures_on_the_right() -> None:
    made = table("step", "cycles", "why")
    made.add_row("a", "1,024", "no room")
    made.add_row("b", "6", "none")
    lines = [line.rstrip() for line in printed(made, 80).splitlines()]
    assert " a       1,024   no room" in lines
    assert " b           6   none" in lines


@pytest.mark.parametrize("width", [40, 80])
def test_facts_fold_long_texts(width: int) -> None:
    text = printed(facts("title", [("plan", PLAN), ("accuracy", "97.50 %")]), width)
    assert PLAN in re.sub(r"\s+", "", text)
    assert "97.50 %" in text


# --- no terminal ---------------------------------------------------------------------------------


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}, {"NO_COLOR": "1"}])
def test_a_log_has_no_bars_and_no_spinners(variables: dict[str, str]) -> None:
    code = (
        "from axynq.host.cli.output import console\n"
        "from axynq.host.cli.progress import phases, progress_bar\n"
        "with console.status('reading'), progress_bar('measuring', 2) as advance:\n"
        "    advance(1)\n"
        "with phases() as bar:\n"
        "    bar('searching', 1, 2)\n"
        "console.error('no')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                         env={"PATH": "/usr/bin:/bin", **variables})  # fmt: skip
    assert ran.stdout == ""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", ran.stderr)
    assert plain == "error: no\n"
    assert (plain != ran.stderr) == ("FORCE_COLOR" in variables)


def test_a_terminal_shows_how_long_it_takes(monkeypatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True, raising=False)
    console = output._Console(file=shown, width=100, force_terminal=True)
    monkeypatch.setattr(progress, "console", console)
    with progress.progress_bar("measuring", 3) as advance:
        advance(1)
        advance(1)
    with progress.phases() as bar:
        bar("searching", 1, 4, "best 3 %")
        bar("measuring again", 1, 2)
    assert "2/3" in shown.getvalue()
    assert "left" in shown.getvalue()
    assert "measuring again" in shown.getvalue()


@pytest.mark.parametrize("variable", ["NO_COLOR", "--no-color"])
def test_no_colours_where_nobody_wants_them(
    axynq, monkeypatch, variable: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(output.results, "_force_terminal", True)
    monkeypatch.setattr(output.results, "_color_system", 1)
    words = ["--no-color"] if variable.startswith("-") else []
    if not words:
        monkeypatch.setenv(variable, "1")
    made = axynq("multipliers", "exact", *words)
    assert made[0] == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", made[1])
    assert output.results.no_color


# --- on a terminal -------------------------------------------------------------------------------


class Terminal:
    """A console whose messages go to a terminal of 80 columns."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self.file = os.fdopen(slave, "w", encoding="utf-8")
        self.console = output._Console(stderr=True, file=self.file, width=80)

    def shown(self) -> str:
        """What it has shown since the last call."""
        self.file.flush()
        read = b""
        while select.select([self.master], [], [], 0.05)[0]:
            read += os.read(self.master, 65536)
        return read.decode()


@pytest.fixture
def terminal(monkeypatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    made = Terminal()
    yield made
    made.file.close()
    os.close(made.master)


def test_steps_show_a_spinner(terminal: Terminal) -> None:
    with terminal.console.status("reading x") as step:
        time.sleep(0.15)
        step.update("reading y")
        time.sleep(0.15)
    shown = terminal.shown()
    assert "reading x" in shown
    assert "\x1b[2K" in shown.rpartition("reading y")[2]  # it is gone at the end
    terminal.console.verbosity = output.Verbosity.VERBOSE
    with terminal.console.status("reading z"):
        pass
    assert re.search(r"reading z: \d+\.\d s", terminal.shown())
    terminal.console.verbosity = output.Verbosity.QUIET
    with terminal.console.status("reading z"):
        pass
    assert terminal.shown() == ""


def test_a_search_shows_its_front(terminal: Terminal, monkeypatch) -> None:
    for module in (explore, progress):
        monkeypatch.setattr(module, "console", terminal.console)
    cheap = Candidate("filter", Plan.uniform("roup:1,4"), "k", 0.75, 0.9625)
    with explore._display() as display:
        display("evaluating", 3, 10, [cheap])
    shown = terminal.shown()
    assert "front so far, on" in shown
    assert re.search(r"filter .*75\.0 % .*96\.25 %", shown)
    assert "evaluating" in shown
