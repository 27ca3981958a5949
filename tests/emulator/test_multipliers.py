"""Multipliers against their definitions, written out once more and independently."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers import SMAPPROX_TABLE_2, multiplier
from tests.conftest import data_file

A = np.arange(-255, 256)[:, None]
W = np.arange(-128, 128)[None, :]

PUBLISHED_4X4 = {"1": 7.2, "2": 12.6, "3": 12.3}
PUBLISHED_8X8 = {
    "1100": 2.1, "2200": 3.8, "3300": 3.6, "1110": 4.0,
    "3330": 6.4, "2220": 6.7, "3333": 13.6, "2222": 16.6,
}  # fmt: skip


def roup_product(a: int, w: int, perforation: int, rounding: tuple[int, ...]) -> int:
    """MAx-DNN eq. 1-2, one pair of operands, on bits."""
    bits = [(w >> k) & 1 for k in range(8)]
    total = 0
    for j in range(perforation, 4):
        digit = -2 * bits[2 * j + 1] + bits[2 * j] + (bits[2 * j - 1] if j else 0)
        r = rounding[j]
        rounded = (a >> r) + ((a >> (r - 1)) & 1 if r else 0)
        total += rounded * (1 << r) * digit * 4**j
    return total


def test_exact_is_the_product() -> None:
    assert np.array_equal(multiplier("exact").table, A * W)


@given(
    st.integers(0, 3),
    st.tuples(*[st.integers(0, 8)] * 4),
    st.lists(st.tuples(st.integers(-255, 255), st.integers(-128, 127)), min_size=1, max_size=50),
)
def test_roup_is_equation_1(perforation, rounding, pairs) -> None:
    m = multiplier(f"roup:{perforation},{'-'.join(map(str, rounding))}")
    for a, w in pairs:
        assert m.product(a, w) == roup_product(a, w, perforation, rounding)


@pytest.mark.parametrize(("perforation", "column"), list(itertools.product(range(4), range(9))))
def test_short_roup_is_column_aligned(perforation: int, column: int) -> None:
    schedule = "-".join(str(max(column - 2 * j, 0)) for j in range(4))
    short, explicit = f"roup:{perforation},{column}", f"roup:{perforation},{schedule}"
    assert np.array_equal(multiplier(short).table, multiplier(explicit).table)
    assert multiplier(short) == multiplier(explicit)


def test_roup_without_approximation_is_exact() -> None:
    assert multiplier("roup:0,0") == multiplier("exact")


def test_rounding_of_dropped_partial_products_does_not_matter() -> None:
    assert multiplier("roup:1,0-2-0-0") == multiplier("roup:1,4")
    assert multiplier("roup:1,4") != multiplier("roup:0,4")


@pytest.mark.parametrize("digit", PUBLISHED_4X4)
def test_published_mean_relative_error_of_the_cells(digit: str) -> None:
    # With operands below 16 only the block AL*BL works.
    error = multiplier(f"smapprox:{digit}000").mean_relative_error(0, 15)
    assert round(error, 1) == PUBLISHED_4X4[digit]


@pytest.mark.parametrize("digits", PUBLISHED_8X8)
def test_published_mean_relative_error(digits: str) -> None:
    error = multiplier(f"smapprox:{digits}").mean_relative_error(0, 127)
    assert round(error, 1) == PUBLISHED_8X8[digits]


def test_every_multiplier_of_table_2_is_published() -> None:
    assert set(SMAPPROX_TABLE_2) == set(PUBLISHED_8X8)


def test_smapprox_with_exact_cells_is_exact() -> None:
    assert multiplier("smapprox:0000") == multiplier("exact")


@pytest.mark.parametrize("digits", ["1100", "3330", "2222", "0123", "3210"])
def test_smapprox_is_sign_magnitude(digits: str) -> None:
    table = multiplier(f"smapprox:{digits}").table
    magnitude = table[255:, 128:]  # a >= 0, w >= 0
    a, w = np.arange(0, 256), np.arange(0, 128)
    assert np.array_equal(table[255 - a][:, 128 + w], -magnitude)
    assert np.array_equal(table[255 - a][:, 128 - w], magnitude)


@pytest.mark.parametrize("digit", "123")
def test_cells_against_the_specification(digit: str) -> None:
    """The tables of the specification, where they are at hand."""
    import json

    path = data_file("..", "spec", "smapprox_4x4.json")
    table = np.array(json.loads(path.read_text())["designs"][digit]["table"])
    nibbles = np.arange(16)
    for position, (shift_a, shift_w) in enumerate([(0, 0), (4, 0), (0, 4), (4, 4)]):
        digits = "0" * position + digit + "0" * (3 - position)
        a, w = nibbles << shift_a, nibbles[: 8 if shift_w else 16] << shift_w  # w is at most 127
        products = multiplier(f"smapprox:{digits}").product(a[:, None], w[None, :])
        assert np.array_equal(products, table[:, : len(w)] << (shift_a + shift_w))


# --- tables --------------------------------------------------------------------------------------


@pytest.fixture
def unsigned_table() -> np.ndarray:
    rng = np.random.default_rng(1)
    table = np.outer(np.arange(256), np.arange(256)) + rng.integers(0, 300, (256, 256))
    return table.astype(np.uint32)


def test_unsigned_table_is_sign_magnitude(tmp_path: Path, unsigned_table: np.ndarray) -> None:
    np.savez(tmp_path / "tables.npz", first=unsigned_table, second=unsigned_table.T)
    m = multiplier(f"table:{tmp_path}/tables.npz#first")
    for a, w in [(200, 100), (-200, 100), (200, -100), (-200, -100), (0, 5), (0, -5), (-255, -128)]:
        sign = -1 if (a < 0) != (w < 0) else 1
        assert m.product(a, w) == sign * int(unsigned_table[abs(a), abs(w)])


def test_table_in_npy_needs_no_name(tmp_path: Path, unsigned_table: np.ndarray) -> None:
    np.save(tmp_path / "one.npy", unsigned_table)
    assert multiplier(f"table:{tmp_path}/one.npy").product(3, 4) == unsigned_table[3, 4]


def test_signed_table_covers_int8_only(tmp_path: Path) -> None:
    index = np.arange(256).astype(np.int8).astype(np.int64)
    np.save(tmp_path / "signed.npy", np.outer(index, index))
    m = multiplier(f"table:{tmp_path}/signed.npy")
    assert m.activation_range == (-128, 127)
    assert m.product(-128, 127) == -128 * 127
    with pytest.raises(MultiplierError, match="-128..127"):
        m.product(200, 1)


@pytest.mark.parametrize("name", ["2AC", "2HH", "NGR", "ZFB", "7C1"])
def test_evoapprox_tables(name: str) -> None:
    path = data_file("evoapprox_mul8u.npz")
    m = multiplier(f"table:{path}#mul8u_{name}")
    with np.load(path) as tables:
        assert np.array_equal(m.table[255:, 128:], tables[f"mul8u_{name}"][:, :128])


C_SOURCE = """
/* uint16_t comment(uint8_t a, uint8_t b) {{ return 0; }} */
#include <stdint.h>
uint16_t {name}(const uint8_t {first}, const uint8_t {second}) {{
  return (uint16_t)({first} * 3 + {second} * 5);  // not symmetric
}}
"""


@pytest.mark.parametrize(
    ("first", "second", "expected"), [("A", "B", 7 * 3 + 9 * 5), ("B", "A", 9 * 3 + 7 * 5)]
)
def test_c_function_argument_order_is_by_name(
    tmp_path: Path, first: str, second: str, expected: int
) -> None:
    path = tmp_path / "mul8u_TEST.c"
    path.write_text(C_SOURCE.format(name="mul8u_TEST", first=first, second=second))
    m = multiplier(f"table:{path}#mul8u_TEST")
    assert m.product(7, 9) == expected
    assert f"activation is {'first' if first == 'A' else 'second'}" in m.source


def test_c_function_of_signed_operands(tmp_path: Path) -> None:
    path = tmp_path / "mul8s.c"
    path.write_text("#include <stdint.h>\nint16_t mul8s(int8_t a, int8_t b) { return a * b; }\n")
    m = multiplier(f"table:{path}")
    assert m.signed
    assert m.product(-100, -100) == 10000


# --- operands and metrics ------------------------------------------------------------------------


def test_products_broadcast_to_int32() -> None:
    products = multiplier("roup:1,4").product(np.arange(5)[:, None], np.arange(-3, 4)[None, :])
    assert products.shape == (5, 7)
    assert products.dtype == np.int32


@pytest.mark.parametrize(("a", "w"), [(256, 0), (-256, 0), (0, 128), (0, -129), (1.5, 1)])
def test_operands_out_of_range_are_refused(a: float, w: float) -> None:
    with pytest.raises(MultiplierError):
        multiplier("exact").product(a, w)


def test_metrics_of_a_known_error(tmp_path: Path) -> None:
    table = np.outer(np.arange(256), np.arange(256))
    table[10, 10] += 50
    np.save(tmp_path / "t.npy", table)
    metrics = multiplier(f"table:{tmp_path}/t.npy").error_metrics((0, 15), (0, 15))
    assert metrics.mean_relative_error == pytest.approx(100 * 0.5 / 256)
    assert metrics.mean_error == pytest.approx(50 / 256)
    assert metrics.mean_absolute_error == pytest.approx(50 / 256)
    assert metrics.worst_case_error == 50
    assert metrics.error_probability == pytest.approx(1 / 256)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("", "unknown multiplier"),
        ("exakt", "unknown multiplier 'exakt'"),
        ("exact:1", "unknown multiplier"),
        ("roup:1", "form"),
        ("roup:4,0", "0 to 3"),
        ("roup:1,9", "bits 0 to 8"),
        ("roup:1,1-2-3", "form"),
        ("smapprox:4000", "form"),
        ("smapprox:110", "form"),
        ("table:nowhere.npz#x", "does not exist"),
        ("table:pyproject.toml", ".npz, .npy or .c"),
    ],
)
def test_bad_specifications_say_why(spec: str, reason: str) -> None:
    with pytest.raises(MultiplierError, match=reason):
        multiplier(spec)


def test_bad_tables_say_why(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=np.zeros((3, 3), int), b=np.zeros((256, 256)))
    for name, reason in [("c", "has no table 'c'"), ("a", "256x256"), ("b", "float64")]:
        with pytest.raises(MultiplierError, match=reason):
            multiplier(f"table:{tmp_path}/t.npz#{name}")
    (tmp_path / "broken.npy").write_bytes(b"not numpy")
    with pytest.raises(MultiplierError, match="cannot be read"):
        multiplier(f"table:{tmp_path}/broken.npy")
    (tmp_path / "broken.c").write_text("uint16_t f(uint8_t a, uint8_t b) { return oops; }")
    with pytest.raises(MultiplierError, match="does not compile"):
        multiplier(f"table:{tmp_path}/broken.c#f")
    with pytest.raises(MultiplierError, match="has no function"):
        multiplier(f"table:{tmp_path}/broken.c#g")
