"""Threads for what must not run in the loop: so many at once, so many that wait, and not for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonThreads(Executor):
    """Threads that the end of the process does not wait for, unlike those of ThreadPoolExecutor."""

    def __init__(self, most: int, name: str):
        """`most`: how many of them work at once; the others wait."""
        self._room, self._name = threading.Semaphore(most), name

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Starts a thread for the call."""
        future: Future[T] = Future()
        work = partial(fn, *args, **kwargs)
        threading.Thread(target=self._run, args=(future, work), name=self._name, daemon=True).start()
        return future

    def _run(self, future: Future[T], work: Callable[[], T]) -> None:
        with self._room:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  whatever it raises is raised again where it is awaited
                future.set_exception(error)


class Busy(Exception):
    """Too many wait for a thread."""


class Pool:
    """Threads of one kind of work; asked from the loop alone."""

    def __init__(self, name: str, *, threads: int, waiting: int, longest_s: float):
        """`waiting`: how many may wait for a thread; `longest_s`: for how long an answer is waited for."""
        self._threads, self._most, self._longest_s = DaemonThreads(threads, name), threads + waiting, longest_s
        self._asked = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What the work returns; Busy when too many wait, TimeoutError when it takes too long, though it goes on."""
        if self._asked >= self._most:
            raise Busy
        self._asked += 1
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        running.add_done_callback(self._one_less)
        return await asyncio.wait_for(asyncio.shield(running), self._longest_s)

    def _one_less(self, done: asyncio.Future[T]) -> None:
        self._asked -= 1
        # Looked at, lest the loop complain of an error that came too late to be answered.
        done.exception()
