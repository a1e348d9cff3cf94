"""The blocks of a chat's lane: the account was taken out of the chat, or the chat's member has to write first.

A callback lifts both. The first also ends after a while, because callbacks can be lost or late.
"""

from __future__ import annotations

from worker.domain.pacing.lane import LaneBlock

GONE_S = 3600.0
"""Seconds for which messages wait after the account was taken out of their chat; then one of them tries."""
LOOK_S = 600.0
"""Seconds between two checks, without a call, whether a message is allowed: the account's settings may have changed."""
GONE = "it was taken out of this chat"
WAITING = "its member has to speak first: no message is left of those he allowed"


def gone(lane: str, account: str) -> LaneBlock:
    """The block of a chat that the account was taken out of."""
    remedy = "add it to the chat again; then what waits is sent, and else within the hour what the vendor refuses ends"
    return LaneBlock(lane, account, "chat", GONE_S, GONE, remedy, parked=True)


def waiting(lane: str, account: str) -> LaneBlock:
    """The block of a single chat whose allowance is used up."""
    remedy = "let the member write to it, or have him taken into its subscription scope and set subscribed = true"
    return LaneBlock(lane, account, "chat", LOOK_S, WAITING, remedy, parked=True)
