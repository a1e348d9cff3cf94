"""Bytes of one HTTP request into an HttpRequest, with how far it has come; uploads in it, as the vendor reads them.

Does not know sockets, faults and answers, and what may be uploaded.
"""

import hashlib
import re
from dataclasses import dataclass
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


BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
PARAMETER = re.compile(r';\s*([\w*-]+)=(?:"([^"]*)"|([^;]*))')


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that came in."""

    filename: str
    content_type: str
    content: bytes

    def summary(self) -> dict[str, Any]:
        """What the log of calls keeps of it."""
        return {
            "filename": self.filename,
            "size": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "type": self.content_type,
        }


def media_part(content_type: str, body: bytes, name: str | None = "media") -> UploadedFile | None:
    """The part of that name (None: of any) with a plain `filename`; None when there is none.

    The vendor takes raw UTF-8 in `filename` and does not know `filename*` (RFC 5987): such a part is empty to it.
    """
    boundary = BOUNDARY.search(content_type)
    if boundary is None:
        return None
    for part in body.split(b"--" + boundary[1].strip().encode())[1:]:
        upload = _upload(part, name)
        if upload is not None:
            return upload
    return None


def form_fields(content_type: str, body: bytes) -> dict[str, bytes]:
    """The plain fields of the form: the parts that have a name and no filename."""
    boundary, found = BOUNDARY.search(content_type), dict[str, bytes]()
    for part in body.split(b"--" + boundary[1].strip().encode())[1:] if boundary else ():
        head, ended, content = part.partition(b"\r\n\r\n")
        names = {key.lower(): quoted or plain for key, quoted, plain in _parameters(_headers(head.decode("latin-1")))}
        if ended and names.get("name") and "filename" not in names:
            found[names["name"]] = content.removesuffix(b"\r\n")
    return found


def _upload(part: bytes, name: str | None) -> UploadedFile | None:
    head, found, content = part.partition(b"\r\n\r\n")
    if not found:
        return None
    headers = _headers(head.decode("utf-8", "replace"))
    names = {key.lower(): quoted or plain for key, quoted, plain in _parameters(headers)}
    if name not in (None, names.get("name")) or not names.get("filename"):
        return None
    return UploadedFile(names["filename"], headers.get("content-type", ""), content.removesuffix(b"\r\n"))


def _headers(head: str) -> dict[str, str]:
    lines = (line.partition(":") for line in head.split("\r\n"))
    return {name.strip().lower(): value.strip() for name, found, value in lines if found}


def _parameters(headers: dict[str, str]) -> list[tuple[str, str, str]]:
    return PARAMETER.findall(headers.get("content-disposition", ""))
