"""What the applications of a universe commit: jobs over accounts, people and orders, some rolled back, and recalls."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from bench.explore import youdu
from bench.explore.campaigns import AGENT, CAMPAIGNS, CUSTOMERS, OFFER, SELLER, name_of
from bench.explore.database import now_us
from bench.explore.fates import WEBHOOK
from bench.explore.fibers import FOREVER, Scheduler
from bench.explore.stored import piece_of
from bench.explore.threads import WORLD, Lock
from bench.explore.vendor import WRONG_SECRET
from worker import (
    Button,
    ButtonCard,
    CardUpdate,
    Chats,
    Customers,
    File,
    FileMessage,
    MainTitle,
    Markdown,
    Message,
    Text,
    To,
    enqueue,
    recall,
    track,
    update_card,
    webhook,
)
from worker.channels.wecom_external.messages import Campaign
from worker.channels.youdu.messages import Text as YouduText
from worker.config.accounts import FixedAccounts
from worker.domain.account import DEADLINE, Account, Secret
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.clock import micros_of
from worker.outbox.engine.database import Database

PEOPLE = ("lisi", "wangwu", "zhaoliu")
TAGS = ("a", "b")
ROOMS, CHATS = "rooms", ("wr1", "wr2", "wr3")
"""The account of a webhook, and the chats that it posts to."""
AGENTS = {7: "hr", 8: "it", AGENT: CAMPAIGNS, WEBHOOK: ROOMS, youdu.AGENT: youdu.DESK}
"""Agentid -> account."""
CHANGING = "it"
"""The account that people disable, break and mend."""
UNREACHED = (ROOMS, youdu.DESK)
"""Accounts whose messages nobody can take back."""
SEEN_S = 1.0
"""Seconds within which every process has read a change."""
MEMBER_WINDOW_S = 60.0
QUIET_HOURS = ("22:00-22:31 UTC", "22:31-22:32 UTC", "06:00-06:32 Asia/Shanghai")
"""They end five seconds after the beginning, begin then, or end a minute later."""


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
    original: Job | None = None
    """The job that it replays."""
    offer: str = ""
    """What a group send says."""

    @property
    def first(self) -> Job:
        """The job that it replays, or itself."""
        return self.original or self

    @property
    def text(self) -> str:
        """What the vendor knows it by. `content` is a name of its own for each job, also for a replay."""
        return name_of(self.offer, self.people) if self.offer else self.first.content


class ChangingAccounts(FixedAccounts):
    """Accounts of which people change one. Each process reads that a moment later."""

    def __init__(self, accounts: Iterable[Account], scheduler: Scheduler, chance: random.Random):
        super().__init__(accounts)
        self._scheduler, self._delays = scheduler, defaultdict[str, float](lambda: chance.uniform(0.0, SEEN_S))
        first = -FOREVER, super().names(), super().get(CHANGING)
        self._changes: list[tuple[float, tuple[str, ...], Account | None]] = [first]

    @property
    def broken(self) -> bool:
        """Whether the account is disabled or has a wrong secret now."""
        return self._changes[-1][2] is not self._changes[0][2]

    def change(self, account: Account | None) -> None:
        """Disables the account (None), or gives it other settings."""
        self._changes.append((self._scheduler.now, (*super().names(),), account))

    def disable(self) -> None:
        """The account takes no jobs, and sends nothing."""
        self.change(None)

    def spoil(self) -> None:
        """The account has a wrong secret."""
        self.change(replace(super().get(CHANGING), secret=Secret(lambda: WRONG_SECRET)))

    def mend(self) -> None:
        """The account is as it was."""
        self.change(self._changes[0][2])

    def names(self) -> tuple[str, ...]:
        """Another object after each change."""
        return self._seen()[1]

    def get(self, name: str) -> Account:
        """The account as this process has read it."""
        if name != CHANGING:
            return super().get(name)
        account = self._seen()[2]
        if account is None:
            raise ConfigurationError(f"accounts.{name}: is disabled")
        return account

    def _seen(self) -> tuple[float, tuple[str, ...], Account | None]:
        home = WORLD.home
        until = self._scheduler.now - (self._delays[home.name] if home else 0.0)
        return next(change for change in reversed(self._changes) if change[0] <= until)


def accounts(
    chance: random.Random,
    scheduler: Scheduler,
    call_deadline_s: float,
    people: Sequence[str],
    limited: float,
    quiet_hours: str,
    invalid_users: str,
) -> ChangingAccounts:
    """The accounts of a universe; `limited` is how likely there is little room for each member in a minute."""
    settings = {"corpid": "ww1", "agentid": 7, DEADLINE: call_deadline_s}
    hr = Account("hr", "wecom_app", "http://vendor", settings, Secret(lambda: "s1"))
    it = replace(hr, name="it", settings={**settings, "corpid": "ww2", "agentid": 8})
    # So that a dozen messages for one person are sent within some minutes.
    limits = {"member_minute": chance.choice([2, 3, 5]) + (len(people) == 1)}
    hr = replace(hr, limits=limits if chance.random() < limited else {}, quiet_hours=quiet_hours)
    settings = {"corpid": "ww3", DEADLINE: call_deadline_s}
    campaigns = Account(CAMPAIGNS, "wecom_external", "http://vendor", settings, Secret(lambda: "s3"))
    settings = {"edition": "push", DEADLINE: call_deadline_s}
    rooms = Account(ROOMS, "wecom_webhook", "http://vendor", settings, Secret(lambda: "s4"))
    rooms = replace(rooms, limits={"chat_minute": 3} if hr.limits else {})
    settings = {"buin": 1, "appid": youdu.APP, "invalid_users": invalid_users, DEADLINE: call_deadline_s}
    desk = Account(youdu.DESK, "youdu", "http://vendor", settings, Secret(lambda: youdu.KEY))
    return ChangingAccounts([hr, it, campaigns, rooms, desk], scheduler, random.Random(chance.getrandbits(64)))


@dataclass
class Producer:
    """Commits jobs, one after the other."""

    database: Database
    scheduler: Scheduler
    chance: random.Random
    accounts: ChangingAccounts
    people: Sequence[str]
    ordered: float
    """The part of its jobs that have an order."""
    cards: float
    """The part of its jobs that send a card."""
    files: float = 0.0
    """The part of its jobs that send a file, which is uploaded first."""
    campaigns: float = 0.0
    """The part of its jobs that are group sends."""
    split: bool = False
    """Each recipient is a part of its own, as if a call took no more; and a job has more of them."""
    rooms: float = 0.0
    """The part of its jobs that are posted to chats."""
    desks: float = 0.0
    """The part of its jobs that are sent by Youdu."""
    tenants: float = 0.0
    """The part of its jobs that are for a tenant."""
    jobs: list[Job] = field(default_factory=list)
    rolled_back: set[str] = field(default_factory=set)
    """The contents of jobs that were not committed."""
    recalls: dict[str, Job] = field(default_factory=dict)
    """Recall -> the job that it takes back."""
    updates: dict[str, str] = field(default_factory=dict)
    """Update of a card -> its content."""
    tracks: dict[str, str] = field(default_factory=dict)
    """Job that tracks a group send -> what that says."""
    without: Collection[str] = ()
    """What is left out."""
    waits: Lock = field(default_factory=Lock)
    """Held while a job is committed, and by whoever has it wait."""
    _sent_cards: list[str] = field(default_factory=list)
    offered: dict[str, tuple[str, tuple[str, ...], str]] = field(default_factory=dict)
    """The name of each group send -> what it says, its customers, who sends it."""
    twins: set[str] = field(default_factory=set)
    """The names of group sends of which there are several that say the same to the same customers."""

    def produce(self, count: int, within_s: float) -> None:
        """Commits so many jobs in about so many seconds."""
        seed = self.chance.getrandbits(64)
        for number in range(count):
            self.chance = random.Random(seed + number)  # where one is left out, the others stay as they are
            self.scheduler.sleep(self.chance.expovariate(count / within_s) if self.chance.random() < 0.7 else 0.0)
            if f"job {number}" in self.without:
                continue
            with self.waits, suppress(ConfigurationError):  # its account is disabled
                self._one(f"job {number}")
            with self.waits, suppress(ConfigurationError):
                reachable = [job for job in self.jobs if job.account not in UNREACHED]
                if reachable and self.chance.random() < (0.3 if self.campaigns else 0.1):
                    self._recall(self.chance.choice(reachable))
            with self.waits, suppress(ConfigurationError):
                if self._sent_cards and self.chance.random() < 0.7:
                    self._update(self.chance.choice(self._sent_cards))

    def name_of(self, id: str) -> str:
        """Returns what a job says."""
        return {**{job.id: job.content for job in self.jobs}, **self.updates, **self.tracks}.get(id, id)

    def forget(self, there: Collection[str]) -> None:
        """Forgets the jobs that a restored database does not hold."""
        self.rolled_back -= {job.content for job in self.jobs}  # of group sends that say the same, one was committed
        self.jobs = [job for job in self.jobs if job.id in there]
        self.recalls = {id: job for id, job in self.recalls.items() if id in there}
        self.updates = {id: content for id, content in self.updates.items() if id in there}
        self._sent_cards = [id for id in self._sent_cards if id in there]

    def _update(self, job_id: str) -> None:
        content = f"update {len(self.updates)}"
        with self.database.writing() as connection:
            update = update_card(connection, job_id, CardUpdate(replace_name=content), accounts=self.accounts)
        self.updates[update.id] = content

    def _message(self, content: str, *, duplicate_check: bool) -> Message:
        # Each type of message has a lane of its own.
        if self.files and self.chance.random() < self.files:
            return FileMessage(file=File(f"the file of {content}".encode(), "a.txt"), duplicate_check=duplicate_check)
        if self.chance.random() < self.cards:
            return ButtonCard(main_title=MainTitle(title=content), button_list=[Button(text="yes", key="yes")])
        if self.chance.random() < 0.3:
            return Markdown(content=content, duplicate_check=duplicate_check)
        return Text(content=content, duplicate_check=duplicate_check)

    def _recall(self, job: Job) -> None:
        with self.database.writing() as connection:
            self.recalls[recall(connection, job.id, accounts=self.accounts).id] = job

    def _one(self, content: str) -> None:
        chance, now = self.chance, now_us()
        account = chance.choice(["hr", "hr", "it"])
        people = tuple(sorted(chance.sample(self.people, min(len(self.people), chance.choice([1, 1, 2]) + self.split))))
        options, offer = self._options(now), ""
        message, to = self._message(content, duplicate_check=chance.random() < 0.5), To(users=list(people))
        if self.campaigns and chance.random() < self.campaigns:
            account, offer, people, sender = CAMPAIGNS, *self._offer(content)
            content = name_of(offer, people)
            message, to = Campaign(text=offer), Customers({sender: people})
        elif self.rooms and chance.random() < self.rooms:
            account, chats = ROOMS, sorted(chance.sample(CHATS, chance.choice([1, 1, 2, 3])))
            pieces = chance.choice([1, 1, 1, 2, 3])
            # A message takes 2,048 bytes.
            line = f"{content}.\n"
            text = content if pieces == 1 else line * (1_800 * pieces // len(line))
            numbers = [piece_of(n + 1) for n in range(pieces)] if pieces > 1 else [""]
            people = tuple(chat + number for chat in chats for number in numbers)
            message, to = webhook.Text(content=text), Chats(*chats)
        elif self.desks and chance.random() < self.desks:
            account, message = youdu.DESK, YouduText(content=content)
        with self.database.writing() as connection:
            given = {key: value for key, value in options.items() if value != []} | {"overflow": "split"}
            job = enqueue(connection, account, message, to, accounts=self.accounts, **given)
            if offer and chance.random() < 0.5:
                self._track(connection, job.id, content)
            if chance.random() < 0.1:
                self.scheduler.sleep(chance.uniform(0.1, 1.5))  # the application does more in its transaction
            if chance.random() < 0.05:
                self.rolled_back.add(content)
                connection.rollback()
                return
        if isinstance(message, ButtonCard):
            self._sent_cards.append(job.id)
        self.jobs.append(
            Job(
                job.id,
                content,
                account,
                people,
                micros_of(options["due_at"]) if "due_at" in options else now,
                micros_of(options["expires_at"]) if "expires_at" in options else None,
                options.get("order_key"),
                options.get("on_gap", "wait"),
                options.get("on_unknown", "default"),
                tuple(options["tags"]),
                now_us(),
                offer=offer,
            )
        )

    def _options(self, now: int) -> dict[str, Any]:
        chance, options = self.chance, dict[str, Any]()
        options["priority"] = chance.choice(["urgent", "normal", "normal", "bulk"])
        if chance.random() < 0.25:
            options["due_at"] = _instant(now + int(chance.uniform(1, 10) * 1_000_000))
        if chance.random() < self.ordered:
            options |= {"order_key": chance.choice("kl"), "on_gap": chance.choice(["wait", "wait", "skip"])}
            if chance.random() < 0.3:  # goes before others of its order that were committed earlier
                options["due_at"] = _instant(now - int(chance.uniform(1, 5) * 1_000_000))
        if chance.random() < 0.2:
            later = options.get("due_at") or _instant(now)
            options["expires_at"] = later + timedelta(seconds=chance.choice([1, 2, 3, 12]))
        if chance.random() < 0.3:
            options["on_unknown"] = chance.choice(["hold", "resend"])
        options["tags"] = [chance.choice(TAGS)] if chance.random() < 0.4 else []
        if self.tenants and chance.random() < self.tenants:
            options["tenant"] = chance.choice(["red", "blue"])
        return options

    def _track(self, connection: Connection, job_id: str, content: str) -> None:
        pace, most = self.chance.choice([1.0, 5.0]), self.chance.choice([20.0, 60.0])
        tracked = track(connection, job_id, pace=pace, max_age=most, accounts=self.accounts)
        self.tracks[tracked.id] = f"the track of {content}"

    def _offer(self, otherwise: str) -> tuple[str, tuple[str, ...], str]:
        """Chooses what a group send says, for whom and from whom: as one before it, or as no other does."""
        chance, replayed = self.chance, {job.text for job in self.jobs if job.original}
        there = {job.content for job in self.jobs} - replayed
        if (again := [name for name in self.offered if name in there]) and chance.random() < 0.2:
            self.twins.add(name := chance.choice(again))
            return self.offered[name]
        customers = tuple(sorted(chance.sample(CUSTOMERS, chance.choice([1, 1, 2, 3]))))
        offer = otherwise if name_of(OFFER, customers) in self.offered else OFFER
        sent = self.offered[name_of(offer, customers)] = offer, customers, chance.choice([*self.people, *[SELLER] * 3])
        return sent


def _instant(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 1_000_000, UTC)
