"""The emulator: a network under a plan, computed bit for bit as the accelerator computes it."""

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
    """A layer's accumulators for the same input, int32 [images, rows, columns, filters]."""

    approximate: graph.Int32Array
    exact: graph.Int32Array


class Emulator:
    """Runs ``model`` with the multipliers of ``plan`` (default: exact everywhere).

    >>> Emulator(model, Plan.parse(model, "llam=roup:1,4")).run(images)

    Several threads may use one emulator. It can be copied and pickled, and gives the same outputs
    in any process; the engine is chosen anew there.

    Args:
        model: an int8 network.
        plan: a plan, or a shorthand.
        engine: ``auto`` (the environment variable AXYNQ_ENGINE, else the fastest there is),
            or one of :data:`~axynq.emulator.engine.choice.ENGINES`, among them ``cuda``, a GPU by
            way of PyTorch and Triton (``torch``: the same on the processor). All give the same
            results.
        threads: default: the environment variable AXYNQ_THREADS, else all cores.

    Raises:
        PlanError: the plan does not fit the model.
        ToolError: an engine was asked for by name that cannot be had.
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
        """Go on with the weights and biases of ``model``, which is this network otherwise, under
        the same plan. Results are those of a new emulator, which takes several times as long to
        make.

        No other thread may use the emulator meanwhile.

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
        """The network's int8 output, [images, ...], softmax included; a tuple of several, in the
        order of ``model.outputs``.

        ``x`` is a batch [images, *model.input.shape] of int8 in the model's input quantisation, of
        floats, which are quantised first, or of uint8 where the model's file takes uint8. A network
        with several inputs takes a list of batches, in the order of ``model.inputs``, or a
        dictionary of them by name. Memory beyond inputs and outputs does not grow with it.

        Raises:
            DataError: ``x`` has another shape or type, or lacks an input.
        """
        outputs = self._network.run(batch_of(self.model, x).arrays)
        return outputs if len(outputs) > 1 else outputs[0]

    def accuracy(self, x: Given, y: npt.ArrayLike) -> float:
        """Share, 0 to 1, of the batch ``x`` whose largest output is that of its class number in
        ``y`` [images].

        Raises:
            DataError: ``x`` has another shape or type, there are no examples, or ``y`` is not one
                number for each.
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
        """Every tensor that is given or computed, by its index, for a batch as in :meth:`run`."""
        return self._network.tensors(batch_of(self.model, x).arrays)

    def real_tensors(self, x: Given) -> dict[int, graph.Float32Array]:
        """As :meth:`tensors`, as the real numbers that they stand for, ``scale * (value - zero
        point)`` in float32. The arrays are used again when nobody holds them any more."""
        return self._dequantiser(self.model, self.tensors(x))

    def accumulators(self, x: Given) -> dict[str, Accumulators]:
        """Accumulators of every weighted layer by name, approximate and exact, in one pass.

        Both are computed from the same input of the layer, the one the approximate network has
        there, so their difference is the error that the layer itself introduces. The arrays may be
        views in which the images of a neuron are contiguous.
        """
        sums = self._network.accumulators(batch_of(self.model, x).arrays)
        return {name: Accumulators(*pair) for name, pair in sums.items()}

    def accumulator_batches(self, x: Given, images: int = 256) -> Iterator[dict[str, Accumulators]]:
        """As :meth:`accumulators`, for so many images at a time, in bounded memory."""
        batch = batch_of(self.model, x)
        for start in range(0, len(batch), images):
            yield self.accumulators(batch[start : start + images])
