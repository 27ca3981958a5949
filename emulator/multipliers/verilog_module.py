# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Verilog modules that multiply: which ports are which, and all their products.

Yosys (the extra ``rtl``) makes gates of a module; those are evaluated on all operands. What ports
do not say, a file beside the Verilog does, ``FILE.v.toml``, with a table for each module::

    [my_mul]
    activation = "x"     # ports; the other operand is the weight
    weight = "y"
    product = "z"
    signed = false
    clock = "clk"        # for a module with registers
    enable = "ce"
    reset = "rst"        # held inactive
    latency = 2          # edges from operands to product
    table = "my.npz#t"   # products that have to be the same
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from axynq.emulator import files, toml
from axynq.emulator.errors import MultiplierError, ToolError
from axynq.emulator.multipliers.base import ACTIVATION_MAX, ACTIVATION_MIN, WEIGHT_MAX, WEIGHT_MIN
from axynq.emulator.multipliers.circuit import VerilogPorts
from axynq.emulator.multipliers.gates import Gates, read_gates
from axynq.emulator.multipliers.specification import Argument
from axynq.emulator.validation import complaint
from axynq.emulator.yosys import CELL_MODELS, cached_modules, has_yosys

MAX_LATENCY = 64
PRODUCT_WIDTHS = range(1, 33)

_CLOCKS = ("clk", "clock", "aclk", "ap_clk", "clk_i")
_ENABLES = ("ce", "en", "enable", "clken", "ap_ce", "clk_en")
_RESETS = ("rst", "reset", "ap_rst", "rst_n", "resetn", "reset_n", "aresetn", "areset_n")
_ACTIVATIONS = ("a", "activation")
_WEIGHTS = ("b", "w", "weight")


class Sidecar(BaseModel):
    """What a file beside the Verilog says of a module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    activation: str | None = None
    weight: str | None = None
    product: str | None = None
    signed: bool | None = None
    clock: str | None = None
    enable: str | None = None
    reset: str | None = None
    latency: Annotated[int, Field(ge=0, le=MAX_LATENCY)] | None = None
    table: str | None = None


@dataclass(frozen=True)
class VerilogModule:
    """A module with all its products."""

    name: str
    ports: VerilogPorts
    widths: tuple[int, int, int]
    """Bits of both operands and of the product."""
    activation: Argument | None
    """The operand that its name, or the file beside it, says; None: neither does."""
    signed: bool | None
    """What the file beside it or the ports say."""
    latency: int
    gates: Gates
    text: str
    products: npt.NDArray[np.int64]
    """Of two operands of 8 bits: [first, second] by their bytes, as unsigned integers. Of an
    activation of 9 bits and a weight of 8: [activation + 255, weight + 128], signed."""
    table: str | None
    """A table that is to be the same: ``FILE#NAME``, relative to the Verilog's folder."""

    @property
    def nine_bits(self) -> bool:
        """Whether it multiplies the activation and the weight themselves."""
        return sorted(self.widths[:2]) == [8, 9]


def read_verilog(path: Path, name: str) -> VerilogModule:
    """A module of a Verilog file.

    Args:
        path: the file, which includes no others.
        name: the module; may be empty where the file has only one, or one of its own name.

    Raises:
        MultiplierError: there is no such module, or it is no multiplier as described.
        ToolError: Yosys is not installed.
    """
    try:
        text = files.read_bytes(path).decode(errors="replace")
    except OSError as error:
        raise MultiplierError(f"'{path}' cannot be read: {error.strerror}") from error
    if "`include" in text:
        raise MultiplierError(f"'{path}' includes another file: put all modules into one")
    return _read(text, str(path), name, read_sidecars(path))


def read_sidecars(path: Path) -> tuple[tuple[str, Sidecar], ...]:
    """What the file beside a Verilog file says, by module; nothing where there is none.

    Raises:
        MultiplierError: it cannot be read, or says what is not known.
    """
    beside = path.with_name(path.name + ".toml")
    if not files.is_file(beside):
        return ()
    try:
        values = toml.tables(files.read_text(beside))
        return tuple((name, Sidecar.model_validate(each)) for name, each in values.items())
    except ValidationError as error:
        raise MultiplierError(f"'{beside}' is not valid: {complaint(error)}") from error
    except (OSError, ValueError) as error:
        raise MultiplierError(f"'{beside}' cannot be read: {error}") from error


@lru_cache(maxsize=64)
def _read(
    text: str, what: str, name: str, sidecars: tuple[tuple[str, Sidecar], ...]
) -> VerilogModule:
    """The same from the content of the files."""
    shown = f"'{what}'"
    try:
        modules = cached_modules({"module.v": text}, ["read_verilog module.v", "proc"])
        if not name and len(modules) == 1:
            name = next(iter(modules))
        elif not name and Path(what).stem in modules:
            name = Path(what).stem
        if name not in modules:
            raise MultiplierError(
                f"{shown} has no module '{name or 'name'}'; it has: {', '.join(modules) or 'none'}"
            )
        unknown = sorted({module for module, _ in sidecars} - set(modules))
        if unknown:
            raise MultiplierError(f"the file beside {shown} names {unknown[0]}, which it lacks")
        shown += f", module {name}"
        side = dict(sidecars).get(name, Sidecar())
        ports, activation, declared = _ports(modules[name], side, shown)
        widths = _widths(modules[name], ports)
        _check_widths(widths, side, shown)
        latency = _latency(ports, side, shown)
        gates = _gates(text, name, ports, widths, shown)
    except ToolError as error:
        if not has_yosys():
            raise
        raise MultiplierError(f"{shown} cannot be read as Verilog: {error}") from error
    return VerilogModule(
        name,
        ports,
        widths,
        activation,
        declared if side.signed is None else side.signed,
        latency,
        gates,
        text,
        _products(gates, widths),
        side.table,
    )


def _widths(module: Mapping[str, Any], ports: VerilogPorts) -> tuple[int, int, int]:
    first, second, product = (
        len(module["ports"][port]["bits"]) for port in (*ports.operands, ports.product)
    )
    return first, second, product


def _ports(
    module: Mapping[str, Any], side: Sidecar, what: str
) -> tuple[VerilogPorts, Argument | None, bool | None]:
    """What each port is for, which operand is the activation, and whether ports are signed."""
    inputs, outputs = (
        {n: p for n, p in module["ports"].items() if p["direction"] == direction}
        for direction in ("input", "output")
    )
    given = {
        side.activation: inputs,
        side.weight: inputs,
        side.clock: inputs,
        side.enable: inputs,
        side.reset: inputs,
        side.product: outputs,
    }
    for port, known in given.items():
        if port is not None and port not in known:
            raise MultiplierError(f"{what} has no port '{port}', which the file beside it names")
    clock, enable, reset = (
        named or next((port for port in inputs if port.lower() in usual), None)
        for named, usual in (
            (side.clock, _CLOCKS),
            (side.enable, _ENABLES),
            (side.reset, _RESETS),
        )
    )
    rest = [port for port in inputs if port not in (clock, enable, reset)]
    if len(rest) != 2 or (side.product is None and len(outputs) != 1):
        raise MultiplierError(
            f"{what} is to have two operands and one product, besides clk, ce and rst; it has the "
            f"inputs {', '.join(inputs) or 'none'} and the outputs {', '.join(outputs) or 'none'}: "
            "name them in FILE.v.toml beside it"
        )
    first, second = rest
    activation = _activation(first, second, side, what)
    bits = [len(inputs[port]["bits"]) for port in rest]
    if sorted(bits) == [8, 9]:
        activation = "first" if bits[0] == 9 else "second"
        if side.activation not in (None, rest[bits.index(9)]):
            raise MultiplierError(f"{what}: the activation is the operand of 9 bits")
    signs = [bool(int(inputs[port].get("signed", 0))) for port in rest]
    if signs[0] != signs[1]:
        raise MultiplierError(
            f"{what} takes one signed and one unsigned operand; both must be alike"
        )
    product = side.product or next(iter(outputs))
    return VerilogPorts((first, second), product, clock, enable, reset), activation, (
        True if signs[0] else None
    )  # fmt: skip


def _activation(first: str, second: str, side: Sidecar, what: str) -> Argument | None:
    """The operand that names say is the activation."""
    if side.activation is not None or side.weight is not None:
        if side.activation in (None, first) and side.weight in (None, second):
            return "first"
        if side.activation in (None, second) and side.weight in (None, first):
            return "second"
        raise MultiplierError(f"{what}: activation and weight are {first} and {second}")
    if first.lower() in _ACTIVATIONS and second.lower() in _WEIGHTS:
        return "first"
    if second.lower() in _ACTIVATIONS and first.lower() in _WEIGHTS:
        return "second"
    return None


def _check_widths(widths: tuple[int, int, int], side: Sidecar, what: str) -> None:
    first, second, product = widths
    if sorted((first, second)) not in ([8, 8], [8, 9]):
        raise MultiplierError(
            f"{what} multiplies {first} by {second} bits: operands are 8 by 8 bits, or an "
            "activation of 9 bits and a weight of 8, in two's complement"
        )
    if product not in PRODUCT_WIDTHS:
        raise MultiplierError(f"{what} has products of {product} bits; 1 to 32 are possible")
    if 9 in widths[:2] and side.signed is False:
        raise MultiplierError(f"{what}: an activation of 9 bits is signed")


def _latency(ports: VerilogPorts, side: Sidecar, what: str) -> int:
    """Edges of the clock from operands to product."""
    if ports.clock is None:
        if side.latency:
            raise MultiplierError(f"{what} has a latency but no clock: name its port")
        return 0
    if side.latency is None:
        raise MultiplierError(
            f"{what} has a clock: say in FILE.v.toml beside it how many edges products take, "
            "with latency = …"
        )
    if side.latency and ports.enable is None:
        raise MultiplierError(
            f"{what} has registers but no enable, without which the array cannot wait: give it a "
            "port ce that holds all of them"
        )
    return side.latency


def instance(name: str, ports: VerilogPorts, connections: Mapping[str, str]) -> str:
    """A module's instance in Verilog, with its reset held inactive.

    Args:
        name: the module.
        ports: its ports.
        connections: expressions by port, but for the reset.
    """
    tied = {port: f"1'b{value}" for port, value in ports.tied.items()}
    pins = ", ".join(f".{port}({value})" for port, value in {**connections, **tied}.items())
    return f"{name} core ({pins});"


def _gates(
    text: str, name: str, ports: VerilogPorts, widths: tuple[int, int, int], what: str
) -> Gates:
    """The module always enabled, never reset, and without its registers."""
    connections = dict(zip((*ports.operands, ports.product), ("first", "second", "product")))
    clock = ""
    if ports.clock is not None:
        connections[ports.clock], clock = "clock", "input clock, "
    if ports.enable is not None:
        connections[ports.enable] = "1'b1"
    top = (
        f"module axynq_multiplier ({clock}input [{widths[0] - 1}:0] first, "
        f"input [{widths[1] - 1}:0] second, output [{widths[2] - 1}:0] product);\n"
        f"  {instance(name, ports, connections)}\nendmodule\n"
    )
    modules = cached_modules(
        {"module.v": text, "top.v": top},
        [
            f"read_verilog {CELL_MODELS}",
            "read_verilog -overwrite module.v",
            *("read_verilog top.v", "hierarchy -check -top axynq_multiplier", "proc", "flatten"),
            *(
                "memory",
                "opt -full",
                "techmap",
                "opt -full",
                "async2sync",
                "dfflegalize -cell $_DFF_?_ 01",
            ),
            *("opt_clean -purge", "simplemap", "opt_clean -purge"),
        ],
    )
    return read_gates(modules["axynq_multiplier"], what)


def _products(gates: Gates, widths: tuple[int, int, int]) -> npt.NDArray[np.int64]:
    """All of them; see :attr:`VerilogModule.products`."""
    if 9 not in widths[:2]:
        values = np.arange(256, dtype=np.int64)
        made = gates.evaluated(first=np.repeat(values, 256), second=np.tile(values, 256))
        return made["product"].reshape(256, 256)
    a = np.arange(ACTIVATION_MIN, ACTIVATION_MAX + 1, dtype=np.int64)
    w = np.arange(WEIGHT_MIN, WEIGHT_MAX + 1, dtype=np.int64)
    pairs = np.repeat(a, w.size), np.tile(w, a.size)
    first, second = pairs if widths[0] == 9 else pairs[::-1]
    products = gates.evaluated(first=first, second=second)["product"].reshape(a.size, w.size)
    edge = 1 << widths[2] - 1
    return (products ^ edge) - edge
