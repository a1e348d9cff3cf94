"""A command: first what it is about, as the command line counts it, then with a reason carried out, then its audit row.

Nothing is done to what was not shown: where something came to it meanwhile, it is shown anew.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import cast, get_args

from worker.console.commands.orders import FIELDS, CommandName, Order, ReadyOrder, ready
from worker.console.page import ConsoleRequest, NotFound, Redirect, View
from worker.console.pages.jobs import search_of
from worker.console.pages.memory import memory_of
from worker.control.audit import MAX_WHY, require_person
from worker.domain.errors import CheckFailed, Problem, WorkerError
from worker.domain.job import job_of
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import account_of
from worker.outbox.control.matching import jobs_of
from worker.outbox.engine.clock import instant
from worker.outbox.jobs.events import read_event
from worker.producer.options import PRIORITIES

NEEDS_REASON = frozenset({"resolve"})
NEEDS_TIME = frozenset({"recall", "replay", "correct"})
"""Commands about what was enqueued since some time: a day ago, unless another is given."""
TYPED = frozenset({"correct", "reschedule"})
"""Commands that are about the same jobs, whatever is typed beside the filter."""
COUNTED = frozenset({"cancel", "recall", "correct", "replay", "reschedule", "resolve", "hold", "release"})
"""Commands whose button says how many jobs or parts they are about."""


def preview(request: ConsoleRequest) -> View | Redirect:
    """What the command is about, and a form for its reason."""
    # The boxes that were ticked in a list come one by one.
    given = {**request.query, "ids": " ".join(request.query.getlist("ids"))}
    return _or_problems(request, lambda: _preview(request, given))


def carry_out(request: ConsoleRequest) -> View | Redirect:
    """Carries it out, if it is about nothing that was not shown."""
    return _or_problems(request, lambda: _carried_out(request))


def _or_problems(request: ConsoleRequest, answer: Callable[[], View | Redirect]) -> View | Redirect:
    """The answer, or what is wrong with the fields."""
    try:
        return answer()
    except CheckFailed as error:
        return View.of("problems.html", request.term("order.refused"), problems=error.problems)


def _carried_out(request: ConsoleRequest) -> View | Redirect:
    assert request.form is not None
    order = _order(request, request.form)
    why, memory = request.form.get("why", "").strip(), memory_of(request.site.database)
    try:
        needed = "explain in a few words how you know" if order.name in NEEDS_REASON else None
        require_person(request.viewer.name, why, empty_remedy=needed)
        found = ready(request.site, order)
        is_more = not memory.shown.covers(request.form.get("shown", ""), found.preview.ids)
        if is_more or not found.preview.total:
            return _preview(request, request.form, is_more=is_more)
        audit = memory.background.begin(partial(found.give, request.viewer.name, why))
    except WorkerError as error:
        return _preview(request, request.form, error)
    if audit is None:
        return View.of("order_waits.html", request.term(f"command.{order.name}"))
    return Redirect(f"/audit/{audit}")


def _preview(
    request: ConsoleRequest, given: Mapping[str, str], error: WorkerError | None = None, *, is_more: bool = False
) -> View:
    order = _order(request, given)
    found: ReadyOrder | None = None
    try:
        found = ready(request.site, order)
    except WorkerError as refused:
        error = error or refused
        with suppress(WorkerError):
            # The form stays, with what was typed, where only that is wrong.
            found = ready(request.site, replace(order, options={})) if order.name in TYPED else None
    return View.of(
        "order.html",
        request.term(f"command.{order.name}"),
        order=order,
        fields={**_fields(order), **order.options},
        narrows=order.name in NEEDS_TIME and order.wanted is not None and order.wanted.created_from is not None,
        is_counted=order.name in COUNTED,
        back=_back(order),
        priorities=PRIORITIES,
        preview=None if found is None else found.preview,
        shown="" if found is None else memory_of(request.site.database).shown.note(found.preview.ids),
        problems=error.problems if isinstance(error, CheckFailed) else (),
        error=None if error is None or isinstance(error, CheckFailed) else error.told(request.viewer.lang),
        is_more=is_more,
        why=given.get("why", ""),
        longest=MAX_WHY,
        needs_reason=order.name in NEEDS_REASON,
        line=_line(order),
    )


def _order(request: ConsoleRequest, given: Mapping[str, str]) -> Order:
    """The command that fields name; Forbidden where the viewer may not give it."""
    if request.path["name"] not in get_args(CommandName):
        raise NotFound
    name = cast(CommandName, request.path["name"])
    # A msgid names the message that was sent, and no jobs, when one says what became of it.
    search = search_of(request, {field: text for field, text in given.items() if (name, field) != ("resolve", "msgid")})
    if search.problems:
        raise CheckFailed(search.problems)
    if search.wanted is None and search.state is not None:
        raise CheckFailed([Problem("filter", "is only a state", "give an account, ids, or another field too")])
    options = {option: text for option in FIELDS.get(name, ()) if (text := given.get(option, "").strip())}
    order = Order(name, _since(request, name, search.wanted), options)
    for account in _accounts(request, order):
        request.require_act(account)
    return order


def _accounts(request: ConsoleRequest, order: Order) -> set[str | None]:
    """The accounts that a command is about; None: it may be about any."""
    wanted = order.wanted
    if request.may_act(None):
        return {None}
    # First what names one thing: such a command asks no filter, so the account of one that was given says nothing.
    if name := order.options.get("name"):
        return {account_of(name)}
    if event := order.options.get("event"):
        with request.reading() as connection:
            row = read_event(connection, event)
        return {None if row is None else row["account"]}
    if wanted is not None and wanted.account is not None:
        return {wanted.account}
    if wanted is not None and wanted.ids is not None:
        ids = {job_of(id) if "-" in id else id for id in wanted.part_or_job_ids()}
        with request.reading() as connection:
            found = {job.id: job.account for job in jobs_of(connection, wanted, ids)}
        return {found.get(id) for id in ids}
    return {None}


def _since(request: ConsoleRequest, name: CommandName, wanted: JobFilter | None) -> JobFilter | None:
    """The filter with a time where the command needs one: a day before now, or before the end that it has."""
    if name not in NEEDS_TIME or wanted is None or wanted.names_ended or wanted.created_from is not None:
        return wanted
    until = wanted.created_before or instant(request.site.database.read_now())
    since = (until - timedelta(days=1)).replace(microsecond=0)
    return replace(wanted, created_from=since.astimezone(request.site.settings.zone))


def _back(order: Order) -> tuple[str, dict[str, str]]:
    """Where one was, as path and query: the job, the mailing, the list of what is meant, or the lanes."""
    fields = _fields(order)
    ids = fields.get("ids", "").split()
    if len(ids) == 1:
        return f"/jobs/{job_of(ids[0])}", {}
    if "tag" in fields and fields.keys() <= {"tag", "account", "created_from"}:
        return "/mailings/tag", {name: fields[name] for name in ("tag", "account") if name in fields}
    return ("/jobs", fields) if fields else ("/lanes", {})


def _fields(order: Order) -> dict[str, str]:
    """The filter as the fields of a form."""
    wanted = order.wanted
    asked = {} if wanted is None else wanted.asked()
    return {name: _typed(value, getattr(wanted, name)) for name, value in asked.items()}


def _typed(asked: object, value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return " ".join(asked) if isinstance(asked, list) else str(asked)


_WORDS: Mapping[str, str] = {"hold": "pause", "release": "resume", "lift": "resume", "retry": "events"}


def _line(order: Order) -> str:
    """The same on the command line."""
    given = {**_fields(order), **order.options}
    named = [word for name in ("ids", "name") for word in given.pop(name, "").split()]
    words = [word for name, value in given.items() for word in _option(name, value)]
    return shlex.join(["worker", _WORDS.get(order.name, order.name), *named, *words])


def _option(name: str, value: str) -> tuple[str, ...]:
    match name:
        case "event":
            return ("--retry", value)
        case "sent":
            return ("--sent" if value == "yes" else "--not-sent",)
        case "accepted" | "unknown" | "cancelled" | "all":
            return (f"--{name}",)
    return (f"--{name.replace('_', '-')}", value)
