# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The noise-based search: how much normal noise each layer bears is learnt by gradients, then each
layer gets the cheapest multiplier whose errors are no larger.

After Trommer, Waschneck and Kumar, *Combining Gradients and Probabilities for Heterogeneous
Approximation of Neural Networks* (ICCAD 2022, arXiv:2208.07265). Everything here needs PyTorch.
"""

from axynq.emulator.studies.matching.gradient_search import SearchResult, search_noise
from axynq.emulator.studies.matching.options import SearchOptions
from axynq.emulator.studies.matching.pipeline import Found, Outcome, Task, match, run
from axynq.emulator.studies.matching.prediction import PREDICTIONS, Prediction, predict
from axynq.emulator.studies.matching.report import write_report

__all__ = [
    "PREDICTIONS",
    "Found",
    "Outcome",
    "Prediction",
    "SearchOptions",
    "SearchResult",
    "Task",
    "match",
    "predict",
    "run",
    "search_noise",
    "write_report",
]
