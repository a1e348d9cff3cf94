"""What happens before the limits: resolve, authorise, render.

A part that cannot be prepared waits or ends, and its row says why. It never holds up the other parts of its doorbell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from worker.channels.base import Channel
from worker.config.policy import policy_of
from worker.delivery.sender.in_flight import InFlight
from worker.delivery.sender.lane_blocks import LaneBlocks
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.set_aside import SetAside, our_error
from worker.delivery.sender.writer import WriterClosed
from worker.domain import settle
from worker.domain.account import Account
from worker.domain.call import Request
from worker.domain.content.recipient import GROUPS
from worker.domain.errors import ConfigurationError, FileGone
from worker.domain.job import Kind, Part, RepeatRule, part_id
from worker.domain.pacing.lane import account_of
from worker.domain.resolution import Again, Awaiting, Hold, NothingSent, Ready, Refuse, Resolved
from worker.domain.state import PartState
from worker.domain.token import Token, TokenParked, TokenWait
from worker.outbox.commit.commands import Change
from worker.outbox.engine.database import is_about_the_row
from worker.outbox.jobs.loading import DuePart, moves_until, read_documents
from worker.transport.tokens import secret_of

log = structlog.get_logger()

ACCOUNT_RECHECK_S = 15.0
"""Seconds until a process tries an account again that it cannot use as it is configured."""
AFTER_ANOTHER_S = 0.2
"""Seconds until a part checks again whether the part before it has ended."""
UNPREPARED_S = 60.0
"""Seconds a part waits that an error of ours kept from being prepared; doubled with every further try."""


class Preparing:
    """Turns due parts into flights, in the calling thread."""

    def __init__(self, runtime: Runtime, lane_blocks: LaneBlocks):
        self._runtime, self._lane_blocks = runtime, lane_blocks
        self._set_aside = SetAside(runtime.database, runtime.monotonic)

    def prepare(self, due: DuePart) -> InFlight | None:
        """The part, ready to be admitted; None: it waits, or has ended.

        Raises `WriterClosed`, and errors of the database that are not about one row.
        """
        if due.is_unread:
            # Large documents are read only now, when it is the part's turn: fifty at once could fill the memory.
            with self._runtime.database.reading() as connection:
                read_documents(connection, due)
        if due.fault is not None:
            self.fail(due, f"our own error: its documents cannot be read: {due.fault}")
            return None
        try:
            return self._prepare(due)
        except WriterClosed:
            raise
        except ConfigurationError as error:
            self._do_without(due, str(error))
        except FileGone as error:
            reason = str(error)
            self._change(due, lambda part, now: settle.refuse(part, reason))
        except Exception as error:
            # One part that we cannot prepare must not hold up the forty-nine others of its doorbell.
            if isinstance(error, SQLAlchemyError) and not is_about_the_row(error):
                raise
            self.fail(due, our_error(error))
        return None

    def _prepare(self, due: DuePart) -> InFlight | None:
        account = self._runtime.accounts.get(due.account)
        channel = self._runtime.channel(account.channel)
        ready = self._resolve(due, channel, account)
        if ready is None:
            return None
        part = replace(_part(due, ready), members=self._members(due, channel, account, ready))
        flight = InFlight(due, channel, account, ready, part, self._runtime.lease.incarnation)
        if not self._take_token(flight):
            return None
        self.render(flight)
        flight.charges = channel.limits(part, account)
        return flight

    def _do_without(self, due: DuePart, why: str) -> None:
        """Blocks an account that is not usable as configured here, and writes an event that says so."""
        # In this process alone: while a new configuration is rolled out, other processes know the account already.
        self._runtime.lane_states.do_without(account_of(due.lane), ACCOUNT_RECHECK_S)
        self._set_aside.tell("account", why, account=due.account, remedy="correct the account's settings here")

    def fail(self, due: DuePart, reason: str) -> None:
        """Counts an error of ours as a failed attempt, and writes an event; after the last attempt the part ends."""
        log.warning("not_prepared", part=due.id, reason=reason)
        self._set_aside.tell(f"{due.kind} to be prepared", reason, lane=due.lane, account=due.account)
        policy, delay = policy_of(self._runtime.settings), fault_delay_s(self._runtime, due.tries, UNPREPARED_S)
        self._change(due, lambda part, now: settle.try_again(part, reason, now, delay, policy))

    # -- resolve ------------------------------------------------------------------------------------------------------

    def _resolve(self, due: DuePart, channel: Channel, account: Account) -> Ready | None:
        """Finds what the part needs before it can be rendered; None: it waits, or has ended."""
        # A part in doubt whose next call is a search sends nothing, so a revocation does not stop it.
        if due.job_id in self._runtime.revoked and not (due.doubts and _is_looked_up(due, channel)):
            self._change(due, lambda part, now: settle.cancel(part, "revoked before it was sent"))
            return None
        if not self._is_its_turn(due):
            return None
        resolved = self._look(due, channel, account)
        match resolved:
            case Ready():
                return resolved
            case Refuse(reason=reason):
                self._change(due, lambda part, now: settle.refuse(part, reason))
            case NothingSent():
                self._change(due, lambda part, now: settle.take_unsent(part), receipt_not_sent=True)
            case Hold(reason=reason):
                self._change(due, lambda part, now: settle.hold(part, reason))
            case Again(reason=reason):
                self._try_again(due, reason)
            case Awaiting():
                pass
        return None

    def _is_its_turn(self, due: DuePart) -> bool:
        """False: the part waits for another part of its job, until that one has ended or is held for a person."""
        if "after" not in due.spec:
            return True
        with self._runtime.database.reading() as connection:
            moves_at = moves_until(connection, part_id(due.job_id, due.spec["after"]))
        if moves_at is None:
            return True
        pause_us, reason = int(AFTER_ANOTHER_S * settle.SECOND), "waits for the part before it"
        self._change(due, lambda part, now: settle.wait_until(part, max(moves_at, now) + pause_us, reason))
        return False

    def _look(self, due: DuePart, channel: Channel, account: Account) -> Resolved:
        """Asks the resolver of the part's kind; the first case that fits decides."""
        match due.kind:
            case Kind.RECALL:
                return self._runtime.follow_ups.recall(due, channel)
            case Kind.UPDATE_CARD:
                return self._runtime.follow_ups.update_card(due, channel, account)
            case Kind.UPLOAD:
                return self._runtime.media.upload(due, channel, account)
            case Kind.TRACK:
                return self._runtime.group_sends.track(due)
            case Kind.REMIND:
                return self._runtime.group_sends.remind(due)
            case _ if due.doubts and _is_looked_up(due, channel):
                return self._look_up(due, channel, account)
            # Not for a repeat: it sends the frozen bytes of the call in doubt, which name their media_ids.
            case _ if due.message.get("files") and due.frozen is None:
                return self._runtime.media.attached(due, channel, account)
            case _:
                return Ready(due.spec)

    def _look_up(self, due: DuePart, channel: Channel, account: Account) -> Resolved:
        """What the search for a group send in doubt needs: the spec, and the media_ids of its files."""
        # Two tasks may have the same text; then only their files tell them apart.
        found = self._runtime.group_sends.look_up(due, channel, account)
        if not isinstance(found, Ready) or not due.message.get("files"):
            return found
        media = self._runtime.media.attached(due, channel, account)
        return Ready(found.spec, {**found.facts, **media.facts}) if isinstance(media, Ready) else media

    def _try_again(self, due: DuePart, reason: str) -> None:
        policy, delay = policy_of(self._runtime.settings), backoff_s(self._runtime, due.tries)
        self._change(due, lambda part, now: settle.try_again(part, reason, now, delay, policy))

    def _change(self, due: DuePart, apply: Any, *, receipt_not_sent: bool = False) -> None:
        """Moves the part, unless it was moved since it was loaded."""

        def unmoved(part: settle.PartFacts, now: int) -> None:
            if part.state is PartState.QUEUED and part.claim == due.claim:
                apply(part, now)

        self._runtime.writer.change([Change(due.id, unmoved, receipt_not_sent=receipt_not_sent)])

    def _members(self, due: DuePart, channel: Channel, account: Account, ready: Ready) -> tuple[str, ...] | None:
        """The members of a send's departments and tags, as the application names them; None: not known, or not counted.

        Waits for the application no longer than `delivery.members_deadline_s`.
        """
        if not channel.counts_members or due.kind != Kind.SEND or not ready.spec.keys() & set(GROUPS):
            return None
        return self._runtime.members.of(account.name, ready.spec)

    # -- token, render ------------------------------------------------------------------------------------------------

    def _take_token(self, flight: InFlight) -> bool:
        """Gives the flight its secret or token where its channel needs one; False: there is no token now."""
        if flight.channel.calls_with_secret:
            flight.secret = secret_of(flight.account)
        if not flight.channel.uses_token:
            return True
        got = self._runtime.tokens.get(flight.account, flight.channel)
        match got:
            case Token():
                flight.token = got
                return True
            case TokenWait():
                self._lane_blocks.no_token(flight.due, got)
            case TokenParked():
                self._lane_blocks.refused_token(flight.due, got)
        return False

    def render(self, flight: InFlight) -> None:
        """Renders the call of the part as it is now, and decides what makes a repeat of it safe."""
        channel = flight.channel
        flight.rule, window_s = channel.repeat_rule(flight.part)
        flight.rule_window_s = min(window_s, int(self._runtime.settings.duplicate_window_s))
        if flight.rule is RepeatRule.DUPLICATE_CHECK and not self._runtime.settings.duplicate_check:
            flight.rule = RepeatRule.HOLD
        flagged = flight.rule is RepeatRule.DUPLICATE_CHECK
        if flagged:
            # A repeat uses the duplicate window of its first call: another release may render the body differently.
            flight.window_id = flight.due.frozen_window or channel.body_hash(flight.part, flight.account)
        flight.request = self.request(flight, flagged=flagged)

    def request(self, flight: InFlight, *, flagged: bool) -> Request:
        """The call, through the account's proxy if it has one; a repeat has the bytes of the call in doubt."""
        made = flight.channel.request(flight.part, flight.account, flight.access, flagged=flagged)
        return replace(made, proxy=flight.account.proxy) if flight.account.proxy else made


def backoff_s(runtime: Runtime, tries: int) -> float:
    """Seconds to the next try, with full jitter: between 0 and base x 2^tries, at most `backoff_max_s`."""
    settings = runtime.settings
    return runtime.rng.uniform(0, min(settings.backoff_max_s, settings.backoff_base_s * 2**tries))


def fault_delay_s(runtime: Runtime, tries: int, first_s: float) -> float:
    """Seconds to the next try after an error of ours; doubled with every try, at most `max_age_s / attempts`."""
    settings = runtime.settings
    # Long enough for a corrected release to arrive, and short enough that all tries fit into the age of a part.
    return min(first_s * 2.0**tries, settings.max_age_s / settings.attempts)


def _is_looked_up(due: DuePart, channel: Channel) -> bool:
    """True when the next call of this part, which is in doubt, would be a search."""
    return channel.repeat_rule(_part(due, Ready(due.spec)))[0] is RepeatRule.LOOK_UP


def _part(due: DuePart, ready: Ready) -> Part:
    facts = ready.facts if due.frozen is None else {**ready.facts, "frozen": due.frozen}
    return Part(due.id, due.job_id, due.n, due.kind, due.message, ready.spec, bool(due.doubts), facts)
