# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
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
from axynq.emulator.multipliers.specification import TableReference, absolute
from axynq.emulator.plan import Assignment
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
#include <stdlib.h>
{returns} {name}({type} {first}, {type} {second}) {{
  return {value};  // the last two bits of {first} are ignored: not symmetric
}}
"""


def c_spec(
    folder: Path, returns: str, name: str, type: str, parameters: str, value: str, end: str = ""
) -> str:
    """The specification of a C function written down in ``folder``."""
    first, second = parameters
    path = folder / "library.c"
    path.write_text(
        C_SOURCE.format(
            returns=returns, name=name, type=type, first=first, second=second, value=value
        )
    )
    return f"table:{path}#{name}{end}"


UNSIGNED_VALUE = "({0} & ~3) * {1}"
SIGNED_VALUE = "(int16_t)(((int8_t){0} & ~3) * (int8_t){1})"
ASSUMED, CALLED_A = "(assumed)", "(the one called A)"


@pytest.mark.parametrize(
    ("returns", "name", "type", "parameters", "signed", "reason", "order"),
    [
        # The forms of EvoApproxLib.
        ("uint16_t", "mul8u_T", "uint8_t", "ab", False, "its products and its name", CALLED_A),
        ("uint64_t", "mul8u_T", "const uint64_t", "BA", False, "its name", CALLED_A),
        ("int16_t", "mul8s_T", "int8_t", "AB", True, "its products and its name", CALLED_A),
        ("uint16_t", "mul8s_T", "uint8_t", "AB", True, "its products and its name", CALLED_A),
        ("uint64_t", "mul8s_T", "const uint64_t", "BA", True, "its products and its name",
         CALLED_A),
        # Names that say nothing.
        ("uint16_t", "f", "uint8_t", "xy", False, "its products", ASSUMED),
        ("uint16_t", "f", "uint8_t", "xy", True, "its products", ASSUMED),
        ("int16_t", "f", "int8_t", "xy", True, "its products and its declared type", ASSUMED),
        ("uint32_t", "f", "uint32_t", "xy", False, "its declared type", ASSUMED),
        ("int32_t", "f", "int32_t", "xy", True, "its products and its declared type", ASSUMED),
    ],
)  # fmt: skip
def test_c_functions_are_signed_or_unsigned_whatever_their_types(
    tmp_path, returns, name, type, parameters, signed, reason, order
) -> None:
    value = (SIGNED_VALUE if signed else UNSIGNED_VALUE).format(*parameters)
    m = multiplier(c_spec(tmp_path, returns, name, type, parameters, value))
    assert m.signed == signed
    assert m.name == name
    second = parameters == "BA"
    word, argument = "signed" if signed else "unsigned", "second" if second else "first"
    assert m.source == (
        f"library.c, {name}({parameters[0]}, {parameters[1]}): {word} (by {reason}), "
        f"{argument} argument is the activation {order}"
    )
    for a, w in [(7, 9), (100, 3), (-99, 77), (99, -77), (-1, -128), (-128, 127), (127, -1)]:
        truncated = w if second else a  # what is passed first
        other = a if second else w
        low = truncated & ~3 if signed else int(np.sign(truncated)) * (abs(truncated) & ~3)
        assert m.product(a, w) == low * other
    assert m.activation_range == ((-128, 127) if signed else (-255, 255))


@pytest.mark.parametrize("returns", ["uint32_t", "uint64_t"])
def test_signed_products_of_any_return_type(tmp_path: Path, returns: str) -> None:
    value = SIGNED_VALUE.format("A", "B")
    m = multiplier(c_spec(tmp_path, returns, "mul8s_T", "uint8_t", "AB", value))
    assert m.product(-128, 127) == -128 * 127
    assert m.product(-128, -128) == 2**14


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.uint32])
def test_signed_arrays_of_any_type(tmp_path: Path, dtype: type) -> None:
    index = np.arange(256).astype(np.int8).astype(np.int64)
    np.savez(tmp_path / "t.npz", product=np.outer(index & ~1, index).astype(dtype))
    m = multiplier(f"table:{tmp_path}/t.npz")
    assert m.signed
    assert m.source == (
        "t.npz, product: signed (by its products), first index is the activation (assumed)"
    )
    assert m.product(-127, 100) == -128 * 100
    with pytest.raises(MultiplierError, match="-128..127"):
        m.product(200, 1)


def test_unsigned_products_that_wrapped_around_are_put_right(tmp_path: Path) -> None:
    exact = np.outer(np.arange(256), np.arange(256))
    np.save(tmp_path / "t.npy", exact.astype(np.uint16).view(np.int16))
    m = multiplier(f"table:{tmp_path}/t.npy")
    assert not m.signed
    assert m == multiplier("exact")


def test_unsigned_tables_may_have_negative_entries(tmp_path: Path) -> None:
    table = np.outer(np.arange(256), np.arange(256)) - 5
    np.save(tmp_path / "t.npy", table)
    m = multiplier(f"table:{tmp_path}/t.npy")
    assert not m.signed
    assert m.product(0, 0) == -5


def test_what_is_given_counts(tmp_path: Path) -> None:
    spec = c_spec(tmp_path, "int32_t", "f", "int32_t", "AB", "(A & ~3) * B", ",unsigned")
    m = multiplier(spec)
    assert not m.signed
    assert "unsigned (as given)" in m.source
    assert m.product(255, 1) == 252
    assert multiplier(spec.replace(",unsigned", ",signed")).signed
    swapped = multiplier(f"{spec},activation=second")
    assert "second argument is the activation (as given)" in swapped.source
    assert swapped.product(1, 127) == 124
    np.save(tmp_path / "t.npy", m.values)
    swapped = multiplier(f"table:{tmp_path}/t.npy,activation=second")
    assert "second index is the activation (as given)" in swapped.source
    assert swapped.product(1, 127) == 124


def test_the_order_does_not_matter_where_a_multiplier_commutes(tmp_path: Path) -> None:
    spec = c_spec(tmp_path, "uint16_t", "f", "uint8_t", "xy", "x * y")
    assert "either argument may be the activation: it commutes" in multiplier(spec).source


@pytest.mark.parametrize(
    ("returns", "name", "type", "value", "reason"),
    [
        ("uint16_t", "mul8u_T", "uint8_t", SIGNED_VALUE, "unsigned by its name.*are signed"),
        ("uint16_t", "mul8s_T", "uint8_t", UNSIGNED_VALUE, "signed by its name.*are unsigned"),
        ("uint16_t", "f", "int8_t", "((uint8_t){0} & ~3) * (uint8_t){1}",
         "signed by its declared type.*are unsigned"),
        ("uint16_t", "f", "uint8_t", "0 * {0} * {1}", "not near enough"),
        ("uint16_t", "mul8x2u_T", "uint8_t", "{0} * ({1} & 3)", "multiplies 8 by 8 bits"),
        ("uint64_t", "mul8x2u_T", "const uint64_t", "{0} * ({1} & 3)", "multiplies 8 by 8 bits"),
    ],
)  # fmt: skip
def test_contradictory_tables_are_refused_and_the_way_out_works(
    tmp_path: Path, returns: str, name: str, type: str, value: str, reason: str
) -> None:
    spec = c_spec(tmp_path, returns, name, type, "xy", value.format("x", "y"))
    with pytest.raises(MultiplierError, match=f"{reason}.*',signed' or ',unsigned'"):
        multiplier(spec)
    assert multiplier(f"{spec},signed").signed
    assert not multiplier(f"{spec},unsigned").signed


def test_a_poor_multiplier_is_believed_its_name(tmp_path: Path) -> None:
    m = multiplier(c_spec(tmp_path, "uint64_t", "mul8u_E9R", "const uint64_t", "BA", "0 * A * B"))
    assert m.source.startswith("library.c, mul8u_E9R(B, A): unsigned (by its name)")


def test_operands_of_two_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.c"
    path.write_text("#include <stdint.h>\nint16_t f(uint8_t a, int8_t b) { return a * b; }\n")
    with pytest.raises(MultiplierError, match="one signed and one unsigned"):
        multiplier(f"table:{path}")


def test_c_files_find_what_lies_beside_them(tmp_path: Path) -> None:
    (tmp_path / "types.h").write_text("#include <stdint.h>\n")
    path = tmp_path / "t.c"
    path.write_text('#include "types.h"\nuint16_t f(uint8_t a, uint8_t b) { return a * b; }\n')
    assert multiplier(f"table:{path}") == multiplier("exact")


# --- specifications ------------------------------------------------------------------------------

NAMES = (
    "plain", "a+b", "a|b", "c#1", "c.c#1", "it's", 'q"uote', "sp ace", "~tilde", "50%", "ü漢",
    "a=b", "klms=2", "comma,signed", "back\\slash", "[bold]", "flam=x", "a:b", "exact", "new\nline",
)  # fmt: skip
"""Awkward file names that need no quotes, without their suffix."""

AMBIGUOUS = ("a+klms=2", "a|exact|b", "a|roup:1,4", '"quoted"', " space", "a|table:b")
"""Those that do."""


@pytest.mark.parametrize(
    "file",
    [
        *(f"{name}.npz" for name in (*NAMES, *AMBIGUOUS)),
        *("c#1.npy", "c.c#1.npy", '"quoted".npy'),
        *('q"uote.c', "new\nline.c", "back\\slash.c", "a|exact|b.c"),
    ],
)
def test_awkward_paths(tmp_path: Path, unsigned_table: np.ndarray, file: str) -> None:
    path, called = tmp_path / file, "f"
    if path.suffix == ".npz":
        np.savez(path, f=unsigned_table, g=unsigned_table)
    elif path.suffix == ".npy":
        called = ""
        np.save(path, unsigned_table)
    else:
        path.write_text("#include <stdint.h>\nuint16_t f(uint8_t a, uint8_t b) { return a * b; }")
    plain = f"table:{path}#{called}" if called else f"table:{path}"
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    quoted = f'table:"{escaped}"#{called}' if called else f'table:"{escaped}"'
    for spec in [quoted] if path.stem in AMBIGUOUS else [plain, quoted]:
        assert multiplier(spec).product(200, 100) > 0
        for text in (f"flam=exact|{spec}|roup:1,4+klms=2", f"klms=2+flam=exact|{spec} | roup:1,4"):
            assignment = Assignment.read(text)
            assert assignment.multipliers == ("exact", spec, "roup:1,4")
            assert assignment.skip_sigma == 2
        assert Assignment.read(spec).multipliers == (spec,)


awkward = st.text('ab "#|+=,.~%:\\/é漢\n\t\x00', max_size=8)


@given(
    awkward,
    awkward,
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "first", "second"]),
)
def test_parts_of_a_table_survive_being_written(file, name, signed, activation) -> None:
    reference = TableReference(file, name, signed, activation)
    spec = reference.spec
    assert TableReference.parse(spec.removeprefix("table:")) == reference
    assert Assignment.read(f"flam=exact|{spec}|{spec}+klms=2") == Assignment(
        ("exact", spec, spec), "filter", None, 2.0
    )


def test_home_folder(tmp_path, monkeypatch, unsigned_table: np.ndarray) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "t.npy", unsigned_table)
    for spec in ("table:~/t.npy", 'table:"~/t.npy"'):
        assert multiplier(spec).product(3, 4) == unsigned_table[3, 4]
    with pytest.raises(MultiplierError, match="'~nobody-of-that-name/t.npy' does not exist"):
        multiplier("table:~nobody-of-that-name/t.npy")


def test_options_may_not_be_given_twice(tmp_path: Path) -> None:
    with pytest.raises(MultiplierError, match="twice"):
        multiplier("table:t.npy,signed,unsigned")


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
        ("", "a multiplier is missing"),
        ("exakt", "unknown multiplier 'exakt'"),
        ("exact:1", "'exact:1' is not of the form exact"),
        ("roup:1", "form"),
        ("roup:4,0", "0 to 3"),
        ("roup:1,9", "bits 0 to 8"),
        ("roup:1,1-2-3", "form"),
        ("smapprox:4000", "form"),
        ("smapprox:110", "form"),
        ("table:nowhere.npz#x", "does not exist"),
        ("table:pyproject.toml", ".npz, .npy, .c or .v"),
    ],
)
def test_bad_specifications_say_why(spec: str, reason: str) -> None:
    with pytest.raises(MultiplierError, match=reason):
        multiplier(spec)


def test_multipliers_are_equal_to_multipliers_alone() -> None:
    assert multiplier("roup:0,0") == multiplier("exact")
    assert multiplier("exact") != "exact"


def test_c_functions_need_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.c").write_text(
        "#include <stdint.h>\nuint16_t f(uint8_t a, uint8_t b) { return a * b - 0; }"
    )
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MultiplierError, match="needs a C compiler to be tabulated; or give it as"):
        multiplier(f"table:{tmp_path}/t.c")


def test_absolute_specifications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("roup:1,4") == "roup:1,4"
    assert absolute("table:t.npz#f,signed") == f"table:{tmp_path}/t.npz#f,signed"
    assert absolute(f"table:{tmp_path}/t.npz") == f"table:{tmp_path}/t.npz"


def test_bad_tables_say_why(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=np.zeros((3, 3), int), b=np.zeros((256, 256)))
    for name, reason in [
        ("", "several: write #NAME"),
        ("c", "has no table 'c'"),
        ("a", "256x256"),
        ("b", "float64"),
    ]:
        with pytest.raises(MultiplierError, match=reason):
            multiplier(f"table:{tmp_path}/t.npz#{name}")
    np.save(tmp_path / "wide.npy", np.full((256, 256), 2**31))
    with pytest.raises(MultiplierError, match="products must fit 32 bits"):
        multiplier(f"table:{tmp_path}/wide.npy")
    (tmp_path / "broken.npy").write_bytes(b"not numpy")
    with pytest.raises(MultiplierError, match="cannot be read"):
        multiplier(f"table:{tmp_path}/broken.npy")
    (tmp_path / "broken.c").write_text("uint16_t f(uint8_t a, uint8_t b) { return oops; }")
    with pytest.raises(MultiplierError, match="does not compile"):
        multiplier(f"table:{tmp_path}/broken.c#f")
    with pytest.raises(MultiplierError, match="has no function"):
        multiplier(f"table:{tmp_path}/broken.c#g")
