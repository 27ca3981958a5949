# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The emulator: runs a network under a plan, with the same bits as the accelerator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.choice import choose_engine, make_engine, thread_count
from axynq.emulator.engine.network import NativeNetwork
from axynq.emulator.engine.reals import Dequantiser
from axynq.emulator.errors import DataError, ModelError, ToolError
from axynq.emulator.model import graph
from axynq.emulator.model.batch import Given, batch_of, check_classifier
from axynq.emulator.plan import Plan


class Accumulators(NamedTuple):
    """A layer's accumulators, approximate and exact, for the same input of the layer.

    ``approximate - exact`` is the error that the layer itself introduces.
    """

    approximate: graph.Int32Array
    """int32 [images, rows, columns, filters], with the plan's multipliers."""
    exact: graph.Int32Array
    """int32 [images, rows, columns, filters], with exact multipliers."""


class Emulator:
    """A network under a plan, ready to run.

    Outputs equal those of the accelerator and, with exact multipliers, those of TFLite's reference
    kernels, bit for bit. Several threads may share one emulator. It can be copied and pickled;
    outputs are the same in every process, where the engine is chosen anew.

    Args:
        model: an int8 network.
        plan: a plan, or a shorthand such as ``"roup:1,4"``; None: exact multipliers everywhere.
        engine: ``"auto"`` is the engine in the environment variable ``AXYNQ_ENGINE``, or else the
            fastest on this processor. Or one of :data:`~axynq.emulator.engine.choice.ENGINES`,
            such as ``"cuda"`` (an Nvidia GPU, needs PyTorch and Triton). All give the same results.
        threads: number of threads; None: the environment variable ``AXYNQ_THREADS``, or else one
            per core.

    Raises:
        PlanError: the plan does not fit the model.
        ToolError: the engine asked for by name is not available.

    Examples:
        >>> emulator = Emulator(model, "roup:1,4")
        >>> outputs = emulator.run(images)  # int8 [images, classes]
        >>> share = emulator.accuracy(images, labels)  # 0 to 1
    """

    def __init__(
        self,
        model: graph.Model,
        plan: Plan | str | None = None,
        engine: str = "auto",
        threads: int | None = None,
    ) -> None:
        if plan is None:
            plan = Plan.uniform("exact")
        elif isinstance(plan, str):
            plan = Plan.parse(model, plan)
        self.model = model
        self.plan = plan
        self.codes = plan.expand(model)
        self._asked = engine, threads
        self._make(engine, threads)

    def _make(self, engine: str, threads: int | None) -> None:
        self.threads = thread_count(threads)
        choice = choose_engine(engine)
        self.engine = choice.name
        self._network = make_engine(self.model, self.codes, choice, self.threads)
        self._dequantiser = Dequantiser(choice.kernel, self.threads)

    def exchange_weights(self, model: graph.Model) -> None:
        """Replace the weights and biases, keeping network structure and plan.

        Results are those of a new emulator, but this is several times as fast as making one. No
        other thread may use the emulator meanwhile.

        Args:
            model: the same network with other weights and biases.

        Raises:
            ModelError: the model has other layers.
        """
        shapes = [
            [(layer.name, layer.weights.shape) for layer in each.layers]
            for each in (self.model, model)
        ]
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"weights of '{model.name}' do not fit '{self.model.name}': it has other layers"
            )
        if self.plan.depends_on_weights:
            self.codes = self.plan.expand(model)
        self.model = model
        if isinstance(self._network, NativeNetwork):
            self._network.exchange_weights(model, self.codes)
        else:
            self._make(*self._asked)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles: everything but the engine, which may be of another machine there."""
        return {name: getattr(self, name) for name in ("model", "plan", "codes", "_asked")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        engine, threads = self._asked
        try:
            self._make(engine, threads)
        except ToolError:  # asked for by name on a machine that has it
            self._make("auto", threads)

    def run(self, x: Given) -> Any:
        """Run the network on a batch of any size.

        Memory beyond inputs and outputs does not grow with the number of images.

        Args:
            x: a batch ``[images, *model.input.shape]``: int8 in the model's input quantisation,
                floats, which are quantised first, or uint8 if the model's file takes uint8. For
                several inputs, a list of batches in the order of ``model.inputs``, or a dictionary
                of them by name.

        Returns:
            The int8 output ``[images, *model.output.shape]``, softmax included. For several
                outputs, a tuple in the order of ``model.outputs``.

        Raises:
            DataError: ``x`` has a wrong shape or type, or lacks an input.
        """
        outputs = self._network.run(batch_of(self.model, x).arrays)
        return outputs if len(outputs) > 1 else outputs[0]

    def accuracy(self, x: Given, y: npt.ArrayLike) -> float:
        """Top-1 accuracy of a classifier.

        Args:
            x: a batch as for :meth:`run`.
            y: class numbers [images].

        Returns:
            The share of examples, 0 to 1, whose largest output is at their class number.

        Raises:
            DataError: ``x`` has a wrong shape or type, there are no examples, or ``y`` does not
                have one number per example.
            ModelError: the network has several outputs.
        """
        check_classifier(self.model)
        batch, labels = batch_of(self.model, x), np.asarray(y)
        if len(batch) == 0:
            raise DataError("accuracy needs at least one example")
        if labels.shape != (len(batch),):
            raise DataError(
                f"{len(batch)} examples need as many class numbers, not labels of shape "
                f"{list(labels.shape)}"
            )
        classes = self.run(batch).reshape(len(batch), -1).argmax(axis=1)
        return float((classes == labels).mean())

    def tensors(self, x: Given) -> dict[int, graph.Int8Array]:
        """All tensors of the network, for a batch as in :meth:`run`.

        Args:
            x: a batch as for :meth:`run`.

        Returns:
            int8 ``[images, *shape]`` of every input and computed tensor, by its index in
                ``model.tensors``.

        Raises:
            DataError: ``x`` has a wrong shape or type, or lacks an input.
        """
        return self._network.tensors(batch_of(self.model, x).arrays)

    def real_tensors(self, x: Given) -> dict[int, graph.Float32Array]:
        """All tensors as the real numbers that they stand for, ``scale * (value - zero_point)``.

        Args:
            x: a batch as for :meth:`run`.

        Returns:
            float32 ``[images, *shape]`` of every input and computed tensor, by its index in
                ``model.tensors``. An array's memory is reused once nothing refers to it any more.

        Raises:
            DataError: ``x`` has a wrong shape or type, or lacks an input.
        """
        return self._dequantiser(self.model, self.tensors(x))

    def accumulators(self, x: Given) -> dict[str, Accumulators]:
        """Approximate and exact accumulators of every weighted layer, in one pass.

        Both are computed from the input that the layer has in the approximate network. So their
        difference is the error that the layer itself introduces.

        Args:
            x: a batch as for :meth:`run`. All accumulators are in memory at once; for large batches
                use :meth:`accumulator_batches`.

        Returns:
            :class:`Accumulators` by layer name. The arrays may be views in which the images of a
                neuron are contiguous.

        Raises:
            DataError: ``x`` has a wrong shape or type, or lacks an input.
        """
        sums = self._network.accumulators(batch_of(self.model, x).arrays)
        return {name: Accumulators(*pair) for name, pair in sums.items()}

    def accumulator_batches(self, x: Given, images: int = 256) -> Iterator[dict[str, Accumulators]]:
        """:meth:`accumulators` part by part, in bounded memory.

        Args:
            x: a batch as for :meth:`run`.
            images: images per part.

        Yields:
            :class:`Accumulators` by layer name, for the next images.

        Raises:
            DataError: ``x`` has a wrong shape or type, or lacks an input.
        """
        batch = batch_of(self.model, x)
        for start in range(0, len(batch), images):
            yield self.accumulators(batch[start : start + images])
