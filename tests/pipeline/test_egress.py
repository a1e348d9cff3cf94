"""Accounts of one vendor, each behind a proxy of its own: calls go their account's way, and a fault stays there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from tests.pipeline.webhook_site import a_webhook
from tests.support.control import control
from tests.support.proxies import ProxyServer
from tests.support.runtime import GETTOKEN, SEND, UPLOAD, Site, an_account, planted
from tests.unit.transport.fault_table import closed_port
from worker import Chats, Customers, external, track, webhook, why
from worker.domain.account import Account, ClientCertificate, Egress, Secret
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.faults import REMEDIES
from worker.transport.http import SocketTransport
from worker_simulator.server import running

pytestmark = pytest.mark.fewer_databases("which way a call goes is the same on each")
VENDOR = "http://vendor.test"
"""A name that only the proxies know: a call that goes round them reaches nothing."""


class Behind:
    """A simulated vendor that is reached through one proxy alone."""

    def __init__(self, stack: ExitStack, scheme: str, login: str) -> None:
        self.url = stack.enter_context(running())
        user, _, password = login.partition(":")
        self.proxy = stack.enter_context(
            ProxyServer(
                socks=scheme.startswith("socks"),
                login=(user, password),
                hosts={"vendor.test": int(self.url.rpartition(":")[2])},
            )
        )
        self.egress = Egress(Secret(lambda: self.proxy.url(scheme, login)))

    def calls(self) -> list[str]:
        """The paths that were called, each once."""
        return sorted({call["path"] for call in control(self.url, "calls")["calls"]})


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what a test has opened."""
    with ExitStack() as opened:
        yield opened


def site_of(stack: ExitStack, database: Database, clock: DrivenClock, accounts: list[Account]) -> Site:
    transport = stack.enter_context(closing(SocketTransport()))
    return stack.enter_context(planted(database, clock, accounts=accounts, transport=transport))


def test_every_call_goes_by_its_accounts_proxy(stack: ExitStack, database: Database, driven_clock: DrivenClock) -> None:
    """Tokens, uploads, messages, recalls, group sends and what became of them, of two corps at one address."""
    ways = {"a": Behind(stack, "http", "a:one"), "b": Behind(stack, "socks5h", "b:two")}
    app = {name: an_account(f"app-{name}", VENDOR, egress=way.egress) for name, way in ways.items()}
    sales = {
        name: Account(
            f"sales-{name}", "wecom_external", VENDOR, {"corpid": "ww1"}, Secret(lambda: "s1"), egress=way.egress
        )
        for name, way in ways.items()
    }
    hooks = {name: a_webhook(VENDOR, f"hook-{name}", egress=way.egress) for name, way in ways.items()}
    site = site_of(stack, database, driven_clock, [*app.values(), *sales.values(), *hooks.values()])

    asked = []
    sent = {"a": ["app", "sales"], "b": ["app", "hook"]}
    for name, kinds in sent.items():
        if "app" in kinds:
            asked.append(site.image(account=f"app-{name}"))
        if "sales" in kinds:
            customers = Customers({"ann": ["wm1"]})
            asked.append(site.ask(external.Campaign(text="hello"), customers, account=f"sales-{name}"))
        if "hook" in kinds:
            asked.append(site.ask(webhook.Text(content="hello"), Chats("wr1"), account=f"hook-{name}"))
    for _ in range(3):
        site.run()
        site.advance(2)
    with site.database.writing() as connection:
        asked.append(track(connection, asked[1], accounts=site.accounts).id)
    asked += [site.recall(asked[0]), site.recall(asked[2])]
    for _ in range(3):
        site.run()
        site.advance(2)

    recall, base = "/cgi-bin/message/recall", "/cgi-bin/externalcontact"
    assert [site.state(job) for job in asked[:4]] == ["accepted"] * 4
    assert [site.state(job) for job in asked[5:]] == ["accepted"] * 2
    assert {GETTOKEN, UPLOAD, SEND, recall, f"{base}/add_msg_template"} <= set(ways["a"].calls())
    assert any(path.startswith(f"{base}/get_groupmsg") for path in ways["a"].calls())
    assert sorted([GETTOKEN, UPLOAD, SEND, recall, "/cgi-bin/webhook/send"]) == ways["b"].calls()
    assert {login for _, login in ways["a"].proxy.asked} == {("a", "one")}
    assert set(ways["b"].proxy.asked) == {("SOCKS name vendor.test:80", ("b", "two"))}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda: Egress(f"http://127.0.0.1:{closed_port()}"), "proxy_refused"),
        (lambda: Egress(f"socks5://127.0.0.1:{closed_port()}"), "proxy_refused"),
        (lambda: Egress(ca="/nowhere/ca.pem"), "ca_file"),
        (lambda: Egress(client_certificate=ClientCertificate("/nowhere/hr.pem")), "client_certificate"),
    ],
    ids=["http proxy", "socks proxy", "ca", "client certificate"],
)
@pytest.mark.parametrize("kind", ["token", "call"])
def test_a_broken_way_stops_its_account_alone(
    stack: ExitStack, database: Database, driven_clock: DrivenClock, broken: object, reason: str, kind: str
) -> None:
    """The account waits, no attempt is counted, and people read what to change; another's messages go."""
    url = stack.enter_context(running())
    egress = broken()  # type: ignore[operator]
    base = url if egress.proxy else url.replace("http:", "https:")
    lame = an_account("lame", base, egress=egress) if kind == "token" else a_webhook(base, "lame", egress=egress)
    site = site_of(stack, database, driven_clock, [lame, an_account("well", url)])
    if kind == "token":
        waits = site.send(account="lame")
    else:
        waits = site.ask(webhook.Text(content="hello"), Chats("wr1"), account="lame")
    goes = site.send(account="well")

    site.run()

    lane = site.lane("lame")
    assert lane is not None
    assert site.state(goes) == "accepted"
    assert (site.state(waits), site.part(waits).tries) == ("queued", 0)
    prefix = "gettoken: " if kind == "token" else "no connection: "
    assert (f"{prefix}{reason}", REMEDIES[reason]) == (lane.reason, lane.remedy)
    assert site.lane("well") is None or not site.lane("well").reason  # type: ignore[union-attr]
    with site.database.reading() as connection:
        told = why(connection, waits)
    assert any(REMEDIES[reason] in wait.text for wait in told.waits)


def test_a_proxy_that_refuses_the_login_of_a_post_says_what_to_change(
    stack: ExitStack, database: Database, driven_clock: DrivenClock
) -> None:
    """Before an http vendor the refusal is an answer, and the post is in doubt."""
    way = Behind(stack, "http", "b:two")
    wrong = replace(way.egress, proxy=Secret(lambda: f"http://b:wrong@127.0.0.1:{way.proxy.port}"))
    site = site_of(stack, database, driven_clock, [a_webhook(VENDOR, "alerts", egress=wrong)])
    job = site.ask(webhook.Text(content="hello"), Chats("wr1"), account="alerts")

    site.run()

    with site.database.reading() as connection:
        told = why(connection, job)
    assert site.state(job) == "unknown"
    assert REMEDIES["proxy_407"] in str(told)


def test_an_account_goes_on_when_its_proxy_is_mended(
    stack: ExitStack, database: Database, driven_clock: DrivenClock
) -> None:
    """A new proxy in the same file or variable is used for the next connection, without a restart."""
    way = Behind(stack, "socks5h", "b:two")
    told = [f"socks5h://b:wrong@127.0.0.1:{way.proxy.port}"]
    account = a_webhook(VENDOR, "alerts", egress=replace(way.egress, proxy=Secret(lambda: told[0])))
    site = site_of(stack, database, driven_clock, [account])
    job = site.ask(webhook.Text(content="hello"), Chats("wr1"), account="alerts")
    site.run()
    lane = site.lane("alerts")
    assert lane is not None
    assert ("no connection: proxy_login", REMEDIES["proxy_login"]) == (lane.reason, lane.remedy)

    told[0] = way.proxy.url("socks5h", "b:two")
    site.advance(60)
    site.run()

    assert site.state(job) == "accepted"
