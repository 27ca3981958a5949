# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Pages of work that goes on, that has ended, or that was killed; ``axynq view``."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from axynq.emulator.datasets import handwritten_digits
from axynq.emulator.errors import DataError
from axynq.emulator.plan import Plan
from axynq.host.report import live, progress
from axynq.host.report.kept import read_front
from axynq.host.report.live import PAGE, SearchPage, TrainingPage, both, following, page_beside
from axynq.host.report.page import render, swatch
from axynq.host.report.progress import Search, Training, progress_page, read_record
from axynq.host.report.serving import Server
from axynq.host.report.viewing import left_in
from tests.browser import browser
from tests.host.test_cli import json_of
from tests.host.test_report import FRONT
from tests.pages import check_readable, opened, url_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RECIPE = {"epochs": 3, "rate": 0.1, "clip": None}

SMALL = (
    "--levels", "layer,filter", "--evaluations", 16, "--population", 8, "--search-examples", 20,
    "--choice-examples", 20, "--finalists", 4, "--no-estimate",
)  # fmt: skip


def candidate(energy: float, accuracy: float, level: str = "layer") -> Any:
    plan = Plan.uniform("roup:1,4")
    return SimpleNamespace(level=level, energy=energy, accuracy=accuracy, plan=plan)


def epoch(number: int, loss: float = 0.5) -> Any:
    return SimpleNamespace(number=number, loss=loss, accuracy=0.5 + number / 10, seconds=1.0)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are written whenever something is known."""
    monkeypatch.setattr(live, "PAUSE", 0.0)


# --- searches -------------------------------------------------------------------------------------


def test_a_search_is_followed(tmp_path: Path, said: list[str], at_once: None) -> None:
    page = SearchPage(tmp_path, "network", said.append)
    page("first-order estimate", 0, 1, [])
    page("layer level", 1, 8, [candidate(0.5, 0.9)])
    page("layer level", 2, 8, [candidate(0.5, 0.9), candidate(0.4, 0.8)])
    record = read_record(tmp_path / PAGE)
    assert isinstance(record, Search)
    assert record.ended is None
    assert [(s.name, s.done, s.of, len(s.front)) for s in record.stages] == [
        ("first-order estimate", 1, 1, 0), ("layer level", 2, 8, 2),
    ]  # fmt: skip
    assert record.stages[1].front[1].multipliers == "roup:1,4"
    page("filter level", 1, 8, [])
    page.end("finished")
    record = read_record(tmp_path / PAGE)
    assert isinstance(record, Search)
    assert record.ended == "finished"
    assert [len(s.front) for s in record.stages] == [0, 2, 0]
    assert not said


def test_pages_are_seldom(tmp_path: Path, said: list[str], monkeypatch) -> None:
    written: list[Path] = []
    clock = iter(np.arange(0.0, 1000.0, 0.01))
    monkeypatch.setattr(live.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(live, "write", lambda page, path: written.append(path))
    page = SearchPage(tmp_path, "network", said.append)
    for k in range(2000):
        page("layer level", k, 2000, [])
    spent = float(next(clock))
    assert 2 <= len(written) <= 2 + spent / live.PAUSE


def test_what_is_shown_last_is_the_last(tmp_path: Path, said: list[str]) -> None:
    page = SearchPage(tmp_path, "network", said.append)
    for k in range(5):
        page("layer level", k, 8, [candidate(0.5, 0.9)])
    page.end("interrupted")
    record = read_record(tmp_path / PAGE)
    assert isinstance(record, Search)
    assert record.stages[0].done == 4
    assert "Rerun the command to resume" in (tmp_path / PAGE).read_text()


@pytest.mark.parametrize(
    ("raised", "ended"),
    [(KeyboardInterrupt, "interrupted"), (SystemExit, "interrupted"), (ValueError, "failed")],
)
def test_how_it_ended_is_known(tmp_path: Path, said: list[str], raised, ended: str) -> None:
    def work() -> None:
        with following(SearchPage(tmp_path, "n", said.append)) as page:
            page("layer level", 1, 8, [])
            raise raised

    with pytest.raises(raised):
        work()
    assert read_record(tmp_path / PAGE).ended == ended


def test_a_front_that_cannot_be_read_costs_nothing(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "front.json").write_text("{")
    with following(SearchPage(tmp_path, "n", said.append)):
        pass
    assert read_record(tmp_path / PAGE).ended == "finished"
    assert not said


# --- nothing that goes wrong reaches the work -----------------------------------------------------


def broken(front: Any) -> Any:
    raise RuntimeError("a fault")


@pytest.mark.parametrize("what", ["no folder", "a folder", "jinja2", "a fault", "no share"])
def test_an_error_ends_the_page_alone(tmp_path: Path, said, monkeypatch, at_once, what) -> None:
    folder, accuracy = tmp_path, 0.9
    if what == "no folder":
        folder = tmp_path / "none"
    elif what == "a folder":
        (tmp_path / PAGE).mkdir()
    elif what == "jinja2":
        monkeypatch.setitem(sys.modules, "jinja2", None)
    elif what == "a fault":
        monkeypatch.setattr(live, "in_short", broken)
    else:
        accuracy = 2.0
    called: list[str] = []
    with following(SearchPage(folder, "n", said.append)) as page:
        report: Callable[..., None] = both(lambda what, *others: called.append(what), page)
        for name in ("layer level", "layer level", "filter level"):
            report(name, 1, 8, [candidate(0.5, accuracy)])
    assert called == ["layer level", "layer level", "filter level"]
    assert len(said) == 1
    assert said[0].startswith("there is no page of the progress: ")


def test_ctrl_c_while_a_page_is_written_goes_on(tmp_path: Path, said, monkeypatch) -> None:
    def interrupted(page: object, path: Path) -> None:
        raise KeyboardInterrupt

    page = SearchPage(tmp_path, "n", said.append)
    monkeypatch.setattr(live, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        page("layer level", 1, 8, [])


# --- trainings ------------------------------------------------------------------------------------


def training(path: Path) -> Training:
    record = read_record(path)
    assert isinstance(record, Training)
    return record


def test_a_training_is_followed(tmp_path: Path, said: list[str], at_once: None) -> None:
    output = tmp_path / "better.tflite"
    page = TrainingPage(output, "network", "roup:1,4", RECIPE, said.append)
    for number in (0, 1):
        for step in (1, 2):
            page(epoch(number), step, 2, 0.25)
    record = training(tmp_path / "better.progress.html")
    assert [e.number for e in record.history] == [0, 1]
    assert (record.step, record.steps, record.loss, record.epochs) == (2, 2, 0.25, 3)
    assert "Epoch 2 of 3, step 2 of 2." in (tmp_path / "better.progress.html").read_text()
    page.results([epoch(k) for k in range(4)], {"plan, after": 0.75})
    page.end("finished")
    record = training(page_beside(output))
    assert [e.number for e in record.history] == [0, 1, 2, 3]
    for resumes, words in ((False, "start over; with --checkpoint it would"), (True, "resume.")):
        again = TrainingPage(output, "n", "roup:1,4", RECIPE, said.append, resumes)
        again.end("interrupted")
        assert f"Rerun the command to {words}" in page_beside(output).read_text()
    assert record.results == {"plan, after": 0.75}
    assert not said


def test_a_resumed_training_has_its_first_epochs(tmp_path: Path, said, at_once) -> None:
    output = tmp_path / "better.tflite"

    def epochs(recipe: dict[str, Any]) -> list[int]:
        page = TrainingPage(output, "network", "roup:1,4", recipe, said.append)
        page(epoch(2), 1, 2, 0.5)
        return [e.number for e in training(page_beside(output)).history]

    page = TrainingPage(output, "network", "roup:1,4", RECIPE, said.append)
    for number in range(2):
        page(epoch(number), 1, 2, 0.5)
    assert epochs(RECIPE) == [0, 1, 2]
    assert epochs({**RECIPE, "rate": 0.2}) == [2]  # another training
    page_beside(output).write_text("other")
    assert epochs(RECIPE) == [2]
    page_beside(output).unlink()
    assert epochs(RECIPE) == [2]
    assert not said


def test_a_training_that_diverges_is_shown(tmp_path: Path, said, at_once) -> None:
    page = TrainingPage(tmp_path / "b.tflite", "network", "roup:1,4", RECIPE, said.append)
    page(epoch(0), 1, 2, float("nan"))
    page(epoch(1, float("nan")), 1, 2, float("inf"))
    assert [e.loss_text for e in training(tmp_path / "b.progress.html").history] == [
        "", "no number",
    ]  # fmt: skip
    assert not said


def test_devices_have_no_page(said: list[str], at_once: None) -> None:
    page = TrainingPage(Path("/dev/null"), "network", "roup:1,4", RECIPE, said.append)
    page(epoch(0), 1, 2, 0.5)
    assert not page.follower.path.exists()
    assert not said


# --- view -----------------------------------------------------------------------------------------


def test_view(axynq, tmp_path: Path, said: list[str], at_once: None) -> None:
    search = SearchPage(tmp_path, "network", said.append)
    search("layer level", 3, 8, [candidate(0.5, 0.9)])
    (tmp_path / "front.json").write_text(json.dumps(FRONT))  # of an earlier search
    content = json_of(axynq("view", tmp_path, "--json"))
    assert content["progress"]["stages"][0]["done"] == 3
    assert content["front"] is None
    code, out, _ = axynq("view", tmp_path)
    assert code == 0
    assert "layer level: 3 of 8" in out
    assert re.search(r"Last written \d+ (s|min) ago\.", out)
    search.end("finished")
    code, out, _ = axynq("view", tmp_path, "--output", tmp_path / "seen.html")
    assert code == 0
    assert "004-filter" in out
    assert "Finished after" in (tmp_path / "seen.html").read_text()
    assert json_of(axynq("view", tmp_path / PAGE, "--json"))["front"]["test_examples"] == 1000
    (tmp_path / PAGE).unlink()
    assert json_of(axynq("view", tmp_path, "--json"))["progress"] is None
    page = TrainingPage(tmp_path / "better.tflite", "n", "roup:1,4", RECIPE, said.append)
    page(epoch(0), 1, 2, 0.5)
    for place in ("better.tflite", "better.progress.html"):
        content = json_of(axynq("view", tmp_path / place, "--json"))
        assert content["progress"]["plan"] == "roup:1,4"
    assert axynq("view", tmp_path / "better.tflite")[0] == 0


@pytest.mark.parametrize("text", ["", '<script type="application/json" id="record">{}</script>'])
def test_what_cannot_be_viewed_is_one_line(axynq, tmp_path: Path, text: str) -> None:
    code, out, err = axynq("view", tmp_path)
    assert (code, out) == (1, "")
    assert "has nothing to view" in err
    (tmp_path / PAGE).write_text(text)
    code, out, err = axynq("view", tmp_path)
    assert (code, out) == (1, "")
    assert "is not a page of progress" in err


@pytest.fixture
def served(tmp_path: Path, said: list[str]) -> Iterator[Server]:
    SearchPage(tmp_path, "network", said.append)("layer level", 3, 8, [candidate(0.5, 0.9)])
    with Server(0, lambda: render(left_in(tmp_path).page)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answer(server: Server, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def test_it_is_served_to_this_machine_alone(served: Server, tmp_path: Path) -> None:
    assert served.server_address[0] == "127.0.0.1"
    status, text = answer(served, "/")
    assert status == 200
    assert "layer level: 3 of 8" in text
    assert answer(served, "/", f"localhost:{served.server_port}")[0] == 200
    assert answer(served, "/", f"evil.example:{served.server_port}")[0] == 403
    assert answer(served, "/../../etc/passwd")[0] == 404
    (tmp_path / PAGE).unlink()
    status, text = answer(served, "/")
    assert status == 503
    assert "has nothing to view" in text
    with pytest.raises(DataError, match="cannot be had"):
        Server(served.server_port, str)


# --- real work ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_changes_no_result(axynq, digits_path, digits_data, tmp_path: Path) -> None:
    (tmp_path / "without" / PAGE).mkdir(parents=True)  # cannot be written
    fronts = []
    for folder in ("with", "without"):
        code, _, err = axynq("explore", digits_path, "--data", digits_data, "--output",
                             tmp_path / folder, *SMALL)  # fmt: skip
        assert code == 0, err
        assert ("there is no page of the progress" in err) == (folder == "without")
        fronts.append(read_front(tmp_path / folder))
    assert fronts[0] == fronts[1]
    content = json_of(axynq("view", tmp_path / "with", "--json"))
    assert content["progress"]["ended"] == "finished"
    names = [stage["name"] for stage in content["progress"]["stages"]]
    assert names == ["layer level", "filter level", "choice examples", "all test examples"]
    assert len(content["front"]["points"]) == len(fronts[0].points)


@pytest.mark.slow
def test_a_retraining_leaves_its_page(axynq, digits_path, digits_data, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    output = tmp_path / "better.tflite"
    content = json_of(
        axynq("retrain", digits_path, "--data", digits_data, "--plan", "smapprox:2222", "--output",
              output, "--epochs", 2, "--batch", 8, "--validation", 10, "--json")
    )  # fmt: skip
    record = training(page_beside(output))
    assert record.ended == "finished"
    assert [e.accuracy for e in record.history] == [e["accuracy"] for e in content["epochs"]]
    assert record.results["plan, after"] == content["accuracy_after"]


WORK = {
    "explore": ("--output", "{folder}", *map(str, SMALL), "--evaluations", "100000"),
    "retrain": ("--output", "{folder}/better.tflite", "--plan", "roup:2,6", "--epochs", "10000",
                "--batch", "8", "--validation", "10"),
}  # fmt: skip


def stay(page: Page) -> None:
    """Let a page not load itself again."""
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Continue").wait_for()
    page.wait_for_timeout(1500)  # it may have been loading again just then
    page.get_by_role("button", name="Continue").wait_for()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["explore", pytest.param("retrain", marks=pytest.mark.thorough)]
)
def test_a_killed_command_leaves_its_page(
    axynq, chromium, digits_path, tmp_path: Path, command: str
) -> None:
    if command == "retrain":
        pytest.importorskip("torch")
    test = handwritten_digits("test")
    np.savez(tmp_path / "data.npz", x=test.x[:60], y=test.y[:60])
    page = tmp_path / (PAGE if command == "explore" else f"better.{PAGE}")
    words = [word.format(folder=tmp_path) for word in WORK[command]]
    process = subprocess.Popen(
        [sys.executable, "-m", "axynq.host.cli", command, digits_path, "--data",
         tmp_path / "data.npz", *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not has_curve(page):
            assert process.poll() is None, f"it ended by itself: {process.returncode}"
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert read_record(page).ended is None
    with opened(chromium, url_of(page)) as shown:
        stay(shown)
        check_readable(shown)
        assert shown.locator("#age").inner_text().startswith("Written")
        assert shown.locator("svg.wide .mark").count() >= 1
    content = json_of(axynq("view", page, "--json"))
    assert content["progress"]["ended"] is None


def has_curve(page: Path) -> bool:
    """Whether something is drawn."""
    if not page.is_file():
        return False
    record = read_record(page)
    if isinstance(record, Search):
        return any(stage.front for stage in record.stages)
    return len(record.history) > 1


# --- in a browser ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_loads_itself_again(chromium, tmp_path: Path, said, at_once, monkeypatch) -> None:
    monkeypatch.setattr(progress, "REFRESH", 1)
    page = SearchPage(tmp_path, "network", said.append)
    page("layer level", 1, 8, [candidate(0.5, 0.9)])
    with opened(chromium, url_of(tmp_path / PAGE)) as shown:
        shown.locator("summary").first.click()
        page("layer level", 2, 8, [candidate(0.5, 0.9)])
        shown.get_by_text("layer level: 2 of 8").wait_for()
        assert shown.locator("details").first.get_attribute("open") is not None
        stay(shown)
        page("layer level", 3, 8, [candidate(0.5, 0.9)])
        shown.wait_for_timeout(2500)
        assert shown.get_by_text("layer level: 2 of 8").is_visible()
        shown.get_by_role("button", name="Continue").click()
        shown.get_by_text("layer level: 3 of 8").wait_for()
        page.end("finished")
        shown.get_by_text("Finished after").wait_for()
        assert shown.locator("#pause").count() == 0


def test_it_is_readable(chromium, tmp_path: Path, said, at_once) -> None:
    """Narrow and dark; a killed command's is read wide and light."""
    search = SearchPage(tmp_path, "network", said.append)
    search("layer level", 1, 8, [candidate(0.5, 0.9), candidate(0.3, 0.7)])
    train = TrainingPage(tmp_path / "better.tflite", "network", "roup:1,4", RECIPE, said.append)
    for number in range(3):
        train(epoch(number), 1, 2, 0.5)
    for path in (tmp_path / PAGE, tmp_path / f"better.{PAGE}"):
        with opened(chromium, url_of(path), 400, "dark") as page:
            stay(page)
            check_readable(page)


def test_pages_without_work_ask_for_nothing(said: list[str], tmp_path: Path) -> None:
    page = SearchPage(tmp_path, "network", said.append)
    page.end("finished")
    made = progress_page(read_record(tmp_path / PAGE))
    assert made.refresh is None
    assert "http" not in render(made).replace("http-equiv", "")


def test_a_level_looks_the_same_in_all_pictures(tmp_path: Path, said, at_once) -> None:
    page = SearchPage(tmp_path, "network", said.append)
    seen = [candidate(0.5, 0.9)]
    for stage in ("layer level", "filter level", "weights for 2 plans, epochs", "layer level"):
        page(stage, 1, 8, seen)
    (tmp_path / "front.json").write_text(json.dumps(FRONT))
    page.end("finished")
    sections = progress_page(page.record, read_front(tmp_path)).sections
    front, so_far = (section.pictures[0] for section in sections[:2])
    looks = {name: number for number, name in so_far.legend.items()}
    assert set(looks) == {"layer level, search 1", "layer level, search 2", "filter level",
                          "weights for 2 plans, epochs"}  # fmt: skip
    found = {name: number for number, name in front.legend.items()}
    assert found["filter level"] == looks["filter level"]
    for search in (1, 2):
        assert swatch(looks[f"layer level, search {search}"]) == swatch(found["layer level"])
    assert len({swatch(number) for number in looks.values()}) == 3


def test_a_long_time_is_told_roughly(tmp_path: Path) -> None:
    record = Search(network="n", command="c", started=0, updated=9, seconds_left=4e6)
    assert "takes more than 1000 h." in progress_page(record).lead[0]
