"""The command line: ``axynq``."""

from __future__ import annotations

import sys

import typer

from axynq.emulator.errors import AxynqError
from axynq.host.cli import demo, doctor, evaluate, inspect, multipliers, noise, programs, retrain
from axynq.host.cli.output import console

app = typer.Typer(
    help="Approximate-multiplier CNNs on Xilinx PYNQ boards, with a bit-exact emulator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("multipliers")(multipliers.multipliers)
app.command("inspect")(inspect.inspect)
app.command("evaluate")(evaluate.evaluate)
app.command("compile")(programs.compile_)
app.command("run")(programs.run)
app.command("noise")(noise.noise)
app.command("retrain")(retrain.retrain_)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Entry point: errors the user can mend are one line, and the exit code is not 0."""
    try:
        app()
    except AxynqError as error:
        console.print(f"[bold red]error:[/] {_escaped(str(error))}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("interrupted")
        sys.exit(130)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
