# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How much noise each layer bears, learnt together with the weights."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from axynq.emulator.datasets import evenly_spread
from axynq.emulator.emulation import Emulator
from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.segments import fingerprint
from axynq.emulator.studies.evaluator import Examples
from axynq.emulator.studies.matching.noise import LearntNoise, shares_of_multiplications
from axynq.emulator.studies.matching.options import SearchOptions
from axynq.emulator.studies.retraining import RetrainOptions
from axynq.emulator.studies.retraining.augmentation import augmented
from axynq.emulator.studies.retraining.checkpoints import load_checkpoint, save_checkpoint
from axynq.emulator.studies.retraining.network import TrainableNetwork
from axynq.emulator.studies.retraining.operators import channels_first
from axynq.emulator.studies.retraining.training import learning_rate

Report = Callable[[int, int, int, float], None]
"""Called after each step with the epochs that are done, the step, the steps of an epoch, and the
mean loss of the epoch so far."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to."""

    number: int
    """From 1."""
    loss: float
    """The classification's, under noise."""
    accuracy: float
    """On the examples held out, without noise and with exact multipliers, 0 to 1."""
    deviations: Mapping[str, float]
    """By layer name."""
    seconds: float


@dataclass(frozen=True)
class SearchResult:
    """What a gradient search found."""

    model: graph.Model
    """The network with the weights trained along, of the quantisation it came with."""
    deviations: Mapping[str, float]
    """By layer name, in the network's order: the deviation of the noise that the layer bears,
    relative to that of its output before the activation."""
    history: tuple[Epoch, ...]


@dataclass
class _State:
    """Everything that a checkpoint holds."""

    network: TrainableNetwork
    noise: LearntNoise
    optimiser: torch.optim.Optimizer
    history: list[Epoch] = field(default_factory=list)


def held_out(examples: Examples, count: int) -> tuple[Examples, Examples]:
    """The examples to train on, and ``count`` of them that are held out, evenly spread: those that
    :func:`~axynq.emulator.studies.retraining.retrain` holds out too."""
    apart = evenly_spread(len(examples), count)
    rest = np.setdiff1d(np.arange(len(examples), dtype=np.int64), apart)
    if len(rest) == 0:
        raise DataError(
            f"{len(examples)} examples are too few to hold out {count}: give more data, or a "
            "smaller --held-out"
        )
    return (
        Examples(examples.x[rest], examples.y[rest]),
        Examples(examples.x[apart], examples.y[apart]),
    )


def search_noise(
    model: graph.Model,
    examples: Examples,
    options: SearchOptions | None = None,
    *,
    checkpoint: Path | None = None,
    device: str | None = None,
    progress: Report = lambda epochs, step, steps, loss: None,
) -> SearchResult:
    """Learn how much noise each layer bears (section III of the paper).

    The loss is ``cross entropy - strength * worth``; ``worth`` is the mean of the layers'
    deviations, each at most ``limit``, weighted by the layers' shares of the multiplications.

    Args:
        model: an int8 classification network.
        examples: labelled training examples; some of them are held out.
        options: the recipe.
        checkpoint: a file to keep the state in after each epoch; the same search goes on from
            there. None: nothing is kept.
        device: of PyTorch; default: a GPU where there is one.
        progress: told of each step.

    Raises:
        ModelError: the network has an operator without a gradient.
        DataError: there are too few examples, or the checkpoint is of another search.
    """
    options = options or SearchOptions()
    if options.augment and len(model.input.shape) != 3:
        raise ModelError(
            f"'{model.name}' takes inputs of shape {list(model.input.shape)}: only images [rows, "
            "columns, channels] can be shifted and mirrored, search without --augment"
        )
    training, apart = held_out(examples, options.validation)
    if len(training) < options.batch:
        raise DataError(
            f"{len(examples)} examples are too few to hold out {options.validation} and train on "
            f"batches of {options.batch}: give more data, or smaller --held-out or --batch"
        )
    found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network = TrainableNetwork(model).to(found)
    noise = LearntNoise(shares_of_multiplications(model), options.initial).to(found)
    state = _State(network, noise, _optimiser(network, noise, options))
    identity = search_key(model, examples, options)
    if checkpoint is not None and checkpoint.exists():
        _load(state, checkpoint, identity, found)
    while len(state.history) < options.epochs:
        started = time.perf_counter()
        loss = _train(state, training, options, found, progress)
        seconds = time.perf_counter() - started
        right = Emulator(network.quantised(), "exact").accuracy(apart.x, apart.y)
        number = len(state.history) + 1
        state.history.append(Epoch(number, loss, right, noise.deviations(), seconds))
        if checkpoint is not None:
            _save(state, checkpoint, identity)
    return SearchResult(network.quantised(), noise.deviations(), tuple(state.history))


def search_key(model: graph.Model, examples: Examples, options: SearchOptions) -> str:
    """SHA-256 of all that a search depends on, in hex."""
    content = (fingerprint(model), examples.fingerprint(), json.dumps(options.as_dict()))
    return hashlib.sha256("\0".join(content).encode()).hexdigest()


def _optimiser(
    network: TrainableNetwork, noise: LearntNoise, options: SearchOptions
) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": list(network.parameters()), "lr": options.rate},
        {"params": list(noise.parameters()), "lr": options.noise_rate},
    ]
    return torch.optim.SGD(groups, momentum=options.momentum, nesterov=options.momentum > 0)


def _train(
    state: _State, examples: Examples, options: SearchOptions, device: torch.device, report: Report
) -> float:
    """One more epoch; the mean loss of the classification."""
    done, batch = len(state.history), options.batch
    # Each epoch has its own seed: one that is resumed sees what it would have seen.
    generator = torch.Generator().manual_seed(options.seed * 100_003 + done + 1)
    state.noise.begin_epoch(generator)
    state.network.train()
    zero_point = state.network.model.input.zero_point
    x, y = torch.from_numpy(examples.x).to(device), torch.from_numpy(examples.y).to(device)
    order = torch.randperm(len(examples), generator=generator).to(device)
    steps = len(examples) // batch
    total = 0.0
    for step in range(steps):
        share = learning_rate(done * steps + step, options.epochs * steps, RetrainOptions(rate=1.0))
        for group, rate in zip(state.optimiser.param_groups, (options.rate, options.noise_rate)):
            group["lr"] = rate * share
        picked = order[step * batch : (step + 1) * batch]
        images = x[picked]
        if options.augment:
            images = augmented(images, zero_point, generator)
        scores = state.network(channels_first(images), state.noise)
        loss = functional.cross_entropy(scores, y[picked])
        state.optimiser.zero_grad(set_to_none=True)
        objective: Tensor = loss - options.strength * state.noise.worth(options.limit)
        objective.backward()  # type: ignore[no-untyped-call]
        state.optimiser.step()
        total += float(loss.detach())
        report(done, step + 1, steps, total / (step + 1))
    return total / steps


# --- checkpoints ---------------------------------------------------------------------------------


def _save(state: _State, path: Path, identity: str) -> None:
    content: dict[str, Any] = {
        "network": state.network.state_dict(),
        "noise": state.noise.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "history": [
            (e.number, e.loss, e.accuracy, dict(e.deviations), e.seconds) for e in state.history
        ],
    }
    save_checkpoint(path, identity, content)


def _load(state: _State, path: Path, identity: str, device: torch.device) -> None:
    content = load_checkpoint(path, identity, device)
    state.network.load_state_dict(content["network"])
    state.noise.load_state_dict(content["noise"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.history = [Epoch(*values) for values in content["history"]]
