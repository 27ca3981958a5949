# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The version is said once and the same everywhere, and files of other versions are read or clearly
refused. ``0.1/`` holds files that axynq 0.1 wrote."""

from __future__ import annotations

import json
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan, load_model
from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import AxynqError, DataError, OverlayError, ProgramError
from axynq.emulator.moved import EMULATOR
from axynq.emulator.studies.errors import load_statistics
from axynq.emulator.version import source_version
from axynq.host import Overlay, Program
from axynq.host.points import load_index
from axynq.host.runtime.manifest import Manifest
from tests.host.test_damaged_files import manifest

ROOT = Path(__file__).parents[2]
OLD = Path(__file__).with_name("0.1")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- the version ---------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere() -> None:
    version = source_version(ROOT)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    cited = re.search(r"^version: (.+)$", text_of("CITATION.cff"), re.MULTILINE)
    released = re.search(r"^date-released: (.+)$", text_of("CITATION.cff"), re.MULTILINE)
    assert cited is not None
    assert released is not None
    assert cited[1] == version
    headings = re.findall(r"^## (.+)$", text_of("CHANGELOG.md"), re.MULTILINE)
    assert f"{version} ({released[1]})" in [h for h in headings if h != "Unreleased"][:1]


def test_what_is_deprecated_is_told() -> None:
    """Names that go are in the table, with a version that is not yet reached."""
    page = text_of("docs/versions.md")
    ends = re.findall(r"^\| .+ \| \d+\.\d+ \| (\d+)\.(\d+) \| .+ \|$", page, re.MULTILINE)
    assert ends
    major, minor, _ = map(int, source_version(ROOT).split("."))
    assert all((int(a), int(b)) > (major, minor) for a, b in ends)
    assert "until 0.3" in text_of("emulator/moved.py")


@pytest.mark.parametrize("old", EMULATOR)
def test_old_names_work_with_a_warning(old: str) -> None:
    import importlib
    import sys

    name = f"axynq.emulator.{old}"
    sys.modules.pop(name, None)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = importlib.import_module(name)
    assert found is importlib.import_module(f"axynq.emulator.{EMULATOR[old]}")
    said = [str(w.message) for w in told if w.category is DeprecationWarning]
    assert any(f"'{name}' is called" in text and "version 0.3" in text for text in said)


# --- files of 0.1 --------------------------------------------------------------------------------


def test_plans_of_old_versions_give_the_same_results() -> None:
    model = load_model(ROOT / "models" / "digits_int8.tflite")
    x = np.random.default_rng(0).integers(-128, 128, (4, 8, 8, 1)).astype(np.int8)
    for name, total in (("plan.json", -4097), ("plan-channel.json", -4097)):
        assert Emulator(model, Plan.load(OLD / name)).run(x).sum(dtype=np.int64) == total


def test_data_of_old_versions_are_read() -> None:
    assert load_statistics(OLD / "statistics.npz").samples == 2
    assert EnergyFigures(OLD / "energy.json")


def test_programs_and_overlays_of_old_versions_are_refused() -> None:
    with pytest.raises(ProgramError, match="has format 1, this version of axynq reads 3: compile"):
        Program.load(OLD / "program.axp")
    with pytest.raises(OverlayError, match="map_words|input_words"):
        Overlay.load(OLD / "tiny4.toml")


# --- files of later versions ---------------------------------------------------------------------


def plan_file(path: Path) -> None:
    Plan.uniform("exact").save(path)


def energy_file(path: Path) -> None:
    path.write_text((OLD / "energy.json").read_text())


def index_file(path: Path) -> None:
    path.write_text(text_of("models/points/index.json"))


@pytest.mark.parametrize(
    ("name", "make", "load"),
    [
        ("plan.json", plan_file, Plan.load),
        ("energy.json", energy_file, EnergyFigures),
        ("manifest.json", manifest, Manifest.load),
        ("index.json", index_file, lambda path: load_index(path.parent)),
    ],
)
def test_files_of_later_versions_are_refused(
    tmp_path: Path, name: str, make: Callable[[Path], None], load: Callable[[Path], object]
) -> None:
    path = tmp_path / name
    make(path)
    load(path)
    content = json.loads(path.read_text())
    # A later version has fields that nobody knows yet.
    path.write_text(json.dumps(content | {"version": 2, "new": [{"deep": {"deeper": 1}}]}))
    with pytest.raises(AxynqError) as caught:
        load(path)
    assert "it has version 2 of its format, this version of axynq reads 1" in str(caught.value)


def test_statistics_of_later_versions_are_refused(tmp_path: Path) -> None:
    with np.load(OLD / "statistics.npz") as old:
        arrays = {name: old[name] for name in old}
    description = json.loads(str(arrays["description"])) | {"version": 2}
    path = tmp_path / "s.npz"
    np.savez(path, **(arrays | {"description": np.array(json.dumps(description))}))
    with pytest.raises(DataError, match="it has version 2 of its format"):
        load_statistics(path)


def test_programs_of_later_versions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.axp"
    path.write_bytes(b"AXYNQ\0" + struct.pack("<H", 4) + bytes(100))
    with pytest.raises(ProgramError, match="has format 4, this version of axynq reads 3"):
        Program.load(path)
