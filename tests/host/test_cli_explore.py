# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq sensitivity``, ``explore`` and ``tune``, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan, load_model, multiplier
from axynq.emulator.datasets import handwritten_digits, load_dataset, quantise_examples
from axynq.emulator.energy import relative_energy
from axynq.emulator.model import graph
from axynq.host import Overlay
from axynq.host.cli.inputs import read_energy
from axynq.host.netlists.cells import cells
from axynq.host.netlists.designs import bank_netlist
from axynq.host.netlists.relative import kept_relative_activity
from axynq.host.report.progress import Search, read_record
from tests.host.test_cli import json_of

OTHER = Path(__file__).parents[2] / "models" / "resnet8_int8.tflite"

SMALL = ("--evaluations", 24, "--population", 8, "--search-examples", 40, "--finalists", 3)


def accuracy(model: graph.Model, plan: Plan, data: Path) -> float:
    examples = load_dataset(data)
    y = Emulator(model, plan).run(quantise_examples(model.input, examples.x))
    return float((y.reshape(len(y), -1).argmax(axis=1) == examples.y).mean())


def spent(model: graph.Model, plan: Plan) -> float:
    energy = relative_energy(model, plan, read_energy(model, plan, "characterised"))
    assert energy is not None
    return energy


def test_sensitivity(axynq, digits: graph.Model, digits_path, digits_data, tmp_path) -> None:
    picture = tmp_path / "sensitivity.png"
    content = json_of(
        axynq("sensitivity", digits_path, "--data", digits_data, "--high", "roup:2,8",
              "--output", picture, "--json")
    )  # fmt: skip
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert content["layers"] == [layer.name for layer in digits.layers]
    assert content["baseline_accuracy"] == accuracy(digits, Plan.uniform("exact"), digits_data)
    assert content["multipliers"]["high"] == "roup:2,8"
    everything = content["first"]["roup:2,8"][-1]
    assert everything == accuracy(digits, Plan.uniform("roup:2,8"), digits_data)
    first = digits.layers[0]
    filters = content["estimate"]["filter"]["roup:2,8"][first.name]
    assert len(filters) == len(first.bias)
    assert -1 <= content["rank_correlation"] <= 1


def test_sensitivity_table(axynq, digits_path, digits_data) -> None:
    code, out, _ = axynq("sensitivity", digits_path, "--data", digits_data, "--no-fine")
    assert code == 0
    assert "roup:1,4" in out
    assert "Estimated" not in out


def test_explore(axynq, digits: graph.Model, digits_path, digits_data, tmp_path) -> None:
    folder = tmp_path / "found"
    content = json_of(
        axynq("explore", digits_path, "--data", digits_data, "--output", folder,
              "--levels", "layer,row", *SMALL, "--json")
    )  # fmt: skip
    assert content["plans_looked_at"] == 48
    front = json.loads((folder / "front.json").read_text())
    assert front["baseline_accuracy"] == accuracy(digits, Plan.uniform("exact"), digits_data)
    assert front["energies"]["roup:1,4"]["source"]
    points = [point for point in front["points"] if point["on_front"]]
    assert [p["name"] for p in points] == [p["name"] for p in content["front"]]
    for point in points:
        plan = Plan.load(folder / point["plan"])
        assert point["accuracy"] == accuracy(digits, plan, digits_data)
        assert point["energy_gain"] == pytest.approx(1 - spent(digits, plan))
        assert "model" not in point
    gains = [point["energy_gain"] for point in points]
    assert gains == sorted(gains, reverse=True)
    losses = [point["choice_loss"] for point in points]
    assert losses == sorted(losses, reverse=True)
    # All 40 examples are the search's, so that they decide as well.
    assert front["choice_examples"] == front["search_examples"] == front["test_examples"] == 40
    for point in points:
        assert point["choice_accuracy"] == point["accuracy"] == point["search_accuracy"]
        low, high = point["accuracy_loss_interval"]
        assert low <= point["accuracy_loss"] <= high
    assert all(("accuracy" in p) == p["on_level_front"] for p in front["points"])
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "front.html").read_text()
    assert points[0]["name"] in page
    assert 'src="http' not in page  # nothing is fetched
    again = json_of(
        axynq("explore", digits_path, "--data", digits_data, "--output", folder,
              "--levels", "layer,row", *SMALL, "--json")
    )  # fmt: skip
    assert again["evaluations_computed"] == 0
    assert again["front"] == content["front"]


def test_explore_keeps_the_test_part_apart(
    axynq, digits_path, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The examples that decide are of the training part, and none of them are the search's."""
    monkeypatch.setattr(
        "axynq.host.cli.inputs.load_dataset", lambda _, split: handwritten_digits(split).evenly(150)
    )
    code, _, err = axynq(
        "explore", digits_path, "--data", "digits", "--output", tmp_path / "found",
        "--levels", "layer", *SMALL, "--choice-examples", 100,
    )  # fmt: skip
    assert code == 0, err
    assert "test examples too" not in err
    front = json.loads((tmp_path / "found" / "front.json").read_text())
    counts = {name: front[f"{name}_examples"] for name in ("search", "choice", "test")}
    assert counts == {"search": 40, "choice": 100, "test": 150}
    assert front["choice_examples_in_test"] == 0
    assert front["choice_baseline_accuracy"] != front["baseline_accuracy"]


def test_data_without_parts_is_said_to_be_optimistic(axynq, digits_path, tmp_path) -> None:
    test = handwritten_digits("test")
    np.savez(tmp_path / "d.npz", x=test.x[:100], y=test.y[:100])
    arguments = ("explore", digits_path, "--data", tmp_path / "d.npz", "--levels", "layer", *SMALL)
    code, _, err = axynq(*arguments, "--output", tmp_path / "found")
    assert code == 0
    assert "60 of the 60 examples that decide the front are test examples too" in err
    front = json.loads((tmp_path / "found" / "front.json").read_text())
    assert front["choice_examples_in_test"] == front["choice_examples"] == 60
    code, _, err = axynq(*arguments, "--search-examples", 100, "--output", tmp_path / "all")
    assert code == 0
    assert "what the search used also decides the front" in err


@pytest.mark.thorough
def test_explore_by_another_engine(axynq, digits_path, digits_data, tmp_path) -> None:
    pytest.importorskip("torch").set_num_threads(1)  # tests run beside each other
    fronts = []
    for engine in ("auto", "torch"):
        arguments = ("explore", digits_path, "--data", digits_data, *SMALL, "--engine", engine)
        json_of(axynq(*arguments, "--output", tmp_path / engine, "--json"))
        fronts.append(json.loads((tmp_path / engine / "front.json").read_text())["points"])
    assert fronts[0] == fronts[1]


def test_explore_with_tuning(axynq, digits_path, digits_data, tmp_path) -> None:
    result = axynq("explore", digits_path, "--data", digits_data, "--output", tmp_path / "found",
                   "--levels", "filter", "--skip", "2", "--weights", "alwann", "--compensate",
                   "--no-estimate", "--max-loss", 20, *SMALL)  # fmt: skip
    assert result[0] == 0, result[2]
    front = json.loads((tmp_path / "found" / "front.json").read_text())
    assert front["tuning"] == {"weights": "alwann", "compensate": True, "method": "best"}
    for point in front["points"]:
        if point["on_front"]:
            model = load_model(tmp_path / "found" / point["model"])
            plan = Plan.load(tmp_path / "found" / point["plan"])
            assert point["accuracy"] == accuracy(model, plan, digits_data)


def test_explore_families(axynq, digits_path, digits_data, tmp_path) -> None:
    """What is named is searched, and of families together what no member beats."""
    folder = tmp_path / "found"
    content = json_of(
        axynq("explore", digits_path, "--data", digits_data, "--output", folder, *SMALL,
              "--multipliers", "exact|roup:3,*|roup:2,0-0-4-*|smapprox:333*", "--members", 7,
              "--levels", "layer,filter",
              "--weights", "second-order", "--compensate", "--json")
    )  # fmt: skip
    front = json.loads((folder / "front.json").read_text())
    kept = [member["multiplier"] for member in front["families"]["kept"]]
    assert front["families"]["members"] == 9 + 9 + 4
    assert len(kept) == 7 <= front["families"]["unbeaten"]
    assert list(front["energies"]) == ["exact", *kept]
    assert all(front["energies"][m["multiplier"]]["relative"] == m["energy"]
               for m in front["families"]["kept"])  # fmt: skip
    assert {spec for p in content["front"] for spec in p["designs"]} <= {"exact", *kept}
    again = ("explore", digits_path, "--data", digits_data, "--output", tmp_path / "plain")
    untuned = axynq(*again, "--multipliers", "exact|roup:3,*", "--members", 2,
                    "--levels", "layer", *SMALL)  # fmt: skip
    assert untuned[0] == 0, untuned[2]
    assert "9 multipliers" in untuned[2]


def test_explore_with_two_designs(axynq, digits: graph.Model, digits_path, digits_data, tmp_path):
    arguments = ("explore", digits_path, "--data", digits_data, "--output", tmp_path / "found",
                 "--levels", "layer,row", "--designs", 2, *SMALL)  # fmt: skip
    code, out, err = axynq(*arguments)
    assert code == 0, err
    assert "LUTs" in out
    front = json.loads((tmp_path / "found" / "front.json").read_text())
    points = [point for point in front["points"] if point["on_front"]]
    assert max(len(point["designs"]) for point in points) == 2
    for point in points:
        plan = Plan.load(tmp_path / "found" / point["plan"]).expand(digits)
        used = {m.spec for codes in plan.values() for m in codes.multipliers}
        assert used == set(point["designs"])
        assert point["energy_gain"] == pytest.approx(
            1 - spent(digits, Plan.load(tmp_path / "found" / point["plan"]))
        )
        made = cells(point["designs"])
        assert {way: cost["luts"] for way, cost in point["cells"].items()} == {
            way: cell.luts for way, cell in made.items()
        }
        if len(used) == 1:
            assert point["cells"]["bank"]["energy_gain"] == pytest.approx(
                point["energy_gain"], abs=1e-4
            )
        else:
            assert made["configurable"].luts < made["bank"].luts
            for cost in point["cells"].values():
                assert cost["energy_gain"] < point["energy_gain"]


def test_cells() -> None:
    bank = ["roup:3,0-0-0-4", "roup:2,0-0-4-3"]
    made = cells(bank)
    assert made["bank"].luts == bank_netlist(sorted(bank)).resources()["LUT"]
    for cell in made.values():
        for spec, energy in cell.energies.items():
            assert kept_relative_activity(spec) < energy < 1
    assert cells(["roup:3,0-0-0-4"])["bank"].energies == {
        "roup:3,0-0-0-4": kept_relative_activity("roup:3,0-0-0-4")
    }
    assert list(cells(["exact", "smapprox:3330"])) == ["bank"]
    assert cells(bank, glitches=True) != made


def test_explore_for_an_overlay(axynq, digits: graph.Model, digits_path, digits_data, tmp_path):
    json_of(
        axynq("explore", digits_path, "--data", digits_data, "--output", tmp_path / "found",
              "--levels", "mixed", "--overlay", "z2-mixed16", *SMALL, "--json")
    )  # fmt: skip
    banks = [frozenset(bank) for bank in Overlay.load("z2-mixed16").banks]
    plans = list((tmp_path / "found" / "plans").iterdir())
    assert plans
    for path in plans:
        for codes in Plan.load(path).expand(digits).values():
            for mine in codes.codes:
                used = {codes.multipliers[code - 1] for code in set(mine.flat) - {0}}
                assert any(used <= bank for bank in banks)
    assert multiplier("smapprox:3330") in frozenset().union(*banks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--multipliers", "exact|smapprox:0123", "--energy", "published"),
            "no energy figure for 'smapprox:0123'",
        ),
        (("--multipliers", "exact|roup:9,9"), "roup drops 0 to 3"),
        (("--overlay", "none"), "unknown overlay 'none'"),
        (("--multipliers", "exact|roup:4,*"), "no family of multipliers"),
        (
            ("--multipliers", "exact|smapprox:012*", "--energy", "published"),
            "no energy figure for any member",
        ),
    ],
)
def test_explore_errors(axynq, digits_path, digits_data, tmp_path, arguments, message) -> None:
    code, _, err = axynq("explore", digits_path, "--data", digits_data, "--output",
                         tmp_path / "found", *SMALL, *arguments)  # fmt: skip
    assert code == 1
    assert message in " ".join(err.split())


def test_tune(axynq, digits: graph.Model, digits_path, digits_data, tmp_path) -> None:
    output = tmp_path / "tuned.tflite"
    content = json_of(
        axynq("tune", digits_path, "--data", digits_data, "--plan", "roup:2,6+klms=3",
              "--weights", "histogram", "--compensate", "--output", output, "--json")
    )  # fmt: skip
    tuned, plan = load_model(output), Plan.load(content["output_plan"])
    assert content["accuracy"] == accuracy(tuned, plan, digits_data)
    before = Plan.parse(digits, "roup:2,6+klms=3")
    assert content["accuracy_before"] == accuracy(digits, before, digits_data)
    assert content["relative_energy"] == pytest.approx(spent(digits, plan))
    evaluated = json_of(
        axynq("evaluate", output, "--plan", content["output_plan"], "--data", digits_data, "--json")
    )
    assert evaluated["accuracy"] == content["accuracy"]


def test_tune_to_exact_changes_nothing(axynq, digits_path, digits_data, tmp_path) -> None:
    output = tmp_path / "tuned.tflite"
    code, out, _ = axynq("tune", digits_path, "--data", digits_data, "--plan", "exact",
                         "--output", output)  # fmt: skip
    assert code == 0
    assert "the same, tuned" in out
    original, tuned = load_model(digits_path), load_model(output)
    for layer in original.layers:
        assert (tuned.layer(layer.name).weights == layer.weights).all()
        assert (tuned.layer(layer.name).bias == layer.bias).all()


def test_cycles_as_an_objective(axynq, digits_path, digits_data, tmp_path: Path) -> None:
    """On lanes of one multiplier each, plans differ in cycles."""
    lanes = ("--levels", "filter", "--overlay", "z2-sm16", "--cycles")
    output = ("--output", tmp_path / "found", "--json")
    arguments = ("explore", digits_path, "--data", digits_data, *SMALL, *lanes, *output)
    content = json_of(axynq(*arguments))
    assert all(point["cycles"] > 0 for point in content["front"])
    assert len({point["cycles"] for point in content["front"]}) > 1


def test_explore_with_retraining(axynq, digits_path, tmp_path: Path) -> None:
    pytest.importorskip("torch").set_num_threads(1)  # tests run beside each other
    train = handwritten_digits("train")
    data, folder = tmp_path / "digits.npz", tmp_path / "found"
    np.savez(data, x=train.x[:200], y=train.y[:200])
    arguments = (
        "explore", digits_path, "--data", data, "--output", folder, "--levels", "layer",
        "--evaluations", 12, "--population", 6, "--search-examples", 40, "--finalists", 4,
        "--multipliers", "exact|smapprox:2222|roup:2,8|roup:3,6", "--retrain", 2, "--held-out", 80,
        "--retrain-batch", 16, "--retrain-rate", 0.002, "--shared-plans", 2, "--shared-epochs", 1,
        "--candidates", 3, "--teacher", digits_path, "--device", "cpu", "--threads", 1, "--json",
    )  # fmt: skip
    content = json_of(axynq(*arguments))
    record = read_record(folder / "progress.html")
    assert isinstance(record, Search)
    for stage in record.stages:  # a search may end before it has looked at all it may
        assert stage.done == stage.of or "level" in stage.name
    front = json.loads((folder / "front.json").read_text())
    assert front["tuning"] == {"weights": "rescaled", "compensate": True, "method": "best"}
    words = front["retraining"]
    assert (words["training_examples"], front["choice_examples"]) == (120, 80)
    assert front["choice_examples_in_test"] == 80  # data without parts
    assert words["options"]["epochs"] == 2
    retrained = [point for point in front["points"] if point.get("retrained")]
    assert retrained
    for point in front["points"]:
        assert point["name"].endswith("-retrained") == bool(point.get("retrained"))
        if "model" in point:  # as it was written, it is what was measured
            network, plan = load_model(folder / point["model"]), Plan.load(folder / point["plan"])
            if point["on_level_front"]:
                assert point["accuracy"] == accuracy(network, plan, data)
            assert point["energy_gain"] == pytest.approx(1 - spent(network, plan))
    assert all("model" in point for point in retrained)
    assert all(point["epochs"] == 3 for point in retrained)
    names = [point["name"] for point in front["points"] if point["on_front"]]
    assert names == [point["name"] for point in content["front"]]
    again = json_of(axynq(*arguments))
    assert again["evaluations_computed"] == 0
    assert again["front"] == content["front"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--held-out", 190), "200 training examples are too few to hold out 190"),
        (("--device", "none"), "PyTorch has no device 'none' here"),
        (("--teacher", "nothing.tflite"), "nothing.tflite"),
        (("--teacher", OTHER, "--retrain-batch", 16, "--held-out", 20), "cannot teach"),
        (
            ("--multipliers", "exact", "--retrain-batch", 16, "--held-out", 20),
            "no plan that saves energy is accurate enough",
        ),
    ],
)
def test_errors_of_retraining(axynq, digits_path, tmp_path: Path, arguments, message) -> None:
    pytest.importorskip("torch").set_num_threads(1)
    train = handwritten_digits("train")
    np.savez(tmp_path / "digits.npz", x=train.x[:200], y=train.y[:200])
    code, _, err = axynq("explore", digits_path, "--data", tmp_path / "digits.npz", "--output",
                         tmp_path / "found", "--levels", "layer", "--retrain", 1, *SMALL,
                         *arguments)  # fmt: skip
    assert code == 1
    assert message in " ".join(err.split())


def test_a_folder_is_of_one_network(axynq, digits_path, digits_data, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    arguments = ("--data", digits_data, "--output", folder, *SMALL, "--choice-examples", 40)
    first = json_of(
        axynq("explore", digits_path, *arguments, "--levels", "layer,filter", "--json")
    )["front"]  # fmt: skip
    assert first
    (folder / "plans" / "mine.json").write_text("{}")
    before = (folder / "front.json").read_bytes()
    for command in ("explore", "match"):
        code, _, err = axynq(command, OTHER, "--data", digits_data, "--output", folder)
        assert code == 1
        assert f"holds a search of network '{digits_path.stem}'" in " ".join(err.split())
        assert "give another --output" in " ".join(err.split())
    assert (folder / "front.json").read_bytes() == before
    # Folders of version 0.1 do not say it so well.
    (folder / "network.json").unlink()
    assert axynq("explore", OTHER, "--data", digits_data, "--output", folder)[0] == 1
    # Other settings: what was evaluated is used, what was found before is not left.
    assert axynq("explore", digits_path, *arguments, "--levels", "layer")[0] == 0
    points = json.loads((folder / "front.json").read_text())["points"]
    named = {point["plan"] for point in points if "plan" in point}
    left = {f"plans/{path.name}" for path in (folder / "plans").iterdir()}
    assert left == named | {"plans/mine.json"}
