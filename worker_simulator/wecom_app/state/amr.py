"""How long a voice lasts, by its AMR frames (RFC 4867, section 5).

Does not know uploads.
"""

FRAMES_A_SECOND = 50
NARROW, WIDE = b"#!AMR\n", b"#!AMR-WB\n"
SPEECH = {
    NARROW: (12, 13, 15, 17, 19, 20, 26, 31, 5, None, None, None, None, None, None, 0),
    WIDE: (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, None, None, None, None, 0, 0),
}
"""Bytes after the head of a frame, by its type; None: no frame has this type. 15 is a frame without speech."""


def seconds_of(content: bytes) -> float:
    """The length of AMR, up to the first frame that is none; 0 for anything else."""
    magic = next((one for one in SPEECH if content.startswith(one)), None)
    if magic is None:
        return 0.0
    frames, place = 0, len(magic)
    while place < len(content) and (size := SPEECH[magic][content[place] >> 3 & 0b1111]) is not None:
        place += 1 + size
        frames += 1
    return frames / FRAMES_A_SECOND
