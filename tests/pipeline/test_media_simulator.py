"""One large file in many sends, against the simulated vendor: uploaded once, stored once, once more when it expired."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.control import control
from tests.support.runtime import SEND, UPLOAD, Site, an_account, planted
from worker import File, FileMessage, NewJob, To, enqueue, enqueue_many, get_job, upload
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import SocketTransport
from worker_simulator.server import running

pytestmark = pytest.mark.fewer_databases(
    "what the vendor answers is the same on each; files are stored and waited for on each elsewhere"
)
MB = 1024 * 1024
REPORT = File(random.Random(5).randbytes(10 * MB), "七月报表.bin")
DAY = 86_400


@pytest.fixture
def url() -> Iterator[str]:
    with running() as address:
        yield address


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock, url: str) -> Iterator[Site]:
    with (
        closing(SocketTransport()) as transport,
        planted(database, driven_clock, accounts=[an_account(base_url=url)], transport=transport) as planted_site,
    ):
        yield planted_site


def made(url: str, path: str) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = control(url, f"calls?path={path}")["calls"]
    return calls


def at_once(site: Site, first: int, count: int) -> None:
    """One statement of many sends."""
    jobs = [NewJob("hr", FileMessage(file=REPORT), To([f"u{n}"])) for n in range(first, first + count)]
    with site.database.writing() as connection:
        enqueue_many(connection, jobs, accounts=site.accounts)


def one_by_one(site: Site, first: int, count: int) -> None:
    """One transaction, a statement for each send."""
    with site.database.writing() as connection:
        for n in range(first, first + count):
            message = FileMessage(file=REPORT)
            enqueue(connection, "hr", message, To([f"u{n}"]), accounts=site.accounts)


def run(site: Site) -> None:
    """Until everything is sent, also what was told to come again in a moment."""
    for _ in range(5):
        site.run()
        if not site.rows("select 1 from worker_jobs where n_open > 0 limit 1"):
            return
        site.advance(2)
    raise AssertionError(f"left open: {site.rows('select state, reason, count(*) from worker_parts group by 1, 2')}")


def stored(site: Site) -> tuple[int, int]:
    """Copies of files, and the bytes of all their pieces."""
    [copies] = site.rows("select count(*) as n from worker_blobs")
    [pieces] = site.rows("select sum(length(data)) as bytes from worker_blob_chunks")
    return copies.n, int(pieces.bytes)


def assert_all_accepted(site: Site, count: int) -> None:
    sends = site.rows("select state, count(*) as n from worker_jobs where kind = 'send' group by state")
    assert [(2, count)] == [(row.state, row.n) for row in sends]


def who_saw_it(url: str) -> set[str]:
    people: dict[str, list[Any]] = control(url, "inbox")["people"]
    assert {1} == {len(messages) for messages in people.values()}
    return set(people)


def media_ids(url: str) -> list[str]:
    return [json.loads(call["body"])["file"]["media_id"] for call in made(url, SEND) if call["answer"]["errcode"] == 0]


@pytest.mark.slow("200 sends of 10 MB; test_media has one upload for every send, too")
def test_200_sends_of_a_10_mb_file_are_one_upload_and_one_stored_copy(site: Site, url: str) -> None:
    """In one call of one transaction, again in the same and in a later one: 10 MB are stored, and uploaded, once."""
    half = 100
    with site.database.writing() as connection:
        jobs = [NewJob("hr", FileMessage(file=REPORT), To([f"u{n}"])) for n in range(half)]
        enqueue_many(connection, jobs, accounts=site.accounts)
        enqueue(connection, "hr", FileMessage(file=REPORT), To([f"u{half}"]), accounts=site.accounts)
    at_rest = stored(site)
    run(site)
    one_by_one(site, half + 1, half - 1)
    run(site)

    assert ((1, 10 * MB), (1, 10 * MB)) == (at_rest, stored(site))
    [upload] = made(url, UPLOAD)
    assert ("七月报表.bin", 10 * MB) == (upload["body"]["filename"], upload["body"]["size"])
    assert_all_accepted(site, 2 * half)
    assert {f"u{n}" for n in range(2 * half)} == who_saw_it(url)
    assert (2 * half, 1) == (len(media_ids(url)), len(set(media_ids(url))))


def test_media_that_expired_in_between_is_uploaded_once_more_and_nothing_is_lost(site: Site, url: str) -> None:
    """The vendor forgets it earlier than we do: the sends that hear so share one more upload of the copy kept here."""
    at_once(site, 0, 25)
    run(site)
    control(url, "clock", {"advance_s": 3 * DAY + 1})
    at_once(site, 25, 25)
    run(site)

    refused = [call for call in made(url, SEND) if call["answer"]["errcode"] == 40007]
    assert refused, "nothing had expired"
    assert (2, 1) == (len(made(url, UPLOAD)), stored(site)[0])
    assert_all_accepted(site, 50)
    assert {f"u{n}" for n in range(50)} == who_saw_it(url)
    first, second = dict.fromkeys(media_ids(url))
    assert [first] * 25 + [second] * 25 == media_ids(url)


def test_the_receipt_of_an_upload_holds_what_the_vendor_said(site: Site, url: str) -> None:
    """Its media_id, its type, and when it was made by the vendor's clock."""
    control(url, "clock", {"set": 1_700_000_000, "frozen": True})
    with site.database.writing() as connection:
        job = upload(connection, "hr", REPORT, "file", accounts=site.accounts).id

    run(site)

    with site.database.reading() as connection:
        (receipt,) = get_job(connection, job).receipts
    assert ("file", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)) == (receipt.type, receipt.created_at)
    assert receipt.media_id
