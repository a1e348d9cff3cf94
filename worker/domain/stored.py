"""Reads JSON out of the columns of a row, as lenient as the reader needs.

A document that no release of ours wrote must not hide what stands beside it: lists and reports leave it out and go on.
An act on a document asks whether it can be read, and refuses that job alone if it cannot.
"""

from __future__ import annotations

import json
from typing import Any


def stored_object(text: str | None) -> dict[str, Any] | None:
    """Returns the JSON object of a column, or None if the text is no JSON object."""
    document = _parsed(text)
    return document if isinstance(document, dict) else None


def object_or_empty(text: str | None) -> dict[str, Any]:
    """Returns the JSON object of a column, or an empty one if the column is NULL or cannot be read."""
    return stored_object(text) or {}


def texts_of(text: str | None) -> list[str]:
    """Returns the texts in the JSON list of a column; none if the column is NULL or cannot be read."""
    document = _parsed(text)
    return [entry for entry in document if isinstance(entry, str)] if isinstance(document, list) else []


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
