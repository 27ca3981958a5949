# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Correlation of error and output, by layer and multiplier (Table 3 of the error-modelling paper),
and how large the errors are.

    python examples/retraining/correlation.py resnet8 --data cifar10-jpeg.tar.xz

Means over the neurons of a layer, from 1 024 training images. Writes
results/correlation_NETWORK.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from experiment import MULTIPLIERS, RESULTS, SAMPLES, Records, short, subject

from axynq.emulator.studies.errors import extract


def main(
    network: Annotated[str, typer.Argument(help="resnet8, resnet14 or allcnn.")],
    data: Annotated[Path, typer.Option(help="CIFAR-10, as `axynq evaluate` takes it.")],
    output: Annotated[Path, typer.Option(help="Folder of results.")] = RESULTS,
) -> None:
    examples = subject(network, data)
    facts = {"network": network, "data": f"CIFAR-10, JPEG copies; {SAMPLES} training images"}
    records = Records(output / f"correlation_{network}.json", facts)
    for plan in MULTIPLIERS:
        if records.find(multiplier=plan) is not None:
            continue
        layers = {}
        for name, layer in extract(examples.model, plan, examples.samples).layers.items():
            real = layer.real
            layers[name] = {
                "correlation": round(float(np.mean(layer.neurons.correlation)), 4),
                "error_mean": float(f"{float(real.error_mean):.4g}"),
                "error_deviation": float(f"{float(real.error_deviation):.4g}"),
                "signal_to_noise_db": round(float(real.signal_to_noise), 2),
            }
        records.add(multiplier=plan, layers=layers)
    print(f"| layer | {' | '.join(short(plan) for plan in MULTIPLIERS)} |")
    print(f"|---{'|---' * len(MULTIPLIERS)}|")
    for layer in examples.model.layers:
        found = [(records.find(multiplier=plan) or {})["layers"] for plan in MULTIPLIERS]
        cells = [f"{layers[layer.name]['correlation']:.2f}" for layers in found]
        print(f"| {layer.name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    typer.run(main)
