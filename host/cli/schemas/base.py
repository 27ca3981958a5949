# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the JSON of all commands has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, 0 to 1."""

Interval = tuple[float, float]
"""The ends of a 95 % interval, as shares: 0.01 is one percentage point."""

Count = Annotated[int, Field(ge=0)]

Strings = tuple[str, ...]

WeightCounts = dict[str, Count]
"""Weights by multiplier."""


class Strict(BaseModel):
    """An object without other fields than those that are listed."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )
