"""The worker process without Celery: it waits for its database, delivers, survives, drains, and never hangs."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from rig.stack import until
from tests.unit.service.rooms import LIMIT_S, SHORT, Site
from worker.delivery.maintenance.recovery import Recovery
from worker.delivery.scheduler.relay import RelayTimes
from worker.delivery.sender.runtime import EXIT_WRITER_DIED
from worker.domain.call import CallResult, Request
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.state import JobState
from worker.reporting.report import wait_until_ended
from worker.service import loops
from worker.service.lifecycle import EXIT_OVERDUE
from worker.service.loop import Loop


@pytest.fixture
def site(sqlite_url: str) -> Site:
    """A site whose deadlines are short."""
    return Site(sqlite_url, delivery=dict(SHORT))


class ByHand(Loop):
    """A loop without a thread."""

    def start(self) -> None:
        """Makes no turn."""

    def stop(self, timeout_s: float) -> bool:
        """Nothing is under way."""
        return True


@pytest.fixture
def relay_turns(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], float]]:
    """The relay's turn in each process that is opened, made by nobody but the test."""
    turns: list[Callable[[], float]] = []

    def made(name: str, turn: Callable[[], float], **options: Any) -> Loop:
        if name != "relay":
            return Loop(name, turn, **options)
        turns.append(turn)
        return ByHand(name, turn)

    monkeypatch.setattr(loops, "Loop", made)
    return turns


def events(logs: list[MutableMapping[str, Any]]) -> list[str]:
    return [entry["event"] for entry in logs]


def test_a_doorbell_delivers_and_the_end_gives_everything_back(site: Site) -> None:
    """The job is accepted; afterwards the life has ended and the relay's lease is free."""
    job = site.send()

    with site.open() as room:
        room.answer_doorbell(site.part(job)[0], [site.part(job)[1]])
        report = wait_until_ended(site.database, job, LIMIT_S)
        site.send("offered")
        site.doorbell()  # so the relay holds its lease

    assert report.state == JobState.ACCEPTED
    assert [receipt.msgid for receipt in report.receipts] == ["m1"]
    assert site.one("select count(*) from worker_processes where ended_at is null") == 0
    assert site.one("select max(held_until) from worker_leases") == 0
    assert room.draining
    assert site.exits.empty()


def test_the_relay_offers_what_is_due(site: Site) -> None:
    """A job that waits is rung for without anybody's doing."""
    job = site.send()
    lane, part = site.part(job)

    with site.open():
        doorbell = site.doorbell()

    assert [lane, [part], False, 1] == doorbell


def test_a_heartbeat_names_the_accounts_that_the_process_leaves_to_others(site: Site) -> None:
    """And why, as long as it does."""
    told = "select hindered from worker_processes where ended_at is null"
    with site.open() as room:
        room.runtime.lane_states.leave_to_peers("hr", 60.0, "gettoken: proxy_refused")
        named = until(lambda: site.one(told), "it is told")
        room.runtime.lane_states.mark_usable("hr")
        until(lambda: site.one(told) is None, "it is told no more")

    assert json.loads(named) == {"account hr": "gettoken: proxy_refused"}


def test_a_heartbeat_says_that_no_log_is_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as no line can be, while messages go out as before."""
    told, full = "select hindered from worker_processes where ended_at is null", ["no space is left on its disk"]
    monkeypatch.setattr("worker.config.logging.problem", lambda: full[-1])
    with site.open() as room:
        named = until(lambda: site.one(told), "it is told")
        job = site.send()
        room.answer_doorbell(site.part(job)[0], [site.part(job)[1]])
        report = wait_until_ended(site.database, job, LIMIT_S)
        full.append("")
        until(lambda: site.one(told) is None, "it is told no more")

    assert json.loads(named) == {"log": "no space is left on its disk"}
    assert report.state == JobState.ACCEPTED


def test_what_is_old_is_taken_out(site: Site) -> None:
    """By the process that leads, without anybody's doing."""
    job = site.send()
    old = "0" * len(job)  # an id tells when its job was made
    with site.database.writing() as connection:
        connection.exec_driver_sql(f"update worker_jobs set id = '{old}', n_open = 0, state = 1, finished_at = 1")
        connection.exec_driver_sql("delete from worker_parts")
    told = threading.Event()

    def heard(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event["event"] == "purged" and event.get("jobs") == 1:
            told.set()
        raise structlog.DropEvent

    structlog.configure(processors=[heard])
    try:
        with site.open():
            assert told.wait(LIMIT_S)
    finally:
        structlog.reset_defaults()

    assert site.one("select count(*) from worker_jobs") == 0


def test_a_database_that_is_away_at_the_start_is_waited_for(site: Site, tmp_path: Path) -> None:
    """It is said, nothing is taken meanwhile, and the room opens when the database is there."""
    away = tmp_path / "later"
    late = Site(f"sqlite:///{away}/outbox.db")
    looks: list[int] = []

    def is_cancelled() -> bool:
        looks.append(1)
        if len(looks) == 2:
            away.mkdir()
            shutil.copyfile(site.url.removeprefix("sqlite:///"), away / "outbox.db")
        return False

    room = late.app().worker_process
    with capture_logs() as logs:
        opened = room.open(threads=2, node="w1@test", events=False, is_cancelled=is_cancelled)
        room.finish()

    assert opened
    told = [entry["event"] for entry in logs if entry["event"] in ("database_away", "worker_started")]
    assert told == ["database_away", "worker_started"]


def test_who_is_told_to_end_does_not_wait_for_the_database(tmp_path: Path) -> None:
    """Nothing was built, and the end has nothing to wait for."""
    room = Site(f"sqlite:///{tmp_path}/nowhere/outbox.db").app().worker_process

    opened = room.open(threads=2, node="w1@test", events=False, is_cancelled=lambda: True)
    room.finish()

    assert not opened
    assert not hasattr(room, "runtime")


def test_tables_of_another_release_are_one_sentence(tmp_path: Path) -> None:
    """It names both revisions and the command."""
    room = Site(f"sqlite:///{tmp_path}/empty.db").app().worker_process

    with pytest.raises(ConfigurationError, match=r"revision none, .* run `worker db upgrade`"):
        room.open(threads=2, node="w1@test", events=False)


@pytest.mark.usefixtures("relay_turns")
def test_a_hook_of_an_account_that_does_not_exist_is_logged(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for ever for what cannot happen."""
    (tmp_path / "hooks_of_the_wrong.py").write_text(
        "from worker.hooks.registry import on_job_done\n\n\n"
        "@on_job_done(accounts=['hr', 'hrr'])\ndef ended(job, session): ...\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("WORKER_HOOKS", "hooks_of_the_wrong")

    with capture_logs() as logs, site.open():
        pass

    assert [line["account"] for line in logs if line["event"] == "hook_never_runs"] == ["hrr"]


def test_a_drained_process_leaves_its_doorbells_to_others(site: Site, relay_turns: list[Callable[[], float]]) -> None:
    """Nothing is called, and the ids may be offered again at once."""
    job = site.send()
    lane, part = site.part(job)

    with site.open() as room:
        room.begin_drain()
        with site.database.writing() as connection:
            connection.exec_driver_sql("update worker_parts set offered_until = 9000000000000000")
        room.answer_doorbell(lane, [part])

    assert site.transport.calls == []
    assert site.one("select count(*) from worker_parts where offered_until is not null") == 0


def test_our_own_error_is_said_in_its_words(site: Site) -> None:
    """Our errors hold no secrets: the doorbell is answered with the sentence, and the job stays."""

    def probe(label: str) -> None:
        if label == "before_mark":
            raise WorkerError("what is wrong, and what to change")

    site.probe = probe
    job = site.send()
    lane, part = site.part(job)

    with capture_logs() as logs, site.open() as room:
        room.answer_doorbell(lane, [part])

    [failed] = [entry for entry in logs if entry["event"] == "doorbell_failed"]
    assert (failed["error"], failed["text"]) == ("WorkerError", "what is wrong, and what to change")
    assert site.one(f"select n_open from worker_jobs where id = '{job}'") == 1


def test_a_foreign_error_is_said_without_its_text(site: Site) -> None:
    """Its text may hold secrets: the log has its class and its places."""

    def breaks(request: Request) -> CallResult:
        raise ValueError("canary")

    job = site.send()
    lane, part = site.part(job)
    site.vendor.says(breaks)

    with capture_logs() as logs, site.open() as room:
        room.answer_doorbell(lane, [part])
        until(lambda: "doorbell_failed" in events(logs), "the error is said")
        report = wait_until_ended(site.database, job, LIMIT_S, states=[JobState.OPEN, JobState.UNKNOWN])

    [failed] = [entry for entry in logs if entry["event"] == "doorbell_failed"]
    assert failed["error"] == "ValueError"
    assert "test_lifecycle.py:" in failed["where"]
    assert "canary" not in str(logs)
    assert report.receipts == ()


def test_nothing_is_offered_while_the_broker_is_away(site: Site, relay_turns: list[Callable[[], float]]) -> None:
    """Ids that cannot be published would only wait longer and longer."""
    site.broker = "redis://127.0.0.1:1/0"
    job = site.send()

    with capture_logs() as logs, site.open():
        [turn] = relay_turns
        delays = [turn() for _ in range(2)]

    assert delays == [0.5, 0.5]
    assert events(logs).count("broker_away") == 1
    assert site.one(f"select offered_until from worker_parts where job_id = '{job}'") is None


def test_a_recovery_that_fails_slows_no_offer(
    site: Site, relay_turns: list[Callable[[], float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It turns in a thread of its own: what is due is offered at the relay's pace."""
    failed = threading.Event()

    def fails(recovery: Recovery) -> None:
        failed.set()
        raise RuntimeError

    monkeypatch.setattr(Recovery, "turn", fails)

    with site.open():
        [turn] = relay_turns
        turn()  # so it leads, and recovers
        assert failed.wait(LIMIT_S)
        job = site.send()
        delays = [turn() for _ in range(50)]

    assert max(delays) <= RelayTimes().poll_s
    assert site.one(f"select offered_until from worker_parts where job_id = '{job}'") is not None


def test_a_writer_that_died_ends_the_process(site: Site) -> None:
    """Without it nothing could be recorded: status 70, for the supervisor."""

    def probe(label: str) -> None:
        if label == "after_record":
            raise RuntimeError("canary")

    site.probe = probe
    lane, part = site.part(site.send())

    with capture_logs() as logs, site.open() as room:
        room.answer_doorbell(lane, [part])
        status = site.exits.get(timeout=LIMIT_S)

    assert status == EXIT_WRITER_DIED
    [died] = [entry for entry in logs if entry["event"] == "writer_died"]
    assert (died["log_level"], died["error"]) == ("critical", "RuntimeError")
    assert "test_lifecycle.py:" in died["where"]
    assert "canary" not in str(logs)


def test_a_call_that_hangs_does_not_hold_the_end_up(site: Site) -> None:
    """After the calls' deadline and a margin the process ends, whatever hangs."""
    calling, released = threading.Event(), threading.Event()

    def hangs(request: Request) -> CallResult:
        calling.set()
        assert released.wait(LIMIT_S)
        return site.vendor.takes(request)

    site.vendor.says(hangs)
    lane, part = site.part(site.send())

    with capture_logs() as logs, site.open() as room:
        sender = threading.Thread(target=room.answer_doorbell, args=(lane, [part]))
        sender.start()
        assert calling.wait(LIMIT_S)
        room.begin_drain()
        status = site.exits.get(timeout=LIMIT_S)
        released.set()
        sender.join(LIMIT_S)

    assert status == EXIT_OVERDUE
    assert [entry["calls"] for entry in logs if entry["event"] == "drain_overdue"] == [1]


def test_a_call_in_flight_is_waited_for_and_recorded(site: Site) -> None:
    """A clean end loses nothing: the answer comes after the drain began and is in the receipt."""
    site.delivery |= {"call_deadline_s": LIMIT_S}
    calling, released = threading.Event(), threading.Event()

    def slow(request: Request) -> CallResult:
        calling.set()
        assert released.wait(LIMIT_S)
        return site.vendor.takes(request)

    site.vendor.says(slow)
    job = site.send()
    lane, part = site.part(job)

    with site.open() as room:
        sender = threading.Thread(target=room.answer_doorbell, args=(lane, [part]))
        sender.start()
        assert calling.wait(LIMIT_S)
        room.begin_drain()
        released.set()
    sender.join(LIMIT_S)

    assert JobState.ACCEPTED is wait_until_ended(site.database, job, LIMIT_S).state
    assert site.exits.empty()


def test_a_writer_that_is_stuck_ends_the_process(site: Site) -> None:
    """The database does not take the result in time: the watch over the drain ends the process."""
    calling, released = threading.Event(), threading.Event()

    def slow(request: Request) -> CallResult:
        calling.set()
        assert released.wait(LIMIT_S)
        return site.vendor.takes(request)

    site.vendor.says(slow)
    lane, part = site.part(site.send())
    other = sqlite3.connect(site.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)

    with capture_logs() as logs, site.open() as room:
        sender = threading.Thread(target=room.answer_doorbell, args=(lane, [part]))
        sender.start()
        assert calling.wait(LIMIT_S)
        other.execute("begin immediate")
        released.set()
        room.finish()
        status = site.exits.get(timeout=LIMIT_S)
        drained = "worker_drained" in events(logs)
        other.execute("rollback")
        sender.join(LIMIT_S)
    other.close()

    assert status == EXIT_OVERDUE
    assert not drained


def test_a_life_that_cannot_be_given_back_does_not_keep_the_process(site: Site) -> None:
    """The others find out ten seconds later; the end is clean."""
    with capture_logs() as logs, site.open(), site.database.writing() as connection:
        connection.exec_driver_sql("drop table worker_processes")

    assert "worker_drained" in events(logs)
    assert [entry["error"] for entry in logs if entry["event"] == "not_given_back"] == ["OperationalError"]
