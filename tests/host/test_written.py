# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Commands look at what they write before they work: it is nothing that they read, and it can be
written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axynq.emulator import files
from axynq.emulator.errors import DataError
from axynq.emulator.plan import Plan
from axynq.host.cli.commands import ENTRIES
from axynq.host.cli.written import ELSEWHERE, WRITTEN, check_written

READ = {
    "model", "data", "plan", "against", "against_plan", "energy", "overlay", "scheduled",
    "operands", "sensitivity", "front", "power", "teacher", "place", "program", "programs",
    "baseline", "wheel", "meter_csv",
}  # fmt: skip
"""Parameters that name, or may name, a file or folder that is read."""

PATHS = {"FILE", "FOLDER", "MODEL", "DATA", "PLAN", "SOURCE", "OVERLAY", "PROGRAM.axp", "PROGRAM…"}
"""Metavars of such parameters."""

PARAMS = {name: entry.command(name).params for name, entry in ENTRIES.items()}


def pairs() -> Iterator[Any]:
    """All that a command writes with all that it reads."""
    for name, params in PARAMS.items():
        for written in (p for p in params if p.name in WRITTEN):
            for read in (p for p in params if p.name in READ):
                yield pytest.param(name, written, read, id=f"{name}-{written.name}-{read.name}")


def outputs() -> Iterator[Any]:
    for name, params in PARAMS.items():
        for written in (p for p in params if p.name in WRITTEN):
            yield pytest.param(name, written, id=f"{name}-{written.name}")


def value(param: Any, path: Path) -> Any:
    """What the command line makes of a path."""
    if param.name in ("plan", "against_plan", "energy", "overlay", "scheduled"):
        return str(path)
    return [path] if param.nargs == -1 else path


def test_each_path_is_known_as_written_or_read() -> None:
    for name, params in PARAMS.items():
        for param in params:
            if getattr(param, "is_flag", False):
                continue
            known = param.name in WRITTEN | ELSEWHERE | READ
            assert known == (param.metavar in PATHS), (name, param.name)
            if param.name in WRITTEN:
                assert param.metavar in ("FILE", "FOLDER"), (name, param.name)


@pytest.mark.parametrize(("command", "written", "read"), list(pairs()))
def test_what_is_read_is_not_replaced(tmp_path: Path, command: str, written, read) -> None:
    path, link = tmp_path / "x.json", tmp_path / "link"
    path.write_bytes(b"precious")
    link.symlink_to(path)
    for output in (path, link, tmp_path / "." / ".." / tmp_path.name / "x.json"):
        values = {written.name: output, read.name: value(read, path)}
        with pytest.raises(DataError) as error:
            check_written(PARAMS[command], values)
        shown = read.metavar if read.param_type_name == "argument" else f"--{read.opts[0][2:]}"
        assert str(error.value) == (
            f"'{output}' is read by this command ({shown}): give another {written.opts[0]}"
        )


@pytest.mark.parametrize(("command", "written"), list(outputs()))
def test_outputs_that_cannot_be_written(tmp_path: Path, monkeypatch, command: str, written) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(DataError) as error:
            check_written(PARAMS[command], {written.name: path})
        return str(error.value).replace(str(tmp_path), "T")

    file = tmp_path / "file"
    file.touch()
    assert refused(file / "x") == "'T/file/x' cannot be written: 'T/file' is not a folder"
    missing = tmp_path / "nosuch" / "x"
    if written.metavar == "FILE":
        assert refused(tmp_path) == "'T' cannot be written: it is a folder, not a file"
        check_written(PARAMS[command], {written.name: file})
        check_written(PARAMS[command], {written.name: Path("/dev/null")})
    else:
        assert refused(file) == "'T/file' cannot be written: 'T/file' is not a folder"
        check_written(PARAMS[command], {written.name: tmp_path})
    if written.metavar == "FILE" and written.name != "checkpoint":
        reason = "there is no folder 'T/nosuch'"
        assert refused(missing) == f"'T/nosuch/x' cannot be written: {reason}"
    else:
        check_written(PARAMS[command], {written.name: missing})
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may everything
    place = tmp_path / "x"
    assert refused(place) == "'T/x' cannot be written: the folder 'T' is read-only"
    assert list(tmp_path.iterdir()) == [file]


def test_two_outputs(tmp_path: Path) -> None:
    params = PARAMS["retrain"]
    for path in (tmp_path / "z", tmp_path / "there"):
        if path.name == "there":
            path.touch()
        with pytest.raises(DataError, match=r"is written by this command twice \(--output\): give"):
            check_written(params, {"output": path, "checkpoint": path})
    check_written(params, {"output": path, "checkpoint": tmp_path / "z"})
    check_written(PARAMS["match"], {"output": tmp_path, "checkpoints": tmp_path})


def test_names_are_no_files(tmp_path: Path, monkeypatch) -> None:
    """A program may be called as its overlay, and examples may come from a device."""
    monkeypatch.chdir(tmp_path)
    Path("tiny4").touch()
    check_written(PARAMS["compile"], {"output": Path("tiny4"), "overlay": "tiny4"})
    check_written(PARAMS["report"], {"output": Path("/dev/null"), "data": Path("/dev/null")})
    with pytest.raises(DataError, match="--plan"):  # whose file may have any name
        check_written(PARAMS["compile"], {"output": Path("tiny4"), "plan": "tiny4"})


@pytest.mark.parametrize(
    "line",
    [
        "compile {model} --overlay tiny4 -o {model}",
        "report {model} --data {data} -o {data}",
        "tune {model} --data {data} --plan exact -o {model}",
        "tune {model} --data {data} --plan {plan} -o own.tflite",
        "retrain {model} --data {data} -o {new} --checkpoint {new}",
        "retrain {model} --data {data} -o nosuch/z.tflite",
        "noise {model} --data {data} -o .",
        "multipliers exact --characterise -o nosuch/x.json",
    ],
)
def test_commands_end_before_they_work(
    axynq, digits_path: Path, digits_data: Path, tmp_path: Path, monkeypatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    copies = {"model": tmp_path / "m.tflite", "data": tmp_path / "d.npz"}
    copies["model"].write_bytes(digits_path.read_bytes())
    copies["data"].write_bytes(digits_data.read_bytes())
    copies["plan"] = tmp_path / "own.plan.json"
    Plan.uniform("exact").save(copies["plan"])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = axynq(*line.format(new=tmp_path / "new", **copies).split())
    assert (code, out) == (1, "")
    assert "by this command" in err or "cannot be written" in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_links_to_files_that_are_not_there_yet(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nosuch" / "x")
    with pytest.raises(FileNotFoundError):
        files.check_writable(link)
    (tmp_path / "nosuch").mkdir()
    files.check_writable(link)
