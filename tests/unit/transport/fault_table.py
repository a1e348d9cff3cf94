"""The fault table of `faults.md` as values, and a scene for each row: a real server that makes the fault.

`SCENES[fault](stage)` gives the call's result, so that a channel's tests can read the same answers.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.unit.transport.raw_server import OK_BODY, Peer, RawServer, Script, answer, response
from worker.domain.account import DIRECT, ClientCertificate, Egress
from worker.domain.call import CallResult, FileBody, NotSent, Reply, Request
from worker.transport.connection import SocketAdapter
from worker.transport.http import Connection, SocketTransport

TOKEN = "s3cr3t-token"
DOCUMENT = Path(__file__).with_name("faults.md")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    fault: str
    certain: str
    result: str
    channel: str


def rows() -> list[Row]:
    """The table as it is written."""
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    return [Row(*row) for row in cells[1:]]


def shown(result: CallResult) -> str:
    """A result as the table writes it."""
    if isinstance(result, Reply):
        return f"Reply({result.status})"
    return f'{type(result).__name__}("{result.reason}")'


class Clock:
    """A monotonic clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_deadline(self) -> None:
        """An hour goes by."""
        self.now += 3600


@dataclass
class Stage:
    """What a scene needs: servers, a transport on a clock of its own, and probes. Everything is closed at the end."""

    stack: ExitStack
    clock: Clock = field(default_factory=Clock)
    at: dict[str, Callable[[], object]] = field(default_factory=dict)
    """What to do when the transport reaches a point (`request_written`, ...), or has `gathered` what arrived."""
    reached: list[str] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)
    """The client's ends of all connections, in the order in which they were made."""
    in_company: bool = False
    """Calls are made beside another one, in one thread."""

    def __post_init__(self) -> None:
        sockets, at = self.sockets, self.at

        class Noted(SocketAdapter):
            """A wire whose socket a test can look at."""

            def __init__(self, sock: socket.socket, monotonic: Callable[[], float]) -> None:
                sockets.append(sock)
                super().__init__(sock, monotonic)

            def gather(self) -> bool:
                whole = super().gather()
                at.get("gathered", lambda: None)()
                return whole

        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("worker.transport.connection.SocketAdapter", Noted)

    def server(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> RawServer:
        return self.stack.enter_context(RawServer(*scripts, tls=tls))

    def file(self, *blobs: trustme.Blob) -> str:
        """The path of a PEM file with these."""
        number, name = tempfile.mkstemp(suffix=".pem")
        self.stack.callback(Path(name).unlink, missing_ok=True)
        with os.fdopen(number, "wb") as file:
            file.write(b"".join(blob.bytes() for blob in blobs))
        return name

    def client_socket(self) -> socket.socket:
        """The client's end of the newest connection."""
        return self.sockets[-1]

    def transport(self, **options: Any) -> SocketTransport:
        transport = SocketTransport(**{"monotonic": self.clock, "probe": self._probe, **options})
        self.stack.callback(transport.close)
        return transport

    def _probe(self, label: str) -> None:
        self.reached.append(label)
        self.at.get(label, lambda: None)()

    def run(
        self, url: str, body: bytes | FileBody | None = b"{}", egress: Egress = DIRECT, **options: Any
    ) -> CallResult:
        """Connect and call."""
        asked = request(url, body, egress)
        connection = self.transport(**options).connect(asked)
        return connection if isinstance(connection, NotSent) else self.call(connection, asked)

    def call(self, connection: Connection, asked: Request, **options: Any) -> CallResult:
        """The call, alone or beside one that hangs and must not hold it up."""
        if not self.in_company:
            return connection.call(asked, **options)
        other = request(self.server(Peer.wait_closed).url)
        transport = SocketTransport(monotonic=self.clock)
        self.stack.callback(transport.close)
        hung = transport.connect(other)
        assert not isinstance(hung, NotSent)
        beside, call = hung.begin(other), connection.begin(asked, **options)
        while call not in transport.await_any([beside, call]):
            pass
        result = call.result()
        beside.connection.close()  # type: ignore[attr-defined]
        return result


def request(url: str, body: bytes | FileBody | None = b"{}", egress: Egress = DIRECT) -> Request:
    """A call with a token in its URL, as WeCom wants it."""
    return Request("POST", url, "/cgi-bin/message/send", {"access_token": TOKEN}, body, egress=egress)


def run(transport: SocketTransport, call: Request) -> CallResult:
    """Connect and call, as the attempt does."""
    connection = transport.connect(call)
    return connection if isinstance(connection, NotSent) else connection.call(call)


def upload(chunks: Callable[[], Any], size: int) -> FileBody:
    """A file from a generator."""
    return FileBody("media", "a.bin", "application/octet-stream", size, chunks)


def peek(sock: socket.socket, size: int = 1) -> bytes:
    """What has arrived, as soon as it is so many bytes, or the end; it is still there to be received."""
    while True:
        assert select.select([sock], [], [], 30)[0], "nothing arrived"
        arrived = sock.recv(size, socket.MSG_PEEK)
        if len(arrived) in (0, size):
            return arrived


def tls_server_context() -> tuple[trustme.CA, ssl.SSLContext]:
    """A certificate authority of our own and a server's context signed by it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return authority, context


def closed_port() -> int:
    """A port on which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


Scene = Callable[[Stage], CallResult]
SCENES: dict[str, Scene] = {}


def scene(fault: str) -> Callable[[Scene], Scene]:
    def register(play: Scene) -> Scene:
        SCENES[fault] = play
        return play

    return register


@scene("DNS: the name has no address")
def _(stage: Stage) -> CallResult:
    too_long_to_be_asked_for = ".".join(["a" * 60] * 5)
    return stage.run(f"http://{too_long_to_be_asked_for}.invalid")


@scene("refused: no server listens")
def _(stage: Stage) -> CallResult:
    return stage.run(f"http://127.0.0.1:{closed_port()}")


@scene("connect timeout: no server takes the connection")
def _(stage: Stage) -> CallResult:
    listener = stage.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _n in range(3):  # more than its queue holds
        waiting = stage.stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
    return stage.run(f"http://127.0.0.1:{listener.getsockname()[1]}", egress=Egress(connect_timeout_s=0.05))


@scene("TLS never begins: the server takes the connection and waits, such as one of http://")
def _(stage: Stage) -> CallResult:
    server = stage.server(Peer.wait_closed)
    return stage.run(f"https://127.0.0.1:{server.port}", egress=Egress(connect_timeout_s=0.05))


@scene("TLS: a certificate we do not trust")
def _(stage: Stage) -> CallResult:
    _authority, context = tls_server_context()
    return stage.run(stage.server(answer(), tls=context).url)


def through_proxy(stage: Stage, target: str, *scripts: Script, port: int = 0) -> CallResult:
    port = port or stage.server(*scripts).port
    return stage.run(target, egress=Egress(f"http://user:{TOKEN}@127.0.0.1:{port}"))


@scene("proxy refused: no proxy listens")
def _(stage: Stage) -> CallResult:
    return through_proxy(stage, "https://vendor.example", port=closed_port())


@scene("closed in the TLS handshake, such as by a proxy that opened a tunnel to nowhere")
def _(stage: Stage) -> CallResult:
    def open_and_close(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        peer.sock.recv(1000)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.wait_closed()

    return through_proxy(stage, "https://vendor.example", open_and_close)


@scene("proxy DNS: its name has no address")
def _(stage: Stage) -> CallResult:
    too_long_to_be_asked_for = ".".join(["a" * 60] * 5)
    return stage.run("https://vendor.example", egress=Egress(f"http://user:{TOKEN}@{too_long_to_be_asked_for}"))


@scene("proxy silent: it takes the connection and says nothing")
def _(stage: Stage) -> CallResult:
    proxy = stage.server(Peer.wait_closed)
    return stage.run("https://vendor.example", egress=Egress(f"http://127.0.0.1:{proxy.port}", connect_timeout_s=0.05))


@scene("proxy over TLS: a certificate we do not trust")
def _(stage: Stage) -> CallResult:
    _authority, context = tls_server_context()
    proxy = stage.server(answer(), tls=context)
    return stage.run("https://vendor.example", egress=Egress(f"https://user:{TOKEN}@127.0.0.1:{proxy.port}"))


def through_socks(stage: Stage, *words: bytes) -> CallResult:
    """The proxy hears something before each of these."""

    def script(peer: Peer) -> None:
        for word in words:
            peer.sock.recv(1000)
            peer.send(word)

    return stage.run(
        "http://vendor.example", egress=Egress(f"socks5h://u:{TOKEN}@127.0.0.1:{stage.server(script).port}")
    )


@scene("SOCKS proxy refuses user and password")
def _(stage: Stage) -> CallResult:
    return through_socks(stage, b"\x05\x02", b"\x01\x01")


@scene("SOCKS proxy does not reach the vendor: its reply 5")
def _(stage: Stage) -> CallResult:
    return through_socks(stage, b"\x05\x00", b"\x05\x05\x00\x01" + bytes(6))


@scene("SOCKS proxy closes in the handshake")
def _(stage: Stage) -> CallResult:
    return through_socks(stage, b"\x05\x00")


@scene("SOCKS proxy that speaks something else")
def _(stage: Stage) -> CallResult:
    return through_socks(stage, b"HTTP/1.1 400 Bad Request\r\n\r\n")


@scene("a file of trusted authorities that cannot be read, or holds no certificate")
def _(stage: Stage) -> CallResult:
    return stage.run("https://127.0.0.1:1", egress=Egress(ca="/nowhere/authorities.pem"))


@scene("a client certificate that cannot be read, or does not fit its key")
def _(stage: Stage) -> CallResult:
    return stage.run(
        "https://127.0.0.1:1", egress=Egress(client_certificate=ClientCertificate(stage.file(), "/nowhere/client.key"))
    )


def asking_server(stage: Stage) -> tuple[RawServer, str]:
    """A server that wants a client certificate by an authority of its own, and the file of its own authority."""
    authority, context = tls_server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    trustme.CA().configure_trust(context)
    return stage.server(answer(), tls=context), stage.file(authority.cert_pem)


@scene("a client certificate that the vendor's server refuses")
def _(stage: Stage) -> CallResult:
    # However late it says so.
    stage.stack.enter_context(pytest.MonkeyPatch.context()).setattr("worker.transport.egress.dial.REFUSAL_WAIT_S", 60.0)
    server, ca = asking_server(stage)
    leaf = trustme.CA().issue_cert("hr@example.com")
    certificate = ClientCertificate(stage.file(leaf.private_key_and_cert_chain_pem))
    return stage.run(server.url, egress=Egress(None, ca, certificate))


@scene("no client certificate where the vendor's server asks for one")
def _(stage: Stage) -> CallResult:
    server, ca = asking_server(stage)
    asked = request(server.url, egress=Egress(ca=ca))
    connection = stage.transport().connect(asked)
    assert not isinstance(connection, NotSent)
    assert select.select([stage.client_socket()], [], [], 60)[0]
    return stage.call(connection, asked)


@scene("proxy 407 to CONNECT")
def _(stage: Stage) -> CallResult:
    refusal = response(b"", "407 Proxy Authentication Required", Proxy_Authenticate="Basic")
    return through_proxy(stage, "https://vendor.example", answer(refusal))


@scene("proxy 502 to CONNECT")
def _(stage: Stage) -> CallResult:
    return through_proxy(stage, "https://vendor.example", answer(response(b"", "502 Bad Gateway")))


@scene("proxy closes during CONNECT")
def _(stage: Stage) -> CallResult:
    return through_proxy(stage, "https://vendor.example", answer(b""))


@scene("proxy answers CONNECT with something that is not HTTP")
def _(stage: Stage) -> CallResult:
    return through_proxy(stage, "https://vendor.example", answer(b"SSH-2.0-OpenSSH\r\n"))


@scene("proxy 407 to a plain http request")
def _(stage: Stage) -> CallResult:
    return through_proxy(stage, "http://vendor.example", answer(response(b"who?", "407 Authenticate")))


@scene("proxy 502 to a plain http request")
def _(stage: Stage) -> CallResult:
    return through_proxy(stage, "http://vendor.example", answer(response(b"<h1>502</h1>", "502 Bad Gateway")))


@scene("proxy setting: it cannot be read, or holds no proxy's address")
def _(stage: Stage) -> CallResult:
    return stage.run("http://vendor.example", egress=Egress(f"ftp://user:{TOKEN}@127.0.0.1:1"))


@scene("dropped before the request: a connection that had carried a call was closed while limits were reserved")
def _(stage: Stage) -> CallResult:
    taken = threading.Event()
    server = stage.server(answer(then=lambda peer: taken.wait(120)))
    transport = stage.transport()
    run(transport, request(server.url))
    stage.reached.clear()
    connection = transport.connect(request(server.url))
    taken.set()
    assert not isinstance(connection, NotSent)
    assert peek(stage.client_socket()) == b""
    return stage.call(connection, request(server.url))


@scene("closed at once: the server closed a new connection before it was asked anything")
def _(stage: Stage) -> CallResult:
    server = stage.server(lambda peer: None)
    connection = stage.transport().connect(request(server.url))
    assert not isinstance(connection, NotSent)
    assert peek(stage.client_socket()) == b""
    return stage.call(connection, request(server.url))


@scene("deadline before the first byte")
def _(stage: Stage) -> CallResult:
    server = stage.server(Peer.wait_closed)
    connection = stage.transport().connect(request(server.url))
    assert not isinstance(connection, NotSent)
    return stage.call(connection, request(server.url), deadline=stage.clock())


@scene("file unreadable before the first byte")
def _(stage: Stage) -> CallResult:
    def chunks() -> Iterator[bytes]:
        raise ConnectionResetError("the database went away")
        yield b""

    return stage.run(stage.server(Peer.wait_closed).url, upload(chunks, 10))


@scene("file breaks off during the upload")
def _(stage: Stage) -> CallResult:
    return stage.run(stage.server(Peer.wait_closed).url, upload(lambda: [b"12345"], 10))


@scene("deadline during the upload")
def _(stage: Stage) -> CallResult:
    def chunks() -> Iterator[bytes]:
        yield b"12345"
        yield b"1234"
        stage.clock.pass_deadline()
        yield b"5"

    return stage.run(stage.server(Peer.wait_closed).url, upload(chunks, 10))


def upload_into(stage: Stage, last_words: Callable[[Peer], None]) -> CallResult:
    """The server takes the head and the first bytes, says its last words, and only then the file goes on."""
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_head()  # of the request
        peer.read_head()  # of the part
        assert peer.sock.recv(5) == b"first"
        last_words(peer)
        peer.sock.close()
        gone.set()

    def chunks() -> Iterator[bytes]:
        yield b"first"
        assert gone.wait(120)
        for _ in range(1000):
            yield bytes(65536)

    return stage.run(stage.server(script).url, upload(chunks, 5 + 1000 * 65536))


@scene("reset while the request was written")
def _(stage: Stage) -> CallResult:
    return upload_into(stage, Peer.reset)


@scene("early answer while the request was written, then a close")
def _(stage: Stage) -> CallResult:
    return upload_into(stage, lambda peer: peer.send(response(b"", "413 Too Large", Connection="close")))


def served(stage: Stage, data: bytes, then: Script | None = None) -> CallResult:
    return stage.run(stage.server(answer(data, then)).url)


@scene("reset after the request was written")
def _(stage: Stage) -> CallResult:
    return served(stage, b"", Peer.reset)


@scene("closed after the request, without an answer")
def _(stage: Stage) -> CallResult:
    return served(stage, b"")


@scene("read timeout: not one byte of an answer")
def _(stage: Stage) -> CallResult:
    stage.at["request_written"] = stage.clock.pass_deadline
    return served(stage, b"", Peer.wait_closed)


@scene("slow drip past the deadline")
def _(stage: Stage) -> CallResult:
    def drip(peer: Peer) -> None:
        try:
            for n in range(3_999_999):
                if n == 1000:
                    stage.clock.pass_deadline()
                peer.send(b".")
        except OSError:
            return  # the client has had enough

    return served(stage, b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n", drip)


@scene("cut head")
def _(stage: Stage) -> CallResult:
    return served(stage, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")


@scene("cut body: fewer bytes than Content-Length")
def _(stage: Stage) -> CallResult:
    return served(stage, response(OK_BODY)[:-1])


@scene("cut body: no last chunk")
def _(stage: Stage) -> CallResult:
    return served(stage, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")


@scene("reset in the body")
def _(stage: Stage) -> CallResult:
    read = threading.Event()
    # Alone it reads what it waits for; in company, what it has gathered.
    stage.at["gathered" if stage.in_company else "answer_half"] = read.set

    def reset(peer: Peer) -> None:
        assert read.wait(120)
        peer.reset()

    return served(stage, response(OK_BODY)[:-1], reset)


@scene("not HTTP")
def _(stage: Stage) -> CallResult:
    return served(stage, b"SSH-2.0-OpenSSH_9.2\r\n", Peer.wait_closed)


@scene("two different Content-Lengths")
def _(stage: Stage) -> CallResult:
    return served(stage, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", Peer.wait_closed)


@scene("a final status below 200")
def _(stage: Stage) -> CallResult:
    return served(stage, b"HTTP/1.1 103 Early Hints\r\n\r\n", Peer.wait_closed)


@scene("huge answer, announced: over 4 MiB")
def _(stage: Stage) -> CallResult:
    return served(stage, b"HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\n\r\n", Peer.wait_closed)


@scene("huge answer, not announced: over 4 MiB")
def _(stage: Stage) -> CallResult:
    def flood(peer: Peer) -> None:
        try:
            for _ in range(100):
                peer.send(bytes(65536))
        except OSError:
            return  # the client has had enough

    return served(stage, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", flood)


@scene("TLS breaks in the answer")
def _(stage: Stage) -> CallResult:
    authority, context = tls_server_context()

    def script(peer: Peer) -> None:
        peer.read_request()
        os.write(peer.sock.fileno(), b"not a TLS record at all")

    return stage.run(stage.server(script, tls=context).url, egress=Egress(ca=stage.file(authority.cert_pem)))


@scene("process stopped past the deadline, the answer already there")
def _(stage: Stage) -> CallResult:
    whole = response(OK_BODY)
    server = stage.server(answer(whole, Peer.wait_closed))
    connection = stage.transport().connect(request(server.url))
    assert not isinstance(connection, NotSent)
    sock = stage.client_socket()

    def stop_and_continue() -> None:
        assert peek(sock, len(whole)) == whole
        stage.clock.pass_deadline()

    stage.at["request_written"] = stop_and_continue
    return stage.call(connection, request(server.url))


@scene("whole answer without a length, ended by the close")
def _(stage: Stage) -> CallResult:
    result = served(stage, b"HTTP/1.0 200 OK\r\n\r\n" + OK_BODY)
    assert isinstance(result, Reply)
    assert result.body == OK_BODY
    return result


@scene("redirect")
def _(stage: Stage) -> CallResult:
    return served(stage, response(b"", "302 Found", Location="http://127.0.0.1:1/elsewhere"))


@scene("200 with HTML")
def _(stage: Stage) -> CallResult:
    return served(stage, response(b"<html>log in, please</html>", Content_Type="text/html"))


@scene("200 with JSON of the wrong type")
def _(stage: Stage) -> CallResult:
    return served(stage, response(b"[]", Content_Type="application/json"))


@scene("500 with the vendor's JSON")
def _(stage: Stage) -> CallResult:
    return served(stage, response(b'{"errcode":-1,"errmsg":"system busy"}', "500 Internal Server Error"))


@scene("500 without the vendor's JSON")
def _(stage: Stage) -> CallResult:
    return served(stage, response(b"<h1>oops</h1>", "500 Internal Server Error"))


@scene("429 with Retry-After")
def _(stage: Stage) -> CallResult:
    return served(stage, response(b"", "429 Too Many Requests", Retry_After="7"))


@scene("503 with Retry-After")
def _(stage: Stage) -> CallResult:
    return served(stage, response(b"", "503 Service Unavailable", Retry_After="7"))
