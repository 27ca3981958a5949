# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Approximate multipliers in hls4ml designs.

Importing this package registers an extension of hls4ml's Vitis, Vivado and VivadoAccelerator
backends. A design then names multipliers in its configuration, with the specifications and plans
that serve everywhere else in axynq:

>>> import axynq.hls4ml
>>> config["LayerName"]["conv1"]["Multipliers"] = "roup:1,4"
>>> hls_model = hls4ml.converters.convert_from_keras_model(model, hls_config=config, ...)

:func:`sensitivity` and :func:`explore` help to choose them, on the design itself.

Needs ``pip install 'axynq[hls4ml]'``.
"""

from __future__ import annotations

import importlib.util

from axynq.emulator.errors import ToolError

if importlib.util.find_spec("hls4ml") is None:
    raise ToolError("axynq.hls4ml needs hls4ml: pip install 'axynq[hls4ml]'")

from axynq.emulator.studies.search.search import Settings
from axynq.hls4ml.choosing import Choice, Choices, explore, sensitivity
from axynq.hls4ml.from_model import from_model, run
from axynq.hls4ml.registration import register
from axynq.hls4ml.report import LayerReport, Report, report
from axynq.hls4ml.settings import with_plan

__all__ = [
    "Choice",
    "Choices",
    "LayerReport",
    "Report",
    "Settings",
    "explore",
    "from_model",
    "register",
    "report",
    "run",
    "sensitivity",
    "with_plan",
]

register()
