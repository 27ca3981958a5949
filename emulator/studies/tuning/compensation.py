"""Tuning a whole network to a plan, with mean errors measured layer after layer if need be."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import numpy as np
import numpy.typing as npt

from axynq.emulator.emulation import Emulator
from axynq.emulator.model.batch import Batch, Given, batch_of
from axynq.emulator.model.graph import Int8Array, Model, WeightedLayer
from axynq.emulator.model.segments import replace_layers
from axynq.emulator.plan import Plan
from axynq.emulator.studies.tuning.tuner import Tuner, fitting, with_parameters


class Method(str, Enum):
    """How mean errors are found."""

    EXPECTED = "expected"
    """From the activations of the exact network (:class:`Tuner`)."""
    SEQUENTIAL = "sequential"
    """Measured layer after layer, the layers before being approximate and compensated already."""
    BEST = "best"
    """That of both under which the network agrees more often with the exact one."""


def tune(
    tuner: Tuner,
    plan: Plan,
    x: Given,
    method: Method = Method.BEST,
    advance: Callable[[int], None] = lambda layers: None,
) -> Model:
    """The network with weights and biases tuned to ``plan``.

    Args:
        tuner: for the network; it knows the rule for weights and whether to compensate.
        plan: the multipliers.
        x: calibration examples, as :meth:`Emulator.run` takes them.
        method: how mean errors are found.
        advance: called with 1 for each layer of the sequential method.

    Raises:
        PlanError: the plan does not fit the network.
        ModelError: a bias would not fit 32 bits.
    """
    model, examples = tuner.model, batch_of(tuner.model, x)
    codes = plan.expand(model)
    expected = replace_layers(model, [tuner.layer(la, codes[la.name]) for la in model.layers])
    if not tuner.compensate or method is Method.EXPECTED:
        return expected
    fixed = frozen(plan, model)
    sequential = _sequential(model, expected, fixed, examples, advance)
    if method is Method.SEQUENTIAL:
        return sequential
    exact = _outputs(model, Plan.uniform("exact"), examples)
    agreement = [
        _agreement(_outputs(made, fixed, examples), exact) for made in (expected, sequential)
    ]
    return sequential if agreement[1] > agreement[0] else expected


def _sequential(
    model: Model, tuned: Model, plan: Plan, x: Batch, advance: Callable[[int], None]
) -> Model:
    """Biases set in the order of the layers so that each filter's accumulator gets the mean it has
    in the exact network. So errors of the layers before are made good too, as far as they are
    constant."""
    wanted = _means(model, Plan.uniform("exact"), x)
    for layer in model.layers:
        means = _means(tuned, plan, x)[layer.name]
        shift = np.rint(wanted[layer.name] - means).astype(np.int64)
        current: WeightedLayer = tuned.layer(layer.name)
        bias = fitting(layer, current.bias.astype(np.int64) + shift)
        tuned = replace_layers(tuned, [with_parameters(current, current.kernel, bias)])
        advance(1)
    return tuned


def _outputs(model: Model, plan: Plan, x: Batch) -> list[Int8Array]:
    """Every output, [images, values]."""
    found = Emulator(model, plan).run(x)
    outputs = found if isinstance(found, tuple) else (found,)
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


def _means(model: Model, plan: Plan, x: Batch) -> dict[str, npt.NDArray[np.float64]]:
    """Mean accumulator of each filter, by layer."""
    sums: dict[str, npt.NDArray[np.float64]] = {}
    count = 0
    for batch in Emulator(model, plan).accumulator_batches(x):
        for name, accumulators in batch.items():
            approximate = accumulators.approximate
            flat = approximate.mean(axis=(1, 2), dtype=np.float64).sum(axis=0)
            sums[name] = sums.get(name, 0.0) + flat
            images = len(approximate)
        count += images
    return {name: total / count for name, total in sums.items()}
