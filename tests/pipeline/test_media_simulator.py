"""An upload of a producer against the simulated vendor: what its receipt says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from tests.support.control import control
from tests.support.runtime import Site, an_account, planted
from worker import File, get_job, upload
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import SocketTransport
from worker_simulator.server import running

pytestmark = pytest.mark.fewer_databases(
    "what the vendor answers is the same on each; files are stored and waited for on each elsewhere"
)
REPORT = File(b"figures", "七月报表.bin")


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


def run(site: Site) -> None:
    """Until everything is sent, also what was told to come again in a moment."""
    for _ in range(5):
        site.run()
        if not site.rows("select 1 from worker_jobs where n_open > 0 limit 1"):
            return
        site.advance(2)
    raise AssertionError(f"left open: {site.rows('select state, reason, count(*) from worker_parts group by 1, 2')}")


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
