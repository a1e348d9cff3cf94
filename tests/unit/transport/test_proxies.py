"""Calls through proxies of each kind, to vendors with and without TLS: who hears what, and what goes wrong."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.proxies import ProxyServer
from tests.unit.transport.fault_table import TOKEN, Stage, request, run, shown, tls_server_context
from tests.unit.transport.raw_server import OK_BODY, Peer, answer, response
from worker.domain.account import Egress, Secret
from worker.domain.call import NotSent, Reply, Request
from worker.domain.errors import ConfigurationError
from worker.transport.faults import REMEDIES

OK = "Reply(200)"
LOGIN = ("me", "p@ss:wörd")
LOGIN_IN_URL = "me:p%40ss%3Aw%C3%B6rd"
MUCH = bytes(range(256)) * 12_000
SCHEMES = ["http", "https", "socks5", "socks5h"]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Servers and transports that are closed after the test."""
    with ExitStack() as stack:
        yield Stage(stack)


def recording(seen: list[bytes], body: bytes = OK_BODY) -> Callable[[Peer], None]:
    """A vendor that keeps the connection, and remembers the requests."""

    def script(peer: Peer) -> None:
        while asked := peer.read_request():
            seen.append(asked)
            peer.send(response(body))

    return script


class Ways:
    """A vendor and a proxy before it, whose certificates are by one authority."""

    def __init__(
        self, stage: Stage, scheme: str, vendor: str, login: tuple[str, str] | None = None, body: bytes = OK_BODY
    ) -> None:
        authority, context = tls_server_context()
        self.seen: list[bytes] = []
        self.ca = stage.file(authority.cert_pem)
        self.vendor = stage.server(recording(self.seen, body), tls=context if vendor == "https" else None)
        socks = scheme.startswith("socks")
        self.proxy = stage.stack.enter_context(
            ProxyServer(socks=socks, tls=context if scheme == "https" else None, login=login)
        )
        self.scheme = scheme
        self.transport = stage.transport()

    def call(self, login: str = "", host: str = "127.0.0.1", body: bytes = b"{}") -> Request:
        url = self.vendor.url.replace("127.0.0.1", host)
        return request(url, body, Egress(self.proxy.url(self.scheme, login), ca=self.ca))


@pytest.mark.parametrize("login", [None, LOGIN], ids=["open", "with a password"])
@pytest.mark.parametrize("vendor", ["http", "https"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_call_goes_through_the_proxy(stage: Stage, scheme: str, vendor: str, login: tuple[str, str] | None) -> None:
    """Two calls by one connection; password and vendor's address are the proxy's to know, the token is not with TLS."""
    ways = Ways(stage, scheme, vendor, login)
    call = ways.call(LOGIN_IN_URL if login else "")

    results = [shown(run(ways.transport, call)) for _ in range(2)]

    [(target, given)] = ways.proxy.asked
    at = f"127.0.0.1:{ways.vendor.port}"
    forwarded = f"POST http://{at}/cgi-bin/message/send?access_token={TOKEN}"
    expected = f"SOCKS address {at}" if "socks" in scheme else f"CONNECT {at}" if vendor == "https" else forwarded
    assert results == [OK, OK]
    assert expected == target
    assert login == given
    assert [ways.proxy.accepted, ways.vendor.accepted] == [1, 1]
    assert [len(ways.seen), f"Host: {at}\r\n".encode() in ways.seen[0]] == [2, True]
    assert b"proxy-" not in ways.seen[0].lower()


@pytest.mark.parametrize("vendor", ["http", "https"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_much_goes_through_both_ways(stage: Stage, scheme: str, vendor: str) -> None:
    """Megabytes, which no socket takes at once: also through TLS within TLS."""
    ways = Ways(stage, scheme, vendor, body=MUCH)

    result = run(ways.transport, ways.call(body=MUCH))

    assert isinstance(result, Reply)
    assert [result.body == MUCH, ways.seen[0].endswith(MUCH)] == [True, True]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_calls_are_in_flight_together(stage: Stage, scheme: str) -> None:
    """One thread begins four calls and gathers their answers as they come, large as they are."""
    ways = [Ways(stage, scheme, "https", body=MUCH) for _ in range(4)]
    transport, calls = ways[0].transport, [way.call(body=MUCH) for way in ways]
    begun = []
    for call in calls:
        connection = transport.connect(call)
        assert not isinstance(connection, NotSent)
        begun.append(connection.begin(call))

    left = list(begun)
    while left:
        ended = transport.await_any(left)
        left = [call for call in left if call not in ended]

    results = [call.result() for call in begun]
    assert [shown(result) for result in results] == [OK] * 4
    assert {result.body for result in results} == {MUCH}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("scheme", "asked"), [("socks5", "SOCKS address 127.0.0.1"), ("socks5h", "SOCKS name localhost")]
)
def test_who_looks_the_vendors_name_up(stage: Stage, scheme: str, asked: str) -> None:
    """With socks5 this host, with socks5h the proxy; the certificate is checked against the name either way."""
    ways = Ways(stage, scheme, "https")

    result = run(ways.transport, ways.call(host="localhost"))

    assert shown(result) == OK
    assert [(f"{asked}:{ways.vendor.port}", None)] == ways.proxy.asked


def test_with_socks5_a_name_without_an_address_is_the_vendors_fault(stage: Stage) -> None:
    """The proxy is not to blame."""
    ways = Ways(stage, "socks5", "http")
    too_long_to_be_asked_for = ".".join(["a" * 60] * 5)

    assert shown(run(ways.transport, ways.call(host=f"{too_long_to_be_asked_for}.invalid"))) == 'NotSent("dns")'


@pytest.mark.parametrize("vendor", ["http", "https"])
@pytest.mark.parametrize("login", ["", "me:wrong"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_wrong_password(stage: Stage, scheme: str, vendor: str, login: str) -> None:
    """The account's own fault, with its remedy; a forwarding proxy's 407 is an answer, as any other's."""
    ways = Ways(stage, scheme, vendor, LOGIN)

    result = run(ways.transport, ways.call(login))

    forwards = vendor == "http" and "socks" not in scheme
    reason = "proxy_login" if "socks" in scheme else "proxy_407"
    assert ("Reply(407)" if forwards else f'NotSent("{reason}")') == shown(result)
    assert forwards or REMEDIES[reason] == result.remedy  # type: ignore[union-attr]
    assert ways.seen == []


def socks_server(*words: bytes) -> Callable[[Peer], None]:
    """Says each of these after it has heard something, and ends."""

    def script(peer: Peer) -> None:
        for word in words:
            peer.sock.recv(1000)
            peer.send(word)

    return script


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "proxy_reset"),
        ((b"\x05",), "proxy_reset"),
        ((b"\x05\x00",), "proxy_reset"),
        ((b"\x05\x00", b"\x05\x00\x00\x01\x7f"), "proxy_reset"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "proxy_garbled"),
        ((b"\x05\x07",), "proxy_garbled"),
        ((b"\x05\x02",), "proxy_garbled"),
        ((b"\x05\x00", b"\x04\x00\x00\x01"), "proxy_garbled"),
        ((b"\x05\x00", b"\x05\x00\x00\x09"), "proxy_garbled"),
        ((b"\x05\x00", b"\x05\x01\x00\x01"), "proxy_socks_1"),
        ((b"\x05\x00", b"\x05\x02\x00\x01"), "proxy_socks_2"),
        ((b"\x05\x00", b"\x05\x05\x00\x01"), "proxy_socks_5"),
        ((b"\x05\xff",), "proxy_login"),
    ],
)
def test_a_socks_proxy_that_fails(stage: Stage, words: tuple[bytes, ...], reason: str) -> None:
    """In mid-handshake, in another protocol, with a refusal: each has its class, and not a byte of the call leaves."""
    proxy = stage.server(socks_server(*words))

    result = stage.run("http://127.0.0.1:1", egress=Egress(f"socks5h://127.0.0.1:{proxy.port}"))

    assert f'NotSent("{reason}")' == shown(result)


def test_an_answer_of_socks_with_any_kind_of_address(stage: Stage) -> None:
    """What the proxy says of its own side is read to its end, and the vendor's first byte is left alone."""
    bound = [b"\x01" + bytes(4), b"\x03\x05proxy", b"\x04" + bytes(16)]
    scripts = []
    for address in bound:

        def script(peer: Peer, address: bytes = address) -> None:
            socks_server(b"\x05\x00", b"\x05\x00\x00" + address + struct.pack(">H", 80))(peer)
            answer()(peer)

        scripts.append(script)
    proxy = stage.server(*scripts)
    call = request("http://vendor.example", egress=Egress(f"socks5h://127.0.0.1:{proxy.port}"))

    assert [shown(run(stage.transport(), call)) for _ in bound] == [OK] * 3


@pytest.mark.parametrize("scheme", ["https", "socks5", "socks5h"])
@pytest.mark.parametrize("vendor", ["http", "https"])
def test_a_silent_proxy_costs_the_connect_timeout(stage: Stage, scheme: str, vendor: str) -> None:
    """It takes the connection and says nothing."""
    proxy = stage.server(Peer.wait_closed)
    way = Egress(f"{scheme}://127.0.0.1:{proxy.port}", connect_timeout_s=0.05)

    result = stage.run(f"{vendor}://127.0.0.1:1", egress=way)

    assert shown(result) == 'NotSent("proxy_connect_timeout")'


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_proxy_that_drips_gains_no_time(stage: Stage, scheme: str) -> None:
    """The time is for all of its words together: a clock that moves with each byte ends it."""

    def drip(peer: Peer) -> None:
        peer.sock.recv(1000)
        try:
            for byte in b"HTTP/1.1 200 OK\r\nX: " + bytes(100) if scheme == "http" else b"\x05\x00":
                stage.clock.now += 3
                peer.send(bytes([byte]))
            peer.wait_closed()
        except OSError:
            return  # the client has had enough

    result = stage.run("https://127.0.0.1:1", egress=Egress(f"{scheme}://127.0.0.1:{stage.server(drip).port}"))

    assert shown(result) == 'NotSent("proxy_connect_timeout")'


def test_a_proxys_endless_head(stage: Stage) -> None:
    """An answer to CONNECT without an end is none."""

    def flood(peer: Peer) -> None:
        peer.read_head()
        try:
            peer.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000)
        except OSError:
            return  # the client has had enough
        peer.wait_closed()

    result = stage.run("https://127.0.0.1:1", egress=Egress(f"http://127.0.0.1:{stage.server(flood).port}"))

    assert shown(result) == 'NotSent("proxy_garbled")'


def test_a_certificate_of_the_proxy_that_is_not_trusted(stage: Stage) -> None:
    """It is the proxy's, and not the vendor's; nothing is said to it."""
    _authority, context = tls_server_context()
    proxy = stage.server(answer(), tls=context)

    result = stage.run("https://127.0.0.1:1", egress=Egress(f"https://me:pass@127.0.0.1:{proxy.port}"))

    assert shown(result) == 'NotSent("proxy_tls")'


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_certificate_of_the_vendor_behind_a_proxy(stage: Stage, scheme: str) -> None:
    """A proxy that reads along shows a certificate of its own: the call ends before a byte of it has left."""
    authority, context = tls_server_context()
    _other, reading_along = tls_server_context()
    vendor = stage.server(answer(), tls=reading_along)
    proxy = stage.stack.enter_context(ProxyServer(socks="socks" in scheme, tls=context if scheme == "https" else None))

    way = Egress(proxy.url(scheme), ca=stage.file(authority.cert_pem))

    assert shown(stage.run(vendor.url, egress=way)) == 'NotSent("tls")'


def test_a_forwarding_proxy_hears_no_password_of_the_base_url(stage: Stage) -> None:
    """Neither the base_url's nor the proxy's is in the URL that it gets."""
    ways = Ways(stage, "http", "http")
    call = request(f"http://me:pass@127.0.0.1:{ways.vendor.port}", egress=ways.call("u:pass").egress)

    run(ways.transport, call)

    [(target, login)] = ways.proxy.asked
    assert "pass" not in target
    assert ("u", "pass") == login


def test_a_fault_of_one_account_leaves_anothers_calls_alone(stage: Stage) -> None:
    """Forty calls wait for a proxy that says nothing; those of another account do not wait for them."""
    over = threading.Event()
    silent = stage.server(lambda peer: peer.reset() if over.wait(120) else None)
    vendor = stage.server(recording([]))
    transport, begun = stage.transport(), threading.Event()

    def read() -> str:
        begun.set()
        return f"socks5h://127.0.0.1:{silent.port}"

    lost = [request(vendor.url, egress=Egress(Secret(read), connect_timeout_s=60))] * 40
    results: list[object] = []
    other = threading.Thread(target=lambda: results.extend(transport.connect_all(lost)))
    other.start()
    assert begun.wait(120)

    mine = run(transport, request(vendor.url))
    was_waiting = other.is_alive()

    over.set()
    silent.shut()
    other.join(120)
    assert shown(mine) == OK
    assert was_waiting
    assert {isinstance(one, NotSent) for one in results} == {True}


def test_a_password_that_cannot_be_read_is_this_accounts_alone(stage: Stage) -> None:
    """Nothing goes around the proxy meanwhile."""

    def gone() -> str:
        raise ConfigurationError("gone")

    vendor = stage.server(recording([]))
    transport = stage.transport()
    broken = run(transport, request(vendor.url, egress=Egress(Secret(gone))))
    whole = run(transport, request(vendor.url))

    assert [shown(broken), shown(whole)] == ['NotSent("proxy_setting")', OK]
    assert vendor.accepted == 1
