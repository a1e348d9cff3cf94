"""Threads for what must not run in the loop: so many at once, so many that wait, and not for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Busy(Exception):
    """Too many wait for a thread."""


class Pool:
    """Threads of one kind of work; asked from the loop alone.

    The end of the process does not wait for them, unlike for those of ThreadPoolExecutor.
    """

    def __init__(self, name: str, *, threads: int, waiting: int, longest_s: float):
        """`waiting`: how many may wait for a thread; `longest_s`: for how long an answer is waited for."""
        self._name, self._room = name, threading.Semaphore(threads)
        self._most, self._longest_s, self._asked = threads + waiting, longest_s, 0

    async def run(self, work: Callable[[], T]) -> T:
        """What the work returns; Busy when too many wait, TimeoutError when it takes too long, though it goes on."""
        if self._asked >= self._most:
            raise Busy
        self._asked += 1
        future: Future[T] = Future()
        threading.Thread(target=self._work, args=(future, work), name=self._name, daemon=True).start()
        running = asyncio.wrap_future(future)
        running.add_done_callback(self._one_less)
        return await asyncio.wait_for(asyncio.shield(running), self._longest_s)

    def _work(self, future: Future[T], work: Callable[[], T]) -> None:
        with self._room:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  whatever it raises is raised again where it is awaited
                future.set_exception(error)

    def _one_less(self, done: asyncio.Future[T]) -> None:
        self._asked -= 1
        # Looked at, lest the loop complain of an error that came too late to be answered.
        done.exception()
