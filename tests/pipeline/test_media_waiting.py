"""Sends of one file beside its upload: who waits for whom, and that the database refuses none of their transactions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.support.runtime import PNG, UPLOAD, Site, planted
from tests.support.waiting import until_waiting
from worker.delivery.resolver.media import cache_key
from worker.domain.job import part_id
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import JobPart, load_parts
from worker.outbox.jobs.media_cache import store_media
from worker.outbox.jobs.rows import lock_parts_now
from worker.outbox.jobs.target_job import lock_job_row

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

DAY = 86_400
CROWD = 12
WAITS = pytest.mark.fewer_databases("on SQLite one transaction writes at a time")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


@pytest.fixture
def server_site(server_database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(server_database, driven_clock) as planted_site:
        yield planted_site


def uploads(site: Site) -> list[str]:
    return [row.id for row in site.rows("select id from worker_jobs where kind = 'upload' order by id")]


def loaded(site: Site, job: str) -> JobPart:
    with site.database.reading() as connection:
        [part] = load_parts(connection, site.database.now, [part_id(job, 0)])
    return part


def look_for_file(site: Site, part: JobPart) -> object:
    return site.runtime.media.send_with_files(part, site.runtime.channel("wecom_app"), site.accounts.get("hr"))


@WAITS
def test_the_end_of_an_upload_waits_for_no_send_that_waits_for_it(server_site: Site, pauses: list[float]) -> None:
    """A group commit has the upload's job, a send asks for it: the media_id is written all the same, and the send
    finds it. Before, the send had the cache's row by then, and each waited for the other."""
    site = server_site
    first, second = site.image(), site.image(to="wangwu")
    site.ring(first)
    [upload] = uploads(site)
    part = loaded(site, second)

    with ThreadPoolExecutor(1) as pool:
        with site.database.writing() as connection:
            lock_parts_now(connection, [part_id(upload, 0)], site.database.now, [upload])
            looking = pool.submit(look_for_file, site, part)
            until_waiting(site.database)
            store_media(connection, upload, "media1", site.clock.micros + DAY * 1_000_000)
        found = looking.result(120)

    assert isinstance(found, JobPart)
    assert found.facts["media"] == {"image.media_id": "media1"}
    assert pauses == []


@pytest.mark.every_database
def test_a_crowd_of_sends_beside_their_upload_is_refused_nothing(site: Site, pauses: list[float]) -> None:
    """Twelve threads look for a file while its upload ends, eight files one after the other: no transaction has to be
    run again, each file is uploaded once, and every send is accepted."""
    jobs: list[str] = []

    with ThreadPoolExecutor(CROWD) as pool:
        for n in range(8):
            sends = [site.image(PNG + bytes([n]), to=f"u{n}x{one}") for one in range(CROWD + 1)]
            site.ring(sends[0])
            upload = site.part(uploads(site)[-1])
            start = Barrier(CROWD + 1)

            def send(job: str, start: Barrier = start) -> None:
                part = site.part(job)
                start.wait(120)
                site.bell.answer(part.lane, [part.id])

            sending = [pool.submit(send, job) for job in sends[1:]]
            start.wait(120)
            site.bell.answer(upload.lane, [upload.id])
            for one in sending:
                one.result(120)
            jobs += sends
        site.run()

    assert {site.state(job) for job in jobs} == {"accepted"}
    assert (len(uploads(site)), len(site.calls(UPLOAD))) == (8, 8)
    assert pauses == []


@pytest.mark.every_database
def test_where_a_media_id_is_there_nothing_is_locked(site: Site) -> None:
    """Somebody has the upload's job and the cache's row: a send of that file does not wait for either."""
    site.image()
    site.run()
    [upload] = uploads(site)
    part = loaded(site, site.image(to="wangwu"))

    with ThreadPoolExecutor(1) as pool, site.database.writing() as connection:
        lock_job_row(connection, upload)
        store_media(connection, upload, "media9", site.clock.micros + DAY * 1_000_000)
        found = pool.submit(look_for_file, site, part).result(120)

    assert isinstance(found, JobPart)
    assert found.facts["media"] == {"image.media_id": "media1"}


@WAITS
def test_two_that_find_an_old_upload_begin_one(server_site: Site, pauses: list[float]) -> None:
    """Both wait for the old upload's job; the second then finds that the row names another, and waits for that."""
    site = server_site
    site.image()
    site.run()
    [old] = uploads(site)
    site.advance(3 * DAY)
    parts = [loaded(site, site.image(to=to)) for to in ("wangwu", "zhaoliu")]

    with ThreadPoolExecutor(2) as pool:
        with site.database.writing() as connection:
            lock_job_row(connection, old)
            looking = [pool.submit(look_for_file, site, part) for part in parts]
            until_waiting(site.database, 2)
        found = [one.result(120) for one in looking]

    assert found == [None, None]
    assert {uploads(site)[-1]} == {site.part_row(part.id).waits_on for part in parts}
    assert (len(uploads(site)), pauses) == (2, [])


@pytest.mark.every_database
@WAITS
def test_two_that_are_the_first_to_send_a_file_begin_one_upload(server_site: Site, pauses: list[float]) -> None:
    """Both want to make the file's row; one does, the other waits for its upload."""
    site = server_site
    parts = [loaded(site, site.image(to=to)) for to in ("wangwu", "zhaoliu")]
    key = cache_key(site.runtime.channel("wecom_app").media_scope(site.accounts.get("hr")), _file(parts[0]))
    row = {**key, "job_id": "", "media_id": None, "valid_until": None, "created_at": 1}

    with ThreadPoolExecutor(2) as pool:
        with site.database.engine.connect() as holder:
            insert_rows(holder, tables.media, [row])
            looking = [pool.submit(look_for_file, site, part) for part in parts]
            until_waiting(site.database, 2)
            holder.rollback()
        found = [one.result(120) for one in looking]

    assert found == [None, None]
    assert len(uploads(site)) == 1
    assert {uploads(site)[0]} == {site.part_row(part.id).waits_on for part in parts}
    assert len(pauses) <= 1  # MariaDB refuses one of two that wait for a row that is taken back


def _file(part: JobPart) -> dict[str, str]:
    [file] = part.message["files"].values()
    return dict(file)
