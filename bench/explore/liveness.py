"""Judges whether a universe stands still: what may go goes, and `why` names the true cause of what stays."""

from __future__ import annotations

from collections.abc import Iterator

from bench.explore.database import Store
from bench.explore.hooks import Hooks
from bench.explore.open_parts import OpenPart, OpenParts
from bench.explore.people import People
from bench.explore.producers import Producer
from worker.domain.callbacks.hook import EventState
from worker.domain.state import PartState
from worker.outbox.engine.database import Database
from worker.reporting.report import get_job
from worker.reporting.wait import WaitReason
from worker.reporting.why import why

_CAUSES = {
    "paused": {WaitReason.PAUSE},
    "held": {WaitReason.PAUSE},
    "in doubt": {WaitReason.PERSON},
    "in doubt for now": {WaitReason.DOUBT},
    "in flight": {WaitReason.ANSWER},
    "behind another": {WaitReason.ORDER},
    "about another": {WaitReason.JOB},
}
"""Why a part stays -> what `why` may name for it."""


class Liveness:
    """Looks for what stands still, and why."""

    def __init__(self, store: Store, producer: Producer, people: People, hooks: Hooks):
        self._store, self._producer, self._people, self._hooks = store, producer, people, hooks

    def open_parts(self) -> OpenParts:
        """What has not ended."""
        return OpenParts.read(self._store.rows)

    def moving(self) -> list[str]:
        """The parts that have to end, and the ends of which the hook has to hear."""
        if self._store.is_writing:
            return ["a transaction"]
        moving = self.open_parts().moving(self._people.standing, self._people.held)
        waiting = f"select job_id from worker_events where state in ({EventState.WAITING:d}, {EventState.RUNNING:d})"
        unheard = [f"the hook of {self._producer.name_of(row['job_id'])}" for row in self._store.rows(waiting)]
        return [*map(self._described, moving), *unheard, *self._tags_to_end()]

    def _tags_to_end(self) -> Iterator[str]:
        """Tags of which a job has ended, and an end is still to be told or to be found open."""
        if not self._hooks.hears_tags:
            return
        for row in self._store.rows("select tag from worker_ended_tags where check_at is not null"):
            if not any(row["tag"] in part.tags for part in self.open_parts().parts):
                yield f"the end of tag {row['tag']}"
        for row in self._store.rows("select job_id from worker_unindexed"):
            yield f"the index of {self._producer.name_of(row['job_id'])}"

    def undecided(self) -> list[str]:
        """What has not ended although people have let everything go and decided what was in doubt."""
        return [f"{self._described(part)} has not ended, whatever people say" for part in self.open_parts().parts]

    def untrue(self, database: Database) -> Iterator[str]:
        """Open parts of which `why` names another cause than the true one; and jobs whose recipients do not add up."""
        for part in self.open_parts().parts:
            before = self._expected(part.id)
            with database.reading() as connection:
                said = {wait.what for wait in why(connection, part.job_id).waits}
            # It may have been called meanwhile: a pause does not keep recalls. What may go waits for its turn, or ends.
            after = self._expected(part.id)
            if before and after and not said & (expected := before | after):
                names = ", ".join(sorted(expected)), ", ".join(sorted(said))
                yield f"{self._producer.name_of(part.job_id)} waits for {names[0]}, and `why` says {names[1]}"
        for job in self._producer.jobs:
            with database.reading() as connection:
                counts = get_job(connection, job.id).counts
            total = counts.accepted + counts.refused + counts.unknown + counts.never_sent + counts.waiting
            if total != counts.asked:
                yield f"{job.content}: {total} recipients of {counts.asked} add up"

    def _expected(self, id: str) -> set[WaitReason]:
        """What `why` may name for a part. Empty: it is not open."""
        parts, people = self.open_parts(), self._people
        for part in parts.parts:
            causes = {
                "held": part.job_id in people.held,
                "paused": part.is_paused(people.standing),
                "in doubt": part.is_in_doubt,
                "in doubt for now": part.state == PartState.UNKNOWN and not part.is_in_doubt,
                "in flight": part.state == PartState.SENDING,
                "behind another": parts.is_behind(part),
                "about another": parts.waits_for_another(part),
            }
            if part.id == id:
                return {what for cause, holds in causes.items() if holds for what in _CAUSES[cause]}
        return set()

    def left_over(self) -> Iterator[str]:
        """Rows that no later step would touch, once nothing is open."""
        query = (
            "select p.job_id from worker_order_queue o join worker_parts p on p.id = o.part_id"
            " where p.state in (2, 3, 4, 7, 8)"
        )
        for row in self._store.rows(query):
            yield f"{self._producer.name_of(row['job_id'])} has ended and stands in its order"
        query = (
            "select p.job_id from worker_response_codes c join worker_parts p on p.id = c.leased_by"
            f" where c.state = 'leased' and p.state <> {PartState.SENDING:d}"
        )
        for row in self._store.rows(query):
            yield f"{self._producer.name_of(row['job_id'])} is in no call, and holds a response_code"

    def _described(self, part: OpenPart) -> str:
        return f"{self._producer.name_of(part.job_id)} ({PartState(part.state).label}, {part.reason or 'no reason'})"
