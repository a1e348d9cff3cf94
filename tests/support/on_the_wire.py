"""The body of a call as a server gets it: for tests that compare an upload with a sample, byte for byte."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from tests.unit.transport.raw_server import OK_BODY, Peer, RawServer, response
from worker.domain.call import NotSent, Request
from worker.transport.http import SocketTransport

BOUNDARY = "b0undary"


def body_sent(call: Request) -> bytes:
    """Sends the call to a server of our own and returns the body that came; its boundary is `BOUNDARY`."""
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_request())
        peer.send(response(OK_BODY))

    with RawServer(script) as server, closing(SocketTransport(boundary=lambda: BOUNDARY)) as transport:
        here = replace(call, base_url=server.url)
        connection = transport.connect(here)
        assert not isinstance(connection, NotSent)
        connection.call(here)
    return seen[0].partition(b"\r\n\r\n")[2]
