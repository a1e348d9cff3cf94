"""What the accounts of all apps of a corp have in common: the corp, the address of its calls, a provider's suite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.wecom.limits import ip_problems
from worker.channels.wecom.suite import SUITE_KEYS, suite_problems
from worker.domain.errors import Problem

CORP_KEYS = frozenset({"corpid", "agentid", "ip", *SUITE_KEYS})
"""Every key that is read; a channel says by itself whether it needs an agentid."""


def corp_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Yields each wrong key of the corp and of its suite."""
    corpid = settings.get("corpid")
    if not isinstance(corpid, str) or not corpid.strip():
        yield Problem("corpid", "is missing or not a text", "add the corp's id (企业ID), such as ww0123456789abcdef")
    yield from ip_problems(settings)
    yield from suite_problems(settings)
