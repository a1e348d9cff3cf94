"""What a producer has in tests: an account, a text, somebody to send it to."""

from __future__ import annotations

import traceback
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text

from worker import Account, FixedAccounts, Text, To, sqlite_engine

HR = Account(
    "hr", "wecom_app", "http://127.0.0.1:8081", {"corpid": "ww0000000000000000", "agentid": 1000002, "callback": True}
)
OPS = Account("ops", "wecom_app", "http://127.0.0.1:8081", {"corpid": "ww0000000000000000", "agentid": 1000003})
ACCOUNTS = FixedAccounts([HR, OPS])
HELLO = Text(content="你好")
ANN = To(users=["ann"])


def an_engine(url: str) -> Engine:
    """An application's own: SQLAlchemy's, for SQLite ours."""
    return sqlite_engine(url) if url.startswith("sqlite:") else create_engine(url)


def count(connection: Connection, table: str = "worker_jobs") -> int:
    """How many rows there are."""
    return int(connection.execute(text(f"select count(*) from {table}")).scalar_one())


def row(connection: Connection, table: str, **where: Any) -> dict[str, Any]:
    """The one row with these values."""
    condition = " and ".join(f"{name} = :{name}" for name in where) or "1 = 1"
    return dict(connection.execute(text(f"select * from {table} where {condition}"), where).mappings().one())


def told(error: BaseException) -> str:
    """Everything somebody could print of an error and of all that is chained to it."""
    found, chain = "".join(traceback.format_exception(error)), [error]
    while chain:
        one = chain.pop()
        found += f"{one}{one!r}{vars(one)}{getattr(one, 'orig', None)!r}"
        chain += [other for other in (one.__cause__, one.__context__) if other is not None]
    return found
