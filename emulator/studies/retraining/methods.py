# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The methods of retraining: how a network gets to know a plan's errors on the way forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from axynq.emulator.emulation import Emulator
from axynq.emulator.engine.gpu.device import computes_on
from axynq.emulator.engine.gpu.network import DeviceNetwork
from axynq.emulator.model import graph
from axynq.emulator.plan import SKIP, Plan
from axynq.emulator.studies.errors import ErrorModel, ErrorStatistics, extract
from axynq.emulator.studies.retraining.network import (
    TrainableNetwork,
    real_values,
    weights_first,
    without_softmax,
)
from axynq.emulator.studies.retraining.noise import NoisePool
from axynq.emulator.studies.retraining.operators import channels_first, channels_last
from axynq.emulator.studies.retraining.options import SMOOTHING
from axynq.emulator.studies.retraining.product_gradients import product_gradients
from axynq.emulator.studies.retraining.weight_quantiser import weight_quantisers

if TYPE_CHECKING:
    from axynq.emulator.studies.retraining.options import MethodName


class Method:
    """Plain int8-aware training: no errors. The control, and the base of the others."""

    repeats = False
    """Whether each step launches the same kernels, draws nothing and reads nothing back."""

    further_plans: Sequence[Plan] = ()
    """Plans that the weights are to suit besides the one they are measured under."""

    def __init__(
        self,
        model: graph.Model,
        plan: Plan,
        device: torch.device,
        fitted: bool = False,
        smoothing: int = SMOOTHING,
    ) -> None:
        self.model = model
        self.plan = plan
        self.device = device
        self.fitted = fitted
        self.smoothing = smoothing

    def prepare(self, samples: graph.Int8Array) -> None:
        """Measure what the method needs to know, on some inputs [samples, *input shape]."""

    def network(self) -> TrainableNetwork:
        """The network to train; after :meth:`prepare`."""
        return TrainableNetwork(self.model)

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draw what is random from here on with this generator."""

    def remeasure(self, network: TrainableNetwork) -> None:
        """Measure again what :meth:`prepare` measured, on what became of the network."""

    def scores(self, network: TrainableNetwork, x: Tensor) -> Tensor:
        """Real outputs before the softmax, [images, classes], for int8 [images, channels, rows,
        columns] or [images, values]."""
        return network(x, self)

    def weights(self, layer: str, weights: Tensor) -> Tensor:
        return weights

    def output(self, layer: str, output: Tensor) -> Tensor:
        return output


class Behavioural(Method):
    """The approximate network itself forward, computed bit for bit by the emulator; straight
    through backward, as if the multipliers were exact (eq. 13)."""

    _emulator: Emulator | None = None
    _on_gpu: DeviceNetwork | None = None

    def scores(self, network: TrainableNetwork, x: Tensor) -> Tensor:
        batch = channels_last(x, network.model.input.shape)
        if computes_on(self.device):
            values = self._on_device(network, batch)
        else:
            model = without_softmax(network.quantised())
            if self._emulator is None:
                self._emulator = Emulator(model, self.plan)
            else:
                self._emulator.exchange_weights(model)
            found = self._emulator.real_tensors(batch.contiguous().cpu().numpy())
            values = {k: torch.from_numpy(tensor).to(self.device) for k, tensor in found.items()}
        return network(x, None, {k: channels_first(tensor) for k, tensor in values.items()})

    def _on_device(self, network: TrainableNetwork, x: Tensor) -> dict[int, Tensor]:
        """Every tensor in real numbers, without a detour by the processor: one emulator takes each
        step's weights where they are."""
        if self._on_gpu is None:
            codes = self.plan.expand(network.model)
            self._on_gpu = DeviceNetwork(network.model, codes, self.device)
        self._on_gpu.load(network.integers())
        tensors = network.model.tensors
        return {
            k: real_values(tensors[k], values)
            for k, values in self._on_gpu.tensors_on_device([x]).items()
        }


class MultiplierAware(Behavioural):
    """As :class:`Behavioural`, but what is trained is what the multipliers make of a weight, not
    the integer: the integer is the one that comes nearest to it, mean errors are taken off the
    biases, and gradients flow through what is really multiplied by."""

    repeats = True

    def prepare(self, samples: graph.Int8Array) -> None:
        self._quantisers = weight_quantisers(self.model, self.plan, samples, self.fitted)

    def network(self) -> TrainableNetwork:
        return TrainableNetwork(self.model, self._quantisers, self.fitted)


class ByProductSlopes(Behavioural):
    """As :class:`Behavioural`, but backward through the slopes of the multipliers' smoothed
    products, by both operands (LUT-2D of arXiv 2509.10519; :mod:`.product_slopes`)."""

    averaged = False
    """The mean slope over one operand instead."""

    def network(self) -> TrainableNetwork:
        gradients = product_gradients(self.model, self.plan, self.smoothing, self.averaged)
        return TrainableNetwork(self.model, gradients=gradients)


class ByMeanSlopes(ByProductSlopes):
    """The same by mean slopes, which depend on one operand (LUT-1D)."""

    averaged = True


class MeasuredMethod(Method):
    """Random errors whose statistics are measured."""

    def use(self, statistics: ErrorStatistics) -> None:
        """Errors as in ``statistics``."""
        raise NotImplementedError

    def prepare(self, samples: graph.Int8Array) -> None:
        self._samples = samples
        self.use(extract(self.model, self.plan, samples))

    def remeasure(self, network: TrainableNetwork) -> None:
        self.use(extract(network.quantised(), self.plan, self._samples))

    def begin_epoch(self, generator: torch.Generator) -> None:
        self._noise = NoisePool(generator, self.device)


class ErrorModelMethod(MeasuredMethod):
    """Random errors with the measured mean, deviation and correlation (eq. 11-12); the gradient
    knows that they depend on the output (eq. 14-15)."""

    def use(self, statistics: ErrorStatistics) -> None:
        """Errors as in ``statistics``, by neuron or by filter."""
        self._parts: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        for name, layer in ErrorModel(statistics).layers.items():
            self._parts[name] = (
                self._tensor(layer.mean - layer.gain * layer.output_mean),
                self._tensor(1 + layer.gain),
                self._tensor(layer.spread),
            )

    def _tensor(self, values: npt.NDArray[np.float64]) -> Tensor:
        """[rows, columns, filters] as [1, filters, rows, columns], laid out as outputs are."""
        tensor = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None]
        return tensor.contiguous(memory_format=torch.channels_last).to(self.device)

    def output(self, layer: str, output: Tensor) -> Tensor:
        constant, gain, spread = self._parts[layer]
        # output + mean + gain * (output - output mean) + spread * noise
        return (output * gain).add_(constant).addcmul_(spread, self._noise.like(output))


class GaussianMethod(MeasuredMethod):
    """White noise as strong as the error is against the output, layer by layer (the signal-to-noise
    ratio of Hanif et al., which the paper compares with)."""

    def use(self, statistics: ErrorStatistics) -> None:
        self._ratio = {
            name: float(10 ** (-layer.real.signal_to_noise / 20))
            for name, layer in statistics.layers.items()
        }

    def output(self, layer: str, output: Tensor) -> Tensor:
        strength = output.detach().square().mean().sqrt() * self._ratio[layer]
        return torch.addcmul(output, strength, self._noise.like(output))


class WeightNoise(Method):
    """Weights times ``1 + error`` (eq. 16): normal errors whose mean magnitude is the multipliers'
    mean relative error (Hammad et al., ROBIO 2019)."""

    def prepare(self, samples: graph.Int8Array) -> None:
        self._deviation: dict[str, Tensor] = {}
        for layer in self.model.layers:
            codes = self.plan.expand(self.model)[layer.name]
            errors = [m.error_metrics().mean_relative_error / 100 for m in codes.multipliers]
            # The mean magnitude of a normal variable is sqrt(2 / pi) of its deviation.
            by_code = np.zeros(256)
            by_code[SKIP + 1 : SKIP + 1 + len(errors)] = np.array(errors) * np.sqrt(np.pi / 2)
            deviation = torch.from_numpy(by_code[codes.codes].astype(np.float32))
            self._deviation[layer.name] = deviation.to(self.device)

    def begin_epoch(self, generator: torch.Generator) -> None:
        self._generator = generator

    def weights(self, layer: str, weights: Tensor) -> Tensor:
        noise = torch.randn(weights.shape, generator=self._generator).to(self.device)
        deviation = weights_first(self._deviation[layer], weights.shape)
        return weights * (1 + deviation * noise)


METHODS: dict[MethodName, type[Method]] = {
    "behavioural": Behavioural,
    "multiplier-aware": MultiplierAware,
    "lut-1d": ByMeanSlopes,
    "lut-2d": ByProductSlopes,
    "error-model": ErrorModelMethod,
    "weight-noise": WeightNoise,
    "gaussian": GaussianMethod,
    "plain": Method,
}
