"""A process as the others see it: an incarnation with a lease, renewed every few seconds.

A process that could not renew stops marking and calling by its own monotonic clock, before another process may declare
it dead, and goes on as a new incarnation.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from worker.domain.callbacks.hook import Ends
from worker.outbox.engine.clock import boot_clock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import HEALTHY, Health, bury, renew


class Lease:
    """One process's incarnation and its lease."""

    def __init__(
        self,
        database: Database,
        *,
        threads: int,
        queues: Callable[[], Iterable[str] | None] = lambda: None,
        hooked_ends: Ends | None = None,
        lease_s: float = 10.0,
        clock: Callable[[], float] = boot_clock,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ):
        self._database, self._threads, self._lease_s = database, threads, lease_s
        self._queues, self._hooked_ends = queues, hooked_ends
        self._clock, self._new_id = clock, new_id
        self._guard = threading.Lock()
        self._incarnation = new_id()
        self._until = -1.0

    @property
    def incarnation(self) -> str:
        """The id under which this process marks parts now."""
        return self._incarnation

    def may_act(self, incarnation: str | None = None) -> bool:
        """True while the lease holds and is still the given incarnation's; None: any. Only then mark or call."""
        return self._clock() < self._until and incarnation in (None, self._incarnation)

    def beat(
        self,
        lanes: Mapping[str, Any] | None = None,
        unusable: Mapping[str, str] | None = None,
        health: Health = HEALTHY,
    ) -> None:
        """Renews the lease; after a lapse under a new incarnation. Raises what the database raises."""
        with self._guard:
            started = self._clock()
            if 0 <= self._until < started:
                self._incarnation = self._new_id()
            while not self._renewed(json.dumps(lanes or {}), json.dumps(unusable) if unusable else None, health):
                # Another process declared this incarnation dead, and its marked parts are in doubt already.
                self._incarnation = self._new_id()
            # Counted from before the renewal, however long that took, and for nine tenths of the lease: our clock must
            # end it before the database's does.
            self._until = started + self._lease_s * 0.9

    def _renewed(self, lanes: str, unusable: str | None, health: Health) -> bool:
        with self._database.writing() as connection:
            return renew(
                connection,
                self._database.now,
                self._incarnation,
                lease_us=int(self._lease_s * 1_000_000),
                threads=self._threads,
                host=socket.gethostname()[:100],
                pid=os.getpid(),
                lanes=lanes,
                unusable=unusable,
                queues=self._queues(),
                health=health,
                hooked_ends=self._hooked_ends,
            )

    def end(self) -> None:
        """Ends the lease, so that other processes need not wait until it runs out."""
        with self._guard:
            self._until = 0.0
            with self._database.writing() as connection:
                bury(connection, self._database.now, [self._incarnation])
