"""Everything before the limits: resolve, token, render. A part that cannot be prepared waits, and says why; it never
holds up the others of its doorbell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from worker.channels.base import Channel
from worker.delivery.blocking import Blocking
from worker.delivery.errand import Errand
from worker.delivery.followups import Again, Hold, NothingSent, Parked, Ready, Refuse, Resolved
from worker.delivery.plant import Plant, policy_of
from worker.delivery.set_aside import SetAside, our_error
from worker.delivery.tokens import secret_of
from worker.delivery.writer import WriterClosed
from worker.domain import settle
from worker.domain.account import Account
from worker.domain.call import Request
from worker.domain.errors import ConfigurationError, FileGone
from worker.domain.job import Kind, Part, RepeatRule, part_id
from worker.domain.state import PartState
from worker.domain.token import Token, TokenParked, TokenWait
from worker.outbox.database import is_about_the_row
from worker.outbox.items import Change
from worker.outbox.lanes import account_of
from worker.outbox.loading import Loaded, moves_until, read_documents

log = structlog.get_logger()

ACCOUNT_RECHECK_S = 15.0
"""How often a process looks again at an account that it cannot use as it is configured."""
AFTER_ANOTHER_S = 0.2
"""How soon a part looks again whether the one before it has ended."""
UNPREPARED_S = 60.0
"""How long a part waits that an error of ours kept from being prepared for the first time."""


class Preparing:
    """Turns loaded parts into errands, in the calling thread."""

    def __init__(self, plant: Plant, blocking: Blocking):
        self._plant, self._blocking = plant, blocking
        self._set_aside = SetAside(plant.database, plant.monotonic)

    def prepare(self, work: Loaded) -> Errand | None:
        """None: the part waits, or has ended. Raises what the writer does, and what the database does about no row."""
        if work.is_unread:
            with self._plant.database.reading() as connection:
                read_documents(connection, work)
        if work.fault is not None:
            self.fail(work, f"our own error: its documents cannot be read: {work.fault}")
            return None
        try:
            return self._prepare(work)
        except WriterClosed:
            raise
        except ConfigurationError as error:
            self._do_without(work, str(error))
        except FileGone as error:
            reason = str(error)
            self._change(work, lambda part, now: settle.refuse(part, reason))
        except Exception as error:  # one odd part must not hold up the forty-nine beside it
            if isinstance(error, SQLAlchemyError) and not is_about_the_row(error):
                raise
            self.fail(work, our_error(error))
        return None

    def _prepare(self, work: Loaded) -> Errand | None:
        account = self._plant.accounts.get(work.account)
        channel = self._plant.channel(account.channel)
        ready = self._resolve(work, channel, account)
        if ready is None:
            return None
        part = replace(_part(work, ready), members=self._members(work, channel, account, ready))
        errand = Errand(work, channel, account, ready, part, self._plant.life.incarnation)
        if not self._take_token(errand):
            return None
        self.render(errand)
        errand.charges = channel.limits(part, account)
        return errand

    def _do_without(self, work: Loaded, why: str) -> None:
        """Blocks the account in this process alone: in a deployment others know it already."""
        self._plant.gates.do_without(account_of(work.lane), ACCOUNT_RECHECK_S)
        self._set_aside.tell("account", why, account=work.account, remedy="correct the account's settings here")

    def fail(self, work: Loaded, reason: str) -> None:
        """A fault of ours counts like a call that failed; it is told, and the part ends when no try was without it."""
        log.warning("not_prepared", part=work.id, reason=reason)
        self._set_aside.tell(f"{work.kind} to be prepared", reason, lane=work.lane, account=work.account)
        policy, delay = policy_of(self._plant.settings), fault_delay_s(self._plant, work.tries, UNPREPARED_S)
        self._change(work, lambda part, now: settle.try_again(part, reason, now, delay, policy))

    # -- resolve ------------------------------------------------------------------------------------------------------

    def _resolve(self, work: Loaded, channel: Channel, account: Account) -> Ready | None:
        if work.job_id in self._plant.revoked and not (work.doubts and _is_looked_up(work, channel)):
            self._change(work, lambda part, now: settle.cancel(part, "revoked before it was sent"))
            return None
        if not self._is_its_turn(work):
            return None
        resolved = self._look(work, channel, account)
        match resolved:
            case Ready():
                return resolved
            case Refuse(reason=reason):
                self._change(work, lambda part, now: settle.refuse(part, reason))
            case NothingSent():
                self._change(work, lambda part, now: settle.take_unsent(part), receipt_not_sent=True)
            case Hold(reason=reason):
                self._change(work, lambda part, now: settle.hold(part, reason))
            case Again(reason=reason):
                self._try_again(work, reason)
            case Parked():
                pass
        return None

    def _is_its_turn(self, work: Loaded) -> bool:
        """A part that says which one goes before it waits until that one has ended, or is held for a person."""
        if "after" not in work.spec:
            return True
        with self._plant.database.reading() as connection:
            moves_at = moves_until(connection, part_id(work.job_id, work.spec["after"]))
        if moves_at is None:
            return True
        pause_us, reason = int(AFTER_ANOTHER_S * settle.SECOND), "waits for the part before it"
        self._change(work, lambda part, now: settle.wait_until(part, max(moves_at, now) + pause_us, reason))
        return False

    def _look(self, work: Loaded, channel: Channel, account: Account) -> Resolved:
        match work.kind:
            case Kind.RECALL:
                return self._plant.followups.recall(work, channel)
            case Kind.UPDATE_CARD:
                return self._plant.followups.update_card(work, channel, account)
            case Kind.UPLOAD:
                return self._plant.media.upload(work, channel, account)
            case Kind.TRACK:
                return self._plant.tracking.track(work)
            case Kind.REMIND:
                return self._plant.tracking.remind(work)
            case _ if work.doubts and _is_looked_up(work, channel):
                return self._look_up(work, channel, account)
            case _ if work.message.get("files") and work.frozen is None:
                return self._plant.media.attached(work, channel, account)
            case _:
                return Ready(work.spec)

    def _look_up(self, work: Loaded, channel: Channel, account: Account) -> Resolved:
        """Its files tell a task from others that say the same."""
        found = self._plant.tracking.look_up(work, channel, account)
        if not isinstance(found, Ready) or not work.message.get("files"):
            return found
        media = self._plant.media.attached(work, channel, account)
        return Ready(found.spec, {**found.facts, **media.facts}) if isinstance(media, Ready) else media

    def _try_again(self, work: Loaded, reason: str) -> None:
        policy, delay = policy_of(self._plant.settings), backoff_s(self._plant, work.tries)
        self._change(work, lambda part, now: settle.try_again(part, reason, now, delay, policy))

    def _change(self, work: Loaded, apply: Any, *, receipt_not_sent: bool = False) -> None:
        """Moves the part if nobody moved it since it was loaded."""

        def unmoved(part: settle.PartFacts, now: int) -> None:
            if part.state is PartState.QUEUED and part.claim == work.claim:
                apply(part, now)

        self._plant.writer.change([Change(work.id, unmoved, receipt_not_sent=receipt_not_sent)])

    def _members(self, work: Loaded, channel: Channel, account: Account, ready: Ready) -> tuple[str, ...] | None:
        """Who stands behind the departments and tags of a send; asks the application, and waits for it a little."""
        if not channel.counts_members or work.kind != Kind.SEND:
            return None
        return self._plant.members.of(account.name, ready.spec)

    # -- token, render ------------------------------------------------------------------------------------------------

    def _take_token(self, errand: Errand) -> bool:
        if errand.channel.calls_with_secret:
            errand.secret = secret_of(errand.account)
        if not errand.channel.uses_token:
            return True
        got = self._plant.tokens.get(errand.account, errand.channel)
        match got:
            case Token():
                errand.token = got
                return True
            case TokenWait():
                self._blocking.no_token(errand.work, got)
            case TokenParked():
                self._blocking.refused_token(errand.work, got)
        return False

    def render(self, errand: Errand) -> None:
        """The call of the errand's part as it is now."""
        channel = errand.channel
        errand.rule, window_s = channel.repeat_rule(errand.part)
        errand.rule_window_s = min(window_s, int(self._plant.settings.duplicate_window_s))
        if errand.rule is RepeatRule.DUPLICATE_CHECK and not self._plant.settings.duplicate_check:
            errand.rule = RepeatRule.HOLD
        flagged = errand.rule is RepeatRule.DUPLICATE_CHECK
        if flagged:
            # A repeat looks into the window of its first call, whatever this release would render.
            errand.window_id = errand.work.frozen_window or channel.body_hash(errand.part, errand.account)
        errand.request = self.request(errand, flagged=flagged)

    def request(self, errand: Errand, *, flagged: bool) -> Request:
        """The call, through the account's own proxy. A repeat sends the bytes of the call in doubt, whatever this
        release would render.
        """
        made = errand.channel.request(errand.part, errand.account, errand.access, flagged=flagged)
        return replace(made, proxy=errand.account.proxy) if errand.account.proxy else made


def backoff_s(plant: Plant, tries: int) -> float:
    """Full jitter: anything up to base x 2^n, at most five minutes."""
    settings = plant.settings
    return plant.rng.uniform(0, min(settings.backoff_max_s, settings.backoff_base_s * 2**tries))


def fault_delay_s(plant: Plant, tries: int, first_s: float) -> float:
    """Doubling, for a corrected release may be on its way; all tries together fit into the age a part may have."""
    settings = plant.settings
    return min(first_s * 2.0**tries, settings.max_age_s / settings.attempts)


def _is_looked_up(work: Loaded, channel: Channel) -> bool:
    """A part in doubt whose next call is a search."""
    return channel.repeat_rule(_part(work, Ready(work.spec)))[0] is RepeatRule.LOOK_UP


def _part(work: Loaded, ready: Ready) -> Part:
    facts = ready.facts if work.frozen is None else {**ready.facts, "frozen": work.frozen}
    return Part(work.id, work.job_id, work.n, work.kind, work.message, ready.spec, bool(work.doubts), facts)
