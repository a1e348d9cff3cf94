"""Parses the bytes of one HTTP request, and its multipart form as the vendor reads it."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import httptools

from worker_simulator.request import HttpRequest, from_target

MAX_LINE_BYTES = 64 * 1024


class BadRequest(Exception):
    """The bytes are not an HTTP/1.1 request."""


def first_line(data: bytes, ip: str, port: int) -> HttpRequest | None:
    """Returns the request of a request line, or None while the line is incomplete."""
    line, ended, _ = data.partition(b"\r\n")
    if not ended and len(data) < MAX_LINE_BYTES:
        return None
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("not a request line")
    try:
        return from_target(words[0], words[1], ip, port)
    except ValueError as error:
        raise BadRequest("not a target") from error


class Reader:
    """Parses one request. Pipelined requests are refused."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.received = "none"
        self.bytes = 0
        self.keep_alive = False
        self.wants_continue = False
        self._body: list[bytes] = []
        self._parser: Any = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Parses more bytes. `received` then says how much of the request has arrived."""
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
        """httptools: a header."""
        self.request.headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace")

    def on_headers_complete(self) -> None:
        """httptools: the head is complete."""
        self.received = "head"
        self.wants_continue = self.request.headers.get("expect", "").lower() == "100-continue"

    def on_body(self, data: bytes) -> None:
        """httptools: a part of the body."""
        self.received = "partial"
        self._body.append(data)

    def on_message_complete(self) -> None:
        """httptools: the request is complete."""
        self.received = "whole"
        self.keep_alive = self._parser.should_keep_alive()

    def join(self) -> None:
        """Puts the bytes of the body that have arrived into the request."""
        self.request.body = b"".join(self._body)


BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
PARAMETER = re.compile(r';\s*([\w*-]+)=(?:"([^"]*)"|([^;]*))')


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of a multipart form."""

    filename: str
    content_type: str
    content: bytes

    def summary(self) -> dict[str, Any]:
        """Returns what the call log stores of it."""
        return {
            "filename": self.filename,
            "size": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "type": self.content_type,
        }


def media_part(content_type: str, body: bytes, name: str | None = "media") -> UploadedFile | None:
    """Returns the file of the form field `name`, or of any field if that is None. Returns None if there is no file.

    The vendor accepts raw UTF-8 in `filename` and ignores `filename*` (RFC 5987), so a part with only the latter is no
    file.
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
    """Returns the text fields of a multipart form: the parts with a name and without a filename."""
    boundary, fields = BOUNDARY.search(content_type), dict[str, bytes]()
    for part in body.split(b"--" + boundary[1].strip().encode())[1:] if boundary else ():
        head, ended, content = part.partition(b"\r\n\r\n")
        names = {key.lower(): quoted or bare for key, quoted, bare in _parameters(_headers(head.decode("latin-1")))}
        if ended and names.get("name") and "filename" not in names:
            fields[names["name"]] = content.removesuffix(b"\r\n")
    return fields


def _upload(part: bytes, name: str | None) -> UploadedFile | None:
    head, ended, content = part.partition(b"\r\n\r\n")
    if not ended:
        return None
    headers = _headers(head.decode("utf-8", "replace"))
    names = {key.lower(): quoted or bare for key, quoted, bare in _parameters(headers)}
    if name not in (None, names.get("name")) or not names.get("filename"):
        return None
    return UploadedFile(names["filename"], headers.get("content-type", ""), content.removesuffix(b"\r\n"))


def _headers(head: str) -> dict[str, str]:
    lines = (line.partition(":") for line in head.split("\r\n"))
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}


def _parameters(headers: dict[str, str]) -> list[tuple[str, str, str]]:
    return PARAMETER.findall(headers.get("content-disposition", ""))
