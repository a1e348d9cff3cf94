"""Staging switches: whom calls may reach where this is no production, and what is told of those whom they do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.runtime import Site, an_account, busy, lost, planted, refused
from worker import AppChat, Everyone, RecipientStatus, Text, To, recipients
from worker.config.accounts import FixedAccounts, staging_summary
from worker.control.pause import pause_jobs, resume_jobs
from worker.delivery.resolver.call_recipients import IN_DOUBT
from worker.domain.content.left_out import ALL_LEFT_OUT, outcome_for_all
from worker.domain.content.staging import DRY_RUN, NOT_LET_THROUGH, STAGING, Staging, redirected, staging_problem
from worker.domain.outcome import Progress, Refusal
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases(
    "what may leave is decided before the call; the rows are written on each elsewhere"
)


@contextmanager
def staged(database: Database, clock: DrivenClock, **switches: object) -> Iterator[Site]:
    """One process, whose account `hr` has these switches on, and `it` none."""
    hr = an_account(staging=Staging(**switches), allow_everyone=True)  # type: ignore[arg-type]
    with planted(database, clock, accounts=[hr, an_account("it", settings={"agentid": 8})]) as site:
        yield site


def switched(site: Site, **switches: object) -> None:
    """The same process with other switches."""
    hr = an_account(staging=Staging(**switches), allow_everyone=True)  # type: ignore[arg-type]
    site.runtime.accounts = FixedAccounts([hr, an_account("it", settings={"agentid": 8})])


def who(site: Site, job: str, status: RecipientStatus) -> tuple[str, ...]:
    with site.database.reading() as connection:
        return tuple(recipients(connection, job, status))


def touser(site: Site) -> list[str]:
    return [body.get("touser", "") for body in site.bodies()]


# -- dry_run -----------------------------------------------------------------------------------------------------------


def test_a_dry_run_makes_no_call_at_all(database: Database, driven_clock: DrivenClock) -> None:
    """No gettoken either; what would be sent is certainly not, and can be replayed. Other accounts go on."""
    with staged(database, driven_clock, dry_run=True) as site:
        job, image, other = site.send(to=To(["lisi", "wangwu"])), site.image(), site.send(account="it")
        site.run()
        assert [site.state(one) for one in (job, image, other)] == ["cancelled", "cancelled", "accepted"]
        assert (site.part(job).reason, len(site.calls())) == (DRY_RUN, 1)
        assert who(site, job, RecipientStatus.NEVER_SENT) == ("lisi", "wangwu")
        switched(site)
        again = site.replay(job)
        site.run()
        assert site.state(again) == "accepted"


def test_a_dry_run_holds_what_is_in_doubt(database: Database, driven_clock: DrivenClock) -> None:
    """Its earlier call was made: nobody says that it was not."""
    with staged(database, driven_clock) as site:
        site.vendor.says(lost())
        job = site.send()
        site.run()
        switched(site, dry_run=True)
        for _ in range(3):
            site.advance(60)
            site.recover()
            site.run()
        assert (site.state(job), len(site.calls()), site.part(job).not_before) == ("unknown", 1, None)


# -- only --------------------------------------------------------------------------------------------------------------


def test_only_those_are_called(database: Database, driven_clock: DrivenClock) -> None:
    """In whatever case and width they are written; the others are refused, departments among them."""
    with staged(database, driven_clock, only=("ＬＩＳＩ", "tag:3")) as site:
        job = site.ask(Text(content="x"), To(["wangwu", "LiSi"], parties=["7"], tags=["3", "4"]))
        site.run()
        [body] = site.bodies()
        assert (body["touser"], body["totag"], site.state(job)) == ("LiSi", "3", "partial")
        assert not body.get("toparty")
        assert {(row.recipient, row.field) for row in site.of("failures", job)} == {
            ("wangwu", STAGING),
            ("7", STAGING),
            ("4", STAGING),
        }


@pytest.mark.parametrize("switches", [{"only": ("lisi",)}, {"redirect_to": ("lisi",)}])
def test_what_names_nobody_who_is_let_through_is_not_called(
    database: Database, driven_clock: DrivenClock, switches: dict[str, tuple[str, ...]]
) -> None:
    """A broadcast, a chat that is not named, and with `only` others."""
    with staged(database, driven_clock, **switches) as site:
        jobs = [site.ask(Text(content="x"), Everyone()), site.ask(Text(content="x"), AppChat("chat1"))]
        if "only" in switches:
            jobs.append(site.send(to="wangwu"))
        site.run()
        assert [("rejected", NOT_LET_THROUGH)] * len(jobs) == [(site.state(job), site.part(job).reason) for job in jobs]
        assert site.calls() == []
        left_out = [(row.recipient, row.field) for job in jobs for row in site.of("failures", job)]
        assert [(name, STAGING) for name in ("chat1", "wangwu")[: len(jobs) - 1]] == left_out


def test_a_recall_of_what_was_let_through_goes(database: Database, driven_clock: DrivenClock) -> None:
    """It is about a message that was sent."""
    with staged(database, driven_clock, only=("lisi",)) as site:
        job = site.send()
        site.run()
        recall = site.recall(job)
        site.run()
        assert [site.state(job), site.state(recall)] == ["accepted", "accepted"]


def test_who_has_no_room_is_put_off_without_those_who_are_left_out(
    database: Database, driven_clock: DrivenClock
) -> None:
    """A part that is taken apart leaves the same people out in both halves."""
    hr = an_account(staging=Staging(only=("wangwu", "zhaoliu")), limits={"member_minute": 1})
    with planted(database, driven_clock, accounts=[hr]) as site:
        site.send(to="wangwu")
        site.run()
        job = site.send(to=To(["wangwu", "lisi", "zhaoliu"]))
        for _ in range(4):
            site.run()
            site.advance(120)
        assert touser(site) == ["wangwu", "zhaoliu", "wangwu"]
        assert who(site, job, RecipientStatus.REFUSED) == ("lisi",)


def test_a_call_in_doubt_that_was_made_to_others_is_not_repeated(database: Database, driven_clock: DrivenClock) -> None:
    """Its frozen bytes name them. One that was made under the switch is repeated."""
    with staged(database, driven_clock) as site:
        site.vendor.says(lost(), lost())
        live = site.send(to=To(["lisi", "wangwu"]))
        site.run()
        switched(site, only=("lisi",))
        tried = site.send("other", to=To(["lisi", "wangwu"]))
        site.run()
        for _ in range(2):
            site.advance(60)
            site.recover()
            site.run()
        assert (site.state(live), site.state(tried)) == ("unknown", "partial")
        assert IN_DOUBT in site.part(live).reason
        assert touser(site) == ["lisi|wangwu", "lisi", "lisi"]


# -- redirect_to -------------------------------------------------------------------------------------------------------


def test_all_are_called_in_the_person_of_one(database: Database, driven_clock: DrivenClock) -> None:
    """Those who were asked are told as not reached; retries and recalls go as ever."""
    with staged(database, driven_clock, redirect_to=("tester", "chat:room")) as site:
        site.vendor.says(busy())
        job = site.ask(Text(content="x"), To(["lisi", "wangwu"], parties=["7"]))
        for _ in range(3):
            site.run()
            site.advance(60)
        chat = site.ask(Text(content="x"), AppChat("chat1"))
        site.run()
        assert touser(site) == ["tester", "tester"]
        assert [body["chatid"] for body in site.bodies("/cgi-bin/appchat/send")] == ["room"]
        assert [site.state(job), site.state(chat)] == ["partial", "partial"]
        assert set(who(site, job, RecipientStatus.REFUSED)) == {"lisi", "wangwu", "7"}
        recall = site.recall(job)
        site.run()
        assert site.state(recall) == "accepted"


def test_a_repeat_goes_to_the_same_one(database: Database, driven_clock: DrivenClock) -> None:
    """And what the vendor says of him is nobody's failure."""
    with staged(database, driven_clock, redirect_to=("tester",)) as site:
        site.vendor.says(lost(), lambda request: site.vendor.takes(request, invaliduser="tester"))
        job = site.send()
        site.run()
        for _ in range(2):
            site.advance(60)
            site.recover()
            site.run()
        assert (touser(site), site.state(job)) == (["tester", "tester"], "partial")
        assert who(site, job, RecipientStatus.REFUSED) == ("lisi",)
        assert [row.recipient for row in site.of("failures", job)] == ["lisi"]


@pytest.mark.fewer_databases("no database is asked")
def test_the_share_of_a_part_stays_its_own() -> None:
    """Whatever of it goes on: a page, a call that a vendor asks for again."""
    share = {"users": ["lisi"], "parties": ["7"], "task_id": "t1"}
    switch = Staging(redirect_to=("tester",))
    instead = switch.substitutes(share)
    spec = redirected(share, instead)
    assert spec == {"users": ["tester"], "task_id": "t1"}
    page = Progress({**spec, "page": 2}, "goes on", refusals=(Refusal("tester", "user", "errmsg"),))
    outcome = outcome_for_all(page, tuple(switch.left_out(share)), instead)
    assert isinstance(outcome, Progress)
    assert ({**share, "page": 2}, ()) == (outcome.spec, outcome.refusals)


@pytest.mark.fewer_databases("no database is asked")
def test_a_group_send_is_put_before_its_sender_too() -> None:
    """So he has to be let through, and another never sends in his place."""
    share = {"sender": "zhangsan", "customers": ["wm1"]}
    assert Staging(only=("customer:wm1",)).refuses(share)
    assert not Staging(only=("customer:wm1", "zhangsan")).refuses(share)
    assert Staging(only=("customer:wm1", "zhangsan")).refuses({"customers": ["wm1"]}), "the vendor chooses who sends"
    assert Staging(redirect_to=("tester",)).refuses(share)
    assert [Refusal("wm1", "customer", STAGING)] == Staging(only=("zhangsan",)).left_out(share)
    assert Staging(only=("lisi",)).refuses({}), "a group robot's chat is known to the vendor alone"


@pytest.mark.fewer_databases("no database is asked")
@pytest.mark.parametrize(
    ("switches", "said"),
    [
        (Staging(dry_run=True, only=("lisi",)), "several switches"),
        (Staging(only=("@all",)), "not a single recipient"),
        (Staging(redirect_to=("user:@all",)), "not a single recipient"),
        (Staging(redirect_to=("a|b",)), "not a single recipient"),
        (Staging(redirect_to=("chats:room",)), "not a single recipient"),
        (Staging(redirect_to=(" a",)), "not a single recipient"),
        (Staging(redirect_to=("chat:",)), "not a single recipient"),
        (Staging(redirect_to=("a", "b")), "at most one"),
        (Staging(redirect_to=("party:7",)), "at most one"),
        (Staging(only=()), None),
        (Staging(redirect_to=("a", "chat:b", "email:c@d")), None),
    ],
)
def test_switches_that_contradict_each_other_are_refused(switches: Staging, said: str | None) -> None:
    """With what to write instead."""
    problem = staging_problem(switches)
    assert (problem is None) if said is None else (problem is not None and said in problem)


@pytest.mark.fewer_databases("no database is asked")
def test_what_is_on_is_told_in_a_few_words() -> None:
    """Without a name of anybody."""
    on = Staging(only=("lisi",))
    assert staging_summary(FixedAccounts([an_account(staging=on)])) == "only 1 recipient"
    assert staging_summary(FixedAccounts([an_account(staging=on), an_account("it")])) == "hr only 1 recipient"
    assert staging_summary(FixedAccounts([an_account()])) == ""
    many = [an_account(f"a{n}", staging=Staging(dry_run=True)) for n in range(7)]
    assert staging_summary(FixedAccounts([*many, an_account()])).endswith("a4 dry_run, and 2 more")


def test_what_was_left_out_stays_so_when_the_switch_is_off(database: Database, driven_clock: DrivenClock) -> None:
    """Its mark has told so; the reason says what to do."""
    with staged(database, driven_clock, redirect_to=("tester",)) as site:
        site.vendor.says(busy())
        job = site.send()
        site.run()
        switched(site)
        site.advance(60)
        site.run()
        assert (site.state(job), site.part(job).reason) == ("rejected", ALL_LEFT_OUT)
        again = site.replay(job)
        site.run()
        assert (site.state(again), touser(site)) == ("accepted", ["tester", "lisi"])


def test_what_the_vendor_says_of_the_one_in_place_of_others_is_no_failure(
    database: Database, driven_clock: DrivenClock
) -> None:
    """Also where it refuses the whole call for him."""
    with staged(database, driven_clock, redirect_to=("tester",)) as site:
        site.vendor.says(refused(81013, "user & party & tag all invalid", invaliduser="tester"))
        job = site.send(to=To(["lisi", "wangwu"]))
        site.run()
        assert (
            site.state(job),
            sorted(row.recipient for row in site.of("failures", job)),
        ) == ("rejected", ["lisi", "wangwu"])


def test_members_of_a_group_that_is_let_through_go_with_it(database: Database, driven_clock: DrivenClock) -> None:
    """The call is not taken apart for a member without room: one by one they are in no list."""
    hr = an_account(staging=Staging(only=("party:7", "a1")), limits={"member_minute": 1})
    with planted(database, driven_clock, accounts=[hr], resolver=lambda *_: ["a1", "b1", "c1"]) as site:
        site.send(to="a1")
        site.run()
        job = site.ask(Text(content="x"), To(parties=["7"]))
        for _ in range(3):
            site.run()
            site.advance(120)
        assert (touser(site), site.state(job)) == (["a1", ""], "accepted")
        assert site.of("failures", job) == []


def test_a_paused_job_stays_paused_in_a_dry_run(database: Database, driven_clock: DrivenClock) -> None:
    """Nothing would be called, so nothing ends."""
    with staged(database, driven_clock, dry_run=True) as site:
        job, quiet = site.send(), site.send(quiet_hours="00:00-23:59 UTC")
        pause_jobs([job], person="li", why="", database=site.database)
        site.ring(job, quiet)
        assert [site.state(one) for one in (job, quiet)] == ["queued", "queued"]
        resume_jobs([job], person="li", why="", database=site.database)
        site.recover()
        site.ring(job)
        assert site.state(job) == "cancelled"
