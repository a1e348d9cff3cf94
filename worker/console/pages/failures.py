"""Why messages did not reach people: the failures of a search, or of the last day, by reason."""

from __future__ import annotations

from worker.console.page import ConsoleRequest, Redirect, View
from worker.console.pages import redaction
from worker.console.pages.cache import cache_of, read
from worker.console.pages.jobs import RECENT, search_of
from worker.reporting.failure_reasons import FailureReport, failures_by_reason
from worker.reporting.mailing import MAX_JOBS


def failures(request: ConsoleRequest) -> View | Redirect:
    """Shows the reasons, each with its meaning, its jobs and a replay of these."""
    search, site = search_of(request, request.query), request.site
    if search.problems:
        return View.of("problems.html", request.term("preview.refused"), problems=search.problems)
    if search.job_filter is None:
        return Redirect("/failures", {**search.typed, "created_from": "-24h"})
    search.job_filter.require_jobs_of_a_list()
    job_filter, readings = search.job_filter, cache_of(site.database).failures.get(tuple(search.typed.items()))
    reading = readings.latest(lambda: read(site, lambda connection, now: failures_by_reason(connection, job_filter)))
    report = FailureReport((), is_cut_short=False, leaves_fresh_out=False) if reading is None else reading.value
    return View.of(
        "failures.html",
        request.term("failures.title"),
        search=search,
        recent=RECENT,
        reading=reading,
        report=report,
        rows=[
            (redaction.redact(request.viewer, one.reason.account, one), one.reason.meaning(request.viewer.lang))
            for one in report.counts
        ],
        max_jobs=MAX_JOBS,
        may_act=request.may_act,
    )
