"""The page of guarantees lists every way to a second copy that other pages know of."""

from __future__ import annotations

import re

import pytest

from tests.docs.page import Page

FORGETS = ("a mark must outlive", "the same")
"""Why a setting of a database matters: what is forgotten is sent again."""
OTHERS = {"on_unknown", "replay", "resolve --not-sent", "dedupe_key", "worker fence", "from_repeat", "at least once"}


def section(page: Page) -> str:
    """The part of a page about second copies."""
    heading = r"^## (?:Every way to a second copy|.*\{ #every-way-to-a-second-copy \})\n(.*?)^## "
    (found,) = re.findall(heading, page.text, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("name", ["docs/guarantees.md", "docs/zh/guarantees.md"])
def test_every_way_to_a_second_copy_is_listed(name: str) -> None:
    """The settings whose row in docs/databases.md says so, a standby that lags, and what people and programs may do."""
    rows = re.findall(r"^\| (`.*?) \| .*? \| (.*?) \|$", Page("docs/databases.md").text, re.MULTILINE)
    settings = {word for names, why in rows if why.startswith(FORGETS) for word in re.findall(r"`(\w+)`", names)}
    listed = section(Page(name))

    assert {"synchronous_commit", "fsync", "innodb_flush_log_at_trx_commit"} <= settings
    assert [word for word in settings - {"full_page_writes"} | OTHERS if word not in listed] == []
    assert ("standby" in listed) or ("备库" in listed)
