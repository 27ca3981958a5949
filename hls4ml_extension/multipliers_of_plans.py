"""A plan as hls4ml's layers can have it: a multiplier for each filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from axynq.emulator.errors import PlanError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import SKIP, LayerCodes, Plan


@dataclass(frozen=True)
class PlannedLayer:
    """A layer under a plan."""

    weights: graph.Int8Array
    """[filters, rows, columns, channels]; those that are skipped are 0."""
    multipliers: str | list[str] | None
    """A specification, or one for each filter; None: exact."""


def planned(model: graph.Model, plan: Plan) -> dict[str, PlannedLayer]:
    """Every layer of a network under a plan, by name.

    Raises:
        PlanError: the plan does not fit the model; or it gives weights of one filter different
            multipliers, or skips weights where the product with 0 is not 0.
    """
    return {
        layer.name: _planned(layer, codes)
        for layer, codes in zip(model.layers, plan.expand(model).values())
    }


def _planned(layer: graph.WeightedLayer, codes: LayerCodes) -> PlannedLayer:
    chosen = [_multiplier_of_filter(layer, codes, index) for index in range(len(codes.codes))]
    skipped = codes.codes == SKIP
    for filter_codes, multiplier in zip(skipped, chosen):
        if filter_codes.any() and multiplier is not None:
            _check_zero(layer, multiplier)
    weights = np.where(skipped, np.int8(0), layer.kernel)
    specs = ["exact" if multiplier is None else multiplier.spec for multiplier in chosen]
    if set(specs) == {"exact"}:
        return PlannedLayer(weights, None)
    return PlannedLayer(weights, specs[0] if len(set(specs)) == 1 else specs)


def _multiplier_of_filter(
    layer: graph.WeightedLayer, codes: LayerCodes, index: int
) -> Multiplier | None:
    """The only multiplier of a filter; None: all of its weights are skipped."""
    used = np.setdiff1d(codes.codes[index], [SKIP])
    if len(used) > 1:
        raise PlanError(
            f"layer '{layer.name}': weights of one filter have different multipliers, which "
            "hls4ml designs cannot have: assign by layer (llam) or by filter (flam)"
        )
    return codes.multipliers[used[0] - 1] if len(used) else None


def _check_zero(layer: graph.WeightedLayer, multiplier: Multiplier) -> None:
    low, high = multiplier.activation_range
    products = multiplier.product(np.arange(low, high + 1), 0)
    if products.any():
        raise PlanError(
            f"layer '{layer.name}': weights are skipped, which hls4ml designs do by a weight of 0, "
            f"but products of '{multiplier.spec}' with 0 are not all 0"
        )
