"""The simulator's control API."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit


def control(url: str, name: str, body: Any = None, method: str | None = None) -> Any:
    """A call of it: GET without a body, else POST. A session of requests takes as long to make as the whole call."""
    content = b"" if body is None else json.dumps(body).encode()
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        headers = {"Content-Type": "application/json"}
        connection.request(method or ("POST" if content else "GET"), f"/_control/{name}", content, headers)
        reply = connection.getresponse()
        answer = reply.read()
        assert reply.status == 200, answer
        return json.loads(answer)
