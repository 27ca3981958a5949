# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Evaluations on disk: a table of facts that survives whatever happens to the process.

A fact says which examples were classified rightly for one network, set of examples and tuning
(the *context*) under one plan. Facts never become wrong, so a search is resumed by running it
again: what it asks for is already there.

Stores of version 0.1 only say how many were right. They are read as they are; where it matters
which, the fact is missing, and is found again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from axynq.emulator.errors import DataError
from axynq.emulator.studies.comparison import Right

_SCHEMA = """
CREATE TABLE IF NOT EXISTS evaluations (
    context TEXT NOT NULL,
    plan TEXT NOT NULL,
    correct INTEGER NOT NULL,
    right BLOB,
    PRIMARY KEY (context, plan)
) WITHOUT ROWID
"""
"""``right``: a bit for each example, the first one's the highest of the first byte."""

_SECOND = "ALTER TABLE evaluations ADD COLUMN right BLOB"
"""What makes a store of version 0.1 one of these."""


class Store:
    """Evaluations in an SQLite file. A context manager.

    Every fact is on disk when :meth:`put` returns.

    Raises:
        DataError: the file cannot be opened, or is something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, isolation_level=None, timeout=60)
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=FULL")
                self._connection.execute(_SCHEMA)
                self._add_column()
            except sqlite3.Error:
                self._connection.close()
                raise
        except (FileExistsError, NotADirectoryError) as error:
            raise DataError(f"'{error.filename}' is not a folder: give another --output") from error
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"the store '{path}' cannot be opened ({error}): give another --output"
            ) from error

    def get(self, context: str, plans: Iterable[str]) -> dict[str, int]:
        """What is known of plans (by their keys): right classifications."""
        known = {}
        for plan in plans:
            row = self._row(
                "SELECT correct FROM evaluations WHERE context = ? AND plan = ?", context, plan
            )
            if row is not None:
                known[plan] = int(row[0])
        return known

    def right(self, context: str, plans: Iterable[str], examples: int) -> dict[str, Right]:
        """What is known of which of so many examples were classified rightly, [examples] each."""
        known = {}
        for plan in plans:
            row = self._row(
                "SELECT right, correct FROM evaluations WHERE context = ? AND plan = ?",
                context,
                plan,
            )
            if row is None or not isinstance(row[0], bytes) or len(row[0]) != -(-examples // 8):
                continue
            right = np.unpackbits(np.frombuffer(row[0], np.uint8), count=examples).astype(bool)
            if right.sum() == row[1]:
                known[plan] = right
        return known

    def put(self, context: str, plan: str, right: Right) -> None:
        """Write down which examples were classified rightly, [examples]."""
        fact = (context, plan, int(right.sum()), np.packbits(right).tobytes())
        try:
            self._connection.execute("INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?)", fact)
        except sqlite3.Error as error:
            raise DataError(f"the store '{self.path}' cannot be written: {error}") from error

    def __len__(self) -> int:
        row = self._row("SELECT COUNT(*) FROM evaluations")
        return 0 if row is None else int(row[0])

    def _add_column(self) -> None:
        columns = {row[1] for row in self._connection.execute("PRAGMA table_info(evaluations)")}
        if "right" not in columns:
            try:
                self._connection.execute(_SECOND)
            except sqlite3.OperationalError as error:  # another process was faster
                if "duplicate column" not in str(error):
                    raise

    def _row(self, query: str, *values: str) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise DataError(
                f"the store '{self.path}' cannot be read ({error}): delete it, or give another "
                "--output"
            ) from error
        return row

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
