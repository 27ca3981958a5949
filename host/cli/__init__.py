"""The command line: ``axynq``."""

from __future__ import annotations

import signal
import sys

import typer
from rich.text import Text

from axynq.emulator.errors import AxynqError
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
from axynq.host.cli.output import console

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

app = typer.Typer(
    help="Approximate-multiplier CNNs on Xilinx PYNQ boards, with a bit-exact emulator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
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


def main() -> None:
    """Entry point: errors the user can mend are one line, and the exit code is not 0."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except AxynqError as error:
        console.print(Text("error:", "bold red"), str(error), soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("interrupted")
        sys.exit(INTERRUPTED)
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:  # what typer makes of Ctrl-C, without a word
            console.print("interrupted")
        raise


def _terminate(number: int, _: object) -> None:
    """End as Ctrl-C does: what was started is stopped, what is done is kept."""
    console.print("terminated")
    sys.exit(128 + number)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
