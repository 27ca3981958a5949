# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What configurations ask for, and what is refused when a design is converted."""

from __future__ import annotations

import copy
import decimal
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hls4ml.model.types import FixedPrecisionType

import axynq.hls4ml
from axynq.emulator.errors import AxynqError, ModelError, PlanError
from axynq.emulator.plan import Assignment, Plan
from axynq.hls4ml import with_plan
from axynq.hls4ml.fixed_point import integers
from axynq.hls4ml.layers import as_network, kernel, weighted_nodes
from axynq.hls4ml.registration import codes_of
from axynq.hls4ml.selectable import selectable_layers
from axynq.hls4ml.settings import assignments, check_entries, check_parts
from tests.hls4ml import trained
from tests.hls4ml.designs import LayerCase, Number, build

LAYERS = {"conv": "PointwiseConv2D", "dense": "Dense", "sep_depthwise": "DepthwiseConv2D",
          "sep_pointwise": "PointwiseConv2D"}  # fmt: skip
DENSE = LayerCase("Dense", 4, 6)
CONV = LayerCase("Conv2D", 4, 3, (4, 4), (3, 2))


@dataclass(frozen=True)
class Configured(LayerCase):
    """A layer with another configuration, of these layers."""

    given: dict[str, Any] = field(default_factory=dict)

    def config(self, name: str) -> dict[str, Any]:
        return self.given


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"LayerName": {"conv": {"Multipliers": "roup:1,4"}}}, {"conv": "llam=roup:1,4"}),
        ({"LayerName": {"conv": {"Multipliers": "flam=exact|roup:1,4+klms=2"}}},
         {"conv": "flam=exact|roup:1,4+klms=2"}),
        ({"LayerType": {"Conv2D": {"Multipliers": "roup:1,4"}}},
         {"conv": "llam=roup:1,4", "sep_pointwise": "llam=roup:1,4"}),
        ({"Model": {"Multipliers": "roup:1,4"}, "LayerName": {"conv": {"Multipliers": "exact"},
          "dense": {"Precision": "ap_fixed<8,3>"}}},
         {"conv": "llam=exact", "dense": "llam=roup:1,4", "sep_depthwise": "llam=roup:1,4",
          "sep_pointwise": "llam=roup:1,4"}),
        ({"LayerName": {"sep": {"Multipliers": {"depthwise": "roup:2,6"}}}},
         {"sep_depthwise": "llam=roup:2,6"}),
        ({"LayerName": {"sep": {"Multipliers": "roup:2,6"}}},
         {"sep_depthwise": "llam=roup:2,6", "sep_pointwise": "llam=roup:2,6"}),
        ({"LayerName": {"sep_depthwise": {"Multipliers": {"depthwise": "roup:2,6"}}}},
         {"sep_depthwise": "llam=roup:2,6"}),
        ({"Model": {"Precision": "ap_fixed<16,6>"}}, {}),
        ({"Model": {"Multipliers": "exact"}, "LayerType": {"Dense": {"Multipliers": "exact"}},
          "LayerName": {"conv": {"Multipliers": None}, "dense": {"Multipliers": None}}},
         {"sep_depthwise": "llam=exact", "sep_pointwise": "llam=exact"}),
        ({"LayerType": {"dense": {"Multipliers": "roup:1,4"}}}, {"dense": "llam=roup:1,4"}),
    ],
)  # fmt: skip
def test_entries(config: dict[str, Any], expected: dict[str, str]) -> None:
    found = {name: a.shorthand() for name, a in assignments(config, LAYERS).items()}
    assert found == expected


def test_layers_of_onnx_models_have_two_names() -> None:
    layers = {"Conv2D_Conv_0": "Conv2D", "Dense_MatMul_0": "Dense"}
    config = {"LayerName": {"Conv_0": {"Multipliers": "roup:1,4"}}}
    assert set(assignments(config, layers)) == {"Conv2D_Conv_0"}
    plan = Plan({"MatMul_0": Assignment(("roup:1,4",)), "Conv2D_Conv_0": Assignment(("exact",))})
    assert len(assignments(with_plan({}, plan), layers)) == 2


def test_a_specification_for_each_filter() -> None:
    given = ["roup:1,4", "exact", "roup:1,4"]
    found = assignments({"LayerName": {"dense": {"Multipliers": given}}}, LAYERS)
    assert found == {"dense": Assignment(("roup:1,4", "exact"), "filter", (0, 1, 0))}


@pytest.mark.parametrize("as_file", [True, False])
def test_plans(tmp_path: Path, as_file: bool) -> None:
    plan = Plan({"dense": Assignment(("exact", "roup:1,4"), "filter", (0, 1, 1, -1)),
                 "conv": Assignment(("roup:2,6",))}, Assignment(("exact",)))  # fmt: skip
    before = {"Model": {"Multipliers": "roup:1,4"}, "LayerName": {"conv": {"Multipliers": "exact"}}}
    kept = copy.deepcopy(before)
    if as_file:
        plan.save(tmp_path / "plan.json")
    config = with_plan(before, tmp_path / "plan.json" if as_file else plan)
    assert before == kept
    # hls4ml writes configurations down.
    config = yaml.safe_load(yaml.safe_dump(config))
    found = assignments(config, LAYERS)
    assert found == {name: plan.layers.get(name, plan.default) for name in LAYERS}
    if as_file:
        named = {"Model": {"Multipliers": str(tmp_path / "plan.json")}}
        assert assignments(named, LAYERS) == found


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"LayerName": {"cnov": {"Multipliers": "exact"}}}, "layer 'cnov' is to have multipliers"),
        ({"Model": {"Multipliers": {"layers": {"cnov": "exact"}, "format": "axynq-plan",
                                    "version": 1}}}, "no such layer"),
        ({"Model": {"Multipliers": {"layers": {}, "version": 1}}}, "format: Field required"),
        ({"Model": {"Multipliers": "gone.json"}}, "'gone.json' cannot be read"),
        ({"LayerName": {"conv": {"Multipliers": "roup:9,4"}}}, "layer 'conv': "),
        ({"LayerName": {"conv": {"Multipliers": 3}}}, "layer 'conv': Multipliers is a text"),
        ({"Model": {"Multipliers": Plan.uniform("exact")}}, "not Plan (with_plan puts"),
        ({"LayerName": {"conv": {"Multipliers": [3]}}}, "a specification for each filter"),
        ({"LayerName": {"conv": {"Multipliers": {"multipliers": []}}}}, "conv"),
        ({"LayerName": {"conv": {"Multipliers": ["exact", "nope"]}}},
         "layer 'conv': unknown multiplier 'nope'"),
        ({"LayerName": {"conv": {"multipliers": "exact"}}}, "'multipliers' of 'conv'"),
        ({"Model": {"Multiplier": "exact"}}, "'Multiplier' of 'Model'"),
        ({"LayerType": {"Desne": {"Multipliers": "exact"}}}, "type 'Desne' cannot"),
        ({"LayerType": {"LSTM": {"Multipliers": "exact"}}}, "type 'LSTM' cannot"),
    ],
)  # fmt: skip
def test_malformed_entries(config: dict[str, Any], reason: str) -> None:
    def read() -> None:
        check_entries(config, LAYERS)
        assignments(config, LAYERS)

    with pytest.raises(PlanError) as caught:
        read()
    assert reason in str(caught.value)


def test_parts_of_separable_convolutions_that_lose_theirs(tmp_path: Path) -> None:
    """hls4ml replaces what is said of a part by what is said of the whole, if anything is."""
    given = {"sep_depthwise": {"Multipliers": "roup:1,4"}}
    check_parts("sep", None, given)
    check_parts("sep", {"Multipliers": "exact"}, given)  # a copy that an earlier conversion left
    with pytest.raises(PlanError, match="hls4ml replaces its entry by that of 'sep'"):
        check_parts("sep", {"Strategy": "Latency"}, given)
    case = LayerCase("SeparableConv2D", 4, 3, (5, 5), (3, 3), data=Number(8))
    config: dict[str, Any] = case.config("x")
    config["x_pointwise"] = {"Multipliers": "roup:1,4"}
    with pytest.raises(PlanError, match="layer 'x_pointwise': hls4ml replaces"):
        build({"x": Configured(**vars(case), given=config)}, tmp_path)


# --- designs -------------------------------------------------------------------------------------


def test_weights_are_those_of_the_design(tmp_path: Path) -> None:
    """In the order that plans know, whatever the strategy makes of them."""
    cases = {
        f"{kind}_{strategy}": replace(case, strategy=strategy, multipliers="exact")
        for kind, case in (("dense", DENSE), ("conv", CONV))
        for strategy in ("Latency", "Resource")
    }
    model = build(cases, tmp_path)
    for node in weighted_nodes(model):
        np.testing.assert_array_equal(
            kernel(node), cases[node.name].weights()["weight"].transpose(3, 0, 1, 2)
        )
    network = as_network(weighted_nodes(model))
    assert [layer.name for layer in network.layers] == list(cases)
    assert network.multiplications(network.layers[2]) == 2 * 3 * 4 * 18


def test_weights_are_rounded_as_in_the_design(tmp_path: Path) -> None:
    """hls4ml prints so many decimals as a type has bits behind the point, and C++ cuts off."""
    case = LayerCase("Dense", 4, 1, weight=Number(8, True, 4), multipliers="exact")
    description = case.description("x")
    values = [0.99996, 0.30, -0.01, 7.99999]
    description["weight_data"] = np.array([values])
    model = build({"x": case}, tmp_path)
    node = model.graph["x"]
    node.weights["weight"].data = np.array([values])
    assert kernel(node).reshape(-1).tolist() == [16, 4, -1, -128]


@pytest.mark.parametrize(
    ("case", "io", "error", "reason"),
    [
        (replace(DENSE, data=Number(10)), "io_parallel", ModelError,
         "layer 'x': multipliers take inputs of 9 bits, or 8 unsigned, but these are fixed<10"),
        (replace(DENSE, data=Number(9, False)), "io_parallel", ModelError, "ufixed<9"),
        (replace(DENSE, weight=Number(9)), "io_parallel", ModelError, "weights of 8 bits"),
        (replace(DENSE, weight=Number(8, False)), "io_parallel", ModelError, "7 unsigned"),
        (replace(DENSE, strategy="Distributed_Arithmetic"), "io_stream", ModelError,
         "latency and resource, not with distributed_arithmetic"),
        (replace(DENSE, strategy="Resource_Unrolled", reuse=2), "io_parallel", ModelError,
         "not with resource_unrolled"),
        (replace(DENSE, multipliers=["exact"] * 3), "io_parallel", PlanError, "has 4 filters"),
        (replace(DENSE, reuse=0), "io_stream", ModelError, "a positive integer, not 0"),
        (replace(DENSE, settings={"Compression": True}, strategy="Resource"), "io_parallel",
         ModelError, "compressed"),
    ],
)  # fmt: skip
def test_what_cannot_be(
    tmp_path: Path, case: LayerCase, io: str, error: type[AxynqError], reason: str
) -> None:
    given = case if case.multipliers else replace(case, multipliers="roup:1,4")
    with pytest.raises(error) as caught:
        build({"x": given}, tmp_path, io)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "wide", "part"),
    [("first", "image", "result"), ("second", "relu", "result"), ("second", "second", "weight")],
)
def test_what_has_too_many_bits(tmp_path: Path, layer: str, wide: str, part: str) -> None:
    """Inputs are the results of another layer, which may be before a reshape."""
    layers = [
        {"name": "image", "class_name": "Input", "input_shape": [2, 2]},
        {"name": "flat", "class_name": "Reshape", "target_shape": [4]},
        trained.dense("first", np.ones((4, 3)), np.ones(3)),
        trained.relu("relu", 3),
        trained.dense("second", np.ones((3, 2)), np.ones(2)),
    ]
    config = trained.configuration(layers)
    config["LayerName"] = copy.deepcopy(config["LayerName"])
    config["LayerName"][wide]["Precision"][part] = "ap_fixed<16,6>"
    config["LayerName"][layer]["Multipliers"] = "roup:1,4"
    with pytest.raises(ModelError) as caught:
        trained.converted(layers, config, tmp_path)
    assert f'["LayerName"]["{wide}"]["Precision"]["{part}"]' in str(caught.value)


def test_layers_that_multiply_in_other_ways(tmp_path: Path) -> None:
    from hls4ml.model.graph import ModelGraph
    from hls4ml.utils.config import create_config

    config = create_config(output_dir=str(tmp_path), backend="Vitis", io_type="io_parallel")
    config["HLSConfig"] = {"Model": {"Precision": "ap_fixed<8,3>", "ReuseFactor": 1},
                           "LayerName": {"norm": {"Multipliers": "exact"}}}  # fmt: skip
    one = np.ones(3)
    layers = [
        {"name": "x", "class_name": "Input", "input_shape": [3]},
        {"name": "norm", "class_name": "BatchNormalization", "inputs": ["x"], "n_in": 3,
         "n_filt": -1, "use_gamma": True, "use_beta": True, "epsilon": 1e-3, "gamma_data": one,
         "beta_data": one, "mean_data": one, "variance_data": one},
    ]  # fmt: skip
    with pytest.raises(AxynqError, match="norm"):
        ModelGraph.from_layer_list(config, layers, inputs=["x"], outputs=["norm"])


def test_layers_of_other_types_in_a_uniform_design(tmp_path: Path) -> None:
    """They keep hls4ml's products, with a word about it; by name they are refused."""
    layers = [
        {"name": "x", "class_name": "Input", "input_shape": [5, 3]},
        {"name": "gru", "class_name": "GRU", "inputs": ["x"], "n_out": 4, "n_in": 3,
         "n_timesteps": 5, "return_sequences": False, "return_state": False, "pass_initial_states":
         False, "activation": "tanh", "recurrent_activation": "sigmoid", "time_major": False,
         "apply_reset_gate": "after", "weight_data": np.ones((3, 12)), "bias_data": np.ones(12),
         "recurrent_weight_data": np.ones((4, 12)), "recurrent_bias_data": np.ones(12)},
        {**DENSE.description("dense"), "n_in": 4, "weight_data": np.ones((4, 4)),
         "inputs": ["gru"]},
    ]  # fmt: skip

    def made(**config: Any) -> Any:
        from hls4ml.model.graph import ModelGraph
        from hls4ml.utils.config import create_config

        whole = create_config(output_dir=str(tmp_path), backend="Vitis", io_type="io_parallel")
        model = {"Precision": "ap_fixed<8,4>", "ReuseFactor": 1, **config.pop("Model", {})}
        whole["HLSConfig"] = {"Model": model, **config}
        return ModelGraph.from_layer_list(whole, layers, inputs=["x"], outputs=["dense"])

    with pytest.warns(UserWarning, match=r"'gru' is of the type GRU.*keeps hls4ml's own products"):
        model = made(Model={"Multipliers": "roup:1,4"})
    assert [node.name for node in model.get_layers() if codes_of(node)] == ["dense"]
    able, left_out = selectable_layers(model)
    assert [node.name for node in able] == ["dense"]
    assert list(left_out) == ["gru"]
    with pytest.raises(ModelError, match="'gru' is of the type GRU, which cannot have"):
        made(LayerName={"gru": {"Multipliers": "roup:1,4"}})
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*hls4ml's own products")
        made(LayerName={"dense": {"Multipliers": "roup:1,4"}})


@pytest.mark.parametrize("backend", ["Quartus", "oneAPI", "Catapult"])
def test_other_backends(tmp_path: Path, backend: str) -> None:
    build({"x": DENSE}, tmp_path, backend=backend)
    with pytest.raises(ModelError, match=f"backend {backend} has no multipliers; these have"):
        build({"x": replace(DENSE, multipliers="exact")}, tmp_path, backend=backend)


def test_single_bits_that_hls4ml_takes_for_signs(tmp_path: Path) -> None:
    config = replace(DENSE, multipliers="exact").config("x")
    config["x"]["Precision"]["weight"] = config["x_in"]["Precision"]["result"] = "ap_uint<1>"
    with pytest.raises(
        ModelError, match="layer 'x': hls4ml takes inputs and weights of ap_uint<1>"
    ):
        build({"x": Configured(**vars(DENSE), given=config)}, tmp_path)


def test_groups_of_channels(tmp_path: Path) -> None:
    """Keras has them; hls4ml reads their weights, and takes no notice."""

    class Grouped(LayerCase):
        def weights(self) -> dict[str, Any]:
            made = super().weights()
            return made | {"weight": made["weight"][:, :, :2]}

    case = Grouped("Conv2D", 4, 4, (5, 5), (3, 3), multipliers="exact")
    with pytest.raises(ModelError, match="layer 'x': hls4ml has no groups of channels"):
        build({"x": case}, tmp_path)


class Described(LayerCase):
    """A layer that says something else of itself."""

    def description(self, name: str) -> dict[str, Any]:
        return super().description(name) | dict(self.settings)

    def config(self, name: str) -> dict[str, Any]:
        return replace(DENSE, multipliers="exact").config(name)


def test_several_filters_for_each_channel(tmp_path: Path) -> None:
    more = {"n_filt": 8, "bias_data": np.zeros(8)}
    case = Described("DepthwiseConv2D", 4, 4, (5, 5), (3, 3), settings=more)
    with pytest.raises(ModelError, match="layer 'x': hls4ml has no depth multiplier other than 1"):
        build({"x": case}, tmp_path)


def test_operands_that_are_no_fixed_point_numbers(tmp_path: Path) -> None:
    config = replace(DENSE, multipliers="exact").config("x")
    config["x_in"]["Precision"]["result"] = "float"
    with pytest.raises(ModelError, match="fixed-point numbers, but its inputs are float"):
        build({"x": Configured(**vars(DENSE), given=config)}, tmp_path)


def test_signed_tables_cover_fewer_inputs(tmp_path: Path) -> None:
    source = tmp_path / "mine.c"
    source.write_text("int16_t mine(int8_t a, int8_t b) { return a * b; }\n")
    spec = f"table:{source}#mine"
    build({"x": replace(DENSE, data=Number(8), multipliers=spec)}, tmp_path / "fits")
    with pytest.raises(
        PlanError, match=r"inputs span -255..255, but the signed table .* -128..127"
    ):
        build({"x": replace(DENSE, data=Number(9), multipliers=spec)}, tmp_path / "wide")


ROUNDING = {
    "TRN": decimal.ROUND_FLOOR, "TRN_ZERO": decimal.ROUND_DOWN, "RND_CONV": decimal.ROUND_HALF_EVEN,
    "RND_ZERO": decimal.ROUND_HALF_DOWN, "RND_INF": decimal.ROUND_HALF_UP,
}  # fmt: skip
"""The modes of ap_fixed that Python's decimals have too; RND is RND_INF above zero and RND_ZERO
below, RND_MIN_INF the other way round."""


@pytest.mark.parametrize("mode", [*ROUNDING, "RND", "RND_MIN_INF"])
@pytest.mark.parametrize("overflow", ["WRAP", "SAT", "SAT_SYM", "SAT_ZERO"])
@pytest.mark.parametrize("signed", [True, False])
def test_numbers_in_a_type(mode: str, overflow: str, signed: bool) -> None:
    """All numbers of three more bits, over four times the type's range."""
    kind = FixedPrecisionType(4, 2, signed, f"AP_{mode}", f"AP_{overflow}")
    values = np.arange(-512, 512) / 32
    low, high = (-8, 7) if signed else (0, 15)
    for value, found in zip(values, integers(values, kind)):
        by_sign = ("RND_ZERO", "RND_INF") if mode == "RND" else ("RND_INF", "RND_ZERO")
        own = ROUNDING.get(mode, ROUNDING[by_sign[int(value > 0)]])
        whole = int(decimal.Decimal(value * 4).quantize(decimal.Decimal(1), own))
        expected = (whole - low) % 16 + low
        if overflow != "WRAP" and not low <= whole <= high:
            expected = 0 if overflow == "SAT_ZERO" else max(low, min(whole, high))
        if overflow == "SAT_SYM" and signed:
            expected = max(expected, -7)
        assert found == expected, value


def test_tables_need_a_circuit(tmp_path: Path) -> None:
    a, w = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    np.savez(tmp_path / "t.npz", mine=(a * w).astype(np.int64))
    with pytest.raises(PlanError, match="data without a circuit"):
        build({"x": replace(DENSE, multipliers=f"table:{tmp_path}/t.npz#mine")}, tmp_path)


def test_accumulators_that_only_exact_products_fit(tmp_path: Path) -> None:
    """ROUP rounds up: 1 becomes 2."""
    case = LayerCase("Dense", 4, 8, data=Number(1, False), accum="ap_int<12>",
                     multipliers="roup:0,1-1-1-1")  # fmt: skip
    with pytest.warns(UserWarning, match="layer 'x': its accumulator.*may overflow"):
        build({"x": case}, tmp_path)


def test_registering_again_does_nothing(tmp_path: Path) -> None:
    axynq.hls4ml.register()
    model = build({"x": replace(DENSE, multipliers="roup:1,4")}, tmp_path)
    assert [m.spec for m in codes_of(model.graph["x"]).multipliers] == ["roup:1,4"]


def test_designs_without_multipliers_are_left_alone(tmp_path: Path) -> None:
    model = build({"x": DENSE}, tmp_path)
    model.write()
    assert codes_of(model.graph["x"]) is None
    assert "axynq" not in (tmp_path / "firmware" / "parameters.h").read_text()
    assert not list(tmp_path.rglob("*axynq*"))
