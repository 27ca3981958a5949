# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Memory for tensors that live for a while: those whose lifetimes do not overlap share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Lifetime(NamedTuple):
    """When a tensor is needed, both times included, and how large it is."""

    born: int
    dies: int
    size: int


def first_fit(lifetimes: Mapping[int, Lifetime]) -> tuple[dict[int, int], int]:
    """An offset for each tensor, and the memory needed: first fit in order of birth."""
    placed: list[tuple[int, int, Lifetime]] = []  # start, end
    offsets: dict[int, int] = {}
    for tensor, life in sorted(lifetimes.items(), key=lambda item: item[1].born):
        offset = 0
        for start, end, other in sorted(placed):
            if other.born > life.dies or life.born > other.dies:
                continue
            if offset + life.size <= start:
                break
            offset = max(offset, end)
        offsets[tensor] = offset
        placed.append((offset, offset + life.size, life))
    return offsets, max((end for _, end, _ in placed), default=0)
