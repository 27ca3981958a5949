# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The sections of a report: what was gathered, as text, pictures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from axynq.emulator.multipliers import multiplier
from axynq.emulator.multipliers.base import ACTIVATION_MIN, WEIGHT_MAX, WEIGHT_MIN
from axynq.host.report.charts import Part, Plane, Point, Series, bars, error_map, matrix, points
from axynq.host.report.fronts import front_section
from axynq.host.report.gathering import Accuracy, Cycles, Gathered, LayerErrors, Used
from axynq.host.report.kept import Power, Quantity, Sensitivity
from axynq.host.report.page import Page, Picture, Section, Table
from axynq.host.report.words import (
    OTHER,
    SIMULATED,
    interval,
    millions,
    percent,
    plural,
    points_of,
    times,
)

LARGEST_MATRIX = 40
"""Classes that are drawn as a matrix; of more, what is most often mistaken is listed."""

MOST_MAPS = 20
"""Multipliers whose errors are drawn: those that compute most."""

LISTED = 20
"""Mistakes that are listed."""

SKIP = "skip"
"""What skipped weights are counted under."""


def report_page(found: Gathered) -> Page:
    """The whole report."""
    accuracy, subject = found.accuracy, found.subject
    lead = [
        f"{subject.network} under the plan {_name(subject.plan)}, on "
        f"{accuracy.examples:,} examples of {_name(subject.data)}: "
        f"{percent(accuracy.accuracy)} accuracy ({interval(accuracy.interval)}). "
        f"Against {subject.reference} it loses {points_of(accuracy.loss)} points "
        f"({points_of(accuracy.loss_interval.low)} to {points_of(accuracy.loss_interval.high)}).",
        "Accuracy is measured by bit-exact emulation. Energy, cycles and the roofline are models' "
        "figures. Nothing here was measured on a board, unless the section on power says so. "
        "Intervals have a confidence of 95 %.",
    ]
    sections = [
        _subject(found),
        _accuracy(accuracy, subject.reference),
        _confusion(accuracy, subject.reference),
        _energy(found),
        _plan(found),
        _errors(found.errors, found.error_examples),
        _multipliers(found.multipliers),
        _cycles(found.cycles),
        _roofline(found.cycles),
        _sensitivity(found.sensitivity, found.sensitivity_of_other),
        front_section(
            found.front,
            (found.relative_energy, accuracy.loss, accuracy.loss_interval),
            "The front of a search",
            found.front_of_other,
        ),
        _power(found.power),
    ]
    return Page(f"{subject.network}, {_name(subject.plan)}", lead, sections)


def _name(text: str) -> str:
    """Of a file without its folders; other texts as they are."""
    return Path(text).name if text.endswith(".json") or Path(text).is_absolute() else text


def _subject(found: Gathered) -> Section:
    subject = found.subject
    facts = [
        ("Network", f"{subject.network} ({subject.model})"),
        ("Plan", subject.plan),
        ("Compared with", subject.against or "the same network"),
        ("Data", f"{subject.data} {_part(subject.data, subject.split)}"),
        ("Examples", f"{found.accuracy.examples:,}"),
        ("Energy figures", subject.energy_figures),
        ("axynq", subject.version),
        ("Processor", subject.processor),
        ("Engine", f"{subject.engine}, {plural(subject.threads, 'thread')}"),
        ("Date", subject.date),
    ]
    return Section("What was measured", facts=facts, commands=[subject.command])


def _part(data: str, split: str) -> str:
    """Which examples of the data: of .npz files always all."""
    return "(no parts; used whole)" if data.endswith(".npz") else f"(the part {split})"


def _accuracy(found: Accuracy, reference: str) -> Section:
    rows = [
        (reference, percent(found.exact_accuracy), interval(found.exact_interval)),
        ("the plan", percent(found.accuracy), interval(found.interval)),
    ]
    series = [
        Series(0, [_accuracy_point(0, reference, found.exact_accuracy,
                                   found.exact_interval)]),
        Series(1, [_accuracy_point(1, "the plan", found.accuracy, found.interval)]),
    ]  # fmt: skip
    plane = Plane("", "accuracy [%]", names=("exact", "the plan"))
    picture = Picture(
        "Accuracy with its interval",
        f"Exact: {percent(found.exact_accuracy)}; the plan: {percent(found.accuracy)}; "
        "lines are Wilson's intervals.",
        partial(points, series, plane),
        Table("Accuracy", ("multipliers", "accuracy", "interval (Wilson)"), rows),
    )
    low, high = found.loss_interval
    facts = [
        (f"Loss against {reference}", f"{points_of(found.loss)} points"),
        ("Interval of the loss", f"{points_of(low)} to {points_of(high)} points (Newcombe's method "
         "10: both classify the same examples)"),
        ("McNemar's p", f"{found.p_value:.3g} (exact, two-sided)"),
        ("Right with both", f"{found.both:,}"),
        ("Right with exact ones alone", f"{found.only_exact:,}"),
        ("Right under the plan alone", f"{found.only_plan:,}"),
        ("Right with neither", f"{found.neither:,}"),
    ]  # fmt: skip
    text = []
    if found.only_exact + found.only_plan == 0:
        text = ["Both classify every example alike."]
    elif found.p_value > 0.05:
        text = [
            "The difference is not significant: chance alone gives one this large in more than "
            "5 % of samples."
        ]
    return Section("Accuracy", text, facts, [picture])


def _accuracy_point(place: int, name: str, share: float, bounds: tuple[float, float]) -> Point:
    low, high = bounds
    label = f"{name}: {percent(share)} ({percent(low)} to {percent(high)})"
    return Point(place, 100 * share, label, 100 * low, 100 * high, 11)


def _confusion(found: Accuracy, reference: str) -> Section:
    counts = np.array(found.confusion, np.int64)
    exact = np.array(found.confusion_exact, np.int64)
    names = [str(k) for k in found.classes]
    right = int(np.trace(counts))
    text = [
        f"{right:,} of {found.examples:,} examples are classified correctly under the plan, "
        f"{int(np.trace(exact)):,} by {reference}."
    ]
    mistakes = _mistakes(counts, exact, names)
    if len(names) > LARGEST_MATRIX:
        return Section("Which classes are mistaken", text, tables=[mistakes])
    whole = Table(
        "Rows: true classes; columns: predicted ones",
        ("class", *names),
        [(name, *map(str, row)) for name, row in zip(names, found.confusion)],
    )
    most = mistakes.rows[0] if mistakes.rows else None
    said = "Nothing is mistaken." if most is None else f"Most often: {most[0]}, {most[1]} times."
    picture = Picture(
        "Confusion matrix under the plan",
        f"Rows are true classes, columns predicted ones; the darker a cell, the larger its share "
        f"of the row; what is right is blue, what is wrong orange. {said}",
        partial(matrix, counts, names),
        whole,
    )
    return Section("Which classes are mistaken", text, pictures=[picture], tables=[mistakes])


def _mistakes(
    counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    exact: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    names: Sequence[str],
) -> Table:
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED]
    rows = []
    for true, predicted in zip(*np.unravel_index(order, wrong.shape)):
        if wrong[true, predicted]:
            rows.append(
                (f"{names[true]} taken for {names[predicted]}", str(wrong[true, predicted]),
                 str(exact[true, predicted]))
            )  # fmt: skip
    return Table("What is mistaken most often", ("mistake", "the plan", "exact"), rows)


# --- energy and plan ------------------------------------------------------------------------------


def _energy(found: Gathered) -> Section:
    numbers = {spec: k for k, spec in enumerate(_specs(found))}
    rows, table = [], []
    for layer in found.layers:
        parts = []
        for spec, energy in layer.energy.items():
            if energy is not None:
                label = (
                    f"{layer.name}, {spec}: {millions(energy)} of {millions(layer.multiplications)}"
                )
                parts.append(Part(numbers[spec], energy / 1e6, label))
        rows.append((layer.name, parts))
        known = [energy for energy in layer.energy.values() if energy is not None]
        whole = len(known) == len(layer.energy)
        table.append(
            (layer.name, f"{layer.multiplications:,}", f"{sum(known):,.0f}" if whole else "unknown",
             percent(sum(known) / layer.multiplications, 1)
             if whole and layer.multiplications else "")
        )  # fmt: skip
    by_layer = Picture(
        "Energy by layer",
        "Energy of a layer's multiplications for an image, in millions of exact multiplications, "
        "divided by multiplier.",
        partial(bars, rows, "energy [millions of exact multiplications]"),
        Table("Energy by layer", ("layer", "multiplications", "energy", "of exact ones"), table),
        {number: spec for spec, number in numbers.items()},
    )
    used = [used for used in found.multipliers if used.energy is not None]
    by_multiplier = Picture(
        "Energy by multiplier",
        "Energy of all multiplications of an image that a multiplier does, in millions of exact "
        "multiplications.",
        partial(
            bars,
            [(u.spec, [Part(numbers[u.spec], (u.energy or 0.0) / 1e6,
                            f"{u.spec}: {millions(u.energy or 0.0)} for "
                            f"{millions(u.multiplications)} multiplications")]) for u in used],
            "energy [millions of exact multiplications]",
        ),
        Table(
            "Energy by multiplier",
            ("multiplier", "multiplications", "energy of one", "energy", "source"),
            [(u.spec, f"{u.multiplications:,.0f}", times(u.relative_energy),
              "unknown" if u.energy is None else f"{u.energy:,.0f}", u.source)
             for u in found.multipliers],
            frozenset({0, 4}),
        ),
    )  # fmt: skip
    spent = found.relative_energy
    text = [
        "The plan's multiplications take "
        + ("an unknown share" if spent is None else percent(spent, 1))
        + f" of the energy of exact ones, by {found.subject.energy_figures} figures. This is an "
        "estimate of the multipliers alone, without memory, control and the processor.",
    ]
    missing = ""
    if spent is None:
        unknown = ", ".join(u.spec for u in found.multipliers if u.relative_energy is None)
        missing = (
            f"There is no energy figure for {unknown}. `axynq multipliers --characterise` measures "
            "a multiplier's; --energy takes the file."
        )
    return Section(
        "Energy of the multiplications",
        text,
        pictures=[by_layer, by_multiplier],
        missing=missing,
    )


def _specs(found: Gathered) -> list[str]:
    """Multipliers, as series are numbered; the exact one of operators outside the array too."""
    return list(
        dict.fromkeys(
            [*(used.spec for used in found.multipliers)]
            + [spec for layer in found.layers for spec in layer.energy]
        )
    )


def _plan(found: Gathered) -> Section:
    numbers = {spec: k for k, spec in enumerate([*_specs(found), SKIP])}
    rows, table = [], []
    for layer in found.layers:
        total = sum(layer.weights.values())
        shares = {spec: count / total for spec, count in layer.weights.items() if total}
        rows.append(
            (layer.name, [Part(numbers[spec], 100 * share,
                               f"{layer.name}: {percent(share, 1)} of the weights, {spec}")
                          for spec, share in shares.items()])
        )  # fmt: skip
        table.append(
            (layer.name, _by(layer.input), _by(layer.kernel), _by(layer.output),
             f"{layer.multiplications:,}", layer.assignment,
             ", ".join(f"{spec} {percent(share, 1)}" for spec, share in shares.items()))
        )  # fmt: skip
    listed = Table(
        "Layers, and their multipliers by share of the weights",
        ("layer", "input", "kernel", "output", "multiplications", "assignment", "multipliers"),
        table,
        frozenset({0, 5, 6}),
    )
    used = {spec for layer in found.layers for spec in layer.weights}
    picture = Picture(
        "Which multiplier computes what",
        "Share of each layer's weights that has each multiplier.",
        partial(bars, [row for row in rows if row[1]], "weights [%]"),
        listed,
        {number: spec for spec, number in numbers.items() if spec in used},
    )
    text = [f"{found.multiplications:,} multiplications an image in {len(found.layers)} layers."]
    return Section("Plan", text, pictures=[picture])


def _by(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


# --- errors ---------------------------------------------------------------------------------------


def _errors(found: Sequence[LayerErrors], examples: int) -> Section:
    table = Table(
        "Errors by layer, in real units before the activation",
        ("layer", "output σ", "error mean", "error σ", "correlation", "signal to noise"),
        [(row.name, f"{row.output_deviation:.4g}", f"{row.error_mean:+.3g}",
          f"{row.error_deviation:.3g}", f"{row.correlation:+.2f}",
          "no error" if row.signal_to_noise_db is None else f"{row.signal_to_noise_db:.1f} dB")
         for row in found],
    )  # fmt: skip
    rows = []
    for row in found:
        share = row.error_deviation / row.output_deviation if row.output_deviation else 0.0
        bias = abs(row.error_mean) / row.output_deviation if row.output_deviation else 0.0
        rows.append(
            (row.name, [Part(0, 100 * share, f"{row.name}: deviation of the error "
                             f"{percent(share, 1)} of the output's, mean {percent(bias, 1)}")])
        )  # fmt: skip
    picture = Picture(
        "Deviation of the errors by layer",
        "Standard deviation of what a layer itself adds to its sums, in percent of the standard "
        "deviation of its output.",
        partial(bars, rows, "error σ [% of output σ]"),
        table,
    )
    text = [
        f"On {plural(examples, 'example')}. The error is what the layer itself adds to its "
        "accumulators, each layer having the input that it has in the approximate network."
    ]
    return Section("Errors by layer", text, pictures=[picture])


def _multipliers(found: Sequence[Used]) -> Section:
    table = Table(
        "Errors over all operands",
        ("multiplier", "mean relative", "mean", "largest", "wrong pairs"),
        [(u.spec, f"{u.mean_relative_error:.2f} %", f"{u.mean_error:+.2f}",
          f"{u.worst_case_error:,}", percent(u.error_probability, 1)) for u in found],
    )  # fmt: skip
    wrong = [used for used in found if used.worst_case_error]
    drawn = sorted(wrong, key=lambda used: -used.multiplications)[:MOST_MAPS]
    maps = [_map(used) for used in drawn]
    text = ["Approximate minus exact products: blue is too little, red too much."]
    if len(drawn) < len(wrong):
        text.append(f"The {MOST_MAPS} of {len(wrong)} multipliers that compute most are drawn.")
    if not maps:
        text = ["All multipliers of the plan are exact."]
    return Section("Error maps of the multipliers", text, pictures=maps, tables=[table])


def _map(used: Used) -> Picture:
    m = multiplier(used.spec)
    low, high = m.activation_range
    a = np.arange(low, high + 1, dtype=np.int64)[:, None]
    w = np.arange(WEIGHT_MIN, WEIGHT_MAX + 1, dtype=np.int64)[None, :]
    error = (m.table[low - ACTIVATION_MIN : high - ACTIVATION_MIN + 1] - a * w).astype(np.int32)
    # A few large errors would leave all others white.
    limit = max(1.0, float(np.quantile(np.abs(error), 0.98)))
    rows = []
    for indices in np.array_split(np.arange(len(error), dtype=np.int64), 8):
        first, end = int(indices[0]), int(indices[-1]) + 1
        part = error[first:end]
        rows.append(
            (f"{low + first} to {low + end - 1}", f"{part.mean():+.2f}", str(part.min()),
             str(part.max()), percent(float((part != 0).mean()), 1))
        )  # fmt: skip
    return Picture(
        f"Errors of {used.spec}",
        f"Over activations {low} to {high} and weights {WEIGHT_MIN} to {WEIGHT_MAX}: from "
        f"{error.min()} to {error.max()}, mean {used.mean_error:+.2f}. The scale ends at "
        f"±{limit:.4g}, beyond which 2 % of the errors lie at most; a pixel is the mean of two by "
        "two pairs.",
        partial(error_map, error, (low, WEIGHT_MIN), limit),
        Table("Errors by activation", ("activations", "mean", "least", "largest", "wrong"), rows),
        small=True,
    )


# --- cycles ---------------------------------------------------------------------------------------

NO_OVERLAY = (
    "Give --overlay, such as z2-mixed16, for clock cycles by layer and the roofline, by the cycle "
    "model. Its lanes must have the plan's multipliers; axynq design finds such an array."
)


def _cycles(found: Cycles | None) -> Section:
    title = "Clock cycles by step"
    if found is None:
        return Section(title, missing=NO_OVERLAY)
    kinds = ("compute", "load", "store", "start-up")
    table = Table(
        "Cycles an image",
        ("step", "cycles", "µs", *kinds, "bound by"),
        [(s.name, *(f"{v / found.batch:,.0f}" for v in (s.cycles,)),
          f"{s.cycles / found.batch / found.clock_mhz:.1f}",
          *(f"{v / found.batch:,.0f}" for v in (s.compute, s.load, s.store, s.start_up)), s.bound)
         for s in found.steps],
        frozenset({0, 7}),
    )  # fmt: skip
    bounds = list(dict.fromkeys(step.bound for step in found.steps))
    rows = [
        (s.name, [Part(bounds.index(s.bound), s.cycles / found.batch / 1e3,
                       f"{s.name}: {s.cycles / found.batch:,.0f} cycles, bound by {s.bound}")])
        for s in found.steps
    ]  # fmt: skip
    picture = Picture(
        "Cycles by step",
        "Thousands of cycles an image; the colour says what takes longest.",
        partial(bars, rows, "cycles an image [thousands]"),
        table,
        {k: f"bound by {bound}" for k, bound in enumerate(bounds)},
    )
    text = [
        f"{found.cycles_per_image:,.0f} cycles an image on {found.overlay}, "
        f"{found.milliseconds_per_image:.3f} ms at {found.clock_mhz:g} MHz, in batches of "
        f"{found.batch}; {percent(found.utilisation, 1)} of the array's multipliers are used. "
        "These are figures of the cycle model: nothing has been synthesised or run on a board. "
        "What the host computes beside the accelerator is not in them.",
    ]
    return Section(title, text, pictures=[picture])


def _roofline(found: Cycles | None) -> Section:
    title = "Roofline"
    if found is None:
        return Section(title, missing=NO_OVERLAY)
    steps = [step for step in found.steps if step.macs]
    if not steps:
        return Section(title, ["No step multiplies."])
    bounds = list(dict.fromkeys(step.bound for step in steps))
    longest = max(step.cycles for step in steps)
    series = [
        Series(k, [
            Point(s.macs / s.bytes_moved, s.macs / s.cycles,
                  f"{s.name}: {s.macs / s.cycles:.1f} multiplications a cycle, "
                  f"{s.macs / s.bytes_moved:.1f} for a byte moved; bound by {s.bound}",
                  size=8 + 14 * (s.cycles / longest) ** 0.5)
            for s in steps if s.bound == bound
        ]) for k, bound in enumerate(bounds)
    ]  # fmt: skip
    intensity = [s.macs / s.bytes_moved for s in steps]
    low, high = min([0.5, *intensity]) / 2, max([64.0, *intensity]) * 2
    knee = found.peak_macs / found.bytes_per_cycle
    roof = [(low, low * found.bytes_per_cycle)]
    if low < knee < high:
        roof.append((knee, float(found.peak_macs)))
    roof.append((high, min(found.peak_macs, high * found.bytes_per_cycle)))
    picture = Picture(
        f"Roofline of {found.overlay}",
        f"Multiplications a cycle over multiplications for a byte moved. The line is the least of "
        f"what the array ({found.peak_macs} a cycle) and the memory ({found.bytes_per_cycle:.1f} "
        "bytes a cycle) allow. Larger marks take more of the time. By the cycle model.",
        lambda width: points(
            series,
            Plane("multiplications for a byte moved", "multiplications a cycle", logarithmic=True),
            width,
            [roof],
        ),
        Table(
            "Steps under the roofline",
            ("step", "multiplications a cycle", "for a byte", "bound by"),
            [(s.name, f"{s.macs / s.cycles:.1f}", f"{s.macs / s.bytes_moved:.2f}", s.bound)
             for s in steps],
            frozenset({0, 3}),
        ),
        {k: f"bound by {bound}" for k, bound in enumerate(bounds)},
    )  # fmt: skip
    return Section(title, pictures=[picture])


# --- what other commands left ---------------------------------------------------------------------


def _sensitivity(found: Sensitivity | None, of_other: str) -> Section:
    title = "Sensitivity of the layers"
    if found is None:
        return Section(
            title,
            missing="Give --sensitivity and a file that this command wrote:",
            commands=["axynq sensitivity MODEL --data DATA --json > sensitivity.json"],
        )
    pictures = []
    for name, said, accuracies in (
        ("One layer approximate", "in which this layer alone is approximate", found.alone),
        ("The first layers approximate", "in which all layers up to this one are", found.first),
    ):
        series = [
            Series(k, [Point(place, 100 * share, f"{layer}, {spec}: {percent(share)}")
                       for place, (layer, share) in enumerate(zip(found.layers, row))], joined=True)
            for k, (spec, row) in enumerate(accuracies.items())
        ]  # fmt: skip
        pictures.append(
            Picture(
                name,
                f"Accuracy of networks {said}; with exact multipliers "
                f"{percent(found.baseline_accuracy)}.",
                partial(points, series, Plane("", "accuracy [%]", names=found.layers)),
                Table(
                    f"{name}: accuracy",
                    ("layer", *accuracies),
                    [(layer, *(percent(row[k]) for row in accuracies.values()))
                     for k, layer in enumerate(found.layers)],
                ),
                dict(enumerate(accuracies)),
            )
        )  # fmt: skip
    text = [f"{found.model}, on {found.examples:,} examples."]
    if of_other:
        text.append(OTHER.format(of_other))
    return Section(title, text, pictures=pictures)


def _power(found: Power | None) -> Section:
    title = "Measured power"
    if found is None:
        return Section(
            title,
            missing="No power was measured. On a board, axynq power measures energy per "
            "inference; give --power and its folder.",
        )
    series = list(dict.fromkeys(r.rail for r in found.results))
    names = [f"{r.contender}, {r.rail}" for r in found.results]
    drawn = [
        Series(k, [
            Point(place, 1e3 * r.joules.mean, f"{names[place]}: {_quantity(r.joules, 1e3, 'mJ')}",
                  None if r.joules.low is None else 1e3 * r.joules.low,
                  None if r.joules.high is None else 1e3 * r.joules.high)
            for place, r in enumerate(found.results) if r.rail == rail
        ]) for k, rail in enumerate(series)
    ]  # fmt: skip
    picture = Picture(
        "Energy of an inference",
        "Mean and interval by program and rail, idle power included.",
        partial(points, drawn, Plane("", "energy [mJ]", names=names)),
        Table(
            "Energy of an inference, mean and interval",
            ("program and rail", "energy", "above idle", "against the first", "power", "time",
             "runs"),
            [(name, _quantity(r.joules, 1e3, "mJ"), _quantity(r.net_joules, 1e3, "mJ"),
              _quantity(r.against_first, 1e3, "mJ"), _quantity(r.watts, 1, "W"),
              _quantity(r.seconds, 1e3, "ms"), str(r.joules.runs))
             for name, r in zip(names, found.results)],
        ),
        dict(enumerate(series)),
    )  # fmt: skip
    text = [f"As axynq power recorded it, in {plural(found.runs, 'run')}."]
    if found.device == "software":
        title = "Power, software board"
        text = [f"{text[0][:-1]}, {SIMULATED}."]
    if found.partial:
        text.append("The experiment was not finished.")
    return Section(title, text, pictures=[picture] if found.results else [])


def _quantity(value: Quantity | None, factor: float, unit: str) -> str:
    if value is None:
        return "–"
    text = f"{factor * value.mean:.4g} {unit}"
    if value.low is None or value.high is None:
        return text
    return f"{text} ({factor * value.low:.4g} to {factor * value.high:.4g})"
