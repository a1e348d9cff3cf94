"""One response_code, several processes: a race makes one call, and a death between mark and record burns the code."""

from __future__ import annotations

import json
import signal
from typing import Any

from rig.stack import ACCOUNT, LIMIT_S, SHORT, Stack, until
from rig.stacks import EMBEDDED, MARIADB, RABBITMQ, Make, on_stacks
from tests.process.office import UPDATE, Office
from worker import (
    ButtonCard,
    CardUpdate,
    JobReport,
    JobState,
    To,
    enqueue,
    get_job,
    timeline,
    update_card,
    update_card_by_code,
)

"""A lease, a deadline and a repeat one after the other, on a busy machine."""
TAKEN_BY_THE_VENDOR = {"after_mark": 0, "answer_read": 1}
"""Where the process dies -> the calls it had made until then."""


@on_stacks(RABBITMQ, why="two processes race; the statements of a race are tried on each database", by=("job", "code"))
def test_two_processes_that_race_for_one_code_make_one_call(make: Make, by: str) -> None:
    """Both have read the code as fresh and are about to mark: one has it, the other says what to do instead."""
    meeting = make.folder / "meeting"
    meeting.mkdir(parents=True)
    # What is out stays out: nobody but these two may come to the meeting, each with an update of its own.
    stack = make(delivery={**SHORT, "republish_after_s": 20.0})
    for _ in range(2):
        stack.process("tests.process.meeting_worker", str(meeting), "1")
    until(lambda: stack.number("select count(*) from worker_processes") == 2, "both processes live")
    card = _card(stack)
    (meeting / "armed").touch()

    # Urgent parts ring in doorbells of their own, and one thread has one doorbell: each process gets one.
    update = {"job": _update, "code": _update_by_its_code}[by]
    jobs = [update(stack, card, "first", priority="urgent"), update(stack, card, "second")]
    stack.until_settled()

    assert len(list(meeting.glob("*.here"))) == 2, "they did not race"
    reports = [_report(stack, job) for job in jobs]
    assert sorted(report.state for report in reports) == [JobState.ACCEPTED, JobState.REJECTED]
    [winner], [loser] = ([r for r in reports if r.state is s] for s in (JobState.ACCEPTED, JobState.REJECTED))
    [code] = stack.rows("select code, state, leased_by from worker_response_codes")
    assert ("spent", winner.parts[0].id) == (code.state, code.leased_by)
    assert [code.code] == _spent(stack)
    assert loser.parts[0].attempts == ()
    said = {"job": "no response_code is left", "code": f"its response_code has been used by job {winner.id}"}
    assert str(loser.parts[0].reason).startswith(said[by])


@on_stacks(MARIADB, EMBEDDED, why="its SQL is tried on each database in process", step=("after_mark", "answer_read"))
def test_a_code_that_died_with_its_process_is_burned_and_the_update_goes_on_with_the_next(
    make: Make, step: str
) -> None:
    """Killed before the call and after it: the person's own code first, then the send's, each once."""
    here = Office(make, hooks=False)
    here.opens()
    stack, card = here.stack, _sent_by_a_worker_of_its_own(here)
    [(of_the_send,)] = stack.rows("select code from worker_response_codes")
    of_the_press = here.press("lisi")["response_code"]
    until(lambda: stack.number("select count(*) from worker_response_codes") == 2, "the press is stored")
    update = _update(stack, card, "noted", ["lisi"])

    _killed_at(stack, step)
    between = _codes(stack)
    stack.worker()
    stack.until_settled()

    assert {of_the_press: "leased", of_the_send: "fresh"} == between
    assert {of_the_press: "burned", of_the_send: "spent"} == _codes(stack)
    assert [of_the_press, of_the_send][1 - TAKEN_BY_THE_VENDOR[step] :] == _spent(stack)
    report = _report(stack, update)
    assert JobState.ACCEPTED is report.state
    assert [attempt.outcome for attempt in report.parts[0].attempts] == ["unknown", "accepted"]
    [shown] = stack.vendor.inbox()["lisi"]
    assert shown["update"] == {"replace_name": "noted"}


@on_stacks(RABBITMQ, why="the test above tries where else it may die", step=("after_mark", "answer_read"))
def test_a_code_that_died_with_its_process_and_was_the_last_is_held_and_said(make: Make, step: str) -> None:
    """No other code: nothing is called again, the update is `unknown` for a person, report and timeline say why."""
    here = Office(make, hooks=False)
    here.opens()
    stack, card = here.stack, _sent_by_a_worker_of_its_own(here)
    update = _update(stack, card, "noted", ["lisi"])

    _killed_at(stack, step)
    stack.worker()
    stack.until_settled()

    assert list(_codes(stack).values()) == ["burned"]
    assert TAKEN_BY_THE_VENDOR[step] == len(_spent(stack))
    report = _report(stack, update)
    assert (report.state, report.parts[0].not_before) == (JobState.UNKNOWN, None), "nobody but a person acts on it"
    reason = str(report.parts[0].reason)
    assert reason.startswith("in doubt; later rejected: no response_code is left")
    with stack.database.reading() as connection:
        told = {event.what: event.detail for event in timeline(connection, update)}
    assert told["unknown"].startswith("the process ended before it could store an answer")
    assert f"unknown: {reason}" == told["ended"]


def _sent_by_a_worker_of_its_own(here: Office) -> str:
    """A card to lisi, sent by a worker that has ended: the next process's first call is the update."""
    worker = here.stack.worker()
    card = here.card("lisi")
    assert here.stack.end(worker) == 0
    return card


def _card(stack: Stack) -> str:
    card = ButtonCard(main_title={"title": "leave"}, button_list=[{"text": "yes", "key": "yes"}])  # type: ignore[arg-type,list-item]
    with stack.database.writing() as connection:
        job = enqueue(connection, ACCOUNT, card, To(["lisi"]), accounts=stack.accounts).id
    stack.until_settled()
    return job


def _update(stack: Stack, card: str, text: str, to: list[str] | None = None, **options: Any) -> str:
    update = CardUpdate(replace_name=text)
    with stack.database.writing() as connection:
        return update_card(connection, card, update, to, accounts=stack.accounts, **options).id


def _update_by_its_code(stack: Stack, card: str, text: str, **options: Any) -> str:
    [(code,)] = stack.rows("select code from worker_response_codes")
    update = CardUpdate(replace_name=text)
    with stack.database.writing() as connection:
        return update_card_by_code(connection, ACCOUNT, code, update, accounts=stack.accounts, **options).id


def _killed_at(stack: Stack, step: str) -> None:
    """A worker that ends by SIGKILL within its first call."""
    process = stack.process("rig.crash.worker", step, "1", "2")
    until(lambda: process.poll() is not None, f"killed at {step}", LIMIT_S)
    assert -signal.SIGKILL == process.returncode, stack.logs()[-3000:]


def _codes(stack: Stack) -> dict[str, str]:
    return dict(stack.rows("select code, state from worker_response_codes"))


def _spent(stack: Stack) -> list[str]:
    """The codes of all calls that arrived, in order."""
    return [json.loads(call["body"])["response_code"] for call in stack.vendor.calls(UPDATE)]


def _report(stack: Stack, job: str) -> JobReport:
    with stack.database.reading() as connection:
        return get_job(connection, job)
