"""Tables of a revision that this release does not know, and the command that drops all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from worker import sqlite_engine

Run = Callable[..., int]

UNKNOWN = {
    "before 0.1": (False, "0017 0001", "at revision 0017 of before 0.1, which no release brings up to this one"),
    "newer": (True, "0017 0009", "at revision 0017, which only a newer release than this one, at 0001, may use"),
}
DOORS = (
    *(("db", "upgrade"), ("doctor",), ("health",), ("send", "hr", "--text", "x", "--to", "a"), ("metrics",)),
    *(("console",), ("jobs",), ("cancel", "--tag", "x", "--yes", "--why", "x")),
)


@pytest.mark.parametrize("command", DOORS, ids=" ".join)
@pytest.mark.parametrize("tables", UNKNOWN)
def test_tables_of_an_unknown_revision_are_told_in_one_sentence_everywhere(
    run: Run, sqlite_url: str, capsys: pytest.CaptureFixture[str], tables: str, command: tuple[str, ...]
) -> None:
    """Whoever opens them, and whatever of them is missing; nothing is enqueued."""
    has_series, compatible, sentence = UNKNOWN[tables]
    with sqlite_engine(sqlite_url).begin() as connection:
        connection.execute(text("update worker_alembic_version set version_num = '0017'"))
        connection.execute(text("update worker_site set value = :v where name = 'compatible_from'"), {"v": compatible})
        connection.execute(text("alter table worker_jobs rename column tags to labels"))
        connection.execute(text("alter table worker_processes rename column alive_until to alive"))
        if not has_series:
            connection.execute(text("delete from worker_site where name = 'series'"))

    status = run(*command)

    told = capsys.readouterr()
    assert status in (1, 2)
    assert f"{told.out}{told.err}".count(sentence) == 1


def test_doctor_says_it_in_chinese(
    run: Run, sqlite_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, although the check is named before it."""
    with sqlite_engine(sqlite_url).begin() as connection:
        connection.execute(text("update worker_alembic_version set version_num = '0017'"))
        connection.execute(text("delete from worker_site where name = 'series'"))
    monkeypatch.setenv("WORKER_LANG", "zh")

    run("doctor", "--quiet")

    assert "问题     数据库：表结构版本 0017 早于 0.1，任何版本都不能升级；" in capsys.readouterr().out


def test_dropping_the_outbox_names_its_jobs_and_wants_a_yes(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Open ones, too: nothing brings them back."""
    assert run("send", "hr", "--text", "x", "--to", "a") == 0
    capsys.readouterr()

    refused, told = run("db", "downgrade", "base"), capsys.readouterr().err
    still, _ = run("jobs"), capsys.readouterr()
    dropped, gone = run("db", "downgrade", "base", "--yes"), run("jobs")

    assert [line for line in told.splitlines() if not line.startswith(" ")] == [
        "base drops the outbox with all of its jobs, and nothing brings them back; add --yes if you mean it"
    ]
    assert "       1  open" in told
    assert [refused, still, dropped] == [1, 0, 0]
    assert gone != 0
