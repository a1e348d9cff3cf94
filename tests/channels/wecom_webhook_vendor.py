"""The simulated vendor's webhooks in this process, without sockets: requests go in, what chats show comes out."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from wecom_webhook_samples import ACCESS, ALL_ADDRESSED, CHANNEL, account

from worker.domain.account import Account
from worker.domain.call import Reply
from worker.domain.job import Part
from worker.domain.outcome import Outcome
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire.routes import answer

PUSH = account(settings=ALL_ADDRESSED)
ROBOT = account("robot")
KNOWN = {kind: [".*"] for kind in ("file", "voice")}
"""Every media_id exists."""


class Vendor:
    """A vendor nobody has talked to yet, whose keys are all of one profile."""

    def __init__(self, of: Account = PUSH) -> None:
        profile = "public" if of.settings["edition"] == "robot" else "internal"
        given = {"media": {"known": KNOWN}, "webhook": {"profile": profile, "silent_people": []}}
        self.state = VendorState(SimulatorSettings.model_validate(given))
        self._account, self._numbers = of, count(1)

    def takes(self, part: Part) -> tuple[dict[str, Any], Outcome, dict[str, Any]]:
        """Carry a part's call out: what was sent, what the channel makes of the answer, and the answer."""
        built = CHANNEL.request(part, self._account, ACCESS, flagged=False)
        assert isinstance(built.body, bytes)
        asked = HttpRequest(built.method, built.path, dict(built.query), seq=next(self._numbers), body=built.body)
        body = answer(self.state, asked).body
        outcome = CHANNEL.outcome(part, self._account, Reply(200, {}, body), ACCESS).outcome
        return json.loads(built.body), outcome, json.loads(body)

    def shown(self) -> dict[str, list[dict[str, Any]]]:
        """What every chat shows."""
        chats: dict[str, list[dict[str, Any]]] = self.state.webhook.to_json()["chats"]
        return chats
