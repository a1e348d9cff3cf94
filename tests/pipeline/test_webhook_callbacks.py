"""A webhook's callbacks, sealed by the simulated vendor, through a real receiver: chats, clicks, what members allow."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text as sql
from structlog.testing import capture_logs

from tests.pipeline.webhook_site import AES_KEY, KEY, SEND, TOKEN, a_webhook, made, posted, webhooks
from tests.support.control import control
from tests.support.listening import listening
from tests.support.runtime import Site
from tests.support.waiting import until_waiting
from worker import Chats, FixedAccounts, Secret
from worker.channels.registry import channel
from worker.channels.wecom_webhook import Action, Attachment, Markdown, Text
from worker.config.settings import Settings
from worker.domain.callbacks.hook import CardPressed
from worker.domain.callbacks.inbound import ChatChange, ChatNews, Inbound
from worker.domain.job import part_id
from worker.domain.outcome import Retry, Verdict
from worker.domain.pacing.lane import LaneBlock
from worker.domain.settle import Policy
from worker.hooks.callbacks import CallbackStore
from worker.hooks.runs import hook_event_of
from worker.outbox.commit.commands import CallEnd, Effects, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs import chats
from worker.outbox.jobs.chats import REMOVED, USED_UP, AllowanceUse, allowance_block
from worker.outbox.jobs.events import claim_event
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.upkeep.emptying import delete_single_chats
from worker.service.web.receiver import Receiver
from worker_simulator.server import running

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

PATH = "/callback/alerts"


@dataclass
class Room:
    """A runtime, its vendor, and a receiver that the vendor calls."""

    site: Site
    url: str

    def happens(self, act: str, chat: str, **more: Any) -> None:
        """Something the vendor tells; returns once it was taken."""
        before = len(control(self.url, "callbacks")["callbacks"])
        control(self.url, "webhook", {"act": act, "key": KEY, "chat": chat, **more})
        deadline = time.monotonic() + 10
        while control(self.url, "callbacks")["callbacks"][before]["state"] == "open":
            assert time.monotonic() < deadline, "the callback was not delivered"
        assert control(self.url, "callbacks")["callbacks"][before]["state"] == "taken"

    def ask(self, message: Any, *to: str) -> str:
        return self.site.ask(message, Chats(*to), account="alerts")

    def chats(self, **wanted: Any) -> list[tuple[str, str, int]]:
        with self.site.database.reading() as connection:
            found = chats.list_chats(connection, "alerts", limit=100, **wanted)
        return sorted((row["chat_id"], row["chat_type"], row["allowance"]) for row in found)


@pytest.fixture
def room(database: Database, driven_clock: DrivenClock, request: pytest.FixtureRequest) -> Iterator[Room]:
    """With callbacks of either form, XML and JSON: as a test asks, else as goes with the database."""
    form = getattr(request, "param", "json" if database.dialect.name == "postgresql" else "xml")
    driven_clock.micros = time.time_ns() // 1000
    door = channel("wecom_webhook").callback_verifier(a_webhook(""), {"token": TOKEN, "aes_key": AES_KEY}, 300)
    receiver = Receiver(
        {"alerts": door}.get,
        CallbackStore(database, Settings(hooks="shop.hooks"), FixedAccounts([a_webhook("")])).store,
    )
    with listening(receiver.app) as address, running() as url:
        key = {
            "key": KEY,
            "scope": ["known.*"],
            "callback_url": f"{address}{PATH}?robot_callback_format={form}",
            "callback_token": TOKEN,
            "callback_aes_key": AES_KEY,
        }
        control(url, "reset", {"settings": {"webhook": {"keys": [key]}, "callbacks": {"verify_s": 60.0}}})
        account = a_webhook(url, settings={"subscribed": False})
        with webhooks(database, driven_clock, account) as site:
            yield Room(site, url)


EACH_FORM = pytest.mark.parametrize("room", ["xml", "json"], indirect=True)


def test_the_address_is_verified(room: Room) -> None:
    """With an envelope whose receiver is nobody."""
    room.happens("verify", "")

    assert [one["state"] for one in control(room.url, "callbacks")["callbacks"]] == ["taken"]


@pytest.mark.every_database
@EACH_FORM
def test_chats_are_collected(room: Room) -> None:
    """Groups, single chats and blackboards, each once; one that is left again is listed only if asked for."""
    for act, chat in (
        ("add", "wr-1"),
        ("message", "wr-1"),
        ("message", "wozhang"),
        ("message", "bb1"),
        ("add", "wr-2"),
    ):
        room.happens(act, chat, person="zhang")
    room.happens("delete", "wr-2")

    here = [("bb1", "blackboard", 0), ("wozhang", "single", 3), ("wr-1", "group", 0)]
    assert here == room.chats()
    assert [*here, ("wr-2", "group", 0)] == room.chats(gone=True)
    assert [row.person for row in room.site.rows("select person from worker_chats where person is not null")] == [
        "zhang"
    ]


@pytest.mark.every_database
@EACH_FORM
def test_a_click_reaches_the_hook_under_the_callers_own_name(room: Room) -> None:
    """Found by the part id on the wire; what the hook hears is the caller's callback_id, the button and its value."""
    actions = [Action(name=name, text=name, value=f"v-{name}", replace_text="ok") for name in ("yes", "no")]
    mine = Attachment(callback_id="leave-7", actions=actions[:1])
    job = room.ask(Markdown(content="go?", attachments=[mine, Attachment(actions=actions[1:])]), "wr-0", "wr-1")
    room.site.run()
    room.happens("click", "wr-1", person="LiSi", name="yes")
    room.happens("click", "wr-1", person="wang", name="no")

    first, second = (heard(room, row.id) for row in room.site.rows("select id from worker_events order by id"))
    assert (job, part_id(job, 1), "LiSi", "yes", {"yes": ("v-yes",)}, "leave-7", "attachment") == told(first)
    assert (job, part_id(job, 1), "wang", "no", {"no": ("v-no",)}, f"w{part_id(job, 1)}", "attachment") == told(second)
    assert first.account == "alerts"


def heard(room: Room, event: str) -> CardPressed:
    with room.site.database.writing() as connection:
        claimed = claim_event(connection, room.site.database.now, event, "holder")
    assert claimed is not None
    found = hook_event_of(claimed)
    assert isinstance(found, CardPressed)
    return found


def told(one: CardPressed) -> tuple[Any, ...]:
    return one.job_id, one.part_id, one.person, one.button, one.selected, one.task_id, one.card_type


@EACH_FORM
def test_the_key_is_kept_nowhere(room: Room) -> None:
    """Every callback carries it in its address; neither a row nor a log line does."""
    with capture_logs() as lines:
        room.happens("message", "wr-1", text=f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={KEY}")
        room.happens("enter_chat", "wozhang", person="zhang")

    rows = room.site.rows("select * from worker_inbound") + room.site.rows("select * from worker_chats")
    assert len(rows) == 4
    assert KEY not in str(rows) + str(lines)
    assert "***" in rows[0].payload
    assert "code=" not in "".join(row.payload for row in rows[:2])
    assert {line["outcome"] for line in lines if line["event"] == "callback"} == {"stored"}


def test_a_chat_we_were_taken_out_of_waits_until_we_are_back(room: Room) -> None:
    """Its lane is parked with reason and remedy for an hour; others go on; a return sends what waited."""
    room.happens("add", "wr-1")
    room.happens("delete", "wr-1")
    parked, other = room.ask(Text(content="a"), "wr-1"), room.ask(Text(content="b"), "wr-2")
    room.site.run()
    room.site.advance(3_590)
    room.site.run()
    states = (room.site.state(parked), room.site.state(other), len(made(room.url)))
    block = room.site.lane(room.site.part(parked).lane)
    room.happens("add", "wr-1")
    room.site.run()

    assert states == ("queued", "accepted", 1)
    assert block is not None
    assert (block.reason, bool(block.parked)) == ("it was taken out of this chat", True)
    assert "add it to the chat again" in block.remedy
    assert room.site.state(parked) == "accepted"


@pytest.mark.parametrize(("errcode", "ends"), [(0, "accepted"), (93008, "rejected")])
def test_after_an_hour_one_message_asks_the_vendor(room: Room, errcode: int, ends: str) -> None:
    """Its word counts: the callback may have been late, our return's may have been lost; or it still refuses."""
    room.happens("add", "wr-1")
    room.happens("delete", "wr-1")
    jobs = [room.ask(Text(content=f"n{n}"), "wr-1") for n in range(3)]
    room.site.run()
    if errcode:
        control(room.url, "faults", {"match": {"path": SEND}, "action": {"answer": {"errcode": errcode}}, "times": 3})

    room.site.advance(3_601)
    room.site.run()
    room.site.run()

    assert [ends] * 3 == [room.site.state(job) for job in jobs]


def told_of(change: ChatChange, happened_at: int) -> Inbound:
    """News of a chat that happened then, whenever they come."""
    news = ChatNews("wr-1", "group", change, lanes=("send/chat/wr-1",))
    return Inbound(f"event:{change}", "", happened_at, (change, str(happened_at)), {}, chat=news)


LATE = [(ChatChange.ADDED, ChatChange.GONE), (ChatChange.GONE, ChatChange.SEEN)]


@pytest.mark.parametrize(("newer", "late"), LATE)
def test_news_that_come_late_change_nothing(database: Database, newer: ChatChange, late: ChatChange) -> None:
    """The first delivery was answered with 503, the vendor repeated it after what happened later: the later stands."""
    receiving = CallbackStore(database, Settings(), FixedAccounts([a_webhook("http://vendor")]))
    receiving.store("alerts", told_of(newer, 1_002))
    before = everything_of_chats(database)

    receiving.store("alerts", told_of(late, 1_001))

    assert before == everything_of_chats(database)


@pytest.mark.every_database
@pytest.mark.parametrize(("first", "second"), LATE)
def test_news_of_one_second_count_as_they_come(database: Database, first: ChatChange, second: ChatChange) -> None:
    """The vendor tells whole seconds."""
    receiving = CallbackStore(database, Settings(), FixedAccounts([a_webhook("http://vendor")]))

    for change in (first, second):
        receiving.store("alerts", told_of(change, 1_001))

    [[chat], lanes] = everything_of_chats(database)
    is_gone = second is ChatChange.GONE
    assert (is_gone, is_gone) == (chat["gone_at"] is not None, any(lane["parked"] for lane in lanes))


def everything_of_chats(database: Database) -> list[list[dict[str, Any]]]:
    with database.reading() as connection:
        found = [connection.execute(sql(f"select * from {name}")) for name in ("worker_chats", "worker_lanes")]
        return [[dict(row) for row in rows.mappings()] for rows in found]


def test_a_message_that_comes_late_allows_nothing_anew(room: Room) -> None:
    """What the member's newer word allowed is spent already."""
    room.happens("enter_chat", "wozhang", person="zhang")
    for n in range(2):
        room.ask(Text(content=f"n{n}"), "wozhang")
    room.site.run()

    CallbackStore(room.site.database, Settings(), room.site.accounts).store("alerts", spoken("m1"))

    assert room.chats() == [("wozhang", "single", 1)]


def test_what_callbacks_do_to_a_lane_is_an_event(room: Room) -> None:
    """Opened by a member who spoke, parked by our leaving, opened by our return; it starts with one call."""
    room.happens("enter_chat", "wozhang", person="zhang")
    jobs = [room.ask(Text(content=f"n{n}"), "wozhang") for n in range(4)]
    room.site.run()
    room.happens("message", "wozhang", person="zhang")
    room.happens("add", "wr-1")
    room.happens("delete", "wr-1")
    room.happens("add", "wr-1")
    opened = room.site.lane(room.site.part(jobs[3]).lane)

    events = room.site.rows("select what, reason from worker_lane_events order by id")
    waits, *told = [(row.what, row.reason) for row in events]
    assert waits == ("parked", USED_UP)
    assert told == [("resumed", "the member wrote"), ("parked", REMOVED), ("resumed", "it was added to the chat again")]
    assert opened is not None
    assert (opened.blocked_until, bool(opened.parked), opened.calls) == (0, False, 1)


def test_a_callback_opens_no_lane_that_waits_for_another_reason(room: Room) -> None:
    """Parked by what the vendor said: a member who speaks has not mended it."""
    room.happens("enter_chat", "wozhang", person="zhang")
    job = room.ask(Text(content="n"), "wozhang")
    lane = room.site.part(job).lane
    parking = LaneBlock(lane, "send text", 600.0, "93004 disabled", "enable it", parked=True)
    room.site.database.run(lambda c: change_lanes(c, room.site.database.now, [parking]))

    room.happens("message", "wozhang", person="zhang")
    room.happens("add", "wozhang", person="zhang")

    found = room.site.lane(lane)
    assert found is not None
    assert (found.reason, bool(found.parked)) == ("93004 disabled", True)


@pytest.mark.parametrize("to", ["wozhang", "zhang"])
def test_a_member_outside_the_scope_is_sent_three_messages_each_time_he_speaks(room: Room, to: str) -> None:
    """The fourth waits in its lane, and is sent when he speaks again; the vendor never had to say 93005."""
    room.happens("enter_chat", "wozhang", person="zhang")
    jobs = [room.ask(Text(content=f"n{n}"), to) for n in range(5)]
    room.site.run()
    room.site.advance(86_400)
    room.site.run()
    first = [room.site.state(job) for job in jobs]
    block = room.site.lane(room.site.part(jobs[3]).lane)
    room.happens("message", "wozhang", person="zhang")
    room.site.run()

    assert first == ["accepted"] * 3 + ["queued"] * 2
    assert block is not None
    assert "has to write first" in block.reason
    assert "subscription scope" in block.remedy
    assert [room.site.state(job) for job in jobs] == ["accepted"] * 5
    assert {call["answer"]["errcode"] for call in made(room.url)} == {0}
    assert room.chats() == [("wozhang", "single", 1)]


@pytest.mark.every_database
@pytest.mark.parametrize("to", ["wozhang", "zhang"])
def test_a_member_who_speaks_is_sent_what_waits_in_the_lanes_of_all_tenants(room: Room, to: str) -> None:
    """They share what the chat allows: whose messages wait does not matter."""
    jobs = [
        room.site.ask(Text(content=f"n{n}"), Chats(to), account="alerts", tenant=tenant)
        for n, tenant in enumerate(("sales", "care", None))
    ]
    room.happens("enter_chat", "wozhang", person="zhang")
    room.site.sql("update worker_chats set allowance = 0")
    room.site.run()
    before = {room.site.state(job) for job in jobs}

    room.happens("message", "wozhang", person="zhang")
    room.site.run()

    assert before == {"queued"}
    assert [room.site.state(job) for job in jobs] == ["accepted"] * 3


@pytest.mark.parametrize("to", ["zhang", "wozhang"])
def test_a_member_who_never_spoke_is_waited_for_without_a_call(room: Room, to: str) -> None:
    """Until he speaks, or the job expires; a group that no callback named is sent to at once."""
    callback = {"token": Secret(lambda: TOKEN), "aes_key": Secret(lambda: AES_KEY)}
    room.site.accounts.replace(a_webhook(room.url, settings={"subscribed": False, "callback": callback}))
    job, group = room.ask(Text(content="hello"), to), room.ask(Text(content="hello"), "wr-1")
    late = room.site.ask(Text(content="late"), Chats(to), account="alerts", expires_at=60.0)
    for _ in range(3):
        room.site.run()
        room.site.advance(86_400)
        room.site.recover()
    before = [room.site.state(one) for one in (job, late, group)]
    block = room.site.lane(room.site.part(job).lane)
    calls = len(made(room.url))

    room.happens("enter_chat", "wozhang", person="zhang")
    room.site.run()

    assert (before, calls) == (["queued", "expired", "accepted"], 1)
    assert block is not None
    assert "has to write first" in block.reason
    assert (room.site.state(job), len(made(room.url))) == ("accepted", 2)


@pytest.mark.every_database
def test_what_never_left_uses_up_nothing(room: Room) -> None:
    """A call the vendor was too busy for goes again out of the same allowance."""
    room.happens("enter_chat", "wozhang", person="zhang")
    control(room.url, "faults", {"match": {"nth": 1}, "action": {"answer": {"errcode": -1}}})
    jobs = [room.ask(Text(content=f"n{n}"), "zhang") for n in range(3)]
    for _ in range(3):
        room.site.run()
        room.site.advance(30)

    assert [room.site.state(job) for job in jobs] == ["accepted"] * 3
    assert len(made(room.url)) == 4
    assert room.chats() == [("wozhang", "single", 0)]


def test_a_parked_key_uses_up_nothing(room: Room) -> None:
    """It is probed again and again; once it is put right, the member still gets what he allowed."""
    room.happens("enter_chat", "wozhang", person="zhang")
    control(room.url, "faults", {"match": {"path": SEND}, "action": {"answer": {"errcode": 93000}}, "times": 5})
    jobs = [room.ask(Text(content=f"n{n}"), "wozhang") for n in range(3)]
    for _ in range(8):
        room.site.run()
        room.site.advance(601)
    room.site.run()

    assert [room.site.state(job) for job in jobs] == ["accepted"] * 3
    assert room.chats() == [("wozhang", "single", 0)]


def test_what_is_given_back_is_never_more_than_was_allowed(room: Room) -> None:
    """The member speaks while a call is out that the vendor then refuses: three are allowed, not four."""
    room.happens("enter_chat", "wozhang", person="zhang")
    control(room.url, "faults", {"match": {"path": SEND}, "action": {"answer": {"errcode": -1}}, "times": 1})
    spoke: list[str] = []

    def speak(label: str) -> None:
        if label == "after_mark" and not spoke:
            spoke.append(label)
            room.site.advance(1)
            room.happens("message", "wozhang", person="zhang")

    room.site.runtime.checkpoint = speak
    jobs = [room.ask(Text(content=f"n{n}"), "wozhang") for n in range(4)]
    room.site.ring(jobs[0])

    assert room.chats() == [("wozhang", "single", 3)]
    for _ in range(4):
        room.site.run()
        room.site.advance(60)
    assert sorted(room.site.state(job) for job in jobs) == ["accepted"] * 3 + ["queued"]
    assert {call["answer"]["errcode"] for call in made(room.url)} == {0, -1}


@pytest.mark.every_database
def test_a_userid_in_another_case_waits_for_its_member_and_is_opened_by_him(room: Room) -> None:
    """The vendor spells him its own way; a lane named by the caller's spelling would wait for ever."""
    room.happens("enter_chat", "wozhang", person="zhang")
    jobs = [room.ask(Text(content=f"n{n}"), "Zhang") for n in range(4)]
    room.site.run()
    room.site.advance(3600)
    room.site.run()
    before = [room.site.state(job) for job in jobs]
    room.happens("message", "wozhang", person="ZHANG")
    room.site.run()

    assert before == ["accepted"] * 3 + ["queued"]
    assert [room.site.state(job) for job in jobs] == ["accepted"] * 4
    assert {call["answer"]["errcode"] for call in made(room.url)} == {0}


def test_what_waits_for_a_member_goes_once_the_account_says_he_is_in_the_scope(room: Room) -> None:
    """The remedy the lane names: no callback has to come for it."""
    room.happens("enter_chat", "woknown", person="known1")
    jobs = [room.ask(Text(content=f"n{n}"), "known1") for n in range(5)]
    room.site.run()
    room.site.advance(3600)
    room.site.run()
    before = [room.site.state(job) for job in jobs]
    room.site.accounts.replace(a_webhook(room.url, settings={"subscribed": True}))
    for _ in range(2):
        room.site.advance(601)
        room.site.run()

    assert before == ["accepted"] * 3 + ["queued"] * 2
    assert [room.site.state(job) for job in jobs] == ["accepted"] * 5


def test_a_chat_that_waits_for_its_member_does_not_use_up_the_probe_of_a_parked_key(room: Room) -> None:
    """It has nothing to send: the next chat tries whether the key is right again, not in ten minutes but at once."""
    room.happens("enter_chat", "wozhang", person="zhang")
    jobs = [room.ask(Text(content=f"n{n}"), "wozhang") for n in range(4)]
    room.site.run()
    waits = room.site.part(jobs[3]).lane
    others = (room.ask(Text(content=f"m{n}"), f"wr-{n}") for n in count())
    behind = next(job for job in others if waits < room.site.part(job).lane)  # lanes are hashed with the site's key
    room.site.sql("delete from worker_parts where job_id <> :job and job_id <> :waiting", job=behind, waiting=jobs[3])
    control(room.url, "faults", {"match": {"path": SEND}, "action": {"answer": {"errcode": 93000}}, "times": 1})
    room.site.ring(behind)
    states = []
    for _ in range(2):
        room.site.advance(601)
        room.site.run()
        states.append(room.site.state(behind))

    assert states == ["accepted"] * 2
    assert room.site.state(jobs[3]) == "queued"


def test_a_chat_no_callback_told_of_is_the_vendors_to_judge(room: Room) -> None:
    """A member of the scope never had to speak."""
    job = room.ask(Text(content="hi"), "known1")
    room.site.run()

    assert room.site.state(job) == "accepted"
    assert len(posted(room.url)["known1"]) == 1


@pytest.mark.every_database
@pytest.mark.parametrize(("answer", "closed_s"), [((), 0), ((60.0,), 60)])
def test_an_allowance_that_is_given_back_opens_the_lane(
    database: Database, driven_clock: DrivenClock, answer: tuple[float, ...], closed_s: int
) -> None:
    """Another message found it used up, then the call that had used it was not taken; what its answer blocks stays.

    A message of another tenant, whose lane is another one, may go as well.
    """
    account = a_webhook("http://vendor", settings={"subscribed": False})
    with webhooks(database, driven_clock, account) as site:
        CallbackStore(database, Settings(), site.accounts).store("alerts", spoken("m1"))
        first, second = (part_id(site.ask(Text(content=text), Chats("wozhang"), account="alerts"), 0) for text in "ab")
        site.sql("update worker_chats set allowance = 1")
        (lane, *_) = {row.lane for row in site.rows("select lane from worker_parts")}
        effects = Effects(allowance_use=AllowanceUse("alerts", "wozhang", allowance_block(lane)))
        own_lane = f"{lane}.0123456789ab"
        of_tenant = Effects(allowance_use=AllowanceUse("alerts", "wozhang", allowance_block(own_lane)))
        for part, uses in ((first, effects), (second, effects), (second, of_tenant)):
            commit(database, [Mark(part, 0, "p1", 20_000_000, effects=uses)], Policy())
        parked, waiting = site.lane(lane), site.rows("select lane from worker_lanes where parked = true order by lane")
        changes = tuple(LaneBlock(lane, "chat", seconds, "45009") for seconds in answer)
        end = CallEnd(first, 1, "p1", Verdict(Retry("-1"), -1), 5, effects=effects, lane_changes=changes)
        commit(database, [end], Policy())

        found = site.lane(lane)
        assert parked is not None
        assert found is not None
        assert (bool(parked.parked), bool(found.parked)) == (True, False)
        assert [lane, own_lane] == [row.lane for row in waiting]
        assert site.rows("select lane from worker_lanes where parked = true") == []
        assert closed_s == max(0, found.blocked_until - driven_clock.micros) / 1_000_000


@pytest.mark.fewer_databases("on SQLite one transaction writes at a time")
def test_a_spent_allowance_and_a_callback_meet_in_one_order(server_database: Database) -> None:
    """Whoever is first, the lane is not left waiting for a member who has spoken."""
    with webhooks(server_database, DrivenClock(), a_webhook("http://vendor", settings={"subscribed": False})) as site:
        receiving = CallbackStore(server_database, Settings(), site.accounts)
        receiving.store("alerts", spoken("m1"))
        job = site.ask(Text(content="x"), Chats("wozhang"), account="alerts")
        site.sql("update worker_chats set allowance = 0")
        lane = site.part(job).lane
        spending = AllowanceUse("alerts", "wozhang", allowance_block(lane))
        mark = Mark(part_id(job, 0), 0, "p1", 20_000_000, effects=Effects(allowance_use=spending))
        threads = [
            threading.Thread(target=lambda: commit(server_database, [mark], Policy())),
            threading.Thread(target=lambda: receiving.store("alerts", spoken("m2"))),
        ]
        with server_database.writing() as holder:
            holder.execute(sql("select account from worker_chats for update"))
            for n, thread in enumerate(threads, start=1):
                thread.start()
                until_waiting(server_database, n)
        for thread in threads:
            thread.join(120)

        blocked, left = site.lane(lane), site.rows("select allowance from worker_chats")[0].allowance
        assert (site.state(job), left) in (("queued", 3), ("sending", 2))
        assert blocked is None or (blocked.blocked_until, bool(blocked.parked)) == (0, False)


@pytest.mark.fewer_databases("on SQLite one transaction writes at a time")
def test_a_callback_that_waited_for_a_mark_counts_as_later(server_database: Database) -> None:
    """It allows three messages anew; the one that was marked meanwhile, and never left, is not added to them."""
    with webhooks(server_database, DrivenClock(), a_webhook("http://vendor", settings={"subscribed": False})) as site:
        receiving = CallbackStore(server_database, Settings(), site.accounts)
        receiving.store("alerts", spoken("m1"))
        use = AllowanceUse("alerts", "wozhang", allowance_block("alerts:0123"))
        waiting = threading.Thread(target=lambda: receiving.store("alerts", spoken("m2")))
        with server_database.writing() as connection:
            connection.execute(sql("select account from worker_chats for update"))
            waiting.start()
            until_waiting(server_database, 1)
            marked_at = server_database.read_now()
            chats.take_from_allowance(connection, use)
        waiting.join(120)
        with server_database.writing() as connection:
            chats.return_to_allowance(connection, use, marked_at)

        assert [row.allowance for row in site.rows("select allowance from worker_chats")] == [3]


@pytest.mark.fewer_databases("on SQLite one transaction writes at a time")
def test_a_chat_that_is_erased_while_a_message_is_marked_is_one_that_nobody_reported(
    server_database: Database,
) -> None:
    """The vendor decides about its message. An error here would end the process, with the answers of its calls."""
    with webhooks(server_database, DrivenClock(), a_webhook("http://vendor", settings={"subscribed": False})) as site:
        receiving = CallbackStore(server_database, Settings(), site.accounts)
        receiving.store("alerts", spoken("m1"))
        use = AllowanceUse("alerts", "wozhang", allowance_block("alerts:0123"))
        with ThreadPoolExecutor(1) as pool:
            with server_database.writing() as connection:
                delete_single_chats(connection, "zhang")
                marking = pool.submit(server_database.run, lambda c: chats.take_from_allowance(c, use))
                until_waiting(server_database)

            assert marking.result(120)


def spoken(msgid: str) -> Inbound:
    news = ChatNews("wozhang", "single", ChatChange.SEEN, "zhang", 3, ("send/chat/wozhang", "send/chat/zhang"))
    return Inbound("message:text", "zhang", 1, ("message", msgid), {}, chat=news)
