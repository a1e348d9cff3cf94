"""The Youdu server of a universe: its envelopes, and what it does with a message for those whom it does not know."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from typing import Any

from worker.channels.youdu.account import InvalidUsers
from worker.crypto.youdu import YouduEnvelope

DESK, AGENT, APP = "desk", 11, "yd1"
"""The account; it has no agentid, so it is given one here."""
KEY = base64.b64encode(bytes(range(32))).decode()
ENVELOPE = YouduEnvelope(KEY, APP)
KNOWN_MODES = (InvalidUsers.STRICT, InvalidUsers.PARTIAL, InvalidUsers.PARTIAL_ERROR)


def opened(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the message in the envelope of a call, with the names that WeCom has for its fields."""
    body = json.loads(ENVELOPE.open(document["encrypt"]))
    return {**body, "touser": body["toUser"], "msgtype": body["msgType"], "agentid": AGENT}


def sealed(document: dict[str, Any]) -> str:
    """Returns the envelope of an answer."""
    plain = json.dumps(document).encode()
    return ENVELOPE.seal(plain, ENVELOPE.leading(plain))


def reached(mode: InvalidUsers, people: Collection[str], unknown: Collection[str]) -> tuple[list[str], int, str]:
    """Returns who has a message, and the errcode and the errmsg that answer its call."""
    if not unknown:
        return [*people], 0, "ok"
    others = [person for person in people if person not in unknown] if mode is not InvalidUsers.STRICT else []
    return others, 0 if mode is InvalidUsers.PARTIAL else 200007, f"invalid toUser: {'|'.join(unknown)}"
