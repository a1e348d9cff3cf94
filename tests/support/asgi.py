"""Requests to an ASGI application without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: Mapping[str, str]


async def ask(
    app: Any, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes | Iterable[bytes] = b""
) -> Answer:
    """One request; a body of several pieces arrives piece by piece, one that ends with None never ends."""
    sent = await exchange(
        app,
        {"method": method, "path": path, "raw_path": path.encode(), "query_string": urlencode(query or {}).encode()},
        body,
    )
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:]), headers)


async def exchange(app: Any, asked: Mapping[str, Any], body: bytes | Iterable[bytes | None]) -> list[dict[str, Any]]:
    """What an application sends for a request, whose scope has the fields `asked`.

    Its body arrives as in `ask`; then the asker waits, as one does who is still there.
    """
    pieces = iter([body] if isinstance(body, bytes) else chain(body, [b""]))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        if piece is None:
            await asyncio.Event().wait()
        if piece == b"cut":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": piece != b"" and not isinstance(body, bytes)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        **asked,
    }
    await app(scope, receive, send)
    return sent


def asked(app: Callable[..., Any], *arguments: Any, **options: Any) -> Answer:
    """The same from a test that is not asynchronous."""
    return asyncio.run(ask(app, *arguments, **options))
