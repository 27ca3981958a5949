# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Normal noise whose strength is learnt, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from axynq.emulator.model import graph
from axynq.emulator.studies.retraining.noise import NoisePool


def shares_of_multiplications(model: graph.Model) -> dict[str, float]:
    """By layer name, the layer's share of the multiplications of all weighted layers."""
    counts = {layer.name: model.multiplications(layer) for layer in model.layers}
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


class LearntNoise(nn.Module):
    """Each layer's output ``y`` before the activation becomes ``y + sigma * deviation(y) * noise``.

    The deviation is that of all of the layer's outputs in a batch, the noise standard normal, and
    ``sigma`` a parameter of the layer; the noise being symmetric, its sign means nothing. A
    ``Disturbance`` of a :class:`~axynq.emulator.studies.retraining.network.TrainableNetwork`.

    Args:
        shares: by layer name, the layer's share of all multiplications.
        initial: ``sigma`` of every layer at the beginning.
    """

    def __init__(self, shares: Mapping[str, float], initial: float) -> None:
        super().__init__()
        self._places = {name: place for place, name in enumerate(shares)}
        self.sigma = nn.Parameter(torch.full((len(shares),), initial))
        weights = torch.tensor(list(shares.values()), dtype=torch.float32)
        self.register_buffer("shares", weights, persistent=False)

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draw noise with this generator from here on."""
        self._noise = NoisePool(generator, self.sigma.device)

    def weights(self, layer: str, weights: Tensor) -> Tensor:
        """As they are."""
        return weights

    def output(self, layer: str, output: Tensor) -> Tensor:
        """The layer's output with noise; after :meth:`begin_epoch`."""
        noise = self._noise.like(output)
        return _noisy(output, self.sigma[self._places[layer]], noise)

    def worth(self, limit: float) -> Tensor:
        """What the noise saves: the mean of ``|sigma|``, at most ``limit``, weighted by the layers'
        multiplications; between 0 and ``limit``."""
        return (self.get_buffer("shares") * self.sigma.abs().clamp(max=limit)).sum()

    def deviations(self) -> dict[str, float]:
        """``|sigma|`` by layer name."""
        values = self.sigma.detach().abs().tolist()
        return dict(zip(self._places, values))


class _Noisy(torch.autograd.Function):
    """``y + sigma * deviation(y) * noise``, in place, with the gradient of the deviation.

    The deviation's gradient keeps a layer from escaping the noise by larger outputs: the noise
    grows along. Passes over memory are what takes time here: there are as few as possible.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        centred = y - y.mean()
        deviation = torch.linalg.vector_norm(centred) / math.sqrt(y.numel())
        y.add_(noise, alpha=float(sigma * deviation))
        ctx.mark_dirty(y)
        ctx.save_for_backward(centred, sigma, noise, deviation)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        centred, sigma, noise, deviation = ctx.saved_tensors
        gradient = gradients[0]
        along = (gradient * noise).sum()
        # d deviation / d y = centred / (count * deviation); a constant output has no direction.
        constant = not bool(deviation)
        factor = 0.0 if constant else float(sigma * along / deviation) / centred.numel()
        return torch.add(gradient, centred, alpha=factor), deviation * along, None


_noisy: Callable[..., Tensor] = _Noisy.apply
