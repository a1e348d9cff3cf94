"""Times on the command line: typed as people say them, and shown in the installation's time zone.

What reads settings is loaded when a time is typed or shown: the help needs none of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any

import typer

from worker.language import language, translate


def zone() -> tzinfo:
    """The time zone of the settings; the host's where they are wrong, which the command itself says."""
    from worker.config.settings import SettingsFile, settings_file
    from worker.config.variables import variable

    file = settings_file()
    return _zone(SettingsFile.current(file) if file else None, variable("WORKER_TIME_ZONE"), os.environ.get("TZ"))


@lru_cache(maxsize=4)
def _zone(*_what_decides: object) -> tzinfo:
    """Read anew when one of these changes; a list shows a thousand times."""
    from worker.config.settings import load_settings
    from worker.config.time_zone import host_zone
    from worker.domain.errors import ConfigurationError

    try:
        settings = load_settings()
    except ConfigurationError:
        return host_zone()
    return settings.zone


def clock(at: datetime | None) -> str:
    """An instant in the installation's time zone, with milliseconds; `-` where there is none."""
    return at.astimezone(zone()).isoformat(timespec="milliseconds") if at else "-"


def local(told: str | None) -> str:
    """The same of an instant that is ISO 8601 already, in a report."""
    return clock(datetime.fromisoformat(told) if told else None)


def _past(text: str) -> datetime:
    return _read(text, is_ahead=False)


def _ahead(text: str) -> datetime:
    return _read(text, is_ahead=True)


def _read(text: str, *, is_ahead: bool) -> datetime:
    from worker.domain.times import UnreadableTime, read_time

    try:
        return read_time(text, datetime.now(UTC), zone(), is_ahead=is_ahead)
    except UnreadableTime as error:
        between = "；" if language() == "zh" else "; "
        raise typer.BadParameter(between.join(map(translate, (error.text, error.remedy)))) from None


PAST: Mapping[str, Any] = {"parser": _past, "metavar": "-2h, 22:00, ..."}
"""Of an option that names a time which has been."""
AHEAD: Mapping[str, Any] = {"parser": _ahead, "metavar": "2h, 22:00, ..."}
"""Of an option that names a time to come."""
