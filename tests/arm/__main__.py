# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The check on emulated ARM machines: ``python -m tests.arm``, or ``make check-arm``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.arm import material
from tests.arm.machine import ARCHITECTURES, SOURCE, Machine, MachineError


def main() -> int:
    """Make the machines, compute what they must give, and run the check on each."""
    parser = argparse.ArgumentParser(prog="python -m tests.arm", description=__doc__)
    parser.add_argument(
        "architectures",
        nargs="*",
        metavar="ARCHITECTURE",
        help=f"{' or '.join(ARCHITECTURES)}; default: both",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=SOURCE / "build" / "arm",
        help="where the machines are kept (default: build/arm)",
    )
    parser.add_argument(
        "--sources",
        type=Path,
        help="an apt sources file with the architectures (default: this machine's; Ubuntu's main "
        "archive has no ARM)",
    )
    parser.add_argument(
        "--python",
        nargs=argparse.REMAINDER,
        help="run the machine's Python with the rest of the command line instead of the check",
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.architectures if name not in ARCHITECTURES]
    if unknown:
        parser.error(f"unknown architecture '{unknown[0]}': choose {' or '.join(ARCHITECTURES)}")
    expected = arguments.folder.resolve() / "expected"
    if arguments.python is None:
        material.write(expected)
    failed = 0
    for name in arguments.architectures or ARCHITECTURES:
        architecture = ARCHITECTURES[name]
        started = time.monotonic()
        machine = Machine(architecture, arguments.folder / name, arguments.sources)
        try:
            made = machine.make()
        except MachineError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        if made:
            print(f"{name} ({architecture.boards}): made in {time.monotonic() - started:.0f} s")
        started = time.monotonic()
        first, *others = architecture.processors
        if arguments.python is not None:
            failed += machine.run(*arguments.python, processor=first) != 0
        else:
            # Other processors have other kernels.
            failed += machine.run("-m", "tests.arm.check", expected, processor=first) != 0
            for other in others:
                command = ("-m", "tests.arm.check", expected, "kernels")
                failed += machine.run(*command, processor=other) != 0
        print(f"{name} ({architecture.boards}): {time.monotonic() - started:.0f} s", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
