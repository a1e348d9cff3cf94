"""SQLite connections that warn when they are left to the garbage collector, on Pythons whose own do not.

Python does so since 3.13. Without this a test that closes no engine passes on 3.11, and fails on the newest.
"""

from __future__ import annotations

import sqlite3
import sys
import warnings
from typing import Any

from sqlalchemy import Engine, event


class _Warning(sqlite3.Connection):
    """A connection of which Python 3.13's warning is told."""

    def __del__(self) -> None:
        """Asks for something that only a closed connection refuses."""
        try:
            _ = self.total_changes
        except sqlite3.ProgrammingError:
            return
        warnings.warn(f"unclosed database in {self!r}", ResourceWarning, stacklevel=1)


def warn_of_connections_left_open() -> None:
    """From now on every engine's connections to SQLite warn."""
    if sys.version_info < (3, 13):
        event.listen(Engine, "do_connect", _make_it_warn)


def _make_it_warn(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
    if dialect.driver == "pysqlite":
        options.setdefault("factory", _Warning)
