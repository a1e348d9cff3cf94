"""The end of the demo: its checks, each a sentence and whether it is true, and its output.

The demo fails if a check fails. It prints each job with receipts, failures and timeline, some inboxes, and the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console

from worker.cli.showing import report_lines, timeline_lines
from worker.domain.state import JobState
from worker.language import term, translate
from worker.reporting.job_list import find_jobs
from worker.reporting.report import JobReport, JobSummary, RecipientFailure, failures
from worker.reporting.timeline import TimelineEvent, timeline
from worker_simulator.demo.application import APPROVERS, LATER, MISSING, PEOPLE, ROLLED_BACK, TEXT, Application
from worker_simulator.demo.stage import DemoStage, reading, reports

Check = tuple[str, bool]
Inbox = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Outcome:
    """The state of the outbox, the application and the fake WeCom after the last job has ended."""

    jobs: dict[str, JobReport]
    refused: dict[str, list[RecipientFailure]]
    timelines: dict[str, list[TimelineEvent]]
    all_jobs: tuple[JobSummary, ...]
    """All jobs in the outbox, including the upload that a send needed."""
    rows: int
    due_at: datetime | None
    inbox: Inbox
    calls: list[dict[str, Any]]
    callbacks: list[dict[str, Any]]
    violations: dict[str, Any]

    @classmethod
    def of(cls, stage: DemoStage, application: Application) -> Outcome:
        """Reads the outbox and the fake WeCom."""
        names = application.jobs.items()
        with reading(stage.engine) as connection:
            return cls(
                reports(stage.engine, application.jobs),
                {name: failures(connection, job_id) for name, job_id in names},
                {name: timeline(connection, job_id) for name, job_id in names},
                find_jobs(connection).jobs,
                application.rows(),
                application.due_at,
                stage.control("inbox")["people"],
                stage.control("calls")["calls"],
                stage.control("callbacks")["callbacks"],
                stage.control("violations"),
            )

    def texts(self, person: str, content: str) -> list[dict[str, Any]]:
        """Returns a person's text messages with this content."""
        return [message for message in self.inbox.get(person, []) if message["content"].get("content") == content]

    def of_type(self, person: str, msgtype: str) -> list[dict[str, Any]]:
        """Returns a person's messages of a type."""
        return [message for message in self.inbox.get(person, []) if message["msgtype"] == msgtype]


def checks(outcome: Outcome) -> list[Check]:
    """Returns all checks of the demo."""
    return [
        *_text(outcome),
        *_image_and_card(outcome),
        *_press(outcome),
        *_rolled_back_and_scheduled(outcome),
        *_overall(outcome),
    ]


def _text(outcome: Outcome) -> Iterator[Check]:
    text, back = outcome.jobs["text"], outcome.jobs["recall"]
    as_counted = (text.counts.accepted, text.counts.refused) == (1_497, 3)
    yield "the text to 1,500 is partial: 1,497 accepted, 3 refused", text.state is JobState.PARTIAL and as_counted
    refused = {failure.recipient for failure in outcome.refused["text"]}
    yield "the three who do not exist are named", refused == set(MISSING)
    yield "it took two calls with a msgid each", len({message.msgid for message in text.receipts if message.msgid}) == 2
    yield "everyone who exists saw the text once", all(len(outcome.texts(person, TEXT)) == 1 for person in PEOPLE)
    all_recalled = all(message["state"] == "recalled" for person in PEOPLE for message in outcome.texts(person, TEXT))
    recalled = (
        back.state is JobState.ACCEPTED and all(message.recalled_at for message in text.receipts) and all_recalled
    )
    yield "the recall took both calls back, from every inbox", recalled


def _image_and_card(outcome: Outcome) -> Iterator[Check]:
    image, card, update = (outcome.jobs[name] for name in ("image", "card", "update"))
    uploads = [job.state for job in outcome.all_jobs if job.kind == "upload"]
    sent = image.state is JobState.ACCEPTED and uploads == [JobState.ACCEPTED]
    yield "the image was uploaded once and sent", sent
    yield "both approvers see the image", all(len(outcome.of_type(person, "image")) == 1 for person in APPROVERS)
    cards = [outcome.of_type(person, "template_card") for person in APPROVERS]
    updated = all(len(shown) == 1 and "approved" in str(shown[0]["update"]) for shown in cards)
    yield "both approvers see the card once, updated", card.state is update.state is JobState.ACCEPTED and updated


def _press(outcome: Outcome) -> Iterator[Check]:
    results = [
        (callback["state"], [attempt["status"] for attempt in callback["tries"]]) for callback in outcome.callbacks
    ]
    yield "an approver pressed once, and the receiver took it at once", results == [("taken", [200])]
    updates = [call for call in outcome.calls if call["path"].endswith("/update_template_card")]
    spent = len(updates) == 1 and all(callback["response_code"] in updates[0]["body"] for callback in outcome.callbacks)
    yield "the hook's update spent the code of that press", spent
    steps = {"pressed", "hook started", "update_card enqueued", "hook done", "update_card ended"}
    yield "the card's timeline tells all of it", steps <= {event.what for event in outcome.timelines["card"]}


def _rolled_back_and_scheduled(outcome: Outcome) -> Iterator[Check]:
    later, due = outcome.jobs["later"], outcome.due_at
    called = [attempt.started_at for part in later.parts for attempt in part.attempts]
    yield (
        "the rolled-back transaction sent nothing",
        not any(ROLLED_BACK in str(call["body"]) for call in outcome.calls),
    )
    yield "the application kept its own six rows, one of them a hook's, and no seventh", outcome.rows == 6
    in_time = later.state is JobState.ACCEPTED and due is not None and len(called) == 1 and called[0] >= due
    yield "the scheduled text went out once, not before its time", in_time
    yield "both approvers see the scheduled text", all(len(outcome.texts(person, LATER)) == 1 for person in APPROVERS)


def _overall(outcome: Outcome) -> Iterator[Check]:
    violations = [outcome.violations[name] for name in ("limits", "drops", "duplicates")]
    yield "no limit was overstepped, nobody saw anything twice", not any(violations)
    yield "nothing is left to do", all(job.state is not JobState.OPEN for job in outcome.all_jobs)


def print_jobs(console: Console, outcome: Outcome) -> None:
    """Prints every job, then the inboxes of a few people."""
    for name, report in outcome.jobs.items():
        _title(console, name)
        lines = [*report_lines(report, outcome.refused[name]), *timeline_lines(outcome.timelines[name])]
        _print(console, map(translate, lines))
    _title(console, "what people saw")
    for person in [*APPROVERS, PEOPLE[-1], MISSING[0]]:
        _print(console, _inbox(person, outcome.inbox.get(person, [])))


def print_verdict(console: Console, checks: Sequence[Check]) -> bool:
    """Prints each check and its result. Returns True if all are true."""
    _title(console, "as stated?")
    for sentence, holds in checks:
        console.print(
            f"  {'ok ' if holds else translate('NOT')}  {translate(sentence)}",
            style=None if holds else "red",
            markup=False,
        )
    passed = all(holds for _, holds in checks)
    console.print(translate("demo: every job ended as stated" if passed else "demo: NOT as stated"))
    return passed


def _inbox(person: str, messages: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield f"  {person}:" + ("" if messages else f" {translate('nothing (does not exist)')}")
    for message in messages:
        content = message["content"]
        content_text = content.get("content") or content.get("main_title", {}).get("title") or translate("(picture)")
        update = message["update"] or {}
        change = f", its buttons now say {update['replace_name']!r}" if "replace_name" in update else ""
        recalled = f" ({term('state', 'recalled')})" if message["state"] == "recalled" else ""
        yield f"    {message['msgtype']:<14} {content_text}{recalled}{translate(change)}"


def _title(console: Console, text: str) -> None:
    console.print(f"\n{translate(text)}", style="bold")


def _print(console: Console, lines: Iterator[str]) -> None:
    for line in lines:
        console.print(line, markup=False)
