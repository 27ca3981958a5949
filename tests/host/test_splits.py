# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the host computes of a network, and how parts of a map come together."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan
from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.host import Overlay, Program, compile_program, isa_model
from axynq.host.compiler import step_phases
from axynq.host.isa_derived import check_derived
from axynq.host.performance.cycles import phase_cycles
from axynq.host.performance.host_costs import stage_costs
from axynq.host.performance.loops import Call, program_phases
from axynq.host.power.estimate import estimate
from axynq.host.runtime.program import CoreStage, HostStage
from tests.execution import execute
from tests.host.test_isa_model import array_of, finish_steps
from tests.host.test_segments import unpredictable
from tests.hybrid_networks import Network, branches
from tests.overlays import write_overlay


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Overlay:
    """With memories so small that a few maps fill them."""
    folder: Path = tmp_path_factory.mktemp("overlay")
    return write_overlay(
        folder, requantisers=1, map_words=256, weight_vectors=64, groups=8, partial_sums=512
    )


def assert_equal(model: graph.Model, overlay: Overlay, images: int = 2) -> Program:
    """The page's accelerator gives what the emulator gives."""
    program = compile_program(model, "roup:1,4", overlay)
    rng = np.random.default_rng(0)
    x = [rng.integers(-128, 128, (images, *t.shape)).astype(np.int8) for t in program.inputs]
    found = execute(program, x, partial(isa_model.run_program, array_of(overlay)))
    expected = Emulator(model, "roup:1,4", engine="portable").run(x)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)
    for descriptor in program_phases(program):
        check_derived(descriptor, array_of(overlay), finish_steps(overlay))
    return program


@pytest.mark.parametrize("seed", range(6))
def test_parts_of_a_map_in_any_segments(small: Overlay, seed: int, monkeypatch) -> None:
    unpredictable(monkeypatch, seed)
    assert_equal(branches(seed), small)


def test_concatenations_move_nothing() -> None:
    """Layers write where the concatenation has it; what others read too is copied by the core."""
    programs = [compile_program(branches(seed), None, "tiny4") for seed in range(20)]
    assert not any(program.host_operators for program in programs)
    assert {len(program.core_stages) for program in programs} == {1}
    copies = [name for p in programs for name in p.layers if name.startswith("concatenation")]
    assert copies


def test_functions_of_a_value_are_a_table_behind_the_layer(small: Overlay) -> None:
    """Swish, and a hard swish that is spelt out; both begin where the layer ends."""
    network = Network((3, 4, 5), seed=1)
    x = network.convolution(0, 6, 3)
    x = network.pair("multiply", x, network.lookup(x, "logistic", (1 / 256, -128)))
    x = network.convolution(x, 7, 2)
    six = network.pair("multiply", network.constant([43], 1 / 256), network.lookup(
        network.pair("add", x, network.constant([60])), "relu6"))  # fmt: skip
    network.pair("multiply", x, six)
    program = assert_equal(network.model(), small)
    assert not program.host_operators
    assert program.layers == (
        "convolution_0+lookup_1+elementwise_2",
        "convolution_3+elementwise_4+lookup_5+elementwise_6+elementwise_7",
    )


def test_what_others_read_is_no_part_of_a_table(small: Overlay) -> None:
    network = Network((3, 4, 5), seed=1)
    x = network.convolution(0, 6, 3)
    gate = network.lookup(x, "logistic", (1 / 256, -128))
    y = network.pair("multiply", x, gate)
    program = assert_equal(network.model(gate, y), small)
    assert program.layers == ("convolution_0", "lookup_1")
    assert program.reasons == {"elementwise_2": "the array multiplies and compares no two maps"}


def test_branches_share_stages(small: Overlay) -> None:
    """Two branches, each with a softmax between layers, take two starts of the core."""
    network = Network((2, 2, 4), seed=2)
    ends = []
    for _ in range(2):
        x = network.convolution(0, 4)
        y = network.new(network.shape(x), 1 / 256, -128)
        network.add(graph.Softmax, (x,), y, 1.0)
        ends.append(network.convolution(y, 3))
    program = assert_equal(network.model(*ends), small)
    kinds = [type(stage) for stage in program.stages]
    assert kinds == [CoreStage, HostStage, CoreStage]
    assert program.host_operators[0].name in program.reasons


def test_the_end_is_the_hosts() -> None:
    """Nothing multiplies behind the softmax: the core is not started again."""
    network = Network((2, 2, 4), seed=2)
    x = network.convolution(0, 4)
    y = network.add(graph.Softmax, (x,), network.new((2, 2, 4), 1 / 256, -128), 1.0)
    network.pool(y)
    program = compile_program(network.model(), None, "tiny4")
    assert [op.name for op in program.host_operators] == ["softmax_1", "pool_2"]
    assert program.reasons["pool_2"] == "the core is not started for what multiplies nothing"


@pytest.mark.parametrize("second", ["convolution", "lookup", "fully connected"])
@pytest.mark.parametrize("ahead", [False, True])
def test_rows_that_only_others_see_come_too(
    small: Overlay, second: str, ahead: bool, monkeypatch
) -> None:
    """The layer that takes a map in passes over its last row; what follows on chip does not."""
    together(monkeypatch, ahead)
    network = Network((6, 4, 4), seed=7)
    first = network.add(
        graph.Convolution, (0,), network.new((3, 2, 3)),
        network.rng.integers(-127, 128, (3, 1, 1, 4)).astype(np.int8),
        np.zeros(3, np.int32), np.full(3, 0.02, np.float32), stride=(2, 2),
    )  # fmt: skip
    if second == "convolution":
        other = network.convolution(0, 5, 3)
    elif second == "lookup":
        other = network.lookup(0, "absolute")
    else:
        weights = network.rng.integers(-127, 128, (3, 96)).astype(np.int8)
        other = network.add(graph.FullyConnected, (0,), network.new((3,), 5.0), weights,
                            np.zeros(3, np.int32), np.full(3, 0.02, np.float32))  # fmt: skip
    last = network.convolution(network.pool(first), 3)
    program = assert_equal(network.model(first, other, last), small, images=3)
    loading, *others = program_phases(program)
    assert (loading.source_loaded, loading.source_ahead) == (1, ahead)
    assert loading.last_tile_span == 5
    assert not any(d.whole_batch for d in others)


def together(monkeypatch: pytest.MonkeyPatch, ahead: bool) -> None:
    """Have as many steps as possible run image by image; the next image's input comes in ahead."""

    def made_up(call: Call, overlay: Overlay) -> object:
        d, real = call.phase, phase_cycles(call, overlay)
        return real._replace(cycles=10_000 * d.whole_batch + 1 + (d.source_ahead != ahead))

    monkeypatch.setattr(step_phases, "phase_cycles", made_up)


def test_costs_of_the_host() -> None:
    network = Network((2, 2, 4), seed=2)
    x = network.convolution(0, 6)
    y = network.add(graph.Softmax, (x,), network.new((2, 2, 6), 1 / 256, -128), 1.0)
    network.convolution(y, 3)
    first, between, last = stage_costs(compile_program(network.model(), None, "tiny4"))
    assert (first.on_host, between.on_host, last.on_host) == (False, True, False)
    # Pixels of 4 bytes, of 8 for six channels.
    assert (first.bytes_moved, between.bytes_moved, last.bytes_moved) == (16, 32, 32)
    assert between.operations == 24 * 100


def test_nothing_for_the_accelerator() -> None:
    network = Network((4,), seed=2)
    network.add(graph.Softmax, (0,), network.new((4,), 1 / 256, -128), 1.0)
    with pytest.raises(ProgramError, match="nothing for the accelerator .*no exponentials"):
        compile_program(network.model(), None, "tiny4")


def test_tables_of_others_do_not_run_on_the_host(tmp_path: Path) -> None:
    """A layer that is too large, whose multiplier is a file's."""
    np.save(tmp_path / "m.npy", np.outer(np.arange(256), np.arange(256)).astype(np.int64))
    spec = f"table:{tmp_path / 'm.npy'}"
    overlay = write_overlay(tmp_path, "small", map_words=32, lanes=[(4, ["exact"], "separate")])
    network = Network((9, 9, 4), seed=3)
    first = network.convolution(network.convolution(0, 4), 4, 3)
    model = network.model(first)
    with pytest.raises(ProgramError, match="'convolution_1' runs on the host .*table:.* is not"):
        compile_program(model, spec, overlay)
    assert set(compile_program(model, "exact", overlay).assigned) == {"convolution_1"}


@pytest.mark.parametrize(("channels", "groups", "filters"), [(8, 2, 8), (6, 3, 9), (6, 6, 12)])
def test_grouped_convolutions_are_one_layer(
    small: Overlay, channels: int, groups: int, filters: int
) -> None:
    network = Network((4, 5, 4), seed=channels)
    x = network.grouped(network.convolution(0, channels), groups, filters, 2)
    network.convolution(x, 3)
    program = assert_equal(network.model(), small)
    assert not program.host_operators
    assert len(program.layers) == 3


def test_groups_that_others_read_are_apart(small: Overlay) -> None:
    network = Network((4, 5, 4), seed=1)
    x = network.grouped(network.convolution(0, 8), 2, 8)
    first = network.operators[2].output  # of the first group
    program = assert_equal(network.model(first, x), small)
    assert {op.name for op in program.host_operators} == {"slice_1", "slice_3"}


@pytest.mark.parametrize("keep_dims", [False, True])
@pytest.mark.parametrize("kind", ["mean", "sum"])
def test_transpositions_go_behind_means(small: Overlay, keep_dims: bool, kind: str) -> None:
    """Of channels first, over one axis after another, as converters write it."""
    network = Network((3, 4, 5), seed=5)
    x = network.convolution(0, 6)
    turned = network.new((6, 3, 4), *network.quantisation(x))
    network.add(graph.Transpose, (x,), turned, (2, 0, 1))
    one = network.new((6, 3, 1) if keep_dims else (6, 3))
    network.add(graph.Reduce, (turned,), one, kind, (2,), keep_dims)
    both = network.new((6, 1, 1) if keep_dims else (6,))
    network.add(graph.Reduce, (one,), both, kind, (1,), keep_dims)
    flat = network.new((6,), *network.quantisation(both))
    network.add(graph.Reshape, (both,), flat)
    weights = network.rng.integers(-127, 128, (3, 6)).astype(np.int8)
    network.add(graph.FullyConnected, (flat,), network.new((3,), 5.0), weights,
                np.zeros(3, np.int32), np.full(3, 0.02, np.float32))  # fmt: skip
    program = assert_equal(network.model(), small)
    if kind == "mean":
        assert len(program.core_stages) == 1
        assert "transpose_1" not in program.reasons


@pytest.mark.parametrize("seed", range(4))
def test_repeated_pixels_are_copied(small: Overlay, seed: int, monkeypatch) -> None:
    unpredictable(monkeypatch, seed)
    network = Network((3, 2, 4), seed)
    times = [(2, 2), (1, 3), (2, 1), (3, 2)][seed]
    x = network.enlarged(network.convolution(0, 4 + 3 * seed), *times)
    skip = network.convolution(x, 4)
    pooled = network.pool(network.convolution(x, 4, like=skip))
    x = network.concatenation(
        skip, network.enlarged(pooled, 1, 1), network.convolution(x, 3, like=skip)
    )
    network.convolution(x, 2)
    program = assert_equal(network.model(), small)
    assert not program.host_operators


def test_what_the_host_makes_it_enlarges(small: Overlay) -> None:
    network = Network((3, 2, 4), 1)
    x = network.convolution(0, 4)
    y = network.add(graph.Softmax, (x,), network.new((3, 2, 4), 1 / 256, -128), 1.0)
    network.convolution(network.enlarged(y, 2, 2), 3)
    program = assert_equal(network.model(), small)
    assert [op.name for op in program.host_operators] == ["softmax_1", "resizenearest_2"]


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(2, (2, 2)), (3, (2, 2)), (4, (2, 3)), (1, (2, 2))])
def test_transposed_convolutions_meet_no_zeros(
    small: Overlay, same: bool, kernel: int, stride: tuple[int, int], monkeypatch
) -> None:
    unpredictable(monkeypatch, kernel)
    network = Network((3, 4, 4), kernel)
    x = network.transposed(network.convolution(0, 5), 6, kernel, stride, same)
    network.convolution(x, 3)
    program = assert_equal(network.model(), small)
    assert not program.host_operators
    assert program.layers.count("spread_1+convolution_2") == stride[0] * stride[1]
    kernels = [d.kernel_rows for d in program_phases(program)[1:-1]]
    assert max(kernels) <= -(-kernel // stride[0])


@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize("keep_dims", [False, True])
def test_means_behind_transpositions_are_the_arrays(
    small: Overlay, axes: tuple[int, ...], keep_dims: bool
) -> None:
    """Over rows and columns together too, where the file has channels first."""
    network = Network((3, 4, 5), seed=7)
    x = network.convolution(0, 6)
    turned = network.new((6, 3, 4), *network.quantisation(x))
    network.add(graph.Transpose, (x,), turned, (2, 0, 1))
    sizes = [1 if axis in axes else n for axis, n in enumerate((6, 3, 4))]
    shape = tuple(n for axis, n in enumerate(sizes) if keep_dims or axis not in axes)
    y = network.new(shape)
    network.add(graph.Reduce, (turned,), y, "mean", axes, keep_dims)
    program = assert_equal(network.model(), small)
    assert not any(isinstance(op, graph.Reduce) for op in program.host_operators)


def test_energy_of_grouped_layers_is_that_of_all_their_multipliers() -> None:
    overlay = Overlay.load("tiny4")
    network = Network((6, 6, 8), seed=2)
    network.grouped(0, 2, 8, 2)
    model = network.model()
    first, second = (layer.name for layer in model.layers)

    def joules(one: str, other: str) -> float:
        codes = {
            name: ([spec], np.ones(model.layer(name).kernel.shape, np.int64))
            for name, spec in ((first, one), (second, other))
        }
        found = estimate(compile_program(model, Plan.from_codes(codes), overlay), overlay, 16)
        assert found is not None
        return found.multiplications

    exact, cheap = joules("exact", "exact"), joules("roup:1,4", "roup:1,4")
    assert cheap < exact
    for mixed in (joules("exact", "roup:1,4"), joules("roup:1,4", "exact")):
        assert mixed == pytest.approx((exact + cheap) / 2)
