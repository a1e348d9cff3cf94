"""One row of a vendor's field table. Knows no field by name. `rules.py` checks messages against rows.

A row stands at the field of the typed message that it describes: `title: Annotated[str, R(max_bytes=128)]`.
"""

from __future__ import annotations

import re
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
    """Text for people, by what must stay whole when it is shortened."""

    PLAIN = "plain"
    LINKS = "links"
    """`<a href="...">..</a>` and other tags."""
    MARKDOWN = "markdown"
    """`[text](url)`, pictures, `code`, **bold**, *italic*, `<font>`, and the marks that begin a line."""
    BLOCKS = "blocks"
    """The same with tables and fenced code, which are never split."""


@dataclass(frozen=True, slots=True)
class AsTyped:
    """Marks that a client shows as they are typed."""

    pattern: re.Pattern[str]
    what: str
    """What they are, for people."""
    is_code: bool = False
    """True for marks of code. Others are looked for outside code, which is shown as typed anyway."""


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: caches are keyed by rows
class FieldRule:
    """One row of a vendor's field table."""

    path: str = ""
    """The field's path below the message's own object, with `[]` after a list. Derived for a typed field."""
    type: type = str
    """str, int, bool, float (any number), list or dict. Derived from the annotation of a typed field."""
    required: bool = False
    blank: bool = False
    """Required, but may be empty: an empty value says that there is none."""
    when: tuple[str, int] | None = None
    """Required only if this sibling has this value. A missing sibling counts as 0."""
    entries: tuple[int, int] | None = None
    """Minimum and maximum number of entries of a list."""
    max_bytes: int | None = None
    """Maximum number of bytes in UTF-8."""
    max_chars: int | None = None
    max_utf16: int | None = None
    """Maximum number of characters, an emoji counting as two: the careful reading of a vendor's "characters"."""
    chinese: tuple[int, int] | None = None
    """Minimum and maximum of Chinese characters. ASCII counts half, which is not confirmed, so it only warns."""
    advised: int | None = None
    """Suggested number of characters. It only warns, because the client shortens what is longer."""
    allowed: tuple[int, ...] | tuple[str, ...] | None = None
    between: tuple[float, float] | None = None
    """The lowest and the highest value."""
    charset: str | None = None
    unique: bool = False
    """No two entries of the list have the same value."""
    strings: bool = False
    """A list of strings. Other lists hold objects."""
    among: str | None = None
    """The value must occur in this sibling list (`option_list.id`)."""
    link: bool = False
    """Must begin with http:// or https:// (40094, 45034)."""
    media: str | None = None
    """A media_id of this upload type. 40007 if it is unknown, expired or of another kind."""
    prose: Prose | None = None
    """May be shortened if the caller asks for it."""
    translated: bool = False
    """`enable_id_trans` = 1 turns `$userName=USERID$` and similar into names here."""
    as_typed: tuple[AsTyped, ...] = ()
    """Marks that the client does not know, and shows as they are typed. They only warn."""
    neutral: bool = False
    """An empty value, 0 or false says nothing here. Typed clients write it, and a body is read without it."""
    banned: str = ""
    """Why the field must not be there, although the type has it elsewhere."""
    effect: Effect = Effect.ERR
    missing: int | None = None
    """The vendor's code if it is missing or empty, if known."""
    code: int | None = None
    """The vendor's code if it is there and wrong."""
    more: tuple[int, ...] = ()
    """Further codes that its page or an observer names."""
    note: str = ""
    """What is behind the limit, if it is not just the code or the effect."""

    @property
    def codes(self) -> frozenset[int]:
        """Every code that can be about this field."""
        media = (40007,) if self.media else ()
        link = (40094, 45034) if self.link else ()
        return frozenset(code for code in (self.missing, self.code, *self.more, *media, *link) if code)


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: caches are keyed by rows
class AnyOf:
    """At least one of these fields must be there, in the object at `at`."""

    names: tuple[str, ...]
    code: int | None = None
    at: str = ""


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: caches are keyed by rows
class AllOrNone:
    """All of these fields must be there or none, in the object at `at`."""

    names: tuple[str, ...]
    code: int | None = None
    at: str = ""


Row = FieldRule | AnyOf | AllOrNone
R = FieldRule
"""Short for tables, whose rows repeat it."""


def changed(rows: Iterable[Row], changes: Mapping[str, Mapping[str, Any]]) -> tuple[Row, ...]:
    """Returns the rows with other values in some of them, by path."""
    return tuple(
        replace(row, **changes[row.path]) if isinstance(row, FieldRule) and row.path in changes else row for row in rows
    )


def banned(rows: Iterable[Row], why: Mapping[str, str]) -> tuple[Row, ...]:
    """Returns the rows with some fields banned for a reason, by path. The fields inside these have no rows then."""
    below = tuple(f"{path}{sign}" for path in why for sign in (".", "["))
    kept = (row for row in rows if not (isinstance(row, FieldRule) and row.path.startswith(below)))
    return changed(kept, {path: {"banned": text} for path, text in why.items()})
