# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A kernel that looks every product up, in Triton."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

OUTPUTS = 256
"""Of a program."""


@triton.jit
def _gather(
    x, weights, lut, y, count, rows, columns, output_rows, output_columns, filters,
    kernel_rows, kernel_columns, channels, row_stride, column_stride, outputs: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0) * outputs + tl.arange(0, outputs)
    inside = place < count
    filter_ = place % filters
    position = place // filters
    column = position % output_columns * column_stride
    row = position // output_columns % output_rows * row_stride
    image = position // (output_columns * output_rows)
    total = tl.zeros((outputs,), tl.int32)
    for i in range(kernel_rows):
        for j in range(kernel_columns):
            seen = ((image * rows + row + i) * columns + column + j) * channels
            own = (i * kernel_columns + j) * channels * filters + filter_
            for c in range(channels):
                byte = tl.load(x + seen + c, mask=inside, other=0).to(tl.int32) & 255
                weight = (
                    tl.load(weights + own + c * filters, mask=inside, other=0).to(tl.int32) + 128
                )
                total += tl.load(lut + weight * 256 + byte).to(tl.int32)
    tl.store(y + place, total, mask=inside)


def gathered(x: Tensor, weights: Tensor, lut: Tensor, y: Tensor, stride: tuple[int, int]) -> None:
    """Sums int32 [images, rows, columns, filters] into ``y``, of padded int8 maps ``x`` and weights
    [rows, columns, channels, filters]."""
    grid = (triton.cdiv(y.numel(), OUTPUTS),)
    _gather[grid](
        x, weights, lut, y, y.numel(), x.shape[1], x.shape[2], y.shape[1], y.shape[2], y.shape[3],
        *weights.shape[:3], *stride, outputs=OUTPUTS, enable_fp_fusion=False,
    )  # fmt: skip
