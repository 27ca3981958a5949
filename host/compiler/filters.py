# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the lanes compute for a layer, and which lanes can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import PlanError
from axynq.emulator.model.fixed_point import FixedPoint
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import LayerCodes
from axynq.host import isa
from axynq.host.overlay import Overlay

PASS_THROUGH = FixedPoint(1 << 30, 1)
"""The factor that changes nothing."""


class Fold(NamedTuple):
    """Kernel rows and columns that lie side by side in the bytes of a word, where a layer has so
    few channels that a word would be mostly empty."""

    rows: int = 1
    columns: int = 1

    @property
    def taps(self) -> int:
        """Kernel positions in a word."""
        return self.rows * self.columns


@dataclass(frozen=True)
class Kernel:
    """Weights, as the accelerator sees them."""

    weights: npt.NDArray[np.int8]
    """[filters, rows, columns, channels]; one channel where depthwise."""
    codes: LayerCodes
    """Of the weights' shape."""
    depthwise: bool
    """Whether filter ``f`` sees input channel ``f`` only."""


@dataclass(frozen=True)
class Filters:
    """A filter for each output channel of a layer."""

    bias: npt.NDArray[np.int32]
    factors: Sequence[FixedPoint]
    kernel: Kernel | None = None
    """None where values go through the lanes unmultiplied."""

    @property
    def count(self) -> int:
        return len(self.bias)

    @classmethod
    def unmultiplied(cls, channels: int, factor: FixedPoint = PASS_THROUGH) -> Filters:
        """For a layer that has no weights: each channel for itself, by the same factor."""
        return cls(np.zeros(channels, np.int32), (factor,) * channels)


def choose_fold(
    rows: int, columns: int, channels: int, inputs: int, dilation: tuple[int, int] = (1, 1)
) -> Fold:
    """The fold with which a kernel takes fewest steps; of those the one that pads least."""
    taps = inputs // channels
    return min(
        (
            Fold(r, c)
            for r, c in product(range(1, rows + 1), range(1, columns + 1))
            if r * c <= max(taps, 1)
            and max((r - 1) * dilation[0], (c - 1) * dilation[1]) <= isa.MAX_FOLD_DISTANCE
        ),
        key=lambda fold: (
            -(-rows // fold.rows) * -(-columns // fold.columns),
            -rows % fold.rows + -columns % fold.columns,
            fold.rows,
        ),
    )


LaneCodes = list[list[int | None]]
"""For each lane the lane's code of each of a layer's multipliers, None where it lacks it."""


def codes_by_lane(kernel: Kernel, overlay: Overlay) -> LaneCodes:
    """The codes that select a layer's multipliers on each lane."""
    known: dict[tuple[Multiplier, ...], list[int | None]] = {}
    for designs in set(overlay.banks):
        known[designs] = [
            designs.index(m) if m in designs else None for m in kernel.codes.multipliers
        ]
    return [known[designs] for designs in overlay.banks]


def _of_window_lanes(overlay: Overlay) -> list[str]:
    """The multipliers that depthwise layers may have."""
    banks = overlay.banks[: overlay.window_lanes]
    return list(dict.fromkeys(m.spec for bank in banks for m in bank))


def allowed_lanes(layer: str, filters: Filters, overlay: Overlay) -> list[frozenset[int]]:
    """For each filter the lanes that have every multiplier it uses. A filter that sees a channel of
    its own can go to the window lanes only.

    Raises:
        PlanError: a filter needs multipliers that no lane has together; ``layer`` names its layer.
    """
    kernel = filters.kernel
    if kernel is None:
        return [frozenset(range(overlay.window_lanes))] * filters.count
    lane_codes = codes_by_lane(kernel, overlay)
    codes = kernel.codes.codes.reshape(len(kernel.weights), -1)
    used = np.array([(codes == code + 1).any(axis=1) for code in range(len(lane_codes[0]))], bool)
    used = used.reshape(-1, len(codes)).T
    held = np.array([[code is not None for code in own] for own in lane_codes], bool)
    lanes = range(overlay.array.filters)
    takes = np.array([not kernel.depthwise or overlay.takes_windows(lane) for lane in lanes])
    by_need: dict[bytes, frozenset[int]] = {}
    allowed = []
    for need in used:
        key = need.tobytes()
        if key not in by_need:
            holding = (held | ~need).all(axis=1)
            by_need[key] = frozenset(np.flatnonzero(holding & takes).tolist())
            if not by_need[key]:
                needed = tuple((np.flatnonzero(need) + 1).tolist())
                specs = [kernel.codes.multipliers[code - 1].spec for code in needed]
                if holding.any():
                    raise PlanError(
                        f"layer '{layer}' is depthwise and needs {' and '.join(specs)} on a window "
                        f"lane; only lanes behind the overlay's {overlay.window_lanes} have it: "
                        f"give the layer {' or '.join(_of_window_lanes(overlay))}"
                    )
                raise PlanError(_lacking(layer, specs, needed, lane_codes))
        allowed.append(by_need[key])
    return allowed


def _lacking(layer: str, specs: list[str], need: tuple[int, ...], lane_codes: LaneCodes) -> str:
    absent = [
        spec for spec, code in zip(specs, need) if all(own[code - 1] is None for own in lane_codes)
    ]
    if absent:
        return (
            f"layer '{layer}' needs multiplier '{absent[0]}', which the overlay does not have: "
            "choose another overlay, or a plan of its multipliers"
        )
    return (
        f"layer '{layer}' has a filter that needs {' and '.join(specs)} together, but no lane of "
        "the overlay has all of them"
    )
