"""The length of a voice, from its AMR frames (RFC 4867, section 5). Knows no vendor's limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

FRAMES_A_SECOND = 50
MOST_S = 3600
"""Counting stops about here: no vendor takes a voice that long."""
NARROW, WIDE = b"#!AMR\n", b"#!AMR-WB\n"
_EMPTY = 15
"""The type of a frame without data."""
_SPEECH_BYTES = {
    NARROW: {**dict(enumerate((12, 13, 15, 17, 19, 20, 26, 31, 5))), _EMPTY: 0},
    WIDE: {**dict(enumerate((17, 23, 32, 36, 40, 46, 50, 58, 60, 5))), 14: 0, _EMPTY: 0},
}
"""Bytes after a frame's header, by frame type; wide-band type 14 is lost speech. Other types are reserved."""


def seconds_of(chunks: Iterable[bytes]) -> float | None:
    """Seconds of narrow-band or wide-band AMR, up to the first frame of a reserved type; None for any other format.

    None also for AMR of several channels. Holds one piece of the content at a time.
    """
    pieces = iter(chunks)
    begun = b""
    while len(begun) < len(WIDE) and (piece := next(pieces, b"")):
        begun += piece
    for magic, sizes in _SPEECH_BYTES.items():
        if begun.startswith(magic):
            return _frames(chain([begun[len(magic) :]], pieces), sizes) / FRAMES_A_SECOND
    return None


def _frames(pieces: Iterable[bytes], speech_bytes: Mapping[int, int]) -> int:
    frames, ahead = 0, 0
    for piece in pieces:
        place = ahead
        if frames > MOST_S * FRAMES_A_SECOND:
            break
        while place < len(piece):
            size = speech_bytes.get(piece[place] >> 3 & 0b1111)
            if size is None:
                return frames
            place += 1 + size
            frames += 1
        ahead = place - len(piece)  # bytes of the last frame that are in the next piece
    return frames
