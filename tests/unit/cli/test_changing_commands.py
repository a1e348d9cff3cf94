"""`worker correct` and `worker reschedule`: a preview, a question, and what became of each job."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

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
    new = (*SINCE, "--text", "at noon", "--one-for-all")
    assert run("correct", *SINCE, "--text", "at noon", "--yes") == 1
    refused = " ".join(capsys.readouterr().err.split())
    no = run("correct", *new, types="n\n")
    asked = capsys.readouterr().err
    assert run("correct", *new, "--yes", "--as", "li", "--why", "wrong hour") == 0
    done = capsys.readouterr().out
    assert run("correct", *new, "--yes") == 1
    again = capsys.readouterr().err
    jobs = listed(run, capsys)

    assert "message: is one for 3 different messages; say what to replace in each" in refused
    assert no == 1
    assert "       3  send on account hr\n" in asked
    assert "       3  of them wait to be sent: cancelled at once\n" in asked
    assert "       3  different messages are among them\n" in asked
    assert '    - "hello 0"\n    + "at noon"\n' in asked
    assert "the new messages become due at 20 a second, the last of them after 0:00:00\n" in asked
    assert "cancel and recall these 3 jobs, and send the new message in their place?" in asked
    assert done.startswith("3 corrections enqueued, 0 refused (audit ")
    assert "old jobs cancelled: 3, recalls enqueued: 0\nthe new messages become due at 20 a second" in done
    assert "none of these jobs has a message to correct" in again
    assert sorted(str(job["state"]) for job in jobs) == ["cancelled"] * 3 + ["open"] * 3
    assert sorted(queued) == sorted(str(job["target_job_id"]) for job in jobs if job["state"] == "open")
    run("show", str(jobs[0]["id"]))
    run("mailing", "--tag", "lunch")
    printed = capsys.readouterr().out
    assert f"\n  corrects job {jobs[0]['target_job_id']}\n" in printed
    assert f"corrected {3:>9} jobs" in printed


def test_a_piece_of_each_text_is_replaced(run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The preview shows old and new as they would be; what does not have the piece stays."""
    no = run("correct", *SINCE, "--replace", "hello 1=bye", "--replace", "hello 2=bye, bye", types="n\n")
    asked = capsys.readouterr().err
    done = run("correct", *SINCE, "--replace", "hello 1=bye", "--yes")
    jobs = listed(run, capsys)

    assert (no, done) == (1, 0)
    assert f'  {queued[1]}\n    - "hello 1"\n    + "bye"\n  {queued[2]}\n    - "hello 2"\n    + "bye, bye"\n' in asked
    assert "       1  are left out: what is to be replaced is not in them" in asked
    assert [queued[1]] == [job["target_job_id"] for job in jobs if job["target_job_id"]]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{id}", "line 1 of the messages is none"),
        ("x bye", "line 1"),
        ('{id} {{"', "line 1 of the messages is not valid"),
    ],
)
def test_each_line_has_an_id_and_a_message(
    run: Run, queued: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, problem: str
) -> None:
    """A text, or JSON; a slip in a line is named before anything is stopped."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(f'{queued[0]} bye\n\n{queued[1]} {{"msgtype": "text", "text": {{"content": "ciao"}}}}\n')
    bad.write_text(line.format(id=queued[0]))

    refused = run("correct", "--messages", str(bad), "--yes")
    said = " ".join(capsys.readouterr().err.split())
    done = run("correct", "--messages", str(good), "--yes")
    jobs = listed(run, capsys)

    assert (refused, done) == (1, 0)
    assert problem in said
    assert queued[:2] == sorted(str(job["target_job_id"]) for job in jobs if job["target_job_id"])


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ([*SINCE], 2, "give the new message with one of --text, --message, --replace and --messages"),
        ([*SINCE, "--text", "x", "--replace", "hello=bye"], 2, "give the new message with one of"),
        ([*SINCE, "--replace", "hello"], 2, "--replace needs OLD=NEW"),
        ([*SINCE, "--messages", "/nowhere"], 1, "cannot be read from /nowhere (No such file or directory)"),
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
    assert [job["state"] for job in listed(run, capsys)] == ["open"] * 3


def test_what_is_left_out_of_a_corrections_json_is_said_in_a_sentence(
    run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a send's, and without a line of the program."""
    message = json.dumps({"msgtype": "markdown", "markdown": {"content": "at noon"}, "safe": 0})

    assert run("correct", *SINCE, "--message", message, "--one-for-all", "--yes", "--as", "li") == 0

    assert capsys.readouterr().err.splitlines()[0] == "safe: has no effect here, and is left out"


def test_what_waits_is_moved(run: Run, queued: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By a filter, after a question; and one sentence for what cannot be."""
    at = "2999-01-01T09:00:00+0800"
    assert run("reschedule", "--tag", "lunch", "--due-at", at, types="n\n") == 1
    asked = capsys.readouterr().err
    assert run("reschedule", "--tag", "lunch", "--due-at", at, "--priority", "bulk", "--yes") == 0
    done = capsys.readouterr().out
    assert run("reschedule", "--tag", "lunch") == 1
    nothing = capsys.readouterr().err
    assert run("reschedule", "--tag", "dinner", "--due-at", at) == 1

    assert "change these 3 jobs?" in asked
    assert done.startswith("changed 3 jobs (audit ")
    assert "parts that wait: 3" in done
    assert "due_at: is missing; give due_at, expires_at or priority" in nothing
    assert "none of these jobs waits to be sent" in capsys.readouterr().err
    assert {job["due_at"] for job in listed(run, capsys)} == {"2999-01-01T01:00:00+00:00"}
