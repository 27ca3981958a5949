# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Retraining an int8 network for the errors of a plan: from a network to one of the same
quantisation, whose weights and biases make up for the approximation.

After De la Parra et al. (ASP-DAC 2021), section 4.3. Everything here needs PyTorch.
"""

from axynq.emulator.errors import ToolError

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ToolError("retraining needs PyTorch: pip install 'axynq[train]'") from error

from axynq.emulator.studies.retraining.methods import METHODS
from axynq.emulator.studies.retraining.options import KEEP, OPTIMISERS, RetrainOptions
from axynq.emulator.studies.retraining.training import (
    Parameters,
    RetrainResult,
    retrain,
)

__all__ = [
    "KEEP",
    "METHODS",
    "OPTIMISERS",
    "Parameters",
    "RetrainOptions",
    "RetrainResult",
    "retrain",
]
