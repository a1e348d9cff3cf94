"""`worker receiver`: the vendor's callbacks over HTTP, stored before they are answered.

`/callback/<account>` for each account with a callback table, and the probes. This is the HTTP side: the channel reads a
request, and the outbox stores it, both in threads, so that the event loop only waits. Nothing that came in is ever
logged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from worker.accounts.sources import accounts_of
from worker.channels.base import CallbackDoor
from worker.channels.registry import unusable_accounts
from worker.channels.wecom.callback import ENVELOPE_BYTES
from worker.config import logging as our_logging
from worker.config.settings import Settings
from worker.control.opening import make_database
from worker.domain.callbacks.inbound import CallbackRefused, Inbound
from worker.domain.errors import AccountsUnread, ConfigurationError
from worker.hooks.callbacks import CallbackStore
from worker.hooks.doors import Doors
from worker.outbox.engine.counting import LooseCounts
from worker.outbox.engine.migrate import require_current
from worker.outbox.upkeep.totals import SELDOM_S, Totals
from worker.service.loop import Loop
from worker.service.web.probes import Probes
from worker.service.web.serving import serve

log = structlog.get_logger()

PATH = "/callback/{account}"
BODY_BYTES = ENVELOPE_BYTES
PARAMETERS = 32
"""Most parameters of a request: the vendor sends four, the rest are of the address that was registered."""
READ_S = 3.0
STORE_S = 4.0
"""Seconds until the answer is 503: the vendor waits 5 s (page 90930). Storing goes on; a repeat finds it stored."""
THREADS = 16
COUNTED_EVERY_S = 5.0
DOORMEN = 4
"""Threads that look callback addresses up, and read requests."""

T = TypeVar("T")
Query = Mapping[str, str]
Act = Callable[[str, CallbackDoor, Request], Awaitable[Response]]


class Receiver:
    """Answers the requests to every account's callback address."""

    def __init__(
        self,
        door_of: Callable[[str], CallbackDoor | None],
        store: Callable[[str, Inbound], bool],
        *,
        count: Callable[..., None] = lambda *labels: None,
        now: Callable[[], float] = time.time,
        read_s: float = READ_S,
        store_s: float = STORE_S,
        probes: Probes | None = None,
    ):
        """`count` is told of each callback that is refused: the account (empty: none of ours), and the status."""
        self._door_of, self._store, self._count, self._now = door_of, store, count, now
        self._read_s, self._store_s = read_s, store_s
        self._probes = probes or Probes()
        self._doormen = ThreadPoolExecutor(DOORMEN, "doors")
        self._told: dict[str, str] = {}
        self._threads = ThreadPoolExecutor(THREADS, "receiver")

    @property
    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route(PATH, partial(self._answer, self._verified), methods=["GET"]),
                Route(PATH, partial(self._answer, self._taken), methods=["POST"]),
                *self._probes.routes,
            ]
        )

    async def _answer(self, act: Act, request: Request) -> Response:
        name = request.path_params["account"]
        try:
            # In a thread, because a source of accounts or a secret may have to be read; of its own, because those that
            # store may all be waiting for the database.
            door = await self._in_thread(self._door_of, name)
        except (AccountsUnread, TimeoutError):
            # Without the name, as below.
            log.warning("callback_refused", reason="accounts cannot be read")
            return self._refused("", 503)
        except ConfigurationError as wrong:
            self._tell(name, str(wrong))
            # The vendor sends it again, until the account is mended or that was too often.
            return self._refused(name, 503)
        if door is None:
            # Without the name, which is of the request and may be anything.
            log.info("callback_refused", reason="no such account")
            return self._refused("", 404)
        try:
            return await act(name, door, request)
        except CallbackRefused as refused:
            log.warning("callback_refused", account=name, reason=str(refused))
            return self._refused(name, refused.status)
        except TimeoutError:
            log.warning("callback_refused", account=name, reason="not read in time")
            return self._refused(name, 503)

    async def _in_thread(self, work: Callable[..., T], *given: Any) -> T:
        """Does what may take a while without keeping the event loop."""
        working = asyncio.get_running_loop().run_in_executor(self._doormen, partial(work, *given))
        return await asyncio.wait_for(working, self._read_s)

    def _refused(self, name: str, status: int) -> Response:
        self._count("callbacks_refused", name, str(status))
        return Response(status_code=status)

    def _tell(self, name: str, why: str) -> None:
        """Logs what keeps an account's callbacks from being taken, once until it is something else."""
        if self._told.get(name) != why:
            self._told[name] = why
            log.error("account_unusable", account=name, reason=why)

    async def _verified(self, name: str, door: CallbackDoor, request: Request) -> Response:
        """Answers the vendor's check of the URL within a second, without the database (page 90930, 验证URL有效性)."""
        answer = await self._in_thread(door.verify, _query(request), self._now())
        log.info("callback_verified", account=name)
        return PlainTextResponse(answer)

    async def _taken(self, name: str, door: CallbackDoor, request: Request) -> Response:
        """Answers 200 once the callback is stored; with any other status the vendor sends it again (page 90238)."""
        query, body = _query(request), await self._body(request)
        inbound = await self._in_thread(door.read, query, body, self._now())
        try:
            # The thread goes on after the answer could not wait any longer.
            storing = asyncio.get_running_loop().run_in_executor(self._threads, self._store, name, inbound)
            first = await asyncio.wait_for(storing, self._store_s)
        except ConfigurationError as wrong:
            self._tell(name, str(wrong))
            return self._refused(name, 503)
        except Exception as error:  # noqa: BLE001  whatever keeps it from being stored, the vendor must send it again
            log.warning("callback_not_stored", account=name, error=type(error).__name__)
            return self._refused(name, 503)
        self._told.pop(name, None)
        log.info("callback", account=name, kind=inbound.event, outcome="stored" if first else "repeated")
        return Response(inbound.answer, 200, media_type=inbound.answer_type if inbound.answer else None)

    async def _body(self, request: Request) -> bytes:
        """The body; raises CallbackRefused as soon as it is too long or too slow."""
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
    """The parameters; raises CallbackRefused for more than a callback has."""
    if request.scope["query_string"].count(b"&") >= PARAMETERS:
        raise CallbackRefused(400, "too many parameters")
    return request.query_params


def _write(counts: LooseCounts) -> float:
    counts.flush()
    return COUNTED_EVERY_S


def run_receiver(settings: Settings, host: str, port: int, loglevel: str) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status. Raises before it listens when the settings are wrong."""
    accounts = accounts_of(settings)
    doors = Doors(accounts, settings.delivery.callback_max_age_s)
    doors.require_one()
    database = make_database(settings, pool_size=THREADS)
    try:
        require_current(database)
        our_logging.set_up(loglevel, **dict(settings.logs))
        for name, why in unusable_accounts(accounts).items():
            log.error("account_unusable", account=name, reason=why)
        store, counts = CallbackStore(database, settings, accounts), LooseCounts(database)
        receiver = Receiver(doors.of, store.store, count=counts.add, probes=Probes(database.read_now))
        with (
            Loop("totals", Totals(database, SELDOM_S).turn).running(STORE_S),
            Loop("counts", partial(_write, counts), once_more=True).running(STORE_S),
        ):
            return serve(receiver.app, host, port, "receiver", f"--host {host} --port {port}")
    finally:
        database.close()
