"""The bare simulator, for measuring the worker: counts calls and answers at once, at the lowest possible cost.

It reads no bodies, checks no tokens and has no faults. Answers are prepared bytes; only the msgid differs.
"""

import asyncio
import json
from collections import Counter
from itertools import count
from typing import Any

import httptools

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n\r\n"
MSGID_DIGITS = 32


def ready(body: bytes) -> bytes:
    """Returns the bytes of an answer."""
    return HEAD % len(body) + body


SEND_START = ready(b'{"errcode":0,"errmsg":"ok","msgid":"' + b"0" * MSGID_DIGITS + b'"}')[: -MSGID_DIGITS - 2]
SEND_PATH = b"/cgi-bin/message/send"
ANSWERS = {
    b"/cgi-bin/gettoken": ready(b'{"errcode":0,"errmsg":"ok","access_token":"tok_bare","expires_in":7200}'),
    b"/cgi-bin/message/recall": ready(b'{"errcode":0,"errmsg":"ok"}'),
    b"/cgi-bin/message/update_template_card": ready(b'{"errcode":0,"errmsg":"ok","invaliduser":[]}'),
    b"/cgi-bin/media/upload": ready(
        b'{"errcode":0,"errmsg":"ok","type":"file","media_id":"3bare","created_at":"1767225600"}'
    ),
    b"/cgi-bin/media/uploadimg": ready(b'{"errcode":0,"errmsg":"","url":"http://p.qpic.cn/bare"}'),
    b"/cgi-bin/appchat/send": ready(b'{"errcode":0,"errmsg":"ok"}'),
}
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Bare:
    """The counters that all connections share."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.counts: Counter[bytes] = Counter()
        self._numbers = count(1)

    def connection(self) -> "BareConnection":
        """Returns the protocol of a new connection."""
        return BareConnection(self)

    def answer(self, path: bytes) -> bytes:
        """Counts a call and returns its answer."""
        self.counts[path] += 1
        if path == SEND_PATH:
            return SEND_START + b'%032x"}' % next(self._numbers)
        return ANSWERS.get(path, NOT_FOUND)

    def control(self, path: bytes) -> bytes:
        """Answers a control call: `reset` or `counts`."""
        if path == b"/_control/reset":
            self.counts.clear()
        elif path != b"/_control/counts":
            return NOT_FOUND
        counts = {name.decode("latin-1"): number for name, number in self.counts.items()}
        return ready(json.dumps({"counts": counts}).encode())


class BareConnection(asyncio.Protocol):
    """One client connection. Requests may be pipelined."""

    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a client has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def abort(self) -> None:
        """Closes the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes have arrived."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        """httptools: the URL, or a part of it."""
        self._url += url

    def on_message_complete(self) -> None:
        """httptools: the request is complete."""
        path, self._url = self._url.partition(b"?")[0], b""
        if path.startswith(b"/_control"):
            self._transport.write(self._bare.control(path))
        elif self._bare.latency_s:
            self._loop.call_later(self._bare.latency_s, self._transport.write, self._bare.answer(path))
        else:
            self._transport.write(self._bare.answer(path))
