# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Sliding windows as ONNX describes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.limits import require_moderate_size
from axynq.emulator.file_formats.onnx_file import Node
from axynq.emulator.model.graph import Padding


class Window(NamedTuple):
    """Where a window slides."""

    size: tuple[int, int]
    """Rows and columns of the result."""
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Padding


def window_of(
    node: Node, shape: Sequence[int], kernel: Sequence[int], ceil: bool = False
) -> Window:
    """A window of ``kernel`` over a map of a shape [channels, rows, columns]; sequences have one
    row.

    Raises:
        ModelError: the attributes contradict each other, the window does not fit the map, or the
            map is too large with its padding.
    """
    channels, *rows_columns = shape
    given = [int(n) for n in node.attribute("kernel_shape", [])]
    if given and [1] * (2 - len(given)) + given != list(kernel):
        raise ModelError(f"has kernel_shape {given} and a kernel of {list(kernel)}")
    stride, dilation = _two(node, "strides", 1), _two(node, "dilations", 1)
    if min(*stride, *dilation, *kernel) < 1:
        raise ModelError("window, stride and dilation must be positive")
    pads = pads_of(node)
    auto = str(node.attribute("auto_pad", "NOTSET"))
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ModelError(f"has auto_pad {auto}")
    if min(pads) < 0:
        raise ModelError(f"has pads {pads}, of which some are negative")
    sizes, around = [], []
    for k in range(2):
        extent = (kernel[k] - 1) * dilation[k] + 1
        begin, end = (pads[k], pads[k + 2]) if auto == "NOTSET" else (0, 0)
        if auto.startswith("SAME"):
            total = max((math.ceil(rows_columns[k] / stride[k]) - 1) * stride[k], 0)
            total = max(total + extent - rows_columns[k], 0)
            begin, end = total // 2, total - total // 2
            if auto == "SAME_LOWER":
                begin, end = end, begin
        room = rows_columns[k] + begin + end - extent
        size = (-(-room // stride[k]) if ceil else room // stride[k]) + 1
        if ceil and (size - 1) * stride[k] >= rows_columns[k] + begin:
            size -= 1  # a window that begins in the padding at the end
        if room < 0 or size < 1:
            raise ModelError(f"a window of {extent} does not fit a map of {rows_columns[k]}")
        # What a window reaches, no more: a remainder at the end is never seen.
        end = (size - 1) * stride[k] + extent - rows_columns[k] - begin
        sizes.append(size)
        around.append((begin, max(end, 0)))
    padding = Padding(*around[0], *around[1])
    rows = rows_columns[0] + padding.top + padding.bottom
    require_moderate_size((rows, rows_columns[1] + padding.left + padding.right, channels))
    return Window((sizes[0], sizes[1]), stride, dilation, padding)


def transposed_window(
    node: Node, rows_columns: Sequence[int], kernel: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int], Padding, tuple[int, int]]:
    """Stride, output size, what surrounds the spread map, dilation.

    Raises:
        ModelError: the attributes contradict each other, or there is no output.
    """
    stride, dilation = _two(node, "strides", 1), _two(node, "dilations", 1)
    extra, pads = _two(node, "output_padding", 0), pads_of(node)
    wanted = [int(n) for n in node.attribute("output_shape", [])]
    auto = str(node.attribute("auto_pad", "NOTSET"))
    sizes, around = [], []
    for k in range(2):
        extent = (kernel[k] - 1) * dilation[k] + 1
        full = (rows_columns[k] - 1) * stride[k] + extent + extra[k]
        begin, end = pads[k], pads[k + 2]
        if len(wanted) == 2 or auto.startswith("SAME"):
            size = wanted[k] if len(wanted) == 2 else rows_columns[k] * stride[k]
            total = max(full - size, 0)
            # ONNX gives the odd one to the end but for SAME_UPPER's opposite.
            small, large = total // 2, total - total // 2
            begin, end = (small, large) if auto == "SAME_UPPER" else (large, small)
        size = full - begin - end
        if size < 1 or min(stride) < 1 or min(dilation) < 1:
            raise ModelError("its result has no values")
        sizes.append(size)
        around.append((extent - 1 - begin, extent - 1 - end + extra[k]))
    padding = Padding(*around[0], *around[1])
    return stride, (sizes[0], sizes[1]), padding, dilation


def pads_of(node: Node) -> list[int]:
    """Rows and columns before the map, rows and columns after it; sequences have one row.

    Raises:
        ModelError: there are more or fewer.
    """
    pads = [int(n) for n in node.attribute("pads", [])] or [0] * 4
    pads = [0, pads[0], 0, pads[1]] if len(pads) == 2 else pads
    if len(pads) != 4:
        raise ModelError(f"has pads {pads}; maps have rows and columns")
    return pads


def _two(node: Node, name: str, default: int) -> tuple[int, int]:
    given = [int(n) for n in node.attribute(name, [])] or [default] * 2
    if len(given) > 2:
        raise ModelError(f"has {name} {given}; maps have rows and columns")
    return (default, given[0]) if len(given) == 1 else (given[0], given[1])
