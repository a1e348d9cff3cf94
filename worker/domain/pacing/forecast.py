"""When a backlog will be through: its parts are sent in a simulation, under the limits, blocks and threads of now.

Pure arithmetic on the windows that admission uses. Knows no table, no vendor and no clock, and nothing of what comes
later: jobs that are not enqueued yet, calls that fail, limits that the vendor has and does not publish.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from worker.domain.job import Priority
from worker.domain.pacing.bulk import OTHERS
from worker.domain.pacing.lane import SECOND
from worker.domain.pacing.window import Window, guard_us, permit_age_s

SPEED = "speed"
"""The cause of a wait that no limit has: threads, and how long a part takes."""
DUE = "due_at"
"""The cause of a wait for the instant at which a part is due."""
ORDER = "order_key"
"""The cause of a wait for the part before in an order."""
STEPS = 10_000
"""Steps in which one account's backlog is followed; what is left then is taken to go on at the same pace."""
HORIZON_US = 400 * 86_400 * SECOND
"""Nothing is foretold behind this."""
_SLOTS = 97
_LONGEST_STEP_US = 60 * SECOND
_MANY, _FEW_SLOTS, _ROUNDS = 50, 12, 8
"""Lines of an account from which on its steps are longer, their share of a window, and the limits that one step fills:
a thousand lanes with a limit each would take minutes, and gain 6 % in truth.
"""


@dataclass(slots=True)
class Meter:
    """One limit key, or the keys of many alike recipients together, and how much of its window is used."""

    name: str
    """The limit's name."""
    amount: int
    window_s: int
    window: Window
    units: int = 0
    """Units that the backlog takes of it in the simulation."""

    def room(self) -> int:
        """Units that may be taken now."""
        return self.amount - self.window.used

    def take(self, units: int, now: int) -> None:
        """Counts units as admission does."""
        self.window.take(units, now, guard_us(self.window_s, permit_age_s({self.window_s})))
        self.units += units


@dataclass(frozen=True, slots=True)
class Closing:
    """A time in which nothing of a line goes."""

    cause: str
    """For people, and to tell causes apart."""
    ends_at: Callable[[int], int | None]
    """The end of the time that holds at an instant; None: none holds."""


@dataclass(slots=True, eq=False)
class BacklogLine:
    """Parts that are queued behind one another: of one lane, tenant and priority, alike in what they cost."""

    account: str
    priority: int
    cohorts: list[tuple[int, int]]
    """Instants at which parts are due, in order, and how many are due at each."""
    costs: Mapping[str, float]
    """Meter -> units that one part takes of it, on average."""
    cycle_us: float
    """Microseconds that a thread needs for one part."""
    weight: float = 1.0
    """Its share beside other lines of the account."""
    closings: Sequence[Closing] = ()
    slowest_us: int = 0
    """How long its longest order takes, whose parts go one after another."""
    marks: list[int] = field(default_factory=list)
    """Places in the line, counted from 1, of parts whose instants are asked for."""
    # What comes out.
    sent: int = 0
    ends_at: int | None = None
    """When its last part goes; None: it does not, as far as one can see."""
    marked_at: list[int] = field(default_factory=list)
    """When the parts at the marks go, as far as they do."""
    held: Counter[str] = field(default_factory=Counter)
    """Cause -> microseconds for which the line waited for it."""
    ready: int = 0
    owed: float = 0.0

    @property
    def left(self) -> int:
        """Parts that have not gone."""
        return self.ready + sum(parts for _, parts in self.cohorts)

    @property
    def binds(self) -> str:
        """The cause for which it waited longest."""
        return max(self.held, key=lambda cause: self.held[cause], default=SPEED)

    def arrive(self, now: int) -> None:
        """Takes up the parts that are due by now."""
        while self.cohorts and self.cohorts[0][0] <= now:
            self.ready += self.cohorts.pop(0)[1]

    def closed(self, now: int) -> tuple[int, str] | None:
        """Until when nothing of it goes, and why; None: it is open."""
        ends = [(end, one.cause) for one in self.closings if (end := one.ends_at(now)) is not None]
        return max(ends, default=None)

    def go(self, parts: int, begin: int, end: int) -> None:
        """Sends parts between two instants."""
        before, self.sent, self.ready = self.sent, self.sent + parts, self.ready - parts
        while self.marks and self.marks[0] <= self.sent:
            self.marked_at.append(begin + (end - begin) * (self.marks.pop(0) - before) // parts)
        if parts and not self.left:
            self.ends_at = end

    def finish(self, began: int) -> None:
        """Has the line end no earlier than its longest order."""
        if self.ends_at is not None and self.ends_at < began + self.slowest_us:
            self.held[ORDER] = max(self.held.values(), default=0) + 1
            self.ends_at = began + self.slowest_us


@dataclass(frozen=True, slots=True)
class Speed:
    """How many calls can be in the air at once."""

    threads: float
    """Of all processes together, those less that are kept free."""
    weights: Mapping[str, float]
    """The accounts' shares of them."""


class Simulation:
    """Sends the parts of lines, account by account in the order of time; the lines hold what comes out."""

    def __init__(self, now: int, lines: Sequence[BacklogLine], meters: Mapping[str, Meter], speed: Speed):
        self._began, self._meters, self._speed = now, meters, speed
        self._lines: dict[str, list[BacklogLine]] = {}
        for line in lines:
            self._lines.setdefault(line.account, []).append(line)
        self._steps: Counter[str] = Counter()
        self._busy = set(self._lines)
        """Accounts that use threads."""

    def run(self, *, to_marks: bool = False) -> None:
        """Follows every account until its lines are empty, or as far as one can see; or until all marks are reached."""
        marked = [line for lines in self._lines.values() for line in lines if line.marks]
        times = [(self._began, account) for account in self._lines]
        heapify(times)
        while times and not (to_marks and not any(line.marks for line in marked)):
            now, account = heappop(times)
            after = self._step(account, now)
            if after is None:
                self._busy.discard(account)
            else:
                heappush(times, (after, account))
        for line in (line for lines in self._lines.values() for line in lines):
            line.finish(self._began)

    def _step(self, account: str, now: int) -> int | None:
        """Sends what can go now; the instant at which more can, None: no more."""
        lines = [line for line in self._lines[account] if line.left]
        if not lines or now - self._began > HORIZON_US:
            return None
        if self._steps[account] >= STEPS:
            self._go_on_so(lines, now)
            return None
        self._steps[account] += 1
        for line in lines:
            line.arrive(now)
        causes, instants, going = _standing(lines, now)
        (self._busy.add if going else self._busy.discard)(account)
        if going:
            due_at = min(instants, default=now + _LONGEST_STEP_US)
            instants.append(self._send(account, going, now, causes, due_at))
        after = max(now + 1, min(instants))
        for line in lines:
            if line.left:
                line.held[causes[line]] += after - now
        return after

    def _send(
        self, account: str, lines: list[BacklogLine], now: int, causes: dict[BacklogLine, str], due_at: int
    ) -> int:
        """Sends parts of open lines; the instant at which more can go, and each line's cause to wait until then.

        No step is longer than until `due_at`, when other parts begin to go: no thread is used twice.
        """
        used = {name for line in lines for name in line.costs}
        for name in used:
            self._meters[name].window.lapse(now)
        threads = self._threads(account)
        step = max(1_000, min(self._step_us(lines, used, threads), due_at - now))
        parts = self._share_out(lines, {name: self._meters[name].room() for name in used}, threads * step)
        spent = sum(line.cycle_us * count for line, count in parts.items())
        end = now + math.ceil(spent / threads)
        for line, count in parts.items():
            self._charge(line, count, end)
            line.go(count, now, end)
        waits = []
        for line in lines:
            causes[line], until = self._next(line, end)
            if line.ready:
                waits.append(until)
        return max(end, min(waits, default=now + step))

    def _threads(self, account: str) -> float:
        """The account's threads, by its weight among the accounts that use some."""
        weights = self._speed.weights
        whole = sum(weights.get(one, 1.0) for one in self._busy | {account})
        return max(1e-3, self._speed.threads * weights.get(account, 1.0) / whole)

    def _step_us(self, lines: Sequence[BacklogLine], used: set[str], threads: float) -> int:
        """No longer than a bucket of the shortest window, so that what is sent lapses as it does at the vendor."""
        work = sum(line.ready * line.cycle_us for line in lines) / threads
        shortest = min((self._meters[name].window_s for name in used), default=3_600)
        # A part of the work where others share the threads, because their work may end before, and the threads be free.
        alone = len(self._busy) < 2
        slots = _SLOTS if len(lines) < _MANY else _FEW_SLOTS
        return max(1_000, int(min(work + 1 if alone else work / 20, shortest * SECOND / slots, _LONGEST_STEP_US)))

    def _share_out(
        self, lines: Sequence[BacklogLine], room: dict[str, float], time_us: float
    ) -> dict[BacklogLine, int]:
        """How many parts of each line go: urgent ones first, the others by weight, as far as limits and threads do."""
        room[SPEED] = time_us
        parts: dict[BacklogLine, int] = {}
        urgent = [line for line in lines if line.priority == Priority.URGENT]
        for group in (urgent, [line for line in lines if line.priority != Priority.URGENT]):
            for line, wanted in _filled(group, room).items():
                line.owed += wanted
                parts[line] = _take(line, int(line.owed + 1e-6), room)
        if not any(parts.values()):
            # Less than one part fits into a step: the line that has waited longest for its turn has it.
            for line in sorted(lines, key=lambda one: one.owed, reverse=True):
                if count := _take(line, 1, room):
                    parts[line] = count
                    break
        return parts

    def _charge(self, line: BacklogLine, count: int, at: int) -> None:
        for name, cost in line.costs.items():
            # Whole units, without losing the fractions of an average.
            units = int((line.sent + count) * cost + 1e-6) - int(line.sent * cost + 1e-6)
            if units:
                self._meters[name].take(units, at)

    def _next(self, line: BacklogLine, now: int) -> tuple[str, int]:
        """What the line waits for after this step, and until when."""
        cause, until = SPEED, now
        for name, cost in line.costs.items():
            meter = self._meters[name]
            wait = meter.window.wait_us(min(meter.amount, math.ceil(cost - 1e-9)), meter.amount, now)
            if wait and now + wait > until:
                cause, until = meter.name, now + wait
        return cause, until

    def _go_on_so(self, lines: Sequence[BacklogLine], now: int) -> None:
        """The rest goes at the pace of what has gone."""
        for line in lines:
            left, rest = line.left, now - self._began
            # A line of which nothing has gone yet, because it is due later, will go at the pace of all together.
            sent = line.sent or sum(one.sent for one in lines)
            if sent and rest:
                pace = rest / sent
                line.marked_at += [int(self._began + mark * pace) for mark in line.marks]
                line.ends_at = max(int(now + left * pace), max((due for due, _ in line.cohorts), default=0))
                line.held[line.binds] += int(left * pace)


def _standing(lines: Sequence[BacklogLine], now: int) -> tuple[dict[BacklogLine, str], list[int], list[BacklogLine]]:
    """Of each line that cannot send now why; the instants at which that changes; and the lines that can."""
    causes: dict[BacklogLine, str] = {}
    instants: list[int] = []
    going = []
    for line in lines:
        closed = line.closed(now)
        if line.cohorts:
            instants.append(line.cohorts[0][0])
        if not line.ready:
            causes[line] = DUE
        elif closed is not None:
            causes[line] = closed[1]
            instants.append(closed[0])
        else:
            going.append(line)
    return causes, instants, going


def _take(line: BacklogLine, wanted: int, room: dict[str, float]) -> int:
    """Takes the room of as many parts as are wanted, or as limits have room for; how many."""
    most = (int(room[name] / cost + 1e-9) for name, cost in line.costs.items())
    count = max(0, min(wanted, line.ready, *most))
    for name, cost in _costs(line):
        room[name] -= cost * count
    line.owed = min(line.owed - count, 1.0)
    return count


def _costs(line: BacklogLine) -> list[tuple[str, float]]:
    return [*line.costs.items(), (SPEED, line.cycle_us)]


def _filled(lines: Sequence[BacklogLine], room: Mapping[str, float]) -> dict[BacklogLine, float]:
    """Parts for each line: all rise together by their weights until a limit is used up, or a line is empty."""
    free, given = dict(room), dict.fromkeys(lines, 0.0)
    rising = {line for line in lines if line.ready}
    # A round fills at least one limit; where a thousand lanes each have their own, the rest is left to the next step.
    for _ in range(_ROUNDS):
        if not rising:
            break
        use: dict[str, float] = {}
        for line in rising:
            for name, cost in _costs(line):
                use[name] = use.get(name, 0.0) + _weight(line) * cost
        level = min(
            *(free[name] / units for name, units in use.items()),
            *((line.ready - given[line]) / _weight(line) for line in rising),
        )
        level = max(0.0, level)
        for line in rising:
            given[line] += level * _weight(line)
        for name, units in use.items():
            free[name] -= level * units
        full = {name for name in use if free[name] <= 1e-6 * (1 + room[name])}
        rising = {
            line
            for line in rising
            if line.ready - given[line] > 1e-6 and not any(name in full for name, _ in _costs(line))
        }
    return given


def _weight(line: BacklogLine) -> float:
    return line.weight if line.priority == Priority.BULK else line.weight * OTHERS
