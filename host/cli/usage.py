# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Options that are malformed, or do not go together: exit code 2 (:mod:`axynq.host.cli.ending`).

Whether they are is known from the command line alone. What is looked up or read, such as a network,
a multiplier or an overlay, ends with 1 where it cannot be used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from axynq.emulator.errors import AxynqError

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Of typer's errors the one that concerns no single option; typer has it by no other name."""


@contextmanager
def judged() -> Iterator[None]:
    """Inside, what the library refuses is an option's malformed value.

    Raises:
        typer.BadParameter: the library raised an error, whose text it has.
    """
    try:
        yield
    except AxynqError as error:
        raise typer.BadParameter(str(error)) from error
