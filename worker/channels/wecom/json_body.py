"""A call's body as bytes: equal content has equal bytes, on any machine and after any upgrade."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# 40033 (page 90313) forbids \uXXXX escapes. Keys are sorted because it is not published whether "the same JSON" of the
# duplicate check regards their order: so equal content always has equal bytes, and one hash.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """The UTF-8 form without escapes and blanks, its keys sorted."""
    return _encode(body).encode()
