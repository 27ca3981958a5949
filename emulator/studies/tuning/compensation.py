# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Tuning a whole network to a plan, with mean errors measured layer after layer if need be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from functools import cached_property

import numpy as np

from axynq.emulator.emulation import Emulator
from axynq.emulator.model.batch import Batch, Given, batch_of
from axynq.emulator.model.graph import Int8Array, Model, WeightedLayer
from axynq.emulator.model.segments import replace_layers, stretches
from axynq.emulator.plan import Plan
from axynq.emulator.studies.tuning.histograms import FloatArray
from axynq.emulator.studies.tuning.tuner import Tuner, fitting, with_parameters


class Method(str, Enum):
    """How mean errors are found."""

    EXPECTED = "expected"
    """From the activations of the exact network (:class:`Tuner`)."""
    SEQUENTIAL = "sequential"
    """Measured layer after layer, the layers before being approximate and compensated already."""
    BEST = "best"
    """That of both under which the network agrees more often with the exact one."""


class Calibration:
    """Examples to tune with, and what the exact network makes of them: found when it is first asked
    for, once for tuning to many plans.

    Args:
        model: the network.
        x: examples, as :meth:`Emulator.run` takes them.
    """

    def __init__(self, model: Model, x: Given) -> None:
        self.model = model
        self.examples = batch_of(model, x)

    @cached_property
    def means(self) -> dict[str, FloatArray]:
        """Mean accumulator of each filter, by layer."""
        return _means(Emulator(self.model), self.examples)

    @cached_property
    def outputs(self) -> list[Int8Array]:
        """Every output, [images, values]."""
        return self.outputs_of(self.model, Plan.uniform("exact"))

    def outputs_of(self, model: Model, plan: Plan) -> list[Int8Array]:
        """As :attr:`outputs`, of such a network under a plan."""
        return _flat(_outputs(Emulator(model, plan), self.examples))


def tune(
    tuner: Tuner,
    plan: Plan,
    x: Given | Calibration,
    method: Method = Method.BEST,
    advance: Callable[[int], None] = lambda layers: None,
) -> Model:
    """The network with weights and biases tuned to ``plan``.

    Args:
        tuner: for the network; it knows the rule for weights and whether to compensate.
        plan: the multipliers.
        x: calibration examples, as :meth:`Emulator.run` takes them; or, to tune to many plans,
            those of the tuner's network as a :class:`Calibration`.
        method: how mean errors are found.
        advance: called with 1 for each layer of the sequential method.

    Raises:
        PlanError: the plan does not fit the network.
        ModelError: a bias would not fit 32 bits.
    """
    model = tuner.model
    calibration = x if isinstance(x, Calibration) else Calibration(model, x)
    codes = plan.expand(model)
    expected = replace_layers(model, [tuner.layer(la, codes[la.name]) for la in model.layers])
    if not tuner.compensate or method is Method.EXPECTED:
        return expected
    fixed = frozen(plan, model)
    sequential, outputs = _sequential(calibration, expected, fixed, advance)
    if method is Method.SEQUENTIAL:
        return sequential
    found = calibration.outputs_of(expected, fixed), outputs
    agreement = [_agreement(each, calibration.outputs) for each in found]
    return sequential if agreement[1] > agreement[0] else expected


def _sequential(
    calibration: Calibration, tuned: Model, plan: Plan, advance: Callable[[int], None]
) -> tuple[Model, list[Int8Array]]:
    """Biases set in the order of the layers so that each filter's accumulator gets the mean it has
    in the exact network. So errors of the layers before are made good too, as far as they are
    constant. And the network's outputs then.

    The network is computed once, a stretch behind a layer after the other.
    """
    images = len(calibration.examples)
    values = {
        index: np.broadcast_to(constant, (images, *constant.shape))
        for index, constant in tuned.constants.items()
    }
    values |= dict(zip(tuned.inputs, calibration.examples.arrays))
    scales = {layer.name: layer.weight_scales for layer in calibration.model.layers}
    layers: list[WeightedLayer] = []
    for stretch in stretches(tuned):
        mine = Plan({layer.name: plan.layers[layer.name] for layer in stretch.layers})
        for layer in stretch.layers:  # one, or at the beginning none
            source = Batch([values[layer.inputs[0]]])
            means = _means(Emulator(_alone(stretch, layer), mine), source)[layer.name]
            wanted = calibration.means[layer.name] * (scales[layer.name] / layer.weight_scales)
            shift = np.rint(wanted - means).astype(np.int64)
            bias = fitting(layer, layer.bias.astype(np.int64) + shift)
            layers.append(with_parameters(layer, layer.kernel, bias))
            stretch = replace_layers(stretch, layers[-1:])
            advance(1)
        given = Batch([values[index] for index in stretch.inputs])
        values |= zip(stretch.outputs, _outputs(Emulator(stretch, mine), given))
    return replace_layers(tuned, layers), _flat([values[index] for index in tuned.outputs])


def _alone(model: Model, layer: WeightedLayer) -> Model:
    return replace(
        model, operators=(layer,), inputs=layer.inputs, outputs=(layer.output,), constants={}
    )


def _outputs(emulator: Emulator, x: Batch) -> tuple[Int8Array, ...]:
    found = emulator.run(x)
    return found if isinstance(found, tuple) else (found,)


def _flat(outputs: Sequence[Int8Array]) -> list[Int8Array]:
    return [y.reshape(len(y), -1) for y in outputs]


def _agreement(found: list[Int8Array], exact: list[Int8Array]) -> float:
    """How far two networks agree: in the classes of a single output, in all values of several."""
    if len(exact) == 1:
        return float((found[0].argmax(axis=1) == exact[0].argmax(axis=1)).mean())
    distance = 0.0
    for y, wanted in zip(found, exact):
        squares = (y.astype(np.float64) - wanted) ** 2
        distance += float(squares.mean() / max(wanted.var(), 1.0))
    return -distance


def frozen(plan: Plan, model: Model) -> Plan:
    """``plan`` with skipping by weight value replaced by what it skips in ``model``: other weights
    would skip others."""
    layers = {}
    for layer in model.layers:
        assignment = plan.layers.get(layer.name, plan.default)
        assert assignment is not None
        if assignment.skip_sigma is not None:
            codes = assignment.expand(model, layer)
            specs = [m.spec for m in codes.multipliers] or ["exact"]
            explicit = Plan.from_codes({layer.name: (specs, codes.codes)})
            assignment = explicit.layers[layer.name]
        layers[layer.name] = assignment
    return Plan(layers)


def _means(emulator: Emulator, x: Batch) -> dict[str, FloatArray]:
    """Mean accumulator of each filter, by layer."""
    sums: dict[str, FloatArray] = {}
    for batch in emulator.accumulator_batches(x):
        for name, accumulators in batch.items():
            approximate = accumulators.approximate
            flat = approximate.mean(axis=(1, 2), dtype=np.float64).sum(axis=0)
            sums[name] = sums.get(name, 0.0) + flat
    return {name: total / len(x) for name, total in sums.items()}
