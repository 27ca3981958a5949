"""Whether one classifier is better than another, from the same examples."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]


def chance(right: BoolArray, other: BoolArray) -> float:
    """How probable it is that the first of two equally good classifiers is ahead as far as it is,
    or further (McNemar's exact test, one-sided).

    Where both are right or both are wrong says nothing. Of the other examples each is as likely
    to be the first one's as the second one's.

    Args:
        right: which examples the first classifies rightly, [examples].
        other: the same of the second.
    """
    won = int(np.count_nonzero(right & ~other))
    decided = won + int(np.count_nonzero(other & ~right))
    return sum(math.comb(decided, k) for k in range(won, decided + 1)) / 2**decided
