"""One GET over real sockets of this machine: to the address it is told, with the URL's own name, ended in time."""

from __future__ import annotations

import logging
import ssl
import time
from pathlib import Path

import pytest
import trustme

from tests.unit.transport.fault_table import closed_port
from tests.unit.transport.raw_server import Peer, RawServer, Script, answer, response
from worker.delivery.resolver.http_get import FetchError, SocketWeb
from worker.domain.content.web import WebAddress, web_address

HERE = "127.0.0.1"
SECRET = "canary-secret"


def address_of(port: int, scheme: str = "http", login: str = "") -> WebAddress:
    """A URL whose name resolves to nothing: only who is told the address can get there."""
    return web_address(f"{scheme}://{login}files.example.com:{port}/{SECRET}/a%20b?token={SECRET}")


def got(to: WebAddress, within_s: float = 10.0, web: SocketWeb | None = None) -> tuple[int, bytes]:
    with (web or SocketWeb()).get(to, HERE, within_s, lambda: False) as found:
        return found.status, b"".join(found.chunks)


def trouble(*scripts: Script, within_s: float = 10.0) -> str:
    """The fault of one request to a server with these scripts."""
    with RawServer(*scripts) as server, pytest.raises(FetchError) as caught:
        got(address_of(server.port), within_s)
    return str(caught.value)


def test_the_request_names_the_host_and_goes_to_the_address() -> None:
    """Nothing is looked up, nothing compressed, nothing kept; the answer's head and body come out as they are."""
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_head())
        peer.send(response(b"content", ETag="v1"))

    with RawServer(script) as server:
        to = address_of(server.port, login="ann:s%40crt@")
        with SocketWeb().get(to, HERE, 10, lambda: False) as found:
            body = b"".join(found.chunks)

    assert (200, "v1", b"content") == (found.status, found.headers["etag"], body)
    assert [
        f"GET /{SECRET}/a%20b?token={SECRET} HTTP/1.1",
        f"Host: files.example.com:{server.port}",
        "User-Agent: im-delivery-worker",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Connection: close",
        "Authorization: Basic YW5uOnNAY3J0",
    ] == seen[0].decode().strip().split("\r\n")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        response(b"x" * 200_000),
        CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (200_000, b"x" * 200_000),
        b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 200_000,
    ],
    ids=["with a length", "chunked", "until the end"],
)
def test_a_body_comes_whole_and_in_pieces(data: bytes) -> None:
    """However the server says where it ends."""
    with RawServer(answer(data)) as server, SocketWeb().get(address_of(server.port), HERE, 10, bool) as found:
        chunks = list(found.chunks)

    assert b"x" * 200_000 == b"".join(chunks)
    assert 65_536 >= max(map(len, chunks))


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        (answer(b""), "reset_after_request"),
        (answer(b"HTTP/1.1 200 OK\r\nContent-"), "cut"),
        (answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "cut"),
        (answer(CHUNKED + b"4\r\nhalf\r\n"), "cut"),
        (answer(CHUNKED + b"9\r\nhalf"), "cut"),
        (answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Peer.reset), "cut"),
        (answer(b"SSH-2.0-OpenSSH_9.6\r\n"), "garbled"),
        (answer(CHUNKED + b"no number\r\n"), "garbled"),
        (answer(CHUNKED + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n"), "too_large"),
    ],
    ids=[
        "no answer",
        "half a head",
        "half a body",
        "no last chunk",
        "half a chunk",
        "reset",
        "no HTTP",
        "no chunk",
        "tiny chunks",
    ],
)
def test_what_breaks_off_is_trouble(script: Script, fault: str) -> None:
    """Never a short file, and none whose bytes cost more than they bring."""
    assert fault == trouble(script)


def test_nobody_listens() -> None:
    """Refused."""
    with pytest.raises(FetchError, match=r"^refused$"):
        got(address_of(closed_port()))


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example.com"])
def test_a_name_without_an_address(host: str) -> None:
    """Also one that cannot be one."""
    with pytest.raises(FetchError, match=r"^dns$"):
        SocketWeb().addresses(host, 80)


def test_a_name_with_addresses() -> None:
    """Each once."""
    found = SocketWeb().addresses("localhost", 80)

    assert {HERE} <= set(found) <= {HERE, "::1"}
    assert len(set(found)) == len(found)


# -- waiting ----------------------------------------------------------------------------------------------------------


def silent(peer: Peer) -> None:
    peer.read_head()
    peer.wait_closed()


def dripping(peer: Peer) -> None:
    """A byte every twentieth of a second, for ever: no single read ever waits long."""
    peer.read_head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    peer.sock.settimeout(0.05)
    try:
        while True:
            peer.send(b"x")
            try:
                if not peer.sock.recv(1):
                    return
            except TimeoutError:
                pass
    except OSError:
        return


@pytest.mark.parametrize(("script", "fault"), [(silent, "read_timeout"), (dripping, "deadline")])
def test_everything_ends_in_time(script: Script, fault: str) -> None:
    """A server that says nothing, and one that never stops saying a little."""
    began = time.monotonic()

    assert fault == trouble(script, within_s=0.4)
    assert time.monotonic() - began < 5


def test_a_handshake_ends_in_time() -> None:
    """A server that takes the connection and never shakes hands."""
    began = time.monotonic()

    with RawServer(Peer.wait_closed) as server, pytest.raises(FetchError, match=r"^connect_timeout$"):
        got(address_of(server.port, "https"), 0.4)

    assert time.monotonic() - began < 5


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_process_that_is_ending_does_not_wait(scheme: str) -> None:
    """In the middle of an answer, or of a handshake, with all of its time left."""
    began = time.monotonic()

    with (
        RawServer(silent if scheme == "http" else Peer.wait_closed) as server,
        pytest.raises(FetchError),
        SocketWeb().get(address_of(server.port, scheme), HERE, 60, lambda: True),
    ):
        pass

    assert time.monotonic() - began < 10


# -- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certified", "taken"), [("files.example.com", True), ("other.example.com", False), (HERE, False)]
)
def test_the_certificate_is_the_names_not_the_addresses(certified: str, taken: bool, tmp_path: Path) -> None:
    """Whoever answers at the address has to prove that he is who the URL names."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(certified).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    web = SocketWeb(verify=str(tmp_path / "authority.pem"))

    with RawServer(answer(response(b"content")), tls=context) as server:
        to = address_of(server.port, "https")
        if taken:
            assert (200, b"content") == got(to, web=web)
            return
        with pytest.raises(FetchError, match=r"^tls$"):
            got(to, web=web)


def test_an_authority_nobody_knows_is_not_believed() -> None:
    """By default those of the system's bundle."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("files.example.com").configure_cert(context)

    with RawServer(answer(), tls=context) as server, pytest.raises(FetchError, match=r"^tls$"):
        got(address_of(server.port, "https"))


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [answer(b"HTTP/1.1 200 OK\r\nbad header\r\nContent-Length: 9\r\n\r\nhalf"), answer(b"garbage\r\n"), answer(b"")],
)
def test_no_url_is_in_a_log_or_an_error(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, at any level, in any cause."""
    caplog.set_level(logging.DEBUG)

    with RawServer(script) as server, pytest.raises(FetchError) as caught:
        got(address_of(server.port, login=f"{SECRET}:{SECRET}@"))

    told: list[str] = [caplog.text]
    error: BaseException | None = caught.value
    while error is not None:
        told += [str(error), repr(error), str(error.args)]
        error = error.__cause__ or error.__context__
    assert [] == [text for text in told if SECRET in text or "files.example.com" in text]
