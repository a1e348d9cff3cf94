"""Webhooks against the simulated vendor: pictures, files, splits, refused members."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.pipeline.webhook_site import SEND, UPLOAD, a_webhook, made, posted, webhooks
from tests.support.control import control
from tests.support.runtime import PNG, Site
from tests.support.scripted_web import Page, ScriptedWeb
from worker import Chats, Everyone, File
from worker.channels.wecom_webhook import FileMessage, Image, MarkdownV2, Text
from worker.delivery.sender import attempt
from worker.delivery.sender.in_flight import InFlight
from worker.delivery.sender.prepare import resolve
from worker.delivery.sender.runtime import Runtime
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def url() -> Iterator[str]:
    settings = {"webhook": {"keys": [{"key": "k-robot", "profile": "public"}]}}
    with running(SimulatorSettings.model_validate(settings)) as address:
        yield address


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock, url: str) -> Iterator[Site]:
    accounts = (
        a_webhook(url, allow_everyone=True),
        a_webhook(url, "other", "k-other"),
        a_webhook(url, "robot", "k-robot", settings={"edition": "robot"}),
    )
    with webhooks(database, driven_clock, *accounts) as planted_site:
        yield planted_site


def ask(site: Site, message: Any, *chats: str, account: str = "alerts", **options: Any) -> str:
    return site.ask(message, Chats(*chats) if chats else None, account=account, **options)


def test_a_picture_whose_file_is_no_longer_stored_is_rejected(site: Site) -> None:
    """No later try finds it: it ends at once, saying what to do."""
    job = ask(site, Image(file=File(PNG, "a.png")), "wr-1")
    site.sql("delete from worker_blob_chunks")
    site.sql("delete from worker_blobs")

    site.run()

    reason = "the file is no longer stored; enqueue it again"
    assert ("rejected", reason) == (site.state(job), site.part(job).reason)


def test_a_picture_travels_in_its_message(site: Site, url: str) -> None:
    """Base64 and MD5 are made for the call; the job's row holds neither, and nothing is uploaded."""
    job = ask(site, Image(file=File(PNG, "chart.png")), "wr-1", "wr-2")
    site.run()

    assert site.job(job).state == "accepted"
    content = {"md5": hashlib.md5(PNG).hexdigest(), "size": len(PNG)}
    assert [content, content] == [posted(url)[chat][0]["content"] for chat in ("wr-1", "wr-2")]
    assert made(url, UPLOAD) == []
    assert 'base64":null' not in site.job(job).message
    assert len(site.job(job).message) < 400
    assert len(site.rows("select id from worker_blobs")) == 1


def test_pictures_are_held_one_at_a_time(site: Site, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is megabytes in its call: the next is read when the one before it has left."""
    jobs = [ask(site, Image(file=File(PNG + bytes([n]), "a.png")), "wr-1") for n in range(4)]
    held: list[int] = []

    def noted(runtime: Runtime, flight: InFlight) -> bool:
        held.append(len(posted(url).get("wr-1", ())))
        return resolve(runtime, flight)

    monkeypatch.setattr(attempt, "resolve", noted)
    site.run()

    assert {site.state(job) for job in jobs} == {"accepted"}
    assert held == [0, 1, 2, 3]


def test_a_picture_behind_a_url_is_fetched_for_its_call(
    database: Database, driven_clock: DrivenClock, url: str
) -> None:
    """Sent like a file that was given; what the vendor says to another format ends its part."""
    pages = {"https://e.com/a.png": Page(PNG), "https://e.com/b.png": Page(b"GIF89a" + bytes(30))}
    with webhooks(database, driven_clock, a_webhook(url), web=ScriptedWeb(pages)) as site:
        good, bad = (ask(site, Image(file=File.from_url(f"https://e.com/{name}.png")), "wr-1") for name in "ab")
        through(site)

        assert (site.state(good), site.state(bad)) == ("accepted", "rejected")
        assert "40009" in site.part(bad).reason
        assert [hashlib.md5(PNG).hexdigest()] == [one["content"]["md5"] for one in posted(url)["wr-1"]]


def test_a_file_is_uploaded_once_for_each_key(site: Site, url: str) -> None:
    """Its media_id is good for that key alone, so another key uploads it again; ten sends share one upload."""
    report = File(b"0123456789", "report.txt")
    jobs = [ask(site, FileMessage(file=report), account="robot") for _ in range(10)]
    broadcast = site.ask(FileMessage(file=report), Everyone("groups"), account="alerts")
    site.run()

    assert {site.job(job).state for job in (*jobs, broadcast)} == {"accepted"}
    assert sorted((call["query"]["key"] for call in made(url, UPLOAD)), reverse=True) == [
        "k-robot",
        "633a31f6-0000-4bc4-97a0-0ec1eefaaaaa",
    ]
    assert {chat: len(found) for chat, found in posted(url).items()} == {"wrhome": 10, "wr1": 1, "wr2": 1, "wr3": 1}


LONG = "\n\n".join(["# one", "word " * 700, "| a |\n| --- |\n" + "| cell |\n" * 100, "# two", "word " * 700])


def through(site: Site, rounds: int = 10) -> None:
    """Runs until nothing waits for what goes before it any more."""
    for _ in range(rounds):
        site.run()
        site.advance(0.5)


@pytest.mark.every_database
def test_a_long_markdown_arrives_in_numbered_messages(site: Site, url: str) -> None:
    """In order, each within 4096 bytes, its table whole; every chat gets all of them, and the job says so."""
    job = ask(site, MarkdownV2(content=LONG), "wr-1", "wr-2", overflow="split")
    through(site)

    found = {chat: [one["content"]["content"] for one in messages] for chat, messages in posted(url).items()}
    assert site.job(job).state == "accepted"
    assert [one.splitlines()[0] for one in found["wr-1"]] == ["(1/3)", "(2/3)", "(3/3)"]
    assert found["wr-1"] == found["wr-2"]
    assert all(len(one.encode()) <= 4096 for one in found["wr-1"])
    assert sum("| a |\n| --- |\n" + "| cell |\n" * 99 in one for one in found["wr-1"]) == 1
    assert "split into 3 messages" in site.job(job).warnings


def test_a_piece_that_is_held_does_not_keep_the_others(site: Site, url: str) -> None:
    """What comes after an answer that was lost goes on once nothing but a person can decide it."""
    fault = {"match": {"path": SEND, "nth": 1}, "action": {"reset_response_after": 0}}
    control(url, "faults", fault)
    job = ask(site, MarkdownV2(content=LONG), "wr-1", overflow="split")
    site.run()
    before = len(made(url))
    for _ in range(8):
        site.advance(10)
        site.recover()
        site.run()

    assert (before, len(made(url))) == (1, 3)
    assert [site.state(job, n) for n in range(3)] == ["unknown", "accepted", "accepted"]


def test_a_member_who_refuses_is_tried_once_more_after_a_minute(site: Site, url: str) -> None:
    """Then he is a failure with the three causes nobody can tell apart; other chats did not wait."""
    job = ask(site, Text(content="hi"), "optout1", "wr-1")
    site.run()
    early = (site.part(job).state, site.part(job).reason, site.state(job, 1))
    site.advance(59)
    site.run()
    calls = len(made(url))
    site.advance(2)
    site.run()

    assert (early[0], early[2]) == ("queued", "accepted")
    assert "93005" in early[1]
    assert (calls, len(made(url))) == (2, 3)
    assert site.state(job) == "rejected"
    assert "scope" in site.part(job).reason
    assert [one.recipient for one in site.of("failures", job)] == ["optout1"]
