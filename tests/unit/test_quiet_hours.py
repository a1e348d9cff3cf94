"""Quiet hours are of local time: over midnight, and over the nights in which summer time begins and ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import pytest

from worker.domain.pacing.quiet import quiet_hours

MICROS = 1_000_000


def until(written: str, at: str) -> str | None:
    """The end in UTC of the quiet hours that hold at an instant; None: none hold."""
    hours = quiet_hours(written)
    assert hours is not None
    end = hours.ends_at(int(datetime.fromisoformat(at).timestamp() * MICROS))
    return None if end is None else datetime.fromtimestamp(end / MICROS, UTC).isoformat()


@pytest.mark.parametrize(
    ("written", "at", "ends"),
    [
        ("22:00-07:00 Asia/Shanghai", "2026-11-21T21:59:59.999999+08:00", None),
        ("22:00-07:00 Asia/Shanghai", "2026-11-21T22:00:00+08:00", "2026-11-21T23:00:00+00:00"),
        ("22:00-07:00 Asia/Shanghai", "2026-11-22T06:59:59.999999+08:00", "2026-11-21T23:00:00+00:00"),
        ("22:00-07:00 Asia/Shanghai", "2026-11-22T07:00:00+08:00", None),
        ("12:00-13:30 Asia/Shanghai", "2026-11-22T13:00:00+08:00", "2026-11-22T05:30:00+00:00"),
        ("12:00-13:30 Asia/Shanghai", "2026-11-22T11:59:00+08:00", None),
        # Summer time begins at 02:00 (01:00 UTC): the night is an hour shorter, and 02:30 is left out.
        ("22:00-07:00 Europe/Berlin", "2026-03-29T00:30:00+01:00", "2026-03-29T05:00:00+00:00"),
        ("22:00-02:30 Europe/Berlin", "2026-03-29T00:30:00+01:00", "2026-03-29T01:00:00+00:00"),
        ("22:00-02:30 Europe/Berlin", "2026-03-29T03:00:00+02:00", None),
        ("02:30-07:00 Europe/Berlin", "2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+00:00"),
        ("02:30-07:00 Europe/Berlin", "2026-03-29T01:59:59+01:00", None),
        # It ends at 03:00, which is 02:00 again: the night is an hour longer, and 02:30 comes twice.
        ("22:00-07:00 Europe/Berlin", "2026-10-25T00:30:00+02:00", "2026-10-25T06:00:00+00:00"),
        ("22:00-02:30 Europe/Berlin", "2026-10-25T02:10:00+02:00", "2026-10-25T01:30:00+00:00"),
        ("22:00-02:30 Europe/Berlin", "2026-10-25T02:40:00+02:00", "2026-10-25T01:30:00+00:00"),
        ("22:00-02:30 Europe/Berlin", "2026-10-25T02:30:00+01:00", None),
        ("02:30-07:00 Europe/Berlin", "2026-10-25T02:29:00+02:00", None),
        ("02:30-07:00 Europe/Berlin", "2026-10-25T02:30:00+02:00", "2026-10-25T06:00:00+00:00"),
        ("02:30-07:00 Europe/Berlin", "2026-10-25T02:10:00+01:00", "2026-10-25T06:00:00+00:00"),
    ],
)
def test_quiet_hours_hold_by_the_local_clock(written: str, at: str, ends: str | None) -> None:
    """The end is an instant, so a part that waits for it is due in time whatever the clocks do meanwhile."""
    assert ends == until(written, at)


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("Europe/Berlin", ("2026-03-29", "2026-10-25")),
        ("America/New_York", ("2026-03-08", "2026-11-01")),
        ("Australia/Lord_Howe", ("2026-04-05", "2026-10-04")),
        ("Asia/Shanghai", ("2026-03-29",)),
    ],
    ids=["Berlin", "New York", "Lord Howe", "Shanghai"],
)
@pytest.mark.parametrize("span", ["22:00-07:00", "01:45-02:15", "02:15-01:45", "00:00-23:59"])
def test_an_end_is_never_past_and_never_quiet(zone: str, days: tuple[str, ...], span: str) -> None:
    """Through three days around each on which the zone's clock is changed, a quarter of an hour at a time."""
    hours = quiet_hours(f"{span} {zone}")
    assert hours is not None
    for changed in days:
        start = datetime.fromisoformat(f"{changed}T00:00:00+00:00") - timedelta(days=1)
        for quarter in range(3 * 24 * 4):
            now = int((start + timedelta(minutes=15 * quarter)).timestamp()) * MICROS
            if (end := hours.ends_at(now)) is not None:
                assert now < end <= now + 26 * 3600 * MICROS
                assert hours.ends_at(end) is None


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("22-7", "are not written as"),
        ("24:00-07:00 Asia/Shanghai", "are not written as"),
        ("22:00-07:00", "are not written as"),
        ("22:00-22:00 UTC", "begin when they end"),
        ("22:00-07:00 Asia/Shangai", "there is no time zone Asia/Shangai"),
        ("22:00-07:00 /etc/passwd", "there is no time zone"),
    ],
)
def test_what_is_no_quiet_hours_says_how_to_write_them(written: str, told: str) -> None:
    """In the settings and at enqueue."""
    with pytest.raises(ValueError, match=told):
        quiet_hours(written)


def test_urgent_passes_only_where_it_is_said() -> None:
    """And `none` means none."""
    assert [
        quiet_hours(f"22:00-07:00 UTC{more}").urgent_passes  # type: ignore[union-attr]
        for more in ("", ", urgent passes")
    ] == [False, True]
    assert quiet_hours("none") is None


def test_a_machine_without_time_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slim images have none, and another name would not help."""
    monkeypatch.setattr("worker.domain.times.ZoneInfo", _no_zone)
    monkeypatch.setattr("worker.domain.times.available_timezones", set)

    with pytest.raises(ValueError, match="this machine has no time zones; `pip install tzdata`"):
        quiet_hours("01:11-02:22 Asia/Shanghai")


def _no_zone(name: str) -> Any:
    raise ZoneInfoNotFoundError(name)
