"""What the vendor's answers mean."""

from __future__ import annotations

from typing import Any

import pytest
from wecom_external_samples import ACCESS, CHANNEL, account, coded, outcome, part, reply, task

from worker.domain.outcome import (
    Accepted,
    CallReceipt,
    Confirmation,
    Parked,
    Partial,
    Progress,
    Refusal,
    Rejected,
    Retry,
    Scope,
    Unknown,
    Wait,
)

OK = {"errcode": 0, "errmsg": "ok"}
TRACK = task("track", step="task", member=None, cursor="")
RESULT = task("track", step="result", member="lihua", cursor="")
LOOK_UP = part(in_doubt=True, facts={"doubt": [1000, 2000], "known": []})


def test_a_task_exists():
    """That is all `accepted` says: a msgid, and nobody was refused."""
    found = outcome({**OK, "fail_list": [], "msgid": "msgG1"})

    assert Accepted(CallReceipt(msgid="msgG1")) == found
    assert Accepted(CallReceipt(msgid="msgG1")) == outcome({"msgid": "msgG1"})


def test_who_cannot_be_sent_to():
    """Each once, as the caller wrote it, a customer or a group; strangers are only counted."""
    customers = outcome({**OK, "fail_list": ["WM02", "wm02", "wm99"], "msgid": "msgG1"})
    groups = outcome({**OK, "fail_list": ["wr1"], "msgid": "m"}, part(spec={"sender": "a", "chats": ["wr1", "wr2"]}))

    warning = "refused ids that are not among the named recipients: 1"
    assert (
        Partial(CallReceipt(msgid="msgG1", warning=warning), (Refusal("wm02", "customer", "fail_list"),)) == customers
    )
    assert (Refusal("wr1", "chat", "fail_list"),) == groups.refusals


def test_nobody_can_be_sent_to():
    """41048 is about everybody of the part."""
    found = outcome(coded(41048))

    assert isinstance(found, Rejected)
    assert [one.recipient for one in found.refusals] == ["wm01", "wm02"]


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        (OK, "no msgid in the answer"),
        ({**OK, "msgid": "m", "errmsg": "ok. Warning: wrong json format. "}, "the vendor warns of a wrong JSON format"),
        ({**OK, "msgid": "m", "fail_list": {"a": 1}}, "fail_list has another type"),
    ],
)
def test_what_somebody_should_look_at(body: dict[str, Any], warning: str):
    """Taken, with a warning."""
    assert warning == outcome(body).receipt.warning


def test_matters_of_one_campaign_hold_up_no_other():
    """A sender outside the app's rights, a mini program that is not linked: refused, and nothing is parked."""
    for code in (60011, 90206, 90208):
        assert isinstance(outcome(coded(code)), Rejected)
    assert Scope.LANE is outcome(coded(48002)).scope
    assert Scope.ACCOUNT is outcome(coded(60020)).scope
    assert isinstance(outcome(coded(48002)), Parked)


def test_a_lost_file_is_uploaded_again():
    """Only where the worker has it."""
    held = part({**part().message, "files": {"attachments.0.image.media_id": {}}})

    for code in (40007, 40145):
        assert outcome(coded(code), held).retry_with == "media"
        assert outcome(coded(code)).retry_with is None


def test_a_cancel():
    """0 even when everything was sent; cancelled before is as good; right after creation it is too early."""
    cancel = task("recall")

    assert Accepted(CallReceipt()) == outcome(OK, cancel)
    before = outcome(coded(41093), cancel)
    assert isinstance(before, Accepted)
    assert "cancelled before" in str(before.receipt.warning)
    assert outcome(coded(41063), cancel).scope == Scope.PART
    assert outcome(coded(41063), cancel).delay == 30.0
    assert isinstance(outcome(coded(41047), cancel), Rejected)


def test_a_reminder():
    """Too many, or after the cancel: refused with that reason; too early: later."""
    remind = task("remind")

    assert Accepted(CallReceipt()) == outcome(OK, remind)
    assert Rejected("41094 the members were reminded too often") == outcome(coded(41094), remind)
    assert Rejected("41093 the group send was cancelled before") == outcome(coded(41093), remind)
    assert isinstance(outcome(coded(41063), remind), Wait)
    assert isinstance(outcome(reply(b"<html>", 502), remind), Unknown)


def test_a_page_of_members():
    """Each with what they did and when; the next page, or the members' results."""
    tasks = [
        {"userid": "lihua", "status": 2, "send_time": 1782792000},
        {"userid": "chenmo", "status": 0},
        {"userid": "odd", "status": 7},
        {"status": 2},
        "odd",
    ]

    first = outcome({**OK, "next_cursor": "c2", "task_list": tasks}, TRACK)
    last = outcome({**OK, "next_cursor": "", "task_list": []}, TRACK)

    found = (Confirmation("lihua", "", 2, 1782792000), Confirmation("chenmo", "", 0, None))
    assert {**TRACK.spec, "step": "task", "cursor": "c2", "pages": 1} == first.spec
    assert found == first.confirmations
    assert {**TRACK.spec, "step": "result", "member": None, "cursor": "", "pages": 0} == last.spec
    assert 0 < first.delay <= 5


def test_a_page_of_results():
    """Customers or groups of the member asked for; then the next member."""
    results = [
        {"external_userid": "wm1", "userid": "lihua", "status": 1, "send_time": "1782792000"},
        {"chat_id": "wr1", "userid": "lihua", "status": 3},
        {"external_userid": "wm2", "userid": "lihua", "status": 0},
        {"external_userid": "wm3", "userid": "lihua", "status": 2},
        {"userid": "lihua", "status": 1},
    ]

    found = outcome({**OK, "next_cursor": "c2", "send_list": results}, RESULT)
    last = outcome({**OK, "send_list": results[:1]}, RESULT)

    assert (
        Confirmation("lihua", "wm1", 1, 1782792000),
        Confirmation("lihua", "wr1", 3, None),
        Confirmation("lihua", "wm2", 0, None),
        Confirmation("lihua", "wm3", 2, None),
    ) == found.confirmations
    assert tuple(found.spec[name] for name in ("step", "member", "cursor")) == ("result", "lihua", "c2")
    assert tuple(last.spec[name] for name in ("step", "member", "cursor")) == ("result", None, "")


def test_pages_that_cannot_be_read():
    """A lost cursor begins again, a member who is gone is passed, a cancelled task is the end, the rest waits."""
    paging = task("track", step="result", member="lihua", cursor="c9")

    lost, gone = outcome(coded(50100), paging), outcome(coded(60111), paging)

    assert tuple(lost.spec[name] for name in ("step", "member", "cursor")) == ("result", "lihua", "")
    assert isinstance(outcome(coded(50100), RESULT), Retry)
    assert (gone.spec["step"], gone.spec["member"], gone.confirmations) == ("result", None, ())
    assert isinstance(outcome(coded(60111), TRACK), Rejected)
    cancelled = outcome(coded(41093), TRACK)
    assert isinstance(cancelled, Accepted)
    assert "cancelled" in str(cancelled.receipt.warning)
    assert isinstance(outcome(coded(41063), TRACK), Wait)
    assert isinstance(outcome(coded(41047), TRACK), Rejected)


def test_a_page_that_leads_to_itself_is_the_last():
    """A vendor that repeats its cursor does not keep a reader for ever."""
    paging = task("track", step="task", member=None, cursor="c2")

    found = outcome({**OK, "next_cursor": "c2", "task_list": []}, paging)

    assert isinstance(found, Progress)
    assert found.spec["step"] == "result"


def test_something_else_answered():
    """A query may be asked again; a call that changes something is in doubt; whoever asks to wait is waited for."""
    html = reply(b"<html>", 502)

    assert isinstance(outcome(html), Unknown)
    assert isinstance(outcome(html, task("recall")), Unknown)
    assert isinstance(outcome(html, TRACK), Retry)
    assert isinstance(outcome(html, LOOK_UP), Retry)
    assert Wait(Scope.LANE, 30.0, "http_503 without the vendor's JSON") == outcome(
        reply(b"", 503, retry_after="30"), TRACK
    )


@pytest.mark.parametrize("status", [429, 503])
def test_a_proxy_that_asks_to_wait_may_have_passed_the_call_on(status: int):
    """A group send or a reminder made again would be a second one, so all that changes something is in doubt."""
    busy = reply(b"", status, retry_after="30")

    doubts = {outcome(busy, task(kind)) for kind in ("send", "remind", "recall")}

    assert {Unknown(f"http_{status} without the vendor's JSON", delay=30.0)} == doubts
    assert Wait(Scope.LANE, 30.0, f"http_{status} without the vendor's JSON") == outcome(busy, LOOK_UP)


def test_what_is_kept_of_an_answer():
    """Code, trace number and the caller's address; no recipient and no text."""
    text = "bad wm01 'hello' hint: [1782792000123], from ip: 203.0.113.7, more info at https://open"

    verdict = CHANNEL.outcome(part(), account(), reply({"errcode": 40096, "errmsg": text}), ACCESS)

    assert (verdict.errcode, verdict.hint, verdict.caller_ip) == (40096, "1782792000123", "203.0.113.7")
    assert "wm01" not in str(verdict.errmsg)
    assert "hello" not in str(verdict.errmsg)


def test_uploads():
    """A media_id for three days, or a URL that never ends."""
    file = part({"type": "upload", "files": {"media": {"upload_type": "image"}}}, {}, kind="upload")
    picture = part({"type": "upload", "files": {"media": {"upload_type": "uploadimg"}}}, {}, kind="upload")

    given = outcome({**OK, "media_id": "M"}, file).receipt
    url = outcome({"errcode": 0, "errmsg": "", "url": "http://p.qpic.cn/1"}, picture).receipt

    assert given.media_id == "M"
    assert (url.media_id, url.extra) == (None, {"url": "http://p.qpic.cn/1"})
    assert outcome(OK, picture).receipt.warning == "no url in the answer"
