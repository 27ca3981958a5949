# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""An experiment drawn: energy per inference, and power over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from axynq.emulator.pictures import new_figure, save_figure
from axynq.host.power.analysis import Result, traces
from axynq.host.power.log import Record
from axynq.host.power.sampler import Sample


def draw(
    path: Path,
    results: Sequence[Result],
    records: Sequence[Record],
    samples: Mapping[int, Sequence[Sample]],
) -> None:
    """Write the picture.

    Raises:
        ToolError: matplotlib is not installed.
        DataError: the file cannot be written.
    """
    rails = list(dict.fromkeys(result.rail for result in results))
    names = list(dict.fromkeys(result.contender for result in results))
    colours = {name: f"C{number}" for number, name in enumerate(names)}
    drawing = new_figure(10, 4.2)
    bars, course = drawing.subplots(1, 2, width_ratios=[2, 3])
    width = 0.8 / max(1, len(names))
    for result in results:
        shown = result.net_joules or result.joules
        place = rails.index(result.rail) + width * names.index(result.contender)
        half = shown.half_width if np.isfinite(shown.half_width) else 0.0
        bars.bar(place, 1e3 * shown.mean, width, yerr=1e3 * half, capsize=3,
                 color=colours[result.contender],
                 label=result.contender if result.rail == rails[0] else None)  # fmt: skip
    bars.set_xticks([n + width * (len(names) - 1) / 2 for n in range(len(rails))], rails)
    bars.set_ylabel("energy per inference above idle, mJ (95 % interval)")
    bars.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    _draw_course(course, records, samples, colours)
    save_figure(drawing, path)


def _draw_course(
    axes: Any,
    records: Sequence[Record],
    samples: Mapping[int, Sequence[Sample]],
    colours: dict[str, str],
) -> None:
    """Power over time in shades of grey, with the runs in colour; sessions one after the other."""
    rails = sorted({sample.rail for taken in samples.values() for sample in taken})
    greys = {rail: str(0.6 * place / len(rails)) for place, rail in enumerate(rails)}
    begin = 0.0
    for session in sorted({record.session for record in records}):
        own = [record for record in records if record.session == session]
        origin = own[0].start - begin
        for record in own:
            if record.slot.contender in colours:
                axes.axvspan(record.start - origin, record.end - origin, alpha=0.15, linewidth=0,
                             color=colours[record.slot.contender])  # fmt: skip
        for (number, rail), readings in traces(samples).items():
            if number == session:
                label = rail if begin == 0 else None
                axes.plot(readings.time - origin, readings.watts, color=greys[rail],
                          linewidth=0.8, label=label)  # fmt: skip
        begin = own[-1].end - origin
    axes.set_xlabel("s")
    axes.set_ylabel("W")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
