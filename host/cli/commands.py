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
    doctor,
    evaluate,
    explore,
    inspect,
    multipliers,
    noise,
    power,
    retrain,
    rtl,
    run,
    selftest,
    sensitivity,
    tune,
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
    """What stands before a command's name."""


app.command("demo")(demo.demo)
app.command("multipliers")(multipliers.multipliers)
app.command("rtl")(rtl.rtl)
app.command("inspect")(inspect.inspect)
app.command("evaluate")(evaluate.evaluate)
app.command("sensitivity")(sensitivity.sensitivity)
app.command("explore")(explore.explore)
app.command("tune")(tune.tune)
app.command("noise")(noise.noise)
app.command("retrain")(retrain.retrain_)
app.command("compile")(compile.compile_)
app.command("run")(run.run)
app.command("build")(build.build)
app.command("deploy")(deploy.deploy)
app.command("power")(power.power)
app.command("selftest")(selftest.selftest)
app.command("doctor")(doctor.doctor)
