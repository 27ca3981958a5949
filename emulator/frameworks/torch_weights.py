# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Weights of an int8 network back into the PyTorch module that it was made of."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import nn

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.quantisation import accumulator_scales
from axynq.emulator.quantisation.float_network import FloatLayer, FloatNetwork


@torch.no_grad()
def write_back(model: graph.Model, network: FloatNetwork, original: nn.Module) -> None:
    """Write real weights and biases where the layers of ``network`` say they come from.

    Raises:
        ModelError: the layers of the network are not those of the module, or some have no place to
            go to.
    """
    layers = network.layers
    alike = len(layers) == len(model.layers) and all(
        a.weights.shape == b.kernel.shape for a, b in zip(layers, model.layers)
    )
    if not alike:
        raise ModelError(f"model '{model.name}' was not made of this module: its layers are others")
    homeless = [layer.name for layer in layers if layer.origin is None]
    if homeless:
        raise ModelError(
            f"weights of {', '.join(homeless)} are computed in the module: there are no "
            "parameters that they could be written to"
        )
    parameters = {**dict(original.named_parameters()), **dict(original.named_buffers())}
    for layer, trained in zip(layers, model.layers):
        _write(layer, trained, model, parameters, original)


def _write(
    layer: FloatLayer,
    trained: graph.WeightedLayer,
    model: graph.Model,
    parameters: dict[str, Any],
    original: nn.Module,
) -> None:
    origin = layer.origin
    assert origin is not None
    kernel = trained.kernel.astype(np.float64) * trained.weight_scales[:, None, None, None]
    kernel = kernel.reshape(layer.weights.shape)
    bias = trained.bias * accumulator_scales(model, trained)
    factors = origin.factors.astype(np.float64)
    if origin.weights is None:
        norm = operator.attrgetter(origin.normalisation or "")(original)
        _write_normalisation_alone(norm, kernel.reshape(-1), bias)
        return
    divisors = np.where(factors == 0, 1, factors)
    target = parameters[origin.weights].view(-1)
    weights = torch.from_numpy((kernel / divisors[:, None, None, None]).astype(np.float32))
    moved = torch.from_numpy(
        np.broadcast_to((factors != 0)[:, None, None, None], kernel.shape).copy()
    )
    places = torch.from_numpy(np.ascontiguousarray(origin.places))
    target[places[moved]] = weights[moved].to(target)
    first, end = origin.filters
    if origin.normalisation is not None:
        norm = operator.attrgetter(origin.normalisation)(original)
        _write_normalisation(norm, layer, bias, parameters)
        return
    if origin.bias is not None:
        place = parameters[origin.bias]
        place[first:end] = torch.from_numpy(bias).to(place)
    elif np.abs(trained.bias).max(initial=0) > 0:
        raise ModelError(
            f"'{layer.name}' was trained to have a bias, and '{origin.weights}' is without one: "
            "make the original with bias=True"
        )


def _write_normalisation_alone(
    norm: Any, factors: np.ndarray[Any, Any], bias: np.ndarray[Any, Any]
) -> None:
    """What a layer of one tap multiplies by and adds becomes a normalisation's own numbers."""
    if norm.bias is None:
        raise ModelError("a normalisation has no factors and numbers to be written to")
    mean, variance = (v.double().cpu().numpy() for v in (norm.running_mean, norm.running_var))
    norm.weight.copy_(torch.from_numpy(factors * np.sqrt(variance + norm.eps)))
    norm.bias.copy_(torch.from_numpy(bias + mean * factors))


def _write_normalisation(
    norm: Any, layer: FloatLayer, bias: np.ndarray[Any, Any], parameters: dict[str, Any]
) -> None:
    """The number that a normalisation adds becomes what gives the layer its bias."""
    origin = layer.origin
    assert origin is not None
    first, end = origin.filters
    before = 0.0
    if origin.bias is not None:
        before = parameters[origin.bias][first:end].double().cpu().numpy()
    mean = norm.running_mean[first:end].double().cpu().numpy()
    added = bias - (before - mean) * origin.factors.astype(np.float64)
    if norm.bias is None:
        raise ModelError(f"the normalisation after '{origin.weights}' has no bias to be written to")
    norm.bias[first:end] = torch.from_numpy(added).to(norm.bias)
