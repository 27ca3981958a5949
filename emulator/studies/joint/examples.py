# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Examples to train on, and others of the same kind that nothing is trained on."""

from __future__ import annotations

import numpy as np

from axynq.emulator.datasets import evenly_spread
from axynq.emulator.errors import DataError
from axynq.emulator.studies.evaluator import Examples


def with_held_out(examples: Examples, held_out: int, batch: int, searched: int) -> Examples:
    """The same examples in another order: retraining holds out evenly spread ones, and in this
    order these are none of those that a search has looked at.

    Args:
        examples: all, sorted by class or not.
        held_out: how many are to be held out.
        batch: how many must be left at least.
        searched: so many evenly spread ones are a search's.

    Raises:
        DataError: there are too few.
    """
    count = len(examples)
    if count < held_out + batch:
        raise DataError(
            f"{count} training examples are too few to hold out {held_out} and train on batches of "
            f"{batch}: give more data, or smaller --held-out or --retrain-batch"
        )
    rest = np.setdiff1d(np.arange(count), evenly_spread(count, searched))
    if len(rest) < held_out:  # few examples: some are of both kinds
        rest = np.arange(count)
    chosen = rest[evenly_spread(len(rest), held_out)]
    order = np.empty(count, np.int64)
    places = evenly_spread(count, held_out)
    order[places] = chosen
    order[np.setdiff1d(np.arange(count), places)] = np.setdiff1d(np.arange(count), chosen)
    return Examples(examples.x[order], examples.y[order])


def held_out_of(examples: Examples, held_out: int) -> Examples:
    """Those that retraining holds out."""
    return examples.evenly(held_out)
