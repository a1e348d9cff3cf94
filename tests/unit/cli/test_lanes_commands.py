"""`worker lanes` and `worker resume`: what stands in the way, for people and for scripts, and a hand that lifts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from worker.cli.lists.lanes import lanes
from worker.control.lift import lift
from worker.domain.errors import UnknownAccount, WorkerError
from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import LaneBlock, SlowStart
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.lanes.tokens import TokenKey
from worker.outbox.tables import tokens

IP = "add the IP (the vendor sees 203.0.113.7)"


@pytest.fixture
def outbox(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("WORKER_DATABASE", sqlite_url)
    database = Database(make_engine(sqlite_url))
    yield database
    database.close()


def write(database: Database, *blocks: LaneBlock) -> None:
    database.run(lambda connection: change_lanes(connection, database.now, blocks))


def parking(lane: str = "hr") -> LaneBlock:
    return LaneBlock(lane, "hr", 600.0, "60020 the caller's IP is not trusted", IP, parked=True, hint="h1")


def listed(**options: Any) -> list[str]:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for room in ("worker.cli.lists.lanes", "worker.cli.reading"):
            patch.setattr(f"{room}.echo", said.append)
        lanes(**{"account": None, "as_json": False, **options})
    return said


def as_json(account: str | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(listed(account=account, as_json=True)[0])
    return found


def test_what_stands_is_told_with_reason_and_remedy(outbox: Database) -> None:
    """Since when, until when, why, what to do, and the hint for the vendor's support."""
    write(outbox, parking())

    [said] = listed()

    assert said.startswith("hr  hr  parked since 20")
    after = "then `worker resume hr`, or wait for the next probe"
    for words in ("next probe at 20", "why: 60020", f"remedy: {IP}; {after}", "hint for the vendor's support: h1"):
        assert words in said


def test_a_parked_lane_has_a_next_probe_and_no_end(
    outbox: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not free when the probe is due; only a block says until. In the list, in the events, in both languages."""
    write(outbox, parking(), LaneBlock("it:1", "send text", 60.0, "45009", penalty=Penalty.FREQUENCY))

    parked, blocked = listed()
    listed(events=True, limit=10)
    blocking, parking_event = capsys.readouterr().out.splitlines()[1:]
    monkeypatch.setenv("WORKER_LANG", "zh")
    chinese = listed()[0]

    assert ", next probe at 20" in parked
    assert ", until 20" not in parked
    assert ", until 20" in blocked
    assert ", next probe at 20" in parking_event
    assert ", until 20" in blocking
    assert "，下次试探 20" in chinese


def test_a_parked_lane_whose_probe_is_due_says_what_it_waits_for(
    outbox: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays parked until something is enqueued: there is no instant to name, and the sentence ends all the same."""
    write(outbox, replace(parking(), delay=0.0))

    [said] = listed()
    monkeypatch.setenv("WORKER_LANG", "zh")
    [chinese] = listed()

    assert ", the next job probes\n" in said
    assert "，由下一个任务试探\n" in chinese


def test_every_state_has_its_word(outbox: Database) -> None:
    """Parked, blocked, an open breaker, narrowed, starting; by account, as JSON."""
    write(
        outbox,
        parking("hr:1"),
        LaneBlock("hr:2", "send text", 60.0, "45009", penalty=Penalty.FREQUENCY),
        LaneBlock("hr:3", "send text", 0.0, "45035", penalty=Penalty.SERIAL),
        *[LaneBlock("it", "it", 0.0, "read_timeout", failed=True)] * 5,
        LaneBlock("it:1", "send text", 0.0, "read_timeout", failed=True),
    )
    outbox.run(lambda connection: change_lanes(connection, outbox.now, [SlowStart("hr:4")]))

    mine, others = as_json("hr"), as_json("it")

    assert [lane["state"] for lane in mine] == ["parked", "blocked", "narrowed", "starting"]
    assert [lane["state"] for lane in others] == ["breaker open", "watched"]
    assert mine[1]["struck"] == 1
    assert mine[2]["calls"] == 1
    assert others[0]["failures"] == 5
    assert all("in flight at most" in line for line in listed(account="hr")[1:])


def test_a_breaker_whose_block_is_over_tries(outbox: Database) -> None:
    """Half-open: the next call tells."""
    write(outbox, *[LaneBlock("it", "it", 0.0, "read_timeout", failed=True)] * 5)
    with outbox.writing() as connection:
        connection.exec_driver_sql("update worker_lanes set blocked_until = 1")

    assert [lane["state"] for lane in as_json()] == ["breaker half-open"]


def test_nothing_is_said_in_a_sentence(outbox: Database) -> None:
    """No lanes, no events."""
    assert listed() == ["nothing is paused, blocked, parked or slowed down"]
    assert listed(events=True, limit=5) == ["no events"]


def test_an_account_that_does_not_exist_is_said_to_be_none(outbox: Database) -> None:
    """But what is left of one that is gone is listed."""
    write(outbox, parking())

    with pytest.raises(UnknownAccount, match="account 'nope' does not exist"):
        listed(account="nope")
    assert len(listed(account="hr")) == 1


def test_a_person_resumes_an_account_with_all_of_its_lanes(
    outbox: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each starts with one call in flight; another account's stay as they are; both steps are events."""
    write(outbox, parking(), parking("hr:1"), LaneBlock("it", "it", 60.0, "45009"))

    done = lift("hr", person="ops", database=outbox)
    listed(events=True, account="hr", limit=10)
    events = capsys.readouterr().out.splitlines()
    raw = listed(events=True, limit=1, as_json=True)

    assert [*done.notes.values()] == ["hr starts with one call in flight", "hr:1 starts with one call in flight"]
    assert [(lane["lane"], lane["state"]) for lane in as_json()] == [
        ("hr", "starting"),
        ("hr:1", "starting"),
        ("it", "blocked"),
    ]
    assert [sum(word in line for line in events) for word in (" resumed  a person", " parked   60020")] == [2, 2]
    assert json.loads(raw[0])[0]["what"] == "resumed"


def test_a_lane_that_starts_says_since_when_and_no_reason_that_is_over(outbox: Database) -> None:
    """What was wrong is mended: its reason, remedy and hint stand in the lane's events alone."""
    write(outbox, parking())
    outbox.run(lambda connection: change_lanes(connection, outbox.now, [SlowStart("it:4")]))

    lift("hr", person="ops", database=outbox)
    said = listed()

    assert [line[:25] for line in said] == ["hr  hr  starting since 20", "it:4    starting since 20"]
    assert not any(word in line for line in said for word in ("why:", "remedy:", "hint", "since -"))


def test_one_lane_is_resumed_by_its_key(outbox: Database) -> None:
    """Its account's other lanes stay parked."""
    write(outbox, parking("hr:1"), parking("hr:2"))

    lift("hr:1", person="ops", database=outbox)

    assert [(lane["lane"], lane["state"]) for lane in as_json()] == [("hr:1", "starting"), ("hr:2", "parked")]


def test_what_is_not_blocked_cannot_be_resumed(outbox: Database) -> None:
    """One sentence that names the command which lists what is."""
    with pytest.raises(WorkerError, match="nothing of 'nobody' is blocked or parked; `worker lanes` lists what is"):
        lift("nobody", person="ops", database=outbox)


def test_resuming_an_account_tries_a_refused_secret_at_once(outbox: Database) -> None:
    """The operator has set the secret right: nobody waits for the next knock."""
    key = TokenKey("hr", "f1")
    with outbox.writing() as connection:
        connection.execute(tokens.insert(), [key.bind(generation=0, refused="40001", probe_at=9_000_000_000_000_000)])

    done = lift("hr", person="ops", database=outbox)

    assert [*done.notes.values()] == ["the secret of hr is tried again now"]
    with outbox.reading() as connection:
        assert connection.execute(tokens.select()).mappings().one()["probe_at"] == 0
