"""Estimated energy of a plan's multiplications, relative to exact multipliers everywhere.

As in the MAx-DNN paper (section III.F) the energy of a network is the number of multiplications of
each kind times the energy of one; skipped multiplications are free.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from axynq.emulator.errors import DataError
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers import Exact, Multiplier, Roup, Table
from axynq.emulator.multipliers.roup import DIGITS
from axynq.emulator.plan import SKIP, Plan

PARTIAL_PRODUCT_BITS = 10
"""Bits of an unrounded partial product: a 9-bit activation, doubled or not."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    relative_energy: Annotated[float, Field(ge=0)]
    source: str


class _EnergyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["axynq-energy"]
    version: Literal[1]
    description: str = ""
    sources: dict[str, str] = {}
    multipliers: dict[str, _Entry]


@dataclass(frozen=True)
class Energy:
    """Energy of one multiplication relative to an exact one, and where the figure is from."""

    relative: float
    source: str


class EnergyFigures:
    """Relative energies by multiplier, from a JSON file (default: the published figures).

    Raises:
        DataError: the file cannot be read or is not of the format.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        try:
            if path is None:
                entry = resources.files("axynq.emulator") / "data" / "energy.json"
                text = entry.read_text(encoding="utf-8")
            else:
                text = Path(path).read_text(encoding="utf-8")
            self._file = _EnergyFile.model_validate(json.loads(text))
        except OSError as error:
            raise DataError(f"energy figures '{path}' cannot be read: {error.strerror}") from error
        except (ValidationError, ValueError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise DataError(f"energy figures '{path}' are not valid: {reason}") from error

    def of(self, m: Multiplier) -> Energy | None:
        """The energy of a multiplier, or None where no figure is known.

        A table is looked up by the name behind ``#``. A ROUP multiplier without a figure is
        estimated by the partial-product bits it keeps.
        """
        key = m.spec.rpartition("#")[2] if isinstance(m, Table) else m.spec
        entry = self._file.multipliers.get(key)
        if entry is not None:
            return Energy(entry.relative_energy, entry.source)
        if isinstance(m, Exact):
            return Energy(1.0, "definition")
        if isinstance(m, Roup):
            kept = sum(PARTIAL_PRODUCT_BITS - r for r in m.rounding[m.perforation :])
            return Energy(kept / (DIGITS * PARTIAL_PRODUCT_BITS), "partial-product bits kept")
        return None


def relative_energy(model: Model, plan: Plan, figures: EnergyFigures | None = None) -> float | None:
    """Energy of all multiplications of ``plan`` over that of exact ones.

    None where some multiplier has no figure.
    """
    figures = figures or EnergyFigures()
    spent, exact = 0.0, 0.0
    expanded = plan.expand(model)
    for layer in model.layers:
        codes = expanded[layer.name]
        total = model.multiplications(layer)
        exact += total
        counts = np.bincount(codes.codes.reshape(-1), minlength=len(codes.multipliers) + 1)
        for m, count in zip(codes.multipliers, counts[SKIP + 1 :]):
            energy = figures.of(m)
            if energy is None:
                return None
            spent += energy.relative * total * int(count) / codes.codes.size
    return spent / exact
