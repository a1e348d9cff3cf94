"""Inserts checked jobs in the caller's transaction, all of them or none, and finds the job that holds a dedupe key.

Knows the order of the inserts and what a conflict means; the SQL is in `outbox/jobs/`. A follow-up is a job about an
earlier job; a worker finds out what there is to do.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import uuid_utils
from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.domain.content.message import File
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed, DedupeConflict, Problem, RetryTransaction
from worker.domain.job import JobId, JobKind, id_of, is_read
from worker.domain.state import JobState
from worker.domain.stored import stored_object
from worker.domain.trace import bounded_state
from worker.outbox.engine.clock import now_in
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs import jobs as outbox
from worker.producer.options import JobOptions
from worker.producer.plan import JobRequest, PlannedJob, dump, find_account, plan

if TYPE_CHECKING:
    from worker.config.accounts import AccountSource


class JobRef(NamedTuple):
    """A reference to a job, which is in the outbox once the caller commits."""

    id: str
    """32 hexadecimal digits, a UUIDv7."""
    state: JobState = JobState.OPEN
    """`JobState.OPEN`; of an earlier job, its state now."""
    created: bool = True
    """False: the dedupe key belongs to an earlier job of the same content; this is that job."""
    warnings: tuple[str, ...] = ()
    """Notes on things that are allowed, such as a member who may be reached twice."""


def insert_one(connection: Connection, request: JobRequest) -> JobRef:
    """Checks one job, inserts it and returns its reference."""
    return insert(connection, [plan(request, lane_key(connection))])[0]


def follow_up(
    connection: Connection,
    kind: JobKind,
    job_id: JobId,
    document: Mapping[str, Any],
    options: JobOptions,
    accounts: AccountSource | None,
    to: Recipients | None = None,
    spec: Mapping[str, Any] | None = None,
) -> JobRef:
    """Enqueues a job about another one, on its account, as one part; resolve finds out what there is to do."""
    from worker.outbox.jobs.target_job import senders
    from worker.reporting.find_job import row_of

    request = follow_up_request(row_of(connection, job_id), kind, document, options, accounts, to, spec)
    request.sent_by = senders(connection, [id_of(job_id)]).get(id_of(job_id))
    return insert_one(connection, request)


def follow_up_request(
    target: Mapping[str, Any],
    kind: JobKind,
    document: Mapping[str, Any],
    options: JobOptions,
    accounts: AccountSource | None,
    to: Recipients | None = None,
    spec: Mapping[str, Any] | None = None,
) -> JobRequest:
    """A job about another one, whose row is given; CheckFailed for a kind that it cannot have."""
    if problem := channel(target["channel"]).follow_up_problem(kind, target["kind"]):
        raise CheckFailed([problem], channel=target["channel"])
    account = find_account(target["account"], accounts)
    request = JobRequest(kind, account, document, to or Recipients(), target=target["id"], payload=target["payload"])
    request.options = options
    if options.get("tenant") is None:
        options["tenant"] = target["tenant"]
    request.spec = spec or {}
    if kind == JobKind.UPDATE_CARD:
        if not is_read(target["payload"]):
            problem = Problem("job", "was enqueued by a newer release", "update its card with that release")
            raise CheckFailed([problem], channel=target["channel"])
        message = stored_object(target["message"])
        if message is None:
            problem = Problem("job", "is stored in a form that cannot be read", "send a new card")
            raise CheckFailed([problem], channel=target["channel"])
        request.about = message
    return request


def insert(connection: Connection, planned: Sequence[PlannedJob]) -> list[JobRef]:
    """Inserts the jobs, then the files of the new ones; the references are in the order given."""
    if (trace := _current_trace()) is not None:
        for job_plan in planned:
            job_plan.job["trace"] = trace
    if any(job_plan.customers for job_plan in planned):
        from worker.producer.customer_months import warn_of_full_months

        warn_of_full_months(connection, [job_plan for job_plan in planned if job_plan.customers])
    owners = outbox.owners_before_insert(connection, [job_plan.key for job_plan in planned if job_plan.key is not None])
    _refuse_conflicts(planned, owners)
    has_files = any(job_plan.document is not None for job_plan in planned)
    new_files = _name_blobs(connection, planned) if has_files else []
    _give_one_due_time(connection, [job_plan.job for job_plan in planned if "order_key" in job_plan.job])
    inserted: dict[str, int] = {}
    # Sorted: two producers with the same dedupe keys then wait for each other in one order and cannot deadlock.
    in_order = sorted(planned, key=lambda job_plan: job_plan.key or ("", ""))
    for jobs, parts in outbox.insert_batches((job_plan.job, job_plan.parts) for job_plan in in_order):
        inserted |= outbox.insert_jobs(connection, jobs, parts, owners)
    refs = _references(connection, planned, inserted)
    created = [job_plan for job_plan, ref in zip(planned, refs, strict=True) if ref.created]
    if has_files:
        _store_files(connection, planned, created, new_files)
    # Most producers have neither cards with a task_id nor an order, and start without what these need.
    if task_ids := [row for job_plan in created for row in job_plan.task_ids]:
        from worker.outbox.jobs.codes import store_task_ids

        # Noted because a callback names a card by its task_id alone.
        store_task_ids(connection, task_ids)
    if ordered := [job_plan for job_plan in created if "order_key" in job_plan.job]:
        from worker.outbox.jobs.order_queue import OrderPosition, append

        parts_of = ((job_plan.job, job_plan.parts or [outbox.only_part(job_plan.job)]) for job_plan in ordered)
        places = [
            OrderPosition(part["id"], part["order_id"], job["id"], part["n"], job.get("on_gap") == "skip")
            for job, parts in parts_of
            for part in parts
        ]
        append(connection, places, inserted)
    return refs


def _give_one_due_time(connection: Connection, ordered: Sequence[outbox.JobRow]) -> None:
    """Makes jobs of an order due at one instant, so that they keep the order in which they were given."""
    # Their statements read the clock one after the other, and are sorted by dedupe key.
    if len(relative := [job for job in ordered if "due_at" not in job]) > 1:
        now = read_now(connection, now_in(connection))
        for job in relative:
            job["due_at"] = now + job.pop("due_in", 0)


def _current_trace() -> str | None:
    """The caller's trace context as a job keeps it; None: no span is current, or OpenTelemetry is not in use."""
    # Without an import: no span can be current in a process that has not loaded the API, nor while another thread is
    # loading it, when the module is listed before it has its names.
    current_span = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if current_span is None:
        return None
    context = current_span().get_span_context()
    if not context.is_valid:
        return None
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    state = bounded_state(context.trace_state.to_header())
    return f"{parent} {state}" if state else parent


def _delete_inserted(connection: Connection, planned: Sequence[PlannedJob]) -> None:
    parts = [part["id"] for one in planned for part in one.parts or [outbox.only_part(one.job)]]
    outbox.delete_jobs(connection, [one.job["id"] for one in planned], parts)


def _name_blobs(connection: Connection, planned: Sequence[PlannedJob]) -> list[tuple[File, dict[str, Any]]]:
    """Writes the id of its blob into every file's entry: of a recent copy or a new one. Returns the new files."""
    from worker.outbox.jobs.blobs import find_blob

    blob_ids: dict[tuple[str, int], str] = {}
    new: list[tuple[File, dict[str, Any]]] = []
    for job_plan in (holder for holder in planned if holder.files):
        for file, entry in job_plan.files:
            content = (entry["sha256"], entry["size"])
            if content not in blob_ids:
                stored = find_blob(connection, *content)
                if stored is None:
                    new.append((file, entry))
                blob_ids[content] = stored or uuid_utils.uuid7().hex
            entry["blob"] = blob_ids[content]
        job_plan.job["message"] = dump(job_plan.document)
    return new


def _store_files(
    connection: Connection,
    planned: Sequence[PlannedJob],
    created: Sequence[PlannedJob],
    new_files: Sequence[tuple[File, dict[str, Any]]],
) -> None:
    """Stores the new files of the created jobs, and which job uses which file."""
    from worker.outbox.jobs.blobs import delete_blobs, insert_blob, store_uses

    blob_ids = {entry["blob"] for job_plan in created for _, entry in job_plan.files}
    try:
        for file, entry in new_files:
            if entry["blob"] in blob_ids:
                sha256, size = entry["sha256"], entry["size"]
                insert_blob(connection, entry["blob"], sha256=sha256, size=size, chunks=_unchanged(file, sha256))
    except OSError:
        _delete_inserted(connection, planned)
        # A later job would find wrong content under the hash.
        delete_blobs(connection, [entry["blob"] for _, entry in new_files])
        raise CheckFailed(
            [Problem("file", "changed while it was read", "give a file that no program writes to")]
        ) from None
    named = [
        (job_plan.job["id"], job_plan.document["files"].values())
        for job_plan in created
        if job_plan.document is not None
    ]
    store_uses(connection, ((job, entry["blob"]) for job, entries in named for entry in entries))


def _unchanged(file: File, sha256: str) -> Iterator[bytes]:
    """The file's pieces; OSError at the end when the content is not the one that was checked."""
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != sha256:
        raise OSError("not the content that was checked")


def _references(connection: Connection, planned: Sequence[PlannedJob], inserted: Collection[str]) -> list[JobRef]:
    """A reference for each job; on a conflict nothing of this call is left in the caller's transaction."""
    owners = {
        job_plan.key: _owner_row(job_plan)
        for job_plan in planned
        if job_plan.key is not None and job_plan.job["id"] in inserted
    }
    unknown = [job_plan.key for job_plan in planned if job_plan.key is not None and job_plan.key not in owners]
    if unknown:
        owners |= outbox.owners(connection, unknown)
    try:
        _refuse_conflicts(planned, owners)
    except DedupeConflict:
        _delete_inserted(connection, planned)
        raise
    # The key of a job that was replayed stands for the newest of the replays.
    new_ids = {job_plan.job["id"] for job_plan in planned}
    earlier = [owner["id"] for owner in owners.values() if owner["id"] not in new_ids]
    newest = outbox.newest_replays(connection, earlier) if earlier else {}
    owners = {key: newest.get(owner["id"], owner) for key, owner in owners.items()}
    return [_reference(job_plan, owners) for job_plan in planned]


def _owner_row(one: PlannedJob) -> Mapping[str, Any]:
    """Returns a new job in the form of a row of `outbox.owners`."""
    return {"id": one.job["id"], "state": JobState.OPEN, "content_hash": one.job.get("content_hash")}


def _refuse_conflicts(planned: Sequence[PlannedJob], owners: outbox.Owners) -> None:
    for one in planned:
        owner = None if one.key is None else owners.get(one.key)
        if owner is None or owner["id"] == one.job["id"] or owner["content_hash"] == one.job.get("content_hash"):
            continue
        raise DedupeConflict(
            f"the dedupe key belongs to job {owner['id']} with other content; use another key or the same content",
            channel=one.job["channel"],
            job=owner["id"],
        )


def _reference(one: PlannedJob, owners: outbox.Owners) -> JobRef:
    own = one.job["id"]
    if one.key is None:
        return JobRef(own, warnings=one.warnings)
    owner = owners.get(one.key)
    if owner is None:
        raise RetryTransaction(
            "a dedupe key is being taken or released by another transaction; roll back and run the transaction again"
        )
    return JobRef(owner["id"], JobState(owner["state"]), owner["id"] == own, one.warnings)
