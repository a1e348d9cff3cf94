"""TLS to broker and database with real certificates: the table of docs/settings.md, cell by cell."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from rig import brokers, certificates, databases
from rig.certificates import HOST, Pair
from rig.servers import own_mariadb, own_postgres
from rig.stack import ACCOUNT, Stack, until
from rig.stacks import RABBITMQ, REDIS, Make, on_its_own, on_stacks
from rig.tcp_door import Door
from worker import JobState, Text, To, enqueue
from worker.cli.setup.connections import broker, database_tls
from worker.cli.setup.finding import Level
from worker.config.settings import Settings
from worker.outbox.engine.database import make_engine

PAGE = Path(__file__).parents[2] / "docs/settings.md"
ROWS = re.findall(r"^\| `(\S+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8").partition("## TLS")[2], re.MULTILINE)
HEAD = ("right", "self-signed", "another name", "expired")
"""The table's columns: what the server's certificate is."""
CONNECTS = {Level.OK: "connects", Level.CAUTION: "connects, with a caution"}
"""What doctor says where it connects."""
Issued = tuple[Path, Mapping[str, Pair]]


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """The authority, and a certificate a column."""
    return certificates.make(tmp_path_factory.mktemp("certificates"))


def rows(*schemes: str) -> list[tuple[str, list[str]]]:
    """The rows of the table about these, each with its cells."""
    return [(url, cells.split(" | ")) for url, cells in ROWS if url.startswith(schemes)]


@on_its_own(why="the servers are the shared ones, behind doors that speak TLS")
@pytest.mark.parametrize("url", [url for url, _ in rows("rediss", "amqps")])
def test_a_broker_is_verified_as_the_table_says(url: str, issued: Issued) -> None:
    """By Redis and by RabbitMQ; where it connects and another server could have its place, doctor has a caution."""
    authority, pairs = issued
    place = urlsplit((databases.REDIS if url.startswith("rediss") else brokers.RABBITMQ).url)
    found = []
    for name in HEAD:
        with closing(Door(str(place.hostname), place.port or 0, tls=pairs[name].context())) as door:
            own = place._replace(scheme=url.partition(":")[0], netloc=f"{_login(place.netloc)}{HOST}:{door.at}")
            finding = broker(Settings(broker=own.geturl() + _options(url, authority)))
        found.append("refused" if finding.level is Level.PROBLEM else CONNECTS[finding.level])
        assert (found[-1] != "refused") or finding.text.startswith("TLS: its certificate"), finding.text

    assert dict(rows("rediss", "amqps"))[url] == found


@on_its_own(why="the certificate of the whole server is replaced")
def test_databases_are_verified_as_the_table_says(issued: Issued, tmp_path: Path) -> None:
    """By PostgreSQL and MariaDB themselves; doctor has a caution where a server that is no such one would be taken."""
    authority, pairs = issued
    for scheme, server in (("postgresql", _postgresql), ("mysql", _mariadb)):
        expected = dict(rows(scheme))
        found: dict[str, list[str]] = {url: [] for url in expected}
        with server(pairs) as (address, use):
            for name in HEAD:
                use(pairs[name])
                for url in expected:
                    found[url].append(_outcome(address + _options(url, authority)))

        assert len(expected) == 3
        assert expected == found


def _outcome(url: str) -> str:
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            [finding] = database_tls(connection)
    except OperationalError as error:
        return "refused" if "certificate" in str(error) else str(error)
    finally:
        engine.dispose()
    return CONNECTS[finding.level]


@contextmanager
def _postgresql(pairs: Mapping[str, Pair]) -> Iterator[tuple[str, Callable[[Pair], None]]]:
    with own_postgres.running(durable=False) as server:
        data = server.folder / "data"

        def use(pair: Pair) -> None:
            _put(pair, data / "server.crt", data / "server.key", "postgres")
            engine = make_engine(server.url)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("alter system set ssl = on"))
                connection.execute(text("select pg_reload_conf()"))
                until(lambda: "on" == connection.execute(text("show ssl")).scalar(), "the server has TLS")
            engine.dispose()
            server.restart()

        yield f"postgresql+psycopg://postgres@{HOST}:{server.port}/postgres", use


@contextmanager
def _mariadb(pairs: Mapping[str, Pair]) -> Iterator[tuple[str, Callable[[Pair], None]]]:
    folders: list[Path] = []

    def options(folder: Path) -> tuple[str, ...]:
        folders.append(folder)
        _put(pairs["right"], folder / "server.crt", folder / "server.key", own_mariadb.USER)
        return f"--ssl-cert={folder}/server.crt", f"--ssl-key={folder}/server.key"

    with own_mariadb.running(durable=False, options=options) as server:

        def use(pair: Pair) -> None:
            _put(pair, folders[0] / "server.crt", folders[0] / "server.key", own_mariadb.USER)
            engine = make_engine(server.url)
            with engine.connect() as connection:
                connection.execute(text("flush ssl"))
            engine.dispose()

        yield f"mysql+pymysql://root@{HOST}:{server.port}/worker", use


def _put(pair: Pair, certificate: Path, key: Path, owner: str) -> None:
    """Puts a pair where a server has it, which runs as this user where the test is root."""
    for source, target in ((pair.certificate, certificate), (pair.key, key)):
        target.write_bytes(source.read_bytes())
        target.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(target, owner)


@on_stacks(REDIS, RABBITMQ, why="each broker, and no database is part of it")
def test_a_worker_delivers_by_tls_and_says_why_it_does_not(make: Make, issued: Issued) -> None:
    """As soon as the broker shows a right certificate; while it shows one that expired, the log says so."""
    authority, pairs = issued
    place = urlsplit(make.broker)
    with closing(Door(str(place.hostname), place.port or 0, tls=pairs["expired"].context())) as door:
        scheme = "rediss" if place.scheme == "redis" else "amqps"
        own = place._replace(scheme=scheme, netloc=f"{_login(place.netloc)}{HOST}:{door.at}")
        stack = make(worker_broker=f"{own.geturl()}?ssl_ca_certs={authority}")
        stack.worker()
        job = _ask(stack)
        until(lambda: _errors(stack) == {"its certificate has expired"}, "the log says why", told=stack.logs)

        door.tls = pairs["right"].context()
        stack.until_settled()

    assert stack.rows("select state from worker_jobs where id = :job", job=job) == [(JobState.ACCEPTED.value,)]


def _errors(stack: Stack) -> set[str]:
    return {line["error"] for line in stack.lines() if line["event"] == "broker_away" and line["line"] == "doorbells"}


def _ask(stack: Stack) -> str:
    with stack.database.writing() as connection:
        return enqueue(connection, ACCOUNT, Text("hello"), To(users=["anna"]), accounts=stack.accounts).id


def _login(netloc: str) -> str:
    user, at, _ = netloc.rpartition("@")
    return user + at


def _options(url: str, authority: Path) -> str:
    return "".join(url.partition("?")[1:]).replace("ca.pem", str(authority))
