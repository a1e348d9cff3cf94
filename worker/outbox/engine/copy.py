"""Copies the outbox's tables of one SQLite database into another, which is faster than all migrations."""

from __future__ import annotations

from sqlalchemy import Connection, inspect

from worker.outbox.engine.sql import execute, mappings, run

FIRST_ROWS = {"worker_site": ("name", "value"), "worker_alembic_version": ("version_num",)}
"""Tables whose rows are copied too, without which the others cannot be used, with their columns."""


def has_tables(connection: Connection) -> bool:
    """Whether the database has the outbox's tables."""
    return inspect(connection).has_table("worker_site")


def copy_tables(source: Connection, target: Connection) -> None:
    """Makes the source's tables and indexes in the target, inside its transaction."""
    made = "select sql from sqlite_master where sql is not null and tbl_name like 'worker%' order by type desc"
    for (sql,) in execute(source, made).all():
        target.exec_driver_sql(sql)
    for table, columns in FIRST_ROWS.items():
        values = ", ".join(f":{name}" for name in columns)
        for row in mappings(source, f"select {', '.join(columns)} from {table}"):
            run(target, f"insert into {table} ({', '.join(columns)}) values ({values})", row)
