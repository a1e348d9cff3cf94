"""The inbox is a page in a browser that has other pages open, and draws what others wrote."""

from __future__ import annotations

from contextlib import suppress
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.unit.simulator.conftest import Vendor
from tests.unit.simulator.inbox.conftest import AT, Browser
from worker_simulator.inbox.guard import is_known_host, is_loopback
from worker_simulator.inbox.query import ConversationKey
from worker_simulator.request import HttpRequest

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>"
FOREIGN = {"img", "svg", "iframe", "object", "embed", "style", "base"}
"""Elements that no page with only texts in it has."""
PAGES = ["/", "/_inbox/list", "/_inbox/talk", "/_inbox/style.css", "/_inbox/inbox.js", "/_inbox/icon.svg", "/_inbox/no"]


class Tags(HTMLParser):
    """The elements of a page, its scripts, and what would run or style without one."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.scripts: set[str] = set()
        self.handlers: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if tag == "script":
            self.scripts.add(str(values.get("src")).removeprefix("/_inbox/"))
        self.handlers |= {name for name in values if name.startswith("on") or name == "style"}
        self.handlers |= {str(value) for value in values.values() if str(value).startswith("javascript:")}


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_has_the_headers(browser: Browser, path: str) -> None:
    """A strict policy of contents, no frames, no sniffing, no referrer, nothing kept."""
    headers = browser.get(path).headers

    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    own = dict.fromkeys(("script-src", "style-src", "img-src", "media-src", "connect-src", "form-action"), "'self'")
    nothing = dict.fromkeys(("default-src", "frame-ancestors", "base-uri"), "'none'")
    assert own | nothing == policy
    assert tuple(headers[name] for name in ("X-Content-Type-Options", "Referrer-Policy", "Cache-Control")) == (
        "nosniff",
        "no-referrer",
        "no-store",
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": None, "Origin": "null"},
        {"Sec-Fetch-Site": None, "Origin": None},
        {"Sec-Fetch-Site": None, "Origin": "http://evil.example"},
        {"Sec-Fetch-Site": None, "Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": None, "Origin": "file://127.0.0.1"},
    ],
)
def test_a_foreign_page_presses_nothing(browser: Browser, headers: dict[str, Any]) -> None:
    """403, whatever its form holds."""
    reply = browser.act("clock", headers, do="freeze")

    assert reply.status_code == 403
    assert "Only this page may act" in reply.text
    assert not browser.vendor.control("GET", "clock")["frozen"]


def test_a_browser_that_names_no_site_is_known_by_its_origin(browser: Browser) -> None:
    """As over plain HTTP from another machine."""
    reply = browser.act("clock", {"Sec-Fetch-Site": None, "Origin": browser.url}, do="freeze")  # type: ignore[dict-item]

    assert reply.status_code == 303


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_acts_are_posts_alone(browser: Browser, method: str) -> None:
    """A link or a picture of another page presses nothing."""
    reply = browser.session.request(method, f"{browser.url}/_inbox/act/clear_faults", timeout=60)

    assert (reply.status_code, reply.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/_inbox/events"])
def test_pages_are_only_looked_at(browser: Browser, path: str, method: str) -> None:
    """405 for anything else, of the stream of events, too."""
    assert browser.session.request(method, f"{browser.url}{path}", timeout=60).status_code == 405


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]", "10.0.0.1"])
@pytest.mark.parametrize("path", ["/", "/_inbox/talk", "/_inbox/events", "/_inbox/style.css"])
def test_a_name_that_was_made_to_point_here_gets_nothing(browser: Browser, host: str, path: str) -> None:
    """Listening on loopback, the page is asked for by loopback's names."""
    reply = browser.get(path, {"Host": host})

    assert reply.status_code == 403
    assert "inbox.js" not in reply.text


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "localhost:8081", "[::1]:8081", "demo.localhost"])
def test_loopback_has_these_names(browser: Browser, host: str) -> None:
    """With any port."""
    assert browser.get("/", {"Host": host}).status_code == 200


def test_a_page_that_others_reach_takes_any_name() -> None:
    """As in a container, by the name of its service."""
    request = HttpRequest("GET", "/", {}, headers={"host": "simulator:8081"})

    assert is_known_host(request, loopback=is_loopback("0.0.0.0"))
    assert not is_known_host(request, loopback=is_loopback("::1"))
    assert not is_known_host(request, loopback=is_loopback("localhost"))


def test_what_others_wrote_is_text(vendor: Vendor, browser: Browser) -> None:
    """In messages, names, file names, chats, settings, callbacks and errmsgs; on every part of the page."""
    vendor.settings(directory={"names": {"chenmo": EVIL}}, token={"wrong_secret": EVIL})
    refusal = {"answer": {"errcode": 1, "errmsg": EVIL}}
    vendor.faults({"times": 1, "match": {"body_contains": "errmsg"}, "action": refusal})
    vendor.control("POST", "faults", {"match": {"path": EVIL}, "action": {"status": 500, "body": EVIL}})
    media_id = vendor.upload(b"xxxxxx", "file", "<img src=x onerror=alert(1)>.txt")["media_id"]
    app = {"agentid": 1, "touser": "chenmo"}
    vendor.send({**app, "msgtype": "text", "text": {"content": EVIL}})
    vendor.send({**app, "msgtype": "text", "text": {"content": "errmsg"}})
    vendor.send({**app, "msgtype": "file", "file": {"media_id": media_id}})
    vendor.post("appchat/create", {"name": EVIL[:50], "userlist": ["chenmo", "lisi"], "chatid": "c1"})
    vendor.post("appchat/send", {"chatid": "c1", "msgtype": "text", "text": {"content": EVIL}})
    vendor.gettoken(EVIL, EVIL)
    seqs = [call["seq"] for call in vendor.calls()]

    looks: list[dict[str, Any]] = [{"at": AT}, {"at": "chat:ww1:c1"}, {"q": EVIL}, {"q": "alert"}]
    looks += [{"panel": name, "at": AT} for name in ("calls", "rules", "faults", "limits", "clock", "callback")]
    looks += [{"panel": "call", "call": seq} for seq in seqs]
    looks += [{"person": EVIL, "at": "webhook:group:wr1"}, {"at": str(ConversationKey("app", EVIL, EVIL))}]
    for look in looks:
        found = Tags()
        found.feed(browser.text("/", **look))
        assert found.scripts == {"inbox.js"}
        assert found.handlers == set()
        assert found.tags & FOREIGN == set()


@pytest.mark.parametrize(
    "path",
    [
        "/_inbox/../control.py",
        "/_inbox/%2e%2e/%2e%2e/vendor_state.py",
        "/_inbox/static/inbox.js",
        "/_inbox/templates/page.html",
        "/_inbox/media/..%2f..%2f..%2fetc%2fpasswd/x",
        "/_inbox/media//x",
        "/_inbox/media/x",
        "/_inbox/act",
        "/_inbox/",
    ],
)
def test_no_path_leads_out(browser: Browser, path: str) -> None:
    """Only the names that there are; every other is 404."""
    answer = browser.vendor.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"Content-Security-Policy" in answer


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_is_too_large_is_cut_off(browser: Browser, chunked: bool) -> None:
    """413 before it was read to its end."""
    size = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 999999999"
    head = b"POST /_inbox/act/settings HTTP/1.1\r\nHost: localhost\r\n" + size + b"\r\n\r\n"
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if chunked else b"x" * 65536

    with browser.vendor.connect() as connection:
        connection.sendall(head)
        with suppress(ConnectionError):  # it is cut off while the rest is sent; the answer is there all the same
            for _ in range(5):
                connection.sendall(piece)
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "body", [b'{"do": "freeze"}', b"&".join(b"f%d=1" % n for n in range(1000))], ids=["json", "fields"]
)
def test_a_form_is_a_form(browser: Browser, body: bytes) -> None:
    """400 for other bodies, and for more fields than any page has."""
    kind = "application/json" if body.startswith(b"{") else "application/x-www-form-urlencoded"
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": kind}

    reply = browser.session.post(f"{browser.url}/_inbox/act/clock", data=body, headers=headers, timeout=60)

    assert reply.status_code == 400


def test_an_act_that_there_is_not_is_404(browser: Browser) -> None:
    """As any other address."""
    assert browser.act("nonsense").status_code == 404


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}]
)
def test_a_foreign_page_controls_nothing_either(browser: Browser, headers: dict[str, str]) -> None:
    """What the page's forms refuse cannot be had by going round them."""
    reply = browser.session.post(f"{browser.url}/_control/clock", json={"frozen": True}, headers=headers, timeout=60)

    assert reply.status_code == 403
    assert not browser.vendor.control("GET", "clock")["frozen"]
