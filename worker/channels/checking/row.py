"""What one row of a vendor's field table says. Knows no field by name; `rules.py` holds messages against rows.

A row stands with the field of the typed message that it is about: `title: Annotated[str, R(max_bytes=128)]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Effect(StrEnum):
    """What the vendor does beyond a limit."""

    ERR = "err"
    """It refuses the call."""
    CUT = "cut"
    """It cuts the rest in silence, perhaps inside a character."""


class Prose(StrEnum):
    """Text for people, by what must not be torn when it is shortened."""

    PLAIN = "plain"
    LINKS = "links"
    """`<a href="...">..</a>` and other tags."""
    MARKDOWN = "markdown"
    """`[text](url)`, `code`, **bold**, `<font>`, and the marks that begin a line."""
    BLOCKS = "blocks"
    """The same with tables and fenced code, which are never split."""


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: caches are keyed by rows
class FieldRule:
    """One row of a vendor's field table."""

    path: str = ""
    """The field's path below the message's own object, with `[]` after a list; of a typed field its place says it."""
    type: type = str
    """str, int, bool, float (any number), list or dict; of a typed field its annotation says it."""
    required: bool = False
    blank: bool = False
    """Required, but taken when it is empty: an empty value says that there is none."""
    when: tuple[str, int] | None = None
    """Required only if this sibling has this value; an absent sibling counts as 0."""
    entries: tuple[int, int] | None = None
    """Least and most entries of a list."""
    max_bytes: int | None = None
    """Most bytes of the UTF-8 text."""
    max_chars: int | None = None
    max_utf16: int | None = None
    """Characters, each beyond the basic plane (an emoji) as two: the cautious reading where the vendor only says
    "characters"."""
    chinese: tuple[int, int] | None = None
    """Least and most Chinese characters; ASCII counts half (not confirmed, so what only that reading allows warns)."""
    advised: int | None = None
    """Suggested characters: the client shortens what is longer, so it only warns."""
    allowed: tuple[int, ...] | tuple[str, ...] | None = None
    between: tuple[float, float] | None = None
    """The least value and the greatest."""
    charset: str | None = None
    unique: bool = False
    """No two entries of the list have the same value."""
    strings: bool = False
    """A list of strings, where others hold objects."""
    among: str | None = None
    """Has to be a value of this list beside it (`option_list.id`)."""
    link: bool = False
    """Must begin with http:// or https:// (40094, 45034)."""
    media: str | None = None
    """A media_id of this upload type; 40007 when unknown, expired or of another kind."""
    prose: Prose | None = None
    """May be shortened when the caller asks for it."""
    translated: bool = False
    """`enable_id_trans` = 1 turns `$userName=USERID$` and its like into names here."""
    banned: str = ""
    """Why the field must not be there, although the type has it elsewhere."""
    effect: Effect = Effect.ERR
    missing: int | None = None
    """What the vendor answers when it is missing or empty, where that is known."""
    code: int | None = None
    """What the vendor answers when it is there and wrong."""
    more: tuple[int, ...] = ()
    """Further codes its page or an observer names."""
    note: str = ""
    """What is behind the limit, when it is not simply the code or the effect."""

    @property
    def codes(self) -> frozenset[int]:
        """Every code that can be about this field."""
        media = (40007,) if self.media else ()
        link = (40094, 45034) if self.link else ()
        return frozenset(code for code in (self.missing, self.code, *self.more, *media, *link) if code)


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: caches are keyed by rows
class Either:
    """At least one of these fields must be there, in the object at `at`."""

    names: tuple[str, ...]
    code: int | None = None
    at: str = ""


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: caches are keyed by rows
class Together:
    """Either all of these fields are there or none, in the object at `at`."""

    names: tuple[str, ...]
    code: int | None = None
    at: str = ""


Row = FieldRule | Either | Together
R = FieldRule
"""For tables, whose rows say it often."""


def changed(rows: Iterable[Row], changes: Mapping[str, Mapping[str, Any]]) -> tuple[Row, ...]:
    """The rows with other values in some of them, by path."""
    return tuple(
        replace(row, **changes[row.path]) if isinstance(row, FieldRule) and row.path in changes else row for row in rows
    )


def banned(rows: Iterable[Row], why: Mapping[str, str]) -> tuple[Row, ...]:
    """The rows with some fields banned, by path, for a reason; the fields in them have no rows then."""
    below = tuple(f"{path}{sign}" for path in why for sign in (".", "["))
    kept = (row for row in rows if not (isinstance(row, FieldRule) and row.path.startswith(below)))
    return changed(kept, {path: {"banned": text} for path, text in why.items()})
