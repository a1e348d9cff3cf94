"""Runs blocking functions in threads, with a limit on running and waiting ones and a timeout."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Busy(Exception):
    """Too many requests are waiting for a thread."""


class Pool:
    """A thread pool for one kind of work. Call it from the event loop only.

    Unlike with ThreadPoolExecutor, the process does not wait for these threads when it ends.
    """

    def __init__(self, name: str, *, threads: int, waiting: int, timeout_s: float):
        """`waiting`: how many calls may wait for a thread; `timeout_s`: how long a caller waits for the result."""
        self._name, self._slots = name, threading.Semaphore(threads)
        self._limit, self._timeout_s, self._pending = threads + waiting, timeout_s, 0

    async def run(self, work: Callable[[], T]) -> T:
        """Runs a function in a thread and returns its result.

        Raises Busy if too many calls are waiting, and TimeoutError if it takes too long; it then goes on by itself.
        """
        if self._pending >= self._limit:
            raise Busy
        self._pending += 1
        future: Future[T] = Future()
        threading.Thread(target=self._work, args=(future, work), name=self._name, daemon=True).start()
        running = asyncio.wrap_future(future)
        running.add_done_callback(self._finished)
        return await asyncio.wait_for(asyncio.shield(running), self._timeout_s)

    def _work(self, future: Future[T], work: Callable[[], T]) -> None:
        with self._slots:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  raised again where the result is awaited
                future.set_exception(error)

    def _finished(self, done: asyncio.Future[T]) -> None:
        self._pending -= 1
        # Retrieves the error. Else the event loop would log one that came after the timeout as never retrieved.
        done.exception()
