"""One set of weights that suits many plans."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from axynq.emulator.model import graph
from axynq.emulator.plan import Plan
from axynq.emulator.studies.retraining.methods import Method, MultiplierAware
from axynq.emulator.studies.retraining.network import TrainableNetwork


class SharedWeights(Method):
    """Each step is one of :class:`MultiplierAware` training under one of the plans, on weights and
    biases that all of them share.

    What is shared is what is wanted of the products. Every plan has its own integers, the ones
    whose products come nearest to it, and its own mean errors that are taken off the biases. So
    the network that is trained is the one with exact multipliers: an int8 network like any other,
    to which other plans can be fitted too. (Once-for-all networks share weights between
    architectures likewise: Cai et al., ICLR 2020.)

    Args:
        model: the network it begins as.
        plans: one at least. Each has as many steps as the others, in random order.
        device: where to train.
    """

    def __init__(self, model: graph.Model, plans: Sequence[Plan], device: torch.device) -> None:
        super().__init__(model, Plan.uniform("exact"), device)
        self.further_plans = tuple(plans)
        self._methods = [MultiplierAware(model, plan, device) for plan in plans]
        self._networks: list[TrainableNetwork] = []
        self._next: list[int] = []

    def prepare(self, samples: graph.Int8Array) -> None:
        for method in self._methods:
            method.prepare(samples)

    def network(self) -> TrainableNetwork:
        shared = TrainableNetwork(self.model)
        self._networks = [method.network() for method in self._methods]
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
