# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq report``: what is gathered, how it is drawn, and what is refused."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan, load_model, save_model
from axynq.emulator.energy import EnergyFigures, relative_energy
from axynq.emulator.model import graph
from axynq.emulator.model.segments import replace_layers
from axynq.emulator.studies.comparison import Comparison
from axynq.host import Overlay
from axynq.host.cli.power import _content
from axynq.host.power.analysis import Figure, Result
from axynq.host.report import charts, gathering
from axynq.host.report.kept import Front, read_power
from axynq.host.report.page import Page, Picture, Section, Table, as_script, render
from axynq.host.report.sections import MOST_MAPS, _accuracy, report_page
from axynq.host.report.svg import COLOURS, SHAPES, Axis, outline
from axynq.host.report.words import duration
from tests.host.test_cli import json_of

PLAN = "flam=exact|roup:1,4|smapprox:3330+klms=2"


def parsed(drawing: str) -> ElementTree.Element:
    """A picture's SVG as XML."""
    return ElementTree.fromstring(f"<svg {drawing}</svg>")


def numbers(drawing: str) -> list[float]:
    """All coordinates."""
    found = re.findall(r' (?:x|y|x1|y1|x2|y2|width|height|points|d|viewBox)="([^"]*)"', drawing)
    return [float(n) for text in found for n in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]


# --- what is gathered -----------------------------------------------------------------------------


def test_report(axynq, digits: graph.Model, digits_path, digits_data, tmp_path: Path) -> None:
    arguments = ("--data", digits_data, "--plan", PLAN, "--overlay", "z2-mixed16")
    content = json_of(axynq("report", digits_path, *arguments, "--json"))
    assert content["output"] == "report.html"
    evaluated = json_of(
        axynq("evaluate", digits_path, *arguments[:4], "--against-plan", "exact", "--json")
    )
    accuracy = content["accuracy"]
    assert accuracy["accuracy"] == evaluated["accuracy"]
    assert accuracy["interval"] == evaluated["accuracy_interval"]
    assert accuracy["loss"] == evaluated["accuracy_loss"]
    assert accuracy["loss_interval"] == evaluated["accuracy_loss_interval"]
    assert accuracy["p_value"] == evaluated["p_value"]
    assert content["relative_energy"] == evaluated["relative_energy"]
    assert {layer["name"]: layer["weights"] for layer in content["layers"]} == evaluated[
        "weights_by_multiplier"
    ]
    inspected = json_of(axynq("inspect", digits_path, *arguments[2:], "--json"))
    assert content["cycles"]["cycles_per_image"] == inspected["cycles_per_image"]
    assert [step["cycles"] for step in content["cycles"]["steps"]] == [
        step["cycles"] for step in inspected["steps"]
    ]
    confusion = np.array(accuracy["confusion"])
    assert confusion.sum() == accuracy["examples"] == 40
    assert np.trace(confusion) == round(40 * accuracy["accuracy"])
    for key in ("sensitivity", "front", "power"):
        assert content[key] is None
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(page) < 1_000_000
    assert content["subject"]["processor"] in page
    for what in ("--sensitivity", "--front", "--power"):
        assert f"Give {what}" in page or f"give {what}" in page


def test_against_another_network(axynq, digits: graph.Model, digits_path, digits_data, tmp_path):
    last = digits.layers[-1]
    network = replace_layers(digits, [replace(last, weights=last.weights[::-1].copy())])
    save_model(network, tmp_path / "other.tflite")
    arguments = (digits_path, "--data", digits_data, "--against", tmp_path / "other.tflite")
    accuracy = json_of(axynq("report", *arguments, "--json"))["accuracy"]
    evaluated = json_of(axynq("evaluate", *arguments, "--json"))
    assert accuracy["loss"] == evaluated["accuracy_loss"]
    assert accuracy["exact_accuracy"] == evaluated["against"]["accuracy"]
    assert accuracy["exact_accuracy"] != accuracy["accuracy"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Against other.tflite with exact multipliers it loses" in page


def test_energies_add_up(digits: graph.Model) -> None:
    plan, figures = Plan.parse(digits, PLAN), EnergyFigures()
    layers = gathering.layers_of(digits, plan, figures)
    used = gathering.multipliers_of(digits, plan, figures, layers)
    by_layer = sum(sum(layer.energy.values()) for layer in layers)
    by_multiplier = sum(each.energy or 0.0 for each in used)
    whole = sum(layer.multiplications for layer in layers)
    assert by_layer == pytest.approx(by_multiplier)
    assert by_layer / whole == pytest.approx(relative_energy(digits, plan, figures))


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=60))
def test_accuracy_is_that_of_the_predictions(rows: list[tuple[int, int, int]]) -> None:
    labels, exact, chosen = np.array(rows, np.int64).T
    found = gathering.accuracy_of(labels, exact, chosen, 5)
    comparison = Comparison.of(exact == labels, chosen == labels)
    assert (found.loss, found.p_value) == (comparison.loss, comparison.p_value())
    assert found.interval.low <= found.accuracy <= found.interval.high
    for true in range(5):
        for predicted in range(5):
            both = int(((labels == true) & (chosen == predicted)).sum())
            assert found.confusion[true][predicted] == both


def test_predictions_in_parts(digits: graph.Model, monkeypatch) -> None:
    from axynq.emulator.studies.evaluator import Examples

    x = np.random.default_rng(0).integers(-128, 128, (20, *digits.input.shape)).astype(np.int8)
    emulator, done = Emulator(digits, "roup:1,4"), []
    monkeypatch.setattr(gathering, "STEP", 7)
    found = gathering.predictions(emulator, Examples(x, np.zeros(20, np.int64)), done.append)
    assert done == [7, 7, 6]
    assert (found == emulator.run(x).reshape(20, -1).argmax(axis=1)).all()


# --- what other commands left ---------------------------------------------------------------------


def test_everything_there_is(axynq, digits_path, digits_data, tmp_path: Path) -> None:
    sensitivity = axynq("sensitivity", digits_path, "--data", digits_data, "--no-fine", "--json")
    (tmp_path / "s.json").write_text(sensitivity[1])
    (tmp_path / "front.json").write_text(json.dumps(FRONT))
    (tmp_path / "results.json").write_text(json.dumps(POWER))
    code, _, err = axynq(
        "report", digits_path, "--data", digits_data, "--plan", "roup:1,4",
        "--overlay", "z2-roup16", "--sensitivity", tmp_path / "s.json", "--front", tmp_path,
        "--power", tmp_path,
    )  # fmt: skip
    assert code == 0, err
    page = unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "--front is of another network than" in " ".join(err.split())
    assert "--sensitivity is of" not in " ".join(err.split())
    assert page.count("This is of another network than the report: m.") == 1
    assert f"{digits_data} (no parts; used whole)" in page
    assert "1 was measured on the 1,000 test examples, and has an interval; the" in page
    assert "Give --" not in page
    assert "a simulation on a PC: not a measurement of hardware" in page
    assert "this report's plan: 26.3 % saved" in page
    assert "004-filter: 61.0 % saved, 0.50 points lost (-0.10 to 1.10)" in page
    assert "roup, VDD: 2.5 mJ (2.4 to 2.6)" in page


FRONT = {
    "format": "axynq-front",
    "version": 1,
    "model": "m.tflite",
    "baseline_accuracy": 0.98,
    "choice_baseline_accuracy": 0.97,
    "test_examples": 1000,
    "choice_examples": 500,
    "points": [
        {
            "name": "004-filter",
            "level": "filter",
            "energy_gain": 0.61,
            "choice_accuracy": 0.96,
            "choice_loss": 0.01,
            "accuracy": 0.975,
            "accuracy_loss": 0.005,
            "accuracy_loss_interval": [-0.001, 0.011],
            "on_front": True,
            "designs": ["exact", "roup:1,6"],
        },
        {
            "name": "005-layer",
            "level": "layer",
            "energy_gain": 0.5,
            "choice_accuracy": 0.9,
            "choice_loss": 0.07,
            "on_front": False,
        },
    ],
}

QUANTITY = {"mean": 0.0025, "low": 0.0024, "high": 0.0026, "runs": 10}

POWER = {
    "measured": True,
    "device": "software",
    "partial": False,
    "runs": 10,
    "results": [
        {
            "contender": "roup",
            "rail": "VDD",
            "joules": QUANTITY,
            "net_joules": QUANTITY,
            "against_first": None,
            "watts": {"mean": 2.0, "low": None, "high": None, "runs": 1},
            "idle_watts": None,
            "seconds": QUANTITY,
            "runs_left_out": 0,
        }
    ],
}


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--sensitivity", None, "cannot be read"),
        ("--sensitivity", "{}", "`axynq sensitivity --json` prints such a file"),
        ("--front", "{", "cannot be used"),
        ("--front", json.dumps({**FRONT, "format": "other"}), "format"),
        ("--power", json.dumps({**POWER, "measured": False}), "measured"),
        ("--power", '"\udcff"'.encode("utf-8", "surrogateescape"), "cannot be used"),
        ("--overlay", "", "overlay"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    axynq, digits_path, digits_data, tmp_path: Path, option: str, text, message: str
) -> None:
    path = tmp_path / "given.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = axynq("report", digits_path, "--data", digits_data, option, path)
    assert (code, out) == (1, "")
    assert message in " ".join(err.split())
    assert not (tmp_path / "report.html").exists()


def test_power_is_read_as_it_is_written(tmp_path: Path) -> None:
    single, several = Figure(0.1, np.inf, 1), Figure(0.002, 0.0001, 5)
    results = [
        Result("a", "VDD", several, single, None, several, several, several, 0),
        Result("b", "VDD", several, None, several, single, None, several, 1),
    ]
    content = _content(results, 10, False, tmp_path, "software")
    (tmp_path / "results.json").write_text(json.dumps(content))
    power = read_power(tmp_path)
    found = power.results
    assert power.device == "software"
    assert [each.contender for each in found] == ["a", "b"]
    assert found[0].joules.high == pytest.approx(0.0021)
    assert found[0].net_joules is not None
    assert found[0].net_joules.low is None
    assert found[1].against_first is not None


def test_accuracies_that_are_too_few(axynq, digits_path, digits_data, tmp_path: Path) -> None:
    wrong = {"model": "m", "examples": 1, "baseline_accuracy": 1, "layers": ["a", "b"],
             "alone": {"exact": [1]}, "first": {"exact": [1, 1]}}  # fmt: skip
    (tmp_path / "s.json").write_text(json.dumps(wrong))
    arguments = ("--data", digits_data, "--sensitivity", tmp_path / "s.json")
    code, _, err = axynq("report", digits_path, *arguments)
    assert code == 1
    assert "has not an accuracy for each layer" in err


def test_no_jinja(axynq, digits_path, digits_data, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    code, _, err = axynq("report", digits_path, "--data", digits_data)
    assert code == 1
    assert "pip install 'axynq[report]'" in err


# --- names are texts ------------------------------------------------------------------------------

EVIL = "</title></script><script>document.title='evil'</script>&\"'"


def test_more_multipliers_than_are_drawn_and_one_of_unknown_energy(
    axynq, digits_path: Path, digits_data: Path, tmp_path: Path
) -> None:
    """A table is data without a circuit, so that nobody has measured its energy."""
    np.savez(tmp_path / "own.npz", m=np.outer(np.arange(256), np.arange(256)) & ~3)
    table = f"table:{tmp_path}/own.npz#m"
    specs = [table, *(f"roup:{p},{r}" for p in (0, 1, 2) for r in range(1, 9))]
    path = tmp_path / "report.html"
    code, _, err = axynq("report", digits_path, "--data", digits_data, "--limit", 4, "--plan",
                         f"flam={'|'.join(specs)}", "-o", path)  # fmt: skip
    assert code == 0, err
    text = " ".join(re.sub(r"<[^>]*>", "", path.read_text()).split()).replace("&#39;", "'")
    assert "The plan's multiplications take an unknown share of the energy" in text
    assert f"There is no energy figure for {escape(table)}." in text
    found = re.search(rf"The {MOST_MAPS} of (\d+) multipliers that compute most are drawn.", text)
    assert found is not None
    assert MOST_MAPS < int(found[1]) <= len(specs)  # some ROUP ones are the same


@pytest.mark.parametrize(
    ("seconds", "text"), [(89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_names_are_no_markup(axynq, digits_path: Path, digits_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a<script>alert(1)<"
    folder.mkdir()
    save_model(load_model(digits_path), folder / "n.tflite")
    Plan.uniform("roup:1,4").save(folder / "p.json")
    arguments = ("--data", digits_data, "--plan", folder / "p.json")
    code, _, err = axynq("report", folder / "n.tflite", *arguments)
    assert code == 0, err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1
    assert page.count("a&lt;script&gt;alert(1)&lt;") >= 4


def test_names_of_layers_are_no_markup(digits: graph.Model) -> None:
    operators = tuple(replace(op, name=EVIL + op.name) for op in digits.operators)
    network = replace(digits, name=EVIL, operators=operators)
    plan, figures = Plan.parse(network, PLAN), EnergyFigures()
    layers = gathering.layers_of(network, plan, figures)
    labels = np.arange(10)
    words = ("", EVIL, EVIL, EVIL, "test", "0", EVIL, "generic", 1, "", EVIL, EVIL)
    found = gathering.Gathered(
        gathering.Subject(*words), gathering.accuracy_of(labels, labels, labels, 10), layers,
        gathering.multipliers_of(network, plan, figures, layers), 1, 1.0,
        tuple(gathering.LayerErrors(layer.name, 1.0, 0.0, 0.1, 0.0, 20.0) for layer in layers), 1,
        gathering.cycles_of(network, plan, Overlay.load("z2-mixed16"), 4), None,
        Front.model_validate({**FRONT, "model": EVIL}), None,
    )  # fmt: skip
    page = render(report_page(found))
    assert page.count("<script") == page.count("</script") == 1
    assert page.count("&lt;script&gt;") > 20


@given(st.text(max_size=40))
def test_texts_in_pages_are_literal(text: str) -> None:
    table = Table(text, (text, text), [(text, text)])
    picture = Picture(
        text, text, lambda width: charts.bars([(text, [charts.Part(0, 1.0, text)])], text, width),
        table, {0: text, 1: text},
    )  # fmt: skip
    section = Section(text, [text], [(text, text)], [picture], [table], text, [text])
    page = render(Page(text, [text], [section], {text: text}))
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "<img" not in page
    record = re.search(r'id="record">(.*?)</script>', page, re.DOTALL)
    assert record is not None
    assert json.loads(record[1]) == {text: text}


def test_json_in_a_page_ends_no_script() -> None:
    assert "<" not in as_script({"a": "</script><!--<script>"})


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_markers_are_in_their_place(shape: str) -> None:
    path = outline(shape, 50, 60, 10)
    assert path.endswith("z")
    if shape != "circle":
        x, y = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path), float).T
        assert abs(x - 50).max() <= 12
        assert abs(y - 60).max() <= 12
        assert (x.max() - x.min(), y.max() - y.min()) > (15, 5)


finite = st.floats(-1e9, 1e9)


@given(finite, finite, st.booleans())
def test_axes_have_round_figures_within(a: float, b: float, logarithmic: bool) -> None:
    low, high = sorted((abs(a) + 1e-3, abs(b) + 1e-3) if logarithmic else (a, b))
    axis = Axis.around([low, high], 0, 800, logarithmic)
    assert axis.low < low <= high < axis.high or low == high
    ticks = axis.ticks()
    assert len(ticks) <= 45
    places = [axis.at(tick) for tick in ticks]
    assert all(-1e-6 <= place <= 800 + 1e-6 for place in places)
    assert places == sorted(places)


@given(
    st.lists(st.tuples(finite, finite), min_size=1, max_size=8),
    st.sampled_from([350, 860]),
)
def test_points_are_within_the_picture(places: list[tuple[float, float]], width: int) -> None:
    series = [charts.Series(k, [charts.Point(x, y, "p")], True) for k, (x, y) in enumerate(places)]
    drawing = charts.points(series, charts.Plane("x", "y"), width)
    svg = parsed(drawing)
    assert len(svg.findall(".//path")) == len(places)
    assert all(-50 <= n <= max(width, 500) for n in numbers(drawing))


def test_bars_are_as_long_as_their_values() -> None:
    rows = [("a", [charts.Part(0, 1.0, "one"), charts.Part(1, 2.0, "two")]), ("b", [])]
    svg = parsed(charts.bars(rows, "things", 860))
    first, second = (float(rect.get("width", 0)) for rect in svg.findall("rect"))
    assert second == pytest.approx(2 * first, abs=0.1)
    assert [title.text for title in svg.iter("title")] == ["one", "two"]


def test_a_matrix_has_all_cells() -> None:
    counts = np.arange(9).reshape(3, 3)
    svg = parsed(charts.matrix(counts, ["x", "<y>", "z"], 350))
    titles = [title.text or "" for title in svg.iter("title")]
    assert len(titles) == 9
    assert titles[5] == "<y> taken for z: 5 of 12 (41.7 %)"


def pixels(text: str) -> np.ndarray:
    """A PNG's pixels, [rows, columns, 3]."""
    content = base64.b64decode(text)
    columns, rows = struct.unpack(">II", content[16:24])
    at, data = 8, b""
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", content[at + 8 + length : at + 12 + length])
        assert zlib.crc32(kind + body) == check
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(rows, 1 + 3 * columns)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:].reshape(rows, columns, 3)


def test_pictures_hold_their_pixels() -> None:
    given_ = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    assert (pixels(charts.png(given_)) == given_).all()


def test_error_maps_show_the_signs() -> None:
    error = np.zeros((511, 256), np.int32)
    error[:255] = -10
    error[256:] = 10
    drawing = charts.error_map(error, (-255, -128), 10.0, 350)
    image = re.search(r"base64,([^\"]+)", drawing)
    assert image is not None
    shown = pixels(image[1])
    assert shown.shape == (128, 256, 3)
    assert tuple(shown[0, 0]) == charts.LOW
    assert tuple(shown[0, -1]) == charts.HIGH
    marks = [title.text or "" for title in parsed(drawing).iter("title")]
    assert len(marks) == charts.REGIONS**2
    assert "mean error -10.0, from -10 to -10" in marks[0]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_block_means(rows: int, columns: int, size: int) -> None:
    values = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns) ** 2
    means = charts.block_means(values, size)
    for i in range(means.shape[0]):
        for j in range(means.shape[1]):
            block = values[i * size : (i + 1) * size, j * size : (j + 1) * size]
            assert means[i, j] == pytest.approx(block.mean())


def test_there_is_a_shape_for_each_colour() -> None:
    assert len(SHAPES) == COLOURS


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ([1, 1, 0, 0], "Both classify every example alike."),
        ([1, 0, 1, 0], "chance alone gives one this large in more than 5 % of samples."),
        ([0] * 4, "chance alone"),
    ],
)
def test_differences_that_say_nothing(right: list[int], said: str) -> None:
    labels, exact = np.ones(4, np.int64), np.array([1, 1, 0, 0], np.int64)
    found = gathering.accuracy_of(labels, exact, np.array(right, np.int64), 2)
    assert said in _accuracy(found, "exact multipliers").text[0]
