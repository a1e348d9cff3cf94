"""Sends a notice through the first target that may carry it: as a job in the outbox, or as a POST to a URL.

A job is enqueued in the transaction that records the notice as sent. A POST is recorded after it, so a process that
dies in between makes the same alert be posted once more. No log line holds a URL, a recipient or a text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import tzinfo

from sqlalchemy import Connection

from worker.channels.registry import channel, usable
from worker.config.accounts import AccountSource
from worker.config.log import Logger
from worker.config.notify import NotifyTarget
from worker.domain.account import Account
from worker.domain.content.recipient import Recipients
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.job import Draft
from worker.outbox.engine.database import Database
from worker.outbox.upkeep.alerts import save_alerts
from worker.producer.enqueue import enqueue
from worker.producer.plan import document_of
from worker.service.notify.notices import AlertNotice, usable_targets
from worker.service.notify.text import json_of, text_of
from worker.transport.session import Web, WebError

log = Logger()

TAG = "notify"
POST_S = 10.0
"""Seconds that a POST may take in all."""
RETRY_S = 60.0
"""Seconds until a URL that did not accept a notice is tried again."""
EXPIRES_S = 600.0
"""Seconds after which the job of a notice expires, so that the next target is tried."""
LAST_EXPIRES_S = 86_400.0
"""The same for a notice that has no further target."""


class NoticeSender:
    """Sends notices to the targets from one process."""

    def __init__(
        self,
        database: Database,
        accounts: AccountSource,
        web: Web,
        targets: Sequence[NotifyTarget],
        monotonic: Callable[[], float],
        zone: tzinfo,
    ):
        self._database, self._accounts, self._web, self._targets = database, accounts, web, targets
        self._monotonic, self._zone = monotonic, zone
        self._retry_at: dict[int, float] = {}
        """Index of a URL that did not accept a notice to when it is tried again."""
        self._undelivered: set[tuple[str, bool]] = set()
        """Alert names, with whether it is their end, for which the log already says that no target accepted them."""

    def send(
        self, notice: AlertNotice, unusable: Collection[str], may_act: Callable[[Connection], bool], *, is_urgent: bool
    ) -> bool | None:
        """Sends a notice and records that in its rows. Returns False if no target accepted it.

        Returns None if no target may carry it now. `may_act` says in the recording transaction whether this process
        still holds the lease.
        """
        name, indexes = notice.kind.name, usable_targets(notice, [target.account for target in self._targets], unusable)
        logger = log.bind(alert=name, subjects=notice.subjects, over=notice.is_end)

        def record(connection: Connection) -> bool:
            if may_act(connection):
                _record(connection, notice, None)
            return True

        for n in indexes:
            if self._targets[n].url is not None:
                is_sent = self._is_posted_in_time(notice, n) and self._database.run(record)
            else:
                is_sent = self._is_enqueued(notice, n, may_act, is_urgent=is_urgent, is_last=n == indexes[-1])
            if is_sent:
                logger.warning("alert", target=n + 1)
                self._undelivered.discard((name, notice.is_end))
                return True
        if (name, notice.is_end) not in self._undelivered:
            logger.warning("alert_not_sent", targets=len(indexes))
            self._undelivered.add((name, notice.is_end))
        return False if indexes else None

    def _is_enqueued(
        self, notice: AlertNotice, n: int, may_act: Callable[[Connection], bool], *, is_urgent: bool, is_last: bool
    ) -> bool:
        """Enqueues a job of the target's account and records it in the same transaction. Returns False if refused."""
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
                expires_at=LAST_EXPIRES_S if is_last else EXPIRES_S,
                on_unknown="resend",  # an alert that arrives twice is better than one that never arrives
                accounts=self._accounts,
            )
            _record(connection, notice, job.id)
            return True

        try:
            return self._database.run(enqueued)
        except WorkerError as error:
            # The text of such an error holds no secret and no recipient.
            log.warning("alert_refused", target=n + 1, error=type(error).__name__, text=str(error))
            return False

    def _is_posted_in_time(self, notice: AlertNotice, n: int) -> bool:
        """Posts the notice, unless this URL failed lately: a URL that hangs would delay all other notices."""
        now = self._monotonic()
        if now < self._retry_at.get(n, now):
            return False
        is_posted = self._is_posted(notice, n)
        if not is_posted:
            self._retry_at[n] = self._monotonic() + RETRY_S
        return is_posted

    def is_posted_anywhere(self, notice: AlertNotice) -> bool:
        """Posts the notice to the first URL that accepts it. Returns False if none does."""
        return any(self._is_posted(notice, n) for n, target in enumerate(self._targets) if target.url is not None)

    def _is_posted(self, notice: AlertNotice, n: int) -> bool:
        """Posts the notice to one URL. Returns False unless the status is 2xx."""
        try:
            url = self._targets[n].address(f"notify.to.{n}")
            body, headers = json_of(notice, self._zone), {"Content-Type": "application/json"}
            with self._web.session(POST_S) as session:
                # A redirect may lead to a page for signing in, whose 200 would be no receipt.
                status = session.post(url, body, headers=headers, allow_redirects=False).status_code
        except ConfigurationError as error:
            log.warning("alert_refused", target=n + 1, error=type(error).__name__, text=str(error))
            return False
        except WebError as error:
            log.warning("alert_refused", target=n + 1, error=error.reason)
            return False
        if not 200 <= status < 300:
            log.warning("alert_refused", target=n + 1, error=f"http {status}")
        return 200 <= status < 300


def target_problem(target: NotifyTarget, key: str, accounts: AccountSource) -> str | None:
    """Returns why a target cannot be used, in a sentence that begins with `key`, or None if no reason is known."""
    try:
        if target.account is None:
            target.address(key)
            return None
        account = usable(accounts, target.account)
        notice_channel, recipients = channel(account.channel), _recipients(target, account)
        document = document_of(notice_channel.plain_text("a notice"))
        problems = notice_channel.check(
            Draft(notice_channel.kind_of(document, recipients), account, document, recipients)
        )
        return f"{key}: {'; '.join(map(str, problems))}" if problems else None
    except WorkerError as error:
        return str(error) if target.account is None else f"{key}.account: {error}"


def _recipients(target: NotifyTarget, account: Account) -> Recipients:
    return channel(account.channel).named(*target.recipients) if target.recipients else Recipients()


def _record(connection: Connection, notice: AlertNotice, job: str | None) -> None:
    for row in notice.rows:
        # An earlier instant stays: the notice is sent once more because the first target failed.
        if notice.is_end:
            row.ended_at = row.ended_at or notice.at
        else:
            row.raised_at = row.raised_at or notice.at
        row.job_id = job
    save_alerts(connection, notice.rows)
