"""A file as the body of a request, streamed in pieces, and never longer or shorter than its stated size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from worker.domain.call import FileBody
from worker.transport.connection import FileFault

_PIECE = 64 * 1024
"""Bytes of a file passed on at once. The sender keeps the last piece in memory while the next chunk is read."""


def multipart(file: FileBody, boundary: str) -> tuple[int, Any]:
    """Returns the body's length and the body: the form's fields, then the file.

    The file part has `filelength` and the raw UTF-8 name, as WeCom's page "upload temporary media" (90253) shows it.
    """
    fields = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
        for name, value in file.fields.items()
    )
    head = (
        f'{fields}--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(file.field_name)}"; '
        f'filename="{_quoted(file.filename)}"; filelength={file.size}\r\n'
        f"Content-Type: {_quoted(file.content_type)}\r\n\r\n"
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    chunks = _exactly(file)
    # Read now, so that an unreadable file is noticed before the first byte is sent.
    first = next(chunks, b"")
    return len(head) + file.size + len(tail), chain((head, first), chunks, (tail,))


def _exactly(file: FileBody) -> Iterator[bytes]:
    """Yields the file's bytes as they are read. Raises FileFault if there are more or fewer than its size."""
    # The vendor would take a file that is too short or too long for a complete one.
    remaining = file.size
    try:
        for chunk in file.open():
            remaining -= len(chunk)
            if remaining < 0:
                break
            yield from (chunk[at : at + _PIECE] for at in range(0, len(chunk), _PIECE))
            # Otherwise it would be in memory together with the next one.
            del chunk
    except Exception as error:
        raise FileFault from error
    if remaining:
        raise FileFault


def _quoted(text: str) -> str:
    """Returns the name, safe inside quotes and on one line (percent-encoded as browsers do)."""
    return re.sub(r'[\x00-\x1f\x7f"]', lambda match: f"%{ord(match[0]):02X}", text)
