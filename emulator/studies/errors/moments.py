# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Means, variances and the correlation of pairs of values, from streams that can be merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
IntegerArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class PairMoments:
    """Moments of ``count`` pairs (output, error) for each element of an array, float64.

    Sums of squares are of deviations from the mean, and streams are merged by the update of Chan,
    Golub and LeVeque (1979), which does not lose digits where a mean is large.
    """

    count: int
    output_mean: Float64Array
    error_mean: Float64Array
    output_squares: Float64Array
    """Sum of squared deviations of the output from its mean."""
    error_squares: Float64Array
    products: Float64Array
    """Sum of products of both deviations."""

    @classmethod
    def of(cls, output: IntegerArray, error: IntegerArray) -> PairMoments:
        """Of integer arrays [..., samples]: the last axis is what is averaged over."""
        count = output.shape[-1]
        # Integer sums are exact, so deviations are as good as float64 holds them.
        output_mean = output.sum(axis=-1, dtype=np.int64) / count
        error_mean = error.sum(axis=-1, dtype=np.int64) / count
        y = output - output_mean[..., None]
        e = error - error_mean[..., None]
        return cls(
            count,
            output_mean,
            error_mean,
            np.einsum("...n,...n->...", y, y),
            np.einsum("...n,...n->...", e, e),
            np.einsum("...n,...n->...", y, e),
        )

    def __add__(self, other: PairMoments) -> PairMoments:
        """The moments of both streams together."""
        count = self.count + other.count
        share = other.count / count
        y = other.output_mean - self.output_mean
        e = other.error_mean - self.error_mean
        between = self.count * share
        return PairMoments(
            count,
            self.output_mean + y * share,
            self.error_mean + e * share,
            self.output_squares + other.output_squares + y * y * between,
            self.error_squares + other.error_squares + e * e * between,
            self.products + other.products + y * e * between,
        )

    def pooled(self, axes: tuple[int, ...]) -> PairMoments:
        """All elements along ``axes`` as samples of one."""
        size = int(np.prod([self.output_mean.shape[axis] for axis in axes]))
        output_mean = self.output_mean.mean(axis=axes)
        error_mean = self.error_mean.mean(axis=axes)
        y = self.output_mean - np.expand_dims(output_mean, axes)
        e = self.error_mean - np.expand_dims(error_mean, axes)
        return PairMoments(
            self.count * size,
            output_mean,
            error_mean,
            (self.output_squares + self.count * y * y).sum(axis=axes),
            (self.error_squares + self.count * e * e).sum(axis=axes),
            (self.products + self.count * y * e).sum(axis=axes),
        )

    @property
    def output_deviation(self) -> Float64Array:
        """Standard deviation of the output, over the samples as a population."""
        return np.sqrt(self.output_squares / self.count)

    @property
    def error_deviation(self) -> Float64Array:
        """Standard deviation of the error (paper, eq. 8)."""
        return np.sqrt(self.error_squares / self.count)

    @property
    def correlation(self) -> Float64Array:
        """Pearson correlation of output and error (paper, eq. 5); 0 where either is constant."""
        scale = np.sqrt(self.output_squares) * np.sqrt(self.error_squares)
        safe = np.where(scale > 0, scale, 1.0)
        return np.clip(np.where(scale > 0, self.products / safe, 0.0), -1.0, 1.0)

    @property
    def signal_to_noise(self) -> Float64Array:
        """Mean square of the output over that of the error, in decibels; infinite without error."""
        signal = self.output_squares / self.count + self.output_mean**2
        noise = self.error_squares / self.count + self.error_mean**2
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = 10 * np.log10(signal / noise)
        return np.where(noise > 0, ratio, np.inf)
