"""What one error code says, as data and as lines for people. Knows no code; its Chinese is in `worker.language`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from worker.domain.outcome import Penalty, Scope
from worker.language import Lang, said


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
    penalty: Penalty | None = None
    """What the code does to the part's lane, for DEFER."""
    lasting: bool = False
    """The code depends only on the message and its recipients: an earlier call with the same of both met it too.
    Never set where time (a file, a chat), a limit or the vendor's judgement (spam) has a part in it."""


def coded(
    kind: Class,
    rows: Mapping[int, tuple[str, str]],
    scope: Scope = Scope.PART,
    delay: float = 0.0,
    penalty: Penalty | None = None,
) -> Iterator[Errcode]:
    """The rows of one class, each with its own remedy."""
    for code, (meaning, what) in rows.items():
        yield Errcode(code, meaning, kind, what, scope, delay, None, penalty)


def refused(rows: Mapping[int, str], what: str, *, lasting: bool = False) -> Iterator[Errcode]:
    """Permanent rows that share a remedy."""
    for row in coded(Class.PERMANENT, {code: (meaning, what) for code, meaning in rows.items()}):
        yield replace(row, lasting=lasting)


def run(
    first: int, last: int, meaning: str, what: str, kind: Class = Class.PERMANENT, scope: Scope = Scope.PART
) -> Errcode:
    """A run of codes of one meaning."""
    return Errcode(first, meaning, kind, what, scope, 0.0, last)


_CLASSES: Mapping[Class, str] = {
    Class.RETRY: "retry: tried again by itself, as an attempt",
    Class.TOKEN: "token: another token is fetched, no attempt",
    Class.DEFER: "defer: waits by itself, no attempt",
    Class.PERMANENT: "permanent: the call is rejected and not repeated",
    Class.CONFIG: "config: parked until an operator acts",
}
_SCOPES: Mapping[Scope, str] = {
    Scope.PART: "this call alone",
    Scope.LANE: "the account's calls of this kind and type",
    Scope.ACCOUNT: "the whole account",
}


def explained(code: int, row: Errcode, at_gettoken: Errcode | None, lang: Lang) -> list[str]:
    """Code and meaning, then class, scope and what to do, in a language."""
    told = [
        f"class: {_CLASSES[row.kind]}",
        f"scope: {_SCOPES[row.scope]}",
        f"do: {row.what}",
    ]
    if at_gettoken is not None:
        told.append(f"from gettoken: {at_gettoken.meaning}; {at_gettoken.what}")
    return [f"{code}  {said(row.meaning, lang)}", *(said(line, lang) for line in told)]
