"""``axynq retrain``: recover the accuracy that a plan costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import numpy as np
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from axynq.emulator import Emulator, load_model, save_model
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.errors import DataError, DeviceError
from axynq.host.cli.inputs import (
    LARGEST_SEED,
    DataOption,
    ModelArgument,
    PlanOption,
    check_labels,
    read_data,
    read_plan,
)
from axynq.host.cli.output import JsonOption, console, finite, percent, print_json, results, table


def retrain_(
    model: ModelArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option(help="Where to save the retrained .tflite.")],
    plan: PlanOption = "exact",
    method: Annotated[
        str,
        typer.Option(
            help="behavioural (the approximate network itself forward), multiplier-aware (and "
            "weights chosen by what the multipliers make of them), error-model (errors at random, "
            "as measured), weight-noise, gaussian, or plain (no errors: the control)."
        ),
    ] = "behavioural",
    fitted: Annotated[
        bool,
        typer.Option(
            "--fitted",
            help="The network comes from `axynq tune` for this plan: multiplier-aware retraining "
            "goes on from what its weights amount to.",
        ),
    ] = False,
    epochs: Annotated[int, typer.Option(min=1)] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 128,
    rate: Annotated[
        float, typer.Option(min=0, callback=finite, help="Learning rate at the start.")
    ] = 1e-3,
    warmup: Annotated[
        float,
        typer.Option(
            min=0, max=1, callback=finite, help="Share of the steps in which the rate first rises."
        ),
    ] = 0.0,
    optimiser: Annotated[
        str, typer.Option(help="sgd (with momentum), or adam (wants a lower rate).")
    ] = "sgd",
    clip: Annotated[
        Optional[float],
        typer.Option(
            min=0,
            callback=finite,
            help="Cut gradients to this length: steadies training at large errors.",
        ),
    ] = None,
    distillation: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="Share of the loss that is the distance to the exact network.",
        ),
    ] = 0.0,
    teacher: Annotated[
        Optional[Path],
        typer.Option(help="The .tflite network to distil from; default: the network itself."),
    ] = None,
    augment: Annotated[
        bool, typer.Option("--augment", help="Shift and mirror images at random.")
    ] = False,
    remeasure: Annotated[
        bool, typer.Option(help="Measure errors again before each epoch, where the method does.")
    ] = True,
    validation: Annotated[
        int,
        typer.Option(min=1, help="Training examples held out, on which every epoch is measured."),
    ] = 2000,
    keep: Annotated[
        str,
        typer.Option(
            help="Which epoch: best, by the examples held out, or last. Those favour early epochs "
            "where the network was first trained on them too."
        ),
    ] = "best",
    patience: Annotated[
        Optional[int], typer.Option(min=1, help="Stop after so many epochs without a better one.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED)] = 0,
    checkpoint: Annotated[
        Optional[Path],
        typer.Option(
            help="Keep the state here after each epoch; the same command goes on from it."
        ),
    ] = None,
    device: Annotated[
        Optional[str], typer.Option(help="cpu or cuda; default: a GPU where there is one.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Retrain a network for a plan's errors, on the data's training part.

    The result has the same quantisation. Accuracy is measured bit-exactly on the test part.
    """
    from axynq.emulator.studies.retraining import KEEP, METHODS, OPTIMISERS, RetrainOptions, retrain

    if method not in METHODS:
        raise DataError(f"the method is one of {', '.join(METHODS)}, not '{method}'")
    if optimiser not in OPTIMISERS:
        raise DataError(f"the optimiser is {' or '.join(OPTIMISERS)}, not '{optimiser}'")
    if keep not in KEEP:
        raise DataError(f"the epoch to keep is {' or '.join(KEEP)}, not '{keep}'")
    if device is not None:
        _check_device(device)
    network = load_model(model)
    taught = load_model(teacher) if teacher is not None else None
    chosen = read_plan(network, plan)
    training, test = read_data(data, "train", None), read_data(data, "test", None)
    for part in (training, test):
        check_labels(part, int(np.prod(network.output.shape)))
    options = RetrainOptions(
        method=method,
        fitted=fitted,
        epochs=epochs,
        batch=batch,
        rate=rate,
        warmup=warmup,
        optimiser=optimiser,
        clip=clip,
        distillation=distillation,
        augment=augment,
        remeasure=remeasure,
        validation=validation,
        keep=keep,
        patience=patience,
        seed=seed,
    )
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    x = quantise_examples(network.input, training.x)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{method}, {plan}", total=epochs)

        def report(last: Any, step: int, steps: int, loss: float) -> None:
            progress.update(
                task,
                completed=last.number + step / steps,
                description=f"{method}, {plan}: epoch {last.number + 1}, loss {loss:.3f}, "
                f"held out {percent(last.accuracy)}",
            )

        outcome = retrain(
            network, chosen, x, training.y, options,
            teacher=taught, checkpoint=checkpoint, device=device, progress=report,
        )  # fmt: skip
    save_model(outcome.model, output)
    console.print(f"saved {output}")
    x = quantise_examples(network.input, test.x)

    def tested(candidate: Any, text: str) -> float:
        used = chosen if text == plan else text
        return Emulator(candidate, used).accuracy(x, test.y)

    summary: dict[str, Any] = {
        "model": str(model),
        "plan": plan,
        "output": str(output),
        "options": options.as_dict(),
        "teacher": str(teacher) if teacher is not None else None,
        "accuracy_exact": tested(network, "exact"),
        "accuracy_before": tested(network, plan),
        "accuracy_after": tested(outcome.model, plan),
        "kept_epoch": outcome.epoch,
        "preparation_seconds": outcome.preparation_seconds,
        "epochs": [epoch.__dict__ for epoch in outcome.history],
    }
    if json:
        print_json(summary)
        return
    shown = table("", "", title=f"{network.name}, {plan}, {method}: {len(x)} test examples")
    shown.add_row("exact multipliers, before", percent(summary["accuracy_exact"]))
    shown.add_row("plan, before", percent(summary["accuracy_before"]))
    shown.add_row("plan, after", percent(summary["accuracy_after"]))
    shown.add_row("kept epoch", f"{outcome.epoch} of {len(outcome.history) - 1}")
    shown.add_row("seconds an epoch", f"{np.mean([e.seconds for e in outcome.history[1:]]):.1f}")
    results.print(shown)


def _check_device(name: str) -> None:
    """Raises:
    DeviceError: PyTorch has no such device here.
    """
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise DeviceError(f"PyTorch has no device '{name}' here: {reason}") from error
