# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators that take values in pairs: sums, products, and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

import numpy as np
import torch
from torch import Tensor

from axynq.emulator.engine.gpu.rescaling import factor_table
from axynq.emulator.engine.recipe import RAW_BYTES
from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import FixedPoint, rescaled
from axynq.emulator.model.quantisation import (
    ADD_LEFT_SHIFT,
    add_factors,
    identity_factor,
    product_factor,
)

PairKind = Literal["sum", "multiply", "prelu", "maximum", "minimum"]

Pair = Union[graph.Add, graph.Elementwise]


@dataclass(frozen=True, eq=False)
class Pairing:
    """Values of either operand go through a table; the sum or product of both is rescaled.

    ``prelu`` rescales the first operand alone, by the second factor, where it is not negative.
    ``maximum`` and ``minimum`` are of the bytes.
    """

    kind: PairKind
    tables: Tensor
    """int32 [2, 256] by the byte: operands in fine steps for a sum, which has the second's sign for
    a difference; otherwise less their zero points."""
    factors: Tensor
    """int64 [4, 2], of :func:`factor_table`."""
    zero_point: int
    low: int
    high: int

    @classmethod
    def of(cls, model: graph.Model, op: Pair, device: torch.device) -> Pairing:
        """The pairing of an operator of ``model``."""
        kind = op.kind if isinstance(op, graph.Elementwise) else "add"
        output = model.tensors[op.output]
        bounds = graph.activation_bounds(op.activation, output)
        operands = [RAW_BYTES - model.tensors[index].zero_point for index in op.inputs]
        factors = [FixedPoint(0, 0)] * 2
        if kind == "add" or kind == "subtract":
            *input_factors, output_factor = add_factors(model, op)
            operands = [
                rescaled(values << ADD_LEFT_SHIFT, factor)
                for values, factor in zip(operands, input_factors)
            ]
            operands[1] *= -1 if kind == "subtract" else 1
            factors = [output_factor] * 2
        elif kind == "multiply" or kind == "prelu":
            assert isinstance(op, graph.Elementwise)
            factors = [product_factor(model, op), identity_factor(model, op)]
        return cls(
            "sum" if kind == "add" or kind == "subtract" else kind,
            torch.from_numpy(np.stack(operands).astype(np.int32)).to(device),
            factor_table(factors, device),
            output.zero_point,
            *bounds,
        )
