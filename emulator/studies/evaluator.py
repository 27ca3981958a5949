# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Accuracy of many plans of one network on the same examples.

Candidates of a search have much in common. The network is cut into segments; the activations behind
each prefix of segments are kept, and so are packed layers, so that a plan costs only the segments
in which it differs from what was computed before.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from axynq.emulator.datasets import Dataset
from axynq.emulator.engine.blocks import Blocks
from axynq.emulator.engine.choice import Engine, choose_engine, make_engine, thread_count
from axynq.emulator.errors import DataError
from axynq.emulator.keys import layer_key
from axynq.emulator.model.batch import check_classifier
from axynq.emulator.model.graph import Int8Array, Model
from axynq.emulator.model.segments import fingerprint, replace_layers, segments
from axynq.emulator.plan import LayerCodes, Plan
from axynq.emulator.studies.comparison import Right
from axynq.emulator.studies.tuning.tuner import Tuner

CHUNK = 1024
"""Images whose activations are kept together."""

PACKED = 256
"""Packed segments kept."""


@dataclass(frozen=True, eq=False)
class Examples(Dataset):
    """What accuracy is measured on: a data set quantised for the network."""

    x: Int8Array
    """[images, ...], quantised."""

    def __post_init__(self) -> None:
        """Raises:
        DataError: there are no examples, or there is not one class number for each.
        """
        if len(self.x) == 0:
            raise DataError("accuracy needs at least one example")
        if self.y.shape != (len(self.x),):
            raise DataError(
                f"{len(self.x)} examples need as many class numbers, not labels of shape "
                f"{list(self.y.shape)}"
            )

    def fingerprint(self) -> str:
        """SHA-256 of the examples, in hex."""
        content = hashlib.sha256(repr((self.x.shape, self.y.shape)).encode())
        content.update(np.ascontiguousarray(self.x).tobytes())
        content.update(np.ascontiguousarray(self.y).tobytes())
        return content.hexdigest()


@dataclass
class Reuse:
    """How much work the kept results saved."""

    multiplications: int = 0
    """Asked for."""
    computed: int = 0
    """Of these computed."""

    @property
    def saved(self) -> float:
        """Share of the multiplications that did not have to be computed again."""
        return 1 - self.computed / self.multiplications if self.multiplications else 0.0


class Evaluator:
    """Counts right classifications of a network under plans.

    Args:
        model: an int8 classifier.
        examples: what to classify.
        tuner: adjusts weights and biases to each plan before it is evaluated; default: nothing.
        engine, threads: as for :class:`axynq.emulator.Emulator`.
        cache_bytes: memory for activations behind prefixes; 0 keeps none.

    Raises:
        ModelError: the network has several inputs or outputs.
        ToolError: an engine was asked for that cannot be had.
    """

    def __init__(
        self,
        model: Model,
        examples: Examples,
        tuner: Tuner | None = None,
        engine: str = "auto",
        threads: int | None = None,
        cache_bytes: int = 1 << 30,
    ) -> None:
        check_classifier(model)
        self.model = model
        self.examples = examples
        self.tuner = tuner
        self.reuse = Reuse()
        self._segments = segments(model)
        x = examples.x
        self._inputs = [Blocks.of(x[k : k + CHUNK]) for k in range(0, len(x), CHUNK)]
        self._choice = choose_engine(engine)
        self._threads = thread_count(threads)
        self._packed: OrderedDict[tuple[int, str], Engine] = OrderedDict()
        self._activations: OrderedDict[tuple[str, ...], Blocks] = OrderedDict()
        self._kept_bytes = 0
        self._cache_bytes = cache_bytes
        self.context = context_key(model, examples, tuner)

    def correct(self, plan: Plan) -> int:
        """How many examples the network classifies rightly under ``plan``.

        Raises:
            PlanError: the plan does not fit the model.
        """
        return int(self.right(plan).sum())

    def right(self, plan: Plan) -> Right:
        """Which examples the network classifies rightly under ``plan``, [images].

        Raises:
            PlanError: the plan does not fit the model.
        """
        return self.outputs(plan).argmax(axis=1) == self.examples.y

    def outputs(self, plan: Plan) -> Int8Array:
        """The network's int8 outputs for all examples, [images, values]."""
        codes = plan.expand(self.model)
        keys = self.segment_keys(codes)
        shape = (int(np.prod(self.model.output.shape)),)
        parts = [self._chunk(k, codes, keys).in_order(shape) for k in range(len(self._inputs))]
        return np.concatenate(parts)

    def segment_keys(self, codes: Mapping[str, LayerCodes]) -> tuple[str, ...]:
        """What each segment computes under expanded codes."""
        return tuple(
            "".join(layer_key(codes[layer.name]) for layer in segment.layers)
            for segment in self._segments
        )

    def _chunk(self, number: int, codes: Mapping[str, LayerCodes], keys: Sequence[str]) -> Blocks:
        """Outputs of one chunk, from the longest prefix that is known."""
        last = len(self._segments)
        done = next(
            (k for k in range(last, 0, -1) if self._key(number, keys[:k]) in self._activations), 0
        )
        x = self._inputs[number]
        if done:
            key = self._key(number, keys[:done])
            self._activations.move_to_end(key)
            x = self._activations[key]
        for k, segment in enumerate(self._segments):
            work = sum(map(self.model.multiplications, segment.layers)) * x.images
            self.reuse.multiplications += work
            if k < done:
                continue
            x = self._engine(k, segment, codes, keys[k]).run_blocks(x)
            self.reuse.computed += work
            self._keep(self._key(number, keys[: k + 1]), x)
        return x

    @staticmethod
    def _key(number: int, keys: Sequence[str]) -> tuple[str, ...]:
        return (str(number), *keys)

    def _engine(self, k: int, segment: Model, codes: Mapping[str, LayerCodes], key: str) -> Engine:
        engine = self._packed.get((k, key))
        if engine is None:
            assigned = {layer.name: codes[layer.name] for layer in segment.layers}
            if self.tuner is not None:
                segment = replace_layers(
                    segment,
                    [self.tuner.layer(layer, assigned[layer.name]) for layer in segment.layers],
                )
            engine = make_engine(segment, assigned, self._choice, self._threads)
            self._packed[k, key] = engine
            if len(self._packed) > PACKED:
                self._packed.popitem(last=False)
        self._packed.move_to_end((k, key))
        return engine

    def _keep(self, key: tuple[str, ...], x: Blocks) -> None:
        if x.values.nbytes > self._cache_bytes:
            return
        self._activations[key] = x
        self._kept_bytes += x.values.nbytes
        while self._kept_bytes > self._cache_bytes:
            self._kept_bytes -= self._activations.popitem(last=False)[1].values.nbytes


def context_key(model: Model, examples: Examples, tuner: Tuner | None) -> str:
    """SHA-256 of everything but the plan that an evaluation depends on, in hex."""
    parts = [fingerprint(model), examples.fingerprint(), tuner.fingerprint() if tuner else ""]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
