"""Where an answer ends, as its own head says: by a length, or by a last chunk."""

from __future__ import annotations

import re

LONGEST_HEAD = 64 * 1024
"""Bytes after which a head without an end is none."""
MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer's body; a vendor's longest (an error with a hint) has a few kilobytes."""
LONGEST_FRAMING = 2 * LONGEST_HEAD
"""Most bytes of an answer that are not its body: its head, and what is around its chunks, which cost time each."""
_STATUS = re.compile(rb"HTTP/\S* *(\d{3})?")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d+)[ \t]*\r?\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\n]*chunked", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-f]+)[^\n]*\n", re.IGNORECASE)


class AnswerEnd:
    """Says when an answer that grows has come to its end, and looks at each of its bytes once.

    It only says when to read an answer. Whether the answer is complete is found by reading it.
    """

    def __init__(self) -> None:
        self._head = 0
        """Where the head begins that is being looked for; the heads of interim answers are before it."""
        self._looked = 0
        """How far the end of that head was looked for."""
        self._body: int | None = None
        self._length: float | None = None
        """The body's length; None: it is in chunks, or ends with the stream."""
        self._chunk: int | None = None
        """Where the next chunk begins, once it is known that there are chunks."""
        self._framing = 0
        """Bytes of the lines between the chunks."""

    def is_in(self, answer: bytes | bytearray) -> bool:
        """False while more must come; `answer` is all that has come."""
        while self._body is None:
            end = _HEAD_END.search(answer, max(self._head, self._looked - 3))
            status = _STATUS.match(answer, self._head)
            if not end or not status:
                self._looked = len(answer)
                begun = answer[self._head : self._head + 5]
                return not b"HTTP/".startswith(begun) or len(answer) > self._head + LONGEST_HEAD
            if status[1] != b"100":
                self._begin_body(answer, status[1], end.end())
            else:
                self._head = end.end()
        if self._chunk is not None:
            return self._is_last_in(answer, self._chunk)
        # Without a length, the end of the stream is its end. What is too long is refused by its head.
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

    def _is_last_in(self, answer: bytes | bytearray, at: int) -> bool:
        while chunk := _CHUNK.match(answer, at):
            size = int(chunk[1], 16)
            if not size:
                return answer.endswith((b"\n\r\n", b"\n\n"))
            self._framing += chunk.end() - at
            if self._framing > LONGEST_FRAMING // 2:
                # Reading it refuses it.
                return True
            at = self._chunk = chunk.end() + size + len(b"\r\n")
        # A line that is no size will not become one.
        return answer.find(b"\n", at) >= 0
