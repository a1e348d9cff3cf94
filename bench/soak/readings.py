"""What a soak reads again and again, of each process, of every table and index, of Redis: name, unit and value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import redis

from rig.stack import Stack
from worker.outbox.tables import metadata

Reading = tuple[str, str, float]
SIZES = (
    "select relname, case relkind when 'r' then pg_table_size(oid) else pg_relation_size(oid) end"
    " from pg_class where relkind in ('r', 'i') and relnamespace = 'public'::regnamespace"
    " and relname <> 'soak_ends'"
)
ROWS = " union all ".join(f"select '{table.name}', count(*) from {table.name}" for table in metadata.sorted_tables)


def of_process(name: str, pid: int) -> Iterator[Reading]:
    """Its memory, open files, sockets and threads."""
    links = [_link(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = sum(link.startswith("socket:") for link in links)
    status = _status(pid)
    yield f"{name}, memory", "MiB", status.get("VmRSS", 0) / 1024
    yield f"{name}, files", "", len(links) - sockets
    yield f"{name}, sockets", "", sockets
    yield f"{name}, threads", "", status.get("Threads", 0)


def of_database(stack: Stack) -> Iterator[Reading]:
    """Rows of each table, bytes of each table and index, connections, and what their processes keep for themselves."""
    for table, rows in stack.rows(ROWS):
        yield f"{table}", "rows", rows
    for name, size in stack.rows(SIZES):
        yield f"{name}", "bytes", int(size)
    backends = stack.rows("select pid from pg_stat_activity where datname = current_database()")
    yield "PostgreSQL, connections", "", len(backends)
    yield "PostgreSQL, memory of connections", "MiB", sum(_status(row[0]).get("RssAnon", 0) for row in backends) / 1024


def of_redis(url: str) -> Iterator[Reading]:
    """Its keys, memory and clients."""
    with redis.Redis.from_url(url) as client:
        yield "Redis, keys", "", client.dbsize()
        yield "Redis, memory", "bytes", client.info("memory")["used_memory"]
        yield "Redis, clients", "", client.info("clients")["connected_clients"]


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed meanwhile
        return ""


def _status(pid: int) -> dict[str, int]:
    """The numbers of /proc/PID/status; none of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines)
    return {words[0][:-1]: int(words[1]) for words in fields if len(words) > 1 and words[1].isdigit()}
