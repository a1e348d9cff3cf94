"""A client of a Youdu server, the way the documentation describes one: shares only crypto with what it calls."""

from __future__ import annotations

import json
import secrets
from typing import Any

import requests

from worker.crypto.youdu import YouduEnvelope
from worker_simulator.settings.youdu import key_of

BUIN = 12345678
APP = "yd00112233445566778899AABBCCDDEEFF"
KEYS = {
    APP: key_of(0),
    "sysMsgAssistant": key_of(1),
    "sysSmsAssistant": key_of(2),
    "sysExmailAssistant": key_of(3),
    "sysOrgAssistant": key_of(4),
}


class Client:
    """One app of a server."""

    def __init__(self, url: str, app: str = APP):
        self.url, self.app = url, app
        self.envelope = YouduEnvelope(KEYS[app], app)
        self.session = requests.Session()
        self.session.trust_env = False
        self._token = ""

    def control(self, method: str, name: str, body: Any = None) -> Any:
        """A control call that must succeed."""
        reply = self.session.request(method, f"{self.url}/_control/{name}", json=body, timeout=60)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def sealed(self, plain: bytes) -> str:
        """Encrypted, with random leading bytes."""
        return self.envelope.seal(plain, secrets.token_bytes(16))

    def opened(self, encrypted: str) -> Any:
        """What an answer holds."""
        return json.loads(self.envelope.open(encrypted, ("sysOrgAssistant",)))

    def raw(self, path: str, body: Any, *, token: str | None = "") -> Any:
        """The HTTP response; bytes are sent as they are. `token` None: none in the query, "": the client's own."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        query = {} if token is None else {"accessToken": token or self.token()}
        headers = {"Content-Type": "application/json; charset=UTF-8", "Content-Encoding": "UTF-8"}
        return self.session.post(f"{self.url}/cgi/{path}", params=query, data=data, headers=headers, timeout=60)

    def call(self, path: str, plain: Any, *, token: str | None = "", **outer: Any) -> dict[str, Any]:
        """The answer to a call in the standard envelope; `outer` replaces what is around."""
        inner = plain if isinstance(plain, bytes) else json.dumps(plain, ensure_ascii=False).encode()
        body = {"buin": BUIN, "appId": self.app, "encrypt": self.sealed(inner), **outer}
        return self.raw(path, {k: v for k, v in body.items() if v is not ...}, token=token).json()

    def legacy(self, path: str, plain: Any, *, token: str | None = None, **outer: Any) -> dict[str, Any]:
        """The same in the old envelope."""
        body = {"app_id": self.app, "msg_encrypt": self.sealed(json.dumps(plain).encode()), **outer}
        return self.raw(path, body, token=token).json()

    def gettoken(self, now: int = 1_700_000_000) -> str:
        """A new token."""
        answer = self.call("gettoken", str(now).encode(), token=None)
        assert answer["errcode"] == 0, answer
        return str(self.opened(answer["encrypt"])["accessToken"])

    def token(self) -> str:
        """A token, fetched once."""
        self._token = self._token or self.gettoken()
        return self._token

    def send(self, msgtype: str = "text", content: Any = None, to: str = "alice", **more: Any) -> dict[str, Any]:
        """The answer of msg/send."""
        content = {"content": "hi"} if content is None else content
        return self.call("msg/send", {"toUser": to, "toDept": "", "msgType": msgtype, msgtype: content, **more})

    def upload(self, content: bytes, kind: str = "file", name: str = "a.bin", **fields: Any) -> dict[str, Any]:
        """The answer of media/upload; the fields come after the file, as one of the SDKs has them."""
        about = self.sealed(json.dumps({"type": kind, "name": name}).encode())
        form = {"buin": str(BUIN), "appId": self.app, "encrypt": about, **fields}
        file = {"file": ("file", self.sealed(content), "text/plain")}
        query = {"accessToken": self.token()}
        url = f"{self.url}/cgi/media/upload"
        return self.session.post(url, params=query, data=form, files=file, timeout=60).json()

    def state(self) -> dict[str, Any]:
        """What the server remembers."""
        found: dict[str, Any] = self.control("GET", "youdu")
        return found
