"""Suites: their tickets, tokens and codes, as the vendor's pages say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.simulator.test_simulator_callbacks import Address, ended
from worker.crypto.envelope import Envelope

SUITE = {"suite_id": "wwsuite", "secret": "s3cret"}
KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"


@pytest.fixture
def suite(vendor: Any) -> Any:
    """A vendor that knows one suite."""
    vendor.settings(suite={"known": [SUITE]})
    return vendor


def call(vendor: Any, path: str, body: Any, token: str = "") -> dict[str, Any]:
    reply = vendor.session.post(
        f"{vendor.url}/cgi-bin/service/{path}", params={"suite_access_token": token}, json=body, timeout=60
    )
    answered: dict[str, Any] = reply.json()
    return answered


def happens(vendor: Any, act: str, **given: Any) -> dict[str, str]:
    """What the vendor does, and what its callback says, which is lost on its way."""
    told = vendor.control("POST", "suite", {"act": act, "suite_id": "wwsuite", "push": False, **given})
    event = vendor.control("POST", "suite", {"act": "again", "suite_id": "wwsuite", "push": False})["event"]
    assert event == told["event"]
    return dict(re.findall(r"<(\w+)>(?:<!\[CDATA\[)?([^<\]]+)", event))


def suite_token(vendor: Any, ticket: str, **other: str) -> dict[str, Any]:
    body = {"suite_id": "wwsuite", "suite_secret": "s3cret", "suite_ticket": ticket, **other}
    return call(vendor, "get_suite_token", body)


def authorised(vendor: Any, **given: Any) -> tuple[str, str]:
    """A suite's token, and the permanent code of a corp that has authorised it."""
    token = suite_token(vendor, happens(vendor, "ticket")["SuiteTicket"])["suite_access_token"]
    code = happens(vendor, "authorise", corpid="wwacme", agentid=7, **given)["AuthCode"]
    return token, call(vendor, "get_permanent_code", {"auth_code": code}, token)["permanent_code"]


def corp_token(vendor: Any, token: str, code: str, corpid: str = "wwacme") -> dict[str, Any]:
    return call(vendor, "get_corp_token", {"auth_corpid": corpid, "permanent_code": code}, token)


def group_send(vendor: Any, token: str) -> int:
    body = {"sender": "ann", "external_userid": ["wm1"], "text": {"content": "x"}}
    errcode: int = vendor.post("externalcontact/add_msg_template", body, token=token).json()["errcode"]
    return errcode


def test_the_whole_chain(suite: Any) -> None:
    """No errcode on success, by default; the corp's token sends."""
    token, code = authorised(suite)

    granted = corp_token(suite, token, code)

    assert set(granted) == {"access_token", "expires_in"}
    body = {"touser": "lisi", "agentid": 7, "msgtype": "text", "text": {"content": "x"}}
    assert suite.send(body, token=granted["access_token"])["errcode"] == 0


@pytest.mark.parametrize(
    ("other", "code"),
    [({"suite_id": "wwother"}, 40083), ({"suite_secret": "wrong"}, 40080), ({"suite_ticket": "wrong"}, 40085)],
)
def test_refusals_of_get_suite_token(suite: Any, other: dict[str, str], code: int) -> None:
    """Suite, secret, ticket."""
    assert code == suite_token(suite, happens(suite, "ticket")["SuiteTicket"], **other)["errcode"]


def test_a_ticket_is_good_for_half_an_hour(suite: Any) -> None:
    """A newer one ends it only by setting."""
    first = happens(suite, "ticket")["SuiteTicket"]
    suite.advance(1_790)
    second = happens(suite, "ticket")["SuiteTicket"]
    good = "suite_access_token" in suite_token(suite, first)
    suite.settings(suite={"only_newest_ticket": True})
    superseded = suite_token(suite, first)["errcode"]
    suite.advance(1_801)

    assert good
    assert superseded == 40085
    assert suite_token(suite, second)["errcode"] == 40085


def test_an_authorisation_code_is_good_once_and_for_ten_minutes(suite: Any) -> None:
    """40078 after that."""
    token, _ = authorised(suite)
    codes = [happens(suite, "authorise", corpid=corp)["AuthCode"] for corp in ("wwa", "wwb")]
    first = call(suite, "get_permanent_code", {"auth_code": codes[0]}, token)
    again = call(suite, "get_permanent_code", {"auth_code": codes[0]}, token)
    suite.advance(601)
    late = call(suite, "get_permanent_code", {"auth_code": codes[1]}, token)

    assert first["auth_corp_info"]["corpid"] == "wwa"
    assert [again["errcode"], late["errcode"]] == [40078, 40078]


@pytest.mark.parametrize(("corpid", "code"), [("wwother", None), ("wwacme", "wrong")])
def test_refusals_of_get_corp_token(suite: Any, corpid: str, code: str | None) -> None:
    """Another corp, another code."""
    token, right = authorised(suite)

    assert corp_token(suite, token, code or right, corpid)["errcode"] == 40084


def test_a_suites_token_ends(suite: Any) -> None:
    """42009 for one whose time is over, 40082 for one that never was."""
    token, code = authorised(suite)
    suite.control("POST", "suite", {"act": "expire_tokens", "suite_id": "wwsuite"})

    assert [corp_token(suite, one, code)["errcode"] for one in (token, "never")] == [42009, 40082]


def test_a_withdrawn_authorisation_ends_code_and_tokens(suite: Any) -> None:
    """At once, unless a setting says otherwise."""
    token, code = authorised(suite)
    access = corp_token(suite, token, code)["access_token"]
    said = happens(suite, "cancel", corpid="wwacme")

    assert (said["InfoType"], said["AuthCorpId"]) == ("cancel_auth", "wwacme")
    assert corp_token(suite, token, code)["errcode"] == 40084
    body = {"touser": "lisi", "agentid": 7, "msgtype": "text", "text": {"content": "x"}}
    assert suite.send(body, token=access)["errcode"] == 40014


@pytest.mark.parametrize("customized", [False, True])
def test_a_corp_grants_group_sends_or_not(suite: Any, customized: bool) -> None:
    """48002 without; a change holds for the token that the app has."""
    token, code = authorised(suite, customized=customized, group_sends=False)
    granted = suite.gettoken("wwacme", code) if customized else corp_token(suite, token, code)
    errcodes = [group_send(suite, granted["access_token"])]
    for given in (True, False):
        said = happens(suite, "change", corpid="wwacme", group_sends=given)
        errcodes.append(group_send(suite, granted["access_token"]))

    assert said["InfoType"] == "change_auth"
    assert errcodes == [48002, 0, 48002]


def test_a_customized_app_uses_its_code_at_gettoken(suite: Any) -> None:
    """And no longer after a new one was fetched."""
    token, code = authorised(suite, customized=True)
    before = suite.gettoken("wwacme", code)["errcode"]
    renewed = happens(suite, "reset", corpid="wwacme")["AuthCode"]
    new = call(suite, "get_permanent_code", {"auth_code": renewed}, token)["permanent_code"]

    assert [before, suite.gettoken("wwacme", new)["errcode"]] == [0, 0]
    assert 0 != suite.gettoken("wwacme", code)["errcode"]


def test_events_and_verification_are_sealed_for_their_receivers(suite: Any) -> None:
    """The suite for an event, the provider's corp for the verification of the address."""
    address = Address()
    known = {**SUITE, "callback_url": address.url, "callback_token": "t", "callback_aes_key": KEY}
    suite.settings(suite={"known": [known]})
    try:
        for act in ("ticket", "verify"):
            suite.control("POST", "suite", {"act": act, "suite_id": "wwsuite"})
            ended(suite)
        (_, pushed, body), (_, asked, _) = address.got
    finally:
        address.close()

    encrypted = re.findall(rb"<Encrypt><!\[CDATA\[(.*)\]\]></Encrypt>", body)[0].decode()
    event = Envelope("t", KEY, "wwsuite").open(pushed["msg_signature"], pushed["timestamp"], pushed["nonce"], encrypted)
    number = Envelope("t", KEY, "wwprovider").open(
        asked["msg_signature"], asked["timestamp"], asked["nonce"], asked["echostr"]
    )
    assert b"<InfoType><![CDATA[suite_ticket]]></InfoType>" in event
    assert number.isdigit()


@pytest.mark.parametrize("given", [{"act": "cancel", "corpid": "wwnone"}, {"act": "reset"}, {"act": "nonsense"}])
def test_an_act_that_is_not_possible_is_told(suite: Any, given: dict[str, Any]) -> None:
    """400, as other control calls."""
    reply = suite.session.post(f"{suite.url}/_control/suite", json={"suite_id": "wwsuite", **given}, timeout=60)

    assert reply.status_code == 400
