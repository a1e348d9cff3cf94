"""What messages may hold: uploads, and the codes and measures of bodies.

Refuses to know how a body is checked.
"""

from typing import Literal

from pydantic import Field

from worker.simulator.settings.part import Part


class MediaSettings(Part):
    """Uploads."""

    lifetime_s: float = 259_200
    expired_code: Literal[40007, 40145] = 40007
    """(unconfirmed) what a send with an expired media_id draws; 40145 is in the list of codes since 2026."""
    known: dict[str, list[str]] = Field(default_factory=dict)
    """Upload type -> regular expressions of media_ids that exist in every corp without an upload, and never expire."""
    max_bytes: dict[str, int] = Field(
        default_factory=lambda: {
            "image": 10 << 20,
            "voice": 2 << 20,
            "video": 10 << 20,
            "file": 20 << 20,
            "uploadimg": 2 << 20,
        }
    )
    voice_seconds: float = 60.0
    """Longer voices are refused (45007), measured by their AMR frames; 0 does not measure."""
    check_format: bool = True
    """Images must be JPG or PNG (40123), voices AMR (301017), videos MP4 (41090), by their first bytes."""


class CodeSettings(Part):
    """Answers to wrong bodies whose code or measure is unconfirmed."""

    all_empty: int = 82001
    """No recipient at all: 82001 or 81012."""
    url_too_long: int = 40058
    url_without_scheme: int = 40094
    """40094 or 45034."""
    field_too_long: int = 40058
    article_appid: int = 90207
    """Only one of appid and pagepath in an article."""
    textcard_unit: Literal["chars", "bytes"] = "chars"
    suggested_length: int = 0
    """A code that refuses card texts longer than suggested; 0 accepts them."""
    cut_character: Literal["dropped", "replaced"] = "dropped"
    """A cut inside a character drops it or shows U+FFFD."""
    escaped_json: Literal["accepted", "refused"] = "accepted"
    """`\\uXXXX` in a body: documented as 40033, observed to work."""
