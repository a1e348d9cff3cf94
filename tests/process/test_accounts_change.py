"""Accounts that are added, changed, rotated and disabled while jobs flow: no process is started again for it.

`ACCOUNTS=1000 ROUTES=50 pytest tests/process/test_accounts_change.py` does it with so many.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rig.stack import Stack, until
from rig.stacks import MARIADB, Make, on_stacks
from tests.process.judging_proxy import Court, JudgingProxy, Passage
from worker import NewJob, Text, To, enqueue_many
from worker.accounts.live import POLL_S
from worker.accounts.sources import accounts_of
from worker.config.places import SecretFrom
from worker.control import accounts as acts
from worker.domain.errors import ConfigurationError

ACCOUNTS, ROUTES = int(os.environ.get("ACCOUNTS", "40")), int(os.environ.get("ROUTES", "4"))
KEY = "k" * 32
BY = {"person": "the test"}
SOCKETS = 256 + 60
"""Idle connections to vendors at most, and those to database and broker."""
GROWTH_KIB = 24 * 1024


@dataclass
class Corp:
    """One account as it is to be now."""

    name: str
    secret: str
    route: int
    disabled: bool = False
    once: set[tuple[str, int]] = field(default_factory=set)
    """Secrets and routes that it had, or has."""


class Agency:
    """The vendor of software whose accounts these are, the proxies of its routes, and its installation."""

    def __init__(self, make: Make, scope: ExitStack):
        self.court, self.rng = Court(), random.Random(7)
        self.routes = [scope.enter_context(JudgingProxy(self.court, n)) for n in range(ROUTES)]
        self.stack: Stack = make(env={"WORKER_SEAL_KEY": KEY})
        key = self.stack.folder / "key"
        key.write_text(KEY, encoding="utf-8")
        self.settings = self.stack.settings.model_copy(update={"seal_key": SecretFrom(file=key)})
        self.corps: dict[str, Corp] = {}
        self.accounts = accounts_of(self.settings)
        self.enqueued: Counter[str] = Counter()

    def table(self, corp: Corp) -> dict[str, Any]:
        """The account's keys."""
        return {
            "channel": "wecom_app",
            "corpid": f"ww-{corp.name}",
            "agentid": 7,
            "base_url": self.stack.vendor.url,
            "secret": corp.secret,
            "proxy": self.routes[corp.route].url,
        }

    def new(self, count: int) -> list[Corp]:
        """Accounts that are not there yet."""
        first = len(self.corps)
        return [Corp(f"c{n}", f"secret-{n}-1", n % ROUTES) for n in range(first, first + count)]

    def add(self, corps: list[Corp]) -> None:
        """Adds them at once."""
        acts.import_accounts({corp.name: self.table(corp) for corp in corps}, settings=self.settings, **BY)
        for corp in corps:
            self.know(corp)

    def know(self, corp: Corp) -> None:
        """This is how it is from now on."""
        corp.once.add((corp.secret, corp.route))
        self.corps[corp.name] = corp

    def some(self, count: int) -> list[Corp]:
        """Different ones that are enabled."""
        return self.rng.sample([corp for corp in self.corps.values() if not corp.disabled], count)

    def move(self, corp: Corp) -> None:
        """Gives it another proxy."""
        moved = replace(corp, route=(corp.route + 1) % ROUTES)
        self.know(moved)
        acts.change_account(corp.name, {"proxy": self.routes[moved.route].url}, settings=self.settings, **BY)

    def rotate(self, corp: Corp) -> None:
        """Gives it another secret."""
        rotated = replace(corp, secret=f"{corp.secret}+")
        self.know(rotated)
        acts.rotate_account(corp.name, {"secret": rotated.secret}, settings=self.settings, **BY)

    def disable(self, corp: Corp, disabled: bool) -> None:
        """Lets it wait, or go on."""
        self.corps[corp.name] = replace(self.corps[corp.name], disabled=disabled)
        acts.set_disabled(corp.name, disabled, settings=self.settings, **BY)

    def enqueue(self, names: list[str]) -> list[str]:
        """A message of each of these; those that this producer does not know yet, or knows as disabled, are left out.

        Returns the texts.
        """
        known = [name for name in names if self._knows(name)]
        texts = []
        for name in known:
            self.enqueued[name] += 1
            texts.append(f"{name}:{self.enqueued[name]}")
        jobs = [
            NewJob(name, Text(content=text), To(users=[text.replace(":", "-")]))
            for name, text in zip(known, texts, strict=True)
        ]
        with self.stack.database.writing() as connection:
            enqueue_many(connection, jobs, accounts=self.accounts)
        return texts

    def _knows(self, name: str) -> bool:
        try:
            self.accounts.get(name)
        except ConfigurationError:
            return False
        return True

    def wrong(self, passages: list[Passage], *, now: bool) -> list[Passage]:
        """Those with credentials or a proxy that their account does not have `now`, or never had."""
        return [one for one in passages if not self._is_right(one, now)]

    def _is_right(self, one: Passage, now: bool) -> bool:
        corp = self.corps[one.content.partition(":")[0]]
        had = {(corp.secret, corp.route)} if now else corp.once
        own_login = f"route{one.route}:pass{one.route}"
        # In a rotation the old secret may be used by a process beside the new route, and the other way round.
        is_its_own = one.secret in {secret for secret, _ in had} and one.route in {route for _, route in had}
        return is_its_own and (one.corpid, one.login) == (f"ww-{corp.name}", own_login)


@on_stacks(MARIADB, why="two worker processes and a broker; the table of accounts is tried on every database")
def test_accounts_change_while_jobs_flow(make: Make) -> None:
    """Each message with the right credentials by the right proxy, one gettoken a secret, memory and sockets flat."""
    with ExitStack() as scope:
        agency = Agency(make, scope)
        stack = agency.stack
        agency.add(agency.new(ACCOUNTS * 9 // 10))
        workers = [stack.worker(threads=8) for _ in range(2)]
        round_of(agency)
        before = [used(worker.pid) for worker in workers]
        with flowing(agency):
            agency.add(agency.new(ACCOUNTS - len(agency.corps)))
            for corp in agency.some(ACCOUNTS // 10):
                agency.move(corp)
            for corp in agency.some(ACCOUNTS // 10):
                agency.rotate(corp)
            stopped = agency.some(ACCOUNTS // 20)
            for corp in stopped:
                agency.disable(corp, True)
            for corp in stopped:
                agency.disable(corp, False)
        # Until every process has read the last change: one of them alone may have sent a round that was right.
        read_at = time.monotonic() + 3 * POLL_S
        until(
            lambda: time.monotonic() > read_at and not agency.wrong(round_of(agency), now=True),
            "all use what is valid now",
        )
        assert agency.wrong(round_of(agency), now=True) == []
        after = [used(worker.pid) for worker in workers]

        assert agency.wrong(agency.court.passages, now=False) == []
        assert set(agency.court.fetches.values()) == {1}
        assert set(Counter(one.content for one in agency.court.passages).values()) == {1}
        assert sum(agency.enqueued.values()) == len(agency.court.passages)
        assert [worker.poll() for worker in workers] == [None, None]
        assert not [one for one in after if one[1] > SOCKETS], after
        grown = [late[0] - early[0] for early, late in zip(before, after, strict=True)]
        assert max(grown) <= GROWTH_KIB, (before, after)
        assert [stack.end(worker) for worker in workers] == [0, 0]


def round_of(agency: Agency) -> list[Passage]:
    """A message of every account, and how each of them went."""
    texts: set[str] = set()
    names = [corp.name for corp in agency.corps.values() if not corp.disabled]
    left = list(names)

    def all_are_enqueued() -> bool:
        found = agency.enqueue(left)
        texts.update(found)
        done = {text.partition(":")[0] for text in found}
        left[:] = [name for name in left if name not in done]
        return not left

    until(all_are_enqueued, "the producer knows all accounts")
    agency.stack.until_settled()
    return [one for one in agency.court.passages if one.content in texts]


class flowing:
    """Meanwhile messages are enqueued, a few of any account at a time."""

    def __init__(self, agency: Agency):
        self._agency, self._stop = agency, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._rng = random.Random(11)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join(120)

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self._agency.enqueue(self._rng.sample(sorted(self._agency.corps), 5))


def used(pid: int) -> tuple[int, int]:
    """KiB of memory that a process holds, and how many sockets."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    resident = int(status.partition("VmRSS:")[2].split()[0])
    sockets = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets += os.readlink(one).startswith("socket:")
        except OSError:  # closed meanwhile
            continue
    return resident, sockets
