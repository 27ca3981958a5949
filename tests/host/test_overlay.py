# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Overlay descriptions, and what is generated from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from axynq.emulator import multiplier
from axynq.emulator.errors import OverlayError
from axynq.host import Overlay, isa
from axynq.host.generate.functors import cpp_type
from axynq.host.overlay import overlay_names
from axynq.host.overlay.registers import ARGUMENTS, TOP_FUNCTION, register_map
from tests.overlays import description, write_overlay

HLS = Path(__file__).parents[2] / "hls"

VALID = description(inputs=8)


def test_registers_are_the_top_functions_arguments() -> None:
    """The register map is made from a list of them: names, kinds and order are the C++'s."""
    source = (HLS / "src" / "accelerator.hpp").read_text(encoding="utf-8")
    declared = re.search(rf"^void {TOP_FUNCTION}\(([^)]*)\);", source, re.MULTILINE)
    assert declared is not None
    kinds = {
        "axynq::read_port_t": "pointer",
        "axynq::write_argument_t": "pointer",
        "std::uint32_t": "input",
        "volatile std::uint32_t *": "output",
    }
    found = [re.fullmatch(r"(.*?)(\w+)", part.strip()) for part in declared[1].split(",")]
    in_cpp = [(part[2], kinds[part[1].strip()]) for part in found if part is not None]
    assert in_cpp == [(argument.name, argument.kind) for argument in ARGUMENTS]


def test_requantisers_that_do_not_suit_the_lanes(tmp_path: Path) -> None:
    """More filters than inputs; words with the constants of two filters."""
    lanes = [(12, ["exact"], "separate")]
    with pytest.raises(OverlayError, match="6 requantisers would finish outputs that fall on the"):
        write_overlay(tmp_path, inputs=8, filters=12, lanes=lanes, requantisers=6)
    with pytest.raises(OverlayError, match="64 bytes has the constants of . filters: requantisers"):
        write_overlay(tmp_path, inputs=64, filters=12, lanes=lanes, requantisers=1)


def test_hashes_tell_overlays_apart() -> None:
    hashes = {Overlay.load(name).hash for name in overlay_names()}
    assert len(hashes) == len(overlay_names())


def test_own_description(tmp_path: Path) -> None:
    overlay = write_overlay(tmp_path, inputs=8)
    assert [[m.spec for m in bank] for bank in overlay.banks] == [["exact", "roup:1,4"]] * 4
    assert overlay.stored_code_bits == 1
    assert overlay.vector_words == 4 + 1  # four words of weights, 32 codes of 1 bit


@pytest.mark.parametrize(("bank", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4)])
def test_codes_grow_with_the_bank(tmp_path: Path, bank: int, bits: int) -> None:
    specs = [f"roup:{k % 4},{k // 4}" for k in range(bank)]
    overlay = write_overlay(tmp_path, lanes=[(4, specs, "configurable")])
    assert overlay.stored_code_bits == bits
    assert overlay.vector_words == 4 + -(-bits // 2)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("count = 4", "count = 3", "lanes add up to 3, the array has 4"),
        ("inputs = 8", "inputs = 12", "power of two"),
        ("filters = 4", "filters = 16", "the lanes add up to 4"),
        ("filters = 4", "filters = 65", "less than or equal to 64"),
        ("requantisers = 2", "requantisers = 3", "3 requantisers cannot finish 4 filters"),
        ("'roup:1,4'", "'roup:7,4'", "drops 0 to 3"),
        ("'roup:1,4'", "'table:x.npz#y'", "does not exist"),
        ('cell = "separate"', 'cell = "round"', "'separate', 'configurable' or 'dsp pair'"),
        ('cell = "separate"', 'cell = "dsp pair"', "bank of a DSP pair is exact alone"),
        (
            "requantisers = 2",
            "requantisers = 2\nwindow_lanes = 5",
            "window_lanes must be at most 4",
        ),
        ("requantisers = 2", "requantisers = 2\ncopies = 17", "less than or equal to 16"),
        ("requantisers = 2", "requantisers = 4\nadders = 3", "adders must divide requantisers"),
        ('board = "pynq-z2"', 'board = "z80"', "unknown board 'z80'; known are: .*pynq-z2"),
        ("groups = 16", "groups = 0", "buffers.groups"),
        ("groups = 16", "groups = 2", "groups and half of weight_vectors must be at least inputs"),
        ("groups = 16", "groups = 12", "groups must be a power of two from 2, not 12"),
        ("partial_sums = 64", "partial_sums = 1", "partial_sums must be a power of two from 2"),
        ("groups = 16", "groups = 256", "groups must be at most 128"),
        ("groups = 16", "", "buffers.groups: Field required"),
        ("clock_mhz", "clock", "clock"),
        ('name = "mine"', "name = ", "not valid TOML"),
    ],
)
def test_invalid_descriptions(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in VALID
    text = VALID.replace(old, new)
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(OverlayError, match=reason):
        Overlay.load(path)


def test_lanes_of_dsp_pairs_begin_at_an_even_one(tmp_path: Path) -> None:
    for odd in ((1, 4), (2, 3)):
        lanes = [(odd[0], ["roup:1,4"], "separate"), (odd[1], ["exact"], "dsp pair")]
        with pytest.raises(OverlayError, match="come two by two"):
            write_overlay(tmp_path, filters=5, requantisers=1, lanes=lanes)


def test_outputs_on_the_same_byte_are_finished_in_different_steps(tmp_path: Path) -> None:
    lanes = [(12, ["exact"], "separate")]
    with pytest.raises(OverlayError, match="requantisers must divide inputs"):
        write_overlay(tmp_path, filters=12, requantisers=3, lanes=lanes)
    assert write_overlay(tmp_path, filters=12, requantisers=4, lanes=lanes).rounds == 3


def test_smapprox_is_no_setting_of_a_booth_array(tmp_path: Path) -> None:
    lanes = [(4, ["exact", "smapprox:3330"], "configurable")]
    with pytest.raises(OverlayError, match="'smapprox:3330': a configurable cell is exact or ROUP"):
        write_overlay(tmp_path, lanes=lanes)


def test_unknown_overlay() -> None:
    with pytest.raises(OverlayError, match=r"unknown overlay 'z3'; known are: .*tiny4"):
        Overlay.load("z3")
    with pytest.raises(OverlayError, match="cannot be read"):
        Overlay.load("nowhere.toml")


def test_cpp_types() -> None:
    assert cpp_type(multiplier("exact")) == "exact"
    assert cpp_type(multiplier("roup:1,4")) == "roup<1, 4, 2, 0, 0>"
    assert cpp_type(multiplier("smapprox:3330")) == "smapprox<3, 3, 3, 0>"


def test_registers_do_not_overlap() -> None:
    offsets = [register.offset for register in register_map()]
    assert offsets == sorted(set(offsets))
    named = {register.name: register.offset for register in register_map()}
    assert named["commands_1"] == 0x10
    assert named["commands_2"] == 0x14
    assert named["source_1"] == 0x1C
    assert named["images"] == 0x34


def test_checksum_depends_on_value_and_place() -> None:
    words = [1, 2, 3]
    assert isa.checksum(words) != isa.checksum([1, 2, 4])
    assert isa.checksum(words) != isa.checksum([2, 1, 3])
    # A word that is lost, and integers of the same column that are exchanged.
    assert isa.checksum(words) != isa.checksum([1, 2])
    ten = [*range(10)]
    assert isa.checksum(ten) != isa.checksum([8, *ten[1:8], 0, 9])


def test_hashes_tell_cells_apart(tmp_path: Path) -> None:
    cells = ("separate", "configurable")
    lanes = [[(4, ["exact", "roup:1,4"], cell)] for cell in cells]
    lanes += [[(4, ["exact"], cell)] for cell in ("separate", "dsp pair")]
    made = {write_overlay(tmp_path, lanes=each).hash for each in lanes}
    assert len(made) == len(lanes)
