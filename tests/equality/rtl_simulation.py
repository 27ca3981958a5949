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
from axynq.host.netlists.netlist import Netlist
from axynq.host.netlists.verilog import verilog
from axynq.host.netlists.yosys import CELL_MODELS, run_yosys

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
    # A bit is the number of its net, or a constant by its name.
    size = -(-PAIRS // 8)
    nets: dict[int | str, Bits] = {"0": np.zeros(size, np.uint8), "1": np.full(size, 255, np.uint8)}
    for name, port in module["ports"].items():
        if port["direction"] == "input":
            for place, net in enumerate(port["bits"]):
                nets[net] = np.packbits((operands[name] >> place & 1).astype(np.uint8))
    gates = {
        cell["connections"]["Y"][0]: cell
        for cell in module["cells"].values()
        if cell["type"] != "$scopeinfo"
    }
    output = module["ports"]["p"]["bits"]
    stack = list(output)
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
    value = np.zeros(PAIRS, np.int32)
    for place, net in enumerate(output):
        value |= np.unpackbits(nets[net], count=PAIRS).astype(np.int32) << place
    return value << 15 >> 15 if len(output) == 17 else value
