# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which bits of a value can ever be one: where two values never meet, joining them is wiring."""

from __future__ import annotations

from axynq.host.synthesis.ir import Function, Instruction, Operand, width_of
from axynq.host.synthesis.registers import MULTIPLEXER
from axynq.host.synthesis.widths import Widths


class PossibleOnes:
    """Masks of the values of a function."""

    def __init__(self, function: Function, widths: Widths) -> None:
        self._widths = widths
        self._masks: dict[str, int] = {}
        for name in function.order:
            for i in function.blocks[name].instructions:
                if i.name and i.width:
                    self._masks[i.name] = self._of(i) & self._needed(i)

    def mask(self, operand: Operand, width: int) -> int:
        """The bits that may be one of an operand of ``width`` bits."""
        full = (1 << width) - 1
        if isinstance(operand, int):
            return operand & full
        if not operand.startswith(("%", "@")):  # poison
            return 0
        return self._masks.get(operand, full) & full

    def _needed(self, i: Instruction) -> int:
        """A value's lowest bits, as many as matter; all where its sign fills the others."""
        need = self._widths.need(i.name, i.width)
        return (1 << (min(need.width, i.width) if need.natural else i.width)) - 1

    def _of(self, i: Instruction) -> int:
        full = (1 << i.width) - 1
        if i.opcode == "zext":
            return self.mask(i.operands[0], width_of(i.detail))
        if i.opcode in ("trunc", "freeze"):
            return self.mask(i.operands[0], width_of(i.detail) or i.width) & full
        if i.opcode in ("select", "or", "xor") or (
            i.opcode == "call" and i.detail.startswith(MULTIPLEXER)
        ):
            values = i.operands if i.opcode in ("or", "xor") else i.operands[1:]
            made = 0
            for value in values:
                made |= self.mask(value, i.width)
            return made
        if i.opcode == "and":
            return self.mask(i.operands[0], i.width) & self.mask(i.operands[1], i.width)
        if i.opcode in ("shl", "lshr") and isinstance(i.operands[1], int):
            value = self.mask(i.operands[0], i.width)
            return (value << i.operands[1] if i.opcode == "shl" else value >> i.operands[1]) & full
        return full
