"""/livez and /readyz of a process with a port: whether to restart it, and whether to send it requests.

Their answers are one line, and reveal nothing about the installation.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

READY_S = 3.0
"""Seconds after which a database that does not answer counts as away."""
LIVE, READY = "/livez", "/readyz"


class HealthEndpoints:
    """Answers the health checks of one process.

    `check` raises, or takes too long, while the process cannot do its work. With None it is always ready.
    """

    def __init__(self, check: Callable[[], object] | None = None, *, ready_s: float = READY_S):
        self._check, self._ready_s = check, ready_s
        self._running: asyncio.Future[object] | None = None

    @property
    def routes(self) -> list[Route]:
        """The routes of both endpoints."""
        return [Route(LIVE, self._live, methods=["GET"]), Route(READY, self._ready, methods=["GET"])]

    async def _live(self, request: Request) -> Response:
        """Answers 200, which shows that the event loop runs. Uses neither database nor vendor."""
        return PlainTextResponse("live\n")

    async def _ready(self, request: Request) -> Response:
        """Answers 503 while the process cannot do its work."""
        if self._check is not None:
            try:
                await asyncio.wait_for(self._running_check(self._check), self._ready_s)
            except Exception:  # noqa: BLE001  whatever it raises, requests must go elsewhere; the cause is not for them
                return PlainTextResponse("not ready: the database does not answer\n", 503)
        return PlainTextResponse("ready\n")

    def _running_check(self, check: Callable[[], object]) -> asyncio.Future[object]:
        """Returns the check that is running, or starts one: requests must not queue up behind a database that hangs."""
        if self._running is None or self._running.done():
            answer: Future[object] = Future()
            # A daemon thread, so that the end of the process does not wait for it.
            threading.Thread(target=_answer, args=(check, answer), name="probes", daemon=True).start()
            self._running = asyncio.wrap_future(answer)
        # If one request stops waiting, the next one still gets the answer.
        return asyncio.shield(self._running)


def _answer(check: Callable[[], object], answer: Future[object]) -> None:
    try:
        answer.set_result(check())
    except BaseException as error:  # noqa: BLE001  the answer is "not ready", whatever it was
        answer.set_exception(error)
