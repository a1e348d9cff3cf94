"""Limits: what refuses, what drops in silence, how long a penalty lasts, what is reported."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

SHANGHAI = timezone(timedelta(hours=8))
NOON = datetime(2026, 7, 1, 12, 0, 30, tzinfo=SHANGHAI).timestamp()


@pytest.fixture(autouse=True)
def _noon(vendor: Any) -> None:
    """It is half a minute past noon in Shanghai, and time stands still."""
    vendor.control("POST", "clock", {"set": NOON, "frozen": True})
    vendor.token()


def recalls(vendor: Any, count: int) -> list[int]:
    """The codes of so many calls of an API with base limits."""
    return [vendor.recall("x") for _ in range(count)]


@pytest.mark.parametrize(("name", "window_s"), [("api_per_minute", 60), ("api_per_hour", 3600)])
def test_an_api_limit_blocks_for_its_window(vendor: Any, name: str, window_s: int) -> None:
    """The call beyond the window's amount is 45009, and so is every other as long; then they pass again."""
    vendor.settings(limits={name: 2})

    assert recalls(vendor, 3) == [40058, 40058, 45009]
    vendor.advance(window_s - 1)
    assert recalls(vendor, 1) == [45009]
    vendor.advance(1.5)
    assert recalls(vendor, 1) == [40058]


def test_limits_are_per_corp_and_per_api(vendor: Any, text: Any) -> None:
    """Another corp, another API and message/send are not touched by a corp's block."""
    vendor.settings(limits={"api_per_minute": 1})
    recalls(vendor, 2)

    assert vendor.recall("x", token=vendor.token("ww2", "s")) == 40058
    assert vendor.update({})["errcode"] == 60140
    assert vendor.send(text())["errcode"] == 0


def test_an_ip_is_limited_too(vendor: Any) -> None:
    """All corps of one IP share its amount per API."""
    vendor.settings(limits={"ip_per_minute": 1})
    recalls(vendor, 1)
    other = vendor.session.get(f"{vendor.url}/cgi-bin/gettoken?corpid=w&corpsecret=s", timeout=60).json()

    assert vendor.recall("x", token=vendor.token()) == 45009
    assert other["errcode"] == 45009


@pytest.mark.parametrize(("enforce", "codes"), [("sliding", [45009]), ("aligned", [40058]), ("none", [40058])])
def test_sliding_and_aligned_windows(vendor: Any, enforce: str, codes: list[int]) -> None:
    """Across a clock-face minute only the sliding window is full; which one refuses is set, both are reported."""
    vendor.settings(limits={"api_per_minute": 2, "enforce": enforce})
    vendor.advance(25)
    recalls(vendor, 2)
    vendor.advance(10)

    assert codes == recalls(vendor, 1)
    (violation,) = vendor.violations()["limits"]
    assert {"kind": "sliding", "window_s": 60, "limit": 2, "count": 3, "times": 1}.items() <= violation.items()
    assert violation["key"] == "api:ww1:/cgi-bin/message/recall"


def test_violations_count_on_without_enforcement(vendor: Any) -> None:
    """Nothing refuses under `none`, and the worst count of both kinds of window is kept."""
    vendor.settings(limits={"api_per_minute": 1, "enforce": "none"})

    assert recalls(vendor, 3) == [40058] * 3
    assert {(found["kind"], found["count"], found["times"]) for found in vendor.violations()["limits"]} == {
        ("sliding", 3, 2),
        ("aligned", 3, 2),
    }


def test_without_penalty_only_the_excess_is_refused(vendor: Any) -> None:
    """The penalty can be switched off."""
    vendor.settings(limits={"api_per_minute": 1, "penalty": False})

    assert recalls(vendor, 2) == [40058, 45009]
    vendor.advance(60)
    assert recalls(vendor, 1) == [40058]


def test_blocked_calls_are_counted(vendor: Any) -> None:
    """Calls that meet a block are reported apart from the overstepping itself."""
    vendor.settings(limits={"api_per_minute": 1})
    recalls(vendor, 4)

    found = vendor.violations()

    assert found["blocked_calls"] == {"api:ww1:/cgi-bin/message/recall": 2}
    assert found["blocked_until"] == {"api:ww1:/cgi-bin/message/recall": NOON + 60}
    assert [violation["times"] for violation in found["limits"]] == [1, 1]


def test_person_times_per_day(vendor: Any, text: Any) -> None:
    """People reached count per app and day, and the block ends at midnight in Shanghai."""
    vendor.settings(limits={"account_cap": 1})
    crowd = "|".join(f"u{number}" for number in range(150))

    codes = [vendor.send(text(to=crowd))["errcode"], vendor.send(text(to=crowd))["errcode"]]
    other_app = vendor.send(text(to=crowd), token=vendor.token("ww1", "s2"))["errcode"]

    assert codes == [0, 45009]
    assert other_app == 0
    vendor.settings(token={"lifetime_s": 10**6})
    vendor.control("POST", "tokens", {"revoke": "all"})
    token = vendor.gettoken()["access_token"]
    vendor.advance(12 * 3600 - 31)
    assert vendor.send(text(), token=token)["errcode"] == 45009
    vendor.advance(2)
    assert vendor.send(text(to=crowd), token=token)["errcode"] == 0


def test_a_members_excess_is_dropped_in_silence(vendor: Any, text: Any) -> None:
    """Beyond a member's amount the call succeeds and that member alone gets nothing; it is reported."""
    vendor.settings(limits={"member_per_minute": 2})
    for number in range(2):
        vendor.send(text(f"{number}"))

    reply = vendor.send(text("third", to="chenmo|lihua"))

    assert reply["errcode"] == 0
    assert len(vendor.inbox("chenmo")) == 2
    assert len(vendor.inbox("lihua")) == 1
    found = vendor.violations()
    assert [("chenmo", reply["msgid"])] == [(drop["user"], drop["msgid"]) for drop in found["drops"]]
    assert [(drop["window_s"], drop["limit"]) for drop in found["drops"]] == [(60, 2)]
    assert {violation["key"] for violation in found["limits"]} == {"member:ww1/1:chenmo"}


def test_a_members_excess_may_refuse(vendor: Any, text: Any) -> None:
    """By setting the call is refused with 45009, for nobody."""
    vendor.settings(limits={"member_per_hour": 1, "member_excess": "refuse"})
    vendor.send(text("1"))

    assert vendor.send(text("2", to="chenmo|lihua"))["errcode"] == 45009
    assert vendor.inbox("lihua") == []


def test_zero_is_no_limit(vendor: Any) -> None:
    """An amount of 0 switches a limit off."""
    vendor.settings(limits={"api_per_minute": 0, "api_per_hour": 0})

    assert recalls(vendor, 3) == [40058] * 3
    assert vendor.violations()["limits"] == []


def test_too_many_calls_at_once(vendor: Any) -> None:
    """Calls in flight beyond the set number answer 45033."""
    vendor.settings(limits={"concurrent_calls": 1})
    vendor.faults({"match": {"nth": 1}, "action": {"hang": None, "apply": True}})
    line = f"GET /cgi-bin/message/recall?access_token={vendor.token()} HTTP/1.1\r\nHost: x\r\n\r\n"

    with vendor.connect() as hanging:
        hanging.sendall(line.encode())
        vendor.until(lambda: vendor.calls(path="/cgi-bin/message/recall") != [])
        assert recalls(vendor, 1) == [45033]
    vendor.until(lambda: recalls(vendor, 1) == [40058])
