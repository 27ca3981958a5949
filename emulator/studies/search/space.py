# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The plans a search chooses from, as vectors of small integers.

A layer has a few *classes* (of filters, channels, kernel rows or columns; one for the whole layer)
and each class a multiplier: its number in a library sorted by falling energy, so that neighbouring
numbers are alike. Genes follow the layers in order, so that vectors that begin alike are plans
whose first layers are the same.

Where all layers have to do with a few *designs*, the first genes are those: a bank, of numbers in
the library. Genes of classes are then places in the bank, by falling energy. (Compared with this,
genes that are numbers of the library, and are moved to the nearest in the bank, found worse fronts
for the ResNet-8; a bank made of what the classes use most, the worst.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from axynq.emulator.datasets import evenly_spread
from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import PlanError
from axynq.emulator.model.graph import DepthwiseConvolution, Model, WeightedLayer
from axynq.emulator.multipliers import Multiplier, multiplier
from axynq.emulator.plan import CLASS_AXES, Assignment, Axis, Plan

Level = Literal["layer", "filter", "channel", "row", "column", "mixed"]

LEVELS: tuple[Level, ...] = get_args(Level)

Genome = npt.NDArray[np.int64]

Ranking = Mapping[tuple[str, Axis], npt.NDArray[np.int64]]
"""For a layer and axis the elements from the most to the least sensitive."""


@dataclass(frozen=True, eq=False)
class Space:
    """Plans of one level.

    Raises:
        PlanError: the library is empty or has a multiplier without an energy figure, the banks
            hold none of it, or there are both banks and a number of designs.
    """

    model: Model
    library: tuple[str, ...]
    """Multiplier specifications, in any order."""
    level: Level = "layer"
    classes: int = 3
    """Classes of a layer at most."""
    skips: tuple[float, ...] = ()
    """Choices of ``klms`` besides none."""
    banks: tuple[frozenset[Multiplier], ...] = ()
    """Where not empty: a filter may only use multipliers that are together in one of these."""
    designs: int | None = None
    """So many different multipliers at most in a whole plan; default: any number."""
    ranking: Ranking = field(default_factory=dict)
    """Classes are made of elements in this order; default: in order of their index."""
    figures: EnergyFigures = field(default_factory=EnergyFigures)

    def __post_init__(self) -> None:
        if not self.multipliers:
            raise PlanError("there is no multiplier to choose from")
        if self.designs is not None and self.banks:
            raise PlanError("a space has banks that are given, or chooses one of some designs")

    @cached_property
    def multipliers(self) -> tuple[Multiplier, ...]:
        """The library by falling energy, only what the banks hold."""
        energies: dict[Multiplier, float] = {}
        for spec in self.library:
            m = multiplier(spec)
            energy = self.figures.of(m)
            if energy is None:
                raise PlanError(
                    f"there is no energy figure for '{m.spec}': add one to a file for --energy"
                )
            if not self.banks or any(m in bank for bank in self.banks):
                energies.setdefault(m, energy.relative)
        return tuple(sorted(energies, key=lambda m: (-energies[m], m.spec)))

    @cached_property
    def energies(self) -> tuple[float, ...]:
        """Relative energies of :attr:`multipliers`."""
        return tuple(e.relative for e in map(self.figures.of, self.multipliers) if e is not None)

    @cached_property
    def _bank_size(self) -> int:
        """Genes of the bank; none where every multiplier can be in it."""
        if self.designs is None or self.designs >= len(self.multipliers):
            return 0
        return self.designs

    @cached_property
    def _layout(self) -> list[tuple[WeightedLayer, int, int]]:
        """Per layer its first gene and its number of class genes."""
        layout, first = [], self._bank_size
        for layer in self.model.layers:
            count = 1 if self.level == "layer" else min(self.classes, self._most(layer))
            layout.append((layer, first, count))
            first += count + (self.level == "mixed") + bool(self.skips)
        return layout

    def _most(self, layer: WeightedLayer) -> int:
        axes = CLASS_AXES if self.level == "mixed" else (self._axis(self.level),)
        return max(self.size(layer, axis) for axis in axes)

    @staticmethod
    def _axis(level: Level) -> Axis:
        assert level != "mixed"
        return level

    def size(self, layer: WeightedLayer, axis: Axis) -> int:
        """Elements of ``layer`` along ``axis``."""
        filters, rows, columns, channels = layer.kernel.shape
        if isinstance(layer, DepthwiseConvolution):
            channels = self.model.tensors[layer.inputs[0]].shape[-1]
        sizes = {"filter": filters, "channel": channels, "row": rows, "column": columns}
        return sizes.get(axis, 1)

    @cached_property
    def choices(self) -> Genome:
        """Number of values of each gene: they run from 0."""
        numbers: list[int] = [len(self.multipliers)] * self._bank_size
        for _, _, count in self._layout:
            if self.level == "mixed":
                numbers.append(len(CLASS_AXES))
            numbers += [self._bank_size or len(self.multipliers)] * count
            if self.skips:
                numbers.append(1 + len(self.skips))
        return np.array(numbers, np.int64)

    def plan(self, genome: Genome) -> Plan:
        """The plan a vector stands for."""
        layers = {}
        bank = sorted(int(number) for number in genome[: self._bank_size])
        for layer, first, count in self._layout:
            genes = [int(g) for g in genome[first:]]
            axis: Axis = "layer"
            if self.level == "mixed":
                axis = CLASS_AXES[genes.pop(0)]
            elif self.level != "layer":
                axis = self._axis(self.level)
            chosen, rest = genes[:count], genes[count:]
            if bank:
                chosen = [bank[place] for place in chosen]
            skip = ((None, *self.skips)[rest[0]]) if self.skips else None
            layers[layer.name] = self._assignment(layer, axis, chosen, skip)
        return Plan(layers)

    def _assignment(
        self, layer: WeightedLayer, axis: Axis, genes: Sequence[int], skip: float | None
    ) -> Assignment:
        size = self.size(layer, axis)
        own = list(genes[:size]) if axis != "layer" else [genes[0]]
        shared = axis in ("row", "column") or (
            axis == "channel" and not isinstance(layer, DepthwiseConvolution)
        )
        if shared and self.banks:  # a filter uses all of them
            own = self._within_one_bank(own)
        specs = [self.multipliers[g].spec for g in own]
        if len(set(specs)) == 1:
            return Assignment((specs[0],), "layer", None, skip)
        order = self.ranking.get((layer.name, axis))
        if order is None:
            return Assignment(tuple(specs), axis, None, skip)
        classes = np.zeros(size, np.int64)
        for k, part in enumerate(np.array_split(order, len(specs))):
            classes[part] = k
        return Assignment(tuple(specs), axis, tuple(classes.tolist()), skip)

    def _within_one_bank(self, genes: Sequence[int]) -> list[int]:
        """Genes moved to what one bank holds, that with the smallest moves."""
        best: list[int] = []
        smallest = np.inf
        for bank in self.banks:
            held = [k for k, m in enumerate(self.multipliers) if m in bank]
            if not held:
                continue
            nearest = [
                min(held, key=lambda k: abs(self.energies[k] - self.energies[g])) for g in genes
            ]
            moved = sum(abs(self.energies[k] - self.energies[g]) for k, g in zip(nearest, genes))
            if moved < smallest:
                best, smallest = nearest, moved
        return best

    def uniform(self, pattern: Sequence[int]) -> Genome:
        """The same classes in every layer: ``pattern`` as far as a layer has classes."""
        genome = np.zeros(len(self.choices), np.int64)
        for _, first, count in self._layout:
            at = first + (self.level == "mixed")
            repeated = [pattern[min(k * len(pattern) // count, len(pattern) - 1)]
                        for k in range(count)]  # fmt: skip
            genome[at : at + count] = repeated
        return self._with_bank(genome)

    def _with_bank(self, genome: Genome) -> Genome:
        """A vector whose class genes are numbers of the library, as one with a bank of them; where
        they are too many, they move to the nearest in it."""
        if not self._bank_size:
            return genome
        places = np.concatenate(
            [np.arange(count) + first + (self.level == "mixed") for _, first, count in self._layout]
        )
        used = np.unique(genome[places])
        held = used[evenly_spread(len(used), self._bank_size)]
        others = np.setdiff1d(np.arange(len(self.multipliers)), held)
        free = self._bank_size - len(held)
        bank = np.sort(np.concatenate([held, others[evenly_spread(len(others), free)]]))
        made = genome.copy()
        made[: self._bank_size] = bank
        made[places] = np.abs(bank[None, :] - genome[places, None]).argmin(axis=1)
        return made

    def refined(self, plan: Plan) -> Genome:
        """The vector of a layer-level plan: every class as the layer."""
        specs = [m.spec for m in self.multipliers]
        genome = np.zeros(len(self.choices), np.int64)
        for layer, first, count in self._layout:
            assignment = plan.layers[layer.name]
            at = first + (self.level == "mixed")
            genome[at : at + count] = specs.index(assignment.multipliers[0])
            if self.skips:
                genome[at + count] = (None, *self.skips).index(assignment.skip_sigma)
        return self._with_bank(genome)

    def seeds(self) -> list[Genome]:
        """Vectors to begin with: each multiplier everywhere, and everywhere but in the first
        layers, which are the most sensitive ones (MAx-DNN paper, Fig. 3)."""
        genomes = [self.uniform([k]) for k in range(len(self.multipliers))]
        for k in range(1, len(self.multipliers)):
            for kept in range(1, len(self._layout)):
                numbers = np.zeros(len(self.choices), np.int64)
                for _, first, count in self._layout[kept:]:
                    at = first + (self.level == "mixed")
                    numbers[at : at + count] = k
                genomes.append(self._with_bank(numbers))
        return genomes

    def ends_kept(self) -> list[Genome]:
        """More vectors to begin with: each multiplier everywhere but in the first and the last
        layer, whose errors the network's input and output show most, and which multiply least in
        many networks."""
        genomes = []
        for k in range(1, len(self.multipliers)):
            genome = np.zeros(len(self.choices), np.int64)
            for _, first, count in self._layout[1:-1]:
                at = first + (self.level == "mixed")
                genome[at : at + count] = k
            genomes.append(self._with_bank(genome))
        return genomes

    def cheapest(self, increase: Mapping[tuple[str, Axis, str], npt.NDArray[np.float64]],
                 price: float, axis: Axis) -> Genome:  # fmt: skip
        """The vector that minimises estimated increase of the loss plus ``price`` times energy.

        Args:
            increase: for a layer, axis and multiplier the estimate of each element.
            price: of the energy of all exact multiplications.
            axis: along which ``mixed`` layers run.
        """
        genome = np.zeros(len(self.choices), np.int64)
        total = sum(map(self.model.multiplications, self.model.layers))
        places: list[int] = []
        spare: list[int] = []
        costs: list[list[float]] = []
        for layer, first, count in self._layout:
            at = first
            used: Axis = axis if self.level == "mixed" else self._axis(self.level)
            if self.level == "mixed":
                genome[at] = CLASS_AXES.index(axis)
                at += 1
            share = self.model.multiplications(layer) / total
            size = self.size(layer, used)
            order = self.ranking.get((layer.name, used), np.arange(size))
            parts = np.array_split(order, min(count, size)) if used != "layer" else [order]
            for k, part in enumerate(parts):
                places.append(at + k)
                costs.append(
                    [
                        increase[layer.name, used, m.spec][part].sum()
                        + price * energy * share * len(part) / size
                        for m, energy in zip(self.multipliers, self.energies)
                    ]
                )
            spare += range(at + len(parts), at + count)
        genome[places] = self._cheapest_numbers(np.array(costs))
        genome[spare] = genome[places[0]]  # of no effect, and must not claim a place in the bank
        return self._with_bank(genome)

    def _cheapest_numbers(self, costs: npt.NDArray[np.float64]) -> Genome:
        """For each class, of costs [classes, multipliers], the multiplier of least cost; with a
        bank, of those that are put into it one after the other, each the one that saves most."""
        held = list(range(len(self.multipliers)))
        if self._bank_size:
            held = []
            least = np.full((len(costs), 1), np.inf)
            for _ in range(self._bank_size):
                held.append(int(np.minimum(costs, least).sum(axis=0).argmin()))
                least = costs[:, held].min(axis=1, keepdims=True)
        numbers: Genome = np.array(held, np.int64)[costs[:, held].argmin(axis=1)]
        return numbers
