# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Finds an array for a network, with the figures to expect of it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from axynq.emulator.energy import relative_energy
from axynq.emulator.errors import AxynqError, OverlayError
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.host.compiler.capacity import most_filters
from axynq.host.compiler.compilation import TYPICAL_BATCH, compile_program
from axynq.host.design.breakdown import Breakdown, break_down
from axynq.host.design.clocks import usual_clocks
from axynq.host.design.library import Library
from axynq.host.design.limits import NAMES, Limits
from axynq.host.design.looks import RESOURCES
from axynq.host.design.mixes import Lanes, mixes, needs_of
from axynq.host.design.search import (
    ANY,
    FRONT_POINTS,
    Family,
    Found,
    Items,
    Progress,
    Result,
    Search,
)
from axynq.host.design.space import Choice, Group, Shape, Space, even_counts
from axynq.host.design.speed import LeastSteps
from axynq.host.design.workers import Workers
from axynq.host.overlay import Overlay
from axynq.host.overlay.board import Board, load_board
from axynq.host.overlay.description import MAX_GROUPS
from axynq.host.performance.cycles import program_cycles
from axynq.host.power.estimate import estimate as energy_estimate
from axynq.host.synthesis.compilation import require_packages

Objective = Literal["throughput", "latency", "energy"]

APPROXIMATE = "approximate"
EXACT = "exact"
EXACT_IN_LUTS = "exact, no products in DSPs"

MOST_LANES = 64
ALIKE = 0.02
"""A difference of estimated energy that is none."""
FIRST_PART = 0.6
"""Of the time, at most, to find the best array; the rest is for those that it is compared with, and
for fronts."""


@dataclass(frozen=True)
class Request:
    """What to design. Fields are the arguments of :func:`design_overlay`."""

    model: Model
    plan: Plan
    """The plan, which says what multiplier every filter needs."""
    board: str
    objective: Objective = "throughput"
    batch: int = TYPICAL_BATCH
    limits: Limits = field(default_factory=Limits)
    clocks: tuple[float, ...] = ()
    """MHz; empty: the board's usual ones."""
    products: bool = True
    """Whether DSP blocks may be used for multipliers of lanes."""
    compare: bool = True
    """Whether to search among exact arrays too, to compare."""
    seconds: float = 150.0
    """No new arrays are looked at after this time."""
    workers: int | None = None
    space: Space | None = None
    """Arrays for the plan; default: all that seem worth it."""
    library: Library | None = None
    """Multipliers to choose from; then the plan does not matter."""
    test_examples: Examples | None = None
    """To measure the accuracy of the chosen array on."""

    def __post_init__(self) -> None:
        """Raises:
        OverlayError: there is no such board or objective, or no clock.
        """
        load_board(self.board)
        if self.objective not in get_args(Objective):
            known = ", ".join(get_args(Objective))
            raise OverlayError(f"unknown objective '{self.objective}'; known are: {known}")
        if any(clock <= 0 for clock in self.clocks):
            raise OverlayError("clocks must be above 0 MHz")

    @property
    def description(self) -> Board:
        return load_board(self.board)


@dataclass(frozen=True)
class Figures:
    """The expected figures of an array. All are from models; nothing is measured."""

    found: Found
    """The array, its clock and its estimated resources."""
    latency_cycles: float
    """Clock cycles for a single image."""
    batch_cycles: float
    """Clock cycles per image, at the batch size of the request."""
    joules: float | None
    """Energy per image at that batch size, by :mod:`axynq.host.power.estimate`; None: unknown."""
    plan: Plan
    """The plan that the figures are for."""
    relative_energy: float | None
    """Energy of the plan's multiplications, relative to exact ones; None: unknown."""
    accuracy: float | None
    """Accuracy under the plan, 0 to 1, on the examples of a library; None: there are none."""

    @property
    def images_per_second(self) -> float:
        """Throughput at the batch size of the request."""
        return self.found.clock_mhz * 1e6 / self.batch_cycles

    @property
    def latency_milliseconds(self) -> float:
        """Time for a single image."""
        return self.latency_cycles / self.found.clock_mhz / 1000


@dataclass(frozen=True)
class Design:
    """The array that was found, and those it was compared with."""

    request: Request
    """What was asked for."""
    overlay: Overlay
    """The overlay; ``overlay.to_toml()`` is its description."""
    chosen: Figures
    """The figures to expect of it."""
    fronts: dict[str, list[Figures]]
    """Front of throughput against LUTs for each family of arrays, in order of LUTs. The family of
    the request is first."""
    best: dict[str, Figures]
    """The best array of each family by the objective."""
    results: dict[str, Result]
    """Results of the search for each family."""
    breakdown: Breakdown
    """What the LUTs of the array are used for."""
    most_filters: dict[str, dict[str, int]]
    """For each layer and multiplier, how many filters may use it before the layer takes longer."""
    bounds: dict[str, float]
    """Share of the cycles, at the batch size, of layers that are limited by the lanes
    (``compute``), the ports, the memory and the rest (:class:`LayerCycles`)."""
    accuracies: dict[str, float]
    """Accuracy on the test examples, 0 to 1, of ``exact`` and of the ``chosen`` plan; empty if
    there are no examples."""


def design_overlay(  # noqa: PLR0913 - options, most by name
    model: Model,
    plan: Plan | str | Library = "exact",
    board: str = "pynq-z2",
    *,
    objective: Objective = "throughput",
    batch: int = TYPICAL_BATCH,
    limits: Limits | None = None,
    clocks: Sequence[float] = (),
    products: bool = True,
    compare: bool = True,
    seconds: float = 150.0,
    workers: int | None = None,
    space: Space | None = None,
    progress: Progress = lambda what, done, of: None,
) -> Design:
    """Find the best array for a network under a plan.

    All figures are from models (cycles, resources, clock); nothing is built. The extra ``rtl`` is
    needed.

    Args:
        model: an int8 network.
        plan: a plan or a shorthand; the array has the multipliers that it needs. Or a library of
            multipliers to choose from; then ``design.chosen.plan`` is the plan.
        board: name of the board, such as ``pynq-z2``.
        objective: ``throughput``: most images per second at ``batch``. ``latency``: the shortest
            time for a single image. ``energy``: the least energy per image by
            :mod:`axynq.host.power.estimate`, among arrays on the front.
        batch: images per call.
        limits: shares of the board's resources that may be used; None: those of :class:`Limits`.
        clocks: clocks to choose from, in MHz; empty: the board's usual ones.
        products: whether DSP blocks may be used for multipliers of lanes.
        compare: whether to search for the best exact arrays too, to compare.
        seconds: no new arrays are evaluated after this time.
        workers: number of processes; None: one per processor.
        space: the arrays to choose from; None: all that seem worthwhile.
        progress: called with what is being done, how much of it is done, and how much there is.

    Returns:
        The design: ``.overlay`` is the overlay, ``.chosen`` has the figures to expect.

    Raises:
        PlanError: the plan does not fit the model, or needs more than lanes can hold.
        OverlayError: no array fits the board; the message says which resource is short. Or there
            is no such board.
        ProgramError: no array can run the network.
        ToolError: clang or LLVM is not installed.

    Examples:
        >>> design = design_overlay(model, "flam=exact|roup:1,4", board="pynq-z2")
        >>> design.chosen.images_per_second  # doctest: +SKIP
        >>> Path("overlay.toml").write_text(design.overlay.to_toml())  # doctest: +SKIP
    """
    library = plan if isinstance(plan, Library) else None
    chosen = Plan.uniform("exact")
    if not isinstance(plan, Library):
        chosen = Plan.parse(model, plan) if isinstance(plan, str) else plan
    request = Request(
        model, chosen, board, objective, batch, limits or Limits(), tuple(clocks), products,
        compare, seconds, workers, space, library,
    )  # fmt: skip
    return design(request, progress)


def design(request: Request, progress: Progress = lambda what, done, of: None) -> Design:
    """As :func:`design_overlay`."""
    require_packages()
    board = request.description
    with Workers(request.model, request.clocks or usual_clocks(board), request.workers) as workers:
        progress("what filters need", 0, 1)
        families = families_of(request)
        batch = 1 if request.objective == "latency" else request.batch
        search = Search(request.board, board, request.limits, workers, batch, progress)
        ends = time.monotonic() + request.seconds
        known: dict[str, Items] = {}
        for number, family in enumerate(families):
            left = ends - time.monotonic()
            known[family.name] = search.best_of(family, left * (1.0 if number else FIRST_PART))
            if number == 0:
                check_found(known[family.name].finished(), request)
        results: dict[str, Result] = {}
        for number, family in enumerate(families):
            left = (ends - time.monotonic()) / (len(families) - number)
            points = FRONT_POINTS if number == 0 else FRONT_POINTS // 2
            results[family.name] = search.front_of(known[family.name], left, points)
        plans = {family.name: family.plan for family in families}
        fronts = {
            name: _figures(result.front(), request, plans[name], workers)
            for name, result in results.items()
        }
        best = {
            name: _preferred(_figures([result.best], request, plans[name], workers),
                             fronts[name], request.objective)
            for name, result in results.items()
            if result.best is not None
        }  # fmt: skip
    return _described(request, families[0], fronts, best, results)


def families_of(request: Request) -> list[Family]:
    """The arrays for the plan, then those that they are compared with."""
    needs = needs_of(request.model, request.plan)
    is_exact = request.library is None and all(need.specs == {"exact"} for need in needs)
    name = APPROXIMATE
    if is_exact:
        name = EXACT if request.products else EXACT_IN_LUTS
    if request.library is None:
        plan = ANY if is_exact else request.plan
        families = [_family(request, name, plan, request.products, request.space)]
    else:
        families = [_of_library(request, request.library)]
    if request.compare:
        if not is_exact and request.products:
            families.append(_family(request, EXACT, ANY, True))
        if request.products or not is_exact:
            families.append(_family(request, EXACT_IN_LUTS, ANY, False))
    return families


def _family(
    request: Request, name: str, plan: Plan, products: bool, space: Space | None = None
) -> Family:
    least = LeastSteps(request.model, plan)
    if space is None:
        needs = needs_of(request.model, plan)
        space = usual_space(request, mixes(needs, even_counts(MOST_LANES), products))
    return Family(name, space, lambda shape: plan, least.of)


def _of_library(request: Request, library: Library) -> Family:
    mixes_ = library.mixes(even_counts(MOST_LANES), request.products)
    space = request.space or usual_space(request, mixes_)
    least = LeastSteps(request.model, ANY)

    def least_steps(shape: Shape) -> float:
        # Plans are such that no lane waits for another: as if all lanes could take any filter.
        return least.of(shape._replace(lanes=(Group(shape.filters, ("exact",)),)))

    return Family(APPROXIMATE, space, library.plan, least_steps, library.tolerates)


def usual_space(request: Request, lanes: tuple[Lanes, ...]) -> Space:
    """Arrays that seem worth it, with lanes that are divided like that."""
    model = request.model
    # Copies take images of their own: one image alone has no use for them.
    copies = (1,) if request.objective == "latency" else (1, 2, 3, 4, 6, 8)
    largest = max((len(layer.kernel) for layer in model.layers), default=1)
    groups = tuple(g for g in (32, 64, MAX_GROUPS) if g == 32 or g * 4 < 2 * largest)
    return Space(lanes, inputs=(8, 16, 32, 64), copies=copies, groups=groups)


def check_found(result: Result, request: Request) -> None:
    """Raises:
    OverlayError: nothing fits; the message says what bounds it.
    """
    if result.best is not None:
        return
    board = request.description
    if not result.found and not result.proven:
        raise OverlayError(
            "the time was up before an array was found: give it more (--time-limit), or run again, "
            "as what was estimated is kept"
        )
    if result.found:
        nearest = min(
            result.found,
            key=lambda each: max(
                each.look.likely(name) / allowed
                for name, allowed in zip(RESOURCES, request.limits.amounts(board))
            ),
        )
        exceeded = ", ".join(request.limits.exceeded(nearest.look, board))
        raise OverlayError(
            f"no array that was looked at fits {board.name}: the nearest takes {exceeded}. "
            "Raise the limits, take a larger board, or a plan with fewer multipliers"
        )
    if result.smallest:
        takes = [
            f"{least:,.0f} {NAMES[name]} of {allowed:,.0f}"
            for name, least, allowed in zip(
                RESOURCES, result.smallest, request.limits.amounts(board)
            )
            if least > allowed
        ]
        if takes:
            raise OverlayError(
                f"no array fits {board.name}: the smallest would take about {', '.join(takes)} "
                "that the limits allow"
            )
    if result.refused:
        raise OverlayError(f"no array reaches a clock: {result.refused}")
    raise OverlayError(
        f"no array can run the network on {board.name} under this plan: {_why_not(request)}"
    )


def _why_not(request: Request) -> str:
    """What the compiler says of the first array, and where it says nothing, what else it can be."""
    family = families_of(request)[0]
    clock = min(request.clocks or usual_clocks(request.description))
    shape = next(family.space.shapes(), None)
    if shape is None:
        return "there is no array in the space"
    overlay = family.space.fastest(shape).overlay("tried", request.board, clock)
    try:
        compile_program(request.model, family.plan(shape), overlay, request.batch)
    except AxynqError as error:
        return str(error)
    return "no array of the library that fits keeps the accuracy that is asked for"


def _figures(
    found: Sequence[Found], request: Request, plan_of: Callable[..., Plan], workers: Workers
) -> list[Figures]:
    overlays = [each.choice.overlay("tried", request.board, each.clock_mhz) for each in found]
    plans = [plan_of(each.choice.shape) for each in found]
    alone, many = (
        workers.cycles(
            [(p, o, batch, each.look.depth) for p, o, each in zip(plans, overlays, found)]
        )
        for batch in (1, request.batch)
    )
    made = []
    for each, plan, overlay, one, cycles in zip(found, plans, overlays, alone, many):
        assert one is not None  # they ran before
        assert cycles is not None
        joules = None
        if request.objective == "energy":
            program = compile_program(request.model, plan, overlay, request.batch)
            spent = energy_estimate(program, overlay, request.batch)
            joules = None if spent is None else spent.joules
        library = request.library
        made.append(
            Figures(
                each, one, cycles, joules, plan, relative_energy(request.model, plan),
                None if library is None else library.accuracy(plan),
            )
        )  # fmt: skip
    return made


def _preferred(best: Sequence[Figures], front: Sequence[Figures], objective: Objective) -> Figures:
    """Of a family's fastest and its front."""
    if objective != "energy":
        return best[0]
    known = [each for each in (*front, *best) if each.joules is not None]
    if not known:
        return best[0]
    least = min(each.joules for each in known if each.joules is not None)
    able = [e for e in known if e.joules is not None and e.joules <= least * (1 + ALIKE)]
    return max(able, key=lambda each: each.images_per_second)


def _described(
    request: Request,
    family: Family,
    fronts: dict[str, list[Figures]],
    best: dict[str, Figures],
    results: dict[str, Result],
) -> Design:
    chosen = best[family.name]
    choice = chosen.found.choice
    name = overlay_name(request.model.name, request.board)
    overlay = choice.overlay(name, request.board, chosen.found.clock_mhz)
    plan = family.plan(choice.shape)
    return Design(
        request,
        overlay,
        chosen,
        fronts,
        best,
        results,
        break_down(overlay),
        most_filters(request.model, overlay),
        _bounds(request, plan, overlay),
        _accuracies(request, plan),
    )


def _accuracies(request: Request, plan: Plan) -> dict[str, float]:
    examples = request.test_examples
    if examples is None:
        return {}
    network = request.model if request.library is None else request.library.network(plan)
    pairs = {EXACT: (request.model, Plan.uniform("exact")), "chosen": (network, plan)}
    return {
        name: Evaluator(own, examples).correct(each) / len(examples)
        for name, (own, each) in pairs.items()
    }


def overlay_name(model: str, board: str) -> str:
    """A name for an overlay, of what descriptions allow."""
    text = re.sub(r"[^a-z0-9]+", "-", f"{model}-{board}".lower()).strip("-")
    return text or "designed"


def _bounds(request: Request, plan: Plan, overlay: Overlay) -> dict[str, float]:
    program = compile_program(request.model, plan, overlay, request.batch)
    cycles = program_cycles(program, overlay, request.batch)
    shares: Counter[str] = Counter()
    for layer in cycles.layers:
        shares[layer.bound] += layer.cycles
    return {bound: amount / cycles.cycles for bound, amount in shares.most_common()}


def description(choice: Choice) -> str:
    """An array in a few words."""
    shape = choice.shape
    lanes = " + ".join(
        f"{group.size} × {'|'.join(group.bank)}"
        + {"separate": "", "configurable": " (one cell)", "dsp pair": " (DSP)"}[group.cell]
        for group in shape.lanes
    )
    copies = f"{shape.copies} copies of " if shape.copies > 1 else ""
    return f"{copies}{shape.filters} × {shape.inputs}: {lanes}"
