"""Server-sent events that tell each open page that something changed, so that it loads the changed parts.

Compares counters of the state while a page is open, and does nothing otherwise. An event carries only a number, which
lets a reconnected page continue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

POLL_S = 0.2
HEARTBEAT_S = 15.0
MAX_PAGES = 32


class ChangeFeed:
    """Counts changes, and wakes the pages that wait for the next one."""

    def __init__(
        self, stamp: Callable[[], object], *, poll_s: float = POLL_S, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._stamp, self._poll_s, self._heartbeat_s = stamp, poll_s, heartbeat_s
        self._last_stamp = stamp()
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.pages = 0
        self.seq = 1

    @property
    def is_full(self) -> bool:
        """True if no further page may connect."""
        return self.pages >= MAX_PAGES

    def latest(self) -> int:
        """Returns the number of the newest change."""
        self._compare()
        return self.seq

    async def events(self, last: int | None) -> AsyncGenerator[bytes]:
        """Yields the events after number `last` until the page disconnects."""
        self.pages += 1
        self._watch()
        try:
            yield b"retry: 1000\n\n"
            sent = last
            while True:
                if sent != self.seq:
                    sent = self.seq
                    yield b"id: %d\nevent: change\ndata: %d\n\n" % (sent, sent)
                if not await self._next_change():
                    yield b": still here\n\n"
        finally:
            self.pages -= 1
            self._stop_watching()

    async def _next_change(self) -> bool:
        """Waits for the next change. Returns False when a heartbeat is due first."""
        try:
            async with asyncio.timeout(self._heartbeat_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _watch(self) -> None:
        self._compare()
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._poll())

    def _stop_watching(self) -> None:
        if not self.pages and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            self._compare()

    def _compare(self) -> None:
        stamp = self._stamp()
        if stamp != self._last_stamp:
            self._last_stamp = stamp
            self.seq += 1
            event, self._changed = self._changed, asyncio.Event()
            event.set()
