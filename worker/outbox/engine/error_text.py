"""The text that a database error may show outside this process: class and remedy, never a value of the statement.

Drivers put values into their texts (PostgreSQL's DETAIL, MariaDB's "Duplicate entry"), and SQLAlchemy adds the bound
parameters. Knows the three databases' codes; knows no table.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError, StatementError

from worker.outbox.engine.mariadb import number

MISSING_TABLES = "the outbox's tables are missing or older than this release; run `worker db upgrade`"

_PASSWORD = "the user or password is wrong; correct the database URL"
_DATABASE = "the database does not exist; create it or correct the database URL"
_FOLDER = "the file cannot be opened; create its folder, check its rights or correct the path in the database URL"
_HOST = "the server cannot be reached; start it or correct host and port in the database URL"
_RIGHTS = "the database user may not do this; give it the rights"

_OPTIONS = "a pooler refuses the options in the database URL; set its ignore_startup_parameters, or leave them out"

_OPTION = "an option behind the ? of the database URL is none that its driver takes; correct it or leave it out"
_TLS = (
    "TLS with the server fails, or it has none; correct the ssl options in the database URL, or the server's settings"
)

_LOCKED = "a lock was not free in time; try again"
_CANCELLED = "the statement took too long or was cancelled; try again"
_FULL = "the server has no connection left; give it more or use fewer processes"
_READ_ONLY = "the server takes no writes; let the database URL lead to the primary"

_SQLSTATES = {
    "25006": _READ_ONLY,
    "28P01": _PASSWORD,
    "28000": _PASSWORD,
    "3D000": _DATABASE,
    "42P01": MISSING_TABLES,
    "42703": MISSING_TABLES,
    "42501": _RIGHTS,
    "55P03": _LOCKED,
    "57014": _CANCELLED,
    "53300": _FULL,
}
_MYSQL_NUMBERS = {
    _READ_ONLY: (1047, 1290, 1792, 1836),
    _FULL: (1040, 1203),
    _LOCKED: (1205,),
    _CANCELLED: (1317, 1969),
    _PASSWORD: (1045, 1698),
    _RIGHTS: (1044, 1142, 1143),
    _DATABASE: (1049,),
    MISSING_TABLES: (1054, 1146),
    _HOST: (2002, 2003, 2005),
    _TLS: (2026,),
}
_MYSQL = {code: remedy for remedy, codes in _MYSQL_NUMBERS.items() for code in codes}
# Texts of errors without a code; libpq gives no SQLSTATE for a connection that was never made.
_WORDS = (
    ("no such table", MISSING_TABLES),
    ("no such column", MISSING_TABLES),
    ("has no column named", MISSING_TABLES),
    ("unable to open database file", _FOLDER),
    ("readonly database", "the file may not be written; check the rights of it and of its folder"),
    ("file is not a database", "the file is not an SQLite database; correct the path in the database URL"),
    ("database is locked", "another process keeps the file locked; end it or try again"),
    ("password authentication failed", _PASSWORD),
    ("no password supplied", _PASSWORD),
    ("no pg_hba.conf entry", _PASSWORD),
    ("unsupported startup parameter", _OPTIONS),
    ("invalid connection option", _OPTION),
    ("invalid sslmode value", _OPTION),
    ("invalid integer value", _OPTION),
    ("does not support ssl", _TLS),
    ("ssl error", _TLS),
    ("root certificate", _TLS),
    (' role "', _PASSWORD),
    ("does not exist", _DATABASE),
    ("connection refused", _HOST),
    ("could not translate host name", _HOST),
    ("failed to resolve host", _HOST),
    ("timeout expired", _HOST),
    ("connection timeout", _HOST),
    ("no route to host", _HOST),
    ("network is unreachable", _HOST),
)
_CLASSES = {"08": _HOST, "57P": _HOST}


def remedy_of(error: BaseException) -> str | None:
    """What is wrong and what to change, in our own words; None for an unknown error."""
    if not isinstance(error, DBAPIError):
        return None
    state, code = code_of(error.orig), number(error.orig)
    if code in _MYSQL:
        # The number is more precise than the SQLSTATE beside it.
        return _MYSQL[code]
    if state is not None:
        return _SQLSTATES.get(state) or next((text for head, text in _CLASSES.items() if state.startswith(head)), None)
    if code is not None:
        return None
    said = str(error.orig).lower()
    return next((text for words, text in _WORDS if words in said), None)


def is_forbidden(error: BaseException) -> bool:
    """True where the database's user lacks the right to what a statement reads or writes."""
    return remedy_of(error) == _RIGHTS


def code_of(cause: BaseException | None) -> str | None:
    """The SQLSTATE; None where the driver gives none."""
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    args = getattr(cause, "args", ())
    if state is None and args and isinstance(args[0], dict):
        # pg8000 gives the server's fields by their letters.
        state = args[0].get("C")
    return state if isinstance(state, str) else None


def without_values(error: StatementError) -> StatementError:
    """The same class of error with the same code, without a value of the statement in its text, cause or fields."""
    if not isinstance(error, DBAPIError):
        # A value could not be bound, and the text of such an error quotes it.
        return StatementError("a value could not be bound", error.statement, None, None, hide_parameters=True)
    return type(error)(
        error.statement,
        None,
        _silent(error.orig),
        hide_parameters=True,
        connection_invalidated=error.connection_invalidated,
    )


def _silent(cause: BaseException | None) -> BaseException:
    """A driver's error of the same class that keeps only the code and names of tables and constraints."""
    if isinstance(cause, sqlite3.Error):
        # SQLite's texts name tables and columns, never values.
        return type(cause)(*cause.args)
    words, code, state = _words(cause), number(cause), code_of(cause)
    try:
        kind: Any = type(cause)
        made: BaseException = kind(*([words] if code is None else [code, words]))
    except Exception:  # noqa: BLE001  the driver's class takes other arguments; the text matters more than the class
        made = RuntimeError(words)
    if state is not None and getattr(made, "sqlstate", None) != state:
        made.sqlstate = state  # type: ignore[attr-defined]
    return made


def _words(cause: Any) -> str:
    diag = getattr(cause, "diag", None)
    names = [(name, getattr(diag, f"{name}_name", None)) for name in ("table", "column", "constraint")]
    code = code_of(cause)
    return ", ".join(
        [f"error {code}" if code else type(cause).__name__, *(f"{name} {value}" for name, value in names if value)]
    )
