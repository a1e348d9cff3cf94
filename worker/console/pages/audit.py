"""The audit: who ran which command and who viewed which text, newest first; and the progress of one command."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from worker.console.page import ConsoleRequest, Forbidden, NotFound, View
from worker.console.pages import redaction
from worker.console.pages.cache import cache_of
from worker.console.pages.jobs import as_typed, page_of
from worker.console.pages.pausing import pauses_over
from worker.console.rendering import action_word
from worker.console.running.preparing import OFFERED
from worker.console.viewer import has_right
from worker.control.audit import AuditEntry, find_audit, list_audit
from worker.domain.job_filter import INSTANTS
from worker.domain.times import write_time
from worker.outbox.upkeep.purge import ACCESS

ON_A_PAGE = 50
VIEW_ACTION = "console.view"
TIMES = frozenset({*INSTANTS, "due_at", "expires_at", "since"})
"""The arguments that are instants."""


def audit(request: ConsoleRequest) -> View:
    """Shows the list. Views of texts are left out unless the query asks for them."""
    with_views = request.query.get("views") == "yes"
    with request.reading() as connection:
        without = None if with_views else VIEW_ACTION
        rows = list_audit(connection, limit=ON_A_PAGE + 1, page_after=request.query.get("page_after"), without=without)
    entries = [_in_zone(request, redaction.redact(request.viewer, None, row)) for row in rows]
    page_after = rows[ON_A_PAGE - 1].id if len(rows) > ON_A_PAGE else None
    return View.of(
        "audit.html", request.term("audit.title"), entries=entries, page_after=page_after, with_views=with_views
    )


def entry(request: ConsoleRequest) -> View:
    """Shows one command; operators see only their own. The page reloads by itself until the command has ended."""
    with request.reading() as connection:
        row = find_audit(connection, request.path["id"])
    if row is None:
        raise NotFound
    if not has_right(request.viewer, "administer") and row.person != request.viewer.name:
        raise Forbidden
    is_own = row.person == request.viewer.name
    visible = row if is_own else redaction.redact(request.viewer, None, row)
    sent = row.counts.get("accepted", 0) + row.counts.get("partial", 0)
    return View.of(
        "audit_entry.html",
        request.term("audit.one", action=action_word(request.viewer.lang, row.action)),
        entry=_in_zone(request, visible),
        total=_total(row),
        done=_done(row),
        refusals=cache_of(request.site.database).refusals.of(row.id),
        under_way=any(follow_up.under_way for follow_up in row.follow_ups),
        is_command=row.action not in ACCESS,
        may_list=has_right(request.viewer, "administer"),
        again=_again(row),
        scope=_scope(row),
        back=page_of(_scope(row)) if "filter" in row.arguments else None,
        sent=sent,
        pauses=pauses_over(request, row.action.removeprefix("console."), _scope(row)),
        may_act=request.may_act,
        can_follow=_can_follow(row, sent),
    )


def _scope(entry: AuditEntry) -> dict[str, str]:
    """Returns the filter of a command as the fields of a form."""
    return {name: as_typed(value) for name, value in entry.arguments.get("filter", {}).items()}


def _can_follow(entry: AuditEntry, sent: int) -> tuple[str, ...]:
    """Returns the commands that can follow a cancel that found parts sent, or a pause."""
    match entry.action.removeprefix("console."):
        case "cancel" if sent:
            return ("recall",)
        case "pause" if entry.arguments.get("filter"):
            return ("recall", "correct", "cancel", "resume")
    return ()


def _again(entry: AuditEntry) -> tuple[str, dict[str, str]] | None:
    """Returns path and query of a command that does the rest of one that was interrupted, or None for other entries."""
    command = OFFERED.get(entry.action.removeprefix("console."))
    if command is None or not entry.is_interrupted:
        return None
    given = {name: entry.arguments.get(name) for name in command.keywords}
    # That a box is not ticked needs no field; that the answer to a question was no does.
    options = {name: value for name, value in given.items() if value or (value is False and command.keywords[name].no)}
    return f"/commands/{command.name}", _scope(entry) | {name: as_typed(value) for name, value in options.items()}


def _in_zone(request: ConsoleRequest, entry: AuditEntry) -> AuditEntry:
    """Returns the entry with the instants of its arguments in the time zone of all pages."""
    return replace(entry, arguments=_with_times(entry.arguments, request.site.settings.zone))


def _with_times(arguments: Mapping[str, Any], zone: tzinfo) -> dict[str, Any]:
    shown = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            shown[name] = _with_times(value, zone)
        elif name in TIMES and isinstance(value, str):
            # An instant at the end of the calendar may have no place in the zone, and stays as it is stored.
            with suppress(ValueError, OverflowError):
                shown[name] = write_time(datetime.fromisoformat(value), zone)
    return shown


def _total(entry: AuditEntry) -> int | None:
    """Returns how many jobs the command was given, or None if its row does not say."""
    total = entry.arguments.get("jobs")
    return total if isinstance(total, int) else None


def _done(entry: AuditEntry) -> int:
    """Returns how many of these jobs are done."""
    # A job that is corrected is mostly recalled, too.
    recalls = () if "corrections" in entry.counts else ("recalls",)
    cancelled = ("cancelled",) if entry.action.removeprefix("console.") == "recall" else ()
    names = ("replays", "refused", *recalls, "corrections", "moved", "jobs", "unchanged", "decided", *cancelled)
    return sum(entry.counts.get(name, 0) for name in names)
