"""The docstrings below the attributes of a class, which Python itself does not keep."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache


@cache
def attribute_docs(kind: type) -> dict[str, str]:
    """By name, with those of its bases; an attribute without one is left out."""
    found = dict[str, str]()
    for one in reversed(kind.__mro__):
        if one.__module__.startswith("worker."):
            found |= _own(one)
    return found


def _own(kind: type) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = dict[str, str]()
    for statement, below in zip(tree.body, tree.body[1:], strict=False):
        match statement, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str() as text)):
                found[name] = " ".join(text.split())
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(ast.Constant(str() as text)):
                found[name] = " ".join(text.split())
    return found
