# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq power``: measured energy per inference, programs taking turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import numpy as np
import numpy.typing as npt
import typer

from axynq.emulator import files
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.errors import AxynqError, DataError, ToolError
from axynq.host.baseline import ProcessorBaseline
from axynq.host.cli import completion
from axynq.host.cli.inputs import (
    BaselineOption,
    BaselineThreadsOption,
    Device,
    DeviceOption,
    ProgramOverlayOption,
    check_one_input,
    read_data,
)
from axynq.host.cli.output import (
    JsonOption,
    console,
    finite,
    print_json,
    results,
    table,
)
from axynq.host.cli.progress import ProgressBar, progress_bar
from axynq.host.cli.usage import UsageError, judged
from axynq.host.overlay import Overlay
from axynq.host.power.analysis import Result, analyse
from axynq.host.power.energy import CONFIDENCE, Figure
from axynq.host.power.experiment import Contender, Durations, run_experiment
from axynq.host.power.log import Log
from axynq.host.power.quantities import Decimal
from axynq.host.power.recorded import (
    DELIMITERS,
    Layout,
    check_layout,
    line_up,
    read_recording,
)
from axynq.host.power.sampler import Sample, Sampler
from axynq.host.power.schedule import schedule
from axynq.host.power.sensor import (
    SPECIFICATIONS,
    Sensor,
    check_specification,
    open_sensors,
    readable,
    unique_names,
)
from axynq.host.report.words import SIMULATED
from axynq.host.runtime.accelerator import Accelerator
from axynq.host.runtime.program import Program

BASELINE = "processor (TFLite)"

LONGEST = 86400.0
"""Seconds of a run or an idle stretch."""

Samples = Mapping[int, Sequence[Sample]]
"""By session."""


def known_sensors(specifications: list[str]) -> list[str]:
    """For options: refuses malformed specifications.

    Raises:
        typer.BadParameter: one is malformed, or is an estimate beside measurements.
    """
    for text in specifications:
        if text == "estimate" and len(specifications) > 1:
            raise typer.BadParameter(
                "an estimate is no measurement: --sensor estimate stands alone"
            )
        if text not in ("none", "estimate"):
            with judged():
                check_specification(text)
    return specifications


def known_delimiter(text: str | None) -> str | None:
    """For options: refuses what delimits no columns.

    Raises:
        typer.BadParameter: it is neither a character nor the name of one.
    """
    with judged():
        check_layout(Layout(delimiter=text))
    return text


def known_encoding(text: str | None) -> str | None:
    """For options: refuses unknown encodings.

    Raises:
        typer.BadParameter: Python has no such encoding of text.
    """
    with judged():
        check_layout(Layout(encoding=text))
    return text


SensorOption = Annotated[
    list[str],
    typer.Option(
        metavar="SENSOR",
        callback=known_sensors,
        help=f"What measures power; may be repeated. {SPECIFICATIONS}; none: an external meter "
        "records meanwhile (--meter-csv); estimate: nothing is measured or run.",
        rich_help_panel="Measurement",
        autocompletion=completion.sensors,
    ),
]
InputsOption = Annotated[
    Optional[Path],
    typer.Option(
        help="Examples to run, in any form that `axynq run --data` takes, of the test part; "
        "default: random inputs.",
        metavar="DATA",
        rich_help_panel="Contenders",
    ),
]
BatchOption = Annotated[
    int, typer.Option(min=1, max=65536, help="Images per call.", rich_help_panel="Contenders")
]
RoundsOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Runs of each contender: each program, and the baseline.",
        rich_help_panel="Measurement",
    ),
]
SecondsOption = Annotated[
    float,
    typer.Option(
        min=0.01,
        max=LONGEST,
        callback=finite,
        help="Length of a run, in seconds.",
        metavar="SECONDS",
        rich_help_panel="Measurement",
    ),
]
IdleOption = Annotated[
    float,
    typer.Option(
        min=0.01,
        max=LONGEST,
        callback=finite,
        help="Length of the idle stretches before and after each run, in seconds.",
        metavar="SECONDS",
        rich_help_panel="Measurement",
    ),
]
WarmUpOption = Annotated[
    float,
    typer.Option(
        min=0,
        max=LONGEST,
        callback=finite,
        help="Run each contender for this many seconds before anything is measured.",
        metavar="SECONDS",
        rich_help_panel="Measurement",
    ),
]
RateOption = Annotated[
    float,
    typer.Option(
        min=0.1,
        max=1e5,
        callback=finite,
        help="Readings of each sensor per second.",
        metavar="HERTZ",
        rich_help_panel="Measurement",
    ),
]
SettleOption = Annotated[
    float,
    typer.Option(
        min=0,
        callback=finite,
        help="Leave out this many seconds at the start of each run and idle stretch, for sensors "
        "that average over time.",
        metavar="SECONDS",
        rich_help_panel="Measurement",
    ),
]
FOLDER = Path("power")
"""Of an experiment, where none is named."""

OutputOption = Annotated[
    Optional[Path],
    typer.Option(
        "--output",
        "-o",
        help="Folder for the experiment; rerun the command to resume what is in it. Default: the "
        "folder power.",
        metavar="FOLDER",
        rich_help_panel="Results",
    ),
]
MeterCsvOption = Annotated[
    Optional[Path],
    typer.Option(
        help="The CSV file that an external meter recorded during the experiment.",
        metavar="FILE",
        rich_help_panel="External meter",
    ),
]
MeterTimeOption = Annotated[
    str,
    typer.Option(
        metavar="COLUMN",
        help="The meter's column of times: its name, or #1.",
        rich_help_panel="External meter",
    ),
]
MeterPowerOption = Annotated[
    str,
    typer.Option(
        metavar="COLUMN",
        help="The meter's column of power: its name, or #2; A*B multiplies two columns, such as "
        "volts and amperes.",
        rich_help_panel="External meter",
    ),
]
MeterOffsetOption = Annotated[
    float,
    typer.Option(
        callback=finite,
        help="This machine's clock minus the meter's clock, in seconds.",
        metavar="SECONDS",
        rich_help_panel="External meter",
    ),
]
MeterUnitOption = Annotated[
    Optional[Literal["W", "mW", "uW", "kW"]],
    typer.Option(
        help="Unit of the meter's power; default: as the columns' names say, else W.",
        rich_help_panel="External meter",
    ),
]
MeterTimeUnitOption = Annotated[
    Optional[Literal["s", "ms", "us", "ns"]],
    typer.Option(
        help="Unit of the meter's times; default: as the column's name says, else s.",
        rich_help_panel="External meter",
    ),
]
MeterDecimalOption = Annotated[
    Optional[Decimal],
    typer.Option(
        help="The meter's decimal sign; default: found out, if it can be told.",
        rich_help_panel="External meter",
    ),
]
MeterDelimiterOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="CHARACTER",
        callback=known_delimiter,
        help="What stands between the meter's columns: a character, or one of "
        f"{', '.join(DELIMITERS)}; default: found out.",
        rich_help_panel="External meter",
    ),
]
MeterEncodingOption = Annotated[
    Optional[str],
    typer.Option(
        help="Encoding of the meter's file, such as latin-1; default: UTF-8, or as its byte order "
        "mark says.",
        metavar="ENCODING",
        callback=known_encoding,
        rich_help_panel="External meter",
    ),
]
MeterSkipOption = Annotated[
    Optional[int],
    typer.Option(
        min=0,
        help="Lines of the meter's file before the one with names; default: found out.",
        metavar="LINES",
        rich_help_panel="External meter",
    ),
]


@dataclass(frozen=True)
class Recording:
    """What an external meter recorded."""

    path: Path
    time_column: str
    power_column: str
    offset: float
    """Seconds of this machine's clock minus the meter's."""
    layout: Layout


@dataclass(frozen=True)
class Inputs:
    """What takes turns, for how long, and what measures."""

    programs: dict[str, Program]
    overlay: str | None
    """Its name or path, where it is not that of the programs."""
    baseline: Path | None
    threads: int
    device: Device
    data: Path | None
    batch: int
    sensors: list[str]
    rate: float
    rounds: int
    durations: Durations

    @property
    def names(self) -> list[str]:
        """Of all contenders."""
        return [*self.programs, *([BASELINE] if self.baseline else [])]

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same when an experiment is resumed."""
        return {
            "contenders": self.names,
            "programs": {name: program.overlay_hash for name, program in self.programs.items()},
            "overlay": next(iter(self.programs.values())).overlay,
            "device": self.device,
            "sensors": self.sensors,
            "batch": self.batch,
            "rounds": self.rounds,
            "seconds": self.durations.run,
            "idle": self.durations.idle,
            "rate": self.rate,
        }


def power(
    programs: Annotated[
        list[Path],
        typer.Argument(
            help="Programs to compare, compiled for the same overlay.", metavar="PROGRAM…"
        ),
    ],
    sensor: SensorOption = ["hwmon"],  # noqa: B006 - typer copies it
    device: DeviceOption = "auto",
    overlay: ProgramOverlayOption = None,
    data: InputsOption = None,
    batch: BatchOption = 16,
    baseline: BaselineOption = None,
    threads: BaselineThreadsOption = 1,
    rounds: RoundsOption = 10,
    seconds: SecondsOption = 3.0,
    idle: IdleOption = 2.0,
    warm_up: WarmUpOption = 2.0,
    rate: RateOption = 20.0,
    settle: SettleOption = 0.0,
    output: OutputOption = None,
    meter_csv: MeterCsvOption = None,
    meter_time: MeterTimeOption = "time",
    meter_power: MeterPowerOption = "power",
    meter_offset: MeterOffsetOption = 0.0,
    meter_unit: MeterUnitOption = None,
    meter_time_unit: MeterTimeUnitOption = None,
    meter_decimal: MeterDecimalOption = None,
    meter_delimiter: MeterDelimiterOption = None,
    meter_encoding: MeterEncodingOption = None,
    meter_skip: MeterSkipOption = None,
    json: JsonOption = False,
) -> None:
    """Measure energy per inference, programs taking turns.

    Runs alternate with idle stretches, whose power is subtracted. Every figure has a 95 %
    interval. Rerun the command to resume an experiment that was interrupted.
    """
    if sensor == ["estimate"] and output is not None:
        raise UsageError("--sensor estimate writes nothing: leave out --output")
    if len({path.stem for path in programs}) < len(programs):
        raise UsageError("the programs need different file names: contenders are called by them")
    loaded = _load(programs)
    if sensor == ["estimate"]:
        _estimate(loaded, _overlay(loaded, overlay), batch, json)
        return
    layout = Layout(meter_delimiter, meter_decimal, meter_encoding, meter_skip, meter_unit,
                    meter_time_unit)  # fmt: skip
    recording = None
    if meter_csv is not None:
        recording = _recording(meter_csv, meter_time, meter_power, meter_offset, layout)
    inputs = Inputs(loaded, overlay, baseline, threads, device, data, batch, sensor, rate, rounds,
                    Durations(seconds, idle, warm_up))  # fmt: skip
    output = output or FOLDER
    log = Log(output, inputs.settings)
    failure = measure(inputs, log, progress_bar, console.note)
    samples = log.samples if recording is None else _recorded(log, recording)
    found = analyse(log.records, samples, settle)
    if failure is None and found:
        _keep(found, log, output, device)
    _show(found, log, output, device, failure is not None, json)
    if failure is None and found:
        _draw(found, log, samples, output)
    if isinstance(failure, KeyboardInterrupt):
        console.note(f"rerun the command to resume from slot {len(log.records)}")
    if failure is not None:
        raise failure


def measure(
    inputs: Inputs, log: Log, bar: ProgressBar, say: Callable[[str], None]
) -> BaseException | None:
    """Run the slots that the log lacks. An error after the first slot is returned, not raised.

    ``say`` is told which sensors are left out.
    """
    total = len(schedule(inputs.names, inputs.rounds))
    if len({record.slot.number for record in log.records}) >= total:
        return None
    try:
        with ExitStack() as stack:
            sampler = Sampler(_sensors(inputs.sensors, say), inputs.rate)
            stack.callback(sampler.close)
            contenders = _contenders(stack, inputs)
            title = f"{', '.join(inputs.names)}: {inputs.rounds} rounds each"
            with bar(title, total) as advance:
                run_experiment(contenders, inputs.rounds, inputs.durations, sampler, log, advance)
    except (AxynqError, KeyboardInterrupt) as error:
        if not log.records:
            raise
        return error
    return None


def _recording(path: Path, time: str, power: str, offset: float, layout: Layout) -> Recording:
    if not files.is_file(path):
        raise DataError(f"the meter's record '{path}' cannot be read: no such file")
    return Recording(path, time, power, offset, layout)


def _load(paths: list[Path]) -> dict[str, Program]:
    """Programs by the names of their files."""
    loaded = {path.stem: Program.load(path) for path in paths}
    overlays = {(program.overlay, program.overlay_hash) for program in loaded.values()}
    if len(overlays) > 1:
        named = ", ".join(sorted(overlay for overlay, _ in overlays))
        raise DataError(
            f"the programs are for different overlays ({named}): measure one overlay at a time"
        )
    return loaded


def _sensors(specifications: list[str], say: Callable[[str], None]) -> list[Sensor]:
    """Open all that are named; ``none`` stands for no sensor."""
    groups: list[list[Sensor]] = []
    try:
        for text in specifications:
            if text != "none":
                groups.append(open_sensors(text))
        unique_names([sensor for group in groups for sensor in group])
        # One that cannot be read is known before the first run.
        return [sensor for group in groups for sensor in readable(group, say)]
    except AxynqError:
        for group in groups:
            for sensor in group:
                sensor.close()
        raise


def _contenders(stack: ExitStack, inputs: Inputs) -> list[Contender]:
    overlay = _overlay(inputs.programs, inputs.overlay)
    accelerator = stack.enter_context(Accelerator(overlay, inputs.device))

    def on_accelerator(program: Program) -> Callable[[], int]:
        x = _images(program, inputs.data, inputs.batch)

        def run() -> int:
            accelerator.run(program, x)
            return inputs.batch

        return run

    contenders = [Contender(name, on_accelerator(p)) for name, p in inputs.programs.items()]
    if inputs.baseline is not None:
        first = next(iter(inputs.programs.values()))
        processor = ProcessorBaseline(inputs.baseline, first.input, inputs.threads)
        (x,) = _images(first, inputs.data, inputs.batch)
        contenders.append(Contender(BASELINE, lambda: len(processor.run(x))))
    return contenders


def _images(program: Program, data: Path | None, batch: int) -> list[npt.NDArray[np.int8]]:
    """A batch of the data, or of random inputs if there is none; for each input."""
    if data is None:
        rng = np.random.default_rng(0)
        return [
            rng.integers(-128, 128, (batch, *tensor.shape)).astype(np.int8)
            for tensor in program.inputs
        ]
    check_one_input(program.network, "--data has")
    x = quantise_examples(program.input, read_data(data, "test", batch).x)
    return [x[np.arange(batch) % len(x)]]


def _recorded(log: Log, recording: Recording) -> Samples:
    """The log's samples and the meter's."""
    path = recording.path
    times, watts = read_recording(
        path, recording.time_column, recording.power_column, recording.layout
    )
    lined = line_up(times, watts, log.records, recording.offset, path.name)
    sessions = log.samples.keys() | lined.keys()
    return {s: [*log.samples.get(s, []), *lined.get(s, [])] for s in sessions}


def _overlay(programs: dict[str, Program], given: str | None) -> Overlay:
    """The overlay that was named, or that of the programs.

    Raises:
        DataError: the programs are for another one.
    """
    first = next(iter(programs.values()))
    overlay = Overlay.load(given or first.overlay)
    if overlay.hash != first.overlay_hash:
        raise DataError(
            f"the programs were compiled for another overlay than '{overlay.name}' as it is "
            "described now: compile them again, or name theirs with --overlay"
        )
    return overlay


def _estimate(programs: dict[str, Program], overlay: Overlay, batch: int, json: bool) -> None:
    from axynq.host.power.estimate import Assumptions, estimate, notes_on

    rows, notes = {}, {}
    for name, program in programs.items():
        rows[name] = estimate(program, overlay, batch)
        notes[name] = notes_on(overlay)
    if json:
        print_json(
            "axynq/power-estimate/1",
            {
                "measured": False,
                "assumptions_pj": Assumptions()._asdict(),
                "contenders": {
                    name: row and {**row._asdict(), "joules": row.joules, "notes": notes[name]}
                    for name, row in rows.items()
                },
            },
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
    for name, lines in notes.items():
        for line in lines:
            results.print(f"{name}: {line}")


def _show(
    found: list[Result], log: Log, output: Path, device: Device, partial: bool, json: bool
) -> None:
    runs = sum(record.slot.contender is not None for record in log.records)
    if json:
        print_json("axynq/power/1", _content(found, runs, partial, output, device))
        return
    shown = table(
        "contender", "rail", "energy an inference", "above idle", "against the first", "power",
        "idle", "time an inference", "runs",
        title=f"energy per inference, mean and {100 * CONFIDENCE:.0f} % interval"
        + (f"; {SIMULATED}" if device == "software" else "")
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
        console.note(
            f"{runs} runs are in '{output}', with no power readings: rerun the command with "
            "--meter-csv and what the meter recorded"
        )


def _keep(found: list[Result], log: Log, output: Path, device: Device) -> None:
    """Write the results beside the log."""
    path = output / "results.json"
    runs = sum(record.slot.contender is not None for record in log.records)
    text = dumps(_content(found, runs, False, output, device), indent=1)
    try:
        files.write_text(path, text + "\n")
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error.strerror}") from error


def _draw(found: list[Result], log: Log, samples: Samples, output: Path) -> None:
    from axynq.host.power.picture import draw

    try:
        draw(output / "power.png", found, log.records, samples)
    except ToolError as error:  # boards often lack matplotlib; the figures do not need it
        console.note(f"no picture: {error}")


def _content(
    found: list[Result], runs: int, partial: bool, output: Path, device: Device
) -> dict[str, Any]:
    return {
        "measured": True,
        "folder": str(output),
        "device": device,
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
