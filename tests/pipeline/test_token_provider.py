"""Tokens of a firm's own place: under the same fence, whatever the place answers, and no other account waits for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from rig.stack import until
from tests.pipeline.test_tokens import CHANNEL, HR, LIFE, Vendor, grant, row, value
from tests.support import provided
from tests.support.runtime import GETTOKEN, Site, an_account, planted, refused
from tests.support.scripted_transport import ScriptedTransport, answered
from tests.support.scripted_web import Fault, ScriptedWeb
from worker.config.settings import DeliverySettings
from worker.domain.account import Account, Egress, Secret, Token, TokenParked, TokenProvider, TokenWait
from worker.domain.call import CallResult, NoAnswer, Request
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.token_provider import (
    ABANDONED_S,
    MAX_CALLS,
    MAX_HANGING,
    MAX_LIFE_S,
    ProviderFailure,
    TokenProviders,
)
from worker.transport.tokens import PROVIDED_TWICE, SAME_TOKEN

pytestmark = pytest.mark.fewer_databases(
    "the place of tokens answers in HTTP; other tests carry out the same SQL on each"
)

URL = "https://tokens.corp/wecom/hr?app=7"
BEARER = "b3arer"


def by_url(name: str = "hr", bearer: str = BEARER) -> Account:
    return Account(name, "scripted", "http://vendor", token_provider=TokenProvider(URL, Secret(lambda: bearer)))


def by_function(function: str = "token_of", name: str = "hr") -> Account:
    place = f"tests.support.provided:{function}"
    return Account(name, "scripted", "http://vendor", token_provider=TokenProvider(place))


def given(token: Any, life: Any = LIFE) -> CallResult:
    return answered(json.dumps({"access_token": token, "expires_in": life}).encode())


@pytest.fixture(autouse=True)
def _fresh_functions() -> Iterator[None]:
    provided.ASKED.clear()
    provided.ANSWERS.clear()
    provided.GATE.clear()
    yield
    provided.GATE.set()


# -- asked as the vendor is -------------------------------------------------------------------------------------------


def test_one_process_asks_the_url_for_all(database: Database, driven_clock: DrivenClock) -> None:
    """A plain GET with the bearer, straight to it, by whom the account trusts; other processes read the row."""
    vendor = Vendor(database, driven_clock, [given("tok1")])
    account = replace(by_url(), egress=Egress(proxy="http://proxy:3128", ca="/firm.pem"))

    values = [value(process.get_or_fetch(account, CHANNEL)) for process in (vendor.process(), vendor.process())]

    [call] = vendor.transport.calls
    assert values == ["tok1"] * 2
    assert (
        call.method,
        call.base_url,
        call.path,
        call.query,
    ) == ("GET", "https://tokens.corp", "/wecom/hr", {"app": "7"})
    assert [asked.authorization for asked in vendor.web.asked] == [f"Bearer {BEARER}"]
    assert (call.egress, call.deadline_s) == (Egress(ca="/firm.pem"), 10.0)


def test_a_function_is_asked_by_the_accounts_name(database: Database, driven_clock: DrivenClock) -> None:
    """Once for all processes, and no call to the vendor."""
    vendor = Vendor(database, driven_clock, [])

    values = [value(process.get_or_fetch(by_function(), CHANNEL)) for process in (vendor.process(), vendor.process())]

    assert values == ["given"] * 2
    assert provided.ASKED == [("hr", False)]


@pytest.mark.parametrize("account", [by_url(), by_function()])
def test_nothing_shows_token_or_bearer(database: Database, driven_clock: DrivenClock, account: Account) -> None:
    """The row is sealed, and no repr tells them."""
    process = Vendor(database, driven_clock, lambda _request: given("given")).process()

    token = process.get_or_fetch(account, CHANNEL)

    shown = repr(token) + repr(row(database)) + repr(vars(process)) + repr(account)
    assert value(token) == "given"
    assert [secret for secret in ("given", BEARER) if secret in shown] == []


def test_another_bearer_is_another_row(database: Database, driven_clock: DrivenClock) -> None:
    """As another secret is: what the first one sealed is not read with it."""
    vendor = Vendor(database, driven_clock, [given("tok1"), given("tok2")])

    values = [value(vendor.process().get_or_fetch(by_url(bearer=bearer), CHANNEL)) for bearer in ("one", "two", "one")]

    assert values == ["tok1", "tok2", "tok1"]


def test_the_service_decides_when_to_renew(database: Database, driven_clock: DrivenClock) -> None:
    """Near its end the same token may come again; it is used to its end, and asked for seldom."""
    left, answers = [LIFE], []

    def answer(_request: Request) -> CallResult:
        seconds = LIFE - int(driven_clock.micros / 1e6 - began)
        answers.append(seconds)
        return given("tok1", seconds) if seconds > 0 else given("tok2", left[0])

    began = driven_clock.micros / 1e6
    process = Vendor(database, driven_clock, answer).process()
    seen = []
    for _ in range(LIFE // 10 + 1):
        seen.append(value(process.get_or_fetch(by_url(), CHANNEL)))
        driven_clock.advance(10)

    assert set(seen[:-1]) == {"tok1"}
    assert value(process.get_or_fetch(by_url(), CHANNEL)) == "tok2"
    assert len(answers) < 12


# -- a token that the vendor refused ----------------------------------------------------------------------------------


def test_after_a_refusal_the_place_is_told_so(database: Database, driven_clock: DrivenClock) -> None:
    """`fresh=1` once, and the token that comes is used."""
    vendor = Vendor(database, driven_clock, [given("tok1"), given("tok2")])
    process = vendor.process()
    old = process.get_or_fetch(by_url(), CHANNEL)
    assert isinstance(old, Token)

    process.invalidate(by_url(), old)

    assert value(process.get_or_fetch(by_url(), CHANNEL)) == "tok2"
    assert [call.query for call in vendor.transport.calls] == [{"app": "7"}, {"app": "7", "fresh": "1"}]


def test_the_refused_token_again_waits_without_a_storm(database: Database, driven_clock: DrivenClock) -> None:
    """Two processes that look every second for ten minutes ask some twenty times; another token ends it."""
    tokens = ["same"]
    vendor = Vendor(database, driven_clock, lambda _request: given(tokens[0]))
    first, second = vendor.process(), vendor.process()
    old = first.get_or_fetch(by_url(), CHANNEL)
    assert isinstance(old, Token)
    first.invalidate(by_url(), old)
    first_wait = first.get_or_fetch(by_url(), CHANNEL)

    waits = []
    for _ in range(600):
        waits += [first.get_or_fetch(by_url(), CHANNEL), second.get_or_fetch(by_url(), CHANNEL)]
        driven_clock.advance(1)
    asked, tokens[0] = vendor.fetches, "other"
    driven_clock.advance(61)

    assert isinstance(first_wait, TokenWait)
    assert (f"gettoken: {SAME_TOKEN[0]}", SAME_TOKEN[1]) == (first_wait.reason, first_wait.remedy)
    assert all(isinstance(wait, TokenWait) for wait in waits)
    assert 10 < asked < 40
    assert value(second.get_or_fetch(by_url(), CHANNEL)) == "other"
    assert {call.query["fresh"] for call in vendor.transport.calls[1:]} == {"1"}


def test_fresh_tokens_that_are_refused_park(database: Database, driven_clock: DrivenClock) -> None:
    """As with gettoken; the remedy is about the place."""
    vendor = Vendor(database, driven_clock, [given("tok1"), given("tok2"), given("tok3")])
    process = vendor.process()
    for _ in range(2):
        token = process.get_or_fetch(by_url(), CHANNEL)
        assert isinstance(token, Token)
        process.invalidate(by_url(), token)

    parked = process.get_or_fetch(by_url(), CHANNEL)
    driven_clock.advance(600)

    assert isinstance(parked, TokenParked)
    assert (parked.reason, parked.remedy, parked.probe_in_s) == (*PROVIDED_TWICE, 600.0)
    assert value(process.get_or_fetch(by_url(), CHANNEL)) == "tok3"


# -- slow, wrong, down ------------------------------------------------------------------------------------------------

WRONG: list[tuple[Any, str]] = [
    (Fault("refused"), "the token service does not answer: refused"),
    (answered(b"{}", 503), "the token service answered http 503"),
    (answered(b"", 302, location="https://elsewhere"), "the token service answered http 302"),
    (answered(b"<html>"), "the token service answered no JSON"),
    (answered(b"[" * 100_000), "the token service answered no JSON"),
    (answered(b"[]"), "the token service returned no usable access_token and expires_in"),
    (given(None), "the token service returned no usable access_token and expires_in"),
    (given("t\n"), "the token service returned no usable access_token and expires_in"),
    (given("令牌"), "the token service returned no usable access_token and expires_in"),
    (given("t" * 5000), "the token service returned no usable access_token and expires_in"),
    (given("t", 0), "the token service returned no usable access_token and expires_in"),
    (given("t", True), "the token service returned no usable access_token and expires_in"),
    (given("t", "soon"), "the token service returned no usable access_token and expires_in"),
    (answered(b'{"access_token": "t", "expires_in": NaN}'), "the token service returned no usable"),
    (NoAnswer("read_timeout", 10.0), "the token service does not answer: read_timeout"),
]


@pytest.mark.parametrize(("answer", "reason"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_answer_says_why(answer: Any, reason: str) -> None:
    """By the class of the fault, where the service is not there."""
    web = ScriptedWeb({URL: answer}) if isinstance(answer, Fault) else ScriptedWeb(carrier=ScriptedTransport([answer]))
    providers = TokenProviders(web, deadline_s=1)

    failure = providers.fetch(HR, TokenProvider(URL, Secret(lambda: BEARER)), fresh=False)

    assert isinstance(failure, ProviderFailure)
    assert failure.reason.startswith(reason)


def test_a_wrong_answer_is_a_wait(database: Database, driven_clock: DrivenClock) -> None:
    """With what to do; the next answer that is right ends it."""
    process = Vendor(database, driven_clock, [given("t", 0), given("tok1")]).process()

    waits = process.get_or_fetch(by_url(), CHANNEL)
    driven_clock.advance(3)

    assert isinstance(waits, TokenWait)
    assert waits.reason.startswith("gettoken: the token service returned no usable access_token")
    assert "token_provider" in str(waits.remedy)
    assert value(process.get_or_fetch(by_url(), CHANNEL)) == "tok1"


@pytest.mark.parametrize(("life", "kept_s"), [("7200", 7200), (7200.5, 7200), (10**30, MAX_LIFE_S)])
def test_a_life_is_read_with_good_will(life: Any, kept_s: int) -> None:
    """Digits, a fraction, and an absurd one: a day at most."""
    providers = TokenProviders(ScriptedWeb(carrier=ScriptedTransport([given("t", life)])), deadline_s=1)

    found = providers.fetch(HR, TokenProvider(URL, Secret(lambda: BEARER)), fresh=False)

    assert not isinstance(found, ProviderFailure)
    assert kept_s == found.expires_in_s


def raises(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


WRONG_FUNCTIONS: list[tuple[Callable[[], Any], str]] = [
    (raises(ValueError("canary-secret")), "token_provider raised ValueError"),
    (raises(SystemExit("canary-secret")), "token_provider raised SystemExit"),
    (lambda: None, "token_provider raised TypeError"),
    (lambda: "ab", "token_provider returned no token with its seconds"),
    (lambda: ("tok", None), "token_provider returned no token with its seconds"),
    (lambda: ("", 60), "token_provider returned no token with its seconds"),
]


@pytest.mark.parametrize(("answer", "reason"), WRONG_FUNCTIONS, ids=range(len(WRONG_FUNCTIONS)))
def test_a_function_that_fails_tells_its_class_alone(
    database: Database, driven_clock: DrivenClock, answer: Callable[[], Any], reason: str
) -> None:
    """No text of an exception is kept or logged."""
    provided.ANSWERS.append(answer)
    process = Vendor(database, driven_clock, []).process()

    with capture_logs() as lines:
        waits = process.get_or_fetch(by_function(), CHANNEL)
    driven_clock.advance(3)

    assert isinstance(waits, TokenWait)
    assert f"gettoken: {reason}" == waits.reason
    assert "canary-secret" not in repr(lines) + repr(row(database)) + repr(waits)
    assert value(process.get_or_fetch(by_function(), CHANNEL)) == "given"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("tests.support.nowhere:f", "module tests.support.nowhere cannot be imported"),
        ("tests.support.provided:nothing", "has no function nothing"),
        ("tests.support.provided:without_keyword", "cannot be called with (account, *, fresh)"),
    ],
)
def test_a_function_that_is_not_there_is_a_wait_too(
    database: Database, driven_clock: DrivenClock, place: str, reason: str
) -> None:
    """Of this account alone: no process ends for it."""
    account = replace(by_function(), token_provider=TokenProvider(place))

    waits = Vendor(database, driven_clock, []).process().get_or_fetch(account, CHANNEL)

    assert isinstance(waits, TokenWait)
    assert reason in waits.reason


def test_a_function_that_hangs_holds_few_threads(database: Database, driven_clock: DrivenClock) -> None:
    """Each waits for its deadline; beyond four at once no further thread is made, and other places are not affected."""
    answers, settings = [given("given"), grant("vendors")], DeliverySettings(call_deadline_s=0.02)
    process = Vendor(database, driven_clock, answers, settings=settings).process()

    waits = [process.get_or_fetch(by_function("hangs", f"a{n}"), CHANNEL) for n in range(MAX_CALLS + 3)]
    others = [value(process.get_or_fetch(one, CHANNEL)) for one in (by_url(), replace(HR, name="it"))]
    until(lambda: len(provided.ASKED) >= MAX_CALLS, "each thread has begun")

    assert len(provided.ASKED) == MAX_CALLS
    reasons = [wait.reason for wait in waits if isinstance(wait, TokenWait)]
    assert reasons[:MAX_CALLS] == ["gettoken: token_provider took longer than 0.01 s"] * MAX_CALLS
    assert reasons[MAX_CALLS:] == ["gettoken: the token service is being asked for other accounts"] * 3
    assert others == ["given", "vendors"]


def test_a_function_that_hangs_for_good_is_given_up(database: Database, driven_clock: DrivenClock) -> None:
    """After five minutes it is asked again, until it hangs in sixteen threads."""
    vendor = Vendor(database, driven_clock, [], settings=DeliverySettings(call_deadline_s=0.02))
    process, told = vendor.process(), []
    for n in range(MAX_HANGING + MAX_CALLS):
        told.append(process.get_or_fetch(by_function("hangs", f"a{n}"), CHANNEL))
        if n % MAX_CALLS == MAX_CALLS - 1:
            driven_clock.advance(ABANDONED_S + 1)
    until(lambda: len(provided.ASKED) >= MAX_HANGING, "each thread has begun")

    assert len(provided.ASKED) == MAX_HANGING
    reasons = [wait.reason for wait in told if isinstance(wait, TokenWait)]
    assert reasons[:MAX_HANGING] == ["gettoken: token_provider took longer than 0.01 s"] * MAX_HANGING
    assert reasons[MAX_HANGING:] == ["gettoken: token_provider hangs in 16 threads"] * MAX_CALLS


# -- in the pipeline --------------------------------------------------------------------------------------------------


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    provider = TokenProvider("tests.support.provided:token_of")
    central = replace(an_account(), secret=None, token_provider=provider)
    with planted(database, driven_clock, accounts=[central, an_account("it", settings={"agentid": 8})]) as made:
        yield made


def test_a_message_goes_with_the_firms_token(site: Site) -> None:
    """Without a secret and without gettoken."""
    job = site.send()
    site.run()

    assert site.state(job) == "accepted"
    assert [call.query["access_token"] for call in site.calls()] == ["given"]
    assert not [call for call in site.transport.calls if call.path == GETTOKEN]


def test_an_account_waits_with_the_remedy_and_comes_back(site: Site) -> None:
    """The other account sends meanwhile."""
    provided.ANSWERS.append(raises(RuntimeError("down")))
    job, other = site.send(), site.send(account="it")
    site.run()
    waits, lane = (site.state(job), site.state(other)), site.lane("hr")
    site.advance(61)
    site.run()

    assert waits == ("queued", "accepted")
    assert lane is not None
    assert lane.reason == "gettoken: token_provider raised RuntimeError"
    assert "token_provider" in lane.remedy
    assert site.state(job) == "accepted"


@pytest.mark.parametrize("code", [40014, 42001, 40001])
def test_a_refused_call_asks_for_a_fresh_one(site: Site, code: int) -> None:
    """The part goes with it, uncounted."""
    provided.ANSWERS += [lambda: ("old", 7200), lambda: ("new", 7200)]
    site.vendor.says(refused(code))
    job = site.send()
    site.run()
    site.advance(61)
    site.run()

    assert site.state(job) == "accepted"
    assert [call.query["access_token"] for call in site.calls()] == ["old", "new"]
    assert [fresh for _, fresh in provided.ASKED] == [False, True]
