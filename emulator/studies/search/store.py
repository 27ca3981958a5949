"""Evaluations on disk: a table of facts that survives whatever happens to the process.

A fact says how many examples were classified rightly for one network, set of examples and tuning
(the *context*) under one plan. Facts never become wrong, so a search is resumed by running it
again: what it asks for is already there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from axynq.emulator.errors import DataError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS evaluations (
    context TEXT NOT NULL,
    plan TEXT NOT NULL,
    correct INTEGER NOT NULL,
    PRIMARY KEY (context, plan)
) WITHOUT ROWID
"""


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
            except sqlite3.Error:
                self._connection.close()
                raise
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

    def put(self, context: str, plan: str, correct: int) -> None:
        """Write a fact down."""
        try:
            self._connection.execute(
                "INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?)", (context, plan, correct)
            )
        except sqlite3.Error as error:
            raise DataError(f"the store '{self.path}' cannot be written: {error}") from error

    def __len__(self) -> int:
        row = self._row("SELECT COUNT(*) FROM evaluations")
        return 0 if row is None else int(row[0])

    def _row(self, query: str, *values: str) -> tuple[int] | None:
        try:
            row: tuple[int] | None = self._connection.execute(query, values).fetchone()
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
