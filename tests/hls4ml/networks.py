"""Small random networks of all operators that hls4ml designs may have."""

from __future__ import annotations

import math

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.hls4ml.layer_list import layer_list
from tests.any_network import RandomNetwork

KINDS = (
    *("convolution", "convolution", "depthwise", "pool", "pool", "addition", "addition"),
    *("padding", "lookup", "mean", "reshape", "fully_connected"),
)


class DesignNetwork(RandomNetwork):
    """Has the operators of :data:`KINDS`, in a random order."""

    def depthwise(self) -> bool:
        """One filter for each channel."""
        known = len(self.tensors), len(self.operators)
        while super().depthwise():
            op = self.operators[-1]
            if self.shape(op.inputs[0])[-1] == self.shape(op.output)[-1]:
                return True
            del self.tensors[known[0] :], self.operators[known[1] :]
        return False

    def padding(self) -> bool:
        source = self.map()
        if source is None:
            return False
        around = graph.Padding(*(self.number(0, 2) for _ in range(4)))
        shape = around.around(self.shape(source))
        self.add(graph.Pad, "pad", (source,), shape, self.quantised(source), around)
        return True

    def mean(self) -> bool:
        source = self.map()
        if source is None:
            return False
        keep = bool(self.rng.random() < 0.5)
        channels = self.shape(source)[-1]
        shape = (1, 1, channels) if keep else (channels,)
        self.add(graph.Mean, "mean", (source,), shape, self.quantisation(), keep)
        return True

    def reshape(self) -> bool:
        source = self.source()
        shape = (math.prod(self.shape(source)),)
        self.add(graph.Reshape, "reshape", (source,), shape, self.quantised(source))
        return True

    def joined(self) -> None:
        """A sum of what nothing reads yet, so that all of it shows in one output."""
        read = {k for op in self.operators for k in op.inputs}
        ends = [op.output for op in self.operators if op.output not in read]
        total = None
        for end in ends:
            rows = self.weights(10, math.prod(self.shape(end)))
            taps = rows.shape[1]
            fields, quantisation, several = self.parameters(end, rows, taps, 10)
            layer = self.add(
                graph.FullyConnected, "fully_connected", (end,), (10,), quantisation,
                *fields[:3], per_channel=several,
            )  # fmt: skip
            if total is None:
                total = layer
            else:
                scale = max(self.tensors[k].scale for k in (total, layer))
                place = self.quantisation(scale)
                total = self.add(graph.Add, "add", (total, layer), (10,), place)


def random_network(seed: int, operators: int = 14) -> graph.Model:
    """A network of all of :data:`KINDS` and more of them that designs of streams can have too."""
    for attempt in range(1000):
        rng = np.random.default_rng([seed, attempt])
        network = DesignNetwork(rng, tflite=False)
        network.given((*rng.integers(6, 10, 2), int(rng.integers(1, 5))))
        more = rng.choice(KINDS, max(operators - len(KINDS), 0))
        for kind in rng.permutation([*KINDS, *more]):
            getattr(network, kind)()
        network.joined()
        model = network.model()
        try:
            layer_list(model, streams=True)
        except ModelError:
            continue
        return model
    raise AssertionError("no network can be a design")
