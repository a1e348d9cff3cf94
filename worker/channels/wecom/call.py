"""What the calls of every WeCom API are made of: ids of members, and bodies that have equal bytes for equal content."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# Page 90313: 1 to 64 of letters, digits, - _ . ; `@` is taken too (userids made from mail addresses).
USERID = re.compile(r"[0-9A-Za-z._@-]{1,64}")
USERID_WANTED = "userids: 1 to 64 of letters, digits, - _ . @"


# 40033 (page 90313) forbids \uXXXX escapes. Keys are sorted because it is not published whether "the same JSON" of the
# duplicate check regards their order: so equal content always has equal bytes, and one hash.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """The UTF-8 form without escapes and blanks, its keys sorted."""
    return _encode(body).encode()
