"""Signing in to the console with a password, and what attacks on it come to."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.pipeline.console.console_site import PASSWORD, hashed, signed_in, site_of, users
from tests.support.browser import Browser, Shown
from tests.support.housekeeping import keep_house
from worker.config.settings import Settings
from worker.console import SignInLink, Site, console_app
from worker.console.sign_in import sessions
from worker.console.sign_in.passwords import Passwords
from worker.console.sign_in.tries import MAX_PER_ADDRESS, MAX_PER_NAME, SLOWED_S, WINDOW_S, Tries, by_password
from worker.control.audit import list_audit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import fetch

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

COOKIE = "worker-console"


def console(database: Database, **settings: object) -> Browser:
    """A browser at a console with users."""
    return Browser(console_app(site=site_of(database, **{"users": users(), **settings})))


def tried(browser: Browser, name: str, password: str, **headers: str) -> Shown:
    """A sign-in by the form of the page."""
    form = browser.get("/sign-in", **headers).forms["/sign-in"].fields
    return browser.post("/sign-in", {**form, "name": name, "password": password}, **headers)


def audited(database: Database) -> list[tuple[str, str]]:
    """Actions and persons of the audit, oldest first."""
    with database.reading() as connection:
        return [(entry.action, entry.person) for entry in reversed(list_audit(connection))]


def test_a_page_asks_who_looks_and_then_shows_itself(database: Database) -> None:
    """The page that was asked for comes after the sign-in, with its query."""
    browser = console(database)

    asked = browser.get("/?account=hr")
    entered = browser.submit(browser.get(asked.location), "/sign-in", name="ada", password=PASSWORD)

    assert asked.location == "/sign-in?next=%2F%3Faccount%3Dhr"
    assert (entered.status, entered.location) == (303, "/?account=hr")
    assert browser.get(entered.location).status == 200
    assert audited(database) == [("console.sign_in", "ada")]


def test_a_wrong_password_opens_nothing(database: Database) -> None:
    """Neither does an unknown name; the answer is the same."""
    browser = console(database)

    for name, password in (("ada", "wrong"), ("nobody", PASSWORD), ("", ""), ("ada", "")):
        shown = tried(browser, name, password)
        assert shown.status == 403
        assert "用户名或密码不正确" in shown.text
        assert browser.get("/").status == 303


def test_an_unknown_name_costs_the_same_work() -> None:
    """One hash is computed for each try, whatever the name: the time tells nothing."""
    computed: list[str] = []

    def verify(known: str, password: str) -> bool:
        computed.append(known)
        return password == PASSWORD

    passwords = Passwords({"ada": "hash of ada"}, verify)

    assert not passwords.is_right("nobody", PASSWORD)
    assert passwords.is_right("ada", PASSWORD)
    assert computed == ["hash of ada", "hash of ada"]


@pytest.mark.parametrize("name", ["ada", "otto", "nobody", ""])
def test_hashes_of_several_costs_tell_no_name(name: str) -> None:
    """Each try pays for every cost once, in the same order; the right password opens its own name alone."""
    computed: list[str] = []
    hashes = {
        "ada": "$argon2id$v=19$m=8,t=1,p=1$a$a",
        "rita": "$argon2id$v=19$m=8,t=1,p=1$r$r",
        "otto": "$argon2id$v=19$m=9,t=9,p=9$o$o",
    }

    def verify(known: str, password: str) -> bool:
        computed.append(known)
        return known == hashes.get(password)

    opened = [who for who in ("ada", "rita", "otto") if Passwords(hashes, verify).is_right(name, who)]

    costs = [known.rsplit("$", 2)[0] for known in computed]
    assert [who for who in [name] if who in hashes] == opened
    assert [hashes["ada"].rsplit("$", 2)[0], hashes["otto"].rsplit("$", 2)[0]] * 3 == costs


def test_a_refusal_writes_the_same_rows_whatever_the_name(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit more for a user that there is would tell names by time."""
    browser, commits, run = console(database), list[str](), database.run

    def noted(work: Any) -> Any:
        commits.append(name)
        return run(work)

    monkeypatch.setattr(database, "run", noted)
    for name in ("ada", "nobody", "rita", "ghost"):
        tried(browser, name, "wrong")

    assert len(set(Counter(commits).values())) == 1, Counter(commits)
    assert [("console.refused", who) for who in ("ada", "-", "rita", "-")] == audited(database)


def test_a_session_gets_a_new_token_at_the_sign_in(database: Database) -> None:
    """A token that an attacker has put into the browser beforehand is worth nothing afterwards (session fixation)."""
    browser, attacker = console(database), console(database)
    browser.cookies[COOKIE] = attacker.cookies[COOKIE] = "a" * 43

    signed_in(browser)

    assert "a" * 43 != browser.cookies[COOKIE]
    assert browser.get("/").status == 200
    assert attacker.get("/").status == 303


def test_a_second_sign_in_ends_the_session_before_it(database: Database) -> None:
    """The same browser holds one session."""
    browser = signed_in(console(database))
    before = browser.cookies[COOKIE]
    page = browser.get("/")

    browser.post("/sign-in", {"csrf": page.forms["/sign-out"].fields["csrf"], "name": "rita", "password": PASSWORD})

    thief = console(database)
    thief.cookies[COOKIE] = before
    assert before != browser.cookies[COOKIE]
    assert thief.get("/").status == 303


def test_a_stolen_cookie_is_worth_nothing_after_the_sign_out(database: Database) -> None:
    """The row is gone, not only the cookie."""
    browser, thief = signed_in(console(database)), console(database)
    thief.cookies.update(browser.cookies)
    assert thief.get("/").status == 200

    out = browser.submit(browser.get("/"), "/sign-out")

    assert out.location == "/sign-in"
    assert thief.get("/").status == 303
    assert audited(database) == [("console.sign_in", "ada"), ("console.sign_out", "ada")]


@pytest.mark.every_database
def test_only_a_hash_of_the_token_is_stored(database: Database) -> None:
    """Who can read the table can sign in as no one."""
    browser = signed_in(console(database))

    with database.reading() as connection:
        rows = fetch(connection, "select id, person, way from worker_sessions")
    thief = console(database)
    thief.cookies[COOKIE] = rows[0][0][:43]

    assert browser.cookies[COOKIE] not in str(rows)
    assert tuple(rows[0][1:]) == ("ada", "password")
    assert thief.get("/").status == 303


@pytest.mark.every_database
def test_a_session_ends_when_it_is_not_used(database: Database, driven_clock: DrivenClock) -> None:
    """Use keeps it, until its own end comes."""
    browser = signed_in(console(database, idle_s=600, session_s=1_500))

    shown = []
    for seconds in (500, 500, 400, 200):
        driven_clock.advance(seconds)
        shown.append(browser.get("/").status)

    assert shown == [200, 200, 200, 303]
    idle = signed_in(console(database, idle_s=600))
    driven_clock.advance(601)
    assert idle.get("/").status == 303


def test_a_page_that_refreshes_itself_keeps_no_session(database: Database, driven_clock: DrivenClock) -> None:
    """It shows what it may, but only what a person does counts as use."""
    browser = signed_in(console(database, idle_s=600))

    shown = []
    for _ in range(3):
        driven_clock.advance(250)
        shown.append(browser.get("/", x_live="1").status)

    assert shown == [200, 200, 303]


def test_a_database_that_takes_no_writes_can_be_looked_at(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The overview is what a person opens while a disk is full; the session is not prolonged, and no more."""
    browser = signed_in(console(database))

    def full(*arguments: object) -> None:
        raise OperationalError("update worker_sessions", {}, Exception("database or disk is full"))

    monkeypatch.setattr(sessions.rows, "touch_session", full)
    driven_clock.advance(120)

    assert browser.get("/").status == 200


@pytest.mark.every_database
def test_housekeeping_takes_out_sessions_and_tries(database: Database, driven_clock: DrivenClock) -> None:
    """Those that ended long ago; a session that goes on stays."""
    signed_in(console(database, session_s=600))
    tried(console(database), "otto", "wrong")
    driven_clock.advance(2 * 86_400)
    browser = signed_in(console(database))

    gone = keep_house(database, Settings().retention)

    assert gone == {"sessions": 1, "sign_ins": 2}, "a try for its name, and one from its address"
    assert browser.get("/").status == 200


def test_a_user_who_was_taken_out_of_the_settings_is_out(database: Database) -> None:
    """Rights are those of the settings of now, not those of the sign-in."""
    browser = signed_in(console(database), "rita")
    fewer = {name: user for name, user in users().items() if name != "rita"}
    other = console(database, users=fewer)
    other.cookies.update(browser.cookies)

    assert other.get("/").status == 303


@pytest.mark.parametrize("change", [{"password": hashed("another password")}, {"password": None}])
def test_a_password_that_was_changed_ends_its_sessions(database: Database, change: dict[str, str | None]) -> None:
    """Or that was taken away: whoever knew it is out."""
    browser = signed_in(console(database), "rita")
    changed = {**users(), "rita": {**users()["rita"], **change}}
    other = console(database, users=changed)
    other.cookies.update(browser.cookies)

    assert other.get("/").status == 303
    assert browser.get("/").status == 200, "where the settings are those of before"


def test_passwords_are_not_guessed_for_long(database: Database, driven_clock: DrivenClock) -> None:
    """From ever new addresses: after ten tries even the right password is refused, until they are over."""
    app = console_app(site=site_of(database, users=users()))

    for n in range(MAX_PER_NAME):
        assert tried(Browser(app, client=f"10.0.0.{n}"), "ada", "wrong").status == 403

    assert tried(Browser(app, client="10.0.1.1"), "ada", PASSWORD).status == 429
    assert tried(Browser(app, client="10.0.1.1"), "rita", PASSWORD).status == 303, "another name is not held up"
    driven_clock.advance(WINDOW_S + 1)
    assert tried(Browser(app, client="10.0.1.1"), "ada", PASSWORD).status == 303


def test_strangers_keep_nobody_out_of_their_own_browser(database: Database) -> None:
    """Ten wrong tries for a name hold up those who were never there; a browser of hers has tries of its own."""
    app = console_app(site=site_of(database, users=users()))
    hers = signed_in(Browser(app, client="10.0.0.1"))
    hers.submit(hers.get("/"), "/sign-out")

    for n in range(MAX_PER_NAME):
        tried(Browser(app, client=f"10.0.1.{n}"), "ada", "wrong")
    for n in range(MAX_PER_ADDRESS):
        tried(Browser(app, client="10.0.0.1"), f"name{n}", "wrong")

    assert tried(Browser(app, client="10.0.2.1"), "ada", PASSWORD).status == 429
    assert tried(hers, "ada", PASSWORD).status == 303


def test_a_stolen_browser_guesses_no_more_than_others(database: Database) -> None:
    """What it keeps is worth ten tries, for its own name and the password of now alone."""
    app = console_app(site=site_of(database, users=users()))
    hers, thief = signed_in(Browser(app)), Browser(app, client="10.0.0.9")
    thief.cookies = {name: value for name, value in hers.cookies.items() if name.endswith("known")}
    kept = dict(thief.cookies)

    states = [tried(thief, "ada", "wrong").status for _ in range(MAX_PER_NAME + 1)]
    for name in ("rita", "ada"):
        for n in range(MAX_PER_NAME):
            tried(Browser(app, client=f"10.0.1.{n}"), name, "wrong")

    assert states == [403] * MAX_PER_NAME + [429]
    assert tried(thief, "rita", PASSWORD).status == 429, "a name that did not sign in there"
    changed = {**users(), "ada": {**users()["ada"], "password": hashed("another password")}}
    other = Browser(console_app(site=site_of(database, users=changed)), client="10.0.2.1")
    other.cookies = kept
    assert tried(other, "ada", "another password").status == 429, "a password of before"


def test_a_browser_cannot_say_by_itself_that_it_is_known(database: Database) -> None:
    """Its cookie is a hash that only this installation can make."""
    app = console_app(site=site_of(database, users=users()))
    for n in range(MAX_PER_NAME):
        tried(Browser(app, client=f"10.0.1.{n}"), "ada", "wrong")

    for forged in ("", "x", "a" * 43 + "." + "0" * 64, "票." + "0" * 64):
        browser = Browser(app, client="10.0.2.1")
        browser.cookies["worker-console-known"] = forged
        assert tried(browser, "ada", PASSWORD).status == 429


@pytest.mark.every_database
def test_tries_at_once_are_all_counted(database: Database) -> None:
    """None of them is let through because the others have not ended: they are written before they are counted."""
    tries, together = Tries(database), Barrier(8)

    def try_once(n: int) -> bool:
        together.wait(60)
        return tries.begin(by_password("ada", f"10.0.0.{n}")) is not None

    with ThreadPoolExecutor(8) as threads:
        let_through = sum(threads.map(try_once, range(4 * 8)))

    assert let_through <= MAX_PER_NAME


def test_names_are_not_guessed_from_one_address_for_long(database: Database, driven_clock: DrivenClock) -> None:
    """Two processes count together, and an IPv6 address counts with its neighbours."""
    first, second = (console_app(site=site_of(database, users=users())) for _ in range(2))

    for n in range(MAX_PER_ADDRESS):
        tried(Browser(first if n % 2 else second, client=f"2001:db8::{n:x}"), f"name{n}", "wrong")

    assert tried(Browser(first, client="2001:db8::ffff"), "ada", PASSWORD).status == 429
    assert tried(Browser(first, client="2001:db8:1::1"), "ada", PASSWORD).status == 303


def test_wrong_passwords_slow_an_office_down_and_do_not_lock_it_out(
    database: Database, driven_clock: DrivenClock
) -> None:
    """Above its limit an address gets one try in ten seconds, whether it is right or wrong."""
    app = console_app(site=site_of(database, users=users()))
    guesser, colleague = (Browser(app, client="10.0.0.1") for _ in range(2))
    for n in range(MAX_PER_ADDRESS):
        tried(guesser, f"name{n}", "wrong")

    driven_clock.advance(SLOWED_S + 1)
    states = [tried(guesser, f"more{n}", "wrong").status for n in range(2)]
    states.append(tried(colleague, "ada", PASSWORD).status)
    driven_clock.advance(SLOWED_S + 1)

    assert states == [403, 429, 429]
    assert tried(colleague, "ada", PASSWORD).status == 303


SPELLINGS = (
    ("192.0.2.7", "192.0.2.7:{n}", "[::ffff:192.0.2.7]:{n}", '"192.0.2.7:{n}"'),
    ("2001:db8::7", "[2001:db8::7]:{n}", '"[2001:db8::7]:{n}"', "2001:db8::{n:x}", "2001:db8::7%e{n}"),
    ("", "unknown{n}", "_hidden{n}", "no address {n}:443", "2001:db8:0:0:0:0:0:7:{n}"),
)
"""What proxies write of one client, by the port or the name that differs from one connection to the next."""


@pytest.mark.fewer_databases("what a proxy writes is judged before any SQL")
@pytest.mark.parametrize("spellings", SPELLINGS)
def test_one_address_counts_as_one_however_a_proxy_writes_it(
    database: Database, driven_clock: DrivenClock, spellings: tuple[str, ...]
) -> None:
    """With a port, in brackets, with a zone; an entry that is no address counts as the proxy's own."""
    app = console_app(site=site_of(database, users=users(), hosts=["localhost"], proxies=["10.0.0.1"]))
    browser = Browser(app, client="10.0.0.1")

    for n in range(MAX_PER_ADDRESS):
        forwarded = f"203.0.113.9, {spellings[n % len(spellings)].format(n=n + 1024)}, 10.0.0.1:{n}"
        assert tried(browser, f"name{n}", "wrong", x_forwarded_for=forwarded).status == 403

    assert tried(browser, "ada", PASSWORD, x_forwarded_for=f"{spellings[0]}, 10.0.0.1").status == 429
    assert tried(browser, "ada", PASSWORD, x_forwarded_for="198.51.100.1").status == 303


def test_a_flood_of_tries_leaves_few_rows(database: Database, driven_clock: DrivenClock) -> None:
    """One that is refused is not written, costs no memory for a hash, and does not put off the end of the refusal."""
    browser = console(database)
    for _ in range(2 * MAX_PER_NAME):
        tried(browser, "ada", "wrong")
    with database.reading() as connection:
        [(found,)] = fetch(connection, "select count(*) from worker_sign_ins")
    driven_clock.advance(WINDOW_S - 1)
    assert tried(browser, "ada", "wrong").status == 429

    driven_clock.advance(2)

    assert found == 2 * MAX_PER_NAME, "a row for the name and one for the address"
    assert audited(database) == [("console.refused", "ada")] * MAX_PER_NAME
    assert tried(browser, "ada", PASSWORD).status == 303


def test_a_sign_in_of_ones_own_does_not_wipe_out_the_guesses_at_others(
    database: Database, driven_clock: DrivenClock
) -> None:
    """Else a person with a password could guess those of others between two sign-ins."""
    browser = console(database)
    for n in range(MAX_PER_ADDRESS - 1):
        tried(browser, f"name{n}", "wrong")
    assert tried(browser, "rita", PASSWORD).status == 303
    browser.cookies.clear()

    tried(browser, "name0", "wrong")

    assert tried(browser, "name1", "wrong").status == 429


def test_what_was_typed_as_a_name_is_not_kept(database: Database) -> None:
    """It may be a password in the wrong field: no table holds it, and no answer repeats it."""
    browser = console(database)

    shown = tried(browser, "Secret-Typed-As-Name", "x")

    with database.reading() as connection:
        tables = [str(fetch(connection, f"select * from worker_{name}")) for name in ("audit", "sign_ins", "sessions")]
    assert "Secret-Typed-As-Name" not in shown.text + "".join(tables)


def test_a_cookie_is_for_this_host_and_no_script(database: Database) -> None:
    """Over https with the prefix that no other host can set; never readable by scripts."""
    plain, secure = (
        console(database),
        Browser(console_app(site=site_of(database, users=users())), scheme="https"),
    )

    [over_http] = plain.get("/sign-in").set_cookies
    [over_https] = secure.get("/sign-in").set_cookies

    assert over_http.startswith(f"{COOKIE}=")
    assert set(over_http.split("; ")[1:]) == {"HttpOnly", "Path=/", "SameSite=lax"}
    assert over_https.startswith(f"__Host-{COOKIE}=")
    assert set(over_https.split("; ")[1:]) == {"HttpOnly", "Path=/", "SameSite=lax", "Secure"}


def test_the_link_signs_in_once(database: Database) -> None:
    """On one's own machine, without a user; a second use opens nothing."""
    link = SignInLink("me", lambda: "the-token")
    app = console_app(site=site_of(database), link=link)
    browser, second = Browser(app), Browser(app)

    wrong = second.get("/sign-in/link?token=other")
    entered = browser.get(link.path)
    again = second.get(link.path)

    assert [wrong.status, entered.status, again.status] == [403, 303, 403]
    assert browser.get("/").status == 200
    assert "me" in browser.get("/").text
    assert second.get("/").status == 303


def test_a_session_of_a_link_ends_with_the_first_user(database: Database) -> None:
    """Once users are configured, a link of before opens nothing."""
    link = SignInLink("me", lambda: "the-token")
    browser = Browser(console_app(site=site_of(database), link=link))
    browser.get(link.path)

    other = console(database)
    other.cookies.update(browser.cookies)

    assert other.get("/").status == 303


def test_audit_says_how_a_person_signed_in_and_from_where(database: Database) -> None:
    """Also of a refused try of a user."""
    app = console_app(site=site_of(database, users=users()))
    browser = Browser(app, client="10.1.2.3")
    tried(browser, "ada", "wrong")
    signed_in(browser)

    with database.reading() as connection:
        asked = [json.dumps(dict(entry.arguments), sort_keys=True) for entry in list_audit(connection)]

    assert asked == ['{"address": "10.1.2.3", "way": "password"}'] * 2


def test_without_users_a_password_page_is_not_there(database: Database) -> None:
    """A console that knows no way in says so, and takes no password."""
    browser = Browser(console_app(site=site_of(database)))
    page = browser.get("/sign-in")

    posted = browser.post("/sign-in", {**page.forms["/choice"].fields, "name": "ada", "password": PASSWORD})

    assert "/sign-in" not in page.forms
    assert posted.status == 404


def test_a_console_needs_no_password_library_without_passwords(database: Database) -> None:
    """The hash of the tests is a real one all the same."""
    site: Site = site_of(database)

    assert site.settings.console.passwords == {}
    assert hashed().startswith("$argon2id$")
