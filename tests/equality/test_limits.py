# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The accelerator's arithmetic at its limits, through the software board."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import reference
from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.host import Accelerator, compile_program
from tests import limits


@pytest.fixture(scope="module")
def tiny4() -> Iterator[Accelerator]:
    with Accelerator("tiny4", device="software") as opened:
        yield opened


def assert_equal(accelerator: Accelerator, model: graph.Model, x: graph.Int8Array) -> None:
    program = compile_program(model, "exact", accelerator.overlay)
    assert np.array_equal(accelerator.run(program, x), reference.run(model, x)[model.output_index])


def test_every_factor_and_accumulator(tiny4: Accelerator) -> None:
    for model, x in islice(limits.layers_of_biases(), 4):
        assert_equal(tiny4, model, x)


def test_accumulators_are_modulo_2_to_the_32(tiny4: Accelerator) -> None:
    for model, x in list(limits.overflowing_sums())[:-1]:
        assert_equal(tiny4, model, x)


def test_means(tiny4: Accelerator) -> None:
    for model, x in limits.means():
        assert_equal(tiny4, model, x)


def test_averages(tiny4: Accelerator) -> None:
    """Windows beyond the map's border have one position to 255."""
    refused = 0
    for model, x in islice(limits.averages(), None, None, 2):
        pool = model.operators[0]
        assert isinstance(pool, graph.Pool)
        if any(pool.padding) and pool.window[0] * pool.window[1] > 255:
            refused += 1
            with pytest.raises(ProgramError, match="not supported: .*average.* positions"):
                compile_program(model, "exact", "tiny4")
        else:
            assert_equal(tiny4, model, x)
    assert refused


def test_additions(tiny4: Accelerator) -> None:
    for model, x in islice(limits.additions(largest_output_factor=np.inf), None, None, 4):
        assert_equal(tiny4, model, x)


@pytest.mark.thorough
def test_nothing_relies_on_signed_overflow(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Which C++ leaves undefined, so that a device compiler may do what g++ does not: compiled to
    end the process where one occurs, the accelerator computes all of this file."""
    script = """
        import sys
        import pytest
        from axynq.host.software_board import simulation

        trap = ("-fsanitize=signed-integer-overflow", "-fsanitize-undefined-trap-on-error")
        simulation._FLAGS += ("-O1", *trap)
        fast = ["-m", "not slow and not thorough"]
        sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *fast, sys.argv[1]]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), __file__],
        env={**os.environ, "AXYNQ_CACHE": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
