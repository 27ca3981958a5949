"""The oracle against TFLite's reference kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import load_model, reference
from axynq.emulator.model import graph
from axynq.emulator.model.quantisation import FixedPoint, fixed_point
from axynq.emulator.model.tflite_writer import serialise_model
from tests.emulator import runtime
from tests.networks import other_models, random_input, weighted_models


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


@settings(max_examples=150)
@given(other_models(), st.integers(0, 2**32 - 1))
def test_other_operators_equal_tflite(model: graph.Model, seed: int) -> None:
    assert_equal_to_runtime(model, random_input(model, 3, seed), "tflite_runtime")


@given(st.floats(2**-40, 2**10), st.integers(-(2**30), 2**30))
def test_rescaling_is_within_one_of_the_real_product(real: float, value: int) -> None:
    if abs(value * real) >= 2**30:
        return
    scaled = reference.rescale(np.array([value]), fixed_point(real))[0]
    assert abs(scaled - value * real) <= 1


def test_rescaling_rounds_twice_with_halves_away_from_zero() -> None:
    half = FixedPoint(2**30, 0)
    quarter = FixedPoint(2**30, -1)
    values = np.array([-6, -5, -3, -2, -1, 1, 2, 3, 5, 6])
    # The high multiplication rounds -1.5 to -1 (its nudge is one short of a half for negatives).
    assert reference.rescale(values, half).tolist() == [-3, -2, -1, -1, 0, 1, 1, 2, 3, 3]
    assert reference.rescale(values, quarter).tolist() == [-2, -1, -1, -1, 0, 1, 1, 1, 2, 2]


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


@pytest.mark.slow
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
