# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which multipliers to build, and which filter uses which, together.

An array has lanes of one approximate multiplier of the library and lanes that are exact. As many
filters of each layer are exact as these lanes take while the others are busy with the rest: more
would take time, fewer would save none. They are the most sensitive ones: by the estimated increase
of the loss where there are examples, otherwise by the error of their products if all activations
were equally likely.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import PlanError
from axynq.emulator.model.graph import DepthwiseConvolution, Model, WeightedLayer
from axynq.emulator.multipliers import WEIGHT_MIN, Table, multiplier
from axynq.emulator.plan import Assignment, Plan
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.sensitivity.estimate import estimate
from axynq.emulator.studies.tuning.compensation import Method, tune
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.host.design.mixes import Lanes
from axynq.host.design.space import Group, Shape
from axynq.host.overlay.circuits import check_hardware

PARTS = 8
"""So many numbers of exact lanes are tried for a number of lanes, at most, from none on."""
ESTIMATE_EXAMPLES = 128

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Library:
    """Multipliers to choose from for a network.

    Raises:
        MultiplierError: one does not exist, or is a table without a circuit.
        PlanError: there is no approximate multiplier.
    """

    model: Model
    specs: tuple[str, ...]
    """Of multipliers; exact need not be named."""
    examples: Examples | None = None
    """To rank filters and to measure accuracy on, while searching."""
    max_loss: float | None = None
    """Largest loss of accuracy against exact multipliers, 0 to 1; None: any. Needs examples."""
    tuner: Tuner | None = None
    """Tunes the network to each plan before its accuracy is measured."""

    def __post_init__(self) -> None:
        for m in map(multiplier, self.specs):
            if isinstance(m, Table):
                check_hardware(m)
        if not self.approximate:
            raise PlanError("the library has no approximate multiplier: give one beside exact")

    @cached_property
    def approximate(self) -> tuple[str, ...]:
        """Those that are not exact."""
        own = dict.fromkeys(multiplier(spec).spec for spec in self.specs)
        return tuple(spec for spec in own if spec != "exact")

    def mixes(self, counts: Iterable[int], products: bool) -> tuple[Lanes, ...]:
        """Ways to divide lanes.

        Args:
            counts: numbers of lanes.
            products: whether DSP blocks may multiply.
        """
        found: dict[Lanes, None] = {}
        for lanes in counts:
            for spec in self.approximate:
                for exact in range(0, lanes, max(lanes // PARTS, 2)):
                    for made in _divided(spec, lanes, exact, products):
                        found[made] = None
        return tuple(found)

    def plan(self, shape: Shape) -> Plan:
        """The plan for a shape; the same object for shapes with the same plan."""
        spec = next(g.bank[0] for g in shape.lanes if g.bank != ("exact",))
        counts = tuple(exact_filters(layer, shape) for layer in self.model.layers)
        key = (spec, counts)
        if key not in self._plans:
            layers = {}
            for layer, count in zip(self.model.layers, counts):
                layers[layer.name] = self._assignment(layer, spec, count)
            self._plans[key] = Plan(layers)
        return self._plans[key]

    def accuracy(self, plan: Plan) -> float | None:
        """On the examples; None: there are none."""
        if self._evaluator is None:
            return None
        key = id(plan)
        if key not in self._accuracies:
            right = self._evaluator.correct(plan) / len(self._evaluator.examples)
            self._accuracies[key] = (plan, right)
        return self._accuracies[key][1]

    def network(self, plan: Plan) -> Model:
        """What runs under a plan: tuned to it, if the library's networks are."""
        if self.tuner is None:
            return self.model
        return tune(self.tuner, plan, self.tuner.x, Method.EXPECTED)

    def tolerates(self, shape: Shape) -> bool:
        """Whether the loss under the plan for a shape is small enough."""
        if self.max_loss is None:
            return True
        accuracy, best = self.accuracy(self.plan(shape)), self.accuracy(self._exact)
        return accuracy is None or best is None or accuracy >= best - self.max_loss

    @cached_property
    def _exact(self) -> Plan:
        return Plan.uniform("exact")

    @cached_property
    def _plans(self) -> dict[tuple[str, tuple[int, ...]], Plan]:
        return {}

    @cached_property
    def _accuracies(self) -> dict[int, tuple[Plan, float]]:
        """By identity of plans, which are kept for that."""
        return {}

    @cached_property
    def _evaluator(self) -> Evaluator | None:
        if self.examples is None:
            return None
        return Evaluator(self.model, self.examples, self.tuner)

    def _assignment(self, layer: WeightedLayer, spec: str, exact: int) -> Assignment:
        filters = len(layer.kernel)
        if exact == 0 or exact >= filters:
            return Assignment(("exact",) if exact else (spec,))
        order = np.argsort(-self._sensitivities[layer.name, spec], kind="stable")
        classes = np.ones(filters, np.int64)
        classes[order[:exact]] = 0
        return Assignment(("exact", spec), "filter", tuple(classes.tolist()))

    @cached_property
    def _sensitivities(self) -> dict[tuple[str, str], Floats]:
        """By layer and multiplier, [filters]: how much a filter suffers."""
        if self.examples is None:
            return {
                (layer.name, spec): squared_errors(self.model, layer, spec)
                for layer in self.model.layers
                for spec in self.approximate
            }
        few = self.examples.evenly(ESTIMATE_EXAMPLES)
        increase = estimate(self.model, few.x, few.y, self.approximate)
        # As in an exploration: sums may differ in their last bits from run to run.
        return {
            (layer.name, spec): np.array(
                [float(f"{v:.6g}") for v in increase[layer.name, "filter", spec]]
            )
            for layer in self.model.layers
            for spec in self.approximate
        }


def squared_errors(model: Model, layer: WeightedLayer, spec: str) -> Floats:
    """[filters]: the mean of the squared errors of a filter's products, summed over its weights,
    if all int8 activations were equally likely."""
    zero_point = model.tensors[layer.inputs[0]].zero_point
    a = np.arange(-128, 128, dtype=np.int64)[:, None] - zero_point
    w = np.arange(WEIGHT_MIN, WEIGHT_MIN + 256, dtype=np.int64)[None, :]
    error = multiplier(spec).product(a, w).astype(np.float64) - a * w
    of_weight = (error**2).mean(axis=0)
    kernel = layer.kernel.astype(np.int64) - WEIGHT_MIN
    return np.asarray(of_weight[kernel].reshape(len(kernel), -1).sum(axis=1, dtype=np.float64))


def exact_filters(layer: WeightedLayer, shape: Shape) -> int:
    """Filters of a layer that exact lanes take while the others are busy with the rest."""
    exact = [group.bank == ("exact",) for group in shape.lanes for _ in range(group.size)]
    if isinstance(layer, DepthwiseConvolution):
        paired = [group.cell == "dsp pair" for group in shape.lanes for _ in range(group.size)]
        lanes = range(min(shape.filters, shape.inputs))
        exact = [exact[lane] for lane in lanes if not (paired[lane] and lane % 2)]
    filters = len(layer.kernel)
    groups = -(-filters // len(exact))
    return min(filters, groups * sum(exact))


def _divided(spec: str, lanes: int, exact: int, products: bool) -> Iterator[Lanes]:
    others = Group(lanes - exact, (spec,))
    if not exact:
        yield (others,)
        return
    yield (others, Group(exact, ("exact",)))
    if products and exact % 2 == 0 and lanes % 2 == 0:
        yield (others, Group(exact, ("exact",), "dsp pair"))
