"""``axynq inspect``: what a network consists of."""

from __future__ import annotations

from typing import Any

from axynq.emulator import load_model
from axynq.emulator.energy import relative_energy
from axynq.emulator.model.graph import WeightedLayer
from axynq.host.cli.inputs import EnergyOption, ModelArgument, PlanOption, read_energy, read_plan
from axynq.host.cli.output import JsonOption, percent, print_json, results, table


def inspect(
    model: ModelArgument,
    plan: PlanOption = "exact",
    energy: EnergyOption = "characterised",
    json: JsonOption = False,
) -> None:
    """Show a network's layers, their multiplications, and the multipliers a plan gives them."""
    network = load_model(model)
    chosen = read_plan(network, plan)
    codes = chosen.expand(network)
    spent = relative_energy(network, chosen, read_energy(network, chosen, energy))
    layers: list[dict[str, Any]] = []
    for op in network.operators:
        source, target = network.tensors[op.inputs[0]], network.tensors[op.output]
        entry: dict[str, Any] = {
            "name": op.name,
            "input": list(source.shape),
            "output": list(target.shape),
            "input_zero_point": source.zero_point,
            "multiplications": 0,
        }
        if isinstance(op, WeightedLayer):
            entry["kernel"] = list(op.kernel.shape)
            entry["multiplications"] = network.multiplications(op)
            entry["weights_by_multiplier"] = codes[op.name].counts()
        layers.append(entry)
    total = sum(entry["multiplications"] for entry in layers)
    if json:
        print_json(
            {
                "model": str(model),
                "plan": plan,
                "multiplications": total,
                "relative_energy": spent,
                "energy_figures": energy,
                "layers": layers,
            }
        )
        return
    shown = table(
        "layer", "input", "kernel", "output", "zero point", "multiplications", "multipliers",
        title=f"{network.name}: {total:,} multiplications an image",
    )  # fmt: skip
    for entry in layers:
        weights = entry.get("weights_by_multiplier", {})
        number = sum(weights.values())
        shown.add_row(
            entry["name"],
            _by(entry["input"]),
            _by(entry.get("kernel", [])),
            _by(entry["output"]),
            str(entry["input_zero_point"]),
            f"{entry['multiplications']:,}" if entry["multiplications"] else "",
            ", ".join(f"{spec} {100 * n / number:.0f} %" for spec, n in weights.items()),
        )
    results.print(shown)
    results.print(f"multiplier energy relative to exact ({energy}): {percent(spent, 1)}")


def _by(shape: list[int]) -> str:
    return "×".join(map(str, shape))
