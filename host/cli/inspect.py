# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq inspect``: what a network consists of, and how fast an overlay would run it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from axynq.emulator import load_model
from axynq.emulator.energy import EnergyFigures, multiplications_outside, relative_energy
from axynq.emulator.model.graph import Model, WeightedLayer
from axynq.emulator.plan import Plan
from axynq.host.cli import completion
from axynq.host.cli.inputs import (
    BatchOption,
    EnergyOption,
    ModelArgument,
    PlanOption,
    picture,
    read_energy,
    read_plan,
)
from axynq.host.cli.output import JsonOption, console, percent, print_json, results, table
from axynq.host.cli.usage import UsageError
from axynq.host.compiler.capacity import most_filters
from axynq.host.compiler.compilation import TYPICAL_BATCH, compile_program
from axynq.host.overlay import Overlay
from axynq.host.performance.cycles import ProgramCycles, program_cycles
from axynq.host.performance.host_costs import StageCost, stage_costs
from axynq.host.performance.roofline import draw_roofline


@dataclass(frozen=True)
class Outcome:
    """What a network consists of."""

    name: str
    layers: list[dict[str, Any]]
    multiplications: int
    relative_energy: float | None
    """Of the plan's multiplications, 1 being exact ones; None: unknown."""
    cycles: ProgramCycles | None
    stages: list[StageCost]
    """What accelerator and host do, where there is an overlay."""
    most_filters: dict[str, dict[str, int]]
    """Of each layer, by multiplier: the most filters that may use it with all lanes busy."""


def inspect(
    model: ModelArgument,
    plan: PlanOption = "exact",
    overlay: Annotated[
        Optional[str],
        typer.Option(
            help="Also show clock cycles on this overlay: a name, such as z2-mixed16, or the path "
            "of a .toml description.",
            metavar="OVERLAY",
            autocompletion=completion.overlays,
        ),
    ] = None,
    batch: BatchOption = TYPICAL_BATCH,
    roofline: Annotated[
        Optional[Path],
        typer.Option(
            help="With --overlay: draw a roofline into this picture (.png, .svg).",
            callback=picture,
            metavar="FILE",
        ),
    ] = None,
    energy: EnergyOption = "characterised",
    json: JsonOption = False,
) -> None:
    """Show a network's layers, and the multipliers of a plan.

    With --overlay, also what the accelerator runs and what the host, and cycles, microseconds and
    what bounds each layer, by the cycle model.
    """
    if roofline and overlay is None:
        raise UsageError("--roofline needs --overlay: it shows what an overlay could do")
    network = load_model(model)
    for note in network.notes:
        console.note(note)
    chosen = read_plan(network, plan)
    array = Overlay.load(overlay) if overlay is not None else None
    outcome = measure(network, chosen, array, batch, read_energy(network, chosen, energy))
    if roofline and outcome.cycles:
        draw_roofline(outcome.cycles, network.name, roofline)
        console.note(f"wrote {roofline}")
    if json:
        content = {
            "model": str(model),
            "plan": plan,
            "multiplications": outcome.multiplications,
            "relative_energy": outcome.relative_energy,
            "energy_figures": energy,
            "layers": outcome.layers,
        }
        if outcome.cycles:
            content |= _cycles_json(outcome.cycles) | _stages_json(outcome.stages)
            content["most_filters"] = outcome.most_filters
        print_json("axynq/inspect/1", content)
        return
    _show(outcome, energy)
    if outcome.cycles:
        _show_cycles(outcome.cycles)
        if len(set(outcome.cycles.overlay.banks)) > 1:
            _show_most_filters(outcome)
        _show_stages(outcome.stages)


def measure(
    network: Model, plan: Plan, overlay: Overlay | None, batch: int, figures: EnergyFigures
) -> Outcome:
    """Look at the network, and at its program where there is an overlay."""
    cycles, stages, most = None, [], {}
    if overlay is not None:
        most = most_filters(network, overlay)
        program = compile_program(network, plan, overlay, batch)
        cycles, stages = program_cycles(program, overlay, batch), stage_costs(program)
    layers = _layers(network, plan)
    return Outcome(
        network.name,
        layers,
        sum(entry["multiplications"] for entry in layers),
        relative_energy(network, plan, figures),
        cycles,
        stages,
        most,
    )


def _show(outcome: Outcome, energy: str) -> None:
    shown = table(
        "layer", "input", "kernel", "output", "zero point", "multiplications", "multipliers",
        title=f"{outcome.name}: {outcome.multiplications:,} multiplications an image",
    )  # fmt: skip
    for entry in outcome.layers:
        weights = entry.get("weights_by_multiplier", {})
        number = sum(weights.values())
        shown.add_row(
            entry["name"],
            _by(entry["input"]),
            _by(entry.get("kernel", [])),
            _by(entry["output"]),
            str(entry["input_zero_point"]),
            f"{entry['multiplications']:,}" if entry["multiplications"] else "",
            "exact, outside the array"
            if entry.get("outside_array")
            else ", ".join(f"{spec} {100 * n / number:.0f} %" for spec, n in weights.items()),
        )
    results.print(shown)
    spent = percent(outcome.relative_energy, 1)
    results.print(f"multiplier energy relative to exact ({energy}): {spent}")


def _layers(network: Model, plan: Plan) -> list[dict[str, Any]]:
    codes = plan.expand(network)
    outside = multiplications_outside(network)
    layers: list[dict[str, Any]] = []
    for op in network.operators:
        source, target = network.tensors[op.inputs[0]], network.tensors[op.output]
        entry: dict[str, Any] = {
            "name": op.name,
            "input": list(source.shape),
            "output": list(target.shape),
            "input_zero_point": source.zero_point,
            "multiplications": outside.get(op.name, 0),
        }
        if op.name in outside:
            entry["outside_array"] = True
        if isinstance(op, WeightedLayer):
            entry["kernel"] = list(op.kernel.shape)
            entry["multiplications"] = network.multiplications(op)
            entry["weights_by_multiplier"] = codes[op.name].counts()
        layers.append(entry)
    return layers


def _cycles_json(cycles: ProgramCycles) -> dict[str, Any]:
    return {
        "overlay": cycles.overlay.name,
        "clock_mhz": cycles.overlay.clock_mhz,
        "batch": cycles.batch,
        "cycles": cycles.cycles,
        "cycles_per_image": cycles.cycles_per_image,
        "milliseconds_per_image": cycles.milliseconds_per_image,
        "utilisation": cycles.utilisation(),
        "bytes_per_image": cycles.bytes_moved / cycles.batch,
        "steps": [
            {
                "name": layer.name,
                "cycles": layer.cycles,
                "utilisation": cycles.utilisation(layer),
                "bytes": layer.bytes_moved,
                "bound": layer.bound,
                "compute_cycles": layer.compute,
                "load_cycles": layer.load,
                "store_cycles": layer.store,
                "start_up_cycles": layer.start_up,
                "runs": layer.counts.runs,
            }
            for layer in cycles.layers
        ],
    }


def _show_cycles(cycles: ProgramCycles) -> None:
    overlay, batch = cycles.overlay, cycles.batch
    shown = table(
        "step", "cycles", "µs", "used", "bytes", "compute", "load", "store", "start-up", "bound by",
        title=f"\n{overlay.name} at {overlay.clock_mhz:g} MHz, batch {batch}: per image, by the "
        "cycle model (not measured on hardware)",
    )  # fmt: skip
    for layer in cycles.layers:
        shown.add_row(
            layer.name,
            f"{layer.cycles / batch:,.0f}",
            f"{layer.cycles / batch / overlay.clock_mhz:.1f}",
            percent(cycles.utilisation(layer), 0) if layer.macs else "",
            f"{layer.bytes_moved / batch:,.0f}",
            *(
                f"{part / batch:,.0f}"
                for part in (layer.compute, layer.load, layer.store, layer.start_up)
            ),
            layer.bound,
        )
    results.print(shown)
    results.print(
        f"{cycles.cycles_per_image:,.0f} cycles an image, {cycles.milliseconds_per_image:.3f} ms; "
        f"{percent(cycles.utilisation(), 1)} of the array's multipliers used"
    )


def _show_most_filters(outcome: Outcome) -> None:
    """For lanes that differ: what a plan may ask of them."""
    layers = {entry["name"]: entry["kernel"][0] for entry in outcome.layers if "kernel" in entry}
    specs = list(next(iter(outcome.most_filters.values()), {}))
    shown = table(
        "layer", "filters", *specs,
        title="\nfilters of a layer that may use each multiplier before the layer takes longer",
    )  # fmt: skip
    for name, filters in layers.items():
        most = outcome.most_filters[name]
        shown.add_row(name, str(filters), *(str(most[spec]) for spec in specs))
    results.print(shown)


def _stages_json(stages: list[StageCost]) -> dict[str, Any]:
    return {
        "starts_of_the_core": sum(not stage.on_host for stage in stages),
        "stages": [
            {
                "on": "host",
                "operators": [op._asdict() for op in stage.operators],
                "estimated_operations": stage.operations,
                "bytes_moved": stage.bytes_moved,
            }
            if stage.on_host
            else {"on": "accelerator", "steps": stage.names, "bytes_moved": stage.bytes_moved}
            for stage in stages
        ],
    }


def _show_stages(stages: list[StageCost]) -> None:
    starts = sum(not stage.on_host for stage in stages)
    shown = table(
        "stage", "on", "what", "operations", "bytes", "why",
        title=f"\nthe core is started {'once' if starts == 1 else f'{starts} times'} a batch; the "
        "host's part for an image, an ESTIMATE",
    )  # fmt: skip
    for number, stage in enumerate(stages, start=1):
        if not stage.on_host:
            what = stage.names[0]
            if len(stage.names) > 1:
                what = f"{what} to {stage.names[-1]}: {len(stage.names)} steps"
            shown.add_row(str(number), "accelerator", what, "", f"{stage.bytes_moved:,}", "")
        for op in stage.operators:
            shown.add_row(
                str(number), "host", op.name, f"{op.operations:,}", f"{op.bytes_in:,}", op.reason
            )
    results.print(shown)


def _by(shape: list[int]) -> str:
    return "×".join(map(str, shape))
