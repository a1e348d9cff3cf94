"""The program's source as trees: each file parsed and walked once, for those who look through all of it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file, from the outside in."""
    return tuple(ast.walk(tree(path)))


@cache
def tree(path: Path) -> ast.Module:
    """The module of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))
