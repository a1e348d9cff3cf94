"""What messages may hold: uploads, and the codes and measures of bodies.

Does not know how a body is checked. A code of 0 accepts what it would refuse.
"""

from typing import Literal

from pydantic import Field

from worker.simulator.settings.group import SettingsGroup


class MediaSettings(SettingsGroup):
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


class CodeSettings(SettingsGroup):
    """Answers to wrong bodies whose code or measure is unconfirmed; 0 accepts the body."""

    all_empty: int = 82001
    """No recipient at all: 82001 or 81012."""
    option_value: int = 40058
    """A value of safe or of a flag that its type does not list, or an interval beyond four hours."""
    unlisted_option: int = 0
    """safe or enable_id_trans on a type that does not list it (safe on news is 40074)."""
    safe_file: int = 40058
    """safe with a file whose name has none of the extensions that may be safe."""
    agentid_string: int = 0
    """An agentid in a string: 0 takes it with the wrong-format warning, a code refuses it."""
    notice_agentid: int = 0
    """A miniprogram_notice without agentid: not listed there; 41011 as reported of 2026."""
    url_too_long: int = 40058
    url_without_scheme: int = 40094
    """40094 or 45034."""
    field_too_long: int = 40058
    article_appid: int = 90207
    """Only one of appid and pagepath in an article."""
    unlinked_appid: int = 90206
    """An appid that the app's `mini_programs` do not name."""
    notice_key: int = 90202
    """A pair of a mini-program notice that has a value and no key."""
    ascii_width: float = 0.5
    """How many Chinese characters an ASCII one counts for."""
    is_checked: int = 40058
    """A choice of a vote without is_checked: required, no code is given."""
    aspect_ratio: int = 40058
    """A card's picture outside 1.3 to less than 2.25."""
    submit_text: int = 42049
    """A submit button without text: required, yet the page names a default."""
    undefined_field: int = 0
    """A field the card's type does not define; 0 shows the card without it."""
    textcard_unit: Literal["chars", "bytes"] = "chars"
    suggested_length: int = 0
    """A code that refuses card texts longer than suggested; 0 accepts them."""
    cut_character: Literal["dropped", "replaced"] = "dropped"
    """A cut inside a character drops it or shows U+FFFD."""
    escaped_json: Literal["accepted", "refused"] = "accepted"
    """`\\uXXXX` in a body: documented as 40033, observed to work."""
