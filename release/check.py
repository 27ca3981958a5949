# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Checks the distributions as users meet them: ``make check-packaging``.

Both are built; a wheel that is built of the unpacked source distribution has the same bytes. For
each Python, the wheel is installed in a clean environment and tried there, and every extra is
resolved against the package index, without installing it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

from release.dist import ROOT, distributions

VERSIONS = ("3.10", "3.11", "3.12", "3.13")

CONSTRAINTS = ROOT / "constraints.txt"

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
"""Runs a network under two plans, compiles it, and imports nothing that is not installed."""


def interpreter(version: str) -> Path | None:
    """A Python of this machine, of pyenv or on the path; None where there is none that runs."""
    command = shutil.which(f"python{version}")
    kept = Path.home() / ".pyenv" / "versions"
    candidates = sorted(kept.glob(f"{version}.*/bin/python"))
    candidates += [Path(command)] if command else []
    return next((path for path in candidates if _version(path) == version), None)


def _version(python: Path) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    ran = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def rebuilt(source: Path, folder: Path) -> Path:
    """The wheel that anybody builds of a source distribution, at the times of its files."""
    with tarfile.open(source) as archive:
        newest = max(member.mtime for member in archive)
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(int(newest))}
    subprocess.run([*command, unpacked], check=True, capture_output=True, env=environment)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(python: Path, wheel: Path, folder: Path) -> Path:
    """A clean environment with the wheel and what it needs; its Python."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    inside = folder / "bin" / "python"
    command = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run(command, check=True)
    return inside


def size_of(folder: Path) -> float:
    """Megabytes of the files in a folder, bytecode left out."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return sum(path.stat().st_size for path in files) / 1e6


def try_out(python: Path, folder: Path, cache: Path | None = None) -> list[str]:
    """Use an installed axynq as its first user does.

    Args:
        python: of the environment.
        folder: to work in.
        cache: where compiled kernels are kept; default: where all are.

    Returns:
        What each command printed: the version, what doctor says, sums of outputs, errors of a
        multiplier.

    Raises:
        subprocess.CalledProcessError: something failed.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    if cache is not None:
        environment["AXYNQ_CACHE"] = str(cache)
    printed = []
    axynq = python.with_name("axynq")
    commands = ([axynq, "--version"], [axynq, "doctor"], [python, "-c", SCRIPT],
                [axynq, "multipliers", "roup:1,4"])  # fmt: skip
    for command in commands:
        ran = subprocess.run(
            command, cwd=folder, env=environment, check=True, capture_output=True, text=True
        )
        printed.append(ran.stdout)
    return printed


def extras_of(wheel: Path) -> list[str]:
    """The extras that a wheel has."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    return metadata.get_all("Provides-Extra") or []


def resolve(pip: Path, python: Path, wheel: Path, extra: str) -> str | None:
    """Why an extra cannot be had, or None; nothing is installed.

    Args:
        pip: a Python with a pip that takes metadata alone.
        python: of the environment that is asked.
    """
    wanted = f"axynq[{extra}] @ {wheel.resolve().as_uri()}"
    command = [pip, "-m", "pip", "--python", python, "install", "--dry-run", "--quiet",
               "--constraint", CONSTRAINTS, wanted]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode == 0:
        return None
    errors = [line for line in ran.stderr.splitlines() if line.startswith("ERROR:")]
    return (errors or ran.stderr.splitlines() or ["no reason"])[0].removeprefix("ERROR: ")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m release.check", description=__doc__)
    parser.add_argument("pythons", nargs="*", type=Path, metavar="PYTHON", help="default: all")
    parser.add_argument("--no-extras", action="store_true", help="leave the extras out")
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="axynq-check-") as work:
        folder = Path(work)
        source, wheel = distributions(ROOT, folder)
        (folder / "again").mkdir()
        same = rebuilt(source, folder / "again").read_bytes() == wheel.read_bytes()
        print(f"{wheel.name}: the source distribution builds {'the same' if same else 'ANOTHER'}")
        failed |= not same
        pip = folder / "pip" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder / "pip"], check=True)
        subprocess.run([pip, "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True)
        here = [path for path in map(interpreter, VERSIONS) if path is not None]
        for python in options.pythons or here:
            version = _version(python)
            environment = folder / version
            inside = install(python, wheel, environment)
            packages = environment / "lib" / f"python{version}" / "site-packages"
            tools = sum(size_of(path) for path in packages.glob("pip*"))
            tools += sum(size_of(path) for path in packages.glob("setuptools*"))
            own = size_of(packages / "axynq")
            try:
                said = try_out(inside, environment, folder / "cache")[0].strip()
            except subprocess.CalledProcessError as error:
                said, failed = f"FAILED: {error.cmd}: {error.stderr[-500:]}", True
            print(f"Python {version}: {said}; {size_of(packages) - tools:.0f} MB installed, "
                  f"{own:.1f} MB of them axynq", flush=True)  # fmt: skip
            for extra in [] if options.no_extras else extras_of(wheel):
                reason = resolve(pip, inside, wheel, extra)
                failed |= reason is not None
                print(f"  {extra:10} {reason or 'resolves'}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
