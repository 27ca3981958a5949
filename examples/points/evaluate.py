# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Evaluate every point in models/points/ on all images, and compare with what its index says.

    python examples/points/evaluate.py --data cifar10/

The data are the images that the index names. Evaluations are kept: started again, the script goes
on where it was. Any difference is named, and the script ends with 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from axynq.emulator.datasets import load_dataset
from axynq.emulator.errors import AxynqError
from axynq.emulator.studies.search.store import Store
from axynq.host.cli.output import INTERVAL, console, percent, points_interval, results, table
from axynq.host.points import (
    Index,
    differences,
    images_of,
    load_index,
    measure,
    read_point,
    shipped_points,
)


def main(
    data: Annotated[Path, typer.Option(help="The images, as axynq evaluate takes them.")],
    only: Annotated[
        Optional[list[str]], typer.Option(help="Only the point of this name; repeatable.")
    ] = None,
    folder: Annotated[Optional[Path], typer.Option(help="Another folder of points.")] = None,
    kept: Annotated[Path, typer.Option(help="Where evaluations are kept.")] = Path(
        "build/points/evaluations.sqlite"
    ),
) -> None:
    try:
        wrong = evaluate(data, folder or shipped_points(), kept, only or [])
    except AxynqError as error:
        console.error(str(error))
        raise typer.Exit(1) from error
    if wrong:
        raise typer.Exit(1)


def evaluate(data: Path, folder: Path, kept: Path, only: list[str]) -> int:
    """Print a line for each point, and return how many are not as the index says."""
    index = load_index(folder)
    chosen = [point for point in index.points if not only or point.name in only]
    if unknown := set(only) - {point.name for point in chosen}:
        raise typer.BadParameter(f"there is no point {', '.join(sorted(unknown))}")
    images = load_dataset(data, index.images.split)
    _check_images(index, images_of(images, index.images.name, index.images.split).fingerprint)
    shown = table("point", "gain, settled", "accuracy", "loss", INTERVAL, "as the index says")
    wrong = 0
    with Store(kept) as store:
        for point in chosen:
            made_of = read_point(point, folder)
            with console.status(f"{point.name}, {len(images)} images"):
                measured = measure(made_of, images, store)
            found = differences(point, made_of, measured)
            for difference in found:
                console.note(f"{point.name}: {difference}")
            wrong += bool(found)
            comparison = measured[0].comparison
            shown.add_row(
                point.name,
                percent(point.energy_gain.settled, 1),
                percent(comparison.second_accuracy),
                f"{100 * comparison.loss:.2f}",
                points_interval(comparison.loss_interval()),
                "NO" if found else "yes",
            )
    results.print(shown)
    return wrong


def _check_images(index: Index, fingerprint: str) -> None:
    if fingerprint != index.images.fingerprint:
        console.note(
            f"these are not the images that the index was measured on ({index.images.name}), or "
            "another decoder read them: accuracies will differ"
        )


if __name__ == "__main__":
    typer.run(main)
