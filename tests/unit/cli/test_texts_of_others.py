"""What others wrote cannot give commands to the terminal that a person reads it on, nor pass for another line."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import structlog
from hypothesis import given, strategies as st
from sqlalchemy import text

from worker import JobFilter, Text, To, enqueue
from worker.accounts.sources import accounts_of
from worker.config.logging import set_up
from worker.config.settings import load_settings
from worker.control.audit import require_person
from worker.control.pause import pause
from worker.domain.errors import CheckFailed
from worker.domain.pacing.lane import LaneBlock
from worker.language.visible import one_line, one_line_values, visible, visible_json
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.lanes.lanes import change_lanes

Run = Callable[..., int]

EVIL = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202eevil\u2066\x7f\u2028"
"""A title, a bell, a cleared screen, a line written over, C1, a turned direction, a line separator."""
FORGED = "late\n01a1fee038207503ab8c7613caccced8  cancel by li\n  why: asked for"
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


@given(st.text())
def test_no_text_keeps_a_control_character(given_text: str) -> None:
    """And nothing else of it changes; its JSON stays the same document."""
    document = json.dumps(given_text, ensure_ascii=False)

    assert None is CONTROLS.search(visible(given_text))
    assert len(one_line(given_text).splitlines() or [""]) == 1
    assert None is CONTROLS.search(visible_json(document))
    assert given_text == json.loads(visible_json(document))
    if not CONTROLS.search(given_text):
        assert given_text == visible(given_text)


def test_every_text_of_a_row_is_one_line() -> None:
    """However deep; numbers and the like stay."""

    @dataclass(frozen=True, slots=True)
    class Row:
        name: str
        more: dict[str, list[str | int]]

    assert Row("a\\nb", {"x": ["\\x1b", 1]}) == one_line_values(Row("a\nb", {"x": ["\x1b", 1]}))


@pytest.mark.parametrize("typed", ["li\nsi", "li\rsi", "li\x1b[2J", "li\u202esi", "li\x85si", "li\tsi"])
def test_a_person_and_a_reason_are_one_line(typed: str) -> None:
    """A second one would stand in the audit as an entry of somebody else."""
    for person, why in ((typed, "late"), ("li", typed)):
        with pytest.raises(CheckFailed, match="holds a line end or another control character; write it as one line"):
            require_person(person, why)


@pytest.fixture
def outbox(run: Run) -> Database:
    """An outbox in which everything that others may write is evil, as it may have been stored before it was refused."""
    database = Database(make_engine(load_settings().database_url()))
    with database.writing() as connection:
        options = {"tags": [EVIL], "dedupe_key": EVIL, "order_key": FORGED}
        accounts = accounts_of(load_settings())
        enqueue(connection, "hr", Text(content="x"), To(users=["anna"]), accounts=accounts, **options)
    pause(JobFilter(account="hr"), person="ada", why="late", database=database)
    block = LaneBlock("hr", "hr", 600.0, f"40013 {EVIL}", f"do {FORGED}", parked=True, hint=EVIL[:60])
    database.run(lambda connection: change_lanes(connection, database.now, [block]))
    with database.writing() as connection:
        for statement in (
            "update worker_audit set person = :forged, why = :forged",
            "update worker_pauses set person = :forged, why = :evil",
            "update worker_parts set reason = :forged",
        ):
            names = re.findall(r":(\w+)", statement)
            connection.execute(text(statement), {name: {"forged": FORGED, "evil": EVIL}[name] for name in names})
    return database


COMMANDS = [
    *("audit", "lanes", "lanes --history", "jobs", "jobs --all", "stats --account hr", "show JOB", "why JOB", "doctor"),
    *("hooks", "inbound", "inbound --chats", "forecast", "limits", "health"),
]
"""Commands that read."""


@pytest.mark.slow("types fifteen commands")
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_no_command_writes_what_others_wrote_as_it_is(
    run: Run, outbox: Database, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    """No control character, and no line that somebody else has made up."""
    with outbox.reading() as connection:
        job = connection.exec_driver_sql("select id from worker_jobs").scalar_one()
    wrong = list[tuple[str, str]]()
    shown = ""
    for command in COMMANDS:
        run(*command.replace("JOB", job).split(), *(["--json"] if as_json else []))
        printed = capsys.readouterr()
        lines = (printed.out + "\n" + printed.err).split("\n")
        shown += "\n".join(lines)
        wrong += [(command, line) for line in lines if CONTROLS.search(line) or line.startswith("01a1fee0")]

    assert wrong == []
    assert "cancel by li" in shown
    assert "owned" in shown


def test_the_texts_that_a_correction_shows_are_written_out_too(
    run: Run, outbox: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON escapes ESC, but neither C1, which begins a terminal's commands as well, nor what turns text around."""
    with outbox.writing() as connection:
        for name in ("anna", "bo"):
            content = f"old {name} \x9b31m\u202e\u2066\x85\u2028\u200b"
            enqueue(connection, "hr", Text(content=content), To(users=[name]), accounts=accounts_of(load_settings()))

    run("correct", "--account", "hr", "--created-from=-1h", "--replace", "old=new \x9b31m\u202e", types="n\n")

    shown = capsys.readouterr().err
    assert '- "old anna' in shown
    assert [line for line in shown.split("\n") if CONTROLS.search(line)] == []


def test_a_log_on_a_terminal_writes_none_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in our lines nor in those of a library; as JSON they are escaped."""
    stream = io.StringIO()
    try:
        set_up("INFO", stream, format="text")
        structlog.get_logger().info("attempt", reason=FORGED + EVIL, tags=[EVIL])
        logging.getLogger("celery").warning("no such task %s", EVIL)
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()

    lines = stream.getvalue().splitlines()
    assert len(lines) == 2, lines
    assert [line for line in lines if CONTROLS.search(re.sub(r"\x1b\[\d*m", "", line))] == []
    assert "owned" in lines[1]
