# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Multipliers that are selected while a simulation runs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from axynq.emulator import multiplier
from axynq.emulator.errors import ModelError, PlanError, ToolError
from axynq.emulator.plan import Assignment, Plan
from axynq.hls4ml.selectable import SelectableDesign, products, selectable_layers
from axynq.hls4ml.settings import with_plan
from tests.hls4ml import trained
from tests.hls4ml.designs import LayerCase, Number, build, product, sums

SPECS = ["", "exact", "roup:1,4", "smapprox:2310", "roup:2,6"]
"""The first skips."""


def test_exact_products_of_all_that_are_exact() -> None:
    """Plans do not tell them apart, so designs must not either."""
    np.testing.assert_array_equal(products(multiplier("roup:0,0")), products(multiplier("exact")))


@pytest.mark.parametrize("spec", ["exact", "roup:1,4", "smapprox:2222"])
def test_products(spec: str) -> None:
    made = products(multiplier(spec))
    assert made.dtype == np.int32
    for w in (-128, -3, 0, 127):
        a = np.arange(-256, 256)
        np.testing.assert_array_equal(made[w + 128], product(spec, a, w))


def test_synthesis_refuses() -> None:
    header = resources.files("axynq.hls4ml") / "include" / "nnet_axynq_selectable.h"
    command = ["g++", "-fsyntax-only", "-x", "c++", "-", "-D__SYNTHESIS__"]
    told = subprocess.run(command, input=header.read_text(), capture_output=True, text=True)
    assert told.returncode != 0
    assert "convert the model with those that were chosen" in told.stderr


def test_what_cannot_have_multipliers(tmp_path: Path) -> None:
    layers = trained.perceptron()
    config = trained.configuration(layers)
    config["LayerName"]["hidden"]["Precision"] = trained.WEIGHTS | {"weight": "ap_fixed<16,6>"}
    able, left_out = selectable_layers(trained.converted(layers, config, tmp_path))
    assert [node.name for node in able] == ["classes"]
    assert "weights of 8 bits" in left_out["hidden"]
    config["LayerName"]["hidden_relu"]["Precision"] = {"result": "ap_ufixed<12,4>"}
    with pytest.raises(ModelError, match=r"no layer of the design(.|\n)*hidden(.|\n)*classes"):
        SelectableDesign(trained.converted(layers, config, tmp_path))


def test_other_designs(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="ModelGraph, not in a str"):
        SelectableDesign("design")
    design = build({"d": LayerCase("Dense", 2, 3)}, tmp_path, backend="Quartus")
    with pytest.raises(ModelError, match="Quartus has no multipliers"):
        SelectableDesign(design)


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    design = build({"d": LayerCase("Dense", 2, 3)}, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"needs g\+\+"):
        SelectableDesign(design)


def test_compiler_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'layer.h:7: error: it is broken' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    design = build({"d": LayerCase("Dense", 2, 3)}, tmp_path / "design")
    with pytest.raises(ToolError, match=r"cannot be compiled: layer.h:7: error: it is broken$"):
        SelectableDesign(design)


def cases(strategy: str) -> dict[str, LayerCase]:
    """A layer of each kind, with inputs of all types that multipliers take."""
    reuse = {"strategy": strategy, "reuse": 3 if strategy == "Resource" else 1}
    padded = {"size": (4, 5), "window": (3, 3), "padding": (1, 1, 1, 1)}
    return {
        "dense": LayerCase("Dense", 4, 6, data=Number(9, fraction=3), seed=1, **reuse),
        "conv": LayerCase("Conv2D", 3, 2, data=Number(8, signed=False), seed=2, **padded, **reuse),
        "line": LayerCase("Conv1D", 3, 2, (1, 7), (1, 3), seed=3, **reuse),
        "depth": LayerCase("DepthwiseConv2D", 3, 3, (5, 5), (3, 3), seed=4, **reuse),
    }  # fmt: skip


def shape(case: LayerCase) -> tuple[int, int, int, int]:
    one = 1 if "Depthwise" in case.kind else case.channels
    return case.filters, *case.window, one


def chosen(case: LayerCase, axis: str, seed: int) -> npt.NDArray[np.int64]:
    """The place in :data:`SPECS` of each weight's multiplier."""
    rng = np.random.default_rng(seed)
    if axis == "filter":
        return np.broadcast_to(rng.integers(1, 5, (case.filters, 1, 1, 1)), shape(case))
    return rng.integers(0, 5, shape(case))


def planned(codes: dict[str, npt.NDArray[np.int64]]) -> Plan:
    return Plan.from_codes({name: (SPECS[1:], each) for name, each in codes.items()})


def expected(given: dict[str, LayerCase], codes: dict[str, npt.NDArray[np.int64]]) -> Any:
    specs = np.array(SPECS, object)
    return {n: replace(case, specs=specs[codes[n]]).expected(4) for n, case in given.items()}


def assert_equal(a: Any, b: Any) -> None:
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize(
    ("io", "strategy"),
    [
        pytest.param("io_parallel", "Latency", marks=pytest.mark.slow),
        pytest.param("io_stream", "Resource", marks=pytest.mark.thorough),
        pytest.param("io_parallel", "Resource", marks=pytest.mark.thorough),
        pytest.param("io_stream", "Latency", marks=pytest.mark.thorough),
    ],
)
def test_equal_to_compiled_multipliers(io: str, strategy: str, tmp_path: Path) -> None:
    given = cases(strategy)
    codes = {name: chosen(case, "weight", 5) for name, case in given.items()}
    codes["conv"] = chosen(given["conv"], "filter", 6)
    design = build(given, tmp_path / "exact", io)
    config = with_plan(design.config.config["HLSConfig"], planned(codes))
    own = {n: replace(c, multipliers=config["Model"]["Multipliers"]["layers"][n])
           for n, c in given.items()}  # fmt: skip
    compiled = build(own, tmp_path / "own", io)
    compiled.compile()
    before = sums(given, compiled, 4)
    assert_equal(before, expected(given, codes))

    selectable = SelectableDesign(compiled)
    assert [layer.name for layer in selectable.network.layers] == list(given)
    assert not any(values.any() for values in _products_only(given, selectable).values())
    selectable.select(planned(codes))
    assert_equal(sums(given, selectable.simulation, 4), before)
    for spec in ("exact", "smapprox:2310"):
        selectable.select(Plan.uniform(spec))
        uniform = {n: np.full(shape(c), SPECS.index(spec)) for n, c in given.items()}
        assert_equal(sums(given, selectable.simulation, 4), expected(given, uniform))
    for axis, seed in (("filter", 7), ("weight", 8)):
        others = {name: chosen(case, axis, seed) for name, case in given.items()}
        selectable.select(planned(others))
        assert_equal(sums(given, selectable.simulation, 4), expected(given, others))
    # The design itself is what it was.
    assert_equal(sums(given, compiled, 4), before)
    assert not (tmp_path / "own/firmware/nnet_utils/nnet_axynq_selectable.h").exists()


def _products_only(given: dict[str, LayerCase], selectable: SelectableDesign) -> Any:
    made = sums(given, selectable.simulation, 4)
    return {name: made[name] - case.weights()["bias"] for name, case in given.items()}


@pytest.mark.thorough
def test_many_multipliers(tmp_path: Path) -> None:
    """More than there are codes, one set after the other; and too many at once."""
    case = LayerCase("Dense", 260, 1)
    both = {"a": case, "b": replace(case, seed=2)}
    selectable = SelectableDesign(build(both, tmp_path))
    every = [f"roup:0,{a}-{b}-{c}-0" for a in range(9) for b in range(8) for c in range(5)][:300]
    for specs in (every[:200], every[150:], every[:200]):
        assignment = _filter_by_filter(specs, case.filters)
        selectable.select(Plan(default=assignment))
        own = np.array([specs[k] for k in assignment.classes or ()], object)[:, None, None, None]
        want = {name: replace(each, specs=own).expected(3) for name, each in both.items()}
        assert_equal(sums(both, selectable.simulation, 3), want)
    a, b = (_filter_by_filter(specs, case.filters) for specs in (every[:150], every[150:]))
    with pytest.raises(PlanError, match="300 multipliers; 254 can be selected"):
        selectable.select(Plan({"a": a, "b": b}))


def _filter_by_filter(specs: list[str], filters: int) -> Assignment:
    return Assignment(tuple(specs), "filter", tuple(k % len(specs) for k in range(filters)))
