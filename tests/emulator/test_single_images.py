# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Few images, which the kernel computes one by one: what it gives is what blocks give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan
from axynq.emulator.engine.abi import BLOCK
from axynq.emulator.engine.kernel import supported_variants
from axynq.emulator.engine.layouts import Work, images_in_blocks, useful_threads, work_of_one
from axynq.emulator.model import graph
from axynq.emulator.model.windows import window_geometry
from tests.any_network import any_models, random_inputs
from tests.conftest import data_file
from tests.emulator.test_engine import plans
from tests.networks import branched_models, other_models, random_input, tensor, weighted_models

KERNELS = [variant.name for variant in supported_variants()]


@contextmanager
def blocks_of(images: int) -> Iterator[None]:
    """So many images of any batch are computed in blocks, the others one by one."""
    with mock.patch(
        "axynq.emulator.engine.network.images_in_blocks",
        lambda every, threads, one: min(images, every),
    ):
        yield


def check(
    model: graph.Model, plan: Plan | str, x: list[npt.NDArray[np.int8]], in_blocks: int
) -> None:
    """Every kernel gives what numpy gives: outputs, tensors and accumulators."""
    expected = Emulator(model, plan, engine="portable")
    tensors, sums = expected.tensors(x), expected.accumulators(x)
    for name in KERNELS:
        emulator = Emulator(model, plan, engine=name, threads=2)
        with blocks_of(in_blocks):
            outputs = emulator.run(x)
            found, found_sums = emulator.tensors(x), emulator.accumulators(x)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for index, output in zip(model.outputs, outputs):
            assert np.array_equal(output, tensors[index]), name
        assert found.keys() == tensors.keys()
        for index, values in tensors.items():
            assert np.array_equal(found[index], values), (name, model.tensors[index].name)
        assert found_sums.keys() == sums.keys()
        for layer, (approximate, exact) in sums.items():
            assert np.array_equal(found_sums[layer].approximate, approximate), (name, layer)
            assert np.array_equal(found_sums[layer].exact, exact), (name, layer)


seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 70), st.sampled_from([0, 0, BLOCK])) | st.tuples(
    st.integers(1, 3), st.just(0)
)
"""Of batches, and how many images are in blocks."""


@settings(max_examples=25)
@given(weighted_models(), plans(), sizes, seeds)
def test_layers(model: graph.Model, plan: str, size: tuple[int, int], seed: int) -> None:
    check(model, plan, [random_input(model, size[0], seed)], size[1])


@settings(max_examples=30)
@given(other_models() | branched_models(), sizes, seeds)
def test_other_operators(model: graph.Model, size: tuple[int, int], seed: int) -> None:
    check(model, "exact", [random_input(model, size[0], seed)], size[1])


@settings(max_examples=30)
@given(any_models(), sizes, seeds)
def test_any_operators(model: graph.Model, size: tuple[int, int], seed: int) -> None:
    check(model, "exact", random_inputs(model, size[0], seed), size[1])


@pytest.mark.thorough
@settings(max_examples=120)
@given(weighted_models(), plans(), sizes, seeds)
def test_many_layers(model: graph.Model, plan: str, size: tuple[int, int], seed: int) -> None:
    check(model, plan, [random_input(model, size[0], seed)], size[1])


@pytest.mark.thorough
@settings(max_examples=120)
@given(any_models(), sizes, seeds)
def test_many_operators(model: graph.Model, size: tuple[int, int], seed: int) -> None:
    check(model, "exact", random_inputs(model, size[0], seed), size[1])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", KERNELS)
def test_every_size_of_a_batch(digits: graph.Model, name: str, threads: int) -> None:
    x = random_input(digits, 70, 1)
    emulator = Emulator(digits, "flam=roup:1,4|smapprox:3330|exact", name, threads)
    with blocks_of(len(x)):
        together = emulator.run(x)
    for images in range(1, len(x) + 1):
        for in_blocks in {0, images // BLOCK * BLOCK, images}:
            with blocks_of(in_blocks):
                assert np.array_equal(emulator.run(x[:images]), together[:images])
        assert np.array_equal(emulator.run(x[:images]), together[:images])


# --- maps that are larger than a vector, and than all positions that are looked up together ------


@pytest.mark.parametrize("plan", ["exact", "klam-channel=roup:1,4|exact", "smapprox:3330", "table"])
@pytest.mark.parametrize("stride", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize(("channels", "depthwise"), [(1, False), (3, False), (5, False), (2, True)])
def test_wide_layers(plan: str, stride: tuple[int, int], channels: int, depthwise: bool) -> None:
    if plan == "table":
        plan = f"table:{data_file('evoapprox_mul8u.npz')}#mul8u_7C1"
    for rows, columns, kernel, same in ((27, 41, (3, 3), True), (2, 150, (2, 5), False)):
        model = one_layer((rows, columns, channels), kernel, stride, same, depthwise)
        check(model, plan, [random_input(model, 1, columns)], 0)


@pytest.mark.parametrize("channels", [3, 5])
def test_wide_and_dilated(channels: int) -> None:
    model = one_layer((20, 70, channels), (3, 2), (1, 1), True, False, dilation=(2, 3))
    for plan in ("roup:1,4", "smapprox:3330"):
        check(model, plan, [random_input(model, 1, channels)], 0)


def one_layer(
    shape: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    same: bool,
    depthwise: bool,
    dilation: tuple[int, int] = (1, 1),
) -> graph.Model:
    """A convolution with 7 filters, or a depthwise one with 2 of each channel."""
    rng = np.random.default_rng(sum(shape))
    size, padding = window_geometry(shape[:2], kernel, stride, dilation, same)
    filters = 2 * shape[2] if depthwise else 7
    weights = (*kernel, filters) if depthwise else (filters, *kernel, shape[2])
    kind = graph.DepthwiseConvolution if depthwise else graph.Convolution
    op = kind(
        "layer_0", (0,), 1, rng.integers(-127, 128, weights).astype(np.int8),
        rng.integers(-999, 1000, filters).astype(np.int32), np.full(filters, 0.01, np.float32),
        stride=stride, dilation=dilation, padding=padding,
    )  # fmt: skip
    tensors = (tensor("x", shape, 0.05, -128), tensor("y", (*size, filters), 0.5, 3))
    return graph.Model("one", tensors, (op,), (0,), (1,))


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("kind", ["average", "max"])
@pytest.mark.parametrize(
    ("window", "stride"),
    [((2, 2), (2, 2)), ((3, 3), (2, 1)), ((2, 5), (1, 3)), ((11, 150), (1, 1))],
)
def test_wide_pools(
    kind: str, window: tuple[int, int], stride: tuple[int, int], same: bool
) -> None:
    size, padding = window_geometry((11, 150), window, stride, (1, 1), same)
    op = graph.Pool("pool_0", (0,), 1, kind, window, stride, padding, "relu6")
    tensors = (tensor("x", (11, 150, 2), 0.05, 9), tensor("y", (*size, 2), 0.05, 9))
    model = graph.Model("pool", tensors, (op,), (0,), (1,))
    check(model, "exact", [random_input(model, 2, 0)], 0)


@pytest.mark.parametrize("kind", ["add", "subtract", "multiply", "maximum", "prelu"])
@pytest.mark.parametrize("second", [(9, 140, 7), (1, 1, 7), (9, 140, 1), (1, 140, 1)])
def test_wide_pairs(kind: str, second: tuple[int, int, int]) -> None:
    """More pairs than are laid out together, whose second values are broadcast."""
    shapes = ((9, 140, 7), second, (9, 140, 7))
    tensors = tuple(tensor(f"t{k}", shape, 0.03 + k / 50, k) for k, shape in enumerate(shapes))
    op: graph.Operator = graph.Elementwise(f"{kind}_0", (0, 1), 2, kind)  # type: ignore[arg-type]
    if kind == "add":
        op = graph.Add("add_0", (0, 1), 2)
    model = graph.Model("pair", tensors, (op,), (0, 1), (2,))
    check(model, "exact", random_inputs(model, 2, 0), 0)


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["exact", "roup:1,4", "flam=exact|smapprox:3330", "table"])
def test_shipped_networks(plan: str, resnet8, keyword, cifar10_images, keyword_samples) -> None:
    if plan == "table":
        plan = f"table:{data_file('evoapprox_mul8u.npz')}#mul8u_ZFB"
    for model, images in ((resnet8, cifar10_images), (keyword, keyword_samples[0])):
        check(model, plan, [images[:2]], 0)


# --- how many are computed one by one ------------------------------------------------------------


@settings(max_examples=300)
@given(st.integers(1, 1000), st.integers(1, 9), st.floats(0.001, 2))
def test_blocks_and_the_rest(images: int, threads: int, one: float) -> None:
    in_blocks = images_in_blocks(images, threads, one)
    assert in_blocks == images or in_blocks % BLOCK == 0
    alone, most = images - in_blocks, -(-images // BLOCK)
    # Nothing is there later than if all were in blocks.
    assert in_blocks // BLOCK + alone * one <= threads * -(-most // threads) or not alone
    if one > 1 and threads == 1:
        assert in_blocks == images


def test_few_images_are_computed_one_by_one(digits: graph.Model) -> None:
    one = work_of_one(digits, digits.operators).share
    assert 1 / BLOCK < one < 1
    assert images_in_blocks(1, 1, one) == 0
    assert images_in_blocks(BLOCK, 1, one) == BLOCK
    assert images_in_blocks(BLOCK + 1, 1, one) == BLOCK
    # Many threads share what one would do in a block.
    assert images_in_blocks(BLOCK, 64, 0.03) == 0
    assert images_in_blocks(100 * BLOCK, 2, one) == 100 * BLOCK


def test_threads_that_have_enough_to_do() -> None:
    work = Work(0.03, 100_000.0)
    assert [useful_threads(4, images, 0, work) for images in (1, 2, 3, 5, 60)] == [1, 1, 2, 3, 4]
    assert useful_threads(4, BLOCK, BLOCK, work) == 4
