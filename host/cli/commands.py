# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""All commands, by their names."""

from __future__ import annotations

from typing import Annotated

import typer

from axynq.host.cli.command_class import Commands, Entry

ENTRIES = {
    "demo": Entry(
        "demo:demo",
        "Run a CNN with approximate multipliers, without a board.",
        ("axynq demo", "axynq demo --output digits.png --json"),
    ),
    "multipliers": Entry(
        "multipliers:multipliers",
        "List multiplier families, and how wrong multipliers are.",
        (
            "axynq multipliers",
            "axynq multipliers exact roup:1,4 smapprox:2222 --full",
            "axynq multipliers --characterise roup:1,4 --output energies.json",
        ),
    ),
    "rtl": Entry(
        "rtl:rtl",
        "Write LUT-level Verilog of multipliers, for Vitis HLS.",
        (
            "axynq rtl roup:1,4 smapprox:3330 --output rtl",
            "axynq rtl --estimate z2-mixed16",
            "axynq rtl --schedule z2-mixed16 --json",
        ),
    ),
    "quantise": Entry(
        "quantise:quantise",
        "Quantise a float network to int8, without training.",
        (
            "axynq quantise model.pt2 --data cifar10/ --output model.tflite",
            "axynq quantise model.onnx --data images.npz --output model.tflite \\\n"
            "    --ranges percentile --percentile 99.9 --equalise",
        ),
    ),
    "inspect": Entry(
        "inspect:inspect",
        "Show a network's layers, and the multipliers of a plan.",
        (
            "axynq inspect model.tflite --plan 'flam=exact|roup:1,4'",
            "axynq inspect model.tflite --overlay z2-mixed16 --batch 1 --json",
        ),
    ),
    "evaluate": Entry(
        "evaluate:evaluate",
        "Measure the accuracy of a network under a plan, by emulation.",
        (
            "axynq evaluate model.tflite --data cifar10/ --plan roup:1,4",
            "axynq evaluate model.tflite --data images.npz --plan plan.json --limit 1000",
            "axynq evaluate tuned.tflite --data cifar10/ --plan tuned.plan.json \\\n"
            "    --against model.tflite",
        ),
    ),
    "report": Entry(
        "report:report",
        "Report a network under a plan, as one HTML page.",
        (
            "axynq report model.tflite --data cifar10/ --plan roup:1,4 --output report.html",
            "axynq report tuned.tflite --data cifar10/ --plan plan.json --against model.tflite \\\n"
            "    --front found --overlay z2-mixed16",
        ),
    ),
    "sensitivity": Entry(
        "sensitivity:sensitivity",
        "Measure which layers of a network tolerate approximation.",
        (
            "axynq sensitivity model.tflite --data cifar10/ --output sensitivity.png",
            "axynq sensitivity model.tflite --data cifar10/ --high smapprox:2222 --no-fine",
        ),
    ),
    "explore": Entry(
        "explore:explore",
        "Search for plans with little energy and high accuracy.",
        (
            "axynq explore model.tflite --data cifar10/ --output found",
            "axynq explore model.tflite --data cifar10/ --output found \\\n"
            "    --overlay z2-mixed16 --levels filter --max-loss 1 --workers 4",
            "axynq explore model.tflite --data cifar10/ --output found --retrain 10",
        ),
    ),
    "match": Entry(
        "match:match_",
        "Match multipliers to the noise that layers tolerate.",
        (
            "axynq match model.tflite --data cifar10/ --output matched",
            "axynq match model.tflite --data cifar10/ --output matched \\\n"
            "    --multipliers 'exact|roup:1,4|roup:2,6' --strength 0.3,1,3 --retrain 5",
        ),
        {"--samples": "--error-examples", "--validation": "--held-out"},
    ),
    "tune": Entry(
        "tune:tune",
        "Fit a network's weights and biases to a plan.",
        (
            "axynq tune model.tflite --data cifar10/ --plan roup:2,6 --output tuned.tflite",
            "axynq tune model.tflite --data cifar10/ --plan plan.json --output tuned.tflite \\\n"
            "    --weights second-order --calibration-examples 2048",
        ),
        {"--calibration": "--calibration-examples"},
    ),
    "noise": Entry(
        "noise:noise",
        "Measure a plan's errors at each neuron of a network.",
        (
            "axynq noise model.tflite --data cifar10/ --plan roup:2,6 --output errors.npz",
            "axynq noise model.tflite --data cifar10/ --plan roup:2,6 --output errors.npz \\\n"
            "    --limit 256 --pictures errors",
        ),
        {"--samples": "--limit"},
    ),
    "retrain": Entry(
        "retrain:retrain_",
        "Retrain a network so that it is accurate under a plan.",
        (
            "axynq retrain model.tflite --data cifar10/ --plan roup:2,6 --output better.tflite",
            "axynq retrain model.tflite --data cifar10/ --plan smapprox:3330 \\\n"
            "    --output better.tflite --epochs 20 --distillation 0.7 --checkpoint state.pt",
        ),
        {"--validation": "--held-out"},
    ),
    "view": Entry(
        "view:view",
        "Show how far a search or a training is.",
        ("axynq view found", "axynq view found --serve 8000"),
    ),
    "compile": Entry(
        "compile:compile_",
        "Compile a network under a plan for an overlay.",
        (
            "axynq compile model.tflite --overlay z2-mixed16 --plan 'flam=exact|roup:1,4'",
            "axynq compile model.tflite --overlay my.toml --plan plan.json --output model.axp",
        ),
    ),
    "run": Entry(
        "run:run",
        "Run a compiled program on a board, or on the software board.",
        (
            "axynq run model.axp --data images.npz --device software",
            "axynq run model.axp --data cifar10/ --output outputs.npy --baseline model.tflite",
        ),
    ),
    "design": Entry(
        "design:design_",
        "Find the array that suits a network and a board.",
        (
            "axynq design model.tflite --board pynq-z2 --plan 'flam=exact|roup:1,4' \\\n"
            "    --output designed",
            "axynq design model.tflite --board zcu104 --plan roup:2,6 --output designed \\\n"
            "    --objective latency --time-limit 600",
            "axynq design model.tflite --multipliers 'exact|roup:2,6' --data cifar10/ \\\n"
            "    --max-loss 1 --output designed",
        ),
        {"--library": "--multipliers", "--seconds": "--time-limit"},
    ),
    "build": Entry(
        "build:build",
        "Build an overlay's bitstream, with the vendor's tools.",
        (
            "axynq build --overlay z2-roup16 --verbose",
            "axynq build --overlay z2-roup16 --board ultra96-v2 --retarget --output bitstreams",
        ),
    ),
    "deploy": Entry(
        "deploy:deploy",
        "Compile a network, and run it on a board over ssh.",
        (
            "axynq deploy model.tflite --overlay z2-roup16 --board xilinx@pynq \\\n"
            "    --data images.npz",
            "axynq deploy model.tflite --overlay z2-roup16 --board xilinx@192.168.2.99 \\\n"
            "    --data cifar10/ --limit 100 --device software --output deployed",
        ),
    ),
    "power": Entry(
        "power:power",
        "Measure energy per inference, programs taking turns.",
        (
            "axynq power exact.axp roup.axp --sensor hwmon --rounds 20",
            "axynq power exact.axp roup.axp --sensor none --meter-csv meter.csv",
            "axynq power exact.axp roup.axp --sensor estimate",
        ),
    ),
    "selftest": Entry(
        "selftest:selftest",
        "Check that an accelerator computes what it should.",
        (
            "axynq selftest --overlay z2-mixed16 --device software --stride 16",
            "axynq selftest --overlay z2-mixed16 --soak 60 --json",
        ),
    ),
    "doctor": Entry(
        "doctor:doctor",
        "Check this machine: what axynq needs, and what is missing.",
        ("axynq doctor", "axynq doctor --json"),
    ),
}


class _All(Commands):
    entries = ENTRIES
    examples = ("axynq demo", "axynq explore --help", "axynq --install-completion")


app = typer.Typer(
    cls=_All,
    help="Approximate-multiplier CNNs on Xilinx PYNQ boards, with a bit-exact emulator.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(context: typer.Context, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from axynq.emulator import __version__

        print(f"axynq {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version, and exit."
        ),
    ] = False,
) -> None:
    """Options that come before the name of a command."""
