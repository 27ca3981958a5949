# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers

r"""Add a point to models/points/: copy its network and plan, evaluate it on all images, and write
the index and the section of models/README.md.

    python examples/points/add.py resnet8-layers-55 --network ResNet-8 \
        --exact models/resnet8_int8.tflite \
        --model found/models/020-layer.tflite --plan found/plans/020-layer.json \
        --data cifar10/ --made-by 'axynq explore ...' --quoted-by docs/exploration.md

With --replace a point of the same name is measured and written anew; NAME --remove takes it away.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Optional

import typer

from axynq.emulator import Plan, files, load_model
from axynq.emulator.datasets import load_dataset
from axynq.emulator.errors import AxynqError, DataError
from axynq.emulator.studies.search.store import Store
from axynq.host.cli.output import console
from axynq.host.points import (
    INDEX,
    SECTION,
    Files,
    Images,
    Index,
    Point,
    card,
    figures_of,
    images_of,
    load_index,
    measure,
    save_index,
    shipped_points,
)


def main(
    name: str,
    network: Annotated[str, typer.Option(help="What it is called: ResNet-8.")] = "",
    exact: Annotated[Optional[Path], typer.Option(help="The exact network, in models/.")] = None,
    model: Annotated[Optional[Path], typer.Option(help="The point's network.")] = None,
    plan: Annotated[Optional[Path], typer.Option(help="Its plan, a file.")] = None,
    data: Annotated[Optional[Path], typer.Option(help="The images.")] = None,
    made_by: Annotated[str, typer.Option(help="The commands, as in a shell.")] = "",
    quoted_by: Annotated[
        Optional[list[str]], typer.Option(help="A document that quotes it; repeatable.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="A point that is there.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take the point away.")] = False,
    images: Annotated[
        str, typer.Option(help="What the images are called; all points of a folder share them.")
    ] = "CIFAR-10, JPEG copies",
    folder: Annotated[
        Optional[Path], typer.Option(help="Another folder of points, in one of networks.")
    ] = None,
    kept: Annotated[Path, typer.Option(help="Where evaluations are kept.")] = Path(
        "build/points/evaluations.sqlite"
    ),
) -> None:
    folder = folder or shipped_points()
    try:
        if remove:
            _write(_without(load_index(folder), name, folder), folder)
            return
        if not (network and exact and model and plan and data and made_by):
            raise DataError(
                "a point needs --network, --exact, --model, --plan, --data and --made-by"
            )
        if exact.resolve().parent != folder.parent.resolve():
            raise DataError(f"'{exact}' is not one of the networks in {folder.parent}")
        made_of = Files(load_model(model), Plan.load(plan), load_model(exact))
        specs = tuple(m.spec for m in made_of.multipliers())
        examples = load_dataset(data)
        index = _index(folder, images_of(examples, images, "test"))
        if name in [point.name for point in index.points] and not replace:
            raise DataError(f"there is a point {name}: use --replace, or another name")
        with console.status(f"{name}, {len(examples)} images"), Store(kept) as store:
            right_on, sample = measure(made_of, examples, store)
        point = Point(
            name=name, network=network, model=f"{name}.tflite", plan=f"{name}.json",
            exact=exact.name, multipliers=specs, energy_gain=made_of.energy_gain(),
            right_on=right_on, sample=sample, made_by=made_by.strip(),
            quoted_by=tuple(quoted_by or ()), **figures_of(right_on.comparison),  # type: ignore[arg-type]
        )  # fmt: skip
        files.write_bytes(folder / point.model, files.read_bytes(model))
        made_of.plan.save(folder / point.plan)
        _write(_with(index, point), folder)
    except AxynqError as error:
        console.error(str(error))
        raise typer.Exit(1) from error
    low, high = point.accuracy_loss_interval
    print(
        f"{name}: {point.energy_gain.settled:.2%} saved, accuracy {point.accuracy:.2%}, "
        f"{100 * point.accuracy_loss:.2f} points lost ({100 * low:.2f} to {100 * high:.2f})"
    )


def _index(folder: Path, images: Images) -> Index:
    if not (folder / INDEX).exists():
        return Index(images=images, points=())
    index = load_index(folder)
    if index.images != images:
        raise DataError("these are not the images of the other points")
    return index


def _with(index: Index, point: Point) -> Index:
    """By network, then by what is lost."""
    points = [*(each for each in index.points if each.name != point.name), point]
    points.sort(key=lambda each: (each.exact, each.accuracy_loss, each.name))
    return Index(images=index.images, points=tuple(points))


def _without(index: Index, name: str, folder: Path) -> Index:
    gone = [point for point in index.points if point.name == name]
    if not gone:
        raise DataError(f"there is no point {name}")
    for file in (gone[0].model, gone[0].plan):
        (folder / file).unlink(missing_ok=True)
    return Index(images=index.images, points=tuple(p for p in index.points if p.name != name))


def _write(index: Index, folder: Path) -> None:
    """The index, and the section about it in models/README.md."""
    save_index(index, folder)
    cards = folder.parent / "README.md"
    begin, end = map(re.escape, SECTION)
    section = f"{SECTION[0]}\n\n{card(index)}\n\n{SECTION[1]}"
    text = files.read_text(cards)
    if not re.search(f"{begin}.*{end}", text, re.DOTALL):
        raise DataError(f"'{cards}' has no section about the points")
    files.write_text(cards, re.sub(f"{begin}.*{end}", lambda _: section, text, flags=re.DOTALL))


if __name__ == "__main__":
    typer.run(main)
