"""Estimates of an overlay's resources."""

from __future__ import annotations

import pytest

from axynq.host import Overlay
from axynq.host.netlists.blackbox import flip_flops
from axynq.host.netlists.designs import bank_netlist, configurable_netlist
from axynq.host.netlists.yosys import cells_of, synthesise
from axynq.host.synthesis.datapath import lane_verilog
from axynq.host.synthesis.estimate import LANE, estimate, memories


def test_memories_of_a_16_by_16_overlay() -> None:
    parts = {part.name: part for part in memories(Overlay.load("z2-mixed16"))}
    # 16 byte lanes, twice, 4096 x 8 bits: two halves of a block RAM each
    assert parts["input tiles"].block_ram_36k == 32
    assert parts["output tiles"].block_ram_36k == 16
    # 512 x 128 bits: four times 512 x 36
    assert parts["weights"].block_ram_36k == 32
    # one code bit for each of 16 inputs: 512 x 16 bits
    assert parts["codes"].block_ram_36k == 8
    assert parts["partial sums"].block_ram_36k == 8
    assert parts["constants"].block_ram_36k == 0
    assert parts["constants"].lut == 16 * 4 * 44


@pytest.mark.slow
def test_lanes_contain_their_banks(tmp_path) -> None:
    bank = ("exact", "roup:1,4")
    modules = {f"{LANE}_separate": lane_verilog(bank, False, 4)}
    modules[f"{LANE}_configurable"] = lane_verilog(bank, True, 4)
    for name, text in modules.items():
        modules[name] = text.replace(f"module {LANE} ", f"module {name} ")
    mapped = synthesise(modules, tmp_path)
    cores = bank_netlist(bank), configurable_netlist(bank)
    cells = [cells_of(module) for module in mapped.values()]
    around = [each.luts - 4 * core.resources()["LUT"] for each, core in zip(cells, cores)]
    assert around[0] == around[1] > 0
    assert all(each.dsps == 0 for each in cells)
    # registers before and behind four multipliers; the window, the tree of 18 and 19 bits whose
    # signs may be there twice, two sums
    for each, core in zip(cells, cores):
        rest = each.flip_flops - 4 * flip_flops(core)
        assert 4 * 9 + (2 * 17 + 18) + 64 <= rest <= 4 * 9 + (2 * 18 + 19) + 64


@pytest.mark.slow
def test_an_overlay(tmp_path) -> None:
    overlay = Overlay.load("tiny4")
    made = estimate(overlay, tmp_path)
    assert [part.instances for part in made.parts[:3]] == [3, 1, 2]
    assert made.available == overlay.board_description.resources.model_dump()
    assert made.total("dsp") > 0
    for resource in made.available:
        assert made.total(resource) == sum(getattr(part, resource) for part in made.parts)
