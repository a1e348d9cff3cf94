"""The in-memory twin behaves like the transport it stands for."""

from __future__ import annotations

import threading

from tests.support.scripted_transport import ScriptedTransport, answered
from worker.domain.call import NoAnswer, NotSent, Reply, Request
from worker.transport.http import Connection, SocketTransport, Transport

CALL = Request("POST", "http://vendor.example", "/send")


def connected(transport: Transport) -> Connection:
    """A connection, for sure."""
    connection = transport.connect(CALL)
    assert not isinstance(connection, NotSent)
    return connection


def test_both_are_transports() -> None:
    """Both fit the seam."""
    transports: list[Transport] = [ScriptedTransport([]), SocketTransport()]

    assert len(transports) == 2


def test_list_is_used_up_in_order() -> None:
    """Each call takes the next answer and is recorded with its deadline."""
    transport = ScriptedTransport([answered(b"{}", 503, retry_after="3"), NoAnswer("cut", 0.1)])

    first = connected(transport).call(CALL, deadline=5.0)
    second = connected(transport).call(CALL)

    assert isinstance(first, Reply)
    assert first.retry_after_s() == 3
    assert second == NoAnswer("cut", 0.1)
    assert transport.calls == [CALL, CALL]
    assert transport.deadlines == [5.0, None]
    assert transport.open == 0


def test_function_answers_in_parallel() -> None:
    """A function may wait for other calls: it is not run under the lock."""
    both = threading.Barrier(2)

    def answer(request: Request) -> Reply | NoAnswer:
        both.wait(120)
        return NoAnswer("cut", 0.0)

    transport = ScriptedTransport(answer)
    threads = [threading.Thread(target=lambda: connected(transport).call(CALL)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert len(transport.calls) == 2


def test_release_refuse_and_reuse() -> None:
    """Released connections are counted back, refused ones never made, used ones used up."""
    transport = ScriptedTransport([answered(b"{}")], refuse=lambda request: None)
    refusing = ScriptedTransport([], refuse=lambda request: NotSent("dns", 0.0))
    connection = connected(transport)

    assert transport.open == 1
    connection.release()
    connection.release()
    assert transport.open == 0
    assert connection.call(CALL) == NotSent("released", 0.0)
    assert refusing.connect(CALL) == NotSent("dns", 0.0)
    assert refusing.connects == [CALL]
