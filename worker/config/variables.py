"""The variables of settings and secrets: those of the environment, and those of `.env` that it does not have.

`.env` is read from the folder where the process was started, and again if it has changed. The environment itself is not
changed.
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
    """Returns all variables. The environment wins."""
    return ChainMap(dict(os.environ), dict(_file_variables()))


def variable(name: str) -> str:
    """Returns the value of one variable, or an empty text."""
    return os.environ.get(name) or _file_variables().get(name, "")


def env_file() -> str:
    """Returns where `.env` is looked for, as text for people, and says if it exists but cannot be read."""
    path = Path(ENV_FILE).absolute()
    return str(path) if _file() is not None else f"{path} (it exists, but cannot be read as UTF-8 text)"


def _file_variables() -> Mapping[str, str]:
    return _file() or {}


def _file() -> Mapping[str, str] | None:
    """Returns the file's variables, or None if it cannot be read. Missing variables are then reported by name."""
    try:
        stat = os.stat(ENV_FILE)
    except OSError:
        return {}
    return _parsed(os.path.abspath(ENV_FILE), (stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=8)
def _parsed(path: str, stamp: tuple[int, ...]) -> Mapping[str, str] | None:
    try:
        # Without interpolation: a secret may hold a dollar. Editors on Windows put a byte order mark before the text.
        values = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    return {name: value for name, value in values.items() if value}
