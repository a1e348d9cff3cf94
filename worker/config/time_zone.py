"""The time zone in which people at this installation read and write times."""

from __future__ import annotations

import os
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from worker.domain.times import zone_named

LOCALTIME = Path("/etc/localtime")


def zone_of(name: str) -> tzinfo:
    """Returns the zone of this name, or the host's for an empty name."""
    return zone_named(name) if name else host_zone()


def host_zone(localtime: Path = LOCALTIME) -> tzinfo:
    """Returns the zone that `TZ` names, or else that of /etc/localtime, or else UTC, as in most containers."""
    named = os.environ.get("TZ", "").removeprefix(":")
    try:
        if named:
            return zone_named(named)
        _, _, name = str(localtime.resolve()).partition("zoneinfo/")
        if name:
            return zone_named(name)
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file, key="local")
    except (ValueError, OSError):
        return UTC
