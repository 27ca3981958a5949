"""Mean-error compensation measured on the approximate network, layer after layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from axynq.emulator.emulation import Emulator
from axynq.emulator.model.graph import Int8Array, Model, WeightedLayer
from axynq.emulator.model.segments import replace_layers
from axynq.emulator.plan import Plan
from axynq.emulator.tuning.tuner import Tuner, fitting, with_parameters


def tune(tuner: Tuner, plan: Plan, advance: Callable[[int], None] = lambda layers: None) -> Model:
    """The network with weights and biases tuned to ``plan``.

    With compensation, biases are set in the order of the layers: each filter's accumulator gets the
    mean it has in the exact network, while the layers before are already approximate and
    compensated. So errors of the layers before are made good too, as far as they are constant.

    Raises:
        PlanError: the plan does not fit the network.
        ModelError: a bias would not fit 32 bits.
    """
    model = tuner.model
    codes = plan.expand(model)
    tuned = replace_layers(model, [tuner.layer(la, codes[la.name]) for la in model.layers])
    if not tuner.compensate:
        return tuned
    fixed = frozen(plan, model)
    wanted = _means(model, Plan.uniform("exact"), tuner.x)
    for layer in model.layers:
        found = _means(tuned, fixed, tuner.x)[layer.name]
        shift = np.rint(wanted[layer.name] - found).astype(np.int64)
        current: WeightedLayer = tuned.layer(layer.name)
        bias = fitting(layer, current.bias.astype(np.int64) + shift)
        tuned = replace_layers(tuned, [with_parameters(current, current.kernel, bias)])
        advance(1)
    return tuned


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
            made = Plan.from_codes({layer.name: (specs, codes.codes)})
            assignment = made.layers[layer.name]
        layers[layer.name] = assignment
    return Plan(layers)


def _means(model: Model, plan: Plan, x: Int8Array) -> dict[str, npt.NDArray[np.float64]]:
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
