"""Keyed hashes: names of lanes, limits and credentials that say nothing without the key.

Refuses to know what is hashed; never keeps it.
"""

from __future__ import annotations

import hmac


def keyed_hash(key: bytes, *fields: str) -> str:
    """HMAC-SHA256 (64 hex digits) of the fields; no two different lists of fields read the same."""
    message = "\x00".join([str(len(field)) + ":" + field for field in fields])
    return hmac.digest(key, message.encode(), "sha256").hex()
