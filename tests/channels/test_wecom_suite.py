"""A suite's callbacks and its token's answers: what is understood, what is kept out, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.channels.callback_samples import AES_KEY, NOW, RANDOM, TOKEN, Sent, sent
from tests.pipeline.suite_site import a_customer, a_suite
from tests.support.runtime import an_account
from worker.channels.base import CallbackVerifier, CodeGranted, TokenGranted, TokenLater, TokenRefused, TokenStale
from worker.channels.registry import channel, require_usable
from worker.crypto.envelope import Envelope
from worker.domain.account import Secret
from worker.domain.call import Reply
from worker.domain.callbacks.inbound import CallbackRefused, Grant, GrantKind, Inbound
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.job import Draft

SUITE = channel("wecom_suite")
APP = channel("wecom_app")
SALES = channel("wecom_external")
URL = "https://vendor"
HEAD = f"<SuiteId><![CDATA[wwsuite]]></SuiteId><TimeStamp>{int(NOW)}</TimeStamp>"


@pytest.fixture
def verifier() -> CallbackVerifier:
    return SUITE.callback_verifier(a_suite(URL), {"token": TOKEN, "aes_key": AES_KEY}, 300)


def message(info: str, more: str = "", head: str = HEAD) -> str:
    return f"<xml>{head}<InfoType> <![CDATA[{info}]]></InfoType>{more}</xml>"


def read(verifier: CallbackVerifier, text: str, corp: str = "wwsuite") -> Inbound:
    one = sent(text, corp=corp)
    return verifier.read(one.query, one.body, NOW)


def echo(receiver: str, inside: bytes = b"16161") -> Sent:
    encrypted, signature = Envelope(TOKEN, AES_KEY, receiver).seal(inside, str(int(NOW)), "n", RANDOM)
    return Sent({"msg_signature": signature, "timestamp": str(int(NOW)), "nonce": "n", "echostr": encrypted}, b"")


# -- callbacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        (
            message("suite_ticket", "<SuiteTicket><![CDATA[t1]]></SuiteTicket>"),
            Grant(GrantKind.TICKET, "t1", lasts_s=1800),
        ),
        (message("create_auth", "<AuthCode>a1</AuthCode>"), Grant(GrantKind.AUTH_CODE, "a1", lasts_s=600)),
        (message("reset_permanent_code", "<AuthCode>a1</AuthCode>"), Grant(GrantKind.AUTH_CODE, "a1", lasts_s=600)),
        (message("cancel_auth", "<AuthCorpId>wwacme</AuthCorpId>"), Grant(GrantKind.CODE, None, "wwacme")),
        (message("change_auth", "<AuthCorpId>wwacme</AuthCorpId>"), None),
        (message("license_pay_success", "<OrderId>o1</OrderId>"), None),
    ],
)
def test_what_it_brings_is_taken_out(verifier: CallbackVerifier, text: str, grant: Grant | None) -> None:
    """Out of the payload too; the answer is the vendor's word."""
    inbound = read(verifier, text)

    assert grant == inbound.grant
    assert inbound.answer == b"success"
    assert inbound.answer_type == "text/plain"
    assert inbound.person == ""
    assert inbound.happened_at == int(NOW)
    assert not {"t1", "a1"} & set(inbound.payload.values())
    assert "t1" not in repr(inbound)


def test_other_credentials_are_masked_at_any_depth(verifier: CallbackVerifier) -> None:
    """A registration of a corp brings a token for its contacts."""
    more = "<ContactSync><AccessToken>canary</AccessToken></ContactSync><RegisterCode>canary</RegisterCode>"

    inbound = read(verifier, message("register_corp", more))

    assert {"ContactSync": {"AccessToken": "***"}, "RegisterCode": "***"}.items() <= inbound.payload.items()


def test_two_authorisations_of_one_second_are_two_events(verifier: CallbackVerifier) -> None:
    """And one that is delivered again is one."""
    keys = [read(verifier, message("create_auth", f"<AuthCode>{code}</AuthCode>")).key("s") for code in ("a", "a", "b")]

    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("text", "corp", "status"),
    [
        (message("suite_ticket"), "wwsuite", 403),
        (message("suite_ticket", f"<SuiteTicket>{'t' * 2000}</SuiteTicket>"), "wwsuite", 403),
        (message("suite_ticket", "<SuiteTicket>票</SuiteTicket>"), "wwsuite", 403),
        (message("create_auth"), "wwsuite", 403),
        (message("cancel_auth"), "wwsuite", 403),
        (message("cancel_auth", f"<AuthCorpId>{'w' * 200}</AuthCorpId>"), "wwsuite", 403),
        (message("change_auth", head="<SuiteId>wwsuite</SuiteId>"), "wwsuite", 403),
        (message("change_auth", head=HEAD.replace("wwsuite", "wwother")), "wwsuite", 403),
        (message("change_auth", head=HEAD.replace(str(int(NOW)), str(int(NOW) - 901))), "wwsuite", 403),
        (message("change_auth"), "wwprovider", 403),
        ("<xml", "wwsuite", 403),
    ],
)
def test_what_is_no_event_of_this_suite_is_refused(
    verifier: CallbackVerifier, text: str, corp: str, status: int
) -> None:
    """With a fixed phrase."""
    with pytest.raises(CallbackRefused) as refused:
        read(verifier, text, corp)

    assert status == refused.value.status


@pytest.mark.parametrize("receiver", ["wwprovider", "wwsuite"])
def test_the_verification_is_for_the_providers_corp(verifier: CallbackVerifier, receiver: str) -> None:
    """Or for the suite: sources differ, and the answer tells the sender nothing it did not seal itself."""
    assert verifier.verify(echo(receiver).query, NOW) == b"16161"


@pytest.mark.parametrize("name", ["wecom_suite", "wecom_app"])
def test_a_captured_message_is_not_told_to_who_sends_it_as_an_echostr(name: str) -> None:
    """It carries a right signature, and would be answered with what it says."""
    account = a_suite(URL) if name == "wecom_suite" else an_account()
    own = channel(name).callback_verifier(account, {"token": TOKEN, "aes_key": AES_KEY}, 300)
    receiver = "wwsuite" if name == "wecom_suite" else "ww1"

    with pytest.raises(CallbackRefused, match="not an echostr"):
        own.verify(echo(receiver, b"<xml>ticket</xml>").query, NOW)


# -- tokens -----------------------------------------------------------------------------------------------------------


def reply(said: Any, status: int = 200) -> Reply:
    return Reply(status, {}, said if isinstance(said, bytes) else json.dumps(said).encode())


def test_the_suites_token_is_asked_for_with_its_ticket() -> None:
    """get_suite_token: a POST of three members."""
    chain = SUITE.token_steps(a_suite(URL))
    assert chain is not None

    made = chain.request(a_suite(URL), "s3cret", "t1", 0)

    assert (made.method, made.path, made.query) == ("POST", "/cgi-bin/service/get_suite_token", {})
    assert isinstance(made.body, bytes)
    assert json.loads(made.body) == {"suite_id": "wwsuite", "suite_secret": "s3cret", "suite_ticket": "t1"}
    assert "t1" not in repr(made)


def test_a_corps_token_is_asked_for_with_the_suites() -> None:
    """get_corp_token: its code in the body, the suite's token in the query."""
    chain = APP.token_steps(a_customer(URL))
    assert chain is not None

    made = chain.request(a_customer(URL), "code", "suite-token", 0)

    assert made.path == "/cgi-bin/service/get_corp_token"
    assert made.query == {"suite_access_token": "suite-token"}
    assert isinstance(made.body, bytes)
    assert json.loads(made.body) == {"auth_corpid": "wwacme", "permanent_code": "code"}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"suite_access_token": "t", "expires_in": 7200}, TokenGranted),
        ({"errcode": 0, "errmsg": "ok", "suite_access_token": "t", "expires_in": 7200}, TokenGranted),
        ({"errcode": 0, "errmsg": "ok"}, TokenLater),
        ({"errcode": 40085, "errmsg": "invalid suite ticket"}, TokenLater),
        ({"errcode": 45009, "errmsg": "freq"}, TokenLater),
        ({"errcode": -1, "errmsg": "busy"}, TokenLater),
        ({"errcode": 40080, "errmsg": "no"}, TokenRefused),
        ({"errcode": 40083, "errmsg": "no"}, TokenRefused),
        ({"errcode": 60020, "errmsg": "no"}, TokenRefused),
        (b"<html>", TokenLater),
    ],
)
def test_answers_to_get_suite_token(said: Any, kind: type[Any]) -> None:
    """A ticket that is refused is waited for, a secret parks."""
    chain = SUITE.token_steps(a_suite(URL))
    assert chain is not None

    assert isinstance(chain.outcome(reply(said), a_suite(URL)), kind)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"access_token": "t", "expires_in": 7200}, TokenGranted),
        ({"errcode": 40082, "errmsg": "no"}, TokenStale),
        ({"errcode": 42009, "errmsg": "no"}, TokenStale),
        ({"errcode": 40084, "errmsg": "no"}, TokenRefused),
        ({"errcode": 40013, "errmsg": "no"}, TokenRefused),
        (b"", TokenLater),
    ],
)
def test_answers_to_get_corp_token(said: Any, kind: type[Any]) -> None:
    """What is wrong with the suite's token is told apart from what is wrong with the code."""
    chain = APP.token_steps(a_customer(URL))
    assert chain is not None

    assert isinstance(chain.outcome(reply(said), a_customer(URL)), kind)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"permanent_code": "c", "auth_corp_info": {"corpid": "wwacme"}}, CodeGranted),
        ({"permanent_code": "c", "auth_corp_info": {}}, TokenLater),
        ({"permanent_code": "c", "auth_corp_info": "wwacme"}, TokenLater),
        ({"errcode": 0, "auth_corp_info": {"corpid": "wwacme"}}, TokenLater),
        ({"errcode": 40078, "errmsg": "no"}, TokenRefused),
        ({"errcode": 60020, "errmsg": "no"}, TokenLater),
        ({"errcode": 42009, "errmsg": "no"}, TokenStale),
        (b"[]", TokenLater),
    ],
)
def test_answers_to_get_permanent_code(said: Any, kind: type[Any]) -> None:
    """Only a code that is itself refused is given up."""
    chain = SUITE.token_steps(a_suite(URL))
    assert chain is not None
    assert chain.exchange is not None

    outcome = chain.exchange.outcome(reply(said))

    assert isinstance(outcome, kind)
    assert "'c'" not in repr(outcome)


def test_which_accounts_take_more_than_their_secret() -> None:
    """A customized app with its own secret is an app like any other."""
    own, customized = Secret(lambda: "code"), {"is_customized_app": True}

    assert APP.token_steps(an_account()) is None
    assert APP.token_steps(replace(a_customer(URL, settings=customized), secret=own)) is None
    kept = [APP.token_steps(a_customer(URL)), APP.token_steps(a_customer(URL, settings=customized))]
    assert [chain.subject for chain in kept if chain is not None] == ["wwacme"] * 2
    configured = APP.token_steps(replace(a_customer(URL), secret=own))
    assert configured is not None
    assert (configured.subject, configured.suite) == (None, "oursuite")


# -- accounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"suite_id": ""}, "accounts.wrong.suite_id: is missing"),
        ({"callback": True}, "accounts.wrong.callback: is no table"),
        ({"callback": {"token": Secret(lambda: "t")}}, "accounts.wrong.callback.aes_key: is missing"),
        ({"suite": "other"}, "is not a setting of wecom_suite"),
    ],
)
def test_wrong_keys_of_a_suite(settings: dict[str, Any], words: str) -> None:
    """Each is told with what to write."""
    account = a_suite(URL, **settings)

    with pytest.raises(ConfigurationError) as refused:
        require_usable(replace(account, name="wrong"))

    assert words in str(refused.value)


@pytest.mark.parametrize(
    "settings", [{"suite": 5}, {"suite": ""}, {"is_customized_app": "yes"}, {"suite": None, "is_customized_app": True}]
)
def test_wrong_keys_of_a_customer(settings: dict[str, Any]) -> None:
    """Among those of its app, whatever it sends."""
    for own in (APP, SALES):
        found = own.account_problems(a_customer(URL, settings=settings, channel=own.name))

        assert {"suite", "is_customized_app"} & {problem.field for problem in found}


@pytest.mark.parametrize("settings", [{}, {"is_customized_app": True}])
def test_a_group_send_takes_the_token_that_a_message_takes(settings: dict[str, Any]) -> None:
    """The same keeper, code and call."""
    chains = [own.token_steps(a_customer(URL, settings=settings, channel=own.name)) for own in (APP, SALES)]

    assert chains[0] is not None
    assert chains[0] == chains[1]


def test_a_suite_sends_nothing() -> None:
    """A job for it is refused with the account to use; it has no messages."""
    draft = Draft("send", a_suite(URL), {"type": "text"}, {}, None)  # type: ignore[arg-type]

    assert [problem.text for problem in SUITE.check(draft)] == ["is a suite, which sends nothing"]
    assert SUITE.follow_up_problem("recall", "send") is not None
    for ask in (lambda: SUITE.plain_text("x"), lambda: SUITE.named("x"), SUITE.reader):
        with pytest.raises(WorkerError, match="wecom_suite sends nothing; use another account"):
            ask()
