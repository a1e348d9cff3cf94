"""HTTP answers that are not the server's JSON: from a proxy, another host or an overloaded one (notes, 8.1)."""

from __future__ import annotations

from worker.channels.wecom.token import retry_after
from worker.channels.youdu.messages.content import UPLOAD
from worker.domain.call import Reply
from worker.domain.outcome import Outcome, Parked, Rejected, Scope, Unknown, Wait

__all__ = ["no_vendor", "retry_after", "wrong_place"]

BUSY_S = 5.0
"""The front proxy shuts the file service off at 95 % of its CPU and looks again every 5 s (h01_00011)."""
TIMED_OUT = 408
TOO_LARGE = 413
TOO_MANY = 429
UNAVAILABLE = 503


def no_vendor(reply: Reply, kind: str) -> Outcome:
    """What such an answer means for a call. A 5xx of a proxy says nothing about the server behind it."""
    status, delay = reply.status, retry_after(reply)
    if status in (TOO_MANY, UNAVAILABLE) and delay:
        return Wait(Scope.LANE, delay, f"http_{status} Retry-After")
    if status == TOO_MANY or (status == UNAVAILABLE and kind == UPLOAD):
        return Wait(Scope.LANE, BUSY_S, f"http_{status}")
    if status == TOO_LARGE:
        return Rejected("http_413: too large for a proxy on the way")
    remedy = wrong_place(status)
    if remedy is not None:
        return Parked(Scope.ACCOUNT, f"http_{status} without the server's JSON", remedy)
    return Unknown("http_200 without the server's JSON" if status == 200 else f"http_{status}")


def wrong_place(status: int) -> str | None:
    """What an operator should correct where it is certainly not the server that refuses; None for other statuses."""
    if status in (404, 405):
        return "correct base_url (port 7080 by default) and api_path: nothing there takes this call"
    if 300 <= status < 400:
        return "correct base_url: what answers there sends elsewhere (another scheme or host?)"
    if 400 <= status < 500 and status not in (TIMED_OUT, TOO_LARGE, TOO_MANY):
        return "check base_url, and what stands between the worker and the server"
    return None
