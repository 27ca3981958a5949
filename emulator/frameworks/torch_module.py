# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""An int8 network under a plan as a PyTorch module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from axynq.emulator.emulation import Emulator
from axynq.emulator.errors import DataError
from axynq.emulator.model import graph
from axynq.emulator.plan import Plan
from axynq.emulator.studies.retraining.network import TrainableNetwork, without_softmax
from axynq.emulator.studies.retraining.operators import channels_first, channels_last


class ApproximateModule(nn.Module):
    """An int8 network under a plan, computed bit for bit, with the gradients of retraining.

    :func:`~axynq.emulator.to_torch` makes it. Inputs and outputs are real tensors in PyTorch's
    layout, [images, channels, rows, columns] for feature maps; outputs are those before a final
    softmax. Parameters are real weights and biases. The forward pass computes with the nearest
    integers.
    """

    def __init__(self, model: graph.Model, plan: Plan) -> None:
        super().__init__()
        self._model = model
        self._plan = _checked(model, plan)
        self.network = TrainableNetwork(model)

    @property
    def plan(self) -> Plan:
        """The plan. It may be replaced at any time, by another plan or a shorthand."""
        return self._plan

    @plan.setter
    def plan(self, plan: Plan | str) -> None:
        self._plan = _checked(self._model, plan)

    def forward(self, *inputs: Tensor) -> Any:
        """Run the network. Gradients reach the inputs, except where these are clipped.

        Args:
            inputs: one tensor for each input of the network, batch first: real numbers, which are
                quantised first, or int8.

        Returns:
            The real values of the output, float32; a tuple if there are several outputs.

        Raises:
            DataError: there are too few or too many inputs, a shape does not fit, or a value is not
                finite.
        """
        model = self.network.model
        if len(inputs) != len(model.inputs):
            raise DataError(
                f"the network has {len(model.inputs)} inputs, and {len(inputs)} are given"
            )
        given = [_steps(model.tensors[k], x) for k, x in zip(model.inputs, inputs)]
        batch = [
            channels_last(x.detach().cpu(), model.tensors[k].shape)
            .contiguous()
            .numpy()
            .astype("i1")
            for k, x in zip(model.inputs, given)
        ]
        emulator = Emulator(without_softmax(self.network.quantised()), self._plan)
        values = {
            index: channels_first(_tensor(tensor).to(given[0].device))
            for index, tensor in emulator.real_tensors(
                batch if len(batch) > 1 else batch[0]
            ).items()
        }
        found = self.network(given, None, values)
        outputs = found if isinstance(found, tuple) else (found,)
        shaped = tuple(
            y.reshape(len(y), *as_pytorch(model.tensors[k].shape))
            for k, y in zip(model.outputs, outputs)
        )
        return shaped if len(shaped) > 1 else shaped[0]

    def export(self) -> graph.Model:
        """The int8 network with the current weights and biases. Its quantisation is unchanged."""
        return self.network.quantised()


def as_pytorch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a map [rows, columns, channels] as PyTorch has it; others are the same."""
    return (shape[2], *shape[:2]) if len(shape) == 3 else shape


def _tensor(values: graph.Float32Array) -> Tensor:
    # PyTorch has no tensors that are not to be written to.
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def _checked(model: graph.Model, plan: Plan | str) -> Plan:
    plan = Plan.parse(model, plan) if isinstance(plan, str) else plan
    plan.expand(model)
    return plan


def _steps(source: graph.Tensor, x: Tensor) -> Tensor:
    """Int8 values as floats, with the gradients of the real ones.

    Raises:
        DataError: the shape does not fit.
    """
    expected = as_pytorch(source.shape)
    if tuple(x.shape[1:]) != expected:
        raise DataError(
            f"'{source.name}' takes inputs [images, {', '.join(map(str, expected))}], not "
            f"{list(x.shape)}"
        )
    if x.dtype == torch.int8:
        return x.float()
    if not bool(torch.isfinite(x).all()):
        raise DataError(f"the input of '{source.name}' holds values that are not finite")
    # As the emulator quantises them.
    integers = torch.from_numpy(source.quantise(x.detach().cpu().numpy())).to(x.device).float()
    steps = (x / source.scale + source.zero_point).clamp(graph.INT8_MIN, graph.INT8_MAX)
    return integers + (steps - steps.detach())
