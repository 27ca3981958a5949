# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq retrain``: recover the accuracy that a plan costs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import numpy as np
import typer

from axynq.emulator import Emulator, load_model, save_model
from axynq.emulator.datasets import Dataset, quantise_examples
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
from axynq.host.cli.inputs import (
    DataOption,
    ModelArgument,
    PlanOption,
    check_can_be_written,
    check_labels,
    read_data,
    read_plan,
)
from axynq.host.cli.output import JsonOption, console, facts, finite, percent, print_json, results
from axynq.host.cli.progress import phases
from axynq.host.cli.training import (
    AugmentOption,
    BatchOption,
    ClipOption,
    DistillationOption,
    HeldOutOption,
    MethodOption,
    OptimiserOption,
    TeacherOption,
    TorchDeviceOption,
    TrainingSeedOption,
    WarmupOption,
    check_device,
    warn_of_trained,
)
from axynq.host.report.live import TrainingPage, both, following

if TYPE_CHECKING:  # needs PyTorch
    from collections.abc import Iterator

    from axynq.emulator.studies.retraining import RetrainOptions, RetrainResult

Report = Callable[[Any, int, int, float], None]
"""Told of each step: the last finished epoch, the step, the steps of an epoch, the mean loss."""

OutputOption = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="The .tflite file to write the retrained network to.",
        metavar="FILE",
        rich_help_panel="Results",
    ),
]
FittedOption = Annotated[
    bool,
    typer.Option(
        "--fitted",
        help="The network was written by `axynq tune` for this plan: multiplier-aware retraining "
        "then starts from the values that its weights stand for.",
        rich_help_panel="Retraining",
    ),
]
SmoothingOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=126,
        help="With lut-1d and lut-2d: operands on either side over which products are averaged "
        "before their slope is taken.",
        rich_help_panel="Retraining",
    ),
]
EpochsOption = Annotated[
    int,
    typer.Option(min=1, help="Passes over the training examples.", rich_help_panel="Retraining"),
]
RateOption = Annotated[
    float,
    typer.Option(
        min=0,
        callback=finite,
        help="Learning rate at the start; it falls to zero along a cosine.",
        rich_help_panel="Retraining",
    ),
]
RemeasureOption = Annotated[
    bool,
    typer.Option(
        help="With methods that use measured errors: measure them before each epoch, not only "
        "before the first.",
        rich_help_panel="Retraining",
    ),
]
KeepOption = Annotated[
    Literal["best", "last"],
    typer.Option(
        help="Which epoch's network is written: the best on the examples held out, or the last. "
        "If the network was first trained on those examples too, best favours early epochs.",
        rich_help_panel="Results",
    ),
]
PatienceOption = Annotated[
    Optional[int],
    typer.Option(
        min=1,
        help="Stop after this many epochs without a better one; default: never.",
        metavar="EPOCHS",
        rich_help_panel="Retraining",
    ),
]
CheckpointOption = Annotated[
    Optional[Path],
    typer.Option(
        help="File for the state after each epoch; rerun the command to resume from it.",
        metavar="FILE",
        rich_help_panel="Results",
    ),
]


@dataclass(frozen=True)
class Inputs:
    """What to retrain, and how."""

    network: Model
    plan: Plan
    plan_text: str
    teacher: Model | None
    training: Dataset
    test: Dataset
    options: RetrainOptions
    checkpoint: Path | None
    device: str | None


@dataclass(frozen=True)
class Outcome:
    """A retrained network, and accuracies on the test examples."""

    result: RetrainResult
    exact: float
    """Before, with exact multipliers."""
    before: float
    """Under the plan."""
    after: float
    """Under the plan, as it was written."""


def retrain_(
    model: ModelArgument,
    data: DataOption,
    output: OutputOption,
    plan: PlanOption = "exact",
    method: MethodOption = "behavioural",
    fitted: FittedOption = False,
    smoothing: SmoothingOption = 32,
    epochs: EpochsOption = 5,
    batch: BatchOption = 128,
    rate: RateOption = 1e-3,
    warmup: WarmupOption = 0.0,
    optimiser: OptimiserOption = "sgd",
    clip: ClipOption = None,
    distillation: DistillationOption = 0.0,
    teacher: TeacherOption = None,
    augment: AugmentOption = False,
    remeasure: RemeasureOption = True,
    held_out: HeldOutOption = 2000,
    keep: KeepOption = "best",
    patience: PatienceOption = None,
    seed: TrainingSeedOption = 0,
    checkpoint: CheckpointOption = None,
    device: TorchDeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Retrain a network so that it is accurate under a plan.

    Trains on the data's train part and measures bit-exactly on its test part. The result has the
    same quantisation; only weights and biases differ. NAME.progress.html beside the output shows
    the curves so far. Needs PyTorch.
    """
    from axynq.emulator.studies.retraining import RetrainOptions

    options = RetrainOptions(
        method=method, fitted=fitted, smoothing=smoothing, epochs=epochs, batch=batch, rate=rate,
        warmup=warmup,
        optimiser=optimiser, clip=clip, distillation=distillation, augment=augment,
        remeasure=remeasure, validation=held_out, keep=keep, patience=patience, seed=seed,
    )  # fmt: skip
    inputs = _read(model, data, plan, teacher, options, checkpoint, device)
    live = TrainingPage(
        output, inputs.network.name, plan, options.as_dict(), console.note, checkpoint is not None
    )
    with _progress(inputs) as report, following(live) as page:
        outcome = measure(inputs, output, both(report, page), console.note)
        page.results(outcome.result.history, _accuracies(outcome))
    warn_of_trained(inputs.training.x, options.validation, inputs.test.x)
    console.note(f"wrote {output}")
    if json:
        names = {"model": model, "plan": plan, "output": output, "teacher": teacher}
        print_json("axynq/retrain/1", _content(names, inputs, outcome))
    else:
        _show(inputs, outcome)


def _read(
    model: Path,
    data: Path,
    plan: str,
    teacher: Path | None,
    options: RetrainOptions,
    checkpoint: Path | None,
    device: str | None,
) -> Inputs:
    if device is not None:
        check_device(device)
    network = load_model(model)
    check_can_be_written(network)
    taught_by = load_model(teacher) if teacher is not None else None
    chosen = read_plan(network, plan)
    training, test = read_data(data, "train", None), read_data(data, "test", None)
    for part in (training, test):
        check_labels(part, int(np.prod(network.output.shape)))
    return Inputs(network, chosen, plan, taught_by, training, test, options, checkpoint, device)


def measure(inputs: Inputs, output: Path, report: Report, say: Callable[[str], None]) -> Outcome:
    """Retrain, write the network to ``output``, and measure it on the test examples.

    ``say`` is told which epoch an interrupted training goes on from.
    """
    from axynq.emulator.studies.retraining import retrain

    network, plan = inputs.network, inputs.plan
    result = retrain(
        network,
        plan,
        quantise_examples(network.input, inputs.training.x),
        inputs.training.y,
        inputs.options,
        teacher=inputs.teacher,
        checkpoint=inputs.checkpoint,
        device=inputs.device,
        progress=both(_saying_where(inputs, say), report),
    )
    save_model(result.model, output)
    x, y = quantise_examples(network.input, inputs.test.x), inputs.test.y
    return Outcome(
        result,
        exact=Emulator(network, "exact").accuracy(x, y),
        before=Emulator(network, plan).accuracy(x, y),
        after=Emulator(result.model, plan).accuracy(x, y),
    )


def _saying_where(inputs: Inputs, say: Callable[[str], None]) -> Report:
    def report(last: Any, step: int, steps: int, loss: float) -> None:
        if step == 0:  # a checkpoint has been read
            epochs = inputs.options.epochs
            say(f"{inputs.checkpoint}: resuming from epoch {last.number} of {epochs}")

    return report


@contextmanager
def _progress(inputs: Inputs) -> Iterator[Report]:
    """A bar of epochs; yields what advances it."""
    title = f"{inputs.options.method}, {inputs.plan_text}"
    with phases(counted=False) as bar:

        def report(last: Any, step: int, steps: int, loss: float) -> None:
            bar(
                title,
                last.number + step / steps,
                inputs.options.epochs,
                f"epoch {last.number + 1}, loss {loss:.3f}, held out {percent(last.accuracy)}",
            )

        yield report


def _content(names: dict[str, Any], inputs: Inputs, outcome: Outcome) -> dict[str, Any]:
    result = outcome.result
    return {
        **{key: None if name is None else str(name) for key, name in names.items()},
        "options": inputs.options.as_dict(),
        "accuracy_exact": outcome.exact,
        "accuracy_before": outcome.before,
        "accuracy_after": outcome.after,
        "kept_epoch": result.epoch,
        "preparation_seconds": result.preparation_seconds,
        "epochs": [epoch.__dict__ for epoch in result.history],
    }


def _accuracies(outcome: Outcome) -> dict[str, float]:
    """On the test examples."""
    return {
        "exact multipliers, before": outcome.exact,
        "plan, before": outcome.before,
        "plan, after": outcome.after,
    }


def _show(inputs: Inputs, outcome: Outcome) -> None:
    history = outcome.result.history
    title = (
        f"{inputs.network.name}, {inputs.plan_text}, {inputs.options.method}: "
        f"{len(inputs.test)} test examples"
    )
    rows = [
        *((name, percent(accuracy)) for name, accuracy in _accuracies(outcome).items()),
        ("kept epoch", f"{outcome.result.epoch} of {len(history) - 1}"),
        ("seconds an epoch", f"{np.mean([e.seconds for e in history[1:]]):.1f}"),
    ]
    results.print(facts(title, rows))
