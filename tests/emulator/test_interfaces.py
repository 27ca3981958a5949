# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Files that take or give float32 or uint8 in place of int8: names, types and values stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tflite
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan, load_model
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.file_formats.tflite_reader import parse_model
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Interface, Tensor
from axynq.emulator.model.interface import as_file_takes
from axynq.emulator.model.segments import segments
from tests.conftest import data_file
from tests.emulator.runtime import interpreter
from tests.emulator.test_tflite import assert_same_graph
from tests.networks import random_input, tensor, weighted_models

FLOAT = Interface("outside", "float32")
LOADING = (
    "cfu_magic_wand",
    "tflm_micro_speech",
    "tflm_person_detect",
    "tinymaix_mnist_resnet",
    pytest.param("coral_tf2_mbv2_ptq", marks=pytest.mark.thorough),
)


def with_interfaces(
    model: graph.Model, taken: Interface | None, given: Interface | None
) -> graph.Model:
    """``model`` as a file with other types at its ends has it."""
    tensors = list(model.tensors)
    for index, interface in ((model.input_index, taken), (model.output_index, given)):
        tensors[index] = replace(tensors[index], interface=interface)
    return replace(model, tensors=tuple(tensors))


def tflite_outputs(content: bytes, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What TFLite's reference kernels give for a batch in the file's own type."""
    made = interpreter("tflite_runtime", content)
    (source,), (target,) = made.get_input_details(), made.get_output_details()
    assert source["dtype"] == x.dtype
    outputs = []
    for image in x:
        made.set_tensor(source["index"], image[None])
        made.invoke()
        outputs.append(made.get_tensor(target["index"])[0].copy())
    return np.stack(outputs)


def given_by_file(output: Tensor, y: graph.Int8Array) -> npt.NDArray[Any]:
    """int8 outputs in the file's own type; uint8 ones of the same scale only."""
    if output.interface is None:
        return y
    if output.interface.type == "float32":
        operand = y.astype(np.float32) - np.float32(output.zero_point)
        return np.asarray(operand * np.float32(output.scale))
    assert output.interface.scale == output.scale
    shifted = y.astype(np.int64) - output.zero_point + output.interface.zero_point
    return np.clip(shifted, 0, 255).astype(np.uint8)


def random_batch(source: Tensor, images: int, seed: int) -> npt.NDArray[Any]:
    """A batch in the file's own type."""
    rng = np.random.default_rng(seed)
    shape = (images, *source.shape)
    if source.interface is None:
        return rng.integers(-128, 128, shape).astype(np.int8)
    if source.interface.type == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8)
    return (rng.normal(0, 70, shape) * source.scale).astype(np.float32)


interfaces = st.one_of(
    st.none(),
    st.just(FLOAT),
    st.builds(
        lambda scale, zero: Interface("outside", "uint8", float(np.float32(scale)), zero),
        st.floats(0.004, 0.5),
        st.integers(0, 255),
    ),
)


@settings(max_examples=40)
@given(weighted_models(), interfaces, interfaces, st.integers(0, 2**32 - 1))
def test_written_files_keep_their_types(
    model: graph.Model, taken: Interface | None, given: Interface | None, seed: int
) -> None:
    if given is not None and given.type == "uint8":
        given = replace(given, scale=model.output.scale)
    model = with_interfaces(model, taken, given)
    content = serialise_model(model)
    again = parse_model(content)
    assert_same_graph(again, model)
    assert [op.name for op in again.operators] == [op.name for op in model.operators]
    x = random_batch(model.input, 2, seed)
    found = given_by_file(model.output, Emulator(again).run(x))
    assert np.array_equal(tflite_outputs(content, x), found)


def test_names_do_not_count_edges(digits: graph.Model) -> None:
    outside = with_interfaces(digits, FLOAT, FLOAT)
    names = [layer.name for layer in parse_model(serialise_model(outside)).layers]
    assert names == [layer.name for layer in digits.layers]


@pytest.mark.parametrize("name", LOADING)
def test_real_files_equal_tflite(name: str) -> None:
    path = data_file("models", "wild", f"{name}.tflite")
    model = load_model(path)
    written = serialise_model(model)
    again = parse_model(written, path.name)
    assert_same_graph(again, model)
    assert [op.name for op in again.operators] == [op.name for op in model.operators]
    x = random_batch(model.input, 1 if name.startswith("coral") else 4, 0)
    found = given_by_file(model.output, Emulator(model).run(x))
    assert np.array_equal(tflite_outputs(written, x), found)
    if name != "tflm_person_detect":  # TFLite refuses how that file describes its biases
        assert np.array_equal(tflite_outputs(path.read_bytes(), x), found)


def test_parts_of_a_network_have_no_interface_inside(digits: graph.Model) -> None:
    parts = segments(with_interfaces(digits, FLOAT, FLOAT))
    assert parts[0].input.interface == parts[-1].output.interface == FLOAT
    assert {part.output.interface for part in parts[:-1]} == {None}


# --- reals and bytes become int8 as TFLite's QUANTIZE has it -------------------------------------


def quantise_file(source: Tensor) -> bytes:
    """A network that only quantises: its pooling is of single positions."""
    assert len(source.shape) == 3
    target = replace(source, name="y", interface=None)
    pool = graph.Pool("max_pool_0", (0,), 1, "max", (1, 1), (1, 1))
    return serialise_model(graph.Model("q", (source, target), (pool,), (0,), (1,)))


def check_reals(scale: float, zero_point: int, real: npt.NDArray[np.float32]) -> None:
    source = replace(tensor("x", (1, 1, len(real)), scale, zero_point), interface=FLOAT)
    x = real.reshape(1, 1, 1, -1)
    assert np.array_equal(source.quantise(x), tflite_outputs(quantise_file(source), x))
    assert np.array_equal(source.batch(x), source.quantise(x))


@pytest.mark.parametrize(("scale", "zero_point"), [(2 / 255, -1), (0.1, 3), (0.0123, -128)])
def test_reals_near_halves(scale: float, zero_point: int) -> None:
    halves = ((np.arange(-300, 300) + 0.5) * float(np.float32(scale))).astype(np.float32)
    below, above = np.nextafter(halves, np.float32(-9e9)), np.nextafter(halves, np.float32(9e9))
    small = np.float32([0.0, -0.0, 1e-45, -1e-45, 0.49999997 * scale, -0.49999997 * scale])
    check_reals(scale, zero_point, np.concatenate([halves, below, above, small]))


@settings(max_examples=25)
@given(st.floats(1e-4, 10), st.integers(-128, 127), st.integers(0, 2**32 - 1))
def test_random_reals(scale: float, zero_point: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    check_reals(scale, zero_point, rng.normal(0, 80 * scale, 500).astype(np.float32))


def test_reals_far_outside_saturate() -> None:
    source = tensor("x", (4,), 0.01, -128)  # here TFLite's conversion to integers is undefined
    x = np.array([[1e30, -1e30, 3e38, -3e38]])
    assert source.batch(x.astype(np.float32)).tolist() == [[127, -128, 127, -128]]
    assert source.batch(10 * x).tolist() == [[127, -128, 127, -128]]  # more than a float32 holds
    with pytest.raises(DataError, match="not finite"):
        source.batch(np.full((1, 4), np.inf))


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 1), (0, 255)])
def test_pixels_become_what_tflite_makes_of_their_reals(low: int, high: int) -> None:
    scale = (high - low) / 255
    zero_point = int(np.floor(-128 - low / scale))
    source = tensor("x", (16, 16, 1), scale, zero_point)
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    reals = pixels.astype(np.float32)
    if high == 1:
        reals = reals / 255 if low == 0 else reals / np.float32(127.5) - 1
    expected = tflite_outputs(quantise_file(replace(source, interface=FLOAT)), reals)
    assert np.array_equal(quantise_examples(source, pixels), expected)


@settings(max_examples=25)
@given(st.floats(0.002, 2), st.floats(0.2, 5), st.integers(0, 255), st.integers(-128, 127))
def test_bytes_of_any_quantisation(scale: float, ratio: float, taken: int, zero_point: int) -> None:
    inner = tensor("x", (16, 16, 1), scale, zero_point)
    outer = Interface("u", "uint8", float(np.float32(scale * ratio)), taken)
    source = replace(inner, interface=outer)
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    expected = tflite_outputs(quantise_file(source), x)
    assert np.array_equal(source.batch(x), expected)
    assert np.array_equal(quantise_examples(source, x), expected)


def test_bytes_of_the_same_scale_move_by_the_zero_points() -> None:
    source = replace(tensor("x", (1,), 0.1, -1), interface=Interface("u", "uint8", 0.1, 127))
    source = replace(source, scale=0.1)
    assert source.int8_of_uint8.tolist() == list(range(-128, 128))


def test_bytes_for_a_network_that_takes_none() -> None:
    with pytest.raises(DataError, match=r"not uint8; datasets.quantise_examples takes images"):
        tensor("x", (1,), 0.1, 0).batch(np.zeros((1, 1), np.uint8))


@settings(max_examples=40)
@given(interfaces, st.floats(0.002, 2), st.integers(-128, 127))
def test_what_a_file_takes_gives_the_int8_it_stands_for(
    interface: Interface | None, scale: float, zero_point: int
) -> None:
    source = replace(tensor("x", (256,), scale, zero_point), interface=interface)
    x = np.arange(-128, 128).astype(np.int8)[None]
    if interface is not None and interface.type == "uint8":
        x = x[:, np.isin(x[0], source.int8_of_uint8)]  # those that its QUANTIZE can give
        source = replace(source, shape=x.shape[1:])
    assert np.array_equal(source.batch(as_file_takes(source, x)), x)


def test_another_type_at_the_input(digits: graph.Model) -> None:
    model = with_interfaces(digits, Interface("u", "uint8", digits.input.scale, 0), None)
    content = bytearray(serialise_model(model))
    subgraph = tflite.Model.GetRootAsModel(content, 0).Subgraphs(0)
    table = subgraph.Tensors(subgraph.Inputs(0))._tab
    content[table.Pos + table.Offset(6)] = tflite.TensorType.INT16
    with pytest.raises(ModelError, match="its input 'u' is int16; int8, uint8 and float32 are"):
        parse_model(bytes(content))


# --- an empty batch, and accuracy ----------------------------------------------------------------


@pytest.mark.parametrize("engine", ["auto", "portable"])
def test_an_empty_batch(digits: graph.Model, engine: str) -> None:
    emulator = Emulator(digits, "roup:1,4", engine=engine)
    empty = random_input(digits, 0, 0)
    assert emulator.run(empty).shape == (0, 10)
    assert emulator.run(empty).dtype == np.int8
    with pytest.raises(DataError, match="at least one example"):
        emulator.accuracy(empty, np.zeros(0, np.int64))


def test_an_only_input_by_its_name(digits: graph.Model) -> None:
    x = random_input(digits, 3, 0)
    emulator = Emulator(digits, "exact")
    assert np.array_equal(emulator.run({digits.input.name: x}), emulator.run(x))
    with pytest.raises(DataError) as plain:
        emulator.run(x[:, 1:])
    with pytest.raises(DataError) as named:
        emulator.run({digits.input.name: x[:, 1:]})
    assert str(named.value) == str(plain.value)


def test_accuracy_of_labels_that_do_not_fit(digits: graph.Model) -> None:
    x = random_input(digits, 3, 0)
    for y in (np.zeros(2, int), np.zeros((3, 1), int), np.zeros((3, 10), int)):
        with pytest.raises(DataError, match="3 examples need as many class numbers"):
            Emulator(digits).accuracy(x, y)


# --- a model and a plan that were written together -----------------------------------------------


@pytest.mark.parametrize("interface", [FLOAT, Interface("u", "uint8", 16 / 255, 0)])
def test_a_plan_fits_the_network_written_with_it(
    digits: graph.Model, interface: Interface, tmp_path: Path
) -> None:
    from axynq.emulator.studies.tuning.compensation import Method, frozen, tune
    from axynq.emulator.studies.tuning.tuner import Tuner

    model = parse_model(serialise_model(with_interfaces(digits, interface, FLOAT)), "d")
    plan = Plan.parse(model, "flam=exact|roup:2,6+klms=2")
    x = random_input(model, 20, 1)
    tuned = tune(Tuner(model, x), plan, x, Method.EXPECTED)
    frozen(plan, model).save(tmp_path / "plan.json")
    again = parse_model(serialise_model(tuned), "d")
    assert again.input.interface == model.input.interface
    loaded = Plan.load(tmp_path / "plan.json")
    assert np.array_equal(Emulator(again, loaded).run(x), Emulator(tuned, loaded).run(x))
