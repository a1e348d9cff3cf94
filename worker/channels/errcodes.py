"""The errcodes of a vendor: their meaning and what the worker does. The rows are in the channel's `errcodes.toml`.

A code is a line of its table: the meaning in English and in Chinese, then the remedy in both, unless the table's `do`
has it. `worker.language` finds the Chinese in the same files. Never match on `errmsg`: its text may change (page
90313).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from importlib.resources import files
from typing import Any

from worker.domain.outcome import Outcome, Parked, Penalty, Rejected, Retry, Scope, StaleToken, Wait, unknown_code
from worker.language import Lang, translate


class Class(StrEnum):
    """What a code requires of the worker."""

    RETRY = "retry"
    """Temporary: repeat the call, which counts as an attempt."""
    TOKEN = "token"
    """The token is invalid: fetch another."""
    DEFER = "defer"
    """Too early: wait. It does not count as an attempt."""
    PERMANENT = "permanent"
    """This request can never succeed as it is."""
    CONFIG = "config"
    """An operator must act, and the scope is parked."""


@dataclass(frozen=True, slots=True)
class Errcode:
    """One code, or a range of codes up to `last`, with one meaning."""

    code: int
    meaning: str
    kind: Class
    remedy: str
    """The remedy for an operator or a caller."""
    scope: Scope = Scope.PART
    delay: float = 0.0
    """Seconds to wait, for DEFER."""
    last: int | None = None
    penalty: Penalty | None = None
    """What the code does to the part's lane, for DEFER."""
    lasting: bool = False
    """True if the code depends only on the message and its recipients, so that an earlier call met it too.

    Never set if time (a file, a chat), a limit or the vendor's judgement (spam) plays a part.
    """

    unseen: bool = False
    """True if the vendor refuses with it before it looks at the message, because of the token, the caller's address,
    the app or a limit of calls. False if that is not certain, as with -1."""
    of_message: bool = False
    """True if the message itself was refused, or stays where it is: another message in its place would help."""

    @property
    def reason(self) -> str:
        """Code and meaning, as a part's reason."""
        return f"{self.code} {self.meaning}"

    @property
    def outcome(self) -> Outcome:
        """What the code requires of the worker, for any call."""
        match self.kind:
            case Class.RETRY if self.penalty is None:
                return Retry(self.reason, busy=self.code == -1)
            case Class.RETRY | Class.DEFER:  # a RETRY with a penalty: its lane was at fault, not this call
                return Wait(self.scope, self.delay, self.reason, self.penalty)
            case Class.TOKEN:
                return StaleToken(self.reason)
            case Class.CONFIG:
                return Parked(self.scope, self.reason, self.remedy)
            case Class.PERMANENT:
                return Rejected(self.reason)


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


@dataclass(frozen=True)
class Catalogue:
    """The codes that a channel can meet."""

    errcodes: Iterable[Errcode] = ()
    """The channel's own rows, looked at when the first code is looked up. A later row of a code wins."""
    shared: Catalogue | None = None
    """Where codes without a row there are looked up."""
    own: range = range(0)
    """Codes that are never looked up there, because they mean something else."""
    at_gettoken: Errcode | None = None
    """A code that means something else in the answer to gettoken."""

    @cached_property
    def rows(self) -> tuple[Errcode, ...]:
        """The channel's own rows."""
        return tuple(self.errcodes)

    @cached_property
    def _by_code(self) -> Mapping[int, Errcode]:
        return {code: row for row in self.rows for code in range(row.code, (row.last or row.code) + 1)}

    def find(self, code: int) -> Errcode | None:
        """Returns the row of a code, or None for an unknown code. A range is returned as a row for this code alone."""
        shared = None if code in self.own else self.shared
        row = self._by_code.get(code) or (shared.find(code) if shared else None)
        return row if row is None or row.code == code else replace(row, code=code, last=None)

    def outcome(self, code: int) -> Outcome:
        """Returns what a code requires of the worker, for any call."""
        row = self.find(code)
        return unknown_code(code) if row is None else row.outcome

    def is_unseen(self, code: int) -> bool:
        """Returns whether the vendor refuses with this code before it looks at the message."""
        row = self.find(code)
        return row is not None and row.unseen

    def explain(self, code: int, lang: Lang = "en") -> list[str] | None:
        """Returns a code's meaning, what the worker does and what a person should do. None for an unknown code."""
        row = self.find(code)
        if row is None:
            return None
        lines = [f"class: {_CLASSES[row.kind]}", f"scope: {_SCOPES[row.scope]}", f"do: {row.remedy}"]
        if self.at_gettoken is not None and code == self.at_gettoken.code:
            lines.append(f"from gettoken: {self.at_gettoken.meaning}; {self.at_gettoken.remedy}")
        return [f"{code}  {translate(row.meaning, lang)}", *(translate(line, lang) for line in lines)]


@dataclass(frozen=True)
class ErrcodeFile:
    """The rows of one of our own channels."""

    folder: str
    """The folder whose `errcodes.toml` has them."""

    def __iter__(self) -> Iterator[Errcode]:
        """Reads the file, which takes up to 20 ms."""
        text = files("worker.channels").joinpath(self.folder, "errcodes.toml").read_text(encoding="utf-8")
        for table in tomllib.loads(text).values():
            yield from _rows(table)


def _rows(table: Mapping[str, Any]) -> Iterator[Errcode]:
    kind, scope, penalty = Class(table["class"]), Scope(table.get("scope", "part")), table.get("penalty")
    for name, texts in table.items():
        if not (name[-1:].isdecimal() and isinstance(texts, list)):
            continue
        # A range of codes is "first-last". A single code may be negative.
        first, _, last = name.partition("-") if name[0] != "-" else (name, "", "")
        yield Errcode(
            int(first),
            texts[0],
            kind,
            [*texts, *table.get("do", ())][2],
            scope,
            table.get("delay", 0.0),
            int(last) if last else None,
            Penalty(penalty) if penalty else None,
            table.get("lasting", False),
            table.get("unseen", False),
            table.get("of_message", False),
        )
