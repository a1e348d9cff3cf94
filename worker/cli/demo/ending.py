"""The demo's output at the end: each job with receipts, failures and timeline, some inboxes, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

from worker.cli.demo.application import APPROVERS, MISSING, PEOPLE
from worker.cli.demo.checks import Check, Outcome
from worker.cli.reading import report_lines, timeline_lines


def tell_everything(console: Console, outcome: Outcome) -> None:
    """Prints every job, then a few people's inboxes."""
    for name, report in outcome.jobs.items():
        _title(console, name)
        _print(console, [*report_lines(report, outcome.refused[name]), *timeline_lines(outcome.timelines[name])])
    _title(console, "what people saw")
    for person in [*APPROVERS, PEOPLE[-1], MISSING[0]]:
        _print(console, _inbox(person, outcome.inbox.get(person, [])))


def tell_verdict(console: Console, checks: Sequence[Check]) -> bool:
    """Prints each check and whether it holds; True when all hold."""
    _title(console, "as stated?")
    for sentence, holds in checks:
        console.print(f"  {'ok ' if holds else 'NOT'}  {sentence}", style=None if holds else "red", markup=False)
    passed = all(holds for _, holds in checks)
    console.print("demo: every job ended as stated" if passed else "demo: NOT as stated")
    return passed


def _inbox(person: str, messages: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield f"  {person}:" + ("" if messages else " nothing (does not exist)")
    for message in messages:
        content = message["content"]
        shown = content.get("content") or content.get("main_title", {}).get("title") or "(picture)"
        update = message["update"] or {}
        change = f", its buttons now say {update['replace_name']!r}" if "replace_name" in update else ""
        recalled = " (recalled)" if message["state"] == "recalled" else ""
        yield f"    {message['msgtype']:<14} {shown}{recalled}{change}"


def _title(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold")


def _print(console: Console, lines: Sequence[str] | Iterator[str]) -> None:
    for line in lines:
        console.print(line, markup=False)
