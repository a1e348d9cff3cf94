"""Files: one upload for every send that needs it, healed once, never renewed in doubt, refused when it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from tests.support.runtime import PNG, SEND, UPLOAD, Site, an_account, lost, planted, refused
from worker import get_job
from worker.control.pause import pause, resume
from worker.delivery.resolver.media import cache_key
from worker.delivery.sender import attempt
from worker.domain.call import FileBody
from worker.domain.content.staging import Staging
from worker.domain.job import part_id
from worker.domain.job_filter import JobFilter
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import load_parts

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

DAY = 86_400


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def media_ids(site: Site) -> list[str]:
    return [body["image"]["media_id"] for body in site.bodies(SEND)]


def uploads(site: Site) -> list[str]:
    return [row.id for row in site.rows("select id from worker_jobs where kind = 'upload' order by id")]


def test_one_upload_serves_every_send_of_a_file(site: Site) -> None:
    """Three sends of one file: all wait for one upload, are woken by it and use its media_id."""
    jobs = [site.image(to=f"u{n}") for n in range(3)]
    site.ring(*jobs)
    waiting = {(site.part(job).waits_on, site.part(job).reason) for job in jobs}
    [upload] = uploads(site)

    site.ring(upload)
    site.ring(*jobs)

    assert {(upload, "waits for its file to be uploaded")} == waiting
    assert [site.state(job) for job in jobs] == ["accepted"] * 3
    assert (media_ids(site), len(site.calls(UPLOAD))) == (["media1"] * 3, 1)
    assert [row.media_id for row in site.of("receipts", upload)] == ["media1"]


def test_the_upload_streams_the_stored_file(site: Site) -> None:
    """The bytes come out of the outbox piece by piece, whole and in order."""
    content = PNG + bytes(range(256)) * 5_000
    streamed: list[bytes] = []

    def read(request: object) -> object:
        body = request.body  # type: ignore[attr-defined]
        assert isinstance(body, FileBody)
        streamed.append(b"".join(body.open()))
        return site.vendor.takes(request)  # type: ignore[arg-type]

    site.vendor.says(read)  # type: ignore[arg-type]
    site.image(content)
    site.run()

    assert [content] == streamed


def test_other_names_and_contents_are_other_uploads() -> None:
    """the cache's key is scope, type, content and display name."""
    file = {"upload_type": "image", "sha256": "a" * 64, "name": "a.png"}
    keys = {cache_key("corp:1", {**file, **change})["id"] for change in ({}, {"name": "b.png"}, {"sha256": "b" * 64})}

    assert len(keys) == 3
    assert cache_key("corp:1", file) != cache_key("corp:2", file)


def test_a_media_id_is_used_again_while_it_lives(site: Site) -> None:
    """Two and a half of its three days; then the file is uploaded anew."""
    site.image()
    site.run()
    site.advance(2.4 * DAY)
    site.image(to="wangwu")
    site.run()
    reused = len(site.calls(UPLOAD))

    site.advance(0.2 * DAY)
    site.image(to="zhaoliu")
    site.run()

    assert (reused, len(site.calls(UPLOAD))) == (1, 2)
    assert media_ids(site) == ["media1", "media1", "media4"]


def test_an_upload_that_was_refused_refuses_the_sends_that_wait_for_it(site: Site) -> None:
    """Each says why; nobody waits for ever and nobody tries the same file again and again."""
    site.vendor.says(refused(40009, "bad size"))
    jobs = [site.image(to=f"u{n}") for n in range(2)]

    site.run()

    assert [site.state(job) for job in jobs] == ["rejected", "rejected"]
    assert "could not be uploaded" in site.part(jobs[0]).reason
    assert "40009" in site.part(jobs[0]).reason
    assert len(site.calls()) == 1


def test_a_later_send_tries_a_refused_file_again(site: Site) -> None:
    """What failed yesterday may be allowed today."""
    site.vendor.says(refused(40009))
    site.image()
    site.run()
    site.advance(60)

    later = site.image()
    site.run()

    assert (site.state(later), len(site.calls(UPLOAD))) == ("accepted", 2)


def test_a_clock_behind_the_producers_does_not_upload_for_ever(database: Database, driven_clock: DrivenClock) -> None:
    """Ids of another host may be older: whether the upload was made for this send is told by the database's clock."""
    old = iter([f"{n:032x}" for n in range(1, 9)])
    with planted(database, driven_clock, new_id=old.__next__) as site:
        site.vendor.says(refused(40009))
        job = site.image()

        site.run()

        assert (site.state(job), len(site.calls())) == ("rejected", 1)
        assert uploads(site)[0] < job


def test_40007_is_healed_with_one_upload_more(site: Site) -> None:
    """The vendor forgot the media_id, the file is here: uploaded again, sent with the new one."""
    site.image()
    site.run()
    site.vendor.says(refused(40007))
    job = site.image(to="wangwu")

    site.run()
    site.advance(2)
    site.run()

    assert (site.state(job), len(site.calls(UPLOAD)), site.part(job).tries) == ("accepted", 2, 1)
    assert media_ids(site) == ["media1", "media1", "media3"]


def test_40007_is_healed_once(site: Site) -> None:
    """A vendor that refuses the new media_id too gets no third one: the message is rejected, and says why."""
    site.vendor.says(
        site.vendor.takes, refused(40007), site.vendor.takes, refused(-1), refused(40007), site.vendor.takes
    )
    job = site.image()

    for _ in range(6):
        site.run()
        site.advance(60)

    assert (site.state(job), len(site.calls(UPLOAD)), len(site.calls(SEND))) == ("rejected", 2, 3)
    assert sorted(row.outcome for row in site.of("attempts", job)) == ["rejected", "retry", "retry"]
    assert "40007" in site.part(job).reason


def test_a_media_id_that_rejected_a_message_is_used_by_no_other(site: Site) -> None:
    """The next send of the file uploads it, and heals it once more if that has to be."""
    site.vendor.says(site.vendor.takes, refused(40007), site.vendor.takes, refused(40007))
    site.image()
    for _ in range(3):
        site.run()
        site.advance(60)

    later = site.image(to="wangwu")
    site.run()

    assert (site.state(later), len(site.calls(UPLOAD))) == ("accepted", 3)


def test_two_sends_that_hear_40007_of_one_media_id_upload_once(site: Site) -> None:
    """The second one's refusal is about the old media_id, not about the one uploaded meanwhile."""
    site.image()
    site.run()
    first, second = site.image(to="wangwu"), site.image(to="zhaoliu")
    with site.database.reading() as connection:
        [part] = load_parts(connection, site.database.now, [part_id(second, 0)])
    flights = attempt.prepare(site.runtime, [part], lambda: None)
    site.vendor.says(refused(40007))
    site.ring(first)
    site.advance(2)
    site.ring(first)
    site.ring(uploads(site)[-1])
    site.ring(first)
    site.vendor.says(refused(40007))

    site.carry_out(flights)
    site.settle()
    site.advance(2)
    site.run()

    assert site.state(first) == "accepted"
    assert site.state(second) == "accepted"
    assert len(site.calls(UPLOAD)) == 2


def test_an_upload_in_doubt_is_waited_for_and_repeated(site: Site) -> None:
    """Uploading twice does no harm: the sends wait for the repeat, and nobody starts another upload."""
    site.vendor.says(lost())
    job = site.image()
    site.run()
    waiting = site.state(job)

    site.advance(26)
    site.recover()
    site.run()

    assert (waiting, site.state(job), len(uploads(site)), len(site.calls(UPLOAD))) == ("queued", "accepted", 1, 2)


def test_an_upload_that_is_held_refuses_the_sends_that_wait_for_it(site: Site) -> None:
    """Repeated as often as allowed and never answered: a person would have to help, so the sends end with a reason."""
    site.vendor.says(*[lost()] * 20)
    job = site.image()

    for _ in range(12):
        site.run()
        site.advance(600)
        site.recover()

    assert site.state(job) == "rejected"
    assert "repeated as often as the settings allow" in site.part(job).reason


def test_a_send_after_a_held_upload_uploads_anew(site: Site) -> None:
    """The held one is not waited for."""
    site.vendor.says(*[lost()] * 6)
    site.image()
    for _ in range(12):
        site.run()
        site.advance(600)
        site.recover()

    later = site.image()
    site.run()

    assert site.state(later) == "accepted"


def test_an_upload_job_that_was_purged_is_made_anew(site: Site) -> None:
    """The cache remembers a job that is gone: the next send uploads."""
    site.image()
    site.run()
    [upload] = uploads(site)
    site.sql("delete from worker_parts where job_id = :job", job=upload)
    site.sql("delete from worker_jobs where id = :job", job=upload)
    site.advance(3 * DAY)

    later = site.image()
    site.run()

    assert (site.state(later), len(site.calls(UPLOAD))) == ("accepted", 2)


def test_a_send_somebody_else_moved_starts_no_upload(site: Site) -> None:
    """Loaded by two: the second finds it parked and does nothing."""
    job = site.image()
    with site.database.reading() as connection:
        [part] = load_parts(connection, site.database.now, [part_id(job, 0)])
    site.ring(job)

    channel, account = site.runtime.channel("wecom_app"), site.accounts.get("hr")

    assert None is site.runtime.media.send_with_files(part, channel, account)
    assert len(uploads(site)) == 1


def test_an_upload_of_its_own_gives_its_media_id(site: Site) -> None:
    """A producer's upload job: the receipt is what the vendor said, with its own time; the cache is not touched."""
    said = {"media_id": "media1", "type": "file", "created_at": "1700000000"}
    site.vendor.says(refused(0, "ok", **said))
    job = site.upload()

    site.ring(job)

    with site.database.reading() as connection:
        (receipt,) = get_job(connection, job).receipts
    made_at = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (receipt.media_id, receipt.type, receipt.created_at) == ("media1", "file", made_at)
    assert site.rows("select * from worker_media") == []


# -- accounts of one corp ----------------------------------------------------------------------------------------------


def pause_hr(site: Site) -> None:
    pause(JobFilter(account="hr"), person="zhang", why="wrong text", database=site.database)


def remove_hr(site: Site) -> None:
    site.accounts.replace(an_account("it", settings={"agentid": 8}))


def refuse_secret_of_hr(site: Site) -> None:
    """The vendor wants a token for each app, and hr's upload is the first to need one."""
    site.vendor.says_for_tokens(refused(40001, "invalid credential"))
    site.ring(uploads(site)[0])


@pytest.mark.parametrize("end", [pause_hr, remove_hr, refuse_secret_of_hr])
def test_no_account_waits_long_for_the_upload_of_another(site: Site, end: Callable[[Site], None]) -> None:
    """The file is hr's upload, and hr is paused, removed or locked out: `it` makes an upload of its own, once."""
    first = site.image()
    site.ring(first)
    others = [site.image(to=f"u{n}", account="it") for n in range(2)]
    site.ring(*others)
    end(site)

    site.advance(29)
    site.recover()
    site.run()
    waiting = [site.state(job) for job in others]
    site.advance(2)
    site.recover()
    site.run()

    assert (waiting, [site.state(job) for job in others]) == (["queued", "queued"], ["accepted", "accepted"])
    assert (site.state(first), len(site.calls(UPLOAD)), len(uploads(site))) == ("queued", 1, 2)
    assert media_ids(site) == ["media1", "media1"]


def test_an_upload_of_another_account_serves_all_once_it_is_there(site: Site) -> None:
    """hr goes on: from then on there is one media_id for both accounts again."""
    first = site.image()
    site.ring(first)
    pause_hr(site)
    site.advance(31)
    site.image(to="wangwu", account="it")
    site.run()
    resume(JobFilter(account="hr"), person="zhang", database=site.database)
    site.recover()
    site.run()

    later = site.image(to="zhaoliu", account="it")
    site.run()

    assert (site.state(first), site.state(later)) == ("accepted", "accepted")
    assert (media_ids(site), len(site.calls(UPLOAD))) == (["media1", "media3", "media3"], 2)


def test_a_media_id_of_an_own_upload_is_healed_too(site: Site) -> None:
    """The vendor forgot it, hr's upload still waits: `it` uploads again."""
    site.ring(site.image())
    pause_hr(site)
    site.advance(31)
    site.image(to="wangwu", account="it")
    site.run()
    site.vendor.says(refused(40007))
    job = site.image(to="zhaoliu", account="it")

    for _ in range(3):
        site.run()
        site.advance(2)

    assert (site.state(job), len(site.calls(UPLOAD))) == ("accepted", 2)
    assert media_ids(site) == ["media1", "media1", "media3"]


def test_an_upload_that_is_called_is_waited_for(site: Site) -> None:
    """Its call or its answer may take longer than an upload that never begins may wait."""
    site.ring(site.image())
    site.advance(29)
    other = site.image(to="wangwu", account="it")
    site.vendor.says(lost())
    site.ring(uploads(site)[0])
    site.ring(other)
    site.advance(26)
    site.recover()

    site.run()

    assert (site.state(other), len(uploads(site)), len(site.calls(UPLOAD))) == ("accepted", 1, 2)


def test_the_dry_run_of_an_account_rejects_no_message_of_another(site: Site) -> None:
    """It ends hr's upload without a call: `it`, which waited for it, makes its own."""
    site.ring(site.image())
    other = site.image(to="wangwu", account="it")
    site.ring(other)
    site.accounts.replace(an_account("hr", staging=Staging(dry_run=True)), an_account("it", settings={"agentid": 8}))

    site.run()

    assert (site.state(other), [site.state(job) for job in uploads(site)]) == ("accepted", ["cancelled", "accepted"])
