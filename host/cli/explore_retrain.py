# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq explore --retrain``: search, tuning and retraining together. Needs PyTorch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from axynq.emulator import load_model
from axynq.emulator.model.graph import Model
from axynq.emulator.studies.evaluator import Examples
from axynq.emulator.studies.joint.options import JointOptions
from axynq.emulator.studies.search.exploration import Progress, Task
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import Workers
from axynq.host.cli.inputs import check_can_be_written
from axynq.host.cli.output import finite
from axynq.host.cli.training import check_device

if TYPE_CHECKING:  # needs PyTorch
    from collections.abc import Callable

    from axynq.emulator.studies.joint.exploration import JointOutcome, JointTask
    from axynq.emulator.studies.joint.retrainers import Retrainer, Setting

LARGEST_LOSS = 10.0
"""Points of accuracy that a plan may lose before it is retrained, unless --max-loss says."""

RetrainOption = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="EPOCHS",
        help="Retrain what is near the front, for so many epochs in the last and longest round; 0: "
        "only search and tune. Implies --weights rescaled --compensate.",
        rich_help_panel="Retraining",
    ),
]
RetrainRateOption = Annotated[
    float,
    typer.Option(
        min=0,
        callback=finite,
        help="With --retrain: learning rate (of Adam).",
        rich_help_panel="Retraining",
    ),
]
RetrainBatchOption = Annotated[
    int,
    typer.Option(
        min=1, help="With --retrain: examples per training step.", rich_help_panel="Retraining"
    ),
]
RetrainExamplesOption = Annotated[
    Optional[int],
    typer.Option(
        min=1,
        help="With --retrain: use only so many examples of the data's train part, evenly spread; "
        "default: all.",
        rich_help_panel="Retraining",
    ),
]
SharedPlansOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=64,
        help="With --retrain: plans of the front under which one set of weights is trained at "
        "once. Every candidate begins with it; 0: with the network itself.",
        rich_help_panel="Retraining",
    ),
]
SharedEpochsOption = Annotated[
    Optional[int],
    typer.Option(
        min=1,
        help="Epochs of training for --shared-plans; default: as --retrain.",
        rich_help_panel="Retraining",
    ),
]
SearchAgainOption = Annotated[
    bool,
    typer.Option(
        help="With --retrain: search once more, for plans that suit the weights of --shared-plans.",
        rich_help_panel="Retraining",
    ),
]
CandidatesOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="With --retrain: plans that are retrained at most.",
        rich_help_panel="Retraining",
    ),
]


@dataclass(frozen=True)
class Retraining:
    """What the options say of retraining."""

    options: JointOptions
    examples: int | None
    teacher: Model | None
    device: str | None


def retraining_of(
    options: JointOptions, examples: int | None, teacher: Path | None, device: str | None
) -> Retraining:
    """What the options say, checked before anything takes time.

    Raises:
        ModelError: the teacher cannot be read.
        DeviceError: there is no such device.
        ToolError: PyTorch is not installed.
    """
    import axynq.emulator.studies.retraining  # noqa: F401

    if device is not None:
        check_device(device)
    taught_by = None if teacher is None else load_model(teacher)
    return Retraining(options, examples, taught_by, device)


def joint_task(task: Task, training: Examples, searched: int, retraining: Retraining) -> JointTask:
    """What to explore.

    Args:
        task: the search.
        training: all examples to train on.
        searched: so many evenly spread ones of them are the search's.
        retraining: what the options say.

    Raises:
        ModelError: the network, with other weights, could not be written.
        DataError: there are too few examples.
    """
    from axynq.emulator.studies.joint.examples import with_held_out
    from axynq.emulator.studies.joint.exploration import JointTask

    check_can_be_written(task.model)
    options = retraining.options
    ordered = with_held_out(training, options.held_out, options.batch, searched)
    joint = JointTask(task, ordered, options, retraining.teacher, retraining.device)
    return replace(joint, search=replace(task, choice_examples=joint.held_out))


def explore_with_retraining(
    task: JointTask,
    store: Store,
    client: Any,
    local: bool,
    workers_for: Callable[[Task, Examples], Workers],
    progress: Progress,
) -> JointOutcome:
    """Explore, on the workers of a client where there is one.

    Args:
        task: what to explore.
        store: where evaluations are kept.
        client: a ``distributed.Client``, or None.
        local: whether its workers see this machine's files.
        workers_for: makes the workers that evaluate plans.
        progress: told how far it is.
    """
    from axynq.emulator.studies.joint.exploration import explore_jointly
    from axynq.emulator.studies.joint.retrainers import DaskRetrainer, LocalRetrainer

    def retrainer_for(setting: Setting) -> AbstractContextManager[Retrainer]:
        if client is not None:
            return DaskRetrainer(client, setting, local)
        return nullcontext(LocalRetrainer(setting, task.search.threads))

    return explore_jointly(task, store, workers_for, retrainer_for, progress)


def words(task: JointTask, outcome: JointOutcome) -> dict[str, Any]:
    """How networks were retrained, for ``front.json``."""
    return {
        "options": task.options.as_dict(),
        "teacher": (task.teacher or task.search.model).name,
        "training_examples": len(task.training) - len(task.held_out),
        "shared_weights": dict(outcome.shared),
        "dropped": [
            {
                "after_epochs": epochs,
                "energy_gain": 1 - each.contender.candidate.energy,
                "choice_accuracy": each.contender.candidate.accuracy,
                "by_energy_gain": 1 - each.by.candidate.energy,
                "by_choice_accuracy": each.by.candidate.accuracy,
            }
            for epochs, each in outcome.dropped
        ],
    }
