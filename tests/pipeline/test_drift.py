"""Answers that do not look as the vendor's pages say: told once each, with a sample that says nothing of anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.runtime import Site, planted, refused
from tests.support.scripted_transport import answered
from worker.domain.call import CallResult
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.drift import MORE, MOST, list_drift

PAGE = "page 90236"


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as site:
        yield site


def said(**fields: Any) -> CallResult:
    """A success of message/send that has these fields beside, or in the place of, those of the page."""
    return answered(json.dumps({"errcode": 0, "errmsg": "ok", "msgid": "m1", **fields}).encode())


def told(site: Site) -> dict[str, int]:
    """How many answers contradicted each fact."""
    with site.database.reading() as connection:
        return {row["fact"]: row["answers"] for row in list_drift(connection, None)}


def test_answers_as_the_pages_have_them_are_no_drift(site: Site) -> None:
    """Successes, refusals and refused recipients of each kind."""
    site.vendor.says(said(invaliduser="lisi", invalidparty="", response_code="c"), refused(40003), refused(-1))
    for n in range(3):
        site.ring(site.send(str(n)))
    site.ring(site.card())
    site.ring(site.upload())

    assert {} == told(site)


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        (refused(987_654), "errcode 987654 is in no table"),
        (said(traceid="x"), "a field traceid that the page does not have"),
        (said(msgid=None), "a success without msgid"),
        (said(invaliduser=["lisi"]), "invaliduser is a list"),
        (said(errcode="0"), "errcode is a text"),
        (said(**{"canary 张三": 1}), "a field with another name that the page does not have"),
        (said(u13800138000=1), "a field with another name that the page does not have"),
        (said(ZhangSan=1), "a field with another name that the page does not have"),
        (said(lisi=1), "a field with another name that the page does not have"),
    ],
)
def test_what_an_answer_contradicts_is_told(site: Site, answer: CallResult, fact: str) -> None:
    """A new code, a new field, another type, a promise that is not kept."""
    site.vendor.says(answer)
    site.ring(site.send())

    assert {f"{PAGE}: {fact}": 1} == told(site)


def test_a_sample_has_the_shape_alone(site: Site) -> None:
    """Names, types and lengths; with the part and the account that were answered so."""
    site.vendor.says(said(canary_of="canary-zhangsan", more={"canary": 1}))
    job = site.send("canary-text", to="canary-person")
    site.ring(job)

    with site.database.reading() as connection:
        rows = list_drift(connection, "wecom_app")

    assert {(row["account"], row["part_id"]) for row in rows} == {("hr", f"{job}-0")}
    assert "zhangsan" not in str(rows)
    assert {
        "errcode": 0,
        "errmsg": "a text of 2",
        "msgid": "a text of 2",
        "canary_of": "a text of 15",
        "more": "an object of 1",
    } == json.loads(rows[0]["sample"])


def test_every_answer_counts_and_one_an_hour_is_stored(site: Site) -> None:
    """The first and the last time stand there; another process's answers count as well."""
    for _ in range(3):
        site.vendor.says(said(traceid="x"))
        site.ring(site.send())
        site.advance(60)
    [first] = site.rows("select * from worker_drift")
    site.advance(3_600)
    site.vendor.says(said(traceid="x"))
    site.ring(site.send())

    [second] = site.rows("select * from worker_drift")

    assert {f"{PAGE}: a field traceid that the page does not have": 4} == told(site)
    assert (first.first_at, first.first_at) == (first.last_at, second.first_at)
    assert second.last_at - first.last_at >= 3_600_000_000


def test_a_vendor_that_answers_nonsense_fills_no_table(site: Site) -> None:
    """Beyond a number of facts they are no longer told apart."""
    for start in range(0, MOST + 30, 10):
        site.vendor.says(said(**{f"field_{chr(97 + n // 26)}{chr(97 + n % 26)}": 1 for n in range(start, start + 10)}))
        site.ring(site.send())

    found = told(site)

    assert MOST + 1 == len(found)
    assert 30 == found[MORE]
