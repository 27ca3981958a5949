# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Gradients through the slopes of approximate products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Plan, multiplier
from axynq.emulator.errors import MultiplierError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import SKIP, LayerCodes
from axynq.emulator.studies.retraining.product_slopes import (
    WIDEST,
    Operand,
    layer_slopes,
    separated,
    slopes,
)
from tests.networks import random_input, tensor, weighted_models

torch = pytest.importorskip("torch")

from axynq.emulator.studies.retraining import RetrainOptions, retrain
from axynq.emulator.studies.retraining.methods import METHODS, Behavioural
from axynq.emulator.studies.retraining.network import TrainableNetwork
from axynq.emulator.studies.retraining.product_gradients import (
    ProductGradients,
    product_gradients,
)

torch.set_num_threads(1)  # tests run beside each other

CPU = torch.device("cpu")
SPECS = ("smapprox:2222", "smapprox:3333", "smapprox:3330", "roup:2,6", "roup:3,0", "roup:1,4")
OPERANDS: tuple[Operand, ...] = ("activation", "weight")


class OffByHalf(Multiplier):
    """Products that are not 0 where an activation is: what is around a map has gradients, too."""

    spec = "off by half"

    def compute(self, a: Any, w: Any) -> Any:
        return (a + 3) * (w // 2) * 2


class Bytes(Multiplier):
    """As a table of signed bytes."""

    spec = "bytes"
    activation_range = (-128, 127)

    def compute(self, a: Any, w: Any) -> Any:
        return (a // 4) * 4 * w


# --- slopes ---------------------------------------------------------------------------------------


def slope(table: np.ndarray, at: int, half: int) -> float:
    """By the definition, of products along one operand."""
    nearest = min(max(at, half + 1), len(table) - 2 - half)
    after = table[nearest + 1 - half : nearest + 1 + half + 1]
    before = table[nearest - 1 - half : nearest - 1 + half + 1]
    return (after.mean() - before.mean()) / 2


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([*map(multiplier, SPECS), OffByHalf(), Bytes()]),
    st.integers(0, WIDEST),
    st.integers(-255, 255),
    st.integers(-128, 127),
)
def test_slopes_are_differences_of_means(m: Multiplier, half: int, a: int, w: int) -> None:
    low, high = m.activation_range
    inside = m.table[low + 255 : high + 256].astype(np.float64)
    along_a = slope(inside[:, w + 128], a - low, half) if low <= a <= high else 0
    along_w = slope(inside[a - low], w + 128, half) if low <= a <= high else 0
    assert slopes(m, "activation", half)[a + 255, w + 128] == pytest.approx(along_a)
    assert slopes(m, "weight", half)[a + 255, w + 128] == pytest.approx(along_w)


@pytest.mark.parametrize("half", [0, 1, 32, WIDEST])
def test_slopes_of_exact_products_are_the_other_operand(half: int) -> None:
    a, w = np.mgrid[-255:256, -128:128]
    np.testing.assert_allclose(slopes(multiplier("exact"), "activation", half), w, atol=1e-9)
    np.testing.assert_allclose(slopes(multiplier("exact"), "weight", half), a, atol=1e-9)


@pytest.mark.parametrize("half", [-1, WIDEST + 1])
def test_windows_must_fit(half: int) -> None:
    with pytest.raises(MultiplierError, match="smoothed over 0 to 126 operands"):
        slopes(multiplier("exact"), "weight", half)


@pytest.mark.parametrize("operand", OPERANDS)
def test_mean_slopes_depend_on_the_other_operand(operand: Operand) -> None:
    multipliers = (multiplier("smapprox:2222"),)
    full = layer_slopes(multipliers, -128, operand, 8, averaged=False)[:, 1]
    mean = layer_slopes(multipliers, -128, operand, 8, averaged=True)[:, 1]
    if operand == "activation":
        np.testing.assert_allclose(mean, np.broadcast_to(full.mean(axis=0), full.shape))
    else:
        kept = full[:, 1:].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(mean, np.broadcast_to(kept, full.shape))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(SPECS), min_size=1, max_size=3, unique=True),
    st.integers(0, 64),
    st.integers(-128, 127),
    st.sampled_from(OPERANDS),
    st.booleans(),
)
def test_terms_come_near_their_table(
    specs: list[str], half: int, zero_point: int, operand: Operand, averaged: bool
) -> None:
    table = layer_slopes([*map(multiplier, specs)], zero_point, operand, half, averaged)
    assert not table[:, SKIP].any()
    terms = separated(table)
    again = np.einsum("kx,kcw->xcw", *terms)
    assert np.linalg.norm(again - table) <= 0.01 * np.linalg.norm(table) + 1e-9
    few = 1 if operand == "activation" else len(specs)
    assert len(terms.by_weight) <= (few if averaged else 16 * len(specs))


# --- gradients ------------------------------------------------------------------------------------


def taps(model: graph.Model, index: Any) -> Iterator[tuple[Any, ...]]:
    """Each product of a layer of one image: output (filter, row, column), weight in the kernel's
    order, input (row, column, channel), or None where it is around the map."""
    layer = model.layers[0]
    rows, columns, channels = index
    if isinstance(layer, graph.FullyConnected):
        for f, k in np.ndindex(len(layer.bias), rows * columns * channels):
            yield (f, 0, 0), (f, 0, 0, k), np.unravel_index(k, index)
        return
    assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
    out_rows, out_columns, filters = model.tensors[layer.output].shape
    depthwise = isinstance(layer, graph.DepthwiseConvolution)
    _, high, wide, deep = layer.kernel.shape
    for f, i, j, r, s, c in np.ndindex(filters, out_rows, out_columns, high, wide, deep):
        row = i * layer.stride[0] + r * layer.dilation[0] - layer.padding.top
        column = j * layer.stride[1] + s * layer.dilation[1] - layer.padding.left
        channel = f // (filters // channels) if depthwise else c
        inside = 0 <= row < rows and 0 <= column < columns
        yield (f, i, j), (f, r, s, c), (row, column, channel) if inside else None


def by_hand(
    model: graph.Model, codes: LayerCodes, x: np.ndarray, gradient: np.ndarray,
    smoothing: int, averaged: bool,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of one image [rows, columns, channels] and of the kernel, product by product."""
    layer, source = model.layers[0], model.tensors[0]
    tables = {
        operand: layer_slopes(codes.multipliers, source.zero_point, operand, smoothing, averaged)
        for operand in OPERANDS
    }
    of_x, of_kernel = np.zeros(x.shape), np.zeros(layer.kernel.shape)
    for (f, i, j), weight, place in taps(model, x.shape):
        at = (
            (source.zero_point if place is None else int(x[place])) + 128,
            codes.codes[weight],
            int(layer.kernel[weight]) + 128,
        )
        g = gradient[f, i, j]
        if place is not None:
            of_x[place] += g * layer.weight_scales[f] * tables["activation"][at]
        of_kernel[weight] += g * source.scale * tables["weight"][at]
    return of_x, of_kernel


def gradients_of(
    network: TrainableNetwork, x: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of real inputs, weights in the kernel's order, and biases, for one image."""
    model = network.model
    layer, source, target = model.layers[0], model.tensors[0], model.output
    real = torch.from_numpy((x.astype(np.float32) - source.zero_point) * np.float32(source.scale))
    real = real.permute(2, 0, 1)[None].requires_grad_()
    given = torch.zeros(1, *gradient.shape)  # in the middle of a wide grid: nothing is clipped
    y = network._layer(layer, real, None, given if len(target.shape) == 3 else given.flatten(1))
    y.backward(torch.from_numpy(gradient[None].astype(np.float32)).reshape(y.shape))
    weight = network.weight[layer.name].grad
    of_kernel = weight.permute(0, 2, 3, 1).reshape(layer.kernel.shape).numpy()
    bias = network.bias[layer.name].grad.numpy()
    return real.grad[0].permute(1, 2, 0).numpy(), of_kernel, bias


def never_clipped(model: graph.Model) -> graph.Model:
    """The same layer without an activation, whose output has 0 inside its range."""
    layer = model.layers[0]
    target = tensor("y", model.output.shape, 0.1, 0)
    return replace(
        model,
        tensors=(model.tensors[0], target),
        operators=(replace(layer, activation="none"),),
    )


FEW_PRODUCTS = 1000


def products(model: graph.Model) -> int:
    return model.multiplications(model.layers[0])


@st.composite
def layers_and_codes(draw: Any) -> tuple[graph.Model, LayerCodes, int]:
    """A layer of few products, and a multiplier for each weight or none."""
    model = never_clipped(draw(weighted_models().filter(lambda m: products(m) < FEW_PRODUCTS)))
    known = [*map(multiplier, (*SPECS, "exact")), OffByHalf()]
    used = tuple(draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True)))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, len(used) + 1, model.layers[0].kernel.shape).astype(np.uint8)
    return model, LayerCodes(used, codes), seed


@settings(max_examples=25, deadline=None)
@given(layers_and_codes(), st.sampled_from([0, 5, 32]), st.booleans())
def test_gradients_are_sums_over_products(
    drawn: tuple[graph.Model, LayerCodes, int], smoothing: int, averaged: bool
) -> None:
    model, codes, seed = drawn
    layer = model.layers[0]
    x = random_input(model, 1, seed)[0]
    shape = model.output.shape
    filters_first = (shape[2], shape[0], shape[1]) if len(shape) == 3 else (shape[0], 1, 1)
    gradient = np.random.default_rng(seed).standard_normal(filters_first)
    through = ProductGradients(model, layer, codes, smoothing, averaged, tolerance=1e-9)
    network = TrainableNetwork(model, gradients={layer.name: through})
    of_x, of_kernel, of_bias = gradients_of(network, x, gradient)
    expected = by_hand(model, codes, x, gradient, smoothing, averaged)
    for found, wanted in zip((of_x, of_kernel), expected):
        largest = np.abs(wanted).max()
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * largest + 1e-6)
    np.testing.assert_allclose(of_bias, gradient.sum(axis=(1, 2)), rtol=1e-4, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(weighted_models(), st.sampled_from([0, 32]), st.booleans(), st.integers(0, 2**32 - 1))
def test_exact_products_are_straight_through(
    model: graph.Model, smoothing: int, averaged: bool, seed: int
) -> None:
    model = never_clipped(model)
    x = random_input(model, 1, seed)[0]
    shape = model.output.shape
    filters_first = (shape[2], shape[0], shape[1]) if len(shape) == 3 else (shape[0], 1, 1)
    gradient = np.random.default_rng(seed).standard_normal(filters_first)
    through = product_gradients(model, Plan.uniform("exact"), smoothing, averaged)
    found = gradients_of(TrainableNetwork(model, gradients=through), x, gradient)
    expected = gradients_of(TrainableNetwork(model), x, gradient)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * np.abs(other).max() + 1e-9)


@pytest.mark.parametrize("method", ["lut-1d", "lut-2d"])
def test_forward_is_the_approximate_network(digits: graph.Model, method: str) -> None:
    """Gradients differ from those straight through, scores do not."""
    plan = Plan.parse(digits, "roup:3,0")
    x = torch.from_numpy(random_input(digits, 8, 0)).permute(0, 3, 1, 2)
    scores, gradients = [], []
    for one in (Behavioural, METHODS[method]):
        made = one(digits, plan, CPU)
        network = made.network()
        found = made.scores(network, x)
        found.square().sum().backward()
        scores.append(found.detach())
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert torch.equal(*scores)
    assert float((gradients[0] - gradients[1]).norm()) > 0.05 * float(gradients[0].norm())


def test_smoothing_is_an_option(digits: graph.Model) -> None:
    x = random_input(digits, 40, 0)
    y = np.arange(40, dtype=np.int64) % 10
    losses = []
    for smoothing in (4, 32):
        options = RetrainOptions(
            "lut-2d", smoothing=smoothing, epochs=2, batch=16, validation=8, samples=8, rate=0.01
        )
        found = retrain(digits, "smapprox:2222", x, y, options, device="cpu")
        losses.append(found.history[-1].loss)
    assert losses[0] != losses[1]
    with pytest.raises(MultiplierError, match="smoothed"):
        retrain(digits, "exact", x, y, replace(options, smoothing=127), device="cpu")
