"""Tells a notice by the first target that may: an ordinary job in the outbox, or a POST to a URL.

A job and the note that it was told are one transaction. A POST is outside of any; the note follows it, so a process
that dies in between lets the same alert be posted once more. No log line holds a URL, a recipient or a text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import tzinfo
from urllib.parse import parse_qsl

from sqlalchemy import Connection

from worker.channels.registry import channel, usable
from worker.config.accounts import AccountSource
from worker.config.log import Logger
from worker.config.notify import NotifyTarget
from worker.domain.account import Account
from worker.domain.call import Reply, Request
from worker.domain.content.recipient import Recipients
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.job import Draft
from worker.outbox.engine.database import Database
from worker.outbox.upkeep.alerts import save_alerts
from worker.producer.enqueue import enqueue
from worker.producer.plan import document_of
from worker.service.notify.notices import AlertNotice, fit_targets
from worker.service.notify.text import json_of, text_of
from worker.transport.http import Transport, call_once

log = Logger()

TAG = "notify"
POST_S = 10.0
"""Seconds that a POST may take in all."""
AGAIN_S = 60.0
"""Seconds until a URL that did not take a notice is tried again."""
NEXT_S = 600.0
"""Seconds after which a notice that was not sent ends, so that the next target is taken."""
LAST_S = 86_400.0
"""The same of a notice for which there is no further target."""


class Teller:
    """One process's way to the targets."""

    def __init__(
        self,
        database: Database,
        accounts: AccountSource,
        transport: Transport,
        targets: Sequence[NotifyTarget],
        monotonic: Callable[[], float],
        zone: tzinfo,
    ):
        self._database, self._accounts, self._transport, self._targets = database, accounts, transport, targets
        self._monotonic, self._zone = monotonic, zone
        self._again_at: dict[int, float] = {}
        """The place of a URL that did not take a notice -> when it is tried again."""
        self._untold: set[tuple[str, bool]] = set()
        """Alerts, and whether it is their end, of which the log says that no target has taken them."""

    def tell(
        self, notice: AlertNotice, unfit: Collection[str], may_act: Callable[[Connection], bool], *, is_urgent: bool
    ) -> bool | None:
        """Tells a notice, and notes that in its rows. False: no target has taken it, so it is to be told later.

        None: no target may be told it now. `may_act`: whether this process is still the one that tells, asked in the
        transaction that notes it.
        """
        name, places = notice.kind.name, fit_targets(notice, [target.account for target in self._targets], unfit)
        logger = log.bind(alert=name, subjects=notice.subjects, over=notice.is_end)

        def noted(connection: Connection) -> bool:
            if may_act(connection):
                _note(connection, notice, None)
            return True

        for n in places:
            if self._targets[n].url is not None:
                told = self._is_posted_in_time(notice, n) and self._database.run(noted)
            else:
                told = self._is_enqueued(notice, n, may_act, is_urgent=is_urgent, is_last=n == places[-1])
            if told:
                logger.warning("alert", target=n + 1)
                self._untold.discard((name, notice.is_end))
                return True
        if (name, notice.is_end) not in self._untold:
            logger.warning("alert_untold", targets=len(places))
            self._untold.add((name, notice.is_end))
        return False if places else None

    def _is_enqueued(
        self, notice: AlertNotice, n: int, may_act: Callable[[Connection], bool], *, is_urgent: bool, is_last: bool
    ) -> bool:
        """Enqueues a job of the account in this place, and notes it in the same transaction; False: it is refused."""
        target = self._targets[n]

        def enqueued(connection: Connection) -> bool:
            if not may_act(connection):
                return False
            account = self._accounts.get(str(target.account))
            job = enqueue(
                connection,
                account.name,
                channel(account.channel).plain_text(text_of(notice, self._zone)),
                _recipients(target, account),
                priority="urgent" if is_urgent else "normal",
                tags=[TAG],
                dedupe_key=f"{TAG} {notice.rows[0].id} {'end' if notice.is_end else 'begin'} {n + 1}",
                expires_at=LAST_S if is_last else NEXT_S,
                on_unknown="resend",  # twice beats never
                accounts=self._accounts,
            )
            _note(connection, notice, job.id)
            return True

        try:
            return self._database.run(enqueued)
        except WorkerError as error:
            # Such an error's text holds no secret and no recipient.
            log.warning("alert_refused", target=n + 1, error=type(error).__name__, text=str(error))
            return False

    def _is_posted_in_time(self, notice: AlertNotice, n: int) -> bool:
        """Posts it, unless the URL took nothing lately: one that hangs would hold up all other notices."""
        now = self._monotonic()
        if now < self._again_at.get(n, now):
            return False
        is_posted = self._is_posted(notice, n)
        if not is_posted:
            self._again_at[n] = self._monotonic() + AGAIN_S
        return is_posted

    def is_posted_anywhere(self, notice: AlertNotice) -> bool:
        """Posts it to the first URL that takes it; False: none does."""
        return any(self._is_posted(notice, n) for n, target in enumerate(self._targets) if target.url is not None)

    def _is_posted(self, notice: AlertNotice, n: int) -> bool:
        """Posts it to the URL in this place; False: it was not taken with a status of 2xx."""
        try:
            address = self._targets[n].address(f"notify.to.{n}")
        except ConfigurationError as error:
            log.warning("alert_refused", target=n + 1, error=type(error).__name__, text=str(error))
            return False
        request = Request(
            "POST",
            f"{address.scheme}://{address.netloc}",
            address.path or "/",
            dict(parse_qsl(address.query, keep_blank_values=True)),
            json_of(notice, self._zone),
            deadline_s=POST_S,
        )
        result = call_once(self._transport, request)
        if isinstance(result, Reply) and 200 <= result.status < 300:
            return True
        why = f"http {result.status}" if isinstance(result, Reply) else result.reason
        log.warning("alert_refused", target=n + 1, error=why)
        return False


def target_problem(target: NotifyTarget, key: str, accounts: AccountSource) -> str | None:
    """What keeps a target from being told anything, in a sentence that begins with `key`; None: nothing is known."""
    try:
        if target.account is None:
            target.address(key)
            return None
        account = usable(accounts, target.account)
        own, recipients = channel(account.channel), _recipients(target, account)
        document = document_of(own.plain_text("a notice"))
        problems = own.check(Draft(own.kind_of(document, recipients), account, document, recipients))
        return f"{key}: {'; '.join(map(str, problems))}" if problems else None
    except WorkerError as error:
        return str(error) if target.account is None else f"{key}.account: {error}"


def _recipients(target: NotifyTarget, account: Account) -> Recipients:
    return channel(account.channel).named(*target.recipients) if target.recipients else Recipients()


def _note(connection: Connection, notice: AlertNotice, job: str | None) -> None:
    for row in notice.rows:
        # An instant that is there stays: it is told once more, because the first target did not take it.
        if notice.is_end:
            row.ended_at = row.ended_at or notice.at
        else:
            row.raised_at = row.raised_at or notice.at
        row.job_id = job
    save_alerts(connection, notice.rows)
