"""The smallest files that the demos send and upload."""

from __future__ import annotations

import struct
import zlib

from worker.domain.content.message import File


def picture(name: str = "poster.png", side: int = 16) -> File:
    """Returns a grey PNG."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\x80" * side for _ in range(side)))
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return File(b"\x89PNG\r\n\x1a\n" + body, name)


def voice() -> File:
    """Returns a second of silence in AMR."""
    return File(b"#!AMR\n" + b"\x7c" * 50, "voice.amr")


def video() -> File:
    """Returns the head of an MP4."""
    return File(b"\x00\x00\x00\x18ftypmp42" + bytes(64), "clip.mp4")


def report() -> File:
    """Returns a text file."""
    return File("第三季度报告\n".encode(), "报告.txt")
