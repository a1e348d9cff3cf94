"""The vendor's limits (90312 访问频率限制; 90236): refused calls, dropped messages, and violations.

Every limit is counted in sliding and in aligned windows, whichever of them refuses. A refused or dropped call does not
count, but is a violation.
"""

from collections import Counter, defaultdict, deque
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from worker_simulator.answers import Refused
from worker_simulator.clock import Clock
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wire.call_log import Rulings

MINUTE = 60.0
HOUR = 3600.0
DAY = 86_400.0
MONTH = 30 * DAY
"""Seconds of a sliding month; an aligned one is a calendar month."""


@dataclass(slots=True)
class WindowCounter:
    """What was counted for one key in windows of one length."""

    seconds: float
    amount: int
    zone_s: float
    """By how many seconds the calendar of days and months is ahead of UTC."""
    entries: deque[tuple[float, int]] = field(default_factory=deque)
    sliding: int = 0
    aligned: int = 0
    aligned_start: float = 0.0

    def excess(self, now: float, cost: int) -> dict[str, int]:
        """Returns the totals after `cost` more, by kind of window, if they exceed the amount."""
        self._forget(now)
        totals = {"aligned": self.aligned + cost}
        if self.seconds != DAY:
            totals["sliding"] = self.sliding + cost
        return {kind: total for kind, total in totals.items() if self.amount and total > self.amount}

    def add(self, now: float, cost: int) -> None:
        """Counts `cost`."""
        if self.seconds != DAY:
            self.entries.append((now, cost))
            self.sliding += cost
        self.aligned += cost

    def _forget(self, now: float) -> None:
        entries, oldest = self.entries, now - self.seconds
        while entries and entries[0][0] <= oldest:
            self.sliding -= entries.popleft()[1]
        start = aligned_start(now, self.seconds, self.zone_s)
        if start != self.aligned_start:
            self.aligned_start, self.aligned = start, 0


def aligned_start(now: float, seconds: float, zone_s: float) -> float:
    """Returns the start of the aligned window at `now`. Days and months are those of the calendar."""
    if seconds == MONTH:
        today = datetime.fromtimestamp(now, timezone(timedelta(seconds=zone_s)))
        return today.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    offset = zone_s if seconds == DAY else 0.0
    return now - (now + offset) % seconds


PERSON_TIMES_PER_ACCOUNT = 200
Amounts = tuple[tuple[float, int], ...]


@dataclass(slots=True)
class Violation:
    """A limit that was exceeded in one kind of window, once or more. `count` is the highest total."""

    key: str
    window_s: float
    kind: str
    limit: int
    count: int
    times: int
    first_at: float
    last_at: float
    first_seq: int
    last_seq: int


class Limits:
    """All windows, blocks and violations."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, rulings: Rulings) -> None:
        self._settings = settings
        self._clock = clock
        self._rulings = rulings
        self._windows: dict[str, tuple[WindowCounter, ...]] = {}
        self._blocked_until: dict[str, float] = {}
        self._violations: dict[tuple[str, float, str], Violation] = {}
        self._drops: list[dict[str, Any]] = []
        self._blocked_calls: Counter[str] = Counter()

    def count_call(self, corpid: str, path: str, ip: str, seq: int) -> None:
        """Counts a call for its corp and IP. message/send is not counted here."""
        limits = self._settings.limits
        corp: Amounts = ((MINUTE, limits.api_per_minute), (HOUR, limits.api_per_hour))
        address: Amounts = ((MINUTE, limits.ip_per_minute), (HOUR, limits.ip_per_hour))
        self._count_or_refuse(f"api:{corpid}:{path}", corp, 1, seq)
        self._count_or_refuse(f"ip:{ip}:{path}", address, 1, seq)

    def count_persons(self, app: str, persons: int, seq: int) -> None:
        """Counts the person-times of a send for the app's day."""
        amount = self._settings.limits.account_cap * PERSON_TIMES_PER_ACCOUNT
        self._count_or_refuse(f"persons:{app}", ((DAY, amount),), persons, seq)

    def count_new_chat(self, corpid: str, seq: int) -> None:
        """Counts a new group chat for its corp's day."""
        self._count_or_refuse(f"chats made:{corpid}", ((DAY, self._settings.limits.chats_per_day),), 1, seq)

    def count_chat_change(self, corpid: str, seq: int) -> None:
        """Counts a change of a group chat for its corp's hour."""
        amounts: Amounts = ((HOUR, self._settings.limits.chat_changes_per_hour),)
        self._count_or_refuse(f"chats changed:{corpid}", amounts, 1, seq)

    def count_chat_persons(self, corpid: str, persons: int, seq: int) -> None:
        """Counts the person-times of a send to a group chat for its corp."""
        limits = self._settings.limits
        amounts: Amounts = ((MINUTE, limits.chat_persons_per_minute), (HOUR, limits.chat_persons_per_hour))
        self._count_or_refuse(f"chat persons:{corpid}", amounts, persons, seq)

    def count_minute(self, key: str, amount: int, seq: int) -> None:
        """Counts a call for a key with this amount a minute."""
        self._count_or_refuse(key, ((MINUTE, amount),), 1, seq)

    def count_picture(self, corpid: str, seq: int) -> None:
        """Counts a permanent picture for its corp."""
        limits = self._settings.limits
        amounts: Amounts = ((DAY, limits.pictures_per_day), (MONTH, limits.pictures_per_month))
        self._count_or_refuse(f"pictures:{corpid}", amounts, 1, seq)

    def admit_members(self, app: str, people: list[str], msgid: str, seq: int) -> list[str]:
        """Returns the members who get this message. The others are dropped, or the call is refused, by setting."""
        limits = self._settings.limits
        amounts: Amounts = ((MINUTE, limits.member_per_minute), (HOUR, limits.member_per_hour))
        refuses = limits.member_excess == "refuse"
        return self._admit(f"member:{app}", amounts, people, {"app": app, "msgid": msgid, "seq": seq}, refuses=refuses)

    def admit_chat_members(self, app: str, people: list[str], chatid: str, seq: int) -> list[str]:
        """Returns the members who get this message of a chat. The others are dropped."""
        limits = self._settings.limits
        amounts: Amounts = ((MINUTE, limits.chat_member_per_minute), (DAY, limits.chat_member_per_day))
        about = {"app": app, "chatid": chatid, "seq": seq}
        return self._admit(f"chat member:{app}", amounts, people, about, refuses=False)

    def to_json(self) -> dict[str, Any]:
        """Returns violations, drops and blocked calls for the control API."""
        return {
            "limits": [asdict(violation) for violation in self._violations.values()],
            "drops": self._drops,
            "blocked_calls": dict(self._blocked_calls),
            "blocked_until": dict(self._blocked_until),
        }

    def _admit(
        self, key: str, amounts: Amounts, people: list[str], about: dict[str, Any], *, refuses: bool
    ) -> list[str]:
        now, seq = self._clock.now(), about["seq"]
        windows = {person: self._windows_of(f"{key}:{person}", amounts) for person in people}
        excesses = ((p, self._longest_excess(f"{key}:{p}", windows[p], 1, now, seq)) for p in people)
        over = {person: overstep[0] for person, overstep in excesses if overstep is not None}
        self._record_excess(key, over, seq, refused=refuses)
        if over and refuses:
            raise Refused(45009)
        admitted = [person for person in people if person not in over]
        for person in admitted:
            self._add(windows[person], now, 1)
        self._drops += [
            {**about, "user": person, "time": now, "window_s": window.seconds, "limit": window.amount}
            for person, window in over.items()
        ]
        return admitted

    def _record_excess(self, key: str, over: dict[str, WindowCounter], seq: int, *, refused: bool) -> None:
        """Records which members are above which limit."""
        by_limit: defaultdict[tuple[float, int], list[str]] = defaultdict(list)
        for person, window in over.items():
            by_limit[window.seconds, window.amount].append(person)
        for (seconds, amount), people in by_limit.items():
            about = {"key": key, "window_s": seconds, "limit": amount, "people": people}
            self._rulings.record(seq, "limit" if refused else "drop", **about)

    def _count_or_refuse(self, key: str, amounts: Amounts, cost: int, seq: int) -> None:
        now = self._clock.now()
        if self._blocked_until.get(key, 0.0) > now:
            self._blocked_calls[key] += 1
            self._rulings.record(seq, "blocked", key=key, until=self._blocked_until[key])
            raise Refused(45009)
        windows = self._windows_of(key, amounts)
        longest = self._longest_excess(key, windows, cost, now, seq)
        if longest is not None:
            window, count = longest
            about = {"key": key, "window_s": window.seconds, "limit": window.amount, "count": count}
            self._rulings.record(seq, "limit", **about)
            self._block(key, window.seconds, now)
            raise Refused(45009)
        self._add(windows, now, cost)

    def _block(self, key: str, window_s: float, now: float) -> None:
        """Blocks a key for the window that was exceeded; for a day, until its end (help of 45009)."""
        if self._settings.limits.penalty:
            day_began = aligned_start(now, DAY, self._zone_s)
            self._blocked_until[key] = day_began + DAY if window_s == DAY else now + window_s

    def _longest_excess(
        self, key: str, windows: tuple[WindowCounter, ...], cost: int, now: float, seq: int
    ) -> tuple[WindowCounter, int] | None:
        """Returns the longest window that refuses, and the total that the call would make, or None if none refuses.

        Records every window that is exceeded.
        """
        longest: tuple[WindowCounter, int] | None = None
        for window in windows:
            for kind, count in window.excess(now, cost).items():
                self._record(key, window, kind, count, now, seq)
                if self._enforced(kind, window) and (longest is None or window.seconds > longest[0].seconds):
                    longest = window, count
        return longest

    @property
    def _zone_s(self) -> float:
        return self._settings.limits.day_zone_h * HOUR

    def _enforced(self, kind: str, window: WindowCounter) -> bool:
        enforce = self._settings.limits.enforce
        return enforce == kind or (enforce == "sliding" and window.seconds == DAY)

    def _record(self, key: str, window: WindowCounter, kind: str, count: int, now: float, seq: int) -> None:
        violation = self._violations.get((key, window.seconds, kind))
        if violation is None:
            violation = Violation(key, window.seconds, kind, window.amount, count, 1, now, now, seq, seq)
            self._violations[key, window.seconds, kind] = violation
            return
        violation.count, violation.times = max(violation.count, count), violation.times + 1
        violation.last_at, violation.last_seq = now, seq

    def _windows_of(self, key: str, amounts: Amounts) -> tuple[WindowCounter, ...]:
        windows = self._windows.get(key)
        if windows is None:
            windows = tuple(WindowCounter(seconds, amount, self._zone_s) for seconds, amount in amounts)
            self._windows[key] = windows
        for window, (_, amount) in zip(windows, amounts, strict=True):
            window.amount, window.zone_s = amount, self._zone_s
        return windows

    @staticmethod
    def _add(windows: tuple[WindowCounter, ...], now: float, cost: int) -> None:
        for window in windows:
            window.add(now, cost)
