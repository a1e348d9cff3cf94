"""The database of a universe: one for all simulated hosts, at whose every statement the seed may switch or strike.

Each process has its own engine and connections, as with a database server.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from sqlalchemy import Engine

from bench.explore.fibers import Died, Home
from bench.explore.stand_ins import EPOCH_S, sleep
from bench.explore.threads import WORLD
from worker.outbox.engine.database import Database, FifoLock
from worker.outbox.engine.dialect import Dialect
from worker.outbox.engine.site_keys import lane_key

LANE_KEY = "ab" * 32
"""The same in every run."""
Step = Callable[[str], None]
"""Called with the name of each step before a fiber takes it. May kill the process or let it sleep."""


class ExplorerClock:
    """Reads the database's clock by an SQL function of the explorer."""

    def now(self, dialect: Dialect) -> str:
        """See `SqlClock`."""
        return "explorer_now()"


def now_us() -> int:
    """Returns the time of the database's clock in microseconds."""
    return micros_at(WORLD.scheduler.now)


def micros_at(instant: float) -> int:
    """Returns what that clock shows at an instant of virtual time."""
    return EPOCH_S * 1_000_000 + round(instant * 1e6)


def instant_at(micros: float) -> float:
    """Returns the instant of virtual time at which that clock shows so many microseconds."""
    return micros / 1e6 - EPOCH_S


class Store(ABC):
    """The database which all connections use. Its faults are those of the host that meets them."""

    can_restore = False

    def __init__(self) -> None:
        self.begin(lambda label: None)

    def begin(self, step: Step) -> None:
        """Begins another universe with an empty outbox."""
        self.step = step
        self.away_until: dict[str, float] = {}
        """Host -> when this host can connect to the database again."""
        self.read_only_until: dict[str, float] = {}
        """Host -> when the database accepts writes from this host again."""
        self.statements = 0
        self.empty()

    @abstractmethod
    def empty(self) -> None:
        """Removes all rows of the universe before, and undoes what it left open."""

    @property
    @abstractmethod
    def is_writing(self) -> bool:
        """True while a transaction is open, whose changes `rows` shows before their commit."""

    @abstractmethod
    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Returns rows as dicts. For the explorer, which is no part of the universe."""

    def backup(self) -> Any:
        """Returns what is committed, for `restore`. No transaction may be open."""
        raise NotImplementedError

    def restore(self, backup: Any) -> None:
        """Puts the database back to what it was. No transaction may be open."""
        raise NotImplementedError

    @abstractmethod
    def engine(self) -> Engine:
        """Makes an engine for a process."""

    @abstractmethod
    def lost(self) -> Exception:
        """The driver's error for a connection that broke before an answer came."""

    @abstractmethod
    def away(self) -> Exception:
        """The driver's error for a database that cannot be reached."""

    @abstractmethod
    def read_only(self) -> Exception:
        """The driver's error for a write that the database does not accept."""

    def require_here(self) -> None:
        """Raises an error if the database is away for the host of this fiber, or if its process is dead."""
        home = WORLD.home
        if home is not None and home.dead:
            raise Died
        if self._is_until(self.away_until):
            raise self.away()

    def require_writable(self) -> None:
        """Raises an error if the database accepts no writes from the host of this fiber."""
        if self._is_until(self.read_only_until):
            raise self.read_only()

    def _is_until(self, until: Mapping[str, float]) -> bool:
        home = WORLD.home
        return home is not None and until.get(home.name, 0.0) > WORLD.scheduler.now


class Databases:
    """A `Database` for each home. Later universes use the same ones again, because an engine is slow to make."""

    def __init__(self, store: Store):
        self._store = store
        self._made: dict[str, Database] = {}

    def of(self, home: Home) -> Database:
        """Returns the database for a new process of a home. Its writing threads wait only for each other."""
        if home.name not in self._made:
            self._made[home.name] = made = Database(
                self._store.engine(), clock=ExplorerClock(), rng=_Chance(), pause=sleep
            )
            # An engine's first connection sends more statements than later ones, and this key is read only once.
            for way in (made.reading, made.writing):
                with way() as connection:
                    lane_key(connection)
        fresh = copy(self._made[home.name])
        fresh._fifo = FifoLock() if fresh.has_one_writer else None
        return fresh


class _Chance(random.Random):
    """Random numbers of the universe that runs."""

    def random(self) -> float:
        return WORLD.chance.random()
