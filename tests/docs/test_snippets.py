# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Python in the documents runs, on the digits network in place of a user's."""

from __future__ import annotations

import ast
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan
from tests.docs.documents import DOCUMENTS, ROOT, Document, document

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)


@every_document
def test_snippets_compile(document: Document) -> None:
    for block in document.blocks("python", "py"):
        compile(block, document.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(-128, 128, (3, 8, 8, 1)).astype(np.int8)


def run(name: str, number: int, replaced: dict[str, str], names: dict[str, object]) -> None:
    block = document(name).blocks("python")[number]
    for old, new in replaced.items():
        assert old in block, f"{name} says nothing of {old}"
        block = block.replace(old, new)
    exec(compile(block, name, "exec"), names)


def test_the_readme(digits_path: Path, images: np.ndarray) -> None:
    names: dict[str, object] = {"images": images}
    run("README.md", 0, {"model.tflite": str(digits_path), "z2-mixed16": "tiny4"}, names)
    assert len(names["expected"]) == len(images)  # type: ignore[arg-type]


def test_the_python_reference(digits_path: Path, images: np.ndarray) -> None:
    names: dict[str, object] = {"images": images}
    run("docs/api/emulator.md", 0, {"model.tflite": str(digits_path)}, names)
    run("docs/api/host.md", 0, {"z2-mixed16": "tiny4"}, names)
    expected = Emulator(names["model"], "roup:1,4").run(images)  # type: ignore[arg-type]
    assert np.array_equal(names["outputs"], expected)  # type: ignore[arg-type]


def test_the_emulator(digits, images: np.ndarray) -> None:
    names: dict[str, object] = {
        "Emulator": Emulator,
        "model": digits,
        "plan": Plan.parse(digits, "roup:1,4"),
        "x": images,
    }
    run("docs/emulator.md", 0, {}, names)
    run("docs/emulator.md", 1, {}, names)
    assert names["product"].shape == names["larger"].shape == (5, 2, 2, 3)  # type: ignore[attr-defined]


def test_tflite(digits_path: Path, images: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"x": images}
    run("docs/tflite.md", 0, {"model.tflite": str(digits_path)}, names)
    assert len(names["y"]) == len(images)  # type: ignore[arg-type]
    assert capsys.readouterr().out.startswith("conv_0 [")


def test_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(ROOT / "models" / "digits_int8.tflite")
    run("docs/plans.md", 0, {"models/digits_int8.tflite": path}, {})
    energy, product = map(float, capsys.readouterr().out.split())
    assert f"# {energy:.3f}: {100 * energy:.1f} %" in document("docs/plans.md").text
    assert f"# {product:.0f}; the exact product is 3700" in document("docs/plans.md").text


def test_the_error_model(digits, images: np.ndarray, tmp_path: Path) -> None:
    from axynq.emulator.studies.errors import extract, save_statistics

    path = tmp_path / "errors.npz"
    save_statistics(extract(digits, "smapprox:2222", images), path)
    layer, (output, _) = next(iter(Emulator(digits, "exact").accumulators(images).items()))
    names: dict[str, object] = {"output": output, "numpy": np}
    run("docs/retraining.md", 0, {"errors.npz": str(path), "conv_1": layer}, names)
    assert names["approximate"].shape == output.shape  # type: ignore[attr-defined]


def test_the_split(tmp_path: Path) -> None:
    from axynq.emulator import save_model
    from axynq.emulator.model import graph
    from tests.hybrid_networks import Network

    network = Network((4, 6, 4), seed=0)
    x = network.convolution(0, 8)
    larger = network.new((8, 12, 8), *network.quantisation(x))
    network.add(graph.ResizeNearest, (x,), larger, False, False)
    model = network.model(x, network.convolution(larger, 3))
    save_model(model, tmp_path / "detector.tflite")
    names: dict[str, object] = {}
    path = str(tmp_path / "detector.tflite")
    run("docs/hybrid.md", 0, {"detector.tflite": path, "z2-roup16": "tiny4"}, names)
    images = names["images"]
    for one, other in zip(
        names["outputs"],  # type: ignore[call-overload]
        Emulator(names["model"], "roup:1,4").run(images),  # type: ignore[arg-type]
        strict=True,
    ):
        assert np.array_equal(one, other)


@pytest.mark.slow
def test_getting_started(
    digits_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The walk: test images, the commands, and the same in Python."""
    pytest.importorskip("sklearn")
    pytest.importorskip("pynq")
    shutil.copy(digits_path, tmp_path / "digits_int8.tflite")
    monkeypatch.chdir(tmp_path)
    page = "docs/getting-started.md"
    run(page, 0, {}, {})
    for line in document(page).commands("axynq"):
        words = shlex.split(line)
        if words[1] != "doctor":
            assert app_ends(words[1:]) == 0, f"{line}: {capsys.readouterr().err}"
    capsys.readouterr()
    run(page, 1, {}, {})
    assert 0.9 < float(capsys.readouterr().out) <= 1


def app_ends(arguments: list[str]) -> int:
    """The exit code of ``axynq`` with these arguments."""
    from axynq.host.cli.ending import run as command

    return command(arguments)
