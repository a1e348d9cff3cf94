"""What blocks a lane, or a whole account, is written once, here; the parts behind it are not touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from worker.outbox import tables
from worker.outbox.bulk import chosen, ids_json, in_order, insert_rows
from worker.outbox.sql import fetch, run


@dataclass(frozen=True, slots=True)
class Block:
    """Nothing of `lane` (a lane key, or an account's name) is offered or marked for `delay` seconds."""

    lane: str
    account: str
    label: str
    delay: float
    reason: str
    remedy: str | None = None
    parked: bool = False


def block_lanes(connection: Connection, now_sql: str, blocks: Sequence[Block]) -> None:
    """Writes the blocks. A later end wins over an earlier one of the same lane, and what waits for a person goes on
    waiting for one: a passing limit must not lift a parking.
    """
    if not blocks:
        return
    now = int(fetch(connection, f"select {now_sql}")[0][0])
    longest: dict[str, Block] = {}
    for block in blocks:
        if block.lane not in longest or block.delay >= longest[block.lane].delay:
            longest[block.lane] = block
    known = _lock(connection, sorted(longest))
    rows = [_merged(known.get(lane), _row(block, now), now) for lane, block in sorted(longest.items())]
    insert_rows(connection, tables.lanes, rows, conflict="replace")


def _row(block: Block, now: int) -> dict[str, Any]:
    return {
        "lane": block.lane,
        "account": block.account,
        "label": block.label,
        "blocked_until": now + int(block.delay * 1_000_000),
        "reason": block.reason[:300],
        "remedy": block.remedy,
        "parked": block.parked,
        "blocked_at": now,
    }


def _lock(connection: Connection, lanes: Sequence[str]) -> dict[str, dict[str, Any]]:
    dialect = connection.dialect.name
    names = tuple(column.name for column in tables.lanes.columns)
    rows = fetch(
        connection,
        f"select {', '.join(names)} from {chosen(dialect, 'worker_lanes', 'lane')}{in_order(dialect, 'lane')}",
        {"ids": ids_json(lanes)},
    )
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return {row["lane"]: {**row, "parked": bool(row["parked"])} for row in found}


def _merged(old: dict[str, Any] | None, new: dict[str, Any], now: int) -> dict[str, Any]:
    """What holds when a block meets another one of its lane."""
    if old is None or not (old["parked"] or old["blocked_until"] > now):
        return new
    if old["parked"] != new["parked"]:
        says = old if old["parked"] else new
    else:
        says = max(new, old, key=lambda row: row["blocked_until"])  # the new one when they end together
    return {**says, "blocked_until": max(old["blocked_until"], new["blocked_until"])}


def blocked(connection: Connection, now_sql: str) -> dict[str, int]:
    """Blocked lanes and accounts, and the microseconds each has to go."""
    rows = connection.execute(
        text(f"select lane, blocked_until - {now_sql} from worker_lanes where blocked_until > {now_sql}")
    )
    return {row[0]: int(row[1]) for row in rows}


def parked(connection: Connection) -> set[str]:
    """Lanes and accounts that wait for a person; when their block runs out, one job may try."""
    return {row[0] for row in connection.execute(text("select lane from worker_lanes where parked = true"))}


def take_probe(connection: Connection, now_sql: str, lane: str, delay_us: int) -> bool:
    """Claims the one probe of a parked lane whose block ran out, and blocks it for the next interval."""
    taken = connection.execute(
        text(
            f"update worker_lanes set blocked_until = {now_sql} + :delay"
            f" where lane = :lane and parked = true and blocked_until <= {now_sql}"
        ),
        {"delay": delay_us, "lane": lane},
    )
    return bool(taken.rowcount)


def return_probe(connection: Connection, now_sql: str, lane: str, reason: str) -> None:
    """The probe of a lane made no call, for the lane is parked for its own reason: another may try the account."""
    waits = fetch(
        connection,
        "select lane from worker_lanes where lane = :lane and parked = true and reason = :reason",
        {"lane": lane, "reason": reason},
    )
    if waits:
        run(
            connection,
            f"update worker_lanes set blocked_until = {now_sql} where lane = :account and parked = true",
            {"account": account_of(lane)},
        )


def account_of(lane: str) -> str:
    """The account a lane key belongs to."""
    return lane.partition(":")[0]


def open_lane(connection: Connection, lane: str, reason: str) -> None:
    """Lifts a block that was made for this reason; another one stays."""
    run(
        connection,
        "update worker_lanes set blocked_until = 0, parked = false where lane = :lane and reason = :reason",
        {"lane": lane, "reason": reason},
    )


def free_lane(connection: Connection, lane: str) -> None:
    """Lifts a block: a person resumed it, or its cause is gone."""
    connection.execute(
        text("update worker_lanes set blocked_until = 0, parked = false where lane = :lane"), {"lane": lane}
    )
