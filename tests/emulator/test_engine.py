"""The engine against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from axynq.emulator import Emulator, Plan, multiplier, reference
from axynq.emulator.engine.terms import factorise, terms_of
from axynq.emulator.errors import DataError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import SMAPPROX_TABLE_2
from tests.conftest import data_file
from tests.networks import oracle_products, random_input, weighted_models

SPECS = ("exact", "roup:0,4", "roup:1,4", "roup:2,6", "roup:0,3-1-0-2", "smapprox:1100",
         "smapprox:3330", "smapprox:2222", "smapprox:0123")  # fmt: skip


@st.composite
def plans(draw: st.DrawFn) -> str:
    """Any shorthand."""
    specs = draw(st.lists(st.sampled_from(SPECS), min_size=1, max_size=3))
    name = draw(st.sampled_from(["llam", "flam", "klam-channel", "klam-row", "klam-column"]))
    text = f"{name}={specs[0] if name == 'llam' else '|'.join(specs)}"
    return text + draw(st.sampled_from(["", "", "+klms=1", "+klms=2"]))


@settings(max_examples=150)
@given(weighted_models(), plans(), st.integers(0, 2**32 - 1))
def test_emulator_equals_oracle(model: graph.Model, text: str, seed: int) -> None:
    plan = Plan.parse(model, text)
    x = random_input(model, 3, seed)
    expected = reference.run(model, x, oracle_products(model, plan))[model.output_index]
    assert np.array_equal(Emulator(model, plan).run(x), expected)


@settings(max_examples=50)
@given(weighted_models(), plans(), st.integers(0, 2**32 - 1))
def test_accumulators_equal_oracle(model: graph.Model, text: str, seed: int) -> None:
    plan, layer = Plan.parse(model, text), model.layers[0]
    x = random_input(model, 2, seed)
    found = Emulator(model, plan).accumulators(x)[layer.name]
    products = oracle_products(model, plan)[layer.name]
    assert found.approximate.dtype == found.exact.dtype == np.int32
    assert np.array_equal(found.approximate, reference.accumulators(model, layer, x, products))
    assert np.array_equal(found.exact, reference.accumulators(model, layer, x))


def test_codes_of_single_weights(digits: graph.Model) -> None:
    rng = np.random.default_rng(3)
    codes = {
        layer.name: (["exact", "smapprox:3330"], rng.integers(0, 3, layer.kernel.shape))
        for layer in digits.layers
    }
    plan = Plan.from_codes(codes)
    x = random_input(digits, 2, 0)
    expected = reference.run(digits, x, oracle_products(digits, plan))[digits.output_index]
    assert np.array_equal(Emulator(digits, plan).run(x), expected)


def test_table_whose_products_with_zero_are_not_zero(digits: graph.Model) -> None:
    # A padded tap goes through the multiplier like any other.
    m = f"table:{data_file('evoapprox_mul8u.npz')}#mul8u_2AC"
    assert multiplier(m).product(0, np.arange(-128, 128)).any()
    plan = Plan.parse(digits, f"llam={m}")
    x = random_input(digits, 2, 0)
    expected = reference.run(digits, x, oracle_products(digits, plan))[digits.output_index]
    assert np.array_equal(Emulator(digits, plan).run(x), expected)


def test_batches_are_independent_of_their_size(digits: graph.Model, monkeypatch) -> None:
    x = random_input(digits, 7, 1)
    emulator = Emulator(digits, "roup:1,4")
    together = emulator.run(x)
    monkeypatch.setattr("axynq.emulator.emulation.CHUNK_BYTES", 1)  # image by image
    assert np.array_equal(emulator.run(x), together)
    assert emulator.run(x[:0]).shape == (0, 10)


def test_float_input_is_quantised(digits: graph.Model) -> None:
    x = random_input(digits, 3, 2)
    emulator = Emulator(digits)
    assert np.array_equal(emulator.run(digits.input.dequantise(x)), emulator.run(x))


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (np.zeros((2, 8, 8), np.int8), r"\[images, 8, 8, 1\]"),
        (np.zeros((2, 9, 8, 1), np.int8), r"\[images, 8, 8, 1\]"),
        (np.zeros((2, 8, 8, 1), np.uint8), "not uint8"),
        (np.full((1, 8, 8, 1), np.nan), "not finite"),
    ],
)
def test_input_of_another_form(digits: graph.Model, x: np.ndarray, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        Emulator(digits).run(x)


# --- terms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "terms"),
    [("exact", 1), ("roup:0,0", 1), ("roup:0,4", 3), ("roup:1,4", 2), ("roup:3,8", 1)],
)
def test_terms_are_few(spec: str, terms: int) -> None:
    assert len(terms_of(multiplier(spec)).activation) == terms


@pytest.mark.parametrize("digits_", SMAPPROX_TABLE_2)
def test_terms_of_smapprox(digits_: str) -> None:
    m = multiplier(f"smapprox:{digits_}")
    activation, weight = terms_of(m)
    assert np.array_equal(activation.T @ weight, m.table)
    assert len(activation) <= 14


@settings(max_examples=60)
@given(arrays.arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(1, 8)),
                     elements=st.integers(-9, 9)))  # fmt: skip
def test_any_table_factorises_exactly(table: np.ndarray) -> None:
    terms = factorise(table)
    assert np.array_equal(terms.activation.T @ terms.weight, table)


def test_a_wrong_factorisation_is_noticed(monkeypatch) -> None:
    def off_by_one(table: np.ndarray):  # type: ignore[no-untyped-def]
        terms = factorise(table)
        terms.weight[0, 0] += 1
        return terms

    monkeypatch.setattr("axynq.emulator.engine.terms.factorise", off_by_one)
    with pytest.raises(AssertionError, match="do not reproduce"):
        terms_of(multiplier("roup:1,7"))
