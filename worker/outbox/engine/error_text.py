"""What a log or a person may see of a database error: its class and what to do, but no value of the statement.

Drivers put values into their messages (PostgreSQL's DETAIL, MariaDB's "Duplicate entry"), and SQLAlchemy adds the bound
parameters: texts and recipients.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError, StatementError

from worker.outbox.engine.mariadb import DUPLICATE_KEY, error_number

MISSING_TABLES = "the outbox's tables are missing or older than this release; run `worker db upgrade`"

FILE_LOCKED = "another process keeps the file locked; end it or try again"
ABORTED = (
    "an earlier statement of this transaction failed, and the database takes no other; roll back, and see to that error"
)

_PASSWORD = "the user or password is wrong; correct the database URL"
_DATABASE = "the database does not exist; create it or correct the database URL"
_FOLDER = "the file cannot be opened; create its folder, check its rights or correct the path in the database URL"
_HOST = "the server cannot be reached; start it or correct host and port in the database URL"
_RIGHTS = "the database user may not do this; give it the rights"

_OPTIONS = "a pooler refuses the options in the database URL; set its ignore_startup_parameters, or leave them out"

_OPTION = "the database URL has an option that its driver does not take; correct it or leave it out"
_TLS = (
    "TLS with the server fails, or it has none; correct the ssl options in the database URL, or the server's settings"
)

_LOCKED = "a lock was not free in time; try again"
_CANCELLED = "the statement took too long or was cancelled; try again"
_FULL = "the server has no connection left; give it more or use fewer processes"
_DISK = "the database's disk is full; make room there"
_READ_ONLY = "the server takes no writes; let the database URL lead to the primary"

_SQLSTATES = {
    "25006": _READ_ONLY,
    "25P02": ABORTED,
    "28P01": _PASSWORD,
    "28000": _PASSWORD,
    "3D000": _DATABASE,
    "42P01": MISSING_TABLES,
    "42703": MISSING_TABLES,
    "42501": _RIGHTS,
    "55P03": _LOCKED,
    "57014": _CANCELLED,
    "53100": _DISK,
    "53300": _FULL,
}
_MYSQL_NUMBERS = {
    _READ_ONLY: (1047, 1290, 1792, 1836),
    _DISK: (1021, 1114),
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
# Texts of errors without a code: libpq has no SQLSTATE for a connection that could not be opened.
_PHRASES = (
    ("no such table", MISSING_TABLES),
    ("no such column", MISSING_TABLES),
    ("has no column named", MISSING_TABLES),
    ("unable to open database file", _FOLDER),
    ("database or disk is full", _DISK),
    # Also of a full disk, where the file's index of its WAL finds no room.
    ("disk i/o error", "the database's disk is full or fails; make room there or mend it"),
    ("readonly database", "the file may not be written; check the rights of it and of its folder"),
    ("file is not a database", "the file is not an SQLite database; correct the path in the database URL"),
    ("database is locked", FILE_LOCKED),
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
_SQLSTATE_CLASSES = {"08": _HOST, "57P": _HOST}


def remedy_of(error: BaseException) -> str | None:
    """Returns what is wrong and what to do about it, or None for an unknown error."""
    if not isinstance(error, DBAPIError):
        return None
    state, code = sqlstate_of(error.orig), error_number(error.orig)
    if code in _MYSQL:
        # The error also has an SQLSTATE, but the number is more precise.
        return _MYSQL[code]
    if state is not None:
        remedies = (remedy for prefix, remedy in _SQLSTATE_CLASSES.items() if state.startswith(prefix))
        return _SQLSTATES.get(state) or next(remedies, None)
    if code is not None:
        return None
    message = str(error.orig).lower()
    return next((remedy for phrase, remedy in _PHRASES if phrase in message), None)


def description_of(error: BaseException) -> str:
    """Describes a database error without the driver's text, which may contain values of the statement or a URL."""
    code = sqlstate_of(error.orig) if isinstance(error, DBAPIError) else None
    name = f"{type(error).__name__} {code}" if code else type(error).__name__
    return remedy_of(error) or f"failed with {name}; check that it is running and that `worker db upgrade` was run"


def is_forbidden(error: BaseException) -> bool:
    """Returns whether the database user lacks the rights for a statement."""
    return remedy_of(error) == _RIGHTS


def is_away(error: BaseException) -> bool:
    """Returns whether the database cannot be reached."""
    return remedy_of(error) == _HOST


def is_taken_key(error: BaseException) -> bool:
    """Returns whether an insert of MariaDB met a unique key. The error is the driver's or SQLAlchemy's."""
    return error_number(getattr(error, "orig", error)) == DUPLICATE_KEY


def sqlstate_of(cause: BaseException | None) -> str | None:
    """Returns the SQLSTATE of a driver's error, or None if the driver has none."""
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    args = getattr(cause, "args", ())
    if state is None and args and isinstance(args[0], dict):
        # pg8000's argument has the server's fields by their letters.
        state = args[0].get("C")
    return state if isinstance(state, str) else None


def without_values(error: StatementError) -> StatementError:
    """Returns an error of the same class and code that contains no value of the statement anywhere."""
    if not isinstance(error, DBAPIError):
        # The text of such an error quotes the value that could not be bound.
        return StatementError("a value could not be bound", error.statement, None, None, hide_parameters=True)
    return type(error)(
        error.statement,
        None,
        _driver_error_without_text(error.orig),
        hide_parameters=True,
        connection_invalidated=error.connection_invalidated,
    )


def _driver_error_without_text(cause: BaseException | None) -> BaseException:
    """Returns a driver's error of the same class with only the code and the names of tables and constraints."""
    if isinstance(cause, sqlite3.Error):
        # SQLite's messages contain names of tables and columns, but no values.
        return type(cause)(*cause.args)
    text, code, state = _summary(cause), error_number(cause), sqlstate_of(cause)
    try:
        kind: Any = type(cause)
        error: BaseException = kind(*([text] if code is None else [code, text]))
    except Exception:  # noqa: BLE001  the driver's class has other arguments; the text matters more than the class
        error = RuntimeError(text)
    if state is not None and getattr(error, "sqlstate", None) != state:
        error.sqlstate = state  # type: ignore[attr-defined]
    return error


def _summary(cause: Any) -> str:
    """Returns the code of a driver's error and the names of the table, column and constraint, if it has them."""
    diag = getattr(cause, "diag", None)
    names = [(name, getattr(diag, f"{name}_name", None)) for name in ("table", "column", "constraint")]
    code = sqlstate_of(cause)
    return ", ".join(
        [f"error {code}" if code else type(cause).__name__, *(f"{name} {value}" for name, value in names if value)]
    )
