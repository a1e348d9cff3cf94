"""The vendor's limits (90312 访问频率限制; 90236): which refuse, which drop in silence, and every violation.

Does not know messages. Every limit is watched in sliding and in aligned windows whichever of them refuses. A
refused or dropped call takes nothing from the windows; its attempt is a violation.
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
class CountedWindow:
    """What was taken from one key in one window length."""

    seconds: float
    amount: int
    zone_s: float
    """Seconds by which the calendar of days and months is ahead of UTC."""
    taken: deque[tuple[float, int]] = field(default_factory=deque)
    sliding: int = 0
    aligned: int = 0
    aligned_start: float = 0.0

    def look(self, now: float, cost: int) -> dict[str, int]:
        """The totals `cost` more would make, by kind of window, where they exceed the amount."""
        self._forget(now)
        totals = {"aligned": self.aligned + cost}
        if self.seconds != DAY:
            totals["sliding"] = self.sliding + cost
        return {kind: total for kind, total in totals.items() if self.amount and total > self.amount}

    def take(self, now: float, cost: int) -> None:
        """Count `cost`."""
        if self.seconds != DAY:
            self.taken.append((now, cost))
            self.sliding += cost
        self.aligned += cost

    def _forget(self, now: float) -> None:
        taken, oldest = self.taken, now - self.seconds
        while taken and taken[0][0] <= oldest:
            self.sliding -= taken.popleft()[1]
        start = aligned_start(now, self.seconds, self.zone_s)
        if start != self.aligned_start:
            self.aligned_start, self.aligned = start, 0


def aligned_start(now: float, seconds: float, zone_s: float) -> float:
    """When the clock-face window holding `now` began; days and months are those of the calendar."""
    if seconds == MONTH:
        today = datetime.fromtimestamp(now, timezone(timedelta(seconds=zone_s)))
        return today.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    offset = zone_s if seconds == DAY else 0.0
    return now - (now + offset) % seconds


PERSON_TIMES_PER_ACCOUNT = 200
Amounts = tuple[tuple[float, int], ...]


@dataclass(slots=True)
class Violation:
    """One limit overstepped in one kind of window, once or more; `count` is the worst."""

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


@dataclass(frozen=True, slots=True)
class Overstep:
    """A window that refuses, and what one more call would make of its count."""

    window: CountedWindow
    count: int


class Limits:
    """All windows, blocks and violations."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, rulings: Rulings) -> None:
        self._settings = settings
        self._clock = clock
        self._rulings = rulings
        self._windows: dict[str, tuple[CountedWindow, ...]] = {}
        self._blocked_until: dict[str, float] = {}
        self._violations: dict[tuple[str, float, str], Violation] = {}
        self._drops: list[dict[str, Any]] = []
        self._blocked_calls: Counter[str] = Counter()

    def count_call(self, corpid: str, path: str, ip: str, seq: int) -> None:
        """Count a call against its corp and IP; message/send is not counted in these."""
        limits = self._settings.limits
        corp: Amounts = ((MINUTE, limits.api_per_minute), (HOUR, limits.api_per_hour))
        address: Amounts = ((MINUTE, limits.ip_per_minute), (HOUR, limits.ip_per_hour))
        self._take_or_refuse(f"api:{corpid}:{path}", corp, 1, seq)
        self._take_or_refuse(f"ip:{ip}:{path}", address, 1, seq)

    def count_persons(self, app: str, persons: int, seq: int) -> None:
        """Count person-times of a send against the app's day."""
        amount = self._settings.limits.account_cap * PERSON_TIMES_PER_ACCOUNT
        self._take_or_refuse(f"persons:{app}", ((DAY, amount),), persons, seq)

    def count_chat_made(self, corpid: str, seq: int) -> None:
        """Count a group chat against its corp's day."""
        self._take_or_refuse(f"chats made:{corpid}", ((DAY, self._settings.limits.chats_per_day),), 1, seq)

    def count_chat_change(self, corpid: str, seq: int) -> None:
        """Count a change of a group chat against its corp's hour."""
        amounts: Amounts = ((HOUR, self._settings.limits.chat_changes_per_hour),)
        self._take_or_refuse(f"chats changed:{corpid}", amounts, 1, seq)

    def count_chat_persons(self, corpid: str, persons: int, seq: int) -> None:
        """Count person-times of a send to a group chat against its corp."""
        limits = self._settings.limits
        amounts: Amounts = ((MINUTE, limits.chat_persons_per_minute), (HOUR, limits.chat_persons_per_hour))
        self._take_or_refuse(f"chat persons:{corpid}", amounts, persons, seq)

    def count_minute(self, key: str, amount: int, seq: int) -> None:
        """Count a call against so many a minute of a key."""
        self._take_or_refuse(key, ((MINUTE, amount),), 1, seq)

    def count_picture(self, corpid: str, seq: int) -> None:
        """Count a permanent picture against its corp."""
        limits = self._settings.limits
        amounts: Amounts = ((DAY, limits.pictures_per_day), (MONTH, limits.pictures_per_month))
        self._take_or_refuse(f"pictures:{corpid}", amounts, 1, seq)

    def admit_members(self, app: str, people: list[str], msgid: str, seq: int) -> list[str]:
        """The members who get this message; the others are dropped in silence, or the call is refused, by setting."""
        limits = self._settings.limits
        amounts: Amounts = ((MINUTE, limits.member_per_minute), (HOUR, limits.member_per_hour))
        refuses = limits.member_excess == "refuse"
        return self._admit(f"member:{app}", amounts, people, {"app": app, "msgid": msgid, "seq": seq}, refuses=refuses)

    def admit_chat_members(self, app: str, people: list[str], chatid: str, seq: int) -> list[str]:
        """The members who get this message of a chat; the others are dropped in silence."""
        limits = self._settings.limits
        amounts: Amounts = ((MINUTE, limits.chat_member_per_minute), (DAY, limits.chat_member_per_day))
        about = {"app": app, "chatid": chatid, "seq": seq}
        return self._admit(f"chat member:{app}", amounts, people, about, refuses=False)

    def shown(self) -> dict[str, Any]:
        """Violations, silent drops and calls that met a block."""
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
        windows = {person: self._of(f"{key}:{person}", amounts) for person in people}
        found = ((p, self._overstepped(f"{key}:{p}", windows[p], 1, now, seq)) for p in people)
        over = {person: overstep.window for person, overstep in found if overstep is not None}
        self._note_dropped(key, over, seq, refused=refuses)
        if over and refuses:
            raise Refused(45009)
        admitted = [person for person in people if person not in over]
        for person in admitted:
            self._take(windows[person], now, 1)
        self._drops += [
            {**about, "user": person, "time": now, "window_s": window.seconds, "limit": window.amount}
            for person, window in over.items()
        ]
        return admitted

    def _note_dropped(self, key: str, over: dict[str, CountedWindow], seq: int, *, refused: bool) -> None:
        """Note with the call which members are beyond which limit."""
        by_limit: defaultdict[tuple[float, int], list[str]] = defaultdict(list)
        for person, window in over.items():
            by_limit[window.seconds, window.amount].append(person)
        for (seconds, amount), people in by_limit.items():
            about = {"key": key, "window_s": seconds, "limit": amount, "people": people}
            self._rulings.note(seq, "limit" if refused else "drop", **about)

    def _take_or_refuse(self, key: str, amounts: Amounts, cost: int, seq: int) -> None:
        now = self._clock.now()
        if self._blocked_until.get(key, 0.0) > now:
            self._blocked_calls[key] += 1
            self._rulings.note(seq, "blocked", key=key, until=self._blocked_until[key])
            raise Refused(45009)
        windows = self._of(key, amounts)
        worst = self._overstepped(key, windows, cost, now, seq)
        if worst is not None:
            window = worst.window
            about = {"key": key, "window_s": window.seconds, "limit": window.amount, "count": worst.count}
            self._rulings.note(seq, "limit", **about)
            self._block(key, window.seconds, now)
            raise Refused(45009)
        self._take(windows, now, cost)

    def _block(self, key: str, window_s: float, now: float) -> None:
        """The penalty equals the window overstepped; for a day it is the rest of it (help of 45009)."""
        if self._settings.limits.penalty:
            day_began = aligned_start(now, DAY, self._zone_s)
            self._blocked_until[key] = day_began + DAY if window_s == DAY else now + window_s

    def _overstepped(
        self, key: str, windows: tuple[CountedWindow, ...], cost: int, now: float, seq: int
    ) -> Overstep | None:
        """The longest window that refuses, None for none; what is overstepped without refusing is noted too."""
        worst = None
        for window in windows:
            for kind, count in window.look(now, cost).items():
                self._note(key, window, kind, count, now, seq)
                if self._enforced(kind, window) and (worst is None or window.seconds > worst.window.seconds):
                    worst = Overstep(window, count)
        return worst

    @property
    def _zone_s(self) -> float:
        return self._settings.limits.day_zone_h * HOUR

    def _enforced(self, kind: str, window: CountedWindow) -> bool:
        enforce = self._settings.limits.enforce
        return enforce == kind or (enforce == "sliding" and window.seconds == DAY)

    def _note(self, key: str, window: CountedWindow, kind: str, count: int, now: float, seq: int) -> None:
        known = self._violations.get((key, window.seconds, kind))
        if known is None:
            found = Violation(key, window.seconds, kind, window.amount, count, 1, now, now, seq, seq)
            self._violations[key, window.seconds, kind] = found
            return
        known.count, known.times = max(known.count, count), known.times + 1
        known.last_at, known.last_seq = now, seq

    def _of(self, key: str, amounts: Amounts) -> tuple[CountedWindow, ...]:
        windows = self._windows.get(key)
        if windows is None:
            made = tuple(CountedWindow(seconds, amount, self._zone_s) for seconds, amount in amounts)
            windows = self._windows[key] = made
        for window, (_, amount) in zip(windows, amounts, strict=True):
            window.amount, window.zone_s = amount, self._zone_s
        return windows

    @staticmethod
    def _take(windows: tuple[CountedWindow, ...], now: float, cost: int) -> None:
        for window in windows:
            window.take(now, cost)
