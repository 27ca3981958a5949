# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Filters in blocks, and what a phase's set holds beside weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axynq.emulator.errors import ProgramError
from axynq.emulator.model.fixed_point import FixedPoint
from axynq.host import Overlay, isa_model
from axynq.host.compiler.blocks import NO_FILTER, divide
from axynq.host.compiler.filters import choose_fold
from axynq.host.compiler.tables import average_factor, average_table, operand_table
from tests.overlays import write_overlay


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Overlay:
    """4 lanes, words of 8 bytes; 16 vectors and 8 groups a phase."""
    folder: Path = tmp_path_factory.mktemp("overlay")
    return write_overlay(folder, inputs=8, weight_vectors=32, groups=8)


@given(data=st.data())
def test_each_filter_is_in_one_block_that_fits(overlay: Overlay, data: st.DataObject) -> None:
    lanes, width = overlay.array.filters, overlay.array.inputs
    kinds = st.sampled_from([frozenset(range(lanes)), frozenset({0, 1, 2}), frozenset({3})])
    allowed = data.draw(st.lists(kinds, min_size=1, max_size=70))
    vectors = data.draw(st.integers(0, 40))
    most = data.draw(st.one_of(st.none(), st.integers(1, 9)))
    blocks = divide("layer", allowed, vectors, overlay, in_passes=True, most_words=most)
    word, placed = 0, []
    for block in blocks:
        assert block.first_word == word
        word += block.words
        assert most is None or block.words <= most
        assert block.groups <= overlay.buffers.groups
        assert sum(block.pass_vectors) == vectors
        assert block.groups * max(block.pass_vectors) <= overlay.buffers.weight_vectors // 2
        if len(block.pass_vectors) > 1:
            assert block.words == 1  # smaller blocks are tried first
        for group in block.placed:
            found = [(lane, int(f)) for lane, f in enumerate(group) if f != NO_FILTER]
            assert all(lane in allowed[f] for lane, f in found)
            assert len({f % width for _, f in found}) == len(found)
            assert all(block.first_word <= f // width < word for _, f in found)
            placed += [f for _, f in found]
    assert sorted(placed) == list(range(len(allowed)))


def test_as_few_blocks_as_fit(overlay: Overlay) -> None:
    every = [frozenset(range(4))] * 64
    assert len(divide("layer", every, 1, overlay, in_passes=True)) == 2  # of 8 groups
    assert len(divide("layer", every, 2, overlay, in_passes=True)) == 2  # of 16 vectors
    assert len(divide("layer", every, 3, overlay, in_passes=True)) == 4
    assert len(divide("layer", every, 0, overlay, in_passes=False)) == 2


def test_a_block_has_no_more_words_than_places_tell_apart(tmp_path: Path) -> None:
    lanes = [(64, ["exact"], "separate")]
    sizes = {"groups": 128, "weight_vectors": 256}
    overlay = write_overlay(tmp_path, filters=64, requantisers=4, lanes=lanes, **sizes)
    every = [frozenset(range(64))] * 2400  # 38 groups, but 600 words
    blocks = divide("layer", every, 1, overlay, in_passes=True)
    assert [block.words for block in blocks] == [300, 300]


def test_weights_that_have_to_lie_on_chip_together(overlay: Overlay) -> None:
    every = [frozenset(range(4))] * 8
    passes = divide("layer", every, 9, overlay, in_passes=True)[0].pass_vectors
    assert passes == (8, 1)
    with pytest.raises(ProgramError, match="'layer' .* 18 weight vectors on chip, .* room for 16"):
        divide("layer", every, 9, overlay, in_passes=False)


@given(st.integers(1, 11), st.integers(1, 11), st.integers(1, 20), st.sampled_from([4, 16]))
def test_folds_fit_a_word(rows: int, columns: int, channels: int, inputs: int) -> None:
    fold = choose_fold(rows, columns, channels, inputs)
    assert fold.taps == 1 or fold.taps * channels <= inputs
    assert fold.rows <= rows
    assert fold.columns <= columns


@given(st.integers(-128, 127), st.integers(2**30, 2**31 - 1), st.integers(-31, 1))
def test_tables_are_rescaled_operands(zero_point: int, multiplier: int, shift: int) -> None:
    table = operand_table(zero_point, FixedPoint(multiplier, shift))
    assert table.shape == (256,)
    for value in (-128, -1, 0, 1, 127, zero_point):
        expected = isa_model.rescale((value - zero_point) << 20, multiplier, shift)
        assert table[value % 256] == expected


@given(st.integers(1, 65535), st.data())
def test_averages_are_divided_exactly(count: int, data: st.DataObject) -> None:
    largest = 257 * count  # twice the sum of values from -128 on, and the count
    quotient = data.draw(st.integers(0, largest // (2 * count)))
    multiplier, shift = average_factor(count)
    assert 0 < multiplier < 2**31
    assert -31 <= shift <= 0
    table = average_table()
    for value in (2 * count * quotient - 1, 2 * count * quotient):
        if 0 <= value <= largest:
            assert value * multiplier >> 31 >> -shift == value // (2 * count)
            if count < 256:
                assert value * int(table[1, count]) >> 31 == value // (2 * count)
    assert not table[0].any()
    assert table.dtype == np.int32
