"""The response_codes of cards: stored with a send, leased with a mark, spent, freed or burned when the call ends.

Also the task_ids that sends have used. They name the card that a person pressed, and can prove that a call was
accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, String, bindparam, text

from worker.domain.job import job_of, part_range
from worker.domain.outcome import Accepted, Outcome, Partial, Rejected, Retry, Unknown
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch, run

TASK_ID_CHARACTERS = 128
SPENT_BY_VENDOR = 60140
"""The vendor's errcode for an invalid response_code: it has expired, was used, or belongs to another app."""
INSTEAD = "take the code of a later press of the card, or send a new card"
"""What to do when a response_code cannot be used."""
SOON_US = 3600 * 1_000_000
"""A card update is urgent when its code ends within this many microseconds."""


@dataclass(frozen=True, slots=True)
class CodeState:
    """The row of one response_code, without the code."""

    id: str
    state: str
    """`fresh`, `leased`, `spent` or `burned`."""
    holder: str | None
    """The update's part that has leased or used it, or None while it is fresh."""
    ends_at: int

    @property
    def used(self) -> bool:
        """Whether it is spent or burned. It is not used any more, unless a late answer says that it was not used."""
        return self.state in ("spent", "burned")

    @property
    def fate(self) -> str:
        """Returns what became of a used code, as the end of a sentence about it."""
        by = f" by job {job_of(self.holder)}" if self.holder else ""
        if self.state == "burned":
            return f"may have been used{by}, whose call was not answered"
        return f"has been used{by}: each is good for one update"


@dataclass(frozen=True, slots=True)
class Code:
    """A response_code that can be used for an update."""

    id: str
    code: str = field(repr=False)
    ends_at: int
    source: str
    """`send`, `callback` or `given`."""
    left_us: int
    """Microseconds from the query until it expires."""


def code_id(app: str, code: str) -> str:
    """Returns the key of a code in the table. `app` is `Channel.app_scope`."""
    return hashlib.sha256(f"{app}\x00{code}".encode("utf-8", "surrogatepass")).hexdigest()


def store_msgid(connection: Connection, account: str, msgid: str, part_id: str) -> None:
    """Stores which part a vendor's msgid belongs to, so that the part is found by its msgid."""
    row = {"account": account, "task_id": msgid[:TASK_ID_CHARACTERS], "part_id": part_id}
    insert_rows(connection, tables.task_ids, [row], conflict="ignore")


def stored_task_ids(connection: Connection, account: str) -> list[str]:
    """Returns every task_id and msgid that is stored for parts of this account."""
    query = "select task_id from worker_task_ids where account = :account"
    return [row[0] for row in fetch(connection, query, {"account": account})]


def store_code(
    connection: Connection,
    app: str,
    part_id: str,
    code: str,
    now: int,
    ttl_s: int,
    person: str | None = None,
    *,
    given: bool = False,
) -> None:
    """Stores a code from a send, from the callback of a person's press, or, with `given`, from the application.

    A code that is stored already stays as it is.
    """
    row = {
        "id": code_id(app, code),
        "part_id": part_id,
        "source": "given" if given else "send" if person is None else "callback",
        "code": code,
        "state": "fresh",
        "leased_by": None,
        "issued_at": now,
        "ends_at": now + ttl_s * 1_000_000,
        "person": None if person is None else person.lower(),
    }
    insert_rows(connection, tables.response_codes, [row], conflict="ignore")


def fresh_codes(connection: Connection, part_id: str, now: str, people: Sequence[str] = ()) -> list[Code]:
    """Returns at most two unused codes of a card, in the order in which an update for these people should use them.

    First come the codes of their own presses, then those of other presses, then the code of the send.
    """
    # The send's code is last, because only that one is for all recipients. Of equal codes, the one that expires last is
    # first, because the age at which the vendor refuses a code has changed before.
    query = text(
        f"select id, code, ends_at, source, ends_at - ({now}) from worker_response_codes"
        f" where part_id = :part and state = 'fresh' and ends_at > {now}"
        " order by case when person in :people then 0 when source = 'callback' then 1 else 2 end,"
        " ends_at desc, id limit 2"
    ).bindparams(bindparam("people", [person.lower() for person in people], String(), expanding=True))
    rows = connection.execute(query, {"part": part_id})
    return [Code(*row) for row in rows]


def pressed_by(connection: Connection, job_id: str, people: Sequence[str]) -> dict[str, set[str]]:
    """Returns person -> parts of the job whose cards the person pressed. Persons are in lower case."""
    query = text(
        "select person, part_id from worker_response_codes"
        " where part_id > :low and part_id < :high and person in :people"
    ).bindparams(bindparam("people", [person.lower() for person in people], String(), expanding=True))
    parts_of: dict[str, set[str]] = {}
    for person, part in connection.execute(query, part_range(job_id)) if people else ():
        parts_of.setdefault(person, set()).add(part)
    return parts_of


def read_code(connection: Connection, code: str) -> CodeState | None:
    """Returns the state of a code by its key, or None if it was never stored."""
    query = "select id, state, leased_by, ends_at from worker_response_codes where id = :id"
    row = execute(connection, query, {"id": code}).first()
    return None if row is None else CodeState(*row)


def code_states(connection: Connection, part_id: str) -> set[str]:
    """Returns the states of all codes of a part's card. Empty if it never had one."""
    query = "select distinct state from worker_response_codes where part_id = :part"
    return {row[0] for row in execute(connection, query, {"part": part_id})}


def unused_codes(connection: Connection, job_id: str, now: str) -> list[tuple[str, int, int | None]]:
    """Returns (part, number of unused codes, when the last of them expires) for each part that ever had a code."""
    query = (
        "select part_id, count(until), max(until) from (select part_id,"
        f" case when state = 'fresh' and ends_at > {now} then ends_at end as until from worker_response_codes"
        " where part_id > :low and part_id < :high) codes group by part_id order by part_id"
    )
    return [(part, int(left), until) for part, left, until in execute(connection, query, part_range(job_id))]


def end_soon(connection: Connection, job_id: str, now: str, within_us: int) -> bool:
    """Returns whether the last unused code of one of the job's cards expires within this many microseconds."""
    query = (
        "select part_id from worker_response_codes where part_id > :low and part_id < :high and state = 'fresh'"
        f" group by part_id having max(ends_at) > {now} and max(ends_at) <= {now} + :within limit 1"
    )
    return execute(connection, query, {**part_range(job_id), "within": within_us}).first() is not None


def lease_codes(connection: Connection, requests: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Leases codes, requested as (code id, part), in the transaction of the marks. Returns code id -> part."""
    dialect = dialect_of(connection)
    query = f"select id, state, leased_by from {dialect.by_ids('worker_response_codes')}{dialect.lock_in_order()}"
    rows = fetch(connection, query, {"ids": ids_json(code for code, _ in requests)})
    states = {row[0]: (row[1], row[2]) for row in rows}
    leased: dict[str, str] = {}
    for code, part_id in requests:
        state, holder = states.get(code, ("gone", None))
        if state == "fresh" or (state == "leased" and holder == part_id):
            states[code] = ("leased", part_id)
            leased[code] = part_id
            _set_state(connection, code, "leased", part_id)
    return leased


def free_codes(connection: Connection, codes: Sequence[str]) -> None:
    """Frees codes that this transaction leased for parts which were not marked."""
    for code in codes:
        _set_state(connection, code, "fresh", None)


def end_lease(connection: Connection, code: str, part_id: str, outcome: Outcome, errcode: int | None) -> None:
    """Ends a call's lease. The code is spent after success, burned in doubt, and fresh again if certainly unused.

    If the part does not have the code any more, only a success counts, and only while no other part has the code.
    """
    match outcome:
        case Accepted() | Partial():
            state = "spent"
        # Spent too: otherwise the next update would try the same code again.
        case Rejected() | Retry() if errcode == SPENT_BY_VENDOR:
            state = "spent"
        case Unknown():
            state = "burned"
        case _:
            state = "fresh"
    # A late answer may come after a person decided that the call was not sent. By then another update may have used it.
    only = "leased_by = :part or leased_by is null" if state == "spent" else "leased_by = :part"
    update = f"update worker_response_codes set state = :state, leased_by = :holder where id = :id and ({only})"
    holder = None if state == "fresh" else part_id
    run(connection, update, {"state": state, "holder": holder, "id": code, "part": part_id})


def burn_leases(connection: Connection, part_ids: Sequence[str]) -> None:
    """Burns the codes that these parts have leased. The parts are in doubt, so the codes may have been used."""
    table, index = "worker_response_codes", "worker_response_codes_leased"
    burn = dialect_of(connection).update_by_ids(table, "state = 'burned'", "leased_by", index=index)
    run(connection, f"{burn} and state = 'leased'", {"ids": ids_json(part_ids)})


def settle_burned(connection: Connection, part_id: str, card: str, *, used: bool) -> None:
    """Settles the codes that an update in doubt has burned: spent, or fresh if they were certainly not used.

    `card` is the part whose card is updated, or the update itself if the application gave the code.
    """
    to = "state = 'spent'" if used else "state = 'fresh', leased_by = null"
    update = f"update worker_response_codes set {to} where part_id in (:card, :part) and leased_by = :part"
    run(connection, f"{update} and state = 'burned'", {"part": part_id, "card": card})


def _set_state(connection: Connection, code: str, state: str, part_id: str | None) -> None:
    update = "update worker_response_codes set state = :state, leased_by = :part where id = :id"
    run(connection, update, {"state": state, "part": part_id, "id": code})


def may_belong_to_other_part(connection: Connection, accounts: Sequence[str], task_id: str, part_id: str) -> bool:
    """Returns whether another part of these accounts may have sent a card under the caller's task_id."""
    # Counts parts in flight, accepted or in doubt. A card that the vendor readably refused did not use its task_id.
    return any(
        fetch(connection, _OTHER_PART_SQL, {"account": account, "task": task_id, "part": part_id})
        for account in accounts
    )


# States: 1 sending, 2 accepted, 3 partial, 6 unknown.
_OTHER_PART_SQL = (
    "select 1 from worker_task_ids t join worker_parts p on p.id = t.part_id where t.account = :account"
    " and t.task_id = :task and t.part_id <> :part and (p.state in (1, 2, 3, 6) or p.doubts > 0) limit 1"
)


def store_task_ids(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Stores rows of (account, task_id, part_id): the new part sends a card under a task_id that the caller chose."""
    insert_rows(connection, tables.task_ids, list(rows))
