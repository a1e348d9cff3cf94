"""The time zone in which people at this installation read and write times."""

from __future__ import annotations

import os
import re
import struct
from contextlib import suppress
from datetime import UTC, tzinfo
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from worker.domain.errors import ConfigurationError
from worker.domain.times import zone_named

LOCALTIME = Path("/etc/localtime")
_NAME = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_OFFSET = r"[+-]?(?:2[0-3]|[01]?\d)(?::[0-5]\d){0,2}"
_RULE = re.compile(rf"{_NAME}{_OFFSET}(?:{_NAME}(?:{_OFFSET})?,[^,\s]+,[^,\s]+)?")
"""`TZ` as POSIX defines it, such as `CST-8`. Without the dates of summer time, each C library has its own."""


def zone_of(name: str) -> tzinfo:
    """Returns the zone of this name, or the host's for an empty name."""
    return zone_named(name) if name else host_zone()


def host_zone(localtime: Path = LOCALTIME) -> tzinfo:
    """Returns the zone of the C library: that of `TZ`, or else of /etc/localtime, or else UTC, as in most containers.

    Raises ConfigurationError if `TZ` names none. The C library would take UTC for it.
    """
    named = os.environ.get("TZ")
    if named is None:
        _, _, name = str(localtime.resolve()).partition("zoneinfo/")
        try:
            return _zone_in(localtime, name or "local")
        except (ValueError, OSError):
            return UTC
    name = named.removeprefix(":")
    zone = _zone_by(name) if name else UTC
    if zone is None:
        raise ConfigurationError(
            f"environment: TZ={named} names no time zone of this machine; use one such as CST-8, or Asia/Shanghai with"
            " tzdata, or set time_zone in the settings"
        )
    return zone


def _zone_by(name: str) -> tzinfo | None:
    """Returns the zone of a file, of an IANA name or of a rule, or None if the text is none of these."""
    with suppress(ValueError, OSError):
        if name.startswith("/"):
            return _zone_in(Path(name), name)
        if not name.startswith("right/"):  # whose seconds are not those of UTC
            return zone_named(name)
    with suppress(ValueError):
        # After the name: EST5EDT is both.
        return _zone_of_rule(name) if _RULE.fullmatch(name) else None
    return None


def _zone_in(file: Path, key: str) -> ZoneInfo:
    with file.open("rb") as opened:
        return ZoneInfo.from_file(opened, key=key)


def _zone_of_rule(rule: str) -> ZoneInfo:
    """Returns the zone of a POSIX rule, as a file without transitions, behind which such a rule stands."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    types = struct.pack(">lbb", 0, 0, 0) + b"UTC\0"
    block = b"TZif2" + bytes(15) + counts + types
    return ZoneInfo.from_file(BytesIO(block + block + f"\n{rule}\n".encode()), key=rule)
