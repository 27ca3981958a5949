# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Sensitivity and exploration of hls4ml designs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import axynq.hls4ml
from axynq.emulator import Emulator, load_model
from axynq.emulator.errors import DataError, ModelError, MultiplierError, PlanError
from axynq.emulator.plan import Assignment, Plan
from axynq.emulator.studies.search.search import Settings
from axynq.hls4ml import choosing
from axynq.hls4ml.compiled_evaluator import CompiledEvaluator, CompiledWorkers, real_examples
from tests.hls4ml import trained
from tests.hls4ml.designs import LayerCase, build

LIBRARY = ["exact", "roup:0,4", "roup:1,4", "roup:1,6", "roup:2,8", "smapprox:1110"]


DIGITS = Path(__file__).parents[2] / "models" / "digits_int8.tflite"


def flat(split: str = "test") -> Any:
    x, y = trained.digits(split)
    return x.reshape(len(x), 64), y


def small_design(folder: Path) -> Any:
    layers = trained.perceptron()
    return trained.converted(layers, trained.configuration(layers), folder)


def test_perceptron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it on a design that is compiled once."""
    design = small_design(tmp_path / "design")
    compiled: dict[int, Any] = {}

    def once(hls_model: Any) -> Any:
        if id(hls_model) not in compiled:
            compiled[id(hls_model)] = make(hls_model)
        return compiled[id(hls_model)]

    make = choosing.SelectableDesign
    monkeypatch.setattr(choosing, "SelectableDesign", once)
    x, y = flat()
    found = axynq.hls4ml.sensitivity(design, x, y, ["roup:2,8", "smapprox:2222"])
    assert found.layers == ("hidden", "classes")
    assert found.baseline > 0.93
    both = once(design)
    evaluator = CompiledEvaluator(both, real_examples(design, x, y))
    share = evaluator.correct(Plan.uniform("smapprox:2222")) / len(y)
    assert found.first["smapprox:2222"][1] == share < found.baseline
    assert found.first["smapprox:2222"][0] == found.alone["smapprox:2222"][0]
    for spec in ("exact", "smapprox:2222"):
        outputs = evaluator.outputs(
            Plan({"hidden": Assignment((spec,))}, Assignment(("roup:1,4",)))
        )
        np.testing.assert_array_equal(outputs, trained.perceptron_outputs(x, (spec, "roup:1,4")))
    twin = CompiledEvaluator(both.twin(), real_examples(design, x, y))
    assert twin.context == evaluator.context
    both.select(Plan.uniform("roup:1,4"))
    np.testing.assert_array_equal(
        twin.outputs(Plan.uniform("exact")), trained.perceptron_outputs(x, ("exact", "exact"))
    )
    np.testing.assert_array_equal(
        both.predict(twin.examples.x), trained.perceptron_outputs(x, ("roup:1,4", "roup:1,4"))
    )
    one = real_examples(design, x[:1], y[:1])
    assert CompiledEvaluator(both, one).outputs(Plan.uniform("exact")).shape == (1, 10)

    told: list[str] = []
    asked = {
        "levels": ("layer", "filter"),
        "test": (x, y),
        "settings": Settings(8, 24),
        "folder": tmp_path / "kept",
    }
    train = flat("train")
    choices = axynq.hls4ml.explore(
        design, *train, LIBRARY, **asked, threads=2, progress=lambda what, *_: told.append(what)
    )
    assert {"layer level", "filter level", "choice examples", "all test examples"} <= set(told)
    assert choices.baseline == found.baseline
    assert not choices.left_out
    cheapest = choices.cheapest()
    assert cheapest.energy < 0.7
    assert choices.choice_baseline - cheapest.choice_accuracy <= 0.01
    assert choices.cheapest(1) is choices.front[0]
    for choice in choices.front:
        assert evaluator.correct(choice.plan) == round(choice.accuracy * len(y))
        assert choice.hls_config["Model"]["Multipliers"] == choice.plan.content()
        assert choice.hls_config["LayerName"] == design.config.config["HLSConfig"]["LayerName"]
    energies = [choice.energy for choice in choices.front]
    chosen_by = [choice.choice_accuracy for choice in choices.front]
    assert energies == sorted(energies)
    assert chosen_by == sorted(chosen_by)
    # What plans are chosen by are those of the given examples that the search did not see.
    given = real_examples(design, *train)
    apart = given.evenly_besides(1024, len(given))
    assert len(apart) == len(given) - 1024 > 0
    deciding = CompiledEvaluator(both, apart)
    for choice in choices.front:
        assert deciding.correct(choice.plan) == round(choice.choice_accuracy * len(apart))
    again = axynq.hls4ml.explore(design, *train, LIBRARY, **asked)
    assert again.outcome.computed == 0
    assert again.front == choices.front
    asked["folder"] = tmp_path / "other"
    assert axynq.hls4ml.explore(design, *train, LIBRARY, **asked, threads=1).front == choices.front
    strange = [Plan({"nowhere": Assignment(("exact",))})] * 3
    with pytest.raises(PlanError, match="nowhere"):
        CompiledWorkers([both], twin.examples).right(strange, print)
    with pytest.raises(PlanError, match="no plan that was found is within -1"):
        choices.cheapest(-1)


@pytest.mark.parametrize(
    "io",
    [
        pytest.param("io_parallel", marks=pytest.mark.thorough),
        pytest.param("io_stream", marks=pytest.mark.thorough),
    ],
)
def test_choice_is_what_the_design_gives(io: str, tmp_path: Path) -> None:
    """A design converted with what was chosen has exactly the accuracy that was promised."""
    layers = trained.convolutional()
    design = trained.converted(layers, trained.configuration(layers), tmp_path / "exact", io)
    x, y = trained.digits("test")
    asked = {
        "levels": ("layer", "filter"),
        "test": (x, y),
        "settings": Settings(16, 48),
        "max_loss": 0.03,
        "search_examples": 400,
        "folder": tmp_path / "kept",
    }
    choices = axynq.hls4ml.explore(design, *trained.digits("train"), LIBRARY, **asked)
    assert choices.baseline > 0.93
    cheapest = choices.cheapest(0.01)
    assert cheapest.energy < 0.8
    made = trained.converted(layers, cheapest.hls_config, tmp_path / "chosen", io)
    made.compile()
    outputs = made.predict(x)
    assert (outputs.argmax(axis=1) == y).mean() == cheapest.accuracy
    # Of a copy of the design that was compiled meanwhile, too.
    evaluator = CompiledEvaluator(made, real_examples(made, x, y))
    np.testing.assert_array_equal(evaluator.outputs(cheapest.plan), outputs)
    # A new copy of the same design has the same name in the folder.
    again = axynq.hls4ml.explore(design, *trained.digits("train"), LIBRARY, **asked)
    assert again.outcome.computed == 0


@pytest.mark.thorough
def test_network_of_pytorch(tmp_path: Path) -> None:
    """Through hls4ml's own converter, with a softmax at the end."""
    import torch
    from hls4ml.converters import convert_from_pytorch_model
    from hls4ml.utils import config_from_pytorch_model

    torch.manual_seed(0)
    layers = (torch.nn.Linear(64, 12), torch.nn.ReLU(), torch.nn.Linear(12, 10))
    net = torch.nn.Sequential(*layers, torch.nn.Softmax(dim=-1))
    trained.train(net[:-1], *flat("train"))
    config = config_from_pytorch_model(
        net.eval(), (64,), granularity="name", backend="Vitis", channels_last_conversion="off"
    )
    for name, precision in {
        "input_1": trained.DATA, "_0": trained.WEIGHTS, "_1": trained.RELU, "_2": trained.WEIGHTS,
    }.items():  # fmt: skip
        config["LayerName"][name]["Precision"] = precision

    def convert(hls_config: Any, folder: str) -> Any:
        return convert_from_pytorch_model(
            net, hls_config=hls_config, output_dir=str(tmp_path / folder), backend="Vitis"
        )

    x, y = flat()
    design = convert(config, "exact")
    choices = axynq.hls4ml.explore(design, x, y, LIBRARY[:3], settings=Settings(6, 12))
    chosen = choices.cheapest(0.02)
    assert chosen.energy < 1
    made = convert(chosen.hls_config, "chosen")
    made.compile()
    assert (made.predict(x).argmax(axis=1) == y).mean() == chosen.accuracy


@pytest.mark.thorough
def test_layers_that_are_left_out(tmp_path: Path) -> None:
    layers = trained.perceptron()
    config = trained.configuration(layers)
    config["LayerName"]["hidden"]["Precision"] = trained.WEIGHTS | {"weight": "ap_fixed<16,6>"}
    design = trained.converted(layers, config, tmp_path)
    with pytest.warns(UserWarning, match=r"left out of the choice:\nlayer 'hidden'"):
        found = axynq.hls4ml.sensitivity(design, *flat(), "roup:2,8")
    assert found.layers == ("classes",)
    assert found.baseline > 0.93


def test_networks_are_emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Designs of int8 networks are not compiled."""
    monkeypatch.setattr(choosing, "SelectableDesign", None)
    network = load_model(DIGITS)
    design = axynq.hls4ml.from_model(network, output_dir=tmp_path)
    x, y = digits_of_network()
    found = axynq.hls4ml.sensitivity(design, x, y, ["roup:1,4"])
    exact = Emulator(network, Plan.uniform("exact")).run(x).argmax(axis=1)
    assert found.baseline == (exact == y).mean()
    assert found.layers == tuple(layer.name for layer in network.layers)
    choices = axynq.hls4ml.explore(
        design, x, y, ["exact", "roup:1,4", "roup:3,8"], settings=Settings(4, 12), max_loss=0.3,
        levels=("layer",), finalists=4, search_examples=40,
    )  # fmt: skip
    assert choices.baseline == found.baseline
    for choice in choices.front:
        right = Emulator(network, choice.plan).run(x).argmax(axis=1) == y
        assert choice.accuracy == right.mean()
        assert choice.energy <= 1
    np.save(tmp_path / "own.npy", np.outer(np.arange(256), np.arange(256)).astype(np.int64))
    with pytest.raises(PlanError, match="only the emulator runs it"):
        axynq.hls4ml.sensitivity(design, x, y, f"table:{tmp_path / 'own.npy'}")
    with pytest.raises(DataError, match="one integer for each x"):
        axynq.hls4ml.sensitivity(design, x, y[1:], "exact")
    with pytest.raises(DataError, match="10 classes, 0 to 9, but labels .* have 10"):
        axynq.hls4ml.sensitivity(design, x, y + 1, "exact")


@pytest.mark.thorough
def test_choice_for_a_network(tmp_path: Path) -> None:
    """A plan that the emulator found is as good in a design; and it would be found compiled."""
    network = load_model(DIGITS)
    design = axynq.hls4ml.from_model(network, output_dir=tmp_path / "exact", io_type="io_stream")
    x, y = digits_of_network()
    choices = axynq.hls4ml.explore(design, x, y, LIBRARY, settings=Settings(8, 24))
    chosen = choices.cheapest()
    assert chosen.energy < 0.9
    made = axynq.hls4ml.from_model(
        network, chosen.plan, output_dir=tmp_path / "chosen", io_type="io_stream"
    )
    made.compile()
    assert (axynq.hls4ml.run(made, x).argmax(axis=1) == y).mean() == chosen.accuracy
    centred = network.input.batch(x).astype(np.float32) - network.input.zero_point
    evaluator = CompiledEvaluator(design, real_examples(design, centred, y))
    np.testing.assert_array_equal(evaluator.outputs(chosen.plan), made.predict(centred))


def digits_of_network() -> Any:
    x, y = trained.digits()
    return x * 16, y


def test_wrong_questions(tmp_path: Path) -> None:
    """One message each, before anything is compiled."""
    design = small_design(tmp_path / "design")
    x, y = flat()

    def refused(
        kind: type[Exception], says: str, x: Any = x, y: Any = y, library: Any = ("exact",),
        design: Any = design, **given: Any,
    ) -> None:  # fmt: skip
        with pytest.raises(kind, match=says):
            axynq.hls4ml.explore(design, x, y, library, **given)

    refused(DataError, "y must be one integer for each x", y=y[:-1])
    refused(DataError, r"inputs \[examples, 64\], not \[360, 63\]", x=x[:, :63])
    refused(DataError, "not finite", x=np.where(x == x.max(), np.nan, x))
    refused(DataError, "real numbers", x=np.array(["a"]), y=y[:1])
    refused(DataError, "10 classes, 0 to 9, but labels .* have 10", y=y + 1)
    refused(DataError, "10 classes, 0 to 9, but labels .* have -1", y=y - 1)
    refused(DataError, "at least one", x=x[:0], y=y[:0])
    refused(DataError, "y must be one integer", test=(x, y[:3]))
    refused(MultiplierError, "unknown|not", library=["none"])
    refused(PlanError, "no multiplier to choose from", library=[])
    refused(PlanError, "levels are some of layer, filter", levels=("leaf",))
    refused(PlanError, "levels are some of", levels="layer")
    refused(PlanError, "max_loss is a share of accuracy, 0 to 1, not nan", max_loss=math.nan)
    refused(PlanError, "max_loss is", max_loss=-0.1)
    refused(PlanError, "classes is at least 1", classes=0)
    refused(PlanError, "finalists is at least 1", finalists=0)
    refused(PlanError, "population is at least 1", settings=Settings(population=0))
    refused(PlanError, "seed is at least 0", settings=Settings(seed=-1))
    refused(PlanError, "skips are positive", skips=(1.0, math.nan))
    np.save(tmp_path / "own.npy", np.outer(np.arange(256), np.arange(256)).astype(np.int64))
    refused(PlanError, "no energy figure", library=[f"table:{tmp_path / 'own.npy'}"])
    with pytest.raises(PlanError, match="only the emulator runs it"):
        axynq.hls4ml.sensitivity(design, x, y, f"table:{tmp_path / 'own.npy'}")

    two = build({"a": LayerCase("Dense", 2, 3), "b": LayerCase("Dense", 2, 3)}, tmp_path / "two")
    refused(ModelError, "the design has 2 inputs", design=two)
    single = build({"a": LayerCase("Dense", 1, 64)}, tmp_path / "single")
    refused(ModelError, "a single value", design=single)
    places = build({"a": LayerCase("Conv1D", 3, 1, (1, 64), (1, 3))}, tmp_path / "places")
    refused(ModelError, "each of many places", design=places)
    refused(ModelError, "ModelGraph, not in a str", design="design")
