"""`worker lanes`: lists pauses, blocked lanes and accounts, and what happened to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from worker.cli.options import Account, Commands, Json, echo, to_json
from worker.cli.reading import iso, pause_line, print_rows, print_table, require_account
from worker.cli.times import local
from worker.config.settings import load_settings
from worker.control.opening import open_database
from worker.domain.pacing.lane import LaneEventKind, LaneStatus
from worker.domain.pause import Pause
from worker.language import term, translate
from worker.outbox.lanes.lanes import list_lane_events
from worker.reporting.lane_list import LaneReport, lane_list

app = Commands()


@app.command()
def lanes(
    account: Account = None,
    events: Annotated[bool, typer.Option("--history", help="What happened to them, newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many events.")] = 50,
    as_json: Json = False,
) -> None:
    """Lists what is blocked, parked or slowed down: since when, until when, why, and what to do."""
    if events:
        _show_events(account=account, limit=limit, as_json=as_json)
        return
    settings = load_settings()
    with open_database(settings) as database, database.reading() as connection:
        pauses, standing = lane_list(connection, database.now, account=account)
    lane_rows = [_lane_json(lane) for lane in standing]
    # An account that is gone may still have lanes and pauses, and those are listed.
    if not pauses and not lane_rows:
        require_account(account)
    if as_json:
        echo(json.dumps(to_json([*map(_pause_json, pauses), *lane_rows]), ensure_ascii=False))
        return
    for pause in pauses:
        command = pause.ending()
        echo(f"{pause_line(pause)}\n  remedy: `{command}`")
    if lane_rows or not pauses:
        print_rows(lane_rows, _lane_lines, "nothing is paused, blocked, parked or slowed down", as_json=False)


def _pause_json(pause: Pause) -> dict[str, Any]:
    """Returns a pause as JSON values, with the keys of a lane."""
    reason, remedy = f"paused by {pause.person}: {pause.why}", f"`{pause.ending()}`"
    scope = {"account": pause.account, "label": pause.scope_text(), "pause": pause.id}
    return {"lane": None, **scope, "state": "paused", "since": pause.began_at, "reason": reason, "remedy": remedy}


def _show_events(*, account: str | None, limit: int, as_json: bool) -> None:
    """Prints the newest events of lanes."""
    with open_database() as database, database.reading() as connection:
        events = [_event(row) for row in list_lane_events(connection, account, limit)]
    if not events:
        require_account(account)
    print_table(events, ("at", "lane", "step", "why"), _event_row, "no events", as_json=as_json)


def _lane_json(lane: LaneReport) -> dict[str, Any]:
    instants = {name: getattr(lane, name) for name in ("since", "until")}
    iso_times = {name: None if at is None else at.isoformat(timespec="milliseconds") for name, at in instants.items()}
    values: dict[str, Any] = to_json(lane)
    return {**values, **iso_times}


def _lane_lines(lane: Mapping[str, Any]) -> str:
    since = f" since {local(lane['since'])}" if lane["since"] else ""
    until = _until(lane["until"], is_parked=lane["state"] == LaneStatus.PARKED)
    probe = ", the next job probes" if lane["state"] == LaneStatus.PARKED and not lane["until"] else ""
    bound = "" if lane["calls"] is None else f", {lane['calls']} in flight at most"
    state = "".join([term("state", lane["state"]), *map(translate, (since, until, probe, bound))])
    lines = [f"{lane['lane']}  {lane['label']}  {state}"]
    lines += [f"  why: {lane['reason']}"] if lane["reason"] else []
    lines += [f"  times in a row that a limit was exceeded: {lane['struck']}"] if lane["struck"] else []
    lines += [f"  remedy: {lane['remedy']}"] if lane["remedy"] else []
    lines += [f"  hint for the vendor's support: {lane['hint']}"] if lane["hint"] else []
    return "\n".join(lines)


def _until(until: str | None, *, is_parked: bool) -> str:
    """Says when a block ends. A parked lane has no end by itself: the instant is that of its next probe."""
    if not until:
        return ""
    return f", next probe at {local(until)}" if is_parked else f", until {local(until)}"


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: row[name] for name in ("lane", "account", "label", "what", "reason", "remedy", "hint")}
    return {"at": iso(row["happened_at"]), **values, "until": iso(row["until"])}


def _event_row(event: Mapping[str, Any]) -> tuple[str, ...]:
    until = _until(event["until"], is_parked=event["what"] == LaneEventKind.PARKED)
    lane = " ".join(filter(None, (event["lane"], event["label"])))
    step, why = term("step", event["what"]), translate(event["reason"]) + translate(until)
    return local(event["at"]), lane, step, why
