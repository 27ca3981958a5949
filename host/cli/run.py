# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq run``: a compiled program on a board or on the software board."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional

import numpy as np
import numpy.typing as npt
import typer

from axynq.emulator import files
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.errors import AxynqError, DataError
from axynq.host.baseline import ProcessorBaseline
from axynq.host.cli.inputs import (
    BaselineOption,
    BaselineThreadsOption,
    DataOption,
    Device,
    DeviceOption,
    LimitOption,
    ProgramOverlayOption,
    SplitOption,
    check_labels,
    check_one_input,
    check_one_output,
    read_data,
)
from axynq.host.cli.output import (
    JsonOption,
    console,
    percent,
    print_json,
    results,
    table,
)
from axynq.host.cli.progress import ProgressBar, progress_bar
from axynq.host.overlay import Overlay
from axynq.host.runtime.accelerator import Accelerator
from axynq.host.runtime.program import Program

STEP = 1024
"""Examples per step: outputs of the steps before a fault are not lost."""

LATENCY_CALLS = 15
"""Calls with a single image; the latency is their median."""

Int8 = npt.NDArray[np.int8]
Scores = npt.NDArray[Any]
"""Outputs; the baseline's have the type of its file."""


Wait = Literal["polling", "interrupt"]


@dataclass(frozen=True)
class Inputs:
    """What to run, and on what."""

    program: Program
    overlay: Overlay
    device: Device
    wait: Wait
    x: Int8
    labels: npt.NDArray[np.int64]
    processor: ProcessorBaseline | None


class Side(NamedTuple):
    """One way of running the network."""

    name: str
    accuracy: float
    seconds: float
    """For all examples."""
    latency_ms: float
    """Of a single image, host work included; median."""


class Outcome(NamedTuple):
    """The accelerator beside the processor."""

    accelerator: Side
    baseline: Side | None
    same_class: float | None
    """Share of the examples that both put into the same class."""


def run(
    program: Annotated[
        Path,
        typer.Argument(
            help="A compiled program, as `axynq compile` writes it.", metavar="PROGRAM.axp"
        ),
    ],
    data: DataOption,
    overlay: ProgramOverlayOption = None,
    device: DeviceOption = "auto",
    split: SplitOption = "test",
    limit: LimitOption = None,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            help="Write the network's int8 outputs to this .npy file.",
            metavar="FILE",
        ),
    ] = None,
    wait: Annotated[
        Wait, typer.Option(help="How the processor learns that the accelerator has finished.")
    ] = "polling",
    baseline: BaselineOption = None,
    threads: BaselineThreadsOption = 1,
    json: JsonOption = False,
) -> None:
    """Run a compiled program on a board, or on the software board.

    Reports accuracy, seconds for all examples, and the latency of a single image.
    """
    loaded = Program.load(program)
    check_one_input(loaded.network, "axynq run takes")
    check_one_output(loaded.network, "axynq run compares")
    examples = read_data(data, split, limit)
    check_labels(examples, int(np.prod(loaded.output.shape)))
    inputs = Inputs(
        program=loaded,
        overlay=Overlay.load(overlay or loaded.overlay),
        device=device,
        wait=wait,
        x=quantise_examples(loaded.input, examples.x),
        labels=examples.y,
        processor=ProcessorBaseline(baseline, loaded.input, threads) if baseline else None,
    )
    outcome = measure(inputs, output, progress_bar, console.note)
    if json:
        print_json("axynq/run/1", {"program": str(program), **_content(inputs, outcome)})
    else:
        _show(inputs, outcome)


def measure(
    inputs: Inputs, output: Path | None, bar: ProgressBar, say: Callable[[str], None]
) -> Outcome:
    """Run all examples on the accelerator, then on the processor if there is a baseline.

    ``say`` is told where the outputs are that were computed before a fault.
    """
    program, processor = inputs.program, inputs.processor

    def infer(images: Int8) -> Scores:
        return accelerator.run(program, images)

    with Accelerator(inputs.overlay, inputs.device, wait=inputs.wait) as accelerator:
        name = f"{program.overlay}, {inputs.device}"
        y, side = _side(name, infer, inputs, output, bar, say)
    if processor is None:
        return Outcome(side, None, None)
    name = f"processor, {processor.package}, {processor.threads} threads"
    other, baseline = _side(name, processor.run, inputs, None, bar, say)
    return Outcome(side, baseline, float((_classes(other) == _classes(y)).mean()))


def _side(
    name: str,
    infer: Callable[[Int8], Scores],
    inputs: Inputs,
    output: Path | None,
    bar: ProgressBar,
    say: Callable[[str], None],
) -> tuple[Scores, Side]:
    """All outputs, how many are right, and how long they took."""
    x = inputs.x
    outputs: list[Scores] = []
    started = time.perf_counter()
    try:
        with bar(name, len(x)) as advance:
            for start in range(0, len(x), STEP):
                outputs.append(infer(x[start : start + STEP]))
                advance(len(outputs[-1]))
    except (AxynqError, KeyboardInterrupt):
        if output is not None and outputs:
            _save(output, np.concatenate(outputs))
            say(f"'{output}' holds the first {sum(map(len, outputs))} of {len(x)} outputs")
        raise
    seconds = time.perf_counter() - started
    y = np.concatenate(outputs)
    if output is not None:
        _save(output, y)
    accuracy = float((_classes(y) == inputs.labels).mean())
    return y, Side(name, accuracy, seconds, _latency_ms(infer, x[:1]))


def _latency_ms(infer: Callable[[Int8], Scores], image: Int8) -> float:
    """Median over some calls."""
    single = []
    for _ in range(LATENCY_CALLS):
        began = time.perf_counter()
        infer(image)
        single.append(time.perf_counter() - began)
    return 1e3 * statistics.median(single)


def _content(inputs: Inputs, outcome: Outcome) -> dict[str, Any]:
    side, baseline, same_class = outcome
    content: dict[str, Any] = {
        "overlay": inputs.program.overlay,
        "device": inputs.device,
        "examples": len(inputs.x),
        "accuracy": side.accuracy,
        "seconds": round(side.seconds, 3),
        "latency_ms": side.latency_ms,
    }
    if baseline is not None:
        content["baseline"] = {**baseline._asdict(), "same_class": same_class}
    return content


def _show(inputs: Inputs, outcome: Outcome) -> None:
    side, baseline, same_class = outcome
    count = len(inputs.x)
    shown = table(
        "", "accuracy", "seconds", "images a second", "latency of one",
        title=f"{inputs.program.model} on {count} examples",
    )  # fmt: skip
    for s in (side, baseline):
        if s is not None:
            shown.add_row(
                s.name,
                percent(s.accuracy),
                f"{s.seconds:.2f}",
                f"{count / max(s.seconds, 1e-9):.1f}",
                f"{s.latency_ms:.3f} ms",
            )
    results.print(shown)
    if same_class is not None:
        results.print(f"same class on {percent(same_class)} of the examples")


def _classes(y: Scores) -> npt.NDArray[np.int64]:
    return y.reshape(len(y), -1).argmax(axis=1)


def _save(path: Path, y: Scores) -> None:
    try:
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, y)  # to a name it would add .npy
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error.strerror}") from error
