# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Who retrains candidates: this process, or Dask workers on this and other machines."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import torch

from axynq.emulator.keys import plan_key
from axynq.emulator.model.graph import Model
from axynq.emulator.model.segments import fingerprint
from axynq.emulator.plan import Plan
from axynq.emulator.studies.evaluator import Examples
from axynq.emulator.studies.joint.examples import held_out_of
from axynq.emulator.studies.joint.options import JointOptions
from axynq.emulator.studies.joint.records import Retrained
from axynq.emulator.studies.joint.shared import SharedWeights
from axynq.emulator.studies.retraining import (
    Parameters,
    RetrainOptions,
    RetrainResult,
    retrain,
)
from axynq.emulator.studies.retraining.training import device_of
from axynq.emulator.studies.search.workers import as_finished, right_ones

FEW = 4
"""Examples of a rehearsal's step."""

Advance = Callable[[int], None]
"""Called with the number of epochs that are done."""

Done = Callable[[int, Retrained], None]
"""Called with a job's place in the batch and what became of it."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What all trainings have in common."""

    model: Model
    """The network they begin as."""
    teacher: Model
    """Whose scores are learned from, with exact multipliers."""
    examples: Examples
    """To train on, with those that are held out (:mod:`~axynq.emulator.studies.joint.examples`)."""
    options: JointOptions
    device: str | None = None
    """Of PyTorch; default: a GPU where there is one."""

    def key(self) -> str:
        """SHA-256 of what results depend on, in hex."""
        options = self.options
        recipe = (options.held_out, options.batch, options.rate, options.distillation,
                  options.augment)  # fmt: skip
        parts = [
            *(fingerprint(self.model), fingerprint(self.teacher)),
            *(self.examples.fingerprint(), json.dumps(recipe)),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Job:
    """One training: of the weights for a plan, or of those shared by several."""

    plans: tuple[Plan, ...]
    tuned: tuple[Model, ...]
    """For each plan the network tuned to it. Its weights' scales are trained in."""
    epochs: int
    """0: only measure what the weights that it begins with are worth."""
    seed: int
    start: Parameters | None = None
    """Real weights and biases to begin with; default: what those of the tuned network amount to, or
    those of the network itself where they are shared."""
    shared: bool = False
    """Whether one set of weights is to suit all plans."""

    def key(self, setting: str, model: Model) -> str:
        """SHA-256 of what its result depends on, in hex."""
        words = json.dumps([setting, self.epochs, self.seed, self.shared])
        content = hashlib.sha256(words.encode())
        for plan in self.plans:
            content.update(plan_key(plan.expand(model)).encode())
        for tuned in self.tuned:
            content.update(fingerprint(tuned).encode())
        for name in sorted(self.start or ()):
            content.update(name.encode() + np.ascontiguousarray((self.start or {})[name]).tobytes())
        return content.hexdigest()


class Retrainer(Protocol):
    """Trains a batch of jobs of one setting."""

    setting: Setting

    def train(
        self, jobs: Sequence[Job], checkpoints: Sequence[Path], done: Done, advance: Advance
    ) -> None:
        """Train all, calling ``done`` for each as soon as it is ready, in any order. Where
        possible the state after each epoch is kept in the files ``checkpoints``."""


class LocalRetrainer:
    """Trains in this process, one job after the other.

    Args:
        setting: what to train.
        threads: of PyTorch and the emulator; default: all cores.
    """

    def __init__(self, setting: Setting, threads: int | None = None) -> None:
        self.setting = setting
        self.threads = threads

    def train(
        self, jobs: Sequence[Job], checkpoints: Sequence[Path], done: Done, advance: Advance
    ) -> None:
        with threads_limited(self.threads):
            for index, (job, checkpoint) in enumerate(zip(jobs, checkpoints)):
                done(index, run_job(self.setting, job, checkpoint, advance))


class DaskRetrainer:
    """Trains on the workers of a Dask scheduler, each job as one task.

    Networks and examples are sent to each worker once. A context manager, which forgets them again.

    Args:
        client: a ``distributed.Client``.
        setting: what to train.
        checkpoints: whether workers see this machine's files.
    """

    def __init__(self, client: Any, setting: Setting, checkpoints: bool) -> None:
        self.client = client
        self.setting = setting
        self.checkpoints = checkpoints
        self._name = f"retraining-{setting.key()}"
        client.register_plugin(_setting_plugin(self._name, setting))

    def train(
        self, jobs: Sequence[Job], checkpoints: Sequence[Path], done: Done, advance: Advance
    ) -> None:
        paths = [str(path.resolve()) if self.checkpoints else None for path in checkpoints]
        tasks = [(self._name, job, path) for job, path in zip(jobs, paths)]

        def finished(index: int, result: Retrained) -> None:
            done(index, result)
            advance(jobs[index].epochs)

        as_finished(self.client, _train, tasks, finished)

    def __enter__(self) -> DaskRetrainer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.unregister_worker_plugin(self._name)


def run_job(
    setting: Setting,
    job: Job,
    checkpoint: Path | None = None,
    advance: Advance = lambda epochs: None,
) -> Retrained:
    """Train.

    Raises:
        ModelError: the network has an operator without a gradient, or the teacher does not fit.
        DataError: the checkpoint cannot be read or written.
    """
    options, examples = setting.options, setting.examples
    recipe = RetrainOptions(
        method="multiplier-aware", fitted=True, epochs=job.epochs, batch=options.batch,
        rate=options.rate, warmup=0.1, optimiser="adam", distillation=options.distillation,
        augment=options.augment, validation=options.held_out, keep="last", seed=job.seed,
    )  # fmt: skip
    device = device_of(setting.device)

    def progress(last: Any, step: int, steps: int, loss: float) -> None:
        if step == steps:
            advance(1)

    result = retrain(
        setting.model if job.shared else job.tuned[0],
        Plan.uniform("exact") if job.shared else job.plans[0],
        examples.x,
        examples.y,
        recipe,
        teacher=setting.teacher,
        method=SharedWeights(setting.model, job.plans, job.tuned, device) if job.shared else None,
        start=job.start,
        checkpoint=checkpoint,
        device=setting.device,
        progress=progress,
    )
    return _recorded(setting, job, result)


def rehearse(setting: Setting) -> None:
    """One step of training on a few examples, so that what cannot be trained is told before a
    search, not after it.

    Raises:
        ModelError: the network has an operator without a gradient, its inputs are no images that
            can be shifted, or the teacher does not fit.
    """
    few = setting.examples.evenly(2 * FEW)
    count = max(1, len(few) // 2)
    recipe = RetrainOptions(
        method="behavioural", epochs=1, batch=len(few) - count, validation=count,
        distillation=setting.options.distillation, augment=setting.options.augment,
    )  # fmt: skip
    retrain(
        setting.model, Plan.uniform("exact"), few.x, few.y, recipe, teacher=setting.teacher,
        device=setting.device,
    )  # fmt: skip


def _recorded(setting: Setting, job: Job, result: RetrainResult) -> Retrained:
    held_out = held_out_of(setting.examples, setting.options.held_out)
    plan = Plan.uniform("exact") if job.shared else job.plans[0]
    return Retrained(
        {la.name: (la.weights, la.bias, la.weight_scales) for la in result.model.layers},
        result.parameters,
        right_ones(result.model, plan, held_out),
        tuple(epoch.accuracy for epoch in result.history),
    )


@contextmanager
def threads_limited(threads: int | None) -> Iterator[None]:
    """PyTorch and new emulators use so many threads inside the block; None: as many as before."""
    if threads is None:
        yield
        return
    before, variable = torch.get_num_threads(), os.environ.get("AXYNQ_THREADS")
    torch.set_num_threads(threads)
    os.environ["AXYNQ_THREADS"] = str(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        del os.environ["AXYNQ_THREADS"]
        if variable is not None:
            os.environ["AXYNQ_THREADS"] = variable


# --- what runs on a worker -----------------------------------------------------------------------

_lock = threading.Lock()
_settings: dict[str, tuple[Setting, int]] = {}


def _setting_plugin(name_: str, setting: Setting) -> Any:
    from distributed import WorkerPlugin

    class SettingPlugin(WorkerPlugin):  # type: ignore[misc, unused-ignore]
        """Brings networks and examples to a worker."""

        name = name_

        def setup(self, worker: Any) -> None:
            import axynq.emulator.studies.joint.retrainers as here

            here._settings[name_] = (setting, worker.state.nthreads)

        def teardown(self, worker: Any) -> None:
            import axynq.emulator.studies.joint.retrainers as here

            here._settings.pop(name_, None)

    return SettingPlugin()


def _train(name: str, job: Job, checkpoint: str | None) -> Retrained:
    setting, threads = _settings[name]
    with _lock, threads_limited(threads):  # a worker's threads are all for one job
        return run_job(setting, job, None if checkpoint is None else Path(checkpoint))
