# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Random errors like those measured: correlated with the output, neuron by neuron.

Plain arrays, for any framework; :mod:`axynq.emulator.studies.retraining` has the same for PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.studies.errors.extraction import ErrorStatistics, LayerStatistics

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class LayerErrorModel:
    """Errors of one layer in real units (paper, eq. 11-12)::

        error = deviation * (correlation * s1 + sqrt(1 - correlation**2) * s2) + mean
              = mean + gain * (y - output_mean) + spread * s2

    ``s1`` is the output ``y`` normalised by its measured mean and deviation, ``s2`` is drawn from
    the standard normal distribution. The gradient of the error with respect to the output is
    ``gain`` (eq. 15). Arrays are float64 [rows, columns, filters], or [1, 1, filters].
    """

    mean: npt.NDArray[np.float64]
    output_mean: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    """``deviation * correlation / output deviation``; 0 where the output is constant."""
    spread: npt.NDArray[np.float64]
    """``deviation * sqrt(1 - correlation**2)``."""

    @classmethod
    def of(cls, layer: LayerStatistics) -> LayerErrorModel:
        """From what was measured."""
        moments, scale = layer.neurons, layer.scale
        deviation = moments.error_deviation * scale
        correlation = moments.correlation
        output_deviation = moments.output_deviation * scale
        safe = np.where(output_deviation > 0, output_deviation, 1.0)
        return cls(
            moments.error_mean * scale,
            moments.output_mean * scale,
            np.where(output_deviation > 0, deviation * correlation / safe, 0.0),
            deviation * np.sqrt(1 - correlation**2),
        )

    def sample(self, output: FloatArray, generator: np.random.Generator) -> FloatArray:
        """Errors for real outputs before the activation, [images, rows, columns, filters]."""
        noise = generator.standard_normal(output.shape, np.float32)
        return self.mean + self.gain * (output - self.output_mean) + self.spread * noise


class ErrorModel:
    """The errors of a network's layers.

    >>> model = ErrorModel(load_statistics("errors.npz"))
    >>> y_approximate = y + model.sample("conv_1", y, np.random.default_rng(0))
    """

    def __init__(self, statistics: ErrorStatistics) -> None:
        self.layers: Mapping[str, LayerErrorModel] = {
            name: LayerErrorModel.of(layer) for name, layer in statistics.layers.items()
        }

    def sample(self, layer: str, output: FloatArray, generator: np.random.Generator) -> FloatArray:
        """Errors of a layer for its real outputs, [images, rows, columns, filters]."""
        return self.layers[layer].sample(output, generator)
