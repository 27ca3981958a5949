# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The engine against the oracle."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from axynq.emulator import Emulator, Plan, multiplier, reference
from axynq.emulator.engine import kernel
from axynq.emulator.engine import pool as pool_module
from axynq.emulator.engine.abi import WHOLE_BYTE
from axynq.emulator.engine.choice import choose_engine
from axynq.emulator.engine.kernel import load_kernel, supported_variants
from axynq.emulator.engine.network import affordable
from axynq.emulator.engine.packing_filter_blocks import neighbours_fit
from axynq.emulator.engine.packing_lookups import flushes
from axynq.emulator.engine.pool import ArrayPool
from axynq.emulator.engine.recipe import NARROW, Costs, byte_terms, recipe_of
from axynq.emulator.engine.terms import factorise, terms_of
from axynq.emulator.errors import DataError, ToolError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import SMAPPROX_TABLE_2
from tests.conftest import data_file
from tests.engines import ENGINES
from tests.networks import other_models, random_input, weighted_models

SPECS = ("exact", "roup:0,4", "roup:1,4", "roup:2,6", "roup:0,3-1-0-2", "smapprox:1100",
         "smapprox:3330", "smapprox:2222", "smapprox:0123")  # fmt: skip


@st.composite
def plans(draw: st.DrawFn) -> str:
    """Any shorthand."""
    specs = draw(st.lists(st.sampled_from(SPECS), min_size=1, max_size=3))
    name = draw(st.sampled_from(["llam", "flam", "klam-channel", "klam-row", "klam-column"]))
    text = f"{name}={specs[0] if name == 'llam' else '|'.join(specs)}"
    return text + draw(st.sampled_from(["", "", "+klms=1", "+klms=2"]))


@pytest.fixture(params=ENGINES)
def engine(request) -> str:
    """Every engine this machine can run."""
    return request.param


def test_each_instruction_set_is_one_header() -> None:
    """What depends on the instructions is nowhere else."""
    folder = Path(kernel.__file__).parent / "native"
    own = {f"{variant.name}.hpp" for variant in kernel.VARIANTS}
    assert own < {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        text = path.read_text()
        assert path.name in own or not re.search(
            r"_mm\d*_|\b_tile_|__m\d|immintrin|arm_neon|\bv\w+_[su]\d+\(|__A(VX|RM)|AXYNQ_PATH",
            text,
        )


@settings(max_examples=120)
@given(weighted_models(), plans(), st.integers(0, 2**32 - 1))
def test_every_engine_equals_oracle(model: graph.Model, text: str, seed: int) -> None:
    plan = Plan.parse(model, text)
    x = random_input(model, 3, seed)
    expected = reference.run(model, x, reference.plan_products(model, plan))[model.output_index]
    for name in ENGINES:
        assert np.array_equal(Emulator(model, plan, engine=name).run(x), expected), name


@settings(max_examples=60)
@given(other_models(), st.integers(0, 2**32 - 1))
def test_operators_without_weights(model: graph.Model, seed: int) -> None:
    x = random_input(model, 3, seed)
    expected = reference.run(model, x)[model.output_index]
    for name in ENGINES:
        assert np.array_equal(Emulator(model, engine=name).run(x), expected), name


@settings(max_examples=40)
@given(weighted_models(), plans(), st.integers(0, 2**32 - 1))
def test_accumulators_equal_oracle(model: graph.Model, text: str, seed: int) -> None:
    plan, layer = Plan.parse(model, text), model.layers[0]
    x = random_input(model, 2, seed)
    products = reference.plan_products(model, plan)[layer.name]
    approximate = reference.accumulators(model, layer, x, products)
    exact = reference.accumulators(model, layer, x)
    for name in ENGINES:
        found = Emulator(model, plan, engine=name).accumulators(x)[layer.name]
        assert found.approximate.dtype == found.exact.dtype == np.int32
        assert np.array_equal(found.approximate, approximate), name
        assert np.array_equal(found.exact, exact), name


def test_every_tensor(digits: graph.Model, engine: str) -> None:
    plan = Plan.parse(digits, "flam=exact|roup:1,4|smapprox:3330")
    x = random_input(digits, 5, 0)
    expected = reference.run(digits, x, reference.plan_products(digits, plan))
    found = Emulator(digits, plan, engine=engine).tensors(x)
    assert set(found) == set(expected)
    for index, value in expected.items():
        assert np.array_equal(found[index], value), digits.tensors[index].name


def test_codes_of_single_weights(digits: graph.Model, engine: str) -> None:
    rng = np.random.default_rng(3)
    codes = {
        layer.name: (["exact", "smapprox:3330"], rng.integers(0, 3, layer.kernel.shape))
        for layer in digits.layers
    }
    plan = Plan.from_codes(codes)
    x = random_input(digits, 2, 0)
    expected = reference.run(digits, x, reference.plan_products(digits, plan))[digits.output_index]
    assert np.array_equal(Emulator(digits, plan, engine=engine).run(x), expected)


@pytest.mark.parametrize("name", ["2AC", "2HH", "NGR", "ZFB", "7C1"])
def test_evoapprox_tables(digits: graph.Model, engine: str, name: str) -> None:
    # m(0, w) is not 0 for some: a padded tap goes through the multiplier like any other.
    table = f"table:{data_file('evoapprox_mul8u.npz')}#mul8u_{name}"
    plan = Plan.parse(digits, f"flam={table}|exact")
    x = random_input(digits, 2, 0)
    expected = reference.run(digits, x, reference.plan_products(digits, plan))[digits.output_index]
    assert np.array_equal(Emulator(digits, plan, engine=engine).run(x), expected)


@pytest.mark.parametrize("kind", ["any values", "signed"])
def test_tables_without_structure(digits: graph.Model, engine: str, kind: str, tmp_path) -> None:
    """Nothing to factorise, large entries, sums that need every widening."""
    rng = np.random.default_rng(5)
    table = rng.integers(0, 65536, (256, 256))
    model = digits
    if kind == "signed":
        table -= 32768
        # activations must fit int8: a layer whose input zero point is 0
        model = one_convolution(zero_point=0, channels=70, seed=1)
    np.save(tmp_path / "t.npy", table)
    plan = Plan.parse(model, f"table:{tmp_path}/t.npy")
    x = random_input(model, 2, 0)
    expected = reference.run(model, x, reference.plan_products(model, plan))[model.output_index]
    assert np.array_equal(Emulator(model, plan, engine=engine).run(x), expected)


def test_tables_of_two_halves(engine: str, tmp_path) -> None:
    """Errors that are sums over the halves of the activation: sums that need every widening."""
    rng = np.random.default_rng(5)
    a, w = np.arange(256)[:, None], np.arange(256)[None, :]
    low, high = rng.integers(0, 256, (2, 16, 256))
    np.save(tmp_path / "t.npy", a * w + low[a & 15, w] + 8 * high[a >> 4, w])
    model = one_convolution(zero_point=-128, channels=70, seed=1)
    plan = Plan.parse(model, f"table:{tmp_path}/t.npy")
    x = random_input(model, 70, 0)
    products = reference.plan_products(model, plan)["conv_0"]
    expected = reference.accumulators(model, model.layers[0], x, products)
    found = Emulator(model, plan, engine=engine).accumulators(x)["conv_0"].approximate
    assert np.array_equal(found, expected)


def one_convolution(zero_point: int, channels: int, seed: int) -> graph.Model:
    rng = np.random.default_rng(seed)
    source = graph.Tensor("x", (4, 5, channels), 0.1, zero_point)
    target = graph.Tensor("y", (4, 5, 7), 400000.0, 3)
    op = graph.Convolution(
        "conv_0", (0,), 1, rng.integers(-127, 128, (7, 3, 3, channels)).astype(np.int8),
        rng.integers(-99, 99, 7).astype(np.int32), np.full(7, 1.0, np.float32),
        padding=graph.Padding(1, 1, 1, 1),
    )  # fmt: skip
    return graph.Model("one", (source, target), (op,), (0,), (1,))


def test_batches_are_independent_of_their_size(
    digits: graph.Model, engine: str, monkeypatch
) -> None:
    x = random_input(digits, 150, 1)
    emulator = Emulator(digits, "roup:1,4", engine=engine)
    together = emulator.run(x)
    assert np.array_equal(
        np.concatenate([emulator.run(x[k : k + 1]) for k in range(9)]), together[:9]
    )
    assert np.array_equal(emulator.run(x[:65]), together[:65])
    assert emulator.run(x[:0]).shape == (0, 10)
    monkeypatch.setattr("axynq.emulator.engine.portable.CHUNK_BYTES", 1)  # image by image
    assert np.array_equal(emulator.run(x[:9]), together[:9])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_do_not_depend_on_threads(digits: graph.Model, threads: int) -> None:
    x = random_input(digits, 300, 1)
    expected = Emulator(digits, "smapprox:1100", threads=1).run(x)
    emulator = Emulator(digits, "smapprox:1100", threads=threads)
    assert emulator.threads == threads
    assert np.array_equal(emulator.run(x), expected)


def test_threads_that_have_room(digits: graph.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    x = random_input(digits, 300, 1)
    expected = Emulator(digits, threads=1).run(x)
    monkeypatch.setattr("axynq.emulator.files.memory", lambda: 6 * 1000)
    assert [affordable(8, size) for size in (1, 400, 1000, 2900, 9999)] == [8, 7, 3, 1, 1]
    assert np.array_equal(Emulator(digits, threads=4).run(x), expected)


def test_accumulators_in_batches(digits: graph.Model) -> None:
    x = random_input(digits, 100, 1)
    emulator = Emulator(digits, "roup:2,6")
    whole = emulator.accumulators(x)
    parts = list(emulator.accumulator_batches(x, images=30))
    assert len(parts) == 4
    for name, expected in whole.items():
        together = np.concatenate([part[name].approximate for part in parts])
        assert np.array_equal(together, expected.approximate)


@pytest.fixture(scope="module")
def by_oracle() -> Callable[[graph.Model, str, graph.Int8Array], graph.Int8Array]:
    """A network's outputs, computed once for all engines: the oracle is slow."""
    known: dict[tuple[str, str], graph.Int8Array] = {}

    def outputs(model: graph.Model, plan: str, x: graph.Int8Array) -> graph.Int8Array:
        if (model.name, plan) not in known:
            products = reference.plan_products(model, Plan.parse(model, plan))
            known[model.name, plan] = reference.run(model, x, products)[model.output_index]
        return known[model.name, plan]

    return outputs


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["exact", "roup:1,4", "smapprox:2222", "klms=1",
                                  "flam=exact|roup:1,4|smapprox:1100",
                                  "klam-channel=exact|roup:2,6",
                                  "klam-row=smapprox:3333|roup:0,4|exact"])  # fmt: skip
def test_networks_equal_oracle(
    engine: str, plan: str, by_oracle, resnet8, keyword, cifar10_images, keyword_samples
) -> None:
    for model, x in ((resnet8, cifar10_images[:3]), (keyword, keyword_samples[0][:5])):
        found = Emulator(model, Plan.parse(model, plan), engine=engine).run(x)
        assert np.array_equal(found, by_oracle(model, plan, x))


# --- which engine --------------------------------------------------------------------------------


def test_the_fastest_engine_is_chosen(monkeypatch) -> None:
    monkeypatch.delenv("AXYNQ_ENGINE", raising=False)
    assert choose_engine().name == supported_variants()[0].name


def test_an_engine_by_environment(digits: graph.Model, monkeypatch) -> None:
    monkeypatch.setenv("AXYNQ_ENGINE", "generic")
    assert Emulator(digits).engine == "generic"
    monkeypatch.setenv("AXYNQ_ENGINE", "portable")
    assert Emulator(digits).engine == "portable"
    monkeypatch.setenv("AXYNQ_ENGINE", "abacus")
    with pytest.raises(
        ToolError, match="no kernel 'abacus'; there are: amx, avx512, .*, generic, portable"
    ):
        Emulator(digits)


def test_a_failed_build_says_why_and_goes_on(digits: graph.Model, monkeypatch, tmp_path) -> None:
    x = random_input(digits, 3, 0)
    expected = Emulator(digits).run(x)
    monkeypatch.delenv("AXYNQ_ENGINE", raising=False)
    monkeypatch.setenv("CXX", str(tmp_path / "broken"))
    (tmp_path / "broken").write_text("#!/bin/sh\necho 'x.cpp:1: error: no such luck' >&2\nexit 1\n")
    (tmp_path / "broken").chmod(0o755)
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path))
    load_kernel.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match=r"not available: .* no such luck.*numpy"):
            emulator = Emulator(digits)
        assert emulator.engine == "portable"
        assert np.array_equal(emulator.run(x), expected)
        with pytest.raises(ToolError, match="no such luck"):
            Emulator(digits, engine="generic")
    finally:
        load_kernel.cache_clear()


def test_a_processor_without_the_instructions(monkeypatch) -> None:
    monkeypatch.setattr("axynq.emulator.engine.kernel.processor_features", frozenset)
    assert [variant.name for variant in supported_variants()] == ["generic"]
    load_kernel.cache_clear()
    with pytest.raises(ToolError, match="cannot run the kernel 'avx2': it lacks avx2"):
        load_kernel("avx2")


@pytest.mark.parametrize("threads", ["0", "-1", "many", "1025", "9" * 5000])
def test_bad_thread_counts(digits: graph.Model, monkeypatch, threads: str) -> None:
    monkeypatch.setenv("AXYNQ_THREADS", threads)
    with pytest.raises(ToolError, match="positive integer"):
        Emulator(digits)


def test_a_softmax_in_the_middle() -> None:
    tensors = (
        graph.Tensor("x", (4,), 0.1, 0),
        graph.Tensor("s", (4,), 1 / 256, -128),
        graph.Tensor("y", (4,), 0.01, 0),
    )
    operators = (
        graph.Softmax("softmax_0", (0,), 1, 1.0),
        graph.Add("add_1", (1, 1), 2),
    )
    model = graph.Model("m", tensors, operators, (0,), (2,))
    x = random_input(model, 3, 0)
    expected = reference.run(model, x)[2]
    assert np.array_equal(Emulator(model).run(x), expected)


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


# --- recipes -------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.lists(st.integers(-70000, 70000), min_size=256, max_size=256),
    st.lists(st.integers(-70000, 70000), min_size=256, max_size=256),
)
def test_any_term_becomes_bytes(f: list[int], g: list[int]) -> None:
    expected = np.outer(f, g)
    found = np.zeros_like(expected)
    for term in byte_terms(np.array(f), np.array(g)):
        found += (
            np.outer(term.table.astype(int) + term.offset, term.weight.astype(int)) << term.exponent
        )
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "costs",
    [
        *(Costs(1.0, 1000.0), Costs(1000.0, 1.0), Costs(1000.0, 1000.0, 1.0)),
        Costs(1000.0, 1000.0, 1.0, narrow_term=500.0),
    ],
)
@pytest.mark.parametrize("zero_point", [-128, 0, 83, 127])
@pytest.mark.parametrize("spec", SPECS)
def test_all_recipes_of_a_multiplier_are_exact(spec: str, zero_point: int, costs: Costs) -> None:
    m = multiplier(spec)
    recipe = recipe_of(m, zero_point, np.ones(256, np.int64).tobytes(), costs)
    x = np.arange(256).astype(np.uint8).view(np.int8).astype(int)
    products = m.product((x - zero_point)[:, None], np.arange(-128, 128)[None, :])
    assert np.array_equal(recipe.products(), products)
    if costs.term == 1.0:
        assert not recipe.lookups
    else:
        assert len(recipe.terms) <= 1
    halves = {lookup.part for lookup in recipe.lookups} - {WHOLE_BYTE}
    if spec.startswith("smapprox") and zero_point == -128 and costs.half_lookup == 1.0:
        # Built of multipliers of four bits.
        assert halves == {lookup.part for lookup in recipe.lookups}
    if costs.half_lookup > 1.0:
        assert not halves


@pytest.mark.parametrize("digits_", SMAPPROX_TABLE_2)
def test_narrow_terms(digits_: str) -> None:
    """What is taken off large weights is looked up with the errors, in the same bytes."""
    used = np.ones(256, np.int64).tobytes()
    costs = Costs(1.0, 1000.0, 0.1)
    wide, narrow = (
        recipe_of(multiplier(f"smapprox:{digits_}"), -128, used, each)
        for each in (costs, replace(costs, narrow_term=0.1))
    )
    assert len(wide.terms) == len(narrow.terms) == 1
    assert np.abs(wide.terms[0].weight.astype(int)).max() == 128
    assert np.abs(narrow.terms[0].weight.astype(int)).max() == NARROW
    assert [(e.part, e.exponent) for e in narrow.lookups[:1]] == [
        (e.part, e.exponent) for e in wide.lookups[:1]
    ]


@given(
    arrays.arrays(np.int8, st.tuples(st.integers(1, 3), st.integers(1, 3), st.just(4))),
    st.integers(1, 3),
)
def test_narrow_filters(weights: np.ndarray, divisor: int) -> None:
    weights //= np.int8(divisor)
    fits = neighbours_fit(weights.view(np.int32)[..., 0])
    for filter_, fit in zip(weights.astype(int).reshape(len(weights), -1, 2), fits):
        extremes = [255 * pair[pair > 0].sum() for pair in filter_]
        extremes += [255 * pair[pair < 0].sum() for pair in filter_]
        assert fit == all(-(2**15) <= value < 2**15 for value in extremes)


@given(st.lists(st.lists(st.integers(0, 255), max_size=600), max_size=3))
def test_looked_up_sums_never_overflow(filters: list[list[int]]) -> None:
    library = load_kernel(supported_variants()[0].name).library
    every = [value for ranges in filters for value in ranges]
    counts = np.array([len(ranges) for ranges in filters], np.int64)
    found = flushes(library, np.array(every, np.int32), counts).tolist()
    for ranges in filters:
        in_bytes = in_words = 0
        for value in ranges:
            flush = found.pop(0)
            if flush:
                in_words += in_bytes
                in_bytes = 0
                assert in_words <= 65535
            if flush == 2:
                in_words = 0
            in_bytes += value
            assert in_bytes <= 255
        assert in_words + in_bytes <= 65535


def test_pooled_arrays_are_never_shared() -> None:
    pool = ArrayPool()
    first, second = pool.take((3, 4), np.int32), pool.take((3, 4), np.int32)
    first[:], second[:] = 1, 2
    view = first.T[1:]
    del first
    third = pool.take((3, 4), np.int32)
    third[:] = 3
    assert (view == 1).all()
    assert (second == 2).all()
    address = view.base.ctypes.data if view.base is not None else 0
    del view
    fourth = pool.take((4, 3), np.int32)  # of the same size: the memory that was given back
    assert fourth.ctypes.data == address or fourth.ctypes.data not in (
        second.ctypes.data, third.ctypes.data,
    )  # fmt: skip
    assert (third == 3).all()


def test_memory_of_a_pool_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unused memory is given up, oldest first; what is in use stays, and what is too large is not
    kept at all."""
    monkeypatch.setattr(pool_module, "LIMIT", 4000)
    pool = ArrayPool()
    used = pool.take((1000,), np.uint8)
    used[:] = 1
    for size in (1100, 1200, 1300, 1400):  # given back at once
        pool.take((size,), np.uint8)[:] = 2
        assert sum(kept.nbytes for kept in pool._kept) <= 4000 + pool_module.ALIGNMENT
    large = pool.take((5000,), np.uint8)
    large[:] = 3
    assert all(kept.nbytes < 5000 for kept in pool._kept)
    assert (used == 1).all()
    assert (large == 3).all()


def test_accumulators_stay_as_they_were(digits: graph.Model) -> None:
    emulator = Emulator(digits, "roup:2,6")
    first = emulator.accumulators(random_input(digits, 9, 0))
    kept = {name: pair.approximate.copy() for name, pair in first.items()}
    emulator.accumulators(random_input(digits, 9, 1))
    for name, value in kept.items():
        assert np.array_equal(first[name].approximate, value)
