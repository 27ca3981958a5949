# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Golden vectors: what the emulator says the networks of the self-test give on an overlay.

``make generate`` writes them to ``bitstreams/golden/NAME.npz`` for every overlay.
"""

from __future__ import annotations

import io
from importlib import resources
from typing import NamedTuple

import numpy as np

from axynq.emulator import Emulator
from axynq.emulator.arrays import open_arrays
from axynq.emulator.errors import OverlayError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import Multiplier
from axynq.host.overlay import Overlay
from axynq.host.selftest.networks import Random, networks, random_inputs

IMAGES = 3


class Case(NamedTuple):
    """A network under a plan."""

    name: str
    model: graph.Model
    plan: str
    x: graph.Int8Array


def designs(overlay: Overlay) -> list[str]:
    """Specifications of all multipliers in the overlay's banks, in order."""
    return list(dict.fromkeys(m.spec for bank in overlay.banks for m in bank))


def general_designs(overlay: Overlay) -> list[str]:
    """Those of them that multiply any activation, as signed tables do not: what is tested with
    networks of any zero point."""
    found = {m.spec: m.activation_range for bank in overlay.banks for m in bank}
    return [spec for spec, reach in found.items() if reach == Multiplier.activation_range]


def cases(overlay: Overlay) -> list[Case]:
    """Each network under the first general design; one with a convolution under every other, and
    under one that changes from weight to weight where a bank has several."""
    made: list[Case] = []
    general = general_designs(overlay)
    if not general:
        return made
    first = general[0]
    all_networks = networks()
    for number, model in enumerate(all_networks):
        x = random_inputs(model, IMAGES, Random(9000 + number))
        made.append(Case(f"{model.name}, {first}", model, first, x))
    convolution, x = all_networks[1], made[1].x
    plans = general[1:]
    banks = [[m.spec for m in bank if m.spec in general] for bank in overlay.banks]
    largest = max(banks, key=len)
    if len(largest) > 1:
        plans.append("klam-column=" + "|".join(largest[:3]))
        plans.append(f"{largest[0]}+klms=1")
    return made + [Case(f"{convolution.name}, {p}", convolution, p, x) for p in plans]


def compute(overlay: Overlay) -> dict[str, graph.Int8Array]:
    """The emulator's outputs by case."""
    return {case.name: Emulator(case.model, case.plan).run(case.x) for case in cases(overlay)}


def read(overlay: Overlay) -> dict[str, graph.Int8Array]:
    """The vectors that ship with axynq.

    Raises:
        OverlayError: there are none for this overlay, or they are damaged.
    """
    entry = resources.files("axynq.bitstreams") / "golden" / f"{overlay.name}.npz"
    if not entry.is_file():
        raise OverlayError(f"no golden vectors ship with axynq for overlay '{overlay.name}'")
    try:
        with resources.as_file(entry) as path, open_arrays(path) as arrays:
            return {name: arrays[name] for name in arrays}
    except (OSError, ValueError) as error:
        raise OverlayError(
            f"the golden vectors of overlay '{overlay.name}' cannot be read: {error}. "
            "Install axynq again"
        ) from error


def archive(overlay: Overlay) -> bytes:
    """The content of the ``.npz`` that ships with axynq."""
    values = {case: y.astype(np.int8) for case, y in compute(overlay).items()}
    content = io.BytesIO()
    np.savez_compressed(content, **values)
    return content.getvalue()
