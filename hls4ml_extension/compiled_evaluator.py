# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Accuracy of many plans of one design, by running it under each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.datasets import class_numbers
from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.model.batch import has_places
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
from axynq.emulator.studies.comparison import Right
from axynq.emulator.studies.evaluator import Examples
from axynq.emulator.studies.search.workers import Done
from axynq.hls4ml.selectable import SelectableDesign


@dataclass(frozen=True, eq=False)
class RealExamples(Examples):
    """What accuracy is measured on: inputs and labels of a design."""

    x: npt.NDArray[np.floating[Any]]  # type: ignore[assignment]  # the emulator's are int8
    """[examples, ...], float32 or float64."""


def real_examples(hls_model: Any, x: npt.ArrayLike, y: npt.ArrayLike) -> RealExamples:
    """Inputs and labels for a design.

    Args:
        hls_model: an hls4ml ``ModelGraph``.
        x: real numbers [examples, ...], as for its ``predict``. float64 stays, all else becomes
            float32.
        y: class numbers, [examples] or [examples, 1], or one-hot rows [examples, classes].

    Raises:
        DataError: the inputs do not fit the design, or the labels do not fit the inputs.
        ModelError: the design has several inputs or outputs, or an output of a single value or of
            many places, so that there is no accuracy.
    """
    _check_classifier(hls_model)
    values = np.asarray(x)
    if values.dtype.kind not in "iufb" or values.ndim < 1:
        raise DataError(f"inputs are real numbers [examples, ...], not {values.dtype}")
    values = np.ascontiguousarray(values, np.float64 if values.dtype == np.float64 else np.float32)
    shape = tuple(int(size) for size in hls_model.get_input_variables()[0].shape)
    if values.shape[1:] != shape and values[:1].size != int(np.prod(shape)):
        raise DataError(
            f"the design takes inputs [examples, {', '.join(map(str, shape))}], not "
            f"{list(values.shape)}"
        )
    if not np.isfinite(values).all():
        raise DataError("the inputs have values that are not finite")
    classes = int(np.prod(hls_model.get_output_variables()[0].shape))
    return RealExamples(values, labels(y, len(values), classes))


def labels(y: npt.ArrayLike, examples: int, classes: int) -> npt.NDArray[np.int64]:
    """Class numbers [examples] from labels as for :func:`real_examples`.

    Raises:
        DataError: the labels do not fit the examples, or some are no numbers of so many classes.
    """
    numbers = class_numbers(np.asarray(y), examples)
    strange = numbers[(numbers < 0) | (numbers >= classes)]
    if len(strange):
        raise DataError(
            f"the design has {classes} classes, 0 to {classes - 1}, but labels (y) have "
            f"{strange[0]}"
        )
    return numbers


def _check_classifier(hls_model: Any) -> None:
    for what, variables in (
        ("inputs", hls_model.get_input_variables()),
        ("outputs", hls_model.get_output_variables()),
    ):
        if len(variables) != 1:
            names = ", ".join(variable.name for variable in variables)
            raise ModelError(
                f"the design has {len(variables)} {what} ({names}); accuracy is that of a "
                "classifier, which has one"
            )
    shape = tuple(int(size) for size in hls_model.get_output_variables()[0].shape)
    if int(np.prod(shape)) < 2:
        raise ModelError(
            "the design gives a single value, which is no score for each of several classes: there "
            "is no accuracy to choose by"
        )
    if has_places(shape):
        raise ModelError(
            f"the design gives an output of shape {list(shape)}, scores for each of many places: "
            "there is no accuracy to choose by"
        )


class CompiledEvaluator:
    """Counts right classifications of a design under plans.

    An example is classified rightly where the largest output, the first of equal ones, is that of
    its label.

    Args:
        design: the design, or one whose multipliers are selectable already.
        examples: as of :func:`real_examples`.

    Raises:
        ModelError, ToolError: as of :class:`SelectableDesign`.
    """

    def __init__(self, design: Any, examples: RealExamples) -> None:
        selectable = isinstance(design, SelectableDesign)
        self.design = design if selectable else SelectableDesign(design)
        self.examples = examples
        content = f"{self.design.fingerprint}\0{examples.fingerprint()}"
        self.context = hashlib.sha256(content.encode()).hexdigest()

    @property
    def model(self) -> Model:
        """The layers that plans are about; it cannot be computed."""
        return self.design.network

    def correct(self, plan: Plan) -> int:
        """How many examples the design classifies rightly under ``plan``.

        Raises:
            PlanError: the plan does not fit the design.
        """
        return int(self.right(plan).sum())

    def right(self, plan: Plan) -> Right:
        """Which examples the design classifies rightly under ``plan``, [examples].

        Raises:
            PlanError: the plan does not fit the design.
        """
        return self.outputs(plan).argmax(axis=1) == self.examples.y

    def outputs(self, plan: Plan) -> npt.NDArray[np.floating[Any]]:
        """The design's outputs for all examples, [examples, values].

        Raises:
            PlanError: the plan does not fit the design.
        """
        self.design.select(plan)
        return self.design.predict(self.examples.x)


class CompiledWorkers:
    """Evaluates plans in this process, on as many threads as there are designs: a simulation keeps
    state of its own. One of the :class:`~axynq.emulator.studies.search.workers.Workers`.

    Args:
        designs: one and its twins.
        examples: as of :func:`real_examples`.
    """

    def __init__(self, designs: Sequence[SelectableDesign], examples: RealExamples) -> None:
        evaluators = [CompiledEvaluator(design, examples) for design in designs]
        self.context = evaluators[0].context
        self._threads = len(evaluators)
        self._free: SimpleQueue[CompiledEvaluator] = SimpleQueue()
        for evaluator in evaluators:
            self._free.put(evaluator)

    def right(self, plans: Sequence[Plan], done: Done) -> None:
        with ThreadPoolExecutor(self._threads) as pool:
            asked = {pool.submit(self._one, plan): index for index, plan in enumerate(plans)}
            try:
                for future in as_completed(asked):
                    done(asked[future], future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, plan: Plan) -> Right:
        evaluator = self._free.get()
        try:
            return evaluator.right(plan)
        finally:
            self._free.put(evaluator)
