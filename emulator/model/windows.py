# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where sliding windows lie on a feature map."""

from __future__ import annotations

from axynq.emulator.errors import ModelError
from axynq.emulator.model.graph import Padding


def window_geometry(
    rows_columns: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    same: bool,
) -> tuple[tuple[int, int], Padding]:
    """Output rows and columns, and the padding, of a sliding window (TFLite's SAME or VALID).

    Raises:
        ModelError: the window does not fit the map, or a number is not positive.
    """
    sizes, pads = [], []
    for size, k, s, d in zip(rows_columns, window, stride, dilation):
        if min(k, s, d) < 1:
            raise ModelError("window, stride and dilation must be positive")
        extent = (k - 1) * d + 1
        out = -(-size // s) if same else (size - extent) // s + 1
        if out < 1:
            raise ModelError(f"a window of {extent} does not fit a map of {size}")
        total = max((out - 1) * s + extent - size, 0)
        sizes.append(out)
        pads.append((total // 2, total - total // 2))
    return (sizes[0], sizes[1]), Padding(*pads[0], *pads[1])


def same_or_valid(
    rows_columns: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    size: tuple[int, ...],
    padding: Padding,
) -> bool | None:
    """Whether the padding of a window with ``size`` output rows and columns is TFLite's SAME
    (True) or VALID (False); None: neither."""
    for same in (False, True):
        try:
            if window_geometry(rows_columns, window, stride, dilation, same) == (size, padding):
                return same
        except ModelError:
            continue  # the window does not fit without padding
    return None


def transposed_geometry(
    rows_columns: tuple[int, int],
    size: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    same: bool,
) -> Padding:
    """What surrounds the spread input of a transposed convolution that makes ``size`` rows and
    columns of ``rows_columns`` (TFLite's SAME or VALID); negative where it is cut off.

    Raises:
        ModelError: a number is not positive, or the window does not fit the output.
    """
    pads = []
    for source, target, k, s in zip(rows_columns, size, window, stride):
        if min(source, target, k, s) < 1:
            raise ModelError("window, stride and sizes must be positive")
        if not same and target < k:
            raise ModelError(f"a window of {k} does not fit an output of {target}")
        # TFLite counts the input's rows from the output's size, whatever they are.
        counted = -(-target // s) if same else (target - k) // s + 1
        total = max((counted - 1) * s + k - target, 0)
        before = k - 1 - total // 2
        pads.append((before, target + k - 1 - before - ((source - 1) * s + 1)))
    return Padding(*pads[0], *pads[1])
