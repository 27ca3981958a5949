# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the multipliers of a layer make of its weights.

Over the activations that a layer sees, an approximate product is a line and some noise:
``m(a, w) = value(w) * a + constant(w) + noise``. A weight that is trained is the value that is
wanted; the integer that is multiplied by is the one whose line comes nearest to it, and the mean of
what is then wrong is taken off the bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from axynq.emulator.emulation import Emulator
from axynq.emulator.model import graph
from axynq.emulator.multipliers import multiplier
from axynq.emulator.plan import SKIP, LayerCodes, Plan
from axynq.emulator.studies.tuning.histograms import per_weight, tap_histograms
from axynq.emulator.studies.tuning.second_order import Linear, linear, nearest_weights
from axynq.emulator.studies.tuning.weights import LOWEST, activation_rows

STEPS = 16
"""Wanted values are told apart down to this part of an integer step."""

LIMIT = 160
"""Wanted values, in integer steps: further from 0 than this, all have the same integer."""


class WeightQuantiser(nn.Module):
    """The weights that a layer's multipliers offer.

    Weights are tensors [filters, rows, columns, channels].
    """

    choice: Tensor
    """[multipliers, wanted values]: the integer for each."""
    value: Tensor
    """[multipliers, 256]: the slope of each integer's line."""
    lowest: Tensor
    """[multipliers]: the least of them."""
    highest: Tensor
    """[multipliers]: the largest of them."""
    expected: Tensor
    """[multipliers, filters or 1, rows, columns, channels, 256]: the expected product."""
    means: Tensor
    """[filters or 1, rows, columns, channels]: the expected activation."""
    place: Tensor
    """Where in all expected products those of each weight have that of an integer of 0."""
    code: Tensor
    """The multiplier of each weight; 0 is the exact one, also for weights that are skipped."""

    def __init__(
        self, model: graph.Model, layer: graph.WeightedLayer, codes: LayerCodes, x: graph.Int8Array
    ) -> None:
        super().__init__()
        zero_point = model.tensors[layer.inputs[0]].zero_point
        seen = tap_histograms(model, layer, x)
        shares = seen.sum(axis=(0, 1, 2))
        operand = np.arange(-128, 128) - zero_point
        # Weights that are skipped train as if they were multiplied exactly.
        used = (multiplier("exact"), *codes.multipliers)
        assert SKIP == 0
        lowest = min(int(layer.weights.min()), LOWEST)
        wanted = np.arange(-LIMIT * STEPS, LIMIT * STEPS + 1) / STEPS
        mean = shares @ operand / shares.sum()
        variance = shares @ (operand - mean) ** 2 / shares.sum()
        linear_exact = Linear(np.arange(-128.0, 128.0), np.zeros(256))
        choices, values, expected = [], [], []
        for one in used:
            # Where activations do not vary, nothing is known of slopes.
            line = linear(one, zero_point, shares) if variance > 1e-6 else linear_exact
            choices.append(nearest_weights(line, wanted, float(variance), lowest))
            values.append(line.value)
            products = one.table[activation_rows(zero_point)].astype(np.float64)
            expected.append(per_weight(layer, seen @ products))
        self.register_buffer("choice", torch.from_numpy(np.stack(choices)), persistent=False)
        reached = [line[lowest + 128 :] for line in values]
        for name, ends in (
            ("lowest", np.min(reached, axis=1)),
            ("highest", np.max(reached, axis=1)),
        ):
            self.register_buffer(name, torch.from_numpy(ends.astype(np.float32)), persistent=False)
        self.register_buffer(
            "value", torch.from_numpy(np.stack(values).astype(np.float32)), persistent=False
        )
        self.register_buffer("expected", torch.from_numpy(np.stack(expected)), persistent=False)
        means = torch.from_numpy(per_weight(layer, seen @ operand))
        self.register_buffer("means", means, persistent=False)
        self.register_buffer(
            "code", torch.from_numpy(codes.codes.astype(np.int64)), persistent=False
        )
        shape = self.expected.shape[1:-1]
        within = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        place = codes.codes.astype(np.int64) * within.size + within
        self.register_buffer("place", torch.from_numpy(256 * place + 128), persistent=False)

    def limited(self, wanted: Tensor) -> Tensor:
        """Wanted values, in integer steps, that are no further out than what there is.

        Nothing would bring those back that drift away: no product depends on how far they are.
        """
        return torch.clamp(wanted, *self.range())

    def range(self) -> tuple[Tensor, Tensor]:
        """The least and the largest that there is for each weight, in integer steps."""
        return torch.take(self.lowest, self.code), torch.take(self.highest, self.code)

    def integers(self, wanted: Tensor) -> Tensor:
        """The weights to multiply by, int64, for wanted values in integer steps."""
        index = torch.round(wanted * STEPS).long().clamp(-LIMIT * STEPS, LIMIT * STEPS)
        return torch.take(self.choice, self.code * self.choice.shape[1] + index + LIMIT * STEPS)

    def values(self, integers: Tensor) -> Tensor:
        """What they amount to, in integer steps."""
        return torch.take(self.value, self.code * 256 + integers + 128)

    def mean_errors(self, integers: Tensor, wanted: Tensor) -> Tensor:
        """Expected error of each filter's accumulator against what is wanted, float64 [filters]."""
        products = torch.take(self.expected, self.place + integers)
        return (products - self.means * wanted).sum(dim=(1, 2, 3))


def weight_quantisers(
    model: graph.Model, plan: Plan, x: graph.Int8Array, fitted: bool = False
) -> Mapping[str, WeightQuantiser]:
    """By layer name, for activations as the exact network has them for the inputs ``x``, or, where
    the network is fitted to the plan, the approximate one."""
    codes = plan.expand(model)
    tensors = Emulator(model, plan if fitted else "exact").tensors(x)
    return {
        layer.name: WeightQuantiser(model, layer, codes[layer.name], tensors[layer.inputs[0]])
        for layer in model.layers
    }
