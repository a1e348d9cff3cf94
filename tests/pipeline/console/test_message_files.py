"""Files of a stored message: shown to those who may read its texts, each view in the audit; nothing of them runs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from tests.pipeline.console.person import Person
from tests.pipeline.webhook_site import a_webhook
from tests.support.browser import Shown
from tests.support.runtime import PNG, Site, an_account, planted
from worker import Chats, File, FileMessage, Image, Video, webhook
from worker.console.viewer import Role
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

CANARY = b"canary7q"
SCRIPT = b"<html><script>alert(1)</script></html>"


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(
        database, driven_clock, accounts=[an_account(), an_account("it"), a_webhook("http://vendor")]
    ) as planted_site:
        yield planted_site


def document(site: Site, content: bytes, name: str, **options: str) -> str:
    return site.ask(FileMessage(file=File(content, name)), **options)


def looks(site: Site) -> list[tuple[str, str]]:
    rows = site.rows("select person, asked from worker_audit where action = 'console.view' order by id")
    return [(row.person, json.loads(row.asked)["of"]) for row in rows]


def address_of(page: Shown) -> str:
    """The one file that a page leads to."""
    [address] = {link for link in page.links if "/files/" in link}
    return address


def test_a_picture_is_drawn_in_its_message(site: Site) -> None:
    """From its bytes in the outbox; the view of the page and that of the picture are both in the audit."""
    job, person = site.image(), Person(site, "support", frozenset({"hr"}), name="sue")

    page = person.get(f"/jobs/{job}/message")
    picture = person.get(f"/jobs/{job}/files/0/a.png")

    assert f'<img src="/jobs/{job}/files/0/a.png"' in page.text
    assert (picture.status, picture.body, picture.headers["content-type"]) == (200, PNG, "image/png")
    assert picture.headers["content-disposition"] == "inline; filename*=UTF-8''a.png"
    assert [("sue", job), ("sue", f"{job}/files/0")] == looks(site)


@pytest.mark.fewer_databases("what stands around the bytes is decided without SQL")
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\xd8\xff\xe0....", "image/jpeg"),
        (b"GIF89a....", "image/gif"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
        (b"#!AMR\n....", "audio/amr"),
        (SCRIPT, None),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", None),
        (b"%PDF-1.7", None),
        (b"\x89PNG....", None),
    ],
)
def test_only_what_is_a_picture_or_a_film_by_its_bytes_is_shown_in_its_place(
    site: Site, content: bytes, kind: str | None
) -> None:
    """Whatever its name says; all else is saved, and nothing of any of them is run, sniffed or kept."""
    job = document(site, content, "a.png")

    shown = Person(site).get(f"/jobs/{job}/files/0/a.png")

    assert content == shown.body
    assert (kind or "application/octet-stream") == shown.headers["content-type"]
    assert ("inline" if kind else "attachment") == shown.headers["content-disposition"].partition(";")[0]
    assert shown.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert (shown.headers["x-content-type-options"], shown.headers["cache-control"]) == ("nosniff", "no-store")
    assert str(len(content)) == shown.headers["content-length"]


@pytest.mark.parametrize("role", ["reader", "support", "operator"])
def test_who_may_not_read_the_texts_gets_no_file(site: Site, role: Role) -> None:
    """Neither a byte of it, nor its name, by any page, also by an address that is typed; and it is no look."""
    jobs = [site.image(PNG + CANARY), document(site, CANARY, f"{CANARY.decode()}.txt")]
    person = Person(site, role, frozenset({"it"}))
    typed = [f"/jobs/{job}{page}" for job in jobs for page in ("", "/message", "/files/0/a", "/files/1/a")]

    pages = dict(person.crawl("/jobs?account=hr", *typed))

    assert [pages[path].status for path in typed if "/files/" in path] == [403] * 4
    assert [
        path for path, shown in pages.items() if CANARY in shown.body or CANARY.decode() in str(shown.headers)
    ] == []
    assert [of for _, of in looks(site) if of.partition("/")[0] in jobs] == []


def test_who_may_read_reaches_every_file_by_links(site: Site) -> None:
    """So that a page which leads to none does not pass for one that withholds."""
    jobs = [site.image(PNG + CANARY), document(site, CANARY, f"{CANARY.decode()}.txt")]

    pages = dict(Person(site, "support", frozenset({"hr"})).crawl(*(f"/jobs/{job}" for job in jobs)))

    assert set(jobs) == {
        path.split("/")[2] for path, shown in pages.items() if "/files/" in path and CANARY in shown.body
    }


def test_a_large_file_comes_piece_by_piece(site: Site) -> None:
    """Each as it is stored."""
    content = bytes(range(256)) * 4096 * 2 + b"end"
    job = document(site, content, "a.bin")

    assert content == Person(site).get(f"/jobs/{job}/files/0/a.bin").body


def test_a_file_that_is_gone_is_said_to_be(site: Site) -> None:
    """Its name stays in the message; no picture is asked for that is not there."""
    job, person = site.image(), Person(site)
    site.sql("delete from worker_blob_chunks")
    site.sql("delete from worker_blobs")

    page = person.get(f"/jobs/{job}/message").text

    assert "no longer stored" in page
    assert "a.png" in page
    assert "<img" not in page
    assert person.get(f"/jobs/{job}/files/0/a.png").status == 404


def test_a_file_behind_an_address_is_not_fetched(site: Site) -> None:
    """The page says which; what is there now may be something else."""
    job = site.ask(Image(file=File.from_url("https://files.example.com/a.png")))

    page = Person(site).get(f"/jobs/{job}/message").text

    assert "given as an address, fetched when it is sent: https://files.example.com/a.png" in page
    assert "<img" not in page
    assert Person(site).get(f"/jobs/{job}/files/0/a.png").status == 404


@pytest.mark.fewer_databases("how a name is written is decided without SQL")
@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("..", "file"),
        ("../../etc/passwd", "passwd"),
        ("..\\boot.ini", "boot.ini"),
        ('a";x=".html', 'a";x=".html'),
        ("报价 单.pdf", "报价 单.pdf"),
        ("a?b#c%2f.txt", "a?b#c%2f.txt"),
        ("\u202egnp.exe", "gnp.exe"),
        ("a\r\nX: y\x01\x7f.txt", "aX: y.txt"),
    ],
)
def test_a_name_is_a_name_only(site: Site, name: str, saved: str) -> None:
    """It leads to no other address, ends no header, and turns no line around."""
    job, person = document(site, b"content", name), Person(site)

    address = address_of(person.get(f"/jobs/{job}/message"))
    shown = person.get(address)

    assert re.fullmatch(rf"/jobs/{job}/files/0/[^/]+", address)
    assert saved == unquote(address.rpartition("/")[2])
    assert shown.body == b"content"
    assert saved == unquote(shown.headers["content-disposition"].partition("''")[2])


def test_every_kind_of_message_draws_its_own(site: Site) -> None:
    """A video, a webhook's picture, and a file that was uploaded by itself; a text has none."""
    drawn = {
        "<video": site.ask(Video(file=File(b"\x00\x00\x00\x18ftypmp42", "v.mp4"))),
        "<img": site.ask(webhook.Image(file=File(PNG, "w.png")), Chats("wr1"), account="alerts"),
    }
    uploaded, plain = site.upload(), site.send()
    person = Person(site)

    shown = {tag: person.get(f"/jobs/{job}/message") for tag, job in drawn.items()}

    for tag, page in shown.items():
        assert re.search(rf'{tag}[^>]* src="{address_of(page)}"', page.text), tag
        assert person.get(address_of(page)).status == 200
    assert f"/jobs/{uploaded}/message" in person.get(f"/jobs/{uploaded}").links
    assert person.get(address_of(person.get(f"/jobs/{uploaded}/message"))).status == 200
    assert not any("/files/" in link for link in person.get(f"/jobs/{plain}/message").links)


@pytest.mark.parametrize(
    "files",
    [
        None,
        [],
        {"image.media_id": None},
        {"image.media_id": {"name": 7, "size": "x", "blob": ["b"]}},
        {"a.b.c.0": {"name": "a.png", "size": 3, "blob": "b" * 32}},
        {"content.0.x": {"name": "a.png"}},
    ],
    ids=str,
)
def test_a_broken_message_shows_what_there_is(site: Site, files: object) -> None:
    """Rows are years old, or a producer wrote them by itself."""
    job = site.send("lunch")
    stored = {"type": "text", "body": {"text": {"content": "lunch"}, "content": "x"}, "files": files}
    site.sql("update worker_jobs set message = :message where id = :id", message=json.dumps(stored), id=job)

    shown = Person(site).get(f"/jobs/{job}/message")

    assert shown.status == 200
    assert "lunch" in shown.text
    assert Person(site).get(f"/jobs/{job}/files/0/a").status == 404
