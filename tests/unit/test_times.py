"""Times as people say them: each way is read as what it means, or refused with an example of what to write."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from tests.docs.page import Page
from worker.cli.options import to_json
from worker.cli.times import clock
from worker.config.time_zone import host_zone
from worker.console.rendering import at, span
from worker.domain.errors import CheckFailed, ConfigurationError
from worker.domain.job_filter import JobFilter
from worker.domain.times import UnreadableTime, offset_of, read_time, write_time

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 27, 1, 30, 12, 345678, SHANGHAI)

BOTH_WAYS = {
    "-30m": "11-27 01:00:12",
    "-90s": "11-27 01:28:42",
    "30m ago": "11-27 01:00:12",
    "2 hours ago": "11-26 23:30:12",
    "2小时前": "11-26 23:30:12",
    "-1.5h": "11-27 00:00:12",
    "+2h": "11-27 03:30:12",
    "in 2h": "11-27 03:30:12",
    "30分钟后": "11-27 02:00:12",
    "now": "11-27 01:30:12",
    "现在": "11-27 01:30:12",
    "today": "11-27 00:00:00",
    "Yesterday": "11-26 00:00:00",
    "tomorrow 9:00": "11-28 09:00:00",
    "yesterday 22:00": "11-26 22:00:00",
    "yesterday  22:00:30": "11-26 22:00:30",
    "昨天 22:00": "11-26 22:00:00",
    "昨天22：00": "11-26 22:00:00",  # as a Chinese keyboard writes it
    "今天": "11-27 00:00:00",
    "后天 8:00": "11-29 08:00:00",
    "2026-11-27": "11-27 00:00:00",
    "2026-11-27 09:00": "11-27 09:00:00",
    " 2026-11-27 9:00 ": "11-27 09:00:00",
    "2026-11-27T09:00": "11-27 09:00:00",
    "2026-11-27T09:00:30": "11-27 09:00:30",
    "2026/11/27 9:00": "11-27 09:00:00",
    "2026年11月27日 9:00": "11-27 09:00:00",
    "2026-11-27T09:00:00+0800": "11-27 09:00:00",
    "2026-11-27T09:00+08:00": "11-27 09:00:00",
    "2026-11-27 09:00 +08:00": "11-27 09:00:00",
    "2026-11-27 09:00 +8": "11-27 09:00:00",
    "2026-11-27 09:00 UTC+8": "11-27 09:00:00",
    "2026-11-27T01:00:00Z": "11-27 09:00:00",
    "2026-11-27T01:00:00.000+00:00": "11-27 09:00:00",
    "2026-11-27 01:00 UTC": "11-27 09:00:00",
    "2026-11-27 02:00 Europe/Berlin": "11-27 09:00:00",
    "2026-11-27T01:00:00.123456789Z": "11-27 09:00:00",
}
"""What means the same of what has been and of what is to come."""
BACK_AND_AHEAD = {
    "2h": ("11-26 23:30:12", "11-27 03:30:12"),
    "1h30m": ("11-27 00:00:12", "11-27 03:00:12"),
    "90 seconds": ("11-27 01:28:42", "11-27 01:31:42"),
    "3天": ("11-24 01:30:12", "11-30 01:30:12"),
    "14:00": ("11-26 14:00:00", "11-27 14:00:00"),
    "1:00": ("11-27 01:00:00", "11-28 01:00:00"),
    "00:30 UTC": ("11-26 08:30:00", "11-27 08:30:00"),
}
NO_TIMES = (
    *("", "-", "3600", "1400", "20261127", "1795739400", "noon", "2pm", "2:00 PM", "24:00", "9:60", "today 9", "5y"),
    *("2026-02-30", "2026-11-27T", "2026-11-279:00", "2026-11-27 09:00 +25:00", "2026-11-27 09:00 Mars/Olympus"),
    *("-2h ago", "99999999h", "0001-01-01 00:00 +08:00", "14:00 ../etc/passwd", "now\x00"),
)


@pytest.mark.parametrize("text", BOTH_WAYS)
def test_a_time_is_read_as_a_person_means_it(text: str) -> None:
    """In the installation's zone, where it names no other."""
    for is_ahead in (False, True):
        told = write_time(read_time(text, NOW, SHANGHAI, is_ahead=is_ahead), SHANGHAI)

        assert f"2026-{BOTH_WAYS[text]} +08:00" == told


def test_a_span_back_is_to_the_second() -> None:
    """As it is printed: what a filter shows, typed again, finds the same jobs."""
    found = read_time("-30m", NOW, SHANGHAI)

    assert found == read_time(write_time(found, SHANGHAI), NOW, SHANGHAI)


@pytest.mark.parametrize("text", BACK_AND_AHEAD)
def test_what_has_no_direction_lies_where_the_field_looks(text: str) -> None:
    """A filter's behind now, a due time ahead."""
    told = [write_time(read_time(text, NOW, SHANGHAI, is_ahead=ahead), SHANGHAI) for ahead in (False, True)]

    assert [f"2026-{one} +08:00" for one in BACK_AND_AHEAD[text]] == told


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_is_refused_with_one_that_is(text: str) -> None:
    """A number without a unit too: 1400 may be minutes, seconds or two o'clock."""
    for is_ahead in (False, True):
        with pytest.raises(UnreadableTime) as told:
            read_time(text, NOW, SHANGHAI, is_ahead=is_ahead)

        examples = told.value.remedy.replace('"', "").replace(" or ", ", ").split(", ")
        assert any(_is_read(example.split()[-1]) for example in examples)


def _is_read(text: str) -> bool:
    try:
        return bool(read_time(text, NOW, SHANGHAI))
    except UnreadableTime:
        return False


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("2026-03-29 02:30", ["2026-03-29 03:00:00 +02:00"]),
        ("2026-10-25 02:30", ["2026-10-25 02:30:00 +02:00", "2026-10-25 02:30:00 +01:00"]),
    ],
)
def test_a_time_that_comes_never_or_twice_is_refused_with_those_that_come_once(text: str, choices: list[str]) -> None:
    """And each of these is read."""
    with pytest.raises(UnreadableTime) as told:
        read_time(text, NOW, BERLIN)

    assert [choice for choice in choices if choice not in told.value.remedy] == []
    assert choices == [write_time(read_time(choice, NOW, BERLIN), BERLIN) for choice in choices]


def test_a_day_without_a_midnight_begins_with_its_first_instant() -> None:
    """In Chile the clocks go forward at midnight."""
    santiago = ZoneInfo("America/Santiago")

    assert write_time(read_time("2026-09-06", NOW, santiago), santiago) == "2026-09-06 01:00:00 -03:00"


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "UTC", "Africa/Monrovia"]),
)
def test_what_the_program_prints_it_reads(when: datetime, name: str) -> None:
    """On the command line, in the console and as JSON; to the digit that was printed."""
    zone = ZoneInfo(name)
    second, milli = when.replace(microsecond=0), when.replace(microsecond=when.microsecond // 1000 * 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKER_TIME_ZONE", name)
        printed = clock(when)

    assert milli == read_time(printed, NOW, SHANGHAI)
    assert second == read_time(write_time(when, zone), NOW, SHANGHAI)
    # A page has the zone at its head, and its search reads times in that zone.
    shown = read_time(at(when, zone).striptags(), NOW, zone)
    assert shown.astimezone(zone).replace(tzinfo=None) == second.astimezone(zone).replace(tzinfo=None)
    assert when == read_time(to_json(when), NOW, SHANGHAI)


def test_a_filter_of_texts_names_each_time_that_is_none() -> None:
    """With what to write, and without what was typed."""
    with pytest.raises(CheckFailed) as told:
        JobFilter.from_texts({"created_from": "geheim", "ended_from": "3600"}, NOW, SHANGHAI)

    assert [problem.field for problem in told.value.problems] == ["created_from", "ended_from"]
    assert "geheim" not in str(told.value)


def test_the_hosts_zone_is_that_of_its_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `TZ`, by the link or the file that systems keep, and UTC where there is neither."""
    known = next(Path(root) / "Asia/Shanghai" for root in ("/usr/share/zoneinfo",) if Path(root).exists())
    link, copied = tmp_path / "link", tmp_path / "copied"
    link.symlink_to(known)
    copied.write_bytes(known.read_bytes())
    monkeypatch.delenv("TZ", raising=False)

    found = [host_zone(link), host_zone(copied), host_zone(tmp_path / "none")]
    monkeypatch.setenv("TZ", ":Europe/Berlin")

    assert [str(zone) for zone in found] == ["Asia/Shanghai", "local", "UTC"]
    assert [timedelta(hours=8)] * 2 == [zone.utcoffset(NOW) for zone in found[:2]]
    assert str(host_zone(link)) == "Europe/Berlin"
    assert timezone(timedelta(hours=8)).utcoffset(None) == NOW.utcoffset()


ZONES = re.compile(r"^\| `TZ=([^`]*)` \| (\S+) \|$", re.MULTILINE)
ROWS: list[tuple[str, str]] = ZONES.findall(Page("docs/settings.md").text)


def test_both_pages_have_the_table_of_zones() -> None:
    """Row by row."""
    chinese = [(named, "拒绝" if offset == "refused" else offset) for named, offset in ROWS]

    assert chinese == ZONES.findall(Page("docs/zh/settings.md").text)
    assert len(ROWS) > 10


@pytest.mark.parametrize(("named", "offset"), ROWS, ids=[named for named, _ in ROWS])
def test_the_hosts_zone_is_that_of_the_c_library(named: str, offset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For 800 days in steps of five hours; what the library makes up is refused."""
    january = datetime(2026, 1, 15, tzinfo=UTC)
    monkeypatch.setenv("TZ", named)

    if offset == "refused":
        with pytest.raises(ConfigurationError, match="names no time zone of this machine"):
            host_zone()
        return
    zone = host_zone()
    instants = [january + timedelta(hours=5 * n) for n in range(800 * 24 // 5)]

    assert offset == offset_of(january, zone)
    assert by_the_library(instants) == [at.astimezone(zone).utcoffset() for at in instants]


def by_the_library(instants: Sequence[datetime]) -> list[timedelta]:
    """The offsets by the C library, which reads `TZ` when it is told to."""
    time.tzset()
    try:
        return [timedelta(seconds=time.localtime(at.timestamp()).tm_gmtoff) for at in instants]
    finally:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TZ", "UTC")
            time.tzset()


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0.4, "0 s", "0 秒"),
        (90, "90 s", "90 秒"),
        (60, "1 min", "1 分钟"),
        (3600, "1 h", "1 小时"),
        (86_400, "24 h", "24 小时"),
        (7 * 86_400, "7 days", "7 天"),
        (7234.0, "121 min", "121 分钟"),
    ],
)
def test_a_length_of_time_is_shown_in_a_unit_that_fits(seconds: float, english: str, chinese: str) -> None:
    """The largest one that gives it exactly, or that it has ten of."""
    assert span("en", seconds) == english
    assert span("zh", seconds) == chinese
