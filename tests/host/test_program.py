# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Compiling, and program files."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan
from axynq.emulator.errors import OverlayError, PlanError, ProgramError
from axynq.emulator.model import graph
from axynq.host import Overlay, Program, compile_program, isa
from axynq.host.compiler.lowering import lower
from axynq.host.overlay import board
from axynq.host.overlay import description as overlay_description
from axynq.host.overlay.toml import parse_toml
from axynq.host.performance.cycles import program_cycles
from axynq.host.runtime.program import CoreStage, HostStage
from tests.host.test_isa_model import run
from tests.networks import depthwise, random_input, tensor
from tests.overlays import description, write_overlay


@pytest.fixture(scope="module")
def program(digits: graph.Model) -> Program:
    return compile_program(digits, "flam=exact|roup:1,4", "tiny4")


def test_descriptions_are_read_once_however_large_the_network(
    digits: graph.Model, monkeypatch
) -> None:
    read: list[str] = []

    def parse(text: str, name: str) -> dict[str, Any]:
        read.append(name)
        return parse_toml(text, name)

    for module in (overlay_description, board):
        monkeypatch.setattr(module, "parse_toml", parse)
    overlay = Overlay.load("tiny4")
    program_cycles(compile_program(digits, "flam=exact|roup:1,4", overlay), overlay, 16)
    assert read.count("tiny4") == 1
    assert read.count("pynq-z2.toml") <= 2  # once to check the overlay, once to use it


def test_a_changed_description_is_seen(digits: graph.Model, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(description(inputs=8))
    before = compile_program(digits, "exact", Overlay.load(path))
    path.write_text(description(inputs=8, lanes=((4, ("exact",), "separate"),)))
    after = compile_program(digits, "exact", Overlay.load(path))
    assert before.overlay_hash != after.overlay_hash
    assert len(after.memory) < len(before.memory)  # no codes


def test_set_up_in_several_threads(digits: graph.Model) -> None:
    """Emulators and programs made at once, with multipliers that none has used before."""
    plans = ["flam=exact|roup:3,5", "klam-row=roup:3,5|smapprox:1230", "smapprox:1230"]
    x = random_input(digits, 3, seed=6)
    results: dict[str, Any] = {}
    barrier = threading.Barrier(len(plans))

    def make(plan: str) -> None:
        barrier.wait()
        program = compile_program(digits, "flam=exact|roup:1,4", Overlay.load("tiny4"))
        results[plan] = Emulator(digits, plan).run(x), program.memory

    threads = [threading.Thread(target=make, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memory = compile_program(digits, "flam=exact|roup:1,4", "tiny4").memory
    for plan in plans:
        assert np.array_equal(results[plan][0], Emulator(digits, plan, engine="portable").run(x))
        assert np.array_equal(results[plan][1], memory)


def test_programs_survive_saving(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "p.axp")
    loaded = Program.load(tmp_path / "p.axp")
    assert np.array_equal(loaded.memory, program.memory)
    for name in ("model", "overlay", "overlay_hash", "inputs", "outputs", "layers", "plan",
                 "stages", "home", "places", "word_bytes", "arena_words"):  # fmt: skip
        assert getattr(loaded, name) == getattr(program, name)


def test_every_flipped_byte_is_noticed(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "p.axp"
    program.save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    # Every byte of the front, and some of the rest.
    for place in [*range(200), *rng.integers(200, len(content), 300).tolist()]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        with pytest.raises(ProgramError, match="damaged|not a compiled program|format"):
            Program.load(path)


@pytest.mark.parametrize("kept", [0, 3, 20, 44, 100, -1])
def test_truncated_programs(program: Program, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "p.axp"
    program.save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ProgramError):
        Program.load(path)


def test_program_files_that_are_not_there() -> None:
    with pytest.raises(ProgramError, match="cannot be read: No such file"):
        Program.load("nowhere.axp")


def test_unwritable_program(program: Program) -> None:
    with pytest.raises(ProgramError, match="cannot be written"):
        program.save("/nowhere/p.axp")


def test_records_carry_their_checksum(program: Program) -> None:
    integers = program.memory.view("<u4")
    phases = int(integers[isa.Header.PHASES])
    for start in range(0, (1 + phases) * isa.RECORD_INTEGERS, isa.RECORD_INTEGERS):
        record = integers[start : start + isa.RECORD_INTEGERS]
        assert isa.checksum(record[:-1]) == record[-1]
    assert integers[isa.Header.MAGIC] == isa.MAGIC
    assert integers[isa.Header.OVERLAY] == Overlay.load("tiny4").identifier
    # The last phase ends the last layer.
    last = integers[phases * isa.RECORD_INTEGERS :]
    assert last[isa.Field.LAYER] == len(program.layers)
    assert integers[isa.Header.PROGRAM_WORDS] * program.word_bytes == len(program.memory)


def test_input_and_output_are_not_shared_with_other_tensors(program: Program) -> None:
    target = program.place_of(program.host_operators[0].inputs[0])
    source = program.place_of(program.network.input_index)
    assert source.offset + source.image_words <= target.offset or (
        target.offset + target.image_words <= source.offset
    )


def test_packing_is_undone_by_unpacking(program: Program) -> None:
    x = np.random.default_rng(0).integers(-128, 128, (3, 8, 8, 1)).astype(np.int8)
    place = program.place_of(program.network.input_index)
    packed = place.pack(x, program.word_bytes)
    assert packed.shape == (3, place.image_words * program.word_bytes)
    assert np.array_equal(packed.reshape(3, 64, 4)[:, :, 0], x.reshape(3, 64))
    assert np.array_equal(place.unpack(packed), x)


# --- what does not fit ---------------------------------------------------------------------------


def test_multiplier_the_overlay_lacks(digits: graph.Model) -> None:
    with pytest.raises(
        PlanError, match="layer 'conv_0' needs multiplier 'roup:3,8', which the overlay does not"
    ):
        compile_program(digits, "roup:3,8", "tiny4")


def test_multipliers_no_lane_has_together(digits: graph.Model) -> None:
    # tiny4 has roup:1,4 on three lanes and roup:2,6 on the fourth.
    compile_program(digits, "flam=roup:1,4|roup:2,6", "tiny4")
    with pytest.raises(PlanError, match="needs .*roup:1,4 and roup:2,6.* together"):
        compile_program(digits, "klam-row=roup:1,4|roup:2,6|exact", "tiny4")


def test_equal_multipliers_serve_each_other(digits: graph.Model) -> None:
    by_name = compile_program(digits, "roup:1,4", "tiny4")
    by_schedule = compile_program(digits, "roup:1,0-2-0-0", "tiny4")
    assert np.array_equal(by_name.memory, by_schedule.memory)


def test_plan_for_another_model(digits: graph.Model, tmp_path: Path) -> None:
    plan = Plan({"conv_99": Plan.parse(digits, "exact").layers["conv_0"]})
    with pytest.raises(PlanError, match="conv_99"):
        compile_program(digits, plan, "tiny4")


def test_unknown_overlay(digits: graph.Model) -> None:
    with pytest.raises(OverlayError, match="unknown overlay"):
        compile_program(digits, "exact", "z9")


@pytest.mark.parametrize(
    ("buffers", "reason"),
    [
        ({"map_words": 16}, "layer 'conv_0' .* one output row takes 24 input words"),
        ({"partial_sums": 2, "weight_vectors": 8}, "layer 'conv_.' .* partial sums on chip"),
    ],
)
def test_layers_that_do_not_fit(
    digits: graph.Model, tmp_path: Path, buffers: dict[str, int], reason: str
) -> None:
    """The host computes them, under the plan."""
    sizes = {"map_words": 4096, "weight_vectors": 512, "groups": 16, **buffers}
    overlay = write_overlay(tmp_path, "small", lanes=[(4, ["exact"], "separate")], **sizes)
    lowered = lower(digits, overlay.array.inputs)
    assert not any(isinstance(op, graph.WeightedLayer) for op in lowered.host_operators)
    program = compile_program(digits, "exact", overlay)
    large = [op for op in program.host_operators if isinstance(op, graph.WeightedLayer)]
    assert {op.name for op in large} == set(program.assigned) != set()
    assert any(re.search(reason, why) for why in program.reasons.values())
    x = random_input(digits, 2, 0)
    assert np.array_equal(run(program, overlay, x), Emulator(digits).run(x))


def test_depthwise_windows_that_do_not_fit(tmp_path: Path) -> None:
    overlay = write_overlay(tmp_path, "small", weight_vectors=8, groups=4)
    with pytest.raises(
        ProgramError, match=r"layer 'layer_0' .* take 7 weight vectors on chip, .* room for 4"
    ):
        compile_program(depthwise(7, 7, 3, 5, seed=0), "exact", overlay)


def test_averages_of_more_positions_than_a_table_has_entries() -> None:
    tensors = (tensor("x", (20, 20, 4), 0.1, 0), tensor("y", (20, 20, 4), 0.1, 0))
    padding = graph.Padding(8, 7, 8, 7)
    pool = graph.Pool("average_pool_0", (0,), 1, "average", (16, 16), (1, 1), padding)
    with pytest.raises(
        ProgramError, match="'average_pool_0' is not supported: .* average 256 positions"
    ):
        compile_program(graph.Model("m", tensors, (pool,), (0,), (1,)), None, "tiny4")


def test_numbers_that_descriptors_do_not_hold() -> None:
    """Refused by the layer's name."""
    tensors = (tensor("x", (1, 5000, 4), 0.1, 0), tensor("y", (1, 5000, 4), 0.1, 0))
    pool = graph.Pool("max_pool_0", (0,), 1, "max", (1, 1), (1, 1))
    overlay = Overlay.load("tiny4")
    wide = overlay.model_copy(
        update={"buffers": overlay.buffers.model_copy(update={"map_words": 1 << 16})}
    )
    with pytest.raises(
        ProgramError, match="layer 'max_pool_0' is too large: input_columns = 5000 cannot be"
    ):
        compile_program(graph.Model("m", tensors, (pool,), (0,), (1,)), None, wide)


def padded(padding: graph.Padding, kernel: tuple[int, int], stride: tuple[int, int]) -> graph.Model:
    """A convolution of 20 x 20 positions."""
    rows = (20 + padding.bottom - kernel[0]) // stride[0] + 1
    columns = (20 + padding.right - kernel[1]) // stride[1] + 1
    layer = graph.Convolution(
        "conv_0", (0,), 1, np.ones((1, *kernel, 1), np.int8), np.zeros(1, np.int32),
        np.ones(1, np.float32), stride=stride, padding=padding,
    )  # fmt: skip
    tensors = (tensor("x", (20, 20, 1), 0.1, 3), tensor("y", (rows, columns, 1), 0.1, 0))
    return graph.Model("m", tensors, (layer,), (0,), (1,))


@pytest.mark.parametrize(
    ("bottom", "right", "kernel", "stride"),
    [
        (65_472 - 18, 0, (1, 1), (1, 1)),  # one more than below
        (65_472 - 18, 0, (2, 1), (1, 1)),
        (66_000, 0, (2, 1), (3, 1)),
        (0, 66_000, (1, 2), (1, 30)),
    ],
)
def test_windows_beyond_the_places_that_the_core_knows(
    bottom: int, right: int, kernel: tuple[int, int], stride: tuple[int, int]
) -> None:
    """Behind row or column 65 535 the core would see the map's first ones again."""
    model = padded(graph.Padding(0, bottom, 0, right), kernel, stride)
    with pytest.raises(ProgramError, match="'conv_0' is too large: .* beyond row or column 65472"):
        compile_program(model, None, "tiny4")


def test_the_last_window_that_the_core_knows() -> None:
    model = padded(graph.Padding(0, 65_472 - 19, 0, 0), (1, 1), (1, 1))
    compile_program(model, None, "tiny4")


@pytest.mark.parametrize("padding", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
@pytest.mark.parametrize("window", [(2, 2), (3, 2)])
def test_averages_beyond_a_single_edge(
    padding: tuple[int, int, int, int], window: tuple[int, int]
) -> None:
    """Only positions inside the map count."""
    around = graph.Padding(*padding)
    rows = 6 + around.top + around.bottom - window[0] + 1
    columns = 5 + around.left + around.right - window[1] + 1
    tensors = (tensor("x", (6, 5, 3), 0.1, 7), tensor("y", (rows, columns, 3), 0.1, 7))
    pool = graph.Pool("average_pool_0", (0,), 1, "average", window, (1, 1), around)
    assert_runs(graph.Model("m", tensors, (pool,), (0,), (1,)))


def test_reshape_in_the_middle() -> None:
    tensors = (
        tensor("x", (4, 4, 2), 0.1, 0),
        tensor("p", (4, 4, 2), 0.1, 0),
        tensor("r", (2, 8, 2), 0.1, 0),
        tensor("y", (2, 8, 2), 0.1, 0),
    )
    operators = (
        graph.Pool("max_pool_0", (0,), 1, "max", (1, 1), (1, 1)),
        graph.Reshape("reshape_1", (1,), 2),
        graph.Pool("max_pool_2", (2,), 3, "max", (1, 1), (1, 1)),
    )
    program = assert_runs(graph.Model("m", tensors, operators, (0,), (3,)))
    assert not program.host_operators  # pixels are where they were


def test_softmax_in_the_middle() -> None:
    tensors = (
        tensor("x", (4,), 0.1, 0),
        tensor("s", (4,), 1 / 256, -128),
        tensor("y", (4,), 0.1, 0),
    )
    operators = (
        graph.Softmax("softmax_0", (0,), 1, 1.0),
        graph.Add("add_1", (1, 1), 2),
    )
    program = assert_runs(graph.Model("m", tensors, operators, (0,), (2,)))
    assert [type(stage) for stage in program.stages] == [HostStage, CoreStage]


def assert_runs(model: graph.Model) -> Program:
    """The program, which computes what the emulator does."""
    overlay = Overlay.load("tiny4")
    program, x = compile_program(model, None, overlay), random_input(model, 3, 0)
    assert np.array_equal(run(program, overlay, x), Emulator(model, engine="portable").run(x))
    return program
