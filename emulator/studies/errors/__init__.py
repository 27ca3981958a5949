# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where and how large approximation errors are, and a model that generates errors like them.

After De la Parra et al., *Efficient Accuracy Recovery in Approximate Neural Networks by Systematic
Error Modelling* (ASP-DAC 2021), section 4.
"""

from axynq.emulator.studies.errors.archive import load_statistics, save_statistics
from axynq.emulator.studies.errors.error_model import ErrorModel, LayerErrorModel
from axynq.emulator.studies.errors.extraction import ErrorStatistics, LayerStatistics, extract
from axynq.emulator.studies.errors.moments import PairMoments

__all__ = [
    "ErrorModel",
    "ErrorStatistics",
    "LayerErrorModel",
    "LayerStatistics",
    "PairMoments",
    "extract",
    "load_statistics",
    "save_statistics",
]
