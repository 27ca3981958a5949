# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq match``: the noise-based search for the best plans of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from axynq.emulator import load_model
from axynq.emulator.multipliers import multiplier, split_multipliers
from axynq.emulator.studies.search.folder import check_network, mark_network
from axynq.host.cli.explore import LIBRARY
from axynq.host.cli.inputs import (
    DataOption,
    EnergyOption,
    LimitOption,
    ModelArgument,
    MultipliersOption,
    ResumedFolderOption,
    SplitOption,
    check_can_be_written,
    read_examples,
)
from axynq.host.cli.output import (
    INTERVAL,
    JsonOption,
    console,
    finite,
    percent,
    points_interval,
    print_json,
    results,
    table,
)
from axynq.host.cli.progress import phases
from axynq.host.cli.training import (
    AugmentOption,
    BatchOption,
    ClipOption,
    DistillationOption,
    HeldOutOption,
    MethodOption,
    OptimiserOption,
    TorchDeviceOption,
    TrainingSeedOption,
    WarmupOption,
    check_device,
    warn_of_trained,
)
from axynq.host.energy import energy_figures

if TYPE_CHECKING:  # needs PyTorch
    from axynq.emulator.studies.matching import Outcome, Task

PredictionName = Literal["multi-distribution", "measured", "residual"]


def strengths_of(text: str) -> tuple[float, ...]:
    """Strengths, each once, in the order given.

    Raises:
        typer.BadParameter: one is no number, negative or not finite.
    """
    strengths = []
    for part in text.split(","):
        try:
            strength = float(part)
        except ValueError:
            strength = -1.0
        if not (math.isfinite(strength) and strength >= 0):
            raise typer.BadParameter(f"'{part.strip()}' is not a strength: give numbers from 0 on")
        strengths.append(strength)
    return tuple(dict.fromkeys(strengths))


def _known_strengths(text: str) -> str:
    strengths_of(text)
    return text


StrengthOption = Annotated[
    str,
    typer.Option(
        metavar="L,…",
        callback=_known_strengths,
        help="What noise is worth against accuracy (lambda of the paper), a number for each point "
        "of the front: the larger, the more noise and the cheaper the plan.",
        rich_help_panel="Learning the noise",
    ),
]
EpochsOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Passes over the training examples to learn the noise in.",
        rich_help_panel="Learning the noise",
    ),
]
RateOption = Annotated[
    float,
    typer.Option(
        min=0,
        callback=finite,
        help="Learning rate of the weights while the noise is learnt; it falls to zero along a "
        "cosine, as the others do.",
        rich_help_panel="Learning the noise",
    ),
]
NoiseRateOption = Annotated[
    float,
    typer.Option(
        min=0,
        callback=finite,
        help="Learning rate of the noise.",
        rich_help_panel="Learning the noise",
    ),
]
InitialOption = Annotated[
    float,
    typer.Option(
        min=0,
        callback=finite,
        help="Noise of each layer at the start, as a share of the deviation of its output.",
        metavar="SHARE",
        rich_help_panel="Learning the noise",
    ),
]
NoiseLimitOption = Annotated[
    float,
    typer.Option(
        min=0,
        callback=finite,
        help="Noise beyond this share is worth no more (sigma_max).",
        metavar="SHARE",
        rich_help_panel="Learning the noise",
    ),
]
PredictionOption = Annotated[
    PredictionName,
    typer.Option(
        help="How a multiplier's errors in a layer are found. multi-distribution: the "
        "probabilistic model of the paper; measured: by computing the layer with it; residual: "
        "likewise, without each filter's mean and gain, which retraining makes good.",
        rich_help_panel="Multipliers and plan",
    ),
]
ErrorExamplesOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Training examples from which errors are found.",
        rich_help_panel="Multipliers and plan",
    ),
]
RetrainOption = Annotated[
    int,
    typer.Option(
        min=0,
        help="Epochs of retraining under each plan; each then has a second point. 0: none.",
        metavar="EPOCHS",
        rich_help_panel="Retraining",
    ),
]
RetrainRateOption = Annotated[
    float,
    typer.Option(
        min=0,
        callback=finite,
        help="Learning rate of the retraining.",
        rich_help_panel="Retraining",
    ),
]
CheckpointsOption = Annotated[
    Optional[Path],
    typer.Option(
        help="Folder for what takes long; runs with other multipliers find their searches there "
        "again. Default: checkpoints in the output folder.",
        metavar="FOLDER",
        rich_help_panel="Results",
    ),
]


def match_(
    model: ModelArgument,
    data: DataOption,
    output: ResumedFolderOption,
    multipliers: MultipliersOption = LIBRARY,
    strength: StrengthOption = "0.3,1,3",
    epochs: EpochsOption = 1,
    rate: RateOption = 1e-3,
    noise_rate: NoiseRateOption = 1e-2,
    initial: InitialOption = 0.025,
    noise_limit: NoiseLimitOption = 0.5,
    batch: BatchOption = 128,
    augment: AugmentOption = False,
    prediction: PredictionOption = "multi-distribution",
    error_examples: ErrorExamplesOption = 128,
    retrain: RetrainOption = 0,
    method: MethodOption = "behavioural",
    retrain_rate: RetrainRateOption = 1e-3,
    optimiser: OptimiserOption = "sgd",
    warmup: WarmupOption = 0.0,
    clip: ClipOption = None,
    distillation: DistillationOption = 0.0,
    held_out: HeldOutOption = 2000,
    energy: EnergyOption = "characterised",
    split: SplitOption = "test",
    limit: LimitOption = None,
    seed: TrainingSeedOption = 0,
    checkpoints: CheckpointsOption = None,
    device: TorchDeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Match multipliers to the noise that layers tolerate.

    The noise-based search of Trommer et al. (ICCAD 2022): the noise of each layer is learnt along
    with the weights, each layer gets the cheapest multiplier whose errors are no larger, and the
    network may be retrained then. Needs PyTorch.
    """
    from axynq.emulator.studies.matching import SearchOptions, Task, run, write_report
    from axynq.emulator.studies.retraining import RetrainOptions

    if device is not None:
        check_device(device)
    network = load_model(model)
    check_can_be_written(network)
    check_network(output, network)
    library = tuple(dict.fromkeys(split_multipliers(multipliers)))
    figures = energy_figures(energy, [multiplier(spec) for spec in library])
    retraining = RetrainOptions(
        method=method, epochs=retrain, batch=batch, rate=retrain_rate, optimiser=optimiser,
        warmup=warmup, clip=clip, distillation=distillation, augment=augment,
        validation=held_out, seed=seed,
    )  # fmt: skip
    search = SearchOptions(
        initial=initial, limit=noise_limit, epochs=epochs, batch=batch, rate=rate,
        noise_rate=noise_rate, augment=augment, validation=held_out, seed=seed,
    )  # fmt: skip
    training = read_examples(network, data, "train", None)
    tested = read_examples(network, data, split, limit)
    task = Task(
        network,
        training,
        tested,
        library,
        strengths_of(strength),
        search,
        retraining if retrain else None,
        prediction,
        error_examples,
        figures,
        device,
    )
    with _progress() as report:
        outcome = run(task, checkpoints or output / "checkpoints", report)
    warn_of_trained(training.x, held_out, tested.x, split)
    mark_network(output, network)
    path = write_report(outcome, task, output, {"model": str(model), "seed": seed})
    if json:
        print_json("axynq/match/1", _content(outcome, path))
    else:
        _show(outcome, task)
        console.note(f"wrote {path}")


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar for what is being done; yields what advances it."""
    with phases(counted=False) as bar:
        yield lambda what, share: bar(what, share, 1.0)


def _content(outcome: Outcome, path: Path) -> dict[str, Any]:
    return {
        "output": str(path),
        "baseline_accuracy": outcome.baseline,
        "points": [
            {
                "name": found.name,
                "strength": found.strength,
                "retrained": found.retrained,
                "energy_gain": 1 - found.energy,
                "accuracy": found.against_exact.second_accuracy,
                "accuracy_loss": found.against_exact.loss,
                "accuracy_loss_interval": list(found.against_exact.loss_interval()),
                "choice_accuracy": found.choice_accuracy,
                "plan": {name: a.multipliers[0] for name, a in found.plan.layers.items()},
                "noise": dict(found.deviations),
            }
            for found in outcome.found
        ],
    }


def _show(outcome: Outcome, task: Task) -> None:
    shown = table(
        "point", "energy saved", "accuracy", "loss", INTERVAL, "held out",
        title=f"{task.model.name}; exact: {percent(outcome.baseline)} of {len(task.test)} examples",
    )  # fmt: skip
    for found in outcome.found:
        shown.add_row(
            found.name, percent(1 - found.energy, 1),
            percent(found.against_exact.second_accuracy), f"{100 * found.against_exact.loss:.2f}",
            points_interval(found.against_exact.loss_interval()), percent(found.choice_accuracy),
        )  # fmt: skip
    results.print(shown)
    matched = [found for found in outcome.found if not found.retrained]
    layers = table(
        "layer", *(f"strength {found.strength:g}" for found in matched),
        title="The noise that each layer bears, and the multiplier with such errors",
    )  # fmt: skip
    for layer in task.model.layers:
        cells = [
            f"{found.deviations[layer.name]:.3f} {found.plan.layers[layer.name].multipliers[0]}"
            for found in matched
        ]
        layers.add_row(layer.name, *cells)
    results.print(layers)
