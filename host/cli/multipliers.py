# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq multipliers``: the families, and how wrong a multiplier is."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from axynq.emulator import files, load_model
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import DataError
from axynq.emulator.multipliers import (
    FAMILIES,
    SMAPPROX_TABLE_2,
    WEIGHT_MAX,
    WEIGHT_MIN,
    Multiplier,
    Table,
    multiplier,
)
from axynq.emulator.multipliers.base import check_range
from axynq.host.cli import completion
from axynq.host.cli.inputs import EnergyOption, read_data
from axynq.host.cli.output import JsonOption, print_json, results, table
from axynq.host.cli.progress import progress_bar
from axynq.host.cli.usage import UsageError, judged
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

DEFAULT_RANGE = "0:127"

RECORDED_EXAMPLES = 64
"""Examples whose multiplications are recorded."""


SpecsArgument = Annotated[
    Optional[list[str]],
    typer.Argument(
        help="Multipliers, such as roup:1,4, smapprox:2222 or table:FILE#NAME; default: a "
        "selection.",
        metavar="SPEC…",
        autocompletion=completion.multipliers,
    ),
]


def range_of(text: str) -> tuple[int, int]:
    """The operands from LOW to HIGH.

    Raises:
        typer.BadParameter: it is no range of operands.
    """
    found = re.fullmatch(r"\s*([+-]?[0-9]{1,9})\s*:\s*([+-]?[0-9]{1,9})\s*", text)
    if found is None:
        raise typer.BadParameter(f"a range is LOW:HIGH, such as {DEFAULT_RANGE}, not '{text}'")
    low, high = int(found[1]), int(found[2])
    with judged():
        check_range(low, high)
    if low < WEIGHT_MIN or high > WEIGHT_MAX:
        raise typer.BadParameter(
            f"operands are averaged over {WEIGHT_MIN}:{WEIGHT_MAX} or less, not {low}:{high}; "
            "--full takes all"
        )
    return low, high


def _known_range(text: str | None) -> str | None:
    if text is not None:
        range_of(text)
    return text


RangeOption = Annotated[
    Optional[str],
    typer.Option(
        "--range",
        metavar="LOW:HIGH",
        callback=_known_range,
        help="Average errors over operands from LOW to HIGH, both included; default: 0:127, "
        "as published.",
    ),
]
FullOption = Annotated[
    bool,
    typer.Option(
        "--full",
        help="Average errors over all operands: activations -255 to 255, weights -128 to 127.",
    ),
]
CharacteriseOption = Annotated[
    bool,
    typer.Option(
        "--characterise",
        help="Measure size, depth and relative energy of LUT-level netlists, instead of errors.",
    ),
]
OperandsOption = Annotated[
    Optional[Path],
    typer.Option(
        metavar="MODEL",
        help="With --characterise: multiply what this .tflite network multiplies on --data; "
        "default: operands that ship with axynq.",
        autocompletion=completion.models,
    ),
]
OperandsDataOption = Annotated[
    Optional[Path],
    typer.Option(
        help="With --operands: examples, in any form that `axynq evaluate --data` takes.",
        metavar="DATA",
    ),
]
OutputOption = Annotated[
    Optional[Path],
    typer.Option(
        "--output",
        "-o",
        help="With --characterise: write a JSON file that --energy takes.",
        metavar="FILE",
    ),
]


def multipliers(
    specs: SpecsArgument = None,
    range_: RangeOption = None,
    full: FullOption = False,
    energy: EnergyOption = "characterised",
    measure: CharacteriseOption = False,
    operands: OperandsOption = None,
    data: OperandsDataOption = None,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """List multiplier families, and how wrong multipliers are.

    Errors are against the exact product; energies are relative to the exact multiplier.
    """
    if measure:
        if (operands is None) != (data is None):
            raise UsageError(
                "--operands needs --data, the inputs that the network is run on, and --data needs "
                "--operands, the network"
            )
        _characterise(specs or list(DEFAULT), operands, data, output, json)
        return
    if operands is not None or data is not None or output is not None:
        raise UsageError("--operands, --data and --output belong to --characterise")
    bounds = None if full else range_of(range_ or DEFAULT_RANGE)
    chosen = [multiplier(spec) for spec in specs or SHOWN]
    figures = energy_figures(energy, chosen)
    rows = [error_row(m, bounds, figures) for m in chosen]
    if json:
        families = {name: family.SYNTAX for name, family in FAMILIES.items()}
        print_json("axynq/multipliers/1", {"families": families, "multipliers": rows})
        return
    if not specs:
        results.print("Families: " + " · ".join(family.SYNTAX for family in FAMILIES.values()))
    over = "all operands" if full else f"operands {range_ or DEFAULT_RANGE}"
    _show_errors(rows, f"Error over {over}; energy relative to exact ({energy})")


def error_row(
    m: Multiplier, bounds: tuple[int, int] | None, figures: EnergyFigures
) -> dict[str, Any]:
    """Errors and energy of a multiplier; ``bounds`` of both operands, None: all of them."""
    metrics = m.error_metrics() if bounds is None else m.error_metrics(bounds, bounds)
    known = figures.of(m)
    row = {"spec": m.spec, **asdict(metrics)}
    row["relative_energy"] = None if known is None else known.relative
    row["energy_source"] = None if known is None else known.source
    if isinstance(m, Table):
        row["source"] = m.source
    return row


def _show_errors(rows: list[dict[str, Any]], title: str) -> None:
    shown = table(
        "multiplier",
        "rel. error",
        "bias",
        "mean |error|",
        "worst",
        "wrong",
        "deviation",
        "energy",
        title=title,
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


def _characterise(
    specs: list[str], model: Path | None, data: Path | None, output: Path | None, json: bool
) -> None:
    """Measure multipliers on their netlists, and show or write the results."""
    stimuli = default_stimuli()
    if model is not None and data is not None:
        stimuli = {"network": _recorded(model, data)}
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
        print_json("axynq/multipliers-characterise/1", content)
    else:
        _show_characteristics(rows, list(stimuli))


def _show_characteristics(rows: list[Characteristics], stimuli: list[str]) -> None:
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


def _recorded(model: Path, data: Path) -> Operands:
    network = load_model(model)
    examples = read_data(data, "test", RECORDED_EXAMPLES)
    x = quantise_examples(network.input, examples.x)
    return recorded_operands(network, x, f"{len(x)} inputs of {data.name}")
