# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""That docs/descriptor.md tells the truth: its program computes what the emulator computes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.host import Overlay, Program, compile_program, isa, isa_model
from axynq.host.isa import Descriptor, Field, Opcode
from axynq.host.isa_derived import check_derived
from axynq.host.performance.loops import program_phases
from axynq.host.selftest.networks import networks
from tests.execution import execute
from tests.networks import convolution, random_input
from tests.overlays import write_overlay

MODELS = {model.name: model for model in networks()}


def finish_steps(overlay: Overlay) -> tuple[int, int]:
    return overlay.finish_steps(adds=False), overlay.finish_steps(adds=True)


def array_of(overlay: Overlay) -> isa_model.Array:
    def product(lane: int, code: int, activation: int, weight: int) -> int:
        return int(overlay.banks[lane][code].table[activation + 255, weight + 128])

    array = overlay.array
    return isa_model.Array(array.filters, array.inputs, overlay.stored_code_bits, product)


def run(program: Program, overlay: Overlay, x: graph.Int8Array) -> graph.Int8Array:
    """The program on the page's accelerator."""
    return execute(program, [x], partial(isa_model.run_program, array_of(overlay)))[0]


def assert_equal(model: graph.Model, plan: str, overlay: Overlay, images: int) -> list[Descriptor]:
    """The emulator's output; and fields that follow from others do."""
    program = compile_program(model, plan, overlay)
    x = random_input(model, images, 0)
    assert np.array_equal(run(program, overlay, x), Emulator(model, plan).run(x))
    phases = program_phases(program)
    for descriptor in phases:
        check_derived(descriptor, array_of(overlay), finish_steps(overlay))
    return phases


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_layer(name: str) -> None:
    # Two lanes of four have roup:1,4 beside others: codes differ by lane.
    images = 1 if name in ("many-channels", "dilated", "residual") else 2
    assert_equal(MODELS[name], "roup:1,4", Overlay.load("tiny4"), images)


def wide_sum() -> graph.Model:
    """An addition of as many channels as take several blocks."""
    tensors = tuple(
        graph.Tensor(f"t{n}", (2, 3, 21), scale, 3) for n, scale in enumerate([1, 1, 2])
    )
    pool = graph.Pool("pool", (0,), 1, "max", (1, 1), (1, 1), graph.Padding(), "none")
    add = graph.Add("add", (0, 1), 2, "relu")
    return graph.Model("wide-sum", tensors, (pool, add), (0,), (2,))


HALF_OF_THE_LANES = [(2, ["exact"], "separate"), (2, ["exact", "roup:1,4"], "separate")]


@pytest.mark.parametrize(
    ("model", "plan", "values", "phases", "seen"),
    [
        (
            MODELS["pointwise"],
            "flam=exact|roup:1,4",
            {"weight_vectors": 32},
            5,
            {"groups": 1, "passes": 1, "block_word": 4},
        ),
        (
            MODELS["dilated"],
            "roup:1,4",
            {"weight_vectors": 8, "lanes": HALF_OF_THE_LANES},
            3,
            {"passes": 5, "pass_taps": 4, "last_pass_taps": 2},
        ),
        (
            convolution(5, 4, 2, 3, 3, seed=0),
            "flam=exact|roup:1,4",
            {"inputs": 16, "groups": 16, "weight_vectors": 32},
            1,
            {"fold_channels": 2, "fold_columns": 3, "kernel_row_step": 2},
        ),
        (
            MODELS["depthwise"],
            "flam=exact|roup:1,4",
            {"weight_vectors": 8},
            5,
            {"vectors": 3, "block_word": 4},
        ),
        (wide_sum(), "exact", {}, 4, {"groups": 3, "block_word": 3}),
    ],
    ids=["blocks", "passes", "fold", "depthwise-blocks", "sum-blocks"],
)
def test_layers_in_parts(
    tmp_path: Path,
    model: graph.Model,
    plan: str,
    values: dict[str, Any],
    phases: int,
    seen: dict[str, int],
) -> None:
    """Folds, and filters and taps that come in one part after the other."""
    overlay = write_overlay(tmp_path, **{"partial_sums": 512, "groups": 4, **values})
    found = assert_equal(model, plan, overlay, 2)
    assert len(found) == phases
    assert {field: getattr(found[-1], field) for field in seen} == seen


def test_derived_fields_are_compared() -> None:
    overlay = Overlay.load("tiny4")
    fine = program_phases(compile_program(MODELS["residual"], "exact", overlay))[0]
    wrong = replace(fine, stride_row_words=fine.stride_row_words + 1)
    with pytest.raises(ProgramError, match=r"stride_row_words = \d+, but the other fields"):
        check_derived(wrong, array_of(overlay), finish_steps(overlay))


def test_fields_have_places() -> None:
    descriptor = Descriptor(**{field.name.lower(): 1 for field in Field})
    assert {int(value) for value in descriptor.record()[: len(Field)]} == {1}
    assert [field.name for field in Field][:2] == ["OPCODE", "TABLES"]
    assert Descriptor.of(descriptor.record().view(np.int32)) == descriptor


def test_all_opcodes_are_explained() -> None:
    compiled = [compile_program(model, "exact", "tiny4") for model in networks()]
    assert {d.opcode for program in compiled for d in program_phases(program)} == set(Opcode)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source_offset", 2**31),  # the sign of an integer of 32 bits
        ("weights_offset", 2**32),
        ("source_offset", -1),
        ("stride_rows", 0),
        ("clamp_high", 128),
        ("destination_shift", 31),
        ("opcode", 8),
    ],
)
def test_descriptors_refuse_what_does_not_fit(field: str, value: int) -> None:
    fine = program_phases(compile_program(MODELS["residual"], "exact", "tiny4"))[0]
    assert fine.record()[0] == fine.opcode
    with pytest.raises(ProgramError, match=f"{field} = {value} cannot be in a descriptor"):
        replace(fine, **{field: value}).record()


def test_headers_refuse_what_does_not_fit() -> None:
    assert isa.header(2**32 - 1, 1, 2**31 - 1, 0)[isa.Header.OVERLAY] == 2**32 - 1
    with pytest.raises(ProgramError, match=r"PROGRAM_WORDS = 2147483648 does not fit"):
        isa.header(0, 1, 2**31, 0)


def test_networks_whose_maps_cannot_be_addressed() -> None:
    """Refused before a descriptor is made, by name and size."""
    shape = (1 << 20, 1 << 10, 16)  # 2**30 pixels of 4 words
    tensors = tuple(graph.Tensor(name, shape, 1.0, 0) for name in ("input", "output"))
    pool = graph.Pool("pool", (0,), 1, "max", (1, 1), (1, 1), graph.Padding(), "none")
    model = graph.Model("endless", tensors, (pool,), (0,), (1,))
    with pytest.raises(ProgramError, match=r"'endless' is too large: .* 4294967296 words"):
        compile_program(model, None, "tiny4")
