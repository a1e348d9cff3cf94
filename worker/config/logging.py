"""Logs our own lines through structlog and those of libraries, and redacts every line.

Our events keep only listed fields, and tokens, secrets and keys are masked in all text. Message texts and recipients
cannot appear because no listed field holds them.
"""

from __future__ import annotations

import errno
import logging
import re
import sys
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from worker.language.visible import one_line_values, visible

_LINE = "event level timestamp logger"
_ATTEMPT = "job part channel account kind attempt outcome errcode delay duration request_id tags trace_id"
_PROCESS = "process processes thread threads failures line items calls events_dropped address"
_REST = "lane error text reason remedy count seconds where what label hint until shape staging lease plainer span"
_ALERT = "alert subjects over target targets"
FIELDS = frozenset(f"{_LINE} {_ATTEMPT} {_PROCESS} {_REST} {_ALERT}".split())
"""Every field a line may have. Others are dropped, and their names listed under `dropped`, so that it is noticed."""
_JOBS = "jobs bodies attempts waits content callbacks contents windows media"
_OTHERS = "pauses sessions sign_ins access lanes lane_events budgets tokens ended_tags tag_events"
COUNTS = frozenset(f"{_JOBS} {_OTHERS}".split())
"""Additional fields of `purged`, but only as numbers: elsewhere such names mean what no line may hold."""

_SECRET = re.compile(
    # "gettoken: " is the name of a call, and the words after it say why it failed.
    r"(?i)((?:access_token|corpsecret|suite_secret|secret|password|token(?!(?<=gettoken): )|key)[\"']?\s*[=:]\s*[\"']?)"
    r"[^\s&\"',;)}]+"
)
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
_HINTS = ("token", "secret", "password", "key", "://")
QUIET = {
    "celery.worker.strategy": logging.WARNING,  # a line for every doorbell
    "celery.app.trace": logging.WARNING,
    "celery.worker.request": logging.INFO,  # DEBUG prints the message
    "celery.pool": logging.INFO,
    "kombu": logging.INFO,
    "amqp": logging.INFO,
    "sqlalchemy.engine": logging.WARNING,  # its INFO prints the statements' values
    "sqlalchemy.pool": logging.WARNING,
    "opentelemetry": logging.CRITICAL,  # a line for every batch and span that a collector does not take
}
"""Lowest level of loggers that would otherwise log too much, or secrets, at a level that `set_up` may get."""


class _LossyStream:
    """A stream whose lines are lost if they cannot be written, as on a full disk or to a reader that has ended.

    Otherwise the error would end the thread that logs, in the middle of its work.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.problem, self.lost = "", 0
        """Why the last line could not be written, or an empty text; and how many lines were lost since one was."""

    def write(self, text: str) -> None:
        """Writes a line, or drops it."""
        try:
            self._stream.flush()  # what is left of a line that failed: nothing is added to it
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError, AttributeError) as error:  # it is closed (ValueError), or there is none
            number = getattr(error, "errno", None)
            self.problem, self.lost = _WHY.get(number) or str(getattr(error, "strerror", error)), self.lost + 1
        else:
            self.problem, self.lost = "", 0

    def flush(self) -> None:
        """Does nothing: each line is flushed."""


_WHY = {errno.ENOSPC: "no space is left on its disk", errno.EPIPE: "what reads it has ended", None: "it is closed"}
"""Why a line cannot be written, by the number of the error. Other errors have the system's words."""
_lines: _LossyStream | None = None
"""Where this process logs, once `set_up` was called."""


def problem() -> str:
    """Returns why the last line could not be written, or an empty text. Tries with a line of its own first."""
    if _lines is None or not _lines.problem:
        return ""
    structlog.get_logger().critical("lines_lost", count=_lines.lost)  # written whatever the level is
    return _lines.problem


_common_fields: dict[str, str] = {}


def log_staging(switches: str) -> None:
    """Adds the active switches of staging to every further line of this process. An empty text removes them."""
    _common_fields["staging"] = switches


def mask(text: str) -> str:
    """Returns the text without anything that looks like a credential."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    return _URL_PASSWORD.sub(r"\1***@", _SECRET.sub(r"\1***", text))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keeps listed fields and masks their text. Of an unlisted field, only the name stays."""
    trace = event.pop("exc_info", None)
    if trace:  # a foreign traceback may show URLs, statements and texts: only its class is kept
        event["error"] = _class_of(trace)
    fields = {name: _masked(value) for name, value in event.items() if name in FIELDS or _is_count(name, value)}
    if staging := _common_fields.get("staging"):
        event["staging"] = fields["staging"] = staging
    if len(fields) != len(event):
        fields |= {name: value for name, value in event.items() if name.startswith("_")}
        if dropped := sorted(event.keys() - fields.keys()):
            fields["dropped"] = dropped
    return fields


def _is_count(name: str, value: Any) -> bool:
    return name in COUNTS and type(value) is int


def _masked(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return mask(value if isinstance(value, str) else str(value))


def _show_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Writes the control characters of all texts out, for a terminal; JSON escapes them."""
    lines = ("event", "text")  # of a traceback, say
    return {
        name: visible(value) if name in lines and isinstance(value, str) else one_line_values(value)
        for name, value in event.items()
    }


def set_up(
    level: int | str = "INFO",
    stream: TextIO | None = None,
    *,
    format: Literal["auto", "json", "text"] = "auto",
) -> None:
    """Sends structlog and the standard library's logging to one stream: as JSON, or as text on a terminal."""
    global _lines
    stream = stream or sys.stderr
    is_terminal = not (stream is None or stream.closed) and stream.isatty()
    number = level if isinstance(level, int) else logging.getLevelName(level.upper())
    is_text = is_terminal if format == "auto" else format == "text"
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        *([_show_controls] if is_text else []),
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=is_terminal) if is_text else structlog.processors.JSONRenderer()
    )
    _lines = _LossyStream(stream)
    lines = cast(TextIO, _lines)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(lines),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name, level_floor in QUIET.items():
        logging.getLogger(name).setLevel(max(level_floor, number))


def _class_of(trace: Any) -> str:
    """Returns the class in `exc_info`: of an exception, of the usual three values, or for True of the current one."""
    if isinstance(trace, BaseException):
        return type(trace).__name__
    kind = trace[0] if isinstance(trace, tuple) else sys.exc_info()[0]
    return kind.__name__ if kind else "none"
