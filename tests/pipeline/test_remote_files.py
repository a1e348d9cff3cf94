"""Files behind a URL: the producer stores the URL, a worker fetches it before the upload, once, and says why not."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from uuid_utils import uuid7

from tests.support.housekeeping import keep_house
from tests.support.runtime import PNG, SEND, UPLOAD, Site, busy, planted, refused
from tests.support.scripted_web import Fault, Page, ScriptedWeb, Told
from tests.support.youdu_client import APP, BUIN, KEYS
from worker import Chats, CheckFailed, File, FileMessage, Image, To, get_job, replay, timeline, upload, youdu
from worker.channels import wecom_webhook as webhook
from worker.channels.registry import channel
from worker.config.settings import RetentionSettings
from worker.delivery.resolver.download import Downloads
from worker.delivery.resolver.url_file import UrlFiles
from worker.delivery.sender import attempt
from worker.delivery.sender.doorbell_sender import DoorbellSender
from worker.domain.account import Account, Secret
from worker.domain.call import CallResult, FileBody, Request
from worker.domain.content.address import Allowed
from worker.domain.job import part_id
from worker.outbox.commit.commands import Change
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import load_parts
from worker.outbox.jobs.rows import lock_parts

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

URL = "https://files.example.com/reports/%E4%B8%83%E6%9C%88.png?token=canary"
DAY = 86_400
KEPT = RetentionSettings(attempts_days=5, callbacks_days=5, jobs_days=10)


@pytest.fixture
def web() -> ScriptedWeb:
    return ScriptedWeb({URL: Page(PNG)})


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock, web: ScriptedWeb) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # housekeeping knows an old job by its id, which holds the time
    with planted(database, driven_clock, web=web) as planted_site:
        yield planted_site


def asked_upload(site: Site, url: str = URL, upload_type: str = "image", **options: Any) -> str:
    with site.database.writing() as connection:
        options = {"accounts": site.accounts, **options}
        return upload(connection, "hr", File.from_url(url, options.pop("name", None)), upload_type, **options).id


def asked_send(site: Site, to: str = "lisi", url: str = URL, **options: Any) -> str:
    return site.ask(Image(file=File.from_url(url)), to, **options)


def stored(site: Site) -> tuple[int, int]:
    """Copies of files, and their pieces."""
    return len(site.rows("select id from worker_blobs")), len(site.rows("select n from worker_blob_chunks"))


def uploads(site: Site) -> list[str]:
    return [row.id for row in site.rows("select id from worker_jobs where kind = 'upload' order by created_at, id")]


# -- what is fetched --------------------------------------------------------------------------------------------------


def test_the_producer_stores_the_url_alone(site: Site, web: ScriptedWeb) -> None:
    """Nobody is asked and nothing is stored before a worker has the job."""
    asked_upload(site)
    asked_send(site)

    assert (stored(site), web.resolved) == ((0, 0), [])


def test_an_upload_job_uploads_what_is_behind_its_url(site: Site, web: ScriptedWeb) -> None:
    """Fetched, kept, uploaded with its size and under the last part of the URL's path."""
    content, streamed = PNG + bytes(range(256)) * 10_000, list[tuple[str, int, bytes]]()

    def read(request: Request) -> CallResult:
        assert isinstance(request.body, FileBody)
        streamed.append((request.body.filename, request.body.size, b"".join(request.body.open())))
        return site.vendor.takes(request)

    web.pages[URL] = Page(content)
    site.vendor.says(read)
    job = asked_upload(site)

    site.run()

    assert (site.state(job), [row.media_id for row in site.of("receipts", job)]) == ("accepted", ["media1"])
    assert [("七月.png", len(content), content)] == streamed
    assert stored(site) == (1, 3)


@pytest.mark.parametrize(
    "disposition",
    [
        'attachment; filename="other.exe"',
        "attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd%0D%0A.exe",
        'attachment; filename="..\\..\\other\x01.exe"',
    ],
)
def test_a_file_has_the_name_of_its_url(site: Site, web: ScriptedWeb, disposition: str) -> None:
    """It was checked before it was stored; a server cannot give it another."""
    web.pages[URL] = Page(PNG, headers={"content-disposition": disposition})
    asked_upload(site)

    site.run()

    [call] = site.calls(UPLOAD)
    assert isinstance(call.body, FileBody)
    assert call.body.filename == "七月.png"


def test_a_send_waits_for_the_upload_of_what_is_behind_its_url(site: Site, web: ScriptedWeb) -> None:
    """As for any file; the upload job fetches."""
    job = asked_send(site)

    site.run()

    assert (site.state(job), len(web.asked)) == ("accepted", 1)
    assert [body["image"]["media_id"] for body in site.bodies(SEND)] == ["media1"]


def test_sends_of_one_url_that_were_asked_for_together_share_one_fetch_and_one_upload(
    site: Site, web: ScriptedWeb
) -> None:
    """Each was asked for before the upload was made, so each gets what was there after it was asked for."""
    jobs = [asked_send(site, f"u{n}") for n in range(20)]

    site.run()

    assert [site.state(job) for job in jobs] == ["accepted"] * 20
    assert (len(web.asked), len(site.calls(UPLOAD))) == (1, 1)


def test_a_later_send_finds_what_is_there_by_then(site: Site, web: ScriptedWeb) -> None:
    """What is behind a URL changes: the media_id of yesterday's file is not used, though it is good for days."""
    asked_send(site)
    site.run()
    site.advance(60)
    web.pages[URL] = Page(PNG + b"of today")
    asked_send(site)
    site.run()

    assert (len(web.asked), len(site.calls(UPLOAD))) == (2, 2)
    assert [body["image"]["media_id"] for body in site.bodies(SEND)] == ["media1", "media3"]
    assert stored(site) == (2, 2)


def test_the_same_content_is_stored_once(site: Site) -> None:
    """Whoever brought it."""
    site.image(PNG)
    site.run()
    site.advance(60)
    asked_send(site)
    site.run()

    assert stored(site) == (1, 1)


def test_a_send_asked_for_while_another_ones_file_is_on_its_way_gets_a_fetch_of_its_own(
    site: Site, web: ScriptedWeb
) -> None:
    """The file of the first may be older than the second's wish."""
    first = asked_send(site)
    site.ring(first)
    site.advance(1)
    second = asked_send(site, "wangwu")
    site.run()

    assert [site.state(first), site.state(second)] == ["accepted", "accepted"]
    assert (len(web.asked), len(site.calls(UPLOAD))) == (2, 2)


def test_what_was_fetched_is_not_fetched_again_for_another_try(site: Site, web: ScriptedWeb) -> None:
    """The vendor was busy: the copy is here."""
    site.vendor.says(busy())
    job = asked_upload(site)
    site.ring(job)
    site.advance(2)
    site.ring(job)

    assert (site.state(job), len(site.calls(UPLOAD)), len(web.asked)) == ("accepted", 2, 1)


@pytest.mark.parametrize("lost", ["the transaction", "its answer"])
def test_who_fetches_is_decided_by_the_transaction_that_counts(site: Site, web: ScriptedWeb, lost: str) -> None:
    """The part is put off in a transaction that may run twice. Where the first was rolled back and another process was
    faster, that one fetches; where only the answer to its commit was lost, this one does.
    """
    part, apart = part_id(asked_upload(site), 0), 60 * 1_000_000

    def change(changes: Sequence[Change]) -> None:
        if lost == "the transaction":
            with site.database.writing() as connection:
                changes[0].apply(lock_parts(connection, [part])[part], site.clock.micros)
            sql = "update worker_parts set not_before = :later, reason = 'its file is being fetched' where id = :part"
            site.sql(sql, later=site.clock.micros + apart, part=part)
        else:
            site.runtime.writer.change(changes)
        site.runtime.writer.change(changes)

    remote = UrlFiles(
        site.database,
        change,
        Downloads(web, Allowed(()), deadline_s=60),
        deadline_s=60,
        max_fetches=1,
        new_id=lambda: uuid7().hex,
        monotonic=site.ticks,
        record_duration=lambda lane, seconds: None,
    )
    with site.database.reading() as connection:
        [loaded] = load_parts(connection, site.database.now, [part])
    account = site.accounts.get("hr")

    found = remote.local_copy(loaded, loaded.message["files"]["media"], channel("wecom_app"), account)

    expected = (0, type(None)) if lost == "the transaction" else (1, dict)
    assert expected == (len(web.asked), type(found))


def test_40007_is_healed_without_fetching_again(site: Site, web: ScriptedWeb) -> None:
    """The vendor forgot the media_id, the copy is here; what is behind the URL may be gone by now."""
    site.vendor.says(lambda request: site.vendor.takes(request), refused(40007))
    web.pages[URL] = [Page(PNG), Page(status=404)]
    job = asked_send(site)
    site.run()
    site.advance(2)
    site.run()

    assert (site.state(job), len(site.calls(UPLOAD)), len(web.asked)) == ("accepted", 2, 1)


def test_a_copy_that_is_gone_is_fetched_again(site: Site, web: ScriptedWeb) -> None:
    """Purged between two tries."""
    site.vendor.says(busy())
    job = asked_upload(site)
    site.ring(job)
    site.sql("delete from worker_blob_chunks")
    site.sql("delete from worker_blobs")
    site.advance(2)
    site.ring(job)

    assert (site.state(job), len(web.asked)) == ("accepted", 2)


def test_a_replay_fetches_anew(site: Site, web: ScriptedWeb) -> None:
    """It is another wish for what is behind the URL."""
    job = asked_upload(site)
    site.run()
    with site.database.writing() as connection:
        again = replay(connection, job, accepted=True, unknown=True, accounts=site.accounts).id
    site.run()

    assert (site.state(again), len(web.asked)) == ("accepted", 2)


def test_a_copy_that_was_fetched_goes_with_its_job(site: Site) -> None:
    """Not before: the upload may be tried again with it."""
    asked_upload(site)
    asked_send(site)
    site.run()
    site.advance(9 * DAY)
    keep_house(site.database, KEPT)
    early = stored(site)
    site.advance(2 * DAY)
    keep_house(site.database, KEPT)

    assert (early, stored(site)) == ((1, 1), (0, 0))
    assert site.rows("select * from worker_blob_uses") == []


# -- what is refused, and what is tried again -------------------------------------------------------------------------

REFUSED: dict[str, tuple[Told, str]] = {
    "gone": (Page(status=404), "the file behind its URL cannot be fetched: the server answered 404"),
    "too large": (
        Page(b"x" * (10 * 1024 * 1024 + 1)),
        "the file behind its URL is too large: the vendor accepts at most 10485760",
    ),
    "too small": (Page(PNG[:3]), "the file behind its URL does not fit: media: is too small (vendor code 40006)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_had_refuses_its_upload_and_every_send(site: Site, web: ScriptedWeb, case: str) -> None:
    """Rejected with the reason, without a call; the URL is in no reason, report or timeline."""
    web.pages[URL], reason = REFUSED[case]
    direct, sends = asked_upload(site), [asked_send(site, f"u{n}") for n in range(2)]

    site.run()

    assert {site.state(job) for job in (direct, *sends)} == {"rejected"}
    assert reason in site.part(direct).reason
    assert {f"its file could not be uploaded: {site.part(direct).reason}"[:300]} == {
        site.part(job).reason for job in sends
    }
    assert (site.calls(), stored(site)) == ([], (0, 0))
    with site.database.reading() as connection:
        told = [(get_job(connection, job), timeline(connection, job)) for job in (direct, *sends, *uploads(site))]
    assert "canary" not in str(told)


def test_a_host_that_is_not_public_is_refused(database: Database, driven_clock: DrivenClock) -> None:
    """And asked where the settings name it."""
    pages: dict[str, Any] = {URL: Page(PNG)}
    inside = ScriptedWeb(pages, {"files.example.com": [["10.1.2.3"]]})
    with planted(database, driven_clock, web=inside) as site:
        job = asked_upload(site)
        site.ring(job)
        assert "its address is not public; add the host to delivery.fetch_allow" in site.part(job).reason
        assert (site.state(job), inside.asked) == ("rejected", [])
    with planted(database, driven_clock, web=inside, fetch_allow=("10.1.0.0/16",)) as site:
        job = asked_upload(site)
        site.ring(job)
        assert (site.state(job), [asked.address for asked in inside.asked]) == ("accepted", ["10.1.2.3"])


def test_trouble_on_the_way_is_tried_again_like_a_call(site: Site, web: ScriptedWeb) -> None:
    """Later and later, and counted; then it is there, and its sends go."""
    web.pages[URL] = [Fault("dns"), Page(status=503), Fault("cut"), Page(PNG)]
    job = asked_send(site)
    site.run()
    [upload_job] = uploads(site)
    waiting = (site.state(upload_job), site.part(upload_job).tries, site.part(upload_job).reason, site.state(job))

    for _ in range(3):
        site.advance(5)
        site.run()

    assert waiting == ("queued", 1, "the file behind its URL could not be fetched: dns", "queued")
    assert (site.state(upload_job), site.part(upload_job).tries, site.state(job)) == ("accepted", 3, "accepted")
    assert len(site.of("attempts", upload_job)) == 1, "what never left is no attempt at a call"


def test_trouble_that_lasts_exhausts_it(site: Site, web: ScriptedWeb) -> None:
    """Eight tries, as for calls; the sends hear why."""
    web.pages[URL] = Fault("connect_timeout")
    job = asked_send(site)

    for _ in range(8):
        site.run()
        site.advance(300)

    assert len(web.asked) == 8
    assert [site.state(upload_job) for upload_job in uploads(site)] == ["exhausted"]
    assert site.state(job) == "rejected"
    assert "its file could not be uploaded: the file behind its URL could not be fetched: connect_timeout" == (
        site.part(job).reason
    )


def test_a_file_that_never_comes_ends_with_its_job(site: Site, web: ScriptedWeb) -> None:
    """The job's own time counts while it waits."""
    web.pages[URL] = Fault("dns")
    job = asked_upload(site, expires_at=timedelta(seconds=30))
    site.run()

    site.advance(31)
    site.recover()

    assert site.state(job) == "expired"


@pytest.mark.parametrize(
    ("file", "field"),
    [
        (File.from_url("ftp://files.example.com/canary.png"), "image.media_id.url"),
        (File.from_url("https://files.example.com/canary a.png"), "image.media_id.url"),
        (File.from_url("https://files.example.com/" + "canary" * 400), "image.media_id.url"),
        (File.from_url("canary"), "image.media_id.url"),
        (File.from_url("https://files.example.com/canary/"), "image.media_id.filename"),
        (File.from_url("https://files.example.com/canary.png", ' "'), "image.media_id.filename"),
    ],
)
def test_what_is_no_url_of_a_file_is_refused_at_enqueue(site: Site, file: File, field: str) -> None:
    """By its place in the body, with what to write instead, and without the URL."""
    with pytest.raises(CheckFailed) as caught:
        site.ask(Image(file=file))

    assert [field] == [problem.field for problem in caught.value.problems]
    assert "canary" not in str(caught.value)
    assert site.rows("select id from worker_jobs") == []


def test_the_same_url_under_one_dedupe_key_is_one_job(site: Site) -> None:
    """Another URL is other content."""
    first = asked_upload(site, dedupe_key="k")

    assert first == asked_upload(site, dedupe_key="k")
    with pytest.raises(Exception, match="other content"):
        asked_upload(site, URL + "2", dedupe_key="k")


def test_other_types_have_their_own_limits(site: Site, web: ScriptedWeb) -> None:
    """A file of any format up to 20 MB."""
    web.pages[URL] = Page(b"x" * (10 * 1024 * 1024 + 1))

    job = site.ask(FileMessage(file=File.from_url(URL)))
    site.run()

    assert site.state(job) == "accepted"


def test_an_account_has_its_own_limit(database: Database, driven_clock: DrivenClock) -> None:
    """Of what a Youdu account allows nothing more is fetched, and nothing less than all of it."""
    web = ScriptedWeb({URL: Page(b"x" * 11), f"{URL}2": Page(b"x" * 10)})
    settings = {"buin": BUIN, "appid": APP, "upload_max_bytes": 10}
    account = Account("oa", "youdu", "http://vendor", settings, Secret(lambda: KEYS[APP]))
    with planted(database, driven_clock, accounts=[account], web=web) as site:
        large, fit = (youdu.FileMessage(file=File.from_url(url, "a.bin")) for url in web.pages)
        refused_job = site.ask(large, account="oa")
        site.run()
        site.ask(fit, account="oa")
        site.run()

        assert "is too large: the vendor accepts at most 10" in site.part(refused_job).reason
        assert stored(site) == (1, 1)


def test_every_group_gets_a_picture_that_goes_into_the_calls_themselves(
    database: Database, driven_clock: DrivenClock, web: ScriptedWeb
) -> None:
    """Each part of a job fetches it; they have the same content, which the job uses once."""
    push = Account("push", "wecom_webhook", "http://vendor", {"edition": "push"}, Secret(lambda: "k-1"))
    with planted(database, driven_clock, accounts=[push], web=web) as site:
        job = site.ask(webhook.Image(file=File.from_url(URL)), Chats("wr-1", "wr-2"), account="push")
        site.run()

        assert site.state(job) == "accepted"
        assert (len(web.asked), stored(site)) == (2, (1, 1))
        assert [job] == [row.job_id for row in site.rows("select job_id from worker_blob_uses")]


# -- while it is fetched ----------------------------------------------------------------------------------------------


@contextmanager
def meanwhile(web: ScriptedWeb, act: Callable[[], None]) -> Iterator[None]:
    """Does something while the file is on its way."""

    def page() -> Page:
        act()
        return Page(PNG)

    web.pages[URL] = page
    yield


def test_no_lock_is_held_while_it_is_fetched(site: Site, web: ScriptedWeb) -> None:
    """Others write, and lock this very part."""
    job = asked_upload(site)
    locked: list[str] = []

    def lock() -> None:
        locked.extend(site.database.run(lambda connection: lock_parts(connection, [part_id(job, 0)])))

    with meanwhile(web, lock):
        site.ring(job)

    assert ([part_id(job, 0)], "accepted") == (locked, site.state(job))


def test_nobody_else_fetches_it_meanwhile(site: Site, web: ScriptedWeb) -> None:
    """Another process finds it put off, also when its doorbell was already loaded; and says what it waits for."""
    job, reasons = asked_upload(site), []
    with site.database.reading() as connection:
        [loaded] = load_parts(connection, site.database.now, [part_id(job, 0)])

    def ring_elsewhere() -> None:
        reasons.append(site.part(job).reason)
        DoorbellSender(site.runtime).answer(site.part(job).lane, [part_id(job, 0)])
        assert attempt.prepare(site.runtime, [loaded], lambda: None) == []

    with meanwhile(web, ring_elsewhere):
        site.ring(job)

    assert (reasons, len(web.asked), len(site.calls(UPLOAD))) == (["its file is being fetched"], 1, 1)
    assert site.state(job) == "accepted"


def test_who_dies_while_it_is_fetched_leaves_it_to_others(site: Site, web: ScriptedWeb) -> None:
    """Due again a margin after the fetch's deadline; nothing half is kept."""

    class Died(BaseException):
        """SIGKILL."""

    def die() -> None:
        raise Died

    job = asked_upload(site)
    with meanwhile(web, die), pytest.raises(Died):
        site.ring(job)
    web.pages[URL] = Page(PNG)
    site.advance(89)
    site.ring(job)
    early = (site.state(job), len(web.asked), stored(site))
    site.advance(1)
    site.ring(job)

    assert (early, site.state(job), len(web.asked)) == (("queued", 1, (0, 0)), "accepted", 2)


def test_a_process_that_is_ending_leaves_it_to_others_at_once(site: Site, web: ScriptedWeb) -> None:
    """Not refused, not counted, not put off."""
    job = asked_upload(site)
    with meanwhile(web, site.runtime.draining.set):
        site.ring(job)
    left = (site.state(job), site.part(job).tries, site.part(job).not_before <= site.clock.micros)
    site.runtime.draining.clear()
    web.pages[URL] = Page(PNG)
    site.ring(job)

    assert (left, site.state(job)) == (("queued", 0, True), "accepted")


def test_a_process_fetches_a_few_at_once_and_the_others_wait(
    database: Database, driven_clock: DrivenClock, web: ScriptedWeb
) -> None:
    """A quarter of its threads: the rest of them is for those who wait for nobody's server."""
    with planted(database, driven_clock, web=web, threads=4) as site:
        first, second = asked_upload(site), asked_upload(site, name="b.png")
        with meanwhile(web, lambda: site.ring(second) and None):
            site.ring(first)
        waiting = (site.state(second), site.part(second).reason)
        site.advance(1)
        site.ring(second)

        assert waiting == ("queued", "other files are being fetched")
        assert [site.state(first), site.state(second)] == ["accepted", "accepted"]


def test_its_upload_has_a_lane_of_its_own(site: Site) -> None:
    """Files that are here do not wait with those that have to be fetched."""
    lanes = {site.part(job).lane for job in (asked_upload(site), site.upload())}

    assert len(lanes) == 2


def test_the_caches_key_does_not_show_the_url(site: Site) -> None:
    """Neither its row nor the message of a send holds more than is needed."""
    job = asked_send(site)
    site.run()
    [row] = site.rows("select * from worker_media")
    spec = site.part(uploads(site)[0]).spec

    assert "canary" not in f"{row} {spec} {site.part(job).spec}"
    assert hashlib.sha256(PNG).hexdigest() in spec
    assert To("lisi").count() == site.job(job).asked
