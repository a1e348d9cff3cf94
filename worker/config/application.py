"""Imports modules of the application that a setting names, and says where in them an error came from."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from worker.domain.errors import ConfigurationError, WorkerError

PLACES = 20


def imported(setting: str, module: str) -> ModuleType:
    """The application's module that a setting names; ConfigurationError when it cannot be imported."""
    if os.getcwd() not in sys.path:  # as Celery's own -A does; the `worker` command is started from the application
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(module)
    except Exception as error:  # noqa: BLE001  whatever the application's module raises; its text may hold secrets
        why = f"there is no module {error.name}" if isinstance(error, ModuleNotFoundError) else places_of(error)
        raise ConfigurationError(f"{setting}: module {module} cannot be imported: {why}") from None


def function_named(setting: str, path: str) -> Callable[..., Any]:
    """The application's function that a setting names, `package.module:function`; ConfigurationError without it."""
    module, _, name = path.partition(":")
    found = getattr(imported(setting, module), name, None)
    if not callable(found):
        raise ConfigurationError(f"{setting}: module {module} holds no function {name}")
    function: Callable[..., Any] = found
    return function


def places_of(error: BaseException, *, below: str = "") -> str:
    """The class of an error and the code lines it came through; the frames up to the last one in file `below` are cut.

    Never its text, which may hold a secret or a message, except for this package's errors, whose texts never do.
    """
    frames = traceback.extract_tb(error.__traceback__)
    names = [frame.filename for frame in frames]
    start = len(names) - names[::-1].index(below) if below in names else 0
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[start:][-PLACES:]]
    text = f": {error}" if isinstance(error, WorkerError) else ""
    return " > ".join([f"{type(error).__name__}{text}", *places])
