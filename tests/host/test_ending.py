# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How commands end: one line for what went wrong, an exit code, nothing cut off."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from axynq.emulator.errors import MultiplierError
from axynq.emulator.model import graph
from axynq.host import compile_program
from axynq.host.cli import output
from axynq.host.cli.output import one_line, print_json, table
from tests.host.test_cli import json_of

COMMAND = (sys.executable, "-m", "axynq.host.cli")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line for a shell, in which ``axynq`` is the command line."""
    axynq = f'axynq() {{ {sys.executable} -m axynq.host.cli "$@"; }}; set -o pipefail; {line}'
    return subprocess.run(["bash", "-c", axynq], env=os.environ | environment, text=True,
                          capture_output=True, check=False)  # fmt: skip


# --- standard output that cannot be written ------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("axynq multipliers exact --json > /dev/full", "No space left on device"),
        ("axynq multipliers exact > /dev/full", "No space left on device"),
        ("axynq --help > /dev/full", "No space left on device"),
        ("axynq multipliers exact --json >&-", "Bad file descriptor"),
    ],
)
def test_output_that_cannot_be_written(line: str, reason: str) -> None:
    ran = shell(line, PYTHONUNBUFFERED="")
    assert ran.returncode == 1
    assert ran.stderr == f"error: standard output cannot be written: {reason}\n"


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        ("multipliers exact --json", ""),
        ("multipliers exact", "1"),
        ("--help", ""),
        ("--help", "1"),
    ],
)
def test_nobody_reads_the_output_any_more(command: str, unbuffered: str) -> None:
    """The command ends as others do whom the signal ends, without a word."""
    # `true` may be gone only after the output is written: the pipe's other end is closed at once.
    ran = shell(f"axynq {command} | (exec <&-; sleep 0.1; true)", PYTHONUNBUFFERED=unbuffered)
    assert (ran.returncode, ran.stdout, ran.stderr) == (141, "", "")


@pytest.mark.slow
def test_a_closed_standard_error() -> None:
    assert shell("axynq multipliers roup:9 2>&-").returncode == 1
    ran = shell("axynq multipliers exact 2>&-")
    assert ran.returncode == 0
    assert "exact" in ran.stdout


def test_a_closed_output_is_no_matter_where_nothing_is_printed(
    digits_path: Path, tmp_path: Path
) -> None:
    program = tmp_path / "p.axp"
    ran = shell(f"axynq compile {digits_path} --overlay tiny4 --output {program} >&- <&-")
    assert ran.returncode == 0, ran.stderr
    assert program.read_bytes().startswith(b"AXYNQ") or program.stat().st_size > 1000


def test_an_interrupt_while_the_command_loads() -> None:
    code = (
        "import signal, sys\n"
        "from importlib.abc import MetaPathFinder\n"
        "class Interrupting(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'numpy':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from axynq.host.cli import main\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, "multipliers"], text=True,
                         capture_output=True, check=False)  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "terminated\n")],
)
@pytest.mark.parametrize("place", ["a destructor", "a callback"])
def test_a_signal_where_python_drops_what_is_raised(
    axynq, monkeypatch, place: str, number: int, code: int, text: str
) -> None:
    """It ends the command all the same, and a destructor does its work first."""
    done: list[str] = []

    class Resource:
        def __del__(self) -> None:
            if place == "a destructor":
                self.release()

        def release(self) -> None:
            signal.raise_signal(number)
            done.append("released")

    def lose(*_: object) -> None:
        resource = Resource()
        if place == "a callback":
            weakref.finalize(resource, signal.raise_signal, number)
        del resource
        threading.Event().wait(20)
        done.append("went on")

    monkeypatch.setattr("axynq.host.cli.multipliers.multiplier", lose)
    ended, out, err = axynq("multipliers", "exact")
    assert (ended, out) == (code, "")
    assert err.endswith(text)
    assert done == (["released"] if place == "a destructor" else [])


def test_environment_variables_that_make_no_sense(
    axynq, monkeypatch, digits_path: Path, digits_data: Path
) -> None:
    for name, value in (("AXYNQ_ENGINE", "abacus"), ("AXYNQ_THREADS", "many")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            code, out, err = axynq("evaluate", digits_path, "--data", digits_data)
            assert (code, out) == (1, "")
            assert err.startswith("error: ")
            assert err.count("\n") == 1
            code, out, _ = axynq("doctor", "--json")
            assert code == 1
            (used,) = [f for f in json.loads(out)["findings"] if f["what"] == "engine used"]
            assert used["state"] == "problem"
    ran = shell("axynq multipliers exact", COLUMNS="0")
    assert "energy" in ran.stdout


@pytest.mark.parametrize("command", ["evaluate", "run"])
def test_too_many_threads(axynq, digits_path: Path, digits_data: Path, command: str) -> None:
    code, out, err = axynq(command, digits_path, "--data", digits_data, "--threads", "999999999")
    assert (code, out) == (2, "")
    assert re.search(r"'--threads': .*\b1024\b", err)
    assert err.count("\n") == 1


def test_warnings_are_one_line(axynq, monkeypatch) -> None:
    def warn(*_: object) -> None:
        warnings.warn("slow [/]\nbut right", RuntimeWarning, stacklevel=1)
        raise MultiplierError("enough")

    monkeypatch.setattr("axynq.host.cli.multipliers.multiplier", warn)
    _, _, err = axynq("multipliers", "exact")
    assert err == "warning: slow [/]; but right\nerror: enough\n"


@pytest.mark.slow
def test_plain_characters_where_others_cannot_be_written(digits_path: Path) -> None:
    ran = shell(f"axynq inspect {digits_path}; axynq evaluate /nowhere/µ -h",
                PYTHONIOENCODING="ascii", COLUMNS="200")  # fmt: skip
    assert "16x3x3x1" in ran.stdout
    assert ran.stdout.isascii()
    assert "Traceback" not in ran.stderr


# --- errors --------------------------------------------------------------------------------------


@pytest.fixture
def raising(monkeypatch, axynq) -> Callable[[BaseException], tuple[int, str, str]]:
    """Runs a command in which an error arises."""

    def run(error: BaseException) -> tuple[int, str, str]:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr("axynq.host.cli.multipliers.multiplier", fail)
        result: tuple[int, str, str] = axynq("multipliers", "exact")
        return result

    return run


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "x.npz"), 1,
         "error: No space left on device: x.npz"),
        (PermissionError(errno.EACCES, "Permission denied", "[red]x"), 1,
         "error: Permission denied: [red]x"),
        (OSError("odd"), 1, "error: odd"),
        (MemoryError("Unable to allocate 9 TiB"), 1,
         "error: the memory of this machine does not suffice: use fewer examples (--limit), a "
         "smaller batch, or fewer threads (Unable to allocate 9 TiB)"),
        (RecursionError("too deep"), 1,
         "error: a file or an option is nested too deeply (too deep)"),
        (UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid"), 1,
         "error: a file is not text in utf-8: 'utf-8' codec can't decode byte 0xe9 in position 0: "
         "invalid"),
        (EOFError(), 1,
         "error: this is a fault in axynq: EOFError. Please report it, with the command and what "
         "it prints when AXYNQ_TRACEBACK=1 is set"),
        (KeyError("a\nb"), 1,
         "error: this is a fault in axynq: KeyError ('a\\nb'). Please report it, with the command "
         "and what it prints when AXYNQ_TRACEBACK=1 is set"),
    ],
)  # fmt: skip
def test_errors_that_nobody_foresaw(raising, monkeypatch, error, code: int, text: str) -> None:
    monkeypatch.delenv("AXYNQ_TRACEBACK", raising=False)
    assert raising(error) == (code, "", f"{text}\n")


def test_the_traceback_is_shown_where_it_is_asked_for(raising, monkeypatch) -> None:
    monkeypatch.setenv("AXYNQ_TRACEBACK", "1")
    _, _, err = raising(ValueError("odd"))
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: this is a fault in axynq: ValueError (odd)")


def test_one_line() -> None:
    assert one_line("a\n\n  b\x1b[31m\udcff\tc") == "a; b\\x1b[31m\\udcff\tc"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["run"], "Missing argument 'PROGRAM.axp' (axynq run --help explains)"),
        (["run", "x", "--limit", "0"], "Invalid value for '--limit'"),
        (["run", "x", "--gone"], "No such option"),
        (["selftest", "--overlay", "tiny4", "--soak", "nan"], "--soak"),
        (["power", "x", "--seconds", "inf"], "--seconds"),
        (["power", "x", "--rate", "nan"], "--rate"),
        (["power", "x", "--meter-offset", "nan"], "nan is not a number to use here"),
    ],
)
def test_malformed_command_lines(axynq, arguments: list[str], text: str) -> None:
    code, out, err = axynq(*arguments)
    assert (code, out) == (2, "")
    assert text in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


DESIGN = ("design", "m", "-o", "x")
EXPLORE = ("explore", "m", "--data", "d", "-o", "x")
DEPLOY = ("deploy", "m", "--data", "d", "--overlay", "tiny4")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("build", "--overlay", "tiny4", "--retarget"), "--retarget needs --board"),
        (("build", "--overlay", "tiny4", "--board", "z80"), "unknown board 'z80'; known are: "),
        ((*DESIGN, "--board", "pynq-z3"), "Did you mean 'pynq-z2'?"),
        ((*DESIGN, "--clocks", "fast"), "'fast' is not a list of MHz"),
        ((*DESIGN, "--clocks", "100,0"), "clocks must be above 0 MHz"),
        ((*DESIGN, "--exact-only", "--plan", "roup:1,4"), "--exact-only and --plan exclude"),
        ((*DESIGN, "--multipliers", "exact", "--plan", "roup:1,4"), "--multipliers and --plan ex"),
        ((*DESIGN, "--exact-only", "--multipliers", "exact"), "--exact-only and --multipliers ex"),
        ((*DESIGN, "--max-loss", "1"), "--max-loss needs --data"),
        ((*DESIGN, "--data", "x.npz"), "--data needs --multipliers"),
        ((*DESIGN, "--weights", "histogram"), "--weights and --compensate need --data"),
        ((*EXPLORE, "--cycles"), "--cycles needs --overlay"),
        ((*EXPLORE, "--overlay", "tiny4", "--designs", "2"), "--overlay has banks: give one"),
        ((*EXPLORE, "--overlay", "tiny4", "--multipliers", "roup:3,*"), "has a family"),
        ((*EXPLORE, "--skip", "3|two"), "klms takes a positive number"),
        ((*EXPLORE, "--levels", "layer,leaf"), "'leaf' is not a level"),
        (("match", *EXPLORE[1:], "--strength", "1,-1"), "'-1' is not a strength"),
        (("inspect", "m", "--roofline", "r.png"), "--roofline needs --overlay"),
        (("inspect", "m", "--overlay", "x", "--roofline", "r.txt"), "is not a picture's name"),
        (("multipliers", "--range", "x"), "a range is LOW:HIGH, such as 0:127, not 'x'"),
        (("multipliers", "--range", "5:1"), "the range 5:1 is empty: LOW must not exceed HIGH"),
        (("multipliers", "--range", "0:128"), "operands are averaged over -128:127 or less"),
        (("multipliers", "--data", "d"), "--operands, --data and --output belong to"),
        (("multipliers", "--characterise", "--operands", "m"), "--operands needs --data"),
        (("multipliers", "--characterise", "--data", "d"), "--data needs --operands"),
        (("rtl", "exact", "--estimate", "tiny4"), "--estimate takes no multipliers"),
        (("rtl", "--schedule", "tiny4", "-o", "x"), "--schedule takes no multipliers"),
        ((*DEPLOY, "--board", "a b"), "'a b' is no board: write user@host"),
        ((*DEPLOY, "--board", "a@b", "--folder", "~"), "'~' is no folder to deploy to"),
        (("power", "a.axp", "b/a.axp"), "the programs need different file names"),
        (("power", "a", "--sensor", "estimate", "-o", "x"), "--sensor estimate writes nothing"),
        (("power", "a", "--sensor", "estimate", "--sensor", "none"), "estimate stands alone"),
        (("power", "a", "--sensor", "volts"), "unknown power sensor 'volts'"),
        (("power", "a", "--sensor", "watts:"), "unknown power sensor 'watts:'"),
        (("power", "a", "--sensor", "serial:/dev/ttyUSB0:mV"), "writes no power"),
        (("power", "a", "--meter-delimiter", "::"), "a delimiter is one character"),
        (("power", "a", "--meter-encoding", "rot13"), "'rot13' is no encoding of text"),
    ],
)
def test_options_that_make_no_sense(axynq, arguments: tuple[str, ...], text: str) -> None:
    """It is known before anything is read: none of the files is there."""
    code, out, err = axynq(*arguments)
    assert (code, out) == (2, "")
    assert text in err
    assert err.startswith("error: ")
    assert err.endswith(f"(axynq {arguments[0]} --help explains)\n")
    assert err.count("\n") == 1


BAD = (
    "gone",
    "folder",
    "empty",
    "binary",
    "text",
    "list.json",
    "deep.json",
    "latin.toml",
    "[/]:x:",
    "endless.json",
)


@pytest.fixture
def odd_files(tmp_path: Path, monkeypatch, digits: graph.Model, digits_data: Path) -> Path:
    """A working folder with files of the wrong kind, and one program."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    compile_program(digits, "exact", "tiny4").save(tmp_path / "program.axp")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AXYNQ_BITSTREAMS", str(tmp_path / "none"))
    monkeypatch.delenv("AXYNQ_TRACEBACK", raising=False)
    return digits_data


@pytest.mark.parametrize("bad", BAD)
def test_files_of_the_wrong_kind(axynq, odd_files: Path, digits_path: Path, bad: str) -> None:
    data = ("--data", odd_files)
    on_board = (*data, "--device", "software")
    for arguments in (
        ("inspect", bad),
        ("evaluate", bad, *data),
        ("evaluate", digits_path, "--data", bad),
        ("evaluate", digits_path, *data, "--plan", bad),
        ("evaluate", digits_path, *data, "--energy", bad),
        ("sensitivity", bad, *data),
        ("explore", bad, *data, "--output", "x"),
        ("tune", bad, *data, "--plan", "exact", "--output", "x"),
        ("noise", bad, *data, "--output", "x"),
        ("retrain", bad, *data, "--output", "x"),
        ("compile", bad, "--overlay", "tiny4"),
        ("compile", digits_path, "--overlay", bad),
        ("run", bad, *on_board),
        ("run", "program.axp", "--data", bad, "--device", "software"),
        ("power", bad, "--sensor", "estimate"),
        ("power", "program.axp", "--sensor", f"hwmon:{bad}", "--device", "software"),
        ("power", "program.axp", "--sensor", "none", "--meter-csv", bad, "--output", "text"),
        ("deploy", bad, *on_board, "--overlay", "tiny4", "--board", "a@b"),
        ("multipliers", f"table:{bad}#x"),
        ("rtl", "--estimate", bad),
        ("build", "--overlay", bad),
        ("selftest", "--overlay", bad, "--device", "software"),
    ):
        code, out, err = axynq(*arguments)
        shown = (arguments, err)
        assert (code, out) == (1, ""), shown
        assert err.startswith("error: "), shown
        assert err.count("\n") == 1, shown
        assert "fault in axynq" not in err, shown


@pytest.mark.slow
def test_places_that_cannot_be_written(axynq, odd_files: Path, digits_path: Path) -> None:
    data, place = ("--data", odd_files), "text/x"
    for arguments in (
        ("compile", digits_path, "--overlay", "tiny4", "--output", place),
        ("run", "program.axp", *data, "--device", "software", "--output", place),
        ("noise", digits_path, *data, "--split", "test", "--limit", 2, "--output", place),
        ("noise", digits_path, *data, "--split", "test", "--limit", 2, "--output", "n.npz",
         "--pictures", place),
        ("tune", digits_path, *data, "--plan", "exact", "--output", place, "--limit", 2,
         "--calibration-examples", 2, "--calibration-split", "test"),
        ("explore", digits_path, *data, "--search-split", "test", "--output", place),
        ("sensitivity", digits_path, *data, "--no-fine", "--limit", 2, "--output", place),
        ("inspect", digits_path, "--overlay", "tiny4", "--roofline", place),
        ("rtl", "exact", "--output", place),
        ("multipliers", "exact", "--characterise", "--output", place),
        ("power", "program.axp", "--sensor", "none", "--device", "software", "--output", place),
        ("deploy", digits_path, *data, "--overlay", "tiny4", "--device", "software", "--board",
         "a@b", "--output", place),
    ):  # fmt: skip
        code, _, err = axynq(*arguments)
        shown = (arguments, err)
        assert code == 1, shown
        assert err.splitlines()[-1].startswith("error: "), shown
        assert "Traceback" not in err, shown
        assert "fault in axynq" not in err, shown


# --- tables --------------------------------------------------------------------------------------


def figures(text: str) -> Counter[str]:
    """All words with a digit in them."""
    return Counter(word for word in text.split() if re.search(r"\d", word))


def test_narrow_tables(axynq, monkeypatch, odd_files: Path, digits_path: Path) -> None:
    """At 60 columns nothing is longer, and no figure is cut or broken."""
    for arguments in (
        ("multipliers",),
        ("inspect", digits_path, "--overlay", "tiny4", "--plan", "flam=exact|roup:1,4"),
        ("evaluate", digits_path, "--data", odd_files, "--limit", 2),
        ("sensitivity", digits_path, "--data", odd_files, "--limit", 2),
        ("noise", digits_path, "--data", odd_files, "--split", "test", "--limit", 4,
         "--output", "n.npz", "--plan", "roup:1,4"),
        ("rtl", "exact", "roup:1,4", "--output", "rtl"),
        ("run", "program.axp", "--data", odd_files, "--device", "software", "--limit", 2),
        ("power", "program.axp", "--sensor", "estimate"),
        ("doctor",),
    ):  # fmt: skip
        wide, narrow = [], []
        for width, found in ((200, wide), (60, narrow)):
            monkeypatch.setenv("COLUMNS", str(width))
            code, out, err = axynq(*arguments)
            assert code == 0, err
            found.append(out)
            if width == 60:
                assert max(map(len, out.splitlines())) <= 60
                assert "…" not in out
        # Lines of columns and values repeat the columns' names.
        lacking = figures(wide[0]) - figures(narrow[0])
        if arguments[0] in ("evaluate", "run"):  # seconds are others each time
            assert lacking.total() <= 5, lacking
        elif arguments[0] != "doctor":  # which names folders that are longer than a line
            assert not lacking


def test_figures_of_json_are_in_the_narrow_table(
    axynq, monkeypatch, odd_files, digits_path
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    arguments = ("inspect", digits_path, "--overlay", "tiny4")
    content = json_of(axynq(*arguments, "--json"))
    _, out, _ = axynq(*arguments)
    words = out.split()
    for layer in content["layers"]:
        assert layer["name"] in words
        if layer["multiplications"]:
            assert f"{layer['multiplications']:,}" in words
    for step in content["steps"]:
        assert f"{step['cycles'] / content['batch']:,.0f}" in words
        assert f"{step['bytes'] / content['batch']:,.0f}" in words


def test_texts_are_no_markup(capsys, monkeypatch) -> None:
    made = table("[red]a", "b", title="[/] :smile: t")
    made.add_row("[bold]x[/]", "[1]:x:")
    for width in (200, 18):
        monkeypatch.setenv("COLUMNS", str(width))
        output.results.print(made)
        out = capsys.readouterr().out
        for text in ("[red]a", "[/] :smile:", "[bold]x[/]", "[1]:x:")[width == 18 :]:
            assert text in out
    with output.console.status("reading [/] [red]x") as status:
        status.update("[/]")


def test_json_has_no_infinities(capsys) -> None:
    print_json("k", {"a": float("nan"), "b": [1.5, float("inf")], "c": ({"d": -float("inf")},)})
    assert json.loads(capsys.readouterr().out) == {
        "schema": "k", "a": None, "b": [1.5, None], "c": [{"d": None}],
    }  # fmt: skip
