# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""One training step, and on a GPU its recording.

A step of a small network is a thousand short kernels: launching them one by one from Python takes
several times as long as they run. As every step does the same, it is recorded once as a CUDA graph
and replayed for other images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from axynq.emulator.studies.retraining.network import TrainableNetwork

WARM_UP = 3
"""Steps before the recording: kernels are compiled, memory of the optimiser is made."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""From int8 images [images, *input shape] and class numbers [images]."""


class Step:
    """Forward, backward, and a step of the optimiser.

    Args:
        network: whose parameters are trained.
        optimiser: of them.
        loss: what is minimised.
        clip: gradients longer than this, of all weights together, are cut to it; None: never.
        recorded: whether to replay a recording, on a GPU: ``loss`` must launch the same kernels
            every time, and draw nothing at random.
    """

    def __init__(
        self,
        network: TrainableNetwork,
        optimiser: torch.optim.Optimizer,
        loss: Loss,
        clip: float | None = None,
        recorded: bool = False,
    ) -> None:
        self._network = network
        self._optimiser = optimiser
        self._loss = loss
        self._clip = clip
        self._recorded = recorded
        self._done = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss before the step. What is returned is overwritten by the next call."""
        if not self._recorded:
            return self._computed(images, labels)
        self._done += 1
        if self._done <= WARM_UP:
            return self._beside(images, labels)
        if self._graph is None:
            self._images, self._labels = images.clone(), labels.clone()
            self._optimiser.zero_grad(set_to_none=True)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._result = self._computed(self._images, self._labels)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._graph.replay()
        return self._result

    def _computed(self, images: Tensor, labels: Tensor) -> Tensor:
        loss = self._loss(images, labels)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._clip)
        self._optimiser.step()
        self._network.limit()
        return loss.detach()

    def _beside(self, images: Tensor, labels: Tensor) -> Tensor:
        """On a stream of its own, which a recording wants of the steps before it."""
        stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        current = torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            loss = self._computed(images, labels)
        current.wait_stream(stream)
        return loss
