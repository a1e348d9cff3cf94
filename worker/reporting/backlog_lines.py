"""The backlog of an account as lines and limits of a forecast: what is queued, what it costs, what stands in its way.

Everything is read, nothing locked; what is sampled and what is exact is said at each function.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from worker.channels.base import Channel
from worker.channels.registry import channel, sorted_out
from worker.config.accounts import AccountSource
from worker.domain.account import Account
from worker.domain.job import Kind, Part, Priority
from worker.domain.outcome import Scope
from worker.domain.pacing.bulk import Pacing
from worker.domain.pacing.forecast import BacklogLine, Closing, Meter, Speed
from worker.domain.pacing.lane import account_of
from worker.domain.pacing.likely_cost import LikelyCost, Shared, likely_costs
from worker.domain.pacing.limit import Charge
from worker.domain.pacing.quiet import NONE, QUIET_HOURS, quiet_hours
from worker.domain.pacing.window import Bucket, Window, buckets_of
from worker.domain.pause import Pause
from worker.domain.settle import FOREVER
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes import queued
from worker.outbox.lanes.budgets import budget_key, read
from worker.outbox.lanes.lanes import list_lanes
from worker.outbox.lanes.pauses import standing_pauses
from worker.outbox.lanes.processes import Process, alive, unusable_accounts_told

SAMPLED = 4_000
"""Parts of an account whose cost is worked out, about, as many in each lane and priority."""
MOST_CHARGES = 25
"""Charges that are worked out for each part of a sample, on average: a part may have a thousand recipients."""
LEAST_SAMPLED = 40
"""Parts of one lane and priority, at least."""
CYCLE_MS = 100.0
"""How long a part is taken to need where no process has sent anything lately."""
KEPT_FREE = 2
"""Threads that the relay leaves out of all shares."""
MOST_KEYS = 500
"""Recipients whose windows are read to tell how far those of all alike ones are used."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Parts that do not go by themselves."""

    parts: int
    why: str
    command: str | None
    """What a person can do."""


@dataclass(slots=True)
class AccountBacklog:
    """What is queued of one account, ready to be foretold."""

    account: str
    parts: int
    is_capped: bool
    lines: list[BacklogLine] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    meters: dict[str, Meter] = field(default_factory=dict)
    """Limits by their key; a limit of many recipients together has a key of its own."""
    used: dict[str, int] = field(default_factory=dict)
    """Key -> units of its window that are used now."""
    of: dict[str, float] = field(default_factory=dict)
    """Key -> recipients that it is the limit of together."""
    named: dict[str, set[str]] = field(default_factory=dict, repr=False)
    """Key -> those of them that the samples name."""
    places: dict[tuple[str, int], list[BacklogLine]] = field(default_factory=dict)
    """The lines of each place, the largest first."""
    stopped: dict[tuple[str, int], Stop] = field(default_factory=dict)
    """The places of which nothing goes."""


class Surveyor:
    """Reads backlogs, for one forecast."""

    def __init__(
        self,
        connection: Connection,
        now_sql: str,
        accounts: AccountSource,
        *,
        most: int,
        sampled: int = SAMPLED,
        pacing: Pacing | None = None,
    ):
        self._connection, self._now_sql, self._accounts = connection, now_sql, accounts
        self._most, self._sampled, self._pacing = most, sampled, pacing
        self._key = lane_key(connection)
        self.now = read_now(connection, now_sql)
        fresh = alive(connection, now_sql)
        self.threads = sum(process.threads for process in fresh)
        self._unusable = {
            name: why for name, (count, why) in unusable_accounts_told(fresh).items() if count == len(fresh)
        }
        self._cycles = _cycles(fresh)
        self._pauses = standing_pauses(connection, [])

    def speed(self, names: Sequence[str]) -> Speed:
        """The threads of all processes, and how these accounts share them."""
        weights = {name: one.weight for name, one in sorted_out(self._accounts, names)[0].items()}
        return Speed(max(1, self.threads - KEPT_FREE), weights)

    def survey(
        self, name: str, meters: dict[str, Meter], new: Sequence[tuple[tuple[str, int], NewParts]] = ()
    ) -> AccountBacklog:
        """What is queued of an account, and `new` behind it; adds the limits that it needs to the `meters` of all."""
        found = queued.queued(self._connection, self._now_sql, name, self._most)
        backlog = AccountBacklog(name, sum(place.parts for place in found.places), found.is_capped)
        good, wrong = sorted_out(self._accounts, [name])
        if why := wrong.get(name) or self._unusable.get(name):
            backlog.stops.append(Stop(backlog.parts, f"account {name} cannot be used: {why}", "worker doctor"))
            return backlog
        account = good[name]
        vendor = channel(account.channel)
        blocks = {row["lane"]: row for row in list_lanes(self._connection, self._now_sql, name)}
        each = max(LEAST_SAMPLED, self._sampled // max(1, len(found.places)))
        sampled = {(place.stored, place.priority): self._sample(place, each) for place in found.places}
        places = {(place.stored, place.priority): place for place in found.places}
        for key, added in new:
            places.setdefault(key, queued.QueuePlace(*key)).cohorts.append((added.due_at, added.parts))
            if len(sampled.setdefault(key, [])) < each:
                sampled[key] += added.examples
        examples = [one for _, added in new for one in added.examples]
        self._only = _own_subjects(vendor, account, examples) if examples else None
        for key, place in places.items():
            self._lay(backlog, place, sampled[key], account, vendor, blocks, meters)
        return backlog

    def _lay(
        self,
        backlog: AccountBacklog,
        place: queued.QueuePlace,
        sampled: Sequence[Example],
        account: Account,
        vendor: Channel,
        blocks: Mapping[str, Mapping[str, Any]],
        meters: dict[str, Meter],
    ) -> None:
        """Adds the lines of one place, or says why nothing of it goes."""
        kind = sampled[0].part.kind if sampled else ""
        place.cohorts.sort()
        paused = sum(parts for due, parts in place.cohorts if due > FOREVER)
        if paused:
            backlog.stops.append(Stop(paused, "paused by a person", "worker lanes; worker resume"))
        key = (place.stored, place.priority)
        # Sorted anew: what waits for another part counts as due now, before what is due later.
        cohorts = sorted((due if due < FOREVER else self.now, parts) for due, parts in place.cohorts if due <= FOREVER)
        stop = self._stop(sum(parts for _, parts in cohorts), place, account, kind, blocks)
        if stop is not None:
            backlog.stops.append(stop)
            backlog.stopped[key] = stop
            return
        costs = self._costs(vendor, account, sampled)
        whole = len(costs) >= place.parts
        closings = self._closings(place, account, kind in vendor.sends or kind == Kind.REMIND, blocks)
        cycle_us = 1_000 * self._cycles.get(place.stored, self._cycles.get("", CYCLE_MS))
        for cost in likely_costs(costs, whole=whole) or [LikelyCost(1.0, (), ())]:
            own = _portions(cohorts, cost.share)
            used = {}
            for shared in cost.shared:
                if (meter := self._meter(backlog, meters, shared)) is not None:
                    used[meter] = min(shared.units, float(meters[meter].amount))
            line = BacklogLine(backlog.account, place.priority, own, used, cycle_us, 1.0, closings)
            line.slowest_us = int(_longest_order([sampled[n] for n in cost.parts]) * line.left * cycle_us)
            backlog.lines.append(line)
            backlog.places.setdefault(key, []).append(line)
        backlog.places[key].sort(key=lambda one: one.left, reverse=True)

    def _sample(self, place: queued.QueuePlace, most: int) -> list[Example]:
        """Parts of a place, in an order of chance, so that the first of them are a sample as well."""
        found = queued.sample(self._connection, place, most)
        return [_part(one) for one in sorted(found, key=lambda one: one.job_id[::-1])]

    def _costs(self, vendor: Channel, account: Account, sampled: Sequence[Example]) -> list[Sequence[Charge]]:
        """What the first of these parts cost, as many as are needed."""
        costs, room = list[Sequence[Charge]](), MOST_CHARGES * self._sampled
        for one in sampled:
            costs.append(_charges(vendor, one, account, self._only))
            room -= len(costs[-1])
            if room < 0:
                break
        return costs

    def _stop(
        self, parts: int, place: queued.QueuePlace, account: Account, kind: str, blocks: Mapping[str, Mapping[str, Any]]
    ) -> Stop | None:
        """Why nothing of a place goes before a person acts; None: time alone is enough."""
        if not self.threads:
            return Stop(parts, "no worker process is alive", "worker doctor")
        for pause in self._pauses:
            if _covers(pause, account, kind):
                return Stop(parts, f"paused by {pause.person} ({pause.told()})", pause.ending())
        for name in (account_of(place.stored), place.stored):
            row = blocks.get(name)
            if row is not None and row["parked"]:
                return Stop(parts, f"{_where(row)} is parked: {row['reason']}", f"worker resume {name}")
        return None

    def _closings(
        self, place: queued.QueuePlace, account: Account, in_front: bool, blocks: Mapping[str, Mapping[str, Any]]
    ) -> list[Closing]:
        """The times in which nothing of a place goes."""
        found = []
        for name in {account_of(place.stored), place.stored}:
            row = blocks.get(name)
            if row is not None and row["blocked_until"] > row["now"]:
                cause = row["limit_name"] or f"{_where(row)}: {row['reason']}"
                found.append(Closing(cause, _until(int(row["blocked_until"]))))
        hours = None if account.quiet_hours == NONE or not in_front else quiet_hours(account.quiet_hours)
        if hours is not None and not (hours.urgent_passes and place.priority == Priority.URGENT):
            found.append(Closing(QUIET_HOURS, hours.ends_at))
        pacing = self._pacing
        if pacing is not None and place.priority == Priority.BULK:
            found.append(Closing("the busy minute", lambda at: pacing.ends_at(at) if pacing.is_busy(at) else None))
        return found

    # -- limits -------------------------------------------------------------------------------------------------------

    def _meter(self, backlog: AccountBacklog, meters: dict[str, Meter], shared: Shared) -> str | None:
        """The key of the limit that these units count against; None: more recipients than could fill theirs."""
        if math.isinf(shared.count):
            return None
        keys = [budget_key(self._key, shared.limit, subject) for subject in shared.subjects]
        key = keys[0] if shared.count == 1 else f"{backlog.account} {shared.limit.name} {shared.limit.window_s}"
        if key in backlog.of and shared.count > 1:
            self._widen(backlog, meters[key], key, shared)
        backlog.named.setdefault(key, set()).update(shared.subjects)
        if key not in meters:
            window = self._window(shared, keys[:MOST_KEYS])
            meters[key] = Meter(
                shared.limit.name, round(shared.limit.amount * shared.count), shared.limit.window_s, window
            )
        backlog.meters[key] = meters[key]
        backlog.used.setdefault(key, meters[key].window.used)
        backlog.of.setdefault(key, shared.count)
        return key

    def _widen(self, backlog: AccountBacklog, meter: Meter, key: str, shared: Shared) -> None:
        """Adds the recipients of another lane to those whose limits are told together."""
        named = backlog.named[key] | set(shared.subjects)
        fresh = shared.count * (len(named) - len(backlog.named[key])) / len(shared.subjects)
        if fresh:
            count = backlog.of[key] + fresh
            keys = [budget_key(self._key, shared.limit, subject) for subject in sorted(named)[:MOST_KEYS]]
            meter.amount = round(shared.limit.amount * count)
            meter.window = self._window(replace(shared, subjects=tuple(sorted(named)), count=count), keys)
            backlog.of[key], backlog.used[key] = count, meter.window.used

    def _window(self, shared: Shared, keys: Sequence[str]) -> Window:
        """What is used of a limit now; of many alike recipients, as the ones that the sample names have used theirs."""
        window_s, slots = shared.limit.window_s, dict[int, Bucket]()
        for stored in read(self._connection, keys).values():
            for slot, used, until in buckets_of(stored):
                bucket = slots.setdefault(slot, [slot, 0, 0])
                bucket[1], bucket[2] = bucket[1] + used, max(bucket[2], until)
        buckets = ([slot, round(used * shared.count / len(keys)), until] for slot, used, until in slots.values())
        return Window(window_s, sorted(buckets), self.now)


@dataclass(frozen=True, slots=True)
class Example:
    """A part whose cost is taken for that of others."""

    part: Part
    tenant: str | None = None
    order_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewParts:
    """Parts that are about to be enqueued in one place."""

    due_at: int
    parts: int
    examples: tuple[Example, ...] = field(repr=False)


def _part(one: queued.Sampled) -> Example:
    part = Part(one.id, one.job_id, one.n, one.kind, _object(one.message), _object(one.spec))
    return Example(part, one.tenant, one.order_id)


def _object(document: str) -> dict[str, Any]:
    try:
        found = json.loads(document)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _own_subjects(vendor: Channel, account: Account, examples: Sequence[Example]) -> frozenset[str]:
    """The recipients whose own limits can hold up new parts; none where they differ: others go past who waits."""
    each = {
        frozenset(charge.subject for charge in _charges(vendor, one, account) if charge.limit.scope is Scope.PART)
        for one in examples
    }
    return next(iter(each)) if len(each) == 1 else frozenset()


def _charges(vendor: Channel, one: Example, account: Account, only: frozenset[str] | None = None) -> Sequence[Charge]:
    """`only`: of the limits of single recipients those of these ones; None: of all."""
    try:
        return [charge for charge in vendor.limits(one.part, account) if _holds_up(charge, only)]
    except (LookupError, TypeError, ValueError, AttributeError):
        return ()  # an odd row: what it costs is told when it is sent


def _holds_up(charge: Charge, only: frozenset[str] | None) -> bool:
    return only is None or charge.limit.scope is not Scope.PART or charge.subject in only


def _longest_order(sampled: Sequence[Example]) -> float:
    """The share of the parts that are in one order, where one is longer than chance makes it."""
    orders = Counter(one.order_id for one in sampled if one.order_id is not None)
    longest = max(orders.values(), default=0)
    return longest / len(sampled) if longest > 1 else 0.0


def _portions(cohorts: Sequence[tuple[int, int]], share: float) -> list[tuple[int, int]]:
    """The same cohorts of a part of the line, whole parts with none lost."""
    found, total, given = list[tuple[int, int]](), 0, 0
    for due, parts in cohorts:
        total += parts
        own = round(total * share) - given
        given += own
        if own:
            found.append((due, own))
    return found


def _covers(pause: Pause, account: Account, kind: str) -> bool:
    same = pause.channel in (None, account.channel) and pause.kind in (None, kind)
    return pause.holds_lanes() and pause.account in (None, account.name) and same and kind != Kind.RECALL


def _where(row: Mapping[str, Any]) -> str:
    return f"account {row['account']}" if row["lane"] == row["account"] else f"lane {row['label'] or row['lane']}"


def _until(end: int) -> Callable[[int], int | None]:
    return lambda at: end if at < end else None


def _cycles(processes: Sequence[Process]) -> dict[str, float]:
    """Milliseconds for which a part holds a thread, by lane; under "" the mean of all lanes."""
    found: dict[str, list[int]] = {}
    for process in processes:
        for lane, (_, _, *more) in process.lanes.items():
            if more and more[0]:
                found.setdefault(lane, []).append(more[0])
                found.setdefault("", []).append(more[0])
    return {lane: sum(each) / len(each) for lane, each in found.items()}
