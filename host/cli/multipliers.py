"""``axynq multipliers``: the families, and how wrong a multiplier is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Optional

import typer

from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers import FAMILIES, SMAPPROX_TABLE_2, Table, multiplier
from axynq.host.cli.output import JsonOption, print_json, results, table

SHOWN = (
    *("exact", "roup:0,4", "roup:1,4", "roup:2,6"),
    *(f"smapprox:{digits}" for digits in SMAPPROX_TABLE_2),
)
"""Multipliers listed when none is named."""


def multipliers(
    specs: Annotated[
        Optional[list[str]],
        typer.Argument(help="Multipliers, such as roup:1,4 or table:FILE#NAME.", metavar="SPEC…"),
    ] = None,
    range_: Annotated[
        Optional[str],
        typer.Option(
            "--range",
            metavar="LOW:HIGH",
            help="Operands to average over, both included; default: 0:127, as published.",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Average over all operands, -255:255 times -128:127.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List multiplier families and the error of multipliers against the exact product."""
    figures = EnergyFigures()
    rows = []
    for spec in specs or SHOWN:
        m = multiplier(spec)
        if full:
            metrics = m.error_metrics()
        else:
            bounds = _bounds(range_ or "0:127")
            metrics = m.error_metrics(bounds, bounds)
        energy = figures.of(m)
        row = {"spec": m.spec, **asdict(metrics)}
        row["relative_energy"] = None if energy is None else energy.relative
        row["energy_source"] = None if energy is None else energy.source
        if isinstance(m, Table):
            row["source"] = m.source
        rows.append(row)
    if json:
        families = {name: family.SYNTAX for name, family in FAMILIES.items()}
        print_json({"families": families, "multipliers": rows})
        return
    if not specs:
        results.print("Families: " + " · ".join(family.SYNTAX for family in FAMILIES.values()))
    over = "all operands" if full else f"operands {range_ or '0:127'}"
    shown = table(
        "multiplier",
        "rel. error",
        "bias",
        "mean |error|",
        "worst",
        "wrong",
        "deviation",
        "energy",
        title=f"Error over {over}; energy relative to exact",
    )
    for row in rows:
        relative = row["relative_energy"]
        shown.add_row(
            row["spec"],
            f"{row['mean_relative_error']:.2f} %",
            f"{row['mean_error']:.2f}",
            f"{row['mean_absolute_error']:.2f}",
            str(row["worst_case_error"]),
            f"{100 * row['error_probability']:.1f} %",
            f"{row['standard_deviation']:.1f}",
            "-" if relative is None else f"{relative:.3f}",
        )
    results.print(shown)
    for row in rows:
        if "source" in row:
            results.print(f"{row['spec']}: {row['source']}")


def _bounds(text: str) -> tuple[int, int]:
    low, separator, high = text.partition(":")
    try:
        if not separator:
            raise ValueError
        return int(low), int(high)
    except ValueError:
        raise MultiplierError(f"a range is LOW:HIGH, such as 0:127, not '{text}'") from None
