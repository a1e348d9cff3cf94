"""What an operator should do about a refusal, with what the vendor's own text adds to it. Knows no kind of call."""

from __future__ import annotations

from worker.channels.wecom import redact

UNTRUSTED = frozenset({60020, 301042})
"""Codes that are about the caller's IP; the vendor's text names it."""


def remedy(what: str, code: int, errmsg: str) -> str:
    """What to do, with our address as the vendor sees it where it is refused."""
    ip = redact.caller_ip(errmsg) if code in UNTRUSTED else None
    return f"{what} (the vendor sees {ip})" if ip else what
