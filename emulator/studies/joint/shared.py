# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""One set of weights that suits many plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from axynq.emulator.model import graph
from axynq.emulator.plan import Plan
from axynq.emulator.studies.retraining.methods import Method, MultiplierAware
from axynq.emulator.studies.retraining.network import Range, TrainableNetwork


class SharedWeights(Method):
    """Each step is one of :class:`MultiplierAware` training under one of the plans, on weights and
    biases that all of them share.

    Weights are shared as real numbers: every plan's network has them in its own scales. What is
    shared is what is wanted of the products. Every plan has its own integers, the ones whose
    products come nearest to it, and its own mean errors that are taken off the biases. So the
    network that is trained is the one with exact multipliers: an int8 network like any other, to
    which other plans can be fitted too. (Once-for-all networks share weights between architectures
    likewise: Cai et al., ICLR 2020.)

    Args:
        model: the network it begins as.
        plans: one at least. Each has as many steps as the others, in random order.
        tuned: for each plan the network tuned to it, whose scales are used.
        device: where to train.
    """

    def __init__(
        self,
        model: graph.Model,
        plans: Sequence[Plan],
        tuned: Sequence[graph.Model],
        device: torch.device,
    ) -> None:
        super().__init__(model, Plan.uniform("exact"), device)
        self.further_plans = tuple(plans)
        self._methods = [
            MultiplierAware(own, plan, device, fitted=True) for own, plan in zip(tuned, plans)
        ]
        self._networks: list[TrainableNetwork] = []
        self._next: list[int] = []

    def prepare(self, samples: graph.Int8Array) -> None:
        for method in self._methods:
            method.prepare(samples)

    def network(self) -> TrainableNetwork:
        self._networks = [method.network() for method in self._methods]
        shared = _Shared(self.model, [network.offered() for network in self._networks])
        for network in self._networks:
            network.weight, network.bias = shared.weight, shared.bias
            network.to(self.device)
        return shared

    def begin_epoch(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._next = []

    def scores(self, network: TrainableNetwork, x: Tensor) -> Tensor:
        if not self._next:
            self._next = torch.randperm(len(self._methods), generator=self._generator).tolist()
        k = self._next.pop()
        return self._methods[k].scores(self._networks[k], x)


class _Shared(TrainableNetwork):
    """The exact network of the shared weights.

    Args:
        model: the network it begins as.
        offered: for each plan what its multipliers offer, by layer name.
    """

    def __init__(self, model: graph.Model, offered: Sequence[Mapping[str, Range]]) -> None:
        super().__init__(model)
        for layer in self.model.layers:
            ends = [of_plan[layer.name] for of_plan in offered]
            low = torch.stack([each.low for each in ends]).amin(dim=0)
            high = torch.stack([each.high for each in ends]).amax(dim=0)
            self.register_buffer(f"low_{layer.name}", low, persistent=False)
            self.register_buffer(f"high_{layer.name}", high, persistent=False)

    @torch.no_grad()
    def limit(self) -> None:
        """Bring weights back to the widest that one of the plans offers: the others' gradients
        still know of what is further out than theirs, the product of none does of what is further
        out than all."""
        for layer in self.model.layers:
            low, high = (self.get_buffer(f"{end}_{layer.name}") for end in ("low", "high"))
            self.weight[layer.name].clamp_(low, high)
