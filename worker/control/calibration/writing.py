"""Writes what a calibration found as an account's settings: into the outbox, or into the settings file.

The file's comments and order stay. Judges the account with its new settings before anything is written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import tomlkit

from worker.accounts.sources import ApplicationsAccounts
from worker.channels.registry import require_usable
from worker.config.accounts import account_of
from worker.config.settings import Settings
from worker.control.accounts import change_account, stored_accounts
from worker.domain.errors import WorkerError


class AccountPlace(StrEnum):
    """Where an account's settings are."""

    FILE = "file"
    OUTBOX = "outbox"
    ELSEWHERE = "elsewhere"
    """A function of the application's, or variables of the environment: printed, and not written."""


def place_of(name: str, settings: Settings) -> AccountPlace:
    """Where the account of this name is kept."""
    if name in settings.accounts:
        return AccountPlace.FILE if _is_in_file(name, settings) else AccountPlace.ELSEWHERE
    if settings.accounts_from and name in ApplicationsAccounts(settings.accounts_from).look():
        return AccountPlace.ELSEWHERE
    return (
        AccountPlace.OUTBOX
        if any(one.name == name for one in stored_accounts(settings=settings))
        else AccountPlace.ELSEWHERE
    )


def lines_of(name: str, found: Mapping[str, Any]) -> str:
    """The settings as lines of `worker.toml`."""
    document = tomlkit.document()
    accounts = tomlkit.table(is_super_table=True)
    accounts.append(name, tomlkit.item(dict(found)))
    document.append("accounts", accounts)
    return tomlkit.dumps(document).strip()


def write(name: str, found: Mapping[str, Any], settings: Settings, *, person: str, why: str) -> str:
    """Writes the settings where the account is kept; returns the place in words. WorkerError where that cannot be."""
    match place_of(name, settings):
        case AccountPlace.OUTBOX:
            change_account(name, found, person=person, why=why, settings=settings)
            return "the outbox"
        case AccountPlace.FILE:
            assert settings.file is not None
            _write_file(settings.file.path, name, found, settings)
            return str(settings.file.path)
        case AccountPlace.ELSEWHERE:
            raise WorkerError(
                f"account {name} is in no file and not in the outbox: write the lines where it comes from"
            )


def _is_in_file(name: str, settings: Settings) -> bool:
    return settings.file is not None and name in _tables(_parsed(settings.file.path))


def _parsed(path: Path) -> tomlkit.TOMLDocument:
    # Not as text, which would change the ends of lines.
    return tomlkit.parse(path.read_bytes())


def _tables(document: tomlkit.TOMLDocument) -> Mapping[str, Any]:
    found = document.get("accounts")
    return found if isinstance(found, Mapping) else {}


def _write_file(path: Path, name: str, found: Mapping[str, Any], settings: Settings) -> None:
    document = _parsed(path)
    require_usable(account_of(name, {**settings.accounts[name], **found}, settings))
    _tables(document)[name].update(found)
    try:
        _replace(path.resolve(), tomlkit.dumps(document).encode())
    except OSError as error:
        raise WorkerError(f"{path}: cannot be written ({error.strerror}); write the lines there yourself") from None


def _replace(path: Path, content: bytes) -> None:
    """Puts the content in the file's place at once: a worker that reads it meanwhile sees the old or the new."""
    was = path.stat()
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as written:
        written.write(content)
    try:
        os.chmod(written.name, was.st_mode)
        os.chown(written.name, was.st_uid, was.st_gid)
        os.replace(written.name, path)
    except OSError:
        os.unlink(written.name)
        raise
