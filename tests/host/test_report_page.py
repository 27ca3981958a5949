# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The page of ``axynq report`` in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from axynq.emulator import Plan
from axynq.emulator.datasets import handwritten_digits, quantise_examples
from axynq.emulator.energy import EnergyFigures
from axynq.emulator.model import graph
from axynq.emulator.studies.evaluator import Examples
from axynq.host import Overlay
from axynq.host.report import gathering
from axynq.host.report.kept import Front, Power, Sensitivity
from axynq.host.report.page import write
from axynq.host.report.sections import report_page
from tests.browser import browser
from tests.host.test_report import FRONT, POWER
from tests.pages import check_readable, opened, url_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(digits: graph.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything."""
    plan, figures = Plan.parse(digits, "flam=exact|roup:1,4|smapprox:3330"), EnergyFigures()
    test = handwritten_digits("test").evenly(60)
    examples = Examples(quantise_examples(digits.input, test.x), test.y)
    layers = gathering.layers_of(digits, plan, figures)
    names = [layer.name for layer in digits.layers]
    alone = {spec: [0.97 - 0.01 * k * k for k in range(len(names))] for spec in ("a", "b")}
    labels = np.where(np.arange(60) % 7 == 0, 3, test.y)
    found = gathering.Gathered(
        gathering.Subject("m.tflite", "digits", "flam", "digits", "test", "0", "a processor", "any",
                          1, "2026-01-01", "axynq report m.tflite", "characterised"),
        gathering.accuracy_of(test.y, test.y, labels, 10),
        layers,
        gathering.multipliers_of(digits, plan, figures, layers),
        sum(layer.multiplications for layer in layers),
        0.8,
        gathering.errors_of(digits, plan, examples, "auto", 1, lambda count: None),
        len(examples),
        gathering.cycles_of(digits, plan, Overlay.load("z2-mixed16"), 16),
        Sensitivity.model_validate(
            {"model": "m", "examples": 60, "baseline_accuracy": 0.98, "layers": names,
             "alone": alone, "first": alone}
        ),
        Front.model_validate(FRONT),
        Power.model_validate(POWER),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("report") / "report.html"
    write(report_page(found), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_it_is_readable(chromium: Browser, report: Path, width: int, scheme) -> None:
    assert report.stat().st_size < 6_000_000
    with opened(chromium, url_of(report), width, scheme) as page:
        check_readable(page)
        assert page.locator("figure").count() >= 12
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        check_readable(page)


def test_marks_are_told_by_mouse_and_keyboard(chromium: Browser, report: Path) -> None:
    with opened(chromium, url_of(report)) as page:
        figure = page.locator("figure", has_text="Confusion matrix under the plan")
        picture, readout = figure.locator("svg.picture:visible"), figure.locator(".readout")
        picture.locator(".mark").nth(3).hover()
        assert readout.inner_text().startswith("0 taken for 3: ")
        picture.focus()
        page.keyboard.press("ArrowRight")
        assert readout.inner_text().startswith("0 taken for 4: ")
        page.keyboard.press("End")
        assert readout.inner_text().startswith("9 taken for 9: ")
        page.keyboard.press("ArrowDown")
        assert readout.inner_text().startswith("0 taken for 0: ")
        assert picture.locator(".chosen").count() == 1


def test_series_can_be_hidden(chromium: Browser, report: Path) -> None:
    with opened(chromium, url_of(report)) as page:
        figure = page.locator("figure", has_text="Which multiplier computes what")
        bars = figure.locator("svg.wide .s1")
        assert bars.first.is_visible()
        button = figure.get_by_role("button", name="roup:1,4")
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "false"
        assert not bars.first.is_visible()
        page.keyboard.press("Enter")
        assert bars.first.is_visible()


def test_everything_is_reached_by_the_keyboard(chromium: Browser, report: Path) -> None:
    with opened(chromium, url_of(report)) as page:
        pictures = page.locator("svg.picture").count()
        reached = page.evaluate("document.querySelectorAll('svg.picture[tabindex=\"0\"]').length")
        assert reached == pictures
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        targets = page.evaluate(
            "[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))"
        )
        assert targets


def test_on_paper(chromium: Browser, report: Path) -> None:
    with opened(chromium, url_of(report), scheme="dark") as page:
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        assert not page.locator("nav").is_visible()
        check_readable(page)


def test_it_says_the_same_without_a_script(chromium: Browser, report: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url_of(report))
    assert page.locator("svg.wide:visible").count() >= 10
    assert page.locator("svg.wide .mark title").count() > 100
    context.close()
