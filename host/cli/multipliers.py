"""``axynq multipliers``: the families, and how wrong a multiplier is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from axynq.emulator import files, load_model
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.errors import DataError, MultiplierError
from axynq.emulator.multipliers import FAMILIES, SMAPPROX_TABLE_2, Table, multiplier
from axynq.host.cli.inputs import EnergyOption, read_data
from axynq.host.cli.output import JsonOption, print_json, progress_bar, results, table
from axynq.host.energy import energy_figures
from axynq.host.netlists.characterise import (
    DEFAULT,
    Characteristics,
    characterise,
    default_stimuli,
    energy_file,
)
from axynq.host.netlists.operands import Operands, recorded_operands

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
    energy: EnergyOption = "characterised",
    measure: Annotated[
        bool,
        typer.Option(
            "--characterise",
            help="Measure size, depth and relative energy on LUT-level netlists instead.",
        ),
    ] = False,
    operands: Annotated[
        Optional[Path],
        typer.Option(
            metavar="MODEL", help="With --characterise: operands of this network on --data."
        ),
    ] = None,
    data: Annotated[
        Optional[Path], typer.Option(help="With --operands: the network's inputs.")
    ] = None,
    output: Annotated[
        Optional[Path],
        typer.Option("--output", "-o", help="With --characterise: a file for --energy."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List multiplier families and the error of multipliers against the exact product."""
    if measure:
        _characterise(specs or list(DEFAULT), operands, data, output, json)
        return
    if operands is not None or data is not None or output is not None:
        raise DataError("--operands, --data and --output belong to --characterise")
    chosen = [multiplier(spec) for spec in specs or SHOWN]
    figures = energy_figures(energy, chosen)
    rows = []
    for m in chosen:
        if full:
            metrics = m.error_metrics()
        else:
            bounds = _bounds(range_ or "0:127")
            metrics = m.error_metrics(bounds, bounds)
        known = figures.of(m)
        row = {"spec": m.spec, **asdict(metrics)}
        row["relative_energy"] = None if known is None else known.relative
        row["energy_source"] = None if known is None else known.source
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
        title=f"Error over {over}; energy relative to exact ({energy})",
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


RECORDED_IMAGES = 64


def _characterise(
    specs: list[str], model: Path | None, data: Path | None, output: Path | None, json: bool
) -> None:
    """Measures multipliers on their netlists, and shows or writes what came out."""
    stimuli = default_stimuli() if model is None else {"network": _recorded(model, data)}
    if model is not None:
        stimuli["network-stationary"] = stimuli["network"].stationary()
    rows: list[Characteristics] = []
    with progress_bar("characterising", len(specs)) as advance:
        for spec in specs:
            rows += characterise([spec], stimuli)
            advance(1)
    if output is not None:
        try:
            files.write_text(output, energy_file(rows, stimuli))
        except OSError as error:
            raise DataError(f"'{output}' cannot be written: {error.strerror}") from error
    if json:
        content: dict[str, Any] = {"multipliers": [asdict(row) for row in rows]}
        content["operands"] = {name: pairs.description for name, pairs in stimuli.items()}
        print_json(content)
        return
    shown = table(
        "multiplier", "LUTs", "CARRY4s", "levels", *stimuli,
        title="Energy relative to exact: zero delay (floor) / unit delay (with glitches)",
    )  # fmt: skip
    for row in rows:
        energies = (
            f"{row.relative[name].zero_delay:.2f} / {row.relative[name].unit_delay:.2f}"
            for name in stimuli
        )
        shown.add_row(row.spec, str(row.luts), str(row.carry4s), str(row.levels), *energies)
    results.print(shown)


def _recorded(model: Path, data: Path | None) -> Operands:
    if data is None:
        raise DataError("--operands needs --data: the inputs that the network is run on")
    network = load_model(model)
    examples = read_data(data, "test", RECORDED_IMAGES)
    x = quantise_examples(network.input, examples.x)
    return recorded_operands(network, x, f"{len(x)} inputs of {data.name}")
