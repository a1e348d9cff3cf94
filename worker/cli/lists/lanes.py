"""`worker lanes`: what is paused, and what blocks lanes and accounts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from worker.cli.options import Account, Commands, Json, echo, plain
from worker.cli.reading import iso, pause_line, print_rows, print_table
from worker.cli.times import local
from worker.config.settings import load_settings
from worker.control.opening import open_database
from worker.domain.pause import Pause
from worker.language import term, translate
from worker.outbox.lanes.lanes import list_lane_events
from worker.reporting.lane_list import LaneReport, lane_list

app = Commands()


@app.command()
def lanes(
    account: Account = None,
    steps: Annotated[bool, typer.Option("--events", help="What happened to them, newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many events.")] = 50,
    as_json: Json = False,
) -> None:
    """Lists what is blocked, parked or slowed down: since when, until when, why, and what to do."""
    if steps:
        _show_events(account=account, limit=limit, as_json=as_json)
        return
    with open_database(load_settings()) as database, database.reading() as connection:
        pauses, standing = lane_list(connection, database.now, account=account)
    found = [_plain(one) for one in standing]
    if as_json:
        echo(json.dumps(plain([*map(_paused, pauses), *found]), ensure_ascii=False))
        return
    for one in pauses:
        echo(f"{pause_line(one)}\n  remedy: `{one.ending()}`")
    if found or not pauses:
        print_rows(found, _lane_lines, "nothing is paused, blocked, parked or slowed down", as_json=False)


def _paused(pause: Pause) -> dict[str, Any]:
    """A pause among the lanes."""
    why, remedy = f"paused by {pause.person}: {pause.why}", f"`{pause.ending()}`"
    scope = {"account": pause.account, "label": pause.told(), "pause": pause.id}
    return {"lane": None, **scope, "state": "paused", "since": pause.began_at, "reason": why, "remedy": remedy}


def _show_events(*, account: str | None, limit: int, as_json: bool) -> None:
    """Prints the newest events of lanes."""
    with open_database() as database, database.reading() as connection:
        found = [_event(row) for row in list_lane_events(connection, account, limit)]
    print_table(found, ("at", "lane", "step", "why"), _event_row, "no events", as_json=as_json)


def _plain(one: LaneReport) -> dict[str, Any]:
    instants = {name: getattr(one, name) for name in ("since", "until")}
    told = {name: None if at is None else at.isoformat(timespec="milliseconds") for name, at in instants.items()}
    shown: dict[str, Any] = plain(one)
    return {**shown, **told}


def _lane_lines(lane: Mapping[str, Any]) -> str:
    since = f" since {local(lane['since'])}" if lane["since"] else ""
    until = f", until {local(lane['until'])}" if lane["until"] else ""
    probe = ", next probe" if lane["state"] == "parked" and not lane["until"] else ""
    most = "" if lane["calls"] is None else f", {lane['calls']} in flight at most"
    state = "".join([term("state", lane["state"]), *map(translate, (since, until, probe, most))])
    lines = [f"{lane['lane']}  {lane['label']}  {state}"]
    lines += [f"  why: {lane['reason']}"] if lane["reason"] else []
    lines += [f"  times in a row that a limit was exceeded: {lane['struck']}"] if lane["struck"] else []
    lines += [f"  remedy: {lane['remedy']}"] if lane["remedy"] else []
    lines += [f"  hint for the vendor's support: {lane['hint']}"] if lane["hint"] else []
    return "\n".join(lines)


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("lane", "account", "label", "what", "reason", "remedy", "hint")}
    return {"at": iso(row["happened_at"]), **shown, "until": iso(row["until"])}


def _event_row(event: Mapping[str, Any]) -> tuple[str, ...]:
    until = f", until {local(event['until'])}" if event["until"] else ""
    lane = " ".join(filter(None, (event["lane"], event["label"])))
    step, why = term("step", event["what"]), translate(event["reason"]) + translate(until)
    return local(event["at"]), lane, step, why
