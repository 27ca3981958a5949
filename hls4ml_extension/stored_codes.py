# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The multipliers of a layer's weights, as hls4ml saves designs and loads them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hls4ml.model.types import Serializable

from axynq.emulator.multipliers import multiplier
from axynq.emulator.plan import LayerCodes


class StoredCodes(LayerCodes, Serializable):  # type: ignore[misc]  # hls4ml has no type hints
    """:class:`LayerCodes` that hls4ml can save: tables of one's own by the paths of their files."""

    def serialize_state(self) -> dict[str, Any]:
        specs = [each.spec for each in self.multipliers]
        return {"specs": specs, "codes": self.codes.tolist()}

    @classmethod
    def deserialize(cls, state: dict[str, Any]) -> StoredCodes:
        """Raises:
        MultiplierError: a table's file is not there any more.
        """
        multipliers = tuple(multiplier(spec) for spec in state["specs"])
        return cls(multipliers, np.array(state["codes"], np.uint8))
