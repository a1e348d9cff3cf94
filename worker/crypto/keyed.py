"""Keyed hashes: names of lanes, limits and credentials that reveal nothing without the key.

Knows nothing of what it hashes and stores none of it.
"""

from __future__ import annotations

import hmac


def keyed_hash(key: bytes, *fields: str) -> str:
    """HMAC-SHA256 (64 hex digits) of the fields; two different lists of fields never make the same message."""
    message = "\x00".join([str(len(field)) + ":" + field for field in fields])
    return hmac.digest(key, message.encode(), "sha256").hex()
