"""What can be wrong with an installation: each kind of problem with its severity, its runbook, and what to do about it.

An alert that `deploy/prometheus/rules.yaml` has too is the same there: name, delay, severity and runbook.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem."""

    name: str
    severity: Literal["page", "ticket"]
    """`page`: for a person at night; `ticket`: for the next day."""
    delay: float
    """Seconds for which it must last before a notice tells people of it."""
    page: str
    """The section of the runbooks."""
    state: str
    """What is wrong, as a sentence without its full stop."""
    remedy: str
    """What to do first."""
    about: Literal["account", "queue", "process", "workers", "hooks", "clock"] = "account"
    """What it is a problem of; the first three have a name each."""

    @property
    def runbook(self) -> str:
        """The runbook's place in the documents."""
        return f"docs/runbooks.md#{self.page}"


_ALL = (
    ProblemKind(
        "DatabaseAway",
        "page",
        60,
        "database-away",
        "The outbox's database does not answer this process: it sends nothing, and nothing is lost",
        "bring the database back, restart no worker",
        "process",
    ),
    ProblemKind(
        "DatabaseTakesNoWrites",
        "page",
        60,
        "the-disk-is-full",
        "The outbox's database is read and takes no writes: no call begins",
        "look whether its disk is full, or whether it is a standby; kill no worker",
        "process",
    ),
    ProblemKind(
        "NothingIsDelivered",
        "page",
        60,
        "nothing-is-delivered",
        "No worker process leads, or none can write its heartbeat: nothing is sent",
        "`worker doctor` and `worker health` say what stands still",
        "workers",
    ),
    ProblemKind(
        "StandingStill",
        "page",
        60,
        "standing-still",
        "Parts of the account are due on open lanes, and have not moved for a minute",
        "`worker doctor` and `worker health` say why",
    ),
    ProblemKind(
        "QueueWithoutWorkers",
        "page",
        60,
        "nothing-is-delivered",
        "No living worker takes from the queue",
        "start one with the queue in its `-Q`",
        "queue",
    ),
    ProblemKind(
        "ProcessesSilent",
        "ticket",
        300,
        "nothing-is-delivered",
        "The worker process neither beats nor ended, and no other one calls it dead",
        "`worker health` on its machine says what stands still",
        "process",
    ),
    ProblemKind(
        "WorkerUnhealthy",
        "ticket",
        60,
        "worker-unhealthy",
        "The worker process says that it is unhealthy",
        "`worker health` on its machine says what stands still; let it be restarted",
        "process",
    ),
    ProblemKind(
        "WorkerHindered",
        "ticket",
        60,
        "broker-away",
        "The worker process cannot do a work of its own, such as publish, and leaves it to another one",
        "`worker doctor` says which work, and its log why",
        "process",
    ),
    ProblemKind(
        "ClocksApart",
        "ticket",
        300,
        "clocks-apart",
        "The database's clock and that of a worker's machine are more than 90 s apart",
        "`worker doctor` on each machine tells the difference; mend the time synchronisation",
        "clock",
    ),
    ProblemKind(
        "AccountParked",
        "page",
        0,
        "account-parked",
        "The account waits for a person, and so do all of its parts",
        "`worker lanes` says why and what to do",
    ),
    ProblemKind(
        "LaneParked",
        "ticket",
        0,
        "account-parked",
        "A lane of the account waits for a person",
        "`worker lanes` says why and what to do",
    ),
    ProblemKind(
        "AccountUnusable",
        "page",
        60,
        "account-unusable",
        "The account cannot be used as it is configured",
        "`worker doctor` says what to change",
    ),
    ProblemKind(
        "BreakerStaysOpen",
        "page",
        300,
        "vendor-is-ill",
        "Calls fail in a row, so only one at a time tries",
        "`worker lanes` says what they end in",
    ),
    ProblemKind(
        "JobsStayOpen",
        "ticket",
        300,
        "it-is-not-sent",
        "A job of the account has been due for more than 15 minutes, and is no bulk",
        "`worker lanes`, then `worker jobs --state open` and `worker why JOB`",
    ),
    ProblemKind(
        "PartsUnknown",
        "ticket",
        600,
        "parts-unknown",
        "More than 10 parts of the account are in doubt",
        "`worker jobs --state unknown`, then `worker why JOB`",
    ),
    ProblemKind(
        "SetAside",
        "ticket",
        0,
        "set-aside",
        "An error of this program keeps parts of the account from being judged",
        "`worker lanes --events` names part and error",
    ),
    ProblemKind(
        "CallbacksStopped",
        "ticket",
        600,
        "callbacks-stopped",
        "The account has had no callback for an hour, and had many in the same hour a day before",
        "see whether `worker receiver` runs and is reached",
    ),
    ProblemKind(
        "HooksFailed",
        "ticket",
        0,
        "hooks-failed",
        "Hooks failed, and their events stay parked",
        "`worker events --state parked` has the place in your code",
        "hooks",
    ),
)

KINDS: Mapping[str, ProblemKind] = {kind.name: kind for kind in _ALL}
