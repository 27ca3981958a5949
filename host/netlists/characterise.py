# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Size, depth and relative energy of multipliers, from their netlists.

``python -m axynq.host.netlists.characterise`` in the source tree writes the shipped files anew.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axynq.emulator import files, load_model
from axynq.emulator.datasets import handwritten_digits, load_dataset, quantise_examples
from axynq.emulator.multipliers import SMAPPROX_TABLE_2, multiplier
from axynq.host.netlists.activity import (
    BLOCK_DELAY,
    LUT_DELAY,
    SUM_DELAY,
    Activity,
    activity,
    levels,
)
from axynq.host.netlists.designs import netlist
from axynq.host.netlists.operands import (
    Operands,
    recorded_operands,
    shipped_operands,
    uniform_operands,
)

DEFAULT = (
    "exact",
    *(f"roup:0,{r}" for r in (2, 4, 6, 8)),
    *(f"roup:1,{r}" for r in (0, 2, 4, 6, 8)),
    *(f"roup:2,{r}" for r in (0, 4, 6, 8)),
    *(f"roup:3,{r}" for r in (0, 6, 8)),
    *(f"smapprox:{digits}" for digits in SMAPPROX_TABLE_2),
)
"""Multipliers of the shipped file."""

STIMULUS = "network"
"""Operands under which the figures of the plan energy model are."""

SOURCE = "characterised"

METHOD = (
    "changes times pins driven, summed over the nets of the mapped netlist, per operand pair; "
    "'zero_delay' counts settled changes (the floor), 'unit_delay' glitches too "
    f"(transport delay: LUT {LUT_DELAY}, chain to sum {SUM_DELAY}, CARRY4 {BLOCK_DELAY} ticks)"
)


@dataclass(frozen=True)
class Characteristics:
    """What is measured of one multiplier's netlist.

    Attributes:
        spec: the multiplier.
        luts: LUTs; one with two outputs counts once.
        carry4s: CARRY4 blocks.
        levels: LUTs and carry chains on the longest path.
        relative: activity over that of the exact multiplier, by stimulus.
    """

    spec: str
    luts: int
    carry4s: int
    levels: int
    relative: Mapping[str, Activity]


def default_stimuli() -> dict[str, Operands]:
    """The operands under which multipliers are compared, by name."""
    recorded, uniform = shipped_operands(), uniform_operands()
    return {
        "network": recorded,
        "network-stationary": recorded.stationary(),
        "uniform": uniform,
        "uniform-stationary": uniform.stationary(),
    }


def characterise(specs: Iterable[str], stimuli: Mapping[str, Operands]) -> list[Characteristics]:
    """Measure multipliers relative to the exact one.

    Raises:
        MultiplierError: one is malformed, or is a table and so has no netlist.
    """
    reference = {name: activity(netlist("exact"), pairs.ports()) for name, pairs in stimuli.items()}
    made = []
    for spec in specs:
        circuit = netlist(spec)
        measured = {name: activity(circuit, pairs.ports()) for name, pairs in stimuli.items()}
        made.append(
            Characteristics(
                multiplier(spec).spec,
                circuit.resources()["LUT"],
                circuit.resources()["CARRY4"],
                levels(circuit),
                {name: _over(measured[name], reference[name]) for name in stimuli},
            )
        )
    return made


def _over(measured: Activity, reference: Activity) -> Activity:
    return Activity(
        measured.zero_delay / reference.zero_delay, measured.unit_delay / reference.unit_delay
    )


def energy_file(measured: Iterable[Characteristics], stimuli: Mapping[str, Operands]) -> str:
    """A file of energy figures that :class:`~axynq.emulator.energy.EnergyFigures` reads.

    A plan's figure is the zero-delay activity under the first stimulus.
    """
    rows = list(measured)
    first = next(iter(stimuli))
    content: dict[str, Any] = {
        "format": "axynq-energy",
        "version": 1,
        "description": "Dynamic energy of one multiplication relative to the exact Booth "
        "multiplier, from the switching activity of LUT-level netlists.",
        "sources": {SOURCE: f"zero-delay activity, operands '{first}'; see 'characterisation'"},
        "multipliers": {
            row.spec: {
                "relative_energy": round(row.relative[first].zero_delay, 4),
                "source": SOURCE,
            }
            for row in rows
        },
        "characterisation": {
            "script": "python -m axynq.host.netlists.characterise",
            "numpy": np.__version__,
            "date": datetime.date.today().isoformat(),
            "method": METHOD,
            "operands": {name: pairs.description for name, pairs in stimuli.items()},
            "multipliers": {row.spec: _record(row) for row in rows},
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _record(row: Characteristics) -> dict[str, Any]:
    record: dict[str, Any] = {"luts": row.luts, "carry4s": row.carry4s, "levels": row.levels}
    for name, relative in row.relative.items():
        record[name] = {model: round(value, 4) for model, value in asdict(relative).items()}
    return record


def write_shipped(root: Path) -> None:
    """Record the shipped operands and write the shipped figures below the source tree.

    With the third-party data of ``AXYNQ_DATA``, figures for MLPerf Tiny's ResNet-8 are among them.
    """
    model = load_model(root / "models" / "digits_int8.tflite")
    examples = handwritten_digits("test").evenly(64)
    x = quantise_examples(model.input, examples.x)
    operands = recorded_operands(model, x, "64 of scikit-learn's held-out digits")
    with files.replacing(root / "host" / "netlists" / "operands.npz") as temporary:
        np.savez_compressed(
            temporary,
            a=operands.a.astype(np.int16),
            w=operands.w.astype(np.int8),
            description=operands.description,
        )
    stimuli = default_stimuli()
    if os.environ.get("AXYNQ_DATA"):
        data = Path(os.environ["AXYNQ_DATA"])
        model = load_model(data / "models" / "mlperf_tiny_resnet8_int8.tflite")
        examples = load_dataset(data / "cifar10-jpeg.tar.xz", "test").evenly(64)
        x = quantise_examples(model.input, examples.x)
        stimuli["resnet8"] = recorded_operands(model, x, "64 test images of CIFAR-10")
        stimuli["resnet8-stationary"] = stimuli["resnet8"].stationary()
    text = energy_file(characterise(DEFAULT, stimuli), stimuli)
    files.write_text(root / "emulator" / "data" / "energy-characterised.json", text)


if __name__ == "__main__":
    write_shipped(Path())
