"""Redaction by construction: listed fields only, credentials masked, foreign tracebacks reduced."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, TextIO

import pytest
import structlog

from worker.config.logging import QUIET, log_staging, mask, problem, set_up


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Our logging on a stream; the process's own is put back."""
    root, stream = logging.getLogger(), io.StringIO()
    before, level, config = root.handlers[:], root.level, structlog.get_config()
    levels = {name: logging.getLogger(name).level for name in QUIET}
    set_up("DEBUG", stream)
    yield stream
    root.handlers[:], root.level = before, level
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    structlog.configure(**config)


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
@pytest.mark.parametrize("format", ["json", "text"])
def test_how_lines_look_can_be_said(stream: io.StringIO, format: Literal["json", "text"]) -> None:
    """Whatever the stream is; colours are for terminals alone."""
    stream.seek(0)
    stream.truncate()
    set_up("INFO", stream, format=format)

    structlog.get_logger().info("attempt", job="j1")

    line = stream.getvalue()
    assert (format == "json") == line.startswith("{")
    assert (format == "text" and stream.isatty()) == ("\x1b" in line)
    assert "j1" in line


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /cgi-bin/x?access_token=abc&a=1", "GET /cgi-bin/x?access_token=***&a=1"),
        ("corpid=1&corpsecret=xyz", "corpid=1&corpsecret=***"),
        ("webhook/send?key=693a-91", "webhook/send?key=***"),
        ("{'secret': 'xyz'}", "{'secret': '***'}"),
        ("redis://:hunter2@host/0", "redis://:***@host/0"),
        ("postgresql://me:hunter2@host/db", "postgresql://me:***@host/db"),
        ("gettoken: 40001 the secret=xyz is wrong", "gettoken: 40001 the secret=*** is wrong"),
        ("GET /cgi-bin/gettoken?corpid=1&corpsecret=xyz", "GET /cgi-bin/gettoken?corpid=1&corpsecret=***"),
        ("{'accessToken': 'xyz', gettoken=xyz}", "{'accessToken': '***', gettoken=***}"),
        ("token: xyz", "token: ***"),
        ("HR_TOKEN: xyz", "HR_TOKEN: ***"),
        ("nothing here", "nothing here"),
    ],
)
def test_credentials_are_masked(text: str, masked: str) -> None:
    """What looks like a credential does not survive."""
    assert masked == mask(text)


@pytest.mark.parametrize(
    "reason",
    [
        "gettoken: 40001 the secret is wrong",
        "gettoken: the vendor refuses the token it has just given out",
        "gettoken: errcode 50001 (not in the catalogue)",
        "gettoken: read_timeout",
    ],
)
def test_why_a_token_was_refused_is_told(lines: io.StringIO, reason: str) -> None:
    """The call's name ends like a credential's; what stands behind it is what a person must read."""
    structlog.get_logger().warning("lane", what="parked", reason=reason)

    assert reason == json.loads(lines.getvalue())["reason"]


def test_only_listed_fields_are_written(lines: io.StringIO) -> None:
    """A field nobody listed leaves its name, not its value."""
    structlog.get_logger().info("attempt", job="j1", delay=0.5, recipients=["canary"], lane="hr:1?token=abc")

    line = json.loads(lines.getvalue())

    assert tuple(line[k] for k in ("job", "delay", "lane", "dropped")) == ("j1", 0.5, "hr:1?token=***", ["recipients"])
    assert "canary" not in lines.getvalue()


def test_what_housekeeping_counts_is_told_as_a_number_alone(lines: io.StringIO) -> None:
    """Elsewhere such a name means a text, or a secret."""
    structlog.get_logger().info("purged", content=3, tokens=1)
    structlog.get_logger().info("attempt", content="canary", tokens=["canary"], sign_ins=True)

    first, second = map(json.loads, lines.getvalue().splitlines())

    assert (first["content"], first["tokens"]) == (3, 1)
    assert second["dropped"] == ["content", "sign_ins", "tokens"]
    assert "canary" not in lines.getvalue()


def test_foreign_logs_pass_the_same_redaction(lines: io.StringIO) -> None:
    """urllib3's and Celery's lines are masked, their tracebacks reduced to a class."""
    error = ValueError("canary")

    logging.getLogger("some.library").error("failed for access_token=%s", "abc", exc_info=error)

    line = json.loads(lines.getvalue())

    assert line["event"] == "failed for access_token=***"
    assert line["error"] == "ValueError"
    assert line["logger"] == "some.library"
    assert "canary" not in lines.getvalue()


def test_loggers_that_say_too_much_are_kept_down(lines: io.StringIO) -> None:
    """A line a doorbell, statements with their values: not even at DEBUG."""
    for name in QUIET:
        logging.getLogger(name).debug("too much")

    assert lines.getvalue() == ""


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("refuses", ["write", "flush"])
def test_a_line_that_cannot_be_written_ends_no_thread(monkeypatch: pytest.MonkeyPatch, refuses: str) -> None:
    """With a full disk below the log, or after its reader has ended; later lines are written again."""
    stream, is_full = io.StringIO(), True
    done = getattr(stream, refuses)

    def refusing(*text: str) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        done(*text)

    monkeypatch.setattr(stream, refuses, refusing)
    set_up("INFO", stream, format="json")

    structlog.get_logger().info("attempt", job="j1")

    is_full = False
    structlog.get_logger().info("attempt", job="j2")
    assert "j2" in stream.getvalue()


def full_device() -> TextIO:
    """A file on a disk without space."""
    return open("/dev/full", "w", buffering=1, encoding="utf-8")


def unread_pipe() -> TextIO:
    """A pipe whose reader has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w", buffering=1, encoding="utf-8")


def closed_file() -> TextIO:
    """A stream that somebody has closed."""
    stream = io.StringIO()
    stream.close()
    return stream


UNWRITABLE = {
    "no space is left on its disk": full_device,
    "what reads it has ended": unread_pipe,
    "it is closed": closed_file,
}


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize(("why", "opened"), UNWRITABLE.items(), ids=lambda value: str(value)[:20])
def test_why_no_line_is_written_is_known(why: str, opened: Callable[[], TextIO]) -> None:
    """Our lines and those of libraries raise nothing and are lost; nothing is wrong before the first."""
    stream = opened()
    set_up("INFO", stream, format="json")

    before = problem()
    structlog.get_logger().info("attempt", job="j1")
    logging.getLogger("some.library").error("failed")

    assert ("", why, why) == (before, problem(), problem())
    with suppress(OSError):
        stream.close()


@pytest.mark.usefixtures("lines")
def test_a_process_without_stderr_starts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell starts it with `2>&-`."""
    monkeypatch.setattr(sys, "stderr", None)
    set_up("INFO")

    structlog.get_logger().info("attempt", job="j1")

    assert problem() == "it is closed"


@pytest.mark.usefixtures("lines")
def test_the_next_line_that_is_written_ends_it(tmp_path: Path) -> None:
    """Without a line from elsewhere: asking tries with one, which says how many were lost before it."""
    written, stream = tmp_path / "log", full_device()
    set_up("INFO", stream, format="json")
    for n in range(3):
        structlog.get_logger().info("attempt", job=f"j{n}")

    during = problem()
    with written.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), stream.fileno())
    after = problem()

    assert (during, after) == ("no space is left on its disk", "")
    *_, last = map(json.loads, written.read_text(encoding="utf-8").splitlines())
    assert (last["event"], last["count"]) == ("lines_lost", 4)
    stream.close()


def test_each_line_tells_that_this_is_no_production(lines: io.StringIO) -> None:
    """Ours, and those of libraries; until no switch is on."""
    log_staging("dry_run")
    structlog.get_logger().info("attempt", job="j")
    logging.getLogger("kombu").warning("away")
    log_staging("")
    structlog.get_logger().info("attempt", job="j")
    assert [json.loads(line).get("staging") for line in lines.getvalue().splitlines()] == ["dry_run", "dry_run", None]
