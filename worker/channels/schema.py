"""JSON schemas of typed messages: the vendor's shape, with what a schema can say of limits. Knows no vendor field.

A schema counts characters, not bytes, and knows no relation between fields: `check` at enqueue knows all of them.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from worker.channels.checking.row import FieldRule, Row

Schema = dict[str, Any]


def inlined(made: type[BaseModel], modules: Iterable[str]) -> Schema:
    """The model's schema without references, files and nulls; every field with its docstring out of these modules."""
    schema = made.model_json_schema()
    texts = {name: said for module in modules for name, said in docstrings_in(module).items()}
    return _resolved(schema, schema.get("$defs", {}), texts)  # type: ignore[no-any-return]


def _resolved(node: Any, defs: Mapping[str, Any], texts: Mapping[str, Mapping[str, str]]) -> Any:
    if isinstance(node, list):
        return [_resolved(entry, defs, texts) for entry in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _resolved(defs[node["$ref"].rpartition("/")[2]], defs, texts)
    if "anyOf" in node:
        (kept,) = [one for one in node["anyOf"] if one.get("type") != "null"]
        return _resolved(kept, defs, texts)
    out = {name: _resolved(value, defs, texts) for name, value in node.items() if name not in ("$defs", "default")}
    if "properties" in node:
        described = texts.get(node.get("title", ""), {})
        out["properties"] = {
            name: {**value, "description": described.get(name, "")}
            for name, value in out["properties"].items()
            if name != "file"
        }
        out.pop("title", None)
    elif isinstance(out.get("title"), str):
        del out["title"]
    return out


@cache
def docstrings_in(module: str) -> dict[str, dict[str, str]]:
    """Class -> field -> the string under it, with those of its bases in the same package."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    own = {node.name: dict(_of_class(node)) for node in tree.body if isinstance(node, ast.ClassDef)}
    return {name: {**_inherited(module, name, own), **texts} for name, texts in own.items()}


def _inherited(module: str, name: str, own: Mapping[str, dict[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in reversed(getattr(sys.modules[module], name).__mro__[1:]):
        if base.__module__ == module:
            found |= own.get(base.__name__, {})
        elif base.__module__.startswith(module.rpartition(".")[0]):
            found |= docstrings_in(base.__module__).get(base.__name__, {})
    return found


def _of_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(node.body, node.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                yield name, " ".join(said.split())


def limit(schema: Schema, rows: tuple[Row, ...]) -> None:
    """Puts into the schema what a schema can say of the rows."""
    for row in rows:
        if isinstance(row, FieldRule):
            above, _, name = row.path.rpartition(".")
            holder = _at(schema, above)
            if holder is not None and name in holder["properties"]:
                _limit_one(holder, name, row)


def _at(schema: Schema, path: str) -> Schema | None:
    for step in path.split(".") if path else ():
        inner = schema["properties"].get(step.removesuffix("[]"))
        if inner is None:
            return None
        schema = inner["items"] if step.endswith("[]") else inner
    return schema


def _limit_one(holder: Schema, name: str, row: FieldRule) -> None:
    if row.banned:
        return  # the description says where it belongs
    if row.required and not row.media and name not in (required := holder.setdefault("required", [])):
        required.append(name)
    said: Schema = {}
    if row.entries is not None:
        said |= {"minItems": row.entries[0], "maxItems": row.entries[1]}
    if (most := row.max_chars or row.max_bytes or row.max_utf16) is not None:
        said["maxLength"] = most  # in characters: a text has at least as many bytes, and as many units of UTF-16
    if row.allowed is not None:
        said["enum"] = list(row.allowed)
    if row.between is not None:
        said |= {"minimum": row.between[0], "exclusiveMaximum": row.between[1]}
    if row.charset is not None:
        said["pattern"] = f"^{row.charset}$"
    if row.required and row.type is str and not row.blank:
        said["minLength"] = 1
    holder["properties"][name] |= said
