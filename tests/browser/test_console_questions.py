"""Questions of a business about its messages, each answered by clicks from the first page, in Chinese."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.console_stand import ConsoleStand, console_stand, sign_in
from tests.browser.watched_page import LOOKS, Look, watched
from tests.pipeline.console.full_outbox import FullOutbox, fill
from tests.support.runtime import Site, refused
from worker import To

pytestmark = pytest.mark.browser


def _lunch(site: Site) -> FullOutbox:
    """Besides: a mailing of `it` of which bob is unknown, ann and bob are refused, and forbidden words go to 300."""
    bob, both, words = (
        partial(site.vendor.takes, invaliduser="bob"),
        refused(81013, "", invaliduser="ann|bob"),
        refused(85002),
    )
    site.vendor.says(bob, both, words)
    for text, to in (("menu", ["ann", "bob"]), ("again", ["ann", "bob"]), ("wine", [f"u{n}" for n in range(300)])):
        site.ring(site.send(text, To(to), tags=["lunch"], account="it", duplicate_check=False))
    return fill(site)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleStand]:
    """One console for all of them."""
    folder: Path = tmp_path_factory.mktemp("console")
    with console_stand(folder, _lunch) as served:
        yield served


class Clicks:
    """A page, and how often it was clicked."""

    def __init__(self, page: Page):
        self.page, self.count = page, 0

    def follow(self, *names: str) -> Clicks:
        """Clicks on links or buttons of these names, one after the other."""
        for name in names:
            self.page.get_by_role("link", name=name, exact=True).first.click()
            self.count += 1
        return self

    def rows(self) -> list[list[str]]:
        """The cells of the page's first table."""
        return [
            [cell.inner_text() for cell in row.locator("th, td").all()]
            for row in self.page.locator("table").first.locator("tbody tr").all()
        ]


def _failures(clicks: Clicks) -> bool:
    """Why did messages of the last day not arrive, and what is to be done?"""
    found = clicks.follow("任务", "按原因查看失败").rows()
    return [row[0] for row in found] == ["300", "2", "1"] and "更正消息内容" in found[0][3]


def _failures_of_a_mailing(clicks: Clicks) -> bool:
    """And those of one mailing?"""
    found = clicks.follow("批次", "lunch", "按原因查看失败").rows()
    return ("81013" in found[1][3], found[1][0]) == (True, "2")


def _which_mailing(clicks: Clicks) -> bool:
    """Which mailing has failures?"""
    (row,) = [row for row in clicks.follow("批次").page.locator("tr").all() if "lunch" in row.inner_text()]
    return "被拒绝 2" in row.inner_text()


def _who_got_it(clicks: Clicks) -> bool:
    """Who got it, as a list for a spreadsheet?"""
    clicks.follow("批次", "lunch")
    with clicks.page.expect_download() as download:
        clicks.follow("CSV")
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        found = [*csv.DictReader(file)]
    (ann,) = [row for row in found if row["接收方"] == "ann" and row["状态"] == "部分受理"]
    return len(found) == 304 and ann["接收方状态"] == "已受理"


def _to_whom(clicks: Clicks) -> bool:
    """To whom did a job go?"""
    clicks.follow("任务")
    clicks.page.locator("table a.mono").last.click()
    clicks.count += 1
    return clicks.page.locator("h1").inner_text() == "文本 → ann +1 · it"


def _what_was_said(clicks: Clicks) -> bool:
    """What was in the messages of a list?"""
    return "wine" in clicks.follow("任务", "显示正文").page.locator("table").first.inner_text()


def _sent_again(clicks: Clicks) -> bool:
    """Can those of one reason get it again, and how many are they?"""
    clicks.follow("批次", "lunch", "按原因查看失败", "重放 1")
    return "1" in clicks.page.locator("form .actions button").last.inner_text()


def _who_pressed(clicks: Clicks) -> bool:
    """Who sent something back about a card?"""
    clicks.follow("回调")
    return "p" in [cell for row in clicks.rows() for cell in row]


QUESTIONS: dict[Callable[[Clicks], bool], int] = {
    _failures: 2,
    _failures_of_a_mailing: 3,
    _which_mailing: 1,
    _who_got_it: 3,
    _to_whom: 2,
    _what_was_said: 2,
    _sent_again: 4,
    _who_pressed: 1,
}


@pytest.mark.parametrize(("question", "most"), QUESTIONS.items(), ids=[one.__name__ for one in QUESTIONS])
def test_a_question_is_answered(
    browser: Browser, stand: ConsoleStand, question: Callable[[Clicks], bool], most: int
) -> None:
    """Rightly, and within so many clicks from the first page."""
    with watched(browser, stand.url, Look("zh", "light", LOOKS[0][0].width)) as page:
        page.open("/sign-in")
        sign_in(page)
        page.open("/")
        clicks = Clicks(page.page)

        assert question(clicks)
        assert clicks.count <= most
        assert page.faults == []
