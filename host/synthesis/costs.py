# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What an operator costs in the 7 series: measured with Yosys, one operator of one width at a time.

An operator stands alone here, with all its operands variable. In a design, neighbours share LUTs
and constants make operators smaller, so sums of these costs are an upper figure for logic that is
not optimised across operators (see :mod:`axynq.host.synthesis.estimate`).

``python -m axynq.host.synthesis.costs`` in the source tree measures anew and writes
``costs.json``, which ships; it takes minutes.
"""

from __future__ import annotations

import datetime
import functools
import json
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from axynq.emulator import files
from axynq.emulator.errors import AxynqError
from axynq.emulator.yosys import yosys_version
from axynq.host.netlists.yosys import cells_of, synthesise

WIDTHS = (1, 2, 4, 6, 8, 9, 12, 16, 17, 20, 24, 32, 48, 64)
"""Bits of the operands that are measured; between them costs are interpolated."""

FACTORS = (4, 8, 9, 12, 16, 17, 18, 19, 25, 26, 32, 33, 42, 48, 64)
"""Bits of the factors of multiplications in DSP blocks, every pair of them."""
LOW_FACTORS = (8, 16, 18, 20, 24, 25, 32, 36, 42, 48, 64)
"""Bits of the factors of multiplications in DSP blocks of which the lower half is kept."""
SMALL_FACTORS = (2, 4, 6, 8, 9, 10, 12, 16)
"""Bits of the factors of multiplications in LUTs, the wider one."""

INPUTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Inputs of multiplexers with an index."""
CHOSEN_BITS = 8
"""Width of the multiplexers that are measured; their cost is proportional to it."""


@dataclass(frozen=True)
class Cost:
    """Cells that one operator takes; fractions come from interpolation."""

    lut: float = 0
    flip_flop: float = 0
    dsp: float = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.lut + other.lut, self.flip_flop + other.flip_flop, self.dsp + other.dsp)

    def __mul__(self, count: float) -> Cost:
        return Cost(self.lut * count, self.flip_flop * count, self.dsp * count)


# --- what is measured ----------------------------------------------------------------------------


def _binary(expression: str, result: str = "w") -> Callable[[str, int], str]:
    def write(name: str, width: int) -> str:
        out = width if result == "w" else 1
        return (
            f"module {name} (input [{width - 1}:0] a, b, output [{out - 1}:0] p);\n"
            f"  assign p = {expression.format(constant=_alternating(width), width=width)};\n"
            "endmodule\n"
        )

    return write


def _alternating(width: int) -> str:
    """A constant with as many ones as zeros, and no two alike beside each other."""
    return f"{width}'d{int('01' * 32, 2) & ((1 << width) - 1)}"


def _shift(operator: str, signed: bool = False) -> Callable[[str, int], str]:
    def write(name: str, width: int) -> str:
        amount = max((width - 1).bit_length(), 1)
        value = "$signed(a)" if signed else "a"
        return (
            f"module {name} (input [{width - 1}:0] a, input [{amount - 1}:0] b, "
            f"output [{width - 1}:0] p);\n"
            f"  assign p = {value} {operator} b;\nendmodule\n"
        )

    return write


def _select(name: str, width: int) -> str:
    return (
        f"module {name} (input s, input [{width - 1}:0] a, b, output [{width - 1}:0] p);\n"
        "  assign p = s ? a : b;\nendmodule\n"
    )


def _sequential_division(name: str, width: int) -> str:
    """One bit of the quotient in each cycle, restoring."""
    count = (width).bit_length()
    return f"""\
module {name} (
  input clk, start,
  input [{width - 1}:0] a, b,
  output [{width - 1}:0] quotient, remainder,
  output done
);
  reg [{width - 1}:0] divisor, rest, low;
  reg [{count - 1}:0] left;
  wire [{width}:0] next = {{rest, low[{width - 1}]}} - {{1'b0, divisor}};
  always @(posedge clk)
    if (start) begin
      divisor <= b; rest <= 0; low <= a; left <= {count}'d{width};
    end else if (left != 0) begin
      rest <= next[{width}] ? {{rest, low[{width - 1}]}} : next[{width - 1}:0];
      low <= {{low, ~next[{width}]}};
      left <= left - 1;
    end
  assign quotient = low, remainder = rest, done = left == 0;
endmodule
"""


def _pipelined_division(name: str, width: int) -> str:
    """A new division in each cycle: a stage with registers for each bit of the quotient."""
    lines = [
        f"module {name} (input clk, input [{width - 1}:0] a, b, output [{width - 1}:0] p);",
        f"  wire [{width - 1}:0] rest0 = 0, low0 = a, divisor0 = b;",
    ]
    for stage in range(width):
        after = stage + 1
        lines += [
            f"  wire [{width}:0] next{after} = {{rest{stage}, low{stage}[{width - 1}]}} "
            f"- {{1'b0, divisor{stage}}};",
            f"  reg [{width - 1}:0] rest{after}, low{after}, divisor{after};",
            "  always @(posedge clk) begin",
            f"    rest{after} <= next{after}[{width}] ? {{rest{stage}, low{stage}[{width - 1}]}} "
            f": next{after}[{width - 1}:0];",
            f"    low{after} <= {{low{stage}, ~next{after}[{width}]}};",
            f"    divisor{after} <= divisor{stage};",
            "  end",
        ]
    lines += [f"  assign p = low{width};", "endmodule", ""]
    return "\n".join(lines)


KINDS: Mapping[str, Callable[[str, int], str]] = {
    "add": _binary("a + b"),
    "add_constant": _binary("a + {constant}"),
    "increment": _binary("a + {width}'d1"),
    "subtract": _binary("a - b"),
    "and": _binary("a & b"),
    "or": _binary("a | b"),
    "xor": _binary("a ^ b"),
    "equal": _binary("a == b", "bit"),
    "equal_constant": _binary("a == {constant}", "bit"),
    "less": _binary("a < b", "bit"),
    "less_signed": _binary("$signed(a) < $signed(b)", "bit"),
    "less_constant": _binary("a < {constant}", "bit"),
    "select": _select,
    "shift_left": _shift("<<"),
    "shift_right": _shift(">>"),
    "shift_right_signed": _shift(">>>", signed=True),
    "absolute": _binary("a[{width} - 1] ? -a : a"),
    "minimum": _binary("$signed(a) < $signed(b) ? a : b"),
    "maximum": _binary("$signed(a) < $signed(b) ? b : a"),
    "divide_sequential": _sequential_division,
    "divide_pipelined": _pipelined_division,
}
"""Verilog of each kind of operator, by the name of its module and its width in bits."""

DIVISION_WIDTHS = (4, 8, 12, 16, 24, 32, 64)
PIPELINED_WIDTHS = (4, 8, 12, 16, 24, 32)


def _multiply(name: str, a: int, b: int, product: int) -> str:
    return (
        f"module {name} (input signed [{a - 1}:0] a, input signed [{b - 1}:0] b, "
        f"output signed [{product - 1}:0] p);\n  assign p = a * b;\nendmodule\n"
    )


def _choose(name: str, inputs: int) -> str:
    index = (inputs - 1).bit_length()
    w = CHOSEN_BITS
    cases = [
        f"    {'default' if i == inputs - 1 else i}: p = a[{i * w} +: {w}];" for i in range(inputs)
    ]
    return "\n".join(
        [
            f"module {name} (input [{inputs * w - 1}:0] a, input [{index - 1}:0] i, "
            f"output reg [{w - 1}:0] p);",
            "  always @* case (i)",
            *cases,
            "  endcase",
            "endmodule",
            "",
        ]
    )


# --- measuring -----------------------------------------------------------------------------------


def measure(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Synthesise every operator.

    Args:
        folder: for the files of the synthesis.

    Returns:
        For each kind, by width (or by number of inputs, or ``AxB`` for multiplications in DSP
        blocks), LUTs, flip-flops and DSP48E1s.

    Raises:
        ToolError: Yosys is not installed, or reports an error.
    """
    modules: dict[str, str] = {}
    for kind, write in KINDS.items():
        for width in _widths_of(kind):
            modules[f"{kind}__{width}"] = write(f"{kind}__{width}", width)
    for width in SMALL_FACTORS:
        modules[f"multiply__{width}"] = _multiply(f"multiply__{width}", width, width, 2 * width)
    measured = _measure(modules, folder / "logic")

    pairs = [(a, b) for a in FACTORS for b in FACTORS if a <= b]
    names = {f"multiply_dsp__{a}x{b}": (a, b, a + b) for a, b in pairs}
    names |= {f"multiply_low__{a}": (a, a, a) for a in LOW_FACTORS}
    products = {name: _multiply(name, *sizes) for name, sizes in names.items()}
    measured |= _measure(products, folder / "dsp", dsp=True)

    choices = {f"choose__{n}": _choose(f"choose__{n}", n) for n in INPUTS}
    plain = _measure(choices, folder / "choose")["choose"]
    joined = _measure(choices, folder / "choose_wide", wide_multiplexers=True)["choose"]
    measured["choose"] = {n: min(plain[n], joined[n]) for n in plain}
    return measured


def _widths_of(kind: str) -> tuple[int, ...]:
    return {"divide_sequential": DIVISION_WIDTHS, "divide_pipelined": PIPELINED_WIDTHS}.get(
        kind, WIDTHS
    )


def _measure(
    modules: dict[str, str], folder: Path, dsp: bool = False, wide_multiplexers: bool = False
) -> dict[str, dict[str, list[float]]]:
    measured: dict[str, dict[str, list[float]]] = {}
    for name, module in synthesise(modules, folder, dsp, wide_multiplexers).items():
        kind, size = name.split("__")
        cells = cells_of(module)
        luts = cells.luts + cells.shift_luts
        measured.setdefault(kind, {})[size] = [luts, cells.flip_flops, cells.dsps]
    return measured


def write_shipped(root: Path) -> None:
    """Measure all operators and write the shipped file of the source tree."""
    with tempfile.TemporaryDirectory() as folder:
        costs = measure(Path(folder))
    content = {
        "description": "LUTs, flip-flops and DSP48E1s of single operators in the 7 series, by "
        "width in bits; of multiplications in DSP blocks by both widths; of `choose`, a "
        f"multiplexer of {CHOSEN_BITS} bits with an index, by its inputs.",
        "script": "python -m axynq.host.synthesis.costs",
        "tool": yosys_version(),
        "date": datetime.date.today().isoformat(),
        "costs": costs,
    }
    text = json.dumps(content, indent=1) + "\n"
    files.write_text(root / "host" / "synthesis" / "costs.json", text)


# --- looking up ----------------------------------------------------------------------------------


@functools.cache
def _shipped() -> dict[str, dict[str, list[float]]]:
    text = (resources.files("axynq.host.synthesis") / "costs.json").read_text(encoding="utf-8")
    costs: dict[str, dict[str, list[float]]] = json.loads(text)["costs"]
    return costs


def operator_cost(kind: str, width: int) -> Cost:
    """Cost of one operator, interpolated between the measured widths and extended beyond them.

    Args:
        kind: of :data:`KINDS`.
        width: of its operands, in bits, at least 1.

    Raises:
        AxynqError: there is no such kind.
    """
    if kind not in KINDS:
        raise AxynqError(f"no operator '{kind}' was measured; there are {', '.join(KINDS)}")
    return _interpolated(_points(kind), width)


def choose_cost(inputs: int, width: int) -> Cost:
    """Cost of a multiplexer of ``width`` bits that an index steers."""
    if inputs < 2:
        return Cost()
    return _interpolated(_points("choose"), inputs) * (width / CHOSEN_BITS)


def multiply_cost(a: int, b: int, product: int, dsp: bool) -> Cost:
    """Cost of a signed multiplication of ``a`` by ``b`` bits.

    Args:
        a: bits of a factor, at most 64.
        b: bits of the other.
        product: bits that are kept; no more than the wider factor has is a lower half.
        dsp: whether in DSP48E1s; otherwise in LUTs, in proportion to the square that is measured.
    """
    narrow, wide = sorted((a, b))
    if not dsp:
        return _interpolated(_points("multiply"), wide) * (narrow / wide)
    if product <= narrow:
        low = min(f for f in LOW_FACTORS if f >= product)
        return Cost(*_shipped()["multiply_low"][str(low)])
    narrow, wide = (min(f for f in FACTORS if f >= bits) for bits in (narrow, wide))
    return Cost(*_shipped()["multiply_dsp"][f"{narrow}x{wide}"])


def _points(kind: str) -> tuple[tuple[int, Cost], ...]:
    found = ((int(size), Cost(*cells)) for size, cells in _shipped()[kind].items())
    return tuple(sorted(found, key=lambda point: point[0]))


def _interpolated(points: tuple[tuple[int, Cost], ...], size: int) -> Cost:
    """On the straight line through the two points around ``size``, or through the nearest two."""
    sizes = [at for at, _ in points]
    right = min(max(bisect_left(sizes, size), 1), len(points) - 1)
    (x0, low), (x1, high) = points[right - 1], points[right]
    share = (size - x0) / (x1 - x0)
    mixed = low * (1 - share) + high * share
    return Cost(max(mixed.lut, 0), max(mixed.flip_flop, 0), max(mixed.dsp, 0))


if __name__ == "__main__":
    write_shipped(Path())
