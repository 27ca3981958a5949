# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Real inputs of float networks from what data sets hold."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DataError
from axynq.emulator.model.batch import arranged
from axynq.emulator.quantisation.float_network import FloatArray, FloatNetwork

Pixels = Literal["0..1", "-1..1", "0..255"]
"""What a network takes pixels of 8 bits as."""

RANGES: dict[Pixels, tuple[float, float]] = {
    "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0),
}  # fmt: skip


def check_can_be_calibrated(network: FloatNetwork) -> None:
    """Raises:
    DataError: the network has several inputs, which data sets do not.
    """
    if len(network.inputs) != 1:
        raise DataError(
            f"network '{network.name}' has {len(network.inputs)} inputs, and data sets have one: "
            "quantise it in Python (docs/quantisation.md)"
        )


def real_inputs(network: FloatNetwork, x: npt.NDArray[np.generic], pixels: Pixels) -> FloatArray:
    """A batch for a network with one input: images (uint8) scaled, real numbers as they are. Maps
    that come channels first are turned.

    Raises:
        DataError: the network has several inputs, or the shape or type does not fit.
    """
    check_can_be_calibrated(network)
    shape = network.tensors[network.inputs[0]].shape
    if x.dtype == np.int8:
        raise DataError(
            "the data is quantised (int8), and a float network takes real numbers or images"
        )
    given, x = list(x.shape[1:]), arranged(x, shape)
    if x.shape[1:] != shape:
        raise DataError(
            f"the network takes inputs of shape {list(shape)}, and the data has {given}"
        )
    real = x.astype(np.float32)
    if x.dtype != np.uint8 or pixels == "0..255":
        return real
    return real / 255 if pixels == "0..1" else real / np.float32(127.5) - 1
