"""The GRANT scripts name every table, and grant no more than is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.outbox.tables import VERSION_TABLE, metadata

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"\('(worker_\w+)',\s*((?:'[^']*'\s*)+),\s*((?:'[^']*'\s*)+)\)")
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


def test_the_scripts_differ_only_by_the_update_that_postgresql_demands() -> None:
    """For the shared lock of a file that is stored already."""
    postgresql, mariadb = rights("postgresql"), rights("mariadb")

    differ = {table: (postgresql[table], mariadb[table]) for table in postgresql if postgresql[table] != mariadb[table]}

    assert {"worker_blobs"} == differ.keys()
    (ours, ours_read), (theirs, theirs_read) = differ["worker_blobs"]
    assert ours_read == theirs_read
    assert {**theirs, "update": "created_at"} == ours


def test_no_script_grants_a_producer_or_reader_a_secret() -> None:
    """Tokens, sealed secrets, frozen bodies and the codes of cards; and no update of a job."""
    hidden = {"worker_tokens", "worker_grants", "worker_bodies", "worker_media", "worker_audit"}
    for server in ("postgresql", "mariadb"):
        found = rights(server)

        assert {table: ({}, {}) for table in hidden} == {table: found[table] for table in hidden}
        for verbs in found["worker_accounts"]:
            assert "name, version" == verbs["select"]
        assert "code" not in found["worker_response_codes"][0]["select"].split(", ")
        assert "update" not in found["worker_jobs"][0]
