# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A fast guess of what an array takes, fitted to the arrays that were looked at.

Linear in terms that mean something: so many LUTs for each multiplier and its part of the adder
tree, each lane, requantiser, byte of a word, and so on. What is counted exactly, the multipliers'
netlists, is not guessed. Coefficients begin at rounded figures of a fit to estimates of two dozen
arrays, with the confidence that they deserve, and looks correct them (Bayesian linear regression):
so the guess knows how uncertain it is, and is so least where the search has looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.host.design.looks import RESOURCES, Look
from axynq.host.design.space import Choice, Shape
from axynq.host.netlists.blackbox import flip_flops
from axynq.host.netlists.designs import configurable_netlist, netlist, registers_inside
from axynq.host.netlists.dsp_pair import RESOURCES as DSP_PAIR
from axynq.host.synthesis.storage import block_memory, lut_memory

Floats = npt.NDArray[np.float64]

CONSTANT_BITS = 69
"""Of a filter's bias, factor and shift."""
TABLE_WORDS = 512


class Term(NamedTuple):
    """A term before anything was looked at: what one of it takes, and how sure that is."""

    lut: float
    flip_flop: float
    block_ram: float
    dsp: float


PRIOR: dict[str, Term] = {
    "core": Term(13800, 25500, 3, 24),
    "bytes of a word": Term(80, 60, 0, 0),
    "lanes": Term(105, 110, 0, 0),
    "multipliers": Term(8.7, 11.5, 0, 0),
    "requantisers": Term(680, 340, 0, 4),
    "choices before requantisers": Term(0, 0, 0, 0),
    "adders": Term(385, 350, 0, 4),
    "outputs crossing to bytes": Term(11, 4, 0, 0),
    "channels crossing to lanes": Term(2, 2, 0, 0),
    "multipliers with codes": Term(2, 3, 0, 0),
    "multipliers beside others": Term(30, 10, 0, 0),
    "halves of DSP pairs": Term(4, 4, 0, 0.5),
    "windows": Term(8, 8, 0, 0),
    "further copies' multipliers": Term(2, 0, 0, 0),
    "further copies": Term(1100, 650, 1.5, 1),
    "memories in LUTs": Term(1, 0, 0, 0),
    "block RAMs": Term(0, 0, 1, 0),
    "further copies' constants": Term(0, 0, 0, 0),
}
"""What one of each takes, by the overlays that ship: LUTs and flip-flops by ridge regression."""

DOUBT = 0.35
"""Standard deviation of a coefficient before looks, as a part of it."""
LEAST_DOUBT = Term(15, 25, 0.02, 0.02)
"""The same at least, in multiples of :data:`SIZE_OF`."""
SIZE_OF = {"core": 100.0, "further copies": 60.0, "bytes of a word": 2.0, "lanes": 2.0,
           "requantisers": 3.0, "adders": 3.0, "multipliers": 0.1, "block RAMs": 0.2,
           "multipliers with codes": 0.2, "halves of DSP pairs": 0.2,
           "outputs crossing to bytes": 0.2, "channels crossing to lanes": 0.2,
           "further copies' multipliers": 0.1, "memories in LUTs": 0.02}  # fmt: skip
NOISE = Term(450, 1500, 0.2, 0.2)
"""What a linear guess leaves over, as a standard deviation."""


class Guess(NamedTuple):
    """Guesses for several arrays, each of shape [arrays, resources] in the order of
    :data:`axynq.host.design.looks.RESOURCES`."""

    likely: Floats
    doubt: Floats
    """Standard deviations."""


class Described(NamedTuple):
    """Arrays as a surrogate sees them."""

    terms: Floats
    """[arrays, terms]: how much of each term of :data:`PRIOR` they have."""
    known: Floats
    """[arrays, resources]: what is counted, not guessed."""


def described(choices: Sequence[Choice]) -> Described:
    """Arrays in terms of the surrogate."""
    known = np.zeros((len(choices), len(RESOURCES)))
    parts: dict[Shape, tuple[float, float]] = {}
    for row, choice in enumerate(choices):
        if choice.shape not in parts:
            parts[choice.shape] = known_part(choice.shape)
        known[row, :2] = parts[choice.shape]
    rows = [terms(choice) for choice in choices]
    return Described(np.array(rows, np.float64).reshape(len(choices), len(PRIOR)), known)


def terms(choice: Choice) -> list[float]:
    """How much of each term of :data:`PRIOR` an array has."""
    shape = choice.shape
    lanes, copies = shape.filters * shape.copies, shape.copies
    requantisers, adders = choice.requantisers * copies, choice.adders * copies
    steps = choice.finish_steps
    straight = _straight(choice)
    coded = sum(group.size for group in shape.lanes if len(group.bank) > 1)
    beside = sum(
        group.size * (len(group.bank) - 1) for group in shape.lanes if group.cell == "separate"
    )
    in_luts, blocks, constants = _memories(choice)
    return [
        1.0,
        float(shape.inputs * copies),
        float(lanes),
        float(shape.multipliers),
        float(requantisers),
        float(requantisers * (steps - 1)),
        float(adders),
        0.0 if straight else float(shape.inputs * requantisers + shape.inputs * adders),
        0.0 if straight else float(shape.inputs * choice.window_lanes * copies),
        float(coded * shape.inputs * copies),
        float(beside * shape.inputs * copies),
        float(shape.paired * shape.inputs * copies),
        float(choice.window_lanes * min(shape.inputs, 9) * copies),
        float((copies - 1) * shape.filters * shape.inputs),
        float(copies - 1),
        in_luts,
        blocks,
        constants,
    ]


def _straight(choice: Choice) -> bool:
    """As :attr:`axynq.host.overlay.Overlay.straight`."""
    shape = choice.shape
    return (
        shape.filters % shape.inputs == 0
        and choice.window_lanes == shape.inputs
        and len({group.bank for group in shape.lanes}) == 1
        and not shape.paired
    )


def _memories(choice: Choice) -> tuple[float, float, float]:
    """LUTs and block RAMs of memories whose sizes are chosen, and of the constants of copies but
    the first."""
    shape = choice.shape
    lanes, copies, inputs = shape.filters, shape.copies, shape.inputs
    blocks = 3 * inputs * copies * block_memory(8, choice.map_words).block_ram_36k
    blocks += lanes * block_memory(8 * inputs, choice.weight_vectors).block_ram_36k
    luts = 0.0
    if choice.sums_in == "LUTs":
        luts += lanes * copies * lut_memory(32, choice.partial_sums).lut
    else:
        blocks += lanes * copies * block_memory(32, choice.partial_sums).block_ram_36k
    rows = 1 << (2 * choice.groups * choice.finish_steps - 1).bit_length()
    constants = choice.requantisers * block_memory(CONSTANT_BITS, rows).block_ram_36k
    tables = 2 * choice.adders * block_memory(32, TABLE_WORDS).block_ram_36k
    if shape.code_bits:
        width = inputs * shape.code_bits
        if choice.codes_in == "LUTs":
            luts += lanes * lut_memory(width, choice.weight_vectors).lut
        else:
            blocks += lanes * block_memory(width, choice.weight_vectors).block_ram_36k
    further = (copies - 1) * (constants + tables)
    return luts, blocks + constants + tables, further


def known_part(shape: Shape) -> tuple[float, float]:
    """LUTs and flip-flops of the multipliers' netlists, which are counted."""
    luts = flips = 0.0
    for group in shape.lanes:
        if group.cell == "dsp pair":  # half of one for each lane
            luts += group.size * DSP_PAIR["LUT"] / 2
            flips += group.size * DSP_PAIR["FF"] / 2
            continue
        own = _bank(group.bank, group.cell == "configurable")
        luts += group.size * own[0]
        flips += group.size * own[1]
    count = shape.inputs * shape.copies
    return luts * count, flips * count


@cache
def _bank(bank: tuple[str, ...], configurable: bool) -> tuple[int, int]:
    if configurable and len(bank) > 1:
        circuits = [configurable_netlist(bank)]
    else:
        circuits = [netlist(spec) for spec in bank]
    luts = sum(circuit.resources()["LUT"] for circuit in circuits)
    inside = 0 if configurable else sum(map(registers_inside, bank))
    return luts, inside + sum(flip_flops(circuit) for circuit in circuits)


class Surrogate:
    """Guesses, corrected by looks."""

    def __init__(self) -> None:
        names = list(PRIOR)
        self._mean = np.array([PRIOR[name] for name in names], np.float64)
        sizes = np.array([SIZE_OF.get(name, 1.0) for name in names])[:, None]
        least = sizes * np.array(LEAST_DOUBT)[None, :]
        self._doubt = np.maximum(DOUBT * np.abs(self._mean), least)
        self._noise = np.array(NOISE, np.float64)
        self._covariance = np.stack([np.diag(column**2) for column in self._doubt.T])

    def fit(self, described: Described, looks: Sequence[Look]) -> None:
        """Forget earlier looks and learn from these, of arrays that have a clock."""
        self.__init__()  # type: ignore[misc]
        if not looks:
            return
        x, known = described
        for k, resource in enumerate(RESOURCES):
            y = np.array([look.likely(resource) for look in looks]) - known[:, k]
            # The posterior of a linear model with Gaussian prior and noise.
            gain = self._covariance[k] @ x.T
            seen = x @ gain + self._noise[k] ** 2 * np.eye(len(y))
            weights = np.linalg.solve(seen, y - x @ self._mean[:, k])
            self._mean[:, k] += gain @ weights
            self._covariance[k] -= gain @ np.linalg.solve(seen, gain.T)

    def guess(self, described: Described) -> Guess:
        """What arrays take."""
        x, known = described
        likely = x @ self._mean + known
        variance = np.stack(
            [((x @ c) * x).sum(axis=1, dtype=np.float64) for c in self._covariance], axis=1
        )
        return Guess(likely, np.sqrt(np.maximum(variance, 0) + self._noise**2))
