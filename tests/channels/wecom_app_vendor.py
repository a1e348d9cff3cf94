"""The simulated vendor in this process, without sockets: the channel's requests go in, what people see comes out."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from wecom_app_samples import CHANNEL, account

from worker.domain.call import Access, Reply
from worker.domain.job import Part
from worker.domain.outcome import Outcome
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire.routes import answer

ACCOUNT = account(allow_everyone=True)
SETTINGS = {
    "apps": [{"corpid": "ww01", "secret": "s", "agentid": 1000007}],
    "directory": {"missing_users": [], "unlicensed_users": []},
    "media": {"known": {kind: [".*"] for kind in ("image", "voice", "video", "file")}},
}
"""Everybody exists, and every media_id."""


class Vendor:
    """A vendor nobody has talked to yet."""

    def __init__(self) -> None:
        self.state = VendorState(SimulatorSettings.model_validate(SETTINGS))
        self._numbers = count(1)
        login = self.ask(HttpRequest("GET", "/cgi-bin/gettoken", {"corpid": "ww01", "corpsecret": "s"}))
        self.token = json.loads(login)["access_token"]

    def ask(self, request: HttpRequest) -> bytes:
        """The body of the answer."""
        request.seq = next(self._numbers)
        return answer(self.state, request).body

    def takes(self, part: Part, *, flagged: bool = False) -> tuple[dict[str, Any], Outcome, dict[str, Any]]:
        """Carry a part's call out: what was sent, what the channel makes of the answer, and the answer."""
        built = CHANNEL.request(part, ACCOUNT, Access(self.token), flagged=flagged)
        assert isinstance(built.body, bytes)
        body = self.ask(HttpRequest(built.method, built.path, dict(built.query), body=built.body))
        outcome = CHANNEL.outcome(part, ACCOUNT, Reply(200, {}, body), Access(self.token)).outcome
        return json.loads(built.body), outcome, json.loads(body)

    def seen(self, person: str) -> list[dict[str, Any]]:
        """What one person sees."""
        return self.state.inbox.messages_of(person)

    def violations(self) -> list[Any]:
        """Limits overstepped, messages dropped, people who saw the same twice."""
        shown = self.state.limits.to_json()
        return [*shown["limits"], *shown["drops"], *self.state.inbox.duplicates()]
