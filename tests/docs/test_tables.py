# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Tables in the documents say what the committed results say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from axynq.host.netlists.designs import (
    bank_netlist,
    configurable_netlist,
    netlist,
    unsigned_netlist,
)
from axynq.host.netlists.netlist import Netlist
from axynq.host.points import load_index, shipped_points
from tests.docs.documents import ROOT, document


def results(path: str) -> Any:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def number(cell: str) -> float:
    """The number of a cell; thousands are set apart by spaces."""
    return float(re.sub(r"(?<=\d) (?=\d{3})|[^\d.−-]", "", cell).replace("−", "-"))


def plain(cell: str) -> str:
    return cell.strip("`")


def test_resources_of_overlays() -> None:
    table, parts, compared, mapped = document("docs/accelerator.md").tables("Resources")
    overlays = results("benchmarks/resources/results.json")["overlays"]
    assert {plain(row[0]) for row in table[1:]} == set(overlays)
    for name, board, low, likely, high, share, *others in table[1:]:
        overlay = overlays[plain(name)]
        totals, available = overlay["totals"], overlay["available"]
        for cell, bound in ((low, "low"), (likely, "likely"), (high, "high")):
            assert number(cell) == round(totals["lut"][bound]), (name, bound)
        assert number(share) == round(100 * totals["lut"]["likely"] / available["lut"])
        for cell, kind in zip(others, ("flip_flop", "block_ram_36k", "dsp"), strict=True):
            assert number(cell) == totals[kind]["likely"], (name, kind)
        if board:
            kinds = ("lut", "flip_flop", "block_ram_36k", "dsp")
            have = board.partition(":")[2].split(",")
            assert [number(a) for a in have] == [available[kind] for kind in kinds]
    likely = overlays["z2-roup16"]["totals"]
    for column, kind, margin in ((1, "lut", 500), (2, "block_ram_36k", 0), (3, "dsp", 0)):
        total = sum(number(row[column] or "0") for row in parts[1:])
        assert abs(total - likely[kind]["likely"]) <= margin, kind
    published = results("host/synthesis/published.json")["high_level_synthesis"]["cores"]
    found = [(core["estimated"]["lut"], core["vivado"]["lut"]) for core in published]
    assert [(number(row[2]), number(row[3])) for row in compared[1:]] == found
    comparison = results("benchmarks/resources/comparison.json")
    loops = [row for row in comparison["own_loops"] if row["function"] == "multiply_run"]
    rows = [*loops, *comparison["published"], *comparison["yosys_and_vivado"]]
    for (_, *cells), row in zip(mapped[1:], rows, strict=True):
        for cell, kind in zip(cells, ("counted", "yosys", "vivado"), strict=True):
            assert number(cell) == row[kind]["lut"] if cell else kind not in row, (row, kind)


def netlist_of(name: str) -> Netlist:
    """``spec``, or ``spec, spec`` for a configurable cell: a comma before a family's name."""
    bank = re.split(r", (?=[a-z])", name)
    return configurable_netlist(bank) if len(bank) > 1 else netlist(name)


def spaced(value: float) -> str:
    """A whole number, its thousands set apart."""
    return f"{round(value):,}".replace(",", " ")


def test_figures_of_the_readme() -> None:
    """Every figure there is one of the committed results, named by its row."""
    (table,) = document("README.md").tables("Figures")
    rows = {row[0]: row[1] for row in table[1:]}
    emulation = (("Intel", "sapphire-rapids"), ("AMD", "results"))
    for processor, file in emulation:
        (cell,) = (cell for what, cell in rows.items() if processor in what)
        measured = results(f"benchmarks/emulation/{file}.json")
        assert processor in measured["machine"]["processor"]
        assert measured["threads"] == 2
        rates = {
            plan: row["images_per_second"]
            for plan, row in measured["images_per_second"]["resnet8"].items()
        }
        approximate = [rate for plan, rate in rates.items() if plan.startswith("smapprox")]
        assert cell == (
            f"{spaced(rates['exact'])} exact, {spaced(rates['roup:1,4'])} `roup:1,4`, "
            f"{spaced(min(approximate))} to {spaced(max(approximate))} SMApprox; LiteRT int8 "
            f"{spaced(rates['LiteRT int8'])}, a table look-up {spaced(rates['LUT gather'])}"
        )
    (cell,) = (cell for what, cell in rows.items() if "CIFAR-10" in what)
    points = {point.name: point for point in load_index(shipped_points()).points}
    quoted = re.findall(r"([\w-]+) ([\d.]+) % at ([\d.]+)", cell)
    assert [network for network, _, _ in quoted] == ["ALL-CNN", "ResNet-14", "ResNet-8"]
    for network, gain, loss in quoted:
        assert any(
            point.network == network
            and f"{100 * point.energy_gain.settled:.1f}" == gain
            and f"{100 * point.accuracy_loss:.2f}" == loss
            for point in points.values()
        ), (network, gain)
    sizes = re.findall(r"`?([a-z][\w:,]+?)`? (\d+)", rows["LUTs of a multiplier"])
    assert len(sizes) == 3
    for name, luts in sizes:
        assert netlist(name).resources()["LUT"] == int(luts), name
    for what, overlays in (
        ("PYNQ-Z2", ("z2-hybrid", "z2-exact-dsp")),
        ("ZCU104", ("zcu104-hybrid",)),
    ):
        (cell,) = (cell for row, cell in rows.items() if what in row)
        speeds = re.findall(r"\d+ \d{3}", cell)
        for speed, overlay in zip(speeds, overlays, strict=True):
            figures = results(f"benchmarks/design/{overlay}.json")["figures"]
            assert speed == spaced(figures["images_per_second"]), overlay


def test_look_ups_in_the_comparison() -> None:
    rates = results("benchmarks/emulation/sapphire-rapids.json")["images_per_second"]["resnet8"]
    ratios = [
        row["images_per_second"] / rates["LUT gather"]["images_per_second"]
        for plan, row in rates.items()
        if plan.startswith("smapprox")
    ]
    said = f"{min(ratios):.0f} to {max(ratios):.0f} times as fast as a table look-up"
    assert said in document("docs/comparison.md").text


def test_sizes_of_multipliers() -> None:
    document_sizes, banks = document("docs/multipliers-rtl.md").tables("Sizes")
    counted = 0
    for unsigned, *three, _, signed, luts, chains, _ in document_sizes[1:]:
        circuits = [(unsigned_netlist(unsigned.partition(":")[2]), three[:2])]
        if not signed.startswith("`"):
            circuits.append((netlist(signed), [luts, chains]))
        for circuit, cells in circuits:
            found = circuit.resources()
            assert [int(cell) for cell in cells] == [found["LUT"], found["CARRY4"]], circuit.name
            counted += 1
    assert counted == 8 + 7
    for name, separate, configurable in banks[1:]:
        bank = re.split(r", (?=[a-z])", name)
        assert number(separate) == bank_netlist(bank).resources()["LUT"], name
        assert number(configurable) == configurable_netlist(bank).resources()["LUT"], name


def test_sizes_of_blackboxes() -> None:
    (table,) = document("docs/multipliers-rtl.md").tables("Blackboxes")
    for name, luts, registers in table[1:]:
        description = results(f"hls/rtl/axynq_{netlist_of(name).name}.json")
        usage = description["rtl_resource_usage"]
        assert (luts, registers) == (usage["LUT"], usage["FF"]), name


def test_energy_of_multipliers() -> None:
    (table,) = document("docs/multipliers-rtl.md").tables("Energy")
    measured = results("emulator/data/energy-characterised.json")["characterisation"]["multipliers"]
    stimuli = ("network", "network-stationary", "uniform", "resnet8")
    for name, luts, levels, *cells in table[1:]:
        row = measured[name]
        assert (int(luts), int(levels)) == (row["luts"], row["levels"]), name
        for cell, stimulus in zip(cells, stimuli, strict=True):
            activity = row[stimulus]
            said = f"{activity['zero_delay']:.2f} / {activity['unit_delay']:.2f}"
            assert cell == said, (name, stimulus)


RECIPES = {
    "as it is": "before",
    "plain": "plain",
    "weight noise": "weight-noise",
    "Gaussian": "gaussian",
    "error model": "error-model",
    "behavioural": "behavioural",
}


def recovery(network: str) -> dict[tuple[str, str], float]:
    runs = results(f"examples/retraining/results/recovery_{network}.json")["runs"]
    return {(run["multiplier"], run["recipe"]): run["accuracy"] for run in runs}


def full_name(multiplier: str) -> str:
    return f"smapprox:{multiplier}" if multiplier.isdigit() else plain(multiplier)


def assert_accuracy(cell: str, accuracy: float, *where: str) -> None:
    assert cell == f"{100 * accuracy:.2f}", where


@pytest.mark.parametrize(("place", "network"), [(0, "resnet8"), (1, "resnet14")])
def test_retraining_methods(place: int, network: str) -> None:
    table = document("docs/retraining.md").tables("Methods compared, without tuning")[place]
    found = recovery(network)
    for multiplier, *cells in table[1:]:
        for title, cell in zip(table[0][1:], cells, strict=True):
            accuracy = found[full_name(multiplier), RECIPES[title]]
            assert_accuracy(cell, accuracy, network, multiplier, title)


def after_best_setting(runs: list[Any]) -> float:
    """Mean over the seeds, with the setting that does best on images held out with the first."""

    def setting(run: Any) -> tuple[Any, ...]:
        return run["rate"], run.get("smoothing")

    best = max((run for run in runs if run["seed"] == 0), key=lambda run: run["held_out"])
    found = [run["accuracy"] for run in runs if setting(run) == setting(best)]
    return float(sum(found) / len(found))


def test_gradients_through_products() -> None:
    (table,) = document("docs/retraining.md").tables("Gradients through approximate products")
    runs = results("examples/retraining/results/gradients_resnet8.json")["runs"]
    methods = [plain(title) for title in table[0][2:]]
    assert {run["method"] for run in runs} == {"before", *methods}
    assert {run["multiplier"] for run in runs} == {full_name(row[0]) for row in table[1:]}
    for name, before, *cells in table[1:]:
        of_it = [run for run in runs if run["multiplier"] == full_name(name)]
        (as_it_is,) = (run["accuracy"] for run in of_it if run["method"] == "before")
        assert_accuracy(before, as_it_is, name)
        for method, cell in zip(methods, cells, strict=True):
            by_method = [run for run in of_it if run["method"] == method]
            assert_accuracy(cell, after_best_setting(by_method), name, method)


def test_retraining_of_tuned_networks() -> None:
    (table,) = document("docs/retraining.md").tables("From a tuned network")
    recipes = ("tuned", "error-model, tuned", "multiplier-aware, tuned")
    for multiplier, *cells in table[1:]:
        for network, three in (("resnet8", cells[:3]), ("resnet14", cells[3:])):
            found = recovery(network)
            for cell, recipe in zip(three, recipes, strict=True):
                if cell:
                    accuracy = found[full_name(multiplier), recipe]
                    assert_accuracy(cell, accuracy, network, multiplier, recipe)


def test_tuned_by_other_scales() -> None:
    (table,) = document("docs/retraining.md").tables("Tuning with rescaled weights")
    recipes = {"as it is": "before", "second-order": "tuned", "rescaled": "tuned, rescaled"}
    networks = {"ResNet-8": "resnet8", "ResNet-14": "resnet14", "ALL-CNN": "allcnn"}
    for multiplier, *cells in table[1:]:
        for title, cell in zip(table[0][1:], cells, strict=True):
            network, _, words = title.partition(" ")
            recipe = recipes[words]
            found = recovery(networks[network])
            if cell:
                accuracy = found[full_name(multiplier), recipe]
                assert_accuracy(cell, accuracy, network, multiplier, recipe)
            else:
                assert (full_name(multiplier), recipe) not in found


@pytest.mark.parametrize(("place", "network"), [(0, "resnet8"), (1, "resnet14")])
def test_cross_evaluation(place: int, network: str) -> None:
    table = document("docs/retraining.md").tables("Cross-evaluation")[place]
    runs = results(f"examples/retraining/results/cross_{network}.json")["runs"]
    found = {(run["retrained_for"], run["used_with"]): run["accuracy"] for run in runs}
    for name, *cells in table[1:]:
        trained = "" if name == "nothing" else full_name(name)
        for title, cell in zip(table[0][1:], cells, strict=True):
            used = full_name(title.removeprefix("with "))
            assert_accuracy(cell, found[trained, used], trained, used)


def measured_in(folder: str) -> list[Any]:
    """All results in a folder, one a processor, in the order of their names."""
    return [results(str(path)) for path in sorted((ROOT / folder).glob("*.json"))]


def test_speed_of_retraining() -> None:
    tables = document("docs/retraining.md").tables("Speed")
    measured = measured_in("benchmarks/retraining")
    methods = ("behavioural", "multiplier-aware", "error-model", "weight-noise", "gaussian")
    for table, on_processor in zip(tables, measured, strict=True):
        check_speed_of_retraining(table, on_processor["networks"], methods)


def check_speed_of_retraining(table: Any, networks: Any, methods: tuple[str, ...]) -> None:
    for row, measured in zip(table[1:], networks, strict=True):
        plain_seconds = measured["epoch_seconds"]["plain"]
        hours = "h" in row[1]
        assert number(row[1]) == round(plain_seconds / (3600 if hours else 1)), row
        for cell, method in zip(row[2:-1], methods, strict=True):
            assert number(cell) == measured["relative_to_plain"][method], (row[0], method)
        share = 100 * measured["extraction_of_plain_epoch"]
        assert number(row[-1].split("%")[0]) == round(share, 1), row[0]


def test_speed_of_exploration() -> None:
    """Rows are processes and threads; columns evaluations an hour, untuned and tuned."""
    tables = document("docs/exploration.md").tables("Speed")
    for table, measured in zip(tables, measured_in("benchmarks/exploration"), strict=True):
        rates = {
            (run["processes"], run["threads"], run["tuned"]): run["evaluations_per_hour"]
            for run in measured["runs"]
        }
        assert 2 * len(table[1:]) == len(rates)
        for processes, threads, *cells in table[1:]:
            for cell, tuned in zip(cells, (False, True), strict=True):
                assert number(cell) == rates[int(processes), int(threads), tuned]


def test_images_a_second_with_tiles() -> None:
    table, _, _ = document("docs/emulator.md").tables("Benchmarks")
    rates = results("benchmarks/emulation/sapphire-rapids.json")["images_per_second"]
    names = {"ResNet-8": "resnet8", "keyword spotting": "keyword", "ResNet-18": "resnet18"}
    assert [row[0] for row in table[1:]] == list(names)
    for name, *cells in table[1:]:
        for cell, title in zip(cells, table[0][1:], strict=True):
            measured = rates[names[name]][title.strip("`")]["images_per_second"]
            assert int(cell.replace(" ", "")) == round(measured), (name, title)


def test_microseconds_of_few_images() -> None:
    (table,) = document("docs/emulator.md").tables("Few images")
    latencies = results("benchmarks/latency/results.json")["latencies"]
    names = {"ResNet-8": "resnet8", "keyword spotting": "keyword", "ResNet-18": "resnet18"}
    assert {row[0] for row in table[1:]} == set(names)
    for name, threads, images, *cells in table[1:]:
        (row,) = (
            row
            for row in latencies[names[name]]
            if (row["threads"], row["images"]) == (int(threads), int(images))
        )
        for cell, title in zip(cells, table[0][3:], strict=True):
            best = row["microseconds"][title.strip("`")]["best"]
            assert number(cell) == round(best), (name, threads, images, title)


def test_images_a_second_of_networks_of_all_kinds() -> None:
    _, table, _ = document("docs/emulator.md").tables("Benchmarks")
    networks = results("benchmarks/emulation/operators.json")["networks"]
    plans = [title.strip("`") for title in table[0][3:]]
    for row, measured in zip(table[1:], networks, strict=True):
        assert row[0] == measured["network"]
        assert int(row[1]) == measured["operators"]
        assert float(row[2]) == round(measured["multiplications"] / 1e6, 1)
        for cell, plan in zip(row[3:], plans, strict=True):
            rate = measured["images_per_processor_second"][plan]
            assert int(cell.replace(" ", "")) == round(rate), (row[0], plan)


def test_seconds_until_a_network_is_ready() -> None:
    _, _, table = document("docs/emulator.md").tables("Benchmarks")
    seconds = results("benchmarks/setup/results.json")["seconds"]
    names = {
        "MobileNetV2, 224 × 224": "mobilenetv2",
        "100 small layers": "hundred",
        "ResNet-8": "resnet8",
    }
    for name, *cells in table[1:]:
        rows = [row for row in seconds if row["network"] == names[name]]
        again = []
        for cell, what in zip(cells, ("compile", "emulator"), strict=False):
            slowest = max(row["first"] for row in rows if row["what"] == what)
            assert number(cell) == round(slowest, 2), (name, what)
            again.append(max(row["again"] for row in rows if row["what"] == what))
        assert [number(cell) for cell in cells[2].split(",")] == [round(a, 2) for a in again]


def test_against_evoapprox() -> None:
    (table,) = document("docs/exploration.md").tables("Against EvoApprox")
    found = results("examples/exploration/results/resnet8/table1.json")
    recosted = results("examples/exploration/results/resnet8/tuned-glitches.json")["points"]
    points = {point["name"]: point for point in recosted}
    for name, gain, loss, tuned_loss, settled, times, glitches, glitch_times in table[1:]:
        rows = {row["tuning"]: row for row in found["rows"] if row["configuration"] == name}
        assert gain == f"{100 * rows['none']['energy_gain']:.1f} %"
        for cell, tuning in ((loss, "none"), (tuned_loss, "second-order")):
            assert round(number(cell) - 100 * rows[tuning]["accuracy_loss"], 6) == 0, name
        (best,) = (
            row
            for row in found["summary"]
            if (row["against"], row["its_tuning"], row["front"]) == (name, "none", "tuned")
        )
        point = points[best["best"]]
        for cell, ratio, found_gain in (
            (settled.split(" at ")[0], times, best["gain"]),
            (glitches, glitch_times, point["energy_gain_recosted"]),
        ):
            assert cell == f"{100 * found_gain:.1f} %", name
            assert number(ratio) == round(found_gain / best["its_gain"], 1), name
        assert settled.split(" at ")[1] == f"{100 * point['accuracy_loss']:.2f}", name


def test_points_that_can_be_run() -> None:
    (table,) = document("docs/exploration.md").tables("Points that can be run")
    points = {point.name: point for point in load_index(shipped_points()).points}
    for name, settled, glitches, _, loss, interval in table[1:]:
        point = points[plain(name)]
        assert settled == f"{100 * point.energy_gain.settled:.1f} %"
        assert glitches == f"{100 * point.energy_gain.with_glitches:.1f} %"
        assert loss == f"{100 * point.accuracy_loss:.2f}"
        low, high = point.accuracy_loss_interval
        assert interval == f"{100 * low:.2f} to {100 * high:.2f}"


def test_points_of_little_energy() -> None:
    (table,) = document("docs/low-energy.md").tables("Points")
    points = {point.name: point for point in load_index(shipped_points()).points}
    for name, network, designs, settled, glitches, accuracy, loss, interval in table[1:]:
        point = points[plain(name)]
        assert network == point.network
        assert int(designs) == len(point.multipliers)
        assert settled == f"{100 * point.energy_gain.settled:.1f} %"
        assert glitches == f"{100 * point.energy_gain.with_glitches:.1f} %"
        assert accuracy == f"{100 * point.accuracy:.2f} %"
        assert number(loss) == round(100 * point.accuracy_loss, 2)
        low, high = (number(cell) for cell in interval.split(" to "))
        assert [low, high] == [round(100 * end, 2) for end in point.accuracy_loss_interval]


def test_large_networks() -> None:
    (table,) = document("docs/hybrid.md").tables("Large networks")
    rows = results("benchmarks/large_networks/results.json")["rows"]
    for cells, row in zip(table[1:], rows, strict=True):
        network, overlay, multiplications, starts, host, compiled, seconds, memory, model = cells
        assert (network, plain(overlay)) == (row["network"], row["overlay"])
        assert number(multiplications) == round(row["multiplications"] / 1e6)
        assert int(starts) == row["starts_of_the_core"]
        assert host == (", ".join(row["host_operators"]) or "nothing")
        assert number(compiled) == round(row["compile_seconds"], 1)
        assert number(seconds) == round(row["software_board_seconds_an_image"])
        assert number(memory) == round(row["peak_bytes"] / 2**30, 2)
        assert number(model) == round(row["model_milliseconds_an_image"], 1)
        assert row["equal_to_the_emulator"]
        assert row["peak_bytes"] <= 4 << 30


def test_against_the_kernels_before() -> None:
    (table,) = document("docs/emulator.md").tables("Speed-up over earlier kernels")
    rows = results("benchmarks/emulation/revisions.json")["rows"]
    ratios = {(row["engine"], row["network"], row["plan"]): row["ratio"] for row in rows}
    columns = [title.split() for title in table[0][1:]]
    counted = 0
    for plan, *cells in table[1:]:
        for cell, (engine, network) in zip(cells, columns, strict=True):
            key = plain(engine), network.replace("-", "").lower(), plain(plan)
            assert bool(cell) == (key in ratios), key
            if cell:
                assert cell == f"{ratios[key]:.2f}", key
                counted += 1
    assert counted == len(ratios)
