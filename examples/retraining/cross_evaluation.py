# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks retrained with the error model of one multiplier, used with another (Table 7 of the
error-modelling paper).

    python examples/retraining/recovery.py resnet8 --data cifar10-jpeg.tar.xz --recipe error-model
    python examples/retraining/cross_evaluation.py resnet8 --data cifar10-jpeg.tar.xz

Takes the networks that recovery.py left in --models. Writes results/cross_NETWORK.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from experiment import RESULTS, Records, short, subject
from recovery import RECIPES, file_name

from axynq.emulator import load_model

MULTIPLIERS = ("smapprox:1110", "smapprox:3330", "smapprox:2222", "roup:2,6")
"""The paper's three, and one of ROUP."""


def main(
    network: Annotated[str, typer.Argument(help="resnet8, resnet14 or allcnn.")],
    data: Annotated[Path, typer.Option(help="CIFAR-10, as `axynq evaluate` takes it.")],
    recipe: Annotated[str, typer.Option(help="As in recovery.py.")] = "error-model",
    models: Annotated[Path, typer.Option(help="Where retrained networks are.")] = Path(
        "build/retraining"
    ),
    output: Annotated[Path, typer.Option(help="Folder of results.")] = RESULTS,
) -> None:
    examples = subject(network, data)
    facts = {
        "network": network,
        "data": "CIFAR-10, JPEG copies; 10 000 test images, bit-exact emulation",
        "recipe": RECIPES[recipe].key,
    }
    records = Records(output / f"cross_{network}.json", facts)
    trained = {"": examples.model}
    for plan in MULTIPLIERS:
        path = models / network / file_name(plan, recipe)
        if not path.exists():
            raise SystemExit(
                f"{path} does not exist: run recovery.py {network} --recipe {recipe} "
                f"--multiplier {plan}"
            )
        trained[plan] = load_model(path)
    used = ("exact", *MULTIPLIERS)
    print(f"| retrained for | {' | '.join(short(plan) for plan in used)} |")
    print(f"|---{'|---' * len(used)}|")
    for source, model in trained.items():
        cells = []
        for plan in used:
            found = records.find(retrained_for=source, used_with=plan)
            if found is None:
                records.add(
                    retrained_for=source, used_with=plan, accuracy=examples.accuracy(model, plan)
                )
                found = records.find(retrained_for=source, used_with=plan)
            assert found is not None
            cells.append(f"{100 * found['accuracy']:.2f}")
        print(f"| {short(source) or 'nothing'} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
