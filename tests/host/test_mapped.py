# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Cells as Yosys describes them, read as a netlist: it computes what the cells do (UG953)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from axynq.emulator.errors import MultiplierError
from axynq.host.netlists.evaluate import net_values
from axynq.host.netlists.mapped import add_mapped
from axynq.host.netlists.netlist import Netlist

Bit = int | str


def cell(kind: str, out: dict[str, Bit], into: dict[str, Bit], init: int = 0) -> dict[str, Any]:
    """A cell in Yosys' JSON; pins of several bits are named as ``CO[0]``."""
    pins: dict[str, list[Bit]] = {}
    for name, bit in {**out, **into}.items():
        pins.setdefault(name.partition("[")[0], []).append(bit)
    ways = {name: "output" if name in {n.partition("[")[0] for n in out} else "input"
            for name in pins}  # fmt: skip
    return {"type": kind, "connections": pins, "port_directions": ways,
            "parameters": {"INIT": f"{init:b}"}}  # fmt: skip


def lut(inputs: list[Bit], table: int, output: Bit) -> dict[str, Any]:
    pins = {f"I{k}": bit for k, bit in enumerate(inputs)}
    return cell(f"LUT{len(inputs)}", {"O": output}, pins, table)


def carry4(select: list[Bit], data: list[Bit], sums: list[Bit], carries: list[Bit], first: Bit,
           behind: Bit = "0") -> dict[str, Any]:  # fmt: skip
    out = {f"O[{k}]": bit for k, bit in enumerate(sums)}
    out |= {f"CO[{k}]": bit for k, bit in enumerate(carries)}
    into = {f"S[{k}]": bit for k, bit in enumerate(select)}
    into |= {f"DI[{k}]": bit for k, bit in enumerate(data)}
    return cell("CARRY4", out, into | {"CYINIT": first, "CI": behind})


def computed(cells: list[dict[str, Any]], inputs: int, outputs: list[Bit]) -> np.ndarray:
    """[2 ** inputs, outputs]: for every setting of the bits 2, 3, …, which are the inputs."""
    made = Netlist("made")
    nets = made.input("x", inputs)
    module = {
        "cells": {str(k): each for k, each in enumerate(cells)},
        "ports": {"x": {"direction": "input", "bits": list(range(2, 2 + inputs))},
                  "y": {"direction": "output", "bits": outputs}},
    }  # fmt: skip
    found, _ = add_mapped(made, module, {"x": nets})
    values = net_values(made, {"x": np.arange(1 << inputs)})
    return np.stack([values[net] for net in found["y"]], axis=1)


def expected(inputs: int, of: Callable[..., tuple[int, ...]]) -> np.ndarray:
    settings = [[x >> k & 1 for k in range(inputs)] for x in range(1 << inputs)]
    return np.array([of(*bits) for bits in settings])


TABLE = 0xD1E2B48776543210
LOWER = TABLE & (1 << 32) - 1


def row(*bits: int) -> int:
    return sum(bit << k for k, bit in enumerate(bits))


@pytest.mark.parametrize("pins", ["O6", "O5", "both", "high"])
def test_a_lut_with_two_outputs(pins: str) -> None:
    sixth: Bit = "1" if pins == "high" else 7
    into = {f"I{k}": 2 + k for k in range(5)} | {"I5": sixth}
    out: dict[str, Bit] = {"O6": 20} if pins == "O6" else {"O5": 21}
    if pins in ("both", "high"):
        out |= {"O6": 20}
    made = computed([cell("LUT6_2", out, into, TABLE)], 6, sorted(out.values()))

    def of(*bits: int) -> tuple[int, ...]:
        whole = row(*bits[:5], 1 if pins == "high" else bits[5])
        both = {"O6": TABLE >> whole & 1, "O5": LOWER >> row(*bits[:5]) & 1}
        return tuple(both[name] for name in ("O6", "O5") if name in out)

    assert (made == expected(6, of)).all()


def test_multiplexers_and_inverters() -> None:
    cells = [
        cell("MUXF7", {"O": 10}, {"I0": 2, "I1": 3, "S": 4}),
        cell("MUXF8", {"O": 11}, {"I0": 3, "I1": 10, "S": 2}),
        cell("INV", {"O": 12}, {"I": 11}),
    ]

    def of(a: int, b: int, s: int) -> tuple[int, ...]:
        first = b if s else a
        second = first if a else b
        return first, second, 1 - second

    assert (computed(cells, 3, [10, 11, 12]) == expected(3, of)).all()


@pytest.mark.parametrize(
    ("kind", "pin", "of"),
    [
        ("FDRE", "R", lambda d, r: (d & ~r & 1,)),
        ("FDSE", "S", lambda d, s: (d | s,)),
    ],
)
def test_registers_that_logic_sets(kind: str, pin: str, of: Callable[..., tuple[int, ...]]) -> None:
    register = cell(kind, {"Q": 10}, {"D": 2, pin: 3, "CE": "1", "C": "0"})
    assert (computed([register], 2, [10]) == expected(2, of)).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (cell("FDCE", {"Q": 10}, {"D": 2, "CLR": 3, "CE": "1"}), "made has registers that are re"),
        (cell("FDPE", {"Q": 10}, {"D": 2, "PRE": 3, "CE": "1"}), "reset at any time: reset none"),
        (cell("DSP48E1", {"P": 10}, {"A": 2}), "made has a cell DSP48E1: only LUTs, carry chains"),
        (lut([2, 10], 0b0110, 10), "made computes in a loop"),
    ],
)
def test_what_is_no_netlist(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MultiplierError, match=message):
        computed([wrong], 2, [10])


def test_a_chain_that_depends_on_itself() -> None:
    """Its third bit adds what its first gave: it is cut before."""
    sums: list[Bit] = [10, 11, 12, 13]
    carries: list[Bit] = [20, 21, 22, 23]
    cells = [
        carry4([2, 3, 30, 5], [6, 6, 6, 6], sums, carries, "0"),
        lut([10, 4], 0b0110, 30),
    ]

    def of(s0: int, s1: int, s2: int, s3: int, data: int) -> tuple[int, ...]:
        made, carry = [], 0
        selects = [s0, s1, s2, s3]
        for k in range(4):
            select = selects[k] ^ made[0] if k == 2 else selects[k]
            made.append(select ^ carry)
            carry = carry if select else data
        return (*made, carry)

    assert (computed(cells, 5, [*sums, 23]) == expected(5, of)).all()
    loop = [carry4([10, 3, 4, 5], [6, 6, 6, 6], sums, carries, "0")]
    with pytest.raises(MultiplierError, match="made computes in a loop"):
        computed(loop, 5, sums)


def test_chains_of_several_blocks() -> None:
    """An addition of six bits; the carry between the blocks may be read besides."""
    sums: list[Bit] = list(range(40, 48))
    carries: list[Bit] = list(range(50, 58))
    xor = [lut([2 + k, 8 + k], 0b0110, 30 + k) for k in range(6)]
    blocks = [
        carry4([30, 31, 32, 33], [2, 3, 4, 5], sums[:4], carries[:4], "0"),
        carry4([34, 35, "0", "0"], [6, 7, "0", "0"], sums[4:], carries[4:], "0", 53),
    ]
    for outputs in ([*sums[:6], 55], [*sums[:6], 55, 53]):
        made = computed([*reversed(blocks), *xor], 12, outputs)
        a, b = np.arange(1 << 12) & 63, np.arange(1 << 12) >> 6
        assert ((made[:, :7] << np.arange(7)).sum(axis=1) == a + b).all()
        if len(outputs) == 8:
            assert (made[:, 7] == ((a & 15) + (b & 15) > 15)).all()
