"""The duplicate check under every setting of what the vendor left open, and duplicates people saw."""

from typing import Any

import pytest

FLAG = {"enable_duplicate_check": 1}


def seen(vendor: Any) -> int:
    """How many messages chenmo was shown."""
    return len(vendor.inbox("chenmo"))


def test_a_flagged_repeat_is_suppressed(vendor: Any, text: Any) -> None:
    """The same bytes within the interval are answered 0 with the first msgid and shown once."""
    first, again = (vendor.send(text(**FLAG)) for _ in range(2))

    assert first == again
    assert seen(vendor) == 1
    assert vendor.violations()["duplicates"] == []


@pytest.mark.parametrize(("interval", "default"), [(60, False), (1800, True)])
def test_the_interval_ends(vendor: Any, text: Any, interval: int, default: bool) -> None:
    """After the interval asked for, half an hour by default, the same bytes are shown again."""
    body = text(**FLAG) if default else text(**FLAG, duplicate_check_interval=interval)
    vendor.send(body)
    vendor.advance(interval - 5)
    vendor.send(body)
    within = seen(vendor)
    vendor.advance(6)
    vendor.send(body)

    assert within == 1
    assert seen(vendor) == 2


@pytest.mark.parametrize(("extends", "shown"), [(False, 2), (True, 1)])
def test_a_repeat_may_extend_the_window(vendor: Any, text: Any, extends: bool, shown: int) -> None:
    """Whether a suppressed repeat starts the window again is a setting."""
    vendor.settings(duplicate={"repeat_extends": extends})
    body = text(**FLAG, duplicate_check_interval=60)
    for _ in range(3):
        vendor.send(body)
        vendor.advance(40)

    assert shown == seen(vendor)


@pytest.mark.parametrize(("compare", "shown"), [("bytes", 2), ("flagless", 2), ("sorted", 1)])
def test_whether_the_order_of_keys_matters(vendor: Any, text: Any, compare: str, shown: int) -> None:
    """The same body with its keys in another order is the same request only by one setting."""
    vendor.settings(duplicate={"compare": compare})
    body = text(**FLAG)

    vendor.send(body)
    vendor.send(dict(reversed(body.items())))

    assert shown == seen(vendor)


@pytest.mark.parametrize(("compare", "shown"), [("bytes", 2), ("flagless", 1), ("sorted", 1)])
def test_what_counts_as_the_same(vendor: Any, text: Any, compare: str, shown: int) -> None:
    """By bytes another interval makes another request; flagless it does not."""
    vendor.settings(duplicate={"compare": compare})

    vendor.send(text(**FLAG))
    vendor.send(text(**FLAG, duplicate_check_interval=14400))

    assert shown == seen(vendor)


@pytest.mark.parametrize("compare", ["bytes", "flagless", "sorted"])
def test_other_content_passes(vendor: Any, text: Any, compare: str) -> None:
    """Another text, or the same from another app, is never suppressed."""
    vendor.settings(duplicate={"compare": compare})

    vendor.send(text("one", **FLAG))
    vendor.send(text("two", **FLAG))
    vendor.send(text("one", **FLAG), token=vendor.token("ww1", "other"))

    assert seen(vendor) == 3


@pytest.mark.parametrize(("counts", "shown"), [(False, 2), (True, 1)])
def test_unflagged_originals(vendor: Any, text: Any, counts: bool, shown: int) -> None:
    """Whether a call without the flag is an original for a flagged one is a setting; it is never suppressed itself."""
    vendor.settings(duplicate={"compare": "flagless", "unflagged_counts": counts})

    vendor.send(text())
    vendor.send(text(**FLAG))

    assert shown == seen(vendor)
    vendor.send(text())
    assert shown + 1 == seen(vendor)


@pytest.mark.parametrize(("counts", "shown"), [(False, 1), (True, 0)])
def test_refused_calls(vendor: Any, text: Any, counts: bool, shown: int) -> None:
    """Whether a refused call swallows its honest repeat is a setting, for the vendor's and for injected refusals."""
    vendor.settings(duplicate={"refused_counts": counts})
    vendor.token()
    vendor.faults({"match": {"nth": 1}, "action": {"answer": {"errcode": -1}}})

    busy = vendor.send(text(**FLAG))
    vendor.send(text(**FLAG))

    assert -1 == busy["errcode"]
    assert shown == seen(vendor)


@pytest.mark.parametrize(("counts", "shown"), [(False, 1), (True, 0)])
def test_calls_the_vendor_refused(vendor: Any, text: Any, counts: bool, shown: int) -> None:
    """A refusal of the vendor counts as seen when refused calls do."""
    vendor.settings(duplicate={"refused_counts": counts}, directory={"missing_users": ["chenmo"]})
    refused = vendor.send(text(**FLAG))
    vendor.settings(directory={"missing_users": ["nobody"]})

    reply = vendor.send(text(**FLAG))

    assert refused["errcode"] == 81013
    assert reply["errcode"] == 0
    assert shown == seen(vendor)


def test_injected_refusals_of_nonsense_are_forgotten(vendor: Any) -> None:
    """An injected refusal of a call that is none is simply answered."""
    vendor.settings(duplicate={"refused_counts": True})
    vendor.faults({"action": {"answer": {"errcode": -1}}, "match": {"path": "/cgi-bin/message/send"}})

    assert vendor.send(b"nonsense")["errcode"] == -1
    assert vendor.send({}, token="nonsense")["errcode"] == -1


@pytest.mark.parametrize("answers", ["first_msgid", "new_msgid", "no_msgid"])
def test_what_a_suppressed_repeat_is_told(vendor: Any, text: Any, answers: str) -> None:
    """The first msgid, a new one that belongs to nothing anybody sees, or none; refused ids in any case."""
    vendor.settings(duplicate={"answers": answers})
    first, again = (vendor.send(text(to="chenmo|ghost", **FLAG)) for _ in range(2))

    told = {first["msgid"]: "first_msgid", None: "no_msgid"}.get(again.get("msgid"), "new_msgid")

    assert answers == told
    assert again["invaliduser"] == "ghost"
    if answers == "new_msgid":
        assert vendor.recall(again["msgid"]) == 0
        assert vendor.inbox("chenmo")[0]["state"] == "shown"


@pytest.mark.parametrize(("before", "code"), [(False, 42014), (True, 0)])
def test_cards_with_both(vendor: Any, card: Any, before: bool, code: int) -> None:
    """Whether a repeated flagged card meets its task_id or the duplicate check first is a setting."""
    vendor.settings(duplicate={"before_task_id": before})
    first = vendor.send({**card(), **FLAG})

    again = vendor.send({**card(), **FLAG})

    assert code == again["errcode"]
    assert again.get("response_code") == (first["response_code"] if before else None)


def test_duplicates_people_saw(vendor: Any, text: Any) -> None:
    """Two messages that look alike are reported for those who got both, whatever the flags and other recipients."""
    first = vendor.send(text(to="chenmo|lihua"))
    second = vendor.send(text(to="chenmo|wang", duplicate_check_interval=60))
    vendor.send(text("other"))

    duplicates = vendor.violations()["duplicates"]

    assert [{"user": "chenmo", "msgids": [first["msgid"], second["msgid"]], "seqs": [2, 3]}] == duplicates


def test_duplicates_by_marker(vendor: Any, text: Any) -> None:
    """With a marker messages are the same when its first match is."""
    for content in ("job-1 a", "job-1 b", "job-2 a", "none"):
        vendor.send(text(content))

    assert vendor.violations()["duplicates"] == []
    assert [d["seqs"] for d in vendor.violations(marker=r"job-\d+")["duplicates"]] == [[2, 3]]
