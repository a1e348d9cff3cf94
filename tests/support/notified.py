"""The thread that tells people, without its thread: a test moves the clock, and reads what people were told.

with planted(database, driven_clock, accounts=ACCOUNTS) as site:
    watch = Watch(site, OPS)
    watch.later()
    watch.told()
"""

from __future__ import annotations

import json
from typing import Any

from tests.support.runtime import Site, an_account
from worker.config.notify import NotifySettings
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.service.notify.notifier import Notifier

ACCOUNTS = [an_account("hr"), an_account("it", settings={"agentid": 8}), an_account("ops", settings={"agentid": 9})]
OPS = {"account": "ops", "recipients": ["oncall"]}
IT = {"account": "it", "recipients": ["second"]}
PAGER = {"url": {"env": "PAGER_URL"}}
HOOK = "/hook"
SECOND = 1_000_000


def receive(site: Site, count: int, at: int) -> None:
    """Callbacks of hr, all at one instant."""
    row = {"account": "hr", "event": "enter_agent", "person": "", "payload": "{}", "happened_at": at, "part_id": None}
    rows = [{**row, "id": f"{at}-{n}", "received_at": at, "stored_by": f"{n:032x}"} for n in range(count)]
    site.database.run(lambda connection: insert_rows(connection, tables.inbound, rows))


class Watch:
    """People who are told, and the process that tells them."""

    def __init__(self, site: Site, *to: dict[str, Any], ahead_s: float = 0.0, moves: bool = True):
        """`moves`: whether lanes with queued parts seem to move, which nothing sends in these tests."""
        self.site, self.ahead_s, self.moves = site, ahead_s, moves
        self._settings = NotifySettings.model_validate({"to": to})
        self.notifier = self.process()

    def process(self) -> Notifier:
        """A notifier as a process begins with it: with nothing in memory."""
        return Notifier(
            self._settings, self.site.runtime, wall_clock=lambda: self.site.clock.micros / SECOND + self.ahead_s
        )

    def later(self, seconds: float = 60.0) -> None:
        """The database's clock goes on, the process lives on; then the notifier has a turn."""
        self.site.clock.advance(seconds)
        self.live()
        self.notifier.turn()

    def live(self) -> None:
        """A turn of heartbeat and relay; no more time goes by than a lease lasts."""
        self.site.ticks.advance(4)
        lanes = self.site.rows("select distinct lane from worker_parts where state = 0") if self.moves else []
        self.site.runtime.lease.beat({row.lane: [0, 0] for row in lanes})
        self.site.relay.lead()

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs of notices, in their order."""
        rows = self.site.rows("select id, account, priority, tags, message, dedupe_key from worker_jobs order by id")
        return [vars(row) for row in rows if row.tags and "notify" in json.loads(row.tags)]

    def told(self) -> list[tuple[str, str]]:
        """(account, first line) of each notice that a job carries."""
        return [(job["account"], self.text(job).splitlines()[0]) for job in self.jobs()]

    def text(self, job: dict[str, Any]) -> str:
        """The text of such a job."""
        return str(json.loads(job["message"])["body"]["text"]["content"])

    def posts(self) -> list[dict[str, Any]]:
        """The bodies that were posted to the URL."""
        return self.site.bodies(HOOK)

    def posted(self) -> list[tuple[str, str]]:
        """(status, first line of the text) of each of them."""
        return [(body["status"], body["text"].splitlines()[0]) for body in self.posts()]
