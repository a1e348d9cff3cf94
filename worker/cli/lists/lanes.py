"""`worker lanes` and `worker resume`: what is paused, what blocks lanes and accounts, and lifting a block."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.cli.reading import Say, iso, pause_line, plain, tell
from worker.config.settings import load_settings
from worker.control.opening import opened
from worker.domain.errors import WorkerError
from worker.domain.pacing.lane import Standing, standing
from worker.domain.pause import Pause
from worker.outbox.engine.database import Database
from worker.outbox.lanes import lanes, tokens
from worker.outbox.lanes.pauses import standing_pauses
from worker.outbox.lanes.processes import living, unusable_accounts_told

BY_A_PERSON = "a person resumed it"
_EASING = (Standing.NARROWED, Standing.STARTING)
"""States that begin after the block which led to them, so `since` is when the bound on calls changed."""


def show(say: Say, *, account: str | None, as_json: bool) -> None:
    """Prints what is paused, and the lanes and accounts that are blocked, parked or slowed down."""
    settings = load_settings()
    with opened(settings) as database, database.reading() as connection:
        with database.reading_state(connection) as state:
            rows = lanes.list_lanes(*state, account)
        pauses = [
            one
            for one in standing_pauses(connection)
            if account in (None, one.account) or not (one.account or one.job_id)
        ]
        processes = [one for one in living(connection, database.now) if one.fresh]
    found = [_unusable(name, *told, len(processes)) for name, told in unusable_accounts_told(processes).items()]
    found = [one for one in found if account in (None, one["account"])]
    found += [_plain(row, settings.delivery.breaker_failures) for row in rows]
    if as_json:
        say(json.dumps(plain([*map(_paused, pauses), *found]), ensure_ascii=False))
        return
    for one in pauses:
        say(f"{pause_line(one)}\n  remedy: `{one.ending()}`")
    if found or not pauses:
        tell(say, found, _lane_lines, "nothing is paused, blocked, parked or slowed down", as_json=False)


def _unusable(account: str, count: int, why: str, processes: int) -> dict[str, Any]:
    """An account that worker processes cannot use, among the lanes."""
    reason = f"{count} of {processes} worker processes cannot use it as it is configured there"
    nothing = dict.fromkeys(("since", "until", "hint", "struck", "calls", "failures"))
    which = {"lane": account, "account": account, "label": "account", "state": "unusable"}
    return {**which, "reason": reason, "remedy": why, **nothing}


def _paused(pause: Pause) -> dict[str, Any]:
    """A pause among the lanes."""
    why, remedy = f"paused by {pause.person}: {pause.why}", f"`{pause.ending()}`"
    scope = {"account": pause.account, "label": pause.told(), "pause": pause.id}
    return {"lane": None, **scope, "state": "paused", "since": pause.began_at, "reason": why, "remedy": remedy}


def show_events(say: Say, *, account: str | None, limit: int, as_json: bool) -> None:
    """Prints the newest events of lanes."""
    with opened() as database, database.state.reading() as connection:
        found = [_event(row) for row in lanes.list_lane_events(connection, account, limit)]
    tell(say, found, _event_line, "no events", as_json=as_json)


def resume(database: Database, name: str) -> list[str]:
    """Lifts all blocks of an account and its lanes, or of one lane; a line for each. WorkerError when there is none."""
    state = database.state
    with state.reading() as connection:
        known = lanes.lanes_of(connection, name)
    # The token first: a sender that finds the lane open while gettoken is still refused would park it again.
    refused = state.run(lambda connection: tokens.probe_now(connection, name))
    events = state.run(lambda c: lanes.resume_lanes(c, state.now, known, BY_A_PERSON)) if known else []
    told = [f"{event.lane} starts with one call in the air" for event in events]
    told += [f"the secret of {name} is tried now"] if refused else []
    if not told:
        raise WorkerError(f"nothing of {name!r} is blocked or parked; `worker lanes` lists what is")
    return told


def remedy_of(row: Mapping[str, Any]) -> str:
    """What a person has to do about a parked lane or account; the last step is always the same."""
    last = f"`worker resume {row['lane']}`, or wait for the next probe"
    return f"{row['remedy']}; then {last}" if row["remedy"] else last


def _plain(row: Mapping[str, Any], failures: int) -> dict[str, Any]:
    now, state = row["now"], standing(row, failures)
    return {
        "lane": row["lane"],
        "account": row["account"],
        "label": row["label"],
        "state": state,
        "since": iso(row["changed_at" if state in _EASING else "blocked_at"]),
        "until": iso(row["blocked_until"]) if row["blocked_until"] > now else None,
        "reason": row["reason"] or None,
        "remedy": remedy_of(row) if state is Standing.PARKED else row["remedy"],
        "hint": row["hint"],
        "struck": row["step"],
        "calls": row["calls"],
        "failures": row["failures"],
    }


def _lane_lines(lane: Mapping[str, Any]) -> str:
    since = f" since {lane['since']}" if lane["since"] else ""
    until = f", until {lane['until']}" if lane["until"] else ""
    probe = ", next probe" if lane["state"] == "parked" and not lane["until"] else ""
    most = "" if lane["calls"] is None else f", {lane['calls']} in the air at most"
    lines = [f"{lane['lane']}  {lane['label']}  {lane['state']}{since}{until}{probe}{most}"]
    lines += [f"  why: {lane['reason']}"] if lane["reason"] else []
    lines += [f"  struck {lane['struck']} times in a row"] if lane["struck"] else []
    lines += [f"  remedy: {lane['remedy']}"] if lane["remedy"] else []
    lines += [f"  hint for the vendor's support: {lane['hint']}"] if lane["hint"] else []
    return "\n".join(lines)


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("lane", "account", "label", "what", "reason", "remedy", "hint")}
    return {"at": iso(row["happened_at"]), **shown, "until": iso(row["until"])}


def _event_line(event: Mapping[str, Any]) -> str:
    until = f", until {event['until']}" if event["until"] else ""
    return f"{event['at']}  {event['lane'] or '-'}  {event['label']:<20} {event['what']}: {event['reason']}{until}"
