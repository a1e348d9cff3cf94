"""Options and words that several commands have."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
_INSTANT: dict[str, Any] = {"formats": ["%Y-%m-%dT%H:%M:%S%z"], "metavar": "2026-11-21T18:00:00+0800"}
Account = Annotated[str | None, typer.Option(help="Only this account's.")]
Channel = Annotated[str | None, typer.Option(help="Only this channel's.")]
OfKind = Annotated[str | None, typer.Option("--kind", help="Only jobs of this kind, such as send.")]
Tag = Annotated[str | None, typer.Option(help="Only jobs with this tag.")]
CreatedFrom = Annotated[datetime | None, typer.Option(help="Only what was enqueued then or later.", **_INSTANT)]
CreatedBefore = Annotated[datetime | None, typer.Option(help="Only what was enqueued before.", **_INSTANT)]
CalledFrom = Annotated[datetime | None, typer.Option(help="Only what was last called then or later.", **_INSTANT)]
CalledBefore = Annotated[datetime | None, typer.Option(help="Only what was last called before.", **_INSTANT)]
Everything = Annotated[bool, typer.Option("--all", help="Everything, whatever the account.")]
Person = Annotated[str | None, typer.Option("--as", help="Who says so; default: the system's user.")]
Why = Annotated[str, typer.Option(help="The reason, in a few words; kept in the audit.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def job_filter(ids: list[str] | None, **more: Any) -> Any:
    """The filter that the options name; imported late, as all that a command needs."""
    from worker.domain.job_filter import JobFilter

    return JobFilter(ids=ids or None, **more)


def tell_value(value: Any, told: str, *, as_json: bool) -> None:
    """Prints a value as JSON, or what is said of it."""
    typer.echo(json.dumps(value, ensure_ascii=False) if as_json else told)


def note(line: str) -> None:
    """Says something beside the result, on stderr."""
    typer.echo(line, err=True)


def confirm(question: str) -> bool:
    """Asks a person, on stderr."""
    return typer.confirm(question, err=True)
