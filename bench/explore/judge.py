"""Judges whether a universe was safe, by the vendor's record, the producers' commits and the people's commands."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from bench.explore.backup import Backup
from bench.explore.campaigns import CAMPAIGNS, CUSTOMERS
from bench.explore.database import Store, now_us
from bench.explore.hooks import NOTES, Hooks
from bench.explore.people import People
from bench.explore.producers import AGENTS, CHANGING, MEMBER_WINDOW_S, PEOPLE, SEEN_S, Job, Producer
from bench.explore.stored import Mark, Part, marks_of, parts_of, tables_naming
from bench.explore.vendor import Delivery, Fate, Vendor, VendorCall
from worker.config.settings import DeliverySettings
from worker.domain.callbacks.hook import EventState
from worker.domain.pacing.quiet import QuietHours, quiet_hours
from worker.domain.settle import SWALLOWED
from worker.domain.state import JobState, PartState

_TAKEN = (PartState.ACCEPTED, PartState.PARTIAL)
_NEVER_SENT = (PartState.EXPIRED, PartState.CANCELLED, PartState.EXHAUSTED, PartState.REJECTED)
_SENDS = ("send", "create")
_PARK = (Fate.PARKED, Fate.FORBIDDEN, Fate.STALE)
"""They may park a lane; a token that was refused does when the next one is refused, too."""
_KEEPS_ORDER = (PartState.QUEUED, PartState.SENDING, PartState.UNKNOWN, PartState.EXHAUSTED)
"""In these states a part keeps those behind it waiting, where its job does not leave gaps."""
PROOFS = ("42014", "a press proves")
"""A receipt's warning begins with one of them, where this is all that is known of a call: not whom it reached."""


class Judge:
    """Looks for broken promises of safety."""

    def __init__(
        self,
        store: Store,
        vendor: Vendor,
        producer: Producer,
        people: People,
        hooks: Hooks,
        backup: Backup,
        delivery: DeliverySettings,
    ):
        self._store, self._vendor, self._producer, self._people = store, vendor, producer, people
        self._hooks, self._backup, self._delivery = hooks, backup, delivery

    def problems(self) -> list[str]:
        """A sentence for each promise of safety that is broken."""
        parts, marks = parts_of(self._store, self._people.leaver), marks_of(self._store)
        jobs = {row["id"]: row for row in self._store.rows("select * from worker_jobs where kind = 'send'")}
        return [
            *self._rows(jobs, parts),
            *self._truth(parts),
            *self._refusals(parts),
            *self._twice(parts),
            *self._doubts(parts),
            *self._forbidden(marks, parts),
            *self._unmarked(marks),
            *self._overdue(marks),
            *self._order(marks, parts),
            *(self._limits() if self._backup.restored_at is None else ()),  # it forgets what was used of them
            *self._recalled(),
            *self._corrected(),
            *(self._replayed() if self._backup.restored_at is None else ()),  # and which replays there were
            *(self._updated() if self._backup.restored_at is None else ()),  # and which codes were
            *self._tasks(),
            *(self._twins(parts) if self._backup.restored_at is None else ()),
            *self._disabled(marks),
            *self._heard(),
            *self._erased(),
        ]

    def _rows(self, jobs: Mapping[str, Mapping[str, Any]], parts: Mapping[str, Sequence[Part]]) -> Iterator[str]:
        """Each commit has its rows, and the counters of each job are those of its parts."""
        for job in self._producer.jobs:
            people = sorted(person for part in parts.get(job.id, ()) for person in part.people)
            if job.id not in jobs or people != sorted(job.people):
                yield f"{job.content} was committed for {sorted(job.people)}, and is there for {people}"
        if len(jobs) != len(self._producer.jobs):
            yield f"{len(self._producer.jobs)} jobs were committed, and there are {len(jobs)}"
        for id, row in jobs.items():
            counted = Counter(_counted(part.state) for part in parts[id])
            counts = {name: row[f"n_{name}"] for name in _COUNTERS}
            if counts != {name: counted[name] for name in _COUNTERS}:
                yield f"{self._producer.name_of(id)} has parts {dict(counted)}, and counts {counts}"
            if len(counted) == 1 and JobState(row["state"]).label not in counted:
                yield f"{self._producer.name_of(id)} has parts {dict(counted)}, and is {JobState(row['state']).label}"

    def _truth(self, parts: Mapping[str, Sequence[Part]]) -> Iterator[str]:
        """What is accepted was received; what was certainly not sent was not."""
        received = self._received()
        for job, part in self._undecided(parts):
            missing = [person for person in part.people if not received[job.content, person]]
            unsaid = sorted({*missing} - {*part.refused_people})
            if part.state in _TAKEN and unsaid and not self._may_be_missing(job, part, unsaid):
                yield f"{job.content} is {part.state.label}, and {unsaid} never received it"
            if part.state in _NEVER_SENT and len(missing) < len(part.people):
                yield f"{job.content} is {part.state.label}, and somebody received it"
        committed = {job.content for job in self._producer.jobs}
        for content in {one.content for one in self._vendor.deliveries} & self._producer.rolled_back - committed:
            yield f"{content} was rolled back, and received"

    @property
    def _jobs(self) -> list[Job]:
        """Those that can be told from all others by what they say."""
        return [job for job in self._producer.jobs if job.content not in self._producer.twins]

    def _undecided(self, parts: Mapping[str, Sequence[Part]]) -> Iterator[tuple[Job, Part]]:
        """The parts about which no person has decided, each with its job."""
        for job in self._jobs:
            if job.id not in self._people.decided:
                yield from ((job, part) for part in parts.get(job.id, ()))

    def _refusals(self, parts: Mapping[str, Sequence[Part]]) -> Iterator[str]:
        """Who counts as refused is unknown to the vendor, and received nothing; a receipt warns where it has to."""
        received = self._received()
        for job, part in self._undecided(parts):
            refused = part.refused_people
            if any(received[job.content, person] for person in refused):
                yield f"{job.content} was refused for {refused}, and one of them received it"
            if part.state in _TAKEN and not {*refused} <= {*self._vendor.strangers}:
                yield f"{job.content} counts as refused for {refused}, whom the vendor knows"
            if part.state is PartState.PARTIAL and not refused:
                yield f"{job.content} is partial, and was refused for nobody"
            # Where it is proved that a first call was accepted, its late answer may say whom it did not reach.
            if part.state is PartState.ACCEPTED and refused and not part.warning.startswith(PROOFS):
                yield f"{job.content} is accepted, and was refused for {refused}"
            if SWALLOWED in part.warning and not self._was_refused(job, part):
                yield f"{job.content} warns of a refused call, and none was"

    def _may_be_missing(self, job: Job, part: Part, people: Collection[str]) -> bool:
        """True where nobody could know it, or the receipt warns of it.

        That a card exists does not say whom its call did not reach. A vendor whose duplicate check knows a
        refused call swallows the repeat that is made before that refusal is read.
        """
        if part.warning.startswith(PROOFS):
            return {*people} <= {*self._vendor.strangers}
        is_unread = self._was_refused(job, part) > part.refused
        # Nothing is left of a call that was answered after the backup, and the vendor may drop a replay as its repeat.
        is_after_backup = job.original is not None and self._backup.restored_at is not None
        had_it = {one.person for one in self._vendor.deliveries if one.content == job.first.content}
        if is_after_backup and {*people} <= had_it:
            return True
        may_be_unread = part.unanswered > 0 or is_after_backup
        return self._vendor.counts_refused and (SWALLOWED in part.warning or (may_be_unread and is_unread))

    def _was_refused(self, job: Job, part: Part) -> int:
        """How many calls of a part the vendor has refused."""
        calls = [call for call in self._vendor.calls if not call.taken and call.content == job.content]
        return sum(call.people == part.people for call in calls)

    def _twice(self, parts: Mapping[str, Sequence[Part]]) -> Iterator[str]:
        """Nobody receives a message twice, unless its producer wanted it sent again in doubt, or a person decided."""
        jobs = {job.content: job for job in self._jobs}
        for (content, person), deliveries in self._received().items():
            job = jobs.get(content)
            if job is None or len(deliveries) < 2 or job.id in self._people.decided:
                continue
            if job.on_unknown != "resend" or not any(part.repeats for part in parts[job.id]):
                yield f"{person} received {content} {len(deliveries)} times"

    def _doubts(self, parts: Mapping[str, Sequence[Part]]) -> Iterator[str]:
        """A part is in doubt about its unanswered calls, and is not called again where its producer wants it held."""
        for job, part in self._undecided(parts):
            if part.doubts != part.unanswered and part.state is not PartState.REJECTED:
                yield f"{job.content} has {part.unanswered} calls without an answer, and {part.doubts} in doubt"
            if part.repeats and job.on_unknown == "hold":
                yield f"{job.content} was to be held in doubt, and was called again"

    def _forbidden(self, marks: Mapping[str, Sequence[Mark]], parts: Mapping[str, Sequence[Part]]) -> Iterator[str]:
        """Nothing is marked that is paused, held, cancelled, expired or not due yet; in quiet hours repeats alone."""
        for job in self._producer.jobs:
            for n, mark in enumerate(marks.get(job.id, ())):
                was_in_doubt = n > 0 and any(part.doubted for part in parts[job.id])
                if was_in_doubt and job.offer:
                    break  # it looks for its task
                at = mark.started_at
                for span in (*self._people.pauses, *self._people.holds):
                    if span.covers(job, at):
                        how = "held" if isinstance(span.of, str) else "paused"
                        yield f"{job.content} was marked while it was {how}"
                if at > self._people.cancelled.get(job.id, at):
                    yield f"{job.content} was marked after it was cancelled"
                if (
                    not any(part.repeats for part in parts[job.id])
                    and (hours := self._quiet_hours(job))
                    and hours.ends_at(at)
                ):
                    yield f"{job.content} was marked in its quiet hours"
                before = marks[job.id][n - 1].started_at if n else 0
                due_at, expires_at = self._people.times(job, at, before)
                if at > expires_at:
                    yield f"{job.content} was marked after it expired"
                # What is in doubt keeps the time of its repeat.
                if at < due_at - 1_000_000 and not was_in_doubt:
                    yield f"{job.content} was marked before it was due"

    def _quiet_hours(self, job: Job) -> QuietHours | None:
        return None if job.account == CHANGING else quiet_hours(self._producer.accounts.get(job.account).quiet_hours)

    @property
    def _calls(self) -> list[VendorCall]:
        """Those of which a restored database can know."""
        return [call for call in self._vendor.calls if not self._backup.covers(call.at)]

    def _unmarked(self, marks: Mapping[str, Sequence[Mark]]) -> Iterator[str]:
        """Each call has a mark of its own that was durable before it."""
        jobs = {job.content: job for job in self._producer.jobs}
        calls = Counter(call.content for call in self._calls)
        first = {call.content: call.at for call in reversed(self._calls)}
        for content, count in calls.items():
            if content in self._producer.twins:
                continue
            job = jobs.get(content)
            known = marks.get(job.id, ()) if job else ()
            if count > len(known):
                yield f"{content} was called {count} times, and has {len(known)} marks"
            elif known and known[0].started_at > now_us() - int((self._vendor.scheduler.now - first[content]) * 1e6):
                yield f"{content} was called before it was marked"

    def _overdue(self, marks: Mapping[str, Sequence[Mark]]) -> Iterator[str]:
        """No call begins once the deadline of its mark is over: from then on another process may repeat it."""
        jobs, zero = {job.content: job for job in self._producer.jobs}, now_us() - int(self._vendor.scheduler.now * 1e6)
        for call in self._calls:
            at = zero + int(call.at * 1e6)
            if (job := jobs.get(call.content)) is None:
                yield f"{call.content or 'nothing'} was called, which nobody committed"
                continue
            if call.content in self._producer.twins:
                continue
            marked = [mark.started_at for mark in marks.get(job.id, ()) if mark.started_at <= at]
            if marked and at - marked[-1] > self._delivery.call_deadline_s * 1.01e6:
                yield f"{call.content} was called {(at - marked[-1]) / 1e6:.1f} s after its mark"

    def _order(self, marks: Mapping[str, Sequence[Mark]], parts: Mapping[str, Sequence[Part]]) -> Iterator[str]:
        """Of two jobs of an order the one behind is called when the one before has ended, and not before."""
        orders: dict[tuple[str, str], list[Job]] = defaultdict(list)
        # The outbox says when a job without a due_at is due: a moment after its producer began.
        due_at = {row["id"]: row["due_at"] for row in self._store.rows("select id, due_at from worker_jobs")}
        for job in self._producer.jobs:
            changes = self._people.changes.get(job.id, ())
            if job.order_key and not job.original and not any(change.due_at for change in changes):
                orders[job.account, job.order_key].append(job)
        for jobs in orders.values():
            jobs.sort(key=lambda job: (due_at.get(job.id, job.due_at), job.id))
            for n, before in enumerate(jobs):
                for behind in jobs[n + 1 :]:
                    yield from self._overtaken(before, behind, marks, parts)

    def _overtaken(
        self, before: Job, behind: Job, marks: Mapping[str, Sequence[Mark]], parts: Mapping[str, Sequence[Part]]
    ) -> Iterator[str]:
        mine, others = marks.get(before.id), marks.get(behind.id)
        people = self._people
        if not others or before.on_gap == "skip" or before.committed_at >= others[0].started_at:
            return
        # Such a job leaves its order while its lane is parked. It does not wait for what is committed after that.
        if behind.on_gap == "skip" and any(self._vendor.fates[call, fate] for call in _SENDS for fate in _PARK):
            return
        let_go = (people.skipped.get(before.id), people.decided.get(before.id), people.skipped.get(behind.id))
        if any(at is not None and at < others[0].started_at for at in let_go):
            return
        keeps = any(part.state in _KEEPS_ORDER for part in parts.get(before.id, ()))
        since, until = before.committed_at, others[0].started_at
        replays = [one for one in self._replays_of(before.first) if since < one.committed_at < until]
        if replays and (keeps or before.id in people.decided):
            if not any(change.due_at for change in people.changes.get(replays[0].id, ())):
                yield from self._overtaken(replays[0], behind, marks, parts)  # it has taken the place
            return
        if mine and mine[-1].started_at > others[0].started_at:
            yield f"{before.content} was called after {behind.content}, which is behind it in its order"
        # Only a part in doubt is decided about, and what is in doubt had not ended before.
        elif before.id in people.decided:
            yield f"{behind.content} was called, and {before.content} before it in its order was in doubt"
        if keeps:
            yield f"{behind.content} was called, and {before.content} before it in its order keeps it waiting"

    def _limits(self) -> Iterator[str]:
        """No member receives more from an account in any minute than its limit allows."""
        times: dict[tuple[int, str], list[float]] = defaultdict(list)
        for call in self._vendor.calls:
            for person in call.people if call.taken else ():
                times[call.account, person].append(call.at)
        for (agent, person), instants in times.items():
            most = self._producer.accounts.get(AGENTS[agent]).limits.get("member_minute", 30)
            for first, last in zip(instants, instants[most:], strict=False):
                if last - first < MEMBER_WINDOW_S:
                    yield f"{person} was sent {most + 1} messages of {AGENTS[agent]} within {last - first:.1f} s"

    def _recalled(self) -> Iterator[str]:
        """What an accepted recall is about was taken back. Nobody knows the msgid of a call that was left in doubt."""
        rows = {row["id"]: row for row in self._store.rows("select id, state, created_at from worker_jobs")}
        decided = self._people.decided.keys()
        for id, job in self._producer.recalls.items():
            if id not in rows:
                yield f"the recall of {job.content} was committed, and is not there"
            elif (
                job in self._jobs
                and rows[id]["state"] == JobState.ACCEPTED
                and job.on_unknown != "resend"
                and id not in decided
            ):
                replays = [one for one in self._replays_of(job) if one.committed_at < rows[id]["created_at"]]
                contents = {one.content for one in (job, *replays) if one.id not in decided}
                for one in self._vendor.deliveries:
                    if one.content in contents and one.msgid not in self._vendor.recalled:
                        yield f"{job.content} was recalled, and {one.person} still has {one.content}"

    def _corrected(self) -> Iterator[str]:
        """Who received a message that was corrected is sent the correction, and the message is taken back.

        Unless a person had decided before that it was not sent.
        """
        received, recalled = self._received(), self._producer.recalls.values()
        taken_back = {one.id for job in recalled for one in (job, *self._replays_of(job))}
        decided = self._people.decided
        corrected: dict[str, set[str]] = defaultdict(set)
        for correction in self._people.corrections:
            if correction.at <= decided.get(correction.of, correction.at):
                corrected[correction.of].update(correction.people)
        for job in self._jobs:
            if job.id in corrected and (people := {person for person in job.people if received[job.content, person]}):
                chain = [one for one in self._producer.jobs if one.first == job.first]
                if people.difference({self._people.leaver}, *(corrected.get(one.id, ()) for one in chain)):
                    yield f"{job.content} was corrected for {corrected[job.id]}, and received by {people}"
                if job.id not in taken_back | self._people.decided.keys():
                    yield f"{job.content} was corrected, and nobody has taken it back"

    def _replayed(self) -> Iterator[str]:
        """Nobody receives a message and its replay, unless the replay was to go to those of whom that is not known."""
        received, people = self._received(), self._people
        for job in self._producer.jobs:
            chain = [one for one in self._producer.jobs if one.first == job.first and one.id not in people.decided]
            for before in chain[: chain.index(job)] if job in chain and job.id not in people.sent_in_doubt else ():
                for person in job.people:
                    if received[job.content, person] and received[before.content, person]:
                        yield f"{person} received {before.content} and {job.content}"

    def _replays_of(self, job: Job) -> list[Job]:
        return [one for one in self._producer.jobs if one.original and one.original.id == job.id]

    def _updated(self) -> Iterator[str]:
        """An update that was accepted changed its card, one that was not sent did not, and no code was used twice."""
        vendor, updates = self._vendor, self._producer.updates
        decided = {updates[id] for id in self._people.decided if id in updates}
        changed = {(update.content, update.task_id) for update in vendor.updates}
        for row in self._store.rows(
            "select p.* from worker_parts p join worker_jobs j on j.id = p.job_id where j.kind = 'update_card'"
        ):
            content, state, target = (
                updates[row["job_id"]],
                PartState(row["state"]),
                json.loads(row["spec"]).get("target"),
            )
            if target is not None and content not in decided:
                is_changed = (content, f"w{target}") in changed
                if state in (_TAKEN if not is_changed else _NEVER_SENT):
                    yield f"{content} is {state.label}, and its card was {'' if is_changed else 'not '}changed"
        for content, before in vendor.used_again:
            if before not in decided:
                yield f"{content} was called with a response_code that {before} had used"
        used = {update.code: update.content for update in vendor.updates}
        for row in self._store.rows("select code, state, leased_by from worker_response_codes"):
            by = used.get(row["code"])
            if row["state"] == "fresh" and by is not None and by not in decided:
                yield f"the response_code that {by} used counts as fresh"
            if (
                row["state"] == "spent"
                and by is None
                and (row["leased_by"] or "").partition("-")[0] not in self._people.decided
            ):
                yield "a response_code that nothing used counts as spent"

    def _tasks(self) -> Iterator[str]:
        """A group send has the task that was made of it, and no other."""
        contents = {one.msgid: one.content for one in self._vendor.deliveries}
        query = (
            "select distinct p.job_id, r.msgid from worker_receipts r join worker_parts p on p.id = r.part_id"
            f" join worker_jobs j on j.id = p.job_id where j.account = '{CAMPAIGNS}' and j.kind = 'send'"
        )
        jobs = {job.id: job for job in self._producer.jobs}
        for msgid, count in Counter(row["msgid"] for row in self._store.rows(query) if row["msgid"]).items():
            if count > 1:
                yield f"{count} group sends have the task of {contents[msgid]}"
        for row in self._store.rows(query):
            if row["msgid"] and contents[row["msgid"]] != (content := jobs[row["job_id"]].content):
                yield f"{content} has the task of {contents[row['msgid']]}"
        query = (
            "select r.msgid, c.status from worker_confirmations c join worker_receipts r on r.part_id = c.part_id"
            " where c.recipient = '' and r.msgid is not null"
        )
        for row in self._store.rows(query):
            if row["status"] and not self._vendor.tasks.is_sent(row["msgid"], self._vendor.scheduler.now):
                yield f"{contents[row['msgid']]} counts as sent by its member, and is not"

    def _twins(self, parts: Mapping[str, Sequence[Part]]) -> Iterator[str]:
        """Of group sends that say the same to the same customers, no more count as sent or as not sent than are."""
        for content in self._producer.twins:
            twins = [job for job in self._producer.jobs if job.content == content]
            if self._people.decided.keys() & {job.id for job in twins} or any(
                job.on_unknown == "resend" for job in twins
            ):
                continue
            states = [part.state for job in twins for part in parts[job.id]]
            tasks = len({one.msgid for one in self._vendor.deliveries if one.content == content})
            taken, never = (sum(state in some for state in states) for some in (_TAKEN, _NEVER_SENT))
            if not taken <= tasks <= len(states) - never:
                yield f"{content}: {tasks} tasks were made; {taken} of {len(states)} are sent, and {never} are not"

    def _disabled(self, marks: Mapping[str, Sequence[Mark]]) -> Iterator[str]:
        """Nothing is marked with a disabled account, once what was prepared before is marked or its lease is over."""
        grace_us = int((SEEN_S + self._delivery.lease_s + self._delivery.call_deadline_s) * 1e6)
        for job in self._producer.jobs:
            for span in self._people.disabled if job.account == CHANGING else ():
                for mark in marks.get(job.id, ()):
                    if span.began_at + grace_us < mark.started_at < (span.ended_at or 0):
                        yield f"{job.content} was marked while its account was disabled"

    def _heard(self) -> Iterator[str]:
        """The hook heard of each end by one event, in their order; what it wrote in its transaction is there once."""
        if not self._hooks.there:
            return
        notes = [row["event"] for row in self._store.rows(f"select event from {NOTES} order by n")]
        events = self._store.rows("select id, job_id, job_state, state from worker_events order by created_at")
        ends = Counter((row["job_id"], row["job_state"]) for row in events if row["job_state"] is not None)
        for (job, state), times in ends.items():
            if times > 1:
                yield f"{self._producer.name_of(job)} is {JobState(state).label}, and {times} events say so"
        done: dict[str, list[str]] = defaultdict(list)
        for row in events:
            if row["state"] == EventState.DONE:
                done[row["job_id"]].append(row["id"])
        for job, ids in done.items():
            if (noted := [event for event in notes if event in ids]) != ids:
                yield f"the hook of {self._producer.name_of(job)} ended for {ids} in this order, and noted {noted}"
        for row in self._store.rows(f"select id, state from worker_jobs where state <> {JobState.OPEN:d}"):
            if (row["id"], JobState(row["state"])) not in self._hooks.began:
                yield f"{self._producer.name_of(row['id'])} is {JobState(row['state']).label}, and no hook heard of it"

    def _erased(self) -> Iterator[str]:
        """Nothing is called for a placeholder, and at the end no table names who was erased."""
        if not {person for call in self._vendor.calls for person in call.people} <= {*PEOPLE, *CUSTOMERS}:
            yield "somebody was called who is not there"
        if (leaver := self._people.leaver) and (tables := tables_naming(self._store, leaver)):
            yield f"{leaver} was erased, and is named in {', '.join(tables)}"

    def _received(self) -> dict[tuple[str, str], list[Delivery]]:
        received: dict[tuple[str, str], list[Delivery]] = defaultdict(list)
        for delivery in self._vendor.deliveries:
            received[delivery.content, delivery.person].append(delivery)
        return received


def _counted(state: PartState) -> str:
    return "open" if state in (PartState.QUEUED, PartState.SENDING) else state.label


_COUNTERS = ("open", "accepted", "partial", "rejected", "exhausted", "unknown", "expired", "cancelled")
