# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Points that documents quote: their files, their index, and what is measured of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan, load_model
from axynq.emulator.datasets import Dataset, handwritten_digits, quantise_examples
from axynq.emulator.errors import DataError, PlanError
from axynq.emulator.studies.comparison import Comparison
from axynq.emulator.studies.search.store import Store
from axynq.host.points import (
    SAMPLE,
    SECTION,
    Files,
    Index,
    Point,
    RightOn,
    card,
    differences,
    figures_of,
    images_of,
    load_index,
    measure,
    read_point,
    save_index,
    shipped_points,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "models" / "points"
INDEX = load_index(FOLDER)

every_point = pytest.mark.parametrize("point", INDEX.points, ids=lambda point: point.name)


def test_the_shipped_folder_is_this_one() -> None:
    assert shipped_points().resolve() == FOLDER.resolve()


def test_every_file_is_of_a_point() -> None:
    named = {file for point in INDEX.points for file in (point.model, point.plan)}
    assert {path.name for path in FOLDER.iterdir()} == named | {"index.json"}


@every_point
def test_files_and_index_agree(point: Point) -> None:
    """Plans fit, and multipliers and energies are those that the index has, computed anew."""
    made_of = read_point(point, FOLDER)
    assert differences(point, made_of, None) == []
    layers = [(layer.name, layer.kernel.shape) for layer in made_of.model.layers]
    assert layers == [(layer.name, layer.kernel.shape) for layer in made_of.exact.layers]


@every_point
def test_documents_quote_it(point: Point) -> None:
    for document in point.quoted_by:
        assert f"`{point.name}`" in (ROOT / document).read_text(encoding="utf-8")


@every_point
def test_a_sample_of_the_images_gives_the_stored_counts(point: Point, cifar10: Dataset) -> None:
    """By the emulator itself; examples/points/evaluate.py does all images."""
    assert images_of(cifar10, INDEX.images.name, "test") == INDEX.images
    made_of, some = read_point(point, FOLDER), cifar10.evenly(SAMPLE)
    right = []
    for model, plan in ((made_of.exact, Plan.uniform("exact")), (made_of.model, made_of.plan)):
        outputs = Emulator(model, plan).run(quantise_examples(model.input, some.x))
        right.append(outputs.reshape(SAMPLE, -1).argmax(axis=1) == some.y)
    assert RightOn.of(Comparison.of(*right)) == point.sample


def test_the_card_says_what_the_index_says() -> None:
    text = (ROOT / "models" / "README.md").read_text(encoding="utf-8")
    begin, end = map(re.escape, SECTION)
    (section,) = re.findall(f"{begin}\n\n(.*)\n\n{end}", text, re.DOTALL)
    assert section == card(INDEX)


# --- points of the digits, made here -------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    digits = handwritten_digits("test").evenly(150)
    np.savez(tmp_path / "digits.npz", x=digits.x, y=digits.y)
    return tmp_path / "digits.npz"


@pytest.fixture
def made(tmp_path: Path, digits_path: Path) -> tuple[Path, Index, Dataset]:
    """A folder with a point, its index, and the images."""
    folder = tmp_path / "models" / "points"
    folder.mkdir(parents=True)
    shutil.copy(digits_path, folder.parent)
    shutil.copy(digits_path, folder / "a.tflite")
    Plan.uniform("roup:2,8").save(folder / "a.json")
    network = load_model(digits_path)
    made_of = Files(network, Plan.uniform("roup:2,8"), network)
    images = handwritten_digits("test").evenly(150)
    right_on, sample = measure(made_of, images)
    point = Point(
        name="a", network="digits", model="a.tflite", plan="a.json", exact=digits_path.name,
        multipliers=("roup:2,8",), energy_gain=made_of.energy_gain(), right_on=right_on,
        sample=sample, made_by="by hand", quoted_by=(),
        **figures_of(right_on.comparison),  # type: ignore[arg-type]
    )  # fmt: skip
    index = Index(images=images_of(images, "digits", "test"), points=(point,))
    save_index(index, folder)
    return folder, index, images


def test_an_index_is_read_as_it_was_written(made) -> None:
    folder, index, images = made
    assert load_index(folder) == index
    (point,) = index.points
    made_of = read_point(point, folder)
    assert differences(point, made_of, measure(made_of, images)) == []


def test_measuring_is_resumed(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, index, images = made
    made_of = read_point(index.points[0], folder)
    with Store(tmp_path / "s.sqlite") as store:
        first = measure(made_of, images, store)
        monkeypatch.setattr("axynq.emulator.studies.evaluator.Evaluator.right", None)
        assert measure(made_of, images, store) == first


def _script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / "points" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_script_names_what_differs(made, data: Path, tmp_path: Path) -> None:
    folder, _, _ = made
    arguments = ("--data", data, "--folder", folder, "--kept", tmp_path / "s.sqlite")
    fine = _script("evaluate.py", *arguments)
    assert fine.returncode == 0, fine.stderr
    assert "yes" in fine.stdout
    Plan.uniform("roup:2,6").save(folder / "a.json")
    wrong = _script("evaluate.py", *arguments)
    assert wrong.returncode == 1
    assert "a: multipliers are roup:2,6" in wrong.stderr
    assert "a: energy gain settled is" in wrong.stderr
    assert "instead of" in wrong.stderr
    (folder / "index.json").write_text("{}")
    broken = _script("evaluate.py", *arguments)
    assert broken.returncode == 1
    assert "are not valid" in broken.stderr
    assert "Traceback" not in broken.stderr


def test_points_are_added_replaced_and_removed(made, data: Path, tmp_path: Path) -> None:
    folder, before, _ = made
    cards = folder.parent / "README.md"
    cards.write_text(f"# Cards\n\n{SECTION[0]}\n\n{SECTION[1]}\n\nThe end.\n")
    network = folder.parent / "digits_int8.tflite"
    Plan.uniform("roup:2,6").save(tmp_path / "plan.json")
    arguments = (
        *("--network", "digits", "--exact", network, "--model", network, "--data", data),
        *("--plan", tmp_path / "plan.json", "--made-by", "by hand", "--images", "digits"),
        *("--folder", folder, "--kept", tmp_path / "s.sqlite"),
    )
    added = _script("add.py", "b", *arguments)
    assert added.returncode == 0, added.stderr
    index = load_index(folder)
    assert {point.name for point in index.points} == {"a", "b"}
    assert [point for point in index.points if point.name == "a"] == list(before.points)
    (point,) = (point for point in index.points if point.name == "b")
    assert point.multipliers == ("roup:2,6",)
    assert differences(point, read_point(point, folder), None) == []
    text = f"# Cards\n\n{SECTION[0]}\n\n{card(index)}\n\n{SECTION[1]}\n\nThe end.\n"
    assert cards.read_text() == text
    again = _script("add.py", "b", *arguments)
    assert again.returncode == 1
    assert "there is a point b: use --replace" in again.stderr
    assert _script("add.py", "b", *arguments, "--replace").returncode == 0
    assert load_index(folder) == index
    shutil.copy(network, tmp_path)
    elsewhere = _script("add.py", "c", *arguments, "--exact", tmp_path / network.name)
    assert elsewhere.returncode == 1
    assert "is not one of the networks in" in elsewhere.stderr
    assert _script("add.py", "b", "--remove", "--folder", folder).returncode == 0
    assert load_index(folder) == before
    assert not (folder / "b.tflite").exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"only_point": ', '"only_point": 1', "not what the counts of right_on give"),
        ('"accuracy_loss": ', '"accuracy_loss": 1', "accuracy_loss is not what the counts"),
        ('"version": 1', '"version": 2', "version"),
        ('"examples": 150', '"examples": 151', "not measured on all images"),
        ('"quoted_by"', '"quoted"', "quoted"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(made, before, after, message) -> None:
    path = made[0] / "index.json"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(DataError, match=message):
        load_index(made[0])


def test_there_are_no_points_where_there_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_index(tmp_path)


def test_tables_are_no_points(digits_path: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.outer(np.arange(256), np.arange(256)))
    network = load_model(digits_path)
    plan = Plan.uniform(f"table:{tmp_path / 't.npy'}")
    with pytest.raises(PlanError, match="ships without files of multipliers"):
        Files(network, plan, network).multipliers()
