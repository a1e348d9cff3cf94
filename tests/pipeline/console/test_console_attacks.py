"""What is tried against the console from outside, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.pipeline.console.console_site import FixedDoor, browser_of, signed_in, site_of, users
from tests.support.browser import FORM, Browser
from worker.config.console import ConsoleSettings
from worker.console import console_app
from worker.console.app import FORM_BYTES, guarded
from worker.console.guard import HEADERS
from worker.console.page import ConsoleRequest, NotFound, PageRoute, Redirect, View
from worker.console.viewer import Viewer
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("what is refused here is refused before any SQL")

PROXY = "10.0.0.9"
BEHIND_PROXY = {"proxies": ["10.0.0.0/24"], "hosts": ["console.example.com"], "user_header": "X-User", "users": users()}


def behind_proxy(database: Database, client: str = PROXY, **settings: object) -> Browser:
    """A browser whose requests come from this address."""
    app = console_app(site=site_of(database, **{**BEHIND_PROXY, **settings}))
    return Browser(app, host="console.example.com", client=client)


@pytest.fixture
def browser(database: Database) -> Browser:
    """An administrator's."""
    app = console_app(site=site_of(database, users=users()))
    return signed_in(Browser(app))


# -- forms of other sites ---------------------------------------------------------------------------------------------


def test_a_form_without_its_token_is_refused(browser: Browser, database: Database) -> None:
    """Also one with the token of another browser."""
    another = Browser(console_app(site=site_of(database, users=users())))
    token = another.get("/sign-in").forms["/choice"].fields["csrf"]

    refused = [browser.post("/sign-out", fields).status for fields in ({}, {"csrf": ""}, {"csrf": token})]

    assert refused == [403, 403, 403]
    assert browser.get("/").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "cross-site", "origin": "http://localhost"},
    ],
)
def test_a_form_of_another_site_is_refused_even_with_the_token(browser: Browser, headers: dict[str, str]) -> None:
    """What the browser says of its origin counts beside the token."""
    fields = browser.get("/").forms["/sign-out"].fields

    assert browser.post("/sign-out", fields, **headers).status == 403
    assert browser.get("/").status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost", 303), ("http://evil.example", 403), ("https://localhost", 403), ("null", 403), ("", 403)],
)
def test_a_browser_that_does_not_tell_the_site_is_judged_by_its_origin(
    browser: Browser, origin: str, status: int
) -> None:
    """Older browsers send an Origin with each form."""
    fields = browser.get("/").forms["/sign-out"].fields

    assert status == browser.send("POST", "/sign-out", _encoded(fields), content_type=FORM, origin=origin).status


def test_a_sign_in_that_another_site_sends_is_refused(database: Database) -> None:
    """Else a person would act under the attacker's name."""
    browser = Browser(console_app(site=site_of(database, users=users())))
    fields = {**browser.get("/sign-in").forms["/sign-in"].fields, "name": "ada", "password": "x"}

    assert browser.post("/sign-in", fields, sec_fetch_site="cross-site").status == 403
    assert browser.post("/sign-in", {**fields, "csrf": "x"}).status == 403


def _encoded(fields: dict[str, str]) -> bytes:
    return "&".join(f"{name}={value}" for name, value in fields.items()).encode()


# -- other places -----------------------------------------------------------------------------------------------------


ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "///evil.example",
    "/%2Fevil.example",
    "/%2f%2Fevil.example/jobs",
    "javascript:alert(1)",
    "evil.example",
    "http:evil.example",
    "//[",
    "/jobs\r\nset-cookie: a=b",
    "",
]


def test_a_redirect_leads_to_the_console_only(browser: Browser) -> None:
    """Whatever `next` says, and no header is put in by it: before and after the sign-in, and behind a choice."""
    fields = browser.get("/").forms["/choice"].fields

    chosen = [browser.post("/choice", {**fields, "theme": "dark", "next": onward}) for onward in ELSEWHERE]
    asked = [browser.send("GET", f"/sign-in?{urlencode({'next': onward})}") for onward in ELSEWHERE]

    assert {(shown.status, shown.location) for shown in (*chosen, *asked)} == {(303, "/")}


def test_a_path_with_a_slash_at_its_end_is_no_page(browser: Browser) -> None:
    """A redirect there would lead from https to http."""
    assert browser.get("/jobs/").status == 404


@pytest.mark.parametrize("onward", ["/jobs?ids=a&ids=b&tag=x+y", "/jobs/%C3%BC", "/jobs?state="])
def test_a_choice_leads_back_to_where_it_was_made(browser: Browser, onward: str) -> None:
    """With all values of its query."""
    fields = browser.get("/").forms["/choice"].fields

    assert onward == browser.post("/choice", {**fields, "lang": "en", "next": onward}).location


def test_only_our_own_hosts_are_answered(browser: Browser) -> None:
    """Neither a page nor a redirect is made for any other name (DNS rebinding, poisoned links)."""
    own = ["localhost", "LOCALHOST:8091", "127.0.0.1:8091", "[::1]:8091"]
    others = ["evil.example", "localhost.evil.example", "localhost:80@evil.example", "", "127.0.0.2"]

    shown = [browser.get("/", host=host) for host in others]

    refusal = "the console does not answer to this host name; name it in console.hosts\n"
    assert {(one.status, one.text) for one in shown} == {(421, refusal)}
    assert {browser.get("/", host=host).status for host in own} == {200}


@pytest.mark.parametrize(
    "onward", ['/"><script>alert(1)</script>', "/?q=<script>alert(1)</script>", "javascript:alert(1)"]
)
def test_an_address_is_no_markup(database: Database, onward: str) -> None:
    """Neither the one of the page nor the one that it leads to."""
    browser = Browser(console_app(site=site_of(database, users=users())))

    shown = browser.get("/sign-in?" + _encoded({"next": onward}).decode().replace("<", "%3C").replace(">", "%3E"))

    assert "<script>" not in shown.text
    assert 'href="javascript' not in shown.text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/%2e%2e/config/settings.py",
        "/static//etc/passwd",
        "/static/console.css/../../app.py",
        "/static/console.js%00.css",
        "/static/",
    ],
)
def test_no_other_file_is_served(browser: Browser, path: str) -> None:
    """Files are looked up by name in a table; a path that leads elsewhere names none."""
    assert browser.get(path).status == 404


def test_files_are_served_with_their_version(browser: Browser) -> None:
    """A page links to each by a hash of what is in it."""
    page = browser.get("/").text

    for name in ("design.css", "console.css", "console.js", "icon.svg"):
        start = page.index(f"/static/{name}?v=")
        address = page[start : page.index('"', start)]
        shown = browser.get(address)
        assert shown.status == 200
        assert "immutable" in shown.headers["cache-control"]


# -- the proxy --------------------------------------------------------------------------------------------------------


def test_a_trusted_proxy_names_the_user(database: Database) -> None:
    """With the role of the settings; a name that is not there may not enter. A socket of IPv6 writes an address of IPv4
    as `::ffff:...`, and blanks around a header are, as HTTP says, none of it.
    """
    browser = behind_proxy(database)

    for one, name in ((browser, "otto"), (behind_proxy(database, f"::ffff:{PROXY}"), "otto"), (browser, " \totto \t")):
        assert "otto" in one.get("/", x_user=name).text
    assert browser.get("/", x_user="stranger").location == "/sign-in?next=%2F"
    assert browser.get("/").location == "/sign-in?next=%2F"


def test_others_may_look_when_the_settings_say_so(database: Database) -> None:
    """As readers, who never get a text."""
    shown = behind_proxy(database, others="reader").get("/", x_user="stranger", accept_language="en")

    assert "stranger" in shown.text
    assert "reader" in shown.text


@pytest.mark.parametrize("client", ["10.0.1.1", "::ffff:10.0.1.1", "127.0.0.1", "::1", "", "not-an-address"])
def test_a_header_of_a_stranger_is_not_believed(database: Database, client: str) -> None:
    """Who does not come through the proxy is not even answered: it alone ends TLS."""
    shown = behind_proxy(database, client).get("/", x_user="ada", x_forwarded_for=PROXY)

    assert shown.status == 403
    assert "ada" not in shown.text


def test_a_name_is_no_markup(database: Database) -> None:
    """What a proxy passes on is shown as it is written."""
    name = '"><script src=x></script><b a="'

    shown = behind_proxy(database, others="reader").get("/", x_user=name)

    assert shown.status == 200
    assert "<script src=x" not in shown.text
    assert "&lt;script src=x&gt;" in shown.text


BLANKS = ["\u3000", "\u00a0", "\u2003", "\u2028", "\u0085", "\u1680", "\x1f", "\x0b"]
ODD_NAMES = ["a\x01da", "a" * 129, "\u202eada", "ad\udcff"]
ODD_NAMES += [name for blank in BLANKS for name in (f"ada{blank}", f"{blank}ada")]


def test_a_name_that_cannot_be_shown_is_refused(database: Database) -> None:
    """Control characters, ones that turn a line around, what no table could hold, and bytes that are no text.

    A blank of Unicode at an end is a sign of the name: `ada` is somebody else.
    """
    browser = behind_proxy(database, others="reader")

    assert {name for name in ODD_NAMES if browser.get("/", x_user=name).status != 403} == set()


def test_two_names_are_none(database: Database) -> None:
    """A client's own header that the proxy passed on beside its own must not win."""
    app = console_app(site=site_of(database, **BEHIND_PROXY))
    scope_headers = [(b"x-user", b"ada"), (b"x-user", b"rita")]

    async def twice(scope: dict[str, Any], receive: object, send: object) -> None:
        await app({**scope, "headers": [*scope["headers"], *scope_headers]}, receive, send)

    doubled = Browser(twice, host="console.example.com", client=PROXY)

    assert doubled.get("/").status == 403


def test_without_a_proxy_its_headers_say_nothing(database: Database) -> None:
    """Neither a scheme nor an address: the rate of sign-ins is counted by the connection's own."""
    browser = Browser(console_app(site=site_of(database, users=users())))

    [cookie] = browser.get("/sign-in", x_forwarded_proto="https", x_forwarded_for="1.2.3.4").set_cookies

    assert "Secure" not in cookie


def test_behind_a_proxy_cookies_are_secure(database: Database) -> None:
    """The proxy says that the browser speaks https."""
    [cookie] = behind_proxy(database).get("/sign-in", x_forwarded_proto="https").set_cookies

    assert cookie.startswith("__Host-")


# -- size and time ----------------------------------------------------------------------------------------------------


def test_an_oversized_form_is_not_read_to_its_end(browser: Browser) -> None:
    """Neither one that says its size nor one that does not."""
    read: list[int] = []

    def endless() -> object:
        while True:
            read.append(1)
            yield b"a" * 10_000

    shown = browser.send("POST", "/sign-out", endless(), content_type=FORM)  # type: ignore[arg-type]

    assert shown.status == 413
    assert FORM_BYTES // 10_000 + 1 == len(read)


def test_a_form_of_many_fields_is_not_taken_apart(browser: Browser) -> None:
    """Anybody can send one, before a session is looked for."""
    shown = browser.send("POST", "/sign-out", b"a=&" * 10_000, content_type=FORM)

    assert shown.status == 413


def test_a_slow_form_is_given_up(database: Database) -> None:
    """A client that sends half of it and waits holds nothing for long."""
    browser = Browser(guarded(site_of(database), FixedDoor(Viewer("ada", "admin")), PAGES, form_s=0.01))

    shown = browser.send("POST", "/act", [b"csrf=", None], content_type=FORM)

    assert shown.status == 408


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/form-data; boundary=x", "text/plain"])
def test_only_forms_are_taken(browser: Browser, content_type: str) -> None:
    """Other types are what scripts of other sites can send without asking."""
    assert browser.send("POST", "/sign-out", b"{}", content_type=content_type).status == 415


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/sign-in?next=/", 303),
        ("GET", "/nowhere", 404),
        ("PUT", "/", 405),
        ("POST", "/sign-out", 415),
        ("GET", "/static/console.css", 200),
        ("GET", "/static/none.css", 404),
    ],
)
def test_every_answer_has_the_headers(browser: Browser, method: str, path: str, status: int) -> None:
    """No frame, no foreign script, no guess of types, no referrer; and no copy but of the files."""
    shown = browser.send(method, path)

    assert status == shown.status
    assert {name: shown.headers[name] for name in HEADERS} == HEADERS
    assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
    assert shown.headers["cache-control"].endswith("immutable" if path == "/static/console.css" else "no-store")


def test_no_page_needs_what_the_policy_forbids(browser: Browser) -> None:
    """No inline script, style or handler, and nothing from another host."""
    for path in ("/", "/nowhere"):
        text = browser.get(path).text
        assert "<style" not in text
        assert " style=" not in text
        assert " on" not in "".join(part for part in text.split("<") if "=" in part).replace(" one", "")
        assert "http" not in text.replace("http-equiv", "")
        assert text.count("<script") == text.count('<script src="/static/')


def _fails(request: ConsoleRequest) -> View:
    raise RuntimeError("the password is hunter2")


def _missing(request: ConsoleRequest) -> View:
    raise NotFound


def _undefined(request: ConsoleRequest) -> View:
    return View("error.html", "title", {})


def _moves(request: ConsoleRequest) -> Redirect:
    return Redirect("/jobs/ü", {"state": "unknown"})


PAGES = (
    PageRoute("/fails", _fails),
    PageRoute("/missing", _missing),
    PageRoute("/undefined", _undefined),
    PageRoute("/moves", _moves),
    PageRoute("/audit", _moves, right="administer", nav="home.title"),
    PageRoute("/act", _moves, "POST", right="act"),
)


def of_role(database: Database, role: str, *accounts: str) -> Browser:
    """A browser at pages of the test."""
    viewer = Viewer("ada", role, frozenset(accounts))  # type: ignore[arg-type]
    return Browser(guarded(site_of(database), FixedDoor(viewer), PAGES))


@pytest.mark.parametrize(("path", "status"), [("/fails", 500), ("/undefined", 500), ("/missing", 404)])
def test_an_error_is_a_page_without_internals(database: Database, path: str, status: int) -> None:
    """Neither the error's text nor a place in the code; the log has its place."""
    shown = of_role(database, "admin").get(path, accept_language="en")

    assert status == shown.status
    assert "Back to the start" in shown.text
    assert not [word for word in ("hunter2", "RuntimeError", ".py", "Traceback") if word in shown.text]


def test_an_errors_text_is_not_logged(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """It may hold what a message says."""
    of_role(database, "admin").get("/fails")

    told = "".join(capsys.readouterr())
    assert "RuntimeError" in told
    assert "hunter2" not in told


def test_a_database_that_is_away_is_a_page(tmp_path: Path, database: Database) -> None:
    """With a status that tells a proxy to come again."""
    browser = browser_of(database, "admin")
    with database.writing() as connection:
        connection.exec_driver_sql("drop table worker_parts")

    assert browser.get("/").status == 503


@pytest.mark.parametrize(
    ("role", "page", "form"),
    [("reader", 403, 403), ("observer", 403, 403), ("support", 403, 403), ("operator", 403, 303), ("admin", 303, 303)],
)
def test_a_page_needs_its_right(database: Database, role: str, page: int, form: int) -> None:
    """A page of administrators, and a form of operators; no link leads where a viewer may not go."""
    browser = of_role(database, role, "hr")

    assert page == browser.get("/audit").status
    assert form == browser.post("/act", {"csrf": "token"}).status
    assert (page == 303) == ("/audit" in browser.get("/missing").links)


def test_a_move_is_within_the_console(database: Database) -> None:
    """Below the path under which it is mounted."""
    viewer = FixedDoor(Viewer("ada", "admin"))
    browser = Browser(guarded(site_of(database), viewer, PAGES), root="/ops")

    assert browser.get("/ops/moves").location == "/ops/jobs/%C3%BC?state=unknown"


def test_a_proxy_needs_names_to_be_asked_for() -> None:
    """A setting that would believe every Host is refused."""
    with pytest.raises(ValueError, match="hosts"):
        ConsoleSettings(proxies=("10.0.0.0/24",))
