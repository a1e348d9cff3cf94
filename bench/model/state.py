"""One state of the model: the rows of the outbox, what each process has in memory, and what the vendor knows.

All values are tuples, so that a state can be compared and kept in a set.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, TypeVar

from worker.domain.settle import PartFacts
from worker.domain.state import FINAL_STATES, PartState

T = TypeVar("T")
NO_CODE = NO_PART = -1


class Step(StrEnum):
    """How far a sender is with its part."""

    LOADED = "loaded"
    MARK_UNANSWERED = "mark unanswered"
    """The mark is committed, and the database's answer was lost."""
    MARKED = "marked"
    CALLED = "called"
    END_UNANSWERED = "end unanswered"
    """The end is committed, and the database's answer was lost."""


class Answer(StrEnum):
    """How a call ended, for the vendor or for the sender."""

    NOT_YET = ""
    TAKEN = "taken"
    LATER = "again later"
    REFUSED = "refused"
    NONE = "no answer"
    UNSENT = "not sent"


class Part(NamedTuple):
    """The columns of a part that the decisions in `worker/domain/settle.py` read or change."""

    state: PartState = PartState.QUEUED
    claim: int = 0
    by: str = ""
    """The incarnation of the last mark."""
    doubts: int = 0
    repeats: int = 0
    tries: int = 0
    unheard: int = 0
    is_due: bool = True
    """Whether it has a `not_before`. Without it a part in doubt is held."""


class Call(NamedTuple):
    """One call of a part: the row of its attempt, and what really happened."""

    code: int = NO_CODE
    """The response_code that it uses."""
    row: str = ""
    """The attempt's row: `doubtful`, `readable`, or empty if it has none yet."""
    has_left: bool = False
    """Whether its first byte was sent."""
    vendor: Answer = Answer.NOT_YET
    """What the vendor makes of it, once it has left."""
    is_disturbed: bool = False
    """Whether a fault has hit it: its process died or slept, or its answer was lost."""


class Flight(NamedTuple):
    """What a sender has in memory about the part that it works on."""

    part: int
    claim: int
    """The claim that it read; after the mark, the number of its own call."""
    by: str
    """The incarnation under which it works."""
    code: int
    step: Step = Step.LOADED
    call: int = -1
    """The place of its call among those of the part."""
    answer: Answer = Answer.NOT_YET
    """What it has committed as the end of the call, without hearing of it."""


class State(NamedTuple):
    """Everything."""

    parts: tuple[Part, ...]
    calls: tuple[tuple[Call, ...], ...]
    """By part."""
    codes: tuple[tuple[str, int], ...]
    """The rows of the response_codes: state and part."""
    hosts: tuple[str, ...]
    """The present incarnation of each host's process, such as A2. A process that died has been started again."""
    flights: tuple[Flight | None, ...]
    """By sender."""
    ended: frozenset[str]
    """The incarnations that count as dead (`worker_processes.ended_at`)."""
    orphan: tuple[int, int, str] | None
    """Part, claim and incarnation that recovery has read and not yet written about."""
    faults: int
    """How many more faults may happen."""

    def with_part(self, at: int, part: Part) -> State:
        """Returns the state with another row of this part."""
        return self._replace(parts=put(self.parts, at, part))

    def with_call(self, part: int, at: int, call: Call) -> State:
        """Returns the state with another call of this part."""
        return self._replace(calls=put(self.calls, part, put(self.calls[part], at, call)))

    def with_flight(self, sender: int, flight: Flight | None) -> State:
        """Returns the state with something else in a sender's memory."""
        return self._replace(flights=put(self.flights, sender, flight))

    def with_code(self, at: int, code: str, part: int) -> State:
        """Returns the state with another row of this response_code."""
        return self._replace(codes=put(self.codes, at, (code, part)))

    def reduced(self) -> State:
        """Returns the state without what makes no difference any more, so that fewer states are different."""
        in_hand = {(flight.part, flight.claim) for flight in self.flights if flight}
        busy = {part for part, _ in in_hand} | ({self.orphan[0]} if self.orphan else set())
        parts, calls = list(self.parts), list(self.calls)
        for at, part in enumerate(parts):
            if part.state in FINAL_STATES and at not in busy:
                parts[at] = Part(part.state, is_due=False)
                calls[at] = tuple(call for call in calls[at] if call.vendor is Answer.TAKEN)
            elif part.by and part.state is not PartState.SENDING and (at, part.claim) not in in_hand:
                parts[at] = part._replace(by="")
        return self._replace(parts=tuple(parts), calls=tuple(calls))._renamed()

    def _renamed(self) -> State:
        """Gives the incarnations that a row or a process still names the first numbers of their host."""
        named = {part.by for part in self.parts} | {flight.by for flight in self.flights if flight} | {*self.hosts}
        named |= {self.orphan[2]} if self.orphan else set()
        names = {"": ""}
        for host in self.hosts:
            numbered = sorted(name for name in named if name[:1] == host[0])
            names |= {old: f"{host[0]}{number}" for number, old in enumerate(numbered, 1)}
        ended = frozenset(names[name] for name in self.ended if name in named)
        if ended == self.ended and all(old == new for old, new in names.items()):
            return self
        return self._replace(
            parts=tuple(part._replace(by=names[part.by]) for part in self.parts),
            hosts=tuple(names[host] for host in self.hosts),
            flights=tuple(flight and flight._replace(by=names[flight.by]) for flight in self.flights),
            ended=ended,
            orphan=self.orphan and (*self.orphan[:2], names[self.orphan[2]]),
        )


def put(items: tuple[T, ...], at: int, item: T) -> tuple[T, ...]:
    """Returns the tuple with another item at this place."""
    return (*items[:at], item, *items[at + 1 :])


def settled(part: Part, decide: Callable[[PartFacts], None]) -> Part:
    """Returns the part after a decision of `worker/domain/settle.py`, which is the program's own and no model of it."""
    row = PartFacts(
        id="",
        job_id="",
        lane="",
        state=part.state,
        not_before=0 if part.is_due else None,
        expires_at=None,
        offered_until=None,
        claim=part.claim,
        incarnation=part.by,
        marked_at=0,
        first_marked_at=0,
        deadline_at=0,
        tries=part.tries,
        busy=0,
        repeats=part.repeats,
        doubts=part.doubts,
        unheard=part.unheard,
        flagged=None,
        waits_on=None,
        reason=None,
    )
    decide(row)
    is_due, by = row.not_before is not None, row.incarnation or ""
    return Part(row.state, row.claim, by, row.doubts, row.repeats, row.tries, row.unheard, is_due)
