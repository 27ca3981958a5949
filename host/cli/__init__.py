# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The command line: ``axynq``."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point. What goes wrong is one line on standard error, and the exit code is not 0."""
    try:
        # Loading takes a second, on a board several: an interrupt then is one like any other.
        from axynq.host.cli.ending import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
