"""How long a voice lasts: AMR counted frame by frame, whatever the pieces it comes in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from worker.domain.content.voice import MOST_S, seconds_of
from worker_simulator.wecom_app.state.media import seconds_of as simulated

NARROW, WIDE = b"#!AMR\n", b"#!AMR-WB\n"
BITS = {
    NARROW: (95, 103, 118, 134, 148, 159, 204, 244, 39),
    WIDE: (132, 177, 253, 285, 317, 365, 397, 461, 477, 40),
}
"""Speech bits of each type of frame (RFC 4867, sections 3 and 5; 3GPP TS 26.101 and 26.201)."""


def frame(magic: bytes, kind: int) -> bytes:
    """One frame of a type, with the quality bit; types beyond the table hold no data."""
    bits = BITS[magic][kind] if kind < len(BITS[magic]) else 0
    return bytes([kind << 3 | 0b100]) + b"\xff" * -(-bits // 8)


@pytest.mark.parametrize(
    ("magic", "kind"), [(magic, kind) for magic, bits in BITS.items() for kind in range(len(bits))]
)
def test_every_type_of_frame_lasts_20_ms(magic: bytes, kind: int):
    """By the speech bits of its type, filled up to whole bytes."""
    assert 2.5 == seconds_of([magic + frame(magic, kind) * 125])


@pytest.mark.parametrize(("magic", "reserved"), [(NARROW, range(9, 15)), (WIDE, range(10, 14))])
def test_counting_ends_at_a_reserved_type(magic: bytes, reserved: range):
    """What follows is no voice we can read; frames without data before it count."""
    for kind in reserved:
        assert 0.06 == seconds_of([magic + frame(magic, 15) * 3 + frame(magic, kind) + frame(magic, 0) * 9])


@pytest.mark.parametrize("content", [b"", b"#!AM", b"RIFF" + bytes(99), b"#!AMR_MC1.0\n" + bytes(99)])
def test_other_formats_are_not_counted(content: bytes):
    """Nothing, too little, another format, and AMR of several channels."""
    assert seconds_of([content]) is None


def test_counting_stops_some_time():
    """A file of any size holds up its producer for no longer than an hour of voice does."""

    def endless() -> Iterator[bytes]:
        yield NARROW
        while True:
            yield frame(NARROW, 15) * 50_000

    assert MOST_S < seconds_of(endless()) < MOST_S + 1001


@given(st.sampled_from([NARROW, WIDE]), st.lists(st.integers(0, 15), max_size=60), st.integers(1, 40))
def test_pieces_do_not_matter(magic: bytes, kinds: list[int], size: int):
    """Whole or cut anywhere it is as long, and the fake vendor's own counter finds the same."""
    content = magic + b"".join(frame(magic, kind) for kind in kinds)
    pieces = [content[at : at + size] for at in range(0, len(content), size)]

    assert simulated(content) == seconds_of([content]) == seconds_of(pieces)
