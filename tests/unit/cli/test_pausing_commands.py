"""`worker pause` and `resume`: what they say, and what tells of a pause."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing

import pytest

from worker import Text, To, enqueue_many
from worker.accounts.sources import accounts_of
from worker.config.settings import load_settings
from worker.domain.job import part_id
from worker.domain.pacing.lane import LaneBlock
from worker.domain.settle import Policy
from worker.outbox.commit.commands import Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.lanes.lanes import change_lanes
from worker.producer.enqueue import NewJob
from worker.service.web.collector import OutboxCollector

Run = Callable[..., int]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def jobs(run: Run) -> list[str]:
    """Two sends that wait."""
    settings = load_settings()
    database = Database(make_engine(settings.database_url()))
    new = [NewJob("hr", Text(content=f"hello {n}"), To(users=["anna"]), tags=["lunch"]) for n in range(2)]
    with database.writing() as connection:
        ids = [ref.id for ref in enqueue_many(connection, new, accounts=accounts_of(settings))]
    database.close()
    return ids


def test_a_pause_is_told_everywhere_until_it_ends(run: Run, jobs: list[str], capsys: Said) -> None:
    """With the command that ends it, to be pasted."""
    assert run("pause", "--tag", "a b", "--account", "hr", "--as", "zhang", "--why", "wrong text") == 0
    said = capsys.readouterr().out
    assert run("pause", "--tag", "a b", "--account", "hr") == 0
    again = capsys.readouterr().out
    assert run("lanes") == 0
    lanes = capsys.readouterr().out
    assert run("lanes", "--json", "--account", "hr") == 0
    [row] = json.loads(capsys.readouterr().out)
    run("doctor")
    doctor = capsys.readouterr().out
    assert run("resume", "--tag", "a b", "--account", "hr", "--as", "li") == 0
    ended = capsys.readouterr().out
    assert run("resume", "--tag", "a b", "--account", "hr") == 1
    nothing = capsys.readouterr().err

    first, command, now = said.splitlines()
    assert first.startswith("paused: account hr, tag a b, since 20")
    assert first.endswith(", by zhang: wrong text")
    assert command == "end it with: worker resume --account hr --tag 'a b'"
    assert now.startswith("no call of these begins any more; those in flight go on to their end")
    assert f"{first} already\n{command}\n{now}\n" == again
    assert f"{first}\n  remedy: `worker resume --account hr --tag 'a b'`\n" == lanes
    assert (row["state"], row["account"], row["label"]) == ("paused", "hr", "account hr, tag a b")
    assert f"caution  pause: {first}; `worker resume --account hr --tag 'a b'`\n" in doctor
    assert ended.startswith("account hr, tag a b is resumed (audit ")
    assert ended.endswith(")\nwhat waits is sent as fast as the limits allow\n")
    assert nothing == "worker: account hr, tag a b is not paused; `worker lanes` lists what is\n"


def test_everything_is_asked_about(run: Run, jobs: list[str], capsys: Said) -> None:
    """No is no."""
    assert run("pause", "--all", types="n\n") == 1
    assert "pause everything except recalls?" in capsys.readouterr().err
    assert run("pause", "--all", "--yes", "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert run("why", jobs[0]) == 0
    why = capsys.readouterr().out
    assert run("resume", "--all", "--json") == 0

    assert len(done["audit"]) == 32
    assert (done["pause"]["account"], done["pause"]["tag"]) == (None, None)
    assert "waits for pause since 20" in why
    assert "  worker resume --all\n" in why
    assert json.loads(capsys.readouterr().out)["counts"] == {"pauses": 1}


def test_the_audit_says_that_everything_was_paused(run: Run, jobs: list[str], capsys: Said) -> None:
    """Such a pause has a filter without a field."""
    run("pause", "--all", "--yes", "--as", "zhang")
    capsys.readouterr()

    run("audit")

    assert "  arguments: filter everything\n  result: pauses 1\n" in capsys.readouterr().out


def test_a_block_is_not_a_pause(run: Run, jobs: list[str], capsys: Said) -> None:
    """To lift the one says that the other stands."""
    database = Database(make_engine(load_settings().database_url()))
    run("pause", "--account", "hr")
    capsys.readouterr()
    assert run("resume", "hr") == 1
    unblocked = capsys.readouterr().err
    parked = LaneBlock("hr", "hr", 600, "no quota", parked=True)
    database.run(lambda connection: change_lanes(connection, database.now, [parked]))
    database.close()
    assert run("resume", "hr") == 0
    lifted = capsys.readouterr().out

    assert "nothing of 'hr' is blocked or parked; `worker lanes` lists what is; paused: account hr, " in unblocked
    assert "; `worker resume --account hr`" in unblocked
    assert "hr starts with one call in flight\nstill paused: account hr, since " in lifted


def test_a_parked_account_is_resumed_by_its_option_too(run: Run, jobs: list[str], capsys: Said) -> None:
    """`worker lanes` lists it; that it is not paused would help nobody. With another filter the pause is meant."""
    with closing(Database(make_engine(load_settings().database_url()))) as database, database.writing() as connection:
        change_lanes(connection, database.now, [LaneBlock("hr", "hr", 600.0, "60020", parked=True)])

    of_a_kind, lifted = run("resume", "--account", "hr", "--kind", "send"), run("resume", "--account", "hr")
    again = run("resume", "--account", "hr")

    assert (of_a_kind, lifted, again) == (1, 0, 1)
    said = capsys.readouterr()
    assert "hr starts with one call in flight" in said.out
    assert said.err.count("is not paused; `worker lanes` lists what is") == 2


def test_one_that_is_not_blocked_hides_no_other(run: Run, jobs: list[str], capsys: Said) -> None:
    """The others are lifted, before and behind it, and named."""
    database = Database(make_engine(load_settings().database_url()))
    parked = [LaneBlock(name, name, 600, "no quota", parked=True) for name in ("hr", "it")]
    database.run(lambda connection: change_lanes(connection, database.now, parked))
    database.close()

    assert run("resume", "hr", "ops", "it") == 1

    said = capsys.readouterr()
    assert said.out == "hr starts with one call in flight\nit starts with one call in flight\n"
    assert said.err == "nothing of 'ops' is blocked or parked; `worker lanes` lists what is\n"


def test_jobs_are_paused_and_resumed(run: Run, jobs: list[str], capsys: Said) -> None:
    """The status says whether any was."""
    assert run("pause", *jobs, "--as", "zhang") == 0
    paused = capsys.readouterr().out
    assert run("pause", jobs[0]) == 1
    again = capsys.readouterr().out
    run("doctor")
    doctor = capsys.readouterr().out
    assert run("lanes") == 0
    lanes = capsys.readouterr().out
    assert run("resume", jobs[0], "--json") == 0
    resumed = json.loads(capsys.readouterr().out)
    assert run("resume", jobs[0]) == 1
    nothing = capsys.readouterr().out

    assert paused.startswith("paused 2 jobs (audit ")
    assert "1 not changed: they have nothing left to send, or were paused already" in again
    assert "caution  pause: 2 jobs paused one by one; `worker lanes` lists them\n" in doctor
    assert f"paused: job {jobs[0]}, since 20" in lanes
    assert f"  remedy: `worker resume {jobs[1]}`\n" in lanes
    assert ([jobs[0]], {"jobs": 1}) == (resumed["jobs"], resumed["counts"])
    assert "1 not changed: they were not paused" in nothing


def test_a_pause_that_waits_tells_what_is_in_flight(run: Run, jobs: list[str], capsys: Said) -> None:
    """Here it never lands."""
    database = Database(make_engine(load_settings().database_url()))
    commit(database, [Mark(part_id(jobs[0], 0), 0, "p", 1_000_000)], Policy())
    database.close()

    assert run("pause", "--tag", "lunch", "--wait", "--timeout", "0") == 1
    said = capsys.readouterr()
    assert said.out.endswith("\n1 call still in flight\n")
    assert said.err == "1 in flight\n"
    assert run("pause", jobs[0], "--wait", "--timeout", "0", "--json") == 1
    assert json.loads(capsys.readouterr().out)["in_flight"] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["pause"], 2, "give names, or --all, or some of"),
        (["pause", "--all", "--tag", "lunch"], 2, "and only one of these"),
        (["pause", "0" * 32, "--tag", "lunch"], 2, "and only one of these"),
        (["resume"], 2, "give names, or --all, or some of"),
        (["resume", "hr", "--tag", "lunch"], 2, "and only one of these"),
        (["pause", "--kind", "recall"], 1, "kind: is recall, which passes every pause"),
        (["pause", "0" * 32], 1, "ids: name jobs that do not exist: 0000"),
        (["resume", "0" * 32], 1, "ids: name jobs that do not exist: 0000"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Run, jobs: list[str], capsys: Said, arguments: list[str], status: int, sentence: str
) -> None:
    assert status == run(*arguments)
    assert sentence in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_a_metric_counts_pauses(run: Run, jobs: list[str]) -> None:
    """By what they name, and without the tag itself."""
    run("pause", "--tag", "lunch")
    run("pause", "--tag", "dinner")
    run("pause", "--account", "hr", "--tag", "lunch")
    run("pause", "--all", "--yes")
    run("pause", *jobs)
    settings = load_settings()
    database = Database(make_engine(settings.database_url()))
    collected = OutboxCollector(database, accounts_of(settings)).collect()
    found = {
        (sample.labels["account"], sample.labels["scope"]): sample.value
        for metric in collected
        for sample in metric.samples
        if sample.name == "worker_pauses"
    }
    database.close()

    wanted = {("", "tag"): 2, ("hr", "account tag"): 1, ("", "everything"): 1, ("", "job"): 2}
    assert wanted == found


def test_a_lost_worker_is_acknowledged(run: Run, capsys: Said) -> None:
    """Doctor says how, and is silent then; a second time there is nothing to acknowledge."""
    row = "insert into worker_processes (id, alive_until, started_at, ended_at, threads, host, pid, lanes)"
    with closing(Database(make_engine(load_settings().database_url()))) as database, database.writing() as connection:
        at = database.read_now()
        for name, pid, until, ended in (("gone", 7, at - 9, str(at - 8)), ("here", 8, at + 10**8, "null")):
            values = f"('{name}', {until}, {at - 10**9}, {ended}, 1, 'far', {pid}, '{{}}')"
            connection.exec_driver_sql(f"{row} values {values}")
    run("doctor")
    before = capsys.readouterr().out

    statuses = [run("acknowledge", "far 7", "--why", "gone for good")]
    said = capsys.readouterr().out
    statuses.append(run("acknowledge", "far 7"))
    again = capsys.readouterr().err
    run("doctor")

    assert statuses == [0, 1]
    assert "or `worker acknowledge` it" in before
    assert said == "acknowledged: 1\n"
    assert again == "worker: no lost worker 'far 7' waits to be acknowledged; `worker doctor` says what is wrong\n"
    assert "worker acknowledge" not in capsys.readouterr().out
