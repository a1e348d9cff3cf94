"""The first page of the console."""

from __future__ import annotations

from tests.pipeline.console.console_site import browser_of
from worker.outbox.engine.database import Database


def test_an_empty_outbox_says_so(database: Database) -> None:
    """Without a job the page has figures, and one sentence in place of a table."""
    shown = browser_of(database, "reader").get("/", accept_language="en")

    assert 200 == shown.status
    assert "Nothing is due." in shown.text
    assert "<table" not in shown.text


def test_the_browsers_language_is_used(database: Database) -> None:
    """Chinese for a browser that asks for it."""
    shown = browser_of(database, "reader").get("/", accept_language="zh-CN,zh;q=0.9,en;q=0.8")

    assert '<html lang="zh-CN">' in shown.text
    assert "没有待发的消息。" in shown.text
