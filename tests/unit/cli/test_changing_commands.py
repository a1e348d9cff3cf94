"""`worker correct` and `worker reschedule`: a preview, a question, and what became of each job."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from worker import Text, To, enqueue_many
from worker.accounts.sources import accounts_of
from worker.config.settings import load_settings
from worker.outbox.engine.database import Database, make_engine
from worker.producer.enqueue import NewJob

Run = Callable[..., int]
SINCE = ("--tag", "lunch", "--created-from", "2026-01-01T00:00:00+0800")


@pytest.fixture
def queued(run: Run) -> list[str]:
    """Three sends that wait."""
    settings = load_settings()
    database = Database(make_engine(settings.database_url()))
    new = [NewJob("hr", Text(content=f"hello {n}"), To(users=["anna"]), tags=["lunch"]) for n in range(3)]
    with database.writing() as connection:
        ids = [ref.id for ref in enqueue_many(connection, new, accounts=accounts_of(settings))]
    database.close()
    return ids


def listed(run: Run, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    run("jobs", "--json")
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)["jobs"]
    return found


def test_a_wrong_text_is_corrected(run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Asked about with the number; given again it finds what was done."""
    no = run("correct", *SINCE, "--text", "at noon", types="n\n")
    asked = capsys.readouterr().err
    assert 0 == run("correct", *SINCE, "--text", "at noon", "--yes", "--as", "li", "--why", "wrong hour")
    done = capsys.readouterr().out
    assert 1 == run("correct", *SINCE, "--text", "at noon", "--yes")
    again = capsys.readouterr().err
    jobs = listed(run, capsys)

    assert (1, True) == (no, "       3  send on account hr\n" in asked)
    assert "cancel and recall these 3 jobs, and send the new message in their place?" in asked
    assert done.startswith("3 corrections enqueued, 0 refused (audit ")
    assert "old jobs cancelled: 3, recalls enqueued: 0\nthe new messages become due at 20 a second" in done
    assert "none of these jobs has a message to correct" in again
    assert ["cancelled"] * 3 + ["open"] * 3 == sorted(str(job["state"]) for job in jobs)
    assert sorted(queued) == sorted(str(job["target_job_id"]) for job in jobs if job["state"] == "open")
    run("show", str(jobs[0]["id"]))
    run("stats", "--tag", "lunch")
    printed = capsys.readouterr().out
    assert f"\n  corrects job {jobs[0]['target_job_id']}\n" in printed
    assert f"corrected {3:>9} jobs" in printed


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ([*SINCE], 2, "give the new message with either --text or --message"),
        ([*SINCE, "--message", "{"], 1, "the message is not valid JSON"),
        ([*SINCE, "--text", ""], 1, "content"),
        (["--tag", "lunch", "--text", "x"], 1, "filter: would look through all jobs; give created_from"),
        ([*SINCE, "--message", '{"msgtype": "image", "image": {}}'], 1, "media_id"),
    ],
)
def test_a_correction_that_cannot_be_is_one_sentence(
    run: Run, queued: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, sentence: str
) -> None:
    """And nothing is stopped."""
    assert status == run("correct", *arguments, "--yes")
    assert sentence in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert ["open"] * 3 == [job["state"] for job in listed(run, capsys)]


def test_what_is_left_out_of_a_corrections_json_is_said_in_a_sentence(
    run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a send's, and without a line of the program."""
    message = json.dumps({"msgtype": "markdown", "markdown": {"content": "at noon"}, "safe": 0})

    assert 0 == run("correct", *SINCE, "--message", message, "--yes", "--as", "li")

    assert "safe: has no effect here, and is left out" == capsys.readouterr().err.splitlines()[0]


def test_what_waits_is_moved(run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By a filter, after a question; and one sentence for what cannot be."""
    at = "2999-01-01T09:00:00+0800"
    assert 1 == run("reschedule", "--tag", "lunch", "--due-at", at, types="n\n")
    asked = capsys.readouterr().err
    assert 0 == run("reschedule", "--tag", "lunch", "--due-at", at, "--priority", "bulk", "--yes")
    done = capsys.readouterr().out
    assert 1 == run("reschedule", "--tag", "lunch")
    nothing = capsys.readouterr().err
    assert 1 == run("reschedule", "--tag", "dinner", "--due-at", at)

    assert "change these 3 jobs?" in asked
    assert done.startswith("changed 3 jobs (audit ")
    assert "parts that wait: 3" in done
    assert "due_at: is missing; give due_at, expires_at or priority" in nothing
    assert "none of these jobs waits to be sent" in capsys.readouterr().err
    assert {"2999-01-01T01:00:00+00:00"} == {job["due_at"] for job in listed(run, capsys)}
