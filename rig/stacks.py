"""The stacks that process tests run on, all at once: most of a test is waiting.

A test under `on_stacks` is called once a stack, each in a thread of its own with a maker of that stack; a stack
whose services are missing is left out and named in the run's last lines (or fails under REQUIRE_SERVICES=1). A test
that names no stacks runs on the three that use every service once. Whatever runs on others says why.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rig import brokers, databases
from rig.crash.matrix import Place
from rig.databases import Service
from rig.stack import Stack, Vendor
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.migrate import upgrade

REDIS, RABBITMQ, MARIADB, EMBEDDED = "postgres+redis", "postgres+rabbitmq", "mariadb+redis", "embedded"
CROSSED = "mariadb+rabbitmq"
"""Besides the four that everything is tried on: the other database with the other broker."""
NEEDS: Mapping[str, tuple[Service, ...]] = {
    REDIS: (databases.POSTGRES, databases.REDIS),
    RABBITMQ: (databases.POSTGRES, brokers.RABBITMQ),
    MARIADB: (databases.MARIADB, databases.REDIS),
    EMBEDDED: (),
    CROSSED: (databases.MARIADB, brokers.RABBITMQ),
}
STACKS = (REDIS, RABBITMQ, MARIADB, EMBEDDED)
USUAL = (RABBITMQ, MARIADB, EMBEDDED)
"""Every service once."""
WITH_A_BROKER = (RABBITMQ, MARIADB)
"""Every service once, with several worker processes; embedded is one."""


@dataclass(frozen=True)
class Make:
    """Makes one stack, once or more within a test; all of it is gone at the test's end."""

    name: str
    folder: Path
    database_url: str
    broker: str
    scope: ExitStack

    def workers(self, count: int) -> int:
        """So many worker processes, where there may be more than one."""
        return count if self.name != EMBEDDED else 1

    def __call__(self, vendor: dict[str, Any] | None = None, *, bare: bool = False, **options: Any) -> Stack:
        """`vendor` are the fake vendor's settings, `options` those of `Stack`."""
        options = {"database_url": self.database_url, "broker": self.broker, "fresh": False, **options}
        started = self.scope.enter_context(closing(Vendor(self.folder, vendor, bare=bare)))
        return self.scope.enter_context(closing(Stack(folder=self.folder / "stack", vendor=started, **options)))


class Stacks:
    """Every stack's databases, made when first asked for and emptied for each test."""

    def __init__(self, folder: Path, scope: ExitStack):
        self._folder, self._scope = folder, scope
        self._urls: dict[tuple[str, int], str] = {}

    def makes(self, names: tuple[str, ...], folder: Path, scope: ExitStack, count: int = 1) -> list[Make]:
        """Makers of those stacks whose services are there, `count` of each; none: the test is skipped."""
        there = available(names)
        return [self.make(name, number, folder, scope) for number in range(count) for name in there]

    def make(self, name: str, number: int, folder: Path, scope: ExitStack) -> Make:
        """A maker of one stack, with one of its databases."""
        return Make(name, folder / f"{name}-{number}", self.database(name, number), broker_of(name), scope)

    def database(self, name: str, number: int = 0) -> str:
        """The URL of a stack's database, empty; those of different numbers may be used at once."""
        if (name, number) not in self._urls:
            key = f"{os.getpid()}_stack{number}"
            self._urls[name, number] = self._scope.enter_context(migrated(name, key, self._folder))
        return emptied(self._urls[name, number])


@contextmanager
def migrated(name: str, key: str, folder: Path) -> Iterator[str]:
    """A fresh database for a stack, with tables."""
    with scratch(name, key, folder) as url:
        make_tables(url)
        yield url


_migrating = threading.Lock()
"""Alembic's context is a global of its module."""


def make_tables(url: str) -> None:
    """Makes the tables, one database after the other."""
    with _migrating:
        engine = make_engine(url)
        upgrade(engine)
        engine.dispose()


def emptied(url: str) -> str:
    """The database, once it holds no rows of an earlier test."""
    with closing(Database(make_engine(url))) as database:
        databases.empty(database)
    return url


def scratch(name: str, key: str, folder: Path) -> AbstractContextManager[str]:
    """A fresh database for a stack, without tables."""
    key = f"worker_{key}_{name}".replace("+", "_")
    match NEEDS[name][:1]:
        case (databases.POSTGRES,):
            return databases.scratch_postgres(key)
        case (databases.MARIADB,):
            return databases.scratch_mariadb(key)
    return _file(folder / f"{key}.db")


@contextmanager
def _file(path: Path) -> Iterator[str]:
    yield f"sqlite:///{path}"


def broker_of(name: str) -> str:
    """The broker of a stack as the settings spell it."""
    return NEEDS[name][1].url if NEEDS[name] else "embedded"


def on_stacks(
    *names: str, why: str = "", **variants: Sequence[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Calls a test whose first parameter is `make` on the usual stacks at once; on those named, for the reason `why`.

    `variants`, a parameter's name and its values: on each stack with each value, all at once too.
    """
    if bool(names) != bool(why):
        raise TypeError("a test names its stacks and says why not the usual ones, or neither")

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        ((name, values),) = variants.items() or ((None, [None]),)

        @functools.wraps(test)
        def run(stacks: Stacks, tmp_path: Path, **others: Any) -> None:
            with ExitStack() as scope:
                makes = stacks.makes(names or USUAL, tmp_path, scope, len(values))
                given = [values[n // (len(makes) // len(values))] for n in range(len(makes))]
                each(
                    [
                        f"{make.name} {'' if name is None else value}".strip()
                        for make, value in zip(makes, given, strict=True)
                    ],
                    [
                        functools.partial(test, make, **({name: value} if name else {}), **others)
                        for make, value in zip(makes, given, strict=True)
                    ],
                )

        fixtures = [one for one in list(inspect.signature(test).parameters.values())[1:] if one.name not in variants]
        outer = list(inspect.signature(run, follow_wrapped=False).parameters.values())[:2]
        run.__signature__ = inspect.Signature([*outer, *fixtures])  # type: ignore[attr-defined]  # pytest reads it
        marked: Callable[..., None] = pytest.mark.process(run)
        return marked

    return decorate


def on_its_own(*, why: str) -> pytest.MarkDecorator:
    """A process test that makes what it needs itself, for the reason `why`."""
    if not why:
        raise TypeError("a test that runs on no stack says why")
    return pytest.mark.process


def each(names: Sequence[str], checks: Sequence[Callable[[], None]]) -> None:
    """Every check in a thread of its own; says which failed."""
    with ThreadPoolExecutor(len(checks)) as pool:
        found = [(name, pool.submit(check)) for name, check in zip(names, checks, strict=True)]
    failed = [(name, error) for name, future in found if (error := future.exception())]
    if failed:
        raise BaseExceptionGroup("on " + ", ".join(name for name, _ in failed), [error for _, error in failed])


def available(names: Sequence[str]) -> list[str]:
    """Those stacks whose services are there; none: the test is skipped."""
    there = [name for name in _chosen(names) if is_there(name)]
    if not there:
        pytest.skip("none of its stacks has its services")
    return there


class Places:
    """Where the cells of a crash matrix run: the database that one leaves is emptied for the next on its stack."""

    def __init__(self, key: str, folder: Path, scope: ExitStack):
        self._key, self._folder, self._scope = key, folder, scope
        self._free: dict[str, list[str]] = {}
        self._made = 0
        self._making = threading.Lock()

    @contextmanager
    def take(self, name: str, step: str) -> Iterator[Place]:
        """A place on a stack, for one step."""
        url = self._database(name)
        yield Place(name, url, broker_of(name), self._folder / step / name)
        emptied(url)
        self._free[name].append(url)

    def _database(self, name: str) -> str:
        with self._making:
            if free := self._free.setdefault(name, []):
                return free.pop()
            self._made += 1
            return self._scope.enter_context(migrated(name, f"{self._key}_{self._made}", self._folder))


def _chosen(names: Sequence[str]) -> list[str]:
    wanted = os.environ.get("TEST_STACKS", "").split()
    return [name for name in names if not wanted or name in wanted]


def is_there(name: str) -> bool:
    """Whether its services answer; REQUIRE_SERVICES=1 fails where one does not."""
    try:
        for service in NEEDS[name]:
            databases.need(service)
    except pytest.skip.Exception:
        return False
    return True
