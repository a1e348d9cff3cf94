"""The names an application imports. Each is loaded on first use, so that `import worker` costs nothing.

from worker import Text, To, enqueue

with Session(engine) as session:
    ...                                    # the application's own rows
    enqueue(session, "hr", Text(content="hello"), To(users=["zhangsan"]))
    session.commit()                       # now it will be sent; a rollback sends nothing
"""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _homes() -> dict[str, str]:
    """Public name -> the module that has it: the imports `name as name` of the stub, which lists each name once."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {one.name: str(node.module) for node in imports for one in node.names if one.name == one.asname}


@cache
def _doors() -> dict[str, str]:
    """Public name -> the package of a channel whose messages are reached through it, such as `webhook.Text`."""
    from worker.config.channels import REGISTRY

    return {entry.public_module: entry.package for entry in REGISTRY.values() if entry.public_module}


def __getattr__(name: str) -> Any:
    """One of the names in `__all__`, imported on first use; or `__all__` itself."""
    value: Any
    if name == "__all__":
        value = sorted({*_homes(), *_doors()})
    elif name in _doors():
        value = importlib.import_module(_doors()[name])
    elif name in _homes():
        value = getattr(importlib.import_module(_homes()[name]), name)
    elif name == "celery":  # `celery -A worker` looks for it
        value = importlib.import_module("worker.service.celery_app").app
    else:
        raise AttributeError(f"module 'worker' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All names of this module, loaded or not."""
    return sorted({*globals(), *_homes(), *_doors()})
