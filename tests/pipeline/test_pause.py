"""A pause: no call of what it covers begins, until a person ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from tests.support.runtime import PNG, RECALL, SEND, UPLOAD, Site, busy, lost, planted
from worker.config.places import UrlFrom
from worker.config.settings import RetentionSettings, Settings
from worker.control import pause as pausing
from worker.control.audit import list_audit
from worker.control.cancel import cancel, find_open
from worker.control.pause import list_pauses, pause, pause_jobs, resume, resume_jobs, wait_for_calls
from worker.delivery.maintenance.housekeeping import Housekeeping
from worker.domain.call import CallResult, Request
from worker.domain.errors import CheckFailed, WorkerError
from worker.domain.job import part_id
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import LaneBlock
from worker.domain.settle import FOREVER, Policy
from worker.outbox.commit.commands import Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.lanes import pauses
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.lanes.offering import park_on_pauses

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

DAY = timedelta(days=1)
EVERYTHING = None


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def paused_by_zhang(site: Site, wanted: JobFilter | None) -> str:
    return pause(wanted, person="zhang", why="wrong text", database=site.database).pause.id


def resume_by_li(site: Site, wanted: JobFilter | None) -> None:
    resume(wanted, person="li", why="mended", database=site.database)


def parked(site: Site, job: str) -> bool:
    """Whether its part waits for the end of a pause."""
    return (site.part(job).not_before or 0) > FOREVER


def sent(site: Site) -> list[str]:
    """The texts that were sent."""
    return [body["text"]["content"] for body in site.bodies(SEND)]


SCOPES = {
    "everything": EVERYTHING,
    "account": JobFilter(account="hr"),
    "tag": JobFilter(tag="lunch"),
    "all of them": JobFilter(account="hr", channel="wecom_app", kind="send", tag="lunch"),
}


@pytest.mark.parametrize("wanted", SCOPES.values(), ids=SCOPES)
def test_what_it_covers_waits_until_it_ends(site: Site, wanted: JobFilter | None) -> None:
    """What was enqueued before and what is enqueued during it; then everything goes, in the order of the jobs."""
    jobs = [site.send("before", tags=["dinner", "lunch"])]
    paused_by_zhang(site, wanted)
    jobs += [site.send("during", tags=["lunch"])]
    site.run()
    paused = sent(site)
    resume_by_li(site, wanted)
    site.recover()
    site.advance(2)
    site.run()

    assert (paused, sent(site)) == ([], ["before", "during"])
    assert [site.state(job) for job in jobs] == ["accepted", "accepted"]
    assert [parked(site, job) for job in jobs] == [False, False]


def test_what_it_does_not_cover_goes(site: Site) -> None:
    """Another account, channel, kind or tag; a tag is one of them whole, and a tag's case counts."""
    for wanted in (
        JobFilter(account="it"),
        JobFilter(channel="youdu"),
        JobFilter(kind="upload"),
        JobFilter(tag="lunch"),
        JobFilter(account="it", tag="supper"),
        JobFilter(account="hr", tag="dinner"),
    ):
        paused_by_zhang(site, wanted)

    job = site.send(tags=["lunch 2", "Lunch", '"lunch"', "supper"])
    site.run()

    assert site.state(job) == "accepted"


def test_uploads_and_card_updates_wait_too(site: Site) -> None:
    """An account's: everything that calls its vendor."""
    card = site.card()
    site.run()
    paused_by_zhang(site, JobFilter(account="hr"))
    jobs = site.update(card), site.image(), site.upload(PNG + b"other")
    before = len(site.transport.calls)
    site.run()

    assert (before, {"open"}) == (len(site.transport.calls), {site.job(job).state for job in jobs})
    resume_by_li(site, JobFilter(account="hr"))
    site.recover()
    site.advance(2)
    site.run()
    assert {site.job(job).state for job in jobs} == {"accepted"}
    assert len(site.calls(UPLOAD)) == 2


def test_recalls_pass(site: Site) -> None:
    """Of what was sent before; what waits is cancelled by them."""
    gone, waiting = site.send("gone", tags=["lunch"]), site.send("waiting", tags=["lunch"], due_at=DAY)
    site.ring(gone)
    for wanted in SCOPES.values():
        paused_by_zhang(site, wanted)

    recalls = site.recall(gone), site.recall(waiting)
    site.run()

    assert ([site.job(job).state for job in recalls], len(site.bodies(RECALL))) == (["accepted"] * 2, 1)
    assert (site.state(gone), site.state(waiting)) == ("accepted", "cancelled")


def test_a_cancel_passes(site: Site) -> None:
    """A part that is parked on it ends, and is not woken afterwards."""
    job = site.send(tags=["lunch"])
    paused_by_zhang(site, JobFilter(tag="lunch"))
    site.run()
    before = parked(site, job)

    found = find_open(JobFilter(tag="lunch"), database=site.database)
    done = cancel(found, person="zhang", why="wrong text", database=site.database)
    resume_by_li(site, JobFilter(tag="lunch"))
    site.recover()
    site.run()

    assert (before, done.counts, sent(site)) == (True, {"jobs": 1, "cancelled": 1}, [])
    assert (site.state(job), site.part(job).not_before) == ("cancelled", None)


@pytest.mark.every_database
def test_a_part_in_hand_is_not_sent(site: Site) -> None:
    """Loaded before the pause, with its call not begun: the pause is obeyed by the mark."""
    first, second = site.send("first"), site.send("second")

    def paused_meanwhile(request: Request) -> CallResult:
        paused_by_zhang(site, JobFilter(account="hr"))
        return site.vendor.takes(request)

    site.vendor.says(paused_meanwhile)
    site.ring(first, second)

    assert (sent(site), site.state(first), site.state(second)) == (["first"], "accepted", "queued")


@pytest.mark.parametrize("wanted", [JobFilter(account="hr"), JobFilter(kind="send"), EVERYTHING], ids=str)
def test_a_lane_that_is_paused_whole_is_not_offered(site: Site, wanted: JobFilter | None) -> None:
    """Its backlog costs nothing; it is looked at again within a second of the end."""
    jobs = [site.send(f"{n}") for n in range(3)]
    paused_by_zhang(site, wanted)
    site.run()
    waits = [parked(site, job) for job in jobs]
    resume_by_li(site, wanted)
    site.run()

    assert (waits, sent(site)) == ([False] * 3, ["0", "1", "2"])


def test_a_tag_keeps_nothing_else_of_its_lane(site: Site) -> None:
    """However many of its parts stand before it, also where the lane begins with one call: none of them is offered."""
    waiting = [site.send(f"{n}", tags=["lunch"]) for n in range(40)]
    other = site.send("other")
    site.relay = site.new_relay(cold_after_s=60)
    paused_by_zhang(site, JobFilter(tag="lunch"))
    site.run(6)

    assert (sent(site), site.state(other)) == (["other"], "accepted")
    assert {(parked(site, job), site.part(job).reason, site.part(job).claim) for job in waiting} == {
        (True, "paused by a person", 0)
    }


@pytest.mark.parametrize("is_held", [False, True], ids=["paused", "held"])
def test_what_the_broker_lost_stands_in_nobodys_way(site: Site, is_held: bool) -> None:
    """A paused part whose id was lost is put aside like any other when its offer is over."""
    waiting = [site.send(f"{n}", tags=["campaign"]) for n in range(6)]
    site.share(2, 1)
    site.publish = lambda rings: None
    for _ in range(2):
        site.ticks.advance(1.1)
        site.relay.turn()
    offered = [site.part(job).offered_until is not None for job in waiting]
    site.publish = site.rings.extend
    if is_held:
        pause_jobs(waiting, person="zhang", why="", database=site.database)
    else:
        paused_by_zhang(site, JobFilter(tag="campaign"))
    others = [site.send(f"other {n}") for n in range(3)]
    for _ in range(15):
        site.advance(5)
        site.run()

    assert (offered, [site.state(job) for job in others]) == ([True] * 4 + [False] * 2, ["accepted"] * 3)
    assert {(parked(site, job), site.part(job).offered_until) for job in waiting} == {(True, None)}


@pytest.mark.every_database
def test_what_is_put_aside_waits_for_its_pause_alone(site: Site) -> None:
    """Not for the limit that it waited for before. What is in the broker or waits its turn does not wait for it yet."""
    limited, offered, behind = (site.send(text) for text in ("limited", "offered", "behind"))
    made = pause(EVERYTHING, person="zhang", why="", database=site.database).pause
    site.sql("update worker_parts set limit_name = 'member_minute' where job_id = :job", job=limited)
    site.sql("update worker_parts set offered_until = 2000000000000000 where job_id = :job", job=offered)
    site.sql("update worker_parts set not_before = :never where job_id = :job", job=behind, never=FOREVER)

    with site.database.writing() as connection:
        parts = {part_id(job, 0): made for job in (limited, offered, behind)}
        park_on_pauses(connection, site.database.now, parts)

    assert [parked(site, job) for job in (limited, offered, behind)] == [True, False, False]
    assert None is site.part(limited).limit_name
    assert [part_id(limited, 0)] == [row.part_id for row in site.rows("select part_id from worker_waits")]


ODD = ["{", "7", '{"lunch": 1}', "null", "[7]", "[" * 100_000]


@pytest.mark.parametrize("tags", ODD, ids=lambda tags: tags[:9])
def test_a_job_whose_tags_cannot_be_read_stops_no_other(site: Site, tags: str) -> None:
    """It counts as one without tags, for the relay, the mark, and whoever cancels by a tag."""
    odd, waiting, other = site.send("odd"), site.send("waiting", tags=["lunch"]), site.send("other")
    site.sql("update worker_jobs set tags = :tags where id = :job", tags=tags, job=odd)
    paused_by_zhang(site, JobFilter(tag="lunch"))
    site.ring(odd, other)
    site.run()
    found = find_open(JobFilter(tag="lunch"), database=site.database)
    done = cancel(found, person="zhang", database=site.database)

    assert (
        sent(site),
        done.counts,
        site.state(waiting),
    ) == (["odd", "other"], {"jobs": 1, "cancelled": 1}, "cancelled")


@pytest.mark.parametrize("account_wide", [False, True], ids=["lane", "account"])
@pytest.mark.parametrize("kept", ["paused", "held", "out of turn"])
def test_a_probe_is_found_behind_many_that_may_not_go(site: Site, kept: str, account_wide: bool) -> None:
    """They are put aside, and the next part tries the lane within seconds."""
    order = {"order_key": "o"} if kept == "out of turn" else {}
    first = site.send("first", due_at=DAY, **order)
    waiting = [site.send(f"{n}", tags=["lunch"], **order) for n in range(45)]
    other = site.send("other")
    name = "hr" if account_wide else site.part(other).lane
    block = LaneBlock(name, "hr", 0, "no quota", parked=True)
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [block]))
    if kept == "paused":
        paused_by_zhang(site, JobFilter(tag="lunch"))
    elif kept == "held":
        pause_jobs(waiting, person="zhang", why="", database=site.database)
    else:
        # All behind one that is in flight for long.
        site.sql("update worker_parts set state = 1 where job_id = :job", job=first)
        site.sql("update worker_order_queue set place_at = 0 where job_id = :job", job=first)
    for _ in range(6):
        site.advance(1.1)
        site.run()

    assert sent(site) == ["other"]
    assert {(site.state(job), (site.part(job).not_before or 0) >= FOREVER) for job in waiting} == {("queued", True)}


def test_a_search_passes(site: Site) -> None:
    """It sends nothing, and a recall may wait for what it finds."""
    job = site.send()
    site.vendor.says(lost())
    site.ring(job)
    site.advance(60)
    site.recover()
    paused_by_zhang(site, EVERYTHING)
    row = site.part(job)
    marks = [Mark(part_id(job, 0), row.claim, "p", 1_000_000, is_search=searches) for searches in (False, True)]

    calls = commit(site.database, marks[:1], Policy()).calls
    waits = parked(site, job)
    searches = commit(site.database, marks[1:], Policy()).calls

    assert (calls, waits) == ({}, True)
    assert [call.number for call in searches.values()] == [row.claim + 1]


def test_a_probe_does_not_pass(site: Site) -> None:
    """Nor does `worker resume` of the vendor's block."""
    job = site.send()
    lane = site.part(job).lane
    parked = LaneBlock("hr", "hr", 0, "no quota", parked=True)
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [parked]))
    paused_by_zhang(site, JobFilter(account="hr"))
    site.advance(3_600)
    site.run()
    offered = [ring for ring in site.rings if ring.probe]
    site.ring(job, probe=True)

    assert (offered, site.calls(), site.state(job)) == ([], [], "queued"), lane


def test_a_part_in_doubt_is_not_repeated(site: Site) -> None:
    """Until the pause ends; by then its duplicate window may be over, which is judged as ever."""
    job = site.send()
    site.vendor.says(lost())
    site.ring(job)
    paused_by_zhang(site, JobFilter(account="hr"))
    site.advance(60)
    site.recover()
    site.run()

    assert (len(sent(site)), site.state(job)) == (1, "queued")
    resume_by_li(site, JobFilter(account="hr"))
    site.recover()
    site.advance(2)
    site.run()
    assert (len(sent(site)), site.state(job)) == (2, "accepted")


def test_what_expires_meanwhile_expires(site: Site) -> None:
    """Whether it was parked on the pause or never offered."""
    parked = site.send("a", tags=["lunch"], expires_at=timedelta(hours=1))
    paused_by_zhang(site, JobFilter(tag="lunch"))
    site.run()
    behind = site.send("b", expires_at=timedelta(hours=1))
    paused_by_zhang(site, JobFilter(account="hr"))
    site.advance(7_200)
    site.recover()

    assert [site.state(job) for job in (parked, behind)] == ["expired", "expired"]


def test_an_order_stays_an_order(site: Site) -> None:
    """Those behind a paused job of their order wait, and then go one after the other."""
    first = site.send("first", order_key="o", tags=["lunch"])
    second = site.send("second", order_key="o")
    paused_by_zhang(site, JobFilter(tag="lunch"))
    site.run()
    before = sent(site)
    resume_by_li(site, JobFilter(tag="lunch"))
    site.recover()
    site.advance(2)
    site.run()
    site.run()

    assert (before, sent(site)) == ([], ["first", "second"]), (first, second)


def test_two_pauses_have_to_end(site: Site) -> None:
    """A part that is woken by the end of one is parked on the other."""
    job = site.send(tags=["lunch"])
    paused_by_zhang(site, JobFilter(tag="lunch"))
    paused_by_zhang(site, JobFilter(account="hr", tag="lunch"))
    site.run()
    resume_by_li(site, JobFilter(tag="lunch"))
    site.recover()
    woken = parked(site, job)
    site.run()
    between = parked(site, job), site.state(job)
    resume_by_li(site, JobFilter(account="hr", tag="lunch"))
    site.recover()
    site.run()

    assert (woken, between, site.state(job)) == (False, (True, "queued"), "accepted")


def test_a_part_that_is_parked_after_the_end_is_woken(site: Site) -> None:
    """By a commit that still saw the pause; the pause's row goes an hour later, and never before its parts."""
    job = site.send()
    made = pause(JobFilter(account="hr"), person="zhang", why="", database=site.database).pause
    resume_by_li(site, JobFilter(account="hr"))
    site.recover()
    site.sql("update worker_parts set not_before = :never", never=made.parked_until)
    site.advance(3_700)
    keep_house(site)
    kept = [row.id for row in site.rows("select id from worker_pauses")]
    site.recover()
    site.run()
    keep_house(site)

    assert ([made.id], "accepted") == (kept, site.state(job))
    assert site.rows("select id from worker_pauses") == []


def keep_house(site: Site) -> None:
    """A turn of a new housekeeping."""
    Housekeeping(site.database, RetentionSettings(), site.ticks).turn()


@pytest.mark.every_database
def test_thousands_are_woken_in_lots(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many a turn as leaves room for the rest of recovery, the oldest first."""
    monkeypatch.setattr(pauses, "BATCH_SIZE", 2)
    monkeypatch.setattr("worker.delivery.maintenance.recovery.MAX_WAKE_BATCHES", 2)
    jobs = [site.send(f"{n}", tags=["lunch"]) for n in range(7)]
    paused_by_zhang(site, JobFilter(tag="lunch"))
    site.run()
    resume_by_li(site, JobFilter(tag="lunch"))

    left = []
    for _ in range(3):
        site.recover()
        left.append([parked(site, job) for job in jobs])

    assert left == [[False] * 4 + [True] * 3, [False] * 7, [False] * 7]


def test_the_oldest_go_first_afterwards(site: Site) -> None:
    """Also before those that were never in a worker's hand, and so not parked."""
    first = site.send("first")
    site.advance(60)
    second = site.send("second")
    paused_by_zhang(site, JobFilter(account="hr"))
    site.ring(first)
    waits = parked(site, first), parked(site, second)
    site.advance(60)
    resume_by_li(site, JobFilter(account="hr"))
    site.recover()
    site.run()

    assert (waits, sent(site)) == ((True, False), ["first", "second"])


def test_a_piece_behind_a_parked_one_looks_again(site: Site) -> None:
    """Within a minute: the end of the pause wakes the first piece alone."""
    job = site.send("x" * 3_000, overflow="split")
    site.sql("update worker_parts set not_before = :never where n = 0", never=FOREVER + 7)
    spec = json.dumps({**json.loads(site.part(job, 1).spec), "after": 0})
    site.sql("update worker_parts set spec = :spec where n = 1", spec=spec)
    site.ring(job)

    second = site.part(job, 1)
    assert 0 < second.not_before - site.database.read_now() <= 60_000_000


# -- single jobs -------------------------------------------------------------------------------------------------------


def test_a_held_job_waits_until_it_is_released(site: Site) -> None:
    """And no other of its kind."""
    job, other = site.send("held"), site.send("other")
    held = pause_jobs([job], person="zhang", why="ask legal", database=site.database)
    again = pause_jobs([job, other], person="zhang", why="ask legal", database=site.database)
    site.run()
    waiting = sent(site)
    released = resume_jobs([job, other], person="li", why="", database=site.database)
    nothing = resume_jobs([job], person="li", why="", database=site.database)
    site.recover()
    site.advance(2)
    site.run()

    assert ((job,), 0) == (held.jobs, held.counts["unchanged"])
    assert ((other,), 1) == (again.jobs, again.counts["unchanged"])
    assert (waiting, sorted(sent(site))) == ([], ["held", "other"])
    assert ((job, other), {"jobs": 2}, {"unchanged": 1}) == (released.jobs, released.counts, nothing.counts)


def test_a_held_recall_waits_too(site: Site) -> None:
    """Named by its id, it is meant."""
    job = site.send()
    site.run()
    recall = site.recall(job)
    pause_jobs([recall], person="zhang", why="", database=site.database)
    site.run()

    assert (len(site.bodies(RECALL)), site.job(recall).state) == (0, "open")


def test_what_has_ended_is_not_held(site: Site) -> None:
    """Nothing of it is to be sent any more; an id that is no job's is refused before anything is held."""
    job = site.send()
    site.run()

    held = pause_jobs([job], person="zhang", why="", database=site.database)

    assert (held.jobs, held.counts, site.rows("select id from worker_pauses")) == ((), {"unchanged": 1}, [])
    waiting = site.send("waiting")
    with pytest.raises(CheckFailed, match="ids: name jobs that do not exist: 0000"):
        pause_jobs([waiting, "0" * 32], person="zhang", why="", database=site.database)
    with pytest.raises(CheckFailed, match="ids: name single parts"):
        resume_jobs([part_id(waiting, 0)], person="zhang", why="", database=site.database)
    assert site.rows("select id from worker_pauses") == []


def test_a_hold_ends_with_its_job(site: Site) -> None:
    """Housekeeping ends it; and what retention has deleted can still be released."""
    ended, gone, open_ = (site.send(f"{n}", due_at=DAY) for n in range(3))
    pause_jobs([ended, gone, open_], person="zhang", why="", database=site.database)
    site.sql("delete from worker_jobs where id = :job", job=gone)
    released = resume_jobs([gone], person="zhang", why="", database=site.database)
    site.sql("update worker_jobs set state = 7 where id = :job", job=ended)
    keep_house(site)

    with site.database.reading() as connection:
        assert [open_] == [pause.job_id for pause in list_pauses(connection)]
    assert (gone,) == released.jobs


# -- what is said ------------------------------------------------------------------------------------------------------


def test_it_is_told_and_kept_in_the_audit(site: Site) -> None:
    """Once: a second pause of the same is the first one. Another filter's pause is not ended by it."""
    wanted = JobFilter(account="hr", tag="lunch")
    first = pause(wanted, person="zhang", why="wrong text", database=site.database)
    again = pause(wanted, person="li", why="me too", database=site.database)
    everything = pause(EVERYTHING, person="li", why="", database=site.database)
    with site.database.reading() as connection:
        found = list_pauses(connection)

    assert (first.pause, None) == (again.pause, again.audit)
    assert [first.pause, everything.pause] == found
    assert (first.pause.scope(), everything.pause.scope()) == ({"account": "hr", "tag": "lunch"}, {})
    assert (first.pause.person, first.pause.why) == ("zhang", "wrong text")
    with pytest.raises(WorkerError, match="account hr is not paused; `worker lanes` lists what is"):
        resume_by_li(site, JobFilter(account="hr"))
    resume_by_li(site, wanted)
    with site.database.reading() as connection:
        assert [everything.pause] == list_pauses(connection)
        actions = [(entry.action, entry.person, entry.arguments, entry.counts) for entry in list_audit(connection)]
    scope = {"filter": {"account": "hr", "tag": "lunch"}}
    assert [("resume", "li", scope, {"pauses": 1}), ("pause", "li", {"filter": {}}, {"pauses": 1})] == actions[:2]
    assert ("pause", "zhang", scope, {"pauses": 1}) == actions[2]


@pytest.mark.fewer_databases("refused before a statement")
def test_wrong_words_are_refused(site: Site) -> None:
    """With what to do instead."""
    for wanted, said in (
        (
            JobFilter(ids=["0" * 32]),
            "filter: names ids; pause an account, channel, kind or tag; `pause_jobs` is for single",
        ),
        (JobFilter(kind="recall"), "kind: is recall, which passes every pause; pause or cancel single recalls"),
        (JobFilter(kind="sent"), "kind: is 'sent', which does not exist; use one of badge, "),
        (JobFilter(channel="wecom"), "channel: is 'wecom', which does not exist; use one of wecom_app, "),
        (JobFilter(account="h" * 61), "account: is too long"),
        (JobFilter(tag="t" * 101), "tag: is too long"),
    ):
        with pytest.raises(CheckFailed, match=said):
            paused_by_zhang(site, wanted)
    with pytest.raises(CheckFailed, match="why: is too long"):
        pause(EVERYTHING, person="zhang", why="x" * 301, database=site.database)


def test_nothing_is_asked_while_nothing_is_paused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit learns from the statement that locks the parts that there is no pause."""
    monkeypatch.setattr("worker.outbox.commit.marks.paused_parts", None)
    job = site.send()
    site.ring(job)

    assert site.state(job) == "accepted"


@pytest.mark.every_database
def test_a_database_of_its_own_is_opened(database_url: str) -> None:
    """That of the settings."""
    settings = Settings(database=UrlFrom(url=database_url))
    with closing(Database(make_engine(database_url))) as own, planted(own, DrivenClock()) as site:
        job = site.send()
        made = pausing.pause(JobFilter(account="hr"), person="zhang", settings=settings)
        held = pausing.pause_jobs([job], person="zhang", settings=settings)
        busy = pausing.wait_for_calls(None, timeout_s=0, settings=settings)
        with own.reading() as connection:
            found = list_pauses(connection)
        released = pausing.resume_jobs([job], person="zhang", settings=settings)
        pausing.resume(JobFilter(account="hr"), person="zhang", settings=settings)

        assert ((job,), (job,), 0) == (held.jobs, released.jobs, busy)
        assert [made.pause.scope(), {"job": job}] == [pause.scope() for pause in found]
        with own.reading() as connection:
            assert list_pauses(connection) == []


# -- drain -------------------------------------------------------------------------------------------------------------


def in_flight(site: Site, *jobs: str) -> None:
    commit(site.database, [Mark(part_id(job, 0), 0, "p", 1_000_000) for job in jobs], Policy())


@pytest.mark.every_database
def test_it_waits_until_nothing_is_in_flight(site: Site) -> None:
    """A second long, because a commit may just be under way; recalls are calls, too."""
    job, other = site.send(tags=["lunch"]), site.send(account="it")
    in_flight(site, job, other)
    slept, told = list[float](), list[int]()

    def sleep(seconds: float) -> None:
        site.ticks.advance(seconds)
        slept.append(seconds)
        if len(slept) == 3:
            site.sql("update worker_parts set state = 2 where job_id = :job", job=job)

    done = wait_for_calls(
        JobFilter(tag="lunch"),
        timeout_s=60,
        progress=told.append,
        monotonic=site.ticks,
        sleep=sleep,
        database=site.database,
    )

    assert (done, told) == (0, [1, 1, 1, 0, 0, 0, 0, 0])
    later = wait_for_calls(None, timeout_s=2, monotonic=site.ticks, sleep=sleep, database=site.database)
    assert later == 1, "the other one is in flight still"
    site.sql("update worker_parts set state = 2")
    slept.clear()
    assert (
        wait_for_calls(None, timeout_s=0, monotonic=site.ticks, sleep=sleep, database=site.database),
        sum(slept),
    ) == (0, 1.0)


def test_a_busy_vendor_is_no_end(site: Site) -> None:
    """The answer "again later" parks the part again: paused before, it is not sent a second time."""
    job = site.send(tags=["lunch"])

    def paused_meanwhile(request: Request) -> CallResult:
        paused_by_zhang(site, JobFilter(tag="lunch"))
        return busy()

    site.vendor.says(paused_meanwhile)
    site.ring(job)
    site.advance(600)
    site.run()

    assert (len(sent(site)), site.state(job)) == (1, "queued")
