"""The simulated vendor in this process, without sockets: group sends, who confirms them, and others who make some."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from wecom_external_samples import CHANNEL, NOW, account

from worker.domain.call import Access, Reply
from worker.domain.job import Part
from worker.domain.outcome import Outcome
from worker_simulator.control import answer as control
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire.routes import answer

SETTINGS = {
    "apps": [{"corpid": "ww01", "secret": "s"}],
    "directory": {"missing_users": [], "unlicensed_users": []},
    "media": {"known": {kind: [".*"] for kind in ("image", "video", "file")}},
    "external": {"missing": [], "former": [], "dispatch_s": 0.0},
}
"""Every member, customer, group and media_id exists, and tasks can be asked about at once."""


class Vendor:
    """A vendor nobody has talked to yet; its clock stands still."""

    def __init__(self, **external: Any) -> None:
        merged = {**SETTINGS, "external": {**SETTINGS["external"], **external}}  # type: ignore[dict-item]
        self.state = VendorState(SimulatorSettings.model_validate(merged))
        self.state.clock.set(float(NOW), frozen=True)
        self._numbers = count(1)
        login = self.ask(HttpRequest("GET", "/cgi-bin/gettoken", {"corpid": "ww01", "corpsecret": "s"}))
        self.access = Access(json.loads(login)["access_token"])

    def ask(self, request: HttpRequest) -> bytes:
        """The body of the answer."""
        request.seq = next(self._numbers)
        return answer(self.state, request).body

    def call(self, name: str, **body: Any) -> dict[str, Any]:
        """The answer of a call below externalcontact/."""
        query = {"access_token": self.access.token or ""}
        path = f"/cgi-bin/externalcontact/{name}"
        raw = json.dumps(body, ensure_ascii=False).encode()
        return json.loads(self.ask(HttpRequest("POST", path, query, body=raw)))

    def takes(self, part: Part) -> tuple[dict[str, Any], Outcome, dict[str, Any]]:
        """Carry a part's call out: what was sent, what the channel makes of the answer, and the answer."""
        built = CHANNEL.request(part, account(), self.access, flagged=False)
        assert isinstance(built.body, bytes)
        body = self.ask(HttpRequest(built.method, built.path, dict(built.query), body=built.body))
        found = CHANNEL.outcome(part, account(), Reply(200, {}, body), self.access).outcome
        return json.loads(built.body), found, json.loads(body)

    def act(self, name: str, **given: Any) -> Any:
        """A control act that must succeed."""
        done = control(self, HttpRequest("POST", f"/_control/{name}", {}, body=json.dumps(given).encode()))  # type: ignore[arg-type]
        assert done.status == 200, done.body
        return json.loads(done.body)

    def tasks(self) -> list[dict[str, Any]]:
        """Every task there is, oldest first."""
        return self.state.external.to_json()
