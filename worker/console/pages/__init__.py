"""The pages, a module for each kind; `PAGES` is the table of them all, in the order of the navigation."""

from __future__ import annotations

from worker.console.page import PageRoute
from worker.console.pages.accounts import account, accounts
from worker.console.pages.audit import audit, entry
from worker.console.pages.backlog import backlog
from worker.console.pages.callbacks import callback, events, inbound
from worker.console.pages.command import carry_out, preview
from worker.console.pages.exports import export
from worker.console.pages.failures import failures
from worker.console.pages.home import home
from worker.console.pages.job import job, part
from worker.console.pages.jobs import doubts, find, jobs
from worker.console.pages.lanes import lanes
from worker.console.pages.mailings import mailings, tag_mailing
from worker.console.pages.message import file, message
from worker.console.pages.processes import processes
from worker.console.pages.runbooks import runbooks

PAGES: tuple[PageRoute, ...] = (
    PageRoute("/", home, nav="home.title"),
    PageRoute("/jobs", jobs, nav="jobs.title"),
    PageRoute("/find", find),
    PageRoute("/export/{form}", export),
    PageRoute("/jobs/{job}", job),
    PageRoute("/jobs/{job}/parts/{n}", part),
    PageRoute("/jobs/{job}/message", message),
    PageRoute("/jobs/{job}/files/{n}/{name}", file),
    PageRoute("/mailings", mailings, nav="mailings.title"),
    PageRoute("/mailings/tag", tag_mailing),
    PageRoute("/failures", failures),
    PageRoute("/doubts", doubts, nav="doubts.title"),
    PageRoute("/backlog", backlog, nav="backlog.title"),
    PageRoute("/lanes", lanes, nav="lanes.title"),
    PageRoute("/accounts", accounts, nav="accounts.title"),
    PageRoute("/accounts/{name}", account),
    PageRoute("/inbound", inbound, nav="inbound.title"),
    PageRoute("/inbound/{id}", callback),
    PageRoute("/events", events, nav="events.title"),
    PageRoute("/processes", processes, nav="processes.title"),
    PageRoute("/runbooks", runbooks),
    PageRoute("/audit", audit, right="administer", nav="audit.title"),
    PageRoute("/audit/{id}", entry, right="act"),
    PageRoute("/commands/{name}", preview, right="act"),
    PageRoute("/commands/{name}", carry_out, "POST", "act"),
)
