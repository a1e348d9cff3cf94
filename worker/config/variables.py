"""The variables of settings and secrets: those of the environment, and those of `.env` that it does not have.

`.env` is read from the folder where the process was started, and again if it has changed. The environment itself is not
changed.
"""

from __future__ import annotations

import io
import logging
import os
from collections import ChainMap
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import parse_stream

ENV_FILE = ".env"
_log = logging.getLogger(__name__)


class EnvFile(NamedTuple):
    """What stands in a `.env` file."""

    values: Mapping[str, str]
    """By name. Empty variables are included."""
    place: str
    """Its path, for people, with what of it cannot be read. Empty if there is no file."""


def parse_env_file(path: Path) -> EnvFile:
    """Parses a `.env` file, and logs the lines that cannot be parsed. Raises OSError or UnicodeDecodeError."""
    # Without interpolation: a secret may hold a dollar. Editors on Windows put a byte order mark before the text.
    bindings = list(parse_stream(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    texts = [binding.original.string for binding in bindings]
    # A binding begins at the blank lines before it.
    blanks = [text[: len(text) - len(text.lstrip())].count("\n") for text in texts]
    wrong = [binding.original.line + blank for binding, blank in zip(bindings, blanks, strict=True) if binding.error]
    lines = ", ".join(map(str, wrong))
    if lines:
        _log.warning("%s: line %s cannot be parsed as NAME=value, so it is ignored; correct it", path, lines)
    place = f"{path} (line {lines} cannot be parsed as NAME=value)" if lines else str(path)
    return EnvFile({binding.key: binding.value or "" for binding in bindings if binding.key is not None}, place)


def variables() -> Mapping[str, str]:
    """Returns all variables. The environment wins."""
    return ChainMap(dict(os.environ), dict(_file_variables()))


def variable(name: str) -> str:
    """Returns the value of one variable, or an empty text."""
    return os.environ.get(name) or _file_variables().get(name, "")


def env_file() -> str:
    """Returns where `.env` is looked for, as text for people, and says what of it cannot be read."""
    return _file().place or os.path.abspath(ENV_FILE)


def _file_variables() -> Mapping[str, str]:
    return {name: value for name, value in _file().values.items() if value}


def _file() -> EnvFile:
    """Returns the file, without values if it cannot be read. Missing variables are then reported by name."""
    try:
        stat = os.stat(ENV_FILE)
    except OSError:
        return EnvFile({}, "")
    path = Path(ENV_FILE).absolute()
    try:
        return _parsed(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    except UnicodeDecodeError:
        return EnvFile({}, f"{path} (it exists, but cannot be read as UTF-8 text)")
    except OSError as error:  # such as a file of mode 600 that another user wrote
        return EnvFile({}, f"{path} (it exists, but cannot be read: {error.strerror})")


@lru_cache(maxsize=8)
def _parsed(path: Path, stamp: tuple[int, ...]) -> EnvFile:
    return parse_env_file(path)
