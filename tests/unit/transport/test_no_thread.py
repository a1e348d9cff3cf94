"""A host that lets the worker start no more threads: nothing is lost, and what must change is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.scripted_web import ScriptedWeb
from tests.unit.transport.fault_table import Stage, request
from tests.unit.transport.raw_server import answer
from worker.delivery.resolver.members import COOLDOWN_S, Members
from worker.domain.account import Account, TokenProvider
from worker.domain.call import NotSent
from worker.transport.faults import REMEDIES
from worker.transport.token_provider import MAX_CALLS, ProviderFailure, TokenProviders

Bound = Callable[[int], None]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Servers and transports that are closed after the test."""
    with ExitStack() as stack:
        yield Stage(stack)


@pytest.fixture
def threads_left(monkeypatch: pytest.MonkeyPatch) -> Bound:
    """Sets how many threads can still be started."""
    start = threading.Thread.start

    def bound(left: int) -> None:
        started: list[threading.Thread] = []

        def begin(thread: threading.Thread) -> None:
            if len(started) >= left:
                raise RuntimeError("can't start new thread")
            started.append(thread)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", begin)

    return bound


def test_connections_that_need_a_thread_are_not_made(stage: Stage, threads_left: Bound) -> None:
    """Each call that needs one has never left, with a remedy."""
    server, transport = stage.server(), stage.transport()
    threads_left(0)

    made = transport.connect_all([request(server.url)] * 3)

    assert [NotSent("no_thread", 0.0, remedy=REMEDIES["no_thread"])] * 3 == made


def test_the_threads_that_there_are_make_all(stage: Stage, threads_left: Bound) -> None:
    """Two threads make three connections."""
    server, transport = stage.server(answer(), answer(), answer()), stage.transport()
    threads_left(2)

    made = transport.connect_all([request(server.url)] * 3)

    assert [isinstance(one, NotSent) for one in made] == [False] * 3
    for one in made:
        assert not isinstance(one, NotSent)
        one.release()


def test_a_token_provider_without_a_thread_is_asked_again(threads_left: Bound) -> None:
    """Its place among those that ask is free again."""
    provider = TokenProvider("tests.support.provided:token_of")
    account = Account("hr", "wecom_app", "https://vendor.example", token_provider=provider)
    providers = TokenProviders(ScriptedWeb(), deadline_s=1)
    threads_left(0)

    told = [providers.fetch(account, provider, fresh=False) for _ in range(MAX_CALLS + 1)]

    assert [ProviderFailure("no_thread", REMEDIES["no_thread"])] * (MAX_CALLS + 1) == told


def test_members_without_a_thread_are_unknown(threads_left: Bound) -> None:
    """The resolver is asked again when threads can be started."""
    now = [0.0]
    members = Members(lambda *asked: ["anna"], valid_s=300, deadline_s=60, monotonic=lambda: now[0])
    spec = {"parties": ["12"]}
    threads_left(0)

    lost = members.of("hr", spec)
    threads_left(1)
    now[0] += COOLDOWN_S

    assert lost is None
    assert members.of("hr", spec) == ("anna",)
