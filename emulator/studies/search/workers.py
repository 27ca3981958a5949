# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Who evaluates candidates: this process, or Dask workers on this and other machines."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, TypeVar

import numpy as np

from axynq.emulator import Emulator
from axynq.emulator.errors import AxynqError, ToolError
from axynq.emulator.keys import plan_key
from axynq.emulator.model.graph import Int8Array, Model
from axynq.emulator.plan import Plan
from axynq.emulator.studies.comparison import Right
from axynq.emulator.studies.evaluator import Evaluator, Examples, context_key
from axynq.emulator.studies.tuning.compensation import Calibration, Method, frozen, tune
from axynq.emulator.studies.tuning.tuner import Tuner

T = TypeVar("T")

Done = Callable[[int, Right], None]
"""Called with a plan's place in the batch and which examples were classified rightly."""


MOST_WORKERS = 4 * (os.cpu_count() or 1)
"""Processes that are started here at most. Each takes a few hundred MiB."""


class Workers(Protocol):
    """Evaluates batches of plans of one network on one set of examples."""

    context: str
    """Identifies network, examples and tuning."""

    def right(self, plans: Sequence[Plan], done: Done) -> None:
        """Evaluate all plans, calling ``done`` for each as soon as it is known, in any order."""


class LocalWorker:
    """Evaluates in this process, on all its threads."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.context = evaluator.context

    def right(self, plans: Sequence[Plan], done: Done) -> None:
        def keys(index: int) -> tuple[str, ...]:
            return self.evaluator.segment_keys(plans[index].expand(self.evaluator.model))

        # Plans that begin alike follow each other: what they share is still in memory.
        for index in sorted(range(len(plans)), key=keys):
            done(index, self.evaluator.right(plans[index]))


class TuningWorker:
    """Tunes the network to each plan by measurements before it evaluates it, in this process. What
    was tuned is kept, for workers on other examples too (:meth:`on`).

    Args:
        tuner: for the network.
        x: calibration examples.
        examples: what to evaluate on.
        method: how mean errors are found.
        engine, threads: as for :class:`Evaluator`.
    """

    def __init__(
        self,
        tuner: Tuner,
        x: Int8Array,
        examples: Examples,
        method: Method,
        engine: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.tuner, self.examples, self.method = tuner, examples, method
        self.calibration, self._x = Calibration(tuner.model, x), x
        self.engine, self.threads = engine, threads
        self._networks: dict[str, Model] = {}
        content = hashlib.sha256(context_key(tuner.model, examples, tuner).encode())
        content.update(method.value.encode() + np.ascontiguousarray(x).tobytes())
        self.context = content.hexdigest()

    def on(self, examples: Examples) -> TuningWorker:
        """One that evaluates on other examples; what was tuned is shared."""
        other = TuningWorker(self.tuner, self._x, examples, self.method, self.engine, self.threads)
        other.calibration, other._networks = self.calibration, self._networks
        return other

    def right(self, plans: Sequence[Plan], done: Done) -> None:
        for index, plan in enumerate(plans):
            key = plan_key(plan.expand(self.tuner.model))
            if key not in self._networks:
                self._networks[key] = tune(self.tuner, plan, self.calibration, self.method)
            fixed = frozen(plan, self.tuner.model)
            network, examples = self._networks[key], self.examples
            done(index, right_ones(network, fixed, examples, self.engine, self.threads))


def right_ones(
    model: Model, plan: Plan, examples: Examples, engine: str = "auto", threads: int | None = None
) -> Right:
    """[examples]: which of them a network classifies rightly under a plan."""
    outputs = Emulator(model, plan, engine, threads).run(examples.x)
    return np.asarray(outputs.reshape(len(outputs), -1).argmax(axis=1) == examples.y)


def connect(
    scheduler: str | None = None, workers: int = 2, threads: int = 1, timeout: float = 30
) -> Any:
    """A ``distributed.Client``: of the scheduler at an address, or of new local processes.

    Args:
        scheduler: address such as ``tcp://host:8786``; None starts ``workers`` processes here.
        workers, threads: local processes, and threads of each.
        timeout: seconds to wait for the scheduler.

    Raises:
        ToolError: Dask is not installed, so many processes are more than :data:`MOST_WORKERS` or
            cannot be started, or nothing answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ToolError("several workers need Dask: pip install 'axynq[explore]'") from error
    if scheduler is None:
        if workers > MOST_WORKERS:
            raise ToolError(
                f"{workers} worker processes are too many for {os.cpu_count()} processors: at most "
                f"{MOST_WORKERS} here, or those of a Dask scheduler on several machines"
            )
        cluster = None
        try:
            with _interrupts_held():
                # Failures reach this process as exceptions. Beside them Dask writes of tasks that
                # are cancelled and schedulers that are gone, which at the end is as it should be.
                cluster = LocalCluster(
                    n_workers=workers, threads_per_worker=threads, dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )  # fmt: skip
            return Client(cluster)
        except BaseException:
            if cluster is not None:
                cluster.close()
            raise
    try:
        return Client(scheduler, timeout=timeout)
    except (OSError, TimeoutError, ValueError) as error:
        raise ToolError(f"no Dask scheduler answers at '{scheduler}': {error}") from error


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the end of the block, and threads and processes started in it never see
    it: a terminal sends it to them all, and only this process knows what to do then."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # which lets the signal in where it starts later
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def as_finished(
    client: Any,
    function: Callable[..., T],
    tasks: Sequence[tuple[Any, ...]],
    done: Callable[[int, T], None],
) -> None:
    """Compute tasks on the workers of a ``distributed.Client``.

    Args:
        client: whose workers to use.
        function: what to compute.
        tasks: arguments for it, of one task each.
        done: called with a task's place and its result as soon as it is there, in any order.

    Raises:
        AxynqError: what the function raises.
        ToolError: workers die of a task, or cannot be used.
    """
    import distributed

    futures = {
        client.submit(function, *arguments, pure=False): index
        for index, arguments in enumerate(tasks)
    }
    try:
        for future in distributed.as_completed(list(futures)):
            done(futures[future], future.result())
    except AxynqError:
        raise
    except distributed.KilledWorker as error:
        raise ToolError(f"Dask workers die while they evaluate a plan: {error}") from error
    except (OSError, RuntimeError) as error:
        raise ToolError(
            f"the Dask workers cannot be used ({error}). What is evaluated is kept: the same "
            "command resumes"
        ) from error
    finally:
        client.cancel(list(futures))


class DaskWorkers:
    """Evaluates on the workers of a Dask scheduler.

    Network and examples are sent to each worker once, also to those that join later; work of a
    worker that dies goes to another. A context manager, which forgets them again.

    Args:
        client: a ``distributed.Client``.
        model, examples, tuner, engine: as for :class:`Evaluator`.
        cache_bytes: memory of each worker for activations.
    """

    def __init__(
        self,
        client: Any,
        model: Model,
        examples: Examples,
        tuner: Tuner | None = None,
        engine: str = "auto",
        cache_bytes: int = 1 << 30,
    ) -> None:
        self.client = client
        self.context = context_key(model, examples, tuner)
        arguments = (model, examples, tuner, engine)
        client.register_plugin(_context_plugin(self.context, arguments, cache_bytes))

    def right(self, plans: Sequence[Plan], done: Done) -> None:
        as_finished(self.client, _right, [(self.context, plan) for plan in plans], done)

    def __enter__(self) -> DaskWorkers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.unregister_worker_plugin(self.context)


# --- what runs on a worker -----------------------------------------------------------------------

_lock = threading.Lock()
_arguments: dict[str, tuple[Any, ...]] = {}
_evaluators: dict[str, Evaluator] = {}


def _context_plugin(context: str, arguments: tuple[Any, ...], cache_bytes: int) -> Any:
    from distributed import WorkerPlugin

    class ContextPlugin(WorkerPlugin):  # type: ignore[misc, unused-ignore]
        """Brings network and examples to a worker."""

        name = context

        def setup(self, worker: Any) -> None:
            import axynq.emulator.studies.search.workers as here

            # A worker takes one task at a time, which uses all its threads.
            here._arguments[context] = (*arguments, worker.state.nthreads, cache_bytes)

        def teardown(self, worker: Any) -> None:
            import axynq.emulator.studies.search.workers as here

            here._arguments.pop(context, None)
            here._evaluators.pop(context, None)

    return ContextPlugin()


def _right(context: str, plan: Plan) -> Right:
    with _lock:
        if context not in _evaluators:
            _evaluators[context] = Evaluator(*_arguments[context])
        return _evaluators[context].right(plan)
