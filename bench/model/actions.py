"""The actions of the model, named after the functions that they stand for. Each is one transaction or one call.

The states of parts are decided by the program's own `worker/domain/settle.py`. Time is left out: the lease of an
incarnation that no process renews may be over at any moment, and so may the deadline of a call. A process that sleeps
past its lease is one whose heartbeat has begun a new incarnation before its senders go on; how long it sleeps is how
late they take their next step. What nobody else can see is no action of its own: an answer is read and recorded in one,
the vendor decides when the call leaves, and the check of the lease and the first byte are one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from bench.model.guards import Guard
from bench.model.state import (
    NO_CODE,
    NO_PART,
    Answer,
    Call,
    Flight,
    Part,
    State,
    Step,
    put,
    settled,
)
from worker.domain import settle
from worker.domain.job import RepeatRule
from worker.domain.outcome import Accepted, CallReceipt, Outcome, Rejected, Retry, Scope, Unknown, Wait
from worker.domain.settle import Policy
from worker.domain.state import FINAL_STATES, PartState

POLICY = Policy(attempts=2, repeats=1)
OUTCOMES: dict[Answer, Outcome] = {
    Answer.TAKEN: Accepted(CallReceipt()),
    Answer.LATER: Retry("again later"),
    Answer.REFUSED: Rejected("refused"),
    Answer.NONE: Unknown("no answer"),
    Answer.UNSENT: Wait(Scope.PART, 0.0, "not sent"),
}


class Broken(Exception):
    """An action has broken a promise."""


class Action(NamedTuple):
    """One thing that may happen next."""

    text: str
    act: Callable[[], State]
    """Raises `Broken`, or `IllegalMove` for a change that the table of moves does not have."""
    is_fault: bool = False


class Model:
    """What can happen to parts with these rules, and to a card with so many response_codes, by so many faults."""

    def __init__(
        self,
        rules: Sequence[RepeatRule],
        *,
        faults: int,
        codes: int = 0,
        hosts: int = 2,
        threads: int = 1,
        without: Collection[Guard] = (),
    ):
        self.rules, self.without = tuple(rules), frozenset(without)
        self._host_of = tuple(host for host in range(hosts) for _ in range(threads))
        names = [chr(ord("A") + host) for host in range(hosts)]
        self.first = State(
            parts=tuple(Part() for _ in rules),
            calls=tuple(() for _ in rules),
            codes=tuple(("fresh", NO_PART) for _ in range(codes)),
            hosts=tuple(f"{name}1" for name in names),
            flights=tuple(None for _ in self._host_of),
            ended=frozenset(),
            orphan=None,
            faults=faults,
        )

    def actions(self, state: State) -> Iterator[Action]:
        """Yields all that may happen next."""
        for sender, flight in enumerate(state.flights):
            if flight is None:
                yield from self._loads(state, sender)
            else:
                yield from self._sender(state, sender, flight)
        yield from self._faults(state)
        yield from self._recovery(state)
        yield from self._person(state)

    def has(self, guard: Guard) -> bool:
        """Returns whether a guard is in its place."""
        return guard not in self.without

    # -- a sender -----------------------------------------------------------------------------------------------------

    def _loads(self, state: State, sender: int) -> Iterator[Action]:
        """Loads a due part and resolves the response_code that it needs."""
        by = state.hosts[self._host_of[sender]]
        for at, part in enumerate(state.parts):
            # Of processes and parts that are alike it does not matter which begins.
            if part.state is not PartState.QUEUED or (
                state == self.first and (sender or self.rules[at] in self.rules[:at])
            ):
                continue
            code, name = NO_CODE, f"{by[0]} loads part {at + 1}"
            if self.rules[at] is RepeatRule.FRESH_CODE:
                states = [row for row, _ in state.codes]
                if "fresh" not in states:
                    if "leased" not in states:
                        refused = settled(part, lambda row: settle.refuse(row, "no response_code is left"))
                        yield Action(
                            f"{by[0]} refuses part {at + 1}: no code is left", partial(state.with_part, at, refused)
                        )
                    continue
                code = states.index("fresh")
                name += f" with code {code + 1}"
            yield Action(name, partial(state.with_flight, sender, Flight(at, part.claim, by, code)))

    def _sender(self, state: State, sender: int, flight: Flight) -> Iterator[Action]:
        """Yields the next step of an attempt."""
        may_act, host, of = flight.by in state.hosts, flight.by[0], f"part {flight.part + 1}"
        match flight.step:
            case Step.LOADED if not self.has(Guard.MARK_FIRST):
                yield from self._begins(f"{host} begins the call of {of} before its mark", state, sender)
            case Step.LOADED:
                yield from _commits(f"{host} marks {of}", state, partial(self._mark, state, sender))
            case Step.MARK_UNANSWERED:
                yield Action(f"{host} commits the mark of {of} again", partial(self._mark, state, sender))
            case Step.MARKED if not may_act and self.has(Guard.LEASE_CHECKED):
                yield from self._ends(f"{host} may not call for {of}: its lease was lost", state, sender, Answer.UNSENT)
            case Step.MARKED:
                yield from self._begins(f"{host} begins the call of {of}", state, sender)
            case Step.CALLED:
                yield from self._reads(state, sender, flight)
            case Step.END_UNANSWERED:
                act = partial(self._record, state, sender, flight.answer)
                yield Action(f"{host} commits the end of {of} again", act)

    def _ends(self, name: str, state: State, sender: int, answer: Answer) -> Iterator[Action]:
        """Ends a call. What only the sender knows until it commits is no action of its own."""
        yield from _commits(f"{name}, and records: {answer}", state, partial(self._record, state, sender, answer))

    def _mark(self, state: State, sender: int, *, is_answered: bool = True) -> State:
        """Marks a part, and leases the response_code of its call in the same transaction."""
        flight = _flight(state, sender)
        part, may_lease = state.parts[flight.part], True
        was_tried = flight.step is Step.MARK_UNANSWERED or not self.has(Guard.MARK_IS_OWN)
        is_written = part.state is PartState.SENDING and part.claim == flight.claim + 1 and part.by == flight.by
        if was_tried and is_written and self.has(Guard.MARK_CONFIRMED):
            marked = flight._replace(step=Step.MARKED, claim=part.claim, call=part.claim - 1)
            return state.with_flight(sender, marked)
        may_begin = part.state is PartState.QUEUED and part.claim == flight.claim
        if not self.has(Guard.MARK_COMPARES) and part.state is PartState.SENDING:
            part, may_begin = part._replace(state=PartState.QUEUED), True
        if flight.code != NO_CODE and self.has(Guard.CODE_LEASED):
            may_lease = state.codes[flight.code] in (("fresh", NO_PART), ("leased", flight.part))
        if not may_begin or not may_lease:
            return state.with_flight(sender, None)
        self._check_repeat(state.calls[flight.part], flight.part)
        part = settled(part, lambda row: settle.begin_sending(row, flight.by, 0, 0))
        # The lease was checked before the commit, and may be over when the mark is durable.
        calls = (*state.calls[flight.part], Call(flight.code, is_disturbed=flight.by not in state.hosts))
        flight = flight._replace(step=Step.MARK_UNANSWERED, call=len(calls) - 1)
        if is_answered:
            flight = flight._replace(step=Step.MARKED, claim=part.claim)
        state = state.with_part(flight.part, part).with_flight(sender, flight)
        state = state._replace(calls=put(state.calls, flight.part, calls))
        return state if flight.code == NO_CODE else state.with_code(flight.code, "leased", flight.part)

    def _begins(self, name: str, state: State, sender: int) -> Iterator[Action]:
        """Begins a call. What the vendor makes of it is settled here, and known to nobody before it is read."""
        for answer in (Answer.TAKEN, Answer.LATER, Answer.REFUSED):
            yield Action(f"{name}, to which the vendor says: {answer}", partial(self._begin, state, sender, answer))

    def _begin(self, state: State, sender: int, answer: Answer) -> State:
        """Sends the first byte."""
        flight = _flight(state, sender)
        if flight.call < 0:  # without its guard: the call comes before the mark
            calls = (*state.calls[flight.part], Call(flight.code))
            flight = flight._replace(call=len(calls) - 1)
            state = state._replace(calls=put(state.calls, flight.part, calls))
        self._check_leaving(state, flight)
        call = state.calls[flight.part][flight.call]._replace(has_left=True, vendor=answer)
        return state.with_call(flight.part, flight.call, call).with_flight(sender, flight._replace(step=Step.CALLED))

    def _check_leaving(self, state: State, flight: Flight) -> None:
        """Checks the promises about what was sent before, when the first byte of a call leaves."""
        part, calls = state.parts[flight.part], state.calls[flight.part]
        is_awaited = part.state in (PartState.SENDING, PartState.UNKNOWN)
        # A late answer to the call that this one repeats may end the part at any moment.
        is_answered = part.state is PartState.ACCEPTED and any(call.row == "readable" for call in calls)
        if flight.step is Step.MARKED and (part.claim != flight.claim or not (is_awaited or is_answered)):
            raise Broken("a byte leaves for a part that was queued again or ended meanwhile")
        if flight.step is Step.LOADED:
            self._check_repeat(calls[: flight.call], flight.part)
        for at, others in enumerate(state.calls):
            for number, call in enumerate(others):
                is_other = (at, number) != (flight.part, flight.call)
                if flight.code != NO_CODE and is_other and call.code == flight.code and call.vendor is Answer.TAKEN:
                    raise Broken("a response_code is used twice")

    def _check_repeat(self, calls: Sequence[Call], at: int) -> None:
        """Checks that the calls of a part that the vendor may take are in doubt, and may be repeated."""
        earlier = [call for call in calls if call.vendor is Answer.TAKEN]
        if any(call.row != "doubtful" for call in earlier):
            raise Broken("a part is sent twice, and the first call is in no doubt")
        if earlier and self.rules[at] is RepeatRule.HOLD:
            raise Broken("a part is sent twice, and nothing makes that safe")

    def _reads(self, state: State, sender: int, flight: Flight) -> Iterator[Action]:
        """Reads the answer of a call in flight, or learns that none comes."""
        call, by, of = state.calls[flight.part][flight.call], flight.by[0], f"part {flight.part + 1}"
        yield from self._ends(f"the answer for {of} reaches {by}", state, sender, call.vendor)
        if flight.by not in state.hosts:
            yield from self._ends(f"{by} closes the call of {of} at its deadline", state, sender, Answer.NONE)
        if state.faults:
            lost = state.with_call(flight.part, flight.call, call._replace(is_disturbed=True))
            act = partial(self._record, lost, sender, Answer.NONE)
            yield Action(f"the answer for {of} is lost, and {by} records: no answer", act, is_fault=True)

    def _record(self, state: State, sender: int, answer: Answer, *, is_answered: bool = True) -> State:
        """Records the end of a call (`_end_call` of `group_commit.py`)."""
        flight = _flight(state, sender)
        after = None if is_answered else flight._replace(step=Step.END_UNANSWERED, answer=answer)
        part, call = state.parts[flight.part], state.calls[flight.part][flight.call]
        outcome, is_unsent = self._outcome(answer), answer is Answer.UNSENT
        was_doubts = part.doubts
        is_own_claim = (part.claim, part.by) == (flight.claim, flight.by) or not self.has(Guard.END_COMPARES)
        is_doubted = bool(call.row) and (call.row == "doubtful" or not self.has(Guard.END_ONCE))
        is_sending = is_own_claim and part.state is PartState.SENDING
        if is_sending:
            part = settled(part, lambda row: settle.end_attempt(row, outcome, 0, 0.0, POLICY))
        elif is_doubted and not isinstance(outcome, Unknown):
            has_newer_call = part.state is PartState.SENDING
            part = settled(part, lambda row: settle.late_answer(row, outcome, 0))
            if has_newer_call and part.state is not PartState.SENDING and self.has(Guard.LATE_END_BURNS):
                state = _burned(state, flight.part)
        elif call.row or not is_own_claim:
            return state.with_flight(sender, after)
        if is_unsent:
            part = settled(part, lambda row: settle.forget_call(row, was_repeat=is_sending and was_doubts > 0))
        if isinstance(outcome, Unknown) and not call.has_left:
            raise Broken("a call is in doubt of which certainly nothing was sent")
        if call.row == "readable":
            raise Broken("a call that was answered is written over")
        call = (
            call._replace(row="doubtful")
            if isinstance(outcome, Unknown)
            else call._replace(row="readable", is_disturbed=False)
        )
        state = state.with_part(flight.part, part).with_call(flight.part, flight.call, call)
        return self._end_lease(state, flight, outcome).with_flight(sender, after)

    def _outcome(self, answer: Answer) -> Outcome:
        match answer:
            case Answer.NONE if not self.has(Guard.SILENCE_IS_DOUBT):
                return Retry("no answer")
            case Answer.UNSENT if not self.has(Guard.UNSENT_IS_SURE):
                return Unknown("not sent")
            case Answer.REFUSED if not self.has(Guard.DOUBT_STAYS):
                return Rejected("refused", ends_doubt=True)
        return OUTCOMES[answer]

    def _end_lease(self, state: State, flight: Flight, outcome: Outcome) -> State:
        """Ends the lease of a call's response_code."""
        if flight.code == NO_CODE:
            return state
        is_taken = isinstance(outcome, Accepted)
        holders = (flight.part, NO_PART) if is_taken else (flight.part,)
        if state.codes[flight.code][1] not in holders and self.has(Guard.CODE_IS_OWN):
            return state
        if isinstance(outcome, Unknown) or is_taken:
            return state.with_code(flight.code, "spent" if is_taken else "burned", flight.part)
        return state.with_code(flight.code, "fresh", NO_PART)

    # -- processes and time -------------------------------------------------------------------------------------------

    def _faults(self, state: State) -> Iterator[Action]:
        """A process dies and is started again, or sleeps past its lease."""
        for at, host in enumerate(state.hosts):
            # A process that has come back once has the calls of its former incarnation still in memory.
            own = [sender for sender, flight in enumerate(state.flights) if flight and self._host_of[sender] == at]
            flights = [_flight(state, sender) for sender in own]
            if not state.faults or not flights:
                continue
            by = f"{host[0]}{int(host[1:]) + 1}"
            after = state._replace(hosts=put(state.hosts, at, by))
            for flight in flights:
                if flight.call >= 0:
                    call = after.calls[flight.part][flight.call]._replace(is_disturbed=True)
                    after = after.with_call(flight.part, flight.call, call)
            if any(flight.by == host for flight in flights):
                yield Action(f"{host[0]} sleeps past its lease", partial(State._replace, after), is_fault=True)
            if any(flight.call >= 0 for flight in flights):  # its death before its first mark changes nothing
                for sender in own:
                    after = after.with_flight(sender, None)
                yield Action(f"{host[0]} dies and is started again", partial(State._replace, after), is_fault=True)

    # -- recovery and people ------------------------------------------------------------------------------------------

    def _recovery(self, state: State) -> Iterator[Action]:
        """Ends dead processes, doubts their parts, and acts on parts in doubt."""
        leases = {part.by for part in state.parts if part.state is PartState.SENDING} - state.ended
        for by in sorted(leases - {*state.hosts} if self.has(Guard.LEASE_OVER) else leases):
            name = f"end_lapsed_processes ends an incarnation of {by[0]}"
            yield Action(name, partial(State._replace, state, ended=state.ended | {by}))
        for at, part in enumerate(state.parts):
            is_orphan = part.state is PartState.SENDING and part.by in state.ended and self.has(Guard.ORPHANS_FOUND)
            if is_orphan and state.orphan is None:
                found = state._replace(orphan=(at, part.claim, part.by))
                # Nobody can come between the reading and the writing if no process has the part in hand.
                if any(flight and flight.part == at for flight in state.flights):
                    yield Action(f"recovery reads that part {at + 1} is an orphan", partial(State._replace, found))
                else:
                    yield Action(f"recovery doubts part {at + 1}, an orphan", partial(self._doubt, found))
            if part.state is PartState.UNKNOWN and part.is_due:
                yield self._act_on(state, at)
        if state.orphan is not None:
            yield Action(f"recovery doubts part {state.orphan[0] + 1}", partial(self._doubt, state))

    def _doubt(self, state: State) -> State:
        """Puts an orphan in doubt, unless its row has changed since it was read."""
        assert state.orphan is not None
        at, claim, by = state.orphan
        state, part = state._replace(orphan=None), state.parts[at]
        is_as_read = part.state is PartState.SENDING and (part.claim, part.by) == (claim, by)
        if not is_as_read and self.has(Guard.ORPHAN_COMPARES):
            return state
        state = state.with_part(at, settled(part, lambda row: settle.doubt(row, "dead", POLICY)))
        call = state.calls[at][part.claim - 1]
        if call.row == "readable":
            raise Broken("a call that was answered is written over")
        state = state.with_call(at, part.claim - 1, call._replace(row="doubtful"))
        return _burned(state, at, ("burned", at) if self.has(Guard.CODE_BURNED) else ("fresh", NO_PART))

    def _act_on(self, state: State, at: int) -> Action:
        """Repeats a part in doubt, or holds it."""
        part = state.parts[at]
        is_held = self.rules[at] is RepeatRule.HOLD and self.has(Guard.HOLDS)
        if is_held or part.repeats >= POLICY.repeats:
            held = settled(part, lambda row: settle.hold(row, "no safe repeat"))
            return Action(f"recovery holds part {at + 1}", partial(state.with_part, at, held))
        queued = settled(part, lambda row: settle.repeat(row, 0))
        return Action(f"recovery queues part {at + 1} for a repeat", partial(state.with_part, at, queued))

    def _person(self, state: State) -> Iterator[Action]:
        """A person resolves a part in doubt, by what the vendor has."""
        for at, part in enumerate(state.parts):
            if part.state is PartState.UNKNOWN:
                is_sent = any(call.vendor is Answer.TAKEN for call in state.calls[at])
                name = f"a person resolves part {at + 1}: {'sent' if is_sent else 'not sent'}"
                yield Action(name, partial(_resolve, state, at, is_sent=is_sent))

    # -- promises -----------------------------------------------------------------------------------------------------

    def problem(self, state: State) -> str:
        """Returns the promise that this state breaks, or an empty string."""
        for part, calls in zip(state.parts, state.calls, strict=True):
            is_taken = any(call.vendor is Answer.TAKEN for call in calls)
            if part.state in FINAL_STATES and is_taken is not (part.state is PartState.ACCEPTED):
                return (
                    "a part is accepted that the vendor has not" if not is_taken else "a message that was taken is lost"
                )
            if part.state not in FINAL_STATES and part.doubts != sum(call.row == "doubtful" for call in calls):
                return "a part counts other doubts than its attempts have"
            if part.state is PartState.UNKNOWN and not part.doubts:
                return "a part is unknown without an attempt in doubt"
            if any(call.row == "doubtful" and not call.is_disturbed for call in calls):
                return "a call is in doubt whose process was well and whose answer was not lost"
        for number, (code, holder) in enumerate(state.codes):
            used = any(call.code == number and call.vendor is Answer.TAKEN for calls in state.calls for call in calls)
            if code == "fresh" and used:
                return "a response_code that was used is fresh again"
            if code == "leased" and state.parts[holder].state is not PartState.SENDING:
                return "a response_code stays leased by a part that is not being sent"
        return ""


def is_end(state: State) -> bool:
    """Returns whether every part has ended."""
    return all(part.state in FINAL_STATES for part in state.parts)


def _flight(state: State, sender: int) -> Flight:
    flight = state.flights[sender]
    assert flight is not None
    return flight


def _commits(name: str, state: State, commit: Callable[..., State]) -> Iterator[Action]:
    """Yields a commit, and the same one of which the process does not hear."""
    yield Action(name, commit)
    if state.faults:
        yield Action(f"{name}, and the commit's answer is lost", partial(commit, is_answered=False), is_fault=True)


def _burned(state: State, at: int, to: tuple[str, int] | None = None) -> State:
    """Burns the response_codes that a part has leased (`burn_leases` of `codes.py`)."""
    return state._replace(codes=tuple(to or ("burned", at) if code == ("leased", at) else code for code in state.codes))


def _resolve(state: State, at: int, *, is_sent: bool) -> State:
    """Ends a part by a person's decision, and settles the response_codes that it has burned."""
    part = settled(state.parts[at], lambda row: settle.apply_decision(row, "seen", sent=is_sent))
    code = ("spent", at) if is_sent else ("fresh", NO_PART)
    codes = tuple(code if old == ("burned", at) else old for old in state.codes)
    return state.with_part(at, part)._replace(codes=codes)
