"""The attributes of a class as its source has them: the docstrings below them are kept nowhere else."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

OURS = ("worker.", "worker_simulator.")
"""How the modules begin whose source is told of."""


def attribute_docs(kind: type) -> dict[str, str]:
    """By name, with those of its bases; an attribute without one is left out."""
    found = dict[str, str]()
    for one in reversed(kind.__mro__):
        if one.__module__.startswith(OURS):
            found |= {name: doc for name, _, doc in attributes(one) if doc}
    return found


def attributes(kind: type) -> Iterator[tuple[str, ast.AnnAssign | ast.Assign, str]]:
    """Those of the class itself: name, statement, and the docstring in one line; empty where there is none."""
    for statement, below in pairwise([*_body(kind.__module__, kind.__qualname__), ast.Pass()]):
        match below:
            case ast.Expr(ast.Constant(str() as text)):
                doc = " ".join(text.split())
            case _:
                doc = ""
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield name, statement, doc


def _body(module: str, name: str) -> list[ast.stmt]:
    (found,) = (one for one in _tree(module).body if isinstance(one, ast.ClassDef) and one.name == name)
    return found.body


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))
