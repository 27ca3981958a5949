# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The comparisons can fail: one wrong bit in any of the three implementations is caught."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axynq.emulator import Emulator, reference
from axynq.emulator.engine import packing_planes as planes
from axynq.emulator.engine.kernel import supported_variants
from axynq.emulator.errors import DeviceError
from axynq.emulator.model import graph
from axynq.host import Accelerator, Overlay, compile_program, isa
from axynq.host.compiler import pacing
from axynq.host.selftest.networks import networks
from axynq.host.software_board import simulation
from tests import limits
from tests.engines import ENGINES
from tests.networks import random_input
from tests.overlays import write_overlay

IMAGES = 20


@pytest.fixture
def digits(digits: graph.Model) -> graph.Model:
    """Without the softmax, which would hide small differences."""
    softmax = digits.operators[-1]
    return replace(digits, operators=digits.operators[:-1], outputs=(softmax.inputs[0],))


@pytest.fixture
def x(digits: graph.Model) -> graph.Int8Array:
    return random_input(digits, IMAGES, 0)


def test_a_bit_in_the_oracle(digits: graph.Model, x: graph.Int8Array, monkeypatch) -> None:
    expected = Emulator(digits).run(x)
    assert np.array_equal(reference.run(digits, x)[digits.output_index], expected)
    rescale = reference.rescale

    def faulty(values, multiplier, shift):  # type: ignore[no-untyped-def]
        return rescale(values, multiplier ^ 1 << 24, shift)

    monkeypatch.setattr(reference, "rescale", faulty)
    assert not np.array_equal(reference.run(digits, x)[digits.output_index], expected)


def rounded_away_from_zero(values, multiplier, shift):  # type: ignore[no-untyped-def]
    """Halves away from zero in both steps."""
    right = np.maximum(-shift, 0)
    product = np.clip(values << np.maximum(shift, 0), -(2**31), 2**31 - 1) * multiplier
    high = np.sign(product) * ((np.abs(product) + (1 << 30)) >> 31)
    return np.sign(high) * ((np.abs(high) + ((1 << right) >> 1)) >> right)


def rounded_once(values, multiplier, shift):  # type: ignore[no-untyped-def]
    """In one step, as XNNPACK and LiteRT's fully connected layer do."""
    product = np.clip(values << np.maximum(shift, 0), -(2**31), 2**31 - 1) * multiplier
    right = np.maximum(-shift, 0)
    return (product + (1 << (30 + right))) >> (31 + right)


@pytest.mark.parametrize("wrong", [rounded_away_from_zero, rounded_once])
def test_another_rounding_in_the_oracle(wrong, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """No engine takes its rounding from the oracle; the networks at the limits tell them apart."""
    model, x = next(limits.layers_of_biases())
    expected = reference.run(model, x)[model.output_index]
    monkeypatch.setattr(reference, "rescale", wrong)
    differing = reference.run(model, x)[model.output_index]
    for name in ENGINES:
        found = Emulator(model, engine=name).run(x)
        assert np.array_equal(found, expected), name
        assert not np.array_equal(found, differing), name


def test_a_bit_in_the_emulator(digits: graph.Model, x: graph.Int8Array) -> None:
    expected = reference.run(digits, x)[digits.output_index]
    emulator = Emulator(digits, engine="portable")
    assert np.array_equal(emulator.run(x), expected)
    plane = emulator._network.layers["conv_4"].planes[0]
    plane.weights[1, 1, 3, 5] = float(int(plane.weights[1, 1, 3, 5]) ^ 32)
    assert not np.array_equal(emulator.run(x), expected)


def test_a_bit_in_the_emulators_native_kernel(
    digits: graph.Model, x: graph.Int8Array, monkeypatch
) -> None:
    expected = reference.run(digits, x)[digits.output_index]
    block_weights = planes.block_weights

    def faulty(*arguments):  # type: ignore[no-untyped-def]
        weights, counts = block_weights(*arguments)
        weights[len(weights) // 2 :][:1] ^= 1
        return weights, counts

    for variant in supported_variants():
        assert np.array_equal(Emulator(digits, engine=variant.name).run(x), expected)
        with monkeypatch.context() as patch:
            patch.setattr(planes, "block_weights", faulty)
            assert not np.array_equal(Emulator(digits, engine=variant.name).run(x), expected)


def test_a_bit_in_the_program(digits: graph.Model, x: graph.Int8Array) -> None:
    expected = Emulator(digits).run(x)
    program = compile_program(digits, "exact", "tiny4")
    with Accelerator("tiny4", device="software") as accelerator:
        assert np.array_equal(accelerator.run(program, x), expected)
        memory = program.memory.copy()
        phases = memory.view("<i4")[isa.Header.PHASES]
        last = isa.Descriptor.of(memory.view("<i4")[phases * isa.RECORD_INTEGERS :])
        assert (last.opcode, last.tables) == (isa.Opcode.CONVOLUTION, 0)
        first_bias = last.set_offset * program.word_bytes
        memory[first_bias + 1] ^= 8
        assert not np.array_equal(accelerator.run(replace(program, memory=memory), x), expected)


SOURCE_FAULTS = [
    # The third Booth digit of w = -98 and its like, when the activation is 85.
    ("multipliers/exact.hpp", "return product_t(a * w);",
     "return product_t(a * w) ^ product_t(a == 85 && w == -98 ? 2 : 0);"),
    pytest.param("multipliers/roup.hpp", "return low + high;",
     "return (low + high) ^ product_t(a == 85 && w == -98 ? 2 : 0);", marks=pytest.mark.thorough),
]  # fmt: skip


@pytest.mark.parametrize(("file", "right", "wrong"), SOURCE_FAULTS)
def test_a_bit_of_one_product_in_the_accelerator(
    tmp_path: Path, monkeypatch, file: str, right: str, wrong: str
) -> None:
    """One bit of one product of the C++ functor is found by the exhaustive comparison."""
    from tests.equality.test_functors import assert_functors_equal_tables

    faulty_sources(tmp_path, monkeypatch, file, right, wrong)
    with pytest.raises(AssertionError):
        assert_functors_equal_tables(Overlay.load("tiny4"))


@pytest.mark.slow
def test_a_bit_of_the_datapath_in_the_accelerator(
    digits: graph.Model, x: graph.Int8Array, tmp_path: Path, monkeypatch
) -> None:
    """One wrong rounding bit shows in a network's output."""
    faulty_sources(tmp_path, monkeypatch, "requantise.hpp", "cut ? 0 : 1", "cut ? 0 : 2")
    program, x = compile_program(digits, "exact", "tiny4"), x[:2]
    with Accelerator("tiny4", device="software") as accelerator:
        assert not np.array_equal(accelerator.run(program, x), Emulator(digits).run(x))


# What hardware could not do, though the numbers are right.
HARDWARE_FAULTS = [
    # Two reads of the same memory in a step.
    ("run.hpp", "    read_row(codes, issues && multiplies && HAS_CODES,",
     "    read_row(weights, issues && multiplies, vector, weight);\n"
     "    read_row(codes, issues && multiplies && HAS_CODES,",
     r"memory 'weights', bank 0, step \d+: reads twice"),
    # The next set goes where this phase's constants are.
    ("compute.hpp", "set.half = !constant_half;", "set.half = constant_half;",
     r"memory '\w+', bank \d+, step \d+: reads address \d+, which the same loop wrote"),
    # A word that nobody takes, and one that never comes.
    ("load.hpp", "tile.input_rows * phase.input_row_words;",
     "tile.input_rows * phase.input_row_words + 1;",
     "channel 'input_words' has words that nobody read"),
    ("load.hpp", "tile.input_rows * phase.input_row_words;",
     "tile.input_rows * phase.input_row_words - 1;",
     "channel 'input_words' is read where nothing comes"),
    # A burst that is written beyond what was asked for.
    ("store.hpp", "std::size_t(words) * BEATS);\n          write_words",
     "std::size_t(words) * BEATS - 1);\n          write_words",
     "port 'destination' is written without a request"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "right", "wrong", "message"),
    [
        pytest.param(*fault, marks=pytest.mark.thorough if index else pytest.mark.slow)
        for index, fault in enumerate(HARDWARE_FAULTS)
    ],
)
def test_what_hardware_cannot_do(
    tmp_path: Path, monkeypatch, file: str, right: str, wrong: str, message: str
) -> None:
    """The simulation holds the sources to the ports of memories, channels and bursts."""
    faulty_sources(tmp_path, monkeypatch, file, right, wrong)
    model = residual_network()
    x = random_input(model, 2, 0)
    with Accelerator("tiny4", device="software") as accelerator:
        program = compile_program(model, "exact", "tiny4")
        with pytest.raises(DeviceError, match=message):
            accelerator.run(program, x)


HYBRID: dict[str, Any] = {
    "filters": 8,
    "requantisers": 2,
    "lanes": ((4, ("exact",), "separate"), (4, ("exact",), "dsp pair")),
    "array": {"window_lanes": 3, "copies": 3},
}
"""An array of three copies, two rounds of bytes, and lanes without windows."""

# Where copies, rounds, pairs and window lanes get mixed up.
ARRAY_FAULTS = [
    # An image goes to another copy, and comes from another.
    ("run.hpp", "takes_in && (COPIES == 1 || incoming_copy == copy)",
     "takes_in && (COPIES == 1 || incoming_copy == COPIES - 1 - copy)"),
    ("run.hpp", "if (copy == 0 || outgoing_copy == copy) out_byte",
     "if (copy == 0 || outgoing_copy > copy) out_byte"),
    # All images computed by copies but the last alone.
    ("tile.hpp", "return left < COPIES ? copies_t(left) : copies_t(COPIES);",
     "return left <= COPIES ? copies_t(left) : copies_t(COPIES - 1);"),
    # The places of one round for those of the other.
    ("finish.hpp", "byte_places[round * INPUTS + b]",
     "byte_places[(ROUNDS - 1 - round) * INPUTS + b]"),
    ("incoming_set.hpp", "now.word == 2 * ROUNDS + lane / INPUTS",
     "now.word == 2 * ROUNDS + (FILTERS - 1 - lane) / INPUTS"),
    # Another lane's window, and another weight of a pair.
    ("lanes.hpp", "window[has_window ? LANE : 0][", "window[has_window ? LANE / 2 : 0]["),
    ("lanes.hpp", "second[i] = products.second;", "second[i] = products.first;"),
    # The set behind the segment where its first phase comes again.
    ("../../src/accelerator.cpp", "again ? place_t(following.again_set_words)",
     "again ? place_t(following.next_set_words)"),
    # The next images' maps from one image on.
    ("load.hpp", "ahead += phase.ahead_image_words;", "ahead += phase.ahead_image_words * COPIES;"),
]  # fmt: skip


def residual_network() -> graph.Model:
    return next(model for model in networks() if model.name == "residual")


def runs_right(accelerator: Accelerator) -> bool:
    """On 7 images, which three copies take in turns of three, three and one. A program for single
    images has segments, and maps that come in ahead."""
    model = residual_network()
    x = random_input(model, 7, 0)
    program = compile_program(model, "exact", accelerator.overlay, batch=1)
    return np.array_equal(accelerator.run(program, x), Emulator(model, "exact").run(x))


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        pytest.param(*fault, marks=pytest.mark.thorough if index else pytest.mark.slow)
        for index, fault in enumerate(ARRAY_FAULTS)
    ],
)
def test_parts_of_an_array_mixed_up(
    tmp_path: Path, monkeypatch, file: str, right: str, wrong: str
) -> None:
    faulty_sources(tmp_path, monkeypatch, file, right, wrong)
    # An error of the simulation finds it too.
    with (
        Accelerator(write_overlay(tmp_path, **HYBRID), device="software") as accelerator,
        suppress(DeviceError),
    ):
        assert not runs_right(accelerator)


@pytest.mark.slow
def test_what_the_compiler_tells_an_array_wrongly(tmp_path: Path, monkeypatch) -> None:
    """Filters on a lane beyond those with windows, and the set of another phase."""
    with Accelerator(write_overlay(tmp_path, **HYBRID), device="software") as accelerator:
        assert runs_right(accelerator)
        with monkeypatch.context() as patch:
            patch.setattr(Overlay, "window_lanes", 4)
            assert not runs_right(accelerator)
        with monkeypatch.context() as patch:
            patch.setattr(pacing, "_first_of_segment", lambda descriptors, place: descriptors[0])
            with pytest.raises(DeviceError, match="channel 'program_words'"):
                runs_right(accelerator)


def faulty_sources(tmp_path: Path, monkeypatch, file: str, right: str, wrong: str) -> None:
    """Make the software board compile a copy of the sources with a fault in it."""
    import shutil

    hls = tmp_path / "hls"
    shutil.copytree(Path(__file__).parents[2] / "hls", hls)
    path = hls / "include" / "axynq" / file
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(simulation, "_sources", lambda: hls)
    # Compiled in half the time; the runs are short.
    flags = [flag for flag in simulation._FLAGS if not flag.startswith("-O")]
    monkeypatch.setattr(simulation, "_FLAGS", ("-O0", *flags))
