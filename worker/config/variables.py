"""The variables that settings and secrets are read from: the environment's, and those of `.env` that it does not have.

`.env` is read where the process was started, and again when it has changed. The environment itself is left as it is.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from dotenv import dotenv_values

ENV_FILE = ".env"


def variables() -> Mapping[str, str]:
    """All variables; the environment wins."""
    return ChainMap(dict(os.environ), dict(_in_file()))


def variable(name: str) -> str:
    """The value of one variable; empty where there is none."""
    return os.environ.get(name) or _in_file().get(name, "")


def env_file() -> str:
    """Where `.env` is looked for, for people; it says so where it is there and cannot be read."""
    path = Path(ENV_FILE).absolute()
    return str(path) if _file() is not None else f"{path} (it is there, but cannot be read as UTF-8 text)"


def _in_file() -> Mapping[str, str]:
    return _file() or {}


def _file() -> Mapping[str, str] | None:
    """The file's variables; None where it cannot be read: what is missing then is told by its name."""
    try:
        found = os.stat(ENV_FILE)
    except OSError:
        return {}
    return _parsed(os.path.abspath(ENV_FILE), (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=8)
def _parsed(path: str, stamp: tuple[int, ...]) -> Mapping[str, str] | None:
    try:
        # Without interpolation: a secret may hold a dollar. Editors on Windows put a mark before the text.
        found = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    return {name: value for name, value in found.items() if value}
