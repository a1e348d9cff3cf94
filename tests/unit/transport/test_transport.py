"""What a call sends, how connections are kept, and what never shows."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import socket
import threading
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from inspect import signature
from typing import Any

import pytest

from tests.unit.transport.fault_table import (
    TOKEN,
    Stage,
    closed_port,
    peek,
    request,
    run,
    shown,
    tls_server_context,
    upload,
)
from tests.unit.transport.raw_server import OK_BODY, Peer, RawServer, Script, answer, response
from worker.delivery.sender.runtime import Runtime
from worker.domain.account import DIRECT, Egress, Secret
from worker.domain.call import FileBody, NoAnswer, NotSent, Reply, Request
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.clock import boot_clock
from worker.transport.connection import SocketAdapter
from worker.transport.egress.proxy import resolve
from worker.transport.egress.routes import Route
from worker.transport.egress.tls import Trust
from worker.transport.http import Connection, SocketTransport

OK = "Reply(200)"


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Servers and transports that are closed after the test."""
    with ExitStack() as stack:
        yield Stage(stack)


def connected(transport: SocketTransport, call: Request) -> Connection:
    """A connection, for sure."""
    connection = transport.connect(call)
    assert not isinstance(connection, NotSent), connection
    return connection


def answering(times: int) -> Script:
    """A server that keeps the connection and answers so many requests."""

    def script(peer: Peer) -> None:
        for _ in range(times):
            peer.read_request()
            peer.send(response(OK_BODY))
        peer.wait_closed()

    return script


def recorded(seen: list[bytes], data: bytes = response(OK_BODY)) -> Script:
    """A server that remembers the request."""

    def script(peer: Peer) -> None:
        seen.append(peer.read_request())
        peer.send(data)

    return script


class TestRequest:
    """What goes over the wire."""

    def test_a_slow_look_up_takes_nothing_of_the_connect_timeout(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A resolver whose first server is dead answers after five seconds or more; then there is time to connect."""

        def slowly(host: str, port: int) -> list[tuple[int, Any]]:
            stage.clock.now += 30
            return resolve(host, port)

        monkeypatch.setattr("worker.transport.http.resolve", slowly)
        server = stage.server(recorded([]))
        connection = stage.transport().connect(request(server.url))
        assert not isinstance(connection, NotSent), connection
        connection.release()

    def test_json_post(self, stage: Stage) -> None:
        """Head and body are exactly the request's; nothing comes from the environment, nothing is compressed."""
        seen: list[bytes] = []
        server = stage.server(recorded(seen))

        result = stage.run(server.url, b'{"a":1}')

        assert (
            f"POST /cgi-bin/message/send?access_token={TOKEN} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            "User-Agent: im-delivery-worker\r\nAccept-Encoding: identity\r\n"
            'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'
        ).encode() == seen[0]
        assert shown(result) == OK

    def test_get_under_a_prefix(self, stage: Stage) -> None:
        """A base_url may have a path; a call may have neither query nor body."""
        seen: list[bytes] = []
        server = stage.server(recorded(seen))

        result = run(stage.transport(), Request("GET", f"{server.url}/wecom/", "/cgi-bin/gettoken"))

        assert seen[0].startswith(b"GET /wecom/cgi-bin/gettoken HTTP/1.1\r\n")
        assert b"Content-" not in seen[0]
        assert shown(result) == OK

    def test_query_is_encoded(self, stage: Stage) -> None:
        """A query value cannot end the request line."""
        seen: list[bytes] = []
        server = stage.server(recorded(seen))

        run(stage.transport(), Request("GET", server.url, "/x", {"q": "a b&c\r\nX: 名"}))

        assert seen[0].startswith(b"GET /x?q=a+b%26c%0D%0AX%3A+%E5%90%8D HTTP/1.1\r\n")

    @pytest.mark.parametrize(
        "change",
        [{"method": "PO ST"}, {"path": "/a b"}, {"path": "/a\r\nX: y"}, {"content_type": "a\r\nX: y"}],
        ids=["method", "path", "path with a line end", "content type with a line end"],
    )
    def test_malformed_request_never_leaves(self, stage: Stage, change: dict[str, Any]) -> None:
        """What would break the head out of its lines is refused before the first byte."""
        server = stage.server(Peer.wait_closed)

        result = run(stage.transport(), replace(request(server.url), **change))

        assert isinstance(result, NotSent)
        assert stage.reached == []

    @pytest.mark.parametrize(
        ("url", "port"), [("http://[::1]", 80), ("https://[::1]/", 443), ("http://[::1]:8081", 8081)]
    )
    def test_ipv6(self, stage: Stage, url: str, port: int) -> None:
        """An address in brackets is an address, with or without a port."""
        route = Route.to(url, DIRECT, lambda ca, certificate: Trust(ca, certificate, stage.clock))

        assert ("::1", port) == (route.host, route.port)

    @pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "http://[", "http://127.0.0.1:99999999"])
    def test_malformed_base_url(self, stage: Stage, url: str) -> None:
        """A base_url nobody can call is a value, too."""
        assert isinstance(stage.run(url), NotSent)


class TestAnswer:
    """What is read."""

    def test_reply(self, stage: Stage) -> None:
        """Status, lower-case headers, body, and how long it took."""
        server = stage.server(answer(response(OK_BODY, "200 OK", Error_Code="0")))
        stage.at["request_written"] = lambda: setattr(stage.clock, "now", stage.clock.now + 2)

        result = stage.run(server.url)

        assert isinstance(result, Reply)
        assert result.body == OK_BODY
        assert result.headers == {"content-length": str(len(OK_BODY)), "error-code": "0"}
        assert result.duration_s == 2

    @pytest.mark.parametrize("size", [1, 2, 3, 1000])
    def test_chunked(self, stage: Stage, size: int) -> None:
        """Chunks, extensions and trailers in pieces of any size give the whole body, and the connection is kept."""
        data = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'5;x=y\r\n{"err\r\n7\r\ncode":0\r\n1\r\n}\r\n0\r\nT: 1\r\n\r\n'
        )

        def script(peer: Peer) -> None:
            peer.read_request()
            for start in range(0, len(data), size):
                peer.send(data[start : start + size])
            answering(1)(peer)

        server = stage.server(script)
        transport = stage.transport()

        first, second = run(transport, request(server.url)), run(transport, request(server.url))

        assert isinstance(first, Reply)
        assert first.body == b'{"errcode":0}'
        assert shown(second) == OK
        assert server.accepted == 1

    def test_broken_chunk_is_garbled(self, stage: Stage) -> None:
        """A chunk without a size is not HTTP."""
        data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"

        assert shown(stage.run(stage.server(answer(data, Peer.wait_closed)).url)) == 'NoAnswer("garbled")'

    def test_continue_is_skipped(self, stage: Stage) -> None:
        """100 is not yet the answer."""
        data = b"HTTP/1.1 100 Continue\r\n\r\n" + response(OK_BODY)

        assert shown(stage.run(stage.server(answer(data)).url)) == OK

    def test_largest_answer(self, stage: Stage) -> None:
        """4 MiB are still read."""
        result = stage.run(stage.server(answer(response(bytes(4 * 1024 * 1024)))).url)

        assert isinstance(result, Reply)
        assert len(result.body) == 4 * 1024 * 1024


class TestDeadline:
    """One total time for the call."""

    def test_a_wait_lasts_for_what_is_left(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each wait may last for the rest of the call, not for its whole time again."""
        go_on = [threading.Event(), threading.Event()]
        left_ms: list[float] = []

        def script(peer: Peer) -> None:
            peer.read_request()
            for event, piece in zip(go_on, (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok"), strict=True):
                assert_set(event)
                peer.sock.sendall(piece)

        def wait(wire: SocketAdapter, event: int) -> bool:
            left_ms.append(wire.deadline - stage.clock())
            go_on[len(left_ms) - 1].set()
            return bool(peek(wire._sock))

        def five_seconds_later() -> None:
            stage.clock.now += 5

        stage.at = {"request_written": five_seconds_later, "answer_half": five_seconds_later}
        monkeypatch.setattr(SocketAdapter, "_wait", wait)

        result = run(stage.transport(), request(stage.server(script).url))

        assert shown(result) == OK
        assert left_ms == [15, 10]

    # The clock stands still in these two: what ends the wait is the socket's own timeout, set to what is left.

    def test_silence_while_reading(self, stage: Stage) -> None:
        """A silent server ends in a read timeout."""
        server = stage.server(Peer.wait_closed)

        result = run(stage.transport(), replace(request(server.url), deadline_s=0.05))

        assert shown(result) == 'NoAnswer("read_timeout")'

    @pytest.mark.parametrize("streamed", [False, True])
    def test_silence_while_writing(self, stage: Stage, streamed: bool) -> None:
        """A server that takes nothing ends the upload at the deadline."""
        done = threading.Event()
        server = stage.server(lambda peer: assert_set(done))
        body = upload(lambda: [bytes(1_000_000)] * 32, 32_000_000) if streamed else bytes(32_000_000)

        result = run(stage.transport(), replace(request(server.url, body), deadline_s=0.05))

        done.set()
        assert shown(result) == 'NoAnswer("deadline")'

    def test_given_deadline_wins(self, stage: Stage) -> None:
        """A deadline given with the call is used instead of the request's own."""
        server = stage.server(Peer.wait_closed)
        stage.at["request_written"] = lambda: setattr(stage.clock, "now", stage.clock.now + 5)
        call = request(server.url)

        result = connected(stage.transport(), call).call(call, deadline=stage.clock() + 4)

        assert shown(result) == 'NoAnswer("read_timeout")'

    def test_late_answer_is_read_but_its_connection_is_not_kept(self, stage: Stage) -> None:
        """After a late answer nobody knows what else comes: the next call connects anew."""
        whole = response(OK_BODY)
        server = stage.server(answer(whole, Peer.wait_closed), answering(1))
        transport = stage.transport()
        connection = connected(transport, request(server.url))
        sock = stage.client_socket()

        def stop_and_continue() -> None:
            peek(sock, len(whole))
            stage.clock.pass_deadline()
            stage.at.clear()

        stage.at["request_written"] = stop_and_continue

        assert shown(connection.call(request(server.url))) == OK
        assert shown(run(transport, request(server.url))) == OK
        assert server.accepted == 2

    def test_late_answer_over_tls(self, stage: Stage) -> None:
        """Half an answer over TLS is read after the deadline, and then nobody waits for the rest."""
        authority, context = tls_server_context()
        server = stage.server(answer(response(OK_BODY)[:-1], Peer.wait_closed), tls=context)
        stage.at["answer_half"] = stage.clock.pass_deadline

        result = stage.run(server.url, egress=Egress(ca=stage.file(authority.cert_pem)))

        assert shown(result) == 'NoAnswer("deadline")'


class TestConnections:
    """Connections are made before, kept after, and never trusted."""

    def test_kept_alive(self, stage: Stage) -> None:
        """Calls one after another go through one connection; a released one is used, too."""
        server = stage.server(answering(3))
        transport = stage.transport()

        results = [run(transport, request(server.url)) for _ in range(2)]
        connected(transport, request(server.url)).release()
        results.append(run(transport, request(server.url)))

        assert [shown(result) for result in results] == [OK] * 3
        assert server.accepted == 1

    def test_one_connection_per_caller(self, stage: Stage) -> None:
        """A connection in somebody's hands is not given to somebody else."""
        server = stage.server(answering(1), lambda peer: None)
        transport = stage.transport()

        one = connected(transport, request(server.url))
        other = connected(transport, request(server.url))

        assert len(stage.sockets) == 2
        assert shown(one.call(request(server.url))) == OK
        other.release()

    def test_dropped_while_idle(self, stage: Stage) -> None:
        """A kept connection which the server has closed is found out at connect, and another one is made."""
        server = stage.server(answer(), answering(1))
        transport = stage.transport()
        connection = connected(transport, request(server.url))
        sock = stage.client_socket()
        connection.call(request(server.url))
        assert peek(sock) == b""

        result = run(transport, request(server.url))

        assert shown(result) == OK
        assert server.accepted == 2

    def test_unasked_words_end_a_connection(self, stage: Stage) -> None:
        """A server that speaks before it is asked (408 at its idle timeout) is not taken at its word."""

        def script(peer: Peer) -> None:
            peer.send(response(b"", "408 Timeout"))
            peer.wait_closed()

        server = stage.server(script)
        connection = connected(stage.transport(), request(server.url))
        assert peek(stage.client_socket())
        stage.clock.now += 5

        assert shown(connection.call(request(server.url))) == 'NotSent("dropped")'

    def test_connection_close(self, stage: Stage) -> None:
        """An answer that says close is whole, and its connection is not used again."""
        server = stage.server(answer(response(OK_BODY, Connection="close"), Peer.wait_closed), answering(1))
        transport = stage.transport()

        assert [shown(run(transport, request(server.url))) for _ in range(2)] == [OK, OK]
        assert server.accepted == 2

    def test_idle_too_long(self, stage: Stage) -> None:
        """A connection idle for longer than any server keeps it is not used again."""
        server = stage.server(answering(1), answering(1))
        transport = stage.transport()
        run(transport, request(server.url))
        stage.clock.now += 4.1

        run(transport, request(server.url))

        assert server.accepted == 2

    def test_pool_size(self, stage: Stage) -> None:
        """No more idle connections are kept than the account says; the longest idle is closed."""
        server = stage.server(Peer.wait_closed, Peer.wait_closed)
        transport, call = stage.transport(), request(server.url, egress=Egress(connections=1))
        both = [connected(transport, call) for _ in range(2)]

        for connection in both:
            connection.release()

        assert [sock.fileno() == -1 for sock in stage.sockets] == [True, False]

    def test_released_connection_calls_nobody(self, stage: Stage) -> None:
        """After release or a first call, call is a value that says so; release is harmless twice."""
        server = stage.server(answering(1))
        transport = stage.transport()
        connection = connected(transport, request(server.url))
        connection.release()
        connection.release()

        assert connection.call(request(server.url)) == NotSent("released", 0.0)

    def test_other_host(self, stage: Stage) -> None:
        """A request is never sent through another host's connection: its token would be lost."""
        server = stage.server(Peer.wait_closed)
        connection = connected(stage.transport(), request(server.url))

        assert connection.call(request(f"http://127.0.0.1:{closed_port()}")) == NotSent("released", 0.0)

    def test_close(self, stage: Stage) -> None:
        """Closing the transport closes what is idle, and later what was in use."""
        server = stage.server(Peer.wait_closed, Peer.wait_closed)
        transport = stage.transport()
        idle, used = connected(transport, request(server.url)), connected(transport, request(server.url))
        idle.release()

        transport.close()
        used.release()

        assert [sock.fileno() for sock in stage.sockets] == [-1, -1]

    def test_threads(self, stage: Stage) -> None:
        """Eight threads share a transport and each gets its own answer."""
        servers = [stage.server(answering(20)) for _ in range(8)]
        transport = stage.transport()
        results: list[str] = []

        def work(url: str) -> None:
            results.extend(shown(run(transport, request(url))) for _ in range(20))

        threads = [threading.Thread(target=work, args=(server.url,)) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)

        assert results == [OK] * 160


class TestTls:
    """The same over TLS, and through proxies."""

    def test_kept_alive_with_tickets(self, stage: Stage) -> None:
        """TLS 1.3's session tickets, which arrive unasked, do not make a healthy connection look dropped."""
        authority, context = tls_server_context()
        server = stage.server(answering(2), tls=context)
        transport, trusting = stage.transport(), Egress(ca=stage.file(authority.cert_pem))
        connection = connected(transport, request(server.url, egress=trusting))
        sock = stage.client_socket()
        assert _readable(sock)

        first = connection.call(request(server.url, egress=trusting))
        second = run(transport, request(server.url, egress=trusting))

        assert [shown(first), shown(second)] == [OK, OK]
        assert server.accepted == 1

    @pytest.mark.parametrize("end", ["goodbye", "reset", "nonsense"])
    def test_dropped(self, stage: Stage, end: str) -> None:
        """A TLS connection ended by the server, with or without a goodbye, is found out before a byte leaves."""
        authority, context = tls_server_context()
        context.num_tickets = 0

        def script(peer: Peer) -> None:
            if end == "goodbye":
                with contextlib.suppress(OSError):
                    peer.sock.unwrap()  # type: ignore[attr-defined]
            elif end == "reset":
                peer.reset()
            else:
                os.write(peer.sock.fileno(), b"not a TLS record at all")
                peer.wait_closed()

        server = stage.server(script, tls=context)
        transport, trusting = stage.transport(), Egress(ca=stage.file(authority.cert_pem))
        connection = connected(transport, request(server.url, egress=trusting))
        assert _readable(stage.client_socket())

        result = connection.call(request(server.url, egress=trusting))

        assert shown(result) == 'NotSent("closed_at_once")'

    def test_a_connection_kept_alive_belongs_to_its_proxy(self, stage: Stage) -> None:
        """Two ways to one base_url: a connection of the one is never used for the other, whichever is idle."""
        base, proxies = "http://vendor.example", [stage.server(answering(2)) for _ in range(2)]
        transport = stage.transport()
        calls = [request(base, egress=Egress(proxy.url)) for proxy in proxies]

        results = [shown(run(transport, call)) for call in (*calls, *calls)]

        assert results == [OK] * 4
        assert [proxy.accepted for proxy in proxies] == [1, 1]

    def test_a_proxy_that_is_a_secret_is_read_for_every_connection(self, stage: Stage) -> None:
        """Its password may change while we run; one that cannot be read is a value, and nothing goes around it."""
        old, new = (stage.server(answering(2)) for _ in range(2))
        told = iter([old.url, old.url, new.url])

        def read() -> str:
            if (url := next(told, None)) is None:
                raise ConfigurationError("gone")
            return url

        transport, call = stage.transport(), request("http://vendor.example", egress=Egress(Secret(read)))

        results = [shown(run(transport, call)) for _ in range(4)]

        assert results == [OK, OK, OK, 'NotSent("proxy_setting")']
        assert [old.accepted, new.accepted] == [1, 1]

    def test_a_connection_takes_no_request_of_another_way(self, stage: Stage) -> None:
        """Made through a proxy, it does not carry a request that names none."""
        proxy = stage.server(Peer.wait_closed)
        transport = stage.transport()
        connection = connected(transport, request("http://vendor.example", egress=Egress(proxy.url)))

        result = connection.call(request("http://vendor.example"))

        assert shown(result) == 'NotSent("released")'


class TestUpload:
    """Files are streamed."""

    def test_multipart(self, stage: Stage) -> None:
        """One part with the raw UTF-8 name and filelength, and an exact Content-Length."""
        seen: list[bytes] = []
        server = stage.server(recorded(seen))
        file = FileBody("media", "七月报表.pdf", "application/pdf", 12, lambda: [b"hello ", b"", b"world!"])

        result = stage.run(server.url, file, boundary=lambda: "b0undary")

        head, _, body = seen[0].partition(b"\r\n\r\n")
        assert (
            body
            == (
                '--b0undary\r\nContent-Disposition: form-data; name="media"; filename="七月报表.pdf"; filelength=12\r\n'
                "Content-Type: application/pdf\r\n\r\nhello world!\r\n--b0undary--\r\n"
            ).encode()
        )
        assert b"Content-Type: multipart/form-data; boundary=b0undary\r\n" in head
        assert f"Content-Length: {len(body)}".encode() in head
        assert shown(result) == OK

    def test_empty_file(self, stage: Stage) -> None:
        """A source without a chunk is a file of zero bytes."""
        assert shown(stage.run(stage.server(answer()).url, upload(list, 0))) == OK

    def test_names_stay_in_their_line(self, stage: Stage) -> None:
        """A file's name cannot close its quotes, add a header or a part."""
        seen: list[bytes] = []
        server = stage.server(recorded(seen))
        file = FileBody('m"\r\nX: 1', 'a"; x="\r\nX: 2\x00.txt', "text/plain\r\nX: 3", 1, lambda: [b"."])

        stage.run(server.url, file)

        part = seen[0].partition(b"\r\n\r\n")[2].partition(b"\r\n\r\n")[0]
        assert part.split(b"\r\n")[1:] == [
            b'Content-Disposition: form-data; name="m%22%0D%0AX: 1"; '
            b'filename="a%22; x=%22%0D%0AX: 2%00.txt"; filelength=1',
            b"Content-Type: text/plain%0D%0AX: 3",
        ]

    @pytest.mark.parametrize(
        ("chunks", "expected"),
        [([b"12345", b"6"], 'NoAnswer("file")'), ([b"123456"], 'NotSent("file")'), ([], 'NotSent("file")')],
    )
    def test_wrong_size(self, stage: Stage, chunks: list[bytes], expected: str) -> None:
        """A file that is not as long as promised is never completed; seen in its first chunk, it never leaves."""
        assert shown(stage.run(stage.server(Peer.wait_closed).url, upload(lambda: chunks, 5))) == expected

    def test_flat_memory(self, stage: Stage) -> None:
        """20 MB pass through without being held."""
        chunk, count = bytes(256 * 1024), 80

        def script(peer: Peer) -> None:
            peer.read_head()
            left = 20 * 1024 * 1024
            while left > 0:
                left -= len(peer.sock.recv(65536))
            peer.send(response(OK_BODY))

        server = stage.server(script)
        transport = stage.transport()
        tracemalloc.start()
        try:
            result = run(transport, request(server.url, upload(lambda: (chunk for _ in range(count)), 80 * len(chunk))))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert shown(result) == OK
        assert peak < 2 * 1024 * 1024


def parts_of(whole: object) -> list[object]:
    """An object and all objects it is made of, as far as their classes are ours or the HTTP engine's."""
    seen: dict[int, object] = {}
    found, left = [], [whole]
    while left:
        one = left.pop()
        ours = any(base.__module__.startswith(("worker.", "urllib3.")) for base in type(one).__mro__)
        if id(one) in seen or not (ours or isinstance(one, dict | list | tuple | deque)):
            continue
        seen[id(one)] = one
        left += gc.get_referents(one)
        if ours:
            found.append(one)
    return found


class TestSecrets:
    """No token, no password, in nothing that can be printed."""

    def test_reprs(self, stage: Stage) -> None:
        """Every object a traceback or a log could print shows at most the origin."""
        base = "http://me:pass@vendor.example"
        proxy = stage.server(Peer.wait_closed)
        transport = stage.transport()
        call = request(base, egress=Egress(f"http://u:pass@127.0.0.1:{proxy.port}"))
        connection = connected(transport, call)

        parts = parts_of(connection)
        shown_text = repr([replace(call, base_url="http://vendor.example"), *parts])
        connection.release()

        held = {type(part).__name__ for part in parts}
        assert {"SocketTransport", "PooledConnection", "HTTPConnection", "Proxy", "Egress"} <= held
        assert "<Connection http://vendor.example>" in shown_text
        assert "pass" not in shown_text
        assert TOKEN not in shown_text

    def test_strange_header_is_logged_without_the_query(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        """urllib3 warns of unreadable headers with the whole URL; the query is taken out."""
        caplog.set_level("DEBUG")
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno colon here\r\nX: y\r\n\r\n{}"

        stage.run(stage.server(answer(data)).url)

        assert "Failed to parse headers" in caplog.text
        assert "message/send?..." in caplog.text
        assert TOKEN not in caplog.text

    @pytest.mark.parametrize("module", ["connection", "connectionpool", "poolmanager", "util.retry"])
    def test_urllib3_loggers_lose_queries(self, module: str, caplog: pytest.LogCaptureFixture) -> None:
        """Whatever else in the process uses urllib3, its records have no query, and no exception with one."""
        caplog.set_level("DEBUG")
        SocketTransport().close()

        error = ValueError(TOKEN)
        logging.getLogger(f"urllib3.{module}").debug(
            '"GET /gettoken?corpsecret=%s HTTP/1.1" %s', TOKEN, 200, exc_info=error
        )

        assert '"GET /gettoken?... HTTP/1.1" 200' in caplog.text
        assert TOKEN not in caplog.text

    def test_unforeseen_error_has_only_a_class(self, stage: Stage) -> None:
        """An exception nobody foresaw becomes a value; its text is dropped."""

        def fail() -> None:
            raise RuntimeError(f"https://vendor/?access_token={TOKEN}")

        server = stage.server(answer(), answer())
        stage.at["request_written"] = fail
        left = stage.run(server.url)
        stage.at = {"first_byte": fail}
        never = stage.run(server.url)

        assert isinstance(left, NoAnswer)
        assert left.reason == "RuntimeError"
        assert isinstance(never, NotSent)
        assert never.reason == "RuntimeError"


class TestProbe:
    """The points at which a test may kill the process."""

    def test_order(self, stage: Stage) -> None:
        """All four, once each, in order; for an upload as well."""
        server = stage.server(answer(), answer())
        expected = ["first_byte", "request_written", "answer_half", "answer_read"]

        stage.run(server.url)
        stage.run(server.url, upload(lambda: [b"12", b"345"], 5))

        assert stage.reached == expected * 2

    def test_nothing_left_at_first_byte(self, stage: Stage) -> None:
        """A process that dies at first_byte has sent nothing, and its socket is closed even when only a thread dies."""
        received: list[bytes] = []
        ended = threading.Event()

        def script(peer: Peer) -> None:
            received.append(peer.sock.recv(1))
            ended.set()

        server = stage.server(script)

        def die() -> None:
            raise SystemExit

        stage.at["first_byte"] = die
        connection = connected(stage.transport(), request(server.url))
        sock = stage.client_socket()

        with pytest.raises(SystemExit):
            connection.call(request(server.url))

        assert sock.fileno() == -1
        assert_set(ended)
        assert received == [b""]


def assert_set(event: threading.Event) -> None:
    """Wait for somebody else's step."""
    assert event.wait(120)


def _readable(sock: socket.socket) -> bool:
    """Wait until something, were it only TLS's own, has arrived."""
    return bool(select.select([sock], [], [], 30)[0])


def test_a_machine_that_slept_past_the_deadline_sends_no_more_when_it_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline counts a suspended host's sleep: the others have called this process dead meanwhile."""
    read, slept = time.clock_gettime, []
    monkeypatch.setattr(time, "clock_gettime", lambda clock: read(clock) + sum(slept))
    with RawServer(answer()) as server:
        transport = SocketTransport(probe=lambda label: slept.append(3_600.0) if label == "first_byte" else None)
        call = request(server.url, body=b"x" * 20_000_000)

        result = connected(transport, call).call(call)
        transport.close()

    assert slept == [3_600.0]
    assert isinstance(result, NoAnswer)


def test_every_clock_that_lets_a_call_go_counts_the_machines_sleep() -> None:
    """Lease, deadline and permit by one clock: of two, one could say that an hour has passed and the other none."""
    clocks = [signature(made).parameters["monotonic"].default for made in (Runtime, SocketTransport)]

    assert [boot_clock] * 3 == [*clocks, signature(Runtime).parameters["life_clock"].default]
