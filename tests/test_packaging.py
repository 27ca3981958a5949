# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The distributions: what is in them, the same bytes everywhere, installed in clean places."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, load_model
from axynq.emulator.version import source_version
from release import check
from release.dist import copy_sources, distributions

ROOT = Path(__file__).parents[1]

UNWANTED = ("tests/", "release/", "__pycache__", ".pyc", ".so", ".venv", ".hypothesis", "docs/")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy of the sources, which no other test writes to meanwhile."""
    copy = tmp_path_factory.mktemp("first") / "sources"
    left_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "site")
    return Path(shutil.copytree(ROOT, copy, ignore=left_out, symlinks=True))


@pytest.fixture(scope="module")
def built(sources: Path) -> tuple[Path, Path]:
    """Source distribution and wheel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1800000000")
        return distributions(sources, sources.parent / "dist")


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, Path]) -> Path:
    return built[1]


@pytest.mark.slow
def test_the_wheel_holds_everything(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    folders = {"emulator": "*.py", "host": "*.py", "hls": "*.[chp]*", "bitstreams": "*.toml"}
    folders |= {"models": "*.*"}
    for folder, pattern in folders.items():
        for path in (ROOT / folder).rglob(pattern):
            if "__pycache__" not in path.parts:
                assert f"axynq/{path.relative_to(ROOT).as_posix()}" in names, path
    for name in (
        "axynq/emulator/py.typed",
        "axynq/emulator/data/energy-characterised.json",
        "axynq/emulator/data/energy-published.json",
        "axynq/host/netlists/operands.npz",
        "axynq/hls/rtl/exact.v",
        "axynq/host/synthesis/include/ap_int.h",
        "axynq/hls/rtl/axynq_exact.json",
        "axynq/hls4ml/py.typed",
        "axynq/hls4ml/include/nnet_axynq.h",
        "axynq/host/py.typed",
        "axynq/host/generate/templates/overlay.hpp.j2",
        "axynq/bitstreams/tcl/design.tcl",
        "axynq/bitstreams/tcl/constraints.xdc",
        "axynq/bitstreams/golden/tiny4.npz",
        "axynq/hls/overlays/tiny4.toml",
        "axynq/hls/generated/tiny4/overlay.hwh",
        "axynq/models/digits_int8.tflite",
        "axynq/models/points/index.json",
        f"axynq-{source_version(ROOT)}.dist-info/licenses/LICENSE",
    ):
        assert name in names
    assert {name.split("/")[0] for name in names} == {
        "axynq",
        f"axynq-{source_version(ROOT)}.dist-info",
    }
    assert not [name for name in names if any(part in name for part in UNWANTED)]


@pytest.mark.slow
def test_the_source_distribution_holds_everything(built: tuple[Path, Path], sources: Path) -> None:
    with tarfile.open(built[0]) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    for name in ("CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml",
                 "constraints.txt", "models/points/index.json"):  # fmt: skip
        assert name in names
    assert not [name for name in names if any(part in name for part in UNWANTED)]
    for member in members:
        assert (member.uid, member.gid, member.uname, member.mtime) == (0, 0, "", 1800000000)
        assert member.mode in (0o644, 0o755)


@pytest.mark.thorough
def test_other_places_times_and_permissions_give_the_same_bytes(
    built: tuple[Path, Path], sources: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    elsewhere = tmp_path / "another place"
    copy_sources(sources, elsewhere)
    for path in elsewhere.rglob("*"):
        os.utime(path, (1_500_000_000, 1_500_000_000))
        path.chmod(path.stat().st_mode & 0o700)
    before = os.umask(0o077)
    try:
        again = distributions(elsewhere, tmp_path / "dist")
    finally:
        os.umask(before)
    for one, other in zip(built, again):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()
    # Whoever builds a wheel of the source distribution has the same.
    (tmp_path / "rebuilt").mkdir()
    assert check.rebuilt(built[0], tmp_path / "rebuilt").read_bytes() == built[1].read_bytes()


@pytest.mark.thorough
def test_the_wheel_runs_a_model_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    _installed_and_tried(Path(sys.executable), wheel, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("version", check.VERSIONS)
def test_every_python_that_is_here(wheel: Path, tmp_path: Path, version: str) -> None:
    python = check.interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    _installed_and_tried(python, wheel, tmp_path)


def _installed_and_tried(python: Path, wheel: Path, folder: Path) -> None:
    """In a clean environment, with the same numbers as here."""
    inside = check.install(python, wheel, folder / "env")
    version, doctor, sums, shown = check.try_out(inside, folder / "env")
    assert version == f"axynq {source_version(ROOT)}\n"
    assert "engine used" in doctor
    model = load_model(ROOT / "models" / "digits_int8.tflite")
    x = np.random.default_rng(0).integers(-128, 128, (4, 8, 8, 1)).astype(np.int8)
    expected = [
        str(Emulator(model, plan).run(x).sum())
        for plan in ("exact", "flam=exact|roup:1,4|smapprox:3330")
    ]
    assert sums.split() == expected
    assert "roup:1,4" in shown
