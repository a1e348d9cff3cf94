"""`find_problems` lists everything that is wrong with an installation now.

`worker doctor` and the console's first page show the list, `worker health` looks for standstills in it, the metrics
count it, and the notices report what began and what ended. Every query has an index and a bound, however large the
outbox is.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from sqlalchemy import Connection

from worker.channels.registry import may_have_callbacks
from worker.config.accounts import AccountSource
from worker.domain.callbacks.hook import EventState
from worker.domain.job import Priority
from worker.domain.pacing.lane import LaneEventKind, LaneStatus
from worker.domain.pause import Pause
from worker.domain.times import write_time
from worker.language import Lang, plural, term, translate
from worker.outbox.engine.clock import SECOND, instant
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.lanes import count_lane_events
from worker.outbox.lanes.pauses import count_paused
from worker.outbox.lanes.processes import (
    BROKER,
    LOG,
    RECEIVER,
    RELAY,
    Process,
    QueueName,
    deferred_accounts,
    has_just_lapsed,
    hindered_work,
    hindrance,
    lapsed_lease,
    lease_holder,
    living_processes,
    recently_died,
    recently_stopped,
)
from worker.outbox.upkeep import gauges
from worker.outbox.upkeep.alerts import accounts_without_callbacks
from worker.reporting.lane_list import UNUSABLE, LaneReport, lane_list
from worker.reporting.problem_kinds import KINDS, ProblemKind
from worker.reporting.standstill import (
    OF_EVERYTHING,
    Standstill,
    broker_away,
    find_standstills,
)

MAX_OPEN_S = 900
"""Seconds after its `due_at` from which an open job is a problem, unless its priority is bulk."""
MAX_UNKNOWN_PARTS = 10
"""Most parts in doubt of one account that may wait for a person; more are a problem."""
MAX_CLOCK_DIFFERENCE_S = 90
"""Largest difference between the clocks in seconds; more is a problem. Callbacks are refused from 300 on."""
MAX_HOOK_S = 900
"""Longest run of a hook in seconds; a longer one is a problem, because later ends of its job wait for it."""
REPLACED_S = 15
"""Seconds before the end of a lost process's lease from which on a start counts as one in its place."""
SILENT_S = 30
"""Seconds without a heartbeat, after the end of its lease, from which on a process that no other calls dead is one."""
LANE_EVENTS_S = 86_400
"""Seconds back for which events of lanes are counted. A lasting error writes `set aside` once a day."""


@dataclass(frozen=True, slots=True)
class OpenProblem:
    """Something that is wrong now."""

    name: str
    """The name of its kind."""
    subject: str = ""
    """The account, queue or process (host and number) that it is about; empty for the installation."""
    text: str = ""
    """What is wrong here, for people who may read what vendors said. If empty, the kind's `state` says it."""
    remedy: str = ""
    """What to do here. If empty, the kind's `remedy` says it."""
    since: datetime | None = None
    """Since when it is wrong, or None if the outbox does not say."""
    until: datetime | None = None
    """When it is tried again, or None if that is not known."""

    @property
    def kind(self) -> ProblemKind:
        """The kind of the problem, with its severity and remedy."""
        return KINDS[self.name]

    def what(self, lang: Lang = "en") -> str:
        """Returns what it is about, such as `account hr`."""
        about: str = self.kind.about
        if about in ("account", "process") and not self.subject:  # such as what housekeeping sets aside
            about = "installation"
        elif about == "process":
            about = "worker"
        return f"{term('head', about, lang)} {self.subject}".rstrip()

    @property
    def command(self) -> str:
        """The complete command that mends it or says more."""
        return self.kind.command.format(shlex.quote(self.subject))

    def sentence(self, zone: tzinfo, lang: Lang = "en") -> str:
        """Returns a sentence: what is wrong, since and until when in this time zone, and what to do."""
        since = f" (since {write_time(self.since, zone)})" if self.since else ""
        since += f" (tried again at {write_time(self.until, zone)})" if self.until else ""
        what, remedy = self.text or self.kind.state, self.remedy or self.kind.remedy
        # Each by itself, because the end of one and the beginning of the next may look like another sentence.
        what, since, remedy = (translate(text, lang) for text in (what, since, remedy))
        return f"{what}{since}{'；' if lang == 'zh' else '; '}{remedy}"


@dataclass(frozen=True, slots=True)
class OutboxReading:
    """One reading of the outbox, from which the problems are found."""

    now: int
    processes: Sequence[Process]
    """Processes that have not ended, with a heartbeat that is fresh or not."""
    died: Sequence[Process]
    """See `recently_died`."""
    stopped: Sequence[Process]
    """Processes that ended by themselves in the last day."""
    has_leader: bool
    """True if a process has the lease of the relay, or had it until a moment ago and none fails at its work."""
    pauses: Sequence[Pause]
    behind: Mapping[str, int]
    """Pause id -> how many parts wait for its end so far, to `gauges.MAX_COUNT`; not for pauses of single jobs."""
    lanes: Sequence[LaneReport]
    """Lanes and accounts that are blocked, parked, slowed down or not usable."""
    standstills: Sequence[Standstill]
    oldest_open: Mapping[tuple[str, int], int]
    """See `gauges.oldest_open`."""
    called: Mapping[tuple[str, gauges.CalledState], int]
    """See `gauges.called_parts`."""
    hook_events: Mapping[EventState, int]
    longest_run: gauges.LongRun | None
    """The run of a hook that has taken longest, if that is too long."""
    steps: Counter[tuple[str, str]]
    """How many events lanes had within the last day, by account and kind of event."""
    faults: Mapping[str, str]
    """Account -> the newest error of this program within the last day, with a part that met it."""
    without_callbacks: Sequence[str]
    """Accounts whose callbacks stopped."""
    lost_receiver: tuple[str, int] | None
    """Host and process id of the last receiver, and when its lease lapsed. None if one runs or has stopped cleanly."""

    @property
    def fresh(self) -> list[Process]:
        """The processes with a fresh heartbeat."""
        return [process for process in self.processes if process.fresh]


def read_outbox(connection: Connection, now_sql: str, *, has_open: bool = True) -> OutboxReading:
    """Reads everything that problems are found in. Reads no parts without `has_open`: none is queued or in doubt."""
    now, processes = read_now(connection, now_sql), living_processes(connection, now_sql)
    pauses, lanes = lane_list(connection, now_sql, fresh=[process for process in processes if process.fresh])
    steps, faults = count_lane_events(connection, now - LANE_EVENTS_S * SECOND)
    return OutboxReading(
        now,
        processes,
        recently_died(connection, now_sql),
        recently_stopped(connection, now_sql),
        lease_holder(connection, now_sql, RELAY) is not None
        or (has_just_lapsed(connection, now_sql, RELAY) and not any(RELAY in one.health.hindered for one in processes)),
        pauses,
        count_paused(connection, [pause for pause in pauses if pause.job_id is None], gauges.MAX_COUNT),
        lanes,
        find_standstills(connection, now_sql) if has_open else [],
        gauges.oldest_open(connection, now_sql) if has_open else {},
        gauges.called_parts(connection) if has_open else {},
        gauges.hook_events(connection),
        gauges.longest_run(connection, now - MAX_HOOK_S * SECOND),
        steps,
        faults,
        accounts_without_callbacks(connection, now),
        lapsed_lease(connection, now_sql, RECEIVER),
    )


def find_problems(reading: OutboxReading, accounts: AccountSource, *, wall_s: float | None = None) -> list[OpenProblem]:
    """Lists everything that is wrong. Its kind says how long a problem must last before a notice reports it.

    `accounts` are those whose callbacks a receiver should take.
    `wall_s` is the clock of this machine, which is compared with the database's.
    """
    # What stops every account is one problem, however many of them stand still because of it. So is a vendor that
    # cannot be reached, however many calls failed before that was known.
    others = [one for one in reading.standstills if one.cause not in OF_EVERYTHING]
    unreachable = [*_unreachable(reading)]
    explained = {("BreakerStaysOpen", one.subject) for one in unreachable}
    of_lanes = [one for one in _of_lanes(reading) if (one.name, one.subject) not in explained]
    problems = [*_of_processes(reading), *unreachable, *standstills(others), *of_lanes, *_of_jobs(reading)]
    problems += set_aside(reading.steps, reading.faults)
    problems += _of_callbacks(reading, accounts)
    problems += _of_hooks(reading)
    if wall_s is not None and abs(reading.now / SECOND - wall_s) > MAX_CLOCK_DIFFERENCE_S:
        problems.append(OpenProblem("ClocksApart"))
    return problems


def _of_callbacks(reading: OutboxReading, accounts: AccountSource) -> list[OpenProblem]:
    """Returns the receiver that is down, or else the accounts whose callbacks stopped, which one down explains."""
    stopped = [OpenProblem("CallbacksStopped", account) for account in reading.without_callbacks]
    return _of_receiver(reading.lost_receiver, accounts) or stopped


def find_receiver_problem(connection: Connection, now_sql: str, accounts: AccountSource) -> list[OpenProblem]:
    """Returns the problem that no receiver of callbacks runs, if that is so."""
    return _of_receiver(lapsed_lease(connection, now_sql, RECEIVER), accounts)


def _of_receiver(lost: tuple[str, int] | None, accounts: AccountSource) -> list[OpenProblem]:
    if lost is None or not any(may_have_callbacks(accounts, name) for name in accounts.names()):
        return []
    holder, lapsed_at = lost
    text = f"no receiver of callbacks has a heartbeat, and the last one, {holder}, was not stopped"
    return [OpenProblem("ReceiverDown", "", text, since=instant(lapsed_at))]


def set_aside(steps: Mapping[tuple[str, str], int], faults: Mapping[str, str]) -> list[OpenProblem]:
    """Returns the problems of accounts for which this program could not handle something within the last day."""
    counts = [(account, count) for (account, what), count in steps.items() if what == LaneEventKind.FAULT]
    return [
        OpenProblem("SetAside", account, _text_of_faults(count, faults.get(account, ""))) for account, count in counts
    ]


def _text_of_faults(count: int, last: str) -> str:
    things = plural(count, "thing")
    text = f"{things} could not be handled in the last day because of errors of this program"
    return f"{text}; {last}" if last else text


def standstills(standstill_list: Sequence[Standstill]) -> list[OpenProblem]:
    """Returns the problems of accounts with a standstill."""
    return [
        OpenProblem(
            "StandingStill",
            standstill.account,
            f"parts are due and are not sent: {standstill.text}",
            standstill.remedy,
            standstill.since,
        )
        for standstill in standstill_list
    ]


def _of_processes(reading: OutboxReading) -> Iterator[OpenProblem]:
    fresh = reading.fresh
    broker = broker_away(fresh)
    if not fresh:
        yield OpenProblem(
            "NothingIsDelivered",
            "",
            "no worker process is alive, so all jobs wait",
            "start `worker up` or the Procfile's lines",
        )
    elif broker:
        yield OpenProblem("BrokerAway", "", f"nothing is sent, and nothing is lost: {broker}")
    elif not reading.has_leader:
        yield OpenProblem("NothingIsDelivered")
    for queue in (QueueName.URGENT, QueueName.NORMAL):
        if fresh and not any(queue in process.queues for process in fresh):
            yield OpenProblem("QueueWithoutWorkers", queue.value)
    # Where none is left, that is the problem.
    for process in lost_processes(reading) if fresh else []:
        since = instant(min(process.alive_until, reading.now))
        yield OpenProblem("WorkersLost", f"{process.host} {process.pid}", since=since)
    for process in reading.processes:
        name = f"{process.host} {process.pid}"
        if not process.fresh:
            # Where none is left, that is the problem. Others bury a dead one within seconds of their own start.
            watched_s = min(
                max((one.age_s for one in fresh), default=0.0), (reading.now - process.alive_until) / SECOND
            )
            if watched_s > SILENT_S:
                yield OpenProblem("ProcessesSilent", name, since=instant(process.alive_until))
            continue
        if process.health.problems:
            yield OpenProblem("WorkerUnhealthy", name, "; ".join(process.health.problems))
        hindered = {what: why for what, why in hindered_work(process).items() if not (what == BROKER and broker)}
        if lost := hindered.pop(LOG, ""):
            yield OpenProblem("LogLost", name, hindrance(LOG, lost))
        if hindered:
            text = "; ".join(map(hindrance, hindered, hindered.values()))
            yield OpenProblem("WorkerHindered", name, text, "its log says more")


def _unreachable(reading: OutboxReading) -> Iterator[OpenProblem]:
    """Yields a problem for each account whose vendor some processes cannot reach."""
    reasons: dict[str, dict[str, str]] = {}
    for process in reading.fresh:
        for account, why in deferred_accounts(process).items():
            reasons.setdefault(account, {})[f"{process.host} {process.pid}"] = why
    for account, by_process in reasons.items():
        why = "; ".join(f"{name}: {text}" for name, text in by_process.items())
        if len(by_process) < len(reading.fresh):
            text = f"some worker processes cannot reach the vendor, and leave the account to those that can: {why}"
        else:
            text = f"no worker process can reach the vendor, so the account's jobs wait, and none is lost: {why}"
        yield OpenProblem("VendorUnreachable", account, text)


def lost_processes(reading: OutboxReading) -> list[Process]:
    """Returns the processes that died in the last day and in whose place none has started since.

    One that took another's place and died as well is one more to replace.
    """
    all_processes = (*reading.processes, *reading.died, *reading.stopped)
    starts = sorted((-process.age_s, process.id) for process in all_processes)
    lost = list[Process]()
    for process in sorted(reading.died, key=lambda process: process.alive_until):
        since_s = (process.alive_until - reading.now) / SECOND - REPLACED_S
        replacement = next((one for one in starts if one[0] > since_s and one[1] != process.id), None)
        if replacement is None:
            lost.append(process)
        else:
            starts.remove(replacement)
    return lost


def _of_hooks(reading: OutboxReading) -> Iterator[OpenProblem]:
    if reading.hook_events[EventState.PARKED]:
        yield OpenProblem("HooksFailed")
    if run := reading.longest_run:
        process = run.process
        text = f"a hook has not returned in worker {process}: event {run.event}, {run.kind} of job {run.job_id or '-'}"
        yield OpenProblem("HookHangs", "", text, since=instant(run.started_at))
    takers = [process for process in reading.fresh if QueueName.HOOKS in process.queues]
    different = {process.hooks.to_json(): process for process in takers}.values()
    if len(different) > 1:
        fewest, *_, most = sorted(different, key=lambda process: len(process.hooks.hooks))
        yield OpenProblem("HooksDiffer", "", _difference(most, fewest))


def _difference(first: Process, second: Process) -> str:
    """Returns how the hooks of two processes differ. The first has as many as the second, or more."""
    name, other = f"{first.host} {first.pid}", f"{second.host} {second.pid}"
    if hooks := ", ".join(sorted(first.hooks.hooks - second.hooks.hooks)):
        return f"worker {name} has hooks that worker {other} has not: {hooks}"
    return f"worker {name} and worker {other} have the same hooks for other accounts, states or tags"


def _of_lanes(reading: OutboxReading) -> Iterator[OpenProblem]:
    parked, broken, limited = Counter[str](), dict[str, LaneReport](), dict[str, LaneReport]()
    for lane in reading.lanes:
        if lane.state == UNUSABLE:
            yield OpenProblem("AccountUnusable", lane.account, lane.reason or "", lane.remedy or "")
        elif lane.state == LaneStatus.PARKED and lane.lane == lane.account:
            text = f"parked, so its jobs wait and none is lost: {lane.reason}"
            yield OpenProblem("AccountParked", lane.account, text, lane.remedy or "", lane.since)
        elif lane.state == LaneStatus.PARKED:
            parked[lane.account] += 1
        elif lane.state in (LaneStatus.BREAKER_OPEN, LaneStatus.BREAKER_HALF_OPEN):
            broken.setdefault(lane.account, lane)
        elif lane.struck and lane.until:
            limited.setdefault(lane.account, lane)
    for account, count in parked.items():
        yield OpenProblem("LaneParked", account, f"{count} of its lanes are parked")
    for account, lane in broken.items():
        yield OpenProblem(
            "BreakerStaysOpen", account, f"the last calls failed, so only one at a time is tried: {lane.reason}"
        )
    for account, lane in limited.items():
        text = f"the vendor refuses calls because a limit is exceeded: {lane.reason}"
        yield OpenProblem("LimitExceeded", account, text, until=lane.until)


def _of_jobs(reading: OutboxReading) -> Iterator[OpenProblem]:
    for (account, priority), due_at in reading.oldest_open.items():
        if priority != Priority.BULK and reading.now - due_at > MAX_OPEN_S * SECOND:
            yield OpenProblem("JobsStayOpen", account, since=instant(due_at))
    for (account, state), count in reading.called.items():
        if state is gauges.CalledState.HELD and count > MAX_UNKNOWN_PARTS:
            yield OpenProblem("PartsUnknown", account, f"{count} of its parts are in doubt and wait for a person")
