# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The oracle against TFLite's reference kernels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import load_model, reference
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import fixed_point
from axynq.emulator.softmax import MOST_CLASSES
from tests import limits
from tests.emulator import runtime
from tests.networks import other_models, random_input, tensor, weighted_models


def assert_equal_to_runtime(model: graph.Model, x: graph.Int8Array, package: str) -> None:
    expected = runtime.run(package, serialise_model(model), x)
    actual = reference.run(model, x)[model.output_index]
    assert np.array_equal(actual, expected)


@settings(max_examples=150)
@given(weighted_models(), st.integers(0, 2**32 - 1))
def test_weighted_layers_equal_tflite(model: graph.Model, seed: int) -> None:
    assert_equal_to_runtime(model, random_input(model, 3, seed), "tflite_runtime")


@settings(max_examples=100)
@given(weighted_models(kinds=("conv", "depthwise")), st.integers(0, 2**32 - 1))
def test_convolutions_equal_litert(model: graph.Model, seed: int) -> None:
    assert_equal_to_runtime(model, random_input(model, 3, seed), "ai_edge_litert")


@settings(max_examples=100)
@given(other_models(), st.integers(0, 2**32 - 1))
def test_other_operators_equal_tflite_and_litert(model: graph.Model, seed: int) -> None:
    for package in ("tflite_runtime", "ai_edge_litert"):
        assert_equal_to_runtime(model, random_input(model, 3, seed), package)


@given(st.floats(2**-40, 2**10), st.integers(-(2**30), 2**30))
def test_rescaling_is_within_one_of_the_real_product(real: float, value: int) -> None:
    if abs(value * real) >= 2**30:
        return
    scaled = reference.rescale(np.array([value]), *fixed_point(real))[0]
    assert abs(scaled - value * real) <= 1


def contract_examples() -> list[list[int]]:
    """Rows of the contract's table: x, M, s, high, rescale."""
    text = (Path(__file__).parents[2] / "docs" / "numeric-contract.md").read_text("utf-8")
    rows = re.findall(r"^\|((?: −?\d+ \|){5})$", text, re.MULTILINE)
    return [[int(cell.replace("−", "-")) for cell in row.split("|")[:5]] for row in rows]


def test_examples_of_the_contract() -> None:
    """Halves up, then halves away from zero; written by hand."""
    rows = contract_examples()
    assert len(rows) == 17
    # -1.5 twice: the high multiplication makes it -1, the division -2.
    assert [-3, 2**30, 0, -1, -1] in rows
    assert [-6, 2**30, -1, -3, -2] in rows
    for x, multiplier, shift, high, expected in rows:
        assert reference.rescale(np.array([x]), multiplier, shift).tolist() == [expected]
        assert reference.rescale(np.array([x]), multiplier, max(shift, 0)).tolist() == [high]


def test_rescaling_equals_tflites_source() -> None:
    """The two steps as gemmlowp writes them, a truncating division and a threshold."""
    values = limits.BIASES.astype(np.int64)[:, None]
    multipliers = np.array([0, 1, 2**12 + 1, 2**29, 2**30, 2**30 + 1, 2**31 - 2, 2**31 - 1])
    for shift in range(-31, 1):
        product = values * multipliers
        nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
        high = np.sign(nudged) * (np.abs(nudged) // (1 << 31))
        mask = (1 << -shift) - 1
        threshold = (mask >> 1) + (high < 0)
        expected = (high >> -shift) + ((high & mask) > threshold)
        assert np.array_equal(reference.rescale(values, multipliers, shift), expected)


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (2**30, 1)),
        (1 - 2.0**-40, (2**30, 1)),  # rounds up to a power of two
        (2.0**-32, (2**30, -31)),
        (2.0**-33, (0, 0)),
        (2.0**29, (2**30, 30)),
        (2.0**30, (2**31 - 1, 30)),
        (1e300, (2**31 - 1, 30)),
        (float("inf"), (2**31 - 1, 30)),
    ],
)
def test_fixed_point_forms(real: float, expected: tuple[int, int]) -> None:
    assert fixed_point(real) == expected


def test_bounds_of_activations_on_extreme_scales() -> None:
    for scale in (1e-38, 1e-45, 1e-3, 1e38):
        output = tensor("y", (1,), scale, 5)
        wide = scale < 1
        assert graph.activation_bounds("relu6", output) == (5, 127 if wide else 5)
        assert graph.activation_bounds("relu_n1_to_1", output) == ((-128, 127) if wide else (5, 5))


# --- softmax -------------------------------------------------------------------------------------

# Scale, input, and one output by index: a value so near a half that TFLite's kernel with a float32
# table, which is not the reference, gives another.
NEAR_HALVES = [
    (0.07220396399497986, [-118, 53, -85, 112, 102, 67, 122, -78, -55, -55], 6, 19),
    (0.013018200173974037, [-115, -39, 126, 93], 1, -111),
    (0.09830497205257416, [106, 119, 64, 27], 1, 71),
    (0.00723623251542449, [-124, 69, -9, -115], 3, -95),
]


@pytest.mark.parametrize(("scale", "x", "index", "expected"), NEAR_HALVES)
def test_softmax_near_halves(scale: float, x: list[int], index: int, expected: int) -> None:
    assert reference.softmax(scale, 1.0, np.array([x], np.int8))[0, index] == expected


@pytest.mark.parametrize("package", ["tflite_runtime", "ai_edge_litert"])
def test_softmax_equals_reference_kernels(package: str) -> None:
    rng = np.random.default_rng(0)
    scales = (2.0**-25.9, 0.001, 0.02, 0.072, 0.11, 0.3, 0.58, 31 / 255, 2.0, 31.9, 32.0, 1e6)
    for number, scale in enumerate(scales):
        classes = (1, 2, 3, 10, 12, 256)[number % 6]
        x = np.clip(rng.normal(0, 2 / scale, (300, classes)), -128, 127).astype(np.int8)
        x[:100] = rng.integers(-128, 128, (100, classes))
        tensors = tensor("x", (classes,), scale, 3), tensor("y", (classes,), 1 / 256, -128)
        op = graph.Softmax("softmax_0", (0,), 1, (1.0, 0.5)[number % 2] if number else 1.0)
        assert_equal_to_runtime(graph.Model("softmax", tensors, (op,), (0,), (1,)), x, package)


def test_softmax_of_as_many_classes_as_there_may_be() -> None:
    y = reference.softmax(0.1, 1.0, np.full((1, MOST_CLASSES), 7, np.int8))
    assert (y == -128).all()  # 1/4095 is nearer 0 than 1/256


# --- whole networks ------------------------------------------------------------------------------


def differing_tensors(path: Path, package: str, x: graph.Int8Array) -> set[str]:
    """Names of the tensors in which oracle and runtime differ for some input."""
    model = load_model(path)
    made = runtime.interpreter(package, path.read_bytes(), all_tensors=True)
    indices = {detail["name"]: detail["index"] for detail in made.get_tensor_details()}
    source = made.get_input_details()[0]["index"]
    differing = set()
    for start in range(0, len(x), 20):
        values = reference.run(model, x[start : start + 20])
        for n, image in enumerate(x[start : start + 20]):
            made.set_tensor(source, image[None])
            made.invoke()
            for index, value in values.items():
                name = model.tensors[index].name
                if not np.array_equal(made.get_tensor(indices[name])[0], value[n]):
                    differing.add(name)
    return differing


def overwritten_in_place(model: graph.Model) -> set[str]:
    """Operands that tflite-runtime overwrites with the sum, though told to keep every tensor."""
    return {
        model.tensors[index].name
        for op in model.operators
        if isinstance(op, graph.Add)
        for index in op.inputs
    }


@pytest.mark.thorough
def test_resnet8_equals_tflite_at_every_tensor(
    resnet8_path: Path, resnet8: graph.Model, cifar10_images: np.ndarray
) -> None:
    assert len(cifar10_images) == 200
    differing = differing_tensors(resnet8_path, "tflite_runtime", cifar10_images)
    assert differing <= overwritten_in_place(resnet8)
    # LiteRT keeps the operands of additions. Its fully connected kernel rounds once, which shows in
    # the last two tensors only.
    litert = differing_tensors(resnet8_path, "ai_edge_litert", cifar10_images)
    last_two = {resnet8.tensors[op.output].name for op in resnet8.operators[-2:]}
    assert litert <= last_two


@pytest.mark.slow
def test_keyword_model_equals_tflite_at_every_tensor(
    keyword_path: Path, keyword_samples: tuple[np.ndarray, np.ndarray]
) -> None:
    x = keyword_samples[0][:200]
    assert differing_tensors(keyword_path, "tflite_runtime", x) == set()
