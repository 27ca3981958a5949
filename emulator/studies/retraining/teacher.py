# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The network that a retrained one learns from besides the labels."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from axynq.emulator.emulation import Emulator
from axynq.emulator.engine.gpu.device import computes_on
from axynq.emulator.engine.gpu.network import DeviceBlocks, DeviceNetwork
from axynq.emulator.model import graph
from axynq.emulator.plan import Plan
from axynq.emulator.studies.retraining.network import real_values, without_softmax


class Teacher:
    """An int8 network with exact multipliers, computed where training computes.

    Args:
        model: an int8 classification network.
        device: where its scores are wanted.
    """

    def __init__(self, model: graph.Model, device: torch.device) -> None:
        self.model = without_softmax(model)
        self._on_gpu: DeviceNetwork | None = None
        self._emulator: Emulator | None = None
        if computes_on(device):
            codes = Plan.uniform("exact").expand(self.model)
            self._on_gpu = DeviceNetwork(self.model, codes, device)
        else:
            self._emulator = Emulator(self.model)

    def scores(self, x: Tensor) -> Tensor:
        """Real outputs before the softmax, float32 [images, classes], for int8 inputs [images,
        *input shape]."""
        if self._on_gpu is not None:
            found = self._on_gpu.run_blocks(DeviceBlocks(cast(Any, x), len(x))).on_device
        else:
            assert self._emulator is not None
            found = torch.from_numpy(self._emulator.run(x.cpu().numpy())).to(x.device)
        return real_values(self.model.output, found).flatten(1)
