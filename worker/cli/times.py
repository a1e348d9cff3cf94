"""Parses times on the command line, such as `-2h`, and prints times in the installation's time zone.

Settings are imported only when a time is parsed or printed, because the help does not need them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any

import typer

from worker.language import language, translate


def zone() -> tzinfo:
    """Returns the time zone of the settings, or the host's if they are invalid, which the command itself reports."""
    from worker.config.settings import SettingsFile, settings_file
    from worker.config.variables import variable

    file = settings_file()
    return _zone(SettingsFile.current(file) if file else None, variable("WORKER_TIME_ZONE"), os.environ.get("TZ"))


@lru_cache(maxsize=4)
def _zone(*_cache_key: object) -> tzinfo:
    """Cached until one of the arguments changes, because a list prints a thousand times."""
    from worker.config.settings import load_settings
    from worker.config.time_zone import host_zone
    from worker.domain.errors import ConfigurationError

    try:
        settings = load_settings()
    except ConfigurationError:
        return host_zone()
    return settings.zone


def clock(at: datetime | None) -> str:
    """Returns an instant in the installation's time zone, with milliseconds; `-` for None."""
    return at.astimezone(zone()).isoformat(timespec="milliseconds") if at else "-"


def local(iso_text: str | None) -> str:
    """Returns an ISO 8601 text in the installation's time zone, with milliseconds; `-` for None."""
    return clock(datetime.fromisoformat(iso_text) if iso_text else None)


def _past(text: str) -> datetime:
    return _read(text, is_ahead=False)


def _ahead(text: str) -> datetime:
    return _read(text, is_ahead=True)


def _read(text: str, *, is_ahead: bool) -> datetime:
    from worker.domain.times import UnreadableTime, read_time, write_time

    now, in_zone = datetime.now(UTC), zone()
    try:
        at, elsewhere = (read_time(text, now, zone, is_ahead=is_ahead) for zone in (in_zone, _ELSEWHERE))
    except UnreadableTime as error:
        between = "；" if language() == "zh" else "; "
        raise typer.BadParameter(between.join(map(translate, (error.text, error.remedy)))) from None
    if at != elsewhere:
        time = write_time(at, in_zone)
        typer.echo(translate(f"{text} is {time}"), err=True)
    return at


_ELSEWHERE = timezone(timedelta(hours=23, minutes=13))
"""A zone of no place: a text that is another instant there does not name its zone."""


PAST: Mapping[str, Any] = {"parser": _past, "metavar": "-2h, 22:00, ..."}
"""Arguments of an option for a time in the past."""
AHEAD: Mapping[str, Any] = {"parser": _ahead, "metavar": "2h, 22:00, ..."}
"""Arguments of an option for a time in the future."""
