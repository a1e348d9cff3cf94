"""Imports the application's modules that a setting names, and summarises where in them an error came from."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from worker.domain.errors import ConfigurationError, WorkerError

MAX_LINES = 20
PACKAGE = __name__.partition(".")[0]
MODULE = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
FUNCTION = rf"{MODULE}:[A-Za-z_]\w*"
"""Patterns of how a setting names a module and a function of the application."""


def imported(setting: str, module: str) -> ModuleType:
    """Imports the application's module that a setting names. Raises ConfigurationError if that fails."""
    if module == PACKAGE:
        raise ConfigurationError(f"{setting}: {module} is the name of this package; give your module another name")
    if os.getcwd() not in sys.path:  # as Celery's own -A does; the `worker` command is started from the application
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(module)
    except Exception as error:  # noqa: BLE001  whatever the application's module raises; its text may hold secrets
        if isinstance(error, ConfigurationError):  # from a wrongly decorated function
            problem = str(error)
        elif isinstance(error, ModuleNotFoundError):
            problem = f"there is no module {error.name}"
        else:
            problem = traceback_summary(error)
        sentence = f"module {module} cannot be imported: {problem}"
        raise ConfigurationError(f"{setting}: {sentence}") from None


def function_named(setting: str, path: str, *takes: str) -> Callable[..., Any]:
    """Loads the application's function `package.module:function` that a setting names. Raises ConfigurationError.

    `takes` has the arguments it is called with, as in `require_callable`.
    """
    module, _, name = path.partition(":")
    function: Callable[..., Any] | None = getattr(imported(setting, module), name, None)
    if not callable(function):
        raise ConfigurationError(f"{setting}: module {module} has no function {name}")
    require_callable(setting, function, *takes)
    return function


def require_callable(what: str, function: Any, *takes: str) -> None:
    """Raises ConfigurationError if the application's function cannot be called with these arguments.

    `takes` has the arguments' names. Those after a star are passed by name.
    """
    names = getattr(function, "__module__", None), getattr(function, "__qualname__", type(function).__qualname__)
    if (problem := _shape_problem(".".join(filter(None, names)), function, takes)) is not None:
        raise ConfigurationError(f"{what}: {problem}")


def _shape_problem(name: str, function: Any, takes: Sequence[str]) -> str | None:
    if inspect.isclass(function) or not callable(function):
        return f"{name} is not a function; write def"
    inner = function
    while isinstance(inner, partial):
        inner = inner.func
    # For a callable object, its `__call__` tells how it runs.
    for code in (inner, type(inner).__call__):
        if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
            return f"{name} is async, and nothing would await it; write def, with asyncio.run(...) for what it awaits"
        if inspect.isgeneratorfunction(code):
            return f"{name} is a generator, so a call would run nothing of it; take yield out"
    first_by_name = takes.index("*") if "*" in takes else len(takes)
    try:
        # Not the signature of what a decorator wraps: the decorator may add or remove arguments.
        signature = inspect.signature(function, follow_wrapped=False)
        signature.bind(*takes[:first_by_name], **dict.fromkeys(takes[first_by_name + 1 :]))
    except TypeError:
        return f"{name} cannot be called with ({', '.join(takes)}); give it these parameters"
    except ValueError:
        return None  # written in C, it does not say what it takes
    return None


def traceback_summary(error: BaseException, *, below: str = "", max_lines: int = MAX_LINES) -> str:
    """Returns the class of an error and the last code lines it passed, without frames up to the last in file `below`.

    Its text is left out, because it may hold a secret or a message. Only this package's errors show it: their texts
    never do.
    """
    frames = traceback.extract_tb(error.__traceback__)
    names = [frame.filename for frame in frames]
    start = len(names) - names[::-1].index(below) if below in names else 0
    lines = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[start:][-max_lines:]]
    text = f": {error}" if isinstance(error, WorkerError) else ""
    summary = " > ".join([f"{type(error).__name__}{text}", *lines])
    # It is stored, and may quote a name of the application's: no NUL and no half characters, which databases refuse.
    return summary.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def close_old_connections() -> None:
    """Closes Django's broken or outdated connections in this thread, as Django does around a request.

    Does nothing if the application does not use Django. Outside of requests and of its own commands Django never does
    it, and every query on a connection that was dropped fails.
    """
    database, conf = sys.modules.get("django.db"), sys.modules.get("django.conf")
    if database is not None and conf is not None and conf.settings.configured:
        # What Django cannot close fails again where the application uses it, with its own error.
        with suppress(Exception):
            database.close_old_connections()
