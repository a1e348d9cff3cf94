"""/livez and /readyz: what they answer, and that a database that hangs is asked once at a time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from starlette.applications import Starlette

from tests.support.asgi import Answer, ask, asked
from worker.domain.callbacks.inbound import Inbound
from worker.service.web.health_endpoints import LIVE, READY, HealthEndpoints
from worker.service.web.receiver import Receiver


def away() -> int:
    """A database that is away."""
    raise ConnectionError("db.internal:5432 refused")


def app(endpoints: HealthEndpoints) -> Starlette:
    """An application with probes and nothing else."""
    return Starlette(routes=[*endpoints.routes])


def test_a_process_whose_database_answers_is_ready() -> None:
    """And live."""
    served = app(HealthEndpoints(lambda: 1))

    assert [(answer.status, answer.body) for answer in (asked(served, "GET", path) for path in (LIVE, READY))] == [
        (200, b"live\n"),
        (200, b"ready\n"),
    ]


def test_a_database_that_is_away_takes_readiness_alone() -> None:
    """Without a word of where it was looked for."""
    served = app(HealthEndpoints(away))

    live, ready = asked(served, "GET", LIVE), asked(served, "GET", READY)

    assert live.status == 200
    assert ready.status == 503
    assert ready.body == b"not ready: the database does not answer\n"


def test_a_process_that_needs_nothing_is_always_ready() -> None:
    """Metrics tell of a database that is away."""
    assert asked(app(HealthEndpoints()), "GET", READY).status == 200


def test_a_database_that_hangs_is_asked_once() -> None:
    """Probes that come meanwhile share the answer, and none waits longer than it may."""
    asks: list[int] = []
    ends = threading.Event()

    def hangs() -> None:
        asks.append(1)
        ends.wait(30)

    async def several() -> list[Answer]:
        served = app(HealthEndpoints(hangs, ready_s=0.01))
        answers = [await ask(served, "GET", READY) for _ in range(3)]
        ends.set()
        return answers

    assert [answer.status for answer in asyncio.run(several())] == [503, 503, 503]
    assert asks == [1]


@pytest.mark.parametrize("path", [LIVE, READY])
def test_the_receiver_answers_probes(path: str) -> None:
    """Beside the callbacks."""

    def store(account: str, inbound: Inbound) -> bool:
        return True

    doors: dict[str, Any] = {}

    assert asked(Receiver(doors.get, store, endpoints=HealthEndpoints(lambda: 1)).app, "GET", path).status == 200
