"""What the applications of a universe commit: jobs over accounts, people, orders and priorities, some rolled back."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.explore.database import now_us
from bench.explore.fibers import Scheduler
from worker import Text, To, enqueue
from worker.config.accounts import FixedAccounts
from worker.domain.account import Account, Secret
from worker.outbox.engine.clock import micros_of
from worker.outbox.engine.database import Database

PEOPLE = ("lisi", "wangwu", "zhaoliu")
TAGS = ("a", "b")
MEMBER_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its producer knows it."""

    id: str
    content: str
    account: str
    people: tuple[str, ...]
    due_at: int
    expires_at: int | None
    order_key: str | None
    on_gap: str
    on_unknown: str
    tags: tuple[str, ...]
    committed_at: int
    """No earlier than its commit."""


def accounts(chance: random.Random) -> FixedAccounts:
    """The accounts of a universe, some of them with little room for each member in a minute."""
    hr = Account("hr", "wecom_app", "http://vendor", {"corpid": "ww1", "agentid": 7}, Secret(lambda: "s1"))
    it = replace(hr, name="it", settings={"corpid": "ww2", "agentid": 8})
    limited = {"member_minute": chance.choice([2, 3, 5])}
    return FixedAccounts([replace(hr, limits=limited if chance.random() < 0.3 else {}), it])


@dataclass
class Producer:
    """Commits jobs, one after the other."""

    database: Database
    scheduler: Scheduler
    chance: random.Random
    accounts: FixedAccounts
    jobs: list[Job] = field(default_factory=list)
    rolled_back: set[str] = field(default_factory=set)
    """The contents of jobs that were not committed."""

    def produce(self, count: int, within_s: float) -> None:
        """Commits so many jobs in about so many seconds."""
        for number in range(count):
            self.scheduler.sleep(self.chance.expovariate(count / within_s) if self.chance.random() < 0.7 else 0.0)
            self._one(f"job {number}")

    def _one(self, content: str) -> None:
        chance, options = self.chance, dict[str, Any]()
        account = chance.choice(["hr", "hr", "it"])
        people = tuple(sorted(chance.sample(PEOPLE, chance.choice([1, 1, 2]))))
        now = now_us()
        options["priority"] = chance.choice(["urgent", "normal", "normal", "bulk"])
        if chance.random() < 0.25:
            options["due_at"] = _instant(now + int(chance.uniform(1, 10) * 1_000_000))
        if chance.random() < 0.4:
            options |= {"order_key": chance.choice("kl"), "on_gap": chance.choice(["hold", "hold", "skip"])}
            if chance.random() < 0.3:  # goes before others of its order that were committed earlier
                options["due_at"] = _instant(now - int(chance.uniform(1, 5) * 1_000_000))
        if chance.random() < 0.15:
            later = options.get("due_at") or _instant(now)
            options["expires_at"] = later + timedelta(seconds=chance.randint(2, 12))
        if chance.random() < 0.3:
            options["on_unknown"] = chance.choice(["hold", "resend"])
        options["tags"] = [chance.choice(TAGS)] if chance.random() < 0.4 else []
        message = Text(content=content, duplicate_check=chance.random() < 0.5)
        with self.database.writing() as connection:
            given = {key: value for key, value in options.items() if value != []}
            job = enqueue(connection, account, message, To(users=list(people)), accounts=self.accounts, **given)
            if chance.random() < 0.1:
                self.scheduler.sleep(chance.uniform(0.1, 1.5))  # the application does more in its transaction
            if chance.random() < 0.05:
                self.rolled_back.add(content)
                connection.rollback()
                return
        self.jobs.append(
            Job(
                job.id,
                content,
                account,
                people,
                micros_of(options["due_at"]) if "due_at" in options else now,
                micros_of(options["expires_at"]) if "expires_at" in options else None,
                options.get("order_key"),
                options.get("on_gap", "hold"),
                options.get("on_unknown", "default"),
                tuple(options["tags"]),
                now_us(),
            )
        )


def _instant(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 1_000_000, UTC)
