"""Faults by name: what goes wrong with the next calls."""

from __future__ import annotations

from typing import Any

from worker.language import with_chinese_note
from worker_simulator.wire.faults import FaultAction, FaultRule, Match

UNREACHABLE = "unreachable"
"""No connection can be made. The only fault that the simulator does not cause itself."""
TOKEN_PATHS = frozenset({"/cgi-bin/gettoken", "/cgi/gettoken"})
NAMED: dict[str, dict[str, Any]] = {
    "timeout": {"hang": None},
    "answer lost": {"cut_response_after": 0},
    "cut": {"cut_request_after": 20},
    "no json": {"status": 200, "body": "<html>"},
    "busy": {"answer": {"errcode": -1}},
    "rate limit": {"answer": {"errcode": 45009}},
    "token expired": {"answer": {"errcode": 42001}},
    "wrong secret": {"answer": {"errcode": 40001}},
    "untrusted ip": {"answer": {"errcode": 60020}},
    "refused": {"answer": {"errcode": 40058}},
}
"""Name -> action of a fault rule, see docs/simulator.md."""


class AnyCall(Match):
    """Matches calls of every path, except those that fetch a token."""

    def matches(self, method: str, path: str, body: bytes | None) -> bool:
        """True if the call matches, apart from `nth` and `every`."""
        return path not in TOKEN_PATHS and super().matches(method, path, body)


def rule_of(fault: str | int, path: str | None, times: int | None) -> FaultRule:
    """Returns the fault rule for a name, an HTTP status of three digits, or an errcode.

    Raises ValueError for others.
    """
    match = AnyCall() if path is None else Match(path=path)
    return FaultRule(match=match, times=times, action=FaultAction(**_action(fault)))


def _action(fault: str | int) -> dict[str, Any]:
    if fault in NAMED:
        return NAMED[str(fault)]
    number = _number(fault)
    if number is None:
        names = ", ".join(map(repr, (*NAMED, UNREACHABLE)))
        text = f"{fault!r} is no fault; use {names}, an HTTP status such as '502', or an errcode"
        raise with_chinese_note(ValueError(text))
    if 300 <= number < 600:
        return {"status": number, "headers": {"Retry-After": "3"} if number in (429, 503) else {}}
    return {"answer": {"errcode": number}}


def _number(fault: str | int) -> int | None:
    try:
        return int(fault)
    except ValueError:
        return None
