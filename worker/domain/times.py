"""Reads times as people write them: `-30m`, `14:00`, `yesterday 22:00`, `2026-11-27 09:00 +08:00`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from unicodedata import normalize
from zoneinfo import ZoneInfo, available_timezones

_UNITS = {
    "seconds": ("s", "sec", "secs", "second", "seconds", "秒", "秒钟"),
    "minutes": ("m", "min", "mins", "minute", "minutes", "分", "分钟"),
    "hours": ("h", "hr", "hrs", "hour", "hours", "小时"),
    "days": ("d", "day", "days", "天"),
}
_UNIT_OF = {name: unit for unit, names in _UNITS.items() for name in names}
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1, "前天": -2, "昨天": -1, "今天": 0, "明天": 1, "后天": 2}
_NOW = ("now", "现在")
_NUMBER = re.compile(r"[+-]?[\d.]+")
_LENGTH = r"(\d{1,9}(?:\.\d{1,6})?) *([a-z]+|[秒分钟小时天]+) *"
_SPAN = re.compile(rf"(?P<sign>\+|-|in )? *(?P<lengths>(?:{_LENGTH})+?)(?P<side>ago|前|后)?")
_CLOCK = re.compile(
    rf"(?:(?P<word>{'|'.join(_DAYS)})|(?P<year>\d{{4}})[-/年](?P<month>\d\d?)[-/月](?P<day>\d\d?)日?)?"
    r"(?P<gap> ?T ?| |(?<=[日天]))?"
    r"(?:(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<zone>[A-Z+-]\S*))?)?",
    re.IGNORECASE,
)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d\d?)(?::?([0-5]\d)(?::?([0-5]\d))?)?", re.IGNORECASE)
_BACK = 'use one such as -30m, 14:00, "yesterday 22:00" or "2026-11-27 09:00"'
_AHEAD = 'use one such as 2h, 14:00, "tomorrow 9:00" or "2026-11-27 09:00"'


class UnreadableTime(ValueError):
    """A text is no time. The error says what is wrong and what to write, without quoting the text."""

    def __init__(self, text: str, remedy: str):
        super().__init__(text)
        self.text, self.remedy = text, remedy


def read_time(text: str, now: datetime, zone: tzinfo, *, is_ahead: bool = False) -> datetime:
    """Returns the instant that a person means, in `zone` where the text names no other; else raises UnreadableTime.

    With `is_ahead`, as for a due time, `2h` is two hours from now and `14:00` the next one; otherwise `2h` is two hours
    ago and `14:00` the last one. A day alone is its beginning.
    """
    typed = " ".join(normalize("NFKC", text).split())
    if _NUMBER.fullmatch(typed):
        raise UnreadableTime("is a number without a unit", "write 3600s, 60m or 1h, or 14:00 for a time of day")
    try:
        if typed.lower() in _NOW:
            return now.astimezone(zone)
        if span := _SPAN.fullmatch(typed.lower()):
            return _shifted(span, now, is_ahead=is_ahead).astimezone(zone)
        if typed and (clock := _CLOCK.fullmatch(typed)):
            return _by_clock(clock, now, zone, is_ahead=is_ahead).astimezone(zone)
    except UnreadableTime:
        raise
    except (ValueError, OverflowError, KeyError):
        pass
    raise UnreadableTime("is not a time", _AHEAD if is_ahead else _BACK)


def _shifted(span: re.Match[str], now: datetime, *, is_ahead: bool) -> datetime:
    """Returns the instant that is a span before or after now."""
    sign, side = span["sign"], span["side"]
    if sign and side:
        raise ValueError
    lengths = re.findall(_LENGTH, span["lengths"])
    length = sum((timedelta(**{_UNIT_OF[unit]: float(number)}) for number, unit in lengths), timedelta())
    if sign in ("+", "in ") or side == "后" or (is_ahead and not sign and not side):
        return now + length
    return (now - length).replace(microsecond=0)


def _by_clock(clock: re.Match[str], now: datetime, zone: tzinfo, *, is_ahead: bool) -> datetime:
    """Returns the instant of a day, a time of day, or both."""
    if clock["zone"]:
        zone = _zone_of(clock["zone"])
    today = now.astimezone(zone)
    day = None
    if clock["word"]:
        day = today.date() + timedelta(days=_DAYS[clock["word"].lower()])
    elif clock["year"]:
        day = date(int(clock["year"]), int(clock["month"]), int(clock["day"]))
    if clock["hour"] is None:
        if day is None or clock["gap"]:
            raise ValueError
        return local_instant(day, time(), zone)
    if day is not None and clock["gap"] is None:
        raise ValueError
    micros = int((clock["fraction"] or "")[:6].ljust(6, "0"))
    at = time(int(clock["hour"]), int(clock["minute"]), int(clock["second"] or 0), micros)
    if day is None:
        is_over = at <= today.time()
        day = today.date() + timedelta(days=int(is_over) if is_ahead else int(is_over) - 1)
    return _unambiguous(day, at, zone)


def _unambiguous(day: date, at: time, zone: tzinfo) -> datetime:
    """Returns the instant of a local time. Raises UnreadableTime if the clocks skip that time, or show it twice."""
    both = local_instant(day, at, zone), local_instant(day, at, zone, late=True)
    first, second = (write_time(instant, zone) for instant in both)
    if both[0].astimezone(zone).time() != at:
        raise UnreadableTime("does not exist on that day: the clocks go forward", f"write {first}, when they do")
    if both[0] != both[1]:
        raise UnreadableTime("comes twice on that day: the clocks go back", f"write {first} or {second}")
    return both[0]


def local_instant(day: date, at: time, zone: tzinfo, *, late: bool = False) -> datetime:
    """Returns in UTC when it is that time on that day: of two equal times the first, with `late` the second.

    A time that the clocks leave out is the instant at which they are put forward.
    """
    both = sorted(datetime.combine(day, at, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if both[0].astimezone(zone).time() == at:
        return both[int(late)]
    # Left out: the change lies between the two readings of the time.
    early, after = both
    while after - early > timedelta(seconds=1):
        middle = early + (after - early) / 2
        if middle.astimezone(zone).utcoffset() == both[0].astimezone(zone).utcoffset():
            early = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _zone_of(text: str) -> tzinfo:
    if text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    if match := _OFFSET.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
        offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return timezone(offset if match[1] == "+" else -offset)
    return zone_named(text)


def zone_named(name: str) -> ZoneInfo:
    """Returns the time zone of an IANA name. Raises ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        if not available_timezones():
            raise ValueError("this machine has no time zones; `pip install tzdata`") from None
        name = name.encode("utf-8", "replace").decode()  # a variable of another encoding holds half characters
        raise ValueError(f"there is no time zone {name}; use one such as Asia/Shanghai") from None


def write_time(at: datetime, zone: tzinfo) -> str:
    """Returns an instant as text, such as `2026-11-27 09:00:00 +08:00`, which `read_time` can read."""
    text = at.astimezone(zone).isoformat(" ", "seconds")
    return f"{text[:19]} {offset_of(at, zone)}"


def offset_of(at: datetime, zone: tzinfo) -> str:
    """Returns how far the zone is ahead of UTC at an instant, such as `+08:00`, or `UTC` if not at all."""
    local = at.astimezone(zone)
    return local.isoformat(timespec="seconds")[19:] if local.utcoffset() else "UTC"
