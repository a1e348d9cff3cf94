"""docs/operations.md shows what `worker why` prints: the example is made here, by a job of an account that is parked.

With WRITE_PAGES=1 in the environment it is written anew, in both languages.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime

import pytest

from tests.docs.page import ROOT
from tests.support.runtime import an_account, planted, refused
from worker import WaitReason, why
from worker.cli.showing import why_lines
from worker.language import translate
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

SIX_IN_THE_EVENING = datetime(2026, 11, 21, 18, tzinfo=UTC)
SHOWN = re.compile(r"(?<=<!-- why -->\n```text\n).*?(?=\n```)", re.DOTALL)


@pytest.mark.fewer_databases("it is about the page")
@pytest.mark.parametrize(("page", "lang"), [("docs/operations.md", "en"), ("docs/zh/operations.md", "zh")])
def test_the_page_shows_what_is_printed(
    page: str, lang: str, sqlite_database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word, but for the job's id; on each page in its language."""
    monkeypatch.setenv("WORKER_LANG", lang)
    driven_clock.micros = int(SIX_IN_THE_EVENING.timestamp()) * 1_000_000
    with planted(sqlite_database, driven_clock, accounts=[an_account()]) as site:
        job = site.send()
        site.vendor.says(refused(60020, "not allow to access from your ip, from ip: 203.0.113.7"))
        site.ring(job)
        with site.database.reading() as connection:
            told = why(connection, job, accounts=["hr"])
    printed = translate("\n".join(why_lines(told))).replace(job, "01a20530e6f07c4f9d3c1a7be2f5a610")

    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    if os.environ.get("WRITE_PAGES") == "1":
        path.write_text(SHOWN.sub(lambda _: printed, text), encoding="utf-8")
        return
    assert told.waits[0].what == WaitReason.PARKED
    assert [printed] == SHOWN.findall(text), "write the page anew with WRITE_PAGES=1"
