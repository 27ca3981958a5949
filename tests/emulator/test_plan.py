# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Plans: shorthands, files, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan, multiplier
from axynq.emulator.errors import PlanError
from axynq.emulator.model import graph
from axynq.emulator.multipliers.specification import TableReference
from axynq.emulator.plan import Assignment, Axis

A, B, C = "exact", "roup:1,4", "smapprox:1100"


def specs(model: graph.Model, text: str, layer: str) -> np.ndarray:
    """The multiplier of each weight, by specification; skipped ones empty."""
    codes = Plan.parse(model, text).expand(model)[layer]
    return np.array(["", *(m.spec for m in codes.multipliers)])[codes.codes]


def test_llam_is_one_multiplier_everywhere(digits: graph.Model) -> None:
    for layer in digits.layers:
        assert (specs(digits, f"llam={B}", layer.name) == B).all()


def test_a_multiplier_alone_is_llam(digits: graph.Model) -> None:
    assert Plan.parse(digits, B) == Plan.parse(digits, f"llam={B}")


def test_flam_splits_filters_into_contiguous_classes(digits: graph.Model) -> None:
    found = specs(digits, f"flam={A}|{B}|{C}", "conv_0")  # 16 filters: 6, 5, 5
    assert (found[:6] == A).all()
    assert (found[6:11] == B).all()
    assert (found[11:] == C).all()


def test_klam_channel(digits: graph.Model) -> None:
    found = specs(digits, f"klam-channel={A}|{B}|{A}", "conv_2")  # 16 channels: 6, 5, 5
    assert (found[..., :6] == A).all()
    assert (found[..., 6:11] == B).all()
    assert (found[..., 11:] == A).all()


def test_klam_row_and_column(digits: graph.Model) -> None:
    rows = specs(digits, f"klam-row={A}|{B}|{C}", "conv_4")
    columns = specs(digits, f"klam-column={A}|{B}|{C}", "conv_4")
    for k, spec in enumerate((A, B, C)):
        assert (rows[:, k] == spec).all()
        assert (columns[:, :, k] == spec).all()


def test_fewer_elements_than_multipliers_use_the_first_ones(digits: graph.Model) -> None:
    assert (specs(digits, f"klam-row={A}|{B}|{C}", "conv_2") == A).all()  # 1 x 1 kernel


def test_depthwise_channels_are_the_input_channels(digits: graph.Model) -> None:
    by_channel = specs(digits, f"klam-channel={A}|{B}", "depthwise_1")
    by_filter = specs(digits, f"flam={A}|{B}", "depthwise_1")
    assert np.array_equal(by_channel, by_filter)
    assert (by_channel[:8] == A).all()
    assert (by_channel[8:] == B).all()


@pytest.mark.parametrize("sigma", [1, 2, 0.5])
def test_klms_skips_weights_far_from_the_mean(digits: graph.Model, sigma: float) -> None:
    for layer in digits.layers:
        kernel = layer.kernel.astype(float)
        far = abs(kernel - kernel.mean()) > sigma * kernel.std()
        found = specs(digits, f"klms={sigma}", layer.name)
        assert (found[far] == "").all()
        assert (found[~far] == A).all()


def test_klms_combines_with_another(digits: graph.Model) -> None:
    alone = specs(digits, "klms=1", "conv_4")
    both = specs(digits, f"flam={A}|{B}+klms=1", "conv_4")
    assert np.array_equal(both == "", alone == "")
    assert set(both[:16].ravel()) == {"", A}
    assert set(both[16:].ravel()) == {"", B}


@pytest.mark.parametrize(
    "text",
    ["exact", f"llam={B}", f"flam={A}|{B}+klms=2", f"klam-row={A}|{B}", "klms=1.5"],
)
def test_saved_plans_load(digits: graph.Model, tmp_path: Path, text: str) -> None:
    plan = Plan.parse(digits, text)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_codes_of_single_weights_survive_saving(digits, tmp_path_factory, seed: int) -> None:
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    rng = np.random.default_rng(seed)
    codes = {
        layer.name: ([A, B], rng.integers(0, 3, layer.kernel.shape)) for layer in digits.layers
    }
    plan = Plan.from_codes(codes)
    plan.save(path)
    loaded = Plan.load(path)
    assert loaded == plan
    for layer in digits.layers:
        expanded = loaded.expand(digits)[layer.name]
        names = np.array(["", *(m.spec for m in expanded.multipliers)])
        assert np.array_equal(names[expanded.codes], np.array(["", A, B])[codes[layer.name][1]])


@pytest.fixture(scope="session")
def awkward_tables(tmp_path_factory) -> list[str]:
    """Specifications of a table in files with awkward names, in quotes or without."""
    folder = tmp_path_factory.mktemp("tables")
    specs = []
    for name in ("plain", "a+b", "a|b", "c#1", 'q"uote', "ü 50%", "a+klms=2", "a|exact|b"):
        np.savez(folder / f"{name}.npz", t=np.outer(np.arange(256), np.arange(256)))
        quoted = TableReference(f"{folder}/{name}.npz", "t", signed=False).spec
        specs += [quoted, f"table:{folder}/{name}.npz#t,unsigned"]
    return specs


@st.composite
def assignments(draw, tables: list[str]) -> Assignment:
    specs = st.sampled_from([A, B, C, "roup:1,0-2-0-0", " exact ", *tables])
    multipliers = tuple(draw(st.lists(specs, min_size=1, max_size=4)))
    axis = draw(st.sampled_from(get_args(Axis)))
    index = st.integers(-1, len(multipliers) - 1)
    classes = draw(st.lists(index, max_size=20))
    number = draw(st.sampled_from([int, np.int8, np.int64, np.uint8]))
    if number is np.uint8:
        classes = [abs(c) for c in classes if abs(c) < len(multipliers)]
    given = tuple(number(c) for c in classes)
    sigmas = st.floats(0, exclude_min=True, allow_infinity=False)
    sigma = draw(st.none() | sigmas | st.sampled_from([1, np.float32(0.1), 1e9, 1e-7, 2.5]))
    return Assignment(
        multipliers, axis, given if axis == "weight" or draw(st.booleans()) else None, sigma
    )


@settings(max_examples=30)
@given(st.data())
def test_any_plan_survives_saving(tmp_path_factory, awkward_tables, data) -> None:
    made = assignments(awkward_tables)
    plan = Plan(
        data.draw(st.dictionaries(st.text(), made, max_size=3)), data.draw(st.none() | made)
    )
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    plan.save(path)
    assert Plan.load(path) == plan


@given(st.floats(0, exclude_min=True, allow_infinity=False))
def test_any_sigma_survives_being_written(sigma: float) -> None:
    assignment = Assignment(("exact",), "filter", None, sigma)
    text = assignment.shorthand()
    assert text is not None
    assert Assignment.parse(text) == assignment


@pytest.mark.parametrize("sigma", [0, -1, float("nan"), float("inf"), np.float32("nan"), "much"])
def test_impossible_sigmas_are_refused(sigma) -> None:
    with pytest.raises(PlanError, match="positive number"):
        Assignment(("exact",), "layer", None, sigma)


@pytest.mark.parametrize("classes", [(0.5,), (1,), (-2,), (10**30,), ((0,), (0, 0)), ("0",)])
def test_impossible_classes_are_refused(classes) -> None:
    with pytest.raises(PlanError, match="classes"):
        Assignment(("exact",), "filter", classes)


@pytest.mark.parametrize(
    ("multipliers", "axis", "reason"),
    [((), "layer", "1 to 254"), ((1,), "layer", "specifications"), (("exact",), "x", "not an axis"),
     (("exact",), "weight", "class for each")],
)  # fmt: skip
def test_impossible_assignments_are_refused(multipliers, axis, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        Assignment(multipliers, axis)


def test_layers_of_several_multipliers_without_classes(digits: graph.Model, tmp_path) -> None:
    """In a file, a list of multipliers without classes is as a shorthand."""
    path = tmp_path / "plan.json"
    content = {"format": "axynq-plan", "version": 1, "layers": {}, "default": {
        "multipliers": [A, B], "axis": "filter"}}  # fmt: skip
    path.write_text(json.dumps(content))
    assert Plan.load(path).default == Assignment.parse(f"flam={A}|{B}")


def test_paths_that_are_not_unicode_cannot_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    with pytest.raises(PlanError, match="not valid Unicode"):
        Plan(default=Assignment(("table:\udcff.npy",))).save(path)
    assert not path.exists()


# --- relative paths ------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The working directory, and another folder."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        (folder / "sub").mkdir(parents=True)
    monkeypatch.chdir(here)
    return here, there


def write_table(path: Path, error: int) -> None:
    np.save(path, np.outer(np.arange(256), np.arange(256)) + error)


def error_of(plan: Plan) -> int:
    assert plan.default is not None
    return int(multiplier(plan.default.multipliers[0]).product(0, 0))


def write_plan(folder: Path, spec: str) -> Path:
    path = folder / "plan.json"
    content = {"format": "axynq-plan", "version": 1, "default": spec, "layers": {}}
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("table", ["sub/t.npy", "sub/t#1.npy", "sub/a+klms=2.npy"])
def test_tables_are_looked_up_beside_the_plan(folders, table: str) -> None:
    here, there = folders
    write_table(there / table, 1)
    path = write_plan(there, f'table:"{table}"')
    assert error_of(Plan.load(path)) == 1
    write_table(here / table, 2)  # another one in the working directory does not count
    assert error_of(Plan.load(path)) == 1
    assert error_of(Plan.load(Path("../there/plan.json"))) == 1


def test_tables_are_looked_up_in_the_working_directory_then(folders) -> None:
    here, there = folders
    write_table(here / "sub" / "t.npy", 2)
    assert error_of(Plan.load(write_plan(there, "table:sub/t.npy"))) == 2
    with pytest.raises(PlanError, match="the default: .*'sub/no.npy' does not exist"):
        Plan.load(write_plan(there, "table:sub/no.npy"))


def test_saved_plans_mean_the_same_table(folders) -> None:
    here, there = folders
    write_table(here / "t.npy", 2)
    plan = Plan(default=Assignment(("table:t.npy",)))
    for folder in (here, there):
        plan.save(folder / "plan.json")
        assert Plan.load(folder / "plan.json") == plan
    write_table(there / "t.npy", 1)  # of the same name, and beside the plan
    plan.save(there / "plan.json")
    assert error_of(Plan.load(there / "plan.json")) == 2


def test_each_layer_has_its_own_in_a_file(digits: graph.Model, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(
        json.dumps(
            {
                "format": "axynq-plan",
                "version": 1,
                "default": "exact",
                "layers": {
                    "conv_0": f"flam={A}|{B}",
                    "conv_4": {
                        "multipliers": [A, B],
                        "axis": "filter",
                        "classes": [0, 1, -1, 0] * 8,
                        "klms": 2,
                    },
                },
            }
        )
    )
    codes = Plan.load(path).expand(digits)
    assert codes["conv_0"].counts() == {A: 72, B: 72}
    assert (codes["conv_4"].codes[2::4] == 0).all()
    assert codes["conv_5"].counts() == {A: 32 * 9 * 32}


def test_equal_multipliers_are_merged_and_unused_ones_dropped(digits: graph.Model) -> None:
    codes = Plan.parse(digits, "flam=exact|roup:0,0|exact").expand(digits)["conv_0"]
    assert codes.multipliers == (multiplier("exact"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("flim=exact", "'flim' is not one of llam, flam"),
        ("llam=exact|roup:1,4", "llam takes one"),
        ("flam=exact|", "a multiplier is missing"),
        ("flam=exact|nothing", "unknown multiplier 'nothing'"),
        ("flam=exact+llam=exact", "only klms can be combined"),
        ("klms=0", "positive number"),
        ("klms=much", "positive number"),
        ("klms=1+klms=2", "klms twice"),
        ("klms=nan", "positive number"),
        ("klms=inf", "positive number"),
        ("klms=1e999", "positive number"),
        ("exact+exact", r"unknown multiplier 'exact\+exact'"),
    ],
)
def test_bad_shorthands(digits: graph.Model, text: str, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        Plan.parse(digits, text)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ({"conv_77": "exact"}, "names layer 'conv_77', which model 'digits_int8' does not have"),
        ({"conv_0": "roup:9,9"}, "drops 0 to 3"),
        ({"conv_0": {"multipliers": [A], "axis": "filter", "classes": [0]}}, "16 filters"),
        ({"conv_0": {"multipliers": [A], "axis": "filter", "classes": [1] * 16}}, "from 0 to 0"),
        ({"conv_0": {"multipliers": [], "axis": "filter", "classes": []}}, "at least 1 item"),
        ({"conv_0": {"multipliers": [A], "axis": "diagonal", "classes": [0]}}, "axis"),
        ({"conv_0": {"multipliers": [A], "axis": "weight", "packed": "?"}}, "damaged"),
        ({"conv_0": {"multipliers": [A], "axis": "weight"}}, "layer 'conv_0'.*class for each"),
        (
            {"conv_0": {"multipliers": [A], "axis": "filter", "classes": [0], "packed": "?"}},
            "either 'classes' or 'packed'",
        ),
        ({"conv_0": {"multipliers": [A], "axis": "filter", "klms": -1}}, "greater than 0"),
        ({"conv_0": "table:t.npy,signed,signed"}, "layer 'conv_0': .*twice"),
        ({"conv_0": {"multipliers": [A], "axis": "layer", "klasses": [0]}}, "klasses"),
    ],
)
def test_bad_plan_files(digits: graph.Model, tmp_path: Path, layers, reason: str) -> None:
    path = tmp_path / "plan.json"
    content = {"format": "axynq-plan", "version": 1, "default": "exact", "layers": layers}
    path.write_text(json.dumps(content))
    with pytest.raises(PlanError, match=reason):
        Plan.load(path).expand(digits)


def test_files_that_are_no_plans(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    for content in ("", "{", "[]", '{"format": "other"}', '{"format": "axynq-plan", "version": 2}'):
        path.write_text(content)
        with pytest.raises(PlanError, match="is not valid"):
            Plan.load(path)
    with pytest.raises(PlanError, match="cannot be read"):
        Plan.load(tmp_path / "nowhere.json")


def test_plans_are_equal_to_plans_alone() -> None:
    assert Plan.uniform("exact") == Plan.uniform("exact")
    assert Plan.uniform("exact") != "exact"


def test_a_layer_left_out(digits: graph.Model) -> None:
    with pytest.raises(PlanError, match="says nothing of layer 'depthwise_1'"):
        Plan({"conv_0": Assignment(("exact",))}).expand(digits)


def test_signed_table_needs_activations_that_fit_int8(digits: graph.Model, tmp_path: Path) -> None:
    index = np.arange(256).astype(np.int8).astype(np.int64)
    np.save(tmp_path / "signed.npy", np.outer(index, index))
    with pytest.raises(PlanError, match=r"layer 'conv_0': activations span 0..255, but the signed"):
        Emulator(digits, f"llam=table:{tmp_path}/signed.npy")
