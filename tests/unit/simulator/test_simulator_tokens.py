"""gettoken and what tokens are good for."""

from typing import Any

import pytest

APP = {"corpid": "wwA", "secret": "sA", "agentid": 7}


def test_same_token_while_enough_is_left(vendor: Any) -> None:
    """gettoken repeats the token until less than the set time is left, then gives a new one; both work."""
    first = vendor.gettoken()
    again = vendor.gettoken()
    vendor.advance(7200 - 500)
    third = vendor.gettoken()

    assert first["access_token"] == again["access_token"] != third["access_token"]
    assert first["expires_in"] == 7200
    assert vendor.recall("x", token=first["access_token"]) == 40058


@pytest.mark.parametrize(
    ("settings", "corpid", "secret", "code"),
    [
        ({}, "", "s", 41002),
        ({}, "ww1", "", 41004),
        ({}, "ww1", "wrong", 40001),
        ({}, "wrong", "s", 40013),
        ({"open": False}, "ww1", "s", 40013),
        ({"apps": [APP]}, "wwA", "other", 40001),
        ({"apps": [APP]}, "wwB", "sA", 40091),
        ({"apps": [APP]}, "wwA", "sA", 0),
        ({"apps": [APP]}, "wwB", "any", 0),
        ({"apps": [{**APP, "enabled": False}]}, "wwA", "sA", 50003),
        ({"apps": [{**APP, "secret_unsafe": True}]}, "wwA", "sA", 45031),
    ],
)
def test_refusals_of_gettoken(vendor: Any, settings: dict[str, Any], corpid: str, secret: str, code: int) -> None:
    """gettoken refuses wrong and missing credentials with the vendor's codes."""
    vendor.settings(**settings)

    assert code == vendor.gettoken(corpid, secret)["errcode"]


def test_wrong_secrets_ban_the_ip_for_an_hour(vendor: Any) -> None:
    """After too many wrong secrets even the right one answers 45009, for an hour."""
    vendor.settings(token={"bad_secrets_per_hour": 2})
    for _ in range(2):
        vendor.gettoken("ww1", "wrong")

    banned = vendor.gettoken()["errcode"]
    vendor.advance(3601)

    assert banned == 45009
    assert vendor.gettoken()["errcode"] == 0


@pytest.mark.parametrize("code", [42001, 40014])
def test_expired_token(vendor: Any, text: Any, code: int) -> None:
    """A token past its end answers 42001 or 40014, by setting."""
    vendor.settings(token={"expired_code": code})
    vendor.token()
    vendor.advance(7201)

    assert code == vendor.send(text())["errcode"]


def test_bad_tokens(vendor: Any, text: Any) -> None:
    """No token is 41001, an unknown one 40014; control can expire and revoke."""
    assert vendor.session.post(f"{vendor.url}/cgi-bin/message/send", timeout=60).json()["errcode"] == 41001
    assert vendor.send(text(), token="nonsense")["errcode"] == 40014
    assert vendor.control("POST", "tokens", {"expire": vendor.token()})["expired"] == 1
    assert vendor.send(text())["errcode"] == 42001
    assert vendor.control("POST", "tokens", {"revoke": "all"})["revoked"] == 1
    assert vendor.send(text())["errcode"] == 40014


def test_a_revoked_token_is_replaced(vendor: Any) -> None:
    """gettoken gives a new token when control ended the old one."""
    old = vendor.gettoken()["access_token"]
    vendor.control("POST", "tokens", {"revoke": "all"})

    assert old != vendor.gettoken()["access_token"]


def test_untrusted_ip(vendor: Any, text: Any) -> None:
    """An app with trusted IPs gives tokens to anybody but takes calls from those only."""
    vendor.settings(apps=[{**APP, "trusted_ips": ["10.0.0.1"]}])

    assert vendor.send(text(), token=vendor.token("wwA", "sA"))["errcode"] == 60020


def test_refusals_have_the_vendors_shape(vendor: Any) -> None:
    """A refusal is HTTP 200 with hint, caller and link in errmsg, and the code in a header."""
    reply = vendor.post("message/send", {}, token="nonsense")

    assert reply.status_code == 200
    assert reply.headers["Error-Code"] == "40014"
    assert reply.headers["Error-Msg"] == reply.json()["errmsg"]
    assert reply.json()["errmsg"].startswith("invalid access_token, hint: [")
    assert reply.json()["errmsg"].endswith(
        "from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/devtool/query?e=40014"
    )
    assert len(reply.json()["errmsg"].partition("[")[2].partition("]")[0]) == 25
