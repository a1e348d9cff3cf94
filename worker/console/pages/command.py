"""The pages of a command: a preview with a form for the reason, then the run, then its row in the audit.

A command changes nothing that its preview did not show. If jobs were added meanwhile, the preview is shown again.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from worker.console.page import ConsoleRequest, NotFound, Redirect, View
from worker.console.pages.cache import PageCache, cache_of
from worker.console.pages.jobs import as_typed, page_of, search_of
from worker.console.pages.pausing import ended_pauses, parts_behind, pauses_over
from worker.console.running.background import OnBegin
from worker.console.running.preparing import (
    OFFERED,
    CommandRequest,
    PreparedCommand,
    Preview,
    option_names,
    prepare,
)
from worker.control.audit import MAX_WHY, require_person
from worker.control.command import Option, TargetKind
from worker.control.new_message import CorrectionSample
from worker.domain.errors import CheckFailed, Problem, WorkerError
from worker.domain.job import job_of
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import account_of
from worker.outbox.control.matching import jobs_of
from worker.outbox.engine.clock import SECOND, instant, micros_of
from worker.outbox.jobs.events import read_event


def preview(request: ConsoleRequest) -> View | Redirect:
    """Shows the preview of a command, and a form for its reason."""
    # Each ticked checkbox of a list is a value of its own.
    fields = {**request.query, "ids": " ".join(request.query.getlist("ids"))}
    return _or_problems(request, lambda: _preview(request, fields))


def carry_out(request: ConsoleRequest) -> View | Redirect:
    """Runs the command, or shows the preview again if it would change more than was shown."""
    return _or_problems(request, lambda: _carry_out(request))


def _or_problems(request: ConsoleRequest, respond: Callable[[], View | Redirect]) -> View | Redirect:
    """Returns the answer, or a page with the problems of the fields."""
    try:
        return respond()
    except CheckFailed as error:
        return View.of("problems.html", request.term("preview.refused"), problems=error.problems)


def _carry_out(request: ConsoleRequest) -> View | Redirect:
    assert request.form is not None
    # Browsers send the end of each line as CRLF. A correction has to be the same text as on the command line.
    form = {name: text.replace("\r\n", "\n") for name, text in request.form.items()}
    command = _command(request, form)
    why, cache = form.get("why", "").strip(), cache_of(request.site.database)
    try:
        require_person(request.viewer.name, why, empty_remedy=OFFERED[command.name].needed_why)
        prepared = prepare(request.site, command)
        shown = form.get("shown", "")
        is_more = not cache.previewed.covers(shown, prepared.preview.ids)
        is_unseen = not is_more and not cache.previewed.covers(shown, prepared.preview.shown)
        if is_more or is_unseen or not prepared.preview.total:
            return _preview(request, form, is_more=is_more, is_unseen=is_unseen)
        background = cache.background if prepared.is_long else cache.immediate
        audit = background.begin(partial(_run, cache, prepared, request.viewer.name, why))
    except WorkerError as error:
        return _preview(request, form, error)
    if audit is None:
        return View.of("command_waits.html", request.term(f"command.{command.name}"))
    return Redirect(f"/audit/{audit}")


def _run(cache: PageCache, prepared: PreparedCommand, person: str, why: str, on_begin: OnBegin) -> str:
    """Runs the command, and keeps why it refused jobs for the page of its audit row. Returns the row's id."""
    result = prepared.run(person, why, on_begin)
    if prepared.is_long:
        cache.refusals.add(result.audit, result.notes)
    return result.audit


def _preview(
    request: ConsoleRequest,
    fields: Mapping[str, str],
    error: WorkerError | None = None,
    *,
    is_more: bool = False,
    is_unseen: bool = False,
) -> View:
    given = _command(request, fields)
    prepared: PreparedCommand | None = None
    command, retyped = OFFERED[given.name], option_names(given.name, beside_button=True)
    try:
        prepared = prepare(request.site, given)
    except WorkerError as refused:
        error = error or refused
        with suppress(WorkerError):
            # If only an option is wrong, the form keeps what was typed.
            others = {name: text for name, text in given.options.items() if name not in retyped}
            prepared = prepare(request.site, replace(given, options=others)) if retyped else None
    ended = ended_pauses(request, given.name, _fields(given))
    return View.of(
        "command.html",
        request.term(f"command.{command.name}"),
        command=command,
        fields={**_fields(given), **given.options},
        instants=_instants(given),
        flags={"sent", *_TICKS},
        ticks=[name for name in option_names(command.name) if name in _TICKS and name not in (*retyped, "all")],
        inputs=[] if prepared is None else _inputs(given, prepared.preview),
        narrows=command.is_about_ended and given.job_filter is not None and given.job_filter.created_from is not None,
        is_counted=command.target in (TargetKind.JOBS, TargetKind.IDS),
        back=page_of(_fields(given)),
        retyped=retyped,
        preview=None if prepared is None else prepared.preview,
        shown="" if prepared is None else cache_of(request.site.database).previewed.add(prepared.preview.shown),
        samples=() if prepared is None else _samples(request, prepared.preview),
        is_unseen=is_unseen,
        problems=error.problems if isinstance(error, CheckFailed) else (),
        error=None if error is None or isinstance(error, CheckFailed) else error.localized(request.viewer.lang),
        is_more=is_more,
        why=fields.get("why", ""),
        longest=MAX_WHY,
        line=_command_line(given),
        pauses=pauses_over(request, given.name, _fields(given)),
        behind=sum(parts_behind(request, ended).values()) if ended else None,
        may_act=request.may_act,
    )


def _inputs(given: CommandRequest, preview: Preview) -> list[Option]:
    """Returns the options that are typed beside the button. An id is of one message that was sent."""
    has_id = preview.total == 1 and given.options.get("sent") == "yes"
    return [
        one for one in OFFERED[given.name].keywords.values() if one.is_beside_button and (has_id or one.name != "msgid")
    ]


def _itself(sample: CorrectionSample) -> CorrectionSample:
    return sample


def _samples(request: ConsoleRequest, preview: Preview) -> list[CorrectionSample]:
    """Returns the samples that the viewer may read. The audit records that they view them."""
    readable = [request.text(sample.account, sample.job, partial(_itself, sample)) for sample in preview.samples]
    return [sample for sample in readable if sample is not None]


def _command(request: ConsoleRequest, fields: Mapping[str, str]) -> CommandRequest:
    """Parses the fields of a command; raises Forbidden if the viewer may not run it."""
    name = request.path["name"]
    if name not in OFFERED:
        raise NotFound
    own = option_names(name)
    search = search_of(request, {field: text for field, text in fields.items() if field not in own})
    if search.problems:
        raise CheckFailed(search.problems)
    if search.job_filter is None and search.state is not None:
        raise CheckFailed([Problem("filter", "names only a state", "give an account, ids, or another field too")])
    options = {option: text for option in own if (text := fields.get(option, "").strip())}
    # An address may say that a box is not ticked.
    options = {option: text for option, text in options.items() if option not in _TICKS or text != "no"}
    command = CommandRequest(name, _since(request, name, search.job_filter), options)
    to_account = {options["to_account"]} if "to_account" in options else set[str]()
    for account in _accounts(request, command) | to_account:
        request.require_act(account)
    return command


def _accounts(request: ConsoleRequest, command: CommandRequest) -> set[str | None]:
    """Returns the accounts whose jobs or lanes a command may change; None among them stands for any account."""
    job_filter = command.job_filter
    if request.may_act(None):
        return {None}
    # A command on a lane or an event has no filter. Its account is that of the lane or event, whatever the form says.
    if name := command.options.get("name"):
        return {account_of(name)}
    if event := command.options.get("event"):
        with request.reading() as connection:
            row = read_event(connection, event)
        return {None if row is None else row["account"]}
    if job_filter is not None and job_filter.account is not None:
        return {job_filter.account}
    if job_filter is not None and job_filter.ids is not None:
        ids = {job_of(id) if "-" in id else id for id in job_filter.part_or_job_ids()}
        with request.reading() as connection:
            accounts = {job.id: job.account for job in jobs_of(connection, job_filter, ids)}
        return {accounts.get(id) for id in ids}
    return {None}


def _since(request: ConsoleRequest, name: str, job_filter: JobFilter | None) -> JobFilter | None:
    """Returns the filter, with `created_from` a day before its end (or now) if the command needs a time."""
    if (
        not OFFERED[name].is_about_ended
        or job_filter is None
        or job_filter.names_ended
        or job_filter.created_from is not None
    ):
        return job_filter
    end = (
        request.site.database.read_now() if job_filter.created_before is None else micros_of(job_filter.created_before)
    )
    since = instant(end - 86_400 * SECOND).replace(microsecond=0)  # not before the year 1
    return replace(job_filter, created_from=since.astimezone(request.site.settings.zone))


def _fields(command: CommandRequest) -> dict[str, str]:
    """Returns the filter as the fields of a form."""
    job_filter = command.job_filter
    arguments = {} if job_filter is None else job_filter.conditions()
    return {name: _typed(value, getattr(job_filter, name)) for name, value in arguments.items()}


def _instants(command: CommandRequest) -> dict[str, datetime]:
    """Returns the times of the filter, which the page writes as it writes all times."""
    values = ((name, getattr(command.job_filter, name)) for name in _fields(command))
    return {name: value for name, value in values if isinstance(value, datetime)}


def _typed(argument: object, value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return as_typed(argument)


def _command_line(command: CommandRequest) -> str:
    """Returns the same command for the command line."""
    options = {**_fields(command), **command.options}
    if (old := options.pop("old", None)) is not None:
        options["replace"] = f"{old}={options.pop('new', '')}"
    positional = [word for name in ("ids", "name", "event") for word in options.pop(name, "").split()]
    words = [word for name, value in options.items() for word in _option(name, value)]
    typed = OFFERED[command.name].typed_as or command.name
    return shlex.join(["worker", *typed.split(), *positional, *words])


def _option(name: str, value: str) -> tuple[str, ...]:
    flag = f"--{name.replace('_', '-')}"
    if name == "sent":
        return ("--sent" if value == "yes" else "--not-sent",)
    return (flag,) if name in _TICKS else (flag, value)


_TICKS = {"all"} | {
    name
    for command in OFFERED.values()
    for name, keyword in command.keywords.items()
    if keyword.type is bool and not keyword.no
}
"""The options that are ticked or not."""
