"""The session of requests over real sockets of this machine: one connection a request, bounded and ended in time."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.unit.transport.fault_table import closed_port
from tests.unit.transport.raw_server import Peer, RawServer, Script, answer, response
from worker.domain.account import DIRECT, Egress
from worker.transport.egress.proxy import Addresses
from worker.transport.session import Web, WebError

HERE = "127.0.0.1"
SECRET = "canary-secret"


def resolve(host: str, port: int) -> Addresses:
    """Every name resolves to this machine."""
    return [(socket.AF_INET, (HERE, port))]


WEB = Web(resolve=resolve, monotonic=lambda: 0.0)
"""Its deadlines never pass."""


def url_of(port: int, scheme: str = "http", login: str = "") -> str:
    return f"{scheme}://{login}files.example.com:{port}/{SECRET}/a%20b?token={SECRET}"


def got(url: str, within_s: float = 10.0, egress: Egress = DIRECT, web: Web = WEB, **options: Any) -> tuple[int, bytes]:
    with web.session(within_s, egress=egress, **options) as session:
        found = session.get(url, stream=True)
        return found.status_code, b"".join(found.iter_content(65_536))


def trouble(*scripts: Script, within_s: float = 10.0, **options: Any) -> str:
    """The fault of one request to a server with these scripts."""
    with RawServer(*scripts) as server, pytest.raises(WebError) as caught:
        got(url_of(server.port), within_s, **options)
    return str(caught.value)


def test_the_request_names_the_host_and_goes_to_the_address() -> None:
    """Nothing is compressed, nothing kept; the answer's head and body come out as they are."""
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_head())
        peer.send(response(b"content", ETag="v1"))

    with RawServer(script) as server, WEB.session(10) as session:
        found = session.get(url_of(server.port, login="ann:s%40crt@"))

    assert (found.status_code, found.headers["etag"], found.content) == (200, "v1", b"content")
    assert [
        f"GET /{SECRET}/a%20b?token={SECRET} HTTP/1.1",
        f"Host: files.example.com:{server.port}",
        "User-Agent: im-delivery-worker",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Connection: close",
        "Authorization: Basic YW5uOnNAY3J0",
    ] == seen[0].decode().strip().split("\r\n")


def test_the_environment_decides_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no authorities and no password come from it."""
    (tmp_path / "netrc").write_text("default login ann password canary", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{HERE}:1")
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_head())
        peer.send(response(b"content"))

    with RawServer(script) as server:
        assert got(url_of(server.port)) == (200, b"content")

    assert b"authorization" not in seen[0].lower()


def test_the_next_address_is_tried_where_one_is_away() -> None:
    """Within one request."""
    web = Web(
        monotonic=lambda: 0.0, resolve=lambda host, port: [(socket.AF_INET6, ("::1", port)), *resolve(host, port)]
    )

    with RawServer(answer(response(b"content"))) as server:
        assert got(url_of(server.port), web=web) == (200, b"content")


def test_a_header_that_would_end_its_line_never_leaves() -> None:
    """Nothing is sent."""
    with RawServer(answer()) as server, WEB.session(10) as session, pytest.raises(WebError):
        session.get(url_of(server.port), headers={"Authorization": "Bearer x\r\nX: y"})

    assert server.accepted == 0


def test_a_cookie_is_not_kept() -> None:
    """Not even for a redirect."""
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_head())
        is_first = len(seen) == 1
        peer.send(response(b"", "302 Found", Location="/b", Set_Cookie="a=b; path=/") if is_first else response(b"end"))

    with RawServer(script, script) as server:
        assert got(url_of(server.port)) == (200, b"end")

    assert len(seen) == 2
    assert b"cookie" not in seen[1].lower()


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_a_compressed_body_counts_decoded() -> None:
    """A few kilobytes that become a thousand times as many are left as soon as they are too many."""
    bomb = response(gzip.compress(b"x" * 10_000_000), Content_Encoding="gzip")
    small = response(gzip.compress(b"x" * 1_000), Content_Encoding="gzip")

    with RawServer(answer(small)) as server:
        assert got(url_of(server.port), max_bytes=100_000) == (200, b"x" * 1_000)
    assert trouble(answer(bomb), max_bytes=100_000) == "too_large"


def test_a_compressed_body_that_decodes_to_nothing_ends() -> None:
    """Its bytes count, too."""
    empty = gzip.compress(b"") * 50_000
    answered = CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(empty), empty)

    assert trouble(answer(answered), max_bytes=1_000) == "too_large"


def test_a_redirects_body_is_bounded_as_well() -> None:
    """It is read before the redirect is followed."""
    page = response(b"x" * 2_000, "302 Found", Location="/b")

    assert trouble(answer(page), max_bytes=1_000) == "too_large"


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
    with RawServer(answer(data)) as server, WEB.session(10) as session:
        chunks = list(session.get(url_of(server.port), stream=True).iter_content(65_536))

    assert b"".join(chunks) == b"x" * 200_000
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
    with pytest.raises(WebError, match=r"^refused$") as caught:
        got(url_of(closed_port()))

    assert "nothing listens there" in str(caught.value.remedy)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example.com"])
def test_a_name_without_an_address(host: str) -> None:
    """Also one that cannot be one."""
    with pytest.raises(WebError, match=r"^(dns|bad_address)$"):
        got(f"http://{host}/", web=Web())


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

    assert fault == trouble(script, within_s=0.4, web=Web(resolve=resolve))
    assert time.monotonic() - began < 5


def test_a_handshake_ends_in_time() -> None:
    """A server that takes the connection and never shakes hands."""
    began = time.monotonic()

    with RawServer(Peer.wait_closed) as server, pytest.raises(WebError, match=r"^deadline$"):
        got(url_of(server.port, "https"), 0.4, web=Web(resolve=resolve))

    assert time.monotonic() - began < 5


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_process_that_is_ending_does_not_wait(scheme: str) -> None:
    """In the middle of an answer, or of a handshake, with all of its time left."""
    began = time.monotonic()

    with RawServer(silent if scheme == "http" else Peer.wait_closed) as server, pytest.raises(WebError):
        got(url_of(server.port, scheme), 60, stopping=lambda: True)

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
    egress = Egress(ca=str(tmp_path / "authority.pem"))

    with RawServer(answer(response(b"content")), tls=context) as server:
        to = url_of(server.port, "https")
        if taken:
            assert got(to, egress=egress) == (200, b"content")
            return
        with pytest.raises(WebError, match=r"^tls$"):
            got(to, egress=egress)


def test_an_authority_nobody_knows_is_not_believed() -> None:
    """By default those of certifi."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("files.example.com").configure_cert(context)

    with RawServer(answer(), tls=context) as server, pytest.raises(WebError, match=r"^tls$"):
        got(url_of(server.port, "https"))


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [answer(b"HTTP/1.1 200 OK\r\nbad header\r\nContent-Length: 9\r\n\r\nhalf"), answer(b"garbage\r\n"), answer(b"")],
)
def test_no_url_is_in_a_log_or_an_error(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, at any level, in any cause."""
    caplog.set_level(logging.DEBUG)

    with RawServer(script) as server, pytest.raises(WebError) as caught:
        got(url_of(server.port, login=f"{SECRET}:{SECRET}@"))

    told: list[str] = [caplog.text]
    error: BaseException | None = caught.value
    while error is not None:
        told += [str(error), repr(error), str(error.args)]
        error = error.__cause__ or error.__context__
    assert [text for text in told if SECRET in text or "files.example.com" in text] == []
