"""One process's copy of the states of its lanes, with call durations and calls in flight, so that it need not ask SQL.

An event of a lane changes its state in SQL for all processes, and at once the copy here for the other threads of this
process. At the next doorbell the copy is replaced by what SQL holds.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from worker.domain.pacing.lane import (
    FREE,
    RULES,
    SECOND,
    Capacity,
    LaneBlock,
    LaneChange,
    LaneRules,
    LaneState,
    account_of,
    apply_change,
    capacity_of,
    strictest,
)

SAMPLE_WEIGHT = 0.2
"""Weight of the newest sample in the running means of a lane."""
_NEVER = float("-inf")

YOUNG_S = 5.0
"""Seconds that a change of this process may need to reach SQL. Until then the stricter of both states counts."""
IDLE_S = 60.0
"""Seconds without use after which a lane is forgotten, because there may be as many lanes as chats or members."""
REPORT_AVOIDED_S = 10.0
"""Seconds for which an account is still reported as avoided after it may be tried again."""
FORGET_BATCH = 100
"""Lanes forgotten while the lock is held once."""


@dataclass(slots=True)
class _LaneUsage:
    """Figures of a lane's calls. Instants and durations are seconds of the monotonic clock."""

    used_at: float
    in_flight: int = 0
    latency: float | None = None
    cycle: float | None = None
    succeeded_at: float | None = None
    progressed_at: float = _NEVER
    """When a call of it last began or ended, or a part of it was put off or ended without a call."""
    restricted_at: float = _NEVER
    """When this process last blocked it or counted a failure."""
    ended: int = 0
    """Calls that ended since the last heartbeat."""
    per_s: float | None = None
    """Calls that end in a second: half of it is from the time between the last two heartbeats."""

    def heartbeat(self, now: float, passed_s: float | None) -> list[int]:
        """Returns the lane's entry in the heartbeat; see `LaneStates.summary`. `passed_s` is since the last one."""
        if passed_s:
            per_s = self.ended / passed_s
            self.per_s = per_s if self.per_s is None else (self.per_s + per_s) / 2
        self.ended = 0
        thousandths = [round(1000 * (figure or 0.0)) for figure in (self.latency, self.cycle, self.per_s)]
        return [self.in_flight, *thousandths, *([] if self.succeeded_at is None else [int(now - self.succeeded_at)])]


@dataclass(frozen=True, slots=True)
class _Avoided:
    """An account that this process does not use for a while, though others may."""

    until: float
    problem: str = ""
    """Why other processes may be better off; empty if they are not."""
    is_misconfigured: bool = False
    """True when its settings here are wrong, False when its vendor could not be reached from here."""
    tries: int = 0
    """Consecutive connections that failed."""
    thread: int | None = None
    """The thread that tries the account again while the others still avoid it, or None."""


class LaneStates:
    """States, latency and calls in flight, by lane. A lane that was not used for a while is forgotten."""

    def __init__(self, monotonic: Callable[[], float], idle_s: float = IDLE_S, rules: LaneRules = RULES):
        self._monotonic, self._idle_s, self._rules = monotonic, max(IDLE_S, idle_s), rules
        self._lock = threading.Lock()
        self._states: dict[str, LaneState] = {}
        """Lanes and accounts with a block, a bound or a count; their instants are by the clock of this process."""
        self._avoided: dict[str, _Avoided] = {}
        self._usage: dict[str, _LaneUsage] = {}
        self._in_flight: dict[str, int] = {}
        """Calls in flight by account; an account without any has no entry."""
        self._summed_up_at: float | None = None
        """When the last heartbeat's entries were made."""
        self._last_end = 0.0

    # -- states -------------------------------------------------------------------------------------------------------

    def clock(self) -> int:
        """Returns the microseconds of this process's monotonic clock, which all states here use."""
        return int(self._monotonic() * SECOND)

    def apply(self, change: LaneChange) -> None:
        """Applies a change to a lane and, where it counts there, to its account, as SQL does for all processes."""
        names, now = {change.lane, account_of(change.lane)}, self.clock()
        with self._lock:
            before = {name: self._states.get(name) for name in names}
            apply_change(self._states, change, now, self._rules, self._calls(change.lane))
            for name in names:
                state, usage = self._states.get(name), self._use(name)
                if isinstance(change, LaneBlock) and state != before[name]:
                    usage.restricted_at = usage.used_at
                self._store(name, state, now)

    def update(self, names: Iterable[str], states: Mapping[str, LaneState]) -> None:
        """Replaces the copies of `names` by the states that SQL holds, given by this process's clock.

        A block that SQL no longer holds was lifted by another process or a person, so it ends here, too. It stays if
        this process wrote it so recently that SQL may not have it yet.
        """
        now = self.clock()
        with self._lock:
            for name in names:
                usage, local, shared = self._use(name), self._states.get(name), states.get(name)
                if local and usage.used_at - usage.restricted_at < YOUNG_S:
                    shared = strictest(local, shared) if shared else local
                self._store(name, shared, now)

    def _store(self, name: str, state: LaneState | None, now: int) -> None:
        if state is None or state.is_clear(now):
            self._states.pop(name, None)
        else:
            self._states[name] = state

    def unblock(self, name: str) -> None:
        """Lifts the block of a lane or an account at once, in this process only."""
        with self._lock:
            if state := self._states.get(name):
                self._store(name, replace(state, blocked_until=0), self.clock())

    def capacity(self, lane: str, *, has_permit: bool = False) -> Capacity:
        """Returns how many more calls of the lane may begin in this process; see `capacity_of`."""
        if self._avoided and (avoided := self._avoidance(lane)):
            return Capacity(0, int(avoided.until * SECOND))
        return self._shared_capacity(lane, has_permit=has_permit)

    def _shared_capacity(self, lane: str, *, has_permit: bool = False) -> Capacity:
        """Returns the capacity by what holds for all processes, whatever this one avoids."""
        if not self._states:
            return FREE
        names = (lane, account_of(lane))
        states = [(state, self._calls(name)) for name in names if (state := self._states.get(name))]
        return capacity_of(states, self.clock(), has_permit=has_permit) if states else FREE

    def is_closed(self, lane: str) -> bool:
        """Returns True while the lane or its account is blocked, for all processes or for this one."""
        return self.capacity(lane).blocked_until > 0

    def closed_for_s(self, lane: str) -> float:
        """Returns the seconds until the shared blocks of the lane and its account end, or 0 if neither is blocked."""
        return max(0, self._shared_capacity(lane).blocked_until - self.clock()) / SECOND

    def needs_feedback(self, lane: str) -> tuple[str, ...]:
        """Returns the lane, its account, or both, if the next answer must update their rows. Usually neither."""
        if not self._states:
            return ()
        names = (lane, account_of(lane))
        return tuple(name for name in names if (state := self._states.get(name)) and state.needs_answer)

    def failures_in_a_row(self, lane: str) -> int:
        """Returns how many consecutive calls of the lane, or of its account, found the vendor down."""
        if not self._states:
            return 0
        states = (self._states.get(name) for name in (lane, account_of(lane)))
        return max(state.failures if state else 0 for state in states)

    # -- accounts that this process avoids ----------------------------------------------------------------------------

    def mark_unusable(self, account: str, delay: float, problem: str) -> None:
        """Avoids an account whose settings are wrong in this process, for `delay` seconds."""
        self._avoided[account] = _Avoided(self._monotonic() + delay, problem, is_misconfigured=True)

    def mark_usable(self, account: str) -> None:
        """Uses an account again whose settings were corrected. Its parts are tried at once."""
        self._avoided.pop(account, None)

    def leave_to_peers(self, account: str, delay: float, problem: str) -> None:
        """Avoids an account whose vendor cannot be reached from here for `delay` seconds. Other processes may try."""
        self._avoided[account] = _Avoided(self._monotonic() + delay, problem, tries=self._tries(account))

    def record_unreachable(self, account: str, rng: random.Random) -> float | None:
        """Avoids an account whose host could not be reached, and returns for how many seconds.

        The pause grows to a minute, with jitter. Returns None if the account is blocked or avoided already.
        """
        with self._lock:
            # One fault that many threads meet counts once.
            if self.capacity(account, has_permit=True).blocked_until:
                return None
            tries = self._tries(account) + 1
            delay = min(60.0, 2.0 ** min(tries, 6)) * rng.uniform(0.5, 1.0)
            self._avoided[account] = _Avoided(self._monotonic() + delay, tries=tries)
        return delay

    @contextmanager
    def trying(self, lane: str) -> Iterator[bool]:
        """Lets one thread at a time try an unreachable account again.

        Yields True if it is this thread, which then makes one call.
        """
        account, me = account_of(lane), threading.get_ident()
        with self._lock:
            avoided = self._avoided.get(account)
            tries = avoided is not None and avoided.tries > 0 and self._avoidance(lane) is None
            if avoided and tries:
                self._avoided[account] = replace(avoided, thread=me)
        try:
            yield tries
        finally:
            with self._lock:
                if tries and (avoided := self._avoided.get(account)) and avoided.thread == me:
                    self._avoided[account] = replace(avoided, thread=None)

    def _tries(self, account: str) -> int:
        avoided = self._avoided.get(account)
        return avoided.tries if avoided else 0

    def record_reached(self, account: str) -> None:
        """Notes an answer of the account's host, so that the next failed connection causes a short pause again."""
        if (avoided := self._avoided.get(account)) and not avoided.is_misconfigured:
            self._avoided.pop(account, None)

    def is_left_to_peers(self, lane: str) -> bool:
        """Returns True while the lane's parts are for other processes, or for the thread that tries the account."""
        avoided = self._avoidance(lane)
        return avoided is not None and (avoided.problem != "" or avoided.thread is not None)

    def _avoidance(self, lane: str) -> _Avoided | None:
        """Returns why this process avoids the lane's account now, or None if it uses the account."""
        avoided = self._avoided.get(account_of(lane))
        if avoided is None or (self._monotonic() >= avoided.until and avoided.thread in (None, threading.get_ident())):
            return None
        return avoided

    def unusable(self) -> dict[str, str]:
        """Returns the accounts whose settings were wrong here lately, with what to change."""
        return self._recently_avoided(is_misconfigured=True)

    def unreachable_accounts(self) -> dict[str, str]:
        """Returns the accounts whose vendor this process could not reach lately, though others may, with the reason."""
        return self._recently_avoided(is_misconfigured=False)

    def _recently_avoided(self, *, is_misconfigured: bool) -> dict[str, str]:
        # Not for longer: it was tried again meanwhile and is usable, or has no job that would show it.
        since, accounts = self._monotonic() - REPORT_AVOIDED_S, list(self._avoided.items())
        return {
            name: avoided.problem
            for name, avoided in accounts
            if avoided.problem and avoided.is_misconfigured is is_misconfigured and avoided.until >= since
        }

    # -- calls --------------------------------------------------------------------------------------------------------

    def begin_call(self, lane: str, deadline_s: float) -> None:
        """Counts a call in flight, which ends within `deadline_s` seconds."""
        account = account_of(lane)
        with self._lock:
            usage = self._use(lane)
            usage.in_flight += 1
            usage.progressed_at = usage.used_at
            self._in_flight[account] = self._in_flight.get(account, 0) + 1
            self._last_end = max(self._last_end, usage.used_at + deadline_s)

    def end_call(self, lane: str) -> None:
        """Counts a call as ended."""
        account = account_of(lane)
        with self._lock:
            # A lane with a call in flight is never forgotten.
            usage = self._use(lane)
            usage.in_flight -= 1
            usage.ended += 1
            self._in_flight[account] -= 1
            if not self._in_flight[account]:
                del self._in_flight[account]

    def _calls(self, name: str) -> int:
        """Returns the calls in flight of a lane or an account."""
        lane = self._usage.get(name)
        return self._in_flight.get(name, lane.in_flight if lane else 0)

    def record_success(self, lane: str) -> None:
        """Notes that the vendor accepted a call of this lane just now."""
        usage = self._use(lane)
        usage.succeeded_at = usage.used_at

    def _use(self, lane: str) -> _LaneUsage:
        """Returns the usage record of a lane, after noting that the lane is used now."""
        now = self._monotonic()
        usage = self._usage.get(lane)
        if usage is None:
            usage = self._usage.setdefault(lane, _LaneUsage(now))
        usage.used_at = now
        return usage

    def record_call(self, lane: str, seconds: float) -> None:
        """Adds one call's duration to the lane's running mean."""
        usage = self._use(lane)
        usage.latency, usage.progressed_at = _mean(usage.latency, seconds), usage.used_at

    def record_progress(self, lane: str) -> None:
        """Notes that parts of the lane were put off or ended without a call. Parts left to peers do not count."""
        if not self.is_left_to_peers(lane):
            usage = self._use(lane)
            usage.progressed_at = usage.used_at

    def record_cycle(self, lane: str, seconds: float) -> None:
        """Adds the time for which one part occupied a slot, from preparation to end, to the lane's running mean."""
        usage = self._use(lane)
        usage.cycle, usage.progressed_at = _mean(usage.cycle, seconds), usage.used_at

    def cycle_s(self, lane: str) -> float:
        """Returns the running mean of the seconds for which a part occupies a slot."""
        usage = self._usage.get(lane)
        return 0.1 if usage is None or usage.cycle is None else usage.cycle

    def until_last_deadline_s(self) -> float:
        """Returns the seconds until the latest deadline of all calls so far; an upload's grows with its file."""
        return max(0.0, self._last_end - self._monotonic())

    def in_flight(self) -> int:
        """Returns the number of calls in flight now, over all lanes."""
        with self._lock:
            return sum(self._in_flight.values())

    def summary(self) -> dict[str, list[int]]:
        """Returns the heartbeat's entries of all lanes with recent progress, and forgets idle lanes.

        Lane -> [calls in flight, ms per call, ms per part in its thread, calls that end in 1,000 s], followed by the
        whole seconds since the last success if there was one.
        """
        now = self._monotonic()
        self._forget(now)
        # Copied in one step, so that no thread that begins a call waits for the summary.
        lanes = list(self._usage.items())
        since = now - self._idle_s
        passed_s = None if self._summed_up_at is None else now - self._summed_up_at
        self._summed_up_at = now
        active = (one for one in lanes if one[1].in_flight or one[1].progressed_at >= since)
        return {lane: usage.heartbeat(now, passed_s) for lane, usage in active}

    def _forget(self, now: float) -> None:
        """Forgets idle lanes."""
        # Found without the lock, which every call takes, and checked again under it.
        idle = [lane for lane, usage in list(self._usage.items()) if self._is_idle(lane, usage, now)]
        for at in range(0, len(idle), FORGET_BATCH):
            with self._lock:
                for lane in idle[at : at + FORGET_BATCH]:
                    if self._is_idle(lane, self._usage[lane], now):
                        del self._usage[lane]
                        self._states.pop(lane, None)

    def _is_idle(self, lane: str, usage: _LaneUsage, now: float) -> bool:
        """Returns True for a lane or account that is not used, not blocked, and has no call in flight."""
        if usage.used_at >= now - self._idle_s or usage.in_flight or lane in self._in_flight:
            return False
        state = self._states.get(lane)
        return state is None or state.blocked_until <= now * SECOND


def _mean(mean: float | None, seconds: float) -> float:
    return seconds if mean is None else mean + SAMPLE_WEIGHT * (seconds - mean)
