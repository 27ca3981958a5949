# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Multipliers that a search chooses from, as options name them: single ones and families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from axynq.emulator.energy import EnergyFigures
from axynq.emulator.multipliers import (
    Multiplier,
    is_family,
    members,
    multiplier,
    split_multipliers,
)
from axynq.emulator.studies.search.reduction import Reduction, reduce_family
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.host.cli.output import console
from axynq.host.cli.progress import phases
from axynq.host.energy import with_measured


@dataclass(frozen=True)
class ChosenLibrary:
    """What a list of multipliers stands for."""

    specs: tuple[str, ...]
    """Single ones as they are named, then what is left of the families."""
    figures: EnergyFigures
    """With the energies of all of them."""
    reduction: Reduction | None
    """Of the families, where there are any."""

    def record(self) -> dict[str, Any]:
        """What was done with families, for a JSON file; empty where there are none."""
        made = self.reduction
        if made is None:
            return {}
        kept = [
            {"multiplier": m.multiplier.spec, "energy": m.energy, "error": m.error}
            for m in made.kept
        ]
        counts = {"members": made.members, "unbeaten": made.unbeaten}
        return {"families": {**counts, "kept": kept}}


def has_family(text: str) -> bool:
    """Whether ``M1|M2|…`` names a family."""
    return any(map(is_family, split_multipliers(text)))


def choose_library(text: str, energy: str, tuner: Tuner | None, count: int) -> ChosenLibrary:
    """Single multipliers, and the members of all families together that are worth searching.

    Args:
        text: ``M1|M2|…``, each a multiplier or a family.
        energy: source of the figures (:func:`axynq.host.energy.energy_figures`).
        tuner: knows the network and how it is adapted; only families need it.
        count: keep so many members at most.

    Raises:
        MultiplierError: a multiplier or family is malformed.
        DataError: the energy figures cannot be read.
        PlanError: no member of a family has an energy.
    """
    named = [spec for spec in split_multipliers(text) if not is_family(spec)]
    families = [spec for spec in split_multipliers(text) if is_family(spec)]
    figures = with_measured(EnergyFigures(energy), energy, map(multiplier, named))
    if not families or tuner is None:
        return ChosenLibrary(tuple(named), figures, None)
    candidates = dict.fromkeys(spec for family in families for spec in members(family))
    reduction = _reduce(list(candidates), figures, energy, tuner, count)
    kept = [m.multiplier for m in reduction.kept]
    console.note(
        f"{', '.join(families)}: {reduction.members} multipliers, {reduction.unbeaten} that no "
        f"other beats, {len(kept)} kept"
    )
    specs = tuple(dict.fromkeys([*named, *(m.spec for m in kept)]))
    return ChosenLibrary(specs, with_measured(figures, energy, kept), reduction)


def _reduce(
    specs: list[str], figures: EnergyFigures, energy: str, tuner: Tuner, count: int
) -> Reduction:
    """The reduction, with a display of how many energies are known."""
    known = 0

    def tell() -> None:
        nonlocal known
        known += 1
        bar("measuring energies of multipliers", known, len(specs))

    with phases() as bar:

        def energy_of(m: Multiplier) -> float | None:
            found = with_measured(figures, energy, [m]).of(m)
            return None if found is None else found.relative

        return reduce_family(
            [multiplier(spec) for spec in specs], tuner, energy_of, count,
            tell,
        )  # fmt: skip
