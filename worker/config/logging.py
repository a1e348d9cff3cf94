"""Logs: structlog for our own lines and those of libraries, and a redaction that every line passes.

Our events keep only fields on a list; text of any origin has tokens, secrets and keys masked. Message texts and
recipients cannot appear because no listed field holds them.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_LINE = "event level timestamp logger"
_ATTEMPT = "job part channel account kind attempt outcome errcode delay duration request_id tags trace_id"
_PROCESS = "process processes thread threads failures line items calls events_dropped address"
_REST = "lane error text reason remedy count seconds where what label hint until shape staging lease plainer span"
_ALERT = "alert subjects over target targets"
FIELDS = frozenset(f"{_LINE} {_ATTEMPT} {_PROCESS} {_REST} {_ALERT}".split())
"""Every field a line may have; any other is dropped and its name listed under `dropped`, so that it is noticed."""
_JOBS = "jobs bodies attempts waits content callbacks contents windows media"
_OTHERS = "pauses sessions sign_ins looks lanes lane_events budgets tokens ended_tags tag_events"
COUNTS = frozenset(f"{_JOBS} {_OTHERS}".split())
"""Fields of `purged`: the same, but only as numbers, because elsewhere such names mean what no line may hold."""

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
"""Least level of loggers that would log too much, or secrets, at a level that `set_up` may be given."""


_of_all_lines: dict[str, str] = {}


def tell_staging(switches: str) -> None:
    """Every line of this process tells from now on which switches of staging are on; empty: none."""
    _of_all_lines["staging"] = switches


def mask(text: str) -> str:
    """The text without anything that looks like a credential."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    return _URL_PASSWORD.sub(r"\1***@", _SECRET.sub(r"\1***", text))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keeps listed fields, masks their text; an unlisted field leaves only its name."""
    trace = event.pop("exc_info", None)
    if trace:  # a foreign traceback may show URLs, statements and texts: only its class is kept
        event["error"] = _class_of(trace)
    kept = {name: _masked(value) for name, value in event.items() if name in FIELDS or _is_count(name, value)}
    if staging := _of_all_lines.get("staging"):
        event["staging"] = kept["staging"] = staging
    if len(kept) != len(event):
        kept |= {name: value for name, value in event.items() if name.startswith("_")}
        if dropped := sorted(event.keys() - kept.keys()):
            kept["dropped"] = dropped
    return kept


def _is_count(name: str, value: Any) -> bool:
    return name in COUNTS and type(value) is int


def _masked(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return mask(value if isinstance(value, str) else str(value))


def set_up(
    level: int | str = "INFO",
    stream: TextIO | None = None,
    *,
    format: Literal["auto", "json", "text"] = "auto",
) -> None:
    """Sends structlog and the standard library's logging to one stream: as JSON, or as text on a terminal."""
    stream = stream or sys.stderr
    number = level if isinstance(level, int) else logging.getLevelName(level.upper())
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    is_text = stream.isatty() if format == "auto" else format == "text"
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty()) if is_text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(least, number))


def _class_of(trace: Any) -> str:
    """The class of what `exc_info` holds: an exception, the usual three, or True for the current one."""
    if isinstance(trace, BaseException):
        return type(trace).__name__
    kind = trace[0] if isinstance(trace, tuple) else sys.exc_info()[0]
    return kind.__name__ if kind else "none"
