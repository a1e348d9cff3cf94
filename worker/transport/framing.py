"""Where an answer ends, as its own head says: by a length, or by a last chunk."""

from __future__ import annotations

import re

LONGEST_HEAD = 64 * 1024
"""Bytes after which a head without an end is none."""
MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer's body; a vendor's longest (an error with a hint) has a few kilobytes."""
_HEAD = re.compile(rb"HTTP/\S* *(\d{3})?.*?\r?\n\r?\n", re.DOTALL)
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d+)[ \t]*\r?\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\n]*chunked", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-f]+)[^\n]*\n", re.IGNORECASE)


def seems_whole(answer: bytes | bytearray) -> bool:
    """False while more must come by what the answer's head says; True for what is no answer at all.

    It only says when to read an answer. Whether the answer is complete is found by reading it.
    """
    at = 0
    while head := _HEAD.match(answer, at):
        if head[1] != b"100":
            has_body = head[1] is not None and head[1] >= b"200" and head[1] not in (b"204", b"304")
            return not has_body or _body_seems_whole(answer, head.start(), head.end())
        at = head.end()
    return not b"HTTP/".startswith(answer[at : at + 5]) or len(answer) > at + LONGEST_HEAD


def _body_seems_whole(answer: bytes | bytearray, head: int, body: int) -> bool:
    if _CHUNKED.search(answer, head, body):
        while chunk := _CHUNK.match(answer, body):
            size = int(chunk[1], 16)
            if not size:
                return answer.endswith((b"\n\r\n", b"\n\n"))
            body = chunk.end() + size + len(b"\r\n")
        # A line that is no size will not become one.
        return b"\n" in answer[body:]
    length = _LENGTH.search(answer, head, body)
    # Without a length, the end of the stream is its end. What is too long is refused by its head.
    return length is not None and (len(answer) - body >= int(length[1]) or int(length[1]) > MAX_ANSWER)
