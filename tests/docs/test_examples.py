"""Examples, benchmarks and notebooks begin: they load what they need and print their help.

What they compute takes minutes to hours; the parts they are made of have tests of their own.
"""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.docs.documents import ROOT

SCRIPTS = sorted(
    path
    for folder in ("examples", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "__name__" in path.read_text(encoding="utf-8")
)
NOTEBOOKS = sorted((ROOT / "examples").rglob("*.ipynb"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch):
    """Modules that lie beside a script are loaded for it alone."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    folders = (ROOT / "examples", ROOT / "benchmarks")
    for module in set(sys.modules) - before:
        file = getattr(sys.modules[module], "__file__", None)
        if file and any(Path(file).is_relative_to(folder) for folder in folders):
            del sys.modules[module]


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_scripts_print_their_help(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.path.insert(0, str(path.parent))
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    assert end.value.code == 0
    assert "usage" in capsys.readouterr().out.lower()


def cells(path: Path) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in content["cells"] if c["cell_type"] == "code"]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, marks=pytest.mark.slow if path.name == "hls4ml.ipynb" else (), id=name(path)
        )
        for path in NOTEBOOKS
    ],
)
def test_notebooks_load_what_exists(path: Path) -> None:
    source = "\n".join(re.sub(r"^!.*", "pass", cell, flags=re.MULTILINE) for cell in cells(path))
    imports = [
        node
        for node in ast.walk(ast.parse(source, name(path)))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert imports
    exec(compile(ast.Module(imports, []), name(path), "exec"), {})


def test_commands_of_notebooks_parse() -> None:
    from tests.docs.test_commands import parse

    lines = [line for path in NOTEBOOKS for cell in cells(path) for line in cell.splitlines()]
    commands = [line.removeprefix("!").split(" > ")[0] for line in lines if line.startswith("!")]
    assert commands
    for command in commands:
        parse(command)


def test_commands_of_shell_scripts_parse() -> None:
    from tests.docs.test_commands import parse

    for path in (ROOT / "examples").rglob("*.sh"):
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        options = r"(?:explore|match).*"
        found = re.findall(rf"^ *axynq ({options})$", text, re.MULTILINE)
        assert found, name(path)
        calls = re.findall(r"^search (\S+)(.*)$", text, re.MULTILINE)
        for line in found:
            for called, more in calls:
                line = line.replace('"$@"', more).replace("$name", called)
                parse("axynq " + re.sub(r'"\$\{\w+:-(\w+)\}"', r"\1", line))


SMALL = {
    "exploration.ipynb": {
        "--levels layer,filter --evaluations 96 --finalists 8 --weights second-order": (
            "--levels layer --evaluations 4 --population 4 --finalists 1"
        ),
        "--limit 1000": "--limit 10",
        "x[:64]": "x[:2]",
    },
    "hls4ml.ipynb": {
        "epochs=30": "epochs=2",
        "max_loss=0.05": "max_loss=1",
        "population=24, evaluations=192": "population=4, evaluations=4",
        "loss=0.01": "loss=1",
    },
    "retraining.ipynb": {
        "batch=64": "batch=8",
        'keep="last"': 'keep="last", validation=8',
        "x_test[:256]": "x_test[:2]",
        "x_test[:500]": "x_test[:20]",
    },
}
"""What is made smaller. Each must be there, so that a change of the notebook is seen."""

NEEDED = {
    "exploration.ipynb": ("IPython", "PIL", "torch", "pynq", "pymoo"),
    "hls4ml.ipynb": ("IPython", "hls4ml", "keras", "matplotlib", "pymoo", "sklearn", "torch"),
    "retraining.ipynb": ("IPython", "PIL", "torch", "pynq", "pymoo"),
}
"""Packages."""

RUN = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in json.load(open(sys.argv[1])):
    shell.run_cell(cell).raise_error()
"""


def write_noise(data: Path) -> None:
    """A few images in place of CIFAR-10."""
    from PIL import Image

    rng = np.random.default_rng(0)
    with tarfile.open(data / "cifar10-jpeg.tar.xz", "w:xz", preset=0) as archive:
        for part, count in (("train", 5), ("test", 2)):
            for label in range(10):
                folder = data / part / f"class{label}"
                folder.mkdir(parents=True)
                for index in range(count):
                    pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"{index}.png")
            archive.add(data / part, part)


@pytest.mark.thorough
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    """On noise where it wants CIFAR-10: whether it runs, not what comes out."""
    for needed in NEEDED[path.name]:
        pytest.importorskip(needed)
    sources = cells(path)
    if any("cifar10" in cell for cell in sources):
        write_noise(tmp_path)
    for old, new in SMALL[path.name].items():
        assert any(old in cell for cell in sources), old
        sources = [cell.replace(old, new) for cell in sources]
    (tmp_path / "cells.json").write_text(json.dumps(sources))
    environment = os.environ | {
        "AXYNQ_DATA": str(tmp_path),
        "MPLBACKEND": "agg",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-c", RUN, "cells.json"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    logs = "".join(log.read_text() for log in (tmp_path / "build").rglob("*.txt"))
    assert ran.returncode == 0, ran.stdout + ran.stderr + logs
    assert "all equal to the emulator's" in ran.stdout
