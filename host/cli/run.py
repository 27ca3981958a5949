"""``axynq run``: a compiled program on a board or on the software board."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt
import typer

from axynq.emulator import files
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.errors import AxynqError, DataError, DeviceError
from axynq.host.baseline import ProcessorBaseline
from axynq.host.cli.inputs import (
    DataOption,
    DeviceOption,
    LimitOption,
    SplitOption,
    check_labels,
    device_name,
    read_data,
)
from axynq.host.cli.output import (
    JsonOption,
    console,
    percent,
    print_json,
    progress_bar,
    results,
    table,
)
from axynq.host.overlay import Overlay
from axynq.host.runtime.accelerator import Accelerator
from axynq.host.runtime.program import Program

STEP = 1024
"""Examples whose outputs are kept together: what is done before a fault is not lost."""

LATENCY_CALLS = 15
"""Single images that the latency is the median of."""

Int8 = npt.NDArray[np.int8]
Scores = npt.NDArray[Any]
"""Outputs; the baseline's have the type of its file."""


class Side(NamedTuple):
    """One way of running the network."""

    name: str
    accuracy: float
    seconds: float
    """For all examples."""
    latency_ms: float
    """Of a single image, host work included; median."""


def run(
    program: Annotated[Path, typer.Argument(help="A compiled program.", metavar="PROGRAM.axp")],
    data: DataOption,
    overlay: Annotated[
        Optional[str], typer.Option(help="The overlay; default: the program's.")
    ] = None,
    device: DeviceOption = "auto",
    split: SplitOption = "test",
    limit: LimitOption = None,
    output: Annotated[
        Optional[Path], typer.Option(help="Write the network's int8 output to this .npy file.")
    ] = None,
    wait: Annotated[str, typer.Option(help="For the core: polling or interrupt.")] = "polling",
    baseline: Annotated[
        Optional[Path],
        typer.Option(help="Also run this .tflite network on the processor, through TFLite."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the baseline.")] = 1,
    json: JsonOption = False,
) -> None:
    """Run a compiled program on a board, or on the software board."""
    loaded = Program.load(program)
    chosen = device_name(device)
    if wait not in ("polling", "interrupt"):
        raise DeviceError(f"--wait is polling or interrupt, not '{wait}'")
    examples = read_data(data, split, limit)
    check_labels(examples, int(np.prod(loaded.output.shape)))
    x = quantise_examples(loaded.input.tensor, examples.x)
    processor = ProcessorBaseline(baseline, loaded.input.tensor, threads) if baseline else None
    with Accelerator(
        Overlay.load(overlay or loaded.overlay),
        chosen,
        wait="interrupt" if wait == "interrupt" else "polling",
    ) as accelerator:

        def infer(images: Int8) -> Int8:
            return accelerator.run(loaded, images)

        y, side = _side(f"{loaded.overlay}, {device}", infer, x, examples.y, output)
    sides = [side]
    agreement = None
    if processor is not None:
        name = f"processor, {processor.package}, {threads} threads"
        other, side = _side(name, processor.run, x, examples.y, None)
        sides.append(side)
        agreement = float((_classes(other) == _classes(y)).mean())
    if json:
        content: dict[str, Any] = {
            "program": str(program),
            "overlay": loaded.overlay,
            "device": device,
            "examples": len(y),
            "accuracy": sides[0].accuracy,
            "seconds": round(sides[0].seconds, 3),
            "latency_ms": sides[0].latency_ms,
        }
        if processor is not None:
            content["baseline"] = {**sides[1]._asdict(), "same_class": agreement}
        print_json(content)
        return
    shown = table(
        "", "accuracy", "seconds", "images a second", "latency of one",
        title=f"{loaded.model} on {len(y)} examples",
    )  # fmt: skip
    for s in sides:
        rate = len(y) / max(s.seconds, 1e-9)
        shown.add_row(
            s.name, percent(s.accuracy), f"{s.seconds:.2f}", f"{rate:.1f}", f"{s.latency_ms:.3f} ms"
        )
    results.print(shown)
    if agreement is not None:
        console.print(f"same class on {percent(agreement)} of the examples")


def _side(
    name: str,
    infer: Callable[[Int8], Scores],
    x: Int8,
    labels: npt.NDArray[np.int64],
    output: Path | None,
) -> tuple[Scores, Side]:
    """All outputs, and how fast and right they are."""
    outputs: list[Scores] = []
    started = time.perf_counter()
    try:
        with progress_bar(name, len(x)) as advance:
            for start in range(0, len(x), STEP):
                outputs.append(infer(x[start : start + STEP]))
                advance(len(outputs[-1]))
    except (AxynqError, KeyboardInterrupt):
        if output is not None and outputs:
            _save(output, np.concatenate(outputs))
            done = sum(map(len, outputs))
            console.print(f"'{output}' holds the first {done} of {len(x)} outputs")
        raise
    seconds = time.perf_counter() - started
    y = np.concatenate(outputs)
    if output is not None:
        _save(output, y)
    single = []
    for _ in range(LATENCY_CALLS):
        began = time.perf_counter()
        infer(x[:1])
        single.append(time.perf_counter() - began)
    accuracy = float((_classes(y) == labels).mean())
    return y, Side(name, accuracy, seconds, 1e3 * statistics.median(single))


def _classes(y: Scores) -> npt.NDArray[np.int64]:
    return y.reshape(len(y), -1).argmax(axis=1)


def _save(path: Path, y: Scores) -> None:
    try:
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, y)  # to a name it would add .npy
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error.strerror}") from error
