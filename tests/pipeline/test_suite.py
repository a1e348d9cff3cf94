"""Third-party apps through the simulated vendor: tickets, the suite's token, permanent codes, who waits for what."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.conformance.case import faults
from tests.pipeline.suite_site import (
    CORP_TOKEN,
    PERMANENT,
    SECRET,
    SUITE_TOKEN,
    SuiteSite,
    a_customer,
    a_suite,
    suite_site,
)
from tests.support.control import control
from tests.support.runtime import GETTOKEN
from worker.channels.base import Channel
from worker.channels.wecom.token import ENDED, MISSING as NO_CODE
from worker.channels.wecom_suite.channel import MISSING as NO_TICKET, REFRESH
from worker.domain.account import Account, Secret, Token, TokenParked, TokenWait
from worker.domain.callbacks.inbound import GrantKind
from worker.domain.content.staging import Staging
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.clock import SECOND, DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes import grants
from worker.transport import token_probe
from worker.transport.grants import CodeExchanges
from worker.transport.tokens import Tokens

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def here(database: Database, driven_clock: DrivenClock) -> Iterator[SuiteSite]:
    with suite_site(database, driven_clock) as made:
        yield made


@pytest.fixture
def ready(here: SuiteSite) -> SuiteSite:
    """A ticket has come, and both corps have authorised the app."""
    here.act("ticket")
    here.authorise()
    here.authorise("wwglobex", 8)
    return here


def lane_of(here: SuiteSite, name: str = "acme") -> tuple[str, str | None, bool]:
    row = here.site.lane(name)
    assert row is not None
    return row.reason, row.remedy, bool(row.parked)


# -- end to end -------------------------------------------------------------------------------------------------------


def test_a_message_goes_through_a_suite(ready: SuiteSite) -> None:
    """Ticket, suite token, corp token, message: one call of each kind, and no gettoken."""
    jobs = [ready.send(), ready.send("two", account="globex")]

    ready.site.run()

    assert [ready.site.state(job) for job in jobs] == ["accepted"] * 2
    counts = [len(ready.calls(path)) for path in (SUITE_TOKEN, PERMANENT, CORP_TOKEN, GETTOKEN)]
    assert counts == [1, 2, 2, 0]
    [message] = control(ready.url, "inbox?user=lisi")["messages"][:1]
    assert message["corpid"] == "wwacme"


def test_the_address_is_verified_and_answers_success(here: SuiteSite) -> None:
    """The verification is sealed for the provider's corp; an event is answered with the word that the vendor wants."""
    verified = here.act("verify")
    taken = here.act("ticket")

    assert verified["state"] == "taken"
    assert (taken["state"], taken["tries"][0]["status"]) == ("taken", 200)


def test_a_configured_permanent_code_needs_no_authorisation(here: SuiteSite) -> None:
    """The application keeps it: the code of the exchange is not asked for."""
    here.act("ticket")
    here.authorise()
    code = here.code_of()
    here.site.sql("delete from worker_grants where kind = 'code'")
    own = replace(a_customer(here.url), secret=Secret(lambda: code))
    here.site.accounts.replace(a_suite(here.url), own)
    job = here.send()

    here.site.run()

    assert here.site.state(job) == "accepted"
    assert [code] == [body["permanent_code"] for body in here.bodies(CORP_TOKEN)]


def test_an_app_developed_for_one_corp_uses_its_code_as_the_secret(here: SuiteSite) -> None:
    """代开发: gettoken with the permanent code, and a new one after the corp's administrator fetched a new secret."""
    here.site.accounts.replace(
        a_suite(here.url), a_customer(here.url, settings={"is_customized_app": True}), a_customer(here.url, "globex", 8)
    )
    here.act("ticket")
    here.authorise(customized=True)
    first = here.send()
    here.site.run()
    here.advance(1)
    here.act("reset", corpid="wwacme")
    here.exchange()
    here.look()
    second = here.send("two")
    here.site.run()

    assert [here.site.state(job) for job in (first, second)] == ["accepted"] * 2
    secrets = [call["query"]["corpsecret"] for call in here.calls(GETTOKEN)]
    assert len(set(secrets)) == 2
    assert here.code_of() == secrets[-1]
    assert here.calls(CORP_TOKEN) == []


# -- one call of each kind --------------------------------------------------------------------------------------------


def test_one_call_of_each_kind_for_all_processes(ready: SuiteSite) -> None:
    """Two processes and eight threads that want both customers' tokens at once."""
    ready.site.forget_tokens()
    before = [len(ready.calls(path)) for path in (SUITE_TOKEN, CORP_TOKEN)]
    processes = [ready.process(), ready.process()]

    with ThreadPoolExecutor(8) as pool:
        wanted = [(process, name) for process in processes for name in ("acme", "globex")] * 2
        list(pool.map(lambda one: ready.token(*one), wanted))
    got = [ready.token(process, name) for process in processes for name in ("acme", "globex")]

    after = [len(ready.calls(path)) for path in (SUITE_TOKEN, CORP_TOKEN)]
    assert all(isinstance(one, Token) for one in got), got
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 2]


def test_tokens_are_refreshed_with_the_ticket_of_the_time(ready: SuiteSite) -> None:
    """After two hours the suite's token is fetched with the newest ticket."""
    ready.send()
    ready.site.run()
    ready.advance(7_000)
    ready.act("ticket")
    job = ready.send("two")
    ready.site.run()

    tickets = [body["suite_ticket"] for body in ready.bodies(SUITE_TOKEN)]
    assert ready.site.state(job) == "accepted"
    assert len(set(tickets)) == 2


# -- tickets ----------------------------------------------------------------------------------------------------------


def test_without_a_ticket_the_account_waits_and_says_what_to_do(here: SuiteSite) -> None:
    """Not parked as for a refused secret, and no call is made; the ticket that comes ends it."""
    here.act("ticket")
    here.authorise()
    here.site.sql("delete from worker_grants where kind = 'ticket'")
    here.site.forget_tokens()
    made = len(here.calls(SUITE_TOKEN))
    job = here.send()
    here.site.run()
    waits = lane_of(here), len(here.calls(SUITE_TOKEN)) - made
    here.act("ticket")
    here.advance(15)
    here.site.run()

    assert ((f"gettoken: account oursuite: {NO_TICKET[0]}", REFRESH, False), 0) == waits
    assert here.site.state(job) == "accepted"


def test_a_ticket_that_is_over_is_not_used(ready: SuiteSite) -> None:
    """Half an hour after it was issued; tickets that were lost on their way bring none."""
    ready.site.forget_tokens()
    ready.act("ticket", push=False)
    ready.advance(1_801)

    waits = ready.token(ready.process())
    ready.act("ticket")

    assert isinstance(waits, TokenWait)
    assert waits.reason.endswith(NO_TICKET[0])
    assert isinstance(ready.token(ready.process()), Token)


def test_while_the_suites_token_lives_lost_tickets_harm_nobody(ready: SuiteSite) -> None:
    """A customer's token is fetched with it, without a ticket."""
    ready.advance(1_801)
    jobs = [ready.send(account=name) for name in ("acme", "globex")]

    ready.site.run()

    assert [ready.site.state(job) for job in jobs] == ["accepted"] * 2


def test_repeated_and_late_tickets_change_nothing(database: Database, driven_clock: DrivenClock) -> None:
    """Delivered three times, and an older one after a newer: the newest by its TimeStamp is used."""
    with suite_site(database, driven_clock, {"only_newest_ticket": True}) as here:
        control(here.url, "settings", {"callbacks": {"copies": 3}})
        here.act("ticket", age_s=240, push=False)
        here.act("ticket")
        late = here.act("again", nth=0)
        here.act("again", nth=1)
        here.authorise()
        job = here.send()
        here.site.run()

        assert late["state"] == "taken"
        assert here.site.state(job) == "accepted"
        [row] = here.site.rows("select count(*) as n from worker_grants where kind = 'ticket'")
        assert row.n == 1


def test_what_comes_after_the_clock_was_set_back_is_used(database: Database, driven_clock: DrivenClock) -> None:
    """By the database's clock, ticket and code came in an hour from now: the next ticket and code take their place."""
    with suite_site(database, driven_clock, {"only_newest_ticket": True}) as here:
        here.act("ticket")
        here.authorise()
        here.site.sql(
            "update worker_grants set issued_at = issued_at + :ahead, stored_at = stored_at + :ahead",
            ahead=3_600 * SECOND,
        )
        here.token(here.site.runtime.tokens)
        here.advance(60)
        here.act("ticket")
        here.act("reset", corpid="wwacme")
        here.exchange()
        here.look()
        here.site.sql("delete from worker_tokens where account = 'oursuite'")

        renewed = here.token(here.process())

        kept = here.token(here.site.runtime.tokens)
        assert isinstance(renewed, Token)
        assert renewed == kept
        assert here.code_of() == here.bodies(CORP_TOKEN)[-1]["permanent_code"]


def test_a_ticket_the_vendor_refuses_is_no_refused_secret(ready: SuiteSite) -> None:
    """40085: the account waits with the remedy, and goes on with the next ticket."""
    ready.site.forget_tokens()
    faults(ready.url, SUITE_TOKEN, {"answer": {"errcode": 40085}})
    job = ready.send()
    ready.site.run()
    reason, remedy, parked = lane_of(ready)
    ready.act("ticket")
    ready.advance(31)
    ready.site.run()

    assert ("40085" in reason, REFRESH, False) == (True, remedy, parked)
    assert ready.site.state(job) == "accepted"


# -- the suite's token ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [40082, 42009, 40014, 42001])
def test_a_suite_token_that_is_refused_is_fetched_once_more(ready: SuiteSite, code: int) -> None:
    """Within the same wait: the message goes."""
    made = len(ready.calls(SUITE_TOKEN))
    control(ready.url, "settings", {"suite": {"same_while_left_s": 1e9}})
    faults(ready.url, CORP_TOKEN, {"answer": {"errcode": code}})
    job = ready.send()

    ready.site.run()

    assert ready.site.state(job) == "accepted"
    assert (len(ready.calls(SUITE_TOKEN)) - made, len(ready.calls(CORP_TOKEN))) == (1, 2)


@pytest.mark.every_database
def test_a_probe_at_which_the_suites_token_is_refused_says_nothing_of_the_account(ready: SuiteSite) -> None:
    """Its code was refused before: with the suite's next token it is tried at once, not ten minutes later."""
    control(ready.url, "settings", {"suite": {"same_while_left_s": 0}})
    faults(ready.url, CORP_TOKEN, {"answer": {"errcode": 40084}})
    process = ready.process()
    parked = ready.token(process)
    faults(ready.url, CORP_TOKEN, {"answer": {"errcode": 40082}})
    ready.advance(601)

    probed = ready.token(process)

    assert isinstance(parked, TokenParked)
    assert isinstance(probed, Token)


@pytest.mark.every_database
def test_a_suite_token_that_expired_early_is_fetched_once_more(ready: SuiteSite) -> None:
    """The vendor ended it; both customers go on, with one call."""
    made = len(ready.calls(SUITE_TOKEN))
    ready.act("expire_tokens")
    jobs = [ready.send(account=name) for name in ("acme", "globex")]

    ready.site.run()

    assert [ready.site.state(job) for job in jobs] == ["accepted"] * 2
    assert len(ready.calls(SUITE_TOKEN)) - made == 1


def test_suite_tokens_that_are_always_refused_end_in_a_park(ready: SuiteSite) -> None:
    """No storm: a handful of calls, whoever asks, until somebody looks."""
    made = len(ready.calls(SUITE_TOKEN)), len(ready.calls(CORP_TOKEN))
    faults(ready.url, CORP_TOKEN, {"answer": {"errcode": 40082}}, times=None)
    jobs = [ready.send(account=name) for name in ("acme", "globex")]
    for _ in range(20):
        ready.site.run()
        ready.advance(5)

    assert [ready.site.state(job) for job in jobs] == ["queued"] * 2
    calls = len(ready.calls(SUITE_TOKEN)) - made[0], len(ready.calls(CORP_TOKEN)) - made[1]
    assert calls[0] <= 3
    assert calls[1] <= 4
    assert "the vendor refuses the token" in lane_of(ready)[0]


def test_one_customer_whose_fetches_are_refused_parks_no_suite(ready: SuiteSite) -> None:
    """Whichever processes ask: it ends the suite's token once, and then waits by itself."""
    made = len(ready.calls(SUITE_TOKEN))
    refused = {"match": {"path": CORP_TOKEN, "body_contains": "wwacme"}, "action": {"answer": {"errcode": 40082}}}
    control(ready.url, "settings", {"suite": {"same_while_left_s": 0}})
    control(ready.url, "faults", [refused])
    processes = [ready.process() for _ in range(3)]
    for _ in range(10):
        assert all(isinstance(ready.token(one), TokenWait) for one in processes)
        ready.advance(61)
    other = ready.send(account="globex")
    ready.site.run()

    assert 2 >= len(ready.calls(SUITE_TOKEN)) - made
    assert ready.site.state(other) == "accepted"


def test_the_suite_is_asked_for_once_for_all_of_its_customers(here: SuiteSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """And when it is back, they come back a few at a time."""
    monkeypatch.setattr(token_probe, "MAX_PER_SUITE", 3)
    here.act("ticket")
    names = [f"corp{n}" for n in range(8)]
    customers = [a_customer(here.url, name, secret=Secret(lambda: "code")) for name in names]
    faults(here.url, SUITE_TOKEN, {"answer": {"errcode": 40080}})
    here.site.accounts.replace(a_suite(here.url), *customers)
    for name in names:
        here.send(account=name)
    here.site.run()
    asked = list[str]()
    may_ask = Tokens.may_fetch

    def noted(tokens: Tokens, account: Account, channel: Channel) -> bool:
        asked.append(account.name)
        return may_ask(tokens, account, channel)

    monkeypatch.setattr(Tokens, "may_fetch", noted)
    here.look()
    while_parked, asked[:] = list(asked), []
    here.advance(601)
    parked = "select count(*) as n from worker_lanes where parked = true and blocked_until > :now"
    here.site.sql("update worker_lanes set blocked_until = blocked_until + 999000000")
    before = here.site.rows(parked, now=here.clock.micros)[0].n
    here.look()

    assert while_parked == ["oursuite"]
    assert (before, here.site.rows(parked, now=here.clock.micros)[0].n) == (8, 5)


def test_a_wrong_secret_of_the_suite_parks_its_customers(here: SuiteSite) -> None:
    """With the sentence about the suite's account; they come back when it is right."""
    here.act("ticket")
    here.authorise()
    here.site.forget_tokens()
    faults(here.url, SUITE_TOKEN, {"answer": {"errcode": 40080}})
    job = here.send()
    here.site.run()
    reason, _, parked = lane_of(here)
    here.site.accounts.replace(a_suite(here.url, "rotated", before=SECRET), a_customer(here.url))
    _rotate(here)
    here.look()
    here.advance(6)
    here.site.run()

    assert (reason, parked) == ("gettoken: account oursuite: 40080 bad suite_secret", True)
    assert here.site.state(job) == "accepted"


def _rotate(here: SuiteSite) -> None:
    """The vendor takes another secret of the suite."""
    known = control(here.url, "settings")["suite"]["known"]
    control(here.url, "settings", {"suite": {"known": [{**known[0], "secret": "rotated"}]}})


@pytest.mark.every_database
def test_a_previous_secret_is_taken_out_of_use(ready: SuiteSite) -> None:
    """What it seals is sealed anew, so that the setting can go: no corp has to authorise again."""
    _rotate(ready)
    both = a_suite(ready.url, "rotated", before=SECRET)
    ready.site.accounts.replace(both, a_customer(ready.url))
    ready.exchange()
    ready.site.accounts.replace(a_suite(ready.url, "rotated"), a_customer(ready.url))

    assert isinstance(ready.token(ready.process()), Token)


def test_a_mistyped_secret_seals_nothing(ready: SuiteSite) -> None:
    """The vendor does not take it, so what is kept stays as it is, and opens when it is corrected."""
    ready.site.accounts.replace(a_suite(ready.url, "mistyped", before=SECRET), a_customer(ready.url))
    ready.site.forget_tokens()
    ready.exchange()
    ready.site.accounts.replace(a_suite(ready.url), a_customer(ready.url))
    ready.site.forget_tokens()

    assert isinstance(ready.token(ready.process()), Token)


def test_a_suite_in_a_dry_run_spends_no_code(here: SuiteSite) -> None:
    """It makes no call at all."""
    here.act("ticket")
    suite = a_suite(here.url)
    here.site.accounts.replace(replace(suite, staging=Staging(True, None, ())), a_customer(here.url))
    before = control(here.url, "calls")["calls"]
    here.authorise()
    assert before == control(here.url, "calls")["calls"]


def test_without_the_previous_secret_this_process_alone_does_without(ready: SuiteSite) -> None:
    """With what to set; another process, which has the other secret, goes on."""
    ready.site.accounts.replace(a_suite(ready.url, "rotated"), a_customer(ready.url))
    job = ready.send()
    ready.site.run()
    lane = ready.site.lane("acme")
    told = ready.site.rows("select reason from worker_lane_events where what = 'unusable'")
    ready.site.accounts.replace(a_suite(ready.url), a_customer(ready.url))
    ready.advance(20)
    ready.site.run()

    assert lane is None or not lane.parked
    assert ["set its previous to" in row.reason for row in told] == [True]
    assert ready.site.state(job) == "accepted"


def test_a_code_sealed_with_another_secret_waits_for_it(here: SuiteSite) -> None:
    """The receiver has the new secret already, the leading process not yet: nothing is lost."""
    here.act("ticket")
    here.act("authorise", corpid="wwacme", agentid=7)
    here.site.accounts.replace(a_suite(here.url, "other"), a_customer(here.url))
    here.exchange()
    here.site.accounts.replace(a_suite(here.url), a_customer(here.url))
    here.advance(11)
    here.exchange()

    assert isinstance(here.token(here.process()), Token)


# -- permanent codes --------------------------------------------------------------------------------------------------


@pytest.mark.every_database
def test_before_the_corp_authorises_its_account_is_parked(here: SuiteSite) -> None:
    """It comes back by itself when the corp has."""
    here.act("ticket")
    job = here.send()
    here.site.run()
    parked = lane_of(here)
    here.authorise()
    here.look()
    here.advance(6)
    here.site.run()

    assert (f"gettoken: {NO_CODE[0]}", NO_CODE[1], True) == parked
    assert here.site.state(job) == "accepted"


@pytest.mark.every_database
def test_what_a_corp_has_just_granted_is_tried_at_once(ready: SuiteSite) -> None:
    """Not after the ten minutes to the next probe; the lanes of other customers wait for theirs."""
    faults(ready.url, "/cgi-bin/message/send", *[{"answer": {"errcode": 48002}}] * 2)
    jobs = [ready.send(account=name) for name in ("acme", "globex")]
    ready.site.run()
    refused = [ready.site.state(job) for job in jobs]
    lanes = "select count(*) as n from worker_lanes where parked = true"
    parked = ready.site.rows(lanes)[0].n

    ready.act("change", corpid="wwacme")
    ready.advance(2)
    ready.site.run()

    assert (refused, parked) == (["queued", "queued"], 2)
    assert [ready.site.state(job) for job in jobs] == ["accepted", "queued"]
    assert ready.site.rows(lanes)[0].n == 1


def test_a_withdrawn_authorisation_parks_the_account(ready: SuiteSite) -> None:
    """At once in every process, also where the vendor would still take the token; the other customer goes on."""
    control(ready.url, "settings", {"suite": {"cancel_revokes": False}})
    other = ready.process()
    had = [ready.token(ready.site.runtime.tokens), ready.token(other)]
    ready.advance(1)
    ready.act("cancel", corpid="wwacme")
    ready.look()

    now = [ready.token(ready.site.runtime.tokens), ready.token(other)]
    jobs = [ready.send(account=name) for name in ("acme", "globex")]
    ready.site.run()
    ended = [ready.site.state(job) for job in jobs]
    ready.authorise()
    ready.look()
    ready.advance(6)
    ready.site.run()

    assert [Token, Token, TokenParked, TokenParked] == [type(one) for one in had + now]
    assert ended == ["queued", "accepted"]
    assert (f"gettoken: {ENDED[0]}", ENDED[1]) == _parked_reason(ready)
    assert ready.site.state(jobs[0]) == "accepted"


def _parked_reason(here: SuiteSite) -> tuple[str, str]:
    [row] = here.site.rows("select reason, remedy from worker_lane_events where account = 'acme' and what = 'parked'")
    return row.reason, row.remedy


def test_a_new_permanent_code_takes_the_place_of_the_old(ready: SuiteSite) -> None:
    """`reset_permanent_code`: the next token is fetched with it."""
    old = ready.code_of()
    ready.token(ready.site.runtime.tokens)
    ready.advance(60)
    ready.act("reset", corpid="wwacme")
    ready.exchange()
    ready.look()

    job = ready.send()
    ready.site.run()

    codes = [body["permanent_code"] for body in ready.bodies(CORP_TOKEN)]
    assert ready.site.state(job) == "accepted"
    assert [old, ready.code_of()] == codes
    assert len(set(codes)) == 2


def test_a_late_withdrawal_does_not_end_a_newer_authorisation(ready: SuiteSite) -> None:
    """By the vendor's TimeStamp, whatever comes first."""
    ready.act("cancel", corpid="wwacme", push=False)
    ready.advance(120)
    ready.authorise()
    ready.act("again", nth=-2)
    ready.look()

    assert isinstance(ready.token(ready.process()), Token)


def test_a_late_authorisation_does_not_undo_a_newer_withdrawal(here: SuiteSite) -> None:
    """Its code is exchanged, and what it brings is older than the withdrawal."""
    here.act("ticket")
    here.act("authorise", corpid="wwacme", push=False)
    here.advance(60)
    here.site.sql(
        "insert into worker_grants (kind, account, subject, issued_at, stored_at)"
        " values ('code', 'oursuite', 'wwacme', :at, :at)",
        at=here.clock.micros,
    )
    here.act("again", nth=-1)
    here.exchange()

    parked = here.token(here.process())

    assert isinstance(parked, TokenParked)
    assert ENDED[0] == parked.reason


def test_a_code_is_exchanged_once_however_often_it_is_delivered(here: SuiteSite) -> None:
    """Repeated deliveries and repeated turns: one call."""
    control(here.url, "settings", {"callbacks": {"copies": 3}})
    here.act("ticket")
    here.act("authorise", corpid="wwacme", agentid=7)
    here.act("again")
    for _ in range(3):
        here.exchange()
    here.act("again")
    here.exchange()

    assert len(here.calls(PERMANENT)) == 1
    assert [row.kind for row in here.site.rows("select kind from worker_grants order by kind")] == ["code", "ticket"]


def test_an_exchange_without_an_answer_is_tried_again(here: SuiteSite) -> None:
    """The vendor may have taken the code or not: here it has not."""
    here.act("ticket")
    faults(here.url, PERMANENT, {"cut_request_after": 20}, {"answer": {"errcode": -1}})
    here.act("authorise", corpid="wwacme", agentid=7)
    for _ in range(3):
        here.exchange()
        here.advance(31)

    assert isinstance(here.token(here.process()), Token)


@pytest.mark.every_database
def test_an_exchange_waits_for_the_first_ticket(here: SuiteSite) -> None:
    """A code that came before any ticket is not lost; once its ten minutes are over, a line of the log says so."""
    here.act("authorise", corpid="wwacme", agentid=7)
    here.act("authorise", corpid="wwglobex", agentid=8, age_s=550)
    here.exchange()
    here.advance(60)
    here.act("ticket")
    with capture_logs() as lines:
        here.exchange()

    lost = [line for line in lines if line["event"] == "authorisation_lost"]
    assert [line["reason"] for line in lost] == ["it expired before it could be exchanged"]
    assert isinstance(here.token(here.process()), Token)
    assert isinstance(here.token(here.process(), "globex"), TokenParked)


def test_a_code_that_came_while_the_database_was_away_is_kept(here: SuiteSite) -> None:
    """The vendor gives it once."""
    here.act("ticket")
    here.act("authorise", corpid="wwacme", agentid=7)
    runtime = here.site.runtime
    exchanges = CodeExchanges(runtime.database, runtime.accounts, runtime.tokens, runtime.transport)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grants, "finish_exchange", _away)
        with pytest.raises(OperationalError):
            exchanges.turn()
    exchanges.turn()
    here.exchange()

    assert len(here.calls(PERMANENT)) == 1
    assert isinstance(here.token(here.process()), Token)


def test_a_corps_id_that_cannot_be_kept_is_given_up(here: SuiteSite) -> None:
    """It does not come back in each turn, and holds up no other code."""
    here.act("ticket")
    here.act("authorise", corpid="ww" + "x" * 127, agentid=9)
    here.act("authorise", corpid="wwacme", agentid=7)
    here.exchange()
    here.exchange()

    assert isinstance(here.token(here.process()), Token)
    assert not here.site.rows("select subject from worker_grants where kind = 'auth_code'")


def test_a_suite_without_an_answer_holds_up_no_other(here: SuiteSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The codes of two suites are exchanged side by side; those of one, one after another."""
    runtime, other, seen = here.site.runtime, threading.Event(), list[str]()
    rows = [
        grants.GrantRow(grants.GrantKey(GrantKind.AUTH_CODE, account, subject), None, 0, None, 0, 0)
        for account, subject in (("first", "a"), ("first", "b"), ("second", "c"))
    ]
    monkeypatch.setattr(grants, "to_exchange", lambda *_: rows)

    def exchange(row: grants.GrantRow) -> None:
        if row.key.subject == "a":
            assert other.wait(30), "the other suite waits for this one"
        if row.key.account == "second":
            other.set()
        seen.append(row.key.subject)

    exchanges = CodeExchanges(runtime.database, runtime.accounts, runtime.tokens, runtime.transport)
    monkeypatch.setattr(exchanges, "_exchange", exchange)
    exchanges.turn()

    assert seen == ["c", "a", "b"]


def _away(*_: object) -> bool:
    raise OperationalError("settle", {}, Exception("away"))


def test_a_suite_that_is_wrongly_configured_is_named(ready: SuiteSite) -> None:
    """By its customers, which wait; the process goes on."""
    ready.site.accounts.replace(a_suite(ready.url, suite_id=""), a_customer(ready.url))

    with pytest.raises(ConfigurationError, match=r"accounts\.oursuite\.suite_id: is missing"):
        ready.token(ready.process())
    ready.act("authorise", corpid="wwnew", push=False)
    ready.exchange()


def test_an_account_that_names_no_suite_is_told(ready: SuiteSite) -> None:
    """One that is not there, and one that is none."""
    for named, said in (("nowhere", "nowhere"), ("globex", "'globex' keeps no codes of corps")):
        ready.site.accounts.replace(
            a_suite(ready.url), a_customer(ready.url, "globex", 8), a_customer(ready.url, settings={"suite": named})
        )
        with pytest.raises(ConfigurationError, match=said):
            ready.token(ready.process())


@pytest.mark.parametrize("code", [40082, 42009])
def test_a_suite_token_refused_at_an_exchange_is_fetched_once_more(here: SuiteSite, code: int) -> None:
    """The authorisation code is still good."""
    here.act("ticket")
    faults(here.url, PERMANENT, {"answer": {"errcode": code}})
    here.act("authorise", corpid="wwacme", agentid=7)
    here.exchange()
    here.exchange()

    assert isinstance(here.token(here.process()), Token)


def test_a_code_that_is_not_good_is_given_up(here: SuiteSite) -> None:
    """40078: one call, and no more."""
    here.act("ticket")
    faults(here.url, PERMANENT, {"answer": {"errcode": 40078}})
    here.act("authorise", corpid="wwacme", agentid=7)
    here.exchange()
    here.exchange()

    assert len(here.calls(PERMANENT)) == 1
    assert isinstance(here.token(here.process()), TokenParked)


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_hooks_hear_of_it_and_nothing_stored_holds_a_credential(ready: SuiteSite) -> None:
    """Every table, every line of the log: no ticket, code, token or secret in clear."""
    with capture_logs() as lines:
        ready.act("change", corpid="wwacme")
        ready.act("reset", corpid="wwacme")
        ready.exchange()
        ready.act("cancel", corpid="wwglobex")
        ready.send()
        ready.site.run()

    stored = _everything(ready) + repr(lines)
    assert [secret for secret in _secrets(ready) if secret in stored] == []
    told = [json.loads(row.payload)["message"] for row in ready.site.rows("select payload from worker_inbound")]
    events = [row.event for row in ready.site.rows("select event from worker_inbound")]
    heard = ["cancel_auth", "change_auth", "create_auth", "create_auth", "reset_permanent_code", "suite_ticket"]
    assert heard == sorted(events)
    assert {one[name] for one in told for name in ("AuthCode", "SuiteTicket") if name in one} == {"***"}
    assert {one["AuthCorpId"] for one in told if "AuthCorpId" in one} == {"wwacme", "wwglobex"}
    assert len(events) == ready.site.rows("select count(*) as n from worker_events")[0].n


def _everything(here: SuiteSite) -> str:
    tables = ("grants", "tokens", "inbound", "events", "lanes", "lane_events", "attempts", "parts", "jobs", "processes")
    return "".join(repr(here.site.rows(f"select * from worker_{table}")) for table in tables)


def _secrets(here: SuiteSite) -> set[str]:
    """Every credential that was on the wire."""
    found = {SECRET}
    for path in (SUITE_TOKEN, PERMANENT, CORP_TOKEN):
        for call in here.calls(path):
            for said in (json.loads(call["body"]), call["query"], call["answer"]["body"] or {}):
                said = json.loads(said) if isinstance(said, str) else said
                found |= {value for name, value in said.items() if name in _NAMES}
    assert len(found) > 7
    return found


_NAMES = ("suite_ticket", "suite_access_token", "access_token", "permanent_code", "auth_code", "suite_secret")
