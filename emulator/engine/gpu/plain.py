# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The kernels in PyTorch: for processors, and to compare Triton's with.

Matrix products are taken in float64, in which every partial sum is exact.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from axynq.emulator.engine.gpu.geometry import Geometry
from axynq.emulator.engine.gpu.packed import PackedLayer
from axynq.emulator.engine.gpu.pairing import Pairing
from axynq.emulator.engine.gpu.rescaling import bounded, rescaled


def mapped(x: Tensor, tables: Tensor) -> Tensor:
    """int8 values by tables [tables, 256] of their bytes: [tables, *shape of x]."""
    return tables[:, x.to(torch.int64) & 255]


def layer_output(packed: PackedLayer, x: Tensor, sums: bool) -> tuple[Tensor, Tensor | None]:
    """A weighted layer's output, int8 [images, *shape], and, where asked for, its accumulators,
    int32 [images, rows, columns, filters], for int8 [images, *input shape]."""
    geometry = packed.geometry
    x = x.reshape(len(x), geometry.rows, geometry.columns, geometry.channels)
    planes = mapped(x, packed.tables)
    total = packed.bias.to(torch.int64)
    for number, (table, padding, exponent, _) in enumerate(packed.planes.tolist()):
        patches = _patches(planes[table], padding, geometry)
        total = total + (_products(patches, packed.weights[number], packed) << exponent)
    if packed.errors is not None and packed.error_places is not None:
        total = total + _errors(packed, x)
    wrapped = total.to(torch.int32).reshape(
        len(x), geometry.output_rows, geometry.output_columns, geometry.filters
    )
    output = packed.output
    y = bounded(
        rescaled(wrapped.to(torch.int64), output.factors),
        output.zero_point, output.low, output.high,
    )  # fmt: skip
    return y.reshape(len(x), *output.shape), wrapped if sums else None


def paired(pairing: Pairing, a: Tensor, b: Tensor) -> Tensor:
    """What ``pairing`` makes of two int8 tensors of one shape."""
    kind, tables = pairing.kind, pairing.tables
    if kind in ("maximum", "minimum"):
        larger = torch.maximum if kind == "maximum" else torch.minimum
        return larger(a, b).clamp(pairing.low, pairing.high)
    first = tables[0][a.to(torch.int64) & 255].to(torch.int64)
    second = tables[1][b.to(torch.int64) & 255].to(torch.int64)
    combined = first + second if kind == "sum" else first * second
    y = rescaled(combined, pairing.factors[:, :1])
    if kind == "prelu":
        y = torch.where(first < 0, y, rescaled(first, pairing.factors[:, 1:]))
    return bounded(y, pairing.zero_point, pairing.low, pairing.high)


def _patches(x: Tensor, padding: int, geometry: Geometry) -> Tensor:
    """What taps see, [positions of all images, kernel rows, kernel columns, channels]."""
    below = max(geometry.last_row + 1 - geometry.rows, 0)
    right = max(geometry.last_column + 1 - geometry.columns, 0)
    around = (0, 0, geometry.left, right, geometry.top, below)
    padded = functional.pad(x, around, value=padding)
    rows, columns = (
        torch.arange(count, device=x.device)[:, None] * stride
        + torch.arange(size, device=x.device)[None, :] * dilation
        for count, stride, size, dilation in zip(
            (geometry.output_rows, geometry.output_columns), geometry.stride,
            (geometry.kernel_rows, geometry.kernel_columns), geometry.dilation,
        )
    )  # fmt: skip
    patches = padded[:, rows[:, None, :, None], columns[None, :, None, :]]
    return patches.flatten(0, 2)


def _products(patches: Tensor, weights: Tensor, packed: PackedLayer) -> Tensor:
    """int64 [positions, filters]."""
    geometry = packed.geometry
    if geometry.multiple:
        per_filter = patches.flatten(1, 2).repeat_interleave(geometry.multiple, dim=2)
        return (per_filter.to(torch.int64) * weights.to(torch.int64)).sum(dim=1)
    if not packed.tap_by_tap:
        weights = weights[: geometry.filters, : geometry.taps].T
    return (patches.flatten(1).double() @ weights.double()).to(torch.int64)


def _errors(packed: PackedLayer, x: Tensor) -> Tensor:
    """Sums of the errors that are looked up, int64 [positions, filters]."""
    geometry = packed.geometry
    assert packed.errors is not None
    assert packed.error_places is not None
    errors = packed.errors.flatten()
    patches = _patches(x, packed.zero_point, geometry).to(torch.int64) & 255
    if geometry.multiple:
        by_tap = patches.flatten(1, 2).repeat_interleave(geometry.multiple, dim=2).unbind(1)
    else:
        by_tap = patches.flatten(1)[..., None].unbind(1)
    total = torch.zeros((len(patches), geometry.filters), dtype=torch.int64, device=x.device)
    for byte, places in zip(by_tap, packed.error_places.to(torch.int64)):
        total += errors[places + byte]
    return total
