"""Writes the Grafana dashboards of `deploy/grafana/dashboards`; `python -m tools.dashboards`, or `make dashboards`.

Layout, datasource, links and variables are the same everywhere. Knows the JSON model of dashboards and the names of our
metrics; tests compare the files with it, and the names with a scrape.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.panels import BAD_ABOVE_0, BAD_AT_0, RATE, SOURCE, Panel, Steps, late_after, quantiles, rate, stat

FOLDER = Path(__file__).parents[1] / "deploy/grafana/dashboards"
SCHEMA = 39
"""The version of the dashboard model, Grafana 10.4's; newer ones read it."""
WIDTH = 24
OF_ACCOUNT = 'account=~"$account"'


def overview() -> list[list[Panel]]:
    """Is it well, and what does it do?"""
    return [
        [
            stat("Database", "worker_database_up", steps=BAD_AT_0, runbook="database-away"),
            stat("Relay", "worker_relay_active", steps=BAD_AT_0, runbook="nothing-is-delivered"),
            stat("Processes", "worker_processes", steps=BAD_AT_0, runbook="nothing-is-delivered"),
            stat("Silent processes", "worker_processes_silent", steps=BAD_ABOVE_0, runbook="nothing-is-delivered"),
            stat(
                "Accounts parked",
                'sum(worker_lanes{scope="account", standing="parked"})',
                steps=BAD_ABOVE_0,
                runbook="account-parked",
            ),
            stat("Waits for a person", 'sum(worker_parts{state="held"})', steps=BAD_ABOVE_0, runbook="parts-unknown"),
            stat(
                "Due parts",
                "sum(worker_backlog_parts)",
                runbook="it-is-not-sent",
                text="At least so many while worker_count_capped is 1.",
            ),
            stat("Oldest due part", "max(worker_backlog_oldest_seconds)", "s", late_after(300), "it-is-not-sent"),
        ],
        [
            Panel("Calls by outcome", rate("worker_attempts_total", "outcome"), unit="reqps"),
            Panel("Parts ended by state", rate("worker_parts_ended_total", "state"), unit="ops"),
        ],
        [
            Panel("Due to first call", quantiles("worker_first_call_seconds", "priority"), unit="s"),
            Panel("Due to end", quantiles("worker_end_seconds", "priority"), unit="s"),
        ],
        [
            Panel(
                "Due parts by priority",
                {"sum by (priority) (worker_backlog_parts)": "{{priority}}"},
                runbook="it-is-not-sent",
            ),
            Panel("Length of calls", quantiles("worker_call_seconds", "channel"), unit="s", runbook="vendor-is-ill"),
        ],
        [
            Panel(
                "Errcodes",
                rate("worker_attempts_total", "errcode", 'errcode!~"|0"'),
                unit="reqps",
                runbook="unheard-of-code",
            ),
            Panel("Came to be in doubt", rate("worker_unknowns_total", "channel"), unit="ops", runbook="parts-unknown"),
            Panel(
                "Answers that differ from the vendor's pages",
                rate("worker_drift_total", "sort"),
                runbook="answers-drift",
            ),
        ],
        [
            Panel(
                "Callbacks",
                {**rate("worker_callbacks_total", "outcome"), **rate("worker_callbacks_refused_total", "status")},
                unit="reqps",
                runbook="callbacks-stopped",
            ),
            Panel("Runs of hooks", rate("worker_hook_runs_total", "outcome"), unit="ops", runbook="hooks-failed"),
            Panel("Jobs of the last ten minutes", {"sum by (state) (worker_jobs_recent)": "{{state}}"}),
            Panel(
                "Messages in the broker that were dropped",
                {"sum(increase(worker_messages_dropped_total[$__rate_interval]))": "dropped"},
            ),
        ],
    ]


def account() -> list[list[Panel]]:
    """One account: what it sends, and what stands in its way."""

    def of(metric: str, by: str) -> dict[str, str]:
        return {f"sum by ({by}) ({metric}{{{OF_ACCOUNT}}})": f"{{{{{by}}}}}"}

    def rates(metric: str, by: str) -> dict[str, str]:
        return rate(metric, by, OF_ACCOUNT)

    parked = f'sum(worker_lanes{{{OF_ACCOUNT}, scope="account", standing="parked"}})'
    return [
        [
            stat("Parked", parked, steps=BAD_ABOVE_0, runbook="account-parked"),
            stat(
                "Processes that cannot use it",
                f"sum(worker_account_unusable{{{OF_ACCOUNT}}})",
                steps=BAD_ABOVE_0,
                runbook="account-unusable",
            ),
            stat(
                "Waits for a person",
                f'sum(worker_parts{{{OF_ACCOUNT}, state="held"}})',
                steps=BAD_ABOVE_0,
                runbook="parts-unknown",
            ),
            stat("Due parts", f"sum(worker_backlog_parts{{{OF_ACCOUNT}}})", runbook="it-is-not-sent"),
            stat(
                "Longest open",
                f"max(worker_open_oldest_seconds{{{OF_ACCOUNT}}})",
                "s",
                late_after(3600),
                "it-is-not-sent",
            ),
            stat("Pauses", f"sum(worker_pauses{{{OF_ACCOUNT}}})"),
        ],
        [
            Panel("Calls by outcome", rates("worker_attempts_total", "outcome"), unit="reqps"),
            Panel("Errcodes", rates("worker_attempts_total", "errcode"), unit="reqps", runbook="unheard-of-code"),
            Panel("Parts ended by state", rates("worker_parts_ended_total", "state"), unit="ops"),
        ],
        [
            Panel("Parts that can still move", of("worker_parts", "state")),
            Panel("Due parts by priority", of("worker_backlog_parts", "priority"), runbook="it-is-not-sent"),
            Panel("How long the first due part waits", of("worker_backlog_oldest_seconds", "priority"), unit="s"),
        ],
        [
            Panel("Lanes by what stands on them", of("worker_lanes", "standing"), runbook="it-is-not-sent"),
            Panel("Steps of lanes", rates("worker_lane_events_total", "what"), unit="ops", runbook="vendor-is-ill"),
        ],
        [
            Panel(
                "Fetches of tokens",
                rates("worker_token_fetches_total", "outcome"),
                unit="ops",
                runbook="account-parked",
            ),
            Panel("Callbacks", rates("worker_callbacks_total", "outcome"), unit="reqps", runbook="callbacks-stopped"),
            Panel("Late answers", rates("worker_late_answers_total", "outcome"), unit="ops"),
        ],
    ]


def limits() -> list[list[Panel]]:
    """The vendor's limits, and how much of them is used."""
    key = "{{account}} {{limit}} ({{of}})"
    share = f"worker_limit_used{{{OF_ACCOUNT}}} / worker_limit_amount{{{OF_ACCOUNT}}}"
    full: Steps = ((None, "green"), (0.8, "yellow"), (1, "red"))
    struck = f'worker_lane_events_total{{{OF_ACCOUNT}, what="struck"}}'
    return [
        [
            stat("Fullest limit", f"max({share})", "percentunit", full, "rate-limited"),
            stat("Limits that are full", f"count(worker_limit_room{{{OF_ACCOUNT}}} == 0) or vector(0)"),
            stat(
                "Calls refused by a limit in 10 minutes",
                f"sum(increase({struck}[10m]))",
                steps=BAD_ABOVE_0,
                runbook="rate-limited",
            ),
        ],
        [Panel("Use of each limit now", {share: key}, "bargauge", "percentunit", full)],
        [
            Panel("Use of the fullest ten", {f"topk(10, {share})": key}, unit="percentunit", steps=full),
            Panel("Room of the emptiest ten", {f"bottomk(10, worker_limit_room{{{OF_ACCOUNT}}})": key}),
        ],
        [
            Panel(
                "Calls refused by a limit",
                {f"sum by (account) (rate({struck}{RATE}))": "{{account}}"},
                unit="reqps",
                runbook="rate-limited",
            ),
            Panel(
                "Due parts",
                {f"sum by (account) (worker_backlog_parts{{{OF_ACCOUNT}}})": "{{account}}"},
                runbook="it-is-not-sent",
            ),
        ],
    ]


def databases() -> list[list[Panel]]:
    """The outbox, its processes, and what is written."""
    drift = "abs(worker_database_clock_seconds - timestamp(worker_database_clock_seconds))"
    items, commits = f"rate(worker_commit_items_sum{RATE})", f"rate(worker_commit_items_count{RATE})"
    return [
        [
            stat("Database", "worker_database_up", steps=BAD_AT_0, runbook="database-away"),
            stat("Clocks apart", drift, "s", ((None, "green"), (30, "yellow"), (90, "red")), "clocks-apart"),
            stat("Processes", "worker_processes", steps=BAD_AT_0, runbook="nothing-is-delivered"),
            stat("Silent processes", "worker_processes_silent", steps=BAD_ABOVE_0, runbook="worker-unhealthy"),
            Panel("Release", {"worker_build_info": "{{version}}, tables {{tables}}"}, "stat"),
        ],
        [
            Panel("Commits, and marks and ends in them", {commits: "commits", items: "marks and ends"}, unit="ops"),
            Panel(
                "Marks and ends of one commit",
                {
                    f"histogram_quantile({q}, sum by (le) (rate(worker_commit_items_bucket{RATE})))": f"p{int(q * 100)}"
                    for q in (0.5, 0.99)
                },
            ),
        ],
        [
            Panel(
                "Parts that can still move",
                {"sum by (state) (worker_parts)": "{{state}}", "worker_count_capped": "counts are capped"},
            ),
            Panel("Sender threads", {"worker_threads": "{{queue}}"}, runbook="nothing-is-delivered"),
        ],
        [
            Panel("Events that wait for hooks", {"worker_hook_events": "{{state}}"}, runbook="hooks-failed"),
            Panel(
                "Events that Flower did not get",
                {f"rate(worker_events_dropped_total{RATE})": "dropped"},
                unit="ops",
                runbook="broker-away",
            ),
        ],
    ]


def dashboards() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every dashboard's file name and content."""
    yield "overview.json", _dashboard("overview", "Delivery: overview", overview())
    yield "account.json", _dashboard("account", "Delivery: one account", account(), _of_accounts(several=False))
    yield "limits.json", _dashboard("limits", "Delivery: limits and their use", limits(), _of_accounts(several=True))
    yield "databases.json", _dashboard("databases", "Delivery: databases and processes", databases())


def _dashboard(name: str, title: str, rows: list[list[Panel]], *variables: dict[str, Any]) -> dict[str, Any]:
    others = {"type": "dashboards", "title": "Delivery", "tags": ["delivery"], "asDropdown": False, "keepTime": True}
    return {
        "uid": f"delivery-{name}",
        "title": title,
        "tags": ["delivery"],
        "schemaVersion": SCHEMA,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [{**others, "includeVars": True}],
        "templating": {"list": [*_EVERYWHERE, *variables]},
        "annotations": {"list": []},
        "panels": list(_placed(rows)),
    }


_EVERYWHERE: tuple[dict[str, Any], ...] = (
    {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus"},
    {"type": "textbox", "name": "runbooks", "label": "Address of docs/runbooks.md", "query": "/runbooks.md"},
)


def _of_accounts(*, several: bool) -> dict[str, Any]:
    """The choice of an account, out of those that the metrics tell of."""
    query = "label_values(worker_parts, account)"
    choice = {"type": "query", "name": "account", "label": "Account", "datasource": SOURCE, "query": query}
    return {**choice, "refresh": 2, "sort": 1, "multi": several, "includeAll": several}


def _placed(rows: list[list[Panel]]) -> Iterator[dict[str, Any]]:
    number = y = 0
    for row in rows:
        width = WIDTH // len(row)
        for place, panel in enumerate(row):
            number += 1
            yield panel.model(number, place * width, y, width)
        y += row[0].height


def content(dashboard: Mapping[str, Any]) -> str:
    """As it lies in the file."""
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, dashboard in dashboards():
        (FOLDER / name).write_text(content(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
