"""The ledger of response_codes: stored with a send, leased with a mark, spent, freed or burned when the call ends.

Beside it the task_ids that sends have used: they name the card that is pressed, and can prove that a call was accepted.
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
"""The vendor's errcode "invalid response_code": expired, used or of another app."""
INSTEAD = "take the code of a later press of the card, or send a new card"
"""What to do when a response_code cannot be used."""
SOON_US = 3600 * 1_000_000
"""A card update is urgent when its code ends within this many microseconds."""


@dataclass(frozen=True, slots=True)
class CodeState:
    """One code's row in the ledger, without the code."""

    id: str
    state: str
    """`fresh`, `leased`, `spent` or `burned`."""
    holder: str | None
    """The update part that holds or used it; None while fresh."""
    ends_at: int

    @property
    def used(self) -> bool:
        """No call is made with it any more, unless a late answer says that it was not taken."""
        return self.state in ("spent", "burned")

    @property
    def fate(self) -> str:
        """What became of a used one, as the end of a sentence about it."""
        by = f" by job {job_of(self.holder)}" if self.holder else ""
        if self.state == "burned":
            return f"may have been used{by}, whose call was not answered"
        return f"has been used{by}: each is good for one update"


@dataclass(frozen=True, slots=True)
class Code:
    """One code that can be used for an update."""

    id: str
    code: str = field(repr=False)
    ends_at: int
    source: str
    """`send`, `callback` or `given`."""
    left_us: int
    """Microseconds from the instant of the query until it ends."""


def code_id(app: str, code: str) -> str:
    """The ledger's key of a code of an app (`Channel.app_scope`)."""
    return hashlib.sha256(f"{app}\x00{code}".encode("utf-8", "surrogatepass")).hexdigest()


def name_part(connection: Connection, account: str, msgid: str, part_id: str) -> None:
    """Stores the part that an id of the vendor's belongs to, so that the part is found by the id."""
    row = {"account": account, "task_id": msgid[:TASK_ID_CHARACTERS], "part_id": part_id}
    insert_rows(connection, tables.task_ids, [row], conflict="ignore")


def named_ids(connection: Connection, account: str) -> list[str]:
    """Every task_id or msgid that is stored for a part of this account."""
    query = "select task_id from worker_task_ids where account = :account"
    return [row[0] for row in fetch(connection, query, {"account": account})]


def file_code(
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
    """Stores a code from a send, from the callback of a person's press, or (`given`) from the application.

    A code that is known already stays as it is.
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
    """The unused codes of a card's send part, in the order in which an update for these people uses them; two at most.

    First the codes of their own presses, then those of other presses, then the send's.
    """
    # The send's code is last, because only that one was given for all recipients. Of equals the last to end is first,
    # because the age at which the vendor refuses a code has changed before.
    query = text(
        f"select id, code, ends_at, source, ends_at - ({now}) from worker_response_codes"
        f" where part_id = :part and state = 'fresh' and ends_at > {now}"
        " order by case when person in :people then 0 when source = 'callback' then 1 else 2 end,"
        " ends_at desc, id limit 2"
    ).bindparams(bindparam("people", [person.lower() for person in people], String(), expanding=True))
    rows = connection.execute(query, {"part": part_id})
    return [Code(*row) for row in rows]


def pressed_by(connection: Connection, job_id: str, people: Sequence[str]) -> dict[str, set[str]]:
    """The parts of a job whose cards these people pressed: person in lower case -> parts; without presses no entry."""
    query = text(
        "select person, part_id from worker_response_codes"
        " where part_id > :low and part_id < :high and person in :people"
    ).bindparams(bindparam("people", [person.lower() for person in people], String(), expanding=True))
    found: dict[str, set[str]] = {}
    for person, part in connection.execute(query, part_range(job_id)) if people else ():
        found.setdefault(person, set()).add(part)
    return found


def read_code(connection: Connection, code: str) -> CodeState | None:
    """The state of one code, by its key; None: it was never stored."""
    query = "select id, state, leased_by, ends_at from worker_response_codes where id = :id"
    row = execute(connection, query, {"id": code}).first()
    return None if row is None else CodeState(*row)


def code_states(connection: Connection, part_id: str) -> set[str]:
    """The states of all codes of a send part's card; empty: it never had one."""
    query = "select distinct state from worker_response_codes where part_id = :part"
    return {row[0] for row in execute(connection, query, {"part": part_id})}


def stock(connection: Connection, job_id: str, now: str) -> list[tuple[str, int, int | None]]:
    """(part, unused codes, when the last of them ends) for each part of a job whose card ever had a code."""
    query = (
        "select part_id, count(until), max(until) from (select part_id,"
        f" case when state = 'fresh' and ends_at > {now} then ends_at end as until from worker_response_codes"
        " where part_id > :low and part_id < :high) codes group by part_id order by part_id"
    )
    return [(part, int(left), until) for part, left, until in execute(connection, query, part_range(job_id))]


def end_soon(connection: Connection, job_id: str, now: str, within_us: int) -> bool:
    """Whether the last unused code of one of a job's cards ends within so many microseconds, and has not ended yet."""
    query = (
        "select part_id from worker_response_codes where part_id > :low and part_id < :high and state = 'fresh'"
        f" group by part_id having max(ends_at) > {now} and max(ends_at) <= {now} + :within limit 1"
    )
    return execute(connection, query, {**part_range(job_id), "within": within_us}).first() is not None


def lease(connection: Connection, wishes: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Leases codes (id, part) inside a mark's transaction; code -> the part that has it now."""
    dialect = dialect_of(connection)
    query = f"select id, state, leased_by from {dialect.chosen('worker_response_codes')}{dialect.in_order()}"
    rows = fetch(connection, query, {"ids": ids_json(code for code, _ in wishes)})
    states = {row[0]: (row[1], row[2]) for row in rows}
    leased: dict[str, str] = {}
    for code, part_id in wishes:
        state, holder = states.get(code, ("gone", None))
        if state == "fresh" or (state == "leased" and holder == part_id):
            states[code] = ("leased", part_id)
            leased[code] = part_id
            _set_state(connection, code, "leased", part_id)
    return leased


def free(connection: Connection, codes: Sequence[str]) -> None:
    """Frees the leases of this transaction whose part was not marked."""
    for code in codes:
        _set_state(connection, code, "fresh", None)


def end_lease(connection: Connection, code: str, part_id: str, outcome: Outcome, errcode: int | None) -> None:
    """Ends a call's lease: the code is spent by a success, burned by doubt, fresh again when certainly unused."""
    match outcome:
        case Accepted() | Partial():
            _set_state(connection, code, "spent", part_id)
        case Unknown():
            _set_state(connection, code, "burned", part_id)
        # Otherwise the next update would try the same code again.
        case Rejected() | Retry() if errcode == SPENT_BY_VENDOR:
            _set_state(connection, code, "spent", part_id)
        case _:
            _set_state(connection, code, "fresh", None)


def burn_leases(connection: Connection, part_ids: Sequence[str]) -> None:
    """Burns the codes that these parts had leased: the parts are in doubt, so the codes may be used."""
    table, index = "worker_response_codes", "worker_response_codes_leased"
    burn = dialect_of(connection).update_chosen(table, "state = 'burned'", "leased_by", index=index)
    run(connection, f"{burn} and state = 'leased'", {"ids": ids_json(part_ids)})


def settle_burned(connection: Connection, part_id: str, card: str, *, used: bool) -> None:
    """Settles the codes that an update in doubt has burned: spent, or fresh when it was certainly not made.

    `card`: the part whose card it updates; the update itself where the application gave the code.
    """
    to = "state = 'spent'" if used else "state = 'fresh', leased_by = null"
    update = f"update worker_response_codes set {to} where part_id in (:card, :part) and leased_by = :part"
    run(connection, f"{update} and state = 'burned'", {"part": part_id, "card": card})


def _set_state(connection: Connection, code: str, state: str, part_id: str | None) -> None:
    update = "update worker_response_codes set state = :state, leased_by = :part where id = :id"
    run(connection, update, {"state": state, "part": part_id, "id": code})


def may_be_anothers(connection: Connection, accounts: Sequence[str], task_id: str, part_id: str) -> bool:
    """Whether another part of these accounts may have sent a card under the caller's task_id."""
    # Parts that are in the air, accepted or in doubt: a card that the vendor refused readably did not use its task_id.
    return any(
        fetch(connection, _OTHERS_CARD, {"account": account, "task": task_id, "part": part_id}) for account in accounts
    )


_OTHERS_CARD = (
    "select 1 from worker_task_ids t join worker_parts p on p.id = t.part_id where t.account = :account"
    " and t.task_id = :task and t.part_id <> :part and (p.state in (1, 2, 3, 6) or p.doubts > 0) limit 1"
)


def note_task_ids(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Stores which part sends a card under a task_id that the caller chose: (account, task_id, part_id)."""
    insert_rows(connection, tables.task_ids, list(rows), conflict="ignore")
