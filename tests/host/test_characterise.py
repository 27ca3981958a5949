# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Switching activity, and the energy figures made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan
from axynq.emulator.energy import SHIPPED, EnergyFigures, relative_energy
from axynq.emulator.errors import DataError, MultiplierError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import multiplier
from axynq.host.energy import energy_figures
from axynq.host.netlists import relative
from axynq.host.netlists.activity import activity, levels, loads
from axynq.host.netlists.characterise import (
    DEFAULT,
    characterise,
    default_stimuli,
    energy_file,
)
from axynq.host.netlists.designs import bank_netlist, configurable_netlist, netlist
from axynq.host.netlists.netlist import Netlist
from axynq.host.netlists.operands import recorded_operands, shipped_operands, uniform_operands
from axynq.host.netlists.relative import kept_relative_activity


def hazard() -> Netlist:
    """``x and not x``: always 0 in the end, 1 while the inverter has not followed a rise."""
    circuit = Netlist("hazard")
    (x,) = circuit.input("x", 1)
    inverse = circuit.lut(lambda v: 1 - v, x)
    circuit.output("y", [circuit.lut(lambda v, i: v & i, x, inverse)])
    return circuit


def test_activity_of_a_circuit_with_a_glitch() -> None:
    circuit = hazard()
    # x drives two pins, its inverse one, the result one output.
    assert sorted(loads(circuit).values()) == [1, 1, 2]
    assert levels(circuit) == 2
    # One rise and one fall in four steps: x counts 2 * 2, the inverse 2 * 1.
    measured = activity(circuit, {"x": np.array([[0, 1, 1, 0, 0]])})
    assert measured.zero_delay == 6 / 4
    # The rise makes the result pulse once: two changes more.
    assert measured.unit_delay == 8 / 4


def test_activity_of_a_carry_chain() -> None:
    """Adding 1 to 0111 changes every sum bit; without a LUT nothing arrives apart."""
    circuit = Netlist("increment")
    bits = circuit.input("x", 4)
    (one,) = circuit.input("one", 1)
    sums, _ = circuit.chain(bits, [0] * 4, one)
    circuit.output("y", sums)
    measured = activity(circuit, {"x": np.array([[7, 7]]), "one": np.array([[0, 1]])})
    # the carry-in's one pin, and four sums
    assert measured.zero_delay == measured.unit_delay == 5


@pytest.mark.parametrize("spec", ["exact", "roup:1,4", "smapprox:3330"])
def test_settled_activity_is_the_floor(spec: str) -> None:
    measured = activity(netlist(spec), uniform_operands(16).ports())
    assert 0 < measured.zero_delay < measured.unit_delay


def test_constant_operands_cost_nothing() -> None:
    held = {"a": np.full((1, 9), 100), "w": np.full((1, 9), -77)}
    measured = activity(netlist("exact"), held)
    assert measured.zero_delay == measured.unit_delay == 0


# --- operands ------------------------------------------------------------------------------------


def test_recorded_operands_are_the_networks_own(digits: graph.Model) -> None:
    x = np.random.default_rng(1).integers(-128, 128, (4, 8, 8, 1)).astype(np.int8)
    operands = recorded_operands(digits, x, "noise", streams=40, length=20, seed=3)
    assert operands.a.shape == operands.w.shape == (40, 20)
    tensors = Emulator(digits).tensors(x)
    activations = {0}
    for layer in digits.layers:
        zero_point = digits.tensors[layer.inputs[0]].zero_point
        activations |= set(np.unique(tensors[layer.inputs[0]].astype(int) - zero_point))
    weights = {int(w) for layer in digits.layers for w in np.unique(layer.kernel)}
    assert set(np.unique(operands.a)) <= activations
    assert set(np.unique(operands.w)) <= weights
    again = recorded_operands(digits, x, "noise", streams=40, length=20, seed=3)
    assert np.array_equal(operands.a, again.a)
    assert np.array_equal(operands.w, again.w)


def test_operands_need_layers_that_multiply(digits: graph.Model) -> None:
    two = (replace(digits.input, name="a"), replace(digits.input, name="b"))
    pooled = graph.Pool("pool", (0,), 1, "max", (1, 1), (1, 1))
    none = graph.Model("none", two, (pooled,), (0,), (1,))
    with pytest.raises(DataError, match="'none' has neither convolution nor fully connected"):
        recorded_operands(none, np.zeros((1, 8, 8, 1), np.int8), "nothing")


def test_banks_without_a_netlist(tmp_path: Path) -> None:
    with pytest.raises(MultiplierError, match="has two multipliers at least"):
        bank_netlist(["exact"])
    with pytest.raises(MultiplierError, match="a configurable cell is exact or ROUP"):
        configurable_netlist(["exact", "smapprox:3330"])
    np.save(tmp_path / "t.npy", np.outer(np.arange(256), np.arange(256)).astype(np.int64))
    with pytest.raises(MultiplierError, match="a netlist of a whole bank has no tables"):
        bank_netlist(["exact", f"table:{tmp_path}/t.npy"])


def test_stationary_weights() -> None:
    held = shipped_operands().stationary()
    assert (held.w == held.w[:, :1]).all()
    assert np.array_equal(held.a, shipped_operands().a)


# --- figures -------------------------------------------------------------------------------------


def test_shipped_figures_are_what_is_measured() -> None:
    figures = EnergyFigures()
    chosen = [
        spec for spec in DEFAULT if spec in ("exact", "roup:1,4", "roup:2,6", "smapprox:2222")
    ]
    for row in characterise(chosen, {"network": shipped_operands()}):
        known = figures.of(multiplier(row.spec))
        assert known is not None
        assert known.source == "characterised"
        assert known.relative == pytest.approx(row.relative["network"].zero_delay, abs=1e-4)
        glitching = EnergyFigures("characterised-glitches").of(multiplier(row.spec))
        assert glitching is not None
        assert glitching.relative == pytest.approx(row.relative["network"].unit_delay, abs=1e-4)
    exact = figures.of(multiplier("exact"))
    assert exact is not None
    assert exact.relative == 1


def test_perforation_and_rounding_save_energy() -> None:
    relative = {
        row.spec: row.relative["network"].zero_delay
        for row in characterise(
            ["exact", "roup:0,4", "roup:1,4", "roup:2,6"], {"network": shipped_operands()}
        )
    }
    assert list(relative.values()) == sorted(relative.values(), reverse=True)


def test_energy_files_are_read_back(tmp_path: Path) -> None:
    stimuli = {"uniform": default_stimuli()["uniform"]}
    rows = characterise(["exact", "roup:1,7"], stimuli)
    (tmp_path / "mine.json").write_text(energy_file(rows, stimuli), encoding="utf-8")
    known = EnergyFigures(tmp_path / "mine.json").of(multiplier("roup:1,7"))
    assert known is not None
    assert known.relative == pytest.approx(rows[1].relative["uniform"].zero_delay, abs=1e-4)


@pytest.mark.parametrize("source", ["characterised", "characterised-glitches"])
def test_missing_multipliers_are_measured_on_demand(source: str) -> None:
    m = multiplier("roup:0,5-1-2-3")
    assert not EnergyFigures(source).has(m)
    known = energy_figures(source, [m]).of(m)
    assert known is not None
    assert known.source == source


@pytest.mark.parametrize("glitches", [False, True])
def test_measurements_are_kept(glitches: bool, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path))
    (row,) = characterise(["roup:3,0-0-0-4"], {"network": shipped_operands()})
    measured = (
        row.relative["network"].unit_delay if glitches else row.relative["network"].zero_delay
    )
    assert kept_relative_activity("roup:3,0-0-0-4", glitches) == measured
    (kept,) = (tmp_path / "energies").iterdir()
    monkeypatch.setattr(relative, "_activity", None)  # nothing is measured again
    assert kept_relative_activity("roup:3,0-0-0-4", glitches) == measured
    with pytest.raises(TypeError):
        kept_relative_activity("roup:3,0-0-0-5", glitches)
    monkeypatch.undo()
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path))
    for damaged in ("", "{}", '{"relative": null}', '{"relative": -1}', '{"relative": NaN}', "[]"):
        kept.write_text(damaged, encoding="utf-8")
        assert kept_relative_activity("roup:3,0-0-0-4", glitches) == measured


def test_published_figures_and_tables(tmp_path: Path, digits: graph.Model) -> None:
    published = EnergyFigures("published").of(multiplier("smapprox:2222"))
    assert published is not None
    assert published.relative == 0.6308
    np.savez(tmp_path / "t.npz", mul8u_2AC=np.outer(range(256), range(256)).astype(np.uint16))
    for text in (
        f"{tmp_path}/t.npz#mul8u_2AC",
        f"{tmp_path}/t.npz",
        f'"{tmp_path}/t.npz",unsigned',
    ):
        table = multiplier(f"table:{text}")
        for source in SHIPPED:
            known = EnergyFigures(source).of(table)
            assert known is not None
            assert known.source == "evoapprox"
    plan = Plan.parse(digits, "llam=smapprox:2222")
    assert relative_energy(digits, plan, EnergyFigures("published")) == pytest.approx(0.6308)


def test_bad_energy_figures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="characterised, characterised-glitches, published"):
        EnergyFigures(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text(json.dumps({"format": "other"}), encoding="utf-8")
    with pytest.raises(DataError, match="not valid"):
        EnergyFigures(tmp_path / "bad.json")


def test_tables_cannot_be_characterised(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", y=np.outer(range(256), range(256)).astype(np.uint16))
    with pytest.raises(MultiplierError, match="data without a circuit"):
        characterise([f"table:{tmp_path / 't.npz'}#y"], default_stimuli())
