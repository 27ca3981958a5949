# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The search: which arrays of a space are on the front of speed against LUTs, and which is best.

What an array takes is known only after a look, which takes seconds, and its cycles after compiling
the network for it, a tenth of one. So both are put off for as long as something cheaper says that
an array cannot matter:

1. A shape stands for all its arrays: as small as the smallest by the surrogate, and as fast as the
   least steps allow.
2. Shapes that no known array beats in both are taken apart. Their arrays are no faster than by the
   cycle model an array of as many lanes is that can all take any filter; and no faster than one
   that has as much of everything or more and is known.
3. When all arrays of the front, by the surrogate, are known by the cycle model, some of them are
   looked at, the surrogate learns from that, and the front is drawn anew.

It ends when nothing that might fit could be faster than the best that was looked at: the best of
the space, by these models, to within :data:`TOLERANCE`. Nothing in it is random.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.graph import DepthwiseConvolution
from axynq.emulator.plan import Plan
from axynq.host.design.limits import Limits
from axynq.host.design.looks import RESOURCES, Look
from axynq.host.design.space import Choice, Group, Shape, Space
from axynq.host.design.surrogate import Described, Floats, Surrogate, described
from axynq.host.design.workers import Workers
from axynq.host.overlay.board import Board

TOLERANCE = 0.003
"""A difference in speed that is none."""
COARSE = 0.03
"""The same farther than :data:`NEAR` from the fastest, where arrays are but points of a front."""
NEAR = 0.03
RANGE = 4.0
"""How many times slower than the fastest the slowest array of a front is."""
DOUBTS = 2.0
"""Standard deviations by which a guess of resources may be too high: arrays that would fit then are
looked at."""
FRONT_POINTS = 9
"""Arrays of a front that are looked at."""

BOUND, TAKEN_APART, APART, RELAXED, KNOWN = range(5)
"""How much is known of an item's cycles: a shape's least steps; nothing more, as its arrays stand
for it; what bounds an array, of its shape or a neighbour; its own, if all lanes could take any
filter; its own."""

ANY = Plan.uniform("exact")
"""What runs on lanes that can all take any filter."""

Flags = npt.NDArray[np.bool_]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and of how much."""


@dataclass(frozen=True)
class Family:
    """Arrays that are compared with each other."""

    name: str
    space: Space
    plan: Callable[[Shape], Plan]
    """The plan that the network runs under on a shape."""
    least_steps: Callable[[Shape], float]
    """No fewer cycles an image."""
    tolerates: Callable[[Shape], bool] = lambda shape: True
    """Whether the network is accurate enough under a shape's plan; asked only where it matters."""


@dataclass(frozen=True)
class Found:
    """An array that was looked at."""

    family: str
    choice: Choice
    look: Look
    cycles: float
    """Per image, at the search's batch."""
    fits: bool

    @property
    def clock_mhz(self) -> float:
        assert self.look.clock_mhz is not None
        return self.look.clock_mhz

    @property
    def images_per_second(self) -> float:
        return self.clock_mhz * 1e6 / self.cycles

    @property
    def luts(self) -> float:
        return self.look.likely("lut")


@dataclass
class Result:
    """What was found in a family."""

    family: str
    found: list[Found] = field(default_factory=list)
    """All that were looked at and can run the network."""
    arrays: int = 0
    """Of the space."""
    compiled: int = 0
    """Arrays that the cycle model was asked of."""
    looked: int = 0
    proven: bool = False
    """Whether nothing else in the space could be faster, by the models."""
    refused: str = ""
    """Why some array has no clock, where that is so."""
    smallest: list[float] = field(default_factory=list)
    """Least of each resource that any array takes, by the surrogate; for errors."""

    @property
    def best(self) -> Found | None:
        """The fastest that fits; of those as fast, the one with fewest LUTs."""
        fitting = [each for each in self.found if each.fits]
        if not fitting:
            return None
        fastest = max(each.images_per_second for each in fitting)
        able = [e for e in fitting if e.images_per_second >= fastest * (1 - TOLERANCE)]
        return min(able, key=lambda each: (each.luts, -each.images_per_second))

    def front(self) -> list[Found]:
        """Those that fit and that none beats in both LUTs and images per second, by LUTs."""
        made: list[Found] = []
        fitting = [each for each in self.found if each.fits]
        for each in sorted(fitting, key=lambda e: (e.luts, -e.images_per_second)):
            if not made or each.images_per_second > made[-1].images_per_second:
                made.append(each)
        return made


class Search:
    """A search in several families that share looks and surrogate.

    Args:
        board: the name of what to build for.
        description: of it.
        limits: of it.
        workers: compute cycles and look at arrays.
        batch: images at a time.
        progress: told how far it is.
    """

    def __init__(
        self,
        board: str,
        description: Board,
        limits: Limits,
        workers: Workers,
        batch: int,
        progress: Progress = lambda what, done, of: None,
    ) -> None:
        self.board, self.description, self.limits = board, description, limits
        self.workers, self.batch = workers, batch
        self.progress = progress
        self.surrogate = Surrogate()
        layers = workers.model.layers
        self.depthwise = any(isinstance(layer, DepthwiseConvolution) for layer in layers)
        self.looks: dict[Choice, Look] = {}
        self.timed: dict[Hashable, float] = {}
        """Cycles by plan, clock and what else they depend on."""
        self._until = 0.0
        self._clock = max(workers.clocks)

    def best_of(self, family: Family, seconds: float) -> Items:
        """Find the fastest array of a family.

        Args:
            family: arrays to choose from.
            seconds: after which no new looks begin.

        Returns:
            What is known of the family, to go on from; it is :attr:`Items.proven` where nothing
            else can be faster.
        """
        self._until = time.monotonic() + seconds
        items = Items(family, self, self.limits.amounts(self.description))
        if not self.looks and items.choices:
            self._look(items, items.extremes())
        while self.in_time():
            items.settle(items.contenders)
            wanted = items.promising()
            if not wanted:
                items.result.proven = self.in_time()
                break
            self._look(items, wanted)
        return items

    def front_of(self, items: Items, seconds: float, points: int = FRONT_POINTS) -> Result:
        """Find the front of a family.

        Args:
            items: what is known of it.
            seconds: after which no new looks begin.
            points: arrays of the front to look at.
        """
        began = time.monotonic()
        self._until = began + seconds / 2  # the rest is for looks
        items.settle(items.front_candidates)
        self._until = began + seconds
        wanted = items.along_front(points)
        count = self.workers.count
        for first in range(0, len(wanted), count):
            if self.in_time():
                self._look(items, wanted[first : first + count])
        return items.finished()

    def in_time(self) -> bool:
        return time.monotonic() < self._until

    @property
    def clock(self) -> float:
        """MHz that an array gets, as far as is known."""
        return self._clock

    def _look(self, items: Items, numbers: Sequence[int]) -> None:
        fresh = [items.choices[n] for n in numbers if items.choices[n] not in self.looks]
        overlays = [c.overlay("looked-at", self.board, self._clock) for c in fresh]
        done = len(self.looks)
        self.progress(f"{items.family.name}: looking at arrays", done, done + len(fresh))

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self.progress(f"{items.family.name}: looking at arrays", done, done)

        self.looks |= dict(zip(fresh, self.workers.looks(overlays, advance)))
        items.result.looked += len(fresh)
        for choice in fresh:
            if self.looks[choice].clock_mhz is None:
                slowest = list(self.looks[choice].refused.items())[-1]
                items.result.refused = f"at {slowest[0]} MHz {slowest[1]}"
        clocks = [look.clock_mhz for look in self.looks.values() if look.clock_mhz is not None]
        if clocks:
            self._clock = max(clocks)
        usable = {c: look for c, look in self.looks.items() if look.clock_mhz is not None}
        self.surrogate.fit(described(list(usable)), list(usable.values()))


class Items:
    """Shapes and arrays of a family, and what is known of them."""

    def __init__(self, family: Family, search: Search, allowed: Floats) -> None:
        self.family, self.search, self.allowed = family, search, allowed
        self.result = Result(family.name, arrays=family.space.size())
        self.choices: list[Choice] = []
        self.stage: list[int] = []
        self.cycles: list[float] = []
        """At least; infinite where the network does not run."""
        self.described = described([])
        self.apart: dict[Shape, list[int]] = {}
        shapes = [(shape, family.least_steps(shape)) for shape in family.space.shapes()]
        shapes = [(shape, steps) for shape, steps in shapes if np.isfinite(steps)]
        smallest = [family.space.smallest(shape) for shape, _ in shapes]
        self._add(smallest, [max(steps, 1.0) for _, steps in shapes], BOUND)

    def _add(self, choices: Sequence[Choice], cycles: Sequence[float], stage: int) -> None:
        new = described(choices)
        self.described = Described(
            np.concatenate([self.described.terms, new.terms]),
            np.concatenate([self.described.known, new.known]),
        )
        self.choices += choices
        self.cycles += cycles
        self.stage += [stage] * len(choices)

    # --- what is known and guessed ---

    def _amounts(self, doubts: float = 0.0) -> Floats:
        """[items, resources]: as looked at, or as guessed less so many standard deviations."""
        guess = self.search.surrogate.guess(self.described)
        made = guess.likely - doubts * guess.doubt
        for n, choice in enumerate(self.choices):
            look = self.search.looks.get(choice)
            if look is not None and look.clock_mhz is not None and self.stage[n] >= APART:
                made[n] = [look.likely(resource) for resource in RESOURCES]
        return np.asarray(made)

    def _fitting(self, amounts: Floats) -> Flags:
        fits = (amounts <= self.allowed).all(axis=1)
        for n, choice in enumerate(self.choices):
            look = self.search.looks.get(choice)
            if look is not None and look.clock_mhz is None and self.stage[n] >= APART:
                fits[n] = False
        return fits & np.isfinite(self.cycles) & np.array([s != TAKEN_APART for s in self.stage])

    def _speeds(self) -> Floats:
        """Images a microsecond, at most."""
        clocks = np.full(len(self.choices), self.search.clock)
        for n, choice in enumerate(self.choices):
            look = self.search.looks.get(choice)
            if look is not None and look.clock_mhz is not None:
                clocks[n] = look.clock_mhz
        return np.asarray(clocks / np.array(self.cycles))

    # --- cycles ---

    def settle(self, open_items: Callable[[], list[int]]) -> None:
        """Until all is known by the cycle model that might matter."""
        while self.search.in_time():
            open_ = open_items()
            if not open_:
                return
            self.progress_words(len(open_))
            bounds = [n for n in open_ if self.stage[n] == BOUND]
            apart = [n for n in open_ if self.stage[n] == APART]
            relaxed = [n for n in open_ if self.stage[n] == RELAXED]
            fastest = [self.family.space.fastest(self.choices[n].shape) for n in bounds]
            asked = [_relaxed(c) for c in (*fastest, *(self.choices[n] for n in apart))]
            found = self._computed([ANY] * len(asked), asked)
            self._compute_own(relaxed)
            for n, cycles in zip(apart, found[len(bounds) :]):
                self._know(n, cycles, RELAXED)
            self._take_apart(bounds, found[: len(bounds)])

    def _compute_own(self, numbers: Sequence[int]) -> None:
        choices = [self.choices[n] for n in numbers]
        plans = [self.family.plan(choice.shape) for choice in choices]
        for n, cycles in zip(numbers, self._computed(plans, choices)):
            self._know(n, cycles, KNOWN)

    def progress_words(self, left: int) -> None:
        done = self.result.compiled
        self.search.progress(f"{self.family.name}: cycles", done, done + left)

    def contenders(self) -> list[int]:
        """Items that might be faster than what is known, the fastest first; those that might fit
        count too, since a look may show that they do."""
        if not self.choices:
            return []
        amounts, speeds = self._amounts(), self._speeds()
        known = np.array([stage == KNOWN for stage in self.stage])
        best = speeds[known & self._fitting(amounts)].max(initial=0.0)
        might = ~known & self._fitting(self._amounts(DOUBTS)) & (speeds > best * (1 + TOLERANCE))
        # Of those as fast, as far as is known, the largest is likely to be so.
        order = sorted(np.flatnonzero(might), key=lambda n: (-speeds[n], -amounts[n, 0]))
        chosen: dict[Shape, int] = {}
        for n in order:
            chosen.setdefault(self.choices[n].shape, int(n))
            if len(chosen) == 2 * self.search.workers.count:
                break
        return list(chosen.values())

    def front_candidates(self) -> list[int]:
        """Items that might be on the front and are not known."""
        if not self.choices:
            return []
        amounts = self._amounts()
        fits, speeds = self._fitting(amounts), self._speeds()
        known = np.array([stage == KNOWN for stage in self.stage])
        order = [n for n in np.argsort(amounts[:, 0], kind="stable") if fits[n]]
        if not order:
            return []
        best = np.maximum.accumulate(np.where(known, speeds, 0.0)[order])
        fastest = max(speeds[order])
        fastest_known = best[-1]
        chosen, highest = [], 0.0
        for n, beaten in zip(order, best):
            near = speeds[n] >= fastest_known * (1 - NEAR)
            enough = 1 + (TOLERANCE if near else COARSE)
            might = speeds[n] > beaten * enough and speeds[n] * RANGE >= fastest
            if known[n] or not might or speeds[n] <= highest * enough:
                continue
            highest = speeds[n]
            chosen.append(n)
        workers = self.search.workers.count
        chosen = chosen[-4 * workers :]
        each = max(workers // max(len(chosen), 1), 1)
        return list(dict.fromkeys(k for n in chosen for k in self._among(n, amounts, each)))

    def _among(self, n: int, amounts: Floats, count: int) -> list[int]:
        """Of the arrays of a shape that are as fast for all that is known, the one in the middle,
        or some that divide them evenly: however they turn out, most others need not be asked."""
        if self.stage[n] != APART:
            return [n]
        alike = [
            k
            for k in self.apart[self.choices[n].shape]
            if self.stage[k] == APART and self.cycles[k] == self.cycles[n]
        ]
        alike.sort(key=lambda k: amounts[k, 0])
        return [alike[len(alike) * part // (count + 1)] for part in range(1, count + 1)]

    def _computed(self, plans: Sequence[Plan], choices: Sequence[Choice]) -> list[float]:
        """Cycles under plans, infinite where the network does not run."""
        search = self.search
        keys = [
            (id(plan), search.clock, *_timed(c, search.depthwise))
            for plan, c in zip(plans, choices)
        ]
        fresh = {
            key: (plan, choice.overlay("tried", search.board, search.clock), search.batch, None)
            for key, plan, choice in zip(keys, plans, choices)
            if key not in search.timed
        }
        self.result.compiled += len(fresh)
        for key, cycles in zip(fresh, search.workers.cycles(list(fresh.values()))):
            search.timed[key] = float("inf") if cycles is None else cycles
        return [search.timed[key] for key in keys]

    def _take_apart(self, numbers: Sequence[int], cycles: Sequence[float]) -> None:
        for n, fewest in zip(numbers, cycles):
            shape = self.choices[n].shape
            self.stage[n] = TAKEN_APART
            if not np.isfinite(fewest) or not self.family.tolerates(shape):
                continue
            first = len(self.choices)
            choices = list(self._largest_memories(shape))
            self._add(choices, [fewest] * len(choices), APART)
            self.apart[shape] = list(range(first, len(self.choices)))

    def _largest_memories(self, shape: Shape) -> Iterator[Choice]:
        """A shape's arrays, but for those of which another is the same with more memory, and has
        room for it: they are no faster."""
        choices = list(self.family.space.choices(shape))
        guess = self.search.surrogate.guess(described(choices))
        k = RESOURCES.index("block_ram_36k")
        fits = guess.likely[:, k] <= self.allowed[k]
        sizes: dict[tuple[object, ...], list[tuple[int, int, int, int]]] = {}
        for choice, able in zip(choices, fits):
            if able:
                sizes.setdefault(_but_memories(choice), []).append(_memories(choice))
        for choice, able in zip(choices, fits):
            own = _memories(choice)
            others = sizes.get(_but_memories(choice), [])
            if able and not any(o != own and _covers(o, own) for o in others):
                yield choice

    def _know(self, n: int, cycles: float, stage: int) -> None:
        """An array's cycles, and what follows for others of its shape."""
        self.cycles[n], self.stage[n] = max(self.cycles[n], cycles), stage
        if stage == KNOWN:
            self.cycles[n] = cycles
        own = _numbers(self.choices[n])
        for k in self.apart[self.choices[n].shape]:
            if self.stage[k] in (APART, RELAXED) and _covers(own, _numbers(self.choices[k])):
                self.cycles[k] = max(self.cycles[k], cycles)

    # --- what to look at ---

    def extremes(self) -> list[int]:
        """A small and a larger array, from which the surrogate begins."""
        amounts = self._amounts()
        fits = np.flatnonzero((amounts <= self.allowed).all(axis=1))
        able = fits if len(fits) else np.arange(len(self.choices), dtype=np.int64)
        by_luts = able[np.argsort(amounts[able, 0], kind="stable")]
        return sorted({int(by_luts[len(by_luts) // 4]), int(by_luts[3 * len(by_luts) // 4])})

    def promising(self) -> list[int]:
        """Arrays that might fit and be faster than the best that was looked at: the fastest that
        probably fits, and others that might."""
        speeds = self._speeds()
        looked = np.array([choice in self.search.looks for choice in self.choices])
        known = np.array([stage == KNOWN for stage in self.stage], bool)
        amounts = self._amounts()
        certain = known & looked & self._fitting(amounts)
        best = speeds[certain].max(initial=0.0)
        better = known & ~looked & (speeds > best * (1 + TOLERANCE))
        wanted: list[int] = []
        for doubts in (0.0, DOUBTS, DOUBTS / 2):
            able = np.flatnonzero(better & self._fitting(self._amounts(doubts)))
            able = np.array([n for n in able if n not in wanted], np.int64)
            if len(able) and len(wanted) < self.search.workers.count:
                fastest = speeds[able].max()
                alike = able[speeds[able] >= fastest * (1 - TOLERANCE)]
                wanted.append(int(alike[amounts[alike, 0].argmin()]))
        return wanted

    def along_front(self, points: int) -> list[int]:
        """Arrays of the front, by the surrogate, evenly spread over it."""
        amounts, speeds = self._amounts(), self._speeds()
        fits = self._fitting(amounts)
        known = [n for n in np.flatnonzero(fits) if self.stage[n] == KNOWN]
        front: list[int] = []
        for n in sorted(known, key=lambda n: (amounts[n, 0], -speeds[n])):
            if not front or speeds[n] > speeds[front[-1]] * (1 + TOLERANCE):
                front.append(int(n))
        if not front:
            return []
        front = [n for n in front if speeds[n] * RANGE >= speeds[front[-1]]]
        # By their speeds in equal ratios.
        targets = np.geomspace(speeds[front[0]], speeds[front[-1]], min(points, len(front)))
        chosen = {min(front, key=lambda n: abs(np.log(speeds[n] / t))) for t in targets}
        return [n for n in chosen if self.choices[n] not in self.search.looks]

    def finished(self) -> Result:
        """All that was looked at and is known, or becomes so now."""
        looks = self.search.looks
        numbers = [n for n, c in enumerate(self.choices) if c in looks and self.stage[n] >= APART]
        numbers = [n for n in numbers if looks[self.choices[n]].clock_mhz is not None]
        amounts = self._amounts()
        self.result.found.clear()
        for n in numbers:
            if self.stage[n] != KNOWN:
                self._compute_own([n])
            cycles = self.cycles[n]
            if np.isfinite(cycles):
                fits = bool((amounts[n] <= self.allowed).all())
                choice = self.choices[n]
                found = Found(self.family.name, choice, looks[choice], cycles, fits)
                self.result.found.append(found)
        if len(amounts):
            self.result.smallest = amounts.min(axis=0).tolist()
        return self.result


def _relaxed(choice: Choice) -> Choice:
    """The array with lanes that can all take any filter."""
    shape = choice.shape
    lanes = (Group(shape.filters, ("exact",)),)
    return choice._replace(shape=shape._replace(lanes=lanes), codes_in="block RAM")


def _timed(choice: Choice, depthwise: bool) -> tuple[Hashable, ...]:
    """What the cycles of an array depend on, apart from its clock: for each lane its multipliers,
    wherever they are, and whether it can multiply a channel of its own, where there are such
    layers."""
    banks: list[tuple[str, ...]] = []
    takes: list[bool] = []
    for group in choice.shape.lanes:
        for lane in range(len(banks), len(banks) + group.size):
            second = group.cell == "dsp pair" and lane % 2 == 1
            takes.append(depthwise and lane < choice.window_lanes and not second)
        banks += [group.bank] * group.size
    shape = choice.shape
    return (shape.inputs, shape.copies, tuple(banks), tuple(takes), *_numbers(choice))


def _memories(choice: Choice) -> tuple[int, int, int, int]:
    return choice.map_words, choice.weight_vectors, choice.groups, choice.partial_sums


def _but_memories(choice: Choice) -> tuple[object, ...]:
    return (choice.requantisers, choice.adders, choice.window_lanes, choice.codes_in)


def _numbers(choice: Choice) -> tuple[int, ...]:
    return (choice.requantisers, choice.adders, choice.window_lanes, *_memories(choice))


def _covers(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether one has as much of everything."""
    return all(a >= b for a, b in zip(one, other))
