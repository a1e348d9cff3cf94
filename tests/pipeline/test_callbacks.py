"""Callbacks from the HTTP request to the outbox: stored once, joined to their part, everything hostile refused."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.channels.callback_samples import AES_KEY, CORP, NOW, TOKEN, Sent, press, sent
from tests.support.asgi import Answer, asked, exchange
from tests.support.runtime import UPDATE, Site, an_account, lost, planted
from tests.support.scripted_transport import answered
from worker import To
from worker.channels.registry import channel
from worker.config.settings import Settings
from worker.crypto.envelope import Envelope
from worker.domain.callbacks.inbound import CallbackRefused, Inbound
from worker.domain.job import part_id
from worker.domain.state import JobState
from worker.hooks.callbacks import CallbackStore
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.service.web.receiver import BODY_BYTES, Receiver

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

HR = "/callback/hr"


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = int(NOW) * 1_000_000
    with planted(database, driven_clock) as planted_site:
        yield planted_site


@pytest.fixture
def receiver(site: Site) -> Receiver:
    return made(site)


def made(site: Site, *, hooks: str = "shop.hooks", **options: Any) -> Receiver:
    account = site.accounts.get("hr")
    door = channel("wecom_app").callback_verifier(account, {"token": TOKEN, "aes_key": AES_KEY}, 300)
    store = options.pop("store", None) or CallbackStore(site.database, Settings(hooks=hooks), site.accounts).store
    return Receiver({"hr": door}.get, store, **{"now": lambda: NOW, **options})


def post(receiver: Receiver, one: Sent, path: str = HR) -> Answer:
    return asked(receiver.app, "POST", path, one.query, one.body)


def own_task(site: Site) -> tuple[str, str]:
    """A card that was sent, and its task_id."""
    job = site.card()
    site.ring(job)
    return job, f"w{part_id(job, 0)}"


# -- stored once ------------------------------------------------------------------------------------------------------


def test_the_address_is_verified_without_a_database(receiver: Receiver, site: Site) -> None:
    """200 with the plain bytes alone."""
    encrypted, signature = Envelope(TOKEN, AES_KEY, CORP).seal(b"314159", str(int(NOW)), "n", b"0" * 16)
    query = {"msg_signature": signature, "timestamp": str(int(NOW)), "nonce": "n", "echostr": encrypted}

    answer = asked(receiver.app, "GET", HR, query)

    assert (answer.status, answer.body) == (200, b"314159")


def test_a_press_is_stored_with_its_code_and_its_event(receiver: Receiver, site: Site) -> None:
    """Joined to the part by our own task_id; the code ends 72 h after the press, whoever pressed stands beside it."""
    job, task = own_task(site)

    answer = post(receiver, sent(press(task, person="LiSi", created=int(NOW) - 60)))

    assert (answer.status, answer.body) == (200, b"")
    [row] = site.rows("select * from worker_inbound")
    assert ("hr", "template_card_event", "LiSi", part_id(job, 0)) == (row.account, row.event, row.person, row.part_id)
    assert json.loads(row.payload)["press"]["button"] == "approve"
    [code] = [row for row in site.of("response_codes", job) if row.source == "callback"]
    assert (code.code, code.state, code.person) == ("code-1", "fresh", "lisi")
    assert (int(NOW) - 60 + 259_200) * 1_000_000 == code.ends_at
    [event] = site.rows("select * from worker_events")
    assert ("card_action", job, part_id(job, 0), 0, row.id) == (
        event.kind,
        event.job_id,
        event.part_id,
        event.state,
        event.inbound_id,
    )


def test_a_repeated_callback_is_answered_200_and_stored_once(receiver: Receiver, site: Site) -> None:
    """Encrypted anew, with another nonce and timestamp: one row, one code, one event."""
    _, task = own_task(site)

    answers = [post(receiver, sent(press(task), at=NOW + n, nonce=f"n{n}", random=bytes([n]) * 16)) for n in range(4)]

    assert [answer.status for answer in answers] == [200] * 4
    counts = [site.rows(f"select count(*) as n from worker_{table}")[0].n for table in ("inbound", "events")]
    assert counts == [1, 1]


def test_a_press_before_the_sends_own_answer_is_joined(receiver: Receiver, site: Site) -> None:
    """The part is there before its card can be: the code is filed, and an update waits for the send's end."""
    job = site.card()

    post(receiver, sent(press(f"w{part_id(job, 0)}")))
    update = site.update(job, to="lisi")
    site.run()

    assert [site.state(job), site.state(update)] == ["accepted", "accepted"]
    assert site.bodies("/cgi-bin/message/update_template_card")[0]["response_code"] == "code-1"


@pytest.mark.every_database
@pytest.mark.parametrize("n", [0, 1])
def test_a_task_id_of_the_callers_is_joined_by_the_part_that_sent_it(receiver: Receiver, site: Site, n: int) -> None:
    """1,500 recipients are two cards: the caller's id and one with a suffix, each of its own part."""
    job = site.card(to=To([f"u{n}" for n in range(1_500)]), task_id="leave-7")
    site.run()

    post(receiver, sent(press(["leave-7", "leave-7_1"][n])))

    assert [part_id(job, n)] == [row.part_id for row in site.rows("select part_id from worker_inbound")]


def test_a_task_id_used_twice_is_of_the_part_the_vendor_took(receiver: Receiver, site: Site) -> None:
    """The vendor refuses the second card of one id: who presses presses the first."""
    first, second = site.card(task_id="once"), site.card(task_id="once")
    site.ring(first)

    post(receiver, sent(press("once")))

    assert second > first
    assert [part_id(first, 0)] == [row.part_id for row in site.rows("select part_id from worker_inbound")]


@pytest.mark.parametrize("task", ["somebody-elses", "", f"w{'0' * 32}-0"])
def test_a_card_of_somebody_else_is_kept_and_nobody_is_told(receiver: Receiver, site: Site, task: str) -> None:
    """No job of ours: stored, the event ignored, no code filed."""
    answer = post(receiver, sent(press(task)))

    assert answer.status == 200
    assert [row.part_id for row in site.rows("select part_id from worker_inbound")] == [None]
    assert [row.state for row in site.rows("select state from worker_events")] == [4]
    assert site.rows("select id from worker_response_codes") == []


@pytest.mark.every_database
@pytest.mark.parametrize("task_id", [None, "leave-7"])
def test_a_card_of_another_account_of_the_app_is_joined(
    database: Database, driven_clock: DrivenClock, task_id: str | None
) -> None:
    """An app has one callback address: it hears of the cards of all accounts that send through the app."""
    with planted(database, driven_clock, accounts=[an_account("hr"), an_account("alerts")]) as site:
        driven_clock.micros = int(NOW) * 1_000_000
        job = site.card(account="alerts", task_id=task_id)
        site.ring(job)

        post(made(site), sent(press(task_id or f"w{part_id(job, 0)}")))
        update = site.update(job, to="lisi")
        site.run()

        assert [part_id(job, 0)] == [row.part_id for row in site.rows("select part_id from worker_inbound")]
        assert [body["response_code"] for body in site.bodies(UPDATE)] == ["code-1"]
        assert site.state(update) == "accepted"


def test_a_card_of_another_app_is_not_ours(receiver: Receiver, site: Site) -> None:
    """The task_id names a part of another app's account: who holds this one's token learns nothing through it."""
    job = site.card(account="it")
    site.ring(job)

    post(receiver, sent(press(f"w{part_id(job, 0)}")))

    assert [row.part_id for row in site.rows("select part_id from worker_inbound")] == [None]


@pytest.mark.parametrize("held", [False, True], ids=["its repeat is to come", "held for a person"])
def test_a_press_settles_a_card_in_doubt(receiver: Receiver, site: Site, held: bool) -> None:
    """It proves that the card arrived: no repeat is made, and the update that waits goes out with the press's code."""
    site.vendor.says(lost())
    job = site.card(on_unknown="hold" if held else "resend")
    site.ring(job)
    if held:
        site.advance(26)
        site.recover()
    update = site.update(job)
    site.run()
    waited = site.state(update)

    post(receiver, sent(press(f"w{part_id(job, 0)}")))
    site.run()

    assert ("rejected" if held else "queued") == waited
    assert (site.state(job), site.part(job).doubts) == ("accepted", 0)
    assert [(row.outcome, bool(row.doubtful)) for row in site.of("attempts", job)] == [("unknown", False)]
    assert [row.warning[:14] for row in site.of("receipts", job)] == ["a press proves"]
    assert len(site.bodies()) == 1
    assert (0 if held else 1) == len(site.bodies(UPDATE))


def test_a_press_leaves_the_http_status_that_was_read(receiver: Receiver, site: Site) -> None:
    """A proxy answered 502, and the press that settles the doubt brings no HTTP answer: the attempt keeps the 502."""
    site.vendor.says(answered(b"<html>", 502))
    job = site.card()
    site.ring(job)

    post(receiver, sent(press(f"w{part_id(job, 0)}")))

    assert [(row.outcome, bool(row.doubtful), row.http_status) for row in site.of("attempts", job)] == [
        ("unknown", False, 502)
    ]


def test_a_press_tells_the_hooks_of_an_end(database: Database, driven_clock: DrivenClock) -> None:
    """The job ends with the press, as with any late answer, and the application hears of that end, too."""
    driven_clock.micros = int(NOW) * 1_000_000
    with planted(database, driven_clock, hooked_ends={"hr": frozenset({JobState.ACCEPTED})}) as site:
        site.vendor.says(lost())
        job = site.card()
        site.ring(job)

        post(made(site), sent(press(f"w{part_id(job, 0)}")))

        ends = site.rows("select job_state from worker_events where kind = 'job_done' and job_id = :job", job=job)
    assert [row.job_state for row in ends] == [JobState.ACCEPTED]


@pytest.mark.every_database
def test_a_press_of_a_card_that_may_be_anothers_settles_none(receiver: Receiver, site: Site) -> None:
    """Two parts used the caller's task_id and are in doubt: which of their cards was pressed is not known."""
    site.vendor.says(lost(), lost())
    jobs = [site.card(task_id="leave-7"), site.card(task_id="leave-7")]
    site.ring(jobs[0])
    site.ring(jobs[1])

    post(receiver, sent(press("leave-7")))

    assert [site.state(job) for job in jobs] == ["unknown", "unknown"]


def test_without_hooks_the_event_is_kept_and_ignored(site: Site) -> None:
    """It can be given to a hook that comes later."""
    _, task = own_task(site)

    post(made(site, hooks=""), sent(press(task)))

    [event] = site.rows("select * from worker_events")
    assert (event.state, event.due_at) == (4, None)


def test_other_callbacks_are_kept_and_told_to_hooks(receiver: Receiver, site: Site) -> None:
    """A message of a member, a subscription; without hooks nothing follows."""
    message = "<xml><FromUserName>a</FromUserName><CreateTime>1700000000</CreateTime><MsgType>text</MsgType></xml>"
    event = message.replace("text</MsgType>", "event</MsgType><Event>{}</Event>")

    assert [post(receiver, sent(one)).status for one in (message, event.format("subscribe"))] == [200, 200]
    assert post(made(site, hooks=""), sent(event.format("enter_agent"))).status == 200

    stored = [row.event for row in site.rows("select event from worker_inbound order by event")]
    assert stored == ["enter_agent", "message:text", "subscribe"]
    assert sorted((row.kind, row.state) for row in site.rows("select kind, state from worker_events")) == [
        ("callback", 0),
        ("message", 0),
    ]


# -- refused ----------------------------------------------------------------------------------------------------------

GOOD = sent(press())
DTD = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml><Encrypt>&a;</Encrypt></xml>'


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status"),
    [
        ("POST", HR, {**GOOD.query, "msg_signature": "0" * 40}, GOOD.body, 403),
        ("POST", HR, sent(press(), corp="ww9").query, sent(press(), corp="ww9").body, 403),
        ("POST", HR, sent(press(agentid=99)).query, sent(press(agentid=99)).body, 403),
        ("POST", HR, sent(press(), at=NOW - 1000).query, sent(press(), at=NOW - 1000).body, 403),
        ("POST", HR, {}, GOOD.body, 400),
        ("POST", HR, {**GOOD.query, **{f"a{n}": f"zz{n}" for n in range(40)}}, GOOD.body, 400),
        ("POST", HR, GOOD.query, b"<xml>" + b"<a/>" * 15_000 + b"</xml>", 413),
        ("POST", HR, GOOD.query, b"", 400),
        ("POST", HR, GOOD.query, DTD, 400),
        ("POST", HR, GOOD.query, b"<" * (BODY_BYTES + 1), 413),
        ("POST", HR, GOOD.query, [b"<" * 65_536] * 5, 413),
        ("POST", HR, GOOD.query, [b"<xml>", b"cut"], 400),
        ("POST", "/callback/it", GOOD.query, GOOD.body, 404),
        ("POST", "/callback/", GOOD.query, GOOD.body, 404),
        ("POST", "/callback/hr/more", GOOD.query, GOOD.body, 404),
        ("POST", "/", GOOD.query, GOOD.body, 404),
        ("GET", HR, GOOD.query, b"", 400),
        ("GET", HR, {**GOOD.query, "echostr": "AAAA"}, b"", 403),
        ("PUT", HR, GOOD.query, GOOD.body, 405),
        ("DELETE", HR, GOOD.query, b"", 405),
    ],
)
def test_what_is_not_the_vendors_is_refused_and_leaves_nothing(
    receiver: Receiver, site: Site, method: str, path: str, query: dict[str, str], body: Any, status: int
) -> None:
    """A fitting status, no row, and at most one line, without anything that came."""
    with capture_logs() as lines:
        answer = asked(receiver.app, method, path, query, body)

    assert status == answer.status
    assert answer.body == b"" or status in (404, 405)
    assert site.rows("select id from worker_inbound") == []
    assert len(lines) <= 1
    shown = str(lines)
    assert not [word for word in (TOKEN, AES_KEY, "lisi", "code-1", "task-1", *query.values()) if word in shown]


def test_equal_refusals_are_logged_once_a_minute(site: Site) -> None:
    """With how many came since: a stranger's requests do not fill the disk. Another account or reason has its line."""
    now = [NOW]
    app, wrong = made(site, now=lambda: now[0]).app, {**GOOD.query, "msg_signature": "0" * 40}

    with capture_logs() as lines:
        for at in (0, 1, 59, 60, -9):
            now[0] = NOW + at
            asked(app, "POST", HR, wrong, GOOD.body)
        asked(app, "POST", HR, {}, GOOD.body)
        asked(app, "GET", "/favicon.ico", {})

    refused = [(line["account"], line["reason"], line["count"]) for line in lines]
    assert refused[:3] == [("hr", "wrong signature", 1), ("hr", "wrong signature", 3), ("hr", "wrong signature", 1)]
    assert refused[3:] == [("hr", "no msg_signature in the query", 1), (None, "no such path", 1)]


def test_an_address_with_a_slash_at_its_end_is_the_same(receiver: Receiver, site: Site) -> None:
    """Nobody is sent elsewhere, least of all from https to http."""
    answer = asked(receiver.app, "POST", f"{HR}/", GOOD.query, GOOD.body)

    assert answer.status == 200
    assert len(site.rows("select id from worker_inbound")) == 1


def test_a_body_that_says_that_it_is_too_long_is_not_read(receiver: Receiver) -> None:
    """Not even the first piece."""
    scope = {"method": "POST", "path": HR, "raw_path": HR.encode(), "query_string": b""}
    headers = [(b"content-length", str(BODY_BYTES + 1).encode())]

    sent = asyncio.run(exchange(receiver.app, {**scope, "headers": headers}, [None]))

    assert sent[0]["status"] == 413


def test_requests_are_read_beside_the_event_loop(site: Site) -> None:
    """So that what takes long keeps no other request, and no probe, waiting."""
    threads = []

    class Reader:
        """Notes who reads."""

        def verify(self, query: Any, now: float) -> bytes:
            threads.append(threading.get_ident())
            return b""

        def read(self, query: Any, body: bytes, now: float) -> Inbound:
            threads.append(threading.get_ident())
            raise CallbackRefused(403, "wrong signature")

    app = Receiver({"hr": Reader()}.get, lambda *_: True).app

    assert [asked(app, method, HR, GOOD.query).status for method in ("GET", "POST")] == [200, 403]
    assert threading.get_ident() not in threads


def test_a_body_that_does_not_come_is_given_up(site: Site) -> None:
    """One that drips, or stops, holds nothing for ever."""
    answer = asked(made(site, read_s=0.05).app, "POST", HR, GOOD.query, [b"<xml>", None])

    assert answer.status == 408


def test_a_database_that_is_away_is_503(site: Site) -> None:
    """The vendor sends it again; the line names the class of the error and nothing of the callback."""

    def away(account: str, inbound: Inbound) -> bool:
        raise OperationalError("insert of lisi", {}, Exception("gone"))

    with capture_logs() as lines:
        answer = post(made(site, store=away), GOOD)

    assert answer.status == 503
    assert [line["event"] for line in lines] == ["callback_not_stored"]
    assert "lisi" not in str(lines)


def test_a_database_that_hangs_is_503_in_time_and_what_it_stores_later_counts(site: Site) -> None:
    """The answer does not wait past the vendor's five seconds; the repeat finds it stored."""
    go, real = threading.Event(), CallbackStore(site.database, Settings(), site.accounts).store
    first = threading.Event()

    def slow(account: str, inbound: Inbound) -> bool:
        go.wait(120)
        stored = real(account, inbound)
        first.set()
        return stored

    answer = post(made(site, store=slow, store_s=0.05), GOOD)
    go.set()
    assert first.wait(120)

    assert (answer.status, post(made(site), GOOD).status) == (503, 200)
    assert len(site.rows("select id from worker_inbound")) == 1


def test_a_line_says_what_was_stored_and_nothing_of_it(receiver: Receiver, site: Site) -> None:
    """Account, kind of event, and whether it was the first delivery."""
    structlog.reset_defaults()
    with capture_logs() as lines:
        post(receiver, GOOD)
        post(receiver, GOOD)

    assert [(line["account"], line["kind"], line["outcome"]) for line in lines] == [
        ("hr", "template_card_event", "stored"),
        ("hr", "template_card_event", "repeated"),
    ]
    assert "lisi" not in str(lines)
