"""`worker forecast`: what it says of a backlog and of a job, as text and as data."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from worker import Text, To, enqueue
from worker.accounts.sources import accounts_of
from worker.config.settings import load_settings
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.lanes.processes import renew

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


def queued(config: Path, count: int) -> list[str]:
    """Jobs to one member, of whom a worker has not sent any; their ids."""
    settings = load_settings(config)
    database = Database(make_engine(settings.database_url()))
    beat = {"lease_us": 60_000_000, "threads": 8, "host": "h", "pid": 1, "lanes": "{}"}
    database.run(lambda connection: renew(connection, database.now, "p1", **beat))  # type: ignore[arg-type]
    known, day = accounts_of(settings), timedelta(seconds=90)
    with database.writing() as connection:
        made = [
            enqueue(connection, "hr", Text(content=str(n)), To(["lisi"]), accounts=known, expires_at=day).id
            for n in range(count)
        ]
    database.close()
    return made


def test_nothing_queued_is_said(typed: Typed) -> None:
    """And is no error."""
    assert (0, "nothing is queued\n") == typed("forecast")
    assert (0, "[]\n") == typed("forecast", "--json")


def test_a_backlog_has_an_end_and_what_decides(typed: Typed, config: Path) -> None:
    """Of 70 messages to one member the last ten go in the third minute."""
    queued(config, 70)

    status, printed = typed("forecast", "--account", "hr")
    [one] = json.loads(typed("forecast", "--json")[1])

    assert 0 == status
    assert "account hr: 70 parts wait" in printed
    assert "in 2 min" in printed
    assert "decides: member_minute" in printed
    assert ("hr", 70, "member_minute", []) == (one["account"], one["parts"], one["binds"], one["stops"])
    assert 120 <= one["through_in_s"] <= 130


def test_a_job_that_expires_first_is_told(typed: Typed, config: Path) -> None:
    """The last one waits two minutes, and has a minute and a half."""
    *_, last = queued(config, 70)

    status, printed = typed("forecast", last)
    one = json.loads(typed("forecast", last, "--json")[1])

    assert 0 == status
    assert "it expires before that" in printed
    assert (True, "member_minute", 1) == (one["is_late"], one["binds"], one["parts"])


def test_a_job_that_there_is_not_is_an_error(typed: Typed) -> None:
    """One sentence, and the exit status says it."""
    status, printed = typed("forecast", "0" * 32)

    assert 1 == status
    assert "no job" in printed
