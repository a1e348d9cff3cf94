"""Several calls in flight at once: when an answer seems whole, and which calls have ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.unit.transport.fault_table import Stage, closed_port, request, shown
from tests.unit.transport.raw_server import OK_BODY, Peer, Script, answer, response
from worker.domain.call import NoAnswer, NotSent
from worker.transport import framing
from worker.transport.framing import AnswerEnd
from worker.transport.http import Connection, SocketTransport
from worker.transport.pending_call import PendingCall

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: gzip, Chunked\r\n\r\n"
WHOLE = {
    "length": HEAD + b"content-length: 2\r\n\r\nok",
    "no body": HEAD + b"Content-Length:0\r\n\r\n",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "no content": b"HTTP/1.1 204 Nothing\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n",
    "chunks": CHUNKED + b"2\r\nok\r\n1;name=value\r\n!\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"2\r\nok\r\n0\r\nA: b\r\n\r\n",
    "after an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nok",
    "another interim answer": b"HTTP/1.1 103 Early\r\n\r\n",
}


def seems_whole(answer: bytes) -> bool:
    """Whether an answer that came at once has come to its end."""
    return AnswerEnd().is_complete(answer)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Servers and transports that are closed after the test."""
    with ExitStack() as stack:
        yield Stage(stack)


@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)
def test_an_answer_seems_whole_with_its_last_byte(whole: bytes) -> None:
    """Not with fewer, so that reading it waits for nothing; and not without an end, where its end is the stream's."""
    assert [len(whole)] == [size for size in range(1, len(whole) + 1) if seems_whole(whole[:size])]


def test_a_length_of_any_number_of_digits_is_too_long() -> None:
    """Of more than Python turns into an integer, too: the answer is read, and refused, at once."""
    assert seems_whole(HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n")


@pytest.mark.parametrize("end", [b"", b"body"])
def test_an_answer_without_a_length_ends_with_its_stream(end: bytes) -> None:
    """Its bytes never say that they are all."""
    assert not seems_whole(HEAD + b"\r\n" + end)


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0",
        b"x",
        CHUNKED + b"no size\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        HEAD + b"Content-Length: 1\r\n\r\nab",
        HEAD + b"Content-Length: 4194305\r\n\r\n",
    ],
)
def test_garbage_needs_no_more_bytes(garbage: bytes) -> None:
    """What is no answer, or longer than it says or may be, is read at once, which tells what is wrong."""
    assert seems_whole(garbage)


@given(st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.1 200", HEAD, CHUNKED, HEAD + b"Content-Length: "]))
def test_any_bytes_are_judged(data: bytes, begin: bytes) -> None:
    """A judgement, never an error."""
    assert seems_whole(begin + data) in (True, False)


def begun(stage: Stage, transport: SocketTransport, script: Script, body: bytes = b"{}") -> PendingCall:
    """A call in flight, which ends with the test at the latest."""
    asked = request(stage.server(script).url, body)
    connection = transport.connect(asked)
    assert not isinstance(connection, NotSent)
    call = connection.begin(asked)
    stage.stack.callback(call.result)
    stage.stack.callback(stage.clock.pass_deadline)
    return call


def answering(event: threading.Event) -> Script:
    """A server that neither reads nor answers before it is told."""

    def script(peer: Peer) -> None:
        assert event.wait(60)
        peer.read_request()
        peer.send(response(OK_BODY))

    return script


@pytest.mark.parametrize("lie", [CHUNKED + b"f" * 16 + b"\r\n", HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"])
def test_a_length_without_measure_ends_its_own_call(stage: Stage, lie: bytes) -> None:
    """No number is that long: the call is read at once, and the one beside it goes on."""
    transport = stage.transport()
    hangs, liar = begun(stage, transport, Peer.wait_closed), begun(stage, transport, answer(lie))

    assert [liar] == transport.await_any([hangs, liar])
    assert not isinstance(liar.result(), NotSent)


def test_a_head_without_an_end_is_read() -> None:
    """No answer has a head of 64 KiB."""
    assert seems_whole(HEAD + b"a: b\r\n" * 11_000)
    assert not seems_whole(HEAD + b"a: b\r\n" * 1_000)


class Counting:
    """A pattern that counts its uses."""

    def __init__(self, pattern: Any) -> None:
        self.pattern, self.uses = pattern, 0

    def match(self, *given: Any) -> Any:
        self.uses += 1
        return self.pattern.match(*given)


def test_each_chunk_of_an_answer_that_grows_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From its beginning with every arrival, a thousand arrivals would cost as much as a million chunks."""
    chunks = Counting(framing._CHUNK)
    monkeypatch.setattr(framing, "_CHUNK", chunks)
    answer, end = bytearray(CHUNKED), AnswerEnd()

    for _ in range(1_000):
        answer += b"1\r\na\r\n"
        assert not end.is_complete(answer)

    assert end.is_complete(answer + b"0\r\n\r\n")
    assert chunks.uses < 3_000


@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)
def test_an_answer_that_grows_by_bytes_ends_with_its_last_one(whole: bytes) -> None:
    """As when all of it is looked at."""
    end = AnswerEnd()

    assert [len(whole)] == [size for size in range(1, len(whole) + 1) if end.is_complete(whole[:size])]


def test_a_body_in_tiny_chunks_is_not_read_to_its_end(stage: Stage) -> None:
    """Each chunk costs as much as a kilobyte: four megabytes of them took seconds of the processor."""
    tiny = PLAINLY_CHUNKED + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n"

    result = begun(stage, stage.transport(), answer(tiny)).result()

    assert isinstance(result, NoAnswer)
    assert result.reason == "too_large"


PLAINLY_CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "status": b"HTTP/1.1 " + b"2" * 70_000,
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 3_000,
    "line of a head": HEAD + b"a: " + b"b" * 70_000,
    "folded line": HEAD + b"a: b\r\n" + b" c\r\n" * 90 + b" " + b"c" * 70_000,
    "size of a chunk": PLAINLY_CHUNKED + b"a" * 70_000,
    "size of the last chunk": PLAINLY_CHUNKED + b"0" * 70_000,
    "chunk's extension": PLAINLY_CHUNKED + b"1;" + b"a" * 70_000,
    "chunks": PLAINLY_CHUNKED + b"1\r\na\r\n" * 24_000,
    "line of the trailers": PLAINLY_CHUNKED + b"0\r\na: " + b"b" * 70_000,
    "trailers": PLAINLY_CHUNKED + b"0\r\n" + b"a: b\r\n" * 12_000,
}


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_whose_lines_do_not_end_is_refused_at_once(stage: Stage, endless: bytes) -> None:
    """The connection stays open and no deadline passes. A call beside another one ends without waiting for it."""
    transport = stage.transport()
    alone = begun(stage, transport, answer(endless, Peer.wait_closed))
    assert shown(alone.result()) == 'NoAnswer("too_large")'

    hangs = begun(stage, transport, Peer.wait_closed)
    beside = begun(stage, transport, answer(endless, Peer.wait_closed))
    assert [beside] == transport.await_any([hangs, beside])
    assert shown(beside.result()) == 'NoAnswer("too_large")'


def test_calls_end_in_the_order_of_their_answers(stage: Stage) -> None:
    """Three are in flight at once, and the first waits for nobody behind it."""
    transport, go_on = stage.transport(), [threading.Event() for _ in range(3)]
    calls = [begun(stage, transport, answering(event)) for event in go_on]
    assert transport.await_any(calls, 0.0) == []

    for n in (1, 2, 0):
        go_on[n].set()
        assert [calls[n]] == transport.await_any([call for call in calls if call is calls[n] or call is calls[0]])
        assert shown(calls[n].result()) == "Reply(200)"


def test_what_ended_as_it_began_waits_for_nobody(stage: Stage) -> None:
    """A call without a connection is told at once, though another one hangs."""
    transport = stage.transport()
    hangs = begun(stage, transport, Peer.wait_closed)
    asked = request(stage.server(answer()).url)
    connection = transport.connect(asked)
    assert not isinstance(connection, NotSent)
    connection.release()
    released = connection.begin(asked)

    assert [released] == transport.await_any([hangs, released])
    assert shown(released.result()) == 'NotSent("released")'
    transport.close()


def test_the_nearest_deadline_ends_the_wait(stage: Stage) -> None:
    """Of two calls that hang, the one whose time is over."""
    transport = stage.transport()
    early = begun(stage, transport, Peer.wait_closed)
    stage.clock.now += 5
    late = begun(stage, transport, Peer.wait_closed)
    stage.clock.now += 15

    assert [early] == transport.await_any([early, late])
    assert shown(early.result()) == 'NoAnswer("read_timeout")'
    assert transport.await_any([late], 0.0) == []


def test_a_request_that_is_not_taken_holds_nobody_up(stage: Stage) -> None:
    """The peer reads nothing of a long message: the others are answered meanwhile."""
    transport, taken = stage.transport(), threading.Event()
    stuck = begun(stage, transport, answering(taken), bytes(16_000_000))
    quick = begun(stage, transport, answer())
    hangs = begun(stage, transport, Peer.wait_closed)

    assert [quick] == transport.await_any([stuck, quick])
    taken.set()

    assert [stuck] == transport.await_any([stuck, hangs])
    assert [shown(call.result()) for call in (quick, stuck)] == ["Reply(200)"] * 2


def test_several_connections_are_made_side_by_side(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new ones begin before the first is there; a kept one is not made anew, and a dead host ends its own alone."""
    transport, server = stage.transport(), stage.server(*[Peer.wait_closed] * 4)
    kept = transport.connect(request(server.url))
    assert not isinstance(kept, NotSent)
    kept.release()
    all_at_once, make = threading.Barrier(4, timeout=60), transport._open_one

    def made(missing: Any) -> Connection | NotSent:
        all_at_once.wait()
        return make(missing)

    monkeypatch.setattr(transport, "_open_one", made)
    connections = transport.connect_all([request(f"http://127.0.0.1:{closed_port()}"), *[request(server.url)] * 4])

    assert [isinstance(one, NotSent) for one in connections] == [True, False, False, False, False]
    assert len(stage.sockets) == 4
    for one in connections[1:]:
        assert not isinstance(one, NotSent)
        one.release()
    transport.close()
