"""What is known of a universe that has ended: the vendor's record, the commits, the commands and what is stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from bench.explore.backup import Backup
from bench.explore.campaigns import CAMPAIGNS
from bench.explore.database import Store
from bench.explore.hooks import Hooks
from bench.explore.people import People
from bench.explore.producers import Job, Producer
from bench.explore.stored import Mark, Part, marks_of, parts_of
from bench.explore.vendor import Delivery, Vendor, VendorCall
from worker.config.settings import Settings


@dataclass
class Evidence:
    """What the rules are judged by. It is read when it is first asked for."""

    store: Store
    vendor: Vendor
    producer: Producer
    people: People
    hooks: Hooks
    backup: Backup
    settings: Settings

    @cached_property
    def parts(self) -> dict[str, list[Part]]:
        """Job -> its parts."""
        return parts_of(self.store, self.people.leaver)

    @cached_property
    def marks(self) -> dict[str, list[Mark]]:
        """Job -> the marks of its parts, the earliest first."""
        return marks_of(self.store)

    @cached_property
    def received(self) -> dict[tuple[str, str], list[Delivery]]:
        """(Message, person) -> how it was received."""
        received: dict[tuple[str, str], list[Delivery]] = defaultdict(list)
        for delivery in self.vendor.deliveries:
            received[delivery.content, delivery.person].append(delivery)
        return received

    @property
    def told_apart(self) -> list[Job]:
        """The jobs that can be told from all others by what they say."""
        return [job for job in self.producer.jobs if job.content not in self.producer.twins]

    @property
    def calls(self) -> list[VendorCall]:
        """Those of which a restored database can know."""
        return [call for call in self.vendor.calls if not self.backup.covers(call.at)]

    @property
    def decided_updates(self) -> dict[str, int]:
        """The contents of the card updates about which a person has decided, and when that was first."""
        updates = self.producer.updates
        return {updates[id]: at for id, at in self.people.decided.items() if id in updates}

    @cached_property
    def task_owners(self) -> dict[str, str]:
        """Msgid of a task -> the content of the group send of which the vendor made it."""
        return {one.msgid: one.content for one in self.vendor.deliveries if one.msgid in self.vendor.tasks.by_msgid}

    @cached_property
    def found_tasks(self) -> list[tuple[Job, str]]:
        """Group sends, each with the msgid of a task that it has."""
        query = (
            "select distinct p.job_id, r.msgid from worker_receipts r join worker_parts p on p.id = r.part_id join"
            f" worker_jobs j on j.id = p.job_id where j.account = '{CAMPAIGNS}' and j.kind = 'send' and r.msgid <> ''"
        )
        jobs = {job.id: job for job in self.producer.jobs}
        return [(jobs[row["job_id"]], row["msgid"]) for row in self.store.rows(query)]

    @cached_property
    def misled(self) -> set[str]:
        """Group sends that have the task of another about which a person has decided: that it was not made, perhaps."""
        decided = {job.content for job in self.producer.jobs if job.id in self.people.decided}
        return {job.id for job, msgid in self.found_tasks if self.task_owners.get(msgid) in decided - {job.content}}

    def undecided(self) -> Iterator[tuple[Job, Part]]:
        """The parts about which no person has decided, nor about whose task, each with its job."""
        for job in self.told_apart:
            if job.id not in self.people.decided.keys() | self.misled:
                yield from ((job, part) for part in self.parts.get(job.id, ()))

    def replays_of(self, job: Job) -> list[Job]:
        """The jobs that replay one."""
        return [one for one in self.producer.jobs if one.original and one.original.id == job.id]
