"""Makes a vendor's text storable on every database: no NUL, no lone surrogate. Everything else stays as it came."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")


def scrub(value: T) -> T:
    """The same value with every text in it made storable; reaches into dataclasses, tuples and mappings."""
    return _scrubbed(value)  # type: ignore[no-any-return]


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, tuple):
        return tuple(_scrubbed(entry) for entry in value)
    if isinstance(value, dict):
        return {_scrubbed(key): _scrubbed(entry) for key, entry in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{entry.name: _scrubbed(getattr(value, entry.name)) for entry in fields(value)})
    return value
