"""`worker cancel`, `recall`, `resolve`, `audit`: a preview, a question, a count, one sentence for what cannot be."""

from __future__ import annotations

import io
import json
import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import text

from worker import Text, To, enqueue_many
from worker.accounts.sources import accounts_of
from worker.cli import options
from worker.cli.reading import ProgressLine, outbox
from worker.config.settings import load_settings
from worker.control.audit import CommandResult, with_action_prefix
from worker.control.cancel import COMMAND
from worker.control.replay import find_replayable, replay_jobs
from worker.domain.job import Priority, part_id
from worker.domain.job_filter import JobFilter
from worker.domain.outcome import Unknown, Verdict
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.database import Database, make_engine
from worker.producer.enqueue import NewJob

Run = Callable[..., int]
WHY = ("--why", "the vendor's log")


@pytest.fixture
def jobs(run: Run) -> list[str]:
    """Three sends in doubt."""
    settings = load_settings()
    database = Database(make_engine(settings.database_url()))
    new = [NewJob("hr", Text(content=f"hello {n}"), To(users=["anna"]), tags=["lunch"]) for n in range(3)]
    with database.writing() as connection:
        ids = [ref.id for ref in enqueue_many(connection, new, accounts=accounts_of(settings))]
    parts = [part_id(job, 0) for job in ids]
    commit(database, [Mark(part, 0, "p", 1_000_000) for part in parts], Policy())
    lost = Verdict(Unknown("cut"))
    commit(database, [CallEnd(part, 1, "p", lost, 5) for part in parts], Policy())
    with database.writing() as connection:
        connection.exec_driver_sql("update worker_parts set not_before = null")
    database.close()
    return ids


def states(run: Run, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    run("jobs", "--json")
    return sorted(job["state"] for job in json.loads(capsys.readouterr().out)["jobs"])


def test_one_part_is_ended_at_once(run: Run, jobs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By its id, also as a UUID with hyphens; the audit says so."""
    hyphens = f"{jobs[0][:8]}-{jobs[0][8:12]}-{jobs[0][12:16]}-{jobs[0][16:20]}-{jobs[0][20:]}"
    assert run("resolve", hyphens, "--sent", "--msgid", "m1", "--as", "zhang", *WHY) == 0
    said = capsys.readouterr()
    assert run("audit") == 0
    listed = capsys.readouterr().out

    audit = said.out.split("audit ")[1].split(")")[0]
    assert f"1 part recorded as sent (audit {audit})\n" == said.out
    assert said.err == ""
    assert f"resolve by zhang\n  why: the vendor's log\n  arguments: ids {jobs[0]}" in listed
    assert "sent true, msgid m1\n  result: decided 1\n" in listed
    assert listed.startswith(audit)
    assert states(run, capsys) == ["accepted", "unknown", "unknown"]


def test_a_job_in_doubt_that_does_not_exist_is_named(
    run: Run, jobs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As for every other command: a mistyped id is not said to be decided."""
    assert run("resolve", "0" * 32, jobs[0][:8], "--sent", *WHY) == 1

    said = capsys.readouterr().err
    assert f"there is no job {'0' * 32}; give the whole id" in said
    assert f"there is no job {jobs[0][:8]}; give the whole id, `worker why {jobs[0][:8]}` may find it" in said
    assert "none of these waits for a person" in said


def test_several_are_shown_and_asked_about(run: Run, jobs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, so that what a script reads is the result alone; no is no."""
    refused = run("resolve", "--tag", "lunch", "--not-sent", *WHY, types="n\n")
    no = capsys.readouterr()
    unchanged = states(run, capsys)
    nothing = run("audit", "--json")
    none = capsys.readouterr().out
    assert run("resolve", "--tag", "lunch", "--not-sent", "--json", *WHY, types="y\n") == 0
    yes = capsys.readouterr()

    assert refused == 1
    assert no.out.strip() == ""
    assert "       3  send on account hr\n" in no.err
    assert "record these 3 parts as not sent?" in no.err
    assert no.err.endswith("nothing was changed\n")
    assert unchanged == ["unknown"] * 3
    assert nothing == 0
    assert none == "[]\n"
    assert json.loads(yes.out)["counts"] == {"decided": 3}
    assert yes.err.partition("not sent? [y/N]: ")[2].strip() == ""
    assert states(run, capsys) == ["rejected"] * 3


@pytest.mark.parametrize(
    ("command", "told"), [(("resolve", "--not-sent"), "发送"), (("replay", "--unknown"), "结果未知")]
)
def test_kinds_and_states_are_counted_in_chinese(
    run: Run,
    jobs: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, str],
    told: str,
) -> None:
    """By their words, as everywhere else."""
    monkeypatch.setenv("WORKER_LANG", "zh")

    run(*command, *jobs, *WHY, types="n\n")

    assert f"       3  账号 hr：{told}\n" in capsys.readouterr().err


def test_a_script_says_yes(run: Run, jobs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By account, kind, channel and time of the call."""
    which = {
        "--account": "hr",
        "--kind": "send",
        "--channel": "wecom_app",
        "--called-from": "2026-01-01T00:00:00+0800",
        "--called-before": "2999-01-01T00:00:00Z",
    }
    others = ("it", "recall", "youdu", "2999-01-01T00:00:00Z", "2026-01-01T00:00:00+0800")
    for (name, value), other in zip(which.items(), others, strict=True):
        given = [word for pair in {**which, name: other}.items() for word in pair]
        assert run("resolve", *given, "--sent", "--yes", *WHY) == 1
        assert which[name] == value
        assert "none of these waits for a person" in capsys.readouterr().err
    assert run("resolve", *(word for pair in which.items() for word in pair), "--sent", "--yes", *WHY) == 0

    assert "3 parts recorded as sent" in capsys.readouterr().out
    assert states(run, capsys) == ["accepted"] * 3


def test_an_order_is_warned_of(run: Run, jobs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As not sent the part lets those behind it go."""
    settings = load_settings()
    database = Database(make_engine(settings.database_url()))
    with database.writing() as connection:
        connection.execute(text("update worker_parts set order_id = 'o' where job_id = :job"), {"job": jobs[0]})
    database.close()

    run("resolve", jobs[0], "--not-sent", *WHY)

    assert "       1  of them have an order_key: the jobs behind them go on" in capsys.readouterr().err


def test_an_order_is_none_of_the_matter_of_what_was_sent(
    run: Run, jobs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay, which the warning speaks of, would send it a second time."""
    database = Database(make_engine(load_settings().database_url()))
    with database.writing() as connection:
        connection.execute(text("update worker_parts set order_id = 'o'"))
    database.close()

    run("resolve", jobs[0], "--sent", *WHY)
    single = capsys.readouterr().err
    run("resolve", *jobs[1:], "--sent", *WHY, types="n\n")

    assert single == ""
    assert "order_key" not in capsys.readouterr().err


def test_what_is_left_is_told(run: Run, jobs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """In words for people, by name for scripts; and the status says that nothing was ended."""
    database = Database(make_engine(load_settings().database_url()))
    with database.writing() as connection:
        connection.execute(text("update worker_jobs set kind = 'upload'"))
    database.close()

    status = run("resolve", jobs[0], "--sent", *WHY)
    told = capsys.readouterr().out
    run("resolve", jobs[0], "--sent", "--json", *WHY)

    assert status == 1
    assert json.loads(capsys.readouterr().out)["counts"] == {"no_media_id": 1}
    assert "1 not changed: an upload or a track: its result was lost with the answer" in told


def test_without_a_name_one_is_asked_for(
    run: Run, jobs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose user has none."""

    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(options.getpass, "getuser", nameless)

    assert run("resolve", jobs[0], "--sent", *WHY) == 2
    assert "give your name with --as NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--tag", "lunch", *WHY], 2, "give either --sent or --not-sent"),
        (["--tag", "lunch", "--sent", "--not-sent", *WHY], 2, "give either --sent or --not-sent"),
        (["--sent", *WHY], 1, "filter: has no content"),
        (["--tag", "supper", "--sent", *WHY], 1, "none of these waits for a person, and what settles by itself needs"),
        (["--tag", "lunch", "--sent", "--yes"], 1, "why: has no content"),
        (["--tag", "lunch", "--sent", "--yes", "--msgid", "m", *WHY], 1, "give that part's id"),
        (["--tag", "lunch", "--sent", "--called-from", "some day", *WHY], 2, "is not a time; use one such as -30m"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Run, jobs: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, sentence: str
) -> None:
    """And nothing is changed."""
    assert status == run("resolve", *arguments)
    assert sentence in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert states(run, capsys) == ["unknown"] * 3


# -- replay ------------------------------------------------------------------------------------------------------------


def test_a_filter_is_counted_asked_about_and_gone_on_with(
    run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run changes nothing; what a run has replayed is left out when it is gone on with."""
    since = ("--tag", "lunch", "--created-from", "2026-01-01T00:00:00+0800", "--cancelled")
    run("cancel", *queued[:3], "--yes")
    capsys.readouterr()
    assert run("replay", *since, "--dry-run") == 0
    dry = capsys.readouterr()
    assert run("replay", *since, "--dry-run", "--json") == 0
    counted = json.loads(capsys.readouterr().out)
    assert run("replay", *since, types="n\n") == 1
    no = capsys.readouterr().err
    assert states(run, capsys) == ["cancelled"] * 3 + ["open"]
    assert (
        run("replay", *since, "--yes", "--rate", "1000", "--priority", "urgent", "--as", "zhang", "--why", "mended")
        == 0
    )
    done = capsys.readouterr().out
    audit = done.split("audit ")[1].split(")")[0]
    with outbox() as connection:
        query = text("select priority from worker_jobs where replay_of is not null")
        assert connection.execute(query).scalars().all() == [Priority.URGENT] * 3
    assert run("replay", "--continue", audit, "--yes") == 0
    nothing = capsys.readouterr().out
    assert run("replay", *since, "--yes") == 1
    again = capsys.readouterr().err
    assert run("replay", *queued[:3], "--cancelled", "--yes", "--json") == 1
    refused = json.loads(capsys.readouterr().out)

    assert (dry.out, dry.err) == ("       3  cancelled on account hr\n", "")
    assert counted == {
        "jobs": 3,
        "lately": 0,
        "missing": [],
        "left_out": [],
        "counts": [{"account": "hr", "state": "cancelled", "jobs": 3}],
    }
    assert "       3  cancelled on account hr\nreplay these 3 jobs? [y/N]" in no
    assert done.startswith("3 replays enqueued, 0 refused (audit ")
    assert nothing == "nothing of this run is left to do\n"
    assert "none of these jobs has ended without reaching all recipients" in again
    assert refused["counts"] == {"refused": 3}
    assert all("1 being sent to by another replay" in reason for reason in refused["notes"].values())


def test_what_a_person_took_back_is_named(run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Who, when and why, also in a dry run; nothing else is left, so that is an error."""
    run("cancel", *queued[:3], "--yes", "--as", "li", "--why", "wrong date")
    audit = capsys.readouterr().out.split("audit ")[1].split(")")[0]

    assert run("replay", "--tag", "lunch", "--created-from", "2026-01-01T00:00:00+0800", "--yes") == 1
    said = capsys.readouterr().err
    assert run("replay", queued[0], "--dry-run", "--json") == 1

    assert said.startswith("3 jobs left out: cancelled 20")
    assert f" by li (audit {audit}); --cancelled includes them\n  why: wrong date\n" in said


def test_a_run_of_the_console_is_gone_on_with(run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Its audit's row says where it came from, and has the same filter and priority."""
    run("cancel", *queued, "--yes")
    begun = list[str]()

    def cut_short(done: int) -> None:
        raise KeyboardInterrupt

    selection = find_replayable(JobFilter(ids=queued[:3]), cancelled=True)
    with with_action_prefix("console."), pytest.raises(KeyboardInterrupt):
        replay_jobs(selection, person="li", priority="bulk", rate=1, progress=cut_short, on_begin=begun.append)

    assert run("replay", "--continue", *begun, "--yes", "--rate", "1000") == 0
    capsys.readouterr()
    assert run("replay", "--continue", *begun, "--yes") == 0

    assert "nothing of this run is left to do" in capsys.readouterr().out
    query = text("select priority from worker_jobs where replay_of is not null")
    with outbox() as connection:
        assert connection.execute(query).scalars().all() == [Priority.BULK] * 3


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--continue", "x", "--tag", "lunch"], 2, "--continue uses the filter of its run"),
        (["--continue", "x"], 1, "there is no replay with audit x that could go on; `worker audit` lists replays"),
        (["--tag", "lunch"], 1, "filter: would look through all jobs; give created_from"),
        (
            ["--state", "lost", "--created-from", "2026-01-01T00:00:00Z"],
            1,
            "state: is not a valid value; use one of open",
        ),
        (["0" * 32], 1, "there is no job 0000"),
        (["0" * 32, "--priority", "first"], 1, "priority: is not one of the choices; use one of urgent"),
    ],
)
def test_a_replay_that_cannot_be_is_one_sentence(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, sentence: str
) -> None:
    assert status == run("replay", *arguments)
    assert sentence in " ".join(capsys.readouterr().err.replace("│", " ").split())


# -- cancel and recall -------------------------------------------------------------------------------------------------


@pytest.fixture
def queued(run: Run) -> list[str]:
    """Three sends that wait, and one whose call is in flight."""
    settings = load_settings()
    database = Database(make_engine(settings.database_url()))
    new = [NewJob("hr", Text(content=f"hello {n}"), To(users=["anna"]), tags=["lunch"]) for n in range(4)]
    with database.writing() as connection:
        ids = [ref.id for ref in enqueue_many(connection, new, accounts=accounts_of(settings))]
    commit(database, [Mark(part_id(ids[3], 0), 0, "p", 1_000_000)], Policy())
    database.close()
    return ids


def test_one_job_is_cancelled_at_once(run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a question; a second time there is nothing left to be cancelled."""
    assert run("cancel", queued[0], "--as", "zhang", "--why", "wrong text") == 0
    said = capsys.readouterr()
    assert run("cancel", queued[0]) == 1
    again = capsys.readouterr().err
    assert run("audit") == 0
    listed = capsys.readouterr().out

    audit = said.out.split("audit ")[1].split(")")[0]
    lines = ["cancelled 1 job (audit " + audit + "); their parts:", "       1  cancelled: certainly not sent"]
    assert ("\n".join(lines) + "\n", "") == (said.out, said.err)
    assert again == "worker: none of these jobs has anything left to send\n"
    assert "cancel by zhang\n  why: wrong text\n" in listed
    assert "result: jobs 1, cancelled 1\n" in listed
    assert run("show", queued[0]) == 0
    assert "  job     cancelled\n" in capsys.readouterr().out


def test_several_jobs_are_shown_and_asked_about(
    run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """No is no; for scripts the answer is JSON, with what can be taken back."""
    assert run("cancel", "--tag", "lunch", types="n\n") == 1
    no = capsys.readouterr()
    unchanged = states(run, capsys)
    assert run("cancel", "--tag", "lunch", "--yes", "--json") == 0
    yes = capsys.readouterr()

    assert "       4  send on account hr\n" in no.err
    assert "       3  of their parts are queued\n       1  of their parts are sending\n" in no.err
    assert "cancel these 4 jobs?" in no.err
    assert unchanged == ["open"] * 4
    done = json.loads(yes.out)
    assert (done["counts"], done["jobs"]) == ({"jobs": 4, "cancelled": 3, "sending": 1}, [])
    assert yes.err.endswith("sending\n")
    assert states(run, capsys) == ["cancelled", "cancelled", "cancelled", "open"]


@pytest.mark.parametrize("command", [("cancel",), ("recall", "--created-from", "2026-01-01T00:00:00Z")])
def test_what_is_mistyped_is_said(
    run: Run, queued: list[str], capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """In an emergency nobody is told that nothing is left to be sent, because of one letter."""
    word = command[0]
    for option, said in (
        ("--account", "there is no account hrr; use one of hr"),
        ("--channel", "there is no channel hrr; use one of wecom_app, "),
        ("--kind", "there is no kind hrr; use one of badge, "),
    ):
        assert run(*command, option, "hrr") == 1
        assert f"worker: {said}" in capsys.readouterr().err
    assert run(word, queued[0][:9]) == 1
    beginning = capsys.readouterr().err
    assert run(word, queued[0], "0" * 32, "--yes") == 0

    sentence = f"there is no job {queued[0][:9]}; give the whole id, `worker why {queued[0][:9]}` may find it; "
    assert f"worker: {sentence}" in beginning
    assert f"there is no job {'0' * 32}; " in capsys.readouterr().err


def test_a_long_command_tells_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Once a second, with the rate."""
    now = iter([0.0, 0.4, 1.0, 1.5, 2.5])
    line = ProgressLine(5_000, lambda: next(now))

    for done in (100, 1_000, 1_500, 5_000):
        line(done)

    assert capsys.readouterr().err.splitlines() == ["1000 of 5000 done, 1000/s", "5000 of 5000 done, 2000/s"]


def test_a_job_that_does_not_exist_is_not_said_to_keep_none_waiting(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped id is no answer about an order; with its hyphens an id is found."""
    run("send", "hr", "--text", "hello", "--to", "anna", "--order-key", "k")
    job = capsys.readouterr().out.strip()

    statuses = [run("skip", "0" * 32), run("skip", str(uuid.UUID(job)))]

    said = capsys.readouterr()
    assert statuses == [1, 0]
    assert said.out == f"no job waits for part {job}-0 any more\n"
    assert f"worker: no job {'0' * 32!r}; was its transaction committed?\n" == said.err


def test_a_terminal_that_is_gone_stops_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`2>&1 | head`, or a closed terminal: the command would have ended in its middle, without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    ticks = iter([0.0, 1.0, 2.0])
    with open(writer, "wb", buffering=0) as raw:
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="utf-8", write_through=True))
        line = ProgressLine(2, lambda: next(ticks))

        line(1)
        line(2)

        monkeypatch.undo()


def test_what_was_sent_is_named_for_a_recall(run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The words to paste, of so many jobs as can be read."""
    result = CommandResult("a1", Counter(jobs=30, accepted=30, sending=2), tuple(f"j{n}" for n in range(30)))

    told = [*COMMAND.lines(result, {})]

    assert "      30  accepted by the vendor" in told
    assert "       2  in flight: the vendor's answer counts, and they are not sent again" in told
    assert told[-1].startswith("what the vendor has accepted can be recalled: worker recall j0 j1 j2 ")
    assert told[-1].endswith(" j19 and 10 more, see --json")


def test_several_recalls_are_asked_about(run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By ids, or by a tag and a time; what waits is cancelled at once, and a second time nothing is left."""
    since = ("--tag", "lunch", "--created-from", "2026-01-01T00:00:00+0800")
    assert run("recall", *since, types="n\n") == 1
    no = capsys.readouterr().err
    assert run("recall", queued[0], "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert run("recall", *since, "--yes", "--as", "zhang", "--why", "wrong") == 0
    said = capsys.readouterr()
    assert run("recall", *queued, "--yes") == 1
    again = capsys.readouterr().err
    assert run("audit") == 0
    listed = capsys.readouterr().out

    assert "       4  send on account hr\n" in no
    assert "cancel these 4 jobs, and take back what they have sent?" in no
    assert (made["counts"], made["jobs"]) == ({"cancelled": 1}, [])
    assert said.out.startswith("cancelled 2 jobs, 1 recall enqueued (audit ")
    assert again.startswith("worker: nothing to take back: ")
    assert "recall by zhang\n  why: wrong\n" in listed
    assert "  result: cancelled 2, recalls 1\n  recalled 0 of 1; under way 1, failed 0\n" in listed
