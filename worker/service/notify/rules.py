"""What people are told of: for each alert its name, how long it stands before it is told, and what to do about it.

An alert that `deploy/prometheus/rules.yaml` has too is the same there: name, time, severity and runbook.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Subject = Literal["account", "channel", "queue", "process", ""]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alert."""

    name: str
    severity: Literal["page", "ticket"]
    """`page`: for a person at night; `ticket`: for the next day."""
    delay: float
    """Seconds for which its cause must stand before people are told."""
    page: str
    """The section of the runbooks."""
    state: str
    """What is the case, as a sentence."""
    remedy: str
    """What to do first."""
    about: Subject = "account"
    """What the alert names; empty: the whole installation."""
    carries_none: bool = False
    """While it stands, no notice goes by the account that it is about."""
    urls_only: bool = False
    """While it stands, no job of ours is delivered."""

    @property
    def runbook(self) -> str:
        """The runbook's place in the documents."""
        return f"docs/runbooks.md#{self.page}"


_ALL = (
    AlertRule(
        "DatabaseAway",
        "page",
        60,
        "database-away",
        "The outbox's database does not answer this process: it sends nothing, and nothing is lost.",
        "Bring the database back; restart no worker",
        about="process",
        urls_only=True,
    ),
    AlertRule(
        "DatabaseTakesNoWrites",
        "page",
        60,
        "the-disk-is-full",
        "The outbox's database is read and takes no writes: no call begins.",
        "Look whether its disk is full, or whether it is a standby; kill no worker",
        about="process",
        urls_only=True,
    ),
    AlertRule(
        "NothingIsDelivered",
        "page",
        60,
        "nothing-is-delivered",
        "No worker process leads, or none can write its heartbeat: nothing is sent.",
        "`worker doctor` and `worker health` say what stands still",
        about="",
        urls_only=True,
    ),
    AlertRule(
        "StandingStill",
        "page",
        60,
        "standing-still",
        "Parts of the account are due on open lanes, and have not moved for a minute.",
        "`worker doctor` and `worker health` say why",
        carries_none=True,
    ),
    AlertRule(
        "QueueWithoutWorkers",
        "page",
        60,
        "nothing-is-delivered",
        "No living worker takes from the queue.",
        "Start one with the queue in its `-Q`",
        about="queue",
    ),
    AlertRule(
        "ProcessesSilent",
        "ticket",
        300,
        "nothing-is-delivered",
        "The worker process neither beats nor ended, and no other one calls it dead.",
        "`worker health` on its machine says what stands still",
        about="process",
    ),
    AlertRule(
        "WorkerUnhealthy",
        "ticket",
        60,
        "worker-unhealthy",
        "The worker process says that it is unhealthy.",
        "`worker health` on its machine says what stands still; let it be restarted",
        about="process",
    ),
    AlertRule(
        "WorkerHindered",
        "ticket",
        60,
        "broker-away",
        "The worker process cannot do a work of its own, such as publish; another one does it where there is one.",
        "`worker doctor` names the process, and what it cannot do",
        about="process",
    ),
    AlertRule(
        "ClocksApart",
        "ticket",
        300,
        "clocks-apart",
        "The database's clock and that of a worker's machine are more than 90 s apart.",
        "`worker doctor` on each machine tells the difference; mend the time synchronisation",
        about="",
    ),
    AlertRule(
        "AccountParked",
        "page",
        0,
        "account-parked",
        "The account waits for a person, and so do all of its parts.",
        "`worker lanes` says why and what to do",
        carries_none=True,
    ),
    AlertRule(
        "LaneParked",
        "ticket",
        0,
        "account-parked",
        "A lane of the account waits for a person.",
        "`worker lanes` says why and what to do",
        carries_none=True,
    ),
    AlertRule(
        "AccountUnusable",
        "page",
        60,
        "account-unusable",
        "The account cannot be used as it is configured.",
        "`worker doctor` says what to change",
        carries_none=True,
    ),
    AlertRule(
        "BreakerStaysOpen",
        "page",
        300,
        "vendor-is-ill",
        "Calls fail in a row, so only one at a time tries.",
        "`worker lanes` says what they end in",
        carries_none=True,
    ),
    AlertRule(
        "JobsStayOpen",
        "ticket",
        300,
        "it-is-not-sent",
        "A job of the account has been due for more than 15 minutes, and is no bulk.",
        "`worker lanes`, then `worker jobs --state open` and `worker why JOB`",
    ),
    AlertRule(
        "PartsUnknown",
        "ticket",
        600,
        "parts-unknown",
        "More parts of the account are in doubt than `notify.unknowns` lets pass.",
        "`worker jobs --state unknown`, then `worker why JOB`",
    ),
    AlertRule(
        "SetAside",
        "ticket",
        0,
        "set-aside",
        "An error of this program keeps parts of the account from being judged.",
        "`worker lanes --events` names part and error",
    ),
    AlertRule(
        "CallbacksStopped",
        "ticket",
        600,
        "callbacks-stopped",
        "The account has had no callback for an hour, and had many in the same hour a day before.",
        "See whether `worker receiver` runs and is reached",
    ),
    AlertRule(
        "HooksFailed",
        "ticket",
        0,
        "hooks-failed",
        "Events wait for a person after their hooks failed.",
        "`worker events --state parked` has the place in your code",
        about="",
    ),
)

RULES: Mapping[str, AlertRule] = {rule.name: rule for rule in _ALL}
