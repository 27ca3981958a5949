# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What is written into hls4ml's projects."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import axynq.hls4ml
from axynq.emulator import multiplier
from axynq.emulator.errors import ModelError, PlanError
from axynq.hls4ml.layers import as_network, weighted_nodes
from axynq.hls4ml.project import functors
from axynq.host.netlists.files import rtl_files
from tests.hls4ml.designs import LayerCase, Number, build, product, random_case, sums
from tests.own_multipliers import c_gates

SPECS = ["roup:1,4", "exact", "smapprox:3330", "roup:2,6"]
DENSE = LayerCase(
    "Dense", 4, 6, multipliers=SPECS, specs=np.array(SPECS, object)[:, None, None, None]
)


def test_functors_are_those_of_the_accelerator() -> None:
    text = functors([multiplier("roup:1,4")])
    for name in ("roup", "smapprox", "exact"):
        source = Path("hls/include/axynq/multipliers", f"{name}.hpp").read_text()
        body = source.split("namespace axynq {", 1)[1]
        assert body in text
    assert '#include "axynq/multipliers' not in text


def test_a_project(tmp_path: Path) -> None:
    model = build({"x": DENSE}, tmp_path)
    model.config.config["WriterConfig"]["WriteTar"] = True
    model.write()
    firmware = tmp_path / "firmware"
    parameters = (firmware / "parameters.h").read_text()
    assert '#include "nnet_utils/nnet_axynq.h"' in parameters
    assert "codes[] = {0, 1, 2, 3};" in parameters
    assert "typedef config2_multipliers multipliers;" in parameters
    with tarfile.open(f"{tmp_path}.tar.gz") as archive:
        assert any(name.endswith("nnet_axynq.h") for name in archive.getnames())


@pytest.mark.parametrize("backend", ["Vitis", "VivadoAccelerator"])
def test_netlists_in_place_of_functors(tmp_path: Path, backend: str) -> None:
    """Functors stay in the simulation. For a PYNQ-Z2, hls4ml's board flow is around it."""
    model = build({"x": DENSE}, tmp_path, "io_stream", backend)
    model.config.config["HLSConfig"]["Model"]["MultiplierNetlists"] = True
    model.write()
    script = (tmp_path / "build_prj.tcl").read_text()
    boxes = re.findall(r"^add_files -blackbox (\S+)$", script, re.MULTILINE)
    assert len(boxes) == 4
    for box in boxes:
        content = json.loads((tmp_path / box).read_text())
        for file in content["rtl_files"]:
            assert Path(file).is_file()
        call = f"::{content['c_function_name']}(a, w)"
        assert call in (tmp_path / "firmware" / "nnet_utils" / "axynq_multipliers.h").read_text()
    if backend == "VivadoAccelerator":
        assert "xc7z020clg400-1" in (tmp_path / "project.tcl").read_text()
        assert "processing_system7" in (tmp_path / "design.tcl").read_text()
        assert (tmp_path / "axi_stream_driver.py").is_file()


def test_no_netlists_where_everything_is_skipped(tmp_path: Path) -> None:
    nothing = {"multipliers": ["exact"], "axis": "filter", "classes": [-1] * 4}
    model = build({"x": replace(DENSE, multipliers=nothing)}, tmp_path)
    model.config.config["HLSConfig"]["Model"]["MultiplierNetlists"] = True
    model.write()
    assert "-blackbox" not in (tmp_path / "build_prj.tcl").read_text()


def two_layers(folder: Path) -> Any:
    """One dense layer behind another, with other multipliers."""
    from hls4ml.model.graph import ModelGraph
    from hls4ml.utils.config import create_config

    first = replace(DENSE, data=Number(8), multipliers="roup:1,4")
    second = replace(first, filters=3, channels=4, multipliers="smapprox:3330")
    config = create_config(output_dir=str(folder), backend="Vitis", io_type="io_parallel")
    names = {**first.config("first"), **second.config("second")}
    names["first"]["Precision"]["result"] = "ap_int<8>"
    config["HLSConfig"] = {"Model": {"Precision": "ap_int<32>", "ReuseFactor": 1},
                           "LayerName": names}  # fmt: skip
    layers = [
        {"name": "first_in", "class_name": "Input", "input_shape": [6]},
        first.description("first"),
        {**second.description("second"), "inputs": ["first"]},
    ]
    return ModelGraph.from_layer_list(config, layers, inputs=["first_in"], outputs=["second"])


def test_parts_of_a_design(tmp_path: Path) -> None:
    """Designs that hls4ml splits keep their multipliers."""
    from hls4ml.model.graph import to_multi_model_graph

    whole = axynq.hls4ml.report(two_layers(tmp_path))
    parts = to_multi_model_graph(two_layers(tmp_path), ["second"])
    parts.write()
    for number, spec in ((1, "roup<"), (2, "smapprox<")):
        firmware = tmp_path / f"graph{number}" / "firmware"
        assert f"bank<axynq::{spec}" in (firmware / "parameters.h").read_text()
        assert (firmware / "nnet_utils" / "axynq_multipliers.h").is_file()
    assert axynq.hls4ml.report(parts) == whole
    with pytest.raises(ModelError, match="not of a str"):
        axynq.hls4ml.report("design")


@pytest.mark.thorough
def test_parts_of_a_design_compute_the_same(tmp_path: Path) -> None:
    from hls4ml.model.graph import to_multi_model_graph

    x = np.random.default_rng(0).integers(-128, 128, (50, 6)).astype(np.float32)
    designs = [two_layers(tmp_path / "whole"), two_layers(tmp_path / "split")]
    designs[1] = to_multi_model_graph(designs[1], ["second"])
    made = []
    for design in designs:
        design.compile()
        made.append(design.predict(x))
    np.testing.assert_array_equal(*made)


def simulate_functors(model: Any) -> None:
    """Compile what is synthesised, in place of the tables that stand for it in simulations."""
    model.write()
    script = Path(model.config.get_output_dir(), "build_lib.sh")
    script.write_text(
        re.sub(r'^CFLAGS="-O3', 'CFLAGS="-O1 -DAXYNQ_FUNCTORS', script.read_text(), flags=re.M)
    )
    model._compile()


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend", ["Vitis", pytest.param("VivadoAccelerator", marks=pytest.mark.thorough)]
)
def test_what_is_synthesised(tmp_path: Path, backend: str) -> None:
    rng = np.random.default_rng(5)
    streams = backend == "VivadoAccelerator"
    cases = {"x": replace(DENSE)} if streams else {}
    cases |= {} if streams else {f"layer{k}": random_case(rng, streams) for k in range(5)}
    io = "io_stream" if streams else "io_parallel"
    model = build(cases, tmp_path, io, backend)
    simulate_functors(model)
    given = sums(cases, model, 20)
    for name, case in cases.items():
        np.testing.assert_array_equal(given[name], case.expected(20), f"{name}: {case}")


@pytest.mark.slow
def test_own_multipliers(tmp_path: Path) -> None:
    """A C function of gates; and one whose products with zero are not zero."""
    (tmp_path / "own.c").write_text(c_gates("mul8u_own"))
    (tmp_path / "odd.c").write_text(c_gates("mul8u_odd", constant=0))
    specs = [f"table:{tmp_path}/{name}.c#mul8u_{name}" for name in ("own", "odd")]
    both = [specs[0], specs[1], "exact", specs[1]]
    case = replace(DENSE, multipliers=both, specs=np.array(both, object)[:, None, None, None])
    seeds = [replace(case, seed=seed) for seed in range(200)]
    odd = {each.seed: each.weights()["weight"][..., 1::2] for each in seeds}
    refused = next(each for each in seeds if -128 in odd[each.seed])
    with pytest.raises(PlanError, match="has no products of -128"):
        build({"x": refused}, tmp_path / "refused")
    case = next(each for each in seeds if -128 not in odd[each.seed] and 0 in odd[each.seed])
    model = build({"x": case}, tmp_path / "made")
    model.compile()
    np.testing.assert_array_equal(sums({"x": case}, model, 50)["x"], case.expected(50))
    assert product(specs[1], np.array([5]), 0) != 0  # the case is what it says


def test_the_report(tmp_path: Path) -> None:
    """Multipliers by the strategies, counted by hand."""
    conv = LayerCase("Conv2D", 4, 3, (6, 5), (3, 2), multipliers="roup:1,4", reuse=2)
    cases = {
        "one": replace(DENSE, reuse=3, strategy="Resource"),
        "two": replace(DENSE, reuse=12, strategy="Resource"),
        "own": replace(DENSE, multipliers=None),
        "conv": conv,
        "skips": replace(DENSE, multipliers={"multipliers": ["exact"], "axis": "filter",
                                             "classes": [0, -1, 0, -1]}),
    }  # fmt: skip
    model = build(cases, tmp_path)
    report = model.multiplier_report()
    one, two, own, conv2d, skips = report.layers
    # Eight multipliers for 24 products, two for each filter.
    assert one.multipliers == dict.fromkeys(SPECS, 2)
    assert (one.dsps, one.dsps_saved) == (2, 6)
    # Two multipliers, each for two filters: both designs are there.
    assert two.multipliers == dict.fromkeys(SPECS, 1)
    assert (two.dsps, two.dsps_saved) == (1, 1)
    assert (own.dsps, own.dsps_saved, own.luts) == (24, 0, 0)
    assert conv2d.multiplications == 4 * 4 * 72
    assert conv2d.multipliers == {"roup:1,4": 36}  # two cycles for a window
    assert skips.multipliers == {"exact": 12}
    assert skips.relative_energy == 0.5
    assert own.relative_energy == 1
    assert sum(layer.luts for layer in report.layers) == report.luts > 0
    lines = str(report).splitlines()
    assert len(lines) == 7
    assert len({len(line) for line in lines}) == 1
    # With netlists, exact multipliers beside approximate ones are netlists too.
    model.config.config["HLSConfig"]["Model"]["MultiplierNetlists"] = True
    built = model.multiplier_report().layers
    assert (built[0].dsps, built[0].dsps_saved) == (0, 8)
    assert built[0].luts - one.luts == 2 * rtl_files("exact").resources["LUT"] > 0
    assert built[2] == own
    network = as_network(weighted_nodes(model))
    assert [layer.name for layer in network.layers] == [layer.name for layer in report.layers]
