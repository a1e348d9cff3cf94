"""The ledger of response_codes: filed, leased with the mark, spent, freed or burned with the end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.runtime import UPDATE, Site, busy, lost, planted, refused
from worker import CardUpdate, JobFilter, Priority, To, codes_left, find_unknown, replay, resolve, update_card_by_code
from worker.domain import settle
from worker.domain.job import part_id
from worker.domain.outcome import (
    Accepted,
    CallReceipt,
    Outcome,
    Rejected,
    Retry,
    Scope,
    StaleToken,
    Unknown,
    Verdict,
    Wait,
)
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Change, Effects, Mark, MarkedCall, Tries
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs import codes

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
DAY = 86_400
POLICY = Policy()


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


@pytest.fixture
def card(site: Site) -> str:
    """A card that was sent and brought a code."""
    job = site.card()
    site.ring(job)
    return job


def code_of(site: Site, card: str) -> Any:
    [row] = site.of("response_codes", card)
    return row


def mark(site: Site, job: str, code: str, who: str = "p1") -> bool:
    """Whether its call may begin."""
    wish = Mark(part_id(job, 0), 0, who, 20 * SECOND, effects=Effects(code))
    return wish in commit(site.database, [wish], POLICY).calls


def test_a_card_files_its_code_for_72_hours(site: Site, card: str) -> None:
    """The code is fresh, belongs to the part that sent the card, and ends when the vendor says. A text has none."""
    row, text = code_of(site, card), site.send()
    site.ring(text)

    assert (row.state, row.code, row.leased_by, row.source) == ("fresh", "code1", None, "send")
    assert row.ends_at - row.issued_at == 3 * DAY * SECOND
    assert site.of("response_codes", text) == []


@pytest.mark.every_database
def test_two_updates_want_one_code_and_one_is_marked(site: Site, card: str) -> None:
    """The lease is taken by compare-and-set in the mark's own transaction; the loser is not marked."""
    first, second = site.update(card), site.update(card)
    code = code_of(site, card).id

    calls = [mark(site, first, code), mark(site, second, code)]

    assert calls == [True, False]
    assert ("leased", part_id(first, 0)) == (code_of(site, card).state, code_of(site, card).leased_by)
    assert (site.state(second), site.part(second).claim) == ("queued", 0)


def test_two_updates_in_one_batch_get_one_lease(site: Site, card: str) -> None:
    """The same inside one transaction."""
    jobs = [site.update(card), site.update(card)]
    code = code_of(site, card).id

    marks = [Mark(part_id(job, 0), 0, "p1", 20 * SECOND, effects=Effects(code)) for job in jobs]

    calls = commit(site.database, marks, POLICY).calls

    assert [mark in calls for mark in marks] == [True, False]


def test_a_repeated_commit_finds_its_own_lease(site: Site, card: str) -> None:
    """The answer of the mark's commit was lost: the code is still the part's."""
    job, code = site.update(card), code_of(site, card).id
    wish = Mark(part_id(job, 0), 0, "p1", 20 * SECOND, effects=Effects(code))

    tries = Tries()

    calls = [commit(site.database, [wish], POLICY, tries).calls for _ in range(2)]

    assert calls == [{wish: MarkedCall(1, flagged=False)}] * 2


def test_a_code_that_is_gone_marks_nothing(site: Site, card: str) -> None:
    """An unknown code is nobody's."""
    assert mark(site, site.update(card), "f" * 64) == 0


@pytest.mark.every_database
@pytest.mark.parametrize(
    ("outcome", "errcode", "state"),
    [
        (Accepted(CallReceipt()), 0, "spent"),
        (Unknown("cut"), None, "burned"),
        (Rejected("60140"), 60140, "spent"),
        (Rejected("42015"), 42015, "fresh"),
        (Retry("6000"), 6000, "fresh"),
        (StaleToken("42001"), 42001, "fresh"),
        (Wait(Scope.LANE, 60.0, "45009"), 45009, "fresh"),
    ],
    ids=["taken", "no answer", "60140", "another refusal", "again", "stale token", "limit"],
)
def test_the_end_of_the_call_decides_about_the_code(
    site: Site, card: str, outcome: Outcome, errcode: int | None, state: str
) -> None:
    """Spent by success and by 60140, burned by doubt, fresh again when certainly unused."""
    job, code = site.update(card), code_of(site, card).id
    mark(site, job, code)

    commit(
        site.database, [CallEnd(part_id(job, 0), 1, "p1", Verdict(outcome, errcode), 5, effects=Effects(code))], POLICY
    )

    assert state == code_of(site, card).state
    assert (None if state == "fresh" else part_id(job, 0)) == code_of(site, card).leased_by


def test_a_burned_code_comes_back_when_its_call_was_refused_after_all(site: Site, card: str) -> None:
    """A late readable refusal proves the code unused."""
    job, code = site.update(card), code_of(site, card).id
    mark(site, job, code)
    died = Change(part_id(job, 0), lambda part, now: settle.doubt(part, "died", POLICY), attempt_reason="died")
    commit(site.database, [died], POLICY)

    late = CallEnd(part_id(job, 0), 1, "p1", Verdict(Retry("6000"), 6000), 5, effects=Effects(code))
    commit(site.database, [late], POLICY)

    assert (code_of(site, card).state, site.state(job), site.part(job).doubts) == ("fresh", "queued", 0)


def say_not_sent(site: Site, job: str) -> None:
    """A person's decision."""
    found = find_unknown(JobFilter(ids=[job]), force=True, database=site.database)
    assert resolve(found, sent=False, why="asked", person="li", database=site.database).counts == {"decided": 1}


def test_a_late_end_leaves_a_code_alone_that_another_update_has_used(site: Site, card: str) -> None:
    """A person said "not sent", and the next update used the code. Then the first process says the same."""
    site.vendor.says(lost())
    first, second, code = site.update(card), site.update(card), code_of(site, card).id
    site.ring(first)
    say_not_sent(site, first)
    site.ring(second)

    unsent, by = Verdict(Wait(Scope.PART, 0.0, "the process lost its lease")), site.part(first).incarnation
    late = CallEnd(part_id(first, 0), 1, by, unsent, None, nothing_sent=True, effects=Effects(code))
    commit(site.database, [late], POLICY)

    assert ("spent", part_id(second, 0)) == (code_of(site, card).state, code_of(site, card).leased_by)


def test_a_late_success_spends_a_code_that_a_person_had_freed(site: Site, card: str) -> None:
    """The person was wrong; no other update has the code yet."""
    site.vendor.says(lost())
    job, code = site.update(card), code_of(site, card).id
    site.ring(job)
    say_not_sent(site, job)
    before = code_of(site, card).state

    taken, by = Verdict(Accepted(CallReceipt()), 0), site.part(job).incarnation
    commit(site.database, [CallEnd(part_id(job, 0), 1, by, taken, 5, effects=Effects(code))], POLICY)

    assert (before, code_of(site, card).state) == ("fresh", "spent")


@pytest.mark.every_database
@pytest.mark.parametrize(
    ("late", "ends"),
    [
        (Verdict(Accepted(CallReceipt()), 0), ("accepted", {"code1": "spent", "older": "burned"})),
        (Verdict(Wait(Scope.PART, 0.0, "busy"), -1), ("sending", {"code1": "fresh", "older": "leased"})),
    ],
    ids=["ended", "goes on"],
)
def test_a_late_answer_leaves_a_code_leased_only_by_a_repeat_that_goes_on(
    site: Site, card: str, driven_clock: DrivenClock, late: Verdict, ends: tuple[str, dict[str, str]]
) -> None:
    """If the process of the repeat dies after the end, nobody would look for its code: other updates would wait."""
    with site.database.writing() as connection:
        codes.store_code(connection, "ww1/7", part_id(card, 0), "older", driven_clock.micros, DAY)
    job, [newer, older] = site.update(card), sorted(site.of("response_codes", card), key=lambda row: row.code)
    mark(site, job, newer.id)
    died = Change(part_id(job, 0), lambda part, now: settle.doubt(part, "died", POLICY), attempt_reason="died")
    repeat = Change(part_id(job, 0), settle.repeat)
    for change in (died, repeat):
        commit(site.database, [change], POLICY)
    commit(site.database, [Mark(part_id(job, 0), 1, "p2", 20 * SECOND, effects=Effects(older.id))], POLICY)

    commit(site.database, [CallEnd(part_id(job, 0), 1, "p1", late, 5, effects=Effects(newer.id))], POLICY)

    states = {row.code: row.state for row in site.of("response_codes", card)}
    assert ends == (site.part(job).state if ends[0] == "sending" else site.state(job), states)


@pytest.mark.every_database
def test_the_code_that_ends_last_is_taken_first_and_ended_ones_never(
    site: Site, card: str, driven_clock: DrivenClock
) -> None:
    """A code that would end before the call's deadline is not offered."""
    now = site.database.now
    with site.database.writing() as connection:
        codes.store_code(connection, "ww1/7", part_id(card, 0), "younger", driven_clock.micros + SECOND, 3 * DAY)
    with site.database.reading() as connection:
        both = [code.code for code in codes.fresh_codes(connection, part_id(card, 0), now)]
        none = codes.fresh_codes(connection, part_id(card, 0), f"{now} + {(3 * DAY + 1) * SECOND}")

    assert both == ["younger", "code1"]
    assert none == []


# -- through the whole attempt ----------------------------------------------------------------------------------------


def test_an_update_spends_the_code_and_a_second_says_that_none_is_left(site: Site, card: str) -> None:
    """One call; the second update is refused with a sentence a person understands."""
    first, second = site.update(card), site.update(card)

    site.ring(first)
    site.ring(second)

    assert [site.state(first), site.state(second)] == ["accepted", "rejected"]
    assert "no response_code is left" in site.part(second).reason
    assert [body["response_code"] for body in site.bodies(UPDATE)] == ["code1"]
    assert code_of(site, card).state == "spent"


def test_an_update_in_doubt_burns_its_code_and_is_held_when_none_is_left(site: Site, card: str) -> None:
    """Without another code nothing can be repeated: unknown, held, and the reason says why."""
    site.vendor.says(lost())
    job = site.update(card)
    site.ring(job)

    site.advance(26)
    site.recover()
    site.ring(job)

    assert (site.state(job), site.part(job).not_before) == ("unknown", None)
    assert "no response_code is left" in site.part(job).reason
    assert len(site.calls(UPDATE)) == 1
    assert code_of(site, card).state == "burned"


def test_an_update_in_doubt_is_repeated_with_the_next_code(site: Site, card: str, driven_clock: DrivenClock) -> None:
    """A fresh code makes the repeat safe, whether or not the first one was used."""
    with site.database.writing() as connection:
        codes.store_code(connection, "ww1/7", part_id(card, 0), "older", driven_clock.micros, DAY)
    site.vendor.says(lost())
    job = site.update(card)
    site.ring(job)

    site.advance(26)
    site.recover()
    site.ring(job)

    assert site.state(job) == "accepted"
    assert [body["response_code"] for body in site.bodies(UPDATE)] == ["code1", "older"]
    states = {row.code: row.state for row in site.of("response_codes", card)}
    assert states == {"code1": "burned", "older": "spent"}


def test_an_update_waits_while_another_one_holds_the_code(site: Site, card: str) -> None:
    """Until that call ends nobody knows whether the code is spent; freed, it is used."""
    first, second = site.update(card), site.update(card)
    mark(site, first, code_of(site, card).id)

    site.ring(second)
    waiting = (site.state(second), site.part(second).not_before, site.part(second).reason)
    end = CallEnd(
        part_id(first, 0), 1, "p1", Verdict(Rejected("82101"), 82101), 5, effects=Effects(code_of(site, card).id)
    )
    commit(site.database, [end], POLICY)
    site.advance(1)
    site.ring(second)

    assert ("queued", site.clock.micros, "its response_code is in use by another update") == waiting
    assert site.state(second) == "accepted"


# -- codes of presses -------------------------------------------------------------------------------------------------


def pressed(site: Site, job: str, person: str, code: str, *, n: int = 0, ago_s: int = 0) -> None:
    """Somebody pressed the card: the callback's code is filed."""
    with site.database.writing() as connection:
        issued = site.clock.micros - ago_s * SECOND
        codes.store_code(connection, "ww1/7", part_id(job, n), code, issued, 3 * DAY, person)


def spent(site: Site) -> list[str]:
    return [body["response_code"] for body in site.bodies(UPDATE)]


@pytest.mark.every_database
def test_an_update_spends_the_codes_of_those_it_is_for_then_older_ones_and_the_sends_last(site: Site) -> None:
    """The clicker's own code was given for this very answer; the send's alone was given for everybody."""
    job = site.card(to=To(["lisi", "wangwu"]))
    site.ring(job)
    pressed(site, job, "WangWu", "wangwu-old", ago_s=90)
    pressed(site, job, "lisi", "lisi-old", ago_s=60)
    pressed(site, job, "wangwu", "wangwu-new", ago_s=30)

    for _ in range(5):
        site.ring(site.update(job, to="LiSi"))

    assert spent(site) == ["lisi-old", "wangwu-new", "wangwu-old", "code1"]


def test_an_update_for_all_keeps_to_the_presses_first(site: Site, card: str) -> None:
    """Nobody is named: whose press it was does not matter."""
    pressed(site, card, "lisi", "c1")

    for _ in range(2):
        site.ring(site.update(card))

    assert spent(site) == ["c1", "code1"]


@pytest.mark.parametrize(("hours", "priority"), [(70.9, Priority.BULK), (71.1, Priority.URGENT), (73, Priority.BULK)])
def test_an_update_asked_for_shortly_before_its_codes_end_is_urgent(
    site: Site, card: str, hours: float, priority: Priority
) -> None:
    """Within an hour of the end it would not live to see the end of a long backlog; when it has ended it is refused."""
    site.advance(hours * 3600)

    update = site.update(card, priority="bulk")

    assert priority == site.job(update).priority == site.part(update).priority


def test_an_update_that_has_to_wait_shortly_before_its_codes_end_goes_before_others(site: Site) -> None:
    """The vendor is busy, and what was asked for later and has time would be offered first."""
    cards = [site.card(), site.card()]
    site.ring(*cards)
    site.sql("update worker_response_codes set ends_at = ends_at + 7200000000 where code = 'code2'")
    hurried, patient = site.update(cards[0]), site.update(cards[1])
    site.advance(71.5 * 3600)
    site.vendor.says(busy())
    site.ring(hurried)
    site.advance(60)

    site.run()

    assert (site.part(hurried).priority, site.part(patient).priority) == (Priority.URGENT, Priority.NORMAL)
    assert spent(site) == ["code1", "code1", "code2"]


@pytest.mark.every_database
@pytest.mark.parametrize(("hours", "priority"), [(70.9, Priority.NORMAL), (71.5, Priority.URGENT)])
def test_an_update_by_a_code_that_ends_soon_is_urgent_when_it_has_to_wait(
    site: Site, hours: float, priority: Priority
) -> None:
    """In the last hour only; the application said when the code was issued."""
    issued_at = datetime.fromtimestamp(site.clock.micros / SECOND, UTC) - timedelta(hours=hours)
    with site.database.writing() as connection:
        update = update_card_by_code(
            connection,
            "hr",
            "given",
            CardUpdate(replace_name="done"),
            issued_at=issued_at,
            accounts=site.accounts,
        ).id
    site.vendor.says(busy())

    site.ring(update)

    assert ("queued", priority) == (site.state(update), site.part(update).priority)


def left(site: Site, job: str) -> list[tuple[str, int, int | None]]:
    with site.database.reading() as connection:
        found = codes_left(connection, job)
    return [(one.part, one.left, None if one.until is None else int(one.until.timestamp())) for one in found]


@pytest.mark.every_database
def test_the_application_reads_what_a_card_has_left_to_be_updated_with(site: Site, card: str) -> None:
    """A code from the send, one from each press; spent ones and those whose time is over are not left."""
    now = site.clock.micros // SECOND
    part = part_id(card, 0)
    at_first = left(site, card)
    pressed(site, card, "lisi", "c1", ago_s=-60)
    pressed(site, card, "lisi", "old", ago_s=3 * DAY)
    pressed_once = left(site, card)
    site.ring(site.update(card, to="lisi"))
    spent_one = left(site, card)
    site.advance(3 * DAY)

    assert [(part, 1, now + 3 * DAY)] == at_first == spent_one
    assert [(part, 2, now + 3 * DAY + 60)] == pressed_once
    assert [(part, 0, None)] == left(site, card)


def test_what_is_left_counts_the_cards_of_replays(site: Site) -> None:
    """An update of the original reaches them; nothing is left of a text, and of a card that was never sent."""
    site.vendor.says(refused(40003))
    first, text = site.card(), site.send()
    site.ring(first)
    site.ring(text)
    again = site.replay(first)
    site.ring(again)

    assert [part_id(again, 0)] == [part for part, _, _ in left(site, first)]
    assert left(site, text) == []


def test_reserve_last_keeps_the_sends_code(site: Site, card: str) -> None:
    """Refused with what to do instead; after a press it goes."""
    first = site.update(card, to="lisi", reserve_last=True)
    site.ring(first)
    pressed(site, card, "lisi", "c1")
    second = site.update(card, to="lisi", reserve_last=True)
    site.ring(second)

    assert [site.state(first), site.state(second)] == ["rejected", "accepted"]
    assert "reserve_last keeps it" in site.part(first).reason
    assert (
        spent(site),
        next(row.state for row in site.of("response_codes", card) if row.source == "send"),
    ) == (["c1"], "fresh")


@pytest.mark.every_database
def test_a_replay_keeps_the_sends_code_too(site: Site, card: str) -> None:
    """`reserve_last` was said once, for the wish and for all that repeat it."""
    first = site.update(card, to="lisi", reserve_last=True)
    site.ring(first)
    with site.database.writing() as connection:
        again = replay(connection, first, accepted=True, unknown=True, accounts=site.accounts).id
    site.ring(again)

    assert "reserve_last keeps it" in site.part(again).reason
    assert site.calls(UPDATE) == []


def test_an_update_goes_to_the_part_whose_card_the_person_pressed(site: Site) -> None:
    """Two parts of parties: who pressed a card is held by its part; who pressed none may be in either."""
    job = site.card(to=To(parties=list(range(1, 151))))
    site.run()
    pressed(site, job, "P101U1", "of-part-1", n=1)

    site.ring(site.update(job, to="p101u1"))
    known = spent(site)
    site.ring(site.update(job, to="stranger"))
    site.run()

    assert known == ["of-part-1"]
    assert sorted(spent(site)[1:]) == ["code1", "code2"]


@pytest.mark.every_database
def test_people_named_go_to_their_parts_and_the_others_to_the_partys(site: Site) -> None:
    """One of 1,500 by name, one who is somebody's of a party: two calls, each for its own."""
    job = site.card(to=To([f"u{n}" for n in range(1_500)], parties=["7"]))
    site.run()
    update = site.update(job, to="u1200|p7u1")

    site.ring(update)
    site.run()

    assert sorted(body["userids"] for body in site.bodies(UPDATE)) == [["p7u1"], ["u1200"]]


def test_a_code_the_vendor_knows_no_longer_gives_way_to_the_next(site: Site, card: str) -> None:
    """60140 while another code is left: that one is tried; the first is not tried again."""
    pressed(site, card, "lisi", "c1")
    site.vendor.says(refused(60140))
    job = site.update(card, to="lisi")
    site.ring(job)
    waiting = site.state(job)

    site.advance(300)
    site.ring(job)

    assert (waiting, site.state(job)) == ("queued", "accepted")
    assert spent(site) == ["c1", "code1"]
    assert [row.state for row in site.of("response_codes", card)] == ["spent", "spent"]


def test_the_last_code_refused_refuses_the_update(site: Site, card: str) -> None:
    """Also when only the reserved one would be left."""
    pressed(site, card, "lisi", "c1")
    site.vendor.says(refused(60140), refused(60140))
    reserved = site.update(card, to="lisi", reserve_last=True)
    site.ring(reserved)
    plain = site.update(card, to="lisi")
    site.ring(plain)

    assert [site.state(reserved), site.state(plain)] == ["rejected", "rejected"]
    assert spent(site) == ["c1", "code1"]
