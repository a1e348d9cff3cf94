"""What calibration asks of a tenant, as data: calls, what their answers show, and what only a later run can ask. Pure.

A question is a generator: it yields a `TrialCall` and is sent what the vendor `Said`, or yields a `LookAtInbox` and is
sent how many messages the named person sees (None: not known). Knows no vendor, and carries nothing out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request
from worker.domain.outcome import Outcome
from worker.domain.pacing.limit import Charge

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrialCall:
    """One call to make."""

    path: str
    body: bytes | None = field(default=None, repr=False)
    """None: a GET with `query`."""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    sends: bool = False
    """True when the named person gets a message if the vendor takes it."""
    again_s: float = 0.0
    """Seconds after which it is made again, four times at most, while the vendor puts it off; 0: it is not."""


@dataclass(frozen=True, slots=True)
class LookAtInbox:
    """What the answers do not tell: how many messages with this text the named person sees."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A readable answer."""

    code: int
    data: Mapping[str, Any] = field(repr=False)

    def text(self, name: str) -> str | None:
        """A field that holds a text; None: it is missing, empty, or of another type."""
        found = self.data.get(name)
        return found if isinstance(found, str) and found else None


Steps = Generator[TrialCall | LookAtInbox, Any, T]


@dataclass(frozen=True, slots=True)
class FoundFact:
    """What was found out about one fact."""

    fact: str
    value: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The account's settings that follow from it; empty: what the worker does by default is right."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The account that is asked about, the one person, and what is known already."""

    account: Account = field(repr=False)
    to: str = field(repr=False)
    """The one person who gets messages."""
    run: str
    """Names the run: texts and ids are made of it, so that a later run makes the same bytes again."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Value by fact, of what was found before."""

    def changed(self, key: str, value: Any, default: Any) -> Mapping[str, Any]:
        """The setting of a key, where the account has another value now."""
        return {} if self.account.settings.get(key, default) == value else {key: value}


@dataclass(frozen=True, slots=True)
class Question:
    """Facts that some calls, made one after the other, find out at once."""

    facts: tuple[str, ...]
    calls: int
    """Most calls that it makes."""
    messages: int
    """Most messages that the named person gets of it."""
    ask: Callable[[Subject], Steps[Sequence[FoundFact]]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A time for which the vendor remembers something: one thing is left behind for each age, and asked about then."""

    fact: str
    setting: str
    """The account's setting with the seconds that the worker relies on."""
    default_s: int
    """The seconds that the worker relies on where the setting is not there."""
    ages: tuple[int, ...]
    """Seconds after which the first thing is asked about, the second, and so on; none is asked about twice."""
    calls: int
    """Most calls that asking about one of them makes."""
    leave: Callable[[Subject, int], Steps[Mapping[str, str] | None]] = field(repr=False)
    """Leaves the thing of this number behind, by one call; returns what its question needs. None: it was not taken."""
    ask: Callable[[Subject, int, Mapping[str, str]], Steps[bool | None]] = field(repr=False)
    """Whether the vendor remembers it still; None: the answer does not tell."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Everything that calibration has to know about a channel."""

    questions: Callable[[Account], tuple[Question, ...]]
    windows: tuple[TimeWindow, ...]
    not_asked: Mapping[str, str]
    """Facts that no harmless call finds out, and why."""
    request: Callable[[TrialCall, Subject, Access], Request]
    charges: Callable[[TrialCall, Subject], Sequence[Charge]]
    read: Callable[[Reply, Subject, Access], Said | None]
    """The vendor's answer; None: it is not the vendor's."""
    meaning: Callable[[int], Outcome]
    """What a code asks of the worker, whatever the call."""
    person: str
    """What names the one person, in words: `a userid`."""
    pattern: str
    """A regular expression of what can be that name, and names nothing else."""
