"""An int8 network under a plan as a PyTorch module."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from axynq.emulator.errors import DataError
from axynq.emulator.model import graph
from axynq.emulator.plan import Plan
from axynq.emulator.studies.retraining.methods import Behavioural
from axynq.emulator.studies.retraining.network import TrainableNetwork


class ApproximateModule(nn.Module):
    """The approximate network, bit for bit, with the gradients of retraining.

    Takes real inputs as the original module did, [images, channels, rows, columns] or [images,
    values], and gives real outputs [images, values] before a softmax at the end. Parameters are
    real weights and biases; what is computed with is their nearest integers.
    """

    def __init__(self, model: graph.Model, plan: Plan) -> None:
        super().__init__()
        plan.expand(model)
        self._method = Behavioural(model, plan, torch.device("cpu"))
        self.network: TrainableNetwork = self._method.network()

    @property
    def plan(self) -> Plan:
        """Which multiplier where; may be replaced at any time."""
        return self._method.plan

    @plan.setter
    def plan(self, plan: Plan | str) -> None:
        model = self._method.model
        plan = Plan.parse(model, plan) if isinstance(plan, str) else plan
        plan.expand(model)
        self._method.plan = plan

    def forward(self, x: Tensor) -> Tensor:
        """Real outputs for real inputs, which are quantised first, or for int8 ones.

        Raises:
            DataError: the shape does not fit.
        """
        source = self.network.model.input
        shape = source.shape
        expected = (shape[2], *shape[:2]) if len(shape) == 3 else shape
        if tuple(x.shape[1:]) != expected:
            raise DataError(
                f"the network takes inputs [images, {', '.join(map(str, expected))}], not "
                f"{list(x.shape)}"
            )
        if x.dtype != torch.int8:
            # As the emulator quantises them.
            x = torch.from_numpy(source.quantise(x.detach().cpu().numpy())).to(x.device)
        self._method.device = x.device
        return self._method.scores(self.network, x)

    def export(self) -> graph.Model:
        """The int8 network as it is now, of the quantisation it came with."""
        return self.network.quantised()


def as_numpy(x: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A tensor as an array of floats."""
    return np.asarray(x.detach().cpu().float().numpy(), np.float32)
