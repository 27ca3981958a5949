# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks that other projects ship: host and accelerator together give what the emulator gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, load_model
from axynq.emulator.errors import ModelError
from axynq.host import Accelerator, Program, compile_program
from tests.any_network import random_inputs
from tests.emulator.test_wild_networks import LARGE, SMALL

FOLDER = Path(os.environ.get("AXYNQ_DATA", "none")) / "models" / "wild"

FILES = sorted(FOLDER.glob("*.tflite"))


STARTS = {
    ("tinyengine_detection", "z2-roup16"): 1,
    ("tinyengine_mcunetv2_large", "zcu104-roup32"): 14,
    ("coral_tf2_mbv2_ptq", "z2-roup16"): 1,
}

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@cache
def compiled(path: Path, overlay: str) -> Program:
    try:
        model = load_model(path)
    except ModelError as error:
        if path.stem in (*SMALL, *LARGE):
            raise
        pytest.skip(str(error))
    return compile_program(model, "roup:1,4", overlay, batch=1)


@every_file
@pytest.mark.parametrize(
    "overlay", ["z2-roup16", pytest.param("zcu104-roup32", marks=pytest.mark.thorough)]
)
def test_compiles(path: Path, overlay: str) -> None:
    program = compiled(path, overlay)
    starts = STARTS.get((path.stem, overlay))
    if starts is not None:
        assert len(program.core_stages) == starts


@pytest.fixture(scope="module")
def board() -> Iterator[Accelerator]:
    with Accelerator("z2-roup16", device="software") as opened:
        yield opened


def assert_equal(board: Accelerator, path: Path, images: int) -> None:
    model, program = load_model(path), compiled(path, board.overlay.name)
    x = random_inputs(model, images, 0)
    found, expected = board.run(program, x), Emulator(model, "roup:1,4").run(x)
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.slow
def test_a_detector_on_the_software_board(board: Accelerator) -> None:
    path = FOLDER / "tinyengine_detection.tflite"
    if path not in FILES:
        pytest.skip("AXYNQ_DATA is not set, or has no such network")
    assert_equal(board, path, 1)


@pytest.mark.thorough
@every_file
def test_all_on_the_software_board(board: Accelerator, path: Path) -> None:
    assert_equal(board, path, 1)


@pytest.mark.thorough
@every_file
def test_all_on_a_larger_overlay(path: Path) -> None:
    with Accelerator("zcu104-roup32", device="software") as board:
        assert_equal(board, path, 1)
