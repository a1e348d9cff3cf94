"""Rules among jobs: orders, limits, recalls, corrections, replays, updates of cards and group sends."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator

from bench.explore.evidence import Evidence
from bench.explore.fates import CALLS, WEBHOOK, Fate
from bench.explore.hooks import NOTES
from bench.explore.producers import AGENTS, MEMBER_WINDOW_S, UNREACHED, Job
from bench.explore.stored import NEVER_SENT, TAKEN, without_piece
from worker.domain.mailing import MailingStage
from worker.domain.state import JobState, PartState

_PARK = (
    *((call, Fate.PARKED) for call in CALLS),
    *((call, fate) for call in ("send", "create", "youdu") for fate in (Fate.FORBIDDEN, Fate.STALE)),
)
"""What may park a lane: an untrusted address any lane, a refused token where the next one is refused, too."""
_KEEPS_ORDER = (PartState.QUEUED, PartState.SENDING, PartState.UNKNOWN, PartState.EXHAUSTED)
"""In these states a part keeps those behind it waiting, where its job does not leave gaps."""


def order(known: Evidence) -> Iterator[str]:
    """Of two jobs of an order the one behind is called when the one before has ended, and not before."""
    orders: dict[tuple[str, str], list[Job]] = defaultdict(list)
    # The outbox says when a job without a due_at is due: a moment after its producer began.
    due_at = {row["id"]: row["due_at"] for row in known.store.rows("select id, due_at from worker_jobs")}
    for job in known.producer.jobs:
        if job.order_key and not job.original:
            orders[job.account, job.order_key].append(job)
    for jobs in orders.values():
        jobs.sort(key=lambda job: (due_at.get(job.id, job.due_at), job.id))
        for n, before in enumerate(jobs):
            for behind in jobs[n + 1 :]:
                yield from _overtaken(known, before, behind)


def _overtaken(known: Evidence, before: Job, behind: Job) -> Iterator[str]:
    mine, others = known.marks.get(before.id), known.marks.get(behind.id)
    people = known.people
    if not others or before.on_gap == "skip" or before.committed_at >= others[0].started_at:
        return
    first = min(mark.started_at for mark in (*(mine or ()), *others))
    changes = [change for job in (before, behind) for change in people.changes.get(job.id, ()) if change.due_at]
    if any(change.ended_at > first for change in changes):
        return  # their places were others then
    # Such a job leaves its order while its lane is parked. It does not wait for what is committed after that.
    if behind.on_gap == "skip" and any(known.vendor.fates[pair] for pair in _PARK):
        return
    let_go = (people.skipped.get(before.id), people.decided.get(before.id), people.skipped.get(behind.id))
    if any(at is not None and at < others[0].started_at for at in let_go):
        return
    keeps = any(part.state in _KEEPS_ORDER for part in known.parts.get(before.id, ()))
    since, until = before.committed_at, others[0].started_at
    replays = [one for one in known.replays_of(before.first) if since < one.committed_at < until]
    if replays and (keeps or before.id in people.decided):
        if not any(change.due_at for change in people.changes.get(replays[0].id, ())):
            yield from _overtaken(known, replays[0], behind)  # it has taken the place
        return
    if mine and mine[-1].started_at > others[0].started_at:
        yield f"{before.content} was called after {behind.content}, which is behind it in its order"
    # Only a part in doubt is decided about, and what is in doubt had not ended before.
    elif before.id in people.decided:
        yield f"{behind.content} was called, and {before.content} before it in its order was in doubt"
    if keeps:
        yield f"{behind.content} was called, and {before.content} before it in its order keeps it waiting"


def limits(known: Evidence) -> Iterator[str]:
    """No member and no chat receives more from an account in any minute than its limit allows."""
    times: dict[tuple[int, str], list[float]] = defaultdict(list)
    for call in known.vendor.calls:
        for person in call.people if call.taken else ():
            times[call.account, without_piece(person)].append(call.at)
    for (agent, person), instants in times.items():
        limits = known.producer.accounts.get(AGENTS[agent]).limits
        most = limits.get("chat_minute", 100) if agent == WEBHOOK else limits.get("member_minute", 30)
        for first, last in zip(instants, instants[most:], strict=False):
            if last - first < MEMBER_WINDOW_S:
                yield f"{person} was sent {most + 1} messages of {AGENTS[agent]} within {last - first:.1f} s"


def recalled(known: Evidence) -> Iterator[str]:
    """What an accepted recall is about was taken back. Nobody knows the msgid of a call that was left in doubt."""
    rows = {row["id"]: row for row in known.store.rows("select id, state, created_at from worker_jobs")}
    decided = known.people.decided.keys()
    for id, job in known.producer.recalls.items():
        if id not in rows:
            yield f"the recall of {job.content} was committed, and is not there"
        elif (
            job in known.told_apart
            and rows[id]["state"] == JobState.ACCEPTED
            and job.on_unknown != "resend"
            and id not in decided
        ):
            replays = [one for one in known.replays_of(job) if one.committed_at < rows[id]["created_at"]]
            contents = {one.content for one in (job, *replays) if one.id not in decided}
            for one in known.vendor.deliveries:
                if one.content in contents and one.msgid not in known.vendor.recalled:
                    yield f"{job.content} was recalled, and {one.person} still has {one.content}"


def corrected(known: Evidence) -> Iterator[str]:
    """Who received a message that was corrected is sent the correction, and the message is taken back.

    Unless a person had decided before that it was not sent.
    """
    received, recalled = known.received, known.producer.recalls.values()
    taken_back = {one.id for job in recalled for one in (job, *known.replays_of(job))}
    decided = known.people.decided
    corrected: dict[str, set[str]] = defaultdict(set)
    for correction in known.people.corrections:
        if correction.at <= decided.get(correction.of, correction.at):
            corrected[correction.of].update(map(without_piece, correction.people))
    for job in known.told_apart:
        if job.id in corrected and (
            people := {without_piece(person) for person in job.people if received[job.content, person]}
        ):
            chain = [one for one in known.producer.jobs if one.first == job.first]
            if people.difference({known.people.leaver}, *(corrected.get(one.id, ()) for one in chain)):
                yield f"{job.content} was corrected for {corrected[job.id]}, and received by {people}"
            if job.account not in UNREACHED and job.id not in taken_back | known.people.decided.keys():
                yield f"{job.content} was corrected, and nobody has taken it back"


def replayed(known: Evidence) -> Iterator[str]:
    """Nobody receives a message and its replay, unless the replay was to go to those of whom that is not known."""
    received, people = known.received, known.people
    for job in known.told_apart:
        chain = [one for one in known.told_apart if one.first == job.first and one.id not in people.decided]
        for before in chain[: chain.index(job)] if job in chain and job.id not in people.sent_in_doubt else ():
            for person in job.people:
                if received[job.content, person] and received[before.content, person]:
                    yield f"{person} received {before.content} and {job.content}"


def updated(known: Evidence) -> Iterator[str]:
    """An update that was accepted changed its card, and one that was not sent did not."""
    updates, decided = known.producer.updates, known.decided_updates
    changed = {(update.content, update.task_id) for update in known.vendor.updates}
    for row in known.store.rows(
        "select p.* from worker_parts p join worker_jobs j on j.id = p.job_id where j.kind = 'update_card'"
    ):
        content, state = updates[row["job_id"]], PartState(row["state"])
        target = json.loads(row["spec"]).get("target")
        if target is not None and content not in decided:
            is_changed = (content, f"w{target}") in changed
            if state in (TAKEN if not is_changed else NEVER_SENT):
                yield f"{content} is {state.label}, and its card was {'' if is_changed else 'not '}changed"


def codes(known: Evidence) -> Iterator[str]:
    """No response_code was used twice, and each that counts as spent was used."""
    decided = known.decided_updates
    for at, content, before in known.vendor.used_again:
        if decided.get(before, at) >= at:
            yield f"{content} was called with a response_code that {before} had used"
    used = {update.code: update.content for update in known.vendor.updates}
    for row in known.store.rows("select code, state, leased_by from worker_response_codes"):
        by, job = used.get(row["code"]), (row["leased_by"] or "").partition("-")[0]
        if row["state"] == "fresh" and by is not None and by not in decided:
            yield f"the response_code that {by} used counts as fresh"
        if row["state"] == "spent" and by is None and job not in known.people.decided:
            yield "a response_code that nothing used counts as spent"


def tasks(known: Evidence) -> Iterator[str]:
    """A group send has the task that was made of it, and no other."""
    contents = {msgid: f"a task made {msgid}" for msgid in known.vendor.tasks.by_msgid} | known.task_owners
    for msgid, count in Counter(msgid for _, msgid in known.found_tasks).items():
        if count > 1:
            yield f"{count} group sends have the task of {contents[msgid]}"
    for job, msgid in known.found_tasks:
        if contents[msgid] != job.content and job.id not in known.misled:
            yield f"{job.content} has the task of {contents[msgid]}"
    query = (
        "select r.msgid, c.status from worker_confirmations c join worker_receipts r on r.part_id = c.part_id"
        " where c.recipient = '' and r.msgid is not null"
    )
    for row in known.store.rows(query):
        if row["status"] and not known.vendor.tasks.is_sent(row["msgid"], known.vendor.scheduler.now):
            yield f"{contents[row['msgid']]} counts as sent by its member, and is not"


def twins(known: Evidence) -> Iterator[str]:
    """Of group sends that say the same to the same customers, no more count as sent or as not sent than are."""
    for content in known.producer.twins:
        twins = [job for job in known.producer.jobs if job.content == content]
        if known.people.decided.keys() & {job.id for job in twins} or any(job.on_unknown == "resend" for job in twins):
            continue
        states = [part.state for job in twins for part in known.parts[job.id]]
        tasks = len({one.msgid for one in known.vendor.deliveries if one.content == content})
        taken, never = (sum(state in some for state in states) for some in (TAKEN, NEVER_SENT))
        if not taken <= tasks <= len(states) - never:
            yield f"{content}: {tasks} tasks were made; {taken} of {len(states)} are sent, and {never} are not"


def tag_ends(known: Evidence) -> Iterator[str]:
    """The hook heard of each tag's ends with nothing open in it, of the last one with all of its jobs, and once."""
    if not known.hooks.hears_tags:
        return
    notes = Counter(row["event"] for row in known.store.rows(f"select event from {NOTES}"))
    last: dict[str, tuple[int, int]] = {}
    for id, end in known.hooks.tag_ends.items():
        is_open = sum(end.stages[stage].jobs for stage in (MailingStage.WAITING, MailingStage.IN_FLIGHT))
        if is_open or notes[id] != 1:
            yield f"an end of tag {end.tag} has {is_open} open jobs, and was noted {notes[id]} times"
        last[end.tag] = sum(count.jobs for count in end.stages.values()), end.stages[MailingStage.UNKNOWN].jobs
    query = "select tags, n_unknown from worker_jobs where kind in ('send', 'update_card') and tags is not null"
    doubts = [(tag, row["n_unknown"] > 0) for row in known.store.rows(query) for tag in json.loads(row["tags"])]
    there = {tag: (sum(of == tag for of, _ in doubts), doubts.count((tag, True))) for tag, _ in doubts}
    if last != there:
        yield f"the last ends of tags that the hook heard have (jobs, in doubt): {last}, and there are {there}"


RULES = (order, recalled, corrected, tasks)
NOT_RESTORED = (limits, replayed, updated, codes, twins, tag_ends)
"""Of universes whose database was not put back: that forgets what was used of limits and codes, and which jobs were."""
