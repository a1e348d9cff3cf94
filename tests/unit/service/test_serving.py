"""The HTTP server against clients that send nothing, or not all of it."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
from contextlib import closing, suppress
from typing import Any

import pytest
import uvicorn
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from worker.service.web.serving import HEAD_BYTES, PromptProtocol, accept_errors_once, serving_in_thread

ASKED = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Impatient(PromptProtocol):
    """Waits for a moment."""

    head_s = 0.02


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers after a while in which nothing else is sent."""
    await asyncio.sleep(2 * Impatient.head_s)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def answered(*pieces: bytes) -> bytes:
    """What a client reads until the connection is closed, after it has sent these pieces and nothing more."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_keep_alive=1)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: Impatient(config, ServerState(), {}), "127.0.0.1", 0
    )
    async with server:
        client = socket.create_connection(server.sockets[0].getsockname())
        client.sendall(pieces[0])  # before its time begins, which is short
        reader, writer = await asyncio.open_connection(sock=client)
        read = b""
        for piece in pieces[1:]:
            read += await reader.readuntil(b"ok")
            writer.write(piece)
        async with asyncio.timeout(60):
            read += await reader.read()
        writer.close()
        return read


@pytest.mark.parametrize("sent", [b"", b"GET", ASKED[:-2]], ids=["nothing", "a word", "all but its end"])
def test_a_connection_without_a_whole_request_is_closed(sent: bytes) -> None:
    """Whatever has come by then."""
    assert asyncio.run(answered(sent)) == b""


def test_a_request_is_answered_however_long_that_takes() -> None:
    """Only its head has to come in time; a second one on the same connection has to come in time, too."""
    read = asyncio.run(answered(ASKED, ASKED[:-2]))

    assert read.count(b"200 OK") == 1


CHUNKED = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"


class Wire(asyncio.Transport):
    """A connection of which only its end is looked at."""

    def __init__(self) -> None:
        super().__init__({"socket": socket.socket()})
        self.written, self.is_closed = b"", False

    def write(self, data: Any) -> None:
        """Keeps what is answered."""
        self.written += data

    def pause_reading(self) -> None:
        """What comes is fed all the same."""

    def resume_reading(self) -> None:
        """Nothing was paused."""

    def is_closing(self) -> bool:
        """Whether the server has had enough."""
        return self.is_closed

    def close(self) -> None:
        """Ends it."""
        self.is_closed = True


async def fed(*pieces: bytes) -> tuple[int, bytes]:
    """How many bytes a server takes on one connection, and what it answers."""
    config, wire, taken = uvicorn.Config(app, log_config=None, lifespan="off"), Wire(), 0
    server = PromptProtocol(config, ServerState(), {})
    server.connection_made(wire)
    for piece in pieces:
        if not wire.is_closed:
            taken += len(piece)
            server.data_received(piece)
    server.connection_lost(None)
    wire.get_extra_info("socket").close()
    for task in server.tasks:
        task.cancel()
    return taken, wire.written


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        (b"GET /", b"a" * 1024),
        (ASKED[:-2], b"a: " + b"b" * 1019 + b"\r\n"),
        (ASKED[:-2] + b"a: ", b"b" * 1024),
        (CHUNKED + b"0\r\n", b"a: " + b"b" * 1019 + b"\r\n"),
        (ASKED + ASKED[:-2], b"a: " + b"b" * 1019 + b"\r\n"),
    ],
    ids=["address", "headers", "one header", "after the body", "behind another request"],
)
def test_a_request_without_an_end_is_not_kept(begun: bytes, piece: bytes) -> None:
    """uvicorn would keep all that comes, until the machine has no memory left."""
    taken, answer = asyncio.run(fed(begun, *[piece] * 1000))

    assert HEAD_BYTES < taken < HEAD_BYTES + 2 * len(piece) + len(begun)
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_body_is_left_to_the_application() -> None:
    """However long: only what is beside it is counted, and each request by itself."""
    chunks = [b"400\r\n" + b"a" * 0x400 + b"\r\n"] * (8 * HEAD_BYTES // 0x400)
    sent = [CHUNKED, *chunks, b"0\r\n\r\n", *[ASKED] * (2 * HEAD_BYTES // len(ASKED))]

    assert (sum(map(len, sent)), b"") == asyncio.run(fed(*sent))


HOSTILE = {
    "many requests at once": ASKED * 5_000,
    "many headers": ASKED[:-2] + b"a:\r\n" * 10_000 + b"\r\n",
    "many parameters": b"GET /?" + b"a&" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "many encoded bytes": b"GET /" + b"%41" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "a body in tiny pieces": CHUNKED + b"1\r\na\r\n" * 10_000,
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_what_costs_us_more_than_its_sender_is_refused(piece: bytes) -> None:
    """A piece of a quarter of a megabyte, which the event loop would take apart for half a second."""
    _, answer = asyncio.run(fed(piece))

    assert answer.startswith(b"HTTP/1.1 400 ")


class Crowded(PromptProtocol):
    """Has room for three connections."""

    max_connections = staticmethod(lambda: 3)


async def with_silent_ones(before: int, asked_first: bool) -> tuple[list[bool], bytes]:
    """Which silent connections are closed when another one comes, and what that one is answered.

    With `asked_first` the first of them has sent a request, whose answer is under way.
    """
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await go.wait()
        await app(scope, receive, send)

    config, state = uvicorn.Config(slow, log_config=None, lifespan="off"), ServerState()
    config.load()
    server = await asyncio.get_running_loop().create_server(lambda: Crowded(config, state, {}), "127.0.0.1", 0)
    async with server, asyncio.timeout(60):
        place = server.sockets[0].getsockname()
        silent = []
        for _ in range(before):
            silent.append(await asyncio.open_connection(*place))
            if asked_first and len(silent) == 1:
                silent[0][1].write(ASKED)
                await begun.wait()
            while len(state.connections) < min(len(silent), Crowded.max_connections()):
                await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(*place)
        writer.write(ASKED[:-2] + b"connection: close\r\n\r\n")
        go.set()
        answer = await reader.read()
        gone = [one.at_eof() or one.exception() is not None for one, _ in silent]
        for _, one in [*silent, (reader, writer)]:
            one.close()
        return gone, answer


def test_the_connection_that_waited_longest_gives_way() -> None:
    """A new one is answered however many are silent."""
    gone, answer = asyncio.run(with_silent_ones(5, asked_first=False))

    assert gone == [True, True, True, False, False]
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_connection_whose_answer_is_under_way_stays() -> None:
    """It waits for us; others wait for their clients."""
    gone, answer = asyncio.run(with_silent_ones(3, asked_first=True))

    assert gone == [False, True, False]
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_accept_errors_are_logged_once() -> None:
    """And everything else as often as it happens, by asyncio."""
    loop = asyncio.new_event_loop()
    handler = accept_errors_once()
    with closing(loop), capture_logs() as lines:
        for _ in range(100):
            handler(loop, {"message": "socket.accept() out of system resource", "exception": OSError(24, "Too many")})

    assert [(line["event"], line["error"]) for line in lines] == [("connections_wait", "Too many")]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux can be told")
def test_a_client_that_reads_no_answer_is_given_up() -> None:
    """By the system, whether the answer is under way or was written whole; what goes on, however slowly, may."""
    assert accepted_with(socket.TCP_USER_TIMEOUT) == 1000 * PromptProtocol.reader_s


def test_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    """Also not beside a worker, on a socket that is bound before the server begins."""
    assert accepted_with(socket.TCP_NODELAY)


def accepted_with(option: int) -> int:
    """What an option is on the server's end of a connection to a console beside a worker."""
    told: list[str] = []
    listens = threading.Event()

    def tell(address: str) -> None:
        told.append(address)
        listens.set()

    with serving_in_thread(app, "127.0.0.1", 0, "console", "console.listen", tell):
        assert listens.wait(60)
        host, port = told[0].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(ASKED)
            assert client.recv(1)
            return option_of_other_end(client, option)


def option_of_other_end(client: socket.socket, option: int) -> int:
    """An option of the socket within this process that a client is connected with."""
    for number in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as end:
                    if end.getpeername() == client.getsockname():
                        return end.getsockopt(socket.IPPROTO_TCP, option)
    raise AssertionError("it is not in this process")
