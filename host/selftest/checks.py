# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The checks, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from axynq.emulator import Emulator
from axynq.emulator.errors import AxynqError, PlanError, ProgramError
from axynq.emulator.model import graph
from axynq.host.compiler.compilation import compile_program
from axynq.host.runtime.accelerator import Accelerator
from axynq.host.selftest import golden
from axynq.host.selftest.networks import (
    Random,
    networks,
    random_inputs,
    random_network,
    split_network,
)
from axynq.host.selftest.products import WEIGHTS, product_layers


class Outcome(NamedTuple):
    """What a check found."""

    check: str
    compared: int
    """Values."""
    wrong: int
    detail: str
    seconds: float

    @property
    def passed(self) -> bool:
        return self.compared > 0 and self.wrong == 0


class _Tally:
    def __init__(self, check: str) -> None:
        self.check = check
        self.compared = self.wrong = 0
        self.first = ""
        self._started = time.monotonic()

    def compare(self, what: str, got: np.ndarray, expected: np.ndarray) -> None:  # type: ignore[type-arg]
        if got.shape != expected.shape:
            self.fail(what, f"shape {got.shape}, not {expected.shape}")
            return
        differ = got != expected
        self.compared += differ.size
        self.wrong += int(np.count_nonzero(differ))
        if differ.any() and not self.first:
            place = tuple(int(n) for n in np.argwhere(differ)[0])
            self.first = f"{what}: {got[place]} at {place}, not {expected[place]}"

    def fail(self, what: str, reason: str) -> None:
        self.compared += 1
        self.wrong += 1
        self.first = self.first or f"{what}: {reason}"

    def outcome(self, detail: str = "") -> Outcome:
        seconds = time.monotonic() - self._started
        return Outcome(self.check, self.compared, self.wrong, self.first or detail, seconds)


def run_checks(accelerator: Accelerator, soak: float, stride: int, seed: int) -> Iterator[Outcome]:
    """All checks; ``soak`` is in seconds, ``stride`` leaves weights out of the products."""
    general = golden.general_designs(accelerator.overlay)
    if general:
        yield check_golden(accelerator)
    for spec in golden.designs(accelerator.overlay):
        yield check_products(accelerator, spec, stride)
    if not general:  # networks of any zero point have no multiplier
        return
    yield check_repeats(accelerator)
    yield check_stages(accelerator)
    yield check_sizes(accelerator)
    if soak > 0:
        yield check_soak(accelerator, soak, seed)


def check_golden(accelerator: Accelerator) -> Outcome:
    """The vectors that ship with the overlay; made here where it is one of the user's."""
    tally = _Tally("golden vectors")
    try:
        expected = golden.read(accelerator.overlay)
        source = "shipped"
    except AxynqError:
        expected = golden.compute(accelerator.overlay)
        source = "computed here: none ship for this overlay"
    found = golden.cases(accelerator.overlay)
    for case in found:
        try:
            program = compile_program(case.model, case.plan, accelerator.overlay)
            tally.compare(case.name, accelerator.run(program, case.x), expected[case.name])
        except (AxynqError, KeyError) as error:
            tally.fail(case.name, str(error))
    return tally.outcome(f"{len(found)} networks, {source}")


def check_products(accelerator: Accelerator, spec: str, stride: int) -> Outcome:
    """Every activation against every weight, or every ``stride``-th, on all lanes with ``spec``."""
    tally = _Tally(f"products of {spec}")
    # The extremes always; the rest evenly.
    weights = np.unique(np.concatenate([WEIGHTS[::stride], [-128, -127, -1, 0, 1, 127]]))
    shown = pairs = 0
    for layer in product_layers(accelerator.overlay, spec, weights):
        pairs += 256
        shown += layer.seen
        try:
            program = compile_program(layer.model, layer.plan, accelerator.overlay)
            tally.compare(spec, accelerator.run(program, layer.x), layer.expected)
        except AxynqError as error:
            tally.fail(spec, str(error))
            break
    return tally.outcome(f"{pairs} operand pairs, {shown} of them to the last bit")


def check_repeats(accelerator: Accelerator) -> Outcome:
    """The same call gives the same again, whatever ran in between."""
    tally = _Tally("repeated calls")
    first = golden.general_designs(accelerator.overlay)[0]
    chosen = networks(seed=1)[-3:]
    programs = [compile_program(model, first, accelerator.overlay) for model in chosen]
    inputs = [random_inputs(model, 4, Random(n)) for n, model in enumerate(chosen)]
    expected = [Emulator(model, first).run(x) for model, x in zip(chosen, inputs)]
    for turn in range(12):
        which = (turn * turn) % len(chosen)
        try:
            y = accelerator.run(programs[which], inputs[which])
            tally.compare(f"call {turn}", y, expected[which])
        except AxynqError as error:
            tally.fail(f"call {turn}", str(error))
            break
    return tally.outcome("12 calls of 3 programs")


def check_stages(accelerator: Accelerator) -> Outcome:
    """Programs in which core and host take turns."""
    tally = _Tally("stages")
    for images in (1, 3, 70):
        model = split_network(Random(images))
        x = random_inputs(model, images, Random(images))
        if not _ran(accelerator, tally, model, x):
            break
    return tally.outcome("networks that core and host compute in turn")


def check_sizes(accelerator: Accelerator) -> Outcome:
    """Transfers of odd sizes: numbers of images, and rows and channels that fill no word."""
    tally = _Tally("odd sizes")
    random = Random(77)
    for images in (1, 2, 3, 5, 17, 63, 65, 131):
        model = random_network(Random(images))
        x = random_inputs(model, images, random)
        if not _ran(accelerator, tally, model, x):
            break
    return tally.outcome("1 to 131 images, buffers of any length")


def _ran(accelerator: Accelerator, tally: _Tally, model: graph.Model, x: graph.Int8Array) -> bool:
    """Whether a network ran to its end; ``tally`` learns whether its outputs are right."""
    what, plan = f"{len(x)} images", golden.general_designs(accelerator.overlay)[0]
    try:
        program = compile_program(model, plan, accelerator.overlay)
        tally.compare(what, accelerator.run(program, x), Emulator(model, plan).run(x))
    except AxynqError as error:
        tally.fail(what, str(error))
        return False
    return True


def check_soak(accelerator: Accelerator, seconds: float, seed: int) -> Outcome:
    """Random programs for so long."""
    tally = _Tally("soak")
    specs = golden.general_designs(accelerator.overlay)
    end = time.monotonic() + seconds
    programs = number = 0
    while time.monotonic() < end or programs == 0:
        random = Random(seed + number)
        number += 1
        model = random_network(random)
        plan = str(random.choice(specs))
        x = random_inputs(model, int(random.randint(1, 9)), random)
        try:
            program = compile_program(model, plan, accelerator.overlay)
        except (PlanError, ProgramError):
            continue  # more than this overlay's buffers hold
        what = f"seed {seed + number - 1}"
        try:
            tally.compare(what, accelerator.run(program, x), Emulator(model, plan).run(x))
        except AxynqError as error:
            tally.fail(what, str(error))
            break
        programs += 1
    return tally.outcome(f"{programs} random programs")
