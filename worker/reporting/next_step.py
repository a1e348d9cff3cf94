"""Decides the one thing to do about a job, from what `why` has read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.domain.job import FOLLOW_UPS, JobKind
from worker.domain.state import JobState
from worker.reporting.report import JobReport
from worker.reporting.wait import PartWait, WaitReason


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do about a job."""

    text: str
    """A sentence for people."""
    command: str | None = None
    """The complete command to type, or None if there is none."""


_PURPOSES: dict[WaitReason, str] = {
    WaitReason.PARKED: "fix what it waits for, then let it try at once",
    WaitReason.TOKEN: "fix what it waits for, then let it try at once",
    WaitReason.LIMIT: "nothing to do; it goes on by itself; how much of the limit is used",
    WaitReason.PAUSE: "end the pause when it may go on",
    WaitReason.ORDER: "see what the job before it waits for",
    WaitReason.JOB: "see what that job waits for",
    WaitReason.PERSON: "find out whether it was carried out, for example from a recipient; if it was",
    WaitReason.WORKER: "see what is wrong with the installation",
    WaitReason.ACCOUNT: "see what is wrong with the installation",
    WaitReason.STANDSTILL: "see what is wrong with the installation",
    WaitReason.RELEASE: "see which releases run",
    WaitReason.CANCELLED: "cancel it once more",
}
"""What the first command of a wait is for."""
_RESULT_LOST = "its result was lost with the answer; end it as not sent, then replay it if it is still needed"


def next_step(
    job: JobReport,
    waits: Sequence[PartWait],
    remedy: str,
    *,
    of_message: bool = False,
    cancelled_by_person: bool = False,
) -> NextStep:
    """Returns the one thing to do. `remedy` is what the errcode that matters asks for, or empty.

    `of_message` is True if that errcode is about the message itself, `cancelled_by_person` if a command of the audit
    cancelled the job. A recall, which an application may enqueue, and a dry run cancel its parts alone.
    """
    if first := next((wait for wait in waits if wait.commands), None):
        is_lost = first.what is WaitReason.PERSON and job.kind in (JobKind.UPLOAD, JobKind.TRACK)
        return NextStep(_RESULT_LOST if is_lost else _PURPOSES[first.what], first.commands[0])
    if any(wait.what in (WaitReason.TOKEN, WaitReason.BREAKER) for wait in waits):
        return NextStep("fix what it waits for, if it is yours to fix; it goes on by itself")
    if waits:
        return NextStep("nothing to do; it goes on by itself")
    if job.state in (JobState.OPEN, JobState.UNKNOWN):
        # Of a job of many parts only some were read, and these have ended.
        return NextStep("see what its other parts wait for", f"worker why {job.id}")
    if job.replays and job.replays[-1] != job.id:
        return NextStep("it was sent once more; see the result of that", f"worker why {job.replays[-1]}")
    if job.state is JobState.ACCEPTED or job.kind == JobKind.TRACK:
        return NextStep("nothing to do; it has ended")
    if job.state is JobState.CANCELLED and not cancelled_by_person:
        return NextStep("nothing to do; nothing of it was sent, and its parts say why")
    if job.state is JobState.CANCELLED:
        return NextStep("nothing to do; a person cancelled it; the audit shows who and why", "worker audit")
    replay_command, fixed = f"worker replay {job.id}", remedy or "fix what it was refused for"
    if job.state in (JobState.EXHAUSTED, JobState.EXPIRED):
        return NextStep("send it once more if it is still wanted", replay_command)
    if job.kind == JobKind.UPLOAD:
        return NextStep(f"{fixed}; then upload it once more", replay_command)
    if of_message and job.kind == JobKind.RECALL:
        # The message of another program has no job that could be corrected.
        return NextStep(remedy, job.target_job_id and f"worker correct {job.target_job_id} --text")
    if of_message and job.state is JobState.REJECTED and job.kind not in FOLLOW_UPS:
        return NextStep(f"{remedy}; then send the right message in its place", f"worker correct {job.id} --text")
    if job.kind in FOLLOW_UPS:
        return NextStep(f"{fixed}; then do it once more", replay_command)
    return NextStep(f"{fixed}; then send it to those whom it did not reach", replay_command)
