# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Estimated energy of a plan's multiplications, relative to exact multipliers everywhere.

As in the MAx-DNN paper (section III.F), the energy of a network is the number of multiplications by
each multiplier times the energy of one. Skipped multiplications cost nothing. Multiplications
outside the array, to which no plan applies, cost as much as exact ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from axynq.emulator import files
from axynq.emulator.errors import DataError
from axynq.emulator.model.graph import Elementwise, Model
from axynq.emulator.multipliers import Exact, Multiplier, Roup, Table
from axynq.emulator.multipliers.roup import DIGITS
from axynq.emulator.plan import SKIP, Plan
from axynq.emulator.validation import complaint

PARTIAL_PRODUCT_BITS = 10
"""Bits of an unrounded partial product: a 9-bit activation, doubled or not."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    relative_energy: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    source: str


class _EnergyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["axynq-energy"]
    version: Literal[1]
    description: str = ""
    sources: dict[str, str] = {}
    multipliers: dict[str, _Entry]
    characterisation: dict[str, Any] = {}
    """How the figures were measured, and all measurements; for readers."""


@dataclass(frozen=True)
class Energy:
    """Energy of one multiplication, relative to an exact one."""

    relative: float
    """The energy; 1 is that of the exact multiplier."""
    source: str
    """Where the figure is from."""


SHIPPED = ("characterised", "characterised-glitches", "published")
"""Figures that ship with axynq: from the switching activity of the multipliers' netlists, with
settled changes only (a lower bound) or with glitches; and figures from the literature, each
relative to the exact multiplier of its source."""

_RECORDED = "network"
"""The operands of the characterised figures: those of a network."""


class EnergyFigures:
    """Relative energies of multipliers, from one source.

    Args:
        source: ``characterised`` (default), ``characterised-glitches`` or ``published``
            (:data:`SHIPPED`), or the path of a JSON file that ``axynq multipliers --characterise
            --output`` has written.

    Raises:
        DataError: the file cannot be read or has another format.
    """

    def __init__(self, source: str | Path = "characterised") -> None:
        self._figures = _read(source)
        # Tables without a circuit have published figures at best.
        self._tables = _read("published")

    def extended(self, figures: Mapping[str, Energy]) -> EnergyFigures:
        """A copy with further figures, by specification."""
        copy = EnergyFigures.__new__(EnergyFigures)
        copy._figures, copy._tables = {**self._figures, **figures}, self._tables
        return copy

    def has(self, m: Multiplier) -> bool:
        """Whether there is a figure for the multiplier itself, as opposed to an estimate."""
        return m.spec in self._figures

    def of(self, m: Multiplier) -> Energy | None:
        """The energy of a multiplier; None if there is no figure.

        A product table without a figure of its own is looked up by the name of its array, C
        function or module. A ROUP multiplier without a figure is estimated by the partial-product
        bits that remain.
        """
        if m.spec in self._figures:
            return self._figures[m.spec]
        if isinstance(m, Table):
            return self._figures.get(m.name) or self._tables.get(m.name)
        if isinstance(m, Exact):
            return Energy(1.0, "definition")
        if isinstance(m, Roup):
            kept = sum(PARTIAL_PRODUCT_BITS - r for r in m.rounding[m.perforation :])
            return Energy(kept / (DIGITS * PARTIAL_PRODUCT_BITS), "partial-product bits kept")
        return None


def _read(source: str | Path) -> dict[str, Energy]:
    try:
        if source in SHIPPED:
            name = str(source).removesuffix("-glitches")
            entry = resources.files("axynq.emulator") / "data" / f"energy-{name}.json"
            text = entry.read_text(encoding="utf-8")
        else:
            text = files.read_text(source)
        file = _EnergyFile.model_validate_json(text)
    except OSError as error:
        raise DataError(
            f"energy figures '{source}' cannot be read: {error.strerror}. "
            f"Give one of {', '.join(SHIPPED)}, or a JSON file of the format axynq-energy"
        ) from error
    except ValueError as error:
        reason = complaint(error) if isinstance(error, ValidationError) else str(error)
        raise DataError(f"energy figures '{source}' are not valid: {reason}") from error
    if source == "characterised-glitches":
        return {
            name: Energy(measured[_RECORDED]["unit_delay"], str(source))
            for name, measured in file.characterisation["multipliers"].items()
        }
    return {
        name: Energy(entry.relative_energy, entry.source)
        for name, entry in file.multipliers.items()
    }


def multiplications_outside(model: Model) -> dict[str, int]:
    """Multiplications outside the array, for one image, by operator name: products of two maps or
    of a map and a constant, and those of ``prelu``. No plan applies to them."""
    return {
        op.name: math.prod(model.tensors[op.output].shape)
        for op in model.operators
        if isinstance(op, Elementwise) and op.kind in ("multiply", "prelu")
    }


def relative_energy(model: Model, plan: Plan, figures: EnergyFigures | None = None) -> float | None:
    """Estimated energy of all multiplications of a network under a plan, relative to exact ones.

    Args:
        model: the network.
        plan: the plan.
        figures: relative energies of multipliers; None: the characterised ones.

    Returns:
        The energy under the plan divided by that with exact multipliers, including multiplications
            outside the array. None if some multiplier has no figure; 1 if nothing is multiplied.

    Raises:
        PlanError: the plan does not fit the model.

    Examples:
        >>> relative_energy(model, Plan.parse(model, "roup:1,4"), EnergyFigures("published"))
    """
    figures = figures or EnergyFigures()
    outside = sum(multiplications_outside(model).values())
    spent, exact = float(outside), float(outside)
    expanded = plan.expand(model)
    for layer in model.layers:
        codes = expanded[layer.name]
        total = model.multiplications(layer)
        exact += total
        weights = codes.codes.reshape(-1)
        counts = np.bincount(weights.astype(np.intp), minlength=len(codes.multipliers) + 1)
        for m, count in zip(codes.multipliers, counts[SKIP + 1 :]):
            energy = figures.of(m)
            if energy is None:
                return None
            spent += energy.relative * total * int(count) / codes.codes.size
    return spent / exact if exact else 1.0
