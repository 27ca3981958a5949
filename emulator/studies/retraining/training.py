# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The loop: epochs, the best of them, checkpoints."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from axynq.emulator.datasets import evenly_spread
from axynq.emulator.emulation import Emulator
from axynq.emulator.engine.gpu.device import computes_on
from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.keys import multiplier_key
from axynq.emulator.model import graph
from axynq.emulator.plan import Plan
from axynq.emulator.studies.retraining.augmentation import augmented
from axynq.emulator.studies.retraining.checkpoints import load_checkpoint, save_checkpoint
from axynq.emulator.studies.retraining.methods import METHODS, Method
from axynq.emulator.studies.retraining.network import TrainableNetwork
from axynq.emulator.studies.retraining.operators import channels_first
from axynq.emulator.studies.retraining.options import RetrainOptions
from axynq.emulator.studies.retraining.steps import Step
from axynq.emulator.studies.retraining.teacher import Teacher

IntArray = npt.NDArray[np.int64]

READ = 16
"""Steps on a GPU after which the loss is read."""

Parameters = Mapping[str, npt.NDArray[np.float32]]
"""A network's real weights and biases by their names in it (:class:`TrainableNetwork`)."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to."""

    number: int
    """From 1; 0 is the network before."""
    loss: float
    accuracy: float
    """On the examples held out, by bit-exact emulation, 0 to 1."""
    seconds: float
    """Of training; without the measurement of accuracy."""


@dataclass(frozen=True)
class RetrainResult:
    """The retrained network, and how it came about."""

    model: graph.Model
    epoch: int
    """The epoch it is of."""
    history: tuple[Epoch, ...]
    preparation_seconds: float
    """Measuring the errors that the method needs to know."""
    parameters: Parameters
    """What was trained: real weights and biases, of which the model has the integers."""


@dataclass
class _State:
    """Everything that a checkpoint holds."""

    network: TrainableNetwork
    optimiser: torch.optim.Optimizer
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    preparation: float = 0.0

    @property
    def best_epoch(self) -> Epoch:
        """The first of the best."""
        return max(self.history, key=lambda epoch: (epoch.accuracy, -epoch.number))


def retrain(
    model: graph.Model,
    plan: Plan | str,
    x: graph.Int8Array,
    y: IntArray,
    options: RetrainOptions | None = None,
    *,
    teacher: graph.Model | None = None,
    method: Method | None = None,
    start: Parameters | None = None,
    checkpoint: Path | None = None,
    device: str | None = None,
    progress: Callable[[Epoch, int, int, float], None] = lambda epoch, step, steps, loss: None,
) -> RetrainResult:
    """Retrain ``model`` for the errors of ``plan``.

    Args:
        model: an int8 classification network.
        plan: which multiplier where.
        x: int8 inputs [examples, *input shape] in the network's quantisation.
        y: class numbers [examples].
        options: the recipe.
        teacher: the network to distil from, with exact multipliers, for the same input and
            classes; default: ``model``.
        method: what training sees of the multipliers, on the same device; default: what the
            options name.
        start: real weights and biases to begin with, such as those of an earlier run
            (:attr:`RetrainResult.parameters`); default: those of ``model``. What the method
            measures, it measures on ``model``.
        checkpoint: a file to keep the state in after each epoch; a run of the same recipe on the
            same network goes on from there. None: nothing is kept.
        device: of PyTorch; default: a GPU where there is one.
        progress: called after each step with the last finished epoch, the step, the steps of an
            epoch, and the mean loss so far; also, with step 0 and its last epoch's loss, when a
            checkpoint has been read.

    Raises:
        PlanError: the plan does not fit the model.
        MultiplierError: products cannot be smoothed over so many operands.
        ModelError: the network has an operator without a gradient, or the teacher does not fit.
        DataError: there are too few examples, or the checkpoint is of another run.
    """
    options = options or RetrainOptions()
    teacher = teacher or model
    _check_teacher(model, teacher)
    if options.augment and len(model.input.shape) != 3:
        raise ModelError(
            f"'{model.name}' takes inputs of shape {list(model.input.shape)}: only images [rows, "
            "columns, channels] can be shifted and mirrored, retrain without --augment"
        )
    if len(x) != len(y):
        raise DataError(f"{len(x)} examples have {len(y)} class numbers")
    if isinstance(plan, str):
        plan = Plan.parse(model, plan)
    torch_device = device_of(device)
    training, held_out = _split(len(x), options)
    if method is None:
        method = METHODS[options.method](
            model, plan, torch_device, options.fitted, options.smoothing
        )
    started = time.perf_counter()
    samples = training[:: max(1, len(training) // options.samples)][: options.samples]
    method.prepare(x[samples])
    preparation = time.perf_counter() - started
    network = method.network().to(torch_device)
    if start is not None:
        _begin_with(network, start)
    state = _State(network, _optimiser(network, options))
    identity = _identity(model, teacher, plan, options, x, y, method, start)
    resumed = checkpoint is not None and checkpoint.exists()
    if checkpoint is not None and resumed:
        _load(state, checkpoint, identity, torch_device)
        progress(state.history[-1], 0, len(training) // options.batch, state.history[-1].loss)
    if not resumed:
        state.preparation = preparation
        _close_epoch(state, plan, x[held_out], y[held_out], 0.0, 0.0)
    trainer = _Trainer(state, teacher, method, options, torch_device, x[training], y[training])
    while len(state.history) <= options.epochs and not _stopped(state, options):
        number = len(state.history)
        started = time.perf_counter()
        last = state.history[-1]
        loss = trainer.epoch(number, partial(progress, last))
        _close_epoch(state, plan, x[held_out], y[held_out], loss, time.perf_counter() - started)
        if checkpoint is not None:
            _save(state, checkpoint, identity)
    kept = state.history[-1].number
    if options.keep == "best":
        kept = state.best_epoch.number
        network.load_state_dict(state.best)
    parameters = {k: v.detach().cpu().numpy().copy() for k, v in network.named_parameters()}
    return RetrainResult(
        network.quantised(), kept, tuple(state.history), state.preparation, parameters
    )


def device_of(name: str | None) -> torch.device:
    """PyTorch's device of that name; of None a GPU where there is one."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


@torch.no_grad()
def _begin_with(network: TrainableNetwork, start: Parameters) -> None:
    shapes = {name: tuple(values.shape) for name, values in network.named_parameters()}
    if shapes != {name: values.shape for name, values in start.items()}:
        raise ModelError(f"weights to start from do not fit '{network.model.name}'")
    for name, values in network.named_parameters():
        values.copy_(torch.from_numpy(start[name]))


def _optimiser(network: TrainableNetwork, options: RetrainOptions) -> torch.optim.Optimizer:
    if options.optimiser == "adam":
        on_gpu = next(network.parameters()).is_cuda
        return torch.optim.AdamW(
            network.parameters(), options.rate, weight_decay=options.decay, capturable=on_gpu
        )
    return torch.optim.SGD(
        network.parameters(),
        lr=options.rate,
        momentum=options.momentum,
        weight_decay=options.decay,
        nesterov=options.momentum > 0,
    )


def learning_rate(step: int, steps: int, options: RetrainOptions) -> float:
    """The learning rate of a step of the whole run."""
    rising = min(1.0, (step + 1) / max(1.0, options.warmup * steps))
    return options.rate * rising * 0.5 * (1 + math.cos(math.pi * step / steps))


class _Trainer:
    """Epochs of one method. The examples are where it computes."""

    def __init__(
        self,
        state: _State,
        teacher: graph.Model,
        method: Method,
        options: RetrainOptions,
        device: torch.device,
        x: graph.Int8Array,
        y: IntArray,
    ) -> None:
        self.network = state.network
        self.method = method
        self.options = options
        self.device = device
        self.groups = state.optimiser.param_groups
        on_gpu = device.type == "cuda" and computes_on(device)
        # Adam can take its rate from the GPU, which a recording needs.
        recorded = on_gpu and method.repeats and options.optimiser == "adam"
        self.rate = torch.zeros((), device=device) if recorded else None
        self.step = Step(state.network, state.optimiser, self._loss, options.clip, recorded)
        self.teacher = Teacher(teacher, device) if options.distillation else None
        self.x = torch.from_numpy(x).to(device)
        self.y = torch.from_numpy(y).to(device)

    def epoch(self, number: int, report: Callable[[int, int, float], None]) -> float:
        """The mean loss of the epoch."""
        options, batch = self.options, self.options.batch
        # Each epoch has its own seed: one that is resumed sees what it would have seen.
        generator = torch.Generator().manual_seed(options.seed * 100_003 + number)
        if options.remeasure and number > 1:
            self.method.remeasure(self.network)
        self.method.begin_epoch(generator)
        self.network.train()
        order = torch.randperm(len(self.x), generator=generator).to(self.device)
        steps = len(self.x) // batch
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        mean = 0.0
        for step in range(steps):
            self._set_rate((number - 1) * steps + step, options.epochs * steps)
            picked = order[step * batch : (step + 1) * batch]
            images = self.x[picked]
            if options.augment:
                images = augmented(images, self.method.model.input.zero_point, generator)
            total += self.step(images, self.y[picked])
            # To read a number off a GPU is to wait for it.
            if self.device.type != "cuda" or step % READ == 0 or step == steps - 1:
                mean = float(total) / (step + 1)
            report(step + 1, steps, mean)
        return mean

    def _set_rate(self, step: int, steps: int) -> None:
        rate = learning_rate(step, steps, self.options)
        if self.rate is not None:
            self.rate.fill_(rate)
        for group in self.groups:
            group["lr"] = rate if self.rate is None else self.rate

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        scores = self.method.scores(self.network, channels_first(images))
        loss = functional.cross_entropy(scores, labels)
        if self.teacher is None:
            return loss
        share, temperature = self.options.distillation, self.options.temperature
        distance = functional.kl_div(
            functional.log_softmax(scores / temperature, 1),
            functional.log_softmax(self.teacher.scores(images) / temperature, 1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - share) * loss + share * temperature**2 * distance


def _check_teacher(model: graph.Model, teacher: graph.Model) -> None:
    own, theirs = model.input, teacher.input
    if (own.shape, own.scale, own.zero_point) != (
        theirs.shape, theirs.scale, theirs.zero_point,
    ) or np.prod(model.output.shape) != np.prod(teacher.output.shape):  # fmt: skip
        raise ModelError(
            f"'{teacher.name}' cannot teach '{model.name}': both need the same input (shape, scale "
            "and zero point) and number of classes"
        )


def _split(examples: int, options: RetrainOptions) -> tuple[IntArray, IntArray]:
    """Examples to train on and those held out, evenly spread."""
    if examples < options.validation + options.batch:
        raise DataError(
            f"{examples} examples are too few to hold out {options.validation} and train on "
            f"batches of {options.batch}: give more data, or smaller --held-out or --batch"
        )
    held_out = evenly_spread(examples, options.validation)
    return np.setdiff1d(np.arange(examples), held_out), held_out


def _close_epoch(
    state: _State, plan: Plan, x: graph.Int8Array, y: IntArray, loss: float, seconds: float
) -> None:
    right = Emulator(state.network.quantised(), plan).accuracy(x, y)
    epoch = Epoch(len(state.history), loss, right, seconds)
    better = not state.history or epoch.accuracy > state.best_epoch.accuracy
    state.history.append(epoch)
    if better:
        state.best = {k: v.detach().clone() for k, v in state.network.state_dict().items()}


def _stopped(state: _State, options: RetrainOptions) -> bool:
    if options.patience is None:
        return False
    return len(state.history) - 1 - state.best_epoch.number >= options.patience


# --- checkpoints ---------------------------------------------------------------------------------


def _identity(
    model: graph.Model,
    teacher: graph.Model,
    plan: Plan,
    options: RetrainOptions,
    x: graph.Int8Array,
    y: IntArray,
    method: Method,
    start: Parameters | None,
) -> str:
    """What a checkpoint must agree in: networks, plans, recipe and data."""
    digest = hashlib.sha256(json.dumps(options.as_dict(), sort_keys=True).encode())
    for each in (plan, *method.further_plans):
        for name, codes in each.expand(model).items():
            specs = [multiplier_key(m) for m in codes.multipliers]
            digest.update(name.encode() + repr(specs).encode() + codes.codes.tobytes())
    for name in sorted(start or ()):
        digest.update(name.encode() + (start or {})[name].tobytes())
    for layer in (*model.layers, *teacher.layers):
        for array in (layer.weights, layer.bias, layer.weight_scales):
            digest.update(array.tobytes())
    digest.update(x[:: max(1, len(x) // 64)].tobytes() + y.tobytes())
    return digest.hexdigest()


def _save(state: _State, path: Path, identity: str) -> None:
    content: dict[str, Any] = {
        "network": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "best": state.best,
        "history": [(e.number, e.loss, e.accuracy, e.seconds) for e in state.history],
        "preparation": state.preparation,
    }
    save_checkpoint(path, identity, content)


def _load(state: _State, path: Path, identity: str, device: torch.device) -> None:
    content = load_checkpoint(path, identity, device)
    state.network.load_state_dict(content["network"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.best = content["best"]
    state.history = [Epoch(*values) for values in content["history"]]
    state.preparation = content["preparation"]
