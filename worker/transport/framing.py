"""Finds where an HTTP answer ends: after its stated length, or after its last chunk."""

from __future__ import annotations

import re

MAX_HEAD = 64 * 1024
"""Bytes after which a head without an end is invalid."""
MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer's body, at most. A vendor's longest (an error with a hint) has a few kilobytes."""
MAX_FRAMING = 2 * MAX_HEAD
"""Bytes of an answer that are not its body, at most: its head, and the lines around its chunks, which take time each.
"""
_STATUS = re.compile(rb"HTTP/\S* *(\d{3})?")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d+)[ \t]*\r?\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\n]*chunked", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-f]+)[^\n]*\n", re.IGNORECASE)


class AnswerEnd:
    """Finds the end of an answer while it arrives, and reads each of its bytes once.

    It only says when to read the answer. Reading it finds out whether it is complete.
    """

    def __init__(self) -> None:
        self._head = 0
        """Where the current head begins, after the heads of interim answers."""
        self._searched = 0
        """How far the end of that head was searched for."""
        self._body: int | None = None
        self._length: float | None = None
        """The body's length, or None if it is in chunks or ends with the stream."""
        self._chunk: int | None = None
        """Where the next chunk begins. None if there are no chunks."""
        self._framing = 0
        """Bytes of the lines between the chunks."""

    def is_complete(self, answer: bytes | bytearray) -> bool:
        """Returns False while more must come. `answer` is all that has arrived."""
        while self._body is None:
            end = _HEAD_END.search(answer, max(self._head, self._searched - 3))
            status = _STATUS.match(answer, self._head)
            if not end or not status:
                self._searched = len(answer)
                start = answer[self._head : self._head + 5]
                return not b"HTTP/".startswith(start) or len(answer) > self._head + MAX_HEAD
            if status[1] != b"100":
                self._begin_body(answer, status[1], end.end())
            else:
                self._head = end.end()
        if self._chunk is not None:
            return self._has_last_chunk(answer, self._chunk)
        # Without a length, the answer ends with the stream. A body that is too long is refused by its head.
        return self._length is not None and (len(answer) - self._body >= self._length or self._length > MAX_ANSWER)

    def _begin_body(self, answer: bytes | bytearray, status: bytes | None, body: int) -> None:
        self._body = body
        if status is None or status < b"200" or status in (b"204", b"304"):
            self._length = 0
        elif _CHUNKED.search(answer, self._head, body):
            self._chunk = body
        elif length := _LENGTH.search(answer, self._head, body):
            # No int(), which raises for more than 4,300 digits.
            self._length = float(length[1])

    def _has_last_chunk(self, answer: bytes | bytearray, at: int) -> bool:
        while chunk := _CHUNK.match(answer, at):
            size = int(chunk[1], 16)
            if not size:
                return answer.endswith((b"\n\r\n", b"\n\n"))
            self._framing += chunk.end() - at
            if self._framing > MAX_FRAMING // 2:
                # Complete, because reading it will refuse it.
                return True
            at = self._chunk = chunk.end() + size + len(b"\r\n")
        # A line that is no size will not become one.
        return answer.find(b"\n", at) >= 0
