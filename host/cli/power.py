"""``axynq power``: measured energy of an inference, plans taking turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Optional, cast

import numpy as np
import numpy.typing as npt
import typer

from axynq.emulator import files
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.errors import AxynqError, DataError, ToolError
from axynq.host.baseline import ProcessorBaseline
from axynq.host.cli.inputs import DeviceOption, device_name, read_data
from axynq.host.cli.output import (
    JsonOption,
    console,
    finite,
    print_json,
    progress_bar,
    results,
    table,
)
from axynq.host.overlay import Overlay
from axynq.host.power.analysis import Result, analyse
from axynq.host.power.energy import CONFIDENCE, Figure
from axynq.host.power.experiment import Contender, Durations, run_experiment
from axynq.host.power.log import Log
from axynq.host.power.quantities import Decimal
from axynq.host.power.recorded import Layout, line_up, read_recording
from axynq.host.power.sampler import Sample, Sampler
from axynq.host.power.schedule import schedule
from axynq.host.power.sensor import SPECIFICATIONS, Sensor, open_sensors, readable, unique_names
from axynq.host.runtime.accelerator import Accelerator
from axynq.host.runtime.program import Program

BASELINE = "processor (TFLite)"

LONGEST = 86400.0
"""Seconds of a run or an idle stretch."""


def power(
    programs: Annotated[
        list[Path], typer.Argument(help="Compiled programs, for one overlay.", metavar="PROGRAM…")
    ],
    sensor: Annotated[
        list[str],
        typer.Option(help=f"May be repeated. {SPECIFICATIONS}; estimate: no measurement at all; "
                     "none: an external meter records."),
    ] = ["hwmon"],  # noqa: B006 - typer copies it
    device: DeviceOption = "auto",
    data: Annotated[
        Optional[Path], typer.Option(help="Inputs; default: random ones.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=65536, help="Images a call.")] = 16,
    baseline: Annotated[
        Optional[Path],
        typer.Option(help="Also run this .tflite network on the processor, through TFLite."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the baseline.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each contender.")] = 10,
    seconds: Annotated[
        float, typer.Option(min=0.01, max=LONGEST, callback=finite, help="Length of a run.")
    ] = 3.0,
    idle: Annotated[
        float,
        typer.Option(min=0.01, max=LONGEST, callback=finite, help="Length of an idle stretch."),
    ] = 2.0,
    warm_up: Annotated[
        float,
        typer.Option(min=0, max=LONGEST, callback=finite, help="Of each contender, first."),
    ] = 2.0,
    rate: Annotated[
        float, typer.Option(min=0.1, max=1e5, callback=finite, help="Readings a second.")
    ] = 20.0,
    settle: Annotated[
        float,
        typer.Option(min=0, callback=finite, help="Seconds at the start of a run or idle stretch "
                     "that do not count: for sensors that average."),
    ] = 0.0,
    output: Annotated[
        Path, typer.Option(help="Folder of the experiment; the same folder goes on.")
    ] = Path("power"),
    meter_csv: Annotated[
        Optional[Path], typer.Option(help="What an external meter recorded meanwhile.")
    ] = None,
    meter_time: Annotated[
        str, typer.Option(help="Its column of times: a name, or #1.")
    ] = "time",
    meter_power: Annotated[
        str, typer.Option(help="Its column of power: a name, or #2; A*B multiplies two.")
    ] = "power",
    meter_offset: Annotated[
        float, typer.Option(callback=finite,
                            help="This machine's clock minus the meter's, in seconds.")
    ] = 0.0,
    meter_unit: Annotated[
        Optional[str],
        typer.Option(help="W, mW, uW or kW; default: as the columns' names say, else W."),
    ] = None,
    meter_time_unit: Annotated[
        Optional[str],
        typer.Option(help="s, ms, us or ns; default: as the column's name says, else s."),
    ] = None,
    meter_decimal: Annotated[
        Optional[str],
        typer.Option(help="point or comma; default: found out, where it can be told."),
    ] = None,
    meter_delimiter: Annotated[
        Optional[str],
        typer.Option(help="A character, tab or space; default: found out."),
    ] = None,
    meter_encoding: Annotated[
        Optional[str],
        typer.Option(help="latin-1, say; default: UTF-8, or as the byte order mark says."),
    ] = None,
    meter_skip: Annotated[
        Optional[int],
        typer.Option(min=0, help="Lines before the one with names; default: found out."),
    ] = None,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Measure energy per inference, with idle power subtracted, plans taking turns."""
    loaded = _load(programs)
    names = [*loaded, *([BASELINE] if baseline else [])]
    if sensor == ["estimate"]:
        _estimate(loaded, batch, json)
        return
    if meter_csv is not None and not meter_csv.is_file():
        raise DataError(f"the meter's record '{meter_csv}' cannot be read: no such file")
    if meter_decimal not in (None, "point", "comma"):
        raise DataError(f"the decimal sign is point or comma, not '{meter_decimal}'")
    layout = Layout(meter_delimiter, cast(Optional[Decimal], meter_decimal), meter_encoding,
                    meter_skip, meter_unit, meter_time_unit)  # fmt: skip
    settings = {
        "contenders": names,
        "programs": {name: program.overlay_hash for name, program in loaded.items()},
        "overlay": next(iter(loaded.values())).overlay,
        "device": device_name(device),
        "sensors": sensor,
        "batch": batch,
        "rounds": rounds,
        "seconds": seconds,
        "idle": idle,
        "rate": rate,
    }
    log = Log(output, settings)
    failure: BaseException | None = None
    total = len(schedule(names, rounds))
    try:
        if len({record.slot.number for record in log.records}) < total:
            with ExitStack() as stack:
                sampler = Sampler(_sensors(sensor), rate)
                stack.callback(sampler.close)
                contenders = _contenders(stack, loaded, baseline, threads, device, data, batch)
                with progress_bar(f"{len(names)} contenders, {rounds} rounds", total) as advance:
                    run_experiment(
                        contenders, rounds, Durations(seconds, idle, warm_up), sampler, log, advance
                    )
    except (AxynqError, KeyboardInterrupt) as error:
        if not log.records:
            raise
        failure = error
    samples: Mapping[int, Sequence[Sample]] = log.samples
    if meter_csv is not None:
        samples = _recorded(log, meter_csv, meter_time, meter_power, meter_offset, layout)
    found = analyse(log.records, samples, settle)
    if failure is None and found:
        _keep(found, log, output)
    _show(found, log, output, failure is not None, json)
    if failure is None and found:
        _draw(found, log, samples, output)
    if isinstance(failure, KeyboardInterrupt):
        console.print(f"the same command goes on from slot {len(log.records)}")
    if failure is not None:
        raise failure


def _load(paths: list[Path]) -> dict[str, Program]:
    """Programs by the names of their files."""
    loaded = {path.stem: Program.load(path) for path in paths}
    if len(loaded) < len(paths):
        raise DataError("the programs need different file names: contenders are called by them")
    overlays = {(program.overlay, program.overlay_hash) for program in loaded.values()}
    if len(overlays) > 1:
        named = ", ".join(sorted(overlay for overlay, _ in overlays))
        raise DataError(
            f"the programs are for different overlays ({named}): measure one overlay at a time"
        )
    return loaded


def _sensors(specifications: list[str]) -> list[Sensor]:
    """All that are named; ``none`` names none."""
    if "estimate" in specifications:
        raise DataError("an estimate is no measurement: --sensor estimate stands alone")
    groups: list[list[Sensor]] = []
    try:
        for text in specifications:
            if text != "none":
                groups.append(open_sensors(text))
        unique_names([sensor for group in groups for sensor in group])
        # One that cannot be read is known before the first run.
        return [sensor for group in groups for sensor in readable(group, console.print)]
    except AxynqError:
        for group in groups:
            for sensor in group:
                sensor.close()
        raise


def _contenders(
    stack: ExitStack,
    programs: dict[str, Program],
    baseline: Path | None,
    threads: int,
    device: str,
    data: Path | None,
    batch: int,
) -> list[Contender]:
    first = next(iter(programs.values()))
    accelerator = stack.enter_context(Accelerator(Overlay.load(first.overlay), device_name(device)))

    def on_accelerator(program: Program) -> Callable[[], int]:
        x = _inputs(program, data, batch)
        return lambda: len(accelerator.run(program, x))

    contenders = [Contender(name, on_accelerator(p)) for name, p in programs.items()]
    if baseline is not None:
        processor = ProcessorBaseline(baseline, first.input.tensor, threads)
        x = _inputs(first, data, batch)
        contenders.append(Contender(BASELINE, lambda: len(processor.run(x))))
    return contenders


def _inputs(program: Program, data: Path | None, batch: int) -> npt.NDArray[np.int8]:
    """A batch of the data, or of noise where there is none."""
    tensor = program.input.tensor
    if data is None:
        rng = np.random.default_rng(0)
        return rng.integers(-128, 128, (batch, *tensor.shape)).astype(np.int8)
    x = quantise_examples(tensor, read_data(data, "test", batch).x)
    return x[np.arange(batch) % len(x)]


def _recorded(
    log: Log, path: Path, time_column: str, power_column: str, offset: float, layout: Layout
) -> dict[int, list[Sample]]:
    times, watts = read_recording(path, time_column, power_column, layout)
    lined = line_up(times, watts, log.records, offset, path.name)
    sessions = log.samples.keys() | lined.keys()
    return {s: [*log.samples.get(s, []), *lined.get(s, [])] for s in sessions}


def _estimate(programs: dict[str, Program], batch: int, json: bool) -> None:
    from axynq.host.power.estimate import Assumptions, estimate

    rows = {}
    for name, program in programs.items():
        rows[name] = estimate(program, Overlay.load(program.overlay), batch)
    if json:
        print_json(
            {
                "measured": False,
                "assumptions_pj": Assumptions()._asdict(),
                "contenders": {
                    name: row and {**row._asdict(), "joules": row.joules}
                    for name, row in rows.items()
                },
            }
        )
        return
    title = "ESTIMATE of energy per inference from activity; nothing was measured"
    shown = table("program", "multiplications", "memory", "together", title=title)
    for name, row in rows.items():
        cells = ["-"] * 3
        if row is not None:
            cells = [f"{1e6 * v:.1f} µJ" for v in (row.multiplications, row.memory, row.joules)]
        shown.add_row(name, *cells)
    results.print(shown)


def _show(found: list[Result], log: Log, output: Path, partial: bool, json: bool) -> None:
    runs = sum(record.slot.contender is not None for record in log.records)
    if json:
        print_json(_content(found, runs, partial, output))
        return
    shown = table(
        "contender", "rail", "energy an inference", "above idle", "against the first", "power",
        "idle", "time an inference", "runs",
        title=f"energy per inference, mean and {100 * CONFIDENCE:.0f} % interval"
        + (" (PARTIAL)" if partial else ""),
    )  # fmt: skip
    for r in found:
        left_out = f" ({r.runs_left_out} left out)" if r.runs_left_out else ""
        shown.add_row(
            r.contender, r.rail, _text(r.joules, 1e3, "mJ"), _text(r.net_joules, 1e3, "mJ"),
            _text(r.against_first, 1e3, "mJ"), _text(r.watts, 1, "W"), _text(r.idle_watts, 1, "W"),
            _text(r.seconds, 1e3, "ms"), f"{r.joules.runs}{left_out}",
        )  # fmt: skip
    if found:
        results.print(shown)
    else:
        console.print(
            f"{runs} runs are in '{output}', with no power readings: give what the meter recorded "
            "by --meter-csv, with otherwise the same command"
        )


def _keep(found: list[Result], log: Log, output: Path) -> None:
    """Results beside the log."""
    path = output / "results.json"
    runs = sum(record.slot.contender is not None for record in log.records)
    text = dumps(_content(found, runs, False, output), indent=1)
    try:
        files.write_text(path, text + "\n")
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error.strerror}") from error


def _draw(
    found: list[Result], log: Log, samples: Mapping[int, Sequence[Sample]], output: Path
) -> None:
    from axynq.host.power.picture import draw

    try:
        draw(output / "power.png", found, log.records, samples)
    except ToolError as error:  # boards often lack matplotlib; the figures do not need it
        console.print(f"no picture: {error}")


def _content(found: list[Result], runs: int, partial: bool, output: Path) -> dict[str, Any]:
    return {
        "measured": True,
        "folder": str(output),
        "partial": partial,
        "runs": runs,
        "confidence": CONFIDENCE,
        "results": [
            {
                key: _figure(value) if isinstance(value, Figure) else value
                for key, value in result._asdict().items()
            }
            for result in found
        ],
    }


def _figure(value: Figure) -> dict[str, Any]:
    bounded = np.isfinite(value.half_width)
    return {
        "mean": value.mean,
        "low": value.low if bounded else None,
        "high": value.high if bounded else None,
        "runs": value.runs,
    }


def _text(value: Figure | None, factor: float, unit: str) -> str:
    if value is None:
        return "-"
    spread = f" ± {factor * value.half_width:.3g}" if np.isfinite(value.half_width) else ""
    return f"{factor * value.mean:.4g}{spread} {unit}"
