"""A forwarding proxy that notes with which credentials each message went through it, and for whom."""

from __future__ import annotations

import http.client
import json
import threading
from base64 import b64decode
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

GETTOKEN, SEND = "/cgi-bin/gettoken", "/cgi-bin/message/send"


@dataclass(frozen=True)
class Passage:
    """One message that went to the vendor."""

    route: int
    login: str
    corpid: str
    secret: str
    content: str


@dataclass
class Court:
    """What all proxies of a test saw."""

    passages: list[Passage] = field(default_factory=list)
    fetches: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many tokens were given for a corp and a secret."""
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def note(self, route: int, login: str, path: str, query: dict[str, str], body: bytes, answer: bytes) -> None:
        """Notes one call and its answer."""
        with self.guard:
            if path == GETTOKEN:
                owner = (query["corpid"], query["corpsecret"])
                self.fetches[owner] += 1
                self.owners[json.loads(answer)["access_token"]] = owner
            elif path == SEND:
                corpid, secret = self.owners[query["access_token"]]
                content = json.loads(body)["text"]["content"]
                self.passages.append(Passage(route, login, corpid, secret, content))


class JudgingProxy(ThreadingHTTPServer):
    """One route's proxy, as many calls at a time as come."""

    daemon_threads = True

    def __init__(self, court: Court, route: int):
        self.court, self.route = court, route
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Its address, with the login that this route's accounts have."""
        return f"http://route{self.route}:pass{self.route}@127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: JudgingProxy

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        login = b64decode(self.headers.get("Proxy-Authorization", "").removeprefix("Basic ")).decode()
        vendor = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
        try:
            vendor.request(self.command, f"{url.path}?{url.query}", body, {"Content-Type": "application/json"})
            reply = vendor.getresponse()
            answer = reply.read()
        finally:
            vendor.close()
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.server.court.note(self.server.route, login, url.path, query, body, answer)
        with suppress(OSError):
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
