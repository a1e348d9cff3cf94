"""Bytes of one HTTP request into an HttpRequest, with how far it has come.

Does not know sockets, faults and answers.
"""

from typing import Any

import httptools

from worker_simulator.request import HttpRequest, from_target

LONGEST_LINE = 64 * 1024


class BadRequest(Exception):
    """The bytes are no HTTP/1.1 request."""


def first_line(data: bytes, ip: str, port: int) -> HttpRequest | None:
    """The request as far as its first line says; None while that line is not whole."""
    line, found, _ = data.partition(b"\r\n")
    if not found and len(data) < LONGEST_LINE:
        return None
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("not a request line")
    return from_target(words[0], words[1], ip, port)


class Reader:
    """Reads one request. A second one in the same stretch of bytes (pipelining) is refused."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.received = "none"
        self.bytes = 0
        self.keep_alive = False
        self.wants_continue = False
        self._body: list[bytes] = []
        self._parser: Any = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Take bytes; `received` tells how far the request has come."""
        self.bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BadRequest(type(error).__name__) from error

    def on_message_begin(self) -> None:
        """httptools: a request begins."""
        if self.received == "whole":
            raise BadRequest("pipelined request")

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header line."""
        self.request.headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace")

    def on_headers_complete(self) -> None:
        """httptools: the head is whole."""
        self.received = "head"
        self.wants_continue = self.request.headers.get("expect", "").lower() == "100-continue"

    def on_body(self, data: bytes) -> None:
        """httptools: some of the body, chunked or not."""
        self.received = "partial"
        self._body.append(data)

    def on_message_complete(self) -> None:
        """httptools: the request is whole."""
        self.received = "whole"
        self.keep_alive = self._parser.should_keep_alive()

    def join(self) -> None:
        """Put what has come of the body into the request."""
        self.request.body = b"".join(self._body)
