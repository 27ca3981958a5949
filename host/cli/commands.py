"""All commands, by their names."""

from __future__ import annotations

from typing import Annotated

import typer

from axynq.emulator import __version__
from axynq.host.cli import (
    build,
    compile,
    demo,
    deploy,
    design,
    doctor,
    evaluate,
    explore,
    inspect,
    match,
    multipliers,
    noise,
    power,
    quantise,
    report,
    retrain,
    rtl,
    run,
    selftest,
    sensitivity,
    tune,
    view,
)

app = typer.Typer(
    help="Approximate-multiplier CNNs on Xilinx PYNQ boards, with a bit-exact emulator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
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


for name, function, example in (
    ("demo", demo.demo, "axynq demo --output digits.png"),
    ("multipliers", multipliers.multipliers, "axynq multipliers exact roup:1,4 smapprox:2222"),
    ("rtl", rtl.rtl, "axynq rtl roup:1,4 smapprox:3330 --output rtl"),
    (
        "quantise",
        quantise.quantise,
        "axynq quantise model.pt2 --data cifar10/ --output model.tflite",
    ),
    ("inspect", inspect.inspect, "axynq inspect model.tflite --overlay z2-mixed16"),
    ("evaluate", evaluate.evaluate, "axynq evaluate model.tflite --data cifar10/ --plan roup:1,4"),
    (
        "report",
        report.report,
        "axynq report model.tflite --data cifar10/ --plan roup:1,4 --output report.html",
    ),
    (
        "sensitivity",
        sensitivity.sensitivity,
        "axynq sensitivity model.tflite --data cifar10/ --output sensitivity.png",
    ),
    ("explore", explore.explore, "axynq explore model.tflite --data cifar10/ --output found"),
    ("match", match.match_, "axynq match model.tflite --data cifar10/ --output matched"),
    (
        "tune",
        tune.tune,
        "axynq tune model.tflite --data cifar10/ --plan roup:2,6 --output tuned.tflite",
    ),
    (
        "noise",
        noise.noise,
        "axynq noise model.tflite --data cifar10/ --plan roup:2,6 --output errors.npz",
    ),
    (
        "retrain",
        retrain.retrain_,
        "axynq retrain model.tflite --data cifar10/ --plan roup:2,6 --output better.tflite",
    ),
    ("view", view.view, "axynq view found --serve 8000"),
    (
        "compile",
        compile.compile_,
        "axynq compile model.tflite --overlay z2-mixed16 --plan 'flam=exact|roup:1,4'",
    ),
    ("run", run.run, "axynq run model.axp --data images.npz --device software"),
    (
        "design",
        design.design_,
        "axynq design model.tflite --board pynq-z2 --plan 'flam=exact|roup:1,4' --output designed",
    ),
    ("build", build.build, "axynq build --overlay z2-roup16"),
    (
        "deploy",
        deploy.deploy,
        "axynq deploy model.tflite --overlay z2-roup16 --board xilinx@pynq --data images.npz",
    ),
    ("power", power.power, "axynq power exact.axp roup.axp --sensor hwmon --rounds 20"),
    ("selftest", selftest.selftest, "axynq selftest --overlay z2-mixed16 --device software"),
    ("doctor", doctor.doctor, "axynq doctor"),
):
    app.command(name, epilog=f"\b\nExample:\n  {example}")(function)
