# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Names for what plans mean: equal for plans that multiply alike, however they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from axynq.emulator.multipliers import Multiplier, Table
from axynq.emulator.plan import LayerCodes


def multiplier_key(m: Multiplier) -> str:
    """The multiplier's specification, or SHA-256 of a table's products: its file may change."""
    return m.content if isinstance(m, Table) else m.spec


def layer_key(codes: LayerCodes) -> str:
    """SHA-256 of what a layer's codes mean, whatever the order of its multipliers."""
    names = [multiplier_key(m) for m in codes.multipliers]
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.zeros(len(names) + 1, np.uint8)
    rank[[k + 1 for k in order]] = np.arange(1, len(names) + 1, dtype=np.uint8)
    content = hashlib.sha256("\0".join(names[k] for k in order).encode())
    content.update(rank[codes.codes].tobytes())
    return content.hexdigest()


def plan_key(codes: Mapping[str, LayerCodes]) -> str:
    """SHA-256 of what a plan means for a network, in hex."""
    content = "".join(f"{name}={layer_key(codes[name])};" for name in sorted(codes))
    return hashlib.sha256(content.encode()).hexdigest()
