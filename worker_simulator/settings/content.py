"""Settings of uploads, and the errcodes and measures of message bodies.

An errcode of 0 accepts what it would refuse.
"""

from typing import Literal

from pydantic import Field

from worker_simulator.settings.people import SettingsGroup


class MediaSettings(SettingsGroup):
    """Uploads."""

    lifetime_s: float = 259_200
    """How many seconds a media_id is valid."""
    expired_code: Literal[40007, 40145] = 40007
    """(unconfirmed) The code of a send with an expired media_id; 40145 is in the list of codes since 2026."""
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
    """Upload type -> the most bytes of a file."""
    voice_seconds: float = 60.0
    """Longer voices are refused (45007), measured by their AMR frames. 0 switches this off."""
    check_format: bool = True
    """Images must be JPG or PNG (40123), voices AMR (301017), videos MP4 (41090), by their first bytes."""


class CodeSettings(SettingsGroup):
    """Answers to wrong bodies whose code or measure is unconfirmed; 0 accepts the body."""

    all_empty: int = 82001
    """(unconfirmed) No recipient at all: 82001 or 81012."""
    option_value: int = 40058
    """(unconfirmed) A value of safe or of a flag that its type does not list, or an interval beyond four hours."""
    unlisted_option: int = 0
    """(unconfirmed) A safe or enable_id_trans on a type that does not list it (safe on news is 40074)."""
    safe_file: int = 40058
    """(unconfirmed) A safe with a file whose name has none of the extensions that may be safe."""
    agentid_string: int = 0
    """(unconfirmed) An agentid in a string: 0 takes it with the wrong-format warning, a code refuses it."""
    notice_agentid: int = 0
    """(unconfirmed) A miniprogram_notice without agentid: not listed there; 41011 as reported of 2026."""
    url_too_long: int = 40058
    """(unconfirmed) A URL that is longer than its field takes."""
    url_without_scheme: int = 40094
    """(unconfirmed) A URL without http or https: 40094 or 45034."""
    field_too_long: int = 40058
    """(unconfirmed) A text that is longer than its field takes, and is not cut."""
    article_appid: int = 90207
    """(unconfirmed) Only one of appid and pagepath in an article."""
    unlinked_appid: int = 90206
    """(unconfirmed) An appid that the app's `mini_programs` do not name."""
    notice_key: int = 90202
    """(unconfirmed) A pair of a mini-program notice that has a value and no key."""
    ascii_width: float = 0.5
    """(unconfirmed) How many Chinese characters an ASCII one counts for."""
    is_checked: int = 40058
    """(unconfirmed) A choice of a vote without is_checked, which is required; no page names a code."""
    aspect_ratio: int = 40058
    """(unconfirmed) A card's picture outside 1.3 to 2.25."""
    submit_text: int = 42049
    """(unconfirmed) A submit button without text: required, yet the page names a default."""
    undefined_field: int = 0
    """(unconfirmed) A field that the card's type does not define. 0 displays the card without it."""
    textcard_unit: Literal["chars", "bytes"] = "chars"
    """(unconfirmed) The unit in which the texts of a textcard are measured."""
    suggested_length: int = 0
    """(unconfirmed) A code that refuses card texts longer than suggested; 0 accepts them."""
    cut_character: Literal["dropped", "replaced"] = "dropped"
    """(unconfirmed) A cut inside a character drops it or shows U+FFFD."""
    escaped_json: Literal["accepted", "refused"] = "accepted"
    """(unconfirmed) `\\uXXXX` in a body: documented as 40033, observed to work."""
