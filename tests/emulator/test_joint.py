# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Search and retraining together."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan
from axynq.emulator.datasets import evenly_spread, handwritten_digits, quantise_examples
from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.keys import plan_key
from axynq.emulator.model import graph
from axynq.emulator.studies.comparison import Comparison
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.joint.examples import held_out_of, with_held_out
from axynq.emulator.studies.joint.halving import Contender, beats, separated, spread
from axynq.emulator.studies.joint.options import JointOptions
from axynq.emulator.studies.joint.records import Retrained
from axynq.emulator.studies.search.exploration import Measured, Outcome, Task, level_fronts
from axynq.emulator.studies.search.front import Candidate
from axynq.emulator.studies.search.report import points_of
from axynq.emulator.studies.search.search import Settings
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import Done, LocalWorker, Workers, connect
from axynq.emulator.studies.tuning.compensation import Method, tune
from axynq.emulator.studies.tuning.tuner import Tuner

torch = pytest.importorskip("torch")

from axynq.emulator.studies.joint import exploration
from axynq.emulator.studies.joint.exploration import (
    JointOutcome,
    JointTask,
    explore_jointly,
)
from axynq.emulator.studies.joint.retrainers import (
    DaskRetrainer,
    Job,
    LocalRetrainer,
    Retrainer,
    Setting,
    run_job,
    threads_limited,
)
from axynq.emulator.studies.joint.shared import SharedWeights
from axynq.emulator.studies.retraining import RetrainOptions, retrain
from axynq.emulator.studies.retraining.network import TrainableNetwork, without_softmax
from axynq.emulator.studies.retraining.training import _split

torch.set_num_threads(1)  # tests run beside each other

CPU = torch.device("cpu")
LIBRARY = ("exact", "smapprox:2222", "roup:2,8", "roup:3,6")
PLANS = ("smapprox:2222", "roup:3,6", "roup:2,8")


@pytest.fixture(scope="module")
def training(digits: graph.Model) -> Examples:
    data = handwritten_digits("train")
    return Examples(quantise_examples(digits.input, data.x[:260]), data.y[:260])


@pytest.fixture(scope="module")
def rescaling(digits: graph.Model, training: Examples) -> Tuner:
    return Tuner(digits, training.x[:60], "rescaled", True)


def first_parameters(model: graph.Model) -> dict[str, np.ndarray]:
    return {k: v.detach().numpy().copy() for k, v in TrainableNetwork(model).named_parameters()}


def tuned_to(tuner: Tuner, plans: Sequence[Plan]) -> tuple[graph.Model, ...]:
    return tuple(tune(tuner, plan, tuner.x, Method.EXPECTED) for plan in plans)


@pytest.fixture(scope="module")
def test(digits: graph.Model) -> Examples:
    data = handwritten_digits("test")
    return Examples(quantise_examples(digits.input, data.x[:100]), data.y[:100])


# --- what is better, and what is dropped ----------------------------------------------------------


def classified(right: int, wrong: int) -> np.ndarray:
    return np.arange(right + wrong) < right


def contender(energy: float, right: np.ndarray, cycles: float | None = None) -> Contender:
    plan = Plan.uniform("exact")
    key = f"{energy} {cycles} {right.sum()}"
    return Contender(Candidate("layer", plan, key, energy, float(right.mean()), cycles), right)


def test_the_better_and_cheaper_one_beats_the_other() -> None:
    good, bad = classified(90, 10), classified(84, 16)
    assert Comparison.of(bad, good).p_value_ahead() == 2**-6
    assert beats(contender(0.3, good), contender(0.4, bad))
    assert beats(contender(0.3, good), contender(0.3, bad))
    assert not beats(contender(0.4, good), contender(0.3, bad))  # costs more
    assert not beats(contender(0.3, bad), contender(0.4, good))
    # as far ahead, but that may be chance: they differ on many more examples
    noisy = np.roll(classified(84, 16), 20)
    assert Comparison.of(noisy, good).p_value_ahead() > 0.05
    assert not beats(contender(0.3, good), contender(0.4, noisy))
    assert not beats(contender(0.3, good, 9.0), contender(0.4, bad, 8.0))  # slower
    assert beats(contender(0.3, good, 8.0), contender(0.4, bad, 8.0))


def test_who_goes_on() -> None:
    best = contender(0.2, classified(90, 10))
    beaten = contender(0.3, classified(80, 20))
    close = contender(0.3, classified(88, 12))
    cheap = contender(0.1, classified(50, 50))
    dear = contender(0.9, classified(99, 1))
    kept, dropped = separated([beaten, best, close, cheap, dear])
    assert kept == [best, close, cheap, dear]
    assert [(each.contender, each.by) for each in dropped] == [(beaten, best)]
    assert spread(kept, 10) == [cheap, best, close, dear]
    assert spread(kept, 3) == [cheap, best, dear]  # the front first
    assert spread(kept, 2) == [cheap, dear]


@settings(max_examples=50)
@given(st.data())
def test_somebody_always_goes_on(data: st.DataObject) -> None:
    count, examples = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 40))
    bits = st.lists(st.booleans(), min_size=examples, max_size=examples)
    energies = st.sampled_from((0.1, 0.2, 0.3))
    all_of_them = [contender(data.draw(energies), np.array(data.draw(bits))) for _ in range(count)]
    kept, dropped = separated(all_of_them)
    assert len(kept) + len(dropped) == count
    best = max(all_of_them, key=lambda c: (c.candidate.accuracy, -c.candidate.energy))
    assert best in kept
    for each in dropped:
        assert each.by.candidate.energy <= each.contender.candidate.energy
        assert each.by.candidate.accuracy > each.contender.candidate.accuracy


# --- examples -------------------------------------------------------------------------------------


@given(st.integers(20, 300), st.integers(1, 10), st.integers(0, 200), st.integers(1, 10))
def test_held_out_examples(count: int, held_out: int, searched: int, batch: int) -> None:
    examples = Examples(np.arange(count, dtype=np.int64).astype(np.int8), np.arange(count))
    ordered = with_held_out(examples, held_out, batch, searched)
    assert sorted(ordered.y) == list(range(count))
    kept = held_out_of(ordered, held_out)
    assert len(kept) == held_out
    seen = set(evenly_spread(count, searched))
    if count - len(seen) >= held_out:
        assert not seen & set(kept.y)
    # what retraining holds out, and what it trains on
    on, off = _split(count, RetrainOptions(validation=held_out, batch=batch))
    assert list(ordered.y[off]) == list(kept.y)
    assert not set(ordered.y[on]) & set(kept.y)


@pytest.mark.parametrize("before", [None, "3"])
@pytest.mark.parametrize("threads", [None, 1])
def test_threads_are_limited_inside_alone(
    threads: int | None, before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AXYNQ_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("AXYNQ_THREADS", before)
    torchs = torch.get_num_threads()
    with threads_limited(threads):
        assert os.environ.get("AXYNQ_THREADS") == (before if threads is None else "1")
        assert torch.get_num_threads() == (torchs if threads is None else 1)
    assert os.environ.get("AXYNQ_THREADS") == before
    assert torch.get_num_threads() == torchs


def test_too_few_examples(training: Examples) -> None:
    with pytest.raises(DataError, match="too few to hold out 250 and train on batches of 16"):
        with_held_out(training, 250, 16, 10)


@pytest.mark.parametrize(
    ("epochs", "rounds"), [(1, (1,)), (2, (1, 2)), (3, (1, 3)), (4, (1, 2, 4)), (20, (5, 10, 20))]
)
def test_rounds_double(epochs: int, rounds: tuple[int, ...]) -> None:
    assert JointOptions(epochs).rounds == rounds


# --- weights for many plans -----------------------------------------------------------------------


def test_all_plans_train_the_same_weights(
    digits: graph.Model, training: Examples, rescaling: Tuner
) -> None:
    plans = [Plan.parse(digits, text) for text in PLANS]
    models = tuned_to(rescaling, plans)
    method = SharedWeights(digits, plans, models, CPU)
    method.prepare(training.x[:64])
    shared = method.network()
    x = training.x[:16]
    labels = torch.from_numpy(training.y[:16])
    method.begin_epoch(torch.Generator().manual_seed(1))
    batch = torch.from_numpy(x).permute(0, 3, 1, 2)
    gradients, outputs = [], []
    for _ in plans:
        shared.zero_grad()
        scores = method.scores(shared, batch)
        torch.nn.functional.cross_entropy(scores, labels).backward()
        gradients.append([p.grad.clone() for p in shared.parameters()])
        outputs.append(scores.detach().numpy())
    # Forward it is each plan's own network, bit for bit, once each.
    networks = method._networks
    expected = []
    assert len({own.layers[0].weight_scales.tobytes() for own in models}) > 1
    for own, plan, network in zip(models, plans, networks):
        model = without_softmax(network.quantised())
        for layer, as_tuned in zip(model.layers, own.layers):  # each in its own scales
            assert np.array_equal(layer.weight_scales, as_tuned.weight_scales)
        expected.append(model.output.dequantise(Emulator(model, plan).run(x)).reshape(16, -1))
    for found in outputs:
        assert sum(np.allclose(found, each, atol=1e-6) for each in expected) == 1
    assert len({each.tobytes() for each in outputs}) == len(plans)
    # Backward every plan moves every weight and bias that all have in common.
    for of_plan in gradients:
        assert all(gradient.abs().max() > 0 for gradient in of_plan)
    for one, other in itertools.combinations(gradients, 2):
        assert any(not torch.equal(a, b) for a, b in zip(one, other))
    parameters = list(shared.parameters())
    for network in networks:
        assert all(a is b for a, b in zip(parameters, network.parameters()))


def test_plans_have_equally_many_steps(digits: graph.Model, training: Examples) -> None:
    plans = [Plan.parse(digits, text) for text in PLANS]
    method = SharedWeights(digits, plans, [digits] * len(plans), CPU)
    method.prepare(training.x[:16])
    shared = method.network()
    used: list[int] = []
    for k, each in enumerate(method._methods):
        each.scores = lambda network, x, k=k: used.append(k)  # type: ignore[assignment, misc, return-value]
    orders = []
    for seed in (1, 1, 2):
        method.begin_epoch(torch.Generator().manual_seed(seed))
        used.clear()
        for _ in range(9):
            method.scores(shared, torch.zeros(1))
        orders.append(tuple(used))
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert all(sorted(order) == [0, 0, 0, 1, 1, 1, 2, 2, 2] for order in orders)


def test_shared_weights_stay_within_what_a_plan_offers(
    digits: graph.Model, training: Examples, rescaling: Tuner
) -> None:
    """Not further out than the widest, in real numbers; what one plan offers, others leave."""
    plans = [Plan.parse(digits, text) for text in ("roup:3,6", "roup:3,0-0-0-6")]
    models = tuned_to(rescaling, plans)
    method = SharedWeights(digits, plans, models, CPU)
    assert not method.repeats  # each step is of another plan: nothing to record
    method.prepare(training.x[:16])
    shared = method.network()
    for sign in (-1, 1):
        for name, weight in shared.weight.items():
            weight.data.fill_(sign * 1e3)
            shared.limit()
            reached = weight.detach().clone()
            apart = []
            for network in method._networks:
                low, high = network.offered()[name]
                assert (low <= reached).all() if sign > 0 else (high >= reached).all()
                end = high if sign > 0 else low
                assert (sign * (reached - end) >= 0).all()
                apart.append(reached - end)
            assert (torch.stack(apart).abs().amin(dim=0) == 0).all()
    inside = {name: 1e-6 * torch.sign(w.detach()) for name, w in shared.weight.items()}
    for name, weight in shared.weight.items():
        weight.data.copy_(inside[name])
    shared.limit()
    assert all(torch.equal(shared.weight[name], kept) for name, kept in inside.items())


def setting_for(model: graph.Model, training: Examples, **options: object) -> Setting:
    chosen = replace(JointOptions(2, held_out=100, batch=16), **options)  # type: ignore[arg-type]
    return Setting(model, model, with_held_out(training, 100, 16, 0), chosen, "cpu")


def test_training_begins_as_well_as_tuned(
    digits: graph.Model, training: Examples, rescaling: Tuner
) -> None:
    setting = setting_for(digits, training)
    held_out = held_out_of(setting.examples, 100)
    for text in PLANS:
        plan = Plan.parse(digits, text)
        (tuned,) = tuned_to(rescaling, [plan])
        result = run_job(setting, Job((plan,), (tuned,), 0, 0))
        found = result.model(digits)
        assert result.right.mean() == Emulator(found, plan).accuracy(held_out.x, held_out.y)
        for layer, expected in zip(found.layers, tuned.layers):
            assert np.array_equal(layer.weight_scales, expected.weight_scales)
        # Of integers that amount to the same others may be taken.
        as_tuned = Emulator(tuned, plan).accuracy(held_out.x, held_out.y)
        assert result.right.mean() == pytest.approx(as_tuned, abs=0.05)


def test_shared_weights_are_an_exact_network(
    digits: graph.Model, training: Examples, rescaling: Tuner
) -> None:
    setting = setting_for(digits, training, rate=2e-3)
    plans = tuple(Plan.parse(digits, text) for text in PLANS)
    tuned = tuned_to(rescaling, plans)
    result = run_job(setting, Job(plans, tuned, 2, 5, shared=True))
    assert len(result.accuracies) == 3
    model = result.model(digits)
    changed = [
        not np.array_equal(a.weights, b.weights) for a, b in zip(model.layers, digits.layers)
    ]
    assert all(changed)
    held_out = held_out_of(setting.examples, 100)
    assert result.right.mean() == Emulator(model, "exact").accuracy(held_out.x, held_out.y)
    # Its integers are what the real weights come to with exact multipliers.
    network = TrainableNetwork(digits)
    for name, values in network.named_parameters():
        values.data.copy_(torch.from_numpy(result.parameters[name]))
    for a, b in zip(network.quantised().layers, model.layers):
        assert np.array_equal(a.weights, b.weights)
    # And it does better under the plans than the network as it was.
    before, after = [], []
    for plan, own in zip(plans, tuned):
        start = first_parameters(digits)
        before.append(run_job(setting, Job((plan,), (own,), 0, 0, start)).right.mean())
        after.append(run_job(setting, Job((plan,), (own,), 0, 0, result.parameters)).right.mean())
    assert sum(after) > sum(before)


def test_training_goes_on_from_real_weights(digits: graph.Model, training: Examples) -> None:
    """A start has an effect, and a wrong one is told."""
    x, y = training.x, training.y
    options = RetrainOptions("multiplier-aware", epochs=1, batch=16, validation=100, keep="last")
    plan = Plan.parse(digits, "smapprox:2222")
    first = retrain(digits, plan, x, y, options, device="cpu")
    kept = retrain(
        digits, plan, x, y, replace(options, epochs=0), device="cpu", start=first.parameters
    )
    for a, b in zip(first.model.layers, kept.model.layers):
        assert np.array_equal(a.weights, b.weights)
        assert np.array_equal(a.bias, b.bias)
    wrong = {name: values[..., :1] for name, values in first.parameters.items()}
    with pytest.raises(ModelError, match="weights to start from do not fit"):
        retrain(digits, plan, x, y, options, device="cpu", start=wrong)


# --- what is kept ---------------------------------------------------------------------------------


def test_records_survive(digits: graph.Model, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    layers = {la.name: (la.weights, la.bias + 1, la.weight_scales * 2) for la in digits.layers}
    parameters = {"weight.a/b": rng.normal(size=(2, 3)).astype(np.float32)}
    record = Retrained(layers, parameters, rng.random(53) < 0.5, (0.25, 1 / 3))
    record.save(tmp_path / "new" / "record.npz")
    again = Retrained.load(tmp_path / "new" / "record.npz")
    assert again is not None
    assert np.array_equal(again.right, record.right)
    assert again.accuracies == record.accuracies
    assert np.array_equal(again.parameters["weight.a/b"], parameters["weight.a/b"])
    for layer, before in zip(again.model(digits).layers, digits.layers):
        assert np.array_equal(layer.weights, before.weights)
        assert np.array_equal(layer.bias, before.bias + 1)
        assert layer.bias.dtype == np.int32
        assert np.array_equal(layer.weight_scales, before.weight_scales * 2)
        assert layer.weight_scales.dtype == np.float32


@pytest.mark.parametrize("keep", [0, 10, 300, -40])
def test_damaged_records_count_as_none(digits: graph.Model, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "record.npz"
    assert Retrained.load(path) is None
    layers = {la.name: (la.weights, la.bias, la.weight_scales) for la in digits.layers}
    Retrained(layers, {}, np.ones(5, bool), (0.5,)).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    assert Retrained.load(path) is None


# --- all of it ------------------------------------------------------------------------------------


def joint_task(digits: graph.Model, training: Examples, test: Examples) -> JointTask:
    options = JointOptions(
        2, shared_plans=2, shared_epochs=1, candidates=3, held_out=100, batch=16, rate=2e-3, seed=3
    )
    searched = training.evenly(60)
    tuner = Tuner(digits, searched.x, "rescaled", True)
    settings = Settings(population=6, evaluations=12, seed=3)
    search = Task(
        digits, searched, test, LIBRARY, ("layer",), settings, tuner=tuner, threads=1, finalists=4
    )
    return JointTask(search, with_held_out(training, 100, 16, 60), options, device="cpu")


class Killed(BaseException):
    """The process ends."""


def found(
    task: JointTask, folder: Path, client: object = None, until: tuple[str, int] = ("", 0)
) -> tuple[JointOutcome | None, list[str]]:
    """The outcome, or None where it was killed: at that report of that stage's progress. And what
    was reported."""
    reports: list[str] = []

    def progress(what: str, done: int, of: int, front: Sequence[Candidate]) -> None:
        assert done >= 0
        reports.append(what)
        if what == until[0] and reports.count(what) == until[1]:
            raise Killed

    def workers_for(search: Task, examples: Examples) -> Workers:
        return LocalWorker(Evaluator(search.model, examples, search.tuner, threads=1))

    def retrainer_for(setting: Setting) -> AbstractContextManager[Retrainer]:
        if client is not None:
            return DaskRetrainer(client, setting, True)
        return nullcontext(LocalRetrainer(setting, 1))

    with Store(folder / "evaluations.sqlite") as store:
        try:
            return explore_jointly(task, store, workers_for, retrainer_for, progress), reports
        except Killed:
            return None, reports


def content(outcome: JointOutcome | None) -> list[object]:
    """Everything but times and counts of what this run computed."""
    assert outcome is not None
    networks = [
        (key, [(layer.weights.tobytes(), layer.bias.tobytes()) for layer in each.model.layers])
        for key, each in sorted(outcome.finished.items())
    ]
    candidates = [
        (
            *(m.candidate.key, m.candidate.energy, m.candidate.accuracy),
            *(m.search_accuracy, m.against_exact, m.retrained),
        )
        for m in outcome.outcome.measured
    ]
    dropped = [(n, d.contender.candidate.key, d.by.candidate.key) for n, d in outcome.dropped]
    baselines = outcome.outcome.baseline, outcome.outcome.choice_baseline
    return [baselines, networks, candidates, dropped, dict(outcome.shared)]


@pytest.fixture(scope="module")
def task(digits: graph.Model, training: Examples, test: Examples) -> JointTask:
    return joint_task(digits, training, test)


@pytest.fixture(scope="module")
def uninterrupted(task: JointTask, tmp_path_factory) -> tuple[JointOutcome, list[str]]:
    outcome, reports = found(task, tmp_path_factory.mktemp("joint"))
    assert outcome is not None
    return outcome, reports


def test_a_joint_exploration(task: JointTask, uninterrupted) -> None:
    outcome, reports = uninterrupted
    stages = [what.partition(",")[0] for what in dict.fromkeys(reports)]
    assert stages == [
        *("first-order estimate", "layer level", "choice examples", "all test examples"),
        "weights for 2 plans",
        *("plans before retraining", *stages[6:8], "retrained networks"),
    ]
    assert all(stage.startswith("retraining") for stage in stages[6:8])
    retrained = [m for m in outcome.outcome.measured if m.retrained]
    assert 1 <= len(retrained) <= 3
    assert {m.candidate.key for m in retrained} == set(outcome.finished)
    held_out, test = task.held_out, task.search.test_examples
    exact = Emulator(task.search.model, "exact")
    assert outcome.outcome.baseline == exact.accuracy(test.x, test.y)
    assert outcome.outcome.choice_baseline == exact.accuracy(held_out.x, held_out.y)
    chosen = {c.key for c in outcome.outcome.front("layer", retrained=True)}
    assert chosen
    for m in retrained:
        finished = outcome.finished[m.candidate.key]
        emulator = Emulator(finished.model, m.candidate.plan)
        assert m.candidate.accuracy == emulator.accuracy(held_out.x, held_out.y)
        assert finished.entries == {"retrained": True, "epochs": 3}
        # The test examples are looked at only for what the held-out ones chose.
        assert (m.against_exact is not None) == (m.candidate.key in chosen)
        if m.against_exact is not None:
            assert m.against_exact.second_accuracy == emulator.accuracy(test.x, test.y)
            assert m.against_exact.first_accuracy == outcome.outcome.baseline


def test_retrained_networks_are_no_rivals_of_others() -> None:
    """One that remembers the choice examples is no reason to drop one that forgot them."""
    tuned, better = contender(0.3, classified(90, 10)), contender(0.2, classified(95, 5))
    forgot = contender(0.3, classified(80, 20))
    kinds = [(tuned, False), (better, False), (forgot, True)]
    measured = tuple(Measured(c.candidate, 1.0, retrained=kind) for c, kind in kinds)
    outcome = Outcome(0.9, measured, 3, 0, 0.0, 0.95)
    assert outcome.front() == [better.candidate]
    assert outcome.front("layer", retrained=True) == [forgot.candidate]
    assert level_fronts(measured) == [better.candidate, forgot.candidate]
    on_front = [(p.on_front, p.on_level_front) for p in points_of(outcome)]
    assert on_front == [(False, False), (True, True), (True, True)]


def test_the_second_search_begins_from_the_first(
    task: JointTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its evaluations are of the first front's plans too, but for a network of other weights."""
    known: list[Plan] = []
    best = exploration._of_layers
    monkeypatch.setattr(
        exploration, "_of_layers", lambda *arguments: known.extend(best(*arguments)) or known
    )
    wider = replace(task.search, settings=Settings(population=16, evaluations=16, seed=5))
    task = replace(task, search=wider, options=replace(task.options, epochs=1, candidates=1))
    looked_at: list[tuple[graph.Model, list[str]]] = []

    def workers_for(search: Task, examples: Examples) -> Workers:
        worker = LocalWorker(Evaluator(search.model, examples, search.tuner, threads=1))
        right = worker.right

        def noted(plans: Sequence[Plan], done: Done) -> None:
            looked_at.append(
                (search.model, [plan_key(plan.expand(search.model)) for plan in plans])
            )
            right(plans, done)

        worker.right = noted  # type: ignore[method-assign]
        return worker

    def retrainer_for(setting: Setting) -> AbstractContextManager[Retrainer]:
        return nullcontext(LocalRetrainer(setting, 1))

    with Store(tmp_path / "evaluations.sqlite") as store:
        explore_jointly(task, store, workers_for, retrainer_for)
    own = task.search.model
    others = {id(model) for model, _ in looked_at if model is not own}
    assert len(others) == 1
    again = [keys for model, keys in looked_at if model is not own]
    assert len(known) >= 2
    assert {plan_key(plan.expand(own)) for plan in known} <= set(again[0])


@pytest.mark.thorough
def test_killed_and_resumed(task: JointTask, uninterrupted, tmp_path: Path) -> None:
    """At the beginning of every stage, and in the middle of training; each time a stage further in
    the same folder."""
    whole, reports = uninterrupted
    stages = list(dict.fromkeys(reports))
    for stage in stages:
        for place in (1, 2, 3) if stage.startswith("retraining") else (1,):
            outcome, seen = found(task, tmp_path, until=(stage, place))
            assert outcome is None
            assert seen[-1] == stage
    outcome, _ = found(task, tmp_path)
    assert content(outcome) == content(whole)
    again, reports = found(task, tmp_path)
    assert content(again) == content(whole)
    assert again is not None
    assert again.outcome.computed == 0
    assert not list((tmp_path / exploration.FOLDER).glob("*.pt"))


@pytest.mark.thorough
def test_damaged_results_are_computed_again(task: JointTask, uninterrupted, tmp_path: Path) -> None:
    found(task, tmp_path)
    for path in sorted((tmp_path / exploration.FOLDER).iterdir())[::2]:
        path.write_bytes(path.read_bytes()[:100])
    outcome, _ = found(task, tmp_path)
    assert content(outcome) == content(uninterrupted[0])


@pytest.mark.thorough
def test_parallel_equals_serial(task: JointTask, uninterrupted, tmp_path: Path) -> None:
    client = connect(workers=2)
    try:
        outcome, _ = found(task, tmp_path, client)
    finally:
        client.cluster.close()
        client.close()
    assert content(outcome) == content(uninterrupted[0])


def test_without_shared_weights(task: JointTask, tmp_path: Path) -> None:
    options = replace(task.options, shared_plans=0, epochs=1, candidates=2)
    outcome, reports = found(replace(task, options=options), tmp_path)
    assert outcome is not None
    assert not any(what.startswith("weights for") for what in reports)
    assert outcome.shared == {}
    assert {each.entries["epochs"] for each in outcome.finished.values()} == {1}


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from axynq.host.cli.commands import app
from axynq.host.cli.explore import explore
from axynq.emulator.studies.joint.options import JointOptions
"""


def test_searching_alone_needs_no_torch() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
