"""Random variations of images."""

from __future__ import annotations

import numpy as np
import torch

from axynq.emulator.model.graph import Int8Array

SHIFT = 4


def augmented(images: Int8Array, zero_point: int, generator: torch.Generator) -> Int8Array:
    """Images [images, rows, columns, channels] shifted by up to four pixels and mirrored.

    What comes in at the edges is ``zero_point``.
    """
    count, rows, columns, _ = images.shape
    shifts = torch.randint(0, 2 * SHIFT + 1, (2, count), generator=generator).numpy()
    mirrored = torch.rand(count, generator=generator).numpy() < 0.5
    around = ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))
    padded = np.pad(images, around, constant_values=zero_point)
    y = shifts[0][:, None] + np.arange(rows)
    x = shifts[1][:, None] + np.arange(columns)
    x = np.where(mirrored[:, None], x[:, ::-1], x)
    each = np.arange(count)[:, None, None]
    return np.ascontiguousarray(padded[each, y[:, :, None], x[:, None, :]])
