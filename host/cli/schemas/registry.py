# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""All kinds of JSON objects, by their names."""

from __future__ import annotations

from axynq.host.cli.schemas import boards, multipliers, networks, pages, searches
from axynq.host.cli.schemas.base import Strict

_MODELS: tuple[type[Strict], ...] = (
    boards.Demo,
    multipliers.Multipliers,
    multipliers.Characterise,
    multipliers.Rtl,
    multipliers.RtlEstimate,
    multipliers.RtlSchedule,
    networks.Quantise,
    networks.Inspect,
    networks.Evaluate,
    pages.Report,
    networks.Sensitivity,
    searches.Explore,
    searches.Match,
    networks.Tune,
    networks.Noise,
    networks.Retrain,
    pages.View,
    boards.Compile,
    boards.Run,
    searches.Design,
    boards.Build,
    boards.Deploy,
    boards.Power,
    boards.PowerEstimate,
    boards.Selftest,
    boards.Doctor,
)


def kind_of(model: type[Strict]) -> str:
    """``axynq/NAME/VERSION``."""
    kind: str = model.model_fields["schema_"].annotation.__args__[0]  # type: ignore[union-attr]
    return kind


SCHEMAS: dict[str, type[Strict]] = {kind_of(model): model for model in _MODELS}
"""Models by the first field of their objects."""
