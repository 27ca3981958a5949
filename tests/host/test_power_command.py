# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq power`` on the software board, with a fake sysfs tree as its sensor."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import multiplier
from axynq.emulator.energy import EnergyFigures
from axynq.emulator.model import graph
from axynq.host import Accelerator, Overlay, compile_program
from axynq.host.power.estimate import DSP_PAIRS, estimate
from tests.host.test_cli import json_of
from tests.overlays import write_overlay

SHORT = ("--device", "software", "--seconds", 0.15, "--idle", 0.15, "--warm-up", 0, "--batch", 2,
         "--rate", 200)  # fmt: skip


@pytest.fixture
def programs(digits: graph.Model, tmp_path: Path) -> list[Path]:
    paths = []
    for name, plan in (("exact", "exact"), ("cheap", "roup:1,4")):
        paths.append(tmp_path / f"{name}.axp")
        compile_program(digits, plan, "tiny4").save(paths[-1])
    return paths


@pytest.fixture
def sensor(tmp_path: Path) -> str:
    chip = tmp_path / "sys" / "hwmon0"
    chip.mkdir(parents=True)
    (chip / "name").write_text("ina260\n")
    (chip / "power1_input").write_text("1600000\n")
    return f"hwmon:{chip.parent}"


def test_power(axynq, programs, sensor: str, tmp_path: Path, digits_path, digits_data) -> None:
    folder = tmp_path / "log"
    arguments = ["power", *programs, "--sensor", sensor, *SHORT, "--rounds", 2, "--output", folder,
                 "--baseline", digits_path, "--data", digits_data]  # fmt: skip
    content = json_of(axynq(*arguments, "--json"))
    assert [r["contender"] for r in content["results"]] == ["exact", "cheap", "processor (TFLite)"]
    for result in content["results"]:
        # A steady 1.6 W: nothing above idle, and each inference costs its time.
        assert result["net_joules"]["mean"] == pytest.approx(0.0, abs=1e-12)
        assert result["watts"]["mean"] == pytest.approx(1.6)
        assert result["joules"]["mean"] == pytest.approx(1.6 * result["seconds"]["mean"])
        assert result["joules"]["runs"] + result["runs_left_out"] == 2
    assert json.loads((folder / "results.json").read_text())["measured"] is True
    assert (folder / "power.png").read_bytes().startswith(b"\x89PNG")
    with open(folder / "slots.csv") as file:
        assert [row["contender"] for row in csv.DictReader(file)][1::2] == [
            "exact", "cheap", "processor (TFLite)", "processor (TFLite)", "cheap", "exact",
        ]  # fmt: skip
    # nothing is left to be run: the same figures again
    assert json_of(axynq(*arguments, "--json"))["results"] == content["results"]
    code, out, _ = axynq(*arguments)
    assert code == 0
    assert "mean and 95 % interval" in out


def test_an_estimate_is_called_one(axynq, programs, tmp_path: Path) -> None:
    content = json_of(axynq("power", *programs, "--sensor", "estimate", "--json"))
    assert content["measured"] is False
    exact, cheap = content["contenders"]["exact"], content["contenders"]["cheap"]
    relative = EnergyFigures().of(multiplier("roup:1,4"))
    assert relative is not None
    assert cheap["multiplications"] == pytest.approx(
        relative.relative * exact["multiplications"], rel=1e-4
    )
    assert exact["joules"] == exact["multiplications"] + exact["memory"]
    code, out, _ = axynq("power", *programs, "--sensor", "estimate")
    assert code == 0
    assert "ESTIMATE" in out
    assert "nothing was measured" in out
    code, out, err = axynq("power", *programs, "--sensor", "estimate", "-o", tmp_path / "pw")
    assert (code, out) == (2, "")
    assert "--sensor estimate writes nothing: leave out --output" in err


def test_what_an_estimate_does_not_know_of_dsp_blocks_is_said(
    axynq, digits: graph.Model, tmp_path: Path
) -> None:
    path = tmp_path / "digits.axp"
    lanes = [(2, ["exact"], "dsp pair"), (2, ["exact"], "separate")]
    pairs = write_overlay(tmp_path, "pairs", lanes=lanes)
    own = ("--overlay", tmp_path / "pairs.toml")
    for overlay, named in ((pairs, own), (Overlay.load("tiny4"), ())):
        compile_program(digits, "exact", overlay).save(path)
        content = json_of(axynq("power", path, "--sensor", "estimate", *named, "--json"))
        notes = content["contenders"]["digits"]["notes"]
        assert notes == ([DSP_PAIRS] if overlay is pairs else [])
        code, out, _ = axynq("power", path, "--sensor", "estimate", *named)
        assert code == 0
        assert ("digits: multiplications in DSP blocks" in out) == (overlay is pairs)


def test_programs_for_another_overlay_than_the_one_named(
    axynq, digits: graph.Model, tmp_path: Path
) -> None:
    path = tmp_path / "digits.axp"
    compile_program(digits, "exact", Overlay.load("tiny4")).save(path)
    write_overlay(tmp_path)
    code, _, err = axynq("power", path, "--sensor", "estimate", "--overlay", tmp_path / "mine.toml")
    assert code == 1
    assert "compiled for another overlay than 'mine'" in err


def test_skipped_weights_cost_nothing(digits: graph.Model) -> None:
    overlay = Overlay.load("tiny4")
    full = estimate(compile_program(digits, "exact", overlay), overlay, 16)
    less = estimate(compile_program(digits, "exact+klms=1", overlay), overlay, 16)
    assert less.multiplications < full.multiplications


def test_an_external_meter(axynq, programs, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    arguments = ["power", programs[0], "--sensor", "none", *SHORT, "--rounds", 2,
                 "--output", folder]  # fmt: skip
    code, _, err = axynq(*arguments)
    assert code == 0
    assert "--meter-csv" in " ".join(err.split())
    with open(folder / "slots.csv") as file:
        slots = list(csv.DictReader(file))
    begin, end = float(slots[0]["wall"]), float(slots[-1]["wall"]) + 1
    rows = [f"{t:.4f},{2.0}" for t in np.arange(begin - 1, end, 0.01)]
    record = tmp_path / "meter.csv"
    record.write_text("t,W\n" + "\n".join(rows) + "\n")
    content = json_of(axynq(*arguments, "--meter-csv", record, "--meter-time", "t",
                            "--meter-power", "W", "--json"))  # fmt: skip
    (result,) = content["results"]
    assert result["rail"] == "meter.csv"
    assert result["watts"]["mean"] == pytest.approx(2.0)
    assert result["joules"]["runs"] == 2
    # As a spreadsheet writes it where commas are decimal signs.
    lines = [row.replace(".", ",").replace(",2,0", ";2,000") for row in rows]
    record.write_text("a meter\n\nZeit;Leistung (µW)\n" + "\n".join(lines), encoding="latin-1")
    told = (*arguments, "--meter-csv", record, "--meter-time", "Zeit", "--meter-power",
            "Leistung (µW)", "--meter-encoding", "latin-1", "--json")  # fmt: skip
    code, out, err = axynq(*told)
    assert (code, out) == (1, "")
    assert "'2,000' may be 2.000 or 2000: --meter-decimal says whether point or comma" in err
    (result,) = json_of(axynq(*told, "--meter-decimal", "comma"))["results"]
    assert result["watts"]["mean"] == pytest.approx(2e-6)
    (result,) = json_of(axynq(*told, "--meter-decimal", "comma", "--meter-unit", "W"))["results"]
    assert result["watts"]["mean"] == pytest.approx(2.0)


def test_a_rail_without_a_reading(axynq, programs, sensor: str, tmp_path: Path) -> None:
    (tmp_path / "sys" / "hwmon0" / "power2_input").write_text("N/A\n")
    arguments = ["power", programs[0], *SHORT, "--rounds", 1, "--output", tmp_path / "log"]
    code, out, err = axynq(*arguments, "--sensor", sensor, "--json")
    assert code == 0
    assert [result["rail"] for result in json.loads(out)["results"]] == ["ina260 power1"]
    assert "going on without rail 'ina260 power2': power sensor" in " ".join(err.split())
    alone = tmp_path / "sys" / "hwmon0" / "power2_input"
    code, _, err = axynq(*arguments[:-1], tmp_path / "log2", "--sensor", f"hwmon:{alone}")
    assert code == 1
    assert "gives no number, but 'N/A'" in " ".join(err.split())


@pytest.mark.slow
def test_interrupted(axynq, programs, sensor, tmp_path: Path, monkeypatch) -> None:
    """Ctrl-C in the middle: what was measured is shown, the board's memory is free, and the same
    command goes on."""
    boards = []
    opened = Accelerator.__init__

    def open_(self, *arguments, **options) -> None:
        opened(self, *arguments, **options)
        boards.append(self.device)

    monkeypatch.setattr(Accelerator, "__init__", open_)
    folder = tmp_path / "log"
    arguments = ["power", *programs, "--sensor", sensor, *SHORT, "--rounds", 6, "--output", folder]

    def interrupt() -> None:
        while not (folder / "slots.csv").exists() or len(
            (folder / "slots.csv").read_text().splitlines()
        ) < 8:  # fmt: skip
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    code, out, err = axynq(*arguments, "--json")
    sender.join()
    assert code == 130
    partial = json.loads(out)
    assert partial["partial"] is True
    assert 3 <= partial["runs"] < 12
    assert "rerun the command to resume from slot" in err
    assert not boards[0].memory.allocations
    assert not [t for t in threading.enumerate() if t.name == "power sampler"]
    content = json_of(axynq(*arguments, "--json"))
    assert content["partial"] is False
    assert content["runs"] == 12


def test_a_full_disk(axynq, programs, sensor, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "slots.csv").symlink_to("/dev/full")
    code, _, err = axynq("power", programs[0], "--sensor", sensor, *SHORT, "--rounds", 1,
                         "--output", folder)  # fmt: skip
    assert code == 1
    assert "No space left" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("--sensor", "hwmon:/proc"), "has no power sensor"),
        (("--meter-csv", "gone.csv"), "no such file"),
        (("--baseline", "gone.tflite"), "model 'gone.tflite' cannot be read"),
        (("--device", "auto"), "not a PYNQ board"),
        (("--output", "/proc/nowhere"), "cannot be written"),
    ],
)
def test_errors_are_one_line(
    axynq, programs, sensor, tmp_path: Path, monkeypatch, change, reason
) -> None:
    monkeypatch.chdir(tmp_path)
    sensors = [] if "--sensor" in change else ["--sensor", sensor]
    code, out, err = axynq("power", *programs, *sensors, *SHORT, "--rounds", 1, *change)
    assert code == 1
    assert out == ""
    assert err.startswith("error: ")
    assert reason in " ".join(err.split())


def test_programs_of_two_overlays(axynq, programs, digits: graph.Model, tmp_path: Path) -> None:
    other = tmp_path / "other.axp"
    compile_program(digits, "exact", "z2-mixed16").save(other)
    code, _, err = axynq("power", programs[0], other)
    assert code == 1
    assert "different overlays" in err


def test_no_matplotlib(axynq, programs, sensor, tmp_path: Path, monkeypatch) -> None:
    """The figures do not depend on the picture."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, err = axynq("power", programs[0], "--sensor", sensor, *SHORT, "--rounds", 1,
                         "--output", tmp_path / "log")  # fmt: skip
    assert code == 0
    assert "no picture" in err
    assert (tmp_path / "log" / "results.json").is_file()
