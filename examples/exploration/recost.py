# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the plans of a front save by other energy figures.

    python examples/exploration/recost.py MODEL found --energy characterised-glitches \
        --output recosted.json

`found` is the folder that `axynq explore` wrote.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from axynq.emulator import Plan, files, load_model
from axynq.emulator.energy import EnergyFigures, relative_energy


def main(
    model: Path,
    found: Path,
    output: Annotated[Path, typer.Option(help="Raw figures, .json.")],
    energy: Annotated[
        str, typer.Option(help="characterised, characterised-glitches, published, or a .json file.")
    ] = "characterised-glitches",
) -> None:
    figures = EnergyFigures(energy)
    untuned = load_model(model)
    rows = []
    for point in json.loads((found / "front.json").read_text())["points"]:
        if not point["on_front"]:
            continue
        network = load_model(found / point["model"]) if "model" in point else untuned
        relative = relative_energy(network, Plan.load(found / point["plan"]), figures)
        if relative is None:
            raise typer.BadParameter(f"{energy} has no figure for a multiplier of {point['name']}")
        rows.append(
            {
                "name": point["name"],
                "level": point["level"],
                "accuracy_loss": point["accuracy_loss"],
                "energy_gain": point["energy_gain"],
                "energy_gain_recosted": round(1 - relative, 4),
            }
        )
        print(
            f"{point['name']:16} {100 * point['accuracy_loss']:6.2f} points "
            f"{point['energy_gain']:7.1%} {1 - relative:7.1%}"
        )
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    files.write_text(output, f'{{"energy": "{energy}", "points": [\n  {lines}\n]}}\n')


if __name__ == "__main__":
    typer.run(main)
