"""Members of departments and tags whom the application names: counted like named users, and not dropped in silence."""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

import worker
from rig.stack import LIMIT_S, until
from tests.support.runtime import Site, Ticks, an_account, planted
from worker import Everyone, Recipients, To
from worker.delivery.resolver.members import COOLDOWN_S, MAX_CALLS, Members
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.reporting.recipient_status import RecipientStatus

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

MINUTE = 30
PEOPLE = {"12": ["Anna", "bert"], "13": ["carl"], "@all": ["anna", "bert", "carl"]}
TAGS = {"4": ["dora"]}


def told(account: str, parties: Sequence[str], tags: Sequence[str]) -> list[str] | None:
    """What the application knows: two departments, a tag and everybody."""
    found = [PEOPLE.get(party) for party in parties] + [TAGS.get(tag) for tag in tags]
    return None if None in found else [one for members in found for one in members or ()]


Runtime = Callable[..., Site]


@pytest.fixture
def runtime(database: Database, driven_clock: DrivenClock) -> Iterator[Runtime]:
    """A site whose accounts allow broadcasts, with the resolver that is asked for."""
    made: list[Any] = []

    def make(resolver: Any = told, **options: Any) -> Site:
        account = an_account(allow_everyone=True, **options)
        made.append(planted(database, driven_clock, accounts=[account], resolver=resolver))
        site: Site = made[-1].__enter__()
        return site

    yield make
    for one in made:
        one.__exit__(None, None, None)


def fill(site: Site, *members: str) -> None:
    """These members have had all that they may get in a minute."""
    site.ring(*[site.send(f"fill {n}", To(list(members))) for n in range(MINUTE)])


def addressed(site: Site, content: str) -> list[dict[str, str]]:
    """Whom each call with a text was for."""
    fields = ("touser", "toparty", "totag")
    bodies = [body for body in site.bodies() if body["text"]["content"] == content]
    return [{name: body[name] for name in fields if name in body} for body in bodies]


def by_status(site: Site, job: str) -> dict[RecipientStatus, tuple[str, ...]]:
    """Who stands where; nobody is left out."""
    with site.database.reading() as connection:
        counts = worker.get_job(connection, job).counts
        stands = {status: tuple(worker.recipients(connection, job, status)) for status in RecipientStatus}
    total = counts.accepted + counts.refused + counts.unknown + counts.never_sent + counts.waiting
    assert counts.asked == total
    return {status: who for status, who in stands.items() if who}


def test_a_department_with_room_is_one_call_to_the_department(runtime: Runtime) -> None:
    """The vendor knows best who is in it."""
    site = runtime()

    site.ring(job := site.send("news", To(parties=[12], tags=[4])))

    assert addressed(site, "news") == [{"toparty": "12", "totag": "4"}]
    assert by_status(site, job) == {RecipientStatus.ACCEPTED: ("12", "4")}


@pytest.mark.parametrize("people", [To(parties=[12]), To("anna", parties=[13]), Everyone()])
def test_what_reaches_a_member_through_a_department_counts_for_him(runtime: Runtime, people: Recipients) -> None:
    """Thirty of these, and one more to him by name waits; to somebody else it goes."""
    site = runtime()
    site.ring(*[site.send(f"news {n}", people) for n in range(MINUTE)])

    calls = site.ring(job := site.send("one more", "ANNA")) + site.ring(site.send("one more", "emil"))

    assert (calls, site.state(job)) == (1, "queued")


def test_members_with_room_get_it_now_by_name_and_the_others_later(runtime: Runtime) -> None:
    """Nobody twice, nobody never; the department is accepted when the last of them has it."""
    site = runtime()
    fill(site, "anna")
    job = site.send("news", To("emil|BERT", parties=[12], tags=[4]))

    site.ring(job)

    assert addressed(site, "news") == [{"touser": "emil|BERT|dora"}]
    assert by_status(site, job) == {RecipientStatus.ACCEPTED: ("emil", "BERT"), RecipientStatus.WAITING: ("12", "4")}
    site.advance(61)
    site.ring(job)
    assert addressed(site, "news")[1:] == [{"touser": "Anna"}]
    assert by_status(site, job) == {RecipientStatus.ACCEPTED: ("emil", "BERT", "12", "4")}
    assert site.job(job).state == "accepted"


def test_everybody_is_sent_to_by_name_where_one_has_no_room(runtime: Runtime) -> None:
    """A broadcast is asked for as the department `@all`."""
    site = runtime()
    fill(site, "carl")

    site.ring(job := site.send("news", Everyone()))

    assert addressed(site, "news") == [{"touser": "anna|bert"}]
    assert by_status(site, job) == {RecipientStatus.WAITING: ("@all",)}


def test_a_member_the_vendor_refuses_by_name_is_a_failure_of_his_own(runtime: Runtime) -> None:
    """The department was sent to all the same; asked for again as refused, it would reach the others twice."""
    site = runtime()
    fill(site, "anna")
    job = site.send("news", To(parties=[12]))
    site.ring(job)
    site.advance(61)
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="anna"))

    site.ring(job)

    assert by_status(site, job) == {RecipientStatus.ACCEPTED: ("12",)}
    assert [failure.recipient for failure in site.of("failures", job)] == ["Anna"]


@pytest.mark.parametrize("options", [{"order_key": "k"}, {}])
def test_what_cannot_be_taken_apart_waits_whole(runtime: Runtime, options: dict[str, Any]) -> None:
    """In its place in a line, or with more members than one call names: as a department, when all have room."""
    crowd = ["anna", *(f"u{n}" for n in range(1 if options else 1_000))]
    site = runtime(lambda account, parties, tags: crowd)
    fill(site, "anna")
    job = site.send("news", To(parties=[12]), **options)

    site.ring(job)

    assert (addressed(site, "news"), site.part(job).reason) == ([], "limit member_minute is used up")
    site.advance(61)
    site.ring(job)
    assert addressed(site, "news") == [{"toparty": "12"}]


def _raises(*_: Any) -> list[str]:
    raise RuntimeError("canary-person cannot be looked up")


def _cancelled(*_: Any) -> list[str]:
    raise CancelledError


UNKNOWN: dict[str, Any] = {
    "none given": None,
    "unknown": lambda *_: None,
    "nobody": lambda *_: [],
    "raises": _raises,
    "is cancelled": _cancelled,
    "a text": lambda *_: "canary-person",
    "everybody": lambda *_: ["canary-person", "@all"],
    "no names": lambda *_: [1, 2],
    "two in one": lambda *_: ["canary|person"],
}


@pytest.mark.parametrize("resolver", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_without_a_usable_word_the_estimate_is_used(runtime: Runtime, resolver: Any) -> None:
    """The job is sent as it was asked, counted as the account says, and no recipient is logged."""
    site = runtime(resolver, settings={"estimates": {"party": 7}, "account_cap": 1})

    with capture_logs() as logs:
        site.ring(job := site.send("news", To(parties=[12])))

    assert addressed(site, "news") == [{"toparty": "12"}]
    assert site.state(job) == "accepted"
    assert "canary" not in str(logs)
    assert sum(site.units_used()) == 7


# -- what is asked, and how often --------------------------------------------------------------------------------------


class Asked:
    """A resolver that counts, and waits until it is let go."""

    def __init__(self) -> None:
        self.questions: list[tuple[Any, ...]] = []
        self.go = threading.Event()
        self.go.set()
        self.fails = False

    def __call__(self, *question: Any) -> list[str]:
        self.questions.append(question)
        assert self.go.wait(120)
        if self.fails:
            raise RuntimeError
        return ["anna", "ANNA", "bert"]


@pytest.fixture
def asked() -> Iterator[Asked]:
    made = Asked()
    yield made
    made.go.set()


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def members(asked: Asked, ticks: Ticks) -> Members:
    return Members(asked, valid_s=300, deadline_s=LIMIT_S, monotonic=ticks)


@pytest.fixture
def impatient(asked: Asked, ticks: Ticks) -> Members:
    """Waits for an answer that it does not get, which a test holds back."""
    asked.go.clear()
    return Members(asked, valid_s=300, deadline_s=0.05, monotonic=ticks)


GROUPS = {"parties": ["2", "12"], "tags": ["4"]}


def test_an_answer_is_remembered_for_a_while(members: Members, asked: Asked, ticks: Ticks) -> None:
    """By account and all of the groups; then the application is asked again."""
    found = [members.of("hr", GROUPS), members.of("hr", {**GROUPS, "parties": ["12", "2"]})]
    ticks.advance(300)
    members.of("hr", GROUPS)
    members.of("it", GROUPS)

    assert found == [("ANNA", "bert")] * 2
    assert asked.questions == [("hr", ("12", "2"), ("4",))] * 2 + [("it", ("12", "2"), ("4",))]


def test_named_users_are_no_question(members: Members, asked: Asked) -> None:
    """Nor is a part without anybody."""
    assert (members.of("hr", {"users": ["anna"]}), members.of("hr", {})) == (None, None)
    assert asked.questions == []


def test_one_that_fails_is_left_alone_for_a_while(members: Members, asked: Asked, ticks: Ticks) -> None:
    """Else every part would ask it once more."""
    asked.fails = True
    first = [members.of("hr", GROUPS), members.of("hr", {"parties": ["7"]})]
    asked.fails = False
    ticks.advance(COOLDOWN_S)

    assert (first, len(asked.questions)) == ([None, None], 1)
    assert members.of("hr", GROUPS) == ("ANNA", "bert")


def test_one_that_is_slow_is_waited_for_a_little(impatient: Members, asked: Asked) -> None:
    """Its answer is kept when it comes, and then it may be asked again at once."""
    with capture_logs() as logs:
        assert impatient.of("hr", GROUPS) is None
    assert [line["error"] for line in logs] == ["too slow"]

    asked.go.set()
    until(lambda: "members" not in [thread.name for thread in threading.enumerate()], "its thread has written it down")

    assert (impatient.of("hr", GROUPS), len(asked.questions)) == (("ANNA", "bert"), 1)
    impatient.of("it", GROUPS)
    until(lambda: 2 == len(asked.questions), "it is asked again")


def test_one_that_hangs_holds_a_few_threads_and_no_more(impatient: Members, asked: Asked, ticks: Ticks) -> None:
    """Parts go by the estimates meanwhile."""
    for n in range(MAX_CALLS + 3):
        assert impatient.of("hr", {"parties": [str(n)]}) is None
        ticks.advance(COOLDOWN_S)
    until(lambda: len(asked.questions) >= MAX_CALLS, "each thread has begun")

    assert len(asked.questions) == MAX_CALLS
