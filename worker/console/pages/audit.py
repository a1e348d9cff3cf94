"""What people did and looked at, newest first; and one command with how far it has come."""

from __future__ import annotations

from worker.console.page import ConsoleRequest, Forbidden, NotFound, View
from worker.console.pages import seen
from worker.console.rendering import action_word
from worker.console.viewer import has_right
from worker.control.audit import AuditEntry, find_audit, list_audit

ON_A_PAGE = 50
LOOK = "console.look"


def audit(request: ConsoleRequest) -> View:
    """The list; without the looks at texts, unless the query asks for them."""
    looks = request.query.get("looks") == "yes"
    with request.reading() as connection:
        without = None if looks else LOOK
        found = list_audit(connection, limit=ON_A_PAGE, before=request.query.get("before"), without=without)
    entries = [seen.shown(request.viewer, None, one) for one in found]
    before = found[-1].id if len(found) == ON_A_PAGE else None
    return View.of("audit.html", request.term("audit.title"), entries=entries, before=before, looks=looks)


def entry(request: ConsoleRequest) -> View:
    """One command, an operator's own; while it goes on the page asks again by itself."""
    with request.reading() as connection:
        found = find_audit(connection, request.path["id"])
    if found is None:
        raise NotFound
    if not has_right(request.viewer, "administer") and found.person != request.viewer.name:
        raise Forbidden
    own = found.person == request.viewer.name
    shown = found if own else seen.shown(request.viewer, None, found)
    return View.of(
        "audit_entry.html",
        f"{request.term('audit.action')}: {action_word(request.viewer.lang, found.action)}",
        entry=shown,
        total=_total(found),
        done=_done(found),
        may_list=has_right(request.viewer, "administer"),
    )


def _total(entry: AuditEntry) -> int | None:
    """How many jobs it was about; None: it did not say so before it began."""
    total = entry.asked.get("jobs")
    return total if isinstance(total, int) else None


def _done(entry: AuditEntry) -> int:
    """How many of them it has gone through."""
    counted = ("replays", "refused", "recalls", "corrections", "jobs", "decided")
    return sum(entry.counts.get(name, 0) for name in counted)
