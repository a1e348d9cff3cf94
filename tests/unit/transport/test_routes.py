"""Whose calls share connections, and how many are kept, whatever the number of accounts."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from tests.unit.transport.fault_table import Clock, Stage, request, run, shown
from tests.unit.transport.raw_server import OK_BODY, Peer, response
from worker.domain.account import DIRECT, ClientCertificate, Egress, Secret
from worker.transport.connection import PooledConnection
from worker.transport.egress.routes import FORGET_S, Route, Routes

VENDOR = "https://vendor.example"
MOST = 256


@dataclass(eq=False)
class FakeLine:
    """A connection without a network."""

    idle_since: float = 0.0
    is_open: bool = True
    wire: Any = field(init=False)

    def __post_init__(self) -> None:
        self.adapter = self

    def is_alive(self) -> bool:
        return self.is_open

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def clock() -> Clock:
    """Moves only when told."""
    return Clock()


@pytest.fixture
def routes(clock: Clock) -> Routes:
    """As a process has them."""
    return Routes(clock, max_idle_s=4.0, max_idle=MOST)


def kept(routes: Routes, route: Route) -> FakeLine:
    """A new connection of a route, given back."""
    line = FakeLine()
    routes.give_back(route, cast(PooledConnection, line), used=True)
    return line


FULL = Egress("http://me:pass@p", "/ca.pem", ClientCertificate("/c.pem", "/k.pem", "x"), 5.0, 64)
OTHERS = [
    Egress(),
    replace(FULL, proxy="http://me:other@p"),
    replace(FULL, proxy="http://you:pass@p"),
    replace(FULL, proxy="socks5://me:pass@p"),
    replace(FULL, ca="/other.pem"),
    replace(FULL, ca="system"),
    replace(FULL, client_certificate=None),
    replace(FULL, client_certificate=ClientCertificate("/c.pem", "/k.pem", "y")),
    replace(FULL, client_certificate=ClientCertificate("/c.pem", "/other.pem", "x")),
    replace(FULL, connect_timeout_s=1.0),
    replace(FULL, connections=1),
]


def test_equal_egresses_share(routes: Routes) -> None:
    """Also where one says by secrets what another says outright."""
    certificate = ClientCertificate("/c.pem", "/k.pem", Secret(lambda: "x"))
    told = replace(FULL, proxy=Secret(lambda: "http://me:pass@p"), client_certificate=certificate)

    assert routes.to(VENDOR, FULL) is routes.to(VENDOR, told) is routes.to(VENDOR, replace(FULL))


@pytest.mark.parametrize("other", OTHERS, ids=range(len(OTHERS)))
def test_others_never_do(routes: Routes, other: Egress) -> None:
    """Each field tells two apart: no idle connection of the one is one of the other's."""
    one, two = routes.to(VENDOR, FULL), routes.to(VENDOR, other)
    kept(routes, one)

    assert one is not two
    assert routes.take_idle(two) is None
    assert routes.take_idle(one) is not None


def test_a_context_is_for_one_ca_and_one_client_certificate(routes: Routes) -> None:
    """Shared by other proxies and other vendors, never by another certificate; http has none."""
    elsewhere = routes.to("https://other.example", replace(FULL, proxy="https://p"))
    one, other = routes.to(VENDOR, FULL), routes.to(VENDOR, replace(FULL, client_certificate=None))

    assert one.tls is elsewhere.tls is not None
    assert other.tls is elsewhere.proxy_tls is not one.tls
    assert routes.to("http://vendor.example", DIRECT).tls is None


def test_a_thousand_routes_keep_few_connections(routes: Routes) -> None:
    """The longest idle is closed first."""
    lines = [kept(routes, routes.to(VENDOR, Egress(f"http://proxy{n}"))) for n in range(1000)]

    assert [line.is_open for line in lines] == [False] * (1000 - MOST) + [True] * MOST


def test_what_is_not_used_is_forgotten(routes: Routes, clock: Clock) -> None:
    """Connections after seconds, routes and their TLS after a minute; as another account is used."""
    lines = [kept(routes, routes.to(VENDOR, Egress(f"http://proxy{n}", f"/ca{n}.pem"))) for n in range(100)]
    clock.now += 4.1
    routes.to(VENDOR, DIRECT)
    assert {line.is_open for line in lines} == {False}
    assert 101 == len(routes) == len(routes._trusts)
    clock.now += FORGET_S

    routes.to(VENDOR, DIRECT)

    assert 1 == len(routes) == len(routes._trusts)


def test_accounts_that_come_and_go_leave_nothing(routes: Routes, clock: Clock) -> None:
    """A new proxy each second, for half an hour."""
    most_routes, lines = 0, []
    for n in range(2_000):
        clock.now += 1
        lines.append(kept(routes, routes.to(VENDOR, Egress(f"http://proxy{n}", f"/ca{n}.pem"))))
        most_routes = max(most_routes, len(routes), len(routes._trusts))

    assert most_routes <= FORGET_S + 2
    assert sum(line.is_open for line in lines) <= 6


def test_a_connection_of_a_forgotten_route_is_closed(routes: Routes, clock: Clock) -> None:
    """A long upload outlives its route; nothing would find its connection again."""
    route = routes.to(VENDOR, Egress("http://proxy"))
    clock.now += FORGET_S + 1
    routes.to(VENDOR, DIRECT)

    assert not kept(routes, route).is_open


def test_a_wrong_url_is_no_route(routes: Routes) -> None:
    """It is told at each call, and nothing is kept of it."""
    for _ in range(2):
        with pytest.raises(Exception, match="proxy_setting"):
            routes.to(VENDOR, Egress("gopher://me:pass@p"))

    assert len(routes) == 0


def test_the_bound_holds_for_real_connections() -> None:
    """Six vendors, two idle connections at most: the four that are idle the longest are closed."""

    def polite(peer: Peer) -> None:
        while peer.read_request():
            peer.send(response(OK_BODY))

    with ExitStack() as stack:
        stage = Stage(stack)
        urls = [stage.server(polite, polite).url for _ in range(6)]
        transport = stage.transport(max_idle=2)

        results = [shown(run(transport, request(url))) for url in [*urls, *urls[4:]]]

        assert results == ["Reply(200)"] * 8
        assert [sock.fileno() == -1 for sock in stage.sockets] == [True] * 4 + [False] * 2
