"""`worker receiver`: receives the vendors' callbacks over HTTP, and stores each before it answers.

Serves `/callback/<account>` for each account with a callback table, and the health endpoints. This is the HTTP side:
the channel reads a request and the outbox stores it, both in threads, so that the event loop only waits. The content of
a callback is never logged.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from worker.accounts.sources import accounts_of
from worker.channels.base import CallbackVerifier
from worker.channels.registry import unusable_accounts
from worker.channels.wecom.callback import ENVELOPE_BYTES
from worker.config import logging as our_logging
from worker.config.settings import Settings
from worker.control.opening import make_database
from worker.domain.callbacks.inbound import CallbackRefused, Inbound
from worker.domain.errors import AccountsUnread, ConfigurationError, WorkerError
from worker.hooks.callbacks import CallbackStore
from worker.hooks.verifiers import Verifiers
from worker.outbox.engine.clock import micros
from worker.outbox.engine.counting import BufferedCounts
from worker.outbox.engine.database import Database
from worker.outbox.engine.migrate import require_current
from worker.outbox.lanes.processes import RECEIVER, acquire_lease, release_lease
from worker.outbox.upkeep.totals import SPARE_EVERY_S, Totals
from worker.service.loop import Loop
from worker.service.web.health_endpoints import HealthEndpoints
from worker.service.web.serving import application, serve

log = structlog.get_logger()

PATHS = ("/callback/{account}", "/callback/{account}/")
"""The second is what people type."""
BODY_BYTES = ENVELOPE_BYTES
PARAMETERS = 32
"""Parameters of a request, at most. The vendor sends four, the rest may belong to the registered address."""
READ_S = 3.0
STORE_S = 4.0
"""Seconds until the answer is 503. The vendor waits 5 s (page 90930). Storing goes on, and a repeat finds it stored."""
THREADS = 16
COUNTED_EVERY_S = 5.0
QUIET_S = 60.0
"""Seconds for which equal refusals are counted, and not logged each."""
BEAT_S, LEASE_S = 5.0, 20.0
"""Seconds between two heartbeats of a receiver, and after the last of which it is down, unless there is another."""
READER_THREADS = 4
"""Threads that find the account of a request, and decrypt it."""

T = TypeVar("T")
Query = Mapping[str, str]
Act = Callable[[str, CallbackVerifier, Request], Awaitable[Response]]


class Receiver:
    """Answers the requests to every account's callback address."""

    def __init__(
        self,
        door_of: Callable[[str], CallbackVerifier | None],
        store: Callable[[str, Inbound], bool],
        *,
        count: Callable[..., None] = lambda *labels: None,
        now: Callable[[], float] = time.time,
        read_s: float = READ_S,
        store_s: float = STORE_S,
        endpoints: HealthEndpoints | None = None,
    ):
        """`count` is called for each refused callback with the account (empty if unknown) and the status."""
        self._door_of, self._store, self._count, self._now = door_of, store, count, now
        self._read_s, self._store_s = read_s, store_s
        self._endpoints = endpoints or HealthEndpoints()
        self._readers = ThreadPoolExecutor(READER_THREADS, "doors")
        self._reported: dict[str, str] = {}
        self._quiet: dict[tuple[str, str], tuple[float, int]] = {}
        """Account and reason of a refusal -> when it may be logged again, and how many came since the last line."""
        self._threads = ThreadPoolExecutor(THREADS, "receiver")

    @property
    def app(self) -> Starlette:
        """The ASGI application."""
        return application(
            *(Route(path, partial(self._answer, self._verify), methods=["GET"]) for path in PATHS),
            *(Route(path, partial(self._answer, self._store_callback), methods=["POST"]) for path in PATHS),
            *self._endpoints.routes,
            exception_handlers={404: self._no_such_path},
        )

    async def _no_such_path(self, request: Request, error: Exception) -> Response:
        self._log_refusal("", "no such path")
        return self._refused("", 404)

    async def _answer(self, act: Act, request: Request) -> Response:
        name = request.path_params["account"]
        try:
            # In a thread, because a source of accounts or a secret may have to be read. Not in the threads that store:
            # they may all be waiting for the database.
            door = await self._in_thread(self._door_of, name)
        except (AccountsUnread, TimeoutError):
            self._log_refusal("", "accounts cannot be read")
            return self._refused("", 503)
        except ConfigurationError as error:
            self._report(name, str(error))
            # The vendor sends it again, until the account is repaired or the vendor gives up.
            return self._refused(name, 503)
        if door is None:
            self._log_refusal("", "no such account")
            return self._refused("", 404)
        try:
            return await act(name, door, request)
        except CallbackRefused as refused:
            self._log_refusal(name, str(refused))
            return self._refused(name, refused.status)
        except TimeoutError:
            self._log_refusal(name, "not read in time")
            return self._refused(name, 503)

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Runs something slow in a thread, so that the event loop is free."""
        working = asyncio.get_running_loop().run_in_executor(self._readers, partial(work, *arguments))
        return await asyncio.wait_for(working, self._read_s)

    def _log_refusal(self, account: str, reason: str) -> None:
        """Logs a refusal, or counts it for the next line if the same was logged less than a minute ago.

        Otherwise a stranger's requests would fill the disk. `account` is empty if there is no such account: its name
        would be the stranger's.
        """
        key, now = (account, reason), self._now()
        until, count = self._quiet.get(key, (now, 0))  # wall clock: it may be set back
        if 0 < until - now <= QUIET_S:
            self._quiet[key] = until, count + 1
            return
        self._quiet[key] = now + QUIET_S, 0
        log.warning("callback_refused", account=account or None, reason=reason, count=count + 1)

    def _refused(self, name: str, status: int) -> Response:
        self._count("callbacks_refused", name, str(status))
        return Response(status_code=status)

    def _report(self, name: str, problem: str) -> None:
        """Logs why an account's callbacks cannot be accepted, once until the reason changes."""
        if self._reported.get(name) != problem:
            self._reported[name] = problem
            log.error("account_unusable", account=name, reason=problem)

    async def _verify(self, name: str, door: CallbackVerifier, request: Request) -> Response:
        """Answers the vendor's check of the URL within a second, without the database (page 90930, 验证URL有效性)."""
        answer = await self._in_thread(door.verify, _query(request), self._now())
        log.info("callback_verified", account=name)
        return PlainTextResponse(answer)

    async def _store_callback(self, name: str, door: CallbackVerifier, request: Request) -> Response:
        """Answers 200 once the callback is stored. With any other status the vendor sends it again (page 90238)."""
        query, body = _query(request), await self._body(request)
        inbound = await self._in_thread(door.read, query, body, self._now())
        try:
            # The thread goes on even if the answer does not wait for it any longer.
            storing = asyncio.get_running_loop().run_in_executor(self._threads, self._store, name, inbound)
            first = await asyncio.wait_for(storing, self._store_s)
        except ConfigurationError as error:
            self._report(name, str(error))
            return self._refused(name, 503)
        except Exception as error:  # noqa: BLE001  whatever keeps it from being stored, the vendor must send it again
            log.warning("callback_not_stored", account=name, error=type(error).__name__)
            return self._refused(name, 503)
        self._reported.pop(name, None)
        log.info("callback", account=name, kind=inbound.event, outcome="stored" if first else "repeated")
        return Response(inbound.answer, 200, media_type=inbound.answer_type if inbound.answer else None)

    async def _body(self, request: Request) -> bytes:
        """Returns the body. Raises CallbackRefused as soon as it is too long or too slow."""
        if int(request.headers.get("content-length", 0)) > BODY_BYTES:
            raise CallbackRefused(413, "body too large")
        body = bytearray()
        try:
            async with asyncio.timeout(self._read_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > BODY_BYTES:
                        raise CallbackRefused(413, "body too large")
        except TimeoutError:
            raise CallbackRefused(408, "body too slow") from None
        except ClientDisconnect:
            raise CallbackRefused(400, "body cut short") from None
        return bytes(body)


def _query(request: Request) -> Query:
    """Returns the parameters. Raises CallbackRefused if there are more than a callback has."""
    if request.scope["query_string"].count(b"&") >= PARAMETERS:
        raise CallbackRefused(400, "too many parameters")
    return request.query_params


def _flush(counts: BufferedCounts) -> float:
    counts.flush()
    return COUNTED_EVERY_S


class Heartbeat:
    """Holds the lease by which the outbox shows that a receiver runs. A receiver that is killed leaves it to lapse.

    One lease for all receivers, because callbacks come in while one of them runs. No receiver is a worker process.
    """

    def __init__(self, database: Database):
        self._database, pid = database, str(os.getpid())
        self._holder = f"{socket.gethostname()[-(31 - len(pid)) :]} {pid}"

    def turn(self) -> float:
        """Takes the lease or renews it, unless another receiver has it. Raises if the database is away."""
        database, lease_us = self._database, micros(LEASE_S)
        database.run(lambda connection: acquire_lease(connection, database.now, RECEIVER, self._holder, lease_us))
        return BEAT_S

    def end(self) -> None:
        """Gives the lease back at a clean stop. While the database is away, it lapses."""
        with suppress(SQLAlchemyError, WorkerError):
            self._database.run(lambda connection: release_lease(connection, RECEIVER, self._holder), tries=1)


def run_receiver(settings: Settings, host: str, port: int, loglevel: str) -> int:
    """Serves until SIGTERM or SIGINT, and returns the exit status. Raises before it listens if a setting is wrong."""
    accounts = accounts_of(settings)
    doors = Verifiers(accounts, settings.delivery.callback_max_age_s)
    doors.require_one()
    database = make_database(settings, pool_size=THREADS)
    heartbeat = Heartbeat(database)
    try:
        require_current(database)
        our_logging.set_up(loglevel, **dict(settings.logs))
        for name, problem in unusable_accounts(accounts).items():
            log.error("account_unusable", account=name, reason=problem)
        store, counts = CallbackStore(database, settings, accounts), BufferedCounts(database)
        receiver = Receiver(doors.of, store.store, count=counts.add, endpoints=HealthEndpoints(database.read_now))
        with (
            Loop("totals", Totals(database, SPARE_EVERY_S).turn).running(STORE_S),
            Loop("counts", partial(_flush, counts), once_more=True).running(STORE_S),
            ExitStack() as scope,
        ):
            # Only once it listens: one that cannot would hide that the receiver of before is gone.
            beating, setting = Loop("heartbeat", heartbeat.turn).running(STORE_S), f"--host {host} --port {port}"
            status = serve(receiver.app, host, port, "receiver", setting, lambda _: scope.enter_context(beating))
        heartbeat.end()
        return status
    finally:
        database.close()
