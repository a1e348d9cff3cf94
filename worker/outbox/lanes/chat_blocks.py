"""Why a chat's lane waits: the account was taken out of the chat, or its person has to speak first.

Both are opened by what a callback says; the first also after a while, because callbacks get lost and come late.
"""

from __future__ import annotations

from worker.domain.lane import Block

GONE_S = 3600.0
"""How long what is sent to a chat we were taken out of waits for our return; then one message asks the vendor."""
LOOK_S = 600.0
"""How often it is asked whether a message is allowed by now, which makes no call: the account's settings may say so."""
GONE = "it was taken out of this chat"
WAITING = "its member has to speak first: no message is left of those he allowed"


def gone(lane: str, account: str) -> Block:
    """The lane of a chat we are no longer in."""
    remedy = "add it to the chat again; then what waits is sent, and else within the hour what the vendor refuses ends"
    return Block(lane, account, "chat", GONE_S, GONE, remedy, parked=True)


def waiting(lane: str, account: str) -> Block:
    """The lane of a single chat that takes nothing more."""
    remedy = "let the member write to it, or have him taken into its subscription scope and set subscribed = true"
    return Block(lane, account, "chat", LOOK_S, WAITING, remedy, parked=True)
