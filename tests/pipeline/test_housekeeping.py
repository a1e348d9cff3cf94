"""What is over and old goes, and nothing that can still move or that somebody still needs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.housekeeping import keep_house
from tests.support.runtime import PNG, SEND, Site, lost, planted, refused
from worker import To, replay
from worker.config.settings import RetentionSettings, Settings
from worker.control.audit import audited, with_action_prefix
from worker.control.lift import retry_event
from worker.delivery.maintenance.housekeeping import AFTER_FAILURE_S, BETWEEN_BATCHES_S, Housekeeping
from worker.domain.callbacks.inbound import Inbound
from worker.domain.job import part_id
from worker.domain.outcome import Confirmation
from worker.domain.pacing.lane import LaneBlock
from worker.hooks.callbacks import CallbackStore
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.confirmations import store_confirmations
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.upkeep import purge
from worker.producer import plan

DAY = 86_400
SMALL = RetentionSettings(attempts_days=5, callbacks_days=5, jobs_days=10)
OF_JOBS = ("jobs", "parts", "attempts", "receipts", "failures", "bodies", "response_codes", "task_ids", "blob_uses")


pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # looks are bounded by ids, which hold the producer's time
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def left(site: Site, *tables: str) -> dict[str, int]:
    return {name: site.rows(f"select count(*) as n from worker_{name}")[0].n for name in tables}


@pytest.mark.every_database
def test_a_job_that_is_over_goes_with_all_that_is_its(site: Site) -> None:
    """Card with a task_id of the caller's own, a failure, a code, several parts: no row of any table is left."""
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="lisi"))
    site.card(To(["lisi", *(f"u{n}" for n in range(1_001))]), task_id="mine")
    site.image()
    site.run()
    assert 0 not in left(site, *OF_JOBS, "blobs", "blob_chunks").values()

    site.advance(11 * DAY)
    gone = keep_house(site.database, SMALL)

    assert gone["jobs"] == 3, "the card, the image and its upload"
    assert set(left(site, *OF_JOBS, "blobs", "blob_chunks", "duplicates").values()) == {0}


@pytest.mark.every_database
def test_tokens_of_credentials_that_are_used_no_more_go(site: Site) -> None:
    """After a month in which nothing was fetched or refused for them; the present ones stay, and work on."""
    site.send()
    site.run()
    site.sql("update worker_tokens set fingerprint = 'of an old secret', refused = '40001', probe_at = fetched_at")
    site.sql("insert into worker_tokens (account, fingerprint, generation) values ('it', 'about to be fetched', 0)")
    site.advance(31 * DAY)
    keep_house(site.database, SMALL)
    kept = [row.fingerprint for row in site.rows("select fingerprint from worker_tokens")]
    job = site.send("later")
    site.run()
    keep_house(site.database, SMALL)

    assert (kept, site.state(job)) == (["about to be fetched"], "accepted")
    assert [row.account for row in site.rows("select account from worker_tokens order by account")] == ["hr", "it"]


@pytest.mark.every_database
def test_bodies_go_first_then_attempts_then_jobs(site: Site) -> None:
    """Each after its own time."""
    site.send()
    site.run()
    seen = []
    for days in (0.9, 0.2, 4, 5):
        site.advance(days * DAY)
        keep_house(site.database, SMALL)
        seen.append(tuple(left(site, "bodies", "attempts", "jobs").values()))

    assert seen == [(1, 1, 1), (0, 1, 1), (0, 0, 1), (0, 0, 0)]


def test_zero_keeps_for_ever(site: Site) -> None:
    """Of each kind."""
    site.send()
    site.run()
    site.advance(1_000 * DAY)

    keep_house(site.database, RetentionSettings(attempts_days=0, callbacks_days=0, jobs_days=0))

    assert left(site, "attempts", "jobs") == {"attempts": 1, "jobs": 1}


def test_a_job_that_is_open_stays_whole(site: Site) -> None:
    """However old: it waits for its time."""
    waits = site.image()
    site.sql("update worker_parts set not_before = 9000000000000000")
    site.advance(400 * DAY)

    keep_house(site.database, SMALL)

    assert site.state(waits) == "queued"
    assert left(site, "blobs", "blob_chunks", "blob_uses") == {"blobs": 1, "blob_chunks": 1, "blob_uses": 1}


@pytest.mark.every_database
def test_doubt_keeps_its_attempts_and_while_it_may_repeat_its_bytes(site: Site) -> None:
    """An unknown that waits for its repeat keeps both; one that is held keeps the attempts; then it goes as a job."""
    site.vendor.says(lost())
    job = site.send()
    site.run()
    assert site.state(job) == "unknown"

    site.clock.advance(6 * DAY)
    keep_house(site.database, SMALL)
    assert left(site, "bodies", "attempts") == {"bodies": 1, "attempts": 1}

    site.sql("update worker_parts set not_before = null")
    keep_house(site.database, SMALL)
    assert left(site, "bodies", "attempts") == {"bodies": 0, "attempts": 1}

    site.clock.advance(5 * DAY)
    keep_house(site.database, SMALL)
    assert left(site, "jobs", "attempts") == {"jobs": 0, "attempts": 0}


def test_an_unknown_that_will_be_repeated_stays(site: Site) -> None:
    """The job has ended as it stands, but its policy has yet to act."""
    site.vendor.says(lost())
    job = site.send()
    site.run()
    site.clock.advance(50 * DAY)

    keep_house(site.database, SMALL)

    assert site.state(job) == "unknown"


def test_what_a_follow_up_is_about_stays_as_long_as_it(site: Site) -> None:
    """A recall that waits needs its target's receipts; one that is over tells what it was about."""
    job = site.send()
    site.run()
    site.advance(11 * DAY)
    site.recall(job)
    keep_house(site.database, SMALL)
    assert len(site.of("receipts", job)) == 1

    site.run()
    keep_house(site.database, SMALL)
    assert len(site.of("receipts", job)) == 1

    site.advance(11 * DAY)
    for _ in range(2):
        keep_house(site.database, SMALL)
    assert site.of("receipts", job) == []


def test_a_follow_up_whose_target_went_says_so(site: Site) -> None:
    """Enqueued while the job was there, carried out afterwards."""
    job = site.send()
    site.run()
    recall = site.recall(job)
    site.sql("delete from worker_jobs where id = :job", job=job)

    site.run()

    assert (
        site.state(recall),
        site.part(recall).reason,
    ) == ("rejected", "the job that it follows does not exist any more")


@pytest.mark.every_database
def test_replays_go_with_their_original(site: Site) -> None:
    """A replay that is left alone would be linked to nothing."""
    job = site.card(task_id="mine")
    site.run()
    site.advance(6 * DAY)
    with site.database.writing() as connection:
        again = replay(connection, job, accepted=True, unknown=True, accounts=site.accounts).id
    site.run()

    site.advance(5 * DAY)
    keep_house(site.database, SMALL)
    assert {job, again} == {row.id for row in site.rows("select id from worker_jobs")}, "only the first is old"

    site.advance(6 * DAY)
    assert keep_house(site.database, SMALL)["jobs"] == 2


@pytest.mark.every_database
def test_a_file_goes_with_the_last_job_that_names_it(site: Site) -> None:
    """Two sends of one file share the copy; the younger one keeps it, and can be replayed with it."""
    site.image()
    site.run()
    site.advance(2 * DAY)
    younger = site.image(to="wang")
    site.run()
    assert left(site, "blobs")["blobs"] == 1

    site.advance(9 * DAY)
    keep_house(site.database, SMALL)
    assert left(site, "blobs", "blob_chunks") == {"blobs": 1, "blob_chunks": 1}
    with site.database.writing() as connection:
        again = replay(connection, younger, accepted=True, unknown=True, accounts=site.accounts).id
    site.run()
    assert site.state(again) == "accepted"

    site.advance(20 * DAY)
    keep_house(site.database, SMALL)
    keep_house(site.database, SMALL)
    assert left(site, "jobs", "blobs", "blob_chunks") == {"jobs": 0, "blobs": 0, "blob_chunks": 0}


def test_a_job_whose_end_the_application_has_yet_to_hear_stays(site: Site) -> None:
    """Its event is what a hook will be called with."""
    job = site.send()
    site.run()
    row = {"id": "e" * 32, "kind": "job_done", "job": job, "at": site.clock.micros}
    site.sql(
        "insert into worker_events (id, kind, job_id, state, due_at, created_at)"
        " values (:id, :kind, :job, 0, :at, :at)",
        **row,
    )
    site.advance(11 * DAY)
    keep_house(site.database, SMALL)
    assert left(site, "jobs")["jobs"] == 1

    site.sql("update worker_events set state = 2, due_at = null, ended_at = :at", at=site.clock.micros)
    keep_house(site.database, SMALL)
    assert left(site, "jobs", "events") == {"jobs": 0, "events": 0}


@pytest.mark.every_database
def test_callbacks_go_with_their_events_once_heard(site: Site) -> None:
    """One that waits for its hook stays."""
    old = site.clock.micros
    for n, ended in enumerate((old, None)):
        site.sql(
            "insert into worker_inbound (id, account, event, person, payload, happened_at, received_at, stored_by)"
            " values (:id, 'hr', 'enter_agent', 'lisi', '{}', 1, :at, :event)",
            id=str(n),
            at=old,
            event=f"event-{n}",
        )
        site.sql(
            "insert into worker_events (id, kind, inbound_id, state, created_at, ended_at)"
            " values (:id, 'card_action', :inbound, :state, :at, :ended)",
            id=f"event-{n}",
            inbound=str(n),
            state=0 if ended is None else 2,
            at=old,
            ended=ended,
        )
    site.advance(6 * DAY)

    assert keep_house(site.database, SMALL)["callbacks"] == 1
    assert [(row.id, row.stored_by) for row in site.rows("select * from worker_inbound")] == [("1", "event-1")]
    assert [row.id for row in site.rows("select id from worker_events")] == ["event-1"]


@pytest.mark.every_database
def test_a_callback_that_was_emptied_early_is_still_recognised(site: Site) -> None:
    """A Youdu server repeats for a day; who caused it and what it said go when the settings say."""
    store = CallbackStore(site.database, Settings(), site.accounts).store
    inbound = Inbound("message:text", "lisi", 1, ("content", "a"), {"text": "hello"})
    seen: list[object] = []
    for hours in (1, 2, 22, 2):
        seen.append(store("hr", inbound))
        site.advance(hours * 3_600)
        keep_house(site.database, RetentionSettings(callbacks_days=0.1))
        seen.append([(row.person, row.payload != "{}") for row in site.rows("select * from worker_inbound")])

    assert seen == [True, [("lisi", True)], False, [("", False)], False, [("", False)], False, []]


def changed_meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Another transaction changes something after a batch has read what is old, and before the batch deletes it."""

    def read(*args: Any) -> list[tuple[Any, ...]]:
        rows = fetch(*args)
        monkeypatch.setattr(purge, "fetch", fetch)
        change()
        return rows

    monkeypatch.setattr(purge, "fetch", read)


@pytest.mark.fewer_databases("a transaction writes between the read and the delete of another")
def test_a_lane_that_is_blocked_while_it_is_purged_stays(
    server_database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row was quiet when it was read. Without it the lane would be open again."""
    with planted(server_database, driven_clock) as site:

        def block(*lanes: str) -> None:
            blocks = [LaneBlock(lane, "send text", 60.0, "why") for lane in lanes]
            site.database.run(lambda connection: change_lanes(connection, site.database.now, blocks))

        block("hr:x", "hr:y")
        site.advance(3 * DAY)
        changed_meanwhile(monkeypatch, lambda: block("hr:x"))

        purge.purge_lanes(site.database, site.clock.micros, "")

        assert [row.lane for row in site.rows("select lane from worker_lanes")] == ["hr:x"]


@pytest.mark.fewer_databases("a transaction writes between the read and the delete of another")
@pytest.mark.parametrize("tag", [None, "lunch"])
def test_an_event_that_is_retried_while_it_is_purged_stays(
    server_database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch, tag: str | None
) -> None:
    """A parked one that a person made due again, with the callback that its hook needs."""
    with planted(server_database, driven_clock) as site:
        at = site.clock.micros
        for n in ("0-1", "0-2"):
            site.sql(
                "insert into worker_events (id, kind, inbound_id, tag, state, created_at, ended_at)"
                " values (:id, :kind, :inbound, :tag, 3, :at, :at)",
                id=n,
                kind="tag_done" if tag else "message",
                inbound=None if tag else n,
                tag=tag,
                at=at,
            )
            site.sql(
                "insert into worker_inbound (id, account, event, person, payload, happened_at, received_at, stored_by)"
                " values (:id, 'hr', 'enter_agent', 'lisi', '{}', 1, :at, :id)",
                id=n,
                at=at,
            )
        site.advance(6 * DAY)
        changed_meanwhile(monkeypatch, lambda: retry_event("0-1", person="ops", database=site.database))

        (purge.purge_tag_events if tag else purge.purge_callbacks)(site.database, site.clock.micros, "")

        assert [row.id for row in site.rows("select id from worker_events")] == ["0-1"]
        callbacks = [row.id for row in site.rows("select id from worker_inbound order by id")]
        assert (["0-1", "0-2"] if tag else ["0-1"]) == callbacks


@pytest.mark.every_database
def test_processes_and_windows_that_are_over_go(site: Site) -> None:
    """A process that still holds a mark does not; the one that lives does not."""
    site.send()
    site.run()
    for name in ("gone", "holds"):
        site.sql(
            "insert into worker_processes (id, alive_until, started_at, ended_at, threads, host, pid, lanes)"
            " values (:id, 0, 0, :at, 1, 'h', 1, '{}')",
            id=name,
            at=site.clock.micros,
        )
    held = site.send(to="wang")
    site.sql("update worker_parts set state = 1, incarnation = 'holds' where job_id = :job", job=held)
    site.advance(2 * DAY)

    gone = keep_house(site.database, SMALL)

    assert (gone["processes"], gone["windows"]) == (1, 1)
    there = {row.id for row in site.rows("select id from worker_processes")}
    assert "gone" not in there
    assert there >= {"holds", site.runtime.lease.incarnation}


@pytest.mark.every_database
def test_access_rows_go_and_what_people_did_stays(site: Site) -> None:
    """The audit keeps the rows of commands, however old; those of views, sign-ins and refusals go after their time."""
    access = [("console.", action) for action in ("view", "sign_in", "sign_out", "refused")]
    for through, action in (*access, ("console.", "replay"), ("", "replay")):
        with with_action_prefix(through), audited(action, person="ada", why="", arguments={}, database=site.database):
            pass
    seen = []
    for days in (6, 2):
        site.advance(days * DAY)
        seen.append(keep_house(site.database, RetentionSettings(access_days=7)).get("access", 0))

    assert seen == [0, 4]
    assert sorted(row.action for row in site.rows("select action from worker_audit")) == ["console.replay", "replay"]


def test_batches_find_what_stands_behind_what_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full batch that must stay does not end the look, and a turn takes one batch."""
    monkeypatch.setattr(purge, "JOBS", 2)
    stays = [site.send(f"stays {n}", due_at=1) for n in range(4)]
    goes = [site.send(f"goes {n}", to="wang") for n in range(3)]
    site.ring(*goes)
    site.advance(11 * DAY)
    house = Housekeeping(site.database, SMALL)

    pauses = [house.turn() for _ in range(4)]

    assert pauses[:3] == [BETWEEN_BATCHES_S] * 3
    assert sorted(stays) == sorted(row.id for row in site.rows("select id from worker_jobs"))
    assert house.deleted["jobs"] == 3


@pytest.mark.every_database
def test_limits_that_nobody_uses_go_page_by_page(site: Site) -> None:
    """With a rest between two, as all else: a hundred thousand members' limits are rows, too."""
    rows = [{"id": f"{n:064x}", "buckets": "[]", "updated_at": 0} for n in range(600)]
    with site.database.writing() as connection:
        insert_rows(connection, tables.budgets, rows)
    house = Housekeeping(site.database, RetentionSettings(), site.ticks)

    assert (house.turn(), left(site, "budgets")) == (BETWEEN_BATCHES_S, {"budgets": 100})
    house.turn()
    assert (house.deleted["budgets"], left(site, "budgets")) == (600, {"budgets": 0})


@pytest.mark.every_database
def test_a_file_whose_upload_failed_is_forgotten_too(site: Site) -> None:
    """It never became good, so it never ends: its row goes by its age, and the file may be sent again."""
    site.vendor.says(refused(40004))
    site.image()
    site.run()
    assert [row.valid_until for row in site.rows("select valid_until from worker_media")] == [None]

    site.advance(29 * DAY)
    kept = keep_house(site.database, SMALL).get("media", 0)
    site.advance(2 * DAY)

    assert (kept, keep_house(site.database, SMALL)["media"]) == (0, 1)
    again = site.image()
    site.run()
    assert site.state(again) == "accepted"


def test_a_file_that_is_being_uploaded_is_not_forgotten(site: Site) -> None:
    """However long ago it was first sent: the upload of today may have begun a moment ago."""
    job = site.image()
    site.ring(job)
    site.advance(31 * DAY)

    keep_house(site.database, SMALL)

    assert left(site, "media") == {"media": 1}
    site.run()
    assert site.state(job) == "accepted"


def test_a_task_that_always_fails_stops_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go round after round, and the third failure in a row is told."""
    looks: list[str] = []

    def fails(database: Database, before: int, after: str) -> purge.BatchResult:
        looks.append(after)
        raise RuntimeError

    monkeypatch.setattr(purge, "purge_media", fails)
    house = Housekeeping(site.database, SMALL, site.ticks)
    for day in range(3):
        site.send(f"day {day}")
        site.run()
        site.advance(11 * DAY)
        site.ticks.advance(house.turn())

    assert left(site, "jobs", "attempts", "duplicates") == {"jobs": 0, "attempts": 0, "duplicates": 0}
    assert len(looks) == 3
    events = site.rows("select label, reason from worker_lane_events where what = 'set aside'")
    assert [(one.label, one.reason) for one in events] == [("cleaning up media", "error in this program: RuntimeError")]


def test_a_task_that_fails_is_not_tried_at_once_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that is ended for taking too long would be made five times a second."""
    looks: list[str] = []

    def fails(database: Database, before: int, after: str) -> purge.BatchResult:
        looks.append(after)
        raise RuntimeError

    monkeypatch.setattr(purge, "purge_media", fails)
    house = Housekeeping(site.database, SMALL, site.ticks)

    pauses = [house.turn() for _ in range(2)]
    site.ticks.advance(AFTER_FAILURE_S)
    house.turn()

    assert (pauses, len(looks)) == ([AFTER_FAILURE_S] * 2, 2)


@pytest.mark.every_database
def test_young_jobs_are_not_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest stand first, and a look ends before the first job that is too young."""
    old = site.send("old")
    site.run()
    site.advance(11 * DAY)
    monkeypatch.setattr(plan.uuid_utils, "uuid7", lambda: uuid.UUID(int=((site.clock.micros // 1000) << 80) | 7 << 76))
    site.send("young")
    read: list[Any] = []
    fetch = purge.fetch
    monkeypatch.setattr(purge, "fetch", lambda *given: read.append((given[1], rows := fetch(*given))) or rows)

    keep_house(site.database, SMALL)

    [page] = [rows for query, rows in read if "from worker_jobs where id > :after" in query]
    assert [old] == [row[0] for row in page]


def test_a_batch_that_is_full_leaves_the_rest_to_the_next(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to the next round: what one transaction may not delete is taken by those that follow."""
    monkeypatch.setattr(purge, "PARTS", 2)
    for n in range(5):
        site.send(f"goes {n}")
    site.run()
    site.advance(11 * DAY)

    assert keep_house(site.database, SMALL)["jobs"] == 5


@pytest.mark.every_database
def test_what_was_read_of_campaigns_fills_a_batch_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a group-send has ten thousand rows of it: no transaction deletes those of a hundred jobs."""
    monkeypatch.setattr(purge, "CONFIRMATIONS", 4)
    jobs = [site.send(f"goes {n}") for n in range(5)]
    site.run()
    with site.database.writing() as connection:
        for job in jobs:
            store_confirmations(connection, part_id(job, 0), [Confirmation("ann", f"wm{n}", 1) for n in range(3)], 1)
    site.advance(11 * DAY)
    deleted: list[int] = []
    batch = purge.purge_jobs

    def noted(database: Database, before: int, after: str) -> purge.BatchResult:
        deleted.append((result := batch(database, before, after)).deleted)
        return result

    monkeypatch.setattr(purge, "purge_jobs", noted)

    assert keep_house(site.database, SMALL)["jobs"] == 5
    assert [size for size in deleted if size] == [2, 2, 1]
    assert left(site, "confirmations") == {"confirmations": 0}


def test_a_purged_dedupe_key_is_free_again(site: Site) -> None:
    """The key is taken while the job is there."""
    first = site.send(dedupe_key="k")
    site.run()
    site.advance(11 * DAY)
    keep_house(site.database, SMALL)

    assert first != site.send("other", dedupe_key="k")
    assert len(site.calls(SEND)) == 1


def test_a_refused_job_goes_too(site: Site) -> None:
    """Whatever the end was."""
    site.vendor.says(refused(40003))
    site.send()
    site.upload(PNG)
    site.run()
    site.advance(11 * DAY)

    assert keep_house(site.database, SMALL)["jobs"] == 2
