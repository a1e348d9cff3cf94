"""The GRANT scripts name every table, and grant no more than is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.outbox.tables import VERSION_TABLE, metadata

ROOT = Path(__file__).parents[2]
ROLES = ("producer", "reader", "receiver", "console")
ROW = re.compile(r"\('(worker_\w+)'" + r",\s*((?:'[^']*'\s*)+)" * len(ROLES) + r"\)")
Rights = dict[str, tuple[dict[str, str], ...]]


def rights(server: str) -> Rights:
    """Each table of a script, with the verbs of each role and their columns; "" is all of them."""
    script = (ROOT / "deploy" / "sql" / f"{server}-roles.sql").read_text(encoding="utf-8")
    return {table: tuple(map(_verbs, of_roles)) for table, *of_roles in ROW.findall(script)}


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
    """PostgreSQL for a shared lock of a file, MariaDB for an insert that meets a key; of jobs and parts neither."""
    postgresql, mariadb = (
        {
            (table, role): verbs
            for table, of_roles in rights(server).items()
            for role, verbs in zip(ROLES, of_roles, strict=True)
        }
        for server in ("postgresql", "mariadb")
    )

    differ = {right for right in postgresql if postgresql[right] != mariadb[right]}

    assert {right for right in differ if "update" not in mariadb[right]} == {
        ("worker_blobs", "producer"),
        ("worker_blobs", "console"),
    }
    assert not {table for table, _ in differ} & {"worker_jobs", "worker_parts"}
    for right in differ:
        ours, theirs = (
            {verb: names for verb, names in of[right].items() if verb != "update"} for of in (postgresql, mariadb)
        )
        assert ours == theirs


def test_no_script_grants_a_producer_or_reader_a_secret() -> None:
    """Tokens, sealed secrets, frozen bodies and the codes of cards; and no update of a job."""
    hidden = {"worker_tokens", "worker_grants", "worker_bodies", "worker_media", "worker_audit"}
    for server in ("postgresql", "mariadb"):
        found = rights(server)

        assert {table: ({}, {}) for table in hidden} == {table: found[table][:2] for table in hidden}
        for verbs in found["worker_accounts"][:2]:
            assert verbs["select"] == "name, version"
        assert "code" not in found["worker_response_codes"][0]["select"].split(", ")
        assert "update" not in found["worker_jobs"][0]
