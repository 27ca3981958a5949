"""The wheel, installed where nothing else is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SCRIPT = """
import sys
import numpy as np
from importlib import resources
from axynq.emulator import Emulator, load_model
from axynq.emulator.errors import ToolError
from axynq.host import Accelerator, Program, compile_program

with resources.as_file(resources.files("axynq.models") / "digits_int8.tflite") as path:
    model = load_model(path)
x = np.random.default_rng(0).integers(-128, 128, (4, 8, 8, 1)).astype(np.int8)
for plan in ("exact", "flam=exact|roup:1,4|smapprox:3330"):
    print(Emulator(model, plan).run(x).sum())
compile_program(model, "exact", "z2-mixed16").save("p.axp")
assert Program.load("p.axp").overlay == "z2-mixed16"
try:
    Accelerator("tiny4", device="software")
except ToolError as error:
    assert "needs pynq" in str(error)
else:
    raise AssertionError("pynq is not installed here")
heavy = {"torch", "hls4ml", "pynq", "sklearn", "matplotlib", "tflite_runtime"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Of a copy, which no other test writes to meanwhile; through a source distribution, so that
    # nothing comes from a build folder left over; with the setuptools of this environment, which
    # saves two more.
    left_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    sources = shutil.copytree(ROOT, folder / "sources", ignore=left_out, symlinks=True)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, sources]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (found,) = folder.glob("*.whl")
    return found


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
        "axynq/host/py.typed",
        "axynq/host/generate/templates/overlay.hpp.j2",
        "axynq/bitstreams/tcl/design.tcl",
        "axynq/bitstreams/tcl/constraints.xdc",
        "axynq/bitstreams/golden/tiny4.npz",
        "axynq/hls/overlays/tiny4.toml",
        "axynq/hls/generated/tiny4/overlay.hwh",
        "axynq/models/digits_int8.tflite",
    ):
        assert name in names
    assert not [name for name in names if name.startswith(("tests", "axynq/tests"))]


@pytest.mark.slow
def test_the_wheel_runs_a_model_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    ran = subprocess.run(
        [str(python), "-c", SCRIPT], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ran.returncode == 0, ran.stderr
    # the same numbers as here
    from axynq.emulator import Emulator, load_model

    model = load_model(ROOT / "models" / "digits_int8.tflite")
    import numpy as np

    x = np.random.default_rng(0).integers(-128, 128, (4, 8, 8, 1)).astype(np.int8)
    expected = [
        str(Emulator(model, plan).run(x).sum())
        for plan in ("exact", "flam=exact|roup:1,4|smapprox:3330")
    ]
    assert ran.stdout.split() == expected
    command = str(tmp_path / "env" / "bin" / "axynq")
    shown = subprocess.run([command, "multipliers"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "smapprox:1100" in shown.stdout
