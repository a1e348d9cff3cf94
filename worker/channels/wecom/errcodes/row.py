"""What one error code says, in English and Chinese. Knows no code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from worker.domain.outcome import Penalty, Scope


class Class(StrEnum):
    """What a code asks of the worker."""

    RETRY = "retry"
    """Transient: repeat it; it counts as an attempt."""
    TOKEN = "token"
    """The token is bad: fetch another."""
    DEFER = "defer"
    """Too early: wait; it counts as no attempt."""
    PERMANENT = "permanent"
    """This request can never pass as it is."""
    CONFIG = "config"
    """An operator must act; the scope is parked."""


Said = tuple[str, str]
"""The same in English and in Chinese."""


@dataclass(frozen=True, slots=True)
class Errcode:
    """One code, or a run of codes up to `last`, of one meaning."""

    code: int
    meaning: str
    kind: Class
    what: str = "correct the message"
    """What to do; the remedy an operator or a caller reads."""
    scope: Scope = Scope.PART
    delay: float = 0.0
    """Seconds to wait, for DEFER."""
    last: int | None = None
    meaning_zh: str = ""
    what_zh: str = ""
    penalty: Penalty | None = None
    """What the code does to the part's lane, for DEFER."""
    lasting: bool = False
    """The code depends only on the message and its recipients: an earlier call with the same of both met it too.
    Never set where time (a file, a chat), a limit or the vendor's judgement (spam) has a part in it."""


def coded(
    kind: Class,
    rows: Mapping[int, tuple[Said, Said]],
    scope: Scope = Scope.PART,
    delay: float = 0.0,
    penalty: Penalty | None = None,
) -> Iterator[Errcode]:
    """The rows of one class, each with its own remedy."""
    for code, ((meaning, meaning_zh), (what, what_zh)) in rows.items():
        yield Errcode(code, meaning, kind, what, scope, delay, None, meaning_zh, what_zh, penalty)


def refused(rows: Mapping[int, Said], what: Said, *, lasting: bool = False) -> Iterator[Errcode]:
    """Permanent rows that share a remedy."""
    for row in coded(Class.PERMANENT, {code: (meaning, what) for code, meaning in rows.items()}):
        yield replace(row, lasting=lasting)


def run(
    first: int,
    last: int,
    meaning: Said,
    what: Said,
    kind: Class = Class.PERMANENT,
    scope: Scope = Scope.PART,
) -> Errcode:
    """A run of codes of one meaning."""
    return Errcode(first, meaning[0], kind, what[0], scope, 0.0, last, meaning[1], what[1])
