"""On a page in Chinese all is Chinese that is not somebody's own words: what happened, why, and what to do about it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.pipeline.console.full_outbox import FullOutbox, fill
from tests.pipeline.console.person import Person
from tests.support.runtime import Site, planted
from worker.console.pages import PAGES
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

OTHERS = re.compile(r"<(code|pre|style|script|bdi|option)\b.*?</\1>|<[^>]*>", re.DOTALL)
"""Commands, what is stored, the message as it is drawn, names to choose from; and tags."""
ENGLISH = re.compile(r"[a-z]{2,} [a-z]{2,}")
NAMES = re.compile("`[^`]*`|e{32}|recall hr|send (hr|it)")
"""A command, an id, and a kind of job beside an account."""
WRITTEN = {"all users are wrong", "to nobody", "in doubt", "rate limited"}
"""By the vendor and by the producer."""


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def starts(found: FullOutbox) -> list[str]:
    """Pages that lead to all others."""
    jobs = (found.accepted, found.refused, found.doubtful, found.waiting, found.held, found.card)
    lists = [page.path for page in PAGES if "{" not in page.path and page.path != "/find"]
    wrong = ["/jobs?account=nobody&created_from=yesterday", f"/commands/recall?ids={found.accepted}&account=nobody"]
    return [*lists, *(f"/jobs/{job}" for job in jobs), f"/audit/{found.audit}", "/events?state=all", *wrong]


def english_in(text: str) -> set[str]:
    """The pieces of a page between tags that hold English words in a row."""
    pieces = {" ".join(piece.split()) for piece in re.sub(NAMES, "", OTHERS.sub("\n", text)).split("\n")}
    return {piece for piece in pieces if ENGLISH.search(piece)} - WRITTEN


def test_no_page_in_chinese_speaks_english(site: Site) -> None:
    """Reasons and remedies are stored in English, and shown in the viewer's language."""
    found = fill(site)
    person = Person(site, lang="zh")

    # Files have tests of their own.
    pages = {path: shown for path, shown in person.crawl(*starts(found)) if not path.startswith("/export/")}
    left = {path: english_in(shown.text) for path, shown in pages.items()}

    assert {path: english for path, english in left.items() if english} == {}


def test_a_job_is_told_in_chinese(site: Site) -> None:
    """Its timeline and the reason of its part; and in English to who reads English."""
    found = fill(site)

    chinese = Person(site, lang="zh").get(f"/jobs/{found.refused}").text
    english = Person(site, lang="en").get(f"/jobs/{found.refused}").text

    assert "<strong>被拒绝</strong>" in chinese
    assert "81013 全部接收方不存在、不可见或未获许可" in chinese
    assert "81013 every recipient is unknown, invisible or without a licence" in english


def test_what_is_confirmed_is_said_in_chinese(site: Site) -> None:
    """Whether it was sent, above all; and the priorities to choose from."""
    found, person = fill(site), Person(site, lang="zh")

    sent = person.get(f"/commands/resolve?ids={found.doubtful}&sent=yes").text
    not_sent = person.get(f"/commands/resolve?ids={found.doubtful}&sent=no").text
    later = person.get(f"/commands/reschedule?ids={found.waiting}&priority=bulk").text

    assert "<dt>是否已发送</dt><dd>是</dd>" in sent
    assert "<dt>是否已发送</dt><dd>否</dd>" in not_sent
    assert "<dt>优先级</dt><dd>批量</dd>" in later
    assert '<option value="bulk" selected>批量</option>' in later
