"""How long a voice lasts, by its AMR frames (RFC 4867, section 5).

Refuses to know uploads.
"""

MAGIC = b"#!AMR\n"
FRAMES_A_SECOND = 50
FRAME_BYTES = (12, 13, 15, 17, 19, 20, 26, 31, 5)
"""Speech bytes behind the head of a frame, by its type; 15 is a frame without speech."""
SILENT = 15


def seconds_of(content: bytes) -> float:
    """The length of narrow-band AMR, up to the first frame that is none; 0 for anything else."""
    if not content.startswith(MAGIC):
        return 0.0
    frames, place = 0, len(MAGIC)
    while place < len(content):
        kind = content[place] >> 3 & 0b1111
        if kind >= len(FRAME_BYTES) and kind != SILENT:
            break
        place += 1 + (FRAME_BYTES[kind] if kind != SILENT else 0)
        frames += 1
    return frames / FRAMES_A_SECOND
