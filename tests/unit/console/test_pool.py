"""Threads that the loop asks: a flood is turned away, and what hangs is not waited for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from worker.console.pool import Busy, Pool


def test_more_than_may_wait_are_turned_away() -> None:
    """The loop goes on meanwhile; with the first that is done there is room again."""
    pool, go = Pool("test", threads=1, waiting=1, timeout_s=60), threading.Event()

    async def flood() -> tuple[bool, bool]:
        first, second = (asyncio.create_task(pool.run(go.wait)) for _ in range(2))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await pool.run(go.wait)
        go.set()
        return await first, await second

    assert asyncio.run(flood()) == (True, True)
    assert asyncio.run(pool.run(lambda: 1)) == 1


def test_what_hangs_is_not_waited_for() -> None:
    """Its thread is free again when it is done."""
    pool, go = Pool("test", threads=1, waiting=0, timeout_s=0.01), threading.Event()

    async def hang() -> None:
        with pytest.raises(TimeoutError):
            await pool.run(go.wait)
        with pytest.raises(Busy):
            await pool.run(go.wait)

    asyncio.run(hang())
    go.set()


@pytest.mark.slow("starts a process of its own")
def test_what_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    """Neither a page that never ends nor a probe of a database that never answers."""
    code = """
import asyncio, threading
from worker.console.pool import Pool
from worker.service.web.health_endpoints import HealthEndpoints
from starlette.applications import Starlette
from starlette.testclient import TestClient
hang = threading.Event().wait
async def page():
    try:
        await Pool("test", threads=1, waiting=1, timeout_s=0.01).run(hang)
    except TimeoutError:
        print("too late")
asyncio.run(page())
with TestClient(Starlette(routes=HealthEndpoints(hang, ready_s=0.01).routes)) as client:
    print(client.get("/readyz").status_code)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)

    assert ended.stdout.split("\n")[:2] == ["too late", "503"]
