# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Random variations of images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SHIFT = 4


def augmented(images: Tensor, zero_point: int, generator: torch.Generator) -> Tensor:
    """Images, int8 [images, rows, columns, channels], shifted by up to four pixels and mirrored.

    What comes in at the edges is ``zero_point``. ``generator`` draws on the processor, wherever the
    images are: the same on every device.
    """
    count, rows, columns, _ = images.shape
    device = images.device
    shifts = torch.randint(0, 2 * SHIFT + 1, (2, count), generator=generator).to(device)
    mirrored = (torch.rand(count, generator=generator) < 0.5).to(device)
    y = shifts[0][:, None] + torch.arange(rows, device=device)
    x = shifts[1][:, None] + torch.arange(columns, device=device)
    x = torch.where(mirrored[:, None], x.flip(1), x)
    padded = functional.pad(images, (0, 0, SHIFT, SHIFT, SHIFT, SHIFT), value=zero_point)
    width = columns + 2 * SHIFT
    each = torch.arange(count, device=device)[:, None, None] * ((rows + 2 * SHIFT) * width)
    places = (each + y[:, :, None] * width + x[:, None, :]).reshape(-1)
    return padded.flatten(0, 2).index_select(0, places).reshape(images.shape)
