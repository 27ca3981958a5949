# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Simulates Verilog: Yosys reads it, with its models of the vendor's cells, down to AND and NOT
gates; those are evaluated for all operands at once, 8 pairs of operands a byte."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.multipliers import ACTIVATION_MAX, ACTIVATION_MIN, WEIGHT_MAX, WEIGHT_MIN
from axynq.emulator.yosys import CELL_MODELS, run_yosys
from axynq.host.netlists.netlist import Netlist
from axynq.host.netlists.verilog import verilog

PAIRS = (ACTIVATION_MAX - ACTIVATION_MIN + 1) * (WEIGHT_MAX - WEIGHT_MIN + 1)

Bits = npt.NDArray[np.uint8]
"""A net's value for every pair of operands, packed."""


def simulated_products(
    netlists: Sequence[Netlist], folder: Path, codes: int = 1, texts: Sequence[str] = ()
) -> npt.NDArray[np.int32]:
    """Products of every netlist under every code, int32 [codes, 511 * 256, netlists].

    Modules of magnitudes get the lowest eight bits of ``a``, and ``w`` without a sign; their
    products are 16 bits of the result. ``texts`` are Verilog to take instead of the netlists'.
    """
    sources = texts or [verilog(circuit) for circuit in netlists]
    (folder / "all.v").write_text("\n".join(sources), encoding="utf-8")
    names = [circuit.name for circuit in netlists]
    run_yosys(
        [
            f"read_verilog {CELL_MODELS}",
            "read_verilog all.v",
            *("hierarchy -check", "proc", "flatten", f"select {' '.join(names)}"),
            *("simplemap", "opt", "aigmap", "opt_clean", "write_json -selected gates.json"),
        ],
        folder,
    )
    modules = json.loads((folder / "gates.json").read_text(encoding="utf-8"))["modules"]
    a, w = np.meshgrid(
        np.arange(ACTIVATION_MIN, ACTIVATION_MAX + 1),
        np.arange(WEIGHT_MIN, WEIGHT_MAX + 1),
        indexing="ij",
    )
    products = np.zeros((codes, PAIRS, len(netlists)), np.int32)
    for code in range(codes):
        operands = {"a": a.reshape(-1), "w": w.reshape(-1), "code": np.full(PAIRS, code)}
        operands["b"] = operands["w"]
        for n, name in enumerate(names):
            products[code, :, n] = _evaluated(modules[name], operands)
    return products


def _evaluated(
    module: Mapping[str, Any], operands: Mapping[str, npt.NDArray[np.int64]]
) -> npt.NDArray[np.int32]:
    """The port ``p`` for all operands; 17 bits have a sign."""
    nets = _constants() | _inputs(module, operands)
    output = module["ports"]["p"]["bits"]
    _settle(module, nets, output)
    return _number(nets, output)


class Clocked:
    """A module with one clock, simulated for all operand pairs side by side: each pair has its own
    copy of the registers, which begin with arbitrary values."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        self._module = module
        self._registers = [
            cell["connections"] for cell in module["cells"].values() if "DFF" in cell["type"]
        ]
        kinds = {cell["type"] for cell in module["cells"].values()}
        unknown = kinds - {"$_AND_", "$_NOT_", "$_DFF_P_", "$scopeinfo"}
        assert not unknown, unknown
        rng = np.random.default_rng(3)
        size = -(-PAIRS // 8)
        self._state = {
            pins["Q"][0]: rng.integers(0, 256, size).astype(np.uint8) for pins in self._registers
        }

    def read(self, port: str) -> npt.NDArray[np.int32]:
        """A port that registers drive, int32 [511 * 256]."""
        return _number(_constants() | self._state, self._module["ports"][port]["bits"])

    def edge(self, **inputs: npt.ArrayLike) -> None:
        """A rising edge of the clock; every input but the clock has a value, or one per pair."""
        values = {
            name: np.broadcast_to(np.asarray(value, np.int64), PAIRS)
            for name, value in inputs.items()
        }
        nets = _constants() | self._state | _inputs(self._module, values)
        _settle(self._module, nets, [pins["D"][0] for pins in self._registers])
        self._state = {pins["Q"][0]: nets[pins["D"][0]] for pins in self._registers}


def clocked(modules: Mapping[str, str], folder: Path) -> dict[str, Clocked]:
    """Simulations of modules; their texts by their names, each with all that is inside."""
    (folder / "cells.v").write_text("\n".join(modules.values()), encoding="utf-8")
    run_yosys(
        [
            f"read_verilog {CELL_MODELS}",
            "read_verilog -overwrite cells.v",
            *("hierarchy -check", "proc", "flatten", f"select {' '.join(modules)}"),
            *("simplemap", "dfflegalize -cell $_DFF_P_ x", "opt_clean", "aigmap", "opt_clean"),
            "write_json -selected clocked.json",
        ],
        folder,
    )
    found = json.loads((folder / "clocked.json").read_text(encoding="utf-8"))["modules"]
    return {name: Clocked(found[name]) for name in modules}


Nets = dict[Any, Bits]
"""By number; constants by their names."""


def _constants() -> Nets:
    size = -(-PAIRS // 8)
    return {"0": np.zeros(size, np.uint8), "1": np.full(size, 255, np.uint8)}


def _inputs(module: Mapping[str, Any], values: Mapping[str, npt.NDArray[np.int64]]) -> Nets:
    nets: Nets = {}
    for name, port in module["ports"].items():
        if port["direction"] == "input" and name in values:
            for place, net in enumerate(port["bits"]):
                nets[net] = np.packbits((values[name] >> place & 1).astype(np.uint8))
    return nets


def _settle(module: Mapping[str, Any], nets: Nets, needed: Sequence[Any]) -> None:
    """Adds to ``nets`` those that are needed, and what they depend on."""
    gates = {
        cell["connections"]["Y"][0]: cell
        for cell in module["cells"].values()
        if "Y" in cell["connections"]
    }
    stack = list(needed)
    while stack:
        net = stack[-1]
        if net in nets:
            stack.pop()
            continue
        pins = gates[net]["connections"]
        sources = [pins[pin][0] for pin in ("A", "B") if pin in pins]
        missing = [source for source in sources if source not in nets]
        if missing:
            stack += missing
        elif gates[net]["type"] == "$_NOT_":
            nets[net] = ~nets[sources[0]]
        else:
            assert gates[net]["type"] == "$_AND_"
            nets[net] = nets[sources[0]] & nets[sources[1]]


def _number(nets: Nets, bits: Sequence[Any]) -> npt.NDArray[np.int32]:
    """Bits, lowest first, for every pair; 17 of them have a sign."""
    value = np.zeros(PAIRS, np.int32)
    for place, net in enumerate(bits):
        value |= np.unpackbits(nets[net], count=PAIRS).astype(np.int32) << place
    return value << 15 >> 15 if len(bits) == 17 else value
