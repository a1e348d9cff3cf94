"""The time zone in which people at this installation read and write times."""

from __future__ import annotations

import os
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from worker.domain.times import zone_named

LOCALTIME = Path("/etc/localtime")


def zone_of(name: str) -> tzinfo:
    """The zone of this name; for an empty one that of the host."""
    return zone_named(name) if name else host_zone()


def host_zone(localtime: Path = LOCALTIME) -> tzinfo:
    """The zone that `TZ` names, or else /etc/localtime; UTC where neither does, as in most containers."""
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
