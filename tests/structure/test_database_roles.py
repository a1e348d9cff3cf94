"""The GRANT scripts name every table, and grant no more than is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.tables import VERSION_TABLE, metadata

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"\('(worker_\w+)',\s*((?:'[^']*'\s*)+),\s*((?:'[^']*'\s*)+)\)")
LATER = {"state", "awaited", "finished_at", "cancelled_at"} | {
    f"n_{state.label}" for state in JobState if state is not JobState.OPEN
}
"""The columns of a job that no insert names; workers write them."""
Rights = dict[str, tuple[dict[str, str], dict[str, str]]]


def rights(server: str) -> Rights:
    """Each table of a script, with the verbs of a producer and of a reader, and their columns; "" is all of them."""
    script = (ROOT / "deploy" / "sql" / f"{server}-roles.sql").read_text(encoding="utf-8")
    return {table: (_verbs(producer), _verbs(reader)) for table, producer, reader in ROW.findall(script)}


def _verbs(told: str) -> dict[str, str]:
    """SQL adds up texts with only a new line between them."""
    joined = "".join(re.findall(r"'([^']*)'", told))
    return dict(re.findall(r"(\w+)(?: \(([^)]*)\))?(?:, |$)", joined))


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_script_names_every_table_and_only_columns_there_are(server: str) -> None:
    """A new table fails here until both scripts say what producer and reader may."""
    columns = {table.name: set(table.columns.keys()) for table in metadata.sorted_tables}

    found = rights(server)

    assert sorted([*columns, VERSION_TABLE]) == list(found)
    for table, of_roles in found.items():
        for verbs in of_roles:
            named = {column for listed in verbs.values() for column in listed.split(", ") if column}
            assert named <= columns.get(table, set()), table


def test_the_scripts_differ_only_by_the_updates_that_each_server_demands() -> None:
    """MariaDB's inserts that meet a key, and PostgreSQL's shared lock of a file."""
    postgresql, mariadb = rights("postgresql"), rights("mariadb")

    differ = {table for table in postgresql if postgresql[table] != mariadb[table]}

    assert {"worker_blobs", "worker_jobs", "worker_task_ids"} == differ
    for table in differ:
        (ours, ours_read), (theirs, theirs_read) = postgresql[table], mariadb[table]
        assert ours_read == theirs_read
        assert {"update"} == ours.keys() ^ theirs.keys()
        assert {verb for verb in ours.keys() & theirs.keys() if ours[verb] != theirs[verb]} == set()


def test_mariadb_grants_updates_of_exactly_the_columns_that_enqueue_inserts() -> None:
    """A new column of a job fails here, before a producer of a separate role does."""
    inserted = {*tables.jobs.c.keys()} - LATER

    assert sorted(inserted) == sorted(rights("mariadb")["worker_jobs"][0]["update"].split(", "))


def test_no_script_grants_a_producer_or_reader_a_secret() -> None:
    """Tokens, sealed secrets, frozen bodies and the codes of cards; and a state of a part or job to update."""
    hidden = {"worker_tokens", "worker_grants", "worker_bodies", "worker_media", "worker_audit"}
    for server in ("postgresql", "mariadb"):
        found = rights(server)

        assert {table: ({}, {}) for table in hidden} == {table: found[table] for table in hidden}
        for verbs in found["worker_accounts"]:
            assert "name, version" == verbs["select"]
        assert "code" not in found["worker_response_codes"][0]["select"].split(", ")
        assert "state" not in found["worker_jobs"][0].get("update", "").split(", ")
