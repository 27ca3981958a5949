# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Error against size and energy of the multipliers, to choose those of a bank.

    pip install axynq[plot]
    python examples/multipliers/tradeoff.py --picture tradeoff.png

Sizes and energies are measured on LUT-level netlists (see docs/multipliers-rtl.md); nothing else is
needed to run this. A multiplier is marked where no other is both more accurate and cheaper.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from axynq.emulator import files, multiplier
from axynq.host.netlists.characterise import DEFAULT, STIMULUS, characterise
from axynq.host.netlists.operands import shipped_operands


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="*", default=DEFAULT, help="multipliers to compare")
    parser.add_argument("--picture", type=Path, help="where to draw error against energy")
    arguments = parser.parse_args()
    rows = characterise(arguments.specs, {STIMULUS: shipped_operands()})
    points = [
        (row, multiplier(row.spec).mean_relative_error(0, 127), row.relative[STIMULUS].zero_delay)
        for row in rows
    ]
    print(f"{'multiplier':16}{'error':>9}{'LUTs':>6}{'energy':>8}")
    for row, error, energy in sorted(points, key=lambda point: point[1]):
        beaten = any(e < error and c < energy for _, e, c in points)
        mark = "" if beaten else "  *"
        print(f"{row.spec:16}{error:8.2f}%{row.luts:6}{energy:8.2f}{mark}")
    if arguments.picture:
        draw(points, arguments.picture)


def draw(points: list, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    for family, colour in (("exact", "black"), ("roup", "tab:blue"), ("smapprox", "tab:orange")):
        chosen = [point for point in points if point[0].spec.startswith(family)]
        axes.plot(
            [energy for _, _, energy in chosen], [error for _, error, _ in chosen],
            "o", color=colour, label=family,
        )  # fmt: skip
    for row, error, energy in points:
        axes.annotate(row.spec.partition(":")[2] or row.spec, (energy, error), fontsize=7)
    axes.set(xlabel="energy relative to exact (zero delay)", ylabel="mean relative error, %")
    axes.set_yscale("symlog", linthresh=1)
    axes.legend()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=temporary.suffix[1:] or "png")


if __name__ == "__main__":
    main()
