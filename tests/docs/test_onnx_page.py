# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What docs/onnx.md shows runs, one block after another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from axynq.emulator import Emulator, load_model
from axynq.host import Program
from tests.docs.documents import ROOT, document
from tests.emulator.onnx_networks import Array, Network

PAGE = "docs/onnx.md"


def float_network(path: Path) -> None:
    rng = np.random.default_rng(4)

    def reals(*sizes: int) -> Array:
        return (rng.normal(size=sizes) * (2 / np.prod(sizes[1:])) ** 0.5).astype(np.float32)

    net = Network((1, 3, 12, 12))
    net.add("Conv", "x0", reals(6, 3, 3, 3), reals(6, 1)[:, 0], pads=[1] * 4)
    net.add("Relu", net.last)
    net.add("MaxPool", net.last, kernel_shape=[2, 2], strides=[2, 2])
    net.add("Flatten", net.last)
    net.add("Gemm", net.last, reals(5, 216), reals(5, 1)[:, 0], transB=1)
    proto = net.proto()
    for node in proto.graph.node:
        node.input[:] = ["x" if name == "x0" else name for name in node.input]
    proto.graph.input[0].name = "x"
    onnx.save(proto, path)


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    float_network(tmp_path / "float.onnx")
    x = np.random.default_rng(0).normal(size=(24, 3, 12, 12)).astype(np.float32)
    read, make, quantise = document(PAGE).blocks("python")
    names: dict[str, Any] = {"x": x}
    exec(compile(make, PAGE, "exec"), names)
    exec(compile(read, PAGE, "exec"), names)
    assert names["y"].shape == (24, 5)
    exec(compile(quantise, PAGE, "exec"), names)
    written = load_model("int8.tflite")
    last = x.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(Emulator(written).run(last), Emulator(names["model"]).run(last))
    assert Program.load("program.axp").overlay == "z2-roup16"


def test_the_table() -> None:
    results = json.loads((ROOT / "benchmarks/onnx/results.json").read_text(encoding="utf-8"))
    (table,) = document(PAGE).tables("How results compare with onnxruntime's")
    networks = results["networks"]
    assert len(table) - 1 == 4 * len(networks)

    def percent(share: float) -> str:
        return f"{100 * share:.2f} %"

    for network, form, differ, largest, agree, ours, theirs, before in table[1:]:
        figures = networks[network]
        run = figures[form]["optimised"]
        assert differ == percent(run["outputs_that_differ"])
        assert largest == str(run["largest_difference"])
        assert agree == percent(run["classes_that_agree"])
        assert ours == percent(figures[form]["accuracy"])
        assert theirs == percent(run["accuracy"])
        assert before == percent(figures["float_accuracy"])
