"""A vendor on this machine that takes every call and keeps it: what came over the wire, and nothing of what it means.

Youdu's envelopes are opened, so that what was sealed can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from rig.serving import serving
from worker.crypto.youdu import YouduEnvelope

TOKEN = "TOKEN"
TOKEN_PATHS = ("/cgi-bin/gettoken", "/cgi/gettoken")


@dataclass(frozen=True)
class Wire:
    """One request, as a server gets it."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]

    @classmethod
    def read(cls, text: str) -> Wire:
        """What a document says: the first line, an empty one, and the JSON of the body."""
        head, _, body = text.partition("\n\n")
        method, target = head.split(" ")
        parts = urlsplit(target)
        return cls(method, parts.path, dict(parse_qsl(parts.query)), json.loads(body))


@dataclass
class RecordingVendor:
    """Where it is, and what it was asked besides tokens."""

    url: str = ""
    envelopes: Mapping[str, YouduEnvelope] = field(default_factory=dict)
    """Those of Youdu's apps, by appId."""
    calls: list[Wire] = field(default_factory=list)

    def take(self, method: str, target: str, body: bytes) -> dict[str, Any]:
        """Keeps a request and returns the answer."""
        parts = urlsplit(target)
        plain = json.loads(body) if body else {}
        if parts.path in TOKEN_PATHS:
            return self._token(plain)
        wire = Wire(method, parts.path, dict(parse_qsl(parts.query)), self._opened(plain))
        self.calls.append(wire)
        return {"errcode": 0, "errmsg": "ok", "msgid": f"m{len(self.calls)}"}

    def _token(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "appId" not in asked:
            return {"errcode": 0, "errmsg": "ok", "access_token": TOKEN, "expires_in": 7200}
        plain = json.dumps({"accessToken": TOKEN, "expireIn": 7200}).encode()
        return {"errcode": 0, "errmsg": "ok", "encrypt": self.envelopes[asked["appId"]].seal(plain, bytes(16))}

    def _opened(self, body: dict[str, Any]) -> dict[str, Any]:
        for app, sealed in (("appId", "encrypt"), ("app_id", "msg_encrypt")):
            if sealed in body:
                return body | {sealed: json.loads(self.envelopes[body[app]].open(body[sealed]))}
        return body


@contextmanager
def recording(envelopes: Mapping[str, YouduEnvelope]) -> Iterator[RecordingVendor]:
    """A vendor that listens meanwhile."""
    vendor = RecordingVendor(envelopes=envelopes)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            answer = json.dumps(vendor.take(self.command, self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as vendor.url:
        yield vendor
