"""Answers that do not look as the vendor's pages say: counted, and logged with a shape that says nothing of anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.runtime import Site, planted, refused
from tests.support.scripted_transport import answered
from worker.delivery.sender.fault_reports import MAX_FACTS
from worker.domain.call import CallResult
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.counting import SEPARATOR, totals
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

PAGE = "page 90236"


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as site:
        yield site


def said(**fields: Any) -> CallResult:
    """A success of message/send that has these fields beside, or in the place of, those of the page."""
    return answered(json.dumps({"errcode": 0, "errmsg": "ok", "msgid": "m1", **fields}).encode())


def counted(site: Site) -> dict[str, int]:
    """How many answers were odd in each way."""
    with site.database.reading() as connection:
        names = {tuple(name.split(SEPARATOR)): value for name, value in totals(connection).items()}
    return {name[2]: value for name, value in names.items() if name[:2] == ("drift", "wecom_app")}


def logged(site: Site, answers: Sequence[CallResult]) -> list[dict[str, Any]]:
    """The lines of a job for each of these answers."""
    with capture_logs() as lines:
        for answer in answers:
            site.vendor.says(answer)
            site.ring(site.send())
    return [dict(line) for line in lines if line["event"] == "drift"]


def test_answers_as_the_pages_have_them_are_no_drift(site: Site) -> None:
    """Successes, refusals and refused recipients of each kind."""
    site.vendor.says(said(invaliduser="lisi", invalidparty="", response_code="c"), refused(40003), refused(-1))
    with capture_logs() as lines:
        for n in range(3):
            site.ring(site.send(str(n)))
        site.ring(site.card())
        site.ring(site.upload())

    assert counted(site) == {}
    assert "drift" not in [line["event"] for line in lines]


@pytest.mark.parametrize(
    ("answer", "sort", "fact"),
    [
        (refused(987_654), "code", "errcode 987654 is in no table"),
        (said(traceid="x"), "field", "a field traceid that the page does not have"),
        (said(msgid=None), "promise", "a success without msgid"),
        (said(invaliduser=["lisi"]), "type", "invaliduser is a list"),
        (said(errcode="0"), "type", "errcode is a text"),
        (said(**{"canary 张三": 1}), "field", "a field with another name that the page does not have"),
        (said(u13800138000=1), "field", "a field with another name that the page does not have"),
        (said(ZhangSan=1), "field", "a field with another name that the page does not have"),
        (said(lisi=1), "field", "a field with another name that the page does not have"),
    ],
)
def test_what_an_answer_contradicts_is_told(site: Site, answer: CallResult, sort: str, fact: str) -> None:
    """A new code, a new field, another type, a promise that is not kept."""
    [line] = logged(site, [answer])

    assert line["what"] == f"{PAGE}: {fact}"
    assert counted(site) == {sort: 1}


def test_a_line_has_the_shape_alone(site: Site) -> None:
    """Names, types and lengths; with the part and the account that were answered so."""
    site.vendor.says(said(canary_of="canary-zhangsan", more={"canary": 1}))
    job = site.send("canary-text", to="canary-person")
    with capture_logs() as lines:
        site.ring(job)

    [line, _] = [line for line in lines if line["event"] == "drift"]
    assert (line["channel"], line["account"], line["part"]) == ("wecom_app", "hr", f"{job}-0")
    assert "zhangsan" not in str(line)
    assert json.loads(line["shape"]) == {
        "errcode": 0,
        "errmsg": "a text of 2",
        "msgid": "a text of 2",
        "canary_of": "a text of 15",
        "more": "an object of 1",
    }


def test_every_answer_counts_and_one_an_hour_is_logged(site: Site) -> None:
    """A field that is new comes with every answer."""
    first = logged(site, [said(traceid="x")] * 3)
    site.advance(3_600)
    second = logged(site, [said(traceid="x")])

    assert (len(first), len(second)) == (1, 1)
    assert counted(site) == {"field": 4}


def test_a_vendor_that_answers_nonsense_fills_no_log(site: Site) -> None:
    """Beyond a number of facts they are only counted."""
    fields = [f"field_{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(MAX_FACTS + 30)]
    answers = [said(**dict.fromkeys(fields[start : start + 10], 1)) for start in range(0, len(fields), 10)]

    lines = logged(site, answers)

    assert len(lines) == MAX_FACTS
    assert counted(site) == {"field": MAX_FACTS + 30}
