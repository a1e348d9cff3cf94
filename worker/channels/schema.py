"""JSON schemas of typed messages: the vendor's shape, with what a schema can say of limits. Knows no vendor field.

A schema counts characters, not bytes, and knows no relation between fields: `check` at enqueue knows all of them.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from worker.channels.checking.row import FieldRule, Row

Schema = dict[str, Any]


def chosen(schemas: Mapping[tuple[str, str | None], Schema], msgtype: str | None, card_type: str | None) -> Schema:
    """The schema (2020-12) of one type, or of one of its cards, or of every type."""
    found = [one for (name, card), one in schemas.items() if msgtype in (None, name) and card_type in (None, card)]
    if not found:
        raise ValueError(f"no such message type; there are {', '.join(dict.fromkeys(name for name, _ in schemas))}")
    return headed(found[0] if len(found) == 1 else {"oneOf": found})


def headed(schema: Schema) -> Schema:
    """A whole schema, which says of which draft it is."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def body(title: str, properties: Schema, required: list[str] | None = None, **more: Any) -> Schema:
    """The schema of a body with these fields and no others."""
    more |= {"required": required} if required else {}
    return {"title": title, "type": "object", "properties": properties, **more, "additionalProperties": False}


def inlined(made: type[BaseModel]) -> Schema:
    """The model's schema without title, references, files and nulls; every field with the docstring under it."""
    schema = made.model_json_schema()
    texts = {model.__name__: docstrings(model) for model in _models(made)}
    return _resolved(schema, schema.get("$defs", {}), texts)  # type: ignore[no-any-return]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """A model and those that its fields hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models(field.annotation)
    for inner in get_args(annotation):
        yield from _models(inner)


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
    if isinstance(out.get("title"), str):  # a field of this name is a dict
        del out["title"]
    return out


def docstrings(made: type[BaseModel]) -> dict[str, str]:
    """Field -> the string under it, with those of the bases."""
    ours = [one for one in reversed(made.__mro__) if one.__module__.startswith(__package__ or "")]
    return {name: said for one in ours for name, said in _in_module(one.__module__).get(one.__name__, {}).items()}


@cache
def _in_module(module: str) -> dict[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: dict(_of_class(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _of_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(node.body, node.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                yield name, " ".join(said.split())


def limit(schema: Schema, rows: tuple[Row, ...]) -> None:
    """Puts into the schema what a schema can say of the rows."""
    for row in rows:
        if isinstance(row, FieldRule) and not row.banned:  # its description says where a banned field belongs
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
        said |= {"minimum": row.between[0], "maximum": row.between[1]}
    if row.charset is not None:
        said["pattern"] = f"^{row.charset}$"
    if row.required and row.type is str and not row.blank:
        said["minLength"] = 1
    holder["properties"][name] |= said
