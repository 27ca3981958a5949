# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How search and retraining go together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class JointOptions:
    """The recipe."""

    epochs: int
    """Of the last and longest round of retraining. The rounds before take a half and a quarter."""
    shared_plans: int = 8
    """Plans under which one set of weights is trained at once; 0: there is no such set, and
    every candidate begins with the network itself."""
    shared_epochs: int | None = None
    """Of that training; default: :attr:`epochs`."""
    search_again: bool = True
    """Search for plans once more, of the network with those weights."""
    candidates: int = 12
    """Plans that are retrained at most."""
    held_out: int = 4000
    """Training examples that nothing is trained on; plans are compared on them."""
    batch: int = 64
    rate: float = 6e-4
    """Of Adam, at the start of each round; it rises over the first tenth and falls along a cosine
    (warm restarts, in rounds that double: SGDR, Loshchilov and Hutter, ICLR 2017)."""
    distillation: float = 0.7
    """Share of the loss that is the distance to the teacher's scores, 0 to 1."""
    augment: bool = False
    """Shift images by up to four pixels and mirror them at random."""
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def rounds(self) -> tuple[int, ...]:
        """Epochs of each round of retraining, each about twice as long as the one before."""
        return tuple(sorted({max(1, self.epochs >> k) for k in (2, 1, 0)}))
