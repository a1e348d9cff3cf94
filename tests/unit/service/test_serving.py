"""The HTTP server against clients that send nothing, or not all of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from worker.service.web.serving import PromptProtocol

ASKED = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Impatient(PromptProtocol):
    """Waits for a moment."""

    head_s = 0.02


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers after a while in which nothing else is sent."""
    await asyncio.sleep(2 * Impatient.head_s)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def answered(*pieces: bytes) -> bytes:
    """What a client reads until the connection is closed, after it has sent these pieces and nothing more."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_keep_alive=1)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: Impatient(config, ServerState(), {}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        read = b""
        for piece in pieces:
            writer.write(piece)
            if piece is not pieces[-1]:
                read += await reader.readuntil(b"ok")
        async with asyncio.timeout(60):
            read += await reader.read()
        writer.close()
        return read


@pytest.mark.parametrize("sent", [b"", b"GET", ASKED[:-2]], ids=["nothing", "a word", "all but its end"])
def test_a_connection_without_a_whole_request_is_closed(sent: bytes) -> None:
    """Whatever has come by then."""
    assert b"" == asyncio.run(answered(sent))


def test_a_request_is_answered_however_long_that_takes() -> None:
    """Only its head has to come in time; a second one on the same connection has to come in time, too."""
    read = asyncio.run(answered(ASKED, ASKED[:-2]))

    assert 1 == read.count(b"200 OK")
