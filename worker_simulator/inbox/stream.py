"""Server-sent events: tell each open page that something moved, so that it fetches what changed.

Looks at the world's counters while a page is open, and at nothing otherwise: no call of the vendor knows of it. An
event says only that something moved, by a number that goes on where a page was disconnected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

LOOK_S = 0.2
HEARTBEAT_S = 15.0
MOST_PAGES = 32


class Pulse:
    """The number of moves seen so far, and the pages that wait for the next one."""

    def __init__(
        self, stamp: Callable[[], object], *, look_s: float = LOOK_S, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._stamp, self._look_s, self._heartbeat_s = stamp, look_s, heartbeat_s
        self._seen = stamp()
        self._moved = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.pages = 0
        self.seq = 1

    @property
    def is_full(self) -> bool:
        """Whether no further page may wait."""
        return self.pages >= MOST_PAGES

    def now(self) -> int:
        """The number of the newest move, for a page that is made from now on."""
        self._compare()
        return self.seq

    async def events(self, last: int | None) -> AsyncGenerator[bytes]:
        """Events after number `last` until the page is gone; one at once where that is not the newest."""
        self.pages += 1
        self._watch()
        try:
            yield b"retry: 1000\n\n"
            told = last
            while True:
                if told != self.seq:
                    told = self.seq
                    yield b"id: %d\nevent: moved\ndata: %d\n\n" % (told, told)
                if not await self._move():
                    yield b": still here\n\n"
        finally:
            self.pages -= 1
            self._rest()

    async def _move(self) -> bool:
        """Wait for the next move; False when it is time for a sign of life."""
        try:
            async with asyncio.timeout(self._heartbeat_s):
                await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def _watch(self) -> None:
        self._compare()
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._look_again())

    def _rest(self) -> None:
        if not self.pages and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            self._compare()

    def _compare(self) -> None:
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            self.seq += 1
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()
