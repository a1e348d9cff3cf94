"""Finds where an HTTP answer ends: after its stated length, or after its last chunk."""

from __future__ import annotations

import io
import re

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer's body, at most. A vendor's longest (an error with a hint) has a few kilobytes."""
MAX_LINES = 64 * 1024
"""Bytes of an answer's lines, at most: its heads, the sizes of its chunks and its trailers, which take time each."""
MAX_LINE = 16 * 1024
"""Bytes of one of these lines, at most. Proxies refuse more than 8 KiB."""
# No quantifier gives back what it took, so that no line takes longer than its length.
_STATUS = re.compile(rb"HTTP/\S*+ *+(\d{3})?+")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*+(\d++)[ \t]*+\r?\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\n]*chunked", re.IGNORECASE)
_CHUNK = re.compile(rb"[0-9a-f]++", re.IGNORECASE)
_CONTENT_TYPE = re.compile(rb"content-type\b", re.IGNORECASE)


class TooLarge(Exception):
    """The answer is longer than any vendor's answer may be."""


class AnswerStream(io.BufferedReader):
    """The stream from which http.client reads an answer. Raises TooLarge as soon as its lines are too long.

    http.client itself waits for the end of a line of 64 KiB, and reads trailers for as long as they come.
    """

    def __init__(self, raw: io.RawIOBase, max_lines: float = MAX_LINES) -> None:
        super().__init__(raw)
        self._rest = max_lines

    def readline(self, size: int | None = -1, /) -> bytes:
        """Returns the next line."""
        most = int(min(MAX_LINE, self._rest))
        line = super().readline(most + 1)
        if len(line) > most:
            raise TooLarge
        self._rest -= len(line)
        # Python's email parser, which http.client calls, reads the parameters of a multipart in the square of its
        # length. No answer is one.
        return b"x-" + line if _CONTENT_TYPE.match(line) else line


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
        self._lines = 0
        """Bytes of the heads, and of the lines before the chunks."""

    def is_complete(self, answer: bytes | bytearray) -> bool:
        """Returns False while more must come. `answer` is all that has arrived.

        True for an answer that reading will refuse, because it is too long or no HTTP.
        """
        while self._body is None:
            end = _HEAD_END.search(answer, max(self._head, self._searched - 3))
            status = _STATUS.match(answer, self._head) if end else None
            if not end or not status:
                self._searched = len(answer)
                start = answer[self._head : self._head + 5]
                return not b"HTTP/".startswith(start) or len(answer) > MAX_LINES
            if status[1] != b"100":
                self._begin_body(answer, status[1], end.end())
            else:
                self._head = end.end()
        if self._chunk is not None:
            return self._has_last_chunk(answer, self._chunk)
        # Without a length, the answer ends with the stream. A body that is too long is refused by its head.
        return self._length is not None and (len(answer) - self._body >= self._length or self._length > MAX_ANSWER)

    def _begin_body(self, answer: bytes | bytearray, status: bytes | None, body: int) -> None:
        self._body = self._lines = body
        if status is None or status < b"200" or status in (b"204", b"304"):
            self._length = 0
        elif _CHUNKED.search(answer, self._head, body):
            self._chunk = body
        elif length := _LENGTH.search(answer, self._head, body):
            # No int(), which raises for more than 4,300 digits.
            self._length = float(length[1])

    def _has_last_chunk(self, answer: bytes | bytearray, at: int) -> bool:
        while (line_end := answer.find(b"\n", at, at + MAX_LINE)) >= 0:
            chunk = _CHUNK.match(answer, at, line_end)
            if not chunk:
                # A line that is no size will not become one.
                return True
            size = int(chunk[0], 16)
            if not size:
                return answer.endswith((b"\n\r\n", b"\n\n")) or len(answer) - at > MAX_LINES
            self._lines += line_end + 1 - at
            at = self._chunk = line_end + 1 + size + len(b"\r\n")
            if self._lines > MAX_LINES:
                return True
        return len(answer) - at >= MAX_LINE
