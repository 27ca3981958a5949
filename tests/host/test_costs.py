# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Costs of operators and of storage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from axynq.emulator.errors import AxynqError
from axynq.host.netlists.yosys import cells_of, synthesise
from axynq.host.synthesis import costs
from axynq.host.synthesis.costs import Cost, choose_cost, multiply_cost, operator_cost
from axynq.host.synthesis.storage import block_memory, channel, lut_memory

SHIPPED = Path(costs.__file__).with_name("costs.json")


def test_measured_widths_are_returned_as_measured() -> None:
    shipped = json.loads(SHIPPED.read_text())["costs"]
    for kind in costs.KINDS:
        for width, cells in shipped[kind].items():
            assert operator_cost(kind, int(width)) == Cost(*cells), (kind, width)


def test_between_them_costs_lie_between() -> None:
    assert operator_cost("add", 10).lut == 10  # of 9 and 12, which take 9 and 12
    assert operator_cost("select", 128).lut == 128  # beyond 64, on the line through 48 and 64
    narrow, wide = operator_cost("less", 32), operator_cost("less", 48)
    assert narrow.lut < operator_cost("less", 40).lut < wide.lut
    with pytest.raises(AxynqError, match="no operator 'sine'"):
        operator_cost("sine", 8)


def test_multiplexers_with_an_index() -> None:
    assert choose_cost(1, 32) == Cost()
    assert choose_cost(4, 1).lut == 1  # one LUT with six inputs
    assert choose_cost(16, 1).lut == 4  # four, joined by the slice's own multiplexers
    assert choose_cost(16, 32).lut == 128


def test_multiplications() -> None:
    assert multiply_cost(18, 25, 43, dsp=True).dsp == 1
    assert multiply_cost(19, 25, 44, dsp=True).dsp == 2
    assert multiply_cost(32, 32, 64, dsp=True).dsp == 4
    assert multiply_cost(32, 32, 32, dsp=True).dsp == 3
    small = multiply_cost(8, 8, 16, dsp=False)
    assert small.dsp == 0
    assert multiply_cost(4, 8, 12, dsp=False).lut == small.lut / 2


def test_memories() -> None:
    assert block_memory(36, 512).block_ram_36k == 0.5
    assert block_memory(72, 512).block_ram_36k == 1
    assert block_memory(8, 4096).block_ram_36k == 1
    assert block_memory(1, 16384).block_ram_36k == 0.5
    assert lut_memory(6, 32).lut == 4
    assert lut_memory(3, 64).lut == 4
    assert lut_memory(3, 128).lut == 8 + 3


def test_channels() -> None:
    """Large ones become block RAMs unless a pragma says otherwise."""
    assert channel(128, 16).block_ram_36k == 2
    assert channel(128, 16, "srl").block_ram_36k == 0
    assert channel(64, 16).block_ram_36k == 0
    assert channel(128, 2).block_ram_36k == 0
    assert channel(128, 2).flip_flop == 260


@pytest.mark.slow
def test_yosys_agrees_with_the_shipped_costs(tmp_path) -> None:
    modules = {
        f"{kind}__{width}": costs.KINDS[kind](f"{kind}__{width}", width)
        for kind, width in (
            *(("add", 32), ("less", 17), ("shift_left", 32), ("select", 9)),
            *(("divide_sequential", 4), ("divide_pipelined", 4)),
        )
    }
    for name, module in synthesise(modules, tmp_path).items():
        kind, width = name.split("__")
        cells, cost = cells_of(module), operator_cost(kind, int(width))
        assert cells.luts + cells.shift_luts == cost.lut, name
        assert cells.flip_flops == cost.flip_flop, name


@pytest.mark.thorough
def test_all_kinds_are_measured_as_shipped(tmp_path: Path, monkeypatch) -> None:
    """At one size of each; all take much longer."""
    for sizes, one in {"WIDTHS": 4, "DIVISION_WIDTHS": 4, "PIPELINED_WIDTHS": 4, "INPUTS": 4,
                       "SMALL_FACTORS": 4, "FACTORS": 12, "LOW_FACTORS": 32}.items():  # fmt: skip
        monkeypatch.setattr(costs, sizes, (one,))
    shipped = json.loads(SHIPPED.read_text())["costs"]
    measured = costs.measure(tmp_path)
    assert measured.keys() == shipped.keys()
    for kind, found in measured.items():
        assert found.items() <= shipped[kind].items(), kind
