"""Quiet hours: a daily span of local time in which nothing is shown to people, also across summer time changes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from worker.domain.times import local_instant, zone_named

QUIET_HOURS = "quiet_hours"
"""The limit name of a part that waits for the end of its quiet hours."""
NONE = "none"
"""A job's setting for no quiet hours, whatever its account says."""
FORM = '"22:00-07:00 Asia/Shanghai", or with ", urgent passes" behind it'
LONGEST = 80
_WRITTEN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d) ([A-Za-z0-9_+/-]+)(, urgent passes)?")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """The span from one time of day to another in a time zone, across midnight if the end is earlier."""

    begins: time
    ends: time
    zone: ZoneInfo
    urgent_passes: bool = False

    def ends_at(self, now: int) -> int | None:
        """Returns when the present quiet hours end, in microseconds like `now`, or None outside of them.

        When summer time begins, a skipped time of day counts as the instant of the change. When it ends, quiet hours
        begin at the first of two equal times and end at the second.
        """
        at = datetime.fromtimestamp(now / 1_000_000, UTC)
        today = at.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            last = day if self.ends > self.begins else day + timedelta(days=1)
            end = local_instant(last, self.ends, self.zone, late=True)
            if local_instant(day, self.begins, self.zone) <= at < end:
                return int(end.timestamp()) * 1_000_000
        return None


@lru_cache(maxsize=1024)
def quiet_hours(text: str) -> QuietHours | None:
    """Parses quiet hours. Returns None for `none`, and raises ValueError for a text that is neither."""
    if text == NONE:
        return None
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(f"are not written as {FORM}")
    begins, ends = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    if begins == ends:
        raise ValueError("begin when they end: leave them out, or pause the account")
    return QuietHours(begins, ends, zone_named(match[5]), match[6] is not None)
