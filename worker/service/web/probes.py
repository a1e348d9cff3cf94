"""/livez and /readyz of a process with a port: whether to restart it, and whether to send requests to it.

Their answers are one line, and say nothing of the installation.
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
"""Seconds until a database that does not answer counts as away."""
LIVE, READY = "/livez", "/readyz"


class Probes:
    """The answers to the probes of one process.

    `ask` raises while the process cannot do its work, or takes too long; None: it can always do it.
    """

    def __init__(self, ask: Callable[[], object] | None = None, *, ready_s: float = READY_S):
        self._ask, self._ready_s = ask, ready_s
        self._asking: asyncio.Future[object] | None = None

    @property
    def routes(self) -> list[Route]:
        """The routes of both."""
        return [Route(LIVE, self._live, methods=["GET"]), Route(READY, self._ready, methods=["GET"])]

    async def _live(self, request: Request) -> Response:
        """Answers 200, which shows that the loop turns that reads requests. Asks neither database nor vendor."""
        return PlainTextResponse("live\n")

    async def _ready(self, request: Request) -> Response:
        """Answers 503 while the process cannot do its work."""
        if self._ask is not None:
            try:
                await asyncio.wait_for(self._asked(self._ask), self._ready_s)
            except Exception:  # noqa: BLE001  whatever it raises, requests are to go elsewhere; the cause is not theirs
                return PlainTextResponse("not ready: the database does not answer\n", 503)
        return PlainTextResponse("ready\n")

    def _asked(self, ask: Callable[[], object]) -> asyncio.Future[object]:
        """The question under way, or a new one: probes must not queue up behind a database that hangs."""
        if self._asking is None or self._asking.done():
            answer: Future[object] = Future()
            # The end of the process does not wait for it.
            threading.Thread(target=_answer, args=(ask, answer), name="probes", daemon=True).start()
            self._asking = asyncio.wrap_future(answer)
        # A probe that waits no longer does not take the answer from the next one.
        return asyncio.shield(self._asking)


def _answer(ask: Callable[[], object], answer: Future[object]) -> None:
    try:
        answer.set_result(ask())
    except BaseException as error:  # noqa: BLE001  the probe says that the process is not ready, whatever it was
        answer.set_exception(error)
