"""Eight processes meet an expired token at once, one old-token answer is delayed past the refresh: one gettoken.

Real processes, real HTTP, real databases. Nobody sleeps: processes meet at barriers, and the delayed answer is held
by the vendor until the refresh is over.
"""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.synchronize import Barrier
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import text

from rig.stack import LIMIT_S
from rig.stacks import MARIADB, REDIS, Make, on_stacks
from worker.channels.base import Channel, TokenGranted, TokenOutcome
from worker.config.settings import DeliverySettings
from worker.domain.account import Account, Secret, Token
from worker.domain.call import Reply, Request
from worker.outbox.engine.database import Database, make_engine
from worker.transport.http import Connection, SocketTransport
from worker.transport.session import Web
from worker.transport.tokens import Tokens, TokenTimes

PROCESSES = 8
LATE = 0
"""The process whose answer to the old token is held back until everybody else has the new one."""


class Vendor(ThreadingHTTPServer):
    """Counts gettoken, takes only the newest token, and holds one refusal back until it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.fetches = 0
        self.refusals = 0
        self.valid = ""
        self.all_refused = threading.Event()
        self.release_late = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fetch(self) -> dict[str, object]:
        """A new token; the one that follows the expiry is not given before all eight were refused."""
        with self.lock:
            self.fetches += 1
            first = self.fetches == 1
        assert first or self.all_refused.wait(LIMIT_S)
        with self.lock:
            self.valid = f"tok{self.fetches}"
            return {"errcode": 0, "access_token": self.valid, "expires_in": 7200}

    def send(self, token: str, who: str) -> dict[str, object]:
        with self.lock:
            refused = token != self.valid
            self.refusals += refused
            if self.refusals == PROCESSES:
                self.all_refused.set()
        if refused and who == str(LATE):
            assert self.release_late.wait(LIMIT_S)
        return {"errcode": 40014 if refused else 0}

    def expire(self) -> None:
        with self.lock:
            self.valid, self.fetches, self.refusals = "none", 1, 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        vendor, url = cast(Vendor, self.server), urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        said = vendor.fetch() if url.path == "/gettoken" else vendor.send(query["access_token"], query["who"])
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class RaceChannel:
    """Just enough of a channel to fetch a token."""

    name = "race"

    def token_steps(self, account: Account) -> None:
        return None

    def token_request(self, account: Account, secret: str, now: int) -> Request:
        return Request("GET", account.base_url, "/gettoken", {"corpid": "ww1", "corpsecret": secret})

    def token_outcome(self, reply: Reply, account: Account, secret: str) -> TokenOutcome:
        said = json.loads(reply.body)
        return TokenGranted(said["access_token"], said["expires_in"])


CHANNEL = cast(Channel, RaceChannel())


def an_account(base_url: str) -> Account:
    return Account("hr", "race", base_url, secret=Secret(lambda: "s3cret"))


def some_tokens(database: Database, transport: SocketTransport, name: str) -> Tokens:
    times = TokenTimes(patience_s=LIMIT_S)
    return Tokens(database, transport, Web(), settings=DeliverySettings(), incarnation=lambda: name, times=times)


def send(transport: SocketTransport, base_url: str, token: Token, who: int) -> int:
    """One call with the token; the vendor's errcode."""
    request = Request("GET", base_url, "/send", {"access_token": token.value, "who": str(who)}, deadline_s=LIMIT_S)
    connection = cast(Connection, transport.connect(request))
    result = connection.call(request)
    assert isinstance(result, Reply)
    return int(json.loads(result.body)["errcode"])


def sender(who: int, base_url: str, database_url: str, held: Barrier, done: Barrier, results: Any) -> None:
    """One process: holds the old token, meets the refusal with all others, and sends until it is taken."""
    database, transport = Database(make_engine(database_url)), SocketTransport()
    account, tokens = an_account(base_url), some_tokens(database, transport, f"process{who}")
    try:
        token = tokens.get_or_fetch(account, CHANNEL)
        assert isinstance(token, Token)
        held.wait(LIMIT_S)  # everybody has the old token in memory; the vendor lets it expire
        held.wait(LIMIT_S)
        answers = [send(transport, base_url, token, who)]
        tokens.invalidate(account, token)
        renewed = tokens.get_or_fetch(account, CHANNEL)
        assert isinstance(renewed, Token)
        answers.append(send(transport, base_url, renewed, who))
        results.put((who, answers, token.generation, renewed.generation))
        done.wait(LIMIT_S)
    finally:
        transport.close()
        database.close()


@contextmanager
def serving() -> Iterator[Vendor]:
    vendor = Vendor()
    thread = threading.Thread(target=vendor.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield vendor
    finally:
        vendor.release_late.set()
        vendor.shutdown()
        thread.join()
        vendor.server_close()


@on_stacks(REDIS, MARIADB, why="each database of several processes; tokens know no broker")
def test_eight_processes_meet_an_expired_token_with_one_fetch(make: Make) -> None:
    """Eight processes are refused at once, one of them hears it after the refresh: the vendor is asked once.

    On both databases of several processes; tokens know no broker.
    """
    processes_of = multiprocessing.get_context("forkserver")  # clean processes that import everything only once
    # pytest's name of this module is none that another process finds: it would be passed over without a word.
    processes_of.set_forkserver_preload(["tests.process.test_tokens_race", "psycopg", "pymysql"])
    held, done, results = processes_of.Barrier(PROCESSES + 1), processes_of.Barrier(PROCESSES + 1), processes_of.Queue()
    with serving() as vendor:
        processes = [
            processes_of.Process(target=sender, args=(who, vendor.base_url, make.database_url, held, done, results))
            for who in range(PROCESSES)
        ]
        for process in processes:
            process.start()
        held.wait(LIMIT_S)
        first_fetches = vendor.fetches
        vendor.expire()

        held.wait(LIMIT_S)
        heard = [results.get(timeout=LIMIT_S) for _ in range(PROCESSES - 1)]
        after_refresh = vendor.fetches
        vendor.release_late.set()
        late = results.get(timeout=LIMIT_S)
        done.wait(LIMIT_S)
        for process in processes:
            process.join(LIMIT_S)

    assert first_fetches == 1
    assert after_refresh == 2, "one gettoken for all eight"
    assert vendor.fetches == 2, "one gettoken for all eight"
    assert late[0] == LATE
    assert [result[1:] for result in [*heard, late]] == [([40014, 0], 1, 2)] * PROCESSES
    assert vendor.refusals == PROCESSES
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    assert _generation(make.database_url) == 2


def _generation(database_url: str) -> int:
    database = Database(make_engine(database_url))
    with database.reading() as connection:
        found = connection.execute(text("select generation from worker_tokens")).scalar_one()
    database.close()
    return int(found)
