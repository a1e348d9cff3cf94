"""`worker forecast`: what it says of a backlog, as text and as data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from worker import Text, To, enqueue
from worker.accounts.sources import accounts_of
from worker.config.settings import load_settings
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.lanes.processes import renew_heartbeat

Typed = Callable[..., tuple[int, str]]


@pytest.fixture
def config(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker.toml with one account."""
    path = tmp_path / "worker.toml"
    account = '[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 1\nsecret = { env = "HR_SECRET" }\n'
    path.write_text(f'database = "{sqlite_url}"\n{account}', encoding="utf-8")
    monkeypatch.setenv("WORKER_CONFIG", str(path))
    monkeypatch.setenv("HR_SECRET", "canary-secret")
    return path


def queued(config: Path, count: int) -> None:
    """Jobs to one member, of whom a worker has not sent any."""
    settings = load_settings(config)
    database = Database(make_engine(settings.database_url()))
    beat = {"lease_us": 60_000_000, "threads": 8, "host": "h", "pid": 1, "lanes": "{}"}
    database.run(lambda connection: renew_heartbeat(connection, database.now, "p1", **beat))  # type: ignore[arg-type]
    known = accounts_of(settings)
    with database.writing() as connection:
        for n in range(count):
            enqueue(connection, "hr", Text(content=str(n)), To(["lisi"]), accounts=known)
    database.close()


def test_nothing_queued_is_said(typed: Typed) -> None:
    """And is no error."""
    assert typed("forecast") == (0, "nothing is queued\n")
    assert typed("forecast", "--json") == (0, "[]\n")


def test_a_backlog_is_told_as_text_and_as_data(typed: Typed, config: Path) -> None:
    """What is due; and that it is rough."""
    queued(config, 70)

    status, printed = typed("forecast", "--account", "hr")
    [one] = json.loads(typed("forecast", "--json")[1])

    assert status == 0
    assert "account hr: 70 due, 0 later" in printed
    assert "a rough estimate " in printed
    assert (one["account"], one["due"], one["later"], one["stops"]) == ("hr", 70, 0, [])
