# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""SMApprox multipliers: four approximate 4x4 cells and an accurate sum in one ternary adder.

The cells are the netlists that the project's definition of SMApprox comes from (reconstructed from
the error figures of De la Parra et al., ASPDAC 2021): 12, 12, 7 and 7 LUTs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from axynq.host.netlists.netlist import ZERO, Net, Netlist

Bits = tuple[Net, ...]


def smapprox_product(
    netlist: Netlist, a: Sequence[Net], b: Sequence[Net], digits: str
) -> tuple[Net, ...]:
    """The product of two 8-bit magnitudes, 16 bits. ``digits`` name the cells for AL*BL, AH*BL,
    AL*BH and AH*BH."""
    cells = [CELLS[int(digit)] for digit in digits]
    a_low, a_high, b_low, b_high = a[:4], a[4:], b[:4], b[4:]
    low = cells[0](netlist, a_low, b_low)
    first = cells[1](netlist, a_high, b_low)
    second = cells[2](netlist, a_low, b_high)
    high = cells[3](netlist, a_high, b_high)
    return _ternary_sum(netlist, low + high, first, second)


def signed_smapprox_product(
    netlist: Netlist, a: Sequence[Net], w: Sequence[Net], digits: str
) -> tuple[Net, ...]:
    """The product of a 9-bit activation (not -256) and an 8-bit weight, 17 bits: the magnitudes'
    product with the operands' sign."""
    magnitude_a = magnitude(netlist, a[:8], a[8])
    magnitude_w = magnitude(netlist, w, w[7])
    product = smapprox_product(netlist, magnitude_a, magnitude_w, digits)
    negative = netlist.lut(lambda x, y: x ^ y, a[8], w[7])
    return negated_if(netlist, (*product, ZERO), negative)


# --- the 4x4 cells; a is the activation's nibble -------------------------------------------------


def _cell_exact(netlist: Netlist, a: Sequence[Net], b: Sequence[Net]) -> Bits:
    """The first two partial products on a carry chain, then a row for each of the others."""
    total = _two_partial_products(netlist, a, b[0], b[1])
    done, rest = total[:2], total[2:]
    for bit in b[2:]:
        selects, data = [], []
        for k in range(4):
            select, both = netlist.dual(
                lambda x, y, t: x & y ^ t, lambda x, y, t: x & y & t, a[k], bit, rest[k]
            )
            selects.append(select)
            data.append(both)
        sums, carry = netlist.chain(selects, data)
        done, rest = (*done, sums[0]), (*sums[1:], carry)
    return (*done, *rest)


def _two_partial_products(netlist: Netlist, a: Sequence[Net], low: Net, high: Net) -> Bits:
    """``a * (low + 2 * high)``, six bits, in four LUTs and a chain."""
    last, first = netlist.dual(
        lambda x, y, p, q: x & y, lambda x, y, p, q: p & q, a[3], high, a[0], low
    )
    selects, data = [], []
    for k in range(1, 4):
        select, both = netlist.dual(
            lambda x, p, y, q: x & p ^ y & q, lambda x, p, y, q: x & p & y & q,
            a[k], low, a[k - 1], high,
        )  # fmt: skip
        selects.append(select)
        data.append(both)
    sums, carry = netlist.chain((*selects, last), (*data, ZERO))
    return (first, *sums, carry)


def _cell_1(netlist: Netlist, a: Sequence[Net], b: Sequence[Net]) -> Bits:
    """Two exact 4x2 products, added with carries that look back one column only."""
    x = _two_partial_products(netlist, a, b[0], b[1])
    y = _two_partial_products(netlist, a, b[2], b[3])
    p2, p3 = netlist.dual(
        lambda x2, y0, x3, y1: x2 ^ y0,
        lambda x2, y0, x3, y1: x3 ^ y1 ^ x2 & y0,
        x[2], y[0], x[3], y[1],
    )  # fmt: skip

    def column(high: int, other: int, low: int, below: int) -> int:
        return high ^ other ^ low & below

    p4 = netlist.lut(column, x[4], y[2], x[3], y[1])
    p5 = netlist.lut(column, x[5], y[3], x[4], y[2])
    p6, p7 = netlist.dual(
        lambda x5, y3, y4, y5: y4 ^ x5 & y3,
        lambda x5, y3, y4, y5: y5 ^ y4 & x5 & y3,
        x[5], y[3], y[4], y[5],
    )  # fmt: skip
    return (x[0], x[1], p2, p3, p4, p5, p6, p7)


def _cell_2(netlist: Netlist, a: Sequence[Net], b: Sequence[Net]) -> Bits:
    """The partial-product columns with most of their carries left out."""
    part = netlist.lut(
        lambda a1, a2, a3, b0, b1, b2: a3 & b0 ^ a2 & b1 ^ a1 & b2 ^ (a2 & b0 & a1 & b1),
        a[1], a[2], a[3], b[0], b[1], b[2],
    )  # fmt: skip
    p3 = netlist.lut(lambda t, a0, b3: t ^ a0 & b3, part, a[0], b[3])
    p4 = netlist.lut(
        lambda a1, a2, a3, b1, b2, b3: a3 & b1 ^ a2 & b2 ^ a1 & b3 ^ (a2 & b1 & a1 & b2),
        a[1], a[2], a[3], b[1], b[2], b[3],
    )  # fmt: skip
    return _columns(netlist, a, b, p3, p4)


def _cell_3(netlist: Netlist, a: Sequence[Net], b: Sequence[Net]) -> Bits:
    """As cell 2, with two more carries left out."""
    part = netlist.lut(lambda a2, a3, b0, b1: a3 & b0 ^ a2 & b1, a[2], a[3], b[0], b[1])
    p3 = netlist.lut(lambda t, a1, b2, a0, b3: t ^ a1 & b2 ^ a0 & b3, part, a[1], b[2], a[0], b[3])
    p4 = netlist.lut(
        lambda a1, a2, a3, b1, b2, b3: a3 & b1 ^ a2 & b2 ^ a1 & b3,
        a[1], a[2], a[3], b[1], b[2], b[3],
    )  # fmt: skip
    return _columns(netlist, a, b, p3, p4)


def _columns(netlist: Netlist, a: Sequence[Net], b: Sequence[Net], p3: Net, p4: Net) -> Bits:
    """The bits in which cells 2 and 3 agree."""
    p0, p1 = netlist.dual(
        lambda a0, b0, a1, b1: a0 & b0,
        lambda a0, b0, a1, b1: a1 & b0 ^ a0 & b1,
        a[0], b[0], a[1], b[1],
    )  # fmt: skip
    p2 = netlist.lut(
        lambda a0, a1, a2, b0, b1, b2: a2 & b0 ^ a1 & b1 ^ a0 & b2 ^ (a1 & b0 & a0 & b1),
        a[0], a[1], a[2], b[0], b[1], b[2],
    )  # fmt: skip
    p5, carry = netlist.dual(
        lambda a2, a3, b2, b3: a3 & b2 ^ a2 & b3,
        lambda a2, a3, b2, b3: a3 & b2 & a2 & b3,
        a[2], a[3], b[2], b[3],
    )  # fmt: skip
    p6, p7 = netlist.dual(
        lambda a3, b3, c: a3 & b3 ^ c, lambda a3, b3, c: a3 & b3 & c, a[3], b[3], carry
    )
    return (p0, p1, p2, p3, p4, p5, p6, p7)


CELLS: tuple[Callable[[Netlist, Sequence[Net], Sequence[Net]], Bits], ...] = (
    _cell_exact,
    _cell_1,
    _cell_2,
    _cell_3,
)
"""The 4x4 cells by their digit; the product's eight bits."""


# --- what joins them -----------------------------------------------------------------------------


def _ternary_sum(netlist: Netlist, outer: Bits, first: Bits, second: Bits) -> Bits:
    """``outer + 16 * (first + second)``, 16 bits.

    In the columns where three bits meet, one LUT forms their sum bit, adds it to the majority of
    the column below on a carry chain, and forms its own majority.
    """

    def odd(x: int, y: int, z: int, carried: int) -> int:
        return x ^ y ^ z ^ carried

    def majority(x: int, y: int, z: int, carried: int) -> int:
        return x & y | x & z | y & z

    selects, data = [], []
    carried = ZERO
    for k in range(8):
        pins = (outer[4 + k], first[k], second[k], carried)
        data.append(carried)
        select, carried = netlist.dual(odd, majority, *pins)
        selects.append(select)
    # The lowest column has no carry: its sum bit is final.
    selects.append(netlist.lut(lambda x, c: x ^ c, outer[12], carried))
    data.append(carried)
    sums, carry = netlist.chain(selects[1:], data[1:])
    high = outer[13:]
    p13 = netlist.lut(lambda x, c: x ^ c, high[0], carry)
    p14 = netlist.lut(lambda y, x, c: y ^ x & c, high[1], high[0], carry)
    p15 = netlist.lut(lambda z, y, x, c: z ^ x & y & c, high[2], high[1], high[0], carry)
    return (*outer[:4], selects[0], *sums, p13, p14, p15)


def magnitude(netlist: Netlist, bits: Sequence[Net], negative: Net) -> Bits:
    """The two's complement of eight bits where ``negative`` is set, in two levels of LUTs.

    A bit is inverted where a bit below it is set; what the lowest four bits say is one net.
    """
    first, second = netlist.dual(
        lambda s, x0, x1, x2: x1 ^ s & x0,
        lambda s, x0, x1, x2: x2 ^ s & (x0 | x1),
        negative, *bits[:3],
    )  # fmt: skip
    third, below = netlist.dual(
        lambda s, x0, x1, x2, x3: x3 ^ s & (x0 | x1 | x2),
        lambda s, x0, x1, x2, x3: s & (x0 | x1 | x2 | x3),
        negative, *bits[:4],
    )  # fmt: skip
    made = [bits[0], first, second, third]
    for k in range(4, 8):
        made.append(netlist.lut(_inverted, bits[k], negative, below, *bits[4:k]))
    return tuple(made)


def _inverted(bit: int, negative: int, below: int, *lower: int) -> int:
    return bit ^ (below | negative & any(lower))


def negated_if(netlist: Netlist, bits: Sequence[Net], negative: Net) -> Bits:
    """The two's complement of ``bits`` where ``negative`` is set: inverted on a carry chain that
    adds one. The lowest four bits need no chain; a one goes on where they are all zero."""
    low = magnitude(netlist, (*bits[:4], *(ZERO,) * 4), negative)[:4]
    carry = netlist.lut(
        lambda s, x0, x1, x2, x3: s & (1 - (x0 | x1 | x2 | x3)), negative, *bits[:4]
    )
    selects = [netlist.lut(lambda s, x: s ^ x, negative, bit) for bit in bits[4:]]
    high, _ = netlist.chain(selects, [ZERO] * len(selects), carry)
    return (*low, *high)
